//! The answers to four-letter words, compared with recorded answers of ZooKeeper.

use super::*;
use crate::id::ConnectionId;
use crate::metrics::process::FileDescriptors;
use crate::replica::Latency;

const ZOOKEEPER_3_8: &str =
    include_str!("../../../tests/golden/four_letter_words/zookeeper-3.8.0.txt");
const ZOOKEEPER_3_10: &str =
    include_str!("../../../tests/golden/four_letter_words/zookeeper-3.10-head.txt");

/// The recorded answer of ZooKeeper to `word`.
fn golden<'a>(file: &'a str, word: &str) -> &'a str {
    let (_, rest) = file.split_once(&format!("===== {word}\n")).unwrap();
    rest.split_once("<EOF>").unwrap().0
}

/// The lines in sorted order, because ZooKeeper lists connections in the order of a hash table.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.sort_unstable();
    lines
}

/// The text with our version in place of ZooKeeper's.
fn with_our_version(text: &str) -> String {
    let line = |line: &str| match line.split_once("ersion: ") {
        Some((key, _)) => format!("{key}ersion: {}", full_version()),
        None => line.to_owned(),
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn conf_facts(port: i32) -> ConfFacts {
    ConfFacts {
        client_port: port,
        secure_client_port: -1,
        data_dir: "/var/lib/zookeeper-2".into(),
        data_log_dir: "/var/lib/zookeeper-2".into(),
        tick_ms: 2000,
        client_connections_max: 60,
        session_timeout_ms_min: 4000,
        session_timeout_ms_max: 40_000,
        listen_backlog: -1,
        server_id: 0,
    }
}

/// A client as the golden file shows it.
fn client(port: u16, latency: (u64, u64, u64, u64), est: i64, resp: i64) -> ConnectionFacts {
    let (last, min, mean, max) = latency;
    ConnectionFacts {
        conn: ConnectionId(1),
        remote: SocketAddr::from(([127, 0, 0, 1], port)),
        session: Some(SessionId(0x0100_0012_5a9c_0000)),
        timeout_ms: 10_000,
        established: WallMs(est),
        queued: 0,
        received: 5,
        sent: 5,
        last_op: "EXIS",
        last_cxid: 4,
        last_zxid: Zxid(3),
        last_response: WallMs(resp),
        latency_ms: Latency { count: 5, sum: 5 * mean + 1, min, max, last },
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn gauges() -> Gauges {
    Gauges {
        znodes: 7,
        watches: 2,
        ephemerals: 1,
        data_bytes: 50,
        sessions_global: 1,
        sessions_local: 0,
        connections: 2,
        requests_outstanding: 0,
        uptime_ms: 5950,
        file_descriptors: FileDescriptors { open: Some(63), max: Some(20_000) },
        connections_refused: 0,
        handshakes: crate::metrics::HandshakeFigures::default(),
        link_handshakes: crate::metrics::HandshakeFigures::default(),
        certificate_days: crate::metrics::CertificateDays::default(),
        drop_probability: 0.0,
        digest_mismatches: 0,
        disk_is_full: false,
        audit_dropped: 0,
    }
}

fn stats(received: u64, sent: u64) -> Stats {
    let mut stats = Stats::new(WallMs(0), MonoUs(0));
    stats.packets_received = received;
    stats.packets_sent = sent;
    stats.latency_ms = Latency { count: 5, sum: 13, min: 0, max: 6, last: 2 };
    stats
}

#[test]
fn conf_and_dirs_are_zookeepers() {
    let bytes = FolderBytes { data: 66_009, log: 66_009 };
    assert_eq!(conf(&conf_facts(23_938), bytes), golden(ZOOKEEPER_3_8, "conf"));
    assert_eq!(dirs(bytes), golden(ZOOKEEPER_3_8, "dirs"));
    let bytes = FolderBytes { data: 66_030, log: 66_030 };
    assert_eq!(conf(&conf_facts(23_910), bytes), golden(ZOOKEEPER_3_10, "conf"));
}

#[test]
fn cons_is_zookeepers() {
    let client = client(37_402, (2, 0, 2, 6), 1_795_163_301_145, 1_208_696);
    let ours = cons(&[client], loopback(37_418));
    assert_eq!(sorted(&ours), sorted(golden(ZOOKEEPER_3_8, "cons")));
    assert!(ours.ends_with(")\n\n"));
}

#[test]
fn a_connection_without_a_session_is_told_in_brief() {
    let mut fresh = client(1, (0, 0, 0, 0), 0, 0);
    fresh.session = None;
    let mut out = String::new();
    connection(&mut out, &fresh, false);
    assert_eq!(out, " /127.0.0.1:1[1](queued=0,recved=5,sent=5)\n");
}

#[test]
fn addresses_are_printed_as_java_prints_them() {
    for (address, text) in [
        ("10.1.2.3:2181", "/10.1.2.3:2181"),
        ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
        ("[2001:db8::a]:5", "/[2001:db8:0:0:0:0:0:a]:5"),
        ("[::ffff:10.1.2.3]:2181", "/10.1.2.3:2181"),
    ] {
        assert_eq!(JavaAddress(address.parse().unwrap()).to_string(), text);
    }
}

#[test]
fn srvr_and_stat_are_zookeepers_but_for_the_version() {
    let gauges = gauges();
    let (stalls, held) = (Stalls::default(), Held::default());
    let brief = |stats| Brief {
        stats,
        gauges: &gauges,
        stalls: &stalls,
        held: &held,
        zxid: Zxid(3),
        mode: Mode::Standalone,
        proposal_sizes: None,
    };
    let counted = stats(16, 16);
    let ours = srvr(&brief(&counted), None);
    assert_eq!(ours, with_our_version(golden(ZOOKEEPER_3_8, "srvr")));
    let client = client(37_402, (2, 0, 2, 6), 0, 0);
    let clients = [client];
    let counted = stats(17, 17);
    let ours = srvr(&brief(&counted), Some((&clients, loopback(37_522))));
    let theirs = with_our_version(golden(ZOOKEEPER_3_8, "stat"));
    assert_eq!(sorted(&ours), sorted(&theirs));
    assert!(ours.starts_with(&theirs[..theirs.find("/127").unwrap()]));
}

#[test]
fn other_modes_say_more() {
    let gauges = gauges();
    let stats = stats(0, 0);
    let of = |mode| {
        let proposal_sizes = (mode == Mode::Leader).then(ProposalSizes::default);
        let zxid = Zxid(3);
        let stalls = &Stalls::default();
        srvr(
            &Brief {
                stats: &stats,
                gauges: &gauges,
                stalls,
                held: &Held::default(),
                zxid,
                mode,
                proposal_sizes,
            },
            None,
        )
    };
    assert!(of(Mode::ReadOnly).contains("\nREAD-ONLY mode; serving only read-only clients\n"));
    assert!(
        of(Mode::Leader)
            .ends_with("Mode: leader\nNode count: 7\nProposal sizes last/min/max: -1/-1/-1\n")
    );
    assert_eq!(
        (isro(Some(Mode::ReadOnly)), isro(Some(Mode::Leader)), isro(None)),
        ("ro", "rw", "null")
    );
}

#[test]
fn dump_is_zookeepers() {
    let session = SessionId(0x0100_0012_5a9c_0000);
    let at = WallMs(1_795_163_312_000);
    let ours = dump(
        &session_sets(&[(at, vec![session])]),
        [(session, ["/e"].into_iter())].into_iter(),
        &[(at, vec![(loopback(37_402), session), (loopback(37_436), SessionId::NONE)])],
    );
    assert_eq!(ours.unwrap(), golden(ZOOKEEPER_3_8, "dump"));
}

#[test]
fn lines_of_paths_end_where_an_answer_is_too_long() {
    let path = "p".repeat(1 << 20);
    let session = SessionId(1);
    let few = limits::WORD_BYTES_MAX / path.len() - 1;
    for (count, is_good) in [(few, true), (few + 2, false), (1000 * few, false)] {
        let paths = || std::iter::repeat_n(path.as_str(), count);
        let (mut by_session, mut by_path) = (Lines::default(), Lines::default());
        by_session.wchc(session, paths());
        paths().for_each(|path| by_path.wchp(path, [session].into_iter()));
        assert!(by_session.text.capacity() <= 2 * limits::WORD_BYTES_MAX);
        assert_eq!(by_session.end("").is_ok(), is_good, "{count}");
        assert_eq!(by_path.end("").is_ok(), is_good, "{count}");
        let dump = dump("", [(session, paths())].into_iter(), &[]);
        assert_eq!(dump.is_ok(), is_good, "{count}");
    }
}

#[test]
fn watches_are_told_as_zookeeper_tells_them() {
    let session = SessionId(0x0100_0012_5a9c_0000);
    assert_eq!(wchs(1, 2, 2), golden(ZOOKEEPER_3_8, "wchs"));
    let (mut by_session, mut by_path) = (Lines::default(), Lines::default());
    by_session.wchc(session, ["/a", "/zz"].into_iter());
    assert_eq!(by_session.end("\n").unwrap(), golden(ZOOKEEPER_3_8, "wchc"));
    ["/a", "/zz"].into_iter().for_each(|path| by_path.wchp(path, [session].into_iter()));
    assert_eq!(by_path.end("\n").unwrap(), golden(ZOOKEEPER_3_8, "wchp"));
}

#[test]
fn digests_are_told_by_zxid() {
    let text = hash([(Zxid(0x80), -5), (Zxid(0x1_0000_0100), 7)].into_iter());
    assert_eq!(text, "80: -5\n100000100: 7\n");
}

#[test]
fn the_environment_has_zookeepers_keys_but_for_javas() {
    let machine = Machine {
        host_name: "localhost".into(),
        os_name: "Linux".into(),
        os_arch: "amd64".into(),
        os_version: "6.18.44-fc-v657".into(),
        user_name: "root".into(),
        user_home: Some("/var/lib/zookeeper".into()),
        user_dir: None,
    };
    let ours = envi(&machine, Memory { available_mib: 248, total_mib: 256 });
    let keys = |text: &str| -> Vec<String> {
        let key = |line: &str| line.split('=').next().unwrap_or_default().to_owned();
        text.lines().map(key).filter(|key| !key.starts_with("java.")).collect()
    };
    assert_eq!(keys(&ours), keys(golden(ZOOKEEPER_3_8, "envi")));
    assert!(ours.contains("\nos.memory.free=248MB\n") && ours.contains("\nuser.dir=<NA>\n"));
}

/// The metric in a line of `mntr`, without its statistic.
fn metric(line: &str) -> &str {
    let name = line.split('\t').next().unwrap().strip_prefix("zk_").unwrap();
    match name.split_once('_') {
        Some(("avg" | "min" | "max" | "cnt" | "sum" | "p50" | "p95" | "p99" | "p999", rest))
            if !matches!(rest, "latency" | "client_response_size" | "file_descriptor_count") =>
        {
            rest
        }
        _ => name,
    }
}

#[test]
fn each_metric_of_zookeeper_is_told_or_explained_and_none_twice() {
    let gauges = gauges();
    let stats = stats(14, 12);
    let brief = Brief {
        stats: &stats,
        gauges: &gauges,
        stalls: &Stalls::default(),
        held: &Held::default(),
        zxid: Zxid(3),
        mode: Mode::Standalone,
        proposal_sizes: None,
    };
    let ours = mntr(&brief, None, MonoUs(0));
    let mut names: Vec<&str> = ours.lines().map(|line| line.split('\t').next().unwrap()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all, "a name stands twice");
    let explained = |name: &str| {
        let mut known = metrics::WITHOUT_MEANING.iter().flat_map(|(_, names)| names.iter());
        // A metric of a namespace begins with the name of the namespace.
        known.any(|known| {
            name == *known || known.ends_with("_per_namespace") && name.ends_with(known)
        })
    };
    for line in golden(ZOOKEEPER_3_10, "mntr").lines().chain(golden(ZOOKEEPER_3_8, "mntr").lines())
    {
        let name = line.split('\t').next().unwrap();
        let told = names.binary_search(&name).is_ok();
        let explained = explained(metric(line));
        assert!(told || explained, "{name} is neither told nor explained");
        assert!(!(told && explained), "{name} is told although it is said to have no meaning");
    }
    for line in ours.lines() {
        let golden = golden(ZOOKEEPER_3_10, "mntr");
        let name = line.split('\t').next().unwrap();
        let known = golden.contains(&format!("{name}\t"));
        let own = metrics::STALLS_OWN.contains(&metric(line))
            || metrics::HELD_OWN.contains(&metric(line))
            || metrics::ROOM_OWN.contains(&metric(line))
            || metrics::AUDIT_OWN.contains(&metric(line))
            || metrics::LINKS_OWN.contains(&metric(line))
            || metrics::CERTIFICATES_OWN.contains(&metric(line));
        assert!(known != own, "{name} is not ZooKeeper's, or is and is said to be ours");
    }
}

#[test]
fn metrics_have_zookeepers_numbers_in_zookeepers_form() {
    let gauges = gauges();
    let mut stats = stats(14, 12);
    (stats.response_bytes_last, stats.response_bytes_min, stats.response_bytes_max) = (16, 16, 89);
    for us in [1_000, 4_000, 6_000] {
        stats.update_latency_us.record(us).unwrap();
    }
    let brief = Brief {
        stats: &stats,
        gauges: &gauges,
        stalls: &Stalls::default(),
        held: &Held::default(),
        zxid: Zxid(3),
        mode: Mode::Standalone,
        proposal_sizes: None,
    };
    let ours = mntr(&brief, None, MonoUs(0));
    let value = |text: &str, name: &str| -> String {
        let line = text.lines().find(|line| line.split('\t').next() == Some(name));
        line.unwrap_or_else(|| panic!("no line {name}")).split('\t').nth(1).unwrap().to_owned()
    };
    let theirs = golden(ZOOKEEPER_3_8, "mntr");
    for name in [
        "zk_server_state",
        "zk_avg_latency",
        "zk_min_latency",
        "zk_max_latency",
        "zk_znode_count",
        "zk_watch_count",
        "zk_ephemerals_count",
        "zk_approximate_data_size",
        "zk_open_file_descriptor_count",
        "zk_max_file_descriptor_count",
        "zk_uptime",
        "zk_packets_received",
        "zk_packets_sent",
        "zk_num_alive_connections",
        "zk_global_sessions",
        "zk_connection_drop_probability",
        "zk_max_client_response_size",
        "zk_min_client_response_size",
        "zk_last_client_response_size",
        "zk_p50_updatelatency",
        "zk_p999_updatelatency",
        "zk_cnt_updatelatency",
        "zk_sum_updatelatency",
        "zk_min_updatelatency",
        "zk_max_updatelatency",
    ] {
        assert_eq!(value(&ours, name), value(theirs, name), "{name}");
    }
    // The mean of a histogram is computed from its buckets.
    let mean: f64 = value(&ours, "zk_avg_updatelatency").parse().unwrap();
    assert!((mean - 3.6667).abs() < 0.04, "{mean}");
}
