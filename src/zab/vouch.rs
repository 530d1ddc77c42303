//! What may leave a server only when its disk has it.

use bytes::Bytes;

use crate::link::{LinkId, LinkOp};

/// Packets that tell another server what this one has on its disk: ACKEPOCH, ACK. A leader that counts them loses
/// acknowledged writes if they are untrue after a power failure, so they cannot be sent like others: only
/// [`Ready::send_after_sync`](super::Ready::send_after_sync) takes them, and only a [`Durable`] makes bytes on a link
/// of them.
///
/// ```
/// use ringkeeper::link::LinkId;
/// use ringkeeper::zab::{Ready, Vouch};
///
/// let ack = Vouch::new(LinkId::opened(1), vec![0, 0, 0, 3].into());
/// let mut ready = Ready::default();
/// ready.send_after_sync.push(ack);
/// ```
/// What waits for nothing does not take it:
///
/// ```compile_fail,E0308
/// use ringkeeper::link::LinkId;
/// use ringkeeper::zab::{Ready, Vouch};
///
/// let ack = Vouch::new(LinkId::opened(1), vec![0, 0, 0, 3].into());
/// let mut ready = Ready::default();
/// ready.send.push(ack);
/// ```
#[must_use]
#[derive(Debug)]
pub struct Vouch {
    link: LinkId,
    bytes: Bytes,
}

/// Says that the disk has everything that was wanted before. Whoever carries out a [`Ready`](super::Ready) makes it
/// where the disk has said so.
#[derive(Debug)]
pub struct Durable(());

impl Durable {
    /// The disk has said so.
    pub fn as_the_disk_says() -> Durable {
        Durable(())
    }
}

impl Vouch {
    /// Bytes of packets for this link.
    pub fn new(link: LinkId, bytes: Bytes) -> Vouch {
        Vouch { link, bytes }
    }

    /// Now it is true.
    pub fn release(self, _: &Durable) -> LinkOp {
        LinkOp::Send { link: self.link, bytes: self.bytes }
    }
}
