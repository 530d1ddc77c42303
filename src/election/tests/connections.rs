//! The rules of connections, one by one (`CnxManagerTest`), tested through the interface of `Election`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use super::network::{config_of, options};
use crate::election::{Election, ElectionOptions, Outcome, Vote, notification};
use crate::id::{Epoch, ServerId, Zxid};
use crate::jute::Jute;
use crate::limits::{ELECTION_HANDSHAKES_MAX, ELECTION_STRANGER_CALLS_MAX, ELECTION_STRANGERS_MAX};
use crate::link::{Endpoint, LinkEvent, LinkId, LinkIds, LinkOp, Port};
use crate::proto::quorum::{ElectionHandshake, Notification, ServerState};
use crate::quorum::Config;
use crate::time::MonoUs;

const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// One server's election. The test plays all other servers.
struct Hand {
    election: Election,
    now: MonoUs,
    ops: Vec<LinkOp>,
    outcome: Option<Outcome>,
    accepted: u64,
}

impl Hand {
    fn new(me: i64) -> Hand {
        Hand::with(options(me))
    }

    fn with(options: ElectionOptions) -> Hand {
        let config = Rc::new(Config::parse(&config_of(3)).unwrap());
        let election = Election::new(options, config, LinkIds::default());
        Hand { election, now: MonoUs(0), ops: Vec::new(), outcome: None, accepted: 0 }
    }

    fn look(&mut self) {
        self.election.look(self.now, Zxid(5), Epoch(1));
        self.take();
    }

    fn event(&mut self, event: LinkEvent<'_>) {
        self.election.handle_link(self.now, event);
        self.take();
    }

    fn take(&mut self) {
        let outcome = self.election.take(&mut self.ops);
        self.outcome = outcome.or(self.outcome.take());
    }

    fn after(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.election.handle_timeout(self.now);
        self.take();
    }

    fn accept(&mut self) -> LinkId {
        self.accept_of(None)
    }

    /// Accepts a connection from an address of these members.
    fn accept_of(&mut self, may_be: Option<&[ServerId]>) -> LinkId {
        self.accepted += 1;
        let link = LinkId::accepted(self.accepted);
        let (port, remote) = (Port::Election, REMOTE);
        self.event(LinkEvent::Accepted { link, port, remote, may_be });
        link
    }

    /// Lets a server connect and send its id and addresses.
    fn call(&mut self, server_id: i64, addresses: &str) -> LinkId {
        self.call_of(None, server_id, addresses)
    }

    fn call_of(&mut self, may_be: Option<&[ServerId]>, server_id: i64, addresses: &str) -> LinkId {
        let link = self.accept_of(may_be);
        let version = -65536;
        let server_id = ServerId(server_id);
        let bytes = ElectionHandshake::Initial { version, server_id, addresses }.to_bytes();
        self.event(LinkEvent::Received { link, bytes: &bytes });
        link
    }

    fn says(&mut self, link: LinkId, state: ServerState, vote: Vote, round: i64, config: &str) {
        let config = Config::parse(config).unwrap();
        let bytes = notification::write(state, vote, round, &config);
        self.event(LinkEvent::Received { link, bytes: &bytes });
    }

    fn ops(&mut self) -> Vec<LinkOp> {
        std::mem::take(&mut self.ops)
    }

    /// The attempts among the ops since the last call.
    fn attempts(&mut self) -> Vec<(LinkId, i64, Vec<Endpoint>)> {
        let attempt = |op| match op {
            LinkOp::Connect { link, server, to, .. } => Some((link, server.0, to)),
            _ => None,
        };
        self.ops().into_iter().filter_map(attempt).collect()
    }

    /// The votes sent since the last call.
    fn votes(&mut self) -> Vec<(LinkId, ServerState, i64)> {
        let vote = |op| match op {
            LinkOp::Send { link, bytes } => {
                let notification = Notification::from_bytes(&bytes[4..]).ok()?;
                Some((link, notification.state, notification.leader.0))
            }
            _ => None,
        };
        self.ops().into_iter().filter_map(vote).collect()
    }
}

fn at(host: &str, port: u16) -> Endpoint {
    Endpoint { host: host.into(), port }
}

fn vote(leader: i64) -> Vote {
    Vote { leader: ServerId(leader), zxid: Zxid(5), peer_epoch: Epoch(1) }
}

#[test]
fn a_smaller_server_says_who_it_is_hangs_up_and_is_called_back() {
    let mut hand = Hand::new(1);
    hand.look();
    let attempts = hand.attempts();
    assert_eq!(attempts.iter().map(|a| a.1).collect::<Vec<_>>(), [2, 3]);
    let (link, _, to) = attempts[0].clone();
    assert_eq!(to, [at("s2", 3888)]);
    hand.event(LinkEvent::Connected { link, remote: REMOTE });
    let bytes = ElectionHandshake::Initial {
        version: -65536,
        server_id: ServerId(1),
        addresses: "s1:3888",
    };
    let hello = LinkOp::Send { link, bytes: bytes.to_bytes().into() };
    assert_eq!(hand.ops(), [hello, LinkOp::Close { link }]);
    // The server does not ask again while the other one may be about to connect. The connection back carries the
    // vote.
    hand.after(100);
    assert_eq!(hand.attempts(), []);
    let back = hand.call(2, "s2:3888");
    assert_eq!(hand.votes(), [(back, ServerState::Looking, 1)]);
}

#[test]
fn without_a_call_back_it_asks_again_ever_more_slowly() {
    let mut hand = Hand::new(1);
    hand.look();
    let mut asked = Vec::new();
    for _ in 0..200 {
        for (link, server, _) in hand.attempts() {
            if server == 2 {
                asked.push(hand.now.as_ms());
                hand.event(LinkEvent::Connected { link, remote: REMOTE });
            }
        }
        hand.after(100);
    }
    assert_eq!(asked, [0, 500, 1500, 3500, 7500, 11500, 15500, 19500]);
}

#[test]
fn a_larger_server_keeps_what_it_opened_and_votes_there() {
    let mut hand = Hand::new(3);
    hand.look();
    let (link, ..) = hand.attempts()[0].clone();
    hand.event(LinkEvent::Connected { link, remote: REMOTE });
    assert_eq!(hand.votes(), [(link, ServerState::Looking, 3)]);
    assert!(hand.election.owns(link));
}

#[test]
fn an_observer_that_was_made_a_participant_votes() {
    // The server was started with peerType=observer, and has become a participant since.
    let mut hand = Hand::with(ElectionOptions { is_observer: true, ..options(3) });
    hand.look();
    let (link, ..) = hand.attempts()[0].clone();
    hand.event(LinkEvent::Connected { link, remote: REMOTE });
    assert_eq!(hand.votes(), [(link, ServerState::Looking, 3)]);
}

#[test]
fn a_smaller_caller_is_called_back_where_it_says_and_its_old_connection_is_closed() {
    let mut hand = Hand::new(3);
    hand.look();
    let (old, ..) = hand.attempts()[0].clone();
    hand.event(LinkEvent::Connected { link: old, remote: REMOTE });
    hand.after(1000);
    hand.ops();
    let caller = hand.call(1, "elsewhere:4000");
    let ops = hand.ops();
    assert!(ops.contains(&LinkOp::Close { link: caller }), "{ops:?}");
    assert!(ops.contains(&LinkOp::Close { link: old }), "{ops:?}");
    let Some(LinkOp::Connect { server, to, .. }) = ops.last() else { panic!("{ops:?}") };
    assert_eq!(*server, ServerId(1));
    assert_eq!(to[..], [at("elsewhere", 4000), at("s1", 3888)]);
    assert!(!hand.election.owns(old) && !hand.election.owns(caller));
}

#[test]
fn a_name_is_believed_only_from_an_address_of_its_member() {
    let mut hand = Hand::new(2);
    hand.look();
    hand.ops();
    for may_be in [&[][..], &[ServerId(1)], &[ServerId(2)]] {
        let forged = hand.call_of(Some(may_be), 3, "elsewhere:4000");
        assert_eq!(hand.ops(), [LinkOp::Close { link: forged }]);
    }
    let real = hand.call_of(Some(&[ServerId(1), ServerId(3)]), 3, "s3:3888");
    assert_eq!(hand.votes(), [(real, ServerState::Looking, 2)]);
}

#[test]
fn a_member_is_called_where_the_configuration_says_and_another_one_where_it_came_from() {
    let mut hand = Hand::new(3);
    hand.call_of(Some(&[ServerId(1)]), 1, "elsewhere:4000");
    assert_eq!(hand.attempts()[0].2, [at("s1", 3888)]);
    hand.call_of(Some(&[]), 0, "elsewhere:4000");
    assert_eq!(hand.attempts()[0].2, [at("127.0.0.1", 4000)]);
}

#[test]
fn strangers_that_are_called_leave_room_for_members() {
    let mut hand = Hand::new(100);
    for id in 4..60 {
        hand.call_of(Some(&[]), id, "elsewhere:4000");
    }
    assert_eq!(hand.attempts().len(), ELECTION_STRANGER_CALLS_MAX);
    hand.call_of(Some(&[ServerId(1)]), 1, "s1:3888");
    assert_eq!(hand.attempts().len(), 1);
}

#[test]
fn who_was_there_before_it_became_a_member_needs_its_address() {
    let mut hand = Hand::new(1);
    let (known, forged) = (hand.call_of(Some(&[]), 4, "a:1"), hand.call_of(Some(&[]), 5, "a:1"));
    let config = Rc::new(Config::parse(&config_of(5)).unwrap());
    hand.election.set_config(config.clone(), config);
    hand.ops();
    hand.event(LinkEvent::Identified { link: known, may_be: &[ServerId(4)] });
    assert_eq!(hand.ops(), []);
    hand.event(LinkEvent::Identified { link: forged, may_be: &[] });
    assert_eq!(hand.ops(), [LinkOp::Close { link: forged }]);
}

#[test]
fn a_server_that_was_just_heard_keeps_its_connection() {
    for (me, other) in [(1, 3), (3, 1)] {
        let mut hand = Hand::new(me);
        hand.look();
        let mut link = None;
        for (attempt, id, _) in hand.attempts() {
            if id == other && me > other {
                hand.event(LinkEvent::Connected { link: attempt, remote: REMOTE });
                link = Some(attempt);
            }
        }
        let link = link.unwrap_or_else(|| hand.call(other, "a:1"));
        hand.after(900);
        hand.says(link, ServerState::Looking, vote(other), 1, &config_of(3));
        hand.after(900);
        hand.ops();
        let claim = hand.call(other, "b:2");
        assert_eq!(hand.ops(), [LinkOp::Close { link: claim }]);
        assert!(hand.election.owns(link));
        // The connection was silent since, so the server takes the new one.
        hand.after(100);
        hand.ops();
        hand.call(other, "b:2");
        assert!(!hand.election.owns(link), "{me}");
    }
}

#[test]
fn wishes_that_cross_leave_the_connection_that_is_there() {
    let mut hand = Hand::new(3);
    hand.look();
    let (link, ..) = hand.attempts()[0].clone();
    hand.event(LinkEvent::Connected { link, remote: REMOTE });
    hand.ops();
    let caller = hand.call(1, "s1:3888");
    assert_eq!(hand.ops(), [LinkOp::Close { link: caller }]);
    assert!(hand.election.owns(link));
}

#[test]
fn a_caller_that_listens_everywhere_is_called_at_its_configured_address() {
    let mut hand = Hand::new(3);
    hand.call(1, "0.0.0.0:3888");
    assert_eq!(hand.attempts()[0].2, [at("s1", 3888)]);
    // The oldest form of the handshake has no address.
    let link = hand.accept();
    hand.event(LinkEvent::Received { link, bytes: &2i64.to_be_bytes() });
    assert_eq!(hand.attempts()[0].2, [at("s2", 3888)]);
}

#[test]
fn a_new_connection_replaces_the_old_one_and_hears_the_vote_again() {
    let mut hand = Hand::new(1);
    hand.look();
    let first = hand.call(3, "s3:3888");
    assert_eq!(hand.votes().len(), 1);
    let second = hand.call(3, "s3:3888");
    let ops = hand.ops();
    assert_eq!(ops[0], LinkOp::Close { link: first });
    assert!(matches!(&ops[1], LinkOp::Send { link, .. } if *link == second));
}

#[test]
fn only_the_newest_vote_waits_for_a_server_that_does_not_read() {
    let mut hand = Hand::new(1);
    hand.look();
    let slow = hand.call(3, "s3:3888");
    let mut sent = Vec::new();
    for _ in 0..1000 {
        hand.election.look(hand.now, Zxid(5), Epoch(1));
        hand.take();
        sent.extend(hand.votes());
    }
    let unread = sent.len();
    assert!(unread < 200, "{unread}");
    assert!(hand.votes().is_empty());
    hand.event(LinkEvent::Sent { link: slow, bytes: 100_000 });
    let LinkOp::Send { bytes, .. } = &hand.ops()[0] else { panic!("nothing sent") };
    assert_eq!(Notification::from_bytes(&bytes[4..]).unwrap().election_epoch, 1001);
}

#[test]
fn nonsense_closes_the_connection_and_nothing_else() {
    let mut hand = Hand::new(1);
    hand.look();
    hand.ops();
    for first in [&b"GET / HTTP/1.1\r\n\r\n"[..], &(-1i64).to_be_bytes(), &[0xff; 64]] {
        let link = hand.accept();
        hand.event(LinkEvent::Received { link, bytes: first });
        let is_closed = hand.ops().contains(&LinkOp::Close { link });
        assert!(is_closed || hand.election.owns(link), "{first:?}");
    }
    for length in [0i32, -1, 512 * 1024 + 1, i32::MIN] {
        let link = hand.call(3, "s3:3888");
        hand.event(LinkEvent::Received { link, bytes: &length.to_be_bytes() });
        assert!(hand.ops().contains(&LinkOp::Close { link }), "{length}");
        assert!(!hand.election.owns(link));
    }
    // The server skips a message without meaning, and counts the next one.
    let link = hand.call(3, "s3:3888");
    hand.event(LinkEvent::Received { link, bytes: &[0, 0, 0, 2, 7, 7] });
    hand.says(link, ServerState::Looking, vote(3), 1, &config_of(3));
    assert_eq!(hand.election.vote(), vote(3));
    // The server ignores bytes that still come over a link that it has closed.
    let closed = LinkId::accepted(999);
    hand.ops();
    hand.event(LinkEvent::Received { link: closed, bytes: b"?" });
    assert_eq!(hand.ops(), []);
}

#[test]
fn a_learner_at_the_election_port_is_sent_away() {
    let mut hand = Hand::new(2);
    let link = hand.accept();
    let mut bytes = 11_i32.to_be_bytes().to_vec();
    bytes.extend([0; 12]);
    bytes.extend(1_i64.to_be_bytes());
    hand.event(LinkEvent::Received { link, bytes: &bytes });
    assert_eq!(hand.ops(), [LinkOp::Close { link }]);
}

#[test]
fn a_server_with_our_own_id_is_refused() {
    let mut hand = Hand::new(2);
    let link = hand.call(2, "s2:3888");
    assert_eq!(hand.ops(), [LinkOp::Close { link }]);
}

#[test]
fn those_who_do_not_say_who_they_are_have_a_time_and_a_number() {
    let mut hand = Hand::new(2);
    let links: Vec<LinkId> = (0..=ELECTION_HANDSHAKES_MAX)
        .map(|_| {
            hand.now = hand.now.plus_ms(1);
            hand.accept()
        })
        .collect();
    assert_eq!(hand.ops(), [LinkOp::Close { link: links[0] }]);
    // The handshake has `quorumCnxnTimeoutMs`, and not `cnxTimeout`.
    hand.after(10_000);
    assert_eq!(hand.ops(), []);
    hand.after(5000);
    assert_eq!(hand.ops().len(), ELECTION_HANDSHAKES_MAX);
    assert!(links.iter().all(|link| !hand.election.owns(*link)));
}

#[test]
fn strangers_are_answered_and_bounded() {
    let mut hand = Hand::new(1);
    hand.look();
    hand.ops();
    // These strangers are observers without an id.
    let links: Vec<LinkId> =
        (0..ELECTION_STRANGERS_MAX).map(|_| hand.call(i64::MAX, "o:3888")).collect();
    assert!(links.iter().all(|link| hand.election.owns(*link)));
    let late = hand.call(i64::MAX, "o:3888");
    assert!(!hand.election.owns(late));
    hand.ops();
    let nobody = Vote { leader: ServerId(i64::MIN), ..vote(0) };
    for _ in 0..3 {
        hand.says(links[7], ServerState::Looking, nobody, 1, &config_of(3));
    }
    // The server answers no more often than it repeats a vote.
    assert_eq!(hand.votes(), [(links[7], ServerState::Looking, 1)]);
    hand.event(LinkEvent::Closed { link: links[0], reason: "" });
    let other = hand.call(i64::MAX, "o:3888");
    assert!(hand.election.owns(other));
}

#[test]
fn a_failed_attempt_is_repeated_and_at_most_once_a_second() {
    let mut hand = Hand::new(3);
    hand.look();
    let mut at = Vec::new();
    while hand.now.as_ms() < 10_000 {
        for (link, server, _) in hand.attempts() {
            if server == 1 {
                at.push(hand.now.as_ms());
                hand.event(LinkEvent::Closed { link, reason: "refused" });
            }
        }
        hand.after(10);
    }
    assert_eq!(at[..6], [0, 50, 150, 350, 750, 1550]);
    assert!(at.windows(2).skip(5).all(|pair| pair[1] - pair[0] == 1000), "{at:?}");
}

#[test]
fn who_has_found_its_leader_calls_nobody_and_answers_who_looks() {
    let mut hand = Hand::new(1);
    hand.look();
    let link = hand.call(3, "s3:3888");
    hand.ops();
    hand.says(link, ServerState::Looking, vote(3), 1, &config_of(3));
    hand.after(200);
    let Some(Outcome::Elected(elected)) = hand.outcome.take() else { panic!("nobody") };
    assert_eq!((elected.leader, elected.round), (ServerId(3), 1));
    hand.election.settle(ServerState::Following);
    hand.ops();
    hand.after(60_000);
    assert_eq!(hand.attempts(), []);
    assert_eq!(hand.election.next_timeout(), None);

    hand.election.set_vote_epoch(Epoch(9));
    let restarted = Vote { leader: ServerId(2), zxid: Zxid(1), peer_epoch: Epoch(0) };
    let late = hand.call(2, "s2:3888");
    hand.ops();
    hand.says(late, ServerState::Looking, restarted, 1, &config_of(3));
    let ops = hand.ops();
    let LinkOp::Send { bytes, .. } = &ops[0] else { panic!("{ops:?}") };
    let answer = Notification::from_bytes(&bytes[4..]).unwrap();
    assert_eq!((answer.state, answer.leader), (ServerState::Following, ServerId(3)));
    assert_eq!((answer.peer_epoch, answer.election_epoch), (Epoch(9), 1));
    assert_eq!(hand.election.take_looking(), [ServerId(2)].into());
    assert_eq!(hand.election.take_looking(), [].into());
    // The server does not answer one that does not look for a leader.
    hand.says(late, ServerState::Following, restarted, 1, &config_of(3));
    assert_eq!(hand.ops(), []);
}

#[test]
fn the_elected_server_that_votes_for_another_is_left() {
    let mut hand = Hand::new(1);
    hand.look();
    let link = hand.call(2, "s2:3888");
    hand.says(link, ServerState::Looking, vote(2), 1, &config_of(3));
    hand.after(200);
    assert!(matches!(hand.outcome.take(), Some(Outcome::Elected(_))));
    hand.says(link, ServerState::Looking, vote(2), 1, &config_of(3));
    assert!(hand.outcome.is_none(), "it has not decided yet");
    hand.says(link, ServerState::Looking, vote(3), 1, &config_of(3));
    assert!(matches!(hand.outcome.take(), Some(Outcome::Deserted(ServerId(2)))));
}

#[test]
fn a_newer_configuration_is_reported_where_that_is_switched_on() {
    for reconfig in [true, false] {
        let mut hand = Hand::with(ElectionOptions { reconfig, ..options(1) });
        hand.look();
        let link = hand.call(3, "s3:3888");
        let newer = format!("{}version=100000000", config_of(2));
        hand.says(link, ServerState::Looking, vote(3), 1, &newer);
        match hand.outcome.take() {
            Some(Outcome::NewerConfig(config)) if reconfig => {
                assert_eq!(config.version, 0x1_0000_0000);
                assert_eq!(config.members.len(), 2);
            }
            None if !reconfig => assert_eq!(hand.election.vote(), vote(3)),
            other => panic!("reconfig={reconfig} {other:?}"),
        }
    }
}

#[test]
fn a_witness_that_says_yes_ends_a_search_for_two() {
    let options = ElectionOptions { has_oracle: true, ..options(1) };
    let config = Rc::new(Config::parse(&config_of(2)).unwrap());
    let mut hand = Hand::with(options.clone());
    hand.election = Election::new(options, config, LinkIds::default());
    hand.look();
    hand.after(10_000);
    assert!(hand.outcome.is_none());
    hand.election.set_oracle(true);
    assert_eq!(hand.election.next_timeout(), Some(MonoUs(0)));
    hand.after(0);
    hand.after(200);
    assert!(matches!(hand.outcome.take(), Some(Outcome::Elected(e)) if e.leader == ServerId(1)));
}
