//! Several servers that form one ensemble, each of any program and role, on ports that stay the same.
//!
//! The id of a server, 1 to N, is the one in its `myid`. [`Ensemble::server_mut`] gives one [`Server`] with all its
//! methods; the methods here concern several servers, or wait for a role.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::network::Network;
use crate::ports::free_port;
use crate::server::{Program, Server, TAIL_LINES};

/// Long, because several Java machines may be starting on two cores at once.
const SERVE_TIMEOUT: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// The lines of every member beside those of a single server.
const MEMBER_DEFAULTS: [&str; 2] = ["initLimit=20", "syncLimit=8"];

/// A server's role in its ensemble, as in `server.N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerType {
    /// Votes.
    Participant,
    /// Does not vote.
    Observer,
}

/// A server's mode, as it reports it in `srvr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// `leader`
    Leader,
    /// `follower`
    Follower,
    /// `observer`
    Observer,
    /// `standalone`
    Standalone,
    /// `read-only`
    ReadOnly,
}

impl PeerType {
    /// As in `server.N`.
    pub fn name(self) -> &'static str {
        match self {
            PeerType::Participant => "participant",
            PeerType::Observer => "observer",
        }
    }
}

/// The addresses at which one member listens.
#[derive(Debug, Clone, Copy)]
struct Place {
    host: Ipv4Addr,
    quorum: u16,
    election: u16,
    client: u16,
    role: PeerType,
}

/// N servers. All are killed when it is dropped; if the test is failing at that moment, the end of each log is printed.
#[derive(Debug)]
pub struct Ensemble {
    config: Config,
    places: Vec<Place>,
    servers: Vec<Server>,
}

impl Ensemble {
    /// Starts participants; returns when all of them serve.
    ///
    /// # Panics
    /// If one of them does not, with the end of all logs.
    pub fn start(programs: &[Program], config: Config) -> Self {
        Self::launch(programs, config).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Like [`Ensemble::start`], for a caller that can handle a failure.
    ///
    /// # Errors
    /// A server does not serve in time; the text has the end of all logs.
    pub fn launch(programs: &[Program], config: Config) -> Result<Self, String> {
        let members: Vec<_> =
            programs.iter().map(|program| (program.clone(), PeerType::Participant)).collect();
        let mut ensemble = Self::prepare(&members, config);
        ensemble.servers.iter_mut().for_each(Server::spawn);
        for id in ensemble.ids() {
            ensemble.await_mode(id, SERVE_TIMEOUT, |mode| mode.is_some())?;
        }
        Ok(ensemble)
    }

    /// Folders, ports and configuration only: nothing runs.
    pub fn prepare(members: &[(Program, PeerType)], config: Config) -> Self {
        let hosts = vec![Ipv4Addr::LOCALHOST; members.len()];
        Self::place(members, config, &hosts, |config, _| config)
    }

    /// Prepares each server in a host of its own, in a network that the test controls. Server 1 is in the first
    /// host. The calling thread must be in a namespace of the network, see [`Network::enter`].
    pub fn prepare_in(network: &Network, members: &[(Program, PeerType)], config: Config) -> Self {
        let hosts: Vec<_> = (0..members.len()).map(|host| network.address(host)).collect();
        Self::place(members, config, &hosts, |config, host| {
            config.host(network.address(host)).namespace(network.namespace(host))
        })
    }

    fn place(
        members: &[(Program, PeerType)],
        config: Config,
        hosts: &[Ipv4Addr],
        placed: impl Fn(Config, usize) -> Config,
    ) -> Self {
        let defaults = MEMBER_DEFAULTS.iter().filter(|line| {
            let (key, _) = line.split_once('=').expect("a line");
            !config.has_line(key)
        });
        let config = defaults.fold(config.clone(), |config, line| config.line(line));
        let places: Vec<Place> = members
            .iter()
            .zip(hosts)
            .map(|((_, role), host)| Place {
                host: *host,
                quorum: free_port(),
                election: free_port(),
                client: free_port(),
                role: *role,
            })
            .collect();
        let mut servers = Vec::new();
        for (at, (program, _)) in members.iter().enumerate() {
            let own = placed(Self::config_of(&config, &places, at), at);
            let server = Server::prepare(program.clone(), own);
            fs::write(server.data_dir().join("myid"), format!("{}\n", at + 1)).expect("myid");
            servers.push(server);
        }
        Ensemble { config, places, servers }
    }

    fn config_of(config: &Config, places: &[Place], at: usize) -> Config {
        let mut own = config.clone().port(places[at].client);
        for (other, place) in places.iter().enumerate() {
            own = own.line(&format!("server.{}={}", other + 1, place.text()));
        }
        if places[at].role == PeerType::Observer {
            own = own.line("peerType=observer");
        }
        own
    }

    /// How many servers it has.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// False: an ensemble has servers.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// The ids, 1 to N.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        1..=self.servers.len()
    }

    /// Starts the servers that do not run, and waits until all servers serve.
    pub fn start_all(&mut self) {
        for id in self.ids() {
            if !self.server_mut(id).is_running() {
                self.server_mut(id).spawn();
            }
        }
        for id in self.ids() {
            self.wait_serving(id);
        }
    }

    /// Kills a server if it runs, and starts it; returns when it serves, so there must be a quorum with it.
    pub fn restart(&mut self, id: usize) {
        self.server_mut(id).spawn();
        self.wait_serving(id);
    }

    /// Starts a server again as another program: the folder changes hands.
    pub fn restart_as(&mut self, id: usize, program: Program) {
        self.server_mut(id).kill();
        self.server_mut(id).become_program(program);
        self.restart(id);
    }

    /// Starts a server and does not wait.
    pub fn spawn(&mut self, id: usize) {
        self.server_mut(id).spawn();
    }

    /// kill -9.
    pub fn kill(&mut self, id: usize) {
        self.server_mut(id).kill();
    }

    /// kill -9 of all servers.
    pub fn kill_all(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }

    /// SIGSTOP.
    pub fn pause(&self, id: usize) {
        self.server(id).pause();
    }

    /// SIGCONT.
    pub fn resume(&self, id: usize) {
        self.server(id).resume();
    }

    /// Waits until a server that was spawned serves clients.
    ///
    /// # Panics
    /// If it ends, or does not serve in time, with the end of all logs.
    pub fn wait_serving(&mut self, id: usize) {
        self.wait_mode(id, SERVE_TIMEOUT, |mode| mode.is_some());
    }

    /// Waits until a server's mode satisfies the condition; the mode is `None` if the server does not serve.
    ///
    /// # Panics
    /// If it ends, or the time is over, with the end of all logs.
    pub fn wait_mode(
        &mut self,
        id: usize,
        limit: Duration,
        wanted: impl Fn(Option<Mode>) -> bool,
    ) -> Option<Mode> {
        self.await_mode(id, limit, wanted).unwrap_or_else(|why| panic!("{why}"))
    }

    fn await_mode(
        &mut self,
        id: usize,
        limit: Duration,
        wanted: impl Fn(Option<Mode>) -> bool,
    ) -> Result<Option<Mode>, String> {
        let begun = Instant::now();
        loop {
            let mode = self.mode(id);
            if wanted(mode) {
                return Ok(mode);
            }
            if !self.server_mut(id).is_running() {
                return Err(format!("server {id} ended\n{}", self.tails(TAIL_LINES)));
            }
            if begun.elapsed() >= limit {
                let tails = self.tails(TAIL_LINES);
                return Err(format!("server {id} is {mode:?} after {limit:?}\n{tails}"));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// The mode that a server reports; `None` if it does not serve, or does not run.
    pub fn mode(&self, id: usize) -> Option<Mode> {
        let answer = self.server(id).try_four_letter("srvr").ok()?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "))?;
        match mode.trim() {
            "leader" => Some(Mode::Leader),
            "follower" => Some(Mode::Follower),
            "observer" => Some(Mode::Observer),
            "standalone" => Some(Mode::Standalone),
            "read-only" => Some(Mode::ReadOnly),
            other => panic!("server {id} says Mode: {other}"),
        }
    }

    /// The leader; waits for one for at most a minute and a half.
    pub fn leader(&mut self) -> usize {
        self.wait_leader(SERVE_TIMEOUT)
    }

    /// Waits until a server says that it leads.
    ///
    /// # Panics
    /// If the time is over, with the end of all logs.
    pub fn wait_leader(&mut self, limit: Duration) -> usize {
        self.wait_leader_among(&self.ids().collect::<Vec<_>>(), limit)
    }

    /// Waits for a leader among some of the servers: a paused server would not answer.
    pub fn wait_leader_among(&mut self, ids: &[usize], limit: Duration) -> usize {
        self.find_leader_among(ids, limit).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Like [`Ensemble::leader`], for a caller that can handle a failure.
    ///
    /// # Errors
    /// No server says within a minute and a half that it leads; the text has the end of all logs.
    pub fn find_leader(&mut self) -> Result<usize, String> {
        self.find_leader_among(&self.ids().collect::<Vec<_>>(), SERVE_TIMEOUT)
    }

    fn find_leader_among(&mut self, ids: &[usize], limit: Duration) -> Result<usize, String> {
        let begun = Instant::now();
        loop {
            for id in ids {
                if self.server_mut(*id).is_running() && self.mode(*id) == Some(Mode::Leader) {
                    return Ok(*id);
                }
            }
            if begun.elapsed() >= limit {
                return Err(format!("no leader in {limit:?}\n{}", self.tails(TAIL_LINES)));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// The servers that follow now, observers not included, in order of their ids.
    pub fn followers(&self) -> Vec<usize> {
        self.ids().filter(|id| self.mode(*id) == Some(Mode::Follower)).collect()
    }

    /// One server.
    pub fn server(&self, id: usize) -> &Server {
        &self.servers[id - 1]
    }

    /// One server.
    pub fn server_mut(&mut self, id: usize) -> &mut Server {
        &mut self.servers[id - 1]
    }

    /// The address for a server's clients.
    pub fn address(&self, id: usize) -> SocketAddr {
        self.server(id).socket_addr()
    }

    /// The addresses for clients, in order of the ids.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::socket_addr).collect()
    }

    /// The text behind `server.N=`: `host:quorum:election:role;client`.
    pub fn server_line(&self, id: usize) -> String {
        self.places[id - 1].text()
    }

    /// Whether the server takes part in elections, that is, listens at its election address.
    pub fn takes_part(&self, id: usize) -> bool {
        let line = self.server_line(id);
        let mut parts = line.split(':');
        let (host, port) = (parts.next(), parts.nth(1).and_then(|port| port.parse().ok()));
        let (host, port): (&str, u16) = host.zip(port).expect("host:quorum:election");
        std::net::TcpStream::connect((host, port)).is_ok()
    }

    /// A value of `mntr`, with or without the `zk_` before its name; `None` if the server has no such line.
    pub fn mntr(&self, id: usize, name: &str) -> Option<String> {
        let answer = self.server(id).four_letter("mntr");
        answer.lines().find_map(|line| {
            let (key, value) = line.split_once('\t')?;
            let same = key == name || key.strip_prefix("zk_") == Some(name);
            same.then(|| value.trim().to_owned())
        })
    }

    /// The digests in the answer to `hash`, by zxid: a server lists all recent ones and some older ones.
    pub fn digests(&self, id: usize) -> BTreeMap<u64, String> {
        let answer = self.server(id).four_letter("hash");
        answer
            .lines()
            .filter_map(|line| {
                let (zxid, digest) = line.split_once(": ")?;
                let zxid = zxid.trim().trim_start_matches("0x");
                Some((u64::from_str_radix(zxid, 16).ok()?, digest.trim().to_owned()))
            })
            .collect()
    }

    /// Changes the lines and flags of all servers for their next start.
    pub fn reconfigure_all(&mut self, change: impl Fn(Config) -> Config) {
        self.config = change(self.config.clone());
        for server in &mut self.servers {
            let config = change(server.config().clone());
            server.set_config(config);
        }
    }

    /// Changes the lines and flags of one server for its next start.
    pub fn reconfigure(&mut self, id: usize, change: impl FnOnce(Config) -> Config) {
        let server = self.server_mut(id);
        let config = change(server.config().clone());
        server.set_config(config);
    }

    /// The ends of all logs.
    pub fn tails(&self, lines: usize) -> String {
        let mut text = String::new();
        for (at, server) in self.servers.iter().enumerate() {
            text += &format!(
                "server {} ({}):\n{}",
                at + 1,
                server.program().name(),
                server.log_tail(lines)
            );
        }
        text
    }
}

impl Place {
    fn text(&self) -> String {
        let Place { host, quorum, election, client, role } = self;
        format!("{host}:{quorum}:{election}:{};{host}:{client}", role.name())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::Standalone => "standalone",
            Mode::ReadOnly => "read-only",
        })
    }
}
