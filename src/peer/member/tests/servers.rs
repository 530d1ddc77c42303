//! All servers of a test, their time, and what must hold for them.

use crate::id::SessionId;
use std::collections::BTreeMap;

use super::network::{Arrival, End, Network};
use super::server::{Server, Turn};
use super::*;
use crate::proto::txn::SetDataTxn;
use crate::sasl::between::PeerLogins;

pub(super) struct Ensemble {
    pub seed: u64,
    pub now: u64,
    pub random: Random,
    pub network: Network,
    pub servers: Vec<Server>,
    pub options: PeerOptions,
    pub config: Config,
    /// The configuration in the file of each server that does not start with `config`.
    pub own_configs: BTreeMap<usize, Config>,
    /// How each server logs in at the others, and lets them log in, if it does.
    pub logins: BTreeMap<usize, PeerLogins>,
    /// The server that led in each epoch.
    leaders: BTreeMap<Epoch, usize>,
    /// What leaders that served have committed.
    pub committed: BTreeMap<Zxid, i32>,
    content: i32,
    pub events: u64,
    /// The servers that have led, in their order.
    pub reigns: Vec<usize>,
}

impl Ensemble {
    /// An ensemble of `voters` voters, and of `observers` observers with the ids after theirs.
    pub fn new(seed: u64, voters: usize, observers: usize) -> Ensemble {
        let line = |at: usize| {
            let role = if at <= voters { "participant" } else { "observer" };
            format!("server.{at}=h{at}:2888:3888:{role}\n")
        };
        let count = voters + observers;
        let text: String = (1..=count).map(line).collect();
        let config = Config::parse(&format!("{text}version=0")).unwrap();
        let options = PeerOptions {
            tick_ms: 100,
            init_limit: 10,
            sync_limit: 5,
            commit_log_txns: 8,
            election_connect_ms: 500,
            ..PeerOptions::default()
        };
        let servers = (1..=count).map(|id| Server::new(ServerId(i64::try_from(id).unwrap())));
        Ensemble {
            seed,
            now: 1_000_000,
            random: Random::new(seed),
            network: Network::default(),
            servers: servers.collect(),
            options,
            config,
            own_configs: BTreeMap::new(),
            logins: BTreeMap::new(),
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
            content: 0,
            events: 0,
            reigns: Vec::new(),
        }
    }

    pub fn start_all(&mut self) {
        (0..self.servers.len()).for_each(|at| self.start(at));
    }

    pub fn start(&mut self, at: usize) {
        let seed = self.random.number();
        let config = self.own_configs.get(&at).unwrap_or(&self.config);
        let logins = self.logins.get(&at).cloned();
        let options = PeerOptions { logins, ..self.options.clone() };
        self.servers[at].start(self.now, &options, config, seed);
        self.take_turn(at);
    }

    pub fn crash(&mut self, at: usize) {
        self.servers[at].crash(&mut self.random);
        self.network.close_all(self.now, &mut self.random, at);
    }

    /// Forgets what was committed: a quorum has lost its data.
    pub fn forget_history(&mut self) {
        self.leaders.clear();
        self.committed.clear();
    }

    /// Runs for this many milliseconds.
    pub fn run_ms(&mut self, ms: u64) {
        let until = self.now + ms * 1000;
        while self.step(until) {}
        self.now = until;
    }

    /// Runs until something is true, for at most `ms` milliseconds.
    pub fn run_until(&mut self, ms: u64, what: &str, is_true: impl Fn(&Ensemble) -> bool) {
        let until = self.now + ms * 1000;
        while !is_true(self) {
            if !self.step(until) {
                let seed = self.seed;
                let servers: Vec<String> = self.servers.iter().map(describe).collect();
                panic!("seed={seed}: after {ms} ms not {what}:\n{}", servers.join("\n"));
            }
        }
    }

    /// Handles one event, if there is one before `until`.
    fn step(&mut self, until: u64) -> bool {
        let mut next = (self.network.next_at().unwrap_or(u64::MAX), usize::MAX, 0);
        for (at, server) in self.servers.iter().enumerate() {
            let Some(member) = &server.member else { continue };
            let timeout = member.next_timeout().map_or(u64::MAX, |timeout| timeout.0);
            let read = server.log_reads.iter().map(|(due, _)| *due).min().unwrap_or(u64::MAX);
            next = next.min((server.step_at, at, 1)).min((timeout, at, 2)).min((read, at, 3));
        }
        let (due, at, what) = next;
        if due > until {
            return false;
        }
        self.now = self.now.max(due);
        self.events += 1;
        assert!(self.events < 3_000_000, "seed={}: it never ends", self.seed);
        match (at, what) {
            (usize::MAX, _) => {
                if let Some((end, arrival)) = self.network.pop(self.now) {
                    self.arrive(end, &arrival);
                }
                return true;
            }
            (_, 1) => {
                let ops = self.servers[at].step(self.now, &mut self.random);
                self.carry_out(at, ops);
            }
            (_, 2) => {
                let member = self.servers[at].member.as_mut().unwrap();
                member.handle_timeout(MonoUs(self.now));
                let next = member.next_timeout();
                assert!(
                    next.is_none_or(|next| next.0 > self.now),
                    "seed={}: server {} is woken for nothing at {next:?}: {:?}",
                    self.seed,
                    at + 1,
                    member.role
                );
            }
            _ => {
                let reads = &mut self.servers[at].log_reads;
                let first = reads.iter().position(|(due, _)| *due <= self.now).unwrap();
                let (_, read) = reads.remove(first);
                self.servers[at].answer_log_read(self.now, &mut self.random, read);
            }
        }
        self.take_turn(at);
        true
    }

    fn arrive(&mut self, end: End, arrival: &Arrival) {
        let server = &mut self.servers[end.server];
        let Some(member) = server.member.as_mut().filter(|_| server.life == end.life) else {
            return;
        };
        let link = end.link;
        let remote = "127.0.0.1:1".parse().unwrap();
        let event = match arrival {
            Arrival::Accepted(port) => {
                LinkEvent::Accepted { link, port: *port, remote, may_be: None }
            }
            Arrival::Connected => LinkEvent::Connected { link, remote },
            Arrival::Bytes(bytes) => LinkEvent::Received { link, bytes },
            Arrival::Sent(bytes) => LinkEvent::Sent { link, bytes: *bytes },
            Arrival::Closed(reason) => LinkEvent::Closed { link, reason },
        };
        member.handle_link(MonoUs(self.now), event);
        self.take_turn(end.server);
    }

    pub fn take_turn(&mut self, at: usize) {
        let turn = self.servers[at].turn(self.now, &mut self.random);
        let Turn { ops, committed, standings } = turn;
        for (zxid, content, standing) in committed {
            if let Standing::Leading { .. } = standing {
                self.committed.insert(zxid, content);
            }
            if standing != Standing::Looking {
                let known = self.committed.get(&zxid);
                let (seed, id) = (self.seed, at + 1);
                let what = "which no leader has committed";
                assert_eq!(
                    known,
                    Some(&content),
                    "seed={seed}: server {id} applies {zxid}, {what}"
                );
            }
        }
        for standing in standings {
            self.check_standing(at, standing);
        }
        self.carry_out(at, ops);
    }

    fn carry_out(&mut self, at: usize, ops: Vec<LinkOp>) {
        let life = self.servers[at].life;
        for op in ops {
            match op {
                LinkOp::Listen { .. } | LinkOp::Members { .. } => {}
                LinkOp::Connect { link, port, to, timeout_ms, .. } => {
                    let Endpoint { host, .. } = &to[0];
                    let to: usize = host[1..].parse().unwrap();
                    let server = &self.servers[to - 1];
                    let to = server.member.as_ref().map(|_| (to - 1, server.life));
                    let from = End { server: at, life, link };
                    self.network.connect(self.now, &mut self.random, from, to, port, timeout_ms);
                }
                LinkOp::Send { link, bytes } => {
                    let from = End { server: at, life, link };
                    self.network.send(self.now, &mut self.random, from, &bytes);
                }
                LinkOp::Close { link } => {
                    let end = End { server: at, life, link };
                    self.network.close(self.now, &mut self.random, end);
                }
            }
        }
    }

    /// A leader that begins to serve has everything that was committed; any other server has a part of it.
    fn check_standing(&mut self, at: usize, standing: Standing) {
        let applied = &self.servers[at].state.applied;
        let seed = self.seed;
        match standing {
            Standing::Looking => {}
            Standing::Leading { epoch } => {
                let other = self.leaders.insert(epoch, at);
                assert_eq!(other, None, "seed={seed}: {epoch} has two leaders");
                self.reigns.push(at);
                for (zxid, content) in &self.committed {
                    assert!(
                        applied.contains(&(*zxid, *content)),
                        "seed={seed}: server {} leads epoch {epoch} without {zxid}, which was \
                         committed",
                        at + 1
                    );
                }
                // Its whole history is now committed.
                self.committed.extend(applied.iter().copied());
                self.check_prefix(at);
            }
            Standing::Following { .. } | Standing::Observing { .. } => self.check_prefix(at),
        }
    }

    fn check_prefix(&self, at: usize) {
        let state = &self.servers[at].state;
        let known = self.committed.range(..=state.last).map(|(zxid, content)| (*zxid, *content));
        let known: Vec<(Zxid, i32)> = known.collect();
        let missing: Vec<_> = known.iter().filter(|one| !state.applied.contains(one)).collect();
        let others: Vec<_> = state.applied.iter().filter(|one| !known.contains(one)).collect();
        assert!(
            missing.is_empty() && others.is_empty() && known.len() == state.applied.len(),
            "seed={}: server {} at {} serves something else than what was committed: without \
             {missing:?}, but with {others:?}",
            self.seed,
            at + 1,
            state.last
        );
    }

    pub fn check_all(&self) {
        for at in (0..self.servers.len()).filter(|at| self.servers[*at].serves()) {
            self.check_prefix(at);
        }
    }

    pub fn leader(&self) -> Option<usize> {
        (0..self.servers.len()).find(|at| self.servers[*at].leads())
    }

    /// A client writes at every server that leads, or thinks so.
    pub fn write(&mut self) -> usize {
        let mut writes = 0;
        for at in 0..self.servers.len() {
            let server = &mut self.servers[at];
            if !server.leads() {
                continue;
            }
            let member = server.member.as_mut().unwrap();
            let Some(zxid) = member.zxid_after(server.proposed) else { continue };
            self.content += 1;
            server.proposed = zxid;
            member.propose(txn(zxid, self.content));
            writes += 1;
            self.take_turn(at);
        }
        writes
    }

    /// The leader proposes another configuration.
    pub fn reconfigure(&mut self, lines: &str) {
        let at = self.leader().expect("somebody leads");
        let server = &mut self.servers[at];
        let member = server.member.as_mut().unwrap();
        let zxid = member.zxid_after(server.proposed).unwrap();
        server.proposed = zxid;
        let config = Config::parse(&format!("{lines}version={:x}", zxid.0)).unwrap();
        assert!(member.is_quorum_synced(&config), "a quorum of it is there");
        let header =
            TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::Reconfig };
        let text = config.to_text();
        let body = SetDataTxn {
            path: Some("/zookeeper/config"),
            data: Some(text.as_bytes()),
            version: -1,
        };
        member.propose_reconfig(Txn::new(header, &TxnBody::SetData(body), None), config);
        self.take_turn(at);
    }

    /// Ends all faults. In the end every server serves, and all have the same state.
    pub fn recover(&mut self) {
        self.network.heal(self.now);
        for at in 0..self.servers.len() {
            if self.servers[at].member.is_none() {
                self.start(at);
            }
        }
        self.run_until(30_000, "served by all", |it| it.servers.iter().all(Server::serves));
        for _ in 0..3 {
            self.run_ms(5);
            self.write();
        }
        self.run_until(30_000, "equal", |it| {
            let applied = &it.servers[0].state.applied;
            !applied.is_empty()
                && it.servers.iter().all(|s| s.serves() && s.state.applied == *applied)
                && applied.len() == it.committed.len()
                && it.servers.iter().all(|s| s.member.as_ref().unwrap().accepted() <= s.state.last)
        });
        self.check_all();
    }
}

fn describe(server: &Server) -> String {
    let role = server.member.as_ref().map(|member| format!("{:?}", member.facts()));
    format!(
        "{}: {:?} last {} epochs {:?} steps {} {}",
        server.id,
        server.standing,
        server.state.last,
        server.disk.epochs,
        server.steps.len(),
        role.unwrap_or_default()
    )
}
