//! One gate, its links, and what its owners see of them.

use super::*;
use crate::limits::{LOGIN_SILENCE_MS, LOGINS_ACCEPTED_MAX};
use crate::sasl::between::{AcceptedLogin, Account, OpenedLogin, Progress};
use crate::sasl::digest_md5::{Service, Users};
use crate::sasl::jaas::JaasFile;
use crate::sasl::{Mechanism, NonceKey, Secret};

const LINK: LinkId = LinkId::accepted(1);
const OPENED: LinkId = LinkId::opened(1);

fn remote() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 3], 40_000))
}

fn at(ms: u64) -> MonoUs {
    MonoUs(1_000_000 + ms * 1000)
}

fn logins(is_demanded: bool, logs_in: bool) -> PeerLogins {
    let file = JaasFile::read(b"S { m required user_zk=\"swordfish\"; };").unwrap();
    let users = Users::of_section(Service::SERVERS, file.section("S").unwrap());
    let own = Account::DigestMd5 { name: "zk".into(), password: Secret::new("swordfish") };
    PeerLogins {
        accepted: Mechanism::DigestMd5(users),
        is_demanded,
        own: logs_in.then_some(own),
        nonce_key: NonceKey::new([7; 32]),
    }
}

/// A gate where logins take at most 1 s on the election port and 2 s elsewhere.
fn gate(is_demanded: bool, logs_in: bool) -> Gate {
    let options = PeerOptions {
        logins: Some(logins(is_demanded, logs_in)),
        election_handshake_ms: 1500,
        tick_ms: 200,
        init_limit: 10,
        ..PeerOptions::default()
    };
    Gate::new(&options).unwrap()
}

fn accept(gate: &mut Gate, link: LinkId, port: Port, may_be: Option<&[ServerId]>) {
    let event = LinkEvent::Accepted { link, port, remote: remote(), may_be };
    assert_eq!(gate.handle(at(0), port == Port::Election, event), None);
    assert_eq!(gate.take(), []);
}

fn receive(gate: &mut Gate, ms: u64, link: LinkId, bytes: &[u8]) -> Vec<Effect> {
    let event = LinkEvent::Received { link, bytes };
    assert_eq!(gate.handle(at(ms), false, event), None, "no owner gets it as it is");
    gate.take()
}

fn close(gate: &mut Gate, link: LinkId) -> Vec<Effect> {
    let event = LinkEvent::Closed { link, reason: "the other side has closed it" };
    assert_eq!(gate.handle(at(10), false, event), None);
    gate.take()
}

/// The bytes of the one `Send` among effects.
fn sent(effects: &[Effect]) -> Vec<u8> {
    match effects {
        [Effect::Op(LinkOp::Send { bytes, .. })] => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// The handshake of server 3.
fn handshake() -> Vec<u8> {
    let mut bytes = (-65536_i64).to_be_bytes().to_vec();
    bytes.extend(3_i64.to_be_bytes());
    bytes.extend(7_i32.to_be_bytes());
    bytes.extend(b"h3:3888");
    bytes
}

fn passed(port: Port, bytes: &[u8]) -> Vec<Effect> {
    let mut effects = vec![Effect::Accepted { link: LINK, port, remote: remote(), may_be: None }];
    if !bytes.is_empty() {
        effects.push(Effect::Received { link: LINK, bytes: bytes.to_vec() });
    }
    effects
}

/// Another server, which logs in over [`LINK`]: what the gate makes of its last packet.
fn log_in(gate: &mut Gate, first: &[u8], rest: &[u8]) -> Vec<Effect> {
    let own = logins(true, true).own.unwrap();
    let mut nonces = Nonces::new(NonceKey::new([1; 32]));
    let (mut login, hello) = OpenedLogin::begin(&own, nonces.draw());
    let hello = [first, &hello].concat();
    let challenge = sent(&receive(gate, 1, LINK, &hello));
    let mut response = Vec::new();
    assert_eq!(login.handle(&challenge, &mut response), Progress::Pending);
    response.extend_from_slice(rest);
    let mut effects = receive(gate, 2, LINK, &response);
    let proof = sent(&effects[..1]);
    assert!(matches!(login.handle(&proof, &mut Vec::new()), Progress::Passed { .. }));
    let network = LinkEvent::Sent { link: LINK, bytes: (challenge.len() + proof.len()) as u64 };
    assert_eq!(gate.handle(at(3), false, network), None, "no byte was the owner's");
    effects.remove(0);
    effects
}

#[test]
fn a_learner_reaches_the_leader_behind_its_login() {
    for port in [Port::Quorum, Port::ObserverMaster] {
        let mut gate = gate(true, false);
        accept(&mut gate, LINK, port, None);
        assert_eq!(log_in(&mut gate, b"", b"info"), passed(port, b"info"));
        assert_eq!((gate.accepted_counts.passed, gate.accepted_counts.failed), (1, 0));
        let later = LinkEvent::Received { link: LINK, bytes: b"more" };
        assert_eq!(gate.handle(at(4), false, later), Some(later));
        let sent = LinkEvent::Sent { link: LINK, bytes: 9 };
        assert_eq!(gate.handle(at(4), false, sent), Some(sent));
        assert_eq!(gate.next_timeout(), None);
    }
}

#[test]
fn a_voter_reaches_the_election_with_its_handshake_behind_its_login() {
    let mut gate = gate(true, false);
    accept(&mut gate, LINK, Port::Election, None);
    let handshake = handshake();
    for byte in &handshake[..handshake.len() - 1] {
        assert_eq!(receive(&mut gate, 0, LINK, &[*byte]), []);
    }
    let effects = log_in(&mut gate, &handshake[handshake.len() - 1..], b"vote");
    assert_eq!(effects, passed(Port::Election, &[&handshake[..], b"vote"].concat()));
}

#[test]
fn who_does_not_log_in_is_refused_where_that_is_demanded_and_passes_elsewhere() {
    let handshake = handshake();
    for (port, first) in [(Port::Quorum, &b""[..]), (Port::Election, &handshake)] {
        let said = [first, b"\0\0\0\x0b12345"].concat();
        let mut strict = gate(true, false);
        accept(&mut strict, LINK, port, None);
        let refused = receive(&mut strict, 0, LINK, &said);
        assert_eq!(refused, [Effect::Op(LinkOp::Close { link: LINK })]);
        assert_eq!(strict.accepted_counts.failed, 1);
        let mut open = gate(false, false);
        accept(&mut open, LINK, port, None);
        assert_eq!(receive(&mut open, 0, LINK, &said), passed(port, &said));
    }
}

#[test]
fn a_server_that_sends_its_id_and_leaves_reaches_the_election_only_where_it_need_not_log_in() {
    let mut open = gate(false, false);
    accept(&mut open, LINK, Port::Election, None);
    assert_eq!(receive(&mut open, 0, LINK, &handshake()), []);
    let mut expected = passed(Port::Election, &handshake());
    expected.push(Effect::Closed { link: LINK, reason: "the other side has closed it".to_owned() });
    assert_eq!(close(&mut open, LINK), expected);
    let mut strict = gate(true, false);
    accept(&mut strict, LINK, Port::Election, None);
    receive(&mut strict, 0, LINK, &handshake());
    assert_eq!(close(&mut strict, LINK), []);
    assert_eq!(strict.accepted_counts.failed, 1);
}

#[test]
fn a_silent_server_is_late_or_passes_where_it_need_not_log_in() {
    let mut open = gate(false, false);
    accept(&mut open, LINK, Port::Election, None);
    assert_eq!(open.next_timeout(), Some(at(1500)));
    receive(&mut open, 100, LINK, &handshake());
    let due = at(100 + LOGIN_SILENCE_MS);
    assert_eq!(open.next_timeout(), Some(due));
    open.handle_timeout(due);
    assert_eq!(open.take(), passed(Port::Election, &handshake()));
    for (port, ms) in [(Port::Election, 1500), (Port::Quorum, 2000)] {
        let mut strict = gate(true, false);
        accept(&mut strict, LINK, port, None);
        let hello = [&handshake()[..], b"\x5f"].concat();
        receive(&mut strict, 10, LINK, if port == Port::Election { &hello } else { b"\x5f" });
        let due = strict.next_timeout().unwrap();
        assert!(due <= at(ms + 10), "{due:?}");
        strict.handle_timeout(due);
        assert_eq!(strict.take(), [Effect::Op(LinkOp::Close { link: LINK })]);
    }
}

#[test]
fn many_strangers_make_room_before_a_member() {
    let mut gate = gate(true, false);
    accept(&mut gate, LINK, Port::Quorum, Some(&[ServerId(2)]));
    for number in 2..=LOGINS_ACCEPTED_MAX as u64 {
        accept(&mut gate, LinkId::accepted(number), Port::Quorum, Some(&[]));
    }
    let event = LinkEvent::Accepted {
        link: LinkId::accepted(9999),
        port: Port::Quorum,
        remote: remote(),
        may_be: Some(&[]),
    };
    assert_eq!(gate.handle(at(1), false, event), None);
    let oldest_stranger = LinkId::accepted(2);
    assert_eq!(gate.take(), [Effect::Op(LinkOp::Close { link: oldest_stranger })]);
    assert!(gate.accepted.contains_key(&LINK));
}

/// The other side of [`OPENED`], which accepts it, with its answer to the packets of the gate.
struct Server(AcceptedLogin);

impl Server {
    fn new() -> Server {
        Server(AcceptedLogin::new(Nonces::new(NonceKey::new([2; 32])).draw()))
    }

    fn answer(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        self.0.handle(&logins(true, true), bytes, &mut answer);
        answer
    }
}

#[test]
fn a_learner_says_nothing_before_its_leader_has_proved_who_it_is() {
    let mut gate = gate(false, true);
    let event = LinkEvent::Connected { link: OPENED, remote: remote() };
    assert_eq!(gate.handle(at(0), false, event), None);
    let mut server = Server::new();
    let challenge = server.answer(&sent(&gate.take()));
    let mut proof = server.answer(&sent(&receive(&mut gate, 1, OPENED, &challenge)));
    proof.extend_from_slice(b"info");
    let expected = [
        Effect::Connected { link: OPENED, remote: remote() },
        Effect::Received { link: OPENED, bytes: b"info".to_vec() },
    ];
    assert_eq!(receive(&mut gate, 2, OPENED, &proof), expected);
    assert_eq!((gate.opened_counts.passed, gate.opened_counts.failed), (1, 0));
}

#[test]
fn a_server_that_does_not_know_the_password_is_left() {
    for answer in
        [&b"\0\0\0\x11 leader info"[..], b"\x5f\x24\x35\x01\x35\x01\xed\xcc\0\0\0\x01\0\0\0\0"]
    {
        let mut gate = gate(false, true);
        gate.handle(at(0), false, LinkEvent::Connected { link: OPENED, remote: remote() });
        gate.take();
        let effects = receive(&mut gate, 1, OPENED, answer);
        let [Effect::Closed { link: OPENED, .. }, Effect::Op(LinkOp::Close { link: OPENED })] =
            &effects[..]
        else {
            panic!("{effects:?}")
        };
        assert_eq!(gate.opened_counts.failed, 1);
    }
}

#[test]
fn a_voter_sends_its_handshake_then_logs_in_and_then_votes() {
    for leaves in [false, true] {
        let mut gate = gate(false, true);
        let event = LinkEvent::Connected { link: OPENED, remote: remote() };
        assert_eq!(gate.handle(at(0), true, event), Some(event), "it sends its handshake now");
        let mut ops = Vec::new();
        let send =
            |bytes: &'static [u8]| LinkOp::Send { link: OPENED, bytes: Bytes::from_static(bytes) };
        gate.filter(send(b"handshake"), &mut ops);
        let last = if leaves { LinkOp::Close { link: OPENED } } else { send(b"vote") };
        gate.filter(last.clone(), &mut ops);
        gate.on_event_handled(OPENED);
        assert_eq!((ops.len(), &ops[0]), (2, &send(b"handshake")));
        let LinkOp::Send { bytes: hello, .. } = &ops[1] else { panic!("{ops:?}") };
        let mut server = Server::new();
        let challenge = server.answer(hello);
        let response = sent(&receive(&mut gate, 1, OPENED, &challenge));
        let network =
            LinkEvent::Sent { link: OPENED, bytes: (9 + hello.len() + response.len()) as u64 };
        let own = LinkEvent::Sent { link: OPENED, bytes: 9 };
        assert_eq!(gate.handle(at(2), true, network), Some(own));
        let proof = server.answer(&response);
        assert_eq!(receive(&mut gate, 3, OPENED, &proof), [Effect::Op(last)]);
        assert_eq!(gate.opened_counts.passed, 1);
    }
}

#[test]
fn a_link_that_its_owner_closes_during_the_login_is_closed_at_once() {
    let mut gate = gate(false, true);
    gate.handle(at(0), true, LinkEvent::Connected { link: OPENED, remote: remote() });
    let mut ops = Vec::new();
    let bytes = Bytes::from_static(b"handshake");
    gate.filter(LinkOp::Send { link: OPENED, bytes }, &mut ops);
    gate.on_event_handled(OPENED);
    gate.filter(LinkOp::Close { link: OPENED }, &mut ops);
    assert_eq!(ops.last(), Some(&LinkOp::Close { link: OPENED }));
    assert_eq!((gate.next_timeout(), gate.opened_counts.failed), (None, 0));
}
