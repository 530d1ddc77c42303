//! The configuration of a server under test: lines of zoo.cfg and -D flags.

use std::env;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::network::Namespace;
use crate::server::Program;

/// The lines of every server; a line of the test's own with the same key replaces it.
const DEFAULTS: &[(&str, &str)] =
    &[("admin.enableServer", "false"), ("4lw.commands.whitelist", "*")];

/// More default lines, which suit many short runs at the same time.
const TEST_DEFAULTS: &[(&str, &str)] = &[
    // Sessions from 1 s to 10 s, so that a test of expiry takes seconds.
    ("tickTime", "500"),
    // The KiB by which a log file grows: a test run has many servers with little data each.
    ("preAllocSize", "4096"),
];

/// Lines for ringkeeper only: ZooKeeper would not know them.
const RINGKEEPER_TEST_DEFAULTS: &[(&str, &str)] = &[
    // Servers under test share the machine. Bound to its first processors, they would starve each other.
    ("ringkeeper.pin", "false"),
];

/// Flags for Java: small, quick to start, few threads.
const JAVA_TEST_FLAGS: &[&str] =
    &["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=INFO"];

/// More lines for every ringkeeper of a test run, `key=value` separated by `;`. They win over a test's own lines,
/// because they are meant for the whole run.
const EXTRA_LINES: &str = "RINGKEEPER_TEST_LINES";

/// Lines of zoo.cfg, Java system properties and, if the test wants its own, the data folder and the
/// port.
#[derive(Debug, Clone, Default)]
pub struct Config {
    lines: Vec<(String, String)>,
    flags: Vec<String>,
    variables: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    port: Option<u16>,
    host: Option<Ipv4Addr>,
    namespace: Option<Namespace>,
    production: bool,
}

impl Config {
    /// A standalone server on loopback with `tickTime=500`, every four-letter word allowed and no
    /// admin server.
    pub fn new() -> Self {
        Config::default()
    }

    /// For measurements: each program has its own defaults, and Java the whole machine. Only loopback, the
    /// four-letter words and the admin server are as in [`Config::new`].
    pub fn as_in_production() -> Self {
        Config { production: true, ..Config::default() }
    }

    /// Adds a line of zoo.cfg, `key=value`. The last one with a key counts, also over the defaults.
    ///
    /// # Panics
    /// If the line has no `=`, or names `dataDir` or `clientPort`, which have methods of their own.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        let (key, value) = line
            .split_once('=')
            .unwrap_or_else(|| panic!("no `=` in the configuration line {line:?}"));
        let (key, value) = (key.trim(), value.trim());
        assert!(key != "dataDir", "use Config::data_dir");
        assert!(key != "clientPort", "use Config::port");
        self.lines.retain(|(other, _)| other != key);
        self.lines.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a flag such as `-Dzookeeper.snapCount=100` or `-Xmx1g`. A Java server gets it on its
    /// command line, ringkeeper in SERVER_JVMFLAGS, without those that only a Java machine has (all
    /// that do not begin with `-D`).
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        assert!(
            !flag.contains(char::is_whitespace),
            "a flag with white space cannot pass through SERVER_JVMFLAGS: {flag:?}"
        );
        self.flags.push(flag.to_owned());
        self
    }

    /// Sets a variable in the environment of the server.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// Uses a folder of the test's own as `dataDir` instead of `data` in the server's temporary
    /// folder.
    #[must_use]
    pub fn data_dir(mut self, folder: &Path) -> Self {
        self.data_dir = Some(folder.to_owned());
        self
    }

    /// Uses this client port instead of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Listens for clients on this address instead of 127.0.0.1.
    #[must_use]
    pub fn host(mut self, host: Ipv4Addr) -> Self {
        self.host = Some(host);
        self
    }

    /// Runs in a network namespace of its own. A client must be in a namespace that has a route to the server's.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Flags for a Java server; the test's own come last, so that they win.
    pub(crate) fn java_flags(&self) -> Vec<&str> {
        let defaults = if self.production { &[] } else { JAVA_TEST_FLAGS };
        defaults.iter().copied().chain(self.flags.iter().map(|flag| &flag[..])).collect()
    }

    /// The value of SERVER_JVMFLAGS for ringkeeper.
    pub(crate) fn properties(&self) -> String {
        let properties = self.flags.iter().filter(|flag| flag.starts_with("-D"));
        properties.map(|flag| &flag[..]).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn data_dir_or(&self, default: PathBuf) -> PathBuf {
        self.data_dir.clone().unwrap_or(default)
    }

    /// Removes the lines with this key.
    #[must_use]
    pub fn without_line(mut self, key: &str) -> Self {
        self.lines.retain(|(other, _)| other != key);
        self
    }

    /// Whether a line with this key was added.
    pub fn has_line(&self, key: &str) -> bool {
        self.lines.iter().any(|(other, _)| other == key)
    }

    pub(crate) fn host_or_loopback(&self) -> Ipv4Addr {
        self.host.unwrap_or(Ipv4Addr::LOCALHOST)
    }

    pub(crate) fn place(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    pub(crate) fn fixed_port(&self) -> Option<u16> {
        self.port
    }

    /// The text of zoo.cfg for this kind of server.
    pub(crate) fn text(&self, data_dir: &Path, port: u16, program: &Program) -> String {
        match program {
            Program::ZooKeeper39 | Program::ZooKeeper38 => self.merged(data_dir, port, &[]),
            Program::Ringkeeper(_) => {
                let extra = env::var(EXTRA_LINES).unwrap_or_default();
                let extra = extra.split(';').filter(|line| !line.trim().is_empty());
                let config = extra.fold(self.clone(), Config::line);
                config.merged(data_dir, port, RINGKEEPER_TEST_DEFAULTS)
            }
        }
    }

    fn merged(&self, data_dir: &Path, port: u16, of_program: &[(&str, &str)]) -> String {
        let mut text = format!("dataDir={}\nclientPort={port}\n", data_dir.display());
        let own = |key: &str| self.lines.iter().any(|(other, _)| other == key);
        let for_tests = if self.production { [].as_slice() } else { TEST_DEFAULTS };
        let of_program = if self.production { &[] } else { of_program };
        let defaults = DEFAULTS.iter().chain(for_tests).chain(of_program);
        let defaults = defaults.filter(|(key, _)| !own(key));
        let own_lines = self.lines.iter().map(|(key, value)| (&key[..], &value[..]));
        if !own("clientPortAddress") {
            writeln!(text, "clientPortAddress={}", self.host_or_loopback())
                .expect("writing into a String cannot fail");
        }
        for (key, value) in defaults.copied().chain(own_lines) {
            writeln!(text, "{key}={value}").expect("writing into a String cannot fail");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_test_replaces_the_default_and_its_own_earlier_one() {
        let config =
            Config::new().line("tickTime=1000").line("syncEnabled=true").line("tickTime = 2000");
        let text = config.text(Path::new("/tmp/d"), 20001, &Program::ZooKeeper39);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "dataDir=/tmp/d",
                "clientPort=20001",
                "clientPortAddress=127.0.0.1",
                "admin.enableServer=false",
                "4lw.commands.whitelist=*",
                "preAllocSize=4096",
                "syncEnabled=true",
                "tickTime=2000",
            ]
        );
    }

    #[test]
    fn ringkeeper_has_defaults_that_zookeeper_would_not_know() {
        let merged =
            |config: Config| config.merged(Path::new("/d"), 20001, RINGKEEPER_TEST_DEFAULTS);
        assert!(merged(Config::new()).contains("\nringkeeper.pin=false\n"));
        let pinned = merged(Config::new().line("ringkeeper.pin=true"));
        assert_eq!(pinned.matches("ringkeeper.pin").count(), 1);
        assert!(pinned.contains("\nringkeeper.pin=true\n"));
    }

    #[test]
    fn in_production_nothing_is_trimmed_to_tests() {
        let config = Config::as_in_production().flag("-Xmx2g");
        assert_eq!(config.java_flags(), ["-Xmx2g"]);
        assert!(Config::new().flag("-Xmx2g").java_flags().ends_with(&["-Xmx2g"]));
        let text = config.merged(Path::new("/d"), 20001, RINGKEEPER_TEST_DEFAULTS);
        assert_eq!(text.lines().count(), 3 + DEFAULTS.len(), "{text}");
    }
}
