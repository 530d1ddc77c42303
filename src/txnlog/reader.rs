//! Reads a log file, and judges its end.
//!
//! # How a tail is judged
//! A disk writes whole sectors of 512 bytes; a write that a crash interrupts has some sectors of
//! the new content and, since segments are zero-written ahead and never used again, zeroes in the
//! others (a file's first sector has the header from the beginning). Bit rot changes bits in a
//! sector; it is assumed not to leave a sector of zeroes. One group is in flight at a time, and the
//! next one starts when the one before it is durable. So, if a file of ours has no valid record at
//! some place:
//!
//! 1. If a whole group follows later, the group here was durable. **Damage.**
//! 2. If the guard of the group is there, and the group has more zero sectors than its guard counted,
//!    sectors are missing: it was never durable. **Torn tail.** If it has no more zero sectors, it was
//!    written completely, and something changed it later. **Damage.**
//! 3. If the guard's sector is zero, or lies beyond the end of the file, the group was never complete.
//!    **Torn tail.** If the sector holds a guard with one wrong field, it was written, and changed
//!    later. **Damage.**
//! 4. Whatever the guard's sector holds: a torn write does not leave a record that is wrong although
//!    none of its sectors is missing, or a record with an impossible length. **Damage.**
//!
//! One case remains undecided, and counts as a torn tail: in the last group of the file, the guard is
//! destroyed and the record's length leads beyond the end of the file.
//!
//! Whole records before the tear are kept: they were written, Java's reader would accept them too, and
//! a log may hold transactions that were never acknowledged.
//!
//! ZooKeeper's own files have no guards, and its rules decide (`FileTxnIterator`): a length of
//! zero, the end of the file or a missing end mark end the file; a wrong checksum or length is damage,
//! even at the very end: the record may have been acknowledged, and nothing proves that it was not.

use std::fmt;
use std::io::{self, Read, Seek};

use bytes::Bytes;
use simd_adler32::adler32;

use super::format::{
    END_OF_RECORD, FILE_HEADER_BYTES, FileKind, GUARD_BYTES, Guard, RECORD_HEAD_BYTES,
    RECORD_TAIL_BYTES, SECTOR_BYTES, is_zero, zero_sectors,
};
use super::window::Window;
use crate::id::Zxid;
use crate::limits;
use crate::proto::txn::Txn;

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

/// The verdict on a file from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every record is whole, and nothing but zeroes follows.
    Clean {
        /// The end of the last record.
        end: u64,
    },
    /// The last write did not finish. Nothing that was durable is missing.
    TornTail {
        /// The end of the last whole record, where the file is to be cut.
        end: u64,
        /// What is wrong.
        reason: String,
        /// Whether ZooKeeper's reader takes it as the end of the file and continues with the next
        /// file; otherwise ZooKeeper refuses to start.
        passable: bool,
    },
    /// Something that was durable cannot be read.
    Damaged {
        /// The offset.
        offset: u64,
        /// The last zxid that can be read before it, if any in this file.
        zxid: Option<Zxid>,
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Clean { end } => write!(f, "whole, {end} bytes in use"),
            Verdict::TornTail { end, reason, .. } => write!(f, "torn at offset {end}: {reason}"),
            Verdict::Damaged { offset, zxid, reason } => {
                write!(f, "damaged at offset {offset}")?;
                if let Some(zxid) = zxid {
                    write!(f, " (after zxid {zxid})")?;
                }
                write!(f, ": {reason}")
            }
        }
    }
}

/// Reads one log file, record by record.
///
/// It holds one group, or one record of ZooKeeper's, in memory at a time.
pub struct Reader<R> {
    window: Window<R>,
    kind: FileKind,
    /// The offset of the next group.
    group_start: u64,
    /// CRC of the previous group.
    previous: u32,
    /// Records of a whole group, or the remaining records of a torn one, last first.
    ready: Vec<Entry>,
    last_zxid: Option<Zxid>,
    verdict: Option<Verdict>,
}

/// The bytes at a place where a record could begin.
enum Shape {
    /// A record with a right checksum and its end mark, with its whole length.
    Whole(u64),
    /// No record: the file ends, or the length is zero.
    End,
    /// A length, but the file ends before the record does.
    Short,
    /// A length that no record has.
    BadLength { len: i32 },
    /// The end mark is missing.
    NoMark { end: u64 },
    /// The checksum is wrong.
    BadSum { end: u64 },
}

impl Shape {
    /// See [`Verdict::TornTail`].
    fn is_passable(&self) -> bool {
        match self {
            Shape::End | Shape::Short | Shape::NoMark { .. } => true,
            Shape::Whole(_) | Shape::BadLength { .. } | Shape::BadSum { .. } => false,
        }
    }
}

/// An invalid record.
struct Failure {
    offset: u64,
    shape: Shape,
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
        let offset = self.group_start;
        match self.read_record(offset)? {
            Ok((entry, _)) => {
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

    fn damaged(&self, failure: &Failure, why: &str) -> Verdict {
        let reason = format!("{}; {why}", failure.reason);
        Verdict::Damaged { offset: failure.offset, zxid: self.last_zxid, reason }
    }

    fn judge_plain(&mut self, failure: &Failure) -> io::Result<Verdict> {
        let end = failure.offset;
        let passable = failure.shape.is_passable();
        let torn = |reason: &str| Verdict::TornTail { end, reason: reason.to_owned(), passable };
        Ok(match failure.shape {
            Shape::End if self.is_zero_from(end)? => Verdict::Clean { end },
            Shape::End => torn("no record, but other bytes after it, which were never durable"),
            Shape::Short | Shape::NoMark { .. } => torn(&failure.reason),
            Shape::BadSum { .. } => {
                self.damaged(failure, "it may have been durable, and ZooKeeper refuses it as well")
            }
            Shape::BadLength { .. } | Shape::Whole(_) => {
                self.damaged(failure, "no such record is ever written")
            }
        })
    }

    /// See the rules at the top of this file. `start` is the beginning of the group that failed.
    fn judge_guarded(&mut self, start: u64, failure: &Failure) -> io::Result<Verdict> {
        let end = failure.offset;
        let passable = failure.shape.is_passable();
        let first_block = start / SECTOR_BYTES as u64 * SECTOR_BYTES as u64;
        let mut own_guard = None;
        let mut last_used = first_block;
        let mut sector_start = first_block;
        while sector_start < self.window.bytes_total() {
            let sector_end = sector_start + SECTOR_BYTES as u64;
            let sector = self.window.get(sector_start, sector_end)?;
            if !is_zero(sector) {
                last_used = sector_end;
            }
            let guard = if sector.len() == SECTOR_BYTES {
                Guard::at_end_of(&sector[..SECTOR_BYTES - RECORD_TAIL_BYTES])
            } else {
                None
            };
            match guard {
                Some(guard) if guard.ends(start, sector_end) => own_guard = Some(guard),
                Some(guard)
                    if guard.offset > start
                        && guard.ends(guard.offset, sector_end)
                        && self.is_whole_group(&guard)? =>
                {
                    let why = format!("a whole group follows at offset {}", guard.offset);
                    return Ok(self.damaged(failure, &why));
                }
                _ => (),
            }
            sector_start = sector_end;
        }

        if let Some(guard) = own_guard {
            return self.judge_by_guard(start, &guard, failure);
        }
        if self.is_zero_from(end)? {
            // The end of the file: after a whole group, or after records of a group whose torn rest an
            // earlier recovery cut off, or whose rest is missing completely.
            let cut = end == self.window.bytes_total() || end == start.max(16);
            let reason = "the end of the last group was not written".to_owned();
            let clean = Verdict::Clean { end };
            return Ok(if cut { clean } else { Verdict::TornTail { end, reason, passable } });
        }
        if last_used <= self.window.bytes_total() {
            let group = self.window.get(start, last_used)?;
            let entry = &group[..group.len() - RECORD_TAIL_BYTES];
            if Guard::was_at_end_of(entry, start, last_used - start) {
                return Ok(self.damaged(failure, "the group was written whole, its guard is wrong"));
            }
        }
        // A sector that a write did not reach is zero: it makes a length smaller, never too large, and
        // invalidates only its own record.
        match failure.shape {
            Shape::BadLength { .. } | Shape::Whole(_) => {
                return Ok(self.damaged(failure, "no such record is ever written"));
            }
            Shape::BadSum { end: record_end } | Shape::NoMark { end: record_end } => {
                let from = end / SECTOR_BYTES as u64 * SECTOR_BYTES as u64;
                let to = record_end.next_multiple_of(SECTOR_BYTES as u64);
                if missing_sectors(from, self.window.get(from, to)?) == 0 {
                    return Ok(self.damaged(failure, "all of its sectors were written"));
                }
            }
            Shape::End | Shape::Short => (),
        }
        let reason = format!("{}; its group was not written to the end", failure.reason);
        Ok(Verdict::TornTail { end, reason, passable })
    }

    /// The group's guard is there, but the group does not match it.
    fn judge_by_guard(
        &mut self,
        start: u64,
        guard: &Guard,
        failure: &Failure,
    ) -> io::Result<Verdict> {
        let found = missing_sectors(start, self.window.get(start, start + u64::from(guard.bytes))?);
        if found > guard.zero_sectors && guard.previous == self.previous {
            let missing = found - guard.zero_sectors;
            let reason =
                format!("{}; {missing} sectors of its group were not written", failure.reason);
            let passable = failure.shape.is_passable();
            return Ok(Verdict::TornTail { end: failure.offset, reason, passable });
        }
        Ok(self.damaged(failure, "its group was written whole and changed later"))
    }

    /// Whether the group of `guard` is complete and matches it.
    fn is_whole_group(&mut self, guard: &Guard) -> io::Result<bool> {
        let end = guard.offset + u64::from(guard.bytes);
        let mut at = guard.offset.max(FILE_HEADER_BYTES as u64);
        loop {
            let Shape::Whole(bytes) = shape_at(&mut self.window, at, at)? else {
                return Ok(false);
            };
            if at + bytes >= end {
                break;
            }
            at += bytes;
        }
        let last_record = usize::try_from(at - guard.offset).expect("a group fits into memory");
        Ok(guard.covers(self.window.get(guard.offset, end)?, last_record))
    }

    fn is_zero_from(&mut self, from: u64) -> io::Result<bool> {
        const STEP: u64 = 64 << 10;
        let mut at = from;
        while at < self.window.bytes_total() {
            if !is_zero(self.window.get(at, at + STEP)?) {
                return Ok(false);
            }
            at += STEP;
        }
        Ok(true)
    }
}

impl Guard {
    /// Whether this guard claims to be that of the group from `start` to `end`.
    fn ends(&self, start: u64, end: u64) -> bool {
        self.offset == start
            && self.offset.checked_add(u64::from(self.bytes)) == Some(end)
            && u64::from(self.bytes) >= (RECORD_HEAD_BYTES + GUARD_BYTES) as u64
    }
}

/// The verdict on a file that never was a log, or no longer is one.
fn no_log() -> Verdict {
    let reason =
        "it does not begin with a log's magic number \"ZKLG\", and may be no log at all: if it \
         was put there by mistake, move it out of the folder"
            .to_owned();
    Verdict::Damaged { offset: 0, zxid: None, reason }
}

/// How many sectors of `bytes`, which begin at `offset`, a write may not have reached: those of
/// zeroes, and the file's first one if it still is as prepared, with a header and no record.
fn missing_sectors(offset: u64, bytes: &[u8]) -> u32 {
    let only_header =
        offset == 0 && bytes.get(FILE_HEADER_BYTES..SECTOR_BYTES).is_some_and(is_zero);
    zero_sectors(bytes) + u32::from(only_header)
}

/// The bytes at `offset`. The window keeps everything from `keep` on.
fn shape_at<R: Read + Seek>(window: &mut Window<R>, keep: u64, offset: u64) -> io::Result<Shape> {
    let total = window.bytes_total();
    let entry_start = offset + RECORD_HEAD_BYTES as u64;
    let before = usize::try_from(offset - keep).expect("a group fits into memory");
    let bytes = window.get(keep, entry_start)?;
    let Some(head) = bytes.get(before..).and_then(|rest| rest.first_chunk::<RECORD_HEAD_BYTES>())
    else {
        return Ok(Shape::End);
    };
    let &[a, b, c, d, e, f, g, h, len @ ..] = head;
    let sum = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    let len = i32::from_be_bytes(len);
    if len == 0 {
        return Ok(Shape::End);
    }
    let Some(entry_bytes) =
        u32::try_from(len).ok().filter(|bytes| *bytes <= limits::LOG_RECORD_BYTES_MAX)
    else {
        return Ok(Shape::BadLength { len });
    };
    let end = entry_start + u64::from(entry_bytes) + RECORD_TAIL_BYTES as u64;
    if end > total {
        return Ok(Shape::Short);
    }
    let record = &window.get(keep, end)?[before..];
    let (mark, entry) = record[RECORD_HEAD_BYTES..].split_last().expect("a record has an end mark");
    if *mark != END_OF_RECORD {
        return Ok(Shape::NoMark { end });
    }
    if u64::from(adler32(&entry)) != sum {
        return Ok(Shape::BadSum { end });
    }
    Ok(Shape::Whole(end - offset))
}
