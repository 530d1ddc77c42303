//! Small requests with large effects: their transactions and answers are thousands of times as long as the requests.

use std::io::Write;
use std::net::SocketAddr;

use ringkeeper::proto::OpCode;
use ringkeeper::proto::data::{AclEntry, Id};
use ringkeeper::proto::request::{AuthPacket, CreateRequest, MultiOp, PathVersion, RequestBody};
use ringkeeper_testkit::{Config, Server};

use crate::harness::{Bounds, alone, ensemble, program};
use crate::raw::{Acl, Client, create, set};

/// Room for a few of the longest transactions and frames.
const GROWTH_MAX: u64 = 64 << 20;

/// Authenticates as one more user, and returns the answer.
pub fn show_user(client: &mut Client, user: &str) -> std::io::Result<i32> {
    let proof = format!("{user}:p");
    let auth = AuthPacket { packet_type: 0, scheme: Some("digest"), auth: Some(proof.as_bytes()) };
    client.send(OpCode::Auth, &RequestBody::Auth(auth));
    client.receive().map(|reply| reply.header.err)
}

/// An ACL of so many entries, with the permissions that `entry` returns.
pub fn acl<'a>(entries: usize, entry: impl Fn(usize) -> AclEntry<'a>) -> Acl {
    let mut acl = Acl::default();
    (0..entries).for_each(|number| acl.push(&entry(number)));
    acl
}

/// Entries `auth`, which differ in bits of the permissions that have no meaning.
pub fn auth_entries(count: usize) -> Acl {
    let id = Id { scheme: Some("auth"), id: None };
    acl(count, |number| AclEntry { perms: 31 + 32 * i32::try_from(number).unwrap(), id })
}

fn wants_identities_in_every_entry(at: SocketAddr) -> String {
    let mut client = Client::connect_with(at, 30_000);
    let user = "u".repeat(60_000);
    assert_eq!(show_user(&mut client, &user).unwrap(), 0);
    let mut answers = Vec::new();
    for (creates, entries) in [(1, 2), (40, 1000)] {
        answers.push(create_for_all(&mut client, creates, entries).unwrap());
    }
    let mut client = Client::connect_with(at, 30_000);
    let shown = show_user(&mut client, &"u".repeat(1_000_000));
    let answer = create_for_all(&mut client, 1, 2200);
    format!("{answers:?}; a user of 1 MB: {shown:?}, its 2200 entries: {answer:?}")
}

/// Authenticates as further users until the server refuses; returns how many it accepted, and how it refused.
fn show_users(client: &mut Client, user: impl Fn(usize) -> String) -> (usize, String) {
    for number in 0..1000 {
        match show_user(client, &user(number)) {
            Ok(0) => {}
            Ok(error) => return (number, format!("{error}, {}", end_of(client))),
            Err(error) => return (number, error.kind().to_string()),
        }
    }
    (1000, "all of them".to_owned())
}

/// Whether the server has closed the connection.
fn end_of(client: &mut Client) -> &'static str {
    if client.receive().is_err() { "closed" } else { "open" }
}

fn shows_many_users(at: SocketAddr) -> String {
    let connect = || Client::connect_with(at, 30_000);
    let short = show_users(&mut connect(), |number| format!("{number:04}"));
    let long = show_users(&mut connect(), |number| format!("{number:04}{}", "u".repeat(900_000)));
    assert_eq!(short, (63, "-115, closed".to_owned()), "one is that of the address");
    assert_eq!(long, (0, "-115, closed".to_owned()));
    // Every write that a follower forwards carries all these identities.
    let mut client = connect();
    let user = "u".repeat(60_000);
    assert_eq!(show_user(&mut client, &user).unwrap(), 0);
    let path = format!("/users-{:x}", client.session.session_id.0);
    client.create(&path, b"", 1).ok();
    let writes: Vec<u8> =
        (0..250).flat_map(|_| client.frame(OpCode::SetData, &set(&path, b"x"))).collect();
    client.socket.write_all(&writes).unwrap();
    let answers = (0..250).filter(|_| client.receive().unwrap().header.err == 0).count();
    let shown = client.call(OpCode::WhoAmI, &RequestBody::Empty).body.len();
    format!(
        "{short:?} of 4 bytes, {long:?} of 900 kB; {answers} writes of one of 60 kB; whoAmI: {shown} bytes"
    )
}

#[test]
fn what_a_connection_shows_of_itself_is_bounded() {
    let name = "users of 4 bytes and of 900 kB until one is refused, 250 writes of one of 60 kB";
    alone(name, Config::new(), Bounds::memory(GROWTH_MAX), shows_many_users);
    ensemble(name, &Config::new(), Bounds::memory(GROWTH_MAX), shows_many_users);
}

/// ACLs as long as a frame allows, with different entries.
fn gives_long_lists(at: SocketAddr) -> String {
    let mut client = Client::connect_with(at, 30_000);
    let ranges = Id { scheme: Some("ip"), id: Some("10.0.0.0/8") };
    let long = acl(28_000, |number| AclEntry { perms: i32::try_from(number).unwrap(), id: ranges });
    let path = format!("/list-{:x}", client.session.session_id.0);
    let mut answers = Vec::new();
    for list in [&auth_entries(65_000), &long] {
        for _ in 0..6 {
            let answer = client.call(OpCode::Create, &create(&path, b"", list, 0));
            answers.push(answer.header.err);
        }
    }
    assert_eq!(answers, [-114; 12]);
    // A node with the longest allowed ACL, and a multi of as many checks as fit into a frame.
    assert_eq!(show_user(&mut client, "u").unwrap(), 0);
    let mut entries =
        acl(1000, |number| AclEntry { perms: i32::try_from(number << 5).unwrap(), id: ranges });
    entries.push(&AclEntry { perms: 31, id: Id { scheme: Some("auth"), id: None } });
    client.call(OpCode::Create, &create(&path, b"", &entries, 0)).ok();
    let check = MultiOp::Check(PathVersion { path: Some(&path), version: -1 });
    let parts = RequestBody::Multi(vec![check; 3000]);
    let checked = client.call(OpCode::Multi, &parts).ok().body.len();
    client.delete(&path).ok();
    format!("{answers:?}; 3000 checks: {checked} bytes")
}

#[test]
fn long_lists_hold_no_server_and_cost_no_leader() {
    let name = "6 creates with 65000 entries, 6 with 28000, a multi of 3000 checks against 1001";
    alone(name, Config::new(), Bounds::memory(GROWTH_MAX), gives_long_lists);
    ensemble(name, &Config::new(), Bounds::memory(GROWTH_MAX), gives_long_lists);
}

#[test]
fn a_longer_list_that_a_server_has_already_is_kept() {
    let mut server = Server::start(program(), Config::new().line("ringkeeper.aclEntriesMax=5000"));
    let id = |number: usize| format!("10.{}.{}.0/24", number / 256, number % 256);
    let list = |count: usize| {
        let ids: Vec<String> = (0..count).map(id).collect();
        acl(count, |n| AclEntry { perms: 31, id: Id { scheme: Some("ip"), id: Some(&ids[n]) } })
    };
    let mut client = Client::connect(server.socket_addr());
    client.call(OpCode::Create, &create("/long", b"", &list(5000), 0)).ok();
    // The server recovers from the log, and then from a snapshot.
    for _ in 0..2 {
        server.restart_with(Config::new());
        let mut client = Client::connect(server.socket_addr());
        assert_eq!(client.get("/long").header.err, -102, "it still keeps strangers out");
        let answer = client.call(OpCode::Create, &create("/new", b"", &list(1025), 0));
        assert_eq!(answer.header.err, -114);
    }
}

/// A multi of creates whose ACLs name every identity of the client.
fn create_for_all(client: &mut Client, creates: usize, entries: usize) -> std::io::Result<i32> {
    let acl = auth_entries(entries);
    let session = client.session.session_id.0;
    let paths: Vec<String> = (0..creates).map(|n| format!("/{session:x}-{n}")).collect();
    let part = |path| {
        let create = CreateRequest { path: Some(path), data: None, acl: acl.as_vector(), flags: 0 };
        MultiOp::Create(OpCode::Create, create)
    };
    let parts = paths.iter().map(|path| part(path)).collect();
    client.send(OpCode::Multi, &RequestBody::Multi(parts));
    client.receive().map(|reply| reply.header.err)
}

#[test]
fn identities_times_entries_end_no_server_and_cost_no_leader() {
    let name = "multis of creates with thousands of auth entries for a user of 60 kB or 1 MB";
    alone(name, Config::new(), Bounds::memory(GROWTH_MAX), wants_identities_in_every_entry);
    ensemble(name, &Config::new(), Bounds::memory(GROWTH_MAX), wants_identities_in_every_entry);
}
