//! Applies transactions to the tree (`DataTree.processTxn`), and turns changes into events.

use crate::acl::AclList;
use crate::database::{
    Applied, DIGEST_LOG_ENTRIES, DIGEST_LOG_INTERVAL, Database, Fired, NodeKind, Promise, Recorded,
};
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::jute::Vector;
use crate::planted::{self, PlantedBug};
use crate::proto::data::{AclVector, Stat, StatPersisted};
use crate::proto::event::EventType;
use crate::proto::opcode::OpCode;
use crate::proto::request::Paths;
use crate::proto::txn::{DIGEST_VERSION, SubTxn, Txn, TxnBody, TxnHeader};
use crate::tree::{CONTAINER_OWNER, NodeId, split_path, ttl_owner};
use crate::watch::WatchKind;

/// Receives events; `None` in replay.
type Events<'a> = Option<&'a mut Vec<Fired>>;

/// The parts of a create of any kind.
struct Create<'a> {
    path: Option<&'a str>,
    data: Option<&'a [u8]>,
    acl: AclVector<'a>,
    /// Stored owner; `None` for an invalid time to live.
    owner: Option<i64>,
    parent_cversion: i32,
}

/// Bytes of data, as quotas count them.
pub(super) fn data_bytes(data: Option<&[u8]>) -> i64 {
    i64::try_from(data.map_or(0, <[u8]>::len)).expect("a length fits 63 bits")
}

impl Database {
    /// Applies a committed transaction and appends the events that it fires.
    ///
    /// Panics if it does not fit the state: zxids must grow, and the facts that prep has checked must hold. Only an
    /// error may have the zxid of the transaction before it.
    // ZooKeeper: a request that could not be decoded is logged with the current zxid once more.
    pub fn apply(&mut self, txn: &Txn, fired: &mut Vec<Fired>) -> Applied {
        let header = txn.header();
        assert!(
            header.zxid > self.last_processed
                || (header.zxid == self.last_processed && header.op == OpCode::Error),
            "transactions are applied in order: {:?} after {:?}",
            header.zxid,
            self.last_processed
        );
        let fired_before = fired.len();
        let applied = self.apply_body(header, &txn.body(), &mut Some(fired));
        self.after(txn);
        assert!(self.last_processed == header.zxid, "the state is that after the transaction");
        let first = fired.get(fired_before);
        assert!(first.is_none_or(|event| event.zxid == header.zxid), "events name their zxid");
        applied
    }

    /// Applies a transaction from a log to a tree that may be ahead of it: ZooKeeper's snapshots
    /// hold changes made while they were written. A transaction that does not fit is skipped; after the last
    /// transaction that the snapshot had seen, the tree is as if everything had fitted.
    ///
    /// Fires nothing. A transaction not newer than the last is ignored.
    pub fn apply_in_replay(&mut self, txn: &Txn) {
        if txn.zxid() <= self.last_processed {
            return;
        }
        let tolerant = std::mem::replace(&mut self.tolerant, true);
        self.apply_body(txn.header(), &txn.body(), &mut None);
        self.tolerant = tolerant;
        self.after(txn);
        assert!(self.last_processed == txn.zxid(), "the state is that after the transaction");
    }

    /// After replay, before the first client: deletes the ephemeral nodes of sessions that do not
    /// exist, without a transaction (`ZooKeeperServer.loadData`). Returns their number.
    pub fn remove_orphaned_ephemerals(&mut self) -> usize {
        let orphaned: Vec<SessionId> = self
            .ephemeral_owners()
            .filter(|session| !self.sessions.contains_key(session))
            .collect();
        let before = self.ephemerals_count();
        let tolerant = std::mem::replace(&mut self.tolerant, true);
        for session in orphaned {
            self.delete_ephemerals(session, self.last_processed, &mut None);
        }
        self.tolerant = tolerant;
        assert!(self.ephemerals_count() <= before, "nodes were deleted, none created");
        before - self.ephemerals_count()
    }

    /// Whether a transaction that does not fit is skipped.
    fn is_tolerant(&self) -> bool {
        self.tolerant || self.promise.is_some()
    }

    /// Updates the zxid, and checks the digest and a promised digest.
    fn after(&mut self, txn: &Txn) {
        let zxid = txn.zxid();
        if self.options.record {
            let (after, digest) = (self.last_processed, self.digest());
            self.recorded.get_mut().push(Recorded { after, txn: txn.clone(), digest });
        }
        self.last_processed = self.last_processed.max(zxid);
        if self.promise.is_some() {
            self.settle_promise();
            return;
        }
        if self.tolerant {
            let expected = txn.digest_after().filter(|digest| digest.version == DIGEST_VERSION);
            if expected.is_none_or(|digest| digest.tree_digest != self.digest()) {
                return;
            }
            self.tolerant = false;
        }
        if zxid.0 % DIGEST_LOG_INTERVAL == 0 {
            if self.digest_log.len() == DIGEST_LOG_ENTRIES {
                self.digest_log.pop_front();
            }
            self.digest_log.push_back((zxid, self.digest()));
            assert!(self.digest_log.len() <= DIGEST_LOG_ENTRIES, "the digest log has a bound");
        }
        if let Some(expected) = txn.digest_after()
            && expected.version == DIGEST_VERSION
        {
            self.compare_digest(zxid, expected.tree_digest);
        }
    }

    /// Compares the digest that a snapshot promised, if its zxid is reached, and forgets it.
    pub(super) fn settle_promise(&mut self) {
        // Most trees were promised no digest, or it was compared already.
        let Some(Promise { zxid, version, digest }) = self.promise else { return };
        if self.last_processed < zxid {
            return;
        }
        self.promise = None;
        if self.last_processed == zxid && version == DIGEST_VERSION {
            self.compare_digest(zxid, digest);
        }
    }

    /// A difference is only counted: Java's digest may be the wrong one.
    fn compare_digest(&mut self, zxid: Zxid, expected: i64) {
        if self.options.digest_enabled && expected != self.digest() {
            self.digest_mismatches += 1;
            self.digest_mismatch_last = Some(zxid);
        }
    }

    fn apply_body(
        &mut self,
        header: &TxnHeader,
        body: &TxnBody<'_>,
        events: &mut Events<'_>,
    ) -> Applied {
        match self.try_body(header, body, events) {
            Ok(applied) => applied,
            Err(error) => {
                assert!(
                    self.is_tolerant(),
                    "a committed transaction fits: {error} at {:?}, {:?}",
                    header.zxid,
                    header.op
                );
                Applied::Error(error.code())
            }
        }
    }

    fn try_body(
        &mut self,
        header: &TxnHeader,
        body: &TxnBody<'_>,
        events: &mut Events<'_>,
    ) -> Result<Applied, ErrorCode> {
        Ok(match *body {
            TxnBody::Create(txn) => {
                let owner = Some(if txn.ephemeral { header.client_id.0 } else { 0 });
                let (path, data, acl) = (txn.path, txn.data, txn.acl);
                let parent_cversion = txn.parent_cversion;
                let create = Create { path, data, acl, owner, parent_cversion };
                Applied::Create { stat: self.create(header, &create, events)? }
            }
            TxnBody::CreateContainer(txn) => {
                let owner = Some(CONTAINER_OWNER);
                let (path, data, acl) = (txn.path, txn.data, txn.acl);
                let parent_cversion = txn.parent_cversion;
                let create = Create { path, data, acl, owner, parent_cversion };
                Applied::Create { stat: self.create(header, &create, events)? }
            }
            TxnBody::CreateTtl(txn) => {
                let owner = ttl_owner(txn.ttl);
                let (path, data, acl) = (txn.path, txn.data, txn.acl);
                let parent_cversion = txn.parent_cversion;
                let create = Create { path, data, acl, owner, parent_cversion };
                Applied::Create { stat: self.create(header, &create, events)? }
            }
            TxnBody::Delete(txn) => {
                self.delete(txn.path, header.zxid, events)?;
                Applied::Delete
            }
            TxnBody::SetData(txn) => {
                let stat = self.set_data(header, txn.path, txn.data, txn.version, events)?;
                Applied::SetData { stat }
            }
            TxnBody::SetAcl(txn) => {
                Applied::SetAcl { stat: self.set_acl(txn.path, txn.acl, txn.version)? }
            }
            TxnBody::Check(_) => Applied::Check,
            TxnBody::CreateSession { timeout_ms } => {
                self.sessions.insert(header.client_id, timeout_ms);
                Applied::CreateSession
            }
            TxnBody::CloseSession { paths } => {
                self.close_session(header, paths, events);
                Applied::CloseSession
            }
            TxnBody::Error { err } => Applied::Error(err),
            TxnBody::Multi(parts) => self.multi(header, parts, events),
        })
    }

    /// All parts, or, if one of them is an error, none.
    fn multi(
        &mut self,
        header: &TxnHeader,
        parts: Vector<'_, SubTxn<'_>>,
        events: &mut Events<'_>,
    ) -> Applied {
        let failed = parts.iter().any(|part| part.op == OpCode::Error.number());
        let mut after_error = false;
        let applied: Vec<Applied> = TxnBody::parts(parts)
            .map(|(op, body)| {
                if let TxnBody::Error { err } = body {
                    after_error = true;
                    Applied::Error(err)
                } else if !failed {
                    self.apply_body(&TxnHeader { op, ..*header }, &body, events)
                } else if after_error {
                    Applied::Error(ErrorCode::RuntimeInconsistency.code())
                } else {
                    Applied::Error(0)
                }
            })
            .collect();
        assert!(applied.len() == parts.len(), "each part of a multi has a result");
        assert!(failed == after_error, "a multi fails with one of its parts");
        Applied::Multi(applied)
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        create: &Create<'_>,
        events: &mut Events<'_>,
    ) -> Result<Stat, ErrorCode> {
        let Create { path, data, acl, owner, parent_cversion } = *create;
        let (path, owner) =
            (path.ok_or(ErrorCode::BadArguments)?, owner.ok_or(ErrorCode::BadArguments)?);
        let (parent_path, name) = split_path(path).ok_or(ErrorCode::BadArguments)?;
        let parent = self.tree.find_parent(parent_path).ok_or(ErrorCode::NoNode)?;
        if let Some(existing) = self.tree.find(path) {
            assert!(self.is_tolerant(), "a committed create makes a new node: {:?}", header.zxid);
            // The tree is ahead of the log. The node is the one that this transaction created or a later one; but
            // its ACL may be missing in the snapshot, and the parent's version may be older. ZooKeeper: corrects the
            // parent only for the type create, which leaves it wrong after a create2.
            let slot = self.tree.intern(acl);
            self.tree.set_acl(existing, slot);
            self.count_create(parent, parent_cversion, header.zxid);
            return Err(ErrorCode::NodeExists);
        }
        let above = self.tree.get(parent);
        if matches!(above.kind(), NodeKind::Ephemeral(_)) {
            // In a tree that is ahead of the log the parent was deleted since, with this node, and created again as
            // another kind. If the parent already existed then, no server has decided this transaction. ZooKeeper:
            // creates the node, and its parent cannot be deleted with its session.
            if above.stat_persisted().czxid < header.zxid {
                self.misplaced = Some(path.to_owned());
            }
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.count_create(parent, parent_cversion, header.zxid);
        let zxid = header.zxid;
        let stat = StatPersisted::of_created(zxid, header.time, owner);
        let slot = self.tree.intern(acl);
        let id = self.tree.insert(parent, path, data, slot, &stat);
        let node = self.tree.get(id);
        assert!(node.parent().is_some_and(|above| above.id() == parent), "a node has its parent");
        assert!(node.num_children() == 0, "a new node has no children");
        let stat = node.stat();
        assert!(stat.czxid == zxid, "a Stat is read as it was written");
        self.quota_on_create(parent_path, name, path, data_bytes(data));
        if let Some(events) = events {
            self.fire(events, EventType::NodeCreated, id, zxid);
            self.fire(events, EventType::NodeChildrenChanged, parent, zxid);
        }
        Ok(stat)
    }

    /// Sets the parent's version after a create, unless it is already higher.
    fn count_create(&mut self, parent: NodeId, parent_cversion: i32, zxid: Zxid) {
        let now = self.tree.get(parent).stat_persisted().cversion;
        // Logs from before 3.4 do not have it.
        let after = if parent_cversion == -1 { now.wrapping_add(1) } else { parent_cversion };
        // ZooKeeper: so does a tree that is not ahead of its log, and after 2^31 creates under one
        // parent neither number moves any more.
        if after > now {
            self.tree.update_stat(parent, |stat| {
                stat.cversion = after;
                stat.pzxid = zxid;
            });
        }
    }

    fn delete(
        &mut self,
        path: Option<&str>,
        zxid: Zxid,
        events: &mut Events<'_>,
    ) -> Result<(), ErrorCode> {
        let path = path.ok_or(ErrorCode::BadArguments)?;
        self.delete_found(path, self.tree.find(path), zxid, events)
    }

    /// Deletes the node at a path; the caller has already looked it up.
    fn delete_found(
        &mut self,
        path: &str,
        found: Option<NodeId>,
        zxid: Zxid,
        events: &mut Events<'_>,
    ) -> Result<(), ErrorCode> {
        let (parent_path, _) = split_path(path).ok_or(ErrorCode::BadArguments)?;
        let parent = match found.and_then(|id| self.tree.get(id).parent()) {
            Some(parent) => parent.id(),
            None => self.tree.find(parent_path).ok_or(ErrorCode::NoNode)?,
        };
        // Also if the node is already gone: the parent in the snapshot may be older than the delete.
        if zxid > self.tree.get(parent).stat_persisted().pzxid {
            self.tree.update_stat(parent, |stat| stat.pzxid = zxid);
        }
        let id = found.ok_or(ErrorCode::NoNode)?;
        if self.tree.get(id).num_children() > 0 {
            assert!(self.is_tolerant(), "a committed delete finds no children: {zxid:?}");
            // The tree is ahead of the log: the node was created again later and got these children. Later
            // transactions will create them again. ZooKeeper: leaves them in its table under a parent that does not
            // know them.
            let below: Vec<NodeId> =
                self.tree.get(id).subtree().skip(1).map(|node| node.id()).collect();
            for id in below.into_iter().rev() {
                self.remove_leaf(id);
            }
        }
        let acl = self.remove_leaf(id);
        let pzxid = self.tree.get(parent).stat_persisted().pzxid;
        assert!(pzxid >= zxid, "the parent knows of the delete: {pzxid} is before {zxid}");
        if let Some(events) = events {
            self.fire_deleted(events, path, zxid, acl);
            self.fire(events, EventType::NodeChildrenChanged, parent, zxid);
        }
        Ok(())
    }

    /// Removes a node without children from the tree and its quota.
    fn remove_leaf(&mut self, id: NodeId) -> AclList {
        let node = self.tree.get(id);
        let bytes = data_bytes(node.data());
        let is_ephemeral = matches!(node.kind(), NodeKind::Ephemeral(_));
        if self.quotas.is_empty()
            || (is_ephemeral && self.is_planted(PlantedBug::QuotaKeepsEphemerals))
        {
            return self.tree.remove(id);
        }
        let path = node.path().to_owned();
        let acl = self.tree.remove(id);
        let (parent, name) = split_path(&path).expect("the root is not removed");
        self.quota_on_delete(parent, name, &path, bytes);
        acl
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        path: Option<&str>,
        data: Option<&[u8]>,
        version: i32,
        events: &mut Events<'_>,
    ) -> Result<Stat, ErrorCode> {
        let path = path.ok_or(ErrorCode::BadArguments)?;
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let before = match self.is_planted(PlantedBug::QuotaAddsWholeData) {
            true => 0,
            false => data_bytes(self.tree.get(id).data()),
        };
        let grown = data_bytes(data) - before;
        self.tree.set_data(id, data, |stat| {
            stat.mtime = header.time;
            stat.mzxid = header.zxid;
            stat.version = version;
        });
        let stat = self.tree.get(id).stat();
        assert!(stat.mzxid == header.zxid, "a Stat is read as it was written");
        assert!(stat.version == version);
        self.quota_on_set_data(path, grown);
        if let Some(events) = events {
            self.fire(events, EventType::NodeDataChanged, id, header.zxid);
        }
        Ok(stat)
    }

    fn set_acl(
        &mut self,
        path: Option<&str>,
        acl: AclVector<'_>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        let path = path.ok_or(ErrorCode::BadArguments)?;
        let id = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let slot = self.tree.intern(acl);
        self.tree.set_acl(id, slot);
        self.tree.update_stat(id, |stat| stat.aversion = version);
        let stat = self.tree.get(id).stat();
        assert!(stat.aversion == version, "a Stat is read as it was written");
        Ok(stat)
    }

    /// Deletes the nodes that the transaction names, in its order, whichever session owns them; then the other nodes
    /// of the session, which in old logs are all of its nodes.
    // ZooKeeper: a named node that does not exist is skipped even live.
    fn close_session(
        &mut self,
        header: &TxnHeader,
        paths: Option<Paths<'_>>,
        events: &mut Events<'_>,
    ) {
        self.sessions.remove(&header.client_id);
        // The leader lists them in its own order, which is usually that of every server.
        let owned = self.tree.owners().ephemerals(header.client_id).to_vec();
        for (place, path) in paths.iter().flat_map(Vector::iter).enumerate() {
            let Some(path) = path else { continue };
            let found = self.tree.find_near(owned.get(place), path);
            // Its parent's pzxid moves even if the node is gone; a fuzzy snapshot may lack that change.
            let _ = self.delete_found(path, found, header.zxid, events);
        }
        if paths.is_some() && self.is_planted(PlantedBug::CloseForgetsNewest) {
            return;
        }
        self.delete_ephemerals(header.client_id, header.zxid, events);
        let left = self.tree.owners().ephemerals(header.client_id);
        assert!(left.is_empty(), "a session's nodes go with it");
    }

    fn is_planted(&self, bug: PlantedBug) -> bool {
        planted::is(self.options.planted, bug)
    }

    fn delete_ephemerals(&mut self, session: SessionId, zxid: Zxid, events: &mut Events<'_>) {
        while let Some(&id) = self.tree.owners().ephemerals(session).last() {
            let before = self.ephemerals_count();
            let path = self.tree.get(id).path().to_owned();
            self.delete(Some(&path), zxid, events)
                .expect("the tree owns the node, and it is not the root");
            assert!(self.ephemerals_count() < before, "each step deletes a node");
        }
    }

    /// Fires for an existing node.
    fn fire(&mut self, events: &mut Vec<Fired>, event: EventType, id: NodeId, zxid: Zxid) {
        let kind = match event {
            EventType::NodeChildrenChanged => WatchKind::Child,
            EventType::NodeCreated | EventType::NodeDataChanged | EventType::NodeDeleted => {
                WatchKind::Data
            }
        };
        if self.watches.is_empty() {
            return;
        }
        let node = self.tree.get(id);
        let path = node.path();
        let mut watchers = Vec::new();
        let shared = self.watches.fire(path, kind, false, &mut watchers);
        if !watchers.is_empty() {
            let path = shared.unwrap_or_else(|| path.into());
            let acl = node.acl_list().clone();
            events.push(Fired { event, path, zxid, acl, watchers });
        }
    }

    /// Fires for a deleted node that had `acl`. Its child watches fire with its data watches; no connection gets the
    /// event twice.
    fn fire_deleted(&mut self, events: &mut Vec<Fired>, path: &str, zxid: Zxid, acl: AclList) {
        let mut watchers = Vec::new();
        let data = self.watches.fire(path, WatchKind::Data, false, &mut watchers);
        let child = self.watches.fire(path, WatchKind::Child, true, &mut watchers);
        if !watchers.is_empty() {
            let path = data.or(child).unwrap_or_else(|| path.into());
            events.push(Fired { event: EventType::NodeDeleted, path, zxid, acl, watchers });
        }
    }
}
