//! Atomic broadcast: discovery, synchronisation and broadcast, from the leader's side (`Leader`,
//! `LearnerHandler`) and from the learner's (`Learner`, `Follower`, `Observer`).

mod committed_log;
mod epochs;
pub mod journal;
pub(crate) mod kept_out;
pub mod leader;
pub mod learner;
mod marks;
mod numbers;
pub mod packets;
mod reconfig;

pub use committed_log::CommittedLog;
pub use epochs::{EpochAck, Epochs, Origin, OriginFile};
pub use journal::{CommitError, Journal};
pub use leader::Leader;
pub use learner::Learner;
pub use marks::{Mark, Marks};
pub use numbers::Numbers;
pub use reconfig::config_of;
