//! Bounds of the work in one turn of a replica, and what things cost in units of that work.

/// How long a session or a connection that is gone may stay in a bucket of the expiry queue, in ms. A client chooses
/// its timeout, up to hours if `maxSessionTimeout` allows it, and may open and close a thousand sessions a second:
/// without this bound each would be kept for that timeout. A check costs a fraction of a microsecond, so a hundred
/// thousand of them in a minute cost little.
pub const EXPIRY_LOOK_MS: u64 = 60_000;

/// Work for clients in one turn before everything else is checked again. A unit is about a microsecond, so a turn takes
/// some milliseconds, including its output, and clients never make a leader's packets late.
pub const TURN_WORK_UNITS: u32 = 3000;

/// What one turn spends on watches: on finding them, on asking ACLs and on writing events, in tenths of microseconds,
/// which is what a short event takes. A multi of ten thousand operations below the recursive watches of any number of
/// clients is applied whole. When a turn has spent this, some 200 ms, the connections that took more than an even
/// share lose their watches and are closed; when it has spent as much again, everyone whose watch is found. Their
/// clients connect again, and set their watches.
// ZooKeeper: any number.
pub const TURN_EVENTS_MAX: u32 = 2_000_000;

/// Identities of a connection that an ACL is asked about in the time of a short event.
pub const IDENTITIES_PER_EVENT: usize = 4;

/// What it takes to take the watch of a connection that is gone out of its lists, in short events.
pub const WATCH_TAKEN_OUT_EVENTS: u32 = 2;

/// A request that may take more units than this goes into a queue for heavy requests: it takes a hundred times as long
/// as most.
pub const HEAVY_WORK_UNITS: u32 = 300;
const _: () = assert!(HEAVY_WORK_UNITS * 2 < TURN_WORK_UNITS);

/// Largest debt of heavy requests to light ones, in units: without a bound, clients that cause much work for all would
/// make clients with heavy reads wait.
pub const HEAVY_DEBT_UNITS_MAX: i64 = 4 * TURN_WORK_UNITS as i64;

/// Units that a connection may spend in each of its turns, however many others wait: some small requests, so that their
/// nodes are prefetched together.
pub const VISIT_WORK_UNITS_MIN: u32 = 20;

/// Units of a connect request.
pub const CONNECT_WORK_UNITS: u32 = 5;

/// Names in a list that are written in one unit.
pub const NAMES_PER_UNIT: usize = 10;

/// Bytes of a request with a list of operations that are executed in one unit.
pub const LIST_BYTES_PER_UNIT: usize = 24;
/// The same for a request whose operations are only read, to be forwarded.
pub const READ_BYTES_PER_UNIT: usize = 200;

/// Bytes of a list of watches that are set again in one unit: the shortest path takes five.
pub const SET_WATCH_BYTES_PER_UNIT: usize = 8;

/// Watches that one turn sets again for one client: some two milliseconds. A frame may hold fifty times as many, and is
/// executed in parts.
pub const WATCHES_SET_PER_TURN: usize = 4096;

/// Bytes that are hashed in one unit.
pub const HASHED_BYTES_PER_UNIT: usize = 512;

/// Bytes of identities in an ACL, in one unit: they are hashed, compared, digested and copied several times.
pub const NAME_BYTES_PER_UNIT: usize = 1024;

/// Identities of a connection with fewer bytes in total cost next to nothing.
pub const IDENTITIES_BYTES_USUAL: usize = 1024;

/// Bytes that are copied several times in one unit.
pub const COPIED_BYTES_PER_UNIT: usize = 4096;

/// Bytes that are sent to a client in one unit, the kernel's copies and the first use of their memory included.
pub const SENT_BYTES_PER_UNIT: usize = 512;

/// Bytes that a session core writes at once, without regard to turns: most replies.
pub const SHORT_SEND_BYTES: usize = 4096;

/// Bytes that it writes to one connection before others have their turn.
pub const LONG_SEND_BYTES_PER_TURN: usize = 64 << 10;

/// Bytes that it writes in turn before it checks for other work: a quarter of a millisecond.
pub const LONG_SENDS_BYTES_PER_ROUND: usize = 512 << 10;

/// Bytes of a write in one unit: they go to the log and to every other server.
pub const WRITTEN_BYTES_PER_UNIT: usize = 512;

/// Units that the end of a session takes for each of its ephemeral nodes.
pub const UNITS_PER_EPHEMERAL: usize = 2;

/// Changes of nodes that are proposed and not applied beyond which clients' next writes wait: a write is applied after
/// all that were proposed before it, and this many take some ten milliseconds. Thousands of clients with one write each
/// come nowhere near.
pub const CHANGES_UNAPPLIED_MAX: usize = 20_000;
/// The same for long transactions whose operations may change nothing, in units: one of the longest, or some with
/// hundreds of operations. In an ensemble each of them costs time on every server, one after the other.
pub const UNITS_UNAPPLIED_MAX: u64 = 5_000;
/// The same in bytes of those transactions, which go to every server and to its log: a slow disk takes this much in
/// some ten milliseconds.
pub const BYTES_UNAPPLIED_MAX: usize = 2 << 20;

/// Watches of closed connections that one turn removes from the table: less than a millisecond. A connection may have a
/// million, and thousands may end at once.
pub const WATCHES_REMOVED_PER_TURN: usize = 4096;
