//! The configuration for the rest of the program: plain typed fields, all of them valid.
//!
//! Each field names its unit, its default and the key that sets it; keys without the prefix
//! `ringkeeper.` are ZooKeeper's. [`Config::default`] is the embedded default of `ringkeeper
//! server` without a file; the defaults of a file are [`Config::of_file`], because a `zoo.cfg` without
//! `clientPortAddress` listens on every address and one without `dataDir` is an error.

mod audit;
mod listen;
mod own;
mod sasl;
mod security;
mod tls;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;

use super::origin::{Note, Origin};
use super::quorum::Quorum;
use crate::limits::{FRAME_BYTES_MAX, TXN_EXTRA_BYTES_MAX};

pub use audit::Audit;
pub use listen::{Listen, ListenHost};
pub(super) use own::REQUEST_BYTES_IN_FLIGHT_MAX;
pub use own::{FilesReadableBy, LogFormat, LogLevel, Own};
pub use sasl::{LoginsBetween, Sasl};
pub use security::{DigestAlgorithm, Security};
pub use tls::{ClientAuth, Password, Secret, StoreAt, Tls, TlsSide};
pub use web::Web;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Folders, log and snapshots.
    pub storage: Storage,
    /// Sockets.
    pub network: Network,
    /// Session times and kinds.
    pub sessions: Sessions,
    /// Back-pressure and throttling.
    pub limits: Limits,
    /// Access control.
    pub security: Security,
    /// The audit log.
    pub audit: Audit,
    /// Encrypted connections.
    pub tls: Tls,
    /// Kinds of nodes and their rules.
    pub nodes: Nodes,
    /// Four-letter words.
    pub admin: Admin,
    /// HTTP servers for operators.
    pub web: Web,
    /// Members of the ensemble.
    pub quorum: Quorum,
    /// Keys that ZooKeeper does not have.
    pub own: Own,
    /// Every key that was set, by canonical name.
    pub(super) settings: BTreeMap<String, Setting>,
    /// Notes for the start-up.
    pub(super) notes: Vec<Note>,
}

/// A key that was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value as a `zoo.cfg` writes it; hidden if it is a secret.
    pub text: String,
    /// Its origin.
    pub origin: Origin,
}

/// Folders, transaction log and snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Folder of the snapshots, of `myid` and of the epoch files. Required in a file; without a
    /// file `./ringkeeper-data`. Key `dataDir`.
    pub data_dir: PathBuf,
    /// Folder of the transaction log. Default: [`Storage::data_dir`]. Key `dataLogDir`.
    pub data_log_dir: PathBuf,
    /// Whether missing folders are created. Default: true. Key `datadir.autocreate`.
    pub datadir_autocreate: bool,
    /// Whether an empty folder becomes a new, empty database (otherwise only with a file `initialize`).
    /// Default: true. Key `db.autocreate`.
    pub db_autocreate: bool,
    /// Transactions between two snapshots; a snapshot is taken after half of it plus a random
    /// share of the other half. At least 2. Default: 100 000. Key `snapCount`.
    pub snap_count: u32,
    /// Log bytes between two snapshots, halved and randomised like [`Storage::snap_count`];
    /// `None`: no such limit. Default: 4 GiB. Key `snapSizeLimitInKb` (KiB; 0 or less: none).
    pub snap_size_limit_bytes: Option<u64>,
    /// Size at which a log file is closed and the next one begun; `None`: no such limit.
    /// Default: none. Key `txnLogSizeLimitInKb` (KiB; 0 or less: none).
    pub txn_log_size_limit_bytes: Option<u64>,
    /// Largest size of a log file, which is prepared ahead of the writes; raised to what the largest group of
    /// transactions needs. Bytes. Default: 64 MiB. Key `preAllocSize` (KiB).
    pub pre_alloc_bytes: u64,
    /// Whether a write is durable before it is acknowledged. Default: true. Key `forceSync` (yes,
    /// no).
    pub force_sync: bool,
    /// A log write slower than this causes a warning. Milliseconds. Default:
    /// 1000. Key `fsync.warningthresholdms`.
    pub fsync_warning_threshold_ms: u64,
    /// Whether a folder with logs and no snapshot is accepted. Default: false.
    /// Key `snapshot.trust.empty`.
    pub snapshot_trust_empty: bool,
    /// Whether digests of the tree are kept, logged and checked. Default: true. Key
    /// `digest.enabled`.
    pub digest_enabled: bool,
    /// Whether a snapshot ends with the last processed zxid (3.9). Default: true.
    /// Key `serializeLastProcessedZxid.enabled`.
    pub serialize_last_processed_zxid: bool,
    /// Whether a closeSession transaction lists the paths it deletes (3.6). Default: true.
    /// Key `closeSessionTxn.enabled`.
    pub close_session_txn: bool,
    /// Snapshots that a purge keeps, with the logs they need. At least 3. Default: 3. Key
    /// `autopurge.snapRetainCount`.
    pub snap_retain_count: u32,
    /// Time between two purges; `None`: never. Milliseconds. Default: never.
    /// Key `autopurge.purgeInterval` (hours; with a suffix ms, s, m, h or d; 0 or less: never).
    pub purge_interval_ms: Option<u64>,
}

/// Sockets towards clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The address for clients. Keys `clientPort` and `clientPortAddress`, or the client part of this server's
    /// `server.N` line. `None`: clients connect with TLS alone, at [`Tls::secure_client`].
    pub client: Option<Listen>,
    /// Length of the listen queue; `None`: our own. Default: none. Key `clientPortListenBacklog`
    /// (−1).
    pub listen_backlog: Option<u32>,
    /// Connections from one address; `None`: no limit. Default: 60.
    /// Key `maxClientCnxns` (0 or less: no limit).
    pub max_client_cnxns: Option<u32>,
    /// Connections in all; `None`: no limit. Default: none. Key `maxCnxns` (0: no limit).
    pub max_cnxns: Option<u32>,
    /// Connections whose TLS handshake is not over; `None`: no limit. Default: none.
    /// Key `netty.server.outstandingHandshake.limit` (0 or less: no limit).
    pub handshakes_outstanding_max: Option<u32>,
    /// Whether client connections have TCP keep-alive. Default: false. Key `clientTcpKeepAlive`.
    pub client_tcp_keep_alive: bool,
    /// A connection without a session is closed after this. Milliseconds. Default: 10 000.
    /// Key `nio.sessionlessCnxnTimeout`.
    pub sessionless_cnxn_timeout_ms: u32,
    /// Largest frame a client may send. Bytes. Default: 0xfffff (1 MiB − 1).
    /// Key `jute.maxbuffer`, as a `-D` word.
    pub jute_max_buffer: u32,
    /// By how much a record in a file may exceed [`Network::jute_max_buffer`]. Bytes. At least 1024. Default:
    /// [`Network::jute_max_buffer`]. Key `jute.maxbuffer.extrasize`.
    pub jute_max_buffer_extra: u32,
}

/// Session times and kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// The unit of all session times; sessions expire on its multiples. Milliseconds. Default:
    /// 3000. Key `tickTime`.
    pub tick_time_ms: u32,
    /// Shortest session timeout that is granted. Milliseconds. Default: 2 ticks.
    /// Key `minSessionTimeout` (−1).
    pub min_session_timeout_ms: u32,
    /// Longest session timeout that is granted. Milliseconds. Default: 20 ticks.
    /// Key `maxSessionTimeout` (−1).
    pub max_session_timeout_ms: u32,
    /// Whether a server cut off from its ensemble serves reads, and `isro` is on the whitelist.
    /// Default: false. Key `readonlymode.enabled`, as a `-D` word.
    pub read_only_mode_enabled: bool,
    /// Whether sessions begin as local ones, known to only one server of an ensemble. Default: false. Key
    /// `localSessionsEnabled`.
    pub local_sessions_enabled: bool,
    /// Whether a local session becomes a global one when it creates an ephemeral node.
    /// Default: false. Key `localSessionsUpgradingEnabled`.
    pub local_sessions_upgrading_enabled: bool,
}

/// Back-pressure and throttling.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Requests in process above which no further ones are read from the sockets. Default: 1000.
    /// Key `globalOutstandingLimit`.
    pub global_outstanding_limit: u32,
    /// Like [`Limits::global_outstanding_limit`], and the smaller of the two counts; `None`: no
    /// such limit. Default: none. Key `request_throttle_max_requests` (0).
    pub request_throttle_max_requests: Option<u32>,
    /// The throttle for clients that open or resume a session. Keys `connection_throttle_*`.
    pub connection_throttle: ConnectionThrottle,
    /// Bytes that all large requests in process may have together. Default: 100 MiB.
    /// Key `largeRequestMaxBytes`.
    pub large_request_max_bytes: u32,
    /// Size from which a request is large; `None`: none is. Bytes. Default: none.
    /// Key `largeRequestThreshold` (−1).
    pub large_request_threshold_bytes: Option<u32>,
}

/// The token bucket for connecting sessions, with random drops before it is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionThrottle {
    /// Size of the bucket; 0: no throttle. Default: 0. Key `connection_throttle_tokens`.
    pub tokens: u32,
    /// Time between two refills. Milliseconds. Default: 1. Key `connection_throttle_fill_time`.
    pub fill_time_ms: u32,
    /// Tokens per refill. Default: 1. Key `connection_throttle_fill_count`.
    pub fill_count: u32,
    /// Time between two changes of the drop probability; `None`: no random drops. Milliseconds.
    /// Default: none. Key `connection_throttle_freeze_time` (−1).
    pub freeze_time_ms: Option<u32>,
    /// Step up of the drop probability. Default: 0.02. Key `connection_throttle_drop_increase`.
    pub drop_increase: f64,
    /// Step down of the drop probability. Default: 0.002. Key `connection_throttle_drop_decrease`.
    pub drop_decrease: f64,
    /// The drop probability falls while at most this share of the bucket is missing. Default: 0.
    /// Key `connection_throttle_decrease_ratio`.
    pub decrease_ratio: f64,
    /// Whether a connecting session costs its weight instead of one token. Default: false. Key
    /// `connection_throttle_weight_enabled`.
    pub weight_enabled: bool,
    /// Tokens for a new session. Default: 3.
    /// Key `connection_throttle_global_session_weight`.
    pub global_session_weight: u32,
    /// Smallest value of the other two weights. Default: 1. Key `connection_throttle_local_session_weight`.
    pub local_session_weight: u32,
    /// Tokens for a session that reconnects. Default: 2. Key `connection_throttle_renew_session_weight`.
    pub renew_session_weight: u32,
}

impl ConnectionThrottle {
    /// Size of the bucket and tokens per refill as the throttle uses them: with weights, both count global
    /// sessions.
    // ZooKeeper: the static initialiser of BlueThrottle multiplies both by the global weight.
    pub fn bucket(&self) -> (u64, u64) {
        let weight = if self.weight_enabled { u64::from(self.global_session_weight) } else { 1 };
        (u64::from(self.tokens) * weight, u64::from(self.fill_count) * weight)
    }
}

/// Kinds of nodes and their rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Whether TTL nodes exist. Default: false. Key `extendedTypesEnabled`.
    pub extended_types_enabled: bool,
    /// Whether TTL nodes written by 3.5.3 are recognised. Default: false. Key `emulate353TTLNodes`.
    pub emulate_353_ttl_nodes: bool,
    /// Whether hard quotas are enforced. Default: false. Key `enforceQuota`.
    pub enforce_quota: bool,
    /// Time between two searches for empty containers and expired TTL nodes. Milliseconds.
    /// Default: 60 000. Key `znode.container.checkIntervalMs`, as a `-D` word.
    pub container_check_interval_ms: u32,
    /// Such nodes deleted per minute. Default: 10 000. Key `znode.container.maxPerMinute`, as a
    /// `-D` word.
    pub container_max_per_minute: u32,
    /// A container that never had a child is deleted after this; `None`: never. Milliseconds.
    /// Default: never. Key `znode.container.maxNeverUsedIntervalMs` (0), as a `-D` word.
    pub container_max_never_used_interval_ms: Option<u64>,
}

/// Settings for operators.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admin {
    /// Four-letter words that are answered. Default: `srvr`. Key `4lw.commands.whitelist`.
    pub four_letter_words: Whitelist,
}

/// Which four-letter words are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whitelist {
    /// All of them (`*`).
    All,
    /// These; `srvr` is always among them.
    Only(BTreeSet<String>),
}

impl Default for Whitelist {
    fn default() -> Self {
        // ZooKeeper: FourLetterCommands adds srvr whatever the list says, because zkServer.sh needs it.
        Whitelist::Only(BTreeSet::from(["srvr".to_owned()]))
    }
}

impl Whitelist {
    /// Whether the word is answered.
    pub fn allows(&self, word: &str) -> bool {
        match self {
            Whitelist::All => true,
            Whitelist::Only(words) => words.contains(word),
        }
    }
}

impl Config {
    /// The defaults for a file: ZooKeeper's defaults, no data folder, every address.
    pub(super) fn of_file() -> Self {
        let mut config = Config::default();
        config.storage.data_dir = PathBuf::new();
        config.storage.data_log_dir = PathBuf::new();
        config.network.client = None;
        config.web.host = web::EVERY_ADDRESS.to_owned();
        config
    }

    /// Where the value of a key came from. `key` is the key's name in [`super::keys`].
    pub fn origin_of(&self, key: &str) -> &Origin {
        self.settings.get(key).map_or(&Origin::Default, |setting| &setting.origin)
    }

    /// Every known key that was set, by canonical name; its row says whether it is acted on.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(key, setting)| (key.as_str(), setting))
    }

    /// The notes for the start-up: keys without meaning here, corrected values, unknown keys.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }
}

impl Default for Storage {
    fn default() -> Self {
        let data_dir = PathBuf::from("./ringkeeper-data");
        Self {
            data_log_dir: data_dir.clone(),
            data_dir,
            datadir_autocreate: true,
            db_autocreate: true,
            snap_count: 100_000,
            snap_size_limit_bytes: Some(4_194_304 * 1024),
            txn_log_size_limit_bytes: None,
            pre_alloc_bytes: 65_536 * 1024,
            force_sync: true,
            fsync_warning_threshold_ms: 1000,
            snapshot_trust_empty: false,
            digest_enabled: true,
            serialize_last_processed_zxid: true,
            close_session_txn: true,
            snap_retain_count: 3,
            purge_interval_ms: None,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            client: Some(Listen { host: ListenHost::Ip(Ipv4Addr::LOCALHOST.into()), port: 2181 }),
            listen_backlog: None,
            max_client_cnxns: Some(60),
            max_cnxns: None,
            handshakes_outstanding_max: None,
            client_tcp_keep_alive: false,
            sessionless_cnxn_timeout_ms: 10_000,
            jute_max_buffer: FRAME_BYTES_MAX,
            jute_max_buffer_extra: TXN_EXTRA_BYTES_MAX,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            tick_time_ms: 3000,
            min_session_timeout_ms: 6000,
            max_session_timeout_ms: 60_000,
            read_only_mode_enabled: false,
            local_sessions_enabled: false,
            local_sessions_upgrading_enabled: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            global_outstanding_limit: 1000,
            request_throttle_max_requests: None,
            connection_throttle: ConnectionThrottle::default(),
            large_request_max_bytes: 100 * 1024 * 1024,
            large_request_threshold_bytes: None,
        }
    }
}

impl Default for ConnectionThrottle {
    fn default() -> Self {
        Self {
            tokens: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: None,
            drop_increase: 0.02,
            drop_decrease: 0.002,
            decrease_ratio: 0.0,
            weight_enabled: false,
            global_session_weight: 3,
            local_session_weight: 1,
            renew_session_weight: 2,
        }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            extended_types_enabled: false,
            emulate_353_ttl_nodes: false,
            enforce_quota: false,
            container_check_interval_ms: 60_000,
            container_max_per_minute: 10_000,
            container_max_never_used_interval_ms: None,
        }
    }
}
