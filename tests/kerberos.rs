//! Logins by Kerberos on whole servers, with a key distribution centre of MIT Kerberos: raw conversations that
//! Ringkeeper and Apache ZooKeeper 3.9.4 answer alike, the Java client and kazoo, and what is refused with which
//! reason.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "quorum_tls/certificates.rs"]
#[allow(dead_code, reason = "it is shared with the tests of TLS between servers")]
mod certificates;
#[path = "kerberos/clients.rs"]
mod clients;
#[path = "kerberos/conversation.rs"]
mod conversation;
#[path = "ensemble/ground.rs"]
#[allow(dead_code, reason = "it is shared with the tests of ensembles")]
mod ground;
#[path = "kerberos/initiator.rs"]
mod initiator;
#[path = "kerberos/kdc.rs"]
mod kdc;
#[path = "ensemble/load.rs"]
#[allow(dead_code, reason = "it is shared with the tests of ensembles")]
mod load;
mod raw;
#[path = "kerberos/refusals.rs"]
mod refusals;
#[path = "kerberos/servers.rs"]
mod servers;
#[path = "kerberos/switch.rs"]
mod switch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use kdc::Kdc;
use ringkeeper_testkit::{Config, Program, Server};
use tempfile::TempDir;

const PROVIDER: &str = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

/// A realm with its principals' key tables, for all tests of this program.
struct Site {
    kdc: Kdc,
    /// The keys of `zookeeper/localhost`.
    server: PathBuf,
    /// The keys of `bob`.
    bob: PathBuf,
    /// The keys of `app/host.example`.
    app: PathBuf,
}

fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(|| {
        let principals = [
            "zookeeper/localhost",
            "other/localhost",
            "bob",
            "app/host.example",
            "brief",
            "zkquorum/127.0.0.1",
            "zkquorum/elsewhere",
        ];
        let kdc = Kdc::start("RINGKEEPER.TEST", &principals);
        kdc.keytab("zkquorum/127.0.0.1", "quorum");
        kdc.keytab("zkquorum/elsewhere", "elsewhere");
        let [server, bob, app] =
            [("zookeeper/localhost", "server"), ("bob", "bob"), ("app/host.example", "app")]
                .map(|(principal, name)| kdc.keytab(principal, name));
        Site { kdc, server, bob, app }
    })
}

fn ringkeeper() -> Program {
    Program::Ringkeeper(PathBuf::from(env!("CARGO_BIN_EXE_ringkeeper")))
}

/// The configuration of a server that accepts clients with the keys of `zookeeper/localhost` in a table, with the folder
/// of its JAAS file.
fn config(keytab: &Path, machine: &Path) -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jaas.conf");
    let section = format!(
        "Server {{\n  com.sun.security.auth.module.Krb5LoginModule required\n  useKeyTab=true storeKey=true \
         useTicketCache=false\n  keyTab=\"{}\"\n  principal=\"zookeeper/localhost@{}\";\n}};\n",
        keytab.display(),
        site().kdc.realm(),
    );
    fs::write(&file, section).unwrap();
    let machine = machine.display().to_string();
    let config = Config::new()
        .line(PROVIDER)
        .flag(&format!("-Djava.security.auth.login.config={}", file.display()))
        .flag(&format!("-Djava.security.krb5.conf={machine}"))
        .variable("KRB5_CONFIG", &machine)
        // The replay cache.
        .variable("KRB5RCACHEDIR", &folder.path().display().to_string());
    (config, folder)
}

/// A running server, with the folder of its JAAS file and its replay cache.
struct Guarded {
    server: Server,
    _folder: TempDir,
}

/// Starts a server with these further lines of configuration.
fn start(program: Program, further: &[&str]) -> Guarded {
    let site = site();
    let (config, folder) = config(&site.server, &site.kdc.config());
    let config = further.iter().fold(config, |config, line| config.line(line));
    Guarded { server: Server::start(program, config), _folder: folder }
}
