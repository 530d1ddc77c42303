//! An ensemble without faults of its own, and an attacker that speaks to it on the ports between servers.
//!
//! Nothing else goes wrong here, so the attacker is the cause of whatever the ensemble does. The attacker has a
//! machine of its own, or speaks from the address of a member, or takes the place of a member whose process is down.
//! The caller (the fuzz target `quorum_port`) decides what the attacker says; this module has the attacker's
//! connections, and the questions that show how the ensemble fares.
//!
//! An attacker from an address of no member must leave the one history as it is, and the checks of the other runs
//! apply. Servers cannot tell an attacker at a member's address from the member, so there may be several histories
//! then.

use std::collections::BTreeMap;

use ringkeeper::id::{ServerId, SessionId, Zxid};
use ringkeeper::io::Place;
use ringkeeper::limits::{LINKS_PER_REMOTE_MAX, STRANGER_LINKS_PER_REMOTE_MAX};
use ringkeeper::link::Port;
use ringkeeper::zab::Epochs;
use ringkeeper::zab::PeerFacts;

use super::cluster::{CLIENT, kind_of};
use super::disk::Speed;
use super::network::{ConnId, Latency, Network, Node, Parcel};
use super::plan::{FaultRates, MS, Plan, SECOND};
use super::rng::Rng;
use super::server::{self, State, server_id};
use super::trace::{Sink, Trace};
use super::wild::Wild;
use super::world::{Event, World};

/// The life of the attacker at an end of a connection; servers count theirs from 1.
const LIFE: u64 = u64::MAX;

/// How often a connection whose receiver, the attacker, takes no bytes is tried again.
const DEAF: u64 = SECOND;

/// The most bytes of one connection that are kept for the attacker.
const HEARD_BYTES_MAX: usize = 64 << 10;

/// The address from which the attacker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// From an address of no member.
    Stranger,
    /// From the address of this member (counted from 0), whose own process runs.
    Beside(usize),
    /// From the address of this member, whose process is down: servers that connect to the member connect to the
    /// attacker.
    InPlaceOf(usize),
    /// From any address, and servers do not check addresses (`ringkeeper.peerAddressCheck=off`).
    Unchecked,
}

impl Guise {
    /// Whether servers cannot tell the attacker from a member.
    pub fn is_members(self) -> bool {
        self != Guise::Stranger
    }
}

/// The ensemble, and its attacker.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The seed of every random decision.
    pub seed: u64,
    /// Observers beside three voters.
    pub observers: usize,
    /// Observers learn from followers.
    pub observer_masters: bool,
    /// Clients that read and write.
    pub clients: usize,
    /// The attacker.
    pub guise: Guise,
}

/// One connection of the attacker's.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Its number, which the attacker uses as its name.
    pub id: u64,
    /// The server at the other end, counted from 0.
    pub server: usize,
    /// The port at the server's end, or at the attacker's if the server has connected.
    pub port: Port,
    /// The server has connected.
    pub is_accepted: bool,
}

struct Known {
    line: Line,
    end: usize,
    is_deaf: bool,
    heard: Vec<u8>,
}

/// The attacker's side of a world.
pub(super) struct Attacker {
    guise: Guise,
    /// The attacker's machine, or the member's.
    node: Node,
    /// Whether the attack is going on.
    is_there: bool,
    lines: BTreeMap<ConnId, Known>,
    /// Servers that ended by themselves, and why.
    ends: Vec<(usize, String)>,
}

// ---- what the world asks

impl World {
    /// Whether there may be several histories, because the attacker speaks as a member.
    pub(super) fn is_deceived(&self) -> bool {
        self.attacker.as_ref().is_some_and(|attacker| attacker.guise.is_members())
    }

    /// Drops what a server has applied if the attacker speaks as a member, because there is no true history to
    /// compare it with. False: the caller must compare.
    pub(super) fn observe_deceived(&mut self, index: usize) -> bool {
        let is_deceived = self.is_deceived();
        if is_deceived && let Some(replica) = &self.servers[index].replica {
            drop(replica.database().take_recorded());
        }
        is_deceived
    }

    /// Notes that a server ended by itself or does not start, if the attacker speaks as a member. False: he does
    /// not.
    pub(super) fn note_end(&mut self, index: usize, reason: &str) -> bool {
        let is_deceived = self.is_deceived();
        if let Some(attacker) = self.attacker.as_mut().filter(|_| is_deceived) {
            attacker.ends.push((index, reason.to_owned()));
        }
        is_deceived
    }

    /// The members from whose address a connection to a server comes; `None` if servers do not check addresses.
    pub(super) fn may_be(&self, opener: Node) -> Option<Vec<ServerId>> {
        let attacker = self.attacker.as_ref()?;
        if attacker.guise == Guise::Unchecked {
            return None;
        }
        let is_member = opener < self.servers.len();
        Some(is_member.then(|| server_id(opener)).into_iter().collect())
    }

    /// The attacker's machine, if `host` is its name.
    pub(super) fn attackers_node(&self, host: &str) -> Option<Node> {
        let attacker = self.attacker.as_ref()?;
        (host == server::address(attacker.node, 0).ip().to_string()).then_some(attacker.node)
    }

    /// Whether a connection to this machine reaches the attacker.
    pub(super) fn is_attackers(&self, node: Node, kind: u8) -> bool {
        let Some(attacker) = &self.attacker else { return false };
        let stands_there = !matches!(attacker.guise, Guise::Beside(_)) && attacker.node == node;
        node >= self.servers.len() || (stands_there && attacker.is_there && kind != CLIENT)
    }

    /// Accepts a server's connection to the attacker.
    pub(super) fn knock_at_attacker(&mut self, conn: ConnId) {
        let now = self.now;
        let Some(known) = self.network.get(conn) else { return };
        let (server, kind) = (known.ends[0].node, known.kind);
        let port = super::cluster::port_of(kind);
        let Some(attacker) = self.attacker.as_mut().filter(|attacker| attacker.is_there) else {
            return self.network.refuse(now, conn, "connection refused");
        };
        let line = Line { id: conn, server, port, is_accepted: true };
        let known = Known { line, end: 1, is_deaf: false, heard: Vec::new() };
        attacker.lines.insert(conn, known);
        self.network.accept(now, conn, LIFE, 0);
        self.trace.event(now, &[30, conn], || format!("attacker: accepts {conn} ({port:?})"));
    }

    /// Whether this end of a connection is the attacker's; if so, the attacker takes what has arrived.
    pub(super) fn arrival_at_attacker(&mut self, conn: ConnId, to: usize) -> bool {
        let now = self.now;
        let is_his = self.network.get(conn).is_some_and(|known| known.ends[to].life == LIFE);
        if !is_his {
            return false;
        }
        let known = self.attacker.as_mut().and_then(|attacker| attacker.lines.get_mut(&conn));
        if known.as_ref().is_some_and(|known| known.is_deaf) {
            self.network.postpone(now, conn, to, now + DEAF);
            return true;
        }
        let Some(parcel) = self.network.arrive(now, conn, to) else { return true };
        match (parcel, known) {
            (Parcel::End(_), _) => {
                if let Some(attacker) = &mut self.attacker {
                    attacker.lines.remove(&conn);
                }
                self.network.forget(conn, to);
                return true;
            }
            (Parcel::Bytes(bytes), Some(known)) => {
                let room = HEARD_BYTES_MAX.saturating_sub(known.heard.len());
                known.heard.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            (Parcel::Bytes(_), None) => self.network.reject(now, conn, to),
            (Parcel::Established, _) => {}
        }
        self.schedule(now + 10, Event::Sent { conn, from: 1 - to });
        true
    }
}

// ---- the door

/// An ensemble under attack.
pub struct Siege {
    world: World,
    voters: usize,
}

/// The tick of the ensemble, in ms: short, so that a run is.
pub const TICK_MS: u32 = 200;
/// Its `initLimit`.
pub const INIT_LIMIT: u64 = 5;

fn plan(setup: &Setup) -> Plan {
    Plan {
        voters: 3,
        observers: setup.observers,
        spares: 0,
        clients: setup.clients,
        think: 60 * MS,
        depth: 2,
        keys: 4,
        tick_ms: TICK_MS,
        init_limit: INIT_LIMIT,
        sync_limit: 3,
        session_ms: 2000,
        chaos: u64::MAX,
        faults: FaultRates::default(),
        latency: Latency { least: 30, mean: 100, spikes_per_mille: 0, spike: 0 },
        window: 64 << 10,
        piece_max: 1460,
        disk: Speed { log_write: 80, other: 200, slowed: 1 },
        apart: false,
        block_bytes: 512,
        segment_bytes: 64 << 10,
        snap_count: 100_000,
        commit_log_txns: 100,
        drift_max: 0,
        short_epochs: false,
        local_sessions: false,
        observer_masters: setup.observer_masters,
        wild: Wild::default(),
        logins: None,
        lock_outs: None,
        planted: None,
    }
}

impl Siege {
    /// An ensemble that is starting. `sink` gets the lines of the trace.
    ///
    /// # Panics
    /// If the guise names a server that is no member.
    pub fn new(setup: &Setup, sink: Option<Sink>) -> Siege {
        let plan = plan(setup);
        let (voters, nodes) = (plan.voters, plan.servers() + plan.clients);
        let mut rng = Rng::new(setup.seed);
        let (latency, window, piece_max) = (plan.latency, plan.window, plan.piece_max);
        // One machine more than there are servers and clients.
        let network = Network::new(rng.fork(), latency, window, piece_max, nodes + 1);
        let mut world = World::new(plan, rng, Trace::new(sink));
        world.network = network;
        let node = match setup.guise {
            Guise::Stranger | Guise::Unchecked => nodes,
            Guise::Beside(member) | Guise::InPlaceOf(member) => member,
        };
        assert!(node == nodes || node < world.servers.len(), "a member of {node}");
        world.attacker = Some(Attacker {
            guise: setup.guise,
            node,
            is_there: false,
            lines: BTreeMap::new(),
            ends: Vec::new(),
        });
        Siege { world, voters }
    }

    fn attacker(&mut self) -> &mut Attacker {
        self.world.attacker.as_mut().expect("a siege has one")
    }

    /// Lets time pass.
    pub fn pass(&mut self, us: u64) {
        let until = self.world.now + us;
        self.world.run_until(until);
    }

    /// Begins the attack. If the attacker takes the place of a member, that member's process is killed.
    pub fn come(&mut self) {
        let attacker = self.attacker();
        attacker.is_there = true;
        if let Guise::InPlaceOf(member) = attacker.guise {
            self.world.crash(member, false);
            self.world.schedule_network();
        }
    }

    /// Ends the attack, and starts every member.
    pub fn go(&mut self) {
        let now = self.world.now;
        let attacker = self.attacker();
        attacker.is_there = false;
        for (conn, known) in std::mem::take(&mut attacker.lines) {
            self.world.network.close(now, conn, known.end);
        }
        self.world.schedule_network();
        for index in 0..self.world.servers.len() {
            if matches!(self.world.servers[index].state, State::Down { .. }) {
                self.world.schedule(now + 10 * MS, Event::Start(index));
            }
        }
    }

    // ---- what the attacker does

    /// Opens a connection, if the server accepts another one from the attacker's address.
    pub fn open(&mut self, server: usize, port: Port) -> Option<u64> {
        let attacker = self.attacker();
        let node = attacker.node;
        let max = if attacker.guise.is_members() {
            LINKS_PER_REMOTE_MAX
        } else {
            STRANGER_LINKS_PER_REMOTE_MAX
        };
        let opened = attacker.lines.values().map(|known| known.line);
        let count = opened.filter(|line| line.server == server && !line.is_accepted).count();
        if count >= usize::try_from(max).expect("a small number") {
            return None;
        }
        let until = self.world.now + 10 * SECOND;
        let id = self.world.open(kind_of(port), (node, LIFE, 0), server, until);
        let line = Line { id, server, port, is_accepted: false };
        let known = Known { line, end: 0, is_deaf: false, heard: Vec::new() };
        self.attacker().lines.insert(id, known);
        Some(id)
    }

    /// Sends bytes on an open connection.
    pub fn say(&mut self, line: u64, bytes: &[u8]) {
        if let Some(end) = self.attacker().lines.get(&line).map(|known| known.end) {
            let now = self.world.now;
            self.world.network.send(now, line, end, bytes);
            self.world.schedule_network();
        }
    }

    /// Closes a connection.
    pub fn close(&mut self, line: u64) {
        if let Some(known) = self.attacker().lines.remove(&line) {
            let now = self.world.now;
            self.world.network.close(now, line, known.end);
            self.world.schedule_network();
        }
    }

    /// Stops (`is_deaf`) or resumes the attacker's reading of a connection.
    pub fn deafen(&mut self, line: u64, is_deaf: bool) {
        if let Some(known) = self.attacker().lines.get_mut(&line) {
            known.is_deaf = is_deaf;
        }
    }

    /// The connections that are open, in the order in which they were opened.
    pub fn lines(&self) -> Vec<Line> {
        let attacker = self.world.attacker.as_ref().expect("a siege has one");
        attacker.lines.values().map(|known| known.line).collect()
    }

    // ---- how the ensemble fares

    /// The number of servers; all of them are members.
    pub fn servers(&self) -> usize {
        self.world.servers.len()
    }

    /// The number of voters, which are the first of the servers.
    pub fn voters(&self) -> usize {
        self.voters
    }

    /// What a server knows of itself, if its process runs.
    pub fn facts(&self, server: usize) -> Option<PeerFacts> {
        self.world.facts(server)
    }

    /// The number of a server's process, counted from 1; each process has a new number.
    pub fn life(&self, server: usize) -> u64 {
        self.world.servers[server].life
    }

    /// The last transaction that a server has logged or is about to.
    pub fn last_proposed(&self, server: usize) -> Zxid {
        let replica = self.world.servers[server].replica.as_ref();
        replica.map_or(Zxid::NONE, |replica| replica.last_proposed())
    }

    /// The accepted epoch on a server's disk; 0: none.
    pub fn accepted_epoch(&self, server: usize) -> i64 {
        let disk = &self.world.servers[server].disk;
        let file = disk.get(Place::Snapshots, Epochs::ACCEPTED_FILE).unwrap_or_default();
        String::from_utf8_lossy(&file).trim().parse().unwrap_or(0)
    }

    /// The sessions of the clients.
    pub fn sessions(&self) -> Vec<SessionId> {
        let sessions = self.world.clients.iter().filter_map(|client| client.session);
        sessions.map(|session| session.id).collect()
    }

    /// Servers that ended by themselves or did not start, and why. Kept only where the attacker speaks as
    /// a member; otherwise it is a [`Siege::failure`].
    pub fn ends(&self) -> &[(usize, String)] {
        let attacker = self.world.attacker.as_ref().expect("a siege has one");
        &attacker.ends
    }

    /// The first violation of what must hold under any attack.
    pub fn failure(&self) -> Option<&str> {
        self.world.failure.as_deref()
    }

    /// Lets time pass until every member serves in its role; false: not within that time.
    pub fn comes_together(&mut self, within_us: u64) -> bool {
        self.world.run_until_so(within_us, World::is_together)
    }

    /// Lets time pass until a quorum serves and every client has written something; false: not within
    /// that time.
    pub fn comes_to_write(&mut self, within_us: u64) -> bool {
        let clients = &self.world.clients;
        let before: Vec<u64> = clients.iter().map(|client| client.writes_acknowledged).collect();
        self.world.run_until_so(within_us, |world| {
            let mut clients = world.clients.iter().zip(&before);
            world.a_quorum_serves()
                && clients.all(|(client, before)| client.writes_acknowledged > *before)
        })
    }

    /// The operator does what the message of a server that is kept out says: he sets the folder aside, and the
    /// server begins with nothing.
    pub fn set_aside(&mut self, server: usize) {
        let now = self.world.now;
        if self.world.servers[server].is_running() {
            self.world.crash(server, false);
        }
        let machine = &mut self.world.servers[server];
        machine.disk.set_aside();
        machine.began_anew = true;
        machine.state = State::Down { machine: false };
        self.world.stats.set_aside += 1;
        self.world.schedule(now + 10 * MS, Event::Start(server));
    }

    /// The state of each server, for the message about a failure.
    pub fn states(&self) -> String {
        super::run::states(&self.world)
    }
}
