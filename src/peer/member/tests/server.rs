//! One server of a test: a member, a database that is a list, and a disk that is slow.

use super::*;
use crate::session::Tenure;
use crate::zab::{Durable, Inbound, LogRead, Vouch};
use bytes::Bytes;

/// A database that is a list: what was applied, and the last zxid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub applied: Vec<(Zxid, i32)>,
    pub last: Zxid,
}

impl State {
    pub fn apply(&mut self, txn: &Txn) {
        assert!(txn.zxid() > self.last, "{} is applied after {}", txn.zxid(), self.last);
        let content = match txn.body() {
            TxnBody::Error { err } => err,
            // No other transaction has the zxid of a reconfiguration, so one number serves for all of them.
            _ => -1,
        };
        self.applied.push((txn.zxid(), content));
        self.last = txn.zxid();
    }

    /// The bytes that a leader sends as its whole tree.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = (self.applied.len() as u64).to_be_bytes().to_vec();
        for (zxid, content) in &self.applied {
            out.extend_from_slice(&zxid.0.to_be_bytes());
            out.extend_from_slice(&content.to_be_bytes());
        }
        out
    }

    /// The tree at the beginning of `bytes`, if all of it has arrived, and its length in bytes.
    fn parse(bytes: &[u8], zxid: Zxid) -> Option<(State, usize)> {
        let count =
            usize::try_from(u64::from_be_bytes(bytes.get(..8)?.try_into().unwrap())).unwrap();
        let end = 8 + count * 12;
        let items = bytes.get(8..end)?.chunks(12).map(|item| {
            let zxid = i64::from_be_bytes(item[..8].try_into().unwrap());
            (Zxid(zxid), i32::from_be_bytes(item[8..].try_into().unwrap()))
        });
        Some((State { applied: items.collect(), last: zxid }, end))
    }
}

/// What survives a crash.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub snapshots: Vec<State>,
    pub log: Vec<Txn>,
    pub epochs: Epochs,
}

impl Disk {
    pub fn recover(&self) -> State {
        let mut state = self.snapshots.last().expect("there is one").clone();
        let newer: Vec<&Txn> = self.log.iter().filter(|txn| txn.zxid() > state.last).collect();
        newer.into_iter().for_each(|txn| state.apply(txn));
        state
    }

    fn truncate(&mut self, zxid: Zxid) {
        self.snapshots.retain(|state| state.last <= zxid);
        self.log.retain(|txn| txn.zxid() <= zxid);
        assert!(!self.snapshots.is_empty(), "nothing is left");
    }

    /// Whether the disk can give back the state at `zxid`.
    fn holds(&self, zxid: Zxid) -> bool {
        let mut cut = self.clone();
        cut.snapshots.retain(|state| state.last <= zxid);
        cut.log.retain(|txn| txn.zxid() <= zxid);
        !cut.snapshots.is_empty() && (cut.recover().last == zxid || zxid.counter() == 0)
    }
}

/// An operation that waits for the disk. Operations complete in order.
#[derive(Debug)]
pub(super) enum Incident {
    Truncate(Zxid),
    Restore(State),
    Append(Vec<Txn>),
    Epochs(Epochs),
    Vouch(Vec<Vouch>),
    Durable(u64),
}

/// One server: its member while it runs, its disk, and what it has applied.
pub(super) struct Server {
    pub id: ServerId,
    pub life: u64,
    /// `None` while the server is down.
    pub member: Option<Member>,
    pub state: State,
    pub disk: Disk,
    pub steps: VecDeque<Incident>,
    /// When the disk finishes the first step.
    pub step_at: u64,
    pub standing: Standing,
    /// The zxid of the last proposal, while the server leads.
    pub proposed: Zxid,
    incoming: Option<(Zxid, Vec<u8>)>,
    received: Option<State>,
    pub log_reads: Vec<(u64, LogRead)>,
    pub config_changes: usize,
    /// The answers to the replica's questions.
    pub answers: Vec<String>,
}

/// What one turn of a server gives to the test: packets for the others, and what was committed.
#[derive(Default)]
pub(super) struct Turn {
    pub ops: Vec<LinkOp>,
    /// Committed transactions, each with the standing of the server at that time.
    pub committed: Vec<(Zxid, i32, Standing)>,
    pub standings: Vec<Standing>,
}

impl Server {
    pub fn new(id: ServerId) -> Server {
        let epochs = Epochs::new(Epoch(0), Epoch(0));
        Server {
            id,
            life: 0,
            member: None,
            state: State::default(),
            disk: Disk { snapshots: vec![State::default()], log: Vec::new(), epochs },
            steps: VecDeque::new(),
            step_at: u64::MAX,
            standing: Standing::Looking,
            proposed: Zxid::ZERO,
            incoming: None,
            received: None,
            log_reads: Vec::new(),
            config_changes: 0,
            answers: Vec::new(),
        }
    }

    /// Empties the server's folder, and marks its ensemble as new.
    pub fn wipe(&mut self) {
        self.disk = Server::new(self.id).disk;
        self.proposed = Zxid::ZERO;
    }

    pub fn start(&mut self, now: u64, options: &PeerOptions, config: &Config, seed: u64) {
        self.state = self.disk.recover();
        let newest = self.disk.snapshots.last().unwrap().last;
        let log = self.disk.log.iter().filter(|txn| txn.zxid() > newest).cloned();
        let history = History {
            last: self.state.last,
            recent: log.collect(),
            epochs: self.disk.epochs,
            digest: None,
        };
        let options = PeerOptions { me: self.id, ..options.clone() };
        self.life += 1;
        self.standing = Standing::Looking;
        self.member = Some(Member::new(options, config.clone(), history, MonoUs(now), seed));
    }

    /// The process dies. A part of what was on its way to the disk may have arrived.
    pub fn crash(&mut self, random: &mut Random) {
        self.member = None;
        if let Some(Incident::Append(txns)) = self.steps.pop_front() {
            let count = random.index(txns.len() + 1);
            self.disk.log.extend(txns.into_iter().take(count));
        }
        self.steps.clear();
        self.step_at = u64::MAX;
        self.incoming = None;
        self.received = None;
        self.log_reads.clear();
        self.standing = Standing::Looking;
    }

    /// Does what the member wants done, until it wants nothing more.
    pub fn turn(&mut self, now: u64, random: &mut Random) -> Turn {
        let mut turn = Turn::default();
        let mut ready = Ready::default();
        loop {
            self.give_tree(random);
            // As in the replica, what comes behind a cut of the log waits for the cut.
            if self.steps.iter().any(|step| matches!(step, Incident::Truncate(_))) {
                break;
            }
            let more = self.member.as_mut().unwrap().take_ready(&mut ready);
            let idle = ready.is_empty();
            self.carry_out(now, random, &mut ready, &mut turn);
            if idle && !more {
                break;
            }
        }
        turn
    }

    fn carry_out(&mut self, now: u64, random: &mut Random, ready: &mut Ready, turn: &mut Turn) {
        turn.ops.append(&mut ready.send);
        let before = self.steps.len();
        if let Some(zxid) = ready.truncate.take() {
            self.steps.push_back(Incident::Truncate(zxid));
            assert!(ready.commit.is_empty() && ready.append.is_empty());
        }
        if ready.restore.take().is_some() {
            self.state = self.received.take().expect("a tree was received");
            self.steps.push_back(Incident::Restore(self.state.clone()));
        }
        if !ready.append.is_empty() {
            self.steps.push_back(Incident::Append(std::mem::take(&mut ready.append)));
        }
        if let Some(epochs) = ready.epochs.take() {
            self.steps.push_back(Incident::Epochs(epochs));
        }
        if !ready.send_after_sync.is_empty() {
            self.steps.push_back(Incident::Vouch(std::mem::take(&mut ready.send_after_sync)));
        }
        if let Some(token) = ready.durable.take() {
            self.steps.push_back(Incident::Durable(token));
        }
        if before == 0 && !self.steps.is_empty() {
            self.step_at = now + self.disk_us(random);
        }
        for txn in ready.commit.drain(..) {
            self.state.apply(&txn);
            let (zxid, content) = *self.state.applied.last().unwrap();
            turn.committed.push((zxid, content, self.standing));
        }
        for standing in ready.standing.drain(..) {
            if let Standing::Leading { epoch } = standing {
                self.proposed = Zxid::new(epoch, 0);
                self.state.last = self.proposed;
            }
            self.standing = standing;
            turn.standings.push(standing);
        }
        self.config_changes += ready.config.len();
        ready.config.clear();
        for read in ready.log_reads.drain(..) {
            self.log_reads.push((now + random.below(5000), read));
        }
        let member = self.member.as_mut().unwrap();
        for inbound in ready.inbound.drain(..) {
            match inbound {
                Inbound::Ping { zxid } => member.answer_ping(zxid, std::iter::empty()),
                Inbound::SnapshotBegins { zxid, .. } => self.incoming = Some((zxid, Vec::new())),
                Inbound::Snapshot { bytes } => {
                    let (zxid, buffer) = self.incoming.as_mut().expect("a tree began");
                    buffer.extend_from_slice(&bytes);
                    if let Some((state, end)) = State::parse(buffer, *zxid) {
                        let (_, buffer) = self.incoming.take().unwrap();
                        self.received = Some(state);
                        member.snapshot_received(MonoUs(now), None, &buffer[end..]);
                    }
                }
                Inbound::SnapshotAborted => self.incoming = None,
                Inbound::Request(request) => {
                    if request.op == OpCode::Sync.number() {
                        member.answer_sync(request.link);
                    }
                }
                Inbound::Fence { link } => member.answer_fence(link),
                // The answer for a kept connection is no, so that the two kinds of answers differ.
                Inbound::Revalidate { link, session, kept, .. } => {
                    let owns = kept.is_none().then(Tenure::default);
                    member.answer_revalidate(link, session, owns);
                }
                Inbound::Revalidated { session, valid, .. } => {
                    self.answers.push(format!("session {} {valid}", session.0));
                }
                Inbound::TakenUpAtObserver { .. } | Inbound::LeftOut { .. } => {}
                Inbound::StillLeads { number } => self.answers.push(format!("leads {number}")),
                Inbound::SyncDone => self.answers.push("synced".to_owned()),
                Inbound::Touch { session, .. } => self.answers.push(format!("touch {}", session.0)),
            }
        }
    }

    /// Sends the tree to the learners that wait for it.
    fn give_tree(&mut self, random: &mut Random) {
        let member = self.member.as_mut().unwrap();
        if !member.wants_snapshot() {
            return;
        }
        member.snapshot_begins(self.state.last, None);
        let bytes = self.state.to_bytes();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = (1 + random.index(200)).min(rest.len());
            member.snapshot_piece(Bytes::copy_from_slice(&rest[..length]));
            rest = &rest[length..];
        }
        member.snapshot_ends();
    }

    /// Finishes the first step of the disk.
    pub fn step(&mut self, now: u64, random: &mut Random) -> Vec<LinkOp> {
        let step = self.steps.pop_front().expect("its time was set");
        let member = self.member.as_mut().unwrap();
        let mut ops = Vec::new();
        match step {
            Incident::Truncate(zxid) => {
                if self.state.last <= zxid {
                    self.disk.truncate(zxid);
                } else if self.disk.holds(zxid) {
                    self.disk.truncate(zxid);
                    self.state = self.disk.recover();
                } else {
                    member.handle_not_cut(MonoUs(now), self.state.last);
                }
            }
            Incident::Restore(state) => self.disk.snapshots.push(state),
            Incident::Append(txns) => {
                let last = txns.last().unwrap().zxid();
                self.disk.log.extend(txns);
                member.handle_synced(last);
            }
            Incident::Epochs(epochs) => self.disk.epochs = epochs,
            Incident::Vouch(vouched) => {
                let durable = Durable::as_the_disk_says();
                ops.extend(vouched.into_iter().map(|vouch| vouch.release(&durable)));
            }
            Incident::Durable(token) => member.handle_durable(MonoUs(now), token),
        }
        self.step_at = if self.steps.is_empty() { u64::MAX } else { now + self.disk_us(random) };
        ops
    }

    fn disk_us(&self, random: &mut Random) -> u64 {
        match self.steps.front() {
            Some(Incident::Vouch(_) | Incident::Durable(_)) => 0,
            _ if random.below(20) == 0 => random.below(30_000),
            _ => random.below(1000),
        }
    }

    pub fn answer_log_read(&mut self, now: u64, random: &mut Random, read: LogRead) {
        let log = &self.disk.log;
        let from = log.iter().rposition(|txn| txn.zxid() <= read.from);
        let txns = from.filter(|_| random.below(10) > 0).map(|from| {
            log[from..].iter().filter(|txn| txn.zxid() <= read.to).cloned().collect::<Vec<_>>()
        });
        // The log has a hole where the server received a tree.
        let is_whole = |txns: &Vec<Txn>| {
            let snapshots = &self.disk.snapshots;
            let is_hole = |last, next| snapshots.iter().any(|s| last < s.last && s.last < next);
            txns.last().is_some_and(|txn| txn.zxid() == read.to)
                && !txns.windows(2).any(|two| is_hole(two[0].zxid(), two[1].zxid()))
        };
        let txns = txns.filter(is_whole);
        self.member.as_mut().unwrap().handle_log_read(MonoUs(now), read.id, txns);
    }

    pub fn serves(&self) -> bool {
        self.member.is_some() && self.standing != Standing::Looking
    }

    pub fn leads(&self) -> bool {
        self.member.is_some() && matches!(self.standing, Standing::Leading { .. })
    }
}
