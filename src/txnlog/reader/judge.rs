//! Judges the end of a log file: is it whole, did the last write not finish, or was something durable lost?
//!
//! # What a disk does
//! A disk writes whole sectors of 512 bytes. A write that a crash interrupts has some sectors of the new content and,
//! since segments are zero-written ahead and never used again, zeroes in the others (a file's first sector has the
//! header from the beginning). Bit rot changes bits in a sector; it is assumed not to leave a sector of zeroes. One
//! group is in flight at a time, and the next one starts when the one before it is durable.
//!
//! # Rules for our own files
//! If there is no valid record at some place, the first case that fits decides. "The group" is the one that this place
//! belongs to, "missing" a sector that a write has not reached.
//!
//! 1. A whole group follows later: **damage**, because the next group starts when the one before it is durable.
//! 2. The group's guard, and more zero sectors than it counted: **torn tail**, because sectors are missing.
//! 3. The group's guard, and no more zero sectors; or it follows another group: **damage**, because it was written
//!    completely, and something changed it later.
//! 4. Zeroes to the end of the file, from the group's beginning on; or the end of the file: **whole**, because
//!    nothing of the group was written, or an earlier recovery cut off the rest.
//! 5. Zeroes to the end of the file, after records of the group: **torn tail**, because the guard's sector is
//!    missing, so the group was never complete.
//! 6. In the last sector that is not zero, a guard with one wrong field: **damage**, because it was written, and
//!    changed later.
//! 7. A record with an impossible length, or with a right checksum and no transaction in it: **damage**, because a
//!    missing sector makes a length smaller, never too large.
//! 8. A record with a wrong checksum or no end mark, and none of its sectors is missing: **damage**, because a
//!    missing sector makes only its own record invalid.
//! 9. Anything else: **torn tail**, because the group was not written to its end.
//!
//! Case 9 includes one that remains undecided: in the last group of the file, the guard is destroyed and the
//! record's length leads beyond the end of the file.
//!
//! Whole records before the tear are kept: they were written, Java's reader would accept them too, and a log may hold
//! transactions that were never acknowledged.
//!
//! # Rules for ZooKeeper's files
//! They have no guards, and `FileTxnIterator` decides:
//!
//! 10. A length of zero or the end of the file, and nothing but zeroes behind it: **whole**, because the file is
//!     zero-written ahead.
//! 11. A length of zero, and other bytes behind it: **torn tail**, because its reader ends here, so they were never
//!     durable.
//! 12. The end of the file inside a record, or no end mark: **torn tail**, because its reader ends here.
//! 13. A wrong checksum, even at the very end: **damage**, because the record may have been acknowledged, and nothing
//!     proves that it was not.
//! 14. An impossible length, or no transaction: **damage**, because no such record is ever written.

use std::cmp::Ordering;
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

/// What lies at and behind the beginning of a group without a valid record.
struct View {
    /// Where the next whole group begins, if there is one; the rest is then not known.
    follower: Option<u64>,
    /// The guard that claims to be the group's. Its own checksum is right.
    own_guard: Option<Guard>,
    /// The end of the last sector that is not zero; the beginning of the first if all are.
    used_end: u64,
}

impl<R: Read + Seek> Reader<R> {
    fn damaged(&self, failure: &Failure, why: &str) -> Verdict {
        let reason = format!("{}; {why}", failure.reason);
        Verdict::Damaged { offset: failure.offset, zxid: self.last_zxid, reason }
    }

    /// Cases 10 to 14 of the lists at the top.
    pub(super) fn judge_plain(&mut self, failure: &Failure) -> io::Result<Verdict> {
        let end = failure.offset;
        let passable = failure.shape.is_passable();
        let torn = |reason: &str| Verdict::TornTail { end, reason: reason.to_owned(), passable };
        Ok(match failure.shape {
            // Case 10.
            Shape::End if self.is_zero_from(end)? => Verdict::Clean { end },
            // Case 11.
            Shape::End => torn("no record, but other bytes after it, which were never durable"),
            // Case 12.
            Shape::Short | Shape::NoMark { .. } => torn(&failure.reason),
            // Case 13.
            Shape::BadSum { .. } => {
                self.damaged(failure, "it may have been durable, and ZooKeeper refuses it as well")
            }
            // Case 14.
            Shape::BadLength { .. } | Shape::Whole(_) => {
                self.damaged(failure, "no such record is ever written")
            }
        })
    }

    /// Cases 1 to 9 of the lists at the top. `start` is the beginning of the group that failed.
    pub(super) fn judge_guarded(&mut self, start: u64, failure: &Failure) -> io::Result<Verdict> {
        let end = failure.offset;
        assert!(start <= end, "a group fails inside itself, not at {end} before {start}");
        assert!(end <= self.window.bytes_total(), "whole records lie inside the file");
        let passable = failure.shape.is_passable();
        let torn = |reason: String| Verdict::TornTail { end, reason, passable };
        let view = self.view_from(start)?;
        // Case 1.
        if let Some(follower) = view.follower {
            let why = format!("a whole group follows at offset {follower}");
            return Ok(self.damaged(failure, &why));
        }
        // Cases 2 and 3.
        if let Some(guard) = view.own_guard {
            return self.judge_by_guard(start, &guard, failure);
        }
        if self.is_zero_from(end)? {
            // Case 4.
            if end == self.window.bytes_total() || end == start.max(FILE_HEADER_BYTES as u64) {
                return Ok(Verdict::Clean { end });
            }
            // Case 5.
            return Ok(torn("the end of the last group was not written".to_owned()));
        }
        // Case 6.
        // A server may be writing to the file: then a sector that was zero a moment ago is not any more.
        if (end + 1..=self.window.bytes_total()).contains(&view.used_end) {
            let group = self.window.get(start, view.used_end)?;
            let entry = &group[..group.len() - RECORD_TAIL_BYTES];
            if Guard::was_at_end_of(entry, start, view.used_end - start) {
                return Ok(self.damaged(failure, "the group was written whole, its guard is wrong"));
            }
        }
        match failure.shape {
            // Case 7.
            Shape::BadLength { .. } | Shape::Whole(_) => {
                return Ok(self.damaged(failure, "no such record is ever written"));
            }
            // Case 8.
            Shape::BadSum { end: record_end } | Shape::NoMark { end: record_end } => {
                let from = sector_of(end);
                let to = record_end.next_multiple_of(SECTOR_BYTES as u64);
                if missing_sectors(from, self.window.get(from, to)?) == 0 {
                    return Ok(self.damaged(failure, "all of its sectors were written"));
                }
            }
            Shape::End | Shape::Short => (),
        }
        // Case 9.
        Ok(torn(format!("{}; its group was not written to the end", failure.reason)))
    }

    /// Looks at every sector from `start`, the beginning of a group, to the end of the file.
    fn view_from(&mut self, start: u64) -> io::Result<View> {
        let mut view = View { follower: None, own_guard: None, used_end: sector_of(start) };
        let mut sector_start = sector_of(start);
        while sector_start < self.window.bytes_total() {
            let sector_end = sector_start + SECTOR_BYTES as u64;
            let sector = self.window.get(sector_start, sector_end)?;
            if !is_zero(sector) {
                view.used_end = sector_end;
            }
            let guard = if sector.len() == SECTOR_BYTES {
                Guard::at_end_of(&sector[..SECTOR_BYTES - RECORD_TAIL_BYTES])
            } else {
                None
            };
            match guard {
                Some(guard) if guard.ends(start, sector_end) => view.own_guard = Some(guard),
                Some(guard)
                    if guard.offset > start
                        && guard.ends(guard.offset, sector_end)
                        && self.is_whole_group(&guard)? =>
                {
                    view.follower = Some(guard.offset);
                    return Ok(view);
                }
                _ => (),
            }
            sector_start = sector_end;
        }
        Ok(view)
    }

    /// Cases 2 and 3: the group's guard is there, but the group does not match it.
    fn judge_by_guard(
        &mut self,
        start: u64,
        guard: &Guard,
        failure: &Failure,
    ) -> io::Result<Verdict> {
        assert!(guard.offset == start, "the guard is the group's own");
        let found = missing_sectors(start, self.window.get(start, start + u64::from(guard.bytes))?);
        // Case 2.
        if found > guard.zero_sectors && guard.previous == self.previous {
            let missing = found - guard.zero_sectors;
            let reason =
                format!("{}; {missing} sectors of its group were not written", failure.reason);
            let passable = failure.shape.is_passable();
            return Ok(Verdict::TornTail { end: failure.offset, reason, passable });
        }
        // Case 3.
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
            // Its last record contains the guard. One that leads beyond is not of this group.
            match (at + bytes).cmp(&end) {
                Ordering::Less => at += bytes,
                Ordering::Equal => break,
                Ordering::Greater => return Ok(false),
            }
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

/// The beginning of the sector that contains this offset.
fn sector_of(offset: u64) -> u64 {
    offset / SECTOR_BYTES as u64 * SECTOR_BYTES as u64
}

/// How many sectors of `bytes`, which begin at `offset`, a write may not have reached: those of
/// zeroes, and the file's first one if it still is as prepared, with a header and no record.
fn missing_sectors(offset: u64, bytes: &[u8]) -> u32 {
    let only_header =
        offset == 0 && bytes.get(FILE_HEADER_BYTES..SECTOR_BYTES).is_some_and(is_zero);
    zero_sectors(bytes) + u32::from(only_header)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::txnlog::tests::create;
    use crate::txnlog::{plain_header, put_plain_record};

    #[test]
    fn a_record_that_leads_beyond_a_group_does_not_belong_to_it() {
        let mut file = plain_header().to_vec();
        put_plain_record(&mut file, &create(1, b""));
        let second = file.len() as u64;
        put_plain_record(&mut file, &create(2, b""));
        let mut reader = Reader::open(Cursor::new(&file)).unwrap();
        for beyond in 1..20 {
            let bytes = u32::try_from(second + beyond).unwrap();
            let guard = Guard { bytes, offset: 0, previous: 0, zero_sectors: 0, crc: 0 };
            assert!(!reader.is_whole_group(&guard).unwrap(), "{beyond} bytes of a record");
        }
    }
}
