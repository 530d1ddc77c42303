//! createSession, closeSession.

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

/// A session asks for its own beginning or end: nothing about it is checked.
fn for_session(session: SessionId, cxid: i32) -> Requester<'static> {
    const NOBODY: &[Identity] = &[];
    Requester { session, cxid, identities: NOBODY, allowed: Ok(()), allowed_ephemerals: Ok(()) }
}

impl Prep {
    /// Makes the transaction with which a session begins.
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

    /// Makes the transaction with which a session ends, and with it its ephemeral nodes, those
    /// included whose create is still on its way.
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
        // A list that no log could be read back with is left out: every server then takes the
        // nodes from its tree, as before 3.6, and finds the same (ZOOKEEPER-4306).
        let bytes_max = self.options.txn_bytes_max.saturating_sub(TxnHeader::BYTES + 32);
        let mut listed = self.options.close_session_paths;
        let mut paths: VectorBuf<Option<&str>> = VectorBuf::default();
        let mut bytes = 0;
        let mut list = |path: &str| {
            bytes += 4 + path.len();
            listed &= bytes <= bytes_max;
            if listed {
                paths.push(&Some(path));
            }
        };
        self.remove_stored(database, stamp, session, &mut list);
        for path in self.outstanding_ephemerals(database, session) {
            list(&path);
            self.remove_recorded(database, stamp, &path);
        }
        let header = header(stamp, &for_session(session, cxid), OpCode::CloseSession);
        let paths: Option<Paths<'_>> = listed.then(|| paths.as_vector());
        Txn::new(header, &TxnBody::CloseSession { paths }, self.txn_digest())
    }

    /// Records that the ephemeral nodes of a session that are in the tree go, and `visit`s their paths. What
    /// has no record needs none: one word says that all of these go, and their parents change once.
    fn remove_stored(
        &mut self,
        database: &Database,
        stamp: Stamp,
        session: SessionId,
        visit: &mut dyn FnMut(&str),
    ) {
        let mut without_record = 0;
        // The parent of the last of these, and how many in a row have it.
        let (mut parent, mut children) = ("", 0);
        // A session that ends a second time has nothing left but what has a record.
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

    /// Records that so many children of a node go, none of which has a record.
    fn remove_children(&mut self, database: &Database, stamp: Stamp, path: &str, children: u32) {
        if children == 0 {
            return;
        }
        let mut parent = self.record(database, path).expect("a node has a parent");
        parent.children =
            parent.children.checked_sub(children).expect("the nodes are some of its children");
        parent.stat.pzxid = parent.stat.pzxid.max(stamp.zxid);
        self.change(path, parent, stamp, SessionId::NONE);
    }

    /// Records that a node that has a record goes.
    fn remove_recorded(&mut self, database: &Database, stamp: Stamp, path: &str) {
        let parent_path = path::parent(path).expect("it is the path of a node");
        let parent = self.record(database, parent_path).expect("a node has a parent");
        let node = self.record(database, path).expect("it was found there");
        self.change_removed(database, stamp, path, node, parent_path, parent);
    }

    /// Whether a session may have no more ephemeral nodes. Those that are on their way count, whether they come
    /// or go.
    pub(super) fn has_enough_ephemerals(&self, database: &Database, session: SessionId) -> bool {
        let (stored, _) = database.ephemerals_size(session);
        stored + self.outstanding.touched_count(session) >= self.options.ephemerals_per_session_max
    }

    /// The ephemeral nodes that the session will have once everything outstanding is applied and that are
    /// not in the tree as such yet.
    fn outstanding_ephemerals(&self, database: &Database, session: SessionId) -> Vec<Rc<str>> {
        if self.is_planted(PlantedBug::CloseForgetsNewest) {
            return Vec::new();
        }
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
        // A path made, removed and made again was touched more than once.
        let mut seen = hashbrown::HashSet::new();
        let touched = self.outstanding.touched_by(session).filter(|path| is_new(path));
        touched.filter(|path| seen.insert(Rc::clone(path))).map(Rc::clone).collect()
    }
}

/// Whether a record is of an ephemeral node of this session.
fn is_owned(database: &Database, record: &ChangeRecord, session: SessionId) -> bool {
    record.exists && database.kind_of(record.stat.ephemeral_owner) == NodeKind::Ephemeral(session)
}
