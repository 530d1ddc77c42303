//! The ring on which a thread waits for its sockets, its bell and its timers.
//!
//! A raw io_uring ring with one multishot poll per socket. [`Reactor::dispatch`] calls the owners of ready sockets when
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

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::event::epoll;

use super::Doorbell;

/// Entries in the submission queue; further ones wait in our own memory.
const SUBMISSIONS: u32 = 256;

/// Completions that the ring holds before the kernel has to keep them elsewhere.
const COMPLETIONS: u32 = 4096;

/// Completions handled by one [`Reactor::dispatch`]: other work gets its turn in between.
const COMPLETIONS_PER_DISPATCH: usize = 512;

const READABLE: u32 = (libc::POLLIN | libc::POLLRDHUP) as u32;
const WRITABLE: u32 = libc::POLLOUT as u32;
/// The delay before checking again for room to write to a peer that sends nothing more: meanwhile the sockets' buffers
/// hold some megabytes.
const ROOM_AGAIN: Duration = Duration::from_millis(100);

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
    ring: RefCell<IoUring>,
    /// Entries that found no room in the submission queue.
    backlog: RefCell<VecDeque<squeue::Entry>>,
    sources: RefCell<Sources>,
    /// Sources to call in the next dispatch without an event of the kernel.
    again: RefCell<Vec<Key>>,
    /// Emptied lists, for the next dispatch.
    told: RefCell<Vec<Key>>,
    found: RefCell<Vec<Found>>,
    timers: RefCell<Timers>,
    timers_made: Cell<u64>,
    /// Something happened that the thread's loop has to handle.
    stirred: Cell<bool>,
    /// Sources that come before others.
    urgent: Cell<u32>,
    bell: Doorbell,
    inbox: RefCell<Option<Rc<dyn Inbox>>>,
    /// Messages of other threads were taken in.
    had_mail: Cell<bool>,
}

/// Callbacks by their time, with a number, because several may be due at the same time.
type Timers = BTreeMap<(Instant, u64), Box<dyn FnOnce()>>;

/// A completion from the ring.
struct Found {
    user_data: u64,
    result: i32,
    more: bool,
}

/// A source: its place, and a generation, because places are reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Key {
    slot: u32,
    generation: u32,
}

#[derive(Default)]
struct Sources {
    slots: Vec<Source>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Source {
    generation: u32,
    open: Option<Open>,
}

struct Open {
    fd: RawFd,
    /// The epoll through which it is polled for input, if its file must not be held open.
    through: Option<OwnedFd>,
    owner: Rc<dyn SocketOwner>,
    waits_for_room: bool,
    /// Its owner is called before others.
    is_urgent: bool,
    /// As [`Readiness::hung_up`]; never cleared.
    hung_up: bool,
}

/// The kind of a completion, in the upper two bits of its user data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// A socket's input.
    Input = 0,
    /// A socket's room for output.
    Room = 1,
    /// The bell.
    Bell = 2,
    /// A poll was cancelled.
    Removal = 3,
}

/// 30 bits: more sockets than a process may have.
const SLOT_BITS: u32 = 30;

impl Key {
    fn user_data(self, about: About) -> u64 {
        (about as u64) << 62 | u64::from(self.slot) << 32 | u64::from(self.generation)
    }

    fn of(user_data: u64) -> (About, Key) {
        let about = match user_data >> 62 {
            0 => About::Input,
            1 => About::Room,
            2 => About::Bell,
            _ => About::Removal,
        };
        let slot = u32::try_from(user_data >> 32 & ((1 << SLOT_BITS) - 1)).expect("30 bits");
        let generation = u32::try_from(user_data & u64::from(u32::MAX)).expect("32 bits");
        (about, Key { slot, generation })
    }
}

impl Reactor {
    /// A reactor for the current thread, the only one that may use it. `bell` wakes the thread.
    ///
    /// # Errors
    /// The system's: no ring can be made.
    pub fn new(bell: Doorbell) -> io::Result<Reactor> {
        let ring = make_ring()?;
        let reactor = Reactor {
            inner: Rc::new(Inner {
                ring: RefCell::new(ring),
                backlog: RefCell::default(),
                sources: RefCell::default(),
                again: RefCell::default(),
                told: RefCell::default(),
                found: RefCell::default(),
                timers: RefCell::default(),
                timers_made: Cell::new(0),
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

    /// Calls `then` from [`Reactor::dispatch`] when `delay` is over, unless the timer is dropped.
    pub fn after(&self, delay: Duration, then: impl FnOnce() + 'static) -> Timer {
        let number = self.inner.timers_made.get();
        self.inner.timers_made.set(number + 1);
        let key = (Instant::now() + delay, number);
        self.inner.timers.borrow_mut().insert(key, Box::new(then));
        Timer { reactor: self.clone(), key, is_detached: false }
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
        if !inner.again.borrow().is_empty() || !inner.backlog.borrow().is_empty() {
            return true;
        }
        if inner.inbox.borrow().as_ref().is_some_and(|inbox| inbox.has_mail()) {
            return true;
        }
        let mut ring = inner.ring.borrow_mut();
        if !ring.completion().is_empty() {
            return true;
        }
        let submissions = ring.submission();
        submissions.taskrun() || submissions.cq_overflow() || !submissions.is_empty()
    }

    /// Calls the owners of ready sockets and the timers that are due.
    ///
    /// # Errors
    /// The system's: the ring cannot be used any more.
    pub fn dispatch(&self) -> io::Result<()> {
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

    fn handle(&self, found: &Found) {
        let inner = &*self.inner;
        let (about, key) = Key::of(found.user_data);
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
                let events = u32::try_from(found.result).unwrap_or(HUNG_UP);
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
                let events = u32::try_from(found.result).unwrap_or(HUNG_UP);
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
            let mut timers = self.inner.timers.borrow_mut();
            let Some(entry) = timers.first_entry() else { return };
            if entry.key().0 > now {
                return;
            }
            let then = entry.remove();
            drop(timers);
            then();
        }
    }

    /// Returns when there is something for [`Reactor::dispatch`], when it was stirred, at `until`,
    /// or earlier.
    ///
    /// # Errors
    /// As for [`Reactor::dispatch`].
    pub fn sleep(&self, until: Option<Instant>) -> io::Result<()> {
        let inner = &*self.inner;
        if self.take_stirred() || !inner.again.borrow().is_empty() {
            return Ok(());
        }
        let timer = inner.timers.borrow().keys().next().map(|(at, _)| *at);
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

/// Uses the features of the kernel: completions that wait until this thread asks for them, or otherwise those that do
/// not interrupt it.
fn make_ring() -> io::Result<IoUring> {
    let mut deferred = IoUring::builder();
    deferred
        .setup_cqsize(COMPLETIONS)
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    let mut cooperative = IoUring::builder();
    cooperative.setup_cqsize(COMPLETIONS).setup_coop_taskrun().setup_taskrun_flag();
    let mut plain = IoUring::builder();
    plain.setup_cqsize(COMPLETIONS);
    deferred
        .build(SUBMISSIONS)
        .or_else(|_| cooperative.build(SUBMISSIONS))
        .or_else(|_| plain.build(SUBMISSIONS))
}

/// An epoll of one socket. It is never waited on; it is enough that it becomes readable.
fn epoll_of(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let through = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    epoll::add(&through, socket, epoll::EventData::new_u64(0), flags)?;
    Ok(through)
}

impl Open {
    fn input_fd(&self) -> RawFd {
        self.through.as_ref().map_or(self.fd, AsRawFd::as_raw_fd)
    }
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
    fn is_urgent(&self, found: &Found) -> bool {
        let (about, key) = Key::of(found.user_data);
        matches!(about, About::Input | About::Room)
            && self.sources.borrow_mut().get(key).is_some_and(|open| open.is_urgent)
    }

    fn poll_input(&self, key: Key, fd: RawFd) {
        let poll = opcode::PollAdd::new(Fd(fd), READABLE).multi(true).build();
        self.push(poll.user_data(key.user_data(About::Input)));
    }

    /// The bell is edge-triggered: its counter is never read.
    fn watch_bell(&self) {
        let fd = Fd(self.bell.as_fd().as_raw_fd());
        let poll = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build();
        self.push(poll.user_data(Key { slot: 0, generation: 0 }.user_data(About::Bell)));
    }

    /// Queues an entry that refers to no memory of ours.
    fn push(&self, entry: squeue::Entry) {
        let mut backlog = self.backlog.borrow_mut();
        if backlog.is_empty() {
            let mut ring = self.ring.borrow_mut();
            // SAFETY: polls and their ends name a descriptor and a number; there is no memory
            // that would have to outlive them. A descriptor that was closed, or even names another
            // file by the time it is handed in, only brings completions of a source that is known
            // to be gone.
            if unsafe { ring.submission().push(&entry) }.is_ok() {
                return;
            }
        }
        backlog.push_back(entry);
    }

    /// Moves as much of the backlog into the ring as fits.
    fn advance(&self, ring: &mut IoUring) {
        let mut backlog = self.backlog.borrow_mut();
        if backlog.is_empty() {
            return;
        }
        let mut submissions = ring.submission();
        while let Some(entry) = backlog.front() {
            // SAFETY: as in `push`.
            if unsafe { submissions.push(entry) }.is_err() {
                return;
            }
            backlog.pop_front();
        }
    }

    /// Submits queued entries, and lets the kernel deliver completions that it has kept back.
    fn submit(&self) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        loop {
            self.advance(&mut ring);
            let submissions = ring.submission();
            if submissions.is_empty() && !submissions.taskrun() && !submissions.cq_overflow() {
                return Ok(());
            }
            drop(submissions);
            if !transient(ring.submit())? || self.backlog.borrow().is_empty() {
                return Ok(());
            }
        }
    }

    /// Takes completions out of the ring, up to a bound.
    fn collect(&self, found: &mut Vec<Found>) -> io::Result<()> {
        loop {
            self.submit()?;
            let mut ring = self.ring.borrow_mut();
            let before = found.len();
            let room = COMPLETIONS_PER_DISPATCH - before;
            found.extend(ring.completion().take(room).map(|entry| Found {
                user_data: entry.user_data(),
                result: entry.result(),
                more: cqueue::more(entry.flags()),
            }));
            if found.len() == before || found.len() == COMPLETIONS_PER_DISPATCH {
                return Ok(());
            }
        }
    }

    /// Sleeps until there is a completion, or `until`.
    fn block(&self, until: Option<Instant>) -> io::Result<()> {
        let mut ring = self.ring.borrow_mut();
        self.advance(&mut ring);
        if !self.backlog.borrow().is_empty() {
            drop(ring);
            return self.submit();
        }
        if !ring.completion().is_empty() {
            return Ok(());
        }
        let waited = match until {
            None => ring.submit_and_wait(1),
            Some(until) => {
                let left = Timespec::from(until.saturating_duration_since(Instant::now()));
                ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&left))
            }
        };
        transient(waited).map(|_| ())
    }
}

/// Whether the kernel accepted the submission; transient errors do not count as errors.
fn transient(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(false),
            _ => Err(error),
        },
    }
}

impl Sources {
    fn insert(&mut self, open: Open) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Source::default());
            u32::try_from(self.slots.len() - 1).expect("fewer sockets than 2^30")
        });
        let source = &mut self.slots[slot as usize];
        source.generation = source.generation.wrapping_add(1);
        source.open = Some(open);
        Key { slot, generation: source.generation }
    }

    fn get(&mut self, key: Key) -> Option<&mut Open> {
        let source = self.slots.get_mut(key.slot as usize)?;
        if source.generation == key.generation { source.open.as_mut() } else { None }
    }

    fn remove(&mut self, key: Key) -> Option<Open> {
        let source = self.slots.get_mut(key.slot as usize)?;
        if source.generation != key.generation {
            return None;
        }
        let open = source.open.take()?;
        self.free.push(key.slot);
        Some(open)
    }
}

/// As long as it lives, its owner is called when the socket is ready. It keeps the owner alive.
pub struct Registration {
    reactor: Reactor,
    key: Key,
}

impl Registration {
    /// Makes the next dispatch call the owner.
    pub fn again(&self) {
        let mut again = self.reactor.inner.again.borrow_mut();
        again.push(self.key);
    }

    /// Makes a dispatch call the owner once there is room to write; perhaps later, if the other side will send nothing
    /// more.
    pub fn want_room(&self) {
        let inner = &*self.reactor.inner;
        let mut sources = inner.sources.borrow_mut();
        let Some(open) = sources.get(self.key) else { return };
        if std::mem::replace(&mut open.waits_for_room, true) {
            return;
        }
        if open.hung_up {
            drop(sources);
            return self.tell_later();
        }
        let poll = opcode::PollAdd::new(Fd(open.fd), WRITABLE).build();
        drop(sources);
        inner.push(poll.user_data(self.key.user_data(About::Room)));
    }
}

impl Registration {
    /// The end of the other side's output is an event of every poll (`IO_POLL_UNMASK` in the kernel's `io_uring/poll.c`),
    /// so a poll for room would end at once, and the next one too.
    fn tell_later(&self) {
        let (reactor, key) = (self.reactor.clone(), self.key);
        let tell = move || {
            let inner = &*reactor.inner;
            match inner.sources.borrow_mut().get(key) {
                Some(open) => open.waits_for_room = false,
                None => return,
            }
            inner.tell(key, true);
        };
        self.reactor.after(ROOM_AGAIN, tell).detach();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let inner = &*self.reactor.inner;
        // In two steps, because dropping the owner may drop other watches.
        let removed = inner.sources.borrow_mut().remove(self.key);
        let Some(open) = removed else { return };
        if open.is_urgent {
            inner.urgent.set(inner.urgent.get() - 1);
        }
        for (about, is_there) in [(About::Input, true), (About::Room, open.waits_for_room)] {
            if is_there {
                // Not PollRemove: that fails if an event of the poll is on its way, and the kernel would then keep the
                // file open for ever.
                let removal = opcode::AsyncCancel::new(self.key.user_data(about)).build();
                inner.push(removal.user_data(self.key.user_data(About::Removal)));
            }
        }
    }
}

/// Calls its function when its time comes, unless it is dropped before.
#[must_use = "a timer that is dropped does not ring"]
pub struct Timer {
    reactor: Reactor,
    key: (Instant, u64),
    is_detached: bool,
}

impl Timer {
    /// Lets it fire even if no one keeps it.
    pub fn detach(mut self) {
        self.is_detached = true;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.is_detached {
            return;
        }
        let removed = self.reactor.inner.timers.borrow_mut().remove(&self.key);
        // Its function may hold other timers.
        drop(removed);
    }
}
