//! The answers of the four-letter words, line by line as ZooKeeper writes them.
//!
//! Plain values in, text out. Tools read these lines: keys, punctuation, blank lines and missing
//! line ends are part of the interface. The order of connections, sessions and watches is not: in
//! ZooKeeper it is that of a hash table.

use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};

use crate::admin::member_lines;
use crate::admin::text::{JavaDate, JavaDouble};
use crate::admin::version::full_version;
use crate::id::{SessionId, Zxid};
use crate::limits;
use crate::metrics::process::{Machine, Memory};
use crate::metrics::{self, Gauges, Held, Stalls, Value};
use crate::replica::{ConnectionFacts, Stats};
use crate::time::{MonoUs, WallMs};
use crate::zab::PeerFacts;
use crate::zab::leader::ProposalSizes;

/// The answer to most words of a server that does not serve.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The configuration in the answer to `conf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfFacts {
    /// Port of plain client connections; -1 without one.
    pub client_port: i32,
    /// Port of client connections with TLS; -1 without one.
    pub secure_client_port: i32,
    /// The folder of the snapshots, absolute, `version-2` included as in ZooKeeper.
    pub data_dir: String,
    /// The folder of the transaction logs, likewise.
    pub data_log_dir: String,
    /// The basic unit of time.
    pub tick_ms: u32,
    /// Connections allowed from one address; 0: any number.
    pub client_connections_max: u32,
    /// Shortest session timeout granted.
    pub session_timeout_ms_min: i32,
    /// Longest session timeout granted.
    pub session_timeout_ms_max: i32,
    /// Backlog of the listening socket; -1: the system's.
    pub listen_backlog: i32,
    /// Number of the server; 0 when standalone.
    pub server_id: i64,
}

/// Bytes of the data folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FolderBytes {
    /// Snapshots.
    pub data: u64,
    /// Transaction logs.
    pub log: u64,
}

/// The mode of the server, in `srvr`, `stat`, `mntr` and `isro`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Alone by configuration.
    Standalone,
    /// Leads an ensemble.
    Leader,
    /// Follows a leader.
    Follower,
    /// Follows a leader without a vote.
    Observer,
    /// Has no quorum and serves reads.
    ReadOnly,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Standalone => "standalone",
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::ReadOnly => "read-only",
        })
    }
}

/// Writes to a string, which cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        write!($out, $($arg)*).expect("a string takes everything")
    };
}

/// `conf`
pub fn conf(facts: &ConfFacts, bytes: FolderBytes) -> String {
    let ConfFacts {
        client_port,
        secure_client_port,
        data_dir,
        data_log_dir,
        tick_ms,
        client_connections_max,
        session_timeout_ms_min,
        session_timeout_ms_max,
        listen_backlog,
        server_id,
    } = facts;
    let FolderBytes { data, log } = bytes;
    format!(
        "clientPort={client_port}\n\
         secureClientPort={secure_client_port}\n\
         dataDir={data_dir}\n\
         dataDirSize={data}\n\
         dataLogDir={data_log_dir}\n\
         dataLogSize={log}\n\
         tickTime={tick_ms}\n\
         maxClientCnxns={client_connections_max}\n\
         minSessionTimeout={session_timeout_ms_min}\n\
         maxSessionTimeout={session_timeout_ms_max}\n\
         clientPortListenBacklog={listen_backlog}\n\
         serverId={server_id}\n"
    )
}

/// `dirs`
pub fn dirs(bytes: FolderBytes) -> String {
    format!("datadir_size: {}\nlogdir_size: {}\n", bytes.data, bytes.log)
}

/// `envi`: ZooKeeper's keys, except those of a JVM. The three about memory are those of the machine, not of a
/// heap.
pub fn envi(machine: &Machine, memory: Memory) -> String {
    let Machine { host_name, os_name, os_arch, os_version, user_name, user_home, user_dir } =
        machine;
    let folder = |folder: &Option<std::path::PathBuf>| {
        folder.as_ref().map_or("<NA>".to_owned(), |folder| folder.display().to_string())
    };
    format!(
        "Environment:\n\
         zookeeper.version={}\n\
         host.name={host_name}\n\
         os.name={os_name}\n\
         os.arch={os_arch}\n\
         os.version={os_version}\n\
         user.name={user_name}\n\
         user.home={}\n\
         user.dir={}\n\
         os.memory.free={}MB\n\
         os.memory.max={}MB\n\
         os.memory.total={}MB\n",
        full_version(),
        folder(user_home),
        folder(user_dir),
        memory.available_mib,
        memory.total_mib,
        memory.total_mib,
    )
}

/// An address as `InetSocketAddress.toString` writes it: a slash for the missing name, and an IPv6
/// address in full within brackets.
struct JavaAddress(SocketAddr);

impl fmt::Display for JavaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip().to_canonical() {
            IpAddr::V4(ip) => write!(f, "/{ip}:{}", self.0.port()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, g, h, i] = ip.segments();
                let port = self.0.port();
                write!(f, "/[{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{g:x}:{h:x}:{i:x}]:{port}")
            }
        }
    }
}

/// One connection in `cons` and, `brief`, in `stat` (`ServerCnxn.dumpConnectionInfo`).
fn connection(out: &mut String, facts: &ConnectionFacts, brief: bool) {
    let ConnectionFacts { remote, queued, received, sent, .. } = facts;
    // The number in brackets is Java's interest set; 1 means that the server reads from the connection.
    put!(out, " {}[1](queued={queued},recved={received},sent={sent}", JavaAddress(*remote));
    if let (Some(session), false) = (facts.session, brief) {
        put!(out, ",sid={session},lop={}", facts.last_op);
        put!(out, ",est={},to={}", facts.established.0, facts.timeout_ms);
        if facts.last_cxid >= 0 {
            put!(out, ",lcxid=0x{:x}", facts.last_cxid);
        }
        let latency = &facts.latency_ms;
        // ZooKeeper: the mean here is a whole number, rounded down.
        let mean = latency.sum.checked_div(latency.count).unwrap_or(0);
        put!(
            out,
            ",lzxid={},lresp={},llat={},minlat={},avglat={mean},maxlat={}",
            facts.last_zxid,
            facts.last_response.0,
            latency.last,
            latency.min,
            latency.max
        );
    }
    out.push_str(")\n");
}

/// The asking connection: it has sent the word, and the server reads nothing more from it.
fn asker(out: &mut String, remote: SocketAddr) {
    put!(out, " {}[0](queued=0,recved=1,sent=0)\n", JavaAddress(remote));
}

/// `cons`
pub fn cons(connections: &[ConnectionFacts], asking: SocketAddr) -> String {
    let mut out = String::new();
    for facts in connections {
        connection(&mut out, facts, false);
    }
    asker(&mut out, asking);
    out.push('\n');
    out
}

/// The content of `srvr` and `stat`.
#[derive(Clone, Copy, Debug)]
pub struct Brief<'a> {
    /// Counters.
    pub stats: &'a Stats,
    /// Levels.
    pub gauges: &'a Gauges,
    /// Counts of stalls.
    pub stalls: &'a Stalls,
    /// The memory that connections hold.
    pub held: &'a Held,
    /// The last transaction applied.
    pub zxid: Zxid,
    /// The mode of the server.
    pub mode: Mode,
    /// Sizes of its proposals, if it leads.
    pub proposal_sizes: Option<ProposalSizes>,
}

/// `srvr`; with `clients`, `stat`.
///
/// ZooKeeper: `stat` must not change: scripts cut it at `Mode:`.
pub fn srvr(brief: &Brief<'_>, clients: Option<(&[ConnectionFacts], SocketAddr)>) -> String {
    let Brief { stats, gauges, stalls: _, held: _, zxid, mode, proposal_sizes } = brief;
    let mut out = format!("Zookeeper version: {}\n", full_version());
    if *mode == Mode::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if let Some((connections, asking)) = clients {
        out.push_str("Clients:\n");
        for facts in connections {
            connection(&mut out, facts, true);
        }
        asker(&mut out, asking);
        out.push('\n');
    }
    let latency = &stats.latency_ms;
    let mean = JavaDouble(metrics::rounded(latency.average()));
    put!(out, "Latency min/avg/max: {}/{mean}/{}\n", latency.min, latency.max);
    put!(out, "Received: {}\n", stats.packets_received);
    put!(out, "Sent: {}\n", stats.packets_sent);
    put!(out, "Connections: {}\n", gauges.connections);
    put!(out, "Outstanding: {}\n", gauges.requests_outstanding);
    put!(out, "Zxid: {zxid}\n");
    put!(out, "Mode: {mode}\n");
    put!(out, "Node count: {}\n", gauges.znodes);
    if let Some(ProposalSizes { last, min, max, .. }) = proposal_sizes {
        put!(out, "Proposal sizes last/min/max: {last}/{min}/{max}\n");
    }
    out
}

/// `mntr`; `facts` are those of a member of an ensemble.
pub fn mntr(brief: &Brief<'_>, facts: Option<&PeerFacts>, now: MonoUs) -> String {
    let mut out = format!("zk_version\t{}\nzk_server_state\t{}\n", full_version(), brief.mode);
    let is_read_only = brief.mode == Mode::ReadOnly;
    // ZooKeeper: ReadOnlyZooKeeperServer is no QuorumZooKeeperServer, so it has no peer_state.
    if let Some(facts) = facts.filter(|_| !is_read_only) {
        out += &member_lines::monitor(facts);
    }
    each_figure(brief, facts, now, &mut |name, value| match value {
        Value::Integer(value) => put!(out, "zk_{name}\t{value}\n"),
        Value::Signed(value) => put!(out, "zk_{name}\t{value}\n"),
        Value::Real(value) => put!(out, "zk_{name}\t{}\n", JavaDouble(value)),
    });
    out
}

/// Calls `sink` with every metric, ZooKeeper's first; `facts` are those of a member of an ensemble.
pub fn each_figure(
    brief: &Brief<'_>,
    facts: Option<&PeerFacts>,
    now: MonoUs,
    sink: &mut dyn FnMut(&str, Value),
) {
    metrics::each(brief.stats, brief.gauges, sink);
    metrics::each_stall(brief.stalls, sink);
    metrics::each_held(brief.held, sink);
    metrics::each_room(brief.stats, brief.gauges, sink);
    metrics::each_audit(brief.gauges, sink);
    metrics::each_link(brief.gauges, sink);
    metrics::each_certificate(brief.gauges, sink);
    if let Some(facts) = facts {
        metrics::quorum::each(facts, brief.mode == Mode::ReadOnly, now, sink);
    }
}

/// `isro`; `None`: not serving.
pub fn isro(mode: Option<Mode>) -> &'static str {
    match mode {
        None => "null",
        Some(Mode::ReadOnly) => "ro",
        Some(Mode::Standalone | Mode::Leader | Mode::Follower | Mode::Observer) => "rw",
    }
}

/// `hash`: zxids in hexadecimal without a mark, digests as signed numbers.
pub fn hash(digests: impl Iterator<Item = (Zxid, i64)>) -> String {
    let mut out = String::new();
    for (zxid, digest) in digests {
        put!(out, "{:x}: {digest}\n", zxid.0);
    }
    out
}

/// Sessions by the time at which they expire, earliest first, in `dump`.
pub fn session_sets(sessions: &[(WallMs, Vec<SessionId>)]) -> String {
    let mut out = String::from("Session ");
    expiry_sets(&mut out, sessions, |out, session| put!(out, "\t{session}\n"));
    out
}

/// `dump`: the sessions in words of their tracker, the ephemeral nodes of each session, and the
/// connections by the time at which they expire, earliest first.
///
/// # Errors
/// The paths of the nodes together are too long.
pub fn dump<'a, P: Iterator<Item = &'a str>>(
    sessions: &str,
    ephemerals: impl ExactSizeIterator<Item = (SessionId, P)>,
    connections: &[(WallMs, Vec<(SocketAddr, SessionId)>)],
) -> Result<String, TooLong> {
    let mut out = format!("SessionTracker dump:\n{sessions}ephemeral nodes dump:\n");
    put!(out, "Sessions with Ephemerals ({}):\n", ephemerals.len());
    let mut lines = Lines { text: out, is_over: false };
    for (session, paths) in ephemerals {
        lines.session("", session, ":");
        for path in paths {
            lines.path("\t", path);
        }
    }
    let mut out = lines.end("Connections dump:\nConnections ")?;
    expiry_sets(&mut out, connections, |out, (remote, session)| {
        put!(out, "\tip: {} sessionId: {session}\n", JavaAddress(*remote));
    });
    Ok(out)
}

/// `ExpiryQueue.dump`
fn expiry_sets<T>(out: &mut String, sets: &[(WallMs, Vec<T>)], line: impl Fn(&mut String, &T)) {
    let members: usize = sets.iter().map(|(_, members)| members.len()).sum();
    put!(out, "Sets ({})/({members}):\n", sets.len());
    for (expires, members) in sets {
        put!(out, "{} expire at {}:\n", members.len(), JavaDate(*expires));
        for member in members {
            line(out, member);
        }
    }
}

/// `wchs`
pub fn wchs(connections: usize, paths: usize, watches: usize) -> String {
    format!("{connections} connections watching {paths} paths\nTotal watches:{watches}\n")
}

/// Lines of an answer with paths, each of which may be as long as a frame: they stop when the answer has
/// [`limits::WORD_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Lines {
    text: String,
    is_over: bool,
}

/// An answer would have more than [`limits::WORD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Lines {
    fn path(&mut self, indent: &str, path: &str) {
        self.is_over |= self.text.len() + path.len() > limits::WORD_BYTES_MAX;
        if !self.is_over {
            put!(self.text, "{indent}{path}\n");
        }
    }

    fn session(&mut self, indent: &str, session: SessionId, end: &str) {
        self.is_over |= self.text.len() > limits::WORD_BYTES_MAX;
        if !self.is_over {
            put!(self.text, "{indent}{session}{end}\n");
        }
    }

    /// `wchc`: a session and the paths that it watches.
    pub fn wchc<'a>(&mut self, session: SessionId, paths: impl Iterator<Item = &'a str>) {
        self.session("", session, "");
        for path in paths {
            self.path("\t", path);
        }
    }

    /// `wchp`: a path and the sessions that watch it.
    pub fn wchp(&mut self, path: &str, sessions: impl Iterator<Item = SessionId>) {
        self.path("", path);
        for session in sessions {
            self.session("\t", session, "");
        }
    }

    /// The lines, with the end of a list of watches.
    ///
    /// # Errors
    /// They are too many.
    pub fn end(self, end: &str) -> Result<String, TooLong> {
        if self.is_over { Err(TooLong) } else { Ok(self.text + end) }
    }
}

#[cfg(test)]
mod tests;
