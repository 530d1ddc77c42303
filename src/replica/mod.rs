//! The replica: the one owner of the server's state, without I/O and without a clock.
//!
//! Frames of clients, completions of the disk and the time come in; bytes for clients and operations of the disk go out
//! through [`Replica::take_output`]. The replica handles one event at a time, on one thread.
//!
//! ```text
//! handle_frames ─→ requests ─┬─ reads ──────────────────────────────────→ bytes
//!                            └─ writes ─→ prep ─→ peer ─→ txnlog ─→ ops
//! handle_completion ─→ txnlog ─→ peer ─→ database.apply ─→ events ─→ reply ─→ held reads
//! ```
//!
//! The rule that is easy to break: a client receives everything in the order of its session. A request behind a write
//! of the same session waits in the connection's queue. An event is written into a connection's buffer while its
//! transaction is applied, before any reply that could show the change.

mod applying;
mod audit;
mod auth;
mod back_pressure;
mod backlog;
mod behind;
mod clients;
mod closing;
mod commit;
mod connection;
mod cost;
mod deferred;
mod disk;
mod early;
mod ensemble;
mod epoch_files;
mod expiry;
mod forward;
mod learners;
mod line;
mod local;
mod memory;
mod options;
mod output;
mod owed;
mod passed_on;
mod pipeline;
mod positions;
mod questions;
mod queue;
mod reap;
mod replies;
mod requests;
mod room;
mod sasl;
mod screen;
mod service;
mod sessions;
mod silence;
mod standing;
mod stats;
mod steps;
mod suspects;
mod syncs;
#[cfg(test)]
mod tests;
mod throttle;
mod transfer;
mod tree;
mod unlogged;
mod unlogged_sessions;
mod waiting;
mod warm;
mod work;

use std::net::SocketAddr;

use cost::Weight;

pub use audit::{AuditClient, AuditOperation, AuditRecord, AuditRecords, AuditResult};
pub use memory::Held;
pub use options::ReplicaOptions;
pub use output::{Fatal, Outgoing, Output, Reload, Reloaded};
pub use sasl::{LoginOp, SaslOptions};
pub use stats::{ConnectionFacts, Latency, Stats};
pub use throttle::ThrottleOptions;

use crate::database::{Database, Fired};
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::peer::Peer;
use crate::recovery::Recovered;
use crate::time::{MonoUs, Now};
use crate::txnlog;

use connection::{Connection, Connections, Slot, State};
use ensemble::ReplicaRole;
use service::Service;

/// The owner of the server's state: it has the connections itself, and the rest in a `Service`, to which it hands one
/// connection at a time.
pub struct Replica {
    /// Every connection that is open or still has bytes to send.
    connections: Connections,
    /// Everything else, as one connection sees it.
    service: Service,
    /// The watches that the transaction under way fires; kept for its allocation.
    ///
    /// Invariant: empty between transactions.
    fired: Vec<Fired>,
}

impl Replica {
    /// A replica of a server on its own, over what recovery found. `seed` is any number that differs from run to run.
    pub fn new(options: ReplicaOptions, recovered: Recovered, now: Now, seed: u64) -> Replica {
        let peer = Peer::standalone(recovered.database.last_processed());
        let me = options.server_id;
        Replica::over(Service::new(options, (peer, ReplicaRole::Alone, me), recovered, now, seed))
    }

    fn over(service: Service) -> Replica {
        Replica { connections: Connections::default(), service, fired: Vec::new() }
    }

    /// A connection, and the service that serves it. `None`: the connection has gone since the caller got its slot, and
    /// there is nothing to do for it.
    #[inline]
    fn one(&mut self, slot: Slot) -> Option<(&mut Connection, &mut Service)> {
        Some((self.connections.get_mut(slot)?, &mut self.service))
    }

    /// The edge has accepted a socket. The replica sends nothing before the first frame arrives.
    pub fn handle_open(&mut self, now: Now, conn: ConnectionId, remote: SocketAddr) {
        self.service.now = now;
        let slot = self.connections.open(conn, remote, now);
        self.service.stats.connections_opened += 1;
        if self.service.shutting_down {
            self.close(slot);
        }
    }

    /// The client of a connection that was just opened has shown a certificate, which was verified; `subject` is its
    /// subject in the form of RFC 2253. The edge says so before the first frame.
    pub fn handle_certificate(&mut self, now: Now, conn: ConnectionId, subject: &str) {
        self.service.now = now;
        // The replica has closed the connection: it is shutting down.
        let Some(slot) = self.connections.find(conn) else { return };
        let Some((connection, service)) = self.one(slot) else { return };
        service.on_certificate(slot, connection, subject);
    }

    /// The socket is gone: its watches go, and its session stays until it expires. For a connection
    /// that the replica closed itself ([`Outgoing::close`]) this does nothing.
    pub fn handle_close(&mut self, now: Now, conn: ConnectionId) {
        self.service.now = now;
        // The replica has closed the connection itself, and forgotten it.
        let Some(slot) = self.connections.find(conn) else { return };
        if let Some(connection) = self.connections.get_mut(slot) {
            self.service.clients.give_up_login(connection);
            self.service.clients.release_queue(connection, &mut self.service.ensemble);
            self.service.clients.forget(slot, connection.session, &mut self.service.database);
            assert!(connection.queue.is_empty(), "a connection that goes leaves no claims behind");
        }
        self.connections.remove(slot);
        assert!(self.connections.find(conn).is_none(), "a connection that is gone is not found");
    }

    /// Does what is due by now. To be called at [`Replica::next_timeout`]; earlier or later does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.service.now = now;
        self.service.ensemble.peer.handle_timeout(now.mono);
        self.follow_peer(now);
        self.answer_questions(now);
        self.expire_sessions(now);
        self.service.reap(now);
        self.on_standing_timeout(now);
        self.close_silent(now);
        self.service.pipeline.on_disk_timeout(now, &mut self.service.ensemble);
        if self.service.sessions.unlogged_left {
            self.log_unlogged_sessions(now);
        }
    }

    /// When [`Replica::handle_timeout`] has something to do. A time in the past means at once.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        let applying = self.service.ensemble.is_applying().then_some(self.service.now.mono);
        if self.service.shutting_down {
            let peer = self.service.ensemble.peer.next_timeout();
            return peer.into_iter().chain(self.service.ensemble.quiet_at).chain(applying).min();
        }
        let disk = self.service.pipeline.next_room_timeout();
        let slice = self.service.pipeline.snapshots.wants_poll()
            || self.service.ensemble.outgoing_wants_poll()
            || !self.service.clients.resumable.is_empty();
        let slice = slice.then_some(self.service.now.mono);
        let reaping =
            if self.service.ensemble.proposes() { self.service.reaping.next() } else { None };
        let may_expire = self.service.sessions.may_expire(&self.service.pipeline)
            && self.service.may_write(Weight::Heavy)
            && self.service.work.may_end_a_session();
        let sessions = if may_expire { self.service.sessions.tracker.next_expiry() } else { None };
        let local = self.service.sessions.local.next_expiry();
        let standing = self.service.ensemble.next_standing_timeout();
        let peer = self.service.ensemble.peer.next_timeout();
        let silence = self.service.clients.silence.next();
        let unlogged = self.service.sessions.unlogged_left.then_some(self.service.now.mono);
        let memory = self.service.clients.memory.next_look(self.service.now.mono);
        let work = self.service.next_in_line();
        let deferred = self.service.next_deferred();
        let watches = self.service.database.watches().has_gone().then_some(self.service.now.mono);
        let all = [
            deferred, reaping, disk, slice, sessions, local, standing, silence, peer, unlogged,
            memory, work, watches, applying,
        ];
        all.into_iter().flatten().min()
    }

    /// Begins to stop: the replica refuses new connections and requests, and finishes what is in flight. It has
    /// stopped when [`Replica::is_quiet`] says so.
    pub fn shutdown(&mut self, now: Now) {
        self.service.now = now;
        self.service.shutting_down = true;
        if self.service.ensemble.role != ReplicaRole::Alone
            && self.service.ensemble.quiet_at.is_none()
        {
            // What is under way may wait for servers that never answer.
            self.service.ensemble.quiet_at =
                Some(now.mono.plus_ms(self.service.options.tick_ms.into()));
        }
    }

    /// Whether everything is finished after [`Replica::shutdown`]: no write is in flight and no log file is
    /// open. A snapshot under way is left unfinished; the next start removes its files.
    pub fn is_quiet(&self) -> bool {
        self.service.shutting_down
            && self.service.pipeline.is_done(self.service.now, &self.service.ensemble)
            && self.service.pipeline.txnlog.is_closed()
            && self.service.pipeline.ops.is_empty()
            && self.service.clients.dirty.is_empty()
    }

    /// Moves what the turn produced into `out`, whose former content was carried out. To be called once after each
    /// batch of `handle_…` calls, so that the writes of one turn become one group of the log.
    pub fn take_output(&mut self, out: &mut Output) {
        self.service.clients.spare.append(out.spare_mut());
        self.service.clients.spare.truncate(output::SPARE_BUFFERS_MAX);
        self.go_on_reading(self.service.now);
        self.serve_line(self.service.now);
        self.service.database.watches_mut().remove_gone(crate::limits::WATCHES_REMOVED_PER_TURN);
        self.poll_disk(self.service.now);
        self.service.poll_outgoing();
        // What the peer has heard since has its consequences in this turn.
        self.follow_peer(self.service.now);
        assert!(self.fired.is_empty(), "every event was sent when its transaction was applied");
        // A server whose disk has failed acknowledges nothing any more, and its positions go on without the disk.
        if !self.service.pipeline.stopped {
            let positions = self.service.positions();
            positions.assert_order();
            self.service.pipeline.assert_order(&positions, self.service.ensemble.proposes());
        }
        out.links.append(&mut self.service.ensemble.links);
        out.log_reads.append(&mut self.service.ensemble.log_reads);
        out.configs.append(&mut self.service.ensemble.configs);
        self.service.audit.on_lost(self.service.ensemble.passed_on.take_untold());
        self.service.audit.hand_out(&mut out.audit);
        out.reload = self.service.pipeline.reload.take();
        out.ops.append(&mut self.service.pipeline.ops);
        out.fatal = self.service.pipeline.fatal.take();
        if self.service.clients.prompt_reads > 0 {
            self.service.stats.record_prompt_reads(self.service.clients.prompt_reads);
            self.service.clients.prompt_reads = 0;
        }
        let is_looking = self.service.ensemble.role == ReplicaRole::Looking;
        let mut withheld = Vec::new();
        let mut dirty = std::mem::take(&mut self.service.clients.dirty);
        for slot in dirty.drain(..) {
            // The client has closed its socket since the connection was listed.
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            assert!(connection.dirty, "a connection is listed while its flag says so");
            if connection.input_over && connection.is_done() {
                self.service.close_connection(slot, connection);
            }
            if connection.parked.is_some() && is_looking {
                // Without a leader nobody knows whether the transactions that these bytes show will stay.
                if !self.service.shutting_down {
                    withheld.push(slot);
                    continue;
                }
                connection.out.clear();
            }
            connection.dirty = false;
            let close = connection.state == State::Closed;
            assert!(!close || connection.queue.is_empty(), "a closed connection waits for nothing");
            let is_reported = connection.owed.hand_out(connection.out.len());
            out.sends.push(Outgoing {
                conn: slot.id,
                bytes: std::mem::take(&mut connection.out),
                answered: connection.take_answered(),
                close,
                is_reported,
            });
            if close {
                self.connections.remove(slot);
            } else if connection.waits_to_be_read
                && connection
                    .may_go_on(&self.service.options, self.service.database.last_processed())
            {
                self.service.clients.resumable.push(slot);
            }
        }
        // A connection that was closed just now leaves its login behind.
        out.logins.append(&mut self.service.clients.logins);
        if let Peer::Member(member) = &mut self.service.ensemble.peer {
            out.link_logins.append(&mut member.take_logins());
        }
        dirty.append(&mut withheld);
        assert!(self.service.clients.dirty.is_empty(), "handing bytes out makes no new bytes");
        self.service.clients.dirty = dirty;
        self.service.work.begin_turn();
        self.service.database.watches_mut().begin_turn(self.service.options.turn_events_max);
    }

    /// The options that the replica was made with.
    pub fn options(&self) -> &ReplicaOptions {
        &self.service.options
    }

    /// The tree, its sessions and its watches.
    pub fn database(&self) -> &Database {
        &self.service.database
    }

    /// The counters of the replica.
    pub fn stats(&self) -> &Stats {
        &self.service.stats
    }

    /// Clears the counters that `srst` clears.
    pub fn reset_stats(&mut self) {
        self.service.stats.reset();
        if let Peer::Member(member) = &mut self.service.ensemble.peer {
            member.reset_stats();
        }
    }

    /// Clears the counters of every connection (`crst`).
    pub fn reset_connection_stats(&mut self) {
        for connection in self.connections.iter_mut() {
            connection.reset_stats();
        }
    }

    /// The connections, in no order.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionFacts> + '_ {
        self.connections.iter().map(|connection| connection.facts())
    }

    /// Number of connections, those without a session included (`num_alive_connections`).
    pub fn connections_count(&self) -> usize {
        self.connections.len()
    }

    /// The facts of one connection.
    pub fn connection(&self, conn: ConnectionId) -> Option<ConnectionFacts> {
        let slot = self.connections.find(conn)?;
        self.connections.get(slot).map(|connection| connection.facts())
    }

    /// When global sessions expire if their clients stay silent (`dump`): each time by the clock for durations, in
    /// rising order, and the sessions that expire then, in no order.
    pub fn session_expiries(&self) -> Vec<(MonoUs, Vec<SessionId>)> {
        self.service.sessions.tracker.by_expiry().into_iter().collect()
    }

    /// Number of global sessions.
    pub fn global_sessions_count(&self) -> usize {
        if self.service.ensemble.proposes() {
            self.service.sessions.tracker.len()
        } else {
            self.service.database.sessions_count()
        }
    }

    /// The probability with which a client that connects is refused by chance, 0 to 1 (`connection_throttle_*`).
    pub fn drop_probability(&self) -> f64 {
        self.service.clients.throttle.drop_probability()
    }

    /// Number of local sessions. A server on its own has only those that began while its disk was full, and otherwise
    /// none, like ZooKeeper's.
    pub fn local_sessions_count(&self) -> usize {
        self.service.sessions.local.len()
    }

    /// When local sessions expire: each time, and the sessions that expire then.
    pub fn local_session_expiries(&self) -> Vec<(MonoUs, Vec<SessionId>)> {
        self.service.sessions.local.by_expiry().into_iter().collect()
    }

    /// Requests that arrived and are not yet answered (`outstanding_requests`).
    pub fn requests_outstanding(&self) -> usize {
        self.service.pipeline.in_flight.len()
            + self.service.ensemble.passed_on.requests()
            + self.service.clients.requests_held
    }

    /// Whether no write counts as passed on to the leader. For tests: a write that counted as under way for ever would
    /// keep later ones out.
    pub fn has_no_write_under_way(&self) -> bool {
        self.service.ensemble.passed_on.is_empty()
    }

    /// The zxid of the newest transaction that was applied.
    pub fn last_processed(&self) -> Zxid {
        self.service.database.last_processed()
    }

    /// The zxid of the newest transaction that was proposed.
    pub fn last_proposed(&self) -> Zxid {
        if self.service.ensemble.proposes() {
            self.service.pipeline.prep.last()
        } else {
            self.service.ensemble.peer.accepted()
        }
    }

    /// ZooKeeper's word for the role (`mntr`, `stat`).
    pub fn mode(&self) -> &'static str {
        self.service.ensemble.peer.mode()
    }

    /// The writer of the log, for its counts and for the buffers that a ring registers.
    pub fn txnlog(&self) -> &txnlog::Writer {
        &self.service.pipeline.txnlog
    }

    /// Whether this server serves clients.
    pub fn serves(&self) -> bool {
        self.service.ensemble.serves()
    }

    /// Whether this server serves only clients that read, because it has no leader.
    pub fn is_read_only(&self) -> bool {
        self.service.ensemble.is_read_only()
    }

    /// Whether writes are refused, or wait, because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        self.service.pipeline.is_disk_full()
    }

    /// Whether this server waits for other servers.
    pub fn awaits_others(&self) -> bool {
        self.service.ensemble.awaits_others()
    }

    /// Whether the edge should read nothing more from a leader for now.
    pub fn is_behind(&self) -> bool {
        self.service.pipeline.steps.backlog.is_behind()
    }

    /// Takes a snapshot as soon as none is under way.
    pub fn request_snapshot(&mut self) {
        self.service.pipeline.snapshots.request();
    }
}
