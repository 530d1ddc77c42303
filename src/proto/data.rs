//! The parts of a node: identities, ACL entries and the two forms of Stat (`data` in
//! `zookeeper.jute`).

use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::id::Zxid;
use crate::jute::{DecodeError, Decoder, Jute, Sink, Vector};
use crate::jute_record;

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

/// The Stat of a node as clients get it; 68 bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stat {
    /// Zxid of the create.
    pub czxid: Zxid,
    /// Zxid of the last change of data.
    pub mzxid: Zxid,
    /// Time of the create, ms since the Unix epoch, by the leader's clock.
    pub ctime: i64,
    /// Time of the last change of data.
    pub mtime: i64,
    /// Number of changes of data.
    pub version: i32,
    /// Number of changes of the children, deletes included.
    pub cversion: i32,
    /// Number of changes of the ACL.
    pub aversion: i32,
    /// The owning session; 0 for every node that is not ephemeral.
    pub ephemeral_owner: i64,
    /// Bytes of data; 0 for null.
    pub data_length: i32,
    /// Number of children.
    pub num_children: i32,
    /// Zxid of the last change of the children.
    pub pzxid: Zxid,
}

/// The stored part of a node's Stat; 60 bytes in snapshots. `cversion` counts creates only, and
/// `ephemeral_owner` also says whether the node is a container or has a time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StatPersisted {
    /// Zxid of the create.
    pub czxid: Zxid,
    /// Zxid of the last change of data.
    pub mzxid: Zxid,
    /// Time of the create, ms since the Unix epoch.
    pub ctime: i64,
    /// Time of the last change of data.
    pub mtime: i64,
    /// Number of changes of data.
    pub version: i32,
    /// Number of creates of children, ever.
    pub cversion: i32,
    /// Number of changes of the ACL.
    pub aversion: i32,
    /// Owning session, or the code of a container or TTL node.
    pub ephemeral_owner: i64,
    /// Zxid of the last change of the children.
    pub pzxid: Zxid,
}

/// [`Stat`] on the wire.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StatWire {
    czxid: I64,
    mzxid: I64,
    ctime: I64,
    mtime: I64,
    version: I32,
    cversion: I32,
    aversion: I32,
    ephemeral_owner: I64,
    data_length: I32,
    num_children: I32,
    pzxid: I64,
}

/// [`StatPersisted`] on disk.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StatPersistedWire {
    czxid: I64,
    mzxid: I64,
    ctime: I64,
    mtime: I64,
    version: I32,
    cversion: I32,
    aversion: I32,
    ephemeral_owner: I64,
    pzxid: I64,
}

const _: () = assert!(size_of::<StatWire>() == 68);
const _: () = assert!(size_of::<StatPersistedWire>() == 60);

impl From<&Stat> for StatWire {
    fn from(stat: &Stat) -> Self {
        let Stat {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            data_length,
            num_children,
            pzxid,
        } = *stat;
        StatWire {
            czxid: czxid.0.into(),
            mzxid: mzxid.0.into(),
            ctime: ctime.into(),
            mtime: mtime.into(),
            version: version.into(),
            cversion: cversion.into(),
            aversion: aversion.into(),
            ephemeral_owner: ephemeral_owner.into(),
            data_length: data_length.into(),
            num_children: num_children.into(),
            pzxid: pzxid.0.into(),
        }
    }
}

impl From<&StatPersisted> for StatPersistedWire {
    fn from(stat: &StatPersisted) -> Self {
        let StatPersisted {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            pzxid,
        } = *stat;
        StatPersistedWire {
            czxid: czxid.0.into(),
            mzxid: mzxid.0.into(),
            ctime: ctime.into(),
            mtime: mtime.into(),
            version: version.into(),
            cversion: cversion.into(),
            aversion: aversion.into(),
            ephemeral_owner: ephemeral_owner.into(),
            pzxid: pzxid.0.into(),
        }
    }
}

impl<'a> Jute<'a> for Stat {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let wire = StatWire::ref_from_bytes(input.take(size_of::<StatWire>())?)
            .expect("take returned the size asked for, and the layout needs no alignment");
        Ok(Stat {
            czxid: Zxid(wire.czxid.get()),
            mzxid: Zxid(wire.mzxid.get()),
            ctime: wire.ctime.get(),
            mtime: wire.mtime.get(),
            version: wire.version.get(),
            cversion: wire.cversion.get(),
            aversion: wire.aversion.get(),
            ephemeral_owner: wire.ephemeral_owner.get(),
            data_length: wire.data_length.get(),
            num_children: wire.num_children.get(),
            pzxid: Zxid(wire.pzxid.get()),
        })
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.put(StatWire::from(self).as_bytes());
    }
}

impl<'a> Jute<'a> for StatPersisted {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let wire = StatPersistedWire::ref_from_bytes(input.take(size_of::<StatPersistedWire>())?)
            .expect("take returned the size asked for, and the layout needs no alignment");
        Ok(StatPersisted {
            czxid: Zxid(wire.czxid.get()),
            mzxid: Zxid(wire.mzxid.get()),
            ctime: wire.ctime.get(),
            mtime: wire.mtime.get(),
            version: wire.version.get(),
            cversion: wire.cversion.get(),
            aversion: wire.aversion.get(),
            ephemeral_owner: wire.ephemeral_owner.get(),
            pzxid: Zxid(wire.pzxid.get()),
        })
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        out.put(StatPersistedWire::from(self).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_keeps_every_field_in_its_place() {
        let bytes: Vec<u8> = (1..=68).collect();
        let stat = Stat::from_bytes(&bytes).unwrap();
        assert_eq!(stat.czxid, Zxid(0x0102_0304_0506_0708));
        assert_eq!(stat.version, 0x2122_2324);
        assert_eq!(stat.to_bytes(), bytes);
        let persisted = StatPersisted::from_bytes(&bytes).unwrap();
        assert_eq!(persisted.to_bytes(), &bytes[..60]);
    }
}
