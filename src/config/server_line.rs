//! The lines of an ensemble: `server.N`, `group.N` and `weight.N`.
//!
//! `quorum` reads and writes them; this module adapts them to the configuration.
//!
//! ```text
//! server.1=a:2888:3888|b:2888:3888:observer;0.0.0.0:2181
//!          addresses, one or more │ role   │ client address, or its port alone
//! group.1=1:2:3                     ids
//! weight.1=3                        a number, which `value` reads
//! ```

use std::fmt;

use super::settings::{Listen, ListenHost};
use crate::quorum::{Member, parse_group};
pub use crate::quorum::{MemberAddress, PeerType};

/// `server.N = host:quorumPort:electionPort[:role][|…][;[clientHost:]clientPort]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLine {
    /// Its addresses; at least one.
    pub addresses: Vec<MemberAddress>,
    /// Its role.
    pub role: PeerType,
    /// The address for its clients, if the line has one.
    pub client: Option<Listen>,
}

/// `group.N = id:id:…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    /// The servers of the group, in the order of the line.
    pub servers: Vec<u64>,
}

impl ServerLine {
    /// Reads the value of a `server.N` line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Member { addresses, role, client } = Member::parse(text)?;
        let client = client.as_ref().map(Listen::of_member);
        Ok(ServerLine { addresses, role, client })
    }

    /// The member that it describes.
    pub fn member(&self) -> Member {
        let client = self.client.as_ref().map(|listen| {
            let host = match &listen.host {
                ListenHost::Any => None,
                ListenHost::Ip(ip) => Some(ip.to_string()),
                ListenHost::Zoned { address, zone } => Some(format!("{address}%{zone}")),
                ListenHost::Name(name) => Some(name.clone()),
            };
            (host, listen.port)
        });
        Member { addresses: self.addresses.clone(), role: self.role, client }
    }
}

impl GroupLine {
    /// Reads the value of a `group.N` line.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(GroupLine { servers: parse_group(text)? })
    }
}

/// The number in `server.N`, `group.N` or `weight.N`.
pub(super) fn number_of(key: &str) -> Result<u64, String> {
    let (word, number) = key.split_once('.').unwrap_or((key, ""));
    // ZooKeeper takes any long.
    let number = number.parse().ok().filter(|&number| i64::try_from(number).is_ok());
    number.ok_or_else(|| format!("allowed: {word}.N with a number N from 0"))
}

impl fmt::Display for ServerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.member().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_it_was_read() {
        for text in [
            "zk1:2888:3888:observer;0.0.0.0:2181",
            "zk1:2888:3888:participant;127.0.0.1:2181",
            "a:1:2|b:3:4:participant;clients:2181",
        ] {
            assert_eq!(ServerLine::parse(text).unwrap().to_string(), text);
        }
        let short = ServerLine::parse("zk1:2888:3888;2181").unwrap();
        assert_eq!(short.client, Some(Listen { host: ListenHost::Any, port: 2181 }));
    }

    #[test]
    fn groups_and_numbers() {
        assert_eq!(GroupLine::parse("1:2:3").unwrap().servers, vec![1, 2, 3]);
        assert!(GroupLine::parse("1:x").is_err());
        assert_eq!(number_of("server.12"), Ok(12));
        assert!(number_of("server.x").is_err());
        assert!(number_of("group").is_err());
    }
}
