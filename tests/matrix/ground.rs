//! A server or an ensemble that takes clients in every way, and how to run a client.

use std::env;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ringkeeper::proto::OpCode;
use ringkeeper_rawclient::{Body, Session, SessionError};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Program, Server, free_port};
use tempfile::TempDir;

use crate::certificates::Certificates;

/// A client that hangs is killed after so many seconds.
const CLIENT_SECONDS_MAX: &str = "60";

const USERS: &str = "Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_bob=\"bobsecret\";
};
";

/// The names and passwords of [`USERS`].
pub const BOB: (&str, &str) = ("bob", "bobsecret");

/// What a member listens to.
#[derive(Clone, Copy)]
pub struct Door {
    pub plain: SocketAddr,
    pub secure: SocketAddr,
}

/// Servers of one kind, what their clients need, and a folder for their files.
pub struct Place {
    pub name: &'static str,
    pub certificates: Certificates,
    pub folder: TempDir,
    doors: Vec<Door>,
    servers: Servers,
}

enum Servers {
    One(Server),
    Three(Ensemble),
}

impl Place {
    /// A server alone; `further`: lines of its configuration.
    pub fn one(name: &'static str, further: &[&str]) -> Place {
        let (certificates, folder) = (Certificates::new(), tempfile::tempdir().unwrap());
        let secure = free_port();
        let config = config(&certificates, &folder).line(&format!("secureClientPort={secure}"));
        let config = further.iter().fold(config, |config, line| config.line(line));
        let server = Server::start(program(), config);
        let secure = SocketAddr::from(([127, 0, 0, 1], secure));
        let doors = vec![Door { plain: server.socket_addr(), secure }];
        Place { name, certificates, folder, doors, servers: Servers::One(server) }
    }

    /// Three servers, of which one has session cores.
    pub fn three(name: &'static str) -> Place {
        let (certificates, folder) = (Certificates::new(), tempfile::tempdir().unwrap());
        let members = vec![(program(), PeerType::Participant); 3];
        let mut ensemble = Ensemble::prepare(&members, config(&certificates, &folder));
        let mut doors = Vec::new();
        for (id, cores) in ensemble.ids().zip([1, 3, 1]) {
            let secure = free_port();
            ensemble.reconfigure(id, |config| {
                config
                    .line(&format!("secureClientPort={secure}"))
                    .line(&format!("ringkeeper.cores={cores}"))
            });
            let secure = SocketAddr::from(([127, 0, 0, 1], secure));
            doors.push(Door { plain: ensemble.address(id), secure });
        }
        ensemble.start_all();
        Place { name, certificates, folder, doors, servers: Servers::Three(ensemble) }
    }

    /// Where the client of a turn connects, and where another client looks at what it did.
    pub fn doors(&self, turn: usize) -> (Door, Door) {
        (self.doors[turn % self.doors.len()], self.doors[(turn + 1) % self.doors.len()])
    }

    /// The server; of an ensemble, the first.
    pub fn server(&self) -> &Server {
        match &self.servers {
            Servers::One(server) => server,
            Servers::Three(ensemble) => ensemble.server(1),
        }
    }

    /// The path of a certificate's file.
    pub fn certificate(&self, name: &str) -> String {
        self.certificates.path(&format!("{name}.pem")).display().to_string()
    }

    /// Writes a file that a client needs; its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn config(certificates: &Certificates, folder: &TempDir) -> Config {
    let jaas = folder.path().join("server.conf");
    fs::write(&jaas, USERS).unwrap();
    let mut config = Config::new()
        // Only ZooKeeper needs it, for TLS.
        .line("serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory")
        .line("authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
        .line("secureClientPortAddress=127.0.0.1")
        .line("ssl.clientAuth=want")
        // Java's client of 3.8 speaks TLS 1.2 alone unless it is told otherwise.
        .line("ssl.enabledProtocols=TLSv1.2,TLSv1.3")
        .line("maxClientCnxns=0")
        // super:test
        .flag("-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=")
        .flag(&format!("-Djava.security.auth.login.config={}", jaas.display()));
    for (key, file) in [("keyStore", "server.pem"), ("trustStore", "authority.pem")] {
        let path = certificates.path(file);
        config = config.line(&format!("ssl.{key}.location={}", path.display()));
    }
    config
}

/// The server to test, according to the environment variable.
pub fn program() -> Program {
    if is_against_zookeeper() {
        return Program::ZooKeeper39;
    }
    Program::Ringkeeper(PathBuf::from(env!("CARGO_BIN_EXE_ringkeeper")))
}

pub fn is_against_zookeeper() -> bool {
    env::var("RINGKEEPER_CLIENT_TESTS_AGAINST").is_ok_and(|name| name == "zookeeper-3.9")
}

/// Whether to try all cells in all places.
pub fn everything() -> bool {
    env::var("RINGKEEPER_MATRIX").is_ok_and(|value| value == "all")
}

/// Runs a client to its end with this standard input, which stays open until then; all its output.
pub fn run(client: &Command, input: &[u8]) -> String {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", CLIENT_SECONDS_MAX]).arg(client.get_program());
    command.args(client.get_args());
    command.envs(client.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = client.get_current_dir() {
        command.current_dir(folder);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have been refused already.
    let _ = stdin.write_all(input);
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A node as others see it.
#[derive(Debug)]
pub struct Node {
    /// Sorted, as the super user sees it.
    pub acl: Vec<String>,
    /// As the super user sees it.
    pub data: Vec<u8>,
    /// What a client without an identity is told that reads it.
    pub stranger: Result<(), SessionError>,
}

/// Looks at a node; an error is what the super user is told.
pub fn look(server: SocketAddr, path: &str) -> Result<Node, SessionError> {
    let mut session = Session::open(server, 10_000).unwrap();
    session.call(OpCode::Sync, &Body::path("/"))?;
    let stranger = session.get_data(path, false).map(|_| ());
    session.authenticate("digest", b"super:test")?;
    let (mut acl, _) = session.get_acl(path)?;
    acl.sort();
    let (data, _) = session.get_data(path, false)?;
    session.close()?;
    Ok(Node { acl, data: data.unwrap_or_default(), stranger })
}
