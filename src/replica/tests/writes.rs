//! Creates, deletes, versions, multis: zxids, errors, order of checks.

use super::harness::*;
use crate::error::ErrorCode;
use crate::jute::{Decoder, Jute};
use crate::proto::request::{
    CreateRequest, CreateTtlRequest, MultiOp, PathVersion, RequestBody, RequestHeader,
    SetAclRequest, SetDataRequest,
};
use crate::proto::response::{Create2Response, MultiHeader};
use crate::proto::{AclVector, CreateMode, OpCode, Stat};
use crate::replica::ReplicaOptions;

fn err(code: ErrorCode) -> i32 {
    code.code()
}

#[test]
fn a_create_is_answered_with_its_path_and_the_newest_zxid() {
    let mut h = Harness::new();
    let client = h.connect();
    let reply = h.call(client.conn, 7, OpCode::Create, &create("/a", b"x", 0));
    assert_eq!((reply.xid, reply.zxid, reply.err), (7, 2, 0));
    assert_eq!(reply.decode::<Option<&str>>(), Some("/a"));
    let reply = h.call(client.conn, 8, OpCode::Create2, &create("/b", b"xyz", 0));
    let created: Create2Response<'_> = reply.decode();
    assert_eq!(created.path, Some("/b"));
    assert_eq!((created.stat.czxid.0, created.stat.data_length, reply.zxid), (3, 3, 3));
}

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    assert!(h.replies(client.conn).is_empty());
    assert!(h.replica.database().node("/a").is_none());
    h.settle();
    assert_eq!(h.errors(client.conn), [(1, 0)]);
}

#[test]
fn sequence_numbers_count_every_create_under_the_parent() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/q", 0);
    let name = |reply: &Reply| reply.decode::<Option<&str>>().unwrap().to_owned();
    assert_eq!(name(&h.create(&client, "/q/n-", 2)), "/q/n-0000000000");
    assert_eq!(name(&h.create(&client, "/q/other", 0)), "/q/other");
    assert_eq!(name(&h.create(&client, "/q/n-", 3)), "/q/n-0000000002");
    h.call(client.conn, 1, OpCode::Delete, &delete("/q/other", -1));
    assert_eq!(h.create(&client, "/q/n-0000000002", 0).err, err(ErrorCode::NodeExists));
    assert_eq!(name(&h.create(&client, "/q/", 2)), "/q/0000000003");
}

#[test]
fn two_creates_in_flight_get_different_numbers() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/s", b"", 2));
    h.send(client.conn, 2, OpCode::Create, &create("/s", b"", 2));
    h.settle();
    let names: Vec<_> = h
        .replies(client.conn)
        .iter()
        .map(|reply| reply.decode::<Option<&str>>().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["/s0000000000", "/s0000000001"]);
}

#[test]
fn creates_are_checked_in_the_order_of_zookeeper() {
    let mut h = Harness::new();
    let client = h.connect();
    assert_eq!(h.create(&client, "/a//b", 0).err, err(ErrorCode::NoNode));
    assert_eq!(h.create(&client, "a", 0).err, err(ErrorCode::BadArguments));
    assert_eq!(h.create(&client, "/", 0).err, err(ErrorCode::NodeExists));
    assert_eq!(h.create(&client, "/a/", 0).err, err(ErrorCode::NoNode));
    assert_eq!(h.create(&client, "/\u{1f600}", 0).err, err(ErrorCode::BadArguments));
    assert_eq!(h.create(&client, "/a", 9).err, err(ErrorCode::BadArguments));
    assert_eq!(h.create(&client, "/a", 5).err, err(ErrorCode::Unimplemented));
    assert_eq!(h.create(&client, "/e", 1).err, 0);
    assert_eq!(h.create(&client, "/e/x", 0).err, err(ErrorCode::NoChildrenForEphemerals));
    let empty = create_with("/missing/x", &[0; 4]);
    assert_eq!(h.call(client.conn, 1, OpCode::Create, &empty).err, err(ErrorCode::InvalidAcl));
    let read_only = world(1);
    h.call(client.conn, 1, OpCode::Create, &create_with("/r", &read_only));
    assert_eq!(h.create(&client, "/r/x", 0).err, err(ErrorCode::NoAuth));
}

#[test]
fn every_failing_write_uses_up_a_zxid() {
    let mut h = Harness::new();
    let client = h.connect();
    let reply = h.call(client.conn, 1, OpCode::Delete, &delete("/none", -1));
    assert_eq!((reply.err, reply.zxid), (err(ErrorCode::NoNode), 2));
    let reply = h.call(client.conn, 2, OpCode::SetData, &set_data("/none", b"", -1));
    assert_eq!((reply.err, reply.zxid), (err(ErrorCode::NoNode), 3));
}

#[test]
fn a_write_that_cannot_be_decoded_uses_up_none_but_a_multi_does() {
    let mut h = Harness::new();
    let client = h.connect();
    let header = RequestHeader { xid: 4, op: OpCode::Create.number() }.to_bytes();
    h.send_frame(client.conn, &header);
    h.settle();
    let reply = h.replies(client.conn).remove(0);
    assert_eq!((reply.xid, reply.err, reply.zxid), (4, err(ErrorCode::MarshallingError), 1));
    let mut payload = RequestHeader { xid: 5, op: OpCode::Multi.number() }.to_bytes();
    payload.extend_from_slice(&[1, 2]);
    h.send_frame(client.conn, &payload);
    h.settle();
    let reply = h.replies(client.conn).remove(0);
    assert_eq!((reply.xid, reply.err, reply.zxid), (5, err(ErrorCode::MarshallingError), 2));
}

#[test]
fn deletes_are_checked_in_the_order_of_zookeeper() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/a", 0);
    h.create(&client, "/a/b", 0);
    let mut delete =
        |path: &str, version| h.call(client.conn, 1, OpCode::Delete, &delete(path, version)).err;
    assert_eq!(delete("/", -1), err(ErrorCode::BadArguments));
    assert_eq!(delete("/zookeeper", -1), err(ErrorCode::BadArguments));
    assert_eq!(delete("x", -1), err(ErrorCode::BadArguments));
    assert_eq!(delete("/a/c", -1), err(ErrorCode::NoNode));
    assert_eq!(delete("/a", 3), err(ErrorCode::BadVersion));
    assert_eq!(delete("/a", 0), err(ErrorCode::NotEmpty));
    assert_eq!(delete("/a/b", 0), 0);
    assert_eq!(delete("/a", -1), 0);
}

#[test]
fn a_delete_moves_pzxid_and_the_visible_cversion_of_the_parent() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/a", 0);
    h.create(&client, "/a/b", 0);
    h.call(client.conn, 1, OpCode::Delete, &delete("/a/b", -1));
    let reply = h.call(client.conn, 1, OpCode::Exists, &watch("/a", false));
    let stat: Stat = reply.decode();
    assert_eq!((stat.cversion, stat.pzxid.0, stat.num_children), (2, h.last_zxid(), 0));
    let stat: Stat = h.call(client.conn, 1, OpCode::Exists, &watch("/", false)).decode();
    assert_eq!((stat.cversion, stat.num_children), (0, 2));
}

#[test]
fn data_versions_count_and_are_compared() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/a", 0);
    let reply = h.call(client.conn, 1, OpCode::SetData, &set_data("/a", b"1", 0));
    assert_eq!(reply.decode::<Stat>().version, 1);
    let reply = h.call(client.conn, 1, OpCode::SetData, &set_data("/a", b"2", 0));
    assert_eq!(reply.err, err(ErrorCode::BadVersion));
    let reply = h.call(client.conn, 1, OpCode::SetData, &set_data("/a", b"22", -1));
    let stat: Stat = reply.decode();
    assert_eq!((stat.version, stat.data_length, stat.mzxid.0), (2, 2, h.last_zxid()));
}

#[test]
fn set_acl_changes_the_acl_version_alone() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/a", 0);
    let read = world(1 | 16);
    let acl = AclVector::from_bytes(&read).unwrap();
    let body = RequestBody::SetAcl(SetAclRequest { path: Some("/a"), acl, version: -1 });
    let stat: Stat = h.call(client.conn, 1, OpCode::SetAcl, &body).decode();
    assert_eq!((stat.aversion, stat.version, stat.mzxid.0, stat.pzxid.0), (1, 0, 2, 2));
    let reply = h.call(client.conn, 1, OpCode::SetData, &set_data("/a", b"", -1));
    assert_eq!(reply.err, err(ErrorCode::NoAuth));
}

#[test]
fn an_acl_on_its_way_binds_the_writes_behind_it() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/a", 0);
    let none = world(1);
    let acl = AclVector::from_bytes(&none).unwrap();
    let body = RequestBody::SetAcl(SetAclRequest { path: Some("/a"), acl, version: -1 });
    h.send(client.conn, 1, OpCode::SetAcl, &body);
    h.send(client.conn, 2, OpCode::Create, &create("/a/b", b"", 0));
    h.settle();
    assert_eq!(h.errors(client.conn), [(1, 0), (2, err(ErrorCode::NoAuth))]);
}

fn check(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Check(PathVersion { path: Some(path), version })
}

fn make(op: OpCode, path: &str, flags: i32) -> MultiOp<'_> {
    MultiOp::Create(
        op,
        CreateRequest { path: Some(path), data: Some(b"d"), acl: open_acl(), flags },
    )
}

fn results(reply: &Reply) -> Vec<(i32, i32)> {
    let mut input = Decoder::new(&reply.body);
    let mut results = Vec::new();
    loop {
        let header = MultiHeader::decode(&mut input).unwrap();
        if header.done {
            assert!(input.is_empty());
            return results;
        }
        match header.op {
            -1 => assert_eq!(input.i32().unwrap(), header.err),
            1 => assert!(<Option<&str>>::decode(&mut input).unwrap().is_some()),
            15 => assert!(Create2Response::decode(&mut input).unwrap().path.is_some()),
            5 => assert!(Stat::decode(&mut input).unwrap().czxid.0 > 0),
            2 | 13 => {}
            other => panic!("a result of type {other}"),
        }
        results.push((header.op, header.err));
    }
}

#[test]
fn a_multi_is_one_transaction_whose_parts_see_each_other() {
    let mut h = Harness::new();
    let client = h.connect();
    let set = SetDataRequest { path: Some("/a"), data: Some(b"2"), version: 0 };
    let parts = vec![
        make(OpCode::Create, "/a", 0),
        make(OpCode::Create2, "/a/b", 0),
        make(OpCode::Create, "/a/c-", 2),
        make(OpCode::CreateContainer, "/box", CreateMode::Container.flag()),
        MultiOp::SetData(set),
        check("/a", 1),
        MultiOp::Delete(PathVersion { path: Some("/a/b"), version: -1 }),
    ];
    let reply = h.call(client.conn, 3, OpCode::Multi, &RequestBody::Multi(parts));
    assert_eq!((reply.err, reply.zxid), (0, 2));
    let kinds = [(1, 0), (15, 0), (1, 0), (15, 0), (5, 0), (13, 0), (2, 0)];
    assert_eq!(results(&reply), kinds);
    let stat: Stat = h.call(client.conn, 1, OpCode::Exists, &watch("/a", false)).decode();
    assert_eq!((stat.czxid.0, stat.num_children, stat.pzxid.0), (2, 1, 2));
    assert!(h.replica.database().node("/a/c-0000000001").is_some());
}

#[test]
fn a_failed_multi_changes_nothing_and_says_ok_in_its_header() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/p", 0);
    // The sequence number of the parent must not move either, although another create is in flight.
    h.send(client.conn, 1, OpCode::Create, &create("/p/n-", b"", 2));
    let parts =
        vec![make(OpCode::Create, "/p/n-", 2), check("/none", 0), make(OpCode::Create, "/z", 0)];
    h.send(client.conn, 2, OpCode::Multi, &RequestBody::Multi(parts));
    h.send(client.conn, 3, OpCode::Create, &create("/p/n-", b"", 2));
    h.settle();
    let replies = h.replies(client.conn);
    assert_eq!(replies[1].err, 0);
    let none = err(ErrorCode::NoNode);
    let after = err(ErrorCode::RuntimeInconsistency);
    assert_eq!(results(&replies[1]), [(-1, 0), (-1, none), (-1, after)]);
    assert_eq!(replies[2].decode::<Option<&str>>(), Some("/p/n-0000000001"));
    assert!(h.replica.database().node("/z").is_none());
}

#[test]
fn an_empty_multi_is_valid() {
    let mut h = Harness::new();
    let client = h.connect();
    let reply = h.call(client.conn, 3, OpCode::Multi, &RequestBody::Multi(Vec::new()));
    assert_eq!((reply.err, reply.zxid), (0, 2));
    assert_eq!(reply.body, MultiHeader::END.to_bytes());
}

#[test]
fn an_unknown_flag_fails_a_multi_as_a_whole() {
    let mut h = Harness::new();
    let client = h.connect();
    let parts = vec![make(OpCode::Create, "/a", 0), make(OpCode::Create, "/b", 77)];
    let reply = h.call(client.conn, 3, OpCode::Multi, &RequestBody::Multi(parts));
    assert_eq!((reply.err, reply.zxid), (err(ErrorCode::MarshallingError), 2));
    assert!(h.replica.database().node("/a").is_none());
    assert_eq!(h.create(&client, "/a", 0).err, 0);
}

#[test]
fn reconfig_is_refused() {
    let mut h = Harness::new();
    let client = h.connect();
    let body = RequestBody::Reconfig(crate::proto::request::ReconfigRequest {
        joining_servers: None,
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    });
    let reply = h.call(client.conn, 1, OpCode::Reconfig, &body);
    assert_eq!((reply.err, reply.zxid), (err(ErrorCode::ReconfigDisabled), 2));
    let mut h = Harness::with(ReplicaOptions { reconfig: true, ..ReplicaOptions::default() });
    let client = h.connect();
    let reply = h.call(client.conn, 1, OpCode::Reconfig, &body);
    assert_eq!(reply.err, err(ErrorCode::Unimplemented));
}

#[test]
fn nodes_with_a_time_to_live_are_reaped_after_it_and_containers_after_their_last_child() {
    let mut h = Harness::with(ReplicaOptions {
        extended_types: true,
        session_timeout_ms_max: 1_000_000,
        ..ReplicaOptions::default()
    });
    let client = h.connect();
    let ttl = |ttl| {
        RequestBody::CreateTtl(CreateTtlRequest {
            path: Some("/ttl"),
            data: None,
            acl: open_acl(),
            flags: CreateMode::PersistentWithTtl.flag(),
            ttl,
        })
    };
    assert_eq!(
        h.call(client.conn, 1, OpCode::CreateTtl, &ttl(0)).err,
        err(ErrorCode::BadArguments)
    );
    let reply = h.call(client.conn, 1, OpCode::CreateTtl, &ttl(100_000));
    assert_eq!(reply.decode::<Create2Response<'_>>().stat.ephemeral_owner, 0);
    let container = create("/box", b"", CreateMode::Container.flag());
    h.call(client.conn, 1, OpCode::CreateContainer, &container);
    h.create(&client, "/box/x", 0);
    h.advance_ms(61_000);
    assert!(h.replica.database().node("/box").is_some(), "it has a child");
    let mut client = h.connect();
    h.call(client.conn, 1, OpCode::Delete, &delete("/box/x", -1));
    h.advance_ms(61_000);
    h.advance_ms(6);
    client = h.connect();
    assert!(h.replica.database().node("/box").is_none());
    assert!(h.replica.database().node("/ttl").is_none());
    assert_eq!(h.replica.stats().containers_reaped, 2);
    assert_eq!(h.create(&client, "/box", 0).err, 0);
}

/// A leader removes the nodes that it has found due one after the other, at a limited rate, while clients go on.
#[test]
fn a_node_that_is_used_again_before_its_removal_stays() {
    let mut h = Harness::with(ReplicaOptions {
        extended_types: true,
        container_removals_per_minute_max: 1,
        session_timeout_ms_max: 1_000_000,
        ..ReplicaOptions::default()
    });
    let client = h.connect();
    let ttl = |path, ttl| {
        RequestBody::CreateTtl(CreateTtlRequest {
            path: Some(path),
            data: None,
            acl: open_acl(),
            flags: CreateMode::PersistentWithTtl.flag(),
            ttl,
        })
    };
    let container = |path| create(path, b"", CreateMode::Container.flag());
    for (path, child) in [("/a", "/a/x"), ("/b", "/b/x")] {
        h.call(client.conn, 1, OpCode::CreateContainer, &container(path));
        h.create(&client, child, 0);
        h.call(client.conn, 1, OpCode::Delete, &delete(child, -1));
    }
    for path in ["/t", "/u"] {
        h.call(client.conn, 1, OpCode::CreateTtl, &ttl(path, 50_000));
    }
    h.advance_ms(60_001);
    let is_there = |h: &Harness, path| h.replica.database().node(path).is_some();
    let left =
        |h: &Harness| ["/a", "/b", "/t", "/u"].iter().filter(|path| is_there(h, path)).count();
    assert_eq!(left(&h), 3, "one was removed, and the others are to follow");
    let client = h.connect();
    // The clients make all four nodes anew, so each is younger than its TTL, or has had no child yet.
    for path in ["/a", "/b"] {
        h.call(client.conn, 1, OpCode::Delete, &delete(path, -1));
        h.call(client.conn, 1, OpCode::CreateContainer, &container(path));
    }
    for path in ["/t", "/u"] {
        h.call(client.conn, 1, OpCode::Delete, &delete(path, -1));
        h.call(client.conn, 1, OpCode::CreateTtl, &ttl(path, 1_000_000));
    }
    for _ in 0..4 {
        h.advance_ms(60_001);
    }
    assert_eq!(left(&h), 4);
}

#[test]
fn a_null_path_is_a_marshalling_error_where_java_falls_over_it() {
    let mut h = Harness::new();
    let client = h.connect();
    let none = RequestBody::PathVersion(PathVersion { path: None, version: -1 });
    let reply = h.call(client.conn, 1, OpCode::Delete, &none);
    assert_eq!((reply.err, reply.zxid), (err(ErrorCode::MarshallingError), 2));
    let none = RequestBody::SetData(SetDataRequest { path: None, data: None, version: -1 });
    assert_eq!(h.call(client.conn, 1, OpCode::SetData, &none).err, err(ErrorCode::BadArguments));
}
