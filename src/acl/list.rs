//! One interned ACL, and an identity to check against it.

use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use crate::acl::compiled::Compiled;
use crate::acl::ip::Address;
use crate::acl::rules;
use crate::acl::schemes::{Named, Schemes};
use crate::jute::{Jute, VectorBuf};
use crate::proto::data::{AclEntry, AclVector, Id, perms};

/// An authenticated identity of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The scheme: `digest`, `ip`, `x509`, `super` …
    pub scheme: Box<str>,
    /// The name within the scheme.
    pub id: Box<str>,
    /// Derived from the two.
    who: Who,
}

/// Bytes that these identities take with each request that is forwarded or waits: every request carries all
/// identities of its client.
pub fn bytes_of(identities: &[Identity]) -> usize {
    /// Two pointers with lengths, two lengths on a link, and the form for checks.
    const EACH: usize = 64;
    identities.iter().map(|identity| EACH + identity.scheme.len() + identity.id.len()).sum()
}

/// An identity in the form in which ACLs check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    /// It may do everything.
    Super,
    /// A name of a scheme whose names match if they are equal, by its hash.
    Name { scheme: Named, hash: u64 },
    /// A name of `ip`.
    Address(Address),
    /// No list grants it anything.
    Unknown,
}

impl Who {
    /// The form for checks of an identity with this scheme and name.
    fn of(scheme: &str, id: &str) -> Who {
        match scheme {
            "super" => Who::Super,
            "ip" => Address::parse(id).map_or(Who::Unknown, Who::Address),
            _ => Named::of(scheme).map_or(Who::Unknown, |scheme| Who::Name {
                scheme,
                hash: Who::hash_of(id.as_bytes()),
            }),
        }
    }

    /// SipHash: a client cannot easily find many names with the same hash, although the key is known.
    pub fn hash_of(name: &[u8]) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(name);
        hasher.finish()
    }
}

impl Identity {
    /// The identity with this scheme and name.
    pub fn new(scheme: &str, id: &str) -> Identity {
        Identity { scheme: scheme.into(), id: id.into(), who: Who::of(scheme, id) }
    }

    /// The part of its name that may be shown: of a `digest` identity the user, without the hash of the password.
    // ZooKeeper: DigestAuthenticationProvider.getUserName returns the part before the colon.
    pub fn user_name(&self) -> &str {
        match &*self.scheme {
            "digest" => self.id.split(':').next().unwrap_or_default(),
            // ZooKeeper: AuthUtil.getUser; no provider has this scheme.
            "super" => "",
            _ => &self.id,
        }
    }

    pub(super) fn who(&self) -> Who {
        self.who
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

/// An ACL that outlives the node it was read from: cloning only counts a reference.
#[derive(Clone, Debug)]
pub struct AclList(Rc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bits that `world:anyone` has; all of them for a list without entries, which forbids nothing.
    /// Nearly every check ends here.
    anyone: i32,
    /// The bits that other identities have.
    compiled: Option<Box<Compiled>>,
    /// The jute vector, count included.
    encoded: Box<[u8]>,
}

impl AclList {
    /// A list of its own, not interned.
    pub fn new(acl: AclVector<'_>) -> AclList {
        AclList(Rc::new(Shared {
            anyone: rules::perms_of_anyone(acl),
            compiled: Compiled::new(acl),
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

    /// The ACL of unprotected nodes (`Ids.OPEN_ACL_UNSAFE`).
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

    /// The bytes of the entries alone, by which lists are compared.
    pub(super) fn item_bytes(&self) -> &[u8] {
        &self.0.encoded[4..]
    }

    /// Whether one of the identities has the `wanted` bit. An identity of a scheme that does not exist has none.
    ///
    /// A list without entries grants everything to every client; the `super` scheme passes every list.
    // ZooKeeper: ZooKeeperServer.checkACL; a null or empty list allows.
    #[inline]
    pub fn permits(&self, wanted: i32, identities: &[Identity], schemes: &Schemes) -> bool {
        self.0.anyone & wanted != 0 || self.permits_one(wanted, identities, schemes)
    }

    fn permits_one(&self, wanted: i32, identities: &[Identity], schemes: &Schemes) -> bool {
        let given = |identity: &Identity| {
            let compiled = self.0.compiled.as_deref();
            compiled.map_or(0, |compiled| compiled.perms_of(identity, self.item_bytes(), schemes))
        };
        identities
            .iter()
            .any(|identity| identity.who == Who::Super || given(identity) & wanted != 0)
    }
}

impl PartialEq for AclList {
    fn eq(&self, other: &Self) -> bool {
        self.0.encoded == other.0.encoded
    }
}

impl Eq for AclList {}
