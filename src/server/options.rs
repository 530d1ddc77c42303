//! From the configuration to the plain options of the parts.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::acl::{AuthenticationOptions, DigestAlgorithm};
use crate::admin::answer::ConfFacts;
use crate::admin::word::FourLetterWord;
use crate::admin::{Desk, Mode, Whitelist};
use crate::config::{self, Config, ListenHost};
use crate::database::DatabaseOptions;
use crate::id::ServerId;
use crate::limits;
use crate::metrics::process::Machine;
use crate::net::NetOptions;
use crate::replica::ReplicaOptions;
use crate::runtime::{DataFolder, LogDevice};
use crate::txnlog::WriterOptions;

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
        ListenHost::Name(name) => {
            let mut found = (name.as_str(), listen.port).to_socket_addrs()?;
            let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
            found.next().ok_or_else(none)
        }
    }
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((IpAddr::from(Ipv6Addr::LOCALHOST), 0)).is_ok()
}

/// What the tree is told.
pub fn database(config: &Config, hash_seed: u64) -> DatabaseOptions {
    DatabaseOptions {
        extended_types: config.nodes.extended_types_enabled,
        emulate_353_ttl: config.nodes.emulate_353_ttl_nodes,
        digest_enabled: config.storage.digest_enabled,
        hash_seed,
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
    let ensemble_names = security
        .ensemble_auth_enabled
        .then(|| security.ensemble_auth_names.clone().unwrap_or_default());
    Ok(ReplicaOptions {
        server_id: STANDALONE_SESSION_SERVER,
        tick_ms: config.sessions.tick_time_ms,
        session_timeout_ms_min: millis(config.sessions.min_session_timeout_ms),
        session_timeout_ms_max: millis(config.sessions.max_session_timeout_ms),
        skip_acl: security.skip_acl,
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
        requests_outstanding_max: config.limits.global_outstanding_limit as usize,
        connection_output_bytes_max: limits::CONNECTION_OUTPUT_BYTES_MAX,
        large_request_bytes: config.limits.large_request_threshold_bytes,
        large_requests_bytes_max: config.limits.large_request_max_bytes as usize,
        container_check_interval_ms: config.nodes.container_check_interval_ms.into(),
        container_removals_per_minute_max: config.nodes.container_max_per_minute,
        container_never_used_ms_max: config.nodes.container_max_never_used_interval_ms.unwrap_or(0),
        txnlog: txnlog(config, device),
        ..ReplicaOptions::default()
    })
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
        log_bytes_max: config.storage.txn_log_size_limit_bytes,
        ..WriterOptions::default()
    }
}

/// What each of `cores` session cores is told.
pub fn net(config: &Config, cores: u32) -> NetOptions {
    NetOptions {
        frame_bytes_max: config.network.jute_max_buffer,
        requests_outstanding_max: (config.limits.global_outstanding_limit / cores).max(1),
        unsent_bytes_before_pause: usize::try_from(config.own.output_bytes_per_connection_max)
            .unwrap_or(usize::MAX),
        unsent_bytes_max: limits::CONNECTION_OUTPUT_BYTES_MAX
            .max(usize::try_from(config.own.output_bytes_per_connection_max).unwrap_or(usize::MAX)),
        received_bytes_max: config.own.request_bytes_in_flight_max / u64::from(cores),
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
        server_id: STANDALONE_SERVER_ID,
    };
    Desk {
        whitelist: Whitelist::new(Some(&words.join(",")), config.sessions.read_only_mode_enabled),
        conf,
        machine: Machine::read(),
        mode: Mode::Standalone,
    }
}
