//! A leader: finds out the epoch, brings learners up to date, broadcasts (`Leader`).
//!
//! ```text
//! Discovery → Accepting → EpochAcks → Synchronization → Broadcast
//! epochs of    acceptedEpoch  ACKEPOCHs    ACKs of NEWLEADER,
//! a quorum     durable        of a quorum  currentEpoch durable
//! ```
//! The leader decides and never acts: what happens to links, disk and database arrives as events, and what shall
//! happen to them leaves as a [`Ready`]. The rule that is easiest to break: a learner gets every transaction exactly
//! once, either with its history or by broadcast. So the broadcast to a learner begins in the same step in which its
//! history is chosen.

mod acks;
mod activation;
mod broadcast;
mod claims;
mod discovery;
mod duties;
mod epoch_acks;
mod facts;
mod guests;
mod handler;
mod learners;
mod missing;
mod observer_master;
mod outbox;
mod phase;
mod reign;
mod sync;
#[cfg(test)]
mod tests;
mod under_way;

pub use facts::{LeaderFacts, LearnerFacts, ProposalSizes, ReconfigProgress};
pub use observer_master::{MasterView, ObserverMaster, Upstream};

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use tracing::warn;

use super::{CommittedLog, Epochs, Lasting, Numbers, Origin};
use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::LEARNER_BACKLOG_BYTES_MAX;
use crate::link::{LinkEvent, Port};
use crate::planted::{self, PlantedBug};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::time::MonoUs;
use crate::zab::{ConfigChange, Inbound, Ready, Standing};
use acks::Acks;
use broadcast::{PendingSync, Proposal};
pub use claims::is_far;
use learners::Learners;
use missing::Missing;
use phase::LeaderPhase;
use reign::Reign;

/// A leader, from its election until it steps down.
///
/// ```text
///  history, of earlier epochs │ this epoch
///  ───────────────────────────┼──────────────────────┬─────────────────────┐
///   committed with the epoch  │ committed one by one │ `proposals`         │
///                 (epoch, 0) ─┘          `committed` ┘          `proposed` ┘
/// ```
/// Invariant: `committed ≤ proposed`, and `proposals` is what lies between the two, in order. Until a quorum has the
/// history, both are the end of the history; then both begin at `(epoch, 0)`. The log ends at `proposed` as soon as
/// anything is proposed.
#[derive(Debug)]
pub struct Leader {
    /// The state that outlives the role: the log, the epochs that the disk has or will have, the configurations. The
    /// leader changes it at once, and `out` says what the disk has to do for that.
    lasting: Box<Lasting>,
    /// The active configuration, and the next one while a reconfiguration is proposed. Every decision needs a quorum of
    /// each.
    ///
    /// Invariant: one or two configurations, in this order.
    quorums: Rc<Vec<Rc<Config>>>,
    /// The source of numbers for requests that are answered later. All roles of the process share it, so that the
    /// answer to a former role's request matches nothing here.
    numbers: Numbers,
    /// `currentEpoch` and the last zxid of this server when it was elected. A follower that is ahead of them proves
    /// that the election was wrong, and is refused.
    ///
    /// Invariant: never changes.
    summary: (Epoch, Zxid),
    /// The number of the history that begins with this leader, if its own history is empty.
    new_origin: Origin,
    /// The epoch of this leader.
    ///
    /// Invariant: `None` exactly during discovery.
    epoch: Option<Epoch>,
    /// The progress towards serving.
    phase: LeaderPhase,
    /// The connected learners.
    learners: Learners,
    /// The id that was last given to a learner without an id of its own.
    ///
    /// Invariant: not positive, so that no server of a configuration has it; each such learner lowers it by one.
    nameless: i64,

    /// The proposals that are not committed, oldest first.
    ///
    /// Invariant: their zxids rise from above `committed` up to `proposed`, and are those of the journal's pending
    /// transactions.
    proposals: VecDeque<Proposal>,
    /// The end of what this leader has proposed. The next proposal gets the zxid after it.
    proposed: Zxid,
    /// The end of what this leader has committed. Learners that are brought up to date get everything up to here as
    /// committed.
    committed: Zxid,
    /// The newest acknowledgement of each server. A commit needs them from a quorum.
    acks: Acks,
    /// The syncs of learners that wait for a commit, oldest first.
    ///
    /// Invariant: `after` never falls from one to the next; there are none before this leader serves.
    syncs: VecDeque<PendingSync>,
    /// The questions whether this server still leads.
    reign: Reign,
    /// The sizes of proposals, for operators.
    sizes: ProposalSizes,
    /// How often a follower came back with less than it had acknowledged, for operators.
    acknowledged_lost: u64,
    /// The voters that do not follow, for the log.
    missing: Missing,
    /// The server that a reconfiguration has named as the next leader, and until when this one waits for its followers
    /// to leave. The remaining proposals are the next leader's to commit.
    ///
    /// Invariant: set only after this leader has begun to serve, once, and never to this server.
    handover: Option<(ServerId, MonoUs)>,

    /// The time of the last event.
    now: MonoUs,
    /// The time of the election, for operators and for `leader.maxTimeToWaitForEpoch`.
    since: MonoUs,
    /// The number of whole ticks for which this leader has served. A learner is in sync up to its own `tick_deadline`.
    tick: u64,
    /// Whether the last timer fell into the middle of a tick. Pings leave every half tick; the quorum is checked every
    /// whole tick.
    is_half_tick: bool,
    /// The time of the next timer.
    next_half_tick: MonoUs,
    /// The last answer of the outside witness. It counts only among two voters, and only while the other one is absent.
    oracle_says_yes: bool,
    /// The reason to step down.
    ///
    /// Invariant: once set, it stays, and this leader decides nothing more.
    failure: Option<String>,

    /// The effects that were not taken yet.
    out: Out,
}

/// The effects that [`Leader::take_ready`] hands over.
#[derive(Debug, Default)]
struct Out {
    append: Vec<Txn>,
    /// The epochs, and the token that says when they are durable.
    epochs: Option<(Epochs, u64)>,
    commit: Vec<Txn>,
    standing: Vec<Standing>,
    config: Vec<ConfigChange>,
    inbound: Vec<Inbound>,
}

impl Leader {
    /// A leader that was just elected. The whole journal was handed out for commit before. All leaders and learners of
    /// the process share `numbers`. `new_origin` is any number; it names the history if the history begins here.
    pub fn new(
        mut lasting: Box<Lasting>,
        numbers: Numbers,
        new_origin: Origin,
        now: MonoUs,
    ) -> Leader {
        let last = lasting.journal.accepted();
        assert_eq!(lasting.journal.committed(), last, "all that it has is its epoch's history");
        assert!(
            lasting.journal.pending().is_empty(),
            "no transaction waits for a former leader's commit"
        );
        assert!(lasting.observers.is_none(), "observers of a follower go with its role");
        let Lasting { options, config, epochs, .. } = &*lasting;
        let (options, config, epochs) = (options.clone(), config.clone(), *epochs);
        if !options.reconfig {
            // ZooKeeper: QuorumPeer keeps no proposed configuration if reconfiguration is switched off.
            lasting.last_seen = config.clone();
        }
        let learners = Learners::new(options.clone(), numbers.clone(), LEARNER_BACKLOG_BYTES_MAX);
        let half_tick_at = now.plus_ms(options.tick_ms.div_ceil(2));
        let phase = LeaderPhase::discovery(&options, &config, epochs, now);
        let mut leader = Leader {
            lasting,
            quorums: Rc::new(Vec::new()),
            numbers,
            summary: (epochs.current, last),
            new_origin,
            epoch: None,
            phase,
            learners,
            nameless: 0,
            proposals: VecDeque::new(),
            proposed: last,
            committed: last,
            acks: Acks::default(),
            syncs: VecDeque::new(),
            reign: Reign::default(),
            sizes: ProposalSizes::default(),
            acknowledged_lost: 0,
            missing: Missing::default(),
            handover: None,
            now,
            since: now,
            tick: 0,
            is_half_tick: false,
            next_half_tick: half_tick_at,
            oracle_says_yes: false,
            failure: None,
            out: Out::default(),
        };
        leader.set_quorums();
        leader.maybe_decide_epoch();
        leader
    }

    // ---- events

    /// Handles an event on a learner's link. The links that were accepted before the election are handed over as
    /// `Accepted` and, if bytes came, `Received`.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        self.now = now;
        if self.failure.is_some() {
            return;
        }
        match event {
            LinkEvent::Accepted { link, port: Port::Quorum, remote, may_be } => {
                let deadline =
                    self.tick + self.lasting.options.init_limit + self.lasting.options.sync_limit;
                self.learners.accept(now, link, (remote, may_be), deadline);
            }
            LinkEvent::Identified { link, may_be } => {
                let quorums = self.quorums.clone();
                let is_member = |id| quorums.iter().any(|config| config.members.contains_key(&id));
                self.learners.identify(now, link, may_be, is_member);
                self.maybe_leave();
            }
            LinkEvent::Accepted { .. } | LinkEvent::Connected { .. } => {}
            LinkEvent::Received { link, bytes } => {
                self.learners.handle_received(now, link, bytes);
                self.advance(link);
            }
            LinkEvent::Sent { link, bytes } => self.learners.handle_sent(now, link, bytes),
            LinkEvent::Closed { link, reason } => {
                self.learners.forget(link, reason);
                self.maybe_leave();
                self.maybe_give_way();
            }
        }
        self.maybe_commit();
    }

    /// Everything appended up to `zxid` is durable, which is the leader's own acknowledgement.
    pub fn handle_synced(&mut self, zxid: Zxid) {
        self.acks.record_own(self.lasting.options.me, zxid);
        self.maybe_commit();
    }

    /// The effects of the `Ready` with this token are durable. A token of another role is ignored.
    pub fn handle_durable(&mut self, now: MonoUs, token: u64) {
        self.now = now;
        if self.failure.is_none() {
            self.on_durable(token);
        }
    }

    /// The answer to a [`LogRead`](crate::zab::LogRead). The answer to another role's is ignored.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        self.now = now;
        self.learners.handle_log_read(now, id, txns);
    }

    /// The outside witness has answered: whatever waits for a quorum may have one now.
    pub fn set_oracle(&mut self, now: MonoUs, says_yes: bool) {
        self.now = now;
        self.oracle_says_yes = says_yes;
        if self.failure.is_some() {
            return;
        }
        self.maybe_decide_epoch();
        self.maybe_finish_epoch();
        self.maybe_activate();
        self.check_reign();
        self.maybe_commit();
    }

    /// Appends the effects to `ready`: `send`, `append`, `epochs` with `durable`, `commit`, `standing`, `config`,
    /// `inbound`, `log_reads`. A leader never truncates or restores, so that one `Ready` is always enough.
    pub fn take_ready(&mut self, ready: &mut Ready) {
        if let Some(txn) = self.out.append.last() {
            self.learners.expect_acks(self.now, txn.zxid());
        }
        self.learners.take(&mut ready.send, &mut ready.log_reads);
        if self.failure.is_some() {
            self.learners.close_all();
            self.learners.take(&mut ready.send, &mut ready.log_reads);
        }
        ready.append.append(&mut self.out.append);
        if let Some((epochs, token)) = self.out.epochs.take() {
            ready.epochs = Some(epochs);
            ready.durable = Some(token);
        }
        ready.commit.append(&mut self.out.commit);
        ready.standing.append(&mut self.out.standing);
        ready.config.append(&mut self.out.config);
        ready.inbound.append(&mut self.out.inbound);
        self.check_positions();
        self.check_phase();
    }

    /// Checks the drawing of [`Leader`].
    fn check_positions(&self) {
        let journal = &self.lasting.journal;
        assert!(self.committed <= self.proposed, "what is committed was proposed");
        assert_eq!(
            self.proposals.is_empty(),
            self.committed == self.proposed,
            "proposals are what lies between {} and {}",
            self.committed,
            self.proposed
        );
        assert_eq!(self.proposals.len(), journal.pending().len(), "proposals are what is pending");
        let ends = (self.proposals.front(), self.proposals.back());
        if let (Some(first), Some(last)) = ends {
            assert!(first.zxid > self.committed, "{} is committed", first.zxid);
            assert_eq!(last.zxid, self.proposed, "the last one is the newest");
            assert_eq!(journal.accepted(), self.proposed, "the log ends with what is proposed");
        }
    }

    /// Checks what follows from the phase.
    fn check_phase(&self) {
        let is_decided = !matches!(self.phase, LeaderPhase::Discovery { .. });
        assert_eq!(self.epoch.is_some(), is_decided, "discovery ends with an epoch");
        if self.is_active() {
            assert_eq!(Some(self.proposed.epoch()), self.epoch, "a leader proposes in its epoch");
            assert_eq!(Some(self.committed.epoch()), self.epoch, "what came before is committed");
        } else {
            assert!(self.proposals.is_empty(), "nothing is proposed before this leader serves");
            assert!(self.syncs.is_empty(), "no sync waits before this leader serves");
            assert!(self.handover.is_none(), "only a leader that serves gives the lead away");
        }
    }

    /// Why this leader must step down. The `take_ready` before has taken leave of the learners.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Takes leave of all learners for a reason of this server's. The next `take_ready` closes their links.
    pub fn resign(&mut self, reason: &str) {
        self.fail(reason.to_owned());
    }

    /// The state that outlives the role, once this leader has stepped down and its last effects were taken. Proposals
    /// that it did not commit are pending in the journal.
    pub fn into_lasting(self) -> Box<Lasting> {
        assert!(self.failure.is_some(), "the lead is given up for a reason");
        assert!(self.out.append.is_empty(), "what was proposed is on its way to the log");
        assert!(self.out.commit.is_empty(), "what was committed is on its way to the database");
        self.lasting
    }

    /// The state that outlives the role.
    pub fn lasting(&self) -> &Lasting {
        &self.lasting
    }

    /// The state that outlives the role.
    pub fn lasting_mut(&mut self) -> &mut Lasting {
        &mut self.lasting
    }

    /// Moves the effects to the last `Ready` of this server's queue.
    pub fn flush(&mut self) {
        let mut ready = std::mem::take(self.lasting.ready.last());
        self.take_ready(&mut ready);
        *self.lasting.ready.last() = ready;
    }

    fn fail(&mut self, reason: String) {
        if self.failure.is_none() {
            warn!("server {} steps down as the leader: {reason}", self.lasting.options.me);
            self.failure = Some(reason);
        }
    }

    // ---- the whole tree

    /// Whether a learner waits for the whole tree, and none is on its way.
    pub fn wants_snapshot(&self) -> bool {
        self.failure.is_none() && self.learners.wants_snapshot()
    }

    /// The database is held as of `zxid`: the last transaction that was handed out for commit, or the first zxid of
    /// this epoch before there is one. `digest` is that of the tree, if it is sure. If [`Leader::sends_snapshot`] is
    /// false afterwards, nobody can use this tree.
    pub fn snapshot_begins(&mut self, zxid: Zxid, digest: Option<i64>) {
        let tail = self.tail();
        let history = history(
            &self.lasting.options,
            self.lasting.journal.recent(),
            self.committed,
            self.lasting.epochs.origin,
        );
        self.learners.snapshot_begins(self.now, (zxid, digest), &history, &tail);
    }

    /// Whether the learners that get the tree have room for more of it.
    pub fn wants_snapshot_piece(&self) -> bool {
        self.learners.wants_snapshot_piece()
    }

    /// Whether any learner still gets the tree.
    pub fn sends_snapshot(&self) -> bool {
        self.failure.is_none() && self.learners.sends_snapshot()
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

    /// Whether a voter has logged transactions that are not yet durable here.
    pub fn is_behind_others(&self) -> bool {
        self.acks.has_ahead(self.lasting.config.voters())
    }

    /// The epoch, once discovery has decided on one.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// Whether a quorum has this leader's history, so that it serves.
    pub fn is_active(&self) -> bool {
        self.phase.is_broadcast()
    }

    /// The next leader, if a reconfiguration has taken the lead from this server.
    pub fn designated(&self) -> Option<ServerId> {
        self.handover.map(|(server, _)| server)
    }

    /// The newest transaction proposed.
    pub fn accepted(&self) -> Zxid {
        self.proposed
    }

    /// The newest transaction handed out for commit.
    pub fn committed(&self) -> Zxid {
        self.committed
    }

    fn set_quorums(&mut self) {
        let mut configs = vec![self.lasting.config.clone()];
        if self.lasting.last_seen.version > self.lasting.config.version {
            if planted::is(self.lasting.options.planted, PlantedBug::OldQuorumIgnored) {
                configs.clear();
            }
            configs.push(self.lasting.last_seen.clone());
        }
        assert!((1..=2).contains(&configs.len()), "the active one, or it and the next");
        self.quorums = Rc::new(configs);
    }
}

/// The facts on which the choice of a synchronisation depends.
fn history<'a>(
    options: &PeerOptions,
    log: &'a CommittedLog,
    committed: Zxid,
    origin: Option<Origin>,
) -> sync::History<'a> {
    sync::History {
        log,
        committed,
        origin,
        has_files: options.sync_from_log,
        force_snapshot: options.force_snapshot_sync,
    }
}
