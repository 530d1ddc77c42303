//! Tests of the whole state.
