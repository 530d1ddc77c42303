//! The disk: transactions on their way to the log, completions, snapshots, and a full disk.
//!
//! While the disk is full, a server on its own refuses writes before anything of them is written. If the log then has
//! no room for transactions that are already proposed, the server takes them back, because nobody has seen them. Their
//! clients get SYSTEMERROR, which says that nothing was carried out. Reads go on, and the server tries to get room
//! every second.

use super::connection::{Answer, State, Waiting};
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::pipeline::Pipeline;
use super::pipeline::{DiskFull, InFlight};
use super::service::Service;
use super::{Fatal, Replica, Stats};
use crate::database::Database;
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::io::{Completion, IoFailure, IoFailureKind, Op, Owner};
use crate::log::Limiter;
use crate::planted::{self, PlantedBug};
use crate::proto::OpCode;
use crate::snapshot;
use crate::time::{MonoUs, Now};
use crate::txnlog::{Append, Progress};

/// Time between two attempts to get room on a full disk. A guess: an operator who has made room sees it used at once,
/// and the attempts do not load the disk.
const RETRY_MS: u64 = 1000;

/// Time between two lines that say that there is no room.
const NO_ROOM_LINES_MS: u64 = 60_000;

/// For how many ticks a leader goes on whose disk is full. A guess: the default of `syncLimit`, after which a leader
/// gives up a follower that does not answer.
const FULL_TICKS_MAX: u64 = 5;

/// For how many ticks such a leader goes on if no other server has logged more than it: all of them may lack room, and
/// then readers are better off with this leader. But a server that has room may have come meanwhile, and no proposal
/// would show that.
const FULL_TICKS_ALONE_MAX: u64 = 60;

/// Snapshots: when one is due, and how far the one under way is.
pub(super) struct Snapshots {
    /// Writes the snapshot under way.
    writer: snapshot::Writer,
    /// A snapshot is to begin as soon as none is under way.
    requested: bool,
    /// When the last snapshot began.
    started: MonoUs,
    /// The state of a generator: it spreads the snapshots of the servers over time.
    ///
    /// Invariant: not 0, from which xorshift never departs.
    random: u64,
    /// The log waits for the first snapshot: ZooKeeper does not read a log whose folder holds no snapshot.
    log_waits: bool,
}

impl Snapshots {
    /// No snapshot is under way yet. `first`: the folder holds none. `alone`: the server is in no ensemble.
    pub fn new(options: snapshot::WriterOptions, first: bool, alone: bool, seed: u64) -> Snapshots {
        Snapshots {
            writer: snapshot::Writer::new(options),
            // ZooKeeper: a server on its own writes a snapshot at every start. A member does not know yet whether its
            // history is the ensemble's.
            requested: first || alone,
            started: MonoUs(0),
            random: seed | 1,
            log_waits: first,
        }
    }

    /// Whether a snapshot is under way, or is being cleaned up after it was given up.
    pub fn is_active(&self) -> bool {
        self.writer.is_active()
    }

    /// Whether the snapshot under way still reads the database.
    pub fn holds_database(&self) -> bool {
        self.writer.holds_database()
    }

    /// Gives up the snapshot under way. Another follows if the log waits for it.
    pub fn give_up(&mut self, database: &mut Database) {
        self.writer.give_up(database);
        self.requested |= self.log_waits;
    }

    /// Lets a snapshot begin as soon as none is under way.
    pub fn request(&mut self) {
        self.requested = true;
    }

    /// Whether the next slice may be written at once.
    pub fn wants_poll(&self) -> bool {
        self.writer.wants_poll()
    }

    /// Makes an arbitrary number (xorshift64).
    fn random(&mut self) -> u64 {
        assert!(self.random != 0, "xorshift never departs from 0");
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Replica {
    /// Everything after `cut` was taken back: whatever waits for a later transaction waits for `cut` instead.
    ///
    /// ```text
    /// 1. A write gets zxid 10, and another client's sync waits for zxid 10.
    /// 2. The log has no room: the server takes the write back.
    /// 3. The sync, and its client's requests behind it, would wait until there is room and somebody writes.
    /// ```
    pub(super) fn wait_for_no_more_than(&mut self, cut: Zxid) {
        for connection in self.connections.iter_mut() {
            connection.floor = connection.floor.min(cut);
            for step in connection.queue.iter_mut() {
                match step {
                    Waiting::Request { after, .. } | Waiting::Answer { after, .. } => {
                        *after = cut.min(*after);
                    }
                    Waiting::Write | Waiting::Forwarded(_) => {}
                }
            }
        }
        for (zxid, _) in &mut self.service.clients.barriers {
            *zxid = cut.min(*zxid);
        }
    }
}

impl Pipeline {
    /// Logs that there was no room for a segment of the log, at most once a minute: the server tries every second, and
    /// a disk may be full for days.
    pub(super) fn say_no_room(&mut self, now: Now, failure: &IoFailure) {
        if self.no_room_said_at.is_none_or(|at| now.mono >= at.plus_ms(NO_ROOM_LINES_MS)) {
            tracing::error!(%failure, "no room for the next segment of the transaction log");
            self.no_room_said_at = Some(now.mono);
        }
    }

    /// Counts and logs a write of the log that took `us`, which is long, and whether the disk was slow.
    fn on_slow_write(&self, stats: &mut Stats, lines: &mut Limiter, now: Now, us: u64, bytes: u32) {
        assert!(
            self.held_us >= self.group_held_us,
            "the time in which the thread was held only grows"
        );
        let held_us = (self.held_us - self.group_held_us).min(us);
        let ms = us / 1000;
        let held_ms = held_us / 1000;
        let is_slow = (us - held_us) / 1000 > self.options.log_write_warning_ms;
        stats.log_writes_slow += u64::from(is_slow);
        let Some(unsaid) = lines.allow(now.mono) else { return };
        if is_slow {
            tracing::warn!(
                ms,
                held_ms,
                bytes,
                unsaid,
                "a write of the transaction log was slow: every write waits for it"
            );
        } else {
            tracing::warn!(
                ms,
                held_ms,
                bytes,
                unsaid,
                "the end of a write of the transaction log was seen late, because this process did not run \
                 meanwhile: the disk need not be slow"
            );
        }
    }

    /// Begins a snapshot of `database`, and a new file of the log with the transactions behind it.
    pub fn begin_snapshot(&mut self, now: Now, database: &mut Database) {
        let random = self.snapshots.random();
        self.txnlog.roll(random);
        self.begin_snapshot_alone(now, database);
    }

    /// Begins a snapshot while the log is closed.
    pub fn begin_snapshot_alone(&mut self, now: Now, database: &mut Database) {
        self.snapshots.requested = false;
        self.snapshots.started = now.mono;
        self.snapshots.writer.begin(database, &mut self.ops);
    }
}

impl Ensemble {
    /// How long a leader waits for room on its disk before another may lead.
    pub(super) fn lead_without_room_ms(&self) -> u64 {
        let is_behind = self.peer.is_behind_others();
        let ticks = if is_behind { FULL_TICKS_MAX } else { FULL_TICKS_ALONE_MAX };
        u64::from(self.options.tick_ms) * ticks
    }
}

impl Pipeline {
    /// An operation of the log is done, or has failed.
    pub(super) fn on_log_completion(
        &mut self,
        now: Now,
        completion: Completion,
        ensemble: &mut Ensemble,
        stats: &mut Stats,
        lines: &mut Limiter,
    ) {
        match self.txnlog.handle_completion(completion) {
            Progress::None => {}
            Progress::Synced(synced) => {
                let us = now.mono.since_us(self.group_started);
                stats.record_group(us);
                stats.log_bytes += u64::from(synced.bytes);
                if us / 1000 > self.options.log_write_warning_ms {
                    self.on_slow_write(stats, lines, now, us, synced.bytes);
                }
                let bug = planted::is(self.options.planted, PlantedBug::AckBeforeSync);
                ensemble.peer.handle_synced(if bug { self.txnlog.appended() } else { synced.zxid });
            }
            Progress::NoSpace(failure) => {
                self.say_no_room(now, &failure);
                self.prepare_again_at = Some(now.mono.plus_ms(RETRY_MS));
                if ensemble.role != ReplicaRole::Alone && !self.txnlog.is_ready() {
                    self.wait_for_room(now, ensemble);
                }
            }
            Progress::Failed(failure) => {
                self.stop(format!("the transaction log cannot be written: {failure}"));
            }
        }
    }

    /// Whether the log had no room and has some now: then the server accepts writes from now on.
    pub(super) fn has_room_again(&mut self, now: Now, ensemble: &mut Ensemble) -> bool {
        let has_room = !self.txnlog.is_out_of_space() && self.txnlog.is_ready();
        if !self.is_disk_full() || !has_room {
            return false;
        }
        tracing::info!("there is room on the disk again: writes are accepted");
        self.no_room_said_at = None;
        self.disk_full = DiskFull::No;
        self.full_since = None;
        self.tell_room(now, ensemble);
        true
    }

    /// Stops the server for this reason: nothing more goes to the disk, and so nothing more is committed.
    pub(super) fn stop(&mut self, reason: String) {
        self.stop_as(Fatal { reason, lacks_room: false });
    }

    /// As [`Pipeline::stop`], and says whether room on the disk would have helped.
    pub(super) fn stop_as(&mut self, fatal: Fatal) {
        tracing::error!(reason = fatal.reason, "the server must stop");
        self.stopped = true;
        self.fatal = Some(fatal);
    }

    /// Gives the log as many transactions as it takes. False: it has no room for the next one, which can be taken back.
    pub(super) fn feed_log(&mut self, now: Now, ensemble: &mut Ensemble) -> bool {
        while let Some(txn) = self.steps.backlog.next() {
            if self.snapshots.log_waits || !self.txnlog.is_open() {
                return true;
            }
            match self.txnlog.append(txn) {
                Append::Accepted => {
                    assert!(self.txnlog.appended() == txn.zxid(), "the log ends at what it took");
                    self.prep.on_logged(txn.zxid());
                    self.steps.backlog.on_taken();
                }
                Append::Full => return true,
                Append::NoSpace if ensemble.role == ReplicaRole::Alone => return false,
                Append::NoSpace => {
                    self.wait_for_room(now, ensemble);
                    return true;
                }
                Append::TooLarge => {
                    let (zxid, bytes) = (txn.zxid(), txn.bytes().len());
                    self.stop(format!(
                        "transaction {zxid} of the leader has {bytes} bytes, more than this server \
                         may log: raise jute.maxbuffer (and jute.maxbuffer.extrasize) to what the \
                         other servers have"
                    ));
                    return true;
                }
            }
        }
        true
    }

    /// Lets transactions wait for which the log has no room: other servers have them as well, so they cannot be taken
    /// back.
    pub(super) fn wait_for_room(&mut self, now: Now, ensemble: &mut Ensemble) {
        assert!(
            ensemble.role != ReplicaRole::Alone,
            "a server on its own takes back what has no room"
        );
        if !self.is_disk_full() {
            tracing::error!(
                waiting = self.steps.backlog.len(),
                "the disk is full: transactions wait until there is room"
            );
            self.disk_full = DiskFull::RetryAt(now.mono.plus_ms(RETRY_MS));
            self.full_since = Some(now.mono);
            self.tell_room(now, ensemble);
        }
    }

    /// Whether the requests under way at a shutdown are done, or have had their time.
    pub(super) fn is_done(&self, now: Now, ensemble: &Ensemble) -> bool {
        let has_waited = ensemble.quiet_at.is_some_and(|at| now.mono >= at);
        (self.in_flight.is_empty() && ensemble.passed_on.requests() == 0) || has_waited
    }

    /// An operation of the snapshot is done, or has failed.
    pub(super) fn on_snapshot_completion(
        &mut self,
        now: Now,
        completion: Completion,
        database: &mut Database,
        ensemble: &mut Ensemble,
        stats: &mut Stats,
    ) {
        match self.snapshots.writer.handle_completion(completion) {
            snapshot::Progress::None => {}
            snapshot::Progress::Done { zxid, name, bytes } => {
                let ms = now.mono.since_us(self.snapshots.started) / 1000;
                tracing::info!(%zxid, name, bytes, ms, "wrote a snapshot");
                stats.snapshots_written += 1;
                stats.snapshot_ms.record(ms);
                self.snapshots.log_waits = false;
                self.txnlog.note_snapshot_bytes(bytes);
                self.newest_snapshot = self.newest_snapshot.max(zxid);
                if self.steps.writes_tree() {
                    self.on_tree_written(now, database, ensemble);
                } else if let Some(unlogged) = &mut ensemble.unlogged
                    && let Some(epochs) = unlogged.on_snapshot(zxid)
                {
                    self.steps.push_current(epochs);
                    self.run_steps(now, database, ensemble);
                }
            }
            snapshot::Progress::Failed(failure) => {
                tracing::error!(%failure, "gave up a snapshot");
                stats.snapshot_errors += 1;
                let what = match self.steps.writes_tree() {
                    true => "the tree",
                    false if self.snapshots.log_waits => "the first snapshot",
                    false => return,
                };
                self.stop_as(Fatal {
                    reason: format!("{what} cannot be written: {failure}"),
                    lacks_room: failure.kind == IoFailureKind::Full,
                });
            }
        }
    }

    /// Tries again to get room on a full disk, when it is time.
    pub(super) fn on_disk_timeout(&mut self, now: Now, ensemble: &mut Ensemble) {
        self.look_for_room(now);
        // The disk may have room again long before the log needs the segment.
        if self.prepare_again_at.is_some_and(|at| now.mono >= at) {
            self.prepare_again_at = None;
            self.txnlog.retry_prepare();
        }
        if let DiskFull::RetryAt(at) = self.disk_full
            && now.mono >= at
        {
            self.txnlog.retry_prepare();
            self.disk_full = DiskFull::RetryAt(now.mono.plus_ms(RETRY_MS));
            let waits = |since: MonoUs| now.mono >= since.plus_ms(ensemble.lead_without_room_ms());
            if ensemble.role == ReplicaRole::Leading && self.full_since.is_some_and(waits) {
                self.full_since = Some(now.mono);
                ensemble.peer.leave(now.mono, "the disk is full: another server may lead");
            }
        }
    }
}

impl Service {
    /// Collects the operations that the log wants done.
    fn poll_log(&mut self, now: Now) {
        if self.shutting_down && self.pipeline.is_done(now, &self.ensemble) {
            self.pipeline.txnlog.close();
        }
        let before = self.pipeline.ops.len();
        self.pipeline.txnlog.poll(&mut self.pipeline.ops);
        // If the log had nothing to close, it is closed now, and no completion will tell.
        self.pipeline.run_steps(now, &mut self.database, &mut self.ensemble);
        assert!(self.pipeline.ops.len() >= before, "no operation is lost before the edge has it");
        if self.pipeline.ops[before..].iter().any(|op| matches!(op, Op::LogWrite { .. })) {
            self.pipeline.group_started = now.mono;
            self.pipeline.group_held_us = self.pipeline.held_us;
            if planted::is(self.options.planted, PlantedBug::AckBeforeSync) {
                self.ensemble.peer.handle_synced(self.pipeline.txnlog.appended());
            }
        }
    }

    /// Begins a snapshot if one is due, and writes a slice of the one under way.
    fn poll_snapshot(&mut self, now: Now) {
        if self.shutting_down && !self.pipeline.snapshots.log_waits {
            return;
        }
        let due = self.pipeline.snapshots.requested || self.pipeline.txnlog.snapshot_due();
        if due
            && !self.pipeline.snapshots.writer.is_active()
            && self.ensemble.outgoing.is_none()
            && !self.pipeline.steps.has_cut()
            && (self.ensemble.unlogged.is_none() || self.pipeline.snapshots.requested)
        {
            self.pipeline.begin_snapshot(now, &mut self.database);
        }
        self.pipeline.snapshots.writer.poll(&mut self.database, &mut self.pipeline.ops);
    }
}

impl Replica {
    /// An operation of the disk is done, or has failed.
    pub fn handle_completion(&mut self, now: Now, completion: Completion) {
        self.service.now = now;
        if self.service.pipeline.stopped {
            return;
        }
        match completion.token.owner() {
            Owner::TxnLog => {
                self.service.pipeline.on_log_completion(
                    now,
                    completion,
                    &mut self.service.ensemble,
                    &mut self.service.stats,
                    &mut self.service.lines,
                );
                if self.service.pipeline.has_room_again(now, &mut self.service.ensemble) {
                    self.on_deferred_proposed(now);
                    self.log_unlogged_sessions(now);
                }
            }
            Owner::Snapshot => self.service.pipeline.on_snapshot_completion(
                now,
                completion,
                &mut self.service.database,
                &mut self.service.ensemble,
                &mut self.service.stats,
            ),
            Owner::Replica => self.service.pipeline.on_file_completion(
                now,
                completion,
                &mut self.service.database,
                &mut self.service.ensemble,
            ),
        }
        self.follow_peer(now);
    }

    /// For how long this thread was ready to run and did not, in µs, since it began. Such time within a write of the
    /// log does not count as the disk's.
    pub fn note_held(&mut self, held_us: u64) {
        // A figure from the middle of a turn may be a little higher than the one from its end.
        self.service.pipeline.held_us = self.service.pipeline.held_us.max(held_us);
    }

    /// Gives the log as many transactions as it takes, and collects the operations that the disk is to carry out.
    pub(super) fn poll_disk(&mut self, now: Now) {
        if self.service.pipeline.stopped {
            return;
        }
        loop {
            self.follow_peer(now);
            if !self.service.pipeline.feed_log(now, &mut self.service.ensemble) {
                self.refuse_backlog(now);
            }
            if !self.service.pipeline.run_steps(
                now,
                &mut self.service.database,
                &mut self.service.ensemble,
            ) {
                break;
            }
        }
        self.service.poll_log(now);
        self.service.poll_snapshot(now);
    }

    /// Takes back the transactions for which the log has no room, and refuses their clients' writes.
    fn refuse_backlog(&mut self, now: Now) {
        let role = self.service.ensemble.role;
        assert!(role == ReplicaRole::Alone, "only a server on its own takes transactions back");
        let first =
            self.service.pipeline.steps.backlog.next().expect("something did not fit").zxid();
        let cut = Zxid(first.0 - 1);
        let at = self.service.pipeline.in_flight.partition_point(|request| request.zxid < first);
        let first_refused = &self.service.pipeline.in_flight[at];
        assert!(first_refused.zxid == first, "a transaction that waits for the log is in flight");
        let digest = first_refused.digest_before;
        let waiting = self.service.pipeline.steps.backlog.len();
        tracing::error!(
            refused = waiting, after = %cut,
            "the disk is full: writes are refused until there is room"
        );
        self.service.pipeline.prep.take_back(cut, digest);
        self.service.work.on_taken_back(cut);
        self.service.ensemble.peer.take_back(cut);
        self.service.pipeline.steps.backlog.take_back(cut);
        self.service.pipeline.disk_full = DiskFull::RetryAt(now.mono.plus_ms(RETRY_MS));
        let mut refused: Vec<InFlight> = Vec::new();
        while self.service.pipeline.in_flight.back().is_some_and(|request| request.zxid > cut) {
            refused.extend(self.service.pipeline.in_flight.pop_back());
        }
        assert!(refused.len() >= waiting, "a transaction that waits for the log is in flight");
        assert!(self.service.pipeline.prep.last() == cut, "the next write comes behind {cut}");
        self.service.stats.writes_refused_disk_full += refused.len() as u64;
        for request in refused.iter_mut().rev() {
            self.service.audit.on_refused(now, request.audit.take());
        }
        // The newest first: then the last write in the queue of a connection is this one.
        for request in &refused {
            self.refuse(now, request);
        }
        self.wait_for_no_more_than(cut);
        self.answer_questions(now);
        for request in refused.iter().rev() {
            let Some(slot) = request.slot else { continue };
            self.go_on_without_room(now, slot);
        }
        self.pass_barriers(now);
    }

    /// Turns a write that was taken back into a refusal, at its place in its connection's queue.
    fn refuse(&mut self, now: Now, request: &InFlight) {
        let applied = self.service.database.last_processed();
        assert!(request.zxid > applied, "{} is applied, and is not taken back", request.zxid);
        let large = request.large as usize;
        assert!(self.service.clients.large_bytes >= large, "a large request is counted");
        match request.op {
            OpCode::CreateSession => self.keep_unlogged(now, request),
            OpCode::CloseSession => self.revive_session(now, request.session),
            _ => {}
        }
        let Some(connection) = request.slot.and_then(|slot| self.connections.get_mut(slot)) else {
            self.service.clients.release_large(request.large);
            return;
        };
        if connection.state == State::Ending {
            connection.state = State::Ready;
        }
        let write = connection.queue.iter().rposition(|step| matches!(step, Waiting::Write));
        match write {
            Some(place) => {
                let err = ErrorCode::SystemError.code();
                let answer = Answer {
                    xid: request.xid,
                    op: Some(request.op),
                    err,
                    zxid: None,
                    unknown: false,
                    large: request.large,
                    ends: false,
                };
                let after = Zxid::ZERO;
                self.service.clients.requests_held += 1;
                let step = Waiting::Answer { answer, arrived: request.arrived, after };
                connection.queue.replace(place, step);
            }
            None => self.service.clients.release_large(request.large),
        }
    }
}
