//! The additional lines of four-letter words on a member of an ensemble, as ZooKeeper writes them.

use std::fmt::Write;

use crate::id::{ServerId, SessionId};
use crate::quorum::{Config, PeerType};
use crate::zab::{PeerFacts, PeerPhase, PeerState};

/// Writes to a string, which cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("a string takes everything")
    };
}

/// The limits in the answer to `conf`, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `initLimit`
    pub init: u32,
    /// `syncLimit`
    pub sync: u32,
}

/// The lines of `conf` after those of every server (`QuorumZooKeeperServer.dumpConf`); a read-only
/// server omits its ensemble.
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
        u8::from(role == Some(PeerType::Observer)),
    );
    if !is_read_only {
        // ZooKeeper: a blank after the colon, and no end of the last line.
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

/// The lines of `mntr` that are not metrics, after those of every server.
pub fn monitor(facts: &PeerFacts) -> String {
    let mut out = format!("zk_peer_state\t{}\n", peer_state(facts));
    if let Some(master) = facts.learner_master {
        put!(out, "zk_observer_master_id\t{master}\n");
    }
    out
}

/// The sessions of its leader that a learner knows (`LearnerSessionTracker.dumpSessions`), by id.
pub fn global_sessions(sessions: impl Iterator<Item = (SessionId, i32)>) -> String {
    let mut sessions: Vec<(SessionId, i32)> = sessions.collect();
    sessions.sort_unstable();
    let mut out = format!("Global Sessions({}):\n", sessions.len());
    for (session, timeout_ms) in sessions {
        put!(out, "{session}\t{timeout_ms}ms\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::admin::answer::{self, Brief, Mode};
    use crate::id::{Epoch, Zxid};
    use crate::metrics::process::FileDescriptors;
    use crate::metrics::{self, Gauges, Stalls};
    use crate::replica::Stats;
    use crate::time::{MonoUs, WallMs};
    use crate::zab::PeerCounts;
    use crate::zab::leader::{LeaderFacts, LearnerFacts, ProposalSizes, ReconfigProgress};

    /// The answers of a leader, a follower, an observer, a server without a quorum and a read-only
    /// server of Apache ZooKeeper 3.9.4.
    const GOLDEN: &str = include_str!("../../tests/golden/four_letter_words/ensemble-3.9.4.txt");

    fn golden(who: &str, word: &str) -> &'static str {
        let (_, rest) = GOLDEN.split_once(&format!("===== {who} {word}\n")).expect(word);
        rest.split_once("<EOF>").expect("an end").0
    }

    fn config() -> Config {
        Config::parse(
            "server.1=127.0.0.1:42011:42021:participant\n\
             server.2=127.0.0.1:42012:42022:participant\n\
             server.3=127.0.0.1:42013:42023:observer\n\
             version=100000000",
        )
        .unwrap()
    }

    const LIMITS: Limits = Limits { init: 10, sync: 5 };

    #[test]
    fn conf_ends_with_the_ensemble() {
        for (who, me) in [("follower", 1), ("leader", 2), ("observer", 3)] {
            let theirs = golden(who, "conf");
            let (_, tail) = theirs.split_once(&format!("serverId={me}\n")).unwrap();
            assert_eq!(conf(LIMITS, ServerId(me), &config(), false), tail, "{who}");
        }
        let (_, tail) = golden("read-only", "conf").split_once("serverId=1\n").unwrap();
        assert_eq!(conf(LIMITS, ServerId(1), &config(), true), tail);
        let several = Config::parse("server.1=a:1:2|b:3:4:participant\nversion=0").unwrap();
        let text = conf(LIMITS, ServerId(1), &several, true);
        assert!(text.contains("electionPort=2|4\nquorumPort=1|3\n"), "{text}");
    }

    fn leading() -> LeaderFacts {
        let learner = |server: i64| LearnerFacts {
            server: Some(ServerId(server)),
            remote: "127.0.0.1:5".parse().unwrap(),
            since: MonoUs(0),
            is_observer: server == 3,
            stage: "synchronised",
            is_synced: true,
            acked: Zxid(0),
            queued_bytes: 0,
            sent_bytes: 0,
            packets_received: 0,
            requests: 0,
        };
        LeaderFacts {
            since: MonoUs(1_000_000),
            is_active: true,
            learners: vec![learner(1), learner(3)],
            synced_followers: 1,
            synced_non_voting_followers: 0,
            synced_observers: 1,
            pending_syncs: 0,
            proposals_outstanding: 0,
            proposed: Zxid(0x1_0000_0006),
            committed: Zxid(0x1_0000_0006),
            sizes: ProposalSizes { last: 92, min: 48, max: 92, count: 6 },
            proposals: 6,
            acknowledged_lost: 0,
            syncs: (1, 1),
            syncs_running: (0, 0),
            reconfig: None,
        }
    }

    fn facts(state: PeerState) -> PeerFacts {
        let config = Rc::new(config());
        PeerFacts {
            me: ServerId(1),
            state,
            phase: PeerPhase::Broadcast,
            sync_mode: Some("SNAP").filter(|_| state != PeerState::Leading),
            leader: Some(ServerId(2)),
            learner_master: Some(ServerId(2)).filter(|_| state == PeerState::Observing),
            epoch: Epoch(1),
            config: config.clone(),
            last_seen: config,
            leading: (state == PeerState::Leading).then(leading),
            synced_observers: 0,
            counts: PeerCounts { proposals: 6, commits: 6, ..PeerCounts::default() },
        }
    }

    fn mntr(facts: &PeerFacts, mode: Mode) -> String {
        let stats = Stats::new(WallMs(0), MonoUs(0));
        let gauges = Gauges {
            znodes: 8,
            watches: 1,
            ephemerals: 3,
            data_bytes: 211,
            sessions_global: 3,
            sessions_local: 0,
            connections: 2,
            requests_outstanding: 0,
            uptime_ms: 42_862,
            file_descriptors: FileDescriptors { open: Some(63), max: Some(20_000) },
            connections_refused: 0,
            handshakes: crate::metrics::HandshakeFigures::default(),
            link_handshakes: crate::metrics::HandshakeFigures::default(),
            certificate_days: crate::metrics::CertificateDays::default(),
            drop_probability: 0.0,
            digest_mismatches: 0,
            disk_is_full: false,
            audit_dropped: 0,
        };
        let brief = Brief {
            stats: &stats,
            gauges: &gauges,
            stalls: &Stalls::default(),
            held: &metrics::Held::default(),
            zxid: Zxid(3),
            mode,
            proposal_sizes: None,
        };
        answer::mntr(&brief, Some(facts), MonoUs(43_771_000))
    }

    fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
    }

    #[test]
    fn what_each_role_tells_is_zookeepers() {
        for (who, state, mode) in [
            ("leader", PeerState::Leading, Mode::Leader),
            ("follower", PeerState::Following, Mode::Follower),
            ("observer", PeerState::Observing, Mode::Observer),
            ("read-only", PeerState::Looking, Mode::ReadOnly),
        ] {
            let ours = mntr(&facts(state), mode);
            let theirs = golden(who, "mntr");
            for name in [
                "zk_server_state",
                "zk_peer_state",
                "zk_observer_master_id",
                "zk_quorum_size",
                "zk_learners",
                "zk_synced_followers",
                "zk_synced_non_voting_followers",
                "zk_pending_syncs",
                "zk_last_proposal_size",
                "zk_min_proposal_size",
                "zk_max_proposal_size",
            ] {
                assert_eq!(value(&ours, name), value(theirs, name), "{who} {name}\n{ours}");
            }
        }
        let leader = mntr(&facts(PeerState::Leading), Mode::Leader);
        assert_eq!(value(&leader, "zk_synced_observers"), Some("1"));
        assert_eq!(value(&leader, "zk_leader_uptime"), Some("42771"));
        assert_eq!(value(&leader, "zk_proposal_count"), Some("6"));
    }

    /// The metric in a line of `mntr`, without its statistic and the number of a learner.
    fn metric(name: &str) -> &str {
        let name = name.strip_prefix("zk_").unwrap();
        let rest = match name.split_once('_') {
            Some((
                "avg" | "min" | "max" | "cnt" | "sum" | "p50" | "p95" | "p99" | "p999",
                rest,
            )) => rest,
            _ => name,
        };
        match rest.split_once('_') {
            Some((number, rest)) if number.parse::<u64>().is_ok() => rest,
            _ => rest,
        }
    }

    #[test]
    fn each_metric_of_a_leader_is_told_or_explained_and_none_twice() {
        let ours = mntr(&facts(PeerState::Leading), Mode::Leader);
        let mut names: Vec<&str> =
            ours.lines().map(|line| line.split('\t').next().unwrap()).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "a name stands twice");
        let explained = |name: &str| {
            let known = metrics::WITHOUT_MEANING
                .iter()
                .filter(|(why, _)| *why != metrics::ENSEMBLES_ALONE)
                .flat_map(|(_, names)| names.iter());
            known.into_iter().any(|known| {
                name == *known || known.ends_with("_per_namespace") && name.ends_with(known)
            })
        };
        let theirs = golden("leader", "mntr");
        for line in theirs.lines() {
            let name = line.split('\t').next().unwrap();
            let told = names.binary_search(&name).is_ok();
            let explained = explained(metric(name));
            assert!(told || explained, "{name} is neither told nor explained");
            assert!(!(told && explained), "{name} is told although it is said not to be");
        }
        for name in names {
            let is_own = metrics::quorum::OWN.contains(&name.strip_prefix("zk_").unwrap())
                || metrics::STALLS_OWN.iter().any(|own| name.ends_with(own))
                || metrics::HELD_OWN.contains(&name.strip_prefix("zk_").unwrap())
                || metrics::ROOM_OWN.contains(&name.strip_prefix("zk_").unwrap())
                || metrics::AUDIT_OWN.contains(&name.strip_prefix("zk_").unwrap())
                || metrics::LINKS_OWN.contains(&name.strip_prefix("zk_").unwrap())
                || metrics::CERTIFICATES_OWN.contains(&name.strip_prefix("zk_").unwrap());
            // Counters of 3.10, which 3.9 does not have.
            let is_newer = name.starts_with("zk_op_count_");
            let is_theirs = is_newer || theirs.contains(&format!("{name}\t"));
            assert!(is_own != is_theirs, "{name} is not ZooKeeper's");
        }
    }

    #[test]
    fn a_reconfiguration_can_be_watched() {
        let mut facts = facts(PeerState::Leading);
        let quiet = mntr(&facts, Mode::Leader);
        assert_eq!(value(&quiet, "zk_reconfig_in_progress"), Some("0"));
        assert_eq!(value(&quiet, "zk_reconfig_version"), None);
        assert_eq!(value(&quiet, "zk_config_version"), Some("4294967296"));
        facts.last_seen = Rc::new(Config { version: 0x1_0000_0007, ..config() });
        let leading = facts.leading.as_mut().unwrap();
        leading.reconfig = Some(ReconfigProgress {
            version: 0x1_0000_0007,
            since: MonoUs(43_000_000),
            acknowledged: vec![ServerId(2)],
            missing: vec![ServerId(1), ServerId(4)],
        });
        let busy = mntr(&facts, Mode::Leader);
        for (name, expected) in [
            ("zk_reconfig_in_progress", "1"),
            ("zk_reconfig_version", "4294967303"),
            ("zk_reconfig_acknowledged", "1"),
            ("zk_reconfig_voters", "3"),
            ("zk_reconfig_elapsed_ms", "771"),
        ] {
            assert_eq!(value(&busy, name), Some(expected), "{name}");
        }
    }

    #[test]
    fn states_are_zookeepers_words() {
        let mut facts = facts(PeerState::Following);
        assert_eq!(peer_state(&facts), "following - broadcast");
        facts.phase = PeerPhase::Synchronization;
        assert_eq!(peer_state(&facts), "following - synchronization - snap");
        facts.phase = PeerPhase::Discovery;
        facts.sync_mode = None;
        assert_eq!(peer_state(&facts), "following - discovery");
        (facts.state, facts.phase) = (PeerState::Looking, PeerPhase::Election);
        assert_eq!(peer_state(&facts), "looking");
    }

    #[test]
    fn a_learner_tells_the_sessions_of_its_leader() {
        let ids = [0x0300_002c_615a_0000, 0x0100_002c_5cb7_0000, 0x0200_002c_5cd5_0000];
        let ours = global_sessions(ids.into_iter().map(|id| (SessionId(id), 20_000)));
        let theirs = golden("follower", "dump");
        let theirs = theirs.strip_prefix("SessionTracker dump:\n").unwrap();
        assert!(theirs.starts_with(&ours), "{ours}\n{theirs}");
        assert_eq!(global_sessions(std::iter::empty()), "Global Sessions(0):\n");
    }
}
