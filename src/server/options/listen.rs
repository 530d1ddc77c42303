//! The socket address of a configured place to listen at. A name is resolved here, which may take long: a caller that
//! must not wait asks on a thread of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use crate::config::{self, ListenHost};

/// The address to listen at: the first one of a name that has several.
///
/// # Errors
/// The name does not resolve, or the interface behind a `%` does not exist.
pub fn listen_address(listen: &config::Listen) -> io::Result<SocketAddr> {
    match &listen.host {
        // ZooKeeper: Java's any-address takes connections over IPv6 and IPv4; without IPv6, over IPv4 only.
        ListenHost::Any if has_ipv6() => Ok((Ipv6Addr::UNSPECIFIED, listen.port).into()),
        ListenHost::Any => Ok((Ipv4Addr::UNSPECIFIED, listen.port).into()),
        ListenHost::Ip(address) => Ok((*address, listen.port).into()),
        ListenHost::Zoned { address, zone } => {
            interface(zone)?;
            let host = match address.is_unspecified() {
                true => ListenHost::Any,
                false => ListenHost::Ip((*address).into()),
            };
            listen_address(&config::Listen { host, port: listen.port })
        }
        ListenHost::Name(name) => {
            // The resolver would only say that it does not know the name as a whole.
            let zone = name.split_once('%').filter(|(host, _)| host.parse::<Ipv6Addr>().is_ok());
            if let Some((_, zone)) = zone {
                interface(zone)?;
            }
            let mut found = (name.as_str(), listen.port).to_socket_addrs()?;
            let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
            found.next().ok_or_else(none)
        }
    }
}

/// Checks that an interface of this name exists.
// ZooKeeper: Inet6Address takes any number, but only the names of existing interfaces.
fn interface(zone: &str) -> io::Result<()> {
    if zone.parse::<u32>().is_ok() {
        return Ok(());
    }
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .or_else(|_| std::net::UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)))?;
    rustix::net::netdevice::name_to_index(&socket, zone).map(|_| ()).map_err(|_| {
        let text = format!(
            "this machine has no interface named {zone} (`ip link` lists them): correct the name \
             behind the %"
        );
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

/// Whether this machine has IPv6.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind((IpAddr::from(Ipv6Addr::LOCALHOST), 0)).is_ok()
}
