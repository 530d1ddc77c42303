//! The encoding of a vote, in the forms of all servers that are still in use.

use bytes::Bytes;

use super::Vote;
use crate::jute::Jute;
use crate::proto::quorum::{Notification, ServerState};
use crate::quorum::Config;

/// The shortest form, without the epoch: from servers before 3.3.3.
pub(super) const BYTES_MIN: usize = 28;
/// The form with an epoch and a number that is ignored: from servers before 3.4.6.
const BYTES_WITHOUT_VERSION: usize = 40;
/// The length of such a message up to the epoch.
const BYTES_WITH_EPOCH: usize = 36;

/// The content of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    /// The state of the sender.
    pub(super) state: ServerState,
    /// The candidate that it votes for, or has elected.
    pub(super) vote: Vote,
    /// Its round.
    pub(super) round: i64,
    /// Whether the sender is recent enough to send the version of its message (ZOOKEEPER-1732).
    pub(super) is_versioned: bool,
}

/// Reads a message; `None`: it is too short or malformed. With it, the configuration as text.
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

/// The message with its length, as sent on a connection.
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

/// The name of a state, for the log.
pub(super) fn name(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "LOOKING",
        ServerState::Following => "FOLLOWING",
        ServerState::Leading => "LEADING",
        ServerState::Observing => "OBSERVING",
    }
}
