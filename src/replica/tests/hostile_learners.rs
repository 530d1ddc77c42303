//! What a learner says, or whoever passes for one, costs nobody else a session or a leader.

use super::forwarding::{inbound, told, zxid};
use super::harness::{Harness, create, set_data};
use super::standing::{LINK, commit_proposed, errors_of, leader, request, session_of_server_3};
use crate::id::ServerId;
use crate::link::LinkId;
use crate::proto::OpCode;
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
