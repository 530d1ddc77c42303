//! The files of the log: prepared one ahead, named with the first group, closed without their zeroes.

use super::super::format::file_header;
use super::super::plan;
use super::{Progress, State, Writer};
use crate::id::Zxid;
use crate::io::{BUFFER_ALIGNMENT, Done, IoFailure, IoFailureKind, Op, SegmentId, Token};

/// Sizes of segments are multiples of it, except for the smallest and the largest size.
const SEGMENT_STEP_BYTES: u64 = 1 << 20;

/// The file that groups are written to.
/// ```text
/// 0 ─────────────┬───────────────────────────┬
///   groups, each │ zeroes, written ahead     │
///   written once │                           │
///              offset                      bytes
/// ```
/// Invariant: `offset ≤ bytes`, both multiples of the block; everything from `offset` on is zero on the disk.
pub(super) struct Segment {
    /// Names the file in ops.
    pub id: SegmentId,
    /// Bytes prepared: no group reaches beyond.
    pub bytes: u64,
    /// The zxid in its name. Invariant: greater than that of the segment before, so no name comes twice.
    name: Zxid,
    /// Where the next group begins.
    pub offset: u64,
    /// CRC of its last group, which the next guard repeats; 0 before the first.
    pub previous: u32,
}

/// The segment after the current one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The next poll asks for one.
    None,
    /// The disk is writing its zeroes.
    Preparing { token: Token, segment: SegmentId, bytes: u64 },
    /// It waits for its first group.
    Prepared { segment: SegmentId, bytes: u64 },
    /// The last attempt found no room.
    NoSpace,
}

impl Writer {
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

    pub(super) fn maybe_prepare(&mut self, ops: &mut Vec<Op>) {
        if self.next != Next::None {
            return;
        }
        let (token, segment) = (self.token(), SegmentId(self.next_segment));
        self.next_segment += 1;
        let (bytes, header) = (self.next_segment_bytes(), file_header());
        assert!(bytes.is_multiple_of(BUFFER_ALIGNMENT as u64), "a segment is whole blocks");
        assert!(bytes <= self.options.segment_bytes);
        self.next = Next::Preparing { token, segment, bytes };
        ops.push(Op::SegmentPrepare { token, segment, bytes, header });
    }

    pub(super) fn on_prepared(
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

    /// Switches to the prepared segment if there is one. Returns the token of its `SegmentName`.
    pub(super) fn start_segment(&mut self, fits_current: bool, ops: &mut Vec<Op>) -> Option<Token> {
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
        assert!(self.flight.is_none(), "a segment is closed when no write to it is in flight");
        self.next = Next::None;
        self.rolled = false;
        assert!(self.current.as_ref().is_none_or(|old| old.name < name), "a name is used once");
        let new = Segment { id, bytes, name, offset: 0, previous: 0 };
        if let Some(old) = self.current.replace(new) {
            self.push_close(old.id, old.offset, ops);
        }
        let token = self.token();
        ops.push(Op::SegmentName { token, segment: id, name: plan::log_name(name) });
        Some(token)
    }

    fn push_close(&mut self, segment: SegmentId, bytes_used: u64, ops: &mut Vec<Op>) {
        assert!(segment.0 < self.next_segment, "a segment that was prepared is closed");
        let token = self.token();
        self.closes += 1;
        ops.push(Op::SegmentClose { token, segment, bytes_used });
    }

    pub(super) fn maybe_close(&mut self, ops: &mut Vec<Op>) {
        if !self.is_idle() || matches!(self.next, Next::Preparing { .. }) {
            return;
        }
        assert_eq!(self.synced, self.appended, "what was accepted is durable");
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
