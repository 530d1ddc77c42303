//! An ACL in a form for fast checks: the permissions of one client are found without reading all entries.
//!
//! ```text
//! simple: for each entry, for each identity: do the schemes and the names match? is a bit wanted?
//! here:   a name is found by its hash, an address among the points at which what it is given
//!         changes
//! ```
//! The simple version needs milliseconds for a list of tens of thousands of entries, and every operation of
//! a multi needs a check. A test checks that both give the same result.

use crate::acl::ip::{Address, Range};
use crate::acl::list::{Identity, Who};
use crate::acl::schemes::{Named, Schemes};
use crate::jute::{DecodeError, Decoder, Jute};
use crate::proto::data::AclVector;

/// The permissions that the entries of a list grant. The names stay in the encoding of the list.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    /// Each name of a scheme once, by its hash.
    names: Box<[Name]>,
    /// What the entries of `sasl` grant together.
    sasl_perms: i32,
    /// What addresses of IPv4 are given.
    ranges_v4: Steps,
    /// What addresses of IPv6 are given. The families do not match each other.
    ranges_v6: Steps,
}

/// A name of a scheme whose names match if they are equal.
#[derive(Debug)]
struct Name {
    /// [`Who::hash_of`] its bytes. Names with the same hash stand together.
    hash: u64,
    scheme: Named,
    /// Its offset in the bytes of the entries.
    start: usize,
    /// The offset behind it.
    end: usize,
    /// The bits of all entries with this name.
    perms: i32,
}

impl Compiled {
    /// Reads a list once. `None`: the list names only `world:anyone`, or no identity that a client can have.
    pub fn new(acl: AclVector<'_>) -> Option<Box<Compiled>> {
        let items = acl.item_bytes();
        let (mut names, mut sasl_perms): (Vec<Name>, _) = (Vec::new(), 0);
        let (mut ranges_v4, mut ranges_v6) = (Vec::new(), Vec::new());
        let mut input = Decoder::new(items);
        for _ in 0..acl.len() {
            // As bytes: two malformed texts would decode to the same string.
            let (perms, scheme, name) = entry(&mut input).expect(WHOLE);
            let Some(name) = name else { continue };
            let end = input.offset();
            let scheme = scheme.and_then(|scheme| std::str::from_utf8(scheme).ok());
            if scheme == Some("ip") {
                match std::str::from_utf8(name).ok().and_then(Range::parse) {
                    Some(range) if range.is_v4() => ranges_v4.push((range, perms)),
                    Some(range) => ranges_v6.push((range, perms)),
                    None => {}
                }
            } else if let Some(scheme) = scheme.and_then(Named::of) {
                let start = end - name.len();
                names.push(Name { hash: Who::hash_of(name), scheme, start, end, perms });
                sasl_perms |= if scheme == Named::Sasl { perms } else { 0 };
            }
        }
        names.sort_unstable_by_key(|name| {
            (name.hash, name.scheme, name.end - name.start, name.start)
        });
        names.dedup_by(|later, earlier| {
            let same = later.scheme == earlier.scheme && later.bytes(items) == earlier.bytes(items);
            earlier.perms |= if same { later.perms } else { 0 };
            same
        });
        // Equal names have the same hash and length, so they are neighbours, short of a collision of 64 bits within
        // the list. Each is left once, with the bits of all.
        let compiled = Compiled {
            names: names.into(),
            sasl_perms,
            ranges_v4: Steps::new(ranges_v4),
            ranges_v6: Steps::new(ranges_v6),
        };
        let is_empty = compiled.names.is_empty()
            && compiled.ranges_v4.0.is_empty()
            && compiled.ranges_v6.0.is_empty();
        (!is_empty).then(|| Box::new(compiled))
    }

    /// The bits that an identity has. `items`: the bytes of the entries.
    pub fn perms_of(&self, identity: &Identity, items: &[u8], schemes: &Schemes) -> i32 {
        match identity.who() {
            Who::Name { scheme, .. } if !schemes.has(scheme) => 0,
            // ZooKeeper: SASLAuthenticationProvider.matches; this user has what any user of `sasl` is given.
            Who::Name { scheme: Named::Sasl, .. } if &*identity.id == "super" => self.sasl_perms,
            Who::Name { scheme, hash } => {
                let own = self.perms_of_name(scheme, hash, identity.id.as_bytes(), items);
                let any = schemes.any_sasl_user().filter(|_| scheme == Named::Sasl);
                own | any.map_or(0, |(name, hash)| {
                    self.perms_of_name(scheme, hash, name.as_bytes(), items)
                })
            }
            Who::Address(address) if address.is_v4() => self.ranges_v4.at(address),
            Who::Address(address) => self.ranges_v6.at(address),
            Who::Super | Who::Unknown => 0,
        }
    }

    fn perms_of_name(&self, scheme: Named, hash: u64, wanted: &[u8], items: &[u8]) -> i32 {
        let first = self.names.partition_point(|name| name.hash < hash);
        self.names[first..]
            .iter()
            .take_while(|name| name.hash == hash)
            .find(|name| name.scheme == scheme && name.bytes(items) == wanted)
            .map_or(0, |name| name.perms)
    }
}

impl Name {
    /// The name itself, in the bytes of the entries.
    fn bytes<'a>(&self, items: &'a [u8]) -> &'a [u8] {
        &items[self.start..self.end]
    }
}

/// Why an entry can be decoded.
const WHOLE: &str = "every entry was decoded when the vector was made";

/// Permissions, scheme and name of an entry; a null text is `None`.
type Entry<'a> = (i32, Option<&'a [u8]>, Option<&'a [u8]>);

/// Decodes one entry: `int perms | scheme: int len, bytes | name: int len, bytes`.
///
/// # Errors
/// Never for the bytes of a vector.
fn entry<'a>(input: &mut Decoder<'a>) -> Result<Entry<'a>, DecodeError> {
    Ok((Jute::decode(input)?, Jute::decode(input)?, Jute::decode(input)?))
}

/// The addresses of one family at which the granted bits change, in rising order, with the bits from there
/// on. Addresses below the first one have no bits.
#[derive(Debug, Default)]
struct Steps(Box<[(u128, i32)]>);

impl Steps {
    /// The steps of these ranges. Of two ranges, one lies within the other, or they are disjoint: so the ranges that
    /// contain a point form a stack, and one pass in the order of their first addresses is enough.
    fn new(mut ranges: Vec<(Range, i32)>) -> Steps {
        ranges.sort_unstable_by_key(|(range, _)| (range.first(), u128::MAX - range.last()));
        let mut steps: Vec<(u128, i32)> = Vec::new();
        let mut step = |at: u128, perms: i32| match steps.last_mut() {
            Some(last) if last.0 == at => last.1 = perms,
            _ => steps.push((at, perms)),
        };
        // The ranges that contain the present point, the widest first, each with the bits of all before it.
        let mut open: Vec<(u128, i32)> = Vec::new();
        for next in ranges.iter().map(Some).chain([None]) {
            let until = next.map_or(u128::MAX, |(range, _)| range.first());
            while let Some((last, _)) = open.pop_if(|(last, _)| next.is_none() || *last < until) {
                if let Some(behind) = last.checked_add(1) {
                    step(behind, open.last().map_or(0, |(_, perms)| *perms));
                }
            }
            if let Some((range, perms)) = next {
                let perms = perms | open.last().map_or(0, |(_, perms)| *perms);
                open.push((range.last(), perms));
                step(range.first(), perms);
            }
        }
        Steps(steps.into())
    }

    /// The bits that an address has: those of the last step at or below it.
    fn at(&self, address: Address) -> i32 {
        let behind = self.0.partition_point(|(at, _)| *at <= address.number());
        behind.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::acl::{AclList, rules};
    use crate::jute::VectorBuf;
    use crate::proto::data::{AclEntry, Id};

    const NAMES: [&str; 17] = [
        "anyone",
        "super",
        "a:x",
        "b:x",
        "a:y",
        "",
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "10.1.2.2/31",
        "255.255.255.255",
        "::/0",
        "1:2:3:4:5:6:7:8/127",
        "fe80::/10",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "10.2.0.0/15",
    ];
    const SCHEMES: [&str; 7] = ["world", "digest", "ip", "sasl", "super", "key", "x509"];
    const WHO: [&str; 13] = [
        "a:x",
        "super",
        "b:x",
        "",
        "10.1.2.3",
        "10.3.2.1",
        "10.1.255.255",
        "11.0.0.0",
        "255.255.255.255",
        "0.0.0.0",
        "1:2:3:4:5:6:7:8",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe80:0:0:0:0:0:0:1",
    ];

    proptest! {
        #[test]
        fn what_is_found_is_what_a_look_at_every_entry_finds(
            entries in proptest::collection::vec((0i32..32, 0usize..9, 0usize..18), 0..40),
            who in proptest::collection::vec((0usize..7, 0usize..13), 0..4),
            wanted in 1i32..32,
            existing in proptest::collection::vec(any::<bool>(), 5),
        ) {
            let mut list = VectorBuf::<AclEntry<'static>>::default();
            for (perms, scheme, name) in entries {
                // Most generated entries have schemes that a client can have.
                let scheme = SCHEMES.get(scheme).or(SCHEMES.get(scheme.saturating_sub(6))).copied();
                list.push(&AclEntry { perms, id: Id { scheme, id: NAMES.get(name).copied() } });
            }
            let who: Vec<Identity> =
                who.into_iter().map(|(scheme, name)| Identity::new(SCHEMES[scheme], WHO[name])).collect();
            let acl = list.as_vector();
            let schemes = Schemes {
                digest: existing[0],
                sasl: existing[1],
                key: existing[2],
                x509: existing[3],
                ..Schemes::default()
            };
            let schemes = schemes.with_any_sasl_user(existing[4].then_some("b:x"));
            prop_assert_eq!(
                AclList::new(acl).permits(wanted, &who, &schemes),
                rules::permits(acl, wanted, &who, &schemes)
            );
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_nobodys() {
        let mut items = Vec::new();
        for (perms, name) in [(31, &b"a\xff:x"[..]), (1, b"b:x")] {
            perms.encode(&mut items);
            Some("digest").encode(&mut items);
            Some(name).encode(&mut items);
        }
        let bytes = [&2i32.to_be_bytes()[..], &items].concat();
        let acl = AclList::new(AclVector::from_bytes(&bytes).unwrap());
        let permits = |name| acl.permits(1, &[Identity::new("digest", name)], &Schemes::default());
        assert!(!permits("a\u{fffd}:x"));
        assert!(!permits("\u{fffd}"));
        assert!(permits("b:x"));
    }

    #[test]
    fn a_list_of_everybody_alone_needs_nothing_more() {
        assert!(Compiled::new(AclList::open().vector()).is_none());
        assert!(AclList::new(AclVector::EMPTY).permits(16, &[], &Schemes::default()));
    }
}
