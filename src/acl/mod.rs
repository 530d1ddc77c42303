//! Access control: interned ACLs, permission checks, and the authentication of connections.
//!
//! An ACL is kept as the bytes of its jute vector, once for all nodes that have it, and also in a form
//! for fast checks. This module does not know nodes or connections: its inputs are lists and
//! identities.
//!
//! ```text
//! create, setACL    fix_up: is it valid? ─▶ transaction ─▶ AclTable::intern: one copy, compiled ─▶ the node's slot
//! any request       AclList::permits(wanted, identities of the connection)
//! auth, a new connection   Authentication ─▶ Identity
//! ```
//! ZooKeeper spreads this over `ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL`,
//! `ReferenceCountedACLCache` and the `AuthenticationProvider`s.

mod authenticate;
mod compiled;
mod ip;
mod list;
mod rules;
mod schemes;
mod table;
mod x500;

pub use authenticate::{
    AuthFailed, Authentication, AuthenticationOptions, DigestAlgorithm, EnsembleName,
    add_identities, digest_of, ip_identity,
};
pub use ip::host_text;
pub use list::{AclList, Identity, bytes_of};
pub use rules::{AclBounds, FixUpError, fix_up};
pub use schemes::Schemes;
pub use table::{AclId, AclSlot, AclTable};
