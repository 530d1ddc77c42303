//! Runs a definition against servers and measures what clients see.

mod churn;
mod control;
mod discovery;
mod fan_out;
mod frames;
mod greetings;
mod io;
mod keys;
mod lock;
mod mix;
mod recorder;
mod run;
mod schedule;
mod session;
mod socket;
mod storm;
mod tree;
mod worker;
mod workload;

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::definition::Definition;
use crate::result::{Measured, Slice};

pub use greetings::{FULL, PLAIN, RESUMED, greetings};
pub use socket::begin as begin_tls;

/// The servers to load.
#[derive(Debug, Clone)]
pub struct Target {
    /// Client addresses; of an ensemble, the leader's first.
    pub servers: Vec<SocketAddr>,
    /// Threads of the generator, over which the sessions are divided.
    pub threads: usize,
    /// Whether the run removes its nodes at the end.
    pub clean_up: bool,
    /// TLS for the sessions of a workload; the connection that prepares and cleans up has none.
    pub tls: Option<Tls>,
}

/// How sessions connect with TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The addresses for clients with TLS, in the order of [`Target::servers`].
    pub servers: Vec<SocketAddr>,
    /// The clients' side.
    pub client: Arc<ClientConfig>,
}

impl Target {
    /// A target of these servers, with one thread, which is cleaned up afterwards.
    pub fn new(servers: Vec<SocketAddr>) -> Target {
        Target { servers, threads: 1, clean_up: true, tls: None }
    }

    /// The addresses that the sessions of a workload connect to.
    pub fn for_sessions(&self) -> Vec<SocketAddr> {
        self.tls.as_ref().map_or(&self.servers, |tls| &tls.servers).clone()
    }
}

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The run opens sessions, creates nodes and sets watches.
    Preparing,
    /// Load without measurement.
    WarmingUp,
    /// Load with measurement.
    Measuring,
    /// The run removes its nodes.
    CleaningUp,
}

/// How far a run is. A run reports it when the measurement begins, at the end of each slice, and from time to time
/// while it prepares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// The part of the phase that is done, 0 to 1.
    pub done: f64,
    /// The slice that just ended, while there is load. Its `at_s` counts from the beginning of the
    /// measurement, so it is negative while warming up.
    pub slice: Option<Slice>,
    /// The rate of that slice, per second.
    pub per_second: f64,
}

/// Runs one definition, or one step of its ladder, and measures it. Blocks until it is over.
///
/// Errors of single requests, lost connections and lost sessions are counted in the result; they
/// do not end the run.
///
/// # Errors
/// The definition makes no sense, or the workload could not even be prepared.
pub fn run(
    target: &Target,
    definition: &Definition,
    step: Option<u64>,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Measured, String> {
    let definition = definition.at_step(step)?;
    run::run(target, &definition, progress)
}

/// Raises this process's limit of open files to what `sessions` sessions need.
///
/// # Errors
/// The hard limit is lower.
pub fn allow_files(sessions: u64) -> Result<(), String> {
    run::allow_files(sessions)
}

/// Makes `znodes` nodes below a new root and returns the root; each parent has `children` of them.
///
/// # Errors
/// A server cannot be reached or refuses.
pub fn populate(
    target: &Target,
    znodes: u32,
    children: u32,
    value_bytes: u32,
) -> Result<String, String> {
    let tree = tree::Tree::of_nodes(znodes, children, value_bytes);
    tree.make(&target.servers, &mut |_| {})
}

/// The path of one of the nodes that [`populate`] made, counted from 0.
pub fn path_of(root: &str, children: u32, node: u32) -> String {
    frames::leaf_path(root, frames::Node { group: node / children, leaf: node })
}

/// Removes what [`populate`] made.
///
/// # Errors
/// A server cannot be reached or refuses.
pub fn remove(target: &Target, root: &str) -> Result<(), String> {
    tree::remove(&target.servers, root)
}

/// The part of a workload's sessions that one thread has, or of its services or locks.
#[derive(Debug, Clone, Copy)]
struct Share {
    /// The first.
    first: u32,
    /// How many.
    count: u32,
    /// How many all threads have.
    total: u32,
}

impl Share {
    /// The share of one thread of `threads`: equal parts, and the first threads get the rest.
    fn of(total: u32, thread: u32, threads: u32) -> Share {
        let (each, rest) = (total / threads, total % threads);
        let first = thread * each + thread.min(rest);
        Share { first, count: each + u32::from(thread < rest), total }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_each_other_and_leave_nothing_out() {
        for (total, threads) in [(1, 1), (10, 3), (9, 3), (100, 7)] {
            let mut next = 0;
            for thread in 0..threads {
                let share = Share::of(total, thread, threads);
                assert_eq!(share.first, next);
                next += share.count;
            }
            assert_eq!(next, total);
        }
    }
}
