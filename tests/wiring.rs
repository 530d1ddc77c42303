//! A server with session cores and a replica core: under full load, with a single client for a long time, started and
//! stopped on a machine whose processors are busy with other programs, and stopped by a signal during its start.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod raw;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use raw::Client;
use ringkeeper::proto::OpCode;
use ringkeeper_bench::definition::Definition;
use ringkeeper_bench::engine::{self, Target};
use ringkeeper_testkit::{Config, Server};

/// Numbers of executors, probably more than this machine has processors.
const CORES: [u32; 2] = [3, 8];

/// How long each load lasts.
const LOAD_SECONDS: f64 = 4.0;

/// How long a start, or an end, may take with a twentieth of a processor.
const PATIENCE: Duration = Duration::from_secs(60);

fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_ringkeeper")
}

fn start(cores: u32) -> Server {
    let config = Config::new()
        .line(&format!("ringkeeper.cores={cores}"))
        .line("maxClientCnxns=0")
        .line("maxSessionTimeout=120000");
    Server::ringkeeper(binary(), config)
}

#[test]
fn a_hundred_sessions_with_sixteen_requests_each_are_all_answered() {
    for cores in CORES {
        let server = start(cores);
        let mut target = Target::new(vec![server.socket_addr()]);
        target.threads = 2;
        for load in ["writes-100x16", "reads-100x16"] {
            let file = format!("{}/benches/definitions/{load}.toml", env!("CARGO_MANIFEST_DIR"));
            let mut definition = Definition::read(Path::new(&file)).unwrap();
            (definition.warm_up_s, definition.seconds) = (0.0, LOAD_SECONDS);
            let measured = engine::run(&target, &definition, None, &mut |_| {})
                .unwrap_or_else(|why| panic!("{load}, {cores}: {why}\n{}", server.log_tail(60)));
            assert!(measured.errors.is_empty(), "{load}, {cores}: {:?}", measured.errors);
            assert_eq!(measured.sessions_lost, 0, "{load}, {cores}: {}", server.log_tail(60));
            assert!(measured.all.count > 0, "{load}, {cores}: nothing was done");
        }
    }
}

#[test]
fn one_client_reads_more_often_than_sixteen_bits_count() {
    const READS: u32 = 70_000;
    let server = start(3);
    let mut client = Client::connect(server.socket_addr());
    client.create("/node", b"data", 0).ok();
    let request = raw::get("/node", false);
    for _ in 0..READS {
        client.call(OpCode::GetData, &request).ok();
    }
}

/// How often the threads of a process have gone to sleep by themselves, all together.
fn sleeps(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |task: std::io::Result<fs::DirEntry>| -> u64 {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    tasks.map(of).sum()
}

#[test]
fn a_server_with_nothing_to_do_wakes_a_few_times_a_second() {
    const SECONDS: u64 = 2;
    for cores in [1, 3] {
        let server = start(cores);
        let mut client = Client::connect(server.socket_addr());
        client.create("/node", b"data", 0).ok();
        client.call(OpCode::GetData, &raw::get("/node", false)).ok();
        // The server prepares files after the first write.
        std::thread::sleep(Duration::from_millis(500));
        let before = sleeps(server.pid());
        std::thread::sleep(Duration::from_secs(SECONDS));
        let count = sleeps(server.pid()) - before;
        // A tick of sessions, and a check for silent connections on each session core.
        assert!(count <= 10 * SECONDS, "{cores} executors: {count} times in {SECONDS} s");
    }
}

/// Busy loops on the processors; dropping it ends them.
struct BusyLoops(Vec<Child>);

impl BusyLoops {
    /// One loop for each processor.
    fn start() -> BusyLoops {
        let processors = std::thread::available_parallelism().unwrap().get();
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        BusyLoops((0..processors).map(|_| busy()).collect())
    }
}

impl Drop for BusyLoops {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts a server, at low priority if `nice`.
struct Process {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    fn start(folder: &Path, cores: u32, nice: bool) -> Process {
        Process::start_with(folder, cores, nice, "")
    }

    /// As `start`, with further lines of configuration.
    fn start_with(folder: &Path, cores: u32, nice: bool, lines: &str) -> Process {
        let config = folder.join("zoo.cfg");
        let data = folder.join("data");
        let text = format!(
            "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\nringkeeper.cores={cores}\n\
             admin.enableServer=false\n{lines}",
            data.display()
        );
        fs::write(&config, text).unwrap();
        Process::start_on(&config, nice)
    }

    /// On a configuration that somebody else writes.
    fn start_on(config: &Path, nice: bool) -> Process {
        let mut command = if nice {
            let mut command = Command::new("nice");
            command.args(["-n", "19", binary()]);
            command
        } else {
            Command::new(binary())
        };
        let mut child = command.arg("server").arg(config).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Process { child, lines, seen: Vec::new() }
    }

    /// Waits for a line that contains `text`.
    fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.seen.iter().any(|line| line.contains(text)) {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("{text:?} does not come:\n{}", self.seen.join("\n")),
            }
        }
    }

    fn stop(&self) {
        let kill = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(kill.success());
    }

    /// Waits for the end of the process; returns all its lines.
    fn ended(mut self) -> (i32, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.seen.join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        };
        self.seen.extend(self.lines.iter());
        (status.code().unwrap_or(-1), std::mem::take(&mut self.seen).join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_starts_serves_and_ends_beside_busy_loops_with_more_executors_than_processors() {
    let _busy = BusyLoops::start();
    for (cores, nice) in [(3, false), (8, false), (8, true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Process::start(folder.path(), cores, nice);
        server.wait_for("serving clients on");
        server.stop();
        let (code, lines) = server.ended();
        assert_eq!(code, 0, "{cores} executors, nice: {nice}:\n{lines}");
        assert!(lines.contains("SIGTERM: stopping") && lines.contains("stopped"), "{lines}");
    }
}

#[test]
fn a_signal_ends_it_at_any_moment_of_its_start() {
    let busy = BusyLoops::start();
    for cores in [1, 8] {
        for round in 0..12u64 {
            let folder = tempfile::tempdir().unwrap();
            let mut server = Process::start(folder.path(), cores, false);
            server.wait_for("starts, pid");
            std::thread::sleep(Duration::from_millis(round * round / 2));
            server.stop();
            let (code, lines) = server.ended();
            assert!(code == 0 || code == -1, "{cores} executors, round {round}: {code}\n{lines}");
            assert!(!lines.contains("panicked"), "{lines}");
        }
    }
    drop(busy);
}

/// Lets a server write enough znodes for a snapshot, so that the next server has something to read.
fn fill(folder: &Path, znodes: u32) {
    let mut server = Process::start(folder, 1, false);
    server.wait_for("serving clients on");
    let line = server.seen.iter().find(|line| line.contains("serving clients on")).unwrap();
    let at = line.split("serving clients on ").nth(1).unwrap().split(',').next().unwrap();
    let mut client = Client::connect(at.parse().unwrap());
    let (data, acl) = (vec![b'd'; 4096], raw::open_acl());
    for number in 0..znodes {
        let path = format!("/node-{number}");
        client.send(OpCode::Create, &raw::create(&path, &data, &acl, 0));
        if number % 64 == 63 {
            for _ in 0..64 {
                client.receive().unwrap().ok();
            }
        }
    }
    for _ in 0..znodes % 64 {
        client.receive().unwrap().ok();
    }
    server.stop();
    assert_eq!(server.ended().0, 0);
}

#[test]
fn a_signal_ends_it_while_it_reads_a_large_folder_and_the_next_start_finds_everything() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 20_000);
    let mut cut_short = 0;
    for cores in [1, 3] {
        for pause_ms in [0, 10, 30, 60] {
            let mut server = Process::start(folder.path(), cores, false);
            server.wait_for("running as");
            std::thread::sleep(Duration::from_millis(pause_ms));
            server.stop();
            let (code, lines) = server.ended();
            assert_eq!(code, 0, "{lines}");
            cut_short += u32::from(lines.contains("while reading the data: stopped"));
        }
    }
    assert!(cut_short > 0, "no signal came while the data was read");
    let mut server = Process::start(folder.path(), 3, false);
    server.wait_for("20005 znodes");
    server.wait_for("serving clients on");
}

/// A file that behaves like one on a file server that has gone: a process that opens it waits for the holder of its
/// lease (fcntl(2), F_SETLEASE), for up to 45 s.
struct Held(Child);

impl Held {
    fn begin(file: &Path) -> Held {
        const HOLD: &str = "import fcntl, os, signal, sys\n\
            file = os.open(sys.argv[1], os.O_RDWR)\n\
            fcntl.fcntl(file, 10, signal.SIGURG)\n\
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
            print('held', flush=True)\n\
            sys.stdin.read()\n";
        let mut holder = Command::new("python3")
            .args(["-c", HOLD])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n");
        Held(holder)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_start_for_which_a_file_does_not_come_says_which_and_a_signal_ends_it() {
    for cores in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("data/version-2");
        fs::create_dir_all(&state).unwrap();
        fs::write(folder.path().join("data/myid"), "1").unwrap();
        let waits = state.join("currentEpoch");
        fs::write(&waits, "0").unwrap();
        let _held = Held::begin(&waits);
        let members = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\ninitLimit=5\nsyncLimit=2\n";
        let mut server = Process::start_with(folder.path(), cores, false, members);
        let file = waits.display();
        server.wait_for(&format!("nothing was read for 5 s, waiting for {file};"));
        server.stop();
        let (code, lines) = server.ended();
        assert_eq!(code, 0, "{lines}");
        assert!(lines.contains("SIGTERM while reading the data: stopped"), "{lines}");
    }
}

#[test]
fn a_start_for_which_the_configuration_does_not_come_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // As a shell makes it of `<(…)`. The files that it names are not waited for.
    let waits = folder.path().join("zoo.cfg");
    assert!(Command::new("mkfifo").arg(&waits).status().unwrap().success());
    let mut server = Process::start_on(&waits, false);
    server.wait_for(&format!("waiting for {} to be read, 2 s so far", waits.display()));
    server.wait_for("to be read, 4 s so far");
    server.stop();
    let (code, lines) = server.ended();
    assert_eq!(code, -1, "it holds nothing that SIGTERM must not cut off: {lines}");
}
