//! Resolves names of hosts on separate threads.
//!
//! A resolver may hang for half a minute, so every wait has a limit, and a name that is being
//! resolved is not queried a second time: there is at most one thread per name, however often a
//! connection is tried.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::link::Endpoint;

/// The names that are being resolved. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Names {
    /// By name. Invariant: a thread works for each of them.
    asked: Arc<Mutex<BTreeMap<String, Arc<Answer>>>>,
}

/// The answer of a resolver, when it arrives.
#[derive(Default)]
struct Answer {
    /// Without a port.
    found: Mutex<Option<Result<Vec<SocketAddr>, String>>>,
    /// Wakes those who wait for it.
    told: Condvar,
}

/// A query, with access to its answer.
pub(super) struct Lookup {
    /// The name, for messages.
    host: String,
    /// Put into each address of the answer.
    port: u16,
    /// Shared with all who ask for the same name meanwhile.
    answer: Arc<Answer>,
}

/// The value behind a mutex.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that panicked while it held the lock left a complete value: each change is one
    // assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Names {
    /// Queries the addresses of a host. An address needs no resolver.
    pub fn ask(&self, at: &Endpoint) -> Lookup {
        let (host, port) = (at.host.clone(), at.port);
        if let Ok(address) = host.parse::<IpAddr>() {
            let answer = Arc::new(Answer::default());
            *lock(&answer.found) = Some(Ok(vec![SocketAddr::new(address, 0)]));
            return Lookup { host, port, answer };
        }
        let mut asked = lock(&self.asked);
        if let Some(answer) = asked.get(&host) {
            return Lookup { answer: answer.clone(), host, port };
        }
        let answer = Arc::new(Answer::default());
        asked.insert(host.clone(), answer.clone());
        drop(asked);
        let (names, name, its) = (self.clone(), host.clone(), answer.clone());
        let resolve = move || names.answer(&name, &its, resolve(&name));
        if let Err(error) = std::thread::Builder::new().name("rk-resolve".into()).spawn(resolve) {
            self.answer(&host, &answer, Err(format!("there is no thread for it: {error}")));
        }
        Lookup { host, port, answer }
    }

    /// Gives the answer to all who wait for it. The next query gets a fresh one, because addresses change.
    fn answer(&self, host: &str, answer: &Answer, found: Result<Vec<SocketAddr>, String>) {
        lock(&self.asked).remove(host);
        *lock(&answer.found) = Some(found);
        answer.told.notify_all();
    }
}

impl Lookup {
    /// The name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The answer, if it has arrived: at least one address, with the port.
    ///
    /// # Errors
    /// Within the option: the name has no address, or the resolver failed; a text for an operator.
    pub fn answer(&self) -> Option<Result<Vec<SocketAddr>, String>> {
        let found = lock(&self.answer.found);
        let found = found.as_ref()?;
        Some(match found {
            Ok(addresses) if addresses.is_empty() => Err(format!("{} has no address", self.host)),
            Ok(addresses) => {
                let mut addresses = addresses.clone();
                addresses.iter_mut().for_each(|address| address.set_port(self.port));
                Ok(addresses)
            }
            Err(reason) => Err(format!("{} cannot be resolved: {reason}", self.host)),
        })
    }

    /// Waits for the answer, but no longer than this.
    pub fn wait(&self, patience: Duration) {
        let found = lock(&self.answer.found);
        if found.is_none() {
            // The caller checks for an answer, and waits again if there is none.
            drop(self.answer.told.wait_timeout(found, patience));
        }
    }

    /// Waits for the answer until `until`.
    ///
    /// # Errors
    /// As of [`Lookup::answer`], or there is no answer yet.
    pub fn answer_until(&self, until: Instant) -> Result<Vec<SocketAddr>, String> {
        loop {
            if let Some(answer) = self.answer() {
                return answer;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.unanswered());
            }
            self.wait(left);
        }
    }

    /// The message if there was no answer.
    pub fn unanswered(&self) -> String {
        format!("the resolver has not answered yet for {}", self.host)
    }
}

/// Asks the system (`getaddrinfo`), which may block for half a minute.
///
/// # Errors
/// The resolver's, as a text.
fn resolve(host: &str) -> Result<Vec<SocketAddr>, String> {
    // Whole addresses are kept: one such as fe80::1%eth0 has a scope.
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str) -> Endpoint {
        Endpoint { host: host.to_owned(), port: 7 }
    }

    #[test]
    fn addresses_are_their_own_answer_and_names_are_asked_for() {
        let names = Names::default();
        for (host, expected) in [("127.0.0.9", "127.0.0.9:7"), ("0:0:0:0:0:0:0:1", "[::1]:7")] {
            assert_eq!(names.ask(&at(host)).answer(), Some(Ok(vec![expected.parse().unwrap()])));
        }
        let until = Instant::now() + Duration::from_secs(20);
        let found = names.ask(&at("localhost")).answer_until(until).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        let error = names.ask(&at("no-such-host.invalid")).answer_until(until).unwrap_err();
        assert!(error.starts_with("no-such-host.invalid cannot be resolved: "), "{error}");
        assert!(lock(&names.asked).is_empty());
    }

    #[test]
    fn a_name_that_is_being_resolved_is_not_asked_for_again() {
        let names = Names::default();
        let hung = Arc::new(Answer::default());
        lock(&names.asked).insert("slow".to_owned(), hung.clone());
        let (one, other) = (names.ask(&at("slow")), names.ask(&at("slow")));
        let error = one.answer_until(Instant::now() + Duration::from_millis(5)).unwrap_err();
        assert!(error.contains("not answered yet for slow"), "{error}");
        names.answer("slow", &hung, Ok(vec!["[::1]:0".parse().unwrap()]));
        let expected = Some(Ok(vec!["[::1]:7".parse().unwrap()]));
        assert_eq!((one.answer(), other.answer()), (expected.clone(), expected));
        assert!(lock(&names.asked).is_empty());
    }
}
