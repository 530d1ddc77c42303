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

use super::format::file_header;
use super::group::{Group, Sealed};
use super::plan;
use crate::id::Zxid;
use crate::io::{
    AlignedBuf, BUFFER_ALIGNMENT, Completion, Done, IoFailure, IoFailureKind, Op, Owner, SegmentId,
    Token,
};
use crate::limits;
use crate::proto::txn::Txn;

/// Sizes of segments are multiples of it, except for the smallest and the largest size.
const SEGMENT_STEP_BYTES: u64 = 1 << 20;

/// How the log is written.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// The disk's logical block: groups end on its multiples. A power of two, 512 to 4096.
    pub block_bytes: usize,
    /// Size of a segment, at most (`preAllocSize`); raised if it could not hold the largest group.
    pub segment_bytes: u64,
    /// Size of a segment, at least, with the same exception. In between, a segment has the size of the
    /// log between two snapshots.
    pub segment_bytes_min: u64,
    /// Capacity of each of the two group buffers.
    pub group_bytes_max: usize,
    /// Longest transaction that is accepted.
    pub txn_bytes_max: usize,
    /// Whether a write is durable before it counts (`forceSync`).
    pub sync: bool,
    /// `snapCount`: a snapshot is due after half of it, and a random part of the other half.
    pub snap_count: u64,
    /// `snapSizeLimitInKb` in bytes, used like `snap_count`; 0 for none.
    pub snap_bytes: u64,
    /// A snapshot that is due by `snap_count` waits until the log after the last snapshot has this
    /// share of that snapshot's bytes, in per cent: writing a large tree again and again would cost the
    /// disk many times what the log costs, and a log shorter than the snapshot is read in less time.
    // ZooKeeper: SyncRequestProcessor.shouldSnapshot has no such rule.
    pub snapshot_share_percent: u64,
    /// A snapshot smaller than this does not wait: the zeroes of a new segment cost as much.
    pub snapshot_bytes_cheap: u64,
    /// `txnLogSizeLimitInKb` in bytes: a file that has grown beyond it gets no more groups.
    pub log_bytes_max: Option<u64>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        WriterOptions {
            block_bytes: BUFFER_ALIGNMENT,
            segment_bytes: 64 << 20,
            segment_bytes_min: 16 << 20,
            group_bytes_max: limits::LOG_GROUP_BYTES,
            txn_bytes_max: limits::FRAME_BYTES_MAX as usize + limits::TXN_EXTRA_BYTES_MAX as usize,
            sync: true,
            snap_count: 100_000,
            snap_bytes: 4 << 30,
            snapshot_share_percent: 50,
            snapshot_bytes_cheap: 16 << 20,
            log_bytes_max: None,
        }
    }
}

impl WriterOptions {
    /// Bytes of log required before another snapshot, if the last one has `snapshot_bytes`.
    fn log_bytes_worth(&self, snapshot_bytes: u64) -> u64 {
        if snapshot_bytes < self.snapshot_bytes_cheap {
            return 0;
        }
        snapshot_bytes / 100 * self.snapshot_share_percent
    }
}

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
/// Invariant: `synced ≤ submitted ≤ appended`, all zxids.
pub struct Writer {
    options: WriterOptions,
    filling: Group,
    /// Buffers not in use; together with those of `filling` and `flight` there are always two in slots.
    spare: Vec<AlignedBuf>,
    flight: Option<Flight>,
    current: Option<Segment>,
    next: Next,
    next_segment: u32,
    next_token: u64,
    /// The next group is to start a segment.
    rolled: bool,
    snapshot_rule: SnapshotRule,
    /// Bytes logged between the last two calls of [`Writer::roll`].
    rolled_bytes: u64,
    /// Size of the last snapshot, as far as known.
    snapshot_bytes: u64,
    appended: Zxid,
    submitted: Zxid,
    synced: Zxid,
    state: State,
    /// Completions of `SegmentClose` still to come.
    closes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// No more transactions are accepted; accepted ones are being written.
    Closing,
    /// Every file was given to `SegmentClose`.
    Closed,
    /// A write failed.
    Failed,
}

struct Flight {
    write: Option<Token>,
    name: Option<Token>,
    synced: Synced,
}

struct Segment {
    id: SegmentId,
    /// Bytes prepared.
    bytes: u64,
    /// The zxid in its name.
    name: Zxid,
    /// The offset of the next group.
    offset: u64,
    /// CRC of its last group.
    previous: u32,
}

/// The segment after the current one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    None,
    Preparing {
        token: Token,
        segment: SegmentId,
        bytes: u64,
    },
    Prepared {
        segment: SegmentId,
        bytes: u64,
    },
    /// The last attempt found no room.
    NoSpace,
}

/// When a snapshot is due (`SyncRequestProcessor.shouldSnapshot`).
struct SnapshotRule {
    txns: u64,
    bytes: u64,
    txns_max: u64,
    /// Below this number of bytes `txns_max` does not count.
    bytes_min: u64,
    bytes_max: Option<u64>,
}

impl SnapshotRule {
    fn new(options: &WriterOptions, snapshot_bytes: u64, random: u64) -> SnapshotRule {
        // ZooKeeper: half of the limit and a random part of the other half, so that not all
        // servers of an ensemble take a snapshot at once.
        let limit = |whole: u64, random: u64| {
            let half = whole / 2;
            half + random.checked_rem(half).unwrap_or(0)
        };
        SnapshotRule {
            txns: 0,
            bytes: 0,
            txns_max: limit(options.snap_count, random),
            bytes_min: options.log_bytes_worth(snapshot_bytes),
            bytes_max: (options.snap_bytes > 0).then(|| limit(options.snap_bytes, random >> 16)),
        }
    }

    fn is_due(&self) -> bool {
        (self.txns > self.txns_max && self.bytes >= self.bytes_min)
            || self.bytes_max.is_some_and(|max| self.bytes > max)
    }
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
        self.rolled = false;
        (self.appended, self.submitted, self.synced) = (last, last, last);
        self.state = State::Open;
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

    fn token(&mut self) -> Token {
        let token = Token::new(Owner::TxnLog, self.next_token);
        self.next_token += 1;
        token
    }

    fn fits_current(&self, bytes: usize) -> bool {
        self.current.as_ref().is_some_and(|segment| segment.offset + bytes as u64 <= segment.bytes)
    }

    /// A whole segment is filled with zeroes, and those that a snapshot leaves unused were written for
    /// nothing: with a hundred thousand small transactions between two snapshots, that is most of 64
    /// MiB. So a segment gets the size of the log between the last two snapshots, or since the last
    /// one, and a quarter more, because the number of transactions between snapshots varies.
    fn next_segment_bytes(&self) -> u64 {
        let expected = self.rolled_bytes.max(self.snapshot_rule.bytes);
        let with_room = expected.saturating_add(expected / 4);
        with_room
            .next_multiple_of(SEGMENT_STEP_BYTES)
            .clamp(self.options.segment_bytes_min, self.options.segment_bytes)
    }

    fn maybe_prepare(&mut self, ops: &mut Vec<Op>) {
        if self.next != Next::None {
            return;
        }
        let (token, segment) = (self.token(), SegmentId(self.next_segment));
        self.next_segment += 1;
        let (bytes, header) = (self.next_segment_bytes(), file_header());
        self.next = Next::Preparing { token, segment, bytes };
        ops.push(Op::SegmentPrepare { token, segment, bytes, header });
    }

    fn on_prepared(
        &mut self,
        segment: SegmentId,
        bytes: u64,
        result: Result<Done, IoFailure>,
    ) -> Progress {
        match result {
            Ok(_) => {
                self.next = Next::Prepared { segment, bytes };
                Progress::None
            }
            Err(failure) if failure.kind == IoFailureKind::Full => {
                self.next = Next::NoSpace;
                Progress::NoSpace(failure)
            }
            Err(failure) => {
                self.state = State::Failed;
                Progress::Failed(failure)
            }
        }
    }

    fn start_group(&mut self, ops: &mut Vec<Op>) {
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
        assert!(last_zxid >= self.submitted);
        self.submitted = last_zxid;

        let token = self.token();
        let synced = Synced { zxid: last_zxid, txns, bytes: guard.bytes };
        self.flight = Some(Flight { write: Some(token), name, synced });
        let sync = self.options.sync;
        ops.push(Op::LogWrite { token, segment, offset, buf, bytes: guard.bytes, sync });
    }

    /// Switches to the prepared segment if there is one. Returns the token of its `SegmentName`.
    fn start_segment(&mut self, fits_current: bool, ops: &mut Vec<Op>) -> Option<Token> {
        let Next::Prepared { segment: id, bytes } = self.next else {
            assert!(fits_current, "append claimed room for what it accepted");
            return None;
        };
        // A name gives the first zxid. If a zxid comes twice and the file changes between the two, the
        // second file must not have the name of the first.
        let after = self.current.as_ref().map_or(Zxid(i64::MIN), |old| Zxid(old.name.0 + 1));
        let name = self.filling.first_zxid().max(after);
        if name > self.filling.last_zxid() {
            assert!(fits_current, "a segment full of one zxid");
            return None;
        }
        self.next = Next::None;
        self.rolled = false;
        let new = Segment { id, bytes, name, offset: 0, previous: 0 };
        if let Some(old) = self.current.replace(new) {
            self.push_close(old.id, old.offset, ops);
        }
        let token = self.token();
        ops.push(Op::SegmentName { token, segment: id, name: plan::log_name(name) });
        Some(token)
    }

    fn on_written(&mut self, token: Token) -> Progress {
        let flight = self.flight.as_mut().expect("the caller found the token in it");
        if flight.write == Some(token) {
            flight.write = None;
        } else {
            flight.name = None;
        }
        if flight.write.is_some() || flight.name.is_some() {
            return Progress::None;
        }
        let synced = flight.synced;
        self.flight = None;
        assert!(synced.zxid >= self.synced);
        self.synced = synced.zxid;
        assert!(self.synced <= self.submitted && self.submitted <= self.appended);
        Progress::Synced(synced)
    }

    fn push_close(&mut self, segment: SegmentId, bytes_used: u64, ops: &mut Vec<Op>) {
        let token = self.token();
        self.closes += 1;
        ops.push(Op::SegmentClose { token, segment, bytes_used });
    }

    fn maybe_close(&mut self, ops: &mut Vec<Op>) {
        if !self.is_idle() || matches!(self.next, Next::Preparing { .. }) {
            return;
        }
        if let Some(old) = self.current.take() {
            self.push_close(old.id, old.offset, ops);
        }
        if let Next::Prepared { segment, .. } = self.next {
            self.push_close(segment, 0, ops);
        }
        self.next = Next::None;
        self.state = State::Closed;
    }
}
