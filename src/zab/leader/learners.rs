//! All learners of one leader, or of one observer master: what they have in common. Broadcasts
//! are encoded once, the tree is serialised once.

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

/// What follows the history of a learner: whatever was proposed and not committed (followers), and
/// NEWLEADER.
pub(super) trait Tail {
    /// Writes it.
    fn write(&self, of: TailFor, out: &mut BytesMut);

    /// Why a learner cannot have it now.
    fn refusal(&self, _of: TailFor) -> Option<&'static str> {
        None
    }
}

/// For whom a tail is.
#[derive(Clone, Copy, Debug)]
pub(super) struct TailFor {
    pub(super) is_observer: bool,
    pub(super) is_old: bool,
    /// It is a Ringkeeper, which tells a configuration that is active from one that is proposed.
    pub(super) knows_marks: bool,
}

impl TailFor {
    fn of(handler: &Handler) -> TailFor {
        let Handler { is_observer, is_old, knows_marks, .. } = *handler;
        TailFor { is_observer, is_old, knows_marks }
    }
}

/// The learners.
#[derive(Debug)]
pub(super) struct Learners {
    pub(super) handlers: BTreeMap<LinkId, Handler>,
    options: Rc<PeerOptions>,
    numbers: Numbers,
    /// Bytes that may wait for one of them.
    backlog_bytes_max: u64,
    /// For everybody who follows, of this turn.
    followers: BytesMut,
    /// For everybody who observes, of this turn.
    observers: BytesMut,
    /// Whether there is anybody for either; true as well if he has gone in this turn.
    has_followers: bool,
    has_observers: bool,
    ops: Vec<LinkOp>,
    log_reads: Vec<LogRead>,
    /// What the log held when its files were asked for, by the name of the wish.
    memories: BTreeMap<u64, CommittedLog>,
    /// Since when the slowest of those who get the tree has not moved, while others wait for it.
    stalled: Option<(MonoUs, LinkId, u64)>,
    /// How many got the whole tree, and how many a difference.
    pub(super) syncs: (u64, u64),
    /// Of whom it was said that he is kept out.
    pub(super) kept_out: kept_out::Said,
    /// Of whom it was said that he takes this port for the other one. Apart: anybody can say any name
    /// there, and what is said of learners must not depend on it.
    ports_exchanged: kept_out::Said,
}

impl Learners {
    pub(super) fn new(
        options: Rc<PeerOptions>,
        numbers: Numbers,
        backlog_bytes_max: u64,
    ) -> Learners {
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

    // ---- coming and going

    pub(super) fn accept(
        &mut self,
        now: MonoUs,
        link: LinkId,
        (remote, may_be): (SocketAddr, Option<&[ServerId]>),
        deadline: u64,
    ) {
        if self.handlers.len() >= LEARNERS_MAX {
            // Whoever does not even say who he is shall not keep out those who do.
            let stranger = self.at_stage(HandlerStage::Info).min_by_key(|handler| handler.since);
            match stranger.map(|handler| handler.link) {
                Some(stranger) => self.refuse(stranger, "others wait for its place"),
                None => {
                    warn!(%remote, "no more learners: there are {LEARNERS_MAX}");
                    self.ops.push(LinkOp::Close { link });
                    return;
                }
            }
        }
        let may_be = may_be.map(<[ServerId]>::to_vec);
        self.handlers.insert(link, Handler::new(link, remote, may_be, now, deadline));
    }

    /// A learner says who it is: whether it may be that one, of these members. If not, it is sent away.
    pub(super) fn check_name(
        &mut self,
        now: MonoUs,
        link: LinkId,
        server: ServerId,
        is_member: bool,
    ) -> bool {
        let Some(handler) = self.handlers.get_mut(&link) else { return false };
        handler.is_member = is_member;
        if !is_member || !is_forged(handler.may_be.as_deref(), server) {
            return true;
        }
        let text = forgery(handler.remote, server);
        self.keep_out(now, link, server, kept_out::Reason::Forged, &text);
        false
    }

    /// There are other members.
    pub(super) fn identify(
        &mut self,
        now: MonoUs,
        link: LinkId,
        may_be: &[ServerId],
        is_member: impl Fn(ServerId) -> bool,
    ) {
        let Some(handler) = self.handlers.get_mut(&link) else { return };
        handler.may_be = Some(may_be.to_vec());
        let server = handler.server;
        if handler.is_known() {
            self.check_name(now, link, server, is_member(server));
        }
    }

    /// The other side has closed, or the network has.
    pub(super) fn forget(&mut self, link: LinkId, reason: &str) {
        if let Some(handler) = self.handlers.remove(&link) {
            if handler.is_known() {
                let is_quiet = self.kept_out.holds(handler.server) && !handler.stage.has_history();
                info_unless!(is_quiet, "lost {}: {reason}", handler.name());
            }
            self.release(&handler);
        }
    }

    /// Closes the link of a learner.
    pub(super) fn refuse(&mut self, link: LinkId, reason: &str) {
        if let Some(handler) = self.handlers.get(&link) {
            warn!("closing the connection of {}: {reason}", handler.name());
            self.close(link);
        }
    }

    fn close(&mut self, link: LinkId) {
        if let Some(handler) = self.handlers.remove(&link) {
            self.ops.push(LinkOp::Close { link });
            self.release(&handler);
        }
    }

    /// A learner has come so far over this link that it is about to get the history. Whether it gets
    /// it; if so, its older links are closed: what still comes on them may be from before, an
    /// acknowledgement, or a request of a client that has asked for more here.
    ///
    /// The link itself may be the old one. A learner opens a link only after it has given up the one
    /// before, so that of two links the one accepted first is the one that it has left:
    ///
    /// 1. A learner says ACKEPOCH, gives its connection up, comes anew, and gets the history.
    /// 2. The ACKEPOCH of step 1 arrives late. It says nothing of what the learner has by now.
    ///
    /// A link over which the server was heard a moment ago stays: whoever claims its name meanwhile is
    /// somebody else, or that server has only just left, and comes again. Otherwise two who use one name,
    /// or a stranger, would take a follower from its leader as often as they like.
    // ZooKeeper lets both be. There a session's owner is the LearnerHandler, so that such a request is
    // refused with SESSIONMOVED.
    pub(super) fn take_over(&mut self, now: MonoUs, link: LinkId) -> bool {
        let Some(server) = self.handlers.get(&link).map(|handler| handler.server) else {
            return false;
        };
        let alive_ms = self.options.tick_ms;
        let living = self.of_server(server).find(|other| {
            // Younger ones are dealt with below.
            other.link < link
                && other.stage == HandlerStage::Broadcast
                && now.since_us(other.heard_at) / 1000 < alive_ms
        });
        if let Some(living) = living {
            let text = format!(
                "server {server} is connected already, from {}, and answers: two servers may have the same \
                 myid, or somebody uses its name. If it has just left it gets in within a tick",
                living.remote
            );
            self.keep_out(now, link, server, kept_out::Reason::NameTaken, &text);
            return false;
        }
        let others: Vec<LinkId> = self
            .of_server(server)
            .filter(|other| other.link != link)
            .filter(|other| {
                other.stage != HandlerStage::Epoch && other.stage != HandlerStage::AckEpoch
            })
            .map(|other| other.link)
            .collect();
        let is_older = others.iter().any(|other| *other > link);
        let older = if is_older { vec![link] } else { others };
        for older in older {
            self.refuse(
                older,
                "it has connected anew (again and again: two servers may have the same myid)",
            );
        }
        !is_older
    }

    /// Whether a learner that says ACKEPOCH may have our history, as far as memory tells. If not, it
    /// is told and sent away.
    pub(super) fn compare_history(
        &mut self,
        now: MonoUs,
        link: LinkId,
        epoch: Epoch,
        packet: &Packet,
        history: &History<'_>,
    ) -> Result<bool, String> {
        let handler = self.handlers.get_mut(&link).expect("its packet was just read");
        handler.marks = packet.marks().map_err(|error| error.to_string())?;
        handler.knows_marks = handler.marks.is_some();
        handler.epoch = epoch;
        let marks = handler.marks.as_ref();
        match marks.and_then(|marks| marks.difference(|zxid| history.mark(zxid))) {
            Some((theirs, ours)) => {
                self.refuse_other_history(now, link, theirs, ours);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn refuse_other_history(&mut self, now: MonoUs, link: LinkId, theirs: Mark, ours: Mark) {
        let Some(handler) = self.handlers.get(&link) else { return };
        let mut bytes = BytesMut::new();
        put_other_history(&mut bytes, handler.epoch, ours);
        self.ops.push(LinkOp::Send { link, bytes: bytes.freeze() });
        let server = handler.server;
        let text = kept_out::leader_of_other_history(theirs, ours);
        self.keep_out(now, link, server, kept_out::Reason::OtherHistory, &text);
    }

    /// Closes the link of a server that cannot be taken in, and says so once in a time.
    pub(super) fn keep_out(
        &mut self,
        now: MonoUs,
        link: LinkId,
        server: ServerId,
        reason: kept_out::Reason,
        text: &str,
    ) {
        if self.kept_out.is_due(now, server, reason) {
            self.refuse(link, text);
        } else {
            self.close(link);
        }
    }

    fn release(&mut self, handler: &Handler) {
        if let HandlerStage::LogRead { id, .. } = handler.stage {
            self.memories.remove(&id);
        }
        if self.stalled.is_some_and(|(_, link, _)| link == handler.link) {
            self.stalled = None;
        }
    }

    /// Closes all, behind what waits for them.
    pub(super) fn close_all(&mut self) {
        self.flush();
        for (link, _) in std::mem::take(&mut self.handlers) {
            self.ops.push(LinkOp::Close { link });
        }
        self.memories.clear();
        self.log_reads.clear();
    }

    // ---- what they say

    /// A piece of a learner's stream.
    pub(super) fn handle_received(&mut self, now: MonoUs, link: LinkId, bytes: &[u8]) {
        if let Some(handler) = self.handlers.get_mut(&link) {
            handler.heard_at = now;
            handler.reader.push(bytes);
        }
    }

    /// The next packet of a learner that may be taken now, and the stage in which it comes. Whoever
    /// breaks the protocol is sent away.
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

    /// Somebody takes this port for the one of elections. It comes again and again: once in a time that is
    /// said.
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

    // ---- the clock

    /// This process stood still for so long, and could hear nobody: what they said meanwhile comes
    /// next.
    pub(super) fn excuse(&mut self, ms: u64) {
        for handler in self.handlers.values_mut() {
            handler.heard_at = handler.heard_at.plus_ms(ms);
            handler.ack_clock.shift(ms);
        }
    }

    /// Sends away who said nothing, or took nothing, for too long.
    pub(super) fn drop_silent(&mut self, now: MonoUs) {
        let tick_ms = self.options.tick_ms;
        let init_ms = self.options.init_limit.saturating_mul(tick_ms);
        let sync_ms = self.options.sync_limit.saturating_mul(tick_ms);
        let reason = |handler: &Handler| {
            let silent_ms = now.since_us(handler.heard_at) / 1000;
            match handler.stage {
                // It waits for us.
                HandlerStage::Epoch
                | HandlerStage::EpochQuorum { .. }
                | HandlerStage::LogRead { .. }
                | HandlerStage::Snapshot
                | HandlerStage::Activation => None,
                HandlerStage::Info
                | HandlerStage::AckEpoch
                | HandlerStage::SnapshotEnd
                | HandlerStage::NewLeaderAck => {
                    (silent_ms >= init_ms).then_some("it was silent for initLimit ticks")
                }
                HandlerStage::Broadcast if silent_ms >= sync_ms => {
                    Some("it was silent for syncLimit ticks")
                }
                HandlerStage::Broadcast => (handler.ack_clock.waiting_ms(now) >= sync_ms)
                    .then_some("it did not acknowledge a proposal for syncLimit ticks"),
            }
        };
        let silent: Vec<(LinkId, &str)> = self
            .handlers
            .values()
            .filter_map(|handler| reason(handler).map(|reason| (handler.link, reason)))
            .collect();
        for (link, reason) in silent {
            self.refuse(link, reason);
        }
        self.check_stall(now, tick_ms);
        self.check_tree_rates(now, init_ms);
        self.make_way_for_members(now, tick_ms);
    }

    /// Cuts off who takes the tree so slowly that it would hold the database for hours.
    fn check_tree_rates(&mut self, now: MonoUs, window_ms: u64) {
        let mut slow = Vec::new();
        for handler in self.handlers.values_mut().filter(|it| it.stage == HandlerStage::SnapshotEnd)
        {
            let Some((since, before)) = handler.tree_since else { continue };
            let ms = now.since_us(since) / 1000;
            if ms < window_ms.max(1) {
                continue;
            }
            let taken = handler.outbox.passed_on().saturating_sub(before);
            let rate_min = match handler.is_member {
                true => LEARNER_TREE_RATE_MIN,
                false => STRANGER_TREE_RATE_MIN,
            };
            // Who has taken all that there was waits for others, or for the disk.
            if handler.outbox.unsent() > 0 && taken < rate_min.saturating_mul(ms) / 1000 {
                slow.push((handler.link, taken, ms));
            }
            handler.tree_since = Some((now, handler.outbox.passed_on()));
        }
        for (link, taken, ms) in slow {
            let reason = format!(
                "it took {taken} bytes of the tree in {ms} ms, and the database is held for it"
            );
            self.refuse(link, &reason);
        }
    }

    /// A member that needs the tree does not wait for servers that are none.
    fn make_way_for_members(&mut self, now: MonoUs, patience_ms: u64) {
        let is_late = |handler: &Handler| {
            handler.is_member && now.since_us(handler.heard_at) / 1000 >= patience_ms
        };
        if !self.at_stage(HandlerStage::Snapshot).any(is_late) {
            return;
        }
        let getting = || self.at_stage(HandlerStage::SnapshotEnd);
        if getting().any(|handler| handler.is_member) {
            return;
        }
        let strangers: Vec<LinkId> = getting().map(|handler| handler.link).collect();
        for stranger in strangers {
            self.refuse(stranger, "a member of the ensemble waits for the tree");
        }
    }

    /// Asks everybody whether he is there.
    pub(super) fn ping(&mut self, proposed: Zxid) {
        self.broadcast(|out| put_bare(out, packet::PING, proposed));
        self.inform(|out| put_bare(out, packet::PING, proposed));
        for handler in self.handlers.values_mut().filter(|it| it.stage == HandlerStage::Broadcast) {
            handler.pings.on_sent();
        }
    }

    // ---- sending

    /// Something for this learner alone.
    pub(super) fn put(&mut self, link: LinkId, write: impl FnOnce(&mut BytesMut)) {
        if let Some(handler) = self.handlers.get_mut(&link) {
            let shared =
                if handler.is_observer { self.observers.len() } else { self.followers.len() };
            handler.outbox.put(shared, write);
        }
    }

    /// For everybody who follows.
    pub(super) fn broadcast(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if self.has_followers {
            write(&mut self.followers);
        }
    }

    /// For everybody who observes.
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

    /// Something was proposed up to `zxid`, which followers have to acknowledge.
    pub(super) fn expect_acks(&mut self, now: MonoUs, zxid: Zxid) {
        for handler in self.handlers.values_mut() {
            if handler.is_forwarding_follower() && handler.stage.has_history() {
                handler.ack_clock.handle_proposal(now, zxid);
            }
        }
    }

    /// The turn ends.
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

    /// What waits for all servers that are no members is as much as may wait for one that is: there may be
    /// hundreds of them, and each has its own copy of what is short.
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

    /// The network has passed bytes on.
    pub(super) fn handle_sent(&mut self, now: MonoUs, link: LinkId, bytes: u64) {
        if let Some(handler) = self.handlers.get_mut(&link) {
            handler.outbox.handle_sent(bytes);
            if matches!(handler.stage, HandlerStage::SnapshotEnd | HandlerStage::NewLeaderAck) {
                handler.heard_at = now;
            }
        }
    }

    // ---- synchronisation

    /// Brings a learner up to date, whose last zxid is `peer`.
    pub(super) fn begin_sync(
        &mut self,
        link: LinkId,
        peer: Zxid,
        history: &History<'_>,
        tail: &impl Tail,
    ) {
        if self.refuse_tail(link, tail) {
            return;
        }
        let Some(handler) = self.handlers.get_mut(&link) else { return };
        let plan = history.choose(peer, handler.marks.as_ref());
        if !matches!(plan, Plan::ReadLog) {
            // They were compared with all that is in memory.
            handler.marks = None;
        }
        match plan {
            Plan::Stream(stream) => {
                if self.admit(link, SyncKind::Diff) {
                    self.shut(link);
                    self.go_live(link, tail);
                    self.stream(link, peer, stream);
                }
            }
            Plan::ReadLog => {
                if !self.admit(link, SyncKind::Diff) {
                    return;
                }
                let id = self.numbers.next();
                self.log_reads.push(LogRead { id, from: peer, to: history.log.last() });
                self.memories.insert(id, history.log.clone());
                self.shut(link);
                self.go_live(link, tail);
                self.set_stage(link, HandlerStage::LogRead { id, last: peer });
            }
            Plan::Snapshot => self.wait_for_snapshot(link, peer),
        }
    }

    /// The log's files were read.
    pub(super) fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        let Some(memory) = self.memories.remove(&id) else { return };
        let found = self.handlers.values().find_map(|handler| match handler.stage {
            HandlerStage::LogRead { id: own, last } if own == id => Some((handler.link, last)),
            _ => None,
        });
        let (link, peer) = found.expect("a memory goes with its learner");
        if let Some(handler) = self.handlers.get_mut(&link) {
            handler.heard_at = now;
        }
        // What memory did not tell, the files may.
        let marks = self.handlers.get_mut(&link).expect("it was found").marks.take();
        let marks = marks.as_ref();
        let differs = |txn: &Txn| {
            let (theirs, ours) = (marks?.at(txn.zxid())?, Mark::of(txn));
            theirs.contradicts(&ours).then_some((theirs, ours))
        };
        if let Some((theirs, ours)) = txns.iter().flatten().find_map(differs) {
            return self.refuse_other_history(now, link, theirs, ours);
        }
        match txns.and_then(|txns| choose_from_files(txns, &memory, peer, marks)) {
            Some(stream) => self.stream(link, peer, stream),
            None => {
                if let Some(handler) = self.handlers.get_mut(&link) {
                    handler.outbox.forget();
                    handler.sync_kind = None;
                }
                self.wait_for_snapshot(link, peer);
            }
        }
    }

    fn wait_for_snapshot(&mut self, link: LinkId, peer: Zxid) {
        if self.admit(link, SyncKind::Snapshot) {
            info!("{} has {peer} and gets the whole tree", self.handlers[&link].name());
            self.set_stage(link, HandlerStage::Snapshot);
        }
    }

    fn stream(&mut self, link: LinkId, peer: Zxid, stream: Stream) {
        self.syncs.1 += 1;
        let Some(handler) = self.handlers.get_mut(&link) else { return };
        let kind = if stream.kind == packet::DIFF { "DIFF" } else { "TRUNC" };
        let (name, txns) = (handler.name(), stream.history.len());
        info!("{name} has {peer} and gets {kind} {} and {txns} transactions", stream.zxid);
        let mut op = BytesMut::new();
        put_bare(&mut op, stream.kind, stream.zxid);
        handler.outbox.put_ahead(op.freeze());
        handler.outbox.open(stream.history);
        handler.stage = HandlerStage::NewLeaderAck;
    }

    /// Counts a synchronisation; observers are refused when there are too many. Servers that are no members
    /// get half of the places.
    fn admit(&mut self, link: LinkId, kind: SyncKind) -> bool {
        let running = self.syncs_running(kind);
        let synced = self.handlers.values().filter(|handler| handler.sync_kind == Some(kind));
        let strangers = synced.filter(|handler| !handler.is_member).count();
        let max = match kind {
            SyncKind::Snapshot => self.options.concurrent_syncs_max.0,
            SyncKind::Diff => self.options.concurrent_syncs_max.1,
        };
        let Some(handler) = self.handlers.get_mut(&link) else { return false };
        let is_full = match handler.is_member {
            true => handler.is_observer && running >= max,
            false => strangers >= max.div_ceil(2) || running >= max,
        };
        if is_full {
            self.refuse(link, "too many learners are being synchronised already");
            return false;
        }
        handler.sync_kind = Some(kind);
        true
    }

    pub(super) fn syncs_running(&self, kind: SyncKind) -> usize {
        self.handlers.values().filter(|handler| handler.sync_kind == Some(kind)).count()
    }

    fn shut(&mut self, link: LinkId) {
        self.outbox(link).shut();
    }

    /// Everything proposed and not committed, NEWLEADER, and from then on what is broadcast.
    fn go_live(&mut self, link: LinkId, tail: &impl Tail) {
        let handler = self.handlers.get_mut(&link).expect("the learner is there");
        let shared = if handler.is_observer { self.observers.len() } else { self.followers.len() };
        let of = TailFor::of(handler);
        handler.outbox.put(shared, |out| tail.write(of, out));
        handler.outbox.go_live(shared);
        match handler.is_observer {
            true => self.has_observers = true,
            false => self.has_followers = true,
        }
    }

    /// Sends a learner away that cannot have what follows its history; whether it did.
    fn refuse_tail(&mut self, link: LinkId, tail: &impl Tail) -> bool {
        let of = self.handlers.get(&link).map(TailFor::of);
        let reason = of.and_then(|of| tail.refusal(of));
        if let Some(reason) = reason {
            self.refuse(link, reason);
        }
        reason.is_some()
    }

    fn outbox(&mut self, link: LinkId) -> &mut Outbox {
        &mut self.handlers.get_mut(&link).expect("the learner is there").outbox
    }

    fn set_stage(&mut self, link: LinkId, stage: HandlerStage) {
        self.handlers.get_mut(&link).expect("the learner is there").stage = stage;
    }

    // ---- the whole tree

    fn at_stage(&self, stage: HandlerStage) -> impl Iterator<Item = &Handler> {
        self.handlers.values().filter(move |handler| handler.stage == stage)
    }

    pub(super) fn wants_snapshot(&self) -> bool {
        !self.sends_snapshot() && self.at_stage(HandlerStage::Snapshot).next().is_some()
    }

    pub(super) fn sends_snapshot(&self) -> bool {
        self.at_stage(HandlerStage::SnapshotEnd).next().is_some()
    }

    /// The database is held as of `zxid`, and has this digest if it is sure: everybody who waits gets
    /// SNAP, and behind the tree what was committed since.
    pub(super) fn snapshot_begins(
        &mut self,
        now: MonoUs,
        (zxid, digest): (Zxid, Option<i64>),
        history: &History<'_>,
        tail: &impl Tail,
    ) {
        let waiting: Vec<LinkId> = self.at_stage(HandlerStage::Snapshot).map(|h| h.link).collect();
        if zxid < history.log.before() {
            // More was committed since than memory holds: the next one will be newer.
            return;
        }
        for link in waiting {
            if self.refuse_tail(link, tail) {
                continue;
            }
            self.shut(link);
            let mut since = BytesMut::new();
            for txn in history.log.after(zxid) {
                put_txn(&mut since, packet::PROPOSAL, txn);
                put_bare(&mut since, packet::COMMIT, txn.zxid());
            }
            if !since.is_empty() {
                self.put(link, |out| out.extend_from_slice(&since));
            }
            self.go_live(link, tail);
            let handler = self.handlers.get_mut(&link).expect("it was just found");
            let mut op = BytesMut::new();
            match digest.filter(|_| handler.knows_marks) {
                Some(digest) => put_snap(&mut op, zxid, digest),
                None => put_bare(&mut op, packet::SNAP, zxid),
            }
            handler.outbox.put_ahead(op.freeze());
            handler.stage = HandlerStage::SnapshotEnd;
            handler.heard_at = now;
            handler.tree_since = Some((now, handler.outbox.passed_on()));
            self.syncs.0 += 1;
        }
        self.stalled = None;
    }

    /// Whether those who get the tree have room: one of them has, and none is too far behind.
    pub(super) fn wants_snapshot_piece(&self) -> bool {
        let unsent =
            || self.at_stage(HandlerStage::SnapshotEnd).map(|handler| handler.outbox.unsent());
        let (Some(least), Some(most)) = (unsent().min(), unsent().max()) else { return false };
        least < LEARNER_WINDOW_BYTES && most < self.spread_bytes_max()
    }

    /// How far those who get the tree may be apart.
    fn spread_bytes_max(&self) -> u64 {
        LEARNER_SPREAD_BYTES_MAX.min(self.backlog_bytes_max / 2)
    }

    pub(super) fn snapshot_piece(&mut self, bytes: &Bytes) {
        for handler in self.handlers.values_mut() {
            if handler.stage == HandlerStage::SnapshotEnd {
                handler.outbox.put_ahead(bytes.clone());
            }
        }
    }

    pub(super) fn snapshot_ends(&mut self, now: MonoUs) {
        for handler in self.handlers.values_mut() {
            if handler.stage == HandlerStage::SnapshotEnd {
                handler.outbox.open(VecDeque::new());
                handler.stage = HandlerStage::NewLeaderAck;
                handler.heard_at = now;
            }
        }
        self.stalled = None;
    }

    /// Cuts the one off for whom all others wait, if it does not move for `limit_ms`.
    fn check_stall(&mut self, now: MonoUs, limit_ms: u64) {
        let slowest =
            self.at_stage(HandlerStage::SnapshotEnd).max_by_key(|handler| handler.outbox.unsent());
        let Some(slowest) = slowest.filter(|h| h.outbox.unsent() >= self.spread_bytes_max()) else {
            self.stalled = None;
            return;
        };
        let (link, unsent) = (slowest.link, slowest.outbox.unsent());
        match self.stalled {
            Some((since, of, at)) if of == link && at <= unsent => {
                if now.since_us(since) / 1000 >= limit_ms {
                    self.refuse(link, "others wait for it, and it does not take the tree");
                }
            }
            _ => self.stalled = Some((now, link, unsent)),
        }
    }

    // ---- facts

    /// The links of one server.
    pub(super) fn of_server(&self, server: ServerId) -> impl Iterator<Item = &Handler> {
        self.handlers.values().filter(move |handler| handler.is_known() && handler.server == server)
    }
}
