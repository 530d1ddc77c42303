//! Connections that other servers open, until they have said who they are (`QuorumCnxManager.handleConnection`).
//!
//! Any host can connect to this port. So a connection costs little until it has sent a handshake, and a handshake
//! counts only if the address of the connection, where addresses are checked, is one of the server that it names. A
//! connection never replaces that of a server that is heard at present.

use super::*;

impl Connections {
    /// Keeps an accepted connection until its handshake comes, or its time is over.
    pub(super) fn on_accepted(
        &mut self,
        now: MonoUs,
        link: LinkId,
        remote: SocketAddr,
        may_be: Option<&[ServerId]>,
    ) {
        if self.unknown.len() >= ELECTION_HANDSHAKES_MAX {
            // A member sends its id at once, so the connection that waits longest is closed; those of strangers are
            // closed before those of members.
            let oldest = self.unknown.iter().min_by_key(|(_, it)| (!it.is_stranger(), it.until));
            let oldest = *oldest.expect("there are some").0;
            self.refuse(oldest, "too many connections have not sent their id");
        }
        assert!(self.unknown.len() < ELECTION_HANDSHAKES_MAX, "there is room for one more");
        let before = self.links.insert(link, LinkUse::Unknown);
        assert!(before.is_none(), "a link is accepted once: {before:?}");
        let until = now.plus_ms(self.handshake_ms.max(1));
        self.sees_addresses |= may_be.is_some();
        let may_be = may_be.map(<[ServerId]>::to_vec);
        self.unknown.insert(link, Unknown { buffer: Vec::new(), until, remote, may_be });
    }

    /// The members, or their addresses, have changed: `may_be` are the members that now have the address of the link.
    /// An established connection is closed if its server is a member now, and has other addresses.
    pub(super) fn on_identified(&mut self, link: LinkId, used: LinkUse, may_be: &[ServerId]) {
        match used {
            LinkUse::Unknown => {
                let unknown = self.unknown.get_mut(&link).expect("its use says so");
                unknown.may_be = Some(may_be.to_vec());
            }
            LinkUse::Open(id) if self.members.contains_key(&id) && is_forged(Some(may_be), id) => {
                tracing::warn!(
                    server = id.0,
                    "closing an election connection: this server is a member now, and has other addresses"
                );
                self.close_open(id);
            }
            LinkUse::Open(_) | LinkUse::Attempt(_) => {}
        }
    }

    /// Refuses a connection, and logs that only from time to time, because its server tries again without end.
    fn refuse_once(
        &mut self,
        now: MonoUs,
        link: LinkId,
        (said, reason): (ServerId, Reason),
        text: &str,
    ) {
        if self.said.is_due(now, said, reason) {
            self.refuse(link, text);
        } else {
            self.close_unknown(link);
        }
    }

    /// Logs the reason and closes a connection whose server is not known.
    pub(super) fn refuse(&mut self, link: LinkId, reason: &str) {
        let remote = self.unknown.get(&link).map(|unknown| tracing::field::display(unknown.remote));
        tracing::warn!(remote, reason, "closing a connection on the election port");
        self.close_unknown(link);
    }

    /// Closes a connection whose server is not known.
    fn close_unknown(&mut self, link: LinkId) {
        self.unknown.remove(&link);
        let used = self.links.remove(&link);
        assert!(matches!(used, Some(LinkUse::Unknown)), "its server is not known: {used:?}");
        self.ops.push(LinkOp::Close { link });
    }

    /// Bytes of a connection whose server is not known: waits until they are a handshake, or refuses them.
    pub(super) fn on_beginning(
        &mut self,
        now: MonoUs,
        link: LinkId,
        bytes: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let unknown = self.unknown.get_mut(&link).expect("its use says so");
        unknown.buffer.extend_from_slice(bytes);
        match handshake::read(&unknown.buffer) {
            Reading::Partial => {}
            Reading::Refused(reason) => self.refuse(link, &reason),
            Reading::Learner(said) => {
                let text = kept_out::ports_exchanged(self.me, said, unknown.remote, Port::Election);
                self.refuse_once(now, link, (said, Reason::PortsExchanged), &text);
            }
            Reading::Whole(caller, length) => {
                let mut unknown = self.unknown.remove(&link).expect("its use says so");
                let rest = unknown.buffer.split_off(length);
                self.on_caller(now, link, caller, &unknown, &rest, arrivals);
            }
        }
    }

    /// A handshake has come. If the connection may be the named server's, it stays; or, if that server has a smaller
    /// id, this server closes it and connects back. `rest` are the bytes behind the handshake.
    fn on_caller(
        &mut self,
        now: MonoUs,
        link: LinkId,
        caller: Caller,
        from: &Unknown,
        rest: &[u8],
        arrivals: &mut Vec<Arrival>,
    ) {
        let Caller { mut id, addresses } = caller;
        // ZooKeeper: QuorumCnxManager gives each observer without an id a negative one of its own.
        if id == ServerId(i64::MAX) {
            id = ServerId(self.next_observer);
            self.next_observer -= 1;
        }
        if id == self.me {
            let text = format!(
                "another server has connected from {} and says that it is server {id}, which this one is: two \
                 servers have the same myid, look at the file myid in the dataDir of both",
                from.remote
            );
            self.refuse_once(now, link, (id, Reason::NameTaken), &text);
            return;
        }
        assert!(id != self.me, "a server has no connection to itself");
        let is_member = self.members.contains_key(&id);
        if is_member && is_forged(from.may_be.as_deref(), id) {
            self.refuse(link, &forgery(from.remote, id));
            return;
        }
        if let Some(living) = self.living(now, id) {
            let text = kept_out::name_taken(id, living, from.remote);
            self.refuse_once(now, link, (id, Reason::NameTaken), &text);
            return;
        }
        if !self.has_room_for(id) {
            self.refuse(link, "too many servers that are not in the configuration");
            return;
        }
        let is_ours_to_open = ServerId(0) <= id && id < self.me;
        let channel = self.channels.entry(id).or_default();
        channel.is_unreachable = false;
        channel.said = match from.may_be {
            // ZooKeeper: QuorumCnxManager connects wherever the handshake says.
            None => addresses,
            // The configuration has its address.
            Some(_) if is_member => Vec::new(),
            // A stranger can be called only at the host from which it connected: it must not make this server connect
            // anywhere else.
            Some(_) => {
                let port = addresses.first().map(|said| said.port);
                let host = from.remote.ip().to_string();
                port.map(|port| Endpoint { host, port }).into_iter().collect()
            }
        };
        if is_ours_to_open {
            let used = self.links.remove(&link);
            assert!(matches!(used, Some(LinkUse::Unknown)), "it has just said its id: {used:?}");
            self.ops.push(LinkOp::Close { link });
            self.on_called(now, id, from.remote);
        } else {
            self.open(now, id, (link, from.remote), arrivals);
            self.on_message_bytes(now, id, rest, arrivals);
        }
    }

    /// A server with a smaller id wants to talk: this server connects back to it, unless it is doing so.
    fn on_called(&mut self, now: MonoUs, id: ServerId, remote: SocketAddr) {
        let channel = self.channels.get_mut(&id).expect("it has called");
        let is_young = |since: MonoUs, ms: u64| now < since.plus_ms(ms);
        // The connection that this server has just opened and the request have crossed; the other server will use the
        // connection.
        if channel.open.as_ref().is_some_and(|open| is_young(open.since, CROSSING_MS)) {
            return;
        }
        if let Some(attempt) = &channel.attempt {
            if is_young(attempt.since, ATTEMPT_STALE_MS) {
                return;
            }
            self.drop_attempt(id);
        }
        // The other server has no use for the old connection: it asks because that is gone on its side.
        self.note_displaced(now, id, remote);
        self.close_open(id);
        let channel = self.channels.get_mut(&id).expect("it has called");
        assert!(channel.open.is_none(), "the connection that it cannot use is closed");
        assert!(channel.attempt.is_none(), "the next attempt is its answer");
        channel.is_called = true;
        channel.failures = 0;
        channel.not_before = channel.not_before.min(now.plus_ms(RETRY_MS.0));
    }

    /// The address from which the server was heard a moment ago. A connection that claims its id meanwhile is another
    /// server's, or will be repeated. Servers that have a leader are silent on this port, so a quiet connection
    /// proves nothing.
    fn living(&self, now: MonoUs, id: ServerId) -> Option<SocketAddr> {
        let open = self.channels.get(&id)?.open.as_ref()?;
        open.heard_at.is_some_and(|at| now < at.plus_ms(ALIVE_MS)).then_some(open.remote)
    }

    /// Notes that a connection from `remote` replaces one over which the server was heard. This happens when a server
    /// restarts, and seldom again soon; if it does, two servers may have one id, and a line says so.
    pub(super) fn note_displaced(&mut self, now: MonoUs, id: ServerId, remote: SocketAddr) {
        let channel = self.channels.get_mut(&id).expect("it has called, or was called");
        // Nothing is displaced, or nothing over which the server was heard.
        let Some(open) = channel.open.as_ref().filter(|open| open.heard_at.is_some()) else {
            return;
        };
        let living = open.remote;
        let (since, count) = channel.displaced;
        let is_again = count > 0 && now < since.plus_ms(DISPLACED_MS);
        channel.displaced = if is_again { (since, count + 1) } else { (now, 1) };
        assert!(channel.displaced.0 <= now, "it was displaced before now");
        if channel.displaced.1 >= DISPLACED_SAID_FROM
            && self.said.is_due(now, id, Reason::NameTaken)
        {
            let reason = kept_out::name_taken(id, living, remote);
            tracing::warn!(
                reason,
                "an election connection is replaced by another one again and again"
            );
        }
    }

    /// Whether this server may keep a channel for `id`. The number of strangers is bounded; one that is neither
    /// connected nor called makes room.
    fn has_room_for(&mut self, id: ServerId) -> bool {
        if self.members.contains_key(&id) || self.channels.contains_key(&id) {
            return true;
        }
        let is_stranger = |id: &ServerId| !self.members.contains_key(id);
        let strangers = self.channels.keys().filter(|id| is_stranger(id)).count();
        if strangers < ELECTION_STRANGERS_MAX {
            return true;
        }
        let idle = self
            .channels
            .iter()
            .find(|(id, c)| is_stranger(id) && c.open.is_none() && c.attempt.is_none());
        let Some(idle) = idle.map(|(id, _)| *id) else { return false };
        self.channels.remove(&idle);
        true
    }
}
