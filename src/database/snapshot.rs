//! The state at one zxid, read in slices while transactions go on.

use crate::acl::{AclId, AclList};
use crate::database::Database;
use crate::id::{SessionId, Zxid};
use crate::proto::data::StatPersisted;

/// The part of a snapshot before its nodes, as it was at the beginning.
#[derive(Clone, Debug)]
pub struct SnapshotHead {
    /// The last transaction in it.
    pub zxid: Zxid,
    /// The digest of its tree.
    pub digest: i64,
    /// Sessions and their timeouts in ms, in the order of their ids.
    pub sessions: Vec<(SessionId, i32)>,
    /// ACLs by ZooKeeper's key.
    pub acls: Vec<(AclId, AclList)>,
}

/// A node as it was when the snapshot began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotNode<'a> {
    /// The path; empty for the root, as in the file.
    pub path: &'a str,
    /// The data.
    pub data: Option<&'a [u8]>,
    /// ZooKeeper's key of its ACL.
    pub acl: AclId,
    /// Its Stat.
    pub stat: StatPersisted,
}

impl Database {
    /// Begins a snapshot of the present state: later changes do not affect it. One at a time.
    pub fn snapshot_begin(&mut self) -> SnapshotHead {
        self.tree.freeze_begin();
        let head = SnapshotHead {
            zxid: self.last_processed,
            digest: self.digest(),
            sessions: self.sessions().collect(),
            acls: self.tree.acls().iter().map(|(id, list)| (id, list.clone())).collect(),
        };
        assert!(head.sessions.len() == self.sessions_count(), "a snapshot has every session");
        head
    }

    /// Passes about `nodes_max` nodes to `sink`, parents before children; false when all are
    /// passed.
    pub fn snapshot_next(
        &mut self,
        nodes_max: usize,
        sink: &mut dyn FnMut(SnapshotNode<'_>),
    ) -> bool {
        self.tree.freeze_next(nodes_max, &mut |node| {
            assert!(node.path.starts_with('/'), "the tree has whole paths");
            let path = if node.path == "/" { "" } else { node.path };
            sink(SnapshotNode { path, data: node.data, acl: node.acl, stat: node.stat });
        })
    }

    /// Ends a snapshot, finished or abandoned.
    pub fn snapshot_end(&mut self) {
        self.tree.freeze_end();
    }
}
