//! Whether others want the processor on which a thread looks for what it awaits.
//!
//! Looking pays as long as the thread that yields after each look gets the processor back at once. If
//! somebody computes there, it gets it back at a tick of the scheduler's clock, four milliseconds
//! later; if the process has used up its quota (`cpu.max` of a container), when the next period
//! begins. Then it is better to sleep, and to be woken. Nobody says beforehand which it will be, so
//! the thread counts what it loses while it looks, and after two such losses sleeps for a while.
//!
//! Only long losses count: on a machine that is full with this server's own clients and with other
//! servers of its ensemble, yields take some hundred microseconds, and looking is still the better way.

use std::time::{Duration, Instant};

/// A look that comes so much later than the one before it has lost its processor: to somebody who
/// does not sleep by himself, whom only the scheduler stops, or to a quota.
const LOSS_MIN: Duration = Duration::from_millis(1);

/// Time lost beyond which others want the processor: two ticks of a clock of 250 Hz. One such loss
/// happens to everybody.
const LOST_MAX_NS: u64 = 6_000_000;

/// What is lost in one millisecond may be earned back in so many of undisturbed looking.
const EARNED_PER_LOST: u64 = 8;

/// How long it sleeps before it tries to look again, the first time.
const SLEEPS_MIN: Duration = Duration::from_millis(100);

/// The same, if every try failed. Each costs a loss, which is one in a thousand of this.
const SLEEPS_MAX: Duration = Duration::from_millis(3200);

/// See the module's words.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// Time lost, less what was earned back. Invariant: below [`LOST_MAX_NS`].
    lost_ns: u64,
    /// How long it sleeps the next time that too much is lost.
    sleeps: Duration,
    /// Until when it sleeps.
    until: Option<Instant>,
}

impl Crowd {
    /// Nobody is there yet.
    pub fn new() -> Crowd {
        Crowd { lost_ns: 0, sleeps: SLEEPS_MIN, until: None }
    }

    /// The thread looked at `from`, yielded, and got to look again at `to`.
    pub fn looked(&mut self, from: Instant, to: Instant) {
        let took = to.saturating_duration_since(from);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if took < LOSS_MIN {
            self.lost_ns = self.lost_ns.saturating_sub(took_ns / EARNED_PER_LOST);
            if self.lost_ns == 0 {
                self.sleeps = SLEEPS_MIN;
            }
            return;
        }
        self.lost_ns = self.lost_ns.saturating_add(took_ns);
        if self.lost_ns >= LOST_MAX_NS {
            self.until = Some(to + self.sleeps);
            self.sleeps = SLEEPS_MAX.min(self.sleeps * 2);
            // The next try ends with its first loss.
            self.lost_ns = LOST_MAX_NS / 2;
        }
    }

    /// Whether to sleep at once instead of looking.
    pub fn is_there(&mut self, now: Instant) -> bool {
        match self.until {
            Some(until) if now < until => true,
            Some(_) => {
                self.until = None;
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(4);
    const UNDISTURBED: Duration = Duration::from_micros(1);

    /// A thread that looks, and the time that passes meanwhile.
    struct Thread {
        crowd: Crowd,
        now: Instant,
    }

    impl Thread {
        fn new() -> Thread {
            Thread { crowd: Crowd::new(), now: Instant::now() }
        }

        fn looks(&mut self, times: u32, each: Duration) {
            for _ in 0..times {
                self.crowd.looked(self.now, self.now + each);
                self.now += each;
            }
        }

        /// How often a look that takes `each` is tried within a time.
        fn tries_within(&mut self, time: Duration, each: Duration) -> u32 {
            let end = self.now + time;
            let mut tries = 0;
            while self.now < end {
                if self.crowd.is_there(self.now) {
                    self.now += Duration::from_millis(1);
                } else {
                    tries += 1;
                    self.looks(1, each);
                }
            }
            tries
        }
    }

    #[test]
    fn two_ticks_lost_to_others_end_the_looking_and_one_does_not() {
        let mut thread = Thread::new();
        thread.looks(1, TICK);
        assert!(!thread.crowd.is_there(thread.now));
        thread.looks(1, TICK);
        assert!(thread.crowd.is_there(thread.now));
        assert!(!thread.crowd.is_there(thread.now + SLEEPS_MIN));
    }

    #[test]
    fn it_makes_no_difference_how_long_nobody_had_to_be_looked_for_in_between() {
        let mut thread = Thread::new();
        thread.looks(1, TICK);
        thread.now += Duration::from_secs(60);
        thread.looks(1, TICK);
        assert!(thread.crowd.is_there(thread.now));
    }

    #[test]
    fn beside_a_neighbour_that_never_sleeps_looking_is_tried_ever_more_rarely() {
        let mut thread = Thread::new();
        let early = thread.tries_within(Duration::from_secs(2), TICK);
        assert!(early <= 7, "{early}");
        thread.now += Duration::from_secs(2);
        let late = thread.tries_within(Duration::from_secs(32), TICK);
        assert!((10..=13).contains(&late), "{late}");
    }

    #[test]
    fn a_machine_that_has_become_quiet_is_looked_on_as_before() {
        let mut thread = Thread::new();
        thread.tries_within(Duration::from_secs(20), TICK);
        thread.now += SLEEPS_MAX;
        assert!(!thread.crowd.is_there(thread.now));
        thread.looks(50_000, UNDISTURBED);
        thread.looks(1, TICK);
        assert!(!thread.crowd.is_there(thread.now));
        thread.looks(1, TICK);
        assert!(thread.crowd.is_there(thread.now));
        assert!(!thread.crowd.is_there(thread.now + SLEEPS_MIN));
    }

    #[test]
    fn neighbours_that_take_turns_and_sleep_are_no_crowd() {
        let mut thread = Thread::new();
        for _ in 0..1000 {
            thread.looks(1, Duration::from_micros(700));
            thread.looks(20, UNDISTURBED);
        }
        assert!(!thread.crowd.is_there(thread.now));
        // A tick now and then.
        for _ in 0..100 {
            thread.looks(1, TICK);
            thread.looks(40_000, UNDISTURBED);
        }
        assert!(!thread.crowd.is_there(thread.now));
    }
}
