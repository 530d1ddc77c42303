//! From "committed" to what clients see: apply, events, the reply, the reads behind it.

use super::Replica;
use super::connection::{Slot, State, Waiting};
use super::pipeline::InFlight;
use super::work::EVENTS_PER_UNIT;
use crate::database::{Applied, Fired};
use crate::limits;
use crate::planted::{self, PlantedBug};
use crate::processor::{finish, read};
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::event::encode_event_frame;
use crate::proto::txn::Txn;
use crate::time::Now;

/// Why a connection is closed that watches too much.
const EVENTS_TOO_MANY: &str = "its watches and their events take more than a turn has for them";

impl Replica {
    /// Applies a transaction, which takes so many units, in zxid order, and tells those whom it concerns.
    pub(super) fn on_committed(&mut self, now: Now, txn: &Txn, units: u32) {
        let mut fired = std::mem::take(&mut self.fired);
        self.work.on_applying(units);
        let events_before = self.database.watches().spent();
        let applied = self.database.apply(txn, &mut fired);
        self.close_given_up();
        self.stats.txns_applied += 1;
        self.work.on_applied(txn.zxid());
        let late = planted::is(self.options.planted, PlantedBug::WatchAfterData);
        if !late {
            self.send_events(&fired);
        }

        if txn.header().op == OpCode::CreateSession {
            self.clients.note_tenure(txn);
        }
        if self.ensemble.proposes() {
            self.pipeline.prep.on_applied(txn.zxid());
            self.answer_own(now, txn, &applied);
        } else {
            self.on_foreign_txn(now, txn, &applied);
        }
        match txn.header().op {
            OpCode::CreateSession => self.sessions.on_global_session(txn.header().client_id),
            OpCode::CloseSession => self.on_session_closed(txn.header().client_id),
            _ => {}
        }
        self.pass_barriers(now);
        if late {
            self.send_events(&fired);
        }
        let events = self.database.watches().spent() - events_before;
        let events = u32::try_from(events / EVENTS_PER_UNIT as u64).unwrap_or(u32::MAX);
        if events > units {
            self.work.on_events(events - units);
        }
        fired.clear();
        self.fired = fired;
    }

    /// Closes those whose watches take more than a turn has for them.
    fn close_given_up(&mut self) {
        for id in self.database.watches_mut().take_given_up() {
            let Some(slot) = self.clients.connections.find(id) else { continue };
            let Some(mut connection) = self.clients.connections.take(slot) else { continue };
            self.give_up_slow(slot, &mut connection, EVENTS_TOO_MANY);
            self.clients.connections.put(slot, connection);
        }
    }

    fn send_events(&mut self, fired: &[Fired]) {
        for event in fired {
            self.send_event(event);
        }
    }

    /// A transaction that was made here.
    fn answer_own(&mut self, now: Now, txn: &Txn, applied: &Applied) {
        let request =
            self.pipeline.in_flight.pop_front().expect("every proposal is noted as in flight");
        assert!(request.zxid == txn.zxid(), "{} is committed, {} waits", txn.zxid(), request.zxid);
        self.clients.large_bytes -= request.large as usize;
        self.stats.record_update(now.mono.since_us(request.arrived));
        if let Some(slot) = request.slot {
            self.reply(now, slot, &request, txn, applied);
        }
    }

    /// Writes an event into the buffer of everybody who watches and may read.
    fn send_event(&mut self, event: &Fired) {
        if event.watchers.is_empty() {
            return;
        }
        let mut frame = std::mem::take(&mut self.clients.frame);
        frame.clear();
        encode_event_frame(event.event, &event.path, event.zxid, &mut frame);
        let mut sent = 0;
        let open_to_all = read::may(&event.acl, perms::READ, &[], self.options.skip_acl);
        let copied = EVENTS_PER_UNIT * frame.len() / limits::SENT_BYTES_PER_UNIT;
        let behind = self.ensemble.applying.behind_since(self.now.mono);
        for &watcher in &event.watchers {
            let Some(slot) = self.clients.connections.find(watcher) else { continue };
            let Some(mut connection) = self.clients.connections.take(slot) else { continue };
            if !connection.is_open() {
                self.clients.connections.put(slot, connection);
                continue;
            }
            // One without a name is looked up in the list, and a long event is copied.
            let checks = match open_to_all {
                true => 0,
                false => connection.identities.len() / limits::IDENTITIES_PER_EVENT,
            };
            let units = u32::try_from(checks + copied).unwrap_or(u32::MAX);
            if units > 0 && !self.database.watches_mut().charge(watcher, units) {
                self.give_up_slow(slot, &mut connection, EVENTS_TOO_MANY);
                self.clients.connections.put(slot, connection);
                continue;
            }
            let readable =
                open_to_all || read::may(&event.acl, perms::READ, &connection.identities, false);
            if readable && behind.is_some_and(|since| connection.gets_too_much(since, frame.len()))
            {
                let reason = "its events are more than this server makes beside what is committed";
                self.give_up_slow(slot, &mut connection, reason);
            } else if readable {
                self.clients.prepare_buffer(slot, &mut connection);
                connection.out.extend_from_slice(&frame);
                connection.sent += 1;
                sent += 1;
                self.on_event_written(slot, &mut connection, frame.len());
            }
            self.clients.connections.put(slot, connection);
        }
        let place = usize::try_from(event.event.number() - 1).expect("event types count from 1");
        self.stats.events_fired[place] += sent;
        self.stats.packets_sent += sent;
        self.stats.watch_bytes += sent * frame.len() as u64;
        self.clients.frame = frame;
    }

    fn reply(&mut self, now: Now, slot: Slot, request: &InFlight, txn: &Txn, applied: &Applied) {
        let Some(mut connection) = self.clients.connections.take(slot) else { return };
        match connection.state {
            State::Connecting => self.on_session_created(now, slot, &mut connection),
            State::Ready | State::Ending => {
                let front = connection.queue.pop_front();
                assert!(matches!(front, Some(Waiting::Write)), "the queue begins with this write");
                if finish::is_session_moved(applied) {
                    self.on_session_moved(slot, &mut connection);
                } else {
                    self.answer_write(now, slot, &mut connection, request, txn, applied);
                    self.advance(now, slot, &mut connection);
                }
            }
            State::New | State::Reopening | State::Closed => {}
        }
        self.clients.connections.put(slot, connection);
    }

    /// Goes on with connections that waited for everybody's writes up to some zxid.
    pub(super) fn pass_barriers(&mut self, now: Now) {
        while let Some(&(zxid, slot)) = self.clients.barriers.front() {
            if zxid > self.database.last_processed() {
                return;
            }
            self.clients.barriers.pop_front();
            if let Some(mut connection) = self.clients.connections.take(slot) {
                self.advance(now, slot, &mut connection);
                self.clients.connections.put(slot, connection);
            }
        }
    }
}
