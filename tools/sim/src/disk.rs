//! A disk that keeps what it promised, and nothing more.
//!
//! What an op's documentation calls durable at its completion survives everything. Of an op that is
//! under way when the power goes, any part that the op's steps allow has happened: any sectors of a
//! log write, a name or not, a temporary file with any content. Ops without a completion between
//! them end in any order, except those of a snapshot. What a killed process has written is there, and is
//! lost with the power until somebody syncs the file; so are names, until the folder is synced
//! ([`super::names`]).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use ringkeeper::io::{
    Completion, Done, IoFailure, IoFailureKind, Op, Place, SegmentId, segment_temporary,
};
use ringkeeper::recovery::{FileInfo, Folder, MemoryFolder, ReadSeek};

use super::names::{Named, Names};
use super::reads::Reads;
use super::rng::Rng;

/// What a log write is cut into when it is torn.
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
    /// How many times slower it is now.
    pub slowed: u64,
}

/// Why the disk does not do what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Trouble {
    /// There is no room for anything new.
    pub full: bool,
    /// Operations fail so often in a thousand.
    pub failing_per_mille: u64,
}

/// The number of its folder, and its name.
pub(super) type Key = (u8, String);

/// The disk of one server. Outlives its processes.
pub struct Disk {
    rng: Rng,
    /// What survives the power.
    files: RefCell<BTreeMap<Key, Vec<u8>>>,
    apart: bool,
    /// Where each log's last group begins.
    last_groups: RefCell<BTreeMap<String, u64>>,
    /// Open segments of the process, by their present names.
    segments: BTreeMap<SegmentId, String>,
    snapshot: Option<(String, Vec<u8>)>,
    snapshot_failed: bool,
    pending: BTreeMap<u64, Op>,
    next_op: u64,
    /// Ops of the snapshot end in order.
    snapshot_busy_until: u64,
    /// How fast it is.
    pub speed: Speed,
    /// What is wrong with it.
    pub trouble: Trouble,
    /// An error was told to the process that runs now.
    pub erred: bool,
    /// Which reads fail.
    pub reads: Reads,
    /// A disk that lies: what the last log writes have overwritten, the newest last.
    overwritten: Option<Vec<Overwritten>>,
    /// Names that the next loss of power may take back.
    names: RefCell<Names>,
    /// What log writes have overwritten that the next loss of power may take back, the oldest first.
    unsynced: RefCell<Vec<Unsynced>>,
    /// Decides about both.
    names_rng: Rng,
    /// Changes that recovery may still make before the power goes. `None`: any number.
    changes_left: Cell<Option<u64>>,
}

/// What a log write has overwritten.
struct Overwritten {
    segment: SegmentId,
    offset: usize,
    bytes: Vec<u8>,
    /// Where the last group began before.
    last_group: Option<u64>,
}

/// A sector that was written and not synced.
struct Unsynced {
    key: Key,
    offset: usize,
    /// What stood there.
    old: Vec<u8>,
}

/// Writes that a disk that lies may lose, at most.
const FORGOTTEN_MAX: usize = 64;

/// One bit that is not what it was.
#[derive(Clone, Debug)]
pub struct Flip {
    key: Key,
    offset: usize,
    bit: u8,
}

impl Disk {
    /// An empty disk. `apart`: logs have a folder of their own.
    pub fn new(rng: Rng, speed: Speed, apart: bool) -> Disk {
        // A stream of its own, which takes nothing from the other: the fixed seeds keep their runs.
        let names_rng = rng.clone().fork();
        Disk {
            rng,
            files: RefCell::default(),
            apart,
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

    /// From now on its word is worth nothing.
    pub fn lie(&mut self) {
        self.overwritten = Some(Vec::new());
    }

    /// The last writes of the log are lost, so many at most, and what was under way.
    pub fn forget(&mut self, writes: usize) {
        self.pending.retain(|_, op| !matches!(op, Op::LogWrite { .. }));
        let Some(overwritten) = &mut self.overwritten else { return };
        let from = overwritten.len().saturating_sub(writes);
        for old in overwritten.drain(from..).rev() {
            let Some(name) = self.segments.get(&old.segment) else { continue };
            let number = if self.apart { 2 } else { 1 };
            let key = (number, name.clone());
            if let Some(file) = self.files.borrow_mut().get_mut(&key) {
                file[old.offset..old.offset + old.bytes.len()].copy_from_slice(&old.bytes);
            }
            let mut groups = self.last_groups.borrow_mut();
            match old.last_group {
                Some(offset) => groups.insert(name.clone(), offset),
                None => groups.remove(name),
            };
        }
    }

    /// The files as they are, for who wants to know what they hold.
    pub fn copy(&self) -> MemoryFolder {
        let mut copy = MemoryFolder::new();
        copy.apart = self.apart;
        for ((number, name), content) in &*self.files.borrow() {
            let place = match number {
                0 => Place::DataDir,
                2 => Place::Logs,
                _ => Place::Snapshots,
            };
            copy.put(place, name, content.clone());
        }
        copy
    }

    fn key(&self, place: Place, name: &str) -> Key {
        let number = match place {
            Place::DataDir => 0,
            Place::Logs if self.apart => 2,
            Place::Snapshots | Place::Logs => 1,
        };
        (number, name.to_owned())
    }

    /// Creates a file that an operator puts there.
    pub fn put(&self, place: Place, name: &str, content: &[u8]) {
        let key = self.key(place, name);
        self.files.borrow_mut().insert(key, content.to_vec());
    }

    /// The content of a file.
    pub fn get(&self, place: Place, name: &str) -> Option<Vec<u8>> {
        self.files.borrow().get(&self.key(place, name)).cloned()
    }

    /// Takes an op. Returns its number and the true time at which it ends.
    pub fn begin(&mut self, now: u64, op: Op) -> (u64, u64) {
        let mean = match op {
            Op::LogWrite { .. } => self.speed.log_write,
            _ => self.speed.other,
        };
        // Longer is a disk that is broken, which the system would say.
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

    /// An op ends.
    pub fn end(&mut self, number: u64) -> Completion {
        let op = self.pending.remove(&number).expect("an op ends once");
        let token = op.token();
        if let Some(failure) = self.failure(&op) {
            self.erred = true;
            if is_of_snapshot(&op) {
                self.snapshot_failed = true;
            }
            // Nobody knows what it has done.
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

    /// An op ends as it should: what it names is durable, and all else in that folder.
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

    /// What an op does to the files.
    fn change(&mut self, op: Op) -> Result<Done, IoFailure> {
        let mut files = self.files.borrow_mut();
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let name = self.segments.get(&segment).expect("the segment is open");
                let file = files.get_mut(&self.key(Place::Logs, name)).expect("it has a file");
                let (from, bytes) = (index(offset), bytes as usize);
                assert!(from + bytes <= file.len(), "a write behind the end of a segment");
                if let Some(overwritten) = &mut self.overwritten {
                    // What stands in an older segment is safe once another one is written.
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

    /// The process is gone. `power`: and with it what only the system knew.
    pub fn crash(&mut self, power: bool) {
        if power {
            self.lose_writes();
            self.lose_names();
        }
        // In any order: they were under way at the same time.
        while !self.pending.is_empty() {
            let at = self.rng.index(self.pending.len());
            let number = *self.pending.keys().nth(at).expect("below the length");
            let op = self.pending.remove(&number).expect("it is there");
            self.do_in_part(op);
        }
        if let Some((name, mut content)) = self.snapshot.take()
            && !(power && self.rng.one_in(3))
        {
            if power {
                self.tear(&mut content);
            }
            self.put(Place::Snapshots, &name, &content);
        }
        self.segments.clear();
        if power {
            // Of these it was drawn whether they happened.
            *self.names.get_mut() = Names::default();
            self.unsynced.get_mut().clear();
        }
        if let Some(overwritten) = &mut self.overwritten {
            overwritten.clear();
        }
        self.snapshot_failed = false;
        self.snapshot_busy_until = 0;
        self.erred = false;
    }

    /// Any sectors that were not synced are again what they were.
    fn lose_writes(&mut self) {
        let unsynced = std::mem::take(self.unsynced.get_mut());
        if unsynced.is_empty() {
            return;
        }
        let lost_of_four = self.names_rng.below(5);
        let files = self.files.get_mut();
        for Unsynced { key, offset, old } in unsynced.into_iter().rev() {
            let is_lost = self.names_rng.below(4) < lost_of_four;
            let Some(file) = files.get_mut(&key).filter(|_| is_lost) else { continue };
            if let Some(sector) = file.get_mut(offset..offset + old.len()) {
                sector.copy_from_slice(&old);
            }
        }
    }

    /// Files have their old names again.
    fn lose_names(&mut self) {
        let count = self.names.get_mut().count();
        if count == 0 {
            return;
        }
        let kept = self.names_rng.index(count + 1);
        let (files, groups) = (self.files.get_mut(), self.last_groups.get_mut());
        for lost in self.names.get_mut().lose(kept) {
            match lost {
                Named::Renamed { from, to } => {
                    if let Some(file) = files.remove(&to) {
                        if let Some(group) = groups.remove(&to.1) {
                            groups.insert(from.1.clone(), group);
                        }
                        files.insert(from, file);
                    }
                }
                Named::Replaced { key, old } => {
                    match old {
                        Some(old) => files.insert(key, old),
                        None => files.remove(&key),
                    };
                }
            }
        }
    }

    /// Any content that a file may have whose writing was not finished.
    fn tear(&mut self, content: &mut Vec<u8>) {
        content.truncate(self.rng.index(content.len() + 1));
        for sector in content.chunks_mut(SECTOR_BYTES) {
            if self.rng.one_in(4) {
                sector.fill(0);
            }
        }
    }

    /// Of an op that never ended, something has happened.
    fn do_in_part(&mut self, op: Op) {
        let happened = self.rng.one_in(2);
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let Some(name) = self.segments.get(&segment).cloned() else { return };
                let lost_of_four = self.rng.below(5);
                let key = self.key(Place::Logs, &name);
                let mut files = self.files.borrow_mut();
                let Some(file) = files.get_mut(&key) else { return };
                let from = index(offset);
                for at in (0..bytes as usize).step_by(SECTOR_BYTES) {
                    if self.rng.below(4) >= lost_of_four {
                        let to = from + at;
                        let old = file[to..to + SECTOR_BYTES].to_vec();
                        let sector = Unsynced { key: key.clone(), offset: to, old };
                        self.unsynced.borrow_mut().push(sector);
                        file[to..to + SECTOR_BYTES].copy_from_slice(&buf[at..at + SECTOR_BYTES]);
                    }
                }
                // It does not count as the last group: the one before it is the last durable one.
            }
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                if happened {
                    let mut file = vec![0; index(self.rng.below(bytes)).max(header.len())];
                    file[..header.len()].copy_from_slice(&header);
                    self.put(Place::Logs, &segment_temporary(segment), &file);
                }
            }
            // Both are whole or not at all.
            Op::SegmentName { segment, ref name, .. } => {
                if happened {
                    let from = self.segments.get(&segment).map(|old| self.key(Place::Logs, old));
                    let to = self.key(Place::Logs, name);
                    if let (Ok(_), Some(from)) = (self.change(op), from) {
                        self.names.get_mut().give(Named::Renamed { from, to });
                    }
                }
            }
            Op::SegmentClose { .. } => {
                if happened {
                    // What it says to nobody is of no interest.
                    drop(self.change(op));
                }
            }
            Op::SnapshotCreate { temporary, .. } => {
                if happened {
                    self.snapshot = Some((temporary, Vec::new()));
                }
            }
            Op::SnapshotWrite { mut bytes, .. } => {
                self.tear(&mut bytes);
                if let Some((_, content)) = &mut self.snapshot {
                    content.extend_from_slice(&bytes);
                }
            }
            // Synced before it is renamed: the final name never has less than all of it. And the
            // writer asks for the name only when every write is done.
            Op::SnapshotCommit { name, .. } => {
                if happened && let Some((temporary, content)) = self.snapshot.take() {
                    self.put(Place::Snapshots, &name, &content);
                    let [from, to] = [temporary, name].map(|it| self.key(Place::Snapshots, &it));
                    self.names.get_mut().give(Named::Renamed { from, to });
                }
            }
            Op::SnapshotAbandon { .. } => {
                if happened {
                    self.snapshot = None;
                }
            }
            Op::FileReplace { place, name, mut content, .. } => {
                if happened {
                    let (key, old) = (self.key(place, &name), self.get(place, &name));
                    self.put(place, &name, &content);
                    self.names.get_mut().give(Named::Replaced { key, old });
                } else if self.rng.one_in(2) {
                    self.tear(&mut content);
                    self.put(place, &format!("{name}.tmp"), &content);
                }
            }
            Op::Remove { place, names, .. } => {
                for name in names {
                    if self.rng.one_in(2) {
                        let key = self.key(place, &name);
                        self.files.borrow_mut().remove(&key);
                    }
                }
            }
        }
    }

    /// Turns one bit of a log or snapshot, behind which something durable stands: the last group of
    /// the last log is left alone, for damage there cannot be told from a write that was torn.
    pub fn flip_a_bit(&mut self) -> Option<Flip> {
        let mut candidates: Vec<(Key, usize)> = Vec::new();
        let files = self.files.borrow();
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

    /// Turns a bit, or turns it back.
    pub fn turn(&self, flip: &Flip) {
        if let Some(byte) =
            self.files.borrow_mut().get_mut(&flip.key).and_then(|file| file.get_mut(flip.offset))
        {
            *byte ^= 1 << flip.bit;
        }
    }

    /// An operator sets the folders aside.
    pub fn set_aside(&mut self) {
        *self.names.get_mut() = Names::default();
        self.unsynced.get_mut().clear();
        self.files.borrow_mut().clear();
        self.last_groups.borrow_mut().clear();
    }

    /// The power goes after so many changes of the recovery that comes.
    pub fn cut_recovery_after(&self, changes: Option<u64>) {
        self.changes_left.set(changes);
    }

    /// A file is on the disk as it is, or is gone.
    fn forget_unsynced(&self, place: Place, name: &str) {
        let key = self.key(place, name);
        self.unsynced.borrow_mut().retain(|sector| sector.key != key);
    }

    fn may_change(&self) -> io::Result<()> {
        match self.changes_left.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power went during recovery")),
            Some(left) => {
                self.changes_left.set(Some(left - 1));
                Ok(())
            }
        }
    }

    /// Whether there is a snapshot of anything.
    pub fn has_history(&self) -> bool {
        let files = self.files.borrow();
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

impl Folder for Disk {
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>> {
        let (number, _) = self.key(place, "");
        let files = self.files.borrow();
        let here = files.iter().filter(|((at, _), _)| *at == number);
        Ok(here
            .map(|((_, name), file)| FileInfo { name: name.clone(), bytes: file.len() as u64 })
            .collect())
    }

    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>> {
        match self.get(place, name) {
            Some(content) => Ok(Box::new(self.reads.open(content)?)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()> {
        self.may_change()?;
        let mut files = self.files.borrow_mut();
        let file = files.get_mut(&self.key(place, name)).ok_or(io::ErrorKind::NotFound)?;
        file.truncate(index(bytes));
        self.forget_unsynced(place, name);
        let mut groups = self.last_groups.borrow_mut();
        if groups.get(name).is_some_and(|group| *group >= bytes) {
            // Where the group before it began is not known: this log is spared by flipped bits.
            groups.remove(name);
        }
        Ok(())
    }

    fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        self.may_change()?;
        self.files.borrow_mut().remove(&self.key(place, name));
        self.forget_unsynced(place, name);
        self.last_groups.borrow_mut().remove(name);
        self.sync_names(place)
    }

    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.may_change()?;
        if self.trouble.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.put(place, name, content);
        self.sync_names(place)
    }

    fn sync(&self, place: Place, name: &str) -> io::Result<()> {
        self.forget_unsynced(place, name);
        Ok(())
    }

    fn sync_names(&self, place: Place) -> io::Result<()> {
        let (folder, _) = self.key(place, "");
        self.names.borrow_mut().sync(folder);
        Ok(())
    }

    fn has_initialize(&self) -> io::Result<bool> {
        Ok(self.get(Place::DataDir, "initialize").is_some())
    }

    fn remove_initialize(&self) -> io::Result<()> {
        self.remove(Place::DataDir, "initialize")
    }

    fn logs_apart(&self) -> bool {
        self.apart
    }

    fn describe(&self, place: Place, name: &str) -> String {
        format!("{place:?}/{name}")
    }
}
