//! Agents that operators of ZooKeeper run, on a real server: Debian's Prometheus and collectd, and the pattern by which
//! telegraf reads each line of `mntr`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "the tests of the AdminServer use all of it")]
#[path = "admin_server/http.rs"]
mod http;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::get;
use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Program, Server, free_port};

const LIMIT: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Agent(Child);

impl Agent {
    fn start(command: &mut Command) -> Agent {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Agent(child.unwrap_or_else(|error| panic!("{command:?}: {error}; run `cargo xtask setup`")))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < patience, "{what}: it does not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ours() -> Program {
    Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into())
}

/// A server with three nodes more than an empty one, and a client.
fn server(config: Config) -> (Server, Session) {
    let server = Server::start(ours(), config);
    let mut client = Session::open(server.socket_addr(), 30_000).unwrap();
    for path in ["/a", "/b", "/c"] {
        client.create(path, Some(b"x"), OPEN_ACL, 0).unwrap();
    }
    (server, client)
}

/// The value that a Prometheus has of an expression, if it is one number.
fn value_of(prometheus: u16, expression: &str) -> Option<String> {
    let answer = get(prometheus, &format!("/api/v1/query?query={expression}"));
    assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
    // The text may be in chunks; it is one line all the same.
    let (from, to) = (answer.body.find('{')?, answer.body.rfind('}')?);
    let json: serde_json::Value = serde_json::from_str(&answer.body[from..=to]).unwrap();
    Some(json["data"]["result"][0]["value"][1].as_str()?.to_owned())
}

#[test]
fn prometheus_scrapes_a_server_and_answers_what_dashboards_ask() {
    let port = free_port();
    let config = Config::new()
        .line("metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
        .line("metricsProvider.httpHost=127.0.0.1")
        .line(&format!("metricsProvider.httpPort={port}"));
    let (_server, _client) = server(config);
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: zookeeper\n  static_configs: [{{targets: \
         ['127.0.0.1:{port}']}}]\n"
    );
    fs::write(&settings, text).unwrap();
    let prometheus = free_port();
    let _agent = Agent::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{prometheus}")),
    );
    wait_until("Prometheus", || std::net::TcpStream::connect(("127.0.0.1", prometheus)).is_ok());
    wait_until("a scrape", || value_of(prometheus, "up").as_deref() == Some("1"));
    for (expression, value) in [
        ("znode_count", "8"),
        ("num_alive_connections", "1"),
        ("op_count_create", "3"),
        ("updatelatency_count%20%3E=%20bool%203", "1"),
        ("outstanding_requests", "0"),
        // As rules of alarms have them.
        ("open_file_descriptor_count%20%3C%20bool%20max_file_descriptor_count", "1"),
    ] {
        wait_until(expression, || value_of(prometheus, expression).as_deref() == Some(value));
    }
    let quantile = value_of(prometheus, "updatelatency%7Bquantile=%220.99%22%7D").unwrap();
    assert!(quantile.parse::<f64>().unwrap() > 0.0, "{quantile}");
}

#[test]
fn collectd_reads_mntr() {
    let (server, _client) = server(Config::new());
    // collectd refuses folders whose names begin with a dot.
    let folder = tempfile::Builder::new().prefix("collectd-").tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("csv")).unwrap();
    let text = format!(
        "Hostname \"here\"\nBaseDir \"{0}\"\nPIDFile \"{0}/pid\"\nPluginDir \"/usr/lib/collectd\"\nTypesDB \
         \"/usr/share/collectd/types.db\"\nInterval 1\nLoadPlugin zookeeper\nLoadPlugin csv\n<Plugin csv>\nDataDir \
         \"{0}/csv\"\n</Plugin>\n<Plugin \"zookeeper\">\nHost \"127.0.0.1\"\nPort \"{1}\"\n</Plugin>\n",
        folder.path().display(),
        server.port()
    );
    fs::write(at("collectd.conf"), text).unwrap();
    let _agent =
        Agent::start(Command::new("collectd").arg("-f").arg("-C").arg(at("collectd.conf")));
    let values = |kind: &str| -> Vec<f64> {
        let files = fs::read_dir(at("csv/here/zookeeper")).into_iter().flatten().flatten();
        let of_kind = |path: &Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind))
        };
        let texts =
            files.map(|file| file.path()).filter(|path| of_kind(path)).map(fs::read_to_string);
        let texts: Vec<String> = texts.map(Result::unwrap).collect();
        texts
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|it| it.split(',').nth(1)?.parse().ok())
            .collect()
    };
    for (kind, value) in
        [("gauge-znode", 8.0), ("gauge-ephemerals", 0.0), ("requests-outstanding", 0.0)]
    {
        wait_until(kind, || values(kind).contains(&value));
    }
    wait_until("descriptors", || values("file_handles-open").iter().any(|open| *open > 5.0));
}

/// Whether telegraf takes a line: `^zk_(\w[\w\.\-]*)\s+([\w\.\-]+)`. It drops the whole answer otherwise.
fn telegraf_takes(line: &str) -> bool {
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let is_part = |it: char| is_word(it) || it == '.' || it == '-';
    let Some((name, value)) = line.strip_prefix("zk_").and_then(|rest| rest.split_once('\t'))
    else {
        return false;
    };
    name.starts_with(is_word) && name.chars().all(is_part) && value.starts_with(is_part)
}

#[test]
fn every_line_of_mntr_is_one_that_the_strictest_agents_take() {
    let mut ensemble = Ensemble::prepare(
        &[
            (ours(), PeerType::Participant),
            (ours(), PeerType::Participant),
            (ours(), PeerType::Participant),
            (ours(), PeerType::Observer),
        ],
        // With the provider on, ZooKeeper puts labels into mntr, which breaks them.
        Config::new()
            .line("metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider")
            .line("metricsProvider.httpHost=127.0.0.1")
            .line("metricsProvider.httpPort=0"),
    );
    ensemble.start_all();
    let mut states = std::collections::BTreeSet::new();
    for id in [1, 2, 3, 4] {
        let text = ensemble.server(id).four_letter("mntr");
        for line in text.lines() {
            assert!(telegraf_takes(line), "{line:?}");
            let (name, value) = line.split_once('\t').unwrap();
            let is_text =
                ["zk_version", "zk_server_state", "zk_peer_state", "zk_observer_master_id"];
            let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
            assert!(is_number || is_text.contains(&name), "{line:?}");
        }
        let state = text.lines().find_map(|line| line.strip_prefix("zk_server_state\t"));
        states.insert(state.unwrap().to_owned());
    }
    assert_eq!(states.into_iter().collect::<Vec<_>>(), ["follower", "leader", "observer"]);
}
