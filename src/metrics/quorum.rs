//! ZooKeeper's metrics of ensembles, and a few of our own: where each value comes from.

use super::names::{Value, rounded};
use crate::time::MonoUs;
use crate::zab::{Durations, PeerFacts, PeerState};

/// Our own metrics, which ZooKeeper does not have: the progress of a reconfiguration, and the epoch.
pub const OWN: &[&str] = &[
    "config_version",
    "current_epoch",
    "acknowledged_lost_count",
    "proposals_outstanding",
    "syncs_running_snap",
    "syncs_running_diff",
    "quorum_logins_accepted",
    "quorum_logins_refused",
    "quorum_logins_made",
    "quorum_logins_failed",
    "reconfig_in_progress",
    "reconfig_version",
    "reconfig_acknowledged",
    "reconfig_voters",
    "reconfig_elapsed_ms",
];

/// Calls `sink` with every metric that only a member of an ensemble has.
pub fn each(facts: &PeerFacts, is_read_only: bool, now: MonoUs, sink: &mut dyn FnMut(&str, Value)) {
    let mut integer = |name: &str, value: u64| sink(name, Value::Integer(value));
    if !is_read_only {
        integer("quorum_size", facts.config.voters().count() as u64);
    }
    if let Some(leading) = &facts.leading {
        for (name, count) in [
            ("learners", leading.learners.len()),
            ("synced_followers", leading.synced_followers),
            ("synced_non_voting_followers", leading.synced_non_voting_followers),
            ("synced_observers", leading.synced_observers),
            ("pending_syncs", leading.pending_syncs),
            ("proposals_outstanding", leading.proposals_outstanding),
            ("syncs_running_snap", leading.syncs_running.0),
            ("syncs_running_diff", leading.syncs_running.1),
        ] {
            integer(name, count as u64);
        }
        integer("leader_uptime", now.since_us(leading.since) / 1000);
    } else if facts.state == PeerState::Following {
        integer("synced_observers", facts.synced_observers);
    }
    let counts = &facts.counts;
    for (name, value) in [
        ("looking_count", counts.lookings),
        ("snap_count", counts.snaps_sent),
        ("diff_count", counts.diffs_sent),
        ("proposal_count", counts.proposals),
        ("commit_count", counts.commits),
        ("learner_proposal_received_count", counts.proposals_received),
        ("learner_commit_received_count", counts.commits_received),
        ("acknowledged_lost_count", counts.acknowledged_lost),
        ("quorum_logins_accepted", counts.logins_accepted.passed),
        ("quorum_logins_refused", counts.logins_accepted.failed),
        ("quorum_logins_made", counts.logins_opened.passed),
        ("quorum_logins_failed", counts.logins_opened.failed),
        ("current_epoch", u64::try_from(facts.epoch.0).unwrap_or(0)),
        ("config_version", u64::try_from(facts.config.version).unwrap_or(0)),
    ] {
        integer(name, value);
    }
    reconfig(facts, now, &mut integer);
    if let Some(leading) = &facts.leading {
        for (name, bytes) in [
            ("last_proposal_size", leading.sizes.last),
            ("min_proposal_size", leading.sizes.min),
            ("max_proposal_size", leading.sizes.max),
        ] {
            sink(name, Value::Signed(bytes));
        }
    }
    for (name, durations) in [
        ("election_time", counts.elections_ms),
        ("unavailable_time", counts.unavailable_ms),
        ("leader_unavailable_time", counts.leader_unavailable_ms),
        ("follower_sync_time", counts.follower_sync_ms),
        ("observer_sync_time", counts.observer_sync_ms),
    ] {
        summary(name, durations, sink);
    }
}

/// A reconfiguration that the leader has proposed, or that this server knows of, until it is active.
fn reconfig(facts: &PeerFacts, now: MonoUs, integer: &mut impl FnMut(&str, u64)) {
    let is_open = facts.last_seen.version > facts.config.version;
    let leading = facts.leading.as_ref().and_then(|leading| leading.reconfig.as_ref());
    integer("reconfig_in_progress", u64::from(is_open || leading.is_some()));
    if is_open {
        integer("reconfig_version", u64::try_from(facts.last_seen.version).unwrap_or(0));
    }
    if let Some(reconfig) = leading {
        let (acknowledged, missing) = (reconfig.acknowledged.len(), reconfig.missing.len());
        integer("reconfig_acknowledged", acknowledged as u64);
        integer("reconfig_voters", (acknowledged + missing) as u64);
        integer("reconfig_elapsed_ms", now.since_us(reconfig.since) / 1000);
    }
}

fn summary(name: &str, durations: Durations, sink: &mut dyn FnMut(&str, Value)) {
    let Durations { count, sum, min, max } = durations;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let mean = if count == 0 { 0.0 } else { sum as f64 / count as f64 };
    sink(&format!("avg_{name}"), Value::Real(rounded(mean)));
    for (part, value) in [("min", min), ("max", max), ("cnt", count), ("sum", sum)] {
        sink(&format!("{part}_{name}"), Value::Integer(value));
    }
}
