//! etcd servers as Debian's package `etcd-server` installs them, on loopback, with their own defaults.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Guarded, free_port};
use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = "etcd";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const TAIL_LINES: usize = 20;

/// One server, or several that form a cluster. Killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    /// Dropped after them.
    folder: TempDir,
}

#[derive(Debug)]
struct Member {
    process: Guarded,
    client: SocketAddr,
    log: PathBuf,
}

/// What `etcd --version` says, such as `3.4.23`.
///
/// # Errors
/// There is no etcd on the search path; says how to get it.
pub fn version() -> Result<String, String> {
    let output = Command::new(BINARY).arg("--version").output().map_err(|error| {
        format!("cannot run `{BINARY}`: {error}; Debian's package is `etcd-server`")
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    version
        .map(|version| version.trim().to_owned())
        .ok_or_else(|| format!("`{BINARY} --version` names no version: {text}"))
}

impl Cluster {
    /// Starts that many servers with their data in a fresh folder below `place`; returns when all of
    /// them are healthy.
    ///
    /// # Errors
    /// A server cannot be run or does not get healthy; says what its log ends with.
    pub fn start(servers: usize, place: &Path) -> Result<Cluster, String> {
        let folder = tempfile::Builder::new()
            .prefix("ringkeeper-bench-")
            .tempdir_in(place)
            .map_err(|error| format!("{}: {error}", place.display()))?;
        let own = folder.path();
        let ports: Vec<(u16, u16)> = (0..servers).map(|_| (free_port(), free_port())).collect();
        let name = |at: usize| format!("etcd{}", at + 1);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let all: Vec<String> = ports
            .iter()
            .enumerate()
            .map(|(at, (_, peer))| format!("{}={}", name(at), url(*peer)))
            .collect();
        let mut members = Vec::new();
        for (at, (client, peer)) in ports.iter().enumerate() {
            let log = own.join(format!("{}.log", name(at)));
            let explain = |error: std::io::Error| format!("{}: {error}", log.display());
            let out = File::create(&log).map_err(explain)?;
            let mut command = Command::new(BINARY);
            command
                .args(["--name", &name(at), "--data-dir"])
                .arg(own.join(name(at)))
                .args(["--listen-client-urls", &url(*client)])
                .args(["--advertise-client-urls", &url(*client)])
                .args(["--listen-peer-urls", &url(*peer)])
                .args(["--initial-advertise-peer-urls", &url(*peer)])
                .args(["--initial-cluster", &all.join(",")])
                .args(["--initial-cluster-state", "new", "--logger", "zap", "--log-level", "warn"])
                .stdin(Stdio::null())
                .stdout(out.try_clone().map_err(explain)?)
                .stderr(out);
            let process = Guarded::spawn(&mut command, Some(own)).map_err(|error| {
                format!("cannot run `{BINARY}`: {error}; Debian's package is `etcd-server`")
            })?;
            let client = SocketAddr::from((Ipv4Addr::LOCALHOST, *client));
            members.push(Member { process, client, log });
        }
        let cluster = Cluster { members, folder };
        cluster.members.iter().try_for_each(Member::wait_healthy)?;
        Ok(cluster)
    }

    /// Where clients connect; the leader comes first.
    ///
    /// # Errors
    /// A server does not say who leads.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let mut leaders = Vec::new();
        let mut others = Vec::new();
        for member in &self.members {
            let answer = http(member.client, "POST", "/v3/maintenance/status", "{}")?;
            let answer: Value = serde_json::from_str(&answer)
                .map_err(|error| format!("{}: status: {error}: {answer}", member.client))?;
            let leads = answer["leader"] == answer["header"]["member_id"];
            if leads { &mut leaders } else { &mut others }.push(member.client);
        }
        leaders.append(&mut others);
        Ok(leaders)
    }

    /// Where their data lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process ids.
    pub fn pids(&self) -> Vec<u32> {
        self.members.iter().map(|member| member.process.id()).collect()
    }
}

impl Member {
    fn wait_healthy(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let why = match http(self.client, "GET", "/health", "") {
                Ok(answer) if answer.contains(r#""health":"true""#) => return Ok(()),
                Ok(answer) => answer,
                Err(why) => why,
            };
            if !self.process.is_running() || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let skipped = log.lines().count().saturating_sub(TAIL_LINES);
                let tail: Vec<&str> = log.lines().skip(skipped).collect();
                return Err(format!("etcd did not start: {why}\n{}", tail.join("\n")));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// The body of the answer to one HTTP/1.0 request: no other way of asking needs as little.
fn http(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<String, String> {
    let explain = |error: std::io::Error| format!("{server}{path}: {error}");
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_TIMEOUT).map_err(explain)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(explain)?;
    let request =
        format!("{method} {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).map_err(explain)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(explain)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.to_owned()),
        None => Err(format!("{server}{path}: not an HTTP answer: {answer:?}")),
    }
}
