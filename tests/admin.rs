//! The answers to four-letter words about a replica with one session, an ephemeral node and two watches: the same
//! state as in the recorded answers of ZooKeeper.

#[allow(dead_code, reason = "the fuzz targets use all of it")]
#[path = "../fuzz/src/disk.rs"]
mod disk;

use std::net::SocketAddr;

use disk::Disk;
use ringkeeper::admin::{Asking, ConfFacts, Desk, FourLetterWord, Whitelist};
use ringkeeper::id::{ConnectionId, SessionId, Zxid};
use ringkeeper::jute::{Jute, VectorBuf};
use ringkeeper::metrics::process::Machine;
use ringkeeper::metrics::{Held, Stalls};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::ConnectRequest;
use ringkeeper::proto::data::{AclEntry, Id, perms};
use ringkeeper::proto::request::{CreateRequest, PathWatch, RequestBody, RequestHeader};
use ringkeeper::recovery::{MemoryFolder, RecoveryOptions, recover};
use ringkeeper::replica::{Output, Replica, ReplicaOptions};
use ringkeeper::time::{MonoUs, Now, WallMs};

const CLIENT: ConnectionId = ConnectionId(1);
const ASKER: ConnectionId = ConnectionId(2);

struct Bench {
    replica: Replica,
    disk: Disk,
    desk: Desk,
    now: Now,
    folder: tempfile::TempDir,
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Bench {
    /// A replica after a connect, two creates, two reads that set watches, and one connection without a session.
    fn new(whitelist: &str) -> Bench {
        let mut options = ReplicaOptions { tick_ms: 2000, ..ReplicaOptions::default() };
        options.txnlog.segment_bytes = 4 << 20;
        let recovered = recover(&MemoryFolder::new(), &RecoveryOptions::default(), &mut |_| {});
        let recovered = recovered.expect("an empty folder is an empty database");
        let now = Now { wall: WallMs(1_795_163_301_000), mono: MonoUs(5_000_000) };
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().display().to_string();
        let conf = ConfFacts {
            client_port: 2181,
            secure_client_port: -1,
            data_dir: path.clone(),
            data_log_dir: path,
            tick_ms: 2000,
            client_connections_max: 60,
            session_timeout_ms_min: 4000,
            session_timeout_ms_max: 40_000,
            listen_backlog: -1,
            server_id: 0,
        };
        let desk = Desk {
            whitelist: Whitelist::new(Some(whitelist), false),
            conf,
            machine: Machine::read(),
            stalls: Stalls::default(),
            held: Held::default(),
            connections_refused: 0,
            audit_dropped: 0,
            handshakes: ringkeeper::metrics::HandshakeFigures::default(),
            link_handshakes: ringkeeper::metrics::HandshakeFigures::default(),
            certificate_days: ringkeeper::metrics::CertificateDays::default(),
            ensemble: None,
        };
        let replica = Replica::new(options, recovered, now, 7);
        let mut bench = Bench { replica, disk: Disk::default(), desk, now, folder };
        bench.settle();
        bench.replica.handle_open(bench.now, CLIENT, address(40_001));
        let connect = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 10_000,
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        bench.send(&connect.to_bytes());
        let mut acl: VectorBuf<AclEntry<'static>> = VectorBuf::default();
        let id = Id { scheme: Some("world"), id: Some("anyone") };
        acl.push(&AclEntry { perms: perms::ALL, id });
        for (xid, path, flags) in [(1, "/a", 0), (2, "/e", 1)] {
            let acl = acl.as_vector();
            let create = CreateRequest { path: Some(path), data: Some(b"x"), acl, flags };
            bench.request(xid, OpCode::Create, &RequestBody::Create(create));
        }
        for (xid, op, path) in [(3, OpCode::GetData, "/a"), (4, OpCode::Exists, "/zz")] {
            let read = PathWatch { path: Some(path), watch: true };
            bench.request(xid, op, &RequestBody::PathWatch(read));
        }
        bench.replica.handle_open(bench.now, ASKER, address(40_002));
        bench
    }

    fn request(&mut self, xid: i32, op: OpCode, body: &RequestBody<'_>) {
        let mut payload = RequestHeader { xid, op: op.number() }.to_bytes();
        body.encode(op, &mut payload);
        self.send(&payload);
    }

    fn send(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a small frame");
        let frame = [&length.to_be_bytes(), payload].concat();
        self.replica.handle_frames(self.now, CLIENT, &frame);
        self.settle();
    }

    fn settle(&mut self) {
        let mut output = Output::default();
        loop {
            self.replica.take_output(&mut output);
            assert_eq!(output.fatal, None);
            self.disk.submit(output.ops.drain(..));
            output.sends.clear();
            let Some(completion) = self.disk.perform() else { return };
            // Each operation of the disk takes a millisecond.
            self.now.mono = self.now.mono.plus_ms(1);
            self.replica.handle_completion(self.now, completion);
        }
    }

    fn ask(&mut self, word: &[u8; 4]) -> String {
        let word = FourLetterWord::parse(*word).expect("a word");
        let asking = Asking { conn: Some(ASKER), remote: address(40_002) };
        self.desk.answer(word, 5i64.to_be_bytes(), &mut self.replica, asking, self.now)
    }

    fn session(&self) -> SessionId {
        self.replica.connection(CLIENT).and_then(|facts| facts.session).expect("a session")
    }
}

/// The value of a line of `mntr`.
fn metric(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    line.unwrap_or_else(|| panic!("no line {name} in\n{text}")).to_owned()
}

#[test]
fn connections_are_told_with_their_sessions() {
    let mut bench = Bench::new("*");
    let session = bench.session();
    let text = bench.ask(b"cons");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let start =
        format!(" /127.0.0.1:40001[1](queued=0,recved=5,sent=5,sid={session},lop=EXIS,est=");
    assert!(lines[0].starts_with(&start), "{text}");
    assert!(lines[0].contains(",to=10000,lcxid=0x4,lzxid=0x3,lresp="), "{text}");
    assert!(lines[0].ends_with(')'), "{text}");
    assert_eq!(lines[1], " /127.0.0.1:40002[0](queued=0,recved=1,sent=0)");
    assert_eq!(lines[2], "");
}

#[test]
fn srvr_stat_and_mntr_agree() {
    let mut bench = Bench::new("*");
    let srvr = bench.ask(b"srvr");
    assert!(srvr.starts_with("Zookeeper version: 3.9.4-"), "{srvr}");
    assert!(srvr.contains("\nReceived: 5\nSent: 5\nConnections: 2\nOutstanding: 0\nZxid: 0x3\n"));
    assert!(srvr.ends_with("\nMode: standalone\nNode count: 7\n"), "{srvr}");
    let stat = bench.ask(b"stat");
    assert!(
        stat.contains("\nClients:\n /127.0.0.1:40001[1](queued=0,recved=5,sent=5)\n"),
        "{stat}"
    );
    assert!(stat.ends_with("\nMode: standalone\nNode count: 7\n"), "{stat}");
    let mntr = bench.ask(b"mntr");
    for (name, value) in [
        ("zk_server_state", "standalone"),
        ("zk_znode_count", "7"),
        ("zk_ephemerals_count", "1"),
        ("zk_watch_count", "2"),
        ("zk_global_sessions", "1"),
        ("zk_num_alive_connections", "2"),
        ("zk_packets_received", "5"),
        ("zk_op_count_create", "2"),
        ("zk_op_count_get_data", "1"),
        ("zk_op_count_exists", "1"),
        ("zk_op_count_create_session", "1"),
        ("zk_connection_request_count", "1"),
        ("zk_cnt_readlatency", "2"),
        ("zk_cnt_updatelatency", "3"),
        ("zk_cnt_fsynctime", "3"),
        ("zk_cnt_snapshottime", "1"),
        ("zk_digest_mismatches_count", "0"),
    ] {
        assert_eq!(metric(&mntr, name), value, "{name}");
    }
    assert!(mntr.lines().all(|line| line.starts_with("zk_") && line.contains('\t')), "{mntr}");
}

#[test]
fn dump_tells_sessions_ephemerals_and_connections() {
    let mut bench = Bench::new("*");
    let session = bench.session();
    let text = bench.ask(b"dump");
    let expires = text.lines().nth(2).expect("the third line").to_owned();
    assert!(expires.starts_with("1 expire at Fri Nov 20 ") && expires.ends_with(" UTC 2026:"));
    let at = &expires[1..];
    assert_eq!(
        text,
        format!(
            "SessionTracker dump:\nSession Sets (1)/(1):\n1{at}\n\t{session}\n\
             ephemeral nodes dump:\nSessions with Ephemerals (1):\n{session}:\n\t/e\n\
             Connections dump:\nConnections Sets (1)/(2):\n2{at}\n\
             \tip: /127.0.0.1:40001 sessionId: {session}\n\
             \tip: /127.0.0.1:40002 sessionId: 0x0\n"
        )
    );
}

#[test]
fn watches_are_told_by_session_and_by_path() {
    let mut bench = Bench::new("*");
    let session = bench.session();
    assert_eq!(bench.ask(b"wchs"), "1 connections watching 2 paths\nTotal watches:2\n");
    let by_session = bench.ask(b"wchc");
    assert!(by_session.starts_with(&format!("{session}\n\t/")), "{by_session}");
    assert!(by_session.contains("\t/a\n") && by_session.contains("\t/zz\n"), "{by_session}");
    assert!(by_session.ends_with("\n\n"), "{by_session}");
    let by_path = bench.ask(b"wchp");
    assert!(by_path.contains(&format!("/a\n\t{session}\n")), "{by_path}");
    assert!(by_path.contains(&format!("/zz\n\t{session}\n")), "{by_path}");
}

#[test]
fn resets_reset() {
    let mut bench = Bench::new("*");
    assert_eq!(bench.ask(b"srst"), "Server stats reset.\n");
    assert_eq!(bench.ask(b"crst"), "Connection stats reset.\n");
    let mntr = bench.ask(b"mntr");
    for name in ["zk_packets_received", "zk_cnt_updatelatency", "zk_cnt_fsynctime"] {
        assert_eq!(metric(&mntr, name), "0", "{name}");
    }
    assert_eq!(metric(&mntr, "zk_max_client_response_size"), "-1");
    assert_eq!(metric(&mntr, "zk_znode_count"), "7", "a level is no counter");
    assert!(bench.ask(b"cons").contains("(queued=0,recved=0,sent=0,sid="));
}

#[test]
fn folders_are_measured() {
    let mut bench = Bench::new("*");
    std::fs::write(bench.folder.path().join("log.1"), [0; 1234]).expect("room for a small file");
    assert_eq!(bench.ask(b"dirs"), "datadir_size: 1234\nlogdir_size: 1234\n");
    let path = bench.folder.path().display().to_string();
    assert!(bench.ask(b"conf").contains(&format!("\ndataDir={path}\ndataDirSize=1234\n")));
}

#[test]
fn small_words_have_small_answers() {
    let mut bench = Bench::new("*");
    for (word, answer) in
        [(b"ruok", "imok"), (b"isro", "rw"), (b"gtmk", "306"), (b"stmk", "5"), (b"hash", "")]
    {
        assert_eq!(bench.ask(word), answer);
    }
    assert!(bench.ask(b"envi").starts_with("Environment:\nzookeeper.version=3.9.4-"));
}

#[test]
fn digests_are_told_of_every_128th_transaction() {
    let mut bench = Bench::new("hash");
    let read_and_write = |bench: &mut Bench, xid| {
        let body = ringkeeper::proto::request::SetDataRequest {
            path: Some("/a"),
            data: Some(b"y"),
            version: -1,
        };
        bench.request(xid, OpCode::SetData, &RequestBody::SetData(body));
    };
    for xid in 5..300 {
        read_and_write(&mut bench, xid);
    }
    let text = bench.ask(b"hash");
    let zxids: Vec<&str> = text.lines().map(|line| line.split(": ").next().unwrap_or("")).collect();
    assert_eq!(zxids, ["80", "100"], "{text}");
    for line in text.lines() {
        assert!(line.split(": ").nth(1).is_some_and(|digest| digest.parse::<i64>().is_ok()));
    }
}

#[test]
fn words_outside_the_whitelist_are_refused() {
    let mut bench = Bench::new("ruok");
    assert_eq!(bench.ask(b"ruok"), "imok");
    assert_eq!(bench.ask(b"mntr"), "mntr is not executed because it is not in the whitelist.\n");
    assert!(bench.ask(b"srvr").contains("Mode: standalone"), "always allowed");
    let srst = bench.ask(b"srst");
    assert_eq!(srst, "srst is not executed because it is not in the whitelist.\n");
    assert!(bench.ask(b"srvr").contains("\nReceived: 5\n"), "refused, it resets nothing");
}
