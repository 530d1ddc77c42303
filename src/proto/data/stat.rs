//! A node's Stat: what clients see of it, and what a server stores.
//!
//! The fields of each stand once, in the order of their bytes: the struct, its layout on the wire and both directions
//! of its encoding are made from one list.

use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::id::Zxid;
use crate::jute::{DecodeError, Decoder, Jute, Sink};

/// A number of fixed size.
trait Number: Copy {
    /// Its bytes, big-endian and without alignment.
    type Wire: Copy;
    fn from_wire(wire: Self::Wire) -> Self;
    fn to_wire(self) -> Self::Wire;
}

impl Number for i32 {
    type Wire = I32;
    fn from_wire(wire: I32) -> i32 {
        wire.get()
    }
    fn to_wire(self) -> I32 {
        I32::new(self)
    }
}

impl Number for i64 {
    type Wire = I64;
    fn from_wire(wire: I64) -> i64 {
        wire.get()
    }
    fn to_wire(self) -> I64 {
        I64::new(self)
    }
}

impl Number for Zxid {
    type Wire = I64;
    fn from_wire(wire: I64) -> Zxid {
        Zxid(wire.get())
    }
    fn to_wire(self) -> I64 {
        I64::new(self.0)
    }
}

/// A record of numbers alone, which is read and written with one copy: `$wire` has its bytes.
macro_rules! number_record {
    (
        $(#[$meta:meta])* pub struct $name:ident as $wire:ident of $bytes:literal bytes {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        #[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
        #[repr(C)]
        struct $wire { $($field: <$type as Number>::Wire,)* }

        const _: () = assert!(size_of::<$wire>() == $bytes);

        impl<'a> Jute<'a> for $name {
            fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
                let wire = $wire::ref_from_bytes(input.take(size_of::<$wire>())?)
                    .expect("take returned the size asked for, and the layout needs no alignment");
                Ok($name { $($field: Number::from_wire(wire.$field),)* })
            }

            #[inline]
            fn encode(&self, out: &mut impl Sink) {
                let wire = $wire { $($field: self.$field.to_wire(),)* };
                out.put(wire.as_bytes());
            }
        }
    };
}

number_record! {
    /// The Stat of a node as clients get it.
    pub struct Stat as StatWire of 68 bytes {
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
}

number_record! {
    /// The stored part of a node's Stat, as snapshots have it. `cversion` counts creates only, and `ephemeral_owner`
    /// also says whether the node is a container or has a time to live.
    pub struct StatPersisted as StatPersistedWire of 60 bytes {
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
}

impl StatPersisted {
    /// The Stat of a node that the transaction `zxid` creates. The leader that predicts a digest and the servers that
    /// apply the transaction use the same one.
    pub fn of_created(zxid: Zxid, time: i64, ephemeral_owner: i64) -> StatPersisted {
        StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner,
            ..StatPersisted::default()
        }
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
