//! The voters that do not follow, and when the log says so again. The line about the loss itself is soon far above,
//! but an ensemble of three that has lost one server survives no other loss.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ServerId;
use crate::limits::MISSING_SAID_MS;
use crate::time::MonoUs;

/// The voters that are missing.
///
/// Invariant: no other servers than those that were missing at the last look.
#[derive(Debug, Default)]
pub(super) struct Missing(BTreeMap<ServerId, Absence>);

#[derive(Debug)]
struct Absence {
    /// The first look at which the voter was missing.
    since: MonoUs,
    /// When the log says so again.
    say_at: MonoUs,
    /// The time between two lines, in ms; it doubles.
    pause_ms: u64,
}

impl Missing {
    /// Takes note of the voters that are missing now. The result is what the log has to say: for how many seconds which
    /// voters have been missing.
    pub(super) fn look(
        &mut self,
        now: MonoUs,
        missing: &BTreeSet<ServerId>,
    ) -> Vec<(ServerId, u64)> {
        self.0.retain(|id, _| missing.contains(id));
        let mut due = Vec::new();
        for id in missing {
            let absence = self.0.entry(*id).or_insert_with(|| {
                let pause_ms = MISSING_SAID_MS.0;
                Absence { since: now, say_at: now.plus_ms(pause_ms), pause_ms }
            });
            if absence.say_at <= now {
                absence.pause_ms = (absence.pause_ms * 2).min(MISSING_SAID_MS.1);
                absence.say_at = now.plus_ms(absence.pause_ms);
                due.push((*id, now.since_us(absence.since) / 1_000_000));
            }
        }
        assert_eq!(self.0.len(), missing.len(), "each missing voter has an absence");
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_that_is_missing_for_long_is_named_again_ever_more_seldom() {
        let mut missing = Missing::default();
        let gone = BTreeSet::from([ServerId(3)]);
        let mut said = Vec::new();
        for second in 0..4 * 3600 {
            for (id, seconds) in missing.look(MonoUs(second * 1_000_000), &gone) {
                assert_eq!((id, seconds), (ServerId(3), second));
                said.push(second);
            }
        }
        assert_eq!(said[..4], [30, 90, 210, 450]);
        assert!(said.windows(2).all(|two| two[1] - two[0] <= 3600) && said.len() <= 12, "{said:?}");
        // It came back: the next loss is a new one.
        let back = MonoUs(20_000_000_000);
        assert!(missing.look(back, &BTreeSet::new()).is_empty());
        assert!(missing.look(back, &gone).is_empty());
        assert_eq!(missing.look(back.plus_ms(30_000), &gone), [(ServerId(3), 30)]);
    }
}
