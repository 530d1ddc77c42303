//! What crosses between session cores and a replica on another core.
//!
//! One bounded queue in each direction and per session core ([`crossing_queue`], which tells why no
//! wake-up is lost). What a turn of one executor has for the other crosses as one message: requests of
//! many connections in one allocation, replies as the buffers they were made in.
//!
//! Nobody waits for anybody in the middle of something. Each executor gathers what it has for another,
//! and puts it into the queue once in each round of its loop. What finds no room stays gathered, and
//! the round in which there is room takes it along:
//!
//! * A session core that the replica does not keep up with gathers requests. It reads no more from
//!   its sockets than the bound of what is outstanding allows, so that is what it gathers at most.
//! * A replica that a session core does not keep up with gathers replies, and takes no more requests
//!   of that core until the queue has room ([`ReplicaInbox`]): so it gathers no more than the
//!   answers to what one round took in, and the events of watches.
//!
//! Two executors that wait for room of each other: would that be for ever? No: a session core takes
//! what comes down whether or not it finds room for what goes up, and that makes room for the replica.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use super::host::Deliver;
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::net::{Budget, Connections, Core, Share};
use crate::replica::Outgoing;
use crate::runtime::{Doorbell, Inbox, Receiver, Sender, crossing_queue};

/// Messages that a queue holds: far more than rounds of one executor that another may sleep through
/// while both are busy.
const QUEUE_MESSAGES: usize = 256;

/// Bytes that a queue holds: the answers of some hundred rounds, and still memory that a server has.
const QUEUE_BYTES: usize = 32 << 20;

/// Messages that one dispatch takes from one queue; the sockets and the other queues have their turn
/// in between.
const MESSAGES_PER_DISPATCH: usize = 32;

/// What a session core tells the replica: the events of one round.
#[derive(Debug, Default)]
pub struct Up {
    events: Vec<UpEvent>,
    /// The frames of all events, one after the other.
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum UpEvent {
    Open { conn: ConnectionId, remote: SocketAddr },
    Frames { conn: ConnectionId, bytes: usize },
    Word { conn: ConnectionId, remote: SocketAddr, word: FourLetterWord, argument: Option<[u8; 8]> },
    End { conn: ConnectionId },
    Written { conn: ConnectionId, bytes: usize },
    Close { conn: ConnectionId },
}

/// What the replica tells a session core.
#[derive(Debug)]
pub enum Down {
    /// Bytes for its connections.
    Sends(Vec<Outgoing>),
    /// Accept connections there from now on, and nowhere else.
    Listen(TcpListener),
    /// Accept no more connections.
    StopAccepting,
}

/// The ends of both queues that a session core holds.
pub struct SessionEnds {
    up: Sender<Up>,
    down: Receiver<Down>,
}

/// The ends that the replica's core holds.
pub struct ReplicaEnds {
    up: Receiver<Up>,
    down: Sender<Down>,
}

/// Makes the two queues of one session core between the executors with these bells.
pub fn queues(session: &Doorbell, replica: &Doorbell) -> (SessionEnds, ReplicaEnds) {
    let queue_up = crossing_queue(QUEUE_MESSAGES, QUEUE_BYTES, session.clone(), replica.clone());
    let queue_down = crossing_queue(QUEUE_MESSAGES, QUEUE_BYTES, replica.clone(), session.clone());
    (
        SessionEnds { up: queue_up.0, down: queue_down.1 },
        ReplicaEnds { up: queue_up.1, down: queue_down.0 },
    )
}

/// On a session core: the way to the replica.
pub struct Uplink {
    next: RefCell<Up>,
    queue: RefCell<Sender<Up>>,
}

impl Uplink {
    fn push(&self, event: UpEvent, bytes: &[u8]) {
        let mut next = self.next.borrow_mut();
        next.events.push(event);
        next.bytes.extend_from_slice(bytes);
    }

    /// Hands on what has gathered, if there is room.
    pub fn flush(&self) {
        let mut next = self.next.borrow_mut();
        if next.events.is_empty() {
            return;
        }
        let up = std::mem::take(&mut *next);
        let bytes = up.bytes.len();
        if let Err(back) = self.queue.borrow_mut().push(up, bytes) {
            *next = back;
        }
    }

    /// Whether [`Uplink::flush`] would hand on anything.
    fn can_flush(&self) -> bool {
        !self.next.borrow().events.is_empty() && self.queue.borrow().has_room()
    }
}

impl Core for Uplink {
    fn open(&self, conn: ConnectionId, remote: SocketAddr) {
        self.push(UpEvent::Open { conn, remote }, &[]);
    }

    fn frames(&self, conn: ConnectionId, frames: &[u8]) {
        self.push(UpEvent::Frames { conn, bytes: frames.len() }, frames);
    }

    fn word(
        &self,
        conn: ConnectionId,
        remote: SocketAddr,
        word: FourLetterWord,
        argument: Option<[u8; 8]>,
    ) {
        self.push(UpEvent::Word { conn, remote, word, argument }, &[]);
    }

    fn end(&self, conn: ConnectionId) {
        self.push(UpEvent::End { conn }, &[]);
    }

    fn written(&self, conn: ConnectionId, bytes: usize) {
        self.push(UpEvent::Written { conn, bytes }, &[]);
    }

    fn close(&self, conn: ConnectionId) {
        self.push(UpEvent::Close { conn }, &[]);
    }
}

/// On a session core: what comes from the replica.
pub struct SessionInbox {
    queue: RefCell<Receiver<Down>>,
    uplink: Rc<Uplink>,
    connections: Connections,
    /// What the replica has said that is not about a connection, oldest first.
    orders: RefCell<VecDeque<Order>>,
    /// The end of the queue was seen.
    over: Cell<bool>,
}

/// See [`Down`].
pub enum Order {
    /// [`Down::Listen`].
    Listen(TcpListener),
    /// [`Down::StopAccepting`].
    StopAccepting,
    /// Close the connections after what is still to be sent, and end: the replica has closed the
    /// queue. That takes no place in it, so that it reaches a session core whose queue was full.
    Stop,
}

impl SessionEnds {
    /// The way to the replica, and what comes from it for these connections.
    pub fn open(self, connections: &Connections) -> (Rc<Uplink>, Rc<SessionInbox>) {
        let uplink = Rc::new(Uplink { next: RefCell::default(), queue: RefCell::new(self.up) });
        let inbox = SessionInbox {
            queue: RefCell::new(self.down),
            uplink: uplink.clone(),
            connections: connections.clone(),
            orders: RefCell::default(),
            over: Cell::new(false),
        };
        (uplink, Rc::new(inbox))
    }
}

impl SessionInbox {
    /// The next order; they are in the order in which they were given.
    pub fn order(&self) -> Option<Order> {
        self.orders.borrow_mut().pop_front()
    }
}

impl Inbox for SessionInbox {
    fn has_mail(&self) -> bool {
        let queue = self.queue.borrow();
        // The replica takes nothing more when it is over.
        !queue.is_empty() || (!self.over.get() && (queue.is_over() || self.uplink.can_flush()))
    }

    fn take_in(&self) {
        for _ in 0..MESSAGES_PER_DISPATCH {
            let message = self.queue.borrow_mut().pop();
            match message {
                None => return self.maybe_end(),
                Some(Down::Sends(sends)) => self.connections.deliver_all(sends),
                Some(Down::Listen(socket)) => self.order_to(Order::Listen(socket)),
                Some(Down::StopAccepting) => self.order_to(Order::StopAccepting),
            }
        }
    }
}

impl SessionInbox {
    /// The queue is empty, perhaps for ever.
    fn maybe_end(&self) {
        if self.queue.borrow().is_over() && !self.over.replace(true) {
            self.order_to(Order::Stop);
        }
    }

    fn order_to(&self, order: Order) {
        self.orders.borrow_mut().push_back(order);
    }
}

/// On the replica's core: the way to one session core.
struct Downlink {
    queue: RefCell<Sender<Down>>,
    /// Sends of this round, and what did not fit into the queue before.
    gathered: RefCell<Vec<Outgoing>>,
    /// Messages that wait for room, before what is gathered.
    waiting: RefCell<VecDeque<Down>>,
}

/// On the replica's core: the ways to all session cores.
#[derive(Clone)]
pub struct Downlinks {
    links: Rc<[Downlink]>,
    /// Bytes on their way.
    share: Rc<Share>,
}

impl Downlinks {
    /// Gives each session core a socket to accept connections on from now on.
    pub fn listen(&self, sockets: Vec<TcpListener>) {
        for (link, socket) in self.links.iter().zip(sockets) {
            link.tell(Down::Listen(socket));
        }
    }

    /// Sends the same to every session core, after what is gathered.
    pub fn tell(&self, message: impl Fn() -> Down) {
        self.links.iter().for_each(|link| link.tell(message()));
    }

    /// Nothing more will be sent: each session core ends when it has taken what is in its queue. What
    /// still waits for room is given up.
    pub fn close(&self) {
        self.flush();
        self.links.iter().for_each(|link| link.queue.borrow_mut().close());
    }

    /// Whether everything is in the queues.
    pub fn is_flushed(&self) -> bool {
        self.links.iter().all(Downlink::is_flushed)
    }
}

impl Deliver for Downlinks {
    fn deliver(&self, send: Outgoing) -> Option<Vec<u8>> {
        let core = usize::from(Connections::core_of(send.conn));
        self.share.change(0, send.bytes.capacity());
        self.links[core].gathered.borrow_mut().push(send);
        None
    }

    fn flush(&self) {
        for link in self.links.iter() {
            link.flush();
        }
        self.share.tell();
    }
}

impl Downlink {
    /// Queues a message behind what is gathered.
    fn tell(&self, message: Down) {
        let gathered = self.gathered.take();
        let mut waiting = self.waiting.borrow_mut();
        if !gathered.is_empty() {
            waiting.push_back(Down::Sends(gathered));
        }
        waiting.push_back(message);
        drop(waiting);
        self.flush();
    }

    fn flush(&self) {
        let mut queue = self.queue.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        while let Some(message) = waiting.pop_front() {
            if let Err(back) = push_down(&mut queue, message) {
                return waiting.push_front(back);
            }
        }
        let mut gathered = self.gathered.borrow_mut();
        if gathered.is_empty() {
            return;
        }
        if let Err(Down::Sends(back)) = push_down(&mut queue, Down::Sends(gathered.split_off(0))) {
            *gathered = back;
        }
    }

    fn is_flushed(&self) -> bool {
        self.gathered.borrow().is_empty() && self.waiting.borrow().is_empty()
    }

    fn can_flush(&self) -> bool {
        !self.is_flushed() && self.queue.borrow().has_room()
    }
}

fn push_down(queue: &mut Sender<Down>, message: Down) -> Result<(), Down> {
    let bytes = match &message {
        Down::Sends(sends) => sends.iter().map(|send| send.bytes.len()).sum(),
        Down::Listen(_) | Down::StopAccepting => 0,
    };
    queue.push(message, bytes)
}

/// On the replica's core: what comes from the session cores.
pub struct ReplicaInbox {
    ups: Vec<RefCell<Receiver<Up>>>,
    downlinks: Downlinks,
    core: RefCell<Option<Rc<dyn Core>>>,
    /// The queue that is looked at first, a different one each time.
    first: Cell<usize>,
}

/// The ends of all session cores: what comes from them, and the ways to them.
pub fn open_all(ends: Vec<ReplicaEnds>, budget: &Budget) -> (Rc<ReplicaInbox>, Downlinks) {
    let mut ups = Vec::with_capacity(ends.len());
    let mut links = Vec::with_capacity(ends.len());
    for ReplicaEnds { up, down } in ends {
        ups.push(RefCell::new(up));
        links.push(Downlink {
            queue: RefCell::new(down),
            gathered: RefCell::default(),
            waiting: RefCell::default(),
        });
    }
    let share = Rc::new(budget.on_the_way());
    let downlinks = Downlinks { links: links.into(), share };
    let (core, first) = (RefCell::new(None), Cell::new(0));
    (Rc::new(ReplicaInbox { ups, downlinks: downlinks.clone(), core, first }), downlinks)
}

impl ReplicaInbox {
    /// Gives what comes to `core` from now on; before, it stays in the queues.
    pub fn set_core(&self, core: Rc<dyn Core>) {
        *self.core.borrow_mut() = Some(core);
    }

    fn take_from(&self, index: usize, core: &dyn Core) {
        // Its answers would have to wait here: so its requests wait there.
        if !self.downlinks.links[index].is_flushed() {
            return;
        }
        for _ in 0..MESSAGES_PER_DISPATCH {
            let up = self.ups[index].borrow_mut().pop();
            let Some(up) = up else { return };
            hand_on(&up, core);
        }
    }
}

impl Inbox for ReplicaInbox {
    fn has_mail(&self) -> bool {
        self.ups
            .iter()
            .zip(self.downlinks.links.iter())
            .any(|(up, link)| (link.is_flushed() && !up.borrow().is_empty()) || link.can_flush())
    }

    fn take_in(&self) {
        self.downlinks.flush();
        let core = self.core.borrow().clone();
        let Some(core) = core else { return };
        let first = self.first.get();
        self.first.set((first + 1) % self.ups.len());
        for index in (first..self.ups.len()).chain(0..first) {
            self.take_from(index, &*core);
        }
    }
}

/// Gives the replica what one session core has sent.
fn hand_on(Up { events, bytes }: &Up, core: &dyn Core) {
    let mut rest = bytes.as_slice();
    for event in events {
        match event {
            UpEvent::Open { conn, remote } => core.open(*conn, *remote),
            UpEvent::Frames { conn, bytes } => {
                let (frames, after) = rest.split_at(*bytes);
                rest = after;
                core.frames(*conn, frames);
            }
            UpEvent::Word { conn, remote, word, argument } => {
                core.word(*conn, *remote, *word, *argument);
            }
            UpEvent::End { conn } => core.end(*conn),
            UpEvent::Written { conn, bytes } => core.written(*conn, *bytes),
            UpEvent::Close { conn } => core.close(*conn),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::net::{Census, NetOptions};
    use crate::runtime::Reactor;

    /// Answers each frame with itself, as a replica's turn would: after the events of a message.
    struct Echo {
        links: Downlinks,
        closed: Cell<u8>,
    }

    impl Core for Echo {
        fn open(&self, conn: ConnectionId, remote: SocketAddr) {
            assert_eq!(usize::from(remote.port()), usize::from(Connections::core_of(conn)));
        }

        fn frames(&self, conn: ConnectionId, frames: &[u8]) {
            let bytes = frames.to_vec();
            let _ =
                self.links.deliver(Outgoing { conn, bytes, answered: 1, ..Outgoing::default() });
            self.links.flush();
        }

        fn word(&self, _: ConnectionId, _: SocketAddr, _: FourLetterWord, _: Option<[u8; 8]>) {}

        fn end(&self, _: ConnectionId) {}

        fn written(&self, _: ConnectionId, _: usize) {}

        fn close(&self, _: ConnectionId) {
            self.closed.set(self.closed.get() + 1);
        }
    }

    const BURST: u32 = 40;

    /// A round that takes longer has lost a wake-up. Generous: the tests beside this one may have
    /// the processors.
    const ROUND_MAX: Duration = Duration::from_secs(30);

    fn replica(ends: Vec<ReplicaEnds>, bell: Doorbell, cores: u8) {
        let reactor = Reactor::new(bell).unwrap();
        let (inbox, links) = open_all(ends, &Budget::new(u64::MAX, 1));
        let echo = Rc::new(Echo { links, closed: Cell::new(0) });
        inbox.set_core(echo.clone());
        reactor.set_inbox(inbox);
        while echo.closed.get() < cores {
            reactor.dispatch().unwrap();
            let until = Instant::now() + ROUND_MAX;
            reactor.sleep(Some(until)).unwrap();
            assert!(Instant::now() < until, "the replica was not woken");
        }
    }

    /// Sends bursts and single messages, with pauses of every length around the time in which a
    /// thread falls asleep, and waits for each answer.
    fn session(core: u8, ends: SessionEnds, bell: Doorbell, rounds: u32) {
        let reactor = Reactor::new(bell).unwrap();
        let conn = ConnectionId(u64::from(core) << 56 | 7);
        let SessionEnds { up, mut down } = ends;
        let uplink = Uplink { next: RefCell::default(), queue: RefCell::new(up) };
        uplink.open(conn, SocketAddr::from(([127, 0, 0, 1], core.into())));
        /// Only wakes the thread; the messages are taken by hand.
        struct Looks(Rc<RefCell<Receiver<Down>>>);
        impl Inbox for Looks {
            fn has_mail(&self) -> bool {
                !self.0.borrow().is_empty()
            }
            fn take_in(&self) {}
        }
        assert!(down.pop().is_none());
        let down = Rc::new(RefCell::new(down));
        reactor.set_inbox(Rc::new(Looks(down.clone())));
        for round in 0..rounds {
            let burst = if round % 50 == 0 { BURST } else { 1 };
            for number in 0..burst {
                uplink.frames(conn, &(round * BURST + number).to_be_bytes());
                if number % 7 == 3 {
                    uplink.flush();
                }
            }
            uplink.flush();
            let mut answers = Vec::new();
            let until = Instant::now() + ROUND_MAX;
            while answers.len() < burst as usize {
                while let Some(message) = down.borrow_mut().pop() {
                    let Down::Sends(sends) = message else { panic!("{message:?}") };
                    answers.extend(sends.into_iter().map(|send| send.bytes));
                }
                if answers.len() < burst as usize {
                    reactor.sleep(Some(until)).unwrap();
                    reactor.dispatch().unwrap();
                    assert!(Instant::now() < until, "core {core}, round {round}: no answer");
                }
            }
            let expected: Vec<Vec<u8>> =
                (0..burst).map(|number| (round * BURST + number).to_be_bytes().to_vec()).collect();
            assert_eq!(answers, expected);
            let pause = Duration::from_micros(u64::from(round * 37 % 120));
            let until = Instant::now() + pause;
            if round % 3 == 0 {
                std::thread::sleep(pause);
            } else {
                while Instant::now() < until {}
            }
        }
        uplink.close(conn);
        uplink.flush();
    }

    fn converse(cores: u8, rounds: u32) {
        let replica_bell = Doorbell::new().unwrap();
        let mut threads = Vec::new();
        let mut replica_ends = Vec::new();
        for core in 0..cores {
            let bell = Doorbell::new().unwrap();
            let (ends, replica) = queues(&bell, &replica_bell);
            replica_ends.push(replica);
            threads.push(std::thread::spawn(move || session(core, ends, bell, rounds)));
        }
        threads.push(std::thread::spawn(move || replica(replica_ends, replica_bell, cores)));
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn no_message_and_no_wake_up_is_lost_between_executors() {
        converse(2, 3000);
    }

    #[test]
    fn none_is_lost_among_more_threads_than_processors_beside_busy_loops() {
        let over = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().unwrap().get();
        let loops: Vec<_> = (0..processors)
            .map(|_| {
                let over = over.clone();
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        converse(u8::try_from((processors * 4).min(12)).unwrap(), 60);
        over.store(true, Ordering::Relaxed);
        for thread in loops {
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_full_queue_stops_neither_side_and_bounds_what_is_taken_in() {
        let bells = (Doorbell::new().unwrap(), Doorbell::new().unwrap());
        let (session, replica) = queues(&bells.0, &bells.1);
        let reactor = Reactor::new(bells.0).unwrap();
        let census = Census::new(0, 0, u32::MAX);
        let budget = Budget::new(u64::MAX, 1);
        let connections = Connections::new(0, NetOptions::default(), census, &budget, reactor);
        let (uplink, inbox) = session.open(&connections);
        let (from_session, links) = open_all(vec![replica], &budget);
        let echo = Rc::new(Echo { links: links.clone(), closed: Cell::new(0) });
        from_session.set_core(echo);
        let conn = ConnectionId(7);
        for _ in 0..QUEUE_MESSAGES * 3 {
            uplink.frames(conn, &[1; 8]);
            uplink.flush();
            from_session.take_in();
        }
        // The way down is full, so nothing is taken from the way up, and that fills as well.
        assert!(!links.is_flushed());
        assert!(!from_session.has_mail() && !uplink.can_flush());
        assert_eq!(uplink.next.borrow().events.len(), QUEUE_MESSAGES - 1);
        // Orders come after all answers, and everything comes in the end.
        links.tell(|| Down::StopAccepting);
        while !(links.is_flushed() && uplink.next.borrow().events.is_empty()) {
            assert!(inbox.has_mail(), "the session core would sleep");
            inbox.take_in();
            uplink.flush();
            from_session.take_in();
        }
        while inbox.has_mail() || from_session.has_mail() {
            inbox.take_in();
            from_session.take_in();
        }
        assert!(matches!(inbox.order(), Some(Order::StopAccepting)));
        assert!(inbox.order().is_none());
        // The end comes even if there is no room for it.
        let answer = || Outgoing { conn, ..Outgoing::default() };
        while links.is_flushed() {
            let _ = links.deliver(answer());
            links.flush();
        }
        links.close();
        while inbox.has_mail() {
            assert!(inbox.order().is_none());
            inbox.take_in();
        }
        assert!(matches!(inbox.order(), Some(Order::Stop)));
        assert!(inbox.order().is_none());
        // What clients do while they get their last bytes does not keep the session core from sleeping.
        while from_session.ups[0].borrow_mut().pop().is_some() {}
        uplink.written(conn, 100_000);
        assert!(uplink.can_flush() && !inbox.has_mail());
    }
}
