//! Starting the server that the clients are tried on, and running a client to its end.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Config, Program, Server};

/// A client that hangs is killed after this, so that its output so far can be shown.
const CLIENT_LIMIT: Duration = Duration::from_secs(300);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The server under test, with TTL nodes allowed and containers reaped twice a second. One to a
/// test: no test sees what another one left.
pub fn server() -> Server {
    server_with(Config::new())
}

/// The same with more configuration.
pub fn server_with(config: Config) -> Server {
    let config = config
        .flag("-Dzookeeper.extendedTypesEnabled=true")
        .flag("-Dznode.container.checkIntervalMs=500");
    let program = match env::var("RINGKEEPER_CLIENT_TESTS_AGAINST").as_deref() {
        Err(_) | Ok("ringkeeper") => {
            Program::Ringkeeper(PathBuf::from(env!("CARGO_BIN_EXE_ringkeeper")))
        }
        Ok("zookeeper-3.9") => Program::ZooKeeper39,
        Ok(other) => {
            panic!("RINGKEEPER_CLIENT_TESTS_AGAINST={other}: expected ringkeeper or zookeeper-3.9")
        }
    };
    Server::start(program, config)
}

/// The source files of the clients.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Runs a client with this standard input; returns what it wrote to standard output and error, in
/// one.
///
/// # Panics
/// If it cannot be started, does not end in time or ends with a failure; its output is then part of
/// the message.
pub fn run(mut command: Command, input: &str) -> String {
    let output_file = tempfile::NamedTempFile::new().expect("a temporary file");
    let handle =
        || File::options().append(true).open(output_file.path()).expect("a temporary file");
    command.stdin(Stdio::piped()).stdout(handle()).stderr(handle());
    let begun = Instant::now();
    let mut client =
        command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let mut stdin = client.stdin.take().expect("standard input is piped, a few lines above");
    // A client that ended early tells more by its output than by our broken pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let status = loop {
        if let Some(status) = client.try_wait().expect("waiting for a child") {
            break Some(status);
        }
        if begun.elapsed() > CLIENT_LIMIT {
            client.kill().expect("SIGKILL to a child that has not been waited for");
            client.wait().expect("waiting for a child");
            break None;
        }
        thread::sleep(POLL_INTERVAL);
    };
    let output =
        String::from_utf8_lossy(&fs::read(output_file.path()).expect("the client's output"))
            .into_owned();
    match status {
        Some(status) if status.success() => output,
        Some(status) => panic!("{command:?} ended with {status}:\n{output}"),
        None => panic!("{command:?} did not end within {CLIENT_LIMIT:?}:\n{output}"),
    }
}
