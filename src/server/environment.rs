//! Checks whether a server with this configuration could run on this machine: the limits of the process, the folders,
//! and the network.
//!
//! `config check` uses this before a server runs, so the checks change nothing; they only open each port for a
//! moment. A folder in use by another Ringkeeper server is no error: it may be the server that is about to be
//! restarted. For the same reason a port in use is no error.
//!
//! The start makes the same demands itself, with [`needs`] and [`files_for_clients`], and does not rely on a check
//! that ran earlier.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use super::wiring::Wiring;
use super::{beginnings, client_port, membership, options, secure_links, secure_side};
use crate::audit;
use crate::config::report::Here;
use crate::config::{Config, PeerType};
use crate::link::Endpoint;
use crate::logins;
use crate::net;
use crate::net::links::{self, Obstacle};
use crate::runtime::{self, CLIENTS_MIN, Needs, Process};

/// How long the check waits for the names of all other servers together. A resolver that hangs is one of the problems
/// that it reports.
const NAMES_PATIENCE: Duration = Duration::from_secs(5);

/// Checks a configuration on this machine. The result sorts what it finds: what would keep a server from starting,
/// ports that are taken now, remarks, and the values in force.
pub fn look(config: &Config) -> Here {
    let storage = &config.storage;
    let mut here = Here { in_force: in_force(config), ..Here::default() };
    here.denied.extend(runtime::obstacles(&needs(config)).iter().map(ToString::to_string));
    // Both keys usually name one folder, which is checked once.
    let mut folders = vec![&storage.data_dir, &storage.data_log_dir];
    folders.dedup();
    for folder in &folders {
        let checked = runtime::check_folder(folder, storage.datadir_autocreate);
        here.denied.extend(checked.err().map(|error| error.to_string()));
    }
    // A folder that cannot be used makes a list of all its files useless.
    if here.denied.is_empty() {
        let files = runtime::check_files(&storage.data_dir, &storage.data_log_dir);
        here.denied.extend(files.iter().map(ToString::to_string));
    }
    if here.denied.is_empty() {
        here.remarks.extend(beginnings::missing_folders(config));
        here.remarks.extend(beginnings::empty_folder(config));
    }
    let file = config.audit.file.as_deref().filter(|_| config.audit.is_enabled);
    here.denied.extend(file.and_then(audit::obstacle));
    here.denied.extend(options::realm(&config.security.sasl).err());
    let logins = options::acceptor(config).and_then(logins::obstacle);
    here.denied.extend(logins.map(|obstacle| obstacle.to_string()));
    let between = options::logins(config).ok().flatten();
    let between = between.as_ref().and_then(logins::obstacle_between);
    if let Some(obstacle) = between {
        let found = if obstacle.may_pass() { &mut here.remarks } else { &mut here.denied };
        found.push(obstacle.to_string());
    }
    // While a server runs here, its ports would all seem taken.
    let held = folders.iter().find_map(|folder| Some((folder, runtime::holder(folder)?)));
    here.held = held.is_some();
    match held {
        Some((folder, pid)) => here.remarks.push(format!(
            "{} is in use by a ringkeeper server{}: a server starts on it once that one has ended. \
             Ports were not tried, for it may have them",
            folder.display(),
            if pid == 0 { String::new() } else { format!(" (pid {pid})") }
        )),
        None => ports(config, &mut here),
    }
    names(config, &mut here);
    here
}

/// Tries the ports that a server would listen on, for clients and for other servers.
fn ports(config: &Config, here: &mut Here) {
    client_ports(config, here);
    // A standalone server has no other ports.
    let Some(me) = membership::me(config) else { return };
    let members = config.quorum.ensemble().members;
    let Some(member) = members.get(&me) else { return };
    // Where an operator changes a port: the line must be the same on all servers.
    let line = format!("the line server.{me} in the files of all servers");
    let own = |what: &str| format!("{what} of server.{me}");
    let masters: Vec<Endpoint> = match member.role {
        // An observer connects to that port of other servers, and does not listen.
        PeerType::Observer => Vec::new(),
        PeerType::Participant => options::peer(config, me).observer_master.into_iter().collect(),
    };
    for (what, change, mut places) in [
        (own("quorum port"), line.as_str(), member.quorum_endpoints()),
        (own("election port"), &line, member.election_endpoints()),
        ("observerMasterPort".to_owned(), "observerMasterPort", masters),
    ] {
        if config.quorum.listen_on_all_ips && what != "observerMasterPort" {
            places.iter_mut().for_each(|at| "::".clone_into(&mut at.host));
        }
        // With quorumListenOnAllIPs several places become one, and each is tried once.
        places.sort();
        places.dedup();
        let (mut taken, mut other) = (Vec::new(), Vec::new());
        // Each place is tried by listening there for a moment, because only the kernel knows.
        for at in &places {
            let place = format!("{}:{}", at.host, at.port);
            match links::obstacle(at) {
                None => {}
                Some(Obstacle::Taken) => taken.push(taken_now(&place, &what, at.port, change)),
                Some(Obstacle::Other(reason)) => {
                    other.push(format!("cannot listen at {place} ({what}): {reason}"));
                }
            }
        }
        // Like the server, which stops when it has failed at all addresses of a port, so many times.
        let gives_up = config.quorum.election_port_bind_retry.is_some();
        let fails = gives_up && !places.is_empty() && taken.len() + other.len() == places.len();
        // A port that another process has may be that of the server to be replaced; any other obstacle stays.
        let (stop, go_on) = match (fails, taken.is_empty()) {
            (true, true) => (other, Vec::new()),
            (true, false) => {
                here.taken.append(&mut taken);
                (Vec::new(), other)
            }
            (false, _) => (Vec::new(), [taken, other].concat()),
        };
        here.denied.extend(stop);
        let tries_on = |line| format!("{line}. A server starts all the same, and keeps trying");
        here.remarks.extend(go_on.into_iter().map(tries_on));
    }
}

/// Tries the ports for clients, and the certificates that TLS needs.
fn client_ports(config: &Config, here: &mut Here) {
    for (listen, key) in client_port::places(config) {
        let bound = options::listen_address(listen)
            .and_then(|wanted| net::bind(wanted, net::BACKLOG, false).map(drop));
        match bound {
            // Asked for below with the words for an operator, except for this one error, which is usually no error.
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                here.taken.push(taken_now(&listen.to_string(), key, listen.port, key));
            }
            Ok(()) | Err(_) => here.denied.extend(client_port::obstacle(listen, key)),
        }
    }
    here.denied.extend(secure_side::obstacle(config));
    here.denied.extend(secure_links::obstacle(config));
}

/// A sentence on a port that another process has. That is usually the server that is about to be replaced, so this
/// is no error.
fn taken_now(place: &str, what: &str, port: u16, change: &str) -> String {
    let by = match runtime::listener_on(port) {
        Some(Process { pid, name }) => format!("by {name} (pid {pid})"),
        None => "and root can see by which process (`ss -ltnp`)".to_owned(),
    };
    format!(
        "{place} ({what}) is taken now, {by}: if that is the server that this one replaces, stop it \
         before this one starts; if not, stop it or change {change}"
    )
}

/// Resolves the names of the other servers, and remarks on those that have no address now.
fn names(config: &Config, here: &mut Here) {
    let Some(me) = membership::me(config) else { return };
    let members = config.quorum.ensemble().members;
    // All names at once: a resolver that hangs would otherwise take its time for each.
    let others = members.iter().filter(|(id, _)| **id != me);
    let places: Vec<Endpoint> =
        others.flat_map(|(_, member)| member.election_endpoints()).collect();
    for (at, reason) in links::unresolved(&places, Instant::now() + NAMES_PATIENCE) {
        let of =
            |(_, member): &(_, &crate::quorum::Member)| member.election_endpoints().contains(&at);
        let server =
            members.iter().find(of).map_or_else(String::new, |(id, _)| format!("server.{id}: "));
        here.remarks.push(format!(
            "{server}{reason}. This server starts all the same, does not reach that one, and resolves the \
             name again at each attempt to connect: correct the name, or the resolver"
        ));
    }
}

/// A number of bytes with a unit.
fn size(bytes: u64) -> String {
    match bytes % (1 << 20) {
        0 => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes.div_ceil(1 << 10)),
    }
}

/// Sentences on the values in force: executors, bounds on memory and others, some of which depend on this machine.
fn in_force(config: &Config) -> Vec<String> {
    // What a server chooses by itself is said as well, because an operator cannot read it in the file.
    let wiring = wiring(config);
    let memory = runtime::memory_of_process();
    let (_, connections) = options::budget(config, memory, wiring.session_cores.max(1));
    let watches = options::watch_bytes_max(config, memory);
    let or_any = |count: Option<u32>| count.map_or("any number".to_owned(), |it| it.to_string());
    let mut lines = vec![
        format!(
            "connections: {} of clients from one address, {} together",
            or_any(config.network.max_client_cnxns),
            or_any(config.network.max_cnxns)
        ),
        format!(
            "at most {} entries in an ACL, {} operations in a multi, {} ephemeral nodes of a session",
            config.own.acl_entries_max,
            config.own.multi_operations_max,
            config.own.ephemerals_per_session_max
        ),
        format!(
            "at most {} bytes in a request of a client, {} in the reply to one multiRead",
            config.network.jute_max_buffer,
            size(config.own.multi_read_reply_bytes_max)
        ),
        wiring.describe(),
        connections,
        format!(
            "watches together may hold {} MiB, those of one connection a quarter of it and at most {} watches",
            watches >> 20,
            config.own.watches_per_connection_max
        ),
        format!(
            "{} of requests may wait for their answers, and {} of replies for one connection before the \
             server stops reading from it",
            size(config.own.request_bytes_in_flight_max),
            size(config.own.output_bytes_per_connection_max)
        ),
    ];
    lines.extend(ports_of_ensemble(config));
    lines
}

/// A sentence on the ports for other servers, and which hosts may connect there; `None`: the server is standalone.
fn ports_of_ensemble(config: &Config) -> Option<String> {
    let quorum = &config.quorum;
    let own = quorum.my_id.filter(|_| quorum.is_distributed())?;
    let addresses = &quorum.servers.get(&own)?.addresses;
    let ports: Vec<String> = addresses
        .iter()
        .map(|at| {
            format!("port {} for learners and {} for votes", at.quorum_port, at.election_port)
        })
        .collect();
    let observers = quorum.observer_master_port;
    let observers = observers.map_or(String::new(), |port| format!(", port {port} for observers"));
    Some(format!(
        "{}{observers}; hosts that may connect there: ringkeeper.peerAddressCheck={}",
        ports.join(", "),
        quorum.peer_address_check.name()
    ))
}

/// The executors that a server with this configuration would have here.
fn wiring(config: &Config) -> Wiring {
    // As `start` chooses them, except for the time that executors look, on which no limit depends.
    let allowed = runtime::allowed_processors();
    let quota = runtime::quota_of_processors();
    Wiring::choose(config.own.cores, config.own.pin, None, &allowed, quota)
}

/// The limits of its process that a server with this configuration needs: executors, files, and the size of a file.
pub fn needs(config: &Config) -> Needs {
    let wiring = wiring(config);
    let session_cores = wiring.session_cores.max(1);
    Needs {
        executors: wiring.session_cores + 1,
        own_files: own_files(session_cores),
        file_bytes: config.storage.pre_alloc_bytes,
    }
}

/// How many of the `files` that may be open can be clients; at least [`CLIENTS_MIN`].
pub fn files_for_clients(files: u64, session_cores: u32) -> u32 {
    let clients = files.saturating_sub(own_files(session_cores)).max(CLIENTS_MIN);
    u32::try_from(clients).unwrap_or(u32::MAX)
}

/// How many files the server opens for itself.
fn own_files(session_cores: u32) -> u64 {
    /// For the log, snapshots, `/proc`, and accepted sockets that are about to be refused.
    const OWN: u64 = 48;
    /// For the rings, timers and bells of an executor: more than it needs.
    const PER_EXECUTOR: u64 = 16;
    OWN + PER_EXECUTOR * (u64::from(session_cores) + 1)
}
