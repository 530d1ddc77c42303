//! The queues between session cores and a replica on another core.
//!
//! One bounded single-producer single-consumer queue in each direction and per session core. What
//! a turn of one executor has for the other crosses as one message: requests of many connections
//! in one allocation, replies as the buffers they were made in. A full queue stops neither side:
//! the next message only grows, and what it can hold is bounded by the requests outstanding, for
//! connections with something outstanding are not read beyond that bound.

use std::cell::{Cell, RefCell};
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use glommio::GlommioError;
use glommio::channels::shared_channel::{
    ConnectedReceiver, ConnectedSender, SharedReceiver, SharedSender, new_bounded,
};

use super::host::Deliver;
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::net::{Connections, Core};
use crate::replica::Send;
use crate::runtime::Event;

/// Messages that a queue holds.
const QUEUE_MESSAGES: usize = 256;

/// What a session core tells the replica: the events of one turn.
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
    Sends(Vec<Send>),
    /// Accept connections there from now on, and nowhere else.
    Listen(TcpListener),
    /// Accept no more connections.
    StopAccepting,
    /// Close the connections after what is still to be sent, and end.
    Stop,
}

/// The ends of both queues that a session core holds.
pub struct SessionEnds {
    up: SharedSender<Up>,
    down: SharedReceiver<Down>,
}

/// The ends that the replica's core holds.
pub struct ReplicaEnds {
    up: SharedReceiver<Up>,
    down: SharedSender<Down>,
}

/// Makes the two queues of one session core.
pub fn queues() -> (SessionEnds, ReplicaEnds) {
    let (up_sender, up_receiver) = new_bounded(QUEUE_MESSAGES);
    let (down_sender, down_receiver) = new_bounded(QUEUE_MESSAGES);
    (
        SessionEnds { up: up_sender, down: down_receiver },
        ReplicaEnds { up: up_receiver, down: down_sender },
    )
}

/// On a session core: the way to the replica.
pub struct Uplink {
    next: RefCell<Up>,
    filled: Event,
}

impl Uplink {
    fn push(&self, event: UpEvent, bytes: &[u8]) {
        let mut next = self.next.borrow_mut();
        next.events.push(event);
        next.bytes.extend_from_slice(bytes);
        drop(next);
        self.filled.set();
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

impl SessionEnds {
    /// Connects both queues, in the same order as [`connect_all`]: each waits for the
    /// other side in a busy loop.
    pub async fn connect(self) -> (Rc<Uplink>, ConnectedReceiver<Down>) {
        let up = self.up.connect().await;
        let down = self.down.connect().await;
        let uplink = Rc::new(Uplink { next: RefCell::default(), filled: Event::default() });
        glommio::spawn_local(climb(uplink.clone(), up)).detach();
        (uplink, down)
    }
}

/// Sends what has gathered, again and again.
async fn climb(uplink: Rc<Uplink>, up: ConnectedSender<Up>) {
    loop {
        uplink.filled.wait().await;
        let events = std::mem::take(&mut *uplink.next.borrow_mut());
        // The replica's core is gone only when the process ends.
        if up.send(events).await.is_err() {
            return;
        }
    }
}

/// On a session core: carries out what comes down until it is told to stop. What `accept` gives for
/// a socket is dropped when no more connections shall be accepted there.
pub async fn receive_down<A>(
    down: ConnectedReceiver<Down>,
    connections: Connections,
    socket: TcpListener,
    accept: impl Fn(TcpListener) -> A,
) {
    let mut accepting = Some(accept(socket));
    while let Some(message) = down.recv().await {
        match message {
            Down::Sends(sends) => {
                for send in sends {
                    connections.deliver(send);
                }
            }
            Down::Listen(socket) => accepting = Some(accept(socket)),
            Down::StopAccepting => accepting = None,
            Down::Stop => break,
        }
    }
    drop(accepting);
    connections.stop();
}

/// On the replica's core: the way to one session core.
struct Downlink {
    sender: ConnectedSender<Down>,
    /// Sends of this turn, and what did not fit into the queue before.
    gathered: RefCell<Vec<Send>>,
    /// Whether the task below waits for room in the queue.
    waiting: Cell<bool>,
    blocked: Event,
}

/// On the replica's core: the ways to all session cores.
#[derive(Clone)]
pub struct Downlinks {
    links: Rc<[Downlink]>,
}

impl Downlinks {
    /// Gives each session core a socket to accept connections on from now on.
    pub async fn listen(&self, sockets: Vec<TcpListener>) {
        for (link, socket) in self.links.iter().zip(sockets) {
            // A session core that is gone accepts nothing.
            let _ = link.sender.send(Down::Listen(socket)).await;
        }
    }

    /// Sends the same to every session core, after what is gathered.
    pub async fn tell(&self, message: impl Fn() -> Down) {
        for link in self.links.iter() {
            let gathered = std::mem::take(&mut *link.gathered.borrow_mut());
            if !gathered.is_empty() {
                let _ = link.sender.send(Down::Sends(gathered)).await;
            }
            // A session core that is gone has nothing left to be told.
            let _ = link.sender.send(message()).await;
        }
    }
}

impl Deliver for Downlinks {
    fn deliver(&self, send: Send) -> Option<Vec<u8>> {
        let core = usize::from(Connections::core_of(send.conn));
        self.links[core].gathered.borrow_mut().push(send);
        None
    }

    fn flush(&self) {
        for link in self.links.iter() {
            link.flush();
        }
    }
}

impl Downlink {
    fn flush(&self) {
        let mut gathered = self.gathered.borrow_mut();
        if gathered.is_empty() || self.waiting.get() {
            return;
        }
        match self.sender.try_send(Down::Sends(std::mem::take(&mut gathered))) {
            Ok(()) => {}
            Err(GlommioError::WouldBlock(glommio::ResourceType::Channel(Down::Sends(back)))) => {
                *gathered = back;
                self.waiting.set(true);
                self.blocked.set();
            }
            // The session core is gone: the process ends.
            Err(_) => {}
        }
    }
}

/// Waits for room in a full queue.
async fn descend(links: Rc<[Downlink]>, index: usize) {
    let link = &links[index];
    loop {
        link.blocked.wait().await;
        let gathered = std::mem::take(&mut *link.gathered.borrow_mut());
        if link.sender.send(Down::Sends(gathered)).await.is_err() {
            return;
        }
        link.waiting.set(false);
        link.flush();
    }
}

/// The ends of all session cores, connected: what comes from them, by core, and the ways to them.
pub async fn connect_all(ends: Vec<ReplicaEnds>) -> (Vec<ConnectedReceiver<Up>>, Downlinks) {
    let mut receivers = Vec::with_capacity(ends.len());
    let mut links = Vec::with_capacity(ends.len());
    for end in ends {
        receivers.push(end.up.connect().await);
        links.push(Downlink {
            sender: end.down.connect().await,
            gathered: RefCell::default(),
            waiting: Cell::new(false),
            blocked: Event::default(),
        });
    }
    let links: Rc<[Downlink]> = links.into();
    for index in 0..links.len() {
        glommio::spawn_local(descend(links.clone(), index)).detach();
    }
    (receivers, Downlinks { links })
}

/// On the replica's core: gives the replica what one session core sends.
pub async fn receive_up(up: ConnectedReceiver<Up>, core: Rc<dyn Core>) {
    while let Some(Up { events, bytes }) = up.recv().await {
        let mut rest = bytes.as_slice();
        for event in events {
            match event {
                UpEvent::Open { conn, remote } => core.open(conn, remote),
                UpEvent::Frames { conn, bytes } => {
                    let (frames, after) = rest.split_at(bytes);
                    rest = after;
                    core.frames(conn, frames);
                }
                UpEvent::Word { conn, remote, word, argument } => {
                    core.word(conn, remote, word, argument);
                }
                UpEvent::End { conn } => core.end(conn),
                UpEvent::Written { conn, bytes } => core.written(conn, bytes),
                UpEvent::Close { conn } => core.close(conn),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::LocalExecutorBuilder;
    use std::time::{Duration, Instant};

    /// Answers each frame with itself, as a replica's turn would: after the events of a message.
    struct Echo {
        links: Downlinks,
        closed: Cell<u8>,
        all_closed: Event,
    }

    impl Core for Echo {
        fn open(&self, conn: ConnectionId, remote: SocketAddr) {
            assert_eq!(usize::from(remote.port()), usize::from(Connections::core_of(conn)));
        }

        fn frames(&self, conn: ConnectionId, frames: &[u8]) {
            let bytes = frames.to_vec();
            let _ = self.links.deliver(Send { conn, bytes, answered: 1, close: false });
            self.links.flush();
        }

        fn word(&self, _: ConnectionId, _: SocketAddr, _: FourLetterWord, _: Option<[u8; 8]>) {}

        fn end(&self, _: ConnectionId) {}

        fn written(&self, _: ConnectionId, _: usize) {}

        fn close(&self, _: ConnectionId) {
            self.closed.set(self.closed.get() + 1);
            if self.closed.get() == SESSION_CORES {
                self.all_closed.set();
            }
        }
    }

    const SESSION_CORES: u8 = 2;
    const ROUNDS: u32 = 3000;
    const BURST: u32 = 40;

    /// Bursts and single messages with pauses of every length around the time in which an executor
    /// falls asleep: a wake-up that is lost stops a round for ever.
    #[test]
    fn no_message_and_no_wake_up_is_lost_between_executors() {
        let mut sessions = Vec::new();
        let mut replica_ends = Vec::new();
        for core in 0..SESSION_CORES {
            let (session, replica) = queues();
            replica_ends.push(replica);
            sessions.push((core, session));
        }
        let mut executors = Vec::new();
        let replica = LocalExecutorBuilder::default().spawn(move || async move {
            let (ups, links) = connect_all(replica_ends).await;
            let echo = Rc::new(Echo { links, closed: Cell::new(0), all_closed: Event::default() });
            for up in ups {
                glommio::spawn_local(receive_up(up, echo.clone())).detach();
            }
            echo.all_closed.wait().await;
        });
        executors.push(replica.unwrap());
        for (core, ends) in sessions {
            let executor = LocalExecutorBuilder::default().spawn(move || async move {
                let (uplink, down) = ends.connect().await;
                let conn = ConnectionId(u64::from(core) << 56 | 7);
                uplink.open(conn, SocketAddr::from(([127, 0, 0, 1], core.into())));
                for round in 0..ROUNDS {
                    let burst = if round % 50 == 0 { BURST } else { 1 };
                    for number in 0..burst {
                        uplink.frames(conn, &(round * BURST + number).to_be_bytes());
                        if number % 7 == 3 {
                            glommio::executor().yield_task_queue_now().await;
                        }
                    }
                    let mut answers = Vec::new();
                    while answers.len() < burst as usize {
                        let Some(Down::Sends(sends)) = down.recv().await else {
                            panic!("the replica's end is gone")
                        };
                        answers.extend(sends.into_iter().map(|send| send.bytes));
                    }
                    let expected: Vec<Vec<u8>> = (0..burst)
                        .map(|number| (round * BURST + number).to_be_bytes().to_vec())
                        .collect();
                    assert_eq!(answers, expected);
                    let pause = Duration::from_micros(u64::from(round * 37 % 120));
                    let until = Instant::now() + pause;
                    if round % 3 == 0 {
                        glommio::timer::sleep(pause).await;
                    } else {
                        while Instant::now() < until {}
                    }
                }
                uplink.close(conn);
                // The message leaves with another task.
                glommio::timer::sleep(Duration::from_millis(50)).await;
            });
            executors.push(executor.unwrap());
        }
        for executor in executors {
            executor.join().unwrap();
        }
    }
}
