//! Every bound of the server, each with its reason. A configured bound has its default here.

/// Default of `jute.maxbuffer`: the longest frame that a client may send, in bytes.
// ZooKeeper: BinaryInputArchive.maxBuffer, one byte less than 1 MiB.
pub const FRAME_BYTES_MAX: u32 = 0xf_ffff;

/// Default of `jute.maxbuffer.extrasize`: what a transaction may be longer than its request.
pub const TXN_EXTRA_BYTES_MAX: u32 = FRAME_BYTES_MAX;

/// What `jute.maxbuffer` and its extra size may be at most, whatever the configuration says: a transaction
/// may be as long as both together, and none that is longer than [`LOG_RECORD_BYTES_MAX`] can be read back.
pub const FRAME_BYTES_CEILING: u32 = LOG_RECORD_BYTES_MAX / 2;

/// Longest body of a reply: the length of its frame has 31 bits, and stands for the header as well.
/// Requests of any size can ask for more, about nodes with many long names.
pub const REPLY_BYTES_MAX: usize = 0x7fff_ffff - 16;

/// Bytes of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// Longest first frame of a connection: a connect request has 45 bytes, and a password of another length
/// than 16 is refused anyway. Whoever has no session yet holds no more of the server's memory than this.
// ZooKeeper: NIOServerCnxn takes a first frame of jute.maxbuffer bytes, as any other.
pub const CONNECT_FRAME_BYTES_MAX: u32 = 1024;

/// Looks, one a second, within which a frame that has begun must be whole, however short it is: longer
/// than a loss of the network that TCP mends. Looks, and not seconds, so that a server that stood still
/// blames nobody for it.
pub const FRAME_LOOKS_MIN: u32 = 30;

/// Of a long frame, this much more may take one look more: what a poor line carries in a second. Who is
/// slower holds memory that he does not use.
pub const FRAME_BYTES_PER_LOOK: usize = 16 * 1024;

/// Identities that one connection may have shown, that of its address included. One is usual, and each is
/// held against ACLs.
pub const IDENTITIES_MAX: usize = 64;

/// Bytes of schemes and names of all identities of one connection: they travel with each of its writes that
/// a learner passes on, and stand in each ACL that is given to `auth`.
pub const IDENTITIES_BYTES_MAX: usize = 64 * 1024;

/// Default of `ringkeeper.aclEntriesMax`: entries of an ACL that a client gives to a node. Each list is
/// looked through when it is given, and kept in memory. What stands in a snapshot or a log may have more.
pub const ACL_ENTRIES_MAX: usize = 1024;

/// Longest list of a client's identities in a request that a learner passes on, in bytes. Learners of
/// Apache ZooKeeper let their clients show any number.
pub const AUTHINFO_BYTES_MAX: usize = 1 << 20;
const _: () =
    assert!(IDENTITIES_BYTES_MAX + IDENTITIES_MAX * 2 * size_of::<u32>() < AUTHINFO_BYTES_MAX);

/// Bytes for its leader that a learner may have waiting before it takes the leader for dead.
///
/// Requests are bounded by `globalOutstandingLimit` and the length of a frame, but nobody fills
/// both; beyond this the leader has stopped reading.
pub const LEARNER_OUTPUT_BYTES_MAX: u64 = 256 << 20;

/// Learners that a server keeps waiting while it does not know yet whether it will lead. They are
/// members of the ensemble, or strangers.
pub const HELD_LEARNERS_MAX: usize = 256;

/// What such a learner may say before it is answered: FOLLOWERINFO, some 40 bytes.
pub const HELD_LEARNER_BYTES_MAX: usize = 4096;
/// Connections on the port of learners at once; more are closed. Observers may be in the hundreds.
pub const LEARNERS_MAX: usize = 4096;

/// Bytes that a learner may send before it was asked for them: it waits for an answer then.
pub const LEARNER_EARLY_BYTES_MAX: usize = 16 * 1024;

/// How far one server may be ahead of its leader, or a leader of its learner, with the epoch that it has
/// accepted. It gets ahead by one each time an election fails after it alone has written the epoch down:
/// to come here, an ensemble has to fail so for hours. There are 2³¹ epochs, and none comes back: a
/// stranger who says such a number can use up one part in 200 000 of them, and needs the loss of a
/// leader for each.
pub const EPOCH_LEAD_MAX: i64 = 10_000;

/// How far a vote for a leader may explain its epoch: so many times an ensemble may have elected a leader while this
/// server, which has data, was away. Whoever speaks for a member can say any number in a vote, and lead then: this
/// leaves two thousand such reigns until no epoch is left, and an election each minute for two years.
pub const EPOCH_VOTED_LEAD_MAX: i64 = 1 << 20;
const _: () = assert!(EPOCH_LEAD_MAX < EPOCH_VOTED_LEAD_MAX);

/// Points of its history that a learner tells its leader about, so that two histories with the same
/// zxids are told apart: most of what a server keeps in memory, in what it may send at once.
pub const HISTORY_MARKS_MAX: usize = 480;

/// From which age on a search for a leader is worth a warning, in ms: one among healthy servers takes some
/// round trips, and one in which a machine has vanished some attempts to connect of a second each.
pub const LEADERLESS_WARN_MS: u64 = 3_000;

/// Longest time between two such warnings, in ms: whoever looks at the log for a minute shall see one.
pub const LEADERLESS_SAID_MS_MAX: u64 = 60_000;

/// How long a voter is missing before its leader says so again, in ms, and the longest pause between two
/// lines about one; the pause doubles. A restart takes less than the first; the last is a line in each hour
/// of a log that somebody reads the next day.
pub const MISSING_SAID_MS: (u64, u64) = (30_000, 3_600_000);

/// How long nothing new is said of a server that is kept out for its data: it tries again each second,
/// and the operator who is to help need not be told more often than he looks.
pub const KEPT_OUT_SILENCE_MS: u64 = 60_000;

/// Of how many servers it is known what was said of them: a stranger may use any number for his name.
pub const KEPT_OUT_SAID_MAX: usize = LEARNERS_MAX;

/// Bytes of proposals and commits that may wait for one learner before it is cut off: it hangs, or it
/// takes the whole tree more slowly than others write. What is broadcast is shared by all learners,
/// so that many slow ones cost little more than one.
pub const LEARNER_BACKLOG_BYTES_MAX: u64 = 256 << 20;

/// Bytes of proposals that a learner has got and that are not committed, beyond which it leaves its leader: they are
/// in its memory. A leader with so many would have cut this learner off, for it holds no more for one that is slow.
pub const PENDING_BYTES_MAX: u64 = LEARNER_BACKLOG_BYTES_MAX;

/// Bytes on their way to one learner beyond which no more of the tree or of the history is made: what
/// a fast network carries in some milliseconds.
pub const LEARNER_WINDOW_BYTES: u64 = 4 << 20;

/// How far one learner may lag behind another that gets the same tree, in bytes: beyond it the faster
/// one waits, and the slower one is cut off if it does not move at all.
pub const LEARNER_SPREAD_BYTES_MAX: u64 = 64 << 20;

/// What a member that gets the whole tree must take of it on average over `initLimit`, in bytes per second. The
/// database is held meanwhile: what changes is kept twice, no snapshot is written, and nobody else can begin.
/// Less than half a megabit per second carries no ensemble.
pub const LEARNER_TREE_RATE_MIN: u64 = 64 << 10;

/// The same for a server that is no member: anybody may say that it is one, and take its time.
pub const STRANGER_TREE_RATE_MIN: u64 = 1 << 20;
const _: () = assert!(LEARNER_TREE_RATE_MIN < STRANGER_TREE_RATE_MIN);

/// Bytes of history that are encoded at once.
pub const HISTORY_CHUNK_BYTES: usize = 256 * 1024;

/// Syncs of one learner that may wait for a commit: a learner passes on what its clients ask for, each
/// of which waits for an answer.
pub const LEARNER_SYNCS_MAX: usize = 100_000;

/// Syncs that a learner has under way to its leader before it passes one on for all that come: what its
/// clients ask for in some milliseconds, far from what makes the leader give it up, even where observers
/// learn from it.
pub const LEARNER_SYNCS_PASSED_MAX: usize = 1000;
const _: () = assert!(LEARNER_SYNCS_PASSED_MAX * 50 < LEARNER_SYNCS_MAX);

/// Requests of all observers of one follower that it passes on before their leader has got to them: twice what one server
/// of Apache ZooKeeper has under way for its clients. What the follower acknowledges comes behind them. Half of it is for
/// observers that are members, half for those that anybody may be; one observer has half of that at most, and a
/// sixteenth of all while that much of its kind is under way.
pub const OBSERVERS_REQUESTS_MAX: usize = 2 * REQUESTS_OUTSTANDING_MAX;
/// The same in bytes.
pub const OBSERVERS_BYTES_MAX: usize = 6 << 20;

/// Requests of its own clients that a learner has under way to its leader before more of them wait: more than one server
/// of Apache ZooKeeper has. At more than twice as many its leader reads no more from it, and then what the learner
/// acknowledges waits with them.
pub const PASSED_ON_REQUESTS_MAX: usize = 3 * REQUESTS_OUTSTANDING_MAX / 2;
const _: () =
    assert!(OBSERVERS_REQUESTS_MAX + PASSED_ON_REQUESTS_MAX < DEFERRED_REQUESTS_PER_LINK_MAX);
/// The same in bytes, for requests that the leader carries out at once.
pub const PASSED_ON_BYTES_MAX: usize = 6 << 20;
/// The same for requests that stand in a line of their own there ([`HEAVY_WORK_UNITS`]): 800 MB in a second where the
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

/// Questions of one learner about sessions that may wait for the end of a session: each is one of a
/// connection that waits for nothing else, so that this is some times the connections of a server.
pub const LEARNER_QUESTIONS_MAX: usize = 100_000;
/// The same of a server that is no member.
pub const STRANGER_QUESTIONS_MAX: usize = 10_000;
/// Questions of all observers of one follower that it passes on before their leader has answered them. Beyond a quarter
/// only those go on who have asked few.
pub const OBSERVERS_QUESTIONS_MAX: usize = 80_000;
const _: () = assert!(OBSERVERS_QUESTIONS_MAX < LEARNER_QUESTIONS_MAX);
/// The same of one observer.
pub const OBSERVER_QUESTIONS_MAX: usize = 1000;
/// How many of learners' questions one turn answers: less than a millisecond.
pub const QUESTIONS_PER_TURN: usize = 1000;

/// How long a session or a connection that is gone may stand among those to look at when their time comes. A
/// client chooses its timeout, up to hours where `maxSessionTimeout` allows it, and may open and close a
/// thousand sessions a second: without this bound each would be kept for that timeout. A look costs a
/// fraction of a microsecond, so that a hundred thousand of them in a minute cost nothing.
pub const EXPIRY_LOOK_MS: u64 = 60_000;

const _: () = assert!(LEARNER_WINDOW_BYTES < LEARNER_SPREAD_BYTES_MAX);
const _: () = assert!(LEARNER_SPREAD_BYTES_MAX < LEARNER_BACKLOG_BYTES_MAX);

/// Longest message between servers on the election port (`QuorumCnxManager.PACKETMAXSIZE`).
pub const ELECTION_MESSAGE_BYTES_MAX: u32 = 512 * 1024;

/// Longest address list in the election handshake (`InitialMessage.parse`).
pub const ELECTION_ADDRESS_BYTES_MAX: u32 = 2048;

/// Connections on the election port that have not said yet who they are; the oldest makes room.
pub const ELECTION_HANDSHAKES_MAX: usize = 64;

/// Servers outside the configuration that are talked to on the election port: observers without
/// an id, and servers that wait to be added.
pub const ELECTION_STRANGERS_MAX: usize = 64;

/// Of those, how many are called back at once: each takes one of [`LINK_JOBS_MAX`] for a time, and members are
/// to find some.
pub const ELECTION_STRANGER_CALLS_MAX: usize = 8;
const _: () = assert!(ELECTION_STRANGER_CALLS_MAX * 4 < LINK_JOBS_MAX);

/// Bytes under way to one server on the election port before only the newest vote waits: a few
/// votes, each with a configuration of usual size.
pub const ELECTION_UNSENT_BYTES_MAX: u64 = 16 * 1024;

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

/// Bytes of transactions that may wait for the log before a member of an ensemble leaves its leader:
/// its disk does not keep up, and what waits is only in its memory. A guess: some seconds of a fast
/// network.
pub const LOG_BACKLOG_BYTES_MAX: usize = 256 << 20;

/// Requests that learners passed on and that wait in a leader whose disk is full, and their bytes.
/// Beyond either it stops to lead. A guess: some times `globalOutstandingLimit`.
pub const DEFERRED_REQUESTS_MAX: usize = 10_000;
/// See [`DEFERRED_REQUESTS_MAX`].
pub const DEFERRED_BYTES_MAX: usize = 64 << 20;

/// Of one link, how many may wait before no more is read from it: four times what a server of Apache ZooKeeper has
/// under way for its clients by default, and done in some ten milliseconds where they are light. A learner passes on
/// less ([`PASSED_ON_REQUESTS_MAX`]); one of Apache ZooKeeper may reach the bound in bytes, and then all who write
/// through it wait.
pub const DEFERRED_REQUESTS_PER_LINK_MAX: usize = 4 * REQUESTS_OUTSTANDING_MAX;
const _: () = assert!(DEFERRED_REQUESTS_PER_LINK_MAX * 2 < DEFERRED_REQUESTS_MAX);
/// See [`DEFERRED_REQUESTS_PER_LINK_MAX`].
pub const DEFERRED_BYTES_PER_LINK_MAX: usize = DEFERRED_BYTES_MAX / 4;

/// Transactions that a leader has proposed and not yet applied before whatever is asked for next waits: as many as the
/// clients of eight servers of Apache ZooKeeper may have under way, and done in some ten milliseconds. Whoever comes
/// then waits for all of them.
pub const PROPOSED_MAX: usize = 8 * REQUESTS_OUTSTANDING_MAX;
const _: () = assert!(PROPOSED_MAX * 100 < PROPOSALS_PENDING_MAX);

/// The same before it takes no more from learners and leaves: nothing that is asked for passes [`PROPOSED_MAX`], so that
/// no ensemble that works comes near.
pub const PROPOSALS_PENDING_MAX: usize = 1 << 20;

/// Committed transactions kept in memory for followers that lag a little (`commitLogCount`).
pub const COMMITTED_LOG_TXNS: usize = 500;

/// Bytes of those transactions: of long ones fewer are kept, and a follower that lags further gets them from the
/// log's files. ZooKeeper counts transactions only; 500 of 1 MB take half a gigabyte on every server there.
pub const COMMITTED_LOG_BYTES_MAX: usize = 128 << 20;

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

/// Of those accepted, how many may come from addresses of no member: servers that wait to be added, and
/// observers without a line of their own. The others are kept for members, so that no stranger keeps one out.
pub const STRANGER_LINKS_MAX: usize = 256;

/// Of those, how many may come from one address. Servers on their own need two.
pub const STRANGER_LINKS_PER_REMOTE_MAX: u32 = 16;
const _: () = assert!(STRANGER_LINKS_MAX * 2 < LINKS_MAX);

/// What all links from addresses of no member bring in one turn, in bytes: some thousand of the shortest packets, and
/// work for a millisecond or two. Other servers are heard before clients, and strangers may come with hundreds of links.
pub const STRANGERS_READ_BYTES_PER_TURN: usize = 32 << 10;

/// Connections that wait until a resolver has said where the members are; the oldest makes room.
pub const LINKS_UNPLACED_MAX: usize = 64;

/// Connections that are being made, and names that are being resolved, at once: a thread each. An
/// election connects to every voter.
pub const LINK_JOBS_MAX: usize = 64;

/// Default of `globalOutstandingLimit`: requests in the server at once.
pub const REQUESTS_OUTSTANDING_MAX: usize = 1000;

/// Bytes of events that may wait unsent for one client before its connection is closed: nobody asked
/// whether it has room for them. Replies are bounded by [`CONNECTION_OUTPUT_PAUSE_BYTES`] instead.
///
/// A guess: half a million events, and small beside the memory of a server.
pub const CONNECTION_OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Default of `ringkeeper.outputBytesPerConnectionMax`: bytes of replies made for one client, and not
/// read by it, at which no more of its requests are carried out. With the one reply that goes beyond
/// it, this is all that a connection's replies hold in memory, however many it has asked for.
///
/// As much as a fast network carries in some milliseconds.
pub const CONNECTION_OUTPUT_PAUSE_BYTES: usize = 4 << 20;

/// A piece of output longer than this is counted until the client has taken it; shorter ones, of
/// which the socket holds many, are not worth the word.
pub const OUTPUT_REPORTED_BYTES: usize = 64 * 1024;

/// Bytes of requests of one connection that are not answered yet, at which nothing more is read from
/// it. A longer request is read alone.
pub const CONNECTION_REQUESTS_PAUSE_BYTES: u64 = 4 << 20;

/// Bytes that are read from a client at once.
pub const CONNECTION_READ_BYTES: usize = 64 * 1024;

/// Bytes of neighbouring requests of one connection up to which the edge keeps only their number and
/// their sum. With less it would remember more of them; one long request is not averaged with others.
pub const CONNECTION_REQUESTS_BATCH_BYTES: u64 = 64 * 1024;

/// See [`connection_held_bytes_max`].
const CONNECTION_HELD_BYTES_MIN: usize = 16 << 20;

/// Bytes of requests that one connection may have waiting at all: beyond it the connection is closed.
/// Nobody who keeps to the protocol comes here, for the edge reads nothing more while it counts more
/// than [`CONNECTION_REQUESTS_PAUSE_BYTES`]. The truth exceeds what the edge counts by less than
/// [`CONNECTION_REQUESTS_BATCH_BYTES`], and the read that goes beyond the pause adds the longest frame
/// with its length, which it completes, and at most [`CONNECTION_READ_BYTES`] behind that. What the
/// replica holds is part of what the edge counts, because the edge takes a request off only when its
/// answer is delivered. The sum is 5.1 MiB with the default `jute.maxbuffer`, a third of the least.
pub fn connection_held_bytes_max(frame_bytes_max: u32) -> usize {
    let counted = CONNECTION_REQUESTS_PAUSE_BYTES + CONNECTION_REQUESTS_BATCH_BYTES;
    let frame = u64::from(frame_bytes_max) + size_of::<u32>() as u64;
    let read = frame + CONNECTION_READ_BYTES as u64;
    usize::try_from(counted + read).unwrap_or(usize::MAX).max(CONNECTION_HELD_BYTES_MIN)
}

/// A client that takes no byte for this time, while more waits for it than may wait, does not read:
/// its connection is closed. A guess, longer than a garbage collection or a short loss of the network.
pub const OUTPUT_STALL_MS: u64 = 30_000;

/// Connections that have ended and stay open for a moment, so that their clients read the last bytes. A
/// client that closes its side at once is among them for a round trip. Of the descriptors that clients may
/// have they are a quarter at most, because `maxClientCnxns` does not count them.
pub const LINGERING_MAX: u32 = 256;

/// Of the memory that the process may use, connections together may hold one part in so many, unless
/// `ringkeeper.connectionMemoryMax` says otherwise. The tree has the rest, and what waits for the log and
/// for other servers, each with a bound of its own.
pub const CONNECTION_MEMORY_SHARE: u64 = 4;

/// What connections may hold at least, however small the machine: a few hundred clients with a large reply
/// each.
pub const CONNECTION_MEMORY_MIN: u64 = 64 << 20;

/// So many of the longest frames must fit into what connections may hold: one may be arriving, waiting,
/// on its way to another executor and answered at the same time.
pub const CONNECTION_MEMORY_FRAMES_MIN: u64 = 4;
const _: () =
    assert!(CONNECTION_MEMORY_FRAMES_MIN * (FRAME_BYTES_MAX as u64) < CONNECTION_MEMORY_MIN);

/// Connections that wait for memory and are taken up again in one turn.
pub const STARVING_TAKEN_UP_MAX: usize = 256;

/// How long those who wait for memory wait until somebody looks again.
pub const STARVING_LOOK_MS: u64 = 5;

/// A connection that the server closes gets its last bytes within [`OUTPUT_STALL_MS`] and a second for
/// each so many of them. Its session is over, so nothing else ends it while its client reads a byte now and
/// then.
pub const FAREWELL_BYTES_PER_SECOND: usize = 1 << 20;

/// Bytes of committed transactions that wait to be applied, at which no more is read from a leader.
pub const APPLYING_BYTES_MAX: usize = 64 << 20;

/// For how long committed transactions may wait to be applied before the connections that get most of their events
/// are closed: clients who are told of more than a server can tell would keep it, and all who write, behind for
/// ever. In ms.
// ZooKeeper: events wait in memory, however many.
pub const APPLYING_MS_MAX: u64 = 1000;
/// Events that a connection gets from then on, each of them once more for so many bytes.
pub const EVENTS_BEHIND_MAX: usize = 1000;
/// See [`EVENTS_BEHIND_MAX`].
pub const EVENT_BEHIND_BYTES: usize = 256;

/// Default of `largeRequestMaxBytes`: bytes of large requests in the server at once.
pub const LARGE_REQUESTS_BYTES_MAX: usize = 100 << 20;

/// Default of `ringkeeper.multiReadReplyBytesMax`: a small multiRead can ask for any number of large
/// nodes.
pub const MULTI_READ_BYTES_MAX: usize = 64 << 20;

/// What a turn does for clients before it looks at everything else
/// again. A unit is about a microsecond, so that a turn takes some milliseconds with what it has to write,
/// and a leader's word is never late for their sake.
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

/// A request that may take more units than this stands in a line of its own: a hundred times as long as
/// most.
pub const HEAVY_WORK_UNITS: u32 = 300;
const _: () = assert!(HEAVY_WORK_UNITS * 2 < TURN_WORK_UNITS);

/// What heavy requests may owe to light ones, in units: without a bound, those who make much to apply for all would keep
/// those waiting who only read much.
pub const HEAVY_DEBT_UNITS_MAX: i64 = 4 * TURN_WORK_UNITS as i64;

/// What a connection may spend each time that its turn comes, however many others stand in line: some
/// small requests, so that they are fetched from memory together.
pub const VISIT_WORK_UNITS_MIN: u32 = 20;

/// Units of a connect request.
pub const CONNECT_WORK_UNITS: u32 = 5;

/// Names in a list that are written in one unit.
pub const NAMES_PER_UNIT: usize = 10;
/// Bytes of a request with a list of operations that are carried out in one unit.
pub const LIST_BYTES_PER_UNIT: usize = 24;
/// The same of one whose operations are only read, to be passed on.
pub const READ_BYTES_PER_UNIT: usize = 200;
/// Bytes of a list of watches that are set again in one unit: the shortest path takes five.
pub const SET_WATCH_BYTES_PER_UNIT: usize = 8;
/// Watches that one turn sets again for one client: some two milliseconds. A frame may hold fifty times as many,
/// and is carried out in parts.
pub const WATCHES_SET_PER_TURN: usize = 4096;
/// Bytes that are hashed in one unit.
pub const HASHED_BYTES_PER_UNIT: usize = 512;
/// Bytes of identities that stand in a list of permissions, in one unit: they are hashed, compared, digested and
/// copied some times.
pub const NAME_BYTES_PER_UNIT: usize = 1024;
/// Identities of a connection that are shorter together cost next to nothing.
pub const IDENTITIES_BYTES_USUAL: usize = 1024;
/// Bytes that are copied in one unit, some times.
pub const COPIED_BYTES_PER_UNIT: usize = 4096;
/// Bytes that are sent to a client in one unit, the kernel's copies and the first use of their memory included.
pub const SENT_BYTES_PER_UNIT: usize = 512;
/// Bytes that a session core writes at once, without looking whose turn it is: most replies.
pub const SHORT_SEND_BYTES: usize = 4096;
/// Bytes that it writes to one connection before others have their turn.
pub const LONG_SEND_BYTES_PER_TURN: usize = 64 << 10;
/// Bytes that it writes in turn before it looks what else there is: a quarter of a millisecond.
pub const LONG_SENDS_BYTES_PER_ROUND: usize = 512 << 10;

/// Bytes of a write in one unit: they go to the log, and to every other server.
pub const WRITTEN_BYTES_PER_UNIT: usize = 512;
/// Units that the end of a session takes for each of its ephemeral nodes.
pub const UNITS_PER_EPHEMERAL: usize = 2;

/// Changes of nodes that are proposed and not applied before clients' next writes wait: a write is applied
/// behind all that were proposed before it, this much in some ten milliseconds. Thousands of clients that each have a
/// write under way come nowhere near.
pub const CHANGES_UNAPPLIED_MAX: usize = 20_000;

/// The same for long transactions whose operations may change nothing, in units: one of the longest, or some of
/// hundreds of operations. In an ensemble each of them costs every server its time, one after the other.
pub const UNITS_UNAPPLIED_MAX: u64 = 5_000;

/// The same in bytes of those transactions, which go to every server and to its log: a slow disk takes this much in some
/// ten milliseconds.
pub const BYTES_UNAPPLIED_MAX: usize = 2 << 20;

/// Default of `ringkeeper.multiOperationsMax`: a multi is carried out in one piece, so that its cost is
/// bounded before it begins. Operations as they are usual have a hundred bytes each, and of those no
/// more fit into the longest frame; without a bound, it could be 58 000.
// ZooKeeper: as many as fit into a frame.
pub const MULTI_OPERATIONS_MAX: usize = 10_000;

/// Default of `ringkeeper.ephemeralsPerSessionMax`: the end of a session takes all of its nodes along in one
/// piece. With paths of 50 bytes, more of them would not fit into the transaction of that.
// ZooKeeper: any number, and a transaction that is too long for the log stops the ensemble (ZOOKEEPER-4306).
pub const EPHEMERALS_PER_SESSION_MAX: usize = 20_000;

/// Connections, sessions, nodes or watches that the answer to a four-letter word tells of; `stat`, which others
/// cut at its last lines, tells of so many connections. Some twenty milliseconds.
pub const WORD_ENTRIES_MAX: usize = 50_000;

/// Bytes of the answer to `wchc`, `wchp` or `dump`, whose paths may be as long as frames and, of `wchc`, repeated for
/// each session. Some ten milliseconds.
pub const WORD_BYTES_MAX: usize = 8 << 20;

/// Names of children that one multiRead may ask for together: some 20 ms.
pub const MULTI_READ_NAMES_MAX: usize = 200_000;

/// Bytes of the text of a quota's limits or figures that are read: a text that a program has written has a
/// hundred. It is written anew at each change below the quota, and any client may make it as long as a
/// request.
pub const QUOTA_TEXT_BYTES_MAX: usize = 4096;

/// Watches of one connection, data and child watches, unless the configuration says another number. The
/// largest clients that are known have some hundred thousand.
pub const WATCHES_PER_CONNECTION_MAX: u32 = 1_000_000;

/// Watches of connections that are gone which one turn takes out of the table: less than a millisecond. A
/// connection may have a million, and thousands may end at once.
pub const WATCHES_REMOVED_PER_TURN: usize = 4096;

/// One part in so many of the memory that the process may use is for all watches together, unless the
/// configuration says how much.
pub const WATCH_MEMORY_PART: u64 = 8;

/// The least memory for all watches together: some 400 000 with paths of a usual length.
pub const WATCH_MEMORY_MIN: u64 = 64 << 20;

/// One connection may have one part in so many of the memory for watches.
pub const WATCH_MEMORY_SHARE: u64 = 4;

/// Bytes of one value in a line of the log; the rest of it is cut off. Paths, names and words of clients may
/// be as long as a request.
pub const LOG_VALUE_BYTES_MAX: usize = 256;

/// Bytes of a sentence in a line of the log: what happened, to what, and the way out. The longest of ours has
/// some 1 500, and names files besides.
pub const LOG_SENTENCE_BYTES_MAX: usize = 4096;

/// A stall at which nobody waited gets a line from this length on, in ms; shorter ones are only counted.
///
/// When no client waits, servers still say to each other every half tick that they are there, and
/// sessions end after some ticks. A tick is two seconds as a rule, half a second where it is short: nobody
/// can notice less than a fifth of that.
pub const STALL_UNAWAITED_MS_MIN: u64 = 100;

/// Lines of one kind (of one place in the code) that may follow each other without a pause: more than any
/// start has to say in one voice.
pub const LOG_LINES_OF_A_KIND_BURST: u64 = 200;

/// Lines of one kind in each second after that: what a person can still read, and a disk keep.
pub const LOG_LINES_OF_A_KIND_PER_SECOND: u64 = 10;

/// Bytes of lines that wait for a standard error that is slow to take them. What comes beyond is dropped and
/// counted.
pub const LOG_LINES_WAITING_BYTES_MAX: usize = 4 << 20;

/// Bytes of a `java.env` or `zookeeper-env.sh` beside the configuration that are looked through for
/// words that have no effect: such a file has some lines.
pub const SHELL_FILE_BYTES_MAX: usize = 64 * 1024;

/// Of how many such words each file's are named: who has more moves them all.
pub const SHELL_WORDS_SAID_MAX: usize = 20;

const _: () = assert!(CONNECTION_HELD_BYTES_MIN > 2 * FRAME_BYTES_MAX as usize);
const _: () = assert!(CONNECTION_REQUESTS_PAUSE_BYTES < CONNECTION_HELD_BYTES_MIN as u64);
const _: () = assert!(OUTPUT_REPORTED_BYTES < CONNECTION_OUTPUT_PAUSE_BYTES);
const _: () = assert!(CONNECTION_OUTPUT_PAUSE_BYTES < CONNECTION_OUTPUT_BYTES_MAX);
const _: () = assert!(CONFIG_BYTES_MAX < ELECTION_MESSAGE_BYTES_MAX as usize);
const _: () = assert!(FRAME_BYTES_MAX < FRAME_BYTES_CEILING);
const _: () = assert!(CONNECT_FRAME_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(LOG_RECORD_BYTES_MAX > FRAME_BYTES_MAX + TXN_EXTRA_BYTES_MAX);

/// Starts in a row of one process that found too little memory to lock; with the pauses between them some
/// seconds. The kernel gives the memory of a ring back when its last work is done, a moment after its process
/// has ended.
pub const STARTS_FOR_LOCKED_MEMORY_MAX: u32 = 14;
/// The first pause before such a start, and the longest.
pub const MEMORY_PAUSE_MS_MIN: u64 = 50;
/// See [`MEMORY_PAUSE_MS_MIN`].
pub const MEMORY_PAUSE_MS_MAX: u64 = 1000;

/// The first pause of a member that ended for want of room, and the longest: whoever begins anew may be sent
/// its leader's whole tree.
pub const ROOM_PAUSE_MS_MIN: u64 = 2000;
/// See [`ROOM_PAUSE_MS_MIN`].
pub const ROOM_PAUSE_MS_MAX: u64 = 120_000;
/// So much more room ends the pause.
pub const ROOM_NOTICED_BYTES: u64 = 1 << 20;
