//! The files after a reconfiguration: Ringkeeper leaves the same files beside `zoo.cfg` as Apache ZooKeeper, and a
//! server that starts with them joins the same ensemble.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, Session};
use ringkeeper_testkit::{Ensemble, Program};

use crate::ground::{LIMIT, LONG_MS, config, ours, turn};

const CONFIG_NODE: &str = "/zookeeper/config";

#[test]
fn reconfigurations_leave_the_files_that_zookeeper_leaves() {
    let _turn = turn();
    let theirs = files_of(&Program::ZooKeeper39);
    let ours = files_of(&ours());
    assert_eq!(ours, theirs);
}

/// Files by name. The ends of the names, and texts that differ from ensemble to ensemble, are replaced.
type Files = BTreeMap<String, Vec<String>>;

/// Starts three servers. One that does not lead leaves, and comes back as an observer. Returns the files beside
/// server 1's `zoo.cfg` after each step. At the end, server 1 starts again with those files.
fn files_of(program: &Program) -> Vec<Files> {
    let config = config().line("reconfigEnabled=true").flag("-Dzookeeper.skipACL=yes");
    let mut ensemble = Ensemble::start(&vec![program.clone(); 3], config);
    let moving = if ensemble.leader() == 3 { 2 } else { 3 };
    let mut seen = vec![wait_for_files(&ensemble, moving, 1)];
    reconfigure(&ensemble, None, Some(&moving.to_string()));
    seen.push(wait_for_files(&ensemble, moving, 2));
    let observer = ensemble.server_line(moving).replace(":participant", ":observer");
    reconfigure(&ensemble, Some(&format!("server.{moving}={observer}")), None);
    seen.push(wait_for_files(&ensemble, moving, 3));
    let text = shown(&ensemble);
    ensemble.server_mut(1).keep_config_file();
    ensemble.restart(1);
    assert_eq!(shown(&ensemble), text, "the next start finds it");
    seen
}

fn reconfigure(ensemble: &Ensemble, joining: Option<&str>, leaving: Option<&str>) {
    let mut session = Session::open(ensemble.address(1), LONG_MS).expect("a session");
    let text = |text: Option<&str>| Body::new().buffer(text.map(str::as_bytes));
    let body = text(joining).append(&text(leaving)).append(&text(None)).long(-1);
    session.call(OpCode::Reconfig, &body).expect("a reconfiguration");
    session.close().expect("an end");
}

/// The configuration that server 1 shows to its clients.
fn shown(ensemble: &Ensemble) -> String {
    let mut session = Session::open(ensemble.address(1), LONG_MS).expect("a session");
    let (data, _) = session.get_data(CONFIG_NODE, false).expect("the configuration");
    session.close().expect("an end");
    String::from_utf8(data.expect("it is not empty")).expect("a text")
}

/// Waits until server 1 keeps `versions` configurations and none is under way, and returns its files.
fn wait_for_files(ensemble: &Ensemble, moving: usize, versions: usize) -> Files {
    let until = Instant::now() + LIMIT;
    loop {
        let files = files(ensemble, moving);
        let kept = files.keys().filter(|name| name.starts_with("zoo.cfg.dynamic.VERSION")).count();
        let names = format!("dynamicConfigFile=FOLDER/zoo.cfg.dynamic.VERSION{versions}");
        let is_done = kept == versions
            && files["zoo.cfg"].contains(&names)
            && !files.contains_key("zoo.cfg.dynamic.next");
        if is_done {
            return files;
        }
        assert!(Instant::now() < until, "{files:#?}\n{}", ensemble.tails(30));
        std::thread::yield_now();
    }
}

fn files(ensemble: &Ensemble, moving: usize) -> Files {
    let folder = ensemble.server(1).folder();
    let path = folder.canonicalize().expect("a folder");
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if !name.starts_with("zoo.cfg") || name.ends_with(".tmp") {
            continue;
        }
        // The file may be gone or replaced since it was listed.
        if let Ok(text) = fs::read_to_string(folder.join(&name)) {
            found.push((name, text));
        }
    }
    found.sort();
    let versions: Vec<String> = found
        .iter()
        .filter_map(|(name, _)| name.strip_prefix("zoo.cfg.dynamic."))
        .filter(|version| *version != "next")
        .map(str::to_owned)
        .collect();
    let plain = |text: &str| {
        let mut text = text.replace(path.to_str().expect("a path"), "FOLDER");
        text = text.replace(folder.to_str().expect("a path"), "FOLDER");
        for (index, version) in versions.iter().enumerate() {
            let named = format!("zoo.cfg.dynamic.{version}");
            text = text.replace(&named, &format!("zoo.cfg.dynamic.VERSION{}", index + 1));
        }
        text = text.replace(&format!("={}\n", ensemble.address(1).port()), "=PORT\n");
        for id in ensemble.ids() {
            let line = ensemble.server_line(id);
            let (address, _) = line.split_once(":participant").expect("a participant");
            let (_, client) = line.split_once(';').expect("a client address");
            let client = format!(";{client}");
            let name = match id {
                1 => "FIRST",
                id if id == moving => "MOVING",
                _ => "OTHER",
            };
            text = text.replace(address, &format!("ADDRESS-{name}"));
            text = text.replace(&client, &format!(";CLIENT-{name}"));
            text = text.replace(&format!("server.{id}="), &format!("server.{name}="));
        }
        text
    };
    let lines = |text: &str| {
        // The lines that only one of the programs gets.
        let stays = |line: &&str| {
            !line.is_empty() && !line.starts_with('#') && !line.starts_with("ringkeeper.")
        };
        let mut lines: Vec<String> = plain(text).lines().filter(stays).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    found.iter().map(|(name, text)| (plain(name), lines(text))).collect()
}
