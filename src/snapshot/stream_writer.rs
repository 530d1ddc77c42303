//! Sends the whole tree to a learner (`LearnerHandler`, SNAP): the part of a snapshot between its
//! header and its first seal, and a signature.
//!
//! The sender asks for the next piece when there is room for it. Meanwhile the database keeps the
//! state of the beginning readable, so at most one snapshot, to the disk or to learners, can be in
//! progress.

use bytes::Bytes;

use super::parts;
use crate::database::Database;
use crate::id::Zxid;
use crate::jute::Jute;

/// Follows the tree, and shows the learner that nothing is missing.
pub(super) const SIGNATURE: &str = "BenWasHere";

/// Nodes in a piece, at most. A node costs some 200 ns: a fifth of a millisecond.
const PIECE_NODES: usize = 1000;

/// Bytes after which a piece ends, even with fewer nodes.
const PIECE_BYTES: usize = 128 << 10;

/// A tree being sent.
///
/// It must be drained, or abandoned with [`StreamWriter::abandon`]: until then the database keeps the
/// former state of everything that changes.
#[derive(Debug)]
pub struct StreamWriter {
    /// The last transaction in the state that is sent.
    zxid: Zxid,
    /// What is still to be sent. Invariant: unless it is `Done`, the database keeps that state readable.
    stage: Section,
}

#[derive(Debug)]
enum Section {
    /// Sessions and ACLs, encoded, are still to be sent.
    Head(Vec<u8>),
    /// The nodes that the database has not given yet.
    Nodes,
    /// Everything was given out, and the database is released.
    Done,
}

impl StreamWriter {
    /// Freezes the state of the database. No other snapshot of it may be in progress.
    pub fn begin(database: &mut Database) -> StreamWriter {
        let head = database.snapshot_begin();
        let mut out = Vec::with_capacity(PIECE_BYTES);
        parts::head(&head, &mut out);
        assert!(!out.is_empty(), "there are at least two counts");
        StreamWriter { zxid: head.zxid, stage: Section::Head(out) }
    }

    /// The last transaction in the state that is sent.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The next piece, some 128 KiB unless a node is larger; `None` after the last one; the database
    /// is then released.
    pub fn next_piece(&mut self, database: &mut Database) -> Option<Bytes> {
        let mut out = match &mut self.stage {
            Section::Done => return None,
            Section::Head(out) => std::mem::take(out),
            Section::Nodes => Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 4),
        };
        self.stage = Section::Nodes;
        if !parts::slice(database, PIECE_NODES, PIECE_BYTES, &mut out) {
            database.snapshot_end();
            self.stage = Section::Done;
            parts::end(&mut out);
            Some(SIGNATURE).encode(&mut out);
        }
        assert!(!out.is_empty(), "a piece moves on");
        Some(Bytes::from(out))
    }

    /// Abandons the stream and releases the database.
    pub fn abandon(self, database: &mut Database) {
        match self.stage {
            Section::Head(_) | Section::Nodes => database.snapshot_end(),
            Section::Done => (),
        }
    }
}
