//! Elections among servers in one process: whole networks of them, and single rules by hand.

mod connections;
mod hostile;
mod network;
mod random;
mod rules;
