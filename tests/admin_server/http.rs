//! A client of HTTP that sends what it is told, byte by byte.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| &value[..])
    }
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Everything that comes until the server closes, or says nothing for so long as the socket waits.
pub fn all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset behind an answer takes nothing from it.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Sends a request as it is, and reads to the end.
pub fn raw(port: u16, request: &[u8]) -> String {
    let mut stream = connect(port);
    // The server may have closed already.
    let _ = stream.write_all(request);
    all(&mut stream)
}

/// The first answer in what was read.
pub fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

pub fn get(port: u16, path: &str) -> Answer {
    request(port, "GET", path)
}

pub fn request(port: u16, method: &str, path: &str) -> Answer {
    let text =
        format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    parse(&raw(port, text.as_bytes()))
}
