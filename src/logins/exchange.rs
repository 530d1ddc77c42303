//! One login by Kerberos: the server's side of RFC 4752, which is drawn in [`crate::sasl::gssapi`].

use crate::runtime::{
    Accepted, AcceptorContext, AcceptorKeys, GssError, InitiatorContext, InitiatorKeys,
};
use crate::sasl::gssapi::{CHOICE, OFFER, check_choice, check_offer};
use crate::sasl::{Failure, Step};

/// A login between two tokens of its client.
pub(super) struct Exchange {
    context: AcceptorContext,
    stage: Stage,
    /// Whether the client, which is a server, must not ask to be called by another name.
    is_strict: bool,
}

/// What the next token of the client is.
enum Stage {
    /// One of GSS-API, for the context.
    Context,
    /// An empty one: the client of this name has the last token of the context.
    Confirmation(String),
    /// The choice of the client of this name.
    Choice(String),
}

impl Exchange {
    pub fn new(keys: &AcceptorKeys) -> Exchange {
        Exchange { context: AcceptorContext::new(keys), stage: Stage::Context, is_strict: false }
    }

    /// The same for a server that connects.
    // ZooKeeper: SaslQuorumServerCallbackHandler.handleAuthorizeCallback.
    pub fn between_servers(keys: &AcceptorKeys) -> Exchange {
        Exchange { is_strict: true, ..Exchange::new(keys) }
    }

    /// Takes the next token. The login goes on only after [`Step::Challenge`].
    pub fn step(&mut self, keys: &AcceptorKeys, token: &[u8]) -> Step {
        self.try_step(keys, token).unwrap_or_else(Step::Failed)
    }

    fn try_step(&mut self, keys: &AcceptorKeys, token: &[u8]) -> Result<Step, Failure> {
        match &self.stage {
            Stage::Context => match self.context.accept(keys, token)? {
                // A client that does not ask this server to prove itself gets no last token.
                Accepted { token, client: Some(name) } if token.is_empty() => self.offer(name),
                Accepted { token, client } => {
                    if let Some(name) = client {
                        self.stage = Stage::Confirmation(name);
                    }
                    Ok(Step::Challenge(token))
                }
            },
            Stage::Confirmation(_) if !token.is_empty() => Err(Failure::NotEmpty),
            Stage::Confirmation(name) => self.offer(name.clone()),
            Stage::Choice(name) => {
                let choice = self.context.unwrap(token)?;
                let wanted = check_choice(&choice)?;
                if self.is_strict && !wanted.is_empty() && wanted != name.as_bytes() {
                    return Err(Failure::ActsAs);
                }
                Ok(Step::Done { token: None, name: name.clone() })
            }
        }
    }

    fn offer(&mut self, name: String) -> Result<Step, Failure> {
        let offer = self.context.wrap(&OFFER)?;
        self.stage = Stage::Choice(name);
        Ok(Step::Challenge(offer))
    }
}

/// A login of this server at another one, between two tokens of that.
pub(super) struct Opened {
    context: InitiatorContext,
    /// Whether the next token is the other server's offer.
    is_made: bool,
}

impl Opened {
    /// A login at the server that has this principal. May wait for a key distribution centre.
    pub fn new(keys: &InitiatorKeys, service: &str) -> Result<Opened, GssError> {
        Ok(Opened { context: InitiatorContext::new(keys, service)?, is_made: false })
    }

    /// Takes the next token of the other server, empty at first. `name`: the principal of this server. The login goes
    /// on only after [`Step::Challenge`]; after [`Step::Done`] the other server has proved who it is, and is yet to say
    /// that it lets this one in.
    pub fn step(&mut self, name: &str, token: &[u8]) -> Step {
        self.try_step(name, token).unwrap_or_else(Step::Failed)
    }

    fn try_step(&mut self, name: &str, token: &[u8]) -> Result<Step, Failure> {
        if self.is_made {
            check_offer(&self.context.unwrap(token)?)?;
            let choice = self.context.wrap(&CHOICE)?;
            return Ok(Step::Done { token: Some(choice), name: name.to_owned() });
        }
        let (token, is_made) = self.context.step(token)?;
        self.is_made = is_made;
        Ok(Step::Challenge(token))
    }
}

impl From<GssError> for Failure {
    fn from(error: GssError) -> Failure {
        Failure::Kerberos(error.to_string())
    }
}
