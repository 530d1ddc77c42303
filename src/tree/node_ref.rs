//! A node, to read.

use super::node::{Node, NodeId, text};
use super::{NodeKind, Tree};
use crate::acl::{AclId, AclList};
use crate::proto::data::{AclVector, Stat, StatPersisted};

/// A node, to read. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct NodeRef<'a> {
    pub(super) tree: &'a Tree,
    pub(super) node: &'a Node,
    pub(super) id: NodeId,
}

impl<'a> NodeRef<'a> {
    /// Its slot.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its path; `/` for the root.
    pub fn path(&self) -> &'a str {
        self.node.path()
    }

    /// Its data; null and empty differ.
    #[inline]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.node.data()
    }

    /// Its Stat as clients see it (`DataNode.copyStat`).
    #[inline]
    pub fn stat(&self) -> Stat {
        let stored = self.node.stat();
        let num_children = self.node.children.cast_signed();
        let data_length = self.data().map_or(0, <[u8]>::len);
        Stat {
            czxid: stored.czxid,
            mzxid: stored.mzxid,
            ctime: stored.ctime,
            mtime: stored.mtime,
            version: stored.version,
            // The stored version counts creates. Every child that is gone was one delete, and clients see the sum
            // of both.
            cversion: stored.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: stored.aversion,
            ephemeral_owner: self.tree.rules.owner_for_clients(stored.ephemeral_owner),
            data_length: i32::try_from(data_length).expect("data are bounded far below 2 GiB"),
            num_children,
            pzxid: stored.pzxid,
        }
    }

    /// The stored part of its Stat.
    #[inline]
    pub fn stat_persisted(&self) -> StatPersisted {
        self.node.stat()
    }

    /// What kind of node it is.
    pub fn kind(&self) -> NodeKind {
        self.tree.rules.kind(self.node.owner())
    }

    /// ZooKeeper's key of its ACL.
    pub fn acl_id(&self) -> AclId {
        self.tree.acls.id(self.node.acl)
    }

    /// Its ACL.
    pub fn acl(&self) -> AclVector<'a> {
        self.tree.acls.get(self.node.acl)
    }

    /// Its ACL, to check quickly or to clone.
    #[inline]
    pub fn acl_list(&self) -> &'a AclList {
        self.tree.acls.list(self.node.acl)
    }

    /// Its parent; none for the root.
    pub fn parent(&self) -> Option<NodeRef<'a>> {
        self.node.parent.some().map(|id| self.tree.get(id))
    }

    /// Number of children.
    pub fn num_children(&self) -> usize {
        self.node.children as usize
    }

    /// The names of its children, the newest first.
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let cut = match self.node.path_bytes() {
            b"/" => 1,
            path => path.len() + 1,
        };
        self.child_nodes().map(move |child| text(&child.node.path_bytes()[cut..]))
    }

    /// Its children.
    pub fn child_nodes(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let tree = self.tree;
        let mut next = tree.families.find(self.node.family).first;
        std::iter::from_fn(move || {
            let child = tree.get(next.some()?);
            next = child.node.sibling_next;
            Some(child)
        })
    }

    /// Itself and everything below it, parents before children, without recursion.
    pub fn subtree(&self) -> impl Iterator<Item = NodeRef<'a>> + use<'a> {
        let (top, tree) = (self.id, self.tree);
        let mut next = Some(*self);
        std::iter::from_fn(move || {
            let current = next?;
            next = match tree.families.find(current.node.family).first.some() {
                Some(child) => Some(tree.get(child)),
                None => {
                    let mut at = current;
                    loop {
                        if at.id == top {
                            break None;
                        }
                        if let Some(sibling) = at.node.sibling_next.some() {
                            break Some(tree.get(sibling));
                        }
                        at = at.parent().expect("below the top there is always a parent");
                    }
                }
            };
            Some(current)
        })
    }

    /// Number of nodes below it, itself not counted (`getAllChildrenNumber`).
    pub fn descendants_count(&self) -> usize {
        self.tree.families.find(self.node.family).nodes as usize
    }

    /// Bytes of the data of the nodes below it, its own not counted.
    pub fn descendants_bytes(&self) -> u64 {
        self.tree.families.find(self.node.family).bytes
    }

    /// Where its digest begins: CRC-32 of path and data. Not kept for nodes that digests exclude.
    pub fn digest_seed(&self) -> u32 {
        self.node.seed
    }

    /// Its digest; 0 if digests exclude it or are off.
    pub fn digest(&self) -> i64 {
        self.tree.digest_of_node(self.id)
    }
}
