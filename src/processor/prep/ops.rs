//! delete, setData, setACL, check, the removal of containers, and the refusal of reconfig.
//!
//! Each `plan_x` makes the checks of ZooKeeper's `PrepRequestProcessor.pRequest2Txn` in its order, and changes
//! records only after the last check. So there is something to take back only in two cases: a later part of a multi
//! fails, or the transaction is too long.

use super::{ChangeRecord, Planned, Prep, Requester, Stamp};
use crate::database::{Database, NodeKind, ReapRules};
use crate::error::ErrorCode;
use crate::id::SessionId;
use crate::planted::PlantedBug;
use crate::processor::path;
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::request::{PathVersion, SetAclRequest, SetDataRequest};

/// The version that a client expects if it accepts any.
const ANY_VERSION: i32 = -1;

/// The version after the current one, if the client expects the current one. After the largest number comes the
/// smallest.
///
/// # Errors
/// `BadVersion` if the client expects another one.
// ZooKeeper: PrepRequestProcessor.checkAndIncVersion of 3.9 goes from -2 to -1, which no client can expect; 3.10
// leaves out -1 (ZOOKEEPER-4743).
fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != ANY_VERSION && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(current.wrapping_add(1))
}

impl Prep {
    /// Checks a delete: the parent exists, DELETE on the parent, the node exists, its version, no children. The
    /// permission is the parent's, and it is asked before anything about the node is told.
    ///
    /// # Errors
    /// The code of the first check that fails.
    pub(super) fn plan_delete<'a>(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        request: &PathVersion<'a>,
    ) -> Result<Planned<'a>, ErrorCode> {
        requester.allowed?;
        let (path, parent_path) = deletable(request.path)?;
        let parent = self.record(database, parent_path)?;
        self.check_acl(&parent.acl, perms::DELETE, requester)?;
        let node = self.record(database, path)?;
        next_version(node.stat.version, request.version)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.change_removed(database, stamp, path, node, parent_path, parent);
        Ok(Planned::new(OpCode::Delete, path))
    }

    /// Checks the removal of a container or TTL node by the server itself, and records it like a delete.
    ///
    /// # Errors
    /// `NotEmpty` or `BadVersion` if the node may stay, `NoNode` if it is gone, `BadArguments` for a node that is
    /// never deleted.
    pub(super) fn plan_reap<'a>(
        &mut self,
        database: &Database,
        stamp: Stamp,
        rules: ReapRules,
        path: &'a str,
    ) -> Result<Planned<'a>, ErrorCode> {
        let (path, parent_path) = deletable(Some(path))?;
        let node = self.record(database, path)?;
        if node.children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        // ZooKeeper: PrepRequestProcessor checks only that the node is not ephemeral. But since the search found it, a
        // client may have set its data, or have deleted it and created it again.
        if !rules.let_go(database.kind_of(node.stat.ephemeral_owner), &node.stat, stamp.time) {
            return Err(ErrorCode::BadVersion);
        }
        let parent = self.record(database, parent_path)?;
        self.change_removed(database, stamp, path, node, parent_path, parent);
        Ok(Planned::new(OpCode::DeleteContainer, path))
    }

    /// Records that a node is deleted: its parent has one child less and a newer pzxid.
    // ZooKeeper: the stored cversion counts creates only, so a delete does not change it.
    pub(super) fn change_removed(
        &mut self,
        database: &Database,
        stamp: Stamp,
        path: &str,
        node: ChangeRecord,
        parent_path: &str,
        mut parent: ChangeRecord,
    ) {
        let owner = match database.kind_of(node.stat.ephemeral_owner) {
            NodeKind::Ephemeral(session) => session,
            NodeKind::Persistent | NodeKind::Container | NodeKind::Ttl { .. } => SessionId::NONE,
        };
        assert!(node.exists, "what is deleted is there");
        assert!(parent.exists, "a parent outlives its children");
        assert!(parent_path.len() <= path.len(), "a parent has the shorter path");
        parent.children = parent.children.checked_sub(1).expect("the node is one of its children");
        // In a tree that no server has written, the parent's pzxid may be later. Then it stays.
        parent.stat.pzxid = parent.stat.pzxid.max(stamp.zxid);
        self.change(parent_path, parent, stamp, SessionId::NONE);
        self.change(path, ChangeRecord { exists: false, ..node }, stamp, owner);
    }

    /// Checks a setData: the path, the node, WRITE, the quota, the version. The parent does not change.
    ///
    /// # Errors
    /// The code of the first check that fails.
    pub(super) fn plan_set_data<'a>(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        request: &SetDataRequest<'a>,
    ) -> Result<Planned<'a>, ErrorCode> {
        requester.allowed?;
        let path = valid(request.path)?;
        let mut node = self.record(database, path)?;
        self.check_acl(&node.acl, perms::WRITE, requester)?;
        let data_bytes = request.data.map_or(0, <[u8]>::len);
        if !self.is_planted(PlantedBug::QuotaNotAskedBySetData) {
            self.check_quota(database, path, data_bytes, node.data_bytes, 0)?;
        }
        let version = next_version(node.stat.version, request.version)?;
        assert!(node.exists, "data are set of a node that is there");
        node.stat.version = version;
        node.stat.mtime = stamp.time;
        node.stat.mzxid = stamp.zxid;
        node.data_bytes = data_bytes;
        node.digest_seed = self.digest_seed(path, request.data);
        self.change(path, node, stamp, SessionId::NONE);
        let mut planned = Planned::new(OpCode::SetData, path);
        planned.data = request.data;
        planned.version = version;
        Ok(planned)
    }

    /// Checks a setACL: the path, the new list, the node, ADMIN, the version, which is the aversion here. The node's
    /// data version, mtime and mzxid stay.
    ///
    /// # Errors
    /// The code of the first check that fails.
    pub(super) fn plan_set_acl<'a>(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        request: &SetAclRequest<'a>,
    ) -> Result<Planned<'a>, ErrorCode> {
        requester.allowed?;
        let path = valid(request.path)?;
        let acl = self.fix_up(database, request.acl, requester)?;
        let mut node = self.record(database, path)?;
        self.check_acl(&node.acl, perms::ADMIN, requester)?;
        let version = next_version(node.stat.aversion, request.version)?;
        assert!(node.exists, "an ACL is set of a node that is there");
        node.stat.aversion = version;
        node.acl = acl.clone();
        self.change(path, node, stamp, SessionId::NONE);
        let mut planned = Planned::new(OpCode::SetAcl, path);
        planned.acl = Some(acl);
        planned.version = version;
        Ok(planned)
    }

    /// Checks a part of a multi that only asks for a version: the path, the node, READ, the version. It records
    /// nothing.
    ///
    /// # Errors
    /// The code of the first check that fails.
    pub(super) fn plan_check<'a>(
        &mut self,
        database: &Database,
        requester: &Requester<'_>,
        request: &PathVersion<'a>,
    ) -> Result<Planned<'a>, ErrorCode> {
        requester.allowed?;
        let path = valid(request.path)?;
        let node = self.record(database, path)?;
        self.check_acl(&node.acl, perms::READ, requester)?;
        let mut planned = Planned::new(OpCode::Check, path);
        // ZooKeeper: CheckVersionTxn carries the version after the current one. Nothing reads it when the transaction
        // is applied.
        planned.version = next_version(node.stat.version, request.version)?;
        Ok(planned)
    }

    /// A standalone server has no ensemble to change.
    pub(super) fn refuse_reconfig(&self, requester: &Requester<'_>) -> ErrorCode {
        if !self.options.reconfig {
            return ErrorCode::ReconfigDisabled;
        }
        requester.allowed.err().unwrap_or(ErrorCode::Unimplemented)
    }

    /// Checks the quota that covers `path`, which would get `count` more nodes, and data of `bytes_after` instead of
    /// `bytes_before` bytes. The excess is kept for [`Prep::take_quota_excess`], also that of a soft limit, which
    /// refuses nothing.
    ///
    /// # Errors
    /// `QuotaExceeded` beyond a hard limit.
    // ZooKeeper: ZooKeeperServer.checkQuota, only with zookeeper.enforceQuota.
    pub(super) fn check_quota(
        &self,
        database: &Database,
        path: &str,
        bytes_after: usize,
        bytes_before: usize,
        count: i64,
    ) -> Result<(), ErrorCode> {
        if !self.options.enforce_quota {
            return Ok(());
        }
        let signed = |bytes: usize| i64::try_from(bytes).expect("a node's data fit in a frame");
        let bytes = signed(bytes_after) - signed(bytes_before);
        let Some((prefix, excess)) = database.quota_excess(path, bytes, count) else {
            return Ok(());
        };
        let is_hard = excess.is_hard;
        self.quota_excess.set(Some((prefix, excess)));
        if is_hard { Err(ErrorCode::QuotaExceeded) } else { Ok(()) }
    }

    /// The CRC over path and data that a record keeps for its digest; 0 while digests are off, to save the pass over
    /// the data.
    pub(super) fn digest_seed(&self, path: &str, data: Option<&[u8]>) -> u32 {
        if self.options.digest { Database::digest_seed(path, data) } else { 0 }
    }
}

/// The path of a node that can be deleted, and its parent's (`getParentPathAndValidate`). Nothing else about the path
/// is checked: a malformed one names no node.
///
/// # Errors
/// `MarshallingError` without a path, `BadArguments` without a parent or for a node that every tree needs.
fn deletable(path: Option<&str>) -> Result<(&str, &str), ErrorCode> {
    // ZooKeeper: a null path causes a NullPointerException, and the client gets a marshalling error.
    let path = path.ok_or(ErrorCode::MarshallingError)?;
    let parent = path::parent(path).ok_or(ErrorCode::BadArguments)?;
    if path::is_special(path) {
        return Err(ErrorCode::BadArguments);
    }
    Ok((path, parent))
}

/// A path that is well formed (`PathUtils.validatePath`).
///
/// # Errors
/// `BadArguments`, also without a path.
fn valid(path: Option<&str>) -> Result<&str, ErrorCode> {
    path.filter(|path| path::is_valid(path)).ok_or(ErrorCode::BadArguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_go_on_over_the_end_of_their_range_and_over_the_one_that_means_any() {
        assert_eq!(next_version(4, -1), Ok(5));
        assert_eq!(next_version(4, 4), Ok(5));
        assert_eq!(next_version(4, 3), Err(ErrorCode::BadVersion));
        assert_eq!(next_version(i32::MAX, -1), Ok(i32::MIN));
        assert_eq!(next_version(-2, -2), Ok(-1));
        assert_eq!(next_version(-1, -1), Ok(0));
    }
}
