//! The settings that only Ringkeeper has, and how it writes its log.

use crate::limits::WATCHES_PER_CONNECTION_MAX;

/// Keys that ZooKeeper does not have. Prefix `ringkeeper.` in a `zoo.cfg`, table `[ringkeeper]` in TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Processors for executors: with one or two there is a single executor. `None`: as many as this process may use,
    /// or as the quota of its control group allows. Default: auto. Key `ringkeeper.cores`.
    pub cores: Option<u32>,
    /// Whether each executor is bound to its core. Default: true. Key `ringkeeper.pin`.
    pub pin: bool,
    /// How long a thread polls for the end of a log write before it sleeps, and for other servers' answers at
    /// most 100 µs of that; `None`: 500 µs. Microseconds. Default: auto. Key `ringkeeper.spinMicros`.
    pub spin_micros: Option<u32>,
    /// How long the server may stall before the stall is counted and logged; 0: never. Milliseconds. Default:
    /// 5. Key `ringkeeper.stallMillis`.
    pub stall_millis: u32,
    /// The share of the last snapshot's bytes that the log must have before another snapshot is taken, if the
    /// last one was large. Per cent. Default: 50. Key `ringkeeper.snapshotSharePercent`.
    pub snapshot_share_percent: u32,
    /// Replies and events buffered for one connection above which nothing more is read from it. A
    /// single reply may be larger. Bytes. Default: 4 MiB. Key
    /// `ringkeeper.outputBytesPerConnectionMax`.
    pub output_bytes_per_connection_max: u64,
    /// Requests received and not yet answered, of all connections, above which no further ones are
    /// read. Bytes. Default: 256 MiB, or twice `jute.maxbuffer` where that is more.
    /// Key `ringkeeper.requestBytesInFlightMax`.
    pub request_bytes_in_flight_max: u64,
    /// Largest reply to one multiRead: one small request can ask for thousands of nodes; a larger reply is
    /// refused with BADARGUMENTS. Bytes. Default: 64 MiB. Key `ringkeeper.multiReadReplyBytesMax`.
    pub multi_read_reply_bytes_max: u64,
    /// Entries of an ACL that a client gives to a node; a longer one is refused with INVALIDACL. ACLs in
    /// snapshots and logs may have more. Default: 1024. Key `ringkeeper.aclEntriesMax`.
    pub acl_entries_max: u64,
    /// Largest number of operations in a multi, which is executed in one piece; a longer one is refused with
    /// BADARGUMENTS. Default: 10 000. Key `ringkeeper.multiOperationsMax`.
    pub multi_operations_max: u64,
    /// Largest number of ephemeral nodes of a session, which are deleted in one piece; a further create is
    /// refused with QUOTAEXCEEDED. Default: 20 000. Key `ringkeeper.ephemeralsPerSessionMax`.
    pub ephemerals_per_session_max: u64,
    /// Unread replies and events, unanswered requests and unfinished frames that all connections may hold
    /// together; above three quarters of it the server closes the connections that have held most for longest.
    /// Bytes. Default: a quarter of the memory that the process may use, at least 64 MiB and four times
    /// `jute.maxbuffer`. Key `ringkeeper.connectionMemoryMax`.
    pub connection_memory_max: Option<u64>,
    /// Bytes of all watches together, with their paths; one connection may have a quarter of it. Default: an
    /// eighth of the memory that the process may use, at least 64 MiB. Key `ringkeeper.watchMemoryMax`.
    pub watch_memory_max: Option<u64>,
    /// Watches of one connection. Default: 1 000 000. Key `ringkeeper.watchesPerConnectionMax`.
    pub watches_per_connection_max: u32,
    /// Whether the server starts although transactions are missing in the middle of its log.
    /// Default: false. Key `ringkeeper.allowLogGaps`.
    pub allow_log_gaps: bool,
    /// Which users besides its owner may read the files that the server creates. Default: none. Key
    /// `ringkeeper.filesReadableBy`.
    pub files_readable_by: FilesReadableBy,
    /// Form of the log lines. Default: text. Key `ringkeeper.logFormat`.
    pub log_format: LogFormat,
    /// Lowest level that is logged. Default: info. Key `ringkeeper.logLevel`.
    pub log_level: LogLevel,
}

/// Which users may read the files that the server creates in its data folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FilesReadableBy {
    /// The user that runs the server: files 0600, folders 0700.
    #[default]
    Owner,
    /// Also its group: files 0640, folders 0750.
    Group,
    /// As the umask of the process allows, as in ZooKeeper.
    Umask,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Least level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures that stop the server, or lose a connection through our fault.
    Error,
    /// Events that need an operator's attention.
    Warn,
    /// Events that an operator may want to know.
    #[default]
    Info,
    /// Events that help to find a fault.
    Debug,
    /// Everything.
    Trace,
}

impl Default for Own {
    fn default() -> Self {
        Self {
            cores: None,
            pin: true,
            spin_micros: None,
            stall_millis: 5,
            snapshot_share_percent: 50,
            output_bytes_per_connection_max: 4 * 1024 * 1024,
            request_bytes_in_flight_max: REQUEST_BYTES_IN_FLIGHT_MAX,
            multi_read_reply_bytes_max: 64 * 1024 * 1024,
            acl_entries_max: 1024,
            multi_operations_max: 10_000,
            ephemerals_per_session_max: 20_000,
            connection_memory_max: None,
            watch_memory_max: None,
            watches_per_connection_max: WATCHES_PER_CONNECTION_MAX,
            allow_log_gaps: false,
            files_readable_by: FilesReadableBy::Owner,
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
        }
    }
}

/// Default of [`Own::request_bytes_in_flight_max`]. Guessed: a thousand requests (the default of
/// `globalOutstandingLimit`) of a quarter of a MiB each.
pub(in crate::config) const REQUEST_BYTES_IN_FLIGHT_MAX: u64 = 256 * 1024 * 1024;
