//! Reads a log file record by record; `judge` decides what its end means.

mod judge;
mod shape;

use std::io::{self, Read, Seek};

use bytes::Bytes;

use super::format::{FILE_HEADER_BYTES, FileKind, Guard, RECORD_HEAD_BYTES, RECORD_TAIL_BYTES};
use super::window::Window;
use crate::id::Zxid;
use crate::proto::txn::Txn;

use judge::no_log;
use shape::{Shape, shape_at};

pub use judge::Verdict;

/// One record of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the record begins in the file.
    pub offset: u64,
    /// Its bytes in the file, checksum and end mark included.
    pub bytes: u64,
    /// The transaction.
    pub txn: Txn,
    /// If it ends a guarded group: that group.
    pub group: Option<GroupEnd>,
}

/// A guarded group that was read and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupEnd {
    /// Where the group begins in the file.
    pub offset: u64,
    /// Its length.
    pub bytes: u32,
    /// Its CRC-32C, which the next group repeats.
    pub crc: u32,
}

/// Reads one log file, record by record.
///
/// It holds one group, or one record of ZooKeeper's, in memory at a time.
pub struct Reader<R> {
    /// The file, of which it holds the part from `group_start` on.
    window: Window<R>,
    /// Who wrote the file, and so which rules count.
    kind: FileKind,
    /// Where the next group begins; in a file of ZooKeeper, the next record. Invariant: it only grows.
    group_start: u64,
    /// CRC of the previous group, which the next guard must repeat; 0 before the first.
    previous: u32,
    /// Records of a whole group, or the remaining records of a torn one, last first.
    ready: Vec<Entry>,
    /// The zxid of the last record that was read, given out or not.
    last_zxid: Option<Zxid>,
    /// What the end of the file means, once it was reached. Records may still be `ready`.
    verdict: Option<Verdict>,
}

/// An invalid record.
struct Failure {
    /// Where it begins.
    offset: u64,
    /// What is there.
    shape: Shape,
    /// The same for a person.
    reason: String,
}

/// Largest number of bytes of records that are held back until the guard is read. No writer makes a
/// larger group.
const GROUP_BYTES_MAX: u64 = 256 << 20;

impl<R: Read + Seek> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// The file cannot be read. A file that is not a log is not an error: the verdict says so.
    pub fn open(source: R) -> io::Result<Reader<R>> {
        let mut window = Window::new(source)?;
        let header = window.get(0, FILE_HEADER_BYTES as u64)?;
        let (kind, verdict) = match header.first_chunk() {
            Some(header) => {
                let kind = FileKind::of(header);
                (kind, (kind == FileKind::Other).then(no_log))
            }
            None if FileKind::may_begin(header) => {
                let reason = "the file ends inside its header".to_owned();
                (FileKind::Other, Some(Verdict::TornTail { end: 0, reason, passable: false }))
            }
            None => (FileKind::Other, Some(no_log())),
        };
        Ok(Reader {
            window,
            kind,
            group_start: if kind == FileKind::Plain { FILE_HEADER_BYTES as u64 } else { 0 },
            previous: 0,
            ready: Vec::new(),
            last_zxid: None,
            verdict,
        })
    }

    /// The next record; `None` after the last one: then there is a [`Reader::verdict`].
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop() {
                return Ok(Some(entry));
            }
            if self.verdict.is_some() {
                return Ok(None);
            }
            match self.kind {
                FileKind::Guarded => self.read_group()?,
                FileKind::Plain => self.read_plain()?,
                FileKind::Other => unreachable!("its verdict was made when it was opened"),
            }
            let has_moved = !self.ready.is_empty() || self.verdict.is_some();
            assert!(has_moved, "each step gives a record or a verdict");
        }
    }

    /// The verdict on the file, after every record was read.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref().filter(|_| self.ready.is_empty())
    }

    /// Whether Ringkeeper wrote the file, with guarded groups.
    pub fn is_guarded(&self) -> bool {
        self.kind == FileKind::Guarded
    }

    /// Size of the file, unused zeroes included.
    pub fn bytes_total(&self) -> u64 {
        self.window.bytes_total()
    }

    /// The present offset of reading.
    pub fn offset(&self) -> u64 {
        self.group_start
    }

    /// Reads one record of ZooKeeper's.
    fn read_plain(&mut self) -> io::Result<()> {
        assert!(self.ready.is_empty());
        let offset = self.group_start;
        match self.read_record(offset)? {
            Ok((entry, _)) => {
                assert!(entry.bytes > 0, "reading moves on");
                self.group_start = offset + entry.bytes;
                self.last_zxid = Some(entry.txn.zxid());
                self.ready.push(entry);
            }
            Err(failure) => self.verdict = Some(self.judge_plain(&failure)?),
        }
        Ok(())
    }

    /// Reads one of our groups: none of its records is returned before its guard is checked.
    fn read_group(&mut self) -> io::Result<()> {
        assert!(self.ready.is_empty(), "one group is in memory at a time");
        let start = self.group_start;
        let mut at = start.max(FILE_HEADER_BYTES as u64);
        let mut entries = Vec::new();
        let failure = loop {
            let (mut entry, guard) = match self.read_record(at)? {
                Ok(read) => read,
                Err(failure) => break failure,
            };
            let end = at + entry.bytes;
            let Some(guard) = guard.filter(|guard| guard.ends(start, end)) else {
                at = end;
                entries.push(entry);
                if end - start > GROUP_BYTES_MAX {
                    let reason = "records without an end, and no guard".to_owned();
                    break Failure { offset: at, shape: Shape::End, reason };
                }
                continue;
            };
            let last_record = usize::try_from(at - start).expect("a group fits into memory");
            if guard.previous != self.previous {
                let reason = "the group does not follow the one before it".to_owned();
                break Failure { offset: at, shape: Shape::BadSum { end }, reason };
            }
            if !guard.covers(self.window.get(start, end)?, last_record) {
                let reason = "the group's CRC is wrong".to_owned();
                break Failure { offset: at, shape: Shape::BadSum { end }, reason };
            }
            assert!(end > start, "reading moves on");
            entry.group = Some(GroupEnd { offset: start, bytes: guard.bytes, crc: guard.crc });
            entries.push(entry);
            (self.group_start, self.previous) = (end, guard.crc);
            self.give(entries);
            return Ok(());
        };
        self.give(entries);
        self.group_start = failure.offset;
        self.verdict = Some(self.judge_guarded(start, &failure)?);
        Ok(())
    }

    fn give(&mut self, mut entries: Vec<Entry>) {
        if let Some(last) = entries.last() {
            self.last_zxid = Some(last.txn.zxid());
        }
        entries.reverse();
        self.ready = entries;
    }

    /// The record at `offset`, and the possible guard at its end.
    fn read_record(&mut self, offset: u64) -> io::Result<Result<(Entry, Option<Guard>), Failure>> {
        // While a group is read, the window keeps all of it, for its CRC.
        let keep = self.group_start;
        let shape = shape_at(&mut self.window, keep, offset)?;
        let reason = match &shape {
            Shape::Whole(bytes) => {
                let record = self.window.get(offset, offset + bytes)?;
                let entry = &record[RECORD_HEAD_BYTES..record.len() - RECORD_TAIL_BYTES];
                let guard = Guard::at_end_of(entry);
                match Txn::parse(&Bytes::copy_from_slice(entry)) {
                    Ok(txn) => {
                        let entry = Entry { offset, bytes: *bytes, txn, group: None };
                        return Ok(Ok((entry, guard)));
                    }
                    Err(error) => {
                        format!("the checksum is right, but it is not a transaction: {error}")
                    }
                }
            }
            Shape::End => "no record".to_owned(),
            Shape::Short => "the file ends inside a record".to_owned(),
            Shape::BadLength { len } => format!("a record of {len} bytes"),
            Shape::NoMark { .. } => "a record without its end mark".to_owned(),
            Shape::BadSum { .. } => "a record whose Adler-32 is wrong".to_owned(),
        };
        Ok(Err(Failure { offset, shape, reason }))
    }
}
