//! Conversations with a leader as text: each line is an event, what the leader does about it
//! follows, indented. A zxid is written `epoch:counter`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use bytes::Bytes;

use super::super::{Lasting, Leader};
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::jute::Jute;
use crate::link::LinkIds;
use crate::link::{LinkEvent, LinkId, LinkOp, Port};
use crate::proto::quorum::{LearnerInfo, packet};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::time::MonoUs;
use crate::zab::packets::{
    Packet, PacketReader, put_ack_epoch, put_bare, put_data, put_request, put_touched,
};
use crate::zab::tests::{TREE_END, bytes_of, config, name_of, shown, shown_all, txn, voters, zxid};
use crate::zab::{CommittedLog, EpochAck, Epochs, Mark, Marks, Numbers, Origin};
use crate::zab::{ConfigChange, Inbound, PassedRequest, Ready, SessionScope};

/// What a learner hears: packets, and a tree behind SNAP.
struct Ear {
    reader: PacketReader,
    tree: Option<Vec<u8>>,
}

pub(super) struct Script {
    pub(super) leader: Leader,
    pub(super) now: MonoUs,
    ears: BTreeMap<LinkId, Ear>,
    next_link: u64,
    links: BTreeMap<String, LinkId>,
    tokens: Vec<u64>,
    reads: Vec<u64>,
    synced: Option<Zxid>,
    /// What was said about disks that lose what they have synced.
    lost: u64,
    /// Who takes nothing: the network cannot pass on what is sent to them.
    pub(super) hanging: Vec<String>,
    pub(super) out: String,
}

impl Script {
    /// `1 of 1,2,3/4 accepted=0 current=0 last=0:0 recent=1:1,1:2 reconfig …`.
    pub(super) fn new(words: &str) -> Script {
        let mut words = words.split_whitespace();
        let me = ServerId(words.next().unwrap().parse().unwrap());
        assert_eq!(words.next(), Some("of"));
        let active = config(words.next().unwrap());
        let mut options = PeerOptions {
            me,
            tick_ms: 1000,
            init_limit: 10,
            sync_limit: 5,
            ..PeerOptions::default()
        };
        let mut epochs = Epochs::new(Epoch(0), Epoch(0));
        let (mut last, mut recent, mut seen) = (Zxid::ZERO, Vec::new(), active.clone());
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "epochs" => {
                    let (accepted, current) = value.split_once(',').unwrap();
                    epochs.accepted = Epoch(accepted.parse().unwrap());
                    epochs.current = Epoch(current.parse().unwrap());
                }
                "origin" => epochs.origin = Some(Origin(value.parse().unwrap())),
                "last" => last = zxid(value),
                "recent" => recent = value.split(',').map(|at| txn(zxid(at))).collect(),
                "seen" => seen = config(value),
                "reconfig" => options.reconfig = true,
                "oracle" => options.has_oracle = true,
                "nofiles" => options.sync_from_log = false,
                "force" => options.force_snapshot_sync = true,
                "syncs" => {
                    let max = value.parse().unwrap();
                    options.concurrent_syncs_max = (max, max);
                }
                "counter" => options.initial_counter = value.parse().unwrap(),
                "wait" => options.wait_for_epoch_ms = Some(value.parse().unwrap()),
                other => panic!("unknown option {other}"),
            }
        }
        if let Some(txn) = recent.last() {
            last = txn.zxid();
        }
        let recent = CommittedLog::new(last, recent.into(), options.commit_log_txns);
        let lasting = Lasting::new(
            options,
            LinkIds::default(),
            Rc::new(active),
            Rc::new(seen),
            epochs,
            recent,
        );
        let mut script = Script {
            leader: Leader::new(Box::new(lasting), Numbers::default(), Origin(5), MonoUs(0)),
            now: MonoUs(0),
            ears: BTreeMap::new(),
            next_link: 0,
            links: BTreeMap::new(),
            tokens: Vec::new(),
            reads: Vec::new(),
            synced: None,
            lost: 0,
            hanging: Vec::new(),
            out: String::new(),
        };
        script.take();
        script
    }

    /// Runs the lines of a conversation and gives it back with what happened.
    pub(super) fn run(text: &str) -> String {
        let mut lines = text.lines();
        let mut out = String::new();
        let mut script = None;
        for line in &mut lines {
            if line.starts_with("    ") {
                continue;
            }
            let _ = writeln!(out, "{line}");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match (&mut script, line.strip_prefix("leader ")) {
                (_, Some(words)) => script = Some(Script::new(words)),
                (Some(script), None) => script.event(line),
                (None, None) => panic!("a conversation begins with a leader"),
            }
            out.push_str(&std::mem::take(&mut script.as_mut().unwrap().out));
        }
        out
    }

    /// The network passes on all that was sent to somebody who was hanging.
    pub(super) fn sent(&mut self, name: &str) {
        let event = LinkEvent::Sent { link: self.links[name], bytes: u64::MAX };
        self.leader.handle_link(self.now, event);
    }

    /// The network passes on a part of it.
    pub(super) fn took(&mut self, name: &str, bytes: u64) {
        let event = LinkEvent::Sent { link: self.links[name], bytes };
        self.leader.handle_link(self.now, event);
    }

    /// What happened since the last question.
    pub(super) fn said(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    pub(super) fn event(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["connect", name] => {
                self.connect(name);
            }
            ["close", name] => {
                let link = self.links[name];
                let event = LinkEvent::Closed { link, reason: "it is gone" };
                self.leader.handle_link(self.now, event);
            }
            ["durable"] => {
                for token in std::mem::take(&mut self.tokens) {
                    self.leader.handle_durable(self.now, token);
                }
            }
            ["synced"] => {
                let synced = self.synced.expect("something was appended");
                self.leader.handle_synced(synced);
            }
            ["propose", at] => self.leader.propose(txn(zxid(at))),
            ["reconfig", at, to] => {
                let at = zxid(at);
                let mut to = config(to);
                to.version = at.0;
                self.leader.propose_reconfig(txn(at), to);
            }
            ["sync", name] => self.leader.answer_sync(self.links[name]),
            ["revalidate", name, session, valid] => {
                let session = SessionId(session.parse().unwrap());
                let owns = (valid == "alive").then(crate::session::Tenure::default);
                self.leader.answer_revalidate(self.links[name], session, owns);
            }
            ["confirm"] => {
                let number = self.leader.confirm_lead();
                let _ = writeln!(self.out, "    question {number}");
            }
            ["tick"] => {
                // Half of one.
                self.now = self.now.plus_ms(500);
                self.leader.handle_timeout(self.now);
            }
            ["wait", ms] => {
                self.now = self.now.plus_ms(ms.parse().unwrap());
                self.leader.handle_timeout(self.now);
            }
            ["looking", server] => {
                self.leader.handle_looking(self.now, ServerId(server.parse().unwrap()));
            }
            ["oracle", word] => self.leader.set_oracle(self.now, word == "yes"),
            ["files", "none"] => self.files(None),
            ["files", zxids] => {
                let txns = zxids.split(',').map(|at| txn(zxid(at))).collect();
                self.files(Some(txns));
            }
            ["hold", at] => {
                assert!(self.leader.wants_snapshot());
                self.leader.snapshot_begins(zxid(at), Some(7));
                assert!(!self.leader.wants_snapshot());
            }
            ["tree", piece] => {
                assert!(self.leader.wants_snapshot_piece());
                self.leader.snapshot_piece(&Bytes::copy_from_slice(piece.as_bytes()));
            }
            ["tree-end"] => {
                self.leader.snapshot_piece(&Bytes::from_static(TREE_END));
                self.leader.snapshot_ends();
            }
            [name, "->", kind, ref rest @ ..] => {
                let bytes = packet_of(name, kind, rest);
                let link = self.links[name];
                self.leader.handle_link(self.now, LinkEvent::Received { link, bytes: &bytes });
            }
            _ => panic!("unknown event: {line}"),
        }
        self.take();
    }

    pub(super) fn connect(&mut self, name: &str) -> LinkId {
        let link = LinkId::accepted(self.next_link);
        self.next_link += 1;
        self.links.insert(name.to_owned(), link);
        let ear = Ear { reader: PacketReader::new(1 << 24), tree: None };
        self.ears.insert(link, ear);
        let remote = "10.0.0.9:4000".parse().unwrap();
        self.leader.handle_link(
            self.now,
            LinkEvent::Accepted { link, port: Port::Quorum, remote, may_be: None },
        );
        link
    }

    fn files(&mut self, txns: Option<Vec<Txn>>) {
        let id = self.reads.pop().expect("a read was asked for");
        self.leader.handle_log_read(self.now, id, txns);
    }

    fn name(&self, link: LinkId) -> String {
        let found = self.links.iter().find(|(_, of)| **of == link);
        found.map_or(format!("{link:?}"), |(name, _)| name.clone())
    }

    pub(super) fn take(&mut self) {
        let mut ready = Ready::default();
        self.leader.take_ready(&mut ready);
        for op in std::mem::take(&mut ready.send) {
            match op {
                LinkOp::Send { link, bytes } => {
                    for line in self.hear(link, &bytes) {
                        let _ = writeln!(self.out, "    {} <- {line}", self.name(link));
                    }
                    if !self.hanging.contains(&self.name(link)) {
                        let sent = bytes.len() as u64;
                        self.leader.handle_link(self.now, LinkEvent::Sent { link, bytes: sent });
                    }
                }
                LinkOp::Close { link } => {
                    let _ = writeln!(self.out, "    close {}", self.name(link));
                }
                other => panic!("a leader never wants {other:?}"),
            }
        }
        self.show(&ready);
        let lost = self.leader.facts().acknowledged_lost;
        if lost > self.lost {
            let _ = writeln!(self.out, "    a disk has lost what was acknowledged: {lost}");
            self.lost = lost;
        }
        if let Some(reason) = self.leader.failure() {
            let _ = writeln!(self.out, "    steps down: {reason}");
        }
    }

    fn show(&mut self, ready: &Ready) {
        let mut say = |line: String| {
            let _ = writeln!(self.out, "    {line}");
        };
        assert!(ready.truncate.is_none() && ready.restore.is_none());
        assert!(ready.send_after_sync.is_empty());
        if !ready.append.is_empty() {
            say(format!("append {}", shown_all(&ready.append)));
            self.synced = ready.append.last().map(Txn::zxid);
        }
        if let Some(epochs) = ready.epochs {
            say(format!("write epochs accepted={} current={}", epochs.accepted, epochs.current));
        }
        self.tokens.extend(ready.durable);
        if !ready.commit.is_empty() {
            say(format!("commit {}", shown_all(&ready.commit)));
        }
        for standing in &ready.standing {
            say(format!("{standing:?}"));
        }
        for change in &ready.config {
            let (word, config) = match change {
                ConfigChange::Proposed(config) => ("proposed", config),
                ConfigChange::Active(config) => ("active", config),
            };
            say(format!("config {:x} {word}: voters {}", config.version, voters(config)));
        }
        for inbound in &ready.inbound {
            say(match inbound {
                Inbound::Request(request) => format!(
                    "request of server {}: session {} cxid {} op {} body {:?} from {:?}",
                    request.server,
                    request.session,
                    request.cxid,
                    request.op,
                    String::from_utf8_lossy(&request.body),
                    request.identities.iter().map(|id| id.scheme.to_string()).collect::<Vec<_>>()
                ),
                Inbound::Touch { session, timeout_ms } => format!("touch {session} {timeout_ms}"),
                Inbound::StillLeads { number } => format!("it leads, says question {number}"),
                Inbound::Revalidate { server, session, timeout_ms, .. } => {
                    format!("server {server} asks for session {session} {timeout_ms}")
                }
                other => panic!("a leader never says {other:?}"),
            });
        }
        for read in &ready.log_reads {
            self.reads.push(read.id);
            say(format!("read the log's files from {} to {}", shown(read.from), shown(read.to)));
        }
    }

    /// What a learner makes of bytes that come to it.
    fn hear(&mut self, link: LinkId, bytes: &[u8]) -> Vec<String> {
        let ear = self.ears.get_mut(&link).expect("bytes go to links that were accepted");
        let mut lines = Vec::new();
        let mut rest = bytes.to_vec();
        loop {
            if let Some(tree) = &mut ear.tree {
                tree.append(&mut rest);
                let end = tree.windows(TREE_END.len()).position(|window| window == TREE_END);
                let Some(end) = end else {
                    if !tree.is_empty() {
                        lines.push(format!("tree {}", String::from_utf8_lossy(tree)));
                        tree.clear();
                    }
                    return lines;
                };
                lines.push(format!("tree {} BenWasHere", String::from_utf8_lossy(&tree[..end])));
                rest = tree.split_off(end + TREE_END.len());
                ear.tree = None;
            }
            ear.reader.push(&std::mem::take(&mut rest));
            loop {
                let Some(packet) = ear.reader.next().unwrap() else { return lines };
                lines.push(describe(&packet));
                if packet.kind == packet::SNAP {
                    rest = ear.reader.take_rest();
                    ear.tree = Some(Vec::new());
                    break;
                }
            }
        }
    }
}

pub(super) fn describe(packet: &Packet) -> String {
    let mut line = format!("{} {}", name_of(packet.kind), shown(packet.zxid));
    match packet.kind {
        packet::LEADERINFO => {
            // ZooKeeper reads no more than this.
            assert_eq!(packet.data.as_ref().unwrap()[..4], [0, 1, 0, 0]);
            assert!(packet.knows_marks());
            if let Some(mark) = packet.other_history() {
                let _ = write!(line, " at {} is {mark}", shown(mark.zxid));
            }
        }
        packet::NEWLEADER => match packet.data.as_deref() {
            None => line.push_str(" without a configuration"),
            Some(data) => {
                let config = Config::from_bytes(data).unwrap();
                let voters = voters(&config);
                let _ = write!(line, " version={:x} voters {voters}", config.version);
            }
        },
        packet::SNAP => {
            if let Some(digest) = packet.tree_digest() {
                let _ = write!(line, " digest {digest}");
            }
        }
        packet::PROPOSAL | packet::INFORM => {
            packet.txn().unwrap();
        }
        packet::COMMITANDACTIVATE => {
            let _ = write!(line, " leader {}", packet.designated_leader().unwrap().0);
        }
        packet::INFORMANDACTIVATE => {
            let (leader, rest) = packet.designated_leader().unwrap();
            let txn = Txn::parse(&rest).unwrap();
            let _ = write!(line, " leader {leader} txn {}", shown(txn.zxid()));
        }
        packet::REVALIDATE => {
            let (session, valid) = packet.session_and_validity().unwrap();
            let _ = write!(line, " {session} {}", if valid { "alive" } else { "dead" });
            if let Some(tenure) = packet.tenure(true).filter(|tenure| tenure.since > Zxid::ZERO) {
                let _ = write!(line, " since {}", shown(tenure.since));
            }
        }
        _ => assert!(packet.data.is_none(), "{line} has data"),
    }
    line
}

/// The bytes of what a learner says.
pub(super) fn packet_of(name: &str, kind: &str, rest: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    let server: i64 = name.trim_end_matches('\'').parse().unwrap_or(0);
    match (kind, rest) {
        ("FOLLOWERINFO" | "OBSERVERINFO", [at, rest @ ..]) => {
            let kind =
                if kind == "FOLLOWERINFO" { packet::FOLLOWERINFO } else { packet::OBSERVERINFO };
            let mut info = LearnerInfo {
                server_id: ServerId(server),
                protocol_version: Some(0x10000),
                config_version: Some(0),
            };
            match rest {
                [] => {}
                ["nobody"] => {
                    put_bare(&mut out, kind, zxid(at));
                    return out;
                }
                ["12"] => info.config_version = None,
                ["8"] => info.protocol_version = None,
                [version] => info.config_version = i64::from_str_radix(version, 16).ok(),
                _ => panic!("unknown info"),
            }
            put_data(&mut out, kind, zxid(at), &info.to_bytes());
        }
        ("ACKEPOCH", [last, current]) => {
            let current: i32 = current.parse().unwrap();
            put_data(&mut out, packet::ACKEPOCH, zxid(last), &current.to_be_bytes());
        }
        // `1:2=7`: at 1:2 there is a transaction of the 7th millisecond; `0:0=7`: the origin is 7.
        ("ACKEPOCH", [last, current, marks @ ..]) => {
            let current: i64 = current.parse().unwrap();
            let mark = |word: &&str| {
                let (at, time) = word.split_once('=').unwrap();
                let (zxid, time) = (zxid(at), time.parse().unwrap());
                match zxid {
                    Zxid::ZERO => Origin(time).mark(),
                    _ => Mark { zxid, txn: Some((SessionId(0), time)), digest: None },
                }
            };
            let marks = Marks::choose(marks.iter().rev().map(mark));
            let ack = match current {
                -1 => EpochAck::DoesNotCount,
                current => EpochAck::Counts(Epoch(current)),
            };
            put_ack_epoch(&mut out, zxid(last), ack, Some(&marks));
        }
        ("ACK", [at]) => put_bare(&mut out, packet::ACK, zxid(at)),
        ("REQUEST", [session, cxid, op, body, schemes @ ..]) => {
            let identities: Vec<_> =
                schemes.iter().map(|scheme| crate::acl::Identity::new(scheme, "me")).collect();
            let session = SessionId(session.parse().unwrap());
            let (cxid, op) = (cxid.parse().unwrap(), op.parse().unwrap());
            let (scope, body) = (SessionScope::Unsaid, body.as_bytes());
            let identities = &identities;
            let request = PassedRequest { session, scope, cxid, op, body, identities };
            put_request(&mut out, &request);
        }
        ("PING", sessions) => {
            let touched = sessions.iter().map(|s| (SessionId(s.parse().unwrap()), 4000));
            put_touched(&mut out, Zxid::ZERO, touched);
        }
        ("REVALIDATE", [session]) => {
            crate::zab::packets::put_revalidate(
                &mut out,
                SessionId(session.parse().unwrap()),
                4000,
                None,
            );
        }
        ("bytes", [hex]) => out.extend(bytes_of(hex)),
        ("type", [kind]) => put_bare(&mut out, kind.parse().unwrap(), Zxid::ZERO),
        _ => panic!("unknown packet {kind} {rest:?}"),
    }
    out
}
