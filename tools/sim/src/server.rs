//! One server: a machine with its disk and its clocks, and the replica that runs on it now and then.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ringkeeper::database::DatabaseOptions;
use ringkeeper::id::{ServerId, Zxid};
use ringkeeper::limits;
use ringkeeper::link::{Endpoint, LinkId, Port};
use ringkeeper::planted::{self, PlantedBug};
use ringkeeper::quorum::PeerOptions;
use ringkeeper::quorum::{Config, Member, MemberAddress, PeerType};
use ringkeeper::recovery::{Recovered, RecoveryError, RecoveryOptions, recover};
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::Now;
use ringkeeper::{snapshot, txnlog};

use super::clock::Clock;
use super::config_files::ConfigFiles;
use super::disk::{Disk, Flip};
use super::locked_out::{Certificate, WrongPassword};
use super::network::{ConnId, Node};
use super::plan::Plan;
use super::rng::Rng;
use super::wild::Broken;

/// The port on which a simulated leader accepts learners.
pub const QUORUM_PORT: u16 = 2888;
/// Port of simulated elections.
pub const ELECTION_PORT: u16 = 3888;
/// The port on which simulated followers accept observers.
pub const OBSERVER_MASTER_PORT: u16 = 2889;
/// Bytes of the longest frame of a simulated client.
pub const FRAME_BYTES_MAX: u32 = 4096;

/// The state of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process runs.
    Running,
    /// Its process is gone and will be started.
    Down {
        /// Whether the machine is gone as well, so that nobody refuses connections to it.
        machine: bool,
    },
    /// It refused to start, and an operator has to do something; the text is its reason.
    Refused(String),
    /// It is no member, and nobody starts it.
    Out,
}

/// A server.
pub struct Server {
    /// Its number.
    pub id: ServerId,
    /// Whether its vote counts at first.
    pub is_voter: bool,
    /// Its disk.
    pub disk: Disk,
    /// Its clocks.
    pub clock: Clock,
    /// Its state.
    pub state: State,
    /// The number of its processes so far.
    pub life: u64,
    /// The time until which it stands still.
    pub paused_until: u64,
    /// The process.
    pub replica: Option<Box<Replica>>,
    /// The output of its turns, kept for its buffers.
    pub output: Output,
    /// Whether a turn is scheduled.
    pub turn_scheduled: bool,
    /// The time at which its timer rings.
    pub timer_at: Option<u64>,
    /// Its links to other servers: the connection, and the server's end of it.
    pub links: BTreeMap<LinkId, (ConnId, usize)>,
    /// Its clients.
    pub conns: BTreeMap<u64, ConnId>,
    /// Bytes from clients that are not a whole frame yet.
    pub partial: BTreeMap<u64, Vec<u8>>,
    /// The addresses at which it listens.
    pub listening: Vec<(Port, Endpoint)>,
    /// The number of links that it has accepted.
    pub accepted: u64,
    /// The configuration in its files.
    pub config: Rc<Config>,
    /// The proposed configuration, which stands in its files too until it is active.
    pub next: Option<Rc<Config>>,
    /// The files of both configurations.
    pub config_files: ConfigFiles,
    /// The time until which a server that was started to become a member may do so.
    pub joining_until: u64,
    /// The last transaction of its state when the simulation last looked.
    pub seen: Zxid,
    /// The flipped bits of its files.
    pub flips: Vec<Flip>,
    /// Whether its folder was set aside and it has no history yet.
    pub began_anew: bool,
    /// The way in which it stays broken while the others must serve.
    pub broken: Option<Broken>,
    /// Which passwords in its JAAS file are wrong; its process has those that it read at its start.
    pub wrong_password: Option<WrongPassword>,
    /// The same of its process, or of its last one.
    pub runs_with_wrong_password: Option<WrongPassword>,
    /// Who refuses its certificate.
    pub certificate: Certificate,
    rng: Rng,
}

impl Server {
    /// Whether its process found no data, because bits of the files are flipped.
    pub fn has_lost_all(&self) -> bool {
        let begins_with = self.replica.as_ref().map(|replica| replica.last_processed());
        begins_with == Some(Zxid::NONE) && !self.flips.is_empty()
    }

    /// A server that was never started.
    pub fn new(index: usize, plan: &Plan, disk: Disk, config: Rc<Config>, mut rng: Rng) -> Server {
        let off = i64::try_from(rng.below(2 * plan.drift_max + 1)).expect("a small number");
        let drift = off - i64::try_from(plan.drift_max).expect("a small number");
        let is_member = config.members.contains_key(&server_id(index));
        Server {
            id: server_id(index),
            is_voter: index < plan.voters,
            disk,
            clock: Clock::new(drift, rng.between(1, 1 << 40)),
            state: if is_member { State::Down { machine: false } } else { State::Out },
            life: 0,
            paused_until: 0,
            replica: None,
            output: Output::default(),
            turn_scheduled: false,
            timer_at: None,
            links: BTreeMap::new(),
            conns: BTreeMap::new(),
            partial: BTreeMap::new(),
            listening: Vec::new(),
            accepted: 0,
            config,
            next: None,
            config_files: ConfigFiles::default(),
            joining_until: 0,
            seen: Zxid::ZERO,
            flips: Vec::new(),
            began_anew: false,
            broken: None,
            wrong_password: None,
            runs_with_wrong_password: None,
            certificate: Certificate::Good,
            rng,
        }
    }

    /// Gives the server a configuration, as an operator does.
    pub fn give_config(&mut self, config: Rc<Config>) {
        self.config_files.write_by_hand(self.id, &config);
        self.config = config;
        self.next = None;
    }

    /// Reads its configuration files. A server without such files knows its configuration all the same.
    ///
    /// # Errors
    /// The files cannot be used; the text says why.
    pub fn read_config(&mut self, plan: &Plan) -> Result<(), String> {
        if plan.wild.config_files {
            let (config, next) = self.config_files.open()?;
            self.config = Rc::new(config);
            self.next = next.map(Rc::new);
        }
        Ok(())
    }

    /// Reads the folder and begins a process.
    ///
    /// # Errors
    /// The folder cannot be used; the error says why.
    pub fn start(&mut self, now: Now, plan: &Plan) -> Result<(), RecoveryError> {
        self.life += 1;
        let recovered = self.recover(plan)?;
        let seed = self.rng.word();
        let options = replica_options(self.id, plan);
        let replica = if plan.is_standalone() {
            Replica::new(options, recovered, now, seed)
        } else {
            let mut peer = peer_options(self.id, self.config.is_observer(self.id), plan);
            peer.last_seen = self.next.as_deref().cloned();
            self.runs_with_wrong_password = self.wrong_password;
            let wrong = self.wrong_password;
            peer.logins = plan.logins.and_then(|logins| logins.of(self.id, self.life, wrong));
            let config = (*self.config).clone();
            Replica::member(options, peer, config, recovered, now, seed)
        };
        self.replica = Some(Box::new(replica));
        self.state = State::Running;
        Ok(())
    }

    /// Recovers the state in the folder.
    ///
    /// # Errors
    /// The folder cannot be used; the error says why.
    pub fn recover(&mut self, plan: &Plan) -> Result<Recovered, RecoveryError> {
        let options = recovery_options(plan, self.rng.word());
        recover(&self.disk, &options, &mut |_| ())
    }

    /// Forgets everything that belonged to the process.
    pub fn end(&mut self) {
        self.replica = None;
        self.output = Output::default();
        self.turn_scheduled = false;
        self.timer_at = None;
        self.links.clear();
        self.conns.clear();
        self.partial.clear();
        self.listening.clear();
        self.paused_until = 0;
    }

    /// Its index among the servers.
    pub fn index(&self) -> usize {
        usize::try_from(self.id.0 - 1).expect("numbered from 1")
    }

    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }
}

/// The options with which a server recovers.
pub fn recovery_options(plan: &Plan, hash_seed: u64) -> RecoveryOptions {
    RecoveryOptions {
        database: DatabaseOptions {
            hash_seed,
            record: true,
            digest_enabled: !plan.wild.no_digest,
            extended_types: plan.wild.wider.reaps(),
            planted: plan.planted,
            ..DatabaseOptions::default()
        },
        // A member whose folder was set aside must not vote as if it had never known anything.
        autocreate: plan.is_standalone() || plan.wild.autocreate,
        ensemble: !plan.is_standalone(),
        recent_txns_max: plan.commit_log_txns,
        planted: plan.planted,
        // With short epochs, the first transaction of an epoch does not have its first zxid.
        allow_gaps: plan.short_epochs,
        ..RecoveryOptions::default()
    }
}

/// The number of a server.
pub fn server_id(index: usize) -> ServerId {
    ServerId(i64::try_from(index + 1).expect("a handful of servers"))
}

/// The host name of a server.
pub fn host(id: ServerId) -> String {
    format!("s{id}")
}

/// The server with this host name.
pub fn index_of_host(host: &str) -> Option<usize> {
    host.strip_prefix('s')?.parse::<usize>().ok()?.checked_sub(1)
}

/// The address of a machine, with a temporary port.
pub fn address(node: Node, number: u64) -> SocketAddr {
    let node = u8::try_from(node).expect("a handful of machines");
    let port = 10_000 + u16::try_from(number % 50_000).expect("below 50000");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, node + 1)), port)
}

/// The configuration with which the run begins.
pub fn first_config(plan: &Plan) -> Config {
    let member = |index: usize| {
        let role = if index < plan.voters { PeerType::Participant } else { PeerType::Observer };
        (server_id(index), member(server_id(index), role))
    };
    let members = (0..plan.voters + plan.observers).map(member).collect();
    let mut config = Config { members, ..Config::default() };
    if let Some((begins, weights)) = &plan.wild.groups {
        for (index, weight) in weights.iter().enumerate() {
            let group = 1 + begins.iter().filter(|begin| index >= **begin).count();
            let group = i64::try_from(group).expect("a handful of groups");
            config.groups.entry(group).or_default().insert(server_id(index));
            config.weights.insert(server_id(index), *weight);
        }
    }
    config
}

/// A server as a member.
pub fn member(id: ServerId, role: PeerType) -> Member {
    let address =
        MemberAddress { host: host(id), quorum_port: QUORUM_PORT, election_port: ELECTION_PORT };
    Member { addresses: vec![address], role, client: None }
}

/// Bytes of the longest frame that a server takes.
pub fn frame_bytes_max(plan: &Plan) -> u32 {
    if planted::is(plan.planted, PlantedBug::LongFrameTaken) {
        FRAME_BYTES_MAX + 4
    } else if planted::is(plan.planted, PlantedBug::FullFrameRefused) {
        FRAME_BYTES_MAX - 1
    } else {
        FRAME_BYTES_MAX
    }
}

/// Bytes of the longest transaction.
pub fn txn_bytes_max(plan: &Plan) -> usize {
    (FRAME_BYTES_MAX + plan.wild.asking.txn_extra_bytes_max()) as usize
}

fn replica_options(id: ServerId, plan: &Plan) -> ReplicaOptions {
    let tick = i32::try_from(plan.tick_ms).expect("about a second");
    let mut options = ReplicaOptions {
        server_id: id,
        tick_ms: plan.tick_ms,
        session_timeout_ms_min: 2 * tick,
        session_timeout_ms_max: 20 * tick,
        frame_bytes_max: FRAME_BYTES_MAX,
        txn_extra_bytes_max: plan.wild.asking.txn_extra_bytes_max(),
        txnlog: txnlog::WriterOptions {
            block_bytes: plan.block_bytes,
            segment_bytes: plan.segment_bytes,
            group_bytes_max: 16 << 10,
            txn_bytes_max: txn_bytes_max(plan),
            snap_count: plan.snap_count,
            // Snapshots are frequent, so that much can go wrong with them.
            snapshot_share_percent: 0,
            ..txnlog::WriterOptions::default()
        },
        snapshot: snapshot::WriterOptions {
            nodes_max: if plan.wild.small_slices { 2 } else { 64 },
            slice_bytes: if plan.wild.small_slices { 64 } else { 4096 },
            in_flight_bytes_max: 64 << 10,
            ..snapshot::WriterOptions::default()
        },
        // A turn applies little, so that other things happen before committed transactions are applied.
        turn_work_units: if plan.wild.small_slices { 4 } else { limits::TURN_WORK_UNITS },
        // Every client may change the ensemble.
        reconfig: plan.changes(),
        skip_acl: plan.changes(),
        local_sessions: plan.local_sessions,
        local_sessions_upgrading: plan.local_sessions,
        sync_enabled: !plan.wild.sync_disabled,
        read_only_mode: plan.wild.read_only_mode,
        leader_serves: !plan.wild.leader_only_leads,
        eager_acl_check: plan.wild.eager_acl_check,
        digest: !plan.wild.no_digest,
        close_session_paths: !plan.wild.no_close_session_paths,
        planted: plan.planted,
        ..ReplicaOptions::default()
    };
    let wider = &plan.wild.wider;
    options.enforce_quota = wider.enforce_quota;
    if let Some(units) = plan.wild.turn_work_units {
        options.turn_work_units = units;
    }
    if wider.reaps() {
        options.extended_types = true;
        options.container_check_interval_ms = wider.reap_interval_ms;
        options.container_removals_per_minute_max = wider.reaped_per_minute;
        options.container_never_used_ms_max = wider.never_used_ms_max.unwrap_or(0);
    }
    options
}

/// The counter with which epochs begin, if a run is to reach their end.
const EPOCH_NEARLY_USED_UP: u32 = u32::MAX - 200;

fn peer_options(id: ServerId, is_observer: bool, plan: &Plan) -> PeerOptions {
    PeerOptions {
        me: id,
        tick_ms: plan.tick_ms.into(),
        init_limit: plan.init_limit,
        sync_limit: plan.sync_limit,
        is_observer,
        commit_log_txns: plan.commit_log_txns,
        force_snapshot_sync: plan.wild.force_snapshot_sync,
        sync_from_log: !plan.wild.no_sync_from_log,
        reconfig: plan.changes(),
        has_oracle: plan.wild.witness,
        observer_master: plan
            .observer_masters
            .then(|| Endpoint { host: host(id), port: OBSERVER_MASTER_PORT }),
        observer_master_port: plan.observer_masters.then_some(OBSERVER_MASTER_PORT),
        initial_counter: if plan.short_epochs { EPOCH_NEARLY_USED_UP } else { 0 },
        planted: plan.planted,
        ..PeerOptions::default()
    }
}
