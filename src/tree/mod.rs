//! The nodes: where they lie, how they are found, what they weigh.
