//! The types with which the core asks for disk operations and gets their results.
//!
//! An [`Op`] is a request, and a [`Completion`] is its result. This module performs nothing: the runtime
//! performs ops (log writes on its ring, everything else on one background thread), and so does the
//! simulated disk. `recovery`, which runs before there is a replica, waits for the disk instead, and has a
//! trait for that (`recovery::Folder`). The rule that is easy to break: ops without a completion between them may be
//! performed in any order, at the same time. A caller that needs an order waits for the completion. Two
//! exceptions hold: the `Snapshot*` ops run in the order given, and once one of them has failed, all
//! fail up to the next `SnapshotAbandon`. (`SegmentName` and the segment's first `LogWrite` do run at
//! the same time; `SegmentClose` comes when neither is in progress.)

mod buffer;

pub use buffer::{AlignedBuf, BUFFER_ALIGNMENT};

/// What an operator can do when the system refuses access to a file in the server's folders: a sentence
/// to append to the system's error, or nothing.
pub fn way_out(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            ". The user that runs the server must be able to read and write the whole folder: a \
             command that was run as root may have created a part of it; `chown -R` it to that user"
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            ". The file system is mounted read-only: look into the kernel's log for the reason"
        }
        std::io::ErrorKind::AlreadyExists
        | std::io::ErrorKind::NotADirectory
        | std::io::ErrorKind::IsADirectory => {
            ". Something else has that name, a folder, a file or a link to nothing: move it aside"
        }
        _ if lacks_room(error) => {
            ". Make room on its file system, or give this user a larger quota"
        }
        _ => "",
    }
}

/// Whether the error means that a file system or a quota is full.
pub fn lacks_room(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

/// Identifies one op; its completion carries the same token.
///
/// The owner in the high byte lets the receiver pass a completion on without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Token(u64);

/// The owner of an op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The transaction log's writer.
    TxnLog,
    /// The snapshot writer.
    Snapshot,
    /// The replica: epochs, purge, the end.
    Replica,
}

const OWNER_SHIFT: u32 = 56;

impl Token {
    /// A token of `owner`. Numbers count up from 0 and never reach 2^56.
    pub const fn new(owner: Owner, number: u64) -> Token {
        assert!(number >> OWNER_SHIFT == 0, "an owner's numbers stay below 2^56");
        Token(((owner as u64) << OWNER_SHIFT) | number)
    }

    /// The owner.
    pub const fn owner(self) -> Owner {
        match self.0 >> OWNER_SHIFT {
            0 => Owner::TxnLog,
            1 => Owner::Snapshot,
            _ => Owner::Replica,
        }
    }

    /// The number given by the owner.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << OWNER_SHIFT) - 1)
    }

    /// Both in one word, for a ring's user data.
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// The reverse of [`Token::to_word`].
    pub const fn from_word(word: u64) -> Token {
        Token(word)
    }
}

/// One file of the transaction log, from its preparation to its closing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SegmentId(pub u32);

/// A folder of the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// `dataDir` itself: `myid`, `initialize`.
    DataDir,
    /// `dataDir/version-2`: snapshots and the epoch files.
    Snapshots,
    /// `dataLogDir/version-2`: the transaction log.
    Logs,
}

/// A disk operation. Every op has exactly one completion.
#[derive(Debug)]
pub enum Op {
    /// Writes the first `bytes` of `buf` at `offset`; both are multiples of the log's block size.
    /// The segment is open and prepared up to the end of the write. The buffer comes back in
    /// [`Done::Buffer`].
    LogWrite {
        /// Its token.
        token: Token,
        /// The segment.
        segment: SegmentId,
        /// Byte offset in the segment.
        offset: u64,
        /// The buffer.
        buf: AlignedBuf,
        /// The number of bytes to write.
        bytes: u32,
        /// Whether the completion means that the write is durable (false only with `forceSync=no`).
        sync: bool,
    },
    /// Creates a file in [`Place::Logs`] with the name of [`segment_temporary`] (replacing an existing
    /// one), writes `header` and then zeroes up to `bytes` (really written, no hole), syncs file and
    /// folder, and keeps the file open for `LogWrite`. On failure the file is removed.
    SegmentPrepare {
        /// Its token.
        token: Token,
        /// The new segment.
        segment: SegmentId,
        /// The whole size, a multiple of 4096.
        bytes: u64,
        /// The bytes at its start.
        header: [u8; 16],
    },
    /// Gives a prepared segment its final name, which must not exist yet, and syncs the folder.
    SegmentName {
        /// Its token.
        token: Token,
        /// The segment.
        segment: SegmentId,
        /// The final name.
        name: String,
    },
    /// Cuts the segment's unused zeroes off at `bytes_used`, and closes it. With `bytes_used` 0
    /// the segment was never named: it is removed.
    SegmentClose {
        /// Its token.
        token: Token,
        /// The segment.
        segment: SegmentId,
        /// The end of the last group in it.
        bytes_used: u64,
    },
    /// Creates (or empties) a file in [`Place::Snapshots`] for the `SnapshotWrite`s that follow.
    SnapshotCreate {
        /// Its token.
        token: Token,
        /// The temporary name.
        temporary: String,
    },
    /// Appends to the snapshot in progress. The buffer comes back in [`Done::Bytes`].
    SnapshotWrite {
        /// Its token.
        token: Token,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Syncs the snapshot, renames it, replacing an existing file, and syncs the folder.
    SnapshotCommit {
        /// Its token.
        token: Token,
        /// The final name.
        name: String,
    },
    /// Closes and removes the snapshot in progress, if any.
    SnapshotAbandon {
        /// Its token.
        token: Token,
    },
    /// Replaces a small file: written under `name` + `.tmp`, synced, renamed, folder synced.
    FileReplace {
        /// Its token.
        token: Token,
        /// The folder.
        place: Place,
        /// The file.
        name: String,
        /// The new content.
        content: Vec<u8>,
    },
    /// Removes files and syncs the folder. A file that does not exist is not a failure.
    Remove {
        /// Its token.
        token: Token,
        /// The folder.
        place: Place,
        /// The files.
        names: Vec<String>,
    },
}

impl Op {
    /// Its token.
    pub fn token(&self) -> Token {
        match self {
            Op::LogWrite { token, .. }
            | Op::SegmentPrepare { token, .. }
            | Op::SegmentName { token, .. }
            | Op::SegmentClose { token, .. }
            | Op::SnapshotCreate { token, .. }
            | Op::SnapshotWrite { token, .. }
            | Op::SnapshotCommit { token, .. }
            | Op::SnapshotAbandon { token }
            | Op::FileReplace { token, .. }
            | Op::Remove { token, .. } => *token,
        }
    }
}

/// The result of an op.
#[derive(Debug)]
pub struct Completion {
    /// The op's token.
    pub token: Token,
    /// Success, or the failure.
    pub result: Result<Done, IoFailure>,
}

/// A successful op.
#[derive(Debug)]
pub enum Done {
    /// Nothing comes back.
    Plain,
    /// The buffer of a `LogWrite`.
    Buffer(AlignedBuf),
    /// The emptied buffer of a `SnapshotWrite`.
    Bytes(Vec<u8>),
}

/// A failed op. It is never retried: after a failed write or sync the content of the disk is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct IoFailure {
    /// Its kind.
    pub kind: IoFailureKind,
    /// The operation, the file, and the system's error.
    pub text: String,
}

/// What a failure means for the owner of the op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoFailureKind {
    /// No room on the file system (ENOSPC, EDQUOT, EFBIG).
    Full,
    /// Everything else.
    Other,
}

/// The name of a segment before it has its first transaction. No server reads such a file as a log;
/// recovery removes those of an earlier run.
pub fn segment_temporary(segment: SegmentId) -> String {
    format!("{SEGMENT_TEMPORARY_PREFIX}{}", segment.0)
}

/// Whether this is a name from [`segment_temporary`].
pub fn is_segment_temporary(name: &str) -> bool {
    let number = name.strip_prefix(SEGMENT_TEMPORARY_PREFIX).and_then(|text| text.parse().ok());
    number.is_some_and(|number| segment_temporary(SegmentId(number)) == name)
}

/// The prefix of the names of prepared segments.
const SEGMENT_TEMPORARY_PREFIX: &str = "prepared-segment-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_writer_prepared_has_the_name_of_a_prepared_segment() {
        assert!(is_segment_temporary(&segment_temporary(SegmentId(17))));
        for other in ["prepared-segment-", "prepared-segment-01", "prepared-segment-3.bak", "log.1"]
        {
            assert!(!is_segment_temporary(other), "{other}");
        }
    }

    #[test]
    fn a_token_keeps_its_owner_and_number() {
        for owner in [Owner::TxnLog, Owner::Snapshot, Owner::Replica] {
            let token = Token::new(owner, 77);
            assert_eq!((token.owner(), token.number()), (owner, 77));
            assert_eq!(Token::from_word(token.to_word()), token);
        }
    }
}
