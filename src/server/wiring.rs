//! Decides which executors there are, and what runs on which.
//!
//! On a small machine one executor does everything: no request then crosses to another core, which costs as much
//! there as a disk write. On a larger machine the replica has a core of its own, and session cores carry the
//! sockets. The parts are the same in both cases; only the implementations of [`Core`](crate::net::Core) and
//! [`Deliver`](super::host::Deliver) differ.

use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::turns::Patience;

/// The most session cores: one replica core cannot keep more of them busy.
const SESSION_CORES_MAX: u32 = 12;

/// Memory that glommio keeps for file buffers in each executor. The server does not use them.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// The number of entries of an executor's rings.
const EXECUTOR_RING_ENTRIES: usize = 512;

/// The executors of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wiring {
    /// The session cores beside the replica's core, at most [`SESSION_CORES_MAX`]; 0: one executor does everything.
    pub session_cores: u32,
    /// The processors to which the executors are bound, the replica's first.
    ///
    /// Invariant: one for each executor, or empty: no executor is bound.
    pub processors: Vec<usize>,
    /// Why no executor is bound, for the log.
    ///
    /// Invariant: empty exactly if they are.
    unbound: String,
    /// How executors wait for the log, for other servers and for each other.
    pub patience: Patience,
}

impl Wiring {
    /// Chooses the executors. `allowed` are the processors that this process may use; `quota` is how many its control
    /// group lets it use. `cores`, `pin` and `spin` are what the operator configured (`ringkeeper.cores`,
    /// `ringkeeper.pin`, `ringkeeper.spinMicros`).
    pub fn choose(
        cores: Option<u32>,
        pin: bool,
        spin: Option<Duration>,
        allowed: &[usize],
        quota: Option<u32>,
    ) -> Wiring {
        let machine = u32::try_from(allowed.len()).unwrap_or(u32::MAX).max(1);
        // A configured number of cores overrules the quota.
        let quota = quota.filter(|&quota| cores.is_none() && quota < machine);
        let cores = cores.or(quota).unwrap_or(machine);
        let session_cores = if cores <= 2 { 0 } else { (cores - 1).min(SESSION_CORES_MAX) };
        // The scheduler places a single executor: if it were bound, it could not move away from other programs.
        let executors = session_cores as usize + 1;
        let unbound = match (pin, session_cores, quota) {
            (false, ..) => "ringkeeper.pin=false".to_owned(),
            // Other control groups use the same processors, and a bound executor could not make way.
            (true, _, Some(quota)) => format!(
                "a quota, cpu.max, gives this process the time of {quota} of the {machine} processors that \
                 it may use; set ringkeeper.cores to overrule that"
            ),
            (true, 0, None) => {
                "the scheduler places a single executor, also with ringkeeper.pin=true; \
                 ringkeeper.cores=3 or more makes several"
                    .to_owned()
            }
            (true, _, None) if executors > allowed.len() => format!(
                "ringkeeper.cores asks for {executors} executors, and this process may use {machine} \
                 processors"
            ),
            (true, _, None) => String::new(),
        };
        let bound = unbound.is_empty();
        let processors = if bound { allowed[..executors].to_vec() } else { Vec::new() };
        let look = spin.unwrap_or(LOG_LOOK);
        let cores = match session_cores {
            0 => Duration::ZERO,
            _ => look.min(CORES_LOOK),
        };
        Wiring { session_cores, processors, unbound, patience: Patience::new(look, cores) }
    }

    /// The choice in words, for the log.
    pub fn describe(&self) -> String {
        let bound = if self.processors.is_empty() {
            format!(", bound to no processor ({})", self.unbound)
        } else {
            format!(", bound to processors {:?}", self.processors)
        };
        match self.session_cores {
            0 => format!("one executor for connections and state{bound}"),
            1 => format!("1 session core and a replica core{bound}"),
            n => format!("{n} session cores and a replica core{bound}"),
        }
    }

    /// The builder of the executor with this index, 0 for the replica's, on a thread of this name.
    pub(super) fn executor(&self, index: usize, name: &str) -> LocalExecutorBuilder {
        let placement = match self.processors.get(index) {
            Some(processor) => Placement::Fixed(*processor),
            None => Placement::Unbound,
        };
        LocalExecutorBuilder::new(placement)
            .name(name)
            .io_memory(EXECUTOR_IO_BYTES)
            .ring_depth(EXECUTOR_RING_ENTRIES)
    }
}

/// How long an executor looks for messages of other executors before it sleeps.
const CORES_LOOK: Duration = Duration::from_micros(50);

/// How long the replica's executor looks for a log write before it sleeps: long enough for a fast disk. 500 µs did
/// best of 0, 150, 500 and 1000 µs (docs/experiments.md).
const LOG_LOOK: Duration = Duration::from_micros(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_machines_get_one_executor_and_larger_ones_a_replica_core() {
        let small = Wiring::choose(None, true, None, &[0, 1], None);
        assert_eq!((small.session_cores, small.processors.len()), (0, 0));
        assert_eq!(small.patience.cores, Duration::ZERO);
        let large = Wiring::choose(None, true, None, &[0, 1, 2, 3], None);
        assert_eq!((large.session_cores, &large.processors[..]), (3, &[0, 1, 2, 3][..]));
        assert!(large.patience.cores > Duration::ZERO);
        assert_eq!(
            Wiring::choose(None, true, None, &(0..64).collect::<Vec<_>>(), None).session_cores,
            12
        );
    }

    #[test]
    fn more_executors_than_processors_are_not_bound() {
        let wiring = Wiring::choose(Some(3), true, None, &[0, 1], None);
        assert_eq!((wiring.session_cores, wiring.processors.len()), (2, 0));
        let said = wiring.describe();
        assert!(said.ends_with("and this process may use 2 processors)"), "{said}");
    }

    #[test]
    fn a_quota_makes_fewer_executors_unless_somebody_says_how_many() {
        let all: Vec<usize> = (0..64).collect();
        let chosen = |cores, quota| Wiring::choose(cores, true, None, &all, quota);
        for (quota, session_cores) in [(1, 0), (2, 0), (3, 2), (4, 3), (40, 12)] {
            let wiring = chosen(None, Some(quota));
            assert_eq!((wiring.session_cores, wiring.processors.len()), (session_cores, 0));
            let said = wiring.describe();
            let part = format!("gives this process the time of {quota} of the 64 processors");
            assert!(said.contains(&part), "{said}");
        }
        assert_eq!(chosen(Some(5), Some(1)), chosen(Some(5), None));
        assert_eq!(chosen(None, Some(64)), chosen(None, None));
    }

    #[test]
    fn a_line_says_what_was_bound_or_why_nothing_was() {
        let said = |cores, pin, allowed| Wiring::choose(cores, pin, None, allowed, None).describe();
        for (cores, pin, allowed, part) in [
            (
                None,
                true,
                &[0, 1][..],
                "bound to no processor (the scheduler places a single executor",
            ),
            (None, false, &[0, 1][..], "bound to no processor (ringkeeper.pin=false)"),
            (Some(3), false, &[0, 1, 2][..], "bound to no processor (ringkeeper.pin=false)"),
            (Some(3), true, &[4, 5, 6][..], "bound to processors [4, 5, 6]"),
        ] {
            let said = said(cores, pin, allowed);
            assert!(said.contains(part), "{said}");
        }
    }
}
