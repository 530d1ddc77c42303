//! Clients that write all the time, whatever happens to the ensemble, and record every request and answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringkeeper::jute::Jute;
use ringkeeper::proto::data::Stat;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_history::{Answer, Key, Operation, Recorder, Summary};
use ringkeeper_rawclient::{Body, Failure, OPEN_ACL, Roaming};

use crate::ground::{LIMIT, LONG_MS, Random};

const BAD_VERSION: i32 = -103;
/// After this many requests, all workers continue with the next register, because the search for a sequential order
/// takes quadratic time.
const REQUESTS_PER_REGISTER: u64 = 80;
/// The longest time in which no server accepts a session; a test may cut all servers off for a while.
const OUTAGE_LIMIT: Duration = Duration::from_secs(90);

/// The options of a load.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many sessions write.
    pub workers: usize,
    /// How long each session waits after an answer.
    pub pause: Duration,
    /// The time without an answer after which a worker takes its server for dead.
    pub patience: Duration,
    /// Whether xids start with 1 on each connection, which servers of Apache ZooKeeper do not cope with.
    pub restarts_xids: bool,
}

impl Pace {
    /// Enough load to notice every gap, and little enough to leave the two cores to the servers.
    pub const GENTLE: Pace = Pace {
        workers: 3,
        pause: Duration::from_millis(4),
        patience: Duration::from_secs(2),
        restarts_xids: false,
    };

    /// The same with clients that are as demanding as the protocol allows, for ensembles of Ringkeeper servers only.
    pub const FORGETFUL: Pace = Pace { restarts_xids: true, ..Pace::GENTLE };
}

#[derive(Debug)]
struct Shared {
    recorder: Recorder,
    stopping: AtomicBool,
    requests: AtomicU64,
    registers: AtomicU32,
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    servers: Vec<SocketAddr>,
    workers: Vec<JoinHandle<Roaming>>,
}

impl Load {
    /// Starts the workers, each on a server of its own if there are enough servers.
    pub fn start(servers: &[SocketAddr], pace: Pace) -> Self {
        let shared = Arc::new(Shared {
            recorder: Recorder::new(),
            stopping: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            registers: AtomicU32::new(0),
        });
        let mut session = session(servers, 0, pace);
        session.create("/load", None, OPEN_ACL, 0, LIMIT).expect("create");
        session.close(LIMIT).expect("closeSession");
        let workers = (0..pace.workers).map(|number| {
            let (shared, servers) = (shared.clone(), servers.to_vec());
            thread::spawn(move || Worker::start(&shared, &servers, number, pace).run())
        });
        Load { workers: workers.collect(), shared, servers: servers.to_vec() }
    }

    /// The record of what the workers have done so far.
    pub fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Waits until a write is acknowledged that was sent after this call; returns the time since `moment`.
    pub fn wait_acknowledged(&self, moment: Instant) -> Duration {
        let begun = Instant::now();
        loop {
            if let Some(took) = self.shared.recorder.first_acknowledged_after(moment) {
                return took;
            }
            assert!(
                begun.elapsed() < OUTAGE_LIMIT,
                "no write is acknowledged for {OUTAGE_LIMIT:?}"
            );
            for worker in &self.workers {
                assert!(!worker.is_finished(), "a worker has failed, see its panic above");
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends the load while the ensemble serves. Every session must still own its ephemeral node, and the whole history
    /// must be one that a single server could have answered.
    pub fn finish(self) -> Summary {
        self.try_finish().unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Load::finish`], but returns what is wrong with the history if no single server could have answered it.
    pub fn try_finish(self) -> Result<Summary, String> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        for worker in self.workers {
            let mut session = worker.join().expect("a worker, see its panic above");
            let mine = ephemeral_of(&session);
            let (_, stat) = session.read(&mine, LIMIT).expect("its ephemeral node");
            assert_eq!(stat.ephemeral_owner, session.id().0, "{mine}");
            session.close(LIMIT).expect("closeSession");
        }
        let mut reader =
            Roaming::open(&self.servers, LONG_MS, LIMIT, LIMIT).expect("a session to read with");
        let registers = self.shared.registers.load(Ordering::Relaxed);
        for key in 0..=registers {
            let call = self.shared.recorder.invoke(key, Operation::Read);
            match reader.read(&path_of(key), LIMIT) {
                Ok((data, stat)) => {
                    let value = value_of(data.as_deref().unwrap_or_default());
                    call.returned(Answer::Seen { version: stat.version, value }, 0);
                }
                // No worker may have got so far as to create the node.
                Err(Failure::Refused(-101)) => call.unknown(),
                Err(failure) => panic!("reading register {key}: {failure:?}"),
            }
        }
        reader.close(LIMIT).expect("closeSession");
        let checked = self.shared.recorder.check();
        // The message also lists the values on each server, because it matters whether only one server has lost a
        // write.
        checked.map_err(|why| format!("{}{why}", shown_by_each(&self.servers, registers)))
    }
}

/// The version and zxid of each register on each server, where they are not the same on all of them; a line each.
fn shown_by_each(servers: &[SocketAddr], registers: Key) -> String {
    let of_server = |server: &SocketAddr| -> Vec<String> {
        let mut session = match Roaming::open(&[*server], LONG_MS, LIMIT, LIMIT) {
            Ok(session) => session,
            Err(failure) => return vec![format!("{failure:?}"); registers as usize + 1],
        };
        let read = |key| match session.read(&path_of(key), LIMIT) {
            Ok((_, stat)) => format!("version {} of {:?}", stat.version, stat.mzxid),
            Err(failure) => format!("{failure:?}"),
        };
        let shown = (0..=registers).map(read).collect();
        // The session has served its purpose.
        session.close(LIMIT).ok();
        shown
    };
    let shown: Vec<Vec<String>> = servers.iter().map(of_server).collect();
    let of_key = |key: usize| -> Vec<&str> { shown.iter().map(|one| one[key].as_str()).collect() };
    let differing = (0..=registers as usize).map(|key| (key, of_key(key)));
    let differing = differing.filter(|(_, each)| each.iter().any(|one| *one != each[0]));
    differing.map(|(key, each)| format!("register {key}: {}\n", each.join(", "))).collect()
}

fn session(servers: &[SocketAddr], place: usize, pace: Pace) -> Roaming {
    let mut servers = servers.to_vec();
    let count = servers.len();
    servers.rotate_left(place % count);
    let session = Roaming::open(&servers, LONG_MS, pace.patience, OUTAGE_LIMIT).expect("a session");
    if pace.restarts_xids { session.restarting_xids() } else { session }
}

fn path_of(key: Key) -> String {
    format!("/load/r{key}")
}

fn ephemeral_of(session: &Roaming) -> String {
    format!("/load/alive-{:x}", session.id().0)
}

fn value_of(data: &[u8]) -> u64 {
    std::str::from_utf8(data).ok().and_then(|text| text.parse().ok()).expect("a number in it")
}

struct Worker<'a> {
    shared: &'a Shared,
    session: Roaming,
    random: Random,
    pace: Pace,
    /// The versions that the worker saw last.
    versions: BTreeMap<Key, i32>,
    values: u64,
}

impl<'a> Worker<'a> {
    fn start(shared: &'a Shared, servers: &[SocketAddr], number: usize, pace: Pace) -> Self {
        let mut session = session(servers, number, pace);
        let mine = ephemeral_of(&session);
        session.create(&mine, None, OPEN_ACL, 1, OUTAGE_LIMIT).expect("create");
        let values = (number as u64 + 1) << 40;
        let random = Random(values);
        Worker { shared, session, random, pace, versions: BTreeMap::new(), values }
    }

    fn run(mut self) -> Roaming {
        while !self.shared.stopping.load(Ordering::Relaxed) {
            self.step();
            thread::sleep(self.pace.pause);
        }
        self.session
    }

    fn step(&mut self) {
        let request = self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let key = u32::try_from(request / REQUESTS_PER_REGISTER).expect("few registers");
        let path = path_of(key);
        if !self.versions.contains_key(&key) {
            let made = self.session.create(&path, Some(b"0"), OPEN_ACL, 0, OUTAGE_LIMIT);
            made.unwrap_or_else(|failure| panic!("creating {path}: {failure:?}"));
            self.versions.insert(key, 0);
            self.shared.registers.fetch_max(key, Ordering::Relaxed);
        }
        // Waits for a server first, so that an unknown outcome is due to the request.
        self.session
            .connect(OUTAGE_LIMIT)
            .unwrap_or_else(|failure| panic!("a server for the session: {failure:?}"));
        self.values += 1;
        let value = self.values;
        let (operation, version) = if self.random.below(3) == 0 {
            let version = self.versions[&key];
            (Operation::SetAt { version, value }, version)
        } else {
            (Operation::Set { value }, -1)
        };
        let body = Body::set_data(&path, Some(value.to_string().as_bytes()), version);
        let call = self.shared.recorder.invoke(key, operation);
        match self.session.call(OpCode::SetData, &body, OUTAGE_LIMIT) {
            Ok(reply) => {
                let stat = Stat::from_bytes(&reply.body).expect("setData answers a Stat");
                assert_eq!(stat.mzxid, reply.header.zxid, "the zxid of this write");
                self.versions.insert(key, stat.version);
                call.returned(Answer::Written { version: stat.version }, stat.mzxid.0);
            }
            Err(Failure::Refused(BAD_VERSION)) => call.returned(Answer::BadVersion, 0),
            Err(Failure::Unknown) => call.unknown(),
            Err(failure) => panic!("setData {path}: {failure:?}"),
        }
    }
}
