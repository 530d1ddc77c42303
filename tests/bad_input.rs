//! Clients that break the protocol, and disks that fill up: the server closes the connection of such a client, serves
//! all others, and loses no acknowledged write.
//!
//! The full disk is an ext4 file system in a file, which only root can mount. If mounting is not allowed, these tests
//! say so on standard error and check nothing. `RINGKEEPER_TEST_PEER=java` runs the rest against ZooKeeper 3.9.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, Connection, OPEN_ACL, Received, Session, SessionError, dump};
use ringkeeper_testkit::{Config, Program, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const TIMEOUT_MS: i32 = 60_000;
/// How long another client may wait for its answer while one client misbehaves.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 10_000;
const DISK_MIB: u32 = 24;

#[test]
fn malformed_frames_cost_only_the_connection_that_sends_them() {
    let server = Server::start(program(), config());
    let witness = Witness::begin(server.socket_addr());
    for (name, bytes) in malformed() {
        for after_connecting in [false, true] {
            let mut connection = if after_connecting {
                let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect(name);
                session.connection().send_raw(&bytes).expect("the first bytes after a reply");
                let end = drain(session.connection());
                assert_ne!(end, Received::Silence, "{name}, after connecting: left open");
                continue;
            } else {
                Connection::open(server.socket_addr()).expect("a connection")
            };
            // The server may close the connection before everything is sent.
            let _ = connection.send_raw(&bytes);
            connection.shutdown_write();
            assert_eq!(drain(&mut connection), Received::Closed, "{name}, instead of connecting");
        }
    }
    witness.end();
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered() {
    let server = Server::start(program(), config());
    let witness = Witness::begin(server.socket_addr());
    let mut connection = Connection::open(server.socket_addr()).expect("a connection");
    let create = Body::create("/slow", Some(b"x"), OPEN_ACL, 0);
    let header = [&1i32.to_be_bytes()[..], &OpCode::Create.number().to_be_bytes()].concat();
    for payload in [connect_request(), [&header[..], create.bytes()].concat()] {
        let length = i32::try_from(payload.len()).expect("a small frame").to_be_bytes();
        for byte in length.iter().chain(&payload) {
            connection.send_raw(&[*byte]).expect("a byte");
            thread::sleep(Duration::from_millis(2));
        }
        assert!(matches!(connection.receive(), Received::Frame(_)));
    }
    witness.end();
}

#[test]
fn half_a_request_and_then_nothing_disturbs_nobody() {
    let server = Server::start(program(), config());
    let mut halves = Vec::new();
    for length in [1, 3, 4, 5, 20] {
        let mut connection = Connection::open(server.socket_addr()).expect("a connection");
        let payload = connect_request();
        let frame = [&45i32.to_be_bytes()[..], &payload].concat();
        connection.send_raw(&frame[..length]).expect("some bytes");
        halves.push(connection);
        let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
        // A frame that announces more bytes than ever arrive.
        let frame = [&100i32.to_be_bytes()[..], &vec![0; length]].concat();
        session.connection().send_raw(&frame).expect("some bytes");
        halves.push(Connection::open(server.socket_addr()).expect("a connection"));
        std::mem::forget(session);
    }
    let witness = Witness::begin(server.socket_addr());
    thread::sleep(Duration::from_secs(1));
    witness.end();
}

#[test]
fn a_client_that_never_reads_stops_only_itself() {
    let server = Server::start(program(), config());
    let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
    session.create("/large", Some(&vec![1; 500_000]), OPEN_ACL, 0).expect("create");
    let mut deaf = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
    let mut frames = Vec::new();
    for _ in 0..2_000 {
        deaf.queue(OpCode::GetData, &Body::path_watch("/large", false), &mut frames);
    }
    let before = resident_kib(server.pid());
    // These requests have a gigabyte of answers. The server may stop reading, which ends this write early.
    let stream = deaf.connection().stream().try_clone().expect("a second handle");
    stream.set_nonblocking(true).expect("non-blocking");
    let _ = deaf.connection().send_raw(&frames);
    let witness = Witness::begin(server.socket_addr());
    thread::sleep(Duration::from_secs(2));
    witness.end();
    if matches!(server.program(), Program::Ringkeeper(_)) {
        let grown = resident_kib(server.pid()).saturating_sub(before);
        assert!(grown < 200 * 1024, "{grown} KiB more for answers that nobody reads");
    }
}

#[test]
fn a_list_of_children_longer_than_any_bound_arrives_and_the_connection_lives() {
    // The names are long, so that a few children make 69 MB.
    let (children, name_bytes) = (70, 990_000);
    let server = Server::start(program(), config());
    let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
    session.create("/wide", None, OPEN_ACL, 0).expect("create");
    for number in 0..children {
        let path = format!("/wide/{}{number:02}", "n".repeat(name_bytes));
        session.create(&path, None, OPEN_ACL, 0).expect("create");
    }
    let before = resident_kib(server.pid());
    let witness = Witness::begin(server.socket_addr());
    // Five requests at once: the server makes their replies one after the other.
    let begun = Instant::now();
    let body = Body::path_watch("/wide", false);
    for _ in 0..5 {
        session.send(OpCode::GetChildren, &body).expect("getChildren");
    }
    let mut resident = before;
    for _ in 0..5 {
        let reply = session.receive().expect("the reply");
        assert!(reply.body.len() > children * name_bytes, "{} bytes", reply.body.len());
        resident = resident.max(resident_kib(server.pid()));
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    assert_eq!(session.children("/wide", false).expect("getChildren").0.len(), children);
    session.set_data("/wide", Some(b"alive"), -1).expect("setData on the same connection");
    witness.end();
    if matches!(server.program(), Program::Ringkeeper(_)) {
        let grown = resident.saturating_sub(before);
        assert!(grown < 250 * 1024, "{grown} KiB more for replies of 69 MB");
    }
}

#[test]
fn ten_thousand_silent_connections_do_not_keep_others_waiting() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("raising the soft limit to the hard one");
    let wanted = u64::try_from(IDLE_CONNECTIONS + 500).expect("a small number");
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        panic!("this test needs {wanted} open files; raise the hard limit (ulimit -Hn)");
    }
    let server = Server::start(program(), config());
    let mut connections = Vec::with_capacity(IDLE_CONNECTIONS);
    for number in 0..IDLE_CONNECTIONS {
        let mut connection = Connection::open(server.socket_addr())
            .unwrap_or_else(|error| panic!("connection {number}: {error}"));
        // Half of them have a session.
        if number % 2 == 0 {
            connection.send_frame(&connect_request()).expect("a connect request");
        }
        connections.push(connection);
    }
    let witness = Witness::begin(server.socket_addr());
    for connection in connections.iter_mut().step_by(2) {
        assert!(matches!(connection.receive(), Received::Frame(_)), "a connect response");
    }
    thread::sleep(Duration::from_secs(1));
    witness.end();
}

#[test]
fn a_disk_that_fills_up_while_the_log_is_written() {
    // No snapshots and small segments, so that writes to the log and new segments fill the disk.
    full_disk(&config().line("snapCount=1000000").line("preAllocSize=1024"), 20_000);
}

#[test]
fn a_disk_that_fills_up_while_snapshots_are_written() {
    // A tree of some MiB, written again and again.
    full_disk(&config().line("snapCount=300").line("preAllocSize=256"), 30_000);
}

/// Fills the disk under a server, frees space, and restarts the server. Refused writes are errors, reads go on, and
/// acknowledged writes stay.
fn full_disk(config: &Config, value_bytes: usize) {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("NOT CHECKED: mounting a small file system is not allowed here (it takes root)");
        return;
    };
    let mut server = Server::start(program(), config.clone().data_dir(&disk.folder()));
    let address = server.socket_addr();
    let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
    session.create("/full", None, OPEN_ACL, 0).expect("create");
    session.create("/read", Some(b"still here"), OPEN_ACL, 0).expect("create");
    // The nodes are overwritten again and again, so that the log grows faster than the tree.
    let mut acknowledged: Vec<Option<usize>> = vec![None; 60];
    let mut attempted = acknowledged.clone();
    let mut refusals = 0;
    let begun = Instant::now();
    'filling: for round in 0.. {
        for number in 0..acknowledged.len() {
            assert!(begun.elapsed() < Duration::from_secs(90), "the disk did not fill up");
            let data = value(number, round, value_bytes);
            let path = format!("/full/{number}");
            let outcome = match acknowledged[number] {
                None => session.create(&path, Some(&data), OPEN_ACL, 0).map(|_| ()),
                Some(_) => session.set_data(&path, Some(&data), -1).map(|_| ()),
            };
            attempted[number] = Some(round);
            match outcome {
                Ok(()) => acknowledged[number] = Some(round),
                Err(SessionError::Refused(_)) => refusals += 1,
                Err(SessionError::Closed | SessionError::Silence) => break 'filling,
            }
            if refusals > 20 {
                break 'filling;
            }
        }
    }
    if server.is_running() {
        // Reads go on, also for clients that connect now.
        let mut other = Session::open(address, TIMEOUT_MS).expect("a session on a full disk");
        for reader in [&mut session, &mut other] {
            let (data, _) = reader.get_data("/read", false).expect("a read on a full disk");
            assert_eq!(data.as_deref(), Some(&b"still here"[..]));
        }
    } else {
        // ZooKeeper stops when its log cannot be written.
        assert_eq!(*server.program(), Program::ZooKeeper39, "the server is gone");
    }
    let log = server.log_tail(400).to_lowercase();
    assert!(log.contains("no space") || log.contains("full"), "the log names the reason:\n{log}");

    disk.free();
    if server.is_running() && matches!(server.program(), Program::Ringkeeper(_)) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = session.set_data("/read", Some(b"still here"), -1) {
            assert!(Instant::now() < deadline, "no write after space was freed: {error:?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
    server.restart();
    let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
    let tree = dump(&mut session, "/full").expect("the tree");
    for (number, (acknowledged, attempted)) in acknowledged.iter().zip(&attempted).enumerate() {
        let Some(acknowledged) = acknowledged else { continue };
        let node = tree.get(&format!("/full/{number}"));
        let node = node.unwrap_or_else(|| panic!("/full/{number} is lost"));
        let data = node.data.as_ref().expect("readable").as_deref().expect("data");
        let attempted = attempted.expect("what was acknowledged was attempted");
        let possible =
            (*acknowledged..=attempted).any(|round| value(number, round, value_bytes) == data);
        assert!(possible, "/full/{number}: not what round {acknowledged} to {attempted} wrote");
    }
}

fn program() -> Program {
    match env::var("RINGKEEPER_TEST_PEER").as_deref() {
        Ok("java") => Program::ZooKeeper39,
        Ok(binary) => Program::Ringkeeper(binary.into()),
        Err(_) => Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into()),
    }
}

fn config() -> Config {
    Config::new().line("tickTime=2000").line("maxSessionTimeout=100000").line("maxClientCnxns=0")
}

fn connect_request() -> Vec<u8> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: TIMEOUT_MS,
        session_id: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    }
    .to_bytes()
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |length: i32, payload: &[u8]| [&length.to_be_bytes()[..], payload].concat();
    vec![
        ("a length of -1", frame(-1, &[])),
        ("the most negative length", frame(i32::MIN, &[])),
        ("a length above jute.maxbuffer", frame(0x10_0000, &[])),
        ("the largest length", frame(i32::MAX, &[0; 64])),
        ("an empty frame", frame(0, &[])),
        ("half a header", frame(4, &[0, 0, 0, 1])),
        ("a header without its last byte", frame(7, &[0, 0, 0, 1, 0, 0, 0])),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a TLS hello", [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[9; 512]].concat()),
    ]
}

/// Reads until the stream ends or is silent, and returns which of the two happened.
fn drain(connection: &mut Connection) -> Received {
    loop {
        match connection.receive_within(CLOSED_WITHIN) {
            Received::Frame(_) => {}
            end => return end,
        }
    }
}

fn value(number: usize, round: usize, bytes: usize) -> Vec<u8> {
    format!("{number}.{round};").into_bytes().into_iter().cycle().take(bytes).collect()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Another client, which writes and reads all the time and must get its answers in time.
struct Witness {
    stop: std::sync::Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
    answered: std::sync::Arc<AtomicU64>,
}

impl Witness {
    fn begin(server: SocketAddr) -> Self {
        let stop = std::sync::Arc::new(AtomicBool::new(false));
        let answered = std::sync::Arc::new(AtomicU64::new(0));
        let (stopped, count) = (stop.clone(), answered.clone());
        let thread = thread::spawn(move || {
            let mut session = Session::open(server, TIMEOUT_MS).expect("a session");
            session.create("/witness", None, OPEN_ACL, 0).expect("create");
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                session.set_data("/witness", Some(b"x"), -1).expect("setData");
                session.get_data("/witness", false).expect("getData");
                assert!(begun.elapsed() < SERVED_WITHIN, "served after {:?}", begun.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(1));
            }
        });
        Witness { stop, thread, answered }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the witness was served");
        assert!(self.answered.load(Ordering::Relaxed) > 0, "the witness was served at least once");
    }
}

/// An ext4 file system in a file, partly filled, so that it can be freed.
struct SmallDisk {
    place: tempfile::TempDir,
    mounted: bool,
}

impl SmallDisk {
    /// `None` if this process may not mount.
    fn mount() -> Option<Self> {
        let place = tempfile::tempdir().expect("a temporary folder");
        let mut disk = SmallDisk { place, mounted: false };
        fs::create_dir(disk.folder()).expect("a folder to mount at");
        let image = disk.place.path().join("image");
        let file = fs::File::create(&image).expect("the image");
        file.set_len(u64::from(DISK_MIB) << 20).expect("its size");
        let run = |program: &str, arguments: &[&Path]| {
            let outcome = Command::new(program).args(arguments).output();
            outcome.is_ok_and(|outcome| outcome.status.success())
        };
        let made = run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &image]);
        disk.mounted =
            made && run("mount", &[Path::new("-o"), Path::new("loop"), &image, &disk.folder()]);
        if !disk.mounted {
            return None;
        }
        fs::write(disk.ballast(), vec![1; 6 << 20]).expect("ballast on an empty disk");
        Some(disk)
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("disk")
    }

    fn ballast(&self) -> PathBuf {
        self.folder().join("ballast")
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).expect("removing the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if !self.mounted {
            return;
        }
        // The kernel closes the files of a killed server a moment later.
        for _ in 0..50 {
            let outcome = Command::new("umount").arg(self.folder()).output();
            if outcome.is_ok_and(|outcome| outcome.status.success()) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}
