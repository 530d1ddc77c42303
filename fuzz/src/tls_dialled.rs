//! A link that this server opens with TLS: what whoever answers at the address says, as the [`Session`] of the side
//! that connects takes it, with the check of certificates that links use.
//!
//! The other side is rustls' server with the key of a member, or nobody but the bytes of the input. As in
//! `tls_records`, keys and nonces are random in each run, so that an input is a story of what is done to the stream.

use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};

use ringkeeper::limits::RECORDS_HELD_BYTES_MAX;
use ringkeeper::net::socket::{Fault, Outbox, Received, Session};
use ringkeeper::tls::stores::{self, StoreKind};
use ringkeeper::tls::verify::{OfServers, Trust};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::script::Script;
use super::seeds::Seeds;

/// Who answers, as this server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// The member that is dialled.
    Member,
    /// A server whose certificate names another host.
    OtherHost,
    /// A server whose certificate no trusted authority has issued.
    Untrusted,
    /// Something that is no server of TLS.
    Nobody,
}

const ALL: [Answers; 4] =
    [Answers::Member, Answers::OtherHost, Answers::Untrusted, Answers::Nobody];

/// The host in the certificate of `tls_records`.
const HOST: &str = "server";

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from(include_bytes!("tls_records/certificate.der").as_slice())
}

/// For each version: the member, and the rules of the side that connects, which trusts it or somebody else.
type Rules = (Arc<ServerConfig>, [Arc<ClientConfig>; 2]);

static RULES: LazyLock<[Rules; 2]> =
    LazyLock::new(|| [&rustls::version::TLS12, &rustls::version::TLS13].map(rules));

fn rules(version: &'static SupportedProtocolVersion) -> Rules {
    let provider = Arc::new(default_provider());
    let key = PrivateKeyDer::Pkcs8(include_bytes!("tls_records/key.der").as_slice().into());
    let server = ServerConfig::builder_with_provider(provider.clone());
    let server = server.with_protocol_versions(&[version]).expect("a usual version");
    let server = server.with_no_client_auth().with_single_cert(vec![certificate()], key);
    let other = include_bytes!("../../tests/golden/tls/cert_ec.pem");
    let other = stores::trusted(other, StoreKind::Pem, "").expect("a certificate");
    let clients = [vec![certificate()], other].map(|trusted| {
        let trust = Trust::new(trusted, &provider, None).expect("whole certificates");
        let client = ClientConfig::builder_with_provider(provider.clone());
        let client = client.with_protocol_versions(&[version]).expect("a usual version");
        let verifier = Arc::new(OfServers::new(Arc::new(trust), true));
        let client = client.dangerous().with_custom_certificate_verifier(verifier);
        let mut client = client.with_no_client_auth();
        // As links have it.
        client.resumption = Resumption::disabled();
        Arc::new(client)
    });
    (Arc::new(server.expect("a key and its certificate")), clients)
}

/// The two ends, and what is between them.
struct Story {
    who: Answers,
    session: Session,
    server: ServerConnection,
    out: Outbox,
    /// What the other side has sent and this server has not got.
    stream: Vec<u8>,
    /// Plaintext that the other side has sent, and that this server has read.
    said: Vec<u8>,
    heard: Vec<u8>,
    /// The stream is not what the other side wrote any more.
    is_forged: bool,
    is_over: bool,
    /// How often the other side has asked for new keys.
    updates: usize,
}

/// Requests for new keys without data between them that rustls takes at least.
const UPDATES_MIN: usize = 30;

/// The first byte chooses the version and who answers; then each command has a byte, and some an argument.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (server, clients) = &RULES[script.below(2)];
    let who = ALL[script.below(ALL.len())];
    let client = &clients[usize::from(who == Answers::Untrusted)];
    let host = if who == Answers::OtherHost { "zk9.example.com" } else { HOST };
    let name = ServerName::try_from(host).expect("a name");
    let dialled = UnbufferedClientConnection::new(client.clone(), name).expect("it is complete");
    let mut story = Story {
        who,
        session: Session::made(dialled),
        server: ServerConnection::new(server.clone()).expect("it is complete, too"),
        out: Outbox::default(),
        stream: Vec::new(),
        said: Vec::new(),
        heard: Vec::new(),
        is_forged: false,
        is_over: false,
        updates: 0,
    };
    story.begin();
    while !script.is_empty() && !story.is_over {
        story.command(&mut script);
    }
    if story.who == Answers::Member && !story.is_forged && !story.is_over {
        for _ in 0..4 {
            story.server_writes();
            while !story.stream.is_empty() && !story.is_over {
                story.reads(usize::MAX);
            }
        }
        if !story.is_over {
            assert!(story.session.is_established(), "the member is let in");
            assert!(story.heard == story.said, "everything arrives");
        }
    }
}

impl Story {
    /// This server speaks first.
    fn begin(&mut self) {
        let begun = self.session.receive(&mut [], &mut [], &mut self.out);
        assert!(begun.is_ok(), "nothing has arrived that could be wrong");
        self.server_reads();
    }

    fn command(&mut self, script: &mut Script<'_>) {
        match script.below(9) {
            0 => self.reads(usize::from(script.byte())),
            1 | 2 => {
                self.server_writes();
                self.reads(usize::MAX);
            }
            3 => self.server_says(usize::from(script.word())),
            4 => self.says(usize::from(script.word())),
            5 => {
                // It fails before the handshake is over, and in TLS 1.2.
                self.updates += usize::from(self.server.refresh_traffic_keys().is_ok());
                self.server_writes();
            }
            6 => {
                let bytes = script.bytes();
                let at = usize::from(script.word()) % (self.stream.len() + 1);
                self.stream.splice(at..at, bytes.iter().copied());
                self.is_forged |= !bytes.is_empty();
            }
            7 => {
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

    fn server_writes(&mut self) {
        while self.server.wants_write() {
            let mut sent = Vec::new();
            self.server.write_tls(&mut sent).expect("a Vec takes all");
            if self.who != Answers::Nobody {
                self.stream.append(&mut sent);
            }
        }
    }

    fn server_says(&mut self, bytes: usize) {
        let from = self.said.len();
        let said: Vec<u8> = (from..from + bytes).map(|at| at.to_le_bytes()[0] ^ 0x5a).collect();
        let took = self.server.writer().write(&said).unwrap_or(0);
        self.said.extend_from_slice(&said[..took]);
        self.server_writes();
    }

    fn says(&mut self, bytes: usize) {
        match self.session.send(&vec![7; bytes], &mut self.out) {
            Ok(()) => assert!(self.session.is_established(), "before that nothing is said"),
            Err(Fault(reason)) => assert!(!reason.is_empty(), "there is a reason"),
        }
        self.server_reads();
    }

    /// This server has refused the stream.
    fn ends(&mut self, reason: &str) {
        // A member that does nothing but ask for new keys is refused after some 30 times.
        let asks_too_often =
            self.updates >= UPDATES_MIN && reason.contains("TooManyKeyUpdateRequests");
        assert!(self.is_forged || asks_too_often || self.who != Answers::Member, "{reason}");
        self.is_over = true;
        let sent = self.session.send(b"more", &mut self.out);
        assert!(sent.is_err(), "the session is over");
    }

    /// This server reads at most so many bytes.
    fn reads(&mut self, most: usize) {
        let mut cipher = vec![0; RECORDS_HELD_BYTES_MAX];
        let mut plain = vec![0; RECORDS_HELD_BYTES_MAX];
        let held = self.session.copy_held(&mut cipher);
        let bytes = most.min(self.stream.len()).min(cipher.len() - held);
        if bytes == 0 {
            // Its buffer is full: the real server ends the link.
            self.is_over |= held == cipher.len() || most == usize::MAX && !self.stream.is_empty();
            return;
        }
        cipher[held..held + bytes].copy_from_slice(&self.stream[..bytes]);
        self.stream.drain(..bytes);
        match self.session.receive(&mut cipher[..held + bytes], &mut plain, &mut self.out) {
            Ok(Received { bytes: got, consumed, .. }) => {
                assert!(got < held + bytes && consumed <= held + bytes, "{got} {consumed}");
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
        if self.session.is_established() {
            assert_eq!(self.who, Answers::Member, "a stranger is taken for the member");
        }
        assert!(self.session.held_bytes() <= 2 * RECORDS_HELD_BYTES_MAX, "a Vec doubles");
        self.server_reads();
    }

    fn server_reads(&mut self) {
        let mut from_client = self.out.take();
        while !from_client.is_empty() {
            if self.server.read_tls(&mut from_client).is_err() {
                break;
            }
            if self.server.process_new_packets().is_err() {
                // The alert goes to this server.
                break;
            }
            let _ = self.server.reader().read(&mut [0; 1 << 17]);
        }
    }
}

/// Stories by hand: each who in each version, in one piece and byte by byte, talk, and each kind of forgery.
pub fn seeds() -> Seeds {
    let mut seeds = Seeds::new();
    let shaken = [1, 1, 1, 1];
    let talk = [3, 0x40, 0x00, 1, 4, 0x10, 0x00, 3, 0x00, 0x01, 0, 3, 0, 9, 1, 5, 1, 5, 1];
    let record = [22, 3, 3, 0, 4, 2, 0, 0, 0];
    for version in 0..2_u8 {
        for (who, name) in ["member", "other_host", "untrusted", "nobody"].iter().enumerate() {
            let start = [version, u8::try_from(who).expect("there are four")];
            let mut add = |kind: &str, story: &[&[u8]]| {
                let story = [&[&start[..]], story].concat().concat();
                seeds.push((format!("{name}_{kind}_{}", version + 2), story));
            };
            add("talks", &[&shaken, &talk]);
            if who == 0 {
                add("byte_by_byte", &[&[5], &[0, 1].repeat(300), &shaken, &talk]);
                add("flipped", &[&shaken, &[3, 1, 0, 7, 0, 9, 3, 1, 1]]);
                add("flipped_early", &[&[5, 7, 0, 60, 3, 1, 1]]);
                add("dropped", &[&shaken, &[3, 1, 0, 8, 0, 9, 1, 1, 1]]);
            }
            add("speaks_without_tls", &[&[6, 9], b"HTTP/1.1 ", &[0, 0, 1]]);
            add("says_a_record", &[&[6, 9], &record, &[0, 0, 1], &shaken]);
        }
    }
    seeds
}
