//! Logins by SASL, as clients see them.

use std::rc::Rc;

use super::harness::*;
use crate::acl::{AuthenticationOptions, Schemes};
use crate::error::ErrorCode;
use crate::id::ConnectionId;
use crate::jute::Vector;
use crate::limits::LOGINS_FAILED_MAX;
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::request::{AuthPacket, RequestBody, SaslRequest};
use crate::proto::response::ClientInfo;
use crate::replica::{ReplicaOptions, SaslOptions};
use crate::sasl::digest_md5::{ClientExchange, Service, Users};
use crate::sasl::jaas::JaasFile;
use crate::sasl::kerberos::NameRules;
use crate::sasl::{Mechanism, Nonce, NonceKey};

const NONE: Option<Vec<u8>> = None;

pub(super) fn sasl() -> SaslOptions {
    let file = b"Server { org.apache.zookeeper.server.auth.DigestLoginModule required
        user_bob=\"bobsecret\" user_al=\"alsecret\" user_super=\"adminsecret\" \"user_z@k@R\"=\"z\"; };";
    let file = JaasFile::read(file).unwrap();
    let users = Users::of_section(Service::CLIENTS, file.section("Server").unwrap());
    SaslOptions {
        mechanism: Mechanism::DigestMd5(users),
        names: NameRules::default(),
        super_users: ["al".to_owned()].into(),
        allow_failed_clients: false,
        nonce_key: NonceKey::new([3; 32]),
    }
}

pub(super) fn options() -> ReplicaOptions {
    let schemes = Schemes { sasl: true, ..Schemes::default() };
    ReplicaOptions {
        sasl: Some(sasl()),
        authentication: AuthenticationOptions {
            schemes: Rc::new(schemes.with_any_sasl_user(Some("anyone"))),
            ..AuthenticationOptions::default()
        },
        ..ReplicaOptions::default()
    }
}

/// Sends a token.
pub(super) fn send_token(h: &mut Harness, conn: ConnectionId, token: &[u8]) {
    h.send(conn, 9, OpCode::Sasl, &RequestBody::Sasl(SaslRequest { token: Some(token) }));
}

/// Sends a token; the error and the token of the answer.
fn send(h: &mut Harness, conn: ConnectionId, token: &[u8]) -> (i32, Option<Vec<u8>>) {
    send_token(h, conn, token);
    let reply = h.replies(conn).remove(0);
    assert_eq!((reply.xid, reply.zxid), (9, 0));
    let token: Option<&[u8]> = reply.decode();
    (reply.err, token.map(<[u8]>::to_vec))
}

/// The last answer of a login.
fn log_in(
    h: &mut Harness,
    conn: ConnectionId,
    user: &str,
    password: &str,
) -> (i32, Option<Vec<u8>>) {
    let (err, challenge) = send(h, conn, b"");
    let Some(challenge) = challenge else { return (err, None) };
    let nonce = Nonce::of_test("cnonce");
    let mut client = ClientExchange::new(Service::CLIENTS, user, password, nonce);
    let answer = send(h, conn, &client.respond(&challenge).unwrap());
    if let (0, Some(token)) = &answer {
        assert_eq!(client.check(token), Ok(()), "the server knows the password too");
    }
    answer
}

pub(super) fn identities(h: &mut Harness, conn: ConnectionId) -> Vec<String> {
    let reply = h.call(conn, 1, OpCode::WhoAmI, &RequestBody::Empty);
    let list: Vector<'_, ClientInfo<'_>> = reply.decode();
    list.iter().map(|it| format!("{}:{}", it.auth_scheme.unwrap(), it.user.unwrap())).collect()
}

#[test]
fn who_logs_in_has_an_identity_and_what_acls_give_to_it() {
    let mut h = Harness::with(options());
    let (bob, al, admin) = (h.connect(), h.connect(), h.connect());
    assert_eq!(log_in(&mut h, bob.conn, "bob", "bobsecret").0, 0);
    assert_eq!(identities(&mut h, bob.conn), ["ip:127.0.0.1", "sasl:bob"]);
    for (path, entries) in [
        ("/bob", [(perms::ALL, "sasl", "bob")]),
        ("/auth", [(perms::ALL, "auth", "")]),
        ("/any", [(perms::ALL, "sasl", "anyone")]),
    ] {
        let reply = h.call(bob.conn, 1, OpCode::Create, &create_with(path, &acl(&entries)));
        assert_eq!(reply.err, 0, "{path}");
    }
    let may = |h: &mut Harness, conn, path| {
        h.call(conn, 2, OpCode::GetData, &watch(path, false)).err == 0
    };
    let paths = ["/bob", "/auth", "/any"];
    let all = |h: &mut Harness, conn| paths.map(|path| may(h, conn, path));
    assert_eq!(all(&mut h, bob.conn), [true; 3]);
    assert_eq!(all(&mut h, al.conn), [false; 3]);
    assert_eq!(log_in(&mut h, admin.conn, "super", "adminsecret").0, 0);
    assert_eq!(all(&mut h, admin.conn), [true; 3], "this name passes each entry of sasl");
    assert_eq!(log_in(&mut h, al.conn, "al", "alsecret").0, 0);
    assert_eq!(identities(&mut h, al.conn), ["ip:127.0.0.1", "sasl:al", "super:"]);
    assert_eq!(all(&mut h, al.conn), [true; 3], "the super user");
    let entries = acl(&[(perms::ALL, "sasl", "a@b@c")]);
    let malformed = create_with("/x", &entries);
    assert_eq!(h.call(bob.conn, 3, OpCode::Create, &malformed).err, ErrorCode::InvalidAcl.code());
}

#[test]
fn a_name_that_stands_for_every_user_is_for_those_of_sasl_alone() {
    let mut h = Harness::with(options());
    let (bob, stranger) = (h.connect(), h.connect());
    log_in(&mut h, bob.conn, "bob", "bobsecret");
    let entries = acl(&[(perms::ALL, "sasl", "anyone")]);
    h.call(stranger.conn, 1, OpCode::Create, &create_with("/any", &entries));
    let read = watch("/any", false);
    assert_eq!(h.call(bob.conn, 2, OpCode::GetData, &read).err, 0);
    let err = h.call(stranger.conn, 2, OpCode::GetData, &read).err;
    assert_eq!(err, ErrorCode::NoAuth.code());
}

#[test]
fn who_fails_is_told_so_without_a_reason_and_loses_the_connection() {
    for (user, password) in [("bob", "wrong"), ("eve", "bobsecret"), ("z@k@R", "z")] {
        let mut h = Harness::with(options());
        let client = h.connect();
        let failed = (ErrorCode::AuthFailed.code(), NONE);
        assert_eq!(log_in(&mut h, client.conn, user, password), failed, "{user}");
        assert!(h.is_closed(client.conn));
        assert_eq!(h.replica.stats().auth_failed, 1);
    }
}

#[test]
fn truncated_replayed_and_late_tokens_fail() {
    let mut h = Harness::with(options());
    let clients = [h.connect(), h.connect(), h.connect()].map(|client| client.conn);
    let (_, challenge) = send(&mut h, clients[0], b"");
    let nonce = Nonce::of_test("cnonce");
    let mut client = ClientExchange::new(Service::CLIENTS, "bob", "bobsecret", nonce);
    let token = client.respond(&challenge.unwrap()).unwrap();
    assert_eq!(send(&mut h, clients[0], &token).0, 0);
    let failed = (ErrorCode::AuthFailed.code(), NONE);
    // The same token on another connection, and the first half of it.
    for (conn, token) in [(clients[1], &token[..]), (clients[2], &token[..token.len() / 2])] {
        assert_eq!(send(&mut h, conn, b"").0, 0);
        assert_eq!(send(&mut h, conn, token), failed);
        assert!(h.is_closed(conn));
    }
    // On its own connection it begins another login, whose challenge it does not answer.
    assert_eq!(send(&mut h, clients[0], &token).0, 0);
    assert_eq!(send(&mut h, clients[0], &token), failed);
}

#[test]
fn a_client_may_log_in_again_as_somebody_else() {
    let mut h = Harness::with(options());
    let client = h.connect();
    assert_eq!(log_in(&mut h, client.conn, "bob", "bobsecret").0, 0);
    assert_eq!(log_in(&mut h, client.conn, "bob", "bobsecret").0, 0);
    assert_eq!(log_in(&mut h, client.conn, "super", "adminsecret").0, 0);
    assert_eq!(identities(&mut h, client.conn), ["ip:127.0.0.1", "sasl:bob", "sasl:super"]);
}

#[test]
fn who_fails_stays_where_that_is_allowed_and_may_try_again() {
    let sasl = SaslOptions { allow_failed_clients: true, ..sasl() };
    let mut h = Harness::with(ReplicaOptions { sasl: Some(sasl), ..options() });
    let client = h.connect();
    assert_eq!(log_in(&mut h, client.conn, "bob", "wrong"), (0, NONE));
    assert_eq!(identities(&mut h, client.conn), ["ip:127.0.0.1"]);
    assert_eq!(log_in(&mut h, client.conn, "bob", "bobsecret").0, 0);
    assert_eq!(identities(&mut h, client.conn), ["ip:127.0.0.1", "sasl:bob"]);
}

#[test]
fn who_fails_too_often_is_closed_even_where_failed_clients_may_stay() {
    let sasl = SaslOptions { allow_failed_clients: true, ..sasl() };
    let mut h = Harness::with(ReplicaOptions { sasl: Some(sasl), ..options() });
    let client = h.connect();
    for _ in 1..LOGINS_FAILED_MAX {
        assert_eq!(log_in(&mut h, client.conn, "bob", "wrong"), (0, NONE));
        // What succeeds in between does not count.
        assert_eq!(log_in(&mut h, client.conn, "al", "alsecret").0, 0);
        assert!(!h.is_closed(client.conn));
    }
    let failed = (ErrorCode::AuthFailed.code(), NONE);
    assert_eq!(log_in(&mut h, client.conn, "bob", "wrong"), failed);
    assert!(h.is_closed(client.conn));
    assert_eq!(h.replica.stats().auth_failed, u64::from(LOGINS_FAILED_MAX));
}

#[test]
fn a_server_that_demands_sasl_serves_nobody_else() {
    let demanding = || {
        let sasl = SaslOptions { allow_failed_clients: true, ..sasl() };
        let enforced_auth_schemes = vec!["sasl".to_owned()];
        ReplicaOptions { enforced_auth_schemes, sasl: Some(sasl), ..options() }
    };
    let refused = ErrorCode::SessionClosedRequireSaslAuth.code();
    for op in [OpCode::Ping, OpCode::WhoAmI, OpCode::CloseSession] {
        let mut h = Harness::with(demanding());
        let client = h.connect();
        h.send(client.conn, 7, op, &RequestBody::Empty);
        assert_eq!(h.errors(client.conn), [(7, refused)], "{op:?}");
        assert!(h.is_closed(client.conn));
    }
    let mut h = Harness::with(demanding());
    let [bob, eve, other] = [h.connect(), h.connect(), h.connect()].map(|client| client.conn);
    // `auth` is answered, and is not enough.
    let digest = AuthPacket { packet_type: 0, scheme: Some("digest"), auth: Some(b"a:b") };
    h.send(other, -4, OpCode::Auth, &RequestBody::Auth(digest));
    assert_eq!(h.errors(other), [(-4, 0)]);
    h.send(other, 1, OpCode::Ping, &RequestBody::Empty);
    assert_eq!(h.errors(other), [(1, refused)]);
    assert_eq!(log_in(&mut h, bob, "bob", "bobsecret").0, 0);
    assert_eq!(identities(&mut h, bob).len(), 2);
    assert_eq!(log_in(&mut h, eve, "bob", "wrong"), (refused, NONE));
    assert!(h.is_closed(eve));
}

#[test]
fn without_the_scheme_a_client_logs_in_and_has_nothing_of_it() {
    let authentication = AuthenticationOptions::default();
    let mut h = Harness::with(ReplicaOptions { authentication, ..options() });
    let client = h.connect();
    assert_eq!(log_in(&mut h, client.conn, "bob", "bobsecret").0, 0);
    assert_eq!(identities(&mut h, client.conn), ["ip:127.0.0.1", "sasl:"]);
    for entries in [[(perms::ALL, "sasl", "bob")], [(perms::ALL, "auth", "")]] {
        let entries = acl(&entries);
        let body = create_with("/bob", &entries);
        let err = h.call(client.conn, 1, OpCode::Create, &body).err;
        assert_eq!(err, ErrorCode::InvalidAcl.code());
    }
}

#[test]
fn a_multiple_of_the_number_in_the_key_node_opens_what_is_for_key_holders() {
    let schemes = Rc::new(Schemes { key: true, ..Schemes::default() });
    let authentication = AuthenticationOptions { schemes, ..AuthenticationOptions::default() };
    let mut h = Harness::with(ReplicaOptions { authentication, ..ReplicaOptions::default() });
    let [one, other] = [h.connect(), h.connect()].map(|client| client.conn);
    let prove = |h: &mut Harness, conn, number: &[u8]| {
        let packet = AuthPacket { packet_type: 0, scheme: Some("key"), auth: Some(number) };
        h.send(conn, -4, OpCode::Auth, &RequestBody::Auth(packet));
        h.errors(conn)[0].1
    };
    h.call(one, 1, OpCode::Create, &create("/key", b"5", 0));
    assert_eq!(prove(&mut h, one, b"25"), 0);
    assert_eq!(identities(&mut h, one), ["ip:127.0.0.1", "key:"]);
    let entries = acl(&[(perms::ALL, "key", "")]);
    assert_eq!(h.call(one, 1, OpCode::Create, &create_with("/a", &entries)).err, 0);
    assert_eq!(h.call(one, 1, OpCode::GetData, &watch("/a", false)).err, 0);
    let err = h.call(other, 1, OpCode::GetData, &watch("/a", false)).err;
    assert_eq!(err, ErrorCode::NoAuth.code());
    assert_eq!(prove(&mut h, other, b"26"), ErrorCode::AuthFailed.code());
    assert!(h.is_closed(other));
}
