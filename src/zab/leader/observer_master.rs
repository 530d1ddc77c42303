//! A follower that observers learn from, so that the leader has fewer to serve (`ObserverMaster`).
//!
//! It plays the leader for them, with its own history: what it has committed it informs them of,
//! what they ask for it passes on to the leader and the answers back. The rule that is easiest to
//! break: a transaction is told with [`ObserverMaster::committed`] in the same step in which the
//! history that [`MasterView`] shows gets it, or an observer that comes between gets it twice, or not
//! at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::take;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tracing::{debug, info, warn};

use super::discovery::{Refusal, text};
use super::facts::LearnerFacts;
use super::handler::HandlerStage;
use super::learners::{Learners, Tail, TailFor};
use super::sync::History;
use super::under_way::{Fence, UnderWay};
use crate::acl;
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::limits::{
    LEARNER_SYNCS_MAX, LEARNER_WINDOW_BYTES, OBSERVER_QUESTIONS_MAX, OBSERVERS_QUESTIONS_MAX,
};
use crate::link::{LinkEvent, LinkId, Port};
use crate::proto::OpCode;
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::session::Tenure;
use crate::time::MonoUs;
use crate::zab::kept_out::info_unless;
use crate::zab::packets::{
    Packet, put_bare, put_data, put_inform_and_activate, put_leader_info, put_left_out,
    put_revalidated, put_txn,
};
use crate::zab::{CommittedLog, Numbers, Origin};
use crate::zab::{ForwardedRequest, Inbound, Ready, SessionScope};

/// Packets of one observer before the next one is listened to, where several wait.
const PACKETS_AT_ONCE: usize = 8;

/// What a follower has, as its observers may see it.
#[derive(Clone, Copy, Debug)]
pub struct MasterView<'a> {
    /// The last committed transactions.
    pub log: &'a CommittedLog,
    /// The last one handed out for commit, or the first zxid of the epoch.
    pub committed: Zxid,
    /// The active configuration.
    pub config: &'a Config,
    /// Where the history began.
    pub origin: Option<Origin>,
}

/// What is to be passed on to the leader, in this order.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A client's request: with [`ForwardedRequest::op`] as it came.
    Request(ForwardedRequest),
    /// A question about a session, with its timeout in ms.
    Revalidate(SessionId, i32),
    /// A [fence](crate::zab::packets::put_fence), for the session that asked last: its answer says that the leader has
    /// got to here.
    Fence(SessionId),
}

/// Whose sync the leader has still to answer.
#[derive(Debug)]
enum Sync {
    /// This server's, for a client.
    Own,
    /// An observer's.
    Observer(LinkId),
    /// A fence, to a leader that takes it for a sync.
    Fence(Fence),
}

/// A question about a session that the leader has still to answer.
#[derive(Debug)]
struct Revalidation {
    /// Who asks, and with what timeout in ms; `None`: this server itself.
    observer: Option<(LinkId, ServerId, i32)>,
    session: SessionId,
}

/// The observers of one follower, while it follows one leader.
#[derive(Debug)]
pub struct ObserverMaster {
    options: Rc<PeerOptions>,
    epoch: Epoch,
    learners: Learners,
    /// The newest transaction that they were informed of.
    informed: Zxid,
    /// Whose syncs the leader has still to answer, oldest first.
    syncs: VecDeque<Sync>,
    /// Whether the leader answers fences by themselves. Any other takes them for syncs.
    answers_fences: bool,
    /// Those that it has still to answer so, oldest first, and syncs that are passed on behind each.
    fences: VecDeque<(Fence, Vec<ForwardedRequest>)>,
    /// Links of which a sync waits for a fence, one of each: nothing more is taken from them meanwhile.
    fenced_syncs: BTreeSet<LinkId>,
    under_way: UnderWay,
    /// Those of which packets wait here until less is under way, who waits for longest first.
    held: VecDeque<LinkId>,
    /// The same with questions about sessions. Invariant: every question that the leader has not answered
    /// is here, for another one about the same session may be among them.
    revalidations: VecDeque<Revalidation>,
    /// Which observer, or this server itself (`None`), has taken a session up last, of those that were taken up here
    /// and are not over. To the leader all of them are this server, so what a client asked for on the connection that it
    /// has left is held back here.
    holders: BTreeMap<SessionId, Option<ServerId>>,
    /// How many questions each observer has asked that are not answered, and how many all of them; none is 0.
    questions: BTreeMap<LinkId, usize>,
    questions_of_all: usize,
    upstream: Vec<Upstream>,
    inbound: Vec<Inbound>,
    now: MonoUs,
    next_half_tick: MonoUs,
}

impl ObserverMaster {
    /// A follower that is up to date, in the epoch of its leader, which answers fences by themselves or does not.
    pub fn new(
        options: Rc<PeerOptions>,
        numbers: Numbers,
        (epoch, answers_fences): (Epoch, bool),
        committed: Zxid,
        now: MonoUs,
    ) -> ObserverMaster {
        let backlog_bytes_max = u64::try_from(options.observer_master_bytes_max)
            .unwrap_or(u64::MAX)
            .max(4 * LEARNER_WINDOW_BYTES);
        ObserverMaster {
            learners: Learners::new(options.clone(), numbers, backlog_bytes_max),
            next_half_tick: now.plus_ms(options.tick_ms.div_ceil(2)),
            options,
            epoch,
            informed: committed,
            syncs: VecDeque::new(),
            answers_fences,
            fences: VecDeque::new(),
            fenced_syncs: BTreeSet::new(),
            under_way: UnderWay::default(),
            held: VecDeque::new(),
            revalidations: VecDeque::new(),
            holders: BTreeMap::new(),
            questions: BTreeMap::new(),
            questions_of_all: 0,
            upstream: Vec::new(),
            inbound: Vec::new(),
            now,
        }
    }

    // ---- events

    /// Something happened on a link of the observers' port.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>, view: MasterView<'_>) {
        self.now = now;
        match event {
            LinkEvent::Accepted { link, port: Port::ObserverMaster, remote, may_be } => {
                self.learners.accept(now, link, (remote, may_be), u64::MAX);
            }
            LinkEvent::Identified { link, may_be } => {
                let is_member = |id| view.config.members.contains_key(&id);
                self.learners.identify(now, link, may_be, is_member);
            }
            LinkEvent::Accepted { .. } | LinkEvent::Connected { .. } => {}
            LinkEvent::Received { link, bytes } => {
                self.learners.handle_received(now, link, bytes);
                self.advance(link, view);
            }
            LinkEvent::Sent { link, bytes } => self.learners.handle_sent(now, link, bytes),
            LinkEvent::Closed { link, reason } => self.learners.forget(link, reason),
        }
    }

    /// Whether this link is an observer's.
    pub fn owns(&self, link: LinkId) -> bool {
        self.learners.handlers.contains_key(&link)
    }

    /// Whether nothing more should be read from this link for now: the leader has to get to what observers have asked
    /// for before.
    pub fn has_enough_of(&self, link: LinkId) -> bool {
        let Some(handler) = self.learners.handlers.get(&link) else { return false };
        self.fenced_syncs.contains(&link)
            || self.under_way.holds(link, handler.is_member)
            || self.asks_too_much(link)
    }

    /// Whether so many questions about sessions wait for the leader that this observer's next one has to wait here.
    fn asks_too_much(&self, link: LinkId) -> bool {
        let own = self.questions.get(&link).copied().unwrap_or(0);
        let all = self.questions_of_all;
        all >= OBSERVERS_QUESTIONS_MAX
            || own >= OBSERVER_QUESTIONS_MAX
            || (all >= OBSERVERS_QUESTIONS_MAX / 4 && own >= OBSERVER_QUESTIONS_MAX / 10)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        self.now = now;
        if now < self.next_half_tick {
            return;
        }
        let half_tick_ms = self.options.tick_ms.div_ceil(2);
        let late_ms = now.since_us(self.next_half_tick) / 1000;
        if late_ms >= half_tick_ms {
            self.learners.excuse(late_ms);
        }
        self.next_half_tick = now.plus_ms(half_tick_ms);
        // What they say waits here.
        for link in &self.held {
            if let Some(handler) = self.learners.handlers.get_mut(link) {
                handler.heard_at = now;
            }
        }
        self.learners.drop_silent(now);
        self.learners.ping(self.informed);
    }

    /// When [`ObserverMaster::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> MonoUs {
        self.next_half_tick
    }

    /// The answer to a `LogRead`; one of somebody else's is ignored.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        self.now = now;
        self.learners.handle_log_read(now, id, txns);
    }

    /// A transaction is committed, the next in order. `leader`: it is a reconfiguration, and this
    /// server leads then.
    pub fn committed(&mut self, txn: &Txn, leader: Option<ServerId>) {
        assert!(txn.zxid() > self.informed, "{} is committed after {}", txn.zxid(), self.informed);
        self.informed = txn.zxid();
        if txn.header().op == OpCode::CloseSession {
            self.holders.remove(&txn.header().client_id);
        }
        self.learners.inform(|out| match leader {
            None => put_txn(out, packet::INFORM, txn),
            Some(leader) => put_inform_and_activate(out, txn, leader),
        });
    }

    /// This server passes a sync of its own on to the leader.
    pub fn own_sync(&mut self) {
        self.syncs.push_back(Sync::Own);
    }

    /// The leader answers the oldest sync. True: it is this server's own.
    pub fn sync_done(&mut self) -> bool {
        let link = match self.syncs.pop_front() {
            None | Some(Sync::Own) => return true,
            Some(Sync::Fence(fence)) => {
                self.pass(&fence);
                return false;
            }
            Some(Sync::Observer(link)) => link,
        };
        if let Some(handler) = self.learners.handlers.get_mut(&link) {
            handler.syncs_pending -= 1;
        }
        self.learners.put(link, |out| put_bare(out, packet::SYNC, Zxid::ZERO));
        false
    }

    /// The leader has got to the oldest fence.
    pub fn fence_done(&mut self) {
        match self.fences.pop_front() {
            Some((fence, syncs)) => {
                for sync in syncs {
                    self.pass_sync_on(sync);
                }
                self.pass(&fence);
            }
            None => warn!("the leader answers a fence that was not sent"),
        }
    }

    /// The leader has got to a fence: those who were held go on, each until it is held again.
    fn pass(&mut self, fence: &Fence) {
        self.under_way.remove(fence);
        self.go_on();
    }

    /// Listens to those who were held, to each a little in turn.
    fn go_on(&mut self) {
        let mut took_any = true;
        while take(&mut took_any) {
            for _ in 0..self.held.len() {
                let link = self.held.pop_front().expect("as many as there were");
                took_any |= self.listen(link);
            }
        }
    }

    /// This server asks the leader about a session itself.
    pub fn own_revalidation(&mut self, session: SessionId) {
        self.revalidations.push_back(Revalidation { observer: None, session });
    }

    /// The leader says whether a session is alive, and since when it is the asking server's. True: this
    /// server itself had asked.
    ///
    /// The leader answers in order:
    /// ```text
    /// 1. This server asks whether its connection keeps session S, and then an observer whether S is alive.
    /// 2. S is alive, and a later connection's: the leader says no, and yes.
    /// ```
    /// Were the first answer the observer's, its client would be told that S has expired, and the
    /// connection here would go on.
    // ZooKeeper: ObserverMaster.revalidateLearnerSession takes no account of its own questions.
    pub fn revalidated(&mut self, session: SessionId, valid: bool, tenure: Option<Tenure>) -> bool {
        let Some(asked) = self.revalidations.pop_front_if(|asked| asked.session == session) else {
            warn!(%session, "the leader answers a question that is not the oldest one");
            return true;
        };
        if valid {
            self.holders.insert(session, asked.observer.map(|(_, server, _)| server));
        }
        let Some((link, _, timeout_ms)) = asked.observer else { return true };
        self.questions_of_all -= 1;
        let of_link = self.questions.get_mut(&link).expect("it was counted as it came");
        *of_link -= 1;
        if *of_link == 0 {
            self.questions.remove(&link);
        }
        self.learners.put(link, |out| put_revalidated(out, session, valid, tenure));
        if valid {
            self.inbound.push(Inbound::Touch { session, timeout_ms });
        }
        self.go_on();
        false
    }

    /// Appends what is to be done: `send`, `log_reads` and `inbound`; and what the leader is to be
    /// asked.
    pub fn take(&mut self, ready: &mut Ready, upstream: &mut Vec<Upstream>) {
        self.learners.take(&mut ready.send, &mut ready.log_reads);
        ready.inbound.append(&mut self.inbound);
        upstream.append(&mut self.upstream);
    }

    /// Takes leave of all observers: this server follows no more.
    pub fn close(mut self, ready: &mut Ready) {
        self.learners.close_all();
        self.learners.take(&mut ready.send, &mut ready.log_reads);
    }

    // ---- the whole tree, as with a leader

    /// Whether an observer waits for the whole tree, and none is on its way.
    pub fn wants_snapshot(&self) -> bool {
        self.learners.wants_snapshot()
    }

    /// The database is held as of `zxid`, and has this digest if it is sure.
    pub fn snapshot_begins(&mut self, zxid: Zxid, digest: Option<i64>, view: MasterView<'_>) {
        let tail = self.tail(view);
        self.learners.snapshot_begins(self.now, (zxid, digest), &self.history(view), &tail);
    }

    /// Whether those who get the tree have room for more of it.
    pub fn wants_snapshot_piece(&self) -> bool {
        self.learners.wants_snapshot_piece()
    }

    /// Whether anybody still gets the tree.
    pub fn sends_snapshot(&self) -> bool {
        self.learners.sends_snapshot()
    }

    /// The next piece of the tree.
    pub fn snapshot_piece(&mut self, bytes: &Bytes) {
        self.learners.snapshot_piece(bytes);
    }

    /// The tree is whole, the signature behind it included.
    pub fn snapshot_ends(&mut self) {
        self.learners.snapshot_ends(self.now);
    }

    // ---- facts

    /// What is known of each observer.
    pub fn facts(&self) -> Vec<LearnerFacts> {
        self.learners.facts(0)
    }

    /// How many get what is committed (`synced_observers`).
    pub fn synced_observers(&self) -> usize {
        self.learners.handlers.values().filter(|handler| handler.outbox.is_live()).count()
    }

    // ---- what observers say

    fn advance(&mut self, link: LinkId, view: MasterView<'_>) {
        while !self.listens_to_requests(link)
            && let Some((stage, packet)) = self.learners.next_packet(link)
        {
            let done = match stage {
                HandlerStage::Info => self.on_info(link, &packet, view),
                HandlerStage::AckEpoch => self.on_ack_epoch(link, &packet, view),
                HandlerStage::NewLeaderAck => self.on_new_leader_ack(link, &packet),
                _ => unreachable!("this stage does not listen, or to requests"),
            };
            if let Err(reason) = done {
                self.learners.refuse(link, &reason);
            }
        }
        if self.listens_to_requests(link) && !self.held.contains(&link) {
            self.held.push_back(link);
            self.go_on();
        }
    }

    fn listens_to_requests(&self, link: LinkId) -> bool {
        self.learners.handlers.get(&link).is_some_and(|it| it.stage == HandlerStage::Broadcast)
    }

    /// Takes a little of what an observer that is up to date has said, unless it is held; whether there was something.
    fn listen(&mut self, link: LinkId) -> bool {
        let mut took_any = false;
        for _ in 0..PACKETS_AT_ONCE {
            if self.has_enough_of(link) {
                break;
            }
            let Some((_, packet)) = self.learners.next_packet(link) else { return took_any };
            took_any = true;
            if let Err(reason) = self.on_packet(link, &packet) {
                self.learners.refuse(link, &reason);
            }
        }
        self.held.push_back(link);
        took_any
    }

    fn on_info(
        &mut self,
        link: LinkId,
        packet: &Packet,
        view: MasterView<'_>,
    ) -> Result<(), Refusal> {
        if packet.kind != packet::OBSERVERINFO {
            return Err(format!("only observers learn from a follower: type {}", packet.kind));
        }
        let info = packet.learner_info().map_err(text)?;
        let Some(info) = info.filter(|info| info.protocol_version.is_some()) else {
            return Err("it is older than observers that learn from followers".to_owned());
        };
        let is_member = view.config.members.contains_key(&info.server_id);
        if !self.learners.check_name(self.now, link, info.server_id, is_member) {
            return Ok(());
        }
        if info.config_version.is_some_and(|theirs| view.config.is_behind(theirs)) {
            return Err("it has a later configuration".to_owned());
        }
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.server = info.server_id;
        handler.is_observer = true;
        handler.reader.set_data_bytes_max(self.options.packet_bytes_max);
        handler.stage = HandlerStage::AckEpoch;
        let is_quiet = self.learners.kept_out.holds(handler.server);
        info_unless!(is_quiet, "{} has come", handler.name());
        let epoch = self.epoch;
        self.learners.put(link, |out| put_leader_info(out, epoch, view.origin));
        Ok(())
    }

    fn on_ack_epoch(
        &mut self,
        link: LinkId,
        packet: &Packet,
        view: MasterView<'_>,
    ) -> Result<(), Refusal> {
        if packet.kind != packet::ACKEPOCH {
            return Err(format!("ACKEPOCH was due, and a packet of type {} came", packet.kind));
        }
        packet.epoch_ack().map_err(text)?;
        let history = self.history(view);
        if !self.learners.compare_history(self.now, link, self.epoch, packet, &history)? {
            return Ok(());
        }
        if !self.learners.take_over(self.now, link) {
            return Ok(());
        }
        let tail = self.tail(view);
        self.learners.begin_sync(link, packet.zxid, &history, &tail);
        Ok(())
    }

    fn on_new_leader_ack(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        if packet.kind != packet::ACK {
            return Err(format!("ACK was due, and a packet of type {} came", packet.kind));
        }
        self.learners.put(link, |out| put_bare(out, packet::UPTODATE, Zxid::NONE));
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.sync_kind = None;
        handler.stage = HandlerStage::Broadcast;
        info!("{} is up to date", handler.name());
        self.learners.kept_out.forget(handler.server);
        Ok(())
    }

    fn on_packet(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        match packet.kind {
            // Of UPTODATE: observers acknowledge nothing else.
            packet::ACK => {}
            packet::PING => {
                for (session, timeout_ms) in packet.touched().map_err(text)? {
                    self.inbound.push(Inbound::Touch { session, timeout_ms });
                }
            }
            packet::REVALIDATE => {
                let (session, timeout_ms) = packet.session_and_timeout().map_err(text)?;
                let observer = Some((link, handler.server, timeout_ms));
                self.revalidations.push_back(Revalidation { observer, session });
                self.questions_of_all += 1;
                *self.questions.entry(link).or_default() += 1;
                self.inbound.push(Inbound::TakenUpAtObserver { session });
                self.upstream.push(Upstream::Revalidate(session, timeout_ms));
            }
            packet::REQUEST => {
                let (session, cxid, op, body) = packet.request().map_err(text)?;
                handler.requests += 1;
                if op == OpCode::Sync.number() {
                    handler.syncs_pending += 1;
                    if handler.syncs_pending > LEARNER_SYNCS_MAX {
                        return Err("too many of its syncs wait for the leader".to_owned());
                    }
                }
                let held_by = self.holders.get(&session);
                let is_sync = op == OpCode::Sync.number();
                // Syncs are answered in their order, and change nothing.
                if !is_sync && held_by.is_some_and(|holder| *holder != Some(handler.server)) {
                    // Its connection ends when its observer hears where the session is.
                    // ZooKeeper: ObserverMaster passes it on, and the leader carries it out behind later ones.
                    debug!(%session, cxid, "a request of a connection that its client has left");
                    if packet.session_scope() != SessionScope::Unsaid {
                        self.learners.put(link, |out| put_left_out(out, session));
                    }
                    return Ok(());
                }
                let scope = packet.session_scope();
                // A sync needs nobody's permission.
                let identities = if is_sync { Vec::new() } else { packet.authinfo.clone() };
                let server = handler.server;
                let request =
                    ForwardedRequest { link, server, session, scope, cxid, op, body, identities };
                if is_sync && scope == SessionScope::Unsaid && self.answers_fences {
                    self.order_sync(request);
                } else if is_sync {
                    self.pass_sync_on(request);
                } else {
                    self.pass_on(request);
                }
            }
            kind => warn!("{} sent a packet of type {kind}: ignored", handler.name()),
        }
        Ok(())
    }

    fn pass_on(&mut self, request: ForwardedRequest) {
        let (link, session) = (request.link, request.session);
        let is_member = self.learners.handlers.get(&link).is_some_and(|it| it.is_member);
        let is_sync = request.op == OpCode::Sync.number();
        let bytes = request.body.len() + acl::bytes_of(&request.identities);
        let fence = self.under_way.add(link, is_member, (!is_sync).then_some(bytes));
        self.upstream.push(Upstream::Request(request));
        let Some(fence) = fence else { return };
        if self.answers_fences {
            self.fences.push_back((fence, Vec::new()));
        } else {
            self.syncs.push_back(Sync::Fence(fence));
        }
        self.upstream.push(Upstream::Fence(session));
    }

    fn pass_sync_on(&mut self, sync: ForwardedRequest) {
        self.fenced_syncs.remove(&sync.link);
        self.syncs.push_back(Sync::Observer(sync.link));
        // It has waited for what its observer asked for before.
        let scope = if self.answers_fences { SessionScope::Global } else { sync.scope };
        self.pass_on(ForwardedRequest { scope, ..sync });
    }

    /// An observer of Apache ZooKeeper does not keep a sync behind what its session has asked for before. Were that left
    /// to the leader, the syncs of this server's own clients would wait there behind it, for their answers come in their
    /// order:
    ///
    /// 1. A client of an observer asks for much, and for a sync. The leader answers that when it has carried out the rest.
    /// 2. A client of this server asks for a sync. The leader has its answer, and keeps it until it has the first one.
    ///
    /// So it waits here until the leader has got to what came before, and whatever the observer says next waits behind
    /// it: it expects commits of its own and answers to its syncs in the order in which it has asked
    /// (`CommitProcessor.queuedWriteRequests`).
    fn order_sync(&mut self, sync: ForwardedRequest) {
        let link = sync.link;
        if self.under_way.has_no_writes_of(link) {
            return self.pass_sync_on(sync);
        }
        assert!(
            self.fenced_syncs.insert(link),
            "nothing is taken from a link with a sync that waits"
        );
        if self.fences.is_empty() || !self.under_way.is_fenced() {
            let fence = self.under_way.fence();
            self.fences.push_back((fence, Vec::new()));
            self.upstream.push(Upstream::Fence(sync.session));
        }
        let (_, syncs) = self.fences.back_mut().expect("there is one now");
        syncs.push(sync);
    }

    fn history<'a>(&self, view: MasterView<'a>) -> History<'a> {
        super::history(&self.options, view.log, view.committed, view.origin)
    }

    fn tail(&self, view: MasterView<'_>) -> MasterTail {
        MasterTail { new_leader: Zxid::new(self.epoch, 0), config: view.config.to_text() }
    }
}

/// What follows the history that an observer master sends.
struct MasterTail {
    new_leader: Zxid,
    config: String,
}

impl Tail for MasterTail {
    fn write(&self, _of: TailFor, out: &mut BytesMut) {
        put_data(out, packet::NEWLEADER, self.new_leader, self.config.as_bytes());
    }
}
