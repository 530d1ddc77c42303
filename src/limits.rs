//! Every bound of the server, each with its reason. A configured bound has its default here.

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

/// Longest list of a client's identities in a request that a learner forwards, in bytes. Learners of Apache ZooKeeper
/// let their clients have any number.
pub const AUTHINFO_BYTES_MAX: usize = 1 << 20;
const _: () =
    assert!(IDENTITIES_BYTES_MAX + IDENTITIES_MAX * 2 * size_of::<u32>() < AUTHINFO_BYTES_MAX);

/// Bytes for its leader that may wait at a learner before it takes the leader for dead.
///
/// `globalOutstandingLimit` and the length of a frame bound the requests, but no ensemble fills both; beyond this the
/// leader has stopped reading.
pub const LEARNER_OUTPUT_BYTES_MAX: u64 = 256 << 20;

/// Learners whose connections a server holds until it knows whether it will lead. They are members of the ensemble, or
/// strangers.
pub const HELD_LEARNERS_MAX: usize = 256;

/// Bytes that such a learner may send before it is answered: FOLLOWERINFO has some 40 bytes.
pub const HELD_LEARNER_BYTES_MAX: usize = 4096;
/// Connections on the port of learners at once; more are closed. Observers may be in the hundreds.
pub const LEARNERS_MAX: usize = 4096;

/// Bytes that a learner may send in advance: it has to wait for an answer then.
pub const LEARNER_EARLY_BYTES_MAX: usize = 16 * 1024;

/// How far one server may be ahead of its leader, or a leader of its learner, with the epoch that it has
/// accepted. A server gets ahead by one each time an election fails after it alone has written the epoch to its disk:
/// to reach this bound, elections have to fail so for hours. There are 2³¹ epochs, and none is ever reused: a stranger
/// that sends a wrong number can use up one 200 000th of them, and needs the loss of a leader for each time.
pub const EPOCH_LEAD_MAX: i64 = 10_000;

/// How far votes for a leader may explain its epoch: the number of elections that an ensemble may have held while this
/// server, which has data, was away. A program that speaks for a member can send any number in a vote, and then lead:
/// this bound leaves two thousand such leaders until no epoch is left, and allows an election each minute for two
/// years.
pub const EPOCH_VOTED_LEAD_MAX: i64 = 1 << 20;
const _: () = assert!(EPOCH_LEAD_MAX < EPOCH_VOTED_LEAD_MAX);

/// Marks of its history that a learner sends to its leader, so that the leader can distinguish two histories with the
/// same zxids: they cover most of what a server keeps in memory, and fit into what it may send at once.
pub const HISTORY_MARKS_MAX: usize = 480;

/// Duration after which an election causes a warning, in ms: an election among healthy servers takes some round trips,
/// and one after the loss of a machine some attempts to connect of a second each.
pub const LEADERLESS_WARN_MS: u64 = 3_000;

/// Longest time between two such warnings, in ms: a minute of the log always has one.
pub const LEADERLESS_SAID_MS_MAX: u64 = 60_000;

/// How long a voter is missing before its leader logs it, in ms, and the longest pause between two lines about one
/// voter; the pause doubles. A restart takes less than the first; the second gives one line in each hour of a log that
/// is read the next day.
pub const MISSING_SAID_MS: (u64, u64) = (30_000, 3_600_000);

/// The pause between two lines about a server that is kept out because of its data, in ms: the server tries again each
/// second, and an operator needs no more lines.
pub const KEPT_OUT_SILENCE_MS: u64 = 60_000;

/// For how many servers the log remembers its last line: a stranger may use any number as its id.
pub const KEPT_OUT_SAID_MAX: usize = LEARNERS_MAX;

/// Bytes of proposals and commits that may wait for one learner before it is cut off: it hangs, or it reads the whole
/// tree more slowly than clients write. All learners share the memory of a broadcast, so many slow ones cost little
/// more than one.
pub const LEARNER_BACKLOG_BYTES_MAX: u64 = 256 << 20;

/// Bytes of uncommitted proposals at a learner beyond which it leaves its leader: they are in its memory. An honest
/// leader with so many would have cut this learner off, because it holds no more for a slow learner.
pub const PENDING_BYTES_MAX: u64 = LEARNER_BACKLOG_BYTES_MAX;

/// Bytes in flight to one learner beyond which no more of the tree or of the history is encoded: what a fast network
/// carries in some milliseconds.
pub const LEARNER_WINDOW_BYTES: u64 = 4 << 20;

/// How far one learner may lag behind another that gets the same tree, in bytes: beyond it the faster
/// one waits, and the slower one is cut off if it does not move at all.
pub const LEARNER_SPREAD_BYTES_MAX: u64 = 64 << 20;

/// The rate at which a member that gets the whole tree must read it, on average over `initLimit`, in bytes per second.
/// The database is frozen meanwhile: changed nodes are kept twice, no snapshot is written, and no other transfer can
/// begin. A network with less than half a megabit per second carries no ensemble.
pub const LEARNER_TREE_RATE_MIN: u64 = 64 << 10;

/// The same for a server that is not a member: any host may connect as one, and read slowly.
pub const STRANGER_TREE_RATE_MIN: u64 = 1 << 20;
const _: () = assert!(LEARNER_TREE_RATE_MIN < STRANGER_TREE_RATE_MIN);

/// Bytes of history that are encoded at once.
pub const HISTORY_CHUNK_BYTES: usize = 256 * 1024;

/// Syncs of one learner that may wait for a commit: a learner forwards the syncs of its clients, each of which waits
/// for its answer.
pub const LEARNER_SYNCS_MAX: usize = 100_000;

/// Unanswered syncs of a learner after which it forwards one sync for all further ones: what its clients ask for in
/// some milliseconds, far below the number at which the leader closes its connection, even if observers learn from it.
pub const LEARNER_SYNCS_PASSED_MAX: usize = 1000;
const _: () = assert!(LEARNER_SYNCS_PASSED_MAX * 50 < LEARNER_SYNCS_MAX);

/// Requests of all its observers that a follower has forwarded and that the leader has not reached, as far as its answers
/// to fences tell: twice the number that one server of Apache ZooKeeper has in progress for its clients. The follower's
/// acknowledgements are queued behind them. Observers that are members may together have half of it, all others the
/// other half. One observer may have a quarter of it; a sixteenth while its kind has a quarter or more.
pub const OBSERVERS_REQUESTS_MAX: usize = 2 * REQUESTS_OUTSTANDING_MAX;
/// The same in bytes.
pub const OBSERVERS_BYTES_MAX: usize = 6 << 20;

/// Requests of its own clients that a learner has forwarded to its leader without an answer before more of them wait:
/// more than one server of Apache ZooKeeper has. At more than twice as many its leader reads no more from it, and then
/// the learner's acknowledgements wait with them.
pub const PASSED_ON_REQUESTS_MAX: usize = 3 * REQUESTS_OUTSTANDING_MAX / 2;
const _: () =
    assert!(OBSERVERS_REQUESTS_MAX + PASSED_ON_REQUESTS_MAX < DEFERRED_REQUESTS_PER_LINK_MAX);
/// The same in bytes, for requests that the leader executes at once.
pub const PASSED_ON_BYTES_MAX: usize = 6 << 20;
/// The same for requests that have a queue of their own at the leader ([`HEAVY_WORK_UNITS`]): 800 MB in a second if the
/// leader answers in five milliseconds.
pub const PASSED_ON_HEAVY_BYTES_MAX: usize = 4 << 20;
const _: () = assert!(PASSED_ON_HEAVY_BYTES_MAX < PASSED_ON_BYTES_MAX);

/// The same three of an observer that learns from a follower: that one takes only its part of what it passes on for all
/// ([`OBSERVERS_REQUESTS_MAX`]), and what it does not take waits in the link between them, light requests behind those
/// that take long.
pub const PASSED_ON_BY_MASTER_REQUESTS_MAX: usize = OBSERVERS_REQUESTS_MAX / 8;
/// See [`PASSED_ON_BY_MASTER_REQUESTS_MAX`].
pub const PASSED_ON_BY_MASTER_BYTES_MAX: usize = OBSERVERS_BYTES_MAX / 6;
/// See [`PASSED_ON_BY_MASTER_REQUESTS_MAX`].
pub const PASSED_ON_BY_MASTER_HEAVY_BYTES_MAX: usize = OBSERVERS_BYTES_MAX / 24;
const _: () = assert!(OBSERVERS_BYTES_MAX + PASSED_ON_BYTES_MAX < DEFERRED_BYTES_PER_LINK_MAX);

/// Questions of one learner about sessions that may wait for the end of a session: each belongs to a connection that
/// waits for nothing else, so this is several times the number of connections of a server.
pub const LEARNER_QUESTIONS_MAX: usize = 100_000;
/// The same for a server that is not a member.
pub const STRANGER_QUESTIONS_MAX: usize = 10_000;
/// Questions of all observers of one follower that it forwards before their leader has answered them. Beyond a quarter
/// of it only observers with few questions may ask more.
pub const OBSERVERS_QUESTIONS_MAX: usize = 80_000;
const _: () = assert!(OBSERVERS_QUESTIONS_MAX < LEARNER_QUESTIONS_MAX);
/// The same for one observer.
pub const OBSERVER_QUESTIONS_MAX: usize = 1000;
/// Questions of learners that one turn answers: less than a millisecond.
pub const QUESTIONS_PER_TURN: usize = 1000;

/// How long a session or a connection that is gone may stay in a bucket of the expiry queue, in ms. A client chooses
/// its timeout, up to hours if `maxSessionTimeout` allows it, and may open and close a thousand sessions a second:
/// without this bound each would be kept for that timeout. A check costs a fraction of a microsecond, so a hundred
/// thousand of them in a minute cost little.
pub const EXPIRY_LOOK_MS: u64 = 60_000;

const _: () = assert!(LEARNER_WINDOW_BYTES < LEARNER_SPREAD_BYTES_MAX);
const _: () = assert!(LEARNER_SPREAD_BYTES_MAX < LEARNER_BACKLOG_BYTES_MAX);

/// Longest message between servers on the election port (`QuorumCnxManager.PACKETMAXSIZE`).
pub const ELECTION_MESSAGE_BYTES_MAX: u32 = 512 * 1024;

/// Longest address list in the election handshake (`InitialMessage.parse`).
pub const ELECTION_ADDRESS_BYTES_MAX: u32 = 2048;

/// Connections on the election port that have not sent their id yet; the oldest makes room.
pub const ELECTION_HANDSHAKES_MAX: usize = 64;

/// Servers outside the configuration with which this server talks on the election port: observers without an id, and
/// servers that wait to be added.
pub const ELECTION_STRANGERS_MAX: usize = 64;

/// How many of those this server connects back to at once: each takes one of [`LINK_JOBS_MAX`] for a time, and some
/// must be left for members.
pub const ELECTION_STRANGER_CALLS_MAX: usize = 8;
const _: () = assert!(ELECTION_STRANGER_CALLS_MAX * 4 < LINK_JOBS_MAX);

/// Bytes in flight to one server on the election port beyond which only the newest vote waits: a few votes, each with a
/// configuration of usual size.
pub const ELECTION_UNSENT_BYTES_MAX: u64 = 16 * 1024;

/// Longest text of a configuration: election messages contain it.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;

/// Members of an ensemble. Ids above 255 collide in session ids, so no ensemble has as many.
pub const CONFIG_MEMBERS_MAX: usize = 1024;

/// Addresses of one member (`multiAddress.enabled`); all of them must fit an election handshake.
pub const MEMBER_ADDRESSES_MAX: usize = 16;

/// Characters of a host's name: that of DNS is shorter.
pub const HOST_BYTES_MAX: usize = 255;

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

/// Requests that learners forwarded and that wait at a leader whose disk is full, and their bytes. Beyond either it
/// stops leading. A guess: some times `globalOutstandingLimit`.
pub const DEFERRED_REQUESTS_MAX: usize = 10_000;
/// See [`DEFERRED_REQUESTS_MAX`].
pub const DEFERRED_BYTES_MAX: usize = 64 << 20;

/// How many of one link may wait before the leader reads no more from it: four times the number that a server of Apache
/// ZooKeeper has in progress for its clients by default, done in some ten milliseconds if they are light. A learner
/// forwards fewer ([`PASSED_ON_REQUESTS_MAX`]); one of Apache ZooKeeper may reach the bound in bytes, and then all
/// clients that write through it wait.
pub const DEFERRED_REQUESTS_PER_LINK_MAX: usize = 4 * REQUESTS_OUTSTANDING_MAX;
const _: () = assert!(DEFERRED_REQUESTS_PER_LINK_MAX * 2 < DEFERRED_REQUESTS_MAX);
/// See [`DEFERRED_REQUESTS_PER_LINK_MAX`].
pub const DEFERRED_BYTES_PER_LINK_MAX: usize = DEFERRED_BYTES_MAX / 4;

/// Transactions that a leader has proposed and not yet applied beyond which further writes wait: as many as the clients
/// of eight servers of Apache ZooKeeper may have in progress, done in some ten milliseconds. A later write waits for
/// all of them.
pub const PROPOSED_MAX: usize = 8 * REQUESTS_OUTSTANDING_MAX;
const _: () = assert!(PROPOSED_MAX * 100 < PROPOSALS_PENDING_MAX);

/// The number of such transactions at which it reads no more from learners and stops leading: no request passes
/// [`PROPOSED_MAX`], so no working ensemble comes near.
pub const PROPOSALS_PENDING_MAX: usize = 1 << 20;

/// Committed transactions kept in memory for followers that lag a little (`commitLogCount`).
pub const COMMITTED_LOG_TXNS: usize = 500;

/// Bytes of those transactions: fewer long ones are kept, and a follower that lags further gets them from the log's
/// files. ZooKeeper counts only transactions; 500 of 1 MB take half a gigabyte on every server.
pub const COMMITTED_LOG_BYTES_MAX: usize = 128 << 20;

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

/// Connections between this server and others, at once. There are leaders with hundreds of observers, each with two
/// connections.
pub const LINKS_MAX: usize = 1024;

/// Accepted links from one address: a small test ensemble on one machine has a few dozen.
pub const LINKS_PER_REMOTE_MAX: u32 = 128;

/// Accepted links from addresses of no member: servers that wait to be added, and observers without a line of their
/// own. The others are reserved for members, so that strangers keep no member out.
pub const STRANGER_LINKS_MAX: usize = 256;

/// Accepted links from one address of no member. A server needs two.
pub const STRANGER_LINKS_PER_REMOTE_MAX: u32 = 16;
const _: () = assert!(STRANGER_LINKS_MAX * 2 < LINKS_MAX);

/// Bytes read in one turn from all links from addresses of no member: some thousand of the shortest packets, and work
/// for a millisecond or two. Packets of other servers are handled before clients, and strangers may have hundreds of
/// links.
pub const STRANGERS_READ_BYTES_PER_TURN: usize = 32 << 10;

/// Connections that wait until the addresses of the members are resolved; the oldest makes room.
pub const LINKS_UNPLACED_MAX: usize = 64;

/// Attempts to connect and to resolve names at once, each in a thread. An election connects to every voter.
pub const LINK_JOBS_MAX: usize = 64;

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

/// Bytes of committed transactions that wait to be applied, at which no more is read from a leader.
pub const APPLYING_BYTES_MAX: usize = 64 << 20;

/// How long committed transactions may wait to be applied before the connections that get most of their events are
/// closed, in ms: clients that get more events than a server can send would keep it, and all writers, behind for ever.
// ZooKeeper: any number of events waits in memory.
pub const APPLYING_MS_MAX: u64 = 1000;
/// Events that a connection may get from then on; a long event counts once more for each [`EVENT_BEHIND_BYTES`].
pub const EVENTS_BEHIND_MAX: usize = 1000;
/// See [`EVENTS_BEHIND_MAX`].
pub const EVENT_BEHIND_BYTES: usize = 256;

/// Default of `largeRequestMaxBytes`: bytes of large requests in the server at once.
pub const LARGE_REQUESTS_BYTES_MAX: usize = 100 << 20;

/// Default of `ringkeeper.multiReadReplyBytesMax`: a small multiRead can ask for any number of large
/// nodes.
pub const MULTI_READ_BYTES_MAX: usize = 64 << 20;

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

/// Levels of a path on which a recursive watch may lie: each change of a node looks for one on all levels above it,
/// and a connection can have one on each. Trees in use have ten.
// ZooKeeper: any number.
pub const RECURSIVE_WATCH_LEVELS_MAX: usize = 64;

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

/// Watches of closed connections that one turn removes from the table: less than a millisecond. A connection may have a
/// million, and thousands may end at once.
pub const WATCHES_REMOVED_PER_TURN: usize = 4096;

/// All watches together may use this fraction (one in so many parts) of the memory that the process may use, unless the
/// configuration sets the number.
pub const WATCH_MEMORY_PART: u64 = 8;

/// The least memory for all watches together: some 400 000 with paths of a usual length.
pub const WATCH_MEMORY_MIN: u64 = 64 << 20;

/// One connection may use this fraction (one in so many parts) of the memory for watches.
pub const WATCH_MEMORY_SHARE: u64 = 4;

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

const _: () = assert!(CONNECTION_HELD_BYTES_MIN > 2 * FRAME_BYTES_MAX as usize);
const _: () = assert!(CONNECTION_REQUESTS_PAUSE_BYTES < CONNECTION_HELD_BYTES_MIN as u64);
const _: () = assert!(OUTPUT_REPORTED_BYTES < CONNECTION_OUTPUT_PAUSE_BYTES);
const _: () = assert!(CONNECTION_OUTPUT_PAUSE_BYTES < CONNECTION_OUTPUT_BYTES_MAX);
const _: () = assert!(CONFIG_BYTES_MAX < ELECTION_MESSAGE_BYTES_MAX as usize);
const _: () = assert!(FRAME_BYTES_MAX < FRAME_BYTES_CEILING);
const _: () = assert!(CONNECT_FRAME_BYTES_MAX < FRAME_BYTES_MAX);
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
