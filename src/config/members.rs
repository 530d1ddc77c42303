//! The members of an ensemble: from the lines of the file, or of the dynamic file it names, to an
//! ensemble with this server as a member, or to a standalone server.
//!
//! Imitates `QuorumPeerConfig.setupQuorumPeerConfig`, `parseDynamicConfig` and `checkValidity`.
//!
//! ```text
//! collect    server.N, group.N, weight.N ─▶ Quorum; with a dynamicConfigFile from that file alone
//! my_id      the file myid ─▶ the number of this server
//! stand      standalone, or a member: which errors and notes does that mean?
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::collisions;
use super::document::{BYTE_ORDER_MARK, Document, Format, is_utf16};
use super::dynamic;
use super::origin::{ConfigError, Level, Origin, Problem, printable};
use super::quorum::Quorum;
use super::read::{Accepted, FILE_BYTES_MAX, ReadFile, Reading};
use super::server_line::{GroupLine, PeerType, ServerLine, number_of};
use super::value::{Kind, Raw, Value};

/// Collects `server.N`, `group.N` and `weight.N`, from the file or from the dynamic file it names. Members in both
/// places are an error.
// ZooKeeper: QuorumPeerConfig.parse reads the dynamic file, and parseProperties refuses members in the static one.
pub(super) fn collect(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    let dynamic = reading.text("dynamicConfigFile").map(PathBuf::from);
    // By prefix, as in ZooKeeper, so that `server.x` is a member with a wrong number and not an unknown key.
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
                "must be in the dynamic file, because there is a dynamicConfigFile".to_owned();
            reading.error(Problem::Conflict, &origin, &written, None, text);
        }
        reading.config.quorum.dynamic_config_file = Some(path.clone());
        read_dynamic(reading, &path, read_file);
        read_next(reading, read_file);
        return;
    }
    for (key, accepted) in lines {
        add_member(reading, &key, &accepted);
    }
    groups(reading);
}

/// With groups or weights, every participant is in exactly one group, and a group contains only members. An observer
/// in a group needs a line with its weight.
// ZooKeeper: QuorumHierarchical.parse, computeGroupWeight: a stranger in a group, or an observer without a weight, ends
// there in a NullPointerException.
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
            // The last group counts from here on; there is an error, so it does not matter which.
            if group_of.insert(*server, *group).is_some() {
                let text = format!("server {server} is in more than one group");
                problems.push((format!("group.{group}"), text));
            }
        }
    }
    for (server, line) in &quorum.servers {
        if line.role == PeerType::Participant && !group_of.contains_key(server) {
            let text = match quorum.weights.keys().next() {
                Some(weight) if quorum.groups.is_empty() => format!(
                    "in no group, and weight.{weight} has a meaning only within groups: add \
                     group.N lines, or remove the weights"
                ),
                _ => "in no group, but there are groups".to_owned(),
            };
            problems.push((format!("server.{server}"), text));
        }
    }
    for (server, group) in &group_of {
        // With a weight of its own, the operator has decided what it weighs.
        let observes =
            quorum.servers.get(server).is_some_and(|line| line.role == PeerType::Observer);
        if observes && !quorum.weights.contains_key(server) {
            let text =
                format!("server {server} is in a group, but does not vote and weighs nothing");
            problems.push((format!("group.{group}"), text));
        }
    }
    for (key, text) in problems {
        let origin = reading.origin(&key);
        reading.error(Problem::Conflict, &origin, &key, None, text);
    }
}

/// Stores one line of a family under the number in its key.
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

/// Reads a dynamic file: only members, and no version, which is in its name. Without `read_file` it does nothing:
/// then the members are unknown, and nothing about them is checked.
fn read_dynamic(reading: &mut Reading, path: &Path, read_file: &mut Option<ReadFile<'_>>) {
    let Some(read_file) = read_file else { return };
    let name = path.display().to_string();
    let origin = reading.origin("dynamicConfigFile");
    let bytes = match read_file(path) {
        Ok(Some(bytes)) if bytes.len() <= FILE_BYTES_MAX => bytes,
        Ok(Some(_)) => {
            let text = format!("larger than {FILE_BYTES_MAX} bytes, so it is not a configuration");
            reading.error(Problem::Syntax, &Origin::file(&name), "", None, text);
            return;
        }
        Ok(None) => {
            let text = "there is no such file: correct the path, or remove this line and name the members here, in \
                        lines server.N=HOST:PORT:PORT"
                .to_owned();
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
    // The last line of a key counts, as in Java.
    let mut lines = BTreeMap::new();
    for entry in document.entries {
        let origin = Origin::File { name: name.clone(), line: entry.line };
        let kind = match entry.key.split('.').next() {
            Some("server") => Kind::Server,
            Some("group") => Kind::Group,
            // The row of the family has the range; the two others have kinds of their own.
            Some("weight") => super::keys::find("weight.*").map_or(Kind::Text, |key| key.kind),
            Some("version") => {
                let text = "must not be in a dynamic file: the version is in its name".to_owned();
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

/// The version in a dynamic file's name: the text after the last dot, if it is hexadecimal.
// ZooKeeper: QuorumPeerConfig.getVersionFromFilename.
fn version_of(path: &Path) -> u64 {
    let name = path.to_string_lossy();
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    u64::from_str_radix(suffix, 16).unwrap_or(0)
}

/// Reads `myid` in the data folder: one line with a number. No such file is no error here: a standalone server needs
/// none, and `own_line` reports it to a member.
// ZooKeeper: QuorumPeerConfig.setupMyId.
pub(super) fn my_id(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
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
            // It is not known whether the file exists.
            let origin = Origin::file(&path.display().to_string());
            reading.error(Problem::Missing, &origin, "", None, format!("cannot be read: {why}"));
            return;
        }
    };
    // Java reads the first line, and Long.parseLong allows no blank in it.
    let first = bytes.split(|&b| b == b'\n' || b == b'\r').next().unwrap_or_default();
    match std::str::from_utf8(first).ok().and_then(|text| text.parse::<i64>().ok()) {
        // ZooKeeper: QuorumPeerConfig.UNSET_SERVERID, which some tools write for a standalone server.
        Some(-1) => {}
        Some(id) if id >= 0 => reading.config.quorum.my_id = u64::try_from(id).ok(),
        _ => {
            let text = no_number(&bytes, first);
            reading.error(Problem::Value, &origin, "", None, text);
        }
    }
}

/// What is wrong with a `myid`, with its content in quotes: blanks and marks are invisible.
fn no_number(bytes: &[u8], first: &[u8]) -> String {
    let shown = format!("{:?}", printable(&String::from_utf8_lossy(first)));
    let trimmed = String::from_utf8_lossy(first);
    let trimmed = trimmed.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\0');
    let hint = if is_utf16(bytes) {
        "; the file is UTF-16, save it as plain ASCII".to_owned()
    } else if first.starts_with(BYTE_ORDER_MARK) {
        "; there is a byte order mark before it, save the file without one".to_owned()
    } else if bytes.is_empty() {
        "; the file is empty".to_owned()
    } else if trimmed.parse::<u64>().is_ok() {
        format!("; blanks are not allowed: `echo {trimmed} > myid`")
    } else {
        String::new()
    };
    format!("the first line must be this server's number and nothing else, and it is {shown}{hint}")
}

/// Decides whether this server is standalone or a member of an ensemble, and checks that. Without `read_file` it
/// checks the configuration by itself.
///
/// ```text
/// participants  observers  standaloneEnabled
///      0            0        either            without_members: standalone, or an error
///      0           1…        either            error: observers need somebody to learn from
///      1           1…        true              error: the same, for one participant runs standalone
///      1            0        true              standalone, with a note; a warning if it was a member
///     all other cases                          distributed: a member, perhaps of an ensemble of one
/// ```
/// A configuration without members means standalone only if nothing shows that this server is a member: a member that
/// runs standalone accepts writes that its ensemble never gets.
pub(super) fn stand(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    // The meaning of an unreadable line is unknown: the other lines without it may be misleading, and
    // so may advice based on them.
    let unread =
        |error: &ConfigError| error.problem == Problem::Value && error.key.starts_with("server.");
    if reading.errors.iter().any(unread) {
        if reading.config.quorum.servers.len() > 1 {
            needs_of_a_member(reading);
        }
        return;
    }
    let quorum = &reading.config.quorum;
    let observers = quorum.servers.values().filter(|line| line.role == PeerType::Observer).count();
    // The arms below stand in this order: nobody, observers without an ensemble, one participant, an ensemble.
    let participants = quorum.servers.len() - observers;
    let first = quorum.servers.keys().next().map(|id| format!("server.{id}"));
    let alone = quorum.standalone_enabled;
    let (key, text) = match (participants, observers, first) {
        (0, 0, _) => return without_members(reading, read_file),
        (0 | 1, 1.., Some(first)) if alone || participants == 0 => {
            (first, "observers need an ensemble of at least two participants".to_owned())
        }
        (1, 0, Some(first)) if alone => {
            let was_member = epoch_file(reading, read_file);
            let origin = reading.origin(&first);
            let text = "the only member, so this server runs standalone".to_owned();
            reading.note(Level::Info, &origin, &first, text);
            let text = match was_member {
                EpochFile::None => return,
                EpochFile::There(path) => format!(
                    "there is {}: this server was a member of an ensemble, and if other members \
                     still run, their data and this server's diverge from now on",
                    path.display()
                ),
                EpochFile::Unknown(path, why) => {
                    format!("{} cannot be read: {why}", path.display())
                }
            };
            reading.note(Level::Warn, &origin, &first, text);
            return;
        }
        (_, _, Some(first)) => {
            return distributed(reading, &first, participants, read_file.is_some());
        }
        (_, _, None) => return,
    };
    let origin = reading.origin(&key);
    reading.error(Problem::Conflict, &origin, &key, None, text);
}

/// No `server.N` was read: this server is standalone, unless something shows that it is a member.
// ZooKeeper: QuorumPeerConfig.parseDynamicConfig refuses if standaloneEnabled is false, and otherwise
// runs standalone, whatever the folder holds.
fn without_members(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    if let Some(path) = reading.config.quorum.dynamic_config_file.clone() {
        let name = path.display().to_string();
        let of_file = |error: &ConfigError| {
            error.key == "dynamicConfigFile"
                || matches!(&error.origin, Origin::File { name: of, .. } if **of == *name)
        };
        // Members in the wrong file are already an error.
        // `collect` has refused them.
        let misplaced = reading.values.keys().any(|key| key.starts_with("server."));
        if read_file.is_none() || misplaced || reading.errors.iter().any(of_file) {
            return;
        }
        let text = "there is no server.N in it, so this server cannot know its ensemble: write \
            the members into it as in the other servers' files, or remove dynamicConfigFile if \
            this server is to run standalone";
        return reading.error(Problem::Conflict, &Origin::file(&name), "", None, text.to_owned());
    }
    if !reading.config.quorum.standalone_enabled {
        let key = "standaloneEnabled";
        let origin = reading.origin(key);
        let text = "false, so at least one server.N must be a participant".to_owned();
        return reading.error(Problem::Conflict, &origin, key, None, text);
    }
    let path = match epoch_file(reading, read_file) {
        EpochFile::None => return,
        EpochFile::Unknown(path, why) => return unknown_epoch_file(reading, &path, &why),
        EpochFile::There(path) => path,
    };
    let text = "only members of an ensemble have this file, and the configuration names no server.N: \
                running standalone, this server would accept writes that the others never get. \
                List the members, or, if this server is to run standalone from now on, add one \
                line: \
                server.1=localhost:2888:3888";
    let origin = Origin::file(&path.display().to_string());
    reading.error(Problem::Conflict, &origin, "", None, text.to_owned());
}

/// A file that only members of an ensemble have.
enum EpochFile {
    /// There is no such file.
    None,
    /// The file exists.
    There(PathBuf),
    /// The system could not tell whether it exists, for this reason.
    Unknown(PathBuf, String),
}

/// Looks for a file that only a member of an ensemble writes. The folder of snapshots has them, as in ZooKeeper
/// (`version-2`).
fn epoch_file(reading: &Reading, read_file: &mut Option<ReadFile<'_>>) -> EpochFile {
    let Some(read_file) = read_file.as_mut() else { return EpochFile::None };
    let folder = &reading.config.storage.data_dir;
    if folder.as_os_str().is_empty() {
        return EpochFile::None;
    }
    // One of the two files is enough to know. That one cannot be read matters only if the other is not there.
    let mut unknown = EpochFile::None;
    for name in ["acceptedEpoch", "currentEpoch"] {
        let path = folder.join("version-2").join(name);
        match read_file(&path) {
            Ok(Some(_)) => return EpochFile::There(path),
            Ok(None) => {}
            Err(why) => unknown = EpochFile::Unknown(path, why),
        }
    }
    unknown
}

/// A server must not run standalone if it is unknown whether it is a member.
fn unknown_epoch_file(reading: &mut Reading, path: &Path, why: &str) {
    // If the folder is not readable, the error about myid has already said so.
    // `my_id` has read from the same folder before.
    let of_myid = reading.config.storage.data_dir.join("myid").display().to_string();
    let is_said = |error: &ConfigError| matches!(&error.origin, Origin::File { name, line: 0 } if **name == *of_myid);
    if reading.errors.iter().any(is_said) {
        return;
    }
    let text = format!(
        "cannot be read, so it is not known whether this server is a member of an ensemble, and \
         it does not run standalone: {why}"
    );
    let origin = Origin::file(&path.display().to_string());
    reading.error(Problem::Missing, &origin, "", None, text);
}

/// Checks what a member of an ensemble needs, and notes for its operator: the number of participants, addresses that
/// servers share, and this server's own line. `participants` are those of all lines, `first` is the key of the first
/// line, at which the note stands.
fn distributed(reading: &mut Reading, first: &str, participants: usize, files_were_read: bool) {
    needs_of_a_member(reading);
    // Q participants tolerate (Q - 1) / 2 failures, rounded down.
    let text = match participants {
        0 | 1 => None,
        2 => Some(
            "two participants: no server failure will be tolerated; you need at least 3 servers",
        ),
        n if n % 2 == 0 => Some(
            "an even number of participants tolerates no more failures than one less; consider an \
             odd number of servers",
        ),
        _ => None,
    };
    if let Some(text) = text {
        let origin = reading.origin(first);
        reading.note(Level::Warn, &origin, first, text.to_owned());
    }
    collisions::find(reading);
    own_line(reading, files_were_read);
}

/// What a member needs, whichever the other members are: the limits in ticks, one address for each server unless
/// several are allowed, and times between votes that do not contradict each other.
fn needs_of_a_member(reading: &mut Reading) {
    // ZooKeeper: QuorumPeerConfig.checkValidity; 0 is "not set".
    for (key, limit) in [
        ("initLimit", reading.config.quorum.init_limit),
        ("syncLimit", reading.config.quorum.sync_limit),
    ] {
        if limit == 0 && !reading.errors.iter().any(|error| error.key == key) {
            let origin = reading.origin(key);
            let text = format!("{key} is not set, and an ensemble needs it; allowed: ticks from 1");
            reading.error(Problem::Missing, &origin, key, None, text);
        }
    }
    addresses(reading);
    intervals(reading);
}

/// Several addresses of one server are an extension that all servers must know.
// ZooKeeper: QuorumServer.initializeWithAddressString.
fn addresses(reading: &mut Reading) {
    if reading.config.quorum.multi_address_enabled {
        return;
    }
    let several = |(_, line): &(&u64, &ServerLine)| line.addresses.len() > 1;
    let keys: Vec<String> = reading
        .config
        .quorum
        .servers
        .iter()
        .filter(several)
        .map(|(id, _)| format!("server.{id}"))
        .collect();
    for key in keys {
        let origin = reading.origin(&key);
        let text = "several addresses, which multiAddress.enabled = true would allow".to_owned();
        reading.error(Problem::Conflict, &origin, &key, None, text);
    }
}

/// This server's number, its line and its role: without number or line it cannot start. A number that is too large,
/// or a `peerType` that contradicts the line, is only a warning. The role of the line is stored as this server's.
fn own_line(reading: &mut Reading, files_were_read: bool) {
    if !files_were_read || reading.config.storage.data_dir.as_os_str().is_empty() {
        return;
    }
    let path = reading.config.storage.data_dir.join("myid").display().to_string();
    let Quorum { my_id, servers, peer_type, .. } = &reading.config.quorum;
    let Some(my_id) = *my_id else {
        let origin = Origin::file(&path);
        if !reading
            .errors
            .iter()
            .any(|error| matches!(&error.origin, Origin::File { name, .. } if **name == *path))
        {
            let text = "myid file is missing: write the number of this server into it, the N of its \
                        server.N line";
            reading.error(Problem::Missing, &origin, "", None, text.to_owned());
        }
        return;
    };
    let origin = Origin::File { name: path.into(), line: 1 };
    let Some(line) = servers.get(&my_id) else {
        // The text begins as ZooKeeper's exception does: operators search for it.
        let known: Vec<String> = servers.keys().map(ToString::to_string).collect();
        let text = format!(
            "My id {my_id} not in the peer list: there is no server.{my_id}, but there are servers \
             {}",
            known.join(", ")
        );
        return reading.error(Problem::Conflict, &origin, "", None, text);
    };
    let role = line.role;
    let said = *peer_type;
    if my_id > SERVER_ID_MAX {
        let text = format!(
            "numbers above {SERVER_ID_MAX} do not fit a session's id: sessions of this server may \
             get the ids of another's"
        );
        reading.note(Level::Warn, &origin, "", text);
    }
    // ZooKeeper: QuorumPeerConfig.setupPeerType, which also warns where peerType is not set.
    if let Some(said) = said.filter(|&said| said != role) {
        let origin = reading.origin("peerType");
        let text = format!("{said}, but the list of servers says {role}, and the list counts");
        reading.note(Level::Warn, &origin, "peerType", text);
    }
    // From here on the role is what the other members believe, whatever peerType says.
    reading.config.quorum.peer_type = Some(role);
}

/// The largest number that a session's id has room for.
// ZooKeeper: SessionTrackerImpl.initializeNextSessionId puts it into the highest byte.
const SERVER_ID_MAX: u64 = 255;

/// The two times between repeated votes.
fn intervals(reading: &mut Reading) {
    let Quorum { min_notification_interval_ms: min, max_notification_interval_ms: max, .. } =
        reading.config.quorum;
    if min > max {
        let key = "fastleader.minNotificationInterval";
        let origin = reading.origin(key);
        let text = format!(
            "{min} ms must not be larger than fastleader.maxNotificationInterval, which is {max} ms"
        );
        reading.error(Problem::Conflict, &origin, key, None, text);
    }
}

/// Reads the configuration that was proposed when the server last stopped, if there is one.
// ZooKeeper: QuorumPeerConfig.parse, which also ignores a file that it cannot read.
fn read_next(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    let (Some(read_file), Some(file)) = (read_file, reading.file.clone()) else { return };
    if !reading.config.quorum.reconfig_enabled {
        return;
    }
    // ZooKeeper: QuorumPeerConfig.nextDynamicConfigFileSuffix, beside the static file.
    let path = dynamic::beside(Path::new(&file), dynamic::NEXT);
    let origin = Origin::file(&path.display().to_string());
    // A note and no error: ZooKeeper ignores such a file too.
    let passed_over = |reading: &mut Reading, why: String| {
        let text =
            format!("ignored, so a reconfiguration that was in progress is forgotten: {why}");
        reading.note(Level::Warn, &origin, "", text);
    };
    let bytes = match read_file(&path) {
        Ok(None) => return,
        Ok(Some(bytes)) if bytes.len() <= FILE_BYTES_MAX => bytes,
        Ok(Some(_)) => return passed_over(reading, format!("more than {FILE_BYTES_MAX} bytes")),
        Err(why) => return passed_over(reading, format!("cannot be read: {why}")),
    };
    match crate::quorum::Config::from_bytes(&bytes) {
        Ok(next) => reading.config.quorum.last_seen = Some(next),
        Err(error) => passed_over(reading, error.to_string()),
    }
}
