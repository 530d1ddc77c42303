//! The ends of the queues on the replica's core.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::rc::Rc;

use super::super::host::Deliver;
use super::{Down, MESSAGES_PER_DISPATCH, ReplicaEnds, Up, UpEvent};
use crate::net::{Budget, Connections, Core, Share};
use crate::replica::Outgoing;
use crate::runtime::{Inbox, Receiver, Sender};

/// The replica's way to one session core.
struct Downlink {
    queue: RefCell<Sender<Down>>,
    /// Sends of this round, and of earlier rounds if the queue had no room.
    gathered: RefCell<Vec<Outgoing>>,
    /// Messages that wait for room, and go before the gathered sends.
    waiting: RefCell<VecDeque<Down>>,
}

/// The replica's ways to all session cores.
#[derive(Clone)]
pub struct Downlinks {
    links: Rc<[Downlink]>,
    /// Counts the bytes in transit.
    share: Rc<Share>,
}

impl Downlinks {
    /// Gives each session core a socket from which it accepts connections from now on.
    pub fn listen(&self, sockets: Vec<TcpListener>) {
        for (link, socket) in self.links.iter().zip(sockets) {
            link.tell(Down::Listen(socket));
        }
    }

    /// Sends a message to every session core, after the gathered sends.
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

/// Takes the messages of the session cores on the replica's core.
pub struct ReplicaInbox {
    pub(super) ups: Vec<RefCell<Receiver<Up>>>,
    downlinks: Downlinks,
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
    /// From now on `core` gets the events; until then they stay in the queues.
    pub fn set_core(&self, core: Rc<dyn Core>) {
        *self.core.borrow_mut() = Some(core);
    }

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

/// Passes the events of a message to the replica.
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
