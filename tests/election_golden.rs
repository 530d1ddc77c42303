//! Conversations on the election port, byte by byte, against `tests/golden/election`.
//!
//! A conversation is a list of events, each with the reaction of the server. Incoming bytes are written by hand in
//! ZooKeeper's layouts; outgoing bytes are compared with those in the file. With `RINGKEEPER_RECORD_GOLDEN` set, the
//! test rewrites the files; use it only if you can explain the difference.
//!
//! ```text
//! server 1 [observer] [multi-address] [reconfig]   a server starts; lines of its configuration follow
//! look ZXID EPOCH           it looks for a leader
//! accept A | connected O | closed L | timeout MS | settle STATE | epoch N
//! receive L BYTES           hexadecimal digits, and texts in quotes
//! ----
//! its reaction, until an empty line
//! ```

#![expect(clippy::unwrap_used, reason = "a conversation that makes no sense ends the test")]

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;

use ringkeeper::election::{Election, ElectionOptions, Outcome};
use ringkeeper::id::{Epoch, ServerId, Zxid};
use ringkeeper::link::{LinkEvent, LinkId, LinkIds, LinkOp, Port};
use ringkeeper::proto::quorum::ServerState;
use ringkeeper::quorum::Config;
use ringkeeper::quorum::PeerOptions;
use ringkeeper::time::MonoUs;

const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50000);

#[test]
fn conversations_are_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/election");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let expected = std::fs::read_to_string(&name).unwrap();
        let actual = play(&expected);
        if std::env::var_os("RINGKEEPER_RECORD_GOLDEN").is_some() {
            std::fs::write(&name, actual).unwrap();
        } else {
            similar(&name, &expected, &actual);
        }
    }
}

fn similar(name: &Path, expected: &str, actual: &str) {
    for (number, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(actual, expected, "{}:{}", name.display(), number + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{}", name.display());
}

/// Plays the events of a conversation; returns the conversation with the reactions of the server.
fn play(text: &str) -> String {
    let mut out = String::new();
    let mut server = None;
    for block in text.split("\n\n") {
        let mut events = Vec::new();
        for line in block.lines().take_while(|line| *line != "----") {
            out.push_str(line);
            out.push('\n');
            if !line.starts_with('#') {
                events.push(line);
            }
        }
        if let Some((first, rest)) = events.split_first() {
            out.push_str("----\n");
            if let Some(words) = first.strip_prefix("server ") {
                server = Some(Server::new(words, &rest.join("\n")));
            } else {
                let server = server.as_mut().expect("a server comes first");
                for event in events {
                    server.event(event);
                }
                server.report(&mut out);
            }
        }
        out.push('\n');
    }
    let length = out.trim_end().len();
    out.truncate(length);
    out.push('\n');
    out
}

struct Server {
    election: Election,
    now: MonoUs,
}

impl Server {
    fn new(words: &str, config: &str) -> Server {
        let mut words = words.split(' ');
        let me = ServerId(words.next().unwrap().parse().unwrap());
        let mut options = PeerOptions { me, ..PeerOptions::default() };
        for word in words {
            match word {
                "observer" => options.is_observer = true,
                "multi-address" => options.multi_address = true,
                "reconfig" => options.reconfig = true,
                _ => panic!("{word}"),
            }
        }
        let config = Rc::new(Config::parse(config).unwrap());
        let election = Election::new(ElectionOptions::new(&options), config, LinkIds::default());
        Server { election, now: MonoUs(0) }
    }

    fn event(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let now = self.now;
        match word {
            "look" => {
                let (zxid, epoch) = rest.split_once(' ').unwrap();
                let zxid = i64::from_str_radix(zxid.trim_start_matches("0x"), 16).unwrap();
                self.election.look(now, Zxid(zxid), Epoch(epoch.parse().unwrap()));
            }
            "accept" => {
                let event = LinkEvent::Accepted {
                    link: link(rest),
                    port: Port::Election,
                    remote: REMOTE,
                    may_be: None,
                };
                self.election.handle_link(now, event);
            }
            "connected" => {
                let event = LinkEvent::Connected { link: link(rest), remote: REMOTE };
                self.election.handle_link(now, event);
            }
            "closed" => {
                self.election.handle_link(now, LinkEvent::Closed { link: link(rest), reason: "" });
            }
            "receive" => {
                let (name, bytes) = rest.split_once(' ').unwrap();
                let bytes = bytes_of(bytes);
                let event = LinkEvent::Received { link: link(name), bytes: &bytes };
                self.election.handle_link(now, event);
            }
            "timeout" => {
                self.now = now.plus_ms(rest.parse().unwrap());
                self.election.handle_timeout(self.now);
            }
            "settle" => self.election.settle(match rest {
                "FOLLOWING" => ServerState::Following,
                "LEADING" => ServerState::Leading,
                "OBSERVING" => ServerState::Observing,
                _ => panic!("{rest}"),
            }),
            "epoch" => self.election.set_vote_epoch(Epoch(rest.parse().unwrap())),
            _ => panic!("{line}"),
        }
    }

    fn report(&mut self, out: &mut String) {
        let mut ops = Vec::new();
        let outcome = self.election.take(&mut ops);
        for op in ops {
            match op {
                LinkOp::Listen { .. } | LinkOp::Members { .. } => {
                    panic!("an election does not listen")
                }
                LinkOp::Connect { link, server, to, timeout_ms, .. } => {
                    let to: Vec<_> = to.iter().map(|e| format!("{}:{}", e.host, e.port)).collect();
                    let (link, to) = (name(link), to.join(" "));
                    writeln!(out, "connect {link} server={server} {to} within {timeout_ms} ms")
                }
                LinkOp::Send { link, bytes } => {
                    writeln!(out, "send {} {}", name(link), shown(&bytes))
                }
                LinkOp::Close { link } => writeln!(out, "close {}", name(link)),
            }
            .unwrap();
        }
        match outcome {
            Some(Outcome::Elected(elected)) => {
                let (leader, round) = (elected.leader, elected.round);
                let supporters: Vec<_> =
                    elected.supporters.iter().map(ServerId::to_string).collect();
                writeln!(out, "elected {leader} in round {round} by {}", supporters.join(","))
            }
            Some(Outcome::NewerConfig(config)) => {
                writeln!(out, "newer configuration {:x}", config.version)
            }
            Some(Outcome::Deserted(by)) => writeln!(out, "deserted by {by}"),
            None => Ok(()),
        }
        .unwrap();
    }
}

/// `a3` is the third link accepted, `o0` the first one opened.
fn link(name: &str) -> LinkId {
    let number = name[1..].parse().unwrap();
    match &name[..1] {
        "a" => LinkId::accepted(number),
        "o" => LinkId::opened(number),
        _ => panic!("{name}"),
    }
}

fn name(id: LinkId) -> String {
    let of = if id.is_accepted() { LinkId::accepted } else { LinkId::opened };
    let number = (0..1000).find(|number| of(*number) == id).expect("a small number");
    format!("{}{number}", if id.is_accepted() { 'a' } else { 'o' })
}

/// `0000 00ff "text"`; `\n` in a text is a line end.
fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in text.split('"').enumerate() {
        if index % 2 == 1 {
            bytes.extend(part.replace("\\n", "\n").bytes());
            continue;
        }
        let digits: String = part.split_whitespace().collect();
        for at in (0..digits.len()).step_by(2) {
            bytes.push(u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
        }
    }
    bytes
}

/// A handshake or a message, field by field, with its text in quotes.
fn shown(bytes: &[u8]) -> String {
    let fields: &[usize] = match bytes {
        [0xff, ..] => &[8, 8, 4],
        _ if bytes.len() == 8 => &[8],
        _ => &[4, 4, 8, 8, 8, 8, 4, 4],
    };
    let mut at = 0;
    let mut parts = Vec::new();
    for length in fields {
        let field = &bytes[at..at + length];
        parts.push(field.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}")));
        at += length;
    }
    if at < bytes.len() {
        let text = std::str::from_utf8(&bytes[at..]).unwrap();
        parts.push(format!("{:?}", text));
    }
    parts.join(" ")
}
