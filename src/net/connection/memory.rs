//! The memory that a connection holds, and its end if all connections together hold too much.
//!
//! A connection reports every change of what it holds to the share of its executor ([`Share`](crate::net::Share));
//! `Connections::settle` asks all connections for a [`Holder`] when the share says that it is too much, and gives up
//! those with the greatest weight.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Connection, End};
use crate::id::ConnectionId;
use crate::limits;
use crate::net::Budget;

/// The memory that one connection holds.
pub(in crate::net) struct Holder {
    /// The connection.
    pub conn: ConnectionId,
    /// Unsent output, unanswered requests, and the room for an incomplete frame.
    pub bytes: usize,
    /// How long it has held the oldest part of it.
    age: Duration,
    /// Bytes times age: much memory for a moment weighs the same as little memory for long.
    pub weight: u128,
}

/// The least age that counts, so that a large new piece weighs more than a small new one.
const AGE_MIN: Duration = Duration::from_millis(100);
/// Bytes of requests that wait for the server weigh this many times less than bytes that wait for their client.
/// Their total is bounded by the limits on reading.
const LAWFUL_WEIGHT: u128 = 16;

impl Connection {
    /// Updates the executor's share with the bytes that it holds now.
    pub(in crate::net) fn recount(&self) {
        let requests = self.request_bytes();
        if requests <= limits::OUTPUT_REPORTED_BYTES {
            self.loaded_since.set(None);
        } else if self.loaded_since.get().is_none() {
            self.loaded_since.set(Some(Instant::now()));
        }
        let bytes = self.unsent.borrow().held + self.socket.held_bytes() + requests;
        self.table.shared.share.change(self.counted.replace(bytes), bytes);
    }

    /// Bytes of unanswered requests and of an incomplete frame.
    fn request_bytes(&self) -> usize {
        let outstanding = usize::try_from(self.outstanding_bytes.get()).unwrap_or(usize::MAX);
        outstanding.saturating_add(self.partial.borrow().capacity())
    }

    /// The memory that it holds, if any.
    pub(in crate::net) fn holds(&self, now: Instant) -> Option<Holder> {
        let unsent = self.unsent.borrow();
        let requests = self.request_bytes();
        let tls = self.socket.held_bytes();
        let bytes = unsent.held + tls + requests;
        if bytes == 0 {
            return None;
        }
        // Output ages while its client does not read, requests while they are incomplete or unanswered.
        let age = |since: Option<Instant>| {
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        };
        let unsent_age = age(unsent.pieces.front().map(|piece| piece.since));
        let requests_age = age(self.loaded_since.get());
        let weigh = |bytes: usize, age: Duration| bytes as u128 * (age + AGE_MIN).as_millis();
        // Complete requests of a client that reads its answers wait for this server, not for their client.
        let lawful = if unsent.held == 0 {
            usize::try_from(self.outstanding_bytes.get()).unwrap_or(usize::MAX).min(requests)
        } else {
            0
        };
        let tls_age = match tls {
            0 => Duration::ZERO,
            _ => age(Some(self.stuck_since.get())),
        };
        let weight = weigh(unsent.held, unsent_age)
            + weigh(tls, tls_age)
            + weigh(requests - lawful, requests_age)
            + weigh(lawful, requests_age) / LAWFUL_WEIGHT;
        Some(Holder {
            conn: self.id,
            bytes,
            age: unsent_age.max(requests_age).max(tls_age),
            weight,
        })
    }

    /// Ends it because of the memory that it holds, and because all connections together hold too much.
    pub(in crate::net) fn give_up(self: &Rc<Self>, holder: &Holder, budget: &Budget) {
        self.finish(&End::Failed(format!(
            "it holds {} kB, the oldest for {} ms, and all connections together hold nearly the \
             allowed {} MiB (ringkeeper.connectionMemoryMax)",
            holder.bytes.div_ceil(1000),
            holder.age.as_millis(),
            budget.bytes_max() >> 20,
        )));
        // Frees its memory now, whatever still references it.
        self.unsent.take();
        self.partial.take();
    }
}
