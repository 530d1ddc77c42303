//! Connections that this server opens, and when (`QuorumCnxManager.connectOne`, `initiateConnection`).
//!
//! This server connects to a server that it owes the vote, that has asked for a connection, or that it wants to hear
//! in an election. Failures make it wait longer each time, up to [`RETRY_MS`] and [`CALL_BACK_MS`]. Outside an
//! election it gives up after [`SETTLED_ATTEMPTS_MAX`].

use super::*;

impl Connections {
    /// Whether this server should connect to another one. A server without an id has no address and cannot be called.
    pub(super) fn is_to_be_called(&self, id: ServerId, channel: &Channel) -> bool {
        channel.open.is_none()
            && channel.attempt.is_none()
            && (channel.is_owed || channel.is_called || self.wanted.contains(&id))
            && id >= ServerId(0)
    }

    /// Begins the attempts that are due.
    pub(super) fn maintain(&mut self, now: MonoUs) {
        let due: Vec<ServerId> = self
            .channels
            .iter()
            .filter(|(id, channel)| {
                self.is_to_be_called(**id, channel) && channel.not_before <= now
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.attempt(now, id);
        }
    }

    /// Begins an attempt to reach a server, if an address of it is known and not too many strangers are being called.
    fn attempt(&mut self, now: MonoUs, id: ServerId) {
        assert!(id != self.me, "a server has no connection to itself");
        assert!(id >= ServerId(0), "an observer without an id cannot be called");
        let channel = self.channels.get_mut(&id).expect("it is to be called");
        assert!(channel.open.is_none(), "one connection to each server");
        assert!(channel.attempt.is_none(), "one attempt at a time");
        let mut to = channel.said.clone();
        for endpoint in self.members.get(&id).into_iter().flatten() {
            if !to.contains(endpoint) {
                to.push(endpoint.clone());
            }
        }
        if to.is_empty() {
            // No address is known, so only the other server can connect.
            (channel.is_owed, channel.is_called) = (false, false);
            channel.not_before = now.plus_ms(RETRY_MS.1);
            return;
        }
        // Strangers wait, so that links are left for members.
        if !self.members.contains_key(&id) && self.strangers_called() >= ELECTION_STRANGER_CALLS_MAX
        {
            let channel = self.channels.get_mut(&id).expect("it is to be called");
            channel.not_before = now.plus_ms(RETRY_MS.1);
            return;
        }
        let channel = self.channels.get_mut(&id).expect("it is to be called");
        // Addresses at which attempts time out must not keep the last ones from being tried.
        if channel.failures % 2 == 1 {
            to.reverse();
        }
        let link = self.ids.next();
        channel.attempt = Some(Attempt { link, since: now });
        channel.not_before = now.plus_ms(RETRY_MS.0);
        let patience = if channel.failures == 0 { CONNECT_MS.0 } else { CONNECT_MS.1 };
        let timeout_ms = patience.min(self.connect_ms).max(1);
        let before = self.links.insert(link, LinkUse::Attempt(id));
        assert!(before.is_none(), "the name of a link is given once: {before:?}");
        self.ops.push(LinkOp::Connect { link, port: Port::Election, server: id, to, timeout_ms });
    }

    /// How many servers that are no members are being called at present.
    fn strangers_called(&self) -> usize {
        let called = self.channels.iter().filter(|(_, channel)| channel.attempt.is_some());
        called.filter(|(id, _)| !self.members.contains_key(id)).count()
    }

    /// An attempt has succeeded: sends the handshake. The connection stays if this server has the larger id; if not,
    /// it closes the connection and the other server connects back.
    pub(super) fn on_connected(
        &mut self,
        now: MonoUs,
        (link, remote): (LinkId, SocketAddr),
        used: LinkUse,
        arrivals: &mut Vec<Arrival>,
    ) {
        let LinkUse::Attempt(id) = used else {
            self.close_stray(link);
            return;
        };
        self.ops.push(LinkOp::Send { link, bytes: self.handshake.clone() });
        let channel = self.channels.get_mut(&id).expect("its link says so");
        let attempt = channel.attempt.take();
        assert!(attempt.is_some_and(|attempt| attempt.link == link), "it is the one attempt");
        channel.is_called = false;
        if id > self.me {
            // The other server has the larger id, and connects back.
            self.links.remove(&link);
            self.ops.push(LinkOp::Close { link });
            let wait = (CALL_BACK_MS.0 << channel.asked.min(10)).min(CALL_BACK_MS.1);
            channel.asked += 1;
            channel.not_before = now.plus_ms(wait);
            self.give_up_if_settled(id);
        } else {
            self.open(now, id, (link, remote), arrivals);
        }
    }

    /// An attempt has failed, or a connection broke before anything was received: the next attempt waits, twice as
    /// long each time up to the second value of [`RETRY_MS`].
    pub(super) fn on_failed(&mut self, now: MonoUs, id: ServerId, arrivals: &mut Vec<Arrival>) {
        let channel = self.channels.get_mut(&id).expect("its link says so");
        assert!(channel.open.is_none(), "a connected server was reached");
        channel.is_unreachable = true;
        let wait = (RETRY_MS.0 << channel.failures.min(10)).min(RETRY_MS.1);
        channel.failures += 1;
        channel.not_before = channel.not_before.max(now.plus_ms(wait));
        self.give_up_if_settled(id);
        arrivals.push(Arrival::Failed);
    }

    /// Outside an election, gives up a server that cannot be reached after a few attempts: if it wants the vote, it
    /// asks again.
    fn give_up_if_settled(&mut self, id: ServerId) {
        let is_wanted = self.wanted.contains(&id);
        let channel = self.channels.get_mut(&id).expect("an attempt was made");
        if !is_wanted && channel.failures + channel.asked >= SETTLED_ATTEMPTS_MAX {
            (channel.is_owed, channel.is_called) = (false, false);
            (channel.failures, channel.asked) = (0, 0);
        }
    }
}
