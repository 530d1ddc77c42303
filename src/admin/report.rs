//! The answers of the AdminServer's commands as plain values (`org.apache.zookeeper.server.admin.Commands`).
//!
//! The replica's executor makes a report, which is a bounded copy of what the replica knows; another thread writes it
//! as JSON. Keys, their order and the types of their values are part of the interface: tools read them.

use std::net::SocketAddr;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::answer::{ConfFacts, Mode};
use super::version::full_version;
use crate::metrics::process::FileDescriptors;
use crate::metrics::{Gauges, Quantile, Value};
use crate::replica::{ConnectionFacts, Stats};
use crate::zab::leader::{LearnerFacts, ProposalSizes};

/// What a command wants to know of the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// `connection_stat_reset`
    ResetConnections,
    /// `configuration`
    Configuration,
    /// `connections`
    Connections,
    /// `dump`
    Dump,
    /// `hash`
    Digests,
    /// `is_read_only`
    IsReadOnly,
    /// `leader`
    Leader,
    /// `monitor`
    Monitor,
    /// `observer_connection_stat_reset`
    ResetObservers,
    /// `observers`
    Observers,
    /// `ruok`
    Ruok,
    /// `server_stats`
    ServerStats,
    /// `stats`
    Stats,
    /// `stat_reset`
    ResetStats,
    /// `voting_view`
    VotingView,
    /// `watches`
    Watches,
    /// `watches_by_path`
    WatchesByPath,
    /// `watch_summary`
    WatchSummary,
    /// `zabstate`
    ZabState,
    /// What the pages for health checks tell.
    Health,
}

impl Inquiry {
    /// Whether its report lists connections, sessions or watches.
    pub const fn tells_of_everything(self) -> bool {
        match self {
            Inquiry::Connections
            | Inquiry::Dump
            | Inquiry::Stats
            | Inquiry::Watches
            | Inquiry::WatchesByPath
            | Inquiry::ResetConnections => true,
            Inquiry::Configuration
            | Inquiry::Digests
            | Inquiry::IsReadOnly
            | Inquiry::Leader
            | Inquiry::Monitor
            | Inquiry::ResetObservers
            | Inquiry::Observers
            | Inquiry::Ruok
            | Inquiry::ServerStats
            | Inquiry::ResetStats
            | Inquiry::VotingView
            | Inquiry::WatchSummary
            | Inquiry::ZabState
            | Inquiry::Health => false,
        }
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoReport {
    /// The server does not serve.
    NotServing,
    /// It would be too long; the sentence says so.
    TooLong(String),
}

/// The result of a command, without its name and its error.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Report {
    /// Nothing but that it was done.
    Done {},
    /// `configuration`
    Configuration(Configuration),
    /// `connections`
    Connections(Connections),
    /// `dump`
    Dump(Dump),
    /// `hash`
    Digests {
        /// Every 128th transaction.
        digests: Vec<Digest>,
    },
    /// `is_read_only`
    IsReadOnly {
        /// Whether it serves readers alone.
        read_only: bool,
    },
    /// `leader`
    Leader(Leader),
    /// `monitor`, and the text for Prometheus.
    Monitor(Monitor),
    /// `observers`
    Observers {
        /// How many there are.
        synced_observers: u64,
        /// Each of them.
        observers: Vec<Observer>,
    },
    /// `server_stats`
    ServerStats(Box<ServerStats>),
    /// `stats`
    Stats(Box<ServerStatsAndConnections>),
    /// `voting_view`
    VotingView {
        /// The lines of the voters by their ids.
        current_config: Pairs<i64, String>,
    },
    /// `watches`
    Watches {
        /// Sessions and the paths that they watch.
        session_id_to_watched_paths: Pairs<i64, Vec<String>>,
    },
    /// `watches_by_path`
    WatchesByPath {
        /// Paths and the sessions that watch them.
        path_to_session_ids: Pairs<String, Vec<i64>>,
    },
    /// `watch_summary`
    WatchSummary {
        /// Connections with watches.
        num_connections: usize,
        /// Watched paths.
        num_paths: usize,
        /// Watches.
        num_total_watches: usize,
    },
    /// `zabstate`
    ZabState {
        /// Whether it has a vote.
        voting: bool,
        /// The phase of the protocol, in small letters; empty on a standalone server.
        zabstate: &'static str,
    },
    /// For health checks.
    Health(Health),
}

/// Entries of an object, in this order.
#[derive(Debug, Default)]
pub struct Pairs<K, V>(pub Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// `ZooKeeperServerConf.toMap`
#[derive(Debug, Serialize)]
pub struct Configuration {
    client_port: i32,
    data_dir: String,
    data_log_dir: String,
    tick_time: u32,
    max_client_cnxns: u32,
    min_session_timeout: i32,
    max_session_timeout: i32,
    server_id: i64,
    client_port_listen_backlog: i32,
}

impl Configuration {
    /// Out of the configuration in force.
    pub fn of(facts: &ConfFacts) -> Configuration {
        // ZooKeeper: ZooKeeperServerConf does not have the port with TLS.
        let ConfFacts {
            client_port,
            secure_client_port: _,
            data_dir,
            data_log_dir,
            tick_ms,
            client_connections_max,
            session_timeout_ms_min,
            session_timeout_ms_max,
            listen_backlog,
            server_id,
        } = facts;
        Configuration {
            client_port: *client_port,
            data_dir: data_dir.clone(),
            data_log_dir: data_log_dir.clone(),
            tick_time: *tick_ms,
            max_client_cnxns: *client_connections_max,
            min_session_timeout: *session_timeout_ms_min,
            max_session_timeout: *session_timeout_ms_max,
            server_id: *server_id,
            client_port_listen_backlog: *listen_backlog,
        }
    }
}

/// Connections of clients.
#[derive(Debug, Serialize)]
pub struct Connections {
    connections: Vec<Connection>,
    /// Always empty: connections with TLS are among the others.
    secure_connections: Vec<Connection>,
}

impl Connections {
    /// All of these; `brief`: without what their sessions do.
    pub fn of(connections: impl Iterator<Item = ConnectionFacts>, brief: bool) -> Connections {
        let connections = connections.map(|facts| Connection::of(&facts, brief)).collect();
        Connections { connections, secure_connections: Vec::new() }
    }
}

/// `ServerCnxn.getConnectionInfo`
#[derive(Debug, Serialize)]
struct Connection {
    remote_socket_address: SocketAddr,
    /// Java's interest set; 1 means that the server reads from the connection.
    interest_ops: u8,
    outstanding_requests: usize,
    packets_received: u64,
    packets_sent: u64,
    #[serde(flatten)]
    session: Option<SessionOfConnection>,
}

#[derive(Debug, Serialize)]
struct SessionOfConnection {
    session_id: i64,
    last_operation: &'static str,
    established: i64,
    session_timeout: i32,
    last_cxid: i32,
    last_zxid: i64,
    last_response_time: i64,
    last_latency: u64,
    min_latency: u64,
    avg_latency: u64,
    max_latency: u64,
}

impl Connection {
    fn of(facts: &ConnectionFacts, brief: bool) -> Connection {
        let latency = &facts.latency_ms;
        let session = facts.session.filter(|_| !brief).map(|session| SessionOfConnection {
            session_id: session.0,
            last_operation: facts.last_op,
            established: facts.established.0,
            session_timeout: facts.timeout_ms,
            last_cxid: facts.last_cxid,
            last_zxid: facts.last_zxid.0,
            last_response_time: facts.last_response.0,
            last_latency: latency.last,
            min_latency: latency.min,
            // ZooKeeper: ServerCnxn.getAvgLatency is a whole number, rounded down.
            avg_latency: latency.sum.checked_div(latency.count).unwrap_or(0),
            max_latency: latency.max,
        });
        Connection {
            remote_socket_address: SocketAddr::new(
                facts.remote.ip().to_canonical(),
                facts.remote.port(),
            ),
            interest_ops: 1,
            outstanding_requests: facts.queued,
            packets_received: facts.received,
            packets_sent: facts.sent,
            session,
        }
    }
}

/// Sessions and what ends with them.
#[derive(Debug, Serialize)]
pub struct Dump {
    /// The times at which sessions expire, in ms of the server's own clock, and the sessions; empty on a learner.
    pub expiry_time_to_session_ids: Pairs<u64, Vec<i64>>,
    /// The ephemeral nodes of sessions.
    pub session_id_to_ephemeral_paths: Pairs<i64, Vec<String>>,
}

/// The digest of the tree after a transaction (`ZxidDigest`).
#[derive(Debug, Serialize)]
pub struct Digest {
    /// The transaction.
    pub zxid: i64,
    /// How the digest is computed.
    pub digest_version: i32,
    /// The digest.
    pub digest: i64,
}

/// Who leads.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Leader {
    /// A member of an ensemble.
    Member {
        /// Whether this server leads.
        is_leader: bool,
        /// The leader; -1 if there is none.
        leader_id: i64,
        /// Its host; empty if there is none.
        leader_ip: String,
    },
    /// There is no ensemble.
    Standalone {
        /// Says so.
        // ZooKeeper: LeaderCommand puts it among the results, so it stands before the command's name.
        error: &'static str,
    },
}

/// Every metric.
#[derive(Debug)]
pub struct Monitor {
    /// Further lines of a member of an ensemble: its state, and the server from which it learns.
    pub words: Vec<(&'static str, String)>,
    /// Names without `zk_`, in the order of `mntr`.
    pub values: Vec<(String, Value)>,
    /// Quantiles, which `monitor` does not show.
    pub quantiles: Vec<Quantile>,
}

impl Monitor {
    /// Adds the descriptors of the process, which the reader of the report counts: there may be many.
    pub fn set_file_descriptors(&mut self, found: FileDescriptors) {
        for (name, count) in
            [("open_file_descriptor_count", found.open), ("max_file_descriptor_count", found.max)]
        {
            self.values.extend(count.map(|count| (name.to_owned(), Value::Integer(count))));
        }
    }
}

impl Serialize for Monitor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.words.len() + self.values.len()))?;
        for (name, word) in &self.words {
            map.serialize_entry(name, word)?;
        }
        for (name, value) in &self.values {
            match value {
                Value::Integer(value) => map.serialize_entry(name, value)?,
                Value::Signed(value) => map.serialize_entry(name, value)?,
                Value::Real(value) => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// An observer (`LearnerHandler.getLearnerHandlerInfo`).
#[derive(Debug, Serialize)]
pub struct Observer {
    remote_socket_address: String,
    sid: i64,
    established: i64,
    queued_packets: u64,
    queued_packets_size: u64,
    packets_received: u64,
    packets_sent: u64,
}

impl Observer {
    /// Connected at `established`, in ms since 1970.
    pub fn of(facts: &LearnerFacts, established: i64) -> Observer {
        Observer {
            remote_socket_address: format!("/{}", facts.remote),
            sid: facts.server.map_or(-1, |server| server.0),
            established,
            // Packets are bytes as soon as they are queued, so only the bytes are known.
            queued_packets: 0,
            queued_packets_size: facts.queued_bytes,
            packets_received: facts.packets_received,
            packets_sent: 0,
        }
    }
}

/// Sizes of replies or proposals (`BufferStats`); -1: none yet.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BufferStats {
    last_buffer_size: i64,
    min_buffer_size: i64,
    max_buffer_size: i64,
}

impl BufferStats {
    fn of(last: u64, min: u64, max: u64) -> BufferStats {
        // ZooKeeper: they start at -1. No message is empty, so 0 is "none" here.
        let shown = |bytes: u64| match bytes {
            0 => -1,
            bytes => i64::try_from(bytes).unwrap_or(i64::MAX),
        };
        BufferStats {
            last_buffer_size: shown(last),
            min_buffer_size: shown(min),
            max_buffer_size: shown(max),
        }
    }
}

/// The server in brief.
#[derive(Debug, Serialize)]
pub struct ServerStats {
    version: String,
    read_only: bool,
    server_stats: Counts,
    client_response: BufferStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal_stats: Option<BufferStats>,
    node_count: u64,
}

/// The same with the connections.
#[derive(Debug, Serialize)]
pub struct ServerStatsAndConnections {
    /// The server.
    #[serde(flatten)]
    pub server: ServerStats,
    /// Its connections.
    #[serde(flatten)]
    pub connections: Connections,
}

/// `ServerStats`, in the order of its getters.
#[derive(Debug, Serialize)]
struct Counts {
    packets_sent: u64,
    packets_received: u64,
    fsync_threshold_exceed_count: u64,
    client_response_stats: BufferStats,
    data_dir_size: u64,
    log_dir_size: u64,
    last_processed_zxid: i64,
    server_state: String,
    outstanding_requests: u64,
    avg_latency: f64,
    max_latency: u64,
    min_latency: u64,
    num_alive_client_connections: u64,
    uptime: u64,
    auth_failed_count: u64,
    non_mtlsremote_conn_count: u64,
    non_mtlslocal_conn_count: u64,
    provider_null: bool,
}

impl ServerStats {
    /// Without the sizes of the folders, which the reader of the report adds.
    pub fn of(
        stats: &Stats,
        gauges: &Gauges,
        mode: Mode,
        zxid: i64,
        proposals: Option<ProposalSizes>,
    ) -> ServerStats {
        let responses = BufferStats::of(
            stats.response_bytes_last,
            stats.response_bytes_min,
            stats.response_bytes_max,
        );
        let latency = &stats.latency_ms;
        ServerStats {
            version: full_version(),
            read_only: mode == Mode::ReadOnly,
            server_stats: Counts {
                packets_sent: stats.packets_sent,
                packets_received: stats.packets_received,
                fsync_threshold_exceed_count: stats.log_writes_slow,
                client_response_stats: responses,
                data_dir_size: 0,
                log_dir_size: 0,
                last_processed_zxid: zxid,
                server_state: mode.to_string(),
                outstanding_requests: gauges.requests_outstanding,
                avg_latency: crate::metrics::rounded(latency.average()),
                max_latency: latency.max,
                min_latency: latency.min,
                num_alive_client_connections: gauges.connections,
                uptime: gauges.uptime_ms,
                auth_failed_count: stats.auth_failed,
                // Connections without a certificate are not counted apart from the others.
                non_mtlsremote_conn_count: 0,
                non_mtlslocal_conn_count: 0,
                provider_null: false,
            },
            client_response: responses,
            proposal_stats: proposals.map(|it| {
                let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
                BufferStats::of(bytes(it.last), bytes(it.min), bytes(it.max))
            }),
            node_count: gauges.znodes,
        }
    }

    /// Adds the sizes of the folders.
    pub fn set_folder_bytes(&mut self, data: u64, log: u64) {
        self.server_stats.data_dir_size = data;
        self.server_stats.log_dir_size = log;
    }
}

/// What health checks ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Its mode; `None`: it does not serve.
    pub mode: Option<String>,
    /// Whether it takes writes: it serves, and not for readers alone.
    pub takes_writes: bool,
    /// Whether it leads, or is alone.
    pub leads: bool,
    /// Whether the disk is full, so that writes are refused.
    pub disk_is_full: bool,
}
