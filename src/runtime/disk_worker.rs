//! The threads that perform all disk operations except writing the log.
//!
//! There are two, so that the log's next segment never waits behind a snapshot: one for segments, one
//! for snapshots and small files. Each takes its ops in order from a bounded queue. Preparing a
//! segment and writing a snapshot are bulk work that competes with the log for the device; both work
//! in chunks and slow down while the log is being written.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::bulk_file::BulkFile;
use super::{Doorbell, failure};
use crate::io::{AlignedBuf, Completion, Done, IoFailure, Op, Place, SegmentId, segment_temporary};

/// The paths of the server's files. `logs` and `snapshots` are the `version-2` folders.
#[derive(Clone, Debug)]
pub struct Folders {
    /// `dataDir`.
    pub data: PathBuf,
    /// `dataDir/version-2`.
    pub snapshots: PathBuf,
    /// `dataLogDir/version-2`.
    pub logs: PathBuf,
}

impl Folders {
    /// The path of a place.
    pub fn path(&self, place: Place) -> &Path {
        match place {
            Place::DataDir => &self.data,
            Place::Snapshots => &self.snapshots,
            Place::Logs => &self.logs,
        }
    }
}

/// The result of a worker.
pub struct WorkDone {
    /// For the owner of the op.
    pub completion: Completion,
    /// A prepared segment's file, which the log ring must get before the completion is passed on.
    pub opened: Option<OpenedSegment>,
}

/// A file for the log ring.
pub struct OpenedSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its file.
    pub file: OwnedFd,
    /// Its first name, for messages.
    pub name: String,
}

/// Ops that may wait for a worker. Their owners bound what they have in flight far below this.
const OPS_WAITING_MAX: usize = 1024;

/// Bytes of zeroes per write to a new segment.
const ZERO_CHUNK_BYTES: usize = 256 * 1024;

/// Performs all disk operations of the server except log writes.
pub struct DiskWorker {
    segments: SyncSender<Op>,
    files: SyncSender<Op>,
    done: Receiver<WorkDone>,
    log_writes: Arc<AtomicU64>,
    log_waits: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl DiskWorker {
    /// Starts the threads; each completion rings `bell`. With `direct`, segments are opened with
    /// O_DIRECT.
    pub fn start(folders: Folders, bell: Doorbell, direct: bool) -> io::Result<DiskWorker> {
        let (done_sender, done) = sync_channel(2 * OPS_WAITING_MAX);
        let log_writes = Arc::new(AtomicU64::new(0));
        let log_waits = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let mut start = |name: &str| -> io::Result<SyncSender<Op>> {
            let (sender, ops) = sync_channel(OPS_WAITING_MAX);
            let mut work = Work {
                folders: folders.clone(),
                direct,
                segments: HashMap::new(),
                snapshot: None,
                pace: Pace::new(log_writes.clone(), log_waits.clone()),
                zeroes: None,
            };
            let (done, bell) = (done_sender.clone(), bell.clone());
            let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
                for op in ops {
                    // After the server has stopped, no one receives the result; the ops are still
                    // performed.
                    let _ = done.send(work.perform(op));
                    bell.ring();
                }
            })?;
            threads.push(thread);
            Ok(sender)
        };
        let segments = start("rk-segments")?;
        let files = start("rk-files")?;
        Ok(DiskWorker { segments, files, done, log_writes, log_waits, threads })
    }

    /// Submits an op; [`DiskWorker::done`] returns its completion.
    ///
    /// # Panics
    /// On a log write, which belongs to the log ring.
    pub fn submit(&self, op: Op) {
        let queue = match &op {
            Op::LogWrite { .. } => panic!("log writes go to the log ring"),
            Op::SegmentPrepare { .. } | Op::SegmentName { .. } | Op::SegmentClose { .. } => {
                &self.segments
            }
            Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotCommit { .. }
            | Op::SnapshotAbandon { .. }
            | Op::FileReplace { .. }
            | Op::Remove { .. } => &self.files,
        };
        queue.try_send(op).expect("owners bound their ops, and a worker ends after its queue");
    }

    /// The next finished op, if there is one. Never blocks.
    pub fn done(&self) -> Option<WorkDone> {
        self.done.try_recv().ok()
    }

    /// Notes for the bulk work that the log is busy.
    pub fn note_log_write(&self) {
        self.log_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets whether the log waits for the next segment, or soon will: then work on segments does not
    /// slow down.
    pub fn note_log_waits(&self, waits: bool) {
        self.log_waits.store(waits, Ordering::Relaxed);
    }

    /// Lets the threads finish their ops and waits for them.
    pub fn finish(self) {
        drop((self.segments, self.files));
        // A thread must not wait for room in the queue of results, which is no longer read.
        drop(self.done);
        for thread in self.threads {
            // A panic there has already ended the process.
            let _ = thread.join();
        }
    }
}

/// Slows bulk work down to a quarter of the time while the log is busy.
struct Pace {
    log_writes: Arc<AtomicU64>,
    log_waits: Arc<AtomicBool>,
    seen: u64,
    busy_until: Option<Instant>,
}

impl Pace {
    const LONGEST_PAUSE: Duration = Duration::from_millis(20);

    /// How long the log counts as busy after a write. A fast disk writes several chunks between two
    /// log writes of a busy server, so slowing down only after a chunk that overlapped with a log
    /// write would have little effect.
    const BUSY_FOR: Duration = Duration::from_millis(100);

    fn new(log_writes: Arc<AtomicU64>, log_waits: Arc<AtomicBool>) -> Pace {
        Pace { log_writes, log_waits, seen: 0, busy_until: None }
    }

    /// After a chunk of a segment, for which the log itself may be waiting.
    fn after_zeroes(&mut self, took: Duration) {
        if !self.log_waits.load(Ordering::Relaxed) {
            self.after_chunk(took);
        }
    }

    fn after_chunk(&mut self, took: Duration) {
        let writes = self.log_writes.load(Ordering::Relaxed);
        let now = Instant::now();
        if writes != self.seen {
            self.seen = writes;
            self.busy_until = Some(now + Self::BUSY_FOR);
        }
        if self.busy_until.is_some_and(|until| now < until) {
            std::thread::sleep((took * 3).min(Self::LONGEST_PAUSE));
        }
    }
}

struct Work {
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
    fn perform(&mut self, op: Op) -> WorkDone {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{IoFailureKind, Owner, Token};

    struct Rig {
        worker: DiskWorker,
        folder: tempfile::TempDir,
        number: u64,
    }

    impl Rig {
        fn new() -> Rig {
            let folder = tempfile::tempdir().unwrap();
            let folders = Folders {
                data: folder.path().into(),
                snapshots: folder.path().into(),
                logs: folder.path().into(),
            };
            let worker = DiskWorker::start(folders, Doorbell::new().unwrap(), true).unwrap();
            Rig { worker, folder, number: 0 }
        }

        fn perform(&mut self, op: impl FnOnce(Token) -> Op) -> WorkDone {
            let token = Token::new(Owner::TxnLog, self.number);
            self.number += 1;
            self.worker.submit(op(token));
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                if let Some(done) = self.worker.done() {
                    assert_eq!(done.completion.token, token);
                    return done;
                }
                assert!(Instant::now() < deadline, "no completion");
                std::thread::yield_now();
            }
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(self.folder.path()).unwrap();
            let mut names: Vec<_> =
                entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_segment_is_prepared_named_and_cut_at_what_was_used() {
        let mut rig = Rig::new();
        let segment = SegmentId(3);
        let bytes = 1 << 20;
        let done = rig.perform(|token| Op::SegmentPrepare {
            token,
            segment,
            bytes,
            header: *b"0123456789abcdef",
        });
        assert!(done.completion.result.is_ok());
        assert!(done.opened.is_some_and(|opened| opened.segment == segment));
        assert_eq!(rig.names(), [segment_temporary(segment)]);
        let done = rig.perform(|token| Op::SegmentName { token, segment, name: "log.1".into() });
        assert!(done.completion.result.is_ok());
        let content = std::fs::read(rig.folder.path().join("log.1")).unwrap();
        assert_eq!(content.len(), 1 << 20);
        assert_eq!(&content[..16], b"0123456789abcdef");
        assert!(content[16..].iter().all(|byte| *byte == 0));
        let done = rig.perform(|token| Op::SegmentClose { token, segment, bytes_used: 8192 });
        assert!(done.completion.result.is_ok());
        assert_eq!(std::fs::metadata(rig.folder.path().join("log.1")).unwrap().len(), 8192);
    }

    #[test]
    fn a_segment_never_named_is_removed_and_a_taken_name_is_refused() {
        let mut rig = Rig::new();
        std::fs::write(rig.folder.path().join("log.1"), b"old").unwrap();
        let segment = SegmentId(1);
        let header = [0; 16];
        rig.perform(|token| Op::SegmentPrepare { token, segment, bytes: 4096, header });
        let done = rig.perform(|token| Op::SegmentName { token, segment, name: "log.1".into() });
        assert!(done.completion.result.is_err());
        rig.perform(|token| Op::SegmentClose { token, segment, bytes_used: 0 });
        assert_eq!(rig.names(), ["log.1"]);
    }

    #[test]
    fn a_snapshot_appears_under_its_name_only_when_it_is_whole() {
        let mut rig = Rig::new();
        rig.perform(|token| Op::SnapshotCreate { token, temporary: "snapshot.tmp".into() });
        for _ in 0..3 {
            let done = rig.perform(|token| Op::SnapshotWrite { token, bytes: b"abc".to_vec() });
            let Ok(Done::Bytes(back)) = done.completion.result else { panic!("no buffer back") };
            assert!(back.is_empty());
        }
        assert_eq!(rig.names(), ["snapshot.tmp"]);
        rig.perform(|token| Op::SnapshotCommit { token, name: "snapshot.7".into() });
        assert_eq!(rig.names(), ["snapshot.7"]);
        assert_eq!(std::fs::read(rig.folder.path().join("snapshot.7")).unwrap(), b"abcabcabc");
        rig.perform(|token| Op::SnapshotCreate { token, temporary: "snapshot.tmp".into() });
        rig.perform(|token| Op::SnapshotAbandon { token });
        assert_eq!(rig.names(), ["snapshot.7"]);
    }

    #[test]
    fn small_files_are_replaced_and_removing_what_is_gone_is_no_failure() {
        let mut rig = Rig::new();
        let place = Place::Snapshots;
        for content in ["1", "2"] {
            let content = content.as_bytes().to_vec();
            let name = "currentEpoch".to_owned();
            let done = rig.perform(|token| Op::FileReplace { token, place, name, content });
            assert!(done.completion.result.is_ok());
        }
        assert_eq!(std::fs::read(rig.folder.path().join("currentEpoch")).unwrap(), b"2");
        let names = vec!["currentEpoch".to_owned(), "never".to_owned()];
        let done = rig.perform(|token| Op::Remove { token, place, names });
        assert!(done.completion.result.is_ok());
        assert_eq!(rig.names(), Vec::<String>::new());
    }

    #[test]
    fn a_failed_operation_names_the_file() {
        let mut rig = Rig::new();
        let name = "no/such/folder".to_owned();
        let done = rig.perform(|token| Op::SnapshotCreate { token, temporary: name });
        let failure = done.completion.result.unwrap_err();
        assert_eq!(failure.kind, IoFailureKind::Other);
        assert!(failure.text.contains("no/such/folder"), "{failure}");
        rig.worker.finish();
    }
}
