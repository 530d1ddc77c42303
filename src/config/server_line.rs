//! The lines of an ensemble: `server.N`, `group.N` and `weight.N`.
//!
//! Read here in full, so that a single `server.1` can stand alone as it does with ZooKeeper; what
//! an ensemble makes of more than one is not this module's.

use std::fmt;

use super::settings::{Listen, ListenHost};

/// A member's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Votes.
    #[default]
    Participant,
    /// Does not.
    Observer,
}

/// One address of a member: a host with the port of the leader and that of elections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Port on which a leader waits for learners.
    pub quorum_port: u16,
    /// Port of elections.
    pub election_port: u16,
}

/// `server.N = host:quorumPort:electionPort[:role][|…][;[clientHost:]clientPort]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLine {
    /// Its addresses; at least one.
    pub addresses: Vec<MemberAddress>,
    /// Its role.
    pub role: Role,
    /// Where its clients connect, if the line says so.
    pub client: Option<Listen>,
}

/// `group.N = id:id:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    /// The servers of the group, in the order of the line.
    pub servers: Vec<u64>,
}

const SERVER_FORM: &str = "allowed: host:quorumPort:electionPort[:participant|:observer]\
                           [|host:port:port…][;[host:]clientPort]";

impl ServerLine {
    /// Reads the value of a `server.N` line.
    pub fn parse(text: &str) -> Result<Self, String> {
        // Java's split drops trailing empty parts, so "a:1:2;" has no client part.
        let parts = java_split(text, ';');
        let (members, client) = match parts[..] {
            [members] => (members, None),
            [members, client] => (members, Some(client)),
            _ => return Err(SERVER_FORM.to_owned()),
        };
        let client = client.map(client_address).transpose()?;
        let mut addresses = Vec::new();
        let mut role: Option<Role> = None;
        for member in java_split(members, '|') {
            let fields = host_and_ports(member)?;
            let (host, quorum, election) = match fields[..] {
                [host, quorum, election] => (host, quorum, election),
                [host, quorum, election, word] => {
                    let this = parse_role(word)?;
                    if role.is_some_and(|r| r != this) {
                        return Err(
                            "all addresses of one server must have the same role".to_owned()
                        );
                    }
                    role = Some(this);
                    (host, quorum, election)
                }
                _ => return Err(SERVER_FORM.to_owned()),
            };
            let (quorum_port, election_port) = (port(quorum)?, port(election)?);
            if quorum_port == election_port {
                return Err("quorum port and election port must be different".to_owned());
            }
            addresses.push(MemberAddress { host: host.to_owned(), quorum_port, election_port });
        }
        if addresses.is_empty() {
            return Err(SERVER_FORM.to_owned());
        }
        Ok(ServerLine { addresses, role: role.unwrap_or_default(), client })
    }
}

impl GroupLine {
    /// Reads the value of a `group.N` line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let servers = java_split(text, ':')
            .into_iter()
            .map(|id| id.parse().map_err(|_| "allowed: server ids with colons between".to_owned()))
            .collect::<Result<Vec<u64>, _>>()?;
        Ok(GroupLine { servers })
    }
}

/// The number in `server.N`, `group.N` or `weight.N`.
pub(super) fn number_of(key: &str) -> Result<u64, String> {
    let (word, number) = key.split_once('.').unwrap_or((key, ""));
    // ZooKeeper takes any long.
    let number = number.parse().ok().filter(|&number| i64::try_from(number).is_ok());
    number.ok_or_else(|| format!("allowed: {word}.N with a number N from 0"))
}

fn parse_role(word: &str) -> Result<Role, String> {
    match word.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(Role::Participant),
        "observer" => Ok(Role::Observer),
        _ => Err("the role is neither participant nor observer".to_owned()),
    }
}

fn client_address(text: &str) -> Result<Listen, String> {
    match host_and_ports(text)?[..] {
        [text] => Ok(Listen { host: ListenHost::Any, port: port(text)? }),
        [host, text] => Ok(Listen { host: ListenHost::parse(host), port: port(text)? }),
        _ => Err(SERVER_FORM.to_owned()),
    }
}

/// Splits at colons; a host in brackets may contain some.
fn host_and_ports(text: &str) -> Result<Vec<&str>, String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(java_split(text, ':'));
    };
    let (host, rest) = rest.split_once(']').ok_or("a '[' has no matching ']'")?;
    let rest = rest.strip_prefix(':').filter(|r| !r.is_empty()).ok_or("no port after the ']'")?;
    let mut fields = vec![host];
    fields.extend(java_split(rest, ':'));
    Ok(fields)
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("the port {text:?} is not a number from 0 to 65535"))
}

/// Java's `String.split` by one character: trailing empty parts are dropped, but a text without the
/// separator is one part even when it is empty.
fn java_split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(separator).collect();
    if parts.len() > 1 {
        while parts.last().is_some_and(|p| p.is_empty()) {
            parts.pop();
        }
    }
    parts
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Participant => "participant",
            Role::Observer => "observer",
        })
    }
}

impl fmt::Display for ServerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, MemberAddress { host, quorum_port, election_port }) in
            self.addresses.iter().enumerate()
        {
            let bar = if i == 0 { "" } else { "|" };
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            write!(f, "{bar}{open}{host}{close}:{quorum_port}:{election_port}:{}", self.role)?;
        }
        match &self.client {
            Some(Listen { host: ListenHost::Any, port }) => write!(f, ";0.0.0.0:{port}"),
            Some(listen) => write!(f, ";{listen}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_zookeeper_writes_them() {
        for text in [
            "127.0.0.1:24888:25888:participant",
            "zk1:2888:3888:observer;0.0.0.0:2181",
            "zk1:2888:3888:participant;127.0.0.1:2181",
            "[::1]:2888:3888:participant;[::1]:2181",
            "a:1:2:participant|b:3:4:participant",
        ] {
            assert_eq!(ServerLine::parse(text).unwrap().to_string(), text);
        }
        let short = ServerLine::parse("zk1:2888:3888;2181").unwrap();
        assert_eq!(short.client, Some(Listen { host: ListenHost::Any, port: 2181 }));
        assert_eq!(short.role, Role::Participant);
        assert_eq!(ServerLine::parse("zk1:2888:3888:OBSERVER").unwrap().role, Role::Observer);
        assert_eq!(ServerLine::parse("zk1:2888:3888;").unwrap().client, None);
    }

    #[test]
    fn wrong_lines_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "allowed"),
            (";", "allowed"),
            ("|", "allowed"),
            ("zk1", "allowed"),
            ("zk1:2888", "allowed"),
            ("zk1:2888:3888:participant:x", "allowed"),
            ("zk1:1:2;3;4", "allowed"),
            ("zk1:1:2;a:b:3", "allowed"),
            ("zk1:x:2", "port"),
            ("zk1:1:65536", "port"),
            ("zk1:7:7", "different"),
            ("zk1:1:2:leader", "role"),
            ("a:1:2:observer|b:1:2:participant", "same role"),
            ("[::1:1:2", "matching"),
            ("[::1]", "no port"),
            ("[::1]:", "no port"),
        ] {
            let error = ServerLine::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn groups_and_numbers() {
        assert_eq!(GroupLine::parse("1:2:3").unwrap().servers, vec![1, 2, 3]);
        assert!(GroupLine::parse("1:x").is_err());
        assert!(GroupLine::parse("").is_err());
        assert_eq!(number_of("server.12"), Ok(12));
        assert!(number_of("server.x").is_err());
        assert!(number_of("group").is_err());
    }
}
