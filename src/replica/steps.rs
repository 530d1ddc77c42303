//! The steps that the peer wants done to the disk, one after the other, each durable before the next.
//!
//! ```text
//! truncate: log closed → its files cut, the database read again → log reopened
//!           (if the files do not hold the state at the cut: the applied state as a snapshot → files cut there)
//! restore:  log closed → the tree in memory as a snapshot → files cut if they reach further → log reopened
//! epochs:   acceptedEpoch → currentEpoch
//! send, durable: messages that are true only after everything before them
//! ```
//! An append is not a step: transactions go to the log as soon as no truncation and no
//! restoration is before them, and a step knows up to which of them the log must be durable. So the
//! log never waits for an acknowledgement that is still to be sent.
//!
//! A truncation or a restoration is a *cut*. There is at most one: a `Ready` that asks for another waits until the
//! first is done. And the database does not change from the moment at which a cut is planned until its tree begins to
//! be written, or the files are cut, so that the snapshot has the zxid that was meant.
//!
//! # Why the snapshot comes before the cut
//! ```text
//! 1. a server has snapshots of 1:2 and 1:9, the latter a tree of a leader of epoch 2, and currentEpoch 2
//! 2. another leader sends its tree as of 1:5, committed by others who followed epoch 1
//! 3. the files are cut behind 1:5, that is at 1:2, and the power goes
//! 4. (epoch 2, 1:2) beats everybody who has (epoch 1, 1:5): 1:3 to 1:5 are lost
//! ```

use std::collections::VecDeque;

use super::backlog::Backlog;
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::pipeline::Pipeline;
use super::tree::Reason;
use super::{Reload, Reloaded, Replica};
use crate::database::Database;
use crate::id::Zxid;
use crate::io::{Owner, Token};
use crate::planted::{self, PlantedBug};
use crate::recovery::Recovered;
use crate::time::Now;
use crate::zab::{Durable, Ready, Vouch};
use crate::zab::{Epochs, OriginFile};

/// One step. The module's header says what each does.
#[derive(Debug)]
pub(super) enum Step {
    /// Cut off everything behind this zxid.
    Truncate(Zxid),
    /// Write the database in memory, which is that of this zxid.
    Restore(Zxid),
    /// Write the epoch files.
    Epochs(Epochs),
    /// Send these messages.
    Vouch(Vec<Vouch>),
    /// Tell the peer that everything before this token is durable.
    Durable(u64),
}

impl Step {
    /// Whether transactions behind the step must wait for it.
    pub fn is_cut(&self) -> bool {
        matches!(self, Step::Truncate(_) | Step::Restore(_))
    }
}

/// A step, and when it may begin.
#[derive(Debug)]
pub(super) struct Planned {
    pub step: Step,
    /// The log must be durable up to here before the step begins.
    pub after: Zxid,
}

/// How far the first step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum StepPhase {
    /// Not begun.
    #[default]
    Waiting,
    /// The log's writer is closing its files.
    Closing,
    /// The edge cuts the files for a truncation.
    Reloading,
    /// The tree of this zxid is being written.
    Snapshot(Zxid),
    /// The tree of this zxid is written, and the edge cuts the files behind it.
    CuttingBehind(Zxid),
    /// A file is being replaced. Holds the epochs and `historyOrigin` that are on the disk afterwards.
    File(Token, Epochs, OriginFile),
}

/// The steps, in order.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The steps that are not done, the oldest first.
    pub planned: VecDeque<Planned>,
    /// How far the first of them is.
    ///
    /// Invariant: `Waiting` if there is none.
    pub phase: StepPhase,
    /// Transactions that go to the log beside the steps.
    pub backlog: Backlog,
    /// The epochs that the epoch files hold. `None`: a server on its own has no such files.
    pub epochs_on_disk: Option<Epochs>,
    /// The content of the file `historyOrigin`.
    pub origin_file: OriginFile,
    /// The epochs that the files will hold after all planned steps.
    pub epochs_planned: Option<Epochs>,
    /// The number of the replica's next operation of its own.
    pub next_token: u64,
    /// The cut that is planned or under way.
    ///
    /// Invariant: `planned` holds one truncation or restoration if it is set, otherwise none.
    cut: Option<Cut>,
}

/// The one truncation or restoration that is planned or under way.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Whether the database must not change.
    is_frozen: bool,
}

impl Steps {
    /// Begins over a log that ends at `log_end`.
    pub fn start(&mut self, log_end: Zxid) {
        assert!(self.planned.is_empty(), "nothing is planned before the start");
        self.backlog.set_end(log_end);
    }

    /// A member's epoch files hold `epochs`.
    pub fn start_epochs(&mut self, epochs: Epochs) {
        assert!(self.epochs_on_disk.is_none(), "the epoch files are read once");
        (self.epochs_on_disk, self.epochs_planned) = (Some(epochs), Some(epochs));
        self.origin_file = OriginFile::between(None, epochs);
    }

    /// Whether a truncation or a restoration is planned.
    pub fn has_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether the database must not change.
    pub fn is_frozen(&self) -> bool {
        self.cut.is_some_and(|cut| cut.is_frozen)
    }

    /// Plans to write the `currentEpoch` of `epochs`, which had to wait until now.
    pub fn push_current(&mut self, epochs: Epochs) {
        let accepted = self.epochs_planned.map_or(epochs.accepted, |planned| planned.accepted);
        self.push_epochs(Epochs { accepted, ..epochs });
    }

    /// Whether the first step waits for a tree that is being written.
    pub fn writes_tree(&self) -> bool {
        matches!(self.phase, StepPhase::Snapshot(_))
    }

    /// Plans a step behind all others, and behind all transactions so far.
    fn push(&mut self, step: Step) {
        if step.is_cut() {
            assert!(self.cut.is_none(), "{step:?} waits until {:?} is done", self.cut);
            self.cut = Some(Cut { is_frozen: true });
            self.backlog.plan_cut();
        }
        self.planned.push_back(Planned { step, after: self.backlog.end() });
    }

    /// Plans to make log and snapshots hold the database in memory, which is that of `zxid`.
    pub fn push_restore(&mut self, zxid: Zxid) {
        self.push(Step::Restore(zxid));
        self.backlog.set_end(zxid);
    }

    /// Plans to write the epoch files.
    pub fn push_epochs(&mut self, epochs: Epochs) {
        self.epochs_planned = Some(epochs);
        self.push(Step::Epochs(epochs));
    }

    /// Plans to write the `acceptedEpoch` of `epochs`; `currentEpoch` stays.
    pub fn push_accepted(&mut self, epochs: Epochs) {
        let current = self.epochs_planned.map_or(epochs.current, |planned| planned.current);
        self.push_epochs(Epochs { current, ..epochs });
    }

    /// The first step is done: takes it off.
    fn pop(&mut self) -> Step {
        self.phase = StepPhase::Waiting;
        let step = self.planned.pop_front().expect("the step that is done was planned").step;
        if step.is_cut() {
            assert!(self.cut.is_some(), "a cut that is done was planned");
            self.cut = None;
            self.backlog.end_cut();
        }
        step
    }

    /// The database may change again.
    fn thaw(&mut self) {
        assert!(self.is_frozen(), "the database stood still until its tree began to be written");
        self.cut.as_mut().expect("the first step is a cut").is_frozen = false;
    }

    /// Whether an epoch file is being written.
    pub fn writes_file(&self) -> bool {
        matches!(self.phase, StepPhase::File(..))
    }

    /// A new token for an operation of the replica's own.
    pub fn token(&mut self) -> Token {
        let token = Token::new(Owner::Replica, self.next_token);
        self.next_token += 1;
        token
    }
}

impl Pipeline {
    /// Whether nothing of the log or of a snapshot is under way.
    pub(super) fn is_log_closed(&self) -> bool {
        self.txnlog.is_closed() && !self.snapshots.is_active()
    }
}

impl Pipeline {
    /// Takes out of a `Ready` all that concerns the disk and the links. If that freezes the database, the
    /// rest of the `Ready` waits. For a restoration, the database in memory is the restored tree already.
    pub(super) fn plan_disk(&mut self, now: Now, ready: &mut Ready, ensemble: &mut Ensemble) {
        let steps = &mut self.steps;
        assert!(!steps.is_frozen(), "a Ready waits while the database must not change");
        ensemble.links.append(&mut ready.send);
        ensemble.log_reads.append(&mut ready.log_reads);
        if let Some(zxid) = ready.truncate.take() {
            steps.push(Step::Truncate(zxid));
            steps.backlog.set_end(zxid);
        }
        if let Some(zxid) = ready.restore.take() {
            if planted::is(self.options.planted, PlantedBug::SnapNotWritten) {
                steps.backlog.set_end(zxid);
            } else {
                steps.push_restore(zxid);
            }
            if let Some(unlogged) = &mut ensemble.unlogged {
                unlogged.on_tree(zxid);
            }
        }
        match &mut ensemble.unlogged {
            None => ready.append.drain(..).for_each(|txn| self.steps.backlog.push(txn)),
            // ZooKeeper: ObserverZooKeeperServer. Transactions that are not logged count as synced at once.
            Some(unlogged) => {
                if let Some(last) = unlogged.put(&mut ready.append) {
                    ensemble.peer.handle_synced(last);
                }
            }
        }
        let steps = &mut self.steps;
        let too_much = steps.backlog.is_too_much();
        if let Some(epochs) = ready.epochs.take() {
            let may_vouch =
                ensemble.unlogged.as_mut().is_none_or(|unlogged| unlogged.may_vouch(epochs));
            match may_vouch {
                true => steps.push_epochs(epochs),
                false => steps.push_accepted(epochs),
            }
        }
        if !ready.send_after_sync.is_empty() {
            let vouched = std::mem::take(&mut ready.send_after_sync);
            match steps.planned.back_mut() {
                Some(Planned { step: Step::Vouch(before), after, .. })
                    if *after == steps.backlog.end() =>
                {
                    before.extend(vouched);
                }
                _ => steps.push(Step::Vouch(vouched)),
            }
        }
        if let Some(token) = ready.durable.take() {
            steps.push(Step::Durable(token));
        }
        if too_much && ensemble.role != ReplicaRole::Alone && !steps.is_frozen() {
            ensemble.peer.leave(now.mono, "the disk does not keep up with the transactions");
        }
    }

    /// Does the steps that can be done. True: at least one is done, which may concern the log or the peer.
    pub(super) fn run_steps(
        &mut self,
        now: Now,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) -> bool {
        let mut moved = false;
        while !self.stopped {
            let steps = &mut self.steps;
            // All steps are done.
            let Some(first) = steps.planned.front() else { return moved };
            if steps.phase == StepPhase::Waiting && self.txnlog.synced() < first.after {
                return moved;
            }
            let done = match first.step {
                Step::Vouch(_) | Step::Durable(_) => {
                    assert!(
                        steps.phase == StepPhase::Waiting,
                        "a step that sends begins when the steps before it are done"
                    );
                    assert!(self.txnlog.synced() >= first.after, "what is sent is durable");
                    true
                }
                Step::Epochs(epochs) => self.write_epochs(epochs),
                Step::Truncate(zxid) => self.truncate(zxid, database, ensemble),
                Step::Restore(zxid) => self.restore_on_disk(now, zxid, database, ensemble),
            };
            if !done {
                return moved;
            }
            moved = true;
            match self.steps.pop() {
                Step::Vouch(vouched) => {
                    let durable = Durable::as_the_disk_says();
                    let sends = vouched.into_iter().map(|vouch| vouch.release(&durable));
                    ensemble.links.extend(sends);
                }
                Step::Durable(token) => {
                    ensemble.peer.handle_durable(now.mono, token);
                }
                Step::Epochs(_) => {}
                Step::Truncate(_) | Step::Restore(_) => unreachable!("`on_cut_done` ends a cut"),
            }
        }
        moved
    }

    // ---- epochs

    /// Goes on with a truncation. False: it is not done. [`Pipeline::on_cut_done`] ends it.
    pub(super) fn truncate(
        &mut self,
        zxid: Zxid,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) -> bool {
        match self.steps.phase {
            StepPhase::Waiting => {
                tracing::warn!(
                    %zxid, log = %self.txnlog.appended(),
                    "cutting off transactions that the ensemble never committed"
                );
                self.close_log(database, ensemble);
                self.steps.phase = StepPhase::Closing;
                self.truncate(zxid, database, ensemble)
            }
            StepPhase::Closing if self.is_log_closed() => {
                let database = database.last_processed() > zxid;
                assert!(
                    self.reload.is_none(),
                    "the edge has cut the files that were to be cut before"
                );
                self.reload = Some(Reload { truncate: zxid, database });
                self.steps.phase = StepPhase::Reloading;
                false
            }
            StepPhase::Closing
            | StepPhase::Reloading
            | StepPhase::Snapshot(_)
            | StepPhase::CuttingBehind(_)
            | StepPhase::File(..) => false,
        }
    }

    /// Begins to close the log and gives up the snapshots under way, because the files are about to change.
    pub(super) fn close_log(&mut self, database: &mut Database, ensemble: &mut Ensemble) {
        self.txnlog.close();
        self.give_up_snapshots(database, ensemble);
    }

    /// The files do not hold the state at the cut. Transactions that are applied stay. Those that are only logged go:
    /// the leader has said that they were never committed.
    ///
    /// ```text
    /// 1. a server whose tree is a leader's of 1:8 has logged 1:9, and is told to cut at 1:5
    /// 2. it cannot; if its log stayed as it is, and only its memory forgot 1:9, it might lead from 1:8
    /// 3. after its next start 1:9 is there again, in the middle of the history with which it led
    /// ```
    pub(super) fn on_not_held(
        &mut self,
        now: Now,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) {
        let applied = database.last_processed();
        if self.txnlog.appended() > applied {
            self.write_tree(now, applied, database);
        } else {
            self.on_tree_kept(now, applied, ensemble);
        }
    }

    /// The cut is done: the log continues behind `zxid`.
    pub(super) fn on_cut_done(&mut self, zxid: Zxid, ensemble: &mut Ensemble) {
        let random = ensemble.random();
        self.txnlog.reopen(zxid, random);
        self.newest_snapshot = self.newest_snapshot.min(zxid);
        let done = self.steps.pop();
        assert!(done.is_cut(), "{done:?} is not a cut");
    }

    // ---- restore

    /// Goes on with a restoration. False: it is not done. [`Pipeline::on_cut_done`] ends it.
    pub(super) fn restore_on_disk(
        &mut self,
        now: Now,
        zxid: Zxid,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) -> bool {
        match self.steps.phase {
            StepPhase::Waiting => {
                self.close_log(database, ensemble);
                self.steps.phase = StepPhase::Closing;
                self.restore_on_disk(now, zxid, database, ensemble)
            }
            StepPhase::Closing if self.is_log_closed() => {
                self.write_tree(now, zxid, database);
                self.steps.thaw();
                false
            }
            StepPhase::Closing
            | StepPhase::Reloading
            | StepPhase::Snapshot(_)
            | StepPhase::CuttingBehind(_)
            | StepPhase::File(..) => false,
        }
    }

    /// Begins to write the database, which is that of `zxid`, while the log is closed.
    pub(super) fn write_tree(&mut self, now: Now, zxid: Zxid, database: &mut Database) {
        let last = database.last_processed();
        assert!(last == zxid, "the database is at {last}, and its tree is to be that of {zxid}");
        assert!(self.steps.has_cut(), "a tree is written for a cut");
        self.steps.phase = StepPhase::Snapshot(zxid);
        self.begin_snapshot_alone(now, database);
    }

    /// The tree for a cut is on the disk.
    pub(super) fn on_tree_written(
        &mut self,
        now: Now,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) {
        let StepPhase::Snapshot(zxid) = self.steps.phase else {
            unreachable!("a tree that is written was being written")
        };
        // Transactions that the ensemble never committed must not come back behind the tree.
        if self.txnlog.appended() > zxid || self.newest_snapshot > zxid {
            assert!(self.reload.is_none(), "the edge has cut the files that were to be cut before");
            self.reload = Some(Reload { truncate: zxid, database: false });
            self.steps.phase = StepPhase::CuttingBehind(zxid);
            return;
        }
        self.on_tree_kept(now, zxid, ensemble);
        self.run_steps(now, database, ensemble);
    }

    /// The files end with the tree of `zxid`.
    pub(super) fn on_tree_kept(&mut self, now: Now, zxid: Zxid, ensemble: &mut Ensemble) {
        let steps = &mut self.steps;
        if let Some(Planned { step: Step::Truncate(_), .. }) = steps.planned.front() {
            steps.backlog.set_end(zxid);
            // A step that waits for the log up to the cut would wait for ever.
            steps.planned.iter_mut().for_each(|planned| planned.after = planned.after.min(zxid));
            ensemble.peer.handle_not_cut(now.mono, zxid);
        }
        self.on_cut_done(zxid, ensemble);
    }
}

impl Replica {
    /// The edge has carried out a [`Reload`], or says why the server must stop.
    pub fn handle_reloaded(&mut self, now: Now, result: Result<Reloaded, String>) {
        self.service.now = now;
        let reloaded = match result {
            Ok(reloaded) => reloaded,
            Err(reason) => {
                return self.service.pipeline.stop(format!("the log cannot be cut: {reason}"));
            }
        };
        let phase = self.service.pipeline.steps.phase;
        let first = self.service.pipeline.steps.planned.front().expect("a cut is under way");
        match (&first.step, phase, reloaded) {
            (Step::Truncate(zxid), StepPhase::Reloading, Reloaded::Cut(recovered)) => {
                self.on_truncated(now, *zxid, recovered);
            }
            (Step::Truncate(_), StepPhase::Reloading, Reloaded::NotHeld) => self
                .service
                .pipeline
                .on_not_held(now, &mut self.service.database, &mut self.service.ensemble),
            (Step::Truncate(_) | Step::Restore(_), StepPhase::CuttingBehind(at), reloaded) => {
                if let Reloaded::NotHeld = reloaded {
                    return self.service.pipeline.stop(format!(
                        "the snapshot of {at} that was just written cannot be read: the disk does not \
                         keep what it is given"
                    ));
                }
                self.service.pipeline.on_tree_kept(now, at, &mut self.service.ensemble);
            }
            (step, phase, _) => unreachable!("{step:?} asks for no reload while it is {phase:?}"),
        }
        self.service.pipeline.run_steps(
            now,
            &mut self.service.database,
            &mut self.service.ensemble,
        );
        self.follow_peer(now);
    }

    /// The files are cut behind `zxid`. `recovered`: the database as it is there, if the one in memory was beyond that.
    fn on_truncated(&mut self, now: Now, zxid: Zxid, recovered: Option<Box<Recovered>>) {
        if let Some(recovered) = recovered {
            self.replace_database(now, recovered.database, Reason::Cut);
            let last = self.service.database.last_processed();
            if last < zxid && zxid.counter() != 0 {
                return self.service.pipeline.stop(format!(
                    "the log was cut behind {zxid}, and what is left of it ends at {last}"
                ));
            }
            self.service.database.set_last_processed(zxid);
        }
        if let Some(unlogged) = &mut self.service.ensemble.unlogged {
            unlogged.on_cut(zxid);
        }
        self.service.pipeline.on_cut_done(zxid, &mut self.service.ensemble);
    }
}
