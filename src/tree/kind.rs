//! What a node's `ephemeralOwner` says about it (`EphemeralType`, `EphemeralTypeEmulate353`).
//!
//! | stored number | kind |
//! |---|---|
//! | 0 | persistent |
//! | `0x8000000000000000` | container |
//! | `0xff`, two bytes 0, five bytes of ms (with extended types) | persistent with time to live |
//! | anything else | ephemeral: the session's id |

use crate::id::SessionId;

/// The stored owner of a container.
pub const CONTAINER_OWNER: i64 = i64::MIN;

/// The longest time to live, in ms: five bytes.
pub const TTL_MS_MAX: i64 = 0xff_ffff_ffff;

/// With extended types, no server may have a greater id: its sessions would look like extended
/// owners (`EphemeralType.validateServerId`).
pub const EXTENDED_SERVER_ID_MAX: i64 = 0xfe;

/// The high byte of an extended owner.
const EXTENDED_MASK: i64 = 0xff << 56;

/// The two bytes that name the feature of an extended owner; 0 is the time to live.
const FEATURE_MASK: i64 = 0xffff << 40;

/// The kinds of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Stays until deleted.
    Persistent,
    /// Deleted with its session.
    Ephemeral(SessionId),
    /// Deleted some time after its last child.
    Container,
    /// Deleted when it has had no children and no new data for a time.
    Ttl {
        /// That time.
        ttl_ms: i64,
    },
}

/// The switches that decide how a stored owner is interpreted. They belong to the installation:
/// without them the same bytes mean something else, as in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KindRules {
    /// `zookeeper.extendedTypesEnabled`.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`: with extended types, every negative owner is a TTL node.
    pub emulate_353_ttl: bool,
}

impl KindRules {
    /// The kind of a node with this stored owner.
    pub fn kind(self, owner: i64) -> NodeKind {
        if self.extended_types {
            if self.emulate_353_ttl && owner < 0 && owner != CONTAINER_OWNER {
                return NodeKind::Ttl { ttl_ms: owner & TTL_MS_MAX };
            }
            if owner & EXTENDED_MASK == EXTENDED_MASK {
                // ZooKeeper: another feature than 0 throws. A node of an unknown kind is safe only
                // if nothing deletes it.
                return match owner & FEATURE_MASK {
                    0 => NodeKind::Ttl { ttl_ms: owner & TTL_MS_MAX },
                    _ => NodeKind::Persistent,
                };
            }
        }
        match owner {
            CONTAINER_OWNER => NodeKind::Container,
            0 => NodeKind::Persistent,
            session => NodeKind::Ephemeral(SessionId(session)),
        }
    }

    /// The owner that clients see: 0 for all but ephemeral nodes.
    pub fn owner_for_clients(self, owner: i64) -> i64 {
        match self.kind(owner) {
            NodeKind::Ephemeral(session) => session.0,
            NodeKind::Persistent | NodeKind::Container | NodeKind::Ttl { .. } => 0,
        }
    }
}

/// The stored owner of a node with a time to live; `None` if the time is not one.
pub fn ttl_owner(ttl_ms: i64) -> Option<i64> {
    (1..=TTL_MS_MAX).contains(&ttl_ms).then_some(EXTENDED_MASK | ttl_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: KindRules = KindRules { extended_types: false, emulate_353_ttl: false };
    const NEW: KindRules = KindRules { extended_types: true, emulate_353_ttl: false };
    const EMULATED: KindRules = KindRules { extended_types: true, emulate_353_ttl: true };

    #[test]
    fn a_ttl_is_one_only_where_extended_types_are_on() {
        let owner = ttl_owner(5000).unwrap();
        assert_eq!(NEW.kind(owner), NodeKind::Ttl { ttl_ms: 5000 });
        assert_eq!(OLD.kind(owner), NodeKind::Ephemeral(SessionId(owner)));
        assert_eq!(NEW.owner_for_clients(owner), 0);
    }

    #[test]
    fn a_container_is_always_one() {
        for rules in [OLD, NEW, EMULATED] {
            assert_eq!(rules.kind(CONTAINER_OWNER), NodeKind::Container);
            assert_eq!(rules.kind(0), NodeKind::Persistent);
            assert_eq!(rules.kind(7), NodeKind::Ephemeral(SessionId(7)));
        }
    }

    #[test]
    fn the_ttls_of_3_5_3_are_any_negative_owner() {
        let owner = i64::MIN | 1234;
        assert_eq!(EMULATED.kind(owner), NodeKind::Ttl { ttl_ms: 1234 });
        assert_eq!(NEW.kind(owner), NodeKind::Ephemeral(SessionId(owner)));
    }

    #[test]
    fn an_unknown_extension_is_never_deleted() {
        assert_eq!(NEW.kind(EXTENDED_MASK | 1 << 40 | 5), NodeKind::Persistent);
    }

    #[test]
    fn a_ttl_is_positive_and_fits_five_bytes() {
        assert_eq!(ttl_owner(0), None);
        assert_eq!(ttl_owner(TTL_MS_MAX + 1), None);
        assert!(ttl_owner(TTL_MS_MAX).is_some());
    }
}
