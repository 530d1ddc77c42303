//! Reads the whole tree from a leader (`Learner.syncWithLeader`, SNAP), in pieces of any length.
//!
//! The replica feeds each piece as it arrives, and the cost of a piece depends only on its size, so
//! that a tree of gigabytes delays no other work. The bytes may be anything: lengths are checked,
//! nothing is allocated for bytes that are missing, and [`DatabaseBuilder`] checks the tree. Between
//! two pieces the reader keeps at most one incomplete item.

use super::load::SnapshotError;
use super::stream_writer::SIGNATURE;
use crate::acl::AclId;
use crate::database::{Database, DatabaseBuilder, DatabaseOptions};
use crate::id::{SessionId, Zxid};
use crate::jute::{DecodeError, Decoder, Jute};
use crate::limits;
use crate::proto::data::{AclVector, StatPersisted};
use crate::proto::txn::DIGEST_VERSION;

/// Reads a tree from pieces.
/// ```text
/// stream  ───────────────┬─────────────────┬────────────→
///      in the builder    │ held: less than │ to come
///                        │ one item        │
///                     offset
/// ```
/// Invariant: between two pieces `held` is shorter than `wanted`, or empty.
#[derive(Debug)]
pub struct StreamReader {
    /// The zxid of the tree, according to the leader.
    zxid: Zxid,
    /// Its digest, according to the leader; `None` if the state may be a little later.
    digest: Option<i64>,
    /// The database so far.
    builder: DatabaseBuilder,
    /// What comes next in the stream.
    stage: Section,
    /// The beginning of the next item, when a piece ended inside it.
    held: Vec<u8>,
    /// No item can be read before `held` has this many bytes, so nothing is decoded again until then.
    wanted: usize,
    /// Bytes of whole items: where the next one begins, for errors and the log.
    offset: u64,
    /// Whole nodes, for the log.
    nodes: u64,
}

/// What comes next in a stream.
#[derive(Clone, Copy, Debug)]
enum Section {
    /// The number of sessions.
    SessionsCount,
    /// This many sessions are left.
    Sessions(i32),
    /// The number of ACLs.
    AclsCount,
    /// This many ACLs are left.
    Acls(i32),
    /// A node, or the end of the nodes.
    Nodes,
    /// The text after the nodes.
    Signature,
    /// The database or an error was returned.
    Ended,
}

/// The result of a piece.
#[derive(Debug)]
pub enum StreamProgress {
    /// More pieces are needed.
    NeedMore,
    /// The tree is whole.
    Done {
        /// The state, which may be ahead of its zxid: see [`Database::is_fuzzy`].
        database: Box<Database>,
        /// How many bytes of the piece belong to the tree. The rest is not part of it.
        consumed: usize,
    },
}

/// Bytes of one ACL, at most: several of the longest frame that a client may send by default.
const ACL_BYTES_MAX: usize = 4 << 20;

/// An item that was read.
enum Read {
    Item,
    /// The signature: the end.
    End,
}

/// Why no item was read.
enum Stop {
    /// The item is incomplete: at least this many bytes of it are needed.
    Wanted(usize),
    Error(SnapshotError),
}

impl StreamReader {
    /// Reads a tree whose zxid is `zxid` and whose digest is `digest`, according to the leader;
    /// without a digest the state may be a little later.
    pub fn new(options: DatabaseOptions, zxid: Zxid, digest: Option<i64>) -> StreamReader {
        StreamReader {
            zxid,
            digest,
            builder: DatabaseBuilder::new(options),
            stage: Section::SessionsCount,
            held: Vec::new(),
            wanted: 0,
            offset: 0,
            nodes: 0,
        }
    }

    /// The zxid it was made with.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Bytes and nodes read so far, for the log.
    pub fn progress(&self) -> (u64, u64) {
        (self.offset, self.nodes)
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// The bytes are not those of a tree. No further piece may be fed.
    ///
    /// # Panics
    /// After the end, or after an error.
    pub fn feed(&mut self, piece: &[u8]) -> Result<StreamProgress, SnapshotError> {
        let held_before = self.held.len();
        if held_before == 0 {
            return self.read(piece, 0);
        }
        self.held.extend_from_slice(piece);
        if self.held.len() < self.wanted {
            return Ok(StreamProgress::NeedMore);
        }
        let bytes = std::mem::take(&mut self.held);
        self.read(&bytes, held_before)
    }

    /// Reads all complete items of `bytes`, of which the first `held` bytes were fed before.
    fn read(&mut self, bytes: &[u8], held: usize) -> Result<StreamProgress, SnapshotError> {
        assert!(held <= bytes.len(), "what was held is part of what is read");
        assert!(self.held.is_empty(), "what was held was taken");
        let mut at = 0;
        loop {
            match self.item(&bytes[at..]) {
                Ok((Read::Item, taken)) => {
                    assert!(taken <= bytes.len() - at, "an item lies inside what was fed");
                    at += taken;
                    self.offset += taken as u64;
                }
                Ok((Read::End, taken)) => {
                    at += taken;
                    self.offset += taken as u64;
                    let database = Box::new(self.finish()?);
                    let consumed = at.checked_sub(held).expect("the end was not there before");
                    return Ok(StreamProgress::Done { database, consumed });
                }
                Err(Stop::Wanted(wanted)) => {
                    self.held = bytes[at..].to_vec();
                    self.wanted = wanted;
                    assert!(self.held.len() < self.wanted, "an item that is there is read");
                    return Ok(StreamProgress::NeedMore);
                }
                Err(Stop::Error(error)) => {
                    self.stage = Section::Ended;
                    return Err(error);
                }
            }
        }
    }

    fn finish(&mut self) -> Result<Database, SnapshotError> {
        self.stage = Section::Ended;
        let options = DatabaseOptions::default();
        let mut builder = std::mem::replace(&mut self.builder, DatabaseBuilder::new(options));
        match self.digest {
            Some(digest) => builder.digest(self.zxid, DIGEST_VERSION, digest),
            None => builder.fuzzy(),
        }
        let offset = self.offset;
        builder.finish(self.zxid).map_err(|error| SnapshotError::Tree { offset, error })
    }

    /// The item at the front of `bytes`, and its length.
    fn item(&mut self, bytes: &[u8]) -> Result<(Read, usize), Stop> {
        let mut input = Decoder::new(bytes);
        match self.stage {
            Section::SessionsCount => {
                let count = self.of(input.i32())?;
                self.stage = Section::Sessions(self.count(count, "sessions")?);
            }
            Section::Sessions(0) => self.stage = Section::AclsCount,
            Section::Sessions(left) => {
                let id = SessionId(self.of(input.i64())?);
                let timeout_ms = self.of(input.i32())?;
                self.builder.session(id, timeout_ms);
                self.stage = Section::Sessions(left - 1);
            }
            Section::AclsCount => {
                let count = self.of(input.i32())?;
                self.stage = Section::Acls(self.count(count, "ACLs")?);
            }
            Section::Acls(0) => self.stage = Section::Nodes,
            Section::Acls(left) => {
                let key = AclId(self.of(input.i64())?);
                let acl = match AclVector::decode(&mut input) {
                    Err(DecodeError::Truncated { .. }) if bytes.len() > ACL_BYTES_MAX => {
                        return Err(self.malformed("an ACL longer than any that is ever written"));
                    }
                    acl => self.of(acl)?,
                };
                self.builder.acl(key, acl);
                self.stage = Section::Acls(left - 1);
            }
            Section::Nodes => {
                let Some(path) = self.text(&mut input, "path")? else {
                    return Err(self.malformed("a node without a path"));
                };
                if path == b"/" {
                    self.stage = Section::Signature;
                    return Ok((Read::Item, input.offset()));
                }
                let data = self.text(&mut input, "data")?;
                let acl = AclId(self.of(input.i64())?);
                let stat = self.of(StatPersisted::decode(&mut input))?;
                let Ok(path) = std::str::from_utf8(path) else {
                    return Err(self.malformed("a path that is not UTF-8"));
                };
                let offset = self.offset;
                self.builder
                    .node(path, data, acl, stat)
                    .map_err(|error| Stop::Error(SnapshotError::Tree { offset, error }))?;
                self.nodes += 1;
            }
            Section::Signature => {
                let bytes = self.of(input.length())?;
                if bytes != Some(SIGNATURE.len()) {
                    return Err(self.malformed("no signature after the tree"));
                }
                if self.of(input.take(SIGNATURE.len()))? != SIGNATURE.as_bytes() {
                    return Err(self.malformed("a wrong signature after the tree"));
                }
                return Ok((Read::End, input.offset()));
            }
            Section::Ended => panic!("the tree has ended"),
        }
        Ok((Read::Item, input.offset()))
    }

    fn text<'a>(&self, input: &mut Decoder<'a>, what: &str) -> Result<Option<&'a [u8]>, Stop> {
        // Null, which differs from empty.
        let Some(bytes) = self.of(input.length())? else { return Ok(None) };
        if bytes > limits::LOG_RECORD_BYTES_MAX as usize {
            return Err(self.malformed(&format!("{what} of {bytes} bytes")));
        }
        self.of(input.take(bytes)).map(Some)
    }

    fn of<T>(&self, decoded: Result<T, DecodeError>) -> Result<T, Stop> {
        decoded.map_err(|error| match error {
            DecodeError::Truncated { offset, wanted, .. } => Stop::Wanted(offset + wanted),
            error => self.malformed(&error.to_string()),
        })
    }

    fn count(&self, count: i32, what: &str) -> Result<i32, Stop> {
        // ZooKeeper: loops that count down to 0 take a negative count for none.
        if count < -1 {
            return Err(self.malformed(&format!("{count} {what}")));
        }
        Ok(count.max(0))
    }

    fn malformed(&self, reason: &str) -> Stop {
        let reason = reason.to_owned();
        Stop::Error(SnapshotError::Malformed { offset: self.offset, reason })
    }
}
