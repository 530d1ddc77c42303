//! How far a leader has come on its way to serving.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::claims::Claims;
use crate::id::ServerId;
use crate::quorum::{AckTracker, Config, PeerOptions};
use crate::time::MonoUs;
use crate::zab::Epochs;

/// Where a leader is on its way to serving. Each phase waits for what its name says.
#[derive(Debug)]
pub(super) enum LeaderPhase {
    /// A quorum to say which epochs it has accepted, under the active configuration and the one that is to
    /// follow it, as in every phase.
    Discovery {
        /// What they have said.
        claims: Claims,
        /// How long.
        until: MonoUs,
    },
    /// `acceptedEpoch` to be durable.
    Accepting {
        /// With this number.
        token: u64,
    },
    /// A quorum to accept the epoch.
    EpochAcks {
        /// Who has.
        electing: BTreeSet<ServerId>,
        /// How long.
        until: MonoUs,
    },
    /// A quorum to have the history, this leader included.
    Synchronization {
        /// Who has.
        acks: AckTracker,
        /// `currentEpoch` is durable with this number, and all of the history with it.
        token: u64,
        /// How long.
        until: MonoUs,
    },
    /// Nothing: it leads.
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

    /// Until when it may last, and what an operator is told then.
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
            // Our own disk.
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
