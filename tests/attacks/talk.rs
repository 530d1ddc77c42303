//! A connection between servers, one of which is the test: it sends any packets that it wants.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ringkeeper::zab::packets::{Packet, PacketReader};

/// A server that does not answer within this time does not answer at all.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The connection.
pub struct Talk {
    pub socket: TcpStream,
    reader: PacketReader,
}

impl Talk {
    /// Talks over a connected socket.
    pub fn on(socket: TcpStream) -> Talk {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.set_nodelay(true).unwrap();
        Talk { socket, reader: PacketReader::new(1 << 20) }
    }

    /// The next packet of this kind, or `None` if none arrives or the connection has ended.
    pub fn hear(&mut self, kind: i32) -> Option<Packet> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let packet = self.hear_any()?;
            if packet.kind == kind {
                return Some(packet);
            }
        }
        None
    }

    /// The next packet, or `None` if none arrives or the connection has ended.
    pub fn hear_any(&mut self) -> Option<Packet> {
        let mut chunk = [0; 64 << 10];
        loop {
            if let Some(packet) = self.reader.next().ok()? {
                return Some(packet);
            }
            let length = self.socket.read(&mut chunk).ok().filter(|length| *length > 0)?;
            self.reader.push(&chunk[..length]);
        }
    }

    /// Sends bytes. Returns `false` if the connection is over, or the server does not take them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Sends the bytes that `write` writes.
    pub fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.send(&bytes)
    }

    /// How the connection ends: "left" if the server closes it within `patience`, and otherwise "waits".
    pub fn end(&mut self, patience: Duration) -> String {
        let begun = Instant::now();
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while begun.elapsed() < patience {
            match self.socket.read(&mut [0; 64 << 10]) {
                Ok(0) => return "left".to_owned(),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                    _ => return "left".to_owned(),
                },
            }
        }
        "waits".to_owned()
    }
}
