//! What changes how requests are prepared, and who asks.

use crate::acl::{AclBounds, Identity};
use crate::error::ErrorCode;
use crate::id::SessionId;
use crate::planted::PlantedBug;

/// A bound of Ringkeeper's own on what one request may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// [`PrepOptions::ephemerals_per_session_max`].
    Ephemerals,
    /// [`PrepOptions::acl_entries_max`].
    AclEntries,
}

/// What changes how requests are prepared. Names as in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepOptions {
    /// No permission is checked.
    pub skip_acl: bool,
    /// Whether the scheme `digest` is known.
    pub digest_auth: bool,
    /// Transactions carry the digest of the tree.
    pub digest: bool,
    /// Hard quotas are enforced.
    pub enforce_quota: bool,
    /// Most ephemeral nodes of a session: they go in one piece.
    pub ephemerals_per_session_max: usize,
    /// TTL nodes may be created.
    pub extended_types: bool,
    /// closeSession transactions list the session's ephemeral nodes.
    pub close_session_paths: bool,
    /// Reconfiguration is switched on.
    pub reconfig: bool,
    /// Entries of an ACL that a client gives.
    pub acl_entries_max: usize,
    /// Longest transaction: beyond it a log could not be read again (ZOOKEEPER-4306).
    pub txn_bytes_max: usize,
    /// A bug put in on purpose.
    pub planted: Option<PlantedBug>,
}

impl PrepOptions {
    /// What the lists that clients give must keep to.
    pub fn acl_bounds(&self) -> AclBounds {
        let PrepOptions { digest_auth, acl_entries_max, txn_bytes_max, .. } = *self;
        AclBounds {
            digest_enabled: digest_auth,
            entries_max: acl_entries_max,
            bytes_max: txn_bytes_max,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// The session; [`SessionId::NONE`] for the server itself.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// The identities of its connection.
    pub identities: &'a [Identity],
    /// Whether the session may ask for anything (`checkSession`).
    pub allowed: Result<(), ErrorCode>,
    /// Whether it may own ephemeral nodes (`checkGlobalSession`).
    pub allowed_ephemerals: Result<(), ErrorCode>,
}

impl Requester<'_> {
    /// The address of its client, as text without a port, for a line of the log.
    pub fn address(&self) -> &str {
        let address = self.identities.iter().find(|identity| &*identity.scheme == "ip");
        address.map_or("unknown", |identity| &identity.id)
    }
}
