//! Judges the end of a log file.
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

use super::shape::{Shape, shape_at};
use super::{Failure, Reader};
use crate::id::Zxid;
use crate::txnlog::format::{
    FILE_HEADER_BYTES, GUARD_BYTES, Guard, RECORD_HEAD_BYTES, RECORD_TAIL_BYTES, SECTOR_BYTES,
    is_zero, zero_sectors,
};

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

impl<R: Read + Seek> Reader<R> {
    fn damaged(&self, failure: &Failure, why: &str) -> Verdict {
        let reason = format!("{}; {why}", failure.reason);
        Verdict::Damaged { offset: failure.offset, zxid: self.last_zxid, reason }
    }

    pub(super) fn judge_plain(&mut self, failure: &Failure) -> io::Result<Verdict> {
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
    pub(super) fn judge_guarded(&mut self, start: u64, failure: &Failure) -> io::Result<Verdict> {
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
    pub fn ends(&self, start: u64, end: u64) -> bool {
        self.offset == start
            && self.offset.checked_add(u64::from(self.bytes)) == Some(end)
            && u64::from(self.bytes) >= (RECORD_HEAD_BYTES + GUARD_BYTES) as u64
    }
}

/// The verdict on a file that never was a log, or no longer is one.
pub(super) fn no_log() -> Verdict {
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
