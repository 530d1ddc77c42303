//! A group being filled: one record after the other, in the buffer that goes to the disk.

use simd_adler32::Adler32;

use super::format::{
    DIGEST_BYTES, END_OF_RECORD, FILE_HEADER_BYTES, GUARD_BYTES, Guard, RECORD_HEAD_BYTES,
    RECORD_TAIL_BYTES, file_header,
};
use crate::id::Zxid;
use crate::io::AlignedBuf;
use crate::proto::opcode::OpCode;
use crate::proto::txn::{Txn, TxnBody, TxnHeader};

/// Records that go to the disk in one write.
///
/// Every record in it is complete at any time; sealing changes only the last one:
/// ```text
/// 0 ──────────┬──────────────┬─────────────────────────┬
///   records   │ last record  │ room, enough for what   │
///             │              │ sealing adds            │
///         last.start       used                    buf.len()
/// ```
/// Invariant: `last.start < used ≤ buf.len()`.
pub(super) struct Group {
    /// What goes to the disk.
    buf: AlignedBuf,
    /// Bytes of all records, end marks included: the next record begins here.
    used: usize,
    /// The last record, whose length grows to the end of the block; `None` in an empty group.
    last: Option<LastRecord>,
    /// Zxid of the first transaction: the name of the file, if the group starts one. Zero in an empty group.
    first_zxid: Zxid,
    /// Transactions, without a filler.
    txns: u32,
}

/// What sealing needs to know about the last record.
struct LastRecord {
    /// Its zxid. Invariant: not below that of any record before it.
    zxid: Zxid,
    /// Its header, which a filler repeats.
    header: TxnHeader,
    /// Offset of its checksum.
    start: usize,
    /// Checksum of its entry without padding, which the padding continues.
    adler: u32,
    /// Whether it ends with a digest; if not, zeroes stand for one.
    has_digest: bool,
    /// Whether it must not be padded; see [`is_ambiguous`].
    ambiguous: bool,
}

/// A sealed group, ready to be written.
pub(super) struct Sealed {
    /// The first `guard.bytes` of it are the group.
    pub buf: AlignedBuf,
    /// The guard at its end.
    pub guard: Guard,
    /// Zxid of its last transaction.
    pub last_zxid: Zxid,
    /// Its transactions.
    pub txns: u32,
}

/// Bytes that sealing may add to the records, before rounding up to blocks: the file's header, a
/// filler record, zeroes for a digest, the guard.
const SEAL_BYTES_MAX: usize =
    FILE_HEADER_BYTES + RECORD_HEAD_BYTES + FILLER_ENTRY_BYTES + DIGEST_BYTES + GUARD_BYTES + 1;
/// Header and body of an error transaction.
const FILLER_ENTRY_BYTES: usize = TxnHeader::BYTES + 4;

impl Group {
    /// An empty group in `buf`, whose content is ignored.
    pub fn new(buf: AlignedBuf) -> Group {
        Group { buf, used: 0, last: None, first_zxid: Zxid::ZERO, txns: 0 }
    }

    /// The capacity that a group of one transaction with an entry of `entry_bytes` needs.
    pub fn capacity_for(entry_bytes: usize) -> usize {
        RECORD_HEAD_BYTES + entry_bytes + RECORD_TAIL_BYTES + SEAL_BYTES_MAX
    }

    /// Adds a transaction, for which there [is room](Group::fits).
    pub fn push(&mut self, txn: &Txn) {
        assert!(self.fits(txn.bytes().len()), "the caller asked whether it fits");
        assert!(self.is_empty() || txn.zxid() >= self.last_zxid(), "zxids never go back");
        if self.last.is_none() {
            self.first_zxid = txn.zxid();
        }
        self.push_entry(txn.bytes(), txn.header(), txn.digest_after().is_some(), is_ambiguous(txn));
        self.txns += 1;
    }

    /// Pads the group to whole blocks and adds its guard. It will be written at `offset` of its
    /// file, after the group whose CRC is `previous`.
    pub fn seal(mut self, block_bytes: usize, offset: u64, previous: u32) -> Sealed {
        assert!(self.last.is_some(), "a group that is written holds a transaction");
        assert!(offset.is_multiple_of(block_bytes as u64), "a group begins on a block");
        let bytes_max = self.sealed_bytes_max(block_bytes);
        if self.last.as_ref().is_some_and(|last| last.ambiguous) {
            self.push_filler();
        }
        if offset == 0 {
            self.insert_file_header();
        }
        let bytes = self.sealed_bytes(block_bytes);
        assert!(bytes <= bytes_max, "the writer reserved room for the sealed group");
        assert!(bytes <= self.buf.len());
        let Some(last) = self.last else { unreachable!("asserted above") };

        let entry_start = last.start + RECORD_HEAD_BYTES;
        let content_end = self.used - RECORD_TAIL_BYTES;
        let entry_end = bytes - RECORD_TAIL_BYTES;
        let entry_bytes =
            u32::try_from(entry_end - entry_start).expect("a record is far below 4 GiB");
        let group = &mut self.buf[..bytes];
        group[content_end..].fill(0);
        group[last.start + 8..entry_start].copy_from_slice(&entry_bytes.to_be_bytes());

        // Three checksums depend on each other. The guard's CRC covers the record's Adler-32, which
        // covers the guard: so the Adler field is zero while the CRC is computed, for reader and
        // writer.
        let adler_field = last.start..last.start + 8;
        group[adler_field.clone()].fill(0);
        let guard = Guard::put(group, offset, previous);
        let mut adler = Adler32::from_checksum(last.adler);
        adler.write(&group[content_end..entry_end]);
        group[adler_field].copy_from_slice(&u64::from(adler.finish()).to_be_bytes());
        group[entry_end] = END_OF_RECORD;
        let read_back = Guard::at_end_of(&group[..entry_end]);
        assert!(read_back == Some(guard), "a guard is read as it was written");

        Sealed { buf: self.buf, guard, last_zxid: last.zxid, txns: self.txns }
    }

    /// Whether an entry of this length fits, including everything that sealing may add.
    pub fn fits(&self, entry_bytes: usize) -> bool {
        self.used + Group::capacity_for(entry_bytes) <= self.buf.len()
    }

    /// An upper bound of the sealed size, after one more entry of this length.
    pub fn sealed_bytes_with(&self, entry_bytes: usize, block_bytes: usize) -> usize {
        (self.used + Group::capacity_for(entry_bytes)).next_multiple_of(block_bytes)
    }

    /// An upper bound of the sealed size as it is.
    pub fn sealed_bytes_max(&self, block_bytes: usize) -> usize {
        (self.used + SEAL_BYTES_MAX).next_multiple_of(block_bytes)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Zxid of the first transaction, zero if there is none.
    pub fn first_zxid(&self) -> Zxid {
        self.first_zxid
    }

    /// Zxid of the last transaction, zero if there is none.
    pub fn last_zxid(&self) -> Zxid {
        self.last.as_ref().map_or(Zxid::ZERO, |last| last.zxid)
    }

    /// Transactions in it.
    pub fn txns(&self) -> u32 {
        self.txns
    }

    /// The buffer, as it is.
    pub fn buf(&self) -> &AlignedBuf {
        &self.buf
    }

    /// Returns the buffer of a group that was not written.
    pub fn into_buf(self) -> AlignedBuf {
        self.buf
    }

    fn sealed_bytes(&self, block_bytes: usize) -> usize {
        let digest = match &self.last {
            Some(last) if last.has_digest => 0,
            _ => DIGEST_BYTES,
        };
        (self.used + digest + GUARD_BYTES).next_multiple_of(block_bytes)
    }

    fn push_entry(&mut self, entry: &[u8], header: &TxnHeader, has_digest: bool, ambiguous: bool) {
        let start = self.used;
        let entry_start = start + RECORD_HEAD_BYTES;
        let entry_end = entry_start + entry.len();
        let mut adler = Adler32::new();
        adler.write(entry);
        let adler = adler.finish();
        let entry_bytes = u32::try_from(entry.len()).expect("a record is far below 4 GiB");
        let buf = &mut self.buf[..];
        buf[start..start + 8].copy_from_slice(&u64::from(adler).to_be_bytes());
        buf[start + 8..entry_start].copy_from_slice(&entry_bytes.to_be_bytes());
        buf[entry_start..entry_end].copy_from_slice(entry);
        buf[entry_end] = END_OF_RECORD;
        self.used = entry_end + RECORD_TAIL_BYTES;
        assert!(self.used <= self.buf.len(), "records leave room for the guard");
        let (zxid, header) = (header.zxid, *header);
        self.last = Some(LastRecord { zxid, header, start, adler, has_digest, ambiguous });
    }

    /// An error transaction that repeats the last zxid. Readers skip it: ZooKeeper itself logs one
    /// like it for a request that it cannot decode.
    fn push_filler(&mut self) {
        let last = self.last.as_ref().expect("the last record asked for the filler");
        let header = TxnHeader { op: OpCode::Error, ..last.header };
        let filler = Txn::new(header, &TxnBody::Error { err: 0 }, None);
        assert_eq!(filler.bytes().len(), FILLER_ENTRY_BYTES);
        self.push_entry(filler.bytes(), &header, false, false);
    }

    /// Moves the records to make room for the header: once per file, at most 1 MiB.
    fn insert_file_header(&mut self) {
        self.buf.copy_within(..self.used, FILE_HEADER_BYTES);
        self.buf[..FILE_HEADER_BYTES].copy_from_slice(&file_header());
        self.used += FILE_HEADER_BYTES;
        if let Some(last) = &mut self.last {
            last.start += FILE_HEADER_BYTES;
        }
    }
}

/// Whether zeroes after the transaction would change how it is read.
///
/// ZooKeeper: a leader with `closeSessionTxn.enabled=false` sends closeSession without a body, and
/// readers take the bytes after it, a digest or zeroes, for a list of paths if they can.
fn is_ambiguous(txn: &Txn) -> bool {
    txn.header().op == OpCode::CloseSession
        && matches!(txn.body(), TxnBody::CloseSession { paths: None })
}
