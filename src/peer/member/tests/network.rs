//! Links between the servers of a test: pipes with delays, that break and that stall.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// One end of a link: the server, which of its lives it is, and the name of the link there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub server: usize,
    pub life: u64,
    pub link: LinkId,
}

/// What arrives at an end of a link.
#[derive(Debug)]
pub(super) enum Arrival {
    Accepted(Port),
    Connected,
    Bytes(Vec<u8>),
    Sent(u64),
    Closed(&'static str),
}

/// Everything that is under way between servers.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// The other end of each end.
    peers: BTreeMap<End, End>,
    /// Arrivals by time, then by number, so that nothing overtakes on one link.
    arrivals: BTreeMap<(u64, u64), (End, Arrival)>,
    /// The time of the last arrival at each end.
    latest: BTreeMap<End, u64>,
    number: u64,
    accepted: u64,
    /// Pairs of servers that do not reach each other, smaller number first.
    pub cut: BTreeSet<(usize, usize)>,
    stalled: VecDeque<(End, Arrival)>,
}

impl Network {
    pub fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    fn push(&mut self, at: u64, end: End, arrival: Arrival) {
        let latest = self.latest.entry(end).or_insert(0);
        *latest = at.max(*latest);
        self.number += 1;
        self.arrivals.insert((*latest, self.number), (end, arrival));
    }

    pub fn next_at(&self) -> Option<u64> {
        self.arrivals.keys().next().map(|(at, _)| *at)
    }

    /// The next arrival. Whatever crosses a cut waits until the cut is healed.
    pub fn pop(&mut self, now: u64) -> Option<(End, Arrival)> {
        while self.next_at().is_some_and(|at| at <= now) {
            let (_, (end, arrival)) = self.arrivals.pop_first().unwrap();
            let crosses =
                self.peers.get(&end).is_some_and(|peer| self.is_cut(peer.server, end.server));
            if crosses && !matches!(arrival, Arrival::Sent(_)) {
                self.stalled.push_back((end, arrival));
                continue;
            }
            return Some((end, arrival));
        }
        None
    }

    pub fn heal(&mut self, now: u64) {
        self.cut.clear();
        let stalled = std::mem::take(&mut self.stalled);
        let ends: BTreeSet<End> = stalled.iter().map(|(end, _)| *end).collect();
        // Bytes that were sent later still come later.
        let later: Vec<(u64, u64)> = self
            .arrivals
            .iter()
            .filter(|(_, (end, _))| ends.contains(end))
            .map(|(key, _)| *key)
            .collect();
        let later: Vec<(End, Arrival)> =
            later.iter().map(|key| self.arrivals.remove(key).unwrap()).collect();
        for (end, arrival) in stalled.into_iter().chain(later) {
            self.push(now, end, arrival);
        }
    }

    /// Opens a connection from `from` to a port of `to`; `None` is a server that is down.
    pub fn connect(
        &mut self,
        now: u64,
        random: &mut Random,
        from: End,
        to: Option<(usize, u64)>,
        port: Port,
        timeout_ms: u64,
    ) {
        let at = now + random.below(2000);
        match to {
            Some((server, _)) if self.is_cut(from.server, server) => {
                self.push(now + timeout_ms * 1000, from, Arrival::Closed("timed out"));
            }
            Some((server, life)) => {
                self.accepted += 1;
                let end = End { server, life, link: LinkId::accepted(self.accepted) };
                self.peers.insert(from, end);
                self.peers.insert(end, from);
                self.push(at, end, Arrival::Accepted(port));
                self.push(at, from, Arrival::Connected);
            }
            None => self.push(at, from, Arrival::Closed("refused")),
        }
    }

    pub fn send(&mut self, now: u64, random: &mut Random, from: End, bytes: &[u8]) {
        let Some(to) = self.peers.get(&from).copied() else { return };
        let mut rest = bytes;
        // The bytes arrive in one piece, or in several.
        while !rest.is_empty() {
            let length = if random.below(4) == 0 { 1 + random.index(20) } else { rest.len() };
            let (piece, later) = rest.split_at(length.min(rest.len()));
            let at = now + 50 + random.below(1500);
            self.push(at, to, Arrival::Bytes(piece.to_vec()));
            rest = later;
        }
        self.push(now + random.below(100), from, Arrival::Sent(bytes.len() as u64));
    }

    pub fn close(&mut self, now: u64, random: &mut Random, end: End) {
        let Some(peer) = self.peers.remove(&end) else { return };
        self.peers.remove(&peer);
        self.arrivals.retain(|_, (at, _)| *at != end);
        self.push(now + 50 + random.below(1500), peer, Arrival::Closed("closed by the other side"));
    }

    /// Closes all links of a server that is gone.
    pub fn close_all(&mut self, now: u64, random: &mut Random, server: usize) {
        let ends: Vec<End> =
            self.peers.keys().filter(|end| end.server == server).copied().collect();
        for end in ends {
            self.close(now, random, end);
        }
        self.arrivals.retain(|_, (end, _)| end.server != server);
        self.stalled.retain(|(end, _)| end.server != server);
    }

    /// Breaks one link of this server, which the seed chooses.
    pub fn break_one(&mut self, now: u64, random: &mut Random, server: usize) {
        let ends: Vec<End> =
            self.peers.keys().filter(|end| end.server == server).copied().collect();
        if let Some(end) = random.choose(&ends).copied() {
            let peer = self.peers[&end];
            self.close(now, random, end);
            self.push(now, end, Arrival::Closed("broken"));
            let _ = peer;
        }
    }
}
