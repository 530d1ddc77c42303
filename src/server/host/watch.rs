//! The clock of the replica's thread, and the watch on whether the thread runs when it should.
//!
//! [`Stalls`] decides what a stall is, and reads no clock. The watch reads the clocks for it, and logs and counts
//! what it finds. All events until the end of a turn get one reading of the clock.

use std::time::{Duration, Instant};

use super::super::stalls::{Ms, SpanWork, Stall, Stalls, TurnPart};
use crate::io::Op;
use crate::metrics;
use crate::replica::{Output, Replica};
use crate::runtime::{Clock, ThreadUse, Timer};
use crate::time::{MonoUs, Now};

/// The clock of one thread, and the watch on it.
pub struct Watch {
    /// The clock whose readings the replica gets.
    clock: Clock,
    /// The time at the first event since the last turn; `None`: there was none.
    now: Option<Now>,
    /// Finds the stalls.
    stalls: Stalls,
    /// The stalls for `mntr`; `srst` resets it.
    pub counted: metrics::Stalls,
    /// Fires when this thread should be awake; set while turns have something to do. Without it, a thread that is
    /// stopped while it sleeps would show nothing.
    beat: Option<Timer>,
    /// Whether a turn had something to do since the beat was set. The turn that follows the beat itself does not
    /// count: an idle server would wake for ever.
    had_cause: bool,
}

impl Watch {
    /// A watch that records pauses of `stall_ms` or more as stalls; none if 0.
    pub fn new(stall_ms: u32, clock: Clock) -> Watch {
        Watch {
            clock,
            now: None,
            stalls: Stalls::new(stall_ms, clock.mono(), ThreadUse::read()),
            counted: metrics::Stalls::default(),
            beat: None,
            had_cause: false,
        }
    }

    /// The time, read once for all events until the end of the next turn: a reading costs as much as a small
    /// read request.
    pub fn now(&mut self) -> Now {
        if let Some(now) = self.now {
            return now;
        }
        let now = self.clock.now();
        self.now = Some(now);
        if self.stalls.begin(now.mono) {
            self.stalls.read(now.mono, ThreadUse::read());
        }
        now
    }

    /// Makes the next event read the clock again.
    pub fn forget_now(&mut self) {
        self.now = None;
    }

    /// Begins a turn. Returns the time, and for how long the thread has been kept from running so far, in µs: the
    /// replica does not hold that time against others.
    pub fn begin_turn(&mut self, has_completions: bool) -> (Now, u64) {
        // Requests and bytes of other servers have read the clock.
        if self.now.take().is_some() || has_completions {
            self.had_cause = true;
        }
        let now = self.now();
        self.stalls.mark(TurnPart::Requests, now.mono);
        let held_us = match self.stalls.is_long_already(now.mono) {
            true => self.stalls.held_us_with_span(now.mono, ThreadUse::read()),
            false => self.stalls.held_us(),
        };
        (now, held_us)
    }

    /// Ends a turn whose last part was `last`. Returns the time.
    pub fn end_turn(&mut self, last: TurnPart) -> MonoUs {
        let ended = self.clock.mono();
        if let Some(stall) = self.stalls.end(last, ended) {
            self.report(&stall, ended);
        }
        ended
    }

    /// Counts the time since the last mark as time of `part`.
    pub fn mark(&mut self, part: TurnPart) {
        if self.stalls.is_on() {
            self.stalls.mark(part, self.clock.mono());
        }
    }

    /// Notes that the turn has something to do.
    pub fn note_cause(&mut self) {
        self.had_cause = true;
    }

    /// The work of the present span, to be added to.
    pub fn work(&mut self) -> &mut SpanWork {
        self.stalls.work()
    }

    /// Adds the work of a turn to that of the span. `before` holds the expired sessions and the applied
    /// transactions before the turn.
    pub fn note_work(&mut self, replica: &Replica, before: (u64, u64), output: &Output) {
        if !self.stalls.is_on() {
            return;
        }
        let work = self.stalls.work();
        let stats = replica.stats();
        work.expired += stats.sessions_expired.saturating_sub(before.0);
        work.applied += stats.txns_applied.saturating_sub(before.1);
        for send in &output.sends {
            work.bytes_out += send.bytes.len() as u64;
        }
        for op in &output.ops {
            // Only bytes that the disk has to take count as work; the other operations are few.
            match op {
                Op::LogWrite { bytes, .. } => work.log_bytes += u64::from(*bytes),
                Op::SnapshotWrite { bytes, .. } => work.snapshot_bytes += bytes.len() as u64,
                Op::SegmentPrepare { .. }
                | Op::SegmentName { .. }
                | Op::SegmentClose { .. }
                | Op::SnapshotCreate { .. }
                | Op::SnapshotCommit { .. }
                | Op::SnapshotAbandon { .. }
                | Op::FileReplace { .. }
                | Op::Remove { .. } => {}
            }
        }
    }

    /// Notes that the next turn follows without sleep.
    pub fn goes_on(&mut self, ended: MonoUs) {
        if self.stalls.goes_on() {
            self.stalls.read(ended, ThreadUse::read());
        }
    }

    /// Notes that the thread was awake at `last`, and does not sleep before the next turn.
    pub fn was_awake(&mut self, last: Instant) {
        self.stalls.awake(self.clock.mono_of(last));
    }

    /// Notes that the thread looked for a log write at `from`, and could not look again before `to`. Reports a stall
    /// if that took long.
    pub fn was_held(&mut self, from: Instant, to: Instant) {
        let (from, to) = (self.clock.mono_of(from), self.clock.mono_of(to));
        if let Some(stall) = self.stalls.looked(from, to) {
            self.report(&stall, to);
        }
    }

    /// Begins a beat if turns had something to do and none is under way: after the returned time the thread
    /// should be awake.
    pub fn begin_beat(&mut self) -> Option<Duration> {
        if !self.had_cause || self.beat.is_some() {
            return None;
        }
        // As long as a stall: a shorter pause would not be one, and a longer beat would miss some.
        let period = self.threshold()?;
        self.stalls.due(Some(self.clock.mono_of(Instant::now() + period)));
        self.had_cause = false;
        Some(period)
    }

    /// Keeps the timer of the beat: dropping it would stop it.
    pub fn keep_beat(&mut self, beat: Timer) {
        self.beat = Some(beat);
    }

    /// The timer of the beat has fired. Reports a stall if it is late.
    pub fn on_beat(&mut self) {
        self.beat = None;
        let now = self.clock.mono();
        if let Some(stall) = self.stalls.on_due(now) {
            self.report(&stall, now);
        }
        if !self.had_cause {
            self.stalls.due(None);
        }
    }

    /// The length from which a pause of the thread is a stall; `None`: no stalls are recorded.
    pub fn threshold(&self) -> Option<Duration> {
        self.stalls.is_on().then(|| Duration::from_micros(self.stalls.threshold_us()))
    }

    /// The clock whose readings the replica gets.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Counts a stall, and logs it if it deserves a line.
    fn report(&mut self, stall: &Stall, now: MonoUs) {
        // Counted whether or not it gets a line.
        let (cause, had) = self.stalls.cause(stall, now, ThreadUse::read());
        self.counted.record(stall.us / 1000, cause.is_held_off(), cause.is_waiting());
        let ran_ms = millis(had.ran);
        let queued_ms = had.queued.map(millis);
        macro_rules! line {
            ($level:ident, $($unsaid:tt)*) => {
                tracing::$level!(
                    ran_ms,
                    queued_ms,
                    parts = stall.parts(),
                    work = %stall.work,
                    waits = had.waits,
                    preemptions = had.preemptions,
                    page_reads = had.page_reads,
                    $($unsaid)*
                    "nobody was served for {} ms: {}; mostly {}",
                    Ms(stall.us),
                    cause.describe(),
                    stall.mostly().describe()
                )
            };
        }
        // A stall without a line of its own is logged for developers only.
        match self.stalls.say(stall, now) {
            Some(say) => {
                line!(
                    warn,
                    unsaid = say.unsaid,
                    unsaid_ms_max = millis(Duration::from_micros(say.unsaid_us_max)),
                );
            }
            None => line!(debug,),
        }
    }
}

/// Milliseconds with one decimal, as the log shows them.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
