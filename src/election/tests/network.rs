//! A network for elections: links with delays, servers that stop and start, time that jumps.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::election::{Elected, Election, ElectionOptions, Outcome};
use crate::id::{Epoch, ServerId, Zxid};
use crate::link::{LinkEvent, LinkId, LinkIds, LinkOp, Port};
use crate::proto::quorum::ServerState;
use crate::quorum::Config;
use crate::quorum::PeerOptions;
use crate::random::Random;
use crate::time::MonoUs;

/// The history on a server's disk, which outlives its process.
#[derive(Clone, Copy)]
pub(super) struct History {
    pub(super) zxid: Zxid,
    pub(super) epoch: Epoch,
}

pub(super) struct Server {
    pub(super) election: Election,
    pub(super) history: History,
    pub(super) elected: Option<Elected>,
    pub(super) elected_at: MonoUs,
    pub(super) outcomes: Vec<Outcome>,
}

/// The two ends of a connection.
struct Wire {
    ends: [(ServerId, LinkId); 2],
}

enum Event {
    Connect { from: ServerId, link: LinkId, to: ServerId, patience_ms: u64 },
    Accepted { to: ServerId, link: LinkId },
    Connected { to: ServerId, link: LinkId },
    Bytes { to: ServerId, link: LinkId, bytes: Vec<u8> },
    Sent { to: ServerId, link: LinkId, bytes: u64 },
    Closed { to: ServerId, link: LinkId },
}

/// The whole network. Server N listens at host `sN`.
pub(super) struct Network {
    pub(super) now: MonoUs,
    pub(super) servers: BTreeMap<ServerId, Server>,
    pub(super) seed: Random,
    /// The longest delay of a message is 1.5 times as long; in microseconds.
    pub(super) delay_us: u64,
    /// If set, one of this many connections is lost.
    pub(super) lossy: Option<u64>,
    /// Pairs between which nothing passes, smaller id first.
    pub(super) cut: Vec<(i64, i64)>,
    /// Connections opened so far.
    pub(super) opened: u64,
    events: BinaryHeap<Reverse<(MonoUs, u64)>>,
    what: BTreeMap<u64, Event>,
    wires: BTreeMap<(ServerId, LinkId), (ServerId, LinkId)>,
    /// The time of the last arrival at each end of a wire. Later bytes come after it.
    last: BTreeMap<(ServerId, LinkId), MonoUs>,
    next: u64,
    accepted: u64,
}

const REMOTE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3888);

pub(super) fn config_of(servers: i64) -> String {
    (1..=servers).map(|i| format!("server.{i}=s{i}:2888:3888\n")).collect()
}

pub(super) fn options(me: i64) -> ElectionOptions {
    ElectionOptions::new(&PeerOptions { me: ServerId(me), ..PeerOptions::default() })
}

impl Network {
    pub(super) fn new(seed: u64) -> Network {
        Network {
            now: MonoUs(1_000_000),
            servers: BTreeMap::new(),
            seed: Random::new(seed),
            delay_us: 1000,
            lossy: None,
            cut: Vec::new(),
            opened: 0,
            events: BinaryHeap::new(),
            what: BTreeMap::new(),
            wires: BTreeMap::new(),
            last: BTreeMap::new(),
            next: 0,
            accepted: 0,
        }
    }

    /// Starts a server's process, which looks for a leader.
    pub(super) fn start(&mut self, options: ElectionOptions, config: &str, history: History) {
        let (me, config) = (options.me, Rc::new(Config::parse(config).unwrap()));
        let ids = LinkIds::default();
        // Numbers of links must differ between two lives of a server.
        while ids.next() < LinkId::opened(self.next) {}
        let election = Election::new(options, config, ids);
        let (elected, elected_at, outcomes) = (None, self.now, Vec::new());
        self.servers.insert(me, Server { election, history, elected, elected_at, outcomes });
        self.look(me);
    }

    /// Ends a server's process at once, whose kernel closes its connections.
    pub(super) fn kill(&mut self, id: i64) {
        let id = ServerId(id);
        self.servers.remove(&id);
        let mine: Vec<_> = self.wires.keys().filter(|(at, _)| *at == id).copied().collect();
        for end in mine {
            self.close_wire(end);
        }
    }

    pub(super) fn look(&mut self, id: ServerId) {
        let now = self.now;
        let server = self.servers.get_mut(&id).unwrap();
        server.elected = None;
        let History { zxid, epoch } = server.history;
        server.election.look(now, zxid, epoch);
        self.take(id);
    }

    pub(super) fn server(&mut self, id: i64) -> &mut Server {
        self.servers.get_mut(&ServerId(id)).unwrap()
    }

    pub(super) fn leaders(&self) -> Vec<Option<i64>> {
        self.servers.values().map(|s| s.elected.as_ref().map(|e| e.leader.0)).collect()
    }

    /// The leader, if all running servers have the same one, and it runs too.
    pub(super) fn agreed(&self) -> Option<ServerId> {
        let mut leaders = self.servers.values().map(|s| s.elected.as_ref().map(|e| e.leader));
        let first = leaders.next()??;
        (leaders.all(|leader| leader == Some(first)) && self.servers.contains_key(&first))
            .then_some(first)
    }

    /// Runs until `done`, for at most `limit_ms`. Returns the milliseconds that it took, or `None`.
    pub(super) fn run_until(
        &mut self,
        limit_ms: u64,
        mut done: impl FnMut(&Network) -> bool,
    ) -> Option<u64> {
        let begun = self.now;
        let limit = begun.plus_ms(limit_ms);
        while !done(self) {
            let timeout = self.servers.values().filter_map(|s| s.election.next_timeout()).min();
            let event = self.events.peek().map(|Reverse((at, _))| *at);
            let at = timeout.into_iter().chain(event).min().unwrap_or(limit);
            if at >= limit {
                self.now = limit;
                return done(self).then_some(limit_ms);
            }
            self.now = self.now.max(at);
            if event.is_some_and(|event| event <= self.now) {
                let Reverse((_, number)) = self.events.pop().unwrap();
                let event = self.what.remove(&number).unwrap();
                self.deliver(event);
            } else {
                let ids: Vec<ServerId> = self.servers.keys().copied().collect();
                for id in ids {
                    let now = self.now;
                    let server = self.servers.get_mut(&id).unwrap();
                    if server.election.next_timeout().is_some_and(|at| at <= now) {
                        server.election.handle_timeout(now);
                        let next = server.election.next_timeout();
                        assert!(next.is_none_or(|at| at > now), "{id} wants to be woken at once");
                        self.take(id);
                    }
                }
            }
        }
        Some(self.now.since_us(begun) / 1000)
    }

    pub(super) fn run(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    fn is_cut(&self, a: ServerId, b: ServerId) -> bool {
        self.cut.contains(&(a.0.min(b.0), a.0.max(b.0)))
    }

    fn at(&mut self, at: MonoUs, event: Event) {
        self.next += 1;
        self.events.push(Reverse((at, self.next)));
        self.what.insert(self.next, event);
    }

    fn soon(&mut self) -> MonoUs {
        let delay = self.delay_us / 2 + self.seed.below(self.delay_us.max(1));
        MonoUs(self.now.0 + delay + 1)
    }

    /// A time after all that is in flight to this end of a wire.
    fn behind(&mut self, end: (ServerId, LinkId)) -> MonoUs {
        let soon = self.soon();
        let last = self.last.entry(end).or_default();
        *last = soon.max(MonoUs(last.0 + 1));
        *last
    }

    fn close_wire(&mut self, end: (ServerId, LinkId)) {
        let Some(other) = self.wires.remove(&end) else { return };
        if !self.is_cut(end.0, other.0) {
            let at = self.behind(other);
            self.at(at, Event::Closed { to: other.0, link: other.1 });
        }
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::Connect { from, link, to, patience_ms } => {
                if !self.servers.contains_key(&from) {
                    return;
                }
                let lost = self.lossy.is_some_and(|n| self.seed.below(n) == 0);
                if lost || self.is_cut(from, to) {
                    let at = self.now.plus_ms(patience_ms);
                    self.at(at, Event::Closed { to: from, link });
                } else if self.servers.contains_key(&to) {
                    self.accepted += 1;
                    let accepted = LinkId::accepted(self.accepted);
                    let Wire { ends: [here, there] } =
                        Wire { ends: [(from, link), (to, accepted)] };
                    self.wires.insert(here, there);
                    self.wires.insert(there, here);
                    self.at(self.now, Event::Accepted { to, link: accepted });
                    let at = self.behind(here);
                    self.at(at, Event::Connected { to: from, link });
                } else {
                    let at = self.behind((from, link));
                    self.at(at, Event::Closed { to: from, link });
                }
            }
            Event::Accepted { to, link } => {
                self.tell(
                    to,
                    LinkEvent::Accepted {
                        link,
                        port: Port::Election,
                        remote: REMOTE,
                        may_be: None,
                    },
                );
            }
            Event::Connected { to, link } => {
                if self.wires.contains_key(&(to, link)) {
                    self.tell(to, LinkEvent::Connected { link, remote: REMOTE });
                }
            }
            Event::Bytes { to, link, bytes } => {
                let Some(from) = self.wires.get(&(to, link)) else { return };
                if self.is_cut(to, from.0) {
                    return;
                }
                // The bytes arrive in two pieces, as a network may deliver them.
                let cut = usize::try_from(self.seed.below(bytes.len() as u64 + 1)).unwrap();
                for piece in [&bytes[..cut], &bytes[cut..]] {
                    if !piece.is_empty() {
                        self.tell(to, LinkEvent::Received { link, bytes: piece });
                    }
                }
            }
            Event::Sent { to, link, bytes } => {
                if self.wires.contains_key(&(to, link)) {
                    self.tell(to, LinkEvent::Sent { link, bytes });
                }
            }
            Event::Closed { to, link } => {
                self.wires.remove(&(to, link));
                self.tell(to, LinkEvent::Closed { link, reason: "closed by the test" });
            }
        }
    }

    fn tell(&mut self, to: ServerId, event: LinkEvent<'_>) {
        let now = self.now;
        let Some(server) = self.servers.get_mut(&to) else { return };
        server.election.handle_link(now, event);
        self.take(to);
    }

    fn take(&mut self, id: ServerId) {
        let mut ops = Vec::new();
        let server = self.servers.get_mut(&id).unwrap();
        let outcome = server.election.take(&mut ops);
        match &outcome {
            Some(Outcome::Elected(elected)) => {
                let state = match elected.leader {
                    leader if leader == id => ServerState::Leading,
                    _ => ServerState::Following,
                };
                server.election.settle(state);
                server.elected = Some(elected.clone());
                server.elected_at = self.now;
            }
            Some(Outcome::NewerConfig(config)) => {
                server.election.set_config(config.clone(), config.clone());
            }
            Some(Outcome::Deserted(_)) | None => {}
        }
        let looks_again = match &outcome {
            Some(Outcome::NewerConfig(_) | Outcome::Deserted(_)) => true,
            Some(Outcome::Elected(_)) | None => false,
        };
        server.outcomes.extend(outcome);
        for op in ops {
            self.perform(id, op);
        }
        if looks_again {
            self.look(id);
        }
    }

    fn perform(&mut self, id: ServerId, op: LinkOp) {
        match op {
            LinkOp::Listen { .. } | LinkOp::Members { .. } => panic!("an election does not listen"),
            LinkOp::Connect { link, port, to, timeout_ms, .. } => {
                assert_eq!(port, Port::Election);
                self.opened += 1;
                let to = ServerId(to[0].host[1..].parse().unwrap());
                let at = self.soon();
                self.at(at, Event::Connect { from: id, link, to, patience_ms: timeout_ms });
            }
            LinkOp::Send { link, bytes } => {
                let other = *self.wires.get(&(id, link)).expect("sends on what is open");
                let at = self.behind(other);
                let (length, bytes) = (bytes.len() as u64, bytes.to_vec());
                self.at(at, Event::Bytes { to: other.0, link: other.1, bytes });
                let at = self.soon();
                self.at(at, Event::Sent { to: id, link, bytes: length });
            }
            LinkOp::Close { link } => self.close_wire((id, link)),
        }
    }
}
