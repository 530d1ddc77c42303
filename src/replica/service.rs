//! The server as one connection sees it: everything but the other connections.
//!
//! [`Service`] carries out a request. It is handed the connection on which the request came, and can reach no other.
//! [`Replica`](super::Replica) owns the connections, chooses whose turn it is, and does what concerns several of them:
//! events, replies to connections that wait, sessions that move from one connection to another.
//!
//! The four parts of [`Service`] own their fields: what is kept for clients, their sessions, writes on their way, and
//! this server's place in its ensemble. A function that needs several parts is a method of [`Service`].

use std::rc::Rc;

use super::audit::Audit;
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

/// Everything of the server but its connections.
pub(super) struct Service {
    pub options: Rc<ReplicaOptions>,
    /// The replicated state. Only transactions change it, except for the watches, which reads set.
    pub database: Database,
    /// What is kept for the clients.
    pub clients: Clients,
    /// The clients' sessions.
    pub sessions: Sessions,
    /// Writes on their way.
    pub pipeline: Pipeline,
    /// This server's place in its ensemble.
    pub ensemble: Ensemble,
    /// What this turn has done, and which connections wait for another turn.
    pub work: Work,
    /// Containers and TTL nodes that are to be removed. Only used where transactions are made.
    pub reaping: Reaping,
    /// What the audit log is to tell.
    pub audit: Audit,
    /// The counters for the four-letter words and the metrics.
    pub stats: Stats,
    /// How many lines the log still takes now, of those that clients can provoke.
    pub lines: Limiter,
    /// The time of the event under way or, between events, of the last one.
    ///
    /// Invariant: never goes back within one run.
    pub now: Now,
    /// The server stops: it accepts no client any more, and waits for what is in flight.
    pub shutting_down: bool,
}

impl Service {
    /// A service over what recovery found. `seed` is any number that differs from run to run.
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
        assert!(!alone || peer.as_member().is_none(), "a member of an ensemble is not alone");
        if alone {
            // ZooKeeper: every session has its whole timeout from the moment the server is up.
            for (session, timeout_ms) in database.sessions() {
                sessions.tracker.add(session, timeout_ms, now.mono);
            }
            assert_eq!(sessions.tracker.len(), database.sessions_count(), "every session is timed");
        }
        Service {
            clients: Clients::new(&options, now, seed),
            sessions,
            pipeline: Pipeline::new(&options, &database, snapshot, alone, now, seed),
            ensemble: Ensemble::new(&options, role, me, peer, now, seed),
            work: Work::new(options.turn_work_units),
            reaping: Reaping::new(&options, now.mono),
            audit: Audit::new(options.audit),
            stats: Stats::new(now.wall, now.mono),
            lines: Limiter::of_provoked_lines(),
            now,
            shutting_down: false,
            database,
            options,
        }
    }
}
