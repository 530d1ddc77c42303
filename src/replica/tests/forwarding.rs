//! A learner passes writes and syncs on, and answers what comes back.

use super::harness::{Client, Harness, create, new_session, path, set_data, watch};
use super::reads::auth;
use crate::error::ErrorCode;
use crate::id::{ConnectionId, Epoch, ServerId, SessionId, Zxid};
use crate::limits::{self, LEARNER_SYNCS_PASSED_MAX};
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::data::AclVector;
use crate::proto::request::{MultiOp, RequestBody};
use crate::proto::txn::{CreateTxn, SetDataTxn, Txn, TxnBody, TxnHeader};
use crate::replica::ReplicaOptions;
use crate::zab::Epochs;
use crate::zab::{Inbound, Ready, Standing};

pub fn zxid(epoch: i64, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

pub fn txn(at: Zxid, session: SessionId, cxid: i32, op: OpCode, body: &TxnBody<'_>) -> Txn {
    Txn::new(TxnHeader { client_id: session, cxid, zxid: at, time: 0, op }, body, None)
}

pub fn created(at: Zxid, client: &Client, cxid: i32, path: &str) -> Txn {
    let body = TxnBody::Create(CreateTxn {
        path: Some(path),
        data: Some(b""),
        acl: AclVector::NULL,
        ephemeral: false,
        parent_cversion: 1,
    });
    txn(at, client.session, cxid, OpCode::Create, &body)
}

pub fn failed(at: Zxid, session: SessionId, cxid: i32, error: ErrorCode) -> Txn {
    txn(at, session, cxid, OpCode::Error, &TxnBody::Error { err: error.code() })
}

pub fn commit(harness: &mut Harness, txn: Txn) {
    let txns = vec![txn];
    harness.decide(Ready { append: txns.clone(), commit: txns, ..Ready::default() });
    harness.settle();
}

pub fn become_(harness: &mut Harness, standing: Standing) {
    harness.decide(Ready { standing: vec![standing], ..Ready::default() });
    harness.settle();
}

pub fn inbound(harness: &mut Harness, inbound: Inbound) {
    harness.decide(Ready { inbound: vec![inbound], ..Ready::default() });
    harness.settle();
}

pub fn following(epoch: i64) -> Standing {
    Standing::Following { leader: ServerId(2), epoch: Epoch(epoch) }
}

pub fn follower_with(options: ReplicaOptions) -> Harness {
    let mut harness = Harness::scripted(options);
    let epochs = Epochs::new(Epoch(1), Epoch(1));
    harness.decide(Ready { epochs: Some(epochs), ..Ready::default() });
    become_(&mut harness, following(1));
    harness
}

pub fn follower() -> Harness {
    follower_with(ReplicaOptions::default())
}

/// What the replica told its peer, without the lines that say up to which zxid the log is synced.
pub fn told(harness: &mut Harness) -> Vec<String> {
    let mut told = harness.peer().take_told();
    told.retain(|told| !told.starts_with("synced"));
    told
}

/// A client whose session the leader has created at `at`.
pub fn connect(harness: &mut Harness, at: Zxid) -> Client {
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    let told = told(harness);
    let [forwarded] = &told[..] else { panic!("one request was passed on: {told:?}") };
    let words: Vec<&str> = forwarded.split(' ').collect();
    assert_eq!((words[0], words[2], words[3]), ("forward", "0", "CreateSession"));
    let session = i64::from_str_radix(words[1].trim_start_matches("0x"), 16).unwrap();
    let session = SessionId(session);
    let body = TxnBody::CreateSession { timeout_ms: 10_000 };
    commit(harness, txn(at, session, 0, OpCode::CreateSession, &body));
    let response = harness.connect_response(conn);
    assert_eq!((response.session_id, response.timeout_ms), (session, 10_000));
    Client { conn, session, password: response.password }
}

fn xids(harness: &mut Harness, conn: ConnectionId) -> Vec<i32> {
    harness.replies(conn).iter().map(|reply| reply.xid).collect()
}

#[test]
fn a_session_begins_when_the_leaders_transaction_is_applied() {
    let mut harness = follower();
    let conn = harness.open();
    harness.send_connect(conn, new_session());
    harness.settle();
    assert_eq!(harness.take_frames(conn).len(), 0, "not before");
    told(&mut harness);
    let client = connect(&mut harness, zxid(1, 1));
    assert_eq!(client.session.0 >> 56, 1, "the id is one of this server's");
}

#[test]
fn a_write_is_answered_from_what_was_applied_and_reads_wait_behind_it() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    harness.send(client.conn, 2, OpCode::Exists, &watch("/a", false));
    assert_eq!(told(&mut harness), [format!("forward {} 1 Create", client.session)]);
    // Neither the same xid of another session nor another xid of this session is the answer that the client waits
    // for.
    commit(&mut harness, failed(zxid(1, 2), SessionId(99), 1, ErrorCode::NoNode));
    commit(&mut harness, failed(zxid(1, 3), client.session, 7, ErrorCode::SessionMoved));
    assert_eq!(harness.replies(client.conn), []);
    commit(&mut harness, created(zxid(1, 4), &client, 1, "/a"));
    let replies = harness.replies(client.conn);
    assert_eq!(replies.iter().map(|r| (r.xid, r.err)).collect::<Vec<_>>(), [(1, 0), (2, 0)]);
    assert_eq!(replies[0].zxid, zxid(1, 4).0);
    assert_eq!(replies[0].decode::<Option<&str>>(), Some("/a"));
}

#[test]
fn errors_of_the_leader_are_told_and_a_session_that_moved_is_cut_off() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, 1, OpCode::SetData, &set_data("/x", b"1", -1));
    commit(&mut harness, failed(zxid(1, 2), client.session, 1, ErrorCode::NoNode));
    assert_eq!(harness.errors(client.conn), [(1, -101)]);
    harness.send(client.conn, 2, OpCode::SetData, &set_data("/x", b"1", -1));
    commit(&mut harness, failed(zxid(1, 3), client.session, 2, ErrorCode::SessionMoved));
    assert_eq!(harness.replies(client.conn), [], "it is told nothing");
    assert!(harness.is_closed(client.conn));
}

#[test]
fn what_cannot_be_decoded_is_not_passed_on() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send_frame(client.conn, &[0, 0, 0, 1, 0, 0, 0, 1, 0xff]);
    assert_eq!(harness.errors(client.conn), [(1, ErrorCode::MarshallingError.code())]);
    assert_eq!(told(&mut harness), [] as [&str; 0]);
}

#[test]
fn syncs_are_answered_in_their_order_and_in_that_of_their_sessions() {
    let mut harness = follower();
    let one = connect(&mut harness, zxid(1, 1));
    let two = connect(&mut harness, zxid(1, 2));
    harness.send(one.conn, 1, OpCode::Create, &create("/a", b"", 0));
    harness.send(one.conn, 2, OpCode::Sync, &path("/a"));
    harness.send(one.conn, 3, OpCode::Exists, &watch("/a", false));
    harness.send(two.conn, 4, OpCode::Sync, &path("/"));
    inbound(&mut harness, Inbound::SyncDone);
    assert_eq!(xids(&mut harness, one.conn), [] as [i32; 0], "its own write comes before");
    inbound(&mut harness, Inbound::SyncDone);
    let replies = harness.replies(two.conn);
    assert_eq!((replies[0].xid, replies[0].err), (4, 0));
    assert_eq!(replies[0].decode::<Option<&str>>(), Some("/"));
    commit(&mut harness, created(zxid(1, 3), &one, 1, "/a"));
    assert_eq!(xids(&mut harness, one.conn), [1, 2, 3]);
    // The answer to a sync that nobody asked for does no harm.
    inbound(&mut harness, Inbound::SyncDone);
}

#[test]
fn beyond_a_number_one_sync_is_passed_on_for_all_that_wait() {
    let mut harness = follower();
    let (one, two) = (connect(&mut harness, zxid(1, 1)), connect(&mut harness, zxid(1, 2)));
    let few = i32::try_from(LEARNER_SYNCS_PASSED_MAX).unwrap();
    let many = few + 60;
    for xid in 1..=many {
        let client = if xid % 3 == 0 { two } else { one };
        harness.send(client.conn, xid, OpCode::Sync, &path("/"));
    }
    harness.send(one.conn, many + 1, OpCode::Exists, &watch("/", false));
    assert_eq!(told(&mut harness).len(), LEARNER_SYNCS_PASSED_MAX);
    inbound(&mut harness, Inbound::SyncDone);
    assert_eq!(xids(&mut harness, one.conn), [1]);
    assert_eq!(told(&mut harness), [format!("forward {} {many} Sync", one.session)]);
    for _ in 1..few {
        inbound(&mut harness, Inbound::SyncDone);
    }
    assert_eq!(told(&mut harness), [] as [&str; 0], "nothing has come meanwhile");
    let of = |rest: fn(i32) -> bool, range: std::ops::RangeInclusive<i32>| {
        range.filter(|xid| rest(xid % 3)).collect::<Vec<_>>()
    };
    assert_eq!(xids(&mut harness, one.conn), of(|rest| rest != 0, 2..=few));
    assert_eq!(xids(&mut harness, two.conn), of(|rest| rest == 0, 1..=few));
    // The connection that the passed sync belongs to ends, and the syncs of the other one are answered all the same.
    harness.close(one.conn);
    inbound(&mut harness, Inbound::SyncDone);
    assert_eq!(xids(&mut harness, two.conn), of(|rest| rest == 0, few + 1..=many));
    harness.send(two.conn, 5, OpCode::Sync, &path("/"));
    assert_eq!(told(&mut harness), [format!("forward {} 5 Sync", two.session)]);
    inbound(&mut harness, Inbound::SyncDone);
    assert_eq!(xids(&mut harness, two.conn), [5]);
}

#[test]
fn a_write_does_not_overtake_a_sync_that_waits_for_others() {
    let mut harness = follower();
    let (one, two) = (connect(&mut harness, zxid(1, 1)), connect(&mut harness, zxid(1, 2)));
    for xid in 1..=i32::try_from(LEARNER_SYNCS_PASSED_MAX).unwrap() + 10 {
        harness.send(one.conn, xid, OpCode::Sync, &path("/"));
    }
    harness.send(two.conn, 1, OpCode::Sync, &path("/"));
    told(&mut harness);
    harness.send(two.conn, 2, OpCode::Create, &create("/a", b"", 0));
    let (sync, write) =
        (format!("forward {} 1 Sync", two.session), format!("forward {} 2 Create", two.session));
    assert_eq!(told(&mut harness), [sync, write]);
    // One sync is enough, and a client that waits for no sync passes none on.
    harness.send(two.conn, 3, OpCode::Create, &create("/b", b"", 0));
    assert_eq!(told(&mut harness), [format!("forward {} 3 Create", two.session)]);
}

#[test]
fn what_a_master_leaves_out_takes_no_room_at_its_observer() {
    for is_gone in [false, true] {
        let mut harness = follower();
        let (moved, other) = (connect(&mut harness, zxid(1, 1)), connect(&mut harness, zxid(1, 2)));
        let data = vec![0; limits::PASSED_ON_HEAVY_BYTES_MAX / 2];
        for xid in 1..=3 {
            harness.send(moved.conn, xid, OpCode::Multi, &long_multi(&data));
        }
        if is_gone {
            harness.close(moved.conn);
        }
        told(&mut harness);
        harness.send(other.conn, 1, OpCode::Multi, &long_multi(&data));
        assert_eq!(told(&mut harness), Vec::<String>::new());
        inbound(&mut harness, Inbound::LeftOut { session: moved.session });
        assert!(is_gone || harness.is_closed(moved.conn), "its client is elsewhere");
        assert_eq!(told(&mut harness), [format!("forward {} 1 Multi", other.session)]);
    }
}

#[test]
fn a_session_is_closed_by_the_leaders_transaction() {
    let mut harness = follower();
    let one = connect(&mut harness, zxid(1, 1));
    let two = connect(&mut harness, zxid(1, 2));
    harness.send(one.conn, 9, OpCode::CloseSession, &RequestBody::Empty);
    assert_eq!(harness.replies(one.conn), []);
    let end = TxnBody::CloseSession { paths: None };
    commit(&mut harness, txn(zxid(1, 3), one.session, 9, OpCode::CloseSession, &end));
    assert_eq!(harness.errors(one.conn), [(9, 0)]);
    assert!(harness.is_closed(one.conn));
    // The second session expires.
    commit(&mut harness, txn(zxid(1, 4), two.session, 0, OpCode::CloseSession, &end));
    assert_eq!(harness.replies(two.conn), []);
    assert!(harness.is_closed(two.conn));
}

fn reopen(client: &Client) -> ConnectRequest<'_> {
    ConnectRequest { session_id: client.session, password: Some(&client.password), ..new_session() }
}

#[test]
fn a_session_is_taken_up_again_when_the_leader_says_that_it_is_alive() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    for valid in [true, false] {
        let conn = harness.open();
        harness.send_connect(conn, reopen(&client));
        harness.send(conn, 1, OpCode::Exists, &watch("/", false));
        let asked = format!("revalidate {} 10000", client.session);
        assert_eq!(told(&mut harness), [asked]);
        assert_eq!(harness.take_frames(conn).len(), 0);
        inbound(
            &mut harness,
            Inbound::Revalidated { session: client.session, valid, tenure: None },
        );
        let frames = harness.take_frames(conn);
        if valid {
            assert_eq!(frames.len(), 2, "the response, and the read that waited");
            assert!(harness.is_closed(client.conn), "the older connection is closed");
        } else {
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0][4..8], [0; 4], "the timeout says: expired");
            assert!(harness.is_closed(conn));
        }
    }
    let conn = harness.open();
    harness.send_connect(conn, ConnectRequest { password: Some(&[1; 16]), ..reopen(&client) });
    assert_eq!(told(&mut harness), [] as [&str; 0], "a wrong password is not worth a question");
    assert!(harness.is_closed(conn));
    // An answer to a question that nobody asked.
    inbound(
        &mut harness,
        Inbound::Revalidated { session: client.session, valid: true, tenure: None },
    );
}

#[test]
fn nothing_of_a_connection_is_passed_on_behind_the_question_of_a_later_one() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    let conns = [(); 2].map(|()| {
        let conn = harness.open();
        harness.send_connect(conn, reopen(&client));
        harness.send(conn, 6, OpCode::Create, &create("/b", b"", 0));
        assert_eq!(told(&mut harness), [format!("revalidate {} 10000", client.session)]);
        conn
    });
    // The last bytes of the client's old connection arrive late.
    harness.send(client.conn, 5, OpCode::Create, &create("/a", b"", 0));
    assert!(harness.is_closed(client.conn), "its client has left it");
    let answer = Inbound::Revalidated { session: client.session, valid: true, tenure: None };
    inbound(&mut harness, answer.clone());
    assert!(harness.is_closed(conns[0]), "and the next one as well");
    assert_eq!(told(&mut harness), [] as [&str; 0]);
    inbound(&mut harness, answer);
    assert_eq!(told(&mut harness), [format!("forward {} 6 Create", client.session)]);
}

/// Ends the client's connection, opens another one for the same session, and gives it.
fn moves_to_a_new_connection(harness: &mut Harness, client: &Client) -> ConnectionId {
    harness.close(client.conn);
    let conn = harness.open();
    harness.send_connect(conn, reopen(client));
    let session = client.session;
    inbound(harness, Inbound::Revalidated { session, valid: true, tenure: None });
    harness.take_frames(conn);
    conn
}

#[test]
fn a_read_on_a_new_connection_comes_after_what_the_session_wrote_on_the_old_one() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, 5, OpCode::Create, &create("/a", b"", 0));
    let conn = moves_to_a_new_connection(&mut harness, &client);
    harness.send(conn, 1, OpCode::Exists, &watch("/a", false));
    assert_eq!(harness.replies(conn), []);
    commit(&mut harness, created(zxid(1, 2), &client, 5, "/a"));
    assert_eq!(harness.errors(conn), [(1, 0)], "it sees the node, and no reply of the other one");
}

/// The leader is Apache ZooKeeper: nothing tells the follower when this connection got its session.
#[test]
fn what_an_earlier_connection_asked_for_with_the_same_xid_is_not_an_answer() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    commit(&mut harness, created(zxid(1, 2), &client, 0, "/a"));
    let conn = moves_to_a_new_connection(&mut harness, &client);
    harness.send(conn, 1, OpCode::Create, &create("/a/b", b"", 0));
    // The client had asked another server for these, and had left that server without an answer.
    let body = TxnBody::SetData(SetDataTxn { path: Some("/a"), data: Some(b"1"), version: 1 });
    commit(&mut harness, txn(zxid(1, 3), client.session, 1, OpCode::SetData, &body));
    commit(&mut harness, created(zxid(1, 4), &client, 1, "/c"));
    assert_eq!(harness.replies(conn), []);
    commit(&mut harness, created(zxid(1, 5), &client, 1, "/a/b"));
    let replies = harness.replies(conn);
    assert_eq!(replies.iter().map(|r| (r.xid, r.zxid)).collect::<Vec<_>>(), [(1, zxid(1, 5).0)]);
}

#[test]
fn the_leader_hears_of_the_sessions_that_were_heard_of() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.send(client.conn, -2, OpCode::Ping, &RequestBody::Empty);
    inbound(&mut harness, Inbound::Ping { zxid: zxid(1, 1) });
    let answer = format!("answer ping {} [({:?}, 10000)]", zxid(1, 1), client.session);
    assert_eq!(told(&mut harness), [answer]);
    inbound(&mut harness, Inbound::Ping { zxid: zxid(1, 1) });
    assert_eq!(told(&mut harness), [format!("answer ping {} []", zxid(1, 1))]);
}

#[test]
fn sessions_that_fit_no_packet_with_the_others_are_named_in_the_next() {
    let options =
        ReplicaOptions { frame_bytes_max: 20, txn_extra_bytes_max: 4, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    let clients: Vec<Client> = (1..=3).map(|at| connect(&mut harness, zxid(1, at))).collect();
    for client in &clients {
        harness.send(client.conn, -2, OpCode::Ping, &RequestBody::Empty);
    }
    let mut named = Vec::new();
    for sessions in [2, 1, 0] {
        inbound(&mut harness, Inbound::Ping { zxid: zxid(1, 3) });
        let told = told(&mut harness).concat();
        assert_eq!(told.matches(", 10000)").count(), sessions, "{told}");
        named.push(told);
    }
    let named = named.concat();
    // All three clients send pings all the time, and each session gets its turn in the packets.
    let mut again = String::new();
    for _ in 0..2 {
        for client in &clients {
            harness.send(client.conn, -2, OpCode::Ping, &RequestBody::Empty);
        }
        inbound(&mut harness, Inbound::Ping { zxid: zxid(1, 3) });
        again.push_str(&told(&mut harness).concat());
    }
    assert!(clients.iter().all(|client| again.contains(&format!("{:?}", client.session))));
    assert!(clients.iter().all(|client| named.contains(&format!("{:?}", client.session))));
}

#[test]
fn a_watch_on_a_learner_fires_for_what_others_write() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    harness.call(client.conn, 1, OpCode::Exists, &watch("/a", true));
    let other = Client { session: SessionId(77), ..client };
    commit(&mut harness, created(zxid(1, 2), &other, 1, "/a"));
    let replies = harness.replies(client.conn);
    assert_eq!(replies.len(), 1);
    assert_eq!(replies[0].event(), (1, "/a".to_owned()));
}

#[test]
fn a_local_session_needs_nobody_until_it_wants_an_ephemeral_node() {
    let options = ReplicaOptions {
        local_sessions: true,
        local_sessions_upgrading: true,
        ..ReplicaOptions::default()
    };
    let mut harness = follower_with(options);
    let client = harness.connect();
    assert_eq!(told(&mut harness), [] as [&str; 0]);
    assert_eq!(harness.replica.local_sessions_count(), 1);
    let session = client.session;
    harness.send(client.conn, 1, OpCode::Create, &create("/e", b"", 1));
    let expected =
        [format!("forward {session} 0 CreateSession"), format!("forward {session} 1 Create")];
    assert_eq!(told(&mut harness), expected);
    let body = TxnBody::CreateSession { timeout_ms: 10_000 };
    commit(&mut harness, txn(zxid(1, 1), session, 0, OpCode::CreateSession, &body));
    assert_eq!(harness.replies(client.conn), []);
    commit(&mut harness, created(zxid(1, 2), &client, 1, "/e"));
    assert_eq!(harness.errors(client.conn), [(1, 0)]);
    assert_eq!(harness.replica.local_sessions_count(), 0);
}

#[test]
fn a_local_session_that_may_not_become_global_is_refused_its_ephemeral_node() {
    let options = ReplicaOptions { local_sessions: true, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    let client = harness.connect();
    harness.send(client.conn, 1, OpCode::Create, &create("/e", b"", 1));
    commit(&mut harness, failed(zxid(1, 1), client.session, 1, ErrorCode::SessionExpired));
    assert_eq!(harness.errors(client.conn), [(1, ErrorCode::EphemeralOnLocalSession.code())]);
    harness.send(client.conn, 2, OpCode::CloseSession, &RequestBody::Empty);
    assert_eq!(harness.errors(client.conn), [(2, 0)]);
    assert!(harness.is_closed(client.conn));
    assert_eq!(harness.replica.local_sessions_count(), 0);
}

#[test]
fn a_local_session_expires_where_it_lives() {
    let options = ReplicaOptions { local_sessions: true, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    let client = harness.connect();
    assert!(harness.replica.next_timeout().is_some());
    harness.advance_ms(20_000);
    assert!(harness.is_closed(client.conn));
    assert_eq!(harness.replica.local_sessions_count(), 0);
}

/// A leader that was elected with forged votes may commit anything, and the next leader sends its transactions to
/// the servers that were not there.
#[test]
fn a_committed_transaction_that_does_not_fit_ends_no_learner() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    let other = Client { session: SessionId(99), ..connect(&mut harness, zxid(1, 2)) };
    commit(&mut harness, created(zxid(1, 3), &other, 1, "/a"));
    let data = TxnBody::SetData(SetDataTxn { path: Some("/gone"), data: Some(b"x"), version: 1 });
    commit(&mut harness, txn(zxid(1, 4), other.session, 2, OpCode::SetData, &data));
    commit(&mut harness, created(zxid(1, 5), &other, 3, "/gone/b"));
    commit(&mut harness, created(zxid(1, 6), &other, 4, "/a/b"));
    // The server applies what came behind that transaction, and serves its client.
    harness.send(client.conn, 1, OpCode::Exists, &watch("/a/b", false));
    harness.settle();
    assert_eq!(harness.errors(client.conn), [(1, 0)]);
}

/// A multi, which a leader carries out in the line of heavy requests.
pub fn long_multi(data: &[u8]) -> RequestBody<'_> {
    match set_data("/", data, -1) {
        RequestBody::SetData(request) => RequestBody::Multi(vec![MultiOp::SetData(request)]),
        _ => unreachable!("it is a setData"),
    }
}

#[test]
fn long_writes_wait_at_the_learner_and_short_ones_are_passed_on() {
    let mut harness = follower();
    let clients: Vec<Client> = (1..=3).map(|n| connect(&mut harness, zxid(1, n))).collect();
    let [long, short, other] = &clients[..] else { unreachable!("there are three") };
    let data = vec![0; limits::PASSED_ON_HEAVY_BYTES_MAX / 5];
    for xid in 1..=8 {
        harness.send(long.conn, xid, OpCode::Multi, &long_multi(&data));
    }
    let passed = |xid: i32| format!("forward {} {xid} Multi", long.session);
    assert_eq!(told(&mut harness), (1..=5).map(passed).collect::<Vec<_>>());
    harness.send(short.conn, 1, OpCode::Create, &create("/a", b"", 0));
    assert_eq!(told(&mut harness), [format!("forward {} 1 Create", short.session)]);
    commit(&mut harness, failed(zxid(1, 4), long.session, 1, ErrorCode::NoNode));
    assert_eq!(told(&mut harness), [passed(6)]);
    // Room does not come back when the client leaves, because the leader has the requests.
    harness.close(long.conn);
    harness.send(other.conn, 1, OpCode::Multi, &long_multi(&data));
    assert_eq!(told(&mut harness), Vec::<String>::new());
    commit(&mut harness, failed(zxid(1, 5), long.session, 2, ErrorCode::NoNode));
    assert_eq!(told(&mut harness), [format!("forward {} 1 Multi", other.session)]);
    // Requests for which no session waits any more take no room.
    commit(
        &mut harness,
        txn(
            zxid(1, 6),
            long.session,
            0,
            OpCode::CloseSession,
            &TxnBody::CloseSession { paths: None },
        ),
    );
    for xid in 2..=6 {
        harness.send(other.conn, xid, OpCode::Multi, &long_multi(&data));
    }
    let passed: Vec<String> =
        (2..=5).map(|xid| format!("forward {} {xid} Multi", other.session)).collect();
    assert_eq!(told(&mut harness), passed);
}

#[test]
fn a_client_may_say_who_it_is_while_writes_wait_at_the_learner() {
    let mut harness = follower();
    let clients: Vec<Client> = (1..=2).map(|n| connect(&mut harness, zxid(1, n))).collect();
    let [flood, other] = &clients[..] else { unreachable!("there are two") };
    for xid in 1..=i32::try_from(limits::PASSED_ON_REQUESTS_MAX).unwrap() + 1 {
        harness.send(flood.conn, xid, OpCode::SetData, &set_data("/a", b"", -1));
    }
    assert_eq!(told(&mut harness).len(), limits::PASSED_ON_REQUESTS_MAX, "one waits");
    harness.send(other.conn, -4, OpCode::Auth, &auth("digest", b"bob:secret"));
    assert_eq!(harness.errors(other.conn), [(-4, 0)]);
    harness.send(other.conn, 1, OpCode::SetData, &set_data("/a", b"", -1));
    assert_eq!(told(&mut harness), Vec::<String>::new());
    commit(&mut harness, failed(zxid(1, 3), flood.session, 1, ErrorCode::NoNode));
    assert_eq!(told(&mut harness).len(), 1, "there is room for one");
}

#[test]
fn identities_that_are_passed_on_with_each_request_take_room_and_go_with_no_sync() {
    let mut harness = follower();
    let client = connect(&mut harness, zxid(1, 1));
    let name = [vec![b'u'; 60_000], b":secret".to_vec()].concat();
    harness.send(client.conn, -4, OpCode::Auth, &auth("digest", &name));
    assert_eq!(harness.errors(client.conn), [(-4, 0)]);
    harness.send(client.conn, 1, OpCode::Sync, &path("/"));
    assert_eq!(told(&mut harness).len(), 1);
    for xid in 2..=200 {
        harness.send(client.conn, xid, OpCode::SetData, &set_data("/a", b"", -1));
    }
    let passed = told(&mut harness).len();
    assert_eq!(passed, 1 + limits::PASSED_ON_BYTES_MAX / 60_000);
}

/// The answers of a leader come in groups. Each group may free as much room as one client has requests under way.
#[test]
fn who_asks_for_more_than_may_be_passed_on_does_not_keep_others_out() {
    // In one visit, a client may use all the room that there is.
    let options = ReplicaOptions { turn_work_units: 20_000, ..ReplicaOptions::default() };
    let mut harness = follower_with(options);
    let clients: Vec<Client> = (1..=2).map(|n| connect(&mut harness, zxid(1, n))).collect();
    let [flood, other] = &clients[..] else { unreachable!("there are two") };
    let max = i32::try_from(limits::PASSED_ON_REQUESTS_MAX).unwrap();
    for xid in 1..=4 * max {
        harness.send(flood.conn, xid, OpCode::SetData, &set_data("/a", b"", -1));
    }
    harness.send(other.conn, 1, OpCode::SetData, &set_data("/a", b"", -1));
    assert_eq!(told(&mut harness).len(), limits::PASSED_ON_REQUESTS_MAX);
    let theirs = format!("forward {} 1 SetData", other.session);
    let mut done = 0;
    for round in 1..3 {
        let group = (1..=max).map(|n| {
            let at = zxid(1, u32::try_from(2 + done + n).unwrap());
            failed(at, flood.session, done + n, ErrorCode::NoNode)
        });
        let commit = group.collect();
        harness.decide(Ready { commit, ..Ready::default() });
        done += max;
        harness.turn();
        if told(&mut harness).contains(&theirs) {
            return;
        }
        assert!(round < 2, "it waits though there was room for {done} others");
    }
}
