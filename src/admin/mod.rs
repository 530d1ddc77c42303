//! The interface for operators: the four-letter words.
//!
//! A session core recognises a word in the first four bytes of a connection, asks here for the
//! answer (on the replica's core, since it is about the replica), sends it and closes the
//! connection.

pub mod answer;
pub mod inquiries;
pub mod member_lines;
pub mod report;
mod reporting;
pub mod text;
pub mod version;
pub mod word;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

pub use answer::{ConfFacts, Mode};
pub use word::{FourLetterWord, Whitelist};

use crate::admin::answer::{Brief, FolderBytes, Lines, TooLong};
use crate::id::{ConnectionId, SessionId};
use crate::limits;
use crate::metrics::process::{FileDescriptors, Machine, Memory, folder_bytes};
use crate::metrics::{CertificateDays, Gauges, HandshakeFigures, Held, Stalls};
use crate::peer::Member;
use crate::replica::{ConnectionFacts, Replica};
use crate::time::{MonoUs, Now, WallMs};
use crate::zab::PeerState;

/// The information for the words that the replica does not have. Made once, at the start.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The words that may be used.
    pub whitelist: Whitelist,
    /// The configuration in force.
    pub conf: ConfFacts,
    /// The machine of the server.
    pub machine: Machine,
    /// Counts of stalls.
    pub stalls: Stalls,
    /// The memory that connections hold.
    pub held: Held,
    /// Connections that were refused because there were too many.
    pub connections_refused: u64,
    /// Records that the audit log could not write.
    pub audit_dropped: u64,
    /// TLS handshakes of clients.
    pub handshakes: HandshakeFigures,
    /// TLS handshakes with other servers.
    pub link_handshakes: HandshakeFigures,
    /// How long the certificates of this server are valid.
    pub certificate_days: CertificateDays,
    /// Additional information on a member of an ensemble; `None`: the server is standalone.
    pub ensemble: Option<EnsembleDesk>,
}

/// Information on a member of an ensemble that the replica does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnsembleDesk {
    /// The limits in ticks.
    pub limits: member_lines::Limits,
    /// Whether there are local sessions.
    pub local_sessions: bool,
}

/// The connection that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Its id; `None`: it has none.
    pub conn: Option<ConnectionId>,
    /// Its address.
    pub remote: SocketAddr,
}

/// The mode of the server; `None`: it does not serve.
fn mode(replica: &Replica) -> Option<Mode> {
    if !replica.serves() {
        return None;
    }
    if replica.is_read_only() {
        return Some(Mode::ReadOnly);
    }
    match replica.peer().as_member().map(Member::state) {
        None => Some(Mode::Standalone),
        Some(PeerState::Looking) => None,
        Some(PeerState::Leading) => Some(Mode::Leader),
        Some(PeerState::Following) => Some(Mode::Follower),
        Some(PeerState::Observing) => Some(Mode::Observer),
    }
}

impl Desk {
    /// Answers `word` to the client at `asking`; for words that reset something, also resets it.
    /// `argument` holds the bytes after the word: the mask of `stmk`.
    ///
    /// Costs a walk over the listed items: all watches for `wchc`, all connections for `cons`; and
    /// a few system calls for sizes of folders and numbers of files. Words are for people and
    /// agents that ask a few times a minute.
    pub fn answer(
        &mut self,
        word: FourLetterWord,
        argument: [u8; word::TRACE_MASK_BYTES],
        replica: &mut Replica,
        asking: Asking,
        now: Now,
    ) -> String {
        let from = asking;
        let asking = from.remote;
        if !self.whitelist.allows(word) {
            return word::refusal(word);
        }
        let Some(mode) = mode(replica) else { return self.answer_not_serving(word, argument) };
        if let Some(entries) = entries(word, replica).filter(|n| *n > limits::WORD_ENTRIES_MAX) {
            return format!(
                "{entries} entries are too many for one answer, which may have {}. wchs, srvr and \
                 mntr show how many there are of each kind.\n",
                limits::WORD_ENTRIES_MAX
            );
        }
        match word {
            FourLetterWord::Conf => self.conf(replica, mode),
            FourLetterWord::Cons => answer::cons(&others(replica, asking), asking),
            FourLetterWord::Crst => {
                replica.reset_connection_stats();
                "Connection stats reset.\n".to_owned()
            }
            FourLetterWord::Dirs => answer::dirs(self.folder_bytes()),
            FourLetterWord::Dump => self.dump(replica, asking, now).unwrap_or_else(too_long),
            FourLetterWord::Envi => answer::envi(&self.machine, Memory::read()),
            FourLetterWord::Gtmk => word::TRACE_MASK.to_string(),
            // ZooKeeper: sets the mask and returns it; here it is only returned.
            FourLetterWord::Stmk => i64::from_be_bytes(argument).to_string(),
            FourLetterWord::Hash => answer::hash(replica.database().digest_log()),
            FourLetterWord::Isro => answer::isro(Some(mode)).to_owned(),
            FourLetterWord::Mntr => {
                let gauges = self.all_gauges(replica, from, now);
                mntr(replica, &self.brief(replica, &gauges, mode), now)
            }
            FourLetterWord::Ruok => "imok".to_owned(),
            FourLetterWord::Srst => {
                replica.reset_stats();
                self.stalls = Stalls::default();
                "Server stats reset.\n".to_owned()
            }
            FourLetterWord::Srvr => {
                let gauges = gauges(replica, from, now);
                answer::srvr(&self.brief(replica, &gauges, mode), None)
            }
            FourLetterWord::Stat => {
                let gauges = gauges(replica, from, now);
                let connections = others(replica, asking);
                answer::srvr(&self.brief(replica, &gauges, mode), Some((&connections, asking)))
            }
            FourLetterWord::Wchc => watches_by_session(replica).unwrap_or_else(too_long),
            FourLetterWord::Wchp => watches_by_path(replica).unwrap_or_else(too_long),
            FourLetterWord::Wchs => {
                let counts = replica.database().watches().counts();
                answer::wchs(counts.connections, counts.paths, counts.watches)
            }
            // ZooKeeper: has no command for it, and closes the connection without an answer.
            FourLetterWord::TelnetClose => String::new(),
        }
    }

    /// Answers `word` while there is no replica: before the files are read, and when an ensemble
    /// has no quorum.
    pub fn answer_not_serving(
        &self,
        word: FourLetterWord,
        argument: [u8; word::TRACE_MASK_BYTES],
    ) -> String {
        if !self.whitelist.allows(word) {
            return word::refusal(word);
        }
        match word {
            FourLetterWord::Ruok => "imok".to_owned(),
            FourLetterWord::Isro => answer::isro(None).to_owned(),
            FourLetterWord::Envi => answer::envi(&self.machine, Memory::read()),
            FourLetterWord::Gtmk => word::TRACE_MASK.to_string(),
            FourLetterWord::Stmk => i64::from_be_bytes(argument).to_string(),
            FourLetterWord::TelnetClose => String::new(),
            // ZooKeeper: only `hash` prints this without the end of the line.
            FourLetterWord::Hash => answer::NOT_SERVING.trim_end().to_owned(),
            FourLetterWord::Conf
            | FourLetterWord::Cons
            | FourLetterWord::Crst
            | FourLetterWord::Dirs
            | FourLetterWord::Dump
            | FourLetterWord::Mntr
            | FourLetterWord::Srst
            | FourLetterWord::Srvr
            | FourLetterWord::Stat
            | FourLetterWord::Wchc
            | FourLetterWord::Wchp
            | FourLetterWord::Wchs => answer::NOT_SERVING.to_owned(),
        }
    }

    fn conf(&self, replica: &Replica, mode: Mode) -> String {
        let mut out = answer::conf(&self.conf, self.folder_bytes());
        if let (Some(desk), Some(member)) = (self.ensemble, replica.peer().as_member()) {
            let is_read_only = mode == Mode::ReadOnly;
            out += &member_lines::conf(desk.limits, member.me(), member.config(), is_read_only);
        }
        out
    }

    fn dump(&self, replica: &Replica, asking: SocketAddr, now: Now) -> Result<String, TooLong> {
        let leads = match replica.peer().as_member().map(Member::state) {
            None | Some(PeerState::Leading) => true,
            Some(PeerState::Looking | PeerState::Following | PeerState::Observing) => false,
        };
        let local = self.ensemble.filter(|desk| desk.local_sessions);
        let local = local.map(|_| replica.local_session_expiries());
        dump(replica, leads, local.as_deref(), asking, now)
    }

    fn brief<'a>(&'a self, replica: &'a Replica, gauges: &'a Gauges, mode: Mode) -> Brief<'a> {
        let leading = replica.peer().as_member().and_then(|member| member.facts().leading);
        Brief {
            stats: replica.stats(),
            gauges,
            stalls: &self.stalls,
            held: &self.held,
            zxid: replica.last_processed(),
            mode,
            proposal_sizes: leading.map(|leading| leading.sizes),
        }
    }

    /// All gauges, those of the edge and of the system too.
    fn all_gauges(&self, replica: &Replica, asking: Asking, now: Now) -> Gauges {
        let mut gauges = gauges(replica, asking, now);
        gauges.file_descriptors = FileDescriptors::read();
        self.add_edge(&mut gauges);
        gauges
    }

    /// Adds what the edge has counted.
    fn add_edge(&self, gauges: &mut Gauges) {
        gauges.connections_refused = self.connections_refused;
        gauges.audit_dropped = self.audit_dropped;
        gauges.handshakes = self.handshakes;
        gauges.link_handshakes = self.link_handshakes;
        gauges.certificate_days = self.certificate_days;
    }

    fn folder_bytes(&self) -> FolderBytes {
        FolderBytes {
            data: folder_bytes(&PathBuf::from(&self.conf.data_dir)),
            log: folder_bytes(&PathBuf::from(&self.conf.data_log_dir)),
        }
    }
}

fn mntr(replica: &Replica, brief: &Brief<'_>, now: Now) -> String {
    let facts = replica.peer().as_member().map(Member::facts);
    answer::mntr(brief, facts.as_ref(), now.mono)
}

/// The number of entries of an answer, for words whose number of entries is bounded.
// ZooKeeper: has no bound.
fn entries(word: FourLetterWord, replica: &Replica) -> Option<usize> {
    let database = replica.database();
    match word {
        FourLetterWord::Cons => Some(replica.connections_count()),
        FourLetterWord::Dump => {
            let sessions = replica.global_sessions_count() + replica.local_sessions_count();
            Some(replica.connections_count() + sessions + database.ephemerals_count())
        }
        FourLetterWord::Wchc | FourLetterWord::Wchp => Some(database.watches().len()),
        _ => None,
    }
}

/// The connections except the one that asks: whether the replica knows that one depends on how the
/// session core passes connections on.
fn others(replica: &Replica, asking: SocketAddr) -> Vec<ConnectionFacts> {
    let others = replica.connections().filter(|facts| facts.remote != asking);
    others.take(limits::WORD_ENTRIES_MAX).collect()
}

/// All gauges except the descriptors, for which the system has to be asked.
fn gauges(replica: &Replica, asking: Asking, now: Now) -> Gauges {
    let count = |count: usize| count as u64;
    let database = replica.database();
    // The connection that asks counts too, whether the replica knows it or not.
    let is_known = asking.conn.is_some_and(|conn| replica.connection(conn).is_some());
    let connections = replica.connections_count() + usize::from(!is_known);
    Gauges {
        znodes: count(database.node_count()),
        watches: count(database.watches().len()),
        ephemerals: count(database.ephemerals_count()),
        data_bytes: database.approximate_data_size(),
        sessions_global: count(replica.global_sessions_count()),
        sessions_local: count(replica.local_sessions_count()),
        connections: count(connections),
        drop_probability: replica.drop_probability(),
        requests_outstanding: count(replica.requests_outstanding()),
        uptime_ms: now.mono.since_us(replica.stats().started_mono) / 1000,
        file_descriptors: FileDescriptors::default(),
        connections_refused: 0,
        handshakes: HandshakeFigures::default(),
        link_handshakes: HandshakeFigures::default(),
        certificate_days: CertificateDays::default(),
        digest_mismatches: database.digest_mismatches(),
        disk_is_full: replica.is_disk_full(),
        audit_dropped: 0,
    }
}

/// Converts a time of the monotonic clock to the wall clock.
fn on_the_wall(at: MonoUs, now: Now) -> WallMs {
    let ms = |mono: MonoUs| i64::try_from(mono.as_ms()).unwrap_or(i64::MAX);
    WallMs(now.wall.0.saturating_add(ms(at).saturating_sub(ms(now.mono))))
}

/// Expiring items by wall-clock time.
type Expiries<T> = Vec<(WallMs, Vec<T>)>;

fn dump(
    replica: &Replica,
    leads: bool,
    local: Option<&[(MonoUs, Vec<SessionId>)]>,
    asking: SocketAddr,
    now: Now,
) -> Result<String, TooLong> {
    let database = replica.database();
    let global = if leads { replica.session_expiries() } else { Vec::new() };
    let sets = |expiries: &[(MonoUs, Vec<SessionId>)]| -> Expiries<SessionId> {
        expiries.iter().map(|(at, sessions)| (on_the_wall(*at, now), sessions.clone())).collect()
    };
    let mut sessions = String::new();
    if let Some(local) = local {
        sessions += "Local ";
        sessions += &answer::session_sets(&sets(local));
    }
    if !leads {
        sessions += &member_lines::global_sessions(database.sessions());
    } else {
        // ZooKeeper: only LeaderSessionTracker with local sessions adds that these are global.
        sessions += if local.is_some() { "Global " } else { "" };
        sessions += &answer::session_sets(&sets(&global));
    }
    let expiries: Vec<_> = global.into_iter().chain(local.into_iter().flatten().cloned()).collect();
    let connections = connection_expiries(replica, expiries, asking, now);
    let owners: Vec<_> = database
        .ephemeral_owners()
        .map(|session| (session, database.ephemerals(session)))
        .collect();
    answer::dump(&sessions, owners.into_iter(), &connections)
}

/// The connections by the time at which they expire.
// ZooKeeper: connections have a queue of their own, of the same timeouts as the sessions'. Here the
// connections of sessions that a leader tracks are listed as if they had just shown a sign of life;
// a connection without a session has a short timeout of its own and is listed with those that
// expire last.
fn connection_expiries(
    replica: &Replica,
    expiries: Vec<(MonoUs, Vec<SessionId>)>,
    asking: SocketAddr,
    now: Now,
) -> Expiries<(SocketAddr, SessionId)> {
    let connections = others(replica, asking);
    let mut unknown: Vec<(SocketAddr, SessionId)> = vec![(asking, SessionId::NONE)];
    let mut by_session: BTreeMap<SessionId, &ConnectionFacts> =
        connections.iter().filter_map(|facts| Some((facts.session?, facts))).collect();
    let mut sets: BTreeMap<WallMs, Vec<(SocketAddr, SessionId)>> = BTreeMap::new();
    for (at, sessions) in expiries {
        for session in sessions {
            if let Some(facts) = by_session.remove(&session) {
                let set = sets.entry(on_the_wall(at, now)).or_default();
                set.push((facts.remote, session));
            }
        }
    }
    for (session, facts) in by_session {
        let at = WallMs(now.wall.0.saturating_add(i64::from(facts.timeout_ms)));
        sets.entry(at).or_default().push((facts.remote, session));
    }
    unknown.extend(
        connections
            .iter()
            .filter(|facts| facts.session.is_none())
            .map(|facts| (facts.remote, SessionId::NONE)),
    );
    let mut sets: Expiries<_> = sets.into_iter().collect();
    match sets.last_mut() {
        Some((_, last)) => last.append(&mut unknown),
        None => sets.push((now.wall, unknown)),
    }
    sets
}

fn watches_by_session(replica: &Replica) -> Result<String, TooLong> {
    let mut lines = Lines::default();
    replica.database().watches().for_each_connection(&mut |conn, paths| {
        lines.wchc(session_of(replica, conn), paths);
    });
    lines.end("\n")
}

fn watches_by_path(replica: &Replica) -> Result<String, TooLong> {
    let mut lines = Lines::default();
    replica.database().watches().for_each_path(&mut |path, connections| {
        let mut sessions = connections.map(|conn| session_of(replica, conn)).peekable();
        if sessions.peek().is_some() {
            lines.wchp(path, sessions);
        }
    });
    lines.end("\n")
}

/// The answer in place of one that is too long.
fn too_long(_: TooLong) -> String {
    let mebibytes = limits::WORD_BYTES_MAX >> 20;
    format!(
        "The paths are too long for one answer, which may have {mebibytes} MiB. wchs, srvr and \
         mntr show how many there are.\n"
    )
}

fn session_of(replica: &Replica, conn: crate::id::ConnectionId) -> SessionId {
    replica.connection(conn).and_then(|facts| facts.session).unwrap_or(SessionId::NONE)
}
