//! Reads, their order, and the reads that the server refuses.

use super::harness::*;
use crate::acl::{DigestAlgorithm, digest_of};
use crate::error::ErrorCode;
use crate::jute::{Decoder, Jute, Vector};
use crate::proto::data::perms;
use crate::proto::request::{
    AuthPacket, MultiOp, PathRequest, PathWatch, RequestBody, RequestHeader, SaslRequest,
};
use crate::proto::response::{
    ClientInfo, GetAclResponse, GetChildren2Response, GetChildrenResponse, GetDataResponse,
    MultiHeader,
};
use crate::proto::{OpCode, Stat};
use crate::replica::ReplicaOptions;

fn err(code: ErrorCode) -> i32 {
    code.code()
}

#[test]
fn null_and_empty_data_stay_different() {
    let mut h = Harness::new();
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Create, &create_with("/null", &world(31)));
    h.call(client.conn, 1, OpCode::Create, &create("/empty", b"", 0));
    let null = h.call(client.conn, 1, OpCode::GetData, &watch("/null", false));
    assert_eq!(null.decode::<GetDataResponse<'_>>().data, None);
    let empty = h.call(client.conn, 1, OpCode::GetData, &watch("/empty", false));
    assert_eq!(empty.decode::<GetDataResponse<'_>>().data, Some(&b""[..]));
}

#[test]
fn children_are_names_and_the_stat_is_the_parents() {
    let mut h = Harness::new();
    let client = h.connect();
    for path in ["/a", "/a/x", "/a/y", "/a/x/z"] {
        h.create(&client, path, 0);
    }
    let reply = h.call(client.conn, 1, OpCode::GetChildren2, &watch("/a", false));
    let found: GetChildren2Response<'_> = reply.decode();
    let mut names: Vec<_> = found.children.iter().flatten().collect();
    names.sort_unstable();
    assert_eq!((names, found.stat.num_children), (vec!["x", "y"], 2));
    let reply = h.call(client.conn, 1, OpCode::GetChildren, &watch("/", false));
    let found: GetChildrenResponse<'_> = reply.decode();
    assert!(found.children.iter().any(|name| name == Some("zookeeper")));
    let reply = h.call(client.conn, 1, OpCode::GetAllChildrenNumber, &path("/a"));
    assert_eq!(reply.decode::<i32>(), 3);
}

#[test]
fn a_fresh_root_shows_a_cversion_of_minus_one() {
    let mut h = Harness::new();
    let client = h.connect();
    let stat: Stat = h.call(client.conn, 1, OpCode::Exists, &watch("/", false)).decode();
    assert_eq!((stat.cversion, stat.num_children), (-1, 1));
    for built_in in ["/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert_eq!(h.call(client.conn, 1, OpCode::Exists, &watch(built_in, false)).err, 0);
    }
}

#[test]
fn reading_needs_the_permission_and_exists_too() {
    let mut h = Harness::new();
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Create, &create_with("/secret", &world(perms::WRITE)));
    for op in [OpCode::Exists, OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2] {
        let reply = h.call(client.conn, 1, op, &watch("/secret", true));
        assert_eq!(reply.err, err(ErrorCode::NoAuth), "{op:?}");
    }
    for op in [OpCode::GetAcl, OpCode::GetAllChildrenNumber] {
        assert_eq!(h.call(client.conn, 1, op, &path("/secret")).err, err(ErrorCode::NoAuth));
    }
    assert!(h.replica.database().watches().is_empty(), "no watch without permission");
}

#[test]
fn hashes_are_masked_for_who_may_not_change_the_acl() {
    let mut h = Harness::new();
    let client = h.connect();
    let list = acl(&[(perms::READ, "world", "anyone"), (perms::ALL, "digest", "bob:hash=")]);
    h.call(client.conn, 1, OpCode::Create, &create_with("/a", &list));
    let reply = h.call(client.conn, 1, OpCode::GetAcl, &path("/a"));
    let ids: Vec<_> = reply
        .decode::<GetAclResponse<'_>>()
        .acl
        .iter()
        .map(|entry| entry.id.id.unwrap().to_owned())
        .collect();
    assert_eq!(ids, ["anyone", "bob:x"]);
}

#[test]
fn a_read_waits_for_its_own_sessions_write_and_for_no_other() {
    let mut h = Harness::new();
    let (one, other) = (h.connect(), h.connect());
    h.send(one.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(one.conn, 2, OpCode::Exists, &watch("/a", false));
    h.send(other.conn, 1, OpCode::Exists, &watch("/a", false));
    assert!(h.replies(one.conn).is_empty());
    assert_eq!(h.errors(other.conn), [(1, err(ErrorCode::NoNode))]);
    h.settle();
    assert_eq!(h.errors(one.conn), [(1, 0), (2, 0)]);
}

#[test]
fn replies_come_in_the_order_of_requests_pings_and_errors_included() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, -2, OpCode::Ping, &RequestBody::Empty);
    h.send(client.conn, 2, OpCode::GetData, &watch("/none", false));
    h.send(client.conn, 3, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, 4, OpCode::GetData, &watch("/a", false));
    h.settle();
    let none = err(ErrorCode::NoNode);
    let there = err(ErrorCode::NodeExists);
    assert_eq!(h.errors(client.conn), [(1, 0), (-2, 0), (2, none), (3, there), (4, 0)]);
}

#[test]
fn sync_waits_for_everybodys_writes_and_echoes_the_path() {
    let mut h = Harness::new();
    let (one, other) = (h.connect(), h.connect());
    h.send(one.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(other.conn, 1, OpCode::Sync, &path("/not/checked"));
    h.send(other.conn, 2, OpCode::Exists, &watch("/a", false));
    assert!(h.replies(other.conn).is_empty());
    h.settle();
    let replies = h.replies(other.conn);
    assert_eq!(replies[0].decode::<Option<&str>>(), Some("/not/checked"));
    assert_eq!((replies[0].zxid, replies[1].err), (3, 0));
    let reply = h.call(other.conn, 3, OpCode::Sync, &path("/x"));
    assert_eq!(reply.err, 0);
}

#[test]
fn multi_read_has_its_errors_inside_an_ok_reply() {
    let mut h = Harness::new();
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Create, &create("/a", b"x", 0));
    let at = |path| PathWatch { path: Some(path), watch: true };
    let parts = vec![
        MultiOp::GetData(at("/a")),
        MultiOp::GetData(at("/none")),
        MultiOp::GetChildren(at("/a")),
    ];
    let reply = h.call(client.conn, 2, OpCode::MultiRead, &RequestBody::Multi(parts));
    assert_eq!(reply.err, 0);
    let mut input = Decoder::new(&reply.body);
    let header = |input: &mut Decoder<'_>| {
        let header = MultiHeader::decode(input).unwrap();
        (header.op, header.done, header.err)
    };
    assert_eq!(header(&mut input), (4, false, 0));
    assert_eq!(GetDataResponse::decode(&mut input).unwrap().data, Some(&b"x"[..]));
    let none = err(ErrorCode::NoNode);
    assert_eq!(header(&mut input), (-1, false, none));
    assert_eq!(input.i32().unwrap(), none);
    assert_eq!(header(&mut input), (8, false, 0));
    assert!(GetChildrenResponse::decode(&mut input).unwrap().children.is_empty());
    assert_eq!(header(&mut input), (-1, true, -1));
    assert!(input.is_empty());
    assert!(h.replica.database().watches().is_empty(), "the watch flag has no effect here");
}

#[test]
fn ephemerals_are_listed_by_prefix() {
    let mut h = Harness::new();
    let client = h.connect();
    for path in ["/e1", "/e2", "/f"] {
        h.create(&client, path, 1);
    }
    let mut list = |prefix| {
        let reply = h.call(client.conn, 1, OpCode::GetEphemerals, &path(prefix));
        let paths: Vector<'_, Option<&str>> = reply.decode();
        let mut paths: Vec<_> = paths.iter().flatten().map(str::to_owned).collect();
        paths.sort_unstable();
        paths
    };
    assert_eq!(list("/e"), ["/e1", "/e2"]);
    assert_eq!(list("/"), ["/e1", "/e2", "/f"]);
    assert_eq!(list("/x"), [""; 0]);
}

pub(super) fn auth<'a>(scheme: &'a str, auth: &'a [u8]) -> RequestBody<'a> {
    RequestBody::Auth(AuthPacket { packet_type: 0, scheme: Some(scheme), auth: Some(auth) })
}

#[test]
fn auth_is_answered_at_once_with_zxid_zero() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    let replies = h.replies(client.conn);
    assert_eq!((replies[0].xid, replies[0].zxid, replies[0].err), (-4, 0, 0));
    assert!(replies[0].body.is_empty());
    h.settle();
    assert_eq!(h.errors(client.conn), [(1, 0)]);
    let reply = h.call(client.conn, 2, OpCode::WhoAmI, &RequestBody::Empty);
    let infos: Vector<'_, ClientInfo<'_>> = reply.decode();
    let infos: Vec<_> =
        infos.iter().map(|info| (info.auth_scheme.unwrap(), info.user.unwrap())).collect();
    assert_eq!(infos, [("ip", "127.0.0.1"), ("digest", "bob")]);
}

#[test]
fn a_read_that_waits_is_carried_out_as_who_its_connection_was_when_it_arrived() {
    let mut h = Harness::new();
    let client = h.connect();
    let bob = digest_of(DigestAlgorithm::Sha1, "bob:secret");
    let list = acl(&[(perms::ALL, "digest", &bob)]);
    h.call(client.conn, 2, OpCode::Create, &create_with("/bobs", &list));
    h.send(client.conn, 3, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, 4, OpCode::GetData, &watch("/bobs", false));
    h.send(client.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    h.send(client.conn, 5, OpCode::GetData, &watch("/bobs", false));
    assert_eq!(h.errors(client.conn), [(-4, 0)]);
    h.settle();
    assert_eq!(h.errors(client.conn), [(3, 0), (4, err(ErrorCode::NoAuth)), (5, 0)]);
    assert_eq!(h.call(client.conn, 6, OpCode::GetData, &watch("/bobs", false)).err, 0);
}

#[test]
fn an_unknown_scheme_is_refused_and_the_connection_closed() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, -4, OpCode::Auth, &auth("kerberos5", b""));
    assert_eq!(h.errors(client.conn), [(-4, err(ErrorCode::AuthFailed))]);
    assert!(h.is_closed(client.conn));
}

#[test]
fn sasl_without_a_login_context_answers_a_null_token() {
    let mut h = Harness::new();
    let client = h.connect();
    let token = RequestBody::Sasl(SaslRequest { token: Some(b"") });
    h.send(client.conn, 9, OpCode::Sasl, &token);
    let reply = h.replies(client.conn).remove(0);
    assert_eq!((reply.xid, reply.zxid, reply.err), (9, 0, 0));
    assert_eq!(reply.body, [255; 4]);
}

#[test]
fn who_has_shown_nothing_is_refused_where_something_is_demanded() {
    let options = ReplicaOptions {
        enforced_auth_schemes: vec!["digest".to_owned()],
        ..ReplicaOptions::default()
    };
    let mut h = Harness::with(options);
    let client = h.connect();
    h.send(client.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    assert_eq!(h.errors(client.conn), [(-4, 0)]);
    assert_eq!(h.create(&client, "/a", 0).err, 0);
    let stranger = h.connect();
    h.send(stranger.conn, 1, OpCode::GetData, &watch("/a", false));
    let refused = err(ErrorCode::SessionClosedRequireSaslAuth);
    assert_eq!(h.errors(stranger.conn), [(1, refused)]);
    assert!(h.is_closed(stranger.conn));
}

#[test]
fn an_unknown_operation_is_answered_with_zxid_minus_one_and_the_connection_closed() {
    for op in [13, 0, 20, -10, -1, 99] {
        let mut h = Harness::new();
        let client = h.connect();
        h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
        h.send_frame(client.conn, &RequestHeader { xid: 2, op }.to_bytes());
        h.settle();
        let replies = h.replies(client.conn);
        assert_eq!(replies[0].err, 0, "what came before is answered first");
        let unknown = (replies[1].xid, replies[1].zxid, replies[1].err);
        assert_eq!(unknown, (2, -1, err(ErrorCode::Unimplemented)), "operation {op}");
        assert!(h.is_closed(client.conn));
    }
}

#[test]
fn a_read_that_cannot_be_decoded_is_answered_and_the_connection_goes_on() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send_frame(client.conn, &RequestHeader { xid: 3, op: OpCode::GetData.number() }.to_bytes());
    let none = RequestBody::Path(PathRequest { path: None });
    h.send(client.conn, 4, OpCode::GetAcl, &none);
    h.send(client.conn, 5, OpCode::AddWatch, &kind("/", 7));
    let malformed = err(ErrorCode::MarshallingError);
    assert_eq!(h.errors(client.conn), [(3, malformed), (4, malformed), (5, malformed)]);
    assert_eq!(h.create(&client, "/a", 0).err, 0);
}

#[test]
fn a_request_without_a_whole_header_closes_that_connection_alone() {
    let mut h = Harness::new();
    let (one, other) = (h.connect(), h.connect());
    h.send_frame(one.conn, &[0, 0, 0]);
    assert!(h.is_closed(one.conn) && !h.is_closed(other.conn));
    assert_eq!(h.create(&other, "/a", 0).err, 0);
}

#[test]
fn large_requests_are_bounded_together() {
    let options = ReplicaOptions {
        large_request_bytes: Some(1000),
        large_requests_bytes_max: 3000,
        ..ReplicaOptions::default()
    };
    let mut h = Harness::with(options);
    let (one, other) = (h.connect(), h.connect());
    h.send(one.conn, 1, OpCode::Create, &create("/a", &[7; 2000], 0));
    h.send(other.conn, 1, OpCode::Create, &create("/b", &[7; 2000], 0));
    assert!(h.is_closed(other.conn));
    h.settle();
    let third = h.connect();
    let reply = h.call(third.conn, 1, OpCode::Create, &create("/b", &[7; 2000], 0));
    assert_eq!(reply.err, 0);
}

#[test]
fn every_request_gives_its_credit_back_exactly_once() {
    let mut h = Harness::new();
    let client = h.connect();
    for xid in 0..5 {
        h.send(client.conn, xid, OpCode::Create, &create("/a", b"", 2));
        h.send(client.conn, xid, OpCode::Exists, &watch("/a", false));
        h.send_frame(client.conn, &RequestHeader { xid, op: OpCode::SetData.number() }.to_bytes());
    }
    assert_eq!(h.replica.requests_outstanding(), 15);
    h.settle();
    assert_eq!(h.answered[&client.conn], 16, "fifteen and the connect request");
    assert_eq!(h.replica.requests_outstanding(), 0);
}
