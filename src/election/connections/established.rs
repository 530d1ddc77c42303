//! Connections over which votes go (`QuorumCnxManager.SendWorker`, `RecvWorker`).
//!
//! ```text
//! i32 n, big-endian │ n bytes: a notification │ i32 n │ …        1 ≤ n ≤ ELECTION_MESSAGE_BYTES_MAX
//! ```
//! Either side may send at any time, and nothing is acknowledged. A length out of range closes the connection,
//! because the stream has no other place to start again.

use super::*;

impl Connections {
    /// Makes the link the one connection of the server. It replaces an older one and ends an attempt.
    ///
    /// # Panics
    /// If nothing is known of the server, or the link is established already.
    pub(super) fn open(
        &mut self,
        now: MonoUs,
        id: ServerId,
        (link, remote): (LinkId, SocketAddr),
        arrivals: &mut Vec<Arrival>,
    ) {
        assert!(id != self.me, "a server has no connection to itself");
        self.note_displaced(now, id, remote);
        self.close_open(id);
        self.drop_attempt(id);
        let before = self.links.insert(link, LinkUse::Open(id));
        assert!(!matches!(before, Some(LinkUse::Open(_))), "a connection is established once");
        let channel = self.channels.get_mut(&id).expect("its link says so");
        assert!(channel.open.is_none(), "one connection to each server");
        assert!(channel.attempt.is_none(), "an attempt that has succeeded is over");
        (channel.is_called, channel.is_unreachable, channel.asked) = (false, false, 0);
        channel.not_before = now;
        let (buffer, unsent, heard_at) = (Vec::new(), 0, None);
        channel.open = Some(Open { link, remote, since: now, buffer, unsent, heard_at });
        tracing::debug!(server = id.0, "election connection");
        arrivals.push(Arrival::Up(id));
    }

    /// Closes the connection of a server, if there is one.
    pub(super) fn close_open(&mut self, id: ServerId) {
        let channel = self.channels.get_mut(&id);
        if let Some(open) = channel.and_then(|channel| channel.open.take()) {
            let used = self.links.remove(&open.link);
            assert!(
                matches!(used, Some(LinkUse::Open(of)) if of == id),
                "the link is of this server: {used:?}"
            );
            self.ops.push(LinkOp::Close { link: open.link });
        }
    }

    /// Gives up the attempt to reach a server, if there is one.
    pub(super) fn drop_attempt(&mut self, id: ServerId) {
        let channel = self.channels.get_mut(&id);
        if let Some(attempt) = channel.and_then(|channel| channel.attempt.take()) {
            let used = self.links.remove(&attempt.link);
            assert!(
                matches!(used, Some(LinkUse::Attempt(of)) if of == id),
                "the link is of this server: {used:?}"
            );
            self.ops.push(LinkOp::Close { link: attempt.link });
        }
    }

    /// A link was closed, by the other side or by an error. Decides when the next attempt begins.
    pub(super) fn on_closed(
        &mut self,
        now: MonoUs,
        link: LinkId,
        reason: &str,
        arrivals: &mut Vec<Arrival>,
    ) {
        match self.links.remove(&link) {
            None => {}
            Some(LinkUse::Unknown) => {
                let unknown = self.unknown.remove(&link);
                assert!(unknown.is_some(), "its use says so");
            }
            Some(LinkUse::Attempt(id)) => {
                tracing::debug!(server = id.0, reason, "cannot connect to the election port");
                let channel = self.channels.get_mut(&id).expect("its link says so");
                channel.attempt = None;
                channel.failure = reason.chars().take(UNREACHABLE_REASON_CHARS_MAX).collect();
                self.on_failed(now, id, arrivals);
            }
            Some(LinkUse::Open(id)) => {
                let channel = self.channels.get_mut(&id).expect("its link says so");
                let open = channel.open.take().expect("its link says so");
                assert_eq!(open.link, link, "it is the one connection");
                tracing::info!(server = id.0, remote = %open.remote, reason, "election connection closed");
                if open.since.plus_ms(SHORT_LIVED_MS) <= now {
                    channel.failures = 0;
                } else if open.heard_at.is_none() {
                    self.on_failed(now, id, arrivals);
                } else {
                    // The other side may be replacing the connection, so it gets the time to do that.
                    channel.not_before = channel.not_before.max(now.plus_ms(RETRY_MS.0));
                }
                // An observer without an id comes back under another one.
                if id < ServerId(0) {
                    self.channels.remove(&id);
                }
            }
        }
    }

    /// Closes a link whose event does not fit its use.
    pub(super) fn close_stray(&mut self, link: LinkId) {
        tracing::debug!(?link, "closing a link that belongs to no attempt");
        self.ops.push(LinkOp::Close { link });
    }

    /// Bytes have come. Only links that were accepted or are established have any to read.
    pub(super) fn on_received(
        &mut self,
        now: MonoUs,
        link: LinkId,
        used: LinkUse,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        match used {
            LinkUse::Unknown => self.on_beginning(now, link, bytes, arrivals),
            LinkUse::Open(id) => self.on_message_bytes(now, id, bytes, arrivals),
            // The side that connects speaks first, and this server has not spoken.
            LinkUse::Attempt(_) => self.close_stray(link),
        }
    }

    /// The network has sent bytes, so there may be room for the vote.
    pub(super) fn on_sent(&mut self, used: LinkUse, bytes: u64) {
        // Over any other link this server sends nothing that waits for room.
        let LinkUse::Open(id) = used else { return };
        let channel = self.channels.get_mut(&id).expect("its link says so");
        let open = channel.open.as_mut().expect("its link says so");
        open.unsent = open.unsent.saturating_sub(bytes);
        self.flush(id);
    }

    /// Takes whole messages out of the bytes of an established connection.
    pub(super) fn on_message_bytes(
        &mut self,
        now: MonoUs,
        id: ServerId,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let channel = self.channels.get_mut(&id).expect("its link says so");
        let open = channel.open.as_mut().expect("its link says so");
        assert!(open.since <= now, "it was established before");
        open.buffer.extend_from_slice(bytes);
        let mut at = 0;
        let mut refused = None;
        while let Some(length) = open.buffer.get(at..at + 4) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            // A length that is negative in Java is a large one here.
            if !(1..=ELECTION_MESSAGE_BYTES_MAX).contains(&length) {
                refused = Some(length);
                break;
            }
            let length = usize::try_from(length).expect("a small number");
            let Some(body) = open.buffer.get(at + 4..at + 4 + length) else { break };
            open.heard_at = Some(now);
            channel.failures = 0;
            // ZooKeeper: WorkerReceiver ignores a shorter message, and keeps the connection.
            if body.len() >= notification::BYTES_MIN {
                arrivals.push(Arrival::Message(id, body.to_vec()));
            }
            at += 4 + length;
        }
        open.buffer.drain(..at);
        let remote = open.remote;
        if let Some(length) = refused {
            tracing::warn!(
                server = id.0, %remote, length,
                "closing an election connection: a message cannot have this length"
            );
            self.close_open(id);
            self.on_failed(now, id, arrivals);
        }
    }

    /// Sends the present vote to a server if it is owed the vote and there is room for it. Without room, the newest
    /// vote leaves when the network has sent the earlier ones.
    pub fn flush(&mut self, id: ServerId) {
        // An observer without an id has gone.
        let Some(channel) = self.channels.get_mut(&id) else { return };
        // Without a connection, it gets the vote over the next one.
        let Some(open) = channel.open.as_mut() else { return };
        if channel.is_owed && open.unsent < ELECTION_UNSENT_BYTES_MAX {
            assert!(!self.message.is_empty(), "there is a vote to send");
            channel.is_owed = false;
            open.unsent += u64::try_from(self.message.len()).expect("a small number");
            self.ops.push(LinkOp::Send { link: open.link, bytes: self.message.clone() });
        }
    }
}
