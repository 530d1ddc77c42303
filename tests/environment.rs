//! Limits of the process, signals, folders and ports: when the server refuses to start, what it says, and when it
//! starts all the same. `config check` must say the same.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_rawclient::Session;
use ringkeeper_testkit::{Config, Program, Server};
use rustix::process::{Pid, Signal, kill_process};

const TIMEOUT_MS: i32 = 30_000;

/// A folder with a configuration file for a server without clients.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(lines: &str) -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder for tests") };
        place.configure(&format!("dataDir={}\n{lines}", place.path("data").display()));
        place
    }

    fn configure(&self, text: &str) {
        let text = format!("clientPort=0\nclientPortAddress=127.0.0.1\n{text}\n");
        fs::write(self.path("zoo.cfg"), text).expect("a folder for tests");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `ringkeeper WORDS zoo.cfg` in a shell that has set limits.
    fn run(&self, limits: &str, words: &str) -> (Option<i32>, String) {
        let script = format!("{limits} exec \"$0\" {words} zoo.cfg");
        let mut command = Command::new("bash");
        command.args(["-c", &script, binary()]).current_dir(self.folder.path());
        finish(&mut command)
    }

    /// As `run`, but as another user without privileges; `None` if this user may not change to another one.
    fn run_as_another(&self, limits: &str, words: &str) -> Option<(Option<i32>, String)> {
        // Each test has a user of its own, because limits count all processes of a user.
        Some(finish(&mut self.as_user(54_321, limits, words)?))
    }

    fn as_user(&self, user: u32, limits: &str, words: &str) -> Option<Command> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        // The user may have no access to the folder of the build.
        let program = self.path("ringkeeper");
        // Another process makes the copy. If this process did, the programs that other tests start meanwhile would
        // inherit the open descriptor, and the kernel runs no program that is open for writing.
        let copied = Command::new("cp").arg(binary()).arg(&program).status().expect("cp is there");
        assert!(copied.success(), "a copy of the program");
        std::os::unix::fs::chown(self.folder.path(), Some(user), None).expect("chown as root");
        let script = format!("{limits} exec ./ringkeeper {words} zoo.cfg");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(self.folder.path()).uid(user);
        Some(command)
    }
}

/// Runs a command that ends by itself; returns its exit code and its output.
fn finish(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_remove("SERVER_JVMFLAGS")
        .env_remove("JVMFLAGS")
        .spawn()
        .expect("bash is there");
    let begun = Instant::now();
    let mut in_time = true;
    while child.try_wait().expect("our child").is_none() {
        if begun.elapsed() > Duration::from_secs(30) {
            in_time = false;
            child.kill().expect("our child");
        }
        thread::sleep(Duration::from_millis(10));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().expect("its output");
    let said = String::from_utf8_lossy(&stdout) + String::from_utf8_lossy(&stderr);
    assert!(in_time, "it did not end:\n{said}");
    (status.code(), said.into_owned())
}

fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_ringkeeper")
}

/// The server and `config check` both refuse, and say all of `words`.
fn refused(place: &Place, limits: &str, words: &[&str]) {
    for (command, code) in [("server", 1), ("config check", 1)] {
        let (found, said) = place.run(limits, command);
        assert_eq!(found, Some(code), "{limits} {command}:\n{said}");
        for word in words {
            assert!(said.contains(word), "{limits} {command}: no {word:?} in\n{said}");
        }
        assert!(!said.contains("would start\n"), "{said}");
    }
}

#[test]
fn limits_that_are_too_small_are_refused_with_the_numbers() {
    let place = Place::new("ringkeeper.cores=1");
    refused(&place, "ulimit -l 64;", &["only 64 KiB of memory may be locked", "`ulimit -l 512`"]);
    refused(&place, "ulimit -n 64;", &["only 64 files may be open", "needs 96", "LimitNOFILE"]);
    refused(
        &place,
        "ulimit -f 100;",
        &["at most 100 KiB (RLIMIT_FSIZE)", "66560 KiB", "`ulimit -f unlimited`"],
    );
    // All errors at once, each with its remedy.
    refused(&place, "ulimit -l 64 -n 64;", &["`ulimit -l 512`", "`ulimit -Hn 65536`"]);
}

#[test]
fn a_server_waits_a_moment_for_memory_that_others_of_its_user_have_locked() {
    // Only one server at a time can lock the memory that it needs.
    let lines = "ringkeeper.cores=1";
    let (first, second) = (Place::new(lines), Place::new(lines));
    let start = |place: &Place| {
        let log = fs::File::create(place.path("log")).expect("a folder for tests");
        let mut command = place.as_user(54_322, "ulimit -l 512;", "server")?;
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a file")).stdout(log);
        Some(command.spawn().expect("bash is there"))
    };
    let says = |place: &Place, words: &str| {
        fs::read_to_string(place.path("log")).expect("its log").contains(words)
    };
    let until = |place: &Place, words: &str| {
        let begun = Instant::now();
        while !says(place, words) {
            let log = fs::read_to_string(place.path("log")).expect("its log");
            assert!(begun.elapsed() < Duration::from_secs(30), "no {words:?} in\n{log}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    let Some(mut holder) = start(&first) else {
        eprintln!("NOT CHECKED: becoming another user takes root");
        return;
    };
    until(&first, "serving clients on");
    // The other server stays, so this one ends and says why.
    let mut waiting = start(&second).expect("as before");
    until(&second, "trying again for some seconds");
    let status = waiting.wait().expect("our child");
    assert_eq!(status.code(), Some(1));
    assert!(says(&second, "all processes of this user together may lock 512 KiB"));
    assert!(!says(&second, "ringkeeper.cores=0"));
    // The other server ends soon, and then this one serves.
    let mut waiting = start(&second).expect("as before");
    until(&second, "trying again for some seconds");
    holder.kill().expect("our child");
    holder.wait().expect("our child");
    until(&second, "serving clients on");
    waiting.kill().expect("our child");
    waiting.wait().expect("our child");
}

#[test]
fn limits_on_a_user_are_refused_with_the_numbers() {
    for command in ["server", "config check"] {
        let place = Place::new("ringkeeper.cores=3");
        for threads in 1..=5 {
            let limits = format!("ulimit -u {threads};");
            let Some((code, said)) = place.run_as_another(&limits, command) else {
                eprintln!("NOT CHECKED: becoming another user takes root");
                return;
            };
            assert_eq!(code, Some(1), "{said}");
            let limit = format!("this user may have {threads} (RLIMIT_NPROC");
            for word in ["of the 18 threads", &limit, "`ulimit -u 4096`"] {
                assert!(said.contains(word), "no {word:?} in\n{said}");
            }
        }
        // The limit on locked memory does not bind root. It would be enough for one executor.
        let (code, said) = place.run_as_another("ulimit -l 1024;", command).expect("as before");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("rings of 3 executors need 1536 KiB"), "{said}");
        assert!(said.contains("`ulimit -l 1536`"), "{said}");
    }
}

#[test]
fn a_data_folder_that_is_none_is_named() {
    let place = Place::new("");
    fs::write(place.path("data"), "I am a file").expect("a folder for tests");
    refused(&place, "", &["data is a file, and dataDir and dataLogDir name folders"]);
    let place = Place::new("datadir.autocreate=false");
    refused(&place, "", &["does not exist, and zookeeper.datadir.autocreate=false forbids"]);
    let place = Place::new("");
    place.configure("dataDir=/proc/self/data");
    refused(&place, "", &["/proc/self"]);
}

#[test]
fn a_check_where_nothing_is_in_the_way_says_so_and_makes_nothing() {
    let place = Place::new("ringkeeper.cores=1");
    let (code, said) = place.run("", "config check");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.ends_with("zoo.cfg: a server would start\n"), "{said}");
    assert!(!place.path("data").exists());
    for says in [
        "data is not there: a server makes it, and begins with a NEW, EMPTY database",
        "executor for connections and state, bound to",
        "connections together may hold",
        "watches together may hold",
        "connections: 60 of clients from one address, any number together",
        "at most 1024 entries in an ACL, 10000 operations in a multi, 20000 ephemeral nodes of a session",
        "at most 1048575 bytes in a request of a client, 64 MiB in the reply to one multiRead",
    ] {
        assert!(said.contains(says), "no {says:?} in\n{said}");
    }
    fs::create_dir(place.path("data")).expect("a folder for tests");
    let (_, said) = place.run("", "config check");
    assert!(said.contains("data holds no data: a server begins with a NEW, EMPTY"), "{said}");
    place.configure("dataDir=~/zk\ndataLogDir=./logs");
    let (code, said) = place.run("", "config check");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("dataDir: ~ is not expanded: this names ~/zk in the folder"), "{said}");
    assert!(said.contains("dataLogDir ./logs is not there: a server makes it"), "{said}");
    assert!(!place.path("~").exists());
}

#[test]
fn what_has_the_name_of_a_servers_file_ends_the_start_and_not_the_first_write() {
    for name in ["log.1", "snapshot.0", "prepared-segment-1"] {
        let place = Place::new("ringkeeper.cores=1");
        fs::create_dir_all(place.path("data/version-2").join(name)).expect("a folder for tests");
        let says = format!("version-2/{name} is a folder, and the server has a file of that name");
        refused(&place, "", &[&says, "move it aside"]);
    }
}

#[test]
fn a_pipe_where_the_configuration_names_a_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder for tests");
    let pipe = folder.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).expect("a pipe for tests");
    let pipe = pipe.display();
    for lines in [
        format!(
            "secureClientPort=29999\nssl.keyStore.location={pipe}\nssl.keyStore.type=PEM\nssl.clientAuth=none"
        ),
        format!("ringkeeper.java.security.auth.login.config={pipe}"),
        format!("dynamicConfigFile={pipe}"),
    ] {
        let place = Place::new(&lines);
        for command in ["server", "config check"] {
            let (code, said) = place.run("", command);
            assert!(matches!(code, Some(1 | 2)), "{command} with {lines}: {code:?}\n{said}");
            assert!(said.contains("it is no regular file"), "{command} with {lines}:\n{said}");
        }
    }
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let place = Place::new("");
    let zone = |zone: &str| {
        let data = place.path("data");
        let text =
            format!("clientPort=0\nclientPortAddress=::1%{zone}\ndataDir={}\n", data.display());
        fs::write(place.path("zoo.cfg"), text).expect("a folder for tests");
    };
    zone("nosuch");
    refused(&place, "", &["no interface named nosuch", "clientPortAddress"]);
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        zone("lo");
        let (code, said) = place.run("", "config check");
        assert_eq!(code, Some(0), "{said}");
    }
}

/// The output of a server that gives up because another process has its client port.
#[test]
fn the_lines_of_a_member_name_it_from_the_first_and_promise_no_more_than_is_tried() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let place = Place::new("");
    fs::create_dir(place.path("data")).expect("a folder for tests");
    fs::write(place.path("data/myid"), "2\n").expect("a folder for tests");
    let members: String = (1..=3).map(|id| format!("server.{id}=127.0.0.{id}:1:2\n")).collect();
    place.configure(&format!(
        "dataDir={}\ndataLogDir={}\nclientPort={port}\ninitLimit=5\nsyncLimit=5\nringkeeper.cores=1\n{members}",
        place.path("data").display(),
        place.path("logs").display(),
    ));
    let (code, said) = place.run("", "server");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot listen on 127.0.0.1:"), "{said}");
    assert!(said.contains("[server=2 ") && !said.contains("[server=0 "), "{said}");
    assert!(!said.contains("opening the client port"), "{said}");
    let warned = |l: &str| l.contains("WARN") && l.contains("logs is not there: a server makes it");
    assert!(said.lines().any(warned), "{said}");
}

#[test]
fn ports_that_another_process_has_are_named_and_the_check_denies_nothing_for_them() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let place = Place::new("");
    let data = format!("dataDir={}\n", place.path("data").display());
    fs::write(
        place.path("zoo.cfg"),
        format!("{data}clientPort={port}\nclientPortAddress=127.0.0.1\n"),
    )
    .expect("a folder for tests");
    let (code, said) = place.run("", "server");
    assert_eq!(code, Some(1), "{said}");
    for word in ["(clientPort): Address already in use", "Another process has it", "ss -ltnp"] {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    must_be_taken(&place, &format!("127.0.0.1:{port} (clientPort)"));

    fs::write(place.path("data/myid"), "1\n").expect("the server made the folder");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let free = free.local_addr().expect("its address").port();
    let member = |port: u16, retry: u32, other: &str| {
        place.configure(&format!(
            "{data}initLimit=5\nsyncLimit=2\nelectionPortBindRetry={retry}\n\
             server.1=127.0.0.1:{port}:{free}\nserver.2={other}:2:3\nserver.3=127.0.0.1:4:5\n"
        ));
    };
    member(port, 1, "127.0.0.1");
    let quorum_port = format!("127.0.0.1:{port} (quorum port of server.1)");
    must_be_taken(&place, &quorum_port);
    let (code, said) = place.run("", "server");
    assert!(code == Some(1) && said.contains("Address already in use"), "{said}");
    // A server that tries for ever starts, and the check says so.
    member(port, 0, "127.0.0.1");
    let (code, said) = place.run("", "config check");
    assert!(code == Some(0) && said.contains(&quorum_port), "{said}");
    assert!(said.contains("keeps trying") && said.ends_with("a server would start\n"), "{said}");
    let ports = format!(
        "port {port} for learners and {free} for votes; hosts that may connect there: ringkeeper.peerAddressCheck=members"
    );
    assert!(said.contains(&ports), "{said}");

    // The port where observers learn from this server.
    place.configure(&format!(
        "{data}initLimit=5\nsyncLimit=2\nobserverMasterPort={port}\n\
         server.1=127.0.0.1:0:{free}\nserver.2=127.0.0.1:2:3\nserver.3=127.0.0.1:4:5\n"
    ));
    must_be_taken(&place, &format!("127.0.0.1:{port} (observerMasterPort)"));

    // An address of another machine is an error: no server can ever listen there.
    place.configure(&format!(
        "{data}initLimit=5\nsyncLimit=2\nserver.1=192.0.2.1:5:{free}\nserver.2=127.0.0.1:2:3\n"
    ));
    let (code, said) = place.run("", "config check");
    assert!(code == Some(1) && said.contains("192.0.2.1:5 (quorum port of server.1)"), "{said}");
    drop(taken);
    member(0, 1, "no-such-host.invalid");
    let (_, said) = place.run("", "config check");
    assert!(said.contains("server.2: no-such-host.invalid cannot be resolved"), "{said}");
    assert!(said.contains("resolves the name again at each attempt"), "{said}");
}

/// The check names a port that the test's process has, and still says that a server would start: usually, the port
/// belongs to the server that will be replaced.
fn must_be_taken(place: &Place, what: &str) {
    let (code, said) = place.run("", "config check");
    assert_eq!(code, Some(0), "{said}");
    let me = format!("{what} is taken now, by ");
    for word in
        [&me[..], &format!("(pid {})", std::process::id()), "stop it before this one starts"]
    {
        assert!(said.contains(word), "no {word:?} in\n{said}");
    }
    assert!(said.ends_with("would start once the ports that are taken now are free\n"), "{said}");
}

#[test]
fn a_port_that_this_user_may_not_have_is_named_with_the_privilege() {
    let first_free = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_free.is_ok_and(|port| port.trim().parse::<u16>().is_ok_and(|port| port < 1023)) {
        eprintln!("NOT CHECKED: every user may have every port here");
        return;
    }
    let place = Place::new("");
    let data = place.path("data").display().to_string();
    fs::create_dir_all(place.path("data")).expect("a folder for tests");
    fs::write(place.path("data/myid"), "1\n").expect("a folder for tests");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(place.path("data"), open).expect("our folder");
    let free = ringkeeper_testkit::free_port();
    let members = "initLimit=5\nsyncLimit=2\nserver.2=127.0.0.1:2:3\nserver.3=127.0.0.1:4:5";
    for (lines, what) in [
        (format!("clientPort=1023\ndataDir={data}"), "(clientPort)"),
        (format!("dataDir={data}\n{members}\nserver.1=127.0.0.1:1022:0"), "quorum port of"),
        (format!("dataDir={data}\n{members}\nserver.1=127.0.0.1:0:1022"), "election port of"),
        (
            format!(
                "dataDir={data}\n{members}\nserver.1=127.0.0.1:0:{free}\nobserverMasterPort=1021"
            ),
            "(observerMasterPort)",
        ),
    ] {
        place.configure(&lines);
        let Some((code, said)) = place.run_as_another("", "config check") else {
            eprintln!("NOT CHECKED: becoming another user takes root");
            return;
        };
        assert_eq!(code, Some(1), "{said}");
        let line = said.lines().find(|line| line.contains(what)).unwrap_or_default();
        assert!(line.contains("Permission denied"), "{what}: {said}");
        assert!(line.contains("CAP_NET_BIND_SERVICE") && !line.contains("ss -ltnp"), "{said}");
    }
}

#[test]
fn what_another_user_may_not_use_is_named_by_the_check_as_by_the_server() {
    for command in ["server", "config check"] {
        let place = Place::new("ringkeeper.cores=1");
        // The data folder belongs to root, as after a run as root; the folders in it do not.
        let inner = place.path("data/version-2");
        fs::create_dir_all(&inner).expect("a folder for tests");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&inner, open).expect("our folder");
        let Some((code, said)) = place.run_as_another("", command) else {
            eprintln!("NOT CHECKED: becoming another user takes root");
            return;
        };
        assert!(code == Some(1) && said.contains("Permission denied"), "{command}: {said}");
        assert!(said.contains("(for the user with uid 54321)"), "{command}: {said}");
        assert!(said.contains("`chown -R`"), "{command}: {said}");
        let path = place.path("dyn");
        fs::write(&path, "server.1=a:1:2\n").expect("a folder for tests");
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, closed).expect("our file");
        place
            .configure(&format!("dataDir={}\ndynamicConfigFile=dyn", place.path("data").display()));
        let (code, said) = place.run_as_another("", command).expect("as before");
        assert!(
            code == Some(2) && said.contains("dyn: cannot be read: Permission denied"),
            "{said}"
        );
    }
}

#[test]
fn files_in_a_folder_that_another_user_closed_are_not_said_to_be_there() {
    for command in ["server", "config check"] {
        for closed in ["data", "data/version-2"] {
            let place = Place::new("ringkeeper.cores=1");
            fs::create_dir_all(place.path("data/version-2")).expect("a folder for tests");
            let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs::set_permissions(place.path("data"), mode(0o777)).expect("our folder");
            fs::set_permissions(place.path(closed), mode(0o700)).expect("our folder");
            let Some((code, said)) = place.run_as_another("", command) else {
                eprintln!("NOT CHECKED: becoming another user takes root");
                return;
            };
            assert_eq!(code, Some(2), "{command} {closed}: {said}");
            assert!(!said.contains("only members of an ensemble"), "{command} {closed}: {said}");
            for says in ["cannot be read", "Permission denied", "uid 54321", "`chown -R`"] {
                assert!(said.contains(says), "{command} {closed}: no {says:?} in\n{said}");
            }
        }
    }
}

#[test]
fn a_check_beside_a_running_server_says_so_and_does_not_call_its_ports_taken() {
    let server = Server::start(Program::Ringkeeper(binary().into()), Config::new());
    let said = finish(
        Command::new(binary()).args(["config", "check"]).arg(server.folder().join("zoo.cfg")),
    );
    assert_eq!(said.0, Some(0), "{}", said.1);
    let says = format!("is in use by a ringkeeper server (pid {})", server.pid());
    assert!(said.1.contains(&says), "{}", said.1);
}

#[test]
fn flags_beside_the_configuration_that_nobody_reads_are_named() {
    let place = Place::new("ringkeeper.cores=1");
    fs::write(place.path("java.env"), "export JVMFLAGS=\"-Dzookeeper.snapCount=7\"\n")
        .expect("a folder for tests");
    let (code, said) = place.run("", "config check");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("java.env:1: -Dzookeeper.snapCount: has no effect here"), "{said}");
}

#[test]
fn a_member_that_knows_no_other_does_not_stand_alone() {
    let place = Place::new("standaloneEnabled=false\ndynamicConfigFile=dyn");
    fs::write(place.path("dyn"), "# nobody\n").expect("a folder for tests");
    let (code, said) = place.run("", "server");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("dyn: there is no server.N in it"), "{said}");

    // With its epoch files, the data of a member makes the server refuse the configuration; without them, the data.
    let place = Place::new("");
    let version_2 = place.path("data/version-2");
    fs::create_dir_all(&version_2).expect("a folder for tests");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datadir-3.10-HEAD");
    for entry in fs::read_dir(golden.join("version-2")).expect("the golden folder") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), version_2.join(entry.file_name())).expect("a copy");
    }
    let (code, said) = place.run("", "server");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("acceptedEpoch: only members of an ensemble"), "{said}");
    for name in ["acceptedEpoch", "currentEpoch"] {
        fs::remove_file(version_2.join(name)).expect("it was there");
    }
    let (code, said) = place.run("", "server");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("/zookeeper/config lists them"), "{said}");
    assert!(said.contains("server.1=localhost:2888:3888"), "{said}");
}

#[test]
fn signals_do_what_they_do_to_a_jvm_and_say_so() {
    let mut server =
        Server::start(Program::Ringkeeper(binary().into()), Config::new().line("tickTime=2000"));
    let pid = Pid::from_raw(i32::try_from(server.pid()).expect("a pid")).expect("a pid");
    let mut session = Session::open(server.socket_addr(), TIMEOUT_MS).expect("a session");
    for (signal, expected) in [
        (Signal::QUIT, "state: Mode: standalone"),
        (Signal::USR1, "SIGUSR1: has no effect, the server continues"),
        (Signal::USR2, "SIGUSR2: has no effect"),
    ] {
        kill_process(pid, signal).expect("a signal");
        server.wait_for_log(expected);
        session.get_data("/zookeeper", false).expect("it goes on");
    }
    let log = server.log_tail(200);
    assert!(log.contains("thread rk-signals"), "{log}");
    assert!(log.contains("state: Zxid: 0x"), "{log}");
    kill_process(pid, Signal::HUP).expect("a signal");
    server.wait_for_log("SIGHUP: stopping");
    let begun = Instant::now();
    while server.is_running() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", server.log_tail(50));
        thread::sleep(Duration::from_millis(10));
    }
    assert!(server.log_tail(20).contains("stopped"), "{}", server.log_tail(20));
}

#[test]
fn a_server_under_nohup_does_not_end_with_its_terminal() {
    let place = Place::new("ringkeeper.cores=1");
    let script = "trap '' HUP; exec \"$0\" server zoo.cfg";
    let mut child = Command::new("bash")
        .args(["-c", script, binary()])
        .current_dir(place.folder.path())
        .stderr(fs::File::create(place.path("log")).expect("a log"))
        .spawn()
        .expect("bash is there");
    let log = || fs::read_to_string(place.path("log")).unwrap_or_default();
    let wait = |words: &str| {
        let begun = Instant::now();
        while !log().contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{words}:\n{}", log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    wait("serving clients");
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::HUP).expect("a signal");
    kill_process(pid, Signal::USR1).expect("a signal");
    wait("SIGUSR1: has no effect");
    assert!(
        child.try_wait().expect("our child").is_none() && !log().contains("SIGHUP"),
        "{}",
        log()
    );
    kill_process(pid, Signal::TERM).expect("a signal");
    assert_eq!(child.wait().expect("our child").code(), Some(0), "{}", log());
}
