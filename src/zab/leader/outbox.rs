//! The packets that wait for one learner, in the order in which the learner must get them.
//!
//! A broadcast is encoded once per turn, in a buffer that all learners of a kind share; packets for one learner are in
//! a buffer of its own. An outbox remembers how the two interleave:
//!
//! ```text
//! ahead │ (gate) │ history │ held │ this turn: own and shared parts
//! ```
//! `ahead` leaves at once. Later packets are held while the gate is shut (because the tree is being sent, or the log's
//! files are being read), or while a part of the history has still to leave.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::limits::{HISTORY_CHUNK_BYTES, LEARNER_WINDOW_BYTES};
use crate::link::{LinkId, LinkOp};
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::zab::packets::{put_bare, put_txn};

/// A range of one of this turn's buffers.
#[derive(Debug)]
enum Part {
    Own(Range<usize>),
    Shared(Range<usize>),
}

/// The packets that wait for one learner.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The bytes that leave with the next flush, before everything else.
    ahead: Vec<Bytes>,
    /// Whether the gate is shut.
    is_shut: bool,
    /// The committed transactions that the learner still lacks, oldest first.
    history: VecDeque<Txn>,
    /// The bytes of former turns that wait for the gate or for the history.
    ///
    /// Invariant: none, if the gate is open and no history is left after a flush.
    held: VecDeque<Bytes>,
    /// The number of bytes in `held`.
    held_bytes: u64,
    /// The parts of this turn, in order.
    ///
    /// Invariant: empty after a flush.
    parts: Vec<Part>,
    /// This turn's packets for this learner alone.
    own: BytesMut,
    /// The place in this turn's shared buffer from which broadcasts have still to become a part. `None`: this learner
    /// gets no broadcasts yet.
    live_from: Option<usize>,
    /// The number of bytes that the network has and has not passed on.
    ///
    /// Invariant: at most `handed`.
    unsent: u64,
    /// The number of all bytes that the network has got.
    handed: u64,
}

impl Outbox {
    /// Adds a packet for this learner alone, after all broadcasts so far. `shared` is the length of the shared buffer.
    pub(super) fn put(&mut self, shared: usize, write: impl FnOnce(&mut BytesMut)) {
        self.cut(shared);
        let start = self.own.len();
        write(&mut self.own);
        match self.parts.last_mut() {
            Some(Part::Own(range)) => range.end = self.own.len(),
            _ => self.parts.push(Part::Own(start..self.own.len())),
        }
    }

    /// The learner gets all broadcasts from now on.
    pub(super) fn go_live(&mut self, shared: usize) {
        assert!(self.live_from.is_none(), "a learner goes live once");
        self.live_from = Some(shared);
    }

    /// Whether the learner gets broadcasts.
    pub(super) fn is_live(&self) -> bool {
        self.live_from.is_some()
    }

    /// Adds bytes that leave before all that is held.
    pub(super) fn put_ahead(&mut self, bytes: Bytes) {
        self.ahead.push(bytes);
    }

    /// Shuts the gate: earlier packets leave, later ones are held until [`Outbox::open`]. Only before the learner gets
    /// broadcasts.
    pub(super) fn shut(&mut self) {
        assert!(self.live_from.is_none(), "what is broadcast must not be split");
        assert!(self.history.is_empty() && self.held.is_empty(), "nothing waits before");
        if !self.own.is_empty() {
            self.ahead.push(self.own.split().freeze());
        }
        self.parts.clear();
        self.is_shut = true;
    }

    /// Opens the gate: the history leaves next, and then what was held.
    pub(super) fn open(&mut self, history: VecDeque<Txn>) {
        assert!(self.is_shut, "only what was shut can be opened");
        assert!(self.history.is_empty(), "a learner gets one history");
        self.is_shut = false;
        self.history = history;
    }

    /// Forgets all that is held: the learner will get the whole tree instead.
    pub(super) fn forget(&mut self) {
        self.is_shut = false;
        self.history.clear();
        self.held.clear();
        self.held_bytes = 0;
        self.parts.clear();
        self.own.clear();
        self.live_from = None;
    }

    fn cut(&mut self, shared: usize) {
        assert!(self.live_from.is_none_or(|from| from <= shared), "a shared buffer only grows");
        if let Some(from) = &mut self.live_from
            && *from < shared
        {
            self.parts.push(Part::Shared(*from..shared));
            *from = shared;
        }
    }

    /// Ends the turn: hands over what may leave. `shared` is the shared buffer of this turn.
    pub(super) fn flush(&mut self, link: LinkId, shared: &Bytes, ops: &mut Vec<LinkOp>) {
        self.cut(shared.len());
        if self.live_from.is_some() {
            self.live_from = Some(0);
        }
        let own = self.own.split().freeze();
        let holds = self.is_shut || !self.history.is_empty() || !self.held.is_empty();
        for part in self.parts.drain(..) {
            let bytes = match part {
                Part::Own(range) => own.slice(range),
                Part::Shared(range) => shared.slice(range),
            };
            if holds {
                self.held_bytes += bytes.len() as u64;
                self.held.push_back(bytes);
            } else {
                self.ahead.push(bytes);
            }
        }
        for bytes in std::mem::take(&mut self.ahead) {
            self.hand(link, bytes, ops);
        }
        if self.is_shut {
            return;
        }
        while !self.history.is_empty() && self.unsent < LEARNER_WINDOW_BYTES {
            let bytes = self.encode_history();
            self.hand(link, bytes, ops);
        }
        if self.history.is_empty() {
            self.held_bytes = 0;
            for bytes in std::mem::take(&mut self.held) {
                self.hand(link, bytes, ops);
            }
        }
        assert!(self.parts.is_empty(), "a turn's parts belong to its buffers");
        assert!(
            self.held.is_empty() || !self.history.is_empty(),
            "what is held waits for something"
        );
    }

    fn hand(&mut self, link: LinkId, bytes: Bytes, ops: &mut Vec<LinkOp>) {
        self.unsent += bytes.len() as u64;
        self.handed += bytes.len() as u64;
        ops.push(LinkOp::Send { link, bytes });
    }

    fn encode_history(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        while out.len() < HISTORY_CHUNK_BYTES
            && let Some(txn) = self.history.pop_front()
        {
            put_txn(&mut out, packet::PROPOSAL, &txn);
            put_bare(&mut out, packet::COMMIT, txn.zxid());
        }
        out.freeze()
    }

    /// The network has passed bytes on.
    pub(super) fn handle_sent(&mut self, bytes: u64) {
        self.unsent = self.unsent.saturating_sub(bytes);
        assert!(self.unsent <= self.handed, "only what was handed over is unsent");
    }

    /// The number of bytes that the network has, or gets with the next flush.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent + self.ahead.iter().map(|bytes| bytes.len() as u64).sum::<u64>()
    }

    /// The number of bytes that wait, here or in the network. The spread and the window bound how many of them are of
    /// the tree and of the history.
    pub(super) fn queued(&self) -> u64 {
        self.unsent() + self.held_bytes
    }

    /// The number of all bytes that the network has passed on.
    pub(super) fn passed_on(&self) -> u64 {
        self.handed.saturating_sub(self.unsent)
    }

    /// The number of all bytes that the network has got.
    pub(super) fn handed(&self) -> u64 {
        self.handed
    }
}
