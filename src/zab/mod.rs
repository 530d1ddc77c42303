//! Atomic broadcast: discovery, synchronisation and broadcast, on the side of the leader (`Leader`, `LearnerHandler`)
//! and on the side of the learner (`Learner`, `Follower`, `Observer`).

mod committed_log;
mod epochs;
mod facts;
pub mod journal;
pub(crate) mod kept_out;
mod lasting;
pub mod leader;
pub mod learner;
mod marks;
mod numbers;
pub mod packets;
mod queue;
mod ready;
mod reconfig;
#[cfg(test)]
mod tests;
mod vouch;

pub use committed_log::CommittedLog;
pub use epochs::{EpochAck, Epochs, Origin, OriginFile};
pub use facts::{Durations, LoginCounts, PeerCounts, PeerFacts, PeerPhase, PeerState};
pub use journal::{CommitError, Journal};
pub use lasting::{Lasting, MajorChange};
pub use leader::Leader;
pub use learner::Learner;
pub use marks::{Mark, Marks};
pub use numbers::Numbers;
pub use queue::ReadyQueue;
pub use ready::{
    ConfigChange, ForwardedRequest, Inbound, LogRead, PassedRequest, Ready, SessionScope, Standing,
};
pub use reconfig::config_of;
pub use vouch::{Durable, Vouch};
