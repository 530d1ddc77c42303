//! The log lines while there is no leader: since when, which voters this server hears, and how many it needs.
//!
//! The election logs a line each time it repeats its vote, which happens ever less often, but at least once in
//! [`LEADERLESS_SAID_MS_MAX`]. The line is a warning only after [`LEADERLESS_WARN_MS`], so a short election causes
//! none. This file decides nothing about the election.

use std::collections::BTreeSet;

use super::round::Electorate;
use crate::id::ServerId;
use crate::limits::{LEADERLESS_SAID_MS_MAX, LEADERLESS_WARN_MS};
use crate::time::MonoUs;

/// When the search began, and when it last logged a line.
#[derive(Debug)]
pub(super) struct Leaderless {
    /// The beginning of the search.
    since: MonoUs,
    /// The time of the last line; `since` before the first one.
    ///
    /// Invariant: not before `since`.
    said_at: MonoUs,
}

/// Which voters this server hears. The lists are texts for the log: ids separated by commas, or [`NONE`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// The number of voters heard, this server included.
    pub(super) count: usize,
    /// The number of voters, under the active and the next configuration together.
    ///
    /// Invariant: `count ≤ of`.
    pub(super) of: usize,
    /// The number of voters that a quorum of the active configuration needs, or a phrase where groups decide.
    pub(super) needed: String,
    /// The voters to which no connection can be made, each with the reason.
    pub(super) unreachable: String,
    /// The voters that this server has not failed to reach, and that have sent no vote in this search.
    pub(super) silent: String,
}

impl Leaderless {
    /// The lines of a search that begins now.
    pub(super) fn new(now: MonoUs) -> Leaderless {
        Leaderless { since: now, said_at: now }
    }

    /// Whether a line is due even though the vote is not repeated now.
    pub(super) fn is_due(&self, now: MonoUs) -> bool {
        self.said_at.plus_ms(LEADERLESS_SAID_MS_MAX) <= now
    }

    /// Logs the line. `interval_ms` is the time between two repetitions of the vote.
    pub(super) fn say(&mut self, now: MonoUs, interval_ms: u64, heard: &Heard) {
        assert!(self.said_at <= now, "time does not go back");
        self.said_at = now;
        let Heard { count, of, needed, unreachable, silent } = heard;
        let ms = now.since_us(self.since) / 1000;
        // A healthy ensemble elects a leader within this time, so an operator need not see a warning.
        if ms < LEADERLESS_WARN_MS {
            tracing::info!(interval_ms, unreachable, silent, "no leader yet: voting again");
            return;
        }
        let seconds = ms / 1000;
        // A server that is reached and stays silent refuses this one, and only its own log has the reason.
        let hint = if silent == NONE {
            ""
        } else {
            ". Those that can be reached and are silent may refuse this server: their logs say \
             why (two servers with the same myid, or the two ports of a line exchanged)"
        };
        tracing::warn!(
            seconds,
            voters_heard = count,
            voters = of,
            interval_ms,
            unreachable,
            silent,
            "no leader for {seconds} s: {count} of {of} voters are heard, {needed} are needed{hint}"
        );
    }
}

/// The text for an empty list.
const NONE: &str = "none";

impl Heard {
    /// Compiles the lists. `has_heard`: whether a server has voted in this search; `is_unreachable`: whether an
    /// attempt to connect to it has failed; `why`: the reason, empty if it is not known.
    pub(super) fn new(
        electorate: &Electorate,
        has_heard: impl Fn(ServerId) -> bool,
        is_unreachable: impl Fn(ServerId) -> bool,
        why: impl Fn(ServerId) -> String,
    ) -> Heard {
        let voters = electorate.voters();
        let is_heard = |id: ServerId| id == electorate.me || has_heard(id);
        let missing = |wanted: bool| -> BTreeSet<ServerId> {
            let missing = voters.iter().copied().filter(|id| !is_heard(*id));
            missing.filter(|id| is_unreachable(*id) == wanted).collect()
        };
        let list = |ids: BTreeSet<ServerId>, with_reason: bool| {
            let told = |id: &ServerId| match why(*id) {
                reason if with_reason && !reason.is_empty() => format!("{id} ({reason})"),
                _ => id.to_string(),
            };
            let ids: Vec<String> = ids.iter().map(told).collect();
            if ids.is_empty() { NONE.to_owned() } else { ids.join(", ") }
        };
        let count = voters.iter().filter(|id| is_heard(**id)).count();
        assert!(count <= voters.len(), "only voters are counted");
        let needed = match electorate.active.majority() {
            Some(needed) => needed.to_string(),
            None => "those of a majority of the groups".to_owned(),
        };
        Heard {
            count,
            of: voters.len(),
            needed,
            unreachable: list(missing(true), true),
            silent: list(missing(false), false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::quorum::Config;

    #[test]
    fn who_is_heard_and_what_is_needed_is_told_of_all_voters() {
        let lines = (1..=3).map(|id| format!("server.{id}=h{id}:2888:3888:participant\n"));
        let config = Rc::new(Config::parse(&lines.collect::<String>()).unwrap());
        let electorate =
            Electorate { me: ServerId(1), active: config.clone(), last_seen: config, oracle: None };
        let heard = |by: &[i64], unreachable: &[i64]| {
            let heard = |id: ServerId| by.contains(&id.0);
            let why = |id: ServerId| match id.0 {
                2 => "h2 cannot be resolved".to_owned(),
                _ => String::new(),
            };
            Heard::new(&electorate, heard, |id| unreachable.contains(&id.0), why)
        };
        let alone = heard(&[], &[2]);
        assert_eq!((alone.count, alone.of, &*alone.needed), (1, 3, "2"));
        assert_eq!((&*alone.unreachable, &*alone.silent), ("2 (h2 cannot be resolved)", "3"));
        let two = heard(&[3], &[2, 3]);
        assert_eq!(
            (two.count, &*two.unreachable, &*two.silent),
            (2, "2 (h2 cannot be resolved)", "none")
        );
    }

    #[test]
    fn a_search_is_told_of_at_least_once_a_minute() {
        let at = |ms: u64| MonoUs(ms * 1000);
        let leaderless = Leaderless::new(at(0));
        assert!(!leaderless.is_due(at(59_999)) && leaderless.is_due(at(60_000)));
    }
}
