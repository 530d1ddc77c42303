//! Transactions, which servers agree on, log and apply (`TxnHeader`, `*Txn`, `SerializeUtils`).
//!
//! A [`Txn`] is its own encoding, checked once: the bytes in it go to the log and to every
//! follower, and the tree is changed by reading them in place. So a transaction has one form,
//! whether this server made it, a leader sent it, or it was read from a log.

use bytes::Bytes;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::id::{SessionId, Zxid};
use crate::jute::{Bounded, DecodeError, Decoder, Jute, Overrun, Sink, Vector};
use crate::jute_record;
use crate::proto::data::AclVector;
use crate::proto::opcode::OpCode;
use crate::proto::request::Paths;

/// Before the body of every transaction; 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnHeader {
    /// The session that asked for it; 0 for the server itself.
    pub client_id: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// Its place in the order of all transactions.
    pub zxid: Zxid,
    /// The leader's clock, ms since the Unix epoch.
    pub time: i64,
    /// What it does.
    pub op: OpCode,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct TxnHeaderWire {
    client_id: I64,
    cxid: I32,
    zxid: I64,
    time: I64,
    op: I32,
}

const _: () = assert!(size_of::<TxnHeaderWire>() == TxnHeader::BYTES);

impl TxnHeader {
    /// Length of the encoding.
    pub const BYTES: usize = 32;
}

impl<'a> Jute<'a> for TxnHeader {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let offset = input.offset();
        let wire = TxnHeaderWire::ref_from_bytes(input.take(TxnHeader::BYTES)?)
            .expect("take returned the size asked for, and the layout needs no alignment");
        let number = wire.op.get();
        let Some(op) = OpCode::from_i32(number) else {
            let value = i64::from(number);
            return Err(DecodeError::BadValue { what: "transaction type", value, offset });
        };
        Ok(TxnHeader {
            client_id: SessionId(wire.client_id.get()),
            cxid: wire.cxid.get(),
            zxid: Zxid(wire.zxid.get()),
            time: wire.time.get(),
            op,
        })
    }

    fn encode(&self, out: &mut impl Sink) {
        let wire = TxnHeaderWire {
            client_id: self.client_id.0.into(),
            cxid: self.cxid.into(),
            zxid: self.zxid.0.into(),
            time: self.time.into(),
            op: self.op.number().into(),
        };
        out.put(wire.as_bytes());
    }
}

/// Version of the digest algorithm that Ringkeeper implements (`DigestCalculator.DIGEST_VERSION`).
pub const DIGEST_VERSION: i32 = 2;

jute_record! {
    /// The digest of the whole tree after the transaction.
    pub struct TxnDigest {
        /// Version of the algorithm; only [`DIGEST_VERSION`] can be compared.
        pub version: i32,
        /// The digest.
        pub tree_digest: i64,
    }
}

jute_record! {
    /// create, create2.
    #[derive(Copy)]
    pub struct CreateTxn<'a> {
        /// The whole path.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// The ACL.
        pub acl: AclVector<'a>,
        /// Whether the node is deleted with the session.
        pub ephemeral: bool,
        /// The parent's stored cversion afterwards; -1 (in old logs): one more than before.
        pub parent_cversion: i32,
    }
}

jute_record! {
    /// createContainer.
    #[derive(Copy)]
    pub struct CreateContainerTxn<'a> {
        /// The whole path.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// The ACL.
        pub acl: AclVector<'a>,
        /// The parent's stored cversion afterwards.
        pub parent_cversion: i32,
    }
}

jute_record! {
    /// createTTL.
    #[derive(Copy)]
    pub struct CreateTtlTxn<'a> {
        /// The whole path.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// The ACL.
        pub acl: AclVector<'a>,
        /// The parent's stored cversion afterwards.
        pub parent_cversion: i32,
        /// Time to live in ms.
        pub ttl: i64,
    }
}

jute_record! {
    /// delete, deleteContainer.
    #[derive(Copy)]
    pub struct DeleteTxn<'a> {
        /// The path.
        pub path: Option<&'a str>,
    }
}

jute_record! {
    /// setData, reconfig.
    #[derive(Copy)]
    pub struct SetDataTxn<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The data.
        pub data: Option<&'a [u8]>,
        /// The version afterwards; -1 for reconfig.
        pub version: i32,
    }
}

jute_record! {
    /// setACL.
    #[derive(Copy)]
    pub struct SetAclTxn<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The ACL.
        pub acl: AclVector<'a>,
        /// The ACL version afterwards.
        pub version: i32,
    }
}

jute_record! {
    /// check, only within a multi.
    #[derive(Copy)]
    pub struct CheckVersionTxn<'a> {
        /// The path.
        pub path: Option<&'a str>,
        /// The version.
        pub version: i32,
    }
}

jute_record! {
    /// One operation of a multi: its type and its encoded body.
    #[derive(Copy)]
    pub struct SubTxn<'a> {
        /// Number of an opcode.
        pub op: i32,
        /// The encoding of a body.
        pub body: Option<&'a [u8]>,
    }
}

/// What a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxnBody<'a> {
    /// create, create2.
    Create(CreateTxn<'a>),
    /// createContainer.
    CreateContainer(CreateContainerTxn<'a>),
    /// createTTL.
    CreateTtl(CreateTtlTxn<'a>),
    /// delete, deleteContainer.
    Delete(DeleteTxn<'a>),
    /// setData, reconfig.
    SetData(SetDataTxn<'a>),
    /// setACL.
    SetAcl(SetAclTxn<'a>),
    /// check.
    Check(CheckVersionTxn<'a>),
    /// createSession: the timeout in ms.
    CreateSession {
        /// The timeout in ms.
        timeout_ms: i32,
    },
    /// closeSession: its ephemeral nodes; `None` in logs older than 3.6 and with
    /// `closeSessionTxn.enabled=false`: then the tree lists them.
    CloseSession {
        /// The nodes to delete.
        paths: Option<Paths<'a>>,
    },
    /// A request that failed.
    Error {
        /// An [`ErrorCode`](crate::error::ErrorCode)'s number.
        err: i32,
    },
    /// multi. The parts hold the same kinds of bodies, except sessions and multis.
    Multi(Vector<'a, SubTxn<'a>>),
}

impl<'a> TxnBody<'a> {
    /// Reads the body of a transaction of the type `op`, digest excluded.
    ///
    /// # Errors
    /// The bytes are not such a body, or the type is not that of a transaction.
    pub fn decode(op: OpCode, input: &mut Decoder<'a>) -> Result<TxnBody<'a>, DecodeError> {
        Ok(match op {
            OpCode::Create | OpCode::Create2 => {
                let path = Jute::decode(input)?;
                let data = Jute::decode(input)?;
                let acl = Jute::decode(input)?;
                let ephemeral = Jute::decode(input)?;
                // ZooKeeper: CreateTxnV0, before 3.4, ends here (MultiTxn and SerializeUtils fall
                // back to it when the record is too short).
                let parent_cversion = if input.is_empty() { -1 } else { input.i32()? };
                TxnBody::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
            }
            OpCode::CreateContainer => TxnBody::CreateContainer(Jute::decode(input)?),
            OpCode::CreateTtl => TxnBody::CreateTtl(Jute::decode(input)?),
            OpCode::Delete | OpCode::DeleteContainer => TxnBody::Delete(Jute::decode(input)?),
            OpCode::SetData | OpCode::Reconfig => TxnBody::SetData(Jute::decode(input)?),
            OpCode::SetAcl => TxnBody::SetAcl(Jute::decode(input)?),
            OpCode::Check => TxnBody::Check(Jute::decode(input)?),
            OpCode::CreateSession => TxnBody::CreateSession { timeout_ms: input.i32()? },
            OpCode::CloseSession => {
                let paths = if input.is_empty() { None } else { Some(Jute::decode(input)?) };
                TxnBody::CloseSession { paths }
            }
            OpCode::Error => TxnBody::Error { err: input.i32()? },
            OpCode::Multi => {
                let offset = input.offset();
                let parts: Vector<'a, SubTxn<'a>> = Jute::decode(input)?;
                for part in parts.iter() {
                    Self::decode_part(&part, offset)?;
                }
                TxnBody::Multi(parts)
            }
            _ => {
                let value = i64::from(op.number());
                let offset = input.offset();
                return Err(DecodeError::BadValue { what: "transaction type", value, offset });
            }
        })
    }

    /// Reads one part of a multi.
    ///
    /// # Errors
    /// A multi may not contain its type, or its body is not of that type.
    fn decode_part(part: &SubTxn<'a>, offset: usize) -> Result<(OpCode, TxnBody<'a>), DecodeError> {
        let value = i64::from(part.op);
        let bad = DecodeError::BadValue { what: "type within a multi", value, offset };
        let op = OpCode::from_i32(part.op).ok_or(bad)?;
        match op {
            OpCode::Multi | OpCode::CreateSession | OpCode::CloseSession | OpCode::Reconfig => {
                Err(bad)
            }
            _ => {
                let body = part.body.unwrap_or_default();
                Ok((op, Self::decode(op, &mut Decoder::new(body))?))
            }
        }
    }

    /// The operations of a multi that was decoded.
    pub fn parts(parts: Vector<'a, SubTxn<'a>>) -> impl Iterator<Item = (OpCode, TxnBody<'a>)> {
        parts
            .iter()
            .map(|part| Self::decode_part(&part, 0).expect("every part was decoded with the multi"))
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut impl Sink) {
        match self {
            TxnBody::Create(body) => body.encode(out),
            TxnBody::CreateContainer(body) => body.encode(out),
            TxnBody::CreateTtl(body) => body.encode(out),
            TxnBody::Delete(body) => body.encode(out),
            TxnBody::SetData(body) => body.encode(out),
            TxnBody::SetAcl(body) => body.encode(out),
            TxnBody::Check(body) => body.encode(out),
            TxnBody::CreateSession { timeout_ms } => timeout_ms.encode(out),
            TxnBody::CloseSession { paths } => {
                if let Some(paths) = paths {
                    paths.encode(out);
                }
            }
            TxnBody::Error { err } => err.encode(out),
            TxnBody::Multi(parts) => parts.encode(out),
        }
    }
}

/// A checked transaction: header, body, perhaps a digest, and their encoding.
///
/// Cheap to clone: the bytes are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    header: TxnHeader,
    digest: Option<TxnDigest>,
    /// Where the body ends and the digest, if any, begins.
    body_end: usize,
    /// Header, body, digest: the entry of the log and the data of a PROPOSAL.
    bytes: Bytes,
}

/// Room for a create of a path of 60 bytes with data of 100 and one ACL entry, without growing.
const TYPICAL_BYTES: usize = 256;

impl Txn {
    /// Encodes a transaction whose size no client chooses.
    pub fn new(header: TxnHeader, body: &TxnBody<'_>, digest: Option<TxnDigest>) -> Txn {
        Self::new_within(header, body, digest, usize::MAX)
            .expect("a transaction whose size no client chooses fits a frame")
    }

    /// Encodes a transaction of at most `bytes_max`.
    ///
    /// # Errors
    /// It is longer; at most that much was written.
    pub fn new_within(
        header: TxnHeader,
        body: &TxnBody<'_>,
        digest: Option<TxnDigest>,
        bytes_max: usize,
    ) -> Result<Txn, Overrun> {
        let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
        let mut out = Bounded::new(&mut bytes, bytes_max);
        header.encode(&mut out);
        body.encode(&mut out);
        let body_end = out.len();
        if let Some(digest) = digest {
            digest.encode(&mut out);
        }
        out.finish()?;
        Ok(Txn { header, digest, body_end, bytes: bytes.into() })
    }

    /// Checks an entry of a log or the data of a PROPOSAL. Bytes after the digest are dropped:
    /// padding of a group in our own logs, fields of later versions in other files.
    ///
    /// # Errors
    /// It is not a transaction.
    pub fn parse(bytes: &Bytes) -> Result<Txn, DecodeError> {
        let mut input = Decoder::new(bytes);
        let header = TxnHeader::decode(&mut input)?;
        let (body_end, digest) = match header.op {
            // These bodies have optional fields at their end, which only the length distinguishes
            // from a digest: read them first with all that follows, as ZooKeeper's reader does.
            OpCode::CloseSession => Self::close_session_end(&mut input)?,
            _ => {
                TxnBody::decode(header.op, &mut input)?;
                (input.offset(), Self::digest(&mut input))
            }
        };
        let end = body_end + if digest.is_some() { 12 } else { 0 };
        Ok(Txn { header, digest, body_end, bytes: bytes.slice(..end) })
    }

    fn digest(input: &mut Decoder<'_>) -> Option<TxnDigest> {
        let digest = TxnDigest::decode(input).ok()?;
        // Version 0 is no version: these are zeroes that fill a group, not a digest.
        (digest.version > 0).then_some(digest)
    }

    /// A closeSession of before 3.6 has no body, only perhaps a digest. Its version, 1 or 2, would
    /// then be taken for a count of paths; but no count fits what follows.
    fn close_session_end(
        input: &mut Decoder<'_>,
    ) -> Result<(usize, Option<TxnDigest>), DecodeError> {
        let start = *input;
        if input.is_empty() {
            return Ok((start.offset(), None));
        }
        match Paths::decode(input) {
            Ok(_) => Ok((input.offset(), Self::digest(input))),
            Err(error) => {
                *input = start;
                match Self::digest(input) {
                    Some(digest) => Ok((start.offset(), Some(digest))),
                    None => Err(error),
                }
            }
        }
    }

    /// Its session, time and type.
    pub fn header(&self) -> &TxnHeader {
        &self.header
    }

    /// Its place in the order of all transactions.
    pub fn zxid(&self) -> Zxid {
        self.header.zxid
    }

    /// Its path, if its body begins with one: as bytes, without decoding, to prefetch the node.
    #[inline]
    pub fn path_ahead(&self) -> Option<&[u8]> {
        match self.header.op {
            OpCode::Create
            | OpCode::Create2
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Delete => {
                let body = &self.bytes[TxnHeader::BYTES..self.body_end];
                <Option<&[u8]>>::decode(&mut Decoder::new(body)).ok()?
            }
            _ => None,
        }
    }

    /// The digest of the tree afterwards, if the proposing server computed one.
    pub fn digest_after(&self) -> Option<TxnDigest> {
        self.digest
    }

    /// What it does, read in place.
    pub fn body(&self) -> TxnBody<'_> {
        let body = &self.bytes[TxnHeader::BYTES..self.body_end];
        let decoded = match self.header.op {
            // The list is not walked again: a caller that wants its parts decodes each of them.
            OpCode::Multi => Vector::decoded_before(body).map(TxnBody::Multi),
            OpCode::CloseSession if !body.is_empty() => Vector::decoded_before(body)
                .map(|paths| TxnBody::CloseSession { paths: Some(paths) }),
            op => TxnBody::decode(op, &mut Decoder::new(body)),
        };
        decoded.expect("the body was decoded when the transaction was made")
    }

    /// The encoding: header, body and digest.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(op: OpCode) -> TxnHeader {
        TxnHeader { client_id: SessionId(5), cxid: 1, zxid: Zxid(9), time: 77, op }
    }

    fn round_trip(op: OpCode, body: &TxnBody<'_>) {
        for digest in [None, Some(TxnDigest { version: 2, tree_digest: 1_371_985_504 })] {
            let txn = Txn::new(header(op), body, digest);
            let read = Txn::parse(txn.bytes()).unwrap();
            assert_eq!(read, txn);
            assert_eq!(&read.body(), body);
        }
    }

    #[test]
    fn transactions_come_back_as_they_were_made() {
        let create = TxnBody::Create(CreateTxn {
            path: Some("/a"),
            data: None,
            acl: AclVector::EMPTY,
            ephemeral: false,
            parent_cversion: 3,
        });
        round_trip(OpCode::Create, &create);
        round_trip(OpCode::Error, &TxnBody::Error { err: -101 });
        round_trip(OpCode::CreateSession, &TxnBody::CreateSession { timeout_ms: 4000 });
        round_trip(OpCode::CloseSession, &TxnBody::CloseSession { paths: Some(Paths::EMPTY) });
        round_trip(OpCode::Delete, &TxnBody::Delete(DeleteTxn { path: Some("/a") }));
    }

    #[test]
    fn a_close_session_without_paths_may_still_have_a_digest() {
        round_trip(OpCode::CloseSession, &TxnBody::CloseSession { paths: None });
    }

    #[test]
    fn zeroes_behind_a_transaction_are_not_a_digest() {
        let txn = Txn::new(
            header(OpCode::Delete),
            &TxnBody::Delete(DeleteTxn { path: Some("/a") }),
            None,
        );
        let mut padded = txn.bytes().to_vec();
        padded.extend_from_slice(&[0; 100]);
        let read = Txn::parse(&padded.into()).unwrap();
        assert_eq!(read, txn);
    }

    #[test]
    fn a_multi_may_not_hold_a_multi() {
        let mut parts = crate::jute::VectorBuf::<SubTxn<'_>>::default();
        parts.push(&SubTxn { op: OpCode::Multi.number(), body: Some(&[0; 4]) });
        let txn = Txn::new(header(OpCode::Multi), &TxnBody::Multi(parts.as_vector()), None);
        assert!(Txn::parse(txn.bytes()).is_err());
    }
}
