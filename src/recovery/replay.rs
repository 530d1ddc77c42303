//! Replays the logs after a snapshot (`FileTxnSnapLog.fastForwardFromEdits`).
//!
//! ```text
//!  logs      log.1 ─────────────┬ log.80 ──────────────────────┬ log.200 ───────▒ torn tail
//!  snapshot              ▲ base │ `zxid`: applied up to here   │
//! ```
//! Replay applies each transaction after the snapshot once, in order. It refuses a log that is damaged, goes back, or
//! lacks transactions in the middle, because a state that misses a committed transaction would differ from that of
//! all other servers. It changes no file: [`Repair`] says what has to be done when everything else is known to be
//! right.
//!
//! The rule that is easy to break: only the last log may have a torn tail that is cut. A tail in an earlier log is
//! damage, unless ZooKeeper went on after it in another file.

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

/// A change to a log after which ZooKeeper could read it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    /// The name of the log.
    name: String,
    /// The offset at which the file is cut, the end of its last whole record. `None`: it holds no transaction, and is
    /// removed.
    cut: Option<u64>,
    /// What is wrong with what is cut, for the operator.
    reason: String,
}

/// Problems of one kind in the logs, for an operator. The lines are bounded, the count is not.
#[derive(Debug)]
pub(super) struct Places {
    /// How many places there are.
    count: u64,
    /// A line for each of the first [`Places::NOTES_MAX`] places.
    notes: Vec<String>,
    /// What is wrong at each place, as the beginning of a sentence.
    what: &'static str,
}

impl Places {
    /// The number of places that get a line of their own. A folder usually lacks few files, and a log full of such
    /// places must not fill the memory.
    const NOTES_MAX: usize = 20;

    /// No places yet.
    fn new(what: &'static str) -> Places {
        Places { count: 0, notes: Vec::new(), what }
    }

    /// Counts a place. `note` makes its line, if there is room for one.
    fn note(&mut self, note: impl FnOnce() -> String) {
        self.count += 1;
        if self.notes.len() < Places::NOTES_MAX {
            self.notes.push(note());
        }
    }

    /// Whether there is no such place.
    pub fn is_none(&self) -> bool {
        self.count == 0
    }

    /// A line for each place up to the bound, and one for all others.
    pub fn into_notes(self) -> Vec<String> {
        let Places { count, mut notes, what } = self;
        let more = count - notes.len() as u64;
        if more > 0 {
            notes.push(format!("{what} at {more} more places in the logs"));
        }
        notes
    }
}

/// The state during replay.
///
/// Invariant: `database` holds everything up to `zxid`.
pub(super) struct Replay<'a> {
    /// The tree, the sessions and the ACLs.
    pub database: Database,
    /// The last transaction that was applied, or the zxid of the snapshot; 0 without one. It never falls.
    pub zxid: Zxid,
    /// The number of transactions that were applied.
    pub txns: u64,
    /// The last of them, for followers, without a gap; within the bounds on number and bytes.
    pub recent: VecDeque<Txn>,
    /// The bytes of the recent transactions. Invariant: the sum over `recent`.
    recent_bytes: usize,
    /// What is to be changed after everything was read.
    pub repairs: Vec<Repair>,
    /// Places where transactions are missing, which the operator has allowed.
    pub gaps: Places,
    /// Places where a transaction creates a node below an ephemeral one.
    pub misplaced: Places,
    /// The path of the log with the last transaction that was applied; `None`: the snapshot holds it.
    last_file: Option<String>,
    /// The zxid of the snapshot: transactions up to it are not applied again. `None`: there is no snapshot.
    base: Option<Zxid>,
    /// The zxids of newer snapshots, which cannot be read. A hole in the log may hide behind one of them.
    passed_over: Vec<Zxid>,
    /// What the caller wants.
    options: &'a RecoveryOptions,
}

/// The number of transactions whose nodes are fetched together.
const WARMED_TOGETHER: usize = 8;

/// The number of transactions between two calls of the progress callback.
const PROGRESS_TXNS: u64 = 10_000;

impl<'a> Replay<'a> {
    /// A replay that begins with the state of the snapshot at `base`; without one, `database` is new. `snapshots` are
    /// the zxids of all snapshots in the folder.
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
            misplaced: Places::new("transactions create nodes below ephemeral nodes"),
            last_file: None,
            base,
            passed_over,
            options,
        }
    }

    /// Replays the transactions after the snapshot. `logs` are all logs, the oldest first.
    ///
    /// # Errors
    /// The system's; or a log is damaged, misnamed, goes back, or lacks transactions ([`RecoveryError::Gap`]) without
    /// permission.
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

    /// Replays one log. The last one may end in a torn tail, which becomes a repair.
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
            // Entries before a read error are handled first: they may show another error.
            for entry in next.drain(..) {
                entries += 1;
                let zxid = entry.txn.zxid();
                if entries == 1 && zxid < named_after {
                    // ZooKeeper: FileTxnLog overwrites the file when the transaction of its name comes.
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
            // A log without a record: the next run needs its name for the very next zxid.
            Verdict::Clean { .. } if entries == 0 && is_last => {
                let reason = "it ends behind its header".to_owned();
                self.repairs.push(Repair { name: name.to_owned(), cut: None, reason });
            }
            Verdict::Clean { .. } => (),
            Verdict::TornTail { end, reason, .. } if is_last => {
                // ZooKeeper: a crash just after the creation of a log leaves it empty
                // (`FileTxnIterator.goToNextLog`).
                let cut = (entries > 0).then_some(end);
                if planted::is(self.options.planted, PlantedBug::TornTailAccepted) {
                    self.accept_torn(folder, name, end).map_err(|error| failed("read", error))?;
                }
                self.repairs.push(Repair { name: name.to_owned(), cut, reason });
            }
            // ZooKeeper continued after the tail, in another file. The tail stays as ZooKeeper left it.
            Verdict::TornTail { passable: true, .. } => (),
            // Neither ZooKeeper nor we ever begin another file after such a tail: the damage came later.
            Verdict::TornTail { end, reason, passable: false } => {
                let zxid = Some(self.zxid);
                return Err(RecoveryError::Damaged { file: path, offset: end, zxid, reason });
            }
        }
        Ok(())
    }

    /// Takes the next records, and has the processor fetch their nodes together, so that the waits for memory overlap.
    /// True after the last record.
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
    /// A server writes the tree that a leader sent when it has already logged more. So any newer snapshot may hold
    /// transactions that were never logged here. A leader counts from 1.
    fn is_gap(&self, zxid: Zxid) -> bool {
        let between = |at: &Zxid| self.zxid < *at && *at < zxid && at.counter() != 0;
        let newer = |at: &Zxid| *at > self.zxid;
        self.passed_over.iter().any(between)
            || (zxid.counter() != 1 && self.passed_over.iter().any(newer))
    }

    /// A planted bug: takes everything in the torn group that can be read at all for transactions.
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

    /// The error about transactions that are missing before `before`.
    fn gap(&self, before: Zxid, path: &str, offset: u64) -> RecoveryError {
        RecoveryError::Gap { after: self.zxid, before, file: path.to_owned(), offset }
    }

    /// Applies one record, if it is after the snapshot and may follow the one before it.
    fn entry(&mut self, entry: Entry, path: &str) -> Result<(), RecoveryError> {
        let zxid = entry.txn.zxid();
        // The snapshot holds this transaction whole, also a fuzzy one of ZooKeeper's, whose name has the zxid at
        // which it began.
        if self.base.is_some_and(|base| zxid <= base) {
            return Ok(());
        }
        let known = self.base.is_some() || self.txns > 0;
        if known && zxid < self.zxid {
            let (file, offset, last) = (path.to_owned(), entry.offset, self.zxid);
            return Err(RecoveryError::Backwards { file, offset, zxid, last });
        }
        // Within an epoch a server logs every zxid. Between two epochs, the last zxids of the old one may
        // never have been agreed on, and a new leader counts from 1. A snapshot that cannot be read
        // may be a tree that a leader sent, whose transactions were never logged here.
        let begins = zxid.epoch() != self.zxid.epoch();
        let follows =
            zxid == self.zxid || (begins && !self.is_gap(zxid)) || self.zxid.next() == Some(zxid);
        let mut is_gap = known && !follows;
        if is_gap && !self.options.allow_gaps {
            return Err(self.gap(zxid, path, entry.offset));
        }
        // A tree that a leader sent before the first transaction of an epoch leaves a hole that only the digest shows.
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
                     {path}: passed over, as ringkeeper.allowLogGaps allows. Their changes are lost",
                    entry.offset
                )
            });
        }
        if let Some(node) = self.database.take_misplaced() {
            self.misplaced.note(|| {
                format!(
                    "the transaction {zxid} at offset {} of {path} makes the node \"{node}\" below an ephemeral \
                     one, which no server does: skipped",
                    entry.offset
                )
            });
        }
        if self.last_file.as_deref() != Some(path) {
            self.last_file = Some(path.to_owned());
        }
        let before = std::mem::replace(&mut self.zxid, zxid);
        self.txns += 1;
        // Of two transactions with one zxid the second is a duplicate, and is not kept.
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

    /// Keeps a transaction as one of the recent ones.
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

/// The name of the first log with a transaction in it. Empty logs prove nothing: ZooKeeper leaves one if it crashes
/// just after it has created the file.
///
/// # Errors
/// The system's.
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

/// Carries the repairs out. Each is durable before the next one, and each makes a line in `notes`.
///
/// # Errors
/// The system's. The repairs before the one that failed are done, and the next start finds the others again.
pub(super) fn repair(
    folder: &dyn Folder,
    repairs: &[Repair],
    notes: &mut Vec<String>,
) -> Result<(), RecoveryError> {
    for Repair { name, cut, reason } in repairs {
        let (what, done, note) = match cut {
            Some(end) => {
                let note = format!("cut {name} at offset {end}, its torn tail: {reason}");
                ("cut", folder.truncate(Place::Logs, name, *end), note)
            }
            None => {
                let note = format!("removed {name}, which holds no transaction: {reason}");
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
