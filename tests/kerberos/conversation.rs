//! Tokens and the answers to them, which are the same from Apache ZooKeeper 3.9.4.

use std::fmt::Write as _;
use std::net::SocketAddr;

use ringkeeper::jute::{Jute, Vector};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{RequestBody, SaslRequest};
use ringkeeper::proto::response::ClientInfo;
use ringkeeper_testkit::Program;

use super::initiator::Initiator;
use super::raw::Client;
use super::{ringkeeper, site, start};

/// Sends a token; the error of the answer, and its token. `None`: the connection ends.
pub fn send(client: &mut Client, token: &[u8]) -> Option<(i32, Option<Vec<u8>>)> {
    client.send(OpCode::Sasl, &RequestBody::Sasl(SaslRequest { token: Some(token) }));
    let reply = client.receive().ok()?;
    let token = Option::<&[u8]>::from_bytes(&reply.body).unwrap();
    Some((reply.header.err, token.map(<[u8]>::to_vec)))
}

/// The identities of a client.
pub fn who(client: &mut Client) -> String {
    client.send(OpCode::WhoAmI, &RequestBody::Empty);
    let Ok(reply) = client.receive() else { return "the end".to_owned() };
    let list: Vector<'_, ClientInfo<'_>> = Jute::from_bytes(&reply.body).unwrap();
    let mut names: Vec<String> = list
        .iter()
        .map(|info| format!("{}:{}", info.auth_scheme.unwrap(), info.user.unwrap()))
        .collect();
    names.sort();
    names.join(" ")
}

/// What several clients see, a line for each answer.
struct Transcript {
    server: SocketAddr,
    lines: String,
}

impl Transcript {
    fn say(&mut self, what: &str, answer: &str) {
        writeln!(self.lines, "{what}: {answer}").unwrap();
    }

    /// Sends a token; the token of the answer, which may be none.
    fn token(&mut self, what: &str, client: &mut Client, token: &[u8]) -> Option<Vec<u8>> {
        let Some((err, token)) = send(client, token) else {
            self.say(what, "the end");
            return None;
        };
        let shown = match &token {
            None => "null",
            Some(token) if token.is_empty() => "an empty token",
            Some(_) => "a token",
        };
        let end = if err != 0 && client.receive().is_err() { ", the end" } else { "" };
        self.say(what, &format!("{err} {shown}{end}"));
        token
    }

    /// Brings a login up to the server's offer, and returns what is offered.
    fn up_to_the_offer(&mut self, client: &mut Client, initiator: &mut Initiator) -> Vec<u8> {
        let first = initiator.step(b"");
        let Some(token) = self.token("first", client, &first) else { return Vec::new() };
        let answer = initiator.step(&token);
        assert_eq!(answer, b"", "one token makes the context");
        let Some(offer) = self.token("empty", client, &answer) else { return Vec::new() };
        let offer = initiator.unwrap(&offer);
        self.say("offer", &format!("{offer:?}"));
        offer
    }

    /// Logs in, and chooses so.
    fn choose(&mut self, what: &str, choice: &[u8]) {
        let site = site();
        let mut initiator = Initiator::new(&site.kdc.config(), &site.bob, "zookeeper@localhost");
        let mut client = Client::connect(self.server);
        if !self.up_to_the_offer(&mut client, &mut initiator).is_empty() {
            let choice = initiator.wrap(choice);
            self.token(what, &mut client, &choice);
            let names = who(&mut client);
            self.say(what, &names);
        }
    }
}

fn transcript(program: Program, further: &[&str], play: fn(&mut Transcript)) -> String {
    let guarded = start(program, further);
    let mut transcript = Transcript { server: guarded.server.socket_addr(), lines: String::new() };
    play(&mut transcript);
    transcript.lines
}

#[test]
fn logins_are_answered_as_zookeeper_answers_them() {
    let lines = ["kerberos.removeRealmFromPrincipal=true", "superUser=app/host.example"];
    let play = |t: &mut Transcript| {
        let site = site();
        t.choose("no layer", &[1, 0, 0, 0]);
        t.choose("another name", b"\x01\x00\x00\x00al");
        t.choose("integrity", &[2, 0, 16, 0]);
        // A principal with a host, who is a super user.
        let mut initiator = Initiator::new(&site.kdc.config(), &site.app, "zookeeper@localhost");
        let mut client = Client::connect(t.server);
        t.up_to_the_offer(&mut client, &mut initiator);
        let choice = initiator.wrap(&[1, 0, 0, 0]);
        t.token("a super user", &mut client, &choice);
        let names = who(&mut client);
        t.say("a super user", &names);
        // A client that does not ask the server to prove itself gets the offer at once.
        let mut initiator =
            Initiator::one_sided(&site.kdc.config(), &site.bob, "zookeeper@localhost");
        let mut client = Client::connect(t.server);
        let first = initiator.step(b"");
        let offer = t.token("one-sided", &mut client, &first).unwrap();
        let offer = initiator.unwrap(&offer);
        t.say("one-sided", &format!("{offer:?}"));
        // What is no token, a part of one, and one for another service.
        let mut initiator = Initiator::new(&site.kdc.config(), &site.bob, "zookeeper@localhost");
        let first = initiator.step(b"");
        let mut other = Initiator::new(&site.kdc.config(), &site.bob, "other@localhost");
        for (what, token) in [
            ("empty", b"".to_vec()),
            ("garbage", vec![0x60; 300]),
            ("truncated", first[..first.len() / 2].to_vec()),
            ("another service", other.step(b"")),
        ] {
            let mut client = Client::connect(t.server);
            t.token(what, &mut client, &token);
        }
        let mut client = Client::connect(t.server);
        t.token("whole", &mut client, &first);
        t.token("not empty", &mut client, b"x");
        let mut client = Client::connect(t.server);
        t.token("replayed", &mut client, &first);
    };
    let expected = transcript(Program::ZooKeeper39, &lines, play);
    assert!(expected.lines().count() > 20, "{expected}");
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let found = transcript(ringkeeper(), &[&lines[..], &[wiring]].concat(), play);
        assert_eq!(found, expected, "{wiring}");
    }
}
