//! The stream of [`QuorumPacket`](crate::proto::quorum::QuorumPacket)s between a learner and its
//! leader: taken apart as it arrives, in pieces of any length, and written.
//!
//! A packet is not framed: only its own lengths say where it ends. So nothing is believed of a
//! length before it is compared with its bound, and a packet that drips in byte by byte costs no
//! more than one that comes whole.

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

/// What follows in the data of LEADERINFO and ACKEPOCH where both servers are Ringkeepers: histories
/// are compared, and whoever cannot be counted may follow without a vote.
// ZooKeeper: Learner and LearnerHandler read the first four bytes, and no further.
const MARKS_KNOWN: &[u8; 4] = b"RKm1";
/// In the place of a REQUEST's zxid: the session is one that the learner alone knows.
const LOCAL_SESSION: i64 = -2;
/// In the same place: the session is known to the leader, as long as it lives.
const GLOBAL_SESSION: i64 = -3;
/// In the same place of a sync: it is a [fence](put_fence). Also in SYNC, which answers it.
const FENCE: i64 = -4;

/// Bytes of the protocol's version in LEADERINFO, and of the epoch in ACKEPOCH.
const NUMBER_BYTES: usize = 4;

/// Bytes of REVALIDATE from a learner, from the leader, and of the tenure that may follow.
const ASKED_BYTES: usize = 8 + 4;
const ANSWERED_BYTES: usize = 8 + 1;
const TENURE_BYTES: usize = 8 + 8;

/// The type of a packet that a version of the election's protocol would be: its upper half.
const ELECTION_KIND: i32 = -1;

/// That version, and the id of the server.
const ELECTION_HEAD_BYTES: usize = 8 + 8;

/// Bytes before the data of a packet: type, zxid and the data's length.
const HEAD_BYTES: usize = 4 + 8 + 4;

/// A packet with no data and no identities.
pub const BARE_PACKET_BYTES: usize = HEAD_BYTES + 4;

/// Why a stream is not one of packets. The link it came on is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The first number is no type.
    #[error("a packet of the unknown type {0}: whoever connected does not speak this protocol")]
    Type(i32),
    /// The stream begins as one of the election port does.
    #[error("the beginning of an election, from one that says it is server {0}")]
    Election(ServerId),
    /// The data is too long, or its length is negative.
    #[error("a packet with {length} bytes of data, where {max} are allowed{}", hint(*max))]
    DataLength {
        /// What it says.
        length: i32,
        /// What is allowed.
        max: usize,
    },
    /// There are too many identities, or they are too long, or their number is negative.
    #[error("a packet with more than {AUTHINFO_BYTES_MAX} bytes of identities")]
    Authinfo,
    /// A string of an identity is not UTF-8.
    #[error("a packet with an identity that is no text")]
    NoText,
    /// More came than was asked for.
    #[error("{0} bytes came before they were asked for")]
    Unasked(usize),
    /// The data is not what its type says.
    #[error("the data of a packet of type {0} has a wrong length")]
    Data(i32),
}

/// The key that says how long a packet may be, for one from a server that has said who it is.
fn hint(max: usize) -> &'static str {
    if max > LEARNER_EARLY_BYTES_MAX { " (jute.maxbuffer)" } else { "" }
}

/// One whole packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// One of [`packet`].
    pub kind: i32,
    /// What it is depends on the type.
    pub zxid: Zxid,
    /// What it is depends on the type; in an allocation of its own size.
    pub data: Option<Bytes>,
    /// A client's identities, with REQUEST.
    pub authinfo: Vec<Identity>,
}

/// Takes packets out of a stream.
///
/// Invariant: after [`PacketReader::next`] said `None` it holds less than one packet.
#[derive(Debug)]
pub struct PacketReader {
    buffer: Vec<u8>,
    /// Where the packet that is next begins.
    start: usize,
    /// How far the identities of this packet were walked.
    walked: Option<Walked>,
    data_bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Walked {
    items_left: u32,
    /// Within the packet.
    at: usize,
}

impl PacketReader {
    /// A stream whose packets may have so much data.
    pub fn new(data_bytes_max: usize) -> PacketReader {
        PacketReader { buffer: Vec::new(), start: 0, walked: None, data_bytes_max }
    }

    /// Another bound from the next packet on.
    pub fn set_data_bytes_max(&mut self, data_bytes_max: usize) {
        self.data_bytes_max = data_bytes_max;
    }

    /// Bytes that came and belong to no packet taken.
    pub fn buffered(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// A piece of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// What follows the last packet taken, for one who reads it otherwise (the tree behind SNAP).
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.start);
        self.buffer = Vec::new();
        self.start = 0;
        self.walked = None;
        rest
    }

    /// The next packet, if all of it has come.
    ///
    /// # Errors
    /// The stream holds something else. It must not be asked again.
    #[expect(clippy::should_implement_trait, reason = "None means not yet, not never")]
    pub fn next(&mut self) -> Result<Option<Packet>, PacketError> {
        let found = self.measure()?;
        let Some(length) = found else {
            if self.start == self.buffer.len() {
                // A long packet shall not pin its buffer for ever.
                self.start = 0;
                self.buffer.clear();
                self.buffer.shrink_to(64 * 1024);
            }
            return Ok(None);
        };
        let bytes = &self.buffer[self.start..self.start + length];
        self.start += length;
        let mut input = Decoder::new(bytes);
        let whole = "the packet was measured";
        let kind = input.i32().expect(whole);
        let zxid = Zxid(input.i64().expect(whole));
        let data: Option<&[u8]> = Jute::decode(&mut input).expect(whole);
        let data = data.map(Bytes::copy_from_slice);
        let count = input.i32().expect(whole);
        let mut authinfo = Vec::new();
        for _ in 0..count.max(0) {
            let id = Id::decode(&mut input).map_err(|_| PacketError::NoText)?;
            authinfo.push(Identity::new(id.scheme.unwrap_or_default(), id.id.unwrap_or_default()));
        }
        Ok(Some(Packet { kind, zxid, data, authinfo }))
    }

    /// The length of the next packet, if all of it has come.
    fn measure(&mut self) -> Result<Option<usize>, PacketError> {
        let bytes = &self.buffer[self.start..];
        let Some(kind) = i32_at(bytes, 0) else { return Ok(None) };
        if kind == ELECTION_KIND && bytes.len() < ELECTION_HEAD_BYTES {
            return Ok(None);
        }
        if let Some(said) = election_caller(bytes) {
            return Err(PacketError::Election(said));
        }
        if !(packet::REQUEST..=packet::INFORMANDACTIVATE).contains(&kind) {
            return Err(PacketError::Type(kind));
        }
        let Some(length) = i32_at(bytes, 12) else { return Ok(None) };
        let data_end = HEAD_BYTES
            + match length {
                -1 => 0,
                _ => usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= self.data_bytes_max)
                    .ok_or(PacketError::DataLength { length, max: self.data_bytes_max })?,
            };
        let mut walked = match self.walked {
            Some(walked) => walked,
            None => {
                let Some(count) = i32_at(bytes, data_end) else { return Ok(None) };
                let items_left = match count {
                    -1 => 0,
                    _ => u32::try_from(count).map_err(|_| PacketError::Authinfo)?,
                };
                Walked { items_left, at: data_end + 4 }
            }
        };
        while walked.items_left > 0 {
            match identity_end(bytes, walked.at)? {
                Some(at) => walked = Walked { items_left: walked.items_left - 1, at },
                None => break,
            }
            if walked.at - data_end > AUTHINFO_BYTES_MAX {
                return Err(PacketError::Authinfo);
            }
        }
        self.walked = (walked.items_left > 0).then_some(walked);
        Ok((walked.items_left == 0).then_some(walked.at))
    }
}

/// Who it says it is, if a stream begins as one of the election port does.
pub fn election_caller(bytes: &[u8]) -> Option<ServerId> {
    let version = i64_at(bytes, 0)?;
    let is_election = version == ELECTION_PROTOCOL_V1 || version == ELECTION_PROTOCOL_V2;
    i64_at(bytes, 8).filter(|_| is_election).map(ServerId)
}

/// Where the identity that begins at `at` ends, if all of it has come.
fn identity_end(bytes: &[u8], at: usize) -> Result<Option<usize>, PacketError> {
    let mut end = at;
    for _ in 0..2 {
        let Some(length) = i32_at(bytes, end) else { return Ok(None) };
        let length = match length {
            -1 => 0,
            _ => usize::try_from(length)
                .ok()
                .filter(|length| *length <= AUTHINFO_BYTES_MAX)
                .ok_or(PacketError::Authinfo)?,
        };
        end += 4 + length;
    }
    Ok((end <= bytes.len()).then_some(end))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let eight = bytes.get(at..at + 8)?;
    Some(i64::from_be_bytes(eight.try_into().expect("eight bytes were taken")))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    let four = bytes.get(at..at + 4)?;
    Some(i32::from_be_bytes(four.try_into().expect("four bytes were taken")))
}

// ---- what stands in the data of a packet that was read

impl Packet {
    fn wrong(&self) -> PacketError {
        PacketError::Data(self.kind)
    }

    /// FOLLOWERINFO, OBSERVERINFO: who it is; `None` where a very old server says nothing.
    ///
    /// # Errors
    /// Its length is none of those that ever were.
    pub fn learner_info(&self) -> Result<Option<LearnerInfo>, PacketError> {
        match self.data.as_deref() {
            None => Ok(None),
            Some(data) => LearnerInfo::from_bytes(data).map(Some).map_err(|_| self.wrong()),
        }
    }

    /// ACKEPOCH: the epoch that the learner followed last, or that it must not be counted (-1).
    ///
    /// # Errors
    /// There is no epoch.
    pub fn epoch_ack(&self) -> Result<EpochAck, PacketError> {
        match self.data.as_deref().and_then(|data| i32_at(data, 0)) {
            Some(-1) => Ok(EpochAck::DoesNotCount),
            Some(epoch @ 0..) => Ok(EpochAck::Counts(Epoch(i64::from(epoch)))),
            Some(_) | None => Err(self.wrong()),
        }
    }

    /// What stands behind the number of LEADERINFO and ACKEPOCH; `None`: the other side is Apache
    /// ZooKeeper.
    fn behind_number(&self) -> Option<&[u8]> {
        self.data.as_deref()?.get(NUMBER_BYTES..)?.strip_prefix(MARKS_KNOWN)
    }

    /// LEADERINFO: whether the leader compares histories, and lets a learner follow that it cannot
    /// count.
    pub fn knows_marks(&self) -> bool {
        self.behind_number().is_some()
    }

    /// LEADERINFO, the first: where the leader's history began, if it knows that.
    // ZooKeeper: Learner.registerWithLeader reads the number in front alone.
    pub fn origin(&self) -> Option<Origin> {
        Origin::of_mark(&Mark::decode(self.behind_number()?)?)
    }

    /// ACKEPOCH: points of the learner's history; `None`: the learner is Apache ZooKeeper.
    ///
    /// # Errors
    /// They are malformed, or too many.
    pub fn marks(&self) -> Result<Option<Marks>, PacketError> {
        let Some(bytes) = self.behind_number() else { return Ok(None) };
        Marks::decode(bytes).map(Some).ok_or_else(|| self.wrong())
    }

    /// LEADERINFO where the leader's choice was due: the learner's history is another one. How the
    /// leader's is where they differ.
    pub fn other_history(&self) -> Option<Mark> {
        (self.kind == packet::LEADERINFO).then(|| self.behind_number().and_then(Mark::decode))?
    }

    /// SNAP: the digest of the tree that follows, which then is exactly that of the packet's zxid;
    /// `None`: it may be ahead of it, as a tree of Apache ZooKeeper is.
    // ZooKeeper: Learner.syncWithLeader reads no data of SNAP.
    pub fn tree_digest(&self) -> Option<i64> {
        let bytes = self.data.as_deref()?.strip_prefix(MARKS_KNOWN)?;
        Some(i64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// COMMITANDACTIVATE, INFORMANDACTIVATE: who is to lead, and what follows that.
    ///
    /// # Errors
    /// It is too short.
    pub fn designated_leader(&self) -> Result<(ServerId, Bytes), PacketError> {
        let data = self.data.as_ref().filter(|data| data.len() >= 8).ok_or_else(|| self.wrong())?;
        let leader = Decoder::new(data).i64().expect("the length was checked");
        Ok((ServerId(leader), data.slice(8..)))
    }

    /// PROPOSAL, INFORM: the transaction, whose zxid is the packet's.
    ///
    /// # Errors
    /// It is none, or another.
    pub fn txn(&self) -> Result<Txn, PacketError> {
        let data = self.data.as_ref().ok_or_else(|| self.wrong())?;
        let txn = Txn::parse(data).map_err(|_| self.wrong())?;
        if txn.zxid() == self.zxid { Ok(txn) } else { Err(self.wrong()) }
    }

    /// REVALIDATE from a learner: a session and its timeout in ms.
    ///
    /// # Errors
    /// It is too short.
    pub fn session_and_timeout(&self) -> Result<(SessionId, i32), PacketError> {
        let mut input = Decoder::new(self.data.as_deref().unwrap_or_default());
        let read = input.i64().and_then(|session| Ok((SessionId(session), input.i32()?)));
        read.map_err(|_| self.wrong())
    }

    /// REVALIDATE: the tenure behind everything else. From a learner: the connection is not new, and
    /// the session is only to be kept. `None`: there is none, as from Apache ZooKeeper.
    // ZooKeeper: Learner.revalidate and Leader.revalidateSession read no further.
    pub fn tenure(&self, from_leader: bool) -> Option<Tenure> {
        let before = if from_leader { ANSWERED_BYTES } else { ASKED_BYTES };
        let bytes = self.data.as_deref()?.get(before..)?;
        let mut input = Decoder::new(bytes);
        let since = Zxid(input.i64().ok()?);
        let turn = input.i64().ok()?.cast_unsigned();
        Some(Tenure { since, turn })
    }

    /// REVALIDATE from the leader: a session, and whether it is alive.
    ///
    /// # Errors
    /// It is too short.
    pub fn session_and_validity(&self) -> Result<(SessionId, bool), PacketError> {
        let mut input = Decoder::new(self.data.as_deref().unwrap_or_default());
        let read = input.i64().and_then(|session| Ok((SessionId(session), input.take(1)?[0] != 0)));
        read.map_err(|_| self.wrong())
    }

    /// PING from a learner: sessions that were heard of, with their timeouts in ms.
    ///
    /// # Errors
    /// The last one is not whole.
    pub fn touched(&self) -> Result<impl Iterator<Item = (SessionId, i32)> + '_, PacketError> {
        let (items, rest) = self.data.as_deref().unwrap_or_default().as_chunks::<12>();
        if !rest.is_empty() {
            return Err(self.wrong());
        }
        Ok(items.iter().map(|item| {
            let mut input = Decoder::new(item);
            let session = input.i64().expect("an item has twelve bytes");
            (SessionId(session), input.i32().expect("an item has twelve bytes"))
        }))
    }

    /// REQUEST of a sync, and SYNC: whether it is a [fence](put_fence), or answers one.
    pub fn is_fence(&self) -> bool {
        self.zxid.0 == FENCE
    }

    /// REQUEST: what the learner says of the session.
    pub fn session_scope(&self) -> SessionScope {
        match self.zxid.0 {
            LOCAL_SESSION => SessionScope::Local,
            GLOBAL_SESSION => SessionScope::Global,
            _ => SessionScope::Unsaid,
        }
    }

    /// REQUEST: session, cxid, number of the operation, and its body.
    ///
    /// # Errors
    /// It is too short.
    pub fn request(&self) -> Result<(SessionId, i32, i32, Bytes), PacketError> {
        let data = self.data.as_ref().filter(|data| data.len() >= 16);
        let data = data.ok_or_else(|| self.wrong())?;
        let mut input = Decoder::new(data);
        let long_enough = "the length was checked";
        let session = SessionId(input.i64().expect(long_enough));
        let cxid = input.i32().expect(long_enough);
        let op = input.i32().expect(long_enough);
        Ok((session, cxid, op, data.slice(16..)))
    }
}

// ---- writing

fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a packet's data is far below 2 GiB")
}

/// Writes a packet whose data is these two pieces, one after the other.
fn put_parts(out: &mut impl BufMut, kind: i32, zxid: Zxid, parts: [&[u8]; 2]) {
    out.put_i32(kind);
    out.put_i64(zxid.0);
    out.put_i32(length(parts[0].len() + parts[1].len()));
    out.put_slice(parts[0]);
    out.put_slice(parts[1]);
    out.put_i32(-1);
}

/// Writes a packet without data: ACK, COMMIT, DIFF, TRUNC, SNAP, UPTODATE, SYNC, a leader's PING.
pub fn put_bare(out: &mut impl BufMut, kind: i32, zxid: Zxid) {
    out.put_i32(kind);
    out.put_i64(zxid.0);
    out.put_i32(-1);
    out.put_i32(-1);
}

/// Writes a packet with data.
pub fn put_data(out: &mut impl BufMut, kind: i32, zxid: Zxid, data: &[u8]) {
    put_parts(out, kind, zxid, [data, &[]]);
}

/// Writes a transaction: PROPOSAL or INFORM.
pub fn put_txn(out: &mut impl BufMut, kind: i32, txn: &Txn) {
    put_data(out, kind, txn.zxid(), txn.bytes());
}

/// Writes COMMITANDACTIVATE.
pub fn put_commit_and_activate(out: &mut impl BufMut, zxid: Zxid, leader: ServerId) {
    put_data(out, packet::COMMITANDACTIVATE, zxid, &leader.0.to_be_bytes());
}

/// Writes INFORMANDACTIVATE.
pub fn put_inform_and_activate(out: &mut impl BufMut, txn: &Txn, leader: ServerId) {
    let parts = [&leader.0.to_be_bytes()[..], txn.bytes()];
    put_parts(out, packet::INFORMANDACTIVATE, txn.zxid(), parts);
}

/// Writes FOLLOWERINFO or OBSERVERINFO.
pub fn put_learner_info(
    out: &mut impl BufMut,
    kind: i32,
    accepted: Epoch,
    server: ServerId,
    config_version: i64,
) {
    let info = LearnerInfo {
        server_id: server,
        protocol_version: Some(PROTOCOL_VERSION),
        config_version: Some(config_version),
    };
    put_data(out, kind, Zxid::new(accepted, 0), &info.to_bytes());
}

/// Writes LEADERINFO, and where the leader's history began.
pub fn put_leader_info(out: &mut impl BufMut, epoch: Epoch, origin: Option<Origin>) {
    put_leader_info_and(out, epoch, origin.map(Origin::mark));
}

/// Writes what [`Packet::other_history`] reads: only to a learner that has sent marks.
pub fn put_other_history(out: &mut impl BufMut, epoch: Epoch, leaders: Mark) {
    put_leader_info_and(out, epoch, Some(leaders));
}

fn put_leader_info_and(out: &mut impl BufMut, epoch: Epoch, mark: Option<Mark>) {
    let mut data = PROTOCOL_VERSION.to_be_bytes().to_vec();
    data.extend_from_slice(MARKS_KNOWN);
    if let Some(mark) = mark {
        mark.encode(&mut data);
    }
    put_data(out, packet::LEADERINFO, Zxid::new(epoch, 0), &data);
}

/// Writes SNAP with what [`Packet::tree_digest`] reads: only to a learner that has sent marks.
pub fn put_snap(out: &mut impl BufMut, zxid: Zxid, digest: i64) {
    put_parts(out, packet::SNAP, zxid, [MARKS_KNOWN, &digest.to_be_bytes()]);
}

/// Writes ACKEPOCH. `marks`: only to a leader that knows them.
///
/// # Panics
/// If the epoch is negative: it would say something else.
pub fn put_ack_epoch(out: &mut impl BufMut, last: Zxid, ack: EpochAck, marks: Option<&Marks>) {
    let number = match ack {
        EpochAck::Counts(epoch) => {
            assert!(epoch >= Epoch::ZERO, "epoch {epoch} would say: do not count me");
            i32::try_from(epoch.0).expect("an epoch has 32 bits")
        }
        EpochAck::DoesNotCount => -1,
    };
    let mut data = number.to_be_bytes().to_vec();
    if let Some(marks) = marks {
        data.extend_from_slice(MARKS_KNOWN);
        marks.encode(&mut data);
    }
    put_data(out, packet::ACKEPOCH, last, &data);
}

/// Writes REVALIDATE as a learner asks it. `kept`: the connection is not new; only to a leader that
/// keeps tenures, for any other would let the session move.
pub fn put_revalidate(
    out: &mut impl BufMut,
    session: SessionId,
    timeout_ms: i32,
    kept: Option<Tenure>,
) {
    let mut data = [0; ASKED_BYTES + TENURE_BYTES];
    data[..8].copy_from_slice(&session.0.to_be_bytes());
    data[8..ASKED_BYTES].copy_from_slice(&timeout_ms.to_be_bytes());
    put_with_tenure(out, &mut data, ASKED_BYTES, kept);
}

/// Writes REVALIDATE as a leader answers it.
pub fn put_revalidated(
    out: &mut impl BufMut,
    session: SessionId,
    valid: bool,
    tenure: Option<Tenure>,
) {
    let mut data = [0; ANSWERED_BYTES + TENURE_BYTES];
    data[..8].copy_from_slice(&session.0.to_be_bytes());
    data[8] = u8::from(valid);
    put_with_tenure(out, &mut data, ANSWERED_BYTES, tenure);
}

/// To an observer that is a Ringkeeper: what it asked for in this session was not passed on, because the session is
/// somewhere else. No answer to a question has a tenure and says no.
pub fn put_left_out(out: &mut impl BufMut, session: SessionId) {
    put_revalidated(out, session, false, Some(Tenure { since: Zxid::ZERO, turn: 0 }));
}

fn put_with_tenure(out: &mut impl BufMut, data: &mut [u8], before: usize, tenure: Option<Tenure>) {
    let mut bytes = before;
    if let Some(Tenure { since, turn }) = tenure {
        data[before..before + 8].copy_from_slice(&since.0.to_be_bytes());
        data[before + 8..].copy_from_slice(&turn.to_be_bytes());
        bytes = data.len();
    }
    put_data(out, packet::REVALIDATE, Zxid::NONE, &data[..bytes]);
}

/// Bytes of a session in the answer to PING.
pub const TOUCH_BYTES: usize = 8 + 4;

/// Writes PING as a learner answers it. The data is never null: ZooKeeper's leader would drop the
/// learner.
pub fn put_touched(
    out: &mut impl BufMut,
    zxid: Zxid,
    touched: impl Iterator<Item = (SessionId, i32)>,
) {
    let mut data = Vec::new();
    for (session, timeout_ms) in touched {
        data.put_i64(session.0);
        data.put_i32(timeout_ms);
    }
    put_data(out, packet::PING, zxid, &data);
}

/// Writes a fence: a sync of the learner itself. A leader that is a Ringkeeper answers it with
/// [`put_fence_answer`] as soon as it has proposed or refused all that the link has brought before, and may answer
/// syncs that come later first. Any other takes it for a sync of this session.
pub fn put_fence(out: &mut impl BufMut, session: SessionId) {
    const ROOT: &[u8] = b"\0\0\0\x01/";
    put_request_of(out, FENCE, session, 0, OpCode::Sync.number(), ROOT, &[]);
}

/// Writes SYNC as it answers a fence.
pub fn put_fence_answer(out: &mut impl BufMut) {
    put_bare(out, packet::SYNC, Zxid(FENCE));
}

/// Writes REQUEST. What it says of the session stands where Apache ZooKeeper always has a zxid of -1,
/// and where its leaders read nothing.
pub fn put_request(out: &mut impl BufMut, request: &PassedRequest<'_>) {
    let PassedRequest { session, scope, cxid, op, body, identities } = *request;
    let scope = match scope {
        SessionScope::Unsaid => Zxid::NONE.0,
        SessionScope::Local => LOCAL_SESSION,
        SessionScope::Global => GLOBAL_SESSION,
    };
    put_request_of(out, scope, session, cxid, op, body, identities);
}

fn put_request_of(
    out: &mut impl BufMut,
    scope: i64,
    session: SessionId,
    cxid: i32,
    op: i32,
    body: &[u8],
    identities: &[Identity],
) {
    out.put_i32(packet::REQUEST);
    out.put_i64(scope);
    out.put_i32(length(16 + body.len()));
    out.put_i64(session.0);
    out.put_i32(cxid);
    out.put_i32(op);
    out.put_slice(body);
    out.put_i32(length(identities.len()));
    for identity in identities {
        out.put_slice(&identity.as_id().to_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::quorum::{ElectionHandshake, QuorumPacket};

    const MAX: usize = 1000;

    fn all(reader: &mut PacketReader) -> Result<Vec<Packet>, PacketError> {
        let mut packets = Vec::new();
        while let Some(packet) = reader.next()? {
            packets.push(packet);
        }
        Ok(packets)
    }

    fn stream() -> Vec<u8> {
        let mut out = Vec::new();
        put_learner_info(&mut out, packet::FOLLOWERINFO, Epoch(3), ServerId(2), 9);
        put_ack_epoch(&mut out, Zxid(7), EpochAck::DoesNotCount, None);
        put_bare(&mut out, packet::ACK, Zxid(8));
        let identities = [Identity::new("digest", "a:b"), Identity::new("ip", "")];
        put_request(
            &mut out,
            &PassedRequest {
                session: SessionId(5),
                scope: SessionScope::Unsaid,
                cxid: 4,
                op: 1,
                body: b"body",
                identities: &identities,
            },
        );
        put_touched(&mut out, Zxid(9), [(SessionId(1), 10), (SessionId(2), 20)].into_iter());
        out
    }

    #[test]
    fn a_tenure_follows_where_apache_zookeeper_reads_no_further() {
        let mut out = Vec::new();
        let tenures = [None, Some(Tenure { since: Zxid(0x5_0000_0007), turn: 3 })];
        for tenure in tenures {
            put_revalidate(&mut out, SessionId(8), 4000, tenure);
            put_revalidated(&mut out, SessionId(8), true, tenure);
        }
        let mut reader = PacketReader::new(MAX);
        reader.push(&out);
        for tenure in tenures {
            let asked = reader.next().unwrap().unwrap();
            assert_eq!(asked.session_and_timeout().unwrap(), (SessionId(8), 4000));
            assert_eq!(asked.tenure(false), tenure);
            let answered = reader.next().unwrap().unwrap();
            assert_eq!(answered.session_and_validity().unwrap(), (SessionId(8), true));
            assert_eq!(answered.tenure(true), tenure);
        }
    }

    #[test]
    fn a_tree_comes_with_its_digest_where_apache_zookeeper_reads_none() {
        let mut out = Vec::new();
        put_snap(&mut out, Zxid(9), -5);
        put_bare(&mut out, packet::SNAP, Zxid(9));
        put_data(&mut out, packet::SNAP, Zxid(9), b"RKm1\x00\x00\x00");
        put_data(&mut out, packet::SNAP, Zxid(9), &[0; 12]);
        let mut reader = PacketReader::new(MAX);
        reader.push(&out);
        let packets = all(&mut reader).unwrap();
        let digests: Vec<_> = packets.iter().map(Packet::tree_digest).collect();
        assert_eq!(digests, [Some(-5), None, None, None]);
        assert!(packets.iter().all(|packet| packet.zxid == Zxid(9)));
    }

    #[test]
    fn a_stream_may_come_in_pieces_of_any_length() {
        let stream = stream();
        let mut whole = PacketReader::new(MAX);
        whole.push(&stream);
        let expected = all(&mut whole).unwrap();
        assert_eq!(expected.len(), 5);
        for length in 1..stream.len() {
            let mut reader = PacketReader::new(MAX);
            let mut got = Vec::new();
            for piece in stream.chunks(length) {
                reader.push(piece);
                got.extend(all(&mut reader).unwrap());
            }
            assert_eq!(got, expected, "pieces of {length}");
            assert_eq!(reader.buffered(), 0);
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let mut reader = PacketReader::new(MAX);
        reader.push(&stream());
        let packets = all(&mut reader).unwrap();
        let info = packets[0].learner_info().unwrap().unwrap();
        assert_eq!((info.server_id, info.config_version), (ServerId(2), Some(9)));
        assert_eq!(packets[0].zxid, Zxid(0x3_0000_0000));
        assert_eq!(packets[1].epoch_ack(), Ok(EpochAck::DoesNotCount));
        let (session, cxid, op, body) = packets[3].request().unwrap();
        assert_eq!((session, cxid, op, &body[..]), (SessionId(5), 4, 1, &b"body"[..]));
        assert_eq!(packets[3].authinfo[0], Identity::new("digest", "a:b"));
        assert_eq!((packets[3].zxid, packets[3].session_scope()), (Zxid(-1), SessionScope::Unsaid));
        let touched: Vec<_> = packets[4].touched().unwrap().collect();
        assert_eq!(touched, [(SessionId(1), 10), (SessionId(2), 20)]);
    }

    #[test]
    fn the_written_form_is_that_of_the_record() {
        let mut out = Vec::new();
        put_bare(&mut out, packet::UPTODATE, Zxid::NONE);
        assert_eq!(out.len(), BARE_PACKET_BYTES);
        put_data(&mut out, packet::NEWLEADER, Zxid(1), b"version=0");
        let mut input = Decoder::new(&out);
        let first = QuorumPacket::decode(&mut input).unwrap();
        assert_eq!((first.packet_type, first.zxid), (packet::UPTODATE, Zxid::NONE));
        assert!(first.data.is_none() && first.authinfo.is_null());
        let second = QuorumPacket::decode(&mut input).unwrap();
        assert_eq!((second.data, input.is_empty()), (Some(&b"version=0"[..]), true));
    }

    #[test]
    fn the_beginning_of_an_election_is_known_as_such() {
        let handshake = |version: i64| {
            let (server_id, addresses) = (ServerId(3), "127.0.0.1:3888");
            ElectionHandshake::Initial { version, server_id, addresses }.to_bytes()
        };
        for version in [ELECTION_PROTOCOL_V1, ELECTION_PROTOCOL_V2] {
            let bytes = handshake(version);
            let mut reader = PacketReader::new(MAX);
            reader.push(&bytes[..15]);
            assert_eq!(reader.next(), Ok(None));
            reader.push(&bytes[15..]);
            assert_eq!(reader.next(), Err(PacketError::Election(ServerId(3))));
        }
        let mut reader = PacketReader::new(MAX);
        reader.push(&handshake(-65534));
        assert_eq!(reader.next(), Err(PacketError::Type(-1)));
    }

    #[test]
    fn what_is_no_packet_is_refused_before_it_is_kept() {
        let mut reader = PacketReader::new(MAX);
        reader.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(reader.next(), Err(PacketError::Type(_))));

        let mut reader = PacketReader::new(MAX);
        let mut head = Vec::new();
        head.put_i32(packet::REQUEST);
        head.put_i64(0);
        head.put_i32(1001);
        reader.push(&head);
        assert_eq!(reader.next(), Err(PacketError::DataLength { length: 1001, max: MAX }));

        for count in [-2, i32::MAX] {
            let mut reader = PacketReader::new(MAX);
            let mut bytes = Vec::new();
            put_bare(&mut bytes, packet::REQUEST, Zxid(0));
            bytes.truncate(HEAD_BYTES);
            bytes.put_i32(count);
            reader.push(&bytes);
            let mut answer = reader.next();
            // Many small identities are refused when they are together too long.
            let items = [0u8; 8].repeat(1000);
            for _ in 0..AUTHINFO_BYTES_MAX / 8000 + 2 {
                if answer == Ok(None) {
                    reader.push(&items);
                    answer = reader.next();
                }
            }
            assert_eq!(answer, Err(PacketError::Authinfo));
        }
    }

    #[test]
    fn the_rest_of_the_stream_can_be_read_by_somebody_else() {
        let mut out = Vec::new();
        put_bare(&mut out, packet::SNAP, Zxid(4));
        out.extend_from_slice(b"tree");
        let mut reader = PacketReader::new(MAX);
        reader.push(&out);
        assert_eq!(reader.next().unwrap().unwrap().kind, packet::SNAP);
        assert_eq!((reader.take_rest(), reader.buffered()), (b"tree".to_vec(), 0));
    }

    #[test]
    fn data_of_a_wrong_length_is_an_error_for_every_type() {
        let short = |kind| Packet {
            kind,
            zxid: Zxid(1),
            data: Some(Bytes::from_static(&[1, 2, 3])),
            authinfo: vec![],
        };
        assert!(short(packet::FOLLOWERINFO).learner_info().is_err());
        assert!(short(packet::ACKEPOCH).epoch_ack().is_err());
        assert!(short(packet::COMMITANDACTIVATE).designated_leader().is_err());
        assert!(short(packet::PROPOSAL).txn().is_err());
        assert!(short(packet::REVALIDATE).session_and_timeout().is_err());
        assert!(short(packet::REVALIDATE).session_and_validity().is_err());
        assert!(short(packet::PING).touched().is_err());
        assert!(short(packet::REQUEST).request().is_err());
        let nothing = Packet { data: None, ..short(packet::PING) };
        assert_eq!(nothing.touched().unwrap().count(), 0);
    }
}
