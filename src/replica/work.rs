//! How much a turn does for clients, and which connection is served next.
//!
//! One thread serves everybody, and while a turn takes long, all others wait: clients, the disk, and
//! the other servers, which take a silent leader for a dead one. So the cost of each request is counted in units
//! before it is carried out; a unit is about a microsecond on a machine of today. When a turn has spent
//! its units, the remaining requests wait, framed as they came, and their connections stand in line. Messages of other
//! servers, completions of the disk and timeouts wait in no line.
//!
//! ```text
//! request ─→ light ─────────────→ while something of the turn is left: each connection a little, in turn
//!        ├─→ heavy ─────────┐
//!        └─→ heavy writers ─┴───→ one of each, and of learners', in turn, with half of the time if light
//!                                 ones want all of it
//! ```
//! A heavy request, which may take many times as long as others, stands in a line of its own, so that a light one waits
//! for one heavy request at most. Writes also wait in lines of their own when many are proposed and not applied, or
//! passed on and not answered: a write is applied behind all that were proposed before it. Committed transactions have
//! their own share of a turn.
//!
//! The rule that is easy to break: units say what a request costs at most, and are computed from the request and the
//! tree without carrying it out. No clock decides: equal inputs give equal turns.

use std::collections::VecDeque;

use super::connection::{Connection, Slot};
use super::cost::Weight;
use crate::id::Zxid;
use crate::limits;

/// A kind of heavy requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heavy {
    /// A read of a client here.
    Read,
    /// A write of a client here.
    Write,
    /// A request that a learner has passed on.
    OfLearner,
}

impl Heavy {
    /// The kind that is served after this one.
    pub fn next(self) -> Heavy {
        match self {
            Heavy::Read => Heavy::Write,
            Heavy::Write => Heavy::OfLearner,
            Heavy::OfLearner => Heavy::Read,
        }
    }
}

/// The units of a turn, and the lines in which connections wait. A connection stands in one line at most, and its
/// `in_line` says whether it does.
#[derive(Debug)]
pub(super) struct Work {
    /// Units that a turn may spend on clients.
    pub per_turn: i64,
    /// Units that this turn may still spend. May fall below 0 by what its last request takes.
    pub left: i64,
    /// Units that the last turn spent.
    pub last_turn: i64,
    /// Units that the connection that is served may still spend before it stands in line again.
    pub visit_left: i64,
    /// Units that the last request has claimed, until its reply is written.
    pub claimed: u32,
    /// Units that heavy requests may spend although light ones wait.
    ///
    /// Invariant: at most half a turn.
    pub heavy_credit: i64,
    /// Whether the connection that is served may have one heavy request carried out.
    pub may_be_heavy: bool,
    /// Whether the connections in line are being served. If not, a request that has just arrived is looked at.
    ///
    /// Invariant: false between turns.
    pub is_serving: bool,
    /// The kind of heavy requests that comes next.
    pub next_kind: Heavy,
    /// Units that this turn may still spend on committed transactions. A turn applies whole transactions, and leaves
    /// the others to the next turn, so that clients that read meanwhile do not wait for all of them.
    pub applies_left: i64,
    /// Connections whose next request is light, and waits until a turn has units for it.
    pub light: VecDeque<Slot>,
    /// Connections whose next request is a heavy read, or one that is carried out in parts.
    pub heavy: VecDeque<Slot>,
    /// Connections whose next request is a heavy write.
    pub heavy_writers: VecDeque<Slot>,
    /// Connections whose next request is a light write, and waits until more may be proposed. They join `light` then,
    /// behind no heavy request.
    pub writers: VecDeque<Slot>,
    /// Connections like those in `writers` that have just had a write proposed: they join `light` behind all others.
    pub served: VecDeque<Slot>,
    /// Whether the connection that is served has had a write proposed, or passed on.
    pub has_written: bool,
    /// Whether a session's end was proposed after which others have to wait, and no write that waits has had its turn
    /// since.
    pub has_ended_a_session: bool,
    /// Long transactions that are proposed and not applied, and what it takes to apply them.
    ///
    /// Invariant: their zxids rise.
    proposed: VecDeque<Proposed>,
    /// The units of `proposed` together.
    pub proposed_units: u64,
    /// The bytes of `proposed` together.
    pub proposed_bytes: usize,
}

/// A long transaction that is proposed and not applied.
#[derive(Clone, Copy, Debug)]
struct Proposed {
    zxid: Zxid,
    /// Units that it takes to apply the transaction.
    units: u32,
    /// The transaction's length.
    bytes: usize,
}

/// The line in which a connection waits. [`Work`] has a field for each, which says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Light,
    Heavy,
    HeavyWriters,
    Writers,
    Served,
}

impl Work {
    pub fn new(per_turn: u32) -> Work {
        let per_turn = i64::from(per_turn);
        Work {
            per_turn,
            left: per_turn,
            last_turn: 0,
            visit_left: 0,
            claimed: 0,
            heavy_credit: per_turn / 2,
            may_be_heavy: false,
            is_serving: false,
            next_kind: Heavy::Read,
            applies_left: per_turn,
            light: VecDeque::new(),
            heavy: VecDeque::new(),
            heavy_writers: VecDeque::new(),
            writers: VecDeque::new(),
            served: VecDeque::new(),
            has_written: false,
            has_ended_a_session: false,
            proposed: VecDeque::new(),
            proposed_units: 0,
            proposed_bytes: 0,
        }
    }

    /// A transaction of `bytes` is proposed that takes `units` to apply. They are charged to the connection that is
    /// served: other writers come before its next write.
    #[inline]
    pub fn on_proposed(&mut self, zxid: Zxid, units: u32, bytes: usize) {
        self.has_written = true;
        if units > 0 {
            let newest = self.proposed.back();
            assert!(
                newest.is_none_or(|newest| newest.zxid < zxid),
                "proposals come with rising zxids"
            );
            self.visit_left -= i64::from(units);
            self.proposed.push_back(Proposed { zxid, units, bytes });
            self.proposed_units += u64::from(units);
            self.proposed_bytes += bytes;
        }
    }

    /// A request was passed on to the leader: other writers come before the next write of the connection that is
    /// served.
    pub fn on_passed_on(&mut self) {
        self.has_written = true;
    }

    /// Whether light writes wait until more may be proposed, so that a write that has just arrived is behind them.
    pub fn has_writers(&self) -> bool {
        let is_any = !self.writers.is_empty() || !self.served.is_empty();
        is_any && !self.is_serving
    }

    /// The end of an expired session is proposed, and other writes have to wait for it.
    pub fn on_long_end(&mut self) {
        self.has_ended_a_session = true;
    }

    /// Whether the next expired session may be ended: writes that wait come between two long ends.
    pub fn may_end_a_session(&self) -> bool {
        !self.has_ended_a_session
    }

    /// Whether this turn applies one more transaction, which takes `units`. A heavy transaction must be the first of
    /// its turn, so that the answers to those before it leave first, at the end of an earlier turn.
    #[inline]
    pub fn may_apply(&self, units: u32) -> bool {
        let is_first = self.applies_left == self.per_turn;
        self.applies_left > 0 && (is_first || units <= limits::HEAVY_WORK_UNITS)
    }

    /// A transaction is applied that takes `units`. After a heavy one, heavy requests wait until light ones have had
    /// their share.
    #[inline]
    pub fn on_applying(&mut self, units: u32) {
        self.applies_left -= 1 + i64::from(units);
        if units > limits::HEAVY_WORK_UNITS {
            self.owe_for_heavy(units);
        }
    }

    /// A heavy request has spent `units`: other heavy ones wait until light ones have had as much.
    fn owe_for_heavy(&mut self, units: u32) {
        self.heavy_credit =
            (self.heavy_credit - i64::from(units)).max(-limits::HEAVY_DEBT_UNITS_MAX);
    }

    /// Every transaction up to `zxid` is applied, or never will be.
    pub fn on_applied(&mut self, zxid: Zxid) {
        while let Some(done) = self.proposed.pop_front_if(|proposed| proposed.zxid <= zxid) {
            self.forget_proposed(done);
        }
    }

    /// Every proposal after `zxid` is taken back.
    pub fn on_taken_back(&mut self, zxid: Zxid) {
        while let Some(gone) = self.proposed.pop_back_if(|proposed| proposed.zxid > zxid) {
            self.forget_proposed(gone);
        }
    }

    fn forget_proposed(&mut self, proposed: Proposed) {
        let Proposed { zxid, units, bytes } = proposed;
        assert!(u64::from(units) <= self.proposed_units, "the units of {zxid} were counted");
        assert!(bytes <= self.proposed_bytes, "the bytes of {zxid} were counted");
        self.proposed_units -= u64::from(units);
        self.proposed_bytes -= bytes;
        let is_none_left = self.proposed_units == 0;
        assert!(is_none_left == self.proposed.is_empty(), "every long proposal has units");
    }

    /// A turn is over, and the next one begins.
    pub fn begin_turn(&mut self) {
        assert!(!self.is_serving, "the lines are served within a turn");
        self.last_turn = self.per_turn - self.left;
        self.left = self.per_turn;
        let half = self.per_turn / 2;
        self.heavy_credit = (self.heavy_credit + half).min(half);
        self.applies_left = self.per_turn;
    }

    /// The events of a transaction took `units` more than was foreseen.
    pub fn on_events(&mut self, units: u32) {
        self.applies_left -= i64::from(units);
        self.owe_for_heavy(units);
    }

    /// Takes the units of a request. False: the request has to wait.
    #[inline]
    pub fn claim(&mut self, units: u32, weight: Weight) -> bool {
        let may = match (self.is_serving, weight) {
            (true, Weight::Heavy) => std::mem::take(&mut self.may_be_heavy),
            (true, Weight::Light) => self.left > 0 && self.visit_left > 0,
            // Connections in line were first.
            (false, Weight::Heavy) => self.is_nobody_in_line() && self.left > self.per_turn / 2,
            (false, Weight::Light) => self.left > 0 && self.light.is_empty(),
        };
        if may {
            self.spend(units, weight);
        }
        may
    }

    /// Takes the units of a request that is carried out.
    #[inline]
    pub fn spend(&mut self, units: u32, weight: Weight) {
        self.claimed = units;
        self.add(units);
        if weight == Weight::Heavy {
            self.owe_for_heavy(units);
        }
    }

    /// Takes units for work that could not be foreseen.
    #[inline]
    pub fn add(&mut self, units: u32) {
        self.left -= i64::from(units);
        self.visit_left -= i64::from(units);
    }

    /// A reply of `bytes` was written: takes what it costs beyond the units that its request has claimed.
    #[inline]
    pub fn add_bytes(&mut self, bytes: usize) {
        let units = u32::try_from(bytes / limits::SENT_BYTES_PER_UNIT).unwrap_or(u32::MAX);
        let claimed = std::mem::take(&mut self.claimed);
        self.add(units.saturating_sub(claimed));
    }

    /// Lets a connection wait in a line. If it stands in one already, it keeps its place there.
    pub fn stand_in_line(&mut self, slot: Slot, connection: &mut Connection, line: Line) {
        assert!(connection.is_open(), "a closed connection waits in no line");
        assert!(slot.id == connection.id, "a connection stands in line under its own slot");
        connection.waits_to_be_read = true;
        if !std::mem::replace(&mut connection.in_line, true) {
            let line = match line {
                Line::Light => &mut self.light,
                Line::Heavy => &mut self.heavy,
                Line::HeavyWriters => &mut self.heavy_writers,
                Line::Writers => &mut self.writers,
                Line::Served => &mut self.served,
            };
            line.push_back(slot);
        }
    }

    /// Whether all lines are empty.
    #[inline]
    pub fn is_nobody_in_line(&self) -> bool {
        self.light.is_empty()
            && self.heavy.is_empty()
            && self.heavy_writers.is_empty()
            && self.writers.is_empty()
            && self.served.is_empty()
    }

    /// Takes the connection that is served next out of the line of light requests. `None`: the turn has spent its
    /// units, or nobody waits.
    pub fn next_light(&mut self) -> Option<Slot> {
        assert!(self.is_serving, "a connection leaves its line to be served");
        if self.left <= 0 {
            return None;
        }
        let share = self.per_turn / i64::try_from(self.light.len().max(1)).unwrap_or(i64::MAX);
        self.visit_left = share.max(limits::VISIT_WORK_UNITS_MIN.into());
        self.has_written = false;
        self.light.pop_front()
    }

    /// Whether a heavy request may be carried out. `light_wait`: light ones wait.
    pub fn is_time_for_heavy(&self, light_wait: bool) -> bool {
        if light_wait { self.heavy_credit > 0 } else { self.left > 0 }
    }

    /// Takes the connection that is served next out of a line of heavy requests.
    pub fn next_heavy(&mut self, line: Line) -> Option<Slot> {
        assert!(self.is_serving, "a connection leaves its line to be served");
        self.visit_left = limits::VISIT_WORK_UNITS_MIN.into();
        self.may_be_heavy = true;
        match line {
            Line::HeavyWriters => self.heavy_writers.pop_front(),
            _ => self.heavy.pop_front(),
        }
    }
}
