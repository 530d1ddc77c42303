//! The value of a `server.N` line: one member, as a text and back (`QuorumPeer.QuorumServer`).
//!
//! ```text
//! host:quorumPort:electionPort[:role][|host:quorumPort:electionPort[:role]]…[;[clientHost:]clientPort]
//! ```
//! The role is `participant`, also if there is none, or `observer`; a host that contains colons stands in brackets.
//! The output is that of ZooKeeper, byte for byte, because the text is in a znode and in packets. `text` and `config`
//! read such lines; nothing here resolves a name.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::{Member, MemberAddress, PeerType};
use crate::limits::{HOST_BYTES_MAX, MEMBER_ADDRESSES_MAX};

/// What an error says about a line of another form.
const SERVER_FORM: &str = "allowed: host:quorumPort:electionPort[:participant|:observer]\
                           [|host:port:port…][;[host:]clientPort]";

impl Member {
    /// Reads the value of a `server.N` line.
    ///
    /// # Errors
    /// A sentence that says what is wrong. The caller adds the line.
    pub fn parse(text: &str) -> Result<Member, String> {
        // Java's split drops trailing empty parts, so "a:1:2;" has no client part.
        let parts = java_split(text, ';');
        let (addresses, client) = match parts[..] {
            [addresses] => (addresses, None),
            [addresses, client] => (addresses, Some(client)),
            _ => return Err(SERVER_FORM.to_owned()),
        };
        let client = client.map(client_address).transpose()?;
        let (addresses, role) = member_addresses(addresses)?;
        assert!(!addresses.is_empty(), "a member has an address");
        Ok(Member { addresses, role, client })
    }
}

/// Reads the part before the `;`: the addresses, and the role, which is the same for all of them.
fn member_addresses(text: &str) -> Result<(Vec<MemberAddress>, PeerType), String> {
    let mut addresses: Vec<MemberAddress> = Vec::new();
    let mut role: Option<PeerType> = None;
    for address in java_split(text, '|') {
        let fields = host_and_ports(address)?;
        let (host, quorum, election) = match fields[..] {
            [host, quorum, election] => (host, quorum, election),
            [host, quorum, election, word] => {
                let this = parse_role(word)?;
                if role.is_some_and(|r| r != this) {
                    return Err("all addresses of one server must have the same role".to_owned());
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
        let address = MemberAddress { host: checked_host(host)?, quorum_port, election_port };
        // An address that is written twice would be read back once, and the text of a configuration must stay the
        // same.
        if !addresses.iter().any(|known| is_written_alike(known, &address)) {
            addresses.push(address);
        }
        if addresses.len() > MEMBER_ADDRESSES_MAX {
            return Err(format!("more than {MEMBER_ADDRESSES_MAX} addresses"));
        }
    }
    if addresses.is_empty() {
        return Err(SERVER_FORM.to_owned());
    }
    assert!(addresses.len() <= MEMBER_ADDRESSES_MAX, "their number has a bound");
    Ok((addresses, role.unwrap_or_default()))
}

/// Reads the value of a `group.N` line: server ids separated by colons.
///
/// # Errors
/// If one of them is not a number from 0.
pub fn parse_group(text: &str) -> Result<Vec<u64>, String> {
    java_split(text, ':')
        .into_iter()
        .map(|id| id.parse().map_err(|_| "allowed: server ids separated by colons".to_owned()))
        .collect()
}

/// Reads a role, in upper or lower case.
fn parse_role(word: &str) -> Result<PeerType, String> {
    match word.trim().to_ascii_lowercase().as_str() {
        "participant" => Ok(PeerType::Participant),
        "observer" => Ok(PeerType::Observer),
        _ => Err("the role is neither participant nor observer".to_owned()),
    }
}

/// Reads the part after the `;`. The host `0.0.0.0` counts as none, as it is written again.
fn client_address(text: &str) -> Result<(Option<String>, u16), String> {
    match host_and_ports(text)?[..] {
        [text] => Ok((None, port(text)?)),
        ["0.0.0.0", text] => Ok((None, port(text)?)),
        [host, text] => Ok((Some(checked_host(host)?), port(text)?)),
        _ => Err(SERVER_FORM.to_owned()),
    }
}

/// Splits an address at its colons; a host in brackets, which may contain colons, is one field, without the brackets.
///
/// # Errors
/// If a bracket is not closed, or nothing follows it.
// ZooKeeper: ConfigUtils.getHostAndPort.
pub fn host_and_ports(text: &str) -> Result<Vec<&str>, String> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(java_split(text, ':'));
    };
    let (host, rest) = rest.split_once(']').ok_or("a '[' has no matching ']'")?;
    let rest = rest.strip_prefix(':').filter(|r| !r.is_empty()).ok_or("no port after the ']'")?;
    let mut fields = vec![host];
    fields.extend(java_split(rest, ':'));
    Ok(fields)
}

/// The host, if it is one that the text of a configuration can hold.
fn checked_host(host: &str) -> Result<String, String> {
    if host.is_empty() {
        return Err("there is no host before the port".to_owned());
    }
    // Checked as it will be written, because it is read again then: an IPv6 address becomes longer.
    if host.len() > HOST_BYTES_MAX || java_host(host).len() > HOST_BYTES_MAX {
        return Err(format!("the host has more than {HOST_BYTES_MAX} characters"));
    }
    // A character with a meaning in the text of a configuration could not be read back.
    if host.chars().any(|c| c.is_control() || c.is_whitespace() || "=;|[],\\".contains(c)) {
        return Err(format!("{host:?} is not the name of a host"));
    }
    Ok(host.to_owned())
}

/// Reads a port, from 0 to 65535.
fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("the port {text:?} is not a number from 0 to 65535"))
}

/// Java's `String.split` by one character. It drops trailing empty parts, but a text without the separator is one
/// part, even an empty text.
fn java_split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(separator).collect();
    if parts.len() > 1 {
        while parts.last().is_some_and(|p| p.is_empty()) {
            parts.pop();
        }
    }
    parts
}

/// The host as ZooKeeper writes it, without brackets: an IPv6 address in full.
// ZooKeeper: InetSocketAddress.getHostString of a literal address is Inet6Address.getHostAddress,
// eight groups without leading zeroes and without `::`.
fn java_host(host: &str) -> Cow<'_, str> {
    if let Some((address, zone)) = host.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return format!("{}%{zone}", java_host(address)).into();
    }
    match host.parse::<Ipv6Addr>() {
        Ok(address) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string().into(),
            None => address.segments().map(|group| format!("{group:x}")).join(":").into(),
        },
        Err(_) => host.into(),
    }
}

/// Whether two addresses have the same text, so that only one of them would be read back.
fn is_written_alike(one: &MemberAddress, other: &MemberAddress) -> bool {
    let ports = |address: &MemberAddress| (address.quorum_port, address.election_port);
    ports(one) == ports(other) && java_host(&one.host) == java_host(&other.host)
}

/// The host as it may precede a port: an IPv6 address in full and in brackets, anything else as it is.
pub fn bracketed(host: &str) -> Cow<'_, str> {
    let host = java_host(host);
    if host.contains(':') { format!("[{host}]").into() } else { host }
}

/// Whether the host stands for all addresses of a machine (`0.0.0.0`, `::`). Nobody can connect to such a host.
pub fn is_wildcard(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_unspecified())
}

/// Whether the host is the machine itself: `localhost`, `127.0.0.0/8` or `::1`.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Writes the role as in a `server.N` line.
impl fmt::Display for PeerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerType::Participant => "participant",
            PeerType::Observer => "observer",
        })
    }
}

/// Writes the value of the `server.N` line, which [`Member::parse`] reads.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // ZooKeeper: QuorumServer.toString sorts by host, and names the role once.
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_by(|a, b| java_host(&a.host).cmp(&java_host(&b.host)));
        for (i, MemberAddress { host, quorum_port, election_port }) in
            addresses.into_iter().enumerate()
        {
            let bar = if i == 0 { "" } else { "|" };
            write!(f, "{bar}{}:{quorum_port}:{election_port}", bracketed(host))?;
        }
        write!(f, ":{}", self.role)?;
        match &self.client {
            Some((host, port)) => {
                write!(f, ";{}:{port}", bracketed(host.as_deref().unwrap_or("0.0.0.0")))
            }
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
            "[0:0:0:0:0:0:0:1]:2888:3888:participant;[fe80:0:0:0:0:0:0:a]:2181",
            "a:1:2|b:3:4:participant",
        ] {
            assert_eq!(Member::parse(text).unwrap().to_string(), text);
        }
        let short = Member::parse("zk1:2888:3888;2181").unwrap();
        assert_eq!(short.client, Some((None, 2181)));
        assert_eq!(short.role, PeerType::Participant);
        assert_eq!(Member::parse("zk1:2888:3888:OBSERVER").unwrap().role, PeerType::Observer);
        assert_eq!(Member::parse("zk1:2888:3888;").unwrap().client, None);
    }

    #[test]
    fn lines_are_written_as_java_writes_them() {
        for (text, java) in [
            ("b:1:2:observer|a:3:4:observer;2181", "a:3:4|b:1:2:observer;0.0.0.0:2181"),
            ("[::1]:1:2;[::]:3", "[0:0:0:0:0:0:0:1]:1:2:participant;[0:0:0:0:0:0:0:0]:3"),
            ("[::ffff:1.2.3.4]:1:2", "1.2.3.4:1:2:participant"),
            ("a:1:2;[::1%lo]:3", "a:1:2:participant;[0:0:0:0:0:0:0:1%lo]:3"),
            ("a:1:2|a:1:2", "a:1:2:participant"),
            ("[::1]:1:2|[0:0::1]:1:2", "[0:0:0:0:0:0:0:1]:1:2:participant"),
        ] {
            assert_eq!(Member::parse(text).unwrap().to_string(), java);
        }
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
            ("zk1:1:-2", "port"),
            ("zk1:7:7", "different"),
            ("zk1:1:2:leader", "role"),
            ("a:1:2:observer|b:1:2:participant", "same role"),
            ("[::1:1:2", "matching"),
            ("[::1]", "no port"),
            ("[::1]:", "no port"),
            (":1:2", "no host"),
            ("a b:1:2", "name of a host"),
            ("a\n:1:2", "name of a host"),
            ("\\:1:2", "name of a host"),
            ("a:1:2;\\:3", "name of a host"),
        ] {
            let error = Member::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        let long = "h".repeat(HOST_BYTES_MAX + 1);
        assert!(Member::parse(&format!("{long}:1:2")).unwrap_err().contains("characters"));
        let zoned = format!("[::1%{}]:1:2", "z".repeat(HOST_BYTES_MAX - 4));
        assert!(Member::parse(&zoned).unwrap_err().contains("characters"), "it is written longer");
        let many: Vec<String> = (0..=MEMBER_ADDRESSES_MAX).map(|i| format!("h{i}:1:2")).collect();
        assert!(Member::parse(&many.join("|")).unwrap_err().contains("addresses"));
    }

    #[test]
    fn some_hosts_are_everywhere_or_here() {
        for host in ["0.0.0.0", "::", "0:0:0:0:0:0:0:0", "::ffff:0.0.0.0"] {
            assert!(is_wildcard(host), "{host}");
        }
        assert!(!is_wildcard("zk1") && !is_wildcard("127.0.0.1"));
        for host in ["127.0.0.1", "127.9.9.9", "::1", "localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        assert!(!is_loopback("zk1") && !is_loopback("10.0.0.1"));
    }

    #[test]
    fn groups() {
        assert_eq!(parse_group("1:2:3").unwrap(), vec![1, 2, 3]);
        assert!(parse_group("1:x").is_err());
        assert!(parse_group("").is_err());
    }
}
