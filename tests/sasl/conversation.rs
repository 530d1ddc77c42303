//! Tokens and the answers to them, which are the same from Apache ZooKeeper 3.9.4.

use std::fmt::Write as _;
use std::net::SocketAddr;

use ringkeeper::jute::{Jute, Vector, VectorBuf};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::request::{AuthPacket, RequestBody, SaslRequest};
use ringkeeper::proto::response::ClientInfo;
use ringkeeper::sasl::Nonce;
use ringkeeper::sasl::digest_md5::{ClientExchange, Service};
use ringkeeper_testkit::Program;

use super::raw::{self, Client};
use super::{ringkeeper, start};

/// What several clients see, a line for each answer.
struct Transcript {
    server: SocketAddr,
    lines: String,
    /// The last answer of the server with a proof, to be sent again.
    response: Vec<u8>,
}

impl Transcript {
    fn client(&self) -> Client {
        Client::connect(self.server)
    }

    fn say(&mut self, what: &str, answer: &str) {
        writeln!(self.lines, "{what}: {answer}").unwrap();
    }

    /// Sends a token; the token of the answer.
    fn token(&mut self, what: &str, client: &mut Client, token: &[u8]) -> Vec<u8> {
        client.send(OpCode::Sasl, &RequestBody::Sasl(SaslRequest { token: Some(token) }));
        let Ok(reply) = client.receive() else {
            self.say(what, "the end");
            return Vec::new();
        };
        let header = reply.header;
        let token = Option::<&[u8]>::from_bytes(&reply.body).unwrap();
        let shown = match token.map(String::from_utf8_lossy) {
            None => "null".to_owned(),
            Some(text) if text.starts_with("rspauth=") => "rspauth".to_owned(),
            Some(text) => {
                let (before, rest) = text.split_once("nonce=\"").unwrap();
                let (nonce, behind) = rest.split_once('"').unwrap();
                format!("{before}nonce of {}{behind}", nonce.len())
            }
        };
        let end = if header.err != 0 && client.receive().is_err() { ", the end" } else { "" };
        self.say(what, &format!("{} {} {shown}{end}", header.zxid, header.err));
        token.map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Logs in; `change`: a part of the answer to the challenge, and what stands there instead.
    fn log_in(&mut self, client: &mut Client, who: (&str, &str), change: (&str, &str)) {
        let challenge = self.token("challenge", client, b"");
        if challenge.is_empty() {
            return;
        }
        let mut exchange =
            ClientExchange::new(Service::CLIENTS, who.0, who.1, Nonce::new(&[7; 30]));
        let response = String::from_utf8(exchange.respond(&challenge).unwrap()).unwrap();
        assert!(response.contains(change.0), "{} is not in {response}", change.0);
        self.response = response.replace(change.0, change.1).into_bytes();
        let response = self.response.clone();
        let token = self.token(&format!("{who:?} {change:?}"), client, &response);
        if !token.is_empty() {
            assert_eq!(exchange.check(&token), Ok(()));
        }
    }

    fn who(&mut self, client: &mut Client) {
        client.send(OpCode::WhoAmI, &RequestBody::Empty);
        let Ok(reply) = client.receive() else { return self.say("who", "the end") };
        if reply.header.err != 0 {
            return self.say("who", &format!("{} {}", reply.header.zxid.0, reply.header.err));
        }
        let list: Vector<'_, ClientInfo<'_>> = Jute::from_bytes(&reply.body).unwrap();
        let mut names: Vec<String> = list
            .iter()
            .map(|info| format!("{}:{}", info.auth_scheme.unwrap(), info.user.unwrap()))
            .collect();
        names.sort();
        self.say("who", &names.join(" "));
    }

    fn create(&mut self, client: &mut Client, path: &str, scheme: &str, name: &str) {
        let mut acl = VectorBuf::<AclEntry<'static>>::default();
        acl.push(&AclEntry { perms: 31, id: Id { scheme: Some(scheme), id: Some(name) } });
        let reply = client.call(OpCode::Create, &raw::create(path, b"", &acl, 0));
        self.say(&format!("create {path} {scheme}:{name}"), &reply.header.err.to_string());
    }

    fn get(&mut self, client: &mut Client, path: &str) {
        let reply = client.get(path);
        self.say(&format!("get {path}"), &reply.header.err.to_string());
    }
}

const BOB: (&str, &str) = ("bob", "bobsecret");
const AS_IT_IS: (&str, &str) = ("", "");

fn transcript(program: Program, further: &[&str], play: fn(&mut Transcript)) -> String {
    let guarded = start(program, further);
    let server = guarded.server.socket_addr();
    let mut transcript = Transcript { server, lines: String::new(), response: Vec::new() };
    play(&mut transcript);
    transcript.lines
}

/// Plays a conversation with Apache ZooKeeper, and with Ringkeeper on one executor and on several.
fn is_the_same(further: &[&str], play: fn(&mut Transcript)) {
    let expected = transcript(Program::ZooKeeper39, further, play);
    assert!(expected.lines().count() > 3, "{expected}");
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let lines = [further, &[wiring]].concat();
        let found = transcript(ringkeeper(), &lines, play);
        assert_eq!(found, expected, "{wiring}");
    }
}

#[test]
fn logins_are_answered_as_zookeeper_answers_them() {
    is_the_same(&[], |t| {
        let mut bob = t.client();
        t.log_in(&mut bob, BOB, AS_IT_IS);
        t.who(&mut bob);
        let response = t.response.clone();
        for who in [("bob", "wrong"), ("eve", "bobsecret"), ("bob@REALM", "bobsecret")] {
            let mut client = t.client();
            t.log_in(&mut client, who, AS_IT_IS);
        }
        for change in [
            ("qop=auth", "qop=auth-int"),
            ("realm=\"zk-sasl-md5\"", "realm=\"x\""),
            ("charset=utf-8", "charset=x"),
            ("username=\"bob\",", ""),
            ("digest-uri=\"zookeeper/", "digest-uri=\"imap/"),
            (",response=", ",x="),
            ("qop=auth", "qop=auth,qop=auth"),
            ("qop=auth", "x=\"y"),
        ] {
            let mut client = t.client();
            t.log_in(&mut client, BOB, change);
        }
        // Replayed, cut off, too long, and empty.
        let long = [&response[..], &[b' '; 4096]].concat();
        for token in [&response[..], &response[..100], &long, b""] {
            let mut client = t.client();
            t.token("challenge", &mut client, b"an initial response");
            t.token("token", &mut client, token);
        }
        let mut client = t.client();
        t.token("first", &mut client, &long);
        for who in [("al", "al \"secret\""), ("super", "adminsecret"), ("carl@REALM", "carlsecret")]
        {
            let mut client = t.client();
            t.log_in(&mut client, who, AS_IT_IS);
            t.who(&mut client);
        }
        let sasl = AuthPacket { packet_type: 0, scheme: Some("sasl"), auth: Some(b"bob") };
        let reply = t.client().call(OpCode::Auth, &RequestBody::Auth(sasl));
        t.say("addAuth sasl", &reply.header.err.to_string());
    });
}

#[test]
fn acls_of_sasl_are_for_whom_they_are_for_in_zookeeper() {
    is_the_same(&[], |t| {
        let [mut bob, mut al, mut admin] = [t.client(), t.client(), t.client()];
        t.log_in(&mut bob, BOB, AS_IT_IS);
        t.create(&mut bob, "/bob", "sasl", "bob");
        t.create(&mut bob, "/auth", "auth", "");
        t.create(&mut bob, "/everybody", "sasl", "everybody");
        t.create(&mut bob, "/principal", "sasl", "zk/h@REALM");
        t.create(&mut bob, "/malformed", "sasl", "zk@h@REALM");
        t.create(&mut bob, "/empty", "sasl", "");
        let mut carl = t.client();
        t.log_in(&mut carl, ("carl@REALM", "carlsecret"), AS_IT_IS);
        t.log_in(&mut al, ("al", "al \"secret\""), AS_IT_IS);
        t.log_in(&mut admin, ("super", "adminsecret"), AS_IT_IS);
        let mut stranger = t.client();
        for client in [&mut bob, &mut carl, &mut al, &mut admin, &mut stranger] {
            for path in ["/bob", "/auth", "/everybody", "/principal"] {
                t.get(client, path);
            }
        }
    });
}

#[test]
fn a_server_that_demands_sasl_closes_on_others_as_zookeeper_does() {
    is_the_same(&["sessionRequireClientSASLAuth=true"], |t| {
        let mut bob = t.client();
        t.log_in(&mut bob, BOB, AS_IT_IS);
        t.who(&mut bob);
        let mut wrong = t.client();
        t.log_in(&mut wrong, ("bob", "wrong"), AS_IT_IS);
        let mut stranger = t.client();
        t.who(&mut stranger);
        t.who(&mut stranger);
        let mut digest = t.client();
        let packet = AuthPacket { packet_type: 0, scheme: Some("digest"), auth: Some(b"a:b") };
        let reply = digest.call(OpCode::Auth, &RequestBody::Auth(packet));
        t.say("addAuth digest", &reply.header.err.to_string());
        t.who(&mut digest);
    });
}

#[test]
fn who_fails_to_log_in_may_stay_where_zookeeper_lets_him() {
    is_the_same(&["allowSaslFailedClients=true"], |t| {
        let mut client = t.client();
        t.log_in(&mut client, ("bob", "wrong"), AS_IT_IS);
        t.who(&mut client);
        t.get(&mut client, "/");
    });
}

#[test]
fn where_the_scheme_ensemble_alone_is_demanded_zookeeper_lets_nobody_in() {
    // Ringkeeper does not start with these lines, which `tests/config/sasl.rs` shows.
    let further = [
        "authProvider.2=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
        "enforce.auth.enabled=true",
        "enforce.auth.schemes=ensemble",
    ];
    let lines = transcript(Program::ZooKeeper39, &further, |t| {
        let mut client = t.client();
        let packet = AuthPacket { packet_type: 0, scheme: Some("ensemble"), auth: Some(b"any") };
        let reply = client.call(OpCode::Auth, &RequestBody::Auth(packet));
        t.say("addAuth ensemble", &reply.header.err.to_string());
        t.who(&mut client);
    });
    assert_eq!(lines, "addAuth ensemble: 0\nwho: 0 -124\n");
}

#[test]
fn the_log_names_who_has_failed_in_one_line_and_no_password() {
    let guarded = start(ringkeeper(), &[]);
    let server = guarded.server.socket_addr();
    let mut t = Transcript { server, lines: String::new(), response: Vec::new() };
    let long = "y".repeat(1000);
    for name in ["bob", "eve\n2026 FORGED", &long] {
        let mut client = t.client();
        t.log_in(&mut client, (name, "swordfish"), AS_IT_IS);
    }
    guarded.server.wait_for_log("user=yyy");
    let log = std::fs::read_to_string(guarded.server.log_file()).unwrap();
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("authentication failed")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, user, reason) in [
        (lines[0], "user=bob ", "reason=\"wrong password\""),
        (lines[1], "user=\"eve\\n2026 FORGED\"", "reason=\"no such user\""),
        (lines[2], "user=yyyy", "reason=\"no such user\""),
    ] {
        assert!(line.contains(user) && line.contains(reason), "{line}");
        assert!(line.len() < 700 && line.contains("WARN"), "{line}");
    }
    assert!(!log.lines().any(|line| line.starts_with("2026 FORGED")));
    assert!(!log.contains("swordfish") && !log.contains("response="), "{log}");
}
