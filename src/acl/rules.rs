//! Who may do what, and what an ACL must look like (`checkACL`, `PrepRequestProcessor.fixupACL`).

use crate::acl::ip;
use crate::acl::list::Identity;
use crate::error::ErrorCode;
use crate::jute::VectorBuf;
use crate::proto::data::{AclEntry, AclVector, Id};

/// Whether an entry names everybody.
fn is_anyone(id: &Id<'_>) -> bool {
    id.scheme == Some("world") && id.id == Some("anyone")
}

/// Bits that everybody has; all for a list without entries.
pub(super) fn perms_of_anyone(acl: AclVector<'_>) -> i32 {
    if acl.is_empty() {
        return -1;
    }
    acl.iter().filter(|entry| is_anyone(&entry.id)).fold(0, |bits, entry| bits | entry.perms)
}

/// Whether one of the identities is given one of the `wanted` bits.
///
/// A list without entries gives everything to everybody, the `super` scheme passes every list.
// ZooKeeper: ZooKeeperServer.checkACL; a null or empty list allows.
pub fn permits(acl: AclVector<'_>, wanted: i32, identities: &[Identity]) -> bool {
    if acl.is_empty() || identities.iter().any(|identity| &*identity.scheme == "super") {
        return true;
    }
    acl.iter().any(|entry| {
        entry.perms & wanted != 0
            && (is_anyone(&entry.id)
                || identities.iter().any(|identity| identity_matches(identity, &entry.id)))
    })
}

fn identity_matches(identity: &Identity, named: &Id<'_>) -> bool {
    let (Some(scheme), Some(name)) = (named.scheme, named.id) else { return false };
    if &*identity.scheme != scheme {
        return false;
    }
    match scheme {
        "digest" => &*identity.id == name,
        "ip" => ip::matches(&identity.id, name),
        _ => false,
    }
}

/// Why an ACL was refused. Its [`code`](FixUpError::code) is what the client receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixUpError {
    /// Empty, an unknown scheme, a malformed id, or `auth` of a client that has shown nothing.
    Invalid,
    /// A field is null where Java's code needs an object.
    // ZooKeeper: a NullPointerException in the request thread is answered as a marshalling error.
    Null,
}

impl FixUpError {
    /// The error code of the reply.
    pub const fn code(self) -> ErrorCode {
        match self {
            FixUpError::Invalid => ErrorCode::InvalidAcl,
            FixUpError::Null => ErrorCode::MarshallingError,
        }
    }
}

/// `Id.equals` and `ACL.equals` of generated Java, which cannot compare a null field.
fn equal(one: &AclEntry<'_>, other: &AclEntry<'_>) -> Result<bool, FixUpError> {
    if one.perms != other.perms {
        return Ok(false);
    }
    if one.id.scheme.ok_or(FixUpError::Null)? != other.id.scheme.unwrap_or_default()
        || other.id.scheme.is_none()
    {
        return Ok(false);
    }
    Ok(one.id.id.ok_or(FixUpError::Null)? == other.id.id.unwrap_or_default()
        && other.id.id.is_some())
}

/// The ACL as it will be stored: duplicates dropped, `auth` replaced by the requester's identities.
///
/// `digest_enabled` is `DigestAuthenticationProvider.enabled`: without it the scheme is unknown.
///
/// # Errors
/// The list is not one that a node may have.
pub fn fix_up(
    acl: AclVector<'_>,
    identities: &[Identity],
    digest_enabled: bool,
) -> Result<VectorBuf<AclEntry<'static>>, FixUpError> {
    let mut unique: Vec<AclEntry<'_>> = Vec::with_capacity(acl.len());
    for entry in acl.iter() {
        let mut known = false;
        for earlier in &unique {
            known = known || equal(&entry, earlier)?;
        }
        if !known {
            unique.push(entry);
        }
    }
    if unique.is_empty() {
        return Err(FixUpError::Invalid);
    }
    let mut fixed = VectorBuf::default();
    for entry in &unique {
        let scheme = entry.id.scheme.ok_or(FixUpError::Invalid)?;
        if scheme == "world" && entry.id.id.ok_or(FixUpError::Null)? == "anyone" {
            fixed.push(entry);
        } else if scheme == "auth" {
            let mut found = false;
            // ZooKeeper: an `ip` identity proves nothing (isAuthenticated is false).
            let shown = identities.iter().filter(|id| digest_enabled && &*id.scheme == "digest");
            for identity in shown {
                found = true;
                fixed.push(&AclEntry { perms: entry.perms, id: identity.as_id() });
            }
            if !found {
                return Err(FixUpError::Invalid);
            }
        } else {
            let valid = match scheme {
                "digest" if digest_enabled => is_valid_digest(entry.id.id.ok_or(FixUpError::Null)?),
                "ip" => ip::is_valid(entry.id.id.ok_or(FixUpError::Null)?),
                _ => false,
            };
            if !valid {
                return Err(FixUpError::Invalid);
            }
            fixed.push(entry);
        }
    }
    Ok(fixed)
}

/// `user:hash`.
// ZooKeeper: String.split(":") drops empty parts at the end, so "a:b:" is valid and "a:" is not.
fn is_valid_digest(id: &str) -> bool {
    let mut parts: Vec<&str> = id.split(':').collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts.len() == 2
}
