//! The options of a member of an ensemble, and of its network. The members themselves come from `Config::quorum`, not
//! from here.

use std::path::PathBuf;

use crate::config::{self, Config};
use crate::id::ServerId;
use crate::link::Endpoint;
use crate::net::links::PeerAddressCheck;
use crate::quorum::PeerOptions;

/// The options of a member of an ensemble; `me` is this server (`QuorumPeerMain.runFromConfig`).
pub fn peer(config: &Config, me: ServerId) -> PeerOptions {
    let quorum = &config.quorum;
    let client_host = quorum.servers.get(&u64::try_from(me.0).unwrap_or(u64::MAX));
    let own_host = client_host.and_then(|line| line.addresses.first()).map(|a| a.host.clone());
    let tick_ms = u64::from(config.sessions.tick_time_ms);
    PeerOptions {
        me,
        tick_ms,
        init_limit: quorum.init_limit.into(),
        sync_limit: quorum.sync_limit.into(),
        connect_limit: quorum.connect_to_learner_master_limit.into(),
        is_observer: quorum.peer_type == Some(config::PeerType::Observer),
        listen_on_all_ips: quorum.listen_on_all_ips,
        multi_address: quorum.multi_address_enabled,
        notification_interval_ms: (
            quorum.min_notification_interval_ms.into(),
            quorum.max_notification_interval_ms.into(),
        ),
        election_connect_ms: quorum.cnx_timeout_ms.into(),
        // ZooKeeper: QuorumPeer.createCnxnManager.
        election_handshake_ms: quorum
            .quorum_cnxn_timeout_ms
            .map_or(tick_ms * u64::from(quorum.sync_limit), u64::from),
        // The time between attempts, for a learner of a leader that does not listen yet.
        leader_connect_delay_ms: quorum.leader_connect_delay_ms.into(),
        observer_delays_ms: (quorum.observer_reconnect_delay_ms, quorum.observer_election_delay_ms),
        wait_for_epoch_ms: quorum.max_time_to_wait_for_epoch_ms.map(Into::into),
        // How learners are brought up to date.
        commit_log_txns: quorum.commit_log_count as usize,
        sync_from_log: quorum.snapshot_size_factor >= 0.0,
        force_snapshot_sync: quorum.force_snapshot_sync,
        concurrent_syncs_max: (
            quorum.max_concurrent_snap_syncs as usize,
            quorum.max_concurrent_diff_syncs as usize,
        ),
        reconfig: quorum.reconfig_enabled,
        standalone_enabled: quorum.standalone_enabled,
        // ZooKeeper: ObserverMaster listens at the server's own quorum address.
        observer_master: own_host
            .zip(quorum.observer_master_port)
            .map(|(host, port)| Endpoint { host, port }),
        observer_master_bytes_max: quorum.observer_master_size_limit as usize,
        observer_master_port: quorum.observer_master_port,
        has_oracle: quorum.oracle_path.is_some(),
        initial_counter: quorum.initial_zxid,
        config_version: i64::try_from(quorum.version).unwrap_or(i64::MAX),
        last_seen: quorum.last_seen.clone(),
        packet_bytes_max: (config.network.jute_max_buffer as usize)
            .saturating_add(config.network.jute_max_buffer_extra as usize),
        // They need a key from the system's generator: see `logins`.
        logins: None,
        planted: None,
    }
}

/// The options of the network between servers, and of reading the log for learners. Names in brackets are keys.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleOptions {
    /// How often the server tries to listen on a port between servers (`electionPortBindRetry`); `None`: until it
    /// succeeds.
    pub bind_attempts_max: Option<u32>,
    /// Which hosts may connect to the ports between servers (`ringkeeper.peerAddressCheck`).
    pub peer_address_check: PeerAddressCheck,
    /// Whether the kernel checks idle connections between servers (`tcpKeepAlive`).
    pub keep_alive: bool,
    /// The share of a snapshot's size up to which transactions are read from the log for a learner
    /// (`snapshotSizeFactor`); below 0: none are read.
    pub snapshot_size_factor: f64,
    /// The file of the outside witness (`oraclePath`), read each tick.
    pub oracle_path: Option<PathBuf>,
}

/// The options of the network between servers, and of reading the log for learners.
pub fn between_servers(config: &Config) -> EnsembleOptions {
    let quorum = &config.quorum;
    EnsembleOptions {
        bind_attempts_max: quorum.election_port_bind_retry,
        peer_address_check: match quorum.peer_address_check {
            config::PeerAddressCheck::Members => PeerAddressCheck::Members,
            config::PeerAddressCheck::Strict => PeerAddressCheck::Strict,
            config::PeerAddressCheck::Off => PeerAddressCheck::Off,
        },
        keep_alive: quorum.tcp_keep_alive,
        snapshot_size_factor: quorum.snapshot_size_factor,
        oracle_path: quorum.oracle_path.clone(),
    }
}
