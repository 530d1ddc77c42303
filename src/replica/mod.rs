//! The replica: the one owner of the server's state, without I/O and without a clock.
//!
//! Frames of clients, completions of the disk and the passing of time come in; bytes for clients
//! and operations of the disk come out through [`Replica::take_output`]. One event at a time, on
//! one thread.
//!
//! ```text
//! handle_frames ─→ requests ─┬─ reads ──────────────────────────────────→ bytes
//!                            └─ writes ─→ prep ─→ peer ─→ txnlog ─→ ops
//! handle_completion ─→ txnlog ─→ peer ─→ database.apply ─→ events ─→ reply ─→ held reads
//! ```
//!
//! The rule that is easy to break: everything a client is sent is in the order of its session. A
//! request behind one of its own writes waits in the connection's queue; an event is written into
//! a connection's buffer while the transaction is applied, before any reply that could show it.

mod auth;
mod back_pressure;
mod behind;
mod closing;
mod commit;
mod connection;
mod deferred;
mod disk;
mod early;
mod ensemble;
mod forward;
mod learners;
mod lines;
mod local;
mod memory;
mod options;
mod output;
mod owed;
mod passed_on;
mod questions;
mod queue;
mod reap;
mod replies;
mod requests;
mod room;
mod screen;
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

use std::collections::VecDeque;
use std::net::SocketAddr;

use hashbrown::HashMap;
use work::Weight;

pub use memory::Held;
pub use options::ReplicaOptions;
pub use output::{Fatal, Output, Reload, Reloaded, Send};
pub use stats::{ConnectionFacts, Latency, Stats};
pub use throttle::ThrottleOptions;

use crate::acl::Authentication;
use crate::database::{Database, Fired};
use crate::id::{ConnectionId, ServerId, SessionId, Zxid};
use crate::io;
use crate::peer::Peer;
use crate::processor::{Prep, PrepOptions};
use crate::proto::OpCode;
use crate::proto::txn::Txn;
use crate::recovery::Recovered;
use crate::session::{IdGenerator, Timeouts, Tracker};
use crate::time::{MonoUs, Now};
use crate::txnlog;
use crate::zab::Ready;

use connection::{Connections, Slot, State};
use disk::Snapshots;
use ensemble::{Ensemble, Role};

/// See the module's words.
pub struct Replica {
    options: ReplicaOptions,
    authentication: Authentication,
    timeouts: Timeouts,
    database: Database,
    prep: Prep,
    peer: Peer,
    ensemble: Ensemble,
    txnlog: txnlog::Writer,
    snapshots: Snapshots,
    sessions: Tracker,
    session_ids: IdGenerator,
    /// The connection of each session that has one.
    by_session: HashMap<SessionId, Slot>,
    connections: Connections,
    /// Connections with something to take, each once.
    dirty: Vec<Slot>,
    /// Connections whose requests waited until their client had read, and may go on.
    resumable: Vec<Slot>,
    silence: silence::Silence,
    memory: memory::Memory,
    work: work::Work,
    /// Transactions proposed and not applied, in order, and to whom each is answered.
    in_flight: VecDeque<InFlight>,
    /// Transactions proposed that the log has not taken yet, in order.
    backlog: VecDeque<Txn>,
    /// Connections whose queue begins with something that waits for other sessions' writes, in
    /// order of the zxid that they wait for.
    barriers: VecDeque<(Zxid, Slot)>,
    reaping: reap::Reaping,
    disk_full: DiskFull,
    /// When a segment is to be prepared for which there was no room, though none may be needed yet.
    prepare_again_at: Option<MonoUs>,
    throttle: throttle::Throttle,
    large_bytes: usize,
    /// When the group of transactions in flight was submitted.
    group_started: MonoUs,
    /// How long the thread was to run and did not, in µs, since it began; and what that was when the group's
    /// write began.
    held_us: u64,
    group_held_us: u64,
    shutting_down: bool,
    /// The moment of the event under way or, between events, of the last one.
    now: Now,
    fatal: Option<Fatal>,
    stopped: bool,
    lines: lines::Lines,
    /// When the log last said that there is no room for it.
    no_room_said_at: Option<MonoUs>,
    /// Requests that wait in the connections' queues, writes not counted.
    requests_held: usize,
    stats: Stats,
    /// Operations for the next output.
    ops: Vec<io::Op>,
    /// Reads answered in this turn without waiting.
    prompt_reads: u64,
    /// Buffers for connections.
    spare: Vec<Vec<u8>>,
    // Kept for their allocations.
    ready: Ready,
    fired: Vec<Fired>,
    frame: Vec<u8>,
    expired: Vec<SessionId>,
    /// The last end of a session that was proposed because nothing was heard of it.
    expired_up_to: Zxid,
}

/// Whether writes are refused for want of room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskFull {
    No,
    /// The next attempt to get room.
    RetryAt(MonoUs),
}

/// A transaction on its way.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    zxid: Zxid,
    /// The tree's digest before it, in case that it is taken back.
    digest_before: i64,
    /// What was asked for; the transaction itself may be an error.
    op: OpCode,
    /// Who waits. `None`: nobody, the server itself asked.
    slot: Option<Slot>,
    session: SessionId,
    xid: i32,
    arrived: MonoUs,
    /// Bytes of the request if it counts as large.
    large: u32,
}

impl Replica {
    /// A replica over what recovery found. `seed` is any number that differs from run to run.
    pub fn new(options: ReplicaOptions, recovered: Recovered, now: Now, seed: u64) -> Replica {
        let peer = Peer::standalone(recovered.database.last_processed());
        let me = options.server_id;
        Replica::assemble(options, peer, Role::Alone, me, recovered, now, seed)
    }

    fn assemble(
        options: ReplicaOptions,
        peer: Peer,
        role: Role,
        me: ServerId,
        recovered: Recovered,
        now: Now,
        seed: u64,
    ) -> Replica {
        let Recovered { database, snapshot, .. } = recovered;
        let last = database.last_processed();
        let timeouts = Timeouts {
            min_ms: options.session_timeout_ms_min,
            max_ms: options.session_timeout_ms_max,
        };
        let mut sessions = Tracker::new(options.tick_ms);
        if role == Role::Alone {
            // ZooKeeper: every session has its whole timeout from the moment the server is up.
            for (session, timeout_ms) in database.sessions() {
                sessions.add(session, timeout_ms, now.mono);
            }
        }
        let mut ensemble = Ensemble::new(role, me, &options, now, seed);
        ensemble.steps.start(last);
        ensemble.newest_snapshot = snapshot.unwrap_or(Zxid::ZERO);
        Replica {
            authentication: Authentication::new(options.authentication.clone()),
            timeouts,
            prep: Prep::new(prep_options(&options), &database),
            peer,
            ensemble,
            txnlog: txnlog::Writer::new(options.txnlog.clone(), last, seed),
            snapshots: Snapshots::new(
                options.snapshot.clone(),
                snapshot.is_none(),
                role == Role::Alone,
                seed,
            ),
            sessions,
            session_ids: IdGenerator::new(options.server_id, now.wall.0),
            by_session: HashMap::new(),
            connections: Connections::default(),
            dirty: Vec::new(),
            resumable: Vec::new(),
            silence: silence::Silence::default(),
            memory: memory::Memory::default(),
            work: work::Work::new(options.turn_work_units, options.turn_events_max),
            in_flight: VecDeque::new(),
            backlog: VecDeque::new(),
            barriers: VecDeque::new(),
            reaping: reap::Reaping::new(&options, now.mono),
            disk_full: DiskFull::No,
            prepare_again_at: None,
            throttle: throttle::Throttle::new(options.throttle.clone(), now.mono, seed),
            large_bytes: 0,
            group_started: now.mono,
            held_us: 0,
            group_held_us: 0,
            shutting_down: false,
            now,
            fatal: None,
            stopped: false,
            lines: lines::Lines::default(),
            no_room_said_at: None,
            requests_held: 0,
            stats: Stats::new(now.wall, now.mono),
            ops: Vec::new(),
            prompt_reads: 0,
            spare: Vec::new(),
            ready: Ready::default(),
            fired: Vec::new(),
            frame: Vec::new(),
            expired: Vec::new(),
            expired_up_to: Zxid::ZERO,
            database,
            options,
        }
    }

    /// A socket was accepted. Nothing is answered before its first frame.
    pub fn handle_open(&mut self, now: Now, conn: ConnectionId, remote: SocketAddr) {
        self.now = now;
        let slot = self.connections.open(conn, remote, now);
        self.stats.connections_opened += 1;
        if self.shutting_down {
            self.close(slot);
        }
    }

    /// The socket is gone: its watches go, its session stays until it expires. For a connection
    /// that the replica closed itself ([`Send::close`]) this does nothing.
    pub fn handle_close(&mut self, now: Now, conn: ConnectionId) {
        self.now = now;
        let Some(slot) = self.connections.find(conn) else { return };
        if let Some(mut connection) = self.connections.take(slot) {
            self.release_queue(&mut connection);
            self.forget(slot, connection.session);
        }
        self.connections.remove(slot);
    }

    /// Time has passed. To be called at [`Replica::next_timeout`]; earlier or later does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.peer.handle_timeout(now.mono);
        self.follow_peer(now);
        self.answer_questions(now);
        self.expire_sessions(now);
        self.reap(now);
        self.on_standing_timeout(now);
        self.close_silent(now);
        self.on_disk_timeout(now);
        if self.ensemble.unlogged_sessions_left {
            self.log_unlogged_sessions(now);
        }
    }

    /// When [`Replica::handle_timeout`] has something to do. May be in the past: then at once.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        let applying = self.is_applying().then_some(self.now.mono);
        if self.shutting_down {
            let peer = self.peer.next_timeout();
            return peer.into_iter().chain(self.ensemble.quiet_at).chain(applying).min();
        }
        let disk = self.next_room_timeout();
        let slice =
            self.snapshots.wants_poll() || self.outgoing_wants_poll() || !self.resumable.is_empty();
        let slice = slice.then_some(self.now.mono);
        let reaping = if self.ensemble.proposes() { self.reaping.next() } else { None };
        let may_expire =
            self.may_expire() && self.may_write(Weight::Heavy) && self.work.may_end_a_session();
        let sessions = if may_expire { self.sessions.next_expiry() } else { None };
        let local = self.ensemble.local.next_expiry();
        let standing = self.next_standing_timeout();
        let peer = self.peer.next_timeout();
        let silence = self.silence.next();
        let unlogged = self.ensemble.unlogged_sessions_left.then_some(self.now.mono);
        let memory = self.memory.next_look(self.now.mono);
        let work = self.next_in_line();
        let deferred = self.next_deferred();
        let watches = self.database.watches().has_gone().then_some(self.now.mono);
        let all = [
            deferred, reaping, disk, slice, sessions, local, standing, silence, peer, unlogged,
            memory, work, watches, applying,
        ];
        all.into_iter().flatten().min()
    }

    /// Begins to stop: new connections and requests are refused, what is in flight is finished.
    /// Done when [`Replica::is_quiet`].
    pub fn shutdown(&mut self, now: Now) {
        self.now = now;
        self.shutting_down = true;
        if self.ensemble.role != Role::Alone && self.ensemble.quiet_at.is_none() {
            // What is under way may wait for servers that do not answer.
            self.ensemble.quiet_at = Some(now.mono.plus_ms(self.options.tick_ms.into()));
        }
    }

    /// Whether everything is finished after [`Replica::shutdown`]: no write in flight, no log file
    /// open. A snapshot under way is left unfinished; the next start removes what there is of it.
    pub fn is_quiet(&self) -> bool {
        self.shutting_down
            && self.is_done(self.now)
            && self.txnlog.is_closed()
            && self.ops.is_empty()
            && self.dirty.is_empty()
    }

    /// Moves what the turn produced into `out`, whose former content was carried out. To be
    /// called once after each batch of `handle_…`: one turn's writes become one group.
    pub fn take_output(&mut self, out: &mut Output) {
        self.spare.append(out.spare_mut());
        self.spare.truncate(output::SPARE_BUFFERS_MAX);
        self.go_on_reading(self.now);
        self.serve_line(self.now);
        self.database.watches_mut().remove_gone(crate::limits::WATCHES_REMOVED_PER_TURN);
        self.poll_disk(self.now);
        self.poll_outgoing();
        // What was told to the peer meanwhile has its consequences in this turn.
        self.follow_peer(self.now);
        out.links.append(&mut self.ensemble.links);
        out.log_reads.append(&mut self.ensemble.log_reads);
        out.configs.append(&mut self.ensemble.configs);
        out.reload = self.ensemble.reload.take();
        out.ops.append(&mut self.ops);
        out.fatal = self.fatal.take();
        if self.prompt_reads > 0 {
            self.stats.record_prompt_reads(self.prompt_reads);
            self.prompt_reads = 0;
        }
        let is_looking = self.ensemble.role == ensemble::Role::Looking;
        let mut withheld = Vec::new();
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            let Some(mut connection) = self.connections.get_mut(slot) else { continue };
            if connection.input_over && connection.is_done() {
                self.close(slot);
                connection = self.connections.get_mut(slot).expect("it is closed, and still there");
            }
            if connection.parked.is_some() && is_looking {
                // Without a leader nobody knows whether what is being applied will stay.
                if !self.shutting_down {
                    withheld.push(slot);
                    continue;
                }
                connection.out.clear();
            }
            connection.dirty = false;
            let close = connection.state == State::Closed;
            let is_reported = connection.owed.hand_out(connection.out.len());
            out.sends.push(Send {
                conn: slot.id,
                bytes: std::mem::take(&mut connection.out),
                answered: connection.take_answered(),
                close,
                is_reported,
            });
            if close {
                self.connections.remove(slot);
            } else if connection.waits_to_be_read
                && connection.may_go_on(&self.options, self.database.last_processed())
            {
                self.resumable.push(slot);
            }
        }
        dirty.append(&mut withheld);
        self.dirty = dirty;
        self.work.begin_turn();
    }

    fn prep_options(&self) -> PrepOptions {
        prep_options(&self.options)
    }

    /// The options it was made with.
    pub fn options(&self) -> &ReplicaOptions {
        &self.options
    }

    /// The tree, its sessions and its watches.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Clears the counters that `srst` clears.
    pub fn reset_stats(&mut self) {
        self.stats.reset();
        if let Peer::Member(member) = &mut self.peer {
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

    /// Sessions by the time at which they expire if nothing more is heard (`dump`): the time by
    /// the clock for durations, rising, and the sessions in no order.
    pub fn session_expiries(&self) -> Vec<(MonoUs, Vec<SessionId>)> {
        self.sessions.by_expiry().into_iter().collect()
    }

    /// Number of global sessions.
    pub fn global_sessions_count(&self) -> usize {
        if self.ensemble.proposes() { self.sessions.len() } else { self.database.sessions_count() }
    }

    /// How likely a client that connects is refused by chance, 0 to 1 (`connection_throttle_*`).
    pub fn drop_probability(&self) -> f64 {
        self.throttle.drop_probability()
    }

    /// Number of local sessions. A server on its own has none, as ZooKeeper's, but those that began
    /// while its disk was full.
    pub fn local_sessions_count(&self) -> usize {
        self.ensemble.local.len()
    }

    /// When local sessions expire: the time, and those whose time it is.
    pub fn local_session_expiries(&self) -> Vec<(MonoUs, Vec<SessionId>)> {
        self.ensemble.local.by_expiry().into_iter().collect()
    }

    /// Requests that arrived and are not yet answered (`outstanding_requests`).
    pub fn requests_outstanding(&self) -> usize {
        self.in_flight.len() + self.ensemble.passed_on.requests() + self.requests_held
    }

    /// Whether other servers are to say something before what is under way here can go on: that
    /// they have logged it, that it is committed, what became of a request.
    pub fn awaits_others(&self) -> bool {
        self.ensemble.passed_on.requests() > 0 || self.peer().accepted() != self.peer().committed()
    }

    /// Whether no write that was passed on to the leader waits for its end: what counts as under way for ever would keep
    /// later writes out.
    pub fn has_no_write_under_way(&self) -> bool {
        self.ensemble.passed_on.is_empty()
    }

    /// The newest transaction applied.
    pub fn last_processed(&self) -> Zxid {
        self.database.last_processed()
    }

    /// The newest transaction proposed.
    pub fn last_proposed(&self) -> Zxid {
        if self.ensemble.proposes() { self.prep.last() } else { self.peer.accepted() }
    }

    /// ZooKeeper's word for the role (`mntr`, `stat`).
    pub fn mode(&self) -> &'static str {
        self.peer.mode()
    }

    /// Whether writes are refused because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        self.disk_full != DiskFull::No
    }

    /// The writer of the log, for its counts and for the buffers that a ring registers.
    pub fn txnlog(&self) -> &txnlog::Writer {
        &self.txnlog
    }

    /// Takes a snapshot as soon as none is under way.
    pub fn request_snapshot(&mut self) {
        self.snapshots.request();
    }
}

fn prep_options(options: &ReplicaOptions) -> PrepOptions {
    PrepOptions {
        skip_acl: options.skip_acl,
        digest_auth: options.authentication.digest_enabled,
        digest: options.digest,
        enforce_quota: options.enforce_quota,
        ephemerals_per_session_max: options.ephemerals_per_session_max,
        extended_types: options.extended_types,
        close_session_paths: options.close_session_paths,
        reconfig: options.reconfig,
        acl_entries_max: options.acl_entries_max,
        txn_bytes_max: options.txnlog.txn_bytes_max,
        planted: options.planted,
    }
}
