//! Turns the configuration into the options of each part of the server.
//!
//! Each function here makes the options of one part, as plain values in the units of that part. The core never sees
//! the configuration, so a key is passed on in one place. Values that depend on the machine, such as bounds on
//! memory, are chosen here too; whether a value is allowed was decided when the configuration was read.

mod bounds;
mod ensemble;
mod listen;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use bounds::{budget, census, net, watch_bytes_max};
pub use ensemble::{between_servers, peer};
pub use listen::listen_address;

use bounds::{clamp, requests_outstanding_max, unsent_bytes_max};

use crate::acl::{AuthenticationOptions, DigestAlgorithm, Schemes};
use crate::admin::answer::ConfFacts;
use crate::admin::member_lines::Limits;
use crate::admin::word::FourLetterWord;
use crate::admin::{Desk, EnsembleDesk, Whitelist};
use crate::audit::AuditOptions;
use crate::config::{self, Config, FilesReadableBy};
use crate::database::DatabaseOptions;
use crate::id::ServerId;
use crate::limits;
use crate::metrics::process::Machine;
use crate::metrics::{CertificateDays, HandshakeFigures, Held, Stalls};
use crate::recovery::RecoveryOptions;
use crate::replica::{ReplicaOptions, SaslOptions, ThrottleOptions};
use crate::runtime::{self, DataFolder, LogDevice};
use crate::sasl::between::PeerLogins;
use crate::sasl::gssapi::Acceptor;
use crate::sasl::{Mechanism, NonceKey};
use crate::snapshot;
use crate::txnlog::WriterOptions;
use crate::watch::WatchBounds;

/// The server id in the high byte of a standalone server's session ids.
// ZooKeeper: ZooKeeperServer's default serverId for SessionTrackerImpl.
const STANDALONE_SESSION_SERVER: ServerId = ServerId(1);

/// The server id that a standalone server shows in `conf`.
const STANDALONE_SERVER_ID: i64 = 0;

/// The options of the tree. `hash_seed` is random, so that no client can choose paths that collide in its index.
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

/// The options of the replica. `device` is the device of the log.
///
/// # Errors
/// The configuration asks for something that this build lacks, or the system gives no random bytes for SASL: a sentence
/// for the operator.
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
        // ZooKeeper: SessionTrackerImpl. It is the high byte of the ids of sessions.
        server_id: config.quorum.me().filter(|_| is_member).unwrap_or(STANDALONE_SESSION_SERVER),
        tick_ms: config.sessions.tick_time_ms,
        session_timeout_ms_min: millis(config.sessions.min_session_timeout_ms),
        session_timeout_ms_max: millis(config.sessions.max_session_timeout_ms),
        skip_acl: security.skip_acl,
        reconfig: config.quorum.reconfig_enabled,
        // Who a client may prove to be.
        authentication: AuthenticationOptions {
            schemes: Rc::new(schemes(security)),
            digest_algorithm,
            super_digest: security.super_digest.clone(),
            ensemble_names,
            x509_super_user: config.tls.x509_super_user.clone(),
        },
        sasl: sasl(&security.sasl)?,
        enforced_auth_schemes: security.enforced_auth_schemes.clone(),
        audit: config.audit.is_enabled,
        enforce_quota: config.nodes.enforce_quota,
        extended_types: config.nodes.extended_types_enabled,
        emulate_353_ttl: config.nodes.emulate_353_ttl_nodes,
        digest: config.storage.digest_enabled,
        close_session_paths: config.storage.close_session_txn,
        // How much clients may send, wait for, and have waiting.
        frame_bytes_max: config.network.jute_max_buffer,
        txn_extra_bytes_max: config.network.jute_max_buffer_extra,
        requests_outstanding_max: requests_outstanding_max(config) as usize,
        output_pause_bytes: clamp(config.own.output_bytes_per_connection_max),
        connection_output_bytes_max: unsent_bytes_max(config),
        large_request_bytes: config.limits.large_request_threshold_bytes,
        large_requests_bytes_max: config.limits.large_request_max_bytes as usize,
        // How large one request and its answer may become.
        acl_entries_max: clamp(config.own.acl_entries_max),
        reply_bytes_max: limits::REPLY_BYTES_MAX,
        turn_work_units: limits::TURN_WORK_UNITS,
        turn_events_max: limits::TURN_EVENTS_MAX,
        multi_operations_max: clamp(config.own.multi_operations_max),
        ephemerals_per_session_max: clamp(config.own.ephemerals_per_session_max),
        multi_read_bytes_max: clamp(config.own.multi_read_reply_bytes_max),
        // How fast connections may come.
        throttle: throttle(&config.limits.connection_throttle),
        // When containers and TTL nodes are removed (`ContainerManager`).
        container_check_interval_ms: config.nodes.container_check_interval_ms.into(),
        container_removals_per_minute_max: config.nodes.container_max_per_minute,
        container_never_used_ms_max: config.nodes.container_max_never_used_interval_ms.unwrap_or(0),
        log_write_warning_ms: config.storage.fsync_warning_threshold_ms,
        // How the state reaches the disk.
        txnlog: txnlog(config, device),
        snapshot: snapshot::WriterOptions {
            digest: config.storage.digest_enabled,
            last_zxid: config.storage.serialize_last_processed_zxid,
            ..snapshot::WriterOptions::default()
        },
        // What this server does in its ensemble.
        local_sessions: config.sessions.local_sessions_enabled,
        local_sessions_upgrading: config.sessions.local_sessions_upgrading_enabled,
        read_only_mode: config.sessions.read_only_mode_enabled,
        leader_serves: config.quorum.leader_serves,
        eager_acl_check: security.eager_acl_check,
        sync_enabled: config.quorum.observer_sync_enabled.unwrap_or(config.quorum.sync_enabled),
        planted: None,
    })
}

/// The schemes of identities that the configuration opens.
fn schemes(security: &config::Security) -> Schemes {
    let schemes = Schemes {
        digest: security.digest_enabled,
        key: security.key_auth_enabled,
        sasl: security.sasl.scheme_enabled,
        x509: security.x509_enabled,
        ..Schemes::default()
    };
    schemes.with_any_sasl_user(security.sasl.any_user.as_deref())
}

/// How clients log in by SASL, with a key for nonces from the system's generator. `None`: the configuration lets nobody.
fn sasl(sasl: &config::Sasl) -> Result<Option<SaslOptions>, String> {
    let Some(mechanism) = sasl.mechanism.clone() else { return Ok(None) };
    let nonce_key = nonce_key()?;
    let mut names = sasl.names.clone();
    names.rules = names.rules.in_realm(&realm(sasl)?);
    Ok(Some(SaslOptions {
        mechanism,
        names,
        super_users: sasl.super_users.clone(),
        allow_failed_clients: sasl.allow_failed_clients,
        nonce_key,
    }))
}

/// The realm of this machine, by which `DEFAULT` in `security.auth_to_local` shortens names; empty if it has none, or if
/// clients do not log in by Kerberos.
///
/// # Errors
/// It has none, and must have one (`requireKerberosConfig`).
// ZooKeeper: KerberosName.
pub fn realm(sasl: &config::Sasl) -> Result<String, String> {
    let by_kerberos = matches!(sasl.mechanism, Some(Mechanism::Gssapi(_)));
    if !by_kerberos && !sasl.default_realm_required {
        return Ok(String::new());
    }
    match runtime::default_realm() {
        None if sasl.default_realm_required && sasl.mechanism.is_some() => {
            Err("requireKerberosConfig = true: krb5.conf names no default_realm, or this program was built without \
                 Kerberos"
                .to_owned())
        }
        realm => Ok(realm.filter(|_| by_kerberos).unwrap_or_default()),
    }
}

/// As whom this server accepts clients by Kerberos. `None`: it does not.
pub fn acceptor(config: &Config) -> Option<&Acceptor> {
    match &config.security.sasl.mechanism {
        Some(Mechanism::Gssapi(acceptor)) => Some(acceptor),
        Some(Mechanism::DigestMd5(_)) | None => None,
    }
}

/// How servers log in at each other, with a key for nonces from the system's generator. `None`: they do not.
///
/// # Errors
/// The system gives no random bytes, or the sections of the JAAS file were not read: a sentence for the operator.
pub fn logins(config: &Config) -> Result<Option<PeerLogins>, String> {
    let settings = &config.security.logins_between;
    if !settings.is_enabled {
        return Ok(None);
    }
    let unread = || "quorum.auth.enableSasl=true, and the JAAS file was not read".to_owned();
    let accepted = settings.accepted.clone().ok_or_else(unread)?;
    let own = match settings.logs_in {
        true => Some(settings.own.clone().ok_or_else(unread)?),
        false => None,
    };
    let (is_demanded, nonce_key) = (settings.is_demanded, nonce_key()?);
    Ok(Some(PeerLogins { accepted, is_demanded, own, nonce_key }))
}

/// A key for nonces that nobody can foresee.
fn nonce_key() -> Result<NonceKey, String> {
    let key = runtime::unforeseeable_bytes()
        .map_err(|error| format!("the system gives no random bytes, which SASL needs: {error}"))?;
    Ok(NonceKey::new(key))
}

/// The options of the throttle on new connections (`BlueThrottle`). Without weights every connection costs one token.
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

/// The options of reading the state from the disk. Only a member keeps recent transactions, for its learners.
pub fn recovery(config: &Config, hash_seed: u64) -> RecoveryOptions {
    RecoveryOptions {
        database: database(config, hash_seed),
        trust_empty: config.storage.snapshot_trust_empty,
        autocreate: config.storage.db_autocreate,
        allow_gaps: config.own.allow_log_gaps,
        ensemble: config.quorum.is_distributed(),
        // A standalone server has no learner that would ask for them.
        recent_txns_max: if config.quorum.is_distributed() {
            config.quorum.commit_log_count as usize
        } else {
            0
        },
        planted: None,
    }
}

/// The options of the transaction log.
fn txnlog(config: &Config, device: LogDevice) -> WriterOptions {
    WriterOptions {
        block_bytes: device.block_bytes,
        segment_bytes: config.storage.pre_alloc_bytes,
        // A transaction is a request with a header, and what the server adds to it (`jute.maxbuffer.extrasize`).
        txn_bytes_max: config.network.jute_max_buffer as usize
            + config.network.jute_max_buffer_extra as usize,
        sync: config.storage.force_sync,
        snap_count: config.storage.snap_count.into(),
        // 0: the size of the log asks for no snapshot.
        snap_bytes: config.storage.snap_size_limit_bytes.unwrap_or(0),
        snapshot_share_percent: config.own.snapshot_share_percent.into(),
        log_bytes_max: config.storage.txn_log_size_limit_bytes,
        ..WriterOptions::default()
    }
}

/// Where the audit log goes. `None`: there is none.
pub fn audit(config: &Config) -> Option<AuditOptions> {
    let audit = config.audit.is_enabled.then(|| config.audit.clone())?;
    Some(AuditOptions {
        file: audit.file,
        file_mode: match config.own.files_readable_by {
            FilesReadableBy::Owner => 0o600,
            FilesReadableBy::Group => 0o640,
            FilesReadableBy::Umask => 0o666,
        },
        file_bytes_max: audit.file_bytes_max,
        files_kept: audit.files_kept,
        server_user: Machine::read().user_name,
    })
}

/// The facts for the answers to four-letter words, and which words are answered (`4lw.commands.whitelist`). `port` is
/// the port on which clients connect.
pub fn desk(config: &Config, folder: &DataFolder, port: Option<u16>) -> Desk {
    let millis = |ms: u32| i32::try_from(ms).unwrap_or(i32::MAX);
    // ZooKeeper: `conf` shows File.getAbsolutePath, so a relative path in the configuration is of no use to a reader.
    let absolute = |path: &std::path::Path| {
        path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
    };
    let words: Vec<&str> = FourLetterWord::ALL
        .iter()
        .map(|word| word.name())
        .filter(|name| config.admin.four_letter_words.allows(name))
        .collect();
    let conf = ConfFacts {
        client_port: port.map_or(-1, i32::from),
        // ZooKeeper: ConfCommand shows -1 for a port that is not there.
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
        // `isro` is answered also if the list does not name it, in the read-only mode.
        whitelist: Whitelist::new(Some(&words.join(",")), config.sessions.read_only_mode_enabled),
        conf,
        machine: Machine::read(),
        stalls: Stalls::default(),
        held: Held::default(),
        connections_refused: 0,
        audit_dropped: 0,
        handshakes: HandshakeFigures::default(),
        link_handshakes: HandshakeFigures::default(),
        certificate_days: CertificateDays::default(),
        ensemble: config.quorum.is_distributed().then_some(EnsembleDesk {
            limits: Limits { init: config.quorum.init_limit, sync: config.quorum.sync_limit },
            local_sessions: config.sessions.local_sessions_enabled,
        }),
    }
}
