//! Observers that learn from a follower.

use std::rc::Rc;

use bytes::Bytes;

use super::super::{MasterView, ObserverMaster, Upstream};
use super::words::{describe, packet_of};
use crate::acl::Identity;
use crate::id::{Epoch, ServerId, SessionId};
use crate::limits::{OBSERVER_QUESTIONS_MAX, OBSERVERS_BYTES_MAX, OBSERVERS_REQUESTS_MAX};
use crate::link::{LinkEvent, LinkId, LinkOp, Port};
use crate::proto::OpCode;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::session::Tenure;
use crate::time::MonoUs;
use crate::zab::packets::{PacketReader, put_request};
use crate::zab::tests::{TREE_END, config, shown, txn, zxid};
use crate::zab::{CommittedLog, Numbers};
use crate::zab::{Inbound, PassedRequest, Ready, SessionScope};

const LINK: LinkId = LinkId::accepted(1);

struct World {
    master: ObserverMaster,
    log: CommittedLog,
    config: Config,
    now: MonoUs,
}

impl World {
    fn new() -> World {
        World::below(false)
    }

    /// The world of a follower. Its leader answers fences as fences if `answers_fences` is set, and otherwise takes
    /// them for syncs.
    fn below(answers_fences: bool) -> World {
        let options = PeerOptions { me: ServerId(2), tick_ms: 1000, ..PeerOptions::default() };
        let recent = [zxid("1:4"), zxid("1:5")].map(txn);
        let log = CommittedLog::new(zxid("1:5"), recent.into(), 500);
        let numbers = Numbers::default();
        let epoch = (Epoch(3), answers_fences);
        let master = ObserverMaster::new(Rc::new(options), numbers, epoch, zxid("1:5"), MonoUs(0));
        World { master, log, config: config("1,2,3/4"), now: MonoUs(0) }
    }

    /// Lets the master handle an event of a link.
    fn link(&mut self, event: LinkEvent<'_>) {
        let view = MasterView {
            log: &self.log,
            committed: self.log.last(),
            config: &self.config,
            origin: None,
        };
        self.master.handle_link(self.now, event, view);
    }

    fn connect(&mut self) {
        let remote = "10.0.0.9:4000".parse().unwrap();
        self.link(LinkEvent::Accepted {
            link: LINK,
            port: Port::ObserverMaster,
            remote,
            may_be: None,
        });
    }

    fn say(&mut self, words: &str) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let bytes = packet_of("4", words[0], &words[1..]);
        self.link(LinkEvent::Received { link: LINK, bytes: &bytes });
    }

    fn commit(&mut self, at: &str, leader: Option<ServerId>) {
        let txn = txn(zxid(at));
        self.log.push(txn.clone());
        self.master.committed(&txn, leader);
    }

    /// One line for each packet to an observer, each question to the leader, and each word to the replica.
    fn take(&mut self) -> Vec<String> {
        let (mut ready, mut upstream, mut lines) = (Ready::default(), Vec::new(), Vec::new());
        self.master.take(&mut ready, &mut upstream);
        for op in ready.send {
            match op {
                LinkOp::Send { bytes, .. } => {
                    let mut reader = PacketReader::new(1 << 20);
                    let bytes = bytes.strip_suffix(TREE_END).unwrap_or(&bytes);
                    reader.push(bytes);
                    while let Some(packet) = reader.next().unwrap() {
                        lines.push(describe(&packet));
                    }
                }
                LinkOp::Close { .. } => lines.push("close".to_owned()),
                other => panic!("{other:?}"),
            }
        }
        for wish in upstream {
            lines.push(match wish {
                Upstream::Request(request) => format!("ask op {} {}", request.op, request.session),
                Upstream::Revalidate(session, _) => format!("ask whether {session} is alive"),
                Upstream::Fence(session) => format!("fence for {session}"),
            });
        }
        for inbound in ready.inbound {
            lines.push(match inbound {
                Inbound::Touch { session, .. } => format!("touch {session}"),
                Inbound::TakenUpAtObserver { session } => format!("{session} is taken up"),
                _ => panic!("{inbound:?}"),
            });
        }
        for read in ready.log_reads {
            lines.push(format!("read from {}", shown(read.from)));
        }
        lines
    }

    fn join(&mut self, last: &str) -> Vec<String> {
        self.connect();
        self.say("OBSERVERINFO 1:0");
        assert_eq!(self.take(), ["LEADERINFO 3:0"]);
        self.say(&format!("ACKEPOCH {last} 1"));
        self.take()
    }
}

#[test]
fn an_observer_learns_from_a_follower() {
    let mut world = World::new();
    let new_leader = "NEWLEADER 3:0 version=0 voters 1,2,3";
    assert_eq!(world.join("1:4"), ["DIFF 1:5", "PROPOSAL 1:5", "COMMIT 1:5", new_leader]);
    world.commit("3:1", None);
    world.say("ACK 3:0");
    assert_eq!(world.take(), ["INFORM 3:1", "UPTODATE none"]);
    world.say("ACK 3:0");
    world.commit("3:2", Some(ServerId(1)));
    world.commit("3:3", None);
    assert_eq!(world.take(), ["INFORMANDACTIVATE 3:2 leader 1 txn 3:2", "INFORM 3:3"]);
    world.now = world.now.plus_ms(500);
    world.master.handle_timeout(world.now);
    assert_eq!(world.take(), ["PING 3:3"]);
}

#[test]
fn what_an_observer_asks_goes_to_the_leader_and_the_answer_back() {
    let mut world = World::new();
    world.join("1:5");
    world.say("ACK 3:0");
    world.take();
    world.say("REQUEST 7 1 9 path");
    world.say("REQUEST 7 2 1 node");
    world.say("REVALIDATE 8");
    world.say("PING 7");
    assert_eq!(
        world.take(),
        [
            "ask op 9 0x7",
            "ask op 1 0x7",
            "ask whether 0x8 is alive",
            "0x8 is taken up",
            "touch 0x7"
        ]
    );
    // This server's own sync stands behind the observer's.
    world.master.own_sync();
    assert!(!world.master.sync_done());
    assert_eq!(world.take(), ["SYNC 0:0"]);
    assert!(world.master.sync_done());
    assert!(world.take().is_empty());
    // The answer about another session belongs to this server's own question.
    assert!(world.master.revalidated(SessionId(9), true, None));
    // The observer must know what its client asked for on earlier connections.
    let tenure = Tenure { since: zxid("3:2"), turn: 1 };
    assert!(!world.master.revalidated(SessionId(8), true, Some(tenure)));
    assert_eq!(world.take(), ["REVALIDATE none 0x8 alive since 3:2", "touch 0x8"]);
    // This server asks about the same session before the observer does, and each gets its own answer.
    world.master.own_revalidation(SessionId(8));
    world.say("REVALIDATE 8");
    world.take();
    assert!(world.master.revalidated(SessionId(8), false, None));
    assert!(world.take().is_empty());
    assert!(!world.master.revalidated(SessionId(8), true, None));
    assert_eq!(world.take(), ["REVALIDATE none 0x8 alive", "touch 0x8"]);
    // The observer's connection ends before the answer comes.
    world.say("REQUEST 7 1 9 path");
    world.link(LinkEvent::Closed { link: LINK, reason: "gone" });
    assert!(!world.master.sync_done());
}

/// To the leader, all sessions of the observers are at the follower, so the leader could not refuse such a request.
#[test]
fn what_is_asked_for_where_a_session_is_no_more_is_not_passed_on() {
    let mut world = World::new();
    world.join("1:5");
    world.say("ACK 3:0");
    world.take();
    let asked = ["ask op 1 0x7".to_owned()];
    world.say("REQUEST 7 1 1 path");
    assert_eq!(world.take(), asked);
    // The client reopens its session at the follower itself: first the leader says no, and then yes.
    for (valid, passed) in [(false, &asked[..]), (true, &[])] {
        world.master.own_revalidation(SessionId(7));
        assert!(world.master.revalidated(SessionId(7), valid, None));
        world.say("REQUEST 7 2 1 path");
        assert_eq!(world.take(), passed);
    }
    world.say("REQUEST 8 1 1 path");
    assert_eq!(world.take(), ["ask op 1 0x8"]);
    // The master tells an observer that is a Ringkeeper that it does not pass on the request.
    let mut bytes = Vec::new();
    let (session, scope) = (SessionId(7), SessionScope::Global);
    let identities: &[Identity] = &[];
    put_request(
        &mut bytes,
        &PassedRequest { session, scope, cxid: 3, op: 1, body: b"path", identities },
    );
    world.link(LinkEvent::Received { link: LINK, bytes: &bytes });
    assert_eq!(world.take(), ["REVALIDATE none 0x7 dead"]);
    // The client returns to the observer.
    world.say("REVALIDATE 7");
    world.take();
    assert!(!world.master.revalidated(SessionId(7), true, None));
    world.take();
    world.say("REQUEST 7 3 1 path");
    assert_eq!(world.take(), asked);
}

#[test]
fn observers_wait_until_the_leader_has_got_to_what_they_have_asked_for() {
    let mut world = World::new();
    world.join("1:5");
    world.say("ACK 3:0");
    world.take();
    let mut fences = 0;
    for asked in 0..OBSERVERS_REQUESTS_MAX / 4 {
        assert!(!world.master.has_enough_of(LINK), "{asked}");
        world.say("REQUEST 7 1 1 path");
        fences += world.take().iter().filter(|line| is_fence(line)).count();
    }
    assert!(world.master.has_enough_of(LINK) && fences == 4, "{fences}");
    assert!(!world.master.has_enough_of(LinkId::accepted(2)), "no observer's link");
    // Requests that had already arrived wait at the master.
    world.say("REQUEST 7 2 9 path");
    assert_eq!(world.take(), Vec::<String>::new());
    // This server's sync stands behind the fences, and the observer's behind that. Each answer is for the oldest of
    // them.
    world.master.own_sync();
    assert!(!world.master.sync_done());
    assert!(!world.master.has_enough_of(LINK));
    assert_eq!(world.take(), ["ask op 9 0x7"]);
    for _ in 0..3 {
        assert!(!world.master.sync_done());
    }
    assert_eq!(world.take(), Vec::<String>::new());
    assert!(world.master.sync_done(), "its own");
    assert!(!world.master.sync_done());
    assert_eq!(world.take(), ["SYNC 0:0"]);
    // The bound on bytes lets fewer long requests through.
    let body = "x".repeat(OBSERVERS_BYTES_MAX / 20 + 1);
    let words = format!("REQUEST 7 1 1 {body}");
    (0..9).for_each(|_| world.say(&words));
    assert!(world.master.has_enough_of(LINK));
    let lines = world.take();
    let fences = lines.iter().filter(|line| is_fence(line)).count();
    assert_eq!((lines.len() - fences, fences), (5, 2));
    // Each answer lets more requests go on, until none of them is held back.
    (0..4).for_each(|_| assert!(!world.master.sync_done()));
    let asked = world.take().iter().filter(|line| !is_fence(line)).count();
    assert!(asked == 4 && !world.master.has_enough_of(LINK), "{asked}");
}

fn is_fence(line: &String) -> bool {
    *line == "fence for 0x7"
}

fn put_sync(out: &mut Vec<u8>, scope: SessionScope) {
    let (session, op) = (SessionId(7), OpCode::Sync.number());
    put_request(
        out,
        &PassedRequest { session, scope, cxid: 2, op, body: b"path", identities: &[] },
    );
}

/// An observer that is a Ringkeeper itself keeps its syncs behind its requests.
#[test]
fn syncs_of_ringkeepers_do_not_wait_for_fences() {
    let mut world = World::below(true);
    world.join("1:5");
    world.say("ACK 3:0");
    (2..OBSERVERS_REQUESTS_MAX / 4).for_each(|_| world.say("REQUEST 7 1 1 path"));
    assert_eq!(world.take().iter().filter(|line| is_fence(line)).count(), 3);
    let mut bytes = Vec::new();
    put_sync(&mut bytes, SessionScope::Global);
    world.link(LinkEvent::Received { link: LINK, bytes: &bytes });
    world.master.own_sync();
    // Answers to both syncs come before the fences'.
    assert!(!world.master.sync_done());
    assert_eq!(world.take(), ["SYNC 0:0", "ask op 9 0x7"]);
    assert!(world.master.sync_done(), "its own");
    world.say("REQUEST 7 1 1 path");
    assert!(world.master.has_enough_of(LINK));
    world.master.fence_done();
    assert!(!world.master.has_enough_of(LINK));
    (0..3).for_each(|_| world.master.fence_done());
    world.take();
    // The answer to a fence that the master did not send changes nothing.
    world.master.fence_done();
    assert_eq!(world.take(), Vec::<String>::new());
}

/// The master holds the syncs of an observer of Apache ZooKeeper, so that no other server's syncs wait for them at
/// the leader.
#[test]
fn syncs_that_their_observer_does_not_order_are_passed_on_behind_what_came_before() {
    let mut world = World::below(true);
    world.join("1:5");
    world.say("ACK 3:0");
    world.take();
    let (request, sync) = ("REQUEST 7 1 1 path", "REQUEST 7 2 9 path");
    world.say(sync);
    assert_eq!(world.take(), ["ask op 9 0x7"], "nothing is before it");
    assert!(!world.master.sync_done());
    assert_eq!(world.take(), ["SYNC 0:0"]);
    world.say(request);
    world.say(sync);
    assert_eq!(world.take(), ["ask op 1 0x7", "fence for 0x7"]);
    // Later requests wait with the sync.
    (0..3).for_each(|_| world.say(request));
    world.say(sync);
    assert_eq!(world.take(), Vec::<String>::new());
    assert!(world.master.has_enough_of(LINK));
    world.master.own_sync();
    assert!(world.master.sync_done(), "it waits for none of them");
    world.master.fence_done();
    let write = "ask op 1 0x7";
    assert_eq!(world.take(), ["ask op 9 0x7", write, write, write, "fence for 0x7"]);
    world.master.fence_done();
    assert_eq!(world.take(), ["ask op 9 0x7"]);
    assert!(!world.master.has_enough_of(LINK));
    (0..2).for_each(|_| assert!(!world.master.sync_done()));
    assert_eq!(world.take(), ["SYNC 0:0"; 2]);
}

#[test]
fn observers_that_ask_much_about_sessions_wait_and_are_not_sent_away() {
    let mut world = World::new();
    world.join("1:5");
    world.say("ACK 3:0");
    world.take();
    (0..OBSERVER_QUESTIONS_MAX + 5).for_each(|_| world.say("REVALIDATE 7"));
    let asked = |lines: Vec<String>| lines.iter().filter(|line| line.starts_with("ask")).count();
    assert_eq!(asked(world.take()), OBSERVER_QUESTIONS_MAX);
    assert!(world.master.has_enough_of(LINK));
    for _ in 0..5 {
        assert!(!world.master.revalidated(SessionId(7), false, None));
    }
    assert_eq!(asked(world.take()), 5);
    assert!(world.master.has_enough_of(LINK), "as many wait again");
    assert!(!world.master.revalidated(SessionId(7), false, None));
    assert!(!world.master.has_enough_of(LINK));
}

#[test]
fn only_observers_learn_from_a_follower() {
    for words in [
        "FOLLOWERINFO 1:0",
        "OBSERVERINFO 1:0 nobody",
        "OBSERVERINFO 1:0 8",
        "ACK 1:1",
        "OBSERVERINFO 1:0 100000000",
    ] {
        let mut world = World::new();
        world.connect();
        world.say(words);
        assert_eq!(world.take(), ["close"], "{words}");
    }
    let mut world = World::new();
    world.connect();
    world.now = world.now.plus_ms(10_000);
    world.master.handle_timeout(world.now);
    world.now = world.now.plus_ms(10_000);
    world.master.handle_timeout(world.now);
    assert!(world.master.owns(LINK), "this process stood still");
    for _ in 0..20 {
        world.now = world.now.plus_ms(500);
        world.master.handle_timeout(world.now);
    }
    assert_eq!(world.take(), ["close"]);
}

#[test]
fn an_observer_that_is_far_behind_gets_files_or_the_tree() {
    let mut world = World::new();
    assert_eq!(world.join("1:1"), ["read from 1:1"]);
    world.commit("3:1", None);
    world.master.handle_log_read(world.now, 1, None);
    assert!(world.take().is_empty() && world.master.wants_snapshot());
    let view =
        MasterView { log: &world.log, committed: zxid("3:1"), config: &world.config, origin: None };
    world.master.snapshot_begins(zxid("3:1"), None, view);
    assert_eq!(world.take(), ["SNAP 3:1"]);
    world.commit("3:2", None);
    assert!(world.master.wants_snapshot_piece());
    world.master.snapshot_piece(&Bytes::from_static(TREE_END));
    world.master.snapshot_ends();
    let lines = world.take();
    assert_eq!(lines, ["NEWLEADER 3:0 version=0 voters 1,2,3", "INFORM 3:2"]);
    assert_eq!(world.master.synced_observers(), 1);
    let mut ready = Ready::default();
    world.master.close(&mut ready);
    assert_eq!(ready.send, [LinkOp::Close { link: LINK }]);
}
