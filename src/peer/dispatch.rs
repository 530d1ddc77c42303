//! The calls of the replica that concern only a member of an ensemble. A standalone server gets none of the events
//! here, and panics if it does; it answers the questions here as a server that has no ensemble. In tests, a scripted
//! peer writes down each event.

use std::rc::Rc;

use bytes::Bytes;

use super::Peer;
use crate::id::{SessionId, Zxid};
use crate::link::{LinkEvent, LinkId};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::session::Tenure;
use crate::time::MonoUs;
use crate::zab::PassedRequest;

/// The text of the panic.
const ALONE: &str = "a standalone server has no ensemble";

/// Passes an event on to the member. In tests a scripted one writes it down. A standalone server panics.
macro_rules! to_member {
    ($peer:expr, $member:ident => $call:expr, $($words:tt)+) => {
        match $peer {
            Peer::Standalone(_) => panic!("{ALONE}"),
            Peer::Member($member) => $call,
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.tell(format!($($words)+)),
        }
    };
}

impl Peer {
    /// Handles an event of the network. See [`Member::handle_link`](super::Member::handle_link).
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        to_member!(self, m => m.handle_link(now, event), "link {event:?}");
    }

    /// Does what is due at `now`. A standalone server has nothing to do.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        if let Peer::Member(member) = self {
            member.handle_timeout(now);
        }
    }

    /// Everything up to the token `token` is durable. See [`Member::handle_durable`](super::Member::handle_durable).
    pub fn handle_durable(&mut self, now: MonoUs, token: u64) {
        to_member!(self, m => m.handle_durable(now, token), "durable {token}");
    }

    /// The log cannot be cut where a leader wants it cut, and ends at `last`. See
    /// [`Member::handle_not_cut`](super::Member::handle_not_cut).
    pub fn handle_not_cut(&mut self, now: MonoUs, last: Zxid) {
        #[cfg(test)]
        if let Peer::Scripted(scripted) = self {
            (scripted.accepted, scripted.committed) = (last, last);
        }
        to_member!(self, m => m.handle_not_cut(now, last), "not cut, ends at {last}");
    }

    /// The transactions of a read of the log's files have come. See
    /// [`Member::handle_log_read`](super::Member::handle_log_read).
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        to_member!(self, m => m.handle_log_read(now, id, txns), "log read {id} {}", txns.is_some());
    }

    /// Sets the answer of the outside witness. See [`Member::set_oracle`](super::Member::set_oracle).
    pub fn set_oracle(&mut self, now: MonoUs, says_yes: bool) {
        to_member!(self, m => m.set_oracle(now, says_yes), "oracle {says_yes}");
    }

    /// Ends the role, because the disk cannot write. See [`Member::leave`](super::Member::leave).
    pub fn leave(&mut self, now: MonoUs, reason: &str) {
        to_member!(self, m => m.leave(now, reason), "leave: {reason}");
    }

    /// Ends the role, because the effects of these tokens were given up. See
    /// [`Member::leave_unwritten`](super::Member::leave_unwritten).
    pub fn leave_unwritten(&mut self, now: MonoUs, reason: &str, tokens: &[u64]) {
        to_member!(
            self, m => m.leave_unwritten(now, reason, tokens), "leave without {tokens:?}: {reason}"
        );
    }

    /// Sets whether the disk has room. See [`Member::set_room`](super::Member::set_room).
    pub fn set_room(&mut self, now: MonoUs, has_room: bool) {
        to_member!(self, m => m.set_room(now, has_room), "room {has_room}");
    }

    /// Whether others have logged what this server, which leads, has not; never on a standalone server. See
    /// [`Member::is_behind_others`](super::Member::is_behind_others).
    pub fn is_behind_others(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.is_behind_others(),
            #[cfg(test)]
            Peer::Scripted(_) => true,
        }
    }

    /// Whether nothing more should be read from this link for now. See
    /// [`Member::has_enough_of`](super::Member::has_enough_of).
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        matches!(self, Peer::Member(member) if member.has_enough_of(link))
    }

    /// Whether a commit waits for what the voter at the other end of this link acknowledges. See
    /// [`Member::awaits_ack_over`](super::Member::awaits_ack_over).
    pub fn awaits_ack_over(&self, link: LinkId) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.awaits_ack_over(link),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.awaited.contains(&link),
        }
    }

    /// Answers a learner's sync. See [`Member::answer_sync`](super::Member::answer_sync).
    pub fn answer_sync(&mut self, link: LinkId) {
        to_member!(self, m => m.answer_sync(link), "answer sync {link:?}");
    }

    /// Answers a learner's fence. See [`Member::answer_fence`](super::Member::answer_fence).
    pub fn answer_fence(&mut self, link: LinkId) {
        to_member!(self, m => m.answer_fence(link), "answer fence {link:?}");
    }

    /// Answers a learner's question about a session. See
    /// [`Member::answer_revalidate`](super::Member::answer_revalidate).
    pub fn answer_revalidate(&mut self, link: LinkId, session: SessionId, owns: Option<Tenure>) {
        to_member!(
            self, m => m.answer_revalidate(link, session, owns),
            "answer revalidate {link:?} {session} {}", owns.is_some()
        );
    }

    /// Asks a quorum whether this server still leads, and returns the number of the question. See
    /// [`Member::confirm_lead`](super::Member::confirm_lead). `None`: no other server can lead.
    pub fn confirm_lead(&mut self) -> Option<u64> {
        match self {
            Peer::Standalone(_) => None,
            Peer::Member(member) => Some(member.confirm_lead()),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.lead_question,
        }
    }

    /// Sends a learner away that asks about too many sessions. See
    /// [`Member::refuse_questions`](super::Member::refuse_questions).
    pub fn refuse_questions(&mut self, link: LinkId) {
        to_member!(self, m => m.refuse_questions(link), "refuse questions {link:?}");
    }

    /// Whether a learner waits for the whole tree. See [`Member::wants_snapshot`](super::Member::wants_snapshot).
    pub fn wants_snapshot(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.wants_snapshot(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.wants_snapshot,
        }
    }

    /// The database is held as of `zxid` for learners that wait for the tree. See
    /// [`Member::snapshot_begins`](super::Member::snapshot_begins).
    pub fn snapshot_begins(&mut self, zxid: Zxid, digest: Option<i64>) {
        #[cfg(test)]
        if let Peer::Scripted(scripted) = self {
            scripted.wants_snapshot = false;
            scripted.sends_snapshot = true;
        }
        to_member!(self, m => m.snapshot_begins(zxid, digest), "snapshot begins {zxid}");
    }

    /// Whether learners have room for more of the tree. See
    /// [`Member::wants_snapshot_piece`](super::Member::wants_snapshot_piece).
    pub fn wants_snapshot_piece(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.wants_snapshot_piece(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.sends_snapshot,
        }
    }

    /// Whether any learner still gets the tree. See [`Member::sends_snapshot`](super::Member::sends_snapshot).
    pub fn sends_snapshot(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.sends_snapshot(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.sends_snapshot,
        }
    }

    /// Sends the next piece of the tree. See [`Member::snapshot_piece`](super::Member::snapshot_piece).
    pub fn snapshot_piece(&mut self, bytes: Bytes) {
        match self {
            Peer::Standalone(_) => panic!("{ALONE}"),
            Peer::Member(member) => member.snapshot_piece(bytes),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.pieces.extend_from_slice(&bytes),
        }
    }

    /// The tree is complete. See [`Member::snapshot_ends`](super::Member::snapshot_ends).
    pub fn snapshot_ends(&mut self) {
        #[cfg(test)]
        if let Peer::Scripted(scripted) = self {
            scripted.sends_snapshot = false;
        }
        to_member!(self, m => m.snapshot_ends(), "snapshot ends");
    }

    /// Passes a client's request on to the leader. See [`Member::forward`](super::Member::forward).
    pub fn forward(&mut self, request: &PassedRequest<'_>) {
        to_member!(
            self, m => m.forward(request),
            "forward {} {} {:?}", request.session, request.cxid, crate::proto::OpCode::from_i32(request.op).expect("a known one")
        );
    }

    /// The transactions that are accepted and not known to be committed, oldest first, of a member that does not
    /// lead; none on a standalone server.
    pub fn pending(&self) -> impl Iterator<Item = &Txn> {
        let (member, scripted): (_, &[Txn]) = match self {
            Peer::Standalone(_) => (None, &[]),
            Peer::Member(member) => (Some(member.pending()), &[]),
            #[cfg(test)]
            Peer::Scripted(scripted) => (None, &scripted.pending),
        };
        member.into_iter().flatten().chain(scripted)
    }

    /// Asks the leader whether a session is alive. See [`Member::revalidate`](super::Member::revalidate).
    pub fn revalidate(&mut self, session: SessionId, timeout_ms: i32, kept: Option<Tenure>) {
        to_member!(
            self, m => m.revalidate(session, timeout_ms, kept),
            "{} {session} {timeout_ms}", if kept.is_some() { "keep" } else { "revalidate" }
        );
    }

    /// Whether the leader distinguishes connections that are kept from new ones. See
    /// [`Member::keeps_tenures`](super::Member::keeps_tenures).
    pub fn keeps_tenures(&self) -> bool {
        match self {
            Peer::Standalone(_) => true,
            Peer::Member(member) => member.keeps_tenures(),
            #[cfg(test)]
            Peer::Scripted(scripted) => !scripted.forgets_tenures,
        }
    }

    /// Answers the leader's ping with the sessions that were heard. See
    /// [`Member::answer_ping`](super::Member::answer_ping).
    pub fn answer_ping(&mut self, zxid: Zxid, touched: impl Iterator<Item = (SessionId, i32)>) {
        to_member!(
            self, m => m.answer_ping(zxid, touched),
            "answer ping {zxid} {:?}", touched.collect::<Vec<_>>()
        );
    }

    /// The tree from the leader is complete in the database. See
    /// [`Member::snapshot_received`](super::Member::snapshot_received).
    pub fn snapshot_received(&mut self, now: MonoUs, digest: Option<i64>, rest: &[u8]) {
        to_member!(
            self, m => m.snapshot_received(now, digest, rest),
            "snapshot received, {} more", rest.len()
        );
    }

    /// The tree from the leader cannot be read. See [`Member::snapshot_refused`](super::Member::snapshot_refused).
    pub fn snapshot_refused(&mut self, now: MonoUs, reason: &str) {
        to_member!(self, m => m.snapshot_refused(now, reason), "snapshot refused: {reason}");
    }

    /// The active configuration of the ensemble; `None` for a standalone server.
    pub fn config(&self) -> Option<&Rc<Config>> {
        self.as_member().map(super::Member::config)
    }
}
