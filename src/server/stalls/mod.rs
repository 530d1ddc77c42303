//! When the server stood still: the replica had something to do, or should have been awake, and for
//! so long nobody was served.
//!
//! Everything here is told the time; the host reads clocks, most of which it reads anyway. A span
//! begins with the first event after the end of a turn and ends with the end of the next turn. In
//! between the thread never sleeps of its own will, so all of it is work or being held off. While the
//! thread sleeps nothing can be said of it, save by a promise: a timer that is due. [`Stalls::due`]
//! takes it, and whoever runs later than that was held off since.
//!
//! Not a stall: to wait asleep for clients or the disk, however long.

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

/// A reading of what the thread had of the machine is not older than this when a span begins. A
/// reading costs a microsecond, so this is a twentieth of a per cent.
const READING_AGE_US_MAX: u64 = 2_000;

/// See the module's words.
#[derive(Debug)]
pub struct Stalls {
    /// 0: nothing is looked for.
    threshold_us: u64,
    /// The span under way: since when.
    since: Option<MonoUs>,
    /// Up to where its time is in `parts`.
    marked: MonoUs,
    parts: [u64; TurnPart::ALL.len()],
    work: SpanWork,
    /// End of the last span.
    ended: MonoUs,
    /// When the thread was to be awake, whatever else happens. Once passed, it stays until moved.
    due: Option<MonoUs>,
    /// The thread was awake then, and has not slept since; for the next span.
    awake: Option<MonoUs>,
    /// Of which the differences are taken, and when it was read.
    reading: (MonoUs, ThreadUse),
    /// How long the thread was to run and did not, since it began.
    held_us: u64,
    lines: Lines,
}

impl Stalls {
    /// Looks for stalls of so many ms or more; of none if 0.
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

    /// Whether stalls are looked for at all; if not, nothing else here needs to be called.
    pub fn is_on(&self) -> bool {
        self.threshold_us > 0
    }

    /// From which length on.
    pub fn threshold_us(&self) -> u64 {
        self.threshold_us
    }

    /// Something happened: a span begins, unless one is under way. True: a new reading is wanted.
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
            // The reading before it is the one to compare with.
            self.mark(if awake.is_some() { TurnPart::Look } else { TurnPart::Held }, now);
            return false;
        }
        now.since_us(self.reading.0) > READING_AGE_US_MAX
    }

    /// Since when the thread should have run, if that is a threshold ago.
    fn awake_since(&self, awake: Option<MonoUs>, now: MonoUs) -> Option<MonoUs> {
        let since = awake?.max(self.ended);
        (now.since_us(since) >= self.threshold_us && now > since).then_some(since)
    }

    /// A new reading.
    pub fn read(&mut self, now: MonoUs, used: ThreadUse) {
        self.reading = (now, used);
    }

    /// The time since the last mark went to `step`.
    #[inline]
    pub fn mark(&mut self, step: TurnPart, now: MonoUs) {
        self.parts[step as usize] += now.since_us(self.marked);
        self.marked = now;
    }

    /// What is being done.
    pub fn work(&mut self) -> &mut SpanWork {
        &mut self.work
    }

    /// The turn has ended, its last part was `step`. Says whether the span was a stall.
    #[inline]
    pub fn end(&mut self, step: TurnPart, now: MonoUs) -> Option<Stall> {
        let since = self.since.take()?;
        self.mark(step, now);
        self.ended = now;
        let parts = std::mem::take(&mut self.parts);
        let work = std::mem::take(&mut self.work);
        let us = now.since_us(since);
        (us >= self.threshold_us).then_some(Stall { us, parts, work })
    }

    /// After the end of a turn: the next one follows without sleeping. True: a new reading is wanted.
    pub fn goes_on(&mut self) -> bool {
        if !self.is_on() {
            return false;
        }
        self.since = Some(self.ended);
        self.marked = self.ended;
        self.ended.since_us(self.reading.0) > READING_AGE_US_MAX
    }

    /// The thread was awake at `at`, and does not sleep before the next span.
    pub fn awake(&mut self, at: MonoUs) {
        self.awake = Some(at);
    }

    /// The thread looked for a log write at `from`, and again at `to` only.
    pub fn looked(&mut self, from: MonoUs, to: MonoUs) -> Option<Stall> {
        self.unheard(TurnPart::Look, from, to)
    }

    fn unheard(&mut self, step: TurnPart, from: MonoUs, to: MonoUs) -> Option<Stall> {
        if !self.is_on() || self.since.is_some() || to.since_us(from) < self.threshold_us {
            return None;
        }
        let since = from.max(self.ended);
        (self.since, self.marked) = (Some(since), since);
        self.held_us += to.since_us(since);
        self.end(step, to)
    }

    /// The thread will be awake at `at`, whatever happens before.
    pub fn due(&mut self, at: Option<MonoUs>) {
        self.due = at;
    }

    /// What was due has come. A stall if it is late, and nothing in between has said why.
    pub fn on_due(&mut self, now: MonoUs) -> Option<Stall> {
        if !self.is_on() || self.since.is_some() {
            // A turn follows; it sees it all.
            return None;
        }
        let since = self.awake_since(self.due, now)?;
        self.unheard(TurnPart::Held, since, now)
    }

    /// Why the server stood still, by a reading at its end.
    pub fn cause(&mut self, stall: &Stall, now: MonoUs, used: ThreadUse) -> (Cause, ThreadUse) {
        let (_, before) = std::mem::replace(&mut self.reading, (now, used));
        let mut had = used.since(before);
        // The reading may be a little older than the stall.
        had.ran = had.ran.min(Duration::from_micros(stall.us));
        had.queued = had.queued.map(|queued| queued.min(Duration::from_micros(stall.us) - had.ran));
        let cause = Cause::of(stall, had);
        if cause.is_held_off() {
            let away_us = stall.us.saturating_sub(micros(had.ran));
            self.held_us += away_us.saturating_sub(stall.began_late_us());
        }
        (cause, had)
    }

    /// Whether the span under way is so long already that its end would tell too late what it was: something
    /// that it handles may have waited all the while.
    pub fn is_long_already(&self, now: MonoUs) -> bool {
        let long_us = STALL_UNAWAITED_MS_MIN * 1000;
        self.is_on() && self.since.is_some_and(|since| now.since_us(since) >= long_us)
    }

    /// The same as [`Stalls::held_us`] with what the span under way adds, by a reading of now. At its end that
    /// is counted once.
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

    /// How long, in us, the thread was to run and did not, since it began. What passes between two
    /// events and is in the difference was not the disk's time, nor another server's.
    pub fn held_us(&self) -> u64 {
        self.held_us
    }

    /// Whether `stall` gets a line in the log, and what that line says about earlier stalls.
    pub fn say(&mut self, stall: &Stall, now: MonoUs) -> Option<Say> {
        self.lines.say(stall, now)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
