//! The AdminServer and the port for Prometheus, asked over HTTP: answers beside those of Apache ZooKeeper, health
//! checks, and clients that ask for more than they should get.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod hostile;
mod http;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use http::{Answer, get};
use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Server};
use serde_json::Value;

/// Answers of Apache ZooKeeper's AdminServer, a command each, about a server with one client, which has a watch on `/a`
/// and the ephemeral node `/e`.
const GOLDEN: &str = include_str!("../golden/admin_server/3.10.txt");

const TIMEOUT_MS: i32 = 30_000;

fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_ringkeeper").into()
}

/// A configuration with both ports, which the system chooses.
fn with_ports() -> Config {
    Config::new()
        .line("admin.enableServer=true")
        .line("admin.serverAddress=127.0.0.1")
        .line("admin.serverPort=0")
        .line(
            "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
        )
        .line("metricsProvider.httpHost=127.0.0.1")
        .line("metricsProvider.httpPort=0")
}

/// The port in the line of the log that has these words before its address.
fn port(server: &Server, words: &str) -> u16 {
    server.wait_for_log(words);
    let log = std::fs::read_to_string(server.log_file()).unwrap();
    let (_, rest) = log.rsplit_once(words).unwrap();
    let (_, rest) = rest.split_once("127.0.0.1:").unwrap();
    rest.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse().unwrap()
}

fn admin_port(server: &Server) -> u16 {
    port(server, "AdminServer: http://")
}

fn metrics_port(server: &Server) -> u16 {
    port(server, "metrics for Prometheus: http://")
}

fn command(port: u16, name: &str) -> Answer {
    get(port, &format!("/commands/{name}"))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A server, and its client in the state of the recorded answers.
fn in_the_recorded_state() -> (Server, Session) {
    let server = Server::ringkeeper(binary(), with_ports());
    let mut client = Session::open(server.socket_addr(), TIMEOUT_MS).unwrap();
    client.create("/a", Some(b"x"), OPEN_ACL, 0).unwrap();
    client.create("/e", Some(b"x"), OPEN_ACL, 1).unwrap();
    client.get_data("/a", true).unwrap();
    (server, client)
}

/// The lines of an answer with the kinds of its values in place of the values.
fn shape(text: &str) -> Vec<String> {
    let kind = |value: &str| -> String {
        let value = value.trim_end_matches(',');
        match value {
            "{" | "[ {" | "null" | "true" | "false" | "[ ]" | "{ }" => value.to_owned(),
            _ if value.starts_with('[') => "a list".to_owned(),
            _ if value.starts_with('"') => "a text".to_owned(),
            _ if value.parse::<i64>().is_ok() => "a whole number".to_owned(),
            _ if value.parse::<f64>().is_ok() => "a number".to_owned(),
            other => panic!("what is {other}?"),
        }
    };
    let lines = text.trim_end().lines().map(|line| match line.split_once("\" : ") {
        // The keys of some objects are ids.
        Some((key, value)) => {
            let number = key.trim_start().trim_start_matches('"');
            let is_id = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            let key = if is_id { "id" } else { key };
            format!("{key} : {}", kind(value))
        }
        None => line.to_owned(),
    });
    lines.collect()
}

#[test]
fn every_answer_has_the_keys_in_the_order_and_of_the_types_of_zookeepers() {
    let (server, _client) = in_the_recorded_state();
    let port = admin_port(&server);
    let mut compared = 0;
    for part in GOLDEN.split("== ").filter(|part| !part.is_empty()) {
        let (name, rest) = part.split_once('\n').unwrap();
        let (theirs, _) = rest.rsplit_once("\n[").unwrap();
        let ours = command(port, name);
        if ["snapshot", "shed_connections"].contains(&name) {
            assert_eq!(ours.status, 501, "{name}");
            continue;
        }
        assert_eq!(ours.status, 200, "{name}");
        assert_eq!(ours.header("content-type"), Some("application/json"), "{name}");
        assert_eq!(shape(&ours.body), shape(theirs), "{name}:\n{}", ours.body);
        compared += 1;
    }
    assert!(compared > 15, "{compared}");
}

#[test]
fn aliases_are_the_same_commands_and_say_so() {
    let (server, _client) = in_the_recorded_state();
    let port = admin_port(&server);
    for (name, aliases) in [
        ("connection_stat_reset", vec!["crst"]),
        ("configuration", vec!["conf", "config"]),
        ("connections", vec!["cons"]),
        ("environment", vec!["env", "envi"]),
        ("get_trace_mask", vec!["gtmk"]),
        ("initial_configuration", vec!["icfg"]),
        ("is_read_only", vec!["isro"]),
        ("last_snapshot", vec!["lsnp"]),
        ("leader", vec!["lead"]),
        ("monitor", vec!["mntr"]),
        ("observer_connection_stat_reset", vec!["orst"]),
        ("observers", vec!["obsr"]),
        ("server_stats", vec!["srvr"]),
        ("set_trace_mask", vec!["stmk"]),
        ("stat_reset", vec!["srst"]),
        ("stats", vec!["stat"]),
        ("system_properties", vec!["sysp"]),
        ("watch_summary", vec!["wchs"]),
        ("watches", vec!["wchc"]),
        ("watches_by_path", vec!["wchp"]),
    ] {
        for word in std::iter::once(name).chain(aliases) {
            let answer = command(port, word);
            assert_eq!(json(&answer.body)["command"], name, "{word}");
        }
    }
    let list = get(port, "/commands");
    assert_eq!(list.status, 200);
    assert!(list.body.contains("<a href=\"/commands/watch_summary\">watch_summary</a>"));
    assert_eq!(get(port, "/").status, 404);
    assert_eq!(get(port, "/nosuch").status, 404);
}

#[test]
fn the_answers_tell_what_is_there() {
    let (server, client) = in_the_recorded_state();
    let port = admin_port(&server);
    let session = client.id().0;
    let answer = |name: &str| json(&command(port, name).body);
    assert_eq!(answer("dump")["session_id_to_ephemeral_paths"][session.to_string()][0], "/e");
    assert_eq!(answer("watches")["session_id_to_watched_paths"][session.to_string()][0], "/a");
    assert_eq!(answer("watches_by_path")["path_to_session_ids"]["/a"][0], session);
    assert_eq!(answer("watch_summary")["num_total_watches"], 1);
    let connections = answer("connections");
    assert_eq!(connections["connections"].as_array().unwrap().len(), 1);
    assert_eq!(connections["connections"][0]["session_id"], session);
    assert_eq!(connections["connections"][0]["last_operation"], "GETD");
    let stats = answer("server_stats");
    assert_eq!(stats["node_count"], 7);
    assert_eq!(stats["server_stats"]["server_state"], "standalone");
    assert_eq!(stats["server_stats"]["num_alive_client_connections"], 1);
    assert!(stats["server_stats"]["data_dir_size"].as_u64().unwrap() > 0);
    let monitor = answer("monitor");
    for (key, value) in [("znode_count", 7), ("watch_count", 1), ("ephemerals_count", 1)] {
        assert_eq!(monitor[key], value, "{key}");
    }
    assert!(monitor["open_file_descriptor_count"].as_u64().unwrap() > 5);
    assert_eq!(monitor["server_state"], "standalone");
    // Every metric of mntr is there, under its name without zk_.
    for line in server.four_letter("mntr").lines() {
        let name = line.split('\t').next().unwrap().strip_prefix("zk_").unwrap();
        assert!(!monitor[name].is_null(), "{name} is missing");
    }
    assert_eq!(answer("set_trace_mask?traceMask=7")["tracemask"], 7);
    assert!(answer("set_trace_mask")["error"].as_str().unwrap().contains("traceMask"));
    assert!(
        answer("initial_configuration")["initial_configuration"]
            .as_str()
            .unwrap()
            .contains("admin.serverPort=0\n")
    );
    answer("stat_reset");
    assert_eq!(answer("monitor")["packets_received"], 0);
}

#[test]
fn secrets_of_the_configuration_are_shown_by_no_command() {
    let config = with_ports()
        .line("DigestAuthenticationProvider.superDigest=super:c2VjcmV0MTIzNDU2Nzg5MDEyMzQ1Njc=")
        .line("ssl.keyStore.password=swordfish")
        .line("metricsProvider.ssl.keyStore.password=swordfish");
    let server = Server::ringkeeper(binary(), config);
    let port = admin_port(&server);
    for name in ["initial_configuration", "system_properties", "configuration", "environment"] {
        let answer = command(port, name).body;
        assert!(!answer.contains("swordfish") && !answer.contains("c2VjcmV0"), "{name}: {answer}");
    }
    let shown = command(port, "initial_configuration").body;
    assert!(shown.contains("ssl.keyStore.password=(hidden)"), "{shown}");
}

#[test]
fn prometheus_gets_every_metric_under_zookeepers_name_and_kind() {
    let (server, _client) = in_the_recorded_state();
    let port = metrics_port(&server);
    let answer = get(port, "/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "# TYPE znode_count gauge",
        "znode_count 7.0",
        "# TYPE op_count_create counter",
        "op_count_create 2.0",
        "# TYPE readlatency summary",
        "readlatency_count 1.0",
        "# TYPE packets_received gauge",
        "# TYPE process_cpu_seconds_total counter",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(answer.body.lines().any(|it| it == line), "{line} is not in\n{}", answer.body);
    }
    assert!(answer.body.contains("\nreadlatency{quantile=\"0.5\",} "), "{}", answer.body);
    // Each metric has one type, before its values.
    let mut typed = std::collections::BTreeSet::new();
    for line in answer.body.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(rest) => {
                assert!(typed.insert(rest.split(' ').next().unwrap().to_owned()), "{line}")
            }
            None if line.starts_with('#') => {}
            None => {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let name = name.split('{').next().unwrap();
                let of = ["_count", "_sum"].iter().filter_map(|end| name.strip_suffix(end));
                let is_typed = typed.contains(name) || of.into_iter().any(|of| typed.contains(of));
                assert!(is_typed, "{line} has no type");
                assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
            }
        }
    }
    let one = get(port, "/metrics?name[]=znode_count&name%5B%5D=readlatency_count").body;
    assert!(one.contains("\nznode_count 7.0") && one.contains("readlatency_count"), "{one}");
    assert!(!one.contains("uptime"), "{one}");
    // As ZooKeeper's, and without the commands of the other port.
    for path in ["/metrics/", "/", "/commands/ruok", "/health/live"] {
        assert_eq!(get(port, path).status, 404, "{path}");
    }
}

#[test]
fn members_tell_who_leads_who_votes_and_how_healthy_they_are() {
    let mut ensemble = ringkeeper_testkit::Ensemble::prepare(
        &vec![
            (
                ringkeeper_testkit::Program::Ringkeeper(binary()),
                ringkeeper_testkit::PeerType::Participant
            );
            3
        ],
        with_ports(),
    );
    // One of three has no quorum.
    ensemble.spawn(1);
    let port = admin_port(ensemble.server(1));
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let ready = get(port, "/health/ready");
        if ready.body.contains("has no leader") {
            assert_eq!(ready.status, 503);
            break;
        }
        assert!(Instant::now() < patience, "{}", ready.body);
    }
    assert_eq!(get(port, "/health/live").status, 200);
    assert_eq!(get(port, "/health/leader").status, 503);
    let refused = json(&command(port, "server_stats").body);
    assert_eq!(refused["error"], "This ZooKeeper instance is not currently serving requests");
    assert_eq!(json(&command(port, "zabstate").body)["zabstate"], "election");
    assert_eq!(json(&command(port, "monitor").body)["server_state"], "looking");

    ensemble.start_all();
    let leader = ensemble.leader();
    for id in [1, 2, 3] {
        let port = admin_port(ensemble.server(id));
        let leads = id == leader;
        assert_eq!(get(port, "/health/ready").status, 200);
        assert_eq!(get(port, "/health/leader").status, if leads { 200 } else { 503 });
        let told = json(&command(port, "leader").body);
        assert_eq!(
            (told["is_leader"].as_bool(), told["leader_id"].as_i64()),
            (Some(leads), i64::try_from(leader).ok())
        );
        assert_eq!(told["leader_ip"], "127.0.0.1");
        let state = json(&command(port, "zabstate").body);
        assert_eq!(
            (&state["voting"], &state["zabstate"]),
            (&Value::Bool(true), &"broadcast".into())
        );
        let view = json(&command(port, "voting_view").body);
        let line = view["current_config"]["3"].as_str().unwrap();
        assert!(line.starts_with("127.0.0.1:") && line.contains(":participant"), "{line}");
        let stats = json(&command(port, "server_stats").body);
        assert_eq!(stats.get("proposal_stats").is_some(), leads);
        let text = get(metrics_port(ensemble.server(id)), "/metrics").body;
        assert_eq!(text.contains("\nsynced_followers 2.0\n"), leads, "{text}");
    }
}

#[test]
fn a_taken_port_ends_the_start_where_it_was_asked_for_and_is_done_without_where_not() {
    let first = Server::ringkeeper(binary(), with_ports());
    let port = admin_port(&first);
    let asks = Config::new()
        .line("admin.enableServer=true")
        .line("admin.serverAddress=127.0.0.1")
        .line(&format!("admin.serverPort={port}"));
    let mut second = Server::prepare(ringkeeper_testkit::Program::Ringkeeper(binary()), asks);
    let (status, said) = second.run_to_exit(Duration::from_secs(20));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the AdminServer cannot listen on 127.0.0.1:"), "{said}");
    assert!(said.contains("admin.enableServer=false"), "{said}");
    assert_eq!(get(port, "/health/live").status, 200);
}
