//! The connections whose requests wait for another turn: who joins the line, and who is served next.

use super::Replica;
use super::connection::{Connection, Slot, Waiting};
use super::cost::{Cost, Weight};
use super::service::Service;
use super::work::{Heavy, Line, Work};
use crate::jute::{Decoder, Jute};
use crate::limits;
use crate::processor::read::Part;
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::time::{MonoUs, Now};

impl Service {
    /// Whether a request has to wait for its turn: its connection then stands in line.
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
            assert!(
                connection.in_line,
                "a connection whose write waits for its turn stands in line"
            );
            return true;
        }
        self.claim_turn(slot, connection, cost)
    }

    /// Carries out a part of the `setWatches` at the front of a connection's queue, whose turn has come. True: more
    /// than that is left, and the connection stands in line again. Otherwise the caller answers the request: it carries
    /// out the last part, and meets any error. A request of another kind is left to the caller entirely.
    fn goes_on_setting_watches(&mut self, slot: Slot, connection: &mut Connection) -> bool {
        // Only a `setWatches` is carried out in parts, and it waits as a request. It stays at the front; its bytes are
        // borrowed from the queue meanwhile.
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

    /// Sets the next part of the watches of a `setWatches`. Whether more is left.
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
        assert!(paths <= limits::WATCHES_SET_PER_TURN, "a turn sets no more watches than it may");
        connection.watches_set += paths;
        // If this part fails, the caller meets the same error when it answers.
        is_last == Ok(false)
    }

    /// Takes the units of a request from the turn. True: the request has to wait, and its connection stands in line.
    #[inline]
    fn claim_turn(&mut self, slot: Slot, connection: &mut Connection, cost: Cost) -> bool {
        if self.work.claim(cost.units, cost.weight) {
            return false;
        }
        let line = match (cost.weight, cost.is_write) {
            (Weight::Light, _) => Line::Light,
            (Weight::Heavy, false) => Line::Heavy,
            (Weight::Heavy, true) => Line::HeavyWriters,
        };
        self.work.stand_in_line(slot, connection, line);
        assert!(connection.in_line, "a connection whose request waits for its turn stands in line");
        true
    }

    /// Whether the read at the front of a connection's queue, which is due, waits for its turn. It waits only if it
    /// `may`: not if a write of its session stands behind it.
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

    /// When a connection in line can be served.
    pub(super) fn next_in_line(&self) -> Option<MonoUs> {
        let Work { light, heavy, heavy_writers, writers, served, .. } = &self.work;
        let is_due = !light.is_empty()
            || !heavy.is_empty()
            || (!(writers.is_empty() && served.is_empty()) && self.may_write(Weight::Light))
            || (!heavy_writers.is_empty() && self.may_write(Weight::Heavy));
        is_due.then_some(self.now.mono)
    }

    /// Whether a client's next write of this weight may be proposed or passed on. A write is applied behind all that
    /// were proposed before it, and a light write that is passed on waits behind heavy ones on its way: so what is
    /// under way is bounded.
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
}

impl Replica {
    /// Serves the connections in line, and the requests of learners, as far as the turn's work goes.
    pub(super) fn serve_line(&mut self, now: Now) {
        if self.service.work.has_ended_a_session && self.service.may_write(Weight::Light) {
            self.service.work.has_ended_a_session = false;
        }
        if self.service.work.is_nobody_in_line() && self.service.ensemble.deferred.is_empty() {
            return;
        }
        let may_write = self.service.may_write(Weight::Light);
        assert!(!self.service.work.is_serving, "a turn serves the line once");
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

    /// Serves one heavy request, and returns its kind. The kinds take turns, so that none waits for all of another.
    fn serve_a_heavy_one(&mut self, now: Now) -> Option<Heavy> {
        assert!(self.service.work.is_serving, "a heavy request is served from its line");
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

    /// Goes on with a connection that was the first in its line.
    fn leave_line(&mut self, now: Now, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        assert!(connection.in_line, "a connection in line says so");
        connection.in_line = false;
        self.go_on_with(now, slot);
    }

    /// Whether clients wait for their turn and for nothing else: further requests would only wait here, too.
    pub fn has_somebody_in_line(&self) -> bool {
        self.service.next_in_line().is_some()
    }

    /// What the last turn did for clients, in units of about a microsecond, as estimated before it was done: to be
    /// compared with the time that it took.
    pub fn units_of_last_turn(&self) -> u64 {
        self.service.work.last_turn.unsigned_abs()
    }
}
