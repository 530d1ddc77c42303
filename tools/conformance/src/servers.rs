//! The servers of one side of a comparison: a server alone, or an ensemble with each client on another member.

use std::thread;
use std::time::{Duration, Instant};

use std::net::SocketAddr;

use ringkeeper::id::Zxid;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper_rawclient::{Body, Session};
use ringkeeper_testkit::{Config, Ensemble, PeerType, Program, Server};

const MEMBERS: usize = 3;
const START_ATTEMPTS_MAX: usize = 3;
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The timeout of the sessions through which this waits for members.
const HERALD_TIMEOUT_MS: i32 = 100_000;

/// The arrangement of a plan's servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One server.
    Alone,
    /// Three, the last of which leads.
    Ensemble,
}

/// The servers of one side.
#[derive(Debug)]
pub enum Servers {
    /// One server.
    Alone(Box<Server>),
    /// Three, and a session with each.
    Ensemble {
        /// The servers; the last one leads.
        ensemble: Box<Ensemble>,
        /// See [`Servers::bring_up_to_date`].
        heralds: Vec<Session>,
    },
}

impl Servers {
    /// Starts them.
    pub fn start(program: &Program, config: &Config, shape: Shape) -> Self {
        match shape {
            Shape::Alone => {
                Servers::Alone(Box::new(Server::start(program.clone(), config.clone())))
            }
            Shape::Ensemble => Self::start_ensemble(program, config),
        }
    }

    /// Starts an ensemble that its last server leads in the first epoch, so that the zxids of both sides are equal.
    fn start_ensemble(program: &Program, config: &Config) -> Self {
        for _ in 0..START_ATTEMPTS_MAX {
            let members = vec![(program.clone(), PeerType::Participant); MEMBERS];
            let mut ensemble = Ensemble::prepare(&members, config.clone());
            ensemble.spawn(MEMBERS);
            let begun = Instant::now();
            while ensemble.server(MEMBERS).try_four_letter("srvr").is_err() {
                assert!(begun.elapsed() < ANSWER_LIMIT, "a server does not answer");
                thread::sleep(Duration::from_millis(10));
            }
            ensemble.start_all();
            let first_epoch = ensemble.server(MEMBERS).four_letter("srvr").contains("Zxid: 0x1");
            if ensemble.leader() == MEMBERS && first_epoch {
                let heralds = ensemble.addresses().into_iter().map(|server| {
                    let mut herald =
                        Session::open(server, HERALD_TIMEOUT_MS).expect("a session with a member");
                    // A server that enforces authentication answers nothing without it.
                    herald.authenticate("digest", b"herald:herald").expect("digest is accepted");
                    herald
                });
                let heralds = heralds.collect();
                return Servers::Ensemble { ensemble: Box::new(ensemble), heralds };
            }
        }
        panic!("in {START_ATTEMPTS_MAX} attempts server {MEMBERS} did not lead the first epoch");
    }

    /// The program.
    pub fn name(&self) -> &'static str {
        match self {
            Servers::Alone(server) => server.program().name(),
            Servers::Ensemble { ensemble, .. } => ensemble.server(1).program().name(),
        }
    }

    /// Where the clients of a slot connect.
    pub fn address(&self, slot: usize) -> SocketAddr {
        match self {
            Servers::Alone(server) => server.socket_addr(),
            Servers::Ensemble { ensemble, .. } => ensemble.address(1 + slot % MEMBERS),
        }
    }

    /// Waits until the member of a slot has every acknowledged write, of which `newest` is the last, so that its
    /// answers do not depend on its speed.
    ///
    /// # Panics
    /// If the member does not get there.
    // ZooKeeper: on a busy machine, a follower answers a sync before it has applied the last write.
    pub fn bring_up_to_date(&mut self, slot: usize, newest: Zxid) {
        let Servers::Ensemble { heralds, .. } = self else { return };
        let begun = Instant::now();
        loop {
            let synced = heralds[slot % MEMBERS].call(OpCode::Sync, &Body::path("/"));
            if synced.expect("sync is answered").header.zxid >= newest {
                return;
            }
            assert!(begun.elapsed() < ANSWER_LIMIT, "a member does not get {newest}");
        }
    }

    /// Sends a four-letter word to each server, and gives the answers.
    pub fn four_letter(&self, word: &str) -> Vec<String> {
        match self {
            Servers::Alone(server) => vec![server.four_letter(word)],
            Servers::Ensemble { ensemble, .. } => {
                ensemble.ids().map(|id| ensemble.server(id).four_letter(word)).collect()
            }
        }
    }

    /// Kills the server with SIGKILL and starts it again.
    ///
    /// # Panics
    /// For an ensemble, whose plans have no restarts: the epochs would not be the same on both sides.
    pub fn begin_restart(&mut self) {
        let Servers::Alone(server) = self else { panic!("a plan for ensembles has no restart") };
        server.kill();
        server.spawn();
    }

    /// Waits for the end of [`Servers::begin_restart`].
    ///
    /// # Panics
    /// If it does not come back.
    pub fn finish_restart(&mut self) {
        let Servers::Alone(server) = self else { panic!("a plan for ensembles has no restart") };
        if let Err(why) = server.wait_serving() {
            panic!("{} did not restart: {why}\n{}", server.program().name(), server.log_tail(60));
        }
    }
}
