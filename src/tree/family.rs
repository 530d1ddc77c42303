//! What a node keeps about those below it, if there are any: most nodes have no children.
//!
//! Simple version: whoever wants to know how many nodes lie below another walks over them. Ours counts
//! at each change, in all ancestors, because a client may ask again and again, and a walk over a large
//! tree keeps everybody else waiting. A change costs a step for each level then, which is no more than
//! it takes to compare its path.

use super::node::NodeId;

/// A row of [`Families`]. Valid as long as its node has children.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FamilyId(u32);

impl FamilyId {
    /// Of a node without children.
    pub const NONE: FamilyId = FamilyId(u32::MAX);
}

/// See the module's words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// The newest child. In a free row: the next free one, as a number.
    pub first: NodeId,
    /// Nodes below, at any depth.
    pub nodes: u32,
    /// Bytes of their data.
    pub bytes: u64,
}

/// So many stand together; they never move, so that no growth copies all of them.
const CHUNK_FAMILIES: usize = 1024;

/// All families.
#[derive(Debug)]
pub(super) struct Families {
    chunks: Vec<Box<[Family]>>,
    used: u32,
    free: FamilyId,
}

impl Default for Families {
    fn default() -> Families {
        Families { chunks: Vec::new(), used: 0, free: FamilyId::NONE }
    }
}

impl Families {
    const EMPTY: Family = Family { first: NodeId::NONE, nodes: 0, bytes: 0 };

    /// A family without members.
    pub fn insert(&mut self) -> FamilyId {
        let id = self.free;
        if id != FamilyId::NONE {
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

    /// The last child is gone.
    pub fn remove(&mut self, id: FamilyId) {
        let next = NodeId(self.free.0);
        let family = self.get_mut(id);
        assert!(family.nodes == 0 && family.bytes == 0, "what is counted in is counted out");
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

    /// The same of a node that may have no children.
    #[inline]
    pub fn find(&self, id: FamilyId) -> Family {
        if id == FamilyId::NONE { Families::EMPTY } else { *self.get(id) }
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.chunks.len() * CHUNK_FAMILIES * size_of::<Family>()
    }
}
