//! What the four-letter words say more on a member of an ensemble, as ZooKeeper writes it.

use std::fmt::Write;

use crate::id::{ServerId, SessionId};
use crate::peer::{PeerFacts, Standing};
use crate::quorum::{Config, Role};
use crate::zab::learner::SyncMode;

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

/// The state of the peer (`QuorumPeer.getDetailedPeerState`): `following - broadcast - diff`.
// ZooKeeper: the way of synchronisation is forgotten as soon as it serves.
pub fn peer_state(facts: &PeerFacts) -> String {
    let state = match (facts.standing, facts.leader) {
        (Standing::Leading { .. }, _) => "leading",
        (Standing::Following { .. }, _) => "following",
        (Standing::Observing { .. }, _) => "observing",
        (Standing::Looking, _) => "looking",
    };
    let mut out = state.to_owned();
    if facts.zab_state != "election" {
        put!(out, " - {}", facts.zab_state);
    }
    if let Some(mode) = facts.sync_mode.filter(|_| facts.zab_state != "broadcast") {
        put!(out, " - {}", sync_mode(mode).to_lowercase());
    }
    out
}

/// ZooKeeper's word for a way of synchronisation.
pub fn sync_mode(mode: SyncMode) -> &'static str {
    match mode {
        SyncMode::Diff => "DIFF",
        SyncMode::Trunc => "TRUNC",
        SyncMode::Snap => "SNAP",
    }
}

/// The lines of `mntr` that are no metrics, behind those of every server.
pub fn monitor(facts: &PeerFacts) -> String {
    let mut out = format!("zk_peer_state\t{}\n", peer_state(facts));
    if let (Standing::Observing { .. }, Some(master)) = (facts.standing, facts.master) {
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
