//! One process of the paper: a leader or a follower, its database, and a disk that does a step only when the test
//! says so.

use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use ringkeeper::id::{Epoch, ServerId, Zxid};
use ringkeeper::link::{LinkEvent, LinkIds, LinkOp, Port};
use ringkeeper::proto::txn::Txn;
use ringkeeper::quorum::{Config, PeerOptions};
use ringkeeper::time::MonoUs;
use ringkeeper::zab::learner::{LearnerKind, LearnerTarget};
use ringkeeper::zab::{
    CommittedLog, Durable, Epochs, Inbound, Lasting, Leader, Learner, Numbers, Origin, Ready,
    Standing, Vouch,
};

use crate::disk::{Change, Database, Disk, change, txn};

/// One thing on its way to the disk.
#[derive(Debug)]
enum Step {
    Truncate(Zxid),
    Restore(Database),
    Append(Vec<Txn>),
    Epochs(Epochs),
    /// These packets may leave when everything before them is on the disk.
    Send(Vec<Vouch>),
    /// The leader waits for this token.
    Durable(u64),
}

/// The present role of a process.
enum Role {
    /// The process has crashed.
    Down,
    /// The process neither leads nor has a leader.
    Idle(Box<Lasting>),
    Leading(Box<Leader>),
    Following(Box<Learner>),
}

/// One effect of a process that others see.
#[derive(Debug)]
pub enum Outcome {
    Link(LinkOp),
    /// From now on, the process delivers, beginning with these changes.
    Ready(Vec<Change>),
    /// The process has delivered this change.
    Delivered(Change),
    /// The process delivers nothing any more.
    Over,
}

pub struct Process {
    pub id: i64,
    role: Role,
    database: Database,
    disk: Disk,
    steps: VecDeque<Step>,
    /// The zxid of a tree that a leader sends, and the part of the tree that has arrived.
    incoming: Option<(Zxid, Vec<u8>)>,
    is_ready: bool,
    config: Rc<Config>,
    ids: LinkIds,
    numbers: Numbers,
    /// The zxid of its last proposal.
    proposed: Zxid,
}

impl Process {
    pub fn new(id: i64, config: Rc<Config>) -> Process {
        let mut process = Process {
            id,
            role: Role::Down,
            database: Database::default(),
            disk: Disk::default(),
            steps: VecDeque::new(),
            incoming: None,
            is_ready: false,
            config,
            ids: LinkIds::default(),
            numbers: Numbers::default(),
            proposed: Zxid::ZERO,
        };
        process.recover();
        process
    }

    /// Starts the process with what its disk holds.
    pub fn recover(&mut self) {
        // A follower that lacks more transactions than memory holds gets the whole tree.
        let options = PeerOptions {
            me: ServerId(self.id),
            sync_from_log: false,
            commit_log_txns: 8,
            ..PeerOptions::default()
        };
        self.database = self.disk.recover();
        let log = self.disk.log.iter().cloned().collect();
        let recent = CommittedLog::new(self.database.last, log, options.commit_log_txns);
        let (ids, config, epochs) = (self.ids.clone(), self.config.clone(), self.disk.epochs());
        let lasting = Lasting::new(options, ids, config.clone(), config, epochs, recent);
        self.role = Role::Idle(Box::new(lasting));
    }

    /// Ends the process, which loses its memory and everything on its way to the disk.
    pub fn crash(&mut self) {
        self.role = Role::Down;
        self.steps.clear();
        self.incoming = None;
        self.is_ready = false;
    }

    /// Lets the process leave its leader, or give up the lead.
    pub fn leave(&mut self) {
        self.is_ready = false;
        self.incoming = None;
        self.role = match mem::replace(&mut self.role, Role::Down) {
            Role::Down => Role::Down,
            Role::Idle(lasting) => Role::Idle(lasting),
            Role::Leading(mut leader) => {
                leader.resign("another is to lead");
                leader.flush();
                Role::Idle(leader.into_lasting())
            }
            Role::Following(mut learner) => {
                learner.abandon("another is to be followed".to_owned());
                Role::Idle(learner.into_lasting())
            }
        };
    }

    /// Makes the process a prospective leader.
    pub fn lead(&mut self, now: MonoUs) {
        self.leave();
        let Role::Idle(mut lasting) = mem::replace(&mut self.role, Role::Down) else { return };
        while let Some(zxid) = lasting.journal.pending().front().map(Txn::zxid) {
            let txn = lasting.journal.commit(zxid).unwrap();
            lasting.ready.commit(txn);
        }
        let synced = lasting.journal.synced();
        let origin = Origin(self.id);
        let mut leader = Leader::new(lasting, self.numbers.clone(), origin, now);
        leader.handle_synced(synced);
        self.role = Role::Leading(Box::new(leader));
    }

    /// Makes the process a follower of this leader.
    pub fn follow(&mut self, now: MonoUs, leader: i64) {
        self.leave();
        let Role::Idle(lasting) = mem::replace(&mut self.role, Role::Down) else { return };
        let leader = ServerId(leader);
        let (to, port) = (Vec::new(), Port::Quorum);
        let (kind, voted) = (LearnerKind::Follower, Epoch::ZERO);
        let target = LearnerTarget { leader, master: leader, to, port, kind, voted };
        self.role = Role::Following(Box::new(Learner::new(target, now, lasting)));
    }

    /// Handles an event of a connection.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        match &mut self.role {
            Role::Leading(leader) => leader.handle_link(now, event),
            Role::Following(learner) => learner.handle_link(now, event),
            Role::Down | Role::Idle(_) => {}
        }
    }

    fn leader(&mut self) -> Option<&mut Leader> {
        match &mut self.role {
            Role::Leading(leader) => Some(leader),
            _ => None,
        }
    }

    pub fn is_up(&self) -> bool {
        !matches!(self.role, Role::Down)
    }

    /// Whether the process leads, or tries to.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Whether the process has a leader.
    pub fn is_follower(&self) -> bool {
        matches!(self.role, Role::Following(_))
    }

    /// Whether the process delivers what is committed.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The last promise, and the epoch of the history, as the disk holds them.
    pub fn epochs(&self) -> (i64, i64) {
        let epochs = self.disk.epochs();
        (epochs.accepted.0, epochs.current.0)
    }

    /// The changes on its disk.
    pub fn history(&self) -> Vec<Change> {
        self.disk.recover().changes
    }

    /// Broadcasts a value, if the process is a primary.
    pub fn broadcast(&mut self, value: i32) -> Option<Change> {
        let last = self.proposed;
        let leader = self.leader()?;
        let change = (leader.zxid_after(last)?, value);
        leader.propose(txn(change));
        self.proposed = change.0;
        Some(change)
    }

    fn lasting(&mut self) -> Option<&mut Lasting> {
        match &mut self.role {
            Role::Down => None,
            Role::Idle(lasting) => Some(lasting),
            Role::Leading(leader) => Some(leader.lasting_mut()),
            Role::Following(learner) => Some(learner.lasting_mut()),
        }
    }

    // ---- what it wants

    /// Takes what the process wants done. Whatever concerns the disk waits there.
    pub fn take(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.give_tree();
        while let Some(ready) = self.next() {
            self.carry_out(ready, &mut outcomes);
            self.give_tree();
        }
        let failed = match &self.role {
            Role::Leading(leader) => leader.failure().is_some(),
            Role::Following(learner) => learner.failure().is_some(),
            Role::Down | Role::Idle(_) => false,
        };
        if failed {
            self.leave();
            // The process closes its connections to the others.
            outcomes.extend(self.take());
        }
        outcomes
    }

    fn next(&mut self) -> Option<Ready> {
        // What comes behind a cut of the log waits for the cut.
        if self.steps.iter().any(|step| matches!(step, Step::Truncate(_))) {
            return None;
        }
        match &mut self.role {
            Role::Leading(leader) => {
                if leader.lasting_mut().ready.last().durable.is_some() {
                    leader.lasting_mut().ready.begin();
                }
                leader.flush();
            }
            Role::Following(learner) => {
                if learner.lasting().ready.len() <= 1 {
                    learner.flush();
                }
            }
            Role::Down | Role::Idle(_) => {}
        }
        let queue = &mut self.lasting()?.ready;
        let mut ready = Ready::default();
        while ready.is_empty() && !queue.is_empty() {
            queue.take(&mut ready);
        }
        (!ready.is_empty()).then_some(ready)
    }

    fn carry_out(&mut self, ready: Ready, outcomes: &mut Vec<Outcome>) {
        outcomes.extend(ready.send.into_iter().map(Outcome::Link));
        self.steps.extend(ready.truncate.map(Step::Truncate));
        if ready.restore.is_some() {
            self.steps.push_back(Step::Restore(self.database.clone()));
        }
        if !ready.append.is_empty() {
            self.steps.push_back(Step::Append(ready.append));
        }
        self.steps.extend(ready.epochs.map(Step::Epochs));
        if !ready.send_after_sync.is_empty() {
            self.steps.push_back(Step::Send(ready.send_after_sync));
        }
        self.steps.extend(ready.durable.map(Step::Durable));
        for txn in &ready.commit {
            self.database.apply(txn);
            if self.is_ready {
                outcomes.push(Outcome::Delivered(change(txn)));
            }
        }
        for standing in ready.standing {
            if let Standing::Leading { epoch } = standing {
                self.proposed = Zxid::new(epoch, 0);
                self.database.last = self.proposed;
            }
            self.is_ready = true;
            outcomes.push(Outcome::Ready(self.database.changes.clone()));
        }
        ready.inbound.into_iter().for_each(|inbound| self.on_inbound(inbound));
    }

    fn on_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::SnapshotBegins { zxid, .. } => self.incoming = Some((zxid, Vec::new())),
            Inbound::Snapshot { bytes } => {
                let (zxid, buffer) = self.incoming.as_mut().expect("a tree has begun");
                buffer.extend_from_slice(&bytes);
                let Some(length) = Database::length(buffer) else { return };
                self.database = Database::parse(&buffer[..length], *zxid);
                let (_, rest) = self.incoming.take().unwrap();
                let Role::Following(learner) = &mut self.role else { panic!("who has asked?") };
                learner.snapshot_received(None, &rest[length..]);
            }
            Inbound::SnapshotAborted => self.incoming = None,
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// Sends the whole tree to the followers that wait for it.
    fn give_tree(&mut self) {
        let (bytes, last) = (self.database.to_bytes(), self.database.last);
        if let Role::Leading(leader) = &mut self.role
            && leader.wants_snapshot()
        {
            leader.snapshot_begins(last, None);
            leader.snapshot_piece(&bytes.into());
            leader.snapshot_ends();
        }
    }

    // ---- its disk

    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Lets the disk do its oldest step. Returns the packets that may leave then.
    pub fn step(&mut self, now: MonoUs) -> Vec<LinkOp> {
        match self.steps.pop_front().expect("it has something to do") {
            Step::Truncate(zxid) => self.cut(zxid),
            Step::Restore(database) => {
                let last = database.last;
                (self.disk.snapshot, self.disk.log) = (database, Vec::new());
                if let Some(lasting) = self.lasting() {
                    lasting.journal.handle_cut(last);
                }
            }
            Step::Append(txns) => {
                let last = txns.last().unwrap().zxid();
                self.disk.log.extend(txns);
                if let Some(lasting) = self.lasting() {
                    lasting.journal.handle_synced(last);
                }
                if let Some(leader) = self.leader() {
                    leader.handle_synced(last);
                }
            }
            Step::Epochs(epochs) => self.disk.epochs = Some(epochs),
            Step::Send(vouched) => {
                let durable = Durable::as_the_disk_says();
                return vouched.into_iter().map(|vouch| vouch.release(&durable)).collect();
            }
            Step::Durable(token) => {
                if let Some(leader) = self.leader() {
                    leader.handle_durable(now, token);
                }
            }
        }
        Vec::new()
    }

    fn cut(&mut self, zxid: Zxid) {
        if self.disk.snapshot.last <= zxid {
            self.disk.log.retain(|txn| txn.zxid() <= zxid);
            if self.database.last > zxid {
                self.database = self.disk.recover();
            }
            if let Some(lasting) = self.lasting() {
                lasting.journal.handle_cut(zxid);
            }
            return;
        }
        // The cut lies within the snapshot, so the process asks for the whole tree next time.
        let last = self.database.last;
        self.leave();
        self.steps.clear();
        if let Some(lasting) = self.lasting() {
            lasting.wants_tree = true;
            lasting.ready.forget_log();
            lasting.journal.reset(last);
        }
    }
}
