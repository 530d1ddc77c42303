//! From "committed" to what clients see: apply, events, the reply, the reads behind it.

use super::Replica;
use super::connection::{Slot, State, Waiting};
use super::pipeline::InFlight;
use crate::database::{Applied, Fired};
use crate::planted::{self, PlantedBug};
use crate::processor::{finish, read};
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::event::encode_event_frame;
use crate::proto::txn::Txn;
use crate::time::Now;

impl Replica {
    /// Applies a transaction, which takes so many units, in zxid order, and tells those whom it concerns.
    pub(super) fn on_committed(&mut self, now: Now, txn: &Txn, units: u32) {
        let mut fired = std::mem::take(&mut self.fired);
        self.work.on_applying(units);
        let applied = self.database.apply(txn, &mut fired);
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
        fired.clear();
        self.fired = fired;
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
        let behind = self.ensemble.applying.behind_since(self.now.mono);
        for &watcher in &event.watchers {
            let Some(slot) = self.clients.connections.find(watcher) else { continue };
            let Some(mut connection) = self.clients.connections.take(slot) else { continue };
            let readable =
                read::may(&event.acl, perms::READ, &connection.identities, self.options.skip_acl);
            if readable && connection.is_open() && !self.work.claim_event() {
                let reason = "there are more events in one turn than a server makes";
                self.give_up_slow(slot, &mut connection, reason);
            } else if readable
                && connection.is_open()
                && behind.is_some_and(|since| connection.gets_too_much(since, frame.len()))
            {
                let reason = "its events are more than this server makes beside what is committed";
                self.give_up_slow(slot, &mut connection, reason);
            } else if readable && connection.is_open() {
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
