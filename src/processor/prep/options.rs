//! The settings of preparation, and the requester.

use std::rc::Rc;

use crate::acl::{AclBounds, Identity, Schemes};
use crate::error::ErrorCode;
use crate::id::SessionId;
use crate::planted::PlantedBug;

/// A bound on requests that ZooKeeper does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// [`PrepOptions::ephemerals_per_session_max`].
    Ephemerals,
    /// [`PrepOptions::acl_entries_max`].
    AclEntries,
}

/// Settings that change how requests are prepared, with the names of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepOptions {
    /// Whether no permission is checked.
    pub skip_acl: bool,
    /// The schemes of identities that exist.
    pub schemes: Rc<Schemes>,
    /// Whether transactions carry the digest of the tree.
    pub digest: bool,
    /// Whether hard quotas are enforced.
    pub enforce_quota: bool,
    /// Most ephemeral nodes of a session: one transaction deletes all of them.
    pub ephemerals_per_session_max: usize,
    /// Whether TTL nodes can be created.
    pub extended_types: bool,
    /// Whether closeSession transactions list the session's ephemeral nodes.
    pub close_session_paths: bool,
    /// Whether reconfiguration is enabled.
    pub reconfig: bool,
    /// Most entries of an ACL in a request.
    pub acl_entries_max: usize,
    /// Longest transaction: a longer one could not be read back from the log (ZOOKEEPER-4306).
    pub txn_bytes_max: usize,
    /// A planted bug.
    pub planted: Option<PlantedBug>,
}

impl PrepOptions {
    /// The bounds of ACLs in requests.
    pub fn acl_bounds(&self) -> AclBounds<'_> {
        AclBounds {
            schemes: &self.schemes,
            entries_max: self.acl_entries_max,
            bytes_max: self.txn_bytes_max,
        }
    }
}

/// The client, or the server itself, for which a transaction is prepared.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// The session; [`SessionId::NONE`] for the server itself.
    pub session: SessionId,
    /// The xid of the client's request.
    pub cxid: i32,
    /// The identities of its connection.
    pub identities: &'a [Identity],
    /// Whether the session may change anything (`checkSession`).
    pub allowed: Result<(), ErrorCode>,
    /// Whether it may own ephemeral nodes (`checkGlobalSession`).
    pub allowed_ephemerals: Result<(), ErrorCode>,
}

impl Requester<'_> {
    /// The address of its client, without the port, for the log.
    pub fn address(&self) -> &str {
        let address = self.identities.iter().find(|identity| &*identity.scheme == "ip");
        address.map_or("unknown", |identity| &identity.id)
    }
}
