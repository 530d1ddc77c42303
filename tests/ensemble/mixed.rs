//! Every mix of Ringkeeper and Apache ZooKeeper 3.8 and 3.9, with each program as leader: servers join by DIFF, TRUNC
//! and SNAP, sessions move from server to server, and after each step all servers hold the same data.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::SessionId;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Acl, Body, OPEN_ACL, Roaming, Session, WatchKind};
use ringkeeper_testkit::{Ensemble, Mode, PeerType, Program};

use crate::ground::{LIMIT, LONG_MS, config, everything, ours, turn};
use crate::same;

/// More transactions than servers keep in memory. They keep 500, and ZooKeeper allows no smaller number.
const MANY_TXNS: usize = 520;
/// Enough transactions for one listed digest: servers list every 128th.
const DIGEST_TXNS: usize = 130;
const FEW_TXNS: usize = 6;
const READ_ONLY_ACL: Acl<'static> =
    &[(1, "world", "anyone"), (31, "digest", "ann:7RJfAeIvrl4zdj6sS2fXrQHDvHM=")];

/// How a server is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    Diff,
    Trunc,
    Snap,
}

/// The programs of an ensemble: the first one leads first, then the second one.
fn mixes_of_three() -> Vec<Vec<Program>> {
    let kinds = [ours(), Program::ZooKeeper38, Program::ZooKeeper39];
    let mut mixes: Vec<Vec<Program>> = Vec::new();
    for first in &kinds {
        for second in 0..kinds.len() {
            for third in &kinds[second..] {
                let mix = vec![first.clone(), kinds[second].clone(), third.clone()];
                if !mixes.contains(&mix) {
                    mixes.push(mix);
                }
            }
        }
    }
    mixes
}

#[test]
fn every_mix_of_three_servers_holds_the_same_on_all_of_them() {
    let _turn = turn();
    let chosen: Vec<Vec<Program>> = if everything() {
        mixes_of_three()
    } else {
        vec![
            vec![ours(), Program::ZooKeeper38, Program::ZooKeeper39],
            vec![Program::ZooKeeper39, ours(), Program::ZooKeeper38],
            vec![Program::ZooKeeper38, ours(), ours()],
        ]
    };
    for mix in chosen {
        let begun = Instant::now();
        let members: Vec<_> =
            mix.into_iter().map(|program| (program, PeerType::Participant)).collect();
        Mix::start(&members).run();
        println!("{}: {:.1?}", names(&members), begun.elapsed());
    }
}

#[test]
fn mixes_of_five_with_an_observer_hold_the_same_on_all_of_them() {
    let _turn = turn();
    let (voter, observer) = (PeerType::Participant, PeerType::Observer);
    let mut chosen = vec![vec![
        (ours(), voter),
        (Program::ZooKeeper39, voter),
        (Program::ZooKeeper38, voter),
        (ours(), voter),
        (Program::ZooKeeper39, observer),
    ]];
    if everything() {
        chosen.push(vec![
            (Program::ZooKeeper38, voter),
            (ours(), voter),
            (ours(), voter),
            (Program::ZooKeeper39, voter),
            (ours(), observer),
        ]);
        chosen.push(vec![
            (ours(), voter),
            (ours(), voter),
            (Program::ZooKeeper39, voter),
            (Program::ZooKeeper38, observer),
            (ours(), observer),
        ]);
    }
    for members in chosen {
        let begun = Instant::now();
        Mix::start(&members).run();
        println!("{}: {:.1?}", names(&members), begun.elapsed());
    }
}

fn names(members: &[(Program, PeerType)]) -> String {
    let names: Vec<String> = members
        .iter()
        .map(|(program, role)| match role {
            PeerType::Participant => program.name().to_owned(),
            PeerType::Observer => format!("{} (observer)", program.name()),
        })
        .collect();
    names.join(", ")
}

/// An ensemble under test. The first of the listed members gets the highest id, so that it wins the first election.
struct Mix {
    ensemble: Ensemble,
    what: String,
    voters: Vec<usize>,
    written: usize,
}

impl Mix {
    /// Starts the ensemble with the first member as leader.
    fn start(members: &[(Program, PeerType)]) -> Self {
        let reversed: Vec<_> = members.iter().rev().cloned().collect();
        let voter = |id: &usize| reversed[id - 1].1 == PeerType::Participant;
        let ensemble = Ensemble::prepare(&reversed, config());
        let voters: Vec<usize> = ensemble.ids().filter(voter).rev().collect();
        let mut mix = Mix { ensemble, what: names(members), voters, written: 0 };
        mix.start_all_after_the_first();
        mix
    }

    /// Starts the first voter, and as many others as make a quorum with it. However long Java takes for its first
    /// votes, no quorum can elect another leader. Then starts the other servers.
    fn start_all_after_the_first(&mut self) {
        let quorum = &self.voters[..self.voters.len() / 2 + 1];
        let first = quorum[0];
        let ensemble = &mut self.ensemble;
        ensemble.spawn(first);
        let begun = Instant::now();
        // ZooKeeper answers its clients before it takes part in elections.
        while !ensemble.takes_part(first) {
            assert!(begun.elapsed() < LIMIT, "server {first} does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        quorum[1..].iter().for_each(|id| ensemble.spawn(*id));
        assert_eq!(ensemble.wait_leader_among(quorum, LIMIT), first, "{}", self.what);
        ensemble.start_all();
    }

    fn run(mut self) {
        println!("-- {}", self.what);
        self.fill();
        same::check(&mut self.ensemble, &format!("{}: filled", self.what));
        self.join_by_diff_and_snap();
        self.sessions_move();
        self.join_by_trunc();
        self.sessions_move();
        self.ensemble.kill_all();
        self.ensemble.start_all();
        let leader = self.ensemble.leader();
        self.write(leader, DIGEST_TXNS);
        let all: Vec<usize> = self.ensemble.ids().collect();
        same::check(&mut self.ensemble, &format!("{}: after a restart of all", self.what));
        assert!(same::same_digests(&self.ensemble, &all, &self.what) > 0, "{}", self.what);
        self.no_complaints();
    }

    fn session(&self, id: usize) -> Session {
        Session::open(self.ensemble.address(id), LONG_MS)
            .unwrap_or_else(|error| panic!("{}: server {id}: {error}", self.what))
    }

    /// Does a few operations of every kind through each server.
    fn fill(&mut self) {
        for id in self.ensemble.ids() {
            let mut session = self.session(id);
            let root = format!("/from{id}");
            session.create(&root, Some(b"root"), OPEN_ACL, 0).expect("create");
            for (name, flags) in [("plain", 0), ("s-", 2), ("s-", 2)] {
                let path = format!("{root}/{name}");
                session.create(&path, Some(name.as_bytes()), OPEN_ACL, flags).expect("create");
            }
            let container = Body::create(&format!("{root}/container"), None, OPEN_ACL, 4);
            session.call(OpCode::CreateContainer, &container).expect("createContainer");
            session.create(&format!("{root}/mine"), None, READ_ONLY_ACL, 0).expect("create");
            session.create(&format!("{root}/gone"), None, OPEN_ACL, 0).expect("create");
            session.delete(&format!("{root}/gone"), 0).expect("delete");
            for version in 0..3 {
                session.set_data(&format!("{root}/plain"), Some(b"more"), version).expect("set");
            }
            session.set_acl(&format!("{root}/container"), READ_ONLY_ACL, 0).expect("setACL");
            let multi = Body::new()
                .multi_op(
                    OpCode::Create.number(),
                    &Body::create(&format!("{root}/m"), None, OPEN_ACL, 0),
                )
                .multi_op(OpCode::SetData.number(), &Body::set_data(&root, Some(b"m"), -1))
                .multi_end();
            session.call(OpCode::Multi, &multi).expect("multi");
            // A failed request takes up a zxid too.
            assert!(session.delete(&root, -1).is_err());
            session.create(&format!("{root}/ephemeral"), None, OPEN_ACL, 1).expect("create");
            session.close().expect("closeSession");
        }
    }

    /// Writes through one server.
    fn write(&mut self, through: usize, count: usize) {
        let mut session = self.session(through);
        let mut frames = Vec::new();
        for _ in 0..count {
            self.written += 1;
            let path = format!("/from{}", 1 + self.written % self.ensemble.len());
            let data = self.written.to_string();
            let body = Body::set_data(&path, Some(data.as_bytes()), -1);
            session.queue(OpCode::SetData, &body, &mut frames);
        }
        session.connection().send_raw(&frames).expect("a connection");
        for _ in 0..count {
            assert_eq!(session.receive().expect("an answer").header.err, 0, "{}", self.what);
        }
        session.close().expect("closeSession");
    }

    fn join_by_diff_and_snap(&mut self) {
        let leader = self.ensemble.leader();
        let others: Vec<usize> = self.ensemble.ids().filter(|id| *id != leader).collect();
        for (at, id) in others.into_iter().enumerate() {
            let (sync, count) =
                if at % 2 == 0 { (Sync::Diff, FEW_TXNS) } else { (Sync::Snap, MANY_TXNS) };
            // The first of the other servers comes back in both ways, each of the further ones in one.
            let plans = if at == 0 {
                vec![(Sync::Diff, FEW_TXNS), (Sync::Snap, MANY_TXNS)]
            } else {
                vec![(sync, count)]
            };
            for (sync, count) in plans {
                self.ensemble.kill(id);
                self.write(leader, count);
                self.comes_back(id, sync, |mix| mix.ensemble.restart(id));
            }
        }
    }

    /// The leader logs a change that no other server has, and dies; another server leads; the first one returns.
    fn join_by_trunc(&mut self) {
        let old = self.ensemble.leader();
        let next = *self.voters.iter().find(|id| **id != old).expect("another voter");
        let others: Vec<usize> = self.ensemble.ids().filter(|id| *id != old).collect();
        let mut session = self.session(old);
        others.iter().for_each(|id| self.ensemble.pause(*id));
        let marker = format!("only {old} has this, after {}", self.written);
        let body = Body::create("/lost", Some(marker.as_bytes()), OPEN_ACL, 0);
        session.send(OpCode::Create, &body).expect("a connection");
        self.wait_logged(old, &marker);
        others.iter().for_each(|id| self.ensemble.kill(*id));
        self.ensemble.kill(old);

        // ZooKeeper: once something is written in the new epoch, the leader sends a snapshot instead, because a
        // TRUNC must not go back over the end of an epoch (LearnerHandler). So the test opens no session before the
        // old leader is back.
        self.lead_without(old, next);
        self.comes_back(old, Sync::Trunc, |mix| mix.ensemble.restart(old));
        let mut session = self.session(old);
        assert_eq!(session.exists("/lost", false).expect("exists"), None, "{}", self.what);
        session.close().expect("closeSession");
    }

    /// Starts all servers except `absent`. Server `wanted` leads, unless another one has more transactions.
    fn lead_without(&mut self, absent: usize, wanted: usize) {
        let mut order = vec![wanted];
        order.extend(self.ensemble.ids().filter(|id| ![absent, wanted].contains(id)));
        for id in &order {
            self.ensemble.spawn(*id);
            let begun = Instant::now();
            while !self.ensemble.takes_part(*id) {
                assert!(begun.elapsed() < LIMIT, "server {id} does not answer");
                thread::sleep(Duration::from_millis(10));
            }
        }
        self.ensemble.wait_leader_among(&order, LIMIT);
        order.iter().for_each(|id| self.ensemble.wait_serving(*id));
    }

    fn wait_logged(&self, id: usize, marker: &str) {
        let folder = self.ensemble.server(id).data_dir().join("version-2");
        let begun = Instant::now();
        loop {
            let logged = fs::read_dir(&folder).expect("the data folder").flatten().any(|entry| {
                entry.file_name().to_string_lossy().starts_with("log.")
                    && fs::read(entry.path()).is_ok_and(|bytes| {
                        bytes.windows(marker.len()).any(|part| part == marker.as_bytes())
                    })
            });
            if logged {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{}: server {id} has not logged it", self.what);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A server joins by the intended mode, and then holds the same data as the others.
    fn comes_back(&mut self, id: usize, sync: Sync, join: impl FnOnce(&mut Self)) {
        let before: Vec<usize> = self.ensemble.ids().map(|id| self.log(id).len()).collect();
        join(self);
        let what = format!("{}: server {id} came back by {sync:?}", self.what);
        same::check(&mut self.ensemble, &what);
        let said = self.ensemble.ids().any(|other| {
            let log = self.log(other);
            let news = &log[before[other - 1].min(log.len())..];
            let program = self.ensemble.server(other).program();
            said_by(program, sync, other == id).iter().any(|words| news.contains(words))
        });
        assert!(said, "{what}: no log says so\n{}", self.ensemble.tails(40));
    }

    fn log(&self, id: usize) -> String {
        let bytes = fs::read(self.ensemble.server(id).log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sessions move from server to server, and keep their ephemeral nodes.
    fn sessions_move(&mut self) {
        let all = self.ensemble.addresses();
        let patience = Duration::from_secs(10);
        let mut writer = Roaming::open(&all, LONG_MS, patience, LIMIT).expect("a session");
        writer.create("/moving", None, OPEN_ACL, 0, LIMIT).expect("create");
        for first in 0..all.len() {
            let mut session =
                Roaming::open(&all[first..=first], LONG_MS, patience, LIMIT).expect("a session");
            session.set_servers(&all);
            let (mine, watched) = (format!("/moving/e{first}"), format!("/moving/w{first}"));
            session.create(&mine, None, OPEN_ACL, 1, LIMIT).expect("create");
            writer.create(&watched, Some(b"0"), OPEN_ACL, 0, LIMIT).expect("create");
            let owner = session.id();
            session.insist(OpCode::Sync, &Body::path(&watched), LIMIT).expect("sync");
            for step in 1..=all.len() {
                session.watch(WatchKind::Data, &watched, LIMIT).expect("a watch");
                session.watch(WatchKind::Children, &mine, LIMIT).expect("a watch");
                let place = (first + step) % all.len();
                // A server that lags behind what the session has seen refuses it until it has caught
                // up; the session tries the next one meanwhile.
                let begun = Instant::now();
                loop {
                    session.move_to(place);
                    session.connect(LIMIT).expect("the session on another server");
                    if session.place() == place {
                        break;
                    }
                    let waits = begun.elapsed() < LIMIT;
                    assert!(waits, "{}: server {} takes no session", self.what, place + 1);
                }
                let (_, stat) = session.read(&mine, LIMIT).expect("its ephemeral node");
                assert_eq!(SessionId(stat.ephemeral_owner), owner, "{}", self.what);
                let set = Body::set_data(&watched, Some(b"1"), -1);
                writer.insist(OpCode::SetData, &set, LIMIT).expect("setData");
                let event = session.wait_event(&watched, LIMIT).expect("the watch fires");
                assert_eq!(event.event_type, 3, "{}: {event:?}", self.what);
            }
            let tree = same::check(&mut self.ensemble, &format!("{}: moved", self.what));
            assert!(tree.contains_key(&mine), "{}: {mine} is there", self.what);
            session.close(LIMIT).expect("closeSession");
            let tree = same::check(&mut self.ensemble, &format!("{}: closed", self.what));
            assert!(!tree.contains_key(&mine), "{}: {mine} is gone", self.what);
        }
        writer.close(LIMIT).expect("closeSession");
    }

    fn no_complaints(&self) {
        for id in self.ensemble.ids() {
            let log = self.log(id);
            for words in ["Digests are not matching", "panicked", "digest mismatch"] {
                assert!(!log.contains(words), "{}: server {id} says {words:?}", self.what);
            }
            assert_ne!(self.ensemble.mode(id), Some(Mode::Standalone));
        }
    }
}

/// The words in a server's log when that server joins in this way, or, without `joins`, when it leads and another
/// one joins.
fn said_by(program: &Program, sync: Sync, joins: bool) -> &'static [&'static str] {
    match (program, sync, joins) {
        (Program::Ringkeeper(_), Sync::Diff, _) => &["sync=DIFF", "by DIFF"],
        (Program::Ringkeeper(_), Sync::Trunc, _) => &["sync=TRUNC", "by TRUNC"],
        (Program::Ringkeeper(_), Sync::Snap, _) => &["sync=SNAP", "by SNAP"],
        (_, Sync::Diff, true) => &["Getting a diff from the leader"],
        (_, Sync::Trunc, true) => &["Truncating log to get in sync with the leader"],
        (_, Sync::Snap, true) => &["Getting a snapshot from leader"],
        (_, Sync::Diff, false) => &["Sending DIFF", "Sending diffs"],
        (_, Sync::Trunc, false) => &["Sending TRUNC"],
        (_, Sync::Snap, false) => &["Sending snapshot"],
    }
}
