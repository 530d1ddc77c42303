//! The parts of a node: identities, ACL entries and the two forms of Stat (`data` in
//! `zookeeper.jute`).

mod stat;

use crate::jute::Vector;
use crate::jute_record;

pub use stat::{Stat, StatPersisted};

jute_record! {
    /// An identity: a scheme (`world`, `digest`, `ip` …) and a name within it.
    #[derive(Copy, Hash)]
    pub struct Id<'a> {
        /// The scheme.
        pub scheme: Option<&'a str>,
        /// The name, in a form that the scheme defines.
        pub id: Option<&'a str>,
    }
}

jute_record! {
    /// One entry of an ACL: the permissions of an identity.
    #[derive(Copy, Hash)]
    pub struct AclEntry<'a> {
        /// Bits of [`perms`].
        pub perms: i32,
        /// The identity that has them.
        pub id: Id<'a>,
    }
}

/// A list of ACL entries as in requests, transactions and snapshots.
pub type AclVector<'a> = Vector<'a, AclEntry<'a>>;

/// Permission bits (`ZooDefs.Perms`).
pub mod perms {
    /// Read data, children and the ACL.
    pub const READ: i32 = 1;
    /// Set data.
    pub const WRITE: i32 = 2;
    /// Create children.
    pub const CREATE: i32 = 4;
    /// Delete children.
    pub const DELETE: i32 = 8;
    /// Set the ACL.
    pub const ADMIN: i32 = 16;
    /// All of them.
    pub const ALL: i32 = 31;
}
