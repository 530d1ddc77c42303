//! What the peer wants done to the disk, one after the other, each durable before the next.
//!
//! ```text
//! truncate: log closed → its files cut, the database read again → log reopened
//! restore:  log closed → files cut if they reach too far → the received tree's snapshot → log reopened
//!           (where nothing would be left, its snapshot comes before the cut)
//! epochs:   acceptedEpoch → currentEpoch
//! send, durable: what is true only after everything before it
//! ```
//! Transactions to be appended are no step: they go to the log as soon as no truncation and no
//! restoration is before them, and a step knows up to which of them the log must be durable. So the
//! log is never kept waiting for an acknowledgement that is still to be sent.

use std::collections::VecDeque;

use super::ensemble::Role;
use super::room::Room;
use super::tree::Reason;
use super::{Reload, Reloaded, Replica};
use crate::id::Zxid;
use crate::io::{Completion, IoFailureKind, Op, Owner, Place, Token};
use crate::limits;
use crate::peer::Ready;
use crate::peer::link::LinkOp;
use crate::proto::txn::Txn;
use crate::time::Now;
use crate::zab::Epochs;

/// One thing to be done.
#[derive(Debug)]
enum Step {
    Truncate(Zxid),
    Restore(Zxid),
    Epochs(Epochs),
    Send(Vec<LinkOp>),
    Durable(u64),
}

impl Step {
    /// Whether what is to be appended later must wait for it.
    fn is_barrier(&self) -> bool {
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
enum Phase {
    /// Not begun.
    #[default]
    Waiting,
    /// The log's writer is closing its files.
    Closing,
    /// The edge cuts the files.
    Reloading,
    /// The received tree is being written. `before_cut`: it is all that will be left of the files.
    Snapshot { before_cut: bool },
    /// It is written, and the files are cut behind it.
    CuttingBehind,
    /// A file is being replaced; the epochs that are on the disk afterwards.
    File(Token, Epochs),
}

/// The steps, in order.
#[derive(Debug, Default)]
pub(super) struct Steps {
    planned: VecDeque<Planned>,
    phase: Phase,
    /// The newest transaction that the log has, or will have after what is planned.
    log_end: Zxid,
    /// Transactions ever put into the backlog, and taken out of it by the log.
    queued: u64,
    taken: u64,
    backlog_bytes: usize,
    /// What the epoch files hold.
    pub epochs_on_disk: Option<Epochs>,
    next_token: u64,
    /// For each truncation and restoration planned: how many transactions were queued before it.
    barriers: VecDeque<u64>,
}

impl Steps {
    pub fn start(&mut self, log_end: Zxid) {
        self.log_end = log_end;
    }

    /// Whether the log may take the next transaction of the backlog.
    pub fn may_append(&self) -> bool {
        self.barriers.front().is_none_or(|&queued| self.taken < queued)
    }

    /// Whether a snapshot of the server's own may begin.
    pub fn may_snapshot(&self) -> bool {
        self.barriers.is_empty()
    }

    /// Whether the received tree is being written.
    pub fn writes_received_tree(&self) -> bool {
        matches!(self.phase, Phase::Snapshot { .. })
    }

    /// The log has taken a transaction.
    pub fn on_taken(&mut self, bytes: usize) {
        self.taken += 1;
        self.backlog_bytes -= bytes;
    }

    /// The backlog was emptied: what was in it is not to be logged.
    pub fn on_taken_back(&mut self, last: Zxid) {
        self.taken = self.queued;
        self.backlog_bytes = 0;
        self.log_end = last;
    }

    fn push(&mut self, step: Step) {
        if step.is_barrier() {
            self.barriers.push_back(self.queued);
        }
        self.planned.push_back(Planned { step, after: self.log_end });
    }

    /// The first step is done.
    fn pop(&mut self) -> Step {
        self.phase = Phase::Waiting;
        let step = self.planned.pop_front().expect("a step was looked at").step;
        if step.is_barrier() {
            self.barriers.pop_front();
        }
        step
    }

    /// Whether an epoch file is being written.
    pub fn writes_file(&self) -> bool {
        matches!(self.phase, Phase::File(..))
    }

    /// A name for an operation of the replica's own.
    pub fn token(&mut self) -> Token {
        let token = Token::new(Owner::Replica, self.next_token);
        self.next_token += 1;
        token
    }
}

impl Replica {
    /// Takes out of a `Ready` what concerns the disk and the links. True: the rest of it waits until
    /// the log is cut.
    pub(super) fn plan_disk(&mut self, now: Now, ready: &mut Ready) -> bool {
        let steps = &mut self.ensemble.steps;
        self.ensemble.links.append(&mut ready.send);
        self.ensemble.log_reads.append(&mut ready.log_reads);
        let mut stalls = false;
        if let Some(zxid) = ready.truncate.take() {
            steps.push(Step::Truncate(zxid));
            steps.log_end = zxid;
            stalls = true;
        }
        if let Some(zxid) = ready.restore.take() {
            steps.push(Step::Restore(zxid));
            steps.log_end = zxid;
            self.restore_in_memory(now, zxid);
        }
        if !self.ensemble.keeps_log
            && let Some(last) = ready.append.last().map(Txn::zxid)
        {
            // ZooKeeper: ObserverZooKeeperServer. What is not kept need not be waited for.
            ready.append.clear();
            self.peer.handle_synced(last);
        }
        let steps = &mut self.ensemble.steps;
        for txn in ready.append.drain(..) {
            steps.log_end = txn.zxid();
            steps.queued += 1;
            steps.backlog_bytes += txn.bytes().len();
            self.backlog.push_back(txn);
        }
        let too_much = steps.backlog_bytes > limits::LOG_BACKLOG_BYTES_MAX;
        if let Some(epochs) = ready.epochs.take() {
            steps.push(Step::Epochs(epochs));
        }
        if !ready.send_after_sync.is_empty() {
            let ops = std::mem::take(&mut ready.send_after_sync);
            match steps.planned.back_mut() {
                Some(Planned { step: Step::Send(sends), after, .. }) if *after == steps.log_end => {
                    sends.extend(ops);
                }
                _ => steps.push(Step::Send(ops)),
            }
        }
        if let Some(token) = ready.durable.take() {
            steps.push(Step::Durable(token));
        }
        if too_much && self.ensemble.role != Role::Alone && !stalls {
            self.peer.leave(now.mono, "the disk does not keep up with the transactions");
        }
        stalls
    }

    /// Does the steps that can be done. True if something came of it for the log or the peer.
    pub(super) fn run_steps(&mut self, now: Now) -> bool {
        let mut moved = false;
        while !self.stopped {
            let steps = &mut self.ensemble.steps;
            let Some(first) = steps.planned.front() else { return moved };
            if steps.phase == Phase::Waiting && self.txnlog.synced() < first.after {
                return moved;
            }
            let done = match first.step {
                Step::Send(_) | Step::Durable(_) => true,
                Step::Epochs(epochs) => self.write_epochs(epochs),
                Step::Truncate(zxid) => self.truncate(zxid),
                Step::Restore(zxid) => self.restore_on_disk(now, zxid),
            };
            if !done {
                return moved;
            }
            moved = true;
            match self.ensemble.steps.pop() {
                Step::Send(mut ops) => self.ensemble.links.append(&mut ops),
                Step::Durable(token) => {
                    self.peer.handle_durable(now.mono, token);
                    self.follow_peer(now);
                }
                Step::Epochs(_) => {}
                Step::Truncate(_) | Step::Restore(_) => unreachable!("others end these"),
            }
        }
        moved
    }

    // ---- epochs

    /// Begins to replace the next file that differs. True: both are as they should be.
    fn write_epochs(&mut self, wanted: Epochs) -> bool {
        let looks_for_room = matches!(self.ensemble.room, Room::Looking(_));
        let steps = &mut self.ensemble.steps;
        if steps.phase != Phase::Waiting || looks_for_room {
            return false;
        }
        let on_disk = steps.epochs_on_disk;
        // The one that must never be behind the other comes first.
        let (name, epoch, after) = if on_disk.map(|epochs| epochs.accepted) != Some(wanted.accepted)
        {
            let current = on_disk.map_or(wanted.current, |epochs| epochs.current);
            let after = Epochs { accepted: wanted.accepted, current };
            (Epochs::ACCEPTED_FILE, wanted.accepted, after)
        } else if on_disk.map(|epochs| epochs.current) != Some(wanted.current) {
            (Epochs::CURRENT_FILE, wanted.current, wanted)
        } else {
            return true;
        };
        let token = steps.token();
        steps.phase = Phase::File(token, after);
        self.ops.push(Op::FileReplace {
            token,
            place: Place::Snapshots,
            name: name.to_owned(),
            content: epoch.0.to_string().into_bytes(),
        });
        false
    }

    /// One of the replica's own operations is done.
    pub(super) fn on_file_completion(&mut self, now: Now, completion: Completion) {
        if self.on_room_completion(now, &completion) {
            return;
        }
        let steps = &mut self.ensemble.steps;
        let Phase::File(token, after) = steps.phase else { return };
        if token != completion.token {
            return;
        }
        steps.phase = Phase::Waiting;
        match completion.result {
            Ok(_) => {
                steps.epochs_on_disk = Some(after);
                self.has_room_for_files(now);
                self.run_steps(now);
            }
            Err(failure) if failure.kind == IoFailureKind::Full => {
                // What was to be sent behind it would not be true.
                tracing::error!(%failure, "no room for an epoch file: leaving the ensemble for now");
                steps.planned.retain(|planned| planned.step.is_barrier());
                self.lacks_room_for_files(now);
                self.peer.leave(now.mono, "no room on the disk for an epoch file");
                self.follow_peer(now);
            }
            Err(failure) => self.stop(format!("an epoch file cannot be written: {failure}")),
        }
    }

    // ---- truncate

    fn truncate(&mut self, zxid: Zxid) -> bool {
        match self.ensemble.steps.phase {
            Phase::Waiting => {
                tracing::warn!(
                    %zxid, log = %self.txnlog.appended(),
                    "cutting off transactions that the ensemble never committed"
                );
                self.close_log();
                self.ensemble.steps.phase = Phase::Closing;
                self.truncate(zxid)
            }
            Phase::Closing if self.is_log_closed() => {
                let database = self.database.last_processed() > zxid;
                self.ensemble.reload = Some(Reload { truncate: zxid, database });
                self.ensemble.steps.phase = Phase::Reloading;
                false
            }
            Phase::Closing
            | Phase::Reloading
            | Phase::Snapshot { .. }
            | Phase::CuttingBehind
            | Phase::File(..) => false,
        }
    }

    fn close_log(&mut self) {
        self.txnlog.close();
        self.give_up_snapshots();
    }

    /// Whether nothing of the log or of a snapshot is under way.
    fn is_log_closed(&self) -> bool {
        self.txnlog.is_closed() && !self.snapshots.is_active()
    }

    /// A [`Reload`] is done; or why the server must stop.
    pub fn handle_reloaded(&mut self, now: Now, result: Result<Reloaded, String>) {
        self.now = now;
        let reloaded = match result {
            Ok(reloaded) => reloaded,
            Err(reason) => return self.stop(format!("the log cannot be cut: {reason}")),
        };
        let phase = self.ensemble.steps.phase;
        let first = self.ensemble.steps.planned.front().expect("it is the first step");
        match (&first.step, phase) {
            (Step::Truncate(zxid), Phase::Reloading) => self.on_truncated(now, *zxid, reloaded),
            (Step::Restore(zxid), Phase::Reloading) => {
                let zxid = *zxid;
                match reloaded {
                    Reloaded::Cut(_) => self.begin_received_snapshot(now, zxid),
                    Reloaded::NotHeld => {
                        // Cut now, the folder would hold nothing: it must be recoverable at any
                        // moment.
                        self.ensemble.steps.phase = Phase::Snapshot { before_cut: true };
                        self.begin_snapshot_alone(now);
                    }
                }
            }
            (Step::Restore(zxid), Phase::CuttingBehind) => {
                let zxid = *zxid;
                assert!(matches!(reloaded, Reloaded::Cut(_)), "the snapshot there is of {zxid}");
                self.reopen_log(zxid);
                self.ensemble.steps.pop();
            }
            (step, phase) => unreachable!("{step:?} asks for no reload while it is {phase:?}"),
        }
        self.run_steps(now);
    }

    fn on_truncated(&mut self, now: Now, zxid: Zxid, reloaded: Reloaded) {
        let end = match reloaded {
            Reloaded::Cut(Some(recovered)) => {
                self.replace_database(now, recovered.database, Reason::Cut);
                let last = self.database.last_processed();
                if last < zxid && zxid.counter() != 0 {
                    return self.stop(format!(
                        "the log was cut behind {zxid}, and what is left of it ends at {last}"
                    ));
                }
                self.database.set_last_processed(zxid);
                zxid
            }
            Reloaded::Cut(None) => zxid,
            Reloaded::NotHeld => {
                let end = self.txnlog.appended();
                self.ensemble.steps.log_end = end;
                self.peer.handle_not_cut(now.mono, end);
                end
            }
        };
        self.reopen_log(end);
        self.ensemble.steps.pop();
        if let Some(mut ready) = self.ensemble.stalled.take() {
            self.follow_in_memory(now, &mut ready);
            self.ready = ready;
        }
        self.follow_peer(now);
    }

    fn reopen_log(&mut self, last: Zxid) {
        let random = self.ensemble.random();
        self.txnlog.reopen(last, random);
        self.ensemble.newest_snapshot = self.ensemble.newest_snapshot.min(last);
    }

    // ---- restore

    fn restore_on_disk(&mut self, now: Now, zxid: Zxid) -> bool {
        match self.ensemble.steps.phase {
            Phase::Waiting => {
                self.close_log();
                self.ensemble.steps.phase = Phase::Closing;
                self.restore_on_disk(now, zxid)
            }
            Phase::Closing if self.is_log_closed() => {
                // What the ensemble never committed must not come back behind the new tree.
                if self.txnlog.appended() > zxid || self.ensemble.newest_snapshot > zxid {
                    self.ensemble.reload = Some(Reload { truncate: zxid, database: false });
                    self.ensemble.steps.phase = Phase::Reloading;
                } else {
                    self.begin_received_snapshot(now, zxid);
                }
                false
            }
            Phase::Closing
            | Phase::Reloading
            | Phase::Snapshot { .. }
            | Phase::CuttingBehind
            | Phase::File(..) => false,
        }
    }

    fn begin_received_snapshot(&mut self, now: Now, zxid: Zxid) {
        self.reopen_log(zxid);
        self.ensemble.steps.phase = Phase::Snapshot { before_cut: false };
        self.begin_snapshot(now);
    }

    /// The received tree is on the disk.
    pub(super) fn on_received_tree_written(&mut self, now: Now) {
        let steps = &mut self.ensemble.steps;
        let Phase::Snapshot { before_cut } = steps.phase else { unreachable!("it was written") };
        if before_cut {
            let Some(Planned { step: Step::Restore(zxid), .. }) = steps.planned.front() else {
                unreachable!("only this step writes a tree")
            };
            let zxid = *zxid;
            steps.phase = Phase::CuttingBehind;
            self.ensemble.reload = Some(Reload { truncate: zxid, database: false });
            return;
        }
        let done = self.ensemble.steps.pop();
        assert!(matches!(done, Step::Restore(_)), "{done:?}");
        self.run_steps(now);
    }
}
