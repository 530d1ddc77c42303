//! The bounds on clients: requests, bytes, connections, watches. Where the operator has set none, they follow from
//! the memory that this process may use.

use std::time::Duration;

use crate::config::Config;
use crate::limits;
use crate::net::{Budget, Census, NetOptions};
use crate::runtime::MemoryOfProcess;

/// The bytes that all watches together may hold: as configured (`ringkeeper.watchMemoryMax`), or a part of the
/// memory.
pub fn watch_bytes_max(config: &Config, memory: Option<MemoryOfProcess>) -> u64 {
    config.own.watch_memory_max.unwrap_or_else(|| {
        let memory = memory.map_or(0, |memory| memory.bytes);
        limits::WATCH_MEMORY_MIN.max(memory / limits::WATCH_MEMORY_PART)
    })
}

/// How many servers share the limit on requests (`globalOutstandingLimit`); at least 1.
// ZooKeeper: getGlobalOutstandingLimit of LeaderZooKeeperServer and FollowerZooKeeperServer; an observer has the
// whole limit.
fn shares(config: &Config) -> u32 {
    let ensemble = config.quorum.ensemble();
    let votes = config.quorum.me().is_some_and(|me| ensemble.is_voter(me));
    let voters = u32::try_from(ensemble.voters().count()).unwrap_or(u32::MAX);
    if config.quorum.is_distributed() && votes && voters > 2 { voters - 1 } else { 1 }
}

/// How many requests may be in the server at once, from all cores.
// ZooKeeper: RequestThrottler queues further requests; here they stay in the sockets.
pub(super) fn requests_outstanding_max(config: &Config) -> u32 {
    let limits = &config.limits;
    let throttle = limits.request_throttle_max_requests.unwrap_or(u32::MAX);
    (limits.global_outstanding_limit / shares(config)).min(throttle)
}

/// The number of unsent bytes beyond which a connection is closed. The largest single reply, and the bytes that the
/// operator allows to be buffered, always fit.
pub(super) fn unsent_bytes_max(config: &Config) -> usize {
    let own = &config.own;
    let reply =
        own.multi_read_reply_bytes_max.saturating_add(config.network.jute_max_buffer.into());
    limits::CONNECTION_OUTPUT_BYTES_MAX
        .max(clamp(own.output_bytes_per_connection_max))
        .max(clamp(reply))
}

/// The number as a size in memory; on a small machine, the largest one.
pub(super) fn clamp(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The bounds on the number of connections (`maxClientCnxns`, `maxCnxns`); `descriptors_max` as [`Census::new`] takes
/// it.
pub fn census(config: &Config, descriptors_max: u32) -> Census {
    let network = &config.network;
    let (per_address, total) = (network.max_client_cnxns, network.max_cnxns);
    Census::new(per_address.unwrap_or(0), total.unwrap_or(0), descriptors_max)
}

/// The bytes that all connections together may hold, and a sentence on the reason: as configured, or a quarter of the
/// memory, and at least enough for some large frames.
pub fn budget(
    config: &Config,
    memory: Option<MemoryOfProcess>,
    executors: u32,
) -> (Budget, String) {
    let frame = u64::from(config.network.jute_max_buffer);
    let least = limits::CONNECTION_MEMORY_MIN.max(limits::CONNECTION_MEMORY_FRAMES_MIN * frame);
    let (bytes, why) = match (config.own.connection_memory_max, memory) {
        (Some(bytes), _) => (bytes, "ringkeeper.connectionMemoryMax".to_owned()),
        (None, None) => (least, "the system does not say how much memory there is".to_owned()),
        (None, Some(memory)) => {
            let share = memory.bytes / limits::CONNECTION_MEMORY_SHARE;
            let what = format!("the {} MiB of {}", memory.bytes >> 20, memory.source);
            match share < least {
                true => (least, format!("the minimum, for a quarter of {what} is less")),
                false => (share, format!("a quarter of {what}")),
            }
        }
    };
    let said = format!(
        "connections together may hold {} MiB of unread replies, events and requests ({why}); beyond \
         three quarters of it, the server closes those that have held most for longest",
        bytes >> 20
    );
    (Budget::new(bytes, executors), said)
}

/// The options of each of `cores` session cores.
pub fn net(config: &Config, cores: u32, budget: &Budget) -> NetOptions {
    // Reading pauses long before a connection is closed for requests that wait only for this server.
    let received = config.own.request_bytes_in_flight_max.min(budget.bytes_max() / 4);
    NetOptions {
        frame_bytes_max: config.network.jute_max_buffer,
        // Each core has its part of the bounds that the operator gave for the server.
        requests_outstanding_max: (requests_outstanding_max(config) / cores).max(1),
        unsent_bytes_before_pause: clamp(config.own.output_bytes_per_connection_max),
        unsent_bytes_max: unsent_bytes_max(config),
        received_bytes_max: received / u64::from(cores),
        sessionless_timeout: Duration::from_millis(
            config.network.sessionless_cnxn_timeout_ms.into(),
        ),
    }
}
