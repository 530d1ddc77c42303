//! The side of a login that has opened the link (`SaslQuorumAuthLearner`).

use super::packet::{self, Status};
use super::{Account, Initiator, InitiatorStep, Progress, Refusal};
use crate::sasl::Nonce;

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
    is_over: bool,
}

impl OpenedLogin {
    /// Begins a login: the login, and what the other side is to get first. Nobody may be able to foresee the nonce.
    pub fn begin(account: &Account, nonce: Nonce) -> (OpenedLogin, Vec<u8>) {
        let (initiator, token) = account.begin(nonce);
        let mut first = Vec::new();
        packet::put(&mut first, Status::InProgress, &token);
        let name = account.name().to_owned();
        (OpenedLogin { name, received: Vec::new(), initiator, is_over: false }, first)
    }

    /// Takes the next bytes of the link. Appends to `answer` what the other side is to get.
    pub fn handle(&mut self, bytes: &[u8], answer: &mut Vec<u8>) -> Progress {
        if self.is_over {
            return Progress::Pending;
        }
        self.received.extend_from_slice(bytes);
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

    fn on_packet(
        initiator: &mut Initiator,
        status: Status,
        token: Option<&[u8]>,
    ) -> Result<InitiatorStep, Refusal> {
        if status == Status::Error {
            return Err(Refusal::Refused);
        }
        let token = token.ok_or(Refusal::NoToken)?;
        let is_last = status == Status::Success;
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
