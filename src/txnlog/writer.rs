//! The log's writer: it turns transactions into ops, and completions into "durable up to this zxid".
//!
//! ```text
//! append → [filling group] ── poll, when nothing is in flight ──→ LogWrite → [in flight]
//!                                                                            │ completion
//!          Synced { zxid } ←─────────────────────────────────────────────────┘
//! ```
//! There is no timer: a group is all transactions that arrived while the previous group was being
//! written. One group is in flight and one fills, so the memory is two buffers; a transaction that is
//! longer than a buffer gets a temporary one of its own.
//!
//! Segments are prepared one ahead. The first group of a segment is written while the segment gets its
//! name, both at once, and counts as durable when both are done. A crash between the two does no harm:
//! without the name the write is in a file that recovery removes; without the write the file holds a
//! header and no record, as Java's does just after its creation.
//!
//! `append` reserves room: an accepted transaction fits into the current segment or into the prepared
//! one. So the writer notices a full disk when it prepares the next segment, and refuses transactions
//! before anything of them is written.

mod options;
mod segments;

use super::group::{Group, Sealed};
use crate::id::Zxid;
use crate::io::{
    AlignedBuf, BUFFER_ALIGNMENT, Completion, Done, IoFailure, IoFailureKind, Op, Owner, Token,
};
use crate::proto::txn::Txn;

use options::SnapshotRule;
use segments::{Next, Segment};

pub use options::WriterOptions;

/// The result of [`Writer::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Append {
    /// It will be in the next group.
    Accepted,
    /// Not now: the filling group is full, or the next segment is being prepared. Try again after
    /// the next completion.
    Full,
    /// The disk has no room for another segment. Try again after [`Writer::retry_prepare`].
    NoSpace,
    /// Longer than [`WriterOptions::txn_bytes_max`].
    TooLarge,
}

/// What a completion means.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// Nothing to report.
    None,
    /// More is durable.
    Synced(Synced),
    /// A segment could not be prepared for lack of room. The caller should log it; `append` refuses
    /// transactions when it begins to matter.
    NoSpace(IoFailure),
    /// The log cannot be written any more, and it is unknown how much of the group in flight is
    /// durable: the server must stop. Nothing was retried.
    Failed(IoFailure),
}

/// One group that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Everything up to this is durable.
    pub zxid: Zxid,
    /// Transactions in the group.
    pub txns: u32,
    /// Bytes written.
    pub bytes: u32,
}

/// Writes the transaction log.
///
/// Three zxids say how far each transaction has come:
/// ```text
/// zxids  ────────────────┬─────────────────┬─────────────────┬──────→
///            durable     │    in flight    │     filling     │ to come
///                     synced          submitted         appended
/// ```
/// Invariant: `synced ≤ submitted ≤ appended`. The first two are equal when no group is in flight, the last two when
/// the filling group is empty. The reverse does not hold, because a zxid may come twice.
pub struct Writer {
    /// How the log is written. Invariant: a segment can hold the largest group.
    options: WriterOptions,
    /// The transactions between `submitted` and `appended`: the next group.
    filling: Group,
    /// Buffers not in use. Invariant: two buffers have slots; each is here, in `filling` or in flight.
    spare: Vec<AlignedBuf>,
    /// The group between `synced` and `submitted`. One at a time, so that groups become durable in order.
    flight: Option<Flight>,
    /// The file that groups are written to; `None` until the first one, and after the log was closed.
    current: Option<Segment>,
    /// The file after the current one, prepared ahead because preparing takes long.
    next: Next,
    /// The number of the next segment: each is used once, also after [`Writer::reopen`].
    next_segment: u32,
    /// The number of the next op: each is used once, so a late completion is never taken for another one's.
    next_token: u64,
    /// Whether the next group is to start a segment, although the current one has room.
    rolled: bool,
    /// Counts what was logged since the last [`Writer::roll`], and says when a snapshot is due.
    snapshot_rule: SnapshotRule,
    /// Bytes logged between the last two calls of [`Writer::roll`]: the next segments get about this size.
    rolled_bytes: u64,
    /// Size of the last snapshot; 0 if it is not known.
    snapshot_bytes: u64,
    /// The last transaction that was accepted.
    appended: Zxid,
    /// The last transaction of the last group that was given to the disk.
    submitted: Zxid,
    /// The last transaction that is durable: all up to it may be acknowledged.
    synced: Zxid,
    /// Whether transactions are accepted, and what remains to be done if not.
    state: State,
    /// Completions of `SegmentClose` still to come. The log is closed when there are none.
    closes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Transactions are accepted.
    Open,
    /// No more transactions are accepted; accepted ones are being written.
    Closing,
    /// Every file was given to `SegmentClose`.
    Closed,
    /// A write failed. Nothing is written any more.
    Failed,
}

/// A group that was given to the disk. It is durable when neither op is left.
///
/// Invariant: at least one op is left.
struct Flight {
    /// The write, until its completion.
    write: Option<Token>,
    /// The naming of the segment, until its completion; `None` if the group did not start one.
    name: Option<Token>,
    /// What becomes durable. Invariant: its zxid is `submitted`.
    synced: Synced,
}

impl Writer {
    /// A writer that continues after `last`, in a new file.
    ///
    /// `random` is any number; see [`WriterOptions::snap_count`].
    pub fn new(options: WriterOptions, last: Zxid, random: u64) -> Writer {
        let block = options.block_bytes;
        assert!(
            block.is_power_of_two() && (512..=BUFFER_ALIGNMENT).contains(&block),
            "blocks of {block} bytes"
        );
        let mut options = options;
        let largest = Group::capacity_for(options.txn_bytes_max).max(options.group_bytes_max);
        let largest = (largest + block).next_multiple_of(BUFFER_ALIGNMENT) as u64;
        let segment_bytes = options.segment_bytes.next_multiple_of(BUFFER_ALIGNMENT as u64);
        options.segment_bytes = segment_bytes.max(largest);
        let least = options.segment_bytes_min.next_multiple_of(BUFFER_ALIGNMENT as u64);
        options.segment_bytes_min = least.max(largest).min(options.segment_bytes);
        assert!(options.segment_bytes_min <= options.segment_bytes, "a segment has a size");
        Writer {
            filling: Group::new(AlignedBuf::zeroed_in_slot(options.group_bytes_max, 0)),
            spare: vec![AlignedBuf::zeroed_in_slot(options.group_bytes_max, 1)],
            flight: None,
            current: None,
            next: Next::None,
            next_segment: 0,
            next_token: 0,
            rolled: false,
            snapshot_rule: SnapshotRule::new(&options, 0, random),
            rolled_bytes: 0,
            snapshot_bytes: 0,
            appended: last,
            submitted: last,
            synced: last,
            state: State::Open,
            closes: 0,
            options,
        }
    }

    /// Takes a transaction into the filling group: its bytes are copied.
    ///
    /// Zxids never go back. A zxid may repeat: ZooKeeper logs a request that it cannot decode with the
    /// previous zxid.
    pub fn append(&mut self, txn: &Txn) -> Append {
        assert_eq!(self.state, State::Open, "the log is closed");
        let zxid = txn.zxid();
        assert!(zxid >= self.appended, "{zxid} is logged behind {}", self.appended);
        let entry_bytes = txn.bytes().len();
        if entry_bytes > self.options.txn_bytes_max {
            return Append::TooLarge;
        }
        if !self.filling.fits(entry_bytes) && !self.filling.is_empty() {
            return Append::Full;
        }
        let bytes = self.filling.sealed_bytes_with(entry_bytes, self.options.block_bytes);
        if !self.fits_current(bytes) {
            match self.next {
                Next::Prepared { .. } => (),
                Next::NoSpace => return Append::NoSpace,
                Next::None | Next::Preparing { .. } => return Append::Full,
            }
        }
        if !self.filling.fits(entry_bytes) {
            let large = AlignedBuf::zeroed(Group::capacity_for(entry_bytes));
            let normal = std::mem::replace(&mut self.filling, Group::new(large));
            self.spare.push(normal.into_buf());
        }
        self.filling.push(txn);
        self.appended = zxid;
        assert_eq!(self.filling.last_zxid(), self.appended);
        self.snapshot_rule.txns += 1;
        self.snapshot_rule.bytes += entry_bytes as u64;
        Append::Accepted
    }

    /// Starts all possible ops: the next group if none is in flight, the preparation of the next
    /// segment, closing. Call it after appends and after completions.
    pub fn poll(&mut self, ops: &mut Vec<Op>) {
        match self.state {
            State::Failed | State::Closed => return,
            State::Open | State::Closing => (),
        }
        if self.flight.is_none() && !self.filling.is_empty() {
            self.start_group(ops);
        }
        if self.state == State::Open {
            self.maybe_prepare(ops);
        } else {
            self.maybe_close(ops);
        }
        self.assert_order();
    }

    /// Handles the completion of one of the writer's ops.
    pub fn handle_completion(&mut self, completion: Completion) -> Progress {
        assert_eq!(completion.token.owner(), Owner::TxnLog, "{:?}", completion.token);
        let token = completion.token;
        if let Next::Preparing { token: preparing, segment, bytes } = self.next
            && preparing == token
        {
            return self.on_prepared(segment, bytes, completion.result);
        }
        let in_flight =
            self.flight.as_ref().is_some_and(|f| f.write == Some(token) || f.name == Some(token));
        if !in_flight {
            assert!(self.closes > 0, "no op has the token {token:?}");
            self.closes -= 1;
        }
        match completion.result {
            Err(failure) if in_flight || failure.kind != IoFailureKind::Full => {
                self.state = State::Failed;
                return Progress::Failed(failure);
            }
            Ok(Done::Buffer(buf)) if buf.slot().is_some() => self.spare.push(buf),
            Err(_) | Ok(Done::Buffer(_) | Done::Bytes(_) | Done::Plain) => (),
        }
        if in_flight { self.on_written(token) } else { Progress::None }
    }

    /// Makes the next group start a segment, and restarts the counts for the next snapshot; called when
    /// a snapshot begins. The segment changes as soon as one is prepared.
    pub fn roll(&mut self, random: u64) {
        self.rolled = self.current.is_some();
        self.rolled_bytes = self.snapshot_rule.bytes;
        self.snapshot_rule = SnapshotRule::new(&self.options, self.snapshot_bytes, random);
    }

    /// Sets the size of the snapshot that began with the last [`Writer::roll`]; see
    /// [`WriterOptions::snapshot_share_percent`].
    pub fn note_snapshot_bytes(&mut self, bytes: u64) {
        self.snapshot_bytes = bytes;
        self.snapshot_rule.bytes_min = self.options.log_bytes_worth(bytes);
    }

    /// Retries preparing a segment after [`Progress::NoSpace`]: called from time to time by a timer, or
    /// when an operator has made room. Otherwise it has no effect.
    pub fn retry_prepare(&mut self) {
        if self.next == Next::NoSpace {
            self.next = Next::None;
        }
    }

    /// Accepts no more transactions. Writes the accepted ones, then closes the files without the zeroes
    /// at their ends; see [`Writer::is_closed`].
    pub fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Opens a log that [is closed](Writer::is_closed) again, after `last`, in a new file: after its
    /// files were cut, or after a received snapshot. It keeps the registered buffers. `random` as in
    /// [`Writer::new`].
    ///
    /// No file may have a transaction after `last`.
    pub fn reopen(&mut self, last: Zxid, random: u64) {
        assert!(self.is_closed(), "a log is opened again when it is closed");
        assert!(self.is_idle() && self.spare.len() == 1, "both buffers are at home");
        self.snapshot_rule = SnapshotRule::new(&self.options, self.snapshot_bytes, random);
        assert!(self.current.is_none(), "the files of a closed log are closed");
        assert_eq!(self.next, Next::None);
        self.rolled = false;
        (self.appended, self.submitted, self.synced) = (last, last, last);
        self.state = State::Open;
        self.assert_order();
    }

    /// Whether transactions are accepted.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether everything after [`Writer::close`] is done.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed && self.closes == 0
    }

    /// Whether a snapshot is due, from the log since the last [`Writer::roll`].
    pub fn snapshot_due(&self) -> bool {
        self.snapshot_rule.is_due()
    }

    /// Whether there is a segment to write to; false until the first one is prepared.
    pub fn is_ready(&self) -> bool {
        self.current.is_some() || matches!(self.next, Next::Prepared { .. })
    }

    /// Whether the last attempt to prepare a segment found no room.
    pub fn is_out_of_space(&self) -> bool {
        self.next == Next::NoSpace
    }

    /// Whether the next segment is being prepared and half of the current one is used: large
    /// transactions would soon wait for it.
    pub fn is_short_of_room(&self) -> bool {
        matches!(self.next, Next::Preparing { .. })
            && self.current.as_ref().is_none_or(|segment| segment.offset > segment.bytes / 2)
    }

    /// Whether everything appended is durable.
    pub fn is_idle(&self) -> bool {
        self.flight.is_none() && self.filling.is_empty()
    }

    /// The zxid up to which everything was accepted.
    pub fn appended(&self) -> Zxid {
        self.appended
    }

    /// Everything up to this is durable.
    pub fn synced(&self) -> Zxid {
        self.synced
    }

    /// Transactions accepted and not yet durable.
    pub fn txns_pending(&self) -> u32 {
        self.filling.txns() + self.flight.as_ref().map_or(0, |flight| flight.synced.txns)
    }

    /// Used bytes of the present file.
    pub fn current_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |segment| segment.offset)
    }

    /// The reusable buffers, for a ring to register. Complete only before the first `poll`.
    pub fn buffers(&self) -> impl Iterator<Item = &AlignedBuf> {
        std::iter::once(self.filling.buf()).chain(&self.spare).filter(|buf| buf.slot().is_some())
    }

    /// The invariant of the three zxids. Comparisons of values at hand: it holds after each call.
    fn assert_order(&self) {
        assert!(self.synced <= self.submitted, "what is durable was given to the disk");
        assert!(self.submitted <= self.appended, "what was given to the disk was accepted");
        assert!(self.flight.is_some() || self.synced == self.submitted, "nothing is in flight");
        assert!(!self.filling.is_empty() || self.submitted == self.appended, "nothing waits");
    }

    fn token(&mut self) -> Token {
        let token = Token::new(Owner::TxnLog, self.next_token);
        self.next_token += 1;
        token
    }

    fn fits_current(&self, bytes: usize) -> bool {
        self.current.as_ref().is_some_and(|segment| segment.offset + bytes as u64 <= segment.bytes)
    }

    fn start_group(&mut self, ops: &mut Vec<Op>) {
        assert!(self.flight.is_none(), "one group is in flight at a time");
        assert_eq!(self.synced, self.submitted);
        let block = self.options.block_bytes;
        let fits = self.fits_current(self.filling.sealed_bytes_max(block));
        let beyond =
            self.options.log_bytes_max.is_some_and(|max| self.current_bytes() > max) || self.rolled;
        let mut name = None;
        if !fits || beyond {
            name = self.start_segment(fits, ops);
        }
        let Some(current) = &mut self.current else {
            unreachable!("append accepts nothing without a segment to put it in")
        };
        let segment = current.id;
        let spare = self.spare.pop().expect("one of two buffers is free when none is in flight");
        let group = std::mem::replace(&mut self.filling, Group::new(spare));
        let Sealed { buf, guard, last_zxid, txns } =
            group.seal(block, current.offset, current.previous);
        let offset = current.offset;
        current.offset += u64::from(guard.bytes);
        current.previous = guard.crc;
        assert!(current.offset <= current.bytes, "the group fits the segment");
        assert!(current.offset.is_multiple_of(block as u64), "groups end on blocks");
        assert!(last_zxid >= self.submitted, "zxids never go back");
        assert_eq!(last_zxid, self.appended, "a group is all that was accepted");
        self.submitted = last_zxid;

        let token = self.token();
        let synced = Synced { zxid: last_zxid, txns, bytes: guard.bytes };
        self.flight = Some(Flight { write: Some(token), name, synced });
        let sync = self.options.sync;
        ops.push(Op::LogWrite { token, segment, offset, buf, bytes: guard.bytes, sync });
    }

    fn on_written(&mut self, token: Token) -> Progress {
        let flight = self.flight.as_mut().expect("the caller found the token in it");
        if flight.write == Some(token) {
            flight.write = None;
        } else {
            assert_eq!(flight.name, Some(token));
            flight.name = None;
        }
        if flight.write.is_some() || flight.name.is_some() {
            return Progress::None;
        }
        let synced = flight.synced;
        self.flight = None;
        assert!(synced.txns > 0, "a group holds a transaction");
        assert!(synced.zxid >= self.synced, "what is durable stays durable");
        assert_eq!(synced.zxid, self.submitted);
        self.synced = synced.zxid;
        self.assert_order();
        Progress::Synced(synced)
    }
}
