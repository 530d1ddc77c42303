//! A follower from which observers learn, so that the leader has fewer learners to serve (`ObserverMaster`).
//!
//! The follower plays the leader for its observers, with its own history: it informs them of the transactions that it
//! has committed, passes their requests on to the leader, and passes the answers back. The rule that is easiest to
//! break: a transaction is told with [`ObserverMaster::committed`] in the same step in which it joins the history that
//! [`MasterView`] shows. Otherwise an observer that connects in between gets it twice, or not at all.

mod handshake;
mod requests;
mod sessions;

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
use requests::Sync;
use sessions::Revalidation;

/// The state of a follower, as its observers may see it.
#[derive(Clone, Copy, Debug)]
pub struct MasterView<'a> {
    /// The last committed transactions.
    pub log: &'a CommittedLog,
    /// The last one handed out for commit, or the first zxid of the epoch.
    pub committed: Zxid,
    /// The active configuration.
    pub config: &'a Config,
    /// The origin of the history.
    pub origin: Option<Origin>,
}

/// A packet to be passed on to the leader, in the order of the packets.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A client's request: with [`ForwardedRequest::op`] as it came.
    Request(ForwardedRequest),
    /// A question about a session, with its timeout in ms.
    Revalidate(SessionId, i32),
    /// A [fence](crate::zab::packets::put_fence), for the session that asked last. Its answer says that the leader has
    /// handled everything before.
    Fence(SessionId),
}

/// The observers of one follower, while it follows one leader.
#[derive(Debug)]
pub struct ObserverMaster {
    /// How this server behaves.
    options: Rc<PeerOptions>,
    /// The leader's epoch.
    epoch: Epoch,
    /// The observers.
    learners: Learners,
    /// The newest transaction of which the observers were informed.
    ///
    /// Invariant: the last committed one of [`MasterView`], between two events.
    informed: Zxid,
    /// The syncs that the leader has still to answer, oldest first.
    syncs: VecDeque<Sync>,
    /// Whether the leader is a Ringkeeper, which answers fences as such. Any other leader takes them for syncs.
    answers_fences: bool,
    /// The fences that such a leader has still to answer, oldest first, and the syncs that are passed on after each.
    fences: VecDeque<(Fence, Vec<ForwardedRequest>)>,
    /// The links of which a sync waits for a fence. No more is taken from them meanwhile.
    ///
    /// Invariant: one sync of each waits in `fences`.
    fenced_syncs: BTreeSet<LinkId>,
    /// The requests that the leader has still to handle.
    under_way: UnderWay,
    /// The links of observers that are up to date, in the order in which they are listened to next. Their packets wait
    /// here while they are held.
    held: VecDeque<LinkId>,
    /// The questions about sessions that the leader has still to answer, oldest first.
    ///
    /// Invariant: every such question is here, because several may concern the same session.
    revalidations: VecDeque<Revalidation>,
    /// For each session that is alive and was taken up here, the observer that has taken it up last, or this server
    /// itself (`None`). To the leader all of them are this server, so this server holds back the requests of a
    /// connection that its client has left.
    holders: BTreeMap<SessionId, Option<ServerId>>,
    /// The number of open questions of each observer.
    ///
    /// Invariant: none is 0.
    questions: BTreeMap<LinkId, usize>,
    /// The number of open questions of all observers.
    ///
    /// Invariant: the sum of `questions`.
    questions_of_all: usize,
    /// The packets for the leader that were not taken yet.
    upstream: Vec<Upstream>,
    /// The words for the replica that were not taken yet.
    inbound: Vec<Inbound>,
    /// The time of the last event.
    now: MonoUs,
    /// The time of the next timer.
    next_half_tick: MonoUs,
}

impl ObserverMaster {
    /// The observer master of a follower that is up to date, in its leader's epoch.
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

    /// Handles an event on a link of the observers' port.
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
    #[cfg(test)]
    pub fn owns(&self, link: LinkId) -> bool {
        self.learners.handlers.contains_key(&link)
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
        // Their packets wait here, so that they seem silent.
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

    /// The answer to a [`LogRead`](crate::zab::LogRead). The answer to another role's is ignored.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        self.now = now;
        self.learners.handle_log_read(now, id, txns);
    }

    /// The next transaction is committed. `leader`: it is a reconfiguration, and this server leads from then on.
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

    /// Appends the effects to `ready` (`send`, `log_reads` and `inbound`), and the packets for the leader to
    /// `upstream`.
    pub fn take(&mut self, ready: &mut Ready, upstream: &mut Vec<Upstream>) {
        self.learners.take(&mut ready.send, &mut ready.log_reads);
        ready.inbound.append(&mut self.inbound);
        upstream.append(&mut self.upstream);
    }

    /// Takes leave of all observers, because this server does not follow any more.
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

    /// Whether the observers that get the tree have room for more of it.
    pub fn wants_snapshot_piece(&self) -> bool {
        self.learners.wants_snapshot_piece()
    }

    /// Whether any observer still gets the tree.
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

    /// The facts about each observer.
    pub fn facts(&self) -> Vec<LearnerFacts> {
        self.learners.facts(0)
    }

    /// The number of observers that are informed of commits (`synced_observers`).
    pub fn synced_observers(&self) -> usize {
        self.learners.handlers.values().filter(|handler| handler.outbox.is_live()).count()
    }

    // ---- packets of observers

    fn advance(&mut self, link: LinkId, view: MasterView<'_>) {
        while !self.listens_to_requests(link)
            && let Some((stage, packet)) = self.learners.next_packet(link)
        {
            let done = match stage {
                HandlerStage::Info => self.on_info(link, &packet, view),
                HandlerStage::AckEpoch => self.on_ack_epoch(link, &packet, view),
                HandlerStage::NewLeaderAck => self.on_new_leader_ack(link, &packet),
                HandlerStage::Epoch
                | HandlerStage::EpochQuorum { .. }
                | HandlerStage::LogRead { .. }
                | HandlerStage::Snapshot
                | HandlerStage::SnapshotEnd
                | HandlerStage::Activation
                | HandlerStage::Broadcast => {
                    unreachable!("this stage does not listen, or to requests")
                }
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
}
