//! Logins between servers (`quorum.auth.*`): whoever opens a link proves who it is, before anything else is said.
//!
//! ```text
//! server that connects                         server that accepts
//!    ──in progress, empty token─────────────▶
//!    ◀─────────────in progress, challenge────
//!    ──in progress, response────────────────▶     the other server knows the password
//!    ◀────────────────────success, rspauth───     so does this one
//! ```
//! Both sides are objects that eat the bytes of a link and yield bytes and an outcome: [`AcceptedLogin`] and
//! [`OpenedLogin`]. Whoever owns a link keeps its bytes from the protocol of its port until the outcome, and bounds the
//! time. How a mechanism makes tokens is not decided here: [`Mechanism`] is the accepting side, [`Account`] the other.
//!
//! The rule that is easy to break: the side that connects believes nothing before the other one has proved that it
//! knows the password as well. A packet that says success proves nothing.

mod accepted;
mod opened;
mod packet;
#[cfg(test)]
mod recorded;

use super::digest_md5::{ClientExchange, Service};
use super::gssapi::Acceptor;
use super::jaas::Section;
use super::{Failure, Mechanism, Nonce, NonceKey, Secret};
use crate::limits::LOGIN_TOKEN_BYTES_MAX;

pub use accepted::AcceptedLogin;
pub use opened::OpenedLogin;

/// How servers log in at each other. Names in brackets are ZooKeeper's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerLogins {
    /// Who may log in at this server, and how (`quorum.auth.server.saslLoginContext`).
    pub accepted: Mechanism,
    /// Whether a server that does not log in is refused (`quorum.auth.serverRequireSasl`).
    pub is_demanded: bool,
    /// As whom this server logs in at each server that it connects to (`quorum.auth.learner.saslLoginContext`).
    /// `None`: it does not log in (`quorum.auth.learnerRequireSasl`).
    pub own: Option<Account>,
    /// Nonces follow from it. It is drawn anew at each start, because nonces begin anew.
    pub nonce_key: NonceKey,
}

/// As whom, and how, this server logs in at another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// By DIGEST-MD5.
    DigestMd5 {
        /// The name.
        name: String,
        /// Its password.
        password: Secret,
    },
    /// By Kerberos.
    Kerberos {
        /// The principal of this server, and its keys.
        keys: Acceptor,
        /// The principal of the other servers: `service/host`, where the host `_HOST` stands for the name of each.
        service: String,
    },
}

impl Account {
    /// The account of a section of the JAAS file: the options `username` and `password` of its module.
    ///
    /// # Errors
    /// The option that is missing.
    // ZooKeeper: DigestLoginModule.initialize.
    pub fn of_section(section: &Section) -> Result<Account, &'static str> {
        let option = |name: &'static str| {
            section.options().filter(|(option, _)| *option == name).last().map(|(_, value)| value)
        };
        let name = option("username").ok_or("username")?.reveal().to_owned();
        let password = option("password").ok_or("password")?.clone();
        Ok(Account::DigestMd5 { name, password })
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Account::DigestMd5 { name, .. } => name,
            Account::Kerberos { keys, .. } => &keys.principal,
        }
    }

    /// The principal of the server at a host, without its realm. `None`: this account is none of Kerberos.
    // ZooKeeper: SecurityUtils.getServerPrincipal.
    pub fn service_at(&self, host: &str) -> Option<String> {
        let Account::Kerberos { service, .. } = self else { return None };
        Some(match service.split_once('/') {
            Some((first, "_HOST")) => format!("{first}/{}", host.to_lowercase()),
            Some(_) | None => service.clone(),
        })
    }

    /// Begins a login: what follows, and the first token. `None`: the edge makes it.
    fn begin(&self, nonce: Nonce) -> (Initiator, Option<Vec<u8>>) {
        match self {
            Account::DigestMd5 { name, password } => {
                let service = Service::SERVERS;
                let exchange = ClientExchange::new(service, name, password.reveal(), nonce);
                let first = Some(Vec::new());
                (Initiator::DigestMd5 { exchange, has_responded: false }, first)
            }
            Account::Kerberos { .. } => (Initiator::Kerberos { is_done: false }, None),
        }
    }
}

/// The connecting side of a mechanism, in one login.
#[derive(Debug)]
enum Initiator {
    DigestMd5 {
        exchange: ClientExchange,
        has_responded: bool,
    },
    /// The edge has the rest of it. `is_done`: both sides have proved who they are.
    Kerberos {
        is_done: bool,
    },
}

/// What a token of the accepting side leads to.
#[derive(Debug)]
enum InitiatorStep {
    /// The other side is to get this token.
    Respond(Vec<u8>),
    /// The other side has proved who it is.
    Proved,
    /// The edge makes the answer to this token.
    Passed(Vec<u8>),
}

impl Initiator {
    /// Whether the next token may be the last one.
    fn awaits_proof(&self) -> bool {
        match self {
            Initiator::DigestMd5 { has_responded, .. } => *has_responded,
            Initiator::Kerberos { is_done } => *is_done,
        }
    }

    /// Takes the next token of the accepting side.
    fn step(&mut self, token: &[u8]) -> Result<InitiatorStep, Failure> {
        match self {
            Initiator::DigestMd5 { exchange, has_responded } => {
                if *has_responded {
                    return exchange.check(token).map(|()| InitiatorStep::Proved);
                }
                let response = exchange.respond(token)?;
                *has_responded = true;
                Ok(InitiatorStep::Respond(response))
            }
            // The last word of the other side has no token.
            Initiator::Kerberos { is_done: true } => Ok(InitiatorStep::Proved),
            Initiator::Kerberos { is_done: false } => Ok(InitiatorStep::Passed(token.to_vec())),
        }
    }
}

/// What the bytes of a link have led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The login is not over: more bytes must come.
    Pending,
    /// Nothing keeps the link from its protocol any more.
    Passed {
        /// The name under which the other server has logged in; on a link that this server has opened, this server's
        /// own. `None`: it has not logged in, and does not have to.
        name: Option<String>,
        /// The bytes behind the login.
        rest: Vec<u8>,
    },
    /// The link must be closed.
    Refused(Refusal),
    /// The edge is to check a token, or to make one, and its step comes back.
    Asks(Ask),
}

/// What the edge is to do for a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Check a token of the connecting side.
    Check {
        /// Whether a login begins with it.
        is_first: bool,
        /// The token.
        token: Vec<u8>,
    },
    /// Make the answer to a token of the accepting side.
    Respond {
        /// That token.
        token: Vec<u8>,
    },
}

/// Why a login between servers has failed: for the log of this server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The other side speaks its protocol at once.
    #[error("it does not log in, and quorum.auth.serverRequireSasl demands that")]
    NoLogin,
    /// Bytes that are no packet stand where one is expected.
    #[error("it sends something else than the packets of a login")]
    NoPacket,
    /// A packet has a status that does not exist.
    #[error("a packet of its login has the status {0}, which does not exist")]
    Status(i32),
    /// A token that nobody sends.
    #[error("a token of its login has the length {0}; the longest has {LOGIN_TOKEN_BYTES_MAX}")]
    TokenLength(i32),
    /// A packet has no token.
    #[error("a packet of its login has no token")]
    NoToken,
    /// A token is refused by its mechanism.
    #[error("{0}")]
    Token(#[from] Failure),
    /// The accepting side says that the login has failed.
    #[error("it refuses the login of this server")]
    Refused,
    /// The accepting side says that the login is over, and has not proved who it is.
    #[error("it calls the login a success without a proof that it knows the password itself")]
    Unproved,
    /// The other side has closed the link.
    #[error("it closed the connection during the login")]
    Closed,
    /// The other side goes on without the answer to its token.
    #[error("it does not wait for the answer to its token")]
    Ahead,
    /// The login has taken too long.
    #[error("the login took longer than {0} ms")]
    Late(u64),
    /// Another connection needs its place.
    #[error("too many connections have not logged in")]
    Crowded,
}

impl Refusal {
    /// What an operator can do about it, where this server has accepted the link.
    pub fn advice_where_accepted(&self) -> &'static str {
        match self {
            Refusal::NoLogin => {
                "if it is a server of this ensemble, set quorum.auth.learnerRequireSasl=true on it; in a rolling \
                 change, set serverRequireSasl last"
            }
            Refusal::Token(Failure::Kerberos(_)) => {
                "compare quorum.auth.kerberos.servicePrincipal and krb5.conf of that server with the principal and \
                 the key table in this server's section QuorumServer"
            }
            Refusal::Token(Failure::Host(_)) => {
                "the host in the principal of its section QuorumLearner must stand in a server.N line"
            }
            Refusal::Token(Failure::WrongPassword | Failure::UnknownUser) => {
                "compare username and password of its section QuorumLearner with the line user_NAME=\"password\" of \
                 this server's section QuorumServer"
            }
            _ => {
                "if it is a server of this ensemble, its log tells more; if not, a stranger reaches this port"
            }
        }
    }

    /// The same, where this server has opened the link.
    pub fn advice_where_opened(&self) -> &'static str {
        match self {
            Refusal::Refused => {
                "its log has the reason; compare this server's section QuorumLearner with its section QuorumServer: \
                 the user and the password, or the principal and its host"
            }
            Refusal::Token(Failure::Kerberos(_)) => {
                "see quorum.auth.kerberos.servicePrincipal, this server's section QuorumLearner, and krb5.conf"
            }
            Refusal::Closed | Refusal::NoPacket | Refusal::Late(_) => {
                "if it runs without quorum.auth.enableSasl=true, set that first on all servers, and \
                 learnerRequireSasl after it"
            }
            _ => {
                "it may not be the server that it is taken for: its section QuorumServer has another password, or a \
                 stranger answers at its address"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Nonces;
    use super::super::digest_md5::Users;
    use super::super::jaas::JaasFile;
    use super::*;

    const FILE: &[u8] =
        b"QuorumServer { org.apache.zookeeper.server.auth.DigestLoginModule required
        user_ann=\"annsecret\" user_bob=\"bobsecret\"; };
        QuorumLearner { org.apache.zookeeper.server.auth.DigestLoginModule required
        username=\"bob\" password=\"bobsecret\"; };
        Wrong { m required username=\"bob\" password=\"other\"; };
        Unknown { m required username=\"eve\" password=\"bobsecret\"; };
        Half { m required username=\"eve\"; };";

    fn logins(own: &str, is_demanded: bool) -> PeerLogins {
        let file = JaasFile::read(FILE).unwrap();
        let users = Users::of_section(Service::SERVERS, file.section("QuorumServer").unwrap());
        PeerLogins {
            accepted: Mechanism::DigestMd5(users),
            is_demanded,
            own: file.section(own).and_then(|section| Account::of_section(section).ok()),
            nonce_key: NonceKey::new([7; 32]),
        }
    }

    fn nonces() -> Nonces {
        Nonces::new(NonceKey::new([1; 32]))
    }

    /// What both sides make of a login, the connecting one first.
    fn meet(own: &str, piece: usize) -> (Progress, Progress) {
        let (how, mut nonces) = (logins(own, true), nonces());
        let mut accepted = AcceptedLogin::new(nonces.draw());
        let (mut opened, mut there) = OpenedLogin::begin(how.own.as_ref().unwrap(), nonces.draw());
        loop {
            let (mut back, mut outcome) = (Vec::new(), Progress::Pending);
            for bytes in there.chunks(piece) {
                outcome = accepted.handle(&how, bytes, &mut back);
            }
            there.clear();
            let mut seen = Progress::Pending;
            for bytes in back.chunks(piece) {
                seen = opened.handle(bytes, &mut there);
            }
            if seen != Progress::Pending {
                assert!(there.is_empty(), "nothing is said after the end");
                return (seen, outcome);
            }
            assert!(!there.is_empty(), "both wait for ever");
        }
    }

    #[test]
    fn who_knows_the_password_passes_and_sees_that_the_other_side_knows_it() {
        for piece in [1, 3, 5000] {
            let passed = Progress::Passed { name: Some("bob".into()), rest: Vec::new() };
            assert_eq!(meet("QuorumLearner", piece), (passed.clone(), passed));
        }
    }

    #[test]
    fn both_sides_say_why_a_login_fails() {
        for (own, failure) in [("Wrong", Failure::WrongPassword), ("Unknown", Failure::UnknownUser)]
        {
            let (seen, outcome) = meet(own, 5000);
            assert_eq!(seen, Progress::Refused(Refusal::Refused));
            assert_eq!(outcome, Progress::Refused(Refusal::Token(failure)));
        }
        for refusal in [Refusal::Refused, Refusal::Closed, Refusal::NoLogin, Refusal::Unproved] {
            assert!(!refusal.advice_where_accepted().is_empty());
            assert!(!refusal.advice_where_opened().is_empty());
        }
    }

    #[test]
    fn an_account_has_a_name_and_a_password_and_shows_only_the_name() {
        let file = JaasFile::read(FILE).unwrap();
        let account = Account::of_section(file.section("QuorumLearner").unwrap()).unwrap();
        let shown = format!("{account:?}");
        assert!(account.name() == "bob" && shown.contains("bob") && !shown.contains("secret"));
        let of = |name| Account::of_section(file.section(name).unwrap());
        assert_eq!(of("Half"), Err("password"));
        assert_eq!(of("QuorumServer"), Err("username"));
    }

    #[test]
    fn a_server_that_does_not_log_in_passes_where_no_login_is_demanded() {
        let first = |is_demanded: bool, bytes: &[u8]| {
            let mut answer = Vec::new();
            let mut login = AcceptedLogin::new(nonces().draw());
            let outcome = login.handle(&logins("", is_demanded), bytes, &mut answer);
            assert!(answer.is_empty(), "a stranger is not answered");
            outcome
        };
        let rest = b"\0\0\0\x0b1234".to_vec();
        let passed = Progress::Passed { name: None, rest: rest.clone() };
        assert_eq!(first(false, &rest), passed);
        assert_eq!(first(true, &rest), Progress::Refused(Refusal::NoLogin));
        assert_eq!(first(true, b"\x5f\x24"), Progress::Pending);
    }

    #[test]
    fn bytes_behind_the_login_are_those_of_the_port() {
        let (how, mut nonces) = (logins("QuorumLearner", true), nonces());
        let mut accepted = AcceptedLogin::new(nonces.draw());
        let (mut opened, first) = OpenedLogin::begin(how.own.as_ref().unwrap(), nonces.draw());
        let (mut challenge, mut response) = (Vec::new(), Vec::new());
        assert_eq!(accepted.handle(&how, &first, &mut challenge), Progress::Pending);
        assert_eq!(opened.handle(&challenge, &mut response), Progress::Pending);
        let mut proof = Vec::new();
        response.extend_from_slice(b"early");
        let passed =
            |rest: &[u8]| Progress::Passed { name: Some("bob".into()), rest: rest.to_vec() };
        assert_eq!(accepted.handle(&how, &response, &mut proof), passed(b"early"));
        proof.extend_from_slice(b"vote");
        assert_eq!(opened.handle(&proof, &mut Vec::new()), passed(b"vote"));
    }

    #[test]
    fn a_response_to_another_challenge_is_refused() {
        let (how, mut nonces) = (logins("QuorumLearner", true), nonces());
        let mut response = Vec::new();
        let mut first = AcceptedLogin::new(nonces.draw());
        let (mut opened, hello) = OpenedLogin::begin(how.own.as_ref().unwrap(), nonces.draw());
        let mut challenge = Vec::new();
        first.handle(&how, &hello, &mut challenge);
        opened.handle(&challenge, &mut response);
        let mut later = AcceptedLogin::new(nonces.draw());
        later.handle(&how, &hello, &mut Vec::new());
        let replayed = later.handle(&how, &response, &mut Vec::new());
        assert_eq!(replayed, Progress::Refused(Refusal::Token(Failure::Unfit("nonce"))));
    }

    #[test]
    fn a_success_without_a_proof_is_believed_by_nobody() {
        let how = logins("QuorumLearner", true);
        let answered = |status, token: &[u8]| {
            let (mut opened, _) = OpenedLogin::begin(how.own.as_ref().unwrap(), nonces().draw());
            let mut packet = Vec::new();
            packet::put(&mut packet, status, token);
            opened.handle(&packet, &mut Vec::new())
        };
        use packet::Status;
        let unproved = Progress::Refused(Refusal::Unproved);
        assert_eq!(answered(Status::Success, b""), unproved);
        let challenge = b"realm=\"zk-quorum-sasl-md5\",nonce=\"n\",algorithm=md5-sess";
        assert_eq!(answered(Status::Success, challenge), unproved);
        assert_eq!(answered(Status::InProgress, challenge), Progress::Pending);
        assert_eq!(answered(Status::Error, b""), Progress::Refused(Refusal::Refused));
        let (mut opened, _) = OpenedLogin::begin(how.own.as_ref().unwrap(), nonces().draw());
        let mut packet = Vec::new();
        packet::put(&mut packet, Status::InProgress, challenge);
        packet::put(&mut packet, Status::Success, b"rspauth=00000000000000000000000000000000");
        let forged = opened.handle(&packet, &mut Vec::new());
        assert_eq!(forged, Progress::Refused(Refusal::Token(Failure::WrongPassword)));
    }
}
