//! The faults of a run: their kinds, their times, and their repair.

use super::cluster::{CLIENT, ELECTION, QUORUM};
use super::locked_out::LockOut;
use super::network::Latency;
use super::plan::{MS, SECOND};
use super::server::State;
use super::wild::{Broken, Wild};
use super::world::{Event, Phase, World};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process or machine dies.
    Crash,
    /// All machines die at once.
    CrashAll,
    /// One server after the other is restarted.
    RollingRestart,
    /// A server stands still.
    Pause,
    /// A connection breaks.
    Cut,
    /// Ways of the network are blocked.
    Partition,
    /// A disk is full.
    DiskFull,
    /// A disk is slow.
    DiskSlow,
    /// A disk fails.
    DiskFails,
    /// A date jumps.
    ClockJump,
    /// The operator changes the ensemble.
    Reconfig,
    /// A connection ends on one side.
    HalfOpen,
    /// Nothing comes over a connection any more.
    Vanish,
}

/// Kinds of connections that a firewall tells apart.
const PORTS: [u8; 3] = [CLIENT, QUORUM, ELECTION];

const KINDS: [Kind; 13] = [
    Kind::Crash,
    Kind::CrashAll,
    Kind::RollingRestart,
    Kind::Pause,
    Kind::Cut,
    Kind::Partition,
    Kind::DiskFull,
    Kind::DiskSlow,
    Kind::DiskFails,
    Kind::ClockJump,
    Kind::Reconfig,
    Kind::HalfOpen,
    Kind::Vanish,
];

/// A fault, or its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A fault of this kind happens, and the next one is planned.
    Comes(Kind),
    /// A step of a rolling restart.
    Roll(usize),
    /// Ways are free again.
    Join,
    /// A disk works again as before.
    DiskHeals(usize),
    /// An operator looks at a server that refused to start.
    Operator(usize),
    /// The operator asks for the change that he has prepared.
    Ask,
    /// The operator looks which servers are members and which should run.
    Tidy,
    /// The operator empties the folders of a quorum.
    Mistake,
    /// Old files of a server are removed.
    Purge,
    /// A server asks the outside witness.
    Witness,
    /// A server is locked out by the others, or let in again.
    LockOut(LockOut),
}

impl World {
    fn rate(&self, kind: Kind) -> Option<u64> {
        let faults = &self.plan.faults;
        match kind {
            Kind::Crash => faults.crash,
            Kind::CrashAll => faults.crash_all,
            Kind::RollingRestart => faults.rolling_restart,
            Kind::Pause => faults.pause,
            Kind::Cut => faults.cut,
            Kind::Partition => faults.partition,
            Kind::DiskFull => faults.disk_full,
            Kind::DiskSlow => faults.disk_slow,
            Kind::DiskFails => faults.disk_fails,
            Kind::ClockJump => faults.clock_jump,
            Kind::Reconfig => faults.reconfig,
            Kind::HalfOpen => self.plan.wild.half_open,
            Kind::Vanish => self.plan.wild.vanish,
        }
    }

    /// Plans the first fault of each kind.
    pub(super) fn plan_faults(&mut self) {
        for kind in KINDS {
            self.plan_next(kind);
        }
        if self.plan.changes() {
            self.plan_tidying();
        }
        self.plan_purge();
        self.plan_witness();
        self.plan_lock_outs();
        if let Some(at) = self.plan.wild.mistake_at {
            self.schedule(at, Event::Fault(Fault::Mistake));
        }
    }

    fn plan_next(&mut self, kind: Kind) {
        if let Some(mean) = self.rate(kind) {
            let at = self.now + 1 + self.rng.waiting(mean);
            self.schedule(at, Event::Fault(Fault::Comes(kind)));
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Comes(_) if self.phase != Phase::Chaos => (),
            Fault::Comes(kind) => {
                self.stats.faults += 1;
                let now = self.now;
                self.trace.event(now, &[20, kind as u64], || format!("fault: {kind:?}"));
                self.come(kind);
                self.plan_next(kind);
            }
            Fault::Roll(index) => {
                if self.phase == Phase::Chaos && index < self.servers.len() {
                    self.crash_and_restart(index, false, 300 * MS);
                    let at = self.now + SECOND + self.rng.waiting(2 * SECOND);
                    self.schedule(at, Event::Fault(Fault::Roll(index + 1)));
                }
            }
            Fault::Join => {
                let now = self.now;
                self.trace.event(now, &[21], || "all ways are free".to_owned());
                self.network.free_all(now);
                self.block_broken();
            }
            Fault::DiskHeals(index) => self.heal_disk(index),
            Fault::Operator(index) => self.operator(index),
            Fault::Ask => self.ask_for_change(),
            Fault::Tidy => self.tidy(),
            Fault::Mistake => self.mistake(),
            Fault::Purge => self.purge(),
            Fault::Witness => self.witness(),
            Fault::LockOut(what) => self.lock_out(what),
        }
    }

    fn come(&mut self, kind: Kind) {
        let now = self.now;
        let index = self.rng.index(self.servers.len());
        match kind {
            Kind::Crash => {
                let power = self.rng.one_in(2);
                // Now and then, the fault hits the leader.
                let leader = self.leader().filter(|_| self.rng.one_in(3));
                self.crash_and_restart(leader.unwrap_or(index), power, 3 * SECOND);
            }
            Kind::CrashAll => {
                let power = self.rng.one_in(2);
                for index in 0..self.servers.len() {
                    self.crash_and_restart(index, power, SECOND);
                }
            }
            Kind::RollingRestart => self.fault(Fault::Roll(0)),
            Kind::Pause => {
                let tick = u64::from(self.plan.tick_ms) * MS;
                let long = *self.rng.pick(&[tick / 4, tick, 4 * tick, 12 * tick]);
                self.servers[index].paused_until =
                    now + 1 + self.rng.waiting(long).min(10 * SECOND);
            }
            Kind::Cut => {
                if let Some(conn) = self.some_connection() {
                    self.network.cut(now, conn);
                }
            }
            Kind::HalfOpen => {
                if let Some(conn) = self.some_connection() {
                    let to = self.rng.index(2);
                    self.network.cut_half(now, conn, to);
                }
            }
            Kind::Vanish => {
                if let Some(conn) = self.some_connection() {
                    self.network.vanish(conn);
                }
            }
            Kind::Partition => self.partition(),
            Kind::DiskFull => {
                self.history.disk_is_full(index, now);
                self.trouble(index, |server| server.disk.trouble.full = true);
            }
            Kind::DiskSlow => {
                let slowed = *self.rng.pick(&[5, 50, 500]);
                self.trouble(index, |server| server.disk.speed.slowed = slowed);
            }
            Kind::DiskFails => {
                let rate = *self.rng.pick(&[10, 100, 1000]);
                self.trouble(index, |server| server.disk.trouble.failing_per_mille = rate);
            }
            Kind::Reconfig => self.prepare_change(),
            Kind::ClockJump => {
                let far = *self.rng.pick(&[100, 10_000, 3_600_000, 1_000_000_000]);
                let ms = i64::try_from(self.rng.below(2 * far)).expect("a small number");
                let off = i64::try_from(far).expect("a small number");
                self.servers[index].clock.jump(ms - off);
            }
        }
    }

    /// One of the open connections, if it was accepted.
    fn some_connection(&mut self) -> Option<super::network::ConnId> {
        let all = self.network.all();
        if all.is_empty() {
            return None;
        }
        let conn = *self.rng.pick(&all);
        self.network.get(conn).is_some_and(|known| known.accepted).then_some(conn)
    }

    fn trouble(&mut self, index: usize, make: impl Fn(&mut super::server::Server)) {
        make(&mut self.servers[index]);
        let at = self.now + 1 + self.rng.waiting(3 * SECOND);
        self.schedule(at, Event::Fault(Fault::DiskHeals(index)));
    }

    fn heal_disk(&mut self, index: usize) {
        if self.servers[index].broken == Some(Broken::Slow) {
            return;
        }
        let now = self.now;
        self.history.disk_has_room(index, now);
        let disk = &mut self.servers[index].disk;
        disk.trouble = super::disk::Trouble::default();
        disk.speed.slowed = 1;
    }

    /// Blocks ways between servers, and for some clients, for a while.
    fn partition(&mut self) {
        let now = self.now;
        let count = self.servers.len();
        let one_way = self.rng.one_in(3);
        if self.plan.wild.blocks_ports && self.rng.one_in(2) {
            // The rule of a firewall blocks one port of one server.
            let (to, kind) = (self.rng.index(count), *self.rng.pick(&PORTS));
            let hosts = if kind == CLIENT { count + self.clients.len() } else { count };
            for from in (0..hosts).filter(|from| *from != to) {
                self.network.block_kind(from, to, kind);
                if !one_way {
                    self.network.block_kind(to, from, kind);
                }
            }
        } else if self.rng.one_in(3) {
            // One way is blocked, or both ways between one pair.
            let (from, to) = (self.rng.index(count), self.rng.index(count));
            if from != to {
                self.network.set_blocked(now, from, to, true);
                if !one_way {
                    self.network.set_blocked(now, to, from, true);
                }
            }
        } else {
            let sides: Vec<bool> =
                (0..count + self.clients.len()).map(|_| self.rng.one_in(2)).collect();
            for from in 0..count {
                for to in 0..sides.len() {
                    if from != to && sides[from] && !sides[to] {
                        self.network.set_blocked(now, from, to, true);
                        if !one_way {
                            self.network.set_blocked(now, to, from, true);
                        }
                    }
                }
            }
        }
        let tick = u64::from(self.plan.tick_ms) * MS;
        let long = *self.rng.pick(&[tick, 8 * tick, 20 * tick]);
        let at = now + 1 + self.rng.waiting(long);
        self.schedule(at, Event::Fault(Fault::Join));
    }

    /// The server that leads, if one says so.
    pub(super) fn leader(&self) -> Option<usize> {
        self.servers.iter().position(|server| {
            server.replica.as_ref().is_some_and(|replica| replica.mode() == "leader")
        })
    }

    pub(super) fn crash_and_restart(&mut self, index: usize, power: bool, mean: u64) {
        if !self.servers[index].is_running() {
            return;
        }
        self.crash(index, power);
        let faults = &self.plan.faults;
        let (flips, cuts) = (faults.flips_per_mille, faults.recovery_cut_per_mille);
        if self.phase == Phase::Chaos && self.rng.per_mille(flips) {
            self.flip(index);
        }
        if self.phase == Phase::Chaos && self.rng.per_mille(cuts) {
            let changes = self.rng.below(4);
            self.servers[index].disk.cut_recovery_after(Some(changes));
        }
        let at = self.now + 50 * MS + self.rng.waiting(mean);
        self.schedule(at, Event::Start(index));
    }

    fn flip(&mut self, index: usize) {
        // If recovery must allow gaps, damage may look like a gap.
        if self.plan.short_epochs {
            return;
        }
        let Some(flip) = self.servers[index].disk.flip_a_bit() else { return };
        let now = self.now;
        self.trace.event(now, &[22, index as u64], || format!("s{}: {flip:?}", index + 1));
        self.servers[index].flips.push(flip);
    }

    /// Handles a server that stopped by itself.
    pub(super) fn stopped(&mut self, index: usize, reason: &str) {
        let now = self.now;
        self.trace.event(now, &[23, index as u64], || format!("s{} stops: {reason}", index + 1));
        if self.note_end(index, reason) {
            return self.crash_and_restart(index, false, SECOND);
        }
        let explained = self.servers[index].disk.erred || !self.servers[index].flips.is_empty();
        if !explained {
            return self.fail(format!(
                "server {} stopped without a fault that explains it: {reason}",
                index + 1
            ));
        }
        self.crash_and_restart(index, false, SECOND);
    }

    /// Handles a server that does not start with its folder.
    pub(super) fn refused(&mut self, index: usize, reason: &str) {
        if self.note_end(index, reason) {
            self.servers[index].state = State::Refused(reason.to_owned());
            return;
        }
        let power_went = reason.contains("the power went during recovery");
        let disk = &self.servers[index].disk;
        if power_went || disk.trouble.full || disk.reads.take_failed() {
            self.servers[index].state = State::Down { machine: power_went };
            let at = self.now + 200 * MS;
            return self.schedule(at, Event::Start(index));
        }
        if self.servers[index].flips.is_empty() {
            return self.fail(format!(
                "server {} does not start, and nothing was done to its files: {reason}",
                index + 1
            ));
        }
        self.servers[index].state = State::Refused(reason.to_owned());
        let at = self.now + SECOND + self.rng.waiting(3 * SECOND);
        self.schedule(at, Event::Fault(Fault::Operator(index)));
    }

    /// The operator does what the server's message says: in an ensemble, sets the folder aside; for a server on its
    /// own, restores a backup. At most a minority of the servers begins anew at a time.
    fn operator(&mut self, index: usize) {
        if !matches!(self.servers[index].state, State::Refused(_)) {
            return;
        }
        let now = self.now;
        let anew =
            self.servers.iter().filter(|server| server.is_voter && server.began_anew).count();
        // While the ensemble changes, the operator does not know for sure which servers vote. A server with an empty
        // folder and a vote would vote as if it had never known anything.
        let votes_empty = self.plan.wild.autocreate || self.plan.wild.groups.is_some();
        // The servers that stay broken are as many as may be missing.
        let stay = self.plan.wild.stay_broken || self.plan.lock_outs.is_some_and(|it| it.stay);
        let others_are_missing = stay && self.phase != Phase::Chaos;
        let may = !self.plan.is_standalone()
            && !self.plan.changes()
            && !votes_empty
            && !others_are_missing
            // After a mistake, the servers that are kept out with the old history are as many already.
            && self.served.is_none()
            && anew < (self.plan.voters - 1) / 2;
        let server = &mut self.servers[index];
        if may {
            server.disk.set_aside();
            server.began_anew = true;
            self.stats.set_aside += 1;
        } else {
            for flip in server.flips.drain(..) {
                server.disk.turn(&flip);
            }
        }
        server.flips.clear();
        server.state = State::Down { machine: false };
        self.trace.event(now, &[24, index as u64, u64::from(may)], || {
            let what = if may { "sets the folder aside" } else { "restores the folder" };
            format!("s{}: the operator {what}", index + 1)
        });
        self.schedule(now + 100 * MS, Event::Start(index));
    }

    /// Ends all faults, and repairs what they broke.
    pub fn heal(&mut self) {
        self.enter(Phase::Healing);
        let now = self.now;
        self.network.set_wild(&Wild::default());
        self.network.give_up_vanished(now);
        self.network.free_all(now);
        self.network.set_latency(Latency { least: 30, mean: 200, spikes_per_mille: 0, spike: 0 });
        for index in 0..self.servers.len() {
            self.heal_disk(index);
            let server = &mut self.servers[index];
            server.disk.reads.heal();
            server.disk.speed.log_write = server.disk.speed.log_write.min(1000);
            server.disk.speed.other = server.disk.speed.other.min(5000);
            server.clock.set_right();
        }
        if self.plan.wild.stay_broken {
            self.break_some();
        }
        self.let_in();
    }
}
