//! The memory that all connections of the process may hold together: unread replies and events, unanswered
//! requests, incomplete frames.
//!
//! The bound on a single connection is elsewhere, and is generous, because a client may ask for large nodes
//! and read slowly. A thousand such clients together must not use the memory that the server itself needs.
//!
//! ```text
//! connections ─→ share of their executor ─┐  one relaxed add for each round of an executor,
//! way to a session core ─→ a share ───────┴→ sums      or for each MiB within one
//! ```
//! When connections hold more than three quarters of the budget, the executor whose connections hold most
//! closes those that have held the most bytes for the longest time, until five eighths are in use. The rest
//! is for data that is produced before an executor counts it, and for data in transit: the replica makes no
//! more replies in a turn than the budget has room for. At seven eighths, a round stops reading: it may
//! find a frame of 1 MB at each of some hundred sockets.
//!
//! The rule that is easy to break: the sender counts bytes in transit to a session core until that core
//! counts them for its connections.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::runtime::Doorbell;

/// How far a share may differ from its published value in the middle of a round.
const UNTOLD_BYTES_MAX: u64 = 1 << 20;

/// The budget of the process. Clones are handles on the same.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    /// The bound (`ringkeeper.connectionMemoryMax`).
    bytes_max: u64,
    /// The published sum of what connections hold, and the bytes in transit to them.
    held: AtomicI64,
    /// Bytes in transit between executors.
    on_the_way: AtomicI64,
    /// By number of the executor.
    seats: Box<[Seat]>,
    /// Connections closed so far, and their bytes.
    closed: [AtomicU64; 2],
}

/// The bytes of one executor's connections; one cache line each.
#[repr(align(64))]
#[derive(Default)]
struct Seat {
    /// Bytes, as published last.
    held: AtomicU64,
    /// Wakes the executor, if it sleeps.
    bell: OnceLock<Doorbell>,
}

impl Budget {
    /// An empty budget for this number of executors.
    pub fn new(bytes_max: u64, executors: u32) -> Budget {
        let seats = (0..executors).map(|_| Seat::default()).collect();
        let bytes_max = bytes_max.min(i64::MAX as u64);
        let (held, on_the_way) = (AtomicI64::new(0), AtomicI64::new(0));
        let closed = Default::default();
        Budget { shared: Arc::new(Shared { bytes_max, held, on_the_way, seats, closed }) }
    }

    /// The share of one executor's connections; `bell` is rung when it has to close some.
    pub(super) fn seat(&self, executor: u8, bell: Option<Doorbell>) -> Share {
        if let Some(bell) = bell {
            // If a bell is set already, it is the same one.
            let _ = self.shared.seats[usize::from(executor)].bell.set(bell);
        }
        Share::new(self.clone(), Some(executor.into()))
    }

    /// A share for bytes in transit to connections of other executors, at the sending or at the receiving
    /// side.
    pub fn on_the_way(&self) -> Share {
        Share::new(self.clone(), None)
    }

    /// Bytes held now, and in transit.
    pub fn held(&self) -> u64 {
        self.held_by_connections() + bytes_of(&self.shared.on_the_way)
    }

    /// Published bytes of connections, those in transit not counted.
    fn held_by_connections(&self) -> u64 {
        bytes_of(&self.shared.held)
    }

    /// The bound.
    pub fn bytes_max(&self) -> u64 {
        self.shared.bytes_max
    }

    /// How many more bytes may be produced for clients now.
    pub fn room(&self) -> usize {
        usize::try_from(self.shared.bytes_max.saturating_sub(self.held())).unwrap_or(usize::MAX)
    }

    /// Connections that were closed because of their memory, and the bytes that they held.
    pub fn closed(&self) -> (u64, u64) {
        let [connections, bytes] = &self.shared.closed;
        (connections.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Budget({} of {} bytes)", self.held(), self.bytes_max())
    }
}

fn bytes_of(sum: &AtomicI64) -> u64 {
    // Briefly negative if one executor publishes the departure of bytes before another publishes their
    // arrival.
    u64::try_from(sum.load(Ordering::Relaxed)).unwrap_or(0)
}

/// The bytes of one executor's connections, or bytes in transit to those of others.
pub struct Share {
    budget: Budget,
    /// The executor's seat; `None`: bytes in transit.
    seat: Option<usize>,
    /// Bytes held now, published or not.
    held: Cell<u64>,
    /// The change that is not published yet.
    untold: Cell<i64>,
}

impl Share {
    fn new(budget: Budget, seat: Option<usize>) -> Share {
        Share { budget, seat, held: Cell::new(0), untold: Cell::new(0) }
    }

    /// Changes the count from `before` to `after` bytes.
    #[inline]
    pub fn change(&self, before: usize, after: usize) {
        if before == after {
            return;
        }
        self.held.set((self.held.get() + after as u64).saturating_sub(before as u64));
        let change = i64::try_from(after).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(0);
        let untold = self.untold.get().saturating_add(change);
        self.untold.set(untold);
        if untold.unsigned_abs() > UNTOLD_BYTES_MAX {
            self.tell();
        }
    }

    /// Publishes the change.
    pub fn tell(&self) {
        let untold = self.untold.take();
        if untold == 0 {
            return;
        }
        let shared = &*self.budget.shared;
        // Relaxed: these are only figures, which order no other memory.
        match self.seat {
            Some(seat) => {
                shared.seats[seat].held.store(self.held.get(), Ordering::Relaxed);
                shared.held.fetch_add(untold, Ordering::Relaxed);
            }
            None => drop(shared.on_the_way.fetch_add(untold, Ordering::Relaxed)),
        }
    }

    /// Whether so much is held that nothing more is read until some of it is released.
    #[inline]
    pub(super) fn is_nearly_full(&self) -> bool {
        let untold = u64::try_from(self.untold.get()).unwrap_or(0);
        let held = self.budget.held_by_connections() + untold;
        held >= self.budget.shared.bytes_max / 8 * 7
    }

    /// Bytes that this executor's connections have to release: too much is held, and they hold most of it.
    /// If another executor holds most, rings its bell.
    pub fn excess(&self) -> Option<u64> {
        let shared = &*self.budget.shared;
        let held = self.budget.held_by_connections();
        if held <= shared.bytes_max / 4 * 3 {
            return None;
        }
        let at = |seat: &Seat| seat.held.load(Ordering::Relaxed);
        let most = (0..shared.seats.len()).max_by_key(|seat| at(&shared.seats[*seat]))?;
        if Some(most) != self.seat {
            if let Some(bell) = shared.seats[most].bell.get() {
                bell.ring();
            }
            return None;
        }
        // Other executors hold a part of it, and may be closing connections too: at most half is released
        // here, so that small holders are not closed.
        Some((held - shared.bytes_max / 8 * 5).min(self.held.get().div_ceil(2)))
    }

    /// Counts a connection that was closed because of its memory.
    pub(super) fn count_closed(&self, bytes: u64) {
        let [connections, sum] = &self.budget.shared.closed;
        connections.fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The budget of this share.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn who_holds_most_has_to_let_go_whoever_notices() {
        let budget = Budget::new(64 << 20, 2);
        let shares = [budget.seat(0, None), budget.seat(1, Some(Doorbell::new().unwrap()))];
        shares[0].change(0, 10 * MIB);
        shares[1].change(0, 30 * MIB);
        assert!(shares.iter().all(|share| share.excess().is_none()));
        shares[0].change(0, 9 * MIB);
        assert_eq!((budget.held(), budget.room()), (49 << 20, 15 << 20));
        assert_eq!(shares[0].excess(), None, "the other one holds more");
        assert_eq!(shares[1].excess(), Some(9 << 20));
        shares[1].change(9 * MIB, 0);
        assert_eq!(shares[1].excess(), None);
    }

    #[test]
    fn bytes_on_their_way_take_room_and_close_nobody() {
        let budget = Budget::new(64 << 20, 1);
        let (way, share) = (budget.on_the_way(), budget.seat(0, None));
        let arrived = budget.on_the_way();
        way.change(0, 60 * MIB);
        share.change(0, 2000);
        share.tell();
        assert_eq!((share.excess(), budget.room()), (None, (4 << 20) - 2000));
        arrived.change(60 * MIB, 0);
        share.change(0, 60 * MIB);
        assert_eq!(budget.held(), (60 << 20) + 2000);
        assert_eq!(share.excess(), Some((20 << 20) + 2000));
    }

    #[test]
    fn small_changes_are_told_once_in_a_round() {
        let budget = Budget::new(1 << 30, 1);
        let share = budget.seat(0, None);
        for _ in 0..100 {
            share.change(10, 20);
        }
        assert_eq!(budget.held(), 0);
        share.tell();
        assert_eq!(budget.held(), 1000);
    }
}
