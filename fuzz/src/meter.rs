//! Measures what the code under test takes of the machine: processor time and memory of the thread.
//!
//! A binary that measures memory needs `#[global_allocator] static COUNTING: Counting = Counting;`. All counters
//! belong to one thread, so that tests may run side by side.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// The system's allocator, which also counts bytes.
pub struct Counting;

thread_local! {
    /// Bytes that this thread has allocated so far.
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
    /// Bytes that this thread has not given back; below zero if it gave back the bytes of other threads.
    static LIVE: Cell<i64> = const { Cell::new(0) };
    /// The most live bytes since the last measurement began.
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

fn add(bytes: usize) {
    // A thread that ends has no cells any more.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes as u64));
    let _ = LIVE.try_with(|live| {
        live.set(live.get().saturating_add_unsigned(bytes as u64));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

fn take_off(bytes: usize) {
    let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub_unsigned(bytes as u64)));
}

// SAFETY: the system's allocator does all the work, and the cells need no memory of their own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        take_off(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Both blocks may exist for a moment.
        add(bytes);
        take_off(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

/// Bytes that this thread has allocated and not given back.
pub fn live_bytes() -> i64 {
    LIVE.get()
}

/// What the thread took between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// Processor time of the thread, in microseconds.
    pub cpu_us: u64,
    /// Bytes allocated, whether they were given back or not.
    pub allocated: u64,
    /// The most bytes that were live at a time.
    pub peak: i64,
}

/// A measurement that has begun: the first of two moments.
pub struct Meter {
    cpu_us: u64,
    allocated: u64,
}

impl Meter {
    /// Begins a measurement now.
    pub fn start() -> Meter {
        PEAK.set(LIVE.get());
        Meter { allocated: ALLOCATED.get(), cpu_us: thread_cpu_us() }
    }

    /// What the thread took since the measurement began.
    pub fn stop(self) -> Use {
        let cpu_us = thread_cpu_us() - self.cpu_us;
        Use { cpu_us, allocated: ALLOCATED.get() - self.allocated, peak: PEAK.get() }
    }
}

fn thread_cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000 + time.tv_nsec / 1000).expect("it counts from zero")
}

/// Rows of [`GUIDES`].
pub const GUIDE_ROWS: usize = 320;
const BUCKETS: usize = 32;

/// Counters that libFuzzer takes for additional coverage, because of their linker section. The engine keeps an input
/// that raises a cell which no input has raised before, and sets all cells to zero before each input.
#[cfg_attr(target_os = "linux", unsafe(link_section = "__libfuzzer_extra_counters"))]
static GUIDES: [AtomicU8; GUIDE_ROWS * BUCKETS] =
    [const { AtomicU8::new(0) }; GUIDE_ROWS * BUCKETS];

/// Raises the cells of a row up to the logarithm of a figure, so that an input that doubles the figure counts as
/// new.
pub fn guide(row: usize, figure: u64) {
    let bucket =
        usize::try_from(figure.checked_ilog2().map_or(0, |log| log + 1)).unwrap_or(BUCKETS);
    let row = &GUIDES[row * BUCKETS..][..BUCKETS];
    for cell in &row[..bucket.min(BUCKETS)] {
        cell.store(1, Ordering::Relaxed);
    }
}
