//! The text of a configuration: in the znode `/zookeeper/config`, in NEWLEADER, in notifications, in files.
//!
//! ```text
//! server.1=zk1:2888:3888:participant;0.0.0.0:2181
//! group.1=1:2:3
//! weight.1=1
//! version=400000003
//! ```
//! Servers first, by id, then groups and weights where the quorum is hierarchical, and last the version in
//! hexadecimal digits, without a line end. It is read as Java reads properties
//! (`QuorumPeerConfig.parseDynamicConfig`). Because it comes from other servers and from clients, every field is
//! checked.

use std::collections::BTreeMap;
use std::fmt;

use super::server_line::parse_group;
use super::{Config, Member};
use crate::id::ServerId;
use crate::limits::{CONFIG_BYTES_MAX, CONFIG_MEMBERS_MAX};

/// Why a text is not a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the configuration, {text:?}: {reason}")]
pub struct ConfigError {
    /// The number of the line, from 1; 0 if the text as a whole is wrong.
    pub line: usize,
    /// The line, cut off after 200 characters; empty if `line` is 0.
    pub text: String,
    /// What is wrong, and which values are allowed.
    pub reason: String,
}

impl ConfigError {
    /// An error about the text as a whole.
    fn whole(reason: String) -> ConfigError {
        ConfigError { line: 0, text: String::new(), reason }
    }
}

impl Config {
    /// Reads a configuration that can elect a leader: it has at least one voter.
    ///
    /// # Errors
    /// If a line is not one of a configuration, the text or the number of members is beyond its bound, a voter of a
    /// hierarchical configuration is in no group, or there is no voter.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let config = Config::parse_any(text)?;
        if config.voters().next().is_none() {
            return Err(ConfigError::whole(
                "it has no participants, so no server could lead".into(),
            ));
        }
        Ok(config)
    }

    /// Reads the same from bytes that came from another server.
    ///
    /// # Errors
    /// As [`Config::parse`], and if the bytes are not UTF-8.
    pub fn from_bytes(bytes: &[u8]) -> Result<Config, ConfigError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ConfigError::whole(format!("no UTF-8: {error}")))?;
        Config::parse(text)
    }

    /// The configuration as every other server reads it from its text.
    ///
    /// # Errors
    /// The text cannot be read, or reads as another configuration.
    pub(super) fn as_read(&self) -> Result<Config, ConfigError> {
        let text = self.to_text();
        let read = Config::parse(&text)?;
        if read.to_text() != text {
            let reason = "its text would be read as another configuration".to_owned();
            return Err(ConfigError::whole(reason));
        }
        Ok(read)
    }

    /// Reads a configuration, which may be without participants.
    ///
    /// # Errors
    /// As [`Config::parse`], except for that.
    pub(super) fn parse_any(text: &str) -> Result<Config, ConfigError> {
        if text.len() > CONFIG_BYTES_MAX {
            let reason = format!("{} bytes are too many, allowed: {CONFIG_BYTES_MAX}", text.len());
            return Err(ConfigError::whole(reason));
        }
        let lines = last_of_each_key(text);
        let mut config = Config::default();
        let mut group_of = BTreeMap::new();
        for (key, Line { number, text, value }) in lines {
            config.add(&mut group_of, &key, &value).map_err(|reason| ConfigError {
                line: number,
                text: text.chars().take(200).collect(),
                reason,
            })?;
        }
        if config.members.len() > CONFIG_MEMBERS_MAX {
            let reason = format!("more than {CONFIG_MEMBERS_MAX} servers");
            return Err(ConfigError::whole(reason));
        }
        config.complete(&group_of).map_err(ConfigError::whole)?;
        assert!(config.version >= 0, "a version is a zxid: {:x}", config.version);
        assert!(config.members.len() <= CONFIG_MEMBERS_MAX, "their number has a bound");
        Ok(config)
    }

    /// Adds what one line says. `group_of` has the group of each server so far.
    fn add(
        &mut self,
        group_of: &mut BTreeMap<ServerId, i64>,
        key: &str,
        value: &str,
    ) -> Result<(), String> {
        if key == "version" {
            self.version =
                parse_hex(value).ok_or("the version is not a hexadecimal number".to_owned())?;
        } else if key.starts_with("server.") {
            self.members.insert(server_of(key)?, Member::parse(value)?);
        } else if key.starts_with("group") {
            let group = number_of(key)?;
            let servers = self.groups.entry(group).or_default();
            for id in parse_group(value)? {
                let id = i64::try_from(id).map_err(|_| format!("no server has the id {id}"))?;
                if group_of.insert(ServerId(id), group).is_some() {
                    return Err(format!("server {id} is in more than one group"));
                }
                servers.insert(ServerId(id));
            }
        } else if key.starts_with("weight") {
            let weight: i64 =
                value.parse().map_err(|_| format!("the weight {value:?} is not a number"))?;
            if weight < 0 {
                return Err("a weight is never negative".to_owned());
            }
            self.weights.insert(server_of(key)?, weight);
        } else {
            return Err("unknown; allowed: server.N, group.N, weight.N and version".to_owned());
        }
        Ok(())
    }

    /// Completes a hierarchical configuration after the last line: every voter needs a group, and has weight 1 unless
    /// a line says otherwise (`QuorumHierarchical.parse`).
    fn complete(&mut self, group_of: &BTreeMap<ServerId, i64>) -> Result<(), String> {
        if self.groups.is_empty() && self.weights.is_empty() {
            return Ok(());
        }
        let voters: Vec<ServerId> = self.voters().collect();
        for id in voters {
            if !group_of.contains_key(&id) {
                return Err(format!("server {id} is in no group, but there are groups or weights"));
            }
            self.weights.entry(id).or_insert(1);
        }
        assert!(self.weights.values().all(|weight| *weight >= 0), "a weight is never negative");
        match group_of.keys().find(|id| !self.weights.contains_key(id)) {
            Some(id) => {
                Err(format!("server {id} is in a group, but does not vote and weighs nothing"))
            }
            None => Ok(()),
        }
    }

    /// The configuration as ZooKeeper writes it.
    pub fn to_text(&self) -> String {
        self.to_string()
    }
}

/// Writes the text of the configuration, which [`Config::parse`] reads.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, member) in &self.members {
            writeln!(f, "server.{id}={member}")?;
        }
        for (group, servers) in &self.groups {
            let servers: Vec<String> = servers.iter().map(ServerId::to_string).collect();
            writeln!(f, "group.{group}={}", servers.join(":"))?;
        }
        for (id, weight) in &self.weights {
            writeln!(f, "weight.{id}={weight}")?;
        }
        write!(f, "version={:x}", self.version)
    }
}

/// Java's `Long.parseLong(text, 16)`; a version is a zxid, and no zxid is negative.
fn parse_hex(text: &str) -> Option<i64> {
    i64::from_str_radix(text, 16).ok().filter(|version| *version >= 0)
}

/// The number in a key such as `group.2`.
fn number_of(key: &str) -> Result<i64, String> {
    // ZooKeeper takes the text after the first dot.
    let number = key.split_once('.').and_then(|(_, number)| number.parse().ok());
    number.filter(|number| *number >= 0).ok_or_else(|| format!("{key:?} names no number from 0"))
}

/// The server id in a key such as `weight.2`.
fn server_of(key: &str) -> Result<ServerId, String> {
    number_of(key).map(ServerId)
}

/// The last line of a key.
struct Line<'a> {
    /// Its number, from 1.
    number: usize,
    /// The line as it is written.
    text: &'a str,
    /// The value, without backslashes that precede special characters.
    value: String,
}

/// Java's `Properties.load`, as far as configurations go: comments, `key=value`, `key:value` and `key value`, a
/// backslash before a special character. The last line of a key counts. A line that continues on the next one is not
/// supported.
fn last_of_each_key(text: &str) -> BTreeMap<String, Line<'_>> {
    let mut lines = BTreeMap::new();
    for (index, text) in text.split(['\n', '\r']).enumerate() {
        let line = text.trim_start_matches([' ', '\t', '\x0c']);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let (key, value) = key_and_value(line);
        lines.insert(key, Line { number: index + 1, text, value });
    }
    lines
}

/// Splits a line at its first separator that no backslash precedes.
fn key_and_value(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut chars = line.char_indices();
    let mut rest = "";
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => key.extend(chars.next().map(|(_, c)| c)),
            '=' | ':' | ' ' | '\t' | '\x0c' => {
                let after = line[at..].trim_start_matches([' ', '\t', '\x0c']);
                let after = after.strip_prefix(['=', ':']).unwrap_or(after);
                rest = after.trim_start_matches([' ', '\t', '\x0c']);
                break;
            }
            c => key.push(c),
        }
    }
    let mut value = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (key, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::PeerType;
    use crate::random::Random;

    const GOLDEN: &str = "server.1=127.0.0.1:24888:25888:participant\n\
                          server.3=127.0.0.1:24890:25890:participant\n\
                          server.4=127.0.0.1:24891:25891:observer\n\
                          version=400000003";

    #[test]
    fn zookeepers_own_text_is_read_and_written_byte_for_byte() {
        let hierarchical = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                            server.9=c:1:2:observer;10.0.0.1:2181\ngroup.1=1:2\nweight.1=3\n\
                            weight.2=0\nversion=0";
        for text in [GOLDEN, hierarchical] {
            assert_eq!(Config::parse(text).unwrap().to_text(), text);
        }
        let config = Config::parse(GOLDEN).unwrap();
        assert_eq!(config.version, 0x4_0000_0003);
        assert_eq!(config.members[&ServerId(4)].role, PeerType::Observer);
    }

    #[test]
    fn the_order_of_lines_and_their_form_do_not_matter() {
        let text =
            "# who\n  version = 5\r\n!and\nserver.10:b:1:2\nserver.2 a:1\\:2;3\nserver.2=c:1:2\n\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(
            config.to_text(),
            "server.2=c:1:2:participant\nserver.10=b:1:2:participant\nversion=5"
        );
    }

    #[test]
    fn a_participant_without_a_weight_weighs_one() {
        let config = Config::parse("server.1=a:1:2\ngroup.7=1").unwrap();
        assert_eq!(
            config.to_text(),
            "server.1=a:1:2:participant\ngroup.7=1\nweight.1=1\nversion=0"
        );
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_line() {
        for (text, line, reason) in [
            ("", 0, "no participants"),
            ("server.1=a:1:2:observer", 0, "no participants"),
            ("version=0\nserver.1=a:1", 2, "allowed"),
            ("server.x=a:1:2", 1, "no number"),
            ("server.-1=a:1:2", 1, "no number"),
            ("server.99999999999999999999=a:1:2", 1, "no number"),
            ("version=xyz\nserver.1=a:1:2", 1, "hexadecimal"),
            ("version=-3\nserver.1=a:1:2", 1, "hexadecimal"),
            ("version=10000000000000000\nserver.1=a:1:2", 1, "hexadecimal"),
            ("clientPort=2181\nserver.1=a:1:2", 1, "unknown"),
            ("server.1=a:1:2\ngroup.1=1\ngroup.2=1", 3, "more than one group"),
            ("server.1=a:1:2\nweight.1=2", 0, "no group"),
            ("server.1=a:1:2\ngroup.1=1:2", 0, "weighs nothing"),
            ("server.1=a:1:2\ngroup.1=1\nweight.1=-1", 3, "negative"),
            ("server.1=a:1:2\ngroup.1=1\nweight.1=q", 3, "not a number"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.reason.contains(reason), "{text:?}: {error}");
        }
        assert!(Config::from_bytes(&[0xff]).is_err());
    }

    #[test]
    fn what_is_read_from_a_damaged_text_can_be_written_and_read_again() {
        let whole = format!("{GOLDEN}\ngroup.1=1:3\nweight.1=2");
        let alphabet = b"0123456789=:;|.[]#!\\\n\r\t ,svegrwn-+";
        let mut random = Random::new(7);
        let mut below = |bound: usize| random.index(bound);
        let mut read = 0;
        for _ in 0..20_000 {
            let mut bytes = whole.clone().into_bytes();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = alphabet[below(alphabet.len())],
                    1 => bytes.insert(at, alphabet[below(alphabet.len())]),
                    _ => _ = bytes.remove(at),
                }
            }
            if let Ok(config) = Config::from_bytes(&bytes) {
                read += 1;
                let text = config.to_text();
                let again = Config::parse(&text);
                assert_eq!(again.as_ref().map(Config::to_text), Ok(text), "{config:?}");
            }
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn a_configuration_has_a_bound() {
        let many = |n: usize| (0..n).map(|i| format!("server.{i}=a:1:2\n")).collect::<String>();
        assert!(Config::parse(&many(CONFIG_MEMBERS_MAX)).is_ok());
        assert!(Config::parse(&many(CONFIG_MEMBERS_MAX + 1)).is_err());
        let comment = format!("server.1=a:1:2\n#{}", "x".repeat(CONFIG_BYTES_MAX));
        assert!(Config::parse(&comment).unwrap_err().reason.contains("too many"));
    }
}
