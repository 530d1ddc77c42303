//! Requests whose answers or transactions are far longer than they are: the bounds are met on the way.

use super::forwarding::{commit, connect, follower_with, txn, zxid};
use super::harness::{Client, Harness, acl, create, create_with, path, set_data, watch};
use crate::error::ErrorCode;
use crate::id::SessionId;
use crate::jute::Jute;
use crate::proto::OpCode;
use crate::proto::data::AclVector;
use crate::proto::request::{AuthPacket, CreateRequest, MultiOp, RequestBody};
use crate::proto::txn::{CreateTxn, TxnBody};
use crate::replica::ReplicaOptions;

const TOO_LONG: i32 = ErrorCode::MarshallingError.code();

fn show_user(harness: &mut Harness, client: &Client, user: &str) {
    let proof = format!("{user}:p");
    let auth = AuthPacket { packet_type: 0, scheme: Some("digest"), auth: Some(proof.as_bytes()) };
    let reply = harness.call(client.conn, -4, OpCode::Auth, &RequestBody::Auth(auth));
    assert_eq!(reply.err, 0);
}

#[test]
fn an_answer_that_fits_no_frame_is_an_error_and_the_longest_that_does_is_given() {
    // 16 children with names of 8 bytes, in a list with its count.
    let list = 4 + 16 * 12;
    for (bytes_max, error) in [(list, 0), (list - 1, TOO_LONG)] {
        let options = ReplicaOptions { reply_bytes_max: bytes_max, ..ReplicaOptions::default() };
        let mut h = Harness::with(options);
        let client = h.connect();
        assert_eq!(h.create(&client, "/a", 0).err, 0);
        for name in 0..16 {
            assert_eq!(h.create(&client, &format!("/a/{name:08}"), 1).err, 0);
        }
        let reply = h.call(client.conn, 2, OpCode::GetChildren, &watch("/a", false));
        assert_eq!((reply.err, reply.body.is_empty()), (error, error != 0), "{bytes_max}");
        let reply = h.call(client.conn, 3, OpCode::GetChildren2, &watch("/a", false));
        assert_eq!((reply.err, reply.body.is_empty()), (TOO_LONG, true), "it has a Stat as well");
        let reply = h.call(client.conn, 4, OpCode::GetEphemerals, &path("/"));
        assert_eq!((reply.err, reply.body.is_empty()), (TOO_LONG, true), "and whole paths");
        show_user(&mut h, &client, &"u".repeat(200));
        let reply = h.call(client.conn, 5, OpCode::WhoAmI, &RequestBody::Empty);
        assert_eq!((reply.err, reply.body.is_empty()), (TOO_LONG, true));
        let reply = h.call(client.conn, 6, OpCode::Create, &create("/b", b"", 0));
        assert_eq!(reply.err, 0, "it lives on");
        let reply = h.call(client.conn, 8, OpCode::SetData, &set_data("/b", &[7; 500], -1));
        assert_eq!(reply.err, 0);
        let reply = h.call(client.conn, 9, OpCode::GetData, &watch("/b", false));
        assert_eq!((reply.err, reply.body.is_empty()), (TOO_LONG, true));
    }
}

fn world_entries(count: i32) -> Vec<u8> {
    let entries: Vec<_> = (0..count).map(|n| (n << 5 | 31, "world", "anyone")).collect();
    acl(&entries)
}

#[test]
fn a_list_of_too_many_entries_is_refused_and_one_that_another_leader_took_is_kept() {
    let options = ReplicaOptions { acl_entries_max: 3, ..ReplicaOptions::default() };
    let mut h = Harness::with(options.clone());
    let client = h.connect();
    for (xid, entries) in [(1, 3), (2, 4)] {
        let name = format!("/{entries}");
        let list = world_entries(entries);
        let reply = h.call(client.conn, xid, OpCode::Create, &create_with(&name, &list));
        assert_eq!(reply.err, if entries == 3 { 0 } else { ErrorCode::InvalidAcl.code() });
    }
    let mut h = follower_with(options);
    let client = connect(&mut h, zxid(1, 1));
    let list = acl(&(0..5000).map(|n| (n << 5, "digest", "a:x")).collect::<Vec<_>>());
    let body = TxnBody::Create(CreateTxn {
        path: Some("/long"),
        data: None,
        acl: AclVector::from_bytes(&list).unwrap(),
        ephemeral: false,
        parent_cversion: 1,
    });
    commit(&mut h, txn(zxid(1, 2), SessionId(77), 7, OpCode::Create, &body));
    assert_eq!(h.replica.database().node("/long").unwrap().acl().len(), 5000);
    let reply = h.call(client.conn, 8, OpCode::GetData, &watch("/long", false));
    assert_eq!(reply.err, ErrorCode::NoAuth.code());
}

#[test]
fn identities_make_no_transaction_longer_than_transactions_may_be() {
    let mut options =
        ReplicaOptions { multi_operations_max: usize::MAX, ..ReplicaOptions::default() };
    options.txnlog.txn_bytes_max = 10_000;
    let mut h = Harness::with(options);
    let client = h.connect();
    for user in 0..4 {
        show_user(&mut h, &client, &format!("{user:0900}"));
    }
    let two = acl(&[(1, "auth", ""), (2, "auth", "")]);
    let three = acl(&[(1, "auth", ""), (2, "auth", ""), (4, "auth", "")]);
    let reply = h.call(client.conn, 1, OpCode::Create, &create_with("/a", &two));
    assert_eq!(reply.err, 0);
    let reply = h.call(client.conn, 2, OpCode::Create, &create_with("/b", &three));
    assert_eq!(reply.err, TOO_LONG);
    let two = AclVector::from_bytes(&two).unwrap();
    let part = |path| {
        let request = CreateRequest { path: Some(path), data: None, acl: two, flags: 0 };
        MultiOp::Create(OpCode::Create, request)
    };
    let mut many = vec![part("/c"), part("/d")];
    let reply = h.call(client.conn, 3, OpCode::Multi, &RequestBody::Multi(many.clone()));
    assert_eq!(reply.err, TOO_LONG);
    // Nothing of it is left, and what comes behind the limit is not looked at.
    many.resize(100_000, part("/c"));
    let reply = h.call(client.conn, 4, OpCode::Multi, &RequestBody::Multi(many));
    assert_eq!(reply.err, TOO_LONG);
    let reply = h.call(client.conn, 5, OpCode::Multi, &RequestBody::Multi(vec![part("/c")]));
    assert_eq!(reply.err, 0);
    assert_eq!(h.replica.database().node("/d").map(|_| ()), None);
}

#[test]
fn lists_that_long_identities_make_long_take_their_part_of_a_turn() {
    create_a_hundred(30, 2000, 31..=31, 5..30);
}

#[test]
fn lists_that_many_short_identities_make_long_take_their_part_of_a_turn() {
    create_a_hundred(60, 2, 1..=16, 20..90);
}

/// A client is so many users with names of so many bytes, and creates a hundred nodes for all of them with each of these
/// permissions: how many in one turn.
fn create_a_hundred(
    users: usize,
    name_bytes: usize,
    perms: std::ops::RangeInclusive<i32>,
    expected: std::ops::Range<usize>,
) {
    let options = ReplicaOptions { turn_work_units: 3000, ..ReplicaOptions::default() };
    let mut h = Harness::with(options);
    let client = h.connect();
    for user in 0..users {
        show_user(&mut h, &client, &format!("{user:0name_bytes$}"));
    }
    h.serves_all = false;
    h.turn();
    let entries: Vec<(i32, &str, &str)> = perms.map(|perms| (perms, "auth", "")).collect();
    let auth = acl(&entries);
    for xid in 0..100 {
        let path: &'static str = format!("/{xid}").leak();
        h.send_with_next(client.conn, xid, OpCode::Create, &create_with(path, &auth));
    }
    h.turn();
    let proposed = h.replica.requests_outstanding();
    assert!(expected.contains(&proposed), "{proposed} in one turn");
    h.serves_all = true;
    h.settle();
    let errors = h.errors(client.conn);
    assert!(errors.len() == 100 && errors.iter().all(|(_, error)| *error == 0), "{errors:?}");
}
