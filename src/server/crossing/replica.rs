//! The ends of the queues on the replica's core: the ways to the session cores, and the box in which their messages
//! arrive. Both belong to the replica's executor; neither knows what a message is about.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::rc::Rc;

use super::super::clients::Port;
use super::super::host::Deliver;
use super::{Down, MESSAGES_PER_DISPATCH, ReplicaEnds, Up, UpEvent};
use crate::net::{Budget, Connections, Core, Share};
use crate::replica::Outgoing;
use crate::runtime::{Inbox, Receiver, Sender};

/// The replica's way to one session core.
///
/// Invariant: the messages go in the order queue, `waiting`, `gathered`.
struct Downlink {
    /// The queue.
    queue: RefCell<Sender<Down>>,
    /// Sends of this round, and of earlier rounds if the queue had no room.
    gathered: RefCell<Vec<Outgoing>>,
    /// The messages that wait for room, and go before the gathered sends.
    waiting: RefCell<VecDeque<Down>>,
}

/// The replica's ways to all session cores. Clones are the same ways.
#[derive(Clone)]
pub struct Downlinks {
    /// The ways, by the number of the session core.
    links: Rc<[Downlink]>,
    /// Counts the bytes in transit.
    share: Rc<Share>,
}

impl Downlinks {
    /// Gives each session core one of these sockets, from which it accepts the connections of a port from now on.
    pub fn listen(&self, port: Port, sockets: Vec<TcpListener>) {
        for (link, socket) in self.links.iter().zip(sockets) {
            link.tell(Down::Listen(port, socket));
        }
    }

    /// Sends a message to every session core, after the sends gathered so far.
    pub fn tell(&self, message: impl Fn() -> Down) {
        self.links.iter().for_each(|link| link.tell(message()));
    }

    /// Closes the queues: each session core ends when it has taken all messages. Messages that still wait for
    /// room are dropped.
    pub fn close(&self) {
        self.flush();
        self.links.iter().for_each(|link| link.queue.borrow_mut().close());
    }

    /// Whether no message waits for room.
    pub fn is_flushed(&self) -> bool {
        self.links.iter().all(Downlink::is_flushed)
    }
}

impl Deliver for Downlinks {
    /// Gathers a send for the core that has its connection. The buffer goes along, so none comes back.
    fn deliver(&self, send: Outgoing) -> Option<Vec<u8>> {
        let core = usize::from(Connections::core_of(send.conn));
        // Bytes in transit count against the budget, too.
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
    /// Queues a message behind the gathered sends.
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

    /// Puts what waits and what is gathered into the queue, as far as there is room.
    fn flush(&self) {
        // What waits goes first, so that nothing overtakes an order to listen or to stop.
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

    /// Whether nothing waits for room.
    fn is_flushed(&self) -> bool {
        self.gathered.borrow().is_empty() && self.waiting.borrow().is_empty()
    }

    /// Whether [`Downlink::flush`] would send anything.
    fn can_flush(&self) -> bool {
        !self.is_flushed() && self.queue.borrow().has_room()
    }
}

/// Puts a message into the queue, where its sends count with their length; gives it back if there is no room.
fn push_down(queue: &mut Sender<Down>, message: Down) -> Result<(), Down> {
    let bytes = match &message {
        Down::Sends(sends) => sends.iter().map(|send| send.bytes.len()).sum(),
        Down::Listen(..) | Down::StopAccepting => 0,
    };
    queue.push(message, bytes)
}

/// The box in which the messages of all session cores arrive on the replica's core.
pub struct ReplicaInbox {
    /// The queues from the session cores, by their number.
    pub(super) ups: Vec<RefCell<Receiver<Up>>>,
    /// The ways back: a queue whose way back is full is not read.
    downlinks: Downlinks,
    /// The receiver of the events; `None` until [`ReplicaInbox::set_core`].
    core: RefCell<Option<Rc<dyn Core>>>,
    /// The queue that comes first in the next dispatch; each queue in turn.
    first: Cell<usize>,
}

/// Opens the replica's ends of all queues: the way from the session cores, and the ways to them.
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
    /// From now on `core` gets the events. Until then they stay in the queues: session cores may run before the
    /// replica has read its data.
    pub fn set_core(&self, core: Rc<dyn Core>) {
        *self.core.borrow_mut() = Some(core);
    }

    /// Takes up to [`MESSAGES_PER_DISPATCH`] messages of one session core.
    fn take_from(&self, index: usize, core: &dyn Core) {
        // The answers would have to wait here, so the requests wait in the queue.
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

    /// Makes room in the queues to the session cores first, because a full one keeps requests out.
    fn take_in(&self) {
        self.downlinks.flush();
        let core = self.core.borrow().clone();
        let Some(core) = core else { return };
        // Another queue is first each time, so that no session core is always served last.
        let first = self.first.get();
        self.first.set((first + 1) % self.ups.len());
        for index in (first..self.ups.len()).chain(0..first) {
            self.take_from(index, &*core);
        }
    }
}

/// Passes the events of a message to the replica.
fn hand_on(Up { events, bytes }: &Up, core: &dyn Core) {
    let mut rest = bytes.as_slice();
    for event in events {
        match event {
            UpEvent::Open { conn, remote } => core.open(*conn, *remote),
            UpEvent::Certified { conn, subject } => core.certified(*conn, subject),
            UpEvent::Frames { conn, bytes } => {
                // The frames stand in the order of their events.
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
