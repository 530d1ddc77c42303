//! Atomic broadcast: discovery, synchronisation and broadcast, from the leader's side (`Leader`,
//! `LearnerHandler`) and from the learner's (`Learner`, `Follower`, `Observer`).

mod epochs;

pub use epochs::Epochs;
