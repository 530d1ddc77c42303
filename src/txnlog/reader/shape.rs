//! The bytes at a place where a record could begin.

use std::io::{self, Read, Seek};

use simd_adler32::adler32;

use crate::limits;
use crate::txnlog::format::{END_OF_RECORD, RECORD_HEAD_BYTES, RECORD_TAIL_BYTES};
use crate::txnlog::window::Window;

/// The bytes at a place where a record could begin.
pub(super) enum Shape {
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
    /// See [`Verdict::TornTail`](super::Verdict::TornTail).
    pub fn is_passable(&self) -> bool {
        match self {
            Shape::End | Shape::Short | Shape::NoMark { .. } => true,
            Shape::Whole(_) | Shape::BadLength { .. } | Shape::BadSum { .. } => false,
        }
    }
}

/// The bytes at `offset`. The window keeps everything from `keep` on.
pub(super) fn shape_at<R: Read + Seek>(
    window: &mut Window<R>,
    keep: u64,
    offset: u64,
) -> io::Result<Shape> {
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
    assert!(end > entry_start, "a record has an entry");
    assert!(end <= total, "a whole record lies inside the file");
    Ok(Shape::Whole(end - offset))
}
