//! Requests drawn from a mix of operations.

use ringkeeper::proto::opcode::{CreateMode, OpCode};

use super::Share;
use super::frames::{self, Node, Template};
use super::io::Io;
use super::keys::Draw;
use super::schedule::Schedule;
use super::session::{Pending, State};
use super::workload::{Reply, Workload};
use crate::definition::{Load, Mix};

/// The names of the operations in results.
pub const NAMES: &[&str] = &[
    "get",
    "exists",
    "children",
    "set",
    "create",
    "create_ephemeral",
    "delete",
    "multi",
    "multi_read",
    "sync",
    "watch",
];
const CREATE: u16 = 4;
const DELETE: u16 = 6;
const MULTI: u16 = 7;
const MULTI_READ: u16 = 8;
/// The number of the requests that set watches before the load begins; they are no part of the load.
const WATCH: u16 = 10;

/// The group of the sessions' own nodes, behind those of the tree.
pub const OWN_GROUP: u32 = 900_000;
/// The group in which the first session creates nodes; each session has one.
pub const CREATE_GROUPS_FROM: u32 = OWN_GROUP + 1;
/// The number of the first leaf that is created among the nodes of the tree.
const CREATE_AMONG_FROM: u32 = 10_000_000;
/// The most requests in flight in a session of an open loop; further ones wait, with their due times.
const OPEN_DEPTH_MAX: usize = 256;
/// The most requests for watches that are in flight at once.
const WATCHES_IN_FLIGHT: usize = 64;

/// The load of one thread.
pub struct MixWorkload {
    mix: Mix,
    share: Share,
    random: fastrand::Rng,
    draw: Draw,
    /// Operations and their templates, with the sum of the weights up to each.
    operations: Vec<(u32, u16, Template)>,
    watch: Template,
    /// The create that replaces a delete when there is nothing to delete.
    create: Template,
    weight: u32,
    depth: usize,
    schedule: Option<Schedule>,
    members: Vec<Member>,
    ready: usize,
}

/// What the workload knows of each session.
#[derive(Debug, Clone, Default)]
struct Member {
    /// How many nodes the session has created, and how many it has deleted.
    created: u32,
    deleted: u32,
    watches: u32,
    is_ready: bool,
}

impl MixWorkload {
    /// The share of one thread in a mix below this root.
    pub fn new(mix: &Mix, root: &str, share: Share, seed: u64) -> MixWorkload {
        let value = vec![b'v'; usize::try_from(mix.value_bytes).expect("64 bits")];
        let weights = &mix.operations;
        let all = [
            (weights.get, OpCode::GetData),
            (weights.exists, OpCode::Exists),
            (weights.children, OpCode::GetChildren),
            (weights.set, OpCode::SetData),
            (weights.create, OpCode::Create),
            (weights.create_ephemeral, OpCode::Create),
            (weights.delete, OpCode::Delete),
            (weights.multi, OpCode::Multi),
            (weights.multi_read, OpCode::MultiRead),
            (weights.sync, OpCode::Sync),
        ];
        let mut weight = 0;
        let mut operations = Vec::new();
        for (number, (own, op)) in (0u16..).zip(all) {
            if own > 0 {
                weight += own;
                operations.push((weight, number, template(mix, root, &value, number, op)));
            }
        }
        let (depth, schedule) = match mix.load {
            Load::Closed { depth } => (usize::try_from(depth).expect("64 bits"), None),
            Load::Open { per_second } => {
                let own = per_second * f64::from(share.count) / f64::from(share.total);
                (OPEN_DEPTH_MAX, Some(Schedule::new(own)))
            }
        };
        let count = usize::try_from(share.count).expect("64 bits");
        MixWorkload {
            draw: Draw::new(mix.keys, mix.znodes),
            watch: template(mix, root, &value, WATCH, OpCode::Exists),
            create: template(mix, root, &value, CREATE, OpCode::Create),
            mix: mix.clone(),
            share,
            random: fastrand::Rng::with_seed(seed),
            operations,
            weight,
            depth,
            schedule,
            members: vec![Member::default(); count],
            ready: 0,
        }
    }

    /// Sends one request that was due at `due`.
    #[inline]
    fn issue(&mut self, io: &mut Io, index: usize, due: u64) {
        let which = if self.operations.len() == 1 {
            0
        } else {
            let drawn = self.random.u32(0..self.weight);
            self.operations.iter().position(|(up_to, ..)| drawn < *up_to).expect("below the sum")
        };
        let (_, mut number, ref template) = self.operations[which];
        let mut template = template;
        let member = &mut self.members[index];
        if number == DELETE && member.created == member.deleted {
            (number, template) = (CREATE, &self.create);
        }
        let node = match number {
            CREATE | 5 => {
                member.created += 1;
                Some(created(&self.mix, self.share, index, member.created - 1))
            }
            DELETE => {
                member.deleted += 1;
                Some(created(&self.mix, self.share, index, member.deleted - 1))
            }
            _ => None,
        };
        let own = Node { group: OWN_GROUP, leaf: self.share.first + number_of(index) };
        let (draw, random, children) = (&self.draw, &mut self.random, self.mix.children);
        io.request(index, number, due, |out| {
            template.append(out, || match (node, draw.next(random)) {
                (Some(node), _) => node,
                (None, Some(leaf)) => Node { group: leaf / children, leaf },
                (None, None) => own,
            });
        });
    }

    /// Sets watches until the session has its share.
    fn place_watches(&mut self, io: &mut Io, index: usize) {
        let session = self.share.first + number_of(index);
        let total = self.share.total;
        let wanted = self.mix.watches / total + u32::from(session < self.mix.watches % total);
        while self.members[index].watches < wanted
            && io.sessions[index].pending.len() < WATCHES_IN_FLIGHT
        {
            let leaf = self.members[index].watches % self.mix.znodes;
            self.members[index].watches += 1;
            let node = Node { group: leaf / self.mix.children, leaf };
            let now = io.now;
            io.request(index, WATCH, now, |out| self.watch.append(out, || node));
        }
        let member = &mut self.members[index];
        if !member.is_ready && io.sessions[index].pending.is_empty() {
            member.is_ready = true;
            self.ready += 1;
        }
    }

    /// Sends the requests that waited for the connection or for a place among those in flight.
    fn issue_waiting(&mut self, io: &mut Io, index: usize) {
        while io.sessions[index].pending.len() < self.depth {
            let Some(due) = io.sessions[index].waiting.pop_front() else { return };
            self.issue(io, index, due);
        }
    }
}

impl Workload for MixWorkload {
    fn sessions(&self) -> usize {
        self.members.len()
    }

    fn on_live(&mut self, io: &mut Io, index: usize, _resumed: bool) {
        if !self.members[index].is_ready {
            self.place_watches(io, index);
        } else {
            self.issue_waiting(io, index);
        }
    }

    #[inline]
    fn on_reply(&mut self, io: &mut Io, index: usize, request: Pending, reply: Reply<'_>) {
        let error = reply.error.or_else(|| {
            let is_multi = [MULTI, MULTI_READ].contains(&request.operation);
            is_multi.then(|| part_error(reply.body)).flatten()
        });
        io.answered(request.operation, request.due, error);
        if request.operation == WATCH {
            return self.place_watches(io, index);
        }
        if self.schedule.is_some() {
            self.issue_waiting(io, index);
        } else if !io.stopped {
            let now = io.now;
            self.issue(io, index, now);
        }
    }

    fn on_lost(&mut self, io: &mut Io, index: usize, lost: &[Pending]) {
        let member = &mut self.members[index];
        // The client does not know which requests took effect, so it leaves the nodes that they created.
        member.deleted = member.created;
        if !member.is_ready {
            let watches = lost.iter().filter(|request| request.operation == WATCH).count();
            member.watches -= u32::try_from(watches).expect("few are in flight");
        } else if self.schedule.is_none() {
            // The places are free again, so the next requests are due, although no connection takes them.
            let now = io.now;
            io.sessions[index].waiting.extend(lost.iter().map(|_| now));
        }
    }

    fn is_ready(&self) -> bool {
        self.ready == self.members.len()
    }

    fn begin(&mut self, io: &mut Io) {
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(io.now);
            return;
        }
        for index in 0..self.members.len() {
            let now = io.now;
            if io.sessions[index].state == State::Live {
                (0..self.depth).for_each(|_| self.issue(io, index, now));
            } else {
                io.sessions[index].waiting.extend((0..self.depth).map(|_| now));
            }
        }
    }

    fn next_time(&self) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::next_time)
    }

    fn on_time(&mut self, io: &mut Io) {
        if io.stopped {
            return self.schedule.iter_mut().for_each(Schedule::end);
        }
        let now = io.due_until();
        while let Some((due, number)) = self.schedule.as_mut().and_then(|open| open.take(now)) {
            let index = usize::try_from(number).expect("64 bits") % self.members.len();
            io.sessions[index].waiting.push_back(due);
            if io.sessions[index].state == State::Live {
                self.issue_waiting(io, index);
            }
        }
    }
}

/// The node that a session creates or deletes when it has created or deleted `count` before.
fn created(mix: &Mix, share: Share, index: usize, count: u32) -> Node {
    let session = share.first + number_of(index);
    if mix.create_among_them {
        // Each session has a stretch of numbers, and begins again at its end.
        let stretch = (frames::LEAVES_MAX - CREATE_AMONG_FROM) / share.total;
        let leaf = CREATE_AMONG_FROM + session * stretch + count % stretch;
        Node { group: 0, leaf }
    } else {
        Node { group: CREATE_GROUPS_FROM + session, leaf: count % frames::LEAVES_MAX }
    }
}

fn template(mix: &Mix, root: &str, value: &[u8], number: u16, op: OpCode) -> Template {
    let watch = number == WATCH || mix.reads_watch;
    let read = |body: &mut Vec<u8>, path: &str| frames::read_body(body, path, watch);
    let set = |body: &mut Vec<u8>, path: &str| frames::set_body(body, path, value);
    match op {
        OpCode::SetData => Template::new(root, op, set),
        OpCode::Create => {
            let mode =
                if number == CREATE { CreateMode::Persistent } else { CreateMode::Ephemeral };
            Template::new(root, op, |body, path| frames::create_body(body, path, value, mode))
        }
        OpCode::Delete => Template::new(root, op, frames::delete_body),
        OpCode::Multi => Template::multi(root, op, OpCode::SetData, mix.multi_size, set),
        OpCode::MultiRead => Template::multi(root, op, OpCode::GetData, mix.multi_read_size, read),
        OpCode::Sync => Template::new(root, op, |body, path| {
            ringkeeper::jute::Jute::encode(&Some(path), body);
        }),
        _ => Template::new(root, op, read),
    }
}

/// A multi fails as a whole, and then each of its parts says so; the header does not.
fn part_error(body: &[u8]) -> Option<i32> {
    let first = ringkeeper::jute::Jute::from_bytes(body);
    let first: ringkeeper::proto::response::MultiHeader = first.ok()?;
    (first.op == OpCode::Error.number() && !first.done).then_some(first.err)
}

fn number_of(index: usize) -> u32 {
    u32::try_from(index).expect("sessions are counted in 32 bits")
}
