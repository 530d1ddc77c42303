//! The nodes that the server deletes by itself: those of each session, the containers, and those
//! with a time to live.

use std::collections::BTreeMap;

use crate::id::SessionId;
use crate::tree::kind::NodeKind;
use crate::tree::node::NodeId;

/// Nodes by the cause of their deletion. A node knows its place in its list, so removing it takes
/// constant time.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// The nodes of each session that has any, in the order of the sessions.
    ephemerals: BTreeMap<SessionId, OfSession>,
    /// Nodes of all sessions.
    ephemerals_count: usize,
    /// All containers.
    containers: Vec<NodeId>,
    /// All nodes with a time to live.
    ttls: Vec<NodeId>,
}

/// The nodes of a session.
#[derive(Debug, Default)]
struct OfSession {
    /// In the order of their creation, as long as none is removed.
    nodes: Vec<NodeId>,
    /// Bytes of their paths.
    path_bytes: usize,
}

impl Owners {
    fn list(&mut self, kind: NodeKind) -> Option<&mut Vec<NodeId>> {
        match kind {
            NodeKind::Persistent => None,
            NodeKind::Ephemeral(session) => {
                Some(&mut self.ephemerals.entry(session).or_default().nodes)
            }
            NodeKind::Container => Some(&mut self.containers),
            NodeKind::Ttl { .. } => Some(&mut self.ttls),
        }
    }

    /// Adds a node with a path of `path_bytes`, and returns its place.
    pub fn add(&mut self, kind: NodeKind, id: NodeId, path_bytes: usize) -> u32 {
        if let NodeKind::Ephemeral(session) = kind {
            self.ephemerals_count += 1;
            self.ephemerals.entry(session).or_default().path_bytes += path_bytes;
        }
        // A persistent node is in no list, and its place means nothing.
        let Some(list) = self.list(kind) else { return 0 };
        list.push(id);
        u32::try_from(list.len() - 1).expect("fewer than 2^32 nodes")
    }

    /// Removes the node at a place and returns the node that now has that place.
    pub fn remove(&mut self, kind: NodeKind, at: u32, path_bytes: usize) -> Option<NodeId> {
        let at = at as usize;
        let list = self.list(kind)?;
        assert!(at < list.len(), "a node knows its place in its owner's list");
        list.swap_remove(at);
        let moved = list.get(at).copied();
        let is_empty = list.is_empty();
        if let NodeKind::Ephemeral(session) = kind {
            assert!(self.ephemerals_count > 0, "what is counted in is counted out");
            self.ephemerals_count -= 1;
            if is_empty {
                let of_session = self.ephemerals.remove(&session);
                let left = of_session.map_or(0, |of_session| of_session.path_bytes - path_bytes);
                assert!(left == 0, "{left} bytes are left of no path");
            } else if let Some(of_session) = self.ephemerals.get_mut(&session) {
                of_session.path_bytes -= path_bytes;
            }
        }
        moved
    }

    /// The nodes of a session.
    pub fn ephemerals(&self, session: SessionId) -> &[NodeId] {
        self.ephemerals.get(&session).map_or(&[], |of_session| &of_session.nodes)
    }

    /// Bytes of the paths of a session's nodes.
    pub fn ephemerals_path_bytes(&self, session: SessionId) -> usize {
        self.ephemerals.get(&session).map_or(0, |of_session| of_session.path_bytes)
    }

    /// Sessions that own nodes, in the order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// Ephemeral nodes of all sessions.
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals_count
    }

    /// All containers.
    pub fn containers(&self) -> &[NodeId] {
        &self.containers
    }

    /// All nodes with a time to live.
    pub fn ttls(&self) -> &[NodeId] {
        &self.ttls
    }
}
