//! The shell scripts with the names and words of ZooKeeper's: `zkServer.sh` and `zkServer-initialize.sh`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringkeeper_testkit::free_port;

/// A folder with a configuration, and the scripts on it. The server that was started ends with the value.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
}

impl Place {
    fn new(lines: &str) -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap(), port: free_port() };
        fs::create_dir(place.at("conf")).unwrap();
        let text = format!(
            "# A comment, and blanks around values.\n dataDir = {}  \nadmin.enableServer=false\n{lines}\n",
            place.at("data").display()
        );
        fs::write(place.at("conf/zoo.cfg"), text).unwrap();
        place
    }

    /// With a port for clients.
    fn with_port() -> Place {
        let place = Place::new("clientPortAddress=127.0.0.1");
        let config = place.at("conf/zoo.cfg");
        let text = fs::read_to_string(&config).unwrap();
        fs::write(config, format!("{text}clientPort={}\n", place.port)).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script; returns its exit code, and what it wrote to standard output and to standard error.
    fn run(&self, script: &str, words: &[&str]) -> (Option<i32>, String, String) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(root.join("tools/scripts/bin").join(script))
            .args(words)
            .env("RINGKEEPER", env!("CARGO_BIN_EXE_ringkeeper"))
            .env("ZOOCFGDIR", self.at("conf"))
            .env("ZOO_LOG_DIR", self.at("logs"))
            .env_remove("ZOOCFG")
            .env_remove("ZOOPIDFILE")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn server(&self, word: &str) -> (Option<i32>, String, String) {
        self.run("zkServer.sh", &[word])
    }

    fn pid(&self) -> String {
        fs::read_to_string(self.at("data/zookeeper_server.pid")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.at("data/zookeeper_server.pid").exists() {
            self.server("stop");
        }
    }
}

#[test]
fn a_server_is_started_asked_restarted_and_stopped() {
    let place = Place::with_port();
    let (code, out, err) = place.server("start");
    assert_eq!((code, &out[..]), (Some(0), "Starting zookeeper ... STARTED\n"), "{err}");
    assert!(
        err.contains(&format!("Using config: {}\n", place.at("conf/zoo.cfg").display())),
        "{err}"
    );
    let first = place.pid();
    let title = fs::read_to_string(format!("/proc/{first}/cmdline")).unwrap();
    assert!(title.contains(place.at("conf/zoo.cfg").to_str().unwrap()), "{title:?}");

    let (code, out, _) = place.server("status");
    let says = format!(
        "Client port found: {}. Client address: 127.0.0.1. Client SSL: false.\nMode: standalone\n",
        place.port
    );
    assert_eq!((code, out), (Some(0), says));

    let (code, out, _) = place.server("start");
    assert_eq!(code, Some(1));
    assert_eq!(out, format!("Starting zookeeper ... already running as process {first}.\n"));

    let (code, out, err) = place.server("restart");
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out, "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED\n");
    assert_ne!(place.pid(), first);

    let (code, out, _) = place.server("stop");
    assert_eq!((code, &out[..]), (Some(0), "Stopping zookeeper ... STOPPED\n"));
    let (code, out, _) = place.server("status");
    assert_eq!(code, Some(1));
    assert!(out.ends_with("Error contacting service. It is probably not running.\n"), "{out}");
    let (code, out, _) = place.server("stop");
    assert_eq!(code, Some(0));
    assert!(
        out.starts_with("Stopping zookeeper ... no zookeeper to stop (could not find file "),
        "{out}"
    );
}

#[test]
fn a_server_that_cannot_start_is_said_to_have_failed_with_its_last_lines() {
    let place = Place::new("clientPort=none");
    let (code, out, err) = place.server("start");
    assert_eq!((code, &out[..]), (Some(1), "Starting zookeeper ... FAILED TO START\n"));
    assert!(err.contains("clientPort"), "{err}");
}

#[test]
fn a_number_that_went_to_another_program_is_not_killed() {
    let place = Place::with_port();
    fs::create_dir(place.at("data")).unwrap();
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    fs::write(place.at("data/zookeeper_server.pid"), other.id().to_string()).unwrap();
    let (code, out, _) = place.server("stop");
    assert_eq!(code, Some(0));
    assert_eq!(out, "Stopping zookeeper ... STOPPED (no such server was running)\n");
    assert!(other.try_wait().unwrap().is_none(), "it lives on");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn the_port_of_the_clients_is_found_in_the_line_of_the_member() {
    let place = Place::new("initLimit=5\nsyncLimit=2\nserver.7=127.0.0.1:2888:3888;127.0.0.1:27");
    let (_, out, _) = place.server("status");
    assert!(out.starts_with("Client port not found."), "{out}");
    fs::create_dir_all(place.at("data")).unwrap();
    fs::write(place.at("data/myid"), "7\n").unwrap();
    let (code, out, _) = place.server("status");
    assert_eq!(code, Some(1));
    assert!(
        out.starts_with("Client port found: 27. Client address: 127.0.0.1. Client SSL: false.\n"),
        "{out}"
    );
}

#[test]
fn a_folder_is_initialized_once_and_anew_only_by_force() {
    let place = Place::with_port();
    let run = |words: &[&str]| place.run("zkServer-initialize.sh", words);
    let (code, out, err) = run(&["--myid=5"]);
    assert_eq!((code, &out[..]), (Some(0), "Using myid of 5\n"), "{err}");
    assert_eq!(fs::read_to_string(place.at("data/myid")).unwrap(), "5\n");
    assert!(place.at("data/version-2").is_dir() && place.at("data/initialize").is_file());
    fs::write(place.at("data/version-2/log.1"), "precious").unwrap();
    let (code, _, err) = run(&["--myid=6"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("already exists at ") && err.contains("--force"), "{err}");
    assert!(place.at("data/version-2/log.1").exists());
    let (code, _, err) = run(&["--myid=x"]);
    assert_eq!(code, Some(1), "{err}");
    let (code, out, _) = run(&["--force"]);
    assert_eq!(code, Some(0));
    assert!(out.starts_with("No myid provided"), "{out}");
    assert!(!place.at("data/version-2/log.1").exists() && !place.at("data/myid").exists());
}

#[test]
fn other_words_tell_what_there_is() {
    let place = Place::with_port();
    let (code, out, _) = place.server("version");
    assert_eq!(code, Some(0));
    assert!(out.starts_with("ringkeeper "), "{out}");
    let (code, out, _) = place.server("print-cmd");
    assert_eq!(code, Some(0));
    assert!(out.contains("\"server\" \"") && out.contains("zoo.cfg\" > \""), "{out}");
    let (code, _, err) = place.server("nonsense");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("Usage: ") && err.contains("{start|start-foreground|stop|"), "{err}");
    let (code, _, err) = place.run("zkServer.sh", &["start", "/no/such/zoo.cfg"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot read /no/such/zoo.cfg"), "{err}");
}
