//! New session ids, and the bounds of timeouts.

use crate::id::{ServerId, SessionId};

/// Hands out the session ids of one server (`SessionTrackerImpl.initializeNextSessionId`).
#[derive(Clone, Debug)]
pub struct IdGenerator {
    /// The id that is handed out next.
    next: i64,
}

impl IdGenerator {
    /// Starts at an id made of the server and the time, so that ids differ between two runs of one
    /// server: the server in the high byte, the low 40 bits of `elapsed_ms` in the next five.
    pub fn new(server: ServerId, elapsed_ms: i64) -> IdGenerator {
        let time = ((elapsed_ms << 24).cast_unsigned() >> 8).cast_signed();
        let mut next = time | (server.0 << 56);
        // As the owner of a node, this number means "container".
        if next == i64::MIN {
            next += 1;
        }
        assert!(next != i64::MIN, "no session has the number of containers");
        IdGenerator { next }
    }

    /// An id not handed out before.
    #[expect(clippy::should_implement_trait, reason = "ids do not end, so this is no iterator")]
    pub fn next(&mut self) -> SessionId {
        let id = SessionId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }
}

/// The shortest and the longest session timeout, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `minSessionTimeout`.
    pub min_ms: i32,
    /// `maxSessionTimeout`.
    pub max_ms: i32,
}

impl Timeouts {
    /// ZooKeeper's defaults: 2 and 20 ticks.
    pub const fn of_tick(tick_ms: i32) -> Timeouts {
        Timeouts { min_ms: tick_ms.saturating_mul(2), max_ms: tick_ms.saturating_mul(20) }
    }

    /// The timeout for a client that asks for `wanted_ms`.
    // ZooKeeper: the minimum is applied first, so that a maximum below it wins.
    pub fn clamp(&self, wanted_ms: i32) -> i32 {
        wanted_ms.max(self.min_ms).min(self.max_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_the_server_and_the_time() {
        let mut ids = IdGenerator::new(ServerId(3), 0x12_3456_789a);
        assert_eq!(ids.next(), SessionId(0x0312_3456_789a_0000));
        assert_eq!(ids.next(), SessionId(0x0312_3456_789a_0001));
    }

    #[test]
    fn the_number_that_means_container_is_never_a_session() {
        assert_eq!(IdGenerator::new(ServerId(128), 0).next(), SessionId(i64::MIN + 1));
    }

    #[test]
    fn timeouts_are_clamped() {
        let timeouts = Timeouts::of_tick(2000);
        assert_eq!(timeouts.clamp(1), 4000);
        assert_eq!(timeouts.clamp(10_000), 10_000);
        assert_eq!(timeouts.clamp(i32::MAX), 40_000);
        assert_eq!(timeouts.clamp(-5), 4000);
    }
}
