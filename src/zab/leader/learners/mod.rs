//! The learners of one leader, or of one observer master. A broadcast is encoded once for all of them, and the tree is
//! serialised once.

mod arrival;
mod clock;
mod history;
mod tree;

pub(super) use history::{Tail, TailFor};

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tracing::{info, warn};

use super::handler::{Handler, HandlerStage, SyncKind};
use super::outbox::Outbox;
use super::sync::{History, Plan, Stream, choose_from_files};
use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::{
    LEARNER_SPREAD_BYTES_MAX, LEARNER_TREE_RATE_MIN, LEARNER_WINDOW_BYTES, LEARNERS_MAX,
    STRANGER_TREE_RATE_MIN,
};
use crate::link::{LinkId, LinkOp, Port, forgery, is_forged};
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::quorum::PeerOptions;
use crate::time::MonoUs;
use crate::zab::LogRead;
use crate::zab::kept_out::{self, info_unless};
use crate::zab::packets::{Packet, PacketError, put_bare, put_other_history, put_snap, put_txn};
use crate::zab::{CommittedLog, Mark, Numbers};

/// The learners.
#[derive(Debug)]
pub(super) struct Learners {
    /// The learners by their links.
    ///
    /// Invariant: at most [`LEARNERS_MAX`].
    pub(super) handlers: BTreeMap<LinkId, Handler>,
    /// How this server behaves.
    options: Rc<PeerOptions>,
    /// The source of the ids of log reads.
    numbers: Numbers,
    /// The number of bytes that may wait for one learner.
    backlog_bytes_max: u64,
    /// This turn's broadcasts to followers.
    followers: BytesMut,
    /// This turn's broadcasts to observers.
    observers: BytesMut,
    /// Whether a follower gets broadcasts, also if the last one has gone in this turn.
    has_followers: bool,
    /// The same of observers.
    has_observers: bool,
    /// The operations for the network that were not taken yet.
    ops: Vec<LinkOp>,
    /// The log reads that were not taken yet.
    log_reads: Vec<LogRead>,
    /// The committed transactions that memory held at the time of each log read, by its id: the files end there.
    ///
    /// Invariant: for each learner in [`HandlerStage::LogRead`] one, and no others.
    memories: BTreeMap<u64, CommittedLog>,
    /// The slowest of the learners that get the tree, while the others wait for it: since when, and the bytes that it
    /// had still to take then.
    stalled: Option<(MonoUs, LinkId, u64)>,
    /// How many learners got the whole tree, and how many a difference, for operators.
    pub(super) syncs: (u64, u64),
    /// The servers of which the log has said that they are kept out.
    pub(super) kept_out: kept_out::Said,
    /// The servers of which the log has said that they take this port for the election port. They are kept apart from
    /// `kept_out`, because any host can give any id there, and must not silence the log about learners.
    ports_exchanged: kept_out::Said,
}

impl Learners {
    pub(super) fn new(
        options: Rc<PeerOptions>,
        numbers: Numbers,
        backlog_bytes_max: u64,
    ) -> Learners {
        assert!(
            backlog_bytes_max >= 2 * LEARNER_WINDOW_BYTES,
            "a learner that is within its window does not hang"
        );
        Learners {
            handlers: BTreeMap::new(),
            options,
            numbers,
            backlog_bytes_max,
            followers: BytesMut::new(),
            observers: BytesMut::new(),
            has_followers: false,
            has_observers: false,
            ops: Vec::new(),
            log_reads: Vec::new(),
            memories: BTreeMap::new(),
            stalled: None,
            syncs: (0, 0),
            kept_out: kept_out::Said::default(),
            ports_exchanged: kept_out::Said::default(),
        }
    }

    // ---- received packets

    /// A piece of a learner's stream has arrived.
    pub(super) fn handle_received(&mut self, now: MonoUs, link: LinkId, bytes: &[u8]) {
        if let Some(handler) = self.handlers.get_mut(&link) {
            handler.heard_at = now;
            handler.reader.push(bytes);
        }
    }

    /// The next packet of a learner, if one may be handled now, and the stage in which it comes. A learner that breaks
    /// the protocol is sent away.
    pub(super) fn next_packet(&mut self, link: LinkId) -> Option<(HandlerStage, Packet)> {
        let handler = self.handlers.get_mut(&link)?;
        if handler.talks_too_early() {
            self.refuse(link, "it does not wait for its answer");
            return None;
        }
        if !handler.listens() {
            return None;
        }
        match handler.reader.next() {
            Ok(packet) => {
                handler.packets_received += u64::from(packet.is_some());
                packet.map(|packet| (handler.stage, packet))
            }
            Err(PacketError::Election(said)) => {
                self.refuse_election(link, said);
                None
            }
            Err(error) => {
                self.refuse(link, &error.to_string());
                None
            }
        }
    }

    /// Sends a server away that takes this port for the election port. The server tries again and again; the log says
    /// so from time to time.
    fn refuse_election(&mut self, link: LinkId, said: ServerId) {
        let handler = self.handlers.get(&link).expect("its bytes were just read");
        let (remote, now) = (handler.remote, handler.heard_at);
        if self.ports_exchanged.is_due(now, said, kept_out::Reason::PortsExchanged) {
            let text = kept_out::ports_exchanged(self.options.me, said, remote, Port::Quorum);
            self.refuse(link, &text);
        } else {
            self.close(link);
        }
    }

    // ---- sending

    /// Writes a packet for this learner alone.
    pub(super) fn put(&mut self, link: LinkId, write: impl FnOnce(&mut BytesMut)) {
        if let Some(handler) = self.handlers.get_mut(&link) {
            let shared =
                if handler.is_observer { self.observers.len() } else { self.followers.len() };
            handler.outbox.put(shared, write);
        }
    }

    /// Writes a packet for all followers that get broadcasts.
    pub(super) fn broadcast(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if self.has_followers {
            write(&mut self.followers);
        }
    }

    /// Writes a packet for all observers that get broadcasts.
    pub(super) fn inform(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if self.has_observers {
            write(&mut self.observers);
        }
    }

    fn flush(&mut self) {
        let followers = self.followers.split().freeze();
        let observers = self.observers.split().freeze();
        (self.has_followers, self.has_observers) = (false, false);
        for (link, handler) in &mut self.handlers {
            let (shared, has_any) = match handler.is_observer {
                true => (&observers, &mut self.has_observers),
                false => (&followers, &mut self.has_followers),
            };
            *has_any |= handler.outbox.is_live();
            handler.outbox.flush(*link, shared, &mut self.ops);
        }
    }

    /// Transactions up to `zxid` were proposed, which followers have to acknowledge.
    pub(super) fn expect_acks(&mut self, now: MonoUs, zxid: Zxid) {
        assert!(zxid.counter() > 0, "{zxid} is the zxid of no transaction");
        for handler in self.handlers.values_mut() {
            if handler.is_forwarding_follower() && handler.stage.has_history() {
                handler.ack_clock.handle_proposal(now, zxid);
            }
        }
    }

    /// Ends the turn: hands over what is to be done.
    pub(super) fn take(&mut self, ops: &mut Vec<LinkOp>, log_reads: &mut Vec<LogRead>) {
        self.flush();
        let hanging: Vec<LinkId> = self
            .handlers
            .iter()
            .filter(|(_, handler)| handler.outbox.queued() > self.backlog_bytes_max)
            .map(|(link, _)| *link)
            .collect();
        for link in hanging {
            self.refuse(link, "it does not take what is sent, and too much waits for it");
        }
        self.bound_strangers();
        ops.append(&mut self.ops);
        log_reads.append(&mut self.log_reads);
    }

    /// For all servers that are no members together, no more may wait than for one member: there may be hundreds of
    /// them, and short packets are copied for each.
    fn bound_strangers(&mut self) {
        loop {
            let strangers = self.handlers.values().filter(|handler| !handler.is_member);
            let waiting = strangers.map(|handler| (handler.outbox.queued(), handler.link));
            let (sum, most) =
                waiting.fold((0u64, None), |(sum, most), one| (sum + one.0, most.max(Some(one))));
            match most {
                Some((_, link)) if sum > self.backlog_bytes_max => {
                    self.refuse(link, "too much waits for servers that are no members");
                }
                _ => return,
            }
        }
    }

    /// The network has passed bytes of this link on.
    pub(super) fn handle_sent(&mut self, now: MonoUs, link: LinkId, bytes: u64) {
        if let Some(handler) = self.handlers.get_mut(&link) {
            handler.outbox.handle_sent(bytes);
            if matches!(handler.stage, HandlerStage::SnapshotEnd | HandlerStage::NewLeaderAck) {
                handler.heard_at = now;
            }
        }
    }

    // ---- the whole tree

    fn at_stage(&self, stage: HandlerStage) -> impl Iterator<Item = &Handler> {
        self.handlers.values().filter(move |handler| handler.stage == stage)
    }

    // ---- facts

    /// The learners that have given this id.
    pub(super) fn of_server(&self, server: ServerId) -> impl Iterator<Item = &Handler> {
        self.handlers.values().filter(move |handler| handler.is_known() && handler.server == server)
    }
}
