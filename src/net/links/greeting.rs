//! The beginning of a link with TLS, before its owner hears of it: the first byte, and the handshake.
//!
//! ```text
//! accepted, no TLS here ────────────────────────────────▶ Fresh ─▶ Known
//! accepted ─▶ Silent ─▶ first byte: no TLS, and that is allowed ─▶ Known
//!                       first byte: TLS ─▶ Shaking ─▶ certificate: whose host does it name? ─▶ Known
//! opened with TLS ────────────────────────▶ Shaking ─────────────────────────────────────────▶ Known
//! ```
//! The owner hears of an accepted link when the handshake is over, so half a handshake costs it nothing. An accepted
//! link is read like a stranger's until then, a few reads in a turn for all of them together: each read can cause the
//! work of one handshake, which takes as long as thousands of reads.
//!
//! ZooKeeper: `UnifiedServerSocket` looks at five bytes, of which the first one decides here: without TLS none of the
//! protocols between servers begins with it.

use std::rc::Rc;
use std::time::Duration;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

use super::event::Event;
use super::link::{CLOSED, End, Link};
use super::members::Members;
use super::{Links, Slot};
use crate::id::ServerId;
use crate::limits;
use crate::net::socket::Session;
use crate::net::stranger::{Stranger, TELLING_BYTES, TLS_HANDSHAKE};
use crate::tls::hostname::Names;

/// What is known if a server to which this one connects ends the handshake without a word.
const BROKEN_OFF: &str = "the other side broke off the TLS handshake. Its log may say why; it may also speak no TLS with \
    other servers (sslQuorum, portUnification)";

/// How far a link is known to its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The owner knows of it, and gets its bytes.
    Known,
    /// The same, and nothing has arrived yet: the other side may begin with TLS, which nobody speaks here.
    Fresh,
    /// It was accepted, and the other side has said nothing.
    Silent,
    /// The handshake is under way.
    Shaking,
}

/// The result of greeting the other side.
pub(super) enum Greeting {
    /// What arrives is for the socket to read.
    Over,
    /// More has to arrive, or the link has ended.
    Waits,
    /// The link ends, with this reason.
    Ends(String),
}

impl Link {
    /// Whether its owner knows of it.
    pub fn is_known(&self) -> bool {
        matches!(self.stage.get(), Stage::Known | Stage::Fresh)
    }

    /// Whether it is read like a stranger's: it is one, or it is not known yet.
    pub(super) fn is_bounded(&self) -> bool {
        self.is_strangers() || (self.accepted_from.is_some() && !self.is_known())
    }

    /// Whether its owner does not know of it yet, and it comes from an address that is not known as a member's.
    fn is_anybodys(&self) -> bool {
        let is_member = self.may_be.borrow().as_ref().is_some_and(|ids| !ids.is_empty());
        self.accepted_from.is_some()
            && !self.is_known()
            && !is_member
            && self.end.borrow().is_none()
    }

    /// Lets the other side show whether it speaks TLS.
    pub(super) fn await_first_byte(self: &Rc<Self>, detection: Duration) {
        self.stage.set(Stage::Silent);
        self.give_time(detection);
    }

    /// Begins TLS on a link that this server has opened to this host.
    ///
    /// # Errors
    /// In words for an operator.
    pub(super) fn call_with_tls(self: &Rc<Self>, host: &str) -> Result<(), String> {
        let shared = &self.links.shared;
        let tls = shared.tls.as_ref().expect("only with TLS a link begins with it");
        self.stage.set(Stage::Shaking);
        let name = tls.name_of(host, self.remote)?;
        let rules = (tls.sides)().client.ok_or("ssl.quorum.trustStore.location is not set")?;
        let side = UnbufferedClientConnection::new(rules, name)
            .map_err(|error| format!("TLS cannot begin: {error}"))?;
        self.give_time(Duration::from_millis(limits::LINK_HANDSHAKE_MS_MAX));
        self.socket
            .call_with_tls(Session::made(side), &shared.records)
            .map_err(|error| format!("TLS cannot begin: {error}"))
    }

    /// Looks at what the other side speaks, if that is not known yet.
    pub(super) fn greet(self: &Rc<Self>) -> Greeting {
        match self.stage.get() {
            Stage::Known | Stage::Shaking => return Greeting::Over,
            Stage::Fresh | Stage::Silent => {}
        }
        let mut first = [0; TELLING_BYTES];
        let first = match self.socket.peek(&mut first) {
            Ok(Some(first)) => first,
            Ok(None) => return Greeting::Waits,
            Err(error) => return Greeting::Ends(error.to_string()),
        };
        let is_fresh = self.stage.get() == Stage::Fresh;
        match (first.first(), &self.links.shared.tls) {
            (Some(&TLS_HANDSHAKE), Some(_)) if !is_fresh => self.answer_with_tls(),
            (Some(&TLS_HANDSHAKE), _) => {
                const REASON: &str = "it began a TLS handshake, and this server speaks no TLS with other servers: set \
                    portUnification=true here (with ssl.quorum.keyStore.location and ssl.quorum.trustStore.location) \
                    before sslQuorum=true there";
                if let Some(port) = self.port {
                    self.links.refuse(port, self.remote, REASON);
                }
                Greeting::Ends(REASON.to_owned())
            }
            (None, _) if !is_fresh => {
                tracing::debug!(remote = %self.remote, "connection closed before it said anything");
                self.vanish();
                Greeting::Waits
            }
            (Some(_), Some(tls)) if !is_fresh && !tls.accepts_plain => {
                Greeting::Ends(match Stranger::on_tls_port(first) {
                    Stranger::Http => "it sent an HTTP request to a port for servers with TLS".to_owned(),
                    _ => "it speaks without TLS, and sslQuorum=true allows only TLS here: set sslQuorum=true there, or \
                          portUnification=true here while the servers are switched one by one"
                        .to_owned(),
                })
            }
            (Some(_) | None, _) => {
                self.become_known();
                Greeting::Over
            }
        }
    }

    fn answer_with_tls(self: &Rc<Self>) -> Greeting {
        let tls = self.links.shared.tls.as_ref().expect("the port speaks TLS");
        match UnbufferedServerConnection::new((tls.sides)().server) {
            Ok(side) => {
                self.stage.set(Stage::Shaking);
                self.give_time(Duration::from_millis(limits::LINK_HANDSHAKE_MS_MAX));
                self.socket.begin_tls(Session::accepted(side));
                Greeting::Over
            }
            Err(error) => Greeting::Ends(format!("TLS cannot be offered: {error}")),
        }
    }

    /// Something has arrived for the handshake: tells the owner of the link, if that ends it.
    ///
    /// # Errors
    /// The certificate is none of a member; in words for an operator.
    pub(super) fn maybe_introduce(&self) -> Result<(), String> {
        if self.is_known() || !self.socket.is_established() {
            return Ok(());
        }
        self.check_caller()?;
        self.become_known();
        Ok(())
    }

    fn become_known(&self) {
        let (link, remote) = (self.id, self.remote);
        self.greets_by.take();
        let was_told = self.is_known();
        self.stage.set(Stage::Known);
        if was_told {
            return;
        }
        self.uncount(false);
        self.links.tell(match self.port {
            Some(port) => {
                let may_be = self.may_be.borrow().clone();
                Event::Accepted { link, port, remote, may_be }
            }
            None => Event::Connected { link, remote },
        });
    }

    /// Compares the certificate of whoever has connected with the hosts of the members. The members that it names are
    /// those that the link may be of; one that only names its own address is of no member that has another.
    // ZooKeeper: ZKTrustManager.checkClientTrusted compares it with the address, and up to 3.9.4 with what the reverse
    // zone of DNS says about that.
    fn check_caller(&self) -> Result<(), String> {
        let Some(names) = self.checked_names() else { return Ok(()) };
        let names = names.map_err(|error| format!("its certificate cannot be read: {error}"))?;
        let members = self.links.shared.members.borrow();
        let named = members.named(&names);
        let mut may_be = self.may_be.borrow_mut();
        if named.is_empty() {
            let address = self.remote.ip().to_string();
            if !names.include(&address) {
                return Err(unnamed(&names, &address));
            }
            // Where addresses are not checked, it could say otherwise that it is any member.
            may_be.get_or_insert_with(|| members.at(self.remote.ip()));
            return Ok(());
        }
        let is_one = |id: &ServerId| may_be.as_ref().is_none_or(|ids| ids.contains(id));
        let both: Vec<ServerId> = named.iter().copied().filter(is_one).collect();
        // A member whose address has changed has its certificate still.
        *may_be = Some(if both.is_empty() { named } else { both });
        Ok(())
    }

    /// The names in the certificate of whoever has connected, if they count.
    fn checked_names(&self) -> Option<Result<Names, crate::tls::der::Malformed>> {
        let checks = self.links.shared.tls.as_ref().is_some_and(|tls| tls.checks_callers);
        if !checks || self.accepted_from.is_none() {
            return None;
        }
        self.socket.with_certificate(Names::of)
    }

    /// The members that the certificate of whoever has connected names.
    pub(super) fn named(&self, members: &Members) -> Vec<ServerId> {
        self.checked_names()
            .and_then(Result::ok)
            .map(|names| members.named(&names))
            .unwrap_or_default()
    }

    fn give_time(self: &Rc<Self>, time: Duration) {
        let this = self.clone();
        let timer = self.links.shared.reactor.after(time, move || this.time_is_over(time));
        *self.greets_by.borrow_mut() = Some(timer);
    }

    fn time_is_over(&self, time: Duration) {
        let ms = time.as_millis();
        let accepts_plain = self.links.shared.tls.as_ref().is_some_and(|tls| tls.accepts_plain);
        match self.stage.get() {
            Stage::Known | Stage::Fresh => {}
            // ZooKeeper: UnifiedSocket.detectMode takes it for one without TLS.
            Stage::Silent if accepts_plain => {
                self.become_known();
                self.wake();
            }
            Stage::Silent => self.fail(format!(
                "it said nothing in {ms} ms after connecting (ssl.quorum.handshakeDetectionTimeoutMillis)"
            )),
            Stage::Shaking => self.fail(format!("the TLS handshake is not over after {ms} ms")),
        }
    }

    /// Ends a link of which its owner has not heard: the log says why, and the other side has time to read an alert.
    pub(super) fn turn_away(self: &Rc<Self>, reason: &str) {
        let shared = &self.links.shared;
        shared.links.borrow_mut().remove(&self.id);
        let is_shaking = self.stage.replace(Stage::Known) == Stage::Shaking;
        let is_broken_off = is_shaking && reason == CLOSED;
        match self.port {
            // Elections do it where two servers connect to each other at the same time.
            Some(_) if is_broken_off => {
                tracing::debug!(remote = %self.remote, "the other side broke off the TLS handshake");
            }
            Some(port) => self.links.refuse(port, self.remote, reason),
            None => {
                let reason = if is_broken_off { BROKEN_OFF } else { reason };
                let line =
                    format_args!("connection to the server at {} failed: {reason}", self.remote);
                self.links.warn(&shared.failed_calls, line);
                self.links.tell(Event::Closed { link: self.id, reason: reason.to_owned() });
            }
        }
        self.uncount(is_shaking && !(is_broken_off && self.port.is_some()));
        *self.end.borrow_mut() = Some(End::ByCore);
        shared.ending.set(shared.ending.get() + 1);
        self.depart();
    }

    /// Ends a link of which nobody has heard, without a word.
    fn vanish(&self) {
        self.links.shared.links.borrow_mut().remove(&self.id);
        self.forget();
    }

    /// Uncounts the handshake of a link that its owner, or the other side, ends before it is known.
    pub(super) fn leave_door(&self) {
        self.greets_by.take();
        if !self.is_known() {
            self.uncount(false);
        }
    }

    fn uncount(&self, has_failed: bool) {
        if let Some(tls) = &self.links.shared.tls {
            tls.handshakes.end(false, has_failed);
        }
    }
}

impl Links {
    /// Makes room for the handshake of another link from an address that is not known as a member's.
    pub(super) fn make_room_for_handshake(&self) {
        let links = self.shared.links.borrow();
        let unknown = links.values().filter_map(Slot::open).filter(|link| link.is_anybodys());
        // In the order in which they were accepted.
        let unknown: Vec<Rc<Link>> = unknown.cloned().collect();
        drop(links);
        if unknown.len() < limits::LINK_HANDSHAKES_MAX {
            return;
        }
        let oldest = &unknown[0];
        oldest.fail(format!(
            "there are {} connections whose TLS handshake is not over, and the oldest one makes room",
            limits::LINK_HANDSHAKES_MAX
        ));
    }
}

fn unnamed(names: &Names, address: &str) -> String {
    let shown = match names.shown() {
        shown if shown.is_empty() => "nothing".to_owned(),
        shown => shown.join(", "),
    };
    format!(
        "its certificate names {shown}, which is no host of a server.N line, and not {address}, from where it connects. \
         Issue it anew with the host of its server.N line; a server without a line needs its address in it. \
         ssl.quorum.clientHostnameVerification=false accepts any name"
    )
}
