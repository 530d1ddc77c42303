//! What is refused, with its reason in the log and none for the client.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ringkeeper_testkit::Server;

use super::conversation::{send, who};
use super::initiator::Initiator;
use super::kdc::Kdc;
use super::raw::Client;
use super::{Guarded, config, ringkeeper, site, start};

/// How the client is told that its login has failed.
const AUTH_FAILED: Option<(i32, Option<Vec<u8>>)> = Some((-115, None));

const SERVICE: &str = "zookeeper@localhost";

/// Logs in; the identities that the client has then.
fn log_in(server: &Server, config: &Path, keytab: &Path) -> String {
    let mut initiator = Initiator::new(config, keytab, SERVICE);
    let mut client = Client::connect(server.socket_addr());
    let token = |answer: Option<(i32, Option<Vec<u8>>)>| {
        let (err, token) = answer.expect("an answer");
        assert_eq!(err, 0);
        token.expect("a token")
    };
    let answer = token(send(&mut client, &initiator.step(b"")));
    assert_eq!(initiator.step(&answer), b"");
    let offer = token(send(&mut client, b""));
    assert_eq!(initiator.unwrap(&offer)[0], 1);
    assert_eq!(send(&mut client, &initiator.wrap(&[1, 0, 0, 0])), Some((0, None)));
    who(&mut client)
}

/// Sends a token, which is refused for this reason.
fn refused(server: &Server, token: &[u8], reason: &str) {
    let mut client = Client::connect(server.socket_addr());
    assert_eq!(send(&mut client, token), AUTH_FAILED, "{reason}");
    assert!(client.receive().is_err(), "the connection ends: {reason}");
    server.wait_for_log(reason);
}

#[test]
fn tokens_are_refused_with_a_reason_in_the_log() {
    let site = site();
    let machine = site.kdc.config();
    let guarded = start(ringkeeper(), &[]);
    let server = &guarded.server;
    refused(server, &[0x60; 300], "Invalid token");
    let mut initiator = Initiator::new(&machine, &site.bob, SERVICE);
    let first = initiator.step(b"");
    refused(server, &first[..first.len() / 2], "a token may be cut off");
    let mut client = Client::connect(server.socket_addr());
    assert!(matches!(send(&mut client, &first), Some((0, Some(_)))));
    refused(server, &first, "replay");
    let mut other = Initiator::new(&machine, &site.bob, "other@localhost");
    refused(server, &other.step(b""), "other/localhost");
    // Another realm, which has a server of this name, too.
    let elsewhere = Kdc::start("ELSEWHERE.TEST", &["zookeeper/localhost", "eve"]);
    let eve = elsewhere.keytab("eve", "eve");
    let mut stranger = Initiator::new(&elsewhere.config(), &eve, SERVICE);
    refused(server, &stranger.step(b""), "ELSEWHERE.TEST");
    // A realm that takes this one's name does not have its keys.
    let forged = Kdc::start("RINGKEEPER.TEST", &["zookeeper/localhost", "bob"]);
    // The key gets the number of the right one.
    forged.keytab("zookeeper/localhost", "server");
    let eve = forged.keytab("bob", "bob");
    let mut forger = Initiator::new(&forged.config(), &eve, SERVICE);
    refused(
        server,
        &forger.step(b""),
        "Cannot decrypt ticket for zookeeper/localhost@RINGKEEPER.TEST",
    );
    refused(server, &[0; 64 * 1024 + 1], "the token is longer than 65536 bytes");
    let answer = server.four_letter("mntr");
    let failed = answer.lines().find(|line| line.starts_with("zk_auth_failed_count"));
    assert_eq!(failed, Some("zk_auth_failed_count\t7"), "{answer}");
    // All that was refused has not changed that others log in.
    let names = log_in(server, &machine, &site.bob);
    assert_eq!(names, "ip:127.0.0.1 sasl:bob@RINGKEEPER.TEST");
}

#[test]
fn a_ticket_that_has_expired_is_refused_and_a_session_outlives_its_ticket() {
    let site = site();
    let brief = site.kdc.keytab("brief", "brief");
    site.kdc.administer("modprinc -maxlife \"4 seconds\" brief");
    let (config, folder) = config(&site.server, &site.kdc.strict_config());
    let guarded = Guarded { server: Server::start(ringkeeper(), config), _folder: folder };
    let server = &guarded.server;
    let machine = site.kdc.strict_config();
    let mut client = Client::connect(server.socket_addr());
    let mut initiator = Initiator::new(&machine, &brief, SERVICE);
    let Some((0, Some(answer))) = send(&mut client, &initiator.step(b"")) else {
        panic!("refused")
    };
    initiator.step(&answer);
    let Some((0, Some(_))) = send(&mut client, b"") else { panic!("no offer") };
    assert_eq!(send(&mut client, &initiator.wrap(&[1, 0, 0, 0])), Some((0, None)));
    let mut late = Initiator::new(&machine, &brief, SERVICE);
    let token = late.step(b"");
    std::thread::sleep(Duration::from_secs(7));
    let mut stale = Client::connect(server.socket_addr());
    assert_eq!(send(&mut stale, &token), AUTH_FAILED);
    server.wait_for_log("authentication failed");
    let log = server.log_tail(50);
    assert!(log.contains("Ticket expired") || log.contains("Clock skew too great"), "{log}");
    // As in ZooKeeper, a ticket counts when the client logs in.
    assert_eq!(who(&mut client), "ip:127.0.0.1 sasl:brief@RINGKEEPER.TEST");
}

#[test]
fn new_keys_count_without_a_restart() {
    // A realm of its own, because other tests use the keys of the other one.
    let kdc = Kdc::start("ROLLING.TEST", &["zookeeper/localhost", "bob"]);
    let (table, bob) = (kdc.keytab("zookeeper/localhost", "server"), kdc.keytab("bob", "bob"));
    let (config, folder) = config(&table, &kdc.config());
    let jaas = folder.path().join("jaas.conf");
    let text = fs::read_to_string(&jaas).unwrap().replace(site().kdc.realm(), kdc.realm());
    fs::write(&jaas, text).unwrap();
    let server = Server::start(ringkeeper(), config);
    assert_eq!(log_in(&server, &kdc.config(), &bob), "ip:127.0.0.1 sasl:bob@ROLLING.TEST");
    kdc.keytab("zookeeper/localhost", "server");
    assert_eq!(log_in(&server, &kdc.config(), &bob), "ip:127.0.0.1 sasl:bob@ROLLING.TEST");
}

#[test]
fn a_server_without_its_keys_does_not_start() {
    let site = site();
    for (table, expected) in [
        (Path::new("/nowhere/keytab"), "/nowhere/keytab"),
        (&*site.bob, "zookeeper/localhost@RINGKEEPER.TEST"),
    ] {
        let (config, _folder) = config(table, &site.kdc.config());
        let mut server = Server::prepare(ringkeeper(), config);
        let (status, output) = server.run_to_exit(Duration::from_secs(20));
        assert!(!status.success());
        let said = "nobody can log in by Kerberos at zookeeper/localhost@RINGKEEPER.TEST: ";
        assert!(output.contains(said) && output.contains(expected), "{output}");
    }
}

#[test]
fn others_are_served_while_many_tokens_are_refused() {
    let site = site();
    for wiring in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        let guarded = start(ringkeeper(), &[wiring, "maxClientCnxns=0"]);
        let server = guarded.server.socket_addr();
        let mut bystander = Client::connect(server);
        bystander.create("/x", b"x", 0).ok();
        let attack = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut sent = 0;
            while begun.elapsed() < Duration::from_secs(3) {
                let mut clients: Vec<_> = (0..40).map(|_| Client::connect(server)).collect();
                for client in &mut clients {
                    assert_eq!(send(client, &[0x60; 60_000]), AUTH_FAILED);
                    sent += 1;
                }
            }
            sent
        });
        let mut longest = Duration::ZERO;
        while !attack.is_finished() {
            let begun = Instant::now();
            bystander.get("/x").ok();
            longest = longest.max(begun.elapsed());
        }
        let sent = attack.join().unwrap();
        println!("{wiring}: {sent} tokens refused, a bystander waited {longest:?} at most");
        assert!(sent > 100 && longest < Duration::from_secs(1), "{sent}, {longest:?}");
        assert!(log_in(&guarded.server, &site.kdc.config(), &site.bob).contains("sasl:bob@"));
    }
}

#[test]
fn a_choice_that_was_not_offered_or_is_cut_off_is_refused() {
    let site = site();
    let guarded = start(ringkeeper(), &[]);
    for (choice, reason) in [
        (&[4, 0, 16, 0][..], "the client asks for a security layer, and only auth is offered"),
        // ZooKeeper closes the connection without an answer.
        (&[1, 0], "the token is malformed"),
    ] {
        let mut initiator = Initiator::new(&site.kdc.config(), &site.bob, SERVICE);
        let mut client = Client::connect(guarded.server.socket_addr());
        let Some((0, Some(answer))) = send(&mut client, &initiator.step(b"")) else {
            panic!("refused")
        };
        initiator.step(&answer);
        assert!(matches!(send(&mut client, b""), Some((0, Some(_)))));
        assert_eq!(send(&mut client, &initiator.wrap(choice)), AUTH_FAILED);
        guarded.server.wait_for_log(reason);
    }
}
