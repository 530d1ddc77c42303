//! Starts the server under test, and runs a client program to its end.

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
/// How long a test waits for one answer in a conversation.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The server under test, which allows TTL nodes and removes empty containers twice a second. Each test has a server of
/// its own, so no test sees the nodes of another one.
pub fn server() -> Server {
    server_with(Config::new())
}

/// A line that puts connections and state on one executor.
pub const ON_ONE_CORE: &str = "ringkeeper.cores=1";
/// A line for two executors with connections, and one with the state. ZooKeeper ignores both lines as unknown
/// properties.
pub const ON_SEVERAL_CORES: &str = "ringkeeper.cores=3";

/// As [`server`], with further configuration.
pub fn server_with(config: Config) -> Server {
    let config = config
        .flag("-Dzookeeper.extendedTypesEnabled=true")
        .flag("-Dznode.container.checkIntervalMs=500");
    Server::start(program(), config)
}

/// The server to test, according to the environment variable.
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

/// Runs a client with this standard input, and returns what it wrote to standard output and standard error, in one
/// text.
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
    // If the client has ended early, its output says more than our broken pipe.
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

/// An interactive client: the test writes lines to it, and reads its output while it runs.
pub struct Conversation {
    client: Child,
    stdin: ChildStdin,
    output_file: NamedTempFile,
    /// How many bytes of the output earlier expectations have matched.
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

    /// Writes a line to the client, then waits until each of the texts has appeared, in this order.
    ///
    /// # Panics
    /// If a text does not appear in time; the message contains the whole output.
    pub fn say(&mut self, line: &str, expected: &[&str]) {
        writeln!(self.stdin, "{line}").expect("a client that reads");
        for text in expected {
            self.expect(text);
        }
    }

    /// Waits until the text appears after the texts that were expected before.
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

    /// The output so far.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_file.path()).expect("the client's output is text")
    }

    /// Waits for the end of the client, which the test must have told to end.
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
        // Neither call has an effect on a client that has ended and been waited for.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
