//! The progress of a reading thread, for another thread that detects whether it is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is being read, and when data last arrived. Clones share the state.
#[derive(Clone, Debug)]
pub struct Reading {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    begun: Instant,
    /// After `begun`.
    moved_us: AtomicU64,
    what: Mutex<String>,
}

impl Reading {
    /// Nothing has been read yet.
    pub fn of_nothing() -> Reading {
        let (moved_us, what) = (AtomicU64::new(0), Mutex::default());
        Reading { inner: Arc::new(Inner { begun: Instant::now(), moved_us, what }) }
    }

    /// Begins to wait for this.
    pub fn begin(&self, what: String) {
        *self.inner.what.lock().unwrap_or_else(PoisonError::into_inner) = what;
        self.moved();
    }

    /// Data has arrived.
    pub fn moved(&self) {
        let us = self.inner.begun.elapsed().as_micros();
        self.inner.moved_us.store(u64::try_from(us).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When data last arrived, or something else was begun.
    pub fn moved_at(&self) -> Instant {
        self.inner.begun + Duration::from_micros(self.inner.moved_us.load(Ordering::Relaxed))
    }

    /// What the thread waits for.
    pub fn what(&self) -> String {
        self.inner.what.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
