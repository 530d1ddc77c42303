//! The packets in which two servers exchange the tokens of a login (`QuorumAuthPacket`).
//!
//! ```text
//! i64 magic │ i32 status │ i32 n │ n bytes: a token; n = -1: none
//! 0           8            12      16
//! ```
//! Numbers are big-endian. A packet has no frame, so a stream is read up to where the packet ends, and no farther: what
//! follows is not of the login.

use super::Refusal;
use crate::limits::LOGIN_TOKEN_BYTES_MAX;

/// The first eight bytes. No learner and no server of an election begins with them.
// ZooKeeper: QuorumAuth.QUORUM_AUTH_MAGIC_NUMBER, which is written as -0xa0dbcafecafe1234.
const MAGIC: [u8; 8] = 0x5F24_3501_3501_EDCC_i64.to_be_bytes();

/// The offset of the token.
const TOKEN_AT: usize = 16;

/// What a packet says of the login (`QuorumAuth.Status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It goes on.
    InProgress,
    /// The server takes the learner for who it says.
    Success,
    /// It has failed.
    Error,
}

/// A packet at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'b> {
    pub(super) status: Status,
    pub(super) token: Option<&'b [u8]>,
    /// The bytes that it takes.
    pub(super) length: usize,
}

/// Whether bytes begin with a packet. `None`: too few have come to tell.
pub(super) fn begins(bytes: &[u8]) -> Option<bool> {
    let known = bytes.len().min(MAGIC.len());
    let fits = bytes[..known] == MAGIC[..known];
    (!fits || known == MAGIC.len()).then_some(fits)
}

/// The packet at the beginning of these bytes. `None`: it has not come as a whole.
///
/// # Errors
/// They are no packet, or one whose token is longer than any. Its length counts as soon as it has come.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Packet<'_>>, Refusal> {
    match begins(bytes) {
        None => return Ok(None),
        Some(false) => return Err(Refusal::NoPacket),
        Some(true) => {}
    }
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().expect("four bytes")))
    };
    let (Some(status), Some(length)) = (number(8), number(12)) else { return Ok(None) };
    let status = match status {
        0 => Status::InProgress,
        1 => Status::Success,
        -1 => Status::Error,
        other => return Err(Refusal::Status(other)),
    };
    if length == -1 {
        return Ok(Some(Packet { status, token: None, length: TOKEN_AT }));
    }
    let known = usize::try_from(length).ok().filter(|length| *length <= LOGIN_TOKEN_BYTES_MAX);
    let end = TOKEN_AT + known.ok_or(Refusal::TokenLength(length))?;
    let token = bytes.get(TOKEN_AT..end);
    Ok(token.map(|token| Packet { status, token: Some(token), length: end }))
}

/// Appends a packet.
///
/// # Panics
/// If the token is longer than any.
pub(super) fn put(out: &mut Vec<u8>, status: Status, token: &[u8]) {
    assert!(token.len() <= LOGIN_TOKEN_BYTES_MAX, "the other side would not read it");
    put_head(out, status, i32::try_from(token.len()).expect("a small number"));
    out.extend_from_slice(token);
}

/// Appends a packet that has no token.
pub(super) fn put_without_token(out: &mut Vec<u8>, status: Status) {
    put_head(out, status, -1);
}

/// Appends what stands before a token of a length.
fn put_head(out: &mut Vec<u8>, status: Status, length: i32) {
    let status: i32 = match status {
        Status::InProgress => 0,
        Status::Success => 1,
        Status::Error => -1,
    };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&status.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_read_from_pieces_and_up_to_its_end() {
        for (status, token) in
            [(Status::InProgress, &b""[..]), (Status::Success, b"token"), (Status::Error, b"")]
        {
            let mut bytes = Vec::new();
            put(&mut bytes, status, token);
            let length = bytes.len();
            bytes.extend_from_slice(b"rest");
            for end in 0..length {
                assert_eq!(read(&bytes[..end]), Ok(None), "{end}");
            }
            for end in length..=bytes.len() {
                let expected = Packet { status, token: Some(token), length };
                assert_eq!(read(&bytes[..end]), Ok(Some(expected)));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_a_java_server() {
        let mut bytes = Vec::new();
        put(&mut bytes, Status::InProgress, b"ab");
        let expected = b"\x5f\x24\x35\x01\x35\x01\xed\xcc\0\0\0\0\0\0\0\x02ab";
        assert_eq!(bytes, expected);
        bytes.splice(12.., (-1_i32).to_be_bytes());
        let none = Packet { status: Status::InProgress, token: None, length: 16 };
        assert_eq!(read(&bytes), Ok(Some(none)));
    }

    #[test]
    fn what_is_no_packet_is_refused_as_early_as_can_be() {
        assert_eq!(begins(b""), None);
        assert_eq!(begins(&MAGIC[..7]), None);
        assert_eq!(begins(&MAGIC), Some(true));
        assert_eq!(begins(b"\0"), Some(false));
        assert_eq!(begins(b"\x5f\x24\x35\x01\x35\x01\xed\xcd"), Some(false));
        assert_eq!(read(b"\0"), Err(Refusal::NoPacket));
        let packet = |status: i32, length: i32| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend(status.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            read(&bytes).map(|packet| packet.is_some())
        };
        assert_eq!(packet(2, 0), Err(Refusal::Status(2)));
        let max = i32::try_from(LOGIN_TOKEN_BYTES_MAX).unwrap();
        assert_eq!(packet(0, max), Ok(false));
        for length in [max + 1, -2, i32::MAX, i32::MIN] {
            assert_eq!(packet(0, length), Err(Refusal::TokenLength(length)));
        }
    }
}
