//! What a node with children keeps about the nodes below it; most nodes have no children.
//!
//! Simple version: to count the nodes below another one, walk over them. Ours updates the counts of
//! all ancestors at each change, because a client may ask again and again, and a walk over a large
//! tree makes all others wait. A change then costs one step per level, which is no more than comparing
//! its path.

use super::node::NodeId;

/// A row of [`Families`]. Valid as long as its node has children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FamilyId(u32);

impl FamilyId {
    /// The family of a node without children.
    pub const NONE: FamilyId = FamilyId(u32::MAX);
}

/// The children of a node, and figures about all nodes below it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// The newest child. In a free row: the next free one, as a number.
    pub first: NodeId,
    /// Nodes below, at any depth.
    pub nodes: u32,
    /// Bytes of their data.
    pub bytes: u64,
}

/// Families per chunk; chunks never move, so growing copies none of them.
const CHUNK_FAMILIES: usize = 1024;

/// All families.
#[derive(Debug)]
pub(super) struct Families {
    /// The rows, by number.
    chunks: Vec<Box<[Family]>>,
    /// Rows that were ever in use.
    used: u32,
    /// The head of the list of free rows, linked by `first`; `NONE` if there is none.
    free: FamilyId,
}

impl Default for Families {
    fn default() -> Families {
        Families { chunks: Vec::new(), used: 0, free: FamilyId::NONE }
    }
}

impl Families {
    const EMPTY: Family = Family { first: NodeId::NONE, nodes: 0, bytes: 0 };

    /// Adds a family without members.
    pub fn insert(&mut self) -> FamilyId {
        let id = self.free;
        if id != FamilyId::NONE {
            assert!(self.get(id).nodes == 0, "a free row counts nothing");
            self.free = FamilyId(self.get(id).first.0);
            *self.get_mut(id) = Families::EMPTY;
            return id;
        }
        let id = FamilyId(self.used);
        assert!(id != FamilyId::NONE, "fewer families than nodes, and fewer nodes than 2^32");
        self.used += 1;
        if self.chunks.len() * CHUNK_FAMILIES == id.0 as usize {
            self.chunks.push(vec![Families::EMPTY; CHUNK_FAMILIES].into_boxed_slice());
        }
        id
    }

    /// Removes the family of a node whose last child is gone.
    pub fn remove(&mut self, id: FamilyId) {
        let next = NodeId(self.free.0);
        let family = self.get_mut(id);
        assert!(family.nodes == 0, "what is counted in is counted out");
        assert!(family.bytes == 0, "what is counted in is counted out");
        assert!(family.first == NodeId::NONE, "the last child is gone");
        family.first = next;
        self.free = id;
    }

    #[inline]
    pub fn get(&self, id: FamilyId) -> &Family {
        let at = id.0 as usize;
        &self.chunks[at / CHUNK_FAMILIES][at % CHUNK_FAMILIES]
    }

    #[inline]
    pub fn get_mut(&mut self, id: FamilyId) -> &mut Family {
        let at = id.0 as usize;
        &mut self.chunks[at / CHUNK_FAMILIES][at % CHUNK_FAMILIES]
    }

    /// As `get`, for a node that may have no children.
    #[inline]
    pub fn find(&self, id: FamilyId) -> Family {
        if id == FamilyId::NONE { Families::EMPTY } else { *self.get(id) }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.chunks.len() * CHUNK_FAMILIES * size_of::<Family>()
    }
}
