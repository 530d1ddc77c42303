//! The simulated world: time, and everything that happens in it, one event after the other.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::chain::Chain;
use super::client::{Act, Client};
use super::disk::Disk;
use super::faults::Fault;
use super::history::History;
use super::locked_out::LockOuts;
use super::network::{ConnId, Network};
use super::plan::{MS, Plan, SECOND};
use super::rng::Rng;
use super::server::{Server, first_config};
use super::trace::Trace;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A server handles its input, and says what it wants.
    Turn {
        /// The server's place.
        server: usize,
        /// The number of its process.
        life: u64,
    },
    /// A server's timer rings.
    Timer {
        /// The server's place.
        server: usize,
        /// The number of its process.
        life: u64,
    },
    /// An op of a disk ends.
    DiskDone {
        /// The place of the disk's server.
        server: usize,
        /// The number of the process that asked.
        life: u64,
        /// The op.
        op: u64,
    },
    /// A request for a connection arrives.
    Knock {
        /// The connection.
        conn: ConnId,
        /// The time at which its opener gives up.
        until: u64,
    },
    /// Something arrives on a connection.
    Arrival {
        /// The connection.
        conn: ConnId,
        /// Its end that receives.
        to: usize,
    },
    /// A sender is told that its bytes are on their way.
    Sent {
        /// The connection.
        conn: ConnId,
        /// Its end that sent.
        from: usize,
    },
    /// The read of a log for a learner ends.
    LogRead {
        /// The server's place.
        server: usize,
        /// The number of its process.
        life: u64,
        /// What it asked for.
        read: ringkeeper::zab::LogRead,
    },
    /// A client wakes.
    Client(usize),
    /// A server starts.
    Start(usize),
    /// Something goes wrong, or is set right.
    Fault(Fault),
}

/// The part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Things go wrong.
    Chaos,
    /// No more faults happen.
    Healing,
    /// No more faults happen, and the clients only keep their sessions.
    Quiet,
}

/// Counts for the report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Processes that ended by a fault.
    pub crashes: u64,
    /// Other faults.
    pub faults: u64,
    /// Folders that were set aside.
    pub set_aside: u64,
    /// Leaders that served.
    pub reigns: u64,
    /// Configurations that became active.
    pub configs: u64,
    /// Disks that lost writes which they had reported as durable.
    pub forgotten: u64,
    /// Servers that the others did not let in.
    pub locked_out: u64,
    /// Links that a certificate prevented.
    pub handshakes_refused: u64,
}

/// The whole state of a run.
pub struct World {
    /// The true time in µs.
    pub now: u64,
    next_event: u64,
    events: BTreeMap<(u64, u64), Event>,
    /// What the seed decided.
    pub plan: Plan,
    /// What happened.
    pub trace: Trace,
    /// The random numbers for faults.
    pub rng: Rng,
    /// The network.
    pub network: Network,
    /// The servers.
    pub servers: Vec<Server>,
    /// The clients.
    pub clients: Vec<Client>,
    /// What clients saw.
    pub history: History,
    /// What servers applied.
    pub chain: Chain,
    /// The part of the run.
    pub phase: Phase,
    /// The time at which this part began.
    pub phase_since: u64,
    /// The first failure; it ends the run.
    pub failure: Option<String>,
    /// Counts.
    pub stats: Stats,
    /// A change of the ensemble that the operator has prepared.
    pub change: Option<super::history::Request>,
    /// What servers served since an operator's mistake; `None`: no mistake so far.
    pub served: Option<super::mistake::Served>,
    /// Losses of disks that leaders must notice.
    pub(super) losses: Vec<super::forgetting::Loss>,
    /// What the outside witness of two servers says.
    pub(super) word: super::witness::Word,
    /// The random numbers for servers that the others do not let in.
    pub(super) lock_outs: Rng,
    /// The attacker, which speaks to servers and is none.
    pub(super) attacker: Option<super::attacker::Attacker>,
    /// The number of calls that the trace has.
    told: usize,
}

impl World {
    /// The world of a plan, at the moment at which all servers and clients start.
    pub fn new(plan: Plan, mut rng: Rng, trace: Trace) -> World {
        let config = Rc::new(first_config(&plan));
        let nodes = plan.servers() + plan.clients;
        let network = Network::new(rng.fork(), plan.latency, plan.window, plan.piece_max, nodes);
        let mut servers = Vec::new();
        for index in 0..plan.servers() {
            let disk = Disk::new(rng.fork(), plan.disk, plan.apart);
            disk.put(ringkeeper::io::Place::DataDir, "initialize", b"");
            servers.push(Server::new(index, &plan, disk, config.clone(), rng.fork()));
        }
        let clients: Vec<Client> =
            (0..plan.clients).map(|index| Client::new(index, &plan, rng.fork())).collect();
        let mut world = World {
            now: 0,
            next_event: 0,
            events: BTreeMap::new(),
            trace,
            rng: rng.fork(),
            network,
            servers,
            clients,
            history: History::default(),
            chain: Chain::default(),
            phase: Phase::Chaos,
            phase_since: 0,
            failure: None,
            stats: Stats::default(),
            change: None,
            served: None,
            losses: Vec::new(),
            word: super::witness::Word::default(),
            lock_outs: plan.lock_outs.map_or(Rng::new(0), LockOuts::stream),
            attacker: None,
            told: 0,
            plan,
        };
        for server in 0..world.servers.len() {
            let at = world.rng.below(200 * MS);
            world.schedule(at, Event::Start(server));
        }
        for client in 0..world.clients.len() {
            let at = world.clients[client].wake_at.unwrap_or(0);
            world.schedule(at, Event::Client(client));
        }
        let wild = world.plan.wild.clone();
        world.network.set_wild(&wild);
        if wild.read_errors_per_mille > 0 {
            for server in &world.servers {
                server.disk.reads.fail(world.rng.fork(), wild.read_errors_per_mille);
            }
        }
        for index in &wild.lying_disks {
            world.servers[*index].disk.lie();
        }
        if wild.config_files {
            for server in &mut world.servers {
                server.config_files.write_by_hand(server.id, &server.config);
            }
        }
        world.plan_faults();
        world
    }

    /// Adds an event at the time `at`.
    pub fn schedule(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((at.max(self.now), self.next_event), event);
    }

    /// Records the first failure, and thereby ends the run.
    pub fn fail(&mut self, what: String) {
        let now = self.now;
        self.trace.say(now, || format!("FAILED: {what}"));
        self.failure.get_or_insert(what);
    }

    /// Begins a new part of the run.
    pub fn enter(&mut self, phase: Phase) {
        let now = self.now;
        self.phase = phase;
        self.phase_since = now;
        self.trace.event(now, &[0, phase as u64], || format!("---- {phase:?}"));
    }

    /// Forgets what was seen so far, so that the checks of what comes do not depend on it.
    pub fn forget_history(&mut self) {
        let full = std::mem::take(&mut self.history.full);
        self.history = History { full, ..History::default() };
        self.told = 0;
    }

    /// Runs events up to the time `until`, or to the first failure.
    pub fn run_until(&mut self, until: u64) {
        while self.failure.is_none() {
            let Some(entry) = self.events.first_entry() else { break };
            let (at, _) = *entry.key();
            if at > until {
                break;
            }
            let event = entry.remove();
            self.now = at;
            self.happen(event);
            self.schedule_network();
        }
        self.now = self.now.max(until);
    }

    /// Runs events until `is_so` holds, which this looks at every 50 ms. False: it does not hold in time, or a
    /// failure ended the run.
    pub fn run_until_so(&mut self, within: u64, is_so: impl Fn(&World) -> bool) -> bool {
        let end = self.now + within;
        loop {
            if self.failure.is_some() {
                return false;
            }
            if is_so(self) {
                return true;
            }
            if self.now >= end {
                return false;
            }
            self.run_until((self.now + 50 * MS).min(end));
        }
    }

    /// Schedules the arrival of what was put into the network.
    pub(super) fn schedule_network(&mut self) {
        for (at, conn, to) in self.network.take_due() {
            self.schedule(at, Event::Arrival { conn, to });
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Turn { server, life } => self.turn(server, life),
            Event::Timer { server, life } => self.timer(server, life),
            Event::DiskDone { server, life, op } => self.disk_done(server, life, op),
            Event::Knock { conn, until } => self.knock(conn, until),
            Event::Arrival { conn, to } => self.arrival(conn, to),
            Event::Sent { conn, from } => self.sent(conn, from),
            Event::LogRead { server, life, read } => self.log_read(server, life, read),
            Event::Client(client) => self.client_wakes(client),
            Event::Start(server) => self.start(server),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    // ---- clients

    fn client_wakes(&mut self, index: usize) {
        if self.clients[index].wake_at != Some(self.now) {
            return;
        }
        let mut acts = Vec::new();
        let now = self.now;
        self.clients[index].wake(now, &mut self.history, &mut acts);
        self.client_acts(index, acts);
    }

    /// Carries out what a client wants, and sets its alarm.
    pub fn client_acts(&mut self, index: usize, acts: Vec<Act>) {
        let now = self.now;
        if self.trace.is_read() {
            for place in self.told..self.history.calls.len() {
                let call = &self.history.calls[place];
                let line = format!(
                    "client {index}: connection {}, session {}, asks {} {:.100}",
                    call.connection,
                    call.session,
                    call.xid,
                    format!("{:?}", call.request)
                );
                self.trace.say(now, || line);
            }
            self.told = self.history.calls.len();
        }
        for act in acts {
            match act {
                Act::Open { server, number } => {
                    let node = self.servers.len() + index;
                    let conn = self.open(
                        super::cluster::CLIENT,
                        (node, 0, number),
                        server,
                        now + 10 * SECOND,
                    );
                    self.clients[index].conn = Some(conn);
                }
                Act::Send(bytes) => {
                    if let Some(conn) = self.clients[index].conn {
                        self.network.send(now, conn, 0, &bytes);
                    }
                }
                Act::HangUp => {
                    if let Some(conn) = self.clients[index].conn.take() {
                        self.network.close(now, conn, 0);
                    }
                }
            }
        }
        self.schedule_network();
        let at = self.clients[index].next_wake().max(now + 1);
        if self.clients[index].wake_at != Some(at) {
            self.clients[index].wake_at = Some(at);
            self.schedule(at, Event::Client(index));
        }
    }
}
