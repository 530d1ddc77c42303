//! The effects, as clients see them, of options that an operator may set.

use super::harness::*;
use crate::acl::{AuthenticationOptions, DigestAlgorithm, digest_of};
use crate::error::ErrorCode;
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::data::perms;
use crate::proto::request::{AuthPacket, MultiOp, PathWatch, RequestBody};
use crate::replica::{ReplicaOptions, ThrottleOptions};
use crate::time::Now;

#[test]
fn skip_acl_lets_everybody_do_everything() {
    let mut h = Harness::with(ReplicaOptions { skip_acl: true, ..ReplicaOptions::default() });
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Create, &create_with("/a", &world(perms::ADMIN)));
    assert_eq!(h.call(client.conn, 2, OpCode::GetData, &watch("/a", true)).err, 0);
    h.send(client.conn, 3, OpCode::SetData, &set_data("/a", b"", -1));
    h.settle();
    assert_eq!(h.errors(client.conn), [(-1, 0), (3, 0)], "the event comes too");
    assert_eq!(h.create(&client, "/a/b", 0).err, 0);
}

#[test]
fn the_super_user_passes_every_acl() {
    let digest = digest_of(DigestAlgorithm::default(), "root:secret");
    let authentication =
        AuthenticationOptions { super_digest: Some(digest), ..AuthenticationOptions::default() };
    let mut h = Harness::with(ReplicaOptions { authentication, ..ReplicaOptions::default() });
    let client = h.connect();
    let nobody = acl(&[(perms::ALL, "digest", "nobody:x")]);
    h.call(client.conn, 1, OpCode::Create, &create_with("/a", &nobody));
    assert_eq!(h.create(&client, "/a/b", 0).err, ErrorCode::NoAuth.code());
    let packet = AuthPacket { packet_type: 0, scheme: Some("digest"), auth: Some(b"root:secret") };
    h.send(client.conn, -4, OpCode::Auth, &RequestBody::Auth(packet));
    assert_eq!(h.errors(client.conn), [(-4, 0)]);
    assert_eq!(h.create(&client, "/a/b", 0).err, 0);
}

#[test]
fn a_hard_quota_is_enforced_where_that_is_switched_on() {
    for (enforce_quota, expected) in [(false, 0), (true, ErrorCode::QuotaExceeded.code())] {
        let mut h = Harness::with(ReplicaOptions { enforce_quota, ..ReplicaOptions::default() });
        let client = h.connect();
        h.create(&client, "/q", 0);
        h.create(&client, "/zookeeper/quota/q", 0);
        let limits = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2";
        let stats = b"count=1,bytes=0";
        for (name, data) in [("limits", &limits[..]), ("stats", &stats[..])] {
            let path = format!("/zookeeper/quota/q/zookeeper_{name}");
            assert_eq!(h.call(client.conn, 1, OpCode::Create, &create(&path, data, 0)).err, 0);
        }
        assert_eq!(h.create(&client, "/q/1", 0).err, 0);
        assert_eq!(h.create(&client, "/q/2", 0).err, expected);
    }
}

#[test]
fn more_clients_at_once_than_the_throttle_has_tokens_are_turned_away() {
    let throttle = ThrottleOptions {
        tokens: 4,
        fill_ms: 100,
        new_session_tokens: 2,
        ..ThrottleOptions::default()
    };
    let mut h = Harness::with(ReplicaOptions { throttle, ..ReplicaOptions::default() });
    let one = h.connect();
    let two = h.connect();
    let third = h.open();
    h.send_connect(third, new_session());
    h.settle();
    assert!(h.is_closed(third));
    assert!(h.take_frames(third).is_empty(), "it is told nothing");
    assert!(!h.is_closed(one.conn) && !h.is_closed(two.conn));
    assert_eq!(h.replica.stats().connections_rejected, 1);
    // A client that takes up its session again uses fewer tokens than one that begins a session.
    h.advance_ms(101);
    let again = h.open();
    let request =
        ConnectRequest { session_id: one.session, password: Some(&one.password), ..new_session() };
    h.send_connect(again, request);
    h.settle();
    assert!(!h.is_closed(again));
}

#[test]
fn a_reply_to_a_multi_read_has_a_bound() {
    let options = ReplicaOptions { multi_read_bytes_max: 2500, ..ReplicaOptions::default() };
    let mut h = Harness::with(options);
    let client = h.connect();
    h.call(client.conn, 1, OpCode::Create, &create("/a", &[7; 1000], 0));
    for (reads, error) in [(2, 0), (3, ErrorCode::BadArguments.code())] {
        let part = MultiOp::GetData(PathWatch { path: Some("/a"), watch: false });
        let parts = RequestBody::Multi(vec![part; reads]);
        let reply = h.call(client.conn, 2, OpCode::MultiRead, &parts);
        assert_eq!((reply.err, reply.body.is_empty()), (error, error != 0), "{reads} reads");
    }
    assert!(!h.is_closed(client.conn));
}

#[test]
fn slow_writes_of_the_log_are_noticed() {
    for (ms, slow) in [(50, 0), (51, 1)] {
        let options = ReplicaOptions { log_write_warning_ms: 50, ..ReplicaOptions::default() };
        let mut h = Harness::with(options);
        let client = h.connect();
        h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
        h.turn();
        h.now = Now { mono: h.now.mono.plus_ms(ms), ..h.now };
        h.settle();
        assert_eq!(h.errors(client.conn), [(1, 0)]);
        assert_eq!(h.replica.stats().log_writes_slow, slow, "{ms} ms");
    }
}

#[test]
fn a_write_whose_end_was_seen_late_by_a_thread_that_did_not_run_is_none_of_the_disks() {
    for (held_ms, slow) in [(13_960, 0), (0, 1), (13_900, 1)] {
        let options = ReplicaOptions { log_write_warning_ms: 50, ..ReplicaOptions::default() };
        let mut h = Harness::with(options);
        // Time that passed before the write does not count as time of the write.
        h.replica.note_held(60_000_000);
        let client = h.connect();
        h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
        h.turn();
        h.now = Now { mono: h.now.mono.plus_ms(14_008), ..h.now };
        h.replica.note_held(60_000_000 + held_ms * 1000);
        h.settle();
        assert_eq!(h.replica.stats().log_writes_slow, slow, "held for {held_ms} ms");
    }
}

#[test]
fn without_digests_nothing_else_changes() {
    let mut h = Harness::with(ReplicaOptions { digest: false, ..ReplicaOptions::default() });
    let client = h.connect();
    h.create(&client, "/a", 0);
    h.create(&client, "/a/e", 1);
    h.send(client.conn, 1, OpCode::CloseSession, &RequestBody::Empty);
    h.settle();
    assert!(h.replica.database().node("/a/e").is_none());
    assert_eq!(h.replica.database().digest(), 0);
    h.crash();
    assert!(h.replica.database().node("/a").is_some());
}

#[test]
fn a_session_can_end_without_a_list_of_its_nodes() {
    let options = ReplicaOptions { close_session_paths: false, ..ReplicaOptions::default() };
    let mut h = Harness::with(options);
    let client = h.connect();
    h.create(&client, "/e", 1);
    h.send(client.conn, 1, OpCode::CloseSession, &RequestBody::Empty);
    h.settle();
    assert!(h.replica.database().node("/e").is_none());
    assert_eq!(h.errors(client.conn), [(1, 0)]);
}
