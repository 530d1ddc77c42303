//! Clients that speak another language than the port: what their first bytes say, and what they are told.
//!
//! ZooKeeper takes the first four bytes of any of them for the length of a frame, and logs "Unreasonable length =
//! 1195725856" for an HTTP request.

use crate::admin::word::FourLetterWord;
use crate::limits;

/// The type of a record with a part of a TLS handshake: the first byte of every client with TLS.
pub(super) const TLS_HANDSHAKE: u8 = 22;

/// The first byte of the version in every record.
const TLS_MAJOR_VERSION: u8 = 3;

/// Bytes that tell what a client speaks.
pub(super) const TELLING_BYTES: usize = 4;

/// A fatal alert `handshake_failure`, in a record of TLS 1.2, which clients of every version read.
const ALERT: [u8; 7] = [21, TLS_MAJOR_VERSION, 3, 0, 2, 2, 40];

const HTTP_ANSWER: &str = "HTTP/1.1 400 Bad Request\r\n\
                           Content-Type: text/plain\r\n\
                           Content-Length: 81\r\n\
                           Connection: close\r\n\r\n\
                           This port is for clients of ZooKeeper, which speak their own \
                           protocol, not HTTP.\n";

const WORD_ANSWER: &str = "This port expects TLS.\n";

/// What a client on the wrong port speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stranger {
    Http,
    Tls,
    /// A request of ZooKeeper without TLS, on a port with TLS.
    Plain,
    /// The same, a four-letter word.
    Word,
    Unknown,
}

impl Stranger {
    /// What a client speaks that begins with these bytes, on a port without TLS; `None`: what the port speaks, or too
    /// few bytes to tell.
    pub fn on_plain_port(first: [u8; TELLING_BYTES]) -> Option<Stranger> {
        match first {
            [TLS_HANDSHAKE, TLS_MAJOR_VERSION, ..] => Some(Stranger::Tls),
            _ if is_http(first) => Some(Stranger::Http),
            _ => None,
        }
    }

    /// The same on a port with TLS, for bytes that do not begin a handshake.
    pub fn on_tls_port(first: &[u8]) -> Stranger {
        let Some(first) = first.first_chunk::<TELLING_BYTES>() else { return Stranger::Unknown };
        if is_http(*first) {
            return Stranger::Http;
        }
        if FourLetterWord::parse(*first).is_some() {
            return Stranger::Word;
        }
        match u32::from_be_bytes(*first) {
            0..=limits::CONNECT_FRAME_BYTES_MAX => Stranger::Plain,
            _ => Stranger::Unknown,
        }
    }

    /// What it is told.
    pub fn answer(self) -> &'static [u8] {
        match self {
            Stranger::Http => HTTP_ANSWER.as_bytes(),
            Stranger::Tls => &ALERT,
            Stranger::Word => WORD_ANSWER.as_bytes(),
            Stranger::Plain | Stranger::Unknown => b"",
        }
    }

    /// What the log says, and what to do about it.
    pub fn reason(self) -> &'static str {
        match self {
            Stranger::Http => {
                "it sent an HTTP request, and was told that this port is for clients of ZooKeeper"
            }
            Stranger::Tls => {
                "it began a TLS handshake on a port without TLS, and was refused with an alert. Clients with TLS connect \
                 to secureClientPort; client.portUnification=true lets them connect to clientPort as well"
            }
            Stranger::Plain => {
                "it sent a request without TLS to a port with TLS. Connect it to clientPort, or let it use TLS \
                 (zookeeper.client.secure=true in Java)"
            }
            Stranger::Word => {
                "it sent a four-letter word without TLS to a port with TLS, and was told so. `openssl s_client` asks it \
                 there"
            }
            Stranger::Unknown => "it did not begin with a TLS handshake, on a port with TLS",
        }
    }
}

fn is_http(first: [u8; TELLING_BYTES]) -> bool {
    const METHODS: [&[u8; TELLING_BYTES]; 10] =
        [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"TRAC", b"PATC", b"CONN", b"PRI "];
    METHODS.contains(&&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_a_client_speaks() {
        assert_eq!(Stranger::on_plain_port(*b"GET "), Some(Stranger::Http));
        assert_eq!(Stranger::on_plain_port([22, 3, 1, 2]), Some(Stranger::Tls));
        for ours in [[0, 0, 0, 45], *b"ruok", [22, 2, 0, 0]] {
            assert_eq!(Stranger::on_plain_port(ours), None);
        }
        for (first, expected) in [
            (&b"POST / HTTP/1.1"[..], Stranger::Http),
            (b"ruok", Stranger::Word),
            (&[0, 0, 0, 45, 0], Stranger::Plain),
            (b"SSH-2.0", Stranger::Unknown),
            (b"\n", Stranger::Unknown),
        ] {
            assert_eq!(Stranger::on_tls_port(first), expected);
        }
    }

    #[test]
    fn the_answer_to_an_http_request_is_one() {
        let (head, body) = HTTP_ANSWER.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
