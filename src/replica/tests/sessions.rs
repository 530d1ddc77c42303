//! Sessions: set-up, reconnects, closes, expiry.

use super::super::expiry::SESSIONS_EXPIRED_AT_ONCE_MAX;
use super::harness::*;
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::jute::Jute;
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::request::RequestBody;
use crate::session::password;

#[test]
fn a_ping_is_answered_with_the_xid_of_pings() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 77, OpCode::Ping, &RequestBody::Empty);
    assert_eq!(h.errors(client.conn), [(-2, 0)]);
}

#[test]
fn the_timeout_is_clamped_and_the_password_is_the_sessions() {
    let mut h = Harness::new();
    for (wished, granted) in [(1, 6000), (10_000, 10_000), (1_000_000, 60_000)] {
        let conn = h.open();
        h.send_connect(conn, ConnectRequest { timeout_ms: wished, ..new_session() });
        h.settle();
        let response = h.connect_response(conn);
        assert_eq!(response.timeout_ms, granted);
        assert_eq!(response.password, password(response.session_id));
        assert_eq!(response.session_id.0 >> 56, 1, "a server on its own is number 1 in ids");
    }
}

#[test]
fn an_old_clients_response_has_no_read_only_byte() {
    let mut h = Harness::new();
    for (read_only, length) in [(None, 36), (Some(false), 37), (Some(true), 37)] {
        let conn = h.open();
        h.send_connect(conn, ConnectRequest { read_only, ..new_session() });
        h.settle();
        assert_eq!(h.take_frames(conn)[0].len(), length);
    }
}

#[test]
fn a_session_is_answered_once_it_is_durable_and_early_requests_wait_for_it() {
    let mut h = Harness::new();
    let conn = h.open();
    h.send_connect(conn, new_session());
    h.send(conn, 1, OpCode::Create, &create("/e", b"", 1));
    h.send(conn, 2, OpCode::Exists, &watch("/e", false));
    assert!(h.take_frames(conn).is_empty());
    h.settle();
    let frames = h.take_frames(conn);
    assert_eq!((frames.len(), frames[0].len()), (3, 37));
    assert!(h.replica.database().node("/e").is_some());
}

#[test]
fn a_client_that_has_seen_more_is_closed_without_a_word() {
    let mut h = Harness::new();
    let conn = h.open();
    h.send_connect(conn, ConnectRequest { last_zxid_seen: Zxid(1000), ..new_session() });
    h.settle();
    assert!(h.is_closed(conn) && h.take_frames(conn).is_empty());
}

fn again(client: &Client) -> ConnectRequest<'_> {
    ConnectRequest { session_id: client.session, password: Some(&client.password), ..new_session() }
}

#[test]
fn a_session_is_taken_up_again_and_its_other_connection_closed() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/e", 1);
    let conn = h.open();
    h.send_connect(conn, again(&client));
    let response = h.connect_response(conn);
    assert_eq!((response.session_id, response.timeout_ms), (client.session, 10_000));
    assert!(h.is_closed(client.conn));
    assert_eq!(h.answered[&conn], 1, "the connect request counts as a request");
    let moved = Client { conn, ..client };
    assert_eq!(h.create(&moved, "/f", 1).err, 0);
    let node = h.replica.database().node("/e").unwrap();
    assert_eq!(node.stat().ephemeral_owner, client.session.0);
}

#[test]
fn a_wrong_password_or_an_unknown_session_is_refused_with_zeroes() {
    let mut h = Harness::new();
    let client = h.connect();
    let unknown = SessionId(77);
    let wrong = [9; 16];
    for request in [
        ConnectRequest { password: Some(&wrong), ..again(&client) },
        ConnectRequest { password: None, ..again(&client) },
        ConnectRequest { session_id: unknown, password: Some(&password(unknown)), ..new_session() },
    ] {
        let conn = h.open();
        h.send_connect(conn, request);
        let response = h.connect_response(conn);
        assert_eq!((response.session_id, response.timeout_ms), (SessionId::NONE, 0));
        assert_eq!(response.password, [0; 16]);
        assert!(h.is_closed(conn));
    }
    assert!(!h.is_closed(client.conn), "a guess does not cut the real client off");
    assert_eq!(h.create(&client, "/a", 0).err, 0);
}

#[test]
fn a_malformed_connect_request_closes_the_connection() {
    let mut h = Harness::new();
    let conn = h.open();
    h.send_frame(conn, &[0; 10]);
    assert!(h.is_closed(conn) && h.take_frames(conn).is_empty());
}

#[test]
fn closing_a_session_deletes_its_nodes_at_one_zxid_and_then_closes() {
    let mut h = Harness::new();
    let (client, other) = (h.connect(), h.connect());
    h.create(&other, "/p", 0);
    h.create(&client, "/p/e1", 1);
    h.send(client.conn, 2, OpCode::Create, &create("/p/e2", b"", 1));
    h.send(client.conn, 3, OpCode::Delete, &delete("/p/e1", -1));
    h.send(client.conn, 4, OpCode::Create, &create("/p/e1", b"", 1));
    h.send(client.conn, 5, OpCode::CloseSession, &RequestBody::Empty);
    h.send(client.conn, 6, OpCode::Create, &create("/late", b"", 1));
    h.settle();
    assert_eq!(h.errors(client.conn), [(2, 0), (3, 0), (4, 0), (5, 0)]);
    assert!(h.is_closed(client.conn));
    let parent = h.replica.database().node("/p").unwrap();
    assert_eq!((parent.num_children(), parent.stat().pzxid.0), (0, h.last_zxid()));
    assert!(h.replica.database().node("/late").is_none());
    assert_eq!(h.replica.database().sessions_count(), 1);
}

#[test]
fn a_session_that_is_not_heard_of_expires_with_its_nodes() {
    let mut h = Harness::new();
    let (client, other) = (h.connect(), h.connect());
    h.create(&client, "/e", 1);
    for _ in 0..4 {
        h.advance_ms(4000);
        h.send(other.conn, -2, OpCode::Ping, &RequestBody::Empty);
    }
    assert!(h.is_closed(client.conn) && !h.is_closed(other.conn));
    assert!(h.replica.database().node("/e").is_none());
    let conn = h.open();
    h.send_connect(conn, again(&client));
    assert_eq!(h.connect_response(conn).session_id, SessionId::NONE);
    assert_eq!(h.replica.stats().sessions_expired, 1);
}

/// A write that comes meanwhile waits for the end of one session, and not for all three.
#[test]
fn writes_come_between_the_ends_of_sessions_with_many_nodes() {
    let mut h = Harness::new();
    let owners = [h.connect(), h.connect(), h.connect()];
    for (number, owner) in owners.iter().enumerate() {
        for node in 0..2000 {
            let path = format!("/{}-{number}-{node}", "x".repeat(100));
            h.send(owner.conn, node + 1, OpCode::Create, &create(&path, b"", 1));
        }
        h.settle();
        let made = h.errors(owner.conn);
        assert!(made.len() == 2000 && made.iter().all(|(_, err)| *err == 0));
    }
    h.advance_ms(6000);
    let writer = h.connect();
    h.now.mono = h.now.mono.plus_ms(9000);
    h.replica.handle_timeout(h.now);
    h.turn();
    assert_eq!(h.replica.stats().sessions_expired, 1, "the next one waits until that is applied");
    let end = h.replica.last_proposed().0;
    h.send(writer.conn, 1, OpCode::Create, &create("/w", b"", 0));
    while h.replica.stats().sessions_expired < 3 {
        h.replica.handle_timeout(h.now);
        h.settle();
    }
    assert_eq!(h.replica.database().node("/w").unwrap().stat().czxid.0, end + 1);
}

#[test]
fn sessions_that_end_together_do_so_in_portions_each_after_the_one_before_is_applied() {
    const SESSIONS: usize = 2 * SESSIONS_EXPIRED_AT_ONCE_MAX + 1;
    let mut h = Harness::new();
    for _ in 0..SESSIONS {
        h.connect();
    }
    h.advance_ms(6000);
    let other = h.connect();
    h.now.mono = h.now.mono.plus_ms(9000);
    let expired = |h: &Harness| usize::try_from(h.replica.stats().sessions_expired).unwrap();
    assert_eq!(expired(&h), 0);
    // However many turns the replica has, it proposes no second portion before the first one is applied.
    for _ in 0..3 {
        h.replica.handle_timeout(h.now);
    }
    assert_eq!(expired(&h), SESSIONS_EXPIRED_AT_ONCE_MAX);
    assert!(h.replica.next_timeout().is_none_or(|at| at > h.now.mono));
    h.settle();
    assert!(h.replica.next_timeout().is_some_and(|at| at <= h.now.mono));
    while expired(&h) < SESSIONS {
        h.replica.handle_timeout(h.now);
        h.settle();
    }
    assert_eq!(h.replica.global_sessions_count(), 1);
    h.create(&other, "/a", 0);
}

#[test]
fn requests_of_a_session_that_is_expiring_are_dropped() {
    let mut h = Harness::new();
    let client = h.connect();
    h.now.mono = h.now.mono.plus_ms(20_000);
    h.replica.handle_timeout(h.now);
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, 2, OpCode::Exists, &watch("/", false));
    h.settle();
    assert!(h.replies(client.conn).is_empty() && h.is_closed(client.conn));
    assert!(h.replica.database().node("/a").is_none());
}

#[test]
fn a_lost_connection_keeps_its_session_but_not_its_watches() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/e", 1);
    h.call(client.conn, 1, OpCode::Exists, &watch("/e", true));
    assert_eq!(h.replica.database().watches().len(), 1);
    h.send(client.conn, 2, OpCode::Create, &create("/on-its-way", b"", 0));
    h.close(client.conn);
    h.settle();
    assert!(h.replica.database().watches().is_empty());
    assert!(h.replica.database().node("/on-its-way").is_some());
    assert_eq!(h.replica.connections_count(), 0);
    let conn = h.open();
    h.send_connect(conn, again(&client));
    assert_eq!(h.connect_response(conn).session_id, client.session);
}

#[test]
fn a_read_after_a_reconnect_sees_the_write_before_it() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/mine", b"", 0));
    let conn = h.open();
    h.send_connect(conn, again(&client));
    assert_eq!(h.connect_response(conn).session_id, client.session);
    h.send(conn, 1, OpCode::Exists, &watch("/mine", false));
    assert!(h.replies(conn).is_empty());
    h.settle();
    assert_eq!(h.errors(conn), [(1, 0)]);
}

#[test]
fn a_server_that_comes_back_knows_its_sessions_and_starts_their_clocks_anew() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/e", 1);
    h.crash();
    h.advance_ms(5000);
    let conn = h.open();
    h.send_connect(conn, ConnectRequest { last_zxid_seen: Zxid(2), ..again(&client) });
    assert_eq!(h.connect_response(conn).session_id, client.session);
    let back = Client { conn, ..client };
    assert_eq!(h.create(&back, "/next", 0).zxid, 3);
    h.advance_ms(60_000);
    assert!(h.replica.database().node("/e").is_none());
}

#[test]
fn shutting_down_finishes_what_is_in_flight_and_takes_nothing_new() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.replica.shutdown(h.now);
    h.send(client.conn, 2, OpCode::Create, &create("/b", b"", 0));
    assert!(!h.replica.is_quiet());
    h.settle();
    assert_eq!(h.errors(client.conn), [(1, 0)]);
    assert!(h.replica.is_quiet());
    assert!(h.replica.database().node("/b").is_none());
    let conn = h.open();
    h.turn();
    assert!(h.is_closed(conn));
}

#[test]
fn frames_that_come_together_are_answered_one_by_one() {
    let mut h = Harness::new();
    let conn = h.open();
    let mut frames = Vec::new();
    for payload in [
        new_session().to_bytes(),
        [0, 0, 0, 1, 0, 0, 0, 11].to_vec(),
        [0, 0, 0, 2, 0, 0, 0, 11].to_vec(),
    ] {
        frames.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        frames.extend_from_slice(&payload);
    }
    h.replica.handle_frames(h.now, conn, &frames);
    h.settle();
    assert_eq!(h.take_frames(conn).len(), 3);
}

#[test]
fn what_comes_behind_the_end_of_a_session_finds_its_nodes_gone_before_that_is_applied() {
    let mut h = Harness::new();
    let (owner, other) = (h.connect(), h.connect());
    for path in ["/a", "/b", "/c"] {
        h.create(&other, path, 0);
    }
    for path in ["/a/1", "/a/2", "/b/1", "/a/3", "/c/1"] {
        h.create(&owner, path, 1);
    }
    // Among the ephemerals that will go, one has a change of its own in flight, and two are not in the tree yet.
    h.send(other.conn, 1, OpCode::SetData, &set_data("/a/2", b"x", -1));
    h.send(owner.conn, 1, OpCode::Create, &create("/b/2", b"", 1));
    h.send(owner.conn, 2, OpCode::Create, &create("/a/4", b"", 1));
    h.send(owner.conn, 3, OpCode::CloseSession, &RequestBody::Empty);
    h.send(other.conn, 2, OpCode::SetData, &set_data("/a/1", b"", -1));
    h.send(other.conn, 3, OpCode::SetData, &set_data("/a/2", b"", -1));
    h.send(other.conn, 4, OpCode::Create, &create("/a/3", b"", 1));
    h.send(other.conn, 5, OpCode::Delete, &delete("/a", -1));
    h.send(other.conn, 6, OpCode::Delete, &delete("/b", -1));
    h.send(other.conn, 7, OpCode::Delete, &delete("/c", 1));
    h.send(other.conn, 8, OpCode::Delete, &delete("/c", 0));
    h.settle();
    let (no_node, not_empty) = (ErrorCode::NoNode.code(), ErrorCode::NotEmpty.code());
    let bad_version = ErrorCode::BadVersion.code();
    let errors = h.errors(other.conn);
    assert_eq!(
        errors,
        [
            (1, 0),
            (2, no_node),
            (3, no_node),
            (4, 0),
            (5, not_empty),
            (6, 0),
            (7, bad_version),
            (8, 0)
        ]
    );
    let children: Vec<_> = h.replica.database().node("/a").unwrap().children().collect();
    assert_eq!(children, ["3"]);
    assert_eq!(h.replica.database().ephemerals(other.session).collect::<Vec<_>>(), ["/a/3"]);
    assert_eq!(h.replica.database().ephemerals(owner.session).count(), 0);
}

#[test]
fn a_session_that_is_ended_twice_before_either_is_applied_ends_once() {
    let mut h = Harness::new();
    let owner = h.connect();
    h.create(&owner, "/e", 1);
    h.send(owner.conn, 3, OpCode::CloseSession, &RequestBody::Empty);
    h.advance_ms(70_000);
    h.settle();
    assert!(h.replica.database().node("/e").is_none());
    assert_eq!(h.replica.database().session_timeout(owner.session), None);
}
