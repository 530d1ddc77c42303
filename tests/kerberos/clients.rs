//! The Java client and kazoo, which log in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ringkeeper_testkit::{Ensemble, Environment, Program};

use super::{config, ringkeeper, site, start};

fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// What a Java shell with this class path and this keytab prints that asks `address`, whose principal it takes for
/// `server`, and whether it succeeded.
fn zkcli(
    class_path: &str,
    (principal, keytab): (&str, &Path),
    (address, server): (&str, &str),
    words: &[&str],
) -> (bool, String) {
    let site = site();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client.conf");
    let section = format!(
        "Client {{ com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab=\"{}\" \
         storeKey=true useTicketCache=false principal=\"{principal}@{}\"; }};",
        keytab.display(),
        site.kdc.realm()
    );
    fs::write(&file, section).unwrap();
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Djava.security.auth.login.config={}", file.display()))
        .arg(format!("-Djava.security.krb5.conf={}", site.kdc.config().display()))
        .arg(format!("-Dzookeeper.server.principal={server}"))
        .args(["-cp", class_path])
        .args(["org.apache.zookeeper.ZooKeeperMain", "-server", address])
        .args(words);
    run(&mut command)
}

/// What the script prints that lets kazoo log in as bob at a port, and whether it succeeded.
fn kazoo(port: u16) -> (bool, String) {
    let site = site();
    let suite = Environment::found().kazoo_suite();
    let folders = fs::read_dir(suite.join("lib")).unwrap();
    let version = folders.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kerberos/kazoo_login.py");
    // Debian's Python has the module `kerberos`, and kazoo is made of Python alone.
    run(Command::new("/usr/bin/python3")
        .arg("-u")
        .arg(script)
        // By this name the client asks for a ticket.
        .arg(format!("localhost:{port}"))
        .arg(format!("bob@{}", site.kdc.realm()))
        .env("PYTHONPATH", version.join("site-packages"))
        .env("KRB5_CONFIG", site.kdc.config())
        .env("KRB5_CLIENT_KTNAME", &site.bob)
        .env("KRB5CCNAME", "MEMORY:kazoo"))
}

#[test]
fn java_clients_of_3_9_and_3_8_log_in_and_are_refused_as_they_should_be() {
    let site = site();
    let realm = site.kdc.realm();
    let guarded = start(ringkeeper(), &[]);
    let address = guarded.server.address();
    let (newest, older) =
        (Environment::found().class_path_3_9(), Environment::found().class_path_3_8());
    let at = (&*address, "zookeeper/localhost");
    let bob = ("bob", &*site.bob);
    let acl = format!("sasl:bob@{realm}:cdrwa");
    let (succeeds, output) = zkcli(&newest, bob, at, &["create", "/j", "d", &acl]);
    assert!(succeeds && output.contains("Created /j"), "{output}");
    assert!(output.contains("SaslAuthenticated"), "{output}");
    let (succeeds, output) = zkcli(&newest, bob, at, &["whoami"]);
    assert!(succeeds && output.contains(&format!("sasl: bob@{realm}")), "{output}");
    let (succeeds, output) = zkcli(&older, bob, at, &["get", "/j"]);
    assert!(succeeds && output.contains("SaslAuthenticated"), "{output}");
    let app = ("app/host.example", &*site.app);
    let (_, output) = zkcli(&newest, app, at, &["get", "/j"]);
    assert!(output.contains("Insufficient permission"), "{output}");
    // The ticket is for a service that this server is not.
    let (_, output) = zkcli(&newest, bob, (&address, "other/localhost"), &["get", "/j"]);
    assert!(output.contains("AuthFailed") && !output.contains("SaslAuthenticated"), "{output}");
}

#[test]
fn kazoo_logs_in() {
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let guarded = start(ringkeeper(), &[wiring, "sessionRequireClientSASLAuth=true"]);
        let (succeeds, output) = kazoo(guarded.server.port());
        assert!(succeeds && output.contains("ok the client has"), "{output}");
    }
}

#[test]
fn clients_log_in_at_every_member_of_an_ensemble_that_zookeeper_is_part_of() {
    let site = site();
    let realm = site.kdc.realm();
    let (config, _folder) = config(&site.server, &site.kdc.config());
    let programs = [ringkeeper(), ringkeeper(), Program::ZooKeeper39];
    let config = config.line("sessionRequireClientSASLAuth=true");
    let mut ensemble = Ensemble::start(&programs, config);
    let newest = Environment::found().class_path_3_9();
    let bob = ("bob", &*site.bob);
    let acl = format!("sasl:bob@{realm}:cdrwa");
    for id in ensemble.ids() {
        ensemble.wait_serving(id);
        let (succeeds, output) = kazoo(ensemble.address(id).port());
        assert!(succeeds && output.contains("ok the client has"), "server {id}: {output}");
        let address = format!("localhost:{}", ensemble.address(id).port());
        let path = format!("/at-{id}");
        let at = (&*address, "zookeeper/localhost");
        let (succeeds, output) = zkcli(&newest, bob, at, &["create", &path, "d", &acl]);
        assert!(succeeds && output.contains(&format!("Created {path}")), "server {id}: {output}");
    }
    // What a client has made for itself at one member is closed to others at each other one.
    let app = ("app/host.example", &*site.app);
    for (id, made_at) in [(1, 3), (2, 1), (3, 2)] {
        let address = format!("localhost:{}", ensemble.address(id).port());
        let at = (&*address, "zookeeper/localhost");
        let (_, output) = zkcli(&newest, app, at, &["get", &format!("/at-{made_at}")]);
        assert!(output.contains("Insufficient permission"), "server {id}: {output}");
    }
}
