//! SASL: a client proves to this server who it is, by tokens that the two exchange (opcode 102), and servers prove it to
//! each other ([`between`]).
//!
//! [`Mechanism`] is how a server lets clients log in, and an [`Exchange`] is one login under way. The module reads
//! no file, draws no number and knows no connection: the JAAS file comes in as bytes ([`jaas`]), the nonce as an
//! argument. The rule that is easy to break: no password, hash, nonce or token may get into an error or into a
//! `Debug` output, and nothing may tell a stranger whether it was the name or the password that was wrong.
//!
//! The tokens of Kerberos ([`gssapi`]) are checked by the edge, because that takes files: [`Step::Passed`].

pub mod between;
pub mod digest_md5;
mod directives;
pub mod gssapi;
pub mod jaas;
pub mod kerberos;
mod secret;

use crate::limits::GSSAPI_TOKEN_BYTES_MAX;
use digest_md5::{ServerExchange, Users};
use gssapi::Acceptor;

pub use secret::{Nonce, NonceKey, Nonces, Secret};

/// How clients, or other servers, log in at this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// DIGEST-MD5 with these users.
    DigestMd5(Users),
    /// Kerberos: every principal that the realm vouches for may log in.
    Gssapi(Acceptor),
}

impl Mechanism {
    /// Begins a login.
    pub fn begin(&self, nonce: Nonce) -> Exchange {
        match self {
            Mechanism::DigestMd5(users) => {
                Exchange::DigestMd5(ServerExchange::new(users.service(), nonce))
            }
            Mechanism::Gssapi(_) => Exchange::Gssapi { is_begun: false },
        }
    }

    /// Goes on with a login that this mechanism has begun. After [`Step::Done`] and [`Step::Failed`] it is over.
    ///
    /// # Panics
    /// If another mechanism has begun it.
    pub fn step(&self, exchange: &mut Exchange, token: &[u8]) -> Step {
        match (self, exchange) {
            (Mechanism::DigestMd5(users), Exchange::DigestMd5(exchange)) => {
                exchange.step(users, token)
            }
            (Mechanism::Gssapi(_), Exchange::Gssapi { is_begun }) => {
                if token.len() > GSSAPI_TOKEN_BYTES_MAX {
                    return Step::Failed(Failure::TooLong(GSSAPI_TOKEN_BYTES_MAX));
                }
                Step::Passed { is_first: !std::mem::replace(is_begun, true) }
            }
            (Mechanism::DigestMd5(_), Exchange::Gssapi { .. })
            | (Mechanism::Gssapi(_), Exchange::DigestMd5(_)) => {
                panic!("a login goes on as it has begun")
            }
        }
    }
}

/// One login under way: the server's side of it.
#[derive(Debug)]
pub enum Exchange {
    /// By DIGEST-MD5.
    DigestMd5(ServerExchange),
    /// By Kerberos. The edge has the rest of it.
    Gssapi {
        /// Whether the edge has got a token.
        is_begun: bool,
    },
}

impl Exchange {
    /// The name under which the other side wants to log in, as far as it has said one: it proves nothing.
    pub fn claimed_name(&self) -> Option<&str> {
        match self {
            Exchange::DigestMd5(exchange) => exchange.claimed_name(),
            // The library of Kerberos tells the name when it is proved.
            Exchange::Gssapi { .. } => None,
        }
    }
}

/// What a token of the client leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The client is to answer this.
    Challenge(Vec<u8>),
    /// The client is who it says.
    Done {
        /// The last token for the client, by which it sees that the server knows its password. `None`: the mechanism
        /// has none, and the client gets a null.
        token: Option<Vec<u8>>,
        /// The name under which the client has logged in.
        name: String,
    },
    /// The login has failed.
    Failed(Failure),
    /// The edge checks the token, and says what it leads to.
    Passed {
        /// Whether it is the first token of its login.
        is_first: bool,
    },
}

/// Why a login failed. It is for the log of this server: the other side is told only that it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// The client wants its session to be protected by the mechanism.
    #[error("the client asks for a security layer, and only auth is offered")]
    Layer,
    /// A server asks to be called by another name than that of its ticket.
    #[error("it asks to act as another principal")]
    ActsAs,
    /// The principal of a server names no host of the ensemble.
    #[error("its principal {0} has no host of a server of this ensemble")]
    Host(String),
    /// A token stands where the client has nothing to say.
    #[error("an empty token was expected")]
    NotEmpty,
    /// So many others log in that this login was given up.
    #[error("too many logins are under way, and this is the oldest")]
    Crowded,
    /// The library of Kerberos says why, in its words, which hold no key.
    #[error("{0}")]
    Kerberos(String),
}
