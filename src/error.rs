//! The error codes that a client can receive (`KeeperException.Code`).

use std::fmt;

/// A failed operation as the client sees it: the `err` field of a reply header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i32)]
pub enum ErrorCode {
    /// A system error of the server.
    SystemError = -1,
    /// In a failed multi: an operation after the one that failed.
    RuntimeInconsistency = -2,
    /// The server's own data disagree.
    DataInconsistency = -3,
    /// The connection to the server was lost.
    ConnectionLoss = -4,
    /// The request could not be decoded, or its reply not encoded.
    MarshallingError = -5,
    /// The operation is unknown or switched off.
    Unimplemented = -6,
    /// The operation took too long.
    OperationTimeout = -7,
    /// An argument is not allowed: a path, a flag, a TTL.
    BadArguments = -8,
    /// The session is not known.
    UnknownSession = -12,
    /// No quorum of the new configuration is connected and up to date.
    NewConfigNoQuorum = -13,
    /// Another reconfiguration is in progress.
    ReconfigInProgress = -14,
    /// The beginning of the range of API errors; never sent itself.
    ApiError = -100,
    /// The node does not exist.
    NoNode = -101,
    /// The client lacks the permission.
    NoAuth = -102,
    /// The version given is not the node's.
    BadVersion = -103,
    /// An ephemeral node may not have children.
    NoChildrenForEphemerals = -108,
    /// The node exists.
    NodeExists = -110,
    /// The node has children.
    NotEmpty = -111,
    /// The session has expired.
    SessionExpired = -112,
    /// A callback is not valid.
    InvalidCallback = -113,
    /// The ACL is empty, malformed or names no identity.
    InvalidAcl = -114,
    /// Authentication failed.
    AuthFailed = -115,
    /// The session has moved to another server.
    SessionMoved = -118,
    /// The server is read-only.
    NotReadOnly = -119,
    /// A local session may not own an ephemeral node.
    EphemeralOnLocalSession = -120,
    /// There is no such watcher.
    NoWatcher = -121,
    /// The client waited too long for its reply.
    RequestTimeout = -122,
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123,
    /// The session was closed because it has not authenticated.
    SessionClosedRequireSaslAuth = -124,
    /// A hard quota would be exceeded.
    QuotaExceeded = -125,
    /// The operation waited too long in the server and was not executed.
    ThrottledOp = -127,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: [ErrorCode; 31] = [
        ErrorCode::SystemError,
        ErrorCode::RuntimeInconsistency,
        ErrorCode::DataInconsistency,
        ErrorCode::ConnectionLoss,
        ErrorCode::MarshallingError,
        ErrorCode::Unimplemented,
        ErrorCode::OperationTimeout,
        ErrorCode::BadArguments,
        ErrorCode::UnknownSession,
        ErrorCode::NewConfigNoQuorum,
        ErrorCode::ReconfigInProgress,
        ErrorCode::ApiError,
        ErrorCode::NoNode,
        ErrorCode::NoAuth,
        ErrorCode::BadVersion,
        ErrorCode::NoChildrenForEphemerals,
        ErrorCode::NodeExists,
        ErrorCode::NotEmpty,
        ErrorCode::SessionExpired,
        ErrorCode::InvalidCallback,
        ErrorCode::InvalidAcl,
        ErrorCode::AuthFailed,
        ErrorCode::SessionMoved,
        ErrorCode::NotReadOnly,
        ErrorCode::EphemeralOnLocalSession,
        ErrorCode::NoWatcher,
        ErrorCode::RequestTimeout,
        ErrorCode::ReconfigDisabled,
        ErrorCode::SessionClosedRequireSaslAuth,
        ErrorCode::QuotaExceeded,
        ErrorCode::ThrottledOp,
    ];

    /// The number on the wire.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The code with this number.
    pub fn from_code(code: i32) -> Option<ErrorCode> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({})", self.code())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for known in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_code(known.code()), Some(known));
        }
        assert_eq!(ErrorCode::from_code(0), None);
        assert_eq!(ErrorCode::from_code(-126), None);
    }
}
