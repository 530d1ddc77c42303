//! From a committed transaction to what clients see: the change, its events, the reply, the reads behind it.

use std::rc::Rc;

use super::Replica;
use super::connection::{Slot, State, Waiting};
use super::cost::EVENTS_PER_UNIT;
use super::pipeline::InFlight;
use crate::database::{Applied, Fired};
use crate::limits;
use crate::planted::{self, PlantedBug};
use crate::processor::{finish, read};
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::event::encode_event_frame;
use crate::proto::txn::Txn;
use crate::time::Now;

/// Why a connection is closed whose watches are too much work.
const EVENTS_TOO_MANY: &str = "its watches and their events take more than a turn has for them";

impl Replica {
    /// Applies the next transaction, which takes so many units, and tells the clients that it concerns.
    pub(super) fn on_committed(&mut self, now: Now, txn: &Txn, units: u32) {
        let mut fired = std::mem::take(&mut self.fired);
        assert!(fired.is_empty(), "the events of the transaction before are sent");
        self.service.work.on_applying(units);
        let events_before = self.service.database.watches().spent();
        self.service.audit_before(now, txn);
        let applied = self.service.database.apply(txn, &mut fired);
        self.close_given_up();
        self.service.stats.txns_applied += 1;
        self.service.work.on_applied(txn.zxid());
        let late = planted::is(self.service.options.planted, PlantedBug::WatchAfterData);
        if !late {
            self.send_events(&fired);
        }

        if txn.header().op == OpCode::CreateSession {
            self.note_tenure(txn);
        }
        if self.service.ensemble.proposes() {
            self.service.pipeline.prep.on_applied(txn.zxid());
            self.answer_own(now, txn, &applied);
        } else {
            self.on_foreign_txn(now, txn, &applied);
        }
        match txn.header().op {
            OpCode::CreateSession => {
                self.service.sessions.on_global_session(txn.header().client_id)
            }
            OpCode::CloseSession => self.on_session_closed(txn.header().client_id),
            _ => {}
        }
        self.pass_barriers(now);
        if late {
            self.send_events(&fired);
        }
        let events_after = self.service.database.watches().spent();
        assert!(events_after >= events_before, "a turn's work on watches only grows");
        let events = events_after - events_before;
        let events = u32::try_from(events / EVENTS_PER_UNIT as u64).unwrap_or(u32::MAX);
        if events > units {
            self.service.work.on_events(events - units);
        }
        fired.clear();
        self.fired = fired;
    }

    /// Closes the connections whose watches take more work than a turn has for them.
    fn close_given_up(&mut self) {
        for id in self.service.database.watches_mut().take_given_up() {
            let Some(slot) = self.connections.find(id) else { continue };
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            self.service.give_up_slow(slot, connection, EVENTS_TOO_MANY);
        }
    }

    fn send_events(&mut self, fired: &[Fired]) {
        for event in fired {
            self.send_event(event);
        }
    }

    /// Answers a transaction that this server has proposed.
    fn answer_own(&mut self, now: Now, txn: &Txn, applied: &Applied) {
        let mut request = self
            .service
            .pipeline
            .in_flight
            .pop_front()
            .expect("every proposal is noted as in flight");
        assert!(request.zxid == txn.zxid(), "{} is committed, {} waits", txn.zxid(), request.zxid);
        let next = self.service.pipeline.in_flight.front();
        assert!(next.is_none_or(|next| next.zxid > request.zxid), "the zxids in flight rise");
        self.service.audit.on_outcome(now, request.audit.take(), txn, applied);
        self.service.clients.release_large(request.large);
        self.service.stats.record_update(now.mono.since_us(request.arrived));
        if let Some(slot) = request.slot {
            self.reply(now, slot, &request, txn, applied);
        }
    }

    /// Writes an event into the buffer of each connection that watches and may read the node.
    fn send_event(&mut self, event: &Fired) {
        if event.watchers.is_empty() {
            return;
        }
        let mut frame = std::mem::take(&mut self.service.clients.frame);
        frame.clear();
        encode_event_frame(event.event, &event.path, event.zxid, &mut frame);
        assert!(!frame.is_empty(), "an event has a frame");
        let mut sent = 0;
        let options = Rc::clone(&self.service.options);
        let schemes = &*options.authentication.schemes;
        let open_to_all = read::may(&event.acl, perms::READ, &[], schemes, options.skip_acl);
        let copied = EVENTS_PER_UNIT * frame.len() / limits::SENT_BYTES_PER_UNIT;
        let behind = self.service.ensemble.applying.behind_since(self.service.now.mono);
        for &watcher in &event.watchers {
            let Some(slot) = self.connections.find(watcher) else { continue };
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            if !connection.is_open() {
                continue;
            }
            // Unless everybody may read, each identity is looked up in the ACL; and a long event is copied.
            let checks = match open_to_all {
                true => 0,
                false => connection.identities.len() / limits::IDENTITIES_PER_EVENT,
            };
            let units = u32::try_from(checks + copied).unwrap_or(u32::MAX);
            if units > 0 && !self.service.database.watches_mut().charge(watcher, units) {
                self.service.give_up_slow(slot, connection, EVENTS_TOO_MANY);
                continue;
            }
            let readable = open_to_all
                || read::may(&event.acl, perms::READ, &connection.identities, schemes, false);
            if readable && behind.is_some_and(|since| connection.gets_too_much(since, frame.len()))
            {
                let reason = "its events are more than this server makes beside what is committed";
                self.service.give_up_slow(slot, connection, reason);
            } else if readable {
                self.service.clients.prepare_buffer(slot, connection);
                connection.out.extend_from_slice(&frame);
                connection.sent += 1;
                sent += 1;
                self.service.on_event_written(slot, connection, frame.len());
            }
        }
        let place = usize::try_from(event.event.number() - 1).expect("event types count from 1");
        self.service.stats.events_fired[place] += sent;
        self.service.stats.packets_sent += sent;
        self.service.stats.watch_bytes += sent * frame.len() as u64;
        self.service.clients.frame = frame;
    }

    /// Answers the client that asked for a transaction, if its connection is still there.
    fn reply(&mut self, now: Now, slot: Slot, request: &InFlight, txn: &Txn, applied: &Applied) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        match connection.state {
            State::Connecting => self.on_session_created(now, slot),
            State::Ready | State::Ending => {
                let front = connection.queue.pop_front();
                assert!(matches!(front, Some(Waiting::Write)), "the queue begins with this write");
                if finish::is_session_moved(applied) {
                    self.service.on_session_moved(slot, connection);
                } else {
                    self.service.answer_write(now, slot, connection, request, txn, applied);
                    self.service.advance(now, slot, connection);
                }
            }
            State::New | State::Reopening | State::Closed => {}
        }
    }

    /// Goes on with connections that waited until the writes of all sessions up to some zxid were applied.
    pub(super) fn pass_barriers(&mut self, now: Now) {
        while let Some(&(zxid, slot)) = self.service.clients.barriers.front() {
            if zxid > self.service.database.last_processed() {
                return;
            }
            self.service.clients.barriers.pop_front();
            let next = self.service.clients.barriers.front();
            assert!(
                next.is_none_or(|next| next.0 >= zxid),
                "those that wait stand in the order of zxids"
            );
            if let Some(connection) = self.connections.get_mut(slot) {
                self.service.advance(now, slot, connection);
            }
        }
    }
}
