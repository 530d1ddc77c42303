//! Conversations recorded with Apache ZooKeeper 3.9.4, whose packets each side here must understand and answer.

use super::super::digest_md5::Users;
use super::super::jaas::JaasFile;
use super::packet::{Status, put};
use super::*;

fn packet(status: Status, token: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, status, token.as_bytes());
    bytes
}

#[test]
fn a_java_server_that_connects_is_answered_with_the_bytes_that_it_accepted() {
    let file = JaasFile::read(b"S { m required user_zk=\"swordfish\"; };").unwrap();
    let users = Users::of_section(Service::SERVERS, file.section("S").unwrap());
    let how = PeerLogins {
        accepted: Mechanism::DigestMd5(users),
        is_demanded: true,
        own: None,
        nonce_key: NonceKey::new([0; 32]),
    };
    let nonce = "fixedNonceOfTheTest0123456789";
    let response = format!(
        "charset=utf-8,username=\"zk\",realm=\"zk-quorum-sasl-md5\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"0IEB1j6XjsNytWvoo159KhJYFr4taPwRIy/9VUhV\",\
         digest-uri=\"zookeeper-quorum/zk-quorum-sasl-md5\",maxbuf=65536,\
         response=bc3e546be77db39c464cd5862dfdcfb3,qop=auth,authzid=\"zk\""
    );
    let mut login = AcceptedLogin::new(Nonce::of_test(nonce));
    let mut answer = Vec::new();
    let hello = packet(Status::InProgress, "");
    assert_eq!(login.handle(&how, &hello, &mut answer), Progress::Pending);
    let challenge =
        format!("realm=\"zk-quorum-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
    assert_eq!(answer, packet(Status::InProgress, &challenge));
    answer.clear();
    let passed = Progress::Passed { name: Some("zk".into()), rest: Vec::new() };
    let response = packet(Status::InProgress, &response);
    assert_eq!(login.handle(&how, &response, &mut answer), passed);
    assert_eq!(answer, packet(Status::Success, "rspauth=9ce019d24047b04d29a0423868b654cf"));
}

#[test]
fn a_java_server_that_accepts_gets_the_bytes_that_it_accepted_and_is_believed() {
    let account = Account::DigestMd5 { name: "zk".into(), password: Secret::new("swordfish") };
    let (mut login, hello) = OpenedLogin::begin(&account, Nonce::of_test("cnonceOfTheTest"));
    assert_eq!(hello, packet(Status::InProgress, ""));
    let nonce = "O8bxHtKINTL2Lr4XpmOz9MiLxro3M4SrFDxhtyVa";
    let challenge =
        format!("realm=\"zk-quorum-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
    let mut answer = Vec::new();
    let challenge = packet(Status::InProgress, &challenge);
    assert_eq!(login.handle(&challenge, &mut answer), Progress::Pending);
    let response = format!(
        "charset=utf-8,username=\"zk\",realm=\"zk-quorum-sasl-md5\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"cnonceOfTheTest\",digest-uri=\"zookeeper-quorum/zk-quorum-sasl-md5\",\
         maxbuf=65536,response=c0eb696c991b0ceca649147354fcb5a0,qop=auth"
    );
    assert_eq!(answer, packet(Status::InProgress, &response));
    let proof = packet(Status::Success, "rspauth=9bd80856f0b6cfa158c3db1d7d3e79b2");
    let passed = Progress::Passed { name: Some("zk".into()), rest: Vec::new() };
    assert_eq!(login.handle(&proof, &mut Vec::new()), passed);
}
