//! The figures of quotas, kept as nodes of the tree (`DataTree.updateQuotaStat` and its kin).
//!
//! They follow the data without transactions: each server rewrites its own, which is why digests exclude
//! everything below `/zookeeper/`.
//!
//! A server counts when the figures are created and when it starts, and only adds in between. So a
//! server that has restarted since may show other figures than one that has not, in three cases:
//!
//! - limits were removed without their figures, and set again: the changes in between are missing;
//! - quotas are nested: only the deepest one is updated, while a start counts for all;
//! - a client wrote to the figures.
// ZooKeeper: does the same (DataTree.addNode, updateQuotaStat, setupQuota), byte for byte, and its
// command-line client causes none of these cases unless it is interrupted between two deletes. Histories
// do not diverge: only the leader decides whether a write breaks a limit, and its refusal is a
// transaction.

use super::apply::data_bytes;
use crate::database::Database;
use crate::planted::{self, PlantedBug};
use crate::tree::{
    LIMIT_NAME, NodeId, QUOTA_ROOT, QuotaExcess, QuotaNumbers, QuotaPaths, STAT_NAME, limit_path,
    split_path, stat_path,
};

impl Database {
    /// The limit, and its path, that these additional bytes and nodes at `path` exceed. The caller asks
    /// only if `enforceQuota` is on.
    pub fn quota_excess(
        &self,
        path: &str,
        bytes_delta: i64,
        count_delta: i64,
    ) -> Option<(String, QuotaExcess)> {
        let (prefix, quota) = self.quotas.deepest(path)?;
        let (limits, now) = (quota.limits.as_ref()?, quota.figures.as_ref()?);
        let excess = limits.excess(now, bytes_delta, count_delta)?;
        assert!(excess.reached > excess.limit, "a figure exceeds its limit");
        assert!(excess.limit >= 0, "a negative limit is none");
        Some((prefix, excess))
    }

    /// A node was created under `parent`: it may be part of a quota, and count towards one.
    pub(super) fn quota_on_create(&mut self, parent: &str, name: &str, path: &str, bytes: i64) {
        if let Some(limited) = parent.strip_prefix(QUOTA_ROOT) {
            match name {
                // ZooKeeper: a quota of the root throws in PathTrie; here it is none.
                // ZooKeeper: DataTree.addNode does not count here. See the module's comment.
                LIMIT_NAME => self.quotas.add(limited),
                STAT_NAME => self.quota_recount(limited),
                _ => {}
            }
            self.quota_read(limited, name);
        }
        self.quota_add(path, bytes, 1);
    }

    /// A node was deleted.
    pub(super) fn quota_on_delete(&mut self, parent: &str, name: &str, path: &str, bytes: i64) {
        if let Some(limited) = parent.strip_prefix(QUOTA_ROOT) {
            if name == LIMIT_NAME {
                self.quotas.remove(limited);
            }
            self.quota_read(limited, name);
        }
        self.quota_add(path, -bytes, -1);
    }

    /// Data grew by `bytes`.
    pub(super) fn quota_on_set_data(&mut self, path: &str, bytes: i64) {
        if let Some(below) = path.strip_prefix(QUOTA_ROOT)
            && let Some((limited, name)) = split_path(below)
        {
            self.quota_read(limited, name);
        }
        self.quota_add(path, bytes, 0);
    }

    fn quota_add(&mut self, path: &str, bytes: i64, count: i64) {
        // Most paths have no quota.
        let Some((prefix, _)) = self.quotas.deepest(path) else { return };
        // A client may have deleted the node with the figures, or not created it yet.
        let Some(id) = self.tree.find(&stat_path(&prefix)) else { return };
        let quota = self.quotas.get_mut(&prefix).expect("it was found");
        let numbers = quota.figures.as_mut().expect("what is in the node has been read");
        numbers.add(count, bytes);
        let text = numbers.to_string();
        self.quota_write(id, &text);
    }

    /// A node of this name beside a quota of `limited` was created, deleted or changed: if it belongs to
    /// the quota, reads it.
    fn quota_read(&mut self, limited: &str, name: &str) {
        if name != LIMIT_NAME && name != STAT_NAME {
            return;
        }
        let path = QuotaPaths::canonical(limited);
        let read = |path: &str| Some(QuotaNumbers::parse(self.node(path)?.data()));
        let (limits, figures) = (read(&limit_path(&path)), read(&stat_path(&path)));
        if let Some(quota) = self.quotas.get_mut(&path) {
            quota.limits = limits;
            quota.figures = figures;
        }
    }

    /// Counts the nodes and bytes at and below a path that has a quota.
    fn quota_recount(&mut self, limited: &str) {
        let number = |number: u64| i64::try_from(number).expect("memory is finite");
        let (count, bytes) = self.node(limited).map_or((0, 0), |top| {
            let below = number(top.descendants_bytes());
            (number(top.descendants_count() as u64) + 1, below + data_bytes(top.data()))
        });
        assert!(count >= 0, "{count} nodes");
        assert!(bytes >= 0, "{bytes} bytes");
        if let Some(id) = self.tree.find(&stat_path(limited)) {
            self.quota_write(id, &QuotaNumbers::of(count, bytes).to_string());
        }
    }

    fn quota_write(&mut self, id: NodeId, text: &str) {
        // Neither version nor times change: no client did this.
        self.tree.set_data(id, Some(text.as_bytes()), |_| {});
    }

    /// After a snapshot was loaded: finds the quotas in it, and counts.
    pub(super) fn quota_set_up(&mut self) {
        assert!(self.quotas.is_empty(), "quotas are set up once");
        // A log that no server wrote may have deleted it.
        let Some(root) = self.node(QUOTA_ROOT) else { return };
        let suffix = format!("/{LIMIT_NAME}");
        let limited: Vec<String> = root
            .subtree()
            .filter(|node| node.num_children() == 0)
            .filter_map(|node| node.path().strip_prefix(QUOTA_ROOT)?.strip_suffix(&suffix))
            .map(str::to_owned)
            .collect();
        for path in limited {
            self.quota_recount(&path);
            self.quotas.add(&path);
            self.quota_read(&path, LIMIT_NAME);
            if planted::is(self.options.planted, PlantedBug::QuotaRecountLeavesTop) {
                self.quota_add(&path, 0, -1);
            }
        }
    }
}
