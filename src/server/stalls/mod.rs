//! Finds stalls: times in which the replica had something to do, or should have been awake, and served no client.
//!
//! This module reads no clock: the host passes the time, which it mostly reads anyway. A span begins with the first
//! event after a turn and ends with the next turn. The thread does not choose to sleep within a span, so all of that
//! time is work, or time in which the thread was kept from running. A sleeping thread shows nothing, except when a
//! timer is due ([`Stalls::due`]): if the thread runs later, it was kept from running since then.
//!
//! To wait asleep for clients or for the disk is no stall, however long it takes.

mod cause;
mod lines;
mod span;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use cause::Cause;
pub use lines::Say;
pub use span::{Ms, SpanWork, Stall, TurnPart};

use lines::Lines;

use crate::limits::STALL_UNAWAITED_MS_MIN;
use crate::runtime::ThreadUse;
use crate::time::MonoUs;

/// When a span begins, the last reading of [`ThreadUse`] is not older than this. A reading costs a microsecond,
/// so readings take a twentieth of a per cent of the time.
const READING_AGE_US_MAX: u64 = 2_000;

/// The spans of the replica's thread, and the stalls among them.
#[derive(Debug)]
pub struct Stalls {
    /// The length from which a span is a stall, in µs; 0: no stalls are recorded.
    threshold_us: u64,
    /// The beginning of the span under way; `None`: none is.
    since: Option<MonoUs>,
    /// The end of what `parts` holds of the span.
    marked: MonoUs,
    /// The time of the span, in µs, by [`TurnPart`].
    parts: [u64; TurnPart::ALL.len()],
    /// The work of the span.
    work: SpanWork,
    /// The end of the last span.
    ended: MonoUs,
    /// The time at which the thread should be awake, whatever else happens. Stays after that time, until it is set
    /// again.
    due: Option<MonoUs>,
    /// The time at which the thread was last known to be awake, if it has not slept since; for the next span.
    awake: Option<MonoUs>,
    /// The last reading, and its time. The next reading is compared with it.
    reading: (MonoUs, ThreadUse),
    /// How long the thread should have run and did not, in µs, since it began. Never falls.
    held_us: u64,
    /// Decides which stalls get a line.
    lines: Lines,
}

impl Stalls {
    /// No span is under way at `now`. Records stalls of `threshold_ms` or more, none if 0; `used` is a reading.
    pub fn new(threshold_ms: u32, now: MonoUs, used: ThreadUse) -> Stalls {
        Stalls {
            threshold_us: u64::from(threshold_ms) * 1000,
            since: None,
            marked: now,
            parts: [0; TurnPart::ALL.len()],
            work: SpanWork::default(),
            ended: now,
            due: None,
            awake: None,
            reading: (now, used),
            held_us: 0,
            lines: Lines::new(),
        }
    }

    /// Whether stalls are recorded; if not, no other method needs to be called.
    pub fn is_on(&self) -> bool {
        self.threshold_us > 0
    }

    /// The length from which a span is a stall, in µs.
    pub fn threshold_us(&self) -> u64 {
        self.threshold_us
    }

    /// An event has happened: a span begins, unless one is under way. Returns whether the caller should pass a new
    /// reading.
    #[inline]
    pub fn begin(&mut self, now: MonoUs) -> bool {
        let awake = self.awake.take();
        if !self.is_on() || self.since.is_some() {
            return false;
        }
        let since = self.awake_since(awake.or(self.due), now).unwrap_or(now);
        self.since = Some(since);
        self.marked = since;
        if since < now {
            self.held_us += now.since_us(since);
            // The reading from before the pause is the one to compare with.
            self.mark(if awake.is_some() { TurnPart::Look } else { TurnPart::Held }, now);
            return false;
        }
        now.since_us(self.reading.0) > READING_AGE_US_MAX
    }

    /// Since when the thread should have run, if that is at least the threshold ago.
    fn awake_since(&self, awake: Option<MonoUs>, now: MonoUs) -> Option<MonoUs> {
        let since = awake?.max(self.ended);
        (now.since_us(since) >= self.threshold_us && now > since).then_some(since)
    }

    /// Keeps a new reading, with which the next one is compared.
    pub fn read(&mut self, now: MonoUs, used: ThreadUse) {
        self.reading = (now, used);
    }

    /// Counts the time since the last mark as time of `part`.
    #[inline]
    pub fn mark(&mut self, part: TurnPart, now: MonoUs) {
        self.parts[part as usize] += now.since_us(self.marked);
        self.marked = now;
    }

    /// The work of the present span, to be added to.
    pub fn work(&mut self) -> &mut SpanWork {
        &mut self.work
    }

    /// Ends the span with its turn, whose last part was `part`. Returns the span if it was a stall.
    #[inline]
    pub fn end(&mut self, part: TurnPart, now: MonoUs) -> Option<Stall> {
        let since = self.since.take()?;
        self.mark(part, now);
        self.ended = now;
        let parts = std::mem::take(&mut self.parts);
        let work = std::mem::take(&mut self.work);
        let us = now.since_us(since);
        (us >= self.threshold_us).then_some(Stall { us, parts, work })
    }

    /// A turn has ended, and the next one follows without sleep, so a span begins. Returns whether the caller should
    /// pass a new reading.
    pub fn goes_on(&mut self) -> bool {
        if !self.is_on() {
            return false;
        }
        self.since = Some(self.ended);
        self.marked = self.ended;
        self.ended.since_us(self.reading.0) > READING_AGE_US_MAX
    }

    /// Notes that the thread was awake at `at`, and does not sleep before the next span.
    pub fn awake(&mut self, at: MonoUs) {
        self.awake = Some(at);
    }

    /// The thread looked for a log write at `from`, and not again before `to`. Returns a stall if that was long.
    pub fn looked(&mut self, from: MonoUs, to: MonoUs) -> Option<Stall> {
        self.paused(TurnPart::Look, from, to)
    }

    /// The thread did not run between two times at which no span was under way.
    fn paused(&mut self, part: TurnPart, from: MonoUs, to: MonoUs) -> Option<Stall> {
        if !self.is_on() || self.since.is_some() || to.since_us(from) < self.threshold_us {
            return None;
        }
        let since = from.max(self.ended);
        (self.since, self.marked) = (Some(since), since);
        self.held_us += to.since_us(since);
        self.end(part, to)
    }

    /// Sets the time at which the thread should be awake, whatever happens before; `None`: at no time.
    pub fn due(&mut self, at: Option<MonoUs>) {
        self.due = at;
    }

    /// The timer that was due has fired. Returns a stall if it is late, and no event came before it.
    pub fn on_due(&mut self, now: MonoUs) -> Option<Stall> {
        if !self.is_on() || self.since.is_some() {
            // The turn that follows records the whole span.
            return None;
        }
        let since = self.awake_since(self.due, now)?;
        self.paused(TurnPart::Held, since, now)
    }

    /// Why the server stalled, and how the thread used the machine meanwhile; `used` is a reading at the end of
    /// the stall.
    pub fn cause(&mut self, stall: &Stall, now: MonoUs, used: ThreadUse) -> (Cause, ThreadUse) {
        let (_, before) = std::mem::replace(&mut self.reading, (now, used));
        let mut had = used.since(before);
        // The reading before may be a little older than the stall.
        had.ran = had.ran.min(Duration::from_micros(stall.us));
        had.queued = had.queued.map(|queued| queued.min(Duration::from_micros(stall.us) - had.ran));
        let cause = Cause::of(stall, had);
        if cause.is_held_off() {
            let away_us = stall.us.saturating_sub(micros(had.ran));
            self.held_us += away_us.saturating_sub(stall.began_late_us());
        }
        (cause, had)
    }

    /// Whether the span under way is already so long that its cause must be known before it ends: something that
    /// the turn handles may have waited for all of it.
    pub fn is_long_already(&self, now: MonoUs) -> bool {
        let long_us = STALL_UNAWAITED_MS_MIN * 1000;
        self.is_on() && self.since.is_some_and(|since| now.since_us(since) >= long_us)
    }

    /// [`Stalls::held_us`], and what the span under way adds to it according to the reading `used`. The end of
    /// the span counts that time once.
    pub fn held_us_with_span(&self, now: MonoUs, used: ThreadUse) -> u64 {
        let Some(since) = self.since else { return self.held_us };
        let stall = Stall { us: now.since_us(since), parts: self.parts, work: self.work };
        let had = used.since(self.reading.1);
        let ran_us = micros(had.ran).min(stall.us);
        match Cause::of(&stall, had).is_held_off() {
            true => self.held_us + (stall.us - ran_us).saturating_sub(stall.began_late_us()),
            false => self.held_us,
        }
    }

    /// How long, in µs, the thread should have run and did not, since it began. If this grows between two events,
    /// the disk or another server did not need that time.
    pub fn held_us(&self) -> u64 {
        self.held_us
    }

    /// Whether `stall` gets a line in the log, and what that line says about earlier stalls.
    pub fn say(&mut self, stall: &Stall, now: MonoUs) -> Option<Say> {
        self.lines.say(stall, now)
    }
}

/// The duration in whole microseconds.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
