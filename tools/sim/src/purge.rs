//! The purge of old snapshots and logs (`autopurge.*`) on simulated disks: a thread of a real server does it beside
//! the replica, which knows nothing of it.

use ringkeeper::server::purge::purge;

use super::faults::Fault;
use super::world::{Event, Phase, World};

/// Snapshots that a purge keeps: the fewest that ZooKeeper allows.
const SNAPSHOTS_KEPT: usize = 3;

impl World {
    pub(super) fn plan_purge(&mut self) {
        if let Some(mean) = self.plan.wild.purge {
            let at = self.now + 1 + self.rng.waiting(mean);
            self.schedule(at, Event::Fault(Fault::Purge));
        }
    }

    /// Removes old files of a server, whether its process runs or not.
    pub(super) fn purge(&mut self) {
        if self.phase != Phase::Chaos {
            return;
        }
        let index = self.rng.index(self.servers.len());
        let removed = purge(&self.servers[index].disk, SNAPSHOTS_KEPT, self.plan.planted);
        // A disk that fails keeps its files; the next purge tries again.
        let count = removed.unwrap_or(0);
        let now = self.now;
        self.trace.event(now, &[25, index as u64, count as u64], || {
            format!("s{}: a purge removes {count} files", index + 1)
        });
        self.plan_purge();
    }
}
