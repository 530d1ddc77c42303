//! Values that depend on several keys: addresses, session timeouts, buffers. [`super::members`]
//! handles the members of an ensemble.
//!
//! The order is `QuorumPeerConfig.parseProperties`'s: folders, client port, session times, members.
//!
//! Each function here stores what it decides in the configuration, and reports contradictions with the keys as they
//! were written. A key that was refused before has no value here: so they look for such an error before they report
//! that something is missing.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::members;
use super::origin::{Level, Problem};
use super::read::{Accepted, ReadFile, Reading};
use super::sasl;
use super::settings::{Listen, ListenHost, REQUEST_BYTES_IN_FLIGHT_MAX, Whitelist};
use super::shell_files;
use super::tls;
use super::value::Value;
use crate::limits::{CONNECTION_MEMORY_FRAMES_MIN, FRAME_BYTES_CEILING};

/// Decides what several keys decide together.
///
/// ```text
/// folders              dataDir, dataLogDir
/// buffers              jute.maxbuffer, its extra size, and what is relative to them
/// session_times        tickTime, minSessionTimeout, maxSessionTimeout
/// connection_weights   connection_throttle_*_weight
/// tls::clients         ssl.*, secureClientPort, secureClientPortAddress
/// sasl                 authProvider.*, enforce.auth.*, superUser.*, the JAAS file
/// audit_file           audit.enable, audit.file
/// read_only_word       readonlymode.enabled, 4lw.commands.whitelist
/// members              server.*, group.*, weight.*, dynamicConfigFile, myid
/// client_address       clientPort, clientPortAddress, this server's line
/// tls::servers         ssl.quorum.*
/// shell_files          what looks as if it were set, and is not
/// ```
/// The client's address comes after `myid`, which says whose line is this server's, and before `members::stand`,
/// which looks for ports that collide with it. The scheme `x509` exists where a port takes TLS, so `tls::clients`
/// comes before `sasl`.
pub(super) fn finish(reading: &mut Reading, mut read_file: Option<ReadFile<'_>>) {
    folders(reading);
    buffers(reading);
    session_times(reading);
    connection_weights(reading);
    tls::clients(reading);
    sasl::finish(reading, &mut read_file);
    audit_file(reading);
    read_only_word(reading);
    members::collect(reading, &mut read_file);
    members::my_id(reading, &mut read_file);
    client_address(reading);
    members::stand(reading, &mut read_file);
    tls::servers(reading);
    shell_files::look(reading, &mut read_file);
}

/// `dataDir`, which a file must set, and `dataLogDir`, which is the same folder if it is not set.
// ZooKeeper: QuorumPeerConfig.parseProperties.
fn folders(reading: &mut Reading) {
    for key in ["dataDir", "dataLogDir"] {
        let Some(path) = reading.text(key).map(PathBuf::from) else { continue };
        // ZooKeeper: VerifyingFileFactory warns about the same paths.
        if path.is_relative() && !path.starts_with(".") {
            let text = "a relative path depends on the folder in which the server is started; \
                begin it with ./ if that is intended";
            let origin = reading.origin(key);
            reading.note(Level::Warn, &origin, key, text.to_owned());
        }
        if key == "dataDir" {
            reading.config.storage.data_dir = path.clone();
        }
        reading.config.storage.data_log_dir = path;
    }
    if reading.text("dataLogDir").is_none() {
        reading.config.storage.data_log_dir = reading.config.storage.data_dir.clone();
    }
    let missing = reading.config.storage.data_dir.as_os_str().is_empty();
    let was_wrong = reading.errors.iter().any(|e| e.key == "dataDir");
    if missing && !was_wrong {
        let origin = reading.origin("dataDir");
        reading.error(
            Problem::Missing,
            &origin,
            "dataDir",
            None,
            "not set, but required".to_owned(),
        );
    }
}

/// `jute.maxbuffer`, its extra size, and the bounds of our own that must have room for such a frame, or for several.
fn buffers(reading: &mut Reading) {
    let network = &mut reading.config.network;
    // The rows' ranges are those of an int, so the conversions cannot fail.
    // A frame and its transaction must both stay below what the log can read back: hence the ceiling.
    let as_u32 = |number: i64| u32::try_from(number).unwrap_or(u32::MAX).min(FRAME_BYTES_CEILING);
    if let Some(max) = reading.values.get("jute.maxbuffer").and_then(int_of) {
        network.jute_max_buffer = as_u32(max);
    }
    let extra = reading.values.get("jute.maxbuffer.extrasize").and_then(int_of).map(as_u32);
    // ZooKeeper: BinaryInputArchive takes 1024 for anything less, a small jute.maxbuffer included.
    network.jute_max_buffer_extra = extra.unwrap_or(network.jute_max_buffer.max(1024));
    let largest = u64::from(network.jute_max_buffer);
    let own = &mut reading.config.own;
    match reading.values.get("ringkeeper.requestBytesInFlightMax").and_then(int_of) {
        // Room for a long request of one client while that of another is being answered.
        None => own.request_bytes_in_flight_max = REQUEST_BYTES_IN_FLIGHT_MAX.max(2 * largest),
        Some(max) => {
            own.request_bytes_in_flight_max = u64::try_from(max).unwrap_or(0);
            if own.request_bytes_in_flight_max < largest {
                let key = "ringkeeper.requestBytesInFlightMax";
                let text = format!("allowed: at least jute.maxbuffer, which is {largest} (bytes)");
                let origin = reading.origin(key);
                reading.error(Problem::Conflict, &origin, key, Some(max.to_string()), text);
            }
        }
    }
    if let Some(max) = reading.values.get("ringkeeper.connectionMemoryMax").and_then(int_of) {
        let least = CONNECTION_MEMORY_FRAMES_MIN * largest;
        if u64::try_from(max).unwrap_or(0) < least {
            let key = "ringkeeper.connectionMemoryMax";
            let text = format!("allowed: at least 4 × jute.maxbuffer, which is {least} (bytes)");
            let origin = reading.origin(key);
            reading.error(Problem::Conflict, &origin, key, Some(max.to_string()), text);
        }
    }
}

/// The number of a value that is one.
fn int_of(accepted: &Accepted) -> Option<i64> {
    match accepted.value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}

/// `tickTime`, and the shortest and longest session timeout, which are multiples of it unless they are set. -1 counts
/// as not set.
// ZooKeeper: QuorumPeerConfig.parseProperties, ZooKeeperServer.setMinSessionTimeout, setMaxSessionTimeout.
fn session_times(reading: &mut Reading) {
    let tick = reading.int("tickTime").unwrap_or(3000);
    // The product is saturated here and cut to an int below: a tick of an hour is unusual, but no reason to fail.
    let of = |key: &str, ticks: i64| match reading.int(key) {
        None | Some(-1) => tick.saturating_mul(ticks),
        Some(set) => set,
    };
    let (min, max) = (of("minSessionTimeout", 2), of("maxSessionTimeout", 20));
    // The message names a key that is in the file, even if the default of the other one is what contradicts it.
    if min > max {
        let key = if reading.int("minSessionTimeout").is_some() {
            "minSessionTimeout"
        } else {
            "maxSessionTimeout"
        };
        let text = format!(
            "minSessionTimeout ({min} ms) must not be larger than maxSessionTimeout ({max} ms)"
        );
        let origin = reading.origin(key);
        reading.error(Problem::Conflict, &origin, key, None, text);
    }
    // A timeout is an int on the wire, so 20 ticks are at most its largest value.
    let as_int = |ms: i64| u32::try_from(ms.min(i64::from(i32::MAX))).unwrap_or(0);
    let sessions = &mut reading.config.sessions;
    sessions.tick_time_ms = as_int(tick);
    sessions.min_session_timeout_ms = as_int(min);
    sessions.max_session_timeout_ms = as_int(max);
}

/// The weights of sessions in the throttle of connections. None is below that of a local session.
// ZooKeeper: BlueThrottle's static initialiser raises both weights to the local one.
fn connection_weights(reading: &mut Reading) {
    let local = reading.config.limits.connection_throttle.local_session_weight;
    for (key, default) in [
        ("connection_throttle_global_session_weight", 3),
        ("connection_throttle_renew_session_weight", 2),
    ] {
        // A weight that is not set is raised too: the local one may be above the defaults.
        let weight = reading.int(key).map_or(default, |w| u32::try_from(w).unwrap_or(u32::MAX));
        if weight < local {
            let origin = reading.origin(key);
            let text = format!(
                "{local}, the weight of a local session, is used instead of {weight}, as in ZooKeeper"
            );
            reading.note(Level::Warn, &origin, key, text);
        }
        let throttle = &mut reading.config.limits.connection_throttle;
        let slot = if key.contains("global") {
            &mut throttle.global_session_weight
        } else {
            &mut throttle.renew_session_weight
        };
        *slot = weight.max(local);
    }
}

/// Where the audit log goes has no effect unless there is one.
fn audit_file(reading: &mut Reading) {
    if reading.config.audit.is_enabled {
        return;
    }
    for key in
        ["ringkeeper.audit.file", "ringkeeper.audit.fileBytesMax", "ringkeeper.audit.filesKept"]
    {
        if reading.values.contains_key(key) {
            let origin = reading.origin(key);
            let text = "has no effect without audit.enable=true".to_owned();
            reading.note(Level::Warn, &origin, key, text);
        }
    }
}

/// `isro` is answered where read-only mode is on.
// ZooKeeper: FourLetterCommands.isEnabled puts isro on the whitelist where read-only mode is on.
fn read_only_word(reading: &mut Reading) {
    let config = &mut reading.config;
    if let (true, Whitelist::Only(words)) =
        (config.sessions.read_only_mode_enabled, &mut config.admin.four_letter_words)
    {
        words.insert("isro".to_owned());
    }
}

/// The client address: of the file, or of this server's member line, as `setupClientPort` decides.
fn client_address(reading: &mut Reading) {
    let port = reading.int("clientPort").and_then(|port| u16::try_from(port).ok());
    // Any text is a host: names are resolved when the server begins to listen.
    let host = reading.text("clientPortAddress").map(ListenHost::parse);
    let wrong = |key: &str| reading.errors.iter().any(|e| e.key == key);
    if wrong("clientPort") || wrong("clientPortAddress") {
        return;
    }
    // A line of a member that is not this server says nothing about this server's clients.
    let own = reading.config.quorum.my_id.and_then(|id| {
        let line = reading.config.quorum.servers.get(&id)?;
        Some((format!("server.{id}"), line.client.clone()?))
    });
    let of_file = match (port, host) {
        (Some(port), host) => Some(Listen { host: host.unwrap_or(ListenHost::Any), port }),
        (None, Some(_)) => {
            let key = "clientPortAddress";
            let origin = reading.origin(key);
            let text = "set, but clientPort is not".to_owned();
            reading.error(Problem::Conflict, &origin, key, None, text);
            return;
        }
        (None, None) => None,
    };
    // Where both are set and do not contradict each other, the member's line counts, as in ZooKeeper.
    match (of_file, own) {
        (Some(of_file), Some((key, of_line))) => {
            if contradict(&of_file, &of_line) {
                let origin = reading.origin(&key);
                let place = reading.origin("clientPort");
                let text =
                    format!("its client address {of_line} is not {of_file}, which {place} gives");
                reading.error(Problem::Conflict, &origin, &key, None, text);
            }
            reading.config.network.client = Some(of_line);
        }
        (None, Some((_, listen))) | (Some(listen), None) => {
            reading.config.network.client = Some(listen);
        }
        (None, None) if reading.file.is_some() => no_client_port(reading),
        (None, None) => {}
    }
}

/// Whether two addresses are certainly different. Names are not resolved here, so a name
/// contradicts nothing.
fn contradict(of_file: &Listen, of_line: &Listen) -> bool {
    /// `None`: a name. The wildcard counts as an address.
    fn address(host: &ListenHost) -> Option<IpAddr> {
        match host {
            ListenHost::Any => Some(Ipv6Addr::UNSPECIFIED.into()),
            ListenHost::Ip(address) => Some(*address),
            ListenHost::Zoned { address, .. } => Some((*address).into()),
            ListenHost::Name(_) => None,
        }
    }
    let hosts = match (address(&of_file.host), address(&of_line.host)) {
        // ZooKeeper: a wildcard in the file agrees with every interface, but not the other way
        // round.
        (Some(a), Some(b)) => a != b && !a.is_unspecified(),
        (None, _) | (_, None) => false,
    };
    hosts || of_file.port != of_line.port
}

/// Reports that no client could connect. The text depends on where a port was perhaps meant to come from.
fn no_client_port(reading: &mut Reading) {
    // ZooKeeper: QuorumPeerConfig.parseProperties. A server may serve clients with TLS alone.
    if reading.int("secureClientPort").is_some_and(|port| port != 0) {
        return;
    }
    let origin = reading.origin("clientPort");
    let with_client = reading.config.quorum.servers.iter().find(|(_, line)| line.client.is_some());
    let text = match with_client {
        Some((id, _)) => {
            let path = reading.config.storage.data_dir.join("myid");
            format!(
                "not set, and the client port of server.{id} counts only if {} says that this is \
                 server {id}: no client could connect",
                path.display()
            )
        }
        None if reading.config.quorum.dynamic_config_file.is_some() => {
            // Whether the dynamic file has one is only known after it was read.
            if reading.config.quorum.servers.is_empty() {
                return;
            }
            "not set, nor in the dynamic file: no client could connect".to_owned()
        }
        None => "not set: no client could connect".to_owned(),
    };
    reading.error(Problem::Missing, &origin, "clientPort", None, text);
}
