//! createSession, closeSession.

use std::rc::Rc;

use super::{Prep, Requester, Stamp, header};
use crate::acl::Identity;
use crate::database::{Database, NodeKind};
use crate::id::{SessionId, Zxid};
use crate::jute::VectorBuf;
use crate::planted::PlantedBug;
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
        let ephemerals = self.ephemerals(database, session);
        for path in &ephemerals {
            let parent_path = path::parent(path).expect("it is the path of a node");
            let parent = self.record(database, parent_path).expect("a node has a parent");
            let node = self.record(database, path).expect("it was found there");
            self.change_removed(database, stamp, path, node, parent_path, parent);
        }
        let header = header(stamp, &for_session(session, cxid), OpCode::CloseSession);
        let bytes: usize = ephemerals.iter().map(|path| 4 + path.len()).sum();
        let bytes = TxnHeader::BYTES + bytes;
        // A list that no log could be read back with is left out: every server then takes the
        // nodes from its tree, as before 3.6, and finds the same (ZOOKEEPER-4306).
        let listed = self.options.close_session_paths && bytes + 32 <= self.options.txn_bytes_max;
        let mut paths: VectorBuf<Option<&str>> = VectorBuf::default();
        if listed {
            ephemerals.iter().for_each(|path| paths.push(&Some(&**path)));
        }
        let paths: Option<Paths<'_>> = listed.then(|| paths.as_vector());
        Txn::new(header, &TxnBody::CloseSession { paths }, self.txn_digest())
    }

    /// Whether a session may have no more ephemeral nodes. Those that are on their way count, whether they come
    /// or go.
    pub(super) fn has_enough_ephemerals(&self, database: &Database, session: SessionId) -> bool {
        let (stored, _) = database.ephemerals_size(session);
        stored + self.outstanding.touched_count(session) >= self.options.ephemerals_per_session_max
    }

    /// The ephemeral nodes that the session will have once everything outstanding is applied.
    fn ephemerals(&self, database: &Database, session: SessionId) -> Vec<Rc<str>> {
        let owns = |path: &str| {
            self.outstanding.get(path).is_some_and(|record| {
                record.exists
                    && database.kind_of(record.stat.ephemeral_owner) == NodeKind::Ephemeral(session)
            })
        };
        let mut paths: Vec<Rc<str>> = database
            .ephemerals(session)
            .filter(|path| self.outstanding.get(path).is_none() || owns(path))
            .map(Rc::from)
            .collect();
        let is_stored = |path: &str| {
            database.node(path).is_some_and(|node| node.kind() == NodeKind::Ephemeral(session))
        };
        if self.is_planted(PlantedBug::CloseForgetsNewest) {
            return paths;
        }
        let stored = paths.len();
        paths.extend(
            self.outstanding
                .touched_by(session)
                .filter(|path| owns(path) && !is_stored(path))
                .map(Rc::clone),
        );
        // A path made, removed and made again was touched more than once.
        let fresh = paths.split_off(stored);
        let mut seen = hashbrown::HashSet::with_capacity(fresh.len());
        paths.extend(fresh.into_iter().filter(|path| seen.insert(Rc::clone(path))));
        paths
    }
}
