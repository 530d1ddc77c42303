//! A doorbell: whoever has something for an executor that may be asleep rings it.
//!
//! It is an eventfd. The log ring rings it from the kernel (`IORING_REGISTER_EVENTFD`), the disk
//! worker and the signal thread ring it with a write. The executor keeps one read on it in its
//! own ring, so a ring while it sleeps wakes it, and rings in between add up to one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// The side that rings. Clones ring the same bell.
#[derive(Clone, Debug)]
pub struct Doorbell {
    fd: Arc<OwnedFd>,
}

impl Doorbell {
    /// A new bell.
    pub fn new() -> io::Result<Doorbell> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(Doorbell { fd: Arc::new(fd) })
    }

    /// Rings. Never blocks: the counter would have to reach 2^64 first.
    pub fn ring(&self) {
        // An error is impossible short of a closed descriptor, and this object keeps it open.
        let _ = rustix::io::write(&*self.fd, &1u64.to_ne_bytes());
    }

    /// The descriptor, to register it with a ring.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The waiting side, for a task of the current executor.
    pub fn listen(&self) -> io::Result<Listener> {
        let own = self.fd.as_fd().try_clone_to_owned()?;
        // SAFETY: `own` is an open descriptor that nothing else owns from here on; the file closes
        // it when it is dropped.
        let file = unsafe { glommio::io::BufferedFile::from_raw_fd(own.into_raw_fd()) };
        Ok(Listener { file })
    }
}

/// The waiting side of a [`Doorbell`].
#[derive(Debug)]
pub struct Listener {
    file: glommio::io::BufferedFile,
}

impl Listener {
    /// Resolves when the bell was rung since the last time, at once if it already was.
    pub async fn rung(&self) -> io::Result<()> {
        self.file.read_at(0, 8).await.map_err(io::Error::from)?;
        Ok(())
    }

    /// The descriptor's number, for messages.
    pub fn number(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::LocalExecutorBuilder;
    use std::time::Duration;

    #[test]
    fn a_sleeping_executor_hears_every_ring() {
        let bell = Doorbell::new().unwrap();
        let (sent, heard) = std::sync::mpsc::channel();
        let listener = bell.clone();
        let executor = LocalExecutorBuilder::default()
            .spawn(move || async move {
                let listener = listener.listen().unwrap();
                for round in 0..200u32 {
                    listener.rung().await.unwrap();
                    sent.send(round).unwrap();
                }
            })
            .unwrap();
        for round in 0..200 {
            bell.ring();
            assert_eq!(heard.recv_timeout(Duration::from_secs(10)).unwrap(), round);
        }
        executor.join().unwrap();
    }
}
