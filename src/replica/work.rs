//! How much a turn does for clients, and whose turn it is.
//!
//! One thread serves everybody, and a turn that takes long lets all others wait: clients, the disk, and
//! the other servers, who take a silent leader for a dead one. So what clients ask for is counted in units
//! before it is carried out, a unit being about a microsecond of a machine of today; when a turn has spent
//! what it may, what is left waits, framed as it came, and its connections stand in line. What other servers
//! say, the disk's completions and what is to be done at a certain time wait in no line.
//!
//! ```text
//! request ─→ light ─────────────→ while something of the turn is left: each connection a little, in turn
//!        ├─→ heavy ─────────┐
//!        └─→ heavy writers ─┴───→ one of each, and of learners', in turn, with half of the time if light
//!                                 ones want all of it
//! ```
//! A request that may take a multiple of what others take stands in a line of its own, so that who asks
//! for little waits for one of them at most. Writes wait in lines of their own, too, when much is proposed and not
//! applied, or passed on and not answered: a write is applied behind all that were proposed before it. What is committed
//! has a part of a turn of its own.
//!
//! The rule that is easy to break: units are what a request costs at most, told from the request and the
//! tree without doing what it asks for. No clock decides: equal inputs give equal turns.

use std::collections::VecDeque;

use super::connection::{Connection, Slot};
use super::cost::Weight;
use crate::id::Zxid;
use crate::limits;

/// Which kind of heavy requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heavy {
    Read,
    Write,
    /// One that a learner has passed on.
    OfLearner,
}

impl Heavy {
    pub fn next(self) -> Heavy {
        match self {
            Heavy::Read => Heavy::Write,
            Heavy::Write => Heavy::OfLearner,
            Heavy::OfLearner => Heavy::Read,
        }
    }
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Work {
    pub per_turn: i64,
    /// What this turn may still spend.
    pub left: i64,
    /// What the last one spent.
    pub last_turn: i64,
    /// What the connection that is served may still spend before it stands in line again.
    pub visit_left: i64,
    /// What the last request has claimed, until its reply is written.
    pub claimed: u32,
    /// What heavy requests may spend although light ones wait.
    pub heavy_credit: i64,
    /// The one heavy request that may be carried out now.
    pub may_be_heavy: bool,
    /// Those in line are served; otherwise a request that has just come is looked at.
    pub is_serving: bool,
    /// Which kind of heavy request comes next.
    pub next_kind: Heavy,
    /// What this turn may still spend on committed transactions. It applies them whole, and what is left of them in
    /// the next turn: those who read meanwhile do not wait for all.
    pub applies_left: i64,
    pub light: VecDeque<Slot>,
    /// Those with heavy reads, and with what is carried out in parts.
    pub heavy: VecDeque<Slot>,
    pub heavy_writers: VecDeque<Slot>,
    /// Those with light writes that wait until more may be proposed: behind no heavy request then.
    pub writers: VecDeque<Slot>,
    /// The same, those that have just had one proposed: behind all others then.
    pub served: VecDeque<Slot>,
    /// The connection that is served has had a write proposed, or passed on.
    pub has_written: bool,
    /// The end of a session was proposed, after which others have to wait; none of those that wait has had its turn since.
    pub has_ended_a_session: bool,
    /// Long transactions that are proposed and not applied, and what it takes to apply them.
    proposed: VecDeque<Proposed>,
    pub proposed_units: u64,
    pub proposed_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Proposed {
    zxid: Zxid,
    units: u32,
    bytes: usize,
}

/// Where a connection waits.
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

    /// A transaction of so many bytes is proposed that takes so many units to apply. Whoever asked for it has had them: others who
    /// write come before his next.
    #[inline]
    pub fn on_proposed(&mut self, zxid: Zxid, units: u32, bytes: usize) {
        self.has_written = true;
        if units > 0 {
            self.visit_left -= i64::from(units);
            self.proposed.push_back(Proposed { zxid, units, bytes });
            self.proposed_units += u64::from(units);
            self.proposed_bytes += bytes;
        }
    }

    /// A request was passed on to the leader: others who write come before the next of whoever asked for it.
    pub fn on_passed_on(&mut self) {
        self.has_written = true;
    }

    /// Whether light writes wait until more may be proposed: whoever comes now is behind them.
    pub fn has_writers(&self) -> bool {
        let is_any = !self.writers.is_empty() || !self.served.is_empty();
        is_any && !self.is_serving
    }

    /// The end of a session whose time has come is proposed that takes long.
    pub fn on_long_end(&mut self) {
        self.has_ended_a_session = true;
    }

    /// Whether the next session may be ended: writes that wait come between two that take long.
    pub fn may_end_a_session(&self) -> bool {
        !self.has_ended_a_session
    }

    /// Whether this turn applies one more transaction, which takes so many units. A heavy one is the first of its turn:
    /// the answers to those before it leave at the end of theirs.
    #[inline]
    pub fn may_apply(&self, units: u32) -> bool {
        let is_first = self.applies_left == self.per_turn;
        self.applies_left > 0 && (is_first || units <= limits::HEAVY_WORK_UNITS)
    }

    /// A transaction is applied that takes so many units: after a heavy one other heavy requests wait until light ones
    /// have had their part.
    #[inline]
    pub fn on_applying(&mut self, units: u32) {
        self.applies_left -= 1 + i64::from(units);
        if units > limits::HEAVY_WORK_UNITS {
            self.owe_for_heavy(units);
        }
    }

    /// So much was spent on a heavy one: the others wait until light ones have had as much.
    fn owe_for_heavy(&mut self, units: u32) {
        self.heavy_credit =
            (self.heavy_credit - i64::from(units)).max(-limits::HEAVY_DEBT_UNITS_MAX);
    }

    /// Everything up to `zxid` is applied, or will never be.
    pub fn on_applied(&mut self, zxid: Zxid) {
        while let Some(done) = self.proposed.pop_front_if(|proposed| proposed.zxid <= zxid) {
            self.forget_proposed(done);
        }
    }

    /// Everything after `zxid` is taken back.
    pub fn on_taken_back(&mut self, zxid: Zxid) {
        while let Some(gone) = self.proposed.pop_back_if(|proposed| proposed.zxid > zxid) {
            self.forget_proposed(gone);
        }
    }

    fn forget_proposed(&mut self, proposed: Proposed) {
        self.proposed_units -= u64::from(proposed.units);
        self.proposed_bytes -= proposed.bytes;
    }

    /// A turn is over.
    pub fn begin_turn(&mut self) {
        self.last_turn = self.per_turn - self.left;
        self.left = self.per_turn;
        let half = self.per_turn / 2;
        self.heavy_credit = (self.heavy_credit + half).min(half);
        self.applies_left = self.per_turn;
    }

    /// Its events took so many units more.
    pub fn on_events(&mut self, units: u32) {
        self.applies_left -= i64::from(units);
        self.owe_for_heavy(units);
    }

    /// Takes so many units, or says that they have to wait.
    #[inline]
    pub fn claim(&mut self, units: u32, weight: Weight) -> bool {
        let may = match (self.is_serving, weight) {
            (true, Weight::Heavy) => std::mem::take(&mut self.may_be_heavy),
            (true, Weight::Light) => self.left > 0 && self.visit_left > 0,
            // Whoever stands in line was first.
            (false, Weight::Heavy) => self.is_nobody_in_line() && self.left > self.per_turn / 2,
            (false, Weight::Light) => self.left > 0 && self.light.is_empty(),
        };
        if may {
            self.spend(units, weight);
        }
        may
    }

    /// Takes so many units.
    #[inline]
    pub fn spend(&mut self, units: u32, weight: Weight) {
        self.claimed = units;
        self.add(units);
        if weight == Weight::Heavy {
            self.owe_for_heavy(units);
        }
    }

    /// What more was done than could be told before.
    #[inline]
    pub fn add(&mut self, units: u32) {
        self.left -= i64::from(units);
        self.visit_left -= i64::from(units);
    }

    /// A reply of so many bytes was written: what it is worth beyond what its request has claimed.
    #[inline]
    pub fn add_bytes(&mut self, bytes: usize) {
        let units = u32::try_from(bytes / limits::SENT_BYTES_PER_UNIT).unwrap_or(u32::MAX);
        let claimed = std::mem::take(&mut self.claimed);
        self.add(units.saturating_sub(claimed));
    }

    pub fn stand_in_line(&mut self, slot: Slot, connection: &mut Connection, line: Line) {
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

    /// Whether nobody waits for his turn.
    pub fn is_nobody_in_line(&self) -> bool {
        self.light.is_empty()
            && self.heavy.is_empty()
            && self.heavy_writers.is_empty()
            && self.writers.is_empty()
            && self.served.is_empty()
    }

    /// Who is served next.
    pub fn next_light(&mut self) -> Option<Slot> {
        if self.left <= 0 {
            return None;
        }
        let share = self.per_turn / i64::try_from(self.light.len().max(1)).unwrap_or(i64::MAX);
        self.visit_left = share.max(limits::VISIT_WORK_UNITS_MIN.into());
        self.has_written = false;
        self.light.pop_front()
    }

    /// Whether a heavy request may be carried out, though light ones wait or not.
    pub fn is_time_for_heavy(&self, light_wait: bool) -> bool {
        if light_wait { self.heavy_credit > 0 } else { self.left > 0 }
    }

    pub fn next_heavy(&mut self, line: Line) -> Option<Slot> {
        self.visit_left = limits::VISIT_WORK_UNITS_MIN.into();
        self.may_be_heavy = true;
        match line {
            Line::HeavyWriters => self.heavy_writers.pop_front(),
            _ => self.heavy.pop_front(),
        }
    }
}
