//! Removes containers and TTL nodes whose time is over (`ContainerManager`).

use std::collections::VecDeque;

use super::ReplicaOptions;
use super::pipeline::InFlight;
use super::service::Service;
use crate::database::ReapRules;
use crate::id::SessionId;
use crate::proto::OpCode;
use crate::time::{MonoUs, Now};

/// Most nodes that one search finds; the next search finds the rest.
const CANDIDATES_MAX: usize = 10_000;
const MINUTE_US: u64 = 60_000_000;

/// When to search next, and the nodes that the last search found and that are still to be removed.
pub(super) struct Reaping {
    /// When to search next.
    search_at: MonoUs,
    /// When to remove the next candidate.
    remove_at: MonoUs,
    /// The time between two removals.
    pace_us: u64,
    /// The paths of the nodes that were found. Each is checked again when its turn comes.
    candidates: VecDeque<String>,
}

impl Reaping {
    pub fn new(options: &ReplicaOptions, now: MonoUs) -> Reaping {
        let per_minute = u64::from(options.container_removals_per_minute_max.max(1));
        Reaping {
            search_at: now.plus_ms(options.container_check_interval_ms),
            remove_at: now,
            pace_us: MINUTE_US / per_minute,
            candidates: VecDeque::new(),
        }
    }

    /// When [`Service::reap`] has something to do.
    pub fn next(&self) -> Option<MonoUs> {
        Some(if self.candidates.is_empty() { self.search_at } else { self.remove_at })
    }
}

impl Service {
    /// Searches when it is time, and removes the nodes that were found, one at a time.
    pub(super) fn reap(&mut self, now: Now) {
        if self.shutting_down || !self.ensemble.proposes() {
            return;
        }
        let never_used_ms_max =
            i64::try_from(self.options.container_never_used_ms_max).unwrap_or(i64::MAX);
        let rules = ReapRules { never_used_ms_max };
        if self.reaping.candidates.is_empty() && now.mono >= self.reaping.search_at {
            let interval_ms = self.options.container_check_interval_ms.max(1);
            self.reaping.search_at = now.mono.plus_ms(interval_ms);
            self.reaping.candidates =
                self.database.reap_candidates(now.wall.0, rules, CANDIDATES_MAX).into();
            self.reaping.remove_at = now.mono;
            assert!(self.reaping.candidates.len() <= CANDIDATES_MAX, "a search is bounded");
        }
        while now.mono >= self.reaping.remove_at {
            // All are removed: the next search has its own time.
            let Some(path) = self.reaping.candidates.pop_front() else { return };
            // The disk is full, or the epoch is over: the next search finds these nodes again.
            let Some(zxid) = self.pipeline.next_zxid_for_write(&mut self.ensemble) else {
                self.reaping.candidates.clear();
                return;
            };
            if let Some(unsaid) = self.lines.allow(now.mono) {
                tracing::info!(path, unsaid, "removing an empty container or an expired TTL node");
            }
            let digest_before = self.pipeline.prep.digest();
            let txn = self.pipeline.prep.prepare_reap(&self.database, now.wall, zxid, rules, &path);
            if txn.header().op == OpCode::DeleteContainer {
                self.stats.containers_reaped += 1;
            }
            let request = InFlight {
                zxid,
                digest_before,
                op: OpCode::DeleteContainer,
                slot: None,
                session: SessionId::NONE,
                xid: 0,
                arrived: now.mono,
                large: 0,
                audit: None,
            };
            self.propose(txn, request);
            self.reaping.remove_at = MonoUs(self.reaping.remove_at.0 + self.reaping.pace_us.max(1));
        }
    }
}
