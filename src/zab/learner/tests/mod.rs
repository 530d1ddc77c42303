//! A learner against a leader that says what a test wants. A line tells each effect that the learner
//! asks for, in the order in which they become durable.

mod conversations;
mod hostile;
mod leaving;
mod lost_data;
mod script;
mod stages;
mod words;

use super::*;
use crate::id::SessionId;
use crate::proto::OpCode;
use crate::proto::txn::{SetDataTxn, TxnBody, TxnHeader};
use crate::quorum::PeerOptions;
use crate::session::Tenure;
use crate::zab::packets::{
    put_bare, put_data, put_inform_and_activate, put_leader_info, put_other_history, put_txn,
};
use crate::zab::{CommittedLog, Epochs, Mark, Marks, Origin};
use crate::zab::{Durable, PassedRequest, Ready, ReadyQueue, SessionScope};

const LEADER: ServerId = ServerId(3);

pub(super) fn config(version: i64, text: &str) -> Config {
    Config::from_bytes(format!("{text}version={version:x}").as_bytes()).unwrap()
}

const THREE: &str = "server.1=h1:2888:3888:participant\nserver.2=h2:2888:3888:participant\n\
                     server.3=h3:2888:3888:participant\n";

pub(super) fn z(epoch: i64, counter: u32) -> Zxid {
    Zxid::new(Epoch(epoch), counter)
}

pub(super) fn txn(zxid: Zxid) -> Txn {
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::Error };
    Txn::new(header, &TxnBody::Error { err: -101 }, None)
}

/// A request of a session that the leader knows.
pub(super) fn request(op: OpCode, body: &[u8]) -> PassedRequest<'_> {
    let (session, scope) = (SessionId(7), SessionScope::Global);
    PassedRequest { session, scope, cxid: 3, op: op.number(), body, identities: &[] }
}

pub(super) fn reconfig(zxid: Zxid, text: &str) -> Txn {
    let header =
        TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::Reconfig };
    let data = Some(text.as_bytes());
    let path = Some("/zookeeper/config");
    Txn::new(header, &TxnBody::SetData(SetDataTxn { path, data, version: -1 }), None)
}

/// A learner and its end of the connection.
pub(super) struct Conversation {
    pub(super) learner: Learner,
    pub(super) now: MonoUs,
    reader: PacketReader,
}

impl Conversation {
    /// A server whose log ends with `log`, and which has followed epoch `current`.
    pub(super) fn new(kind: LearnerKind, accepted: i64, current: i64, log: &[Zxid]) -> Self {
        let options = PeerOptions { tick_ms: 100, reconfig: true, ..PeerOptions::default() };
        let last = log.last().copied().unwrap_or(Zxid::ZERO);
        let recent = CommittedLog::new(last, log.iter().map(|zxid| txn(*zxid)).collect(), 500);
        let config = Rc::new(config(0, THREE));
        let mut lasting = Lasting::new(
            options,
            crate::link::LinkIds::default(),
            config.clone(),
            config,
            Epochs::new(Epoch(accepted), Epoch(current)),
            recent,
        );
        lasting.is_observer = kind == LearnerKind::Observer;
        let now = MonoUs(1_000_000);
        let learner = Learner::new(Self::target(kind), now, Box::new(lasting));
        let reader = PacketReader::new(1000);
        Conversation { learner, now, reader }
    }

    fn target(kind: LearnerKind) -> LearnerTarget {
        let to = vec![Endpoint { host: "h3".to_owned(), port: 2888 }];
        let voted = Epoch(0);
        LearnerTarget { leader: LEADER, master: LEADER, to, port: Port::Quorum, kind, voted }
    }

    /// As `new`, with a connection on which the learner has sent FOLLOWERINFO or OBSERVERINFO.
    pub(super) fn connected(kind: LearnerKind, accepted: i64, current: i64, log: &[Zxid]) -> Self {
        let mut it = Self::new(kind, accepted, current, log);
        it.told();
        it.connect();
        it.told();
        it
    }

    /// A follower in epoch 2 with nothing in its log, up to date.
    pub(super) fn following() -> Self {
        Self::following_one(|out| put_leader_info(out, Epoch(2), None))
    }

    /// As `following`, with a leader that sends this LEADERINFO.
    pub(super) fn following_one(leader_info: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut it = Self::connected(LearnerKind::Follower, 1, 1, &[]);
        it.says(leader_info);
        it.says(|out| put_bare(out, packet::DIFF, Zxid::ZERO));
        it.says(|out| put_bare(out, packet::NEWLEADER, z(2, 0)));
        it.says(|out| put_bare(out, packet::UPTODATE, Zxid::NONE));
        it
    }

    /// Another attempt to follow, with the lasting state of this one.
    pub(super) fn again(mut self) -> Self {
        if self.learner.failure().is_none() {
            self.learner.abandon("another attempt".to_owned());
        }
        let (kind, now) = (self.learner.target().kind, self.now);
        let learner = Learner::new(Self::target(kind), now, self.learner.into_lasting());
        let mut it = Conversation { learner, now, reader: PacketReader::new(1000) };
        it.told();
        it.connect();
        it.told();
        it
    }

    pub(super) fn connect(&mut self) {
        let link = self.learner.link.unwrap();
        let remote = "127.0.0.1:1".parse().unwrap();
        let event = LinkEvent::Connected { link, remote };
        self.learner.handle_link(self.now, event);
    }

    /// Lets the leader say something, and gives what the learner asks for.
    pub(super) fn says(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.bytes(&bytes);
        self.told()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let Some(link) = self.learner.link else { return };
        let event = LinkEvent::Received { link, bytes };
        self.learner.handle_link(self.now, event);
    }

    /// Lets time pass, and gives what the learner asks for.
    pub(super) fn waits_ms(&mut self, ms: u64) -> String {
        self.now = self.now.plus_ms(ms);
        self.learner.handle_timeout(self.now);
        self.told()
    }

    /// All effects that the learner asks for, in order: a line for each field of each `Ready`, and `--` between two
    /// `Ready`s.
    pub(super) fn told(&mut self) -> String {
        let mut readies = Vec::new();
        loop {
            if self.learner.lasting.ready.len() <= 1 {
                self.learner.flush();
            }
            if self.learner.lasting.ready.is_empty() {
                break;
            }
            let mut ready = Ready::default();
            self.learner.lasting.ready.take(&mut ready);
            if !ready.is_empty() {
                readies.push(self.describe(&mut ready));
            }
        }
        if let Some(left) = self.learner.failure() {
            let next = left.next.map_or(String::new(), |next| format!(" for {next}"));
            readies.push(format!("left{next}: {}", left.reason));
        }
        readies.join("\n--\n")
    }

    fn describe(&mut self, ready: &mut Ready) -> String {
        let zxids = |txns: &[Txn]| {
            let zxids: Vec<String> = txns.iter().map(|txn| txn.zxid().to_string()).collect();
            zxids.join(" ")
        };
        let mut lines = Vec::new();
        for op in &ready.send {
            lines.push(self.op(op));
        }
        lines.extend(ready.truncate.map(|zxid| format!("truncate {zxid}")));
        lines.extend(ready.restore.map(|zxid| format!("restore {zxid}")));
        if !ready.append.is_empty() {
            lines.push(format!("append {}", zxids(&ready.append)));
        }
        lines.extend(ready.epochs.map(|e| format!("epochs {} {}", e.accepted, e.current)));
        for vouch in ready.send_after_sync.drain(..) {
            let op = self.op(&vouch.release(&Durable::as_the_disk_says()));
            lines.push(format!("synced: {op}"));
        }
        if !ready.commit.is_empty() {
            lines.push(format!("commit {}", zxids(&ready.commit)));
        }
        lines.extend(ready.standing.iter().map(|standing| format!("{standing:?}")));
        lines.extend(ready.config.iter().map(|change| match change {
            crate::zab::ConfigChange::Proposed(config) => format!("proposed {:x}", config.version),
            crate::zab::ConfigChange::Active(config) => format!("active {:x}", config.version),
        }));
        lines.extend(ready.inbound.iter().map(|inbound| match inbound {
            Inbound::Snapshot { bytes } => format!("tree {}", String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        }));
        lines.join("\n")
    }

    fn op(&mut self, op: &LinkOp) -> String {
        match op {
            LinkOp::Listen { .. } => "listen".to_owned(),
            LinkOp::Members { .. } => "members".to_owned(),
            LinkOp::Connect { timeout_ms, .. } => format!("connect {timeout_ms}"),
            LinkOp::Close { .. } => "close".to_owned(),
            LinkOp::Send { bytes, .. } => {
                self.reader.push(bytes);
                let mut packets = Vec::new();
                while let Some(packet) = self.reader.next().unwrap() {
                    let is_ack = packet.kind == packet::ACKEPOCH;
                    let marks = packet.marks().ok().flatten().filter(|_| is_ack);
                    let marks = marks.filter(|marks| *marks != Marks::default());
                    let data = packet.data.as_ref().map_or(String::new(), |data| {
                        let data = match packet.kind {
                            packet::ACKEPOCH => &data[..4],
                            _ => data,
                        };
                        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
                        let marks = marks.map_or("", |_| " and marks");
                        format!(" [{hex}]{marks}")
                    });
                    packets.push(format!("{} {}{data}", name(packet.kind), packet.zxid));
                }
                packets.join(", ")
            }
        }
    }
}
