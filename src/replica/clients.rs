//! The connections of clients, and what each of them may hold.
//!
//! [`Clients`] knows sockets, buffers and queues. It does not know whether this server leads, and proposes nothing.

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;

use super::ReplicaOptions;
use super::connection::Slot;
use super::memory::Memory;
use super::silence::Silence;
use super::throttle::Throttle;
use crate::acl::Authentication;
use crate::id::{SessionId, Zxid};
use crate::time::Now;

/// What the server keeps for its clients.
pub(super) struct Clients {
    pub options: Rc<ReplicaOptions>,
    pub authentication: Authentication,
    /// The connection of each session that has one here.
    ///
    /// Invariant: the connection at that slot has this session.
    pub by_session: HashMap<SessionId, Slot>,
    /// Connections with bytes or an end for the next output.
    ///
    /// Invariant: each is listed once.
    pub dirty: Vec<Slot>,
    /// Connections whose requests waited until their client had read, and may go on now.
    pub resumable: Vec<Slot>,
    /// Connections whose queue begins with a request that waits for the writes of other sessions.
    ///
    /// Invariant: the zxids that they wait for do not fall.
    pub barriers: VecDeque<(Zxid, Slot)>,
    /// Connections that have said nothing yet, and those that the server closes.
    pub silence: Silence,
    /// The bytes that connections hold.
    pub memory: Memory,
    pub throttle: Throttle,
    /// The bytes of the large requests under way (`largeRequestMaxBytes`).
    ///
    /// Invariant: the sum of what the requests in flight and in the queues have claimed.
    pub large_bytes: usize,
    /// Requests that wait in the connections' queues, without the writes.
    pub requests_held: usize,
    /// Reads answered in this turn without waiting.
    pub prompt_reads: u64,
    /// Empty buffers for connections.
    pub spare: Vec<Vec<u8>>,
    /// An event's frame; kept for its allocation.
    pub frame: Vec<u8>,
}

impl Clients {
    pub fn new(options: &Rc<ReplicaOptions>, now: Now, seed: u64) -> Clients {
        Clients {
            options: Rc::clone(options),
            authentication: Authentication::new(options.authentication.clone()),
            by_session: HashMap::new(),
            dirty: Vec::new(),
            resumable: Vec::new(),
            barriers: VecDeque::new(),
            silence: Silence::default(),
            memory: Memory::default(),
            throttle: Throttle::new(options.throttle.clone(), now.mono, seed),
            large_bytes: 0,
            requests_held: 0,
            prompt_reads: 0,
            spare: Vec::new(),
            frame: Vec::new(),
        }
    }
}
