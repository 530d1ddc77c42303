//! The part of a configuration about an ensemble: its members, and how they agree.
//!
//! A standalone server knows at most itself; [`Quorum::is_distributed`] says whether a server is
//! standalone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::server_line::{GroupLine, PeerType, ServerLine};
use crate::id::ServerId;
use crate::quorum;

/// Which servers may connect to the ports between servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddressCheck {
    /// Members from their own addresses, and non-members from any address.
    Members,
    /// Only members from their own addresses.
    Strict,
    /// Any host.
    Off,
}

impl PeerAddressCheck {
    /// All values.
    pub const ALL: [PeerAddressCheck; 3] =
        [PeerAddressCheck::Members, PeerAddressCheck::Strict, PeerAddressCheck::Off];

    /// As the configuration writes it.
    pub fn name(self) -> &'static str {
        match self {
            PeerAddressCheck::Members => "members",
            PeerAddressCheck::Strict => "strict",
            PeerAddressCheck::Off => "off",
        }
    }
}

/// Members of the ensemble, and everything about traffic between servers.
#[derive(Debug, Clone, PartialEq)]
pub struct Quorum {
    /// The number in `dataDir/myid`, if there is one.
    pub my_id: Option<u64>,
    /// The members, by id. Keys `server.N`.
    pub servers: BTreeMap<u64, ServerLine>,
    /// Groups of a hierarchical quorum, by id. Keys `group.N`.
    pub groups: BTreeMap<u64, GroupLine>,
    /// Weights, by server id. Keys `weight.N`.
    pub weights: BTreeMap<u64, u64>,
    /// Version of the dynamic file, from its name. Default: 0.
    pub version: u64,
    /// Whether a single member runs standalone. Default: true. Key `standaloneEnabled`.
    pub standalone_enabled: bool,
    /// Whether reconfig is switched on. A standalone server refuses it either way. Default: false. Key
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// The file that lists the members. Default: none. Key `dynamicConfigFile`.
    pub dynamic_config_file: Option<PathBuf>,
    /// A configuration that was proposed and not known to be active when the server last stopped: the
    /// content of the `.dynamic.next` file beside the configuration file.
    pub last_seen: Option<quorum::Config>,
    /// Ticks that a learner may take to connect and to be synchronised. Required in an ensemble.
    /// Key `initLimit`.
    pub init_limit: u32,
    /// Ticks that a learner may be silent. Required in an ensemble. Key `syncLimit`.
    pub sync_limit: u32,
    /// Ticks that a learner tries to reach its leader; 0: as [`Quorum::init_limit`]. Default: 0.
    /// Key `connectToLearnerMasterLimit`.
    pub connect_to_learner_master_limit: u32,
    /// Whether the server listens at every address on the ports between servers. Default: false. Key
    /// `quorumListenOnAllIPs`.
    pub listen_on_all_ips: bool,
    /// The value of `peerType`, if set; the list of servers decides. Key `peerType`.
    pub peer_type: Option<PeerType>,
    /// Whether an observer keeps a transaction log and takes snapshots. Default: true.
    /// Key `syncEnabled`.
    pub sync_enabled: bool,
    /// The same as `sync_enabled`, which it overrides; `None`: not set. Key `observer.syncEnabled`.
    pub observer_sync_enabled: Option<bool>,
    /// Port on which observers may learn from this server while it is a follower; `None`: none. Default:
    /// none. Key `observerMasterPort` (0 or less: none).
    pub observer_master_port: Option<u16>,
    /// A file into which an outside witness writes `1` to let one of two servers continue alone. Default:
    /// none. Key `oraclePath`.
    pub oracle_path: Option<PathBuf>,
    /// Whether a server may have several addresses. Default: false. Key `multiAddress.enabled`.
    pub multi_address_enabled: bool,
    /// How long connecting to an election port may take. Milliseconds. Default: 5000. Key `cnxTimeout`.
    pub cnx_timeout_ms: u32,
    /// How long a new connection on the election port may take to send its id; `None`: `syncLimit` ticks.
    /// Milliseconds. Default: none. Key `quorumCnxnTimeoutMs` (0 or less: none).
    pub quorum_cnxn_timeout_ms: Option<u32>,
    /// How often a failed attempt to listen on a port between servers is repeated; `None`: until it works. Default:
    /// 3. Key `electionPortBindRetry` (0: until it works).
    pub election_port_bind_retry: Option<u32>,
    /// Which servers may connect to the ports between servers. Default: a server that names the id of a
    /// member must come from that member's address. Key `ringkeeper.peerAddressCheck`.
    pub peer_address_check: PeerAddressCheck,
    /// Shortest time until a vote is repeated. Milliseconds. Default: 200.
    /// Key `fastleader.minNotificationInterval`.
    pub min_notification_interval_ms: u32,
    /// Longest time until a vote is repeated. Milliseconds. Default: 60 000.
    /// Key `fastleader.maxNotificationInterval`.
    pub max_notification_interval_ms: u32,
    /// How long a leader waits for the epochs of a quorum while a voter still looks for a leader; `None`: two ticks;
    /// `initLimit` at most. Milliseconds. Default: none. Key `leader.maxTimeToWaitForEpoch` (-1: none).
    pub max_time_to_wait_for_epoch_ms: Option<u32>,
    /// Time between two attempts to reach the leader. Milliseconds. Default: 100.
    /// Key `leaderConnectDelayDuringRetryMs`.
    pub leader_connect_delay_ms: u32,
    /// Whether a leader serves clients. Default: true. Key `leaderServes` (yes, no).
    pub leader_serves: bool,
    /// Observers that may get the whole tree at the same time. Default: 10. Key
    /// `leader.maxConcurrentSnapSyncs`.
    pub max_concurrent_snap_syncs: u32,
    /// Observers that may get a DIFF at the same time. Default: 100. Key `leader.maxConcurrentDiffSyncs`.
    pub max_concurrent_diff_syncs: u32,
    /// Time that an observer waits before it looks for a leader again. Milliseconds. Default: 0.
    /// Key `observer.reconnectDelayMs`.
    pub observer_reconnect_delay_ms: u64,
    /// Longest time that an observer waits before it asks the other servers for the leader. Milliseconds.
    /// Default: 200. Key `observer.election.DelayMs`.
    pub observer_election_delay_ms: u64,
    /// Bytes of proposals that a follower keeps for its observers. Default: 32 MiB.
    /// Key `observerMaster.sizeLimit`.
    pub observer_master_size_limit: u32,
    /// Whether connections between servers have TCP keep-alive. Default: false. Key
    /// `tcpKeepAlive`.
    pub tcp_keep_alive: bool,
    /// Share of a snapshot's size up to which a learner gets transactions of the log instead;
    /// below 0: never from the log. Default: 0.33. Key `snapshotSizeFactor`.
    pub snapshot_size_factor: f64,
    /// Whether every learner gets the whole tree. Default: false. Key `forceSnapshotSync`.
    pub force_snapshot_sync: bool,
    /// Counter of the first zxid of an epoch, for tests of its end. Default: 0.
    /// Key `testingonly.initialZxid`.
    pub initial_zxid: u32,
    /// Committed transactions kept in memory for learners. At least 500. Default: 500.
    /// Key `commitLogCount`.
    pub commit_log_count: u32,
}

impl Default for Quorum {
    fn default() -> Self {
        Self {
            my_id: None,
            servers: BTreeMap::new(),
            groups: BTreeMap::new(),
            weights: BTreeMap::new(),
            version: 0,
            standalone_enabled: true,
            reconfig_enabled: false,
            dynamic_config_file: None,
            last_seen: None,
            init_limit: 0,
            sync_limit: 0,
            connect_to_learner_master_limit: 0,
            listen_on_all_ips: false,
            peer_type: None,
            sync_enabled: true,
            observer_sync_enabled: None,
            observer_master_port: None,
            oracle_path: None,
            multi_address_enabled: false,
            cnx_timeout_ms: 5000,
            quorum_cnxn_timeout_ms: None,
            election_port_bind_retry: Some(3),
            peer_address_check: PeerAddressCheck::Members,
            min_notification_interval_ms: 200,
            max_notification_interval_ms: 60_000,
            max_time_to_wait_for_epoch_ms: None,
            leader_connect_delay_ms: 100,
            leader_serves: true,
            max_concurrent_snap_syncs: 10,
            max_concurrent_diff_syncs: 100,
            observer_reconnect_delay_ms: 0,
            observer_election_delay_ms: 200,
            observer_master_size_limit: 32 * 1024 * 1024,
            tcp_keep_alive: false,
            snapshot_size_factor: 0.33,
            force_snapshot_sync: false,
            initial_zxid: 0,
            commit_log_count: 500,
        }
    }
}

impl Quorum {
    /// Whether this server is one of an ensemble (`QuorumPeerConfig.isDistributed`).
    pub fn is_distributed(&self) -> bool {
        let voters =
            self.servers.values().filter(|line| line.role == PeerType::Participant).count();
        voters > 1 || voters == 1 && !self.standalone_enabled
    }

    /// The ensemble as its members see it.
    pub fn ensemble(&self) -> quorum::Config {
        // Numbers above a Java long are invalid.
        let long = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let id = |n: u64| ServerId(long(n));
        let mut ensemble = quorum::Config {
            members: self.servers.iter().map(|(&n, line)| (id(n), line.member())).collect(),
            groups: self
                .groups
                .iter()
                .map(|(&n, line)| (long(n), line.servers.iter().map(|&n| id(n)).collect()))
                .collect(),
            weights: self.weights.iter().map(|(&n, &weight)| (id(n), long(weight))).collect(),
            version: long(self.version),
        };
        if !ensemble.groups.is_empty() {
            let voters: Vec<ServerId> = ensemble.voters().collect();
            for voter in voters {
                ensemble.weights.entry(voter).or_insert(1);
            }
        }
        ensemble
    }

    /// This server. `None`: there is no `myid`; every member of an ensemble needs one.
    pub fn me(&self) -> Option<ServerId> {
        self.my_id.and_then(|id| i64::try_from(id).ok()).map(ServerId)
    }
}
