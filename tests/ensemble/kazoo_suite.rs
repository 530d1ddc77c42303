//! kazoo's own test suite against three servers that its own harness starts: every test that passes with Apache
//! ZooKeeper 3.9.4 must pass, those of TLS and SASL too.
//!
//! The harness calls `java` with a zoo.cfg. Here `java` is a script (`kazoo_java.sh`) that starts Ringkeeper with that
//! zoo.cfg and those system properties. With Apache ZooKeeper 3.9.4 in this harness 491 tests pass and 2 are skipped:
//! those of GSSAPI, for which the Python package `kerberos` and a KDC are needed. `RINGKEEPER_TEST_PEER=java` repeats
//! that.
//!
//! A bounded run omits the test files that need no server.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use ringkeeper_testkit::{Environment, Program, free_port};

use crate::ground::{everything, turn};

/// How many ports the harness uses.
const PORTS: u16 = 30;
const TEST_SECONDS_MAX: &str = "180";
/// This many failures end the suite. If no server starts, each of its 491 tests would wait for one.
const FAILURES_MAX: &str = "5";
const WITHOUT_SERVER: &[&str] = &[
    "test_build.py",
    "test_eventlet_handler.py",
    "test_exceptions.py",
    "test_gevent_handler.py",
    "test_hosts.py",
    "test_paths.py",
    "test_retry.py",
    "test_security.py",
    "test_selectors_select.py",
    "test_threading_handler.py",
    "test_utils.py",
];

#[test]
fn kazoo_passes_its_own_test_suite() {
    let _turn = turn();
    let begun = Instant::now();
    let environment = Environment::found();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let python = environment.kazoo_suite().join("bin/python");
    let java = env::var("RINGKEEPER_TEST_PEER").is_ok_and(|peer| peer == "java");
    let mut command = Command::new(&python);
    command
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:logging", "-rfE"])
        .args(["--tb=short", "--timeout", TEST_SECONDS_MAX, "--maxfail", FAILURES_MAX])
        .current_dir(folder.path())
        .env("CI", "true")
        .env("ZOOKEEPER_VERSION", "3.9.4")
        .env("ZOOKEEPER_PORT_OFFSET", port_offset().to_string())
        .stdin(Stdio::null());
    if java {
        command
            .env("ZOOKEEPER_CLASSPATH", environment.class_path_3_9())
            .env("JAVA_TOOL_OPTIONS", "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1");
    } else {
        let Program::Ringkeeper(binary) = crate::ground::ours() else {
            unreachable!("not Java, see above")
        };
        let binary = fs::canonicalize(&binary).expect("the binary under test");
        put_shim(folder.path());
        let path = env::var("PATH").expect("a PATH");
        command
            .env("PATH", format!("{}:{path}", folder.path().display()))
            .env("RINGKEEPER_UNDER_TEST", binary)
            .env("ZOOKEEPER_CLASSPATH", "unused");
    }
    let tests = kazoo_tests(&python);
    if !everything() {
        for file in WITHOUT_SERVER {
            command.arg(format!("--ignore={}", tests.join(file).display()));
        }
    }
    let output = command.arg(&tests).output().expect("pytest");
    let words = String::from_utf8_lossy(&output.stdout);
    println!("{}in {:.1?}", words.lines().last().unwrap_or_default(), begun.elapsed());
    assert!(output.status.success(), "{words}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The first of enough ports in a row that seem to be free.
fn port_offset() -> u16 {
    let first = free_port();
    for _ in 0..PORTS {
        free_port();
    }
    first
}

fn put_shim(folder: &Path) {
    let shim = folder.join("java");
    fs::write(&shim, include_str!("kazoo_java.sh")).expect("the shim");
    let made = Command::new("chmod").arg("+x").arg(&shim).status().expect("chmod");
    assert!(made.success());
}

fn kazoo_tests(python: &Path) -> std::path::PathBuf {
    let output = Command::new(python)
        .args(["-c", "import kazoo.tests, os; print(os.path.dirname(kazoo.tests.__file__))"])
        .output()
        .expect("Python");
    String::from_utf8(output.stdout).expect("a path").trim().into()
}
