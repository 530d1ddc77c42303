//! SASL of clients (opcode 102): rounds of tokens, and the identities of whoever has logged in.
//!
//! The rule that is easy to break: the reason for a refusal goes to the log, and no part of it to the client.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::connection::{Connection, Slot};
use super::service::Service;
use crate::acl::{Identity, add_identities};
use crate::error::ErrorCode;
use crate::jute::Jute;
use crate::proto::request::SaslRequest;
use crate::sasl::kerberos::NameRules;
use crate::sasl::{Mechanism, NonceKey, Step};

/// The scheme of the identities of clients that have logged in by SASL.
const SCHEME: &str = "sasl";

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
            Step::Challenge(token) => self.answer_token(slot, connection, xid, 0, Some(&token)),
            Step::Done { token, name } => {
                connection.login = None;
                let earlier = connection.identities.clone();
                let shown = &mut connection.identities;
                let proved = sasl.identities(&name).and_then(|identities| {
                    add_identities(shown, identities).map_err(|_| "it has too many identities")
                });
                match proved {
                    Ok(()) => self.answer_token(slot, connection, xid, 0, Some(&token)),
                    Err(reason) => {
                        // Of a failed login nothing stays, not even the identities that fitted.
                        connection.identities = earlier;
                        self.on_login_failed(slot, connection, xid, sasl, reason);
                    }
                }
            }
            Step::Failed(failure) => {
                connection.login = None;
                self.on_login_failed(slot, connection, xid, sasl, &failure.to_string());
            }
        }
    }

    // ZooKeeper: processSasl. A server that demands SASL says so instead of that the login failed, and keeps no
    // client.
    fn on_login_failed(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        sasl: &SaslOptions,
        reason: &str,
    ) {
        self.stats.auth_failed += 1;
        let is_required = self.options.enforced_auth_schemes.iter().any(|it| it == SCHEME);
        let is_kept = sasl.allow_failed_clients && !is_required;
        if let Some(unsaid) = self.lines.allow(self.now.mono) {
            tracing::warn!(
                conn = slot.id.0, remote = %connection.remote, scheme = SCHEME, reason, kept = is_kept, unsaid,
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
