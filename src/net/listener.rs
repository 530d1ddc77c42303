//! Listening and accepting.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use glommio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

use super::connection::{self, Connection};
use super::{Connections, Core};
use crate::runtime::adopt_listener;

/// Connections the kernel may hold that are not accepted yet, unless `clientPortListenBacklog`
/// says otherwise: a storm of ten thousand clients after a network failure must not see refusals.
/// The kernel cuts it to `net.core.somaxconn`.
pub const BACKLOG: u32 = 10_000;

/// How long accepting pauses when the process has no descriptors left.
const PAUSE_WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(200);

/// Listens at `address`. With `shared`, other sockets of this process may listen there too, and
/// the kernel spreads connections over them; that no other process does is checked first.
///
/// # Errors
/// The system's, e.g. that the address is in use.
pub fn bind(address: SocketAddr, backlog: u32, shared: bool) -> io::Result<std::net::TcpListener> {
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

/// Accepts connections for ever.
pub async fn serve(
    listener: std::net::TcpListener,
    keep_alive: bool,
    table: Connections,
    core: Rc<dyn Core>,
) {
    if keep_alive {
        // Accepted sockets inherit it. Without it, dead clients are found by their sessions.
        let _ = socket2::SockRef::from(&listener).set_keepalive(true);
    }
    let listener: TcpListener = adopt_listener(listener);
    loop {
        let accepted = match listener.shared_accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let error = io::Error::from(error);
                match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        table.warn(format_args!("cannot accept connections for now: {error}"));
                        glommio::timer::sleep(PAUSE_WITHOUT_DESCRIPTORS).await;
                    }
                    // The client gave up before we came to it.
                    Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO) => {}
                    _ => {
                        table.warn(format_args!("accepting a connection failed: {error}"));
                        glommio::timer::sleep(PAUSE_WITHOUT_DESCRIPTORS).await;
                    }
                }
                continue;
            }
        };
        let peer = accepted.peer_addr();
        let stream = accepted.bind_to_executor();
        // Gone already: dropping the stream closes it.
        let Ok(remote) = peer else { continue };
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        if let Err(refusal) = table.shared.census.enter(remote.ip()) {
            table.warn(format_args!("connection from {remote} refused: {refusal}"));
            continue;
        }
        let Some(connection) = table.insert(|id| Connection::new(id, remote, stream)) else {
            table.shared.census.leave(remote.ip());
            table.warn(format_args!("connection refused: no slots left"));
            continue;
        };
        glommio::spawn_local(connection::run(connection, table.clone(), core.clone())).detach();
    }
}
