//! The task that turns the replica, and how it waits for the log.
//!
//! While a group is being written the task looks at the log ring again and again, briefly: a
//! completion seen that way costs no system call and no wake-up, which together cost as much as
//! the write itself. What it must not do is to keep a core from others for long, so it lets the
//! sockets have their turn in between, and after a while it sleeps: the kernel then rings the
//! executor's bell with the completion.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::host::Host;
use crate::runtime::{Reactor, StopFlag, thread_cpu_time};

/// How the turn task waits for a log write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogWait {
    /// How long it looks by itself before it sleeps. Zero: it always sleeps at once.
    look: Duration,
}

impl LogWait {
    /// Looks for as long as `look`.
    pub const fn new(look: Duration) -> LogWait {
        LogWait { look }
    }
}

/// Whether looking pays: it does on a processor that nobody else wants. Where others do (several
/// servers of an ensemble on one small machine), each look takes from them what this server waits for,
/// and the scheduler then makes it wait for its own turn, where it lets a thread that slept run at
/// once.
#[derive(Debug, Default)]
struct Contention {
    /// Time of looking in this window, and what this thread had of it.
    looked: Duration,
    had: Duration,
    /// No looking before this.
    pause_until: Option<Instant>,
}

/// Time of looking over which is judged.
const CONTENTION_WINDOW: Duration = Duration::from_millis(20);

/// How long nothing is looked for after that: a try costs a hundredth then.
const CONTENTION_PAUSE: Duration = Duration::from_secs(2);

impl Contention {
    /// Whether to look now.
    fn allows(&mut self, now: Instant) -> bool {
        if self.pause_until.is_some_and(|until| now < until) {
            return false;
        }
        self.pause_until = None;
        true
    }

    /// A look took this long, and this thread had so much of it. More than a third for others is
    /// more than the kernel's own threads take, which end the write that is waited for.
    fn note(&mut self, now: Instant, looked: Duration, had: Duration) {
        self.looked += looked;
        self.had += had;
        if self.looked < CONTENTION_WINDOW {
            return;
        }
        if self.had < self.looked * 2 / 3 {
            self.pause_until = Some(now + CONTENTION_PAUSE);
        }
        (self.looked, self.had) = (Duration::ZERO, Duration::ZERO);
    }
}

/// How a turn loop ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Everything in flight is done.
    Quiet,
    /// Something was still in flight when time was up.
    Hurried,
    /// The process must stop with this reason.
    Fatal(String),
}

/// How long an orderly end may take until what is in flight is given up.
const STOP_PATIENCE: Duration = Duration::from_millis(600);

/// Turns the replica until `stop` is set and nothing is in flight. `stopping` is called once,
/// when that begins; `moving` when clients are to connect elsewhere.
pub async fn turn(
    host: Rc<Host>,
    wait: LogWait,
    stop: StopFlag,
    stopping: impl AsyncFnOnce(),
    moving: impl AsyncFn(Vec<TcpListener>),
) -> Ended {
    let reactor = host.reactor();
    match turns(&host, &reactor, wait, stop, stopping, moving).await {
        Ok(ended) => ended,
        Err(error) => Ended::Fatal(format!("the ring of the sockets cannot be used: {error}")),
    }
}

async fn turns(
    host: &Rc<Host>,
    reactor: &Reactor,
    wait: LogWait,
    stop: StopFlag,
    stopping: impl AsyncFnOnce(),
    moving: impl AsyncFn(Vec<TcpListener>),
) -> io::Result<Ended> {
    let mut stopping = Some(stopping);
    let mut deadline = None;
    let mut contention = Contention::default();
    loop {
        let ended = host.turn();
        if let Some(reason) = host.fatal() {
            return Ok(Ended::Fatal(reason));
        }
        if let Some(sockets) = host.new_sockets()
            && stopping.is_some()
        {
            moving(sockets).await;
        }
        if stop.is_set()
            && let Some(stopping) = stopping.take()
        {
            stopping().await;
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
            reactor.breathe().await;
            reactor.dispatch()?;
            continue;
        }
        let due = due.map(|at| host.clock().instant_of(at));
        let until = [due, deadline].into_iter().flatten().min();
        if host.log_writes_in_flight() > 0 {
            // A server that stands alone has its machine's processors, or shares them with clients.
            let judged = host.links().count() > 0;
            let started = Instant::now();
            let look = !judged || contention.allows(started);
            let had = (judged && look).then(thread_cpu_time);
            let seen = look && look_for_log(host, reactor, wait, started, until).await?;
            if let Some(had) = had {
                let now = Instant::now();
                contention.note(now, now - started, thread_cpu_time() - had);
            }
            if !seen {
                if host.park_log() {
                    reactor.sleep(until).await?;
                }
                host.unpark_log();
            }
        } else {
            reactor.sleep(until).await?;
        }
        reactor.dispatch()?;
    }
}

/// Time of looking before other tasks of the executor get their turn.
const LOOK_AT_ONCE: Duration = Duration::from_micros(6);

/// Looks for a completed log write; true if there is one, or anything else happened.
async fn look_for_log(
    host: &Host,
    reactor: &Reactor,
    wait: LogWait,
    started: Instant,
    until: Option<Instant>,
) -> io::Result<bool> {
    let mut last = started;
    let mut breathed = started;
    let threshold = host.stall_threshold().unwrap_or(Duration::MAX);
    let end = until.map_or(started + wait.look, |until| until.min(started + wait.look));
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
        if last - breathed >= LOOK_AT_ONCE {
            breathed = last;
            reactor.breathe().await;
        }
        let before = std::mem::replace(&mut last, Instant::now());
        if last - before >= threshold {
            host.was_held(before, last);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_pauses_where_others_want_the_processor_and_is_tried_again() {
        let began = Instant::now();
        let mut contention = Contention::default();
        let look = Duration::from_millis(1);
        for _ in 0..100 {
            contention.note(began, look, look * 9 / 10);
            assert!(contention.allows(began));
        }
        for _ in 0..20 {
            assert!(contention.allows(began));
            contention.note(began, look, look / 2);
        }
        assert!(!contention.allows(began));
        assert!(!contention.allows(began + CONTENTION_PAUSE - look));
        assert!(contention.allows(began + CONTENTION_PAUSE));
    }
}
