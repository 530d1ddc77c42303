//! A disk that keeps what it promised, and nothing more.
//!
//! Everything that an op's documentation calls durable at its completion survives. If the power goes during an op,
//! any part of it that its steps allow has happened: any sectors of a log write, a name or not, a temporary file
//! with any content. Ops without a completion between them end in any order, except those of a snapshot. The writes
//! of a killed process exist, and are lost with the power unless a process syncs the file. The same holds for names,
//! until the folder is synced ([`super::names`]).

mod crash;
mod folder;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use ringkeeper::io::{
    Completion, Done, IoFailure, IoFailureKind, Op, Place, SegmentId, segment_temporary,
};
use ringkeeper::recovery::MemoryFolder;

use super::names::Names;
use super::reads::Reads;
use super::rng::Rng;

/// Bytes of a sector: a torn log write consists of whole sectors.
const SECTOR_BYTES: usize = 512;

/// The longest time that an op takes, in µs.
const TOOK_MAX: u64 = 3_000_000;

/// How fast a disk is, in µs.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Mean time of a log write.
    pub log_write: u64,
    /// Mean time of everything else.
    pub other: u64,
    /// How many times slower the disk is now.
    pub slowed: u64,
}

/// The faults of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Trouble {
    /// Whether there is no room for anything new.
    pub full: bool,
    /// How many of a thousand operations fail.
    pub failing_per_mille: u64,
}

/// A file: the number of its folder, and its name.
pub(super) type Key = (u8, String);

/// The disk of one server, which outlives the server's processes.
pub struct Disk {
    rng: Rng,
    /// The files that survive a loss of power.
    folder: MemoryFolder,
    /// The offset of each log's last group.
    last_groups: RefCell<BTreeMap<String, u64>>,
    /// Open segments of the process, by their present names.
    segments: BTreeMap<SegmentId, String>,
    snapshot: Option<(String, Vec<u8>)>,
    snapshot_failed: bool,
    pending: BTreeMap<u64, Op>,
    next_op: u64,
    /// The time until which an op of the snapshot is under way; those end in order.
    snapshot_busy_until: u64,
    /// How fast it is.
    pub speed: Speed,
    /// What is wrong with it.
    pub trouble: Trouble,
    /// Whether the present process was told of an error.
    pub erred: bool,
    /// The reads that fail.
    pub reads: Reads,
    /// For a disk that lies: the bytes that the last log writes have overwritten, the newest last.
    overwritten: Option<Vec<Overwritten>>,
    /// Names that the next loss of power may take back.
    names: RefCell<Names>,
    /// Sectors that log writes have overwritten and that the next loss of power may bring back, the oldest first.
    unsynced: RefCell<Vec<Unsynced>>,
    /// Chooses the names and sectors that a loss of power takes back.
    names_rng: Rng,
    /// Changes that recovery may still make before the power goes. `None`: any number.
    changes_left: Cell<Option<u64>>,
}

/// The bytes that a log write has overwritten.
struct Overwritten {
    segment: SegmentId,
    offset: usize,
    bytes: Vec<u8>,
    /// The offset of the group that was the last one before.
    last_group: Option<u64>,
}

/// A sector that was written without a sync.
struct Unsynced {
    key: Key,
    offset: usize,
    /// The old content of the sector.
    old: Vec<u8>,
}

/// The most writes that a disk that lies may lose.
const FORGOTTEN_MAX: usize = 64;

/// One flipped bit.
#[derive(Clone, Debug)]
pub struct Flip {
    key: Key,
    offset: usize,
    bit: u8,
}

impl Disk {
    /// An empty disk. `apart`: logs have a folder of their own.
    pub fn new(rng: Rng, speed: Speed, apart: bool) -> Disk {
        // The stream is a separate one that takes nothing from `rng`, so the fixed seeds keep their runs.
        let names_rng = rng.clone().fork();
        Disk {
            rng,
            folder: MemoryFolder { apart, ..MemoryFolder::default() },
            last_groups: RefCell::default(),
            segments: BTreeMap::new(),
            snapshot: None,
            snapshot_failed: false,
            pending: BTreeMap::new(),
            next_op: 0,
            snapshot_busy_until: 0,
            speed,
            trouble: Trouble::default(),
            erred: false,
            reads: Reads::default(),
            overwritten: None,
            names: RefCell::default(),
            unsynced: RefCell::default(),
            names_rng,
            changes_left: Cell::new(None),
        }
    }

    /// From now on, the disk may lose writes that it has reported as durable.
    pub fn lie(&mut self) {
        self.overwritten = Some(Vec::new());
    }

    /// Loses the last writes of the log, at most `writes` of them, and everything under way.
    pub fn forget(&mut self, writes: usize) {
        self.pending.retain(|_, op| !matches!(op, Op::LogWrite { .. }));
        let Some(overwritten) = &mut self.overwritten else { return };
        let from = overwritten.len().saturating_sub(writes);
        for old in overwritten.drain(from..).rev() {
            let Some(name) = self.segments.get(&old.segment) else { continue };
            let key = self.folder.key(Place::Logs, name);
            if let Some(file) = self.folder.files.borrow_mut().get_mut(&key) {
                file[old.offset..old.offset + old.bytes.len()].copy_from_slice(&old.bytes);
            }
            let mut groups = self.last_groups.borrow_mut();
            match old.last_group {
                Some(offset) => groups.insert(name.clone(), offset),
                None => groups.remove(name),
            };
        }
    }

    /// A copy of the files, to look into.
    pub fn copy(&self) -> MemoryFolder {
        self.folder.clone()
    }

    fn key(&self, place: Place, name: &str) -> Key {
        self.folder.key(place, name)
    }

    /// Creates a file that an operator puts there.
    pub fn put(&self, place: Place, name: &str, content: &[u8]) {
        self.folder.put(place, name, content.to_vec());
    }

    /// The content of a file.
    pub fn get(&self, place: Place, name: &str) -> Option<Vec<u8>> {
        self.folder.get(place, name)
    }

    /// Takes an op. Returns its number and the true time at which it ends.
    pub fn begin(&mut self, now: u64, op: Op) -> (u64, u64) {
        let mean = match op {
            Op::LogWrite { .. } => self.speed.log_write,
            _ => self.speed.other,
        };
        // A disk that took longer would be broken, and the system would report that.
        let took = 5 + self.rng.waiting(mean * self.speed.slowed).min(TOOK_MAX);
        let mut at = now + took;
        if is_of_snapshot(&op) {
            at = at.max(self.snapshot_busy_until + 1);
            self.snapshot_busy_until = at;
        }
        let number = self.next_op;
        self.next_op += 1;
        self.pending.insert(number, op);
        (number, at)
    }

    /// Whether a process has ops under way.
    pub fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Ends an op, and gives its completion.
    pub fn end(&mut self, number: u64) -> Completion {
        let op = self.pending.remove(&number).expect("an op ends once");
        let token = op.token();
        if let Some(failure) = self.failure(&op) {
            self.erred = true;
            if is_of_snapshot(&op) {
                self.snapshot_failed = true;
            }
            // A failed op may have done any part of its work.
            if failure.kind == IoFailureKind::Other {
                self.do_in_part(op);
            }
            return Completion { token, result: Err(failure) };
        }
        let result = self.perform(op);
        self.erred |= result.is_err();
        Completion { token, result }
    }

    fn failure(&mut self, op: &Op) -> Option<IoFailure> {
        let fail = |kind, text: &str| Some(IoFailure { kind, text: text.to_owned() });
        let needs_room = matches!(
            op,
            Op::SegmentPrepare { .. }
                | Op::SnapshotCreate { .. }
                | Op::SnapshotWrite { .. }
                | Op::FileReplace { .. }
        );
        if matches!(op, Op::SnapshotAbandon { .. }) {
            return None;
        }
        if self.snapshot_failed && is_of_snapshot(op) {
            return fail(IoFailureKind::Other, "writing a snapshot: its file could not be created");
        }
        if self.trouble.full && needs_room {
            return fail(IoFailureKind::Full, "no space left on the simulated disk");
        }
        if self.rng.per_mille(self.trouble.failing_per_mille) {
            return fail(IoFailureKind::Other, "input/output error of the simulated disk");
        }
        None
    }

    /// Ends an op successfully: the names that it gives are durable, and so are all others in that folder.
    fn perform(&mut self, op: Op) -> Result<Done, IoFailure> {
        let synced = match &op {
            Op::LogWrite { .. }
            | Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotAbandon { .. } => None,
            Op::SegmentClose { bytes_used, .. } => (*bytes_used == 0).then_some(Place::Logs),
            Op::SegmentPrepare { .. } | Op::SegmentName { .. } => Some(Place::Logs),
            Op::SnapshotCommit { .. } => Some(Place::Snapshots),
            Op::FileReplace { place, .. } | Op::Remove { place, .. } => Some(*place),
        };
        let result = self.change(op);
        if let Some(place) = synced
            && result.is_ok()
        {
            let (folder, _) = self.key(place, "");
            self.names.get_mut().sync(folder);
        }
        result
    }

    /// Changes the files as an op does.
    fn change(&mut self, op: Op) -> Result<Done, IoFailure> {
        let mut files = self.folder.files.borrow_mut();
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let name = self.segments.get(&segment).expect("the segment is open");
                let file = files.get_mut(&self.key(Place::Logs, name)).expect("it has a file");
                let (from, bytes) = (index(offset), bytes as usize);
                assert!(from + bytes <= file.len(), "a write behind the end of a segment");
                if let Some(overwritten) = &mut self.overwritten {
                    // The writes of an older segment are safe once another segment is written.
                    overwritten.retain(|old| old.segment == segment);
                    if overwritten.len() == FORGOTTEN_MAX {
                        overwritten.remove(0);
                    }
                    let old = file[from..from + bytes].to_vec();
                    let last_group = self.last_groups.borrow().get(name).copied();
                    overwritten.push(Overwritten { segment, offset: from, bytes: old, last_group });
                }
                file[from..from + bytes].copy_from_slice(&buf[..bytes]);
                let key = self.key(Place::Logs, name);
                self.unsynced.borrow_mut().retain(|sector| sector.key != key);
                self.last_groups.borrow_mut().insert(name.clone(), offset);
                return Ok(Done::Buffer(buf));
            }
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                let mut file = vec![0; index(bytes)];
                file[..header.len()].copy_from_slice(&header);
                let name = segment_temporary(segment);
                files.insert(self.key(Place::Logs, &name), file);
                self.segments.insert(segment, name);
            }
            Op::SegmentName { segment, name, .. } => {
                let old = self.segments.get(&segment).expect("the segment is open").clone();
                if files.contains_key(&self.key(Place::Logs, &name)) {
                    let text = format!("renaming {old} to {name}: file exists");
                    return Err(IoFailure { kind: IoFailureKind::Other, text });
                }
                let (from, to) = (self.key(Place::Logs, &old), self.key(Place::Logs, &name));
                let file = files.remove(&from).expect("it has a file");
                for sector in self.unsynced.borrow_mut().iter_mut() {
                    if sector.key == from {
                        sector.key = to.clone();
                    }
                }
                files.insert(to, file);
                let mut groups = self.last_groups.borrow_mut();
                if let Some(group) = groups.remove(&old) {
                    groups.insert(name.clone(), group);
                }
                self.segments.insert(segment, name);
            }
            Op::SegmentClose { segment, bytes_used, .. } => {
                let name = self.segments.remove(&segment).expect("the segment is open");
                let key = self.key(Place::Logs, &name);
                if bytes_used == 0 {
                    files.remove(&key);
                } else if let Some(file) = files.get_mut(&key) {
                    file.truncate(index(bytes_used));
                }
            }
            Op::SnapshotCreate { temporary, .. } => {
                self.snapshot_failed = false;
                self.snapshot = Some((temporary, Vec::new()));
            }
            Op::SnapshotWrite { mut bytes, .. } => {
                let (_, content) = self.snapshot.as_mut().expect("a snapshot is under way");
                content.extend_from_slice(&bytes);
                bytes.clear();
                return Ok(Done::Bytes(bytes));
            }
            Op::SnapshotCommit { name, .. } => {
                let (_, content) = self.snapshot.take().expect("a snapshot is under way");
                files.insert(self.key(Place::Snapshots, &name), content);
            }
            Op::SnapshotAbandon { .. } => {
                self.snapshot = None;
                self.snapshot_failed = false;
            }
            Op::FileReplace { place, name, content, .. } => {
                files.insert(self.key(place, &name), content);
            }
            Op::Remove { place, names, .. } => {
                for name in &names {
                    files.remove(&self.key(place, name));
                }
            }
        }
        Ok(Done::Plain)
    }

    /// Flips one bit of a log or snapshot behind which something durable stands. The last group of the last log is
    /// spared, because damage there looks like a torn write.
    pub fn flip_a_bit(&mut self) -> Option<Flip> {
        let mut candidates: Vec<(Key, usize)> = Vec::new();
        let files = self.folder.files.borrow();
        let groups = self.last_groups.borrow();
        for (key, content) in files.iter() {
            let name = key.1.as_str();
            let end = if name.starts_with("snapshot.") {
                content.len()
            } else if name.starts_with("log.") {
                groups.get(name).map_or(0, |group| index(*group))
            } else {
                0
            };
            if end > 0 {
                candidates.push((key.clone(), end));
            }
        }
        drop((files, groups));
        if candidates.is_empty() {
            return None;
        }
        let (key, end) = self.rng.pick(&candidates).clone();
        let offset = self.rng.index(end);
        let bit = u8::try_from(self.rng.below(8)).expect("below 8");
        let flip = Flip { key, offset, bit };
        self.turn(&flip);
        Some(flip)
    }

    /// Flips a bit, or flips it back.
    pub fn turn(&self, flip: &Flip) {
        if let Some(byte) = self
            .folder
            .files
            .borrow_mut()
            .get_mut(&flip.key)
            .and_then(|file| file.get_mut(flip.offset))
        {
            *byte ^= 1 << flip.bit;
        }
    }

    /// Sets the folders aside, as an operator does.
    pub fn set_aside(&mut self) {
        *self.names.get_mut() = Names::default();
        self.unsynced.get_mut().clear();
        self.folder.files.borrow_mut().clear();
        self.last_groups.borrow_mut().clear();
    }

    /// Lets the power go after this many changes of the next recovery; `None`: never.
    pub fn cut_recovery_after(&self, changes: Option<u64>) {
        self.changes_left.set(changes);
    }

    /// Whether the disk holds a snapshot with any history.
    pub fn has_history(&self) -> bool {
        let files = self.folder.files.borrow();
        let names = files.keys().map(|(_, name)| name.as_str());
        ringkeeper::txnlog::plan::snapshots(names).iter().any(|(zxid, _)| zxid.0 > 0)
    }
}

fn is_of_snapshot(op: &Op) -> bool {
    matches!(
        op,
        Op::SnapshotCreate { .. }
            | Op::SnapshotWrite { .. }
            | Op::SnapshotCommit { .. }
            | Op::SnapshotAbandon { .. }
    )
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("simulated files are small")
}
