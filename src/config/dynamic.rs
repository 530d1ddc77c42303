//! The files in which a changed ensemble is kept: `zoo.cfg.dynamic.next` for a configuration that
//! was proposed, `zoo.cfg.dynamic.VERSION` for the active one, and the static file, which names it.
//!
//! Imitates `QuorumPeer.setLastSeenQuorumVerifier` and `setQuorumVerifier`. Pure functions make the texts; only
//! [`Keeper`] touches files, and it does nothing if `reconfigEnabled` is false. The rule that is easy to break: the
//! dynamic file must be durable before the static file names it, or a crash between them leaves a server without
//! members. A failure is logged with what to do: until it stops, the server knows its ensemble without these files.
//!
//! ```text
//! Proposed   zoo.cfg.dynamic.next ◀─ members and version
//! Active  1. zoo.cfg.dynamic.VERSION ◀─ members, durable
//!         2. zoo.cfg ◀─ the same without members, with dynamicConfigFile=…
//!         3. zoo.cfg.dynamic.next is removed, if it is of this version or older
//! ```
//! The replica's host calls [`Keeper::keep`] with each change that the agreement code reports; at the next start
//! `config::members` reads what was kept.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::convert;
use super::document::Format;
use super::properties;
use super::read::FILE_BYTES_MAX;
use super::settings::Config;
use crate::id::ServerId;
use crate::quorum;
use crate::runtime::open_regular;
use crate::zab::ConfigChange;

/// Appended to the name of the static file; the version in hexadecimal follows.
const DYNAMIC: &str = ".dynamic.";

/// Appended to the name of the static file for a proposed configuration.
pub const NEXT: &str = ".dynamic.next";

/// Appended to the name of the static file for the copy of its original content.
const BACKUP: &str = ".bak";

/// Access to the files.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn read(&self, file: &Path) -> io::Result<Vec<u8>>;

    /// Replaces a file in one step that a crash cannot divide (`AtomicFileWritingIdiom`): written
    /// beside it, synced, renamed, folder synced.
    ///
    /// # Errors
    /// The system's.
    fn replace(&self, file: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The system's; `NotFound` if there is none.
    fn remove(&self, file: &Path) -> io::Result<()>;

    /// The full path of an existing file.
    ///
    /// # Errors
    /// The system's.
    fn whole_name(&self, file: &Path) -> io::Result<PathBuf>;
}

/// The real files beside a static file.
struct System<'a> {
    /// The written files get the mode of this one.
    like: &'a Path,
}

impl Files for System<'_> {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        read(file)
    }

    fn replace(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        replace(file, bytes, self.like)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn whole_name(&self, file: &Path) -> io::Result<PathBuf> {
        file.canonicalize()
    }
}

/// A file of the configuration. Beyond what one may have, nothing is read.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let bytes_max = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    open_regular(file)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > FILE_BYTES_MAX {
        let text = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Keeps the files of one server's configuration.
#[derive(Debug)]
pub struct Keeper {
    /// The static file. `None`: there is none to keep, or reconfiguration is switched off.
    file: Option<PathBuf>,
    /// This server, if it is a member.
    me: Option<ServerId>,
    /// Version of the newest known configuration.
    seen: i64,
    /// Version of the active one.
    active: i64,
    /// Whether the static file still lists the members, and is to be copied before it changes.
    members_in_static: bool,
}

impl Keeper {
    /// A keeper for a server that runs with `config`, read from `file`.
    pub fn new(config: &Config, file: Option<&Path>) -> Keeper {
        let quorum = &config.quorum;
        // Without reconfiguration the static file is the operator's alone.
        let kept = quorum.reconfig_enabled && quorum.is_distributed();
        let active = i64::try_from(quorum.version).unwrap_or(i64::MAX);
        let seen = quorum.last_seen.as_ref().map_or(active, |next| next.version.max(active));
        Keeper {
            file: file.filter(|_| kept).map(Path::to_owned),
            me: quorum.me(),
            seen,
            active,
            members_in_static: quorum.dynamic_config_file.is_none(),
        }
    }

    /// Copies a static file that lists members to `.bak`, because it will be rewritten.
    // ZooKeeper: QuorumPeerConfig.backupOldConfig, at each start until the file names a dynamic one.
    pub fn back_up(&self) {
        let Some(file) = self.file.as_deref().filter(|_| self.members_in_static) else { return };
        let backup = beside(file, BACKUP);
        if let Err(error) = read(file).and_then(|bytes| replace(&backup, &bytes, file)) {
            tracing::error!(
                "{} cannot be copied to {}: {error}; a reconfiguration will rewrite it: make the \
                 folder writable for this server, or copy it by hand",
                file.display(),
                backup.display()
            );
        }
    }

    /// Writes a new configuration to the files. A failure is logged, and changes nothing else.
    pub fn keep(&mut self, change: &ConfigChange) {
        let Some(file) = self.file.clone() else { return };
        self.keep_in(&System { like: &file }, change);
    }

    /// The same with other files than the system's.
    pub fn keep_in(&mut self, files: &dyn Files, change: &ConfigChange) {
        let Some(file) = self.file.clone() else { return };
        match change {
            ConfigChange::Proposed(config) => self.keep_proposed(files, &file, config),
            ConfigChange::Active(config) => self.keep_active(files, &file, config),
        }
    }

    /// Keeps a proposed configuration, so that a server that stops before it is active still knows of it.
    // ZooKeeper: QuorumPeer.setLastSeenQuorumVerifier.
    fn keep_proposed(&mut self, files: &dyn Files, file: &Path, config: &quorum::Config) {
        if config.version == self.seen {
            return;
        }
        self.seen = config.version;
        let next = beside(file, NEXT);
        let version = config.version;
        match files.replace(&next, next_text(config).as_bytes()) {
            Ok(()) => tracing::info!(
                "configuration {version:x} is proposed: kept in {} until it is active",
                next.display()
            ),
            Err(error) => tracing::error!(
                "configuration {version:x} is proposed, but cannot be kept in {}: {error}; if all \
                 servers stop before it is active everywhere, this one will not know of it: make \
                 the folder writable for this server",
                next.display()
            ),
        }
    }

    /// Keeps an active configuration that is newer than the last one.
    // ZooKeeper: QuorumPeer.setQuorumVerifier.
    fn keep_active(&mut self, files: &dyn Files, file: &Path, config: &quorum::Config) {
        if config.version <= self.active {
            return;
        }
        self.active = config.version;
        self.seen = self.seen.max(config.version);
        let version = config.version;
        let dynamic = beside(file, &format!("{DYNAMIC}{version:x}"));
        // The client address is removed from the static file only if the dynamic one has it.
        let own_client = self.me.and_then(|me| config.members.get(&me)?.client.as_ref());
        let rewritten = files
            .replace(&dynamic, dynamic_text(config).as_bytes())
            .and_then(|()| rewrite_static(files, file, &dynamic, own_client.is_some()));
        match rewritten {
            Ok(()) => {
                self.members_in_static = false;
                tracing::info!(
                    "configuration {version:x} is active: kept in {}, which {} names now",
                    dynamic.display(),
                    file.display()
                );
            }
            Err(error) => tracing::error!(
                "configuration {version:x} is active, but cannot be kept in {} and {}: {error}; \
                 the server continues with it, but its next start would use the members in these files: make the folder writable for this server, or write by hand into {}:\n{}",
                dynamic.display(),
                file.display(),
                dynamic.display(),
                dynamic_text(config)
            ),
        }
        if self.seen == version {
            let next = beside(file, NEXT);
            match files.remove(&next) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(
                    "{} is no longer needed but cannot be removed: {error}",
                    next.display()
                ),
            }
        }
    }
}

/// The content of `.dynamic.next`: the members and the version, sorted as texts.
// ZooKeeper: QuorumPeerConfig.writeDynamicConfig sorts, so server.10 comes before server.2.
pub fn next_text(config: &quorum::Config) -> String {
    let mut lines = member_lines(config);
    lines.push(format!("version={:x}", config.version));
    lines.sort_unstable();
    lines.join("\n")
}

/// The content of `.dynamic.VERSION`: only the members, sorted as texts.
pub fn dynamic_text(config: &quorum::Config) -> String {
    let mut lines = member_lines(config);
    lines.sort_unstable();
    lines.join("\n")
}

/// The lines of a configuration without its version.
fn member_lines(config: &quorum::Config) -> Vec<String> {
    let text = config.to_text();
    text.lines().filter(|line| !line.starts_with("version=")).map(str::to_owned).collect()
}

/// The name of a file beside another.
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The static file without its members, and with the name of the dynamic file.
///
/// # Errors
/// It is no longer TOML.
pub fn static_text(
    bytes: &[u8],
    name: &str,
    dynamic: &str,
    drop_client: bool,
) -> Result<Vec<u8>, String> {
    let drops = |key: &str| is_dropped(key, drop_client);
    match Format::of_name(name) {
        Format::ZooCfg => Ok(static_properties(bytes, dynamic, drops)),
        Format::Toml => {
            convert::rewritten_toml(bytes, name, &drops, &[("dynamicConfigFile", dynamic)])
                .map(String::into_bytes)
                .map_err(|errors| errors[0].to_string())
        }
    }
}

/// The keys that are removed from the static file.
// ZooKeeper: QuorumPeerConfig.editStaticConfig compares the prefixes of keys; with clientPort it also drops
// clientPortListenBacklog, which stays here.
fn is_dropped(key: &str, drop_client: bool) -> bool {
    ["server.", "group", "weight", "dynamicConfigFile", "peerType"]
        .iter()
        .any(|prefix| key.starts_with(prefix))
        || drop_client && (key == "clientPort" || key == "clientPortAddress")
}

/// The remaining lines, unchanged. ZooKeeper rewrites keys and values, without the comments and in the order of a
/// hash table; it can read the result of this function.
fn static_properties(bytes: &[u8], dynamic: &str, drops: impl Fn(&str) -> bool) -> Vec<u8> {
    let items = properties::read(bytes);
    let starts: Vec<(u32, bool)> = items
        .iter()
        .map(|item| match item {
            properties::Item::Comment { line, .. } | properties::Item::Malformed { line, .. } => {
                (*line, false)
            }
            properties::Item::Pair { line, key, .. } => (*line, drops(properties::java_trim(key))),
        })
        .collect();
    let mut out = Vec::with_capacity(bytes.len());
    let mut next = starts.iter().peekable();
    let mut dropping = false;
    for (index, line) in physical_lines(bytes).into_iter().enumerate() {
        while let Some((start, drop)) = next.peek()
            && usize::try_from(*start).is_ok_and(|start| start <= index + 1)
        {
            dropping = *drop;
            next.next();
        }
        // Blank lines belong to no key.
        if !dropping || line.iter().all(u8::is_ascii_whitespace) {
            out.extend_from_slice(line);
        }
    }
    if out.last().is_some_and(|&last| last != b'\n' && last != b'\r') {
        out.push(b'\n');
    }
    let mut line = String::new();
    properties::write_pair(&mut line, "dynamicConfigFile", dynamic);
    out.extend_from_slice(line.as_bytes());
    out
}

/// Lines with their ends: `\n`, `\r` or `\r\n`, as in properties.
fn physical_lines(bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        if byte == b'\n' || byte == b'\r' && bytes.get(i + 1) != Some(&b'\n') {
            lines.push(&bytes[start..=i]);
            start = i + 1;
        }
    }
    if start < bytes.len() {
        lines.push(&bytes[start..]);
    }
    lines
}

/// Replaces the static file by one that names a dynamic file.
///
/// # Errors
/// The system's; the static file is no longer TOML; or the folder's name is not UTF-8.
fn rewrite_static(
    files: &dyn Files,
    file: &Path,
    dynamic: &Path,
    drop_client: bool,
) -> io::Result<()> {
    let bytes = files.read(file)?;
    // A relative name would depend on the folder in which the next start happens.
    let dynamic = files.whole_name(dynamic)?;
    let named = dynamic.to_str().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "the folder's name is not UTF-8")
    })?;
    let name = file.to_string_lossy();
    let text = static_text(&bytes, &name, named, drop_client)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    files.replace(file, &text)
}

/// Replaces a file in one step that a crash cannot divide (`AtomicFileWritingIdiom`). The new file gets the mode of
/// `like`: files in the data folders are for the server alone, but the configuration belongs to the operator.
///
/// # Errors
/// The system's. Unless it comes from the last step, which makes the rename durable, the file is unchanged.
fn replace(file: &Path, bytes: &[u8], like: &Path) -> io::Result<()> {
    let tmp = beside(file, ".tmp");
    // Read each time: the operator may have changed the mode since the start.
    let readers = fs::metadata(like)?.permissions();
    let written = write_synced(&tmp, bytes, readers).and_then(|()| fs::rename(&tmp, file));
    if let Err(error) = written {
        // A remaining temporary file would only confuse; a failure to remove it changes nothing.
        let _ = fs::remove_file(&tmp);
        return Err(error);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Writes a new file and waits until its content is durable.
///
/// # Errors
/// The system's.
fn write_synced(file: &Path, bytes: &[u8], readers: fs::Permissions) -> io::Result<()> {
    let mut out = File::create(file)?;
    out.set_permissions(readers)?;
    out.write_all(bytes)?;
    out.sync_all()
}
