//! SASL of clients (opcode 102): rounds of tokens, and the identities of whoever has logged in.
//!
//! The tokens of Kerberos are checked by the edge, on a thread of its own ([`LoginOp`]). Meanwhile the frames behind
//! such a token wait in [`Connection::early`], because they are to be carried out with the identity that it may bring.
//!
//! The rule that is easy to break: the reason for a refusal goes to the log, and no part of it to the client.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::Replica;
use super::clients::Clients;
use super::connection::{Connection, Slot};
use super::service::Service;
use crate::acl::{Identity, add_identities};
use crate::error::ErrorCode;
use crate::id::ConnectionId;
use crate::jute::Jute;
use crate::limits::LOGINS_FAILED_MAX;
use crate::proto::request::SaslRequest;
use crate::sasl::kerberos::NameRules;
use crate::sasl::{Exchange, Mechanism, NonceKey, Step};
use crate::time::Now;

/// The scheme of the identities of clients that have logged in by SASL.
const SCHEME: &str = "sasl";

/// What the edge is to do for the logins whose tokens it checks.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginOp {
    /// Check a token, and answer with [`Replica::handle_login`]. A connection has one such token under way at most.
    Token {
        /// The connection of the client, of which there is one login at a time.
        conn: ConnectionId,
        /// Whether a login begins with it.
        is_first: bool,
        /// The token, at most [`GSSAPI_TOKEN_BYTES_MAX`](crate::limits::GSSAPI_TOKEN_BYTES_MAX) bytes.
        token: Vec<u8>,
    },
    /// Forget the login of a connection that is gone. The edge may have forgotten it already.
    Forget(ConnectionId),
}

/// How clients log in by SASL.
#[derive(Clone, Debug)]
pub struct SaslOptions {
    /// The mechanism, with those who may log in.
    pub mechanism: Mechanism,
    /// What a client is called that has logged in.
    pub names: NameRules,
    /// Names whose clients may do everything (`superUser`, `superUser.*`).
    pub super_users: BTreeSet<String>,
    /// Whether a client whose login has failed stays connected, without an identity (`allowSaslFailedClients`).
    pub allow_failed_clients: bool,
    /// Nonces follow from it. It is drawn anew at each start, because nonces begin anew.
    pub nonce_key: NonceKey,
}

impl SaslOptions {
    /// The identities of a client that has logged in under this name.
    // ZooKeeper: ZooKeeperServer.processSasl.
    fn identities(&self, name: &str) -> Result<Vec<Identity>, &'static str> {
        let id = self.names.id_of(name).ok_or("its name is malformed")?;
        let mut identities = vec![Identity::new(SCHEME, &id)];
        if !id.is_empty() && self.super_users.contains(&id) {
            identities.push(Identity::new("super", ""));
        }
        Ok(identities)
    }
}

impl Service {
    /// Answers a token of a client.
    pub(super) fn on_sasl(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        body: &[u8],
    ) {
        let Ok(SaslRequest { token: Some(token) }) = SaslRequest::from_bytes(body) else {
            return self.reject(slot, connection, "a malformed sasl request");
        };
        let options = Rc::clone(&self.options);
        let (Some(sasl), Some(nonces)) = (&options.sasl, &mut self.clients.nonces) else {
            // ZooKeeper: a server without a section in the JAAS file has no SASL server. It answers every token
            // with a null token and no error.
            return self.answer_token(slot, connection, xid, 0, None);
        };
        // ZooKeeper: the JDK's SaslServer belongs to the connection and refuses a token after its last one. Here a
        // client may log in again, as with `auth`, and has the identities of both logins.
        let login =
            connection.login.get_or_insert_with(|| Box::new(sasl.mechanism.begin(nonces.draw())));
        match sasl.mechanism.step(login, token) {
            Step::Passed { is_first } => {
                connection.awaits_login = Some(xid);
                let token = token.to_vec();
                self.clients.logins.push(LoginOp::Token { conn: slot.id, is_first, token });
            }
            step => self.on_login_step(slot, connection, xid, sasl, step),
        }
    }

    /// Answers the token that has led to this.
    fn on_login_step(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        sasl: &SaslOptions,
        step: Step,
    ) {
        match step {
            Step::Challenge(token) => self.answer_token(slot, connection, xid, 0, Some(&token)),
            Step::Done { token, name } => {
                connection.login = None;
                let earlier = connection.identities.clone();
                let shown = &mut connection.identities;
                let proved = sasl.identities(&name).and_then(|identities| {
                    add_identities(shown, identities).map_err(|_| "it has too many identities")
                });
                match proved {
                    Ok(()) => self.answer_token(slot, connection, xid, 0, token.as_deref()),
                    Err(reason) => {
                        // Of a failed login nothing stays, not even the identities that fitted.
                        connection.identities = earlier;
                        let name = Some(&*name);
                        self.on_login_failed(slot, connection, xid, sasl, (name, reason));
                    }
                }
            }
            Step::Failed(failure) => {
                let login = connection.login.take();
                let name = login.as_deref().and_then(Exchange::claimed_name);
                let reason = failure.to_string();
                self.on_login_failed(slot, connection, xid, sasl, (name, &reason));
            }
            Step::Passed { .. } => unreachable!("the edge passes no token on"),
        }
    }

    /// Tells the client that its login has failed, and closes its connection unless it may stay. The last arguments are
    /// the name under which it wanted to log in, if it said one, and the reason: both are for the log alone.
    // ZooKeeper: processSasl. A server that demands SASL says so instead of that the login failed, and keeps no
    // client. There is no bound on the logins of a connection.
    fn on_login_failed(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        sasl: &SaslOptions,
        (user, reason): (Option<&str>, &str),
    ) {
        self.stats.auth_failed += 1;
        connection.logins_failed += 1;
        let is_required = self.options.enforced_auth_schemes.iter().any(|it| it == SCHEME);
        let is_kept = sasl.allow_failed_clients
            && !is_required
            && connection.logins_failed < LOGINS_FAILED_MAX;
        if let Some(unsaid) = self.lines.allow(self.now.mono) {
            tracing::warn!(
                conn = slot.id.0, remote = %connection.remote, scheme = SCHEME, user, reason, kept = is_kept, unsaid,
                "authentication failed"
            );
        }
        if is_kept {
            return self.answer_token(slot, connection, xid, 0, None);
        }
        let err = match is_required {
            true => ErrorCode::SessionClosedRequireSaslAuth,
            false => ErrorCode::AuthFailed,
        };
        self.answer_token(slot, connection, xid, err.code(), None);
        self.close_connection(slot, connection);
    }

    fn answer_token(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        err: i32,
        token: Option<&[u8]>,
    ) {
        self.clients.reply_at_once(slot, connection, xid, err, Some(token), &mut self.stats);
    }
}

impl Clients {
    /// Lets the edge forget the login of a connection that is gone.
    pub(super) fn give_up_login(&mut self, connection: &mut Connection) {
        connection.awaits_login = None;
        if let Some(Exchange::Gssapi { is_begun: true }) = connection.login.take().as_deref() {
            self.logins.push(LoginOp::Forget(connection.id));
        }
    }
}

impl Replica {
    /// The edge has checked the token of a [`LoginOp::Token`], which leads to this step. `None`: it has no room for the
    /// token, and the client may connect again. It is never [`Step::Passed`].
    pub fn handle_login(&mut self, now: Now, conn: ConnectionId, step: Option<Step>) {
        self.service.now = now;
        // The connection is gone since it was asked for.
        let Some(slot) = self.connections.find(conn) else { return };
        let Some((connection, service)) = self.one(slot) else { return };
        let options = Rc::clone(&service.options);
        let sasl = options.sasl.as_ref();
        let (Some(xid), Some(sasl)) = (connection.awaits_login.take(), sasl) else { return };
        match step {
            Some(step) => service.on_login_step(slot, connection, xid, sasl, step),
            // Not AUTHFAILED, after which a client does not try again.
            None => service.reject(slot, connection, "too many logins wait"),
        }
        self.go_on_behind_login(now, slot);
    }

    /// Handles the frames that waited for a login.
    fn go_on_behind_login(&mut self, now: Now, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if !connection.early.is_empty() && !connection.waits_to_be_read {
            connection.waits_to_be_read = true;
            self.go_on_with(now, slot);
        }
    }
}
