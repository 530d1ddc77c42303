//! The host's side of the clients: bytes for them, answers to four-letter words, and the address where they connect.
//!
//! The replica decides what clients get; this file carries it, and adds answers of the edge. Those go after the
//! replica's sends of the same turn, and close their connection.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};

use super::super::certificates::Certificates;
use super::super::client_port::{ClientPort, Moved};
use crate::admin::inquiries::Inquiries;
use crate::admin::word::{FourLetterWord, TRACE_MASK_BYTES};
use crate::admin::{Asking, Desk};
use crate::audit::AuditLog;
use crate::limits::WEB_QUESTIONS_PER_TURN;
use crate::logins::Logins;
use crate::metrics;
use crate::net::{Budget, Census, Handshakes};
use crate::quorum;
use crate::replica::{Outgoing, Output, Replica};
use crate::runtime::Doorbell;
use crate::time::Now;

/// Carries bytes to clients: the connections of this executor, or the queues to other executors.
pub trait Deliver {
    /// Carries out one send; returns its buffer if that is free again.
    fn deliver(&self, send: Outgoing) -> Option<Vec<u8>>;
    /// Hands over what was gathered. Called once after the sends of each turn.
    fn flush(&self) {}
}

/// A four-letter word that waits for its answer.
pub(super) struct Asked {
    /// The connection that asks, and its address.
    pub asking: Asking,
    /// The word.
    pub word: FourLetterWord,
    /// The bytes after `stmk`; zeroes for any other word.
    pub argument: [u8; TRACE_MASK_BYTES],
}

/// The answer to a four-letter word when connections hold as much as they may.
const NO_ROOM: &str = "Too much waits for clients that do not read (ringkeeper.connectionMemoryMax). \
                       Ask again later.\n";

/// The words answered in one turn. Of words that list everything, a turn answers only one.
const WORDS_PER_TURN: usize = 16;

/// What `mntr` says about TLS: handshakes, and the certificates of this server where it has any.
pub struct TlsFigures {
    /// With clients.
    pub clients: (Handshakes, Option<Certificates>),
    /// With other servers.
    pub servers: (Handshakes, Option<Certificates>),
}

/// Everything that bytes for clients need. Only a turn uses it.
pub struct ClientSide {
    /// Carries the bytes.
    carrier: Box<dyn Deliver>,
    /// Bounds what connections hold together.
    budget: Budget,
    /// Bounds how many connections there are.
    census: Census,
    /// TLS.
    tls: TlsFigures,
    /// Answers four-letter words.
    desk: Desk,
    /// Answers that have not been sent yet; the replica does not make them.
    answers: Vec<Outgoing>,
    /// Where clients connect.
    port: ClientPort,
    /// Sockets at a new address, until the turn loop takes them.
    new_sockets: Option<Vec<TcpListener>>,
    /// The audit log, if there is one.
    audit: Option<AuditLog>,
    /// Checks the tokens of clients that log in by Kerberos; `None`: clients cannot.
    logins: Option<Logins>,
    /// Questions of the AdminServer.
    inquiries: Inquiries,
}

impl ClientSide {
    /// `carrier` carries bytes to clients, which connect at `port`. `audit`: the audit log, if there is one. `logins`
    /// checks tokens of Kerberos, if clients log in so.
    pub fn new(
        carrier: Box<dyn Deliver>,
        budget: Budget,
        census: Census,
        tls: TlsFigures,
        desk: Desk,
        port: ClientPort,
        (audit, logins, inquiries): (Option<AuditLog>, Option<Logins>, Inquiries),
    ) -> ClientSide {
        inquiries.open();
        ClientSide {
            carrier,
            budget,
            census,
            tls,
            desk,
            answers: Vec::new(),
            port,
            new_sockets: None,
            audit,
            logins,
            inquiries,
        }
    }

    /// How many more bytes may wait for clients.
    pub fn room(&self) -> usize {
        self.budget.room()
    }

    /// Hands on what clients did, for the audit log.
    pub fn audit(&self, output: &mut Output) {
        if let Some(audit) = &self.audit {
            audit.put(&mut output.audit);
        }
    }

    /// Gives the replica what tokens of logins have led to.
    pub fn hand_over_logins(&mut self, now: Now, replica: &mut Replica) {
        let Some(logins) = &mut self.logins else { return };
        while let Some((conn, step)) = logins.done() {
            replica.handle_login(now, conn, step);
        }
    }

    /// Passes on the tokens of logins.
    pub fn log_in(&mut self, output: &mut Output) {
        let Some(logins) = &mut self.logins else {
            assert!(
                output.logins.is_empty(),
                "a replica that passes tokens on has an edge for them"
            );
            return;
        };
        output.logins.drain(..).for_each(|op| logins.put(op));
    }

    /// Sends the answers of the replica and those to four-letter words.
    pub fn send(&mut self, output: &mut Output) {
        // Taken and put back, so that the vector keeps its memory for the next turn.
        let mut sends = std::mem::take(&mut output.sends);
        for send in sends.drain(..).chain(self.answers.drain(..)) {
            if let Some(spare) = self.carrier.deliver(send) {
                output.recycle(spare);
            }
        }
        output.sends = sends;
        self.carrier.flush();
    }

    /// Answers the oldest of the waiting `words`; those that are left wait for the next turn. `stalls` are the stalls
    /// counted so far, which `srst` resets.
    pub(super) fn answer_words(
        &mut self,
        words: &mut VecDeque<Asked>,
        now: Now,
        replica: &mut Replica,
        stalls: &mut metrics::Stalls,
    ) {
        for _ in 0..WORDS_PER_TURN {
            let Some(asked) = words.pop_front() else { return };
            self.answer_word(&asked, now, replica, stalls);
            // Such an answer is long; requests of clients come before the next one.
            if asked.word.tells_of_everything() {
                return;
            }
        }
    }

    /// Answers questions of the AdminServer. Returns whether others may wait, which get a turn of their own. `stalls` as
    /// in `answer_words`.
    pub(super) fn answer_inquiries(
        &mut self,
        now: Now,
        replica: &mut Replica,
        stalls: &mut metrics::Stalls,
    ) -> bool {
        for _ in 0..WEB_QUESTIONS_PER_TURN {
            let Some(question) = self.inquiries.next() else { return false };
            if !question.is_waited_for() {
                continue;
            }
            self.fill_in(replica, now);
            self.desk.stalls = *stalls;
            let inquiry = question.inquiry;
            question.answer(self.desk.report(inquiry, replica, now));
            // `stat_reset` has reset them in the desk.
            *stalls = self.desk.stalls;
            if inquiry.tells_of_everything() {
                return true;
            }
        }
        true
    }

    /// Makes the answer to one word, or refuses it if clients hold as much as they may.
    fn answer_word(
        &mut self,
        asked: &Asked,
        now: Now,
        replica: &mut Replica,
        stalls: &mut metrics::Stalls,
    ) {
        let Asked { asking, word, argument } = *asked;
        // Answers about all watches are long, and any client may ask for a hundred of them.
        let made: usize = self.answers.iter().map(|answer| answer.bytes.len()).sum();
        let text = match made < self.budget.room() {
            true => {
                self.fill_in(replica, now);
                self.desk.stalls = *stalls;
                let text = self.desk.answer(word, argument, replica, asking, now);
                // `srst` has reset them in the desk.
                *stalls = self.desk.stalls;
                text
            }
            false => NO_ROOM.to_owned(),
        };
        // Only the log asks without a connection, and it takes the text elsewhere.
        let Some(conn) = asking.conn else { return };
        self.answers.push(Outgoing {
            conn,
            bytes: text.into_bytes(),
            answered: 0,
            close: true,
            // The replica does not know of this send.
            is_reported: false,
        });
    }

    /// Fills in the figures of the edge, which the replica does not know.
    fn fill_in(&mut self, replica: &Replica, now: Now) {
        let (connections, bytes) = self.budget.closed();
        self.desk.held = metrics::Held {
            bytes: self.budget.held(),
            bytes_max: self.budget.bytes_max(),
            closed: connections,
            closed_bytes: bytes,
            watches: replica.database().watches().held_bytes(),
            watches_max: replica.database().options().watches.bytes_max,
            watches_refused: replica.stats().watches_refused,
        };
        self.desk.connections_refused = self.census.refused();
        self.desk.audit_dropped = self.audit.as_ref().map_or(0, AuditLog::dropped);
        let figures = |of: &Handshakes| metrics::HandshakeFigures {
            outstanding: of.outstanding().into(),
            exceeded: of.exceeded(),
            failed: of.failed(),
        };
        self.desk.handshakes = figures(&self.tls.clients.0);
        self.desk.link_handshakes = figures(&self.tls.servers.0);
        let days =
            |of: &Option<Certificates>| of.as_ref().map(|it| it.days_left(now.wall.0 / 1000));
        let (clients, servers) = (days(&self.tls.clients.1), days(&self.tls.servers.1));
        self.desk.certificate_days = metrics::CertificateDays { clients, servers };
    }

    /// The answer to `srvr`, for the log.
    pub fn state(&mut self, replica: &mut Replica, now: Now) -> String {
        let asking = Asking { conn: None, remote: SocketAddr::from(([127, 0, 0, 1], 0)) };
        self.desk.answer(FourLetterWord::Srvr, Default::default(), replica, asking, now)
    }

    /// Lets clients connect where the active configuration says. `bell` rings when it is time for
    /// [`ClientSide::settle`].
    pub fn follow(&mut self, config: &quorum::Config, bell: &Doorbell) {
        let moved = self.port.follow(config, bell);
        self.move_to(moved);
    }

    /// The same as [`ClientSide::follow`] for a configuration whose host name was being resolved.
    pub fn settle(&mut self) {
        let moved = self.port.settle();
        self.move_to(moved);
    }

    /// Notes the new address and its sockets.
    fn move_to(&mut self, moved: Option<Moved>) {
        let Some((sockets, port)) = moved else { return };
        self.desk.conf.client_port = port.into();
        self.new_sockets = Some(sockets);
    }

    /// Takes the sockets at the new address of the clients, if it has changed since the last call.
    pub fn new_sockets(&mut self) -> Option<Vec<TcpListener>> {
        self.new_sockets.take()
    }
}
