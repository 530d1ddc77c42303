//! Permission checks, and the rules for a valid ACL (`checkACL`, `PrepRequestProcessor.fixupACL`).
//!
//! A list is checked here once, when a client sets it. Lists from logs and snapshots are not: they were checked by
//! the server that wrote them, and have to be kept as they are.

use hashbrown::HashSet;

use crate::acl::ip;
use crate::acl::list::Identity;
use crate::acl::schemes::{Named, Schemes};
use crate::acl::x500;
use crate::error::ErrorCode;
use crate::jute::VectorBuf;
use crate::proto::data::{AclEntry, AclVector, Id};
use crate::sasl::kerberos::PrincipalName;

/// Whether an entry names `world:anyone`.
fn is_anyone(id: &Id<'_>) -> bool {
    id.scheme == Some("world") && id.id == Some("anyone")
}

/// Bits that every client has; all bits for a list without entries.
pub(super) fn perms_of_anyone(acl: AclVector<'_>) -> i32 {
    if acl.is_empty() {
        return -1;
    }
    acl.iter().filter(|entry| is_anyone(&entry.id)).fold(0, |bits, entry| bits | entry.perms)
}

/// The result of [`AclList::permits`](crate::acl::AclList::permits), computed by reading every entry.
#[cfg(test)]
pub(super) fn permits(
    acl: AclVector<'_>,
    wanted: i32,
    identities: &[Identity],
    schemes: &Schemes,
) -> bool {
    if acl.is_empty() || identities.iter().any(|identity| &*identity.scheme == "super") {
        return true;
    }
    acl.iter().any(|entry| {
        entry.perms & wanted != 0
            && (is_anyone(&entry.id)
                || identities.iter().any(|it| identity_matches(it, &entry.id, schemes)))
    })
}

#[cfg(test)]
fn identity_matches(identity: &Identity, named: &Id<'_>, schemes: &Schemes) -> bool {
    // Nobody has an identity without a scheme or a name.
    let (Some(scheme), Some(name)) = (named.scheme, named.id) else { return false };
    if &*identity.scheme != scheme {
        return false;
    }
    match scheme {
        "digest" => schemes.digest && &*identity.id == name,
        "key" => schemes.key && &*identity.id == name,
        "x509" => schemes.x509 && &*identity.id == name,
        "sasl" => {
            let is_for_any = schemes.any_sasl_user().is_some_and(|(any, _)| any == name);
            schemes.sasl && (&*identity.id == "super" || &*identity.id == name || is_for_any)
        }
        "ip" => ip::matches(&identity.id, name),
        _ => false,
    }
}

/// Limits on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclBounds<'a> {
    /// The schemes that exist: an entry of another one is refused.
    pub schemes: &'a Schemes,
    /// Number of entries, both as given and as stored.
    pub entries_max: usize,
    /// Bytes of the entries as they are stored.
    pub bytes_max: usize,
}

/// Why an ACL was refused. Its [`code`](FixUpError::code) is what the client receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixUpError {
    /// Empty, an unknown scheme, a malformed id, or `auth` from a client without identities.
    Invalid,
    /// More entries than a list may have.
    TooMany,
    /// A field is null where Java's code needs an object.
    // ZooKeeper: a NullPointerException in the request thread is answered as a marshalling error.
    Null,
    /// It would be longer than any transaction: each entry of `auth` becomes as many as the client has
    /// identities.
    TooLong,
}

impl FixUpError {
    /// The error code of the reply.
    pub const fn code(self) -> ErrorCode {
        match self {
            FixUpError::Invalid | FixUpError::TooMany => ErrorCode::InvalidAcl,
            FixUpError::Null | FixUpError::TooLong => ErrorCode::MarshallingError,
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

/// The entries, each once (`PrepRequestProcessor.removeDuplicates`).
///
/// # Errors
/// A null field had to be compared. Such a list is refused anyway, but with this error code.
fn unique(acl: AclVector<'_>) -> Result<Vec<AclEntry<'_>>, FixUpError> {
    let mut unique: Vec<AclEntry<'_>> = Vec::with_capacity(acl.len());
    let mut known = HashSet::with_capacity(acl.len());
    for entry in acl.iter() {
        if entry.id.scheme.is_none() || entry.id.id.is_none() {
            // It equals none of the earlier entries, so Java compares it with each of them.
            for earlier in &unique {
                equal(&entry, earlier)?;
            }
        }
        if known.insert(entry) {
            unique.push(entry);
        }
    }
    Ok(unique)
}

/// The ACL as it will be stored: duplicates dropped, `auth` replaced by the requester's identities.
///
/// # Errors
/// No node may have this list. After our bound on entries, ZooKeeper's order of checks decides which error it is.
pub fn fix_up(
    acl: AclVector<'_>,
    identities: &[Identity],
    bounds: &AclBounds<'_>,
) -> Result<VectorBuf<AclEntry<'static>>, FixUpError> {
    let &AclBounds { schemes, entries_max, bytes_max } = bounds;
    // Before anything is allocated for the list.
    if acl.len() > entries_max {
        return Err(FixUpError::TooMany);
    }
    let unique = unique(acl)?;
    if unique.is_empty() {
        return Err(FixUpError::Invalid);
    }
    let mut fixed = VectorBuf::default();
    let mut add = |entry: &AclEntry<'_>| {
        fixed.push(entry);
        if fixed.len() > entries_max {
            Err(FixUpError::TooMany)
        } else if fixed.bytes() > bytes_max {
            Err(FixUpError::TooLong)
        } else {
            Ok(())
        }
    };
    for entry in &unique {
        let scheme = entry.id.scheme.ok_or(FixUpError::Invalid)?;
        // `world` with another name than `anyone` is refused below, like an unknown scheme.
        if scheme == "world" && entry.id.id.ok_or(FixUpError::Null)? == "anyone" {
            add(entry)?;
        } else if scheme == "auth" {
            let mut found = false;
            // ZooKeeper: an `ip` identity proves nothing (isAuthenticated is false), and `super` has no provider.
            let proves = |scheme| Named::of(scheme).is_some_and(|scheme| schemes.has(scheme));
            for identity in identities.iter().filter(|identity| proves(&identity.scheme)) {
                found = true;
                add(&AclEntry { perms: entry.perms, id: identity.as_id() })?;
            }
            if !found {
                return Err(FixUpError::Invalid);
            }
        } else {
            let id = entry.id.id.ok_or(FixUpError::Null);
            let valid = match (scheme, Named::of(scheme).filter(|named| schemes.has(*named))) {
                ("ip", _) => ip::is_valid(id?),
                (_, Some(Named::Digest)) => is_valid_digest(id?),
                (_, Some(Named::Sasl)) => PrincipalName::parse(id?).is_some(),
                (_, Some(Named::X509)) => x500::is_name(id?),
                // ZooKeeper: KeyAuthenticationProvider.isValid looks at nothing, and a null ends the connection.
                (_, Some(Named::Key)) => id.is_ok(),
                (_, None) => false,
            };
            if !valid {
                return Err(FixUpError::Invalid);
            }
            add(entry)?;
        }
    }
    Ok(fixed)
}

/// Whether it is `user:hash`: two parts, of which the second is not empty. Nobody checks that it is a hash.
// ZooKeeper: DigestAuthenticationProvider.isValid. String.split(":") drops empty parts at the end, so "a:b:" is valid
// and "a:" is not.
fn is_valid_digest(id: &str) -> bool {
    let mut parts: Vec<&str> = id.split(':').collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts.len() == 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::data::perms;

    const BOUNDS: AclBounds<'_> =
        AclBounds { schemes: &Schemes::USUAL, entries_max: 1024, bytes_max: 1000 };

    fn list(entries: &[(i32, Option<&str>, Option<&str>)]) -> VectorBuf<AclEntry<'static>> {
        let mut list = VectorBuf::default();
        for &(perms, scheme, id) in entries {
            list.push(&AclEntry { perms, id: Id { scheme, id } });
        }
        list
    }

    fn fixed(
        entries: &[(i32, Option<&str>, Option<&str>)],
        identities: &[Identity],
    ) -> Result<Vec<(i32, String, String)>, FixUpError> {
        let list = list(entries);
        let fixed = fix_up(list.as_vector(), identities, &BOUNDS)?;
        let fixed: AclVector<'_> = fixed.as_vector();
        Ok(fixed
            .iter()
            .map(|e| (e.perms, e.id.scheme.unwrap().to_owned(), e.id.id.unwrap().to_owned()))
            .collect())
    }

    fn permits(acl: AclVector<'_>, wanted: i32, identities: &[Identity]) -> bool {
        super::permits(acl, wanted, identities, &Schemes::default())
    }

    fn digest(name: &str) -> Identity {
        Identity::new("digest", name)
    }

    #[test]
    fn a_permission_is_given_by_any_entry_that_names_the_client() {
        let acl = list(&[
            (perms::READ, Some("world"), Some("anyone")),
            (perms::WRITE, Some("digest"), Some("a:x")),
            (perms::DELETE, Some("ip"), Some("10.0.0.0/8")),
        ]);
        let acl = acl.as_vector();
        assert!(permits(acl, perms::READ, &[]));
        assert!(!permits(acl, perms::WRITE, &[]));
        assert!(permits(acl, perms::WRITE, &[digest("a:x")]));
        assert!(permits(acl, perms::WRITE | perms::ADMIN, &[digest("a:x")]), "one bit is enough");
        assert!(!permits(acl, perms::WRITE, &[digest("b:x")]));
        assert!(permits(acl, perms::DELETE, &[Identity::new("ip", "10.9.8.7")]));
        assert!(!permits(acl, perms::DELETE, &[Identity::new("ip", "11.9.8.7")]));
        assert!(!permits(acl, perms::ADMIN, &[digest("a:x")]));
        assert!(permits(acl, perms::ADMIN, &[Identity::new("super", "")]));
    }

    #[test]
    fn a_list_without_entries_forbids_nothing() {
        assert!(permits(AclVector::EMPTY, perms::ADMIN, &[]));
        assert!(permits(AclVector::NULL, perms::ADMIN, &[]));
    }

    #[test]
    fn an_unknown_scheme_or_a_null_matches_nobody() {
        let acl =
            list(&[(31, Some("sasl"), Some("u")), (31, None, None), (31, Some("world"), None)]);
        assert!(!permits(acl.as_vector(), perms::READ, &[Identity::new("sasl", "u")]));
    }

    #[test]
    fn auth_becomes_the_digest_identities_of_the_requester() {
        let who = [Identity::new("ip", "1.2.3.4"), digest("a:x"), digest("b:y")];
        let got = fixed(&[(31, Some("auth"), Some("whatever"))], &who).unwrap();
        let expected = [(31, "digest", "a:x"), (31, "digest", "b:y")];
        assert_eq!(got, expected.map(|(p, s, i)| (p, s.to_owned(), i.to_owned())));
        assert_eq!(fixed(&[(31, Some("auth"), Some(""))], &who[..1]), Err(FixUpError::Invalid));
    }

    #[test]
    fn a_list_that_identities_make_longer_than_any_transaction_is_given_up_on_the_way() {
        let who: Vec<Identity> = (0..30).map(|n| digest(&format!("{n:020}:x"))).collect();
        let auth = [(1, Some("auth"), None), (2, Some("auth"), None)];
        assert_eq!(fixed(&auth[..1], &who[..20]).unwrap().len(), 20);
        assert_eq!(fixed(&auth[..1], &who), Err(FixUpError::TooLong));
        assert_eq!(fixed(&auth, &who[..20]), Err(FixUpError::TooLong));
        assert_eq!(FixUpError::TooLong.code(), ErrorCode::MarshallingError);
    }

    #[test]
    fn a_list_has_no_more_entries_than_it_may_before_and_after_auth_is_replaced() {
        let bounds = AclBounds { entries_max: 4, ..BOUNDS };
        let who: Vec<Identity> = (0..4).map(|n| digest(&format!("{n}:x"))).collect();
        let fixed = |acl: &VectorBuf<AclEntry<'static>>, who: &[Identity]| {
            fix_up(acl.as_vector(), who, &bounds).map(|fixed| fixed.len())
        };
        let anyone = (1, Some("world"), Some("anyone"));
        assert_eq!(fixed(&list(&[anyone; 4]), &[]), Ok(1));
        assert_eq!(fixed(&list(&[anyone; 5]), &[]), Err(FixUpError::TooMany));
        let auth = list(&[(1, Some("auth"), None), anyone]);
        assert_eq!(fixed(&auth, &who[..3]), Ok(4));
        assert_eq!(fixed(&auth, &who), Err(FixUpError::TooMany));
        assert_eq!(FixUpError::TooMany.code(), ErrorCode::InvalidAcl);
        assert_eq!(fixed(&list(&[(1, Some("auth"), None)]), &who), Ok(4));
    }

    proptest! {
        #[test]
        fn duplicates_and_nulls_are_found_as_by_comparing_each_with_each(
            entries in proptest::collection::vec((0i32..3, 0usize..3, 0usize..3), 0..12),
        ) {
            const WORDS: [&str; 2] = ["a", "b"];
            let entries: Vec<_> = entries
                .into_iter()
                .map(|(perms, scheme, id)| (perms, WORDS.get(scheme).copied(), WORDS.get(id).copied()))
                .collect();
            let list = list(&entries);
            let simple = || {
                let mut unique: Vec<AclEntry<'_>> = Vec::new();
                for entry in list.as_vector::<AclEntry<'_>>().iter() {
                    let mut known = false;
                    for earlier in &unique {
                        known = known || equal(&entry, earlier)?;
                    }
                    if !known {
                        unique.push(entry);
                    }
                }
                Ok(unique)
            };
            prop_assert_eq!(unique(list.as_vector()), simple());
        }
    }

    #[test]
    fn duplicates_are_dropped_and_order_stays() {
        let anyone = (1, Some("world"), Some("anyone"));
        let ip = (1, Some("ip"), Some("1.2.3.4"));
        assert_eq!(fixed(&[anyone, ip, anyone, ip], &[]).unwrap().len(), 2);
        assert_eq!(fixed(&[(2, anyone.1, anyone.2), anyone], &[]).unwrap()[0].0, 2);
    }

    #[test]
    fn ids_are_checked_by_their_scheme() {
        for (scheme, id, valid) in [
            ("world", "anyone", true),
            ("world", "x", false),
            ("digest", "a:b", true),
            ("digest", "a", false),
            ("digest", "a:", false),
            ("digest", ":b", true),
            ("digest", "a:b:", true),
            ("digest", "a:b:c", false),
            ("digest", "", false),
            ("ip", "1.2.3.4/8", true),
            ("ip", "nowhere", false),
            ("super", "", false),
            ("sasl", "u", false),
            ("x509", "CN=a", false),
        ] {
            let got = fixed(&[(31, Some(scheme), Some(id))], &[]);
            assert_eq!(got.is_ok(), valid, "{scheme}:{id}");
        }
    }

    #[test]
    fn nothing_and_nulls_are_refused_each_with_its_code() {
        assert_eq!(fixed(&[], &[]), Err(FixUpError::Invalid));
        assert_eq!(fix_up(AclVector::NULL, &[], &BOUNDS), Err(FixUpError::Invalid));
        assert_eq!(fixed(&[(1, None, Some("x"))], &[]), Err(FixUpError::Invalid));
        assert_eq!(fixed(&[(1, Some("world"), None)], &[]), Err(FixUpError::Null));
        assert_eq!(fixed(&[(1, Some("digest"), None)], &[]), Err(FixUpError::Null));
        let twice = [(1, Some("ip"), Some("::")), (1, None, Some("x"))];
        assert_eq!(fixed(&twice, &[]), Err(FixUpError::Null));
        assert_eq!(FixUpError::Null.code(), ErrorCode::MarshallingError);
        assert_eq!(FixUpError::Invalid.code(), ErrorCode::InvalidAcl);
    }

    #[test]
    fn sasl_ids_are_names_of_principals_where_the_scheme_exists() {
        let schemes = Schemes { sasl: true, ..Schemes::default() };
        let bounds = AclBounds { schemes: &schemes, ..BOUNDS };
        let fixed = |scheme, id, who: &[Identity]| {
            let list = list(&[(31, Some(scheme), id)]);
            fix_up(list.as_vector(), who, &bounds).map(|fixed| fixed.len())
        };
        for (id, valid) in [("bob", true), ("", true), ("a/b@R", true), ("a@b@c", false)] {
            assert_eq!(fixed("sasl", Some(id), &[]).is_ok(), valid, "{id}");
        }
        assert_eq!(fixed("sasl", None, &[]), Err(FixUpError::Null));
        assert_eq!(fixed("key", Some("3"), &[]), Err(FixUpError::Invalid));
        let who = [digest("a:x"), Identity::new("sasl", "bob"), Identity::new("super", "")];
        assert_eq!(fixed("auth", Some(""), &who), Ok(2), "auth stands for digest and sasl");
        assert_eq!(fixed("auth", Some(""), &who[2..]), Err(FixUpError::Invalid));
    }

    #[test]
    fn without_the_digest_scheme_its_ids_are_unknown() {
        let schemes = Schemes { digest: false, ..Schemes::default() };
        let off = AclBounds { schemes: &schemes, ..BOUNDS };
        let acl = list(&[(31, Some("digest"), Some("a:b"))]);
        assert!(fix_up(acl.as_vector(), &[], &off).is_err());
        let acl = list(&[(31, Some("auth"), Some(""))]);
        assert!(fix_up(acl.as_vector(), &[digest("a:b")], &off).is_err());
    }

    #[test]
    fn a_certificate_counts_as_proof_where_its_scheme_is_known() {
        let schemes = Schemes { x509: true, ..Schemes::default() };
        let on = AclBounds { schemes: &schemes, ..BOUNDS };
        let who = [Identity::new("super", "CN=a"), Identity::new("x509", "CN=a")];
        let auth = list(&[(31, Some("auth"), Some(""))]);
        assert!(fix_up(auth.as_vector(), &who, &BOUNDS).is_err());
        let named = list(&[(31, Some("x509"), Some("CN=a"))]);
        assert_eq!(fix_up(auth.as_vector(), &who, &on).unwrap(), named);
        assert!(fix_up(named.as_vector(), &[], &BOUNDS).is_err());
        assert_eq!(fix_up(named.as_vector(), &[], &on).unwrap(), named);
        let malformed = list(&[(31, Some("x509"), Some("a"))]);
        assert!(fix_up(malformed.as_vector(), &[], &on).is_err());
        let may = |who: &[Identity]| super::permits(named.as_vector(), perms::READ, who, &schemes);
        assert!(may(&who[1..]));
        assert!(!may(&[Identity::new("x509", "CN=b")]));
        assert!(!may(&[digest("CN=a")]));
        assert!(!permits(named.as_vector(), perms::READ, &who[1..]), "the scheme is unknown");
    }
}
