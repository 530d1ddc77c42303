//! No wake-up is lost between threads. Runs the code of `runtime/sleep_flag.rs` with the atomics of loom, which tries
//! every interleaving and every value that a load may see. Further tests show that the check finds errors: they make
//! each mistake that the file warns of, and loom finds it.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../src/runtime/sleep_flag.rs"]
mod sleep_flag;

mod atomics {
    pub use loom::sync::atomic::{AtomicBool, Ordering};

    /// Loom's, except for a thread that makes the mistake.
    pub fn fence(order: Ordering) {
        if !super::HAS_NO_FENCE.with(std::cell::Cell::get) {
            loom::sync::atomic::fence(order);
        }
    }
}

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
// Not loom's `Arc`, which aborts when it is dropped while a model fails.
use std::sync::Arc;

use loom::sync::atomic::AtomicUsize;
use loom::thread;

use atomics::Ordering;
use sleep_flag::SleepFlag;

loom::thread_local! {
    static HAS_NO_FENCE: Cell<bool> = Cell::new(false);
}

/// A mistake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mistake {
    Nothing,
    /// The sleeper looks for the last time before it sets the flag.
    LooksTooEarly,
    /// The sleeper has no fence between the flag and its last look.
    SleeperHasNoFence,
    /// A writer has no fence.
    WriterHasNoFence,
}

/// A queue that only counts the messages of each writer, with a release store and an acquire load, as in the ring; and
/// a bell that remembers rings, as the kernel's eventfd does.
struct Mail {
    put: [AtomicUsize; 2],
    flag: SleepFlag,
    rung: loom::sync::Mutex<bool>,
    bell: loom::sync::Condvar,
}

impl Mail {
    fn new() -> Arc<Mail> {
        Arc::new(Mail {
            put: [AtomicUsize::new(0), AtomicUsize::new(0)],
            flag: SleepFlag::new(),
            rung: loom::sync::Mutex::new(false),
            bell: loom::sync::Condvar::new(),
        })
    }

    fn put(&self, writer: usize, messages: usize) {
        self.put[writer].store(messages, Ordering::Release);
        if self.flag.must_wake() {
            *self.rung.lock().unwrap() = true;
            self.bell.notify_one();
        }
    }

    fn seen(&self) -> usize {
        self.put.iter().map(|count| count.load(Ordering::Acquire)).sum()
    }

    /// Takes messages until `all` have come. A lost wake-up is a deadlock, which loom reports.
    fn take(&self, all: usize, mistake: Mistake) {
        let mut taken = 0;
        while taken < all {
            let early = (mistake == Mistake::LooksTooEarly).then(|| self.seen());
            self.flag.lie_down();
            if early.unwrap_or_else(|| self.seen()) == taken {
                let mut rung = self.rung.lock().unwrap();
                while !std::mem::take(&mut *rung) {
                    rung = self.bell.wait(rung).unwrap();
                }
            }
            self.flag.get_up();
            taken = self.seen();
        }
    }
}

/// Writers that each send a number of messages, and a sleeper that takes them.
fn tried(writers: &'static [usize], preemptions_max: Option<usize>, mistake: Mistake) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions_max;
    model.check(move || {
        let mail = Mail::new();
        let thread = |(writer, messages): (usize, &usize)| {
            let (mail, messages) = (mail.clone(), *messages);
            thread::spawn(move || {
                HAS_NO_FENCE.with(|has| has.set(mistake == Mistake::WriterHasNoFence));
                (1..=messages).for_each(|count| mail.put(writer, count));
            })
        };
        let threads: Vec<_> = writers.iter().enumerate().map(thread).collect();
        HAS_NO_FENCE.with(|has| has.set(mistake == Mistake::SleeperHasNoFence));
        mail.take(writers.iter().sum(), mistake);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_sleeper_hears_of_everything_that_one_writer_puts() {
    tried(&[2], None, Mistake::Nothing);
}

#[test]
fn a_sleeper_hears_of_everything_that_two_writers_put() {
    tried(&[1, 1], Some(2), Mistake::Nothing);
}

#[test]
fn each_mistake_loses_a_wake_up_that_is_found() {
    for mistake in [Mistake::LooksTooEarly, Mistake::SleeperHasNoFence, Mistake::WriterHasNoFence] {
        for (writers, preemptions_max) in [(&[2][..], None), (&[1, 1][..], Some(2))] {
            let found = catch_unwind(AssertUnwindSafe(|| tried(writers, preemptions_max, mistake)));
            let panic = found.expect_err("a model with a mistake passes");
            let why = panic.downcast_ref::<String>().map_or("", String::as_str);
            assert!(why.starts_with("deadlock"), "{mistake:?}, {writers:?}: {why}");
        }
    }
}
