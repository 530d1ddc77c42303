//! Rows of the keys that change what the server does.

pub(super) mod clients;
pub(super) mod own;
pub(super) mod rules;
pub(super) mod storage;
