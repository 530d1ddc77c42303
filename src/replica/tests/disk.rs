//! Groups, snapshots, a full disk and a broken one.

use super::harness::*;
use crate::error::ErrorCode;
use crate::io::{Completion, IoFailure, IoFailureKind, Op};
use crate::proto::OpCode;
use crate::proto::request::RequestBody;
use crate::replica::ReplicaOptions;

/// A harness whose log has room for little: one segment holds a few large writes.
fn small_log() -> Harness {
    let mut h = Harness::new();
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
    // The first is on its way alone, the others while it is being written.
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

/// Fills the log until a write is refused; how many were accepted.
fn fill(h: &mut Harness, client: &Client) -> usize {
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
    assert!(h.replica.is_disk_full());
    let zxid = h.last_zxid();
    assert_eq!(h.create(&client, "/x", 0).err, ErrorCode::SystemError.code());
    assert_eq!(h.last_zxid(), zxid, "a refused write uses up no zxid");
    assert_eq!(h.call(client.conn, 2, OpCode::GetData, &watch("/p", false)).err, 0);
    // No new session either.
    let conn = h.open();
    h.send_connect(conn, new_session());
    h.settle();
    assert!(h.is_closed(conn));
    // Room again.
    h.disk_full = false;
    h.advance_ms(1000);
    assert!(!h.replica.is_disk_full());
    assert_eq!(h.create(&client, "/x", 0).err, 0);
    assert_eq!(h.last_zxid(), zxid + 1);
    assert_eq!(h.replica.database().node("/p").unwrap().num_children(), accepted);
}

#[test]
fn what_was_on_its_way_to_a_full_disk_is_taken_back_in_order() {
    let mut h = small_log();
    h.disk_full = true;
    let clients: Vec<_> = (0..4).map(|_| h.connect()).collect();
    let data = vec![7; 300_000];
    // Many at once, more than there is room for, with reads, sessions and ephemerals between.
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
    assert!(h.replica.is_disk_full() && h.is_closed(late));
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
    // Room again: the session whose end was refused is there, numbers go on without a gap.
    h.disk_full = false;
    h.advance_ms(1000);
    assert_eq!(h.create(&clients[3], "/after", 1).err, 0);
    let reply = h.create(&clients[0], "/p/n", 2);
    let name = format!("/p/n{accepted:010}");
    assert_eq!(reply.decode::<Option<&str>>(), Some(name.as_str()));
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
    assert!(h.fatal.as_ref().unwrap().contains("input/output error"));
    h.send(client.conn, 2, OpCode::Create, &create("/b", b"", 0));
    h.settle();
    assert!(h.replies(client.conn).is_empty());
}
