//! The side of a login that has accepted the link (`SaslQuorumAuthServer`).

use super::packet::{self, Status};
use super::{Ask, PeerLogins, Progress, Refusal};
use crate::limits::LOGIN_BYTES_AHEAD_MAX;
use crate::sasl::{Exchange, Failure, Nonce, Step};

/// The login on one accepted link.
#[derive(Debug)]
pub struct AcceptedLogin {
    /// Bytes that are not a whole packet yet.
    ///
    /// Invariant: bounded by a packet, because a length is checked as soon as it has come, and by one piece of the
    /// stream.
    received: Vec<u8>,
    /// Whether the edge checks a token.
    is_asking: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The other side has not shown whether it logs in.
    New(Nonce),
    /// It does.
    LoggingIn(Exchange),
    /// It has, or was refused.
    Over,
}

impl AcceptedLogin {
    /// A login that has not begun. Nobody may be able to foresee the nonce, and no other login may have it.
    pub fn new(nonce: Nonce) -> AcceptedLogin {
        AcceptedLogin { received: Vec::new(), is_asking: false, state: State::New(nonce) }
    }

    /// Whether the other side has sent nothing yet.
    pub fn is_silent(&self) -> bool {
        matches!(self.state, State::New(_)) && self.received.is_empty()
    }

    /// Takes the next bytes of the link. Appends to `answer` what the other side is to get, also where it is refused.
    pub fn handle(&mut self, how: &PeerLogins, bytes: &[u8], answer: &mut Vec<u8>) -> Progress {
        self.received.extend_from_slice(bytes);
        if self.is_asking {
            let is_ahead = self.received.len() > LOGIN_BYTES_AHEAD_MAX;
            return if is_ahead { self.refuse(Refusal::Ahead) } else { Progress::Pending };
        }
        if let State::New(_) = self.state {
            match packet::begins(&self.received) {
                None => return Progress::Pending,
                // ZooKeeper: such a peer gets no answer.
                Some(false) if how.is_demanded => return self.refuse(Refusal::NoLogin),
                Some(false) => return self.pass(None),
                Some(true) => {}
            }
            let State::New(nonce) = std::mem::replace(&mut self.state, State::Over) else {
                unreachable!("it was new a moment ago")
            };
            self.state = State::LoggingIn(how.accepted.begin(nonce));
        }
        loop {
            let packet = match packet::read(&self.received) {
                Ok(Some(packet)) => packet,
                Ok(None) => return Progress::Pending,
                Err(refusal) => return self.fail(refusal, answer),
            };
            // ZooKeeper: SaslQuorumAuthServer.receive looks at the token alone.
            let Some(token) = packet.token else { return self.fail(Refusal::NoToken, answer) };
            let State::LoggingIn(exchange) = &mut self.state else {
                return self.fail(Refusal::Token(Failure::Over), answer);
            };
            let step = how.accepted.step(exchange, token);
            let (length, token) = (packet.length, token.to_vec());
            self.received.drain(..length);
            match step {
                Step::Passed { is_first } => {
                    self.is_asking = true;
                    return Progress::Asks(Ask::Check { is_first, token });
                }
                step => {
                    if let Some(progress) = self.on_step(step, answer) {
                        return progress;
                    }
                }
            }
        }
    }

    /// Takes the step to which a token has led that the edge has checked ([`Ask::Check`]).
    pub fn answered(&mut self, how: &PeerLogins, step: Step, answer: &mut Vec<u8>) -> Progress {
        self.is_asking = false;
        match self.on_step(step, answer) {
            Some(progress) => progress,
            // Perhaps the next packet has come.
            None => self.handle(how, b"", answer),
        }
    }

    /// `None`: the login goes on.
    fn on_step(&mut self, step: Step, answer: &mut Vec<u8>) -> Option<Progress> {
        match step {
            Step::Challenge(token) => {
                packet::put(answer, Status::InProgress, &token);
                None
            }
            Step::Done { token, name } => {
                // ZooKeeper: the last token of Kerberos is null, and the packet has none.
                match token {
                    Some(token) => packet::put(answer, Status::Success, &token),
                    None => packet::put_without_token(answer, Status::Success),
                }
                Some(self.pass(Some(name)))
            }
            Step::Failed(failure) => Some(self.fail(Refusal::Token(failure), answer)),
            Step::Passed { .. } => unreachable!("the edge passes no token on"),
        }
    }

    fn pass(&mut self, name: Option<String>) -> Progress {
        self.state = State::Over;
        Progress::Passed { name, rest: std::mem::take(&mut self.received) }
    }

    // ZooKeeper: without serverRequireSasl, SaslQuorumAuthServer.authenticate goes on with a peer whose login has
    // failed. That peer closes the link itself, since it has got this packet.
    fn fail(&mut self, refusal: Refusal, answer: &mut Vec<u8>) -> Progress {
        packet::put(answer, Status::Error, b"");
        self.refuse(refusal)
    }

    fn refuse(&mut self, refusal: Refusal) -> Progress {
        self.state = State::Over;
        self.received = Vec::new();
        Progress::Refused(refusal)
    }
}
