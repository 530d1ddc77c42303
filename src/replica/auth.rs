//! Who a connection is: `auth`, `sasl`, and the demand to have shown something first.

use super::Stats;
use super::clients::Clients;
use super::connection::{Connection, Slot};
use super::service::Service;
use crate::acl::{AuthFailed, add_identities};
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::jute::{Jute, begin_frame, end_frame};
use crate::proto::request::{AuthPacket, SaslRequest};
use crate::proto::response::ReplyHeader;

impl Clients {
    /// Whether the connection has shown an identity of a scheme that is demanded.
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
    /// A reply that does not go through the pipeline; its zxid is 0.
    pub(super) fn reply_at_once(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        err: i32,
        null_token: bool,
        stats: &mut Stats,
    ) {
        self.prepare_buffer(slot, connection);
        let out = &mut connection.out;
        let start = begin_frame(out);
        ReplyHeader { xid, zxid: Zxid::ZERO, err }.encode(out);
        if null_token {
            None::<&[u8]>.encode(out);
        }
        end_frame(out, start);
        connection.count_answered_at_once();
        connection.sent += 1;
        stats.packets_sent += 1;
    }
}

impl Service {
    /// Adds the identities that a client proves.
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
        let remote = connection.remote.ip();
        let shown = &mut connection.identities;
        let proved = self.clients.authentication.authenticate(packet.scheme, packet.auth, remote);
        match proved.and_then(|proved| add_identities(shown, proved)) {
            Ok(()) => self.clients.reply_at_once(slot, connection, xid, 0, false, &mut self.stats),
            Err(failed @ (AuthFailed::Refused | AuthFailed::TooMuch)) => {
                self.stats.auth_failed += 1;
                if let Some(unsaid) = self.lines.allow(self.now.mono) {
                    tracing::warn!(
                        conn = slot.id.0, remote = %connection.remote, scheme = packet.scheme,
                        reason = %failed, unsaid, "authentication failed"
                    );
                }
                let err = ErrorCode::AuthFailed.code();
                self.clients.reply_at_once(slot, connection, xid, err, false, &mut self.stats);
                self.close_connection(slot, connection);
            }
            Err(AuthFailed::WrongEnsemble) => {
                self.stats.auth_failed += 1;
                self.reject(slot, connection, "it looks for another ensemble");
            }
        }
    }

    /// ZooKeeper: a server without a JAAS section has no SASL server, and answers every token with
    /// a null one and no error.
    pub(super) fn on_sasl(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
        body: &[u8],
    ) {
        match SaslRequest::from_bytes(body) {
            Ok(SaslRequest { token: Some(_) }) => {
                self.clients.reply_at_once(slot, connection, xid, 0, true, &mut self.stats);
            }
            Ok(SaslRequest { token: None }) | Err(_) => {
                self.reject(slot, connection, "a malformed sasl request");
            }
        }
    }

    pub(super) fn refuse_unauthenticated(
        &mut self,
        slot: Slot,
        connection: &mut Connection,
        xid: i32,
    ) {
        let err = ErrorCode::SessionClosedRequireSaslAuth.code();
        self.clients.reply_at_once(slot, connection, xid, err, false, &mut self.stats);
        self.reject(slot, connection, "it has not authenticated");
    }
}
