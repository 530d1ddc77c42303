//! Authentication: `auth`, and the refusal of clients that have not authenticated where that is required.

use super::Stats;
use super::clients::Clients;
use super::connection::{Connection, Slot};
use super::service::Service;
use crate::acl::{AuthFailed, add_identities};
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::jute::{Jute, begin_frame, end_frame};
use crate::proto::request::AuthPacket;
use crate::proto::response::ReplyHeader;

impl Clients {
    /// Whether the client has proved an identity of a required scheme (`enforce.auth.schemes`), or none is required.
    #[inline]
    pub(super) fn has_enforced_identity(&self, connection: &Connection) -> bool {
        let schemes = &self.options.enforced_auth_schemes;
        schemes.is_empty()
            || connection
                .identities
                .iter()
                .any(|identity| schemes.iter().any(|scheme| *scheme == *identity.scheme))
    }
}

impl Clients {
    /// Writes a reply that does not wait for the requests before it; its zxid is 0. `token`: a SASL token, which may be
    /// null, follows the header.
    pub(super) fn reply_at_once(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        err: i32,
        token: Option<Option<&[u8]>>,
        stats: &mut Stats,
    ) {
        assert!(connection.is_open(), "a closed connection gets no reply");
        self.prepare_buffer(slot, connection);
        let out = &mut connection.out;
        let start = begin_frame(out);
        ReplyHeader { xid, zxid: Zxid::ZERO, err }.encode(out);
        if let Some(token) = token {
            token.encode(out);
        }
        end_frame(out, start);
        connection.count_answered_at_once();
        connection.sent += 1;
        stats.packets_sent += 1;
    }
}

impl Service {
    /// Adds the identities that the client proves to those of its connection, or closes the connection.
    pub(super) fn on_auth(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        body: &[u8],
    ) {
        let Ok(packet) = AuthPacket::from_bytes(body) else {
            return self.reject(slot, connection, "a malformed auth packet");
        };
        assert!(!connection.identities.is_empty(), "a connection has its address as an identity");
        let remote = connection.remote.ip();
        let shown = &mut connection.identities;
        let authentication = &self.clients.authentication;
        let proved = match packet.scheme {
            Some("key") => {
                let key = self.database.node("/key");
                authentication.authenticate_by_key(packet.auth, key.and_then(|node| node.data()))
            }
            Some("ensemble") => {
                let compared = authentication.compare_ensemble(packet.auth);
                self.stats.ensemble_auth.count(compared);
                compared.map(|_| vec![])
            }
            // ZooKeeper: X509AuthenticationProvider.handleAuthentication looks at the certificate again, and not at
            // what the request says.
            Some("x509") if shown.iter().any(|identity| &*identity.scheme == "x509") => Ok(vec![]),
            scheme => authentication.authenticate(scheme, packet.auth, remote),
        };
        match proved.and_then(|proved| add_identities(shown, proved)) {
            Ok(()) => self.clients.reply_at_once(slot, connection, xid, 0, None, &mut self.stats),
            Err(failed @ (AuthFailed::Refused | AuthFailed::TooMuch)) => {
                self.stats.auth_failed += 1;
                if let Some(unsaid) = self.lines.allow(self.now.mono) {
                    tracing::warn!(
                        conn = slot.id.0, remote = %connection.remote, scheme = packet.scheme,
                        reason = %failed, unsaid, "authentication failed"
                    );
                }
                let err = ErrorCode::AuthFailed.code();
                self.clients.reply_at_once(slot, connection, xid, err, None, &mut self.stats);
                self.close_connection(slot, connection);
            }
            Err(AuthFailed::WrongEnsemble) => {
                self.stats.auth_failed += 1;
                self.reject(slot, connection, "it looks for another ensemble");
            }
        }
    }

    /// Adds the identities that the client has by its certificate, or closes the connection.
    pub(super) fn on_certificate(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        subject: &str,
    ) {
        assert!(!connection.identities.is_empty(), "a connection has its address as an identity");
        let identities = self.clients.authentication.identities_of(subject);
        if add_identities(&mut connection.identities, identities).is_err() {
            self.stats.auth_failed += 1;
            self.reject(slot, connection, "the subject of its certificate is too long");
        }
    }

    /// Refuses a request of a client that has not authenticated although that is required, and closes its connection.
    pub(super) fn refuse_unauthenticated(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
    ) {
        let schemes = &self.options.enforced_auth_schemes;
        assert!(
            !schemes.is_empty(),
            "a server that requires no scheme refuses nobody for want of one"
        );
        let err = ErrorCode::SessionClosedRequireSaslAuth.code();
        self.clients.reply_at_once(slot, connection, xid, err, None, &mut self.stats);
        self.reject(slot, connection, "it has not authenticated");
    }
}
