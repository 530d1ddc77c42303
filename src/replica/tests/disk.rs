//! Groups, snapshots, a full disk and a broken one.

use super::harness::*;
use crate::error::ErrorCode;
use crate::io::{Completion, IoFailure, IoFailureKind, Op};
use crate::jute::Jute;
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::request::RequestBody;
use crate::replica::ReplicaOptions;

/// A harness whose log has little room: one segment holds a few large writes. One turn takes everything that comes
/// in one moment.
fn small_log() -> Harness {
    let options = ReplicaOptions { turn_work_units: 1_000_000, ..ReplicaOptions::default() };
    let mut h = Harness::with(options);
    let client = h.connect();
    assert_eq!(h.create(&client, "/p", 0).err, 0);
    h
}

#[test]
fn writes_of_one_turn_go_to_the_log_in_one_write() {
    let mut h = Harness::new();
    let clients: Vec<_> = (0..5).map(|_| h.connect()).collect();
    let groups = h.replica.stats().groups_synced;
    for client in &clients {
        h.send(client.conn, 1, OpCode::Create, &create("/n", b"", 2));
    }
    h.settle();
    // The first write makes a group of its own; the others gather in a second group while the first is being
    // written.
    assert_eq!(h.replica.stats().groups_synced - groups, 2);
}

#[test]
fn a_snapshot_is_written_after_so_many_transactions_while_writes_go_on() {
    let mut options = ReplicaOptions::default();
    options.txnlog.snap_count = 20;
    let mut h = Harness::with(options);
    let client = h.connect();
    let before = h.replica.stats().snapshots_written;
    assert_eq!(before, 1, "one is written at the start");
    for _ in 0..100 {
        assert_eq!(h.create(&client, "/n", 2).err, 0);
    }
    let written = h.replica.stats().snapshots_written - before;
    assert!((4..=10).contains(&written), "{written} snapshots");
    assert_eq!(h.replica.stats().snapshot_errors, 0);
}

/// Fills the log until the server refuses a write, and gives the number of accepted writes.
pub(super) fn fill(h: &mut Harness, client: &Client) -> usize {
    let data = vec![7; 700_000];
    for count in 0..100 {
        let reply = h.call(client.conn, 1, OpCode::Create, &create("/p/n", &data, 2));
        if reply.err != 0 {
            assert_eq!(reply.err, ErrorCode::SystemError.code());
            return count;
        }
    }
    panic!("the disk never became full");
}

#[test]
fn a_full_disk_refuses_writes_and_answers_reads() {
    let mut h = small_log();
    h.disk_full = true;
    let client = h.connect();
    let accepted = fill(&mut h, &client);
    assert!(accepted > 0, "there was room in the segments prepared before");
    assert!(h.replica.service.pipeline.is_disk_full());
    let zxid = h.last_zxid();
    assert_eq!(h.create(&client, "/x", 0).err, ErrorCode::SystemError.code());
    assert_eq!(h.last_zxid(), zxid, "a refused write uses up no zxid");
    assert_eq!(h.call(client.conn, 2, OpCode::GetData, &watch("/p", false)).err, 0);
    // The disk has room again.
    h.disk_full = false;
    h.advance_ms(1000);
    assert!(!h.replica.service.pipeline.is_disk_full());
    assert_eq!(h.create(&client, "/x", 0).err, 0);
    assert_eq!(h.last_zxid(), zxid + 1);
    assert_eq!(h.replica.database().node("/p").unwrap().num_children(), accepted);
}

#[test]
fn room_that_was_missing_for_a_while_is_found_before_a_write_needs_it() {
    let data = vec![7; 700_000];
    let write = |h: &mut Harness, client: &Client| {
        h.call(client.conn, 1, OpCode::Create, &create("/p/n", &data, 2)).err
    };
    let mut h = small_log();
    h.disk_full = true;
    let client = h.connect();
    let accepted = fill(&mut h, &client);
    let mut h = small_log();
    h.disk_full = true;
    let client = h.connect();
    for _ in 0..accepted {
        assert_eq!(write(&mut h, &client), 0);
    }
    // The next segment could not be prepared, and nobody has asked for it yet.
    assert!(!h.replica.service.pipeline.is_disk_full());
    h.disk_full = false;
    h.advance_ms(1000);
    assert_eq!(write(&mut h, &client), 0);
}

/// A server whose disk is full, and the client that filled it.
fn filled() -> (Harness, Client) {
    let mut h = small_log();
    h.disk_full = true;
    let filler = h.connect();
    fill(&mut h, &filler);
    (h, filler)
}

fn close_session(h: &mut Harness, client: &Client) -> i32 {
    h.call(client.conn, 9, OpCode::CloseSession, &RequestBody::Empty).err
}

fn is_logged(h: &Harness, client: &Client) -> bool {
    h.replica.database().session_timeout(client.session).is_some()
}

#[test]
fn a_full_disk_lets_new_sessions_in_and_logs_them_when_there_is_room() {
    let refused = ErrorCode::SystemError.code();
    let (mut h, filler) = filled();
    let zxid = h.last_zxid();
    let clients: Vec<_> = (0..4).map(|_| h.connect()).collect();
    for client in &clients {
        assert_eq!(h.call(client.conn, 1, OpCode::GetData, &watch("/p", true)).err, 0);
        assert_eq!(h.create(client, "/e", 1).err, refused);
        assert_eq!(h.create(client, "/n", 0).err, refused);
    }
    // Such a session ends, moves and expires like every other one, without the disk.
    assert_eq!(close_session(&mut h, &clients[0]), 0);
    let again = ConnectRequest {
        session_id: clients[1].session,
        password: Some(&clients[1].password),
        ..new_session()
    };
    let conn = h.open();
    h.send_connect(conn, again);
    assert_eq!(h.connect_response(conn).session_id, clients[1].session);
    assert!(h.is_closed(clients[1].conn));
    for _ in 0..3 {
        h.advance_ms(5000);
        for conn in [conn, clients[3].conn, filler.conn] {
            h.call(conn, -2, OpCode::Ping, &RequestBody::Empty);
        }
    }
    assert!(h.is_closed(clients[2].conn) && !h.is_closed(conn));
    assert_eq!(h.last_zxid(), zxid);
    assert!(h.replica.service.pipeline.is_disk_full());
    // Of the two sessions that still live, one writes at the moment at which the disk has room, and one never
    // writes.
    h.disk_full = false;
    h.advance_ms(1000);
    assert_eq!(h.create(&clients[3], "/e", 1).err, 0);
    let moved = Client { conn, ..clients[1] };
    assert!(is_logged(&h, &moved) && is_logged(&h, &clients[3]));
    assert!(!is_logged(&h, &clients[0]) && !is_logged(&h, &clients[2]));
    assert_eq!(h.replica.local_sessions_count(), 0);
    h.crash();
    assert!(is_logged(&h, &moved) && is_logged(&h, &clients[3]));
    let stat = h.replica.database().node("/e").unwrap().stat();
    assert_eq!(stat.ephemeral_owner, clients[3].session.0);
}

#[test]
fn a_session_that_finds_no_room_a_second_time_goes_on_reading() {
    let refused = ErrorCode::SystemError.code();
    let (mut h, filler) = filled();
    let zxid = h.last_zxid();
    // More sessions than the server logs in one turn.
    let clients: Vec<_> = (0..250).map(|_| h.connect()).collect();
    // The disk has room for one segment, which writes of another client fill in the same moment.
    h.disk_full = false;
    h.now.mono = h.now.mono.plus_ms(1000);
    h.replica.handle_timeout(h.now);
    h.turn();
    h.do_op();
    h.disk_full = true;
    assert!(!h.replica.service.pipeline.is_disk_full());
    // The writes are short, because the server proposes only a few long ones together.
    let data = vec![7; 3500];
    for xid in 0..4500 {
        h.send(filler.conn, xid, OpCode::Create, &create("/p/n", &data, 2));
    }
    h.advance_ms(0);
    assert!(h.replica.service.pipeline.is_disk_full());
    let (logged, left): (Vec<_>, Vec<_>) = clients.iter().partition(|client| is_logged(&h, client));
    assert_eq!((logged.len(), left.len()), (200, 50));
    assert_eq!(h.replica.local_sessions_count(), 50);
    assert!(h.last_zxid() > zxid + 200);
    for client in &clients {
        assert_eq!(h.call(client.conn, 1, OpCode::GetData, &watch("/p", false)).err, 0);
    }
    assert_eq!(close_session(&mut h, logged[0]), refused, "its end needs room");
    assert_eq!(close_session(&mut h, left[0]), 0, "its end needs none");
    h.disk_full = false;
    h.advance_ms(1000);
    assert_eq!(h.replica.local_sessions_count(), 0);
    h.crash();
    assert!(left[1..].iter().chain(&logged).all(|client| is_logged(&h, client)));
    assert!(!is_logged(&h, left[0]));
}

#[test]
fn what_was_on_its_way_to_a_full_disk_is_taken_back_in_order() {
    let mut h = small_log();
    h.disk_full = true;
    let clients: Vec<_> = (0..4).map(|_| h.connect()).collect();
    let data = vec![7; 300_000];
    // Many writes come at once, more than the disk has room for, with reads, sessions and ephemerals between them.
    for round in 0..40 {
        for client in &clients {
            h.send(client.conn, round, OpCode::Create, &create("/p/n", &data, 3));
            h.send(client.conn, 1000 + round, OpCode::Exists, &watch("/p", false));
        }
    }
    let late = h.open();
    h.send_connect(late, new_session());
    h.send(clients[3].conn, 5000, OpCode::CloseSession, &RequestBody::Empty);
    h.settle();
    assert!(h.replica.service.pipeline.is_disk_full());
    assert_ne!(h.connect_response(late).timeout_ms, 0, "to read, no room is needed");
    let refused = ErrorCode::SystemError.code();
    let mut accepted = 0;
    for client in &clients {
        let replies = h.replies(client.conn);
        let expected: Vec<i32> = (0..40).flat_map(|round| [round, 1000 + round]).collect();
        let xids: Vec<i32> =
            replies.iter().map(|reply| reply.xid).filter(|xid| *xid != 5000).collect();
        assert_eq!(xids, expected, "every request is answered, in order");
        for reply in replies.iter().filter(|reply| reply.xid < 1000) {
            assert!(reply.err == 0 || reply.err == refused);
            accepted += usize::from(reply.err == 0);
        }
    }
    assert!(accepted > 0 && accepted < 160);
    assert_eq!(h.replica.database().node("/p").unwrap().num_children(), accepted);
    // With room again, the session whose end was refused still exists, and sequence numbers go on without a gap.
    h.disk_full = false;
    h.advance_ms(1000);
    assert_eq!(h.create(&clients[3], "/after", 1).err, 0);
    let reply = h.create(&clients[0], "/p/n", 2);
    let name = format!("/p/n{accepted:010}");
    assert_eq!(reply.decode::<Option<&str>>(), Some(name.as_str()));
}

/// What once went wrong:
///
/// 1. A write got a zxid. A sync waited for the write, or a refused request, or a client that reopened its session.
/// 2. The server took the write back, because the disk was full.
/// 3. The request that waited for the zxid was answered only when the disk had room and somebody wrote.
#[test]
fn nobody_waits_for_what_a_full_disk_had_no_room_for() {
    let refused = ErrorCode::SystemError.code();
    let data = vec![7; 700_000];
    // What waits for the write that is taken back: 0 a sync, 1 a refused request, 2 the next connection of the
    // session.
    for waits in 0..3 {
        let mut h = small_log();
        h.disk_full = true;
        let (filler, other) = (h.connect(), h.connect());
        let mut at = other.conn;
        for round in 1.. {
            assert!(round < 50, "the disk never became full");
            let write = create("/p/n", &data, 2);
            match waits {
                0 => {
                    h.send_with_next(filler.conn, round, OpCode::Create, &write);
                    h.send_with_next(at, round, OpCode::Sync, &path("/p"));
                }
                1 => {
                    h.send_with_next(filler.conn, round, OpCode::Create, &write);
                    let header = [0, 0, 0, 9, 0, 0, 0, round.to_be_bytes()[3], 0, 0, 0, 1, 0xff];
                    h.replica.handle_frames(h.now, at, &header);
                }
                _ => {
                    h.send_with_next(at, round, OpCode::Create, &write);
                    let again = ConnectRequest {
                        session_id: other.session,
                        password: Some(&other.password),
                        ..new_session()
                    };
                    at = h.open();
                    let mut frame = again.to_bytes();
                    frame.splice(0..0, u32::try_from(frame.len()).unwrap().to_be_bytes());
                    h.replica.handle_frames(h.now, at, &frame);
                }
            }
            h.send(at, round, OpCode::GetData, &watch("/p", false));
            h.settle();
            let frames = h.take_frames(at);
            assert_eq!(frames.len(), 2, "{waits}, round {round}: it waits");
            if h.replica.service.pipeline.is_disk_full() {
                break;
            }
            assert!(!h.errors(filler.conn).contains(&(round, refused)));
        }
    }
}

#[test]
fn a_failed_write_of_the_log_stops_the_server_before_it_answers() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    let at = h.ops.iter().position(|op| matches!(op, Op::LogWrite { .. })).unwrap();
    let token = h.ops.remove(at).unwrap().token();
    let text = "write log.1: input/output error".to_owned();
    let result = Err(IoFailure { kind: IoFailureKind::Other, text });
    h.replica.handle_completion(h.now, Completion { token, result });
    h.turn();
    assert!(h.fatal.as_ref().unwrap().reason.contains("input/output error"));
    h.send(client.conn, 2, OpCode::Create, &create("/b", b"", 0));
    h.settle();
    assert!(h.replies(client.conn).is_empty());
}
