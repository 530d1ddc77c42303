//! The outcome of a run.

use std::fmt;

use super::check::Checked;
use super::world::Stats;

/// The outcome of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The run in words: the shape of the ensemble.
    pub shape: String,
    /// Simulated time in µs.
    pub simulated_us: u64,
    /// The number of events.
    pub events: u64,
    /// All events in one number: equal for equal runs.
    pub hash: u64,
    /// Why the run failed.
    pub failure: Option<String>,
    /// Counts of the world.
    pub stats: Stats,
    /// Counts of the checkers.
    pub checked: Checked,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { seed, shape, simulated_us, events, hash, failure, stats, checked } = self;
        write!(
            f,
            "seed {seed}: {shape}, {} s simulated, {events} events, {} crashes, {} other faults, {} \
             folders set aside, {} disks that forgot, {} servers locked out, {} reconfigurations; {} transactions, {} writes acknowledged, {} reads, {} events of \
             watches; hash {hash:016x}",
            simulated_us / 1_000_000,
            stats.crashes,
            stats.faults,
            stats.set_aside,
            stats.forgotten,
            stats.locked_out,
            stats.configs,
            checked.txns,
            checked.acknowledged,
            checked.reads,
            checked.events,
        )?;
        match failure {
            Some(what) => write!(f, "\nFAILED: {what}"),
            None => Ok(()),
        }
    }
}
