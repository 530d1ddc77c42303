//! The connections of clients, and what each of them may hold.
//!
//! [`Clients`] knows sockets, buffers and queues. It does not know whether this server leads, and proposes nothing.

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;

use super::ReplicaOptions;
use super::connection::Slot;
use super::memory::Memory;
use super::sasl::LoginOp;
use super::silence::Silence;
use super::throttle::Throttle;
use crate::acl::Authentication;
use crate::id::{SessionId, Zxid};
use crate::sasl::Nonces;
use crate::time::Now;

/// What the server keeps for its clients: queues of connections, and what all of them share.
pub(super) struct Clients {
    /// The bounds and the required schemes of authentication.
    pub options: Rc<ReplicaOptions>,
    /// Checks what a client proves with `auth`.
    pub authentication: Authentication,
    /// The nonces of logins by SASL. `None`: clients cannot log in so.
    pub nonces: Option<Nonces>,
    /// What the edge is to do for logins, until the next output takes it.
    pub logins: Vec<LoginOp>,
    /// The connection of each session that has one here: whom the reply to a transaction of the session is for.
    ///
    /// Invariant: if the connection at that slot is still there, it has this session and is not closed.
    pub by_session: HashMap<SessionId, Slot>,
    /// Connections with bytes or an end for the next output, which empties the list.
    ///
    /// Invariant: a connection stands here, once, if its flag `dirty` is set.
    pub dirty: Vec<Slot>,
    /// Connections whose requests waited until their client had read, and may go on: the next turn serves them.
    pub resumable: Vec<Slot>,
    /// Connections whose queue begins with a request that waits for the writes of other sessions, with the zxid that
    /// has to be applied first.
    ///
    /// Invariant: the zxids do not fall from the front to the back.
    pub barriers: VecDeque<(Zxid, Slot)>,
    /// Connections that are closed if they stay silent, and when.
    pub silence: Silence,
    /// How many bytes this turn may still make for clients, and the connections that wait for room.
    pub memory: Memory,
    /// Refuses new connections by chance when too many come at once.
    pub throttle: Throttle,
    /// The bytes of the large requests under way (`largeRequestMaxBytes`).
    ///
    /// Invariant: the sum of what the requests in flight and in the queues have claimed.
    pub large_bytes: usize,
    /// Requests and answers that wait in the connections' queues; writes are counted elsewhere. A part of
    /// `outstanding_requests`.
    ///
    /// Invariant: the number of queued steps of which [`is_held`](super::connection::Waiting::is_held) is true.
    pub requests_held: usize,
    /// Reads answered in this turn without waiting, until the statistics count them.
    pub prompt_reads: u64,
    /// Empty buffers for connections, kept for their allocations.
    pub spare: Vec<Vec<u8>>,
    /// The frame of the event that is being sent; kept for its allocation.
    pub frame: Vec<u8>,
}

impl Clients {
    /// No clients yet.
    pub fn new(options: &Rc<ReplicaOptions>, now: Now, seed: u64) -> Clients {
        Clients {
            options: Rc::clone(options),
            authentication: Authentication::new(options.authentication.clone()),
            nonces: options.sasl.as_ref().map(|sasl| Nonces::new(sasl.nonce_key.clone())),
            logins: Vec::new(),
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
