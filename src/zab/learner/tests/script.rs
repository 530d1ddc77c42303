//! Conversations with a learner as text: each line is an event. The indented lines below it are what the learner
//! wants done, in the order of its [`Ready`]; `--` begins another `Ready`. A zxid is written `epoch:counter`.
//!
//! ```text
//! follower 1 of 1,2,3/4 below 3 epochs=1,1 recent=1:1,1:2    a learner of server 3 begins to connect
//! connected | closed REASON                                  what becomes of the connection
//! 3 -> PROPOSAL 2:1 | COMMIT 2:1                             what the leader says, in one piece
//! late -> COMMIT 2:1                                         the same over the connection of the last attempt
//! durable | durable first                                    the disk has all that was wanted, or the oldest of it
//! wait MS                                                    time passes
//! again | crash                                              another attempt: of this process, or of the next one
//! ask … | answer-ping …                                      what the replica wants of the leader
//! unreadable REASON                                          the replica cannot read the tree
//! ```
//! `waits for the disk` stands before a packet that leaves only after a `durable`.

use std::collections::VecDeque;
use std::fmt::{Display, Write as _};
use std::mem;
use std::rc::Rc;

use super::super::{Learner, LearnerKind, LearnerTarget, Left};
use super::words;
use crate::id::{Epoch, ServerId, Zxid};
use crate::link::{Endpoint, LinkEvent, LinkId, LinkIds, LinkOp, Port};
use crate::proto::txn::Txn;
use crate::quorum::{Config, PeerOptions};
use crate::session::Tenure;
use crate::time::MonoUs;
use crate::zab::tests::{TREE_END, config, shown, shown_all, txn, voters, zxid};
use crate::zab::{CommittedLog, ConfigChange, Durable, Epochs};
use crate::zab::{Inbound, Lasting, Origin, Ready, Vouch};

/// One thing that the disk of a server is to do.
enum Wanted {
    Truncate(Zxid),
    Restore(Zxid),
    Append(Vec<Txn>),
    Epochs(Epochs),
    /// Packets that may leave when everything before them is durable.
    Send(Vec<LinkOp>),
}

/// What survives a crash.
struct Disk {
    /// The zxid of the snapshot.
    tree: Zxid,
    log: Vec<Txn>,
    epochs: Epochs,
    wanted: VecDeque<Wanted>,
}

impl Disk {
    fn last(&self) -> Zxid {
        self.log.last().map_or(self.tree, Txn::zxid)
    }

    /// The lasting state of a server that starts with this disk.
    fn recover(&self, options: &PeerOptions, ids: &LinkIds, active: &Rc<Config>) -> Box<Lasting> {
        let recent = self.log.iter().cloned().collect();
        let recent = CommittedLog::new(self.last(), recent, options.commit_log_txns);
        let (options, ids, active, seen) =
            (options.clone(), ids.clone(), active.clone(), active.clone());
        Box::new(Lasting::new(options, ids, active, seen, self.epochs, recent))
    }
}

pub(super) struct Script {
    learner: Learner,
    target: LearnerTarget,
    options: PeerOptions,
    ids: LinkIds,
    /// The configuration in the files of the server.
    active: Rc<Config>,
    now: MonoUs,
    /// The connection, and the one of the attempt before.
    links: (LinkId, LinkId),
    /// Whether the learner has closed the connection.
    is_closed: bool,
    leader: words::Ear,
    disk: Disk,
    /// The part of the leader's tree that the replica has received.
    tree: Option<Vec<u8>>,
    /// Why the learner left its leader, once it has.
    left: Option<Left>,
    out: String,
}

impl Script {
    /// Runs the lines of a conversation and gives them back with what happened.
    pub(super) fn run(text: &str) -> String {
        let mut out = String::new();
        let mut script: Option<Script> = None;
        for line in text.lines().filter(|line| !line.starts_with("    ")) {
            let _ = writeln!(out, "{line}");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut next = match (line.split(' ').next().unwrap(), script) {
                ("follower" | "observer", _) => Script::new(line),
                (_, Some(script)) => script.event(line),
                (_, None) => panic!("a conversation begins with a learner"),
            };
            out.push_str(&mem::take(&mut next.out));
            script = Some(next);
        }
        out
    }

    /// A script from its first line, such as `follower 1 of 1,2,3/4@100000000 below 3 epochs=1,1 origin=7
    /// recent=1:1,1:2 wants-tree reconfig`.
    fn new(line: &str) -> Script {
        let mut words = line.split_whitespace();
        let kind = match words.next() {
            Some("follower") => LearnerKind::Follower,
            _ => LearnerKind::Observer,
        };
        let mut behind = |word: Option<&str>| {
            assert!(word.is_none_or(|word| words.next() == Some(word)), "{line}");
            words.next().unwrap()
        };
        let me = ServerId(behind(None).parse().unwrap());
        let active = Rc::new(config(behind(Some("of"))));
        let leader = ServerId(behind(Some("below")).parse().unwrap());
        let mut options = PeerOptions {
            me,
            tick_ms: 1000,
            init_limit: 10,
            sync_limit: 5,
            ..PeerOptions::default()
        };
        let to = vec![Endpoint { host: format!("h{leader}"), port: 2888 }];
        let (port, voted) = (Port::Quorum, Epoch(0));
        let mut target = LearnerTarget { leader, master: leader, to, port, kind, voted };
        let mut epochs = Epochs::new(Epoch(0), Epoch(0));
        let (mut tree, mut log, mut wants_tree) = (Zxid::ZERO, Vec::new(), false);
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "epochs" => {
                    let (accepted, current) = value.split_once(',').unwrap();
                    epochs.accepted = Epoch(accepted.parse().unwrap());
                    epochs.current = Epoch(current.parse().unwrap());
                }
                "origin" => epochs.origin = Some(Origin(value.parse().unwrap())),
                "last" => tree = zxid(value),
                "recent" => log = value.split(',').map(|at| txn(zxid(at))).collect(),
                "voted" => target.voted = Epoch(value.parse().unwrap()),
                "master" => target.master = ServerId(value.parse().unwrap()),
                "wants-tree" => wants_tree = true,
                "reconfig" => options.reconfig = true,
                other => panic!("unknown option {other}"),
            }
        }
        let disk = Disk { tree, log, epochs, wanted: VecDeque::new() };
        let ids = LinkIds::default();
        let mut lasting = disk.recover(&options, &ids, &active);
        lasting.wants_tree = wants_tree;
        let mut script = Script {
            learner: Learner::new(target.clone(), MonoUs(0), lasting),
            target,
            options,
            ids,
            active,
            now: MonoUs(0),
            links: (LinkId::opened(0), LinkId::opened(0)),
            is_closed: false,
            leader: words::Ear::default(),
            disk,
            tree: None,
            left: None,
            out: String::new(),
        };
        script.take();
        script
    }

    fn event(mut self, line: &str) -> Script {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (link, former) = self.links;
        match words[..] {
            ["connected"] => {
                let remote = "10.0.0.3:2888".parse().unwrap();
                self.learner.handle_link(self.now, LinkEvent::Connected { link, remote });
            }
            ["closed", ..] => {
                let reason = line.strip_prefix("closed ").unwrap();
                self.learner.handle_link(self.now, LinkEvent::Closed { link, reason });
            }
            ["late", "->", ref said @ ..] => self.received(former, said),
            [name, "->", ref said @ ..] => {
                assert_eq!(name, self.target.master.to_string(), "nobody else is connected");
                self.received(link, said);
            }
            ["durable"] => while self.write() {},
            ["durable", "first"] => {
                self.write();
            }
            ["wait", ms] => {
                self.now = self.now.plus_ms(ms.parse().unwrap());
                self.learner.handle_timeout(self.now);
            }
            ["again"] => {
                let lasting = self.learner.into_lasting();
                self.learner = Learner::new(self.target.clone(), self.now, lasting);
                self.left = None;
            }
            ["crash"] => {
                let Epochs { accepted, current, .. } = self.disk.epochs;
                let last = shown(self.disk.last());
                self.disk.wanted.clear();
                self.say(format!("has epochs accepted={accepted} current={current}, last={last}"));
                let lasting = self.disk.recover(&self.options, &self.ids, &self.active);
                self.learner = Learner::new(self.target.clone(), self.now, lasting);
                self.left = None;
            }
            ["unreadable", ..] => {
                self.tree = None;
                self.learner.snapshot_refused(line.strip_prefix("unreadable ").unwrap());
            }
            ["ask", ref asked @ ..] => words::ask(&mut self.learner, asked),
            ["answer-ping", at, ref sessions @ ..] => {
                let touched = sessions.iter().map(|session| (words::session(session), 4000));
                self.learner.answer_ping(zxid(at), touched);
            }
            _ => panic!("unknown event: {line}"),
        }
        self.take();
        self
    }

    fn received(&mut self, link: LinkId, said: &[&str]) {
        let mut bytes = Vec::new();
        said.split(|word| *word == "|").for_each(|packet| words::put(&mut bytes, packet));
        self.learner.handle_link(self.now, LinkEvent::Received { link, bytes: &bytes });
    }

    /// Makes the oldest wanted thing durable. Returns whether there was one.
    fn write(&mut self) -> bool {
        let Some(wanted) = self.disk.wanted.pop_front() else { return false };
        let journal = &mut self.learner.lasting.journal;
        match wanted {
            Wanted::Truncate(zxid) => {
                self.disk.log.retain(|txn| txn.zxid() <= zxid);
                journal.handle_cut(zxid);
            }
            Wanted::Restore(zxid) => {
                (self.disk.tree, self.disk.log) = (zxid, Vec::new());
                journal.handle_cut(zxid);
            }
            Wanted::Append(txns) => {
                self.disk.log.extend(txns);
                journal.handle_synced(self.disk.last());
            }
            Wanted::Epochs(epochs) => self.disk.epochs = epochs,
            Wanted::Send(ops) => ops.iter().for_each(|op| self.send(op)),
        }
        true
    }

    fn say(&mut self, line: impl Display) {
        let _ = writeln!(self.out, "    {line}");
    }

    /// Takes what the learner wants done, and begins to do it.
    fn take(&mut self) {
        let mut is_first = true;
        loop {
            // A piece of the tree comes alone in a `Ready`, because the replica gives back the bytes behind the
            // tree's end.
            if self.learner.lasting.ready.len() <= 1 {
                self.learner.flush();
            }
            if self.learner.lasting.ready.is_empty() {
                break;
            }
            let mut ready = Ready::default();
            self.learner.lasting.ready.take(&mut ready);
            if !ready.is_empty() {
                if !mem::take(&mut is_first) {
                    self.say("--");
                }
                self.carry_out(ready);
            }
        }
        if let Some(left) = self.learner.failure()
            && self.left.is_none()
        {
            let left = left.clone();
            // The first sentence is the reason; the others tell the operator what to do, which `kept_out` shows in
            // short.
            let reason = left.reason.split(". ").next().unwrap();
            let next = left.next.map_or(String::new(), |next| format!(", server {next} is next"));
            let why = left.kept_out.map_or(String::new(), |why| format!(", kept out as {why:?}"));
            self.say(format!("leaves it: {reason}{next}{why}"));
            self.left = Some(left);
        }
    }

    fn carry_out(&mut self, ready: Ready) {
        let Ready {
            send,
            truncate,
            restore,
            append,
            epochs,
            send_after_sync,
            durable,
            commit,
            standing,
            config,
            inbound,
            log_reads,
        } = ready;
        assert!(durable.is_none() && log_reads.is_empty(), "a learner never wants that");
        send.iter().for_each(|op| self.send(op));
        if let Some(zxid) = truncate {
            self.say(format!("truncate {}", shown(zxid)));
            self.disk.wanted.push_back(Wanted::Truncate(zxid));
        }
        if let Some(zxid) = restore {
            self.say(format!("restore {}", shown(zxid)));
            self.disk.wanted.push_back(Wanted::Restore(zxid));
        }
        if !append.is_empty() {
            self.say(format!("append {}", shown_all(&append)));
            self.disk.wanted.push_back(Wanted::Append(append));
        }
        if let Some(epochs) = epochs {
            let Epochs { accepted, current, origin } = epochs;
            let origin = origin.map_or(String::new(), |origin| format!(" origin={}", origin.0));
            self.say(format!("write epochs accepted={accepted} current={current}{origin}"));
            self.disk.wanted.push_back(Wanted::Epochs(epochs));
        }
        let release = |vouch: Vouch| vouch.release(&Durable::as_the_disk_says());
        let vouched: Vec<LinkOp> = send_after_sync.into_iter().map(release).collect();
        if !vouched.is_empty() {
            for op in &vouched {
                let LinkOp::Send { bytes, .. } = op else { panic!("a vouch is a packet: {op:?}") };
                for packet in self.leader.hear(bytes) {
                    self.say(format!("waits for the disk: {packet}"));
                }
            }
            self.disk.wanted.push_back(Wanted::Send(vouched));
        }
        if !commit.is_empty() {
            self.say(format!("commit {}", shown_all(&commit)));
        }
        standing.iter().for_each(|standing| self.say(format!("{standing:?}")));
        for change in config {
            let (word, config) = match change {
                ConfigChange::Proposed(config) => ("proposed", config),
                ConfigChange::Active(config) => ("active", config),
            };
            let voters = voters(&config);
            self.say(format!("config {:x} {word}: voters {voters}", config.version));
        }
        inbound.into_iter().for_each(|inbound| self.on_inbound(inbound));
    }

    /// Says what the learner passes to the replica, and does what the replica would do about it.
    fn on_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::SnapshotBegins { zxid, digest } => {
                let digest = digest.map_or(String::new(), |digest| format!(" digest {digest}"));
                self.say(format!("the tree of {} begins{digest}", shown(zxid)));
                self.tree = Some(Vec::new());
            }
            Inbound::Snapshot { bytes } => {
                let tree = self.tree.as_mut().expect("a tree has begun");
                tree.extend_from_slice(&bytes);
                let end = tree.windows(TREE_END.len()).position(|window| window == TREE_END);
                let behind = end.map(|end| tree.split_off(end + TREE_END.len()));
                let length = bytes.len() - behind.as_ref().map_or(0, Vec::len);
                self.say(format!("tree {}", String::from_utf8_lossy(&bytes[..length])));
                if let Some(rest) = behind {
                    self.say(format!("the tree is whole, {} bytes are behind it", rest.len()));
                    self.tree = None;
                    self.learner.snapshot_received(None, &rest);
                }
            }
            Inbound::SnapshotAborted => {
                self.say("the rest of the tree will not come");
                self.tree = None;
            }
            Inbound::Ping { zxid } => {
                self.say(format!("is asked who was heard of, {}", shown(zxid)))
            }
            Inbound::SyncDone => self.say("the oldest sync is done"),
            Inbound::LeftOut { session } => self.say(format!("session {session} is left out")),
            Inbound::Revalidated { session, valid, tenure } => {
                let valid = if valid { "alive" } else { "dead" };
                let tenure = tenure.map_or(String::new(), |Tenure { since, turn }| {
                    format!(", here since {} turn {turn}", shown(since))
                });
                self.say(format!("session {session} is {valid}{tenure}"));
            }
            other => panic!("a learner never says {other:?}"),
        }
    }

    /// Does what the learner asked of the network.
    fn send(&mut self, op: &LinkOp) {
        match op {
            LinkOp::Connect { link, server, timeout_ms, .. } => {
                self.links = (*link, self.links.0);
                self.is_closed = false;
                self.leader = words::Ear::default();
                self.say(format!("connect to {server}, for {timeout_ms} ms at most"));
            }
            LinkOp::Send { link, bytes } => {
                let who = self.target.master;
                for packet in self.leader.hear(bytes) {
                    match self.learner.owns(*link) && !self.is_closed {
                        true => self.say(format!("{who} <- {packet}")),
                        false => self.say(format!("nobody hears {packet}")),
                    }
                }
                let event = LinkEvent::Sent { link: *link, bytes: bytes.len() as u64 };
                self.learner.handle_link(self.now, event);
            }
            LinkOp::Close { .. } => {
                self.say("close");
                self.is_closed = true;
            }
            LinkOp::Listen { .. } | LinkOp::Members { .. } => {
                panic!("a learner never wants {op:?}")
            }
        }
    }
}
