//! The programs that are measured beside each other, alone or as ensembles, each as an operator
//! would run it: its own sizes of files and threads, Java's default collector and whole compiler, a
//! heap that does not starve it.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use ringkeeper_testkit::{Config, Ensemble, Environment, Program, Server};

use crate::engine::Target;
use crate::etcd;
use crate::header;

/// A program, by the name that the command line has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// `ringkeeper`
    Ringkeeper,
    /// `zookeeper-3.9`: Apache ZooKeeper 3.9.4.
    ZooKeeper39,
    /// `zookeeper-3.8`: Apache ZooKeeper 3.8.0, Debian's.
    ZooKeeper38,
    /// `etcd`: Debian's, by its own protocol.
    Etcd,
}

/// A program that can be started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Which one.
    pub peer: Peer,
    /// Its name in results, such as `zookeeper 3.9.4`.
    pub name: String,
    /// The commit that it was built from, if it is ours and known.
    pub commit: Option<String>,
    /// The binary, if it is ours.
    binary: PathBuf,
    lines: Vec<String>,
    flags: Vec<String>,
    heap: String,
}

/// A program that runs, as one server or several. Ends when dropped, or when this process dies, and its folders with
/// it.
#[derive(Debug)]
pub enum Running {
    /// One server of ZooKeeper's kind.
    Alone(Box<Server>),
    /// Several that form an ensemble.
    Ensemble(Box<Ensemble>),
    /// One or several of etcd's.
    Etcd(etcd::Cluster),
}

/// Requests of up to 1 MiB of data have to pass, names and headers included; the default of
/// ZooKeeper is one byte below 1 MiB.
const BUFFER_FLAG: &str = "-Djute.maxbuffer=4194304";

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 4] = [Peer::Ringkeeper, Peer::ZooKeeper39, Peer::ZooKeeper38, Peer::Etcd];
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Ringkeeper => "ringkeeper",
            Peer::ZooKeeper39 => "zookeeper-3.9",
            Peer::ZooKeeper38 => "zookeeper-3.8",
            Peer::Etcd => "etcd",
        })
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Peer, String> {
        Peer::ALL.into_iter().find(|peer| peer.to_string() == text).ok_or_else(|| {
            let known: Vec<String> = Peer::ALL.iter().map(Peer::to_string).collect();
            format!("no program `{text}`; there are {}", known.join(", "))
        })
    }
}

impl Launch {
    /// Finds the program. `binary` is where ringkeeper is, `heap` the size of a Java heap, such as
    /// `2g`.
    ///
    /// # Errors
    /// It is not installed or not built; says what to do.
    pub fn find(peer: Peer, binary: &Path, heap: &str) -> Result<Launch, String> {
        let mut found = Launch {
            peer,
            name: String::new(),
            commit: None,
            binary: PathBuf::new(),
            lines: ["tickTime=2000", "maxClientCnxns=0"].map(str::to_owned).to_vec(),
            flags: vec![BUFFER_FLAG.to_owned(), "-Dlog4j2.level=WARN".to_owned()],
            heap: heap.to_owned(),
        };
        match peer {
            Peer::Ringkeeper => {
                // Servers run in folders of their own, so the path must not depend on this one.
                found.binary = binary.canonicalize().map_err(|error| {
                    format!(
                        "{}: {error}; `cargo build --release` builds it, `--ringkeeper` names \
                         another place",
                        binary.display()
                    )
                })?;
                "ringkeeper".clone_into(&mut found.name);
            }
            Peer::ZooKeeper39 | Peer::ZooKeeper38 => {
                let lacking = Environment::place().lacking();
                if !lacking.is_empty() {
                    return Err(format!(
                        "{peer} is not installed (`cargo xtask setup` does it): {} missing",
                        lacking.join(", ")
                    ));
                }
                let version = if peer == Peer::ZooKeeper39 { "3.9.4" } else { "3.8.0" };
                found.name = format!("zookeeper {version}");
            }
            Peer::Etcd => found.name = format!("etcd {} (own protocol)", etcd::version()?),
        }
        Ok(found)
    }

    /// The commit that the binary was built from, for the results.
    #[must_use]
    pub fn built_from(mut self, commit: Option<String>) -> Launch {
        self.commit = commit;
        self
    }

    /// Ours, with these lines of configuration. If the binary lies in the working tree, it is taken
    /// to be built from its commit; a `+` says that there are changes on top.
    #[must_use]
    pub fn of_working_tree(mut self, lines: &[String]) -> Launch {
        self.lines.extend_from_slice(lines);
        let root = header::git(&["rev-parse", "--show-toplevel"]).map(PathBuf::from);
        if root.is_some_and(|root| self.binary.starts_with(root)) {
            let plus = if header::is_dirty() { "+" } else { "" };
            self.commit = header::commit("HEAD").map(|commit| commit + plus);
        }
        self
    }

    /// Another line of zoo.cfg, over an earlier one with the same key.
    #[must_use]
    pub fn line(mut self, line: impl Into<String>) -> Launch {
        self.lines.push(line.into());
        self
    }

    /// Another flag, such as a property of Java's.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Launch {
        self.flags.push(flag.into());
        self
    }

    /// What the servers are configured with.
    pub fn config(&self) -> Config {
        let config = Config::as_in_production().flag(&format!("-Xmx{}", self.heap));
        let config = self.flags.iter().fold(config, |config, flag| config.flag(flag));
        self.lines.iter().fold(config, |config, line| config.line(line))
    }

    /// The program for the test kit; `None` for one that is not ZooKeeper's kind.
    pub fn program(&self) -> Option<Program> {
        match self.peer {
            Peer::Ringkeeper => Some(Program::Ringkeeper(self.binary.clone())),
            Peer::ZooKeeper39 => Some(Program::ZooKeeper39),
            Peer::ZooKeeper38 => Some(Program::ZooKeeper38),
            Peer::Etcd => None,
        }
    }

    /// Starts that many servers on fresh folders below `folder`; returns when they serve.
    ///
    /// # Errors
    /// The folders cannot be made, or a server does not start; with the end of its log.
    pub fn start(&self, servers: usize, folder: &Path) -> Result<Running, String> {
        settle_in(folder)?;
        match self.program() {
            None => etcd::Cluster::start(servers, folder).map(Running::Etcd),
            Some(program) if servers == 1 => Server::launch(program, self.config())
                .map(|server| Running::Alone(Box::new(server))),
            Some(program) => {
                let config = match self.peer {
                    // They share the machine: all of them bound to its first processor would
                    // starve each other.
                    Peer::Ringkeeper => self.config().line("ringkeeper.pin=false"),
                    Peer::ZooKeeper39 | Peer::ZooKeeper38 | Peer::Etcd => self.config(),
                };
                let ensemble = Ensemble::launch(&vec![program; servers], config)?;
                Ok(Running::Ensemble(Box::new(ensemble)))
            }
        }
    }

    /// Starts one server of ZooKeeper's kind whose data lie in `data`; the rest of it lies below
    /// `folder`.
    ///
    /// # Errors
    /// As [`Launch::start`], or it is no such program.
    pub fn start_on(&self, data: &Path, folder: &Path) -> Result<Running, String> {
        settle_in(folder)?;
        let program = self
            .program()
            .ok_or_else(|| format!("{} is no program of ZooKeeper's kind", self.name))?;
        let server = Server::launch(program, self.config().data_dir(&data.join("data")))?;
        Ok(Running::Alone(Box::new(server)))
    }
}

impl Running {
    /// Whom to load: the leader first. Nodes made by a workload are removed after it.
    ///
    /// # Errors
    /// The servers do not say who leads.
    pub fn target(&mut self) -> Result<Target, String> {
        Ok(Target::new(self.addresses()?))
    }

    /// Where clients connect, the leader first.
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
            Running::Etcd(cluster) => cluster.addresses()?,
        })
    }

    /// The processes of the servers.
    pub fn pids(&self) -> Vec<u32> {
        match self {
            Running::Alone(server) => vec![server.pid()],
            Running::Ensemble(ensemble) => {
                ensemble.ids().map(|id| ensemble.server(id).pid()).collect()
            }
            Running::Etcd(cluster) => cluster.pids(),
        }
    }

    /// A folder that the servers write to.
    pub fn folder(&self) -> &Path {
        match self {
            Running::Alone(server) => server.data_dir(),
            Running::Ensemble(ensemble) => ensemble.server(1).data_dir(),
            Running::Etcd(cluster) => cluster.folder(),
        }
    }

    /// The server, if it is one of ZooKeeper's kind alone.
    pub fn server_mut(&mut self) -> Option<&mut Server> {
        match self {
            Running::Alone(server) => Some(server),
            Running::Ensemble(_) | Running::Etcd(_) => None,
        }
    }

    /// The ensemble, if it is one of ZooKeeper's kind.
    pub fn ensemble_mut(&mut self) -> Option<&mut Ensemble> {
        match self {
            Running::Ensemble(ensemble) => Some(ensemble),
            Running::Alone(_) | Running::Etcd(_) => None,
        }
    }
}

/// Makes `folder` the place of every temporary folder of this process: each server of an ensemble
/// makes its own.
fn settle_in(folder: &Path) -> Result<(), String> {
    static SETTLED: OnceLock<PathBuf> = OnceLock::new();
    let explain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let folder = folder.canonicalize().map_err(explain)?;
    let settled = SETTLED.get_or_init(|| {
        // Refused only if somebody set it before, which shows in the comparison below.
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
    fn every_program_is_found_by_the_name_it_prints() {
        for peer in Peer::ALL {
            assert_eq!(peer.to_string().parse(), Ok(peer));
        }
        let why = "zookeeper".parse::<Peer>().unwrap_err();
        assert!(why.contains("zookeeper-3.9, zookeeper-3.8"), "{why}");
    }

    #[test]
    fn a_binary_that_is_not_there_says_how_to_build_it() {
        let why = Launch::find(Peer::Ringkeeper, Path::new("no/ringkeeper"), "1g").unwrap_err();
        assert!(why.starts_with("no/ringkeeper: ") && why.contains("cargo build"), "{why}");
    }
}
