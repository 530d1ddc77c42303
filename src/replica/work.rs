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

use super::Replica;
use super::connection::{Connection, Slot, Waiting};
use super::service::Service;
use crate::acl::{self, Identity};
use crate::id::{SessionId, Zxid};
use crate::jute::{Decoder, Jute};
use crate::limits;
use crate::processor::read::{self, Part};
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::proto::txn::{Txn, TxnBody};
use crate::time::{MonoUs, Now};
use crate::zab::ForwardedRequest;

/// Events that are written in one unit.
pub(super) const EVENTS_PER_UNIT: usize = 10;

/// What a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Not much more than most do.
    Light,
    /// More than [`limits::HEAVY_WORK_UNITS`].
    Heavy,
}

impl Weight {
    pub fn of(units: u32) -> Weight {
        if units > limits::HEAVY_WORK_UNITS { Weight::Heavy } else { Weight::Light }
    }
}

/// What a request costs at most, as far as can be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Here.
    pub units: u32,
    /// Where it is carried out: of what a learner passes on, on the leader.
    pub weight: Weight,
    pub is_write: bool,
}

/// Which kind of heavy requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heavy {
    Read,
    Write,
    /// One that a learner has passed on.
    OfLearner,
}

impl Heavy {
    fn next(self) -> Heavy {
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
    per_turn: i64,
    /// What this turn may still spend.
    left: i64,
    /// What the last one spent.
    last_turn: i64,
    /// What the connection that is served may still spend before it stands in line again.
    visit_left: i64,
    /// What the last request has claimed, until its reply is written.
    claimed: u32,
    /// What heavy requests may spend although light ones wait.
    heavy_credit: i64,
    /// The one heavy request that may be carried out now.
    may_be_heavy: bool,
    /// Those in line are served; otherwise a request that has just come is looked at.
    is_serving: bool,
    /// Which kind of heavy request comes next.
    next_kind: Heavy,
    /// What this turn may still spend on committed transactions. It applies them whole, and what is left of them in
    /// the next turn: those who read meanwhile do not wait for all.
    applies_left: i64,
    light: VecDeque<Slot>,
    /// Those with heavy reads, and with what is carried out in parts.
    heavy: VecDeque<Slot>,
    heavy_writers: VecDeque<Slot>,
    /// Those with light writes that wait until more may be proposed: behind no heavy request then.
    writers: VecDeque<Slot>,
    /// The same, those that have just had one proposed: behind all others then.
    served: VecDeque<Slot>,
    /// The connection that is served has had a write proposed, or passed on.
    has_written: bool,
    /// The end of a session was proposed, after which others have to wait; none of those that wait has had its turn since.
    has_ended_a_session: bool,
    /// Long transactions that are proposed and not applied, and what it takes to apply them.
    proposed: VecDeque<Proposed>,
    proposed_units: u64,
    proposed_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Proposed {
    zxid: Zxid,
    units: u32,
    bytes: usize,
}

/// Where a connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
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
    fn has_writers(&self) -> bool {
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

    fn stand_in_line(&mut self, slot: Slot, connection: &mut Connection, line: Line) {
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
    fn next_light(&mut self) -> Option<Slot> {
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

    fn next_heavy(&mut self, line: Line) -> Option<Slot> {
        self.visit_left = limits::VISIT_WORK_UNITS_MIN.into();
        self.may_be_heavy = true;
        match line {
            Line::HeavyWriters => self.heavy_writers.pop_front(),
            _ => self.heavy.pop_front(),
        }
    }
}

/// What it takes to ask the ACL of each node in a list of so many bytes about all of the identities.
fn units_of_checks(bytes: usize, identities: &[Identity]) -> usize {
    /// The shortest operation on a node: its header, and a path.
    const OPERATION_BYTES: usize = 16;
    let checks = bytes / OPERATION_BYTES * (identities.len() / limits::IDENTITIES_PER_EVENT);
    checks / EVENTS_PER_UNIT
}

impl Service {
    /// What it takes to apply a transaction beyond what each takes, with the events that it may make.
    pub(super) fn units_of_applying(&self, txn: &Txn) -> u32 {
        let bytes_per_unit = match txn.header().op {
            OpCode::Multi | OpCode::CloseSession => limits::LIST_BYTES_PER_UNIT,
            _ => limits::COPIED_BYTES_PER_UNIT,
        };
        let (body, session) = (txn.body(), txn.header().client_id);
        // A list that was too long for the log stands in the tree.
        let unlisted = match body {
            TxnBody::CloseSession { paths: None } => self.database.ephemerals_size(session).1,
            _ => 0,
        };
        let units = (txn.bytes().len() + unlisted) / bytes_per_unit;
        let events = match self.database.watches().may_tell_many() {
            true => self.tenths_of_events(session, &body) / EVENTS_PER_UNIT,
            false => 0,
        };
        u32::try_from(units + events).unwrap_or(u32::MAX)
    }

    /// In tenths of units: what takes an event that is not long.
    fn tenths_of_events(&self, session: SessionId, body: &TxnBody<'_>) -> usize {
        let of_path = |path: Option<&str>| {
            let Some(path) = path else { return 0 };
            let copied = EVENTS_PER_UNIT * path.len() / limits::SENT_BYTES_PER_UNIT;
            self.database.watches().found_max(path) * (1 + copied)
        };
        match *body {
            TxnBody::Create(txn) => of_path(txn.path),
            TxnBody::CreateContainer(txn) => of_path(txn.path),
            TxnBody::CreateTtl(txn) => of_path(txn.path),
            TxnBody::Delete(txn) => of_path(txn.path),
            TxnBody::SetData(txn) => of_path(txn.path),
            TxnBody::CloseSession { paths: Some(ref paths) } => paths.iter().map(of_path).sum(),
            TxnBody::CloseSession { paths: None } => {
                self.database.ephemerals(session).map(|path| of_path(Some(path))).sum()
            }
            TxnBody::Multi(parts) => {
                TxnBody::parts(parts).map(|(_, part)| self.tenths_of_events(session, &part)).sum()
            }
            // Who watches is not told of these.
            TxnBody::SetAcl(_)
            | TxnBody::Check(_)
            | TxnBody::CreateSession { .. }
            | TxnBody::Error { .. } => 0,
        }
    }

    /// Whether a request has to wait for its turn; its connection stands in line then.
    #[inline]
    pub(super) fn waits_for_turn(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        frame: &[u8],
    ) -> bool {
        let cost = self.cost_of(connection, frame);
        let is_behind_others = cost.weight == Weight::Light && self.work.has_writers();
        if cost.is_write && (is_behind_others || !self.may_write(cost.weight)) {
            let line = match (cost.weight, self.work.is_serving && self.work.has_written) {
                (Weight::Heavy, _) => Line::HeavyWriters,
                (Weight::Light, true) => Line::Served,
                (Weight::Light, false) => Line::Writers,
            };
            self.work.stand_in_line(slot, connection, line);
            return true;
        }
        self.claim_turn(slot, connection, cost)
    }

    /// Whether a request is carried out in parts, a turn for each: then it stands in its connection's queue meanwhile.
    pub(super) fn takes_turns(op: OpCode, bytes: usize) -> bool {
        // The shortest path of a list takes five bytes.
        matches!(op, OpCode::SetWatches | OpCode::SetWatches2)
            && bytes / 5 > limits::WATCHES_SET_PER_TURN
    }

    /// Carries out a part of the `setWatches` at the front of a connection's queue, whose turn has come. Whether more
    /// than that is left: the connection stands in line again then. The reply, and an error, is left to whoever
    /// answers; of any other request everything is.
    fn goes_on_setting_watches(&mut self, slot: Slot, connection: &mut Connection) -> bool {
        // The request stays at the front; its bytes are out of the connection's hands meanwhile.
        let Some(Waiting::Request { frame, .. }) = connection.queue.iter_mut().next() else {
            return false;
        };
        let frame = std::mem::take(frame);
        let is_left = self.set_a_part(slot, connection, &frame);
        if let Some(Waiting::Request { frame: place, .. }) = connection.queue.iter_mut().next() {
            *place = frame;
        }
        if is_left {
            self.work.stand_in_line(slot, connection, Line::Heavy);
        }
        is_left
    }

    fn set_a_part(&mut self, slot: Slot, connection: &mut Connection, frame: &[u8]) -> bool {
        let mut input = Decoder::new(frame);
        let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input) else { return false };
        let Some(op) = OpCode::from_i32(op).filter(|op| Service::takes_turns(*op, frame.len()))
        else {
            return false;
        };
        let part = Part {
            done: connection.watches_set,
            at_most: limits::WATCHES_SET_PER_TURN,
            event_bytes_max: limits::OUTPUT_REPORTED_BYTES,
        };
        self.clients.prepare_buffer(slot, connection);
        let (paths, is_last) = self.set_watches(connection, op, input.rest(), part);
        connection.watches_set += paths;
        // Whoever answers meets an error once more.
        is_last == Ok(false)
    }

    /// Takes the units of a request, or lets it wait: true.
    fn claim_turn(&mut self, slot: Slot, connection: &mut Connection, cost: Cost) -> bool {
        let waits = !self.work.claim(cost.units, cost.weight);
        if waits {
            let line = match (cost.weight, cost.is_write) {
                (Weight::Light, _) => Line::Light,
                (Weight::Heavy, false) => Line::Heavy,
                (Weight::Heavy, true) => Line::HeavyWriters,
            };
            self.work.stand_in_line(slot, connection, line);
        }
        waits
    }

    /// Whether the read at the front of a connection's queue, which is due, waits for its turn: only one
    /// that `may` wait does, for a write of its session may stand behind it.
    pub(super) fn due_read_waits_for_turn(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        may: bool,
    ) -> bool {
        let Some(Waiting::Request { frame, .. }) = connection.queue.front() else { return false };
        let cost = self.cost_of(connection, frame);
        if !may {
            self.work.add(cost.units);
            return false;
        }
        self.claim_turn(slot, connection, cost) || self.goes_on_setting_watches(slot, connection)
    }

    /// When somebody in line is to be served.
    pub(super) fn next_in_line(&self) -> Option<MonoUs> {
        let Work { light, heavy, heavy_writers, writers, served, .. } = &self.work;
        let is_due = !light.is_empty()
            || !heavy.is_empty()
            || (!(writers.is_empty() && served.is_empty()) && self.may_write(Weight::Light))
            || (!heavy_writers.is_empty() && self.may_write(Weight::Heavy));
        is_due.then_some(self.now.mono)
    }

    /// Whether a client's next write may be proposed, for a write is applied behind all that were proposed before it; or
    /// passed on, for what is light would wait with it on its way.
    pub(super) fn may_write(&self, weight: Weight) -> bool {
        if self.ensemble.is_learning() {
            return self
                .ensemble
                .passed_on
                .has_room(weight, self.ensemble.peer.is_below_a_follower());
        }
        self.pipeline.in_flight.len() < limits::PROPOSED_MAX
            && self.pipeline.prep.outstanding_changes() <= limits::CHANGES_UNAPPLIED_MAX
            && self.work.proposed_units <= limits::UNITS_UNAPPLIED_MAX
            && self.work.proposed_bytes <= limits::BYTES_UNAPPLIED_MAX
    }

    /// What a request costs at most, as far as can be told, and whether it changes something.
    pub(super) fn cost_of(&self, connection: &Connection, frame: &[u8]) -> Cost {
        const LITTLE: Cost = Cost { units: 1, weight: Weight::Light, is_write: false };
        let mut input = Decoder::new(frame);
        let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input) else {
            return LITTLE;
        };
        let Some(op) = OpCode::from_i32(op) else { return LITTLE };
        let bytes = frame.len();
        let mut node = || {
            let path = <Option<&str>>::decode(&mut input).ok().flatten()?;
            self.database.node(path)
        };
        let units = match op {
            // While nobody waits it is not worth a look at the node; what it was worth counts behind it.
            OpCode::GetData if self.work.is_serving || !self.work.is_nobody_in_line() => {
                let data = node().and_then(|node| node.data().map(<[u8]>::len)).unwrap_or(0);
                1 + bytes / limits::COPIED_BYTES_PER_UNIT + data / limits::SENT_BYTES_PER_UNIT
            }
            OpCode::GetChildren | OpCode::GetChildren2 => {
                1 + node().map_or(0, |node| node.num_children()) / limits::NAMES_PER_UNIT
            }
            OpCode::GetEphemerals => {
                1 + self.database.ephemerals_size(connection.session).0 / limits::NAMES_PER_UNIT
            }
            OpCode::SetWatches | OpCode::SetWatches2 => {
                1 + (bytes / limits::SET_WATCH_BYTES_PER_UNIT).min(limits::WATCHES_SET_PER_TURN)
            }
            OpCode::MultiRead => {
                1 + bytes / limits::LIST_BYTES_PER_UNIT
                    + units_of_checks(bytes, &connection.identities)
            }
            // A secret is hashed.
            OpCode::Auth => 3 + bytes / limits::HASHED_BYTES_PER_UNIT,
            op if read::is_read(op) => 1 + bytes / limits::COPIED_BYTES_PER_UNIT,
            op => {
                let carried_out =
                    self.units_of_write(op, bytes, connection.session, &connection.identities);
                let weight = Weight::of(in_units(carried_out));
                let names = acl::bytes_of(&connection.identities);
                let units = match op {
                    _ if self.ensemble.proposes() => carried_out,
                    // It is read, and passed on.
                    OpCode::Multi => {
                        2 + bytes / limits::READ_BYTES_PER_UNIT
                            + names / limits::WRITTEN_BYTES_PER_UNIT
                    }
                    _ => 2 + (bytes + names) / limits::WRITTEN_BYTES_PER_UNIT,
                };
                return Cost { units: in_units(units), weight, is_write: true };
            }
        };
        let units = in_units(units);
        Cost { units, weight: Weight::of(units), is_write: false }
    }

    fn units_of_write(
        &self,
        op: OpCode,
        bytes: usize,
        session: SessionId,
        identities: &[Identity],
    ) -> usize {
        match op {
            OpCode::Multi => {
                4 + bytes / limits::LIST_BYTES_PER_UNIT
                    + units_of_checks(bytes, identities)
                    + self.units_of_names(bytes, identities)
            }
            OpCode::CloseSession => {
                let (ephemerals, _) = self.database.ephemerals_size(session);
                4 + ephemerals * limits::UNITS_PER_EPHEMERAL
            }
            OpCode::SetData | OpCode::Delete => 4 + bytes / limits::WRITTEN_BYTES_PER_UNIT,
            _ => {
                4 + bytes / limits::WRITTEN_BYTES_PER_UNIT + self.units_of_names(bytes, identities)
            }
        }
    }

    /// What the identities of whoever asks may add to the lists of permissions in a request: each `auth` in them
    /// stands for all.
    fn units_of_names(&self, bytes: usize, identities: &[Identity]) -> usize {
        /// The shortest entry of a list, and the shortest operation of a multi with a list.
        const ENTRY_BYTES: usize = 16;
        let name = |identity: &Identity| identity.scheme.len() + identity.id.len();
        let names = identities.iter().map(name).sum::<usize>();
        if names < limits::IDENTITIES_BYTES_USUAL {
            return 0;
        }
        let most = names * (1 + bytes / ENTRY_BYTES);
        most.min(self.options.txn_extra_bytes_max as usize) / limits::NAME_BYTES_PER_UNIT
    }

    /// The same of a request that a learner passes on.
    pub(super) fn units_of_forwarded(&self, request: &ForwardedRequest) -> u32 {
        let op = OpCode::from_i32(request.op).unwrap_or(OpCode::Error);
        let bytes = request.body.len();
        let carried_out = self.units_of_write(op, bytes, request.session, &request.identities);
        // They came with it, and each is hashed.
        let names = acl::bytes_of(&request.identities) / limits::HASHED_BYTES_PER_UNIT;
        in_units(carried_out + names)
    }
}

impl Replica {
    /// Serves those in line, as far as this turn may.
    pub(super) fn serve_line(&mut self, now: Now) {
        let may_write = self.service.may_write(Weight::Light);
        self.service.work.has_ended_a_session &= !may_write;
        if self.service.work.is_nobody_in_line() && self.service.ensemble.deferred.is_empty() {
            return;
        }
        self.service.work.is_serving = true;
        if may_write {
            let Work { light, writers, served, .. } = &mut self.service.work;
            light.append(writers);
            light.append(served);
        }
        let mut proposed = false;
        while self.service.work.left > 0 {
            let local = self.service.work.next_light();
            if let Some(slot) = local {
                self.leave_line(now, slot);
            }
            let mut passed = 0;
            while passed < limits::VISIT_WORK_UNITS_MIN
                && self.service.may_write(Weight::Light)
                && self.service.propose_deferred(now, Weight::Light)
            {
                passed += 1;
            }
            proposed |= passed > 0;
            if local.is_none() && passed == 0 {
                break;
            }
        }
        loop {
            let light_wait =
                !self.service.work.light.is_empty() || self.service.ensemble.deferred.has_light();
            if !self.service.work.is_time_for_heavy(light_wait) {
                break;
            }
            let Some(served) = self.serve_a_heavy_one(now) else { break };
            proposed |= served == Heavy::OfLearner;
        }
        self.service.work.is_serving = false;
        if proposed {
            self.on_deferred_proposed(now);
        }
    }

    /// Of which kind it was; those of one kind do not wait for those of another.
    fn serve_a_heavy_one(&mut self, now: Now) -> Option<Heavy> {
        for _ in 0..3 {
            let kind = self.service.work.next_kind;
            self.service.work.next_kind = kind.next();
            if kind != Heavy::Read && !self.service.may_write(Weight::Heavy) {
                continue;
            }
            let line = match kind {
                Heavy::Read => Line::Heavy,
                Heavy::Write => Line::HeavyWriters,
                Heavy::OfLearner => match self.service.propose_deferred(now, Weight::Heavy) {
                    true => return Some(kind),
                    false => continue,
                },
            };
            if let Some(slot) = self.service.work.next_heavy(line) {
                self.leave_line(now, slot);
                self.service.work.may_be_heavy = false;
                return Some(kind);
            }
        }
        None
    }

    fn leave_line(&mut self, now: Now, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.in_line = false;
        self.go_on_with(now, slot);
    }

    /// Whether clients wait for their turn and for nothing else: more of what they ask for would only lie
    /// here.
    pub fn has_somebody_in_line(&self) -> bool {
        self.service.next_in_line().is_some()
    }

    /// What the last turn did for clients, in units of about a microsecond, as far as it was told before it
    /// was done: for whoever compares that with what it took.
    pub fn units_of_last_turn(&self) -> u64 {
        self.service.work.last_turn.unsigned_abs()
    }
}

fn in_units(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}
