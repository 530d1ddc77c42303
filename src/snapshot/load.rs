//! Reading snapshots: their parts, and a database built from them.
//!
//! Reading is streamed, whatever the size of the file: memory holds one node and the database. Lengths are
//! checked before anything is allocated, and a value grows only with the bytes that really exist.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::format::{
    Compression, DIGEST_BYTES, HEADER_BYTES, LAST_BYTES, LAST_ZXID_BYTES, MAGIC, SEAL_BYTES,
};
use super::input::Input;
use super::snappy::{self, SnappyReader};
use crate::acl::AclId;
use crate::database::{Database, DatabaseBuilder, DatabaseOptions, LoadError};
use crate::id::{SessionId, Zxid};
use crate::jute::Jute;
use crate::limits;
use crate::proto::data::{AclVector, StatPersisted};

/// Why a file is not a usable snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file cannot be read, or its compression is broken.
    #[error("cannot be read at offset {offset}: {error}")]
    Io {
        /// How much of the (uncompressed) stream was read.
        offset: u64,
        /// The system's error.
        error: io::Error,
    },
    /// The bytes are not those of a snapshot.
    #[error("malformed at offset {offset}: {reason}")]
    Malformed {
        /// The offset in the uncompressed stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are not those that were written.
    #[error("the checksum at offset {offset} is wrong")]
    Checksum {
        /// The offset of the seal in the uncompressed stream.
        offset: u64,
    },
    /// The parts do not make a tree.
    #[error("before offset {offset}: {error}")]
    Tree {
        /// How much of the uncompressed stream was read.
        offset: u64,
        /// What does not fit.
        error: LoadError,
    },
}

/// Receives the parts of a snapshot, in the order of the file.
pub trait Parts {
    /// A session and its timeout in ms.
    fn session(&mut self, id: SessionId, timeout_ms: i32);
    /// An ACL and the key under which nodes name it.
    fn acl(&mut self, key: AclId, acl: AclVector<'_>);
    /// A node; the root's path is empty.
    ///
    /// # Errors
    /// The node does not fit those before it.
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
    ) -> Result<(), LoadError>;
    /// Called from time to time with the amount read of the uncompressed stream.
    fn progress(&mut self, bytes: u64, nodes: u64);
}

/// The digest stored in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The zxid whose state it describes.
    pub zxid: Zxid,
    /// Version of the algorithm.
    pub version: i32,
    /// The digest.
    pub digest: i64,
}

/// The parts after the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailers {
    /// The digest, if there is one (with zxid 0 it has no meaning).
    pub digest: Option<Digest>,
    /// The last zxid processed when the snapshot was complete, if stored.
    pub last_zxid: Option<Zxid>,
    /// Number of nodes.
    pub nodes: u64,
    /// Length of the uncompressed stream.
    pub bytes: u64,
}

/// A database from a snapshot.
#[derive(Debug)]
pub struct Loaded {
    /// The state, ready for replay.
    pub database: Database,
    /// The parts after the nodes.
    pub trailers: Trailers,
}

/// Nodes between two calls of [`Parts::progress`].
const PROGRESS_NODES: u64 = 10_000;

/// Reads a snapshot named after `zxid` into a database.
///
/// ZooKeeper: the zxid of the name counts, not the one in the file (`FileSnap.deserialize`).
///
/// # Errors
/// It cannot be read, is not whole, or is not a tree.
pub fn load(
    source: &mut dyn Read,
    compression: Compression,
    zxid: Zxid,
    options: DatabaseOptions,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Loaded, SnapshotError> {
    struct Build<'a> {
        builder: DatabaseBuilder,
        progress: &'a mut dyn FnMut(u64, u64),
    }
    impl Parts for Build<'_> {
        fn session(&mut self, id: SessionId, timeout_ms: i32) {
            self.builder.session(id, timeout_ms);
        }
        fn acl(&mut self, key: AclId, acl: AclVector<'_>) {
            self.builder.acl(key, acl);
        }
        fn node(
            &mut self,
            path: &str,
            data: Option<&[u8]>,
            acl: AclId,
            stat: StatPersisted,
        ) -> Result<(), LoadError> {
            self.builder.node(path, data, acl, stat)
        }
        fn progress(&mut self, bytes: u64, nodes: u64) {
            (self.progress)(bytes, nodes);
        }
    }
    let mut build = Build { builder: DatabaseBuilder::new(options), progress };
    let trailers = read(source, compression, &mut build)?;
    let mut builder = build.builder;
    // ZooKeeper: zxid 0 stands for no digest, and a digest from before the snapshot's zxid (a new leader's
    // first) does not describe it (`DataTree.deserializeZxidDigest`).
    if let Some(Digest { zxid: at, version, digest }) = trailers.digest
        && at > Zxid::ZERO
        && at >= zxid
    {
        builder.digest(at, version, digest);
    }
    // A tree from a leader that applied more transactions while it sent the tree; or one of a ZooKeeper
    // server that had just loaded it.
    if trailers.digest.is_some_and(|digest| digest.zxid == Zxid::ZERO) && zxid > Zxid::ZERO {
        builder.fuzzy();
    }
    let database = builder
        .finish(zxid)
        .map_err(|error| SnapshotError::Tree { offset: trailers.bytes, error })?;
    Ok(Loaded { database, trailers })
}

/// Reads a snapshot and passes on its parts. They are valid only if this succeeds.
///
/// # Errors
/// It cannot be read or is not whole.
pub fn read(
    source: &mut dyn Read,
    compression: Compression,
    parts: &mut dyn Parts,
) -> Result<Trailers, SnapshotError> {
    match compression {
        Compression::None => Walk::new(source).run(parts),
        Compression::Gzip => Walk::new(MultiGzDecoder::new(source)).run(parts),
        Compression::Snappy => Walk::new(SnappyReader::new(source)).run(parts),
    }
}

/// The state of a file according to its first and last bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It may be a whole snapshot.
    Finished,
    /// Its writer did not reach the end; ZooKeeper leaves such files, because it writes under the final
    /// name.
    Unfinished,
    /// It has a valid end, but a beginning that no writer writes.
    Damaged,
}

/// Checks both ends of a file (`SnapStream`): this finds an unfinished file, instead of an error in the
/// middle. `first` and `last`: at least 8 bytes each, or the whole file.
// ZooKeeper: does not take a compressed file with a wrong beginning for a snapshot, and a server that has
// no other snapshot begins without data.
pub fn look(compression: Compression, first: &[u8], last: &[u8]) -> Look {
    let (magic, has_end): (&[u8], bool) = match compression {
        Compression::None => (&MAGIC, last.ends_with(&LAST_BYTES)),
        // Its end shows nothing; a power failure leaves zeroes in a file.
        Compression::Gzip => (&[0x1f, 0x8b], first.iter().any(|byte| *byte != 0)),
        Compression::Snappy => (&snappy::MAGIC, first.iter().any(|byte| *byte != 0)),
    };
    match (has_end, first.starts_with(magic)) {
        (true, true) => Look::Finished,
        (true, false) if first.len() >= magic.len() => Look::Damaged,
        _ => Look::Unfinished,
    }
}

/// A walk through a snapshot, part by part.
struct Walk<R> {
    /// The uncompressed stream.
    input: Input<R>,
    /// The path of the present node; its memory is used again.
    text: Vec<u8>,
    /// Its data, or the present ACL.
    data: Vec<u8>,
}

impl<R: Read> Walk<R> {
    fn new(source: R) -> Walk<R> {
        Walk { input: Input::new(source), text: Vec::new(), data: Vec::new() }
    }

    fn run(mut self, parts: &mut dyn Parts) -> Result<Trailers, SnapshotError> {
        let header = self.io(Input::array::<HEADER_BYTES>)?;
        if header[..4] != MAGIC {
            return Err(self.malformed("it does not begin with \"ZKSN\""));
        }
        for _ in 0..self.count("sessions")? {
            let id = SessionId(self.io(Input::i64)?);
            let timeout_ms = self.io(Input::i32)?;
            parts.session(id, timeout_ms);
        }
        for _ in 0..self.count("ACLs")? {
            let key = AclId(self.io(Input::i64)?);
            self.acl_vector()?;
            let acl = AclVector::from_bytes(&self.data)
                .map_err(|error| self.malformed(&format!("an ACL: {error}")))?;
            parts.acl(key, acl);
        }
        let nodes = self.nodes(parts)?;
        assert!(self.input.offset() > HEADER_BYTES as u64, "a node takes bytes");
        self.seal()?;
        let (digest, last_zxid) = self.trailers()?;
        let bytes = self.input.offset();
        parts.progress(bytes, nodes);
        Ok(Trailers { digest, last_zxid, nodes, bytes })
    }

    /// Reads everything up to the path "/", and returns the number of nodes.
    fn nodes(&mut self, parts: &mut dyn Parts) -> Result<u64, SnapshotError> {
        let mut nodes = 0;
        loop {
            let Some(bytes) = self.length("path")? else {
                return Err(self.malformed("a node without a path"));
            };
            self.fill_text(bytes)?;
            if self.text == b"/" {
                return Ok(nodes);
            }
            let data = self.length("data")?;
            self.data.clear();
            if let Some(bytes) = data {
                let got = self.input.take(bytes, &mut self.data);
                got.map_err(|error| self.failed(error))?;
            }
            let acl = AclId(self.io(Input::i64)?);
            let stat = self.stat()?;
            let offset = self.input.offset();
            let Ok(path) = std::str::from_utf8(&self.text) else {
                return Err(self.malformed("a path that is not UTF-8"));
            };
            let data = data.map(|_| &self.data[..]);
            parts
                .node(path, data, acl, stat)
                .map_err(|error| SnapshotError::Tree { offset, error })?;
            nodes += 1;
            if nodes % PROGRESS_NODES == 0 {
                parts.progress(offset, nodes);
            }
        }
    }

    fn stat(&mut self) -> Result<StatPersisted, SnapshotError> {
        let bytes = self.io(Input::array::<60>)?;
        StatPersisted::from_bytes(&bytes)
            .map_err(|error| self.malformed(&format!("a node's stat: {error}")))
    }

    /// Reads an ACL list, and copies it into `data` unchanged.
    fn acl_vector(&mut self) -> Result<(), SnapshotError> {
        let count = self.io(Input::i32)?;
        self.data.clear();
        self.data.extend_from_slice(&count.to_be_bytes());
        for _ in 0..count.max(0) {
            self.copy(4)?;
            for _ in 0..2 {
                let at = self.data.len();
                self.copy(4)?;
                let [a, b, c, d] = self.data[at..] else { unreachable!("4 bytes were copied") };
                let bytes = self.checked("scheme or id", i32::from_be_bytes([a, b, c, d]))?;
                self.copy(bytes.unwrap_or(0))?;
            }
        }
        Ok(())
    }

    fn copy(&mut self, bytes: usize) -> Result<(), SnapshotError> {
        if self.data.len() + bytes > limits::LOG_RECORD_BYTES_MAX as usize {
            return Err(self.malformed("an ACL longer than anything that is ever written"));
        }
        let got = self.input.append(bytes, &mut self.data);
        got.map_err(|error| self.failed(error))
    }

    fn fill_text(&mut self, bytes: usize) -> Result<(), SnapshotError> {
        let got = self.input.take(bytes, &mut self.text);
        got.map_err(|error| self.failed(error))
    }

    /// Reads and checks the checksum of everything so far, and "/".
    fn seal(&mut self) -> Result<(), SnapshotError> {
        let offset = self.input.offset();
        let expected = self.input.adler();
        let seal = self.io(Input::array::<SEAL_BYTES>)?;
        let [sum @ .., _, _, _, _, _] = seal;
        if u64::from_be_bytes(sum) != u64::from(expected) {
            return Err(SnapshotError::Checksum { offset });
        }
        // ZooKeeper: checkSealIntegrity reads the path and does not check it.
        Ok(())
    }

    /// Reads digest and last zxid; their lengths show which of them exist.
    fn trailers(&mut self) -> Result<(Option<Digest>, Option<Zxid>), SnapshotError> {
        let mut digest = None;
        if self.input.is_at_end().map_err(|error| self.failed(error))? {
            return Ok((None, None));
        }
        let first = self.io(Input::array::<{ LAST_ZXID_BYTES }>)?;
        let sum = self.input.adler();
        let rest = self.io(Input::array::<{ DIGEST_BYTES - LAST_ZXID_BYTES }>)?;
        // A last zxid alone, as with digest.enabled=false: what follows it is its seal.
        if rest[..8] == u64::from(sum).to_be_bytes() {
            self.io(Input::array::<{ SEAL_BYTES - (DIGEST_BYTES - LAST_ZXID_BYTES) }>)?;
            return Ok((None, Some(Zxid(i64::from_be_bytes(first)))));
        }
        let [version @ .., _, _, _, _, _, _, _, _] = rest;
        let [_, _, _, _, value @ ..] = rest;
        digest.replace(Digest {
            zxid: Zxid(i64::from_be_bytes(first)),
            version: i32::from_be_bytes(version),
            digest: i64::from_be_bytes(value),
        });
        self.seal()?;
        if self.input.is_at_end().map_err(|error| self.failed(error))? {
            return Ok((digest, None));
        }
        let last = Zxid(self.io(Input::i64)?);
        self.seal()?;
        Ok((digest, Some(last)))
    }

    fn count(&mut self, what: &str) -> Result<i32, SnapshotError> {
        let count = self.io(Input::i32)?;
        // ZooKeeper: its loops that count down to 0 treat a negative count as 0.
        if count < -1 {
            return Err(self.malformed(&format!("{count} {what}")));
        }
        Ok(count.max(0))
    }

    fn length(&mut self, what: &str) -> Result<Option<usize>, SnapshotError> {
        let length = self.io(Input::i32)?;
        self.checked(what, length)
    }

    fn checked(&mut self, what: &str, length: i32) -> Result<Option<usize>, SnapshotError> {
        match u32::try_from(length) {
            Ok(bytes) if bytes <= limits::LOG_RECORD_BYTES_MAX => Ok(Some(bytes as usize)),
            Err(_) if length == -1 => Ok(None),
            _ => Err(self.malformed(&format!("{what} of {length} bytes"))),
        }
    }

    fn io<T>(&mut self, take: fn(&mut Input<R>) -> io::Result<T>) -> Result<T, SnapshotError> {
        take(&mut self.input).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> SnapshotError {
        let offset = self.input.offset();
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return SnapshotError::Malformed { offset, reason: "it ends too early".to_owned() };
        }
        SnapshotError::Io { offset, error }
    }

    fn malformed(&self, reason: &str) -> SnapshotError {
        SnapshotError::Malformed { offset: self.input.offset(), reason: reason.to_owned() }
    }
}
