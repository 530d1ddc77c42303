//! Watch events, the frames that a server sends without a request (`Watcher.Event`,
//! `WatcherEvent`).

use crate::id::Zxid;
use crate::jute::{Jute, begin_frame, end_frame};
use crate::jute_record;
use crate::proto::response::{ReplyHeader, xid};

/// What happened to a node. Only these four come from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
pub enum EventType {
    /// The node was created.
    NodeCreated = 1,
    /// The node was deleted.
    NodeDeleted = 2,
    /// Its data were set.
    NodeDataChanged = 3,
    /// A child was created or deleted.
    NodeChildrenChanged = 4,
}

impl EventType {
    /// The number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The type with this number.
    pub const fn from_i32(number: i32) -> Option<EventType> {
        Some(match number {
            1 => EventType::NodeCreated,
            2 => EventType::NodeDeleted,
            3 => EventType::NodeDataChanged,
            4 => EventType::NodeChildrenChanged,
            _ => return None,
        })
    }
}

/// `KeeperState.SyncConnected`: the only state that a server writes into an event.
pub const STATE_SYNC_CONNECTED: i32 = 3;

jute_record! {
    /// The body of an event frame.
    #[derive(Copy)]
    pub struct WatcherEvent<'a> {
        /// Number of an [`EventType`].
        pub event_type: i32,
        /// Always [`STATE_SYNC_CONNECTED`] from a server.
        pub state: i32,
        /// The node.
        pub path: Option<&'a str>,
    }
}

/// Appends a whole event frame. `zxid` is that of the transaction, or [`Zxid::NONE`] for an event
/// that `setWatches` sends for a change that the client missed.
pub fn encode_event_frame(event_type: EventType, path: &str, zxid: Zxid, out: &mut Vec<u8>) {
    let start = begin_frame(out);
    ReplyHeader { xid: xid::NOTIFICATION, zxid, err: 0 }.encode(out);
    WatcherEvent { event_type: event_type.number(), state: STATE_SYNC_CONNECTED, path: Some(path) }
        .encode(out);
    end_frame(out, start);
}
