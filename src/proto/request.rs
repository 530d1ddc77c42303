//! The requests of clients, decoded in place.

use crate::id::Zxid;
use crate::jute::{DecodeError, Decoder, Jute, Sink, Vector};
use crate::jute_record;
use crate::proto::data::AclVector;
use crate::proto::opcode::{CreateMode, OpCode};
use crate::proto::response::MultiHeader;

/// A vector of paths.
pub type Paths<'a> = Vector<'a, Option<&'a str>>;

jute_record! {
    /// Before the body of every request but the first.
    pub struct RequestHeader {
        /// Chosen by the client; comes back in the reply.
        pub xid: i32,
        /// Number of an [`OpCode`].
        pub op: i32,
    }
}

jute_record! {
    /// create, create2, createContainer.
    #[derive(Copy)]
    pub struct CreateRequest<'a> {
        /// The path; for a sequential node, all but the number.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// Its ACL.
        pub acl: AclVector<'a>,
        /// The flag of a [`CreateMode`].
        pub flags: i32,
    }
}

jute_record! {
    /// createTTL.
    #[derive(Copy)]
    pub struct CreateTtlRequest<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// Its ACL.
        pub acl: AclVector<'a>,
        /// 5 or 6.
        pub flags: i32,
        /// Time to live in ms.
        pub ttl: i64,
    }
}

jute_record! {
    /// delete and check: a path and the version expected, -1 for any.
    #[derive(Copy)]
    pub struct PathVersion<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The version.
        pub version: i32,
    }
}

jute_record! {
    /// exists, getData, getChildren, getChildren2: a path and whether to set a watch.
    #[derive(Copy)]
    pub struct PathWatch<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// Whether to leave a watch.
        pub watch: bool,
    }
}

jute_record! {
    /// getACL, sync, getEphemerals (a prefix), getAllChildrenNumber, deleteContainer.
    #[derive(Copy)]
    pub struct PathRequest<'a> {
        /// The path.
        pub path: Option<&'a str>,
    }
}

jute_record! {
    /// setData.
    #[derive(Copy)]
    pub struct SetDataRequest<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// The version expected, -1 for any.
        pub version: i32,
    }
}

jute_record! {
    /// setACL.
    #[derive(Copy)]
    pub struct SetAclRequest<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The ACL.
        pub acl: AclVector<'a>,
        /// The ACL version expected, -1 for any.
        pub version: i32,
    }
}

jute_record! {
    /// reconfig.
    #[derive(Copy)]
    pub struct ReconfigRequest<'a> {
        /// Servers that join, or null.
        pub joining_servers: Option<&'a str>,
        /// Ids of servers that leave, or null.
        pub leaving_servers: Option<&'a str>,
        /// The whole new ensemble, or null.
        pub new_members: Option<&'a str>,
        /// Version of the configuration expected, -1 for any.
        pub cur_config_id: i64,
    }
}

jute_record! {
    /// checkWatches, removeWatches (a watcher type), addWatch (a mode).
    #[derive(Copy)]
    pub struct PathKind<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// Watcher type 1–5, or mode 0–1.
        pub kind: i32,
    }
}

jute_record! {
    /// auth.
    #[derive(Copy)]
    pub struct AuthPacket<'a> {
        /// Always 0.
        pub packet_type: i32,
        /// The scheme.
        pub scheme: Option<&'a str>,
        /// The proof, in the scheme's form.
        pub auth: Option<&'a [u8]>,
    }
}

jute_record! {
    /// sasl.
    #[derive(Copy)]
    pub struct SaslRequest<'a> {
        /// The mechanism's token.
        pub token: Option<&'a [u8]>,
    }
}

/// setWatches and setWatches2: the watches of the client before it lost its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetWatchesRequest<'a> {
    /// The newest zxid that the client has seen.
    pub relative_zxid: Zxid,
    /// Data watches of nodes that existed.
    pub data: Paths<'a>,
    /// Data watches of nodes that did not exist.
    pub exist: Paths<'a>,
    /// Child watches.
    pub child: Paths<'a>,
    /// Persistent watches; null in setWatches.
    pub persistent: Paths<'a>,
    /// Persistent recursive watches; null in setWatches.
    pub persistent_recursive: Paths<'a>,
}

impl<'a> SetWatchesRequest<'a> {
    fn decode(input: &mut Decoder<'a>, op: OpCode) -> Result<Self, DecodeError> {
        let relative_zxid = Zxid(input.i64()?);
        let data = Jute::decode(input)?;
        let exist = Jute::decode(input)?;
        let child = Jute::decode(input)?;
        let (persistent, persistent_recursive) = match op {
            OpCode::SetWatches2 => (Jute::decode(input)?, Jute::decode(input)?),
            _ => (Paths::NULL, Paths::NULL),
        };
        Ok(SetWatchesRequest {
            relative_zxid,
            data,
            exist,
            child,
            persistent,
            persistent_recursive,
        })
    }

    /// Appends the body of setWatches, or of setWatches2.
    pub fn encode(&self, op: OpCode, out: &mut impl Sink) {
        self.relative_zxid.0.encode(out);
        self.data.encode(out);
        self.exist.encode(out);
        self.child.encode(out);
        if op == OpCode::SetWatches2 {
            self.persistent.encode(out);
            self.persistent_recursive.encode(out);
        }
    }
}

/// One operation of a multi or multiRead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiOp<'a> {
    /// create, create2, createContainer.
    Create(OpCode, CreateRequest<'a>),
    /// createTTL.
    CreateTtl(CreateTtlRequest<'a>),
    /// delete.
    Delete(PathVersion<'a>),
    /// setData.
    SetData(SetDataRequest<'a>),
    /// check.
    Check(PathVersion<'a>),
    /// getData; its watch flag is read and has no effect.
    GetData(PathWatch<'a>),
    /// getChildren; its watch flag is read and has no effect.
    GetChildren(PathWatch<'a>),
}

impl<'a> MultiOp<'a> {
    /// The operation's opcode.
    pub fn op(&self) -> OpCode {
        match self {
            MultiOp::Create(op, _) => *op,
            MultiOp::CreateTtl(_) => OpCode::CreateTtl,
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
            MultiOp::GetData(_) => OpCode::GetData,
            MultiOp::GetChildren(_) => OpCode::GetChildren,
        }
    }

    /// Its path; `None` if the client sent null.
    pub fn path(&self) -> Option<&'a str> {
        match self {
            MultiOp::Create(_, request) => request.path,
            MultiOp::CreateTtl(request) => request.path,
            MultiOp::Delete(request) | MultiOp::Check(request) => request.path,
            MultiOp::SetData(request) => request.path,
            MultiOp::GetData(request) | MultiOp::GetChildren(request) => request.path,
        }
    }

    /// Whether it belongs in a multiRead.
    pub fn is_read(&self) -> bool {
        matches!(self, MultiOp::GetData(_) | MultiOp::GetChildren(_))
    }
}

/// The `what` of the error of [`decode_multi`] for a create without an ACL list.
pub const NULL_ACL_IN_MULTI: &str = "null ACL of a create within a multi";

/// Reads the operations of a multi or multiRead up to its end (`MultiOperationRecord`).
///
/// # Errors
/// Truncated, an opcode or a create mode that a multi may not contain, a create without an ACL
/// list, or reads and writes mixed.
pub fn decode_multi<'a>(input: &mut Decoder<'a>) -> Result<Vec<MultiOp<'a>>, DecodeError> {
    let mut ops: Vec<MultiOp<'a>> = Vec::new();
    loop {
        let offset = input.offset();
        let header = MultiHeader::decode(input)?;
        if header.done {
            return Ok(ops);
        }
        let bad = |what| DecodeError::BadValue { what, value: i64::from(header.op), offset };
        let op = match OpCode::from_i32(header.op) {
            Some(op @ (OpCode::Create | OpCode::Create2 | OpCode::CreateContainer)) => {
                let request = CreateRequest::decode(input)?;
                check_create_in_multi(&request, offset)?;
                MultiOp::Create(op, request)
            }
            Some(OpCode::CreateTtl) => MultiOp::CreateTtl(Jute::decode(input)?),
            Some(OpCode::Delete) => MultiOp::Delete(Jute::decode(input)?),
            Some(OpCode::SetData) => MultiOp::SetData(Jute::decode(input)?),
            Some(OpCode::Check) => MultiOp::Check(Jute::decode(input)?),
            Some(OpCode::GetData) => MultiOp::GetData(Jute::decode(input)?),
            Some(OpCode::GetChildren) => MultiOp::GetChildren(Jute::decode(input)?),
            _ => return Err(bad("opcode within a multi")),
        };
        if ops.first().is_some_and(|first| first.is_read() != op.is_read()) {
            return Err(bad("mixture of reads and writes in a multi"));
        }
        ops.push(op);
    }
}

/// ZooKeeper: `MultiOperationRecord` makes `CreateOptions` of every create (but not of a createTTL)
/// while it decodes, and these refuse unknown modes, then a null ACL, then a mode with a TTL.
fn check_create_in_multi(request: &CreateRequest<'_>, offset: usize) -> Result<(), DecodeError> {
    let bad = |what| DecodeError::BadValue { what, value: i64::from(request.flags), offset };
    let mode = CreateMode::from_flag(request.flags).ok_or(bad("create mode within a multi"))?;
    if request.acl.is_null() {
        return Err(bad(NULL_ACL_IN_MULTI));
    }
    if mode.is_ttl() { Err(bad("create mode with a TTL within a multi")) } else { Ok(()) }
}

/// A request's body. One variant per shape; opcodes that share a shape share a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestBody<'a> {
    /// create, create2, createContainer.
    Create(CreateRequest<'a>),
    /// createTTL.
    CreateTtl(CreateTtlRequest<'a>),
    /// delete, check.
    PathVersion(PathVersion<'a>),
    /// exists, getData, getChildren, getChildren2.
    PathWatch(PathWatch<'a>),
    /// getACL, sync, getEphemerals, getAllChildrenNumber.
    Path(PathRequest<'a>),
    /// setData.
    SetData(SetDataRequest<'a>),
    /// setACL.
    SetAcl(SetAclRequest<'a>),
    /// reconfig.
    Reconfig(ReconfigRequest<'a>),
    /// checkWatches, removeWatches, addWatch.
    PathKind(PathKind<'a>),
    /// auth.
    Auth(AuthPacket<'a>),
    /// sasl.
    Sasl(SaslRequest<'a>),
    /// setWatches, setWatches2.
    SetWatches(SetWatchesRequest<'a>),
    /// multi, multiRead.
    Multi(Vec<MultiOp<'a>>),
    /// ping, whoAmI, closeSession: nothing.
    Empty,
}

impl<'a> RequestBody<'a> {
    /// Reads the body that belongs to an opcode. `None`: a client may not send this opcode.
    ///
    /// # Errors
    /// The bytes are not such a body.
    pub fn decode(op: OpCode, bytes: &'a [u8]) -> Result<Option<RequestBody<'a>>, DecodeError> {
        let input = &mut Decoder::new(bytes);
        Ok(Some(match op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                RequestBody::Create(Jute::decode(input)?)
            }
            OpCode::CreateTtl => RequestBody::CreateTtl(Jute::decode(input)?),
            OpCode::Delete | OpCode::Check => RequestBody::PathVersion(Jute::decode(input)?),
            OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
                RequestBody::PathWatch(Jute::decode(input)?)
            }
            OpCode::GetAcl
            | OpCode::Sync
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber => RequestBody::Path(Jute::decode(input)?),
            OpCode::SetData => RequestBody::SetData(Jute::decode(input)?),
            OpCode::SetAcl => RequestBody::SetAcl(Jute::decode(input)?),
            OpCode::Reconfig => RequestBody::Reconfig(Jute::decode(input)?),
            OpCode::CheckWatches | OpCode::RemoveWatches | OpCode::AddWatch => {
                RequestBody::PathKind(Jute::decode(input)?)
            }
            OpCode::Auth => RequestBody::Auth(Jute::decode(input)?),
            OpCode::Sasl => RequestBody::Sasl(Jute::decode(input)?),
            OpCode::SetWatches | OpCode::SetWatches2 => {
                RequestBody::SetWatches(SetWatchesRequest::decode(input, op)?)
            }
            OpCode::Multi | OpCode::MultiRead => RequestBody::Multi(decode_multi(input)?),
            OpCode::Ping | OpCode::WhoAmI | OpCode::CloseSession => RequestBody::Empty,
            OpCode::Notification
            | OpCode::DeleteContainer
            | OpCode::CreateSession
            | OpCode::Error => return Ok(None),
        }))
    }

    /// Appends the body, for clients; `op` distinguishes setWatches from setWatches2.
    pub fn encode(&self, op: OpCode, out: &mut impl Sink) {
        match self {
            RequestBody::Create(body) => body.encode(out),
            RequestBody::CreateTtl(body) => body.encode(out),
            RequestBody::PathVersion(body) => body.encode(out),
            RequestBody::PathWatch(body) => body.encode(out),
            RequestBody::Path(body) => body.encode(out),
            RequestBody::SetData(body) => body.encode(out),
            RequestBody::SetAcl(body) => body.encode(out),
            RequestBody::Reconfig(body) => body.encode(out),
            RequestBody::PathKind(body) => body.encode(out),
            RequestBody::Auth(body) => body.encode(out),
            RequestBody::Sasl(body) => body.encode(out),
            RequestBody::SetWatches(body) => body.encode(op, out),
            RequestBody::Multi(ops) => encode_multi(ops, out),
            RequestBody::Empty => {}
        }
    }
}

/// Appends the operations of a multi and its end.
pub fn encode_multi(ops: &[MultiOp<'_>], out: &mut impl Sink) {
    for op in ops {
        MultiHeader { op: op.op().number(), done: false, err: -1 }.encode(out);
        match op {
            MultiOp::Create(_, body) => body.encode(out),
            MultiOp::CreateTtl(body) => body.encode(out),
            MultiOp::Delete(body) | MultiOp::Check(body) => body.encode(out),
            MultiOp::SetData(body) => body.encode(out),
            MultiOp::GetData(body) | MultiOp::GetChildren(body) => body.encode(out),
        }
    }
    MultiHeader::END.encode(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(op: OpCode, body: &RequestBody<'_>) {
        let mut bytes = Vec::new();
        body.encode(op, &mut bytes);
        assert_eq!(RequestBody::decode(op, &bytes).unwrap().as_ref(), Some(body));
        for cut in 0..bytes.len() {
            assert!(RequestBody::decode(op, &bytes[..cut]).is_err(), "{op:?} cut at {cut}");
        }
    }

    #[test]
    fn requests_come_back_as_they_were_written_and_every_cut_is_noticed() {
        let create =
            CreateRequest { path: Some("/a"), data: Some(b"x"), acl: AclVector::EMPTY, flags: 2 };
        round_trip(OpCode::Create, &RequestBody::Create(create));
        round_trip(
            OpCode::Multi,
            &RequestBody::Multi(vec![
                MultiOp::Create(OpCode::Create2, create),
                MultiOp::Check(PathVersion { path: Some("/a"), version: -1 }),
            ]),
        );
        let watches = SetWatchesRequest {
            relative_zxid: Zxid(9),
            data: Paths::EMPTY,
            exist: Paths::EMPTY,
            child: Paths::NULL,
            persistent: Paths::NULL,
            persistent_recursive: Paths::NULL,
        };
        round_trip(OpCode::SetWatches, &RequestBody::SetWatches(watches));
        round_trip(OpCode::SetWatches2, &RequestBody::SetWatches(watches));
    }

    #[test]
    fn a_multi_of_reads_and_writes_is_refused() {
        let mut bytes = Vec::new();
        encode_multi(
            &[
                MultiOp::Check(PathVersion { path: Some("/a"), version: -1 }),
                MultiOp::GetData(PathWatch { path: Some("/a"), watch: false }),
            ],
            &mut bytes,
        );
        assert!(decode_multi(&mut Decoder::new(&bytes)).is_err());
    }
}
