//! Services whose instances come and go, and clients that keep a list of the instances.
//!
//! An instance is an ephemeral node in a session of its own, below its service's node. A client watches the list and
//! reads it again whenever it changes. The name of a node carries the number of the instance and the time at which
//! its registration was due, so that every client knows which change it learns of.

use std::collections::{HashMap, VecDeque};

use ringkeeper::jute::Jute;
use ringkeeper::proto::event::WatcherEvent;
use ringkeeper::proto::opcode::{CreateMode, OpCode};
use ringkeeper::proto::response::GetChildrenResponse;

use super::Share;
use super::frames::{self, group_path};
use super::io::Io;
use super::schedule::Schedule;
use super::session::{Pending, State};
use super::workload::{Reply, Workload};
use crate::definition::Discovery;

/// The names of the operations in results. A notice lasts from the time at which a change was due to a client's list
/// that shows it; the change is an instance that came, or one that left in order. An instance that vanished is
/// noticed after its session's timeout, and counts apart.
pub const NAMES: &[&str] = &["notice", "came", "left", "vanished", "register", "close", "list"];
/// The operations that the workload is about.
pub const PRIMARY: &[&str] = &["notice"];
const NOTICE: u16 = 0;
const CAME: u16 = 1;
const LEFT: u16 = 2;
const VANISHED: u16 = 3;
const REGISTER: u16 = 4;
const CLOSE: u16 = 5;
const LIST: u16 = 6;

/// How long the run waits for notices of the last changes, in ns.
const SETTLE_NS: u64 = 500_000_000;

/// A registration: the instance of the service, and the time at which it was due.
type Name = (u32, u64);

/// The services of one thread.
pub struct DiscoveryWorkload {
    instances: usize,
    /// Sessions of each service: its instances, then its clients.
    unit: usize,
    services: Vec<String>,
    timeout_ms: u32,
    expire_percent: u64,
    value: Vec<u8>,
    schedule: Schedule,
    members: Vec<Member>,
    /// The index at which the search for an instance that can leave goes on.
    next_to_leave: usize,
    /// Changes that are due while no instance is there to leave: for each, the time at which it was due, and its
    /// number. The next registration takes the first of them, whose latency counts from its due time.
    overdue: VecDeque<(u64, u64)>,
    /// Registrations that ended: the time at which the end was due, and whether the instance left in order.
    ended: HashMap<(usize, Name), (u64, bool)>,
    scratch: Vec<Name>,
    ready: usize,
}

/// A session's part in the work.
#[derive(Debug, Clone, Default)]
struct Member {
    /// For an instance: the time at which its registration was due.
    due: u64,
    registered: bool,
    /// For a client: the list that it has, sorted.
    list: Vec<Name>,
    is_ready: bool,
}

impl DiscoveryWorkload {
    /// The workload of one thread.
    pub fn new(discovery: &Discovery, root: &str, share: Share) -> DiscoveryWorkload {
        let size = |number: u32| usize::try_from(number).expect("64 bits");
        let unit = size(discovery.instances + discovery.clients);
        let part = f64::from(share.count) / f64::from(share.total);
        let services = share.first..share.first + share.count;
        DiscoveryWorkload {
            instances: size(discovery.instances),
            unit,
            services: services.map(|service| group_path(root, service)).collect(),
            timeout_ms: discovery.timeout_ms,
            expire_percent: u64::from(discovery.expire_percent),
            value: vec![b'v'; size(discovery.value_bytes)],
            schedule: Schedule::new(discovery.changes_per_second * part),
            members: vec![Member::default(); size(share.count) * unit],
            next_to_leave: 0,
            overdue: VecDeque::new(),
            ended: HashMap::new(),
            scratch: Vec::new(),
            ready: 0,
        }
    }

    fn is_instance(&self, index: usize) -> bool {
        index % self.unit < self.instances
    }

    fn mark_ready(&mut self, index: usize) {
        if !std::mem::replace(&mut self.members[index].is_ready, true) {
            self.ready += 1;
        }
    }

    fn register(&mut self, io: &mut Io, index: usize) {
        let due = io.sessions[index].open_due;
        self.members[index].due = due;
        let path =
            format!("{}/i{:06}-{due:016}", self.services[index / self.unit], index % self.unit);
        io.send(index, REGISTER, due, OpCode::Create, |body| {
            frames::create_body(body, &path, &self.value, CreateMode::Ephemeral);
        });
    }

    fn list(&self, io: &mut Io, index: usize) {
        let service = &self.services[index / self.unit];
        let now = io.now;
        io.send(index, LIST, now, OpCode::GetChildren, |body| {
            frames::read_body(body, service, true);
        });
    }

    /// One instance leaves, in order or without a word, and comes back with a new session.
    fn change(&mut self, io: &mut Io, due: u64, number: u64) {
        let count = self.members.len();
        let found = (0..count).map(|step| (self.next_to_leave + step) % count).find(|&index| {
            self.members[index].registered && io.sessions[index].state == State::Live
        });
        let Some(index) = found else {
            return self.overdue.push_back((due, number));
        };
        // The next instance to leave is one of the next service.
        self.next_to_leave = (index + self.unit) % count + usize::from(index + self.unit >= count);
        let in_order = number * 37 % 100 >= self.expire_percent;
        let member = &mut self.members[index];
        member.registered = false;
        let instance = u32::try_from(index % self.unit).expect("counted in 32 bits");
        self.ended.insert((index / self.unit, (instance, member.due)), (due, in_order));
        if in_order {
            io.close(index);
        } else {
            io.vanish(index);
            io.open(index);
        }
    }

    /// Compares a client's new list with its old one.
    fn on_list(&mut self, io: &mut Io, index: usize, body: &[u8]) {
        let Ok(answer) = GetChildrenResponse::from_bytes(body) else {
            let now = io.now;
            return io.failed(LIST, "malformed list", now);
        };
        self.scratch.clear();
        self.scratch.extend(answer.children.iter().flatten().filter_map(parse));
        self.scratch.sort_unstable();
        let list = std::mem::take(&mut self.members[index].list);
        for &(instance, due) in &self.scratch {
            if list.binary_search(&(instance, due)).is_err() {
                io.succeeded(CAME, due);
                io.succeeded(NOTICE, due);
            }
        }
        let service = index / self.unit;
        for &name in &list {
            if self.scratch.binary_search(&name).is_ok() {
                continue;
            }
            match self.ended.get(&(service, name)) {
                Some(&(due, true)) => {
                    io.succeeded(LEFT, due);
                    io.succeeded(NOTICE, due);
                }
                Some(&(due, false)) => io.succeeded(VANISHED, due),
                // The instance lost its session, which is counted where that happens.
                None => {}
            }
        }
        self.members[index].list = std::mem::replace(&mut self.scratch, list);
    }
}

impl Workload for DiscoveryWorkload {
    fn sessions(&self) -> usize {
        self.members.len()
    }

    fn start(&mut self, io: &mut Io) {
        io.timeout_ms = i32::try_from(self.timeout_ms).unwrap_or(i32::MAX);
        for index in 0..self.members.len() {
            io.open(index);
        }
    }

    fn on_live(&mut self, io: &mut Io, index: usize, resumed: bool) {
        if !self.is_instance(index) {
            self.list(io, index);
        } else if !resumed || !self.members[index].registered {
            self.register(io, index);
        }
    }

    fn on_reply(&mut self, io: &mut Io, index: usize, request: Pending, reply: Reply<'_>) {
        io.answered(request.operation, request.due, reply.error);
        self.mark_ready(index);
        if request.operation == REGISTER {
            self.members[index].registered = true;
            if !io.stopped
                && let Some((due, number)) = self.overdue.pop_front()
            {
                self.change(io, due, number);
            }
        } else if reply.error.is_none() {
            self.on_list(io, index, reply.body);
        }
    }

    fn on_event(&mut self, io: &mut Io, index: usize, _event: WatcherEvent<'_>) {
        self.list(io, index);
    }

    fn on_lost(&mut self, _io: &mut Io, _index: usize, _lost: &[Pending]) {
        // A client lists again when it is connected. The node of an instance exists as long as its session.
    }

    fn on_closed(&mut self, io: &mut Io, index: usize, due: u64) {
        io.succeeded(CLOSE, due);
        if !io.stopped {
            io.open(index);
        }
    }

    fn is_ready(&self) -> bool {
        self.ready == self.members.len()
    }

    fn begin(&mut self, io: &mut Io) {
        self.schedule.begin(io.now);
    }

    fn next_time(&self) -> u64 {
        self.schedule.next_time()
    }

    fn on_time(&mut self, io: &mut Io) {
        if io.stopped {
            // Each change needs an instance. If no registration takes a change for so long that a session would have
            // expired, the server has failed.
            let timeout_ns = u64::from(self.timeout_ms) * 1_000_000;
            for (due, _) in self.overdue.drain(..) {
                if io.now.saturating_sub(due) > timeout_ns {
                    io.failed(NOTICE, "no instance came back", due);
                }
            }
            return self.schedule.end();
        }
        let now = io.due_until();
        while let Some((due, number)) = self.schedule.take(now) {
            self.change(io, due, number);
        }
    }

    /// Whether notices of the last changes are still on their way.
    fn awaits(&self, io: &Io) -> bool {
        io.now < io.until + SETTLE_NS
    }
}

/// What a registration's name says: `i000012-0000001234567890`.
fn parse(name: &str) -> Option<Name> {
    let (instance, due) = name.strip_prefix('i')?.split_once('-')?;
    Some((instance.parse().ok()?, due.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_instance_it_is_and_since_when() {
        assert_eq!(parse("i000012-0000001234567890"), Some((12, 1_234_567_890)));
        assert_eq!(parse("somebody"), None);
    }
}
