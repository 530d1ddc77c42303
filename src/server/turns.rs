//! The task that turns the replica, and how it waits.
//!
//! While a group is being written, or other servers are asked, the task looks at the rings again and
//! again, briefly: what is seen that way costs no system call and no wake-up, which together cost as
//! much as the write itself. What it must not do is to keep a core from others, so it yields after
//! each look, and after a while it sleeps: the kernel then rings the executor's bell. Where others do
//! not give the processor back ([`Crowd`]) it sleeps at once, and beside neighbours a thread writes the
//! log.

use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::again::Failure;
use super::crowd::{Crowd, Crowding};
use super::host::Host;
use crate::runtime::{Reactor, RingError, StopFlag, ThreadUse, set_slices};

/// How the turn task waits for what a client waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long it looks for a log write before it sleeps. Zero: it sleeps at once, but for one look now and
    /// then, by which it learns whether others want the processor.
    log: Duration,
    /// How long it looks for what other servers have to say.
    others: Duration,
    /// How long an executor looks for what other executors have for it. Zero: there are none.
    pub cores: Duration,
}

/// An answer of another server takes a few wake-ups, or a disk write there, and is looked for only so
/// long that the last of them is saved: 100 µs did as well as 500, for less.
const OTHERS_LOOK_MAX: Duration = Duration::from_micros(100);

impl Patience {
    /// Looks for a log write as long as `look`, for other executors as long as `cores`.
    pub fn new(look: Duration, cores: Duration) -> Patience {
        Patience { log: look, others: look.min(OTHERS_LOOK_MAX), cores }
    }

    /// Whether it looks at all.
    fn looks(self) -> bool {
        !self.log.is_zero()
    }
}

/// How a turn loop ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Everything in flight is done.
    Quiet,
    /// Something was still in flight when time was up.
    Hurried,
    /// The process must stop.
    Fatal(Failure),
}

/// How long an orderly end may take until what is in flight is given up.
const STOP_PATIENCE: Duration = Duration::from_millis(600);

/// Turns the replica until `stop` is set and nothing is in flight. `stopping` is called once,
/// when that begins; `moving` when clients are to connect elsewhere.
pub fn turn(
    host: Rc<Host>,
    patience: Patience,
    stop: StopFlag,
    stopping: impl FnOnce(),
    moving: impl Fn(Vec<TcpListener>),
) -> Ended {
    let reactor = host.reactor();
    match turns(&host, &reactor, patience, stop, stopping, moving) {
        Ok(ended) => ended,
        Err(error) => {
            Ended::Fatal(format!("the ring of the sockets cannot be used: {error}").into())
        }
    }
}

fn turns(
    host: &Rc<Host>,
    reactor: &Reactor,
    patience: Patience,
    stop: StopFlag,
    stopping: impl FnOnce(),
    moving: impl Fn(Vec<TcpListener>),
) -> Result<Ended, RingError> {
    let mut stopping = Some(stopping);
    let mut deadline = None;
    let mut crowd = Crowd::new(Instant::now(), patience.looks());
    let mut crowding = Crowding::Nobody;
    loop {
        // What it was stirred for until now, this turn sees.
        let _ = reactor.take_stirred();
        let ended = host.turn();
        if let Some(failure) = host.fatal() {
            return Ok(Ended::Fatal(failure));
        }
        if let Some(sockets) = host.new_sockets()
            && stopping.is_some()
        {
            moving(sockets);
        }
        if stop.take_summary_wish() {
            host.say_state();
        }
        if stop.is_set()
            && let Some(stopping) = stopping.take()
        {
            stopping();
            host.shutdown();
            deadline = Some(Instant::now() + STOP_PATIENCE);
        }
        if let Some(deadline) = deadline {
            if host.is_quiet() {
                return Ok(Ended::Quiet);
            }
            if Instant::now() >= deadline {
                return Ok(Ended::Hurried);
            }
        }
        let due = host.next_timeout();
        if due.is_some_and(|at| at <= ended) {
            host.goes_on(ended);
            // Slices of a snapshot, say: the sockets get their turn in between.
            reactor.dispatch()?;
            continue;
        }
        let due = due.map(|at| host.clock().instant_of(at));
        let until = [due, deadline].into_iter().flatten().min();
        let writes = host.log_writes_in_flight() > 0;
        let had_mail = reactor.take_had_mail();
        let awaits = writes || host.awaits_others() || had_mail;
        let before = crowding;
        let now = Instant::now();
        if awaits {
            crowding = crowd.at(now);
        }
        if crowding != before {
            host.write_log_by_thread(crowding == Crowding::Neighbours);
            set_slices(crowding.slices());
        }
        let long = match () {
            () if writes => patience.log,
            () if host.awaits_others() => patience.others,
            () => patience.cores,
        };
        let long = if awaits { crowd.look(now, long) } else { Duration::ZERO };
        if !look(host, reactor, &mut crowd, long, until)? && (!writes || host.park_log()) {
            reactor.sleep(until)?;
        }
        if writes {
            host.unpark_log();
        }
        reactor.dispatch()?;
    }
}

/// Looks for what has happened, for so `long`; true if something has.
fn look(
    host: &Host,
    reactor: &Reactor,
    crowd: &mut Crowd,
    long: Duration,
    until: Option<Instant>,
) -> Result<bool, RingError> {
    if long.is_zero() {
        return Ok(false);
    }
    let started = Instant::now();
    let mut last = started;
    // Nobody waits for a thread that looks whether there will be anything to do.
    let is_awaited = host.log_writes_in_flight() > 0 || host.awaits_others();
    let threshold = host.stall_threshold().filter(|_| is_awaited).unwrap_or(Duration::MAX);
    let end = until.map_or(started + long, |until| until.min(started + long));
    let taken = || ThreadUse::read().preemptions;
    crowd.begin(taken);
    while last < end {
        if host.reap() {
            host.was_awake(last);
            return Ok(true);
        }
        if reactor.has_events() {
            host.was_awake(last);
            reactor.dispatch()?;
        }
        if reactor.take_stirred() {
            return Ok(true);
        }
        // Not a courtesy: the kernel ends a direct write with O_DSYNC in a worker thread on the
        // processor that took the interrupt. If that is this one, a thread that only looks keeps its
        // own completion from happening until the next tick of the scheduler, 4 ms
        // (benches/log_ring.rs shows it).
        std::thread::yield_now();
        let before = std::mem::replace(&mut last, Instant::now());
        crowd.looked(before, last, taken);
        if last - before >= threshold {
            host.was_held(before, last);
        }
    }
    Ok(false)
}
