//! Clients that want the same locks, by the pattern of Curator's `InterProcessMutex`.
//!
//! A client creates an ephemeral sequential node and reads the list. If its node is the first, it has the lock;
//! otherwise it reads the node before its own with a watch, and looks at the list again when that node goes. The
//! client releases the lock as soon as it has it, and wants it again.

use ringkeeper::error::ErrorCode;
use ringkeeper::jute::Jute;
use ringkeeper::proto::event::{EventType, WatcherEvent};
use ringkeeper::proto::opcode::{CreateMode, OpCode};
use ringkeeper::proto::response::{GetChildrenResponse, PathResponse};

use super::Share;
use super::frames::{self, group_path};
use super::io::Io;
use super::session::{Pending, State};
use super::workload::{Reply, Workload};
use crate::definition::Lock;

/// The names of the operations in results: the two of the lock, then the requests of which they consist.
pub const NAMES: &[&str] =
    &["acquire", "release", "create", "children", "watch the one before", "delete"];
/// The operations that the workload is about.
pub const PRIMARY: &[&str] = &["acquire"];
const ACQUIRE: u16 = 0;
const RELEASE: u16 = 1;
const CREATE: u16 = 2;
const CHILDREN: u16 = 3;
const WATCH: u16 = 4;
const DELETE: u16 = 5;

/// Digits at the end of a sequential node's name.
const SEQUENCE_DIGITS: usize = 10;

/// The clients of one thread.
pub struct LockWorkload {
    clients: Vec<Client>,
    live: usize,
    loads: bool,
}

#[derive(Debug, Default)]
struct Client {
    lock: String,
    /// The path of the node that it creates, without the number.
    prefix: String,
    /// Its node's name, once it has one.
    name: String,
    /// The time at which it began to want the lock.
    wanted_at: u64,
    /// Whether it has set a watch on the node before its own, whose event has not come yet.
    waits: bool,
    /// Whether it has the lock, which it then releases.
    holds: bool,
    was_live: bool,
}

impl LockWorkload {
    /// The workload of one thread.
    pub fn new(lock: &Lock, root: &str, share: Share) -> LockWorkload {
        let client = |number: u32| {
            let lock = group_path(root, number % lock.locks);
            // The name is as long as Curator's, which carries a UUID by which the client finds its node again.
            let prefix = format!("{lock}/_c_{number:08x}-0000-4000-8000-{number:012x}-lock-");
            Client { lock, prefix, ..Client::default() }
        };
        let clients = (share.first..share.first + share.count).map(client).collect();
        LockWorkload { clients, live: 0, loads: false }
    }

    fn want(&mut self, io: &mut Io, index: usize) {
        let client = &mut self.clients[index];
        client.wanted_at = io.now;
        client.name.clear();
        (client.waits, client.holds) = (false, false);
        io.send(index, CREATE, client.wanted_at, OpCode::Create, |body| {
            frames::create_body(body, &client.prefix, b"", CreateMode::EphemeralSequential);
        });
    }

    fn look(&mut self, io: &mut Io, index: usize) {
        let lock = &self.clients[index].lock;
        let now = io.now;
        io.send(index, CHILDREN, now, OpCode::GetChildren, |body| {
            frames::read_body(body, lock, false);
        });
    }

    /// Finds the client's place in the list: it has the lock, or waits for the node before its own.
    fn on_list(&mut self, io: &mut Io, index: usize, body: &[u8]) {
        let client = &mut self.clients[index];
        let Ok(list) = GetChildrenResponse::from_bytes(body) else {
            return io.failed(ACQUIRE, "malformed list", client.wanted_at);
        };
        if client.name.is_empty() {
            // After a lost connection, the server may have carried out the create although its answer is lost.
            let (_, own) = client.prefix.rsplit_once('/').expect("a path has a slash");
            let found = list.children.iter().flatten().find(|name| name.starts_with(own));
            client.name.push_str(found.unwrap_or_default());
        }
        let own = sequence(&client.name);
        let mut before: Option<&str> = None;
        let mut is_there = false;
        for name in list.children.iter().flatten() {
            let number = sequence(name);
            is_there |= name == client.name;
            if number < own && before.is_none_or(|best| sequence(best) < number) {
                before = Some(name);
            }
        }
        if !is_there {
            // The node was never created, or is deleted already, or went with an expired session.
            return self.want(io, index);
        }
        let now = io.now;
        match before {
            None => {
                if !client.holds {
                    client.holds = true;
                    io.succeeded(ACQUIRE, client.wanted_at);
                }
                io.send(index, DELETE, now, OpCode::Delete, |body| {
                    frames::delete_body(body, &format!("{}/{}", client.lock, client.name));
                });
            }
            Some(before) => {
                client.waits = true;
                io.send(index, WATCH, now, OpCode::GetData, |body| {
                    frames::read_body(body, &format!("{}/{before}", client.lock), true);
                });
            }
        }
    }
}

impl Workload for LockWorkload {
    fn sessions(&self) -> usize {
        self.clients.len()
    }

    fn on_live(&mut self, io: &mut Io, index: usize, resumed: bool) {
        let client = &mut self.clients[index];
        if !client.was_live {
            client.was_live = true;
            self.live += 1;
        }
        if !self.loads || io.stopped {
            return;
        }
        if resumed {
            // The node may exist, and would then be in the way of all other clients. The list tells.
            self.look(io, index);
        } else {
            self.want(io, index);
        }
    }

    fn on_reply(&mut self, io: &mut Io, index: usize, request: Pending, reply: Reply<'_>) {
        let operation = request.operation;
        let is_gone = reply.error == Some(ErrorCode::NoNode.code()) && operation == WATCH;
        // The node before may go while the client looks at it, which is part of the pattern.
        let error = reply.error.filter(|_| !is_gone);
        io.answered(operation, request.due, error);
        if io.stopped {
            return;
        }
        if error.is_some() {
            return self.look(io, index);
        }
        match operation {
            CREATE => {
                let path = PathResponse::from_bytes(reply.body).ok().and_then(|body| body.path);
                let name = path.and_then(|path| path.rsplit('/').next()).unwrap_or_default();
                self.clients[index].name.push_str(name);
                self.look(io, index);
            }
            CHILDREN => self.on_list(io, index, reply.body),
            WATCH if is_gone => {
                self.clients[index].waits = false;
                self.look(io, index);
            }
            DELETE => {
                io.succeeded(RELEASE, request.due);
                self.want(io, index);
            }
            _ => {}
        }
    }

    fn on_event(&mut self, io: &mut Io, index: usize, event: WatcherEvent<'_>) {
        let is_delete = event.event_type == EventType::NodeDeleted.number();
        if is_delete && std::mem::take(&mut self.clients[index].waits) && !io.stopped {
            self.look(io, index);
        }
    }

    fn on_lost(&mut self, _io: &mut Io, _index: usize, _lost: &[Pending]) {}

    fn is_ready(&self) -> bool {
        self.live == self.clients.len()
    }

    fn begin(&mut self, io: &mut Io) {
        self.loads = true;
        for index in 0..self.clients.len() {
            if io.sessions[index].state == State::Live {
                self.want(io, index);
            }
        }
    }
}

/// The number that ends a sequential node's name; names without one come last.
fn sequence(name: &str) -> u64 {
    let digits = name.len().checked_sub(SEQUENCE_DIGITS).and_then(|at| name.get(at..));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_lock_is_that_of_the_numbers_not_of_the_names() {
        assert!(sequence("_c_ffff-lock-0000000009") < sequence("_c_0000-lock-0000000010"));
        assert_eq!(sequence("somebody-else"), u64::MAX);
        assert_eq!(sequence("short"), u64::MAX);
    }
}
