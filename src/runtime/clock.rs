//! The clocks. The core gets their readings as a [`Now`].

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::signals::times_continued;
use crate::time::{MonoUs, Now, WallMs};

/// Reads both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

/// The first reading of the monotonic clock, so that "a minute ago" is never below zero.
const ORIGIN_US: u64 = 3_600_000_000;

impl Clock {
    /// A clock that starts now. Copies of it agree with each other.
    pub fn start() -> Clock {
        Clock { origin: Instant::now() }
    }

    /// Both readings.
    pub fn now(&self) -> Now {
        let wall_ms = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Now { wall: WallMs(wall_ms), mono: self.mono() }
    }

    /// The monotonic clock alone.
    pub fn mono(&self) -> MonoUs {
        let us = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        MonoUs(us.saturating_add(ORIGIN_US))
    }

    /// What this clock showed at `instant`.
    pub fn mono_of(&self, instant: Instant) -> MonoUs {
        let since = instant.saturating_duration_since(self.origin);
        MonoUs(u64::try_from(since.as_micros()).unwrap_or(u64::MAX).saturating_add(ORIGIN_US))
    }

    /// The instant at which this clock shows `at`.
    pub fn instant_of(&self, at: MonoUs) -> Instant {
        self.origin + Duration::from_micros(at.0.saturating_sub(ORIGIN_US))
    }
}

/// How long this thread has run on a processor. In the rest of the elapsed time it did not run.
fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value of this frame, which the kernel fills.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every present kernel has this clock");
    let seconds = u64::try_from(time.tv_sec).expect("time that was used is not negative");
    let nanos = u32::try_from(time.tv_nsec).expect("a second has 10^9 nanoseconds");
    Duration::new(seconds, nanos)
}

/// How long this thread has waited in the queue for a processor.
///
/// The second number of `/proc/thread-self/schedstat`, in ns. The file stays open as long as its thread:
/// to open it costs more than to read it.
fn thread_queued_time() -> Option<Duration> {
    thread_local! {
        static FILE: Option<File> = File::open("/proc/thread-self/schedstat").ok();
    }
    // Three numbers of 64 bits.
    let mut text = [0; 64];
    let length = FILE.with(|file| file.as_ref()?.read_at(&mut text, 0).ok())?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.split(' ').nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// How this thread has used the machine since it began: the difference of two readings shows why it made
/// no progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ThreadUse {
    /// Time on a processor.
    pub ran: Duration,
    /// Time in the queue for a processor, while others had it; `None`: unknown, because
    /// `/proc/thread-self/schedstat` cannot be read.
    pub queued: Option<Duration>,
    /// How often it gave up its processor to wait for something.
    pub waits: u64,
    /// How often the kernel gave its processor to another thread.
    pub preemptions: u64,
    /// How often it waited for a page of memory to be read from a disk.
    pub page_reads: u64,
    /// How often the whole process was continued after a stop.
    pub continued: u64,
}

impl ThreadUse {
    /// Asks the system: three system calls, two microseconds together.
    pub fn read() -> ThreadUse {
        let ran = thread_cpu_time();
        let queued = thread_queued_time();
        // SAFETY: a structure of numbers, for which zeroes are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a value of this frame, which the kernel fills.
        let failed = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
        assert_eq!(failed, 0, "every kernel of today counts this");
        let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
        ThreadUse {
            ran,
            queued,
            waits: count(usage.ru_nvcsw),
            preemptions: count(usage.ru_nivcsw),
            page_reads: count(usage.ru_majflt),
            continued: times_continued(),
        }
    }

    /// The difference since `earlier`.
    pub fn since(self, earlier: ThreadUse) -> ThreadUse {
        ThreadUse {
            ran: self.ran.saturating_sub(earlier.ran),
            queued: self
                .queued
                .zip(earlier.queued)
                .map(|(later, earlier)| later.saturating_sub(earlier)),
            waits: self.waits.saturating_sub(earlier.waits),
            preemptions: self.preemptions.saturating_sub(earlier.preemptions),
            page_reads: self.page_reads.saturating_sub(earlier.page_reads),
            continued: self.continued.saturating_sub(earlier.continued),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_starts_an_hour_in_and_never_goes_back() {
        let clock = Clock::start();
        let a = clock.mono();
        let b = clock.now().mono;
        assert!(a.0 >= ORIGIN_US && b >= a);
        assert!(clock.instant_of(b) <= Instant::now());
    }

    #[test]
    fn a_thread_that_sleeps_is_counted_as_waiting() {
        let before = ThreadUse::read();
        std::thread::sleep(Duration::from_millis(20));
        let had = ThreadUse::read().since(before);
        assert!(had.waits >= 1 && had.ran < Duration::from_millis(15), "{had:?}");
    }

    /// Two threads cannot run on one processor at once: one of them is queued.
    #[test]
    fn the_time_in_the_queue_grows_while_another_thread_has_the_processor() {
        let Some(before) = ThreadUse::read().queued else { return };
        std::thread::sleep(Duration::from_millis(5));
        let begun = Instant::now();
        let threads = std::thread::available_parallelism().map_or(1, usize::from) + 1;
        let grown = std::thread::scope(|scope| {
            let spins = (0..threads).map(|_| {
                scope.spawn(|| {
                    let before = ThreadUse::read();
                    while begun.elapsed() < Duration::from_millis(200) {
                        std::hint::spin_loop();
                    }
                    ThreadUse::read().since(before).queued.unwrap_or_default()
                })
            });
            let spins: Vec<_> = spins.collect();
            spins.into_iter().map(|spin| spin.join().unwrap()).max().unwrap()
        });
        assert!(grown > Duration::from_millis(20), "{grown:?}, {before:?} before");
    }

    #[test]
    fn the_time_of_a_thread_grows_while_it_works_and_not_while_it_sleeps() {
        let before = thread_cpu_time();
        std::thread::sleep(Duration::from_millis(20));
        let slept = thread_cpu_time();
        assert!(slept - before < Duration::from_millis(15));
        let mut sum = 0u64;
        while thread_cpu_time() < slept + Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
    }
}
