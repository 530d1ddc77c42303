//! From the configuration to the plain options of the parts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::acl::{AuthenticationOptions, DigestAlgorithm};
use crate::admin::answer::ConfFacts;
use crate::admin::member_lines::Limits;
use crate::admin::word::FourLetterWord;
use crate::admin::{Desk, EnsembleDesk, Whitelist};
use crate::config::{self, Config, ListenHost};
use crate::database::DatabaseOptions;
use crate::id::ServerId;
use crate::limits;
use crate::link::Endpoint;
use crate::metrics::process::Machine;
use crate::metrics::{Held, Stalls};
use crate::net::links::PeerAddressCheck;
use crate::net::{Budget, Census, NetOptions};
use crate::quorum::PeerOptions;
use crate::recovery::RecoveryOptions;
use crate::replica::{ReplicaOptions, ThrottleOptions};
use crate::runtime::{DataFolder, LogDevice, MemoryOfProcess};
use crate::snapshot;
use crate::txnlog::WriterOptions;
use crate::watch::WatchBounds;

/// The number in the high byte of a standalone server's session ids.
// ZooKeeper: ZooKeeperServer's default serverId for SessionTrackerImpl.
const STANDALONE_SESSION_SERVER: ServerId = ServerId(1);

/// The number that a standalone server gives in `conf`.
const STANDALONE_SERVER_ID: i64 = 0;

/// The addresses to listen at: one, or nothing that resolves.
///
/// # Errors
/// The name does not resolve.
pub fn listen_address(listen: &config::Listen) -> io::Result<SocketAddr> {
    match &listen.host {
        // ZooKeeper: Java's any-address takes both families; without IPv6, only the one there is.
        ListenHost::Any if has_ipv6() => Ok((Ipv6Addr::UNSPECIFIED, listen.port).into()),
        ListenHost::Any => Ok((Ipv4Addr::UNSPECIFIED, listen.port).into()),
        ListenHost::Ip(address) => Ok((*address, listen.port).into()),
        ListenHost::Zoned { address, zone } => {
            interface(zone)?;
            let host = match address.is_unspecified() {
                true => ListenHost::Any,
                false => ListenHost::Ip((*address).into()),
            };
            listen_address(&config::Listen { host, port: listen.port })
        }
        ListenHost::Name(name) => {
            // The resolver only says that it does not know the whole.
            let zone = name.split_once('%').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok());
            if let Some((_, zone)) = zone {
                interface(zone)?;
            }
            let mut found = (name.as_str(), listen.port).to_socket_addrs()?;
            let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
            found.next().ok_or_else(none)
        }
    }
}

/// Whether there is an interface of this name.
// ZooKeeper: Inet6Address takes any number, and a name only of an interface that is there.
fn interface(zone: &str) -> io::Result<()> {
    if zone.parse::<u32>().is_ok() {
        return Ok(());
    }
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .or_else(|_| std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)))?;
    rustix::net::netdevice::name_to_index(&socket, zone).map(|_| ()).map_err(|_| {
        let text = format!(
            "this machine has no interface named {zone} (`ip link` lists them): correct the name \
             behind the %"
        );
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((IpAddr::from(Ipv6Addr::LOCALHOST), 0)).is_ok()
}

/// What all watches may hold together, in bytes.
pub fn watch_bytes_max(config: &Config, memory: Option<MemoryOfProcess>) -> u64 {
    config.own.watch_memory_max.unwrap_or_else(|| {
        let memory = memory.map_or(0, |memory| memory.bytes);
        limits::WATCH_MEMORY_MIN.max(memory / limits::WATCH_MEMORY_PART)
    })
}

/// What the tree is told.
fn database(config: &Config, hash_seed: u64) -> DatabaseOptions {
    DatabaseOptions {
        extended_types: config.nodes.extended_types_enabled,
        emulate_353_ttl: config.nodes.emulate_353_ttl_nodes,
        digest_enabled: config.storage.digest_enabled,
        hash_seed,
        watches: WatchBounds {
            per_connection_max: config.own.watches_per_connection_max,
            bytes_max: watch_bytes_max(config, crate::runtime::memory_of_process()),
        },
        record: false,
        planted: None,
    }
}

/// What the replica is told.
///
/// # Errors
/// Something that the configuration allows and this build cannot do.
pub fn replica(config: &Config, device: LogDevice) -> Result<ReplicaOptions, String> {
    let millis = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
    let security = &config.security;
    let digest_name = security.digest_algorithm.name();
    let digest_algorithm = DigestAlgorithm::from_name(digest_name).ok_or_else(|| {
        format!("DigestAuthenticationProvider.digestAlg: {digest_name} is not built in")
    })?;
    let is_member = config.quorum.is_distributed();
    let ensemble_names = security
        .ensemble_auth_enabled
        .then(|| security.ensemble_auth_names.clone().unwrap_or_default());
    Ok(ReplicaOptions {
        server_id: config.quorum.me().filter(|_| is_member).unwrap_or(STANDALONE_SESSION_SERVER),
        tick_ms: config.sessions.tick_time_ms,
        session_timeout_ms_min: millis(config.sessions.min_session_timeout_ms),
        session_timeout_ms_max: millis(config.sessions.max_session_timeout_ms),
        skip_acl: security.skip_acl,
        reconfig: config.quorum.reconfig_enabled,
        authentication: AuthenticationOptions {
            digest_enabled: security.digest_enabled,
            digest_algorithm,
            super_digest: security.super_digest.clone(),
            ensemble_names,
        },
        enforced_auth_schemes: security.enforced_auth_schemes.clone(),
        enforce_quota: config.nodes.enforce_quota,
        extended_types: config.nodes.extended_types_enabled,
        emulate_353_ttl: config.nodes.emulate_353_ttl_nodes,
        digest: config.storage.digest_enabled,
        close_session_paths: config.storage.close_session_txn,
        frame_bytes_max: config.network.jute_max_buffer,
        txn_extra_bytes_max: config.network.jute_max_buffer_extra,
        requests_outstanding_max: requests_outstanding_max(config) as usize,
        output_pause_bytes: clamp(config.own.output_bytes_per_connection_max),
        connection_output_bytes_max: unsent_bytes_max(config),
        large_request_bytes: config.limits.large_request_threshold_bytes,
        large_requests_bytes_max: config.limits.large_request_max_bytes as usize,
        acl_entries_max: clamp(config.own.acl_entries_max),
        reply_bytes_max: limits::REPLY_BYTES_MAX,
        turn_work_units: limits::TURN_WORK_UNITS,
        turn_events_max: limits::TURN_EVENTS_MAX,
        multi_operations_max: clamp(config.own.multi_operations_max),
        ephemerals_per_session_max: clamp(config.own.ephemerals_per_session_max),
        multi_read_bytes_max: clamp(config.own.multi_read_reply_bytes_max),
        throttle: throttle(&config.limits.connection_throttle),
        container_check_interval_ms: config.nodes.container_check_interval_ms.into(),
        container_removals_per_minute_max: config.nodes.container_max_per_minute,
        container_never_used_ms_max: config.nodes.container_max_never_used_interval_ms.unwrap_or(0),
        log_write_warning_ms: config.storage.fsync_warning_threshold_ms,
        txnlog: txnlog(config, device),
        snapshot: snapshot::WriterOptions {
            digest: config.storage.digest_enabled,
            last_zxid: config.storage.serialize_last_processed_zxid,
            ..snapshot::WriterOptions::default()
        },
        local_sessions: config.sessions.local_sessions_enabled,
        local_sessions_upgrading: config.sessions.local_sessions_upgrading_enabled,
        read_only_mode: config.sessions.read_only_mode_enabled,
        leader_serves: config.quorum.leader_serves,
        eager_acl_check: security.eager_acl_check,
        sync_enabled: config.quorum.observer_sync_enabled.unwrap_or(config.quorum.sync_enabled),
        planted: None,
    })
}

/// What a member of an ensemble is told; `me` is this server.
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
        leader_connect_delay_ms: quorum.leader_connect_delay_ms.into(),
        observer_delays_ms: (quorum.observer_reconnect_delay_ms, quorum.observer_election_delay_ms),
        wait_for_epoch_ms: quorum.max_time_to_wait_for_epoch_ms.map(Into::into),
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
        planted: None,
    }
}

/// What the network between servers and the disk are told.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleOptions {
    /// Attempts to listen on a port between servers (`electionPortBindRetry`); `None`: until it
    /// works.
    pub bind_attempts_max: Option<u32>,
    /// Who may connect to the ports between servers (`ringkeeper.peerAddressCheck`).
    pub peer_address_check: PeerAddressCheck,
    /// TCP keep-alive on connections between servers (`tcpKeepAlive`).
    pub keep_alive: bool,
    /// Share of a snapshot's size up to which transactions are read from the log for a learner
    /// (`snapshotSizeFactor`); below 0: none.
    pub snapshot_size_factor: f64,
    /// The outside witness (`oraclePath`), to be read each tick.
    pub oracle_path: Option<PathBuf>,
}

/// What the network between servers and the disk are told.
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

fn throttle(throttle: &config::ConnectionThrottle) -> ThrottleOptions {
    let (tokens, fill_tokens) = throttle.bucket();
    let cost = |weight: u32| if throttle.weight_enabled { weight.into() } else { 1 };
    ThrottleOptions {
        tokens,
        fill_ms: throttle.fill_time_ms.into(),
        fill_tokens,
        freeze_ms: throttle.freeze_time_ms.map(Into::into),
        drop_increase: throttle.drop_increase,
        drop_decrease: throttle.drop_decrease,
        decrease_ratio: throttle.decrease_ratio,
        new_session_tokens: cost(throttle.global_session_weight),
        renewal_tokens: cost(throttle.renew_session_weight),
    }
}

/// By how many servers the limit on requests is shared.
// ZooKeeper: getGlobalOutstandingLimit of LeaderZooKeeperServer and FollowerZooKeeperServer; an
// observer has all of it.
fn shares(config: &Config) -> u32 {
    let ensemble = config.quorum.ensemble();
    let votes = config.quorum.me().is_some_and(|me| ensemble.is_voter(me));
    let voters = u32::try_from(ensemble.voters().count()).unwrap_or(u32::MAX);
    if config.quorum.is_distributed() && votes && voters > 2 { voters - 1 } else { 1 }
}

/// Requests in the server at once, of all cores.
// ZooKeeper: RequestThrottler holds requests back in a queue; here they stay in the sockets.
fn requests_outstanding_max(config: &Config) -> u32 {
    let limits = &config.limits;
    let throttle = limits.request_throttle_max_requests.unwrap_or(u32::MAX);
    (limits.global_outstanding_limit / shares(config)).min(throttle)
}

/// Unsent bytes of one connection at which it is closed: what an operator allows to be buffered,
/// and the largest single reply, always fit.
fn unsent_bytes_max(config: &Config) -> usize {
    let own = &config.own;
    let reply =
        own.multi_read_reply_bytes_max.saturating_add(config.network.jute_max_buffer.into());
    limits::CONNECTION_OUTPUT_BYTES_MAX
        .max(clamp(own.output_bytes_per_connection_max))
        .max(clamp(reply))
}

fn clamp(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// How the state is read from the disk.
pub fn recovery(config: &Config, hash_seed: u64) -> RecoveryOptions {
    RecoveryOptions {
        database: database(config, hash_seed),
        trust_empty: config.storage.snapshot_trust_empty,
        autocreate: config.storage.db_autocreate,
        allow_gaps: config.own.allow_log_gaps,
        ensemble: config.quorum.is_distributed(),
        recent_txns_max: if config.quorum.is_distributed() {
            config.quorum.commit_log_count as usize
        } else {
            0
        },
        planted: None,
    }
}

/// The bounds on connections; `descriptors_max` as [`Census::new`] takes it.
pub fn census(config: &Config, descriptors_max: u32) -> Census {
    let network = &config.network;
    let (per_address, total) = (network.max_client_cnxns, network.max_cnxns);
    Census::new(per_address.unwrap_or(0), total.unwrap_or(0), descriptors_max)
}

fn txnlog(config: &Config, device: LogDevice) -> WriterOptions {
    WriterOptions {
        block_bytes: device.block_bytes,
        segment_bytes: config.storage.pre_alloc_bytes,
        txn_bytes_max: config.network.jute_max_buffer as usize
            + config.network.jute_max_buffer_extra as usize,
        sync: config.storage.force_sync,
        snap_count: config.storage.snap_count.into(),
        snap_bytes: config.storage.snap_size_limit_bytes.unwrap_or(0),
        snapshot_share_percent: config.own.snapshot_share_percent.into(),
        log_bytes_max: config.storage.txn_log_size_limit_bytes,
        ..WriterOptions::default()
    }
}

/// What connections may hold together, and why it is that much.
pub fn budget(
    config: &Config,
    memory: Option<MemoryOfProcess>,
    executors: u32,
) -> (Budget, String) {
    let frame = u64::from(config.network.jute_max_buffer);
    let least = limits::CONNECTION_MEMORY_MIN.max(limits::CONNECTION_MEMORY_FRAMES_MIN * frame);
    let (bytes, why) = match (config.own.connection_memory_max, memory) {
        (Some(bytes), _) => (bytes, "ringkeeper.connectionMemoryMax".to_owned()),
        (None, None) => (least, "the system does not say how much memory there is".to_owned()),
        (None, Some(memory)) => {
            let share = memory.bytes / limits::CONNECTION_MEMORY_SHARE;
            let what = format!("the {} MiB of {}", memory.bytes >> 20, memory.source);
            match share < least {
                true => (least, format!("the least; {what} are few")),
                false => (share, format!("a quarter of {what}")),
            }
        }
    };
    let said = format!(
        "connections together may hold {} MiB of unread replies, events and requests ({why}); beyond \
         three quarters of it those are closed that hold most for longest",
        bytes >> 20
    );
    (Budget::new(bytes, executors), said)
}

/// What each of `cores` session cores is told.
pub fn net(config: &Config, cores: u32, budget: &Budget) -> NetOptions {
    // Sockets wait long before somebody is closed for requests that wait only for this server.
    let received = config.own.request_bytes_in_flight_max.min(budget.bytes_max() / 4);
    NetOptions {
        frame_bytes_max: config.network.jute_max_buffer,
        requests_outstanding_max: (requests_outstanding_max(config) / cores).max(1),
        unsent_bytes_before_pause: clamp(config.own.output_bytes_per_connection_max),
        unsent_bytes_max: unsent_bytes_max(config),
        received_bytes_max: received / u64::from(cores),
        sessionless_timeout: Duration::from_millis(
            config.network.sessionless_cnxn_timeout_ms.into(),
        ),
    }
}

/// What the four-letter words tell.
pub fn desk(config: &Config, folder: &DataFolder, port: u16) -> Desk {
    let millis = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
    let absolute = |path: &std::path::Path| {
        path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
    };
    let words: Vec<&str> = FourLetterWord::ALL
        .iter()
        .map(|word| word.name())
        .filter(|name| config.admin.four_letter_words.allows(name))
        .collect();
    let conf = ConfFacts {
        client_port: port.into(),
        secure_client_port: -1,
        data_dir: absolute(&folder.folders.snapshots),
        data_log_dir: absolute(&folder.folders.logs),
        tick_ms: config.sessions.tick_time_ms,
        client_connections_max: config.network.max_client_cnxns.unwrap_or(0),
        session_timeout_ms_min: millis(config.sessions.min_session_timeout_ms),
        session_timeout_ms_max: millis(config.sessions.max_session_timeout_ms),
        listen_backlog: config
            .network
            .listen_backlog
            .map_or(-1, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX)),
        server_id: config
            .quorum
            .me()
            .filter(|_| config.quorum.is_distributed())
            .map_or(STANDALONE_SERVER_ID, |me| me.0),
    };
    Desk {
        whitelist: Whitelist::new(Some(&words.join(",")), config.sessions.read_only_mode_enabled),
        conf,
        machine: Machine::read(),
        stalls: Stalls::default(),
        held: Held::default(),
        connections_refused: 0,
        ensemble: config.quorum.is_distributed().then_some(EnsembleDesk {
            limits: Limits { init: config.quorum.init_limit, sync: config.quorum.sync_limit },
            local_sessions: config.sessions.local_sessions_enabled,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{self, Fate};

    /// A key's line, and lines that it needs to count. Each must change what some part is told.
    const TOLD: &[(&str, &str)] = &[
        ("db.autocreate=false", ""),
        ("ringkeeper.watchMemoryMax=7777777", ""),
        ("ringkeeper.watchesPerConnectionMax=77", ""),
        ("reconfigEnabled=true", ""),
        ("snapCount=77", ""),
        ("snapSizeLimitInKb=77", ""),
        ("txnLogSizeLimitInKb=77", ""),
        ("preAllocSize=77", ""),
        ("forceSync=no", ""),
        ("fsync.warningthresholdms=77", ""),
        ("snapshot.trust.empty=true", ""),
        ("digest.enabled=false", ""),
        ("serializeLastProcessedZxid.enabled=false", ""),
        ("closeSessionTxn.enabled=false", ""),
        ("maxClientCnxns=77", ""),
        ("maxCnxns=77", ""),
        ("nio.sessionlessCnxnTimeout=77", ""),
        ("ringkeeper.jute.maxbuffer=7777", ""),
        ("jute.maxbuffer.extrasize=7777", ""),
        ("tickTime=777", ""),
        ("minSessionTimeout=777", ""),
        ("maxSessionTimeout=77777", ""),
        ("globalOutstandingLimit=77", ""),
        ("request_throttle_max_requests=77", ""),
        ("largeRequestMaxBytes=7777", ""),
        ("largeRequestThreshold=777", ""),
        ("connection_throttle_tokens=77", ""),
        ("connection_throttle_fill_time=77", ""),
        ("connection_throttle_fill_count=77", ""),
        ("connection_throttle_freeze_time=77", ""),
        ("connection_throttle_drop_increase=0.5", ""),
        ("connection_throttle_drop_decrease=0.5", ""),
        ("connection_throttle_decrease_ratio=0.5", ""),
        ("connection_throttle_weight_enabled=true", ""),
        ("connection_throttle_global_session_weight=77", WEIGHED),
        ("connection_throttle_local_session_weight=77", WEIGHED),
        ("connection_throttle_renew_session_weight=77", WEIGHED),
        ("skipACL=yes", ""),
        ("DigestAuthenticationProvider.enabled=false", ""),
        ("DigestAuthenticationProvider.digestAlg=SHA-256", ""),
        ("DigestAuthenticationProvider.superDigest=super:x", ""),
        ("enforce.auth.enabled=true", "enforce.auth.schemes=digest"),
        ("enforce.auth.schemes=ip", "enforce.auth.enabled=true\nenforce.auth.schemes=digest"),
        ("authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider", ""),
        (
            "ensembleAuthName=ours",
            "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
        ),
        ("extendedTypesEnabled=true", ""),
        ("emulate353TTLNodes=true", ""),
        ("enforceQuota=true", ""),
        ("ringkeeper.znode.container.checkIntervalMs=77", ""),
        ("ringkeeper.znode.container.maxPerMinute=77", ""),
        ("ringkeeper.znode.container.maxNeverUsedIntervalMs=77", ""),
        ("ringkeeper.snapshotSharePercent=77", ""),
        ("ringkeeper.outputBytesPerConnectionMax=77777", ""),
        ("ringkeeper.requestBytesInFlightMax=7777777", ""),
        ("ringkeeper.multiReadReplyBytesMax=7777777", ""),
        ("ringkeeper.aclEntriesMax=77", ""),
        ("ringkeeper.multiOperationsMax=7777", ""),
        ("ringkeeper.ephemeralsPerSessionMax=7777", ""),
        ("ringkeeper.allowLogGaps=true", ""),
        ("localSessionsEnabled=true", ""),
        ("localSessionsUpgradingEnabled=true", ""),
        ("ringkeeper.readonlymode.enabled=true", ""),
        ("enableEagerACLCheck=true", ""),
        ("server.4=d:1:2", ENSEMBLE),
        ("group.1=1:2:3", ENSEMBLE),
        (
            "weight.1=2",
            "group.1=1:2:3\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n\
                        initLimit=5\nsyncLimit=2",
        ),
        ("standaloneEnabled=false", ENSEMBLE),
        ("initLimit=77", ENSEMBLE),
        ("syncLimit=77", ENSEMBLE),
        ("connectToLearnerMasterLimit=77", ENSEMBLE),
        ("quorumListenOnAllIPs=true", ENSEMBLE),
        ("peerType=observer", ENSEMBLE),
        ("syncEnabled=false", ENSEMBLE),
        ("observer.syncEnabled=false", ENSEMBLE),
        ("observerMasterPort=77", ENSEMBLE),
        ("oraclePath=/o", ENSEMBLE),
        ("multiAddress.enabled=true", ENSEMBLE),
        ("cnxTimeout=77", ENSEMBLE),
        ("quorumCnxnTimeoutMs=77", ENSEMBLE),
        ("electionPortBindRetry=77", ENSEMBLE),
        ("ringkeeper.peerAddressCheck=strict", ENSEMBLE),
        ("fastleader.minNotificationInterval=77", ENSEMBLE),
        ("fastleader.maxNotificationInterval=777", ENSEMBLE),
        ("leader.maxTimeToWaitForEpoch=77", ENSEMBLE),
        ("leaderConnectDelayDuringRetryMs=77", ENSEMBLE),
        ("leaderServes=no", ENSEMBLE),
        ("leader.maxConcurrentSnapSyncs=77", ENSEMBLE),
        ("leader.maxConcurrentDiffSyncs=77", ENSEMBLE),
        ("observer.reconnectDelayMs=77", ENSEMBLE),
        ("observer.election.DelayMs=77", ENSEMBLE),
        ("observerMaster.sizeLimit=77", ENSEMBLE),
        ("tcpKeepAlive=true", ENSEMBLE),
        ("snapshotSizeFactor=-1", ENSEMBLE),
        ("forceSnapshotSync=true", ENSEMBLE),
        ("testingonly.initialZxid=77", ENSEMBLE),
        ("commitLogCount=777", ENSEMBLE),
    ];

    const ENSEMBLE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n\
                            initLimit=5\nsyncLimit=2";

    const WEIGHED: &str = "connection_throttle_tokens=5\nconnection_throttle_weight_enabled=true";

    /// Keys that the start of the process takes from the configuration itself, or that say whether
    /// there is one server or an ensemble.
    const TAKEN_BY_THE_START: &[&str] = &[
        "dataDir",
        "dataLogDir",
        "datadir.autocreate",
        "autopurge.snapRetainCount",
        "autopurge.purgeInterval",
        "clientPort",
        "clientPortAddress",
        "clientPortListenBacklog",
        "clientTcpKeepAlive",
        "4lw.commands.whitelist",
        "electionAlg",
        "dynamicConfigFile",
        "ringkeeper.cores",
        "ringkeeper.pin",
        "ringkeeper.spinMicros",
        "ringkeeper.stallMillis",
        "ringkeeper.connectionMemoryMax",
        "ringkeeper.filesReadableBy",
        "ringkeeper.logFormat",
        "ringkeeper.logLevel",
    ];

    fn unbounded() -> Budget {
        Budget::new(u64::MAX, 1)
    }

    /// Everything that the parts are told.
    fn told(lines: &str) -> String {
        let text = format!("dataDir=/d\nclientPort=1\n{lines}\n");
        let config = config::parse(text.as_bytes(), "zoo.cfg").expect(lines);
        let device = LogDevice { direct: true, block_bytes: 512 };
        let replica = replica(&config, device).expect("built in");
        let (net, census) = (net(&config, 1, &unbounded()), census(&config, 1000));
        let (peer, ensemble) = (peer(&config, ServerId(1)), config.quorum.ensemble());
        let between = between_servers(&config);
        let recovery = recovery(&config, 1);
        format!("{replica:?}{net:?}{census:?}{recovery:?}{peer:?}{ensemble:?}{between:?}")
    }

    #[test]
    fn every_key_that_is_acted_on_reaches_a_part() {
        for (line, context) in TOLD {
            assert_ne!(told(&format!("{context}\n{line}")), told(context), "{line}");
        }
    }

    #[test]
    fn no_key_that_is_acted_on_is_forgotten_here() {
        for key in keys::all().filter(|key| matches!(key.fate, Fate::Acted(_))) {
            let named = |line: &str| {
                let written = line.split('=').next().expect("a line");
                let bare = written.strip_prefix(keys::OWN_PREFIX).unwrap_or(written);
                [written, bare]
                    .into_iter()
                    .any(|name| keys::find(name).is_some_and(|k| k.name == key.name))
            };
            let told = TOLD.iter().any(|(line, _)| named(line));
            assert!(told != TAKEN_BY_THE_START.contains(&key.name), "{}", key.name);
        }
    }

    #[test]
    fn limits_are_shared_by_the_cores_and_the_smaller_one_counts() {
        let config = |lines: &str| {
            let text = format!("dataDir=/d\nclientPort=1\n{lines}");
            config::parse(text.as_bytes(), "zoo.cfg").expect("a configuration")
        };
        let max = |lines, cores| net(&config(lines), cores, &unbounded()).requests_outstanding_max;
        assert_eq!(max("", 4), 250);
        assert_eq!(max("request_throttle_max_requests=80\n", 4), 20);
        assert_eq!(max("request_throttle_max_requests=8000\n", 1), 1000);
        assert_eq!(max("globalOutstandingLimit=1\n", 4), 1);
        assert_eq!(max(&format!("{ENSEMBLE}\n"), 1), 1000, "it is not known to vote");
        let mut voter = config(ENSEMBLE);
        voter.quorum.my_id = Some(3);
        assert_eq!(net(&voter, 1, &unbounded()).requests_outstanding_max, 500);
        voter.quorum.my_id = Some(4);
        assert_eq!(net(&voter, 1, &unbounded()).requests_outstanding_max, 1000);
        let snapshot = |lines| {
            let device = LogDevice { direct: true, block_bytes: 512 };
            let options = replica(&config(lines), device).expect("built in").snapshot;
            (options.digest, options.last_zxid)
        };
        assert_eq!(snapshot(""), (true, true));
        assert_eq!(snapshot("digest.enabled=false\n"), (false, true));
        assert_eq!(snapshot("serializeLastProcessedZxid.enabled=false\n"), (true, false));
    }

    #[test]
    fn connections_may_hold_a_quarter_of_the_memory_and_not_too_little() {
        let budget = |lines: &str, mib: Option<u64>| {
            let text = format!("dataDir=/d\nclientPort=1\n{lines}");
            let config = config::parse(text.as_bytes(), "zoo.cfg").expect("a configuration");
            let source = "memory.max of its control group";
            let memory = mib.map(|mib| MemoryOfProcess { bytes: mib << 20, source });
            let (budget, said) = budget(&config, memory, 1);
            (budget.bytes_max() >> 20, said)
        };
        let (mib, said) = budget("", Some(8192));
        assert_eq!(mib, 2048);
        assert!(said.contains("2048 MiB"), "{said}");
        assert!(
            said.contains("(a quarter of the 8192 MiB of memory.max of its control group)"),
            "{said}"
        );
        assert_eq!(budget("", Some(100)).0, 64);
        assert_eq!(budget("", None).0, 64);
        assert_eq!(budget("ringkeeper.jute.maxbuffer=104857600\n", Some(100)).0, 400);
        assert_eq!(budget("ringkeeper.connectionMemoryMax=20971520\n", Some(8192)).0, 20);
    }

    #[test]
    fn the_largest_reply_fits_a_connection() {
        for bytes in ["1048576", "67108864", "1099511627776"] {
            let line =
                format!("dataDir=/d\nclientPort=1\nringkeeper.multiReadReplyBytesMax={bytes}");
            let config = config::parse(line.as_bytes(), "zoo.cfg").expect("a configuration");
            assert!(unsent_bytes_max(&config) > clamp(config.own.multi_read_reply_bytes_max));
        }
    }
}
