//! Packets that may leave a server only when its disk has what they say.

use bytes::Bytes;

use crate::link::{LinkId, LinkOp};

/// Packets that tell another server what this server has on its disk: ACKEPOCH, ACK. A leader that counts them loses
/// acknowledged writes if they are untrue after a power failure, so they cannot be sent like other packets: only
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
/// The field for operations that wait for nothing does not take it:
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

/// The disk's word that everything wanted before is durable. The code that carries out a [`Ready`](super::Ready) makes
/// it when the disk has reported that.
#[derive(Debug)]
pub struct Durable(());

impl Durable {
    /// The disk has reported it.
    pub fn as_the_disk_says() -> Durable {
        Durable(())
    }
}

impl Vouch {
    /// The bytes of packets for this link.
    pub fn new(link: LinkId, bytes: Bytes) -> Vouch {
        Vouch { link, bytes }
    }

    /// The packets are true now.
    pub fn release(self, _: &Durable) -> LinkOp {
        LinkOp::Send { link: self.link, bytes: self.bytes }
    }
}
