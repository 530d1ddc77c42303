//! The server as one connection sees it: everything but the other connections.
//!
//! A request is carried out by [`Service`], which is handed the connection that it came on and can reach no other.
//! [`Replica`](super::Replica) owns the connections, chooses whose turn it is, and does what concerns several of them:
//! events, replies to whoever waits, sessions that move from one connection to another.
//!
//! Its four parts own their fields: what is kept for clients, their sessions, writes on their way, and this server's
//! place in its ensemble. What a function needs of several parts stands on [`Service`].

use std::rc::Rc;

use super::clients::Clients;
use super::ensemble::{Ensemble, ReplicaRole};
use super::pipeline::Pipeline;
use super::reap::Reaping;
use super::sessions::Sessions;
use super::work::Work;
use super::{ReplicaOptions, Stats};
use crate::database::Database;
use crate::id::ServerId;
use crate::log::Limiter;
use crate::peer::Peer;
use crate::recovery::Recovered;
use crate::time::Now;

/// See the module's header.
pub(super) struct Service {
    pub options: Rc<ReplicaOptions>,
    /// The replicated state. Transactions change it, and nothing else but the watches that reads set.
    pub database: Database,
    pub clients: Clients,
    pub sessions: Sessions,
    pub pipeline: Pipeline,
    pub ensemble: Ensemble,
    /// What this turn has done, and which connections wait for another turn.
    pub work: Work,
    pub reaping: Reaping,
    pub stats: Stats,
    pub lines: Limiter,
    /// The time of the event under way or, between events, of the last one.
    ///
    /// Invariant: never goes back within one run.
    pub now: Now,
    /// No client is accepted any more; what is in flight is waited for.
    pub shutting_down: bool,
}

impl Service {
    /// Over what recovery found. `seed` is any number that differs from run to run.
    pub fn new(
        options: ReplicaOptions,
        (peer, role, me): (Peer, ReplicaRole, ServerId),
        recovered: Recovered,
        now: Now,
        seed: u64,
    ) -> Service {
        let Recovered { database, snapshot, .. } = recovered;
        let options = Rc::new(options);
        let mut sessions = Sessions::new(&options, now);
        let alone = role == ReplicaRole::Alone;
        if alone {
            // ZooKeeper: every session has its whole timeout from the moment the server is up.
            for (session, timeout_ms) in database.sessions() {
                sessions.tracker.add(session, timeout_ms, now.mono);
            }
        }
        Service {
            clients: Clients::new(&options, now, seed),
            sessions,
            pipeline: Pipeline::new(&options, &database, snapshot, alone, now, seed),
            ensemble: Ensemble::new(&options, role, me, peer, now, seed),
            work: Work::new(options.turn_work_units),
            reaping: Reaping::new(&options, now.mono),
            stats: Stats::new(now.wall, now.mono),
            lines: Limiter::of_provoked_lines(),
            now,
            shutting_down: false,
            database,
            options,
        }
    }
}
