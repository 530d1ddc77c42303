//! The checks that every change passes.

use std::time::Duration;

use crate::steps::{Beside, Step, What};

/// How long the whole list may run. It takes about half of this on two processors.
pub const LIMIT: Duration = Duration::from_secs(80 * 60);

/// Quick checks first. To add a step, add a row.
///
/// What builds tests has the feature `gssapi` on, as the packages have it, so that one build serves them all. Without it
/// the server is built for `sim`, and by whoever works on it.
pub const STEPS: &[Step] = &[
    Step::cargo("fmt", &["fmt", "--all", "--check"]),
    Step::cargo("tidy", &["test", "--features", "gssapi", "--test", "tidy"]),
    Step::cargo(
        "clippy",
        &["clippy", "--workspace", "--features", "gssapi", "--all-targets", "--", "-D", "warnings"],
    ),
    Step::cargo(
        "unit",
        &["test", "--workspace", "--features", "gssapi", "--no-fail-fast", "--lib", "--bins"],
    ),
    Step { name: "deny", what: What::Deny, environment: &[], beside: Beside::Nothing },
    Step { name: "setup", what: What::Setup, environment: &[], beside: Beside::Nothing },
    // Every file of every `tests` folder but the simulation's, whose step is `sim`: whole processes,
    // real clients, comparison with ZooKeeper, crashes.
    Step::cargo(
        "integration",
        &[
            "test",
            "--workspace",
            "--features",
            "gssapi",
            "--exclude",
            "ringkeeper-sim",
            "--no-fail-fast",
            "--test",
            "*",
        ],
    ),
    // A part of them for servers with session cores, which the default gives to larger machines
    // only; the nightly list runs all.
    Step::cargo(
        "cores",
        &[
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
            "folder",
            "--test",
            "stalls",
            "--test",
            "bench",
        ],
    )
    .with(&[("RINGKEEPER_TEST_LINES", "ringkeeper.cores=3")]),
    // Optimised, because it takes up to a thousand runs to find a bug. Both in one build.
    Step::cargo(
        "sim",
        &[
            "test",
            "--profile",
            "sim",
            "-p",
            "ringkeeper-sim",
            "--features",
            "planted-bugs",
            "--test",
            "*",
        ],
    ),
    Step::cargo(
        "doctest",
        &["test", "--workspace", "--features", "gssapi", "--no-fail-fast", "--doc"],
    ),
    Step::cargo("doc", &["doc", "--workspace", "--no-deps", "--document-private-items"])
        .with(&[("RUSTDOCFLAGS", "-D warnings")]),
];
