//! That no wake-up is lost between threads: the code of `runtime/sleep_flag.rs` with the atomics of
//! loom, which tries every interleaving and every value that a load may see.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../src/runtime/sleep_flag.rs"]
mod sleep_flag;

mod atomics {
    pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
}

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use loom::thread;

use atomics::Ordering;
use sleep_flag::SleepFlag;

/// A queue in which each writer's messages are counted (a store that is a release, a load that is
/// an acquire, as the ring's), and a bell as the kernel's: rings are remembered.
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

    /// Takes until `all` have come. A wake-up that is lost is a deadlock, which loom reports.
    fn take(&self, all: usize) {
        let mut taken = 0;
        while taken < all {
            self.flag.lie_down();
            if self.seen() == taken {
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

#[test]
fn a_sleeper_hears_of_everything_that_one_writer_puts() {
    loom::model(|| {
        let mail = Mail::new();
        let writer = mail.clone();
        let thread = thread::spawn(move || {
            writer.put(0, 1);
            writer.put(0, 2);
        });
        mail.take(2);
        thread.join().unwrap();
    });
}

#[test]
fn a_sleeper_hears_of_everything_that_two_writers_put() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let mail = Mail::new();
        let threads = [0, 1].map(|writer| {
            let mail = mail.clone();
            thread::spawn(move || mail.put(writer, 1))
        });
        mail.take(2);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
