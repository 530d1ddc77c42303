//! One operation that was checked, and the body of its transaction.
//!
//! The bridge between the checks (`create`, `ops`, `reconfig`), which fill in the fields, and the encoding (`finish`
//! and `prepare_multi`), which asks for the body. It borrows from the request what it can: only the path of a
//! sequential node is new.

use std::borrow::Cow;

use crate::acl::AclList;
use crate::proto::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn,
    TxnBody,
};
use crate::proto::{AclVector, OpCode};

/// An operation that the tree allows, with the fields of its transaction. Each kind of transaction uses some of them.
pub(super) struct Planned<'a> {
    /// The kind of the transaction.
    pub op: OpCode,
    /// The node. Invariant: not empty.
    pub path: Cow<'a, str>,
    /// The node's data, if the operation sets them.
    pub data: Option<&'a [u8]>,
    /// The node's ACL, if the operation sets it.
    pub acl: Option<AclList>,
    /// Whether the operation makes an ephemeral node.
    pub ephemeral: bool,
    /// The version that the operation gives to the node: its data version, or its aversion for a setACL. For a
    /// create, the cversion that it gives to the parent. For a reconfiguration -1, as in ZooKeeper.
    pub version: i32,
    /// The time to live of a TTL node, in ms.
    pub ttl: i64,
}

impl<'a> Planned<'a> {
    /// A plan with only a path. What a kind of transaction does not use stays empty.
    ///
    /// # Panics
    /// If the path is empty.
    pub fn new(op: OpCode, path: impl Into<Cow<'a, str>>) -> Planned<'a> {
        let path = path.into();
        assert!(!path.is_empty(), "an operation names its node by its path");
        Planned { op, path, data: None, acl: None, ephemeral: false, version: 0, ttl: 0 }
    }

    /// The body of the transaction, with the layout of its kind (`CreateTxn`, `CreateContainerTxn`, `CreateTTLTxn`,
    /// `DeleteTxn`, `SetDataTxn`, `SetACLTxn`, `CheckVersionTxn`). create and create2 share one layout.
    pub fn body(&self) -> TxnBody<'_> {
        let path = Some(self.path.as_ref());
        let (data, version) = (self.data, self.version);
        let acl = self.acl.as_ref().map_or(AclVector::NULL, AclList::vector);
        match self.op {
            OpCode::CreateContainer => TxnBody::CreateContainer(CreateContainerTxn {
                path,
                data,
                acl,
                parent_cversion: version,
            }),
            OpCode::CreateTtl => TxnBody::CreateTtl(CreateTtlTxn {
                path,
                data,
                acl,
                parent_cversion: version,
                ttl: self.ttl,
            }),
            OpCode::Delete | OpCode::DeleteContainer => TxnBody::Delete(DeleteTxn { path }),
            OpCode::SetData | OpCode::Reconfig => {
                TxnBody::SetData(SetDataTxn { path, data, version })
            }
            OpCode::SetAcl => TxnBody::SetAcl(SetAclTxn { path, acl, version }),
            OpCode::Check => TxnBody::Check(CheckVersionTxn { path, version }),
            _ => TxnBody::Create(CreateTxn {
                path,
                data,
                acl,
                ephemeral: self.ephemeral,
                parent_cversion: version,
            }),
        }
    }
}
