//! Two messages that another server sends in one piece of a stream.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::jute::Jute;
use crate::link::Port;
use crate::proto::quorum::{ElectionHandshake, Notification, ServerState};

const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

fn notification(state: ServerState, leader: i64) -> Vec<u8> {
    let body = Notification {
        state,
        leader: ServerId(leader),
        zxid: Zxid::ZERO,
        election_epoch: 1,
        peer_epoch: Epoch(0),
        config: None,
    }
    .to_bytes();
    let mut message = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    message.extend_from_slice(&body);
    message
}

/// Server 2 votes for itself, which decides the election, because nobody reaches server 3. In the same breath,
/// server 2 then votes for server 3. A server that has followed server 2 looks again, and finds server 3.
#[test]
fn a_server_that_votes_for_itself_and_at_once_for_another_is_not_waited_for() {
    let config = Config::parse("server.1=s1:1:2\nserver.2=s2:1:2\nserver.3=s3:1:2").unwrap();
    let history = History {
        last: Zxid::ZERO,
        recent: VecDeque::new(),
        digest: None,
        epochs: Epochs::new(Epoch(0), Epoch(0)),
    };
    let now = MonoUs(1_000_000);
    let options = PeerOptions { me: ServerId(1), tick_ms: 100, ..PeerOptions::default() };
    let mut member = Member::new(options, config, history, now, 1);
    let wishes = |member: &mut Member| {
        let mut ready = Ready::default();
        member.take_ready(&mut ready);
        ready.send
    };
    for op in wishes(&mut member) {
        if let LinkOp::Connect { link, server: ServerId(3), .. } = op {
            member.handle_link(now, LinkEvent::Closed { link, reason: "connection refused" });
        }
    }
    let call = |member: &mut Member, server: i64| {
        let link = LinkId::accepted(server.unsigned_abs());
        member.handle_link(
            now,
            LinkEvent::Accepted { link, port: Port::Election, remote: REMOTE, may_be: None },
        );
        let (version, server_id) = (-65536, ServerId(server));
        let addresses = "s:2";
        let bytes = ElectionHandshake::Initial { version, server_id, addresses }.to_bytes();
        member.handle_link(now, LinkEvent::Received { link, bytes: &bytes });
        link
    };
    let two = call(&mut member, 2);
    let breath =
        [notification(ServerState::Looking, 2), notification(ServerState::Looking, 3)].concat();
    member.handle_link(now, LinkEvent::Received { link: two, bytes: &breath });
    wishes(&mut member);
    // By now, server 3 leads.
    let three = call(&mut member, 3);
    for (link, state) in [(two, ServerState::Following), (three, ServerState::Leading)] {
        let bytes = notification(state, 3);
        member.handle_link(now, LinkEvent::Received { link, bytes: &bytes });
    }
    let mut later = now;
    for _ in 0..20 {
        let joins = |op: &LinkOp| {
            matches!(op, LinkOp::Connect { port: Port::Quorum, server: ServerId(3), .. })
        };
        if wishes(&mut member).iter().any(joins) {
            return;
        }
        later = later.plus_ms(100);
        member.handle_timeout(later);
    }
    panic!("server 3 leads, and is not joined");
}
