//! Makes the reports for the AdminServer out of what the replica knows.

use std::net::SocketAddr;

use super::answer::{self, Mode};
use super::report::{
    Configuration, Connections, Digest, Dump, Health, Inquiry, Leader, Monitor, NoReport, Observer,
    Pairs, Report, ServerStats, ServerStatsAndConnections,
};
use super::version::full_version;
use super::{Asking, Desk, gauges, member_lines, mode, on_the_wall, session_of};
use crate::id::SessionId;
use crate::limits;
use crate::metrics::{self, Gauges, Stalls};
use crate::peer::Member;
use crate::quorum::PeerType;
use crate::replica::Replica;
use crate::time::{MonoUs, Now};
use crate::zab::{PeerPhase, PeerState};

/// The gauges of the replica; nobody asks for them over a connection of a client.
fn gauges_of(replica: &Replica, now: Now) -> Gauges {
    let nobody = Asking { conn: None, remote: SocketAddr::from(([127, 0, 0, 1], 0)) };
    let connections = replica.connections_count() as u64;
    Gauges { connections, ..gauges(replica, nobody, now) }
}

/// Counts the bytes of paths in a report, and stops at what one answer may have.
#[derive(Default)]
struct Paths {
    bytes: usize,
}

impl Paths {
    /// The path, unless the report has enough; it is then cut off, and [`Paths::end`] fails.
    fn take(&mut self, path: &str) -> Option<String> {
        self.bytes += path.len();
        (self.bytes <= limits::WORD_BYTES_MAX).then(|| path.to_owned())
    }

    fn end(self) -> Result<(), NoReport> {
        if self.bytes > limits::WORD_BYTES_MAX {
            let mebibytes = limits::WORD_BYTES_MAX >> 20;
            return Err(NoReport::TooLong(format!(
                "the paths are too long for one answer, which may have {mebibytes} MiB; watch_summary and monitor show \
                 how many there are"
            )));
        }
        Ok(())
    }
}

/// Refuses a report with too many entries.
fn bounded(entries: usize) -> Result<(), NoReport> {
    if entries > limits::WORD_ENTRIES_MAX {
        return Err(NoReport::TooLong(format!(
            "{entries} entries are too many for one answer, which may have {}; watch_summary, server_stats and monitor \
             show how many there are of each kind",
            limits::WORD_ENTRIES_MAX
        )));
    }
    Ok(())
}

impl Desk {
    /// The report that `inquiry` asks for; for those that reset something, also resets it.
    ///
    /// Costs a copy of what is listed: at most [`limits::WORD_ENTRIES_MAX`] entries, or [`limits::WORD_BYTES_MAX`]
    /// bytes of paths.
    ///
    /// # Errors
    /// The server does not serve, or the report would be too long.
    pub fn report(
        &mut self,
        inquiry: Inquiry,
        replica: &mut Replica,
        now: Now,
    ) -> Result<Report, NoReport> {
        let mode = mode(replica);
        match inquiry {
            Inquiry::Health => return Ok(Report::Health(health(replica, mode))),
            Inquiry::ZabState => return Ok(zab_state(replica)),
            // ZooKeeper: MonitorCommand needs no server either, and fails without one.
            Inquiry::Monitor => return Ok(Report::Monitor(self.monitor(replica, mode, now))),
            _ => {}
        }
        let Some(mode) = mode else { return Err(NoReport::NotServing) };
        Ok(match inquiry {
            Inquiry::Health | Inquiry::ZabState | Inquiry::Monitor => {
                unreachable!("answered above")
            }
            Inquiry::ResetConnections => {
                replica.reset_connection_stats();
                Report::Done {}
            }
            Inquiry::Configuration => Report::Configuration(Configuration::of(&self.conf)),
            Inquiry::Connections => {
                bounded(replica.connections_count())?;
                Report::Connections(Connections::of(replica.connections(), false))
            }
            Inquiry::Dump => Report::Dump(dump(replica)?),
            Inquiry::Digests => {
                let digest = |(zxid, digest): (crate::id::Zxid, i64)| Digest {
                    zxid: zxid.0,
                    digest_version: DIGEST_VERSION,
                    digest,
                };
                Report::Digests { digests: replica.database().digest_log().map(digest).collect() }
            }
            Inquiry::IsReadOnly => Report::IsReadOnly { read_only: mode == Mode::ReadOnly },
            Inquiry::Leader => Report::Leader(leader(replica)),
            // Their counts are of the link, which nothing resets.
            Inquiry::ResetObservers | Inquiry::Ruok => Report::Done {},
            Inquiry::Observers => observers(replica, now),
            Inquiry::ServerStats => {
                Report::ServerStats(Box::new(self.server_stats(replica, mode, now)))
            }
            Inquiry::Stats => {
                bounded(replica.connections_count())?;
                let server = self.server_stats(replica, mode, now);
                let connections = Connections::of(replica.connections(), true);
                Report::Stats(Box::new(ServerStatsAndConnections { server, connections }))
            }
            Inquiry::ResetStats => {
                replica.reset_stats();
                self.stalls = Stalls::default();
                Report::Done {}
            }
            Inquiry::VotingView => voting_view(replica),
            Inquiry::Watches => watches(replica)?,
            Inquiry::WatchesByPath => watches_by_path(replica)?,
            Inquiry::WatchSummary => {
                let counts = replica.database().watches().counts();
                Report::WatchSummary {
                    num_connections: counts.connections,
                    num_paths: counts.paths,
                    num_total_watches: counts.watches,
                }
            }
        })
    }

    fn monitor(&self, replica: &Replica, mode: Option<Mode>, now: Now) -> Monitor {
        let facts = replica.peer().as_member().map(Member::facts);
        let state = mode.map_or("looking".to_owned(), |mode| mode.to_string());
        let mut words = vec![("version", full_version()), ("server_state", state)];
        if let Some(facts) = facts.as_ref().filter(|_| mode != Some(Mode::ReadOnly)) {
            words.push(("peer_state", member_lines::peer_state(facts)));
        }
        // The figures do not depend on the mode, but for those of an ensemble that a read-only server leaves out.
        let mut gauges = gauges_of(replica, now);
        self.add_edge(&mut gauges);
        let brief = self.brief(replica, &gauges, mode.unwrap_or(Mode::Standalone));
        let mut values = Vec::new();
        let sink = &mut |name: &str, value| values.push((name.to_owned(), value));
        answer::each_figure(&brief, facts.as_ref(), now.mono, sink);
        let quantiles = metrics::quantiles(replica.stats());
        Monitor { words, values, quantiles }
    }

    fn server_stats(&self, replica: &Replica, mode: Mode, now: Now) -> ServerStats {
        let gauges = gauges_of(replica, now);
        let leading = replica.peer().as_member().and_then(|member| member.facts().leading);
        let zxid = replica.last_processed().0;
        ServerStats::of(replica.stats(), &gauges, mode, zxid, leading.map(|it| it.sizes))
    }
}

/// `DigestCalculator.DIGEST_VERSION`
const DIGEST_VERSION: i32 = 2;

fn health(replica: &Replica, mode: Option<Mode>) -> Health {
    let disk_is_full = replica.is_disk_full();
    Health {
        mode: mode.map(|mode| mode.to_string()),
        takes_writes: !disk_is_full && mode.is_some_and(|mode| mode != Mode::ReadOnly),
        leads: matches!(mode, Some(Mode::Leader | Mode::Standalone)),
        disk_is_full,
    }
}

fn zab_state(replica: &Replica) -> Report {
    let Some(member) = replica.peer().as_member() else {
        return Report::ZabState { voting: false, zabstate: "" };
    };
    let facts = member.facts();
    let role = facts.config.members.get(&facts.me).map(|member| member.role);
    let zabstate = match facts.phase {
        PeerPhase::Election => "election",
        PeerPhase::Discovery => "discovery",
        PeerPhase::Synchronization => "synchronization",
        PeerPhase::Broadcast => "broadcast",
    };
    Report::ZabState { voting: role == Some(PeerType::Participant), zabstate }
}

fn leader(replica: &Replica) -> Leader {
    let Some(member) = replica.peer().as_member() else {
        return Leader::Standalone { error: "server is not initialized" };
    };
    let facts = member.facts();
    let host = facts
        .leader
        .and_then(|leader| facts.config.members.get(&leader))
        .and_then(|leader| leader.addresses.first())
        .map(|address| address.host.clone());
    Leader::Member {
        is_leader: facts.state == PeerState::Leading,
        leader_id: facts.leader.map_or(-1, |leader| leader.0),
        leader_ip: host.unwrap_or_default(),
    }
}

fn observers(replica: &Replica, now: Now) -> Report {
    let facts = replica.peer().as_member().map(Member::facts);
    let (synced_observers, learners) = match facts {
        None => (0, Vec::new()),
        Some(facts) => match facts.leading {
            Some(leading) => (leading.synced_observers as u64, leading.learners),
            // Those that learn from a follower are counted, and their figures are not kept.
            None => (facts.synced_observers, Vec::new()),
        },
    };
    let observers = learners.iter().filter(|learner| learner.is_observer);
    let established = |since: MonoUs| on_the_wall(since, now).0;
    Report::Observers {
        synced_observers,
        observers: observers.map(|it| Observer::of(it, established(it.since))).collect(),
    }
}

fn voting_view(replica: &Replica) -> Report {
    let Some(member) = replica.peer().as_member() else {
        return Report::VotingView { current_config: Pairs::default() };
    };
    let config = member.config();
    let voters = config.members.iter().filter(|(_, it)| it.role == PeerType::Participant);
    let lines = voters.map(|(id, member)| (id.0, member.to_string()));
    Report::VotingView { current_config: Pairs(lines.collect()) }
}

fn dump(replica: &Replica) -> Result<Dump, NoReport> {
    let database = replica.database();
    let sessions = replica.global_sessions_count() + replica.local_sessions_count();
    bounded(sessions + database.ephemerals_count())?;
    // ZooKeeper: a learner does not know when sessions expire, but for its local ones.
    let leads = match replica.peer().as_member().map(Member::state) {
        None | Some(PeerState::Leading) => true,
        Some(PeerState::Looking | PeerState::Following | PeerState::Observing) => false,
    };
    let global = if leads { replica.session_expiries() } else { Vec::new() };
    let expiries = global.into_iter().chain(replica.local_session_expiries());
    let expiries = expiries.map(|(at, sessions)| {
        (at.as_ms(), sessions.into_iter().map(|session| session.0).collect())
    });
    let mut paths = Paths::default();
    let owners = database.ephemeral_owners().map(|session| {
        let its = database.ephemerals(session).filter_map(|path| paths.take(path)).collect();
        (session.0, its)
    });
    let dump = Dump {
        expiry_time_to_session_ids: Pairs(expiries.collect()),
        session_id_to_ephemeral_paths: Pairs(owners.collect()),
    };
    paths.end()?;
    Ok(dump)
}

fn watches(replica: &Replica) -> Result<Report, NoReport> {
    let watches = replica.database().watches();
    bounded(watches.len())?;
    let (mut found, mut taken) = (Vec::new(), Paths::default());
    watches.for_each_connection(&mut |conn, paths| {
        let its: Vec<String> = paths.filter_map(|path| taken.take(path)).collect();
        found.push((session_of(replica, conn).0, its));
    });
    taken.end()?;
    Ok(Report::Watches { session_id_to_watched_paths: Pairs(found) })
}

fn watches_by_path(replica: &Replica) -> Result<Report, NoReport> {
    let watches = replica.database().watches();
    bounded(watches.len())?;
    let (mut found, mut taken) = (Vec::new(), Paths::default());
    watches.for_each_path(&mut |path, connections| {
        let sessions: Vec<i64> =
            connections.map(|conn| session_of(replica, conn)).map(|SessionId(id)| id).collect();
        if let Some(path) = taken.take(path).filter(|_| !sessions.is_empty()) {
            found.push((path, sessions));
        }
    });
    taken.end()?;
    Ok(Report::WatchesByPath { path_to_session_ids: Pairs(found) })
}
