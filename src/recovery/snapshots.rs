//! The snapshots of a data folder: finding the newest one that can be read, and writing the first one (`FileSnap`).
//!
//! A snapshot that was never finished has no end mark, and is skipped without being read. A finished one that cannot
//! be read is skipped as well. In both cases the log must reach its zxid: otherwise this server would come back with
//! less than it had ([`check_reached`]).

use std::io::{self, Read, Seek, SeekFrom};

use super::files::Files;
use super::folder::Folder;
use super::{RecoveryError, RecoveryOptions, RecoveryProgress};
use crate::database::Database;
use crate::id::Zxid;
use crate::io::{Op, Place};
use crate::snapshot::{self, Compression, Look};
use crate::txnlog::plan;

/// The number of finished snapshots that are tried; `FileSnap.deserialize` tries as many.
const SNAPSHOTS_TRIED_MAX: usize = 100;

/// The result of reading the snapshots.
pub(super) struct Loaded<'f> {
    /// The database of the newest snapshot that can be read, and its zxid; `None` if no snapshot looks finished.
    pub found: Option<(Database, Zxid)>,
    /// The file of that snapshot.
    pub name: Option<&'f str>,
    /// Newer snapshots, which cannot be read, the newest first.
    pub unusable: Vec<Unusable<'f>>,
}

/// A snapshot that cannot be read.
pub(super) struct Unusable<'f> {
    /// The zxid in its name.
    zxid: Zxid,
    /// Its name.
    name: &'f str,
    /// What is wrong with it; `None`: it was never finished, or its end is lost.
    error: Option<String>,
}

impl Unusable<'_> {
    /// A line about it, for the operator.
    pub fn note(&self) -> String {
        let name = self.name;
        match &self.error {
            Some(error) => format!("skipped {name}: {error}"),
            None => format!("skipped {name}, which was never finished"),
        }
    }
}

/// Loads the newest snapshot that can be read.
///
/// # Errors
/// The system's, or some snapshots look finished and none of them can be read.
pub(super) fn load_snapshot<'f>(
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

/// Checks that the logs reach the zxid of each snapshot that cannot be read. If they end before it, the snapshot is a
/// tree that came from a leader, or the end of the log is lost.
///
/// ```text
/// 1. a server at 1:3 gets the leader's tree as of 2:9, and then writes currentEpoch 2
/// 2. the file of the tree is damaged, and the server starts again: its log ends at 1:3
/// 3. (epoch 2, 1:3) beats every server that followed only epoch 1 and has 1:4 to 1:20: those are lost
/// ```
///
/// # Errors
/// [`RecoveryError::LostTree`].
// ZooKeeper: FileSnap.deserialize skips the snapshot, and the server starts with the rest.
pub(super) fn check_reached(
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

/// Judges a snapshot by its first and its last eight bytes, without reading the rest. Leaves the file at its start.
///
/// # Errors
/// The system's.
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

/// The words for an operator about a snapshot that does not begin as one.
pub(crate) const DAMAGED_BEGINNING: &str = "it does not begin as a snapshot";

/// Writes `snapshot.0`, the snapshot of a database without transactions, which is durable when this returns.
///
/// # Errors
/// The system's.
pub(super) fn save_empty(
    folder: &dyn Folder,
    database: &mut Database,
) -> Result<(), RecoveryError> {
    // Without a bound on what is in flight, one loop produces the whole file, which is small.
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
