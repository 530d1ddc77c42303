//! The rules of Zab, one test each, with leaders and followers of this server in one process.
//!
//! The paper is "Zab: High-performance broadcast for primary-backup systems" by Junqueira, Reed and Serafini (DSN
//! 2011); `f.1.2` and `l.1.2` are the steps of followers and leaders in its description of the algorithm.
//! "Internals" is the page "ZooKeeper Internals" in the documentation of Apache ZooKeeper, on atomic broadcast. The
//! wire has other names:
//!
//! ```text
//! CEPOCH f.1.1, l.1.1     FOLLOWERINFO     NEWLEADER l.2.1     DIFF, TRUNC or SNAP, history, NEWLEADER
//! NEWEPOCH l.1.1, f.1.2   LEADERINFO       ACK-LD f.2.1        ACK of NEWLEADER
//! ACK-E f.1.2, l.1.2      ACKEPOCH         COMMIT-LD l.2.2     UPTODATE
//! ```
//! The paper assumes an oracle that names the leader; here the test names it ([`ensemble::Ensemble::lead`]).

#![expect(clippy::unwrap_used, reason = "a step that is not possible ends the test")]

mod broadcast;
mod discovery;
mod disk;
mod ear;
mod ensemble;
mod order;
mod process;
mod synchronization;
mod trace;
