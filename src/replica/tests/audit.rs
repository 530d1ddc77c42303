//! What the audit log is told: every write of this server's clients, with its outcome, and nodes that go with sessions.

use std::sync::Arc;

use super::cluster::Cluster;
use super::disk::fill;
use super::forwarding::{self, become_, commit, created, failed, follower_with, zxid};
use super::harness::*;
use super::lost_leader::lose_leader;
use super::reads::auth;
use super::standing::{leader_with, own_session};
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::jute::{Jute, VectorBuf};
use crate::limits::{AUDIT_RECORDS_BYTES_MAX, AUDIT_VALUE_BYTES_MAX};
use crate::proto::data::{AclVector, perms};
use crate::proto::request::{
    CreateRequest, CreateTtlRequest, MultiOp, PathVersion, ReconfigRequest, RequestBody,
    SetAclRequest, SetDataRequest,
};
use crate::proto::txn::{Txn, TxnBody, TxnHeader};
use crate::proto::{CreateMode, OpCode};
use crate::quorum::PeerOptions;
use crate::replica::{AuditRecord, ReplicaOptions};
use crate::zab::{Inbound, Standing};

fn audited() -> ReplicaOptions {
    ReplicaOptions { audit: true, extended_types: true, ..ReplicaOptions::default() }
}

/// The fields of a record that a test compares: users, operation, path, kind, ACL, result.
fn line(record: &AuditRecord) -> String {
    let client = record.client.as_ref();
    let fields = [
        client.map(|client| format!("user={}", client.users)),
        Some(record.operation.name().to_owned()),
        record.znode.as_ref().map(|path| path.to_string()),
        record.znode_type.map(|kind| kind.name().to_owned()),
        record.acl.as_ref().map(|acl| format!("acl={acl}")),
        Some(record.result.name().to_owned()),
    ];
    fields.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// What was told since the last look.
fn told(h: &mut Harness) -> Vec<String> {
    std::mem::take(&mut h.audit.records).iter().map(line).collect()
}

fn set_acl<'a>(path: &'a str, acl: &'a [u8]) -> RequestBody<'a> {
    let acl = AclVector::from_bytes(acl).unwrap();
    RequestBody::SetAcl(SetAclRequest { path: Some(path), acl, version: -1 })
}

fn create_ttl(path: &str, flags: i32) -> RequestBody<'_> {
    RequestBody::CreateTtl(CreateTtlRequest {
        path: Some(path),
        data: None,
        acl: open_acl(),
        flags,
        ttl: 1000,
    })
}

fn reconfig() -> RequestBody<'static> {
    RequestBody::Reconfig(ReconfigRequest {
        joining_servers: Some("server.9=127.0.0.1:2009:3009:observer"),
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    })
}

#[test]
fn each_write_is_told_with_its_result_and_no_read_is() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    let mut call = |op, body: &RequestBody<'_>| {
        h.call(client.conn, 1, op, body);
        told(&mut h)
    };
    assert_eq!(
        call(OpCode::Create, &create("/a", b"secret", 0)),
        ["user=127.0.0.1 create /a persistent success"]
    );
    assert_eq!(
        call(OpCode::Create, &create("/a", b"secret", 1)),
        ["user=127.0.0.1 create /a ephemeral failure"]
    );
    assert_eq!(
        call(OpCode::Create2, &create("/a/n", b"", 3)),
        ["user=127.0.0.1 create /a/n0000000000 ephemeral_sequential success"]
    );
    assert_eq!(
        call(OpCode::CreateContainer, &create("/c", b"", 4)),
        ["user=127.0.0.1 create /c container success"]
    );
    assert_eq!(
        call(OpCode::CreateTtl, &create_ttl("/t", 5)),
        ["user=127.0.0.1 create /t persistent_with_ttl success"]
    );
    assert_eq!(
        call(OpCode::CreateTtl, &create_ttl("/missing/t", 6)),
        ["user=127.0.0.1 create /missing/t persistent_sequential_with_ttl failure"]
    );
    assert_eq!(
        call(OpCode::SetData, &set_data("/a", b"secret", -1)),
        ["user=127.0.0.1 setData /a success"]
    );
    assert_eq!(
        call(OpCode::SetData, &set_data("/a", b"secret", 7)),
        ["user=127.0.0.1 setData /a failure"]
    );
    assert_eq!(call(OpCode::Delete, &delete("/c", -1)), ["user=127.0.0.1 delete /c success"]);
    assert_eq!(call(OpCode::Delete, &delete("/c", -1)), ["user=127.0.0.1 delete /c failure"]);
    assert_eq!(
        call(OpCode::SetAcl, &set_acl("/t", &world(perms::READ | perms::ADMIN))),
        ["user=127.0.0.1 setAcl /t acl=world:anyone:ra success"]
    );
    assert_eq!(
        call(OpCode::SetAcl, &set_acl("/c", &world(perms::ALL))),
        ["user=127.0.0.1 setAcl /c acl=world:anyone:cdrwa failure"]
    );
    assert_eq!(call(OpCode::Reconfig, &reconfig()), ["user=127.0.0.1 reconfig failure"]);
    assert_eq!(call(OpCode::Create, &RequestBody::Empty), ["user=127.0.0.1 create failure"]);
    assert_eq!(call(OpCode::Multi, &RequestBody::Empty), ["user=127.0.0.1 multiOperation failure"]);
    assert_eq!(call(OpCode::Exists, &watch("/a", false)), [""; 0]);
    assert_eq!(call(OpCode::Sync, &path("/a")), [""; 0]);
}

#[test]
fn the_parts_of_a_multi_are_told_and_of_a_failed_one_only_that_it_failed() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    let make = |path, flags| {
        let request = CreateRequest { path: Some(path), data: None, acl: open_acl(), flags };
        MultiOp::Create(OpCode::Create, request)
    };
    let delete = |path| MultiOp::Delete(PathVersion { path: Some(path), version: -1 });
    let set = SetDataRequest { path: Some("/a"), data: Some(b"secret"), version: -1 };
    let ttl =
        CreateTtlRequest { path: Some("/a/t"), data: None, acl: open_acl(), flags: 6, ttl: 1000 };
    let parts = vec![
        make("/a", 0),
        make("/a/s", 2),
        MultiOp::CreateTtl(ttl),
        make("/e", 1),
        delete("/e"),
        make("/e", 0),
        MultiOp::SetData(set),
        MultiOp::Check(PathVersion { path: Some("/a"), version: -1 }),
    ];
    h.call(client.conn, 1, OpCode::Multi, &RequestBody::Multi(parts));
    let user = |rest: &str| format!("user=127.0.0.1 {rest} success");
    assert_eq!(
        told(&mut h),
        [
            user("create /a persistent"),
            user("create /a/s0000000000 persistent_sequential"),
            user("create /a/t0000000001 persistent_sequential_with_ttl"),
            user("create /e ephemeral"),
            user("delete /e"),
            user("create /e persistent"),
            user("setData /a"),
        ]
    );
    let parts = vec![make("/x", 0), make("/a", 0), delete("/a")];
    h.call(client.conn, 2, OpCode::Multi, &RequestBody::Multi(parts));
    assert_eq!(told(&mut h), ["user=127.0.0.1 multiOperation failure"]);
}

#[test]
fn who_asked_is_told_by_the_names_that_he_had_then_without_a_hash() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    h.send(client.conn, 2, OpCode::Create, &create("/b", b"", 0));
    h.settle();
    let list = acl(&[(31, "auth", ""), (1, "digest", "ann:hash="), (2, "ip", "10.0.0.0/8")]);
    h.send(client.conn, 3, OpCode::SetAcl, &set_acl("/b", &list));
    h.settle();
    let records = std::mem::take(&mut h.audit.records);
    let lines: Vec<String> = records.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "user=127.0.0.1 create /a persistent success",
            "user=127.0.0.1,bob create /b persistent success",
            "user=127.0.0.1,bob setAcl /b acl=auth::cdrwadigest:ann:x:rip:10.0.0.0/8:w success",
        ]
    );
    for record in records {
        assert_eq!(record.session, Some(client.session));
        assert_eq!(record.client.unwrap().address.to_string(), "127.0.0.1");
        assert_eq!(record.at, h.now.wall);
    }
}

#[test]
fn an_acl_shows_no_id_that_may_be_a_password() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    h.call(client.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    let mut set = |entries: &[(i32, &str, &str)]| {
        h.call(client.conn, 3, OpCode::SetAcl, &set_acl("/", &acl(entries)));
        told(&mut h).pop().unwrap()
    };
    // The server ignores the id behind `auth`, where clients tend to put what they have authenticated with.
    assert_eq!(
        set(&[(31, "auth", "bob:secret")]),
        "user=127.0.0.1,bob setAcl / acl=auth::cdrwa success"
    );
    for (scheme, id, shown) in [
        ("auth", "secret", ""),
        ("digest", "secret", "x"),
        ("digest", "bob:secret:more", "bob:x"),
        ("super", "root:secret", "root:x"),
        ("other", "bob:secret", "bob:x"),
        ("other", "secret", "x"),
        ("world", "anyone", "anyone"),
        ("ip", "::1", "::1"),
        ("sasl", "bob/host@REALM", "bob/host@REALM"),
        ("x509", "CN=a:b", "CN=a:b"),
    ] {
        let line = set(&[(1, scheme, id)]);
        assert!(line.contains(&format!(" acl={scheme}:{shown}:r ")), "{scheme}:{id}: {line}");
    }
}

#[test]
fn the_names_of_a_client_are_made_and_counted_once_until_it_proves_another() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    let long = format!("{}:secret", "a".repeat(AUDIT_VALUE_BYTES_MAX - 100));
    h.call(client.conn, -4, OpCode::Auth, &auth("digest", long.as_bytes()));
    h.create(&client, "/a", 0);
    h.create(&client, "/b", 0);
    h.call(client.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    h.create(&client, "/c", 0);
    let records = std::mem::take(&mut h.audit.records);
    let of = |place: usize| records[place].client.as_ref().unwrap();
    assert!(Arc::ptr_eq(of(0), of(1)));
    assert!(!of(1).users.contains("bob") && of(2).users.contains("bob"));

    let made = 3 * AUDIT_RECORDS_BYTES_MAX / AUDIT_VALUE_BYTES_MAX;
    (0..made).for_each(|_| refuse(&mut h, &client, "/a"));
    h.turn();
    assert_eq!((h.audit.records.len(), h.audit.dropped), (made, 0));
}

/// Tells of a create that was refused.
fn refuse(h: &mut Harness, client: &Client, path: &str) {
    let replica = &mut h.replica;
    let slot = replica.connections.find(client.conn).unwrap();
    let connection = replica.connections.get_mut(slot).unwrap();
    let body = create(path, b"", CreateMode::Persistent.flag());
    let asked = replica.service.audit.ask(connection, OpCode::Create, Some(&body));
    replica.service.audit.on_refused(h.now, asked);
}

#[test]
fn without_auditing_nothing_is_told_or_kept() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 1));
    assert!(h.replica.service.pipeline.in_flight.iter().all(|request| request.audit.is_none()));
    h.settle();
    assert_eq!(h.errors(client.conn), [(1, 0)]);
    h.call(client.conn, 2, OpCode::CloseSession, &RequestBody::Empty);
    assert!(h.audit.is_empty());
}

#[test]
fn ephemeral_nodes_that_go_with_a_session_are_told_without_a_client() {
    for close_session_paths in [true, false] {
        let mut h = Harness::with(ReplicaOptions { close_session_paths, ..audited() });
        let (client, other) = (h.connect(), h.connect());
        h.create(&client, "/stays", 0);
        h.create(&other, "/others", 1);
        h.create(&client, "/e1", 1);
        h.create(&client, "/e2", 1);
        told(&mut h);
        h.call(client.conn, 2, OpCode::CloseSession, &RequestBody::Empty);
        let records = std::mem::take(&mut h.audit.records);
        assert!(records.iter().all(|record| record.session == Some(client.session)));
        let mut lines: Vec<String> = records.iter().map(line).collect();
        lines.sort();
        let name = "ephemeralZNodeDeletionOnSessionCloseOrExpire";
        assert_eq!(lines, [format!("{name} /e1 success"), format!("{name} /e2 success")]);
        h.advance_ms(60_000);
        assert_eq!(told(&mut h), [format!("{name} /others success")], "the session expired");
    }
}

#[test]
fn a_write_is_told_although_its_client_is_gone() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.close(client.conn);
    assert_eq!(told(&mut h), [""; 0], "its outcome is open");
    h.settle();
    assert_eq!(told(&mut h), ["user=127.0.0.1 create /a persistent success"]);

    let mut h = follower_with(audited());
    let client = forwarding::connect(&mut h, zxid(1, 1));
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, 2, OpCode::SetData, &set_data("/a", b"", -1));
    h.close(client.conn);
    commit(&mut h, created(zxid(1, 2), &client, 1, "/a"));
    assert_eq!(told(&mut h), ["user=127.0.0.1 create /a persistent success"]);
    commit(&mut h, failed(zxid(1, 3), client.session, 2, ErrorCode::NoAuth));
    assert_eq!(told(&mut h), ["user=127.0.0.1 setData /a failure"]);
}

#[test]
fn a_learner_tells_of_its_own_clients_alone_and_of_every_session_that_ends() {
    let mut h = follower_with(audited());
    let client = forwarding::connect(&mut h, zxid(1, 1));
    let stranger = SessionId(99);
    let body = TxnBody::CreateSession { timeout_ms: 10_000 };
    let txn = |at: Zxid, cxid, op, body: &TxnBody<'_>| {
        Txn::new(TxnHeader { client_id: stranger, cxid, zxid: at, time: 0, op }, body, None)
    };
    commit(&mut h, txn(zxid(1, 2), 0, OpCode::CreateSession, &body));
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    let of_stranger = Client { session: stranger, ..client };
    commit(&mut h, created(zxid(1, 3), &of_stranger, 1, "/b"));
    assert_eq!(told(&mut h), [""; 0], "it is the client of another server");
    commit(&mut h, created(zxid(1, 4), &client, 1, "/a"));
    assert_eq!(told(&mut h), ["user=127.0.0.1 create /a persistent success"]);
    let paths = paths(&["/b", "/missing"]);
    let body = TxnBody::CloseSession { paths: Some(Jute::from_bytes(&paths).unwrap()) };
    commit(&mut h, txn(zxid(1, 5), 0, OpCode::CloseSession, &body));
    let name = "ephemeralZNodeDeletionOnSessionCloseOrExpire";
    assert_eq!(told(&mut h), [format!("{name} /b success"), format!("{name} /missing failure")]);
}

/// A vector of paths.
fn paths(paths: &[&str]) -> Vec<u8> {
    let mut built = VectorBuf::<Option<&'static str>>::default();
    paths.iter().for_each(|path| built.push(&Some(*path)));
    built.as_vector::<Option<&str>>().to_bytes()
}

#[test]
fn what_is_refused_without_a_zxid_is_told_as_well() {
    let mut h = Harness::with(ReplicaOptions { turn_work_units: 1_000_000, ..audited() });
    let client = h.connect();
    h.create(&client, "/p", 0);
    h.disk_full = true;
    fill(&mut h, &client);
    let lines = told(&mut h);
    let failed = lines.iter().filter(|line| line.ends_with("failure")).count();
    assert!(failed > 0, "those that had no room are told once: {lines:?}");
    h.create(&client, "/x", 0);
    assert_eq!(told(&mut h), ["user=127.0.0.1 create /x persistent failure"]);
    h.disk_full = false;
    h.advance_ms(1000);
    h.create(&client, "/x", 0);
    assert_eq!(told(&mut h), ["user=127.0.0.1 create /x persistent success"]);
}

#[test]
fn writes_for_which_the_log_has_no_room_are_told_in_their_order() {
    let mut h = Harness::with(ReplicaOptions { turn_work_units: 1_000_000, ..audited() });
    let client = h.connect();
    h.disk_full = true;
    let data = vec![7; 700_000];
    for round in 0..20 {
        let paths: Vec<String> = (0..8).map(|number| format!("/{round}-{number}")).collect();
        for path in &paths {
            h.send_with_next(client.conn, 1, OpCode::Create, &create(path, &data, 0));
        }
        h.settle();
        let lines = told(&mut h);
        let named: Vec<&str> = lines.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
        assert_eq!(named, paths, "round {round}");
        if lines[6].ends_with("failure") {
            return;
        }
    }
    panic!("the disk never became full");
}

#[test]
fn writes_whose_outcome_is_lost_with_the_leader_are_counted() {
    // One of a connection that is gone, and one of a connection that waits in vain.
    let mut h = follower_with(audited());
    let (gone, waits) =
        (forwarding::connect(&mut h, zxid(1, 1)), forwarding::connect(&mut h, zxid(1, 2)));
    h.send(gone.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.close(gone.conn);
    h.send(waits.conn, 1, OpCode::Create, &create("/b", b"", 0));
    become_(&mut h, Standing::Looking);
    assert_eq!(h.audit.dropped, 1, "that of the connection that is gone");
    h.advance_ms(60_000);
    assert_eq!(h.audit.dropped, 2);
    assert_eq!(told(&mut h), [""; 0]);

    // What the next leader gets once more is not lost.
    let mut h = follower_with(audited());
    let client = forwarding::connect(&mut h, zxid(1, 1));
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    lose_leader(&mut h, vec![created(zxid(1, 2), &client, 1, "/a")]);
    become_(&mut h, forwarding::following(2));
    let kept = Inbound::Revalidated { session: client.session, valid: true, tenure: None };
    forwarding::inbound(&mut h, kept);
    commit(&mut h, created(zxid(2, 1), &client, 1, "/a"));
    assert_eq!(h.audit.dropped, 0);
    assert_eq!(told(&mut h), ["user=127.0.0.1 create /a persistent success"]);
}

#[test]
fn what_a_leader_has_proposed_is_counted_when_it_leads_no_more() {
    let mut h = leader_with(audited());
    let (conn, _) = own_session(&mut h);
    h.send(conn, 1, OpCode::Create, &create("/a", b"", 0));
    become_(&mut h, Standing::Looking);
    assert_eq!(h.audit.dropped, 1);
    assert_eq!(told(&mut h), [""; 0]);
}

#[test]
fn in_an_ensemble_the_clients_server_tells_each_write_once() {
    let options = ReplicaOptions { eager_acl_check: true, ..audited() };
    let mut cluster = Cluster::with(3, 1, &options, &PeerOptions::default());
    let leader = cluster.leader().unwrap();
    for id in 1..=4 {
        let client = cluster.connect(id);
        let path = format!("/of{id}");
        cluster.call(id, &client, 1, OpCode::Create, &create(&path, b"", 1));
        let denied = acl(&[(perms::READ, "world", "anyone")]);
        cluster.call(id, &client, 2, OpCode::SetAcl, &set_acl(&path, &denied));
        cluster.call(id, &client, 3, OpCode::SetData, &set_data(&path, b"", -1));
        cluster.call(id, &client, 4, OpCode::CloseSession, &RequestBody::Empty);
        cluster.settle_equal();
        let ended = format!("ephemeralZNodeDeletionOnSessionCloseOrExpire {path} success");
        for server in 1..=4 {
            let told = told(cluster.server(server));
            if server != id {
                assert_eq!(told, std::slice::from_ref(&ended), "server {server}, leader {leader}");
                continue;
            }
            assert_eq!(
                told,
                [
                    format!("user=127.0.0.1 create {path} ephemeral success"),
                    format!("user=127.0.0.1 setAcl {path} acl=world:anyone:r success"),
                    format!("user=127.0.0.1 setData {path} failure"),
                    ended.clone(),
                ]
            );
        }
    }
}

#[test]
fn long_paths_and_lists_are_cut_and_too_many_records_of_a_turn_are_counted() {
    let mut h = Harness::with(audited());
    let client = h.connect();
    let long = format!("/{}", "ä".repeat(AUDIT_VALUE_BYTES_MAX));
    h.call(client.conn, 1, OpCode::Create, &create(&long, b"", 0));
    let entries: Vec<_> = (0..1000).map(|_| (1, "ip", "10.20.30.40")).collect();
    h.call(client.conn, 2, OpCode::SetAcl, &set_acl("/", &acl(&entries)));
    for record in std::mem::take(&mut h.audit.records) {
        let text = record.acl.or(record.znode.filter(|path| path.len() > 1)).unwrap();
        assert!(text.ends_with('…'), "{text}");
        assert!((AUDIT_VALUE_BYTES_MAX..=AUDIT_VALUE_BYTES_MAX + 3).contains(&text.len()));
    }
    let made = 2 * AUDIT_RECORDS_BYTES_MAX / AUDIT_VALUE_BYTES_MAX;
    (0..made).for_each(|_| refuse(&mut h, &client, &long));
    h.turn();
    let told = h.audit.records.len();
    assert!((made / 4..made / 2 + 1).contains(&told), "{told} of {made}");
    assert_eq!(told as u64 + h.audit.dropped, made as u64);
}
