//! The first bytes on a connection of the election port (`QuorumCnxManager.InitialMessage`).
//!
//! ```text
//! before 3.5   i64 id ≥ 0
//! since 3.5    i64 version │ i64 id │ i32 n │ n bytes: host:port, in version 2 several with | between them
//!              0             8        16      20
//! ```
//! Numbers are big-endian; the version is -65536 (one address) or -65535 (several). `connections` reads one handshake
//! from each accepted connection and writes one on each connection that it opens. This file does not judge whether
//! the sender is the server that it claims to be.

use bytes::Bytes;

use crate::id::ServerId;
use crate::jute::{Decoder, Jute};
use crate::limits::{ELECTION_ADDRESS_BYTES_MAX, HOST_BYTES_MAX};
use crate::link::Endpoint;
use crate::proto::quorum::{ELECTION_PROTOCOL_V1, ELECTION_PROTOCOL_V2, ElectionHandshake, packet};
use crate::quorum::{bracketed, host_and_ports, is_wildcard};

/// What a handshake says of its sender.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The id; `i64::MAX` from an observer that has none.
    ///
    /// Invariant: not negative.
    pub(super) id: ServerId,
    /// The election addresses at which the sender can be reached, as it says, without wildcards; may be empty.
    pub(super) addresses: Vec<Endpoint>,
}

/// The result of reading the first bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Too few bytes to tell.
    Partial,
    /// A handshake that takes this many bytes; messages follow it.
    Whole(Caller, usize),
    /// The first packet of a learner with this id: its server takes this port for the quorum port.
    Learner(ServerId),
    /// No handshake, for this reason.
    Refused(String),
}

/// The offset of the id in a learner's first packet: after the type, the zxid and the length of the data.
const LEARNER_ID_AT: usize = 4 + 8 + 4;

/// The length of the old form, which is only an id.
const VERSION_BYTES: usize = 8;
/// The offset of the length of the addresses.
const LENGTH_AT: usize = 16;
/// The offset of the addresses.
const ADDRESS_AT: usize = 20;

/// Reads the beginning of a connection. `bytes` is everything received so far; bytes after the handshake are left
/// alone.
pub(super) fn read(bytes: &[u8]) -> Reading {
    let Some(version) = i64_at(bytes, 0) else { return Reading::Partial };
    if is_learner(version) {
        return i64_at(bytes, LEARNER_ID_AT)
            .map_or(Reading::Partial, |id| Reading::Learner(ServerId(id)));
    }
    let length = if version >= 0 {
        VERSION_BYTES
    } else if version != ELECTION_PROTOCOL_V1 && version != ELECTION_PROTOCOL_V2 {
        return Reading::Refused(format!("it speaks an unknown version, {version}"));
    } else {
        let Some(length) = bytes.get(LENGTH_AT..ADDRESS_AT) else { return Reading::Partial };
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        // Checked before the address has come, so that a stranger cannot make this server wait for, and keep, many
        // bytes.
        if !(1..=ELECTION_ADDRESS_BYTES_MAX).contains(&length) {
            return Reading::Refused(format!("its address has {length} bytes"));
        }
        ADDRESS_AT + usize::try_from(length).expect("a small number")
    };
    let Some(bytes) = bytes.get(..length) else { return Reading::Partial };
    assert_eq!(bytes.len(), length, "all of it has come");
    let caller = match ElectionHandshake::decode(&mut Decoder::new(bytes)) {
        Err(error) => Err(error.to_string()),
        Ok(ElectionHandshake::Legacy { server_id }) => {
            Ok(Caller { id: server_id, addresses: Vec::new() })
        }
        Ok(ElectionHandshake::Initial { server_id, addresses, .. }) => {
            read_addresses(addresses).map(|addresses| Caller { id: server_id, addresses })
        }
    };
    match caller {
        Ok(caller) if caller.id < ServerId(0) => {
            Reading::Refused(format!("{} is not the id of a server", caller.id))
        }
        Ok(caller) => Reading::Whole(caller, length),
        Err(reason) => Reading::Refused(reason),
    }
}

/// How a connection of the election port begins, for whoever has to know only where its handshake ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Too few bytes to tell.
    Partial,
    /// A handshake that takes this many bytes.
    Handshake(usize),
    /// No handshake: the election refuses the connection.
    None,
}

/// How a connection begins that has brought these bytes.
pub fn opening(bytes: &[u8]) -> Opening {
    match read(bytes) {
        Reading::Partial => Opening::Partial,
        Reading::Whole(_, length) => Opening::Handshake(length),
        Reading::Learner(_) | Reading::Refused(_) => Opening::None,
    }
}

/// Whether these eight bytes are the type of a learner's first packet and the epoch that follows it. As the id of a
/// server they would be above 2^35.
fn is_learner(first: i64) -> bool {
    let kind = first >> 32;
    kind == i64::from(packet::FOLLOWERINFO) || kind == i64::from(packet::OBSERVERINFO)
}

/// The big-endian number at this offset; `None`: it has not come yet.
fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(i64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}

/// The addresses in the text of a handshake.
///
/// # Errors
/// An address without a port, with a port that is none, or with a host that is empty or longer than
/// [`HOST_BYTES_MAX`].
fn read_addresses(text: &str) -> Result<Vec<Endpoint>, String> {
    let mut endpoints = Vec::new();
    for address in text.trim_end_matches('|').split('|') {
        let [host, port] = host_and_ports(address)?[..] else {
            return Err(format!("{address:?} is not an address with a port"));
        };
        let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
        if host.is_empty() || host.len() > HOST_BYTES_MAX {
            return Err(format!("{address:?} has no usable host"));
        }
        // ZooKeeper: InitialMessage.parse. Nobody can connect to a wildcard; it only says that the server listens on
        // every address.
        if !is_wildcard(host) {
            endpoints.push(Endpoint { host: host.to_owned(), port });
        }
    }
    Ok(endpoints)
}

/// The handshake of this server. `addresses` are its own election addresses; only the first is sent unless
/// `multi_address`. Without one, or with more than fits, it is in the old form, which has only the id.
pub(super) fn write(me: ServerId, addresses: &[Endpoint], multi_address: bool) -> Bytes {
    let shown = if multi_address { addresses } else { &addresses[..addresses.len().min(1)] };
    let text: Vec<String> =
        shown.iter().map(|to| format!("{}:{}", bracketed(&to.host), to.port)).collect();
    let text = text.join("|");
    let too_long = u32::try_from(text.len()).is_ok_and(|n| n > ELECTION_ADDRESS_BYTES_MAX);
    let handshake = if text.is_empty() || too_long {
        ElectionHandshake::Legacy { server_id: me }
    } else {
        let version = if multi_address { ELECTION_PROTOCOL_V2 } else { ELECTION_PROTOCOL_V1 };
        ElectionHandshake::Initial { version, server_id: me, addresses: &text }
    };
    let bytes: Bytes = handshake.to_bytes().into();
    assert!(bytes.len() >= VERSION_BYTES, "no form is shorter");
    assert!(bytes.len() == VERSION_BYTES || bytes.len() > ADDRESS_AT, "an id, or an address");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.into(), port }
    }

    fn whole(id: i64, addresses: &[Endpoint], length: usize) -> Reading {
        Reading::Whole(Caller { id: ServerId(id), addresses: addresses.to_vec() }, length)
    }

    #[test]
    fn the_first_packet_of_a_learner_is_known_as_such() {
        for kind in [packet::FOLLOWERINFO, packet::OBSERVERINFO] {
            let mut bytes = kind.to_be_bytes().to_vec();
            bytes.extend(0x2_0000_0001_i64.to_be_bytes());
            bytes.extend(20_i32.to_be_bytes());
            assert_eq!(read(&bytes), Reading::Partial);
            bytes.extend(3_i64.to_be_bytes());
            assert_eq!(read(&bytes), Reading::Learner(ServerId(3)));
        }
        assert_eq!(
            read(&255_i64.to_be_bytes()),
            whole(255, &[], 8),
            "an old server with a large id"
        );
    }

    #[test]
    fn a_handshake_is_read_from_pieces_and_up_to_its_end() {
        for (addresses, multi, length) in [
            (vec![at("zk1", 3888)], false, 28),
            (vec![at("zk1", 3888), at("0:0:0:0:0:0:0:1", 3888)], true, 51),
        ] {
            let mut bytes = write(ServerId(2), &addresses, multi).to_vec();
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), Reading::Partial, "{cut}");
            }
            bytes.extend([1, 2, 3]);
            assert_eq!(read(&bytes), whole(2, &addresses, length));
        }
    }

    #[test]
    fn the_first_version_says_one_address_and_a_server_without_any_its_id() {
        let two = [at("a", 1), at("b", 2)];
        assert_eq!(read(&write(ServerId(2), &two, false)), whole(2, &two[..1], 23));
        assert_eq!(read(&write(ServerId(2), &[], false)), whole(2, &[], 8));
    }

    #[test]
    fn wildcards_are_no_addresses() {
        let said = [at("0.0.0.0", 1), at("::", 2), at("b", 3)];
        assert_eq!(read(&write(ServerId(2), &said, true)), whole(2, &said[2..], 53));
    }

    #[test]
    fn what_is_no_handshake_is_refused_at_once() {
        let initial = |version: i64, id: i64, text: &str| {
            let length = i32::try_from(text.len()).unwrap();
            let head = [&version.to_be_bytes()[..], &id.to_be_bytes(), &length.to_be_bytes()];
            [&head.concat()[..], text.as_bytes()].concat()
        };
        for (bytes, reason) in [
            (initial(-1, 1, "a:1"), "unknown version"),
            (initial(-65536, 1, ""), "has 0 bytes"),
            (initial(-65536, 1, &"a".repeat(2049)), "has 2049 bytes"),
            (initial(-65536, 1, "a"), "not an address"),
            (initial(-65536, 1, "a:b"), "not a port"),
            (initial(-65536, 1, "a:65536"), "not a port"),
            (initial(-65536, 1, "a:1:2"), "not an address"),
            (initial(-65536, 1, ":1"), "no usable host"),
            (initial(-65536, 1, "[::1:3"), "matching"),
            (initial(-65536, -7, "a:1"), "not the id"),
        ] {
            let Reading::Refused(said) = read(&bytes) else { panic!("{bytes:?}") };
            assert!(said.contains(reason), "{said}");
        }
        let mut text = initial(-65536, 1, "ab:1");
        text[20] = 0xff;
        assert!(matches!(read(&text), Reading::Refused(_)));
        // An HTTP request is refused at once.
        assert!(matches!(
            read(b"GET / HTTP/1.1\r\n\r\n"),
            Reading::Whole(..) | Reading::Refused(_)
        ));
    }
}
