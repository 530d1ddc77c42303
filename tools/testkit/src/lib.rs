//! Real servers for tests: ringkeeper itself, Apache ZooKeeper 3.9 and Apache ZooKeeper 3.8. A test starts, asks,
//! kills and restarts all of them in the same way, so that one test can run against any of them, or hand one folder
//! from one to the next.
//!
//! ```no_run
//! use ringkeeper_testkit::{Config, Program, Server};
//!
//! let config = Config::new().line("tickTime=500").flag("-Dzookeeper.extendedTypesEnabled=true");
//! let mut server = Server::zookeeper_3_9(config);          // returns when it answers `srvr`
//! let address = server.address();                          // 127.0.0.1:PORT
//! assert!(server.four_letter("mntr").contains("zk_version"));
//! server.kill();                                           // kill -9
//! server.restart();                                        // same folder, same port
//! server.kill();
//! server.restart_as(Program::ZooKeeper38);                 // same folder, another server
//! ```
//!
//! In a test of the root package, ringkeeper is
//! `Server::ringkeeper(env!("CARGO_BIN_EXE_ringkeeper"), config)`.
//!
//! Several of them as an ensemble, of any programs:
//!
//! ```no_run
//! use std::time::Duration;
//! use ringkeeper_testkit::{Config, Ensemble, Program, PeerType};
//!
//! let programs = [Program::ZooKeeper38, Program::ZooKeeper39, Program::ZooKeeper39];
//! let mut ensemble = Ensemble::start(&programs, Config::new());   // returns when all of them serve
//! let leader = ensemble.leader();                                 // 1, 2 or 3
//! ensemble.kill(leader);
//! let next = ensemble.wait_leader(Duration::from_secs(30));
//! ensemble.restart_as(leader, Program::ZooKeeper38);
//! ```
//!
//! This is test code: a function that cannot go on panics with a message that says what to do. Dropping a `Server`
//! kills its process and removes its folder; so does the death of the test process itself. If the test is failing at
//! the drop, the end of the server's log is printed.

mod config;
mod ensemble;
mod environment;
mod guarded;
mod network;
mod ports;
mod server;
mod watchdog;

pub use config::Config;
pub use ensemble::{Ensemble, Mode, PeerType};
pub use environment::{Environment, KAZOO_SUITE, PINS};
pub use guarded::Guarded;
pub use network::{Link, Namespace, Network};
pub use ports::free_port;
pub use server::{Program, Server};
pub use watchdog::Watchdog;
