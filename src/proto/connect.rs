//! The first frame in each direction: how a session begins (`ConnectRequest`, `ConnectResponse`).

use crate::id::{SessionId, Zxid};
use crate::jute::{DecodeError, Decoder, Jute, Sink, begin_frame, end_frame};
use crate::limits::PASSWORD_BYTES;

/// A client's first request; 44 bytes with a 16-byte password, 45 with the read-only flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The newest zxid that the client has seen: the client must not see an older state.
    pub last_zxid_seen: Zxid,
    /// The requested session timeout, in ms.
    pub timeout_ms: i32,
    /// The session to resume; 0 for a new one.
    pub session_id: SessionId,
    /// The session's password, of any length; it is only compared.
    pub password: Option<&'a [u8]>,
    /// Whether the client accepts a read-only server. `None`: an old client that does not know the
    /// field, and whose response must not have it either.
    pub read_only: Option<bool>,
}

impl<'a> Jute<'a> for ConnectRequest<'a> {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(ConnectRequest {
            protocol_version: input.i32()?,
            last_zxid_seen: Zxid(input.i64()?),
            timeout_ms: input.i32()?,
            session_id: SessionId(input.i64()?),
            password: Jute::decode(input)?,
            // ZooKeeper: ProtocolManager takes a missing byte for an old client.
            read_only: if input.is_empty() { None } else { Some(bool::decode(input)?) },
        })
    }

    fn encode(&self, out: &mut impl Sink) {
        self.protocol_version.encode(out);
        self.last_zxid_seen.0.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.0.encode(out);
        self.password.encode(out);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }
}

/// The server's answer; 36 bytes, or 37 with the read-only flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The session timeout in force, in ms; 0 if the session is refused.
    pub timeout_ms: i32,
    /// The session; 0 when refused.
    pub session_id: SessionId,
    /// Its password; zeroes when refused.
    pub password: [u8; PASSWORD_BYTES],
    /// Whether this server is read-only; present if and only if the request had the field.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The refusal of a session: the client takes the session for expired.
    pub const fn refused(read_only: Option<bool>) -> Self {
        ConnectResponse {
            protocol_version: 0,
            timeout_ms: 0,
            session_id: SessionId::NONE,
            password: [0; PASSWORD_BYTES],
            read_only,
        }
    }

    /// Appends it as a whole frame.
    pub fn encode_frame(&self, out: &mut Vec<u8>) {
        let start = begin_frame(out);
        self.encode(out);
        end_frame(out, start);
    }
}

impl<'a> Jute<'a> for ConnectResponse {
    fn decode(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let protocol_version = input.i32()?;
        let timeout_ms = input.i32()?;
        let session_id = SessionId(input.i64()?);
        let offset = input.offset();
        let password: Option<&[u8]> = Jute::decode(input)?;
        let password = password.unwrap_or_default();
        let Ok(password) = password.try_into() else {
            let value = i64::try_from(password.len()).unwrap_or(i64::MAX);
            return Err(DecodeError::BadValue { what: "password length", value, offset });
        };
        let read_only = if input.is_empty() { None } else { Some(bool::decode(input)?) };
        Ok(ConnectResponse { protocol_version, timeout_ms, session_id, password, read_only })
    }

    fn encode(&self, out: &mut impl Sink) {
        self.protocol_version.encode(out);
        self.timeout_ms.encode(out);
        self.session_id.0.encode(out);
        Some(&self.password[..]).encode(out);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_only_byte_is_there_exactly_if_the_client_knows_it() {
        let mut request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid(7),
            timeout_ms: 30_000,
            session_id: SessionId(0),
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        assert_eq!(request.to_bytes().len(), 45);
        assert_eq!(ConnectRequest::from_bytes(&request.to_bytes()), Ok(request));
        request.read_only = None;
        assert_eq!(request.to_bytes().len(), 44);
        assert_eq!(ConnectRequest::from_bytes(&request.to_bytes()), Ok(request));
        assert_eq!(ConnectResponse::refused(None).to_bytes().len(), 36);
        assert_eq!(ConnectResponse::refused(Some(false)).to_bytes().len(), 37);
    }
}
