//! What the watches of clients may cost in a turn.
//!
//! A multi may change ten thousand nodes below the recursive watches of ten thousand clients, and is applied whole.
//! Its firings are charged to the connections that watch. A turn that has spent what it may goes on for those who
//! had less than an even share of it, until it has spent as much again; the others are given up: their clients
//! connect again, and set their watches.
//!
//! ```text
//! spent in this turn   0 ───────────────── per_turn ──────────────── 2 × per_turn ───▶
//!                        everybody gets all │ only who had less than   │ nobody gets more
//!                                           │ per_turn / charged       │
//! ```
//! This module only counts: the table gives up connections, and the replica closes them.

use crate::limits;

/// The account of a turn, in tenths of microseconds: what it takes to find a watch and to copy a short event.
#[derive(Debug)]
pub(super) struct Turn {
    /// Counts the turns, so that accounts of connections begin anew without a look at each.
    number: u64,
    /// What this turn may spend before connections are given up; all together spend at most about twice as much.
    per_turn: u32,
    /// What this turn may still spend. Negative when it has spent more. Invariant: at most `per_turn`.
    left: i64,
    /// Connections that were charged in this turn.
    charged: u32,
}

/// The account of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    /// The turn in which it was last charged.
    turn: u64,
    /// What it was charged in that turn.
    spent: u32,
}

impl Default for Turn {
    fn default() -> Self {
        Turn {
            number: 1,
            per_turn: limits::TURN_EVENTS_MAX,
            left: limits::TURN_EVENTS_MAX.into(),
            charged: 0,
        }
    }
}

impl Turn {
    /// Begins a turn, which may spend so much.
    pub(super) fn begin(&mut self, per_turn: u32) {
        *self = Turn { number: self.number + 1, per_turn, left: per_turn.into(), charged: 0 };
    }

    /// Charges a connection. False: it is to be given up.
    #[inline]
    pub(super) fn charge(&mut self, account: &mut Account, units: u32) -> bool {
        if account.turn != self.number {
            *account = Account { turn: self.number, spent: 0 };
            self.charged += 1;
        }
        assert!(self.charged > 0, "the connection has an account in this turn");
        account.spent = account.spent.saturating_add(units);
        self.left -= i64::from(units);
        // The even share shrinks with each connection that is charged for the first time.
        self.left >= 0 || !self.is_over() && account.spent <= self.per_turn / self.charged
    }

    /// Charges nobody.
    pub(super) fn spend(&mut self, units: u32) {
        self.left -= i64::from(units);
    }

    /// Whether the turn has spent twice what it may: nobody gets more.
    pub(super) fn is_over(&self) -> bool {
        self.left < -i64::from(self.per_turn)
    }

    /// What was spent in this turn.
    pub(super) fn spent(&self) -> u64 {
        assert!(self.left <= i64::from(self.per_turn), "a turn only spends");
        (i64::from(self.per_turn) - self.left).unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greedy_are_given_up_first_and_everybody_in_the_end() {
        let mut turn = Turn::default();
        turn.begin(100);
        let (mut greedy, mut modest) = (Account::default(), Account::default());
        assert!(turn.charge(&mut modest, 10));
        assert!(turn.charge(&mut greedy, 90));
        assert!(turn.charge(&mut modest, 1), "it has had less than its share");
        assert!(!turn.charge(&mut greedy, 1), "it has had more");
        assert!(turn.charge(&mut modest, 39));
        assert!(!turn.charge(&mut modest, 1), "now it has had more as well");
        let mut other = Account::default();
        turn.spend(60);
        assert!(turn.is_over() && !turn.charge(&mut other, 1));
        assert_eq!(turn.spent(), 203);
        turn.begin(100);
        assert!(turn.charge(&mut greedy, 100), "another turn, another account");
    }
}
