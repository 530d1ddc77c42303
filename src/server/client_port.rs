//! The address where clients connect: bound at the start, and again when a reconfiguration changes it
//! (`ServerCnxnFactory.reconfigure`).
//!
//! The start opens the port before it reads the data, so that a taken address costs no recovery. The sockets go to
//! the executors, which accept connections; this file accepts none. The host calls [`ClientPort::follow`] with each
//! configuration that becomes active, and [`ClientPort::settle`] in each turn.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

use super::{membership, options};
use crate::config::{Config, Listen, ListenHost};
use crate::id::ServerId;
use crate::net;
use crate::quorum;
use crate::runtime::Doorbell;

/// How long the start waits for an address that is in use: the rings of a killed server keep its sockets open for a
/// moment.
pub(super) const ADDRESS_PATIENCE: Duration = Duration::from_secs(2);

/// The address where clients connect, and how the server listens there.
#[derive(Debug)]
pub struct ClientPort {
    /// This server; `None`: it is standalone, and no configuration moves its clients.
    me: Option<ServerId>,
    /// The place to listen at, as the configuration has it, and the address of the sockets, whose port is never 0,
    /// whatever the configuration says. `None`: clients connect with TLS alone, at `secureClientPort`.
    at: Option<(Listen, SocketAddr)>,
    /// How many connections may wait to be accepted (`clientPortListenBacklog`).
    backlog: u32,
    /// How many sockets share the address: one for each session core, or one.
    sockets: u32,
    /// The host name that is being resolved, if the new address has one.
    sought: Option<Sought>,
}

/// A host name that is being resolved. A resolver may hang for half a minute, and the replica does not wait for it:
/// clients connect at the old address until there is an answer.
#[derive(Debug)]
struct Sought {
    /// The place with this name.
    listen: Listen,
    /// The version of the configuration with this name, for the log.
    version: i64,
    /// Gets the answer of the thread that asks the resolver.
    answer: Receiver<io::Result<SocketAddr>>,
}

/// Sockets at a new address, and its port.
pub type Moved = (Vec<TcpListener>, u16);

impl ClientPort {
    /// Binds as many sockets as there are session cores, and waits up to [`ADDRESS_PATIENCE`] if the address is in
    /// use. Without `clientPort` there are none.
    ///
    /// # Errors
    /// The address does not resolve, or the server cannot listen there: a sentence for the operator.
    pub fn open(config: &Config, sockets: u32) -> Result<(ClientPort, Vec<TcpListener>), String> {
        let (at, bound) = match &config.network.client {
            Some(listen) => {
                let (bound, address) = open_at(listen, "clientPort", config, sockets)?;
                (Some((listen.clone(), address)), bound)
            }
            None => (None, Vec::new()),
        };
        let backlog = config.network.listen_backlog.unwrap_or(net::BACKLOG);
        let me = membership::me(config);
        Ok((ClientPort { me, at, backlog, sockets, sought: None }, bound))
    }

    /// The address where clients connect at present; `None`: clients connect with TLS alone.
    pub fn address(&self) -> Option<SocketAddr> {
        self.at.as_ref().map(|(_, address)| *address)
    }

    /// Binds sockets at the address that an active configuration gives for clients of this server, if that address
    /// is new. Existing connections stay open. A host name is resolved first: then this returns nothing yet, and
    /// `bell` rings when it is time for [`ClientPort::settle`].
    ///
    /// The old sockets stay until the new ones are bound. The ensemble agrees on a reconfiguration before any
    /// server tries the address, so a mistake in it can no longer be refused; it then costs a line in the log, and
    /// not all clients of this server.
    // ZooKeeper: NIOServerCnxnFactory.reconfigure closes the old socket first, and if another process has the new
    // address, it listens nowhere.
    pub fn follow(&mut self, config: &quorum::Config, bell: &Doorbell) -> Option<Moved> {
        // This configuration replaces the one whose name is being resolved.
        let sought = self.sought.take();
        let client = config.members.get(&self.me?)?.client.as_ref()?;
        let listen = Listen::of_member(client);
        // ZooKeeper: QuorumPeer.processReconfig moves a port that was open at the start, and opens none.
        let (current, _) = self.at.as_ref()?;
        if listen == *current {
            return None;
        }
        let version = config.version;
        // The same name is being resolved already. Only the version for the log is newer.
        if let Some(sought) = sought
            && sought.listen == listen
        {
            self.sought = Some(Sought { version, ..sought });
            return None;
        }
        match listen.host {
            ListenHost::Name(_) => match resolve(listen.clone(), bell.clone()) {
                Ok(answer) => {
                    self.sought = Some(Sought { listen, version, answer });
                    None
                }
                Err(error) => self.listen_at(listen, version, Err(error)),
            },
            ListenHost::Any | ListenHost::Ip(_) | ListenHost::Zoned { .. } => {
                let address = options::listen_address(&listen);
                self.listen_at(listen, version, address)
            }
        }
    }

    /// The same as [`ClientPort::follow`] for a host name that was being resolved. Returns nothing while there is no
    /// answer.
    pub fn settle(&mut self) -> Option<Moved> {
        let answer = match self.sought.as_ref()?.answer.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(io::Error::other("its thread has ended")),
        };
        let Sought { listen, version, .. } = self.sought.take()?;
        self.listen_at(listen, version, answer)
    }

    /// Binds sockets at the new address, and logs the result. If that fails, clients stay where they are.
    fn listen_at(
        &mut self,
        listen: Listen,
        version: i64,
        address: io::Result<SocketAddr>,
    ) -> Option<Moved> {
        let (_, before) = *self.at.as_ref()?;
        let bound = address.and_then(|address| {
            match bind(address, self.backlog, self.sockets) {
                // If the port stays, the old and the new address may overlap, as 127.0.0.1 and all addresses do:
                // then our own sockets have it.
                Err(error)
                    if error.kind() == ErrorKind::AddrInUse && address.port() == before.port() =>
                {
                    share(address, self.backlog, self.sockets)
                }
                bound => bound,
            }
        });
        match bound {
            // The caller hands the new sockets to the executors, which drop the old ones.
            Ok((sockets, address)) => {
                tracing::info!(
                    "clients connect to {address} from now on, and no longer to {before}, as configuration \
                     {version:x} says; existing connections stay open"
                );
                self.at = Some((listen, address));
                Some((sockets, address.port()))
            }
            Err(error) => {
                tracing::error!(
                    "configuration {version:x} wants clients to connect to {listen}, where this \
                     server cannot listen: {error}; they still connect to {before}: free the address and \
                     restart this server, or reconfigure it"
                );
                None
            }
        }
    }
}

/// Binds as many sockets as there are session cores at `secureClientPort`, where clients connect with TLS. It stays where
/// it is for as long as the server runs.
///
/// # Errors
/// As for [`ClientPort::open`].
pub fn open_secure(
    listen: &Listen,
    config: &Config,
    sockets: u32,
) -> Result<(Vec<TcpListener>, SocketAddr), String> {
    open_at(listen, "secureClientPort", config, sockets)
}

fn open_at(
    listen: &Listen,
    key: &str,
    config: &Config,
    sockets: u32,
) -> Result<(Vec<TcpListener>, SocketAddr), String> {
    let wanted = address_of(listen, key)?;
    let backlog = config.network.listen_backlog.unwrap_or(net::BACKLOG);
    // The rings of a killed server keep its sockets open until the kernel has freed them. Another process that
    // has the address for good costs this start two seconds.
    let until = Instant::now() + ADDRESS_PATIENCE;
    loop {
        match bind(wanted, backlog, sockets) {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            bound => return bound.map_err(|error| refused(wanted, key, &error)),
        }
    }
}

/// Resolves a name on a thread of its own, and rings `bell` when there is an answer.
fn resolve(listen: Listen, bell: Doorbell) -> io::Result<Receiver<io::Result<SocketAddr>>> {
    let (tell, answer) = sync_channel(1);
    std::thread::Builder::new().name("rk-resolve".into()).spawn(move || {
        // The receiver is gone if another configuration has become active.
        let _ = tell.send(options::listen_address(&listen));
        bell.ring();
    })?;
    Ok(answer)
}

/// Where clients connect, each place with its key.
pub fn places(config: &Config) -> impl Iterator<Item = (&Listen, &'static str)> {
    let secure = config.tls.secure_client.as_ref().map(|listen| (listen, "secureClientPort"));
    let plain = config.network.client.as_ref().map(|listen| (listen, "clientPort"));
    plain.into_iter().chain(secure)
}

/// What would keep a server from listening for clients at one of these places now, for `config check`: binds the
/// address and lets it go.
pub fn obstacle(listen: &Listen, key: &str) -> Option<String> {
    let tried = address_of(listen, key).and_then(|wanted| {
        let bound = net::bind(wanted, net::BACKLOG, false);
        bound.map(drop).map_err(|error| refused(wanted, key, &error))
    });
    tried.err()
}

/// The socket address of a place, or a sentence for the operator.
fn address_of(listen: &Listen, key: &str) -> Result<SocketAddr, String> {
    options::listen_address(listen).map_err(|error| {
        format!(
            "cannot listen on {listen} ({key}): {error}. {key}Address, or the client part of \
             this server's server.N line, must be a name or an address of this machine"
        )
    })
}

/// A sentence on an address that cannot be bound.
fn refused(wanted: SocketAddr, key: &str, error: &io::Error) -> String {
    format!("cannot listen on {wanted} ({key}): {error}{}", advice(error))
}

/// What an operator can do about an address that cannot be bound; empty if there is no advice.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            ". Another process has it (`ss -ltnp` names it): stop that one, or change clientPort"
        }
        ErrorKind::AddrNotAvailable => {
            ". No interface of this machine has it (`ip address` lists them): change \
             clientPortAddress, or remove it to listen on all"
        }
        ErrorKind::PermissionDenied => {
            ". Ports below 1024 need CAP_NET_BIND_SERVICE (`AmbientCapabilities=` in a systemd \
             unit): grant it, or choose a higher clientPort"
        }
        _ => "",
    }
}

/// Binds sockets at an address that no other process has. The result has the address with its port.
fn bind(
    wanted: SocketAddr,
    backlog: u32,
    sockets: u32,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    // Only our own sockets may share the address. The first socket is bound unshared, which fails if another
    // process has the address, and becomes shared once it listens. It must not be closed and bound again as a
    // shared one: in between, another server of the same user could bind the address, and both would share it.
    let first = net::bind(wanted, backlog, false)?;
    net::share(&first)?;
    let address = first.local_addr()?;
    let (others, _) = share(address, backlog, sockets.saturating_sub(1))?;
    Ok(([first].into_iter().chain(others).collect(), address))
}

/// Binds sockets that share an address with each other and with those of this process.
fn share(
    address: SocketAddr,
    backlog: u32,
    sockets: u32,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let shared = (0..sockets).map(|_| net::bind(address, backlog, true)).collect::<Result<_, _>>();
    Ok((shared?, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn member(text: &str) -> ClientPort {
        open(text, 2).0
    }

    fn open(text: &str, sockets: u32) -> (ClientPort, Vec<TcpListener>) {
        let lines =
            "dataDir=/d\nclientPort=0\ninitLimit=5\nsyncLimit=2\nserver.2=b:1:2\nserver.3=c:1:2\n";
        let text = format!("{lines}{text}");
        let mut config = config::parse(text.as_bytes(), "zoo.cfg").unwrap();
        config.quorum.my_id = Some(1);
        config.network.client = config.quorum.servers[&1].client.clone();
        ClientPort::open(&config, sockets).unwrap()
    }

    fn follow(port: &mut ClientPort, line: &str) -> Option<Moved> {
        port.follow(&active(line), &Doorbell::new().unwrap())
    }

    fn active(line: &str) -> quorum::Config {
        quorum::Config::parse(&format!("{line}\nserver.2=b:1:2\nversion=100000005")).unwrap()
    }

    #[test]
    fn clients_move_where_the_active_configuration_says() {
        let mut port = member("server.1=a:1:2;127.0.0.1:0\n");
        let first = port.address().unwrap();
        // The same address, no address, and a server that is no longer a member: clients do not move.
        for line in ["server.1=a:1:2;127.0.0.1:0", "server.1=a:1:2", "server.4=a:1:2;9"] {
            assert!(follow(&mut port, line).is_none(), "{line}");
        }
        let other = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
        let (sockets, at) =
            follow(&mut port, &format!("server.1=a:1:2;127.0.0.2:{other}")).unwrap();
        assert_eq!((sockets.len(), at), (2, other));
        assert_ne!(port.address().unwrap(), first);
    }

    /// 1. A reconfiguration names a host.
    /// 2. The replica asks a resolver that hangs.
    /// 3. The replica serves no client until the resolver gives up.
    #[test]
    fn a_name_is_resolved_while_clients_connect_where_they_did() {
        let mut port = member("server.1=a:1:2;127.0.0.1:0\n");
        let first = port.address().unwrap();
        let bell = Doorbell::new().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settle = |port: &mut ClientPort| {
            let until = Instant::now() + Duration::from_secs(20);
            loop {
                let moved = port.settle();
                if port.sought.is_none() {
                    return moved;
                }
                assert!(Instant::now() < until, "there is no answer");
                std::thread::yield_now();
            }
        };
        let at = free();
        let named = active(&format!("server.1=a:1:2;localhost:{at}"));
        assert!(port.follow(&named, &bell).is_none() && port.sought.is_some());
        assert_eq!(port.address().unwrap(), first);
        assert!(port.follow(&named, &bell).is_none(), "it is being resolved");
        let (sockets, moved) = settle(&mut port).unwrap();
        assert_eq!((sockets.len(), moved, port.address().unwrap().port()), (2, at, at));
        assert!(port.follow(&named, &bell).is_none() && port.sought.is_none());
        // A name that does not resolve, and one that another configuration replaces.
        let nowhere = active("server.1=a:1:2;no-such-host.invalid:7");
        assert!(port.follow(&nowhere, &bell).is_none());
        assert!(settle(&mut port).is_none());
        assert_eq!(port.address().unwrap().port(), at);
        assert!(port.follow(&nowhere, &bell).is_none());
        let other = free();
        let numbered = active(&format!("server.1=a:1:2;127.0.0.1:{other}"));
        assert_eq!(port.follow(&numbered, &bell).unwrap().1, other);
        assert!(port.settle().is_none() && port.sought.is_none());
    }

    #[test]
    fn the_port_may_stay_when_the_address_grows_or_shrinks() {
        for sockets in [1, 2] {
            let (mut port, old) = open("server.1=a:1:2;127.0.0.1:0\n", sockets);
            let at = port.address().unwrap().port();
            let (wide, _) = follow(&mut port, &format!("server.1=a:1:2;{at}")).unwrap();
            assert!(
                port.address().unwrap().ip().is_unspecified(),
                "{sockets}: {:?}",
                port.address()
            );
            drop(old);
            let narrow = follow(&mut port, &format!("server.1=a:1:2;127.0.0.1:{at}"));
            assert_eq!(narrow.unwrap().1, at, "{sockets}");
            assert_eq!(
                port.address().unwrap(),
                SocketAddr::from(([127, 0, 0, 1], at)),
                "{sockets}"
            );
            drop(wide);
        }
    }

    /// 1. A server binds the address, and closes the socket in order to share the address.
    /// 2. Another server does the same.
    /// 3. Both share it, and the kernel spreads the clients over two databases.
    ///
    /// It may happen that neither gets the address: Linux marks a socket as listening before it looks for other
    /// sockets, so two can refuse each other.
    #[test]
    fn of_two_servers_that_start_together_on_one_address_at_most_one_gets_it() {
        let mut none = 0;
        for round in 0..300 {
            let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let sockets = 1 + round % 3;
            let start = std::sync::Barrier::new(2);
            let got = std::thread::scope(|scope| {
                let tries = [(); 2].map(|()| {
                    scope.spawn(|| {
                        start.wait();
                        bind(at, 16, sockets)
                    })
                });
                tries.map(|one| one.join().unwrap())
            });
            let had = got.iter().filter(|one| one.is_ok()).count();
            assert!(had <= 1, "round {round}, {sockets} sockets: {got:?}");
            match got.into_iter().find_map(Result::ok) {
                Some((all, _)) => assert_eq!(all.len(), usize::try_from(sockets).unwrap()),
                None => none += 1,
            }
        }
        assert!(none < 30, "of 300 rounds none got it in {none}");
    }

    #[test]
    fn clients_are_dealt_out_over_all_sockets_of_a_server() {
        use std::net::TcpStream;
        let (_, sockets) = open("server.1=a:1:2;127.0.0.1:0\n", 3);
        let at = sockets[0].local_addr().unwrap();
        let clients: Vec<_> = (0..60).map(|_| TcpStream::connect(at).unwrap()).collect();
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
            let accepted = std::iter::from_fn(|| socket.accept().ok()).count();
            assert!((1..clients.len()).contains(&accepted), "{accepted}");
        }
    }

    #[test]
    fn without_a_client_port_there_is_none_and_no_configuration_opens_one() {
        let text = "dataDir=/d\nsecureClientPort=1\nssl.keyStore.location=/k.pem\nssl.clientAuth=none\n\
            initLimit=5\nsyncLimit=2\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
        let mut config = config::parse(text.as_bytes(), "zoo.cfg").unwrap();
        config.quorum.my_id = Some(1);
        let (mut port, sockets) = ClientPort::open(&config, 2).unwrap();
        assert!(port.address().is_none() && sockets.is_empty());
        assert!(follow(&mut port, "server.1=a:1:2;127.0.0.1:0").is_none());
    }

    #[test]
    fn an_interface_behind_an_address_must_be_there() {
        let open = |address: &str| {
            let text = format!("dataDir=/d\nclientPort=0\nclientPortAddress={address}\n");
            ClientPort::open(&config::parse(text.as_bytes(), "zoo.cfg").unwrap(), 1).map(|_| ())
        };
        let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
        for address in ["::1%lo", "[::1%lo]", "::1%1"].into_iter().filter(|_| has_ipv6) {
            assert_eq!(open(address), Ok(()), "{address}");
        }
        assert_eq!(open("::%lo"), Ok(()));
        for address in ["::1%nosuch", "::%nosuch", "fe80::1%nosuch"] {
            let said = open(address).unwrap_err();
            assert!(said.contains("no interface named nosuch (`ip link` lists them)"), "{said}");
            assert!(said.contains("clientPortAddress"), "{said}");
        }
    }

    #[test]
    fn an_address_that_is_taken_leaves_clients_where_they_are() {
        let mut port = member("server.1=a:1:2;127.0.0.1:0\n");
        let first = port.address().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap().port();
        assert!(follow(&mut port, &format!("server.1=a:1:2;127.0.0.1:{at}")).is_none());
        assert_eq!(port.address().unwrap(), first);
    }
}
