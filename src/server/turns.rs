//! The loop that turns the replica, and how the loop waits.
//!
//! While a group of the log is being written, or other servers have a question to answer, the loop looks at the rings
//! again and again for a short time: an event that it finds that way costs no system call and no wake-up, which
//! together cost as much as the write itself. The loop must not keep a processor from other threads, so it yields
//! after each look, and after a while it sleeps until the kernel rings the executor's bell. If other threads do not
//! give the processor back ([`Crowd`]), it sleeps at once, and beside busy neighbours a thread writes the log.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::again::Failure;
use super::crowd::{Crowd, Crowding};
use super::host::Host;
use crate::runtime::{Reactor, RingError, StopFlag, ThreadUse, set_slices};

/// How long the loop looks for events that clients wait for, before it sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// How long the loop looks for a log write before it sleeps. Zero: it sleeps at once, except for one look now and
    /// then, which shows whether other threads want the processor.
    log: Duration,
    /// How long the loop looks for bytes of other servers; at most `log`.
    others: Duration,
    /// How long an executor looks for messages of other executors. Zero: there are none.
    pub cores: Duration,
}

/// The longest time for which the loop looks for an answer of another server. The answer takes a few wake-ups and a
/// disk write there; looking can only save the last wake-up. 100 µs did as well as 500 µs, and costs less.
const OTHERS_LOOK_MAX: Duration = Duration::from_micros(100);

impl Patience {
    /// Looks for a log write for `look`, for another server no longer than [`OTHERS_LOOK_MAX`], and for messages of
    /// other executors for `cores`.
    pub fn new(look: Duration, cores: Duration) -> Patience {
        Patience { log: look, others: look.min(OTHERS_LOOK_MAX), cores }
    }

    /// Whether the loop looks at all.
    fn looks(self) -> bool {
        !self.log.is_zero()
    }
}

/// How the loop ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing was in flight any more.
    Quiet,
    /// Something was still in flight when the time for an orderly end was over.
    Hurried,
    /// The process must stop, for this reason.
    Fatal(Failure),
}

/// How long an orderly end waits for what is in flight.
const STOP_PATIENCE: Duration = Duration::from_millis(600);

/// Turns the replica until `stop` is set and nothing is in flight, or until it must stop. Calls `stopping` once, when
/// `stop` is set, and `moving` with the new sockets when the address of the clients changes.
pub fn turn(
    host: &mut Host,
    patience: Patience,
    stop: StopFlag,
    stopping: impl FnOnce(),
    moving: impl Fn(Vec<TcpListener>),
) -> Ended {
    let reactor = host.entrance().reactor();
    match turns(host, &reactor, patience, stop, stopping, moving) {
        Ok(ended) => ended,
        Err(error) => {
            Ended::Fatal(format!("the ring of the sockets cannot be used: {error}").into())
        }
    }
}

/// The loop itself.
///
/// # Errors
/// The ring of the sockets cannot be used.
fn turns(
    host: &mut Host,
    reactor: &Reactor,
    patience: Patience,
    stop: StopFlag,
    stopping: impl FnOnce(),
    moving: impl Fn(Vec<TcpListener>),
) -> Result<Ended, RingError> {
    // Each is called or set at most once; `deadline` is the end of the patience with what is in flight.
    let mut stopping = Some(stopping);
    let mut deadline = None;
    let mut crowd = Crowd::new(Instant::now(), patience.looks());
    let mut crowding = Crowding::Nobody;
    loop {
        // This turn handles everything for which the reactor was stirred until now. What comes during the turn stirs
        // it again, so that nothing waits for a later event.
        let _ = reactor.take_stirred();
        let ended = host.turn();
        if let Some(failure) = host.fatal() {
            return Ok(Ended::Fatal(failure));
        }
        // A server that stops accepts nobody at the new address, either.
        if let Some(sockets) = host.new_sockets()
            && stopping.is_some()
        {
            moving(sockets);
        }
        // A signal asks for a summary in the log, also on a server that answers no four-letter word.
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
        // Checked after the turn, whose output may be the last thing in flight.
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
            // The replica has more work, such as slices of a snapshot: the sockets get their turn in between.
            reactor.dispatch()?;
            continue;
        }
        let due = due.map(|at| host.clock().instant_of(at));
        // Whatever happens, the loop wakes for its next timer and for the end of its patience.
        let until = [due, deadline].into_iter().flatten().min();
        let writes = host.log_writes_in_flight() > 0;
        // Where messages of other executors came a moment ago, more may follow.
        let had_mail = reactor.take_had_mail();
        let awaits = writes || host.awaits_others() || had_mail;
        let before = crowding;
        let now = Instant::now();
        // Only then does it matter who wants the processor.
        if awaits {
            crowding = crowd.at(now);
        }
        // Only when it changes: both cost system calls.
        if crowding != before {
            host.write_log_by_thread(crowding == Crowding::Neighbours);
            set_slices(crowding.slices());
        }
        // The longest look is for a log write, because clients wait for it.
        let long = match () {
            () if writes => patience.log,
            () if host.awaits_others() => patience.others,
            () => patience.cores,
        };
        let long = if awaits { crowd.look(now, long) } else { Duration::ZERO };
        // The bell is armed only before a sleep: while the loop looks, it needs none.
        if !look(host, reactor, &mut crowd, long, until)? && (!writes || host.park_log()) {
            reactor.sleep(until)?;
        }
        if writes {
            host.unpark_log();
        }
        reactor.dispatch()?;
    }
}

/// Looks for events for so `long`, but not beyond `until`. Returns whether there is one.
fn look(
    host: &mut Host,
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
    // If neither the disk nor another server is awaited, no client waits, and a pause is no stall.
    let is_awaited = host.log_writes_in_flight() > 0 || host.awaits_others();
    let threshold = host.stall_threshold().filter(|_| is_awaited).unwrap_or(Duration::MAX);
    // A look never delays a timer.
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
        // The yield is necessary: the kernel ends a direct write with O_DSYNC in a worker thread on the processor
        // that took the interrupt. If that is this processor, a thread that never yields delays its own completion
        // until the next tick of the scheduler, 4 ms (benches/log_ring.rs shows it).
        std::thread::yield_now();
        let before = std::mem::replace(&mut last, Instant::now());
        crowd.looked(before, last, taken);
        if last - before >= threshold {
            host.was_held(before, last);
        }
    }
    Ok(false)
}
