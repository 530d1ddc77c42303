//! The programs that `compare`, `ab`, `failures` and `memory` start, alone or as ensembles, each as an operator would
//! run it: its own sizes of files and threads, Java's default collector and whole compiler, a heap that does not
//! starve it.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use ringkeeper_testkit::{Config, Ensemble, Environment, Program, Server, free_port};

use crate::engine::{Target, Tls};
use crate::header;
use crate::tls::Keys;

/// A program, by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Ringkeeper.
    Ringkeeper,
    /// Apache ZooKeeper 3.9.4.
    #[value(name = "zookeeper-3.9")]
    ZooKeeper39,
    /// Apache ZooKeeper 3.8.0, from Debian's package.
    #[value(name = "zookeeper-3.8")]
    ZooKeeper38,
}

/// A program that can be started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub peer: Peer,
    /// Its name in results, such as `zookeeper 3.9.4`.
    pub name: String,
    /// The commit that ringkeeper was built from, if it is known.
    pub commit: Option<String>,
    program: Program,
    lines: Vec<String>,
    flags: Vec<String>,
    /// The port for clients with TLS and their keys, if clients are to use it.
    tls: Option<(u16, Arc<Keys>)>,
}

/// A program that runs, as one server or several. The servers end, and their folders disappear, when the value is
/// dropped or this process dies.
#[derive(Debug)]
pub enum Running {
    /// One server.
    Alone(Box<Server>),
    /// Several that form an ensemble.
    Ensemble(Box<Ensemble>),
}

/// A request with 1 MiB of data, its path and its header must pass; ZooKeeper's default is one byte below 1 MiB.
const BUFFER_FLAG: &str = "-Djute.maxbuffer=4194304";

/// How long a server that serves clients without TLS may take until it takes connections with TLS.
const TLS_PATIENCE: Duration = Duration::from_secs(20);
const TLS_PAUSE: Duration = Duration::from_millis(20);

impl Launch {
    /// Finds the program. `binary` is the path of ringkeeper, and `heap` the size of a Java heap, such as `2g`.
    ///
    /// # Errors
    /// The program is not installed or not built; the text says what to do.
    pub fn find(peer: Peer, binary: &Path, heap: &str) -> Result<Launch, String> {
        let (name, program) = match peer {
            Peer::Ringkeeper => {
                // Servers run in folders of their own, so the path must not depend on this one.
                let binary = binary.canonicalize().map_err(|error| {
                    format!(
                        "{}: {error}; `cargo build --release` builds it, `--ringkeeper` names \
                         another place",
                        binary.display()
                    )
                })?;
                ("ringkeeper", Program::Ringkeeper(binary))
            }
            Peer::ZooKeeper39 => ("zookeeper 3.9.4", Program::ZooKeeper39),
            Peer::ZooKeeper38 => ("zookeeper 3.8.0", Program::ZooKeeper38),
        };
        if peer != Peer::Ringkeeper {
            let lacking = Environment::place().lacking();
            if !lacking.is_empty() {
                return Err(format!(
                    "{name} is not installed (`cargo xtask setup` does it): {} missing",
                    lacking.join(", ")
                ));
            }
        }
        let flags = [&format!("-Xmx{heap}")[..], BUFFER_FLAG, "-Dlog4j2.level=WARN"];
        Ok(Launch {
            peer,
            name: name.to_owned(),
            commit: None,
            program,
            lines: ["tickTime=2000", "maxClientCnxns=0"].map(str::to_owned).to_vec(),
            flags: flags.map(str::to_owned).to_vec(),
            tls: None,
        })
    }

    /// The program with the commit that it was built from.
    #[must_use]
    pub fn built_from(self, commit: Option<String>) -> Launch {
        Launch { commit, ..self }
    }

    /// Ringkeeper with these lines of configuration. A binary that lies in the working tree counts as built from the
    /// tree's commit; a `+` marks changes on top of the commit.
    #[must_use]
    pub fn of_working_tree(mut self, lines: &[String]) -> Launch {
        self.lines.extend_from_slice(lines);
        let root = header::git(&["rev-parse", "--show-toplevel"]);
        if let (Some(root), Program::Ringkeeper(binary)) = (root, &self.program)
            && binary.starts_with(root)
        {
            let plus = if header::is_dirty() { "+" } else { "" };
            self.commit = header::commit("HEAD").map(|commit| commit + plus);
        }
        self
    }

    /// Adds a line of zoo.cfg, which replaces an earlier one with the same key.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Launch {
        self.lines.push(line.into());
        self
    }

    /// Adds a flag, such as a Java property.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Launch {
        self.flags.push(flag.into());
        self
    }

    /// ZooKeeper on Netty, which its TLS needs; Ringkeeper as it is.
    #[must_use]
    pub fn with_netty(self) -> Launch {
        const NETTY: &str = "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory";
        if self.peer == Peer::Ringkeeper {
            return self;
        }
        Launch { name: format!("{}, Netty", self.name), ..self.line(NETTY) }
    }

    /// The program, alone, with a further port for clients with TLS, which sessions of workloads use.
    #[must_use]
    pub fn with_tls(mut self, keys: &Arc<Keys>) -> Launch {
        let port = free_port();
        self.lines.extend(keys.lines());
        self.lines.push(format!("secureClientPort={port}"));
        self.lines.push("secureClientPortAddress=127.0.0.1".to_owned());
        Launch { name: format!("{}, TLS", self.name), tls: Some((port, keys.clone())), ..self }
    }

    /// The keys of clients, if they use TLS.
    pub fn keys(&self) -> Option<&Keys> {
        self.tls.as_ref().map(|(_, keys)| &**keys)
    }

    /// The servers that were started as this says, as [`Running::target`], with TLS for sessions if they are to use it.
    ///
    /// # Errors
    /// The servers do not say who leads.
    pub fn target(&self, running: &mut Running) -> Result<Target, String> {
        let mut target = running.target()?;
        target.tls = self.tls.as_ref().map(|(port, keys)| Tls {
            servers: vec![SocketAddr::from(([127, 0, 0, 1], *port))],
            client: keys.client.clone(),
        });
        Ok(target)
    }

    /// The configuration of each server.
    pub fn config(&self) -> Config {
        let config = self.flags.iter().fold(Config::as_in_production(), |all, flag| all.flag(flag));
        self.lines.iter().fold(config, |all, line| all.line(line))
    }

    /// Starts `servers` servers on fresh folders below `folder`, and returns when they serve.
    ///
    /// # Errors
    /// The folders cannot be made, or a server does not start; the text then has the end of its log.
    pub fn start(&self, servers: usize, folder: &Path) -> Result<Running, String> {
        settle_in(folder)?;
        if servers == 1 {
            let server = Server::launch(self.program.clone(), self.config())?;
            self.wait_for_tls()?;
            return Ok(Running::Alone(Box::new(server)));
        }
        assert!(self.tls.is_none(), "a port for TLS is that of one server");
        let config = match self.peer {
            // The servers share the machine: bound to its first processor, they would starve each other.
            Peer::Ringkeeper => self.config().line("ringkeeper.pin=false"),
            Peer::ZooKeeper39 | Peer::ZooKeeper38 => self.config(),
        };
        let ensemble = Ensemble::launch(&vec![self.program.clone(); servers], config)?;
        Ok(Running::Ensemble(Box::new(ensemble)))
    }

    /// Waits until the port for TLS takes connections, which ZooKeeper opens after the other one.
    fn wait_for_tls(&self) -> Result<(), String> {
        let Some((port, _)) = &self.tls else { return Ok(()) };
        let begun = Instant::now();
        while let Err(error) = TcpStream::connect(("127.0.0.1", *port)) {
            if begun.elapsed() > TLS_PATIENCE {
                return Err(format!(
                    "{}: its port for TLS takes no connection: {error}",
                    self.name
                ));
            }
            thread::sleep(TLS_PAUSE);
        }
        Ok(())
    }

    /// Starts one server whose data lie in `data`; its other files lie below `folder`.
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub fn start_on(&self, data: &Path, folder: &Path) -> Result<Running, String> {
        settle_in(folder)?;
        let config = self.config().data_dir(&data.join("data"));
        Server::launch(self.program.clone(), config).map(|server| Running::Alone(Box::new(server)))
    }
}

impl Running {
    /// The servers as a target, the leader first. A workload removes its nodes at its end.
    ///
    /// # Errors
    /// The servers do not say who leads.
    pub fn target(&mut self) -> Result<Target, String> {
        Ok(Target::new(self.addresses()?))
    }

    /// The addresses for clients, the leader's first.
    ///
    /// # Errors
    /// The servers do not say who leads.
    pub fn addresses(&mut self) -> Result<Vec<SocketAddr>, String> {
        Ok(match self {
            Running::Alone(server) => vec![server.socket_addr()],
            Running::Ensemble(ensemble) => {
                let leader = ensemble.find_leader()?;
                let others = ensemble.ids().filter(|&id| id != leader);
                std::iter::once(leader).chain(others).map(|id| ensemble.address(id)).collect()
            }
        })
    }

    /// The processes of the servers.
    pub fn pids(&self) -> Vec<u32> {
        match self {
            Running::Alone(server) => vec![server.pid()],
            Running::Ensemble(ensemble) => {
                ensemble.ids().map(|id| ensemble.server(id).pid()).collect()
            }
        }
    }

    /// A folder that the servers write to.
    pub fn folder(&self) -> &Path {
        match self {
            Running::Alone(server) => server.data_dir(),
            Running::Ensemble(ensemble) => ensemble.server(1).data_dir(),
        }
    }

    /// The server that runs alone.
    ///
    /// # Errors
    /// Several run.
    pub fn server(&mut self) -> Result<&mut Server, String> {
        match self {
            Running::Alone(server) => Ok(server),
            Running::Ensemble(_) => Err("only a server alone can do this".to_owned()),
        }
    }

    /// The ensemble.
    ///
    /// # Errors
    /// One server runs alone.
    pub fn ensemble(&mut self) -> Result<&mut Ensemble, String> {
        match self {
            Running::Ensemble(ensemble) => Ok(ensemble),
            Running::Alone(_) => Err("this takes an ensemble of several servers".to_owned()),
        }
    }
}

/// Makes `folder` the place of every temporary folder of this process, because each server of an ensemble makes its
/// own.
fn settle_in(folder: &Path) -> Result<(), String> {
    static SETTLED: OnceLock<PathBuf> = OnceLock::new();
    let explain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let folder = folder.canonicalize().map_err(explain)?;
    let settled = SETTLED.get_or_init(|| {
        // The call fails only if the place was set before, which the comparison below shows.
        let _ = tempfile::env::override_temp_dir(&folder);
        tempfile::env::temp_dir()
    });
    if *settled != folder {
        return Err(format!(
            "{}: the servers of this process already have their folders in {}",
            folder.display(),
            settled.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_is_not_there_says_how_to_build_it() {
        let why = Launch::find(Peer::Ringkeeper, Path::new("no/ringkeeper"), "1g").unwrap_err();
        assert!(why.starts_with("no/ringkeeper: ") && why.contains("cargo build"), "{why}");
    }
}
