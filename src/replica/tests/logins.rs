//! Logins whose tokens the edge checks, as clients and the edge see them.

use super::harness::*;
use super::reads::auth;
use super::sasl::{identities, options, sasl, send_token};
use crate::error::ErrorCode;
use crate::id::ConnectionId;
use crate::limits::GSSAPI_TOKEN_BYTES_MAX;
use crate::proto::OpCode;
use crate::replica::{LoginOp, ReplicaOptions, SaslOptions};
use crate::sasl::gssapi::Acceptor;
use crate::sasl::{Failure, Mechanism, Step};

fn kerberos() -> Harness {
    let acceptor = Acceptor { principal: "zookeeper/h@R".to_owned(), keytab: None };
    let sasl = SaslOptions { mechanism: Mechanism::Gssapi(acceptor), ..sasl() };
    Harness::with(ReplicaOptions { sasl: Some(sasl), ..options() })
}

fn done(name: &str) -> Option<Step> {
    Some(Step::Done { token: None, name: name.to_owned() })
}

/// The edge answers.
fn answer(h: &mut Harness, conn: ConnectionId, step: Option<Step>) {
    h.replica.handle_login(h.now, conn, step);
    h.settle();
}

#[test]
fn the_edge_gets_each_token_and_its_answer_goes_to_the_client() {
    let mut h = kerberos();
    let conn = h.connect().conn;
    send_token(&mut h, conn, b"one");
    let token = |is_first, token: &[u8]| LoginOp::Token { conn, is_first, token: token.to_vec() };
    assert_eq!(h.take_logins(), [token(true, b"one")]);
    assert!(!h.has_received(conn));
    answer(&mut h, conn, Some(Step::Challenge(b"challenge".to_vec())));
    let reply = h.replies(conn).remove(0);
    assert_eq!(
        (reply.xid, reply.err, reply.decode::<Option<&[u8]>>()),
        (9, 0, Some(&b"challenge"[..]))
    );
    send_token(&mut h, conn, b"");
    assert_eq!(h.take_logins(), [token(false, b"")]);
    answer(&mut h, conn, done("bob/h@R"));
    let reply = h.replies(conn).remove(0);
    assert_eq!((reply.xid, reply.err, reply.decode::<Option<&[u8]>>()), (9, 0, None));
    assert_eq!(identities(&mut h, conn), ["ip:127.0.0.1", "sasl:bob/h@R"]);
    // Another login begins anew, and the client has both names.
    send_token(&mut h, conn, b"again");
    assert_eq!(h.take_logins(), [token(true, b"again")]);
    answer(&mut h, conn, done("al@R"));
    h.replies(conn);
    assert_eq!(identities(&mut h, conn), ["ip:127.0.0.1", "sasl:bob/h@R", "sasl:al@R"]);
    assert_eq!(h.take_logins(), []);
}

#[test]
fn requests_behind_a_token_wait_for_it_and_have_the_identity_that_it_brings() {
    let mut h = kerberos();
    let (conn, other) = (h.connect().conn, h.connect().conn);
    h.send(conn, 1, OpCode::Create, &create("/before", b"", 0));
    send_token(&mut h, conn, b"one");
    let of_bob = acl(&[(31, "auth", "")]);
    h.send(conn, 2, OpCode::Create, &create_with("/bob", &of_bob));
    h.send(conn, 3, OpCode::GetData, &watch("/bob", false));
    h.settle();
    assert_eq!(h.errors(conn), [(1, 0)], "what came before the token is not held up");
    assert_eq!(h.call(other, 1, OpCode::GetData, &watch("/before", false)).err, 0);
    answer(&mut h, conn, done("bob@R"));
    assert_eq!(h.errors(conn), [(9, 0), (2, 0), (3, 0)]);
    let err = h.call(other, 2, OpCode::GetData, &watch("/bob", false)).err;
    assert_eq!(err, ErrorCode::NoAuth.code());
}

#[test]
fn who_fails_at_the_edge_is_told_no_reason_and_loses_the_connection() {
    let mut h = kerberos();
    let conn = h.connect().conn;
    send_token(&mut h, conn, b"one");
    h.send(conn, 2, OpCode::Create, &create("/x", b"", 0));
    h.take_logins();
    answer(&mut h, conn, Some(Step::Failed(Failure::Kerberos("a reason".to_owned()))));
    assert_eq!(h.errors(conn), [(9, ErrorCode::AuthFailed.code())]);
    assert!(h.is_closed(conn));
    assert_eq!(h.replica.stats().auth_failed, 1);
    // The edge has ended the login itself.
    assert_eq!(h.take_logins(), []);
    // Names that are no names, and tokens that are too long, do not get that far.
    for (token, step) in [(vec![1; GSSAPI_TOKEN_BYTES_MAX + 1], None), (vec![1], done("a@b@c"))] {
        let conn = h.connect().conn;
        send_token(&mut h, conn, &token);
        if let Some(step) = step {
            answer(&mut h, conn, Some(step));
        }
        assert_eq!(h.errors(conn), [(9, ErrorCode::AuthFailed.code())]);
        assert!(h.is_closed(conn));
        h.take_logins();
    }
}

#[test]
fn clients_that_name_the_ensemble_are_counted_by_what_became_of_them() {
    let mut options = options();
    options.authentication.ensemble_names = Some(["one".to_owned()].into());
    let mut h = Harness::with(options);
    let mut name = |scheme: &str, name: &[u8]| {
        let conn = h.connect().conn;
        h.send(conn, -4, OpCode::Auth, &auth(scheme, name));
        h.settle();
        h.is_closed(conn)
    };
    assert!(!name("ensemble", b"one") && !name("ensemble", b"one"));
    assert!(!name("ensemble", b""));
    assert!(name("ensemble", b"two"));
    assert!(name("nosuch", b"two"));
    let counted = h.replica.stats().ensemble_auth;
    assert_eq!((counted.success, counted.fail, counted.skip), (2, 1, 1));
    h.replica.reset_stats();
    assert_eq!(h.replica.stats().ensemble_auth.success, 0);
}

#[test]
fn a_client_for_whose_token_there_is_no_room_may_come_again() {
    let mut h = kerberos();
    let conn = h.connect().conn;
    send_token(&mut h, conn, b"one");
    answer(&mut h, conn, None);
    assert_eq!(h.errors(conn), [], "AUTHFAILED would tell it to give up");
    assert!(h.is_closed(conn));
}

#[test]
fn the_edge_forgets_the_login_of_a_client_that_is_gone() {
    let mut h = kerberos();
    let conn = h.connect().conn;
    send_token(&mut h, conn, b"one");
    h.take_logins();
    h.close(conn);
    assert_eq!(h.take_logins(), [LoginOp::Forget(conn)]);
    // The answer comes too late.
    answer(&mut h, conn, done("bob@R"));
    assert!(!h.has_received(conn));
    // A client that has sent all that it will send gets its answer, and then the end.
    let conn = h.connect().conn;
    send_token(&mut h, conn, b"one");
    h.replica.handle_end(h.now, conn);
    h.settle();
    assert!(!h.is_closed(conn));
    answer(&mut h, conn, done("bob@R"));
    assert_eq!(h.errors(conn), [(9, 0)]);
    assert!(h.is_closed(conn));
}
