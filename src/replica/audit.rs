//! What the audit log tells of this server (`AuditHelper`): the writes of its own clients with their outcome, and the
//! ephemeral nodes that go with their sessions.
//!
//! The replica decides what is told and makes records of it; the edge writes them. A write is told once, when its
//! outcome is certain, even if its connection is gone by then. Where auditing is switched off, nothing is kept and
//! nothing is made.
//!
//! The rule that is easy to break: a record holds no data of a node, no password and no hash of one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashSet;

use super::connection::Connection;
use super::service::Service;
use crate::acl::Identity;
use crate::database::{Applied, Database};
use crate::id::SessionId;
use crate::limits::{AUDIT_RECORDS_BYTES_MAX, AUDIT_VALUE_BYTES_MAX};
use crate::proto::data::{AclVector, perms};
use crate::proto::request::{MultiOp, RequestBody};
use crate::proto::txn::{Txn, TxnBody};
use crate::proto::{CreateMode, OpCode};
use crate::time::{Now, WallMs};

/// What a record tells of (`AuditConstants`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOperation {
    /// The server serves clients, or has failed to start.
    ServerStart,
    /// The server is told to stop, or stops because of a failure.
    ServerStop,
    /// create, create2, createContainer, createTTL; alone or in a multi.
    Create,
    /// delete; alone or in a multi.
    Delete,
    /// setData; alone or in a multi.
    SetData,
    /// setACL.
    SetAcl,
    /// A multi that failed. Of one that succeeded, each operation has a record.
    Multi,
    /// reconfig.
    Reconfig,
    /// The deletion of an ephemeral node, because its session ended.
    EphemeralDeletion,
}

impl AuditOperation {
    /// What a record tells of a request. `None`: requests of this kind are not told.
    const fn of(op: OpCode) -> Option<AuditOperation> {
        Some(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
                AuditOperation::Create
            }
            OpCode::Delete => AuditOperation::Delete,
            OpCode::SetData => AuditOperation::SetData,
            OpCode::SetAcl => AuditOperation::SetAcl,
            OpCode::Multi => AuditOperation::Multi,
            OpCode::Reconfig => AuditOperation::Reconfig,
            _ => return None,
        })
    }

    /// ZooKeeper's name.
    pub const fn name(self) -> &'static str {
        match self {
            AuditOperation::ServerStart => "serverStart",
            AuditOperation::ServerStop => "serverStop",
            AuditOperation::Create => "create",
            AuditOperation::Delete => "delete",
            AuditOperation::SetData => "setData",
            AuditOperation::SetAcl => "setAcl",
            AuditOperation::Multi => "multiOperation",
            AuditOperation::Reconfig => "reconfig",
            AuditOperation::EphemeralDeletion => "ephemeralZNodeDeletionOnSessionCloseOrExpire",
        }
    }
}

/// How it ended (`AuditEvent.Result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditResult {
    /// It was carried out.
    Success,
    /// It was refused, and changed nothing.
    Failure,
    /// It has begun.
    Invoked,
}

impl AuditResult {
    /// ZooKeeper's name.
    pub const fn name(self) -> &'static str {
        match self {
            AuditResult::Success => "success",
            AuditResult::Failure => "failure",
            AuditResult::Invoked => "invoked",
        }
    }
}

/// The client that asked.
#[derive(Debug, PartialEq, Eq)]
pub struct AuditClient {
    /// The names of its identities when it asked, separated by commas, at most [`AUDIT_VALUE_BYTES_MAX`] bytes and a
    /// mark of the cut. Empty: none of them has a name.
    pub users: Box<str>,
    /// Its address.
    pub address: IpAddr,
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// When its result was certain.
    pub at: WallMs,
    /// What it tells of.
    pub operation: AuditOperation,
    /// How that ended.
    pub result: AuditResult,
    /// The session of the client, or the one that has ended.
    pub session: Option<SessionId>,
    /// The client. `None`: the server itself.
    pub client: Option<Arc<AuditClient>>,
    /// The path, at most [`AUDIT_VALUE_BYTES_MAX`] bytes and a mark of the cut.
    pub znode: Option<Box<str>>,
    /// The kind of a node that was created, or was to be.
    pub znode_type: Option<CreateMode>,
    /// The ACL of a setACL, as `acl_text` writes it, with the same bound as the path.
    pub acl: Option<Box<str>>,
}

impl AuditRecord {
    /// A record about the server.
    pub fn of_server(at: WallMs, operation: AuditOperation, result: AuditResult) -> AuditRecord {
        AuditRecord {
            at,
            operation,
            result,
            session: None,
            client: None,
            znode: None,
            znode_type: None,
            acl: None,
        }
    }

    /// Bytes that it takes in memory beside its client.
    fn bytes(&self) -> usize {
        let texts = [&self.znode, &self.acl].into_iter().flatten().map(|text| text.len());
        size_of::<AuditRecord>() + texts.sum::<usize>()
    }
}

/// The records of a turn.
#[derive(Debug, Default)]
pub struct AuditRecords {
    /// The records, oldest first.
    pub records: Vec<AuditRecord>,
    /// Bytes that they take in memory.
    pub bytes: usize,
    /// Records that were dropped because the turn had too many, and writes whose outcome this server will not hear of.
    pub dropped: u64,
}

impl AuditRecords {
    /// Whether the edge has nothing to write and nothing to count.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.dropped == 0
    }

    /// Moves everything out of `other`.
    fn take_from(&mut self, other: &mut AuditRecords) {
        self.records.append(&mut other.records);
        self.bytes += std::mem::take(&mut other.bytes);
        self.dropped += std::mem::take(&mut other.dropped);
    }
}

/// A write of a client whose outcome is open: what its record will say of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    session: SessionId,
    client: Arc<AuditClient>,
    operation: AuditOperation,
    /// The path that was asked for. `None`: null, or the operation has none.
    znode: Option<Box<str>>,
    /// The kind of the node that it creates; of a multi, the kinds of all nodes that it creates, in its order. `None`:
    /// the client sent the number of no kind.
    types: Box<[Option<CreateMode>]>,
    /// The ACL of a setACL.
    acl: Option<Box<str>>,
}

impl Asked {
    /// What a client asks for. `body`: `None` if it cannot be decoded.
    // ZooKeeper: AuditHelper reads such a create as one of a persistent node without a path.
    fn of(
        connection: &mut Connection,
        op: OpCode,
        body: Option<&RequestBody<'_>>,
    ) -> Option<Asked> {
        let mut types = Vec::new();
        let mut acl = None;
        let (operation, path) = match body {
            Some(RequestBody::Create(request)) => {
                types.push(CreateMode::from_flag(request.flags));
                (AuditOperation::Create, request.path)
            }
            Some(RequestBody::CreateTtl(request)) => {
                types.push(CreateMode::from_flag(request.flags));
                (AuditOperation::Create, request.path)
            }
            Some(RequestBody::PathVersion(request)) if op == OpCode::Delete => {
                (AuditOperation::Delete, request.path)
            }
            Some(RequestBody::SetData(request)) => (AuditOperation::SetData, request.path),
            Some(RequestBody::SetAcl(request)) => {
                acl = acl_text(request.acl);
                (AuditOperation::SetAcl, request.path)
            }
            Some(RequestBody::Multi(parts)) => {
                types.extend(parts.iter().filter_map(|part| match part {
                    MultiOp::Create(_, request) => Some(CreateMode::from_flag(request.flags)),
                    MultiOp::CreateTtl(request) => Some(CreateMode::from_flag(request.flags)),
                    MultiOp::Delete(_)
                    | MultiOp::SetData(_)
                    | MultiOp::Check(_)
                    | MultiOp::GetData(_)
                    | MultiOp::GetChildren(_) => None,
                }));
                (AuditOperation::Multi, None)
            }
            None => (AuditOperation::of(op)?, None),
            Some(RequestBody::Reconfig(_)) => (AuditOperation::Reconfig, None),
            Some(_) => return None,
        };
        let client = client_of(connection);
        let (session, znode) = (connection.session, path.map(shortened));
        Some(Asked { session, client, operation, znode, types: types.into(), acl })
    }
}

/// Whether auditing is switched on, and the records since the last turn.
#[derive(Debug)]
pub(super) struct Audit {
    /// `audit.enable`.
    ///
    /// Invariant: while it is false, `made` is empty.
    pub is_on: bool,
    /// The records for the next output, at most [`AUDIT_RECORDS_BYTES_MAX`] bytes.
    made: AuditRecords,
    /// The clients of `made`, each of whom counts once in its bytes, by the places where they lie in memory.
    counted: HashSet<*const AuditClient>,
}

impl Audit {
    /// No records yet.
    pub fn new(is_on: bool) -> Audit {
        Audit { is_on, made: AuditRecords::default(), counted: HashSet::new() }
    }

    /// Moves the records into the output of a turn.
    pub fn hand_out(&mut self, out: &mut AuditRecords) {
        assert!(self.is_on || self.made.is_empty(), "no record is made while auditing is off");
        if !self.made.is_empty() {
            out.take_from(&mut self.made);
            self.counted.clear();
        }
    }

    /// What a client asks for, to be told when its outcome is certain. `None`: it is not told, or auditing is off.
    /// `body`: `None` if it cannot be decoded.
    #[inline]
    pub fn ask(
        &self,
        connection: &mut Connection,
        op: OpCode,
        body: Option<&RequestBody<'_>>,
    ) -> Option<Box<Asked>> {
        if !self.is_on {
            return None;
        }
        Asked::of(connection, op, body).map(Box::new)
    }

    /// The write is refused without a transaction.
    // ZooKeeper: AuditHelper hears only of requests that got a zxid, so that nobody is told of what
    // enableEagerACLCheck refuses.
    pub fn on_refused(&mut self, now: Now, asked: Option<Box<Asked>>) {
        if let Some(asked) = asked {
            self.push_failure(now, *asked);
        }
    }

    /// So many writes were asked for whose outcome this server will not hear of: their leader is lost.
    pub fn on_lost(&mut self, writes: u64) {
        assert!(self.is_on || writes == 0, "nothing is kept of writes while auditing is off");
        self.made.dropped += writes;
    }

    /// The transaction of a write is applied.
    pub fn on_outcome(
        &mut self,
        now: Now,
        asked: Option<Box<Asked>>,
        txn: &Txn,
        applied: &Applied,
    ) {
        let Some(asked) = asked else { return };
        let mut types = asked.types.iter().copied();
        match (txn.body(), applied) {
            (TxnBody::Multi(parts), Applied::Multi(results)) => {
                if parts.iter().any(|part| part.op == OpCode::Error.number()) {
                    return self.push_failure(now, *asked);
                }
                for ((_, body), result) in TxnBody::parts(parts).zip(results) {
                    self.push_part(now, &asked, &body, result, &mut types);
                }
            }
            (TxnBody::Error { .. }, _) | (_, Applied::Error(_)) => self.push_failure(now, *asked),
            (TxnBody::SetData(body), result) if asked.operation == AuditOperation::Reconfig => {
                let record = Self::record(now, &asked, AuditOperation::Reconfig, result);
                self.push(AuditRecord { znode: body.path.map(shortened), ..record });
            }
            // Another operation is that of another server, where the client counts its requests from 1 again.
            (body, result) if told(&body).is_some_and(|(it, _)| it == asked.operation) => {
                self.push_part(now, &asked, &body, result, &mut types);
            }
            _ => {}
        }
    }

    /// A session is about to end: tells of the ephemeral nodes that go with it, those first that the transaction names.
    // ZooKeeper: DataTree.deleteNodes, on every server, and also while a start reads the log; here a start tells
    // nothing again.
    fn on_session_ending(&mut self, now: Now, txn: &Txn, database: &Database) {
        let TxnBody::CloseSession { paths } = txn.body() else { return };
        let session = txn.header().client_id;
        let mut named = Vec::new();
        for path in paths.iter().flat_map(|paths| paths.iter()).flatten() {
            named.push(path);
            // A node that is named twice is deleted once, and a missing one is a failure.
            let result = match database.node(path) {
                Some(_) => AuditResult::Success,
                None => AuditResult::Failure,
            };
            self.push_ephemeral(now, session, path, result);
        }
        named.sort_unstable();
        let own = database.ephemerals(session);
        for path in own.filter(|path| named.binary_search(path).is_err()) {
            self.push_ephemeral(now, session, path, AuditResult::Success);
        }
    }

    fn push_ephemeral(&mut self, now: Now, session: SessionId, path: &str, result: AuditResult) {
        let record = AuditRecord::of_server(now.wall, AuditOperation::EphemeralDeletion, result);
        self.push(AuditRecord { session: Some(session), znode: Some(shortened(path)), ..record });
    }

    /// The record of a write that failed: the path is the one that was asked for.
    fn push_failure(&mut self, now: Now, asked: Asked) {
        let Asked { session, client, operation, znode, types, acl } = asked;
        let znode_type = types.first().copied().flatten();
        self.push(AuditRecord {
            at: now.wall,
            operation,
            result: AuditResult::Failure,
            session: Some(session),
            client: Some(client),
            znode,
            znode_type: znode_type.filter(|_| operation == AuditOperation::Create),
            acl,
        });
    }

    /// The record of a transaction, or of one part of a multi. `types`: the kinds of the nodes that are still to be
    /// created. A check is not told.
    // ZooKeeper: AuditHelper.getCreateModes looks for the kind of a node that a multi created by the path that was
    // asked for, so a sequential node has none, and neither has a node with a time to live; of two nodes with one path
    // both have the kind of the later one.
    fn push_part(
        &mut self,
        now: Now,
        asked: &Asked,
        body: &TxnBody<'_>,
        result: &Applied,
        types: &mut impl Iterator<Item = Option<CreateMode>>,
    ) {
        let Some((operation, path)) = told(body) else { return };
        let is_create = operation == AuditOperation::Create;
        let znode_type = if is_create { types.next().flatten() } else { None };
        let acl = asked.acl.clone();
        let record = Self::record(now, asked, operation, result);
        self.push(AuditRecord { znode: path.map(shortened), znode_type, acl, ..record });
    }

    fn record(
        now: Now,
        asked: &Asked,
        operation: AuditOperation,
        applied: &Applied,
    ) -> AuditRecord {
        let result = match applied {
            Applied::Error(_) => AuditResult::Failure,
            Applied::Create { .. }
            | Applied::SetData { .. }
            | Applied::SetAcl { .. }
            | Applied::Delete
            | Applied::CreateSession
            | Applied::CloseSession
            | Applied::Check
            | Applied::Multi(_) => AuditResult::Success,
        };
        let client = Some(Arc::clone(&asked.client));
        let record = AuditRecord::of_server(now.wall, operation, result);
        AuditRecord { session: Some(asked.session), client, ..record }
    }

    fn push(&mut self, record: AuditRecord) {
        assert!(self.is_on, "no record is made while auditing is off");
        let client = record.client.as_ref().filter(|it| !self.counted.contains(&Arc::as_ptr(it)));
        let bytes =
            record.bytes() + client.map_or(0, |it| size_of::<AuditClient>() + it.users.len());
        if self.made.bytes + bytes > AUDIT_RECORDS_BYTES_MAX {
            self.made.dropped += 1;
            return;
        }
        self.counted.extend(client.map(Arc::as_ptr));
        self.made.bytes += bytes;
        self.made.records.push(record);
        assert!(self.made.bytes <= AUDIT_RECORDS_BYTES_MAX, "the records of a turn have a bound");
    }
}

impl Service {
    /// A transaction is about to be applied: tells of the nodes that go with a session.
    #[inline]
    pub(super) fn audit_before(&mut self, now: Now, txn: &Txn) {
        if self.audit.is_on && txn.header().op == OpCode::CloseSession {
            self.audit.on_session_ending(now, txn, &self.database);
        }
    }
}

/// What is told of a transaction: the operation and the path. `None`: nothing.
fn told<'a>(body: &TxnBody<'a>) -> Option<(AuditOperation, Option<&'a str>)> {
    Some(match body {
        TxnBody::Create(txn) => (AuditOperation::Create, txn.path),
        TxnBody::CreateContainer(txn) => (AuditOperation::Create, txn.path),
        TxnBody::CreateTtl(txn) => (AuditOperation::Create, txn.path),
        TxnBody::Delete(txn) => (AuditOperation::Delete, txn.path),
        TxnBody::SetData(txn) => (AuditOperation::SetData, txn.path),
        TxnBody::SetAcl(txn) => (AuditOperation::SetAcl, txn.path),
        TxnBody::Check(_)
        | TxnBody::CreateSession { .. }
        | TxnBody::CloseSession { .. }
        | TxnBody::Error { .. }
        | TxnBody::Multi(_) => return None,
    })
}

/// The client of a connection, which is the same until the client proves another identity.
fn client_of(connection: &mut Connection) -> Arc<AuditClient> {
    let Connection { identities, remote, audited, .. } = connection;
    // Identities are only added, and a request that waits is carried out with the first so many of them.
    match audited {
        Some((count, client)) if *count == identities.len() => Arc::clone(client),
        _ => {
            let users = users_text(identities);
            let client = Arc::new(AuditClient { users, address: remote.ip() });
            *audited = Some((identities.len(), Arc::clone(&client)));
            client
        }
    }
}

/// The names of a client, separated by commas (`AuthUtil.getUsers`).
// ZooKeeper: a scheme without a provider has no name for its ids. `super` has none.
fn users_text(identities: &[Identity]) -> Box<str> {
    let mut text = Cut::default();
    let names = identities.iter().filter(|identity| *identity.scheme != *"super");
    let names = names.map(Identity::user_name).filter(|name| !name.trim().is_empty());
    for (place, name) in names.enumerate() {
        let comma = if place > 0 { "," } else { "" };
        text.add(format_args!("{comma}{name}"));
    }
    text.into_text()
}

/// The ACL of a setACL: of each entry scheme, id and letters of its permissions, with colons between them, and nothing
/// between two entries. `None`: the client sent null.
// ZooKeeper: ZKUtil.aclToString has every id as it is: the hash of a `digest` id, from which weak passwords can be
// found, and what a client has put behind `auth`, often its name and password. Here an `x` stands for them, as getACL
// shows hashes to clients that may not set the ACL.
fn acl_text(acl: AclVector<'_>) -> Option<Box<str>> {
    if acl.is_null() {
        return None;
    }
    let mut text = Cut::default();
    for entry in acl.iter() {
        let (scheme, letters) = (entry.id.scheme.unwrap_or("null"), Letters(entry.perms));
        let (shown, hidden) = match (scheme, entry.id.id) {
            (_, None) => ("null", ""),
            ("world" | "ip" | "sasl" | "x509", Some(id)) => (id, ""),
            // The server ignores it.
            ("auth", Some(_)) => ("", ""),
            (_, Some(id)) => id.split_once(':').map_or(("", "x"), |(user, _)| (user, ":x")),
        };
        text.add(format_args!("{scheme}:{shown}{hidden}:{letters}"));
        if text.is_full {
            break;
        }
    }
    Some(text.into_text())
}

/// Permissions as letters (`ZKUtil.getPermString`).
struct Letters(i32);

impl fmt::Display for Letters {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [
            (perms::CREATE, "c"),
            (perms::DELETE, "d"),
            (perms::READ, "r"),
            (perms::WRITE, "w"),
            (perms::ADMIN, "a"),
        ] {
            if self.0 & bit != 0 {
                out.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// The text, cut if it is too long.
fn shortened(text: &str) -> Box<str> {
    if text.len() <= AUDIT_VALUE_BYTES_MAX {
        return text.into();
    }
    let mut cut = Cut::default();
    cut.add(format_args!("{text}"));
    cut.into_text()
}

/// A text up to the longest of a value, and a mark if something was cut off.
#[derive(Default)]
struct Cut {
    text: String,
    is_full: bool,
}

impl Cut {
    fn add(&mut self, more: fmt::Arguments<'_>) {
        if !self.is_full && fmt::Write::write_fmt(self, more).is_err() {
            self.is_full = true;
            self.text.push('…');
        }
    }

    fn into_text(self) -> Box<str> {
        self.text.into()
    }
}

impl fmt::Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let fits = more.floor_char_boundary(AUDIT_VALUE_BYTES_MAX - self.text.len());
        self.text.push_str(&more[..fits]);
        if fits < more.len() { Err(fmt::Error) } else { Ok(()) }
    }
}
