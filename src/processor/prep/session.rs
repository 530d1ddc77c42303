//! createSession, closeSession.
//!
//! These transactions always succeed: no permission, quota or version stands against the beginning or the end of a
//! session. The end deletes the session's ephemeral nodes at one zxid. A session may own twenty thousand of them, so
//! those without a record get none for their end; `Outstanding` keeps one entry for all of these.

use std::rc::Rc;

use super::{Prep, Requester, Stamp, header};
use crate::acl::Identity;
use crate::database::{Database, NodeKind};
use crate::id::{SessionId, Zxid};
use crate::jute::VectorBuf;
use crate::planted::PlantedBug;
use crate::processor::outstanding::ChangeRecord;
use crate::processor::path;
use crate::proto::OpCode;
use crate::proto::request::Paths;
use crate::proto::txn::{Txn, TxnBody, TxnHeader};
use crate::time::WallMs;

/// The session itself, for the transaction that begins or ends it. Nothing about it is checked.
fn for_session(session: SessionId, cxid: i32) -> Requester<'static> {
    const NOBODY: &[Identity] = &[];
    Requester { session, cxid, identities: NOBODY, allowed: Ok(()), allowed_ephemerals: Ok(()) }
}

impl Prep {
    /// Makes the transaction that begins a session; its body is `int timeout`, in ms.
    // ZooKeeper: PrepRequestProcessor.pRequest2Txn, CreateSessionTxn.
    pub fn prepare_create_session(
        &mut self,
        database: &Database,
        now: WallMs,
        zxid: Zxid,
        session: SessionId,
        timeout_ms: i32,
    ) -> Txn {
        self.begin(database, zxid);
        let stamp = Stamp { zxid, time: now.0 };
        let header = header(stamp, &for_session(session, 0), OpCode::CreateSession);
        Txn::new(header, &TxnBody::CreateSession { timeout_ms }, self.txn_digest())
    }

    /// Makes the transaction that ends a session and deletes its ephemeral nodes, including those whose create is
    /// proposed and not yet applied, without those whose delete is. `cxid` is the xid of the client's request; 0 if
    /// the session expires.
    ///
    /// The body is a vector of the paths, or nothing (`CloseSessionTxn`, since 3.6).
    pub fn prepare_close_session(
        &mut self,
        database: &Database,
        now: WallMs,
        zxid: Zxid,
        session: SessionId,
        cxid: i32,
    ) -> Txn {
        self.begin(database, zxid);
        let stamp = Stamp { zxid, time: now.0 };
        // A list that is too long to be read back from the log is left out. Every server then finds the same nodes in
        // its own tree, as before 3.6 (ZOOKEEPER-4306).
        let bytes_max = self.options.txn_bytes_max.saturating_sub(TxnHeader::BYTES + 32);
        let mut listed = self.options.close_session_paths;
        let mut paths: VectorBuf<Option<&str>> = VectorBuf::default();
        let mut bytes = 0;
        // The bytes of a path in the list: its length as an int, then the text. The 32 bytes above are more than the
        // count of the list and the digest take.
        let mut list = |path: &str| {
            bytes += 4 + path.len();
            listed &= bytes <= bytes_max;
            if listed {
                paths.push(&Some(path));
            }
        };
        // First the nodes of the tree, then those that are only proposed. A path belongs to one of the two.
        self.remove_stored(database, stamp, session, &mut list);
        for path in self.outstanding_ephemerals(database, session) {
            list(&path);
            self.remove_recorded(database, stamp, &path);
        }
        let header = header(stamp, &for_session(session, cxid), OpCode::CloseSession);
        assert!(!listed || bytes <= bytes_max, "a log takes the list");
        let paths: Option<Paths<'_>> = listed.then(|| paths.as_vector());
        Txn::new(header, &TxnBody::CloseSession { paths }, self.txn_digest())
    }

    /// Records that the ephemeral nodes of a session that are in the tree are deleted, and `visit`s their paths. A node
    /// without a record gets none: one entry stands for all of these, and each parent changes once.
    fn remove_stored(
        &mut self,
        database: &Database,
        stamp: Stamp,
        session: SessionId,
        visit: &mut dyn FnMut(&str),
    ) {
        let mut without_record = 0;
        // The parent of the last node without a record, and how many such nodes in a row have this parent.
        let (mut parent, mut children) = ("", 0);
        // When a session ends a second time, only nodes with a record are left.
        let has_ended = self.outstanding.ends(session);
        for node in database.ephemeral_nodes(session) {
            let path = node.path();
            match self.outstanding.get(path) {
                None if has_ended => {}
                None => {
                    let parent_path = path::parent(path).expect("it is the path of a node");
                    if parent_path != parent {
                        self.remove_children(database, stamp, parent, children);
                        (parent, children) = (parent_path, 0);
                    }
                    children += 1;
                    without_record += 1;
                    assert!(node.parent().is_some(), "the root is not ephemeral");
                    // The digest is a sum, so what a node added is subtracted, without a record.
                    if self.options.digest {
                        self.digest = self.digest.wrapping_sub(node.digest());
                    }
                    visit(path);
                }
                Some(record) if is_owned(database, record, session) => {
                    self.remove_children(database, stamp, parent, children);
                    (parent, children) = ("", 0);
                    self.remove_recorded(database, stamp, path);
                    visit(path);
                }
                Some(_) => {}
            }
        }
        self.remove_children(database, stamp, parent, children);
        if without_record > 0 {
            self.outstanding.put_ending(stamp.zxid, session, without_record);
        }
    }

    /// Records that this many children of a node are deleted, none of which has a record.
    fn remove_children(&mut self, database: &Database, stamp: Stamp, path: &str, children: u32) {
        if children == 0 {
            return;
        }
        let mut parent = self.record(database, path).expect("a node has a parent");
        assert!(parent.exists, "a parent outlives its children");
        parent.children =
            parent.children.checked_sub(children).expect("the nodes are some of its children");
        parent.stat.pzxid = parent.stat.pzxid.max(stamp.zxid);
        self.change(path, parent, stamp, SessionId::NONE);
    }

    /// Records that a node with a record is deleted.
    ///
    /// # Panics
    /// If neither a record nor the tree has the node and its parent.
    fn remove_recorded(&mut self, database: &Database, stamp: Stamp, path: &str) {
        let parent_path = path::parent(path).expect("it is the path of a node");
        let parent = self.record(database, parent_path).expect("a node has a parent");
        let node = self.record(database, path).expect("it was found there");
        self.change_removed(database, stamp, path, node, parent_path, parent);
    }

    /// Whether a session has as many ephemeral nodes as it may. A proposed change counts as one more node, even if it
    /// deletes one.
    pub(super) fn has_enough_ephemerals(&self, database: &Database, session: SessionId) -> bool {
        let (stored, _) = database.ephemerals_size(session);
        stored + self.outstanding.touched_count(session) >= self.options.ephemerals_per_session_max
    }

    /// The ephemeral nodes that the session will have when everything outstanding is applied, without those that are
    /// its nodes in the tree already.
    fn outstanding_ephemerals(&self, database: &Database, session: SessionId) -> Vec<Rc<str>> {
        if self.is_planted(PlantedBug::CloseForgetsNewest) {
            return Vec::new();
        }
        // The newest record decides: a node may have been created, deleted and created by another session.
        let is_new = |path: &str| {
            let is_owned = self
                .outstanding
                .get(path)
                .is_some_and(|record| is_owned(database, record, session));
            let is_stored = || {
                database.node(path).is_some_and(|node| node.kind() == NodeKind::Ephemeral(session))
            };
            is_owned && !is_stored()
        };
        // If a node is created, deleted and created again, its path occurs several times.
        let mut seen = hashbrown::HashSet::new();
        let touched = self.outstanding.touched_by(session).filter(|path| is_new(path));
        touched.filter(|path| seen.insert(Rc::clone(path))).map(Rc::clone).collect()
    }
}

/// Whether the record says that this session has an ephemeral node there.
fn is_owned(database: &Database, record: &ChangeRecord, session: SessionId) -> bool {
    record.exists && database.kind_of(record.stat.ephemeral_owner) == NodeKind::Ephemeral(session)
}
