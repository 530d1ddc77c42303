//! One operation, checked, on its way to a transaction.

use std::borrow::Cow;

use crate::acl::AclList;
use crate::proto::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn,
    TxnBody,
};
use crate::proto::{AclVector, OpCode};

/// What one operation asks of the tree, checked.
pub(super) struct Planned<'a> {
    pub op: OpCode,
    pub path: Cow<'a, str>,
    pub data: Option<&'a [u8]>,
    pub acl: Option<AclList>,
    pub ephemeral: bool,
    pub version: i32,
    pub ttl: i64,
}

impl<'a> Planned<'a> {
    pub fn new(op: OpCode, path: impl Into<Cow<'a, str>>) -> Planned<'a> {
        Planned {
            op,
            path: path.into(),
            data: None,
            acl: None,
            ephemeral: false,
            version: 0,
            ttl: 0,
        }
    }

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
