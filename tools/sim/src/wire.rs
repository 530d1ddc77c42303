//! The client protocol from the client's side: requests to bytes, bytes to answers.

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{DecodeError, Decoder, Jute, VectorBuf, begin_frame, end_frame};
use ringkeeper::limits::PASSWORD_BYTES;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::data::{Stat, perms};
use ringkeeper::proto::request::{
    AuthPacket, CreateRequest, CreateTtlRequest, MultiOp, PathKind, PathRequest, PathVersion,
    PathWatch, Paths, ReconfigRequest, RequestBody, RequestHeader, SetAclRequest, SetDataRequest,
    SetWatchesRequest,
};
use ringkeeper::proto::response::{MultiHeader, xid};
use ringkeeper::proto::{AclEntry, AclVector, CreateMode, Id, OpCode};

use super::acl::{from_wire, to_wire};
use super::history::{Answer, Found, Look, Part, Request, Watched};

/// The first frame of a connection. With `reader`, the client also accepts a server that only serves reads.
pub fn connect(
    known: Option<(SessionId, [u8; PASSWORD_BYTES], Zxid)>,
    timeout_ms: i32,
    reader: bool,
) -> Vec<u8> {
    let (session_id, password, last_zxid_seen) =
        known.unwrap_or((SessionId::NONE, [0; PASSWORD_BYTES], Zxid::ZERO));
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen,
        timeout_ms,
        session_id,
        password: Some(&password),
        read_only: Some(reader),
    };
    framed(|out| request.encode(out))
}

/// A ping.
pub fn ping() -> Vec<u8> {
    framed(|out| RequestHeader { xid: xid::PING, op: OpCode::Ping.number() }.encode(out))
}

fn framed(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let start = begin_frame(&mut out);
    write(&mut out);
    end_frame(&mut out, start);
    out
}

/// A request as a frame.
pub fn request(number: i32, request: &Request) -> Vec<u8> {
    let mut acl = VectorBuf::<AclEntry<'static>>::default();
    acl.push(&AclEntry { perms: perms::ALL, id: Id { scheme: Some("world"), id: Some("anyone") } });
    let lists = Lists::of(request);
    let acls: Vec<_> = match request {
        Request::CreateWith { acl, .. } | Request::SetAcl { acl, .. } => vec![to_wire(acl)],
        Request::Multi(parts) => parts.iter().map(list_of).collect(),
        _ => vec![acl],
    };
    let (op, body) = body(request, &acls, &lists);
    framed(|out| {
        RequestHeader { xid: number, op: op.number() }.encode(out);
        body.encode(op, out);
    })
}

/// The lists of a setWatches.
struct Lists {
    data: VectorBuf<Option<&'static str>>,
    missing: VectorBuf<Option<&'static str>>,
    children: VectorBuf<Option<&'static str>>,
    persistent: VectorBuf<Option<&'static str>>,
    recursive: VectorBuf<Option<&'static str>>,
}

impl Lists {
    fn of(request: &Request) -> Lists {
        let list = |wanted: Watched| {
            let mut built = VectorBuf::default();
            if let Request::SetWatches { watches, .. } = request {
                for (path, _) in watches.iter().filter(|(_, kind)| *kind == wanted) {
                    built.push(&Some(path.as_str()));
                }
            }
            built
        };
        Lists {
            data: list(Watched::Data),
            missing: list(Watched::Missing),
            children: list(Watched::Children),
            persistent: list(Watched::Persistent),
            recursive: list(Watched::Recursive),
        }
    }
}

/// The ACL of a part.
fn list_of(part: &Part) -> VectorBuf<AclEntry<'static>> {
    match part {
        Part::CreateWith { acl, .. } => to_wire(acl),
        _ => to_wire(&super::acl::open()),
    }
}

/// The body of a request. `acls` are its ACL, or one for each part.
fn body<'a>(
    request: &'a Request,
    acls: &'a [VectorBuf<AclEntry<'static>>],
    lists: &'a Lists,
) -> (OpCode, RequestBody<'a>) {
    let acl = acls.first().map_or(AclVector::NULL, |acl| acl.as_vector());
    let read = |path, watch| RequestBody::PathWatch(PathWatch { path: Some(path), watch });
    match request {
        Request::Create { path, data, ephemeral, sequential } => {
            let mode = match (ephemeral, sequential) {
                (false, false) => CreateMode::Persistent,
                (true, false) => CreateMode::Ephemeral,
                (false, true) => CreateMode::PersistentSequential,
                (true, true) => CreateMode::EphemeralSequential,
            };
            let flags = mode.flag();
            let body = CreateRequest { path: Some(path), data: Some(data), acl, flags };
            (OpCode::Create, RequestBody::Create(body))
        }
        Request::CreateContainer { path, data } => {
            let flags = CreateMode::Container.flag();
            let body = CreateRequest { path: Some(path), data: Some(data), acl, flags };
            (OpCode::CreateContainer, RequestBody::Create(body))
        }
        Request::CreateTtl { path, data, ttl_ms } => {
            let (path, data) = (Some(path.as_str()), Some(data.as_slice()));
            let (flags, ttl) = (CreateMode::PersistentWithTtl.flag(), *ttl_ms);
            let body = CreateTtlRequest { path, data, acl, flags, ttl };
            (OpCode::CreateTtl, RequestBody::CreateTtl(body))
        }
        Request::CreateWith { path, data, .. } => {
            let body = CreateRequest { path: Some(path), data: Some(data), acl, flags: 0 };
            (OpCode::Create, RequestBody::Create(body))
        }
        Request::SetAcl { path, version, .. } => {
            let body = SetAclRequest { path: Some(path), acl, version: *version };
            (OpCode::SetAcl, RequestBody::SetAcl(body))
        }
        Request::GetAcl { path } => {
            (OpCode::GetAcl, RequestBody::Path(PathRequest { path: Some(path) }))
        }
        Request::Auth { scheme, secret } => {
            let auth = secret.as_ref().map(|secret| secret.as_bytes());
            let packet = AuthPacket { packet_type: 0, scheme: Some(scheme), auth };
            (OpCode::Auth, RequestBody::Auth(packet))
        }
        Request::MultiRead(looks) => {
            let look = |look: &'a Look| match look {
                Look::Get(path) => MultiOp::GetData(PathWatch { path: Some(path), watch: false }),
                Look::Children(path) => {
                    MultiOp::GetChildren(PathWatch { path: Some(path), watch: false })
                }
            };
            (OpCode::MultiRead, RequestBody::Multi(looks.iter().map(look).collect()))
        }
        Request::Set { path, data, version } => {
            let (path, data, version) = (Some(path.as_str()), Some(data.as_slice()), *version);
            (OpCode::SetData, RequestBody::SetData(SetDataRequest { path, data, version }))
        }
        Request::Delete { path, version } => {
            let body = PathVersion { path: Some(path), version: *version };
            (OpCode::Delete, RequestBody::PathVersion(body))
        }
        Request::Multi(parts) => {
            let ops =
                parts.iter().zip(acls).map(|(part, acl)| multi_op(part, acl.as_vector())).collect();
            (OpCode::Multi, RequestBody::Multi(ops))
        }
        Request::Get { path, watch } => (OpCode::GetData, read(path, *watch)),
        Request::Exists { path, watch } => (OpCode::Exists, read(path, *watch)),
        Request::Children { path, watch } => (OpCode::GetChildren2, read(path, *watch)),
        Request::Sync { path } => {
            (OpCode::Sync, RequestBody::Path(PathRequest { path: Some(path) }))
        }
        Request::SetWatches { relative, watches } => {
            // Where possible, clients use the request that old servers know.
            let is_lasting = |(_, kind): &(String, Watched)| {
                matches!(kind, Watched::Persistent | Watched::Recursive)
            };
            let op = if watches.iter().any(is_lasting) {
                OpCode::SetWatches2
            } else {
                OpCode::SetWatches
            };
            let body = SetWatchesRequest {
                relative_zxid: *relative,
                data: lists.data.as_vector(),
                exist: lists.missing.as_vector(),
                child: lists.children.as_vector(),
                persistent: lists.persistent.as_vector(),
                persistent_recursive: lists.recursive.as_vector(),
            };
            (op, RequestBody::SetWatches(body))
        }
        Request::AddWatch { path, recursive } => {
            let body = PathKind { path: Some(path), kind: i32::from(*recursive) };
            (OpCode::AddWatch, RequestBody::PathKind(body))
        }
        Request::Watches { path, kind, remove } => {
            let op = if *remove { OpCode::RemoveWatches } else { OpCode::CheckWatches };
            (op, RequestBody::PathKind(PathKind { path: Some(path), kind: *kind }))
        }
        Request::Reconfig { joining, leaving, members, version } => {
            let body = ReconfigRequest {
                joining_servers: joining.as_deref(),
                leaving_servers: leaving.as_deref(),
                new_members: members.as_deref(),
                cur_config_id: *version,
            };
            (OpCode::Reconfig, RequestBody::Reconfig(body))
        }
        Request::Close => (OpCode::CloseSession, RequestBody::Empty),
    }
}

fn multi_op<'a>(part: &'a Part, acl: AclVector<'a>) -> MultiOp<'a> {
    match part {
        Part::Set { path, data, version } => MultiOp::SetData(SetDataRequest {
            path: Some(path),
            data: Some(data),
            version: *version,
        }),
        Part::Check { path, version } => {
            MultiOp::Check(PathVersion { path: Some(path), version: *version })
        }
        Part::Create { path, data } | Part::CreateWith { path, data, .. } => MultiOp::Create(
            OpCode::Create,
            CreateRequest { path: Some(path), data: Some(data), acl, flags: 0 },
        ),
        Part::Delete { path, version } => {
            MultiOp::Delete(PathVersion { path: Some(path), version: *version })
        }
    }
}

/// Reads the body of a reply without an error.
///
/// # Errors
/// The body is cut short.
pub fn answer(request: &Request, input: &mut Decoder<'_>) -> Result<Answer, DecodeError> {
    let text = |input: &mut Decoder<'_>| {
        let text: Option<&str> = Jute::decode(input)?;
        Ok(text.unwrap_or_default().to_owned())
    };
    Ok(match request {
        Request::Create { .. } | Request::CreateWith { .. } => Answer::Path(text(input)?),
        Request::GetAcl { .. } => {
            let list: AclVector<'_> = Jute::decode(input)?;
            Answer::Acl(from_wire(list), Stat::decode(input)?)
        }
        Request::MultiRead(_) => Answer::Found(found(input)?),
        Request::CreateContainer { .. } | Request::CreateTtl { .. } => {
            Answer::Created(text(input)?, Stat::decode(input)?)
        }
        Request::Set { .. } | Request::Exists { .. } | Request::SetAcl { .. } => {
            Answer::Stat(Stat::decode(input)?)
        }
        Request::Get { .. } | Request::Reconfig { .. } => {
            let data: Option<&[u8]> = Jute::decode(input)?;
            Answer::Data(data.map(<[u8]>::to_vec), Stat::decode(input)?)
        }
        Request::Children { .. } => {
            let names: Paths<'_> = Jute::decode(input)?;
            let names = names.iter().map(|name| name.unwrap_or_default().to_owned());
            let mut names: Vec<String> = names.collect();
            names.sort_unstable();
            Answer::Children(names, Stat::decode(input)?)
        }
        Request::Multi(_) => Answer::Multi(multi_error(input)?),
        Request::Delete { .. }
        | Request::Auth { .. }
        | Request::Sync { .. }
        | Request::SetWatches { .. }
        | Request::Watches { .. }
        | Request::Close => Answer::Nothing,
        Request::AddWatch { .. } => {
            // An error number, which is 0 here.
            input.i32()?;
            Answer::Nothing
        }
    })
}

/// The answers of a multiRead.
fn found(input: &mut Decoder<'_>) -> Result<Vec<Found>, DecodeError> {
    let mut found = Vec::new();
    loop {
        let header = MultiHeader::decode(input)?;
        if header.done {
            return Ok(found);
        }
        found.push(match OpCode::from_i32(header.op) {
            Some(OpCode::GetData) => {
                let data: Option<&[u8]> = Jute::decode(input)?;
                Found::Data(data.map(<[u8]>::to_vec), Stat::decode(input)?)
            }
            Some(OpCode::GetChildren) => {
                let names: Paths<'_> = Jute::decode(input)?;
                let names = names.iter().map(|name| name.unwrap_or_default().to_owned());
                let mut names: Vec<String> = names.collect();
                names.sort_unstable();
                Found::Children(names)
            }
            _ => Found::Error(input.i32()?),
        });
    }
}

/// The error of the part of a multi that failed; 0 if none did.
fn multi_error(input: &mut Decoder<'_>) -> Result<i32, DecodeError> {
    const BEHIND: i32 = ErrorCode::RuntimeInconsistency.code();
    let mut first = 0;
    loop {
        let header = MultiHeader::decode(input)?;
        if header.done {
            return Ok(first);
        }
        match OpCode::from_i32(header.op) {
            Some(OpCode::Error) => {
                let err = input.i32()?;
                if first == 0 && err != BEHIND {
                    first = err;
                }
            }
            Some(OpCode::Create) => {
                Option::<&str>::decode(input)?;
            }
            Some(OpCode::SetData) => {
                Stat::decode(input)?;
            }
            _ => (),
        }
    }
}

/// Takes a whole frame, without its length, from the bytes that arrived.
pub fn take_frame(incoming: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = whole_frame(incoming)?;
    let frame = incoming[4..length].to_vec();
    incoming.drain(..length);
    Some(frame)
}

/// The length of the first frame, with its length field, if all of it is there.
pub fn whole_frame(incoming: &[u8]) -> Option<usize> {
    let length = incoming.first_chunk::<4>()?;
    let end = 4 + usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (incoming.len() >= end).then_some(end)
}
