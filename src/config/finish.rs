//! What several keys decide together: addresses, session timeouts, buffers, and whether the server
//! stands alone.
//!
//! The order is `QuorumPeerConfig.parseProperties`'s: folders, client port, session times, members.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{Document, Format};
use super::keys::security::ENSEMBLE_PROVIDER;
use super::origin::{Level, Origin, Problem};
use super::read::{Accepted, FILE_BYTES_MAX, ReadFile, Reading};
use super::server_line::{GroupLine, Role, ServerLine, number_of};
use super::settings::{Listen, ListenHost, REQUEST_BYTES_IN_FLIGHT_MAX, Whitelist};
use super::value::{Kind, Raw, Value};

pub(super) fn finish(reading: &mut Reading, mut read_file: Option<ReadFile<'_>>) {
    folders(reading);
    buffers(reading);
    session_times(reading);
    connection_weights(reading);
    ensemble_scheme(reading);
    enforced_schemes(reading);
    read_only_word(reading);
    members(reading, &mut read_file);
    my_id(reading, &mut read_file);
    client_address(reading);
    standing_alone(reading);
}

fn folders(reading: &mut Reading) {
    for key in ["dataDir", "dataLogDir"] {
        let Some(path) = reading.text(key).map(PathBuf::from) else { continue };
        // ZooKeeper: VerifyingFileFactory warns of the same paths.
        if path.is_relative() && !path.starts_with(".") {
            let text = "a relative path depends on where the server is started; ./ in front \
             says it is meant";
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

fn buffers(reading: &mut Reading) {
    let network = &mut reading.config.network;
    // The rows' ranges are those of an int, so the conversions cannot fail.
    let as_u32 = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    if let Some(max) = reading.values.get("jute.maxbuffer").and_then(int_of) {
        network.jute_max_buffer = as_u32(max);
    }
    let extra = reading.values.get("jute.maxbuffer.extrasize").and_then(int_of).map(as_u32);
    // ZooKeeper: BinaryInputArchive takes 1024 for anything less, a small jute.maxbuffer included.
    network.jute_max_buffer_extra = extra.unwrap_or(network.jute_max_buffer.max(1024));
    let largest = u64::from(network.jute_max_buffer);
    let own = &mut reading.config.own;
    match reading.values.get("ringkeeper.requestBytesInFlightMax").and_then(int_of) {
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
}

fn int_of(accepted: &Accepted) -> Option<i64> {
    match accepted.value {
        Value::Int(number) => Some(number),
        _ => None,
    }
}

fn session_times(reading: &mut Reading) {
    let tick = reading.int("tickTime").unwrap_or(3000);
    let of = |key: &str, ticks: i64| match reading.int(key) {
        None | Some(-1) => tick.saturating_mul(ticks),
        Some(set) => set,
    };
    let (min, max) = (of("minSessionTimeout", 2), of("maxSessionTimeout", 20));
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

// ZooKeeper: BlueThrottle's static initialiser raises both weights to the local one.
fn connection_weights(reading: &mut Reading) {
    let local = reading.config.limits.connection_throttle.local_session_weight;
    for (key, default) in [
        ("connection_throttle_global_session_weight", 3),
        ("connection_throttle_renew_session_weight", 2),
    ] {
        let weight = reading.int(key).map_or(default, |w| u32::try_from(w).unwrap_or(u32::MAX));
        if weight < local {
            let origin = reading.origin(key);
            let text = format!(
                "{local}, the weight of a local session, is taken instead of \
             {weight}, as by ZooKeeper"
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

fn ensemble_scheme(reading: &mut Reading) {
    let is_provider = |(key, accepted): (&String, &Accepted)| {
        key.starts_with("authProvider.")
            && accepted.value == Value::Text(ENSEMBLE_PROVIDER.to_owned())
    };
    let enabled = reading.values.iter().any(is_provider);
    reading.config.security.ensemble_auth_enabled = enabled;
    if !enabled && reading.values.contains_key("ensembleAuthName") {
        let origin = reading.origin("ensembleAuthName");
        let text = format!(
            "has no effect without authProvider.1 = {ENSEMBLE_PROVIDER}, with ZooKeeper neither"
        );
        reading.note(Level::Warn, &origin, "ensembleAuthName", text);
    }
}

/// Schemes to be enforced count only with the switch; the switch alone lets nobody in.
// ZooKeeper: AuthenticationHelper refuses to start with the switch and no scheme.
fn enforced_schemes(reading: &mut Reading) {
    let (switch, list) = ("enforce.auth.enabled", "enforce.auth.schemes");
    let on = reading.values.get(switch).is_some_and(|a| a.value == Value::Bool(true));
    let schemes: Vec<String> = match reading.values.get(list).map(|accepted| &accepted.value) {
        Some(Value::List(words)) => words.iter().filter(|w| !w.is_empty()).cloned().collect(),
        _ => Vec::new(),
    };
    let was_wrong = reading.errors.iter().any(|error| error.key == list);
    if on && schemes.is_empty() && !was_wrong {
        let origin = reading.origin(switch);
        let text = format!("{list} must name at least one scheme: digest, ip or ensemble");
        reading.error(Problem::Conflict, &origin, switch, None, text);
    } else if on {
        reading.config.security.enforced_auth_schemes = schemes;
    } else if !schemes.is_empty() {
        let origin = reading.origin(list);
        let text = format!("has no effect without {switch}=true, with ZooKeeper neither");
        reading.note(Level::Warn, &origin, list, text);
    }
}

// ZooKeeper: FourLetterCommands.isEnabled puts isro on the whitelist where read-only mode is on.
fn read_only_word(reading: &mut Reading) {
    let config = &mut reading.config;
    if let (true, Whitelist::Only(words)) =
        (config.sessions.read_only_mode_enabled, &mut config.admin.four_letter_words)
    {
        words.insert("isro".to_owned());
    }
}

/// Collects `server.N`, `group.N` and `weight.N`, from the file or from the dynamic file it names.
fn members(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    let dynamic = reading.text("dynamicConfigFile").map(PathBuf::from);
    let is_member = |key: &str| ["server.", "group.", "weight."].iter().any(|p| key.starts_with(p));
    let lines: Vec<(String, Accepted)> = reading
        .values
        .iter()
        .filter(|(key, _)| is_member(key))
        .map(|(key, accepted)| (key.clone(), accepted.clone()))
        .collect();
    if let Some(path) = dynamic {
        for (_, Accepted { origin, written, .. }) in lines {
            let text =
                "must stand in the dynamic file, for there is a dynamicConfigFile".to_owned();
            reading.error(Problem::Conflict, &origin, &written, None, text);
        }
        reading.config.quorum.dynamic_config_file = Some(path.clone());
        read_dynamic(reading, &path, read_file);
        return;
    }
    for (key, accepted) in lines {
        add_member(reading, &key, &accepted);
    }
    groups(reading);
}

/// With groups or weights, every participant is in exactly one group, and a group has members alone.
// ZooKeeper: QuorumHierarchical.parse; a group of strangers ends there in a NullPointerException.
fn groups(reading: &mut Reading) {
    let quorum = &reading.config.quorum;
    if quorum.groups.is_empty() && quorum.weights.is_empty() {
        return;
    }
    let mut problems = Vec::new();
    let mut group_of = BTreeMap::new();
    for (group, line) in &quorum.groups {
        for server in &line.servers {
            if !quorum.servers.contains_key(server) {
                problems.push((format!("group.{group}"), format!("there is no server.{server}")));
            }
            if group_of.insert(*server, *group).is_some() {
                let text = format!("server {server} is in more than one group");
                problems.push((format!("group.{group}"), text));
            }
        }
    }
    for (server, line) in &quorum.servers {
        if line.role == Role::Participant && !group_of.contains_key(server) {
            problems.push((format!("server.{server}"), "in no group, but there are groups".into()));
        }
    }
    for (key, text) in problems {
        let origin = reading.origin(&key);
        reading.error(Problem::Conflict, &origin, &key, None, text);
    }
}

fn add_member(reading: &mut Reading, key: &str, accepted: &Accepted) {
    let Accepted { value, written, origin } = accepted;
    let id = match number_of(key) {
        Ok(id) => id,
        Err(text) => {
            reading.error(Problem::Value, origin, written, None, text);
            return;
        }
    };
    let quorum = &mut reading.config.quorum;
    // The values were accepted by their kinds, so parsing them again succeeds.
    match value {
        Value::Text(text) if key.starts_with("server.") => {
            quorum.servers.extend(ServerLine::parse(text).ok().map(|line| (id, line)));
        }
        Value::Text(text) if key.starts_with("group.") => {
            quorum.groups.extend(GroupLine::parse(text).ok().map(|line| (id, line)));
        }
        Value::Int(weight) => {
            quorum.weights.extend(u64::try_from(*weight).ok().map(|weight| (id, weight)));
        }
        Value::Bool(_) | Value::Auto | Value::Float(_) | Value::Text(_) | Value::List(_) => {}
    }
}

/// Reads a dynamic file: members alone, and no version, which is in its name.
fn read_dynamic(reading: &mut Reading, path: &Path, read_file: &mut Option<ReadFile<'_>>) {
    let Some(read_file) = read_file else { return };
    let name = path.display().to_string();
    let origin = reading.origin("dynamicConfigFile");
    let bytes = match read_file(path) {
        Ok(Some(bytes)) if bytes.len() <= FILE_BYTES_MAX => bytes,
        Ok(Some(_)) => {
            let text = format!("larger than {FILE_BYTES_MAX} bytes, so it is no configuration");
            reading.error(Problem::Syntax, &Origin::file(&name), "", None, text);
            return;
        }
        Ok(None) => {
            let text = "there is no such file".to_owned();
            reading.error(Problem::Missing, &origin, "dynamicConfigFile", Some(name), text);
            return;
        }
        Err(why) => {
            let text = format!("cannot be read: {why}");
            reading.error(Problem::Missing, &origin, "dynamicConfigFile", Some(name), text);
            return;
        }
    };
    let document = Document::read(&bytes, &name, Format::ZooCfg);
    reading.errors.extend(document.errors);
    let name: Arc<str> = name.into();
    let mut lines = BTreeMap::new();
    for entry in document.entries {
        let origin = Origin::File { name: name.clone(), line: entry.line };
        let kind = match entry.key.split('.').next() {
            Some("server") => Kind::Server,
            Some("group") => Kind::Group,
            Some("weight") => super::keys::find("weight.*").map_or(Kind::Text, |key| key.kind),
            Some("version") => {
                let text =
                    "must not stand in a dynamic file: the version is in its name".to_owned();
                reading.error(Problem::Conflict, &origin, &entry.key, None, text);
                continue;
            }
            _ => {
                let text = "allowed in a dynamic file: server.N, group.N and weight.N".to_owned();
                reading.error(Problem::Conflict, &origin, &entry.key, None, text);
                continue;
            }
        };
        match kind.read(&entry.raw) {
            Ok(value) => {
                let accepted = Accepted { value, written: entry.key.clone(), origin };
                lines.insert(entry.key, accepted);
            }
            Err(text) => {
                let Raw::Text(value) = entry.raw else { continue };
                reading.error(Problem::Value, &origin, &entry.key, Some(value), text);
            }
        }
    }
    for (key, accepted) in lines {
        add_member(reading, &key, &accepted);
        reading.values.insert(key, accepted);
    }
    reading.config.quorum.version = version_of(path);
    groups(reading);
}

/// The version in a dynamic file's name: what stands behind the last dot, if it is hexadecimal.
// ZooKeeper: QuorumPeerConfig.getVersionFromFilename.
fn version_of(path: &Path) -> u64 {
    let name = path.to_string_lossy();
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    u64::from_str_radix(suffix, 16).unwrap_or(0)
}

fn my_id(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    let Some(read_file) = read_file else { return };
    if reading.config.storage.data_dir.as_os_str().is_empty() {
        return;
    }
    let path = reading.config.storage.data_dir.join("myid");
    let origin = Origin::File { name: path.display().to_string().into(), line: 1 };
    let bytes = match read_file(&path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return,
        Err(why) => {
            reading.error(Problem::Missing, &origin, "", None, format!("cannot be read: {why}"));
            return;
        }
    };
    let first = bytes.split(|&b| b == b'\n' || b == b'\r').next().unwrap_or_default();
    match std::str::from_utf8(first).ok().and_then(|text| text.parse().ok()) {
        Some(id) => reading.config.quorum.my_id = Some(id),
        None => {
            let text = "the first line must be this server's number and nothing else".to_owned();
            reading.error(Problem::Value, &origin, "", None, text);
        }
    }
}

/// The client address: of the file, or of this server's member line, as `setupClientPort` decides.
fn client_address(reading: &mut Reading) {
    let port = reading.int("clientPort").and_then(|port| u16::try_from(port).ok());
    let host = reading.text("clientPortAddress").map(ListenHost::parse);
    let wrong = |key: &str| reading.errors.iter().any(|e| e.key == key);
    if wrong("clientPort") || wrong("clientPortAddress") {
        return;
    }
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
    match (of_file, own) {
        (Some(of_file), Some((key, of_line))) => {
            if contradict(&of_file, &of_line) {
                let origin = reading.origin(&key);
                let place = reading.origin("clientPort");
                let text =
                    format!("its client address {of_line} is not {of_file}, which {place} gives");
                reading.error(Problem::Conflict, &origin, &key, None, text);
            }
            reading.config.network.client = of_line;
        }
        (None, Some((_, listen))) | (Some(listen), None) => reading.config.network.client = listen,
        (None, None) if reading.file.is_some() => no_client_port(reading),
        (None, None) => {}
    }
}

/// Whether two addresses are certainly different. Names are not resolved here, so a name
/// contradicts nothing.
fn contradict(of_file: &Listen, of_line: &Listen) -> bool {
    let hosts = match (&of_file.host, &of_line.host) {
        (ListenHost::Ip(a), ListenHost::Ip(b)) => a != b,
        // ZooKeeper: a wildcard in the file agrees with every interface, but not the other way
        // round.
        (ListenHost::Ip(_), ListenHost::Any) => true,
        (ListenHost::Any | ListenHost::Name(_), _) | (ListenHost::Ip(_), ListenHost::Name(_)) => {
            false
        }
    };
    hosts || of_file.port != of_line.port
}

fn no_client_port(reading: &mut Reading) {
    if reading.config.quorum.servers.len() > 1 || reading.values.contains_key("secureClientPort") {
        // The errors about those say enough.
        return;
    }
    let origin = reading.origin("clientPort");
    let with_client = reading.config.quorum.servers.iter().find(|(_, line)| line.client.is_some());
    let text = match with_client {
        Some((id, _)) => {
            let path = reading.config.storage.data_dir.join("myid");
            format!(
                "not set, and the client port of server.{id} counts only if {} says that this is \
                 server {id}: nobody could connect",
                path.display()
            )
        }
        None if reading.config.quorum.dynamic_config_file.is_some() => {
            // Whether the dynamic file has one is only known once it has been read.
            if reading.config.quorum.servers.is_empty() {
                return;
            }
            "not set, in the dynamic file neither: nobody could connect".to_owned()
        }
        None => "not set: nobody could connect".to_owned(),
    };
    reading.error(Problem::Missing, &origin, "clientPort", None, text);
}

/// One member stands alone, as `QuorumPeerMain` decides; more are an ensemble, which is not built
/// yet.
fn standing_alone(reading: &mut Reading) {
    let quorum = &reading.config.quorum;
    let observers = quorum.servers.values().filter(|line| line.role == Role::Observer).count();
    let participants = quorum.servers.len() - observers;
    let first = quorum.servers.keys().next().map(|id| format!("server.{id}"));
    let alone = quorum.standalone_enabled;
    let dynamic_unread = quorum.dynamic_config_file.is_some() && quorum.servers.is_empty();
    let (problem, key, text) = match (participants, observers, first) {
        (0, 0, _) if alone || dynamic_unread => return,
        (0, 0, _) => (
            Problem::Conflict,
            "standaloneEnabled".to_owned(),
            "false, so at least one server.N must be a participant".to_owned(),
        ),
        (0 | 1, 1.., Some(first)) if alone || participants == 0 => (
            Problem::Conflict,
            first,
            "observers need an ensemble of at least two participants".to_owned(),
        ),
        (1, 0, Some(first)) if alone => {
            let origin = reading.origin(&first);
            let text = "the only member, so this server stands alone".to_owned();
            reading.note(Level::Info, &origin, &first, text);
            return;
        }
        (_, _, Some(first)) => {
            let count = participants + observers;
            let and = if alone { "" } else { ", and standaloneEnabled = true" };
            let text = format!(
                "an ensemble of {count} is configured, and ensembles are not built yet: a server \
                 that stood alone instead would not share its data; leave one member to run it \
                 alone{and}"
            );
            (Problem::Refused, first, text)
        }
        (_, _, None) => return,
    };
    let origin = reading.origin(&key);
    reading.error(problem, &origin, &key, None, text);
}
