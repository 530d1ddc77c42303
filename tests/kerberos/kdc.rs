//! A key distribution centre of MIT Kerberos with a realm of its own, on a loopback port and in a temporary folder.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Guarded, free_port};
use tempfile::TempDir;

/// How long the centre may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A realm with its centre, which ends with this value.
pub struct Kdc {
    realm: &'static str,
    folder: TempDir,
    port: u16,
    process: Guarded,
}

impl Kdc {
    /// Makes a realm with these principals, each with a random key, and starts its centre.
    pub fn start(realm: &'static str, principals: &[&str]) -> Kdc {
        let folder = tempfile::Builder::new().prefix("ringkeeper-kdc-").tempdir().unwrap();
        let at = folder.path().display();
        let port = free_port();
        let centre = format!(
            "[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n\
             [realms]\n {realm} = {{\n  database_name = {at}/principals\n  key_stash_file = {at}/stash\n  \
             supported_enctypes = aes256-cts:normal\n }}\n[logging]\n kdc = FILE:{at}/kdc.log\n"
        );
        fs::write(folder.path().join("kdc.conf"), centre).unwrap();
        for (name, skew) in [("krb5.conf", 300), ("strict.conf", 1)] {
            // No name is looked up: what a client asks for is what it gets.
            let machine = format!(
                "[libdefaults]\n default_realm = {realm}\n dns_lookup_kdc = false\n \
                 dns_lookup_realm = false\n dns_canonicalize_hostname = false\n rdns = false\n \
                 udp_preference_limit = 1\n clockskew = {skew}\n\
                 [realms]\n {realm} = {{\n  kdc = 127.0.0.1:{port}\n }}\n\
                 [domain_realm]\n localhost = {realm}\n"
            );
            fs::write(folder.path().join(name), machine).unwrap();
        }
        let run = |program: &str, arguments: &[&str], input: &str| {
            run(folder.path(), program, arguments, input)
        };
        run("kdb5_util", &["create", "-r", realm, "-s", "-P", "a master password"], "");
        let script: String =
            principals.iter().map(|name| format!("addprinc -randkey {name}\n")).collect();
        run("kadmin.local", &["-r", realm], &script);
        let process = centre_of(folder.path(), realm, port);
        Kdc { realm, folder, port, process }
    }

    /// Ends the centre. Its files stay.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts the centre again.
    pub fn start_again(&mut self) {
        self.process = centre_of(self.folder.path(), self.realm, self.port);
    }

    pub fn realm(&self) -> &'static str {
        self.realm
    }

    /// `krb5.conf` of the machines in this realm.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("krb5.conf")
    }

    /// The same, for machines whose clocks may differ by one second only.
    pub fn strict_config(&self) -> PathBuf {
        self.folder.path().join("strict.conf")
    }

    /// Runs a command of `kadmin`.
    pub fn administer(&self, order: &str) {
        run(self.folder.path(), "kadmin.local", &["-r", self.realm], &format!("{order}\n"));
    }

    /// A key table with the newest key of a principal, which gets a new one by that. The name says which table.
    pub fn keytab(&self, principal: &str, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        self.administer(&format!("ktadd -k {} {principal}", path.display()));
        path
    }
}

/// Starts the centre, and waits until it listens.
fn centre_of(folder: &Path, realm: &str, port: u16) -> Guarded {
    let mut command = command(folder, "krb5kdc");
    command.args(["-n", "-r", realm]).stdin(Stdio::null()).stdout(Stdio::null());
    let process = Guarded::spawn(&mut command, Some(folder)).expect("krb5kdc");
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "krb5kdc does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

/// A program that finds the centre's files in `folder`. The folder with programs for administrators may not be on a
/// user's path.
fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(Path::new("/usr/sbin").join(program));
    command.env("KRB5_CONFIG", folder.join("krb5.conf"));
    command.env("KRB5_KDC_PROFILE", folder.join("kdc.conf"));
    command
}

fn run(folder: &Path, program: &str, arguments: &[&str], input: &str) {
    let mut command = command(folder, program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("{program}: {error}; `cargo xtask setup` installs what is missing")
    });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let complains = said.lines().any(|line| line.starts_with(&format!("{program}:")));
    // kadmin.local ends well whatever its orders come to. It says so if a principal has no policy, too.
    let complains = complains && program == "kadmin.local" && said.contains("while");
    assert!(output.status.success() && !complains, "{command:?} {input}: {said}");
}
