//! Replies, each written straight into the buffer of its connection.

use super::clients::Clients;
use super::connection::{Answer, Connection, Slot};
use super::ensemble::ReplicaRole;
use super::pipeline::InFlight;
use super::service::Service;
use crate::error::ErrorCode;
use crate::jute::{Bounded, Jute, begin_frame, end_frame};
use crate::limits;
use crate::planted::{self, PlantedBug};
use crate::processor::finish;
use crate::processor::read::{self, Part, PartDone, Reader};
use crate::proto::OpCode;
use crate::proto::request::RequestBody;
use crate::proto::response::{ReplyHeader, xid as fixed};
use crate::proto::txn::Txn;
use crate::time::{MonoUs, Now};

/// Where the error of a reply is, counted from the frame's start: behind length, xid and zxid.
const ERR_OFFSET: usize = 4 + 12;
/// Length of the error.
const ERR_BYTES: usize = 4;

impl Clients {
    /// Gives a connection a buffer to write to, and lists the connection for the next output.
    #[inline]
    pub(super) fn prepare_buffer(&mut self, slot: Slot, connection: &mut Connection) {
        assert!(connection.is_open(), "nothing is written to a closed connection");
        if connection.out.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            connection.out = spare;
        }
        self.mark_dirty(slot, connection);
    }

    /// Lists a connection for the next output.
    #[inline]
    pub(super) fn mark_dirty(&mut self, slot: Slot, connection: &mut Connection) {
        assert!(slot.id == connection.id, "a connection is listed under its own slot");
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(slot);
        }
    }
}

impl Service {
    /// Carries out a read and writes its reply.
    pub(super) fn answer_read(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        op: OpCode,
        body: &[u8],
    ) {
        // ZooKeeper: FinalRequestProcessor answers a ping with the xid of pings, whatever it came with.
        let xid = if op == OpCode::Ping { fixed::PING } else { xid };
        self.clients.prepare_buffer(slot, connection);
        let mut result = Ok(());
        if matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
            let rest = Part::rest(std::mem::take(&mut connection.watches_set));
            result = self.set_watches(connection, op, body, rest).1.map(|_| ());
        }
        let database = &mut self.database;
        let out = &mut connection.out;
        let start = begin_frame(out);
        let zxid = database.last_processed();
        ReplyHeader { xid, zxid, err: 0 }.encode(out);
        let body_at = out.len();
        assert!(body_at == start + ERR_OFFSET + ERR_BYTES, "the error ends the header of a reply");
        if !matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
            let is_unchecked = self.ensemble.role == ReplicaRole::Looking
                && planted::is(self.options.planted, PlantedBug::ReadersUnchecked);
            let reader = Reader {
                conn: connection.id,
                session: connection.session,
                identities: &connection.identities,
                skip_acl: self.options.skip_acl || is_unchecked,
                schemes: &self.options.authentication.schemes,
                reply_bytes_max: self.options.reply_bytes_max,
                multi_read_bytes_max: self.options.multi_read_bytes_max,
                planted: self.options.planted,
            };
            result = read::answer(database, &reader, op, body, out);
        }
        if let Err(error) = result {
            if error == ErrorCode::MarshallingError {
                self.stats.requests_malformed += 1;
            }
            // Only a read that sets a watch can fail so: there is no room for the watch.
            if error == ErrorCode::QuotaExceeded {
                self.stats.watches_refused += 1;
                if let Some(full) = database.watches().refused_last()
                    && let Some(unsaid) = self.lines.allow(self.now.mono)
                {
                    tracing::warn!(
                        conn = slot.id.0, remote = %connection.remote, session = %connection.session, ?op, unsaid,
                        "refusing a watch: {full}"
                    );
                }
            }
            if op == OpCode::MultiRead
                && error == ErrorCode::BadArguments
                && let Some(unsaid) = self.lines.allow(self.now.mono)
            {
                tracing::warn!(
                    conn = slot.id.0, remote = %connection.remote, session = %connection.session,
                    names_max = limits::MULTI_READ_NAMES_MAX,
                    bytes_max = self.options.multi_read_bytes_max, unsaid,
                    "refusing a multiRead: it asks for too many names of children, or its reply is too long \
                     (ringkeeper.multiReadReplyBytesMax)"
                );
            }
            // ZooKeeper: a multiRead that fails on the way shows the results so far behind the error. The refusal of a
            // multiRead that is too large is Ringkeeper's own, and shows none: the results are what is too large.
            if op != OpCode::MultiRead || error == ErrorCode::BadArguments {
                out.truncate(body_at);
            }
            out[start + ERR_OFFSET..body_at].copy_from_slice(&error.code().to_be_bytes());
        }
        end_frame(out, start);
        let bytes = out.len() - start;
        connection.note_reply(now.wall, xid, Some(op), zxid);
        self.on_reply_written(slot, connection, bytes);
        // No client looks at this reply, and the client would wait for ever for the events of watches that were not
        // set.
        if matches!(op, OpCode::SetWatches | OpCode::SetWatches2)
            && result == Err(ErrorCode::QuotaExceeded)
        {
            self.close_connection(slot, connection);
        }
    }

    /// Carries out a part of a `setWatches`, and writes the events for changes that the client has missed. Returns how
    /// many paths the part had, and whether it was the last one.
    pub(super) fn set_watches(
        &mut self,
        connection: &mut Connection,
        op: OpCode,
        body: &[u8],
        part: Part,
    ) -> (usize, Result<bool, ErrorCode>) {
        let Connection { id, session, identities, out, .. } = connection;
        let reader = Reader {
            conn: *id,
            session: *session,
            identities,
            skip_acl: self.options.skip_acl,
            schemes: &self.options.authentication.schemes,
            reply_bytes_max: self.options.reply_bytes_max,
            multi_read_bytes_max: self.options.multi_read_bytes_max,
            planted: self.options.planted,
        };
        let from = out.len();
        let (did, is_last) = match RequestBody::decode(op, body) {
            Ok(Some(RequestBody::SetWatches(request))) => {
                read::set_watches(&mut self.database, &reader, op, &request, part, out)
            }
            _ => (PartDone::default(), Err(ErrorCode::MarshallingError)),
        };
        let bytes = out.len() - from;
        self.stats.watch_bytes += bytes as u64;
        self.stats.packets_sent += did.events;
        connection.sent += did.events;
        // The client asked for these events, so they count like a reply.
        self.clients.memory.make(bytes);
        self.work.add_bytes(bytes);
        (did.paths, is_last)
    }

    /// Writes a reply that is only a header.
    pub(super) fn give_answer(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        answer: &Answer,
        arrived: MonoUs,
    ) {
        let zxid = answer.zxid.unwrap_or_else(|| self.database.last_processed());
        self.clients.release_large(answer.large);
        self.clients.prepare_buffer(slot, connection);
        let out = &mut connection.out;
        let start = begin_frame(out);
        ReplyHeader { xid: answer.xid, zxid, err: answer.err }.encode(out);
        end_frame(out, start);
        let bytes = out.len() - start;
        let waited = now.mono.since_us(arrived) / 1000;
        connection.latency_ms.record(waited);
        self.stats.latency_ms.record(waited);
        connection.note_reply(now.wall, answer.xid, answer.op, zxid);
        self.on_reply_written(slot, connection, bytes);
        if answer.unknown {
            self.close_connection(slot, connection);
        }
        if answer.ends {
            self.sessions.local.remove(connection.session);
            self.close_connection(slot, connection);
        }
    }

    /// Writes the reply of a transaction that was applied.
    pub(super) fn answer_write(
        &mut self,
        now: Now,
        slot: Slot,
        connection: &mut Connection,
        request: &InFlight,
        txn: &Txn,
        applied: &crate::database::Applied,
    ) {
        assert!(request.zxid == txn.zxid(), "the reply to a write is that of its own transaction");
        self.clients.prepare_buffer(slot, connection);
        let zxid = self.database.last_processed();
        let out = &mut connection.out;
        let start = begin_frame(out);
        ReplyHeader { xid: request.xid, zxid, err: 0 }.encode(out);
        let body_at = out.len();
        let mut body = Bounded::new(out, self.options.reply_bytes_max);
        let result = finish::reply(txn, applied, &mut body);
        if body.finish().is_err() {
            // The multi was carried out, so no error would be true.
            out.truncate(start);
            return self.reject(slot, connection, "the answer to its multi is longer than a frame");
        }
        if let Err(err) = result {
            out.truncate(body_at);
            out[start + ERR_OFFSET..body_at].copy_from_slice(&err.to_be_bytes());
        }
        end_frame(out, start);
        let bytes = out.len() - start;
        let waited = now.mono.since_us(request.arrived) / 1000;
        connection.latency_ms.record(waited);
        self.stats.latency_ms.record(waited);
        connection.note_reply(now.wall, request.xid, Some(request.op), zxid);
        self.on_reply_written(slot, connection, bytes);
    }

    /// A reply of `bytes` is at the end of a connection's buffer.
    #[inline]
    fn on_reply_written(&mut self, slot: Slot, connection: &mut Connection, bytes: usize) {
        assert!(bytes <= connection.out.len(), "a reply lies in the connection's buffer");
        self.stats.packets_sent += 1;
        self.stats.record_response(bytes as u64);
        // A reply of any length is delivered, and requests wait when there is enough in the buffer. So this bound is
        // only for reads behind a write that made their nodes larger than could be foreseen.
        self.clients.memory.make(bytes);
        self.work.add_bytes(bytes);
        if connection.out.len() - bytes > self.options.connection_output_bytes_max {
            self.give_up_slow(
                slot,
                connection,
                "the answers to its reads behind a write have too many bytes",
            );
        }
    }
}
