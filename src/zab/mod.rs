//! Atomic broadcast: discovery, synchronisation and broadcast, from the leader's side (`Leader`,
//! `LearnerHandler`) and from the learner's (`Learner`, `Follower`, `Observer`).

mod committed_log;
mod epochs;
pub mod leader;
mod numbers;
pub mod packets;

pub use committed_log::CommittedLog;
pub use epochs::Epochs;
pub use leader::Leader;
pub use numbers::Numbers;
