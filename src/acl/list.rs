//! One interned ACL, and an identity to hold against it.

use std::rc::Rc;

use crate::acl::rules;
use crate::jute::{Jute, VectorBuf};
use crate::proto::data::{AclEntry, AclVector, Id, perms};

/// An authenticated identity of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The scheme: `digest`, `ip`, `super` …
    pub scheme: Box<str>,
    /// The name within the scheme.
    pub id: Box<str>,
}

impl Identity {
    /// The identity with these two halves.
    pub fn new(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into() }
    }

    /// Bytes of scheme and name.
    pub fn bytes(&self) -> usize {
        self.scheme.len() + self.id.len()
    }

    /// Its form in an ACL entry.
    pub fn as_id(&self) -> Id<'_> {
        Id { scheme: Some(&self.scheme), id: Some(&self.id) }
    }
}

/// An ACL that outlives the node it was read from: cloning counts a reference, no more.
#[derive(Clone, Debug)]
pub struct AclList(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bits that `world:anyone` has; all of them for a list without entries, which forbids nothing.
    /// Nearly every check ends here, without reading the entries.
    anyone: i32,
    /// The jute vector, count included.
    encoded: Box<[u8]>,
}

impl AclList {
    /// A list of its own, not interned.
    pub fn new(acl: AclVector<'_>) -> AclList {
        AclList(Rc::new(Shared {
            anyone: rules::perms_of_anyone(acl),
            encoded: acl.to_bytes().into_boxed_slice(),
        }))
    }

    /// `world:anyone` with the given bits.
    pub fn of_anyone(bits: i32) -> AclList {
        let mut list = VectorBuf::<AclEntry<'static>>::default();
        let id = Id { scheme: Some("world"), id: Some("anyone") };
        list.push(&AclEntry { perms: bits, id });
        AclList::new(list.as_vector())
    }

    /// What every client may do with nodes that nobody protected (`Ids.OPEN_ACL_UNSAFE`).
    pub fn open() -> AclList {
        AclList::of_anyone(perms::ALL)
    }

    /// The entries.
    pub fn vector(&self) -> AclVector<'_> {
        AclVector::from_bytes(&self.0.encoded).expect("the bytes were encoded from a vector")
    }

    /// The jute vector's bytes, count included.
    pub fn encoded(&self) -> &[u8] {
        &self.0.encoded
    }

    /// The bytes of the entries alone: what tells one list from another.
    pub(super) fn item_bytes(&self) -> &[u8] {
        &self.0.encoded[4..]
    }

    /// As [`permits`](crate::acl::permits), quick for lists that name everybody.
    #[inline]
    pub fn permits(&self, wanted: i32, identities: &[Identity]) -> bool {
        self.0.anyone & wanted != 0 || rules::permits(self.vector(), wanted, identities)
    }
}

impl PartialEq for AclList {
    fn eq(&self, other: &Self) -> bool {
        self.0.encoded == other.0.encoded
    }
}

impl Eq for AclList {}
