//! The replica as a member of an ensemble: what comes from other servers and what the peer makes of
//! it, carried out in the order of durability.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::rc::Rc;

use hashbrown::HashMap;

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
use crate::limits;
use crate::link::{LinkEvent, LinkOp};
use crate::peer::{History, Peer};
use crate::planted::{self, PlantedBug};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::recovery::Recovered;
use crate::snapshot::{StreamReader, StreamWriter};
use crate::time::{MonoUs, Now};
use crate::zab::Epochs;
use crate::zab::packets::TOUCH_BYTES;
use crate::zab::{ConfigChange, Inbound, LogRead, Ready};

/// What a server now is, as far as its clients are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplicaRole {
    /// On its own.
    Alone,
    /// Without a leader. Nobody is served, or, after a while, clients that only read.
    Looking,
    /// The leader.
    Leading,
    /// A follower or an observer.
    Learning,
}

/// What a member of an ensemble has beyond a server on its own.
pub(super) struct Ensemble {
    pub options: Rc<ReplicaOptions>,
    pub role: ReplicaRole,
    pub me: ServerId,
    /// The member, or the stand-in of a server on its own.
    pub peer: Peer,
    /// An empty one, kept for its allocations.
    pub ready: Ready,
    /// The epoch in which it served last.
    pub epoch: Epoch,
    /// Since when it has no leader.
    pub looking_since: MonoUs,
    /// It has no leader and serves clients that only read.
    pub read_only: bool,
    /// What it does not log; `None`: it keeps a transaction log. An observer need not (`syncEnabled`).
    pub unlogged: Option<Unlogged>,

    /// The `Ready` that waits for a cut.
    pub held: Option<Held>,
    /// What is committed and not applied.
    pub applying: Applying,

    // For the next output.
    pub links: Vec<LinkOp>,
    pub log_reads: Vec<LogRead>,
    pub configs: Vec<ConfigChange>,

    /// The leader's tree on its way to us.
    pub incoming: Option<(Box<StreamReader>, Transfer)>,
    /// It is whole, and takes the place of ours with the next `Ready::restore`.
    pub received: Option<Box<Database>>,
    /// Our tree on its way to learners.
    pub outgoing: Option<(StreamWriter, Transfer)>,

    /// On a learner: the sessions heard of since the leader last asked, and their timeouts; those of
    /// the observers that learn from it as well.
    pub touched: BTreeMap<SessionId, i32>,
    /// Of those, the last that was named to the leader when not all of them fitted one packet.
    pub named_last: SessionId,
    /// On a learner: connections whose session the leader was asked about, by session, in the order
    /// of the questions.
    pub revalidating: HashMap<SessionId, VecDeque<Slot>>,
    /// On a learner: the syncs that are not done.
    pub syncs: Syncs,
    /// On a learner: what was passed on and is not answered.
    pub passed_on: PassedOn,

    /// Where sessions are decided about: questions that wait for the end of their session.
    pub questions: Questions,

    /// On a leader: requests of learners for which there is no room on the disk.
    pub deferred: Deferred,

    /// How often a new connection, here or at a learner, has asked for its session: a part of tenures.
    pub turns: u64,

    /// Connections that wait for a leader, and until when. One that no longer does, or that does
    /// again, may have an entry with another time.
    pub parked: Vec<(MonoUs, Slot)>,

    /// For whoever needs any number.
    pub random: u64,
    /// After a shutdown: until when requests in flight are waited for.
    pub quiet_at: Option<MonoUs>,
}

/// A `Ready` that waits.
pub(super) enum Held {
    /// Nothing of it is carried out.
    Whole(Ready),
    /// What concerns the disk is planned.
    InMemory(Ready),
}

/// What is left of `Ready`s whose transactions are more than a turn applies: what is committed, and what follows it.
/// What they want of the disk and of other servers is done, so that this server is heard meanwhile. None of them says
/// that it stands otherwise, or cuts: then everything before is applied at once.
#[derive(Default)]
pub(super) struct Applying {
    readies: VecDeque<Ready>,
    /// Of the transactions in them.
    bytes: usize,
    /// Since when there has always been something.
    since: Option<MonoUs>,
    /// One is being carried out: what comes of that waits behind it.
    is_busy: bool,
    /// One of them says that this server stands otherwise: all are carried out at once.
    is_urgent: bool,
}

impl Applying {
    /// Bytes of a transaction beside its own.
    const TXN_BYTES: usize = 100;

    pub fn is_empty(&self) -> bool {
        self.readies.is_empty()
    }

    /// Whether it is so much that no more should be read from a leader.
    pub fn is_too_much(&self) -> bool {
        self.bytes > limits::APPLYING_BYTES_MAX
    }

    /// Since when this server is behind what is committed, if that is for long.
    pub fn behind_since(&self, now: MonoUs) -> Option<MonoUs> {
        self.since.filter(|since| now.since_us(*since) > limits::APPLYING_MS_MAX * 1000)
    }

    fn bytes_of(txn: &Txn) -> usize {
        Self::TXN_BYTES + txn.bytes().len()
    }
}

impl Ensemble {
    pub fn new(
        options: &Rc<ReplicaOptions>,
        role: ReplicaRole,
        me: ServerId,
        peer: Peer,
        now: Now,
        seed: u64,
    ) -> Self {
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

    /// Whether transactions are made here.
    pub fn proposes(&self) -> bool {
        matches!(self.role, ReplicaRole::Alone | ReplicaRole::Leading)
    }

    pub fn is_learning(&self) -> bool {
        self.role == ReplicaRole::Learning
    }

    /// Any number (xorshift64).
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Whether committed transactions wait for the next turn.
    pub(super) fn is_applying(&self) -> bool {
        !self.applying.is_empty()
    }

    /// Whether it has no leader and serves clients that only read (`isro`).
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Whether other servers are to say something before what is under way here can go on: that
    /// they have logged it, that it is committed, what became of a request.
    pub fn awaits_others(&self) -> bool {
        self.passed_on.requests() > 0 || self.peer.accepted() != self.peer.committed()
    }

    /// The sessions heard of that fit one packet, whose leader would end the link for a longer one. The
    /// others are named in the next: a second one now would be taken for the answer to a later ping.
    pub(super) fn take_touched(&mut self) -> BTreeMap<SessionId, i32> {
        let ReplicaOptions { frame_bytes_max, txn_extra_bytes_max, .. } = *self.options;
        let packet_bytes_max = frame_bytes_max as usize + txn_extra_bytes_max as usize;
        let sessions_max = packet_bytes_max / TOUCH_BYTES;
        let Ensemble { touched, named_last, .. } = self;
        if touched.len() <= sessions_max {
            return std::mem::take(touched);
        }
        // In turns, for the first may have been heard of again before the last is named.
        let behind = (Bound::Excluded(*named_last), Bound::Unbounded);
        let in_turn = touched.range(behind).chain(touched.range(..=*named_last));
        let named: Vec<SessionId> = in_turn.take(sessions_max).map(|(id, _)| *id).collect();
        *named_last = named.last().copied().unwrap_or(*named_last);
        named.iter().filter_map(|session| touched.remove_entry(session)).collect()
    }

    /// Whether clients are served, if only readers.
    pub fn serves(&self) -> bool {
        match self.role {
            ReplicaRole::Alone | ReplicaRole::Learning => true,
            ReplicaRole::Leading => self.options.leader_serves,
            ReplicaRole::Looking => self.read_only,
        }
    }
}

impl Ensemble {
    /// Whether this server votes from now on, and has kept no log so far.
    pub(super) fn begins_log(&self) -> bool {
        self.unlogged.is_some() && !self.peer.only_observes()
    }
}

impl Pipeline {
    /// Whether nothing of a `Ready` may be carried out while a cut is under way.
    pub(super) fn has_to_wait_for_cut(&self, ready: &Ready, ensemble: &Ensemble) -> bool {
        let steps = &self.steps;
        steps.is_frozen() || (steps.has_cut() && (ensemble.begins_log() || ready.cuts()))
    }
}

impl Service {
    /// A leader has committed what does not fit this tree: then that is not the leader's, or the leader is none. All
    /// who have this history pass over it, as a start does that finds it in the log; who ended here would find it
    /// again behind the next leader, and end again.
    // ZooKeeper: DataTree.processTxn takes the error for the transaction's result, and goes on.
    fn doubt_misfit(&mut self, txn: &Txn) {
        if self.database.is_fuzzy() || self.database.fits(txn) {
            return;
        }
        let zxid = txn.zxid();
        tracing::error!(
            %zxid, op = ?txn.header().op,
            "a committed transaction does not fit the tree of this server, and is passed over: the tree is not its \
             leader's, or somebody has led who is no member of this ensemble"
        );
        self.database.set_tolerant(true);
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

    /// The transactions of a [`LogRead`], in order; `None`: not there, more than may be read, or they
    /// cannot be read.
    pub fn handle_log_read(&mut self, now: Now, id: u64, txns: Option<Vec<Txn>>) {
        self.service.now = now;
        self.service.ensemble.peer.handle_log_read(now.mono, id, txns);
        self.follow_peer(now);
    }

    /// What the outside witness says (`oraclePath`): told by the edge each tick.
    pub fn set_oracle(&mut self, now: Now, says_yes: bool) {
        self.service.now = now;
        self.service.ensemble.peer.set_oracle(now.mono, says_yes);
        self.follow_peer(now);
    }

    /// Carries out what the peer wants done, as far as it may be done now.
    ///
    /// Only the `handle_…` functions and [`Replica::take_output`] call it, at their ends: what they do tells the peer
    /// what has happened, and never waits for what the peer makes of it.
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
                    let mut ready = std::mem::take(&mut self.service.ensemble.ready);
                    let more = self.service.ensemble.peer.take_ready(&mut ready);
                    if ready.is_empty() && !more {
                        self.service.ensemble.ready = ready;
                        return;
                    }
                    self.carry_out(now, ready);
                }
            }
        }
    }

    /// Carries a `Ready` out, or holds it where it must wait for a cut.
    fn carry_out(&mut self, now: Now, mut ready: Ready) {
        for op in &ready.send {
            if let LinkOp::Close { link } = op {
                self.service.ensemble.questions.forget(*link);
            }
        }
        let begins_log = self.service.ensemble.begins_log();
        if begins_log || ready.cuts() || !ready.standing.is_empty() {
            // The peer is what it says already: in a turn in which this were not, a leader would propose that leads
            // no more. And what is cut stands still.
            self.apply_more(now, true);
        }
        if self.service.pipeline.has_to_wait_for_cut(&ready, &self.service.ensemble) {
            self.service.ensemble.held = Some(Held::Whole(ready));
            return;
        }
        if begins_log {
            self.service.begin_log();
            return self.carry_out(now, ready);
        }
        if let Some(zxid) = ready.restore {
            self.restore_in_memory(now, zxid);
        }
        self.service.pipeline.plan_disk(now, &mut ready, &mut self.service.ensemble);
        if self.service.pipeline.steps.is_frozen() {
            self.service.ensemble.held = Some(Held::InMemory(ready));
            return;
        }
        self.begin_in_memory(now, ready);
    }

    /// What waits for no disk, behind what is committed before it.
    fn begin_in_memory(&mut self, now: Now, mut ready: Ready) {
        if planted::is(self.service.options.planted, PlantedBug::CommitOutOfOrder)
            && self.service.ensemble.is_learning()
            && ready.commit.len() > 1
        {
            ready.commit.swap(0, 1);
        }
        if !self.service.ensemble.applying.is_empty() {
            // The leader takes who does not answer for dead.
            let is_ping = |inbound: &mut Inbound| matches!(inbound, Inbound::Ping { .. });
            for ping in ready.inbound.extract_if(.., is_ping).collect::<Vec<_>>() {
                self.on_inbound(now, ping);
            }
        }
        let applying = &mut self.service.ensemble.applying;
        applying.is_urgent |= !ready.standing.is_empty();
        applying.bytes += ready.commit.iter().map(Applying::bytes_of).sum::<usize>();
        applying.readies.push_back(ready);
        self.apply_more(now, false);
    }

    /// Goes on with what is committed: as much as a turn applies, or everything.
    fn apply_more(&mut self, now: Now, is_all: bool) {
        if std::mem::replace(&mut self.service.ensemble.applying.is_busy, true) {
            return;
        }
        while let Some(mut ready) = self.service.ensemble.applying.readies.pop_front() {
            let is_all = is_all || self.service.ensemble.applying.is_urgent;
            self.follow_in_memory(now, &mut ready, is_all);
            if !ready.is_empty() {
                self.service.ensemble.applying.readies.push_front(ready);
                break;
            }
            self.service.ensemble.ready = ready;
        }
        let applying = &mut self.service.ensemble.applying;
        applying.is_busy = false;
        applying.is_urgent = false;
        applying.since = if applying.is_empty() { None } else { applying.since.or(Some(now.mono)) };
    }

    /// Of a `Ready`, what waits for no disk: all of it, or as many of its transactions as a turn applies. Nothing that
    /// follows is looked at before the last of them.
    fn follow_in_memory(&mut self, now: Now, ready: &mut Ready, is_all: bool) {
        let mut applied = 0;
        for txn in &ready.commit {
            let units = self.service.units_of_applying(txn);
            if !is_all && !self.service.work.may_apply(units) {
                break;
            }
            // What was proposed here was decided against this tree.
            if !self.service.ensemble.proposes() {
                self.service.doubt_misfit(txn);
            }
            self.on_committed(now, txn, units);
            self.service.ensemble.applying.bytes -= Applying::bytes_of(txn);
            applied += 1;
        }
        ready.commit.drain(..applied);
        if !ready.commit.is_empty() {
            return;
        }
        self.answer_questions(now);
        if let Some(unlogged) = &mut self.service.ensemble.unlogged {
            unlogged.on_applied(self.service.database.last_processed());
        }
        for standing in ready.standing.drain(..) {
            self.on_standing(now, standing);
        }
        let is_new = ready.config.iter().any(|change| matches!(change, ConfigChange::Active(_)));
        if is_new && self.service.options.reconfig {
            // ZooKeeper: QuorumPeer.processReconfig. The first version has no transaction, and a
            // learner may hear of a configuration before its transaction.
            self.service.show_config(now);
        }
        self.service.ensemble.configs.append(&mut ready.config);
        for inbound in ready.inbound.drain(..) {
            self.on_inbound(now, inbound);
        }
        assert!(ready.is_empty(), "everything that a peer wants is carried out");
    }

    fn on_inbound(&mut self, now: Now, inbound: Inbound) {
        match inbound {
            Inbound::Request(request) => self.on_forwarded_request(now, request),
            Inbound::Touch { session, timeout_ms } => match self.service.ensemble.role {
                ReplicaRole::Leading => {
                    _ = self.service.sessions.tracker.touch_with(session, timeout_ms, now.mono)
                }
                // From an observer that learns from this follower: the leader hears of it with the
                // follower's own. What it does not know is not worth passing on, nor keeping.
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

    /// What it is in its ensemble, for `mntr` and the admin server.
    pub fn peer(&self) -> &Peer {
        &self.service.ensemble.peer
    }
}
