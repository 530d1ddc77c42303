//! Connections that other servers, or strangers, open to this server: which of them become links.
//!
//! ```text
//! accept: addresses are not checked ───────────────────────────────────────────────────────▶ admit
//!         from an address of a member ─────────────────────────────────────────────────────▶ admit
//!         from another one: names are asked for again ─▶ unplaced ─▶ place ─▶ admit_unplaced ─▶ admit, or refuse
//! admit:  bounds ─▶ open, with the members that it may be, or refuse
//! ```
//! A link is only told which members it may be. Whether what it then says of itself agrees with that is for its owner
//! to check. ZooKeeper makes no such check.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Instant;

use super::event::Event;
use super::helpers::Job;
use super::{Links, PeerAddressCheck, Slot, Waiting, listen};
use crate::id::ServerId;
use crate::limits;
use crate::link::{LinkId, MemberHosts, Port};
use crate::log::Limiter;

impl Links {
    /// Sets the members: their names are resolved before any connection comes. Links that were accepted before are
    /// then matched to the new members ([`Links::place`]).
    pub(super) fn set_members(&self, hosts: MemberHosts) {
        let mut members = self.shared.members.borrow_mut();
        members.set(hosts);
        let is_off = members.check() == PeerAddressCheck::Off;
        drop(members);
        self.shared.is_identifying.set(true);
        if is_off {
            // Certificates name hosts, whatever their addresses are.
            self.identify();
        } else if !self.ask() {
            self.place();
        }
    }

    /// Starts resolving the members' names, unless that is under way or was done just now. False: there is nothing to
    /// wait for.
    fn ask(&self) -> bool {
        let mut members = self.shared.members.borrow_mut();
        let Some(hosts) = members.begin_asking(Instant::now()) else { return members.is_asking() };
        let job = self.shared.helpers.start(Job::Resolve { hosts });
        match job {
            Some(job) => self.shared.jobs.borrow_mut().insert(job, Waiting::Members),
            None => {
                members.handle_no_answer();
                return false;
            }
        };
        true
    }

    /// Handles a connection that a listener has accepted.
    pub(super) fn accept(&self, stream: TcpStream, port: Port, remote: SocketAddr) {
        // A socket for both families shows IPv4 addresses as ::ffff:a.b.c.d, and the configuration names them as IPv4.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let members = self.shared.members.borrow();
        if members.check() == PeerAddressCheck::Off {
            drop(members);
            return self.admit(stream, port, remote, None);
        }
        // `at` are members whose known addresses include this one; members without a known address come later, in
        // `may_be`.
        let (at, is_stale) = (members.at(remote.ip()), members.is_stale(Instant::now()));
        drop(members);
        if !at.is_empty() {
            // The connection does not wait: whoever was there a minute ago may connect.
            if is_stale {
                self.ask();
            }
            let may_be = self.shared.members.borrow().may_be(remote.ip());
            return self.admit(stream, port, remote, Some(may_be));
        }
        // A member may have moved since the last query.
        if self.ask() {
            let mut unplaced = self.shared.unplaced.borrow_mut();
            // A member that loses its place here will connect again.
            if unplaced.len() >= limits::LINKS_UNPLACED_MAX {
                unplaced.pop_front();
            }
            unplaced.push_back((stream, port, remote));
        } else {
            self.admit_unplaced(stream, port, remote);
        }
    }

    /// The addresses of the members are known, as far as they can be resolved now: admits the connections that waited
    /// for that, and tells the owners of links which members these may be, if the members have changed.
    pub(super) fn place(&self) {
        // Those of strangers too: no later answer is awaited for them.
        let waiting = std::mem::take(&mut *self.shared.unplaced.borrow_mut());
        for (stream, port, remote) in waiting {
            self.admit_unplaced(stream, port, remote);
        }
        let mut members = self.shared.members.borrow_mut();
        if let Some(hosts) = members.begin_asking_if_new(Instant::now()) {
            // New names that arrived during the query.
            match self.shared.helpers.start(Job::Resolve { hosts }) {
                Some(job) => {
                    self.shared.jobs.borrow_mut().insert(job, Waiting::Members);
                    return;
                }
                None => members.handle_no_answer(),
            }
        }
        drop(members);
        self.identify();
    }

    /// Tells the owners of links which members these may be, if the members have changed.
    fn identify(&self) {
        if !self.shared.is_identifying.replace(false) {
            return;
        }
        let members = self.shared.members.borrow();
        let mut told = Vec::new();
        for (id, slot) in &*self.shared.links.borrow() {
            let Slot::Open(link) = slot else { continue };
            // The owner of a link that is not known yet hears of it with these members.
            if let Some(may_be) = link.identify(&members)
                && link.is_known()
            {
                told.push(Event::Identified { link: *id, may_be });
            }
        }
        drop(members);
        told.into_iter().for_each(|event| self.tell(event));
    }

    /// Admits or refuses a connection now, with what is known of the members' addresses.
    fn admit_unplaced(&self, stream: TcpStream, port: Port, remote: SocketAddr) {
        let members = self.shared.members.borrow();
        let (may_be, check) = (members.may_be(remote.ip()), members.check());
        drop(members);
        if may_be.is_empty() && check == PeerAddressCheck::Strict {
            return self.refuse(
                port,
                remote,
                "it is an address of no member, and only members may connect \
                 (ringkeeper.peerAddressCheck=strict)",
            );
        }
        self.admit(stream, port, remote, Some(may_be));
    }

    /// Accepts a connection, if its limits allow it: those of strangers are lower, so that strangers keep no member
    /// out.
    fn admit(
        &self,
        stream: TcpStream,
        port: Port,
        remote: SocketAddr,
        may_be: Option<Vec<ServerId>>,
    ) {
        // `None`, when addresses are not checked, is not a stranger: then nobody is.
        let is_stranger = may_be.as_ref().is_some_and(Vec::is_empty);
        // Links that this server has opened are not counted by their address.
        let from_there = self.shared.remotes.borrow().get(&remote.ip()).copied().unwrap_or(0);
        let from_there_max = match is_stranger {
            true => limits::STRANGER_LINKS_PER_REMOTE_MAX,
            false => limits::LINKS_PER_REMOTE_MAX,
        };
        let strangers = if is_stranger { self.strangers() } else { 0 };
        let refusal = if self.count() >= limits::LINKS_MAX {
            Some(format!("there are {} links already", self.count()))
        } else if from_there >= from_there_max {
            Some(format!("{from_there} links come from there already"))
        } else if strangers >= limits::STRANGER_LINKS_MAX {
            Some(format!("there are {strangers} links of servers that are no members already"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.refuse(port, remote, &refusal);
        }
        // Links that are refused get no number, and their owner never hears of them: the socket is dropped.
        let number = self.shared.accepted.get();
        self.shared.accepted.set(number + 1);
        let link = LinkId::accepted(number);
        let opened = self.open(link, stream, remote, Some((port, may_be.clone())));
        let link = match opened {
            Ok(link) => link,
            Err(error) => {
                return tracing::warn!("connection from {remote} could not be used: {error}");
            }
        };
        match &self.shared.tls {
            None => self.tell(Event::Accepted { link: link.id, port, remote, may_be }),
            Some(tls) => {
                tls.handshakes.enter();
                link.await_first_byte(tls.detection);
                self.make_room_for_handshake();
            }
        }
    }

    /// Links from addresses of no member.
    fn strangers(&self) -> usize {
        let links = self.shared.links.borrow();
        links
            .values()
            .filter(|slot| matches!(slot, Slot::Open(link) if link.is_strangers()))
            .count()
    }

    /// Refuses a connection, which its caller drops, and logs that, at a limited rate.
    pub(super) fn refuse(&self, port: Port, remote: SocketAddr, reason: &str) {
        let name = listen::name(port);
        let line = format_args!("connection from {remote} to the {name} refused: {reason}");
        self.warn(&self.shared.refusals, line);
    }

    /// Logs a warning, if the limiter allows it.
    pub(super) fn warn(&self, limiter: &RefCell<Limiter>, what: fmt::Arguments<'_>) {
        let now = self.shared.clock.mono();
        let Some(more) = limiter.borrow_mut().allow(now) else { return };
        let others = if more > 0 {
            format!(" ({more} more since the last such line)")
        } else {
            String::new()
        };
        tracing::warn!("{what}{others}");
    }

    /// A link from there has ended.
    pub(super) fn forget_remote(&self, remote: IpAddr) {
        let mut remotes = self.shared.remotes.borrow_mut();
        if let Some(count) = remotes.get_mut(&remote) {
            *count -= 1;
            if *count == 0 {
                remotes.remove(&remote);
            }
        }
    }
}
