//! A vote as it travels, in the forms of all servers that are still about.

use bytes::Bytes;

use super::Vote;
use crate::jute::Jute;
use crate::proto::quorum::{Notification, ServerState};
use crate::quorum::Config;

/// The shortest form, without the epoch: from servers before 3.3.3.
pub(super) const BYTES_MIN: usize = 28;
/// The form with an epoch and a number that is not looked at: from servers before 3.4.6.
const BYTES_WITHOUT_VERSION: usize = 40;
/// What such a message says up to the epoch.
const BYTES_WITH_EPOCH: usize = 36;

/// What a server said about the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot {
    /// What that server is doing.
    pub(super) state: ServerState,
    /// Whom it votes for, or has elected.
    pub(super) vote: Vote,
    /// In which round.
    pub(super) round: i64,
    /// Whether it is recent enough to say the version of its message (ZOOKEEPER-1732).
    pub(super) is_versioned: bool,
}

/// Reads a message; `None`: it is too short or malformed. With it, the configuration as text.
pub(super) fn read(bytes: &[u8]) -> Option<(Ballot, Option<&[u8]>)> {
    // ZooKeeper: FastLeaderElection.WorkerReceiver tells the old forms by their length.
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

/// The message with its length, as it goes on a connection.
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
    message.into()
}

/// For lines in the log.
pub(super) fn name(state: ServerState) -> &'static str {
    match state {
        ServerState::Looking => "LOOKING",
        ServerState::Following => "FOLLOWING",
        ServerState::Leading => "LEADING",
        ServerState::Observing => "OBSERVING",
    }
}
