//! The options of a replica: plain values, made once from the configuration.

use std::rc::Rc;

use crate::id::ServerId;
use crate::limits;
use crate::processor::PrepOptions;

/// What an operator may choose about the core. The names in brackets are the configuration's keys, ZooKeeper's unless
/// they begin with `ringkeeper.`.
#[derive(Clone, Debug)]
pub struct ReplicaOptions {
    /// The high byte of new session ids. ZooKeeper: a standalone server uses 1 here.
    pub server_id: ServerId,
    /// The basic unit of time, and the width of a bucket of session expiry (`tickTime`).
    pub tick_ms: u32,
    /// Shortest session timeout granted (`minSessionTimeout`).
    pub session_timeout_ms_min: i32,
    /// Longest session timeout granted (`maxSessionTimeout`).
    pub session_timeout_ms_max: i32,
    /// Whether permissions are ignored (`skipACL`).
    pub skip_acl: bool,
    /// Connections without an identity of one of these schemes are refused
    /// (`enforce.auth.enabled` with `enforce.auth.schemes`). Empty: none is refused.
    pub enforced_auth_schemes: Vec<String>,
    /// How identities are checked: which schemes there are, digest algorithm, super user, ensemble name.
    pub authentication: crate::acl::AuthenticationOptions,
    /// Whether writes of this server's clients are told to the audit log (`audit.enable`).
    pub audit: bool,
    /// How clients log in by SASL. `None`: they cannot.
    pub sasl: Option<super::SaslOptions>,
    /// Whether hard quotas are enforced (`enforceQuota`).
    pub enforce_quota: bool,
    /// Whether clients may create TTL nodes (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether TTL nodes are written as ZooKeeper 3.5.3 wrote them (`emulate353TTLNodes`).
    pub emulate_353_ttl: bool,
    /// Whether transactions carry the digest of the tree (`digest.enabled`).
    pub digest: bool,
    /// Whether closeSession transactions list the session's ephemeral nodes (`closeSessionTxn.enabled`).
    pub close_session_paths: bool,
    /// Whether reconfiguration is switched on (`reconfigEnabled`).
    pub reconfig: bool,

    /// Longest frame of a client (`jute.maxbuffer`).
    pub frame_bytes_max: u32,
    /// By how much a transaction may be longer than its request (`jute.maxbuffer.extrasize`).
    pub txn_extra_bytes_max: u32,
    /// Most requests in the server at once: beyond that the edge reads no sockets
    /// (`globalOutstandingLimit`).
    pub requests_outstanding_max: usize,
    /// Most bytes made for one connection that its client has not read: beyond that its requests wait
    /// (`ringkeeper.outputBytesPerConnectionMax`).
    pub output_pause_bytes: usize,
    /// Most unread bytes of events for one connection: beyond that it is closed, because its client does not read.
    pub connection_output_bytes_max: usize,
    /// Requests longer than this count as large (`largeRequestThreshold`). `None`: none does.
    pub large_request_bytes: Option<u32>,
    /// Most bytes of large requests in the server at once (`largeRequestMaxBytes`).
    pub large_requests_bytes_max: usize,
    /// Most entries of an ACL that a client sets (`ringkeeper.aclEntriesMax`).
    pub acl_entries_max: usize,
    /// Longest body of any reply.
    pub reply_bytes_max: usize,
    /// How much a turn may do for clients, in units of about a microsecond.
    pub turn_work_units: u32,
    /// Most events that a turn makes for clients; connections that would get more are closed.
    pub turn_events_max: u32,
    /// Most operations of a multi (`ringkeeper.multiOperationsMax`).
    pub multi_operations_max: usize,
    /// Most ephemeral nodes of a session (`ringkeeper.ephemeralsPerSessionMax`).
    pub ephemerals_per_session_max: usize,
    /// Longest reply to one multiRead (`ringkeeper.multiReadReplyBytesMax`).
    pub multi_read_bytes_max: usize,
    /// How many new sessions are let in (`connection_throttle_*`).
    pub throttle: super::ThrottleOptions,

    /// Time between two searches for containers and TTL nodes to remove
    /// (`znode.container.checkIntervalMs`).
    pub container_check_interval_ms: u64,
    /// Most removals of containers and TTL nodes in a minute (`znode.container.maxPerMinute`).
    pub container_removals_per_minute_max: u32,
    /// Age at which a container that never had a child is removed
    /// (`znode.container.maxNeverUsedIntervalMs`). 0: never.
    pub container_never_used_ms_max: u64,

    /// Whether only the client's own server knows a new session (`localSessionsEnabled`). This option and all
    /// down to `sync_enabled` are for a member of an ensemble only.
    pub local_sessions: bool,
    /// Whether a local session becomes a global one when it creates an ephemeral node
    /// (`localSessionsUpgradingEnabled`); if not, that write is refused with -120.
    pub local_sessions_upgrading: bool,
    /// Whether a server without a leader serves clients that only read (`readonlymode.enabled`).
    pub read_only_mode: bool,
    /// Whether a leader serves clients (`leaderServes`).
    pub leader_serves: bool,
    /// Whether the server to which a client is connected checks permissions before a write gets a
    /// zxid (`enableEagerACLCheck`).
    pub eager_acl_check: bool,
    /// Whether an observer keeps a transaction log and takes snapshots (`syncEnabled`).
    pub sync_enabled: bool,

    /// A write of the log that takes longer than this is worth a warning (`fsync.warningthresholdms`).
    pub log_write_warning_ms: u64,
    /// How the transaction log is written, and when a snapshot is due.
    pub txnlog: crate::txnlog::WriterOptions,
    /// How snapshots are written.
    pub snapshot: crate::snapshot::WriterOptions,
    /// A bug that a test has switched on; only in a build for tests.
    pub planted: Option<crate::planted::PlantedBug>,
}

impl Default for ReplicaOptions {
    fn default() -> Self {
        ReplicaOptions {
            server_id: ServerId(1),
            tick_ms: 3000,
            session_timeout_ms_min: 6000,
            session_timeout_ms_max: 60_000,
            skip_acl: false,
            enforced_auth_schemes: Vec::new(),
            authentication: crate::acl::AuthenticationOptions::default(),
            audit: false,
            sasl: None,
            enforce_quota: false,
            extended_types: false,
            emulate_353_ttl: false,
            digest: true,
            close_session_paths: true,
            reconfig: false,
            frame_bytes_max: limits::FRAME_BYTES_MAX,
            txn_extra_bytes_max: limits::TXN_EXTRA_BYTES_MAX,
            requests_outstanding_max: limits::REQUESTS_OUTSTANDING_MAX,
            output_pause_bytes: limits::CONNECTION_OUTPUT_PAUSE_BYTES,
            connection_output_bytes_max: limits::CONNECTION_OUTPUT_BYTES_MAX,
            large_request_bytes: None,
            large_requests_bytes_max: limits::LARGE_REQUESTS_BYTES_MAX,
            acl_entries_max: limits::ACL_ENTRIES_MAX,
            reply_bytes_max: limits::REPLY_BYTES_MAX,
            turn_work_units: limits::TURN_WORK_UNITS,
            turn_events_max: limits::TURN_EVENTS_MAX,
            multi_operations_max: limits::MULTI_OPERATIONS_MAX,
            ephemerals_per_session_max: limits::EPHEMERALS_PER_SESSION_MAX,
            multi_read_bytes_max: limits::MULTI_READ_BYTES_MAX,
            throttle: super::ThrottleOptions::default(),
            container_check_interval_ms: 60_000,
            container_removals_per_minute_max: 10_000,
            container_never_used_ms_max: 0,
            local_sessions: false,
            local_sessions_upgrading: false,
            read_only_mode: false,
            leader_serves: true,
            eager_acl_check: false,
            sync_enabled: true,
            log_write_warning_ms: 1000,
            txnlog: crate::txnlog::WriterOptions::default(),
            snapshot: crate::snapshot::WriterOptions::default(),
            planted: None,
        }
    }
}

impl ReplicaOptions {
    /// The options that concern how transactions are made.
    pub(super) fn prep(&self) -> PrepOptions {
        PrepOptions {
            skip_acl: self.skip_acl,
            schemes: Rc::clone(&self.authentication.schemes),
            digest: self.digest,
            enforce_quota: self.enforce_quota,
            ephemerals_per_session_max: self.ephemerals_per_session_max,
            extended_types: self.extended_types,
            close_session_paths: self.close_session_paths,
            reconfig: self.reconfig,
            acl_entries_max: self.acl_entries_max,
            txn_bytes_max: self.txnlog.txn_bytes_max,
            planted: self.planted,
        }
    }
}
