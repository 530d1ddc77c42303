//! ACLs in the naive model: lists as clients ask for them, as a server stores and shows them, and what they permit. The
//! model shares nothing with the server but the form on the wire.

use std::collections::BTreeMap;

use ringkeeper::acl::{DigestAlgorithm, digest_of};
use ringkeeper::error::ErrorCode;
use ringkeeper::jute::VectorBuf;
use ringkeeper::proto::data::perms;
use ringkeeper::proto::txn::{Txn, TxnBody};
use ringkeeper::proto::{AclEntry, AclVector, Id};

use super::history::{Call, History, Outcome, Part, Request, Seen};
use super::plan::Plan;

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is permitted.
    pub perms: i32,
    /// How the client proves its identity.
    pub scheme: String,
    /// The identity, in the form of the scheme.
    pub id: String,
}

/// An ACL.
pub type List = Vec<Entry>;

/// An entry.
pub fn entry(perms: i32, scheme: &str, id: &str) -> Entry {
    Entry { perms, scheme: scheme.to_owned(), id: id.to_owned() }
}

/// Everybody may do everything.
pub fn open() -> List {
    vec![entry(perms::ALL, "world", "anyone")]
}

/// A list for a request.
pub fn to_wire(list: &[Entry]) -> VectorBuf<AclEntry<'static>> {
    let mut built = VectorBuf::default();
    for Entry { perms, scheme, id } in list {
        built.push(&AclEntry { perms: *perms, id: Id { scheme: Some(scheme), id: Some(id) } });
    }
    built
}

/// A list of a reply, or of a transaction.
pub fn from_wire(list: AclVector<'_>) -> List {
    let read = |found: AclEntry<'_>| {
        let (scheme, id) = (found.id.scheme.unwrap_or_default(), found.id.id.unwrap_or_default());
        entry(found.perms, scheme, id)
    };
    list.iter().map(read).collect()
}

/// Name of the digest identity that a secret proves.
pub fn name_of(secret: &str) -> String {
    digest_of(DigestAlgorithm::Sha1, secret)
}

/// The identities of the client that asks.
#[derive(Clone, Debug, Default)]
pub struct Who {
    /// The names of the client's digest identities, in the order in which it proved them.
    pub digests: Vec<String>,
    /// `skipACL`: the server checks no permissions.
    pub unchecked: bool,
}

impl Who {
    fn is(&self, entry: &Entry) -> bool {
        match entry.scheme.as_str() {
            "world" => entry.id == "anyone",
            "digest" => self.digests.contains(&entry.id),
            _ => false,
        }
    }

    /// Whether the client has one of the permissions `wanted` on a node with this list.
    pub fn may(&self, list: &[Entry], wanted: i32) -> bool {
        let permits = |entry: &Entry| entry.perms & wanted != 0 && self.is(entry);
        self.unchecked || list.is_empty() || list.iter().any(permits)
    }

    /// The list that a server stores if the client asks for `asked`. `None`: InvalidAcl.
    pub fn stored(&self, asked: &[Entry]) -> Option<List> {
        let mut stored = List::new();
        for (place, entry) in asked.iter().enumerate() {
            if asked[..place].contains(entry) {
                continue;
            }
            match (entry.scheme.as_str(), entry.id.as_str()) {
                ("world", "anyone") => stored.push(entry.clone()),
                ("digest", id) if id.contains(':') => stored.push(entry.clone()),
                ("auth", _) if !self.digests.is_empty() => {
                    for digest in &self.digests {
                        stored.push(self::entry(entry.perms, "digest", digest));
                    }
                }
                _ => return None,
            }
        }
        (!stored.is_empty()).then_some(stored)
    }

    /// The list that a getACL shows to the client. `None`: NoAuth.
    pub fn shown(&self, list: &[Entry]) -> Option<List> {
        if !self.may(list, perms::READ | perms::ADMIN) {
            return None;
        }
        if self.may(list, perms::ADMIN) {
            return Some(list.to_vec());
        }
        let without_hash = |shown: &Entry| match shown.id.split_once(':') {
            Some((user, _)) if shown.scheme == "digest" => {
                entry(shown.perms, "digest", &format!("{user}:x"))
            }
            _ => shown.clone(),
        };
        Some(list.iter().map(without_hash).collect())
    }
}

/// Whether a request to prove an identity must fail.
fn is_refused(scheme: &str, secret: Option<&str>) -> bool {
    scheme != "digest" || secret.is_none()
}

/// The identities behind each call: those of its connection when the client sent the call, which are those when it
/// arrived.
pub fn askers(history: &History, plan: &Plan) -> Vec<Who> {
    let nobody = Who { digests: Vec::new(), unchecked: plan.changes() };
    let mut connections: BTreeMap<(usize, u64), Who> = BTreeMap::new();
    let mut askers = Vec::with_capacity(history.calls.len());
    for call in &history.calls {
        let key = (call.client, call.connection);
        let who = connections.entry(key).or_insert_with(|| nobody.clone());
        if let Request::Auth { scheme, secret } = &call.request
            && let Some(secret) = secret
            && !is_refused(scheme, Some(secret))
        {
            let name = name_of(secret);
            if !who.digests.contains(&name) {
                who.digests.push(name);
            }
        }
        askers.push(who.clone());
    }
    askers
}

/// Checks that servers serve a client that proves an identity, and refuse and disconnect a client that cannot.
///
/// # Errors
/// A server accepted a false proof or refused a true one, or it served a client behind a false proof.
pub fn proofs(history: &History) -> Result<(), String> {
    let mut failed: BTreeMap<(usize, u64), usize> = BTreeMap::new();
    for frame in &history.frames {
        let key = (frame.client, frame.connection);
        if let Some(place) = failed.get(&key) {
            return Err(format!(
                "client {} was served on its connection {} behind a refused proof: {:?} after {}",
                frame.client,
                frame.connection,
                frame.seen,
                super::check::what(&history.calls[*place])
            ));
        }
        let Seen::Reply(place) = frame.seen else { continue };
        let call = &history.calls[place];
        let Request::Auth { scheme, secret } = &call.request else { continue };
        let Outcome::Replied { err, .. } = &call.outcome else { continue };
        let is_refused = is_refused(scheme, secret.as_deref());
        let expected = if is_refused { ErrorCode::AuthFailed.code() } else { 0 };
        if *err != expected {
            return Err(format!(
                "{} was answered {err} instead of {expected}",
                super::check::what(call)
            ));
        }
        if is_refused {
            failed.insert(key, place);
        }
    }
    Ok(())
}

/// Checks that a transaction stores the lists that the request asked for.
///
/// # Errors
/// The transaction stores other lists.
pub fn stored_rightly(request: &Request, who: &Who, txn: &Txn) -> Result<(), String> {
    let check = |asked: &[Entry], made: AclVector<'_>| {
        let (expected, made) = (who.stored(asked), from_wire(made));
        if expected.as_ref() == Some(&made) {
            return Ok(());
        }
        Err(format!("{} stores the ACL {made:?} instead of {expected:?}", txn.zxid()))
    };
    match (request, txn.body()) {
        (Request::Create { .. }, TxnBody::Create(made)) => check(&open(), made.acl),
        (Request::CreateContainer { .. }, TxnBody::CreateContainer(made)) => {
            check(&open(), made.acl)
        }
        (Request::CreateTtl { .. }, TxnBody::CreateTtl(made)) => check(&open(), made.acl),
        (Request::CreateWith { acl, .. }, TxnBody::Create(made)) => check(acl, made.acl),
        (Request::SetAcl { acl, .. }, TxnBody::SetAcl(set)) => check(acl, set.acl),
        (Request::Multi(parts), TxnBody::Multi(made)) => parts
            .iter()
            .zip(TxnBody::parts(made))
            .try_for_each(|(part, (_, made))| match (part, made) {
                (Part::Create { .. }, TxnBody::Create(made)) => check(&open(), made.acl),
                (Part::CreateWith { acl, .. }, TxnBody::Create(made)) => check(acl, made.acl),
                _ => Ok(()),
            }),
        _ => Ok(()),
    }
}

/// Whether a call failed for lack of permission, and its reply says that no transaction was made.
pub fn is_early_refusal(call: &Call) -> bool {
    match call.outcome {
        Outcome::Replied { zxid, err, .. } => {
            let codes = [ErrorCode::NoAuth.code(), ErrorCode::InvalidAcl.code()];
            zxid.0 == 0 && codes.contains(&err)
        }
        Outcome::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_and_shown_depends_on_who_asks() {
        let nobody = Who::default();
        let jo = Who { digests: vec![name_of("jo:1")], unchecked: false };
        let (all, read) = (perms::ALL, perms::READ);
        assert_eq!(nobody.stored(&[]), None);
        assert_eq!(nobody.stored(&[entry(all, "auth", "")]), None);
        assert_eq!(nobody.stored(&[entry(all, "world", "nobody")]), None);
        let stored = jo.stored(&[entry(all, "auth", ""), entry(read, "world", "anyone")]).unwrap();
        assert_eq!(stored[0], entry(all, "digest", &name_of("jo:1")));
        assert!(jo.may(&stored, perms::WRITE) && !nobody.may(&stored, perms::WRITE));
        assert!(nobody.may(&stored, perms::READ));
        assert_eq!(nobody.shown(&stored).unwrap()[0], entry(all, "digest", "jo:x"));
        assert_eq!(jo.shown(&stored), Some(stored));
        assert_eq!(nobody.shown(&[entry(all, "digest", "jo:1")]), None);
    }
}
