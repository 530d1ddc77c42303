//! Bounds of what servers may ask of each other: links, elections, epochs, learners, proposals.

use super::REQUESTS_OUTSTANDING_MAX;

/// Longest list of a client's identities in a request that a learner forwards, in bytes. Learners of Apache ZooKeeper
/// let their clients have any number.
pub const AUTHINFO_BYTES_MAX: usize = 1 << 20;

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

/// Characters of the reason for which a server is not reached, in such a warning.
pub const UNREACHABLE_REASON_CHARS_MAX: usize = 160;

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
/// The same for requests that have a queue of their own at the leader ([`super::HEAVY_WORK_UNITS`]): 800 MB in a second if the
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
const _: () = assert!(CONFIG_BYTES_MAX < ELECTION_MESSAGE_BYTES_MAX as usize);
