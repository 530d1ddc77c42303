//! The packets of a learner to its leader, and for which of them the learner's disk must vouch.
//!
//! Only this file chooses between [`Ready::send`](crate::zab::Ready::send) and
//! [`Ready::send_after_sync`](crate::zab::Ready::send_after_sync). Handlers name a packet, and cannot choose.

use super::*;
use crate::id::SessionId;
use crate::session::Tenure;
use crate::zab::{EpochAck, Marks};
use crate::zab::{PassedRequest, Vouch};

/// A packet of a learner.
pub(super) enum Saying<'a> {
    /// FOLLOWERINFO or OBSERVERINFO, with the accepted epoch and the version of the active configuration.
    Info { kind: LearnerKind, accepted: Epoch, me: ServerId, version: i64 },
    /// ACKEPOCH: the accepted epoch is on the disk, and so is the log as far as `last`.
    AckEpoch { last: Zxid, ack: EpochAck, marks: Option<Marks> },
    /// ACK of a proposal, of NEWLEADER (the history and the epoch), or of UPTODATE. The disk has everything up to
    /// there.
    Ack(Zxid),
    /// PING, with the sessions that were heard and their timeouts in ms.
    Touched { zxid: Zxid, sessions: Vec<(SessionId, i32)> },
    /// REQUEST of a client.
    Request(&'a PassedRequest<'a>),
    /// REQUEST: see [`packets::put_fence`].
    Fence(SessionId),
    /// REVALIDATE: see [`packets::put_revalidate`].
    Revalidate { session: SessionId, timeout_ms: i32, kept: Option<Tenure> },
}

impl Saying<'_> {
    /// Whether the leader will count on what this server has on its disk.
    pub(super) fn vouches(&self) -> bool {
        match self {
            Saying::AckEpoch { .. } | Saying::Ack(_) => true,
            // The accepted epoch in it is not a promise: others only choose a later one.
            Saying::Info { .. } => false,
            Saying::Touched { .. }
            | Saying::Request(_)
            | Saying::Fence(_)
            | Saying::Revalidate { .. } => false,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Saying::Info { kind, accepted, me, version } => {
                let kind = match kind {
                    LearnerKind::Follower => packet::FOLLOWERINFO,
                    LearnerKind::Observer => packet::OBSERVERINFO,
                };
                packets::put_learner_info(out, kind, *accepted, *me, *version);
            }
            Saying::AckEpoch { last, ack, marks } => {
                packets::put_ack_epoch(out, *last, *ack, marks.as_ref());
            }
            Saying::Ack(zxid) => packets::put_bare(out, packet::ACK, *zxid),
            Saying::Touched { zxid, sessions } => {
                packets::put_touched(out, *zxid, sessions.iter().copied());
            }
            Saying::Request(request) => packets::put_request(out, request),
            Saying::Fence(session) => packets::put_fence(out, *session),
            Saying::Revalidate { session, timeout_ms, kept } => {
                packets::put_revalidate(out, *session, *timeout_ms, *kept);
            }
        }
    }
}

impl Learner {
    /// Sends a packet to the leader: at once, or, if the disk must vouch for it, when all effects up to the end of this
    /// event are durable. Packets of either kind stay in their order among themselves.
    pub(super) fn say(&mut self, saying: &Saying<'_>) {
        if saying.vouches() {
            saying.encode(&mut self.vouched);
            return;
        }
        let body = match saying {
            Saying::Request(request) => request.body.len(),
            _ => 0,
        };
        let mut bytes = Vec::with_capacity(64 + body);
        saying.encode(&mut bytes);
        if let Some((link, bytes)) = self.output(bytes) {
            self.lasting.ready.send(LinkOp::Send { link, bytes });
        }
    }

    /// Hands over the packets for which the disk must vouch, after all effects so far.
    pub(super) fn flush_vouched(&mut self) {
        if self.vouched.is_empty() {
            return;
        }
        let vouched = std::mem::take(&mut self.vouched);
        if let Some((link, bytes)) = self.output(vouched) {
            self.lasting.ready.send_after_sync(Vouch::new(link, bytes));
        }
    }

    fn output(&mut self, bytes: Vec<u8>) -> Option<(LinkId, Bytes)> {
        let link = self.link.filter(|_| self.failure.is_none())?;
        assert!(!bytes.is_empty(), "there is something to say");
        assert!(!matches!(self.stage, LearnerStage::Connection { .. }), "the leader was reached");
        self.unsent_bytes += bytes.len() as u64;
        if self.unsent_bytes > LEARNER_OUTPUT_BYTES_MAX {
            self.leave(format!("it does not read: {} bytes wait", self.unsent_bytes));
            return None;
        }
        Some((link, Bytes::from(bytes)))
    }
}
