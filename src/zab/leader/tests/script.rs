//! Conversations with a leader as text: each line is an event, and the indented lines below it are what the leader
//! does. A zxid is written `epoch:counter`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;

use bytes::Bytes;

use super::super::{Lasting, Leader};
use super::words::{describe, packet_of};
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::link::LinkIds;
use crate::link::{LinkEvent, LinkId, LinkOp, Port};
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::quorum::PeerOptions;
use crate::time::MonoUs;
use crate::zab::packets::PacketReader;
use crate::zab::tests::{TREE_END, config, shown, shown_all, txn, voters, zxid};
use crate::zab::{CommittedLog, Epochs, Numbers, Origin};
use crate::zab::{ConfigChange, Inbound, Ready};

/// Reads what the leader sends to a learner: packets, and a tree behind SNAP.
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
    /// How many losses of synced data by disks the script has reported.
    lost: u64,
    /// The learners that take nothing: the network cannot pass on what the leader sends to them.
    pub(super) hanging: Vec<String>,
    pub(super) out: String,
}

impl Script {
    /// A leader from words such as `1 of 1,2,3/4 epochs=1,1 recent=1:1,1:2 nofiles`.
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

    /// Runs the lines of a conversation and gives them back with what the leader did.
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

    /// Lets the network pass on all that was sent to a learner that was hanging.
    pub(super) fn sent(&mut self, name: &str) {
        let event = LinkEvent::Sent { link: self.links[name], bytes: u64::MAX };
        self.leader.handle_link(self.now, event);
    }

    /// Lets the network pass on `bytes` bytes to a learner that is hanging.
    pub(super) fn took(&mut self, name: &str, bytes: u64) {
        let event = LinkEvent::Sent { link: self.links[name], bytes };
        self.leader.handle_link(self.now, event);
    }

    /// What the leader did since the last call.
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
                // Half a tick passes.
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

    /// Reads bytes that come to a learner: one text for each packet.
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
