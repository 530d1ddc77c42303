//! Rows of parts that are not built yet, whose absence harms nobody: ensembles, the admin HTTP
//! server, Prometheus, and the finer throttles.

use super::super::value::{Below, Form, Kind};
use super::{Fate, Key, Place, RATIO, Theme, any_int, int, prop_int, prop_long};

const ENSEMBLE: &str = "ensembles, which alone need it";
const ALONE: &str = "ensembles; a server that stands alone ignores it, Apache's as well";
const ADMIN: &str = "the admin HTTP server";
const METRICS: &str = "metrics providers; the four-letter word mntr has the metrics";
const THROTTLE: &str = "this refinement of the request throttle";
const PATHS: &str = "statistics by path";

const fn quorum(name: &'static str, kind: Kind) -> Key {
    Key::new(Theme::Quorum, Place::File, name, kind, Fate::Unbuilt(ENSEMBLE))
}

const fn prop(theme: Theme, name: &'static str, kind: Kind, part: &'static str) -> Key {
    Key::new(theme, Place::Property, name, kind, Fate::Unbuilt(part))
}

const fn ensemble(name: &'static str, kind: Kind) -> Key {
    prop(Theme::Quorum, name, kind, ENSEMBLE)
}

const fn admin(name: &'static str, kind: Kind) -> Key {
    prop(Theme::Admin, name, kind, ADMIN)
}

pub(super) static KEYS: &[Key] = &[
    quorum("initLimit", int(0)).unit("ticks"),
    quorum("syncLimit", int(0)).unit("ticks"),
    quorum("connectToLearnerMasterLimit", int(0)).default("0").unit("ticks"),
    quorum("electionAlg", Kind::Int { min: 3, max: 3, form: Form::Decimal, below: Below::Refuse })
        .default("3"),
    quorum("quorumListenOnAllIPs", Kind::Bool).default("false"),
    quorum("peerType", Kind::Choice(&["participant", "observer"])).default("participant"),
    quorum("syncEnabled", Kind::Bool).default("true"),
    quorum("observerMasterPort", any_int()).default("0"),
    quorum("oraclePath", Kind::Text),
    ensemble("multiAddress.enabled", Kind::Bool).default("false"),
    ensemble("multiAddress.reachabilityCheckTimeoutMs", int(0)).default("1000").unit("ms"),
    ensemble("multiAddress.reachabilityCheckEnabled", Kind::Bool).default("true"),
    ensemble("cnxTimeout", int(0)).default("5000").unit("ms"),
    ensemble("quorumCnxnTimeoutMs", prop_int(-1)).default("-1").unit("ms"),
    ensemble("electionPortBindRetry", prop_int(0)).default("3"),
    ensemble("fastleader.minNotificationInterval", prop_int(1)).default("200").unit("ms"),
    ensemble("fastleader.maxNotificationInterval", prop_int(1)).default("60000").unit("ms"),
    ensemble("leader.maxTimeToWaitForEpoch", prop_int(-1)).default("-1").unit("ms"),
    ensemble("leaderConnectDelayDuringRetryMs", prop_int(0)).default("100").unit("ms"),
    ensemble("leaderServes", Kind::YesNo).default("yes"),
    ensemble("leader.ackLoggingFrequency", prop_int(1)).default("1000"),
    ensemble("leader.closeSocketAsync", Kind::Bool).default("false"),
    ensemble("leader.maxConcurrentSnapSyncs", prop_int(1)).default("10"),
    ensemble("leader.maxConcurrentDiffSyncs", prop_int(1)).default("100"),
    ensemble("learner.asyncSending", Kind::Bool).default("false"),
    ensemble("learner.closeSocketAsync", Kind::Bool).default("false"),
    ensemble("observer.syncEnabled", Kind::Bool),
    ensemble("observer.reconnectDelayMs", prop_long(0)).default("0").unit("ms"),
    ensemble("observer.election.DelayMs", prop_long(0)).default("200").unit("ms"),
    ensemble("observerMaster.sizeLimit", prop_int(0)).default("33554432").unit("bytes"),
    ensemble("tcpKeepAlive", Kind::Bool).default("false"),
    ensemble("snapshotSizeFactor", Kind::Float { min: -1e9, max: 1.0 }).default("0.33"),
    ensemble("forceSnapshotSync", Kind::Bool).default("false"),
    ensemble("testingonly.initialZxid", Kind::Text),
    ensemble("test.allowDiscontinuousProposals", Kind::Bool).default("false"),
    Key::new(Theme::Quorum, Place::Bare, "leader.nodelay", Kind::Bool, Fate::Unbuilt(ENSEMBLE))
        .default("true"),
    Key::new(Theme::Quorum, Place::Bare, "follower.nodelay", Kind::Bool, Fate::Unbuilt(ENSEMBLE))
        .default("true"),
    ensemble(
        "commitLogCount",
        Kind::Int { min: 500, max: i32::MAX as i64, form: Form::Decimal, below: Below::Take(500) },
    )
    .default("500")
    .unit("transactions"),
    Key::new(
        Theme::Sessions,
        Place::File,
        "localSessionsEnabled",
        Kind::Bool,
        Fate::Unbuilt(ALONE),
    )
    .default("false"),
    Key::new(
        Theme::Sessions,
        Place::File,
        "localSessionsUpgradingEnabled",
        Kind::Bool,
        Fate::Unbuilt(ALONE),
    )
    .default("false"),
    // Storage.
    prop(
        Theme::Storage,
        "snapshot.compression.method",
        Kind::Choice(&["", "gz", "snappy"]),
        "the writing of compressed snapshots; new ones are uncompressed, and those in the folder \
         are read in every form",
    ),
    // Throttles.
    prop(Theme::Limits, "request_throttle_stall_time", prop_int(0), THROTTLE)
        .default("100")
        .unit("ms"),
    prop(Theme::Limits, "request_throttle_drop_stale", Kind::Bool, THROTTLE).default("true"),
    prop(Theme::Limits, "request_stale_latency_check", Kind::Bool, THROTTLE).default("false"),
    prop(Theme::Limits, "request_stale_connection_check", Kind::Bool, THROTTLE).default("true"),
    prop(Theme::Limits, "throttled_op_wait_time", prop_int(0), THROTTLE).default("0").unit("ms"),
    prop(Theme::Limits, "request_throttler.shutdownTimeout", prop_int(0), THROTTLE)
        .default("10000")
        .unit("ms"),
    // Operators' interfaces.
    admin("admin.enableServer", Kind::Bool).default("true"),
    admin("admin.serverAddress", Kind::Text).default("0.0.0.0"),
    admin("admin.serverPort", prop_int(0)).default("8080"),
    admin("admin.idleTimeout", prop_int(0)).default("30000").unit("ms"),
    admin("admin.commandURL", Kind::Text).default("/commands"),
    admin("admin.httpVersion", prop_int(0)).default("11"),
    admin("admin.portUnification", Kind::Bool).default("false"),
    admin("admin.forceHttps", Kind::Bool).default("false"),
    admin("admin.needClientAuth", Kind::Bool).default("false"),
    admin("admin.rateLimiterIntervalInMS", int(0)).default("300000").unit("ms"),
    admin("admin.snapshot.enabled", Kind::Bool).default("true"),
    admin("admin.restore.enabled", Kind::Bool).default("true"),
    Key::new(
        Theme::Admin,
        Place::File,
        "metricsProvider.className",
        Kind::Text,
        Fate::Unbuilt(METRICS),
    )
    .default("org.apache.zookeeper.metrics.impl.DefaultMetricsProvider"),
    Key::new(Theme::Admin, Place::File, "metricsProvider.*", Kind::Text, Fate::Unbuilt(METRICS)),
    prop(Theme::Admin, "pathStats.enabled", Kind::Bool, PATHS).default("false"),
    prop(Theme::Admin, "pathStats.slotCapacity", prop_int(1), PATHS).default("60"),
    prop(Theme::Admin, "pathStats.slotDuration", prop_int(1), PATHS).default("15").unit("s"),
    prop(Theme::Admin, "pathStats.maxDepth", prop_int(1), PATHS).default("6"),
    prop(Theme::Admin, "pathStats.sampleRate", RATIO, PATHS).default("0.1"),
    prop(Theme::Admin, "pathStats.initialDelay", prop_long(0), PATHS).default("5").unit("min"),
    prop(Theme::Admin, "pathStats.delay", prop_long(1), PATHS).default("5").unit("min"),
    prop(Theme::Admin, "pathStats.topPathMax", prop_int(1), PATHS).default("20"),
];
