//! What a client may rely on: the server answers each of its requests once and in order, zxids never go back, and
//! what the client was told survives a crash.

use std::collections::VecDeque;

use ringkeeper::database::Database;
use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Decoder, Jute};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::connect::ConnectResponse;
use ringkeeper::proto::response::ReplyHeader;
use ringkeeper::recovery::{RecoveryOptions, recover};
use ringkeeper::replica::Replica;

use super::disk::Disk;

/// One connection as its client sees it.
#[derive(Default)]
pub struct Witness {
    /// Whether its connect request was sent.
    pub introduced: bool,
    /// Whether its connect response came.
    pub connected: bool,
    /// Its session, once it is connected.
    pub session: SessionId,
    /// The password of the session.
    pub password: [u8; 16],
    /// Requests sent and not yet answered, whose answers come in order.
    pub expected: VecDeque<(i32, OpCode)>,
    /// Whether the client sent frames that may not be requests. From then on, the witness expects nothing.
    pub wild: bool,
    /// The newest zxid that the client was told.
    pub zxid: Zxid,
}

/// What some frames held.
#[derive(Clone, Copy, Default)]
pub struct Received {
    /// The newest transaction of which the frames told.
    pub told: Zxid,
    /// Bytes of events.
    pub event_bytes: usize,
    /// Bytes of the longest frame.
    pub frame_bytes_max: usize,
}

impl Witness {
    /// Reads and checks the frames that came for its connection.
    pub fn receive(&mut self, mut bytes: &[u8]) -> Received {
        let mut received = Received::default();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>().expect("frames are whole");
            let length = usize::try_from(u32::from_be_bytes(*length)).expect("a small frame");
            let (frame, rest) = rest.split_at(length);
            bytes = rest;
            received.frame_bytes_max = received.frame_bytes_max.max(4 + length);
            assert!(self.introduced || self.wild, "a reply to nothing");
            if !self.connected {
                let response = ConnectResponse::from_bytes(frame).expect("a connect response");
                self.connected = true;
                self.session = response.session_id;
                self.password = response.password;
                continue;
            }
            let mut input = Decoder::new(frame);
            let header = ReplyHeader::decode(&mut input).expect("a reply begins with its header");
            let mut op = None;
            match header.xid {
                -1 if self.wild => {
                    // With `wild` set, this may also be the reply to a request with xid -1.
                    received.event_bytes += 4 + length;
                    continue;
                }
                -1 => {
                    let event = input.i32().expect("an event has a type");
                    assert!((1..=4).contains(&event) || event == -1, "event {event}");
                    received.event_bytes += 4 + length;
                    continue;
                }
                -4 => continue,
                xid if !self.wild => {
                    let expected = self.expected.pop_front();
                    assert_eq!(expected.map(|(xid, _)| xid), Some(xid), "answered out of order");
                    op = expected.map(|(_, op)| op);
                }
                _ => {}
            }
            // An unknown operation has no place in the order, which the server shows by zxid -1.
            if header.zxid == Zxid::NONE {
                assert_eq!(header.err, ErrorCode::Unimplemented.code());
                continue;
            }
            if self.wild && header.zxid == Zxid::ZERO {
                continue; // authentication is answered beside the order
            }
            assert!(header.zxid >= self.zxid, "{op:?} goes back from {} to {header:?}", self.zxid);
            self.zxid = header.zxid;
            received.told = received.told.max(header.zxid);
        }
        received
    }
}

/// Checks that a server starts on the folder that a crash would leave now, and that the folder holds all that any
/// client was told. An odd folder began with files that no server writes.
pub fn check_folder(replica: &Replica, disk: &Disk, told: Zxid, is_odd: bool) {
    let options =
        RecoveryOptions { database: *replica.database().options(), ..RecoveryOptions::default() };
    let folder = disk.after_crash();
    let recovered = match recover(&folder, &options, &mut |_| {}) {
        Ok(recovered) => recovered,
        // Before the first snapshot, no client was told anything.
        Err(error) => {
            assert!(told <= Zxid::ZERO, "a folder of ours is refused: {error}");
            return;
        }
    };
    assert!(recovered.zxid >= told, "{told} was told, {} kept", recovered.zxid);
    let (live, kept) = (replica.database(), &recovered.database);
    if recovered.zxid == live.last_processed() {
        assert_eq!(kept.digest(), live.digest());
        assert_eq!(clients_nodes(kept), clients_nodes(live));
        assert_eq!(kept.sessions().collect::<Vec<_>>(), live.sessions().collect::<Vec<_>>());
        assert_eq!(kept.ephemerals_count(), live.ephemerals_count());
        // A start creates the nodes that every tree has, even if a log deletes them.
        if !is_odd {
            assert_eq!(kept.node_count(), live.node_count());
            assert_eq!(data_bytes(kept), data_bytes(live));
        }
    }
}

/// The value of `approximate_data_size` without the data of the quotas' figures. A start counts those figures anew.
/// Until then they may be old, if a client has created `zookeeper_limits` after `zookeeper_stats`.
// ZooKeeper: DataTree.createNode counts when the figures are made, DataTree.setupQuota at each start.
fn data_bytes(database: &Database) -> u64 {
    let mut bytes = database.approximate_data_size();
    let mut paths = vec!["/zookeeper/quota".to_owned()];
    while let Some(path) = paths.pop() {
        let Some(node) = database.node(&path) else { continue };
        if path.ends_with("/zookeeper_stats") {
            bytes -= node.data().map_or(0, <[u8]>::len) as u64;
        }
        paths.extend(node.children().map(|name| format!("{path}/{name}")));
    }
    bytes
}

/// The number of nodes outside `/zookeeper`.
fn clients_nodes(database: &Database) -> usize {
    let below = |path| database.node(path).map_or(0, |node| node.descendants_count());
    below("/") - below("/zookeeper")
}

/// A frame with its length before it.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length has 31 bits");
    [&length.to_be_bytes(), payload].concat()
}
