//! Rows of keys that tune parts of ZooKeeper that do not exist here: the JVM, its thread pools,
//! NIO, Netty, JMX; and keys that only clients read.
//!
//! They get a line at start-up and are otherwise accepted with any value of their type: a file that worked with
//! ZooKeeper works here. Each text says why the key has no meaning, and continues "no meaning here: ".

use super::super::value::{Below, Form, Kind};
use super::{Fate, Key, Place, Theme, Unreadable};

const NIO: &str = "sockets are driven by io_uring, one executor to a core; there is \
             no NIO thread to tune";
const NETTY: &str = "there is no Netty here";
const THREADS: &str = "requests run on the replica core; there is no commit processor \
             with threads";
const CACHE: &str = "replies are encoded from the tree; there is no cache of them";
const GROUPS: &str = "a group of writes is whatever arrived while the previous one was \
             written; nothing waits";
const JVM: &str = "there is no JVM that could pause";
const JMX: &str = "there is no JMX";
const WATCHES: &str = "there is one watch table, cleaned as connections close";
const LOG: &str = "the log goes to standard error; see ringkeeper.logLevel and \
             ringkeeper.logFormat";
const SOCKETS: &str = "sending on a connection between servers, or closing it, blocks no thread";
const ADDRESSES: &str = "a server tries all addresses of another one and uses the first that \
              answers; it probes none separately";
const NODELAY: &str = "connections between servers never wait for more to send";
const CLIENT: &str = "only clients read it";

/// Any number: the key has no effect, so a range would only cause needless errors.
const ANY: Kind =
    Kind::Int { min: i64::MIN, max: i64::MAX, form: Form::Based, below: Below::Refuse };

/// The same, where ZooKeeper takes no base prefix.
const ANY_DECIMAL: Kind =
    Kind::Int { min: i64::MIN, max: i64::MAX, form: Form::Decimal, below: Below::Refuse };

/// A row of a system property, without a default and a unit.
const fn row(theme: Theme, name: &'static str, kind: Kind, why: &'static str) -> Key {
    Key::new(theme, Place::Property, name, kind, Fate::Meaningless(why))
}

/// A row about threads, caches and the like.
const fn pipeline(name: &'static str, kind: Kind, why: &'static str) -> Key {
    row(Theme::Pipeline, name, kind, why)
}

/// A row about connections between servers.
const fn ensemble(name: &'static str, kind: Kind, why: &'static str) -> Key {
    row(Theme::Quorum, name, kind, why)
}

/// A row of one of the two switches of TCP_NODELAY, which are bare properties.
const fn nodelay(name: &'static str) -> Key {
    Key::new(Theme::Quorum, Place::Bare, name, Kind::Bool, Fate::Meaningless(NODELAY))
        .default("true")
}

/// A row of a property that only Java's client library reads.
const fn client(name: &'static str) -> Key {
    row(Theme::Client, name, Kind::Text, CLIENT)
}

pub(super) static KEYS: &[Key] = &[
    ensemble("multiAddress.reachabilityCheckTimeoutMs", ANY_DECIMAL, ADDRESSES)
        .default("1000")
        .unit("ms"),
    // ZooKeeper: QuorumPeerConfig reads this property itself where it stands in the file.
    ensemble("multiAddress.reachabilityCheckEnabled", Kind::Bool, ADDRESSES)
        .default("true")
        .unreadable(Unreadable::Refused),
    // ZooKeeper: Leader; LearnerHandler, Learner and ZKDatabase read the next rows.
    ensemble("leader.ackLoggingFrequency", ANY, "every acknowledgement is counted").default("1000"),
    ensemble("leader.closeSocketAsync", Kind::Bool, SOCKETS).default("false"),
    ensemble("learner.closeSocketAsync", Kind::Bool, SOCKETS).default("false"),
    ensemble("learner.asyncSending", Kind::Bool, SOCKETS).default("false"),
    ensemble(
        "test.allowDiscontinuousProposals",
        Kind::Bool,
        "only ZooKeeper's own tests need it; Ringkeeper never accepts a gap between proposals",
    )
    .default("false"),
    nodelay("leader.nodelay"),
    nodelay("follower.nodelay"),
    // ZooKeeper: ServerCnxnFactory, NIOServerCnxnFactory, NettyServerCnxnFactory.
    pipeline(
        "serverCnxnFactory",
        Kind::Text,
        "there is one kind of connection, driven by io_uring",
    )
    .default("org.apache.zookeeper.server.NIOServerCnxnFactory"),
    pipeline("nio.numSelectorThreads", ANY, NIO),
    pipeline("nio.numWorkerThreads", ANY, NIO),
    pipeline("nio.directBufferBytes", ANY, NIO).default("65536").unit("bytes"),
    pipeline("nio.shutdownTimeout", ANY, NIO).default("5000").unit("ms"),
    // ZooKeeper: ZooKeeperServer.
    pipeline("intBufferStartingSizeBytes", ANY, "requests are decoded in place")
        .default("1024")
        .unit("bytes"),
    pipeline("netty.advancedFlowControl.enabled", Kind::Bool, NETTY).default("false"),
    pipeline("netty.server.earlyDropSecureConnectionHandshakes", Kind::Bool, NETTY)
        .default("false"),
    // ZooKeeper: CommitProcessor, ProposalRequestProcessor, FollowerRequestProcessor.
    pipeline("commitProcessor.numWorkerThreads", ANY, THREADS),
    pipeline("commitProcessor.maxReadBatchSize", ANY, THREADS).default("-1"),
    pipeline("commitProcessor.maxCommitBatchSize", ANY, THREADS).default("1"),
    pipeline("commitProcessor.shutdownTimeout", ANY, THREADS).default("5000").unit("ms"),
    pipeline("forward_learner_requests_to_commit_processor_disabled", Kind::Bool, THREADS)
        .default("false"),
    pipeline("follower.skipLearnerRequestToNextProcessor", Kind::Bool, THREADS).default("false"),
    // ZooKeeper: ZooKeeperServer, also for the three about groups of writes.
    pipeline("maxResponseCacheSize", ANY, CACHE).default("400"),
    pipeline("maxGetChildrenResponseCacheSize", ANY, CACHE).default("400"),
    pipeline("flushDelay", ANY, GROUPS).default("0").unit("ms"),
    pipeline("maxWriteQueuePollTime", ANY, GROUPS).unit("ms"),
    pipeline("maxBatchSize", ANY, GROUPS).default("1000"),
    Key::new(Theme::Pipeline, Place::File, "jvm.pause.monitor", Kind::Bool, Fate::Meaningless(JVM))
        .default("false"),
    jvm("jvm.pause.warn-threshold.ms", "10000"),
    jvm("jvm.pause.info-threshold.ms", "1000"),
    jvm("jvm.pause.sleep.time.ms", "500"),
    // ZooKeeper: ManagedUtil.
    pipeline("jmx.log4j.disable", Kind::Bool, JMX).default("false"),
    pipeline("jmx.log4j.mbean", Kind::Text, JMX).default("log4j:hierarchy=default"),
    // ZooKeeper: MessageTracker.
    pipeline("messageTracker.Enabled", Kind::Bool, "there is no message tracker").default("false"),
    pipeline("messageTracker.BufferSize", ANY, "there is no message tracker").default("10"),
    // ZooKeeper: WatchManagerFactory, WatcherCleaner, BitHashSet.
    row(Theme::Nodes, "watchManagerName", Kind::Text, WATCHES)
        .default("org.apache.zookeeper.server.watch.WatchManager"),
    row(Theme::Nodes, "watcherCleanThreshold", ANY, WATCHES).default("1000"),
    row(Theme::Nodes, "watcherCleanIntervalInSeconds", ANY, WATCHES).default("600").unit("s"),
    row(Theme::Nodes, "watcherCleanThreadsNum", ANY, WATCHES).default("2"),
    row(Theme::Nodes, "maxInProcessingDeadWatchers", ANY, WATCHES).default("-1"),
    row(Theme::Nodes, "bitHashCacheSize", ANY, WATCHES).default("10"),
    // The variables of ZooKeeper's logging configuration, some of which zkServer.sh sets with -D.
    row(Theme::Admin, "log.dir", Kind::Text, LOG),
    row(Theme::Admin, "log.file", Kind::Text, LOG),
    row(Theme::Admin, "log.threshold", Kind::Text, LOG),
    row(Theme::Admin, "log.maxfilesize", Kind::Text, LOG),
    row(Theme::Admin, "log.maxbackupindex", Kind::Text, LOG),
    row(Theme::Admin, "root.logger", Kind::Text, LOG),
    row(Theme::Admin, "console.threshold", Kind::Text, LOG),
    row(Theme::Admin, "tracelog.dir", Kind::Text, LOG),
    row(Theme::Admin, "tracelog.file", Kind::Text, LOG),
    // ZooKeeper: ZKClientConfig.
    client("client.secure"),
    client("clientCnxnSocket"),
    client("disableAutoWatchReset"),
    client("request.timeout"),
    client("sasl.client"),
    client("sasl.client.canonicalize.hostname"),
    client("sasl.client.username"),
    client("sasl.clientconfig"),
    // In a file these two would be taken for members of the ensemble, as by ZooKeeper.
    client("server.principal"),
    client("server.realm"),
];

/// A row of ZooKeeper's monitor of pauses, which is set in the file.
const fn jvm(name: &'static str, default: &'static str) -> Key {
    Key::new(Theme::Pipeline, Place::File, name, ANY_DECIMAL, Fate::Meaningless(JVM))
        .default(default)
        .unit("ms")
}
