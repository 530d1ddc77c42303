//! Logins of servers at each other by Kerberos, on two threads: one checks the tokens of servers that connect, the other
//! gets tickets for those to which this server connects.
//!
//! A key distribution centre that does not answer delays the second thread, and so the logins of this server, until the
//! library gives up; meanwhile the gate gives up links, and what was asked for them is dropped before it is begun. The
//! gate bounds how many links log in, and each has one token under way; while a thread stands still, tokens of links
//! that are gone wait as well, and have bounds of their own.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::exchange::{Exchange, Opened};
use super::waiting::{Room, Waiting};
use super::{Desk, LoginError, keys};
use crate::limits::{
    GSSAPI_BYTES_WAITING_MAX, LOGIN_TOKENS_WAITING_MAX, LOGINS_ACCEPTED_MAX, LOGINS_OPENED_MAX,
};
use crate::link::{LinkId, LinkLogin};
use crate::runtime::{Doorbell, InitiatorKeys};
use crate::sasl::between::{Account, PeerLogins};
use crate::sasl::gssapi::Acceptor;
use crate::sasl::{Failure, Mechanism, Step};

/// The name of this server's tickets in memory.
const TICKETS: &str = "rk-servers";

/// How much may wait for a thread.
const ROOM: Room = Room {
    tokens_max: LOGIN_TOKENS_WAITING_MAX,
    bytes_max: GSSAPI_BYTES_WAITING_MAX,
    ends_max: LOGIN_TOKENS_WAITING_MAX,
};

/// The near ends of the threads.
#[derive(Debug)]
pub struct LinkLogins {
    /// `None`: no server logs in here by Kerberos.
    accepting: Option<Queue>,
    /// `None`: this server logs in nowhere by Kerberos.
    opening: Option<Queue>,
    /// What the threads have done.
    steps: Receiver<(LinkId, Step)>,
    /// Takes the steps of links whose operations found no room.
    refused: Sender<(LinkId, Step)>,
    bell: Doorbell,
}

/// The near end of a thread's queue.
#[derive(Debug)]
struct Queue {
    /// Bounded by `waiting`.
    ops: Sender<LinkLogin>,
    waiting: Waiting,
}

impl LinkLogins {
    /// Gets the keys of this server, and starts the threads that it needs. `bell` wakes the replica's executor.
    ///
    /// # Errors
    /// There are no keys, or the system denies a thread.
    pub fn start(logins: &PeerLogins, bell: &Doorbell) -> Result<LinkLogins, LoginError> {
        let (answer, steps) = channel();
        let (refused, bell) = (answer.clone(), bell.clone());
        let mut started = LinkLogins { accepting: None, opening: None, steps, refused, bell };
        if let Mechanism::Gssapi(acceptor) = &logins.accepted {
            let keys = keys(acceptor)?;
            let mut desk = Desk::new(LOGINS_ACCEPTED_MAX);
            let handle = move |op: LinkLogin| {
                let LinkLogin::Check { link, is_first, token } = op else {
                    desk.forget(op.link());
                    return None;
                };
                let exchange = desk.take(link, is_first, || Exchange::between_servers(&keys));
                let Some(mut exchange) = exchange else {
                    return Some((link, Step::Failed(Failure::Crowded)));
                };
                let step = exchange.step(&keys, &token);
                if let Step::Challenge(_) = step {
                    desk.put(link, exchange);
                }
                Some((link, step))
            };
            started.accepting = Some(thread("rk-login-in", &started.bell, answer.clone(), handle)?);
        }
        if let Some(Account::Kerberos { keys: own, .. }) = &logins.own {
            let keys = initiator_keys(own)?;
            let name = own.principal.clone();
            let mut desk = Desk::new(LOGINS_OPENED_MAX);
            let handle = move |op: LinkLogin| {
                let (link, exchange, token) = match op {
                    LinkLogin::Begin { link, service } => {
                        (link, Opened::new(&keys, &service).map_err(Failure::from), Vec::new())
                    }
                    LinkLogin::Respond { link, token } => {
                        let found = desk.take(link, false, || unreachable!("it is not the first"));
                        (link, found.ok_or(Failure::Crowded), token)
                    }
                    LinkLogin::Check { link, .. } | LinkLogin::Forget { link } => {
                        desk.forget(link);
                        return None;
                    }
                };
                let mut exchange = match exchange {
                    Ok(exchange) => exchange,
                    Err(failure) => return Some((link, Step::Failed(failure))),
                };
                let step = exchange.step(&name, &token);
                if let Step::Challenge(_) = step {
                    desk.put(link, exchange);
                }
                Some((link, step))
            };
            started.opening = Some(thread("rk-login-out", &started.bell, answer, handle)?);
        }
        Ok(started)
    }

    /// Hands an operation to its thread. Never waits.
    pub fn put(&self, op: LinkLogin) {
        let link = op.link();
        let Some(queue) = (if link.is_accepted() { &self.accepting } else { &self.opening }) else {
            return;
        };
        let has_room = match token_bytes(&op) {
            Some(bytes) => queue.waiting.add_token(bytes, ROOM),
            None => queue.waiting.add_end(ROOM),
        };
        if has_room {
            assert!(queue.ops.send(op).is_ok(), "the thread lives as long as its queue");
        } else if token_bytes(&op).is_some() {
            let refused = self.refused.send((link, Step::Failed(Failure::Crowded)));
            assert!(refused.is_ok(), "this object has the other end");
            self.bell.ring();
        }
    }

    /// The next step, for [`Replica::handle_link_login`](crate::replica::Replica::handle_link_login).
    pub fn done(&self) -> Option<(LinkId, Step)> {
        self.steps.try_recv().ok()
    }
}

/// Why servers could not log in at each other, as far as that can be said without another one. `None`: they could.
pub fn obstacle(logins: &PeerLogins) -> Option<LoginError> {
    let accepts = match &logins.accepted {
        Mechanism::Gssapi(acceptor) => keys(acceptor).err(),
        Mechanism::DigestMd5(_) => None,
    };
    accepts.or_else(|| match &logins.own {
        Some(Account::Kerberos { keys, .. }) => initiator_keys(keys).err(),
        Some(Account::DigestMd5 { .. }) | None => None,
    })
}

fn initiator_keys(own: &Acceptor) -> Result<InitiatorKeys, LoginError> {
    InitiatorKeys::of(&own.principal, own.keytab.as_deref(), TICKETS)
        .map_err(|error| LoginError::OwnKeys { principal: own.principal.clone(), error })
}

/// The bytes of the token that an operation brings; `None`: a login is to be forgotten.
fn token_bytes(op: &LinkLogin) -> Option<usize> {
    match op {
        LinkLogin::Check { token, .. } | LinkLogin::Respond { token, .. } => Some(token.len()),
        LinkLogin::Begin { .. } => Some(0),
        LinkLogin::Forget { .. } => None,
    }
}

/// An operation waits no more.
fn uncount(waiting: &Waiting, op: &LinkLogin) {
    match token_bytes(op) {
        Some(bytes) => waiting.take_token(bytes),
        None => waiting.take_end(),
    }
}

/// A thread that handles operations in their order, and drops those that are to be forgotten before they are begun.
fn thread(
    name: &str,
    bell: &Doorbell,
    answer: Sender<(LinkId, Step)>,
    mut handle: impl FnMut(LinkLogin) -> Option<(LinkId, Step)> + Send + 'static,
) -> Result<Queue, LoginError> {
    let (ops, asked) = channel::<LinkLogin>();
    let (bell, waiting) = (bell.clone(), Waiting::default());
    let counted = waiting.clone();
    let work = move || {
        let mut line = VecDeque::new();
        while let Ok(op) = asked.recv() {
            line.push_back(op);
            while let Some(op) = line.pop_front() {
                uncount(&counted, &op);
                if let Some(step) = handle(op) {
                    // The server may have ended meanwhile.
                    let _ = answer.send(step);
                    bell.ring();
                }
                for op in asked.try_iter() {
                    if let LinkLogin::Forget { link } = op {
                        line.retain(|earlier: &LinkLogin| {
                            let stays = earlier.link() != link;
                            if !stays {
                                uncount(&counted, earlier);
                            }
                            stays
                        });
                    }
                    line.push_back(op);
                }
            }
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(LoginError::Thread)?;
    Ok(Queue { ops, waiting })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_links_that_are_gone_have_a_bound_while_the_thread_stands_still() {
        for (length, room) in
            [(1, LOGIN_TOKENS_WAITING_MAX), (1 << 16, GSSAPI_BYTES_WAITING_MAX >> 16)]
        {
            let ((ops, asked), (refused, steps)) = (channel(), channel());
            let (waiting, bell) = (Waiting::default(), Doorbell::new().unwrap());
            let accepting = Some(Queue { ops, waiting });
            let logins = LinkLogins { accepting, opening: None, steps, refused, bell };
            for link in (0..2000).map(LinkId::accepted) {
                logins.put(LinkLogin::Check { link, is_first: true, token: vec![0; length] });
                logins.put(LinkLogin::Forget { link });
            }
            let is_token = |op: &LinkLogin| token_bytes(op).is_some();
            let queued: Vec<LinkLogin> = asked.try_iter().collect();
            assert_eq!(queued.iter().filter(|op| is_token(op)).count(), room);
            assert!(queued.len() <= room + LOGIN_TOKENS_WAITING_MAX);
            let told = std::iter::from_fn(|| logins.done());
            let crowded = Step::Failed(Failure::Crowded);
            assert_eq!(told.filter(|(_, step)| *step == crowded).count(), 2000 - room);
        }
    }
}
