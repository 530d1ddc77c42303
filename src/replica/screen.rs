//! Refuses writes before they get a zxid (`enableEagerACLCheck`, `ZooKeeperServer.authWriteRequest`), so that clients
//! without permission cost the quorum nothing.
//!
//! The rule that is easy to break: the check looks at the tree as it is applied here, and lets every write pass about
//! which that tree says nothing. A write that passes is checked again where it gets its zxid.

use super::connection::Connection;
use super::ensemble::ReplicaRole;
use super::service::Service;
use crate::acl::fix_up;
use crate::error::ErrorCode;
use crate::planted::{self, PlantedBug};
use crate::processor::{path, read};
use crate::proto::data::perms;
use crate::proto::request::RequestBody;
use crate::proto::{AclVector, OpCode};

impl Service {
    /// The error with which a client's write is refused at once. `None`: the write passes.
    pub(super) fn screen(
        &self,
        connection: &Connection,
        op: OpCode,
        body: &RequestBody<'_>,
    ) -> Option<ErrorCode> {
        // ZooKeeper: a server on its own has no processor that asks authWriteRequest, and a leader
        // asks it for its own clients, not for those of its learners.
        let has_quorum = matches!(self.ensemble.role, ReplicaRole::Leading | ReplicaRole::Learning);
        let is_early = self.options.eager_acl_check
            || planted::is(self.options.planted, PlantedBug::EagerCheckAlways);
        if !is_early || !has_quorum {
            return None;
        }
        if self.ensemble.role == ReplicaRole::Learning
            && planted::is(self.options.planted, PlantedBug::EagerCheckAtLeaderOnly)
        {
            return None;
        }
        let Wish { path, wanted, acl } = Wish::of(op, body)?;
        if let Some(acl) = acl {
            let options = self.options.prep();
            let fixed = fix_up(acl, &connection.identities, &options.acl_bounds());
            if fixed.is_err_and(|error| error.code() == ErrorCode::InvalidAcl) {
                return Some(ErrorCode::InvalidAcl);
            }
        }
        let node = self.database.node(path::lookup_name(path))?;
        let asks_too_much = planted::is(self.options.planted, PlantedBug::EagerAsksTooMuch);
        let wanted = if asks_too_much { perms::ADMIN } else { wanted };
        let schemes = &self.options.authentication.schemes;
        let skip_acl = self.options.skip_acl;
        let may = read::may(node.acl_list(), wanted, &connection.identities, schemes, skip_acl);
        (!may).then_some(ErrorCode::NoAuth)
    }
}

/// The permission that a write needs.
struct Wish<'a> {
    /// The node whose ACL decides.
    path: &'a str,
    /// The permission on that node.
    wanted: i32,
    /// The ACL that the write gives to a node, if it does.
    acl: Option<AclVector<'a>>,
}

impl<'a> Wish<'a> {
    /// The permission that a write needs. `None`: the early check does not concern the write.
    // ZooKeeper: effectiveACLPath leaves everything else to the leader: containers, TTL nodes, multi.
    fn of(op: OpCode, body: &RequestBody<'a>) -> Option<Wish<'a>> {
        let parent = |path: Option<&'a str>| {
            path.filter(|path| !path::is_special(path)).and_then(path::parent)
        };
        Some(match (op, body) {
            (OpCode::Create | OpCode::Create2, RequestBody::Create(request)) => {
                Wish { path: parent(request.path)?, wanted: perms::CREATE, acl: Some(request.acl) }
            }
            (OpCode::Delete, RequestBody::PathVersion(request)) => {
                Wish { path: parent(request.path)?, wanted: perms::DELETE, acl: None }
            }
            (OpCode::SetData, RequestBody::SetData(request)) => {
                Wish { path: request.path?, wanted: perms::WRITE, acl: None }
            }
            (OpCode::SetAcl, RequestBody::SetAcl(request)) => {
                Wish { path: request.path?, wanted: perms::ADMIN, acl: Some(request.acl) }
            }
            _ => return None,
        })
    }
}
