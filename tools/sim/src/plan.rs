//! Everything that a seed decides before a run begins: the ensemble, its settings, and its faults.

use ringkeeper::planted::PlantedBug;

use super::disk::Speed;
use super::locked_out::LockOuts;
use super::logins::Logins;
use super::network::Latency;
use super::rng::Rng;
use super::wild::Wild;

/// A second in µs.
pub const SECOND: u64 = 1_000_000;
/// A millisecond in µs.
pub const MS: u64 = 1000;

/// The ensembles that a seed may draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Shape {
    /// Any of `Steady` and `Changing`.
    #[default]
    Any,
    /// Standalone servers, and ensembles whose members keep their roles.
    Steady,
    /// A server on its own.
    Standalone,
    /// Three, five or seven voters, with observers or without.
    Ensemble,
    /// As `Ensemble`, with an operator who adds and removes servers and changes their roles; often with local
    /// sessions, and with observers that learn from followers.
    Changing,
    /// As `Ensemble` or `Changing`, with servers that log in at each other.
    Guarded,
    /// As `Ensemble` or `Changing`, with faults that the other shapes do not have: see `wild.rs`.
    Wild,
}

/// Mean times between two faults of a kind in the whole ensemble, in µs; `None`: never.
#[derive(Clone, Debug, Default)]
pub struct FaultRates {
    /// A server's process or machine dies.
    pub crash: Option<u64>,
    /// All of them die at once.
    pub crash_all: Option<u64>,
    /// The servers are restarted one after the other.
    pub rolling_restart: Option<u64>,
    /// A server stands still for a while.
    pub pause: Option<u64>,
    /// A connection breaks.
    pub cut: Option<u64>,
    /// Some ways are blocked for a while.
    pub partition: Option<u64>,
    /// A disk has no room for a while.
    pub disk_full: Option<u64>,
    /// A disk is slow for a while.
    pub disk_slow: Option<u64>,
    /// A disk fails for a while.
    pub disk_fails: Option<u64>,
    /// The date of a server jumps.
    pub clock_jump: Option<u64>,
    /// The operator changes the ensemble.
    pub reconfig: Option<u64>,
    /// How many of a thousand restarts after a crash find a flipped bit.
    pub flips_per_mille: u64,
    /// How many of a thousand restarts after a crash lose power again during recovery.
    pub recovery_cut_per_mille: u64,
}

/// Everything that a seed decides.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Servers that vote; 1: a server on its own.
    pub voters: usize,
    /// Servers that do not vote.
    pub observers: usize,
    /// Servers that are no members at first.
    pub spares: usize,
    /// Clients.
    pub clients: usize,
    /// Mean time between two requests of a client, in µs.
    pub think: u64,
    /// Requests that a client may have under way.
    pub depth: usize,
    /// Keys that the clients share.
    pub keys: u64,
    /// `tickTime` in ms.
    pub tick_ms: u32,
    /// `initLimit` in ticks.
    pub init_limit: u64,
    /// `syncLimit` in ticks.
    pub sync_limit: u64,
    /// Session timeout that clients ask for, in ms.
    pub session_ms: i32,
    /// How long faults happen, in µs.
    pub chaos: u64,
    /// The rates of the faults.
    pub faults: FaultRates,
    /// The network.
    pub latency: Latency,
    /// See `Network`.
    pub window: u64,
    /// See `Network`.
    pub piece_max: u64,
    /// The disks.
    pub disk: Speed,
    /// Whether logs have a folder of their own.
    pub apart: bool,
    /// Bytes of a block of the log.
    pub block_bytes: usize,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// `snapCount`.
    pub snap_count: u64,
    /// Transactions kept for learners that lag a little.
    pub commit_log_txns: usize,
    /// By how many parts in a million clocks may be off.
    pub drift_max: u64,
    /// Whether epochs begin with a counter that is nearly used up.
    pub short_epochs: bool,
    /// Whether sessions are local until they want an ephemeral node.
    pub local_sessions: bool,
    /// Whether observers learn from followers.
    pub observer_masters: bool,
    /// The faults and options of wild ensembles only.
    pub wild: Wild,
    /// How servers log in at each other, in guarded ensembles.
    pub logins: Option<Logins>,
    /// Which servers the others do not let in, in guarded ensembles.
    pub lock_outs: Option<LockOuts>,
    /// The planted bug, if any.
    pub planted: Option<PlantedBug>,
}

impl Plan {
    /// Draws a plan. `beside` is the stream for everything that steady ensembles do not have, so that a seed means
    /// the same ensemble as before the other shapes existed.
    pub fn draw(
        rng: &mut Rng,
        beside: &mut Rng,
        shape: Shape,
        planted: Option<PlantedBug>,
    ) -> Plan {
        let (is_wild, is_guarded) = (shape == Shape::Wild, shape == Shape::Guarded);
        let shape = match shape {
            Shape::Wild if beside.one_in(3) => Shape::Changing,
            Shape::Wild => Shape::Ensemble,
            Shape::Guarded if beside.one_in(3) => Shape::Changing,
            Shape::Guarded => Shape::Ensemble,
            Shape::Any if beside.one_in(2) => Shape::Changing,
            Shape::Any => Shape::Steady,
            shape => shape,
        };
        let mut plan = Self::steady(rng, shape, planted);
        if shape == Shape::Changing {
            plan.spares = beside.index(3);
            plan.faults.reconfig = Some(*beside.pick(&[2, 4, 8]) * SECOND);
            plan.local_sessions = beside.one_in(3);
            plan.observer_masters = beside.one_in(2);
        }
        if is_guarded {
            plan.logins = Some(Logins::draw(beside));
            plan.lock_outs = Some(LockOuts::draw(beside));
        }
        if is_wild {
            plan.wild = Wild::draw(beside, plan.voters, plan.chaos, plan.changes());
            if plan.wild.witness {
                plan.voters = 2;
            }
            // ZooKeeper: a server without a leader makes only local sessions.
            plan.local_sessions |= plan.wild.read_only_mode && plan.wild.wider.readers;
        }
        plan
    }

    fn steady(rng: &mut Rng, shape: Shape, planted: Option<PlantedBug>) -> Plan {
        let standalone = match shape {
            Shape::Any | Shape::Steady => rng.one_in(8),
            Shape::Standalone => true,
            Shape::Ensemble | Shape::Changing | Shape::Guarded | Shape::Wild => false,
        };
        let voters = if standalone { 1 } else { *rng.pick(&[3, 3, 3, 3, 5, 5, 7]) };
        let observers = if standalone || !rng.one_in(3) { 0 } else { rng.index(2) + 1 };
        let tick_ms = *rng.pick(&[200, 500, 1000]);
        let mild = rng.one_in(6);
        let slow_network = rng.one_in(5);
        Plan {
            voters,
            observers,
            spares: 0,
            clients: 2 + rng.index(5),
            think: *rng.pick(&[20, 50, 100, 200]) * MS,
            depth: *rng.pick(&[1, 2, 4, 8]),
            keys: rng.between(2, 8),
            tick_ms,
            init_limit: rng.between(5, 10),
            sync_limit: rng.between(3, 6),
            session_ms: i32::try_from(u64::from(tick_ms) * rng.between(4, 20)).expect("seconds"),
            chaos: rng.between(20, 60) * SECOND,
            faults: Self::faults(rng, mild, standalone),
            latency: Latency {
                least: 30,
                mean: if slow_network { 10 * MS } else { *rng.pick(&[50, 200, 1000]) },
                spikes_per_mille: *rng.pick(&[0, 1, 10]),
                spike: *rng.pick(&[20, 200, 1000]) * MS,
            },
            window: *rng.pick(&[16, 64, 256]) << 10,
            piece_max: *rng.pick(&[7, 100, 1460, 65_536]),
            disk: Speed {
                log_write: *rng.pick(&[80, 500, 5000]),
                other: *rng.pick(&[200, 5000, 30_000]),
                slowed: 1,
            },
            apart: rng.one_in(3),
            block_bytes: *rng.pick(&[512, 4096]),
            segment_bytes: rng.between(40, 160) << 10,
            snap_count: *rng.pick(&[20, 100, 400, 100_000]),
            commit_log_txns: *rng.pick(&[3, 20, 100, 500]),
            drift_max: *rng.pick(&[0, 200, 20_000]),
            short_epochs: !standalone && rng.one_in(12),
            local_sessions: false,
            observer_masters: false,
            wild: Wild::default(),
            logins: None,
            lock_outs: None,
            planted,
        }
    }

    fn faults(rng: &mut Rng, mild: bool, standalone: bool) -> FaultRates {
        // Each kind may be absent, so that some seeds test few kinds for long.
        let mut rate = |one_in: u64, seconds: &[u64]| {
            let mean = *rng.pick(seconds) * SECOND;
            (!mild && !rng.one_in(one_in)).then_some(mean)
        };
        let crash = rate(6, &[3, 6, 12]);
        let crash_all = rate(2, &[10, 20, 40]);
        let rolling_restart = rate(2, &[15, 40]).filter(|_| !standalone);
        let pause = rate(3, &[4, 10]);
        let cut = rate(3, &[1, 3, 10]);
        let partition = rate(3, &[4, 10, 20]).filter(|_| !standalone);
        let disk_full = rate(2, &[10, 30]);
        let disk_slow = rate(2, &[5, 15]);
        let disk_fails = rate(2, &[20, 60]);
        let clock_jump = rate(2, &[5, 20]);
        FaultRates {
            crash,
            crash_all,
            rolling_restart,
            pause,
            cut,
            partition,
            disk_full,
            disk_slow,
            disk_fails,
            clock_jump,
            reconfig: None,
            flips_per_mille: *rng.pick(&[0, 0, 50, 200]),
            recovery_cut_per_mille: *rng.pick(&[0, 100]),
        }
    }

    /// The number of all servers, members or not.
    pub fn servers(&self) -> usize {
        self.voters + self.observers + self.spares
    }

    /// Whether the ensemble changes while it runs.
    pub fn changes(&self) -> bool {
        self.faults.reconfig.is_some()
    }

    /// Whether sessions may begin and end without a transaction: local ones, and those that begin while
    /// the disk of a server on its own is full.
    pub fn has_unlogged_sessions(&self) -> bool {
        self.local_sessions || (self.is_standalone() && self.faults.disk_full.is_some())
    }

    /// Whether there is one server on its own.
    pub fn is_standalone(&self) -> bool {
        self.servers() == 1
    }
}
