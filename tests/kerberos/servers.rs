//! Servers that log in at each other by Kerberos, alone and with Apache ZooKeeper 3.9.4.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ringkeeper_rawclient::{OPEN_ACL, Roaming};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Program, free_port};
use tempfile::TempDir;

use super::kdc::Kdc;
use super::{ringkeeper, site};

const LIMIT: Duration = Duration::from_secs(60);

/// The principal of each server, whose host is that of its `server.N` line.
const SERVER: &str = "zkquorum/127.0.0.1";

/// The lines by which logins are switched on, in their order.
pub const SWITCHES: [&str; 3] = [
    "quorum.auth.enableSasl=true",
    "quorum.auth.learnerRequireSasl=true",
    "quorum.auth.serverRequireSasl=true",
];

/// This configuration of members, with what they need to log in by Kerberos, and the folder of their JAAS file, which has
/// a section `Elsewhere` for a server on a host that none of them has. The centre has made the key table `quorum`.
pub fn members(kdc: &Kdc, config: Config) -> (Config, TempDir) {
    members_on(kdc, &kdc.config(), config)
}

/// The same, on machines with this krb5.conf.
fn members_on(kdc: &Kdc, machine: &Path, config: Config) -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let section = |section: &str, principal: &str, keytab: &str| {
        let keytab = kdc.config().with_file_name(keytab);
        format!(
            "{section} {{\n  com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true\n  \
             useTicketCache=false keyTab=\"{}\" principal=\"{principal}@{}\";\n}};\n",
            keytab.display(),
            kdc.realm()
        )
    };
    let file = folder.path().join("jaas.conf");
    let sections = [
        section("QuorumServer", SERVER, "quorum"),
        section("QuorumLearner", SERVER, "quorum"),
        section("Elsewhere", "zkquorum/elsewhere", "elsewhere"),
    ];
    fs::write(&file, sections.concat()).unwrap();
    let machine = machine.display().to_string();
    let config = config
        .line("initLimit=20")
        .line("syncLimit=10")
        .line("quorum.auth.kerberos.servicePrincipal=zkquorum/_HOST")
        .flag(&format!("-Djava.security.auth.login.config={}", file.display()))
        .flag(&format!("-Djava.security.krb5.conf={machine}"))
        .variable("KRB5_CONFIG", &machine)
        .variable("KRB5RCACHEDIR", &folder.path().display().to_string());
    (config, folder)
}

/// The configuration of members that demand logins, on machines with this krb5.conf.
fn demanding(machine: &Path) -> (Config, TempDir) {
    let (config, folder) = members_on(&site().kdc, machine, Config::new());
    (SWITCHES.iter().fold(config, |config, line| config.line(line)), folder)
}

fn write_and_read(ensemble: &mut Ensemble, path: &str) {
    let open = |addresses: &[_]| Roaming::open(addresses, 10_000, Duration::from_secs(5), LIMIT);
    let mut writer = open(&ensemble.addresses()).unwrap();
    writer.create(path, Some(b"x"), OPEN_ACL, 0, LIMIT).unwrap();
    writer.close(LIMIT).unwrap();
}

pub fn figure(ensemble: &Ensemble, id: usize, name: &str) -> u64 {
    ensemble.mntr(id, name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

pub fn log(ensemble: &Ensemble, id: usize) -> String {
    fs::read_to_string(ensemble.server(id).log_file()).unwrap()
}

#[test]
fn servers_log_in_at_each_other_also_at_those_of_zookeeper() {
    let (config, _folder) = demanding(&site().kdc.config());
    let programs = [ringkeeper(), ringkeeper(), Program::ZooKeeper39];
    let mut ensemble = Ensemble::prepare(&programs.map(|it| (it, PeerType::Participant)), config);
    for id in [1, 3] {
        ensemble.spawn(id);
    }
    // Of two servers that know nothing, the one with the larger id leads.
    ensemble.wait_leader_among(&[3], LIMIT);
    ensemble.start_all();
    write_and_read(&mut ensemble, "/java-leads");
    for id in [1, 2] {
        assert!(figure(&ensemble, id, "zk_quorum_logins_made") >= 1, "server {id}");
    }
    ensemble.kill(3);
    let leader = ensemble.wait_leader_among(&[1, 2], LIMIT);
    ensemble.restart(3);
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
    }
    write_and_read(&mut ensemble, "/java-follows");
    assert!(figure(&ensemble, leader, "zk_quorum_logins_accepted") >= 2);
    for id in [1, 2] {
        assert_eq!(figure(&ensemble, id, "zk_quorum_logins_refused"), 0, "{}", log(&ensemble, id));
    }
    assert!(log(&ensemble, 3).contains("Successfully completed the authentication using SASL"));
}

#[test]
fn a_server_with_the_principal_of_another_host_is_refused() {
    let (config, _folder) = demanding(&site().kdc.config());
    let programs = [ringkeeper(), ringkeeper(), ringkeeper()];
    let mut ensemble = Ensemble::prepare(&programs.map(|it| (it, PeerType::Participant)), config);
    ensemble.reconfigure(1, |config| config.line("quorum.auth.learner.saslLoginContext=Elsewhere"));
    for id in ensemble.ids() {
        ensemble.spawn(id);
    }
    ensemble.wait_leader_among(&[2, 3], LIMIT);
    let reason =
        "its principal zkquorum/elsewhere@RINGKEEPER.TEST has no host of a server of this ensemble";
    let begun = std::time::Instant::now();
    while !log(&ensemble, 2).contains(reason) && !log(&ensemble, 3).contains(reason) {
        assert!(begun.elapsed() < LIMIT, "{}", ensemble.tails(40));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn servers_start_while_no_centre_answers_and_get_new_tickets_when_theirs_have_expired() {
    /// Longer than a ticket is good for, and the clocks may differ.
    const LIFETIME: Duration = Duration::from_secs(6);
    let folder = tempfile::tempdir().unwrap();
    let machine = folder.path().join("krb5.conf");
    let usual = fs::read_to_string(site().kdc.strict_config()).unwrap();
    let short = usual.replacen("[libdefaults]\n", "[libdefaults]\n ticket_lifetime = 5s\n", 1);
    let nobody = format!("kdc = 127.0.0.1:{}\n", free_port());
    let line = short.lines().find(|line| line.contains("kdc = 127.0.0.1")).unwrap().trim_start();
    fs::write(&machine, short.replace(&format!("{line}\n"), &nobody)).unwrap();
    let (config, _folder) = demanding(&machine);
    let programs = [ringkeeper(), ringkeeper(), ringkeeper()];
    let mut ensemble = Ensemble::prepare(&programs.map(|it| (it, PeerType::Participant)), config);
    for id in ensemble.ids() {
        ensemble.spawn(id);
    }
    let begun = std::time::Instant::now();
    while ensemble.ids().any(|id| !log(&ensemble, id).contains("Cannot contact any KDC")) {
        assert!(begun.elapsed() < LIMIT, "{}", ensemble.tails(40));
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::write(&machine, &short).unwrap();
    let leader = ensemble.wait_leader_among(&[1, 2, 3], LIMIT);
    write_and_read(&mut ensemble, "/the-centre-is-back");
    std::thread::sleep(LIFETIME);
    ensemble.kill(leader);
    let others: Vec<usize> = ensemble.ids().filter(|id| *id != leader).collect();
    ensemble.wait_leader_among(&others, LIMIT);
    write_and_read(&mut ensemble, "/with-new-tickets");
}
