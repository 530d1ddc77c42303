//! Answers and events for which the process has no memory left.

use super::harness::{Client, Harness, create, kind, set_data, watch};
use super::turns::{hand_in, set_watches_of_gone_nodes};
use crate::limits;
use crate::proto::OpCode;

static LARGE: [u8; 300_000] = [7; 300_000];
/// Fewer bytes than one large answer has.
const ROOM: usize = 250_000;

fn clients(count: usize) -> (Harness, Vec<Client>) {
    let mut h = Harness::new();
    let clients: Vec<Client> = (0..count).map(|_| h.connect()).collect();
    assert_eq!(h.call(clients[0].conn, 1, OpCode::Create, &create("/a", &LARGE, 0)).err, 0);
    h.reads = false;
    (h, clients)
}

#[test]
fn answers_beyond_the_room_wait_and_come_in_the_order_in_which_they_were_asked_for() {
    let (mut h, clients) = clients(4);
    h.replica.set_output_room(ROOM);
    for client in &clients {
        for xid in 2..5 {
            h.send(client.conn, xid, OpCode::GetData, &watch("/a", false));
        }
    }
    // The next request of the first client begins to wait before the others have asked.
    let order = [(0, 2), (0, 3), (1, 2), (2, 2), (3, 2), (0, 4)];
    let order = order.into_iter().chain([(1, 3), (2, 3), (3, 3), (1, 4), (2, 4), (3, 4)]);
    for (place, xid) in order {
        assert_eq!(h.errors(clients[place].conn), [(xid, 0)], "client {place}");
        // The replica makes no answer before there is room, and then goes on by itself.
        h.advance_ms(limits::STARVING_LOOK_MS);
        assert!(!clients.iter().any(|client| h.has_received(client.conn)), "client {place}");
        h.replica.set_output_room(ROOM);
        let waits = (place, xid) != (3, 4);
        assert!(!waits || h.replica.next_timeout().is_some_and(|at| at <= h.now.mono));
        h.settle();
    }
    h.replica.set_output_room(usize::MAX);
    h.settle();
    assert_eq!(h.replica.requests_outstanding(), 0);
    for client in &clients {
        assert!(!h.is_closed(client.conn) && !h.has_received(client.conn));
    }
}

/// Sends a client's requests: a write, which makes its node large if `is_its_own` is set, many reads of the node,
/// and another write.
fn between_two_writes(h: &mut Harness, client: &Client, path: &str, is_its_own: bool) {
    if is_its_own {
        h.send(client.conn, 3, OpCode::SetData, &set_data(path, &LARGE, -1));
    } else {
        h.send(client.conn, 3, OpCode::SetData, &set_data("/", b"", -1));
    }
    for xid in 4..24 {
        h.send(client.conn, xid, OpCode::GetData, &watch(path, false));
    }
    h.send(client.conn, 24, OpCode::SetData, &set_data(path, b"", -1));
}

#[test]
fn a_write_behind_reads_that_its_session_has_made_long_waits_until_they_are_read() {
    let (mut h, clients) = clients(1);
    assert_eq!(h.call(clients[0].conn, 2, OpCode::Create, &create("/n0", b"", 0)).err, 0);
    h.replica.set_output_room(ROOM);
    between_two_writes(&mut h, &clients[0], "/n0", true);
    h.settle();
    assert!(!h.is_closed(clients[0].conn), "nothing that is proposed is behind them");
    assert_eq!(h.replica.database().node("/n0").unwrap().data(), Some(&LARGE[..]));
    h.replica.set_output_room(usize::MAX);
    h.advance_ms(limits::STARVING_LOOK_MS);
    h.read_all();
    h.settle();
    assert_eq!(h.replica.database().node("/n0").unwrap().data(), Some(&b""[..]));
}

#[test]
fn reads_between_two_writes_that_grow_beyond_the_room_cost_their_connection() {
    let (mut h, clients) = clients(3);
    for (place, client) in clients.iter().take(2).enumerate() {
        let create = create(["/n0", "/n1"][place], b"", 0);
        assert_eq!(h.call(client.conn, 2, OpCode::Create, &create).err, 0);
    }
    h.replica.set_output_room(ROOM);
    // Another client makes the node long before the reads.
    h.send_with_next(clients[2].conn, 3, OpCode::SetData, &set_data("/n0", &LARGE, -1));
    between_two_writes(&mut h, &clients[0], "/n0", false);
    h.send(clients[1].conn, 3, OpCode::SetData, &set_data("/n1", &LARGE, -1));
    for xid in 4..24 {
        h.send(clients[1].conn, xid, OpCode::GetData, &watch("/n1", false));
    }
    h.settle();
    assert!(h.is_closed(clients[0].conn), "they could not wait");
    assert!(!h.is_closed(clients[1].conn), "nothing is behind them, so they wait");
    h.replica.set_output_room(usize::MAX);
    h.advance_ms(limits::STARVING_LOOK_MS);
    h.read_all();
    assert!(h.errors(clients[1].conn).len() > 5);
}

#[test]
fn who_has_many_events_when_there_is_no_room_is_closed_and_who_has_few_is_not() {
    let (mut h, clients) = clients(3);
    let path = format!("/{}", "p".repeat(limits::OUTPUT_REPORTED_BYTES / 10));
    assert_eq!(h.call(clients[0].conn, 2, OpCode::Create, &create(&path, b"", 0)).err, 0);
    let recursive = kind("/", 1);
    assert_eq!(h.call(clients[1].conn, 2, OpCode::AddWatch, &recursive).err, 0);
    let one = kind("/a", 0);
    assert_eq!(h.call(clients[2].conn, 2, OpCode::AddWatch, &one).err, 0);
    h.replica.set_output_room(1000);
    for xid in 3..20 {
        h.send_with_next(clients[0].conn, xid, OpCode::SetData, &set_data(&path, b"", -1));
        if xid == 4 {
            h.send_with_next(clients[0].conn, xid, OpCode::SetData, &set_data("/a", b"", -1));
        }
    }
    h.settle();
    assert!(h.is_closed(clients[1].conn) && !h.is_closed(clients[2].conn));
    assert_eq!(h.replies(clients[2].conn).len(), 1);
}

#[test]
fn events_that_a_client_asks_for_when_it_sets_watches_again_are_held_against_the_room() {
    let (mut h, clients) = clients(2);
    h.replica.set_output_room(1000);
    // The events are few enough for one piece of output.
    hand_in(&mut h, clients[0].conn, &set_watches_of_gone_nodes(100, 20, false));
    h.settle();
    h.send(clients[1].conn, 2, OpCode::GetData, &watch("/a", false));
    assert_eq!(h.replies(clients[0].conn).len(), 101);
    assert!(!h.has_received(clients[1].conn));
    h.replica.set_output_room(1000);
    h.settle();
    assert_eq!(h.errors(clients[1].conn), [(2, 0)]);
}
