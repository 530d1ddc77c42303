//! What becomes of clients when their server changes its part in the ensemble; and the leader's part.

use super::forwarding::{
    become_, commit, connect, created, failed, follower, follower_with, following, inbound, told,
    txn, zxid,
};
use super::harness::{Harness, create, new_session, path, watch};
use super::lost_leader::lose_leader;
use crate::acl::Identity;
use crate::error::ErrorCode;
use crate::id::{ConnectionId, Epoch, ServerId, SessionId};
use crate::jute::Jute;
use crate::link::LinkId;
use crate::proto::OpCode;
use crate::proto::connect::{ConnectRequest, ConnectResponse};
use crate::proto::request::RequestBody;
use crate::proto::txn::{Txn, TxnBody};
use crate::replica::ReplicaOptions;
use crate::session::{Tenure, password};
use crate::zab::{ForwardedRequest, Inbound, Ready, SessionScope, Standing};

pub(super) fn leader_with(options: ReplicaOptions) -> Harness {
    let mut harness = Harness::scripted(options);
    harness.settle();
    lead(&mut harness, 1);
    harness
}

pub(super) fn leader() -> Harness {
    leader_with(ReplicaOptions::default())
}

pub(super) fn lead(harness: &mut Harness, epoch: i64) {
    harness.peer().leads = Some(Epoch(epoch));
    become_(harness, Standing::Leading { epoch: Epoch(epoch) });
}

/// Everything that was proposed is committed.
pub(super) fn commit_proposed(harness: &mut Harness) -> Vec<Txn> {
    let proposed = std::mem::take(&mut harness.peer().proposed);
    let (append, commit) = (proposed.clone(), proposed.clone());
    harness.decide(Ready { append, commit, ..Ready::default() });
    harness.settle();
    proposed
}

pub(super) const LINK: LinkId = LinkId::accepted(4);

pub(super) fn request(
    session: SessionId,
    cxid: i32,
    op: OpCode,
    body: &RequestBody<'_>,
) -> ForwardedRequest {
    let mut bytes = Vec::new();
    body.encode(op, &mut bytes);
    ForwardedRequest {
        link: LINK,
        server: ServerId(3),
        session,
        scope: SessionScope::Unsaid,
        cxid,
        op: op.number(),
        body: bytes.into(),
        identities: vec![Identity::new("ip", "10.0.0.1")],
    }
}

/// A client of the leader itself.
pub(super) fn own_session(harness: &mut Harness) -> (ConnectionId, SessionId) {
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    commit_proposed(harness);
    (conn, harness.connect_response(conn).session_id)
}

pub(super) fn session_of_server_3(harness: &mut Harness) -> SessionId {
    let session = SessionId(3 << 56);
    let mut wish = request(session, 0, OpCode::CreateSession, &RequestBody::Empty);
    wish.body = 9000.to_bytes().into();
    inbound(harness, Inbound::Request(wish));
    let proposed = commit_proposed(harness);
    assert!(matches!(proposed[0].body(), TxnBody::CreateSession { timeout_ms: 9000 }));
    session
}

pub(super) fn errors_of(txns: &[Txn]) -> Vec<i32> {
    let error = |txn: &Txn| match txn.body() {
        TxnBody::Error { err } => err,
        _ => 0,
    };
    txns.iter().map(error).collect()
}

#[test]
fn a_leader_gives_zxids_of_its_epoch_and_answers_what_was_committed() {
    let mut harness = leader();
    assert_eq!(harness.replica.last_processed(), zxid(1, 0));
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    let proposed = commit_proposed(&mut harness);
    assert_eq!(proposed[0].zxid(), zxid(1, 1));
    assert_ne!(harness.connect_response(conn).timeout_ms, 0);
    harness.send(conn, 1, OpCode::Create, &create("/a", b"", 0));
    assert_eq!(harness.replies(conn), []);
    commit_proposed(&mut harness);
    assert_eq!(harness.errors(conn), [(1, 0)]);
}

#[test]
fn requests_of_learners_become_transactions_with_their_session_and_xid() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    let op = OpCode::Create;
    let wish = request(session, 5, op, &create("/a", b"", 1));
    inbound(&mut harness, Inbound::Request(wish.clone()));
    inbound(&mut harness, Inbound::Request(ForwardedRequest { cxid: 6, ..wish.clone() }));
    inbound(&mut harness, Inbound::Request(ForwardedRequest { cxid: 7, op: 11, ..wish.clone() }));
    let body = vec![1].into();
    inbound(&mut harness, Inbound::Request(ForwardedRequest { cxid: 8, body, ..wish }));
    let proposed = commit_proposed(&mut harness);
    let cxids: Vec<_> = proposed.iter().map(|txn| txn.header().cxid).collect();
    assert_eq!(cxids, [5, 6, 7, 8]);
    assert!(proposed.iter().all(|txn| txn.header().client_id == session));
    assert_eq!(errors_of(&proposed), [0, -110, -6, -5]);
}

#[test]
fn a_session_belongs_to_the_server_that_took_it_up_last() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    let wish = request(session, 5, OpCode::Create, &create("/a", b"", 0));
    let server = ServerId(2);
    let ask = Inbound::Revalidate { link: LINK, server, session, timeout_ms: 9000, kept: None };
    inbound(&mut harness, ask);
    assert_eq!(told(&mut harness), [format!("answer revalidate {LINK:?} {session} true")]);
    inbound(&mut harness, Inbound::Request(wish.clone()));
    inbound(&mut harness, Inbound::Request(ForwardedRequest { server, ..wish }));
    assert_eq!(errors_of(&commit_proposed(&mut harness)), [-118, 0]);
    let unknown = SessionId(12345);
    inbound(
        &mut harness,
        Inbound::Revalidate { link: LINK, server, session: unknown, timeout_ms: 1, kept: None },
    );
    assert_eq!(told(&mut harness), [format!("answer revalidate {LINK:?} {unknown} false")]);
}

#[test]
fn what_a_global_session_asked_for_is_refused_behind_its_end() {
    let options = ReplicaOptions { local_sessions: true, ..ReplicaOptions::default() };
    let mut harness = leader_with(options);
    let session = session_of_server_3(&mut harness);
    let ends = request(session, 6, OpCode::CloseSession, &RequestBody::Empty);
    inbound(&mut harness, Inbound::Request(ends));
    commit_proposed(&mut harness);
    // It was under way for long, on a link of a server that the client has left.
    let late = request(session, 5, OpCode::Create, &create("/late", b"", 0));
    for server in [ServerId(2), ServerId(3)] {
        let scope = SessionScope::Global;
        let late = ForwardedRequest { server, scope, ..late.clone() };
        inbound(&mut harness, Inbound::Request(late));
    }
    assert_eq!(errors_of(&commit_proposed(&mut harness)), [-112, -112]);
    // A local session is unknown to a leader, and Java's learners say nothing.
    for (name, scope) in [("/local", SessionScope::Local), ("/java", SessionScope::Unsaid)] {
        let wish = request(SessionId(3 << 56 | 9), 1, OpCode::Create, &create(name, b"", 0));
        inbound(&mut harness, Inbound::Request(ForwardedRequest { scope, ..wish }));
    }
    assert_eq!(errors_of(&commit_proposed(&mut harness)), [0, 0]);
}

#[test]
fn a_session_that_no_learner_hears_of_expires_on_the_leader() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    harness.advance_ms(8000);
    inbound(&mut harness, Inbound::Touch { session, timeout_ms: 9000 });
    harness.advance_ms(8000);
    assert_eq!(harness.peer().proposed.len(), 0);
    harness.advance_ms(8000);
    let proposed = commit_proposed(&mut harness);
    assert_eq!(proposed.len(), 1);
    assert_eq!(proposed[0].header().op, OpCode::CloseSession);
}

#[test]
fn a_learners_sync_is_answered_by_the_peer_in_order() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    told(&mut harness);
    inbound(&mut harness, Inbound::Request(request(session, 1, OpCode::Sync, &path("/"))));
    assert_eq!(told(&mut harness), [format!("answer sync {LINK:?}")]);
}

#[test]
fn a_parked_connection_goes_on_with_the_next_leader() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    harness.send(client.conn, 1, OpCode::Exists, &watch("/", false));
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    assert!(!harness.is_closed(client.conn));
    become_(&mut harness, following(2));
    assert_eq!(told(&mut harness), [format!("keep {} 10000", client.session)]);
    assert_eq!(harness.replies(client.conn), []);
    inbound(
        &mut harness,
        Inbound::Revalidated { session: client.session, valid: true, tenure: None },
    );
    assert_eq!(harness.errors(client.conn), [(1, 0)]);
    assert_eq!(told(&mut harness), [format!("forward {} 2 Create", client.session)]);
    commit(&mut harness, created(zxid(2, 1), &client, 2, "/a"));
    assert_eq!(harness.errors(client.conn), [(2, 0)]);
    assert_eq!(harness.replica.requests_outstanding(), 0);
}

#[test]
fn a_parked_connection_goes_on_with_the_same_leader_without_a_question() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    become_(&mut harness, following(1));
    // The answer to a question would be that the session moves here.
    assert_eq!(told(&mut harness), [format!("forward {} 2 Create", client.session)]);
    commit(&mut harness, failed(zxid(1, 2), client.session, 2, ErrorCode::SessionMoved));
    assert!(harness.is_closed(client.conn), "its client is elsewhere");
}

#[test]
fn a_connection_whose_client_wrote_elsewhere_is_given_up() {
    for is_parked in [false, true] {
        let mut harness = follower();
        let mut client = connect(&mut harness, zxid(1, 1));
        client.conn = harness.open();
        let again = ConnectRequest {
            session_id: client.session,
            password: Some(&client.password),
            ..new_session()
        };
        harness.send_connect(client.conn, again);
        let (session, tenure) = (client.session, Some(Tenure { since: zxid(1, 3), turn: 1 }));
        inbound(&mut harness, Inbound::Revalidated { session, valid: true, tenure });
        if is_parked {
            become_(&mut harness, Standing::Looking);
        }
        // Of an earlier connection.
        commit(&mut harness, failed(zxid(1, 3), client.session, 2, ErrorCode::NoNode));
        // A stray one of an earlier connection.
        commit(&mut harness, failed(zxid(1, 4), client.session, 3, ErrorCode::SessionMoved));
        assert!(!harness.is_closed(client.conn));
        harness.send(client.conn, 5, OpCode::Create, &create("/old", b"", 0));
        commit(&mut harness, failed(zxid(1, 5), client.session, 9, ErrorCode::NoNode));
        assert!(harness.is_closed(client.conn));
        told(&mut harness);
        become_(&mut harness, following(2));
        assert_eq!(told(&mut harness), [] as [&str; 0]);
    }
}

#[test]
fn where_nobody_knows_whose_a_session_is_a_parked_connection_is_given_up() {
    for same_leader in [true, false] {
        let mut harness = follower();
        let client = connect(&mut harness, zxid(1, 1));
        let beginning = harness.open();
        harness.send_connect(beginning, new_session());
        become_(&mut harness, Standing::Looking);
        harness.peer().forgets_tenures = true;
        told(&mut harness);
        become_(&mut harness, following(if same_leader { 1 } else { 2 }));
        assert!(harness.is_closed(client.conn), "the leader is Apache ZooKeeper");
        // The wish for a new session is passed on again, to another leader.
        assert_eq!(harness.is_closed(beginning), same_leader);
        assert_eq!(told(&mut harness).len(), usize::from(!same_leader));
    }
    // The leader that gave it the session was Apache ZooKeeper.
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    let again = ConnectRequest {
        session_id: client.session,
        password: Some(&client.password),
        ..new_session()
    };
    let conn = harness.open();
    harness.send_connect(conn, again);
    let answer = Inbound::Revalidated { session: client.session, valid: true, tenure: None };
    inbound(&mut harness, answer);
    assert!(!harness.is_closed(conn));
    become_(&mut harness, Standing::Looking);
    become_(&mut harness, following(2));
    assert!(harness.is_closed(conn));
    // Its question was lost with the leader.
    let conn = harness.open();
    harness.send_connect(conn, again);
    assert!(!harness.is_closed(conn));
    become_(&mut harness, Standing::Looking);
    assert!(harness.is_closed(conn));
}

#[test]
fn a_session_that_another_server_owns_is_not_taken_by_a_connection_that_was_kept() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    told(&mut harness);
    let ask = |harness: &mut Harness, server, kept: Option<(u32, u64)>| {
        let kept = kept.map(|(at, turn)| Tenure { since: zxid(0, at), turn });
        let server = ServerId(server);
        let ask = Inbound::Revalidate { link: LINK, server, session, timeout_ms: 9000, kept };
        inbound(harness, ask);
        told(harness).concat().ends_with("true")
    };
    assert!(!ask(&mut harness, 2, Some((9, 9))), "it is server 3's in this epoch");
    assert!(ask(&mut harness, 3, Some((9, 9))));
    assert!(ask(&mut harness, 2, None), "a new connection takes it");
    assert!(!ask(&mut harness, 3, Some((9, 9))));
    // Of the next leader nobody knows whose it is, until the one with the greater tenure asks.
    become_(&mut harness, Standing::Looking);
    lead(&mut harness, 2);
    told(&mut harness);
    assert!(ask(&mut harness, 3, Some((5, 1))));
    assert!(ask(&mut harness, 2, Some((5, 2))));
    assert!(!ask(&mut harness, 3, Some((5, 1))));
}

#[test]
fn the_leaders_own_connection_ends_when_its_session_moves_to_a_learner() {
    let mut harness = leader();
    let (conn, session) = own_session(&mut harness);
    let server = ServerId(2);
    let ask = Inbound::Revalidate { link: LINK, server, session, timeout_ms: 9000, kept: None };
    inbound(&mut harness, ask);
    assert!(harness.is_closed(conn));
}

#[test]
fn a_parked_connection_goes_on_when_its_own_server_leads() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    harness.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
    lead(&mut harness, 2);
    commit_proposed(&mut harness);
    assert_eq!(harness.errors(client.conn), [(2, 0)]);
}

#[test]
fn a_session_that_is_over_is_cut_off_when_there_is_a_leader_again() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    become_(&mut harness, following(2));
    inbound(
        &mut harness,
        Inbound::Revalidated { session: client.session, valid: false, tenure: None },
    );
    assert!(harness.is_closed(client.conn));
}

/// It went like this: the last zxid of an epoch went to the beginning of the session, and its write was refused as if
/// the disk were full.
#[test]
fn a_local_session_that_becomes_global_with_the_last_zxid_writes_in_the_next_epoch() {
    for flags in [0, 1] {
        let mut harness = leader_with(ReplicaOptions {
            local_sessions: true,
            local_sessions_upgrading: true,
            ..ReplicaOptions::default()
        });
        let conn = harness.open();
        harness.send_connect(conn, new_session());
        harness.take_frames(conn);
        let service = &harness.replica.service;
        let last = service.pipeline.newest_zxid(&service.ensemble);
        harness.peer().last_zxid = last.next();
        harness.send(conn, 1, OpCode::Create, &create("/e", b"", flags));
        let proposed = commit_proposed(&mut harness);
        assert_eq!(
            proposed.iter().map(|txn| txn.header().op).collect::<Vec<_>>(),
            [OpCode::CreateSession]
        );
        assert_eq!(harness.errors(conn), []);
        become_(&mut harness, Standing::Looking);
        harness.peer().last_zxid = None;
        lead(&mut harness, 2);
        let proposed = commit_proposed(&mut harness);
        assert!(proposed.iter().any(|txn| txn.header().op == OpCode::Create), "{proposed:?}");
        assert_eq!(harness.errors(conn), [(1, 0)]);
    }
}

/// It went like this: 1. A server that has become leader takes up what a connection waits for. 2. The epoch has one zxid, for the
/// first write. 3. The second write waits for the next leader, and the read behind it was answered before it.
#[test]
fn what_comes_behind_a_write_that_waits_for_the_next_leader_waits_with_it() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    become_(&mut harness, following(1));
    for (xid, name) in [(1, "/a"), (2, "/b")] {
        harness.send(client.conn, xid, OpCode::Create, &create(name, b"", 0));
    }
    harness.send(client.conn, 3, OpCode::Exists, &watch("/b", false));
    harness.send(client.conn, 4, OpCode::Create, &create("no path", b"", 0));
    harness.send(client.conn, 5, OpCode::Sync, &path("/b"));
    let mut proposed =
        vec![created(zxid(1, 2), &client, 1, "/a"), created(zxid(1, 3), &client, 2, "/b")];
    proposed.push(failed(zxid(1, 4), client.session, 4, ErrorCode::BadArguments));
    lose_leader(&mut harness, proposed);
    harness.peer().last_zxid = Some(zxid(2, 1));
    lead(&mut harness, 2);
    assert_eq!(harness.errors(client.conn), []);
    commit_proposed(&mut harness);
    assert_eq!(harness.errors(client.conn), [(1, 0)]);
    become_(&mut harness, Standing::Looking);
    harness.peer().last_zxid = None;
    lead(&mut harness, 3);
    commit_proposed(&mut harness);
    let bad_arguments = ErrorCode::BadArguments.code();
    assert_eq!(harness.errors(client.conn), [(2, 0), (3, 0), (4, bad_arguments), (5, 0)]);
    assert_eq!(harness.replica.requests_outstanding(), 0);
    assert!(!harness.is_closed(client.conn));
}

/// It went like this: 1. A client reopens a session that this leader does not know, and the question waits for a quorum.
/// 2. The session becomes known. 3. The client reopens it once more, and has it at once. 4. The quorum answers the first
/// question, and the connection that lived was closed.
#[test]
fn a_question_that_is_answered_late_does_not_end_the_connection_that_lives() {
    let mut harness = leader();
    let session = SessionId(3 << 56);
    let password = password(session);
    let reopen = |harness: &mut Harness| {
        let conn = harness.open();
        let request =
            ConnectRequest { session_id: session, password: Some(&password), ..new_session() };
        harness.send_connect(conn, request);
        conn
    };
    harness.peer().lead_question = Some(1);
    let first = reopen(&mut harness);
    assert!(!harness.has_received(first));
    session_of_server_3(&mut harness);
    let second = reopen(&mut harness);
    assert_eq!(harness.connect_response(second).session_id, session);
    inbound(&mut harness, Inbound::StillLeads { number: 1 });
    assert!(harness.is_closed(first) && !harness.has_received(first));
    assert!(!harness.is_closed(second));
    harness.send(second, 1, OpCode::Exists, &watch("/", false));
    assert_eq!(harness.errors(second), [(1, 0)]);
}

#[test]
fn nobody_waits_for_a_leader_for_ever() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    assert!(harness.replica.next_timeout().is_some());
    harness.advance_ms(5900);
    assert!(!harness.is_closed(client.conn));
    harness.advance_ms(200);
    assert!(harness.is_closed(client.conn));
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    assert!(harness.is_closed(conn), "and nobody is let in");
}

#[test]
fn another_tree_ends_every_connection() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    commit(&mut harness, failed(zxid(1, 2), SessionId(5), 1, ErrorCode::NoNode));
    become_(&mut harness, Standing::Looking);
    harness.decide(Ready { truncate: Some(zxid(1, 1)), ..Ready::default() });
    harness.settle();
    assert_eq!(harness.replica.last_processed(), zxid(1, 1));
    assert!(harness.is_closed(client.conn));
}

fn reader() -> ConnectRequest<'static> {
    ConnectRequest { read_only: Some(true), ..new_session() }
}

/// A server that may serve readers, and has just lost its leader.
fn looking_in_read_only_mode() -> Harness {
    let options =
        ReplicaOptions { read_only_mode: true, local_sessions: true, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    become_(&mut harness, Standing::Looking);
    harness
}

#[test]
fn a_server_without_a_leader_serves_readers_after_a_while() {
    let mut harness = looking_in_read_only_mode();
    harness.advance_ms(2999);
    let conn = harness.open();
    harness.send_connect(conn, reader());
    assert!(harness.is_closed(conn), "not yet");
    harness.advance_ms(1);
    assert!(harness.replica.service.ensemble.is_read_only());

    let conn = harness.open();
    harness.send_connect(conn, new_session());
    assert!(harness.is_closed(conn), "it wants to write");
    let conn = harness.open();
    harness.send_connect(conn, reader());
    let response: ConnectResponse = harness.connect_response(conn);
    assert_eq!(response.read_only, Some(true));
    harness.send(conn, 1, OpCode::Exists, &watch("/", false));
    harness.send(conn, 2, OpCode::Create, &create("/a", b"", 0));
    harness.send(conn, 3, OpCode::Sync, &path("/"));
    harness.send(conn, 4, OpCode::CloseSession, &RequestBody::Empty);
    assert_eq!(harness.errors(conn), [(1, 0), (2, -119), (3, -119), (4, 0)]);

    let conn = harness.open();
    harness.send_connect(conn, reader());
    let session = harness.connect_response(conn).session_id;
    assert_eq!(harness.replica.local_sessions_count(), 1);
    become_(&mut harness, following(2));
    assert!(harness.is_closed(conn), "it shall ask for a server that writes");
    assert!(!harness.replica.service.ensemble.is_read_only());
    // Its session was one to read with, and is over.
    assert_eq!(harness.replica.local_sessions_count(), 0);
    told(&mut harness);
    let conn = harness.open();
    let password = password(session);
    let again = ConnectRequest { session_id: session, password: Some(&password), ..reader() };
    harness.send_connect(conn, again);
    assert_eq!(told(&mut harness), [format!("revalidate {session} 10000")]);
    inbound(&mut harness, Inbound::Revalidated { session, valid: false, tenure: None });
    assert_eq!(harness.connect_response(conn).session_id, SessionId::NONE);
    // A local one that was there before lives on, as always.
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    assert!(!harness.is_closed(conn));
    become_(&mut harness, Standing::Looking);
    harness.advance_ms(3000);
    assert!(harness.replica.service.ensemble.is_read_only());
    become_(&mut harness, following(3));
    assert!(!harness.is_closed(conn));
    assert_eq!(harness.replica.local_sessions_count(), 1);
}

#[test]
fn a_server_whose_data_is_of_another_history_serves_no_readers() {
    let mut harness = looking_in_read_only_mode();
    harness.advance_ms(3000);
    let conn = harness.open();
    harness.send_connect(conn, reader());
    assert_eq!(harness.connect_response(conn).read_only, Some(true));
    harness.peer().is_of_other_history = true;
    harness.advance_ms(1);
    assert!(harness.is_closed(conn), "what it read there is not the ensemble's");
    harness.advance_ms(10_000);
    let conn = harness.open();
    harness.send_connect(conn, reader());
    assert!(harness.is_closed(conn) && !harness.replica.service.ensemble.is_read_only());
    // Its data was replaced, and the leader is gone again.
    become_(&mut harness, following(2));
    harness.peer().is_of_other_history = false;
    become_(&mut harness, Standing::Looking);
    harness.advance_ms(3000);
    assert!(harness.replica.service.ensemble.is_read_only());
}

#[test]
fn a_leader_may_be_told_to_serve_no_clients() {
    let options = ReplicaOptions { leader_serves: false, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    let client = connect(&mut harness, zxid(1, 1));
    become_(&mut harness, Standing::Looking);
    lead(&mut harness, 2);
    assert!(harness.is_closed(client.conn));
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    assert!(harness.is_closed(conn));
}

#[test]
fn a_leader_whose_disk_is_full_refuses_its_own_clients_and_lets_the_others_wait() {
    let options = ReplicaOptions::default();
    let mut harness = Harness::scripted_without_room(options);
    lead(&mut harness, 1);
    let session = SessionId(3 << 56);
    let wish = request(session, 1, OpCode::Create, &create("/a", b"", 0));
    // It has known since it tried to prepare its log.
    assert!(harness.replica.service.pipeline.is_disk_full());
    assert_eq!(harness.peer().take_told()[0], "room false");
    inbound(&mut harness, Inbound::Request(wish));
    assert_eq!(harness.peer().proposed.len(), 0, "it waits");
    harness.disk_full = false;
    harness.advance_ms(1000);
    assert!(!harness.replica.service.pipeline.is_disk_full());
    assert_eq!(harness.peer().take_told(), ["room true"]);
    assert_eq!(commit_proposed(&mut harness).len(), 1);
    assert_eq!(harness.replica.txnlog().synced(), zxid(1, 1));

    let mut harness = Harness::scripted_without_room(ReplicaOptions::default());
    lead(&mut harness, 1);
    let wish = request(session, 1, OpCode::Create, &create("/a", b"", 0));
    inbound(&mut harness, Inbound::Request(wish));
    commit_proposed(&mut harness);
    told(&mut harness);
    for _ in 0..20 {
        harness.advance_ms(1000);
    }
    assert_eq!(told(&mut harness), ["leave: the disk is full: another server may lead"]);
}

/// Or the connection would have a tenure before what its session has asked for already, and its
/// client be told of that when it asks for something else with the same xid.
#[test]
fn a_session_is_not_taken_up_before_what_it_has_asked_for_is_proposed() {
    let mut harness = Harness::scripted_without_room(ReplicaOptions::default());
    become_(&mut harness, following(1));
    let (one, other) = (SessionId(3 << 56), SessionId(3 << 56 | 1));
    for (counter, session) in [(1, one), (2, other)] {
        let body = TxnBody::CreateSession { timeout_ms: 9000 };
        let op = OpCode::CreateSession;
        let commit = vec![txn(zxid(1, counter), session, 0, op, &body)];
        harness.decide(Ready { commit, ..Ready::default() });
    }
    become_(&mut harness, Standing::Looking);
    lead(&mut harness, 2);
    assert!(harness.replica.service.pipeline.is_disk_full());
    let wish = request(one, 2, OpCode::Create, &create("/a", b"", 0));
    inbound(&mut harness, Inbound::Request(wish));
    told(&mut harness);
    let (server, timeout_ms, kept) = (ServerId(3), 9000, None);
    for (session, link) in [(one, LINK), (other, LinkId::accepted(5))] {
        let question = Inbound::Revalidate { link, server, session, timeout_ms, kept };
        inbound(&mut harness, question);
    }
    let answer = format!("answer revalidate {:?} {other} true", LinkId::accepted(5));
    assert_eq!(told(&mut harness), [answer], "the other one has to wait");
    harness.disk_full = false;
    harness.advance_ms(1000);
    assert_eq!(harness.peer().proposed.len(), 1);
    let answer = format!("answer revalidate {LINK:?} {one} true");
    assert_eq!(told(&mut harness), ["room true".to_owned(), answer]);
}
