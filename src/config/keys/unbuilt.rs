//! Rows of parts that are not built yet, whose absence does no harm: snapshots and
//! restores over HTTP, and the finer throttles.
//!
//! Each text names the missing part, and continues "not built yet: ". A key whose absence would do harm is refused
//! where its part would be: in `sasl`, `tls` and `quorum`.

use super::super::value::Kind;
use super::{Fate, Key, Place, RATIO, Theme, int, prop_int, prop_long};

const ADMIN: &str = "snapshots and restores over HTTP";
const THROTTLE: &str = "this refinement of the request throttle";
const PATHS: &str = "statistics by path";

/// A row of a system property, without a default and a unit.
const fn prop(theme: Theme, name: &'static str, kind: Kind, part: &'static str) -> Key {
    Key::new(theme, Place::Property, name, kind, Fate::Unbuilt(part))
}

/// A row of the commands that change something.
const fn admin(name: &'static str, kind: Kind) -> Key {
    prop(Theme::Admin, name, kind, ADMIN)
}

pub(super) static KEYS: &[Key] = &[
    // Storage.
    // ZooKeeper: SnapStream.
    prop(
        Theme::Storage,
        "snapshot.compression.method",
        Kind::Choice(&["", "gz", "snappy"]),
        "the writing of compressed snapshots; new snapshots are uncompressed, and existing ones \
         are read in every form",
    ),
    // Throttles.
    // ZooKeeper: RequestThrottler, Request and ZooKeeperServer read the next rows.
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
    // ZooKeeper: IPAuthenticationProvider.
    prop(Theme::Security, "IPAuthenticationProvider.usexforwardedfor", Kind::Bool, ADMIN)
        .default("false"),
    // Operators' interfaces.
    // ZooKeeper: Commands reads the next rows.
    admin("admin.rateLimiterIntervalInMS", int(0)).default("300000").unit("ms"),
    admin("admin.snapshot.enabled", Kind::Bool).default("true"),
    admin("admin.restore.enabled", Kind::Bool).default("true"),
    // ZooKeeper: RequestPathMetricsCollector reads the next rows.
    prop(Theme::Admin, "pathStats.enabled", Kind::Bool, PATHS).default("false"),
    prop(Theme::Admin, "pathStats.slotCapacity", prop_int(1), PATHS).default("60"),
    prop(Theme::Admin, "pathStats.slotDuration", prop_int(1), PATHS).default("15").unit("s"),
    prop(Theme::Admin, "pathStats.maxDepth", prop_int(1), PATHS).default("6"),
    prop(Theme::Admin, "pathStats.sampleRate", RATIO, PATHS).default("0.1"),
    prop(Theme::Admin, "pathStats.initialDelay", prop_long(0), PATHS).default("5").unit("min"),
    prop(Theme::Admin, "pathStats.delay", prop_long(1), PATHS).default("5").unit("min"),
    prop(Theme::Admin, "pathStats.topPathMax", prop_int(1), PATHS).default("20"),
];
