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

use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::limits::STALL_UNAWAITED_MS_MIN;
use crate::runtime::ThreadUse;
use crate::time::MonoUs;

/// What the time of a span went to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnPart {
    /// Was to run, and did not: [`Cause`] tells why.
    Held,
    /// Between two looks for a log write, which lie a microsecond apart.
    Look,
    /// Requests, bytes of other servers, whatever else the executor did before the turn.
    Requests,
    /// What was done to files: segments, snapshots, parts of the log that others want.
    Files,
    /// Sessions that expire, containers, elections.
    Timers,
    /// Transactions applied, groups for the log, a slice of a snapshot.
    Core,
    /// Answers and events to clients, messages to other servers.
    Sends,
    /// Operations handed to the disk.
    Disk,
    /// The state read from the disk anew.
    Reload,
}

impl TurnPart {
    const ALL: [TurnPart; 9] = [
        TurnPart::Held,
        TurnPart::Look,
        TurnPart::Requests,
        TurnPart::Files,
        TurnPart::Timers,
        TurnPart::Core,
        TurnPart::Sends,
        TurnPart::Disk,
        TurnPart::Reload,
    ];

    /// For the log.
    pub fn describe(self) -> &'static str {
        match self {
            TurnPart::Held => "beginning late",
            TurnPart::Look => "not running between two looks for a log write",
            TurnPart::Requests => "handling requests",
            TurnPart::Files => "taking in work on files",
            TurnPart::Timers => "expiring sessions and other timers",
            TurnPart::Core => "applying transactions, filling the log, a slice of a snapshot",
            TurnPart::Sends => "sending answers",
            TurnPart::Disk => "handing work to the disk",
            TurnPart::Reload => "reading the state from the disk anew",
        }
    }
}

/// How much was done in a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpanWork {
    /// Batches of requests, each of one connection.
    pub batches: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections that clients closed.
    pub closed: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Bytes for the transaction log.
    pub log_bytes: u64,
    /// Bytes of a snapshot.
    pub snapshot_bytes: u64,
    /// Transactions applied.
    pub applied: u64,
    /// Sessions expired.
    pub expired: u64,
}

impl fmt::Display for SpanWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for (number, what) in [
            (self.batches, "batches of requests"),
            (self.bytes_in, "bytes of requests"),
            (self.opened, "connections opened"),
            (self.closed, "connections closed"),
            (self.expired, "sessions expired"),
            (self.applied, "transactions applied"),
            (self.snapshot_bytes, "bytes of a snapshot"),
            (self.log_bytes, "bytes to the log"),
            (self.bytes_out, "bytes to clients"),
        ] {
            if number > 0 {
                write!(f, "{between}{number} {what}")?;
                between = ", ";
            }
        }
        if between.is_empty() { f.write_str("nothing") } else { Ok(()) }
    }
}

/// Why the server stood still: what the largest part of its time went to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It worked.
    Own,
    /// Others had its processor.
    Preempted,
    /// Memory had to be read from a disk.
    Paged,
    /// It waited in the kernel, for a disk or a lock.
    Blocked,
    /// The whole process was stopped.
    Stopped,
    /// Not even the kernel knows of it.
    Machine,
}

/// A page that is read from a disk takes less than this, in us: what takes longer has another cause. The
/// slowest disks, busy with other work, take a tenth (guessed).
const PAGE_READ_US_MAX: u64 = 1_000_000;

impl Cause {
    /// Of a stall in which the thread had `used`.
    fn of(stall: &Stall, used: ThreadUse) -> Cause {
        let ran = micros(used.ran).min(stall.us);
        let Some(queued) = used.queued else { return Cause::without_queue(stall, used, ran) };
        let queued = micros(queued).min(stall.us - ran);
        let away = stall.us - ran - queued;
        if ran >= queued && ran >= away {
            Cause::of_running(stall)
        } else if queued >= away {
            Cause::Preempted
        } else {
            Cause::of_being_away(stall, used, away)
        }
    }

    /// Of a stall in which the thread ran.
    fn of_running(stall: &Stall) -> Cause {
        // There is no work of ours between two looks: interrupts have it on our account, or the
        // machine below.
        if stall.mostly() == TurnPart::Look { Cause::Machine } else { Cause::Own }
    }

    /// Of one in which it neither ran nor was queued, for so long.
    fn of_being_away(stall: &Stall, used: ThreadUse, away_us: u64) -> Cause {
        if used.continued > 0 {
            return Cause::Stopped;
        }
        if away_us <= used.page_reads.saturating_mul(PAGE_READ_US_MAX) {
            return Cause::Paged;
        }
        if used.waits == 0 {
            return Cause::Machine;
        }
        match stall.mostly() {
            // It asked the kernel for nothing then that could take time.
            TurnPart::Held | TurnPart::Look => Cause::Stopped,
            TurnPart::Requests
            | TurnPart::Files
            | TurnPart::Timers
            | TurnPart::Core
            | TurnPart::Sends
            | TurnPart::Disk
            | TurnPart::Reload => Cause::Blocked,
        }
    }

    /// Where the kernel does not tell how long a thread is queued, its switches must do.
    fn without_queue(stall: &Stall, used: ThreadUse, ran_us: u64) -> Cause {
        if ran_us * 2 >= stall.us {
            Cause::of_running(stall)
        } else if used.continued + used.page_reads == 0 && used.preemptions > used.waits {
            Cause::Preempted
        } else {
            Cause::of_being_away(stall, used, stall.us - ran_us)
        }
    }

    /// Whether the server was kept from running: it neither worked nor waited for anything that it had
    /// asked for.
    pub fn is_held_off(self) -> bool {
        match self {
            Cause::Preempted | Cause::Stopped | Cause::Machine => true,
            Cause::Own | Cause::Paged | Cause::Blocked => false,
        }
    }

    /// Whether it waited in the kernel.
    pub fn is_waiting(self) -> bool {
        match self {
            Cause::Paged | Cause::Blocked => true,
            Cause::Own | Cause::Preempted | Cause::Stopped | Cause::Machine => false,
        }
    }

    /// For the log.
    pub fn describe(self) -> &'static str {
        match self {
            Cause::Own => "this process was at work: its own work took so long, see parts and work",
            Cause::Preempted => {
                "this process did not get to run: others had its processor. Look at `top`, \
                 /proc/pressure/cpu and the CPU quota of its container"
            }
            Cause::Paged => {
                "this process waited for its memory, which had to be read from a disk. Look at the \
                 swap (`vmstat 1`) and the memory limit of its container"
            }
            Cause::Blocked => {
                "this process waited in the kernel, for a disk or a lock, or was stopped at work (a debugger, a \
                 frozen container). Look at /proc/pressure/io, `iostat -x 1` and the kernel's log"
            }
            Cause::Stopped => {
                "this process was stopped: it neither ran nor waited for a processor or a disk (SIGSTOP, a \
                 debugger, a frozen container or virtual machine). Look for who stops it"
            }
            Cause::Machine => {
                "not this process but the whole machine stood still, or interrupts had its processor: \
                 a virtual machine waits so for others of its host. Look at `st` in `vmstat 1`"
            }
        }
    }
}

/// One stall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// How long.
    pub us: u64,
    /// What its time went to, by [`TurnPart`].
    parts: [u64; TurnPart::ALL.len()],
    /// What was done.
    pub work: SpanWork,
}

impl Stall {
    /// The largest part.
    pub fn mostly(&self) -> TurnPart {
        let largest = TurnPart::ALL.into_iter().max_by_key(|step| self.parts[*step as usize]);
        largest.expect("there are steps")
    }

    /// Whether somebody waited for what was done, or for a log write that was looked for. What other
    /// servers say to each other when no client asks for anything has time.
    fn is_awaited(&self) -> bool {
        let SpanWork {
            batches,
            bytes_in: _,
            opened,
            closed: _,
            bytes_out,
            log_bytes,
            snapshot_bytes: _,
            applied,
            expired: _,
        } = self.work;
        let asked = batches + opened + bytes_out + log_bytes + applied;
        asked > 0 || self.parts[TurnPart::Look as usize] > 0
    }

    /// For how long it was held off before it began: that is counted as it is noticed.
    fn began_late_us(&self) -> u64 {
        self.parts[TurnPart::Held as usize] + self.parts[TurnPart::Look as usize]
    }

    /// All parts that count, the longest first.
    pub fn parts(&self) -> String {
        let mut steps = TurnPart::ALL;
        steps.sort_by_key(|step| std::cmp::Reverse(self.parts[*step as usize]));
        let mut text = String::new();
        for step in steps {
            let us = self.parts[step as usize];
            if us >= self.us / 50 && us > 0 {
                let between = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{between}{} {} ms", step.describe(), Ms(us));
            }
        }
        text
    }
}

/// Microseconds, shown as milliseconds with one decimal.
pub struct Ms(pub u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 1000, self.0 % 1000 / 100)
    }
}

/// What to say in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Say {
    /// Stalls since the last line, this one not counted.
    pub unsaid: u64,
    /// The longest of them.
    pub unsaid_us_max: u64,
}

/// A reading of what the thread had of the machine is not older than this when a span begins. A
/// reading costs a microsecond, so this is a twentieth of a per cent.
const READING_AGE_US_MAX: u64 = 2_000;

/// Time between two lines at first; it doubles up to the other while stalls keep coming. Guesses: an
/// operator who looks at a bad moment sees a line a second, and a bad day fills no disk.
const PAUSE_US_MIN: u64 = 1_000_000;
const PAUSE_US_MAX: u64 = 64_000_000;

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
    /// When the next line may be written, and how long the pause after it is.
    silent_until: MonoUs,
    pause_us: u64,
    /// The longest that was said since stalls keep coming.
    said_us_max: u64,
    unsaid: Say,
    /// How long the thread was to run and did not, since it began.
    held_us: u64,
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
            silent_until: MonoUs(0),
            pause_us: PAUSE_US_MIN,
            said_us_max: 0,
            unsaid: Say { unsaid: 0, unsaid_us_max: 0 },
            held_us: 0,
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

    /// Whether the log gets a line about a stall, and what it has to make up for. One of twice the
    /// length of those said lately is always said; a short one at which nobody waited, never.
    pub fn say(&mut self, stall: &Stall, now: MonoUs) -> Option<Say> {
        let is_nobodys = !stall.is_awaited() && stall.us < STALL_UNAWAITED_MS_MIN * 1000;
        let is_one_of_many = now < self.silent_until && stall.us < 2 * self.said_us_max;
        if is_nobodys || is_one_of_many {
            self.unsaid.unsaid += 1;
            self.unsaid.unsaid_us_max = self.unsaid.unsaid_us_max.max(stall.us);
            return None;
        }
        if now.0 >= self.silent_until.0.saturating_add(self.pause_us) {
            (self.pause_us, self.said_us_max) = (PAUSE_US_MIN, stall.us);
        } else {
            self.pause_us = (self.pause_us * 2).min(PAUSE_US_MAX);
            self.said_us_max = self.said_us_max.max(stall.us);
        }
        self.silent_until = MonoUs(now.0 + self.pause_us);
        Some(std::mem::replace(&mut self.unsaid, Say { unsaid: 0, unsaid_us_max: 0 }))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: MonoUs = MonoUs(10_000_000);

    fn at(us: u64) -> MonoUs {
        MonoUs(START.0 + us)
    }

    fn stalls() -> Stalls {
        Stalls::new(5, START, ThreadUse::default())
    }

    fn ran(us: u64) -> ThreadUse {
        ThreadUse { ran: Duration::from_micros(us), ..ThreadUse::default() }
    }

    #[test]
    fn a_span_is_a_stall_from_the_threshold_on_and_knows_its_largest_part() {
        let mut stalls = stalls();
        stalls.begin(at(0));
        stalls.mark(TurnPart::Requests, at(1_000));
        assert_eq!(stalls.end(TurnPart::Core, at(4_999)), None);
        stalls.begin(at(10_000));
        stalls.mark(TurnPart::Requests, at(11_000));
        stalls.work().expired += 7;
        stalls.mark(TurnPart::Timers, at(14_500));
        let stall = stalls.end(TurnPart::Core, at(15_000)).expect("5 ms");
        assert_eq!((stall.us, stall.mostly()), (5_000, TurnPart::Timers));
        assert_eq!(stall.work.to_string(), "7 sessions expired");
        assert_eq!(
            stall.parts(),
            "expiring sessions and other timers 3.5 ms, handling requests 1.0 ms, applying \
             transactions, filling the log, a slice of a snapshot 0.5 ms"
        );
        stalls.begin(at(20_000));
        assert_eq!(
            stalls.end(TurnPart::Core, at(20_100)),
            None,
            "nothing is left of the last span"
        );
    }

    #[test]
    fn to_sleep_until_there_is_work_is_no_stall() {
        let mut stalls = stalls();
        stalls.begin(at(0));
        assert_eq!(stalls.end(TurnPart::Core, at(100)), None);
        stalls.begin(at(60_000_000));
        assert_eq!(stalls.end(TurnPart::Core, at(60_000_100)), None);
    }

    #[test]
    fn a_turn_that_follows_without_sleep_counts_from_the_end_of_the_last() {
        let mut stalls = stalls();
        stalls.begin(at(0));
        assert_eq!(stalls.end(TurnPart::Core, at(100)), None);
        stalls.goes_on();
        stalls.begin(at(7_000));
        stalls.mark(TurnPart::Requests, at(7_000));
        let stall = stalls.end(TurnPart::Core, at(7_100)).expect("the others took 6.9 ms");
        assert_eq!((stall.us, stall.mostly()), (7_000, TurnPart::Requests));
    }

    #[test]
    fn who_runs_later_than_promised_was_held_off_since_the_promise_or_the_last_turn() {
        let mut stalls = stalls();
        stalls.due(Some(at(5_000)));
        // An event finds it first.
        stalls.begin(at(25_000));
        let stall = stalls.end(TurnPart::Core, at(25_200)).expect("20 ms late");
        assert_eq!((stall.us, stall.mostly()), (20_200, TurnPart::Held));
        // The timer itself comes a little later: the rest is no stall.
        assert_eq!(stalls.on_due(at(25_300)), None);
        stalls.due(Some(at(30_300)));
        let stall = stalls.on_due(at(40_300)).expect("10 ms late, and nothing else happened");
        assert_eq!((stall.us, stall.mostly()), (10_000, TurnPart::Held));
        stalls.due(None);
        stalls.begin(at(90_000));
        assert_eq!(stalls.end(TurnPart::Core, at(90_100)), None);
    }

    #[test]
    fn who_looks_and_is_not_heard_of_was_held_off() {
        let mut stalls = stalls();
        assert_eq!(stalls.looked(at(0), at(4_999)), None);
        let stall = stalls.looked(at(5_000), at(10_000)).expect("5 ms");
        assert_eq!((stall.us, stall.mostly()), (5_000, TurnPart::Look));
        let spinning = stalls.cause(&stall, at(10_000), ran(5_000)).0;
        assert_eq!(spinning, Cause::Machine, "there is no work of ours in that");
        stalls.awake(at(11_000));
        stalls.begin(at(19_000));
        assert_eq!(stalls.end(TurnPart::Core, at(19_000)).expect("8 ms").mostly(), TurnPart::Look);
        // That it was awake counts for the next span alone.
        stalls.begin(at(40_000));
        assert_eq!(stalls.end(TurnPart::Core, at(40_100)), None);
    }

    #[test]
    fn the_cause_is_told_by_what_the_thread_had_of_the_machine() {
        let stall = |stalls: &mut Stalls| {
            stalls.begin(at(0));
            stalls.end(TurnPart::Core, at(10_000)).expect("a stall")
        };
        let cause = |used: ThreadUse| {
            let before = ThreadUse { queued: used.queued.map(|_| Duration::ZERO), ..ran(0) };
            let mut stalls = Stalls::new(5, START, before);
            let stall = stall(&mut stalls);
            stalls.cause(&stall, at(10_000), used).0
        };
        assert_eq!(cause(ran(9_000)), Cause::Own);
        assert_eq!(cause(ThreadUse { preemptions: 2, ..ran(1_000) }), Cause::Preempted);
        assert_eq!(cause(ThreadUse { waits: 1, ..ran(1_000) }), Cause::Blocked);
        assert_eq!(cause(ran(1_000)), Cause::Machine);
        assert_eq!(cause(ThreadUse { waits: 3, page_reads: 3, ..ran(0) }), Cause::Paged);
        // How long it was queued says more than how often it left its processor, and why.
        let queued = |ran_us: u64, us: u64| {
            let queued = Some(Duration::from_micros(us));
            ThreadUse { queued, waits: 2, preemptions: 1, ..ran(ran_us) }
        };
        assert_eq!(cause(queued(500, 8_500)), Cause::Preempted);
        assert_eq!(cause(queued(4_000, 3_500)), Cause::Own, "the largest part");
        let nobody_else = ThreadUse { preemptions: 9, ..queued(500, 0) };
        assert_eq!(cause(nobody_else), Cause::Blocked);
        // Wherever it was when it was stopped.
        assert_eq!(cause(ThreadUse { continued: 1, ..nobody_else }), Cause::Stopped);
        assert_eq!(cause(ThreadUse { continued: 1, ..queued(500, 8_500) }), Cause::Preempted);
    }

    /// Whose sentence is whose counter: what is said and what is counted are one judgement.
    #[test]
    fn a_process_that_neither_ran_nor_was_queued_before_it_began_was_stopped() {
        let before = ThreadUse { queued: Some(Duration::ZERO), ..ran(0) };
        let mut stalls = Stalls::new(5, START, before);
        stalls.due(Some(at(5_000)));
        stalls.begin(at(14_013_000));
        let stall = stalls.end(TurnPart::Core, at(14_013_100)).expect("14 s");
        // As a thread that looks has them when it is stopped: many yields, and one page of memory.
        let used = ThreadUse {
            queued: Some(Duration::from_micros(300)),
            waits: 1,
            preemptions: 40,
            page_reads: 2,
            ..ran(2_000)
        };
        let (cause, _) = stalls.cause(&stall, at(14_013_100), used);
        assert_eq!(cause, Cause::Stopped);
        assert!(cause.is_held_off() && cause.describe().contains("SIGSTOP"));
        let held_ms = stalls.held_us() / 1000;
        assert!((14_005..=14_008).contains(&held_ms), "no disk had this time: {held_ms}");
    }

    #[test]
    fn a_stop_amid_requests_is_known_before_the_turn_ends_and_counted_once() {
        let before = ThreadUse { queued: Some(Duration::ZERO), ..ran(0) };
        let mut stalls = Stalls::new(5, START, before);
        stalls.begin(at(0));
        assert!(!stalls.is_long_already(at(99_999)) && stalls.is_long_already(at(1_400_000)));
        stalls.mark(TurnPart::Requests, at(1_400_000));
        let used = ThreadUse { waits: 1, continued: 1, queued: Some(Duration::ZERO), ..ran(1_000) };
        assert_eq!(stalls.held_us_with_span(at(1_400_000), used), 1_399_000);
        assert_eq!(stalls.held_us(), 0);
        let stall = stalls.end(TurnPart::Core, at(1_400_000)).expect("1.4 s");
        stalls.cause(&stall, at(1_400_000), used);
        assert_eq!(stalls.held_us(), 1_399_000);
    }

    #[test]
    fn a_wait_in_the_kernel_is_not_counted_as_being_held_off() {
        let causes = [Cause::Own, Cause::Preempted, Cause::Paged, Cause::Blocked, Cause::Stopped];
        for cause in causes.into_iter().chain([Cause::Machine]) {
            assert!(!(cause.is_held_off() && cause.is_waiting()), "{cause:?}");
            let says_wait = cause.describe().contains("waited in the kernel")
                || cause.describe().contains("waited for its memory");
            assert_eq!(says_wait, cause.is_waiting(), "{cause:?}");
        }
    }

    #[test]
    fn a_short_stall_at_which_nobody_waited_gets_no_line_and_is_counted() {
        let mut stalls = stalls();
        stalls.due(Some(at(5_000)));
        let idle = stalls.on_due(at(14_000)).expect("9 ms");
        assert_eq!(stalls.say(&idle, at(14_000)), None);
        stalls.due(None);
        stalls.begin(at(20_000));
        stalls.work().batches += 1;
        let asked = stalls.end(TurnPart::Requests, at(29_000)).expect("9 ms");
        let say = stalls.say(&asked, at(29_000)).expect("a client waited");
        assert_eq!((say.unsaid, say.unsaid_us_max), (1, 9_000));
        let look = stalls.looked(at(30_000), at(49_000)).expect("19 ms");
        assert!(stalls.say(&look, at(49_000)).is_some(), "a client waits for a log write");
        stalls.due(Some(at(55_000)));
        let long = stalls.on_due(at(255_000)).expect("200 ms");
        assert!(stalls.say(&long, at(255_000)).is_some());
    }

    #[test]
    fn a_reading_is_wanted_when_the_last_one_is_old_and_taken_once() {
        let mut stalls = stalls();
        assert!(!stalls.begin(at(1_000)));
        assert_eq!(stalls.end(TurnPart::Core, at(1_001)), None);
        assert!(stalls.begin(at(3_000)));
        stalls.read(at(3_000), ran(50));
        assert_eq!(stalls.end(TurnPart::Core, at(3_001)), None);
        assert!(!stalls.goes_on());
        assert!(!stalls.begin(at(4_000)));
    }

    #[test]
    fn the_log_gets_ever_fewer_lines_and_what_is_new_at_once() {
        let mut stalls = stalls();
        let work = SpanWork { batches: 1, ..SpanWork::default() };
        let stall = |ms: u64| Stall { us: ms * 1000, parts: [0; 9], work };
        let mut said = 0;
        // Ten a second, for ten minutes.
        for n in 0..6_000_u64 {
            said += u32::from(stalls.say(&stall(20), at(n * 100_000)).is_some());
        }
        assert!((10..=20).contains(&said), "{said}");
        let say = stalls.say(&stall(40), at(600_000_000)).expect("twice as long");
        assert!(say.unsaid > 0 && say.unsaid_us_max == 20_000);
        assert_eq!(stalls.say(&stall(40), at(600_000_001)), None);
        let after = at(900_000_000);
        assert_eq!(stalls.say(&stall(5), after).expect("after a quiet time").unsaid, 1);
        assert!(stalls.say(&stall(5), MonoUs(after.0 + 1_000_000)).is_some());
    }

    #[test]
    fn nothing_is_looked_for_where_it_is_switched_off() {
        let mut stalls = Stalls::new(0, START, ThreadUse::default());
        stalls.due(Some(at(5)));
        assert!(!stalls.begin(at(90_000_000)));
        assert_eq!(stalls.end(TurnPart::Core, at(99_000_000)), None);
        assert!(!stalls.goes_on());
        assert_eq!(stalls.looked(at(0), at(99_000_000)), None);
        assert_eq!(stalls.on_due(at(99_000_000)), None);
    }
}
