//! SASL: a client proves to this server who it is, by tokens that the two exchange (opcode 102), and servers prove it to
//! each other ([`between`]).
//!
//! [`Mechanism`] is how a server lets clients log in, and an [`Exchange`] is one login under way. The module reads
//! no file, draws no number and knows no connection: the JAAS file comes in as bytes ([`jaas`]), the nonce as an
//! argument. The rule that is easy to break: no password, hash, nonce or token may get into an error or into a
//! `Debug` output, and nothing may tell a stranger whether it was the name or the password that was wrong.
//!
//! Kerberos (GSSAPI) is not built yet. It will be a variant of [`Mechanism`] and of [`Exchange`]; what is already
//! here of it are the names ([`kerberos`]), which DIGEST-MD5 needs as well. Between servers it will be a variant of
//! [`between::Account`], too.

pub mod between;
pub mod digest_md5;
mod directives;
pub mod jaas;
pub mod kerberos;
mod secret;

use digest_md5::{ServerExchange, Users};

pub use secret::{Nonce, NonceKey, Nonces, Secret};

/// How clients, or other servers, log in at this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// DIGEST-MD5 with these users.
    DigestMd5(Users),
}

impl Mechanism {
    /// Begins a login.
    pub fn begin(&self, nonce: Nonce) -> Exchange {
        match self {
            Mechanism::DigestMd5(users) => {
                Exchange::DigestMd5(ServerExchange::new(users.service(), nonce))
            }
        }
    }

    /// Goes on with a login that this mechanism has begun. After [`Step::Done`] and [`Step::Failed`] it is over.
    pub fn step(&self, exchange: &mut Exchange, token: &[u8]) -> Step {
        match (self, exchange) {
            (Mechanism::DigestMd5(users), Exchange::DigestMd5(exchange)) => {
                exchange.step(users, token)
            }
        }
    }
}

/// One login under way: the server's side of it.
#[derive(Debug)]
pub enum Exchange {
    /// By DIGEST-MD5.
    DigestMd5(ServerExchange),
}

/// What a token of the client leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client is to answer this.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done {
        /// The last token for the client, by which it sees that the server knows its password.
        token: Vec<u8>,
        /// The name under which the client has logged in.
        name: String,
    },
    /// The login has failed.
    Failed(Failure),
}

/// Why a login failed. It is for the log of this server: the other side is told only that it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The token is longer than its mechanism allows.
    #[error("the token is longer than {0} bytes")]
    TooLong(usize),
    /// The token is not a list of directives; it may be truncated.
    #[error("the token is malformed")]
    Malformed,
    /// A directive stands twice.
    #[error("the token has the directive {0} twice")]
    Twice(&'static str),
    /// A directive that every token has.
    #[error("the token has no directive {0}")]
    Missing(&'static str),
    /// A directive has a value that does not fit the challenge, such as the nonce of an earlier login.
    #[error("the directive {0} does not fit the challenge")]
    Unfit(&'static str),
    /// There is no such user.
    #[error("no such user")]
    UnknownUser,
    /// The password is not that of the user.
    #[error("wrong password")]
    WrongPassword,
    /// Another token arrived after the last one.
    #[error("the login was over")]
    Over,
    /// The name is no name of a Kerberos principal, although it has an `@`.
    #[error("the name is malformed")]
    MalformedName,
}
