//! The operator, who changes the running ensemble as the manual says. He starts a new server with the present
//! members and the server itself in its configuration, and then asks for the change through a client. He stops a
//! server that a change has removed when the others no longer need it.
//!
//! He looks at files and at what servers report about themselves. If his request is refused, or lost with the client
//! or the leader, he tries something else.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ringkeeper::id::{ServerId, Zxid};
use ringkeeper::quorum::{Config, PeerType};
use ringkeeper::zab::ConfigChange;

use super::config_files::PowerCut;
use super::faults::Fault;
use super::history::Request;
use super::plan::{MS, SECOND};
use super::server::{self, Server, State, server_id};
use super::world::{Event, Phase, World};

/// The time that a new server has to become a member.
const JOINING: u64 = 20 * SECOND;
/// Time between two looks at the ensemble.
const TIDYING: u64 = SECOND;
/// The most voters of an ensemble.
const VOTERS_MAX: usize = 7;

impl World {
    // ---- what is known

    /// The newest configuration with which any server works, but for those that went alone.
    pub(super) fn newest_config(&self) -> Rc<Config> {
        let servers = self.servers.iter().filter(|server| !self.went_alone(server));
        let newest = servers.max_by_key(|server| server.config.version);
        newest.expect("there is a server").config.clone()
    }

    /// Whether a server has left the ensemble for a configuration of which the others know nothing.
    ///
    /// 1. A leader activates the proposed configuration in its files, whose transaction is in no log. It is not a
    ///    member of that configuration.
    /// 2. It stops, and so do the others, before they activate the configuration.
    /// 3. The others elect a server that does not have the configuration in its files, and go on without it.
    ///
    /// Only the operator can bring the server back.
    // ZooKeeper: so with its servers, whose elections do not compare proposed configurations either.
    fn went_alone(&self, server: &Server) -> bool {
        server.state == State::Out
            && self.chain.is_in_files_alone(Zxid(server.config.version))
            && !self.is_settled(&server.config)
    }

    /// Whether a server's own configuration says that it is a member.
    pub(super) fn is_member(&self, index: usize) -> bool {
        self.servers[index].config.members.contains_key(&server_id(index))
    }

    /// The members of the newest active configuration, and those of changes on their way. A change of which only a
    /// stopped server has heard is not on its way: it may be lost with its leader.
    fn needed(&self) -> BTreeSet<ServerId> {
        let newest = self.newest_config();
        let servers = self.servers.iter().filter(|server| server.state != State::Out);
        let next = servers.filter_map(|server| server.next.as_ref());
        let next = next.filter(|next| next.version > newest.version);
        next.chain([&newest]).flat_map(|config| config.members.keys().copied()).collect()
    }

    /// Whether a quorum of the configuration's voters works with it.
    fn is_settled(&self, config: &Config) -> bool {
        let knows = |id: &ServerId| {
            let known = self.servers.iter().find(|server| server.id == *id);
            known.is_some_and(|server| server.config.version == config.version)
        };
        config.voters().filter(knows).count() > config.voters().count() / 2
    }

    /// Whether every member of the newest configuration works with it, in its role, and no other server runs.
    pub(super) fn is_together(&self) -> bool {
        let newest = self.newest_config();
        self.servers.iter().filter(|server| server.broken.is_none()).all(|server| {
            let Some(member) = newest.members.get(&server.id) else {
                return server.state == State::Out;
            };
            let Some(replica) = &server.replica else { return false };
            let is_in_role = match replica.mode() {
                "standalone" | "leader" | "follower" => member.role == PeerType::Participant,
                "observer" => member.role == PeerType::Observer,
                _ => false,
            };
            is_in_role && server.config.version == newest.version
        })
    }

    // ---- files

    /// A server writes its configuration down (`config::dynamic::Keeper`).
    pub(super) fn keep_config(&mut self, index: usize, change: ConfigChange) {
        if !self.servers[index].is_running() {
            // The power went while it wrote the change before this one.
            return;
        }
        let now = self.now;
        let server = &mut self.servers[index];
        let (config, is_active) = match change {
            ConfigChange::Proposed(config) => (config, false),
            ConfigChange::Active(config) => (config, true),
        };
        let version = config.version.cast_unsigned();
        self.trace.event(now, &[11, index as u64, version, u64::from(is_active)], || {
            let what = if is_active { "active" } else { "proposed" };
            format!("s{}: configuration {version:x} is {what}", index + 1)
        });
        let change = match is_active {
            true => ConfigChange::Active(config.clone()),
            false => ConfigChange::Proposed(config.clone()),
        };
        if !is_active {
            server.next = Some(config);
            return self.write_config(index, &change);
        }
        if config.version <= server.config.version {
            return;
        }
        if server.next.as_ref().is_some_and(|next| next.version <= config.version) {
            server.next = None;
        }
        server.config = config.clone();
        let id = server.id;
        match self.chain.configured(id, Zxid(config.version), config.to_text()) {
            Ok(is_first) => self.stats.configs += u64::from(is_first),
            Err(what) => return self.fail(what),
        }
        self.write_config(index, &change);
    }

    /// Writes the files as the real server does; sometimes the power fails in the middle.
    fn write_config(&mut self, index: usize, change: &ConfigChange) {
        let wild = &self.plan.wild;
        if !wild.config_files {
            return;
        }
        let cuts = self.phase == Phase::Chaos && self.rng.per_mille(wild.config_cuts_per_mille);
        let cut = cuts.then(|| PowerCut {
            steps: self.rng.below(8),
            part_per_mille: self.rng.below(1001),
            renamed: self.rng.one_in(2),
        });
        let server = &mut self.servers[index];
        let before = server.config_files.look().map(|(config, _)| config.version);
        let whole = server.config_files.keep(change, cut);
        match (before, server.config_files.look()) {
            (Ok(old), Ok((config, next))) => {
                let is_one = [old, server.config.version].contains(&config.version);
                // Without a dynamic file, the server ignores a proposed configuration, as ZooKeeper does.
                let is_next = config.version == 0
                    || next.as_ref().map(|next| next.version)
                        == server.next.as_ref().map(|next| next.version);
                let is_kept = config.version == server.config.version && is_next;
                if !is_one || (whole && !is_kept) {
                    let id = server.id;
                    return self.fail(format!(
                        "server {id} works with configuration {:x}, and its files say {:x}",
                        self.servers[index].config.version, config.version
                    ));
                }
                if !whole {
                    (server.config, server.next) = (Rc::new(config), next.map(Rc::new));
                }
            }
            (Err(what), _) | (_, Err(what)) => {
                let id = server.id;
                return self.fail(format!("the configuration files of server {id}: {what}"));
            }
        }
        if !whole {
            // Only a configuration that the server's next process finds can become active without a transaction.
            let next = self.servers[index].next.as_ref().map(|next| next.version);
            if let ConfigChange::Proposed(config) = change
                && next == Some(config.version)
            {
                self.chain.may_lack(Zxid(config.version));
            }
            self.crash_and_restart(index, true, SECOND);
        }
    }

    // ---- changes

    /// Decides on a change, and starts the servers that are to join.
    pub(super) fn prepare_change(&mut self) {
        if self.change.is_some() {
            return;
        }
        let newest = self.newest_config();
        let members: Vec<usize> = self.indices(|id| newest.members.contains_key(&id));
        let voters: Vec<usize> = self.indices(|id| newest.is_voter(id));
        let outside: Vec<usize> = self.indices(|id| !newest.members.contains_key(&id));
        let role = if self.rng.one_in(3) { PeerType::Observer } else { PeerType::Participant };
        let what = self.rng.below(10);
        let change = match what {
            0..3 if !outside.is_empty() && voters.len() < VOTERS_MAX => {
                let index = *self.rng.pick(&outside);
                Change { joining: vec![(index, role)], ..Change::default() }
            }
            0..6 if members.len() > 2 => {
                let leader = self.leader().filter(|leader| members.contains(leader));
                let leader = leader.filter(|_| self.rng.one_in(3));
                let index = leader.unwrap_or_else(|| *self.rng.pick(&members));
                Change { leaving: vec![index], ..Change::default() }
            }
            6..8 => {
                let index = *self.rng.pick(&members);
                Change { joining: vec![(index, role)], ..Change::default() }
            }
            8 => self.whole_ensemble(),
            // A mistake: the change leaves no member, or too few.
            _ => Change { leaving: members.clone(), ..Change::default() },
        };
        for (index, role) in change.joining.iter().chain(&change.members) {
            if outside.contains(index) {
                self.start_to_join(*index, *role, &newest);
            }
        }
        let version = if self.rng.one_in(4) { newest.version } else { -1 };
        self.change = Some(change.request(version));
        let at = self.now + 300 * MS + self.rng.waiting(2 * SECOND);
        self.schedule(at, Event::Fault(Fault::Ask));
    }

    fn indices(&self, is_wanted: impl Fn(ServerId) -> bool) -> Vec<usize> {
        (0..self.servers.len()).filter(|index| is_wanted(server_id(*index))).collect()
    }

    /// A change that names all members of the new ensemble at once.
    fn whole_ensemble(&mut self) -> Change {
        let mut members = Vec::new();
        for index in 0..self.servers.len() {
            // The first three keep it going.
            let is_in = members.len() < 3 || self.rng.one_in(2);
            if is_in {
                let votes = members.len() < 3 || self.rng.one_in(2);
                members
                    .push((index, if votes { PeerType::Participant } else { PeerType::Observer }));
            }
        }
        Change { members, ..Change::default() }
    }

    fn start_to_join(&mut self, index: usize, role: PeerType, newest: &Config) {
        let now = self.now;
        let server = &mut self.servers[index];
        server.joining_until = now + JOINING;
        if server.state != State::Out {
            return;
        }
        // A configuration as an operator writes it by hand: without a version, so that the ensemble's own is newer.
        let mut members = newest.members.clone();
        members.insert(server.id, server::member(server.id, role));
        server.give_config(Rc::new(Config { members, ..Config::default() }));
        server.state = State::Down { machine: false };
        self.schedule(now + 50 * MS, Event::Start(index));
    }

    /// Asks for the prepared change, through a client that is connected.
    pub(super) fn ask_for_change(&mut self) {
        let Some(request) = self.change.take() else { return };
        let ready: Vec<usize> =
            (0..self.clients.len()).filter(|index| self.clients[*index].is_ready()).collect();
        if self.phase != Phase::Chaos || ready.is_empty() {
            return;
        }
        let index = *self.rng.pick(&ready);
        let now = self.now;
        let mut acts = Vec::new();
        self.clients[index].ask_for(now, request, &mut self.history, &mut acts);
        self.client_acts(index, acts);
    }

    // ---- order

    /// Plans the next look at the ensemble.
    pub(super) fn plan_tidying(&mut self) {
        let at = self.now + TIDYING;
        self.schedule(at, Event::Fault(Fault::Tidy));
    }

    /// Stops servers that are no longer members, and starts members that are down.
    pub(super) fn tidy(&mut self) {
        self.plan_tidying();
        let newest = self.newest_config();
        let is_settled = self.is_settled(&newest);
        let needed = self.needed();
        let leads = self.leader().is_some_and(|leader| {
            let leader = &self.servers[leader];
            leader.config.version == newest.version && leader.seen > Zxid(newest.version)
        });
        for index in 0..self.servers.len() {
            let (id, now) = (server_id(index), self.now);
            let is_needed = needed.contains(&id) || self.servers[index].joining_until > now;
            if self.servers[index].is_running() && is_settled && !is_needed {
                self.crash(index, false);
                self.servers[index].state = State::Out;
            } else if self.servers[index].state == State::Out && needed.contains(&id) {
                self.give_config(index, &newest);
            } else if self.phase != Phase::Chaos && leads && self.is_left_behind(index, &newest) {
                self.crash(index, false);
                self.give_config(index, &newest);
            }
        }
    }

    /// Whether a member has not heard of the present ensemble and cannot find it alone: all members that it knows
    /// may be gone.
    fn is_left_behind(&self, index: usize, newest: &Config) -> bool {
        let server = &self.servers[index];
        let is_old = server.config.version != newest.version;
        let seeks = server.replica.as_ref().is_some_and(|replica| {
            !matches!(replica.mode(), "leader" | "follower" | "observer" | "standalone")
        });
        let patience = 30 * SECOND;
        newest.members.contains_key(&server.id)
            && is_old
            && seeks
            && self.now > self.phase_since + patience
    }

    fn give_config(&mut self, index: usize, newest: &Rc<Config>) {
        let now = self.now;
        let server = &mut self.servers[index];
        let id = server.id;
        server.give_config(if newest.members.contains_key(&id) {
            newest.clone()
        } else {
            let mut members = newest.members.clone();
            members.insert(id, server::member(id, PeerType::Participant));
            Rc::new(Config { members, ..Config::default() })
        });
        server.joining_until = now + JOINING;
        server.state = State::Down { machine: false };
        self.trace.event(now, &[25, index as u64], || {
            format!("s{}: the operator gives it the newest configuration", index + 1)
        });
        self.schedule(now + 50 * MS, Event::Start(index));
    }
}

/// A change; the numbers are places in the list of servers.
#[derive(Debug, Default)]
struct Change {
    joining: Vec<(usize, PeerType)>,
    leaving: Vec<usize>,
    members: Vec<(usize, PeerType)>,
}

impl Change {
    fn request(&self, version: i64) -> Request {
        let lines = |members: &[(usize, PeerType)]| {
            let members: BTreeMap<_, _> = members
                .iter()
                .map(|(index, role)| (server_id(*index), server::member(server_id(*index), *role)))
                .collect();
            let text = Config { members, ..Config::default() }.to_text();
            let lines: Vec<&str> =
                text.lines().filter(|line| line.starts_with("server.")).collect();
            (!lines.is_empty()).then(|| lines.join(","))
        };
        let leaving: Vec<String> =
            self.leaving.iter().map(|index| server_id(*index).to_string()).collect();
        Request::Reconfig {
            joining: lines(&self.joining),
            leaving: (!leaving.is_empty()).then(|| leaving.join(",")),
            members: lines(&self.members),
            version,
        }
    }
}
