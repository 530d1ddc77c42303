//! What becomes of a request whose leader is lost while it is under way.

use super::forwarding::{
    become_, commit, connect, created, failed, follower, follower_with, following, inbound,
    long_multi, told, zxid,
};
use super::harness::{Client, Harness, create, new_session, path, watch};
use super::standing::{commit_proposed, lead, leader, own_session, request};
use crate::error::ErrorCode;
use crate::id::ConnectionId;
use crate::limits;
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::request::RequestBody;
use crate::proto::txn::Txn;
use crate::replica::ReplicaOptions;
use crate::session::Tenure;
use crate::zab::{Inbound, Standing};

#[test]
fn a_write_on_its_way_to_a_leader_that_is_gone_is_carried_out_once() {
    // In the history of the next leader, or not.
    for committed in [true, false] {
        let mut harness = follower();
        let client = connect(&mut harness, zxid(1, 1));
        harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
        harness.send(client.conn, 3, OpCode::Exists, &watch("/a", false));
        told(&mut harness);
        lose_leader(&mut harness, vec![created(zxid(1, 2), &client, 2, "/a")]);
        if committed {
            commit(&mut harness, created(zxid(1, 2), &client, 2, "/a"));
            assert_eq!(harness.errors(client.conn), [], "the next leader may not come to lead");
        }
        become_(&mut harness, following(2));
        if committed {
            assert_eq!(harness.errors(client.conn), [(2, 0), (3, 0)]);
        }
        inbound(
            &mut harness,
            Inbound::Revalidated { session: client.session, valid: true, tenure: None },
        );
        let told = told(&mut harness);
        assert_eq!(told.len(), if committed { 1 } else { 2 }, "{told:?}");
        if !committed {
            assert_eq!(told[1], format!("forward {} 2 Create", client.session));
            commit(&mut harness, created(zxid(2, 1), &client, 2, "/a"));
            assert_eq!(harness.errors(client.conn), [(2, 0), (3, 0)]);
        }
        assert_eq!(harness.replica.requests_outstanding(), 0);
    }
}

/// The leader is lost that was seen to propose this.
pub(super) fn lose_leader(harness: &mut Harness, proposed: Vec<Txn>) {
    harness.peer().pending = proposed;
    become_(harness, Standing::Looking);
    harness.peer().pending.clear();
}

/// The next leader lets a client keep its session.
fn find_leader(harness: &mut Harness, epoch: i64, client: &Client) {
    become_(harness, following(epoch));
    let session = client.session;
    let tenure = Some(Tenure { since: zxid(epoch, 0), turn: 1 });
    inbound(harness, Inbound::Revalidated { session, valid: true, tenure });
}

#[test]
fn what_may_have_ended_a_leader_is_not_passed_on_to_the_next_one() {
    let mut harness = follower();
    let killer = connect(&mut harness, zxid(1, 1));
    let earlier = connect(&mut harness, zxid(1, 2));
    let reader = connect(&mut harness, zxid(1, 3));
    harness.send(killer.conn, 2, OpCode::Create, &create("/a", b"", 0));
    harness.send(earlier.conn, 2, OpCode::Create, &create("/b", b"", 0));
    harness.send(reader.conn, 2, OpCode::Sync, &path("/"));
    let wish = harness.open();
    harness.send_connect(wish, new_session());
    told(&mut harness);
    // Only of an earlier connection of its session was such a request proposed.
    let proposed = created(zxid(1, 2), &earlier, 2, "/b");
    lose_leader(&mut harness, vec![created(zxid(1, 1), &killer, 2, "/a"), proposed]);
    assert!(!harness.is_closed(killer.conn), "it may be in the history of the next leader");
    become_(&mut harness, following(2));
    assert!(harness.is_closed(killer.conn) && harness.is_closed(earlier.conn));
    assert!(!harness.is_closed(reader.conn) && !harness.is_closed(wish), "they chose no words");
    let told = told(&mut harness);
    assert!(told.iter().all(|told| !told.ends_with(" Create")), "{told:?}");
    assert!(told.iter().any(|told| told.ends_with(" CreateSession")), "{told:?}");
}

#[test]
fn what_two_leaders_were_lost_with_is_not_passed_on_to_a_third() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    told(&mut harness);
    for (epoch, is_closed) in [(2, false), (3, true)] {
        let proposed = created(zxid(epoch - 1, 2), &client, 2, "/a");
        lose_leader(&mut harness, vec![proposed]);
        find_leader(&mut harness, epoch, &client);
        assert_eq!(harness.is_closed(client.conn), is_closed);
        let is_passed_on = told(&mut harness).iter().any(|told| told.ends_with(" Create"));
        assert_eq!(is_passed_on, !is_closed);
        harness.advance_ms(10);
    }
    assert_eq!(harness.replica.requests_outstanding(), 0);
}

#[test]
fn a_leader_whose_epoch_is_used_up_was_ended_by_nobody() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, u32::MAX - 1));
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    told(&mut harness);
    lose_leader(&mut harness, vec![]);
    find_leader(&mut harness, 2, &client);
    assert_eq!(told(&mut harness)[1..], [format!("forward {} 2 Create", client.session)]);
}

#[test]
fn what_is_passed_on_to_the_next_leader_takes_the_room_once() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, u32::MAX - 1));
    let data = vec![0; limits::PASSED_ON_HEAVY_BYTES_MAX / 5];
    for xid in 1..=5 {
        harness.send(client.conn, xid, OpCode::Multi, &long_multi(&data));
    }
    assert_eq!(told(&mut harness).len(), 5);
    lose_leader(&mut harness, vec![]);
    find_leader(&mut harness, 2, &client);
    let passed: Vec<String> = told(&mut harness);
    assert_eq!(passed.iter().filter(|told| told.ends_with(" Multi")).count(), 5, "{passed:?}");
    harness.send(client.conn, 6, OpCode::Multi, &long_multi(&data));
    assert_eq!(told(&mut harness), Vec::<String>::new());
    for (xid, counter) in (1..=5).zip(1..) {
        commit(&mut harness, failed(zxid(2, counter), client.session, xid, ErrorCode::NoNode));
    }
    assert_eq!(told(&mut harness), [format!("forward {} 6 Multi", client.session)]);
    assert_eq!(harness.errors(client.conn).len(), 5);
}

#[test]
fn a_write_on_its_way_to_a_leader_that_still_leads_ends_the_connection() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    become_(&mut harness, Standing::Looking);
    become_(&mut harness, following(1));
    assert!(harness.is_closed(client.conn), "the request may still lie in a buffer of the leader");
    assert_eq!(harness.replica.requests_outstanding(), 0);
}

/// A new connection of the client asks for its session.
fn ask_again(harness: &mut Harness, client: &Client) -> ConnectionId {
    let conn = harness.open();
    let again = ConnectRequest {
        session_id: client.session,
        password: Some(&client.password),
        ..new_session()
    };
    harness.send_connect(conn, again);
    conn
}

#[test]
fn what_was_lost_with_a_leader_keeps_no_later_connection_waiting() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    become_(&mut harness, Standing::Looking);
    // The same leader in the same epoch, which never got the request.
    become_(&mut harness, following(1));
    assert!(harness.is_closed(client.conn));
    let conn = ask_again(&mut harness, &client);
    inbound(
        &mut harness,
        Inbound::Revalidated { session: client.session, valid: true, tenure: None },
    );
    harness.take_frames(conn);
    harness.send(conn, 3, OpCode::Exists, &watch("/", false));
    assert_eq!(harness.errors(conn), [(3, 0)]);
    // Between two of its requests one was left out.
    harness.send(conn, 4, OpCode::Create, &create("/b", b"", 0));
    harness.send(conn, 5, OpCode::Create, &create("/c", b"", 0));
    commit(&mut harness, failed(zxid(1, 2), client.session, 5, ErrorCode::NoNode));
    assert!(harness.is_closed(conn), "it is not passed on again later");
}

/// It went like this: the client counts its requests anew on each connection, and its local session has no tenure. The
/// refusal of what its first connection had asked for with xid 2 became the answer to xid 2 of the second.
#[test]
fn what_a_connection_asked_for_is_told_to_no_later_one_when_the_leader_changes() {
    let options = ReplicaOptions { local_sessions: true, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    let first = harness.connect();
    harness.send(first.conn, 2, OpCode::Create, &create("/taken", b"", 0));
    harness.close(first.conn);
    let conn = ask_again(&mut harness, &first);
    harness.take_frames(conn);
    harness.send(conn, 2, OpCode::Create, &create("/a", b"", 0));
    let refused = failed(zxid(1, 1), first.session, 2, ErrorCode::NodeExists);
    let made = created(zxid(1, 2), &first, 2, "/a");
    lose_leader(&mut harness, vec![refused.clone(), made.clone()]);
    commit(&mut harness, refused);
    commit(&mut harness, made);
    become_(&mut harness, following(2));
    assert_eq!(harness.errors(conn), [(2, 0)]);
    // What the next leader does not have keeps nobody waiting.
    harness.send(conn, 3, OpCode::Create, &create("/b", b"", 0));
    harness.close(conn);
    let conn = ask_again(&mut harness, &first);
    harness.take_frames(conn);
    lose_leader(&mut harness, Vec::new());
    become_(&mut harness, following(3));
    harness.send(conn, 2, OpCode::Exists, &watch("/", false));
    assert_eq!(harness.errors(conn), [(2, 0)]);
    assert_eq!(harness.replica.requests_outstanding(), 0);
}

#[test]
fn what_a_leader_proposed_itself_ends_the_connection_if_it_loses_the_lead() {
    let mut harness = leader();
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    commit_proposed(&mut harness);
    harness.take_frames(conn);
    let idle = harness.open();
    harness.send_connect(idle, new_session());
    commit_proposed(&mut harness);
    harness.send(conn, 1, OpCode::Create, &create("/a", b"", 0));
    harness.peer().leads = None;
    become_(&mut harness, Standing::Looking);
    assert!(harness.is_closed(conn), "nobody knows what becomes of its write");
    assert!(!harness.is_closed(idle));
    // It is in the history of the next leader after all.
    commit_proposed(&mut harness);
    assert!(harness.replica.database().node("/a").is_some());
}

#[test]
fn a_leader_whose_epoch_is_used_up_lets_writes_wait_for_the_next_one() {
    let mut harness = leader();
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    commit_proposed(&mut harness);
    harness.take_frames(conn);
    harness.send(conn, 1, OpCode::Create, &create("/a", b"", 0));
    harness.peer().leads = None;
    harness.send(conn, 2, OpCode::Create, &create("/b", b"", 0));
    harness.send(conn, 3, OpCode::Exists, &watch("/b", false));
    commit_proposed(&mut harness);
    assert_eq!(harness.errors(conn), [(1, 0)]);
    become_(&mut harness, Standing::Looking);
    lead(&mut harness, 2);
    commit_proposed(&mut harness);
    assert_eq!(harness.errors(conn), [(2, 0), (3, 0)]);
    assert!(!harness.is_closed(conn));
}

/// It went like this: 1. A leader has proposed the end of a session, which its client asked for on an earlier connection
/// to another server, and drops what comes on the connection here. 2. It loses the lead, and the end is cut off. 3. The
/// session lives, and the client got the answer to its next request.
#[test]
fn a_connection_whose_request_was_dropped_ends_with_the_lead() {
    let mut harness = leader();
    let (conn, session) = own_session(&mut harness);
    inbound(
        &mut harness,
        Inbound::Request(request(session, 9, OpCode::CloseSession, &RequestBody::Empty)),
    );
    harness.send(conn, 1, OpCode::Create, &create("/a", b"", 0));
    assert_eq!(harness.peer().proposed.len(), 1, "only the end of the session");
    assert!(!harness.is_closed(conn));
    become_(&mut harness, Standing::Looking);
    assert!(harness.is_closed(conn));
}
