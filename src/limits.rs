//! Every bound of the server, each with its reason. A configured bound has its default here.

/// Default of `jute.maxbuffer`: the longest frame that a client may send, in bytes.
// ZooKeeper: BinaryInputArchive.maxBuffer, one byte less than 1 MiB.
pub const FRAME_BYTES_MAX: u32 = 0xf_ffff;

/// Default of `jute.maxbuffer.extrasize`: what a transaction may be longer than its request.
pub const TXN_EXTRA_BYTES_MAX: u32 = FRAME_BYTES_MAX;

/// Bytes of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// Longest name and value that a connect request's password may have before it is refused unread.
pub const CONNECT_FRAME_BYTES_MAX: u32 = 1024;

/// Longest message between servers on the election port (`QuorumCnxManager.PACKETMAXSIZE`).
pub const ELECTION_MESSAGE_BYTES_MAX: u32 = 512 * 1024;

/// Longest address list in the election handshake (`InitialMessage.parse`).
pub const ELECTION_ADDRESS_BYTES_MAX: u32 = 2048;

/// Longest single record of a transaction log that a reader accepts: beyond it a length is damage.
///
/// ZooKeeper reads up to `jute.maxbuffer + extrasize`, which an operator may have raised; a record
/// is read from a file of known size, so the bound only has to be sane.
pub const LOG_RECORD_BYTES_MAX: u32 = 1 << 30;

/// Committed transactions kept in memory for followers that lag a little (`commitLogCount`).
pub const COMMITTED_LOG_TXNS: usize = 500;

/// Default of `globalOutstandingLimit`: requests in the server at once.
pub const REQUESTS_OUTSTANDING_MAX: usize = 1000;

const _: () = assert!(CONNECT_FRAME_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(LOG_RECORD_BYTES_MAX > FRAME_BYTES_MAX + TXN_EXTRA_BYTES_MAX);
