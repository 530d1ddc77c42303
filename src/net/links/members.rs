//! Finds the members that have the address of a connection.
//!
//! On the ports between servers, nothing that a server says about itself can be verified except its
//! address: the configuration has the names and addresses of the members. Names are resolved in the
//! background, and again when a connection comes from an address of no member, because a container may
//! have another address after a restart. The connection waits for that answer.
//!
//! If a member's name has never been resolved, that member may connect from any address; this does not
//! apply to any other member.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::id::ServerId;
use crate::link::MemberHosts;
use crate::quorum::is_wildcard;
use crate::tls::hostname::Names;

/// Which servers may connect to the ports between servers (`ringkeeper.peerAddressCheck`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerAddressCheck {
    /// A server that names the id of a member must come from an address of that member. Non-members may
    /// come from any address: they wait to be added, or observe.
    Members,
    /// Only addresses of members are accepted.
    Strict,
    /// Addresses are not checked.
    #[default]
    Off,
}

/// Least time between two queries for a name: a stranger must not make this server flood a resolver.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Older answers are refreshed when a connection arrives, which does not wait for that: an address that a
/// member has left may belong to another host.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// Between two lines about names that cannot be resolved.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// The addresses of a host in the configuration.
#[derive(Debug, Default)]
struct Host {
    /// From the last answer.
    addresses: Vec<IpAddr>,
    /// Whether there ever was an answer.
    was_found: bool,
}

/// The members and their addresses. See the module.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// `ringkeeper.peerAddressCheck`.
    check: PeerAddressCheck,
    /// The members, each with the hosts of its line in the configuration.
    of: MemberHosts,
    /// What is known of each of these hosts.
    hosts: BTreeMap<String, Host>,
    /// Whether a query is in progress.
    asking: bool,
    /// The time of the last answer.
    answered_at: Option<Instant>,
    /// There are new names without a query.
    has_new_names: bool,
    /// The time of the last line about names that cannot be resolved.
    said_at: Option<Instant>,
}

impl Members {
    /// No members yet.
    pub fn new(check: PeerAddressCheck) -> Members {
        Members { check, ..Members::default() }
    }

    pub fn check(&self) -> PeerAddressCheck {
        self.check
    }

    /// Sets the members.
    pub fn set(&mut self, of: MemberHosts) {
        let names: BTreeSet<&String> = of.iter().flat_map(|(_, hosts)| hosts).collect();
        self.hosts.retain(|name, _| names.contains(name));
        for name in names {
            if !self.hosts.contains_key(name) {
                let literal = address(name);
                self.has_new_names |= literal.is_none() && !is_wildcard(name);
                let host =
                    Host { addresses: literal.into_iter().collect(), was_found: literal.is_some() };
                self.hosts.insert(name.clone(), host);
            }
        }
        self.of = of;
    }

    /// The members that have this address.
    pub fn at(&self, from: IpAddr) -> Vec<ServerId> {
        let from = from.to_canonical();
        let is_there = |host: &String| {
            let known = self.hosts.get(host).map_or(&[][..], |host| &host.addresses);
            // Linux uses 127.0.0.1 as the source of a connection to any other loopback address.
            let is_same_machine = || {
                let default = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                default.contains(&from) && known.iter().any(IpAddr::is_loopback)
            };
            known.contains(&from) || is_same_machine()
        };
        self.of.iter().filter(|(_, hosts)| hosts.iter().any(is_there)).map(|(id, _)| *id).collect()
    }

    /// The members one of whose hosts this certificate names.
    pub fn named(&self, names: &Names) -> Vec<ServerId> {
        let is_named = |hosts: &Vec<String>| hosts.iter().any(|host| names.include(host));
        self.of.iter().filter(|(_, hosts)| is_named(hosts)).map(|(id, _)| *id).collect()
    }

    /// The same as [`Members::at`], and all members whose addresses are unknown.
    pub fn may_be(&self, from: IpAddr) -> Vec<ServerId> {
        let mut ids = self.at(from);
        ids.extend(self.unplaced().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
        ids
    }

    /// Members with a name that was never resolved, or with a wildcard.
    fn unplaced(&self) -> impl Iterator<Item = ServerId> + '_ {
        let is_unknown = |host: &String| self.hosts.get(host).is_none_or(|host| !host.was_found);
        self.of.iter().filter(move |(_, hosts)| hosts.iter().any(is_unknown)).map(|(id, _)| *id)
    }

    /// Begins a query and returns its names: none while a query is in progress, or was made just now.
    pub fn begin_asking(&mut self, now: Instant) -> Option<Vec<String>> {
        let is_recent = self.answered_at.is_some_and(|at| now < at + ASK_AGAIN);
        if self.asking || (is_recent && !self.has_new_names) {
            return None;
        }
        let is_name = |name: &&String| address(name).is_none() && !is_wildcard(name);
        let names: Vec<String> = self.hosts.keys().filter(is_name).cloned().collect();
        if names.is_empty() {
            return None;
        }
        (self.asking, self.has_new_names) = (true, false);
        Some(names)
    }

    /// The same for names that were never queried.
    pub fn begin_asking_if_new(&mut self, now: Instant) -> Option<Vec<String>> {
        if self.has_new_names { self.begin_asking(now) } else { None }
    }

    /// Whether the answers may be outdated.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.answered_at.is_some_and(|at| now >= at + STALE_AFTER)
    }

    /// Whether a query is in progress.
    pub fn is_asking(&self) -> bool {
        self.asking
    }

    /// Handles the resolver's answers. A name that can no longer be resolved keeps its addresses.
    pub fn handle_answers(
        &mut self,
        now: Instant,
        answers: Vec<(String, Result<Vec<IpAddr>, String>)>,
    ) {
        (self.asking, self.answered_at) = (false, Some(now));
        let mut unknown = String::new();
        for (name, answer) in answers {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            match answer {
                Ok(addresses) => {
                    host.addresses = addresses.iter().map(IpAddr::to_canonical).collect();
                    host.was_found = true;
                }
                Err(reason) if !host.was_found => {
                    unknown =
                        format!("{unknown}{}{reason}", if unknown.is_empty() { "" } else { "; " });
                }
                Err(_) => {}
            }
        }
        if !unknown.is_empty() && self.said_at.is_none_or(|at| now >= at + SAID_EVERY) {
            self.said_at = Some(now);
            tracing::warn!(
                "the addresses of some members of the ensemble are unknown: {unknown}. Until they \
                 are known, a server that names the id of one of them is accepted from any address"
            );
        }
    }

    /// The query could not be made.
    pub fn handle_no_answer(&mut self) {
        self.asking = false;
    }
}

/// The address that a host is, if it is no name and no wildcard.
fn address(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().filter(|_| !is_wildcard(host)).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i64]) -> Vec<ServerId> {
        ids.iter().copied().map(ServerId).collect()
    }

    fn members(of: &[(i64, &[&str])]) -> Members {
        let mut members = Members::new(PeerAddressCheck::Members);
        let hosts = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect();
        members.set(of.iter().map(|(id, names)| (ServerId(*id), hosts(names))).collect());
        members
    }

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn an_address_is_one_of_the_members_that_have_it() {
        let members = members(&[
            (1, &["10.0.0.1", "10.1.0.1"]),
            (2, &["10.0.0.2"]),
            (3, &["10.0.0.2", "::ffff:10.0.0.3"]),
        ]);
        assert_eq!(members.at(at("10.1.0.1")), ids(&[1]));
        assert_eq!(members.at(at("::ffff:10.0.0.2")), ids(&[2, 3]));
        assert_eq!(members.at(at("10.0.0.3")), ids(&[3]));
        assert_eq!(members.may_be(at("10.0.0.4")), ids(&[]));
    }

    #[test]
    fn servers_on_one_machine_reach_each_other_from_its_usual_address() {
        let members = members(&[(1, &["127.0.1.1"]), (2, &["10.0.0.2"])]);
        assert_eq!(members.at(at("127.0.0.1")), ids(&[1]));
        assert_eq!(members.at(at("127.0.1.1")), ids(&[1]));
        assert_eq!(members.at(at("127.0.0.2")), ids(&[]));
    }

    #[test]
    fn a_name_is_asked_for_again_and_its_member_moves() {
        let mut members = members(&[(1, &["zk1"]), (2, &["10.0.0.2"])]);
        let begun = Instant::now();
        assert_eq!(members.begin_asking(begun), Some(vec!["zk1".to_owned()]));
        assert_eq!(members.begin_asking(begun), None, "it is being asked for");
        // Its address was never resolved.
        assert_eq!(members.may_be(at("10.0.0.7")), ids(&[1]));
        members.handle_answers(begun, vec![("zk1".to_owned(), Err("no such name".to_owned()))]);
        assert_eq!(members.may_be(at("10.0.0.7")), ids(&[1]));
        assert_eq!(members.begin_asking(begun), None, "it was just asked for");
        let later = begun + ASK_AGAIN;
        assert!(members.begin_asking(later).is_some());
        members.handle_answers(later, vec![("zk1".to_owned(), Ok(vec![at("10.0.0.1")]))]);
        assert_eq!(members.may_be(at("10.0.0.7")), ids(&[]));
        assert_eq!(members.may_be(at("10.0.0.1")), ids(&[1]));
        // A failing resolver changes no addresses.
        let failed = later + ASK_AGAIN;
        assert!(members.begin_asking(failed).is_some());
        members.handle_answers(failed, vec![("zk1".to_owned(), Err("it hangs".to_owned()))]);
        assert_eq!(
            (members.at(at("10.0.0.1")), members.may_be(at("10.0.0.7"))),
            (ids(&[1]), ids(&[]))
        );
        assert!(!members.is_stale(failed) && members.is_stale(failed + STALE_AFTER));
        let moved = failed + ASK_AGAIN;
        assert!(members.begin_asking(moved).is_some());
        members.handle_answers(moved, vec![("zk1".to_owned(), Ok(vec![at("10.0.0.7")]))]);
        assert_eq!((members.at(at("10.0.0.1")), members.at(at("10.0.0.7"))), (ids(&[]), ids(&[1])));
        // Another configuration: a new name is queried at once.
        let lines = [(1, "zk1"), (2, "10.0.0.2"), (3, "zk3")];
        members.set(
            lines.iter().map(|(id, host)| (ServerId(*id), vec![(*host).to_owned()])).collect(),
        );
        assert_eq!(members.begin_asking(moved), Some(vec!["zk1".to_owned(), "zk3".to_owned()]));
        assert_eq!(members.at(at("10.0.0.7")), ids(&[1]));
    }

    #[test]
    fn a_member_that_is_everywhere_may_come_from_anywhere() {
        let mut members = members(&[(1, &["0.0.0.0"]), (2, &["10.0.0.2"])]);
        assert_eq!(members.may_be(at("10.0.0.9")), ids(&[1]));
        assert_eq!(members.begin_asking(Instant::now()), None, "there is nothing to ask");
    }
}
