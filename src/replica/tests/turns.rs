//! Which client a turn serves when clients ask for more than one turn may do.

use super::forwarding::{become_, connect, created, follower_with, following, told, zxid};
use super::harness::*;
use super::standing::{leader, request};
use crate::error::ErrorCode;
use crate::id::{ConnectionId, SessionId, Zxid};
use crate::jute::{Jute, VectorBuf};
use crate::limits;
use crate::link::LinkId;
use crate::proto::OpCode;
use crate::proto::request::{
    MultiOp, PathRequest, PathVersion, Paths, RequestBody, RequestHeader, SetWatchesRequest,
};
use crate::proto::txn::Txn;
use crate::random::Random;
use crate::replica::ReplicaOptions;
use crate::replica::cost::Weight;
use crate::replica::work::Work;
use crate::zab::{ForwardedRequest, Inbound, Ready, SessionScope, Standing};

/// The units of a turn that serves a hundred small reads.
const UNITS: u32 = 100;

fn with_short_turns() -> Harness {
    Harness::with(ReplicaOptions { turn_work_units: UNITS, ..ReplicaOptions::default() })
}

fn frames<'a>(asked: impl Iterator<Item = (i32, OpCode, RequestBody<'a>)>) -> Vec<u8> {
    let mut frames = Vec::new();
    for (xid, op, body) in asked {
        let mut payload = RequestHeader { xid, op: op.number() }.to_bytes();
        body.encode(op, &mut payload);
        frames.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        frames.extend(payload);
    }
    frames
}

fn reads(xids: std::ops::Range<i32>) -> Vec<u8> {
    frames(xids.map(|xid| (xid, OpCode::GetData, watch("/", false))))
}

/// A multi of `count` checks of the root.
fn checks(count: usize) -> RequestBody<'static> {
    let check = MultiOp::Check(PathVersion { path: Some("/"), version: -1 });
    RequestBody::Multi(vec![check; count])
}

pub(super) fn hand_in(h: &mut Harness, conn: ConnectionId, bytes: &[u8]) {
    h.replica.handle_frames(h.now, conn, bytes);
}

#[test]
fn who_asks_for_little_is_served_beside_one_with_a_full_queue() {
    let mut h = with_short_turns();
    let (greedy, modest) = (h.connect(), h.connect());
    h.serves_all = false;
    h.turn();
    hand_in(&mut h, greedy.conn, &reads(0..5000));
    hand_in(&mut h, modest.conn, &reads(0..1));
    h.turn();
    h.turn();
    assert_eq!(h.errors(modest.conn), [(0, 0)]);
    let served = h.errors(greedy.conn).len();
    assert!((50..500).contains(&served), "{served} at once");
    h.serves_all = true;
    h.settle();
    assert_eq!(served + h.errors(greedy.conn).len(), 5000);
}

#[test]
fn many_with_full_queues_are_served_in_turn() {
    let mut h = with_short_turns();
    let clients: Vec<_> = (0..20).map(|_| h.connect()).collect();
    h.serves_all = false;
    h.turn();
    for client in &clients {
        hand_in(&mut h, client.conn, &reads(0..1000));
    }
    for _ in 0..60 {
        h.turn();
    }
    let served: Vec<_> = clients.iter().map(|client| h.errors(client.conn).len()).collect();
    let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
    assert!(*least >= 100 && *most < 1000 && most - least <= 150, "{served:?}");
}

#[test]
fn a_heavy_request_waits_behind_light_ones_and_is_carried_out_all_the_same() {
    let mut h = Harness::new();
    let (heavy, light, others) = (h.connect(), h.connect(), h.connect());
    // A client that takes its output causes a turn, so no client takes any here.
    (h.serves_all, h.reads) = (false, false);
    h.turn();
    // These reads spend the turn.
    hand_in(&mut h, others.conn, &reads(0..4000));
    for xid in 0..3 {
        let multi = frames(std::iter::once((xid, OpCode::Multi, checks(5000))));
        hand_in(&mut h, heavy.conn, &multi);
    }
    hand_in(&mut h, light.conn, &reads(0..1));
    h.turn();
    h.turn();
    assert_eq!(h.errors(light.conn), [(0, 0)]);
    let proposed = h.replica.requests_outstanding();
    assert!((1..=2).contains(&proposed), "{proposed}");
    (h.serves_all, h.reads) = (true, true);
    h.settle();
    assert_eq!(h.errors(heavy.conn), [(0, 0), (1, 0), (2, 0)]);
}

fn set_watches<'a>(data: Paths<'a>, exist: Paths<'a>, none: Paths<'a>) -> RequestBody<'a> {
    RequestBody::SetWatches(SetWatchesRequest {
        relative_zxid: Zxid(0),
        data,
        exist,
        child: none,
        persistent: none,
        persistent_recursive: none,
    })
}

#[test]
fn a_long_list_of_watches_is_set_in_parts_and_answered_once() {
    const PATHS: usize = 8 * limits::WATCHES_SET_PER_TURN + 10;
    let paths: Vec<String> = (0..PATHS).map(|n| format!("/{n}")).collect();
    let mut exist = VectorBuf::<Option<&str>>::default();
    paths.iter().for_each(|path| exist.push(&Some(path.as_str())));
    let none = VectorBuf::<Option<&str>>::default();
    let request = set_watches(none.as_vector(), exist.as_vector(), none.as_vector());
    // The list is set when it arrives, or waits behind a write that has to be applied first.
    for is_behind_write in [false, true] {
        let mut h = Harness::new();
        let (client, light) = (h.connect(), h.connect());
        h.create(&light, "/5000", 0);
        h.create(&light, "/9000", 0);
        h.serves_all = false;
        h.turn();
        if is_behind_write {
            h.send(client.conn, 1, OpCode::SetData, &set_data("/5000", b"x", -1));
        }
        h.send(client.conn, -8, OpCode::SetWatches, &request);
        h.send(client.conn, 2, OpCode::GetData, &watch("/5000", false));
        while h.do_op() {}
        let watches = |h: &Harness| h.replica.database().watches().len();
        let mut turns = 0;
        while watches(&h) < PATHS - 2 {
            let before = watches(&h);
            hand_in(&mut h, light.conn, &reads(turns..turns + 1));
            h.turn();
            assert!(watches(&h) - before <= limits::WATCHES_SET_PER_TURN, "in one turn");
            assert_eq!(h.errors(light.conn), [(turns, 0)], "others are served meanwhile");
            turns += 1;
            assert!(turns < 100, "{} watches", watches(&h));
        }
        assert!(turns >= 2, "{turns}");
        h.serves_all = true;
        h.settle();
        let mut replies: Vec<_> = h.replies(client.conn);
        if is_behind_write {
            assert_eq!(replies.remove(0).xid, 1);
        }
        let xids: Vec<_> = replies.iter().map(|reply| (reply.xid, reply.err)).collect();
        assert_eq!(xids, [(-1, 0), (-1, 0), (-8, 0), (2, 0)]);
        assert_eq!([replies[0].event().1, replies[1].event().1], ["/5000", "/9000"]);
    }
}

/// A `setWatches` of `count` nodes that are gone, and, if asked for, of a null path behind them.
pub(super) fn set_watches_of_gone_nodes(
    paths: usize,
    path_bytes: usize,
    then_null: bool,
) -> Vec<u8> {
    let paths: Vec<String> = (0..paths).map(|n| format!("/{n:0path_bytes$}")).collect();
    let mut data = VectorBuf::<Option<&str>>::default();
    paths.iter().for_each(|path| data.push(&Some(path.as_str())));
    if then_null {
        data.push(&None::<&str>);
    }
    let none = VectorBuf::<Option<&str>>::default();
    let request = set_watches(data.as_vector(), none.as_vector(), none.as_vector());
    frames(std::iter::once((-8, OpCode::SetWatches, request)))
}

#[test]
fn events_of_a_long_list_of_watches_come_in_parts_of_so_many_bytes() {
    const EVENTS: usize = 600;
    let mut h = Harness::new();
    let client = h.connect();
    // A client that takes its output causes a turn, so no client takes any here.
    (h.serves_all, h.reads) = (false, false);
    h.turn();
    hand_in(&mut h, client.conn, &set_watches_of_gone_nodes(EVENTS, 1000, false));
    let mut left = EVENTS;
    let mut turns = 0;
    while left > 0 {
        h.read_all();
        let events = h.replies(client.conn).into_iter().filter(|reply| reply.xid == -1).count();
        assert!(events * 1000 <= limits::OUTPUT_REPORTED_BYTES + 1000, "{events} in a turn");
        left -= events;
        turns += 1;
        assert!(turns < 100, "{left} left");
    }
    assert!(turns > 8, "{turns}");
}

#[test]
fn an_error_in_a_long_list_of_watches_repeats_no_event() {
    let count = limits::WATCHES_SET_PER_TURN + 10;
    let mut h = Harness::new();
    let client = h.connect();
    hand_in(&mut h, client.conn, &set_watches_of_gone_nodes(count, 4, true));
    h.settle();
    let replies = h.replies(client.conn);
    let (last, events) = replies.split_last().unwrap();
    assert_eq!((last.xid, last.err), (-8, ErrorCode::MarshallingError.code()));
    let paths: Vec<_> = events.iter().map(|reply| reply.event().1.to_owned()).collect();
    assert_eq!(paths, (0..count).map(|n| format!("/{n:04}")).collect::<Vec<_>>());
}

#[test]
fn who_reads_little_waits_for_no_one_who_reads_much() {
    let mut h = Harness::new();
    let owner = h.connect();
    h.call(owner.conn, 1, OpCode::Create, &create("/large", &vec![b'x'; 500_000], 0));
    let many: Vec<_> = (0..20).map(|_| h.connect()).collect();
    let modest = h.connect();
    // A client that takes its output causes a turn, so no client takes any here.
    (h.serves_all, h.reads) = (false, false);
    h.turn();
    // All clients ask in one turn, and the modest one asks last.
    for client in &many {
        let ask = |xid| (xid, OpCode::GetData, watch("/large", false));
        hand_in(&mut h, client.conn, &frames((0..4).map(ask)));
    }
    hand_in(&mut h, modest.conn, &reads(0..1));
    h.turn();
    h.turn();
    assert_eq!(h.errors(modest.conn), [(0, 0)]);
    let served: usize = many.iter().map(|client| h.errors(client.conn).len()).sum();
    assert!((1..=10).contains(&served), "{served} of the large ones came first");
    (h.serves_all, h.reads) = (true, true);
    h.settle();
    let left: usize = many.iter().map(|client| h.errors(client.conn).len()).sum();
    assert_eq!(served + left, 80);
}

#[test]
fn light_requests_without_end_do_not_keep_heavy_ones_out() {
    let mut h = Harness::new();
    let (heavy, light) = (h.connect(), h.connect());
    h.serves_all = false;
    h.turn();
    hand_in(&mut h, light.conn, &reads(0..4000));
    let multi = frames(std::iter::once((1, OpCode::Multi, checks(2000))));
    hand_in(&mut h, heavy.conn, &multi);
    for round in 1..10 {
        hand_in(&mut h, light.conn, &reads(round * 4000..(round + 1) * 4000));
        h.turn();
        while h.do_op() {}
    }
    assert_eq!(h.errors(heavy.conn), [(1, 0)]);
}

#[test]
fn replies_are_the_same_however_short_the_turns() {
    for seed in 0..6 {
        let mut answers = Vec::new();
        for turn_work_units in [1, 7, UNITS, u32::MAX] {
            let mut random = Random::new(seed);
            let mut draw = |below: u64| random.below(below);
            let mut h =
                Harness::with(ReplicaOptions { turn_work_units, ..ReplicaOptions::default() });
            let clients: Vec<_> = (0..3).map(|_| h.connect()).collect();
            h.create(&clients[0], "/a", 0);
            let mut replies = vec![Vec::new(); clients.len()];
            for round in 0..30 {
                h.serves_all = draw(2) == 0;
                let which = usize::try_from(draw(3)).unwrap();
                let xids = round * 100..round * 100 + i32::try_from(draw(60)).unwrap();
                let asked: Vec<_> = xids
                    .map(|xid| match draw(6) {
                        0 => (xid, OpCode::SetData, set_data("/a", b"x", -1)),
                        1 => (xid, OpCode::Multi, checks(usize::try_from(draw(900)).unwrap())),
                        2 => (xid, OpCode::GetChildren, watch("/", false)),
                        3 => {
                            (xid, OpCode::Sync, RequestBody::Path(PathRequest { path: Some("/") }))
                        }
                        _ => (xid, OpCode::Exists, watch("/a", false)),
                    })
                    .collect();
                hand_in(&mut h, clients[which].conn, &frames(asked.into_iter()));
                match draw(3) {
                    0 => h.turn(),
                    1 => _ = h.do_op(),
                    _ => {}
                }
            }
            h.serves_all = true;
            h.settle();
            for (client, replies) in clients.iter().zip(&mut replies) {
                replies.extend(h.errors(client.conn));
            }
            answers.push(replies);
        }
        for other in &answers[1..] {
            assert_eq!(other, &answers[0]);
        }
    }
}

#[test]
fn a_multi_of_too_many_operations_is_refused_before_it_begins() {
    let multi_operations_max = 100;
    let mut h = Harness::with(ReplicaOptions { multi_operations_max, ..ReplicaOptions::default() });
    let client = h.connect();
    assert_eq!(h.call(client.conn, 1, OpCode::Multi, &checks(100)).err, 0);
    let refused = h.call(client.conn, 2, OpCode::Multi, &checks(101));
    assert_eq!((refused.err, refused.body.len()), (ErrorCode::BadArguments.code(), 0));
    assert_eq!(h.create(&client, "/a", 0).err, 0);
}

#[test]
fn a_session_has_so_many_ephemeral_nodes_and_no_more() {
    let ephemerals_per_session_max = 3;
    let mut h =
        Harness::with(ReplicaOptions { ephemerals_per_session_max, ..ReplicaOptions::default() });
    let (client, other) = (h.connect(), h.connect());
    for path in ["/a", "/b", "/c", "/d"] {
        h.send_with_next(client.conn, 1, OpCode::Create, &create(path, b"", 1));
    }
    h.settle();
    let refused = ErrorCode::QuotaExceeded.code();
    assert_eq!(h.errors(client.conn), [(1, 0), (1, 0), (1, 0), (1, refused)]);
    assert_eq!(h.create(&client, "/d", 0).err, 0, "a node that stays");
    assert_eq!(h.create(&other, "/e", 1).err, 0, "of another session");
    h.call(client.conn, 2, OpCode::Delete, &delete("/a", -1));
    assert_eq!(h.create(&client, "/a", 1).err, 0);
}

#[test]
fn requests_that_learners_pass_on_take_turns_by_session() {
    let mut h = leader();
    let (heavy, light) = (SessionId(3 << 56), SessionId((3 << 56) + 1));
    let scope = SessionScope::Global;
    let multi =
        |cxid| ForwardedRequest { scope, ..request(heavy, cxid, OpCode::Multi, &checks(2200)) };
    let mut inbound: Vec<_> = (1..=4).map(|cxid| Inbound::Request(multi(cxid))).collect();
    let write = request(light, 1, OpCode::SetData, &set_data("/", b"", -1));
    inbound.push(Inbound::Request(ForwardedRequest { scope, ..write }));
    h.serves_all = false;
    h.decide(Ready { inbound, ..Ready::default() });
    (0..20).for_each(|_| h.turn());
    let headers = h.peer().proposed.iter().map(|txn| *txn.header());
    let order: Vec<_> = headers.map(|header| (header.client_id, header.cxid)).collect();
    assert_eq!(order, [(heavy, 1), (light, 1), (heavy, 2), (heavy, 3), (heavy, 4)]);
}

#[test]
fn a_sync_waits_for_what_others_pass_on_only_where_its_server_keeps_no_order() {
    for (scope, is_at_once) in [(SessionScope::Global, true), (SessionScope::Unsaid, false)] {
        let mut h = leader();
        let (heavy, light) = (SessionId(3 << 56), SessionId((3 << 56) + 1));
        let multi = |cxid| request(heavy, cxid, OpCode::Multi, &checks(2200));
        let sync = |cxid, scope| ForwardedRequest {
            scope,
            ..request(light, cxid, OpCode::Sync, &path("/"))
        };
        let mut inbound: Vec<_> = (1..=4).map(|cxid| Inbound::Request(multi(cxid))).collect();
        inbound.push(Inbound::Request(sync(1, scope)));
        // Whether or not a learner orders its own syncs, the answers of one link stay in their order.
        inbound.push(Inbound::Request(sync(2, SessionScope::Global)));
        let (theirs, other) = (sync(1, scope).link, LinkId::accepted(1));
        inbound.extend([theirs, other].map(|link| Inbound::Fence { link }));
        h.serves_all = false;
        told(&mut h);
        h.decide(Ready { inbound, ..Ready::default() });
        h.turn();
        let early = told(&mut h);
        let answered = early.iter().filter(|told| told.starts_with("answer sync")).count();
        let fence = |link: LinkId| format!("answer fence {link:?}");
        assert!(early.contains(&fence(other)), "nothing came over its link: {early:?}");
        assert!(!early.contains(&fence(theirs)), "{early:?}");
        assert!(h.peer().proposed.len() < 4, "some wait");
        assert_eq!(answered, if is_at_once { 2 } else { 0 });
        (0..20).for_each(|_| h.turn());
        assert_eq!(h.peer().proposed.len(), 4);
        let late = told(&mut h);
        let later = late.iter().filter(|told| told.starts_with("answer sync")).count();
        assert_eq!(answered + later, 2);
        assert_eq!(late.iter().filter(|told| told.starts_with("answer fence")).count(), 1);
    }
}

/// `20 * UNITS` creates of one client, with consecutive zxids of epoch 1 from counter `from` on.
fn many_created(from: u32, client: &Client) -> Vec<Txn> {
    let zxids = from..from + 20 * UNITS;
    zxids.map(|at| created(zxid(1, at), client, 0, &format!("/n{at}"))).collect()
}

#[test]
fn what_is_committed_together_is_applied_in_parts_and_others_are_served_between() {
    let options = ReplicaOptions { turn_work_units: UNITS, ..ReplicaOptions::default() };
    let mut h = follower_with(options);
    let (writer, reader) = (connect(&mut h, zxid(1, 1)), connect(&mut h, zxid(1, 2)));
    let commit = many_created(3, &writer);
    let last = commit.last().unwrap().zxid();
    h.serves_all = false;
    h.turn();
    h.decide(Ready { append: commit.clone(), commit, ..Ready::default() });
    told(&mut h);
    let mut turns = 0;
    while h.replica.last_processed() < last {
        let before = h.replica.last_processed().0;
        let ping = Inbound::Ping { zxid: zxid(1, 7) };
        h.decide(Ready { inbound: vec![ping, Inbound::SyncDone], ..Ready::default() });
        let applied = h.replica.last_processed().0 - before;
        assert!((1..=i64::from(UNITS)).contains(&applied), "{applied} in one turn");
        assert!(told(&mut h).iter().any(|word| word.starts_with("answer ping")), "turn {turns}");
        hand_in(&mut h, reader.conn, &reads(turns..turns + 1));
        turns += 1;
    }
    assert!(turns >= 10, "{turns}");
    assert!(h.errors(reader.conn).len() >= 9, "a read is answered in each turn");
    h.serves_all = true;
    h.settle();
    let children = h.replica.database().node("/").unwrap().num_children();
    assert_eq!(children, 20 * UNITS as usize + 1);
}

#[test]
fn what_is_committed_is_applied_to_its_end_before_the_server_stands_otherwise() {
    let options = ReplicaOptions { turn_work_units: UNITS, ..ReplicaOptions::default() };
    let mut h = follower_with(options);
    let writer = connect(&mut h, zxid(1, 1));
    let commit = many_created(2, &writer);
    let last = commit.last().unwrap().zxid();
    h.serves_all = false;
    h.turn();
    h.decide(Ready { append: commit.clone(), commit, ..Ready::default() });
    assert!(h.replica.last_processed() < last && h.replica.service.ensemble.is_learning());
    // The peer leads or follows nobody from here on: whatever the replica asks of its peer must fit that role.
    h.decide(Ready { standing: vec![Standing::Looking], ..Ready::default() });
    assert!(h.replica.last_processed() == last && !h.replica.service.ensemble.is_learning());
}

#[test]
fn a_long_list_of_watches_is_set_to_its_end_behind_a_change_of_leaders() {
    let mut h = follower_with(ReplicaOptions::default());
    let client = connect(&mut h, zxid(1, 1));
    (h.serves_all, h.reads) = (false, false);
    h.turn();
    let count = 3 * limits::WATCHES_SET_PER_TURN;
    hand_in(&mut h, client.conn, &set_watches_of_gone_nodes(count, 8, false));
    let mut replies = Vec::new();
    while replies.is_empty() {
        h.turn();
        replies = h.replies(client.conn);
    }
    assert!(replies.len() < count / 2, "{}", replies.len());
    (h.serves_all, h.reads) = (true, true);
    become_(&mut h, Standing::Looking);
    h.read_all();
    assert_eq!(h.replies(client.conn), [], "it waits for a leader");
    become_(&mut h, following(1));
    h.settle();
    replies.extend(h.replies(client.conn));
    let (last, events) = replies.split_last().unwrap();
    assert_eq!((last.xid, last.err), (-8, 0));
    let paths: Vec<_> = events.iter().map(|reply| reply.event().1.to_owned()).collect();
    assert_eq!(paths, (0..count).map(|n| format!("/{n:08}")).collect::<Vec<_>>());
}

#[test]
fn who_gets_more_events_than_a_server_makes_beside_its_commits_is_closed_and_nobody_else() {
    let options = ReplicaOptions { turn_work_units: UNITS, ..ReplicaOptions::default() };
    let mut h = follower_with(options);
    let clients: Vec<Client> = (1..=3).map(|at| connect(&mut h, zxid(1, at))).collect();
    let all = h.call(clients[1].conn, 1, OpCode::AddWatch, &kind("/", 1));
    let one = h.call(clients[2].conn, 1, OpCode::Exists, &watch("/n3000", true));
    assert_eq!((all.err, one.err), (0, ErrorCode::NoNode.code()));
    let elsewhere = Client { session: SessionId(7), ..clients[0] };
    let commit: Vec<Txn> =
        [4, 2004].into_iter().flat_map(|from| many_created(from, &elsewhere)).collect();
    let last = commit.last().unwrap().zxid();
    h.serves_all = false;
    h.turn();
    h.decide(Ready { append: commit.clone(), commit, ..Ready::default() });
    assert!(h.replica.last_processed() < last);
    h.advance_ms(2 * limits::APPLYING_MS_MAX);
    (0..100).for_each(|_| h.turn());
    assert_eq!(h.replica.last_processed(), last);
    let closed: Vec<bool> = clients.iter().map(|client| h.is_closed(client.conn)).collect();
    assert_eq!(closed, [false, true, false], "{} events", h.replies(clients[1].conn).len());
    assert_eq!(h.replies(clients[2].conn).len(), 1, "its event");
}

#[test]
fn who_wrote_before_a_heavy_transaction_is_answered_before_it_is_applied() {
    let mut h = Harness::new();
    let (light, heavy) = (h.connect(), h.connect());
    h.serves_all = false;
    h.turn();
    let creates: Vec<String> = (0..1000).map(|n| format!("/n{n}")).collect();
    let parts = creates.iter().map(|path| match create(path, b"", 0) {
        RequestBody::Create(request) => MultiOp::Create(OpCode::Create, request),
        _ => unreachable!("it is a create"),
    });
    h.send_with_next(light.conn, 1, OpCode::Create, &create("/light", b"", 0));
    h.send_with_next(heavy.conn, 1, OpCode::Multi, &RequestBody::Multi(parts.collect()));
    h.turn();
    while !h.has_received(light.conn) {
        assert!(h.do_op(), "it is logged");
    }
    assert!(!h.has_received(heavy.conn));
    h.turn();
    assert_eq!((h.errors(light.conn), h.errors(heavy.conn)), (vec![(1, 0)], vec![(1, 0)]));
}

#[test]
fn events_of_long_paths_for_many_take_their_part_of_a_turn() {
    let mut h = Harness::new();
    let path: &'static str = format!("/{}", "p".repeat(60_000)).leak();
    let (owner, other) = (h.connect(), h.connect());
    assert_eq!(h.call(owner.conn, 1, OpCode::Create, &create(path, b"", 0)).err, 0);
    assert_eq!(h.call(other.conn, 1, OpCode::Create, &create("/o", b"", 0)).err, 0);
    let watchers: Vec<_> = (0..100).map(|_| h.connect()).collect();
    for watcher in &watchers {
        assert_eq!(h.call(watcher.conn, 1, OpCode::AddWatch, &kind("/", 1)).err, 0);
    }
    h.serves_all = false;
    h.turn();
    for xid in 2..52 {
        h.send_with_next(owner.conn, xid, OpCode::SetData, &set_data(path, b"", -1));
    }
    h.send_with_next(other.conn, 2, OpCode::SetData, &set_data("/o", b"", -1));
    (0..100).for_each(|_| h.turn());
    // Each of these writes makes six megabytes of events.
    let proposed = h.replica.requests_outstanding();
    assert!((1..=3).contains(&proposed), "{proposed}");
    let unapplied = h.replica.last_proposed().0 - h.replica.last_processed().0;
    assert_eq!(unapplied, i64::try_from(proposed).unwrap());
    h.serves_all = true;
    h.settle();
    let (asked, others) = (h.replies(owner.conn), h.replies(other.conn));
    assert_eq!((asked.len(), others.len()), (50, 1));
    assert!(
        others[0].zxid < asked[15].zxid,
        "who writes a little waits for some of them, not for all"
    );
    assert!(watchers.iter().all(|watcher| h.replies(watcher.conn).len() == 51));
}

#[test]
fn writes_wait_while_much_is_proposed_and_not_applied() {
    let mut h = Harness::new();
    let (client, other) = (h.connect(), h.connect());
    h.serves_all = false;
    let creates = |n: usize| {
        let part = |n| {
            let path: &'static str = Box::leak(format!("/n{n}").into_boxed_str());
            match create(path, b"", 0) {
                RequestBody::Create(request) => MultiOp::Create(OpCode::Create, request),
                _ => unreachable!("it is a create"),
            }
        };
        RequestBody::Multi((n * 5000..(n + 1) * 5000).map(part).collect())
    };
    for n in 0..6 {
        let xid = i32::try_from(n).unwrap();
        hand_in(&mut h, client.conn, &frames(std::iter::once((xid, OpCode::Multi, creates(n)))));
        for _ in 0..20 {
            h.turn();
        }
    }
    for xid in 10..20 {
        hand_in(&mut h, other.conn, &frames(std::iter::once((xid, OpCode::Multi, checks(5000)))));
        (0..20).for_each(|_| h.turn());
    }
    let changes = h.replica.service.pipeline.prep.outstanding_changes();
    let changes_max = limits::CHANGES_UNAPPLIED_MAX + 10_000;
    assert!((10_000..=changes_max).contains(&changes), "{changes}");
    h.serves_all = true;
    h.settle();
    assert_eq!((h.errors(client.conn).len(), h.errors(other.conn).len()), (6, 10));
    // Multis that change nothing take time as well; a small write waits behind none that is not yet proposed.
    h.serves_all = false;
    for xid in 20..30 {
        hand_in(&mut h, other.conn, &frames(std::iter::once((xid, OpCode::Multi, checks(5000)))));
        (0..20).for_each(|_| h.turn());
    }
    let proposed = h.replica.requests_outstanding();
    assert!((2..=4).contains(&proposed), "{proposed}");
    hand_in(
        &mut h,
        client.conn,
        &frames(std::iter::once((7, OpCode::SetData, set_data("/", b"", -1)))),
    );
    h.turn();
    assert_eq!(h.replica.requests_outstanding(), proposed);
    while h.errors(client.conn).is_empty() {
        assert!(h.do_op(), "the write is carried out");
        h.turn();
    }
    let before = h.errors(other.conn).len();
    assert!(before <= proposed + 1, "{before} of 10 heavy ones came first");
    h.serves_all = true;
    h.settle();
    assert_eq!(before + h.errors(other.conn).len(), 10);
}

#[test]
fn a_long_read_waits_behind_no_write() {
    let mut h = Harness::new();
    let (writer, reader) = (h.connect(), h.connect());
    for n in 0..4000 {
        h.create(&reader, &format!("/n{n}"), 0);
    }
    h.serves_all = false;
    for xid in 0..10 {
        hand_in(&mut h, writer.conn, &frames(std::iter::once((xid, OpCode::Multi, checks(5000)))));
        h.turn();
    }
    let proposed = h.replica.requests_outstanding();
    assert!(proposed < 10 && !h.replica.service.may_write(Weight::Heavy), "writes wait");
    let list = frames(std::iter::once((11, OpCode::GetChildren2, watch("/", false))));
    assert!(list.len() < 100 && 4000 / limits::NAMES_PER_UNIT > limits::HEAVY_WORK_UNITS as usize);
    hand_in(&mut h, reader.conn, &list);
    // None of the proposed multis is carried out meanwhile.
    (0..10).for_each(|_| h.turn());
    assert_eq!(h.errors(reader.conn), [(11, 0)]);
    assert_eq!(h.replica.requests_outstanding(), proposed);
}

#[test]
fn what_is_applied_for_others_keeps_heavy_requests_waiting_no_longer_than_one_of_them() {
    let mut work = Work::new(limits::TURN_WORK_UNITS);
    for _ in 0..100 {
        work.on_applying(limits::HEAVY_WORK_UNITS * 50);
    }
    let mut turns = 0;
    while !work.is_time_for_heavy(true) {
        work.begin_turn();
        turns += 1;
    }
    assert!((5..20).contains(&turns), "{turns}");
}
