//! The order in which a leader proposes the requests of a learner. The CommitProcessor of a learner of Apache ZooKeeper
//! matches a COMMIT with the oldest request that it has forwarded, so a busy leader must not propose a later one first.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::Zxid;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, OPEN_ACL, Session};
use ringkeeper_testkit::{Ensemble, PeerType, Program};

use crate::ground::{LIMIT, LONG_MS, config, everything, ours, turn};
use crate::same;

const OBSERVER: usize = 1;
const FOLLOWER: usize = 2;
const LEADER: usize = 3;
/// How long the test runs: long enough for thousands of requests of each learner to wait behind slow ones.
const LONG: Duration = Duration::from_secs(8);
/// Sessions of each learner that send many requests at once.
const SESSIONS: usize = 4;
/// Requests that such a session sends before it reads a reply.
const AT_ONCE: usize = 60;
/// Operations in a multi that keeps the leader busy for some milliseconds.
const HEAVY: usize = 4000;

/// How many requests of each kind were answered.
#[derive(Debug, Default)]
struct Answered {
    writes: usize,
    syncs: usize,
    sessions: usize,
    heavy: usize,
}

impl AddAssign for Answered {
    fn add_assign(&mut self, other: Answered) {
        self.writes += other.writes;
        self.syncs += other.syncs;
        self.sessions += other.sessions;
        self.heavy += other.heavy;
    }
}

#[test]
fn learners_of_apache_zookeeper_hear_of_their_requests_in_their_order_from_a_busy_leader() {
    let _turn = turn();
    let kinds = if everything() {
        vec![Program::ZooKeeper38, Program::ZooKeeper39]
    } else {
        vec![Program::ZooKeeper39]
    };
    for kind in kinds {
        behind_a_busy_leader(&kind);
    }
}

fn behind_a_busy_leader(kind: &Program) {
    let members = [
        (kind.clone(), PeerType::Observer),
        (kind.clone(), PeerType::Participant),
        (ours(), PeerType::Participant),
    ];
    let mut ensemble = Ensemble::prepare(&members, config());
    ensemble.start_all();
    // Two voters with the same history: the higher id wins.
    assert_eq!(ensemble.leader(), LEADER);

    let begun = Instant::now();
    let over = AtomicBool::new(false);
    let mut answered = Answered::default();
    thread::scope(|scope| {
        let (ensemble, over) = (&ensemble, &over);
        let mut loads = Vec::new();
        for place in [OBSERVER, FOLLOWER] {
            for number in 0..SESSIONS {
                loads.push(scope.spawn(move || many_at_once(ensemble, place, number, over)));
            }
            loads.push(scope.spawn(move || sessions_come_and_go(ensemble, place, over)));
        }
        for (number, place) in [LEADER, LEADER, FOLLOWER, OBSERVER].into_iter().enumerate() {
            loads.push(scope.spawn(move || heavy(ensemble, place, number, over)));
        }
        thread::sleep(LONG);
        over.store(true, Ordering::Relaxed);
        for load in loads {
            answered += load.join().expect("all requests are answered, in order");
        }
    });
    println!("{}: {answered:?} in {:.1?}", kind.name(), begun.elapsed());
    assert!(answered.heavy > 20, "the leader was not busy: {answered:?}");
    assert!(answered.writes > 500, "the learners had little to do: {answered:?}");
    assert!(answered.syncs > 100 && answered.sessions > 3, "{answered:?}");
    same::check(&mut ensemble, "after the load");
}

fn session(ensemble: &Ensemble, place: usize) -> Session {
    let begun = Instant::now();
    loop {
        match Session::open(ensemble.address(place), LONG_MS) {
            Ok(session) => return session,
            Err(error) => assert!(begun.elapsed() < LIMIT, "server {place}: {error}"),
        }
    }
}

/// Sends writes, with a sync after each third one, many of them at once. The replies must come in order, and each
/// write must have the next version.
fn many_at_once(ensemble: &Ensemble, place: usize, number: usize, over: &AtomicBool) -> Answered {
    let mut session = session(ensemble, place);
    let path = format!("/many-{place}-{number}");
    session.create(&path, None, OPEN_ACL, 0).expect("create");
    let mut answered = Answered::default();
    let (mut newest, mut version) = (Zxid::ZERO, 0);
    while !over.load(Ordering::Relaxed) {
        let mut frames = Vec::new();
        let xids: Vec<(i32, bool)> = (0..AT_ONCE)
            .map(|at| {
                let is_sync = at % 4 == 3;
                let xid = if is_sync {
                    session.queue(OpCode::Sync, &Body::path(&path), &mut frames)
                } else {
                    version += 1;
                    let body = Body::set_data(&path, Some(b"value"), version - 1);
                    session.queue(OpCode::SetData, &body, &mut frames)
                };
                (xid, is_sync)
            })
            .collect();
        session.connection().send_raw(&frames).expect("the connection stays");
        for (xid, is_sync) in xids {
            let reply = session.receive().unwrap_or_else(|error| {
                panic!("server {place}, session {number}, request {xid}: {error:?}; {answered:?}")
            });
            assert_eq!((reply.header.xid, reply.header.err), (xid, 0), "server {place}");
            if is_sync {
                answered.syncs += 1;
            } else {
                assert!(reply.header.zxid > newest, "server {place}: {:?}", reply.header);
                newest = reply.header.zxid;
                answered.writes += 1;
            }
        }
    }
    answered
}

/// Opens and closes sessions, which are requests of a learner as well.
fn sessions_come_and_go(ensemble: &Ensemble, place: usize, over: &AtomicBool) -> Answered {
    let mut answered = Answered::default();
    while !over.load(Ordering::Relaxed) {
        let mut session = session(ensemble, place);
        session.create("/brief-", None, OPEN_ACL, 3).expect("an ephemeral node");
        session.close().expect("close");
        answered.sessions += 1;
    }
    answered
}

/// Sends multis, each of which takes the leader some milliseconds, three of them under way at a time.
fn heavy(ensemble: &Ensemble, place: usize, number: usize, over: &AtomicBool) -> Answered {
    let mut session = session(ensemble, place);
    let path = format!("/heavy-{number}");
    session.create(&path, None, OPEN_ACL, 0).expect("create");
    let check = Body::path_version(&path, -1);
    let mut multi = Body::new();
    for _ in 0..HEAVY {
        multi = multi.multi_op(OpCode::Check.number(), &check);
    }
    multi = multi.multi_op(OpCode::SetData.number(), &Body::set_data(&path, None, -1)).multi_end();
    let mut answered = Answered::default();
    let mut under_way = 0;
    while under_way > 0 || !over.load(Ordering::Relaxed) {
        while under_way < 3 && !over.load(Ordering::Relaxed) {
            session.send(OpCode::Multi, &multi).expect("the connection stays");
            under_way += 1;
        }
        if under_way > 0 {
            let reply = session.receive().unwrap_or_else(|error| {
                panic!("server {place}, heavy {number}: {error:?}; {answered:?}")
            });
            assert_eq!(reply.header.err, 0, "server {place}, heavy {number}");
            under_way -= 1;
            answered.heavy += 1;
        }
    }
    answered
}
