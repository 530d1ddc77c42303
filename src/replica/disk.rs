//! The disk: transactions on their way to the log, completions, snapshots, and a full disk.
//!
//! A full disk refuses writes before anything of them is written. Transactions that were proposed
//! and for which the log then has no room are taken back: nobody has seen them. Their clients are
//! told SYSTEMERROR, which says "not carried out"; reads go on; room is looked for every second.

use super::connection::{Answer, State, Waiting};
use super::{DiskFull, InFlight, Replica};
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::io::{Completion, Op, Owner};
use crate::proto::OpCode;
use crate::snapshot;
use crate::time::{MonoUs, Now};
use crate::txnlog::{Append, Progress};

/// Time between two attempts to get room on a full disk. A guess: an operator who made room sees
/// it used at once, and a disk is not bothered by it.
const RETRY_MS: u64 = 1000;

/// Snapshots: when one is due, and how far it is.
pub(super) struct Snapshots {
    writer: snapshot::Writer,
    requested: bool,
    started: MonoUs,
    random: u64,
    /// The log waits for the first snapshot: without one, ZooKeeper takes no log for its own.
    log_waits: bool,
}

impl Snapshots {
    /// `first`: the folder holds no snapshot of this state yet.
    pub fn new(options: snapshot::WriterOptions, first: bool, seed: u64) -> Snapshots {
        Snapshots {
            writer: snapshot::Writer::new(options),
            // ZooKeeper: a snapshot is written at every start.
            requested: true,
            started: MonoUs(0),
            random: seed | 1,
            log_waits: first,
        }
    }

    pub fn request(&mut self) {
        self.requested = true;
    }

    /// Whether a slice may be written at once.
    pub fn wants_poll(&self) -> bool {
        self.writer.wants_poll()
    }

    /// Any number (xorshift64).
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Replica {
    /// An operation of the disk is done, or has failed.
    pub fn handle_completion(&mut self, now: Now, completion: Completion) {
        self.now = now;
        if self.stopped {
            return;
        }
        match completion.token.owner() {
            Owner::TxnLog => self.on_log_completion(now, completion),
            Owner::Snapshot => self.on_snapshot_completion(now, completion),
            Owner::Replica => {}
        }
    }

    fn on_log_completion(&mut self, now: Now, completion: Completion) {
        match self.txnlog.handle_completion(completion) {
            Progress::None => {}
            Progress::Synced(synced) => {
                let us = now.mono.since_us(self.group_started);
                self.stats.record_group(us);
                if us / 1000 > self.options.log_write_warning_ms {
                    self.stats.log_writes_slow += 1;
                    if let Some(unsaid) = self.lines.allow(now.mono) {
                        tracing::warn!(
                            ms = us / 1000,
                            bytes = synced.bytes,
                            unsaid,
                            "a write of the transaction log was slow: every write waits for it"
                        );
                    }
                }
                self.stats.log_bytes += u64::from(synced.bytes);
                self.peer.handle_synced(synced.zxid);
                self.follow_peer(now);
            }
            Progress::NoSpace(failure) => {
                tracing::error!(%failure, "no room for the next segment of the transaction log");
            }
            Progress::Failed(failure) => {
                self.stop(format!("the transaction log cannot be written: {failure}"));
            }
        }
        if self.is_disk_full() && !self.txnlog.is_out_of_space() && self.txnlog.is_ready() {
            tracing::info!("there is room on the disk again: writes are accepted");
            self.disk_full = DiskFull::No;
        }
    }

    /// Does what the peer wants done.
    fn follow_peer(&mut self, now: Now) {
        let mut ready = std::mem::take(&mut self.ready);
        self.peer.take_ready(&mut ready);
        self.backlog.extend(ready.append.drain(..));
        for txn in ready.commit.drain(..) {
            self.on_committed(now, &txn);
        }
        self.ready = ready;
    }

    /// The process must stop: nothing more is given to the disk, and so nothing is committed.
    fn stop(&mut self, reason: String) {
        tracing::error!(reason, "the server must stop");
        self.stopped = true;
        self.fatal = Some(reason);
    }

    /// Gives the log what it takes, and collects the operations to be done.
    pub(super) fn poll_disk(&mut self, now: Now) {
        if self.stopped {
            return;
        }
        self.follow_peer(now);
        while let Some(txn) = self.backlog.front() {
            if self.snapshots.log_waits {
                break;
            }
            match self.txnlog.append(txn) {
                Append::Accepted => {
                    self.prep.on_logged(txn.zxid());
                    self.backlog.pop_front();
                }
                Append::Full => break,
                Append::NoSpace => {
                    self.refuse_backlog(now);
                    break;
                }
                Append::TooLarge => unreachable!("prep makes no transaction that is too large"),
            }
        }
        if self.shutting_down && self.in_flight.is_empty() {
            self.txnlog.close();
        }
        let before = self.ops.len();
        self.txnlog.poll(&mut self.ops);
        if self.ops[before..].iter().any(|op| matches!(op, Op::LogWrite { .. })) {
            self.group_started = now.mono;
        }
        self.poll_snapshot(now);
    }

    /// Begins a snapshot if one is due, and writes a slice of the one under way.
    fn poll_snapshot(&mut self, now: Now) {
        if self.shutting_down && !self.snapshots.log_waits {
            return;
        }
        let due = self.snapshots.requested || self.txnlog.snapshot_due();
        if due && !self.snapshots.writer.is_active() {
            self.snapshots.requested = false;
            self.snapshots.started = now.mono;
            let random = self.snapshots.random();
            self.txnlog.roll(random);
            self.snapshots.writer.begin(&mut self.database, &mut self.ops);
        }
        self.snapshots.writer.poll(&mut self.database, &mut self.ops);
    }

    fn on_snapshot_completion(&mut self, now: Now, completion: Completion) {
        match self.snapshots.writer.handle_completion(completion) {
            snapshot::Progress::None => {}
            snapshot::Progress::Done { zxid, name, bytes } => {
                let ms = now.mono.since_us(self.snapshots.started) / 1000;
                tracing::info!(%zxid, name, bytes, ms, "wrote a snapshot");
                self.stats.snapshots_written += 1;
                self.stats.snapshot_ms.record(ms);
                self.snapshots.log_waits = false;
            }
            snapshot::Progress::Failed(failure) => {
                tracing::error!(%failure, "gave a snapshot up");
                self.stats.snapshot_errors += 1;
                if self.snapshots.log_waits {
                    self.stop(format!("the first snapshot cannot be written: {failure}"));
                }
            }
        }
    }

    pub(super) fn on_disk_timeout(&mut self, now: Now) {
        if let DiskFull::RetryAt(at) = self.disk_full
            && now.mono >= at
        {
            self.txnlog.retry_prepare();
            self.disk_full = DiskFull::RetryAt(now.mono.plus_ms(RETRY_MS));
        }
    }

    /// Takes back what the log has no room for.
    fn refuse_backlog(&mut self, now: Now) {
        let first = self.backlog.front().expect("something did not fit").zxid();
        let cut = Zxid(first.0 - 1);
        let at = self.in_flight.partition_point(|request| request.zxid < first);
        let digest = self.in_flight[at].digest_before;
        tracing::error!(
            refused = self.backlog.len(), after = %cut,
            "the disk is full: writes are refused until there is room"
        );
        self.prep.take_back(cut, digest);
        self.peer.take_back(cut);
        self.backlog.clear();
        self.disk_full = DiskFull::RetryAt(now.mono.plus_ms(RETRY_MS));
        let mut refused = Vec::new();
        while self.in_flight.back().is_some_and(|request| request.zxid > cut) {
            refused.extend(self.in_flight.pop_back());
        }
        self.stats.writes_refused_disk_full += refused.len() as u64;
        // The newest first, so that the last write of a queue is the one that is meant.
        for request in &refused {
            self.refuse(now, request);
        }
        for request in refused.iter().rev() {
            let Some(slot) = request.slot else { continue };
            if let Some(mut connection) = self.connections.take(slot) {
                self.advance(now, slot, &mut connection);
                self.connections.put(slot, connection);
            }
        }
    }

    fn refuse(&mut self, now: Now, request: &InFlight) {
        match request.op {
            OpCode::CreateSession => {
                self.sessions.remove(request.session);
                if let Some(slot) = request.slot {
                    self.close(slot);
                }
            }
            OpCode::CloseSession => self.revive_session(now, request.session),
            _ => {}
        }
        let Some(connection) = request.slot.and_then(|slot| self.connections.get_mut(slot)) else {
            self.large_bytes -= request.large as usize;
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
                    unknown: false,
                    large: request.large,
                };
                let after = Zxid::ZERO;
                self.requests_held += 1;
                connection.queue[place] =
                    Waiting::Answer { answer, arrived: request.arrived, after };
            }
            None => self.large_bytes -= request.large as usize,
        }
    }
}
