//! No client hears that its session is over before the end of the session is committed.

use super::cluster::Cluster;
use super::harness::{Client, Harness, create, new_session};
use crate::id::{ConnectionId, SessionId};
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::request::RequestBody;
use crate::replica::ReplicaOptions;

fn again(client: &Client) -> ConnectRequest<'_> {
    ConnectRequest { session_id: client.session, password: Some(&client.password), ..new_session() }
}

/// Asks for a session without waiting for the answer.
pub fn ask(harness: &mut Harness, client: &Client) -> ConnectionId {
    let conn = harness.open();
    harness.send_connect(conn, again(client));
    conn
}

fn close_session(harness: &mut Harness, client: &Client) {
    harness.send(client.conn, 9, OpCode::CloseSession, &RequestBody::Empty);
}

#[test]
fn a_session_is_over_when_its_end_is_durable() {
    let mut h = Harness::new();
    let client = h.connect();
    h.create(&client, "/e", 1);
    close_session(&mut h, &client);
    let conn = ask(&mut h, &client);
    assert!(!h.has_received(conn) && !h.is_closed(conn), "nobody knows yet");
    h.crash();
    assert!(h.replica.database().node("/e").is_some(), "it lives on");
    let conn = ask(&mut h, &client);
    h.settle();
    assert_eq!(h.connect_response(conn).session_id, client.session);
    close_session(&mut h, &Client { conn, ..client });
    let late = ask(&mut h, &client);
    h.settle();
    assert_eq!(h.connect_response(late).session_id, SessionId::NONE);
    assert!(h.is_closed(late));
}

#[test]
fn a_session_that_outlives_the_leader_that_was_ending_it_is_not_said_to_be_over() {
    let mut cluster = Cluster::new(3);
    let leader = cluster.leader().unwrap();
    let g = cluster.follower();
    let client = cluster.connect(leader);
    assert_eq!(cluster.call(leader, &client, 1, OpCode::Create, &create("/e", b"", 1)).err, 0);
    cluster.cut_off(leader);
    close_session(cluster.server(leader), &client);
    let conn = ask(cluster.server(leader), &client);
    cluster.quiet();
    cluster.until("the others have a leader", |cluster| {
        cluster.servers[&g].replica.service.ensemble.serves()
            && cluster.servers[&leader].replica.mode() != "leader"
    });
    assert!(!cluster.server(leader).has_received(conn), "it is told nothing");
    assert!(cluster.server(leader).is_closed(conn), "and tries another server");
    assert_eq!(cluster.reopen(g, &client).session, client.session);
    assert!(cluster.server(g).replica.database().node("/e").is_some());
}

#[test]
fn a_learners_questions_are_answered_in_their_order() {
    let mut cluster = Cluster::new(3);
    let f = cluster.follower();
    let (ending, other) = (cluster.connect(f), cluster.connect(f));
    close_session(cluster.server(f), &ending);
    let (first, second) = (ask(cluster.server(f), &ending), ask(cluster.server(f), &other));
    cluster.quiet();
    assert_eq!(cluster.server(f).connect_response(first).session_id, SessionId::NONE);
    assert_eq!(cluster.server(f).connect_response(second).session_id, other.session);
}

#[test]
fn a_server_without_a_leader_does_not_say_that_a_session_is_over() {
    for local_sessions in [false, true] {
        let options =
            ReplicaOptions { read_only_mode: true, local_sessions, ..ReplicaOptions::default() };
        let mut cluster = Cluster::with(3, 0, &options, &crate::quorum::PeerOptions::default());
        let (leader, f) = (cluster.leader().unwrap(), cluster.follower());
        cluster.cut_off(f);
        cluster.quiet();
        // F does not hear of this session. With local sessions, other servers may have sessions that only they know.
        let client = cluster.connect(leader);
        cluster.until("F serves readers", |cluster| {
            cluster.servers[&f].replica.service.ensemble.is_read_only()
        });
        let request = ConnectRequest { read_only: Some(true), ..again(&client) };
        let conn = cluster.server(f).open();
        cluster.server(f).send_connect(conn, request);
        assert!(cluster.server(f).is_closed(conn));
        assert_eq!(cluster.server(f).has_received(conn), local_sessions);
    }
}

#[test]
fn a_leader_that_others_have_left_does_not_say_that_a_session_is_over() {
    let mut cluster = Cluster::new(3);
    let (old, g) = (cluster.leader().unwrap(), cluster.follower());
    // The leader stands still for so long that the others elect another one.
    cluster.down.insert(old);
    cluster.until("the others have a leader", |cluster| {
        cluster
            .leader()
            .is_some_and(|leader| cluster.servers[&leader].replica.service.ensemble.serves())
            && cluster.all_serve()
    });
    let client = cluster.connect(g);
    cluster.down.remove(&old);
    let conn = ask(cluster.server(old), &client);
    assert_eq!(cluster.servers[&old].replica.mode(), "leader", "so it believes");
    cluster.until("it looks for a leader", |cluster| cluster.servers[&old].is_closed(conn));
    assert!(!cluster.server(old).has_received(conn), "it is told nothing");
    cluster.until("it is back", Cluster::all_serve);
    assert_eq!(cluster.reopen(old, &client).session, client.session);
}

#[test]
fn a_session_that_nobody_knows_is_over() {
    let mut cluster = Cluster::new(3);
    let (leader, f) = (cluster.leader().unwrap(), cluster.follower());
    let session = SessionId(77);
    let stranger =
        Client { conn: ConnectionId(0), session, password: crate::session::password(session) };
    for server in [leader, f, leader] {
        let conn = ask(cluster.server(server), &stranger);
        cluster.quiet();
        assert_eq!(cluster.server(server).connect_response(conn).session_id, SessionId::NONE);
    }
}
