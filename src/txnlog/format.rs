//! The layout of a log file, and of the guard that our groups carry.
//!
//! ```text
//! file     header 16 bytes, then records, then zeroes
//! header   int magic "ZKLG" | int version 2 | long dbid 0
//! record   long Adler-32 of the entry | int len | entry: len bytes | byte 0x42
//! entry    TxnHeader | body | [TxnDigest] | anything, which no reader looks at
//! ```
//! Our writer puts records into groups, one per disk write. A group begins and ends on a block
//! boundary of the file (the first one of a file includes the header). What a group lacks to a
//! whole block is added to the entry of its last record, behind what readers look at:
//! ```text
//! last     TxnHeader | body | TxnDigest or 12 zeroes | zeroes | guard 24 bytes       then 0x42
//! guard    "RKG1" | u32 bytes of the group | u64 its offset in the file
//!          | u32 CRC-32C of the group before it (0 for the first of a file)
//!          | u32 CRC-32C of the group's bytes up to here, with the Adler-32 of its last
//!            record taken for zero (that one covers the guard)
//! ```
//! 12 zeroes stand for a missing digest: a reader would take what follows the body for one, and
//! version 0 is no version that it compares. The guard's own offset tells a stale or misplaced
//! block, its link to the guard before it a group that is missing, its CRC a torn or damaged one.
//! Since it ends on a block boundary, groups are found again behind damage.

/// Bytes of a file's header.
pub const FILE_HEADER_BYTES: usize = 16;

const FILE_MAGIC: [u8; 4] = *b"ZKLG";
const FILE_VERSION: u32 = 2;

/// Bytes of a record before its entry: checksum and length.
pub(super) const RECORD_HEAD_BYTES: usize = 12;
/// Bytes of a record behind its entry: the end mark.
pub(super) const RECORD_TAIL_BYTES: usize = 1;
/// The end mark of a record, `'B'`.
pub(super) const END_OF_RECORD: u8 = 0x42;
/// Bytes of a [`TxnDigest`](crate::proto::txn::TxnDigest).
pub(super) const DIGEST_BYTES: usize = 12;

/// Bytes of a guard.
pub(super) const GUARD_BYTES: usize = 24;
const GUARD_MAGIC: [u8; 4] = *b"RKG1";
/// Bytes of a guard that its own CRC covers.
const GUARD_CRC_AT: usize = 20;

/// The unit in which a disk writes: a write may be torn between two, never within one.
pub(super) const SECTOR_BYTES: usize = 512;

/// The header of every log file.
pub const fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let [a, b, c, d] = FILE_MAGIC;
    let [e, f, g, h] = FILE_VERSION.to_be_bytes();
    // ZooKeeper: the dbid is 0 in every log that a server writes.
    [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// The end of one of our groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// Bytes of the whole group, a multiple of the block.
    pub bytes: u32,
    /// Where the group begins in its file.
    pub offset: u64,
    /// The CRC of the group before it in the file; 0 if it is the first.
    pub previous: u32,
    /// CRC-32C of the group up to the CRC itself.
    pub crc: u32,
}

impl Guard {
    /// Writes the guard of `group`, which is complete but for it, its end mark, and the checksum of
    /// its last record, which is zero.
    pub fn put(group: &mut [u8], offset: u64, previous: u32) -> Guard {
        let bytes = u32::try_from(group.len()).expect("a group is far below 4 GiB");
        let start = group.len() - RECORD_TAIL_BYTES - GUARD_BYTES;
        let crc_at = start + GUARD_CRC_AT;
        group[start..start + 4].copy_from_slice(&GUARD_MAGIC);
        group[start + 4..start + 8].copy_from_slice(&bytes.to_be_bytes());
        group[start + 8..start + 16].copy_from_slice(&offset.to_be_bytes());
        group[start + 16..crc_at].copy_from_slice(&previous.to_be_bytes());
        let crc = crc32c::crc32c(&group[..crc_at]);
        group[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
        Guard { bytes, offset, previous, crc }
    }

    /// What stands at the end of `entry`, if it looks like a guard. Nothing of it is checked yet.
    pub fn at_end_of(entry: &[u8]) -> Option<Guard> {
        let guard = entry.last_chunk::<GUARD_BYTES>()?;
        let word = |at: usize| {
            u32::from_be_bytes([guard[at], guard[at + 1], guard[at + 2], guard[at + 3]])
        };
        if guard[..4] != GUARD_MAGIC {
            return None;
        }
        let offset = (u64::from(word(8)) << 32) | u64::from(word(12));
        Some(Guard { bytes: word(4), offset, previous: word(16), crc: word(GUARD_CRC_AT) })
    }
}

/// How many bytes of a group's end its CRC does not cover: the CRC itself and the end mark.
pub(super) const GUARD_UNCOVERED_BYTES: usize = GUARD_BYTES - GUARD_CRC_AT + RECORD_TAIL_BYTES;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_read_as_it_was_written() {
        let mut group = vec![7u8; 512];
        let put = Guard::put(&mut group, 0x1_0000_2000, 99);
        let entry = &group[..group.len() - RECORD_TAIL_BYTES];
        assert_eq!(Guard::at_end_of(entry), Some(put));
        assert_eq!((put.bytes, put.offset, put.previous), (512, 0x1_0000_2000, 99));
        let covered = group.len() - GUARD_UNCOVERED_BYTES;
        assert_eq!(crc32c::crc32c(&group[..covered]), put.crc);
        assert_eq!(Guard::at_end_of(&group[..group.len() - 2]), None);
    }
}
