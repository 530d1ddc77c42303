//! The client's side of GSS-API, by the Python module `kerberos` in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Mutual authentication, and messages in their order: what clients of SASL ask for.
const USUAL_FLAGS: u32 = 2 | 8 | 32;
/// No mutual authentication.
const ONE_SIDED_FLAGS: u32 = 32;

/// A client that makes one context.
pub struct Initiator {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Initiator {
    /// A client that has the keys of the first principal in `keytab`. `service`: whom it talks to, as `service@host`.
    pub fn new(config: &Path, keytab: &Path, service: &str) -> Initiator {
        Initiator::with_flags(config, keytab, service, USUAL_FLAGS)
    }

    /// The same, for a client that does not want the server to prove itself.
    pub fn one_sided(config: &Path, keytab: &Path, service: &str) -> Initiator {
        Initiator::with_flags(config, keytab, service, ONE_SIDED_FLAGS)
    }

    fn with_flags(config: &Path, keytab: &Path, service: &str, flags: u32) -> Initiator {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kerberos/initiator.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args([service, &flags.to_string()])
            .env("KRB5_CONFIG", config)
            .env("KRB5_CLIENT_KTNAME", keytab)
            .env("KRB5CCNAME", "MEMORY:initiator")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Debian's Python");
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Initiator { child, orders, answers }
    }

    /// Takes a token of the server, empty at first; the next token for it.
    pub fn step(&mut self, token: &[u8]) -> Vec<u8> {
        self.order("step", token)
    }

    /// Opens a message of the server.
    pub fn unwrap(&mut self, token: &[u8]) -> Vec<u8> {
        self.order("unwrap", token)
    }

    /// Wraps a message for the server.
    pub fn wrap(&mut self, message: &[u8]) -> Vec<u8> {
        self.order("wrap", message)
    }

    fn order(&mut self, what: &str, data: &[u8]) -> Vec<u8> {
        writeln!(self.orders, "{what} {}", STANDARD.encode(data)).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n') && !answer.starts_with('!'), "{what}: {answer:?}");
        STANDARD.decode(answer.trim_end()).unwrap()
    }
}

impl Drop for Initiator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
