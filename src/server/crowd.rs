//! Finds out whether other threads want the processor on which a thread looks for an event.
//!
//! A thread that awaits something looks for it and yields, again and again. That pays as long as the thread gets the
//! processor back at once. If another thread computes there, it comes back with a tick of the scheduler's clock,
//! four milliseconds later; if the process has used up its quota (`cpu.max` of a container), with the next period;
//! and a host may pause a whole virtual machine in the same way. Then it is better to sleep until the kernel wakes
//! the thread. The thread cannot know beforehand, so it adds up the time that it loses while it looks, and after
//! two such losses it sleeps for a while.
//!
//! A thread that is configured never to look (`ringkeeper.spinMicros=0`) finds out too: it yields once, at most
//! every ten milliseconds, while it awaits something. That costs a system call on an idle machine, and busy
//! machines need the remedies most. The time that such a thread waits after it is woken says less: the kernel adds
//! up the waiting behind other programs, behind the server's own threads, and for a used-up quota.
//!
//! Only long losses count: on a machine that is full of this server's own clients and other servers of its
//! ensemble, a yield takes some hundred microseconds, and looking still pays.

use std::time::{Duration, Instant};

use crate::runtime::Slices;

/// The gap between two looks from which the thread has lost its processor: to a thread that only the scheduler stops,
/// or to a quota.
const LOSS_MIN: Duration = Duration::from_millis(1);

/// The lost time, in ns, from which other threads want the processor: nearly two ticks of a clock of 250 Hz. A single
/// loss happens on every machine.
const LOST_MAX_NS: u64 = 6_000_000;

/// So many milliseconds of undisturbed looking make up for a lost one.
const EARNED_PER_LOST: u64 = 8;

/// How long the thread sleeps before it tries to look again, the first time.
const SLEEPS_MIN: Duration = Duration::from_millis(100);

/// The same, after many failed tries. Each try costs one loss, which is a thousandth of this time.
const SLEEPS_MAX: Duration = Duration::from_millis(3200);

/// How many times longer the thread sleeps because of the host: sleep costs less there than beside other threads, and
/// each loss to a host is some ten milliseconds.
const HOST_SLEEPS: u32 = 4;

/// After so much undisturbed looking, a loss is taken for one that happens on every machine. Until then the thread
/// reads how often its processor was taken, which costs a microsecond each time that it begins to look.
const WARY: Duration = Duration::from_secs(1);

/// The time between two yields of a thread that never looks. A yield without a loss counts as so much undisturbed
/// looking.
const TRIES_EVERY: Duration = Duration::from_millis(10);

/// What takes the processor from a thread that looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crowding {
    /// Nothing: looking pays.
    Nobody,
    /// The host of this virtual machine: it gives the machine a share of its processors in each tenth of a second,
    /// looking uses up that share, and then the machine stands still. A sleeping thread is woken at once, because
    /// no other thread is in its way.
    Host,
    /// Other threads of this machine, or a quota that the control group of this process has used up.
    Neighbours,
}

impl Crowding {
    /// The time slices that the thread asks the scheduler for: short ones beside neighbours, because a thread with
    /// short slices gets its processor back sooner.
    pub fn slices(self) -> Slices {
        match self {
            Crowding::Nobody | Crowding::Host => Slices::Ordinary,
            Crowding::Neighbours => Slices::Short,
        }
    }
}

/// The losses of one thread, and whether it should look or sleep.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// The lost time, in ns, less what undisturbed looking has made up for.
    ///
    /// Invariant: below [`LOST_MAX_NS`] between two calls.
    lost_ns: u64,
    /// How long the thread sleeps the next time that too much is lost.
    sleeps: Duration,
    /// Until when the thread sleeps instead of looking, and because of what.
    until: Option<(Instant, Crowding)>,
    /// How long the thread has looked since the last loss.
    undisturbed: Duration,
    /// How often the processor had been taken from the thread when it began to look; `None`: not read, because the
    /// last loss is long ago.
    taken: Option<u64>,
    /// When a thread that never looks tries next; `None`: the thread looks.
    tries_at: Option<Instant>,
}

impl Crowd {
    /// Nothing is lost yet. With `looks` the thread looks; otherwise it only tries now and then.
    pub fn new(now: Instant, looks: bool) -> Crowd {
        Crowd {
            lost_ns: 0,
            sleeps: SLEEPS_MIN,
            until: None,
            undisturbed: WARY,
            taken: None,
            tries_at: (!looks).then_some(now),
        }
    }

    /// How long a thread that awaits something looks, of the configured time `long`. Zero if other threads want the
    /// processor. For a thread that never looks: now and then the shortest time, which is one look and one yield.
    pub fn look(&mut self, now: Instant, long: Duration) -> Duration {
        if self.at(now) != Crowding::Nobody {
            return Duration::ZERO;
        }
        match self.tries_at {
            None => long,
            Some(at) if now < at => Duration::ZERO,
            Some(_) => {
                self.tries_at = Some(now + TRIES_EVERY);
                Duration::from_nanos(1)
            }
        }
    }

    /// The thread begins to look. `taken` reads how often its processor was taken.
    pub fn begin(&mut self, taken: impl FnOnce() -> u64) {
        self.taken = (self.undisturbed < WARY).then(taken);
    }

    /// The thread looked at `from`, yielded, and got to look again at `to`.
    pub fn looked(&mut self, from: Instant, to: Instant, taken: impl FnOnce() -> u64) {
        let took = to.saturating_duration_since(from);
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if took < LOSS_MIN {
            // A yield of a thread that never looks stands for the whole time until the next one.
            let (took, took_ns) = match self.tries_at {
                None => (took, took_ns),
                Some(_) => (TRIES_EVERY, 10_000_000),
            };
            self.lost_ns = self.lost_ns.saturating_sub(took_ns / EARNED_PER_LOST);
            self.undisturbed = self.undisturbed.saturating_add(took);
            if self.undisturbed >= WARY.max(self.sleeps) {
                self.sleeps = SLEEPS_MIN;
            }
            return;
        }
        self.undisturbed = Duration::ZERO;
        let Some(before) = self.taken else {
            // A single loss happens on every machine. The next one counts in full.
            self.lost_ns = took_ns.min(LOST_MAX_NS / 2);
            return;
        };
        self.lost_ns = self.lost_ns.saturating_add(took_ns);
        if self.lost_ns >= LOST_MAX_NS {
            let who = if taken() > before { Crowding::Neighbours } else { Crowding::Host };
            let times = if who == Crowding::Host { HOST_SLEEPS } else { 1 };
            self.until = Some((to + self.sleeps * times, who));
            self.sleeps = SLEEPS_MAX.min(self.sleeps * 2);
            // The first loss of the next try ends it.
            self.lost_ns = LOST_MAX_NS / 2;
        }
    }

    /// What makes the thread sleep at `now` instead of looking; [`Crowding::Nobody`]: it may look.
    pub fn at(&mut self, now: Instant) -> Crowding {
        match self.until {
            Some((until, who)) if now < until => who,
            Some(_) => {
                self.until = None;
                Crowding::Nobody
            }
            None => Crowding::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(4);
    const UNDISTURBED: Duration = Duration::from_micros(10);

    /// A thread that looks, and the time that passes meanwhile.
    struct Thread {
        crowd: Crowd,
        now: Instant,
        taken: u64,
    }

    impl Thread {
        fn new() -> Thread {
            let now = Instant::now();
            Thread { crowd: Crowd::new(now, true), now, taken: 0 }
        }

        fn that_never_looks() -> Thread {
            let now = Instant::now();
            Thread { crowd: Crowd::new(now, false), now, taken: 0 }
        }

        /// Awaits something every millisecond; each look takes `each`. Returns how often it looked, and in how many
        /// milliseconds it knew of neighbours.
        fn never_looks_for(&mut self, time: Duration, each: Duration, by: Crowding) -> (u32, u32) {
            let end = self.now + time;
            let (mut tries, mut crowded) = (0, 0);
            while self.now < end {
                crowded += u32::from(self.at(self.now) == Crowding::Neighbours);
                if !self.crowd.look(self.now, Duration::ZERO).is_zero() {
                    tries += 1;
                    self.looks(1, each, by);
                }
                self.now += Duration::from_millis(1);
            }
            (tries, crowded)
        }

        fn looks(&mut self, times: u32, each: Duration, by: Crowding) {
            for _ in 0..times {
                self.crowd.begin(|| self.taken);
                self.taken += u64::from(by == Crowding::Neighbours);
                self.crowd.looked(self.now, self.now + each, || self.taken);
                self.now += each;
            }
        }

        fn is_undisturbed(&mut self, time: Duration) {
            let times = time.as_micros() / UNDISTURBED.as_micros();
            self.looks(u32::try_from(times).unwrap(), UNDISTURBED, Crowding::Nobody);
        }

        fn at(&mut self, now: Instant) -> Crowding {
            self.crowd.at(now)
        }

        /// How often the thread tries to look within `time`, if each look takes `each`.
        fn tries_within(&mut self, time: Duration, each: Duration) -> u32 {
            let end = self.now + time;
            let mut tries = 0;
            while self.now < end {
                if self.at(self.now) == Crowding::Nobody {
                    tries += 1;
                    self.looks(1, each, Crowding::Neighbours);
                } else {
                    self.now += Duration::from_millis(1);
                }
            }
            tries
        }
    }

    #[test]
    fn a_thread_that_never_looks_finds_out_that_others_want_its_processor() {
        let mut thread = Thread::that_never_looks();
        let second = Duration::from_secs(1);
        // On an idle machine it costs one yield every ten milliseconds.
        assert_eq!(thread.never_looks_for(second, UNDISTURBED, Crowding::Nobody), (100, 0));
        let (_, crowded) = thread.never_looks_for(second, TICK, Crowding::Neighbours);
        assert!(crowded > 900, "{crowded} of a thousand milliseconds");
        let (tries, crowded) = thread.never_looks_for(32 * second, TICK, Crowding::Neighbours);
        assert!(tries < 20 && crowded > 31_000, "{tries}, {crowded}");
        // The neighbours are gone. A lost tick now and then happens on every machine, and is forgotten.
        thread.never_looks_for(5 * second, UNDISTURBED, Crowding::Nobody);
        for _ in 0..20 {
            thread.looks(1, TICK, Crowding::Neighbours);
            let (_, crowded) = thread.never_looks_for(second, UNDISTURBED, Crowding::Nobody);
            assert_eq!(crowded, 0);
        }
    }

    #[test]
    fn two_ticks_lost_to_others_end_the_looking_and_one_does_not() {
        let mut thread = Thread::new();
        thread.looks(1, TICK, Crowding::Neighbours);
        assert_eq!(thread.at(thread.now), Crowding::Nobody);
        thread.looks(1, TICK, Crowding::Neighbours);
        assert_eq!(thread.at(thread.now), Crowding::Neighbours);
        assert_eq!(thread.at(thread.now + SLEEPS_MIN), Crowding::Nobody);
    }

    #[test]
    fn it_makes_no_difference_how_long_nobody_had_to_be_looked_for_in_between() {
        let mut thread = Thread::new();
        thread.looks(1, TICK, Crowding::Neighbours);
        thread.now += Duration::from_secs(60);
        thread.looks(1, TICK, Crowding::Neighbours);
        assert_eq!(thread.at(thread.now), Crowding::Neighbours);
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
        assert_eq!(thread.at(thread.now), Crowding::Nobody);
        thread.is_undisturbed(SLEEPS_MAX);
        thread.looks(1, TICK, Crowding::Neighbours);
        assert_eq!(thread.at(thread.now), Crowding::Nobody);
        thread.looks(1, TICK, Crowding::Neighbours);
        assert_eq!(thread.at(thread.now), Crowding::Neighbours);
        assert_eq!(thread.at(thread.now + SLEEPS_MIN), Crowding::Nobody);
    }

    #[test]
    fn neighbours_that_take_turns_and_sleep_are_no_crowd() {
        let mut thread = Thread::new();
        for _ in 0..1000 {
            thread.looks(1, Duration::from_micros(700), Crowding::Neighbours);
            thread.looks(2, UNDISTURBED, Crowding::Nobody);
        }
        assert_eq!(thread.at(thread.now), Crowding::Nobody);
        // A lost tick now and then.
        for _ in 0..100 {
            thread.looks(1, TICK, Crowding::Neighbours);
            thread.is_undisturbed(Duration::from_millis(40));
        }
        assert_eq!(thread.at(thread.now), Crowding::Nobody);
    }

    /// The host gives the machine nine tenths of the time that it would use: while the thread looks, the machine
    /// stands still for the last tenth of each period.
    #[test]
    fn a_machine_that_stands_still_as_soon_as_it_looks_for_a_while_looks_ever_more_rarely() {
        let mut thread = Thread::new();
        let (mut stood_still, end) = (0, thread.now + Duration::from_secs(60));
        while thread.now < end {
            match thread.at(thread.now) {
                Crowding::Nobody => {
                    thread.is_undisturbed(Duration::from_millis(90));
                    thread.looks(1, Duration::from_millis(10), Crowding::Host);
                    stood_still += 1;
                }
                Crowding::Host => thread.now += Duration::from_millis(1),
                Crowding::Neighbours => panic!("there are none"),
            }
        }
        assert!((7..=12).contains(&stood_still), "{stood_still}");
    }
}
