//! The tree as it was at one moment, read slot by slot while it changes.
//!
//! Simple version: copy the tree. Ours copies only what changes before the walk gets there:
//! ```text
//! slots      0 1 2 3 4 5 6 7 8 9        walk → from 0 to `slots` as it was at the beginning
//! emitted    x x x x . x . . . .        5 before 4 because 3's parent is 5
//! changing 6: its former self is kept aside, the walk takes that one when it gets to 6
//! ```
//! The rule that is easy to break: *every* change of a node calls [`Freeze::keep`] first, and every
//! new node [`Freeze::note_new`].

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::acl::AclId;
use crate::proto::data::StatPersisted;
use crate::tree::node::{Node, NodeId, Shape, Slab, text};

/// A node as it was when the freeze began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrozenNode<'a> {
    /// The path; `/` for the root.
    pub path: &'a str,
    /// The data.
    pub data: Option<&'a [u8]>,
    /// ZooKeeper's key of its ACL.
    pub acl: AclId,
    /// Its Stat.
    pub stat: StatPersisted,
}

/// The former state of a node that has changed since.
#[derive(Debug)]
struct Former {
    stat: StatPersisted,
    acl: AclId,
    parent: NodeId,
    /// Path and data, if they have changed too: otherwise they are still the node's own.
    blob: Option<(Box<[u8]>, Shape)>,
}

/// The state of a walk.
#[derive(Debug)]
pub(super) struct Freeze {
    /// Slots in use at the beginning; nodes above are new.
    slots: u32,
    /// The next slot of the walk.
    next: u32,
    /// One bit per slot: emitted, or free at the beginning.
    emitted: Vec<u64>,
    /// What has changed before the walk got there. Invariant: none of it is emitted.
    formers: HashMap<NodeId, Former, FixedState>,
}

impl Freeze {
    pub fn new(slots: u32) -> Freeze {
        let words = slots.div_ceil(64) as usize;
        Freeze { slots, next: 0, emitted: vec![0; words], formers: HashMap::default() }
    }

    fn is_emitted(&self, id: NodeId) -> bool {
        self.emitted[id.index() / 64] & (1 << (id.0 % 64)) != 0
    }

    fn set_emitted(&mut self, id: NodeId) {
        self.emitted[id.index() / 64] |= 1 << (id.0 % 64);
    }

    /// Before a change of the Stat or the ACL of `node`, which has the ACL `acl`.
    pub fn keep(&mut self, id: NodeId, node: &Node, acl: AclId) {
        if id.0 < self.slots && !self.is_emitted(id) {
            self.formers.entry(id).or_insert_with(|| Former {
                stat: node.stat(),
                acl,
                parent: node.parent,
                blob: None,
            });
        }
    }

    /// After data were replaced, or a node removed: takes the allocation that held its path and
    /// data. [`Freeze::keep`] was called before.
    pub fn keep_blob(&mut self, id: NodeId, blob: Box<[u8]>, shape: Shape) {
        if let Some(former) = self.formers.get_mut(&id) {
            former.blob.get_or_insert((blob, shape));
        }
    }

    /// Before a node is put into a free slot.
    pub fn note_new(&mut self, id: NodeId) {
        // Without a former state the slot was free when the freeze began, or has been emitted.
        if id.0 < self.slots && !self.formers.contains_key(&id) {
            self.set_emitted(id);
        }
    }

    /// Emits at least `nodes_max` further nodes, parents before children; false when all are.
    pub fn advance(
        &mut self,
        slab: &Slab,
        acl_of: impl Fn(&Node) -> AclId,
        nodes_max: usize,
        sink: &mut dyn FnMut(FrozenNode<'_>),
    ) -> bool {
        let mut emitted = 0;
        let mut chain = Vec::new();
        while self.next < self.slots {
            if emitted >= nodes_max {
                return true;
            }
            let id = NodeId(self.next);
            self.next += 1;
            if self.is_emitted(id) {
                continue;
            }
            if slab.get(id).is_free() && !self.formers.contains_key(&id) {
                // Free at the beginning and never used since.
                continue;
            }
            let mut above = Some(id);
            while let Some(ancestor) = above.filter(|ancestor| !self.is_emitted(*ancestor)) {
                chain.push(ancestor);
                above = match self.formers.get(&ancestor) {
                    Some(former) => former.parent,
                    None => slab.get(ancestor).parent,
                }
                .some();
            }
            while let Some(id) = chain.pop() {
                self.emit(id, slab, &acl_of, sink);
                emitted += 1;
            }
        }
        assert!(self.formers.is_empty(), "everything kept aside was emitted");
        false
    }

    fn emit(
        &mut self,
        id: NodeId,
        slab: &Slab,
        acl_of: impl Fn(&Node) -> AclId,
        sink: &mut dyn FnMut(FrozenNode<'_>),
    ) {
        assert!(id.0 < self.slots, "a new node is not part of the frozen tree");
        assert!(!self.is_emitted(id), "a node is emitted once");
        self.set_emitted(id);
        let node = slab.get(id);
        let former = self.formers.remove(&id);
        let (stat, acl) = match &former {
            Some(former) => (former.stat, former.acl),
            None => (node.stat(), acl_of(node)),
        };
        let (path, data) = match &former {
            Some(Former { blob: Some((blob, shape)), .. }) => shape.split(blob),
            _ => node.shape.split(&node.blob),
        };
        sink(FrozenNode { path: text(path), data, acl, stat });
    }
}
