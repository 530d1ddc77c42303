//! Starting the server that the clients are tried on, and running a client to its end.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Config, Program, Server};
use tempfile::NamedTempFile;

/// A client that hangs is killed after this, so that its output so far can be shown.
const CLIENT_LIMIT: Duration = Duration::from_secs(300);
/// One answer in a conversation.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The server under test, with TTL nodes allowed and containers reaped twice a second. One to a
/// test: no test sees what another one left.
pub fn server() -> Server {
    server_with(Config::new())
}

/// A line that puts connections and state on one executor.
pub const ON_ONE_CORE: &str = "ringkeeper.cores=1";
/// A line that gives each of two executors connections and another one the state. ZooKeeper takes
/// either line for a property of which it knows nothing.
pub const ON_SEVERAL_CORES: &str = "ringkeeper.cores=3";

/// The same with more configuration.
pub fn server_with(config: Config) -> Server {
    let config = config
        .flag("-Dzookeeper.extendedTypesEnabled=true")
        .flag("-Dznode.container.checkIntervalMs=500");
    Server::start(program(), config)
}

/// Which server to test, by the environment variable.
pub fn program() -> Program {
    match env::var("RINGKEEPER_CLIENT_TESTS_AGAINST").as_deref() {
        Err(_) | Ok("ringkeeper") => {
            Program::Ringkeeper(PathBuf::from(env!("CARGO_BIN_EXE_ringkeeper")))
        }
        Ok("zookeeper-3.9") => Program::ZooKeeper39,
        Ok(other) => {
            panic!("RINGKEEPER_CLIENT_TESTS_AGAINST={other}: expected ringkeeper or zookeeper-3.9")
        }
    }
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
    let output_file = NamedTempFile::new().expect("a temporary file");
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

/// A client that is talked to line by line: what it writes is read while it runs.
pub struct Conversation {
    client: Child,
    stdin: ChildStdin,
    output_file: NamedTempFile,
    /// How much of the output the expectations so far have used up, in bytes.
    heard: usize,
}

impl Conversation {
    /// Starts the client.
    pub fn begin(mut command: Command) -> Self {
        let output_file = NamedTempFile::new().expect("a temporary file");
        let handle =
            || File::options().append(true).open(output_file.path()).expect("a temporary file");
        command.stdin(Stdio::piped()).stdout(handle()).stderr(handle());
        let mut client =
            command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let stdin = client.stdin.take().expect("standard input is piped, a few lines above");
        Conversation { client, stdin, output_file, heard: 0 }
    }

    /// Writes a line to it, then waits until each of the texts has come, one after the other.
    ///
    /// # Panics
    /// If one does not come in time; all of the output is then part of the message.
    pub fn say(&mut self, line: &str, expected: &[&str]) {
        writeln!(self.stdin, "{line}").expect("a client that reads");
        for text in expected {
            self.expect(text);
        }
    }

    /// Waits until the text has come, after whatever was expected before.
    pub fn expect(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            let output = self.output();
            if let Some(at) = output[self.heard..].find(text) {
                self.heard += at + text.len();
                return;
            }
            assert!(
                begun.elapsed() < ANSWER_LIMIT,
                "{text:?} did not come. All that came (the last {} bytes after the last match):\n{output}",
                output.len() - self.heard
            );
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Everything that came so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_file.path()).expect("the client's output is text")
    }

    /// Waits for its end, which it must have been told to come to.
    pub fn end(mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.client.try_wait().expect("waiting for a child") {
                return status;
            }
            assert!(begun.elapsed() < ANSWER_LIMIT, "the client does not end:\n{}", self.output());
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // Both do nothing to a client that has ended and been waited for.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
