//! Messages between servers: packets between learner and leader, and election messages.

use crate::id::{Epoch, ServerId, Zxid};
use crate::jute::{DecodeError, Decoder, Jute, Sink, Vector};
use crate::limits::{ELECTION_ADDRESS_BYTES_MAX, ELECTION_MESSAGE_BYTES_MAX};
use crate::proto::data::Id;

/// The types of [`QuorumPacket`] (`Leader.java`).
pub mod packet {
    /// A client's write, forwarded to the leader.
    pub const REQUEST: i32 = 1;
    /// A transaction to log.
    pub const PROPOSAL: i32 = 2;
    /// The transaction is logged.
    pub const ACK: i32 = 3;
    /// The transaction may be applied.
    pub const COMMIT: i32 = 4;
    /// A sign of life; from a learner with its touched sessions.
    pub const PING: i32 = 5;
    /// Asks whether a session is still alive.
    pub const REVALIDATE: i32 = 6;
    /// Answer to a forwarded sync.
    pub const SYNC: i32 = 7;
    /// A committed transaction, for observers.
    pub const INFORM: i32 = 8;
    /// Commit of a reconfiguration.
    pub const COMMITANDACTIVATE: i32 = 9;
    /// The end of the history; the epoch begins.
    pub const NEWLEADER: i32 = 10;
    /// A follower's first packet.
    pub const FOLLOWERINFO: i32 = 11;
    /// A quorum has the history: serve clients.
    pub const UPTODATE: i32 = 12;
    /// Only the missing transactions follow.
    pub const DIFF: i32 = 13;
    /// Cut the log.
    pub const TRUNC: i32 = 14;
    /// The whole tree follows.
    pub const SNAP: i32 = 15;
    /// An observer's first packet.
    pub const OBSERVERINFO: i32 = 16;
    /// The leader's epoch.
    pub const LEADERINFO: i32 = 17;
    /// The epoch is accepted.
    pub const ACKEPOCH: i32 = 18;
    /// Committed reconfiguration, for observers.
    pub const INFORMANDACTIVATE: i32 = 19;
}

/// Version of the quorum protocol, in LEADERINFO and [`LearnerInfo`].
pub const PROTOCOL_VERSION: i32 = 0x10000;

/// A packet between a learner and its leader. It has no frame: the record determines its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuorumPacket<'a> {
    /// One of [`packet`].
    pub packet_type: i32,
    /// What it is depends on the type.
    pub zxid: Zxid,
    /// What it is depends on the type.
    pub data: Option<&'a [u8]>,
    /// A client's identities, with REQUEST.
    pub authinfo: Vector<'a, Id<'a>>,
}

impl<'a> Jute<'a> for QuorumPacket<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let offset = input.offset();
        let packet_type = input.i32()?;
        if !(packet::REQUEST..=packet::INFORMANDACTIVATE).contains(&packet_type) {
            let value = i64::from(packet_type);
            return Err(DecodeError::BadValue { what: "quorum packet type", value, offset });
        }
        Ok(QuorumPacket {
            packet_type,
            zxid: Zxid(input.i64()?),
            data: Jute::decode(input)?,
            authinfo: Jute::decode(input)?,
        })
    }

    fn encode(&self, out: &mut impl Sink) {
        self.packet_type.encode(out);
        self.zxid.0.encode(out);
        self.data.encode(out);
        self.authinfo.encode(out);
    }
}

/// The data of FOLLOWERINFO and OBSERVERINFO; older servers send a shorter form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Its id.
    pub server_id: ServerId,
    /// [`PROTOCOL_VERSION`]; `None` in the 8-byte form.
    pub protocol_version: Option<i32>,
    /// Version of the configuration it knows; `None` in the 8- and 12-byte forms.
    pub config_version: Option<i64>,
}

impl<'a> Jute<'a> for LearnerInfo {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let server_id = ServerId(input.i64()?);
        let protocol_version = if input.is_empty() { None } else { Some(input.i32()?) };
        let config_version = if input.is_empty() { None } else { Some(input.i64()?) };
        Ok(LearnerInfo { server_id, protocol_version, config_version })
    }

    fn encode(&self, out: &mut impl Sink) {
        self.server_id.0.encode(out);
        if let Some(version) = self.protocol_version {
            version.encode(out);
            if let Some(version) = self.config_version {
                version.encode(out);
            }
        }
    }
}

/// The state of a server, as its notifications report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum ServerState {
    /// Looking for a leader.
    Looking = 0,
    /// Following a leader.
    Following = 1,
    /// Leading.
    Leading = 2,
    /// Observing a leader.
    Observing = 3,
}

/// A vote in a message (`FastLeaderElection.buildMsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The sender's state.
    pub state: ServerState,
    /// The server that it votes for.
    pub leader: ServerId,
    /// That server's last zxid.
    pub zxid: Zxid,
    /// The round of the election.
    pub election_epoch: i64,
    /// That server's epoch.
    pub peer_epoch: Epoch,
    /// The configuration, as text; `None` from old servers.
    pub config: Option<&'a [u8]>,
}

impl<'a> Jute<'a> for Notification<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let offset = input.offset();
        let state = match input.i32()? {
            0 => ServerState::Looking,
            1 => ServerState::Following,
            2 => ServerState::Leading,
            3 => ServerState::Observing,
            other => {
                let value = i64::from(other);
                return Err(DecodeError::BadValue { what: "server state", value, offset });
            }
        };
        let leader = ServerId(input.i64()?);
        let zxid = Zxid(input.i64()?);
        let election_epoch = input.i64()?;
        // ZooKeeper: FastLeaderElection accepts 28 bytes (no peer epoch) and 40 (no version).
        let peer_epoch = if input.is_empty() { zxid.epoch() } else { Epoch(input.i64()?) };
        let version = if input.is_empty() { 0 } else { input.i32()? };
        let config = if version > 1 {
            let offset = input.offset();
            let config: Option<&[u8]> = Jute::decode(input)?;
            let length =
                config.map_or(-1, |config| i64::try_from(config.len()).unwrap_or(i64::MAX));
            if !(0..=i64::from(ELECTION_MESSAGE_BYTES_MAX)).contains(&length) {
                return Err(DecodeError::BadValue { what: "config length", value: length, offset });
            }
            config
        } else {
            None
        };
        Ok(Notification { state, leader, zxid, election_epoch, peer_epoch, config })
    }

    fn encode(&self, out: &mut impl Sink) {
        (self.state as i32).encode(out);
        self.leader.0.encode(out);
        self.zxid.0.encode(out);
        self.election_epoch.encode(out);
        self.peer_epoch.0.encode(out);
        2i32.encode(out);
        Some(self.config.unwrap_or_default()).encode(out);
    }
}

/// The first bytes on an election connection, written by the connecting server
/// (`QuorumCnxManager.InitialMessage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionHandshake<'a> {
    /// Servers before 3.5 send only their id.
    Legacy {
        /// The sender.
        server_id: ServerId,
    },
    /// With the election address of the sender; several, separated by `|`, in version 2.
    Initial {
        /// -65536 or -65535.
        version: i64,
        /// The sender.
        server_id: ServerId,
        /// `host:port`, or several.
        addresses: &'a str,
    },
}

/// `QuorumCnxManager.PROTOCOL_VERSION_V1`: one address.
pub const ELECTION_PROTOCOL_V1: i64 = -65536;
/// `QuorumCnxManager.PROTOCOL_VERSION_V2`: several addresses.
pub const ELECTION_PROTOCOL_V2: i64 = -65535;

impl<'a> Jute<'a> for ElectionHandshake<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let offset = input.offset();
        let version = input.i64()?;
        if version >= 0 {
            return Ok(ElectionHandshake::Legacy { server_id: ServerId(version) });
        }
        if version != ELECTION_PROTOCOL_V1 && version != ELECTION_PROTOCOL_V2 {
            let what = "election protocol version";
            return Err(DecodeError::BadValue { what, value: version, offset });
        }
        let server_id = ServerId(input.i64()?);
        let offset = input.offset();
        let length = input.length()?.unwrap_or_default();
        let value = i64::try_from(length).unwrap_or(i64::MAX);
        if !(1..=i64::from(ELECTION_ADDRESS_BYTES_MAX)).contains(&value) {
            return Err(DecodeError::BadValue { what: "address length", value, offset });
        }
        let Ok(addresses) = std::str::from_utf8(input.take(length)?) else {
            return Err(DecodeError::BadValue { what: "address text", value, offset });
        };
        Ok(ElectionHandshake::Initial { version, server_id, addresses })
    }

    fn encode(&self, out: &mut impl Sink) {
        match self {
            ElectionHandshake::Legacy { server_id } => server_id.0.encode(out),
            ElectionHandshake::Initial { version, server_id, addresses } => {
                version.encode(out);
                server_id.0.encode(out);
                Some(*addresses).encode(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_notifications_are_understood() {
        let whole = Notification {
            state: ServerState::Looking,
            leader: ServerId(3),
            zxid: Zxid(0x2_0000_0001),
            election_epoch: 7,
            peer_epoch: Epoch(2),
            config: Some(b"version=0"),
        };
        let bytes = whole.to_bytes();
        assert_eq!(bytes.len(), 44 + 9);
        assert_eq!(Notification::from_bytes(&bytes), Ok(whole));
        let oldest = Notification::from_bytes(&bytes[..28]).unwrap();
        assert_eq!(oldest, Notification { config: None, ..whole });
    }

    #[test]
    fn a_handshake_names_its_sender() {
        let hello = ElectionHandshake::Initial {
            version: ELECTION_PROTOCOL_V1,
            server_id: ServerId(2),
            addresses: "127.0.0.1:3888",
        };
        assert_eq!(ElectionHandshake::from_bytes(&hello.to_bytes()), Ok(hello));
        let long = [&(-65536i64).to_be_bytes()[..], &[0; 8], &2049i32.to_be_bytes(), &[b'a'; 2049]];
        assert!(ElectionHandshake::from_bytes(&long.concat()).is_err());
    }

    #[test]
    fn packets_come_back_as_they_were_sent() {
        let ping = QuorumPacket {
            packet_type: packet::PING,
            zxid: Zxid(5),
            data: Some(&[1, 2]),
            authinfo: Vector::NULL,
        };
        assert_eq!(QuorumPacket::from_bytes(&ping.to_bytes()), Ok(ping));
        assert!(QuorumPacket::from_bytes(&[0, 0, 0, 99]).is_err());
    }
}
