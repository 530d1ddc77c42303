//! Clients that ask faster than they read, that read nothing, and that send nothing more.

use super::forwarding::{become_, connect, follower};
use super::harness::{Client, Harness, create, new_session, set_data, watch};
use crate::jute::{Jute, VectorBuf};
use crate::proto::connect::ConnectRequest;
use crate::proto::request::{AuthPacket, PathRequest, RequestBody, RequestHeader, SetAclRequest};
use crate::proto::{AclEntry, Id, OpCode};
use crate::replica::ReplicaOptions;
use crate::zab::Standing;

static LARGE: [u8; 300_000] = [7; 300_000];

/// A client that reads no replies, and a node whose data is longer than the output that may wait for a client.
fn slow_reader() -> (Harness, Client) {
    let options = ReplicaOptions {
        output_pause_bytes: 100_000,
        connection_output_bytes_max: 200_000,
        ..ReplicaOptions::default()
    };
    let mut h = Harness::with(options);
    let client = h.connect();
    assert_eq!(h.call(client.conn, 1, OpCode::Create, &create("/a", &LARGE, 0)).err, 0);
    h.reads = false;
    (h, client)
}

#[test]
fn a_client_that_asks_faster_than_it_reads_waits_and_gets_everything() {
    let (mut h, client) = slow_reader();
    for xid in 2..22 {
        h.send(client.conn, xid, OpCode::GetData, &watch("/a", false));
    }
    for xid in 2..22 {
        assert_eq!(h.errors(client.conn), [(xid, 0)], "one reply, however long");
        h.read_all();
    }
    // Another client is served meanwhile. The slow client's own short requests are served once it has read.
    h.send(client.conn, 22, OpCode::Exists, &watch("/a", false));
    assert_eq!(h.errors(client.conn), [(22, 0)]);
    assert!(!h.is_closed(client.conn));
    assert_eq!(h.replica.requests_outstanding(), 0);
}

#[test]
fn reads_behind_a_write_are_weighed_before_they_are_taken() {
    let (mut h, client) = slow_reader();
    h.send(client.conn, 2, OpCode::SetData, &set_data("/a", &LARGE, -1));
    for xid in 3..10 {
        h.send(client.conn, xid, OpCode::GetData, &watch("/a", false));
    }
    h.send(client.conn, 10, OpCode::SetData, &set_data("/a", b"small", -1));
    h.settle();
    assert_eq!(h.errors(client.conn), [(2, 0), (3, 0)]);
    for xid in 4..10 {
        h.read_all();
        assert_eq!(h.errors(client.conn), [(xid, 0)]);
    }
    h.read_all();
    h.settle();
    assert_eq!(h.errors(client.conn), [(10, 0)]);
}

#[test]
fn reads_whose_nodes_grow_while_they_wait_are_answered_as_their_client_reads() {
    let (mut h, client) = slow_reader();
    let small = set_data("/a", b"small", -1);
    h.send(client.conn, 2, OpCode::SetData, &small);
    h.settle();
    assert_eq!(h.errors(client.conn), [(2, 0)]);
    // While the first write is under way, the node is still short, so the replica takes the reads as cheap ones. The
    // reads must not see the last write.
    h.send(client.conn, 3, OpCode::SetData, &set_data("/a", &LARGE, -1));
    for xid in 4..20 {
        h.send(client.conn, xid, OpCode::GetData, &watch("/a", false));
    }
    h.send(client.conn, 20, OpCode::SetData, &small);
    h.send(client.conn, 21, OpCode::GetData, &watch("/a", false));
    h.settle();
    let mut length = Vec::new();
    for round in 0..20 {
        let replies = h.replies(client.conn);
        assert!(replies.len() <= 2, "round {round}: {} replies", replies.len());
        for reply in &replies {
            length.push((reply.xid, reply.err, reply.body.len() / 1000));
        }
        h.read_all();
        h.settle();
    }
    let large = (4..20).map(|xid| (xid, 0, 300));
    let expected: Vec<_> =
        [(3, 0, 0)].into_iter().chain(large).chain([(20, 0, 0), (21, 0, 0)]).collect();
    assert_eq!(length, expected);
    assert!(!h.is_closed(client.conn));
    assert_eq!(h.replica.requests_outstanding(), 0);
}

#[test]
fn a_session_whose_client_reads_slowly_lives_on() {
    let (mut h, client) = slow_reader();
    for xid in 2..22 {
        h.send(client.conn, xid, OpCode::GetData, &watch("/a", false));
    }
    for _ in 0..20 {
        h.advance_ms(5000);
        h.send(client.conn, -2, OpCode::Ping, &RequestBody::Empty);
    }
    assert!(!h.is_closed(client.conn));
    h.advance_ms(60_000);
    assert!(h.is_closed(client.conn));
}

/// Makes the watcher get some 84 kB of events in one turn.
fn fire(h: &mut Harness, watcher: &Client, writer: &Client, round: i32) {
    let paths: Vec<String> = (0..600).map(|n| format!("/{:0>100}-{round}", n)).collect();
    for path in &paths {
        h.send(watcher.conn, 1, OpCode::Exists, &watch(path, true));
    }
    let op = OpCode::Create;
    for path in &paths {
        let mut payload = RequestHeader { xid: 2, op: op.number() }.to_bytes();
        create(path, b"", 0).encode(op, &mut payload);
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(payload);
        h.replica.handle_frames(h.now, writer.conn, &frame);
    }
    h.settle();
}

#[test]
fn events_that_were_read_count_no_more_although_there_is_always_something_unread() {
    let options =
        ReplicaOptions { connection_output_bytes_max: 200_000, ..ReplicaOptions::default() };
    let mut h = Harness::with(options);
    let (watcher, writer) = (h.connect(), h.connect());
    h.reads = false;
    for round in 0..6 {
        fire(&mut h, &watcher, &writer, round);
        while h.unread_pieces(watcher.conn) > 1 {
            h.read_oldest(watcher.conn);
        }
        assert!(!h.is_closed(watcher.conn) && h.unread_pieces(watcher.conn) == 1, "round {round}");
    }
}

#[test]
fn a_client_that_does_not_read_its_events_is_closed() {
    let options =
        ReplicaOptions { connection_output_bytes_max: 200_000, ..ReplicaOptions::default() };
    let mut h = Harness::with(options);
    let (watcher, writer) = (h.connect(), h.connect());
    h.reads = false;
    for round in 0..3 {
        assert!(!h.is_closed(watcher.conn), "round {round}");
        fire(&mut h, &watcher, &writer, round);
    }
    assert!(h.is_closed(watcher.conn), "each of three turns had some 84 kB of events");
    assert!(!h.is_closed(writer.conn));
}

#[test]
fn a_client_that_sends_nothing_more_gets_its_answers_first() {
    let mut h = Harness::new();
    let client = h.connect();
    h.send(client.conn, 1, OpCode::Create, &create("/a", b"", 0));
    h.send(client.conn, 2, OpCode::Exists, &watch("/a", false));
    h.replica.handle_end(h.now, client.conn);
    h.turn();
    assert!(!h.is_closed(client.conn));
    h.settle();
    assert_eq!(h.errors(client.conn), [(1, 0), (2, 0)]);
    assert!(h.is_closed(client.conn));
    // The client waits for no answer.
    let client = h.connect();
    h.replica.handle_end(h.now, client.conn);
    h.turn();
    assert!(h.is_closed(client.conn));
    // All requests came before the server answered the handshake.
    let conn = h.open();
    h.send_connect(conn, new_session());
    h.send(conn, 1, OpCode::Create, &create("/b", b"", 0));
    h.replica.handle_end(h.now, conn);
    h.settle();
    assert_eq!(h.take_frames(conn).len(), 2, "the handshake's answer and the create's");
    assert!(h.replica.database().node("/b").is_some());
    assert!(h.is_closed(conn));
}

#[test]
fn nothing_waits_for_a_leader_in_the_name_of_a_client_that_sends_nothing_more() {
    for ends_first in [true, false] {
        let mut h = follower();
        let client = connect(&mut h, super::forwarding::zxid(1, 1));
        h.send(client.conn, 2, OpCode::Create, &create("/a", b"", 0));
        if ends_first {
            h.replica.handle_end(h.now, client.conn);
            h.turn();
            assert!(!h.is_closed(client.conn));
        }
        become_(&mut h, Standing::Looking);
        if !ends_first {
            h.replica.handle_end(h.now, client.conn);
            h.turn();
        }
        assert!(h.is_closed(client.conn));
    }
}

/// A client that opens connections in a loop, and asks for the longest timeout, leaves nothing behind for hours.
#[test]
fn connections_that_are_gone_are_forgotten_long_before_their_timeout() {
    let hours = 24 * 3_600_000;
    let mut h = Harness::with(ReplicaOptions {
        session_timeout_ms_max: hours,
        ..ReplicaOptions::default()
    });
    for _ in 0..200 {
        let conn = h.open();
        h.send_connect(conn, ConnectRequest { timeout_ms: hours, ..new_session() });
        h.settle();
        assert_eq!(h.connect_response(conn).timeout_ms, hours);
        h.close(conn);
        h.advance_ms(1000);
    }
    let kept = h.replica.service.clients.silent_connections_kept();
    assert!(kept <= 90, "{kept} are known, of which none is there");
}

#[test]
fn a_connection_that_is_silent_for_longer_than_its_session_may_be_is_closed() {
    // At a follower no session expires: the leader ends sessions.
    let mut h = follower();
    let client = connect(&mut h, super::forwarding::zxid(1, 1));
    for _ in 0..10 {
        h.advance_ms(9000);
        h.send(client.conn, -2, OpCode::Ping, &RequestBody::Empty);
    }
    h.advance_ms(9000);
    assert!(!h.is_closed(client.conn));
    h.advance_ms(12_000);
    assert!(h.is_closed(client.conn));
}

#[test]
fn a_request_as_long_as_may_be_and_those_that_came_with_it_wait_together() {
    let options = ReplicaOptions {
        output_pause_bytes: 100_000,
        frame_bytes_max: 20 << 20,
        ..ReplicaOptions::default()
    };
    let mut h = Harness::with(options);
    let client = h.connect();
    assert_eq!(h.call(client.conn, 1, OpCode::Create, &create("/a", &LARGE, 0)).err, 0);
    h.reads = false;
    h.send(client.conn, 2, OpCode::GetData, &watch("/a", false));
    let long = vec![7; 19 << 20];
    h.send(client.conn, 3, OpCode::SetData, &set_data("/a", &long, -1));
    h.send(client.conn, 4, OpCode::Exists, &watch("/a", false));
    assert!(!h.is_closed(client.conn), "the edge may have read so much at once");
    // More bytes than the edge ever reads at once close the connection.
    for xid in 5..8 {
        h.send(client.conn, xid, OpCode::SetData, &set_data("/a", &long, -1));
    }
    assert!(h.is_closed(client.conn));
}

#[test]
fn an_answer_that_overtakes_a_write_is_counted_behind_it() {
    let mut h = Harness::new();
    let client = h.connect();
    assert_eq!(h.call(client.conn, 1, OpCode::Create, &create("/a", b"", 0)).err, 0);
    let answered = h.answered[&client.conn];
    h.send(client.conn, 2, OpCode::SetData, &set_data("/a", &LARGE, -1));
    let auth = RequestBody::Auth(AuthPacket {
        packet_type: 0,
        scheme: Some("digest"),
        auth: Some(b"u:p"),
    });
    for _ in 0..9 {
        h.send(client.conn, -4, OpCode::Auth, &auth);
    }
    assert_eq!(h.errors(client.conn), [(-4, 0); 9], "they are answered at once");
    assert_eq!(
        h.answered[&client.conn], answered,
        "the edge would take the long write for answered"
    );
    h.send(client.conn, 3, OpCode::Exists, &watch("/a", false));
    h.settle();
    assert_eq!(h.errors(client.conn), [(2, 0), (3, 0)]);
    assert_eq!(h.answered[&client.conn], answered + 11);
    h.send(client.conn, -4, OpCode::Auth, &auth);
    assert_eq!(h.answered[&client.conn], answered + 12);
}

#[test]
fn reads_of_lists_behind_a_write_are_weighed_before_they_are_taken() {
    let (mut h, client) = slow_reader();
    h.reads = true;
    let name = "x".repeat(900);
    for number in 0..60 {
        assert_eq!(h.create(&client, &format!("/a/{number}-{name}"), 1).err, 0);
    }
    let entries: Vec<_> = (0..1000).map(|n| format!("u{n}:{:0>60}", n)).collect();
    let mut acl = VectorBuf::<AclEntry<'static>>::default();
    acl.push(&AclEntry { perms: 31, id: Id { scheme: Some("world"), id: Some("anyone") } });
    for id in &entries {
        acl.push(&AclEntry { perms: 31, id: Id { scheme: Some("digest"), id: Some(id) } });
    }
    let body =
        RequestBody::SetAcl(SetAclRequest { path: Some("/a"), acl: acl.as_vector(), version: -1 });
    assert_eq!(h.call(client.conn, 2, OpCode::SetAcl, &body).err, 0);
    h.reads = false;
    let path = RequestBody::Path(PathRequest { path: Some("/a") });
    let children = watch("/a", false);
    for (op, body) in [
        (OpCode::GetAcl, &path),
        (OpCode::GetEphemerals, &path),
        (OpCode::GetChildren, &children),
        (OpCode::GetChildren2, &children),
    ] {
        let write = set_data("/a", b"small", -1);
        h.send(client.conn, 2, OpCode::SetData, &write);
        for xid in 3..13 {
            h.send(client.conn, xid, op, body);
        }
        h.send(client.conn, 13, OpCode::SetData, &write);
        h.settle();
        let mut xids = Vec::new();
        for round in 0..30 {
            let replies = h.replies(client.conn);
            assert!(replies.len() <= 4, "{op:?}, round {round}: {} replies", replies.len());
            xids.extend(replies.iter().map(|reply| reply.xid));
            h.read_all();
            h.settle();
        }
        assert_eq!(xids, (2..14).collect::<Vec<_>>(), "{op:?}");
        assert!(!h.is_closed(client.conn));
    }
}

#[test]
fn a_client_that_reads_what_it_asked_for_is_not_silent() {
    let (mut h, client) = slow_reader();
    for xid in 2..32 {
        h.send(client.conn, xid, OpCode::GetData, &watch("/a", false));
    }
    for xid in 2..32 {
        assert_eq!(h.errors(client.conn), [(xid, 0)], "its pings lie in the socket");
        h.advance_ms(5000);
        h.read_all();
    }
    h.advance_ms(60_000);
    assert!(h.is_closed(client.conn));
}

#[test]
fn who_gives_up_before_there_is_a_session_leaves_no_connection_behind() {
    // The leader answers nobody.
    let mut h = follower();
    let [gone, silent] = [0; 2].map(|_| {
        let conn = h.open();
        h.send_connect(conn, new_session());
        conn
    });
    h.replica.handle_end(h.now, gone);
    h.turn();
    assert!(!h.is_closed(gone), "it may be waiting for its answers");
    let tick_ms = u64::from(ReplicaOptions::default().tick_ms);
    h.advance_ms(tick_ms - 1);
    assert!(!h.is_closed(gone));
    assert!(h.replica.next_timeout().is_some_and(|at| at <= h.now.mono.plus_ms(1)));
    h.advance_ms(1);
    assert!(h.is_closed(gone));
    let timeout_ms = u64::try_from(new_session().timeout_ms).unwrap();
    assert!(timeout_ms > tick_ms);
    h.advance_ms(timeout_ms + 10_000);
    assert!(h.is_closed(silent));
}

#[test]
fn what_waits_is_taken_up_where_it_was_left_and_in_order() {
    let (mut h, client) = slow_reader();
    let mut frames = Vec::new();
    for xid in 2..200 {
        let op = if xid % 10 == 0 { OpCode::GetData } else { OpCode::Exists };
        let mut payload = RequestHeader { xid, op: op.number() }.to_bytes();
        watch("/a", false).encode(op, &mut payload);
        frames.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frames.extend(payload);
    }
    h.replica.handle_frames(h.now, client.conn, &frames);
    let mut xids = Vec::new();
    for more in 200..240 {
        h.turn();
        let replies = h.replies(client.conn);
        assert!(replies.iter().filter(|reply| reply.body.len() > 1000).count() <= 1);
        xids.extend(replies.iter().map(|reply| reply.xid));
        h.send(client.conn, more, OpCode::Exists, &watch("/a", false));
        h.read_all();
    }
    h.turn();
    xids.extend(h.replies(client.conn).iter().map(|reply| reply.xid));
    assert_eq!(xids, (2..240).collect::<Vec<_>>());
    assert_eq!(h.replica.requests_outstanding(), 0);
}
