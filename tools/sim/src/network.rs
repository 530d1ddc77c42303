//! A network of byte streams: in order or not at all, late, cut into pieces, held up, reset.
//!
//! A connection has two pipes. What is put into one arrives behind what was put into it before, after
//! a time of its own. Where the way is blocked nothing arrives, and nothing is lost either, until
//! somebody gives up: so do real streams, whose bytes are sent again and again.

use std::collections::{BTreeMap, VecDeque};

use super::rng::Rng;
use super::wild::Wild;

/// A machine: servers first, then clients.
pub type Node = usize;

/// One connection, unique in a run.
pub type ConnId = u64;

/// How long bytes take, in µs.
#[derive(Clone, Copy, Debug)]
pub struct Latency {
    /// At least.
    pub least: u64,
    /// The mean of what comes on top.
    pub mean: u64,
    /// So often in a thousand it is [`Latency::spike`] more.
    pub spikes_per_mille: u64,
    /// See there.
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

/// Who stands at an end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Which machine.
    pub node: Node,
    /// Which of its lives; a later one knows nothing of the connection.
    pub life: u64,
    /// Its own name for the connection.
    pub name: u64,
    /// It has closed the connection, or never knew of it: nothing is told to it any more.
    pub closed: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    parcels: VecDeque<(u64, Parcel)>,
    last_arrival: u64,
    /// When the next delivery happens, or would have happened if the way were free.
    scheduled: Option<u64>,
    put_in: u64,
    arrived: u64,
    /// Bytes that the sender knows to be on their way.
    told: u64,
    /// Nothing more goes in.
    ended: bool,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// Who opened it, and who accepted it.
    pub ends: [End; 2],
    pipes: [Pipe; 2],
    /// What it is for: a word of the world's.
    pub kind: u8,
    /// The acceptor knows of it.
    pub accepted: bool,
    /// The opener knows that.
    pub established: bool,
    /// Something on the way has forgotten it: nothing arrives any more, and nobody is told.
    pub vanished: bool,
}

/// All connections, and which ways are blocked.
pub struct Network {
    rng: Rng,
    latency: Latency,
    /// Bytes that a sender's system takes ahead of what has arrived.
    window: u64,
    /// Longest piece in which bytes arrive.
    piece_max: u64,
    connections: BTreeMap<ConnId, Connection>,
    next: ConnId,
    nodes: usize,
    /// By sender and receiver: a bit for each kind of connection.
    blocked: Vec<u8>,
    /// Mean pause until a sender tries again whose way was blocked; 0: it tries at once.
    resend_pause: u64,
    /// So many of the ends of connections come late, and by how much at most.
    late_ends: (u64, u64),
    /// Deliveries to be scheduled: the time, the connection, and its end that receives.
    due: Vec<(u64, ConnId, usize)>,
}

fn kind_bit(kind: u8) -> u8 {
    1 << kind
}

impl Network {
    /// Nothing blocked, nobody connected.
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

    /// What was lost is sent again after pauses that grow, so that a new connection may be faster than
    /// what is still to come on an old one, its end above all.
    pub fn set_wild(&mut self, wild: &Wild) {
        self.resend_pause = wild.resend_pause;
        self.late_ends = (wild.late_ends_per_mille, wild.late_end);
    }

    /// Calm weather.
    pub fn set_latency(&mut self, latency: Latency) {
        self.latency = latency;
    }

    /// A time that something takes to arrive.
    pub fn delay(&mut self) -> u64 {
        let Latency { least, mean, spikes_per_mille, spike } = self.latency;
        let late = if self.rng.per_mille(spikes_per_mille) { self.rng.below(spike) } else { 0 };
        least + self.rng.waiting(mean) + late
    }

    /// A connection that is being opened.
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

    /// A connection that is still there.
    pub fn get(&self, id: ConnId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// The acceptor's system has taken it.
    pub fn accept(&mut self, now: u64, id: ConnId, life: u64, name: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let node = connection.ends[1].node;
        connection.ends[1] = End { node, life, name, closed: false };
        connection.accepted = true;
        self.put(now, id, 0, Parcel::Established);
    }

    /// It could not be opened.
    pub fn refuse(&mut self, now: u64, id: ConnId, why: &'static str) {
        self.put(now, id, 0, Parcel::End(why));
    }

    /// Bytes from the end `from`. False: nobody takes them any more.
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

    /// The end `from` closes: the other hears of it behind everything that was sent.
    pub fn close(&mut self, now: u64, id: ConnId, from: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ends[from].closed = true;
        connection.pipes[from].parcels.clear();
        connection.pipes[from].ended = true;
        self.put(now, id, 1 - from, Parcel::End("closed by the other side"));
        self.collect(id);
    }

    /// The connection breaks: both hear of it, and what was on its way is lost.
    pub fn cut(&mut self, now: u64, id: ConnId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for (pipe, end) in connection.pipes.iter_mut().zip(&connection.ends) {
            pipe.parcels.clear();
            pipe.last_arrival = now;
            // Its end may have been among what is lost, and it has to hear of one.
            pipe.ended &= end.closed;
        }
        for to in 0..2 {
            self.put(now, id, to, Parcel::End("connection reset"));
        }
    }

    /// One end hears that the connection is over; the other does not, until it says something and is
    /// told that nobody knows of it.
    pub fn cut_half(&mut self, now: u64, id: ConnId, to: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.pipes[to];
        if pipe.ended {
            // Its end is on its way, and stays it.
            return;
        }
        pipe.parcels.clear();
        pipe.last_arrival = now;
        self.put(now, id, to, Parcel::End("connection reset"));
        if let Some(connection) = self.connections.get_mut(&id) {
            // What the other side says from now on arrives where nobody knows of it.
            connection.pipes[to].ended = false;
        }
    }

    /// Nothing arrives over this connection any more, and nobody is told.
    pub fn vanish(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.vanished = true;
        }
    }

    /// Both ends hear of it at last: a system gives up bytes that nobody confirms for long.
    pub fn give_up_vanished(&mut self, now: u64) {
        let ids: Vec<ConnId> = self.all();
        for id in ids {
            let connection = self.connections.get_mut(&id).expect("it was just listed");
            if std::mem::take(&mut connection.vanished) {
                for pipe in &mut connection.pipes {
                    // Its last delivery was passed over.
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

    /// Deliveries to be scheduled by the caller.
    pub fn take_due(&mut self) -> Vec<(u64, ConnId, usize)> {
        std::mem::take(&mut self.due)
    }

    /// What arrives now at the end `to`; bytes of several parcels may arrive as one. `None`: the
    /// way is blocked, or nothing is there.
    pub fn arrive(&mut self, now: u64, id: ConnId, to: usize) -> Option<Parcel> {
        let connection = self.connections.get_mut(&id)?;
        let (sender, receiver) = (connection.ends[1 - to].node, connection.ends[to].node);
        let pipe = &mut connection.pipes[to];
        // That nobody accepts is known without a word from the other side.
        let mask = self.blocked[sender * self.nodes + receiver];
        let blocked = connection.accepted && mask & kind_bit(connection.kind) != 0;
        if blocked || connection.vanished || pipe.scheduled.is_none_or(|at| at > now) {
            // Scheduled anew when the way is free.
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

    /// The receiver does not run: what arrives is taken later.
    pub fn postpone(&mut self, now: u64, id: ConnId, to: usize, until: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let pipe = &mut connection.pipes[to];
        if pipe.scheduled.is_some_and(|at| at <= now) {
            pipe.scheduled = Some(until);
            self.due.push((until, id, to));
        }
    }

    /// Bytes came to an end that knows nothing of the connection: its system says so.
    pub fn reject(&mut self, now: u64, id: ConnId, to: usize) {
        self.put(now, id, 1 - to, Parcel::End("connection reset"));
    }

    /// How many more bytes the end `from` may be told to be on their way.
    pub fn newly_sent(&mut self, id: ConnId, from: usize) -> u64 {
        let Some(connection) = self.connections.get_mut(&id) else { return 0 };
        let (to, back) = (connection.ends[1 - from].node, connection.ends[from].node);
        // Where nothing comes back, nobody knows that anything has arrived.
        if self.blocked[to * self.nodes + back] & kind_bit(connection.kind) != 0 {
            return 0;
        }
        let pipe = &mut connection.pipes[1 - from];
        let known = pipe.put_in.min(pipe.arrived + self.window);
        let news = known.saturating_sub(pipe.told);
        pipe.told = pipe.told.max(known);
        news
    }

    /// An end has been told that it is over, or is gone without a word to the other.
    pub fn forget(&mut self, id: ConnId, end: usize) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.ends[end].closed = true;
        if !connection.accepted {
            self.connections.remove(&id);
        }
        self.collect(id);
    }

    /// Nothing more will come of a connection that was never accepted.
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

    /// The connections of a machine, with the end that it is at.
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

    /// What was sent to this end and has not arrived is lost.
    pub fn lose(&mut self, id: ConnId, to: usize) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.pipes[to].parcels.clear();
        }
    }

    /// Whether no bytes of such connections go from one machine to another.
    pub fn is_blocked(&self, from: Node, to: Node, kind: u8) -> bool {
        self.blocked[from * self.nodes + to] & kind_bit(kind) != 0
    }

    /// Blocks a way for connections of one kind.
    pub fn block_kind(&mut self, from: Node, to: Node, kind: u8) {
        self.blocked[from * self.nodes + to] |= kind_bit(kind);
    }

    /// Blocks a way, or frees it: then what waited arrives.
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
