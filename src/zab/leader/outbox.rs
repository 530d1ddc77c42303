//! What waits for one learner, in the order in which it must get it.
//!
//! What is broadcast is encoded once per turn, in a buffer that all learners of a kind share; what
//! only this learner gets stands in its own. An outbox remembers how the two interleave:
//!
//! ```text
//! ahead │ (gate) │ history │ held │ this turn: own and shared parts
//! ```
//! `ahead` leaves at once. While the gate is shut (the tree is being sent, the log's files are being
//! read) or history is left, what comes later is held.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::limits::{HISTORY_CHUNK_BYTES, LEARNER_WINDOW_BYTES};
use crate::link::{LinkId, LinkOp};
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::zab::packets::{put_bare, put_txn};

/// A piece of this turn.
#[derive(Debug)]
enum Part {
    Own(Range<usize>),
    Shared(Range<usize>),
}

/// What waits for one learner.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ahead: Vec<Bytes>,
    is_shut: bool,
    history: VecDeque<Txn>,
    held: VecDeque<Bytes>,
    held_bytes: u64,
    parts: Vec<Part>,
    own: BytesMut,
    /// What is broadcast is for this learner too, from here in the buffer of this turn.
    live_from: Option<usize>,
    /// Handed to the network and not yet passed on by it.
    unsent: u64,
    /// All bytes handed to the network.
    handed: u64,
}

impl Outbox {
    /// Something for this learner alone, behind what was broadcast so far. `shared` is the length of
    /// the shared buffer.
    pub(super) fn put(&mut self, shared: usize, write: impl FnOnce(&mut BytesMut)) {
        self.cut(shared);
        let start = self.own.len();
        write(&mut self.own);
        match self.parts.last_mut() {
            Some(Part::Own(range)) => range.end = self.own.len(),
            _ => self.parts.push(Part::Own(start..self.own.len())),
        }
    }

    /// From now on it gets what is broadcast.
    pub(super) fn go_live(&mut self, shared: usize) {
        assert!(self.live_from.is_none(), "a learner goes live once");
        self.live_from = Some(shared);
    }

    /// Whether it gets what is broadcast.
    pub(super) fn is_live(&self) -> bool {
        self.live_from.is_some()
    }

    /// Something goes before all that is held, at once.
    pub(super) fn put_ahead(&mut self, bytes: Bytes) {
        self.ahead.push(bytes);
    }

    /// What was put so far leaves, what comes from now on is held until [`Outbox::open`]. Only
    /// before it goes live.
    pub(super) fn shut(&mut self) {
        assert!(self.live_from.is_none(), "what is broadcast must not be split");
        assert!(self.history.is_empty() && self.held.is_empty(), "nothing waits before");
        if !self.own.is_empty() {
            self.ahead.push(self.own.split().freeze());
        }
        self.parts.clear();
        self.is_shut = true;
    }

    /// The history comes next, and then what was held.
    pub(super) fn open(&mut self, history: VecDeque<Txn>) {
        assert!(self.is_shut, "only what was shut can be opened");
        assert!(self.history.is_empty(), "a learner gets one history");
        self.is_shut = false;
        self.history = history;
    }

    /// Forgets all that is held: it will get something else instead.
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

    /// The turn ends: hands over what may leave. `shared` is the buffer of this turn.
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

    /// The network has passed so many bytes on.
    pub(super) fn handle_sent(&mut self, bytes: u64) {
        self.unsent = self.unsent.saturating_sub(bytes);
        assert!(self.unsent <= self.handed, "only what was handed over is unsent");
    }

    /// Bytes on their way, those that wait to be flushed first included.
    pub(super) fn unsent(&self) -> u64 {
        self.unsent + self.ahead.iter().map(|bytes| bytes.len() as u64).sum::<u64>()
    }

    /// Bytes that wait, wherever. What is unsent of the tree or of the history is bounded by its
    /// spread or its window.
    pub(super) fn queued(&self) -> u64 {
        self.unsent() + self.held_bytes
    }

    /// All bytes that the network has passed on.
    pub(super) fn passed_on(&self) -> u64 {
        self.handed.saturating_sub(self.unsent)
    }

    /// All bytes that were ever handed over.
    pub(super) fn handed(&self) -> u64 {
        self.handed
    }
}
