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

mod options;
mod output;
mod stats;

pub use options::ReplicaOptions;
pub use output::{Output, Send};
pub use stats::{ConnectionFacts, Latency, Stats};

use std::net::SocketAddr;

use crate::database::Database;
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::io;
use crate::time::{MonoUs, Now};

/// See the module's words.
pub struct Replica {
    options: ReplicaOptions,
    stats: Stats,
    database: Database,
}

impl Replica {
    /// A socket was accepted. Nothing is answered before its first frame.
    pub fn handle_open(&mut self, now: Now, conn: ConnectionId, remote: SocketAddr) {
        let _ = (now, conn, remote);
    }

    /// Whole frames arrived, one or more, each with its 4-byte length; the first of a connection
    /// is its `ConnectRequest`. A frame's length was checked against `jute.maxbuffer`.
    pub fn handle_frames(&mut self, now: Now, conn: ConnectionId, frames: &[u8]) {
        let _ = (now, conn, frames);
    }

    /// The socket is gone: its watches go, its session stays until it expires. For a connection
    /// that the replica closed itself ([`Send::close`]) this does nothing.
    pub fn handle_close(&mut self, now: Now, conn: ConnectionId) {
        let _ = (now, conn);
    }

    /// An operation of the disk is done, or has failed.
    pub fn handle_completion(&mut self, now: Now, completion: io::Completion) {
        let _ = (now, completion);
    }

    /// Time has passed. To be called at [`Replica::next_timeout`]; earlier or later does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
    }

    /// When [`Replica::handle_timeout`] has something to do. May be in the past: then at once.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        None
    }

    /// Begins to stop: new connections and requests are refused, what is in flight is finished.
    /// Done when [`Replica::is_quiet`].
    pub fn shutdown(&mut self, now: Now) {
        let _ = now;
    }

    /// Whether nothing is in flight: no write, no operation of the disk.
    pub fn is_quiet(&self) -> bool {
        true
    }

    /// Moves what the turn produced into `out`, whose former content was carried out. To be
    /// called once after each batch of `handle_…`: one turn's writes become one group.
    pub fn take_output(&mut self, out: &mut Output) {
        let _ = out;
    }

    /// The options it was made with.
    pub fn options(&self) -> &ReplicaOptions {
        &self.options
    }

    /// The state that clients see.
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
    }

    /// Clears the counters of every connection (`crst`).
    pub fn reset_connection_stats(&mut self) {}

    /// The connections, in no order.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionFacts> + '_ {
        std::iter::empty()
    }

    /// Number of connections, those without a session included (`num_alive_connections`).
    pub fn connections_count(&self) -> usize {
        0
    }

    /// The facts of one connection.
    pub fn connection(&self, conn: ConnectionId) -> Option<ConnectionFacts> {
        let _ = conn;
        None
    }

    /// Sessions by the time at which they expire if nothing more is heard (`dump`): the time by
    /// the clock for durations, rising, and the sessions in no order.
    pub fn session_expiries(&self) -> Vec<(MonoUs, Vec<SessionId>)> {
        Vec::new()
    }

    /// Number of global sessions.
    pub fn global_sessions_count(&self) -> usize {
        0
    }

    /// Number of local sessions.
    pub fn local_sessions_count(&self) -> usize {
        0
    }

    /// Requests that arrived and are not yet answered (`outstanding_requests`).
    pub fn requests_outstanding(&self) -> usize {
        0
    }

    /// The newest transaction applied.
    pub fn last_processed(&self) -> Zxid {
        Zxid::ZERO
    }

    /// Whether writes are refused because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        false
    }

    /// Takes a snapshot as soon as none is under way.
    pub fn request_snapshot(&mut self) {}
}
