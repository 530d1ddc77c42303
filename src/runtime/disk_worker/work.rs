//! Performing ops on files, one after another.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::pace::Pace;
use super::{Folders, OpenedSegment, WorkDone};
use crate::io::{AlignedBuf, Completion, Done, IoFailure, Op, SegmentId, segment_temporary};
use crate::runtime::bulk_file::BulkFile;
use crate::runtime::failure;

/// Bytes of zeroes per write to a new segment.
const ZERO_CHUNK_BYTES: usize = 256 * 1024;

/// The state of one thread: open segments, and the snapshot in progress.
pub(super) struct Work {
    folders: Folders,
    direct: bool,
    segments: HashMap<SegmentId, Segment>,
    snapshot: Option<Snapshot>,
    pace: Pace,
    zeroes: Option<AlignedBuf>,
}

struct Segment {
    file: File,
    path: PathBuf,
}

struct Snapshot {
    file: BulkFile,
    path: PathBuf,
}

type Outcome = Result<Done, IoFailure>;

impl Work {
    /// Nothing is open yet.
    pub fn new(folders: Folders, direct: bool, pace: Pace) -> Work {
        let (segments, snapshot, zeroes) = (HashMap::new(), None, None);
        Work { folders, direct, segments, snapshot, pace, zeroes }
    }

    /// Performs an op, and waits for it.
    pub fn perform(&mut self, op: Op) -> WorkDone {
        let token = op.token();
        let mut opened = None;
        let result = match op {
            Op::LogWrite { .. } => unreachable!("refused by submit"),
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                self.prepare(segment, bytes, header).map(|file| {
                    opened = Some(file);
                    Done::Plain
                })
            }
            Op::SegmentName { segment, name, .. } => self.name(segment, &name),
            Op::SegmentClose { segment, bytes_used, .. } => self.close(segment, bytes_used),
            Op::SnapshotCreate { temporary, .. } => self.snapshot_create(&temporary),
            Op::SnapshotWrite { bytes, .. } => self.snapshot_write(bytes),
            Op::SnapshotCommit { name, .. } => self.snapshot_commit(&name),
            Op::SnapshotAbandon { .. } => self.snapshot_abandon(),
            Op::FileReplace { place, name, content, .. } => {
                replace(self.folders.path(place), &name, &content).map(|()| Done::Plain)
            }
            Op::Remove { place, names, .. } => {
                remove(self.folders.path(place), &names).map(|()| Done::Plain)
            }
        };
        WorkDone { completion: Completion { token, result }, opened }
    }

    fn prepare(
        &mut self,
        segment: SegmentId,
        bytes: u64,
        header: [u8; 16],
    ) -> Result<OpenedSegment, IoFailure> {
        let name = segment_temporary(segment);
        let path = self.folders.logs.join(&name);
        let what = format!("preparing {}", path.display());
        let written = self.write_zeroes(&path, bytes, header);
        let file = match written {
            Ok(file) => file,
            Err(error) => {
                // The file must not remain: its room is needed.
                let _ = std::fs::remove_file(&path);
                return Err(failure(&what, &error));
            }
        };
        let for_ring = file.try_clone().map_err(|error| failure(&what, &error))?;
        self.segments.insert(segment, Segment { file, path });
        Ok(OpenedSegment { segment, file: for_ring.into(), name })
    }

    fn write_zeroes(&mut self, path: &Path, bytes: u64, header: [u8; 16]) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        if self.direct {
            options.custom_flags(libc::O_DIRECT);
        }
        let file = options.open(path)?;
        let chunk = self.zeroes.get_or_insert_with(|| AlignedBuf::zeroed(ZERO_CHUNK_BYTES));
        chunk[..header.len()].copy_from_slice(&header);
        let mut offset = 0;
        while offset < bytes {
            let started = Instant::now();
            let left = usize::try_from(bytes - offset).unwrap_or(usize::MAX);
            let part = &chunk[..left.min(ZERO_CHUNK_BYTES)];
            file.write_all_at(part, offset)?;
            offset += part.len() as u64;
            chunk[..header.len()].fill(0);
            self.pace.after_zeroes(started.elapsed());
        }
        file.sync_all()?;
        sync_folder(path.parent().expect("a file is in a folder"))?;
        Ok(file)
    }

    fn name(&mut self, segment: SegmentId, name: &str) -> Outcome {
        let open = self.segments.get_mut(&segment).expect("named after its preparation");
        let to = self.folders.logs.join(name);
        let what = format!("renaming {} to {name}", open.path.display());
        if to.try_exists().map_err(|error| failure(&what, &error))? {
            return Err(failure(&what, &io::ErrorKind::AlreadyExists.into()));
        }
        std::fs::rename(&open.path, &to)
            .and_then(|()| sync_folder(&self.folders.logs))
            .map_err(|error| failure(&what, &error))?;
        open.path = to;
        Ok(Done::Plain)
    }

    fn close(&mut self, segment: SegmentId, bytes_used: u64) -> Outcome {
        let open = self.segments.remove(&segment).expect("closed after its preparation");
        let what = format!("closing {}", open.path.display());
        let closed = if bytes_used == 0 {
            std::fs::remove_file(&open.path).and_then(|()| sync_folder(&self.folders.logs))
        } else {
            open.file.set_len(bytes_used).and_then(|()| open.file.sync_all())
        };
        closed.map(|()| Done::Plain).map_err(|error| failure(&what, &error))
    }

    fn snapshot_create(&mut self, temporary: &str) -> Outcome {
        let path = self.folders.snapshots.join(temporary);
        let file = BulkFile::create(&path)
            .map_err(|error| failure(&format!("creating {}", path.display()), &error))?;
        self.snapshot = Some(Snapshot { file, path });
        Ok(Done::Plain)
    }

    fn snapshot_write(&mut self, mut bytes: Vec<u8>) -> Outcome {
        let Some(snapshot) = &mut self.snapshot else { return Err(no_snapshot()) };
        let started = Instant::now();
        let written = snapshot.file.write(&bytes);
        written
            .map_err(|error| failure(&format!("writing {}", snapshot.path.display()), &error))?;
        self.pace.after_chunk(started.elapsed());
        bytes.clear();
        Ok(Done::Bytes(bytes))
    }

    fn snapshot_commit(&mut self, name: &str) -> Outcome {
        let Some(Snapshot { file, path }) = self.snapshot.take() else { return Err(no_snapshot()) };
        let to = self.folders.snapshots.join(name);
        let named = file.finish().and_then(|()| std::fs::rename(&path, &to));
        if named.is_err() {
            // The file must not remain: on a full disk the log needs the room.
            let _ = std::fs::remove_file(&path);
        }
        named
            .and_then(|()| sync_folder(&self.folders.snapshots))
            .map(|()| Done::Plain)
            .map_err(|error| failure(&format!("finishing {}", to.display()), &error))
    }

    fn snapshot_abandon(&mut self) -> Outcome {
        let Some(snapshot) = self.snapshot.take() else { return Ok(Done::Plain) };
        match std::fs::remove_file(&snapshot.path) {
            Ok(()) => Ok(Done::Plain),
            Err(error) => Err(failure(&format!("removing {}", snapshot.path.display()), &error)),
        }
    }
}

fn no_snapshot() -> IoFailure {
    failure("writing a snapshot", &io::Error::other("its file could not be created"))
}

/// Replaces a small file so that a crash leaves the old or the new one.
pub fn replace(folder: &Path, name: &str, content: &[u8]) -> Result<(), IoFailure> {
    let temporary = folder.join(format!("{name}.tmp"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, folder.join(name))?;
        sync_folder(folder)
    };
    write().map_err(|error| failure(&format!("replacing {}", folder.join(name).display()), &error))
}

fn remove(folder: &Path, names: &[String]) -> Result<(), IoFailure> {
    for name in names {
        let path = folder.join(name);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failure(&format!("removing {}", path.display()), &error)),
        }
    }
    sync_folder(folder).map_err(|error| failure(&format!("syncing {}", folder.display()), &error))
}

/// Makes names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
