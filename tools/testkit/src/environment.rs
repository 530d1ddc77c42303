//! The places of the foreign programs that the tests run against, and the versions of these programs.
//!
//! `cargo xtask setup` fills the environment; this file only finds it. Both sides read the layout
//! here, so they cannot disagree.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The versions that the downloaded part of the environment must have. Setup writes this text into the stamp file
/// when the downloads are complete; another text in the stamp means that the environment belongs to another revision
/// of the tests.
pub const PINS: &str = "\
zookeeper 3.9.4, curator 5.9.0 (source archive of pyspark 4.1.0)
kazoo 2.11.0
pip 25.3
layout 1
";

/// The packages that pip installs for kazoo's own test suite; also the text of the stamp. pyOpenSSL 25 no longer has
/// a function that the suite's harness calls.
pub const KAZOO_SUITE: &[&str] = &[
    "pip==25.3",
    "kazoo==2.11.0",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "objgraph==3.7.0",
    "gevent==26.9.0",
    "eventlet==0.41.3",
    "pyjks==20.0.0",
    "pyOpenSSL==24.3.0",
    "pure-sasl==0.6.2",
];

const MISSING: &str =
    "The programs that this test runs against are not installed: run `cargo xtask setup` first.";

/// The folders of the test environment. It is cheap to make: it reads no file before a method needs it.
#[derive(Debug, Clone)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment's place, whether or not it is filled: `$RINGKEEPER_TEST_ENV`, else `ringkeeper-test-env` in
    /// `$XDG_CACHE_HOME` or `~/.cache`. The place lies outside the checkout so that all checkouts of one user share
    /// it.
    ///
    /// # Panics
    /// If none of the three variables is set.
    pub fn place() -> Self {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("RINGKEEPER_TEST_ENV")
            .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("ringkeeper-test-env")))
            .or_else(|| set("HOME").map(|home| home.join(".cache/ringkeeper-test-env")))
            .expect("one of RINGKEEPER_TEST_ENV, XDG_CACHE_HOME and HOME must be set");
        Environment { folder }
    }

    /// The environment, complete.
    ///
    /// # Panics
    /// If something is missing, with the sentence that says what to run.
    pub fn found() -> Self {
        let place = Self::place();
        let lacking = place.lacking();
        assert!(lacking.is_empty(), "{MISSING} Missing: {}.", lacking.join(", "));
        place
    }

    /// What is missing, in words; empty if the environment is complete.
    pub fn lacking(&self) -> Vec<String> {
        let mut lacking = Vec::new();
        if !self.downloads_complete() {
            lacking.push(format!("jars and Python packages in {}", self.folder.display()));
        }
        if !self.kazoo_suite_complete() {
            lacking.push(format!("kazoo's test suite in {}", self.kazoo_suite().display()));
        }
        for file in [self.zookeeper_3_8_jar(), self.cli_mt(), self.zkcli()] {
            if !file.exists() {
                lacking.push(file.display().to_string());
            }
        }
        lacking
    }

    /// True if the jars and the Python packages are there in the pinned versions.
    pub fn downloads_complete(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|text| text == PINS)
    }

    /// The folder of everything that is downloaded.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that holds [`PINS`] once the downloads are complete.
    pub fn stamp(&self) -> PathBuf {
        self.folder.join("stamp")
    }

    /// The folder with the jars of ZooKeeper 3.9 and Curator 5.9 and their dependencies, and nothing else.
    pub fn jars(&self) -> PathBuf {
        self.folder.join("jars")
    }

    /// The Java class path of [`Environment::jars`].
    pub fn class_path_3_9(&self) -> String {
        format!("{}/*", self.jars().display())
    }

    /// The Java class path of Debian's ZooKeeper 3.8; its manifest names the rest.
    pub fn class_path_3_8(&self) -> String {
        format!("{}:/usr/share/java/slf4j-simple.jar", self.zookeeper_3_8_jar().display())
    }

    /// The Python that has kazoo.
    pub fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// Whether the Python for kazoo's own test suite is there in the pinned versions.
    pub fn kazoo_suite_complete(&self) -> bool {
        fs::read_to_string(self.kazoo_suite_stamp())
            .is_ok_and(|text| text == KAZOO_SUITE.join("\n"))
    }

    /// The file that holds [`KAZOO_SUITE`], one a line, once all of it is installed.
    pub fn kazoo_suite_stamp(&self) -> PathBuf {
        self.kazoo_suite().join("stamp")
    }

    /// The virtual environment of kazoo's own test suite.
    pub fn kazoo_suite(&self) -> PathBuf {
        self.folder.join("kazoo-suite")
    }

    /// [`Environment::class_path_3_8`] for a program that uses TLS: Debian's manifest of ZooKeeper does not name all
    /// parts of netty, of which servers need one between themselves, too.
    pub fn class_path_3_8_with_netty(&self) -> String {
        let parts = ["all", "codec", "handler", "buffer", "common", "transport", "resolver"];
        let netty = parts.map(|part| format!("/usr/share/java/netty-{part}.jar"));
        format!("{}:{}", self.class_path_3_8(), netty.join(":"))
    }

    /// The C client's command line, from Debian's `zookeeper-bin`.
    pub fn cli_mt(&self) -> PathBuf {
        PathBuf::from("/usr/lib/zookeeper/bin/cli_mt")
    }

    /// ZooKeeper's own command line, from Debian's `zookeeper`.
    pub fn zkcli(&self) -> PathBuf {
        PathBuf::from("/usr/share/zookeeper/bin/zkCli.sh")
    }

    fn zookeeper_3_8_jar(&self) -> PathBuf {
        PathBuf::from("/usr/share/java/zookeeper.jar")
    }
}
