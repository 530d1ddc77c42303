//! Executors, and what runs on which.
//!
//! On a small machine everything runs on one executor: a request then crosses no core, and a core
//! crossing costs as much as a disk write there. On a larger one the replica has a core to itself
//! and session cores carry the sockets. The parts are the same; only the implementations of
//! [`Core`](crate::net::Core) and [`Deliver`](super::host::Deliver) differ.

use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};

use super::turns::Patience;

/// Session cores at most: one replica core feeds no more.
const SESSION_CORES_MAX: u32 = 12;

/// Memory that glommio keeps for its own file buffers, per executor; we use none of it.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// Entries of an executor's rings.
const EXECUTOR_RING_ENTRIES: usize = 512;

/// Which executors there are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wiring {
    /// Session cores beside the replica's; 0: one executor does everything.
    pub session_cores: u32,
    /// The processors that the executors are bound to, the replica's first; empty: none is bound.
    pub processors: Vec<usize>,
    /// Why none is bound, for the start-up screen; empty where they are.
    unbound: String,
    /// How the log, other servers and other executors are waited for.
    pub patience: Patience,
}

impl Wiring {
    /// The wiring for so many cores of the processors this process may use.
    pub fn choose(
        cores: Option<u32>,
        pin: bool,
        spin: Option<Duration>,
        allowed: &[usize],
        quota: Option<u32>,
    ) -> Wiring {
        let machine = u32::try_from(allowed.len()).unwrap_or(u32::MAX).max(1);
        // What an operator says overrules it.
        let quota = quota.filter(|&quota| cores.is_none() && quota < machine);
        let cores = cores.or(quota).unwrap_or(machine);
        let session_cores = if cores <= 2 { 0 } else { (cores - 1).min(SESSION_CORES_MAX) };
        // One executor is left to the scheduler: bound, it could not move away from a neighbour.
        let executors = session_cores as usize + 1;
        let unbound = match (pin, session_cores, quota) {
            (false, ..) => "ringkeeper.pin=false".to_owned(),
            // Whoever has the rest uses the same processors, and bound, no executor could make way.
            (true, _, Some(quota)) => format!(
                "a quota, cpu.max, leaves this process {quota} of the {machine} processors that it may \
                 use; set ringkeeper.cores to overrule that"
            ),
            (true, 0, None) => {
                "a single one is left to the scheduler, also with ringkeeper.pin=true; \
                          ringkeeper.cores=3 or more makes several"
                    .to_owned()
            }
            (true, _, None) if executors > allowed.len() => format!(
                "{executors} executors, as ringkeeper.cores says, and this process may use {machine} \
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

    /// In words, for the start-up screen.
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

/// How long an executor looks for what others have for it before it sleeps.
const CORES_LOOK: Duration = Duration::from_micros(50);

/// Looking at the ring catches a write of a fast disk; a slower one is slept for. 500 µs did best of
/// 0, 150, 500 and 1000 (docs/experiments.md).
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
            let part =
                format!("a quota, cpu.max, leaves this process {quota} of the 64 processors");
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
                "bound to no processor (a single one is left to the scheduler",
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
