//! Connects to the first of several addresses that answers.
//!
//! A dead address does not answer at all, and the kernel tries it for minutes. So the addresses are
//! not tried strictly one after the other: if one has not answered within a moment, the next one is
//! tried as well, and the first answer wins (RFC 8305, "happy eyeballs").

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

use super::names::{Lookup, Names};
use crate::link::Endpoint;

/// The delay before the next address is tried as well: longer than a round trip within a region, so
/// that a second connection is the exception. RFC 8305 recommends this value.
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// How often the answers of resolvers are checked during the wait for connections.
const NAMES_EVERY: Duration = Duration::from_millis(10);

/// A connection that was made.
pub(super) struct Reached {
    /// The connected socket.
    pub socket: TcpStream,
    /// The address that answered.
    pub remote: SocketAddr,
    /// The host whose address it is, as the endpoint has it.
    pub host: String,
}

/// An address to try.
struct Place {
    address: SocketAddr,
    /// The host whose address it is.
    host: String,
}

/// Attempts in progress, and further addresses.
#[derive(Default)]
struct Race {
    /// Names without an answer.
    lookups: Vec<Lookup>,
    /// Addresses that were not tried yet.
    waiting: VecDeque<Place>,
    /// Attempts in progress, oldest first.
    asked: Vec<(Socket, Place)>,
    /// The time of the newest attempt.
    last_asked: Option<Instant>,
    /// Why addresses and names have failed, in words for an operator.
    reasons: Vec<String>,
}

/// Connects to whichever address of these endpoints answers first.
///
/// # Errors
/// None answered within the time; in words for an operator.
pub(super) fn connect(
    to: &[Endpoint],
    timeout: Duration,
    names: &Names,
) -> Result<Reached, String> {
    let until = Instant::now() + timeout;
    let mut race = Race { lookups: to.iter().map(|at| names.ask(at)).collect(), ..Race::default() };
    loop {
        race.take_names();
        race.ask_next();
        if race.is_lost() {
            return Err(race.reason());
        }
        let now = Instant::now();
        if now >= until {
            return Err(race.unanswered(timeout));
        }
        if let Some(winner) = race.wait(until - now) {
            return Ok(winner);
        }
    }
}

impl Race {
    /// Takes the answers that have arrived: addresses to try, or reasons.
    fn take_names(&mut self) {
        let Race { lookups, waiting, reasons, .. } = self;
        lookups.retain(|lookup| match lookup.answer() {
            None => true,
            Some(Ok(addresses)) => {
                let host = lookup.host();
                waiting.extend(
                    addresses.into_iter().map(|address| Place { address, host: host.to_owned() }),
                );
                false
            }
            Some(Err(reason)) => {
                reasons.push(reason);
                false
            }
        });
    }

    /// Tries the next address if it is due.
    fn ask_next(&mut self) {
        while self.asked.is_empty() || self.next_in().is_zero() {
            let Some(place) = self.waiting.pop_front() else { return };
            match ask(place.address) {
                Ok(socket) => {
                    self.asked.push((socket, place));
                    self.last_asked = Some(Instant::now());
                }
                Err(error) => self.reasons.push(format!("{}: {error}", place.address)),
            }
        }
    }

    /// How long until the next address is tried, if there is one.
    fn next_in(&self) -> Duration {
        let due = self.last_asked.map(|at| at + NEXT_AFTER);
        due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()))
    }

    /// Whether there is nothing left that could answer.
    fn is_lost(&self) -> bool {
        self.asked.is_empty() && self.waiting.is_empty() && self.lookups.is_empty()
    }

    /// Waits for an event, at most for `patience`. Returns the connection that has answered, if one has.
    fn wait(&mut self, mut patience: Duration) -> Option<Reached> {
        if !self.lookups.is_empty() {
            patience = patience.min(NAMES_EVERY);
        }
        if !self.waiting.is_empty() {
            patience = patience.min(self.next_in());
        }
        if self.asked.is_empty() {
            if let Some(lookup) = self.lookups.first() {
                lookup.wait(patience);
            }
            return None;
        }
        let mut polled: Vec<PollFd<'_>> =
            self.asked.iter().map(|(socket, _)| PollFd::new(socket, PollFlags::OUT)).collect();
        let patience = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        if poll(&mut polled, Some(&patience)).is_err() {
            // Interrupted: the caller calls again.
            return None;
        }
        // From the back, so that removing one leaves the places of those before it.
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        for at in (0..ready.len()).rev().filter(|at| ready[*at]) {
            let (socket, Place { address, host }) = self.asked.remove(at);
            match socket.take_error().and_then(|error| error.map_or(Ok(()), Err)) {
                Ok(()) => return Some(Reached { socket: socket.into(), remote: address, host }),
                Err(error) => self.reasons.push(format!("{address}: {error}")),
            }
        }
        None
    }

    /// Why all of it failed.
    fn reason(&self) -> String {
        if self.reasons.is_empty() {
            return "there is no address to connect to".to_owned();
        }
        self.reasons.join("; ")
    }

    /// Why it failed when the time is over: what has not answered, and what was not even tried.
    fn unanswered(mut self, timeout: Duration) -> String {
        let ms = timeout.as_millis();
        let silent = self.asked.iter();
        let silent = silent.map(|(_, at)| format!("{}: no answer within {ms} ms", at.address));
        self.reasons.extend(silent);
        let untried = self.waiting.iter();
        self.reasons.extend(untried.map(|at| format!("{}: no time was left", at.address)));
        self.reasons.extend(self.lookups.iter().map(Lookup::unanswered));
        self.reason()
    }
}

/// Begins a connection, without waiting for it.
///
/// # Errors
/// The system's, such as that there is no route.
fn ask(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(socket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A socket that accepts no more connections: an attempt gets no answer, as from a dead address.
    struct Silent {
        at: Endpoint,
        _socket: Socket,
        _full: Vec<Socket>,
    }

    fn endpoint(address: SocketAddr) -> Endpoint {
        Endpoint { host: address.ip().to_string(), port: address.port() }
    }

    impl Silent {
        fn new() -> Silent {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            socket.bind(&any.into()).unwrap();
            socket.listen(0).unwrap();
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            let full = (0..8).map(|_| ask(address).unwrap()).collect();
            Silent { at: endpoint(address), _socket: socket, _full: full }
        }
    }

    fn named(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 9 }
    }

    #[test]
    fn a_silent_address_holds_nobody_up() {
        let silent = Silent::new();
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let good = endpoint(listener.local_addr().unwrap());
            let names = Names::default();
            let orders = [
                vec![silent.at.clone(), silent.at.clone(), good.clone()],
                vec![
                    named("invalid.hostname.unreachable.invalid"),
                    silent.at.clone(),
                    good.clone(),
                ],
                vec![good.clone(), silent.at.clone()],
            ];
            for to in orders {
                let began = Instant::now();
                let timeout = Duration::from_secs(60);
                let reached = connect(&to, timeout, &names).ok().unwrap();
                assert_eq!((endpoint(reached.remote), &reached.host), (good.clone(), &good.host));
                assert_eq!(reached.socket.peer_addr().unwrap(), reached.remote);
                assert!(began.elapsed() < timeout / 4, "{to:?}: {:?}", began.elapsed());
            }
        }
    }

    #[test]
    fn where_nobody_answers_the_time_is_kept_and_each_address_named() {
        let silent = Silent::new();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let to = [endpoint(closed), silent.at.clone()];
        let began = Instant::now();
        let timeout = Duration::from_millis(400);
        let reason = connect(&to, timeout, &Names::default()).err().unwrap();
        assert!(began.elapsed() >= timeout, "{:?}", began.elapsed());
        assert!(reason.contains(&format!("{closed}: ")) && reason.contains("refused"), "{reason}");
        let silence = format!("127.0.0.1:{}: no answer within 400 ms", silent.at.port);
        assert!(reason.contains(&silence), "{reason}");
        let reason = connect(&[], timeout, &Names::default()).err().unwrap();
        assert_eq!(reason, "there is no address to connect to");
    }
}
