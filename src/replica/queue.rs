//! A connection's queue: what waits behind the writes that its session has in flight.

use super::clients::Clients;
use super::connection::{Answer, Connection, Slot, Waiting};
use super::service::Service;
use crate::id::Zxid;
use crate::jute::{Decoder, Jute};
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;
use crate::time::{MonoUs, Now};

impl Clients {
    /// The request at the front of a connection's queue waits until the transaction `after` is applied.
    pub(super) fn await_zxid(&mut self, slot: Slot, after: Zxid) {
        // As a rule this is the end of the list: a request waits for the newest zxid, which only grows.
        let at = self.barriers.partition_point(|(zxid, _)| *zxid <= after);
        self.barriers.insert(at, (after, slot));
    }

    /// A connection's queue has become empty. Requests that were finished before its last one are reported now, and a
    /// connection whose client sends nothing more can be closed: both happen when its bytes are handed out.
    pub(super) fn on_queue_empty(&mut self, slot: Slot, connection: &mut Connection) {
        assert!(connection.queue.is_empty(), "the caller has seen the end of the queue");
        if connection.answered_early > 0 || connection.input_over {
            self.mark_dirty(slot, connection);
        }
    }
}

impl Service {
    /// Lets a request wait behind the writes that its session has in flight, and until `after` is applied.
    pub(super) fn hold(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        frame: &[u8],
        arrived: MonoUs,
        after: Zxid,
    ) {
        assert!(connection.is_open(), "a closed connection has no request that could wait");
        if self.clients.holds_too_much(connection) {
            self.reject(slot, connection, "too many requests behind its own writes");
            return;
        }
        connection.held_bytes += frame.len();
        let expected = self.expected_bytes(connection, frame);
        connection.owed.expected.add(expected);
        let first = connection.queue.is_empty();
        let frame = frame.into();
        let identities = connection.identities.len();
        let request = Waiting::Request { frame, arrived, after, expected, identities };
        connection.queue.push_back(request);
        self.clients.requests_held += 1;
        if first {
            self.clients.await_zxid(slot, after);
        }
    }

    /// Sends an answer that is certain already, now or when its turn in the queue comes.
    pub(super) fn answer_in_turn(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        answer: Answer,
        after: Zxid,
    ) {
        assert!(connection.is_open(), "a closed connection gets no answer");
        if connection.queue.is_empty() && self.database.last_processed() >= after {
            self.give_answer(now, slot, connection, &answer, now.mono);
            return;
        }
        let first = connection.queue.is_empty();
        connection.queue.push_back(Waiting::Answer { answer, arrived: now.mono, after });
        self.clients.requests_held += 1;
        if first {
            self.clients.await_zxid(slot, after);
        }
    }

    /// Answers what is due in a connection's queue, up to the first step that must wait.
    pub(super) fn advance(&mut self, now: Now, slot: Slot, connection: &mut Connection) {
        while connection.is_open() {
            if self.may_wait_to_be_read(slot, connection) {
                return;
            }
            match connection.queue.front() {
                None => return self.clients.on_queue_empty(slot, connection),
                Some(Waiting::Write) => return,
                Some(Waiting::Forwarded(request)) => {
                    if request.sync.is_none_or(|number| number >= connection.synced) {
                        return;
                    }
                    let Some(Waiting::Forwarded(request)) = connection.queue.pop_front() else {
                        unreachable!("the front was looked at")
                    };
                    self.answer_sync(now, slot, connection, &request);
                    continue;
                }
                Some(Waiting::Request { after, .. } | Waiting::Answer { after, .. }) => {
                    let after = *after;
                    if self.database.last_processed() < after {
                        return self.clients.await_zxid(slot, after);
                    }
                }
            }
            assert!(self.clients.requests_held > 0, "a request that leaves a queue was counted");
            self.clients.requests_held -= 1;
            match connection.queue.pop_front() {
                Some(Waiting::Request { frame, arrived, expected, identities, .. }) => {
                    assert!(frame.len() <= connection.held_bytes, "a queued frame is counted");
                    connection.held_bytes -= frame.len();
                    connection.owed.expected.remove(expected);
                    let mut input = Decoder::new(&frame);
                    let header = RequestHeader::decode(&mut input)
                        .expect("the header was read when the request arrived");
                    let op = OpCode::from_i32(header.op).expect("only known operations are held");
                    self.stats.record_read(now.mono.since_us(arrived));
                    connection.latency_ms.record(now.mono.since_us(arrived) / 1000);
                    self.stats.latency_ms.record(now.mono.since_us(arrived) / 1000);
                    let later = connection.identities.split_off(identities);
                    self.answer_read(now, slot, connection, header.xid, op, input.rest());
                    connection.identities.extend(later);
                }
                Some(Waiting::Answer { answer, arrived, .. }) => {
                    self.give_answer(now, slot, connection, &answer, arrived);
                }
                Some(Waiting::Write | Waiting::Forwarded(_)) | None => {
                    unreachable!("the front was looked at")
                }
            }
        }
    }
}
