//! Tests of the whole replicated state: rules about single transactions, and random runs beside a naive model.

mod events;
mod fits;
mod model;
mod quota;
mod random;
mod replay;
mod rules;

use crate::database::{Applied, Database, DatabaseOptions, Fired};
use crate::id::{SessionId, Zxid};
use crate::jute::VectorBuf;
use crate::proto::data::{AclEntry, AclVector, Id};
use crate::proto::opcode::OpCode;
use crate::proto::request::Paths;
use crate::proto::txn::{
    CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, SubTxn, Txn,
    TxnBody, TxnDigest, TxnHeader,
};

pub(super) const SESSION: i64 = 0x0100_0000_0000_0007;

pub(super) fn header(zxid: i64, op: OpCode) -> TxnHeader {
    TxnHeader { client_id: SessionId(SESSION), cxid: 1, zxid: Zxid(zxid), time: 1000 + zxid, op }
}

pub(super) fn acl_of(entries: &[(i32, &str, &str)]) -> VectorBuf<AclEntry<'static>> {
    let mut list = VectorBuf::default();
    for &(perms, scheme, id) in entries {
        list.push(&AclEntry { perms, id: Id { scheme: Some(scheme), id: Some(id) } });
    }
    list
}

pub(super) fn open_acl() -> VectorBuf<AclEntry<'static>> {
    acl_of(&[(31, "world", "anyone")])
}

/// The body of a create whose parent version is -1, so that the tree computes that version.
pub(super) fn create_body<'a>(
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: AclVector<'a>,
    ephemeral: bool,
) -> TxnBody<'a> {
    TxnBody::Create(CreateTxn { path: Some(path), data, acl, ephemeral, parent_cversion: -1 })
}

pub(super) fn delete_body(path: &str) -> TxnBody<'_> {
    TxnBody::Delete(DeleteTxn { path: Some(path) })
}

pub(super) fn set_body<'a>(path: &'a str, data: Option<&'a [u8]>, version: i32) -> TxnBody<'a> {
    TxnBody::SetData(SetDataTxn { path: Some(path), data, version })
}

/// A database, and the zxid of its next transaction.
pub(super) struct Run {
    pub database: Database,
    pub fired: Vec<Fired>,
}

impl Run {
    pub fn new() -> Run {
        Run::with(DatabaseOptions::default())
    }

    pub fn with(options: DatabaseOptions) -> Run {
        Run { database: Database::new(options), fired: Vec::new() }
    }

    pub fn apply(&mut self, op: OpCode, body: &TxnBody<'_>) -> Applied {
        let zxid = self.database.last_processed().0 + 1;
        self.fired.clear();
        let txn = Txn::new(header(zxid, op), body, None);
        assert!(self.database.is_fuzzy() || self.database.fits(&txn), "{body:?}");
        self.database.apply(&txn, &mut self.fired)
    }

    pub fn create(&mut self, path: &str, data: &str) -> Applied {
        let acl = open_acl();
        let body = create_body(path, Some(data.as_bytes()), acl.as_vector(), false);
        self.apply(OpCode::Create, &body)
    }

    pub fn create_ephemeral(&mut self, path: &str) -> Applied {
        let acl = open_acl();
        self.apply(OpCode::Create, &create_body(path, None, acl.as_vector(), true))
    }

    pub fn create_container(&mut self, path: &str) -> Applied {
        let acl = open_acl();
        let acl = acl.as_vector();
        let txn = CreateContainerTxn { path: Some(path), data: None, acl, parent_cversion: -1 };
        self.apply(OpCode::CreateContainer, &TxnBody::CreateContainer(txn))
    }

    pub fn create_ttl(&mut self, path: &str, ttl: i64) -> Applied {
        let acl = open_acl();
        let acl = acl.as_vector();
        let txn = CreateTtlTxn { path: Some(path), data: None, acl, parent_cversion: -1, ttl };
        self.apply(OpCode::CreateTtl, &TxnBody::CreateTtl(txn))
    }

    pub fn delete(&mut self, path: &str) -> Applied {
        self.apply(OpCode::Delete, &delete_body(path))
    }

    pub fn set(&mut self, path: &str, data: &str, version: i32) -> Applied {
        self.apply(OpCode::SetData, &set_body(path, Some(data.as_bytes()), version))
    }

    pub fn set_acl(&mut self, path: &str, entries: &[(i32, &str, &str)], version: i32) -> Applied {
        let acl = acl_of(entries);
        let txn = SetAclTxn { path: Some(path), acl: acl.as_vector(), version };
        self.apply(OpCode::SetAcl, &TxnBody::SetAcl(txn))
    }

    pub fn close_session(&mut self, paths: Option<&[&str]>) -> Applied {
        let mut list = VectorBuf::<Option<&str>>::default();
        for path in paths.unwrap_or_default() {
            list.push(&Some(*path));
        }
        let paths: Option<Paths<'_>> = paths.map(|_| list.as_vector());
        self.apply(OpCode::CloseSession, &TxnBody::CloseSession { paths })
    }

    pub fn multi(&mut self, parts: &[(OpCode, TxnBody<'_>)]) -> Applied {
        let list = multi_parts(parts);
        self.apply(OpCode::Multi, &TxnBody::Multi(list.as_vector()))
    }

    /// The names of a node's children, sorted.
    pub fn children(&self, path: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self.database.node(path).unwrap().children().collect();
        names.sort_unstable();
        names
    }

    pub fn text(&self, path: &str) -> String {
        let data = self.database.node(path).unwrap().data().unwrap().to_vec();
        String::from_utf8(data).unwrap()
    }
}

pub(super) fn multi_parts(parts: &[(OpCode, TxnBody<'_>)]) -> VectorBuf<SubTxn<'static>> {
    let mut list = VectorBuf::default();
    for (op, body) in parts {
        let mut bytes = Vec::new();
        body.encode(&mut bytes);
        list.push(&SubTxn { op: op.number(), body: Some(&bytes) });
    }
    list
}

pub(super) fn with_digest(txn: &Txn, tree_digest: i64) -> Txn {
    Txn::new(*txn.header(), &txn.body(), Some(TxnDigest { version: 2, tree_digest }))
}
