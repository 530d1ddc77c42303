//! Finds addresses that two servers, or two ports of one server, share: only one process can listen at an address, so
//! one of them cannot take part.
//!
//! Names are not resolved here, so only identical texts are found.
//!
//! ```text
//! server.1=a:2888:3888        taken: (a, 2888) quorum port of 1, (a, 3888) election port of 1
//! server.2=a:3888:2888        shared: (2, 1): both ports of 2 are taken
//! server.3=b:3888:2888        swapped: (3, 1): on another host, so nothing is shared
//! ```
// ZooKeeper: QuorumPeerConfig compares only the two ports of one address; PrepRequestProcessor calls
// QuorumServer.checkAddressDuplicate for the servers that a reconfiguration adds, and ignores loopback. An ensemble
// that runs despite such a slip must start here too, so only a server that cannot start is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::origin::{Level, Problem};
use super::quorum::Quorum;
use super::read::Reading;
use super::server_line::{PeerType, ServerLine};
use super::settings::{Listen, ListenHost};
use crate::quorum::is_wildcard;

/// A port of a server: its use and its address.
type Place = (Use, (String, u16));

/// The use of a port. Of two that collide, the message names the later one in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use(u8, &'static str);

const QUORUM: Use = Use(0, "quorum port");
const ELECTION: Use = Use(1, "election port");
const CLIENT: Use = Use(2, "client port");

/// Reports the addresses that each pair of servers shares, and refuses a server whose own ports collide.
///
/// 1. Every port of every server, in the order of ids, is entered under its address; a second one there makes a pair.
/// 2. A server that is paired with itself cannot start: an error if it is this one, otherwise a warning.
/// 3. Two servers that share an address get a warning, with what it means for the failures that are tolerated.
/// 4. A server whose two ports are another one's in the reverse order gets a warning: that is a guess.
pub(super) fn find(reading: &mut Reading) {
    let quorum = &reading.config.quorum;
    let mut taken: BTreeMap<(String, u16), (u64, &'static str)> = BTreeMap::new();
    let mut shared: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    for (&id, line) in &quorum.servers {
        // Of this server the client's address is known from more than its line.
        let own_client =
            (quorum.my_id == Some(id)).then_some(reading.config.network.client.as_ref()).flatten();
        for (Use(_, what), at) in places(line, own_client.or(line.client.as_ref())) {
            // Reads on as "its election port HOST:PORT is the quorum port of server.1".
            let text = |other: &str| format!("{what} {}:{} is {other}", at.0, at.1);
            match taken.get(&at) {
                // A server with itself: the key of the pair has its number twice.
                Some(&(first, other)) if first == id => {
                    shared.entry((id, id)).or_default().push(text(&format!("its {other} too")));
                }
                // Every server may use the wildcard in its own line.
                Some(_) if is_wildcard(&at.0) => {}
                Some(&(first, other)) => {
                    let other = format!("the {other} of server.{first}");
                    shared.entry((id, first)).or_default().push(text(&other));
                }
                None => {
                    taken.insert(at, (id, what));
                }
            }
        }
    }
    let me = quorum.my_id;
    let failures = failures(quorum, &shared);
    let swapped = swapped(&quorum.servers, &shared);
    for ((id, first), ports) in shared {
        let key = format!("server.{id}");
        let origin = reading.origin(&key);
        let ports = ports.join(", and its ");
        if id == first && me == Some(id) {
            let text = format!(
                "its {ports}: this server cannot listen twice at one address, so it would not start; \
                 change one of the ports (clientPort or this line)"
            );
            reading.error(Problem::Conflict, &origin, &key, None, text);
        } else if id == first {
            let text = format!("its {ports}: that server cannot start; correct the line");
            reading.note(Level::Warn, &origin, &key, text);
        } else {
            let place = reading.origin(&format!("server.{first}"));
            let text = format!(
                "its {ports} ({place}): only one process can listen there, so only one of the two \
                 servers takes part{failures}. Correct server.{id} or server.{first}, in the files of \
                 all servers"
            );
            reading.note(Level::Warn, &origin, &key, text);
        }
    }
    for (id, first) in swapped {
        let key = format!("server.{id}");
        let (origin, place) = (reading.origin(&key), reading.origin(&format!("server.{first}")));
        let text = format!(
            "its quorum port is the election port of server.{first} ({place}), and its election \
             port is the quorum port of server.{first}: if that is a mistake, neither can reach \
             the other; the order is \
             server.N=HOST:QUORUM:ELECTION in every line"
        );
        reading.note(Level::Warn, &origin, &key, text);
    }
}

/// What shared addresses mean for the tolerance of failures: of each pair, the later server counts as the one that
/// cannot take part. Empty for hierarchical quorums, or if no participant is lost.
fn failures(quorum: &Quorum, shared: &BTreeMap<(u64, u64), Vec<String>>) -> String {
    let votes =
        |id: &u64| quorum.servers.get(id).is_some_and(|line| line.role == PeerType::Participant);
    let all = quorum.servers.keys().filter(|id| votes(id)).count();
    // A server that collides with several others is lost once.
    let lost: BTreeSet<u64> =
        shared.keys().filter(|(id, first)| id != first && votes(id)).map(|(id, _)| *id).collect();
    if lost.is_empty() || !quorum.groups.is_empty() {
        return String::new();
    }
    // A majority of all participants, those that cannot run included.
    let (left, needed) = (all - lost.len(), all / 2 + 1);
    let then = match left.checked_sub(needed) {
        None => "so there is never a quorum, and nothing is served".to_owned(),
        Some(0) => "so the first failure of a server stops the ensemble".to_owned(),
        Some(spare) => format!(
            "so the ensemble survives the failure of {spare} of them, and not of {}",
            all - needed
        ),
    };
    format!(": {left} of the {all} participants can run and {needed} are needed, {then}")
}

/// The ports of a server at each of its addresses, without duplicates.
// ZooKeeper: MultipleAddresses is a set, so two addresses may have a host or a port in common, and the
// clients' port is one whatever the number of addresses.
fn places(line: &ServerLine, client: Option<&Listen>) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for address in &line.addresses {
        let host = comparable(&address.host);
        places.insert((QUORUM, (host.clone(), address.quorum_port)));
        places.insert((ELECTION, (host.clone(), address.election_port)));
        if let Some(Listen { host: ListenHost::Any, port }) = client {
            places.insert((CLIENT, (host, *port)));
        }
    }
    let host = client.and_then(|client| match &client.host {
        ListenHost::Any => None,
        ListenHost::Ip(address) => Some(address.to_string()),
        ListenHost::Zoned { address, .. } => Some(address.to_string()),
        ListenHost::Name(name) => Some(comparable(name)),
    });
    if let Some((host, client)) = host.zip(client) {
        places.insert((CLIENT, (host, client.port)));
    }
    // The system chooses another number for port 0 each time.
    places.retain(|(_, (_, port))| *port != 0);
    places
}

/// The same text for all ways to write a host.
fn comparable(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => host.to_ascii_lowercase(),
    }
}

/// Pairs of servers on different machines of which one seems to have its two ports exchanged; each server with the
/// first such other one. Servers that share an address were already reported.
fn swapped(
    servers: &BTreeMap<u64, ServerLine>,
    shared: &BTreeMap<(u64, u64), Vec<String>>,
) -> Vec<(u64, u64)> {
    // By the two ports in the order of the line. Another server with the reverse pair is the suspect.
    let mut seen: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    let mut found = Vec::new();
    for (&id, line) in servers {
        let Some(address) = line.addresses.first() else { continue };
        let (quorum, election) = (address.quorum_port, address.election_port);
        found.extend(
            seen.get(&(election, quorum))
                .filter(|&&first| !shared.contains_key(&(id, first)))
                .map(|&first| (id, first)),
        );
        seen.entry((quorum, election)).or_insert(id);
    }
    found
}
