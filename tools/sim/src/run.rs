//! One run from its seed to its outcome.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use ringkeeper::id::SessionId;
use ringkeeper::planted::PlantedBug;

use super::check;
use super::client::Mode;
use super::plan::{MS, Plan, SECOND, Shape};
use super::quotas;
use super::reaping;
use super::report::Outcome;
use super::rng::Rng;
use super::trace::{Sink, Trace};
use super::world::{Phase, World};

/// The options of a run beside its seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The ensembles that the seed may draw.
    pub shape: Shape,
    /// A bug to plant; only with the feature `planted-bugs`.
    pub planted: Option<PlantedBug>,
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps the words of a panic within a run instead of printing them.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() && cfg!(panic = "unwind") {
                CAUGHT.with(|caught| *caught.borrow_mut() = info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs a seed. `sink` takes the lines of the trace, if there is one.
pub fn run(seed: u64, options: Options, sink: Option<Sink>) -> Outcome {
    listen_to_panics();
    let mut rng = Rng::new(seed);
    let plan = Plan::draw(&mut rng, &mut Rng::new(!seed), options.shape, options.planted);
    let mut shape = format!("{} voters, {} observers", plan.voters, plan.observers);
    if plan.changes() {
        shape.push_str(&format!(", {} more servers, reconfigurations", plan.spares));
    }
    if options.shape == Shape::Wild {
        shape.push_str(&format!(", wild: {:?}", plan.wild));
    }
    let mut world = World::new(plan, rng, Trace::new(sink));
    let now = world.now;
    let text = format!("{:?}", world.plan);
    world.trace.say(now, || text);
    let mut outcome = Outcome { seed, shape, ..Outcome::default() };
    CATCHING.set(true);
    let ended = catch_unwind(AssertUnwindSafe(|| through(&mut world, &mut outcome)));
    CATCHING.set(false);
    if ended.is_err() {
        let words = CAUGHT.with(|caught| caught.take());
        world.fail(format!("panic: {words}"));
    }
    outcome.simulated_us = world.now;
    outcome.events = world.trace.events();
    outcome.hash = world.trace.hash();
    outcome.stats = world.stats;
    outcome.failure = world.failure.take();
    outcome
}

/// Goes through the three parts of a run, and the checks.
fn through(world: &mut World, outcome: &mut Outcome) {
    let chaos = world.plan.chaos;
    world.run_until(chaos);
    if world.failure.is_some() {
        return;
    }
    world.heal();
    come_together(world);
    if world.failure.is_some() {
        return;
    }
    world.repair();
    world.enter(Phase::Quiet);
    for client in &mut world.clients {
        client.mode = Mode::Quiet;
    }
    // Every session without a client expires in this time, even if the clock is slow.
    let tick = u64::from(world.plan.tick_ms) * MS;
    let mut patience = 22 * tick + 22 * tick / 10 + 5 * SECOND;
    if world.plan.short_epochs {
        // An epoch may end meanwhile, and a new leader gives every session its whole time again.
        patience *= 2;
    }
    let until = world.now + patience;
    world.run_until(until);
    agree(world);
    for index in 0..world.servers.len() {
        world.check_accusations(index);
    }
    if world.failure.is_some() {
        return;
    }
    match end(world, outcome) {
        Ok(()) => (),
        Err(what) => world.fail(what),
    }
}

/// Waits until the ensemble has elected a leader and serves all clients.
fn come_together(world: &mut World) {
    let tick = u64::from(world.plan.tick_ms) * MS;
    let bound = 60 * SECOND + 6 * world.plan.init_limit * tick;
    let written: Vec<u64> = world.clients.iter().map(|client| client.writes_acknowledged).collect();
    let so = world.run_until_so(bound, |world| {
        let all_serve = match world.served {
            Some(_) => world.a_quorum_serves(),
            None => world.is_together(),
        };
        let clients = world.clients.iter().zip(&written);
        all_serve
            && clients.into_iter().all(|(client, before)| client.writes_acknowledged > *before)
    });
    if !so && world.failure.is_none() {
        let servers = states(world);
        let stuck: Vec<usize> = world
            .clients
            .iter()
            .zip(&written)
            .filter(|(client, before)| client.writes_acknowledged <= **before)
            .map(|(client, _)| client.index)
            .collect();
        world.fail(format!(
            "{} s after everything was set right: clients {stuck:?} have written nothing; {servers}",
            bound / SECOND
        ));
    }
}

/// The state of each server, in words.
pub(super) fn states(world: &World) -> String {
    let newest = world.newest_config();
    let state = |server: &super::server::Server| match &server.replica {
        Some(replica) => format!(
            "s{} {} at {} (proposed {}) with configuration {:x}, {}",
            server.id,
            replica.mode(),
            replica.last_processed(),
            replica.last_proposed(),
            server.config.version,
            match newest.members.get(&server.id) {
                Some(member) => format!("in the newest one {}", member.role),
                None => "not in the newest one".to_owned(),
            }
        ),
        None => format!("s{} {:?}", server.id, server.state),
    };
    world.servers.iter().map(state).collect::<Vec<_>>().join(", ")
}

/// The servers that take part in the end.
fn members(world: &World) -> impl Iterator<Item = &super::server::Server> {
    let newest = world.newest_config();
    world.servers.iter().filter(move |server| newest.members.contains_key(&server.id))
}

/// Waits until all servers have the same state.
fn agree(world: &mut World) {
    let so = world.run_until_so(20 * SECOND, |world| {
        if world.served.is_some() {
            return world.those_who_serve_agree();
        }
        // A received tree is in memory before it is on the disk.
        if !world.is_together() {
            return false;
        }
        let mut states = members(world).map(|server| {
            let replica = server.replica.as_ref()?;
            let last = world.chain.resolve(replica.last_processed());
            Some((last, replica.database().digest()))
        });
        let first = states.next().flatten();
        first.is_some() && states.all(|state| state == first)
    });
    if !so && world.failure.is_none() {
        let servers = states(world);
        world.fail(format!("the servers do not come to one state: {servers}"));
    }
}

/// The checks at the end.
fn end(world: &mut World, outcome: &mut Outcome) -> Result<(), String> {
    if world.served.is_some() {
        // The simulation does not know which of two histories won, nor what the clients should have seen.
        return Ok(());
    }
    let first = members(world).next().and_then(|server| server.replica.as_ref());
    let replica = first.ok_or("no server")?;
    let last = replica.last_processed();
    let local = world.plan.has_unlogged_sessions();
    let (checked, model, begun) = check::check(&world.history, &world.chain, last, &world.plan)?;
    outcome.checked = checked;
    let when = (world.phase_since, world.now);
    let wall =
        members(world).next().map_or(ringkeeper::time::WallMs(0), |s| s.clock.read(world.now).wall);
    reaping::check(&model, &world.chain, &world.plan, when, wall)?;
    for server in members(world) {
        if let Some(replica) = &server.replica {
            quotas::agree(&model, server.id, replica.database())?;
            if !replica.has_no_write_under_way() {
                return Err(format!("server {} waits for a write that nobody makes", server.id));
            }
        }
    }
    // A client that is not connected may not have heard of the end of its session yet.
    let known = |connected: bool| -> BTreeSet<SessionId> {
        let clients = world.clients.iter().filter(|client| !connected || client.is_connected());
        let ids = clients.filter_map(|client| client.session).map(|session| session.id);
        ids.filter(|id| !local || begun.contains(id)).collect()
    };
    if let Some(lost) = known(true).difference(&model.sessions).next() {
        return Err(format!("session {lost} has a client and is gone"));
    }
    if let Some(left) = model.sessions.difference(&known(false)).next() {
        return Err(format!("session {left} has had no client for long, and did not expire"));
    }
    let sessions: BTreeSet<SessionId> = replica.database().sessions().map(|(id, _)| id).collect();
    if sessions != model.sessions {
        return Err(format!("the sessions are {sessions:?} instead of {:?}", model.sessions));
    }
    // The disks must hold what the servers agreed on.
    let end = world.chain.resolve(last);
    let keeps_log = |server: &&super::server::Server| {
        !world.plan.wild.sync_disabled || world.newest_config().is_voter(server.id)
    };
    let there: Vec<usize> = members(world).filter(keeps_log).map(|s| s.index()).collect();
    for index in there {
        world.crash(index, true);
        let plan = world.plan.clone();
        let recovered = world.servers[index].recover(&plan).map_err(|error| {
            format!("server {} cannot be started at the end: {error}", index + 1)
        })?;
        let id = world.servers[index].id;
        quotas::agree(&model, id, &recovered.database)?;
        let recorded = recovered.database.take_recorded();
        let now = world.now;
        world.chain.applied(id, now, recorded)?;
        let found = world.chain.resolve(recovered.zxid);
        if found != end {
            return Err(format!("server {id} has {found} on its disk instead of {end}"));
        }
        world.chain.state(id, recovered.zxid, recovered.database.digest(), found)?;
    }
    Ok(())
}
