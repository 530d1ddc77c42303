//! An address to listen on, and how a configuration writes it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The interface.
    pub host: ListenHost,
    /// The port; 0 lets the system choose one.
    pub port: u16,
}

/// The interface to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenHost {
    /// Every address, IPv4 and IPv6.
    Any,
    /// One address.
    Ip(IpAddr),
    /// One address with an interface, which must exist and has no further meaning.
    Zoned {
        /// The address. A link-local address is a [`ListenHost::Name`], because it differs on each interface.
        address: Ipv6Addr,
        /// The interface: its name or its number.
        zone: String,
    },
    /// A name that has to be resolved.
    Name(String),
}

impl Listen {
    /// The client address of a member of an ensemble.
    pub fn of_member((host, port): &(Option<String>, u16)) -> Listen {
        let host = host.as_ref().map_or(ListenHost::Any, |host| ListenHost::parse(host));
        Listen { host, port: *port }
    }
}

impl ListenHost {
    /// The host as a configuration writes it, as `InetAddress.getByName` understands it.
    pub fn parse(text: &str) -> Self {
        // ZooKeeper: an empty clientPortAddress is the loopback address, by InetAddress.getByName.
        if text.is_empty() {
            return ListenHost::Ip(Ipv4Addr::LOCALHOST.into());
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        // ZooKeeper: Java accepts an interface after any address (fe80::1%eth0, ::1%lo), and refuses one that
        // does not exist. Only for a link-local address does it have a meaning; such an address is resolved
        // together with its interface.
        if let Some((address, zone)) = bare.split_once('%').filter(|(_, zone)| !zone.is_empty())
            && let Ok(address) = address.parse::<Ipv6Addr>()
            && !address.is_unicast_link_local()
        {
            return ListenHost::Zoned { address, zone: zone.to_owned() };
        }
        match bare.parse::<IpAddr>() {
            // Java's wildcard socket accepts IPv4 and IPv6, whichever way it was written.
            Ok(ip) if ip.is_unspecified() => ListenHost::Any,
            Ok(ip) => ListenHost::Ip(ip),
            Err(_) => ListenHost::Name(bare.to_owned()),
        }
    }
}

impl fmt::Display for ListenHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenHost::Any => write!(f, "[{}]", Ipv6Addr::UNSPECIFIED),
            ListenHost::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            ListenHost::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            ListenHost::Zoned { address, zone } => write!(f, "[{address}%{zone}]"),
            ListenHost::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
