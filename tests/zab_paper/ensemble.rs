//! An ensemble in which the test says which process leads, as the leader oracle of the paper does. Messages arrive
//! in order, and a test may hold them up; writes to the disks wait in the same way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::rc::Rc;

use bytes::Bytes;
use ringkeeper::link::{LinkEvent, LinkId, LinkOp, Port};
use ringkeeper::quorum::Config;
use ringkeeper::time::MonoUs;

use crate::disk::Change;
use crate::ear::Ear;
use crate::process::{Outcome, Process};
use crate::trace::{Broadcast, Trace};

const NOW: MonoUs = MonoUs(0);

/// One thing that arrives over a connection.
enum Arrival {
    Bytes(Bytes),
    Closed,
}

/// One end of a connection.
struct End {
    process: i64,
    link: LinkId,
    arrivals: VecDeque<Arrival>,
    ear: Ear,
    is_open: bool,
}

impl End {
    fn new(process: i64, link: LinkId) -> End {
        let (arrivals, ear) = (VecDeque::new(), Ear::default());
        End { process, link, arrivals, ear, is_open: true }
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// The oldest thing on its way over this connection arrives at this end.
    Arrive(usize, usize),
    /// The disk of this process does one step.
    Write(i64),
}

pub struct Ensemble {
    processes: BTreeMap<i64, Process>,
    /// Each connection's two ends: the follower's and the leader's.
    connections: Vec<[End; 2]>,
    accepted: u64,
    /// Pairs of processes: what the first says does not reach the second yet.
    held: BTreeSet<(i64, i64)>,
    /// The processes whose disks do nothing.
    slow: BTreeSet<i64>,
    /// Everything that was ever said, in lines such as `1 → 2 NEWLEADER 1:0`.
    said: Vec<String>,
    trace: Trace,
    /// The outcomes that are still to be handled, and whether `settle` is handling them.
    outcomes: VecDeque<(i64, Outcome)>,
    is_settling: bool,
}

impl Ensemble {
    /// An ensemble of `count` processes without history.
    pub fn of(count: i64) -> Ensemble {
        let line = |id: i64| format!("server.{id}=h{id}:2888:3888\n");
        let config = Rc::new(Config::parse(&(1..=count).map(line).collect::<String>()).unwrap());
        Ensemble {
            processes: (1..=count).map(|id| (id, Process::new(id, config.clone()))).collect(),
            connections: Vec::new(),
            accepted: 0,
            held: BTreeSet::new(),
            slow: BTreeSet::new(),
            said: Vec::new(),
            trace: Trace::default(),
            outcomes: VecDeque::new(),
            is_settling: false,
        }
    }

    /// As `of`, with `leader` leading all others and nothing on its way.
    pub fn led(count: i64, leader: i64) -> Ensemble {
        let mut ensemble = Ensemble::of(count);
        let others: Vec<i64> = (1..=count).filter(|id| *id != leader).collect();
        ensemble.lead(leader, &others);
        ensemble.run();
        assert!((1..=count).all(|id| ensemble.is_ready(id)), "{:#?}", ensemble.said);
        ensemble
    }

    // ---- what a test does

    /// The oracles of `leader` and of these followers say that `leader` leads.
    pub fn lead(&mut self, leader: i64, followers: &[i64]) {
        self.process(leader).lead(NOW);
        self.settle(leader);
        self.follow(leader, followers);
    }

    /// The oracles of these followers say that `leader` leads; `leader` itself hears nothing new.
    pub fn follow(&mut self, leader: i64, followers: &[i64]) {
        for follower in followers {
            self.process(*follower).follow(NOW, leader);
            self.settle(*follower);
        }
    }

    /// Lets a process broadcast a value, if it is a primary.
    pub fn broadcast(&mut self, primary: i64, value: i32) -> Option<Change> {
        let delivered = self.trace.delivered(primary).to_vec();
        let change = self.process(primary).broadcast(value)?;
        self.trace.broadcasts.push(Broadcast { change, delivered });
        self.settle(primary);
        Some(change)
    }

    pub fn crash(&mut self, id: i64) {
        self.process(id).crash();
        self.trace.end(id);
        for at in (0..self.connections.len()).rev() {
            let side = self.connections[at].iter().position(|end| end.process == id);
            if let Some(side) = side {
                self.hang_up(at, side);
            }
        }
    }

    pub fn recover(&mut self, id: i64) {
        self.process(id).recover();
        self.settle(id);
    }

    /// From now on, `to` hears nothing from `from`.
    pub fn hold(&mut self, from: i64, to: i64) {
        self.held.insert((from, to));
    }

    /// Lets `to` hear everything from `from`, and runs until nothing happens any more.
    pub fn release(&mut self, from: i64, to: i64) {
        self.unhold(from, to);
        self.run();
    }

    /// From now on, `to` hears everything from `from` again.
    pub fn unhold(&mut self, from: i64, to: i64) {
        self.held.remove(&(from, to));
    }

    /// From now on, the disk of `id` does nothing.
    pub fn slow(&mut self, id: i64) {
        self.slow.insert(id);
    }

    /// Lets the disk of `id` do one step. Returns whether there was one.
    pub fn write(&mut self, id: i64) -> bool {
        let is_due = self.process(id).has_steps();
        if is_due {
            self.act(Action::Write(id));
        }
        is_due
    }

    /// Lets the disk of `id` do everything, and runs until nothing happens any more.
    pub fn fast(&mut self, id: i64) {
        self.slow.remove(&id);
        self.run();
    }

    /// Lets `to` hear bytes in the name of `from`, whatever else is held up.
    pub fn forge(&mut self, from: i64, to: i64, write: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let is_between = |ends: &&[End; 2]| {
            [from, to].iter().all(|id| ends.iter().any(|end| end.is_open && end.process == *id))
        };
        let ends = self.connections.iter().find(is_between).expect("they are connected");
        let link = ends.iter().find(|end| end.process == to).unwrap().link;
        self.process(to).handle_link(NOW, LinkEvent::Received { link, bytes: &bytes });
        self.settle(to);
        self.run();
    }

    /// Runs until `is_so`.
    pub fn run_until(&mut self, is_so: impl Fn(&Ensemble) -> bool) {
        while !is_so(self) {
            let action = *self.actions().first().expect("it will be so");
            self.act(action);
        }
    }

    /// Runs until nothing happens any more.
    pub fn run(&mut self) {
        while let Some(action) = self.actions().first() {
            self.act(*action);
        }
    }

    /// All actions that may happen next.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (at, ends) in self.connections.iter().enumerate() {
            for side in 0..2 {
                let way = (ends[1 - side].process, ends[side].process);
                if !ends[side].arrivals.is_empty() && !self.held.contains(&way) {
                    actions.push(Action::Arrive(at, side));
                }
            }
        }
        let writing = self.processes.values().filter(|process| process.has_steps());
        let writing = writing.map(|process| process.id).filter(|id| !self.slow.contains(id));
        actions.extend(writing.map(Action::Write));
        actions
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Arrive(at, side) => {
                let end = &mut self.connections[at][side];
                let (id, link) = (end.process, end.link);
                let arrival = end.arrivals.pop_front().expect("something is on its way");
                let process = self.processes.get_mut(&id).unwrap();
                match arrival {
                    Arrival::Bytes(bytes) => {
                        process.handle_link(NOW, LinkEvent::Received { link, bytes: &bytes });
                    }
                    Arrival::Closed => {
                        self.connections.remove(at);
                        process.handle_link(NOW, LinkEvent::Closed { link, reason: "closed" });
                    }
                }
                self.settle(id);
            }
            Action::Write(id) => {
                let ops = self.process(id).step(NOW);
                ops.into_iter().for_each(|op| self.on_op(id, op));
                self.settle(id);
            }
        }
    }

    // ---- what a test sees

    pub fn is_up(&self, id: i64) -> bool {
        self.processes[&id].is_up()
    }

    /// Whether process `id` delivers what is committed.
    pub fn is_ready(&self, id: i64) -> bool {
        self.processes[&id].is_ready()
    }

    /// Whether process `id` leads, or tries to.
    pub fn is_leader(&self, id: i64) -> bool {
        self.processes[&id].is_leader()
    }

    /// Whether process `id` has a leader.
    pub fn is_follower(&self, id: i64) -> bool {
        self.processes[&id].is_follower()
    }

    /// The last promise of a process, and the epoch of its history.
    pub fn epochs(&self, id: i64) -> (i64, i64) {
        self.processes[&id].epochs()
    }

    /// The values on the disk of process `id`.
    pub fn history(&self, id: i64) -> Vec<i32> {
        values(&self.processes[&id].history())
    }

    /// The values that process `id` has delivered since it became ready.
    pub fn delivered(&self, id: i64) -> Vec<i32> {
        values(self.trace.delivered(id))
    }

    /// The values that process `id` has ever delivered.
    pub fn ever_delivered(&self, id: i64) -> Vec<i32> {
        self.trace.deliveries_of(id).flat_map(|changes| values(changes)).collect()
    }

    /// What `from` has said to `to`, in order.
    pub fn said(&self, from: i64, to: i64) -> Vec<&str> {
        let way = format!("{from} → {to} ");
        self.said.iter().filter_map(|line| line.strip_prefix(&way)).collect()
    }

    /// How often `from` has sent a packet of this kind to `to`, with any zxid.
    pub fn count(&self, from: i64, to: i64, kind: &str) -> usize {
        let said = self.said(from, to);
        said.iter().filter(|line| line.split(' ').next() == Some(kind)).count()
    }

    pub fn into_trace(self) -> Trace {
        self.trace
    }

    // ---- what follows

    fn process(&mut self, id: i64) -> &mut Process {
        self.processes.get_mut(&id).expect("it is one of the ensemble")
    }

    /// Does what a process wants done, and then what follows from that. One outcome is handled after the other, so
    /// that no message overtakes an earlier one.
    fn settle(&mut self, id: i64) {
        let outcomes = self.process(id).take();
        self.outcomes.extend(outcomes.into_iter().map(|outcome| (id, outcome)));
        if !self.is_ready(id) {
            self.outcomes.push_back((id, Outcome::Over));
        }
        if mem::replace(&mut self.is_settling, true) {
            return;
        }
        while let Some((id, outcome)) = self.outcomes.pop_front() {
            match outcome {
                Outcome::Link(op) => self.on_op(id, op),
                Outcome::Ready(changes) => self.trace.begin(id, changes),
                Outcome::Delivered(change) => self.trace.deliver(id, change),
                Outcome::Over => self.trace.end(id),
            }
        }
        self.is_settling = false;
    }

    fn on_op(&mut self, id: i64, op: LinkOp) {
        match op {
            LinkOp::Connect { link, server, .. } => self.connect(id, link, server.0),
            LinkOp::Send { link, bytes } => {
                if let Some((at, side)) = self.end(id, link) {
                    let other = &mut self.connections[at][1 - side];
                    if other.is_open {
                        let way = format!("{id} → {}", other.process);
                        let lines = other.ear.hear(&bytes);
                        self.said.extend(lines.iter().map(|line| format!("{way} {line}")));
                        other.arrivals.push_back(Arrival::Bytes(bytes.clone()));
                    }
                }
                let event = LinkEvent::Sent { link, bytes: bytes.len() as u64 };
                self.process(id).handle_link(NOW, event);
                self.settle(id);
            }
            LinkOp::Close { link } => {
                if let Some((at, side)) = self.end(id, link) {
                    self.hang_up(at, side);
                }
            }
            LinkOp::Listen { .. } | LinkOp::Members { .. } => panic!("nobody asks for {op:?}"),
        }
    }

    fn end(&self, id: i64, link: LinkId) -> Option<(usize, usize)> {
        self.connections.iter().enumerate().find_map(|(at, ends)| {
            let side = ends.iter().position(|end| end.process == id && end.link == link)?;
            Some((at, side))
        })
    }

    fn connect(&mut self, follower: i64, link: LinkId, leader: i64) {
        if !self.processes[&leader].is_leader() {
            let event = LinkEvent::Closed { link, reason: "it does not lead" };
            self.process(follower).handle_link(NOW, event);
            self.settle(follower);
            return;
        }
        let accepted = LinkId::accepted(self.accepted);
        self.accepted += 1;
        self.connections.push([End::new(follower, link), End::new(leader, accepted)]);
        let remote = "127.0.0.1:1".parse().unwrap();
        self.process(leader).handle_link(
            NOW,
            LinkEvent::Accepted { link: accepted, port: Port::Quorum, remote, may_be: None },
        );
        self.settle(leader);
        self.process(follower).handle_link(NOW, LinkEvent::Connected { link, remote });
        self.settle(follower);
    }

    /// Closes one end. The other end hears of it behind everything that was said before.
    fn hang_up(&mut self, at: usize, side: usize) {
        let ends = &mut self.connections[at];
        if ends[side].is_open {
            ends[side].is_open = false;
            ends[side].arrivals.clear();
            if ends[1 - side].is_open {
                ends[1 - side].arrivals.push_back(Arrival::Closed);
            } else {
                self.connections.remove(at);
            }
        }
    }
}

fn values(changes: &[Change]) -> Vec<i32> {
    changes.iter().map(|(_, value)| *value).collect()
}
