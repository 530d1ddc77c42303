//! create, create2, createContainer, createTTL.
//!
//! The checks come in ZooKeeper's order, which a client can observe through the error that it gets: flags and time to
//! live, the session, the path of the parent, the ACL, the parent, CREATE on the parent, the final path, whether the
//! node exists, whether the parent is ephemeral, the quota (`PrepRequestProcessor.pRequest2TxnCreate`). The bound on
//! ephemeral nodes is ours and comes last.

use super::{Beyond, ChangeRecord, Planned, Prep, Requester, Stamp};
use crate::database::{Database, NodeKind};
use crate::error::ErrorCode;
use crate::id::SessionId;
use crate::processor::path;
use crate::proto::data::perms;
use crate::proto::request::{CreateRequest, CreateTtlRequest};
use crate::proto::{AclVector, CreateMode, OpCode, StatPersisted};
use crate::tree::{CONTAINER_OWNER, ttl_owner};

/// ZooKeeper's number for "no time to live".
pub(super) const NO_TTL: i64 = -1;

/// A create of any kind, as the client requests it.
pub(super) struct Wanted<'a> {
    /// The kind of create.
    pub op: OpCode,
    /// The node; of a sequential one, the path without its number.
    pub path: Option<&'a str>,
    /// Its data.
    pub data: Option<&'a [u8]>,
    /// Its ACL, before `auth` and the like are replaced.
    pub acl: AclVector<'a>,
    /// The number of a `CreateMode`.
    pub flags: i32,
    /// The time to live in ms, or [`NO_TTL`].
    pub ttl: i64,
}

impl<'a> Wanted<'a> {
    /// The request of create, create2 or createContainer (`CreateRequest`).
    pub fn from_create(op: OpCode, request: &CreateRequest<'a>) -> Wanted<'a> {
        let CreateRequest { path, data, acl, flags } = *request;
        Wanted { op, path, data, acl, flags, ttl: NO_TTL }
    }

    /// The request of createTTL, the only one with a time to live (`CreateTTLRequest`).
    pub fn from_ttl(request: &CreateTtlRequest<'a>) -> Wanted<'a> {
        let CreateTtlRequest { path, data, acl, flags, ttl } = *request;
        Wanted { op: OpCode::CreateTtl, path, data, acl, flags, ttl }
    }

    /// Checks flags and time to live (`CreateMode.fromFlag`, `EphemeralType.validateTTL`).
    ///
    /// # Errors
    /// `BadArguments` for a number that is no mode, or a time to live that does not go with the mode. `Unimplemented`
    /// for a TTL node while `extended_types` is off.
    fn mode(&self, extended_types: bool) -> Result<CreateMode, ErrorCode> {
        let mode = CreateMode::from_flag(self.flags).ok_or(ErrorCode::BadArguments)?;
        let valid = if mode.is_ttl() {
            if !extended_types {
                return Err(ErrorCode::Unimplemented);
            }
            ttl_owner(self.ttl).is_some()
        } else {
            // ZooKeeper accepts a createTTL without a time to live, and fails to apply it.
            self.ttl < 0 && self.op != OpCode::CreateTtl
        };
        if valid { Ok(mode) } else { Err(ErrorCode::BadArguments) }
    }
}

impl Prep {
    /// Checks a create and records its effects: one more child, a newer cversion and pzxid for the parent, and the
    /// node.
    ///
    /// The version in the plan is the parent's new cversion, so that replay of the transaction gives the parent the
    /// same number, however often it is replayed (`CreateTxn.parentCVersion`).
    ///
    /// # Errors
    /// The code of the first check that fails. Nothing is recorded then.
    pub(super) fn plan_create<'a>(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        wanted: &Wanted<'a>,
    ) -> Result<Planned<'a>, ErrorCode> {
        let mode = wanted.mode(self.options.extended_types)?;
        if mode.is_ephemeral() {
            requester.allowed_ephemerals?;
        } else {
            requester.allowed?;
        }
        // ZooKeeper: a null path causes a NullPointerException, and the client gets a marshalling error.
        let wanted_path = wanted.path.ok_or(ErrorCode::MarshallingError)?;
        let parent_path = path::parent(wanted_path).ok_or(ErrorCode::BadArguments)?;
        let acl = self.fix_up(database, wanted.acl, requester)?;
        let mut parent = self.record(database, parent_path)?;
        self.check_acl(&parent.acl, perms::CREATE, requester)?;

        // The stored cversion counts the creates below the parent, of any kind and name. A delete does not change it,
        // so no number occurs twice until the 32 bits overflow.
        let mut planned = if mode.is_sequential() {
            Planned::new(wanted.op, format!("{wanted_path}{:010}", parent.stat.cversion))
        } else {
            Planned::new(wanted.op, wanted_path)
        };
        // Checked with the number: `/a/` is a valid name of a sequential node, whose whole name is then the number.
        if !path::is_valid(&planned.path) {
            return Err(ErrorCode::BadArguments);
        }
        if self.exists(database, &planned.path) {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(database.kind_of(parent.stat.ephemeral_owner), NodeKind::Ephemeral(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data_bytes = wanted.data.map_or(0, <[u8]>::len);
        self.check_quota(database, &planned.path, data_bytes, 0, 1)?;

        // The kind of the transaction decides, because servers apply the transaction: the flag of a container in a
        // plain create makes a persistent node.
        let owner = match wanted.op {
            OpCode::CreateContainer => CONTAINER_OWNER,
            OpCode::CreateTtl => ttl_owner(wanted.ttl).ok_or(ErrorCode::BadArguments)?,
            _ if mode.is_ephemeral() => requester.session.0,
            _ => 0,
        };
        // The owner of a container or of a TTL node is a number that stands for the kind of the node, not the
        // session.
        let ephemeral = owner != 0 && owner == requester.session.0;
        if ephemeral && self.has_enough_ephemerals(database, requester.session) {
            self.beyond.set(Some(Beyond::Ephemerals));
            return Err(ErrorCode::QuotaExceeded);
        }
        planned.data = wanted.data;
        planned.acl = Some(acl.clone());
        planned.ephemeral = ephemeral;
        planned.version = parent.stat.cversion.wrapping_add(1);
        planned.ttl = wanted.ttl;

        assert!(parent.exists, "a node is created below another one");
        parent.children += 1;
        // `Database::apply` does the same: after the largest number neither version nor pzxid changes any more.
        if planned.version > parent.stat.cversion {
            parent.stat.cversion = planned.version;
            parent.stat.pzxid = stamp.zxid;
        }
        self.change(parent_path, parent, stamp, SessionId::NONE);
        let node = ChangeRecord {
            zxid: stamp.zxid,
            exists: true,
            stat: StatPersisted::of_created(stamp.zxid, stamp.time, owner),
            children: 0,
            acl,
            data_bytes,
            digest_seed: self.digest_seed(&planned.path, wanted.data),
            digest: 0,
        };
        assert!(planned.path.len() > wanted_path.len() || planned.path == wanted_path);
        let owner = if ephemeral { requester.session } else { SessionId::NONE };
        // A learner may name any session, so an ephemeral node may be of session 0: then it has no owner.
        self.change(&planned.path, node, stamp, owner);
        Ok(planned)
    }
}
