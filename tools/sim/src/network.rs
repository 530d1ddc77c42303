//! A network of byte streams, whose bytes arrive in order or not at all, late, and in pieces. Streams may be held up
//! and reset.
//!
//! A connection has two pipes. Bytes that go into a pipe arrive behind the earlier ones, each after a time of its
//! own. While the way is blocked, nothing arrives and nothing is lost until one side gives up, as in real streams,
//! whose bytes are sent again.

use std::collections::{BTreeMap, VecDeque};

use super::rng::Rng;
use super::wild::Wild;

/// The number of a machine; servers have the first numbers, then clients.
pub type Node = usize;

/// The number of a connection, unique in a run.
pub type ConnId = u64;

/// How long bytes take, in µs.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// The least time.
    pub least: u64,
    /// The mean of the time on top of it.
    pub mean: u64,
    /// How often in a thousand the time is longer by [`Latency::spike`].
    pub spikes_per_mille: u64,
    /// The additional time of a spike.
    pub spike: u64,
}

/// Something that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// The other side has accepted.
    Established,
    /// Bytes of the stream.
    Bytes(Vec<u8>),
    /// The stream is over, in good order or not.
    End(&'static str),
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The machine.
    pub node: Node,
    /// The life of the machine's process; a later process knows nothing of the connection.
    pub life: u64,
    /// The machine's own name for the connection.
    pub name: u64,
    /// Whether the end has closed the connection, or never knew of it. It then hears nothing more.
    pub closed: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    parcels: VecDeque<(u64, Parcel)>,
    last_arrival: u64,
    /// The time of the next delivery, or the time that it would have if the way were free.
    scheduled: Option<u64>,
    put_in: u64,
    arrived: u64,
    /// Bytes of which the sender was told that they are on their way.
    told: u64,
    /// Whether nothing more goes in.
    ended: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// The end that opened it, and the end that accepted it.
    pub ends: [End; 2],
    pipes: [Pipe; 2],
    /// Its kind: a number of the world's.
    pub kind: u8,
    /// Whether the acceptor knows of it.
    pub accepted: bool,
    /// Whether the opener knows that it was accepted.
    pub established: bool,
    /// Whether a device on the way has forgotten it, so that nothing arrives any more and neither end hears of that.
    pub vanished: bool,
}

/// All connections, and which ways are blocked.
pub struct Network {
    rng: Rng,
    latency: Latency,
    /// Bytes that the system of a sender takes before earlier ones have arrived.
    window: u64,
    /// Longest piece in which bytes arrive.
    piece_max: u64,
    connections: BTreeMap<ConnId, Connection>,
    next: ConnId,
    nodes: usize,
    /// For each sender and receiver, a bit for each blocked kind of connection.
    blocked: Vec<u8>,
    /// The mean pause until a sender tries again after its way was blocked; 0: it tries at once.
    resend_pause: u64,
    /// How many of a thousand ends of connections come late, and the longest delay.
    late_ends: (u64, u64),
    /// Deliveries to be scheduled: the time, the connection, and its end that receives.
    due: Vec<(u64, ConnId, usize)>,
}

fn kind_bit(kind: u8) -> u8 {
    1 << kind
}

impl Network {
    /// A network without connections, in which no way is blocked.
    pub fn new(rng: Rng, latency: Latency, window: u64, piece_max: u64, nodes: usize) -> Network {
        Network {
            rng,
            latency,
            window,
            piece_max,
            connections: BTreeMap::new(),
            next: 1,
            nodes,
            blocked: vec![0; nodes * nodes],
            resend_pause: 0,
            late_ends: (0, 0),
            due: Vec::new(),
        }
    }

    /// Sets the delays of wild ensembles. Real systems send lost bytes again after growing pauses, so a new
    /// connection may be faster than the last bytes of an old one, and above all faster than its end.
    pub fn set_wild(&mut self, wild: &Wild) {
        self.resend_pause = wild.resend_pause;
        self.late_ends = (wild.late_ends_per_mille, wild.late_end);
    }

    /// Sets the latency, and makes the network calm.
    pub fn set_latency(&mut self, latency: Latency) {
        self.latency = latency;
    }

    /// Draws the time that something takes to arrive.
    pub fn delay(&mut self) -> u64 {
        let Latency { least, mean, spikes_per_mille, spike } = self.latency;
        let late = if self.rng.per_mille(spikes_per_mille) { self.rng.below(spike) } else { 0 };
        least + self.rng.waiting(mean) + late
    }

    /// Begins to open a connection.
    pub fn open(&mut self, kind: u8, opener: End, acceptor: Node) -> ConnId {
        let id = self.next;
        self.next += 1;
        let unknown = End { node: acceptor, life: 0, name: 0, closed: true };
        let ends = [opener, unknown];
        let pipes = Default::default();
        let (accepted, established, vanished) = (false, false, false);
        let connection = Connection { ends, pipes, kind, accepted, established, vanished };
        self.connections.insert(id, connection);
        id
    }

    /// A connection, if it still exists.
    pub fn get(&self, id: ConnId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// Notes that the acceptor has accepted a connection, and tells the opener.
    pub fn accept(&mut self, now: u64, id: ConnId, life: u64, name: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let node = connection.ends[1].node;
        connection.ends[1] = End { node, life, name, closed: false };
        connection.accepted = true;
        self.put(now, id, 0, Parcel::Established);
    }

    /// Tells the opener that a connection could not be opened.
    pub fn refuse(&mut self, now: u64, id: ConnId, why: &'static str) {
        self.put(now, id, 0, Parcel::End(why));
    }

    /// Sends bytes from the end `from`.
    pub fn send(&mut self, now: u64, id: ConnId, from: usize, bytes: &[u8]) {
        let to = 1 - from;
        let mut rest = bytes;
        while !rest.is_empty() {
            let most = usize::try_from(self.piece_max).unwrap_or(usize::MAX).min(rest.len());
            let length = if self.rng.one_in(3) { 1 + self.rng.index(most) } else { most };
            let (piece, behind) = rest.split_at(length);
            rest = behind;
            self.put(now, id, to, Parcel::Bytes(piece.to_vec()));
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pipes[to].put_in += bytes.len() as u64;
        }
    }

    /// Closes a connection at the end `from`. The other end hears of it behind everything that was sent.
    pub fn close(&mut self, now: u64, id: ConnId, from: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ends[from].closed = true;
        connection.pipes[from].parcels.clear();
        connection.pipes[from].ended = true;
        self.put(now, id, 1 - from, Parcel::End("closed by the other side"));
        self.collect(id);
    }

    /// Breaks a connection. Both ends hear of it, and the bytes on their way are lost.
    pub fn cut(&mut self, now: u64, id: ConnId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for (pipe, end) in connection.pipes.iter_mut().zip(&connection.ends) {
            pipe.parcels.clear();
            pipe.last_arrival = now;
            // The end of the stream may be among the lost things, and the receiver must hear of one.
            pipe.ended &= end.closed;
        }
        for to in 0..2 {
            self.put(now, id, to, Parcel::End("connection reset"));
        }
    }

    /// Tells one end that the connection is over. The other end hears of it only when it sends something.
    pub fn cut_half(&mut self, now: u64, id: ConnId, to: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.pipes[to];
        if pipe.ended {
            // The end of the stream is on its way already.
            return;
        }
        pipe.parcels.clear();
        pipe.last_arrival = now;
        self.put(now, id, to, Parcel::End("connection reset"));
        if let Some(connection) = self.connections.get_mut(&id) {
            // What the other side sends from now on arrives at a machine that knows nothing of the connection.
            connection.pipes[to].ended = false;
        }
    }

    /// Lets a connection vanish: nothing arrives any more, and neither end hears of that.
    pub fn vanish(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.vanished = true;
        }
    }

    /// Tells both ends of vanished connections that they are over, because a system gives up bytes that the other
    /// side does not confirm for long.
    pub fn give_up_vanished(&mut self, now: u64) {
        let ids: Vec<ConnId> = self.all();
        for id in ids {
            let connection = self.connections.get_mut(&id).expect("it was just listed");
            if std::mem::take(&mut connection.vanished) {
                for pipe in &mut connection.pipes {
                    // The last scheduled delivery was skipped.
                    pipe.scheduled = None;
                }
                self.cut(now, id);
            }
        }
    }

    fn put(&mut self, now: u64, id: ConnId, to: usize, parcel: Parcel) {
        let mut delay = self.delay();
        let (late_per_mille, late) = self.late_ends;
        let is_end = matches!(parcel, Parcel::End(_));
        if is_end && late_per_mille > 0 && self.rng.per_mille(late_per_mille) {
            delay += self.rng.below(late);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.vanished {
            return;
        }
        let pipe = &mut connection.pipes[to];
        if pipe.ended {
            return;
        }
        pipe.ended = matches!(parcel, Parcel::End(_));
        let arrival = (now + delay).max(pipe.last_arrival + 1);
        pipe.last_arrival = arrival;
        pipe.parcels.push_back((arrival, parcel));
        if pipe.scheduled.is_none() {
            pipe.scheduled = Some(arrival);
            self.due.push((arrival, id, to));
        }
    }

    /// The deliveries that the caller must schedule.
    pub fn take_due(&mut self) -> Vec<(u64, ConnId, usize)> {
        std::mem::take(&mut self.due)
    }

    /// What arrives now at the end `to`; bytes of several parcels may arrive as one. `None`: the
    /// way is blocked, or nothing is there.
    pub fn arrive(&mut self, now: u64, id: ConnId, to: usize) -> Option<Parcel> {
        let connection = self.connections.get_mut(&id)?;
        let (sender, receiver) = (connection.ends[1 - to].node, connection.ends[to].node);
        let pipe = &mut connection.pipes[to];
        // The opener learns without a word from the other side that nobody accepts.
        let mask = self.blocked[sender * self.nodes + receiver];
        let blocked = connection.accepted && mask & kind_bit(connection.kind) != 0;
        if blocked || connection.vanished || pipe.scheduled.is_none_or(|at| at > now) {
            // The delivery is scheduled anew when the way is free.
            return None;
        }
        match pipe.parcels.front() {
            None => {
                pipe.scheduled = None;
                return None;
            }
            Some((at, _)) if *at > now => {
                pipe.scheduled = Some(*at);
                self.due.push((*at, id, to));
                return None;
            }
            Some(_) => (),
        }
        let (_, mut parcel) = pipe.parcels.pop_front().expect("it was looked at");
        connection.established |= parcel == Parcel::Established;
        if let Parcel::Bytes(bytes) = &mut parcel {
            while let Some((at, Parcel::Bytes(_))) = pipe.parcels.front()
                && *at <= now
                && self.rng.one_in(2)
            {
                if let Some((_, Parcel::Bytes(more))) = pipe.parcels.pop_front() {
                    bytes.extend_from_slice(&more);
                }
            }
            pipe.arrived += bytes.len() as u64;
        }
        pipe.scheduled = pipe.parcels.front().map(|(at, _)| (*at).max(now + 1));
        if let Some(at) = pipe.scheduled {
            self.due.push((at, id, to));
        }
        Some(parcel)
    }

    /// Postpones a delivery until `until`, because the receiver does not run.
    pub fn postpone(&mut self, now: u64, id: ConnId, to: usize, until: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.pipes[to];
        if pipe.scheduled.is_some_and(|at| at <= now) {
            pipe.scheduled = Some(until);
            self.due.push((until, id, to));
        }
    }

    /// Tells the sender that the receiver of its bytes knows nothing of the connection.
    pub fn reject(&mut self, now: u64, id: ConnId, to: usize) {
        self.put(now, id, 1 - to, Parcel::End("connection reset"));
    }

    /// How many more bytes are on their way than the end `from` was told.
    pub fn newly_sent(&mut self, id: ConnId, from: usize) -> u64 {
        let Some(connection) = self.connections.get_mut(&id) else { return 0 };
        let (to, back) = (connection.ends[1 - from].node, connection.ends[from].node);
        // If the way back is blocked, the sender does not learn that anything has arrived.
        if self.blocked[to * self.nodes + back] & kind_bit(connection.kind) != 0 {
            return 0;
        }
        let pipe = &mut connection.pipes[1 - from];
        let known = pipe.put_in.min(pipe.arrived + self.window);
        let news = known.saturating_sub(pipe.told);
        pipe.told = pipe.told.max(known);
        news
    }

    /// Notes that an end was told of the end of a connection, or is gone without a word to the other end.
    pub fn forget(&mut self, id: ConnId, end: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ends[end].closed = true;
        if !connection.accepted {
            self.connections.remove(&id);
        }
        self.collect(id);
    }

    /// Gives up a connection that was never accepted.
    pub fn abandon(&mut self, id: ConnId) {
        self.connections.remove(&id);
    }

    /// Forgets a connection that both ends have left.
    fn collect(&mut self, id: ConnId) {
        let gone = |c: &Connection| c.accepted && c.ends[0].closed && c.ends[1].closed;
        if self.connections.get(&id).is_some_and(gone) {
            self.connections.remove(&id);
        }
    }

    /// The connections of a machine, each with the machine's end.
    pub fn of(&self, node: Node) -> Vec<(ConnId, usize)> {
        let ends = |(id, connection): (&ConnId, &Connection)| {
            let end = (0..2).find(|end| connection.ends[*end].node == node)?;
            Some((*id, end))
        };
        self.connections.iter().filter_map(ends).collect()
    }

    /// All connections.
    pub fn all(&self) -> Vec<ConnId> {
        self.connections.keys().copied().collect()
    }

    /// Loses everything that was sent to this end and has not arrived.
    pub fn lose(&mut self, id: ConnId, to: usize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pipes[to].parcels.clear();
        }
    }

    /// Whether the way from one machine to another is blocked for connections of this kind.
    pub fn is_blocked(&self, from: Node, to: Node, kind: u8) -> bool {
        self.blocked[from * self.nodes + to] & kind_bit(kind) != 0
    }

    /// Blocks a way for connections of one kind.
    pub fn block_kind(&mut self, from: Node, to: Node, kind: u8) {
        self.blocked[from * self.nodes + to] |= kind_bit(kind);
    }

    /// Blocks a way, or frees it; then everything that waited arrives.
    pub fn set_blocked(&mut self, now: u64, from: Node, to: Node, blocked: bool) {
        self.blocked[from * self.nodes + to] = if blocked { u8::MAX } else { 0 };
        if blocked {
            return;
        }
        let mut late = Vec::new();
        for (id, connection) in &mut self.connections {
            for end in 0..2 {
                let way = (connection.ends[1 - end].node, connection.ends[end].node);
                if way == (from, to) && connection.pipes[end].scheduled.is_some() {
                    late.push((*id, end));
                }
            }
        }
        for (id, end) in late {
            let waits = self.resend_pause > 0 && self.rng.one_in(2);
            let pause = if waits { self.rng.waiting(self.resend_pause) } else { 0 };
            let at = now + self.delay() + pause;
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.pipes[end].scheduled = Some(at);
            }
            self.due.push((at, id, end));
        }
    }

    /// Frees every way.
    pub fn free_all(&mut self, now: u64) {
        for from in 0..self.nodes {
            for to in 0..self.nodes {
                if self.blocked[from * self.nodes + to] != 0 {
                    self.set_blocked(now, from, to, false);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_sent_behind_a_cut_arrives_whatever_breaks_later() {
        for seed in 0..100 {
            let latency = Latency { least: 30, mean: 200, spikes_per_mille: 0, spike: 0 };
            let mut network = Network::new(Rng::new(seed), latency, 1 << 14, 1460, 2);
            let opener = End { node: 0, life: 1, name: 1, closed: false };
            let id = network.open(0, opener, 1);
            network.accept(0, id, 1, 1);
            network.cut(1, id);
            network.cut_half(2, id, 0);
            network.send(3, id, 1, b"an event");
            let mut due = network.take_due();
            let mut ended = false;
            while let Some((at, id, to)) = due.pop() {
                let came = network.arrive(at, id, to).filter(|_| to == 0);
                assert!(ended || !matches!(came, Some(Parcel::Bytes(_))), "seed {seed}");
                ended |= matches!(came, Some(Parcel::End(_)));
                due.extend(network.take_due());
                due.sort_unstable_by_key(|(at, ..)| std::cmp::Reverse(*at));
            }
            assert!(ended, "seed {seed}");
        }
    }

    #[test]
    fn who_was_still_to_hear_of_an_end_hears_of_one_though_the_connection_vanished() {
        let latency = Latency { least: 30, mean: 200, spikes_per_mille: 0, spike: 0 };
        let mut network = Network::new(Rng::new(1), latency, 1 << 14, 1460, 2);
        let id = network.open(0, End { node: 0, life: 1, name: 1, closed: false }, 1);
        network.accept(0, id, 1, 1);
        network.close(1, id, 1);
        network.vanish(id);
        network.give_up_vanished(2);
        let due = network.take_due();
        let told: Vec<Parcel> =
            due.into_iter().filter_map(|(at, id, to)| network.arrive(at, id, to)).collect();
        assert_eq!(told, [Parcel::End("connection reset")]);
    }
}
