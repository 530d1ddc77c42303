//! The replica as a member of an ensemble. Other servers' messages go to the peer, and the replica carries out what the
//! peer then wants (`Ready`), in the order in which it must become durable.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

use hashbrown::HashMap;

use super::applying::Applying;
use super::connection::Slot;
use super::deferred::Deferred;
use super::passed_on::PassedOn;
use super::pipeline::Pipeline;
use super::questions::Questions;
use super::service::Service;
use super::syncs::Syncs;
use super::transfer::Transfer;
use super::unlogged::Unlogged;
use super::{Replica, ReplicaOptions};
use crate::database::Database;
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::link::{LinkEvent, LinkId, LinkOp};
use crate::peer::{History, Peer};
use crate::planted::{self, PlantedBug};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::recovery::Recovered;
use crate::sasl::Step;
use crate::snapshot::{StreamReader, StreamWriter};
use crate::time::{MonoUs, Now};
use crate::zab::Epochs;
use crate::zab::packets::TOUCH_BYTES;
use crate::zab::{ConfigChange, Inbound, LogRead, Ready};

/// The role of this server, as far as its clients are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaRole {
    /// The server is in no ensemble.
    Alone,
    /// The server has no leader. It serves nobody, or, after a while, clients that only read.
    Looking,
    /// The server is the leader.
    Leading,
    /// The server is a follower or an observer.
    Learning,
}

/// This server's place in its ensemble, and what it exchanges with the other servers.
pub(super) struct Ensemble {
    /// The limits and switches of an ensemble.
    pub options: Rc<ReplicaOptions>,
    /// What this server may do for its clients.
    pub role: ReplicaRole,
    /// The number of this server: the owner of the sessions of its own clients.
    pub me: ServerId,
    /// The agreement: a member of an ensemble, or the stand-in for one at a server on its own.
    pub peer: Peer,
    /// A `Ready` for the peer to fill; kept for its allocations.
    ///
    /// Invariant: empty.
    pub ready: Ready,
    /// The epoch in which the server last began to serve: the requests of a connection with another are of a lost
    /// leader.
    pub epoch: Epoch,
    /// Since when the server has had no leader: after a while it serves clients that only read.
    pub looking_since: MonoUs,
    /// The server has no leader and serves clients that only read.
    ///
    /// Invariant: set only while the server is `Looking`.
    pub read_only: bool,
    /// What an observer without a transaction log has not saved yet (`syncEnabled`). `None`: the server keeps a log.
    pub unlogged: Option<Unlogged>,

    /// The `Ready` that waits for a cut of the log. `None`: none waits, and the peer may make the next one.
    pub held: Option<Held>,
    /// What is committed and not applied.
    pub applying: Applying,

    /// What to do to links to other servers, for the next output.
    pub links: Vec<LinkOp>,
    /// Parts of the log to read for learners, for the next output.
    pub log_reads: Vec<LogRead>,
    /// Configurations that became known or active, for the next output.
    pub configs: Vec<ConfigChange>,

    /// The leader's tree on its way to this server. `None`: none is on its way.
    pub incoming: Option<(Box<StreamReader>, Transfer)>,
    /// The leader's whole tree, which replaces the database with the next `Ready::restore`.
    pub received: Option<Box<Database>>,
    /// The tree of this server on its way to learners. `None`: none is on its way.
    pub outgoing: Option<(StreamWriter, Transfer)>,

    /// On a learner: the sessions heard of since the leader last asked, and their timeouts, with those of the observers
    /// that learn from this server. The answer to the leader's next ping names them.
    pub touched: BTreeMap<SessionId, i32>,
    /// The last session of `touched` that was named to the leader when one packet could not hold all: the next packet
    /// goes on behind it.
    pub named_last: SessionId,
    /// On a learner: the connections whose session the leader was asked about, by session, in the order of the
    /// questions.
    pub revalidating: HashMap<SessionId, VecDeque<Slot>>,
    /// On a learner: the syncs that are not done.
    pub syncs: Syncs,
    /// On a learner: the requests that were passed on and whose outcome is not known.
    pub passed_on: PassedOn,

    /// On a server that decides about sessions: questions that wait for the end of their session.
    pub questions: Questions,

    /// On a leader: requests of learners that wait for room on the disk, or for their turn.
    pub deferred: Deferred,

    /// How often a new connection, here or at a learner, has asked for its session: a part of tenures.
    ///
    /// Invariant: never falls within one lead.
    pub turns: u64,

    /// Connections that wait for a leader, and until when. A connection that no longer waits, or that waits again, may
    /// have an entry with another time.
    pub parked: Vec<(MonoUs, Slot)>,

    /// The state of [`Ensemble::random`].
    ///
    /// Invariant: not 0, from which xorshift never departs.
    pub random: u64,
    /// After a shutdown: until when the server waits for requests in flight.
    pub quiet_at: Option<MonoUs>,
}

/// A `Ready` that waits for a cut of the log.
pub(super) enum Held {
    /// No part of it is carried out.
    Whole(Ready),
    /// The disk's part of it is planned; the rest waits.
    InMemory(Ready),
}

impl Ensemble {
    /// A server in this role, which has no link yet.
    pub fn new(
        options: &Rc<ReplicaOptions>,
        role: ReplicaRole,
        me: ServerId,
        peer: Peer,
        now: Now,
        seed: u64,
    ) -> Self {
        let begins = matches!(role, ReplicaRole::Alone | ReplicaRole::Looking);
        assert!(begins, "a server finds out whether it leads: it does not begin as {role:?}");
        Ensemble {
            options: Rc::clone(options),
            role,
            me,
            peer,
            ready: Ready::default(),
            epoch: Epoch(-1),
            looking_since: now.mono,
            read_only: false,
            unlogged: None,
            held: None,
            applying: Applying::default(),
            links: Vec::new(),
            log_reads: Vec::new(),
            configs: Vec::new(),
            incoming: None,
            received: None,
            outgoing: None,
            touched: BTreeMap::new(),
            named_last: SessionId::NONE,
            revalidating: HashMap::new(),
            syncs: Syncs::default(),
            passed_on: PassedOn::default(),
            questions: Questions::default(),
            deferred: Deferred::default(),
            turns: 0,
            parked: Vec::new(),
            random: seed | 1,
            quiet_at: None,
        }
    }

    /// Whether this server makes transactions.
    pub fn proposes(&self) -> bool {
        matches!(self.role, ReplicaRole::Alone | ReplicaRole::Leading)
    }

    /// Whether this server has a leader.
    pub fn is_learning(&self) -> bool {
        self.role == ReplicaRole::Learning
    }

    /// Makes an arbitrary number (xorshift64).
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        assert!(self.random != 0, "xorshift never comes to 0");
        self.random
    }

    /// Whether committed transactions wait for the next turn.
    pub(super) fn is_applying(&self) -> bool {
        !self.applying.is_empty()
    }

    /// Whether the server has no leader and serves clients that only read (`isro`).
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether something under way here waits for other servers to say that they have logged a transaction, that it is
    /// committed, or what became of a request.
    pub fn awaits_others(&self) -> bool {
        self.passed_on.requests() > 0 || self.peer.accepted() != self.peer.committed()
    }

    /// Takes as many of the sessions heard of as fit one packet; the leader would end the link for a longer one. The
    /// next packet names the others: the leader would take a second packet now for the answer to a later ping.
    pub(super) fn take_touched(&mut self) -> BTreeMap<SessionId, i32> {
        let ReplicaOptions { frame_bytes_max, txn_extra_bytes_max, .. } = *self.options;
        let packet_bytes_max = frame_bytes_max as usize + txn_extra_bytes_max as usize;
        let sessions_max = packet_bytes_max / TOUCH_BYTES;
        let Ensemble { touched, named_last, .. } = self;
        if touched.len() <= sessions_max {
            return std::mem::take(touched);
        }
        // The sessions take turns, because the first may be heard of again before the last is named.
        let behind = (Bound::Excluded(*named_last), Bound::Unbounded);
        let in_turn = touched.range(behind).chain(touched.range(..=*named_last));
        let named: Vec<SessionId> = in_turn.take(sessions_max).map(|(id, _)| *id).collect();
        *named_last = named.last().copied().unwrap_or(*named_last);
        assert!(named.len() <= sessions_max, "the sessions that are named fit one packet");
        let before = touched.len();
        let named: BTreeMap<SessionId, i32> =
            named.iter().filter_map(|session| touched.remove_entry(session)).collect();
        assert!(touched.len() + named.len() == before, "a session is named once, or later");
        named
    }

    /// Whether the server serves clients, be it only readers.
    pub fn serves(&self) -> bool {
        match self.role {
            ReplicaRole::Alone | ReplicaRole::Learning => true,
            ReplicaRole::Leading => self.options.leader_serves,
            ReplicaRole::Looking => self.read_only,
        }
    }
}

impl Ensemble {
    /// Whether this server has kept no log, and has to keep one because it votes from now on.
    pub(super) fn begins_log(&self) -> bool {
        self.unlogged.is_some() && !self.peer.only_observes()
    }
}

impl Pipeline {
    /// Whether a cut of the log is under way that must end before any part of a `Ready` is carried out.
    pub(super) fn has_to_wait_for_cut(&self, ready: &Ready, ensemble: &Ensemble) -> bool {
        let steps = &self.steps;
        steps.is_frozen() || (steps.has_cut() && (ensemble.begins_log() || ready.cuts()))
    }
}

impl Replica {
    /// A replica that is a member of the ensemble `config`, over what recovery found. `seed` is any
    /// number that differs from run to run.
    ///
    /// # Panics
    /// If recovery was not told that this is a member of an ensemble: there are no epochs then.
    pub fn member(
        options: ReplicaOptions,
        peer: PeerOptions,
        config: Config,
        mut recovered: Recovered,
        now: Now,
        seed: u64,
    ) -> Replica {
        let mut epochs = recovered.epochs.expect("recovery reads the epochs of a member");
        if planted::is(options.planted, PlantedBug::VoteForgottenOnRestart) {
            let epoch = recovered.zxid.epoch();
            epochs = Epochs { accepted: epoch, current: epoch, ..epochs };
        }
        let history = History {
            last: recovered.zxid,
            digest: recovered.database.sure_digest(),
            recent: std::mem::take(&mut recovered.recent),
            epochs,
        };
        let me = peer.me;
        let sync_enabled = options.sync_enabled;
        recovered.database.set_config(&config.to_text(), Zxid(config.version), now.wall.0);
        let peer = Peer::member(peer, config, history, now.mono, seed);
        let role = ReplicaRole::Looking;
        let mut service = Service::new(options, (peer, role, me), recovered, now, seed);
        service.pipeline.steps.start_epochs(epochs);
        if !sync_enabled && service.ensemble.peer.only_observes() {
            service.ensemble.unlogged = Some(Unlogged::new(service.database.last_processed()));
        }
        Replica::over(service)
    }

    /// Something happened on a link to another server.
    pub fn handle_link(&mut self, now: Now, event: LinkEvent<'_>) {
        self.service.now = now;
        if self.service.pipeline.stopped {
            return;
        }
        if let LinkEvent::Closed { link, .. } = event {
            self.service.ensemble.questions.forget(link);
        }
        self.service.ensemble.peer.handle_link(now.mono, event);
        self.follow_peer(now);
    }

    /// The edge has done what it was to do for the login on a link, which leads to this step.
    pub fn handle_link_login(&mut self, now: Now, link: LinkId, step: Step) {
        self.service.now = now;
        if self.service.pipeline.stopped {
            return;
        }
        if let Peer::Member(member) = &mut self.service.ensemble.peer {
            member.handle_login(now.mono, link, step);
        }
        self.follow_peer(now);
    }

    /// The transactions of a [`LogRead`], in order. `None`: the log does not have them, they are more than may be read,
    /// or the disk fails to read them.
    pub fn handle_log_read(&mut self, now: Now, id: u64, txns: Option<Vec<Txn>>) {
        self.service.now = now;
        self.service.ensemble.peer.handle_log_read(now.mono, id, txns);
        self.follow_peer(now);
    }

    /// What the outside witness says (`oraclePath`). The edge calls this each tick.
    pub fn set_oracle(&mut self, now: Now, says_yes: bool) {
        self.service.now = now;
        self.service.ensemble.peer.set_oracle(now.mono, says_yes);
        self.follow_peer(now);
    }

    /// Carries out what the peer wants done, as far as it may be done now.
    ///
    /// Only the `handle_…` functions and [`Replica::take_output`] call it, at their ends: the code before tells the
    /// peer what has happened, and never waits for the peer's answer.
    pub(super) fn follow_peer(&mut self, now: Now) {
        self.apply_more(now, false);
        while !self.service.pipeline.stopped {
            match self.service.ensemble.held.take() {
                Some(Held::Whole(ready))
                    if !self
                        .service
                        .pipeline
                        .has_to_wait_for_cut(&ready, &self.service.ensemble) =>
                {
                    self.carry_out(now, ready);
                }
                Some(Held::InMemory(ready)) if !self.service.pipeline.steps.is_frozen() => {
                    self.begin_in_memory(now, ready);
                }
                Some(held) => {
                    self.service.ensemble.held = Some(held);
                    return;
                }
                None => {
                    let Ensemble { peer, ready, .. } = &mut self.service.ensemble;
                    assert!(ready.is_empty(), "the peer fills an empty `Ready`");
                    let more = peer.take_ready(ready);
                    if ready.is_empty() && !more {
                        return;
                    }
                    let ready = std::mem::take(ready);
                    self.carry_out(now, ready);
                }
            }
        }
    }

    /// Carries a `Ready` out, or holds it where it must wait for a cut.
    fn carry_out(&mut self, now: Now, mut ready: Ready) {
        assert!(self.service.ensemble.held.is_none(), "one `Ready` waits for a cut at a time");
        for op in &ready.send {
            if let LinkOp::Close { link } = op {
                self.service.ensemble.questions.forget(*link);
            }
        }
        let begins_log = self.service.ensemble.begins_log();
        if begins_log || ready.cuts() || !ready.standing.is_empty() {
            // The peer already has its new standing. If this server took it only in a later turn, it could propose as a
            // leader that leads no more. And nothing may be applied while the log is cut.
            self.apply_more(now, true);
        }
        if self.service.pipeline.has_to_wait_for_cut(&ready, &self.service.ensemble) {
            self.service.ensemble.held = Some(Held::Whole(ready));
            return;
        }
        if begins_log {
            self.service.begin_log();
            assert!(self.service.ensemble.unlogged.is_none(), "a server that votes keeps a log");
            return self.carry_out(now, ready);
        }
        if let Some(zxid) = ready.restore {
            self.restore_in_memory(now, zxid);
        }
        self.service.pipeline.plan_disk(now, &mut ready, &mut self.service.ensemble);
        if self.service.pipeline.steps.is_frozen() {
            assert!(self.service.ensemble.held.is_none(), "nothing is held behind this `Ready`");
            self.service.ensemble.held = Some(Held::InMemory(ready));
            return;
        }
        self.begin_in_memory(now, ready);
    }

    /// Something came from another server that concerns clients, sessions or trees.
    pub(super) fn on_inbound(&mut self, now: Now, inbound: Inbound) {
        match inbound {
            Inbound::Request(request) => self.on_forwarded_request(now, request),
            Inbound::Touch { session, timeout_ms } => match self.service.ensemble.role {
                ReplicaRole::Leading => {
                    _ = self.service.sessions.tracker.touch_with(session, timeout_ms, now.mono)
                }
                // An observer that learns from this follower has named the session; the follower names it to the leader
                // with its own sessions. It drops a session that it does not know.
                ReplicaRole::Learning
                    if self.service.database.session_timeout(session).is_some() =>
                {
                    self.service.ensemble.touched.insert(session, timeout_ms);
                }
                ReplicaRole::Learning | ReplicaRole::Alone | ReplicaRole::Looking => {}
            },
            Inbound::Revalidate { link, server, session, timeout_ms, kept } => {
                self.on_revalidate(now, (link, server), session, timeout_ms, kept);
            }
            Inbound::Revalidated { session, valid, tenure } => {
                self.on_revalidated(now, session, valid, tenure);
            }
            Inbound::TakenUpAtObserver { session } => self.on_taken_up_at_observer(session),
            Inbound::StillLeads { number }
                if self.service.ensemble.role == ReplicaRole::Leading =>
            {
                self.service.ensemble.questions.on_still_leads(number);
                self.answer_questions(now);
            }
            Inbound::StillLeads { .. } => {}
            Inbound::Fence { link } => self.service.ensemble.on_fence(link),
            Inbound::SyncDone => self.on_sync_done(now),
            Inbound::LeftOut { session } => self.on_left_out(session),
            Inbound::Ping { zxid } => {
                let mut touched = self.service.ensemble.take_touched();
                if planted::is(self.service.options.planted, PlantedBug::TouchesNotPassedOn) {
                    touched.clear();
                }
                self.service.ensemble.peer.answer_ping(zxid, touched.into_iter());
            }
            Inbound::SnapshotBegins { zxid, digest } => {
                self.service.on_snapshot_begins(zxid, digest)
            }
            Inbound::Snapshot { bytes } => self.service.ensemble.on_snapshot_piece(now, &bytes),
            Inbound::SnapshotAborted => {
                self.service.ensemble.incoming = None;
                self.service.ensemble.received = None;
            }
        }
    }

    /// The peer, for `mntr` and the admin server.
    pub fn peer(&self) -> &Peer {
        &self.service.ensemble.peer
    }
}
