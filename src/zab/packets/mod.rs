//! The stream of [`QuorumPacket`](crate::proto::quorum::QuorumPacket)s between a learner and its
//! leader: taken apart as it arrives, in pieces of any length, and written.
//!
//! A packet has no frame: only its own lengths say where it ends. So every length is compared with its bound before it
//! is used, and a packet that arrives byte by byte costs no more than one that arrives whole.

mod content;
mod put;
mod reader;
#[cfg(test)]
mod tests;

pub use put::*;
pub use reader::{PacketReader, election_caller};

use bytes::{BufMut, Bytes};

use crate::acl::Identity;
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::jute::{Decoder, Jute};
use crate::limits::{AUTHINFO_BYTES_MAX, LEARNER_EARLY_BYTES_MAX};
use crate::proto::OpCode;
use crate::proto::data::Id;
use crate::proto::quorum::{
    ELECTION_PROTOCOL_V1, ELECTION_PROTOCOL_V2, LearnerInfo, PROTOCOL_VERSION, packet,
};
use crate::proto::txn::Txn;
use crate::session::Tenure;
use crate::zab::EpochAck;
use crate::zab::{PassedRequest, SessionScope};

use super::{Mark, Marks, Origin};

/// The bytes after the number in LEADERINFO and ACKEPOCH if both servers are Ringkeepers, which compare their
/// histories, and let servers follow that cannot be counted.
// ZooKeeper: Learner and LearnerHandler read the first four bytes, and no further.
const MARKS_KNOWN: &[u8; 4] = b"RKm1";
/// In the place of a REQUEST's zxid: only the learner knows the session.
const LOCAL_SESSION: i64 = -2;
/// In the same place: the leader knows the session as long as it lives.
const GLOBAL_SESSION: i64 = -3;
/// In the same place of a sync, and in the SYNC that answers it: it is a [fence](put_fence).
const FENCE: i64 = -4;

/// The length of the protocol's version in LEADERINFO, and of the epoch in ACKEPOCH.
const NUMBER_BYTES: usize = 4;

/// The lengths of REVALIDATE from a learner, from the leader, and of the tenure that may follow.
const ASKED_BYTES: usize = 8 + 4;
const ANSWERED_BYTES: usize = 8 + 1;
const TENURE_BYTES: usize = 8 + 8;

/// The upper half of a version of the election protocol, as it stands in the place of a packet's type.
const ELECTION_KIND: i32 = -1;

/// The length of that version and of the server's id.
const ELECTION_HEAD_BYTES: usize = 8 + 8;

/// The length of a packet's head: type, zxid and the length of its data.
const HEAD_BYTES: usize = 4 + 8 + 4;

/// The length of a packet without data and without identities.
pub const BARE_PACKET_BYTES: usize = HEAD_BYTES + 4;

/// The reason why a stream is not one of packets. Its link is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The first number is not a type.
    #[error("a packet of the unknown type {0}: whoever connected does not speak this protocol")]
    Type(i32),
    /// The stream begins like one of the election port.
    #[error("the beginning of an election, from one that says it is server {0}")]
    Election(ServerId),
    /// The data is too long, or its length is negative.
    #[error("a packet with {length} bytes of data, where {max} are allowed{}", hint(*max))]
    DataLength {
        /// The length in the packet.
        length: i32,
        /// The greatest length allowed.
        max: usize,
    },
    /// There are too many identities, or they are too long, or their number is negative.
    #[error("a packet with more than {AUTHINFO_BYTES_MAX} bytes of identities")]
    Authinfo,
    /// A string of an identity is not UTF-8.
    #[error("a packet with an identity that is no text")]
    NoText,
    /// Bytes came where the other side had to wait.
    #[error("{0} bytes came before they were asked for")]
    Unasked(usize),
    /// The data does not fit the type.
    #[error("the data of a packet of type {0} has a wrong length")]
    Data(i32),
}

/// The key that bounds the length of a packet, if the packet is from a server that has given its id.
fn hint(max: usize) -> &'static str {
    if max > LEARNER_EARLY_BYTES_MAX { " (jute.maxbuffer)" } else { "" }
}

/// One whole packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// One of [`packet`].
    pub kind: i32,
    /// Its meaning depends on the type.
    pub zxid: Zxid,
    /// Its meaning depends on the type. It is an allocation of its own, of its own size.
    pub data: Option<Bytes>,
    /// A client's identities, with REQUEST.
    pub authinfo: Vec<Identity>,
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let eight = bytes.get(at..at + 8)?;
    Some(i64::from_be_bytes(eight.try_into().expect("eight bytes were taken")))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    let four = bytes.get(at..at + 4)?;
    Some(i32::from_be_bytes(four.try_into().expect("four bytes were taken")))
}
