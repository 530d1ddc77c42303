//! A live ensemble, and an attacker that speaks to its servers on the ports between them.
//!
//! Three voters, perhaps an observer, and clients that read and write; the script alone causes faults. The script
//! opens connections of an attacker to the quorum, election and observer master ports, sends messages of the
//! protocol with any numbers in them, or any bytes, in pieces, and lets time pass. Besides "nothing panics", the
//! checks depend on the attacker's address:
//!
//! * **The address of no member.** No server looks for a leader, no epoch and no process ends, and the servers
//!   acknowledge the writes of clients in time. The attacker may still be an observer without a configuration line,
//!   as any stranger may (`ringkeeper.peerAddressCheck=strict` forbids it). The leader then carries out what he
//!   passes on for a client, such as a write or the end of a session, so the target checks neither the content of
//!   the tree nor that a session lives.
//! * **The address of a member, or any address where servers do not check addresses.** No process ends by itself,
//!   epochs are not used up, and a quorum serves when the attacker has gone and all members are there. Without TLS,
//!   nobody can tell the attacker from the member whose address he has. He can therefore do all that a voter's word
//!   does, and the target does not check the results: a forged ACK commits what only the leader has; forged votes
//!   and promises elect a server that lacks committed transactions; two leaders may each count him for a quorum; and
//!   a server that takes him for its leader gets any tree and any transactions from him. One voter that did so may
//!   be kept out for ever for its history, until an operator sets its folder aside, as its message says. Where two
//!   of three voters did so, no history is known as the right one, and the target checks only that no process ends.
//!
//! Of the transactions that he makes as a leader, most fit the tree.

use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::{Epoch, ServerId, SessionId, Zxid};
use ringkeeper::jute::{Jute, Vector, VectorBuf};
use ringkeeper::limits::EPOCH_LEAD_MAX;
use ringkeeper::link::Port;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::quorum::{
    ELECTION_PROTOCOL_V1, ELECTION_PROTOCOL_V2, ElectionHandshake, LearnerInfo, Notification,
    PROTOCOL_VERSION, QuorumPacket, ServerState, packet,
};
use ringkeeper::proto::txn::{CreateTxn, SetDataTxn, Txn, TxnBody, TxnHeader};
use ringkeeper::snapshot::StreamWriter;
use ringkeeper::zab::packets;
use ringkeeper::zab::{Mark, Marks, Origin};
use ringkeeper::zab::{PassedRequest, PeerState, SessionScope};
use ringkeeper_sim::attacker::{Guise, Line, Setup, Siege};

use super::impossible;
use super::requests::{OPS, encode_body};
use super::script::Script;

const MS: u64 = 1000;
const SECOND: u64 = 1000 * MS;

/// The most time that an undisturbed ensemble takes until it serves, in microseconds.
const ELECTED_WITHIN: u64 = 10 * SECOND;

/// How long a client may wait for a write while a stranger speaks to the servers: several times its session's
/// timeout, because the stranger may end its session.
const WRITTEN_WITHIN: u64 = 15 * SECOND;

/// Limit until a quorum serves after the attacker: others avoid a server kept out for several times `initLimit`.
const RECOVERED_WITHIN: u64 = 120 * SECOND;

/// The most simulated time of a script.
const SCRIPT_US_MAX: u64 = 8 * SECOND;
/// The most commands of a script.
const COMMANDS_MAX: usize = 300;
/// The most connections of the attacker.
const LINES_MAX: usize = 14;

/// The input is a script. Its first two bytes choose the attacker's address and the shape of the ensemble.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let choice = script.byte();
    let shape = script.byte();
    let observers = usize::from(shape & 1);
    let members = 3 + observers;
    let member = usize::from(shape >> 4) % members;
    let guise = match choice % 8 {
        0..=2 => Guise::Stranger,
        3 => Guise::Unchecked,
        4 => Guise::Beside(member),
        _ => Guise::InPlaceOf(member),
    };
    let setup = Setup {
        seed: 1,
        observers,
        observer_masters: shape & 2 != 0,
        clients: 1 + usize::from(shape & 4 != 0),
        guise,
    };
    let mut siege = Siege::new(&setup, sink());
    assert!(siege.comes_together(ELECTED_WITHIN), "{}", siege.states());
    assert!(siege.comes_to_write(ELECTED_WITHIN), "{}", siege.states());
    let before = State::of(&siege);
    siege.come();
    let mut attack = Attack::new(siege, &before);
    attack.play(&mut script);
    if guise.is_members() {
        attack.end_as_member(&before);
    } else {
        attack.end_as_stranger(&before);
    }
}

/// Prints what happens, if `FUZZ_TRACE` is set.
fn sink() -> Option<ringkeeper_sim::Sink> {
    std::env::var_os("FUZZ_TRACE")?;
    Some(Box::new(|at, line| println!("{at:>9} {line}")))
}

/// The state of the ensemble that a stranger must not change.
#[derive(Debug, PartialEq, Eq)]
struct State {
    lives: Vec<u64>,
    states: Vec<Option<PeerState>>,
    leader: Option<ServerId>,
    epochs: Vec<i64>,
    lookings: Vec<u64>,
}

impl State {
    fn of(siege: &Siege) -> State {
        let all = || 0..siege.servers();
        let facts = |server| siege.facts(server);
        State {
            lives: all().map(|server| siege.life(server)).collect(),
            states: all().map(|server| Some(facts(server)?.state)).collect(),
            leader: all().find_map(|server| facts(server)?.leader),
            epochs: all().map(|server| siege.accepted_epoch(server)).collect(),
            lookings: all()
                .map(|server| facts(server).map_or(0, |facts| facts.counts.lookings))
                .collect(),
        }
    }
}

/// The attacker, and what he knows of the ensemble that he attacks.
struct Attack {
    siege: Siege,
    /// The last zxid of the leader, and its epoch, when the attacker last looked.
    last: Zxid,
    epoch: i64,
    passed: u64,
    /// The last message, which he may repeat.
    said: Vec<u8>,
    /// How many bytes the end of the next message lacks.
    cut: usize,
    /// Servers that may have taken him for their leader.
    led: Vec<bool>,
    /// How many times a leader or a learner may have heard an epoch from him.
    claims: i64,
}

impl Attack {
    fn new(siege: Siege, before: &State) -> Attack {
        let led = vec![false; siege.servers()];
        let epoch = before.epochs.iter().copied().max().unwrap_or(0);
        let (last, said) = (Zxid::ZERO, Vec::new());
        Attack { siege, last, epoch, passed: 0, said, cut: 0, led, claims: 0 }
    }

    fn play(&mut self, script: &mut Script<'_>) {
        for _ in 0..COMMANDS_MAX {
            if script.is_empty() || self.passed >= SCRIPT_US_MAX {
                break;
            }
            self.look();
            self.command(script);
        }
        self.pass(50 * MS);
    }

    /// Learns what an attacker that has listened can know.
    fn look(&mut self) {
        let servers = 0..self.siege.servers();
        self.last =
            servers.map(|server| self.siege.last_proposed(server)).max().unwrap_or(self.last);
    }

    fn pass(&mut self, us: u64) {
        self.passed += us;
        self.siege.pass(us);
        if let Some(failure) = self.siege.failure() {
            panic!("{failure}");
        }
    }

    // ---- the ends

    fn end_as_stranger(&mut self, before: &State) {
        let siege = &mut self.siege;
        let served = siege.comes_to_write(WRITTEN_WITHIN);
        assert_eq!(siege.failure(), None);
        assert!(served, "clients wait for their writes: {}", siege.states());
        assert_eq!(State::of(siege), *before, "a stranger has changed the ensemble");
        siege.go();
        siege.pass(SECOND);
        assert_eq!(siege.failure(), None);
        assert_eq!(State::of(siege), *before, "a stranger has changed the ensemble");
    }

    fn end_as_member(&mut self, before: &State) {
        let siege = &mut self.siege;
        siege.go();
        let mut served = siege.comes_to_write(RECOVERED_WITHIN);
        assert_eq!(siege.failure(), None);
        let ends: Vec<_> = siege.ends().iter().filter(|(_, why)| !is_documented(why)).collect();
        assert!(ends.is_empty(), "servers ended: {ends:?}");
        let led: Vec<usize> = (0..siege.voters()).filter(|index| self.led[*index]).collect();
        if let [one] = led[..]
            && !served
        {
            siege.set_aside(one);
            served = siege.comes_to_write(RECOVERED_WITHIN);
            assert_eq!(siege.failure(), None);
        }
        assert!(
            served || led.len() > 1,
            "nobody serves, and the attacker led {led:?}: {}",
            siege.states()
        );
        // Each epoch that he named, and each search for a leader since, may have raised an epoch.
        let searches: u64 = State::of(siege).lookings.iter().sum();
        let searches = i64::try_from(searches).expect("a small number");
        let highest = (0..siege.servers()).map(|server| siege.accepted_epoch(server)).max();
        let bound = before.epochs.iter().max().expect("there are servers")
            + (self.claims + 1) * (EPOCH_LEAD_MAX + 1)
            + searches;
        assert!(highest <= Some(bound), "epoch {highest:?} is accepted, {} were said", self.claims);
    }

    // ---- what he does

    fn command(&mut self, script: &mut Script<'_>) {
        match script.byte() % 28 {
            0 => {
                let server = script.below(self.siege.servers());
                let port = port(script);
                self.open(server, port);
            }
            1 | 2 => self.introduce(script),
            3 => self.acknowledge_epoch(script),
            4 => self.say_bare(packet::ACK, script),
            5 | 6 => self.request(script),
            7 => self.revalidate(script),
            8 => match script.below(3) {
                0 => self.say_bare(packet::SYNC, script),
                1 => self.say_bare(packet::PING, script),
                _ => self.touch(script),
            },
            9 => self.lead(script),
            10 => self.new_leader(script),
            11 => self.choose(script),
            12 | 13 => self.propose(script),
            14 => self.commit(script),
            15 => self.say_bare(packet::UPTODATE, script),
            16 => self.greet(script),
            17 => self.notify(script),
            18 => self.say_anything(script),
            19 => self.cut = 1 + script.below(64),
            20 => {
                if let Some(line) = self.line(script) {
                    self.siege.close(line.id);
                }
            }
            21 => {
                let is_deaf = script.one_in(2);
                if let Some(line) = self.line(script) {
                    self.siege.deafen(line.id, is_deaf);
                }
            }
            22 => {
                if let Some(line) = self.line(script) {
                    for _ in 0..=script.below(40) {
                        let said = self.said.clone();
                        self.say(line, &said);
                    }
                }
            }
            23 => self.learn_whole(script),
            24 => self.lead_whole(script),
            25 => self.vote_whole(script),
            26 => self.pass(u64::from(script.byte()) * 4 * MS),
            _ => self.pass(u64::from(script.byte()) * MS / 10),
        }
    }

    fn open(&mut self, server: usize, port: Port) -> Option<Line> {
        if self.siege.lines().len() >= LINES_MAX {
            return None;
        }
        let id = self.siege.open(server, port)?;
        self.siege.lines().into_iter().find(|line| line.id == id)
    }

    /// One of his open connections; the script counts from the newest one.
    fn line(&mut self, script: &mut Script<'_>) -> Option<Line> {
        let lines = self.siege.lines();
        let back = script.below(lines.len().max(1));
        lines.into_iter().rev().nth(back)
    }

    fn say(&mut self, line: Line, bytes: &[u8]) {
        let kept = bytes.len().saturating_sub(std::mem::take(&mut self.cut));
        self.said = bytes[..kept].to_vec();
        if line.is_accepted && line.port != Port::Election {
            self.led[line.server] = true;
        }
        self.claims += 1;
        self.siege.say(line.id, &bytes[..kept]);
    }

    fn say_to_one(&mut self, script: &mut Script<'_>, bytes: &[u8]) {
        if let Some(line) = self.line(script) {
            self.say(line, bytes);
        }
    }

    fn say_bare(&mut self, kind: i32, script: &mut Script<'_>) {
        let mut out = Vec::new();
        packets::put_bare(&mut out, kind, self.zxid(script));
        self.say_to_one(script, &out);
    }

    fn introduce(&mut self, script: &mut Script<'_>) {
        let out = self.introduction(script);
        self.say_to_one(script, &out);
    }

    fn introduction(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let kind = if script.one_in(2) { packet::OBSERVERINFO } else { packet::FOLLOWERINFO };
        let protocol_version = match script.below(8) {
            0 => None,
            1 => Some(1),
            2 => Some(i32::MIN),
            _ => Some(PROTOCOL_VERSION),
        };
        let info = LearnerInfo {
            server_id: self.server_id(script),
            protocol_version,
            config_version: match script.below(6) {
                0 => None,
                1 => Some(self.zxid(script).0),
                _ => Some(0),
            },
        };
        let epoch = self.epoch(script);
        let zxid = Zxid((epoch << 32) | if script.one_in(8) { 7 } else { 0 });
        let mut out = Vec::new();
        packets::put_data(&mut out, kind, zxid, &info.to_bytes());
        out
    }

    fn acknowledge_epoch(&mut self, script: &mut Script<'_>) {
        let out = self.epoch_ack(script);
        self.say_to_one(script, &out);
    }

    fn epoch_ack(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let number = i32::try_from(self.epoch(script)).unwrap_or(i32::MIN);
        let mut data = number.to_be_bytes().to_vec();
        match script.below(5) {
            0 => {}
            1 => {
                data.extend_from_slice(b"RKm1");
                data.extend_from_slice(script.bytes());
            }
            _ => {
                data.extend_from_slice(b"RKm1");
                let count = script.below(5);
                let marks: Vec<Mark> = (0..count).map(|_| self.mark(script)).collect();
                Marks::choose(marks.into_iter()).encode(&mut data);
            }
        }
        let mut out = Vec::new();
        packets::put_data(&mut out, packet::ACKEPOCH, self.zxid(script), &data);
        out
    }

    fn mark(&mut self, script: &mut Script<'_>) -> Mark {
        let zxid = self.zxid(script);
        let (session, time) = (self.session(script), i64::from(script.int()));
        Mark {
            zxid,
            txn: script.one_in(2).then_some((session, time)),
            digest: script.one_in(2).then_some(time),
        }
    }

    fn request(&mut self, script: &mut Script<'_>) {
        let out = self.passed_request(script);
        self.say_to_one(script, &out);
    }

    fn passed_request(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        let op = match script.byte() {
            // Only a server may ask for a createSession.
            0 => OpCode::CreateSession,
            1 => OpCode::CloseSession,
            2 => OpCode::Error,
            byte => OPS[usize::from(byte) % OPS.len()],
        };
        let number = match op {
            OpCode::CreateSession => {
                script.int().encode(&mut body);
                op.number()
            }
            _ if script.one_in(8) => {
                body.extend_from_slice(script.bytes());
                script.int()
            }
            _ => {
                encode_body(op, script, &mut body);
                op.number()
            }
        };
        let identities = match script.below(4) {
            0 => vec![ringkeeper::acl::Identity::new("super", "")],
            1 => vec![ringkeeper::acl::Identity::new("digest", "u:p")],
            _ => Vec::new(),
        };
        let scope = [SessionScope::Unsaid, SessionScope::Local, SessionScope::Global];
        let request = PassedRequest {
            session: self.session(script),
            scope: scope[script.below(3)],
            cxid: i32::from(script.byte()) - 8,
            op: number,
            body: &body,
            identities: &identities,
        };
        let mut out = Vec::new();
        packets::put_request(&mut out, &request);
        out
    }

    fn revalidate(&mut self, script: &mut Script<'_>) {
        let session = self.session(script);
        let mut out = Vec::new();
        let tenure = script.one_in(2).then(|| ringkeeper::session::Tenure {
            since: self.zxid(script),
            turn: u64::from(script.byte()),
        });
        match script.below(2) {
            0 => packets::put_revalidate(&mut out, session, script.int(), tenure),
            _ => packets::put_revalidated(&mut out, session, script.one_in(2), tenure),
        }
        self.say_to_one(script, &out);
    }

    fn touch(&mut self, script: &mut Script<'_>) {
        let count = script.below(4);
        let touched: Vec<_> = (0..count).map(|_| (self.session(script), script.int())).collect();
        let mut out = Vec::new();
        packets::put_touched(&mut out, self.zxid(script), touched.into_iter());
        self.say_to_one(script, &out);
    }

    // ---- as a leader

    fn lead(&mut self, script: &mut Script<'_>) {
        let out = self.leader_info(script);
        self.say_to_one(script, &out);
    }

    fn leader_info(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let epoch = Epoch(self.epoch(script));
        let mut out = Vec::new();
        match script.below(6) {
            0 => packets::put_other_history(&mut out, epoch, self.mark(script)),
            1 => packets::put_bare(&mut out, packet::LEADERINFO, Zxid(epoch.0 << 32)),
            2 => packets::put_leader_info(&mut out, epoch, Some(Origin(i64::from(script.int())))),
            _ => packets::put_leader_info(&mut out, epoch, None),
        }
        out
    }

    fn new_leader(&mut self, script: &mut Script<'_>) {
        let out = self.new_leader_packet(script);
        self.say_to_one(script, &out);
    }

    fn new_leader_packet(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let zxid = Zxid(self.epoch(script) << 32);
        let mut out = Vec::new();
        match script.below(3) {
            0 => packets::put_bare(&mut out, packet::NEWLEADER, zxid),
            1 => packets::put_data(&mut out, packet::NEWLEADER, zxid, script.bytes()),
            _ => {
                let config = self.config(script);
                packets::put_data(&mut out, packet::NEWLEADER, zxid, config.as_bytes());
            }
        }
        out
    }

    /// The text of a configuration.
    fn config(&mut self, script: &mut Script<'_>) -> String {
        let mut text = String::new();
        let members = script.byte();
        for id in 1..=5 {
            let kind = if members & 32 != 0 && id > 2 { "observer" } else { "participant" };
            if members & (1 << (id - 1)) != 0 {
                text.push_str(&format!("server.{id}=s{id}:2888:3888:{kind}\n"));
            }
        }
        let version = if script.one_in(3) { 0 } else { self.zxid(script).0 };
        text.push_str(&format!("version={version:x}"));
        text
    }

    /// Sends DIFF, TRUNC or SNAP.
    fn choose(&mut self, script: &mut Script<'_>) {
        let out = self.choice(script);
        self.say_to_one(script, &out);
    }

    fn choice(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let zxid = self.zxid(script);
        match script.below(6) {
            0 | 1 => packets::put_bare(&mut out, packet::DIFF, zxid),
            2 | 3 => packets::put_bare(&mut out, packet::TRUNC, zxid),
            kind => {
                let tree = self.tree(script);
                let digest = if script.one_in(2) { tree.1 } else { i64::from(script.int()) };
                match kind {
                    4 => packets::put_bare(&mut out, packet::SNAP, zxid),
                    _ => packets::put_snap(&mut out, zxid, digest),
                }
                out.extend_from_slice(&tree.0);
                if script.one_in(4) {
                    out.truncate(out.len().saturating_sub(script.below(200)));
                }
            }
        }
        out
    }

    /// A tree that a leader may have, in the bytes that a leader sends, and its digest.
    fn tree(&mut self, script: &mut Script<'_>) -> (Vec<u8>, i64) {
        let mut database = Database::new(DatabaseOptions::default());
        let count = script.below(6);
        for counter in 1..=count {
            let zxid = Zxid(0x1_0000_0000 + i64::try_from(counter).expect("a small number"));
            let path = format!("/forged{counter}");
            let acl = everybody();
            let body = TxnBody::Create(CreateTxn {
                path: Some(&path),
                data: Some(b"forged"),
                acl: acl.as_vector(),
                ephemeral: false,
                parent_cversion: i32::try_from(counter).expect("a small number"),
            });
            let header =
                TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time: 1, op: OpCode::Create };
            database.apply(&Txn::new(header, &body, None), &mut Vec::new());
        }
        let digest = database.digest();
        let mut writer = StreamWriter::begin(&mut database);
        let mut sent = Vec::new();
        while let Some(piece) = writer.next_piece(&mut database) {
            sent.extend_from_slice(&piece);
        }
        (sent, digest)
    }

    fn propose(&mut self, script: &mut Script<'_>) {
        let out = self.proposal(script);
        self.say_to_one(script, &out);
    }

    fn proposal(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let zxid = self.zxid(script);
        let kind = [packet::PROPOSAL, packet::PROPOSAL, packet::INFORM][script.below(3)];
        let mut out = Vec::new();
        match script.below(8) {
            0 => packets::put_data(&mut out, kind, zxid, script.bytes()),
            1 => {
                let txn = self.reconfig(zxid, script);
                packets::put_txn(&mut out, kind, &txn);
            }
            2 => {
                let txn = self.reconfig(zxid, script);
                packets::put_inform_and_activate(&mut out, &txn, self.server_id(script));
            }
            3 => {
                // The transaction has another zxid than the packet, so the learner refuses it.
                let txn = impossible::txn(script, Zxid(zxid.0 ^ 0x100));
                packets::put_data(&mut out, kind, zxid, txn.bytes());
            }
            // A transaction about nodes that no tree holds, or with numbers at the end of a range.
            7 => packets::put_txn(&mut out, kind, &impossible::txn(script, zxid)),
            _ => packets::put_txn(&mut out, kind, &self.txn(zxid, script)),
        }
        out
    }

    /// A transaction that fits any tree.
    fn txn(&mut self, zxid: Zxid, script: &mut Script<'_>) -> Txn {
        let path = format!("/t{:x}", zxid.0);
        let acl = everybody();
        let (op, body) = match script.below(6) {
            0 => (OpCode::CreateSession, TxnBody::CreateSession { timeout_ms: script.int() }),
            1 => (OpCode::CloseSession, TxnBody::CloseSession { paths: None }),
            2 => (OpCode::Error, TxnBody::Error { err: script.int() }),
            _ => {
                let body = CreateTxn {
                    path: Some(&path),
                    data: Some(script.bytes()),
                    acl: acl.as_vector(),
                    ephemeral: false,
                    parent_cversion: script.int(),
                };
                (OpCode::Create, TxnBody::Create(body))
            }
        };
        let client_id = self.session(script);
        let (cxid, time) = (i32::from(script.byte()), i64::from(script.byte()));
        Txn::new(TxnHeader { client_id, cxid, zxid, time, op }, &body, None)
    }

    fn reconfig(&mut self, zxid: Zxid, script: &mut Script<'_>) -> Txn {
        let config = self.config(script);
        let body = TxnBody::SetData(SetDataTxn {
            path: Some("/zookeeper/config"),
            data: Some(config.as_bytes()),
            version: -1,
        });
        let client_id = self.session(script);
        let header = TxnHeader { client_id, cxid: 1, zxid, time: 1, op: OpCode::Reconfig };
        Txn::new(header, &body, None)
    }

    fn commit(&mut self, script: &mut Script<'_>) {
        let zxid = self.zxid(script);
        let mut out = Vec::new();
        if script.one_in(4) {
            packets::put_commit_and_activate(&mut out, zxid, self.server_id(script));
        } else {
            packets::put_bare(&mut out, packet::COMMIT, zxid);
        }
        self.say_to_one(script, &out);
    }

    // ---- elections

    fn greet(&mut self, script: &mut Script<'_>) {
        let out = self.greeting(script);
        self.say_to_one(script, &out);
    }

    fn greeting(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        const ADDRESSES: [&str; 8] = [
            "s1:3888",
            "s3:3888",
            "10.0.0.5:3888",
            "10.0.0.6:3888",
            "10.0.0.7:3888|s2:3888",
            "0.0.0.0:3888",
            "[::1]:99999",
            "unknown:1",
        ];
        let server_id = self.server_id(script);
        let handshake = match script.below(4) {
            0 => ElectionHandshake::Legacy { server_id },
            version => ElectionHandshake::Initial {
                version: if version == 1 { ELECTION_PROTOCOL_V2 } else { ELECTION_PROTOCOL_V1 },
                server_id,
                addresses: ADDRESSES[script.below(ADDRESSES.len())],
            },
        };
        handshake.to_bytes()
    }

    fn notify(&mut self, script: &mut Script<'_>) {
        let out = self.notification(script);
        self.say_to_one(script, &out);
    }

    fn notification(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        const STATES: [ServerState; 4] = [
            ServerState::Looking,
            ServerState::Following,
            ServerState::Leading,
            ServerState::Observing,
        ];
        let config = self.config(script);
        let notification = Notification {
            state: STATES[script.below(4)],
            leader: self.server_id(script),
            zxid: self.zxid(script),
            election_epoch: match script.byte() {
                255 => i64::MAX,
                254 => -1,
                byte => i64::from(byte % 8),
            },
            peer_epoch: Epoch(self.epoch(script)),
            config: script.one_in(2).then_some(config.as_bytes()),
        };
        let mut bytes = notification.to_bytes();
        if script.one_in(8) {
            bytes.truncate([28, 36, 40, 44][script.below(4)]);
        }
        let mut out = u32::try_from(bytes.len()).expect("a short message").to_be_bytes().to_vec();
        out.extend_from_slice(&bytes);
        out
    }

    /// Sends any bytes, or a packet of any type with any data.
    fn say_anything(&mut self, script: &mut Script<'_>) {
        if script.one_in(2) {
            let bytes = script.bytes();
            return self.say_to_one(script, bytes);
        }
        let mut identities: VectorBuf<Id<'static>> = VectorBuf::default();
        for _ in 0..script.below(3) {
            identities.push(&Id { scheme: Some("super"), id: None });
        }
        let packet = QuorumPacket {
            packet_type: i32::from(script.byte() % 21),
            zxid: self.zxid(script),
            data: if script.one_in(3) { None } else { Some(script.bytes()) },
            authinfo: if script.one_in(2) { Vector::NULL } else { identities.as_vector() },
        };
        let out = packet.to_bytes();
        self.say_to_one(script, &out);
    }

    // ---- several steps, as a server would do them

    /// Plays a learner that does everything right, with numbers of the script.
    fn learn_whole(&mut self, script: &mut Script<'_>) {
        let server = script.below(self.siege.servers());
        let port = if script.one_in(4) { Port::ObserverMaster } else { Port::Quorum };
        let Some(line) = self.open(server, port) else { return };
        let introduction = self.introduction(script);
        self.say(line, &introduction);
        self.pass(2 * MS);
        let ack = self.epoch_ack(script);
        self.say(line, &ack);
        self.pass(3 * MS);
        let mut out = Vec::new();
        // The answers to NEWLEADER and to UPTODATE.
        for _ in 0..script.below(4) {
            packets::put_bare(&mut out, packet::ACK, Zxid(self.epoch << 32));
        }
        for _ in 0..script.below(3) {
            out.extend_from_slice(&self.passed_request(script));
        }
        self.say(line, &out);
    }

    /// Plays a leader for the servers that have connected to him: sends the epoch, a history, and its end.
    fn lead_whole(&mut self, script: &mut Script<'_>) {
        let lines = self.siege.lines().into_iter();
        let learners: Vec<Line> =
            lines.filter(|line| line.is_accepted && line.port != Port::Election).collect();
        if learners.is_empty() {
            return self.pass(50 * MS);
        }
        let info = self.leader_info(script);
        for line in &learners {
            self.say(*line, &info);
        }
        self.pass(2 * MS);
        let mut out = self.choice(script);
        for _ in 0..script.below(4) {
            out.extend_from_slice(&self.proposal(script));
            if script.one_in(2) {
                packets::put_bare(&mut out, packet::COMMIT, self.zxid(script));
            }
        }
        out.extend_from_slice(&self.new_leader_packet(script));
        if script.one_in(2) {
            packets::put_bare(&mut out, packet::UPTODATE, Zxid::NONE);
        }
        for line in &learners {
            self.say(*line, &out);
        }
        self.pass(3 * MS);
    }

    /// Sends one vote to all servers, over new connections where there are none.
    fn vote_whole(&mut self, script: &mut Script<'_>) {
        let greeting = self.greeting(script);
        let notification = self.notification(script);
        for server in 0..self.siege.servers() {
            let known = self
                .siege
                .lines()
                .into_iter()
                .find(|line| line.server == server && line.port == Port::Election);
            match known {
                Some(line) => self.say(line, &notification),
                None => {
                    if let Some(line) = self.open(server, Port::Election) {
                        let both = [&greeting[..], &notification].concat();
                        self.say(line, &both);
                    }
                }
            }
        }
        self.pass(MS);
    }

    // ---- numbers near those that matter

    fn server_id(&mut self, script: &mut Script<'_>) -> ServerId {
        ServerId(match script.byte() {
            255 => i64::MAX,
            254 => -1,
            253 => i64::MIN,
            252 => 0,
            251 => 255,
            byte => i64::from(byte % 6) + 1,
        })
    }

    fn epoch(&mut self, script: &mut Script<'_>) -> i64 {
        match script.byte() {
            255 => i64::from(i32::MAX),
            254 => i64::from(i32::MIN),
            253 => -1,
            252 => 0,
            251 => self.epoch + EPOCH_LEAD_MAX,
            250 => self.epoch + EPOCH_LEAD_MAX + 1,
            249 => i64::from(i32::MAX) - 1,
            byte => self.epoch + i64::from(byte % 6) - 2,
        }
    }

    fn zxid(&mut self, script: &mut Script<'_>) -> Zxid {
        Zxid(match script.byte() {
            255 => i64::MAX,
            254 => i64::MIN,
            253 => -1,
            252 => 0,
            251 => (self.epoch << 32) | 0xffff_ffff,
            byte @ 200.. => (self.epoch(script) << 32) | i64::from(byte % 8),
            byte => self.last.0 + i64::from(byte % 16) - 6,
        })
    }

    fn session(&mut self, script: &mut Script<'_>) -> SessionId {
        let byte = script.byte();
        let known = self.siege.sessions();
        match byte {
            255 => SessionId(i64::MIN),
            254 => SessionId::NONE,
            253 => SessionId(i64::from(script.int())),
            byte if byte % 2 == 0 => {
                known.get(usize::from(byte / 2) % 2).copied().unwrap_or(SessionId(7))
            }
            byte => SessionId((i64::from(byte % 5) << 56) | i64::from(byte)),
        }
    }
}

fn everybody() -> VectorBuf<AclEntry<'static>> {
    let mut acl = VectorBuf::default();
    let id = Id { scheme: Some("world"), id: Some("anyone") };
    acl.push(&AclEntry { perms: 31, id });
    acl
}

fn port(script: &mut Script<'_>) -> Port {
    match script.below(5) {
        0 | 1 => Port::Quorum,
        2 | 3 => Port::Election,
        _ => Port::ObserverMaster,
    }
}

/// Whether the documentation says that a process ends for this reason. So far it names no such reason.
fn is_documented(_why: &str) -> bool {
    false
}
