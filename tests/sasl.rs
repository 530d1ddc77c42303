//! SASL of clients on whole servers: a raw conversation that Ringkeeper and Apache ZooKeeper 3.9.4 answer alike,
//! and the clients kazoo and `zkCli.sh`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "sasl/clients.rs"]
mod clients;
#[path = "sasl/conversation.rs"]
mod conversation;
mod raw;

use std::fs;
use std::path::{Path, PathBuf};

use ringkeeper_testkit::{Config, Program, Server};
use tempfile::TempDir;

const PROVIDER: &str = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
const USERS: &str = "Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_super=\"adminsecret\"
    user_bob=\"bobsecret\"
    user_al=\"al \\\"secret\\\"\"
    \"user_carl@REALM\"=\"carlsecret\";
};
";

/// A server whose users are those of [`USERS`], with the folder of its JAAS file.
struct Guarded {
    server: Server,
    _folder: TempDir,
}

fn ringkeeper() -> Program {
    Program::Ringkeeper(PathBuf::from(env!("CARGO_BIN_EXE_ringkeeper")))
}

/// Starts a server; `further`: lines of its configuration.
fn start(program: Program, further: &[&str]) -> Guarded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jaas.conf");
    fs::write(&file, USERS).unwrap();
    let config = Config::new()
        .line(PROVIDER)
        .line("superUser.1=al")
        .line("letAnySaslUserDoX=everybody")
        .flag(&format!("-Djava.security.auth.login.config={}", file.display()));
    let config = further.iter().fold(config, |config, line| config.line(line));
    Guarded { server: Server::start(program, config), _folder: folder }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sasl")
}

#[test]
fn a_server_starts_with_no_section_that_it_cannot_serve() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jaas.conf");
    let module = "com.sun.security.auth.module.Krb5LoginModule";
    fs::write(&file, format!("Server {{\n {module} required\n keyTab=\"/k\";\n}};\n")).unwrap();
    let flag = format!("-Djava.security.auth.login.config={}", file.display());
    let mut server = Server::prepare(ringkeeper(), Config::new().flag(&flag));
    let (status, output) = server.run_to_exit(std::time::Duration::from_secs(20));
    assert!(!status.success());
    let expected = match cfg!(feature = "gssapi") {
        true => "jaas.conf:2: the section Server lacks useKeyTab=true",
        false => {
            "jaas.conf:2: the section Server asks for Kerberos, and this program was built without it"
        }
    };
    assert!(output.contains(expected), "{output}");
}
