//! Apache ZooKeeper 3.8 and 3.9 and Ringkeeper serve one data folder in turn: every node with its data, Stat and ACL,
//! every session and every digest stays the same.
//!
//! The tests kill each server, so that the next one reads its log as well as its snapshots. Snapshots and segments are
//! small and numerous. `RINGKEEPER_TEST_PEER=java` tests ZooKeeper 3.9 instead of Ringkeeper.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ringkeeper::error::ErrorCode;
use ringkeeper::id::SessionId;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::txn::Txn;
use ringkeeper_conformance::digest_of;
use ringkeeper_rawclient::{Body, OPEN_ACL, Session, SessionError, Tree, dump, first_difference};
use ringkeeper_testkit::{Config, Environment, Program, Server};

const SUPER: &str = "super:secret";
const ANN: &str = "ann:one";
/// A session timeout longer than a test takes, in ms.
const TIMEOUT_MS: i32 = 300_000;
/// Enough changes for several snapshots and segments, and for the digests of several zxids (ZooKeeper keeps one in
/// 128).
const FILLING: usize = 700;
const LARGE_BYTES: usize = 900_000;

#[test]
fn a_folder_of_3_9_goes_round_all_servers() {
    Tour::begin(Program::ZooKeeper39, config()).through(&[
        ringkeeper(),
        Program::ZooKeeper39,
        ringkeeper(),
        Program::ZooKeeper38,
        ringkeeper(),
        Program::ZooKeeper39,
    ]);
}

#[test]
fn a_folder_of_3_8_goes_round_all_servers() {
    Tour::begin(Program::ZooKeeper38, config()).through(&[
        ringkeeper(),
        Program::ZooKeeper38,
        ringkeeper(),
        Program::ZooKeeper39,
    ]);
}

#[test]
fn a_folder_of_ringkeeper_goes_to_each() {
    Tour::begin(ringkeeper(), config()).through(&[Program::ZooKeeper38]);
    Tour::begin(ringkeeper(), config()).through(&[Program::ZooKeeper39]);
}

#[test]
fn a_folder_with_gz_snapshots_is_read() {
    let gz = config().flag("-Dzookeeper.snapshot.compression.method=gz");
    let mut tour = Tour::begin(Program::ZooKeeper39, gz);
    // Restarts, so that a snapshot holds everything.
    tour.server.restart();
    assert!(tour.has_snapshot_named(".gz"), "ZooKeeper wrote no gz snapshot");
    tour.config = config();
    tour.through(&[ringkeeper(), Program::ZooKeeper39]);
}

#[test]
fn a_folder_with_snappy_snapshots_is_read() {
    let snappy = config().flag("-Dzookeeper.snapshot.compression.method=snappy");
    let mut tour = Tour::begin(Program::ZooKeeper39, snappy);
    tour.server.restart();
    assert!(tour.has_snapshot_named(".snappy"), "ZooKeeper wrote no snappy snapshot");
    tour.config = config();
    tour.through(&[ringkeeper(), Program::ZooKeeper39]);
}

#[test]
fn a_log_without_a_snapshot_is_read_if_the_operator_says_so() {
    // The only snapshot is that of the empty database, so the log holds everything.
    let whole_log = config().line("snapCount=100000").line("preAllocSize=65536");
    let mut tour = Tour::begin(Program::ZooKeeper39, whole_log.clone());
    tour.server.kill();
    let folder = tour.server.data_dir().join("version-2");
    for entry in fs::read_dir(&folder).expect("the data folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("snapshot.") {
            fs::remove_file(&path).expect("removing a snapshot");
        }
    }
    tour.config = whole_log.line("snapshot.trust.empty=true");
    tour.through(&[ringkeeper(), Program::ZooKeeper39]);
}

#[test]
fn a_log_with_a_gap_is_passed_over_once_and_the_start_says_what_is_missing() {
    let Program::Ringkeeper(_) = ringkeeper() else { return };
    let mut server = Server::start(ringkeeper(), config());
    let folder = server.data_dir().join("version-2");
    for round in 0..3 {
        if round > 0 {
            server.restart();
        }
        let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
        let path = format!("/{round}");
        session.create(&path, Some(b"x"), OPEN_ACL, 0).expect("create");
        session.close().expect("closeSession");
        server.terminate(Duration::from_secs(20));
    }
    let logs = files_named(&folder, "log.");
    assert_eq!(logs.len(), 3, "{logs:?}");
    fs::remove_file(&logs[1]).expect("our file");
    for snapshot in files_named(&folder, "snapshot.") {
        if !snapshot.ends_with("snapshot.0") {
            fs::remove_file(snapshot).expect("our file");
        }
    }
    let (status, said) = server.run_to_exit(Duration::from_secs(20));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("start the server once with -Dringkeeper.allowLogGaps=true"), "{said}");

    server.restart_with(config().flag("-Dringkeeper.allowLogGaps=true"));
    let said = server.log_tail(100);
    let warned = |says: &str| said.lines().any(|l| l.contains("WARN") && l.contains(says));
    let (before, after) = (logs[0].display(), logs[2].display());
    assert!(
        warned(&format!("the last one of {before}, and 0x7, at offset 16 of {after}")),
        "{said}"
    );
    assert!(warned("-Dringkeeper.allowLogGaps: it is meant for one start"), "{said}");
    // A gap before the newest snapshot does no harm.
    let until = Instant::now() + Duration::from_secs(20);
    while files_named(&folder, "snapshot.").len() < 2 {
        assert!(Instant::now() < until, "no snapshot is written");
        thread::sleep(Duration::from_millis(10));
    }
    server.kill();
    server.restart_with(config());
    let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
    session.get_data("/2", false).expect("it was logged behind the gap");
    assert!(session.get_data("/1", false).is_err(), "it is lost");
}

#[test]
fn exported_logs_hold_everything_for_readers_of_every_kind() {
    let whole_log = config().line("snapCount=100000");
    let mut tour = Tour::begin(ringkeeper(), whole_log.clone());
    let before = tour.observe();
    tour.server.kill();
    let folder = tour.server.data_dir().join("version-2");
    let logs = files_named(&folder, "log.");
    assert!(logs.iter().any(|log| first_padded(log).is_some()), "ours have padding");
    let exported = tempfile::tempdir().expect("a folder");
    let export = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        command.args(["txnlog", "export", "--to"]).arg(exported.path()).args(&logs);
        command.output().expect("the command")
    };
    let output = export();
    assert!(output.status.success(), "{output:?}");
    let again = export();
    assert!(!again.status.success(), "nothing is written over");
    let copies = files_named(exported.path(), "log.");
    assert_eq!(copies.len(), logs.len());
    for (copy, log) in copies.iter().zip(&logs) {
        assert_eq!(first_padded(copy), None, "{}", copy.display());
        // ZooKeeper's own tool reads both logs to their ends, and finds the same in both.
        let (plain, ours) = (toolkit(copy), toolkit(log));
        assert_eq!(plain, ours);
        assert!(!plain.is_empty());
    }
    // A new server replays the copies alone.
    for name in ["snapshot.", "log."] {
        files_named(&folder, name).iter().for_each(|path| fs::remove_file(path).expect("removed"));
    }
    for copy in &copies {
        fs::copy(copy, folder.join(copy.file_name().expect("a name"))).expect("copied");
    }
    tour.config = whole_log.line("snapshot.trust.empty=true");
    for program in [ringkeeper(), Program::ZooKeeper39] {
        tour.server.reconfigure(tour.config.clone());
        tour.server.restart_as(program);
        before.must_equal(&tour.observe(), "through exported logs");
        tour.check_sessions();
        tour.server.kill();
    }
}

fn files_named(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let is_named = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    let mut files: Vec<PathBuf> = entries.filter(is_named).collect();
    files.sort();
    files
}

/// Reads a log by decoding its records, without their lengths, as some programs do; returns where that fails.
fn first_padded(log: &Path) -> Option<usize> {
    const HEADER_BYTES: usize = 16;
    const HEAD_BYTES: usize = 12;
    let content = Bytes::from(fs::read(log).expect("a log"));
    let mut at = HEADER_BYTES;
    while at + HEAD_BYTES < content.len() && content[at..at + HEAD_BYTES] != [0; HEAD_BYTES] {
        let length: [u8; 4] = content[at + 8..at + HEAD_BYTES].try_into().expect("four bytes");
        let length = usize::try_from(u32::from_be_bytes(length)).expect("a length");
        let start = at + HEAD_BYTES;
        let txn = Txn::parse(&content.slice(start..start + length)).expect("a transaction");
        let end = start + txn.bytes().len();
        if content[end] != b'B' {
            return Some(at);
        }
        at = end + 1;
    }
    None
}

/// The transactions that ZooKeeper's TxnLogToolkit prints, without the error transactions that pad a group.
fn toolkit(log: &Path) -> Vec<String> {
    let output = Command::new("java")
        .args(["-cp", &Environment::found().class_path_3_9()])
        .arg("org.apache.zookeeper.server.persistence.TxnLogToolkit")
        .arg(log)
        .output()
        .expect("java");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("EOF reached after"), "{output:?}");
    text.lines().filter(|line| line.contains(" session 0x")).map(str::to_owned).collect()
}

fn ringkeeper() -> Program {
    match env::var("RINGKEEPER_TEST_PEER").as_deref() {
        Ok("java") => Program::ZooKeeper39,
        Ok(binary) => Program::Ringkeeper(binary.into()),
        Err(_) => Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into()),
    }
}

fn config() -> Config {
    Config::new()
        .line("tickTime=2000")
        .line("maxSessionTimeout=600000")
        .line("maxClientCnxns=0")
        .line("snapCount=200")
        .line("preAllocSize=64")
        .flag("-Dzookeeper.extendedTypesEnabled=true")
        .flag("-Dznode.container.checkIntervalMs=3600000")
        .flag(&format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={}", digest_of(SUPER)))
}

/// A folder that one server after another serves.
struct Tour {
    server: Server,
    config: Config,
    /// The sessions that stay open: id and password.
    sessions: Vec<(SessionId, [u8; 16])>,
    stations: usize,
}

impl Tour {
    /// Runs the first server on an empty folder, and does the first part of the work.
    fn begin(program: Program, config: Config) -> Self {
        let server = Server::start(program, config.clone());
        let mut tour = Tour { server, config, sessions: Vec::new(), stations: 0 };
        tour.work();
        tour
    }

    /// Lets the next server serve the folder; it must serve what the one before it served.
    fn through(mut self, programs: &[Program]) {
        for program in programs {
            let from = self.server.program().name();
            let before = if self.server.is_running() { Some(self.observe()) } else { None };
            self.server.kill();
            // Another program with other options; no server runs now.
            self.server.reconfigure(self.config.clone());
            self.server.restart_as(program.clone());
            let to = self.server.program().name();
            let after = self.observe();
            if let Some(before) = before {
                before.must_equal(&after, &format!("from {from} to {to}"));
            }
            self.check_sessions();
            self.work();
            self.check_digests(to);
        }
    }

    fn observe(&self) -> Observed {
        let mut session = Session::open(self.server.socket_addr(), TIMEOUT_MS).expect("a session");
        session.authenticate("digest", SUPER.as_bytes()).expect("the super user");
        let tree = dump(&mut session, "/").expect("the tree");
        session.close().expect("closeSession");
        Observed { tree, digests: digests(&self.server.four_letter("hash")) }
    }

    /// The server knows the sessions of earlier servers, and those still own their nodes.
    fn check_sessions(&self) {
        for (number, (id, password)) in self.sessions.iter().enumerate() {
            let mut session =
                Session::resume(self.server.socket_addr(), TIMEOUT_MS, *id, *password)
                    .unwrap_or_else(|error| panic!("session {id} is not known any more: {error}"));
            let own = session.ephemerals("/").expect("getEphemerals");
            assert_eq!(own.len(), 3, "nodes of session {number}: {own:?}");
        }
    }

    fn check_digests(&self, name: &str) {
        let mntr = self.server.four_letter("mntr");
        let count = mntr.lines().find_map(|line| line.strip_prefix("zk_digest_mismatches_count\t"));
        assert_eq!(count, Some("0"), "digest mismatches of {name}");
    }

    fn has_snapshot_named(&self, suffix: &str) -> bool {
        fs::read_dir(self.server.data_dir().join("version-2")).expect("the data folder").any(
            |entry| {
                let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
                name.starts_with("snapshot.") && name.ends_with(suffix)
            },
        )
    }

    /// Makes nodes of every kind, ACLs, sessions, multis, errors, large values, and many further nodes.
    fn work(&mut self) {
        self.stations += 1;
        let address = self.server.socket_addr();
        let root = format!("/station-{}", self.stations);
        let path = |name: &str| format!("{root}/{name}");
        let mut session = Session::open(address, TIMEOUT_MS).expect("a session");
        session.authenticate("digest", ANN.as_bytes()).expect("digest");
        let create = |session: &mut Session, name: &str, data: Option<&[u8]>, flags| {
            session.create(&path(name), data, OPEN_ACL, flags).expect("create")
        };
        session.create(&root, Some(b"root"), OPEN_ACL, 0).expect("create");
        create(&mut session, "null", None, 0);
        create(&mut session, "empty", Some(b""), 0);
        create(&mut session, "é 日本", Some("ü".as_bytes()), 0);
        create(&mut session, "large", Some(&vec![7; LARGE_BYTES]), 0);
        for _ in 0..3 {
            create(&mut session, "s-", Some(b"s"), 2);
        }
        work_on_acls(&mut session, &root);
        work_on_kinds(&mut session, &root);
        work_on_multis(&mut session, &root);

        // One session stays, and one closes.
        let mut staying = Session::open(address, TIMEOUT_MS).expect("a session");
        for name in ["e1", "e2"] {
            create(&mut staying, name, Some(b"e"), 1);
        }
        create(&mut staying, "es-", None, 3);
        self.sessions.push((staying.id(), staying.password()));
        let mut closing = Session::open(address, TIMEOUT_MS).expect("a session");
        create(&mut closing, "gone", Some(b"e"), 1);
        create(&mut closing, "gone-", Some(b"e"), 3);
        closing.close().expect("closeSession");

        for number in 0..FILLING {
            let name = path(&format!("f{}", number % 50));
            let data = vec![b'f'; number % 300];
            let body = Body::set_data(&name, Some(&data), -1);
            match session.call(OpCode::SetData, &body) {
                Ok(_) => {}
                Err(error) if error.is(ErrorCode::NoNode) => {
                    session.create(&name, Some(&data), OPEN_ACL, 0).expect("create");
                }
                Err(error) => panic!("setData {name}: {error:?}"),
            }
        }
        for number in 0..10 {
            session.delete(&path(&format!("f{number}")), -1).expect("delete");
        }
        session.close().expect("closeSession");
    }
}

fn work_on_acls(session: &mut Session, root: &str) {
    let ann = digest_of(ANN);
    let acls: [&[(i32, &str, &str)]; 5] = [
        &[(31, "digest", &ann)],
        &[(31, "auth", "")],
        &[(1, "world", "anyone"), (31, "ip", "127.0.0.0/8")],
        &[(31, "ip", "10.1.2.3"), (31, "digest", &ann)],
        &[(0, "world", "anyone")],
    ];
    for (number, acl) in acls.iter().enumerate() {
        let path = format!("{root}/acl{number}");
        session.create(&path, Some(b"a"), acl, 0).expect("create");
    }
    let path = format!("{root}/acl-set");
    session.create(&path, None, OPEN_ACL, 0).expect("create");
    for acl in [&acls[0], &acls[1], &acls[0]] {
        session.set_acl(&path, acl, -1).expect("setACL");
    }
    // The log also holds refused requests.
    let refused = session.set_acl(&path, &[(1, "nobody", "x")], -1);
    assert_eq!(refused.map(|_| ()), Err(SessionError::Refused(ErrorCode::InvalidAcl.code())));
}

fn work_on_kinds(session: &mut Session, root: &str) {
    let call = |session: &mut Session, op: OpCode, body: Body| {
        session.call(op, &body).unwrap_or_else(|error| panic!("{}: {error:?}", op.name()));
    };
    let container = format!("{root}/container");
    call(session, OpCode::CreateContainer, Body::create(&container, Some(b"c"), OPEN_ACL, 4));
    session.create(&format!("{container}/child"), None, OPEN_ACL, 0).expect("create");
    let unused = format!("{root}/container-unused");
    call(session, OpCode::CreateContainer, Body::create(&unused, None, OPEN_ACL, 4));
    let ttl = format!("{root}/ttl");
    let body = Body::create_ttl(&ttl, Some(b"t"), OPEN_ACL, 5, 86_400_000);
    call(session, OpCode::CreateTtl, body);
    let body = Body::create_ttl(&format!("{root}/ttl-"), None, OPEN_ACL, 6, 0xff_ffff_ffff);
    call(session, OpCode::CreateTtl, body);
    let versions = format!("{root}/versions");
    session.create(&versions, Some(b"0"), OPEN_ACL, 0).expect("create");
    for version in 0..5 {
        session.set_data(&versions, Some(b"v"), version).expect("setData");
    }
    let refusals = [
        (session.set_data(&versions, None, 77).map(|_| ()), ErrorCode::BadVersion),
        (session.delete(&format!("{root}/nothing"), -1), ErrorCode::NoNode),
        (session.delete(&container, -1), ErrorCode::NotEmpty),
        (session.create(&versions, None, OPEN_ACL, 0).map(|_| ()), ErrorCode::NodeExists),
    ];
    for (outcome, code) in refusals {
        assert_eq!(outcome, Err(SessionError::Refused(code.code())));
    }
    // This node is created and deleted, which changes the counters of its parent.
    let short = format!("{root}/short");
    session.create(&short, None, OPEN_ACL, 0).expect("create");
    session.delete(&short, 0).expect("delete");
}

fn work_on_multis(session: &mut Session, root: &str) {
    let path = |name: &str| format!("{root}/{name}");
    let good = Body::new()
        .multi_op(1, &Body::create(&path("m1"), Some(b"m"), OPEN_ACL, 0))
        .multi_op(15, &Body::create(&path("ms-"), Some(b"m"), OPEN_ACL, 2))
        .multi_op(19, &Body::create(&path("mc"), None, OPEN_ACL, 4))
        .multi_op(21, &Body::create_ttl(&path("mt"), None, OPEN_ACL, 5, 86_400_000))
        .multi_op(5, &Body::set_data(&path("m1"), Some(b"m2"), 0))
        .multi_op(13, &Body::path_version(&path("m1"), 1))
        .multi_op(2, &Body::path_version(&path("mc"), -1))
        .multi_end();
    session.call(OpCode::Multi, &good).expect("multi");
    let bad = Body::new()
        .multi_op(1, &Body::create(&path("never"), Some(b"m"), OPEN_ACL, 0))
        .multi_op(13, &Body::path_version(&path("m1"), 99))
        .multi_end();
    session.call(OpCode::Multi, &bad).expect("a failed multi has an answer without an error");
    assert_eq!(session.exists(&path("never"), false), Ok(None));
    session.call(OpCode::Multi, &Body::new().multi_end()).expect("a multi of nothing");
}

/// The state that a server serves.
struct Observed {
    tree: Tree,
    /// Digests by zxid.
    digests: BTreeMap<String, String>,
}

impl Observed {
    fn must_equal(&self, other: &Observed, way: &str) {
        if let Some(difference) = first_difference(&self.tree, &other.tree) {
            panic!("{way}: {difference}");
        }
        // A server keeps digests since its start, including those of the replayed log.
        for (zxid, digest) in &self.digests {
            if let Some(theirs) = other.digests.get(zxid) {
                assert_eq!(digest, theirs, "{way}: the digest of zxid {zxid}");
            }
        }
    }
}

/// The lines `zxid: digest` of the word `hash`.
fn digests(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.split_once(": "));
    pairs.map(|(zxid, digest)| (zxid.trim().to_owned(), digest.trim().to_owned())).collect()
}
