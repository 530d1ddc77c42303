//! Learners that come, go and lag while proposals flow: each gets every transaction once, and in order, whichever
//! way the leader brings it up to date. No packet of any peer ends the leader.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;

use super::super::{Lasting, Leader};
use super::words::packet_of;
use crate::id::{Epoch, SessionId, Zxid};
use crate::link::LinkIds;
use crate::link::{LinkEvent, LinkId, LinkOp, Port};
use crate::proto::OpCode;
use crate::proto::quorum::packet;
use crate::proto::txn::{Txn, TxnBody, TxnHeader};
use crate::quorum::PeerOptions;
use crate::random::Random;
use crate::time::MonoUs;
use crate::zab::Ready;
use crate::zab::packets::{Packet, PacketReader};
use crate::zab::tests::{TREE_END, config, shown};
use crate::zab::{CommittedLog, Epochs, Numbers, Origin};

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap()
}

/// A learner that believes the leader, and checks each packet against all that the leader ever proposed.
struct Model {
    server: i64,
    is_observer: bool,
    reader: PacketReader,
    tree: Option<(Zxid, Vec<u8>)>,
    /// The zxids of its log.
    log: Vec<Zxid>,
    committed: Zxid,
    /// The zxids that it has not acknowledged yet.
    to_ack: Vec<Zxid>,
    is_up_to_date: bool,
    /// Bytes that were sent to it, and that the leader was not told to have arrived.
    unsent: u64,
    says: Vec<String>,
}

struct World {
    leader: Leader,
    now: MonoUs,
    random: Random,
    models: BTreeMap<LinkId, Model>,
    next_link: u64,
    /// The leader's history from the beginning.
    truth: Vec<Zxid>,
    /// How many transactions of `truth` are committed.
    committed: usize,
    applied: Zxid,
    appended: Zxid,
    token: Option<u64>,
    reads: Vec<(u64, Zxid, Zxid)>,
    holds: bool,
    tree_left: usize,
    body: usize,
    /// The servers whose links the leader closed; each of them has connected again.
    closed: Vec<i64>,
    /// How often each server has connected.
    came: BTreeMap<i64, usize>,
}

fn txn(zxid: Zxid, body: usize) -> Txn {
    let (client_id, op) = (SessionId(0), OpCode::SetData);
    let header = TxnHeader { client_id, cxid: 0, zxid, time: 0, op };
    let data = vec![b'x'; body];
    let body = crate::proto::txn::SetDataTxn { path: Some("/a"), data: Some(&data), version: 1 };
    Txn::new(header, &TxnBody::SetData(body), None)
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let mut options = PeerOptions {
            tick_ms: 1000,
            commit_log_txns: 1 + random.index(8),
            ..PeerOptions::default()
        };
        options.sync_from_log = random.index(3) > 0;
        // Some worlds have transactions so large that the history of a learner waits for room.
        let body = if random.index(20) == 0 { 500 * 1024 } else { 10 };
        let mut truth: Vec<Zxid> =
            (1..=number(random.index(12))).map(|at| Zxid::new(Epoch(1), at)).collect();
        truth.extend((1..=number(random.index(4))).map(|at| Zxid::new(Epoch(2), at)));
        let last = truth.last().copied().unwrap_or(Zxid::ZERO);
        let kept = truth.len() - random.index(truth.len() + 1);
        let recent = truth[kept..].iter().map(|at| txn(*at, body)).collect();
        let recent = CommittedLog::new(last, recent, options.commit_log_txns);
        let config = Rc::new(config("1,2,3/4,5"));
        let epochs = Epochs::new(Epoch(2), Epoch(2));
        let lasting =
            Lasting::new(options, LinkIds::default(), config.clone(), config, epochs, recent);
        let committed = truth.len();
        let mut world = World {
            leader: Leader::new(Box::new(lasting), Numbers::default(), Origin(5), MonoUs(0)),
            now: MonoUs(0),
            random,
            models: BTreeMap::new(),
            next_link: 0,
            truth,
            committed,
            applied: last,
            appended: last,
            token: None,
            reads: Vec::new(),
            holds: false,
            tree_left: 0,
            body,
            closed: Vec::new(),
            came: BTreeMap::new(),
        };
        world.take();
        world
    }

    fn take(&mut self) {
        let mut ready = Ready::default();
        self.leader.take_ready(&mut ready);
        assert_eq!(self.leader.failure(), None);
        for op in ready.send {
            match op {
                LinkOp::Send { link, bytes } => {
                    if let Some(model) = self.models.get_mut(&link) {
                        model.unsent += bytes.len() as u64;
                        model.hear(&bytes, &self.truth);
                    }
                }
                LinkOp::Close { link } => {
                    // The leader closes a link only because its server has connected again, which `settle` checks.
                    let Some(closed) = self.models.remove(&link) else { continue };
                    self.closed.push(closed.server);
                }
                other => panic!("{other:?}"),
            }
        }
        for txn in &ready.commit {
            assert_eq!(txn.zxid(), self.truth[self.committed], "commits are in order");
            self.committed += 1;
            self.applied = txn.zxid();
        }
        for standing in &ready.standing {
            assert_eq!(format!("{standing:?}"), "Leading { epoch: Epoch(3) }");
            self.applied = Zxid::new(Epoch(3), 0);
        }
        if let Some(txn) = ready.append.last() {
            self.appended = txn.zxid();
        }
        if ready.durable.is_some() {
            self.token = ready.durable;
        }
        for read in ready.log_reads {
            self.reads.push((read.id, read.from, read.to));
        }
    }

    fn connect(&mut self) {
        let link = LinkId::accepted(self.next_link);
        self.next_link += 1;
        let server = [2, 3, 4, 5, 9][self.random.index(5)];
        let is_observer = [4, 5].contains(&server);
        // The learner's log is a prefix of the leader's history.
        let length = self.random.index(self.truth.len() + 1);
        let mut log = self.truth[..length].to_vec();
        if length < self.committed && self.random.index(4) == 0 && !log.is_empty() {
            // The log ends with a transaction that only its former leader and this server have.
            let last = *log.last().unwrap();
            if self.truth[length].epoch() > last.epoch() {
                log.push(Zxid(last.0 + 1));
            }
        }
        let last = log.last().copied().unwrap_or(Zxid::ZERO);
        let kind = if is_observer { "OBSERVERINFO" } else { "FOLLOWERINFO" };
        // Whatever its log holds, the learner says that epoch 2 is the last one that it has accepted.
        let says = vec![
            format!("{kind} 2:0"),
            format!("ACKEPOCH {} 1", if log.is_empty() { "0:0".into() } else { shown(last) }),
        ];
        let model = Model {
            server,
            is_observer,
            reader: PacketReader::new(1 << 24),
            tree: None,
            log,
            committed: last,
            to_ack: Vec::new(),
            is_up_to_date: false,
            unsent: 0,
            says,
        };
        self.models.insert(link, model);
        *self.came.entry(server).or_default() += 1;
        let remote = "10.0.0.9:4000".parse().unwrap();
        self.leader.handle_link(
            self.now,
            LinkEvent::Accepted { link, port: Port::Quorum, remote, may_be: None },
        );
    }

    fn say(&mut self, link: LinkId, words: &str) {
        let server = self.models[&link].server.to_string();
        let words: Vec<&str> = words.split_whitespace().collect();
        let bytes = packet_of(&server, words[0], &words[1..]);
        // The packet arrives in two pieces.
        let (one, other) = bytes.split_at(self.random.index(bytes.len()));
        for bytes in [one, other] {
            self.leader.handle_link(self.now, LinkEvent::Received { link, bytes });
        }
    }

    fn sent(&mut self, link: LinkId) {
        let model = self.models.get_mut(&link).unwrap();
        let bytes = std::mem::take(&mut model.unsent);
        self.leader.handle_link(self.now, LinkEvent::Sent { link, bytes });
    }

    fn some_link(&mut self) -> Option<LinkId> {
        let at = self.random.index(self.models.len().max(1));
        self.models.keys().nth(at).copied()
    }

    fn progress(&mut self, link: LinkId) {
        self.sent(link);
        let model = self.models.get_mut(&link).unwrap();
        if !model.says.is_empty() {
            let words = model.says.remove(0);
            self.say(link, &words);
        } else if !model.to_ack.is_empty() && model.is_up_to_date {
            let at = model.to_ack.remove(0);
            self.say(link, &format!("ACK {}", shown(at)));
        }
    }

    fn propose(&mut self) {
        let last = Zxid::new(Epoch(3), 0).max(self.leader.accepted());
        if let Some(zxid) = self.leader.is_active().then(|| self.leader.zxid_after(last)).flatten()
        {
            self.truth.push(zxid);
            self.leader.propose(txn(zxid, self.body));
        }
    }

    fn tree(&mut self) {
        if !self.holds && self.leader.wants_snapshot() {
            self.leader.snapshot_begins(self.applied, None);
            self.holds = self.leader.sends_snapshot();
            self.tree_left = self.random.index(4);
        } else if self.holds && !self.leader.sends_snapshot() {
            self.holds = false;
        } else if self.holds && self.leader.wants_snapshot_piece() {
            if self.tree_left > 0 {
                self.tree_left -= 1;
                self.leader.snapshot_piece(&Bytes::from_static(b"nodes"));
            } else {
                self.leader.snapshot_piece(&Bytes::from_static(TREE_END));
                self.leader.snapshot_ends();
                self.holds = false;
            }
        }
    }

    fn files(&mut self) {
        let Some((id, from, to)) = self.reads.pop() else { return };
        let start = self.truth.partition_point(|at| *at <= from).saturating_sub(1);
        let end = self.truth.partition_point(|at| *at <= to);
        let txns = (self.random.index(5) > 0)
            .then(|| self.truth[start..end].iter().map(|at| txn(*at, self.body)).collect());
        self.leader.handle_log_read(self.now, id, txns);
    }

    fn step(&mut self) {
        match self.random.index(20) {
            0 if self.models.len() < 6 => self.connect(),
            1 => {
                if self.random.index(10) == 0
                    && let Some(link) = self.some_link()
                {
                    self.models.remove(&link);
                    let event = LinkEvent::Closed { link, reason: "gone" };
                    self.leader.handle_link(self.now, event);
                }
            }
            2..6 => self.propose(),
            6..8 => self.tree(),
            8 => self.files(),
            9 => {
                if let Some(token) = self.token.take() {
                    self.leader.handle_durable(self.now, token);
                }
            }
            10 => self.leader.handle_synced(self.appended),
            _ => {
                if let Some(link) = self.some_link() {
                    self.progress(link);
                }
            }
        }
        // Several events may fall into one turn.
        if self.random.index(3) > 0 {
            self.take();
        }
    }

    fn is_settled(&self) -> bool {
        let last = self.truth.last().copied().unwrap_or(Zxid::ZERO);
        let arrived = |model: &Model| {
            model.is_up_to_date && model.log.len() == self.truth.len() && model.committed >= last
        };
        self.leader.is_active()
            && self.committed == self.truth.len()
            && self.models.values().all(arrived)
    }

    /// Ends all faults. Every learner must catch up.
    fn settle(&mut self) {
        // With the leader, server 2 makes a quorum.
        while self.models.values().filter(|model| model.server == 2).count() == 0 {
            self.connect();
        }
        for _ in 0..2000 {
            self.take();
            if self.is_settled() {
                break;
            }
            self.tree();
            self.files();
            if let Some(token) = self.token.take() {
                self.leader.handle_durable(self.now, token);
            }
            self.leader.handle_synced(self.appended);
            for link in self.models.keys().copied().collect::<Vec<_>>() {
                if self.models.contains_key(&link) {
                    self.progress(link);
                }
            }
        }
        self.take();
        assert!(self.leader.is_active());
        for server in &self.closed {
            assert!(self.came[server] > 1, "server {server} was closed");
        }
        assert_eq!(self.committed, self.truth.len());
        for model in self.models.values() {
            assert!(model.is_up_to_date, "server {} is left behind", model.server);
            assert_eq!(model.log, self.truth);
            // The tree may have the first zxid of the epoch, which no transaction has.
            let last = self.truth.last().copied().unwrap_or(Zxid::ZERO);
            assert!(model.committed >= last, "{} of {last}", model.committed);
        }
    }
}

impl Model {
    fn hear(&mut self, bytes: &[u8], truth: &[Zxid]) {
        let mut rest = bytes.to_vec();
        loop {
            if let Some((zxid, tree)) = &mut self.tree {
                tree.append(&mut rest);
                let end = tree.windows(TREE_END.len()).position(|window| window == TREE_END);
                let Some(end) = end else { return };
                rest = tree.split_off(end + TREE_END.len());
                self.log = truth.iter().copied().filter(|at| *at <= *zxid).collect();
                self.committed = *zxid;
                self.tree = None;
            }
            self.reader.push(&std::mem::take(&mut rest));
            loop {
                let Some(packet) = self.reader.next().unwrap() else { return };
                if packet.kind == packet::SNAP {
                    rest = self.reader.take_rest();
                    self.tree = Some((packet.zxid, Vec::new()));
                    break;
                }
                self.on_packet(&packet, truth);
            }
        }
    }

    fn on_packet(&mut self, packet: &Packet, truth: &[Zxid]) {
        let next = |log: &[Zxid]| truth.get(log.len()).copied();
        match packet.kind {
            packet::LEADERINFO | packet::PING => {}
            packet::DIFF => self.committed = self.log.last().copied().unwrap_or(Zxid::ZERO),
            packet::TRUNC => {
                assert!(self.log.contains(&packet.zxid), "cut to what it does not have");
                self.log.retain(|at| *at <= packet.zxid);
                self.committed = packet.zxid;
            }
            packet::PROPOSAL => {
                assert_eq!(Some(packet.zxid), next(&self.log), "once, and in order");
                self.log.push(packet.zxid);
                if !self.is_observer {
                    self.to_ack.push(packet.zxid);
                }
            }
            packet::COMMIT => {
                let next = truth.iter().copied().find(|at| *at > self.committed);
                assert_eq!(Some(packet.zxid), next, "committed once, and in order");
                assert!(self.log.contains(&packet.zxid), "proposed before");
                self.committed = packet.zxid;
                if !self.is_up_to_date {
                    // The proposal belongs to the history, which the learner does not acknowledge packet by packet.
                    self.to_ack.retain(|at| *at != packet.zxid);
                }
            }
            packet::INFORM => {
                assert!(self.is_observer);
                assert_eq!(Some(packet.zxid), next(&self.log), "once, and in order");
                self.log.push(packet.zxid);
                self.committed = packet.zxid;
            }
            packet::NEWLEADER => {
                assert_eq!(self.log[..], truth[..self.log.len()], "its history is the leader's");
                self.says.push("ACK 3:0".to_owned());
            }
            packet::UPTODATE => {
                self.is_up_to_date = true;
                self.says.push("ACK 3:0".to_owned());
            }
            other => panic!("a packet of type {other}"),
        }
    }
}

#[test]
fn nothing_is_missed_and_nothing_comes_twice() {
    for seed in 0..200 {
        println!("seed={seed}");
        let mut world = World::new(seed);
        for _ in 0..300 {
            world.step();
        }
        world.settle();
    }
}

#[test]
fn whatever_is_sent_a_leader_goes_on() {
    let conversation = [
        "FOLLOWERINFO 2:0",
        "ACKEPOCH 1:1 1",
        "ACK 3:0",
        "REQUEST 7 1 1 body ip",
        "PING 7 8",
        "REVALIDATE 7",
        "ACK 3:1",
    ];
    for seed in 0..1000 {
        let mut world = World::new(seed);
        let link = LinkId::accepted(999);
        let remote = "10.0.0.9:4000".parse().unwrap();
        let port = Port::Quorum;
        let honest_until = world.random.index(conversation.len());
        world.connect();
        world
            .leader
            .handle_link(world.now, LinkEvent::Accepted { link, port, remote, may_be: None });
        for (at, words) in conversation.iter().enumerate() {
            let words: Vec<&str> = words.split_whitespace().collect();
            let mut bytes = packet_of("9", words[0], &words[1..]);
            if at >= honest_until {
                for _ in 0..=world.random.index(3) {
                    let place = world.random.index(bytes.len());
                    bytes[place] = [0, 1, 0x7f, 0x80, 0xff, u8::try_from(place % 256).unwrap()]
                        [world.random.index(6)];
                }
            }
            world.leader.handle_link(world.now, LinkEvent::Received { link, bytes: &bytes });
            for _ in 0..10 {
                let mut ready = Ready::default();
                world.leader.take_ready(&mut ready);
                if let Some(token) = ready.durable {
                    world.leader.handle_durable(world.now, token);
                }
                if let Some(model) = world.models.values_mut().next()
                    && !model.says.is_empty()
                {
                    let words = model.says.remove(0);
                    let first = *world.models.keys().next().unwrap();
                    world.say(first, &words);
                }
            }
        }
        assert_eq!(world.leader.failure(), None);
    }
}
