//! Requests that a script chooses: of every kind, and about a few paths, so that the requests meet each other.

use ringkeeper::jute::{Jute, Vector, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, AclVector, Id};
use ringkeeper::proto::request::{
    AuthPacket, CreateRequest, CreateTtlRequest, MultiOp, PathKind, PathRequest, PathVersion,
    PathWatch, Paths, ReconfigRequest, RequestBody, SetAclRequest, SetDataRequest,
    SetWatchesRequest,
};

use super::script::Script;

/// The operations that a client may send, except closeSession, which ends the story of its connection.
pub const OPS: [OpCode; 29] = [
    OpCode::Create,
    OpCode::Create2,
    OpCode::Delete,
    OpCode::SetData,
    OpCode::GetData,
    OpCode::Exists,
    OpCode::GetChildren,
    OpCode::GetChildren2,
    OpCode::Multi,
    OpCode::MultiRead,
    OpCode::SetAcl,
    OpCode::GetAcl,
    OpCode::Sync,
    OpCode::Ping,
    OpCode::Check,
    OpCode::CreateContainer,
    OpCode::CreateTtl,
    OpCode::AddWatch,
    OpCode::CheckWatches,
    OpCode::RemoveWatches,
    OpCode::SetWatches,
    OpCode::SetWatches2,
    OpCode::GetEphemerals,
    OpCode::GetAllChildrenNumber,
    OpCode::WhoAmI,
    OpCode::Auth,
    OpCode::Sasl,
    OpCode::Reconfig,
    OpCode::DeleteContainer,
];

/// Paths, right ones and wrong ones.
pub const PATHS: [&str; 24] = [
    "/a",
    "/a/b",
    "/a/b/c",
    "/a/b-",
    "/e",
    "/e/x",
    "/c",
    "/c/d",
    "/t",
    "/",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/quota/a",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a/zookeeper_stats",
    "/zookeeper/config",
    "/a/",
    "//",
    "",
    "a",
    "/a/../b",
    "/a/.",
    "/\u{fffd}",
    "/ü",
];

fn path(script: &mut Script<'_>) -> Option<&'static str> {
    match script.byte() {
        255 => None,
        byte => Some(PATHS[usize::from(byte) % PATHS.len()]),
    }
}

fn data<'a>(script: &mut Script<'a>) -> Option<&'a [u8]> {
    match script.byte() {
        0 => None,
        1 => Some(b"count=1,bytes=5;byteHardLimit=5;countHardLimit=1"),
        2 => Some(&[b'v'; 300]),
        _ => Some(script.bytes()),
    }
}

/// A version that may be the node's.
fn version(script: &mut Script<'_>) -> i32 {
    match script.byte() {
        254 => i32::MAX,
        255 => i32::MIN,
        byte => i32::from(byte % 6) - 1,
    }
}

const IDENTITIES: [(&str, &str); 12] = [
    ("world", "anyone"),
    ("world", "somebody"),
    ("auth", ""),
    ("digest", "u:x1nq8J5GOJVPY6zgzhtTtA9izLc="),
    ("digest", "bad"),
    ("ip", "127.0.0.1"),
    ("ip", "10.0.0.0/8"),
    ("ip", "::1/300"),
    ("super", ""),
    ("x509", "CN=a"),
    ("sasl", "u"),
    ("", ""),
];

fn acl(script: &mut Script<'_>) -> Option<VectorBuf<AclEntry<'static>>> {
    let shape = script.byte();
    if shape == 255 {
        return None;
    }
    let mut built: VectorBuf<AclEntry<'static>> = VectorBuf::default();
    if shape < 200 {
        let id = Id { scheme: Some("world"), id: Some("anyone") };
        built.push(&AclEntry { perms: 31, id });
        return Some(built);
    }
    for _ in 0..shape % 4 {
        let (scheme, id) = IDENTITIES[script.below(IDENTITIES.len())];
        let id = Id { scheme: Some(scheme), id: Some(id) };
        built.push(&AclEntry { perms: i32::from(script.byte()) % 33, id });
    }
    Some(built)
}

fn list<'a>(acl: &'a Option<VectorBuf<AclEntry<'static>>>) -> AclVector<'a> {
    acl.as_ref().map_or(Vector::NULL, VectorBuf::as_vector)
}

fn flags(script: &mut Script<'_>) -> i32 {
    i32::from(script.byte() % 9)
}

fn paths(script: &mut Script<'_>) -> VectorBuf<Option<&'static str>> {
    let mut built = VectorBuf::default();
    for _ in 0..script.below(4) {
        built.push(&path(script));
    }
    built
}

/// Appends the body of a request of this kind.
pub fn encode_body(op: OpCode, script: &mut Script<'_>, out: &mut Vec<u8>) {
    let mut put = |body: RequestBody<'_>| body.encode(op, out);
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
            let acl = acl(script);
            put(RequestBody::Create(create(op, &acl, script)));
        }
        OpCode::CreateTtl => {
            let acl = acl(script);
            put(RequestBody::CreateTtl(create_ttl(&acl, script)));
        }
        OpCode::Delete | OpCode::Check | OpCode::DeleteContainer => {
            put(RequestBody::PathVersion(PathVersion {
                path: path(script),
                version: version(script),
            }));
        }
        OpCode::Exists | OpCode::GetData | OpCode::GetChildren | OpCode::GetChildren2 => {
            put(RequestBody::PathWatch(PathWatch { path: path(script), watch: script.one_in(2) }));
        }
        OpCode::GetAcl | OpCode::Sync | OpCode::GetEphemerals | OpCode::GetAllChildrenNumber => {
            put(RequestBody::Path(PathRequest { path: path(script) }));
        }
        OpCode::SetData => put(RequestBody::SetData(SetDataRequest {
            path: path(script),
            data: data(script),
            version: version(script),
        })),
        OpCode::SetAcl => {
            let acl = acl(script);
            put(RequestBody::SetAcl(SetAclRequest {
                path: path(script),
                acl: list(&acl),
                version: version(script),
            }));
        }
        OpCode::Reconfig => put(RequestBody::Reconfig(ReconfigRequest {
            joining_servers: path(script),
            leaving_servers: path(script),
            new_members: None,
            cur_config_id: -1,
        })),
        OpCode::CheckWatches | OpCode::RemoveWatches | OpCode::AddWatch => {
            put(RequestBody::PathKind(PathKind {
                path: path(script),
                kind: i32::from(script.byte() % 8) - 1,
            }));
        }
        OpCode::Auth => put(RequestBody::Auth(AuthPacket {
            packet_type: 0,
            scheme: Some(IDENTITIES[script.below(IDENTITIES.len())].0),
            auth: Some([&b"u:p"[..], b"super:secret", b"", b"no colon"][script.below(4)]),
        })),
        OpCode::SetWatches | OpCode::SetWatches2 => {
            let lists: [_; 5] = std::array::from_fn(|_| paths(script));
            let [data, exist, child, persistent, persistent_recursive] = &lists;
            let view = |built| -> Paths<'_> { VectorBuf::as_vector(built) };
            put(RequestBody::SetWatches(SetWatchesRequest {
                relative_zxid: ringkeeper::id::Zxid(i64::from(script.byte())),
                data: view(data),
                exist: view(exist),
                child: view(child),
                persistent: view(persistent),
                persistent_recursive: view(persistent_recursive),
            }));
        }
        OpCode::Multi | OpCode::MultiRead => {
            let acls: [_; 5] = std::array::from_fn(|_| acl(script));
            let count = script.below(6);
            let ops = acls[..count.min(5)].iter().map(|acl| match op {
                OpCode::MultiRead => part_read(script),
                _ => part(acl, script),
            });
            let ops: Vec<MultiOp<'_>> = ops.collect();
            put(RequestBody::Multi(ops));
        }
        OpCode::Sasl => Some(script.bytes()).encode(out),
        OpCode::Ping
        | OpCode::WhoAmI
        | OpCode::CloseSession
        | OpCode::Notification
        | OpCode::CreateSession
        | OpCode::Error => {}
    }
}

fn create<'a, 'b: 'a>(
    op: OpCode,
    acl: &'a Option<VectorBuf<AclEntry<'static>>>,
    script: &mut Script<'b>,
) -> CreateRequest<'a> {
    let flags = if op == OpCode::CreateContainer { 4 } else { flags(script) };
    CreateRequest { path: path(script), data: data(script), acl: list(acl), flags }
}

fn create_ttl<'a, 'b: 'a>(
    acl: &'a Option<VectorBuf<AclEntry<'static>>>,
    script: &mut Script<'b>,
) -> CreateTtlRequest<'a> {
    CreateTtlRequest {
        path: path(script),
        data: data(script),
        acl: list(acl),
        flags: i32::from(5 + script.byte() % 2),
        ttl: [1, 1000, 0, -1, i64::MAX][script.below(5)],
    }
}

fn part<'a, 'b: 'a>(
    acl: &'a Option<VectorBuf<AclEntry<'static>>>,
    script: &mut Script<'b>,
) -> MultiOp<'a> {
    match script.below(7) {
        0 => MultiOp::Create(OpCode::Create, create(OpCode::Create, acl, script)),
        1 => MultiOp::Create(OpCode::Create2, create(OpCode::Create2, acl, script)),
        2 => MultiOp::Create(OpCode::CreateContainer, create(OpCode::CreateContainer, acl, script)),
        3 => MultiOp::CreateTtl(create_ttl(acl, script)),
        4 => MultiOp::Delete(PathVersion { path: path(script), version: version(script) }),
        5 => MultiOp::SetData(SetDataRequest {
            path: path(script),
            data: data(script),
            version: version(script),
        }),
        _ => MultiOp::Check(PathVersion { path: path(script), version: version(script) }),
    }
}

fn part_read<'a>(script: &mut Script<'a>) -> MultiOp<'a> {
    let path = path(script);
    match script.below(2) {
        0 => MultiOp::GetData(PathWatch { path, watch: false }),
        _ => MultiOp::GetChildren(PathWatch { path, watch: false }),
    }
}
