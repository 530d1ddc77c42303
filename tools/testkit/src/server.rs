//! One server process: starts, asks, signals and restarts it, and ends it cleanly whatever the test does.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::config::Config;
use crate::environment::Environment;
use crate::guarded::Guarded;
use crate::ports::free_port;

/// Long, because several Java machines may be starting on two cores at once. A server that exits
/// early ends the wait.
const START_TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(25);
const FOUR_LETTER_TIMEOUT: Duration = Duration::from_secs(10);
/// A test chooses ports before the server binds them, so another process can bind a port first.
const START_ATTEMPTS_MAX: u32 = 3;
pub(crate) const TAIL_LINES: usize = 60;

/// The program of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// `<binary> server <zoo.cfg>`; tests of the root package give
    /// `env!("CARGO_BIN_EXE_ringkeeper")`.
    Ringkeeper(PathBuf),
    /// Apache ZooKeeper 3.9.4, from the jars of the test environment.
    ZooKeeper39,
    /// Apache ZooKeeper 3.8.0, Debian's.
    ZooKeeper38,
}

impl Program {
    /// `ringkeeper`, `zookeeper-3.9` or `zookeeper-3.8`.
    pub fn name(&self) -> &'static str {
        match self {
            Program::Ringkeeper(_) => "ringkeeper",
            Program::ZooKeeper39 => "zookeeper-3.9",
            Program::ZooKeeper38 => "zookeeper-3.8",
        }
    }

    fn command(&self, config_file: &Path, config: &Config) -> Command {
        let class_path = match self {
            Program::Ringkeeper(binary) => {
                let mut command = Command::new(binary);
                command.arg("server").arg(config_file);
                command.env("SERVER_JVMFLAGS", config.properties()).env_remove("JVMFLAGS");
                return command;
            }
            Program::ZooKeeper39 => Environment::found().class_path_3_9(),
            Program::ZooKeeper38 => Environment::found().class_path_3_8_with_netty(),
        };
        let mut command = Command::new("java");
        command.args(config.java_flags()).args(["-cp", &class_path]);
        command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(config_file);
        command
    }
}

/// A server in a folder of its own, on a loopback port of its own. Dropping it kills the server.
#[derive(Debug)]
pub struct Server {
    program: Program,
    config: Config,
    folder: TempDir,
    data_dir: PathBuf,
    port: u16,
    /// Whether `zoo.cfg` is written before each start, or left as the server itself wrote it.
    writes_config: bool,
    running: Option<Guarded>,
}

impl Server {
    /// Starts ringkeeper; returns when it answers `srvr`. `binary` is
    /// `env!("CARGO_BIN_EXE_ringkeeper")`.
    pub fn ringkeeper(binary: impl Into<PathBuf>, config: Config) -> Self {
        Self::start(Program::Ringkeeper(binary.into()), config)
    }

    /// Starts Apache ZooKeeper 3.9.4; returns when it answers `srvr`.
    pub fn zookeeper_3_9(config: Config) -> Self {
        Self::start(Program::ZooKeeper39, config)
    }

    /// Starts any of the programs; returns when it answers `srvr`.
    ///
    /// # Panics
    /// If the server exits or does not answer in time; the message has the end of its log.
    pub fn start(program: Program, config: Config) -> Self {
        Self::launch(program, config).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Like [`Server::start`], for a caller that can handle a failure.
    ///
    /// # Errors
    /// The server exits or does not answer in time; the text has the end of its log.
    pub fn launch(program: Program, config: Config) -> Result<Self, String> {
        let mut server = Self::prepare(program, config);
        for attempt in 1.. {
            match server.try_start() {
                Ok(()) => break,
                Err(_)
                    if attempt < START_ATTEMPTS_MAX
                        && server.config.fixed_port().is_none()
                        && server.lost_its_port() =>
                {
                    server.port = free_port();
                }
                Err(why) => return Err(server.not_started(&why)),
            }
        }
        Ok(server)
    }

    /// Makes only folder, port and configuration, so that a test can fill the data folder first. The server runs
    /// after [`Server::restart`], [`Server::restart_as`], [`Server::spawn`] or [`Server::run_to_exit`].
    pub fn prepare(program: Program, config: Config) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("ringkeeper-test-")
            .tempdir()
            .expect("a temporary folder");
        let data_dir = config.data_dir_or(folder.path().join("data"));
        fs::create_dir_all(&data_dir).expect("a data folder");
        let port = config.fixed_port().unwrap_or_else(free_port);
        Server { program, config, folder, data_dir, port, writes_config: true, running: None }
    }

    /// kill -9; waits until the process is gone. Does nothing if the server does not run.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill();
        }
    }

    /// SIGTERM; returns the exit status and how long the server took. Kills and panics if it takes
    /// longer than `limit`.
    pub fn terminate(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait_exit(limit);
        (status, begun.elapsed())
    }

    /// SIGSTOP: the process keeps its sockets and does nothing. Returns when all its threads have stopped, because a
    /// thread that is in the kernel at the moment of the signal may go on for a little.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let begun = Instant::now();
        while !self.all_threads_stopped() {
            assert!(begun.elapsed() < START_TIMEOUT, "a server does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn all_threads_stopped(&self) -> bool {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid())) else { return false };
        tasks.flatten().all(|task| {
            // A thread that has ended meanwhile counts as stopped.
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }

    /// SIGCONT, after [`Server::pause`].
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Starts again on the same folder and port, after [`Server::kill`] if it runs; returns when it
    /// answers `srvr`.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(why) = self.try_start() {
            panic!("{}", self.not_started(&why));
        }
    }

    /// Like [`Server::restart`], as another program: the folder changes hands.
    pub fn restart_as(&mut self, program: Program) {
        self.kill();
        self.program = program;
        self.restart();
    }

    /// Like [`Server::restart`], with other lines and flags; folder and port stay.
    pub fn restart_with(&mut self, config: Config) {
        self.kill();
        self.config = config;
        self.restart();
    }

    /// Sets other lines and flags for the next start.
    ///
    /// # Panics
    /// If it runs.
    pub fn reconfigure(&mut self, config: Config) {
        assert!(self.running.is_none(), "the server runs with the options that it has");
        self.config = config;
    }

    /// From now on a start leaves `zoo.cfg` as the run before left it: servers rewrite it when they are reconfigured.
    /// Lines and flags given later have no effect on the file.
    pub fn keep_config_file(&mut self) {
        self.writes_config = false;
    }

    /// The opposite of [`Server::keep_config_file`]: the next start writes `zoo.cfg` anew.
    pub fn write_config_file(&mut self) {
        self.writes_config = true;
    }

    /// Starts the process and does not wait for it to serve.
    pub fn spawn(&mut self) {
        self.kill();
        let config_file = self.folder.path().join("zoo.cfg");
        if self.writes_config || !config_file.exists() {
            fs::write(&config_file, self.config.text(&self.data_dir, self.port, &self.program))
                .expect("writing zoo.cfg");
        }
        let mut log = self.open_log();
        writeln!(log, "---- {} on port {}", self.program.name(), self.port)
            .expect("writing to the log");
        let mut command = self.program.command(&config_file, &self.config);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command.envs(self.config.variables().iter().map(|(name, value)| (name, value)));
        command.stdout(log.try_clone().expect("a second handle of the log")).stderr(log);
        let child = match self.config.place() {
            None => command.spawn(),
            Some(namespace) => namespace.run(|| command.spawn()),
        };
        let child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let folder = (!keeps_folders()).then(|| self.folder.path());
        self.running = Some(Guarded::watch(child, folder));
    }

    /// Sets another program for the next start.
    ///
    /// # Panics
    /// If it runs.
    pub fn become_program(&mut self, program: Program) {
        assert!(self.running.is_none(), "the server runs as the program that it is");
        self.program = program;
    }

    /// The lines and flags of the next start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Starts a server that must refuse to start: returns its exit status and its output. Kills it and panics if it
    /// runs longer than `limit`.
    pub fn run_to_exit(&mut self, limit: Duration) -> (ExitStatus, String) {
        let before = fs::metadata(self.log_file()).map_or(0, |meta| meta.len());
        self.spawn();
        let status = self.wait_exit(limit);
        let log = fs::read(self.log_file()).expect("reading the log");
        let from = usize::try_from(before).expect("a log that fits into memory");
        (status, String::from_utf8_lossy(&log[from..]).into_owned())
    }

    /// Waits until the process ends by itself. Kills it and panics after `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let begun = Instant::now();
        while self.is_running() {
            if begun.elapsed() > limit {
                self.kill();
                panic!(
                    "{} still runs after {limit:?}\n{}",
                    self.program.name(),
                    self.log_tail(TAIL_LINES)
                );
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.running.take().expect("a server that was started").wait()
    }

    /// Waits until the server answers `srvr`. For use after [`Server::spawn`].
    pub fn wait_serving(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if self.try_four_letter("srvr").is_ok_and(|text| text.starts_with("Zookeeper version:"))
            {
                return Ok(());
            }
            if !self.is_running() {
                return Err(format!("it ended with {}", self.wait_exit(Duration::ZERO)));
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(format!("no answer to srvr within {START_TIMEOUT:?}"));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// True while the process exists.
    pub fn is_running(&mut self) -> bool {
        self.running.as_ref().is_some_and(Guarded::is_running)
    }

    /// The answer to a four-letter word.
    ///
    /// # Panics
    /// If the server cannot be reached.
    pub fn four_letter(&self, word: &str) -> String {
        self.try_four_letter(word)
            .unwrap_or_else(|error| panic!("{word} to {}: {error}", self.address()))
    }

    /// The answer to a four-letter word, or why there is none.
    pub fn try_four_letter(&self, word: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.socket_addr(), FOUR_LETTER_TIMEOUT)?;
        stream.set_read_timeout(Some(FOUR_LETTER_TIMEOUT))?;
        stream.write_all(word.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let _ = stream.shutdown(Shutdown::Both);
        String::from_utf8(answer).map_err(io::Error::other)
    }

    /// The program that the server is now.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// `HOST:PORT`, the connect string for clients; the host is 127.0.0.1 unless the test chose another.
    pub fn address(&self) -> String {
        self.socket_addr().to_string()
    }

    /// [`Server::address`], for sockets.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::from((self.config.host_or_loopback(), self.port))
    }

    /// The client port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("a running server").id()
    }

    /// The temporary folder: `zoo.cfg`, `log` and, unless the test chose another, `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `dataDir`. Files lie in `version-2` below it.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Standard output and error of every run of this server, one after the other.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The last `lines` lines of [`Server::log_file`].
    pub fn log_tail(&self, lines: usize) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let skipped = log.lines().count().saturating_sub(lines);
        log.lines().skip(skipped).map(|line| format!("  | {line}\n")).collect()
    }

    /// Waits until `words` are in the last lines of the log, because a server may answer before it writes its lines.
    ///
    /// # Panics
    /// If they are not there after ten seconds.
    pub fn wait_for_log(&self, words: &str) {
        let begun = Instant::now();
        while !self.log_tail(300).contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{words}:\n{}", self.log_tail(50));
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn try_start(&mut self) -> Result<(), String> {
        self.spawn();
        self.wait_serving()
    }

    fn not_started(&mut self, why: &str) -> String {
        self.kill();
        format!("{} did not start: {why}\n{}", self.program.name(), self.log_tail(TAIL_LINES))
    }

    fn lost_its_port(&self) -> bool {
        self.log_tail(TAIL_LINES).to_lowercase().contains("address already in use")
    }

    fn open_log(&self) -> File {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the server's log")
    }

    /// SIGQUIT: the server writes a summary of its state into its log.
    pub fn ask_for_summary(&self) {
        self.signal(Signal::QUIT);
    }

    /// SIGUSR1: the server reads its certificates again.
    pub fn reload_certificates(&self) {
        self.signal(Signal::USR1);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id is a positive int");
        kill_process(pid, signal).expect("a signal to a child that has not been waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!(
                "The end of the log of {}:\n{}",
                self.program.name(),
                self.log_tail(TAIL_LINES)
            );
        }
        if keeps_folders() {
            self.folder.disable_cleanup(true);
            eprintln!("kept {}", self.folder.path().display());
        }
    }
}

fn keeps_folders() -> bool {
    env::var_os("RINGKEEPER_KEEP_TEST_FOLDERS").is_some()
}
