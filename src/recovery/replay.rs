//! Replaying the logs behind a snapshot.

use std::collections::VecDeque;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use bytes::Bytes;

use super::folder::{Folder, LogEntries};
use super::history::is_next;
use super::{RecoveryError, RecoveryOptions, RecoveryProgress};
use crate::database::Database;
use crate::id::Zxid;
use crate::io::Place;
use crate::limits;
use crate::planted::{self, PlantedBug};
use crate::proto::txn::{DIGEST_VERSION, Txn};
use crate::txnlog::{self, Entry, Reader, Verdict, plan};

/// A change that makes a folder good, for Java as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    name: String,
    /// Where the file is cut. `None`: it is removed, since it holds nothing.
    cut: Option<u64>,
    reason: String,
}

/// Places of the logs that an operator has to know of.
#[derive(Debug)]
pub(super) struct Places {
    count: u64,
    notes: Vec<String>,
    /// What there is at further places.
    what: &'static str,
}

impl Places {
    /// Places that get a line of their own. Whoever lost files lost few; a log of nothing else must not fill
    /// the memory.
    const NOTES_MAX: usize = 20;

    fn new(what: &'static str) -> Places {
        Places { count: 0, notes: Vec::new(), what }
    }

    fn note(&mut self, note: impl FnOnce() -> String) {
        self.count += 1;
        if self.notes.len() < Places::NOTES_MAX {
            self.notes.push(note());
        }
    }

    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// A sentence for each, or for so many.
    pub fn into_notes(self) -> Vec<String> {
        let Places { count, mut notes, what } = self;
        let more = count - notes.len() as u64;
        if more > 0 {
            notes.push(format!("{what} at {more} further places of the logs"));
        }
        notes
    }
}

/// The state while it is being read.
pub(super) struct Replay<'a> {
    pub database: Database,
    /// The last transaction applied, or the snapshot's zxid.
    pub zxid: Zxid,
    pub txns: u64,
    pub recent: VecDeque<Txn>,
    /// Of those.
    recent_bytes: usize,
    pub repairs: Vec<Repair>,
    /// Where transactions are missing and were passed over, as the operator allowed.
    pub gaps: Places,
    /// Where a node was to be made below an ephemeral one.
    pub misplaced: Places,
    /// Path of the log that holds the last transaction applied; `None`: it is the snapshot's.
    last_file: Option<String>,
    /// Nothing up to this is applied again.
    base: Option<Zxid>,
    /// States of snapshots that were passed over.
    passed_over: Vec<Zxid>,
    options: &'a RecoveryOptions,
}

/// Transactions whose nodes are fetched together.
const WARMED_TOGETHER: usize = 8;

/// Between two calls of the progress callback.
const PROGRESS_TXNS: u64 = 10_000;

impl<'a> Replay<'a> {
    /// `snapshots`: all that are there.
    pub fn new(
        database: Database,
        base: Option<Zxid>,
        snapshots: Vec<Zxid>,
        options: &'a RecoveryOptions,
    ) -> Replay<'a> {
        let mut passed_over = snapshots;
        passed_over.retain(|at| base.is_some_and(|base| *at > base));
        Replay {
            database,
            zxid: base.unwrap_or(Zxid::ZERO),
            txns: 0,
            recent: VecDeque::new(),
            recent_bytes: 0,
            repairs: Vec::new(),
            gaps: Places::new("transactions are missing"),
            misplaced: Places::new("nodes were to be made below ephemeral nodes"),
            last_file: None,
            base,
            passed_over,
            options,
        }
    }

    /// Replays what follows the snapshot. `logs`: all of them, oldest first.
    pub fn run(
        &mut self,
        folder: &dyn Folder,
        logs: &[(Zxid, &str)],
        progress: &mut dyn FnMut(RecoveryProgress<'_>),
    ) -> Result<(), RecoveryError> {
        let needed = plan::logs_from(logs, self.zxid);
        for (index, log) in needed.iter().enumerate() {
            self.file(folder, *log, index + 1 == needed.len(), progress)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        folder: &dyn Folder,
        (named_after, name): (Zxid, &str),
        is_last: bool,
        progress: &mut dyn FnMut(RecoveryProgress<'_>),
    ) -> Result<(), RecoveryError> {
        let path = folder.describe(Place::Logs, name);
        let failed = |what, error| RecoveryError::Io { what, file: path.clone(), error };
        let mut reader = folder.open_log(name).map_err(|error| failed("open", error))?;
        let mut entries: u64 = 0;
        let mut next = Vec::with_capacity(WARMED_TOGETHER);
        loop {
            let read = self.warm(&mut *reader, &mut next);
            // What stands before an error counts: it may be wrong for another reason.
            for entry in next.drain(..) {
                entries += 1;
                let zxid = entry.txn.zxid();
                if entries == 1 && zxid < named_after {
                    // ZooKeeper: FileTxnLog writes over it when a transaction of its name comes.
                    let (file, offset) = (path, entry.offset);
                    return Err(RecoveryError::Misnamed { file, offset, zxid });
                }
                self.entry(entry, &path)?;
                if entries.is_multiple_of(PROGRESS_TXNS) {
                    let (bytes, bytes_total) = (reader.offset(), reader.bytes_total());
                    progress(RecoveryProgress::Log { name, bytes, bytes_total, txns: self.txns });
                }
            }
            if read.map_err(|error| failed("read", error))? {
                break;
            }
        }
        let (bytes, bytes_total) = (reader.offset(), reader.bytes_total());
        progress(RecoveryProgress::Log { name, bytes, bytes_total, txns: self.txns });
        let verdict = reader.verdict().expect("the reader has come to the end");
        match verdict.clone() {
            Verdict::Damaged { offset, zxid, reason } => {
                let zxid = zxid.or(Some(self.zxid));
                return Err(RecoveryError::Damaged { file: path, offset, zxid, reason });
            }
            // A name without a record: taken by the next run for the very next zxid.
            Verdict::Clean { .. } if entries == 0 && is_last => {
                let reason = "it ends behind its header".to_owned();
                self.repairs.push(Repair { name: name.to_owned(), cut: None, reason });
            }
            Verdict::Clean { .. } => (),
            Verdict::TornTail { end, reason, .. } if is_last => {
                // ZooKeeper: an empty last log is what a crash leaves just after its creation
                // (`FileTxnIterator.goToNextLog`).
                let cut = (entries > 0).then_some(end);
                if planted::is(self.options.planted, PlantedBug::TornTailAccepted) {
                    self.accept_torn(folder, name, end).map_err(|error| failed("read", error))?;
                }
                self.repairs.push(Repair { name: name.to_owned(), cut, reason });
            }
            // Java went on behind it, in another file: it stays as Java left it.
            Verdict::TornTail { passable: true, .. } => (),
            // Neither Java nor we ever begin another file behind such a tail: it came later.
            Verdict::TornTail { end, reason, passable: false } => {
                let zxid = Some(self.zxid);
                return Err(RecoveryError::Damaged { file: path, offset: end, zxid, reason });
            }
        }
        Ok(())
    }

    /// Takes the next records, and has the processor fetch the nodes that they are about: their searches wait for the
    /// memory together. True behind the last record.
    fn warm(&self, reader: &mut dyn LogEntries, next: &mut Vec<Entry>) -> io::Result<bool> {
        while next.len() < WARMED_TOGETHER {
            let Some(entry) = reader.next_entry()? else { return Ok(true) };
            next.push(entry);
        }
        for path in next.iter().filter_map(|entry| entry.txn.path_ahead()) {
            self.database.warm(path);
        }
        Ok(false)
    }

    /// Whether transactions are missing before `zxid`, the first of an epoch in the log.
    ///
    /// The tree that a leader sent is written when more was logged behind it: so any newer snapshot
    /// may hold what was never logged here. A leader counts from 1.
    fn is_gap(&self, zxid: Zxid) -> bool {
        let between = |at: &Zxid| self.zxid < *at && *at < zxid && at.counter() != 0;
        let newer = |at: &Zxid| *at > self.zxid;
        self.passed_over.iter().any(between)
            || (zxid.counter() != 1 && self.passed_over.iter().any(newer))
    }

    /// The planted bug: whatever of the torn group can be read at all is taken for transactions.
    fn accept_torn(&mut self, folder: &dyn Folder, name: &str, from: u64) -> io::Result<()> {
        /// Adler-32 as eight bytes, and the length.
        const HEAD_BYTES: usize = 12;
        let mut file = folder.open(Place::Logs, name)?;
        file.seek(SeekFrom::Start(from.max(txnlog::FILE_HEADER_BYTES as u64)))?;
        let mut rest = Vec::new();
        file.read_to_end(&mut rest)?;
        let mut rest = Bytes::from(rest);
        while let Some(length) = rest.get(8..HEAD_BYTES).and_then(|length| length.first_chunk()) {
            let end = HEAD_BYTES + usize::try_from(u32::from_be_bytes(*length)).unwrap_or(0);
            if end == HEAD_BYTES || end >= rest.len() {
                break;
            }
            let Ok(txn) = Txn::parse(&rest.slice(HEAD_BYTES..end)) else { break };
            if txn.zxid() <= self.zxid {
                break;
            }
            self.zxid = txn.zxid();
            self.txns += 1;
            self.database.apply_in_replay(&txn);
            rest = rest.slice(end + 1..);
        }
        Ok(())
    }

    fn gap(&self, before: Zxid, path: &str, offset: u64) -> RecoveryError {
        RecoveryError::Gap { after: self.zxid, before, file: path.to_owned(), offset }
    }

    fn entry(&mut self, entry: Entry, path: &str) -> Result<(), RecoveryError> {
        let zxid = entry.txn.zxid();
        if self.base.is_some_and(|base| zxid <= base) {
            return Ok(());
        }
        let known = self.base.is_some() || self.txns > 0;
        if known && zxid < self.zxid {
            let (file, offset, last) = (path.to_owned(), entry.offset, self.zxid);
            return Err(RecoveryError::Backwards { file, offset, zxid, last });
        }
        // Within an epoch every zxid is logged. Between two, the last ones of the old epoch were
        // never agreed on, and a new leader's are counted from 1. A snapshot that cannot be read
        // may be the tree that a leader sent: what it holds was not logged here.
        let begins = zxid.epoch() != self.zxid.epoch();
        let follows =
            zxid == self.zxid || (begins && !self.is_gap(zxid)) || self.zxid.next() == Some(zxid);
        let mut is_gap = known && !follows;
        if is_gap && !self.options.allow_gaps {
            return Err(self.gap(zxid, path, entry.offset));
        }
        // A tree sent before an epoch's first transaction leaves a hole that only the digest shows.
        let doubtful = known && begins && self.passed_over.iter().any(|at| *at > self.zxid);
        let mismatches = self.database.digest_mismatches();
        self.database.apply_in_replay(&entry.txn);
        let fits = entry.txn.digest_after().is_some_and(|digest| digest.version == DIGEST_VERSION)
            && self.database.digest_mismatches() == mismatches;
        is_gap |= doubtful && !fits;
        if is_gap && !self.options.allow_gaps {
            return Err(self.gap(zxid, path, entry.offset));
        }
        if is_gap {
            let after = self.zxid;
            let last = self.last_file.as_deref().unwrap_or("the snapshot");
            self.gaps.note(|| {
                format!(
                    "transactions are missing between {after}, the last one of {last}, and {zxid}, at offset {} of \
                     {path}: passed over, as ringkeeper.allowLogGaps says. What they changed is lost",
                    entry.offset
                )
            });
        }
        if let Some(node) = self.database.take_misplaced() {
            self.misplaced.note(|| {
                format!(
                    "the transaction {zxid} at offset {} of {path} makes the node \"{node}\" below an ephemeral \
                     one, which no server does: passed over",
                    entry.offset
                )
            });
        }
        if self.last_file.as_deref() != Some(path) {
            self.last_file = Some(path.to_owned());
        }
        let before = std::mem::replace(&mut self.zxid, zxid);
        self.txns += 1;
        // Of two with one zxid the second is an error that nobody misses.
        let repeats = known && zxid == before;
        if self.options.recent_txns_max > 0 && !repeats {
            if !is_next(before, zxid) {
                self.recent.clear();
                self.recent_bytes = 0;
            }
            self.keep(entry.txn);
        }
        Ok(())
    }

    /// Keeps a transaction as one of the last.
    fn keep(&mut self, txn: Txn) {
        self.recent_bytes += txn.bytes().len();
        self.recent.push_back(txn);
        while self.recent.len() > self.options.recent_txns_max
            || self.recent_bytes > limits::COMMITTED_LOG_BYTES_MAX
        {
            let txn = self.recent.pop_front().expect("there are more than a server keeps");
            self.recent_bytes -= txn.bytes().len();
        }
    }
}

/// The first log with a transaction in it, by name.
pub(super) fn first_with_entries<'n>(
    folder: &dyn Folder,
    logs: &[(Zxid, &'n str)],
) -> Result<Option<&'n str>, RecoveryError> {
    for (_, name) in logs {
        let failed = |error| RecoveryError::Io {
            what: "read",
            file: folder.describe(Place::Logs, name),
            error,
        };
        let file = folder.open(Place::Logs, name).map_err(failed)?;
        if Reader::open(file).and_then(|mut log| log.next_entry()).map_err(failed)?.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Carries the repairs out.
pub(super) fn repair(
    folder: &dyn Folder,
    repairs: &[Repair],
    notes: &mut Vec<String>,
) -> Result<(), RecoveryError> {
    for Repair { name, cut, reason } in repairs {
        let (what, done, note) = match cut {
            Some(end) => {
                let note = format!("{name} was cut at offset {end}, its torn tail: {reason}");
                ("cut", folder.truncate(Place::Logs, name, *end), note)
            }
            None => {
                let note = format!("{name} was removed, it holds no transaction: {reason}");
                ("remove", folder.remove(Place::Logs, name), note)
            }
        };
        done.map_err(|error| {
            let file = folder.describe(Place::Logs, name);
            RecoveryError::Io { what, file, error }
        })?;
        notes.push(note);
    }
    Ok(())
}
