//! Log lines about the ensemble: its members at the start, and the role of this server whenever it changes. Nothing
//! here decides anything; the turn loop asks the [`Teller`] in each turn.

use std::sync::Arc;

use crate::config::Config;
use crate::id::ServerId;
use crate::log::{LoggedState, Speaker};
use crate::quorum::{self, Member};
use crate::replica::Replica;
use crate::zab::{PeerFacts, Standing};

/// The id of this server, if it is a member of an ensemble; `None`: it is standalone.
pub fn me(config: &Config) -> Option<ServerId> {
    config.quorum.me().filter(|_| config.quorum.is_distributed())
}

/// Logs the members, and which of them this server is, and a configuration that may have become active meanwhile.
pub fn introduce(config: &Config, me: ServerId) {
    let ensemble = config.quorum.ensemble();
    // One line for each member, so that a line stays readable and can be searched for.
    for line in introduction(config, &ensemble, me) {
        tracing::info!("{line}");
    }
    if let Some(next) = &config.quorum.last_seen {
        tracing::info!(
            "configuration {:x} was proposed before this server ended and may have become active \
             since: the other servers know",
            next.version
        );
    }
}

/// The lines about the members: one about the ensemble, and one for each member.
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
    // An operator wants to know how many servers may fail.
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

/// The role and the addresses of a member, in words.
fn describe(member: &Member) -> String {
    let role = match member.role {
        quorum::PeerType::Participant => "participant",
        quorum::PeerType::Observer => "observer",
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

/// Logs the role of this server when it changes, and sets the role that all lines begin with.
#[derive(Debug)]
pub struct Teller {
    /// Puts the role into all lines of the log; `None`: the server is standalone.
    speaker: Option<Arc<Speaker>>,
    /// The standing that the last line was about.
    told: Option<Standing>,
    /// The milliseconds that this server had spent on joining leaders at the last line: the difference is what the
    /// present leader took.
    joining_ms: u64,
}

impl Teller {
    /// A teller for a server that runs with `config`. It has told nothing yet.
    pub fn new(config: &Config, speaker: Arc<Speaker>) -> Teller {
        Teller { speaker: me(config).map(|_| speaker), told: None, joining_ms: 0 }
    }

    /// Logs the role of the replica, if it is new since the last call.
    pub fn tell(&mut self, replica: &Replica) {
        let (Some(speaker), Some(member)) = (&self.speaker, replica.peer().as_member()) else {
            return;
        };
        let standing = member.standing();
        // Called in each turn, so the usual case must cost little.
        if self.told == Some(standing) {
            return;
        }
        let facts = member.facts();
        let (role, epoch) = match standing {
            Standing::Looking => (LoggedState::Looking, facts.epoch),
            Standing::Leading { epoch } => (LoggedState::Leading, epoch),
            Standing::Following { epoch, .. } => (LoggedState::Following, epoch),
            Standing::Observing { epoch, .. } => (LoggedState::Observing, epoch),
        };
        // Before the line itself, so that the line begins with the new role.
        speaker.set_role(role, epoch);
        let counts = &facts.counts;
        // The counters only grow, so the difference since the last line is what this change took.
        let joining_ms = counts.follower_sync_ms.sum + counts.observer_sync_ms.sum;
        let line = standing_line(&facts, standing, joining_ms - self.joining_ms);
        match standing {
            // The peer logs that it looks for a leader, and why. This line says what that means for clients.
            Standing::Looking if self.told.is_none() => {}
            Standing::Looking => tracing::warn!("{line}"),
            Standing::Leading { .. } | Standing::Following { .. } | Standing::Observing { .. } => {
                tracing::info!("{line}")
            }
        }
        self.joining_ms = joining_ms;
        self.told = Some(standing);
    }
}

/// The role of the server, in words that an operator understands at three in the morning.
fn standing_line(facts: &PeerFacts, now: Standing, ms: u64) -> String {
    // A leader has no mode: it synchronises others.
    let synchronised = match facts.sync_mode {
        Some(mode) => format!(", synchronised by {mode} in {ms} ms"),
        None => String::new(),
    };
    match now {
        Standing::Looking => {
            "looking for a leader; clients are not served until there is one".to_owned()
        }
        Standing::Leading { epoch } => format!(
            "leading, epoch {epoch}, of {} voters; serving clients",
            facts.config.voters().count()
        ),
        Standing::Following { leader, epoch } => {
            format!("following server {leader}, epoch {epoch}{synchronised}; serving clients")
        }
        Standing::Observing { leader, epoch } => {
            // An observer may learn from a follower.
            let through = match facts.learner_master.filter(|&master| master != leader) {
                Some(master) => format!(" through server {master}"),
                None => String::new(),
            };
            format!(
                "observing server {leader}{through}, epoch {epoch}{synchronised}; serving clients"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config;
    use crate::id::Epoch;
    use crate::zab::{PeerCounts, PeerPhase, PeerState};

    const TEXT: &str = "dataDir=/d\nclientPort=1\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
                        server.1=zk1:2888:3888;2181\nserver.2=zk2:2888:3888\n\
                        server.3=zk3:2888:3888;10.0.0.3:2182\nserver.4=zk4:2888:3888:observer\n";

    #[test]
    fn the_members_are_introduced_with_their_roles_and_ports() {
        let config = config::parse(TEXT.as_bytes(), "zoo.cfg").unwrap();
        let lines = introduction(&config, &config.quorum.ensemble(), ServerId(2));
        assert_eq!(
            lines,
            [
                "server 2 of an ensemble of 3 participants and 1 observer; 2 of them decide; \
                 configuration version 0; a learner may take 20000 ms to be synchronised and be \
                 silent for 10000 ms",
                "server 1: participant at zk1 (quorum port 2888, election port 3888), clients on \
                 port 2181",
                "server 2 (this server): participant at zk2 (quorum port 2888, election port 3888)",
                "server 3: participant at zk3 (quorum port 2888, election port 3888), clients at \
                 10.0.0.3 port 2182",
                "server 4: observer at zk4 (quorum port 2888, election port 3888)",
            ]
        );
    }

    fn facts(state: PeerState) -> PeerFacts {
        let config = config::parse(TEXT.as_bytes(), "zoo.cfg").unwrap().quorum.ensemble();
        let config = Rc::new(config);
        PeerFacts {
            me: ServerId(1),
            state,
            phase: PeerPhase::Broadcast,
            sync_mode: Some("DIFF"),
            leader: Some(ServerId(2)),
            learner_master: None,
            epoch: Epoch(5),
            config: config.clone(),
            last_seen: config,
            leading: None,
            synced_observers: 0,
            counts: PeerCounts::default(),
        }
    }

    #[test]
    fn a_role_is_told_in_a_sentence() {
        let (leader, epoch) = (ServerId(2), Epoch(5));
        let following = Standing::Following { leader, epoch };
        assert_eq!(
            standing_line(&facts(PeerState::Following), following, 12),
            "following server 2, epoch 5, synchronised by DIFF in 12 ms; serving clients"
        );
        let mut observer = facts(PeerState::Observing);
        observer.learner_master = Some(ServerId(3));
        assert_eq!(
            standing_line(&observer, Standing::Observing { leader, epoch }, 7),
            "observing server 2 through server 3, epoch 5, synchronised by DIFF in 7 ms; serving \
             clients"
        );
        let mut leading = facts(PeerState::Leading);
        leading.sync_mode = None;
        assert_eq!(
            standing_line(&leading, Standing::Leading { epoch }, 0),
            "leading, epoch 5, of 3 voters; serving clients"
        );
        assert_eq!(
            standing_line(&leading, Standing::Looking, 0),
            "looking for a leader; clients are not served until there is one"
        );
    }
}
