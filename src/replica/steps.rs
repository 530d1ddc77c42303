//! What the peer wants done to the disk, one after the other, each durable before the next.
//!
//! ```text
//! truncate: log closed → its files cut, the database read again → log reopened
//!           (where the state there is not to be had: what is applied as a snapshot → files cut there)
//! restore:  log closed → the tree in memory as a snapshot → files cut if they reach further → log reopened
//! epochs:   acceptedEpoch → currentEpoch
//! send, durable: what is true only after everything before it
//! ```
//! Transactions to be appended are no step: they go to the log as soon as no truncation and no
//! restoration is before them, and a step knows up to which of them the log must be durable. So the
//! log is never kept waiting for an acknowledgement that is still to be sent.
//!
//! A truncation or a restoration is a *cut*. There is at most one: what asks for another waits until it is
//! done. And the database stands still from the moment it is planned until its tree begins to be written,
//! or the files are cut, so that the snapshot has the zxid that was meant.
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
use super::room::Room;
use super::tree::Reason;
use super::{Reload, Reloaded, Replica};
use crate::database::Database;
use crate::id::{Epoch, Zxid};
use crate::io::{Completion, IoFailureKind, Op, Owner, Place, Token};
use crate::planted::{self, PlantedBug};
use crate::recovery::Recovered;
use crate::time::Now;
use crate::zab::{Durable, Ready, Vouch};
use crate::zab::{Epochs, OriginFile};

/// One thing to be done.
#[derive(Debug)]
enum Step {
    Truncate(Zxid),
    Restore(Zxid),
    Epochs(Epochs),
    Vouch(Vec<Vouch>),
    Durable(u64),
}

impl Step {
    /// Whether what is to be appended later must wait for it.
    fn is_cut(&self) -> bool {
        matches!(self, Step::Truncate(_) | Step::Restore(_))
    }
}

#[derive(Debug)]
struct Planned {
    step: Step,
    /// The log must be durable up to this before.
    after: Zxid,
}

/// How far the first step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StepPhase {
    /// Not begun.
    #[default]
    Waiting,
    /// The log's writer is closing its files.
    Closing,
    /// The edge cuts the files.
    Reloading,
    /// The tree as of there is being written.
    Snapshot(Zxid),
    /// It is written, and the files are cut behind it.
    CuttingBehind(Zxid),
    /// A file is being replaced; the epochs and `historyOrigin` that are on the disk afterwards.
    File(Token, Epochs, OriginFile),
}

/// The steps, in order.
#[derive(Debug, Default)]
pub(super) struct Steps {
    planned: VecDeque<Planned>,
    phase: StepPhase,
    /// Transactions that go to the log beside the steps.
    pub backlog: Backlog,
    /// What the epoch files hold.
    pub epochs_on_disk: Option<Epochs>,
    /// What `historyOrigin` says.
    origin_file: OriginFile,
    /// What they will hold after what is planned.
    epochs_planned: Option<Epochs>,
    next_token: u64,
    /// The truncation or restoration that is planned.
    cut: Option<Cut>,
}

/// The one truncation or restoration that is under way.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The database must stay as it is.
    is_frozen: bool,
}

impl Steps {
    pub fn start(&mut self, log_end: Zxid) {
        self.backlog.set_end(log_end);
    }

    /// The files of a member as they are.
    pub fn start_epochs(&mut self, epochs: Epochs) {
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

    /// `currentEpoch` is to say this, which was not to be written before.
    pub fn push_current(&mut self, epochs: Epochs) {
        let accepted = self.epochs_planned.map_or(epochs.accepted, |planned| planned.accepted);
        self.push_epochs(Epochs { accepted, ..epochs });
    }

    /// Whether a tree is being written that a step waits for.
    pub fn writes_tree(&self) -> bool {
        matches!(self.phase, StepPhase::Snapshot(_))
    }

    fn push(&mut self, step: Step) {
        if step.is_cut() {
            assert!(self.cut.is_none(), "{step:?} waits until {:?} is done", self.cut);
            self.cut = Some(Cut { is_frozen: true });
            self.backlog.plan_cut();
        }
        self.planned.push_back(Planned { step, after: self.backlog.end() });
    }

    /// The database as it is becomes what log and snapshots hold.
    pub fn push_restore(&mut self, zxid: Zxid) {
        self.push(Step::Restore(zxid));
        self.backlog.set_end(zxid);
    }

    /// The epoch files are to say this.
    pub fn push_epochs(&mut self, epochs: Epochs) {
        self.epochs_planned = Some(epochs);
        self.push(Step::Epochs(epochs));
    }

    /// `acceptedEpoch` is to say this; `currentEpoch` stays.
    pub fn push_accepted(&mut self, epochs: Epochs) {
        let current = self.epochs_planned.map_or(epochs.current, |planned| planned.current);
        self.push_epochs(Epochs { current, ..epochs });
    }

    /// The first step is done.
    fn pop(&mut self) -> Step {
        self.phase = StepPhase::Waiting;
        let step = self.planned.pop_front().expect("a step was looked at").step;
        if step.is_cut() {
            self.cut = None;
            self.backlog.end_cut();
        }
        step
    }

    /// The database may change again.
    fn thaw(&mut self) {
        self.cut.as_mut().expect("a cut is the first step").is_frozen = false;
    }

    /// Whether an epoch file is being written.
    pub fn writes_file(&self) -> bool {
        matches!(self.phase, StepPhase::File(..))
    }

    /// A name for an operation of the replica's own.
    pub fn token(&mut self) -> Token {
        let token = Token::new(Owner::Replica, self.next_token);
        self.next_token += 1;
        token
    }
}

impl Pipeline {
    /// Begins to replace the next file that differs. True: both are as they should be.
    pub(super) fn write_epochs(&mut self, wanted: Epochs) -> bool {
        let looks_for_room = matches!(self.room, Room::Looking(_));
        let steps = &mut self.steps;
        if steps.phase != StepPhase::Waiting || looks_for_room {
            return false;
        }
        let on_disk = steps.epochs_on_disk;
        let known = on_disk.unwrap_or(wanted);
        let mut origin_file = steps.origin_file;
        let says = origin_file.origin(wanted.current);
        // Whoever has followed an epoch says where its history began, so that stands there before; of the
        // two epochs the one that must never be behind the other comes first.
        let (name, content, after) = if wanted.current > Epoch::ZERO && says != wanted.origin {
            origin_file = OriginFile::between(on_disk, wanted);
            let origin = origin_file.origin(known.current);
            (Epochs::ORIGIN_FILE, origin_file.to_string(), Epochs { origin, ..known })
        } else if on_disk.map(|epochs| epochs.accepted) != Some(wanted.accepted) {
            let after = Epochs { accepted: wanted.accepted, ..known };
            (Epochs::ACCEPTED_FILE, wanted.accepted.to_string(), after)
        } else if on_disk.map(|epochs| epochs.current) != Some(wanted.current) {
            (Epochs::CURRENT_FILE, wanted.current.to_string(), wanted)
        } else {
            return true;
        };
        let token = steps.token();
        steps.phase = StepPhase::File(token, after, origin_file);
        self.ops.push(Op::FileReplace {
            token,
            place: Place::Snapshots,
            name: name.to_owned(),
            content: content.into_bytes(),
        });
        false
    }

    /// Whether nothing of the log or of a snapshot is under way.
    pub(super) fn is_log_closed(&self) -> bool {
        self.txnlog.is_closed() && !self.snapshots.is_active()
    }
}

impl Pipeline {
    /// Takes out of a `Ready` what concerns the disk and the links. If that freezes the database, the
    /// rest of it waits. The tree that a restoration means is the database already.
    pub(super) fn plan_disk(&mut self, now: Now, ready: &mut Ready, ensemble: &mut Ensemble) {
        let steps = &mut self.steps;
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
            // ZooKeeper: ObserverZooKeeperServer. What is not kept need not be waited for.
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

    /// Does the steps that can be done. True if something came of it for the log or the peer.
    pub(super) fn run_steps(
        &mut self,
        now: Now,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) -> bool {
        let mut moved = false;
        while !self.stopped {
            let steps = &mut self.steps;
            let Some(first) = steps.planned.front() else { return moved };
            if steps.phase == StepPhase::Waiting && self.txnlog.synced() < first.after {
                return moved;
            }
            let done = match first.step {
                Step::Vouch(_) | Step::Durable(_) => {
                    assert!(
                        steps.phase == StepPhase::Waiting,
                        "what is under way is a step before it"
                    );
                    assert!(self.txnlog.synced() >= first.after, "the log is durable until there");
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
                Step::Truncate(_) | Step::Restore(_) => unreachable!("others end these"),
            }
        }
        moved
    }

    // ---- epochs

    /// One of the replica's own operations is done.
    pub(super) fn on_file_completion(
        &mut self,
        now: Now,
        completion: Completion,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) {
        if self.on_room_completion(now, &completion, database, ensemble) {
            return;
        }
        let steps = &mut self.steps;
        let StepPhase::File(token, after, origin_file) = steps.phase else { return };
        if token != completion.token {
            return;
        }
        steps.phase = StepPhase::Waiting;
        match completion.result {
            Ok(_) => {
                steps.epochs_on_disk = Some(after);
                steps.origin_file = origin_file;
                self.has_room_for_files(now, ensemble);
                self.run_steps(now, database, ensemble);
            }
            Err(failure) if failure.kind == IoFailureKind::Full => {
                // What was to be sent behind it would not be true.
                tracing::error!(%failure, "no room for an epoch file: leaving the ensemble for now");
                let durable = |planned: &Planned| match planned.step {
                    Step::Durable(token) => Some(token),
                    _ => None,
                };
                let unwritten: Vec<u64> = steps.planned.iter().filter_map(durable).collect();
                steps.planned.retain(|planned| planned.step.is_cut());
                steps.epochs_planned = steps.epochs_on_disk;
                self.lacks_room_for_files(now, ensemble);
                let reason = "no room on the disk for an epoch file";
                ensemble.peer.leave_unwritten(now.mono, reason, &unwritten);
            }
            Err(failure) => self.stop(format!("an epoch file cannot be written: {failure}")),
        }
    }

    // ---- truncate

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

    pub(super) fn close_log(&mut self, database: &mut Database, ensemble: &mut Ensemble) {
        self.txnlog.close();
        self.give_up_snapshots(database, ensemble);
    }

    /// The state at the cut cannot be had from the files. What is applied stays, and what was only logged
    /// behind it goes: the leader has said that it was never committed.
    ///
    /// ```text
    /// 1. a server whose tree is a leader's of 1:8 has logged 1:9, and is told to cut at 1:5
    /// 2. it cannot; were its log left alone and 1:9 forgotten in memory, it might lead from 1:8
    /// 3. after its next start 1:9 is there again, in the middle of what it led with
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

    /// The cut is done: the log goes on behind `zxid`.
    pub(super) fn on_cut_done(&mut self, zxid: Zxid, ensemble: &mut Ensemble) {
        let random = ensemble.random();
        self.txnlog.reopen(zxid, random);
        self.newest_snapshot = self.newest_snapshot.min(zxid);
        let done = self.steps.pop();
        assert!(done.is_cut(), "{done:?} is none");
    }

    // ---- restore

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
        assert!(last == zxid, "the database stands still: it is at {last}, meant is {zxid}");
        self.steps.phase = StepPhase::Snapshot(zxid);
        self.begin_snapshot_alone(now, database);
    }

    /// The tree is on the disk.
    pub(super) fn on_tree_written(
        &mut self,
        now: Now,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) {
        let StepPhase::Snapshot(zxid) = self.steps.phase else { unreachable!("it was written") };
        // What the ensemble never committed must not come back behind it.
        if self.txnlog.appended() > zxid || self.newest_snapshot > zxid {
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
            // What was to wait for the log up to the cut would wait for ever.
            steps.planned.iter_mut().for_each(|planned| planned.after = planned.after.min(zxid));
            ensemble.peer.handle_not_cut(now.mono, zxid);
        }
        self.on_cut_done(zxid, ensemble);
    }
}

impl Replica {
    /// A [`Reload`] is done; or why the server must stop.
    pub fn handle_reloaded(&mut self, now: Now, result: Result<Reloaded, String>) {
        self.service.now = now;
        let reloaded = match result {
            Ok(reloaded) => reloaded,
            Err(reason) => {
                return self.service.pipeline.stop(format!("the log cannot be cut: {reason}"));
            }
        };
        let phase = self.service.pipeline.steps.phase;
        let first = self.service.pipeline.steps.planned.front().expect("it is the first step");
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
