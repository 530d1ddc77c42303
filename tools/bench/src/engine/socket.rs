//! The socket of a session, and what lies between it and the frames: nothing, or TLS.
//!
//! The rule that is easy to break: epoll knows of bytes in the socket, and not of those that TLS has already decrypted.
//! Whoever reads from it reads on while [`Socket::may_have_more`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

/// A non-blocking socket.
pub enum Socket {
    /// Its bytes are the frames.
    Plain(TcpStream),
    /// There is TLS over it.
    Secure(Box<Secure>),
}

/// A socket with TLS.
pub struct Secure {
    stream: TcpStream,
    side: ClientConnection,
    filled: bool,
}

impl Socket {
    /// Begins a connection; returns at once.
    ///
    /// # Errors
    /// No sockets are left, or no route.
    pub fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> io::Result<Socket> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        let Some(tls) = tls else { return Ok(Socket::Plain(stream)) };
        let side = begin(tls, address)?;
        Ok(Socket::Secure(Box::new(Secure { stream, side, filled: false })))
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            Socket::Secure(secure) => &secure.stream,
        }
    }

    /// Whether TLS holds bytes that the socket has not taken yet.
    #[inline]
    pub fn has_unsent(&self) -> bool {
        matches!(self, Socket::Secure(secure) if secure.side.wants_write())
    }

    /// Whether the last read may have left decrypted bytes behind.
    #[inline]
    pub fn may_have_more(&self) -> bool {
        matches!(self, Socket::Secure(secure) if secure.filled)
    }

    /// The kind of its TLS handshake, once that is known.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        match self {
            Socket::Plain(_) => None,
            Socket::Secure(secure) => secure.side.handshake_kind(),
        }
    }
}

impl Read for Socket {
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.read(into),
            Socket::Secure(secure) => secure.read(into),
        }
    }
}

impl Write for Socket {
    /// With TLS, takes all bytes, and holds what the socket does not take.
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.write(bytes),
            Socket::Secure(secure) => {
                secure.side.writer().write_all(bytes)?;
                secure.push()?;
                Ok(bytes.len())
            }
        }
    }

    /// Gives the socket as many of the held bytes as it takes.
    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Secure(secure) => secure.push(),
        }
    }
}

impl Secure {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.side.reader().read(into) {
                Ok(bytes) => {
                    self.filled = bytes > 0 && bytes == into.len();
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.filled = false,
                // The end of the stream without TLS saying so; the frames show whether something is missing.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            self.side.read_tls(&mut self.stream)?;
            let processed = self.side.process_new_packets();
            // The handshake goes on; after a fault, the other side is told.
            let pushed = self.push();
            processed.map_err(|error| io::Error::other(format!("TLS: {error}")))?;
            pushed?;
        }
    }

    fn push(&mut self) -> io::Result<()> {
        while self.side.wants_write() {
            match self.side.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The client's side of a TLS session with the server at this address, before its first byte.
///
/// # Errors
/// The configuration cannot be used.
pub fn begin(tls: &Arc<ClientConfig>, address: SocketAddr) -> io::Result<ClientConnection> {
    let name = ServerName::from(address.ip());
    let mut side = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    // A workload bounds its requests in flight itself.
    side.set_buffer_limit(None);
    Ok(side)
}
