//! The edge of each simulated server, in place of a real server's sockets, rings and threads.
//!
//! The edge drives the replica as the real one does: it hands in events as they come, runs one turn for all that
//! came meanwhile, and then carries out the output in its order.

use ringkeeper::id::{ConnectionId, Zxid};
use ringkeeper::link::{Endpoint, LinkEvent, LinkId, LinkOp, Port};
use ringkeeper::net::frame::{self, Tail};
use ringkeeper::planted::{self, PlantedBug};
use ringkeeper::recovery::{discard_after, log_read_bytes_max, read_txns, truncate};
use ringkeeper::replica::{Output, Reload, Reloaded};
use ringkeeper::zab::LogRead;

use super::network::{ConnId, End, Node, Parcel};
use super::plan::{MS, SECOND};
use super::server::{self, QUORUM_PORT, State};
use super::wild::Broken;
use super::world::{Event, Phase, World};

/// The kind of connections of clients; the other kinds belong to [`Port`]s.
pub const CLIENT: u8 = 0;

/// The kind of connections of learners to a leader.
pub const QUORUM: u8 = 1;
/// The kind of connections of elections.
pub const ELECTION: u8 = 2;

pub(super) fn kind_of(port: Port) -> u8 {
    match port {
        Port::Quorum => QUORUM,
        Port::Election => ELECTION,
        Port::ObserverMaster => 3,
    }
}

pub(super) fn port_of(kind: u8) -> Port {
    match kind {
        QUORUM => Port::Quorum,
        ELECTION => Port::Election,
        _ => Port::ObserverMaster,
    }
}

impl World {
    // ---- processes

    /// Starts a server that is down.
    pub(super) fn start(&mut self, index: usize) {
        let now = self.now;
        let is_kept_down = self.servers[index].broken == Some(Broken::Down);
        if is_kept_down || !matches!(self.servers[index].state, State::Down { .. }) {
            return;
        }
        if self.plan.changes() && !self.is_member(index) {
            // The server says that it is not among the members, and ends.
            self.servers[index].state = State::Out;
            return;
        }
        let server = &mut self.servers[index];
        if let Err(what) = server.read_config(&self.plan) {
            return self.fail(format!("the configuration files of server {}: {what}", index + 1));
        }
        let read = server.clock.read(now);
        server.disk.reads.take_failed();
        let started = server.start(read, &self.plan);
        let life = server.life;
        self.trace.event(now, &[1, index as u64, life, u64::from(started.is_ok())], || {
            match &started {
                Ok(()) => format!("s{}: life {life} starts", index + 1),
                Err(error) => format!("s{}: life {life} does not start: {error}", index + 1),
            }
        });
        self.servers[index].disk.cut_recovery_after(None);
        match started {
            // With weights, a quorum may need this server, which has no vote before a leader is there.
            Ok(()) if self.plan.wild.groups.is_some() && self.servers[index].has_lost_all() => {
                self.servers[index].end();
                self.refused(index, "it begins without data");
            }
            Ok(()) => {
                self.observe_start(index);
                self.reset_stale(index);
                self.wake_server(index);
            }
            Err(error) => self.refused(index, &error.to_string()),
        }
    }

    fn observe_start(&mut self, index: usize) {
        if self.observe_after_mistake(index) || self.observe_deceived(index) {
            return;
        }
        let server = &self.servers[index];
        let Some(replica) = &server.replica else { return };
        let recorded = replica.database().take_recorded();
        let (id, now) = (server.id, self.now);
        let (last, digest) = (replica.last_processed(), replica.database().digest());
        let before = recorded.last().map_or(last, |last| last.txn.zxid());
        self.trace.say(now, || format!("s{id}: begins at {last}"));
        if let Err(what) = self.chain.applied(id, now, recorded) {
            return self.fail(what);
        }
        self.servers[index].seen = self.chain.resolve(before);
        if last.0 >= 0
            && let Err(what) = self.chain.state(id, last, digest, before)
        {
            self.fail(what);
        }
    }

    /// Ends a process. `power`: the machine goes with it.
    pub(super) fn crash(&mut self, index: usize, power: bool) {
        let now = self.now;
        self.trace.event(now, &[2, index as u64, u64::from(power)], || {
            format!("s{}: {}", index + 1, if power { "loses power" } else { "is killed" })
        });
        self.stats.crashes += 1;
        self.check_accusations(index);
        if power {
            self.maybe_forget(index);
        }
        let server = &mut self.servers[index];
        if let (Some(replica), Some(next)) = (&server.replica, &server.next)
            && Zxid(next.version) <= replica.last_proposed()
        {
            // The change is on its way to the log, and stands in the files already.
            self.chain.may_lack(Zxid(next.version));
        }
        server.disk.crash(power);
        server.end();
        server.state = State::Down { machine: power };
        for (conn, end) in self.network.of(index) {
            let is_knock = end == 1 && self.network.get(conn).is_some_and(|known| !known.accepted);
            if is_knock {
                // A client that is still connecting will see that nobody is there.
                continue;
            }
            if power {
                // The other ends hear of the loss when they send something, or when the machine is up again.
                if self.rng.one_in(2) {
                    self.network.lose(conn, 1 - end);
                }
                self.network.forget(conn, end);
            } else {
                self.network.close(now, conn, end);
            }
        }
    }

    /// Resets the former connections of a machine that is up again and knows nothing of them.
    fn reset_stale(&mut self, index: usize) {
        let now = self.now;
        for (conn, end) in self.network.of(index) {
            let Some(known) = self.network.get(conn) else { continue };
            if !known.ends[end].closed || !known.accepted {
                continue;
            }
            // An opener whose answer was lost tries again until somebody hears it.
            let knocks = !known.established;
            if !self.rng.one_in(4) || knocks {
                self.network.reject(now, conn, end);
            }
        }
    }

    // ---- turns

    /// Schedules a turn, because something came in.
    pub(super) fn wake_server(&mut self, index: usize) {
        let server = &mut self.servers[index];
        if server.replica.is_none() || server.turn_scheduled {
            return;
        }
        server.turn_scheduled = true;
        let life = server.life;
        let at = self.now.max(server.paused_until) + 5 + self.rng.below(40);
        self.schedule(at, Event::Turn { server: index, life });
    }

    fn is_of_life(&self, index: usize, life: u64) -> bool {
        self.servers[index].life == life && self.servers[index].replica.is_some()
    }

    pub(super) fn timer(&mut self, index: usize, life: u64) {
        if self.is_of_life(index, life) && self.servers[index].timer_at == Some(self.now) {
            self.servers[index].timer_at = None;
            self.wake_server(index);
        }
    }

    pub(super) fn turn(&mut self, index: usize, life: u64) {
        if !self.is_of_life(index, life) {
            return;
        }
        let now = self.now;
        let server = &mut self.servers[index];
        if server.paused_until > now {
            let at = server.paused_until;
            return self.schedule(at, Event::Turn { server: index, life });
        }
        server.turn_scheduled = false;
        let read = server.clock.read(now);
        let Some(replica) = &mut server.replica else { return };
        if replica.next_timeout().is_some_and(|at| at <= read.mono) {
            replica.handle_timeout(read);
        }
        let mut output = std::mem::take(&mut server.output);
        replica.take_output(&mut output);
        self.observe(index);
        self.check_outside(index);
        self.check_losses(index);
        self.carry_out(index, &mut output);
        if self.servers[index].life == life && self.servers[index].replica.is_some() {
            self.servers[index].output = output;
            self.set_timer(index);
        }
    }

    fn set_timer(&mut self, index: usize) {
        let now = self.now;
        let server = &mut self.servers[index];
        let Some(at) = server.replica.as_ref().and_then(|replica| replica.next_timeout()) else {
            return;
        };
        let at = server.clock.true_time_of(at).max(now + 5);
        if server.timer_at.is_none_or(|known| known > at || known < now) {
            server.timer_at = Some(at);
            let life = server.life;
            self.schedule(at, Event::Timer { server: index, life });
        }
    }

    /// Checks what a server has applied, and its state.
    pub(super) fn observe(&mut self, index: usize) {
        if self.observe_after_mistake(index) || self.observe_deceived(index) {
            return;
        }
        let server = &self.servers[index];
        let Some(replica) = &server.replica else { return };
        let (id, now) = (server.id, self.now);
        let recorded = replica.database().take_recorded();
        let (last, digest) = (replica.last_processed(), replica.database().digest());
        let mismatches = replica.database().digest_mismatches();
        let leads = replica.mode() == "leader";
        let seen = recorded.last().map(|last| last.txn.zxid());
        for txn in recorded.iter().map(|recorded| &recorded.txn) {
            self.trace.event(now, &[3, index as u64, txn.zxid().0.cast_unsigned()], || {
                let header = txn.header();
                let (session, cxid) = (header.client_id, header.cxid);
                format!("s{id}: applies {} {:?} {session} {cxid}", txn.zxid(), header.op)
            });
        }
        let fresh = match self.chain.applied(id, now, recorded) {
            Ok(fresh) => fresh,
            Err(what) => return self.fail(what),
        };
        if let Some(seen) = seen {
            self.servers[index].seen = seen;
        }
        if self.servers[index].began_anew && self.servers[index].disk.has_history() {
            self.servers[index].began_anew = false;
        }
        let before = self.servers[index].seen;
        if last.0 >= 0 {
            if let Err(what) = self.chain.state(id, last, digest, before) {
                return self.fail(what);
            }
            self.servers[index].seen = self.chain.resolve(last);
        }
        if mismatches > 0 {
            self.fail(format!("server {id} has a digest that its transactions did not foretell"));
        }
        if leads && !self.plan.is_standalone() && !fresh.is_empty() {
            // Only a leader that serves makes transactions, so those of its own epoch show that it serves.
            let epoch = last.epoch().0;
            if self.is_activated(index, epoch)
                && let Err(what) = self.chain.leads(id, epoch)
            {
                self.fail(what);
            }
        }
        self.check_expiries(&fresh);
    }

    fn is_activated(&self, index: usize, epoch: i64) -> bool {
        let marker = Zxid::new(ringkeeper::id::Epoch(epoch), 0);
        self.servers[index].seen > marker
    }

    fn carry_out(&mut self, index: usize, output: &mut Output) {
        let now = self.now;
        if let Some(fatal) = output.fatal.take() {
            return self.stopped(index, &fatal.reason);
        }
        let sends = std::mem::take(&mut output.sends);
        for send in sends {
            let name = send.conn.0;
            let Some(conn) = self.servers[index].conns.get(&name).copied() else { continue };
            self.trace.bytes(&send.bytes);
            if !send.bytes.is_empty() {
                self.network.send(now, conn, 1, &send.bytes);
            }
            if send.reported_bytes() > 0 {
                let read = self.read_clock(index);
                if let Some(replica) = &mut self.servers[index].replica {
                    replica.handle_written(read, send.conn, send.reported_bytes());
                }
                self.wake_server(index);
            }
            output.recycle(send.bytes);
            if send.close {
                self.servers[index].conns.remove(&name);
                self.servers[index].partial.remove(&name);
                self.network.close(now, conn, 1);
            }
        }
        for op in std::mem::take(&mut output.links) {
            self.link_op(index, op);
        }
        let life = self.servers[index].life;
        for op in output.ops.drain(..) {
            let token = op.token().to_word();
            if let ringkeeper::io::Op::LogWrite { buf, bytes, .. } = &op {
                self.trace.bytes(&buf[..*bytes as usize]);
            }
            let (number, at) = self.servers[index].disk.begin(now, op);
            self.trace.event(now, &[4, index as u64, token, at], || {
                format!("s{}: disk op {number} until {at}", index + 1)
            });
            self.schedule(at, Event::DiskDone { server: index, life, op: number });
        }
        for read in std::mem::take(&mut output.log_reads) {
            let at = now + 100 + self.rng.waiting(2 * MS);
            self.schedule(at, Event::LogRead { server: index, life, read });
        }
        if let Some(reload) = output.reload.take() {
            self.reload(index, reload);
        }
        for change in std::mem::take(&mut output.configs) {
            self.keep_config(index, change);
        }
    }

    pub(super) fn disk_done(&mut self, index: usize, life: u64, op: u64) {
        if !self.is_of_life(index, life) {
            return;
        }
        let now = self.now;
        let server = &mut self.servers[index];
        let completion = server.disk.end(op);
        let read = server.clock.read(now.max(server.paused_until));
        let fine = completion.result.is_ok();
        let Some(replica) = &mut server.replica else { return };
        replica.handle_completion(read, completion);
        self.trace.event(now, &[5, index as u64, op, u64::from(fine)], || {
            format!("s{}: disk op {op} ends{}", index + 1, if fine { "" } else { " in failure" })
        });
        self.wake_server(index);
    }

    // ---- links and connections

    fn link_op(&mut self, index: usize, op: LinkOp) {
        let now = self.now;
        match op {
            LinkOp::Listen { on } => self.servers[index].listening = on,
            // The simulation does not check addresses.
            LinkOp::Members { .. } => {}
            LinkOp::Connect { link, port, server, to, timeout_ms } => {
                let life = self.servers[index].life;
                let until = now + timeout_ms * MS;
                let target = to.first().and_then(|to| server::index_of_host(&to.host));
                let attackers = to.first().and_then(|to| self.attackers_node(&to.host));
                self.trace.event(now, &[6, index as u64, u64::from(kind_of(port))], || {
                    format!("s{}: connects to s{server} ({port:?}) as {link:?}", index + 1)
                });
                // An unknown host is refused at once.
                let acceptor = target.filter(|target| *target < self.servers.len()).or(attackers);
                let opener = (index, life, 0);
                let conn = self.open(kind_of(port), opener, acceptor.unwrap_or(index), until);
                self.trace
                    .say(now, || format!("s{}: its {link:?} is connection {conn}", index + 1));
                self.servers[index].links.insert(link, (conn, 0));
                if acceptor.is_none() {
                    self.network.refuse(now, conn, "unknown host");
                }
            }
            LinkOp::Send { link, bytes } => {
                let Some((conn, end)) = self.servers[index].links.get(&link).copied() else {
                    return;
                };
                self.trace.bytes(&bytes);
                self.network.send(now, conn, end, &bytes);
                self.schedule(now + 10, Event::Sent { conn, from: end });
            }
            LinkOp::Close { link } => {
                self.trace.say(now, || format!("s{}: closes {link:?}", index + 1));
                if let Some((conn, end)) = self.servers[index].links.remove(&link) {
                    self.network.close(now, conn, end);
                }
            }
        }
    }

    /// Opens a connection to a server.
    pub(super) fn open(
        &mut self,
        kind: u8,
        (node, life, name): (Node, u64, u64),
        server: usize,
        until: u64,
    ) -> ConnId {
        let opener = End { node, life, name, closed: false };
        let conn = self.network.open(kind, opener, server);
        let at = self.now + self.network.delay();
        self.schedule(at, Event::Knock { conn, until });
        conn
    }

    pub(super) fn knock(&mut self, conn: ConnId, until: u64) {
        let now = self.now;
        let Some(known) = self.network.get(conn) else { return };
        let (opener, index, kind) = (known.ends[0], known.ends[1].node, known.kind);
        if opener.closed {
            return self.network.abandon(conn);
        }
        if self.is_attackers(index, kind) {
            return self.knock_at_attacker(conn);
        }
        let unreachable = self.network.is_blocked(opener.node, index, kind)
            || self.network.is_blocked(index, opener.node, kind)
            || self.servers[index].state == State::Down { machine: true };
        if unreachable {
            let again = now + 200 * MS;
            if again < until {
                return self.schedule(again, Event::Knock { conn, until });
            }
            return self.network.refuse(now, conn, "connection timed out");
        }
        let server = &mut self.servers[index];
        let listens = match kind {
            CLIENT => server.replica.is_some(),
            kind => {
                let here = server::host(server.id);
                let is_it = |(port, at): &(Port, Endpoint)| {
                    kind_of(*port) == kind
                        && (at.host == here || at.host.is_empty() || at.host == "::")
                };
                server.replica.is_some() && server.listening.iter().any(is_it)
            }
        };
        if !listens {
            return self.network.refuse(now, conn, "connection refused");
        }
        if kind != CLIENT && self.is_handshake_refused(conn, opener.node, index) {
            return;
        }
        let server = &mut self.servers[index];
        server.accepted += 1;
        let number = server.accepted;
        let remote = server::address(opener.node, number);
        let read = server.clock.read(now.max(server.paused_until));
        let life = server.life;
        let may_be = self.may_be(opener.node);
        let server = &mut self.servers[index];
        let Some(replica) = &mut server.replica else { return };
        self.trace.event(now, &[7, index as u64, u64::from(kind), number], || {
            format!("s{}: accepts {conn} ({kind}) from node {}", index + 1, opener.node)
        });
        if kind == CLIENT {
            replica.handle_open(read, ConnectionId(number), remote);
            server.conns.insert(number, conn);
            self.network.accept(now, conn, life, number);
        } else {
            let link = LinkId::accepted(number);
            server.links.insert(link, (conn, 1));
            self.network.accept(now, conn, life, 0);
            let (port, may_be) = (port_of(kind), may_be.as_deref());
            replica.handle_link(read, LinkEvent::Accepted { link, port, remote, may_be });
        }
        self.wake_server(index);
    }

    pub(super) fn sent(&mut self, conn: ConnId, from: usize) {
        let Some(end) = self.network.get(conn).map(|known| known.ends[from]) else { return };
        let Some(index) = self.server_of(&end) else { return };
        let bytes = self.network.newly_sent(conn, from);
        if bytes == 0 || end.closed {
            return;
        }
        let Some(link) = self.link_of(index, conn) else { return };
        let read = self.read_clock(index);
        if let Some(replica) = &mut self.servers[index].replica {
            replica.handle_link(read, LinkEvent::Sent { link, bytes });
        }
        self.wake_server(index);
    }

    pub(super) fn read_clock(&self, index: usize) -> ringkeeper::time::Now {
        let server = &self.servers[index];
        server.clock.read(self.now.max(server.paused_until))
    }

    fn link_of(&self, index: usize, conn: ConnId) -> Option<LinkId> {
        let links = &self.servers[index].links;
        links.iter().find(|(_, (known, _))| *known == conn).map(|(link, _)| *link)
    }

    /// The server at an end, if its present process is the one that knows of the connection.
    fn server_of(&self, end: &End) -> Option<usize> {
        let server = self.servers.get(end.node)?;
        (server.life == end.life && server.replica.is_some()).then_some(end.node)
    }

    pub(super) fn arrival(&mut self, conn: ConnId, to: usize) {
        let now = self.now;
        let Some(known) = self.network.get(conn) else { return };
        let (end, kind) = (known.ends[to], known.kind);
        if self.arrival_at_attacker(conn, to) {
            return;
        }
        if end.node < self.servers.len() {
            let paused = self.servers[end.node].paused_until;
            if paused > now {
                return self.network.postpone(now, conn, to, paused);
            }
            if self.servers[end.node].state == (State::Down { machine: true }) {
                // The system of the other end sends it again until the machine is there.
                return self.network.postpone(now, conn, to, now + SECOND);
            }
        }
        let Some(parcel) = self.network.arrive(now, conn, to) else { return };
        if !matches!(parcel, Parcel::End(_)) {
            self.schedule(now + 10, Event::Sent { conn, from: 1 - to });
        }
        let knows =
            !end.closed && (end.node >= self.servers.len() || self.server_of(&end).is_some());
        if !knows {
            if parcel != Parcel::Established && !matches!(parcel, Parcel::End(_)) {
                self.network.reject(now, conn, to);
            }
            if matches!(parcel, Parcel::End(_)) {
                self.network.forget(conn, to);
            }
            return;
        }
        let length = match &parcel {
            Parcel::Bytes(bytes) => bytes.len() as u64,
            Parcel::Established | Parcel::End(_) => 0,
        };
        self.trace.event(now, &[8, conn, to as u64, length], || {
            let (from, to) = (1 - to, end.node);
            let what = match &parcel {
                Parcel::Established => "established".to_owned(),
                Parcel::Bytes(bytes) => format!("{} bytes", bytes.len()),
                Parcel::End(why) => format!("end: {why}"),
            };
            format!("node {to}: connection {conn} ({kind}) from its end {from}: {what}")
        });
        if end.node >= self.servers.len() {
            self.arrival_at_client(end.node - self.servers.len(), conn, &end, parcel);
        } else if kind == CLIENT {
            self.arrival_from_client(end.node, conn, end.name, parcel);
        } else {
            self.arrival_on_link(end.node, conn, to, parcel);
        }
    }

    fn arrival_on_link(&mut self, index: usize, conn: ConnId, to: usize, parcel: Parcel) {
        let Some(link) = self.link_of(index, conn) else { return };
        let read = self.read_clock(index);
        let peer = self.network.get(conn).map_or(index, |known| known.ends[1 - to].node);
        let server = &mut self.servers[index];
        let Some(replica) = &mut server.replica else { return };
        match parcel {
            Parcel::Established => {
                let remote = std::net::SocketAddr::new(server::address(peer, 0).ip(), QUORUM_PORT);
                replica.handle_link(read, LinkEvent::Connected { link, remote });
            }
            Parcel::Bytes(bytes) => {
                replica.handle_link(read, LinkEvent::Received { link, bytes: &bytes });
            }
            Parcel::End(reason) => {
                server.links.remove(&link);
                replica.handle_link(read, LinkEvent::Closed { link, reason });
                self.network.forget(conn, to);
            }
        }
        self.wake_server(index);
    }

    fn arrival_from_client(&mut self, index: usize, conn: ConnId, name: u64, parcel: Parcel) {
        let (now, read) = (self.now, self.read_clock(index));
        let server = &mut self.servers[index];
        let Some(replica) = &mut server.replica else { return };
        match parcel {
            Parcel::Established => (),
            Parcel::Bytes(bytes) => {
                let partial = server.partial.entry(name).or_default();
                partial.extend_from_slice(&bytes);
                let found = frame::split(partial, server::frame_bytes_max(&self.plan));
                if found.whole_bytes > 0 {
                    let frames: Vec<u8> = partial.drain(..found.whole_bytes).collect();
                    replica.handle_frames(read, ConnectionId(name), &frames);
                }
                if let Tail::Bad(length) = found.tail {
                    if u32::try_from(length).is_ok_and(|length| length <= server::FRAME_BYTES_MAX) {
                        let who = index + 1;
                        return self
                            .fail(format!("LONG: server {who} refused a frame of {length} bytes"));
                    }
                    self.trace.say(now, || format!("s{}: a frame of {length} bytes", index + 1));
                    server.conns.remove(&name);
                    server.partial.remove(&name);
                    replica.handle_close(read, ConnectionId(name));
                    self.network.close(now, conn, 1);
                }
            }
            Parcel::End(_) => {
                server.conns.remove(&name);
                server.partial.remove(&name);
                replica.handle_close(read, ConnectionId(name));
                self.network.forget(conn, 1);
            }
        }
        self.wake_server(index);
    }

    fn arrival_at_client(&mut self, index: usize, conn: ConnId, end: &End, parcel: Parcel) {
        let now = self.now;
        if self.clients[index].conn != Some(conn) || self.clients[index].connection != end.name {
            return;
        }
        let mut acts = Vec::new();
        let client = &mut self.clients[index];
        match parcel {
            Parcel::Established => client.established(now, &mut self.history, &mut acts),
            Parcel::Bytes(bytes) => {
                if let Err(what) = client.received(now, &bytes, &mut self.history, &mut acts) {
                    if !self.is_deceived() {
                        return self.fail(what);
                    }
                    // A client library gives up such a connection.
                    self.clients[index].abandon(now, &mut acts);
                }
            }
            Parcel::End(_) => {
                client.conn = None;
                client.ended(now);
                self.network.forget(conn, 0);
            }
        }
        self.client_acts(index, acts);
    }

    // ---- rarer operations

    pub(super) fn log_read(&mut self, index: usize, life: u64, read: LogRead) {
        if !self.is_of_life(index, life) {
            return;
        }
        let at = self.read_clock(index);
        let now = self.now;
        let server = &mut self.servers[index];
        let found = log_read_bytes_max(&server.disk, 33)
            .and_then(|bytes_max| read_txns(&server.disk, read.from, read.to, bytes_max));
        let txns = found.unwrap_or_default();
        let count = txns.as_ref().map(Vec::len);
        self.trace.event(now, &[9, index as u64, count.map_or(0, |count| count as u64)], || {
            format!("s{}: reads {count:?} from its log for a learner: {read:?}", index + 1)
        });
        let Some(replica) = &mut server.replica else { return };
        replica.handle_log_read(at, read.id, txns);
        self.wake_server(index);
    }

    fn reload(&mut self, index: usize, reload: Reload) {
        let now = self.now;
        let read = self.read_clock(index);
        let plan = self.plan.clone();
        let is_deceived = self.is_deceived();
        let server = &mut self.servers[index];
        assert!(!server.disk.is_busy(), "no op is in flight when files are cut");
        let skipped = planted::is(plan.planted, PlantedBug::TruncSkipped);
        let breaks = self.phase == Phase::Chaos
            && plan.wild.broken_cuts_per_mille > 0
            && self.rng.per_mille(plan.wild.broken_cuts_per_mille);
        if breaks {
            server.disk.cut_recovery_after(Some(self.rng.below(4)));
        }
        server.disk.reads.take_failed();
        let cut = || {
            let cut = if reload.database { truncate } else { discard_after };
            if skipped { Ok(()) } else { cut(&server.disk, reload.truncate).map(drop) }
        };
        let result = cut();
        let result = Reloaded::carry_out(
            reload,
            || result,
            || server.recover(&plan).map_err(|error| error.to_string()),
        );
        server.disk.cut_recovery_after(None);
        let disk = &mut server.disk;
        disk.erred |= result.is_err() && (breaks || disk.trouble.full || disk.reads.take_failed());
        self.trace.event(now, &[10, index as u64, reload.truncate.0.cast_unsigned()], || {
            format!(
                "s{}: {reload:?}, {}",
                index + 1,
                match &result {
                    Ok(Reloaded::Cut(_)) => "done",
                    Ok(Reloaded::NotHeld) => "is not held",
                    Err(_) => "failed",
                }
            )
        });
        if breaks && result.is_err() && self.rng.one_in(2) {
            return self.crash_and_restart(index, true, SECOND);
        }
        if let Ok(Reloaded::Cut(Some(recovered))) = &result
            && self.served.is_none()
            && !is_deceived
        {
            let recorded = recovered.database.take_recorded();
            let id = server.id;
            let before = recorded.last().map_or(recovered.zxid, |last| last.txn.zxid());
            if let Err(what) = self.chain.applied(id, now, recorded) {
                return self.fail(what);
            }
            self.servers[index].seen = self.chain.resolve(before);
        }
        if let Some(replica) = &mut self.servers[index].replica {
            replica.handle_reloaded(read, result);
        }
        self.wake_server(index);
    }
}
