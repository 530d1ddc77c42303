//! create, create2, createContainer, createTTL.

use super::{Beyond, ChangeRecord, Planned, Prep, Requester, Stamp};
use crate::database::{Database, NodeKind};
use crate::error::ErrorCode;
use crate::id::SessionId;
use crate::processor::path;
use crate::proto::data::perms;
use crate::proto::request::{CreateRequest, CreateTtlRequest};
use crate::proto::{AclVector, CreateMode, OpCode, StatPersisted};
use crate::tree::{CONTAINER_OWNER, ttl_owner};

/// ZooKeeper's "no time to live".
pub(super) const NO_TTL: i64 = -1;

/// A create of any kind.
pub(super) struct Wanted<'a> {
    pub op: OpCode,
    pub path: Option<&'a str>,
    pub data: Option<&'a [u8]>,
    pub acl: AclVector<'a>,
    pub flags: i32,
    pub ttl: i64,
}

impl<'a> Wanted<'a> {
    pub fn from_create(op: OpCode, request: &CreateRequest<'a>) -> Wanted<'a> {
        let CreateRequest { path, data, acl, flags } = *request;
        Wanted { op, path, data, acl, flags, ttl: NO_TTL }
    }

    pub fn from_ttl(request: &CreateTtlRequest<'a>) -> Wanted<'a> {
        let CreateTtlRequest { path, data, acl, flags, ttl } = *request;
        Wanted { op: OpCode::CreateTtl, path, data, acl, flags, ttl }
    }

    /// Flags and time to live (`CreateMode.fromFlag`, `EphemeralType.validateTTL`).
    fn mode(&self, extended_types: bool) -> Result<CreateMode, ErrorCode> {
        let mode = CreateMode::from_flag(self.flags).ok_or(ErrorCode::BadArguments)?;
        let valid = if mode.is_ttl() {
            if !extended_types {
                return Err(ErrorCode::Unimplemented);
            }
            ttl_owner(self.ttl).is_some()
        } else {
            // ZooKeeper lets a createTTL without a time to live through, and fails to apply it.
            self.ttl < 0 && self.op != OpCode::CreateTtl
        };
        if valid { Ok(mode) } else { Err(ErrorCode::BadArguments) }
    }
}

impl Prep {
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
        // ZooKeeper: a null path ends in a NullPointerException, answered as a marshalling error.
        let wanted_path = wanted.path.ok_or(ErrorCode::MarshallingError)?;
        let parent_path = path::parent(wanted_path).ok_or(ErrorCode::BadArguments)?;
        let acl = self.fix_up(database, wanted.acl, requester)?;
        let mut parent = self.record(database, parent_path)?;
        self.check_acl(&parent.acl, perms::CREATE, requester)?;

        let mut planned = if mode.is_sequential() {
            Planned::new(wanted.op, format!("{wanted_path}{:010}", parent.stat.cversion))
        } else {
            Planned::new(wanted.op, wanted_path)
        };
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

        // The kind follows the transaction, because that is what will be applied: a container's
        // flag in a plain create makes a persistent node.
        let owner = match wanted.op {
            OpCode::CreateContainer => CONTAINER_OWNER,
            OpCode::CreateTtl => ttl_owner(wanted.ttl).ok_or(ErrorCode::BadArguments)?,
            _ if mode.is_ephemeral() => requester.session.0,
            _ => 0,
        };
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

        parent.children += 1;
        // As it will be applied: behind the last number neither moves any more.
        if planned.version > parent.stat.cversion {
            parent.stat.cversion = planned.version;
            parent.stat.pzxid = stamp.zxid;
        }
        self.change(parent_path, parent, stamp, SessionId::NONE);
        let node = ChangeRecord {
            zxid: stamp.zxid,
            exists: true,
            stat: StatPersisted {
                czxid: stamp.zxid,
                mzxid: stamp.zxid,
                pzxid: stamp.zxid,
                ctime: stamp.time,
                mtime: stamp.time,
                ephemeral_owner: owner,
                ..StatPersisted::default()
            },
            children: 0,
            acl,
            data_bytes,
            digest_seed: self.digest_seed(&planned.path, wanted.data),
            digest: 0,
        };
        let owner = if ephemeral { requester.session } else { SessionId::NONE };
        self.change(&planned.path, node, stamp, owner);
        Ok(planned)
    }
}
