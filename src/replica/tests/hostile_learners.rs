//! What a learner says, or whoever passes for one, costs nobody else a session or a leader.

use super::forwarding::{inbound, told, zxid};
use super::harness::{Harness, create, set_data};
use super::standing::{LINK, commit_proposed, errors_of, leader, request, session_of_server_3};
use crate::id::{ServerId, SessionId};
use crate::jute::Jute;
use crate::limits::PROPOSED_MAX;
use crate::link::{LinkEvent, LinkId};
use crate::proto::OpCode;
use crate::proto::request::RequestBody;
use crate::session::Tenure;
use crate::zab::{ForwardedRequest, Inbound};

#[test]
fn a_tenure_that_no_leader_has_given_keeps_no_client_out() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    told(&mut harness);
    let ask = |harness: &mut Harness, server, kept: Option<Tenure>| {
        let server = ServerId(server);
        let ask = Inbound::Revalidate { link: LINK, server, session, timeout_ms: 9000, kept };
        inbound(harness, ask);
        told(harness).concat().ends_with("true")
    };
    for (since, turn) in [(zxid(1, 1), u64::MAX), (zxid(1, 1), 1), (zxid(9, 9), 0)] {
        assert!(!ask(&mut harness, 2, Some(Tenure { since, turn })), "{since} {turn}");
    }
    assert!(ask(&mut harness, 2, None), "a client that comes anew");
    let wish = request(session, 5, OpCode::Create, &create("/a", b"", 0));
    inbound(&mut harness, Inbound::Request(ForwardedRequest { server: ServerId(2), ..wish }));
    assert_eq!(errors_of(&commit_proposed(&mut harness)), [0]);
}

/// No client can have session 0, which means "none"; a learner may name it all the same.
#[test]
fn session_0_of_a_learner_begins_expires_and_ends_like_others() {
    let session = SessionId::NONE;
    let mut harness = leader();
    let end = request(session, 1, OpCode::CloseSession, &RequestBody::Empty);
    inbound(&mut harness, Inbound::Request(end));
    assert_eq!(commit_proposed(&mut harness).len(), 1, "the end of a session that nobody knows");
    let mut wish = request(session, 0, OpCode::CreateSession, &RequestBody::Empty);
    wish.body = 9000.to_bytes().into();
    inbound(&mut harness, Inbound::Request(wish));
    commit_proposed(&mut harness);
    let ephemeral = request(session, 2, OpCode::Create, &create("/e", b"", 1));
    inbound(&mut harness, Inbound::Request(ephemeral));
    commit_proposed(&mut harness);
    harness.advance_ms(20_000);
    let proposed = commit_proposed(&mut harness);
    assert_eq!(proposed.len(), 1, "it expires");
    assert_eq!(proposed[0].header().op, OpCode::CloseSession);
}

#[test]
fn a_link_is_read_while_what_waits_needs_an_acknowledgement_that_stands_in_it() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    let data = vec![7; 900_000];
    let write = |cxid| request(session, cxid, OpCode::SetData, &set_data("/", &data, -1));
    let other = LinkId::accepted(5);
    harness.serves_all = false;
    let mut cxid = 0;
    while !harness.replica.has_enough_of(LINK) {
        cxid += 1;
        assert!(cxid < 40, "so much may wait of one link");
        inbound(&mut harness, Inbound::Request(write(cxid)));
    }
    assert!(harness.peer().proposed.len() < 10, "as much is proposed as may be");
    // Its server has still to acknowledge that.
    harness.peer().awaited = vec![LINK];
    assert!(!harness.replica.has_enough_of(LINK));
    harness.peer().awaited = vec![other];
    assert!(harness.replica.has_enough_of(LINK));
}

#[test]
fn a_session_that_goes_on_asking_elsewhere_keeps_no_answer_waiting() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    let data = vec![7; 900_000];
    let write = |cxid| request(session, cxid, OpCode::SetData, &set_data("/", &data, -1));
    harness.serves_all = false;
    told(&mut harness);
    (1..10).for_each(|cxid| inbound(&mut harness, Inbound::Request(write(cxid))));
    let ask = |link, server| Inbound::Revalidate {
        link,
        server: ServerId(server),
        session,
        timeout_ms: 9000,
        kept: None,
    };
    let answers = |harness: &mut Harness| {
        told(harness).iter().filter(|told| told.starts_with("answer revalidate")).count()
    };
    answers(&mut harness);
    // Over the link of its requests it has to wait for them, and what is asked for there later waits behind it.
    inbound(&mut harness, ask(LINK, 3));
    assert_eq!(answers(&mut harness), 0);
    // Over another one not.
    inbound(&mut harness, ask(LinkId::accepted(5), 2));
    assert_eq!(answers(&mut harness), 1);
    // What it asks for later keeps nobody waiting.
    for cxid in 10..40 {
        inbound(&mut harness, Inbound::Request(write(cxid)));
        commit_proposed(&mut harness);
        harness.turn();
    }
    assert_eq!(answers(&mut harness), 1);
}

#[test]
fn questions_of_a_link_that_is_over_are_gone() {
    let mut harness = leader();
    let session = session_of_server_3(&mut harness);
    let data = vec![7; 900_000];
    harness.serves_all = false;
    for cxid in 1..10 {
        let write = request(session, cxid, OpCode::SetData, &set_data("/", &data, -1));
        inbound(&mut harness, Inbound::Request(write));
    }
    let ask = Inbound::Revalidate {
        link: LINK,
        server: ServerId(3),
        session,
        timeout_ms: 9000,
        kept: None,
    };
    (0..100).for_each(|_| inbound(&mut harness, ask.clone()));
    assert_eq!(harness.replica.service.ensemble.questions.count(), 100);
    let reason = "it is over";
    let now = harness.now;
    harness.replica.handle_link(now, LinkEvent::Closed { link: LINK, reason });
    assert_eq!(harness.replica.service.ensemble.questions.count(), 0);
}

#[test]
fn short_transactions_are_proposed_within_bounds() {
    let mut harness = leader();
    harness.serves_all = false;
    // Of one link, whose server nobody knows: an operation that there is not, in the name of one session after the other.
    let mut asked = 0;
    while !harness.replica.has_enough_of(LINK) {
        asked += 1;
        let mut wish = request(SessionId(asked), 1, OpCode::Error, &RequestBody::Empty);
        wish.op = 99;
        inbound(&mut harness, Inbound::Request(wish));
        assert!(asked < 100_000, "somebody stops it");
    }
    let proposed = harness.peer().proposed.len();
    assert!((PROPOSED_MAX - 10..=PROPOSED_MAX + 10).contains(&proposed), "{proposed}");
    commit_proposed(&mut harness);
    harness.turn();
    assert!(!harness.replica.has_enough_of(LINK));
}
