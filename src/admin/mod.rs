//! What operators see: the four-letter words and the log.
//!
//! A session core recognises a word in the first four bytes of a connection, asks here for the
//! answer (on the replica's core, since it is about the replica), sends it and closes the
//! connection.

pub mod answer;
pub mod ensemble;
pub mod logging;
pub mod text;
pub mod version;
pub mod word;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use answer::{ConfFacts, Mode};
pub use word::{FourLetterWord, Whitelist};

use crate::admin::answer::{Brief, FolderBytes};
use crate::id::SessionId;
use crate::metrics::Gauges;
use crate::metrics::process::{FileDescriptors, Machine, Memory, folder_bytes};
use crate::replica::{ConnectionFacts, Replica};
use crate::time::{MonoUs, Now, WallMs};

/// What the words tell that the replica does not know. Made once, at start.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The words that may be used.
    pub whitelist: Whitelist,
    /// The configuration in force.
    pub conf: ConfFacts,
    /// What the server runs on.
    pub machine: Machine,
    /// What the server is.
    pub mode: Mode,
}

impl Desk {
    /// Answers `word` to the client at `asking`; resets what the word says is to be reset.
    /// `argument` is what follows the word: the mask of `stmk`.
    ///
    /// Costs a walk over what is told: all watches for `wchc`, all connections for `cons`; and a
    /// few system calls for sizes of folders and numbers of files. Words are for people and agents
    /// that ask a few times a minute.
    pub fn answer(
        &self,
        word: FourLetterWord,
        argument: [u8; word::TRACE_MASK_BYTES],
        replica: &mut Replica,
        asking: SocketAddr,
        now: Now,
    ) -> String {
        if !self.whitelist.allows(word) {
            return word::refusal(word);
        }
        match word {
            FourLetterWord::Conf => answer::conf(&self.conf, self.folder_bytes()),
            FourLetterWord::Cons => answer::cons(&others(replica, asking), asking),
            FourLetterWord::Crst => {
                replica.reset_connection_stats();
                "Connection stats reset.\n".to_owned()
            }
            FourLetterWord::Dirs => answer::dirs(self.folder_bytes()),
            FourLetterWord::Dump => dump(replica, asking, now),
            FourLetterWord::Envi => answer::envi(&self.machine, Memory::read()),
            FourLetterWord::Gtmk => word::TRACE_MASK.to_string(),
            // ZooKeeper: sets the mask and answers it; here it is only answered.
            FourLetterWord::Stmk => i64::from_be_bytes(argument).to_string(),
            FourLetterWord::Hash => answer::hash(replica.database().digest_log()),
            FourLetterWord::Isro => answer::isro(Some(self.mode)).to_owned(),
            FourLetterWord::Mntr => {
                let gauges = gauges(replica, asking, now);
                answer::mntr(&self.brief(replica, &gauges))
            }
            FourLetterWord::Ruok => "imok".to_owned(),
            FourLetterWord::Srst => {
                replica.reset_stats();
                "Server stats reset.\n".to_owned()
            }
            FourLetterWord::Srvr => {
                let gauges = gauges(replica, asking, now);
                answer::srvr(&self.brief(replica, &gauges), None)
            }
            FourLetterWord::Stat => {
                let gauges = gauges(replica, asking, now);
                let connections = others(replica, asking);
                answer::srvr(&self.brief(replica, &gauges), Some((&connections, asking)))
            }
            FourLetterWord::Wchc => watches_by_session(replica),
            FourLetterWord::Wchp => watches_by_path(replica),
            FourLetterWord::Wchs => {
                let counts = replica.database().watches().counts();
                answer::wchs(counts.connections, counts.paths, counts.watches)
            }
            // ZooKeeper: no command stands behind it; the connection is closed without a word.
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
            // ZooKeeper: `hash` alone prints this without the end of the line.
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

    fn brief<'a>(&self, replica: &'a Replica, gauges: &'a Gauges) -> Brief<'a> {
        Brief { stats: replica.stats(), gauges, zxid: replica.last_processed(), mode: self.mode }
    }

    fn folder_bytes(&self) -> FolderBytes {
        FolderBytes {
            data: folder_bytes(&PathBuf::from(&self.conf.data_dir)),
            log: folder_bytes(&PathBuf::from(&self.conf.data_log_dir)),
        }
    }
}

/// The connections but for the one that asks: whether the replica has heard of that one depends on
/// how the session core hands connections over.
fn others(replica: &Replica, asking: SocketAddr) -> Vec<ConnectionFacts> {
    replica.connections().filter(|facts| facts.remote != asking).collect()
}

fn gauges(replica: &Replica, asking: SocketAddr, now: Now) -> Gauges {
    let count = |count: usize| count as u64;
    let database = replica.database();
    // The connection that asks is one, too.
    let others = replica.connections().filter(|facts| facts.remote != asking).count();
    Gauges {
        znodes: count(database.node_count()),
        watches: count(database.watches().len()),
        ephemerals: count(database.ephemerals_count()),
        data_bytes: database.approximate_data_size(),
        sessions_global: count(replica.global_sessions_count()),
        sessions_local: count(replica.local_sessions_count()),
        connections: count(others) + 1,
        drop_probability: replica.drop_probability(),
        requests_outstanding: count(replica.requests_outstanding()),
        uptime_ms: now.mono.since_us(replica.stats().started_mono) / 1000,
        file_descriptors: FileDescriptors::read(),
        digest_mismatches: database.digest_mismatches(),
    }
}

/// When a time of the clock for durations will be, or was, in the time of the calendar.
fn on_the_wall(at: MonoUs, now: Now) -> WallMs {
    let ms = |mono: MonoUs| i64::try_from(mono.as_ms()).unwrap_or(i64::MAX);
    WallMs(now.wall.0.saturating_add(ms(at).saturating_sub(ms(now.mono))))
}

fn dump(replica: &Replica, asking: SocketAddr, now: Now) -> String {
    let database = replica.database();
    let expiries = replica.session_expiries();
    let connections = others(replica, asking);
    let mut sessions_dumped = Vec::with_capacity(expiries.len());
    let mut connections_dumped = Vec::new();
    // ZooKeeper: connections have a queue of their own, of the same timeouts as the sessions'; one
    // without a session has a short time of its own and is listed with those that expire last.
    let mut unknown: Vec<(SocketAddr, SessionId)> = vec![(asking, SessionId::NONE)];
    let mut by_session: std::collections::HashMap<SessionId, SocketAddr> =
        connections.iter().filter_map(|facts| Some((facts.session?, facts.remote))).collect();
    for (at, sessions) in expiries {
        let expires = on_the_wall(at, now);
        let connected: Vec<(SocketAddr, SessionId)> = sessions
            .iter()
            .filter_map(|session| Some((by_session.remove(session)?, *session)))
            .collect();
        if !connected.is_empty() {
            connections_dumped.push((expires, connected));
        }
        sessions_dumped.push((expires, sessions));
    }
    unknown.extend(
        connections
            .iter()
            .filter(|facts| facts.session.is_none_or(|id| by_session.contains_key(&id)))
            .map(|facts| (facts.remote, facts.session.unwrap_or(SessionId::NONE))),
    );
    match connections_dumped.last_mut() {
        Some((_, last)) => last.append(&mut unknown),
        None => connections_dumped.push((now.wall, unknown)),
    }
    let owners: Vec<_> = database
        .ephemeral_owners()
        .map(|session| (session, database.ephemerals(session)))
        .collect();
    answer::dump(&sessions_dumped, owners.into_iter(), &connections_dumped)
}

fn watches_by_session(replica: &Replica) -> String {
    let mut out = Vec::new();
    replica.database().watches().for_each_connection(&mut |conn, paths| {
        out.push((session_of(replica, conn), paths.map(str::to_owned).collect::<Vec<_>>()));
    });
    answer::wchc(out.iter().map(|(session, paths)| (*session, paths.iter().map(String::as_str))))
}

fn watches_by_path(replica: &Replica) -> String {
    let mut out = Vec::new();
    replica.database().watches().for_each_path(&mut |path, connections| {
        let sessions: Vec<_> = connections.map(|conn| session_of(replica, conn)).collect();
        out.push((path.to_owned(), sessions));
    });
    answer::wchp(out.iter().map(|(path, sessions)| (path.as_str(), sessions.iter().copied())))
}

fn session_of(replica: &Replica, conn: crate::id::ConnectionId) -> SessionId {
    replica.connection(conn).and_then(|facts| facts.session).unwrap_or(SessionId::NONE)
}
