//! What an operator is told about the ensemble: who is in it at the start, and what this server is
//! in it as that changes.

use std::sync::Arc;

use crate::admin::logging::{Role, Speaker};
use crate::config::Config;
use crate::id::{Epoch, ServerId};
use crate::quorum::{self, Member};
use crate::replica::Replica;

/// This server, if it is one of an ensemble.
pub fn me(config: &Config) -> Option<ServerId> {
    config.quorum.me().filter(|_| config.quorum.is_distributed())
}

/// Says who the members are, and which of them this server is.
pub fn introduce(config: &Config, me: ServerId) {
    let ensemble = config.quorum.ensemble();
    for line in introduction(config, &ensemble, me) {
        tracing::info!("{line}");
    }
    if let Some(next) = &config.quorum.last_seen {
        tracing::info!(
            "configuration {:x} was proposed before this server ended and may have become active \
             since: the others will say",
            next.version
        );
    }
}

fn introduction(config: &Config, ensemble: &quorum::Config, me: ServerId) -> Vec<String> {
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    let voters = ensemble.voters().count();
    let observers = match ensemble.members.len() - voters {
        0 => String::new(),
        n => format!(" and {}", plural(n, "observer")),
    };
    let decides = match ensemble.groups.len() {
        0 => format!("{} of them decide", voters / 2 + 1),
        n => format!("they decide by weight in {}", plural(n, "group")),
    };
    let quorum = &config.quorum;
    let tick = u64::from(config.sessions.tick_time_ms);
    let mut lines = vec![format!(
        "server {me} of an ensemble of {}{observers}; {decides}; configuration version {:x}; a \
         learner may take {} ms to be synchronised and be silent for {} ms",
        plural(voters, "participant"),
        ensemble.version,
        tick * u64::from(quorum.init_limit),
        tick * u64::from(quorum.sync_limit),
    )];
    for (&id, member) in &ensemble.members {
        let this = if id == me { " (this server)" } else { "" };
        lines.push(format!("server {id}{this}: {}", describe(member)));
    }
    lines
}

fn describe(member: &Member) -> String {
    let role = match member.role {
        quorum::Role::Participant => "participant",
        quorum::Role::Observer => "observer",
    };
    let places: Vec<String> = member
        .addresses
        .iter()
        .map(|a| {
            format!("{} (quorum port {}, election port {})", a.host, a.quorum_port, a.election_port)
        })
        .collect();
    let clients = match &member.client {
        None => String::new(),
        Some((None, port)) => format!(", clients on port {port}"),
        Some((Some(host), port)) => format!(", clients at {host} port {port}"),
    };
    format!("{role} at {}{clients}", places.join(" and "))
}

/// Says what this server is, when that changes, in a line and in front of all lines.
#[derive(Debug)]
pub struct Teller {
    /// `None`: it stands alone, and stays so.
    speaker: Option<Arc<Speaker>>,
    told: Option<&'static str>,
}

impl Teller {
    /// For a server that runs with `config`.
    pub fn new(config: &Config, speaker: Arc<Speaker>) -> Teller {
        Teller { speaker: me(config).map(|_| speaker), told: None }
    }

    /// Says what the replica is, if that is new.
    pub fn tell(&mut self, replica: &Replica) {
        let Some(speaker) = &self.speaker else { return };
        let _ = (replica, &self.told, Role::Looking, Epoch(0), speaker);
    }
}
