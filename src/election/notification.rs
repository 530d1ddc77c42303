//! The encoding of a vote on the wire, in the forms of all servers that are still in use
//! (`FastLeaderElection.buildMsg`).
//!
//! ```text
//! i32 state │ i64 leader │ i64 zxid │ i64 round │ i64 epoch │ i32 version = 2 │ i32 n │ n bytes: configuration
//! 0          4            12         20          28          36                40      44
//! ```
//! Numbers are big-endian. On a connection, an i32 with the length precedes the message.
//! `proto::quorum::Notification` describes the record; this file distinguishes its old forms. It does not judge
//! whether a vote counts: [`round`](super::round) does.

use bytes::Bytes;

use super::Vote;
use crate::jute::Jute;
use crate::proto::quorum::{Notification, ServerState};
use crate::quorum::Config;

/// The length of the shortest form, without the epoch, from servers before 3.3.3. A shorter message is ignored.
pub(super) const BYTES_MIN: usize = 28;
/// The length of the form with an epoch and four bytes that are ignored, from servers before 3.4.6.
const BYTES_WITHOUT_VERSION: usize = 40;
/// How many bytes of that form count: everything up to the end of the epoch.
const BYTES_WITH_EPOCH: usize = 36;

/// A notification without its configuration (`FastLeaderElection.Notification`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    /// The state of the sender.
    pub(super) state: ServerState,
    /// The server that the sender votes for, if it is LOOKING, or has elected.
    pub(super) vote: Vote,
    /// The round of the sender (`electionEpoch`).
    pub(super) round: i64,
    /// Whether the sender is recent enough to send the version of its message. Older servers do not put the leader's
    /// new epoch into the votes of their followers (ZOOKEEPER-1732).
    pub(super) is_versioned: bool,
}

/// Reads a message, without the length that precedes it. Returns the vote, and the configuration as text, which is
/// `None` or empty from servers before 3.5. `None`: the message is too short or malformed.
pub(super) fn read(bytes: &[u8]) -> Option<(Ballot, Option<&[u8]>)> {
    // ZooKeeper: FastLeaderElection.WorkerReceiver recognises the old forms by their length.
    let (bytes, is_versioned) = match bytes.len() {
        ..BYTES_MIN => return None,
        BYTES_MIN => (bytes, false),
        BYTES_WITHOUT_VERSION => (&bytes[..BYTES_WITH_EPOCH], false),
        _ => (bytes, true),
    };
    let mut decoder = crate::jute::Decoder::new(bytes);
    let read = Notification::decode(&mut decoder).ok()?;
    let Notification { state, leader, zxid, election_epoch, peer_epoch, config } = read;
    let vote = Vote { leader, zxid, peer_epoch };
    Some((Ballot { state, vote, round: election_epoch, is_versioned }, config))
}

/// The notification of this server, preceded by its length, as it is sent on a connection.
///
/// # Panics
/// If it would not be read as it is written.
pub(super) fn write(state: ServerState, vote: Vote, round: i64, config: &Config) -> Bytes {
    let text = config.to_text();
    let notification = Notification {
        state,
        leader: vote.leader,
        zxid: vote.zxid,
        election_epoch: round,
        peer_epoch: vote.peer_epoch,
        config: Some(text.as_bytes()),
    };
    let body = notification.to_bytes();
    let length = i32::try_from(body.len()).expect("a configuration has a bound");
    let mut message = Vec::with_capacity(4 + body.len());
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&body);
    let own = Ballot { state, vote, round, is_versioned: true };
    assert_eq!(read(&body).map(|(ballot, _)| ballot), Some(own), "it is read as it is written");
    assert!(body.len() >= BYTES_MIN, "no form is shorter");
    message.into()
}

/// The name of a state as ZooKeeper logs it (`QuorumPeer.ServerState`).
pub(super) fn name(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "LOOKING",
        ServerState::Following => "FOLLOWING",
        ServerState::Leading => "LEADING",
        ServerState::Observing => "OBSERVING",
    }
}
