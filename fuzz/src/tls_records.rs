//! TLS records of a client, as a server's [`Session`] takes them: in pieces of any length, with bytes that are flipped,
//! dropped and put in between.
//!
//! The client is rustls' own. Keys and nonces are random in each run, so that an input is a story of what is done to
//! the stream rather than the stream itself.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use ringkeeper::limits::RECORDS_HELD_BYTES_MAX;
use ringkeeper::net::socket::{Fault, Outbox, Received, Session};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::script::Script;
use super::seeds::Seeds;

static CONFIGS: LazyLock<[(Arc<ServerConfig>, Arc<ClientConfig>); 2]> =
    LazyLock::new(|| [&rustls::version::TLS12, &rustls::version::TLS13].map(configs));

fn configs(
    version: &'static rustls::SupportedProtocolVersion,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let provider = Arc::new(default_provider());
    let certificate =
        CertificateDer::from(include_bytes!("tls_records/certificate.der").as_slice());
    let key = PrivateKeyDer::Pkcs8(include_bytes!("tls_records/key.der").as_slice().into());
    let server = ServerConfig::builder_with_provider(provider.clone());
    let server = server.with_protocol_versions(&[version]).expect("a usual version");
    let server = server.with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let client = ClientConfig::builder_with_provider(provider);
    let client = client.with_protocol_versions(&[version]).expect("a usual version");
    let client = client.with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server.expect("a key and its certificate")), Arc::new(client))
}

/// The two ends, and what is between them.
struct Story {
    session: Session,
    client: ClientConnection,
    out: Outbox,
    /// What the client has sent and the server has not got.
    stream: Vec<u8>,
    /// Plaintext that the client has sent, and that the server has read.
    said: Vec<u8>,
    heard: Vec<u8>,
    /// The stream is not what the client wrote any more.
    is_forged: bool,
    is_over: bool,
    /// How often the client has asked for new keys.
    updates: usize,
}

/// Requests for new keys without data between them that rustls takes at least.
const UPDATES_MIN: usize = 30;

/// The first byte chooses the version; then each command has a byte, and some an argument.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (server, client) = &CONFIGS[script.below(2)];
    let server =
        UnbufferedServerConnection::new(server.clone()).expect("the configuration is complete");
    let name = ServerName::try_from("server").expect("a name");
    let mut story = Story {
        session: Session::new(server),
        client: ClientConnection::new(client.clone(), name).expect("it is complete, too"),
        out: Outbox::default(),
        stream: Vec::new(),
        said: Vec::new(),
        heard: Vec::new(),
        is_forged: false,
        is_over: false,
        updates: 0,
    };
    while !script.is_empty() && !story.is_over {
        story.command(&mut script);
    }
    if !story.is_forged && !story.is_over {
        // What the client said before the end of the handshake leaves when that has ended.
        story.client_writes();
        while !story.stream.is_empty() && !story.is_over {
            story.server_reads(usize::MAX);
            story.client_writes();
        }
        if story.session.is_established() && !story.is_over {
            assert!(story.heard == story.said, "everything arrives");
        }
    }
}

impl Story {
    fn command(&mut self, script: &mut Script<'_>) {
        match script.below(10) {
            0 => self.server_reads(usize::from(script.byte())),
            1 => self.server_reads(usize::from(script.word())),
            2 | 3 => {
                self.client_writes();
                self.server_reads(usize::MAX);
            }
            4 => self.client_says(usize::from(script.word())),
            5 => self.server_says(usize::from(script.word())),
            6 => {
                // It fails before the handshake is over, and in TLS 1.2.
                self.updates += usize::from(self.client.refresh_traffic_keys().is_ok());
                self.client_writes();
            }
            7 => {
                let bytes = script.bytes();
                let at = usize::from(script.word()) % (self.stream.len() + 1);
                self.stream.splice(at..at, bytes.iter().copied());
                self.is_forged |= !bytes.is_empty();
            }
            8 => {
                let (at, bit) = (usize::from(script.word()), script.below(8));
                let length = self.stream.len().max(1);
                if let Some(byte) = self.stream.get_mut(at % length) {
                    *byte ^= 1 << bit;
                    self.is_forged = true;
                }
            }
            _ => {
                let from = usize::from(script.word()) % (self.stream.len() + 1);
                let to = self.stream.len().min(from + usize::from(script.byte()));
                self.is_forged |= from < to;
                self.stream.drain(from..to);
            }
        }
    }

    fn client_writes(&mut self) {
        while self.client.wants_write() {
            self.client.write_tls(&mut self.stream).expect("a Vec takes all");
        }
    }

    fn client_says(&mut self, bytes: usize) {
        let from = self.said.len();
        // Before the end of the handshake the client keeps it, up to a bound.
        let said: Vec<u8> = (from..from + bytes).map(|at| at.to_le_bytes()[0] ^ 0x5a).collect();
        let took = self.client.writer().write(&said).unwrap_or(0);
        self.said.extend_from_slice(&said[..took]);
        self.client_writes();
    }

    fn server_says(&mut self, bytes: usize) {
        let said = vec![7; bytes];
        match self.session.send(&said, &mut self.out) {
            Ok(()) => assert!(self.session.is_established(), "before that nothing is said"),
            Err(Fault(reason)) => assert!(!reason.is_empty(), "there is a reason"),
        }
        self.client_reads();
    }

    /// The server has refused the stream.
    fn ends(&mut self, reason: &str) {
        // A client that does nothing but ask for new keys is refused after some 30 times.
        let asks_too_often =
            self.updates >= UPDATES_MIN && reason.contains("TooManyKeyUpdateRequests");
        assert!(self.is_forged || asks_too_often, "{reason}");
        self.is_over = true;
        let sent = self.session.send(b"more", &mut self.out);
        assert!(sent.is_err(), "the session is over");
    }

    /// The server reads at most so many bytes.
    fn server_reads(&mut self, most: usize) {
        let mut cipher = vec![0; RECORDS_HELD_BYTES_MAX];
        let mut plain = vec![0; RECORDS_HELD_BYTES_MAX];
        let held = self.session.copy_held(&mut cipher);
        let bytes = most.min(self.stream.len()).min(cipher.len() - held);
        if bytes == 0 {
            // Its buffer is full: the real server ends the connection.
            self.is_over |= held == cipher.len() || most == usize::MAX && !self.stream.is_empty();
            return;
        }
        cipher[held..held + bytes].copy_from_slice(&self.stream[..bytes]);
        self.stream.drain(..bytes);
        match self.session.receive(&mut cipher[..held + bytes], &mut plain, &mut self.out) {
            Ok(Received { bytes: got, records, consumed, ended: _ }) => {
                assert!(got < held + bytes && consumed <= held + bytes, "{got} {consumed}");
                assert!(records > 0 || got == 0, "plaintext comes in records");
                self.heard.extend_from_slice(&plain[..got]);
                assert!(self.said.starts_with(&self.heard), "what is heard was said");
            }
            Err(Fault(reason)) => {
                self.ends(&reason);
            }
        }
        // Behind plaintext that was good.
        if let Some(Fault(reason)) = self.session.take_fault() {
            self.ends(&reason);
        }
        assert!(self.session.held_bytes() <= 2 * RECORDS_HELD_BYTES_MAX, "a Vec doubles");
        self.client_reads();
    }

    fn client_reads(&mut self) {
        let mut from_server = self.out.take();
        while !from_server.is_empty() {
            if self.client.read_tls(&mut from_server).is_err() {
                break;
            }
            if let Err(error) = self.client.process_new_packets() {
                assert!(self.is_forged, "{error}");
                self.is_over = true;
                return;
            }
            let _ = self.client.reader().read(&mut [0; 1 << 17]);
        }
    }
}

/// Stories by hand: a handshake in one piece and byte by byte, data and new keys, and each kind of forgery.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    for version in 0..2_u8 {
        let shaken = [&[version][..], &[2, 2, 2]].concat();
        let talk = [4, 0x40, 0x00, 2, 5, 0x10, 0x00, 4, 0x00, 0x01, 0, 3, 0, 9, 2, 6, 2, 6, 2];
        let mut add = |name: &str, story: Vec<u8>| {
            seeds.push((format!("{name}_{}", version + 2), story));
        };
        add("talk", [&shaken[..], &talk].concat());
        add("early", [&[version][..], &[4, 0, 200], &[2, 2, 2]].concat());
        let bytes = [0, 1].repeat(300);
        add("byte_by_byte", [&[version][..], &[6], &bytes, &[2, 2, 2], &talk].concat());
        add("flipped", [&shaken[..], &[4, 1, 0, 8, 0, 9, 3, 2, 2]].concat());
        add("dropped", [&shaken[..], &[4, 1, 0, 9, 0, 9, 1, 2, 2]].concat());
        let record = [22, 3, 3, 0, 4, 1, 0, 0, 0];
        add("again", [&shaken[..], &[7, 0, 9], &record, &[0, 0, 2]].concat());
        add("hello", [&[version][..], &[7, 0, 9], &record, &[0, 0, 2]].concat());
    }
    seeds
}
