//! The replies of a server: the header of every reply, and the bodies with more than one field.

use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::jute::{DecodeError, Decoder, Jute, Sink, Vector};
use crate::jute_record;
use crate::proto::data::{AclVector, Stat};

/// Xids with a meaning of their own; all others are the client's, from 1 up.
pub mod xid {
    /// A watch event.
    pub const NOTIFICATION: i32 = -1;
    /// A ping and its reply.
    pub const PING: i32 = -2;
    /// `auth` and its reply.
    pub const AUTH: i32 = -4;
    /// `setWatches`, `setWatches2` and their replies.
    pub const SET_WATCHES: i32 = -8;
}

/// Before the body of every reply; there is a body only if `err` is 0. 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    /// The request's.
    pub xid: i32,
    /// The newest transaction that the server had applied when it answered.
    pub zxid: Zxid,
    /// 0, or an [`ErrorCode`].
    pub err: i32,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ReplyHeaderWire {
    xid: I32,
    zxid: I64,
    err: I32,
}

impl<'a> Jute<'a> for ReplyHeader {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let wire = ReplyHeaderWire::ref_from_bytes(input.take(size_of::<ReplyHeaderWire>())?)
            .expect("take returned the size asked for, and the layout needs no alignment");
        Ok(ReplyHeader { xid: wire.xid.get(), zxid: Zxid(wire.zxid.get()), err: wire.err.get() })
    }

    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        let wire = ReplyHeaderWire {
            xid: self.xid.into(),
            zxid: self.zxid.0.into(),
            err: self.err.into(),
        };
        out.put(wire.as_bytes());
    }
}

jute_record! {
    /// Answer to create, sync and reconfig-free paths: a path alone.
    #[derive(Copy)]
    pub struct PathResponse<'a> {
        /// The path.
        pub path: Option<&'a str>,
    }
}

jute_record! {
    /// Answer to create2, createContainer and createTTL.
    #[derive(Copy)]
    pub struct Create2Response<'a> {
        /// The path, with the sequence number if there is one.
        pub path: Option<&'a str>,
        /// Stat of the new node.
        pub stat: Stat,
    }
}

jute_record! {
    /// Answer to getData.
    #[derive(Copy)]
    pub struct GetDataResponse<'a> {
        /// The data; null and empty differ.
        pub data: Option<&'a [u8]>,
        /// Stat of the node.
        pub stat: Stat,
    }
}

jute_record! {
    /// Answer to getACL.
    #[derive(Copy)]
    pub struct GetAclResponse<'a> {
        /// The ACL.
        pub acl: AclVector<'a>,
        /// Stat of the node.
        pub stat: Stat,
    }
}

jute_record! {
    /// Answer to getChildren.
    #[derive(Copy)]
    pub struct GetChildrenResponse<'a> {
        /// Names, in no order.
        pub children: Vector<'a, Option<&'a str>>,
    }
}

jute_record! {
    /// Answer to getChildren2.
    #[derive(Copy)]
    pub struct GetChildren2Response<'a> {
        /// Names, in no order.
        pub children: Vector<'a, Option<&'a str>>,
        /// Stat of the parent.
        pub stat: Stat,
    }
}

jute_record! {
    /// One identity in the answer to whoAmI.
    #[derive(Copy)]
    pub struct ClientInfo<'a> {
        /// The scheme.
        pub auth_scheme: Option<&'a str>,
        /// The name, without secrets.
        pub user: Option<&'a str>,
    }
}

jute_record! {
    /// Before each operation and each result of a multi, and at its end.
    pub struct MultiHeader {
        /// Number of an opcode; -1 for an error result and at the end.
        pub op: i32,
        /// Whether this is the end.
        pub done: bool,
        /// 0 or -1 in a request; the error in a result.
        pub err: i32,
    }
}

impl MultiHeader {
    /// Length of the encoding.
    pub const BYTES: usize = 4 + 1 + 4;

    /// The end of a multi, in both directions.
    pub const END: MultiHeader = MultiHeader { op: -1, done: true, err: -1 };

    /// Before an operation's error; the error follows once more as an int.
    pub const fn error(code: ErrorCode) -> MultiHeader {
        MultiHeader { op: -1, done: false, err: code.code() }
    }
}
