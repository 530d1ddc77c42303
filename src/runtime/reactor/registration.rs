//! The watch on one socket, in the hands of its owner.

use std::time::Duration;

use super::sources::{About, Key, Subject};
use super::{Reactor, WRITABLE};

/// The delay before checking again for room to write to a peer that sends nothing more: meanwhile the sockets' buffers
/// hold some megabytes.
pub(super) const ROOM_AGAIN: Duration = Duration::from_millis(100);

/// As long as it lives, its owner is called when the socket is ready. It keeps the owner alive.
pub struct Registration {
    pub(super) reactor: Reactor,
    pub(super) key: Key,
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
        let fd = open.fd;
        drop(sources);
        let subject = Subject { about: About::Room, key: self.key };
        inner.ring.borrow_mut().poll_once(fd, WRITABLE, subject);
    }

    /// The end of the other side's output is an event of every poll (`IO_POLL_UNMASK` in the kernel's
    /// `io_uring/poll.c`), so a poll for room would end at once, and the next one too.
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
                let key = self.key;
                let removal = Subject { about: About::Removal, key };
                inner.ring.borrow_mut().cancel(Subject { about, key }, removal);
            }
        }
    }
}
