//! The table: which client connects in which way.

use std::fs;
use std::time::Instant;

use ringkeeper::error::ErrorCode;

use crate::clients::{c, java, kazoo, openssl, rust_crate};
use crate::ground::{BOB, Door, Node, Place, everything, look};

/// A way to connect.
#[derive(Debug)]
pub struct Way {
    pub name: &'static str,
    pub tls: bool,
    /// The certificate that the client shows.
    pub certificate: Option<&'static str>,
    pub login: Option<(&'static str, &'static str)>,
    /// The ACL that `auth` becomes, sorted; empty: the client has no identity, and its node is for everybody.
    acl: &'static [&'static str],
}

/// `CN=alice,O=Ringkeeper` is the certificate of [`MUTUAL`].
const ALICE: &str = "31 x509:CN=alice,O=Ringkeeper";
const MUTUAL: Option<&str> = Some("alice");

/// TLS in which only the server has a certificate.
pub const TLS: Way = Way { name: "TLS", tls: true, certificate: None, login: None, acl: &[] };

const WAYS: [Way; 6] = [
    Way { name: "plain", tls: false, certificate: None, login: None, acl: &[] },
    TLS,
    Way { name: "mutual TLS", tls: true, certificate: MUTUAL, login: None, acl: &[ALICE] },
    Way {
        name: "DIGEST-MD5",
        tls: false,
        certificate: None,
        login: Some(BOB),
        acl: &["31 sasl:bob"],
    },
    Way {
        name: "DIGEST-MD5 in TLS",
        tls: true,
        certificate: None,
        login: Some(BOB),
        acl: &["31 sasl:bob"],
    },
    Way {
        name: "DIGEST-MD5 in mutual TLS",
        tls: true,
        certificate: MUTUAL,
        login: Some(BOB),
        acl: &["31 sasl:bob", ALICE],
    },
];

impl Way {
    /// Whether a client has an identity, and its node is for it alone.
    pub fn is_private(&self) -> bool {
        !self.acl.is_empty()
    }
}

/// One client on one way, and the node that it makes.
pub struct Visit<'a> {
    pub place: &'a Place,
    pub door: Door,
    pub way: &'a Way,
    pub path: String,
    pub data: String,
}

impl Visit<'_> {
    /// The address for this way.
    pub fn address(&self) -> String {
        let Door { plain, secure } = self.door;
        if self.way.tls { secure } else { plain }.to_string()
    }
}

#[derive(Clone, Copy)]
enum Cell {
    Works,
    /// The client cannot connect in this way, for this reason.
    Lacks(&'static str),
}

use Cell::{Lacks, Works};

struct Client {
    name: &'static str,
    /// Starts a Java machine.
    is_slow: bool,
    /// Makes the node and reads it; the output, which must have its data.
    visit: fn(&Visit<'_>) -> String,
    /// In the order of [`WAYS`].
    cells: [Cell; 6],
}

const NOT_BUILT_IN: Cell = Lacks("Debian builds the C client without OpenSSL and Cyrus SASL");
const TLS_ALONE: Cell = Lacks("it speaks nothing without TLS");
const NO_SASL: Cell = Lacks("it does not answer a challenge");

const CLIENTS: [Client; 7] = [
    Client { name: "Java 3.9.4", is_slow: true, visit: java::visit_3_9, cells: [Works; 6] },
    Client { name: "Java 3.8.0", is_slow: true, visit: java::visit_3_8, cells: [Works; 6] },
    Client { name: "zkCli.sh 3.8.0", is_slow: true, visit: java::visit_zkcli, cells: [Works; 6] },
    Client { name: "kazoo", is_slow: false, visit: kazoo::visit, cells: [Works; 6] },
    Client {
        name: "zookeeper-client",
        is_slow: false,
        visit: rust_crate::visit,
        cells: [Works; 6],
    },
    Client {
        name: "C client 3.8.0",
        is_slow: false,
        visit: c::visit,
        cells: [Works, NOT_BUILT_IN, NOT_BUILT_IN, NOT_BUILT_IN, NOT_BUILT_IN, NOT_BUILT_IN],
    },
    Client {
        name: "openssl s_client",
        is_slow: false,
        visit: openssl::visit,
        cells: [TLS_ALONE, Works, Works, NO_SASL, NO_SASL, NO_SASL],
    },
];

/// Tries the cells of some clients; panics after the last one if one of them failed.
fn fill(place: &Place, tries: impl Fn(&Client) -> bool) {
    let (mut failures, mut turn) = (Vec::new(), 0);
    for client in CLIENTS.iter().filter(|client| tries(client)) {
        for (way, cell) in WAYS.iter().zip(client.cells) {
            if let Lacks(reason) = cell {
                println!("{}: {}, {}: none: {reason}", place.name, client.name, way.name);
                continue;
            }
            let begun = Instant::now();
            let result = try_cell(place, client, way, turn);
            let took = begun.elapsed();
            let word = if result.is_ok() { "works" } else { "FAILS" };
            println!("{}: {}, {}: {word} in {took:.1?}", place.name, client.name, way.name);
            failures.extend(result.err());
            turn += 1;
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn try_cell(place: &Place, client: &Client, way: &Way, turn: usize) -> Result<(), String> {
    let (door, other) = place.doors(turn);
    let (path, data) = (format!("/node-{turn}"), format!("data-of-{turn}"));
    let visit = Visit { place, door, way, path, data };
    let output = (client.visit)(&visit);
    let what = format!("{}: {}, {}", place.name, client.name, way.name);
    if !output.contains(&visit.data) {
        return Err(format!("{what}: it does not read its node:\n{output}"));
    }
    let Node { acl, data, stranger } = look(other.plain, &visit.path)
        .map_err(|error| format!("{what}: {} is {error:?}:\n{output}", visit.path))?;
    let expected = if way.is_private() { way.acl } else { &["31 world:anyone"] };
    if acl != expected || data != visit.data.as_bytes() {
        return Err(format!("{what}: {acl:?}, {:?}\n{output}", String::from_utf8_lossy(&data)));
    }
    let is_refused = stranger.is_err_and(|error| error.is(ErrorCode::NoAuth));
    if is_refused != way.is_private() {
        return Err(format!("{what}: a stranger is refused: {is_refused}"));
    }
    Ok(())
}

#[test]
fn every_client_connects_in_every_way_to_a_server_with_session_cores() {
    let place = Place::one("three cores", &["ringkeeper.cores=3"]);
    fill(&place, |_| true);
}

#[test]
fn every_client_connects_in_every_way_to_a_server_on_one_core() {
    let place = Place::one("one core", &["ringkeeper.cores=1"]);
    fill(&place, |client| everything() || !client.is_slow);
}

#[test]
fn every_client_connects_in_every_way_to_an_ensemble() {
    let place = Place::three("ensemble");
    fill(&place, |client| everything() || !client.is_slow);
}

#[test]
fn debians_c_client_lacks_what_the_table_says() {
    // As soon as it has either, its cells must be filled.
    let library = fs::read("/usr/lib/x86_64-linux-gnu/libzookeeper_mt.so.2").unwrap();
    let has = |name: &[u8]| library.windows(name.len()).any(|part| part == name);
    assert!(has(b"zookeeper_init") && !has(b"libssl") && !has(b"zoo_sasl"));
}
