//! A disk in memory that performs an operation only when the target says so.

use std::collections::{BTreeMap, VecDeque};

use ringkeeper::io::{
    Completion, Done, IoFailure, IoFailureKind, Op, Place, SegmentId, segment_temporary,
};
use ringkeeper::recovery::MemoryFolder;

/// Files by place and name.
pub type Files = BTreeMap<(u8, String), Vec<u8>>;

/// A disk in memory: its files, and the operations not yet performed.
///
/// The disk performs one operation at a time, in the order given, which every real disk could choose.
#[derive(Default)]
pub struct Disk {
    /// The files that have their final names.
    pub files: Files,
    /// The open files of the log, by segment. A file has its name once the writer has named it.
    segments: BTreeMap<SegmentId, (Option<String>, Vec<u8>)>,
    snapshot: Option<(String, Vec<u8>)>,
    pending: VecDeque<Op>,
    /// If set, the disk has no room for anything more.
    pub full: bool,
}

const PLACES: [Place; 3] = [Place::DataDir, Place::Snapshots, Place::Logs];

/// The folders as numbers, to be keys.
pub const fn place_number(place: Place) -> u8 {
    match place {
        Place::DataDir => 0,
        Place::Snapshots => 1,
        Place::Logs => 2,
    }
}

impl Disk {
    /// Takes over the files as a start of the server has left them: some are cut, some are gone.
    pub fn take_over(&mut self, folder: &MemoryFolder) {
        self.files.retain(|(place, name), content| {
            let found = folder.get(PLACES[usize::from(*place)], name);
            found.map(|found| *content = found).is_some()
        });
    }

    /// Takes operations to be performed later.
    pub fn submit(&mut self, ops: impl IntoIterator<Item = Op>) {
        self.pending.extend(ops);
    }

    /// Performs the oldest operation, if there is one.
    pub fn perform(&mut self) -> Option<Completion> {
        let op = self.pending.pop_front()?;
        let token = op.token();
        let result = self.done(op);
        Some(Completion { token, result })
    }

    /// Number of operations not yet performed.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The content of a segment, named or not, up to its last byte.
    pub fn segment(&self, segment: SegmentId) -> Option<&[u8]> {
        self.segments.get(&segment).map(|(_, bytes)| bytes.as_slice())
    }

    /// Bytes of memory that the files take.
    pub fn bytes(&self) -> usize {
        let files = self.files.values().map(Vec::capacity).sum::<usize>();
        let segments = self.segments.values().map(|(_, file)| file.capacity()).sum::<usize>();
        files + segments + self.snapshot.as_ref().map_or(0, |(_, file)| file.capacity())
    }

    /// The folder that a crash at this moment would leave: all performed operations and nothing else.
    pub fn after_crash(&self) -> MemoryFolder {
        let folder = MemoryFolder::new();
        for ((place, name), bytes) in &self.files {
            folder.put(PLACES[usize::from(*place)], name, bytes.clone());
        }
        for (segment, (name, bytes)) in &self.segments {
            let name = name.clone().unwrap_or_else(|| segment_temporary(*segment));
            folder.put(Place::Logs, &name, bytes.clone());
        }
        if let Some((temporary, bytes)) = &self.snapshot {
            folder.put(Place::Snapshots, temporary, bytes.clone());
        }
        folder
    }

    fn done(&mut self, op: Op) -> Result<Done, IoFailure> {
        let full = || IoFailure { kind: IoFailureKind::Full, text: "no room".to_owned() };
        let missing = || IoFailure { kind: IoFailureKind::Other, text: "no snapshot".to_owned() };
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let (_, file) = self.segments.get_mut(&segment).expect("the segment is prepared");
                let at = usize::try_from(offset).expect("segments of tests are small");
                let bytes = bytes as usize;
                assert!(at.is_multiple_of(512) && bytes.is_multiple_of(512), "whole blocks");
                let old = &mut file[at..at + bytes];
                let written = old.iter().skip(if at == 0 { 16 } else { 0 });
                assert!(written.copied().all(|byte| byte == 0), "nothing is written twice");
                old.copy_from_slice(&buf[..bytes]);
                return Ok(Done::Buffer(buf));
            }
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                if self.full {
                    return Err(full());
                }
                let bytes = usize::try_from(bytes).expect("segments of tests are small");
                assert!(bytes.is_multiple_of(4096));
                let mut file = vec![0; bytes];
                file[..16].copy_from_slice(&header);
                assert!(self.segments.insert(segment, (None, file)).is_none());
            }
            Op::SegmentName { segment, name, .. } => {
                let taken = self.segments.values().any(|(known, _)| known.as_ref() == Some(&name));
                let place = place_number(Place::Logs);
                assert!(!taken && !self.files.contains_key(&(place, name.clone())), "{name}");
                let (slot, _) = self.segments.get_mut(&segment).expect("the segment is prepared");
                assert!(slot.replace(name).is_none(), "a segment is named once");
            }
            Op::SegmentClose { segment, bytes_used, .. } => {
                let (name, mut file) = self.segments.remove(&segment).expect("it was prepared");
                let bytes = usize::try_from(bytes_used).expect("segments of tests are small");
                match name {
                    None => assert_eq!(bytes, 0, "a segment without a name holds nothing"),
                    Some(name) => {
                        assert!(file[bytes..].iter().all(|byte| *byte == 0), "zeroes to the end");
                        file.truncate(bytes);
                        self.files.insert((place_number(Place::Logs), name), file);
                    }
                }
            }
            Op::SnapshotCreate { temporary, .. } => {
                if self.full {
                    return Err(full());
                }
                self.snapshot = Some((temporary, Vec::new()));
            }
            Op::SnapshotWrite { mut bytes, .. } => {
                // Operations behind a failed creation fail as well.
                let Some((_, file)) = self.snapshot.as_mut() else { return Err(missing()) };
                if self.full {
                    return Err(full());
                }
                file.extend_from_slice(&bytes);
                bytes.clear();
                return Ok(Done::Bytes(bytes));
            }
            Op::SnapshotCommit { name, .. } => {
                let Some((_, file)) = self.snapshot.take() else { return Err(missing()) };
                self.files.insert((place_number(Place::Snapshots), name), file);
            }
            Op::SnapshotAbandon { .. } => self.snapshot = None,
            Op::FileReplace { place, name, content, .. } => {
                self.files.insert((place_number(place), name), content);
            }
            Op::Remove { place, names, .. } => {
                for name in names {
                    self.files.remove(&(place_number(place), name));
                }
            }
        }
        Ok(Done::Plain)
    }
}
