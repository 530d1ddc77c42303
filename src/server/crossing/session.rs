//! The ends of the queues on a session core: where its connections' events go, and where the replica's messages
//! arrive.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use super::super::clients::Port;
use super::{Down, MESSAGES_PER_DISPATCH, SessionEnds, Up, UpEvent};
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;
use crate::net::{Connections, Core};
use crate::runtime::{Inbox, Receiver, Sender};

/// Gathers the events of a session core for the replica. Connections use it as their [`Core`].
pub struct Uplink {
    /// The events since the last message that found room.
    pub(super) next: RefCell<Up>,
    /// The queue to the replica.
    pub(super) queue: RefCell<Sender<Up>>,
}

impl Uplink {
    /// Adds an event, and the frames that belong to it.
    fn push(&self, event: UpEvent, bytes: &[u8]) {
        let mut next = self.next.borrow_mut();
        next.events.push(event);
        next.bytes.extend_from_slice(bytes);
    }

    /// Puts the gathered events into the queue, if it has room; otherwise they wait for the next call.
    pub fn flush(&self) {
        let mut next = self.next.borrow_mut();
        if next.events.is_empty() {
            return;
        }
        // One message for all events of a round. If there is no room, they stay gathered, and the next round adds to
        // them.
        let up = std::mem::take(&mut *next);
        let bytes = up.bytes.len();
        if let Err(back) = self.queue.borrow_mut().push(up, bytes) {
            *next = back;
        }
    }

    /// Whether [`Uplink::flush`] would send anything.
    pub(super) fn can_flush(&self) -> bool {
        !self.next.borrow().events.is_empty() && self.queue.borrow().has_room()
    }
}

impl Core for Uplink {
    fn open(&self, conn: ConnectionId, remote: SocketAddr) {
        self.push(UpEvent::Open { conn, remote }, &[]);
    }

    fn certified(&self, conn: ConnectionId, subject: &str) {
        self.push(UpEvent::Certified { conn, subject: subject.into() }, &[]);
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

/// The box in which the replica's messages arrive on a session core.
pub struct SessionInbox {
    /// The queue from the replica.
    queue: RefCell<Receiver<Down>>,
    /// The way back: the box has mail also when gathered events find room again.
    uplink: Rc<Uplink>,
    /// The connections for which the replica sends bytes.
    connections: Connections,
    /// Messages that are not about a connection, oldest first.
    orders: RefCell<VecDeque<Order>>,
    /// Whether the replica has closed the queue, and all of its messages are taken.
    over: Cell<bool>,
}

/// A message of the replica that is not about a connection. The round of the session core carries it out.
pub enum Order {
    /// [`Down::Listen`].
    Listen(Port, TcpListener),
    /// [`Down::StopAccepting`].
    StopAccepting,
    /// Close the connections after their last bytes, and end: the replica has closed the queue. Closing needs
    /// no room in the queue, so the order also reaches a session core whose queue is full.
    Stop,
}

impl SessionEnds {
    /// Opens the way to the replica, and the way from the replica to these connections.
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
    /// Takes the oldest order that was not taken yet.
    pub fn order(&self) -> Option<Order> {
        self.orders.borrow_mut().pop_front()
    }
}

impl Inbox for SessionInbox {
    fn has_mail(&self) -> bool {
        let queue = self.queue.borrow();
        // After the end of the queue the replica takes no more events.
        !queue.is_empty() || (!self.over.get() && (queue.is_over() || self.uplink.can_flush()))
    }

    fn take_in(&self) {
        // Bounded, so that a busy replica does not keep this core from its sockets.
        for _ in 0..MESSAGES_PER_DISPATCH {
            let message = self.queue.borrow_mut().pop();
            match message {
                None => return self.maybe_end(),
                Some(Down::Sends(sends)) => self.connections.deliver_all(sends),
                Some(Down::Listen(port, socket)) => self.order_to(Order::Listen(port, socket)),
                Some(Down::StopAccepting) => self.order_to(Order::StopAccepting),
            }
        }
    }
}

impl SessionInbox {
    /// The queue is empty; if the replica has closed it, the last order follows.
    fn maybe_end(&self) {
        if self.queue.borrow().is_over() && !self.over.replace(true) {
            self.order_to(Order::Stop);
        }
    }

    /// Keeps an order for the round.
    fn order_to(&self, order: Order) {
        self.orders.borrow_mut().push_back(order);
    }
}
