//! From a data folder to the state it holds: the newest snapshot that is whole, and the log behind
//! it (`FileTxnSnapLog.restore`, `QuorumPeer.loadDataBase`).
//!
//! Nothing is claimed for which the folder has no proof: an epoch without the history that it stands for
//! would win elections against servers that have it.
//!
//! Recovery repairs only what no acknowledged transaction can depend on: a torn tail is cut off, so
//! that ZooKeeper could take the folder over as it is; files that an earlier run left unfinished are
//! removed. Anything else that is wrong is refused with a sentence that says where it is and what
//! can be done. Nothing is changed before everything was read.
//!
//! The log goes on in a new file. The easy rule to break: there is a snapshot before there is a
//! log, for logs without a snapshot are refused, here as in ZooKeeper; so an empty folder gets its
//! `snapshot.0` at once.

mod epochs;
mod folder;
mod history;
mod replay;
mod truncate;

use std::collections::VecDeque;
use std::io::{self, Read, Seek, SeekFrom};

pub use epochs::Epochs;
pub use folder::{FileInfo, Folder, LogEntries, MemoryFolder, ReadSeek};
pub use history::{log_read_bytes_max, read_txns};
pub use truncate::{discard_after, truncate};

use crate::database::{Database, DatabaseOptions, LoadError};
use crate::id::Zxid;
use crate::io::{Op, Place, is_segment_temporary, way_out};
use crate::planted::{self, PlantedBug};
use crate::proto::txn::Txn;
use crate::snapshot::{self, Compression, Look, SNAPSHOT_TEMPORARY};
use crate::txnlog::plan;

/// What recovery may do.
#[derive(Clone, Debug)]
pub struct RecoveryOptions {
    /// How the database is made.
    pub database: DatabaseOptions,
    /// `snapshot.trust.empty`: logs without any snapshot are replayed from nothing.
    pub trust_empty: bool,
    /// `db.autocreate`: an empty folder is a new, empty database.
    pub autocreate: bool,
    /// A member of an ensemble: epochs are read, created when missing, and checked; and sessions
    /// are the leader's business.
    pub ensemble: bool,
    /// Transactions missing in the middle of the log are passed over.
    pub allow_gaps: bool,
    /// How many of the last transactions are kept for followers that lag a little.
    pub recent_txns_max: usize,
    /// A bug put in on purpose; only in a build for tests.
    pub planted: Option<PlantedBug>,
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        RecoveryOptions {
            database: DatabaseOptions::default(),
            trust_empty: false,
            autocreate: true,
            ensemble: false,
            allow_gaps: false,
            recent_txns_max: 0,
            planted: None,
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Recovered {
    /// The state.
    pub database: Database,
    /// The last transaction in it; -1 if nothing is known, not even that there is nothing: then
    /// the server may not vote.
    pub zxid: Zxid,
    /// The epochs; `None` for a server that stands alone.
    pub epochs: Option<Epochs>,
    /// The zxid of the snapshot that it began with.
    pub snapshot: Option<Zxid>,
    /// Transactions replayed behind the snapshot.
    pub txns: u64,
    /// Whether transactions are missing between those that were replayed
    /// ([`RecoveryOptions::allow_gaps`]): the next start finds the same, until a snapshot is behind them.
    pub gaps: bool,
    /// The last of them, without a gap and each zxid once.
    pub recent: VecDeque<Txn>,
    /// What an operator should look at: what was passed over, cut or lost.
    pub notes: Vec<String>,
    /// What is as it should be and worth a line.
    pub news: Vec<String>,
}

/// How far recovery has come; told now and then.
#[derive(Clone, Copy, Debug)]
pub enum RecoveryProgress<'a> {
    /// Reading a snapshot.
    Snapshot {
        /// The file.
        name: &'a str,
        /// Bytes read, uncompressed.
        bytes: u64,
        /// Nodes read.
        nodes: u64,
    },
    /// Replaying a log.
    Log {
        /// The file.
        name: &'a str,
        /// Bytes read.
        bytes: u64,
        /// Size of the file.
        bytes_total: u64,
        /// Transactions replayed, from all files.
        txns: u64,
    },
}

/// What to do with files that cannot be used, in an ensemble. The epoch files stay: a folder without them
/// is a new server's, which has a vote (`db.autocreate`) although it has forgotten what it acknowledged.
const MOVE_ASIDE: &str = "while the other servers have a quorum, move log.* and snapshot.* of this \
    server's version-2 folders (in dataDir and dataLogDir) aside, leave acceptedEpoch and currentEpoch \
    where they are, and start it: it gets everything from the leader, and does not vote before";

/// Why the folder cannot be used as it is. Each is a sentence with the way out.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The system refuses.
    #[error("cannot {what} {file}: {error}{}", way_out(error))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        file: String,
        /// The system's words.
        error: io::Error,
    },
    /// A log holds less than it once did.
    #[error(
        "{file} is damaged at offset {offset}{}: {reason}. Acknowledged transactions would be \
         lost, so the server does not start. In an ensemble: {MOVE_ASIDE}. Alone: restore the folder from a \
         backup; or, if what follows may be lost, cut the file with `truncate -s {offset}` and \
         remove every log after it",
        last_zxid(*zxid)
    )]
    Damaged {
        /// The whole path of the log.
        file: String,
        /// Where.
        offset: u64,
        /// The last zxid that can be read before it.
        zxid: Option<Zxid>,
        /// What was seen.
        reason: String,
    },
    /// Transactions are missing between two that are there.
    #[error(
        "transactions {after} to {before}, both excluded, are missing before offset {offset} of \
         {file}. In an ensemble: {MOVE_ASIDE}. Alone: bring back the log file that is missing; or, if those \
         transactions may be lost, start the server once with -Dringkeeper.allowLogGaps=true on its command \
         line"
    )]
    Gap {
        /// The last zxid before the gap.
        after: Zxid,
        /// The first zxid behind it.
        before: Zxid,
        /// The log that holds `before`.
        file: String,
        /// Where.
        offset: u64,
    },
    /// A zxid is lower than one before it.
    #[error(
        "{file} has zxid {zxid} at offset {offset}, behind {last} in the logs before it: they overlap, \
         and zxids never go back. Two servers may have written to this folder, or somebody copied a \
         log into it. If one of the files came from elsewhere, move it out of the folder. In an \
         ensemble: {MOVE_ASIDE}. Alone: restore the folder from a backup"
    )]
    Backwards {
        /// The whole path of the log.
        file: String,
        /// Where.
        offset: u64,
        /// The zxid.
        zxid: Zxid,
        /// The one before it.
        last: Zxid,
    },
    /// A log is named after a later transaction than its first: the next log might have its name.
    #[error(
        "{file} begins with zxid {zxid} at offset {offset}, lower than its name says: it was renamed, or comes          from elsewhere. Move it out of the folder, or give it the name log.{:x} if nothing else has it",
        zxid.0
    )]
    Misnamed {
        /// The whole path of the log.
        file: String,
        /// Where.
        offset: u64,
        /// Its first zxid.
        zxid: Zxid,
    },
    /// There are logs and no snapshot.
    #[error(
        "No snapshot found, but there are log entries (the first log is {file}). Something is \
         broken: bring the snapshots back; or, when upgrading from a ZooKeeper older than 3.5 that \
         never wrote one, start the server once with -Dzookeeper.snapshot.trust.empty=true on its command \
         line"
    )]
    NoSnapshot {
        /// The whole path of the first log.
        file: String,
    },
    /// No snapshot can be read.
    #[error(
        "none of the snapshots in {folder} can be used ({reasons}). Restore them from a backup, or \
         in an ensemble: {MOVE_ASIDE}"
    )]
    NoUsableSnapshot {
        /// The folder.
        folder: String,
        /// Each with its reason.
        reasons: String,
    },
    /// A snapshot cannot be read, and the log does not hold what it held.
    #[error(
        "{file} cannot be used: {reason}. The log ends at {last}, before it: what this server had \
         acknowledged would be lost, so it does not start. In an ensemble: {MOVE_ASIDE}. Alone: restore the \
         file from a backup; or, if what it held may be lost, move the file aside"
    )]
    LostTree {
        /// The whole path of the snapshot.
        file: String,
        /// What is wrong with it.
        reason: String,
        /// The last zxid that can be had without it.
        last: Zxid,
    },
    /// Snapshot and log together make a tree that no server makes.
    #[error(
        "{folder} holds a tree that no server makes, up to zxid {zxid}: {error}. Somebody has changed a file, or \
         put one there that is not of this history. In an ensemble: {MOVE_ASIDE}. Alone: restore the folder from \
         a backup"
    )]
    NoTree {
        /// The folder of the logs.
        folder: String,
        /// The last transaction.
        zxid: Zxid,
        /// What is wrong.
        error: LoadError,
    },
    /// Logs and snapshots in the wrong folders.
    #[error("{file}: {what}. Check if dataLogDir and dataDir are configured correctly")]
    Misplaced {
        /// The whole path of one of the files.
        file: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A cut would leave nothing to begin with.
    #[error(
        "the log cannot be cut behind {zxid}: no snapshot of that state or of one before it is \
         there. The way out: {MOVE_ASIDE}"
    )]
    NothingBefore {
        /// Where to cut.
        zxid: Zxid,
    },
    /// A cut at a transaction that is not there.
    #[error(
        "the log cannot be cut behind {zxid}: the last transaction up to it that this server has \
         is {last}. The way out: {MOVE_ASIDE}"
    )]
    NotInHistory {
        /// Where to cut.
        zxid: Zxid,
        /// What is there.
        last: Zxid,
    },
    /// The epoch files contradict the log, or each other.
    #[error("{file}: {reason}")]
    Epoch {
        /// The whole path of the file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl RecoveryError {
    /// Whether something could not be written for want of room.
    pub fn lacks_room(&self) -> bool {
        matches!(self, RecoveryError::Io { error, .. } if crate::io::lacks_room(error))
    }
}

fn last_zxid(zxid: Option<Zxid>) -> String {
    zxid.map_or(String::new(), |zxid| format!(", behind zxid {zxid}"))
}

/// How many snapshots are tried before giving up (`FileSnap.deserialize`).
const SNAPSHOTS_TRIED_MAX: usize = 100;

/// Reads the folder, repairs what may be repaired, and says what it holds.
///
/// # Errors
/// See [`RecoveryError`]. No log and no snapshot was changed then.
pub fn recover(
    folder: &dyn Folder,
    options: &RecoveryOptions,
    progress: &mut dyn FnMut(RecoveryProgress<'_>),
) -> Result<Recovered, RecoveryError> {
    let files = Files::list(folder)?;
    let (mut notes, mut news) = (Vec::new(), Vec::new());
    notes.extend(files.foreign_note(folder.logs_apart()));
    let Loaded { found, name, unusable } = load_snapshot(folder, &files, options, progress)?;
    notes.extend(unusable.iter().map(Unusable::note));
    let logs = plan::logs(files.logs.iter().map(|file| file.name.as_str()));

    let (database, snapshot) = match found {
        Some((database, zxid)) => (database, Some(zxid)),
        None => (Database::new(options.database), None),
    };
    if snapshot.is_none()
        && !options.trust_empty
        && let Some(name) = replay::first_with_entries(folder, &logs)?
    {
        return Err(RecoveryError::NoSnapshot { file: folder.describe(Place::Logs, name) });
    }
    let mut replay = replay::Replay::new(database, snapshot, files.snapshot_zxids(), options);
    replay.run(folder, &logs, progress)?;
    let replay::Replay { mut database, mut zxid, txns, recent, repairs, gaps, misplaced, .. } =
        replay;
    let has_gaps = !gaps.is_none();
    notes.extend(gaps.into_notes());
    notes.extend(misplaced.into_notes());
    check_reached(folder, &unusable, zxid)?;
    database.check_ephemerals().map_err(|error| RecoveryError::NoTree {
        folder: folder.describe(Place::Logs, ""),
        zxid,
        error,
    })?;
    if !planted::is(options.planted, PlantedBug::ReadNotSynced) {
        sync_read(folder, name, plan::logs_from(&logs, snapshot.unwrap_or(Zxid::ZERO)))?;
    }

    let initialize = has_initialize(folder)?;
    if snapshot.is_none() && txns == 0 {
        let lost = if options.ensemble { epochs::claimed(folder)? } else { None };
        let had_none = options.ensemble.then(|| files.snapshot_of_no_data()).flatten();
        if initialize || (options.autocreate && lost.is_none() && had_none.is_none()) {
            if lost.is_some() {
                epochs::forget_current(folder)?;
            }
            save_empty(folder, &mut database)?;
            news.push("the data folder is empty: a new database begins".to_owned());
        } else {
            // ZooKeeper: ZOOKEEPER-2325, 261; such a server votes for nobody before it was synced.
            zxid = Zxid::NONE;
            database.set_last_processed(zxid);
            notes.push(match (lost, had_none) {
                // ZooKeeper: begins at zxid 0, and its currentEpoch then beats servers that have the
                // data.
                (Some((file, epoch)), _) => format!(
                    "the data folder is empty, but {file} says that this server has taken part in epoch \
                     {epoch}: zxid -1, and no vote until a leader has given it the data. To begin an \
                     ensemble anew, put a file named initialize above the version-2 folder of each of its \
                     servers"
                ),
                // ZooKeeper: takes the file for none, and begins at zxid 0 if db.autocreate allows it.
                (None, Some(name)) => format!(
                    "the data folder is empty, and {} says that this server has waited for its data before: \
                     zxid -1, and no vote until a leader has given it the data. To begin an ensemble anew, \
                     remove that file",
                    folder.describe(Place::Snapshots, name)
                ),
                (None, None) => {
                    "the data folder is empty, and may have lost its data: zxid -1".to_owned()
                }
            });
        }
    }
    // Only now: without what it vouches for on the disk, the next start would find neither.
    if initialize {
        remove_initialize(folder)?;
    }
    let epochs = match options.ensemble {
        true => Some(epochs::recover(folder, zxid, &mut notes, &mut news)?),
        false => None,
    };
    replay::repair(folder, &repairs, &mut notes)?;
    remove_temporaries(folder, &files, &mut news)?;

    if !options.ensemble {
        let orphans = database.remove_orphaned_ephemerals();
        if orphans > 0 {
            news.push(format!("{orphans} ephemeral nodes of sessions that are gone were removed"));
        }
    }
    let mismatches = database.digest_mismatches();
    if mismatches > 0 {
        notes.push(format!("{mismatches} digests in snapshot and log differ from the tree's"));
    }
    let gaps = has_gaps;
    Ok(Recovered { database, zxid, epochs, snapshot, txns, gaps, recent, notes, news })
}

/// The files of both folders.
struct Files {
    snapshots: Vec<FileInfo>,
    logs: Vec<FileInfo>,
}

impl Files {
    /// The zxids in the names of all snapshots.
    fn snapshot_zxids(&self) -> Vec<Zxid> {
        let names = self.snapshots.iter().map(|file| file.name.as_str());
        names.filter_map(plan::snapshot_zxid).collect()
    }

    /// What a member wrote that waited for its data.
    fn snapshot_of_no_data(&self) -> Option<&str> {
        let mut names = self.snapshots.iter().map(|file| file.name.as_str());
        names.find(|name| plan::is_of_no_data(name))
    }

    /// What there is to say about files with names that only resemble those of logs and snapshots.
    fn foreign_note(&self, logs_apart: bool) -> Option<String> {
        const NAMED_MAX: usize = 5;
        let logs = logs_apart.then_some(&self.logs).into_iter().flatten();
        let names = self.snapshots.iter().chain(logs).map(|file| file.name.as_str());
        let foreign: Vec<&str> = names.filter(|name| plan::is_foreign(name)).collect();
        let shown = foreign[..foreign.len().min(NAMED_MAX)].join(", ");
        let more = if foreign.len() > NAMED_MAX { ", …" } else { "" };
        (!foreign.is_empty()).then(|| {
            format!(
                "{shown}{more}: left alone, for no server gives a file such a name. ZooKeeper may \
                 read it: move it out of the folder before ZooKeeper gets it"
            )
        })
    }

    fn list(folder: &dyn Folder) -> Result<Files, RecoveryError> {
        let list = |place| {
            folder.list(place).map_err(|error| RecoveryError::Io {
                what: "list",
                file: folder.describe(place, ""),
                error,
            })
        };
        let files = Files { snapshots: list(Place::Snapshots)?, logs: list(Place::Logs)? };
        // ZooKeeper: FileTxnSnapLog.checkLogDir, checkSnapDir.
        if folder.logs_apart() {
            let misplaced = |files: &[FileInfo], kind: fn(&str) -> Option<Zxid>, place, what| {
                let found = files.iter().find(|file| kind(&file.name).is_some());
                found.map_or(Ok(()), |file| {
                    let file = folder.describe(place, &file.name);
                    Err(RecoveryError::Misplaced { file, what })
                })
            };
            let what = "the log directory has snapshot files";
            misplaced(&files.logs, plan::snapshot_zxid, Place::Logs, what)?;
            let what = "the snapshot directory has log files";
            misplaced(&files.snapshots, plan::log_zxid, Place::Snapshots, what)?;
        }
        Ok(files)
    }
}

/// What there is of snapshots.
struct Loaded<'f> {
    /// The newest that can be read; `None` if there is not one that looks finished.
    found: Option<(Database, Zxid)>,
    /// Its file.
    name: Option<&'f str>,
    /// Those that are newer and cannot be, the newest first.
    unusable: Vec<Unusable<'f>>,
}

/// A snapshot that was passed over.
struct Unusable<'f> {
    zxid: Zxid,
    name: &'f str,
    /// What is wrong with it; `None`: it was never finished, or lost its end.
    error: Option<String>,
}

impl Unusable<'_> {
    fn note(&self) -> String {
        let name = self.name;
        match &self.error {
            Some(error) => format!("passed over: {name}: {error}"),
            None => format!("{name} was passed over: it was never finished"),
        }
    }
}

fn load_snapshot<'f>(
    folder: &dyn Folder,
    files: &'f Files,
    options: &RecoveryOptions,
    progress: &mut dyn FnMut(RecoveryProgress<'_>),
) -> Result<Loaded<'f>, RecoveryError> {
    let mut unusable: Vec<Unusable<'f>> = Vec::new();
    let mut tried = 0;
    for (zxid, name) in plan::snapshots(files.snapshots.iter().map(|file| file.name.as_str())) {
        let failed = |what, error| RecoveryError::Io {
            what,
            file: folder.describe(Place::Snapshots, name),
            error,
        };
        let mut file =
            folder.open(Place::Snapshots, name).map_err(|error| failed("open", error))?;
        let compression = Compression::of_name(name);
        let looks = look_at(&mut *file, compression).map_err(|error| failed("read", error))?;
        if looks != Look::Finished {
            let damaged = || DAMAGED_BEGINNING.to_owned();
            let error = (looks == Look::Damaged).then(damaged);
            unusable.push(Unusable { zxid, name, error });
            continue;
        }
        tried += 1;
        if tried > SNAPSHOTS_TRIED_MAX {
            break;
        }
        let mut told = |bytes, nodes| progress(RecoveryProgress::Snapshot { name, bytes, nodes });
        match snapshot::load(&mut file, compression, zxid, options.database, &mut told) {
            Ok(loaded) => {
                let found = Some((loaded.database, zxid));
                return Ok(Loaded { found, name: Some(name), unusable });
            }
            Err(error) => {
                let error = Some(error.to_string());
                unusable.push(Unusable { zxid, name, error });
            }
        }
    }
    let reasons = unusable.iter().filter_map(|it| Some((it.name, it.error.as_ref()?)));
    let reasons: Vec<String> = reasons.map(|(name, error)| format!("{name}: {error}")).collect();
    if reasons.is_empty() {
        return Ok(Loaded { found: None, name: None, unusable });
    }
    let folder = folder.describe(Place::Snapshots, "");
    Err(RecoveryError::NoUsableSnapshot { folder, reasons: reasons.join("; ") })
}

/// What stood in a snapshot that cannot be read must be in the logs. Where the log ends before it, the
/// snapshot is a tree that came from a leader, or the log's end is gone.
///
/// ```text
/// 1. a server at 1:3 gets the leader's tree as of 2:9, and currentEpoch 2 behind it
/// 2. the tree's file is damaged, and the server starts again: from its log it is at 1:3
/// 3. (epoch 2, 1:3) beats every server that followed only epoch 1 and has 1:4 to 1:20: lost
/// ```
// ZooKeeper: FileSnap.deserialize passes over the snapshot, and the server starts with what is left.
fn check_reached(
    folder: &dyn Folder,
    unusable: &[Unusable<'_>],
    reached: Zxid,
) -> Result<(), RecoveryError> {
    let Some(lost) = unusable.iter().find(|it| it.zxid > reached) else { return Ok(()) };
    Err(RecoveryError::LostTree {
        file: folder.describe(Place::Snapshots, lost.name),
        reason: lost.error.clone().unwrap_or_else(|| "it is incomplete".to_owned()),
        last: reached,
    })
}

/// Makes what was read durable, the files and their names: this server is going to vouch for it. A server
/// that was killed leaves writes in the system's memory, or in the disk's, that were never acknowledged, and
/// names that go back to what they were when the power goes:
///
/// ```text
/// 1. a server is killed behind the renaming of prepared-segment-2 to log.5 and before its folder is synced
/// 2. the next one reads log.5, and votes or answers with what it holds
/// 3. the power goes; the file is prepared-segment-2 again, and recovery removes it: lost
/// ```
///
/// The snapshot as well: ZooKeeper does not sync every one that it writes, and an operator may have copied it.
/// The folder of the snapshots holds the epoch files, which are read behind this.
fn sync_read(
    folder: &dyn Folder,
    snapshot: Option<&str>,
    logs: &[(Zxid, &str)],
) -> Result<(), RecoveryError> {
    let snapshot = snapshot.map(|name| (Place::Snapshots, name));
    let logs = logs.iter().map(|(_, name)| (Place::Logs, *name));
    for (place, name) in snapshot.into_iter().chain(logs) {
        folder.sync(place, name).map_err(|error| {
            let file = folder.describe(place, name);
            RecoveryError::Io { what: "sync", file, error }
        })?;
    }
    let apart = folder.logs_apart().then_some(Place::Logs);
    for place in [Some(Place::Snapshots), apart].into_iter().flatten() {
        folder.sync_names(place).map_err(|error| {
            let file = folder.describe(place, "");
            RecoveryError::Io { what: "sync the folder", file, error }
        })?;
    }
    Ok(())
}

/// Looks at the first and the last bytes. Leaves the file at its start.
pub(crate) fn look_at<R: Read + Seek + ?Sized>(
    mut file: &mut R,
    compression: Compression,
) -> io::Result<Look> {
    const END_BYTES: u64 = 8;
    let total = file.seek(SeekFrom::End(0))?;
    let mut ends = [Vec::new(), Vec::new()];
    for (end, start) in ends.iter_mut().zip([0, total.saturating_sub(END_BYTES)]) {
        file.seek(SeekFrom::Start(start))?;
        Read::take(&mut file, END_BYTES).read_to_end(end)?;
    }
    file.seek(SeekFrom::Start(0))?;
    let [first, last] = ends;
    Ok(snapshot::look(compression, &first, &last))
}

/// What an operator reads of a snapshot that does not begin as one.
pub(crate) const DAMAGED_BEGINNING: &str = "it does not begin as a snapshot";

/// The file with which an operator says that an ensemble is new (`zkServer-initialize.sh`).
const INITIALIZE_FILE: &str = "initialize";

fn has_initialize(folder: &dyn Folder) -> Result<bool, RecoveryError> {
    folder.has_initialize().map_err(|error| RecoveryError::Io {
        what: "look for",
        file: folder.describe(Place::DataDir, INITIALIZE_FILE),
        error,
    })
}

fn remove_initialize(folder: &dyn Folder) -> Result<(), RecoveryError> {
    folder.remove_initialize().map_err(|error| RecoveryError::Io {
        what: "remove",
        file: folder.describe(Place::DataDir, INITIALIZE_FILE),
        error,
    })
}

/// Writes the snapshot of a database without transactions.
fn save_empty(folder: &dyn Folder, database: &mut Database) -> Result<(), RecoveryError> {
    let options = snapshot::WriterOptions {
        in_flight_bytes_max: usize::MAX,
        ..snapshot::WriterOptions::default()
    };
    let mut writer = snapshot::Writer::new(options);
    let mut ops = Vec::new();
    writer.begin(database, &mut ops);
    while writer.wants_poll() {
        writer.poll(database, &mut ops);
    }
    let mut content = Vec::new();
    for op in ops {
        if let Op::SnapshotWrite { bytes, .. } = op {
            content.extend_from_slice(&bytes);
        }
    }
    let name = plan::snapshot_name(Zxid::ZERO);
    folder.replace(Place::Snapshots, &name, &content).map_err(|error| RecoveryError::Io {
        what: "write",
        file: folder.describe(Place::Snapshots, &name),
        error,
    })
}

/// Removes what an earlier run prepared or did not finish.
fn remove_temporaries(
    folder: &dyn Folder,
    files: &Files,
    news: &mut Vec<String>,
) -> Result<(), RecoveryError> {
    let unfinished = files.snapshots.iter().filter(|file| file.name == SNAPSHOT_TEMPORARY);
    let prepared = files.logs.iter().filter(|file| is_segment_temporary(&file.name));
    for (place, file) in unfinished
        .map(|file| (Place::Snapshots, file))
        .chain(prepared.map(|file| (Place::Logs, file)))
    {
        folder.remove(place, &file.name).map_err(|error| RecoveryError::Io {
            what: "remove",
            file: folder.describe(place, &file.name),
            error,
        })?;
        news.push(format!("{} was removed: left unfinished by an earlier run", file.name));
    }
    Ok(())
}

#[cfg(test)]
mod crash;
#[cfg(test)]
mod past_tests;
#[cfg(test)]
mod tests;
