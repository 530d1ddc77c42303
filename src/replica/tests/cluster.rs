//! Several replicas in one process, with a network between them that loses only what a test tells it to lose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::harness::{Client, Harness, Reply, new_session};
use crate::id::{ConnectionId, ServerId, SessionId};
use crate::link::{Endpoint, LinkEvent, LinkId, LinkOp, Port};
use crate::proto::OpCode;
use crate::proto::connect::ConnectRequest;
use crate::proto::request::RequestBody;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::replica::ReplicaOptions;

/// The step in which the time of a cluster moves on.
const STEP_MS: u64 = 10;
/// How many steps a test may wait for anything: 30 seconds.
const STEPS_MAX: usize = 3000;

enum Event {
    Accepted { link: LinkId, port: Port },
    Connected { link: LinkId },
    Received { link: LinkId, bytes: Vec<u8> },
    Sent { link: LinkId, bytes: u64 },
    Closed { link: LinkId },
}

/// What equal servers have in common: the digest, the number of nodes, and the sessions with their timeouts.
type State = (i64, usize, Vec<(SessionId, i32)>);

/// Servers 1 to N.
pub struct Cluster {
    pub servers: BTreeMap<i64, Harness>,
    pub down: BTreeSet<i64>,
    /// Servers that no other server reaches.
    pub cut_off: BTreeSet<i64>,
    /// Servers whose disks do nothing for now.
    pub stalled: BTreeSet<i64>,
    listening: BTreeMap<Endpoint, (i64, Port)>,
    /// The other end of each link.
    ends: BTreeMap<(i64, LinkId), (i64, LinkId)>,
    next_accepted: u64,
    events: VecDeque<(i64, Event)>,
}

pub fn config_text(voters: i64, observers: i64) -> String {
    let line = |id: i64| {
        let role = if id <= voters { "participant" } else { "observer" };
        format!("server.{id}=127.0.0.1:{}:{}:{role}\n", 2000 + id, 3000 + id)
    };
    (1..=voters + observers).map(line).collect()
}

impl Cluster {
    /// An ensemble that has elected a leader, and whose servers all serve.
    pub fn new(voters: i64) -> Cluster {
        Cluster::with(voters, 0, &ReplicaOptions::default(), &PeerOptions::default())
    }

    pub fn with(
        voters: i64,
        observers: i64,
        options: &ReplicaOptions,
        peer: &PeerOptions,
    ) -> Cluster {
        let mut cluster = Cluster::stopped(voters, observers, options, peer);
        cluster.until("every server serves", Cluster::all_serve);
        cluster
    }

    /// An ensemble whose servers have just been started.
    pub fn stopped(
        voters: i64,
        observers: i64,
        options: &ReplicaOptions,
        peer: &PeerOptions,
    ) -> Cluster {
        let config = Config::parse(&config_text(voters, observers)).unwrap();
        let servers = (1..=voters + observers).map(|id| {
            let me = ServerId(id);
            let options = ReplicaOptions { server_id: me, tick_ms: 1000, ..options.clone() };
            let peer = PeerOptions { me, tick_ms: 1000, ..peer.clone() };
            (id, Harness::member(options, peer, config.clone()))
        });
        Cluster {
            servers: servers.collect(),
            down: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            stalled: BTreeSet::new(),
            listening: BTreeMap::new(),
            ends: BTreeMap::new(),
            next_accepted: 0,
            events: VecDeque::new(),
        }
    }

    pub fn server(&mut self, id: i64) -> &mut Harness {
        self.servers.get_mut(&id).unwrap()
    }

    pub fn is_up(&self, id: i64) -> bool {
        !self.down.contains(&id)
    }

    pub fn all_serve(&self) -> bool {
        self.servers
            .iter()
            .all(|(id, server)| !self.is_up(*id) || server.replica.service.ensemble.serves())
    }

    pub fn leader(&self) -> Option<i64> {
        let leads = |id: &&i64| self.is_up(**id) && self.servers[*id].replica.mode() == "leader";
        self.servers.keys().find(leads).copied()
    }

    pub fn follower(&self) -> i64 {
        let leader = self.leader();
        *self.servers.keys().find(|id| self.is_up(**id) && Some(**id) != leader).unwrap()
    }

    /// Lets time pass until `is_so`; `what` names it when that does not happen.
    pub fn until(&mut self, what: &str, is_so: impl Fn(&Cluster) -> bool) {
        for _ in 0..STEPS_MAX {
            self.quiet();
            if is_so(self) {
                return;
            }
            self.step();
        }
        let modes: Vec<_> = self.servers.values().map(|server| server.replica.mode()).collect();
        panic!("in vain: {what}: {modes:?}");
    }

    pub fn advance_ms(&mut self, ms: u64) {
        for _ in 0..ms / STEP_MS {
            self.step();
            self.quiet();
        }
    }

    fn step(&mut self) {
        for (id, server) in &mut self.servers {
            if !self.down.contains(id) {
                server.advance_ms(STEP_MS);
            } else {
                server.now.mono = server.now.mono.plus_ms(STEP_MS);
                server.now.wall.0 += i64::try_from(STEP_MS).unwrap();
            }
        }
    }

    /// Lets disks and network finish their work, while no time passes.
    pub fn quiet(&mut self) {
        loop {
            let ids: Vec<i64> = self.servers.keys().copied().collect();
            for id in ids {
                if self.is_up(id) {
                    let is_stalled = self.stalled.contains(&id);
                    let server = self.server(id);
                    if is_stalled {
                        server.turn();
                    } else {
                        server.settle();
                    }
                    assert!(server.fatal.is_none(), "server {id}: {:?}", server.fatal);
                }
                let links = std::mem::take(&mut self.server(id).links);
                if self.is_up(id) {
                    links.into_iter().for_each(|op| self.perform(id, op));
                }
            }
            let events = std::mem::take(&mut self.events);
            if events.is_empty() {
                return;
            }
            for (id, event) in events {
                if self.is_up(id) {
                    self.deliver(id, &event);
                }
            }
        }
    }

    fn perform(&mut self, id: i64, op: LinkOp) {
        match op {
            LinkOp::Listen { on } => {
                self.listening.retain(|_, (owner, _)| *owner != id);
                self.listening.extend(on.into_iter().map(|(port, at)| (at, (id, port))));
            }
            LinkOp::Members { .. } => {}
            LinkOp::Connect { link, to, .. } => {
                let found = to.iter().find_map(|at| self.listening.get(at)).copied();
                match found.filter(|(other, _)| self.reaches(id, *other)) {
                    Some((other, port)) => {
                        let accepted = LinkId::accepted(self.next_accepted);
                        self.next_accepted += 1;
                        self.ends.insert((id, link), (other, accepted));
                        self.ends.insert((other, accepted), (id, link));
                        self.events.push_back((other, Event::Accepted { link: accepted, port }));
                        self.events.push_back((id, Event::Connected { link }));
                    }
                    None => self.events.push_back((id, Event::Closed { link })),
                }
            }
            LinkOp::Send { link, bytes } => {
                let Some(&(other, far)) = self.ends.get(&(id, link)) else { return };
                let length = bytes.len() as u64;
                let event = Event::Received { link: far, bytes: bytes.to_vec() };
                self.events.push_back((other, event));
                self.events.push_back((id, Event::Sent { link, bytes: length }));
            }
            LinkOp::Close { link } => self.end(id, link),
        }
    }

    fn end(&mut self, id: i64, link: LinkId) {
        if let Some((other, far)) = self.ends.remove(&(id, link)) {
            self.ends.remove(&(other, far));
            self.events.push_back((other, Event::Closed { link: far }));
        }
    }

    fn reaches(&self, one: i64, other: i64) -> bool {
        let apart = self.cut_off.contains(&one) != self.cut_off.contains(&other);
        self.is_up(other) && !apart
    }

    fn deliver(&mut self, id: i64, event: &Event) {
        let remote: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let server = self.server(id);
        let now = server.now;
        let event = match event {
            Event::Accepted { link, port } => {
                LinkEvent::Accepted { link: *link, port: *port, remote, may_be: None }
            }
            Event::Connected { link } => LinkEvent::Connected { link: *link, remote },
            Event::Received { link, bytes } => LinkEvent::Received { link: *link, bytes },
            Event::Sent { link, bytes } => LinkEvent::Sent { link: *link, bytes: *bytes },
            Event::Closed { link } => LinkEvent::Closed { link: *link, reason: "closed" },
        };
        server.replica.handle_link(now, event);
    }

    /// Breaks the server's connections to the others, and allows no new ones.
    pub fn cut_off(&mut self, id: i64) {
        self.cut_off.insert(id);
        let apart = |ends: &(&(i64, LinkId), &(i64, LinkId))| (ends.0.0 == id) != (ends.1.0 == id);
        let broken: Vec<_> = self.ends.iter().filter(apart).map(|(near, _)| *near).collect();
        for (near, link) in broken {
            self.ends.remove(&(near, link));
            self.events.push_back((near, Event::Closed { link }));
        }
    }

    pub fn join(&mut self, id: i64) {
        self.cut_off.remove(&id);
    }

    /// Ends the server's process at once.
    pub fn kill(&mut self, id: i64) {
        self.down.insert(id);
        self.listening.retain(|_, (owner, _)| *owner != id);
        let its: Vec<_> = self.ends.keys().filter(|(owner, _)| *owner == id).copied().collect();
        for (_, link) in its {
            self.end(id, link);
        }
    }

    pub fn start(&mut self, id: i64) {
        self.down.remove(&id);
        self.server(id).crash();
    }

    // ---- clients

    pub fn connect(&mut self, id: i64) -> Client {
        let conn = self.server(id).open();
        self.server(id).send_connect(conn, new_session());
        self.finish_connect(id, conn)
    }

    pub fn reopen(&mut self, id: i64, client: &Client) -> Client {
        let conn = self.server(id).open();
        let request = ConnectRequest {
            session_id: client.session,
            password: Some(&client.password),
            ..new_session()
        };
        self.server(id).send_connect(conn, request);
        self.finish_connect(id, conn)
    }

    fn finish_connect(&mut self, id: i64, conn: ConnectionId) -> Client {
        for _ in 0..STEPS_MAX {
            self.quiet();
            if self.server(id).has_received(conn) {
                let response = self.server(id).connect_response(conn);
                assert_ne!(response.timeout_ms, 0, "the session was refused");
                let (session, password) = (response.session_id, response.password);
                return Client { conn, session, password };
            }
            self.step();
        }
        panic!("no answer to a connect request");
    }

    pub fn send(&mut self, id: i64, client: &Client, xid: i32, op: OpCode, body: &RequestBody<'_>) {
        self.server(id).send(client.conn, xid, op, body);
    }

    /// Sends a request and waits for its reply, the next frame that comes.
    pub fn call(
        &mut self,
        id: i64,
        client: &Client,
        xid: i32,
        op: OpCode,
        body: &RequestBody<'_>,
    ) -> Reply {
        self.send(id, client, xid, op, body);
        for _ in 0..STEPS_MAX {
            self.quiet();
            let mut replies = self.server(id).replies(client.conn);
            if !replies.is_empty() {
                assert_eq!(replies.len(), 1, "{replies:?}");
                return replies.remove(0);
            }
            assert!(!self.server(id).is_closed(client.conn), "the connection was closed");
            self.step();
        }
        panic!("no reply to {op:?}");
    }

    /// Waits until all servers that are up have the same state.
    pub fn settle_equal(&mut self) {
        self.until("all serve and have the same state", |cluster| {
            cluster.all_serve() && cluster.states().len() == 1
        });
    }

    fn states(&self) -> BTreeSet<State> {
        let up = self.servers.iter().filter(|(id, _)| self.is_up(**id));
        up.map(|(_, server)| {
            let database = server.replica.database();
            let sessions: Vec<_> = database.sessions().collect();
            (database.digest(), database.node_count(), sessions)
        })
        .collect()
    }
}
