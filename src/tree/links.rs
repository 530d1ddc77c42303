//! Links a node to its parent and siblings, and keeps the figures of its ancestors.

use super::Tree;
use super::family::FamilyId;
use super::node::NodeId;

impl Tree {
    pub(super) fn link(&mut self, parent: NodeId, id: NodeId) {
        assert!(parent != id, "no node is its own parent");
        let above = self.slab.get_mut(parent);
        assert!((above.family == FamilyId::NONE) == (above.children == 0), "parents have a family");
        if above.family == FamilyId::NONE {
            above.family = self.families.insert();
        }
        above.children += 1;
        let family = self.families.get_mut(above.family);
        let first = std::mem::replace(&mut family.first, id);
        let node = self.slab.get_mut(id);
        assert!(node.parent == NodeId::NONE, "a node is linked once");
        node.parent = parent;
        node.sibling_next = first;
        if let Some(first) = first.some() {
            let first = self.slab.get_mut(first);
            assert!(first.sibling_previous == NodeId::NONE, "the newest child comes first");
            first.sibling_previous = id;
        }
        let bytes = self.slab.get(id).data_bytes();
        self.count_above(id, 1, bytes);
    }

    /// Adds these nodes and bytes of data to the figures of every ancestor of a node.
    pub(super) fn count_above(&mut self, id: NodeId, nodes: i32, bytes: i64) {
        let mut above = self.slab.get(id).parent;
        while let Some(ancestor) = above.some() {
            let node = self.slab.get(ancestor);
            let family = self.families.get_mut(node.family);
            family.nodes =
                family.nodes.checked_add_signed(nodes).expect("nodes are fewer than 2^32");
            family.bytes = family.bytes.checked_add_signed(bytes).expect("memory is finite");
            above = node.parent;
        }
    }

    pub(super) fn unlink(&mut self, id: NodeId) {
        let bytes = self.slab.get(id).data_bytes();
        self.count_above(id, -1, -bytes);
        let node = self.slab.get(id);
        let (parent, next, previous) = (node.parent, node.sibling_next, node.sibling_previous);
        if let Some(next) = next.some() {
            let next = self.slab.get_mut(next);
            assert!(next.sibling_previous == id, "siblings know each other");
            next.sibling_previous = previous;
        }
        let above = self.slab.get_mut(parent);
        assert!(above.children > 0, "the node is one of its parent's children");
        above.children -= 1;
        let family = self.families.get_mut(above.family);
        match previous.some() {
            Some(previous) => {
                let previous = self.slab.get_mut(previous);
                assert!(previous.sibling_next == id, "siblings know each other");
                previous.sibling_next = next;
            }
            None => {
                assert!(family.first == id, "a child that follows no other is the first");
                family.first = next;
            }
        }
        let above = self.slab.get_mut(parent);
        if above.children == 0 {
            let family = std::mem::replace(&mut above.family, FamilyId::NONE);
            self.families.remove(family);
        }
    }
}
