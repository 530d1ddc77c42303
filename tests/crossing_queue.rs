//! A writer that waits for room in a queue between threads is always woken. Runs the code of
//! `runtime/crossing_queue.rs` with the atomics of loom, which tries all interleavings; loom takes each operation on
//! the `rtrb` ring as one step. A second test shows that the check finds errors: with a reader that does not check how
//! many bytes are left, loom finds the lost wake-up.

#![allow(dead_code, clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../src/runtime/crossing_queue.rs"]
mod crossing_queue;
#[path = "../src/runtime/sleep_flag.rs"]
mod sleep_flag;

mod atomics {
    pub use loom::sync::atomic::{AtomicBool, Ordering, fence};

    /// Loom's, except for a reader that makes the mistake: it takes the queue for empty.
    pub struct AtomicUsize(loom::sync::atomic::AtomicUsize);

    impl AtomicUsize {
        pub fn new(value: usize) -> AtomicUsize {
            AtomicUsize(loom::sync::atomic::AtomicUsize::new(value))
        }

        pub fn load(&self, order: Ordering) -> usize {
            self.0.load(order)
        }

        pub fn fetch_add(&self, value: usize, order: Ordering) -> usize {
            self.0.fetch_add(value, order)
        }

        pub fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
            let before = self.0.fetch_sub(value, order);
            if super::COUNTS_NOTHING.with(std::cell::Cell::get) { value } else { before }
        }
    }
}

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
// Not loom's `Arc`, which aborts when it is dropped while a model fails.
use std::sync::Arc;

use loom::thread;

use crossing_queue::crossing_queue;
use sleep_flag::SleepFlag;

loom::thread_local! {
    static COUNTS_NOTHING: Cell<bool> = Cell::new(false);
}

/// A bell that remembers rings, as the kernel's eventfd does.
#[derive(Clone)]
pub struct Doorbell {
    inner: Arc<Inner>,
}

struct Inner {
    flag: SleepFlag,
    rung: loom::sync::Mutex<bool>,
    bell: loom::sync::Condvar,
}

impl Doorbell {
    fn new() -> Doorbell {
        let (rung, bell) = (loom::sync::Mutex::new(false), loom::sync::Condvar::new());
        Doorbell { inner: Arc::new(Inner { flag: SleepFlag::new(), rung, bell }) }
    }

    /// Rings if the thread sleeps, or is about to.
    pub fn wake(&self) {
        if self.inner.flag.must_wake() {
            *self.inner.rung.lock().unwrap() = true;
            self.inner.bell.notify_one();
        }
    }

    /// Sleeps if the queue is empty. A lost wake-up is a deadlock, which loom reports.
    fn sleep_unless(&self, is_there: impl FnOnce() -> bool) {
        self.inner.flag.lie_down();
        if !is_there() {
            let mut rung = self.inner.rung.lock().unwrap();
            while !std::mem::take(&mut *rung) {
                rung = self.inner.bell.wait(rung).unwrap();
            }
        }
        self.inner.flag.get_up();
    }
}

const BYTES_MAX: usize = 10;

/// A writer sends messages of these lengths and then closes the queue; a reader takes them.
fn tried(sizes: &'static [usize], counts_nothing: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let (writer, reader) = (Doorbell::new(), Doorbell::new());
        let (mut sender, mut receiver) =
            crossing_queue(sizes.len(), BYTES_MAX, writer.clone(), reader.clone());
        let thread = thread::spawn(move || {
            for (number, bytes) in sizes.iter().enumerate() {
                while sender.push(number, *bytes).is_err() {
                    writer.sleep_unless(|| sender.has_room());
                }
            }
            sender.close();
        });
        COUNTS_NOTHING.with(|counts| counts.set(counts_nothing));
        let mut taken = 0;
        while !receiver.is_over() {
            match receiver.pop() {
                Some(number) => {
                    assert_eq!(number, taken);
                    taken += 1;
                }
                None => reader.sleep_unless(|| !receiver.is_empty() || receiver.is_over()),
            }
        }
        assert_eq!(taken, sizes.len());
        thread.join().unwrap();
    });
}

/// A short message, a long one, and one that must wait until the long one is taken.
const SIZES: [usize; 3] = [1, 20, 1];

#[test]
fn a_writer_hears_of_room_and_a_reader_of_messages_and_of_the_end() {
    tried(&SIZES, false);
}

#[test]
fn a_reader_that_takes_the_note_away_too_early_loses_a_wake_up_that_is_found() {
    let found = catch_unwind(AssertUnwindSafe(|| tried(&SIZES, true)));
    let panic = found.expect_err("a model with a mistake passes");
    let why = panic.downcast_ref::<String>().map_or("", String::as_str);
    assert!(why.starts_with("deadlock"), "{why}");
}
