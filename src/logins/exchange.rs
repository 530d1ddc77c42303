//! One login by Kerberos: the server's side of RFC 4752, which is drawn in [`crate::sasl::gssapi`].

use crate::runtime::{Accepted, AcceptorContext, AcceptorKeys, GssError};
use crate::sasl::gssapi::{OFFER, check_choice};
use crate::sasl::{Failure, Step};

/// A login between two tokens of its client.
pub(super) struct Exchange {
    context: AcceptorContext,
    stage: Stage,
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
        Exchange { context: AcceptorContext::new(keys), stage: Stage::Context }
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
                check_choice(&self.context.unwrap(token)?)?;
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

impl From<GssError> for Failure {
    fn from(error: GssError) -> Failure {
        Failure::Kerberos(error.to_string())
    }
}
