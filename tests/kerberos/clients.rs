//! The Java client and kazoo, which log in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ringkeeper_testkit::Environment;

use super::{ringkeeper, site, start};

fn run(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn java_clients_of_3_9_and_3_8_log_in_and_are_refused_as_they_should_be() {
    let site = site();
    let realm = site.kdc.realm();
    let guarded = start(ringkeeper(), &[]);
    let folder = tempfile::tempdir().unwrap();
    let (newest, older) =
        (Environment::found().class_path_3_9(), Environment::found().class_path_3_8());
    let run_cli = |class_path: &str,
                   (principal, keytab): (&str, &Path),
                   server: &str,
                   words: &[&str]| {
        let file = folder.path().join("client.conf");
        let section = format!(
            "Client {{ com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true keyTab=\"{}\" \
             storeKey=true useTicketCache=false principal=\"{principal}@{realm}\"; }};",
            keytab.display()
        );
        fs::write(&file, section).unwrap();
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Djava.security.auth.login.config={}", file.display()))
            .arg(format!("-Djava.security.krb5.conf={}", site.kdc.config().display()))
            .arg(format!("-Dzookeeper.server.principal={server}"))
            .args(["-cp", class_path])
            .args(["org.apache.zookeeper.ZooKeeperMain", "-server", &guarded.server.address()])
            .args(words);
        run(&mut command)
    };
    let zkcli = |who, server: &str, words: &[&str]| run_cli(&newest, who, server, words);
    let bob = ("bob", &*site.bob);
    let acl = format!("sasl:bob@{realm}:cdrwa");
    let (succeeds, output) = zkcli(bob, "zookeeper/localhost", &["create", "/j", "d", &acl]);
    assert!(succeeds && output.contains("Created /j"), "{output}");
    assert!(output.contains("SaslAuthenticated"), "{output}");
    let (succeeds, output) = zkcli(bob, "zookeeper/localhost", &["whoami"]);
    assert!(succeeds && output.contains(&format!("sasl: bob@{realm}")), "{output}");
    let (succeeds, output) = run_cli(&older, bob, "zookeeper/localhost", &["get", "/j"]);
    assert!(succeeds && output.contains("SaslAuthenticated"), "{output}");
    let app = ("app/host.example", &*site.app);
    let (_, output) = zkcli(app, "zookeeper/localhost", &["get", "/j"]);
    assert!(output.contains("Insufficient permission"), "{output}");
    // The ticket is for a service that this server is not.
    let (_, output) = zkcli(bob, "other/localhost", &["get", "/j"]);
    assert!(output.contains("AuthFailed") && !output.contains("SaslAuthenticated"), "{output}");
}

#[test]
fn kazoo_logs_in() {
    let site = site();
    let suite = Environment::found().kazoo_suite();
    let folders = fs::read_dir(suite.join("lib")).unwrap();
    let version = folders.map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let guarded = start(ringkeeper(), &[wiring, "sessionRequireClientSASLAuth=true"]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kerberos/kazoo_login.py");
        // Debian's Python has the module `kerberos`, and kazoo is made of Python alone.
        let (succeeds, output) = run(Command::new("/usr/bin/python3")
            .arg("-u")
            .arg(script)
            // By this name the client asks for a ticket.
            .arg(format!("localhost:{}", guarded.server.port()))
            .arg(format!("bob@{}", site.kdc.realm()))
            .env("PYTHONPATH", version.join("site-packages"))
            .env("KRB5_CONFIG", site.kdc.config())
            .env("KRB5_CLIENT_KTNAME", &site.bob)
            .env("KRB5CCNAME", "MEMORY:kazoo"));
        assert!(succeeds && output.contains("ok the client has"), "{output}");
    }
}
