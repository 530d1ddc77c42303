//! The progress of a leader towards serving.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::claims::Claims;
use crate::id::ServerId;
use crate::quorum::{AckTracker, Config, PeerOptions};
use crate::time::MonoUs;
use crate::zab::Epochs;

/// The progress of a leader towards serving. Each phase is named after what it brings about.
#[derive(Debug)]
pub(super) enum LeaderPhase {
    /// Waits for the accepted epochs of a quorum: of the active configuration and of the next one, as in every phase.
    Discovery {
        /// The epochs that the servers claim.
        claims: Claims,
        /// The time at which this server gives up.
        until: MonoUs,
    },
    /// Waits for `acceptedEpoch` to be durable.
    Accepting {
        /// The token that says so.
        token: u64,
    },
    /// Waits for a quorum that accepts the epoch.
    EpochAcks {
        /// The servers that have accepted it.
        electing: BTreeSet<ServerId>,
        /// The time at which this server gives up.
        until: MonoUs,
    },
    /// Waits for a quorum that has the history, this leader included.
    Synchronization {
        /// The servers that have it.
        acks: AckTracker,
        /// The token that says that `currentEpoch` is durable, and all of the history.
        token: u64,
        /// The time at which this server gives up.
        until: MonoUs,
    },
    /// Waits for nothing: the leader serves.
    Broadcast,
}

impl LeaderPhase {
    pub(super) fn discovery(
        options: &PeerOptions,
        config: &Config,
        epochs: Epochs,
        now: MonoUs,
    ) -> LeaderPhase {
        let me = Some(options.me).filter(|me| config.is_voter(*me));
        let claims = Claims::new(epochs.accepted, me);
        LeaderPhase::Discovery { claims, until: init_end(options, now) }
    }

    pub(super) fn is_broadcast(&self) -> bool {
        matches!(self, LeaderPhase::Broadcast)
    }

    /// The time at which this phase ends without success, and the reason that the log gives then.
    pub(super) fn limit(&self) -> Option<(MonoUs, String)> {
        match self {
            LeaderPhase::Discovery { claims, until } => {
                let came = list(&claims.counted());
                let mut state = format!("only the servers {came} have come to it");
                for (server, accepted) in claims.doubted() {
                    let _ = write!(state, ", and server {server} says epoch {accepted}");
                }
                Some((*until, state))
            }
            LeaderPhase::EpochAcks { electing, until } => Some((
                *until,
                format!("only the servers {} have accepted its epoch", list(electing)),
            )),
            LeaderPhase::Synchronization { acks, until, .. } => {
                Some((*until, format!("only the servers {} have its history", list(acks.acks()))))
            }
            // The first waits for this server's own disk, the second for nothing.
            LeaderPhase::Accepting { .. } | LeaderPhase::Broadcast => None,
        }
    }
}

pub(super) fn init_end(options: &PeerOptions, now: MonoUs) -> MonoUs {
    now.plus_ms(options.init_limit.saturating_mul(options.tick_ms))
}

pub(super) fn list(servers: &BTreeSet<ServerId>) -> String {
    let servers: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    if servers.is_empty() { "(none)".to_owned() } else { servers.join(", ") }
}
