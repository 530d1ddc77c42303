//! The layout of a log file, and of the guard in our groups.
//!
//! ```text
//! file     header 16 bytes, then records, then zeroes
//! header   int magic "ZKLG" | int version 2 | long dbid
//! record   long Adler-32 of the entry | int len | entry: len bytes | byte 0x42
//! entry    TxnHeader | body | [TxnDigest] | anything, which all readers ignore
//! ```
//! Our writer puts records into groups, one per disk write. A group begins and ends on a block
//! boundary of the file (the first one of a file includes the header). The padding to a whole block
//! is added to the entry of its last record, after the part that readers use:
//! ```text
//! last     TxnHeader | body | TxnDigest or 12 zeroes | zeroes | guard 32 bytes       then 0x42
//! guard    "RKG1" | u32 bytes of the group | u64 its offset in the file
//!          | u32 CRC-32C of the group before it (0 for the first of a file)
//!          | u32 how many sectors (512 bytes) of the group are all zero
//!          | u32 CRC-32C of the group's bytes up to here, with the Adler-32 of its last
//!            record taken for zero (that one covers the guard)
//!          | u32 CRC-32C of the guard up to here
//! ```
//! 12 zeroes stand for a missing digest: a reader would take the bytes after the body for a digest,
//! and never compares version 0. The guard's own offset shows a stale or misplaced block, its link
//! to the previous guard a missing group, its CRC a torn or damaged group, and the count of zero
//! sectors distinguishes torn from damaged. Since a group ends on a block boundary, later groups
//! can be found after damage.
//!
//! The header's dbid marks files with such groups; ZooKeeper writes it as 0 and never reads it. So
//! a file whose very first group is torn is not mistaken for one of ZooKeeper's.

use simd_adler32::adler32;

use crate::proto::txn::Txn;

/// Bytes of a file's header.
pub const FILE_HEADER_BYTES: usize = 16;

const FILE_MAGIC: [u8; 4] = *b"ZKLG";
const FILE_VERSION: u32 = 2;
/// The dbid of files whose groups are guarded.
const GUARDED_DBID: [u8; 8] = *b"ringkpr1";

/// Bytes of a record before its entry: checksum and length.
pub(super) const RECORD_HEAD_BYTES: usize = 12;
/// Bytes of a record after its entry: the end mark.
pub(super) const RECORD_TAIL_BYTES: usize = 1;
/// The end mark of a record, `'B'`.
pub(super) const END_OF_RECORD: u8 = 0x42;
/// Bytes of a [`TxnDigest`](crate::proto::txn::TxnDigest).
pub(super) const DIGEST_BYTES: usize = 12;

/// Bytes of a guard.
pub(super) const GUARD_BYTES: usize = 32;
const GUARD_MAGIC: [u8; 4] = *b"RKG1";
/// Bytes of a guard that its own CRC covers.
const GUARD_CRC_AT: usize = 24;
/// Offset of a guard's own checksum in the guard.
const GUARD_SUM_AT: usize = 28;
/// How many bytes of a group's end its CRC does not cover: both CRCs and the end mark.
pub(super) const GUARD_UNCOVERED_BYTES: usize = GUARD_BYTES - GUARD_CRC_AT + RECORD_TAIL_BYTES;

/// The unit in which a disk writes: a write may be torn between two, never within one.
pub(super) const SECTOR_BYTES: usize = 512;

// A guard never spans two sectors, so a torn write has all of it or nothing.
const _: () = assert!(GUARD_BYTES + RECORD_TAIL_BYTES <= SECTOR_BYTES);

/// The header of every log file that Ringkeeper writes.
pub const fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let [a, b, c, d] = FILE_MAGIC;
    let [e, f, g, h] = FILE_VERSION.to_be_bytes();
    let [i, j, k, l, m, n, o, p] = GUARDED_DBID;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}

/// The header of a log without groups, as ZooKeeper writes it.
pub const fn plain_header() -> [u8; FILE_HEADER_BYTES] {
    let [a, b, c, d] = FILE_MAGIC;
    let [e, f, g, h] = FILE_VERSION.to_be_bytes();
    [a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Adds a record as ZooKeeper writes it, without padding after the transaction.
pub fn put_plain_record(out: &mut Vec<u8>, txn: &Txn) {
    let entry = txn.bytes();
    let len = i32::try_from(entry.len()).expect("a transaction has a bound far below 2 GiB");
    out.extend_from_slice(&u64::from(adler32(&&entry[..])).to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(entry);
    out.push(END_OF_RECORD);
}

/// The kind of a file according to its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Written by Ringkeeper: groups with guards.
    Guarded,
    /// Written by ZooKeeper: one record after the other.
    Plain,
    /// Not a transaction log.
    Other,
}

impl FileKind {
    /// The kind of the file with this header.
    pub fn of(header: &[u8; FILE_HEADER_BYTES]) -> FileKind {
        // ZooKeeper: FileTxnIterator.inStreamCreated checks only the magic.
        if header[..4] != FILE_MAGIC {
            FileKind::Other
        } else if header[8..] == GUARDED_DBID {
            FileKind::Guarded
        } else {
            FileKind::Plain
        }
    }

    /// Whether a file that ends inside its header may be a log: it has the beginning of a header,
    /// or is empty.
    pub fn may_begin(bytes: &[u8]) -> bool {
        let magic = &FILE_MAGIC[..bytes.len().min(FILE_MAGIC.len())];
        bytes.starts_with(magic) || is_zero(bytes)
    }
}

/// The end of one of our groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guard {
    /// Bytes of the whole group, a multiple of the block.
    pub bytes: u32,
    /// Where the group begins in its file.
    pub offset: u64,
    /// The CRC of the previous group in the file; 0 for the first one.
    pub previous: u32,
    /// Sectors of the group that hold nothing but zeroes.
    pub zero_sectors: u32,
    /// CRC-32C of the group up to the CRC itself.
    pub crc: u32,
}

impl Guard {
    /// Writes the guard of `group`, which is complete except for the guard and the checksum of its
    /// last record, which is zero.
    pub fn put(group: &mut [u8], offset: u64, previous: u32) -> Guard {
        assert!(group.len() > GUARD_BYTES + RECORD_TAIL_BYTES, "a guard has room");
        assert!(group.len().is_multiple_of(SECTOR_BYTES), "a group is whole sectors");
        assert!(offset.is_multiple_of(SECTOR_BYTES as u64));
        let bytes = u32::try_from(group.len()).expect("a group is far below 4 GiB");
        let start = group.len() - RECORD_TAIL_BYTES - GUARD_BYTES;
        let crc_at = start + GUARD_CRC_AT;
        // Neither the checksum of the last record nor the CRC, both still zero, decides whether a
        // sector is zero, because the record's length and the magic are in the same sectors.
        group[start..start + 4].copy_from_slice(&GUARD_MAGIC);
        let zero_sectors = zero_sectors(group);
        group[start + 4..start + 8].copy_from_slice(&bytes.to_be_bytes());
        group[start + 8..start + 16].copy_from_slice(&offset.to_be_bytes());
        group[start + 16..start + 20].copy_from_slice(&previous.to_be_bytes());
        group[start + 20..crc_at].copy_from_slice(&zero_sectors.to_be_bytes());
        let crc = crc32c::crc32c(&group[..crc_at]);
        group[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
        let sum_at = start + GUARD_SUM_AT;
        let sum = crc32c::crc32c(&group[start..sum_at]);
        group[sum_at..sum_at + 4].copy_from_slice(&sum.to_be_bytes());
        Guard { bytes, offset, previous, zero_sectors, crc }
    }

    /// The guard at the end of `entry`, if there is one with a right checksum of its own. This does
    /// not check the group.
    pub fn at_end_of(entry: &[u8]) -> Option<Guard> {
        let guard = entry.last_chunk::<GUARD_BYTES>()?;
        if guard[..4] != GUARD_MAGIC {
            return None;
        }
        let sum = crc32c::crc32c(&guard[..GUARD_SUM_AT]).to_be_bytes();
        (guard[GUARD_SUM_AT..] == sum).then(|| Guard::fields(guard))
    }

    /// Whether `entry` ends with the guard of a group at `offset` with this many bytes, with at
    /// most one field changed.
    pub fn was_at_end_of(entry: &[u8], offset: u64, bytes: u64) -> bool {
        // An entry that is too short has no guard.
        let Some(bytes_found) = entry.last_chunk::<GUARD_BYTES>() else { return false };
        let guard = Guard::fields(bytes_found);
        let magic = bytes_found[..4] == GUARD_MAGIC;
        let (place, size) = (guard.offset == offset, u64::from(guard.bytes) == bytes);
        u8::from(magic) + u8::from(place) + u8::from(size) >= 2
    }

    fn fields(guard: &[u8; GUARD_BYTES]) -> Guard {
        let word = |at: usize| {
            u32::from_be_bytes([guard[at], guard[at + 1], guard[at + 2], guard[at + 3]])
        };
        Guard {
            bytes: word(4),
            offset: (u64::from(word(8)) << 32) | u64::from(word(12)),
            previous: word(16),
            zero_sectors: word(20),
            crc: word(GUARD_CRC_AT),
        }
    }

    /// Whether `group` matches the guard; its last record begins at `last_record`.
    pub fn covers(&self, group: &[u8], last_record: usize) -> bool {
        let end = group.len() - GUARD_UNCOVERED_BYTES;
        // A file that no server has written: the last record of a group contains the guard.
        if last_record + 8 > end {
            return false;
        }
        let crc = crc32c::crc32c(&group[..last_record]);
        let crc = crc32c::crc32c_append(crc, &[0; 8]);
        crc32c::crc32c_append(crc, &group[last_record + 8..end]) == self.crc
    }
}

/// How many whole sectors of `bytes` hold nothing but zeroes.
pub(super) fn zero_sectors(bytes: &[u8]) -> u32 {
    let (sectors, _) = bytes.as_chunks::<SECTOR_BYTES>();
    let zero = sectors.iter().filter(|sector| is_zero(&sector[..])).count();
    u32::try_from(zero).expect("a group is far below 4 GiB")
}

/// Whether all bytes are zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_read_as_it_was_written() {
        let mut group = vec![0u8; 1024];
        group[512..].fill(7);
        let put = Guard::put(&mut group, 0x1_0000_2000, 99);
        let entry = &group[..group.len() - RECORD_TAIL_BYTES];
        assert_eq!(Guard::at_end_of(entry), Some(put));
        assert_eq!((put.bytes, put.offset, put.previous), (1024, 0x1_0000_2000, 99));
        assert_eq!(put.zero_sectors, 1);
        assert!(put.covers(&group, 16));
        assert_eq!(Guard::at_end_of(&group[..group.len() - 2]), None);
    }

    #[test]
    fn a_guard_with_one_wrong_field_is_still_known() {
        let mut group = vec![7u8; 512];
        Guard::put(&mut group, 512, 0);
        let end = group.len() - RECORD_TAIL_BYTES;
        for at in 0..GUARD_BYTES {
            let mut damaged = group.clone();
            damaged[end - GUARD_BYTES + at] ^= 0xff;
            assert!(Guard::was_at_end_of(&damaged[..end], 512, 512), "byte {at}");
        }
        assert!(!Guard::was_at_end_of(&[7; 100], 512, 512));
    }

    #[test]
    fn a_header_says_who_wrote_the_file() {
        let mut header = file_header();
        assert_eq!(FileKind::of(&header), FileKind::Guarded);
        header[8..].fill(0);
        assert_eq!(FileKind::of(&header), FileKind::Plain);
        for bytes in 0..FILE_HEADER_BYTES {
            assert!(
                FileKind::may_begin(&header[..bytes]) && FileKind::may_begin(&[0; 15][..bytes])
            );
        }
        header[0] = 0;
        assert_eq!(FileKind::of(&header), FileKind::Other);
        assert!(!FileKind::may_begin(b"a note") && !FileKind::may_begin(b"Z-"));
    }
}
