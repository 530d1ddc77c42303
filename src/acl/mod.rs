//! Access control: interned ACLs, who may do what, and how a connection shows who it is.
//!
//! An ACL is kept as the bytes of its jute vector, once for all nodes that have it, and beside them in
//! the form in which it is asked. Nothing here
//! knows of nodes or connections: lists and identities come in, answers go out.

mod authenticate;
mod compiled;
mod ip;
mod list;
mod rules;
mod table;

pub use authenticate::{
    AuthFailed, Authentication, AuthenticationOptions, DigestAlgorithm, add_identities, digest_of,
    ip_identity,
};
pub use list::{AclList, Identity, bytes_of};
pub use rules::{AclBounds, FixUpError, fix_up};
pub use table::{AclId, AclSlot, AclTable};
