//! What is refused, with the reason in the log of the server that refuses it, and none on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use ringkeeper::sasl::between::{Account, OpenedLogin, Progress, Refusal};
use ringkeeper::sasl::{NonceKey, Nonces, Secret};
use ringkeeper_testkit::{Ensemble, PeerType, Program};

use super::{Files, LEARNERS, SERVERS, figure, ground, log, no_secret_in_the_logs, write_and_read};
use ground::{LIMIT, ours, turn};

/// A connection to a port between servers, as a stranger opens it.
struct Stranger(TcpStream);

impl Stranger {
    fn reach(ensemble: &Ensemble, id: usize, port: Port) -> Stranger {
        let line = ensemble.server_line(id);
        let parts: Vec<&str> = line.split(':').collect();
        let at = match port {
            Port::Quorum => parts[1],
            Port::Election => parts[2],
        };
        let stream = TcpStream::connect((parts[0], at.parse::<u16>().unwrap())).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut stranger = Stranger(stream);
        if let Port::Election = port {
            // The handshake of a server with a large id that no configuration has.
            let address = b"127.0.0.1:1";
            let mut bytes = (-65536_i64).to_be_bytes().to_vec();
            bytes.extend(77_i64.to_be_bytes());
            bytes.extend(u32::try_from(address.len()).unwrap().to_be_bytes());
            bytes.extend(address);
            stranger.say(&bytes);
        }
        stranger
    }

    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// What comes until the other side closes.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
        bytes
    }

    fn some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 8192];
        let length = self.0.read(&mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// Logs in; `change` changes the response. The outcome, and what was sent in the second packet.
    fn log_in(
        &mut self,
        (name, password): (&str, &str),
        change: impl Fn(Vec<u8>) -> Vec<u8>,
    ) -> (Progress, Vec<u8>) {
        let account = Account::DigestMd5 { name: name.into(), password: Secret::new(password) };
        let mut nonces = Nonces::new(NonceKey::new([9; 32]));
        let (mut login, first) = OpenedLogin::begin(&account, nonces.draw());
        self.say(&first);
        let mut response = Vec::new();
        assert_eq!(login.handle(&self.some(), &mut response), Progress::Pending);
        let response = change(response);
        self.say(&response);
        let outcome = login.handle(&self.some(), &mut Vec::new());
        (outcome, response)
    }
}

#[derive(Clone, Copy)]
enum Port {
    Quorum,
    Election,
}

/// The packet of a follower that says that it is server 77.
fn follower_info() -> Vec<u8> {
    let mut bytes = 11_i32.to_be_bytes().to_vec();
    bytes.extend(0_i64.to_be_bytes());
    bytes.extend(20_i32.to_be_bytes());
    bytes.extend(77_i64.to_be_bytes());
    bytes.extend(0x10000_i32.to_be_bytes());
    bytes.extend(0_i64.to_be_bytes());
    bytes.extend((-1_i32).to_be_bytes());
    bytes
}

#[test]
fn strangers_and_forgers_are_refused_on_both_ports_with_the_reason_in_the_log() {
    let _turn = turn();
    let files = Files::new();
    let mut ensemble = Ensemble::start(&vec![ours(); 3], files.guarded());
    let leader = ensemble.leader();
    let refused = Progress::Refused(Refusal::Refused);
    for port in [Port::Quorum, Port::Election] {
        let reach = || Stranger::reach(&ensemble, leader, port);
        let mut silent = reach();
        silent.say(&follower_info());
        assert_eq!(silent.rest(), b"", "who does not log in gets no answer");
        let whole = |response| response;
        let (outcome, _) = reach().log_in(("zk", "wrong"), whole);
        assert_eq!(outcome, refused);
        let (outcome, _) = reach().log_in(("nobody", "swordfish"), whole);
        assert_eq!(outcome, refused);
        // A packet whose token is cut, with the length that it has then.
        let cut = |mut response: Vec<u8>| {
            response.truncate(response.len() - 60);
            let length = i32::try_from(response.len() - 16).unwrap();
            response[12..16].copy_from_slice(&length.to_be_bytes());
            response
        };
        let (outcome, _) = reach().log_in(("zk", "swordfish"), cut);
        assert_eq!(outcome, refused);
        let mut member = reach();
        let (outcome, response) = member.log_in(("zk", "swordfish"), whole);
        assert!(matches!(outcome, Progress::Passed { .. }), "{outcome:?}");
        // The same response in another login.
        let (outcome, _) = reach().log_in(("zk", "swordfish"), |_| response.clone());
        assert_eq!(outcome, refused);
        let mut long = reach();
        long.say(b"\x5f\x24\x35\x01\x35\x01\xed\xcc\0\0\0\0\x7f\xff\xff\xff");
        assert_eq!(long.rest().len(), 16, "an error without a token");
    }
    let log = log(&ensemble, leader);
    for reason in [
        "it does not log in, and quorum.auth.serverRequireSasl demands that",
        "wrong password",
        "no such user",
        "the token is malformed",
        "the directive nonce does not fit the challenge",
        "has the length 2147483647",
    ] {
        assert!(log.contains(reason), "{reason}: {log}");
    }
    assert!(figure(&ensemble, leader, "zk_quorum_logins_refused") >= 12);
    assert_eq!(ensemble.leader(), leader, "no stranger has changed anything");
    write_and_read(&mut ensemble, "/served");
    no_secret_in_the_logs(&ensemble);
}

#[test]
fn a_server_with_a_wrong_login_stays_outside_until_it_is_put_right() {
    let _turn = turn();
    let files = Files::new();
    let members = [ours(), ours(), Program::ZooKeeper39, ours()];
    let members = members.map(|program| (program, PeerType::Participant));
    let mut ensemble = Ensemble::prepare(&members, files.guarded());
    for id in [1, 2, 3] {
        ensemble.spawn(id);
    }
    for id in [1, 2, 3] {
        ensemble.wait_serving(id);
    }
    for (section, reason) in [("WrongPassword", "wrong password"), ("UnknownUser", "no such user")]
    {
        let line = format!("quorum.auth.learner.saslLoginContext={section}");
        ensemble.reconfigure(4, |config| config.line(&line));
        ensemble.server_mut(4).spawn();
        ensemble.server(4).wait_for_log("it refuses the login of this server");
        // It has the largest id, so each of the others is called by it, and calls it.
        ensemble.server(1).wait_for_log(reason);
        assert_eq!(ensemble.mode(4), None);
    }
    ensemble.kill(4);
    let requires = |line: &'static str| line.split_once('=').expect("a line").0;
    ensemble.reconfigure(4, |config| {
        let config = config.without_line("quorum.auth.learner.saslLoginContext");
        config.without_line(requires(SERVERS)).without_line(requires(LEARNERS))
    });
    ensemble.server_mut(4).spawn();
    ensemble.server(1).wait_for_log("it does not log in, and quorum.auth.serverRequireSasl");
    assert_eq!(ensemble.mode(4), None);
    ensemble.kill(4);
    ensemble.reconfigure(4, |config| config.line(LEARNERS).line(SERVERS));
    ensemble.restart(4);
    write_and_read(&mut ensemble, "/served");
    no_secret_in_the_logs(&ensemble);
}
