//! One node, and the storage of nodes: chunks that never move.

use crate::acl::AclSlot;
use crate::id::Zxid;
use crate::proto::data::StatPersisted;
use crate::tree::family::FamilyId;

/// A node's slot. Valid from the node's creation to its removal; then another node may get it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// The root's slot, always.
    pub const ROOT: NodeId = NodeId(0);
    /// No node.
    pub(super) const NONE: NodeId = NodeId(u32::MAX);

    /// As an index into an array.
    #[inline]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }

    /// `None` for no node.
    #[inline]
    pub(super) fn some(self) -> Option<NodeId> {
        (self != NodeId::NONE).then_some(self)
    }
}

/// A path's length and two facts about a node, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape(u32);

impl Shape {
    const NULL_DATA: u32 = 1 << 31;
    const LEFT_OUT: u32 = 1 << 30;
    const LENGTH: u32 = Shape::LEFT_OUT - 1;
    /// The shape of no node: every path has at least one character.
    const FREE: Shape = Shape(0);

    /// Panics over 1 GiB: paths come out of frames and log records, which are bounded below it.
    fn new(path_bytes: usize, null_data: bool, left_out: bool) -> Shape {
        let length = u32::try_from(path_bytes).expect("paths are bounded far below 1 GiB");
        assert!(length > 0, "every path has a character");
        assert!(length <= Shape::LENGTH, "paths are bounded far below 1 GiB");
        let null = if null_data { Shape::NULL_DATA } else { 0 };
        let left_out = if left_out { Shape::LEFT_OUT } else { 0 };
        Shape(length | null | left_out)
    }

    #[inline]
    fn path_bytes(self) -> usize {
        (self.0 & Shape::LENGTH) as usize
    }

    /// Splits an allocation into the path and the data, which may be null.
    #[inline]
    pub(super) fn split(self, blob: &[u8]) -> (&[u8], Option<&[u8]>) {
        let (path, data) = blob.split_at(self.path_bytes());
        (path, if self.0 & Shape::NULL_DATA == 0 { Some(data) } else { None })
    }
}

/// A node. Its fields are ordered and sized for memory: 112 bytes, plus one allocation that holds the path followed
/// by the data. Its Stat has no field of its own, because that would end in four unused bytes, and the node with it.
#[derive(Debug)]
pub(super) struct Node {
    czxid: Zxid,
    mzxid: Zxid,
    ctime: i64,
    mtime: i64,
    pzxid: Zxid,
    ephemeral_owner: i64,
    /// Path, then data, in an allocation of exactly their size.
    pub blob: Box<[u8]>,
    version: i32,
    cversion: i32,
    aversion: i32,
    pub shape: Shape,
    /// CRC-32 of path and data; see [`digest`](super::digest).
    pub seed: u32,
    pub parent: NodeId,
    /// The nodes below it.
    pub family: FamilyId,
    pub sibling_next: NodeId,
    pub sibling_previous: NodeId,
    pub children: u32,
    pub acl: AclSlot,
    /// Its place in its owner's list: that of the session, of the containers or of the TTL nodes.
    pub owned_at: u32,
}

const _: () = assert!(size_of::<Node>() == 112);

impl Node {
    const FREE: fn() -> Node = || Node {
        czxid: Zxid::ZERO,
        mzxid: Zxid::ZERO,
        ctime: 0,
        mtime: 0,
        pzxid: Zxid::ZERO,
        ephemeral_owner: 0,
        blob: Box::default(),
        version: 0,
        cversion: 0,
        aversion: 0,
        shape: Shape::FREE,
        seed: 0,
        parent: NodeId::NONE,
        family: FamilyId::NONE,
        sibling_next: NodeId::NONE,
        sibling_previous: NodeId::NONE,
        children: 0,
        acl: AclSlot::OPEN,
        owned_at: 0,
    };

    /// A node that is linked to no other yet.
    pub fn new(
        path: &str,
        data: Option<&[u8]>,
        left_out: bool,
        acl: AclSlot,
        stat: &StatPersisted,
    ) -> Node {
        let mut node = Node {
            blob: join(path.as_bytes(), data),
            shape: Shape::new(path.len(), data.is_none(), left_out),
            acl,
            ..Node::FREE()
        };
        node.set_stat(stat);
        node
    }

    pub fn is_free(&self) -> bool {
        self.shape == Shape::FREE
    }

    /// Whether digests leave it out.
    #[inline]
    pub fn is_left_out(&self) -> bool {
        self.shape.0 & Shape::LEFT_OUT != 0
    }

    #[inline]
    pub fn path_bytes(&self) -> &[u8] {
        self.shape.split(&self.blob).0
    }

    #[inline]
    pub fn path(&self) -> &str {
        text(self.path_bytes())
    }

    #[inline]
    pub fn data(&self) -> Option<&[u8]> {
        self.shape.split(&self.blob).1
    }

    /// Overwrites the old data; if the lengths differ, does nothing and returns false.
    pub fn overwrite_data(&mut self, data: Option<&[u8]>) -> bool {
        let at = self.shape.path_bytes();
        let shape = Shape::new(at, data.is_none(), self.is_left_out());
        let bytes = data.unwrap_or_default();
        let fits = shape == self.shape && self.blob.len() - at == bytes.len();
        if fits {
            self.blob[at..].copy_from_slice(bytes);
        }
        fits
    }

    /// Replaces the data and returns the old allocation and its shape.
    pub fn replace_data(&mut self, data: Option<&[u8]>) -> (Box<[u8]>, Shape) {
        let blob = join(self.path_bytes(), data);
        let shape = Shape::new(self.shape.path_bytes(), data.is_none(), self.is_left_out());
        assert!(blob.len() >= shape.path_bytes(), "data follow the path");
        (std::mem::replace(&mut self.blob, blob), std::mem::replace(&mut self.shape, shape))
    }

    /// Bytes of its data.
    #[inline]
    pub fn data_bytes(&self) -> i64 {
        assert!(self.shape.path_bytes() <= self.blob.len(), "data follow the path");
        let bytes = self.blob.len() - self.shape.path_bytes();
        i64::try_from(bytes).expect("a length fits 63 bits")
    }

    #[inline]
    pub fn owner(&self) -> i64 {
        self.ephemeral_owner
    }

    #[inline]
    pub fn stat(&self) -> StatPersisted {
        StatPersisted {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion,
            aversion: self.aversion,
            ephemeral_owner: self.ephemeral_owner,
            pzxid: self.pzxid,
        }
    }

    #[inline]
    pub fn set_stat(&mut self, stat: &StatPersisted) {
        let StatPersisted {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            pzxid,
        } = *stat;
        self.czxid = czxid;
        self.mzxid = mzxid;
        self.ctime = ctime;
        self.mtime = mtime;
        self.version = version;
        self.cversion = cversion;
        self.aversion = aversion;
        self.ephemeral_owner = ephemeral_owner;
        self.pzxid = pzxid;
    }
}

/// One allocation for both, of exactly their size.
fn join(path: &[u8], data: Option<&[u8]>) -> Box<[u8]> {
    [path, data.unwrap_or_default()].concat().into_boxed_slice()
}

/// Paths are stored from a `str` and cut only at a slash.
#[inline]
pub(super) fn text(path: &[u8]) -> &str {
    std::str::from_utf8(path).expect("a path came in as text")
}

/// Nodes per chunk: large enough for few chunks, small enough to fill one in microseconds.
const CHUNK_NODES: usize = 1024;

/// All nodes, by slot. A node stays where it is from creation to removal.
///
/// Invariant: `live ≤ used ≤` the slots of all chunks; `used - live` slots are in the free list.
#[derive(Debug, Default)]
pub(super) struct Slab {
    /// The slots, by number.
    chunks: Vec<Box<[Node]>>,
    /// Slots that were ever in use.
    used: u32,
    /// The head of the list of free slots, linked by `sibling_next`.
    free: Option<NodeId>,
    /// Nodes.
    live: usize,
}

impl Slab {
    /// Slots that were ever in use: every node lies below.
    pub fn slots(&self) -> u32 {
        self.used
    }

    /// Nodes.
    pub fn len(&self) -> usize {
        self.live
    }

    /// The slot that the next insert takes.
    pub fn next_slot(&self) -> NodeId {
        self.free.unwrap_or(NodeId(self.used))
    }

    pub fn insert(&mut self, node: Node) -> NodeId {
        let id = self.next_slot();
        if self.free.is_some() {
            self.free = self.get(id).sibling_next.some();
        } else {
            self.used = self.used.checked_add(1).expect("fewer than 2^32 nodes");
            assert!(id != NodeId::NONE, "fewer than 2^32 nodes");
            if self.chunks.len() * CHUNK_NODES == id.index() {
                self.chunks.push((0..CHUNK_NODES).map(|_| Node::FREE()).collect());
            }
        }
        self.live += 1;
        assert!(self.live <= self.used as usize, "each node has a slot of its own");
        assert!(self.get(id).is_free(), "a slot in use is not used again");
        assert!(!node.is_free());
        *self.get_mut(id) = node;
        id
    }

    /// Frees the slot and returns its node.
    pub fn remove(&mut self, id: NodeId) -> Node {
        assert!(id.0 < self.used, "a node has a slot that was used");
        let free = Node { sibling_next: self.free.unwrap_or(NodeId::NONE), ..Node::FREE() };
        let node = std::mem::replace(self.get_mut(id), free);
        assert!(!node.is_free(), "a node is removed once");
        self.free = Some(id);
        self.live -= 1;
        node
    }

    #[inline]
    pub fn get(&self, id: NodeId) -> &Node {
        &self.chunks[id.index() / CHUNK_NODES][id.index() % CHUNK_NODES]
    }

    #[inline]
    pub fn get_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.chunks[id.index() / CHUNK_NODES][id.index() % CHUNK_NODES]
    }

    /// Bytes of the chunks, paths and data not counted.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK_NODES * size_of::<Node>()
    }
}
