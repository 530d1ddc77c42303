//! The ring on which a thread waits for its sockets, its bell and its timers.
//!
//! An io_uring ring with one multishot poll per socket. [`Reactor::dispatch`] calls the owners of ready sockets when
//! the thread asks for it; [`Reactor::has_events`] checks for events in memory shared with the kernel, without a system
//! call. With deferred task work (Linux 6.1) nothing interrupts the thread while it works. Sleeping takes one system
//! call, which submits new entries and returns with new events.
//!
//! Every executor's thread sleeps only here: it waits for completions (sockets, the bell) until the first timer.
//! glommio's own reactor needs four or five system calls for that: three rings, two timers armed and cancelled at each
//! turn, and one ring polled in another.
//!
//! Messages from other threads of the process are in this thread's [`Inbox`], in memory. A thread checks it before it
//! sleeps, in the way that `sleep_flag` explains: a thread that puts something there rings the bell only if this thread
//! sleeps.
//!
//! A poll holds its file open until the kernel has torn down the ring, which for a killed process happens 4 to 15 ms
//! after the rest (docs/executors.md, "Waiting for sockets"). So a socket that must close with its process is polled
//! through an epoll of its own, which holds nothing open ([`Reactor::watch_unheld`]).
//!
//! Readiness is edge-triggered: an owner reads until it gets less than it asked for, or asks to be called
//! [`Registration::again`].

mod registration;
mod sources;
#[cfg(test)]
mod tests;
mod timers;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use rustix::event::epoll;

pub use registration::Registration;
use sources::{About, Key, Open, Sources, Subject};
pub use timers::Timer;
use timers::Timers;

use super::Doorbell;
use super::ring::{Completed, NewRing, Operation, Ring, RingError, RingOptions};

/// Entries in the submission queue; further ones wait in our own memory.
const SUBMISSIONS: u32 = 256;

/// Completions that the ring holds before the kernel has to keep them elsewhere.
const COMPLETIONS: u32 = 4096;

const RING_OPTIONS: RingOptions = RingOptions {
    entries: SUBMISSIONS,
    completions: Some(COMPLETIONS),
    defers_completions: true,
    operations: &[Operation::Poll, Operation::Cancel],
    changes_tables: false,
};

/// Completions handled by one [`Reactor::dispatch`]: other work gets its turn in between.
const COMPLETIONS_PER_DISPATCH: usize = 512;

const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;
const HUNG_UP: u32 = (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) as u32;

/// The owner of a socket, which is called when the socket is ready.
pub trait SocketOwner {
    /// The socket is ready, or the owner asked to be called again.
    fn ready(self: Rc<Self>, what: Readiness);
}

/// The readiness of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// There is room to write; reported once after [`Registration::want_room`].
    pub room: bool,
    /// The other side will send no more, or there is, or may be, an error: reading on shows it. Once set, it is
    /// reported each time, because the kernel reports it only once:
    ///
    /// 1. The last bytes and the end come as one event. Its owner does not read at that moment.
    /// 2. Later the owner asks to be called again, reads the bytes, and gets less than it asked for.
    /// 3. If it took that for the end of the available bytes, it would wait for ever for an event of the end of the
    ///    stream.
    pub hung_up: bool,
}

/// Messages from other threads of this process for this one.
pub trait Inbox {
    /// Whether [`Inbox::take_in`] would do anything. Makes no system call; called often.
    fn has_mail(&self) -> bool;
    /// Takes in some of the messages; the next dispatch takes in the rest.
    fn take_in(&self);
}

/// The reactor of one thread. Clones are the same.
#[derive(Clone)]
pub struct Reactor {
    inner: Rc<Inner>,
}

struct Inner {
    ring: RefCell<Ring<Subject>>,
    sources: RefCell<Sources>,
    /// Sources to call in the next dispatch without an event of the kernel.
    again: RefCell<Vec<Key>>,
    /// Emptied lists, for the next dispatch.
    told: RefCell<Vec<Key>>,
    found: RefCell<Vec<Completed<Subject>>>,
    timers: RefCell<Timers>,
    /// Something happened that the thread's loop has to handle.
    stirred: Cell<bool>,
    /// Sources that come before others.
    urgent: Cell<u32>,
    bell: Doorbell,
    inbox: RefCell<Option<Rc<dyn Inbox>>>,
    /// Messages of other threads were taken in.
    had_mail: Cell<bool>,
}

impl Reactor {
    /// A reactor for the current thread, the only one that may use it. `bell` wakes the thread.
    ///
    /// # Errors
    /// The kernel makes no such ring.
    pub fn new(bell: Doorbell) -> Result<Reactor, RingError> {
        let ring = NewRing::set_up(&RING_OPTIONS)?.start()?;
        let reactor = Reactor {
            inner: Rc::new(Inner {
                ring: RefCell::new(ring),
                sources: RefCell::default(),
                again: RefCell::default(),
                told: RefCell::default(),
                found: RefCell::default(),
                timers: RefCell::default(),
                stirred: Cell::new(false),
                urgent: Cell::new(0),
                bell,
                inbox: RefCell::new(None),
                had_mail: Cell::new(false),
            }),
        };
        reactor.inner.watch_bell();
        Ok(reactor)
    }

    /// The bell that wakes the thread.
    pub fn bell(&self) -> Doorbell {
        self.inner.bell.clone()
    }

    /// From now on [`Reactor::dispatch`] takes in messages of other threads from `inbox`.
    pub fn set_inbox(&self, inbox: Rc<dyn Inbox>) {
        *self.inner.inbox.borrow_mut() = Some(inbox);
    }

    /// From now on calls `owner` when a socket is ready, also for input that is already there. The socket must be
    /// non-blocking, and must stay open until the watch is dropped.
    pub fn watch(&self, socket: BorrowedFd<'_>, owner: Rc<dyn SocketOwner>) -> Registration {
        self.watch_through(socket, None, owner, false)
    }

    /// The same for a socket whose owner is called before other owners, and before the inbox is read.
    pub fn watch_first(&self, socket: BorrowedFd<'_>, owner: Rc<dyn SocketOwner>) -> Registration {
        self.inner.urgent.set(self.inner.urgent.get() + 1);
        self.watch_through(socket, None, owner, true)
    }

    /// The same for a socket that is to close at once if this process is killed, such as a listening one: otherwise the
    /// kernel would accept returning clients without a server. It costs one more descriptor, and one more read each
    /// time, because the end of a stream looks like input.
    pub fn watch_unheld(&self, socket: BorrowedFd<'_>, owner: Rc<dyn SocketOwner>) -> Registration {
        // If no descriptors are left, the socket is held open, which matters less.
        self.watch_through(socket, epoll_of(socket).ok(), owner, false)
    }

    fn watch_through(
        &self,
        socket: BorrowedFd<'_>,
        through: Option<OwnedFd>,
        owner: Rc<dyn SocketOwner>,
        is_urgent: bool,
    ) -> Registration {
        // An epoll does not distinguish the end of a stream from input.
        let hung_up = through.is_some();
        let fd = socket.as_raw_fd();
        let open = Open { fd, through, owner, waits_for_room: false, is_urgent, hung_up };
        let fd = open.input_fd();
        let key = self.inner.sources.borrow_mut().insert(open);
        self.inner.poll_input(key, fd);
        Registration { reactor: self.clone(), key }
    }

    /// The thread's loop has something to handle: the next [`Reactor::sleep`] returns at once.
    pub fn stir(&self) {
        self.inner.stirred.set(true);
    }

    /// Whether it was stirred since the last time.
    pub fn take_stirred(&self) -> bool {
        self.inner.stirred.replace(false)
    }

    /// Whether other threads have sent something since the last call.
    pub fn take_had_mail(&self) -> bool {
        self.inner.had_mail.replace(false)
    }

    /// Whether a dispatch would find anything, not counting timers. Makes no system call.
    pub fn has_events(&self) -> bool {
        let inner = &*self.inner;
        !inner.again.borrow().is_empty()
            || inner.inbox.borrow().as_ref().is_some_and(|inbox| inbox.has_mail())
            || inner.ring.borrow_mut().has_work()
    }

    /// Calls the owners of ready sockets and the timers that are due.
    ///
    /// # Errors
    /// The ring cannot be used any more.
    pub fn dispatch(&self) -> Result<(), RingError> {
        let inner = &*self.inner;
        let mut found = std::mem::take(&mut *inner.found.borrow_mut());
        if inner.urgent.get() > 0 {
            inner.collect(&mut found)?;
            found.retain(|completion| {
                let is_urgent = inner.is_urgent(completion);
                if is_urgent {
                    self.handle(completion);
                }
                !is_urgent
            });
        }
        let inbox = inner.inbox.borrow().clone();
        if let Some(inbox) = inbox.filter(|inbox| inbox.has_mail()) {
            inner.had_mail.set(true);
            inbox.take_in();
        }
        let mut told = std::mem::take(&mut *inner.told.borrow_mut());
        std::mem::swap(&mut told, &mut *inner.again.borrow_mut());
        for key in told.drain(..) {
            inner.tell(key, false);
        }
        *inner.told.borrow_mut() = told;
        inner.collect(&mut found)?;
        for completion in found.drain(..) {
            self.handle(&completion);
        }
        *inner.found.borrow_mut() = found;
        self.fire();
        Ok(())
    }

    fn handle(&self, found: &Completed<Subject>) {
        let inner = &*self.inner;
        let Subject { about, key } = found.data;
        match about {
            About::Removal => {}
            About::Bell => {
                if !found.more {
                    inner.watch_bell();
                }
                self.stir();
            }
            About::Input => {
                // An error of the poll itself: reading the socket will show it.
                let events = found.result().unwrap_or(HUNG_UP);
                let mut sources = inner.sources.borrow_mut();
                let Some(open) = sources.get(key) else { return };
                open.hung_up |= events & HUNG_UP != 0;
                let fd = open.input_fd();
                drop(sources);
                if !found.more {
                    // The kernel has ended the poll, for lack of room for completions.
                    inner.poll_input(key, fd);
                }
                inner.tell(key, false);
            }
            About::Room => {
                let events = found.result().unwrap_or(HUNG_UP);
                if let Some(open) = inner.sources.borrow_mut().get(key) {
                    open.waits_for_room = false;
                    open.hung_up |= events & HUNG_UP != 0;
                }
                inner.tell(key, true);
            }
        }
    }

    fn fire(&self) {
        if self.inner.timers.borrow().is_empty() {
            return;
        }
        let now = Instant::now();
        loop {
            let due = self.inner.timers.borrow_mut().take_due(now);
            let Some(then) = due else { return };
            then();
        }
    }

    /// Returns when there is something for [`Reactor::dispatch`], when it was stirred, at `until`,
    /// or earlier.
    ///
    /// # Errors
    /// As for [`Reactor::dispatch`].
    pub fn sleep(&self, until: Option<Instant>) -> Result<(), RingError> {
        let inner = &*self.inner;
        if self.take_stirred() || !inner.again.borrow().is_empty() {
            return Ok(());
        }
        let timer = inner.timers.borrow().next_at();
        let until = [until, timer].into_iter().flatten().min();
        let inbox = inner.inbox.borrow().clone();
        let Some(inbox) = inbox else { return inner.block(until) };
        // From here on other threads ring. The check below sees everything they put there before.
        inner.bell.lie_down();
        let slept = if inbox.has_mail() { Ok(()) } else { inner.block(until) };
        inner.bell.get_up();
        slept
    }
}

/// An epoll of one socket. It is never waited on; it is enough that it becomes readable.
fn epoll_of(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let through = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    epoll::add(&through, socket, epoll::EventData::new_u64(0), flags)?;
    Ok(through)
}

impl Inner {
    fn tell(&self, key: Key, room: bool) {
        let (owner, hung_up) = match self.sources.borrow_mut().get(key) {
            Some(open) => (open.owner.clone(), open.hung_up),
            None => return,
        };
        owner.ready(Readiness { room, hung_up });
    }

    /// Whether a completion belongs to an urgent source.
    fn is_urgent(&self, found: &Completed<Subject>) -> bool {
        let Subject { about, key } = found.data;
        matches!(about, About::Input | About::Room)
            && self.sources.borrow_mut().get(key).is_some_and(|open| open.is_urgent)
    }

    fn poll_input(&self, key: Key, fd: RawFd) {
        self.ring.borrow_mut().poll(fd, READABLE, Subject { about: About::Input, key });
    }

    /// The bell is edge-triggered: its counter is never read.
    fn watch_bell(&self) {
        let fd = self.bell.as_fd().as_raw_fd();
        let subject = Subject { about: About::Bell, key: Key::NONE };
        self.ring.borrow_mut().poll(fd, libc::POLLIN as u32, subject);
    }

    /// Takes completions out of the ring, up to a bound.
    fn collect(&self, found: &mut Vec<Completed<Subject>>) -> Result<(), RingError> {
        let mut ring = self.ring.borrow_mut();
        loop {
            ring.submit()?;
            let before = found.len();
            found.extend(ring.completed().take(COMPLETIONS_PER_DISPATCH - before));
            if found.len() == before || found.len() == COMPLETIONS_PER_DISPATCH {
                return Ok(());
            }
        }
    }

    /// Sleeps until there is a completion, or `until`.
    fn block(&self, until: Option<Instant>) -> Result<(), RingError> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        self.ring.borrow_mut().wait(left)
    }
}
