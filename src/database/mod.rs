//! placeholder
#![allow(missing_docs)]
use std::rc::Rc;

use crate::acl::{AclId, AclList};
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::proto::data::{AclVector, Stat, StatPersisted};
use crate::proto::event::EventType;
use crate::proto::txn::Txn;
use crate::watch::WatchTable;

/// Switches that change what transactions mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseOptions {
    /// `zookeeper.extendedTypesEnabled`: owners that begin with 0xff are TTL nodes.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`: with extended types, every negative owner is a TTL node.
    pub emulate_353_ttl: bool,
    /// `zookeeper.digest.enabled`.
    pub digest_enabled: bool,
    /// Seeds the hash of the path index, so that nobody can choose paths that collide.
    pub hash_seed: u64,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        DatabaseOptions {
            extended_types: false,
            emulate_353_ttl: false,
            digest_enabled: true,
            hash_seed: 0,
        }
    }
}

/// What a node's `ephemeralOwner` says about it (`EphemeralType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    Persistent,
    Ephemeral(SessionId),
    Container,
    Ttl { ttl_ms: i64 },
}

/// One trigger: an event and who watches. One per trigger, in ZooKeeper's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    pub event: EventType,
    pub path: Rc<str>,
    pub zxid: Zxid,
    /// Only watchers that may READ under this ACL get the event.
    pub acl: AclList,
    pub watchers: Vec<ConnectionId>,
}

/// What a transaction did, as far as its reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    Create {
        stat: Stat,
    },
    SetData {
        stat: Stat,
    },
    SetAcl {
        stat: Stat,
    },
    Delete,
    CreateSession,
    CloseSession,
    Check,
    /// An error; in a failed multi also 0 for parts before the one that failed.
    Error(i32),
    Multi(Vec<Applied>),
}

#[derive(Debug)]
pub struct Database {
    options: DatabaseOptions,
}

#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    database: &'a Database,
}

#[derive(Clone, Debug)]
pub struct SnapshotHead {
    pub zxid: Zxid,
    pub digest: i64,
    pub sessions: Vec<(SessionId, i32)>,
    pub acls: Vec<(AclId, AclList)>,
}

/// A node as it was when the snapshot began. `path` is empty for the root, as in the file.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotNode<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: AclId,
    pub stat: StatPersisted,
}

#[derive(Debug, thiserror::Error)]
#[error("placeholder")]
pub struct LoadError;

#[derive(Debug)]
pub struct DatabaseBuilder {
    database: Database,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReapRules {
    /// `znode.container.maxNeverUsedIntervalMs`, 0 = never
    pub never_used_ms_max: i64,
}

#[allow(unused_variables)]
impl Database {
    pub fn new(options: DatabaseOptions) -> Self {
        todo!()
    }
    pub fn options(&self) -> &DatabaseOptions {
        &self.options
    }
    pub fn last_processed(&self) -> Zxid {
        todo!()
    }
    /// For a new epoch without transactions.
    pub fn set_last_processed(&mut self, zxid: Zxid) {
        todo!()
    }
    pub fn digest(&self) -> i64 {
        todo!()
    }
    /// (zxid, digest) of each 128th zxid, oldest first, at most 1024.
    pub fn digest_log(&self) -> impl Iterator<Item = (Zxid, i64)> {
        std::iter::empty()
    }
    pub fn digest_mismatches(&self) -> u64 {
        todo!()
    }
    pub fn digest_mismatch_last(&self) -> Option<Zxid> {
        todo!()
    }
    /// `""` and `"/"` are the root.
    pub fn node(&self, path: &str) -> Option<NodeRef<'_>> {
        todo!()
    }
    /// CRC32(path‖data), what a node's digest continues.
    pub fn digest_seed(path: &str, data: Option<&[u8]>) -> u32 {
        todo!()
    }
    /// A node's digest: 0 under `/zookeeper/`.
    pub fn digest_of(path: &str, seed: u32, stat: &StatPersisted) -> i64 {
        todo!()
    }
    pub fn kind_of(&self, ephemeral_owner: i64) -> NodeKind {
        todo!()
    }
    /// In order of ids.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> {
        std::iter::empty()
    }
    pub fn sessions_count(&self) -> usize {
        todo!()
    }
    pub fn session_timeout(&self, id: SessionId) -> Option<i32> {
        todo!()
    }
    pub fn ephemerals(&self, id: SessionId) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
    /// Sessions that own nodes, in order of ids.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = SessionId> {
        std::iter::empty()
    }
    pub fn ephemerals_count(&self) -> usize {
        todo!()
    }
    pub fn node_count(&self) -> usize {
        todo!()
    }
    pub fn approximate_data_size(&self) -> u64 {
        todo!()
    }
    /// Whether a hard limit would be exceeded.
    pub fn quota_violated(&self, path: &str, bytes_delta: i64, count_delta: i64) -> bool {
        todo!()
    }
    pub fn watches(&self) -> &WatchTable {
        todo!()
    }
    pub fn watches_mut(&mut self) -> &mut WatchTable {
        todo!()
    }
    pub fn apply(&mut self, txn: &Txn, fired: &mut Vec<Fired>) -> Applied {
        todo!()
    }
    pub fn apply_in_replay(&mut self, txn: &Txn) {
        todo!()
    }
    /// After replay, before serving: ephemerals of sessions that do not exist are removed; returns how many.
    pub fn remove_orphaned_ephemerals(&mut self) -> usize {
        todo!()
    }
    /// Calls `visit` for each container / TTL node that may go, at most `max`.
    pub fn reap_candidates(&self, now_wall_ms: i64, rules: ReapRules, max: usize) -> Vec<String> {
        todo!()
    }
    pub fn snapshot_begin(&mut self) -> SnapshotHead {
        todo!()
    }
    pub fn snapshot_next(
        &mut self,
        nodes_max: usize,
        sink: &mut dyn FnMut(SnapshotNode<'_>),
    ) -> bool {
        todo!()
    }
    pub fn snapshot_end(&mut self) {
        todo!()
    }
}
#[allow(unused_variables)]
impl<'a> NodeRef<'a> {
    pub fn path(&self) -> &'a str {
        todo!()
    }
    pub fn data(&self) -> Option<&'a [u8]> {
        todo!()
    }
    pub fn stat(&self) -> Stat {
        todo!()
    }
    pub fn stat_persisted(&self) -> StatPersisted {
        todo!()
    }
    pub fn kind(&self) -> NodeKind {
        todo!()
    }
    pub fn acl_id(&self) -> AclId {
        todo!()
    }
    pub fn acl(&self) -> AclVector<'a> {
        todo!()
    }
    pub fn acl_list(&self) -> &'a AclList {
        todo!()
    }
    pub fn num_children(&self) -> usize {
        todo!()
    }
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::empty()
    }
    /// All below it, itself excluded.
    pub fn descendants_count(&self) -> usize {
        todo!()
    }
    pub fn digest_seed(&self) -> u32 {
        todo!()
    }
    pub fn digest(&self) -> i64 {
        todo!()
    }
}
#[allow(unused_variables)]
impl DatabaseBuilder {
    pub fn new(options: DatabaseOptions) -> Self {
        todo!()
    }
    pub fn session(&mut self, id: SessionId, timeout_ms: i32) {
        todo!()
    }
    pub fn acl(&mut self, id: AclId, acl: AclVector<'_>) {
        todo!()
    }
    /// `path` is empty for the root, as in the file; parents before children.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        todo!()
    }
    /// The digest trailer: the tree is fuzzy until `zxid` is reached.
    pub fn digest(&mut self, zxid: Zxid, version: i32, digest: i64) {
        todo!()
    }
    pub fn finish(self, zxid: Zxid) -> Result<Database, LoadError> {
        todo!()
    }
}
