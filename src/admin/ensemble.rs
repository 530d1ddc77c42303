//! What the four-letter words say more on a member of an ensemble, as ZooKeeper writes it.

use std::fmt::Write;

use crate::id::{ServerId, SessionId};
use crate::peer::{PeerFacts, PeerPhase, PeerState};
use crate::quorum::{Config, Role};

/// Writing to a string cannot fail; this says so once.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("a string takes everything")
    };
}

/// The limits that `conf` tells, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `initLimit`
    pub init: u32,
    /// `syncLimit`
    pub sync: u32,
}

/// The lines of `conf` behind those of every server (`QuorumZooKeeperServer.dumpConf`); a read-only
/// server does not tell its ensemble.
pub fn conf(limits: Limits, me: ServerId, config: &Config, is_read_only: bool) -> String {
    let ports = |port: fn(&crate::quorum::MemberAddress) -> u16| -> String {
        let own = config.members.get(&me).map(|member| member.addresses.as_slice());
        let ports: Vec<String> =
            own.unwrap_or_default().iter().map(|a| port(a).to_string()).collect();
        ports.join("|")
    };
    let role = config.members.get(&me).map(|member| member.role);
    let mut out = format!(
        "initLimit={}\n\
         syncLimit={}\n\
         electionAlg=3\n\
         electionPort={}\n\
         quorumPort={}\n\
         peerType={}\n",
        limits.init,
        limits.sync,
        ports(|address| address.election_port),
        ports(|address| address.quorum_port),
        u8::from(role == Some(Role::Observer)),
    );
    if !is_read_only {
        // ZooKeeper: a blank behind the colon, and no end of the last line.
        put!(out, "membership: \n{config}");
    }
    out
}

/// The state of the peer (`QuorumPeer.getDetailedPeerState`): `following - broadcast`.
// ZooKeeper: QuorumPeer sets the way of synchronisation back to NONE as soon as it serves.
pub fn peer_state(facts: &PeerFacts) -> String {
    let state = match facts.state {
        PeerState::Looking => "looking",
        PeerState::Leading => "leading",
        PeerState::Following => "following",
        PeerState::Observing => "observing",
    };
    let phase = match facts.phase {
        PeerPhase::Election => "",
        PeerPhase::Discovery => " - discovery",
        PeerPhase::Synchronization => " - synchronization",
        PeerPhase::Broadcast => " - broadcast",
    };
    let mut out = format!("{state}{phase}");
    if let Some(mode) = facts.sync_mode.filter(|_| facts.phase != PeerPhase::Broadcast) {
        put!(out, " - {}", mode.to_lowercase());
    }
    out
}

/// The lines of `mntr` that are no metrics, behind those of every server.
pub fn monitor(facts: &PeerFacts) -> String {
    let mut out = format!("zk_peer_state\t{}\n", peer_state(facts));
    if let Some(master) = facts.learner_master {
        put!(out, "zk_observer_master_id\t{master}\n");
    }
    out
}

/// The sessions that a learner knows of its leader (`LearnerSessionTracker.dumpSessions`), by id.
pub fn global_sessions(sessions: impl Iterator<Item = (SessionId, i32)>) -> String {
    let mut sessions: Vec<(SessionId, i32)> = sessions.collect();
    sessions.sort_unstable();
    let mut out = format!("Global Sessions({}):\n", sessions.len());
    for (session, timeout_ms) in sessions {
        put!(out, "{session}\t{timeout_ms}ms\n");
    }
    out
}
