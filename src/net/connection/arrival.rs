//! The beginning of a connection on a port with TLS: what its client speaks, the handshake, and who the client is.
//!
//! ```text
//! Silent ─ first byte ─┬─ plain, where that is allowed ──────────────────────→ Known
//!                      └─ TLS ─→ InLine ─ its turn ─→ Shaking ─ handshake ───→ Known
//! ```
//! The core hears of a connection when its client is known, so half a handshake costs the core nothing. A connection on
//! a port without TLS is known from the start.
//!
//! Handshakes are begun a few in each round of the executor, because each takes as long as thousands of reads: until its
//! turn comes, a client's first bytes stay in its socket, and it holds no memory here. For the same reason a round reads
//! the further messages of only some of the handshakes under way.

use std::time::{Duration, Instant};

use rustls::server::UnbufferedServerConnection;

use super::{Connection, End};
use crate::limits;
use crate::net::socket::{Output, Session};
use crate::net::stranger::{Stranger, TELLING_BYTES, TLS_HANDSHAKE};
use crate::net::{Connections, Door};

/// How far the client of a connection is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// It has said nothing.
    Silent,
    /// It has begun a handshake, which waits for its turn. It stands in the line of the executor.
    InLine,
    /// The handshake is under way.
    Shaking,
    /// It is known: the core knows of the connection.
    Known,
}

/// The result of greeting a client.
pub(super) enum Greeting {
    /// What arrives is for the socket to read.
    Over,
    /// More has to arrive, or the client waits for its turn.
    Waits,
    /// The connection ends.
    Ends(End),
}

impl Arrival {
    /// Of a new connection.
    pub fn at(door: &Door) -> Arrival {
        match door {
            Door::Plain => Arrival::Known,
            Door::Secure(_) | Door::Either(_) => Arrival::Silent,
        }
    }
}

impl Connection {
    /// Whether the core knows of it.
    pub(in crate::net) fn is_known(&self) -> bool {
        self.arrival.get() == Arrival::Known
    }

    /// Finds out what the client speaks.
    #[inline]
    pub(super) fn greet(&self) -> Greeting {
        match self.arrival.get() {
            Arrival::Known | Arrival::Shaking => Greeting::Over,
            Arrival::InLine => Greeting::Waits,
            Arrival::Silent => self.look_at_first_bytes(),
        }
    }

    fn look_at_first_bytes(&self) -> Greeting {
        let mut first = [0; TELLING_BYTES];
        let first = match self.socket.peek(&mut first) {
            Ok(Some(first)) => first,
            Ok(None) => return Greeting::Waits,
            Err(error) => return Greeting::Ends(self.broken(&error)),
        };
        match (first.first(), &self.door) {
            (None, _) => Greeting::Ends(End::ByClient),
            (Some(&TLS_HANDSHAKE), Door::Secure(_) | Door::Either(_)) => {
                self.arrival.set(Arrival::InLine);
                let patience = Duration::from_millis(limits::HANDSHAKE_LINE_MS_MAX);
                self.known_by.set(Some(Instant::now() + patience));
                self.table.stand_for_handshake(self);
                Greeting::Waits
            }
            (Some(_), Door::Plain | Door::Either(_)) => {
                self.become_known(None);
                Greeting::Over
            }
            (Some(_), Door::Secure(_)) => {
                Greeting::Ends(End::Failed(self.send_away(Stranger::on_tls_port(first))))
            }
        }
    }

    /// Begins the handshake, unless the client has left: it is its turn. False: too many are under way.
    pub(in crate::net) fn maybe_begin_handshake(&self) -> bool {
        assert_eq!(self.arrival.get(), Arrival::InLine, "who stands in line begins");
        if self.socket.is_left() {
            // Its first bytes are unread, so no read has shown it. Without more of its bytes no handshake ends.
            self.end.borrow_mut().get_or_insert(End::ByClient);
            self.wake();
            return true;
        }
        let port = self.door.tls().expect("a client stands in line only at a port with TLS");
        if !port.handshakes.try_begin() {
            return false;
        }
        self.arrival.set(Arrival::Shaking);
        let now = Instant::now();
        self.known_by.set(Some(now + Duration::from_millis(limits::HANDSHAKE_MS_MAX)));
        self.stuck_since.set(now);
        match UnbufferedServerConnection::new((port.settings)()) {
            Ok(side) => {
                self.socket.begin_tls(Session::new(side));
                self.recount();
                self.wake();
            }
            Err(error) => self.fail(format!("TLS cannot be offered: {error}")),
        }
        true
    }

    /// The handshake is over: the core hears of the connection, and of the certificate of its client.
    ///
    /// # Errors
    /// The certificate names nobody, or somebody who may not connect from here, or was shown in an earlier session and is
    /// not accepted any more.
    pub(super) fn introduce(&self) -> Result<(), String> {
        let port = self.door.tls().expect("a handshake needs a port with TLS");
        let checked = self.socket.with_shown_earlier(|shown| (port.check_again)(shown));
        checked.unwrap_or(Ok(())).map_err(|reason| {
            format!(
                "it resumes an earlier session, and the certificate that it showed then is not accepted any more: {reason}"
            )
        })?;
        let address = self.remote.ip();
        let owner = self.socket.with_certificate(|certificate| (port.owner)(certificate, address));
        self.become_known(owner.transpose()?.as_deref());
        Ok(())
    }

    fn become_known(&self, subject: Option<&str>) {
        let before = self.arrival.replace(Arrival::Known);
        assert!(before != Arrival::Known, "a client becomes known once");
        self.known_by.set(None);
        self.uncount(before, false);
        self.core.open(self.id, self.remote);
        if let Some(subject) = subject {
            self.core.certified(self.id, subject);
        }
        self.table.note_newcomer(self.id);
    }

    /// Uncounts the handshake of a connection that ends before its client is known.
    pub(super) fn leave_door(&self, end: &End) {
        let arrival = self.arrival.get();
        if arrival == Arrival::Known {
            return;
        }
        let is_shaking = arrival == Arrival::Shaking;
        if is_shaking && *end == End::ByClient {
            self.table.warn(format_args!(
                "connection from {} closed: its client broke off the TLS handshake",
                self.remote
            ));
        }
        // What the other side did wrong in a handshake, an alert has told it.
        self.has_told_why.set(self.has_told_why.get() || is_shaking);
        self.uncount(arrival, is_shaking);
    }

    fn uncount(&self, arrival: Arrival, has_failed: bool) {
        if let Some(port) = self.door.tls() {
            port.handshakes.end(arrival == Arrival::Shaking, has_failed);
        }
    }

    /// Tells a client that this is the wrong port for what it speaks; returns the reason for the end.
    pub(super) fn send_away(&self, stranger: Stranger) -> String {
        let sent = self.socket.write(stranger.answer(), &self.table.shared.records);
        self.has_told_why.set(matches!(sent, Output::Took(bytes) if bytes > 0));
        stranger.reason().to_owned()
    }

    /// Whether its handshake is under way, and its client has not sent a whole message for too long. Single bytes of one
    /// do not count: whoever means no handshake could send them for ever.
    fn holds_up_others(&self, now: Instant) -> bool {
        // What has arrived and was not read yet is no fault of the client: few handshakes are read in a round.
        self.arrival.get() == Arrival::Shaking
            && now.saturating_duration_since(self.stuck_since.get()).as_millis()
                >= u128::from(limits::HANDSHAKE_CROWDED_MS_MAX)
            && matches!(self.socket.peek(&mut [0]), Ok(None))
    }

    /// Why a client that is not known by now is not waited for; `None`: it has more time.
    fn overdue(&self, now: Instant) -> Option<String> {
        let by = self.known_by.get()?;
        let port = self.door.tls()?;
        if port.handshakes.are_crowded() && self.holds_up_others(now) {
            return Some(format!(
                "{} TLS handshakes are under way, others wait, and this client has not gone on with its own for {} ms",
                limits::HANDSHAKES_UNDER_WAY_MAX,
                limits::HANDSHAKE_CROWDED_MS_MAX
            ));
        }
        if by > now {
            return None;
        }
        Some(match self.arrival.get() {
            Arrival::Silent => format!(
                "it said nothing in {} ms after connecting (ssl.handshakeDetectionTimeoutMillis)",
                port.detection.as_millis()
            ),
            Arrival::InLine => format!(
                "so many clients begin TLS handshakes that its turn did not come in {} ms",
                limits::HANDSHAKE_LINE_MS_MAX
            ),
            Arrival::Shaking | Arrival::Known => {
                format!("its TLS handshake is not over after {} ms", limits::HANDSHAKE_MS_MAX)
            }
        })
    }
}

impl Connections {
    /// Lets a client wait for its turn to begin a handshake.
    fn stand_for_handshake(&self, connection: &Connection) {
        self.shared.hellos.borrow_mut().push_back(connection.id);
        self.set_hello_timer(Duration::ZERO);
    }

    /// Whether a further message of a handshake may be read in this round; counts it.
    pub(super) fn may_read_handshake(&self) -> bool {
        let left = self.shared.handshake_reads_left.get();
        self.shared.handshake_reads_left.set(left.saturating_sub(1));
        left > 0
    }

    fn set_hello_timer(&self, delay: Duration) {
        let mut timer = self.shared.hello_timer.borrow_mut();
        if timer.is_none() {
            let this = self.clone();
            *timer = Some(self.shared.reactor.after(delay, move || this.begin_some_handshakes()));
        }
    }

    /// Begins the handshakes of those in front of the line.
    fn begin_some_handshakes(&self) {
        drop(self.shared.hello_timer.take());
        for _ in 0..limits::HANDSHAKES_BEGUN_PER_ROUND {
            let next = self.shared.hellos.borrow().front().copied();
            let Some(next) = next else { return };
            if self.find(next).is_some_and(|client| !client.maybe_begin_handshake()) {
                return self.set_hello_timer(Duration::from_millis(limits::HANDSHAKE_LOOK_MS));
            }
            self.shared.hellos.borrow_mut().pop_front();
        }
        if !self.shared.hellos.borrow().is_empty() {
            self.set_hello_timer(Duration::ZERO);
        }
    }

    /// Closes connections whose clients do not say who they are. Call about once a second.
    pub(in crate::net) fn close_unknown(&self, now: Instant) {
        let mut unknown = std::mem::take(&mut *self.shared.unknown.borrow_mut());
        unknown.retain(|conn| {
            let Some(connection) = self.find(*conn).filter(|it| !it.is_known()) else {
                return false;
            };
            let overdue = connection.overdue(now);
            let has_time = overdue.is_none();
            if let Some(reason) = overdue {
                connection.fail(reason);
            }
            has_time
        });
        self.shared.unknown.borrow_mut().append(&mut unknown);
    }
}
