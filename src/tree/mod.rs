//! The nodes: where they are stored, how they are found, and their share of the digest.
//!
//! ```text
//! path ── index (hash, slot) ──→ slab of nodes ──→ one allocation: path, data
//!                                 │ parent, next and previous sibling: slots
//!                                 └──→ family: first child, number and bytes of all below
//! ```
//! This module knows shapes, not rules: the caller has decided that a change is right. Every change must update all
//! of these: the index, the sibling lists, the lists by owner, the digest, the size, the figures about the nodes
//! below each node, the counts of ACLs, and a freeze in progress.

mod digest;
mod family;
mod freeze;
mod index;
mod kind;
mod links;
mod node;
mod node_ref;
mod owners;
mod quota;

use crate::acl::{AclList, AclSlot, AclTable};
use crate::proto::data::{AclVector, StatPersisted};

pub use digest::{digest_of, digest_seed, is_left_out};
pub use freeze::FrozenNode;
#[cfg(test)]
pub(crate) use index::HASHED_BYTES;
pub use index::{PathHash, PathIndex};
pub use kind::{
    CONTAINER_OWNER, EXTENDED_SERVER_ID_MAX, KindRules, NodeKind, TTL_MS_MAX, ttl_owner,
};
pub use node::NodeId;
pub use node_ref::NodeRef;
pub use quota::{
    LIMIT_NAME, QUOTA_ROOT, QuotaExcess, QuotaNumbers, QuotaPaths, STAT_NAME, limit_path, stat_path,
};

use digest::digest_seed_of_both;
use family::Families;
use freeze::Freeze;
use node::{Node, Slab};
use owners::Owners;

/// Tables of the path index, as a power of two: each has some 500 entries at a million nodes.
const INDEX_SHARDS_LOG2: u32 = 11;

/// Longest path of a node, in bytes: a bound of the memory layout, far above every frame.
const PATH_BYTES_MAX: usize = 1 << 29;

/// The parent's path and the node's name; `None` for the root and for a text that is no node's path.
pub fn split_path(path: &str) -> Option<(&str, &str)> {
    if path.len() > PATH_BYTES_MAX {
        return None;
    }
    let (parent, name) = path.rsplit_once('/')?;
    if name.is_empty() || (!parent.is_empty() && !parent.starts_with('/')) {
        return None;
    }
    Some((parent, name))
}

/// All nodes of a database.
#[derive(Debug)]
pub struct Tree {
    /// How stored owners are interpreted.
    rules: KindRules,
    /// Whether digests are kept; if not, all of them are 0.
    digest_enabled: bool,
    /// The nodes.
    slab: Slab,
    /// What nodes with children know about the nodes below them.
    families: Families,
    /// Slots by path.
    index: PathIndex,
    /// The ACLs. Invariant: each counts the nodes that have it.
    acls: AclTable,
    /// The nodes that the server deletes by itself.
    owners: Owners,
    /// The wrapping sum of the digests of all nodes.
    digest: i64,
    /// Bytes of all paths and data.
    bytes: u64,
    /// The tree as it was at one moment, while a snapshot reads it.
    freeze: Option<Freeze>,
    /// The parent of the last insert, which is usually also that of the next one.
    parent_last: NodeId,
    /// The digest of the node whose Stat changed last, which usually changes next: a parent under which nodes are
    /// created. Any other change of that node clears this.
    digest_last: Option<(NodeId, i64)>,
}

impl Tree {
    /// A tree with only a root.
    pub fn new(
        rules: KindRules,
        digest_enabled: bool,
        hash_seed: u64,
        root: &StatPersisted,
        root_data: Option<&[u8]>,
        root_acl: AclSlot,
        acls: AclTable,
    ) -> Tree {
        let mut tree = Tree {
            rules,
            digest_enabled,
            slab: Slab::default(),
            families: Families::default(),
            index: PathIndex::new(hash_seed, INDEX_SHARDS_LOG2),
            acls,
            owners: Owners::default(),
            digest: 0,
            bytes: 0,
            freeze: None,
            parent_last: NodeId::ROOT,
            digest_last: None,
        };
        let id = tree.insert(NodeId::NONE, "/", root_data, root_acl, root);
        assert!(id == NodeId::ROOT, "the root has the first slot");
        tree
    }

    /// The node at a path. The empty path is the root, as ZooKeeper's files and code have it.
    #[inline]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let path = if path.is_empty() { "/" } else { path };
        let hash = self.index.hash(path);
        self.index
            .find(hash, |slot| self.slab.get(NodeId(slot)).path_bytes() == path.as_bytes())
            .map(NodeId)
    }

    /// As [`Tree::find`], with a guess of the node.
    #[inline]
    pub fn find_near(&self, guess: Option<&NodeId>, path: &str) -> Option<NodeId> {
        // A slot that was reused has another path; a free one has none.
        let is_it = |id: &&NodeId| self.slab.get(**id).path_bytes() == path.as_bytes();
        match guess.filter(|_| !path.is_empty()).filter(is_it) {
            Some(&id) => Some(id),
            None => self.find(path),
        }
    }

    /// As [`Tree::find`], for the parent of a node that is about to be inserted.
    #[inline]
    pub fn find_parent(&self, path: &str) -> Option<NodeId> {
        // A slot that was reused has another path; a free one has none.
        if !path.is_empty() && self.slab.get(self.parent_last).path_bytes() == path.as_bytes() {
            return Some(self.parent_last);
        }
        self.find(path)
    }

    /// Brings the parts of a node that are read into the processor's caches.
    #[inline]
    pub fn warm(&self, path: &[u8]) {
        let hash = self.index.hash_bytes(path);
        let found = self.index.find(hash, |slot| self.slab.get(NodeId(slot)).path_bytes() == path);
        let last = found.and_then(|slot| self.slab.get(NodeId(slot)).blob.last());
        std::hint::black_box(last.copied());
    }

    /// Adds a node; the caller has checked that `path` is free, that its parent is `parent`, and has counted the
    /// reference to `acl`.
    pub fn insert(
        &mut self,
        parent: NodeId,
        path: &str,
        data: Option<&[u8]>,
        acl: AclSlot,
        stat: &StatPersisted,
    ) -> NodeId {
        assert!((parent == NodeId::NONE) == (path == "/"), "all but the root have a parent");
        let left_out = is_left_out(path);
        let mut node = Node::new(path, data, left_out, acl, stat);
        if self.digest_enabled && !left_out {
            node.seed = seed_of(&node);
        }
        let slot = self.slab.next_slot();
        if let Some(freeze) = &mut self.freeze {
            freeze.note_new(slot);
        }
        let id = self.slab.insert(node);
        assert!(id == slot, "the freeze knows of the slot that is used");
        self.index.insert(self.index.hash(path), id.0);
        if let Some(parent) = parent.some() {
            self.link(parent, id);
            self.parent_last = parent;
        }
        let kind = self.rules.kind(stat.ephemeral_owner);
        let at = self.owners.add(kind, id, path.len());
        self.slab.get_mut(id).owned_at = at;
        self.bytes += blob_bytes(self.slab.get(id));
        self.digest = self.digest.wrapping_add(self.digest_of_node(id));
        id
    }

    /// Removes a node without children, and returns the ACL that it had.
    pub fn remove(&mut self, id: NodeId) -> AclList {
        assert!(id != NodeId::ROOT, "the root stays");
        assert!(self.slab.get(id).children == 0, "a node with children stays");
        self.digest_last = None;
        self.digest = self.digest.wrapping_sub(self.digest_of_node(id));
        assert!(self.bytes >= blob_bytes(self.slab.get(id)), "what is counted in is counted out");
        self.bytes -= blob_bytes(self.slab.get(id));
        self.keep(id);
        self.unlink(id);
        let node = self.slab.remove(id);
        self.index.remove(self.index.hash(node.path()), id.0);
        let (kind, path_bytes) = (self.rules.kind(node.owner()), node.path_bytes().len());
        if let Some(moved) = self.owners.remove(kind, node.owned_at, path_bytes) {
            self.slab.get_mut(moved).owned_at = node.owned_at;
        }
        let list = self.acls.list(node.acl).clone();
        self.acls.release(node.acl);
        if let Some(freeze) = &mut self.freeze {
            freeze.keep_blob(id, node.blob, node.shape);
        }
        list
    }

    /// Changes a node's Stat; its owner stays.
    pub fn update_stat(&mut self, id: NodeId, change: impl FnOnce(&mut StatPersisted)) {
        self.keep(id);
        let before = match self.digest_last {
            Some((last, digest)) if last == id => digest,
            Some(_) | None => self.digest_of_node(id),
        };
        let node = self.slab.get_mut(id);
        let mut stat = node.stat();
        change(&mut stat);
        assert!(stat.ephemeral_owner == node.owner(), "a node keeps its kind for life");
        node.set_stat(&stat);
        let after = self.digest_of_node(id);
        self.digest_last = Some((id, after));
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
    }

    /// Replaces a node's data, and changes its Stat.
    pub fn set_data(
        &mut self,
        id: NodeId,
        data: Option<&[u8]>,
        change: impl FnOnce(&mut StatPersisted),
    ) {
        self.keep(id);
        self.digest_last = None;
        self.digest = self.digest.wrapping_sub(self.digest_of_node(id));
        let node = self.slab.get_mut(id);
        let data_bytes_before = node.data_bytes();
        self.bytes -= blob_bytes(node);
        // Without a new allocation where possible. A snapshot in progress needs the former data.
        let in_place = self.freeze.is_none() && node.overwrite_data(data);
        let former = (!in_place).then(|| node.replace_data(data));
        self.bytes += blob_bytes(node);
        let grown = node.data_bytes() - data_bytes_before;
        if self.digest_enabled && !node.is_left_out() {
            node.seed = seed_of(node);
        }
        let mut stat = node.stat();
        change(&mut stat);
        assert!(stat.ephemeral_owner == node.owner(), "a node keeps its kind for life");
        node.set_stat(&stat);
        self.digest = self.digest.wrapping_add(self.digest_of_node(id));
        if let (Some(freeze), Some((blob, shape))) = (&mut self.freeze, former) {
            freeze.keep_blob(id, blob, shape);
        }
        if grown != 0 {
            self.count_above(id, 0, grown);
        }
    }

    /// Replaces a node's ACL; the caller has counted the reference to the new one.
    pub fn set_acl(&mut self, id: NodeId, acl: AclSlot) {
        self.keep(id);
        let old = std::mem::replace(&mut self.slab.get_mut(id).acl, acl);
        self.acls.release(old);
    }

    /// Counts a reference to an ACL.
    pub fn intern(&mut self, acl: AclVector<'_>) -> AclSlot {
        self.acls.intern(acl)
    }

    /// The interned ACLs, to change while a snapshot is loaded.
    pub fn acls_mut(&mut self) -> &mut AclTable {
        &mut self.acls
    }

    /// The interned ACLs.
    pub fn acls(&self) -> &AclTable {
        &self.acls
    }

    fn keep(&mut self, id: NodeId) {
        if let Some(freeze) = &mut self.freeze {
            let node = self.slab.get(id);
            freeze.keep(id, node, self.acls.id(node.acl));
        }
    }

    /// Begins to keep the tree as it is, for [`Tree::freeze_next`].
    pub fn freeze_begin(&mut self) {
        assert!(self.freeze.is_none(), "one snapshot at a time");
        self.freeze = Some(Freeze::new(self.slab.slots()));
    }

    /// Passes about `nodes_max` nodes to `sink` as they were at the beginning, parents before children; false when
    /// all have been given.
    pub fn freeze_next(&mut self, nodes_max: usize, sink: &mut dyn FnMut(FrozenNode<'_>)) -> bool {
        let Tree { freeze, slab, acls, .. } = self;
        let freeze = freeze.as_mut().expect("a snapshot has begun");
        freeze.advance(slab, |node| acls.id(node.acl), nodes_max, sink)
    }

    /// Ends the freeze, finished or not.
    pub fn freeze_end(&mut self) {
        self.freeze = None;
    }

    #[inline]
    fn digest_of_node(&self, id: NodeId) -> i64 {
        let node = self.slab.get(id);
        if !self.digest_enabled || node.is_left_out() {
            0
        } else {
            digest_of(node.seed, &node.stat())
        }
    }

    /// The digest of the whole tree; 0 if digests are off.
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// Number of nodes, the root counted once.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Always false: there is a root.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Bytes of all paths and data.
    pub fn data_bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of slots and index: the memory of the tree besides paths and data.
    pub fn overhead_bytes(&self) -> usize {
        self.slab.bytes() + self.families.memory() + self.index.bytes()
    }

    /// The rules by which owners are interpreted.
    pub fn rules(&self) -> KindRules {
        self.rules
    }

    /// Nodes by owner.
    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// A view of a node.
    #[inline]
    pub fn get(&self, id: NodeId) -> NodeRef<'_> {
        NodeRef { tree: self, node: self.slab.get(id), id }
    }
}

/// The path is followed by the data, as in the seed: one CRC call instead of two short ones.
fn seed_of(node: &Node) -> u32 {
    match node.path_bytes() {
        b"/" => digest_seed("/", node.data()),
        _ => digest_seed_of_both(&node.blob),
    }
}

fn blob_bytes(node: &Node) -> u64 {
    u64::try_from(node.blob.len()).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests;
