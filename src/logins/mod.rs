//! Logins by Kerberos: checks the tokens of clients, on a thread of its own.
//!
//! To check a token takes the key table and the replay cache, which are files, so the replica passes it on
//! ([`LoginOp`]) and goes on with other clients. The answer comes back to the turn, and the bell of the replica's
//! executor rings. A connection has at most one token under way, which the replica sees to; tokens in the queue, their
//! bytes, and logins between two tokens have bounds for all connections together. A token for which there is no room
//! is answered at once with `None`; the client connects again.
//!
//! The rule that is easy to break: each token has exactly one answer, because its connection waits for it.

mod between;
mod exchange;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::id::ConnectionId;
use crate::limits::{GSSAPI_BYTES_WAITING_MAX, GSSAPI_LOGINS_MAX, GSSAPI_TOKENS_WAITING_MAX};
use crate::replica::LoginOp;
use crate::runtime::{AcceptorKeys, Doorbell, GssError};
use crate::sasl::gssapi::Acceptor;
use crate::sasl::{Failure, Step};

use exchange::Exchange;

pub use between::{LinkLogins, obstacle as obstacle_between};

/// Why no client could log in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The server has no keys.
    #[error("nobody can log in by Kerberos at {principal}: {error}")]
    Keys {
        /// The principal of the server.
        principal: String,
        /// The reason.
        error: GssError,
    },
    /// The server has no keys to log in at others.
    #[error("this server cannot log in by Kerberos as {principal} at others: {error}")]
    OwnKeys {
        /// Its principal.
        principal: String,
        /// The reason.
        error: GssError,
    },
    /// There is no thread.
    #[error("the thread that checks logins cannot be started: {0}")]
    Thread(io::Error),
}

impl LoginError {
    /// Whether it may pass by itself, so that a server starts all the same.
    pub fn may_pass(&self) -> bool {
        matches!(self, LoginError::OwnKeys { error, .. } if error.is_centre_away)
    }
}

/// The near end of the thread. It belongs to the replica's executor.
#[derive(Debug)]
pub struct Logins {
    /// Bounded by `waiting`, and the ends of logins by the number of connections.
    ops: Sender<LoginOp>,
    /// What tokens lead to.
    steps: Receiver<(ConnectionId, Step)>,
    /// Connections whose tokens found no room, for the next turn.
    refused: VecDeque<ConnectionId>,
    waiting: Arc<Waiting>,
    bell: Doorbell,
}

/// The tokens in the queue: how many, and their bytes. The near end adds, and the thread takes off.
#[derive(Debug, Default)]
struct Waiting {
    tokens: AtomicUsize,
    bytes: AtomicUsize,
}

impl Logins {
    /// Gets the keys of the server, and starts the thread. `bell` wakes the replica's executor.
    ///
    /// # Errors
    /// There are no keys, or the system denies the thread.
    pub fn start(acceptor: &Acceptor, bell: Doorbell) -> Result<Logins, LoginError> {
        let keys = keys(acceptor)?;
        let (ops, asked) = channel();
        let (answer, steps) = channel();
        let waiting = Arc::<Waiting>::default();
        let (counted, ring) = (Arc::clone(&waiting), bell.clone());
        let mut desk = Desk::new(GSSAPI_LOGINS_MAX);
        let work = move || {
            for op in asked {
                match op {
                    LoginOp::Token { conn, is_first, token } => {
                        let exchange = desk.take(conn, is_first, || Exchange::new(&keys));
                        let (step, exchange) = match exchange {
                            Some(mut exchange) => (exchange.step(&keys, &token), Some(exchange)),
                            None => (Step::Failed(Failure::Crowded), None),
                        };
                        if let (Step::Challenge(_), Some(exchange)) = (&step, exchange) {
                            desk.put(conn, exchange);
                        }
                        counted.tokens.fetch_sub(1, Ordering::Relaxed);
                        counted.bytes.fetch_sub(token.len(), Ordering::Relaxed);
                        // The server may have ended meanwhile.
                        let _ = answer.send((conn, step));
                        ring.ring();
                    }
                    LoginOp::Forget(conn) => desk.forget(conn),
                }
            }
        };
        let thread = std::thread::Builder::new().name("rk-login".into()).spawn(work);
        thread.map_err(LoginError::Thread)?;
        Ok(Logins { ops, steps, refused: VecDeque::new(), waiting, bell })
    }

    /// Hands an operation to the thread. Never waits.
    pub fn put(&mut self, op: LoginOp) {
        if let LoginOp::Token { conn, token, .. } = &op {
            let (tokens, bytes) = (&self.waiting.tokens, &self.waiting.bytes);
            // The thread only takes off meanwhile.
            if tokens.load(Ordering::Relaxed) >= GSSAPI_TOKENS_WAITING_MAX
                || bytes.load(Ordering::Relaxed) + token.len() > GSSAPI_BYTES_WAITING_MAX
            {
                self.refused.push_back(*conn);
                return self.bell.ring();
            }
            tokens.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(token.len(), Ordering::Relaxed);
        }
        assert!(self.ops.send(op).is_ok(), "the thread lives as long as its queue");
    }

    /// The next answer, for [`Replica::handle_login`](crate::replica::Replica::handle_login).
    pub fn done(&mut self) -> Option<(ConnectionId, Option<Step>)> {
        if let Some(conn) = self.refused.pop_front() {
            return Some((conn, None));
        }
        self.steps.try_recv().ok().map(|(conn, step)| (conn, Some(step)))
    }
}

/// Why no client could log in, as far as that can be said without serving any. `None`: clients could.
pub fn obstacle(acceptor: &Acceptor) -> Option<LoginError> {
    keys(acceptor).err()
}

fn keys(acceptor: &Acceptor) -> Result<AcceptorKeys, LoginError> {
    AcceptorKeys::of(&acceptor.principal, acceptor.keytab.as_deref())
        .map_err(|error| LoginError::Keys { principal: acceptor.principal.clone(), error })
}

/// The logins that wait for the next token of the other side, by their connection or link.
struct Desk<K, T> {
    /// Each with its number.
    logins: HashMap<K, (u64, T)>,
    /// The connections by the number of their login: the order in which the logins were put here.
    ///
    /// Invariant: has exactly the numbers that stand in `logins`.
    order: BTreeMap<u64, K>,
    next: u64,
    logins_max: usize,
}

impl<K: Copy + Eq + Hash, T> Desk<K, T> {
    fn new(logins_max: usize) -> Desk<K, T> {
        Desk { logins: HashMap::new(), order: BTreeMap::new(), next: 0, logins_max }
    }

    /// Takes the login of a connection, to go on with it: a new one, or the one that waits. `None`: it was given up.
    fn take(&mut self, key: K, is_first: bool, new: impl FnOnce() -> T) -> Option<T> {
        let found = self.logins.remove(&key).map(|(number, login)| {
            self.order.remove(&number);
            login
        });
        if is_first { Some(new()) } else { found }
    }

    /// Puts a login back. If there are too many, the oldest is given up.
    fn put(&mut self, key: K, login: T) {
        let before = self.logins.insert(key, (self.next, login));
        assert!(before.is_none(), "a login was taken before it is put back");
        self.order.insert(self.next, key);
        self.next += 1;
        if self.logins.len() > self.logins_max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.logins.remove(&oldest);
        }
        assert_eq!(self.logins.len(), self.order.len(), "each login has its place in the order");
    }

    fn forget(&mut self, key: K) {
        if let Some((number, _)) = self.logins.remove(&key) {
            self.order.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::GSSAPI_TOKEN_BYTES_MAX;

    #[test]
    fn the_oldest_login_is_given_up_when_there_are_too_many() {
        let mut desk = Desk::new(2);
        let conn = |number| ConnectionId(number);
        for number in 1..=3 {
            let login = desk.take(conn(number), true, || number * 10);
            desk.put(conn(number), login.unwrap());
        }
        assert_eq!(desk.take(conn(1), false, || 0), None, "it was the oldest");
        assert_eq!(desk.take(conn(2), false, || 0), Some(20));
        desk.put(conn(2), 21);
        desk.put(conn(4), 40);
        assert_eq!(desk.take(conn(3), false, || 0), None, "2 has gone on since");
        assert_eq!(desk.take(conn(2), true, || 22), Some(22), "a login begins anew");
        desk.forget(conn(4));
        assert_eq!(desk.take(conn(4), false, || 0), None);
        assert!(desk.logins.is_empty() && desk.order.is_empty());
    }

    #[test]
    fn tokens_beyond_the_bounds_are_answered_at_once_and_each_has_one_answer() {
        for (length, room) in [
            (1, GSSAPI_TOKENS_WAITING_MAX),
            (GSSAPI_TOKEN_BYTES_MAX, GSSAPI_BYTES_WAITING_MAX / GSSAPI_TOKEN_BYTES_MAX),
        ] {
            let ((ops, asked), (_, steps)) = (channel(), channel());
            let (waiting, bell) = (Arc::default(), Doorbell::new().unwrap());
            let mut logins = Logins { ops, steps, refused: VecDeque::new(), waiting, bell };
            let conns = 0..u64::try_from(room).unwrap() + 2;
            for conn in conns.clone().map(ConnectionId) {
                logins.put(LoginOp::Token { conn, is_first: true, token: vec![0; length] });
                // What is to be forgotten is never too much.
                logins.put(LoginOp::Forget(conn));
            }
            let refused: Vec<_> = std::iter::from_fn(|| logins.done()).collect();
            let last = conns.end - 2..conns.end;
            assert_eq!(refused, last.map(|conn| (ConnectionId(conn), None)).collect::<Vec<_>>());
            let is_token = |op: &LoginOp| matches!(op, LoginOp::Token { .. });
            assert_eq!(asked.try_iter().filter(is_token).count(), room);
        }
    }

    #[test]
    fn a_server_without_keys_lets_nobody_log_in() {
        let keytab = Some("/nowhere/keytab".to_owned());
        let acceptor = Acceptor { principal: "zookeeper/localhost@NOWHERE".to_owned(), keytab };
        let error = obstacle(&acceptor).unwrap().to_string();
        assert!(error.starts_with("nobody can log in by Kerberos at zookeeper/localhost@NO"));
    }
}
