//! The layout of a snapshot file.
//!
//! ```text
//! header    int magic "ZKSN" | int version 2 | long dbid -1
//! sessions  int count | (long id | int timeout)*
//! acls      int count | (long key | vector<ACL>)*
//! nodes     (ustring path | buffer data | long acl key | StatPersisted)*   parents before children
//!           ustring "/"                                                     the root's path is ""
//! seal      long Adler-32 of every byte before it | ustring "/"
//! digest    long zxid | int version | long digest, seal                     since 3.6
//! last      long zxid, seal                                                 since 3.9
//! ```
//! Each seal covers everything before it, earlier seals included. The parts after the first seal
//! may be missing: older readers stop before them.

/// Bytes of the header.
pub(super) const HEADER_BYTES: usize = 16;
/// "ZKSN".
pub(super) const MAGIC: [u8; 4] = *b"ZKSN";

/// The header of every snapshot.
pub(super) const HEADER: [u8; HEADER_BYTES] =
    [b'Z', b'K', b'S', b'N', 0, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 255];

/// The last bytes of every uncompressed snapshot: the path of a seal.
pub(super) const LAST_BYTES: [u8; 5] = [0, 0, 0, 1, b'/'];
/// Bytes of a seal.
pub(super) const SEAL_BYTES: usize = 13;
/// Bytes of the digest, without its seal.
pub(super) const DIGEST_BYTES: usize = 20;
/// Bytes of the last zxid, without its seal.
pub(super) const LAST_ZXID_BYTES: usize = 8;

/// How a snapshot is compressed; the extension of its name shows it (`SnapStream.StreamMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.snappy`, in the blocks of snappy-java.
    Snappy,
}

impl Compression {
    /// The compression that a file's name shows. A server reads only the names in
    /// [`plan`](crate::txnlog::plan); the commands that inspect a file accept any.
    pub fn of_name(name: &str) -> Compression {
        // ZooKeeper: SnapStream.getStreamMode ignores the case.
        match name.rsplit('.').next() {
            Some(end) if end.eq_ignore_ascii_case("gz") => Compression::Gzip,
            Some(end) if end.eq_ignore_ascii_case("snappy") => Compression::Snappy,
            _ => Compression::None,
        }
    }
}
