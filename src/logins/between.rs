//! Logins of servers at each other by Kerberos, on two threads: one checks the tokens of servers that connect, the other
//! gets tickets for those to which this server connects.
//!
//! A key distribution centre that does not answer delays the second thread, and so the logins of this server, until the
//! library gives up; meanwhile the gate gives up links, and what was asked for them is dropped before it is begun. The
//! gate bounds how many links log in, and each has one token under way.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::exchange::{Exchange, Opened};
use super::{Desk, LoginError, keys};
use crate::limits::{LOGINS_ACCEPTED_MAX, LOGINS_OPENED_MAX};
use crate::link::{LinkId, LinkLogin};
use crate::runtime::{Doorbell, GssError, InitiatorKeys};
use crate::sasl::between::{Account, PeerLogins};
use crate::sasl::gssapi::Acceptor;
use crate::sasl::{Failure, Mechanism, Step};

/// The name of this server's tickets in memory.
const TICKETS: &str = "rk-servers";

/// The near ends of the threads.
#[derive(Debug)]
pub struct LinkLogins {
    /// `None`: no server logs in here by Kerberos.
    accepting: Option<Sender<LinkLogin>>,
    /// `None`: this server logs in nowhere by Kerberos.
    opening: Option<Sender<LinkLogin>>,
    /// What the threads have done.
    steps: Receiver<(LinkId, Step)>,
}

impl LinkLogins {
    /// Gets the keys of this server, and starts the threads that it needs. `bell` wakes the replica's executor.
    ///
    /// # Errors
    /// There are no keys, or the system denies a thread.
    pub fn start(logins: &PeerLogins, bell: &Doorbell) -> Result<LinkLogins, LoginError> {
        let (answer, steps) = channel();
        let mut started = LinkLogins { accepting: None, opening: None, steps };
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
            started.accepting = Some(thread("rk-login-in", bell, answer.clone(), handle)?);
        }
        if let Some(Account::Kerberos { keys: own, .. }) = &logins.own {
            let name = own.principal.clone();
            let mut own = OwnKeys::at_start(own.clone())?;
            let mut desk = Desk::new(LOGINS_OPENED_MAX);
            let handle = move |op: LinkLogin| {
                if let LinkLogin::Check { link, .. } | LinkLogin::Forget { link } = op {
                    desk.forget(link);
                    return None;
                }
                let keys = match own.get() {
                    Ok(keys) => keys,
                    Err(error) => return Some((op.link(), Step::Failed(Failure::from(error)))),
                };
                let (link, exchange, token) = match op {
                    LinkLogin::Begin { link, service } => {
                        (link, Opened::new(keys, &service).map_err(Failure::from), Vec::new())
                    }
                    LinkLogin::Respond { link, token } => {
                        let found = desk.take(link, false, || unreachable!("it is not the first"));
                        (link, found.ok_or(Failure::Crowded), token)
                    }
                    LinkLogin::Check { .. } | LinkLogin::Forget { .. } => return None,
                };
                let mut exchange = match exchange {
                    Ok(exchange) => exchange,
                    Err(failure) => return Some((link, Step::Failed(failure))),
                };
                let step = exchange.step(keys, &name, &token);
                if let Step::Challenge(_) = step {
                    desk.put(link, exchange);
                }
                Some((link, step))
            };
            started.opening = Some(thread("rk-login-out", bell, answer, handle)?);
        }
        Ok(started)
    }

    /// Hands an operation to its thread. Never waits.
    pub fn put(&self, op: LinkLogin) {
        let thread = if op.link().is_accepted() { &self.accepting } else { &self.opening };
        if let Some(thread) = thread {
            assert!(thread.send(op).is_ok(), "the thread lives as long as its queue");
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
        Some(Account::Kerberos { keys, .. }) => {
            let error = initiator_keys(keys).err()?;
            Some(LoginError::OwnKeys { principal: keys.principal.clone(), error })
        }
        Some(Account::DigestMd5 { .. }) | None => None,
    })
}

fn initiator_keys(own: &Acceptor) -> Result<InitiatorKeys, GssError> {
    InitiatorKeys::of(&own.principal, own.keytab.as_deref(), TICKETS)
}

/// The keys with which this server gets tickets.
struct OwnKeys {
    /// Whose they are, and where.
    own: Acceptor,
    /// `None`: the key distribution centre could not be reached so far.
    keys: Option<InitiatorKeys>,
}

impl OwnKeys {
    /// Gets them. If the centre cannot be reached, that passes, and the server must not stay down for it.
    ///
    /// # Errors
    /// There are no keys, or the centre refuses them.
    // ZooKeeper: the JDK logs in at the start, which ends without a centre (SaslQuorumAuthLearner).
    fn at_start(own: Acceptor) -> Result<OwnKeys, LoginError> {
        let keys = match initiator_keys(&own) {
            Ok(keys) => Some(keys),
            Err(error) if error.is_centre_away => {
                tracing::warn!(
                    principal = own.principal, reason = %error,
                    "this server cannot log in at others until a key distribution centre answers"
                );
                None
            }
            Err(error) => return Err(LoginError::OwnKeys { principal: own.principal, error }),
        };
        Ok(OwnKeys { own, keys })
    }

    /// The keys; asks the centre again if it could not be reached so far.
    fn get(&mut self) -> Result<&InitiatorKeys, GssError> {
        match &mut self.keys {
            Some(keys) => Ok(keys),
            none => Ok(none.insert(initiator_keys(&self.own)?)),
        }
    }
}

/// A thread that handles operations in their order, and drops those that are to be forgotten before they are begun.
fn thread(
    name: &str,
    bell: &Doorbell,
    answer: Sender<(LinkId, Step)>,
    mut handle: impl FnMut(LinkLogin) -> Option<(LinkId, Step)> + Send + 'static,
) -> Result<Sender<LinkLogin>, LoginError> {
    let (ops, asked) = channel::<LinkLogin>();
    let bell = bell.clone();
    let work = move || {
        let mut waiting = VecDeque::new();
        while let Ok(op) = asked.recv() {
            waiting.push_back(op);
            while let Some(op) = waiting.pop_front() {
                if let Some(step) = handle(op) {
                    // The server may have ended meanwhile.
                    let _ = answer.send(step);
                    bell.ring();
                }
                for op in asked.try_iter() {
                    if let LinkLogin::Forget { link } = op {
                        waiting.retain(|earlier: &LinkLogin| earlier.link() != link);
                    }
                    waiting.push_back(op);
                }
            }
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(LoginError::Thread)?;
    Ok(ops)
}
