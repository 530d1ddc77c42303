//! The gate between the network and the parts that own links: where servers log in at each other, a link's bytes reach
//! its owner only when the login is over (`quorum.auth.*`, [`crate::sasl::between`]).
//!
//! ```text
//! accepted, quorum port         login                      │ Accepted, and bytes, to the owner
//! accepted, election port       handshake, login           │ Accepted, the handshake, and bytes, to the election
//! opened, quorum port           login                      │ Connected, and bytes, to the learner
//! opened, election port         the election's handshake, login │ its votes, or its close; bytes to the election
//! ```
//! The owners see the link as if the login had not been there: the event that begins it comes late, and bytes of the
//! login are in no count of bytes sent. Only the election writes before a login, because the other side must know who
//! logs in; what it says next waits here.
//!
//! The rule that is easy to break: before the login is over, nothing that came over a link may reach an owner, and
//! nothing of an owner but that handshake may leave.

mod accepted;
mod opened;
mod sent;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::id::ServerId;
use crate::limits::{LOGIN_LINES, LOGINS_ACCEPTED_MAX, LOGINS_OPENED_MAX};
use crate::link::{LinkEvent, LinkId, LinkLogin, LinkOp, Port};
use crate::log::Limiter;
use crate::quorum::PeerOptions;
use crate::sasl::between::{Account, PeerLogins, Refusal};
use crate::sasl::kerberos::PrincipalName;
use crate::sasl::{Mechanism, Nonces, Step};
use crate::time::MonoUs;
use crate::zab::LoginCounts;

use accepted::Accepted;
use opened::Opened;
use sent::LoginBytes;

/// What follows from an event at the gate, in order.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::peer) enum Effect {
    /// The network is to do this.
    Op(LinkOp),
    /// The owner of the port gets a link.
    Accepted { link: LinkId, port: Port, remote: SocketAddr, may_be: Option<Vec<ServerId>> },
    /// The link of a learner is connected.
    Connected { link: LinkId, remote: SocketAddr },
    /// The owner gets bytes.
    Received { link: LinkId, bytes: Vec<u8> },
    /// The link is closed.
    Closed { link: LinkId, reason: String },
}

/// The links whose login is not over.
#[derive(Debug)]
pub(in crate::peer) struct Gate {
    how: PeerLogins,
    nonces: Nonces,
    /// How long a login may take on the election port, and on the others, in ms.
    // ZooKeeper: the timeouts of reading from these sockets, which it sets before the login.
    election_ms: u64,
    quorum_ms: u64,
    /// The accepted links, by their age.
    ///
    /// Invariant: no owner knows them.
    accepted: BTreeMap<LinkId, Accepted>,
    /// The links that this server has opened.
    ///
    /// Invariant: their owner has not got a byte of them.
    opened: BTreeMap<LinkId, Opened>,
    /// Bytes of logins that are over, and that the network may not have sent yet.
    sent: BTreeMap<LinkId, LoginBytes>,
    /// What was not taken yet.
    effects: Vec<Effect>,
    /// What the edge is to do for logins, until the replica takes it.
    logins: Vec<LinkLogin>,
    /// The hosts of the links that this server is about to open, by which the other servers have principals.
    targets: BTreeMap<LinkId, String>,
    /// The hosts of the other members.
    hosts: Vec<String>,
    /// Bounds the lines about refusals.
    lines: Limiter,
    /// Logins on accepted links.
    pub(in crate::peer) accepted_counts: LoginCounts,
    /// Logins on links that this server has opened.
    pub(in crate::peer) opened_counts: LoginCounts,
}

impl Gate {
    /// The gate of a member. `None`: servers do not log in.
    pub(in crate::peer) fn new(options: &PeerOptions) -> Option<Gate> {
        let how = options.logins.clone()?;
        Some(Gate {
            nonces: Nonces::new(how.nonce_key.clone()),
            how,
            election_ms: options.election_handshake_ms.max(1),
            quorum_ms: options.tick_ms.saturating_mul(options.init_limit).max(1),
            accepted: BTreeMap::new(),
            opened: BTreeMap::new(),
            sent: BTreeMap::new(),
            effects: Vec::new(),
            logins: Vec::new(),
            targets: BTreeMap::new(),
            hosts: Vec::new(),
            lines: Limiter::burst_then_one_in_seconds(LOGIN_LINES.0, LOGIN_LINES.1),
            accepted_counts: LoginCounts::default(),
            opened_counts: LoginCounts::default(),
        })
    }

    /// Handles an event of a link; `is_election`: of the election port. The result is what the owner of the link gets
    /// of it now. [`Gate::take`] has what else follows.
    pub(in crate::peer) fn handle<'e>(
        &mut self,
        now: MonoUs,
        is_election: bool,
        event: LinkEvent<'e>,
    ) -> Option<LinkEvent<'e>> {
        let link = event.link();
        let event = self.handle_event(now, is_election, event);
        self.check(link);
        event
    }

    fn handle_event<'e>(
        &mut self,
        now: MonoUs,
        is_election: bool,
        event: LinkEvent<'e>,
    ) -> Option<LinkEvent<'e>> {
        let link = event.link();
        match event {
            LinkEvent::Accepted { port, remote, may_be, .. } => {
                self.on_accepted(now, link, port, (remote, may_be));
                return None;
            }
            LinkEvent::Connected { remote, .. } if self.how.own.is_some() => {
                return self.on_connected(now, link, remote, is_election);
            }
            LinkEvent::Sent { bytes, .. } => {
                let own = self.own_of_sent(link, bytes);
                return (own > 0).then_some(LinkEvent::Sent { link, bytes: own });
            }
            LinkEvent::Connected { .. }
            | LinkEvent::Identified { .. }
            | LinkEvent::Received { .. }
            | LinkEvent::Closed { .. } => {}
        }
        if self.accepted.contains_key(&link) {
            self.on_accepted_event(now, link, event);
            return None;
        }
        if self.opened.contains_key(&link) {
            self.on_opened_event(now, link, event);
            return None;
        }
        if let LinkEvent::Closed { .. } = event {
            self.sent.remove(&link);
            self.targets.remove(&link);
        }
        Some(event)
    }

    /// Refuses links whose login is late, and lets those pass that need none and have been silent for long enough.
    pub(in crate::peer) fn handle_timeout(&mut self, now: MonoUs) {
        self.on_accepted_timeout(now);
        self.on_opened_timeout(now);
    }

    /// The next time at which [`Gate::handle_timeout`] has something to do.
    pub(in crate::peer) fn next_timeout(&self) -> Option<MonoUs> {
        let accepted = self.accepted.values().map(|it| it.until);
        accepted.chain(self.opened.values().map(|it| it.until)).min()
    }

    /// The owners of links want this of the network: to close links, to open some, or to know other members.
    pub(in crate::peer) fn note(&mut self, ops: &[LinkOp]) {
        for op in ops {
            match op {
                LinkOp::Close { link } => {
                    self.opened.remove(link);
                    self.sent.remove(link);
                    self.targets.remove(link);
                    self.forget(*link);
                }
                // ZooKeeper: QuorumCnxManager and Learner log in with the host of the server's line.
                LinkOp::Connect { link, to, .. } if self.how.own.is_some() => {
                    let host = to.first().map_or_else(String::new, |to| to.host.clone());
                    self.targets.insert(*link, host);
                }
                LinkOp::Members { hosts } => {
                    self.hosts = hosts.iter().flat_map(|(_, hosts)| hosts.clone()).collect();
                }
                LinkOp::Connect { .. } | LinkOp::Listen { .. } | LinkOp::Send { .. } => {}
            }
        }
    }

    /// Takes what the edge is to do for logins.
    pub(in crate::peer) fn take_logins(&mut self) -> Vec<LinkLogin> {
        std::mem::take(&mut self.logins)
    }

    /// The edge has done what it was to do for the login on a link.
    pub(in crate::peer) fn handle_login(&mut self, now: MonoUs, link: LinkId, step: Step) {
        // The link may be gone meanwhile.
        if self.accepted.contains_key(&link) {
            self.on_accepted_login(now, link, step);
        } else if self.opened.contains_key(&link) {
            self.on_opened_login(now, link, step);
        }
        self.check(link);
    }

    /// Lets the edge forget the login on a link, if it has a part in logins.
    fn forget(&mut self, link: LinkId) {
        let accepts = matches!(self.how.accepted, Mechanism::Gssapi(_)) && link.is_accepted();
        let opens = matches!(self.how.own, Some(Account::Kerberos { .. })) && !link.is_accepted();
        if accepts || opens {
            self.logins.push(LinkLogin::Forget { link });
        }
    }

    /// Whether a server that has logged in under this name may be one of this ensemble.
    // ZooKeeper: SaslQuorumServerCallbackHandler.handleAuthorizeCallback, where the hosts are those of the start.
    fn is_of_ensemble(&self, name: &str) -> bool {
        let host = PrincipalName::parse(name).and_then(|name| name.host());
        matches!(self.how.accepted, Mechanism::DigestMd5(_))
            || host.is_some_and(|host| self.hosts.iter().any(|known| known == host))
    }

    /// Takes what has followed from the last events.
    pub(in crate::peer) fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Checks how a link, and the numbers of links, are related between two events.
    fn check(&self, link: LinkId) {
        assert!(self.accepted.len() <= LOGINS_ACCEPTED_MAX, "accepted links have a bound");
        assert!(self.opened.len() <= LOGINS_OPENED_MAX, "opened links have a bound");
        let (accepted, opened) = (self.accepted.get(&link), self.opened.get(&link));
        assert!(accepted.is_none() || link.is_accepted(), "the other side has opened it");
        assert!(opened.is_none() || !link.is_accepted(), "this server has opened it");
        assert!(opened.is_none() || self.how.own.is_some(), "this server logs in");
        if let Some(sent) = self.sent.get(&link) {
            assert!(accepted.is_none() && opened.is_none(), "its login is over");
            assert!(!sent.is_empty(), "bytes of its login are on their way");
        }
        if let Some(opened) = opened {
            opened.check();
        }
    }

    fn timeout_ms(&self, is_election: bool) -> u64 {
        if is_election { self.election_ms } else { self.quorum_ms }
    }

    /// Of bytes that the network has sent: those that the owner of the link has given it.
    fn own_of_sent(&mut self, link: LinkId, bytes: u64) -> u64 {
        if let Some(accepted) = self.accepted.get_mut(&link) {
            return accepted.sent.own_of(bytes);
        }
        if let Some(opened) = self.opened.get_mut(&link) {
            return opened.sent.own_of(bytes);
        }
        let Some(sent) = self.sent.get_mut(&link) else { return bytes };
        let own = sent.own_of(bytes);
        if sent.is_empty() {
            self.sent.remove(&link);
        }
        own
    }

    /// Sends bytes of a login, unless there are none.
    fn send(effects: &mut Vec<Effect>, link: LinkId, bytes: Vec<u8>, sent: &mut LoginBytes) {
        if !bytes.is_empty() {
            sent.add(bytes.len());
            effects.push(Effect::Op(LinkOp::Send { link, bytes: Bytes::from(bytes) }));
        }
    }

    /// Logs a refusal of a link that another server, or a stranger, has opened.
    fn log_accepted(&mut self, now: MonoUs, remote: SocketAddr, port: Port, refusal: &Refusal) {
        self.accepted_counts.failed += 1;
        if let Some(unsaid) = self.lines.allow(now) {
            tracing::warn!(
                %remote, port = name(port), reason = %refusal, advice = refusal.advice_where_accepted(), unsaid,
                "refusing a server that has connected: SASL"
            );
        }
    }

    /// Logs a refusal of a link that this server has opened, by either side.
    fn log_opened(
        &mut self,
        now: MonoUs,
        remote: SocketAddr,
        is_election: bool,
        refusal: &Refusal,
    ) {
        self.opened_counts.failed += 1;
        if let Some(unsaid) = self.lines.allow(now) {
            let port = if is_election { name(Port::Election) } else { name(Port::Quorum) };
            tracing::warn!(
                %remote, port, reason = %refusal, advice = refusal.advice_where_opened(), unsaid,
                "cannot log in at another server: SASL"
            );
        }
    }
}

/// The port in the log.
fn name(port: Port) -> &'static str {
    match port {
        Port::Quorum => "quorum",
        Port::Election => "election",
        Port::ObserverMaster => "observerMaster",
    }
}

#[cfg(test)]
mod tests;
