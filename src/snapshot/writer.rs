//! Writes a snapshot while the server works.
//!
//! The database keeps the state of one zxid readable by copy-on-write; the writer takes the state
//! in slices, each well under a millisecond, and turns them into writes, a bounded number of bytes
//! at a time. A snapshot that fails is abandoned: earlier snapshots and the log hold everything.

use simd_adler32::Adler32;

use super::format::{HEADER, LAST_BYTES};
use super::parts;
use crate::database::Database;
use crate::id::Zxid;
use crate::io::{Completion, Done, IoFailure, Op, Owner, Token};
use crate::jute::Jute;
use crate::proto::txn::DIGEST_VERSION;
use crate::txnlog::plan;

/// The file that a snapshot is written to. Recovery removes one that an earlier run left.
///
/// Its name must not begin with `snapshot.`, because ZooKeeper takes every such file for a
/// snapshot.
pub const SNAPSHOT_TEMPORARY: &str = "unfinished-snapshot";

/// How a snapshot is written.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Nodes in a slice, at most.
    pub nodes_max: usize,
    /// Bytes after which a slice ends, even with fewer nodes.
    pub slice_bytes: usize,
    /// Bytes in writes without a completion above which no slice is begun.
    pub in_flight_bytes_max: usize,
    /// Whether the digest is stored (`digest.enabled`).
    pub digest: bool,
    /// Whether the last zxid is stored (`serializeLastProcessedZxid.enabled`).
    pub last_zxid: bool,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            // A node costs some 200 ns: 1000 of them a fifth of a millisecond.
            nodes_max: 1000,
            slice_bytes: 256 << 10,
            in_flight_bytes_max: 4 << 20,
            digest: true,
            last_zxid: true,
        }
    }
}

/// What a completion means.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// Nothing to report.
    None,
    /// There is a new snapshot.
    Done {
        /// The state it holds.
        zxid: Zxid,
        /// Its name.
        name: String,
        /// Its length.
        bytes: u64,
    },
    /// The snapshot was abandoned; its file is being removed.
    Failed(IoFailure),
}

/// Writes snapshots, one at a time.
pub struct Writer {
    /// How snapshots are written.
    options: WriterOptions,
    /// The snapshot in progress.
    active: Option<Active>,
    /// The number of the next op: each is used once, so a late completion is never taken for another one's.
    next_token: u64,
    /// Emptied buffers of completed writes, for the next slices. Freed with the end of a snapshot.
    spare: Vec<Vec<u8>>,
}

/// A snapshot in progress.
/// ```text
/// file  ─────────────┬──────────────────────┬─────────────────────────→
///    written         │ in_flight_bytes      │ still in the database
///                                         bytes
/// ```
/// Invariant: `in_flight_bytes ≤ bytes`; it is the sum of the lengths in `pending`.
struct Active {
    /// The state that it holds, and so its name.
    zxid: Zxid,
    /// The digest of that state.
    digest: i64,
    /// Whether the tree may be ahead of its zxid; see [`Database::is_fuzzy`]. Then the digest is that of no zxid.
    fuzzy: bool,
    /// Checksum of all bytes given to the disk, which the seals continue.
    adler: Adler32,
    /// How many bytes these are.
    bytes: u64,
    /// What is to be done next.
    stage: Section,
    /// Bytes in writes without a completion. No slice is taken while there are too many.
    in_flight_bytes: usize,
    /// Ops without a completion, with the length of each write. The snapshot ends when there are none.
    pending: Vec<(Token, usize)>,
    /// The op that gives the file its name. Invariant: it is asked for when no other op is pending.
    commit: Option<Token>,
    /// Whether the database keeps the snapshot's state readable. Invariant: it does while there are nodes to take.
    database_held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Section {
    /// Nodes are still to be taken from the database.
    Nodes,
    /// All writes were issued; the file gets its name when all are complete.
    Finished,
    /// It will be abandoned at the next poll.
    Failed,
    /// Abandoned; waits for the remaining completions.
    Abandoned,
}

impl Writer {
    /// A writer with nothing to do.
    pub fn new(options: WriterOptions) -> Writer {
        Writer { options, active: None, next_token: 0, spare: Vec::new() }
    }

    /// Begins a snapshot of the present state. No other may be in progress.
    pub fn begin(&mut self, database: &mut Database, ops: &mut Vec<Op>) {
        assert!(self.active.is_none(), "one snapshot at a time");
        let head = database.snapshot_begin();
        assert_eq!(head.zxid, database.last_processed(), "a snapshot is of the present state");
        let mut active = Active {
            zxid: head.zxid,
            digest: head.digest,
            fuzzy: database.is_fuzzy(),
            adler: Adler32::new(),
            bytes: 0,
            stage: Section::Nodes,
            in_flight_bytes: 0,
            pending: Vec::new(),
            commit: None,
            database_held: true,
        };
        let token = next(&mut self.next_token);
        active.pending.push((token, 0));
        ops.push(Op::SnapshotCreate { token, temporary: SNAPSHOT_TEMPORARY.to_owned() });

        let mut out = Vec::with_capacity(self.options.slice_bytes);
        out.extend_from_slice(&HEADER);
        parts::head(&head, &mut out);
        active.write(out, &mut self.next_token, ops);
        assert_eq!(active.pending.len(), 2, "the file and its first bytes");
        self.active = Some(active);
    }

    /// Takes one slice out of the database, if there is more and the disk has kept up.
    pub fn poll(&mut self, database: &mut Database, ops: &mut Vec<Op>) {
        // Most of the time no snapshot is in progress.
        let Some(active) = &mut self.active else { return };
        match active.stage {
            Section::Abandoned => (),
            // Not before every write has succeeded: a file with a hole must not get the name.
            Section::Finished if active.commit.is_some() || !active.pending.is_empty() => (),
            Section::Finished => {
                assert_eq!(active.in_flight_bytes, 0, "what is named is written");
                assert!(!active.database_held);
                let token = next(&mut self.next_token);
                active.pending.push((token, 0));
                active.commit = Some(token);
                ops.push(Op::SnapshotCommit { token, name: plan::snapshot_name(active.zxid) });
            }
            Section::Failed => {
                if std::mem::take(&mut active.database_held) {
                    database.snapshot_end();
                }
                active.stage = Section::Abandoned;
                let token = next(&mut self.next_token);
                active.pending.push((token, 0));
                ops.push(Op::SnapshotAbandon { token });
            }
            Section::Nodes if active.in_flight_bytes >= self.options.in_flight_bytes_max => (),
            Section::Nodes => {
                assert!(active.database_held, "the nodes left are still readable");
                let mut out = self.spare.pop().unwrap_or_default();
                let (nodes_max, bytes) = (self.options.nodes_max, self.options.slice_bytes);
                let more = parts::slice(database, nodes_max, bytes, &mut out);
                if more {
                    active.write(out, &mut self.next_token, ops);
                    return;
                }
                database.snapshot_end();
                active.database_held = false;
                active.finish(&self.options, out, &mut self.next_token, ops);
            }
        }
    }

    /// Handles the completion of one of the writer's ops.
    pub fn handle_completion(&mut self, completion: Completion) -> Progress {
        assert_eq!(completion.token.owner(), Owner::Snapshot, "{:?}", completion.token);
        let active = self.active.as_mut().expect("completions come while a snapshot is under way");
        let token = completion.token;
        let at = active.pending.iter().position(|(pending, _)| *pending == token);
        let (_, bytes) =
            active.pending.swap_remove(at.expect("each token belongs to a pending op"));
        assert!(bytes <= active.in_flight_bytes, "what is written was in flight");
        active.in_flight_bytes -= bytes;
        assert!(active.in_flight_bytes as u64 <= active.bytes);
        assert!(!active.pending.is_empty() || active.in_flight_bytes == 0);
        let result = match completion.result {
            Ok(Done::Bytes(mut buf)) => {
                buf.clear();
                self.spare.push(buf);
                Ok(())
            }
            Ok(Done::Plain | Done::Buffer(_)) => Ok(()),
            Err(failure) => Err(failure),
        };
        match (active.stage, result) {
            (Section::Nodes | Section::Finished, Err(failure)) => {
                active.stage = Section::Failed;
                Progress::Failed(failure)
            }
            (Section::Finished, Ok(())) if active.commit == Some(token) => {
                assert!(active.pending.is_empty(), "the commit is the last op");
                assert!(!active.database_held, "a whole snapshot needs the database no more");
                let (zxid, bytes) = (active.zxid, active.bytes);
                self.active = None;
                self.spare.clear();
                Progress::Done { zxid, name: plan::snapshot_name(zxid), bytes }
            }
            (Section::Abandoned, _) if active.pending.is_empty() => {
                assert!(!active.database_held, "an abandoned snapshot holds nothing");
                self.active = None;
                self.spare.clear();
                Progress::None
            }
            (_, _) => Progress::None,
        }
    }

    /// Abandons the snapshot in progress, unless it is about to get its name: the database is
    /// released at once, the files after the completions of the ops.
    pub fn give_up(&mut self, database: &mut Database) {
        // There is nothing to abandon.
        let Some(active) = &mut self.active else { return };
        if std::mem::take(&mut active.database_held) {
            database.snapshot_end();
        }
        if active.commit.is_none() && matches!(active.stage, Section::Nodes | Section::Finished) {
            active.stage = Section::Failed;
        }
    }

    /// Whether the database keeps a state for a snapshot.
    pub fn holds_database(&self) -> bool {
        self.active.as_ref().is_some_and(|active| active.database_held)
    }

    /// Whether a snapshot is in progress.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Whether [`Writer::poll`] has something to do now, without waiting for a completion.
    pub fn wants_poll(&self) -> bool {
        self.active.as_ref().is_some_and(|active| match active.stage {
            Section::Nodes => active.in_flight_bytes < self.options.in_flight_bytes_max,
            Section::Finished => active.commit.is_none() && active.pending.is_empty(),
            Section::Failed => true,
            Section::Abandoned => false,
        })
    }

    /// The zxid of the snapshot in progress.
    pub fn zxid(&self) -> Option<Zxid> {
        self.active.as_ref().map(|active| active.zxid)
    }
}

impl Active {
    fn write(&mut self, bytes: Vec<u8>, next_token: &mut u64, ops: &mut Vec<Op>) {
        assert!(!bytes.is_empty(), "a write has bytes");
        assert_eq!(self.stage, Section::Nodes, "nothing follows the seals");
        self.adler.write(&bytes);
        self.bytes += bytes.len() as u64;
        self.in_flight_bytes += bytes.len();
        let token = next(next_token);
        self.pending.push((token, bytes.len()));
        ops.push(Op::SnapshotWrite { token, bytes });
    }

    /// Encodes the end of the nodes, the seals and the parts between them.
    fn finish(
        &mut self,
        options: &WriterOptions,
        mut out: Vec<u8>,
        next_token: &mut u64,
        ops: &mut Vec<Op>,
    ) {
        assert!(!self.database_held, "all nodes are taken");
        parts::end(&mut out);
        let mut adler = self.adler.clone();
        let mut summed = 0;
        let mut seal = |out: &mut Vec<u8>| {
            adler.write(&out[summed..]);
            summed = out.len();
            i64::from(adler.finish()).encode(out);
            Some("/").encode(out);
        };
        seal(&mut out);
        if options.digest {
            // ZooKeeper: a digest of zxid 0 is none (`ZxidDigest`). A tree that came over the
            // network while its leader kept working is not yet the state of any zxid.
            let zxid = if self.fuzzy { Zxid::ZERO } else { self.zxid };
            let digest = if zxid == Zxid::ZERO { 0 } else { self.digest };
            zxid.0.encode(&mut out);
            DIGEST_VERSION.encode(&mut out);
            digest.encode(&mut out);
            seal(&mut out);
        }
        if options.last_zxid {
            self.zxid.0.encode(&mut out);
            seal(&mut out);
        }
        assert!(out.ends_with(&LAST_BYTES), "a snapshot ends as a reader looks for it");
        self.write(out, next_token, ops);
        self.stage = Section::Finished;
    }
}

fn next(next_token: &mut u64) -> Token {
    let token = Token::new(Owner::Snapshot, *next_token);
    *next_token += 1;
    token
}
