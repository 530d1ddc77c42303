//! Listens for clients and accepts them.
//!
//! With several session cores, each has a listening socket of its own on the same address, and the kernel chooses
//! between them (SO_REUSEPORT). A new connection is counted ([`Census`](super::Census)), gets a slot in its core's
//! table, and is watched by the reactor from then on; it never moves to another core.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::connection::Connection;
use super::{Connections, Core, Door};
use crate::runtime::{Readiness, Registration, SocketOwner, Timer, accept};

/// Connections that the kernel may hold before they are accepted, unless `clientPortListenBacklog`
/// sets another number: a storm of ten thousand clients after a network failure must not see
/// refusals. The kernel limits it to `net.core.somaxconn`.
pub const BACKLOG: u32 = 10_000;

/// How long accepting pauses when the process has no descriptors left.
const PAUSE_WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(200);

/// Connections accepted in a row before existing ones get their turn.
const ACCEPTED_PER_TURN: usize = 64;

/// Listens at `address`. With `shared`, other sockets of this process may listen there too, and
/// the kernel spreads connections over them; the function first checks that no other process
/// listens there.
///
/// # Errors
/// The system's, e.g. that the address is in use.
pub fn bind(address: SocketAddr, backlog: u32, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // As Java does: one socket for both families.
        socket.set_only_v6(false)?;
    }
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// From now on other sockets of this user may listen where this one does.
///
/// # Errors
/// The system's.
pub fn share(socket: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(socket).set_reuse_port(true)
}

/// Accepts clients as long as it lives.
pub struct Accepting {
    listener: Rc<Listener>,
}

/// What the reactor calls when connections wait.
struct Listener {
    /// The listening socket, which does not block.
    socket: TcpListener,
    door: Door,
    table: Connections,
    core: Rc<dyn Core>,
    /// The watch on the socket, until [`Accepting`] is dropped.
    watch: RefCell<Option<Registration>>,
    /// Runs while nothing is accepted.
    pause: RefCell<Option<Timer>>,
}

/// Accepts connections from now on, whose clients speak what `door` says.
///
/// # Errors
/// The system's.
pub fn serve(
    socket: TcpListener,
    keep_alive: bool,
    door: Door,
    table: Connections,
    core: Rc<dyn Core>,
) -> io::Result<Accepting> {
    if keep_alive {
        // Accepted sockets inherit it. Without it, dead clients are detected by the expiry of their
        // sessions.
        let _ = socket2::SockRef::from(&socket).set_keepalive(true);
    }
    socket.set_nonblocking(true)?;
    let reactor = table.shared.reactor.clone();
    let (watch, pause) = (RefCell::new(None), RefCell::new(None));
    let listener = Rc::new(Listener { socket, door, table, core, watch, pause });
    let watch = reactor.watch_unheld(listener.socket.as_fd(), listener.clone());
    *listener.watch.borrow_mut() = Some(watch);
    Ok(Accepting { listener })
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.listener.pause.take();
        self.listener.watch.take();
    }
}

impl SocketOwner for Listener {
    fn ready(self: Rc<Self>, _: Readiness) {
        if self.pause.borrow().is_some() {
            return;
        }
        for _ in 0..ACCEPTED_PER_TURN {
            match accept(&self.socket) {
                Ok(Some((socket, remote))) => self.enter(socket, remote),
                Ok(None) => return,
                Err(error) => match error.raw_os_error() {
                    // The client gave up before its connection was accepted.
                    Some(libc::ECONNABORTED | libc::EPROTO) => {}
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        self.table.warn(format_args!("cannot accept connections for now: {error}"));
                        return self.rest();
                    }
                    _ => {
                        self.table.warn(format_args!("accepting a connection failed: {error}"));
                        return self.rest();
                    }
                },
            }
        }
        self.look_again();
    }
}

impl Listener {
    /// Makes the reactor call it again: there may be more connections, which it does not report twice.
    fn look_again(&self) {
        if let Some(watch) = &*self.watch.borrow() {
            watch.again();
        }
    }

    /// Accepts nothing for a while.
    fn rest(self: &Rc<Self>) {
        let this = self.clone();
        let pause = self.table.shared.reactor.after(PAUSE_WITHOUT_DESCRIPTORS, move || {
            this.pause.take();
            this.look_again();
        });
        *self.pause.borrow_mut() = Some(pause);
    }

    /// Counts a connection and gives it to the table, or refuses it by closing it.
    fn enter(&self, socket: std::os::fd::OwnedFd, remote: SocketAddr) {
        // A socket for both families shows IPv4 clients as ::ffff:a.b.c.d. Bounds and ACLs know them by their IPv4
        // address.
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let table = &self.table;
        if let Err(refusal) = table.shared.census.enter(remote.ip()) {
            table.warn(format_args!("connection from {remote} refused: {refusal}"));
            return;
        }
        if !self.door.enter() {
            table.shared.census.leave(remote.ip());
            table.warn(format_args!(
                "connection from {remote} refused: too many TLS handshakes are not over \
                 (netty.server.outstandingHandshake.limit)"
            ));
            return;
        }
        let (door, own, core) = (self.door.clone(), table.clone(), self.core.clone());
        let make = |id| Connection::new(id, remote, socket, door, own, core);
        let Some(connection) = table.insert(make) else {
            table.shared.census.leave(remote.ip());
            self.door.leave();
            table.warn(format_args!("connection refused: no slots left"));
            return;
        };
        connection.run();
    }
}
