//! The replicated state: tree, ACLs, sessions, quotas, and beside it the watches of this server.
//!
//! [`Database::apply`] is the one way to change what is replicated: live writes, followers and
//! replay go through it, and it never fails, because committed transactions have been checked. This module does not
//! decide whether a client may do something.
//!
//! The rule that is easy to break: equal transactions give equal trees on every server, so nothing here may depend
//! on a clock, a random choice, or the order of a hash table.

mod apply;
mod fits;
mod load;
mod quotas;
mod snapshot;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::acl::AclList;
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::planted::{self, PlantedBug};
use crate::proto::data::{AclVector, Stat, StatPersisted};
use crate::proto::event::EventType;
use crate::proto::txn::Txn;
use crate::tree::{self, KindRules, NodeId, QuotaPaths, Tree};
use crate::watch::{WatchBounds, WatchTable};

pub use crate::tree::{NodeKind, NodeRef};
pub use load::{DatabaseBuilder, LoadError};
pub use snapshot::{SnapshotHead, SnapshotNode};

/// Switches that change the meaning of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// `zookeeper.extendedTypesEnabled`: owners that begin with 0xff are TTL nodes.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`: with extended types, every negative owner is a TTL node.
    pub emulate_353_ttl: bool,
    /// `zookeeper.digest.enabled`.
    pub digest_enabled: bool,
    /// Seeds the hash of the path index, so that no client can choose paths that collide.
    pub hash_seed: u64,
    /// Limits on watches.
    pub watches: WatchBounds,
    /// Keeps applied transactions until [`Database::take_recorded`], for checkers that need the history of a state.
    /// Its memory is unbounded.
    pub record: bool,
    /// A planted bug.
    pub planted: Option<PlantedBug>,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            extended_types: false,
            emulate_353_ttl: false,
            digest_enabled: true,
            hash_seed: 0,
            watches: WatchBounds::default(),
            record: false,
            planted: None,
        }
    }
}

impl DatabaseOptions {
    fn kind_rules(&self) -> KindRules {
        KindRules { extended_types: self.extended_types, emulate_353_ttl: self.emulate_353_ttl }
    }
}

/// An event and the connections that watch for it: one for each trigger, in ZooKeeper's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// What happened.
    pub event: EventType,
    /// The path of the node.
    pub path: Rc<str>,
    /// The zxid of the transaction.
    pub zxid: Zxid,
    /// Only connections that may READ under this ACL get the event: the ACL of the node, that of a deleted node
    /// before its deletion, and that of the parent for changed children (CVE-2024-23944).
    pub acl: AclList,
    /// The watching connections, each once, in the order in which they set their watches.
    pub watchers: Vec<ConnectionId>,
}

/// The result of a transaction, as far as its reply needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// A node was created.
    Create {
        /// Its Stat.
        stat: Stat,
    },
    /// Data were set.
    SetData {
        /// The node's Stat.
        stat: Stat,
    },
    /// An ACL was set.
    SetAcl {
        /// The node's Stat.
        stat: Stat,
    },
    /// A node was deleted.
    Delete,
    /// A session began.
    CreateSession,
    /// A session ended, and its ephemeral nodes with it.
    CloseSession,
    /// A version was checked, in a multi.
    Check,
    /// The request had failed. In a failed multi, 0 for the parts before the one that failed.
    Error(i32),
    /// The parts of a multi.
    Multi(Vec<Applied>),
}

/// When a container that never had a child may be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReapRules {
    /// `znode.container.maxNeverUsedIntervalMs`; 0: never.
    pub never_used_ms_max: i64,
}

impl ReapRules {
    /// Whether a node of this kind that has no children may be deleted.
    pub fn let_go(self, kind: NodeKind, stat: &StatPersisted, now_wall_ms: i64) -> bool {
        let idle_ms = now_wall_ms.saturating_sub(stat.mtime);
        match kind {
            // It must have had a child, or a container might be deleted before its first use.
            NodeKind::Container => {
                let never_used_ms_max = self.never_used_ms_max;
                stat.cversion > 0 || (never_used_ms_max != 0 && idle_ms > never_used_ms_max)
            }
            NodeKind::Ttl { ttl_ms } => ttl_ms != 0 && idle_ms > ttl_ms,
            NodeKind::Persistent | NodeKind::Ephemeral(_) => false,
        }
    }
}

/// Zxids between two entries of the digest log.
const DIGEST_LOG_INTERVAL: i64 = 128;

/// Entries of the digest log.
const DIGEST_LOG_ENTRIES: usize = 1024;

/// The digest that a loaded snapshot promises at a later zxid. Until then the tree may be ahead of its zxid, as in
/// snapshots of ZooKeeper, and no digest can be compared.
#[derive(Clone, Copy, Debug)]
struct Promise {
    /// The transaction after which the tree has the digest.
    zxid: Zxid,
    /// The version of the digest's algorithm: another one than ours is not compared.
    version: i32,
    /// The digest.
    digest: i64,
}

/// The state that results from all transactions.
#[derive(Debug)]
pub struct Database {
    /// What it was made with.
    options: DatabaseOptions,
    /// The nodes.
    tree: Tree,
    /// The watches of this server's clients. No transaction knows of them.
    watches: WatchTable,
    /// Global sessions and their timeouts in ms.
    sessions: BTreeMap<SessionId, i32>,
    /// What is in the nodes of quotas, parsed. Invariant: the nodes say the same.
    quotas: QuotaPaths,
    /// The zxid of the last transaction. Invariant: [`Database::apply`] never lowers it.
    last_processed: Zxid,
    /// The digest at every 128th zxid, the oldest first. Invariant: at most 1024 entries.
    digest_log: VecDeque<(Zxid, i64)>,
    /// How often a digest differed from the tree's.
    digest_mismatches: u64,
    /// The zxid of the last difference.
    digest_mismatch_last: Option<Zxid>,
    /// The digest that is still to be compared. Invariant: its zxid is to come.
    promise: Option<Promise>,
    /// The tree may be ahead of the transactions; see [`Database::set_tolerant`].
    tolerant: bool,
    /// See [`Database::take_misplaced`].
    misplaced: Option<String>,
    /// With [`DatabaseOptions::record`].
    recorded: RefCell<Vec<Recorded>>,
}

/// A transaction that was applied, live or in replay.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The zxid of the state before it.
    pub after: Zxid,
    /// The transaction.
    pub txn: Txn,
    /// The digest of the tree then.
    pub digest: i64,
}

impl Database {
    /// The built-in nodes, no session, zxid 0.
    pub fn new(options: DatabaseOptions) -> Self {
        load::empty(options)
    }

    /// Skips a transaction that does not fit the tree, as in replay, instead of treating it as a broken invariant,
    /// and does not compare digests. For a follower that received a fuzzy snapshot without its digest, and so does
    /// not know up to which zxid the tree is ahead of the transactions.
    ///
    /// This ends by itself as soon as a transaction's digest equals the tree's.
    pub fn set_tolerant(&mut self, tolerant: bool) {
        self.tolerant = tolerant;
    }

    /// The last node that a transaction was to create below an ephemeral one, and that was not created: no server
    /// writes such a transaction. `None`: there was none since the last call.
    pub fn take_misplaced(&mut self) -> Option<String> {
        self.misplaced.take()
    }

    /// Whether the tree may be ahead of its transactions up to an unknown zxid; see [`Database::set_tolerant`]. A
    /// snapshot of such a tree has no digest.
    pub fn is_fuzzy(&self) -> bool {
        self.tolerant || self.promise.is_some()
    }

    /// A new epoch begins, or an empty database is trusted: its zxid belongs to no transaction.
    pub fn set_last_processed(&mut self, zxid: Zxid) {
        self.last_processed = zxid;
    }

    /// Puts the configuration of the ensemble into its node, without a transaction: every server does so at its
    /// start (`ZKDatabase.initConfigInZKDatabase`). Does nothing if the node has it already.
    pub fn set_config(&mut self, text: &str, version: Zxid, now_wall_ms: i64) {
        // ZooKeeper: ZKDatabase.initConfigInZKDatabase logs that the node is missing and goes on. Only a log that no
        // server has written can have removed it.
        let Some(id) = self.tree.find(load::CONFIG) else { return };
        assert!(id != NodeId::ROOT, "the configuration has a node of its own");
        if self.tree.get(id).data() != Some(text.as_bytes()) {
            self.tree.set_data(id, Some(text.as_bytes()), |stat| {
                // ZooKeeper: the version of the node is set to "any".
                stat.version = -1;
                stat.mzxid = version;
                stat.mtime = now_wall_ms;
            });
        }
    }

    /// The watches, to change.
    pub fn watches_mut(&mut self) -> &mut WatchTable {
        &mut self.watches
    }

    /// The options that it was made with.
    pub fn options(&self) -> &DatabaseOptions {
        &self.options
    }

    /// The zxid of the last transaction.
    pub fn last_processed(&self) -> Zxid {
        self.last_processed
    }

    /// The transactions applied since the last call; none without [`DatabaseOptions::record`].
    pub fn take_recorded(&self) -> Vec<Recorded> {
        self.recorded.take()
    }

    /// The digest of the tree; 0 if digests are off.
    pub fn digest(&self) -> i64 {
        self.tree.digest()
    }

    /// The digest of the tree if it can stand for the history: it is known, and no mismatch was found.
    pub fn sure_digest(&self) -> Option<i64> {
        let is_sure =
            self.options.digest_enabled && !self.is_fuzzy() && self.digest_mismatches == 0;
        is_sure.then(|| self.digest())
    }

    /// The digest at each 128th zxid, the oldest first, at most 1024 of them.
    pub fn digest_log(&self) -> impl Iterator<Item = (Zxid, i64)> {
        self.digest_log.iter().copied()
    }

    /// How often a transaction or a snapshot carried another digest than the tree's.
    pub fn digest_mismatches(&self) -> u64 {
        self.digest_mismatches
    }

    /// The zxid of the last mismatch.
    pub fn digest_mismatch_last(&self) -> Option<Zxid> {
        self.digest_mismatch_last
    }

    /// The node at a path. `""` and `"/"` are the root.
    #[inline]
    pub fn node(&self, path: &str) -> Option<NodeRef<'_>> {
        self.tree.find(path).map(|id| self.tree.get(id))
    }

    /// Brings the node at a path, if there is one, into the processor's caches.
    #[inline]
    pub fn warm(&self, path: &[u8]) {
        self.tree.warm(path);
    }

    /// Where the digest of a node begins: CRC-32 of path and data.
    pub fn digest_seed(path: &str, data: Option<&[u8]>) -> u32 {
        tree::digest_seed(path, data)
    }

    /// The list with these entries, if some node has it.
    pub fn known_acl(&self, acl: AclVector<'_>) -> Option<&AclList> {
        self.tree.acls().find(acl)
    }

    /// The digest of the node at `path` with this seed and Stat; 0 below `/zookeeper`.
    pub fn digest_of(path: &str, seed: u32, stat: &StatPersisted) -> i64 {
        if tree::is_left_out(path) { 0 } else { tree::digest_of(seed, stat) }
    }

    /// The kind of a node with this stored owner.
    pub fn kind_of(&self, ephemeral_owner: i64) -> NodeKind {
        self.tree.rules().kind(ephemeral_owner)
    }

    /// Global sessions and their timeouts in ms, in the order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> {
        self.sessions.iter().map(|(&id, &timeout_ms)| (id, timeout_ms))
    }

    /// Number of global sessions.
    pub fn sessions_count(&self) -> usize {
        self.sessions.len()
    }

    /// A global session's timeout in ms.
    pub fn session_timeout(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).copied()
    }

    /// The paths of a session's ephemeral nodes.
    pub fn ephemerals(&self, id: SessionId) -> impl Iterator<Item = &str> {
        self.ephemeral_nodes(id).map(|node| node.path())
    }

    /// The ephemeral nodes of a session, in the same order.
    pub fn ephemeral_nodes(&self, id: SessionId) -> impl Iterator<Item = NodeRef<'_>> {
        self.tree.owners().ephemerals(id).iter().map(|&node| self.tree.get(node))
    }

    /// How many ephemeral nodes a session has, and the bytes of their paths.
    pub fn ephemerals_size(&self, id: SessionId) -> (usize, usize) {
        let owners = self.tree.owners();
        (owners.ephemerals(id).len(), owners.ephemerals_path_bytes(id))
    }

    /// Sessions that own nodes, in the order of their ids.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> {
        self.tree.owners().sessions()
    }

    /// Number of ephemeral nodes.
    pub fn ephemerals_count(&self) -> usize {
        self.tree.owners().ephemerals_count()
    }

    /// Number of nodes.
    // ZooKeeper: its table has the root twice, as "" and "/", and every figure it shows counts both.
    pub fn node_count(&self) -> usize {
        self.tree.len() + 1
    }

    /// Bytes of all paths and data.
    pub fn approximate_data_size(&self) -> u64 {
        self.tree.data_bytes()
    }

    /// Number of different ACLs.
    pub fn acl_count(&self) -> usize {
        self.tree.acls().len()
    }

    /// The watches.
    pub fn watches(&self) -> &WatchTable {
        &self.watches
    }

    /// Paths of containers and TTL nodes that may be deleted now, at most `paths_max`
    /// (`ContainerManager.getCandidates`).
    pub fn reap_candidates(
        &self,
        now_wall_ms: i64,
        rules: ReapRules,
        paths_max: usize,
    ) -> Vec<String> {
        let owners = self.tree.owners();
        let nodes = owners.containers().iter().chain(owners.ttls());
        let paths: Vec<String> = nodes
            .filter(|&&id| self.may_be_reaped(id, now_wall_ms, rules))
            .take(paths_max)
            .map(|&id| self.tree.get(id).path().to_owned())
            .collect();
        assert!(paths.len() <= paths_max, "a search has a bound");
        paths
    }

    fn may_be_reaped(&self, id: NodeId, now_wall_ms: i64, rules: ReapRules) -> bool {
        let node = self.tree.get(id);
        let (kind, stat) = (node.kind(), node.stat_persisted());
        let planted = |bug: PlantedBug| planted::is(self.options.planted, bug);
        let is_kept = match kind {
            NodeKind::Container => {
                stat.cversion == 1 && planted(PlantedBug::ContainerOfOneChildKept)
            }
            NodeKind::Ttl { .. } => stat.version > 0 && planted(PlantedBug::SetTtlNodeKept),
            NodeKind::Persistent | NodeKind::Ephemeral(_) => false,
        };
        node.num_children() == 0 && rules.let_go(kind, &stat, now_wall_ms) && !is_kept
    }
}
