//! Who is refused on these ways: the log has the reason, and the client learns no more than that it is refused.

use std::fs;

use ringkeeper::jute::Jute;
use ringkeeper::proto::OpCode;
use ringkeeper::proto::request::{RequestBody, SaslRequest};
use ringkeeper::sasl::Nonce;
use ringkeeper::sasl::digest_md5::{ClientExchange, Service};

use crate::cells::{TLS, Visit};
use crate::clients::openssl::talk;
use crate::clients::{java, kazoo, rust_crate};
use crate::ground::{BOB, Place, run};
use crate::raw::Client;

#[test]
fn clients_refuse_a_server_with_a_certificate_for_another_host_and_its_log_says_so() {
    let place = Place::one("wrong name", &["ringkeeper.cores=3"]);
    let elsewhere = place.certificate("elsewhere");
    fs::copy(elsewhere, place.certificate("server")).unwrap();
    place.server().wait_for_log("the certificate of this server is CN=elsewhere");
    let (door, _) = place.doors(0);
    let visit = Visit {
        place: &place,
        door,
        way: &TLS,
        path: "/wrong".to_owned(),
        data: "wrong".to_owned(),
    };
    // The names of the alerts are those of the clients' libraries.
    for (client, output, alert) in [
        (
            "openssl",
            talk(&place, door.secure, &["-verify_ip", "127.0.0.1"], b"ruok"),
            "BadCertificate",
        ),
        ("kazoo", kazoo::visit(&visit), "BadCertificate"),
        ("zookeeper-client", rust_crate::visit(&visit), "BadCertificate"),
        ("Java 3.9.4", java::visit_3_9(&visit), "CertificateUnknown"),
    ] {
        println!("{client}: {}", output.lines().last().unwrap_or_default());
        assert!(!output.contains("imok") && !output.contains("read wrong"), "{client}: {output}");
        place.server().wait_for_log(&format!("received fatal alert: {alert}"));
    }
    let exists = crate::ground::look(door.plain, "/wrong");
    assert!(exists.is_err(), "{exists:?}");
}

#[test]
fn tls_of_broken_versions_is_refused_and_the_log_says_which_are_taken() {
    let place = Place::one("old TLS", &["ringkeeper.cores=1"]);
    let (door, _) = place.doors(0);
    for (turn, version) in ["-tls1", "-tls1_1"].into_iter().enumerate() {
        // Debian's openssl offers these versions at no other level.
        let options = [version, "-cipher", "DEFAULT@SECLEVEL=0"];
        let output = talk(&place, door.secure, &options, b"ruok");
        assert!(output.contains("alert") && !output.contains("imok"), "{version}: {output}");
        let reason = "Both sides need TLS 1.2 or 1.3 (ssl.enabledProtocols, ssl.protocol)";
        place.server().wait_for_log(reason);
        let log = fs::read_to_string(place.server().log_file()).unwrap();
        assert_eq!(log.matches(reason).count(), turn + 1, "{version}: {log}");
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let output = talk(&place, door.secure, &[version], b"ruok");
        assert!(output.contains("imok"), "{version}: {output}");
    }
}

#[test]
fn logins_in_tls_with_a_wrong_password_and_of_an_unknown_user_are_refused() {
    let place = Place::one("wrong logins", &["ringkeeper.cores=3"]);
    let (door, _) = place.doors(0);
    for (login, reason) in [("bob:wrong", "wrong password"), ("eve:bobsecret", "no such user")] {
        let mut command = rust_crate::program();
        command.args([&door.secure.to_string(), "/n", "d", "--login", login]);
        command.args(["--authority", &place.certificate("authority")]);
        let output = run(&command, b"");
        assert_eq!(output, "refused: AuthFailed\n", "{login}");
        place.server().wait_for_log(reason);
    }
    let log = fs::read_to_string(place.server().log_file()).unwrap();
    assert!(!log.contains("bobsecret"), "a password stands in the log");
}

#[test]
fn tokens_that_are_replayed_or_cut_off_are_refused_with_the_reason_in_the_log_alone() {
    let place = Place::one("tokens", &["ringkeeper.cores=1"]);
    let (door, _) = place.doors(0);
    let begin = || {
        let mut client = Client::connect(door.plain);
        let challenge = token(&mut client, b"").expect("a challenge");
        let nonce = Nonce::new(&[7; 30]);
        let mut exchange = ClientExchange::new(Service::CLIENTS, BOB.0, BOB.1, nonce);
        let response = exchange.respond(&challenge).unwrap();
        (client, exchange, response)
    };
    let (mut bob, exchange, old) = begin();
    let proof = token(&mut bob, &old).expect("a proof of the server");
    assert_eq!(exchange.check(&proof), Ok(()));
    let is_refused = |client: &mut Client, said: &[u8], reason: &str| {
        assert_eq!(token(client, said), Err(-115), "{}", String::from_utf8_lossy(said));
        assert!(client.receive().is_err(), "the connection goes on");
        place.server().wait_for_log(reason);
    };
    let (mut client, ..) = begin();
    is_refused(&mut client, &old, "the directive nonce does not fit the challenge");
    // Cut off inside the quotes of the server's nonce, and behind a whole directive.
    let (mut client, _, response) = begin();
    let text = String::from_utf8(response).unwrap();
    let nonce = text.find(",nonce=\"").expect("a nonce") + 12;
    is_refused(&mut client, &text.as_bytes()[..nonce], "the token is malformed");
    let (mut client, _, response) = begin();
    let text = String::from_utf8(response).unwrap();
    let (before, _) = text.split_once(",response=").unwrap();
    is_refused(&mut client, before.as_bytes(), "the token has no directive response");
}

/// Sends a token; the token of the answer, or its error.
fn token(client: &mut Client, token: &[u8]) -> Result<Vec<u8>, i32> {
    let request = RequestBody::Sasl(SaslRequest { token: Some(token) });
    let reply = client.call(OpCode::Sasl, &request);
    let token = Option::<&[u8]>::from_bytes(&reply.body).unwrap();
    if reply.header.err != 0 {
        assert_eq!(token, None, "an error comes with a token");
        return Err(reply.header.err);
    }
    Ok(token.unwrap_or_default().to_vec())
}
