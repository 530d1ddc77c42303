//! Bounds of what clients may ask for and hold: frames, identities, requests, output, watches.

use super::{AUTHINFO_BYTES_MAX, LOG_RECORD_BYTES_MAX};

/// Default of `jute.maxbuffer`: the longest frame that a client may send, in bytes.
// ZooKeeper: BinaryInputArchive.maxBuffer, one byte less than 1 MiB.
pub const FRAME_BYTES_MAX: u32 = 0xf_ffff;

/// Default of `jute.maxbuffer.extrasize`: by how much a transaction may be longer than its request.
pub const TXN_EXTRA_BYTES_MAX: u32 = FRAME_BYTES_MAX;

/// The largest value of `jute.maxbuffer` and of its extra size, whatever the configuration says: a transaction may be
/// as long as both together, and none that is longer than [`LOG_RECORD_BYTES_MAX`] can be read back.
pub const FRAME_BYTES_CEILING: u32 = LOG_RECORD_BYTES_MAX / 2;

/// Longest body of a reply: the length of its frame has 31 bits, and includes the header. Even a short request can ask
/// for more, about nodes with many long names.
pub const REPLY_BYTES_MAX: usize = 0x7fff_ffff - 16;

/// Bytes of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// Longest first frame of a connection: a connect request has 45 bytes, and a password of another length
/// than 16 is refused anyway. A client without a session holds no more of the server's memory than this.
// ZooKeeper: NIOServerCnxn accepts a first frame of jute.maxbuffer bytes, like any other frame.
pub const CONNECT_FRAME_BYTES_MAX: u32 = 1024;

/// Checks, one a second, within which an incomplete frame must become complete, however short it is: longer than a loss
/// of the network from which TCP recovers. Counting checks instead of seconds means that a client is not blamed for a
/// stall of the server.
pub const FRAME_LOOKS_MIN: u32 = 30;

/// A long frame may take one check more for each of this many bytes: what a poor line carries in a second. A slower
/// client holds memory that it does not use.
pub const FRAME_BYTES_PER_LOOK: usize = 16 * 1024;

/// Identities that one connection may have, that of its address included. One is usual, and each is checked against
/// ACLs.
pub const IDENTITIES_MAX: usize = 64;

/// Bytes of schemes and names of all identities of one connection: they are sent with each of its writes that a learner
/// forwards, and are part of each ACL for `auth`.
pub const IDENTITIES_BYTES_MAX: usize = 64 * 1024;

/// Default of `ringkeeper.aclEntriesMax`: entries of an ACL that a client gives to a node. Each list is searched when
/// it is set, and kept in memory. An ACL in a snapshot or a log may have more.
pub const ACL_ENTRIES_MAX: usize = 1024;
const _: () =
    assert!(IDENTITIES_BYTES_MAX + IDENTITIES_MAX * 2 * size_of::<u32>() < AUTHINFO_BYTES_MAX);

/// Default of `globalOutstandingLimit`: requests in the server at once.
pub const REQUESTS_OUTSTANDING_MAX: usize = 1000;

/// Bytes of events that may wait unsent for one client before its connection is closed: the client did not ask for
/// them. Replies are bounded by [`CONNECTION_OUTPUT_PAUSE_BYTES`] instead.
///
/// A guess: half a million events, and small beside the memory of a server.
pub const CONNECTION_OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Default of `ringkeeper.outputBytesPerConnectionMax`: bytes of replies that one client has not read, at which the
/// server executes no more of its requests. With the one reply that exceeds the bound, this is all memory that a
/// connection's replies hold, however many it has asked for.
///
/// As much as a fast network carries in some milliseconds.
pub const CONNECTION_OUTPUT_PAUSE_BYTES: usize = 4 << 20;

/// A piece of output longer than this is counted until the client has read it; the socket holds many shorter ones,
/// which are not worth a message.
pub const OUTPUT_REPORTED_BYTES: usize = 64 * 1024;

/// Bytes of unanswered requests of one connection at which nothing more is read from it. A longer request is read
/// alone.
pub const CONNECTION_REQUESTS_PAUSE_BYTES: u64 = 4 << 20;

/// Bytes that are read from a client at once.
pub const CONNECTION_READ_BYTES: usize = 64 * 1024;

/// Bytes of neighbouring requests of one connection up to which the edge keeps only their number and
/// their sum. A smaller value would keep more entries; a longer request has an entry of its own.
pub const CONNECTION_REQUESTS_BATCH_BYTES: u64 = 64 * 1024;
/// See [`connection_held_bytes_max`].
const CONNECTION_HELD_BYTES_MIN: usize = 16 << 20;

/// Bytes of waiting requests beyond which a connection is closed. No client that keeps to the protocol reaches it,
/// because the edge reads nothing more while it counts more than [`CONNECTION_REQUESTS_PAUSE_BYTES`]. The real number
/// exceeds the edge's count by less than [`CONNECTION_REQUESTS_BATCH_BYTES`], and the read that goes beyond the pause
/// adds the longest frame with its length, which it completes, and at most [`CONNECTION_READ_BYTES`] after it. The
/// edge's count includes the requests that the replica holds, because the edge removes a request only when its answer
/// is delivered. The sum is 5.1 MiB with the default `jute.maxbuffer`, a third of the smallest value.
pub fn connection_held_bytes_max(frame_bytes_max: u32) -> usize {
    let counted = CONNECTION_REQUESTS_PAUSE_BYTES + CONNECTION_REQUESTS_BATCH_BYTES;
    let frame = u64::from(frame_bytes_max) + size_of::<u32>() as u64;
    let read = frame + CONNECTION_READ_BYTES as u64;
    usize::try_from(counted + read).unwrap_or(usize::MAX).max(CONNECTION_HELD_BYTES_MIN)
}

/// A client that takes no byte for this time, while more output waits than its bound allows, does not read: its
/// connection is closed. A guess, longer than a garbage collection or a short loss of the network.
pub const OUTPUT_STALL_MS: u64 = 30_000;

/// Connections that have ended and stay open for a moment, so that their clients can read the last bytes. A client that
/// closes its side at once is among them for a round trip. They may use at most a quarter of the descriptors for
/// clients, because `maxClientCnxns` does not count them.
pub const LINGERING_MAX: u32 = 256;

/// All connections together may hold this fraction (one in so many parts) of the memory that the process may use,
/// unless `ringkeeper.connectionMemoryMax` says otherwise. The rest is for the tree, and for data that waits for the
/// log and for other servers, each with a bound of its own.
pub const CONNECTION_MEMORY_SHARE: u64 = 4;

/// The least memory for connections, however small the machine: a few hundred clients with a large reply each.
pub const CONNECTION_MEMORY_MIN: u64 = 64 << 20;

/// This many of the longest frames must fit into the memory for connections: frames may be arriving, waiting, in
/// transit to another executor and being answered at the same time.
pub const CONNECTION_MEMORY_FRAMES_MIN: u64 = 4;
const _: () =
    assert!(CONNECTION_MEMORY_FRAMES_MIN * (FRAME_BYTES_MAX as u64) < CONNECTION_MEMORY_MIN);

/// Connections waiting for memory that are resumed in one turn.
pub const STARVING_TAKEN_UP_MAX: usize = 256;

/// The time after which connections that wait for memory are checked again.
pub const STARVING_LOOK_MS: u64 = 5;

/// A connection that the server closes must take its last bytes within [`OUTPUT_STALL_MS`] and a second for each this
/// many of them. Its session is over, so nothing else would end it while its client reads a byte from time to time.
pub const FAREWELL_BYTES_PER_SECOND: usize = 1 << 20;

/// Default of `largeRequestMaxBytes`: bytes of large requests in the server at once.
pub const LARGE_REQUESTS_BYTES_MAX: usize = 100 << 20;

/// Default of `ringkeeper.multiReadReplyBytesMax`: a small multiRead can ask for any number of large
/// nodes.
pub const MULTI_READ_BYTES_MAX: usize = 64 << 20;

/// Levels of a path on which a recursive watch may lie: each change of a node looks for one on all levels above it,
/// and a connection can have one on each. Trees in use have ten.
// ZooKeeper: any number.
pub const RECURSIVE_WATCH_LEVELS_MAX: usize = 64;

/// Default of `ringkeeper.multiOperationsMax`: a multi is executed in one piece, so its cost is bounded before it
/// begins. Usual operations have a hundred bytes each, and no more of those fit into the longest frame; without a
/// bound, there could be 58 000.
// ZooKeeper: as many as fit into a frame.
pub const MULTI_OPERATIONS_MAX: usize = 10_000;

/// Default of `ringkeeper.ephemeralsPerSessionMax`: the end of a session deletes all of its nodes in one piece. With
/// paths of 50 bytes, more of them would not fit into its transaction.
// ZooKeeper: any number, and a transaction that is too long for the log stops the ensemble (ZOOKEEPER-4306).
pub const EPHEMERALS_PER_SESSION_MAX: usize = 20_000;

/// Connections, sessions, nodes or watches that the answer to a four-letter word lists; `stat`, of which scripts need
/// the last lines, lists this many connections. Some twenty milliseconds.
pub const WORD_ENTRIES_MAX: usize = 50_000;

/// Bytes of the answer to `wchc`, `wchp` or `dump`, whose paths may be as long as frames and, of `wchc`, repeated for
/// each session. Some ten milliseconds.
pub const WORD_BYTES_MAX: usize = 8 << 20;

/// Names of children that one multiRead may ask for together: some 20 ms.
pub const MULTI_READ_NAMES_MAX: usize = 200_000;

/// Bytes of the text of a quota's limits or figures that are read: a text from a program has a hundred. The server
/// rewrites it at each change below the quota, and any client may make it as long as a request.
pub const QUOTA_TEXT_BYTES_MAX: usize = 4096;

/// Watches of one connection, data and child watches, unless the configuration sets another number. The largest known
/// clients have some hundred thousand.
pub const WATCHES_PER_CONNECTION_MAX: u32 = 1_000_000;

/// All watches together may use this fraction (one in so many parts) of the memory that the process may use, unless the
/// configuration sets the number.
pub const WATCH_MEMORY_PART: u64 = 8;

/// The least memory for all watches together: some 400 000 with paths of a usual length.
pub const WATCH_MEMORY_MIN: u64 = 64 << 20;

/// One connection may use this fraction (one in so many parts) of the memory for watches.
pub const WATCH_MEMORY_SHARE: u64 = 4;
const _: () = assert!(CONNECTION_HELD_BYTES_MIN > 2 * FRAME_BYTES_MAX as usize);
const _: () = assert!(CONNECTION_REQUESTS_PAUSE_BYTES < CONNECTION_HELD_BYTES_MIN as u64);
const _: () = assert!(OUTPUT_REPORTED_BYTES < CONNECTION_OUTPUT_PAUSE_BYTES);
const _: () = assert!(CONNECTION_OUTPUT_PAUSE_BYTES < CONNECTION_OUTPUT_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX < FRAME_BYTES_CEILING);
const _: () = assert!(CONNECT_FRAME_BYTES_MAX < FRAME_BYTES_MAX);
