//! The checks that take hours: run them before a release, and every night where that is possible.

use std::time::Duration;

use crate::steps::{Beside, Step, What};

/// How long the whole list may run.
pub const LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// The files of `tests` that start servers.
const PROCESSES: &[&str] = &[
    "test",
    "--workspace",
    "--features",
    "gssapi",
    "--no-fail-fast",
    "--test",
    "server",
    "--test",
    "admin",
    "--test",
    "bad_input",
    "--test",
    "clients",
    "--test",
    "crash",
    "--test",
    "ensemble",
    "--test",
    "quorum_sasl",
    "--test",
    "quorum_tls",
    "--test",
    "conformance",
    "--test",
    "bench",
    "--test",
    "folder",
    "--test",
    "stalls",
];

const SOAK: &[&str] = &["test", "--release", "--test", "soak", "--", "--nocapture"];

/// To add a step, add a row.
pub const STEPS: &[Step] = &[
    Step { name: "setup", what: What::Setup, environment: &[], beside: Beside::Nothing },
    // Three and eight executors on however few processors there are.
    Step::cargo("cores-3", PROCESSES).with(&[("RINGKEEPER_TEST_LINES", "ringkeeper.cores=3")]),
    Step::cargo("cores-8", PROCESSES).with(&[("RINGKEEPER_TEST_LINES", "ringkeeper.cores=8")]),
    Step::cargo("busy-1", PROCESSES)
        .with(&[("RINGKEEPER_TEST_LINES", "ringkeeper.cores=1")])
        .beside_busy_loops(2),
    Step::cargo("busy-8", PROCESSES)
        .with(&[("RINGKEEPER_TEST_LINES", "ringkeeper.cores=8")])
        .beside_busy_loops(2),
    Step::cargo("ensembles", &["test", "--test", "ensemble", "--", "--nocapture"])
        .with(&[("RINGKEEPER_ENSEMBLE", "all"), ("RINGKEEPER_FAULT_ROUNDS", "100")]),
    Step::cargo("quorum-tls", &["test", "--test", "quorum_tls", "--", "--nocapture"])
        .with(&[("RINGKEEPER_ENSEMBLE", "all")]),
    // Kerberos of clients and between servers, on servers with session cores.
    Step::cargo("kerberos-3", &["test", "--features", "gssapi", "--test", "kerberos"])
        .with(&[("RINGKEEPER_TEST_LINES", "ringkeeper.cores=3")]),
    Step::cargo("ensembles-3", &["test", "--test", "ensemble", "--", "--nocapture"]).with(&[
        ("RINGKEEPER_ENSEMBLE", "all"),
        ("RINGKEEPER_FAULT_ROUNDS", "100"),
        ("RINGKEEPER_TEST_LINES", "ringkeeper.cores=3"),
    ]),
    // Every client in every way to every kind of server, and ten thousand handshakes at once.
    Step::cargo(
        "matrix",
        &["test", "--test", "matrix", "--", "--nocapture", "--test-threads", "1"],
    )
    .with(&[("RINGKEEPER_MATRIX", "all"), ("RINGKEEPER_STORM", "10000")]),
    Step::cargo("crash", &["test", "--test", "crash", "--", "--nocapture"])
        .with(&[("RINGKEEPER_CRASH_ROUNDS", "200")]),
    Step::cargo(
        "conformance",
        &["run", "-p", "ringkeeper-conformance", "--", "--seeds", "20", "--steps", "20000"],
    ),
    Step::cargo(
        "sim",
        &[
            "run",
            "--profile",
            "sim",
            "-p",
            "ringkeeper-sim",
            "--",
            "--seeds",
            "3000",
            "--jobs",
            "2",
        ],
    ),
    Step::cargo(
        "sim-changing",
        &[
            "run",
            "--profile",
            "sim",
            "-p",
            "ringkeeper-sim",
            "--",
            "--shape",
            "changing",
            "--seeds",
            "3000",
            "--jobs",
            "2",
        ],
    ),
    Step::cargo(
        "sim-wild",
        &[
            "run",
            "--profile",
            "sim",
            "-p",
            "ringkeeper-sim",
            "--",
            "--shape",
            "wild",
            "--seeds",
            "3000",
            "--jobs",
            "2",
        ],
    ),
    // Half an hour of each kind of load for the wiring that larger machines use.
    Step::cargo("soak-3", SOAK)
        .with(&[("RINGKEEPER_SOAK_CORES", "3"), ("RINGKEEPER_SOAK_SECONDS", "1800")]),
    Step::cargo("soak-8", SOAK)
        .with(&[("RINGKEEPER_SOAK_CORES", "8"), ("RINGKEEPER_SOAK_SECONDS", "300")]),
    Step::cargo("soak-1", SOAK)
        .with(&[("RINGKEEPER_SOAK_CORES", "1"), ("RINGKEEPER_SOAK_SECONDS", "300")]),
];
