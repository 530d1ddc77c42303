//! The side of a login that has opened the link (`SaslQuorumAuthLearner`).

use super::packet::{self, Status};
use super::{Account, Ask, Initiator, InitiatorStep, Progress, Refusal};
use crate::limits::{LOGIN_BYTES_AHEAD_MAX, LOGIN_TOKEN_BYTES_MAX};
use crate::sasl::{Failure, Nonce, Step};

/// The login on one link that this server has opened.
#[derive(Debug)]
pub struct OpenedLogin {
    name: String,
    /// Bytes that are not a whole packet yet.
    ///
    /// Invariant: bounded by a packet, because a length is checked as soon as it has come, and by one piece of the
    /// stream.
    received: Vec<u8>,
    initiator: Initiator,
    /// Whether the edge makes a token.
    is_asking: bool,
    is_over: bool,
}

impl OpenedLogin {
    /// Begins a login: the login, and what the other side is to get first. Nobody may be able to foresee the nonce.
    /// Where it is to get nothing, the edge makes the first token.
    pub fn begin(account: &Account, nonce: Nonce) -> (OpenedLogin, Vec<u8>) {
        let (initiator, token) = account.begin(nonce);
        let mut first = Vec::new();
        if let Some(token) = &token {
            packet::put(&mut first, Status::InProgress, token);
        }
        let (name, is_asking) = (account.name().to_owned(), token.is_none());
        (OpenedLogin { name, received: Vec::new(), initiator, is_asking, is_over: false }, first)
    }

    /// Takes the next bytes of the link. Appends to `answer` what the other side is to get.
    pub fn handle(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> Progress {
        if self.is_over {
            return Progress::Pending;
        }
        self.received.extend_from_slice(bytes);
        if self.is_asking {
            if self.received.len() <= LOGIN_BYTES_AHEAD_MAX {
                return Progress::Pending;
            }
            self.is_over = true;
            return Progress::Refused(Refusal::Ahead);
        }
        loop {
            let outcome = match packet::read(&self.received) {
                Ok(None) => return Progress::Pending,
                Ok(Some(packet)) => {
                    let length = packet.length;
                    let token = packet.token;
                    let outcome = Self::on_packet(&mut self.initiator, packet.status, token);
                    self.received.drain(..length);
                    outcome
                }
                Err(refusal) => Err(refusal),
            };
            match outcome {
                Ok(InitiatorStep::Respond(token)) => {
                    packet::put(answer, Status::InProgress, &token);
                }
                Ok(InitiatorStep::Passed(token)) => {
                    self.is_asking = true;
                    return Progress::Asks(Ask::Respond { token });
                }
                Ok(InitiatorStep::Proved) => {
                    self.is_over = true;
                    let rest = std::mem::take(&mut self.received);
                    return Progress::Passed { name: Some(self.name.clone()), rest };
                }
                Err(refusal) => {
                    self.is_over = true;
                    return Progress::Refused(refusal);
                }
            }
        }
    }

    /// Takes the token that the edge has made: the first one, or the answer to that of [`Ask::Respond`].
    pub fn answered(&mut self, step: Step, answer: &mut Vec<u8>) -> Progress {
        self.is_asking = false;
        let token = match step {
            Step::Challenge(token) => Ok(token),
            Step::Done { token, .. } => {
                self.initiator = Initiator::Kerberos { is_done: true };
                Ok(token.unwrap_or_default())
            }
            Step::Failed(failure) => Err(failure),
            Step::Passed { .. } => unreachable!("the edge passes no token on"),
        };
        let token = token.and_then(|token| match token.len() <= LOGIN_TOKEN_BYTES_MAX {
            true => Ok(token),
            false => Err(Failure::TooLong(LOGIN_TOKEN_BYTES_MAX)),
        });
        match token {
            Ok(token) => {
                packet::put(answer, Status::InProgress, &token);
                // The other side may have said more than it should.
                self.handle(b"", answer)
            }
            Err(failure) => {
                self.is_over = true;
                Progress::Refused(Refusal::Token(failure))
            }
        }
    }

    fn on_packet(
        initiator: &mut Initiator,
        status: Status,
        token: Option<&[u8]>,
    ) -> Result<InitiatorStep, Refusal> {
        if status == Status::Error {
            return Err(Refusal::Refused);
        }
        let is_last = status == Status::Success;
        // ZooKeeper: the last packet of a login by Kerberos has none.
        let token = match (token, &*initiator) {
            (Some(token), _) => token,
            (None, Initiator::Kerberos { .. }) if is_last => b"",
            (None, _) => return Err(Refusal::NoToken),
        };
        if is_last && !initiator.awaits_proof() {
            return Err(Refusal::Unproved);
        }
        match initiator.step(token)? {
            // The proof counts with the word that the other side lets this server in.
            InitiatorStep::Proved if !is_last => Err(Refusal::Unproved),
            step => Ok(step),
        }
    }
}
