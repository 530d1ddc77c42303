//! Bounds of what the process asks of its host: the files of its log, lines of the log, memory, room on the disk.

use super::{FRAME_BYTES_MAX, TXN_EXTRA_BYTES_MAX};

/// Longest single record of a transaction log that a reader accepts: a longer one means damage.
///
/// ZooKeeper reads up to `jute.maxbuffer + extrasize`, which an operator may have raised; a record is read from a file
/// of known size, so the bound only has to be reasonable.
pub const LOG_RECORD_BYTES_MAX: u32 = 1 << 30;

/// Bytes of one group buffer of the transaction log; there are two.
///
/// As much as a present disk writes in about a millisecond: a longer group would only add to the latency of the first
/// transaction in it. A longer transaction gets a buffer of its own.
pub const LOG_GROUP_BYTES: usize = 1 << 20;

/// Bytes of transactions that may wait for the log before a member of an ensemble leaves its leader:
/// its disk does not keep up, and the waiting transactions are only in its memory. A guess: some seconds of a fast
/// network.
pub const LOG_BACKLOG_BYTES_MAX: usize = 256 << 20;

/// Bytes of transactions that are read from the log's files at once for a learner that is far
/// behind: they are all in memory until they are sent.
///
/// A guess: beyond it, sending the tree itself, piece by piece, is better.
pub const LOG_READ_BYTES_MAX: u64 = 128 << 20;

/// Reads of the log's files that may wait, each with its transactions in memory when it is done. A learner beyond this
/// number gets the whole tree.
pub const LOG_READS_MAX: usize = 4;

/// Transactions, and their bytes, that were appended and wait for the log: beyond either bound the server reads nothing
/// more from other servers. With a disk that keeps up, one group is waiting.
pub const BACKLOG_TXNS_MAX: usize = 50_000;
/// See [`BACKLOG_TXNS_MAX`].
pub const BACKLOG_BYTES_MAX: usize = 64 << 20;

/// Bytes of one value in a line of the log; the rest of it is cut off. Texts from clients may be as long as a request.
pub const LOG_VALUE_BYTES_MAX: usize = 256;

/// Bytes of a sentence in a line of the log. Our longest has some 1 500, plus the names of files.
pub const LOG_SENTENCE_BYTES_MAX: usize = 4096;

/// A stall during which no client waited gets a line from this length on, in ms; shorter ones are only counted.
///
/// When no client waits, servers still ping each other every half tick, and sessions end after some ticks. A tick is
/// usually two seconds, and half a second where it is short: a stall of less than a fifth of that has no effect.
pub const STALL_UNAWAITED_MS_MIN: u64 = 100;

/// Lines of one kind (from one place in the code) that may follow each other without a pause: more than any start
/// writes of one kind.
pub const LOG_LINES_OF_A_KIND_BURST: u64 = 200;

/// Lines of one kind in each second after that: what a person can still read, and a disk can store.
pub const LOG_LINES_OF_A_KIND_PER_SECOND: u64 = 10;

/// Lines of one kind that clients can provoke, at once and in each second. A guess: enough to see what happens, too few
/// to fill a disk.
pub const LOG_LINES_PROVOKED_PER_SECOND: u64 = 20;

/// Seconds between two lines about connections of other servers that were refused.
pub const LOG_REFUSALS_SECONDS: u64 = 10;

/// Bytes of lines that wait for a slow standard error. Lines beyond it are dropped and counted.
pub const LOG_LINES_WAITING_BYTES_MAX: usize = 4 << 20;

/// Bytes of a `java.env` or `zookeeper-env.sh` beside the configuration that are searched for words without effect:
/// such a file has some lines.
pub const SHELL_FILE_BYTES_MAX: usize = 64 * 1024;

/// The number of such words that are named for each file.
pub const SHELL_WORDS_SAID_MAX: usize = 20;
const _: () = assert!(LOG_RECORD_BYTES_MAX > FRAME_BYTES_MAX + TXN_EXTRA_BYTES_MAX);

/// Consecutive starts of one process that found too little memory to lock; with the pauses between them they take some
/// seconds. The kernel releases the memory of a ring when its last work is done, a moment after its process has ended.
pub const STARTS_FOR_LOCKED_MEMORY_MAX: u32 = 14;

/// The first pause before such a start, and the longest.
pub const MEMORY_PAUSE_MS_MIN: u64 = 50;
/// See [`MEMORY_PAUSE_MS_MIN`].
pub const MEMORY_PAUSE_MS_MAX: u64 = 1000;

/// The first pause of a member that stopped for lack of room, and the longest: after a restart the leader may send it
/// the whole tree.
pub const ROOM_PAUSE_MS_MIN: u64 = 2000;
/// See [`ROOM_PAUSE_MS_MIN`].
pub const ROOM_PAUSE_MS_MAX: u64 = 120_000;

/// This much more room ends the pause.
pub const ROOM_NOTICED_BYTES: u64 = 1 << 20;
