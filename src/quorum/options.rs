//! The options of a member of an ensemble: plain values, made once by `server::options` from the configuration, and
//! shared by the agreement modules. They never change while the server runs.

use super::Config;
use crate::id::ServerId;
use crate::link::Endpoint;
use crate::sasl::between::PeerLogins;

/// The options of the agreement. Names in brackets are ZooKeeper's keys.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// This server (`myid`).
    pub me: ServerId,
    /// The basic unit of time in ms (`tickTime`).
    pub tick_ms: u64,
    /// Ticks that a learner may take to connect and to be synchronised (`initLimit`).
    pub init_limit: u64,
    /// Ticks that a learner may be silent (`syncLimit`).
    pub sync_limit: u64,
    /// Ticks that a learner tries to reach its leader (`connectToLearnerMasterLimit`); 0: as `initLimit`.
    pub connect_limit: u64,
    /// If the configuration does not name this server, it observes (`peerType=observer`).
    pub is_observer: bool,
    /// Listen on all addresses (`quorumListenOnAllIPs`).
    pub listen_on_all_ips: bool,
    /// Send all addresses in the election handshake (`multiAddress.enabled`).
    pub multi_address: bool,
    /// Shortest and longest time until a vote is repeated, in ms
    /// (`fastleader.minNotificationInterval`, `fastleader.maxNotificationInterval`).
    pub notification_interval_ms: (u64, u64),
    /// How long connecting to an election port may take, in ms (`cnxTimeout`).
    pub election_connect_ms: u64,
    /// How long the other side of a new election connection may take to send its id, in ms (`quorumCnxnTimeoutMs`;
    /// ZooKeeper's default is `syncLimit` ticks).
    pub election_handshake_ms: u64,
    /// Time between two attempts to reach the leader, in ms (`leaderConnectDelayDuringRetryMs`).
    pub leader_connect_delay_ms: u64,
    /// Time that an observer waits before it looks for a leader again, in ms
    /// (`observer.reconnectDelayMs`), and before it asks all servers at once (`observer.election.DelayMs`).
    pub observer_delays_ms: (u64, u64),
    /// How long a leader waits for the epochs of a quorum while a voter looks for a leader, in ms
    /// (`leader.maxTimeToWaitForEpoch`); `None`: two ticks. `initLimit` at most.
    pub wait_for_epoch_ms: Option<u64>,
    /// Committed transactions kept in memory for learners (`commitLogCount`).
    pub commit_log_txns: usize,
    /// The log's files are read for learners that are farther behind (`snapshotSizeFactor` ≥ 0).
    pub sync_from_log: bool,
    /// Every learner gets the whole tree (`forceSnapshotSync`).
    pub force_snapshot_sync: bool,
    /// Observers that may get the whole tree, or a DIFF, at the same time (`leader.maxConcurrentSnapSyncs`,
    /// `leader.maxConcurrentDiffSyncs`).
    pub concurrent_syncs_max: (usize, usize),
    /// Reconfiguration is switched on (`reconfigEnabled`).
    pub reconfig: bool,
    /// A single voter may run standalone (`standaloneEnabled`): a reconfiguration must leave two.
    pub standalone_enabled: bool,
    /// The address on which observers may learn from this server while it follows (`observerMasterPort`).
    pub observer_master: Option<Endpoint>,
    /// Bytes of proposals that are kept for those observers (`observerMaster.sizeLimit`).
    pub observer_master_bytes_max: usize,
    /// The port on which other servers offer the same, for an observer.
    pub observer_master_port: Option<u16>,
    /// An outside witness decides between two servers (`oraclePath`).
    pub has_oracle: bool,
    /// Counter of the first zxid of an epoch, to test its end (`testingonly.initialZxid`).
    pub initial_counter: u32,
    /// The version of the configuration when it comes from a static file.
    pub config_version: i64,
    /// A configuration that was proposed before this server last stopped and may have become active since
    /// (`zoo.cfg.dynamic.next`).
    pub last_seen: Option<Config>,
    /// Longest data of a packet from a learner, in bytes (`jute.maxbuffer` and its extra size).
    pub packet_bytes_max: usize,
    /// How servers log in at each other (`quorum.auth.*`). `None`: they do not (`quorum.auth.enableSasl`).
    pub logins: Option<PeerLogins>,
    /// A planted bug; only in a build for tests.
    pub planted: Option<crate::planted::PlantedBug>,
}

impl Default for PeerOptions {
    fn default() -> Self {
        PeerOptions {
            me: ServerId(1),
            tick_ms: 3000,
            init_limit: 10,
            sync_limit: 5,
            connect_limit: 0,
            is_observer: false,
            listen_on_all_ips: false,
            multi_address: false,
            notification_interval_ms: (200, 60_000),
            election_connect_ms: 5000,
            election_handshake_ms: 15_000,
            leader_connect_delay_ms: 100,
            observer_delays_ms: (0, 200),
            wait_for_epoch_ms: None,
            commit_log_txns: crate::limits::COMMITTED_LOG_TXNS,
            sync_from_log: true,
            force_snapshot_sync: false,
            concurrent_syncs_max: (10, 100),
            reconfig: false,
            standalone_enabled: true,
            observer_master: None,
            observer_master_bytes_max: 32 * 1024 * 1024,
            observer_master_port: None,
            has_oracle: false,
            initial_counter: 0,
            config_version: 0,
            last_seen: None,
            packet_bytes_max: (crate::limits::FRAME_BYTES_MAX + crate::limits::TXN_EXTRA_BYTES_MAX)
                as usize,
            logins: None,
            planted: None,
        }
    }
}
