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

/// Longest list of a client's identities in a request that a learner passes on, in bytes.
///
/// A client may authenticate as often as it likes, but a frame at a time; ten is many.
pub const AUTHINFO_BYTES_MAX: usize = 1 << 20;

/// Longest message between servers on the election port (`QuorumCnxManager.PACKETMAXSIZE`).
pub const ELECTION_MESSAGE_BYTES_MAX: u32 = 512 * 1024;

/// Longest address list in the election handshake (`InitialMessage.parse`).
pub const ELECTION_ADDRESS_BYTES_MAX: u32 = 2048;

/// Longest text of a configuration: it travels in election messages.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;

/// Members of an ensemble. Ids above 255 collide in session ids, so that nobody has as many.
pub const CONFIG_MEMBERS_MAX: usize = 1024;

/// Addresses of one member (`multiAddress.enabled`); all of them must fit an election handshake.
pub const MEMBER_ADDRESSES_MAX: usize = 16;

/// Characters of a host's name: that of DNS is shorter.
pub const HOST_BYTES_MAX: usize = 255;

/// Longest single record of a transaction log that a reader accepts: beyond it a length is damage.
///
/// ZooKeeper reads up to `jute.maxbuffer + extrasize`, which an operator may have raised; a record
/// is read from a file of known size, so the bound only has to be sane.
pub const LOG_RECORD_BYTES_MAX: u32 = 1 << 30;

/// Bytes of one group buffer of the transaction log; there are two.
///
/// As much as a disk of today writes in about a millisecond: a longer group would only add to the
/// latency of the first transaction in it. A longer transaction gets a buffer of its own.
pub const LOG_GROUP_BYTES: usize = 1 << 20;

/// Committed transactions kept in memory for followers that lag a little (`commitLogCount`).
pub const COMMITTED_LOG_TXNS: usize = 500;

/// Bytes of transactions that are read from the log's files at once for a learner that is far
/// behind: they are all in memory until they are sent.
///
/// A guess: beyond it the tree itself, which is sent piece by piece, is the better way.
pub const LOG_READ_BYTES_MAX: u64 = 128 << 20;

/// Reads of the log's files that may wait, each with its transactions in memory when it is done. A
/// learner that finds no place gets the whole tree.
pub const LOG_READS_MAX: usize = 4;

/// Transactions, and their bytes, that were appended and wait for the log: beyond one of them nothing
/// more is read from other servers. The log of a disk that keeps up has a group of them waiting.
pub const BACKLOG_TXNS_MAX: usize = 50_000;
/// See [`BACKLOG_TXNS_MAX`].
pub const BACKLOG_BYTES_MAX: usize = 64 << 20;

/// Connections between this server and others, at once. Hundreds of observers at one leader are in
/// use, each with two connections.
pub const LINKS_MAX: usize = 1024;

/// Of those accepted, how many may come from one address: a small ensemble for a test, on one
/// machine, has a few dozen.
pub const LINKS_PER_REMOTE_MAX: u32 = 128;

/// Connections that are being made, and names that are being resolved, at once: a thread each. An
/// election connects to every voter.
pub const LINK_JOBS_MAX: usize = 64;

/// Default of `globalOutstandingLimit`: requests in the server at once.
pub const REQUESTS_OUTSTANDING_MAX: usize = 1000;

/// Bytes that may wait unsent for one client before its connection is closed: it does not read.
///
/// A guess: several of the largest replies in use (the children of a node with a million of them
/// are some 16 MiB), and small beside the memory of a server.
pub const CONNECTION_OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Bytes of requests that one connection may have waiting behind its own writes or its session's
/// creation: beyond it the connection is closed. `globalOutstandingLimit` stops reading before.
pub const CONNECTION_HELD_BYTES_MAX: usize = 16 << 20;

/// Default of `largeRequestMaxBytes`: bytes of large requests in the server at once.
pub const LARGE_REQUESTS_BYTES_MAX: usize = 100 << 20;

/// Default of `ringkeeper.multiReadReplyBytesMax`: a small multiRead can ask for any number of large
/// nodes.
pub const MULTI_READ_BYTES_MAX: usize = 64 << 20;

const _: () = assert!(CONNECTION_HELD_BYTES_MAX > FRAME_BYTES_MAX as usize);
const _: () = assert!(CONFIG_BYTES_MAX < ELECTION_MESSAGE_BYTES_MAX as usize);
const _: () = assert!(CONNECT_FRAME_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(LOG_RECORD_BYTES_MAX > FRAME_BYTES_MAX + TXN_EXTRA_BYTES_MAX);
