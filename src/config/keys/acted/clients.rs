//! Rows of the keys about sockets, sessions and what clients may take.
//!
//! A row that is `together!` has no setter: `config::finish` stores it, because its value depends on other keys.
//!
//! ```text
//! too many                    what happens
//! connections                 maxClientCnxns, maxCnxns: the new one is closed
//! connecting sessions         connection_throttle_*: the new one is closed
//! outstanding requests        globalOutstandingLimit, request_throttle_max_requests: clients are read later
//! bytes in a frame            jute.maxbuffer: its connection is closed
//! bytes of large requests     largeRequestMaxBytes, from largeRequestThreshold on: the request's connection is closed
//! ```

use super::super::row::*;
use super::super::{
    Acted, Fate, Key, RATIO, Set, Theme, any_int, fine, int, port, prop_int, prop_int_or,
};
use crate::config::value::Kind;

pub(in crate::config::keys) static KEYS: &[Key] = &[
    // Network.
    // ZooKeeper: QuorumPeerConfig.parseProperties. Stored together with clientPortAddress, in config::finish.
    // Not one of the properties: `-Dzookeeper.clientPort` sets nothing, and gets a note.
    file(
        Theme::Network,
        "clientPort",
        port(),
        "",
        together!(|c| c
            .network
            .client
            .as_ref()
            .map_or(String::new(), |listen| listen.port.to_string())),
    )
    .about("port for clients; 0 lets the system choose"),
    // ZooKeeper: QuorumPeerConfig.parseProperties.
    // Without clientPort it is an error, as there.
    file(
        Theme::Network,
        "clientPortAddress",
        Kind::Text,
        "",
        together!(|c| c
            .network
            .client
            .as_ref()
            .map_or(String::new(), |listen| listen.host.to_string())),
    )
    .about("interface for clients; every address if not set"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: net::bind.
    // ZooKeeper: -1 leaves the number to Java, which takes 50. Ours is net::BACKLOG.
    file(
        Theme::Network,
        "clientPortListenBacklog",
        any_int(),
        "-1",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| c.network.listen_backlog = (v > 0).then(|| narrow(v))),
            get: |c| c.network.listen_backlog.map_or("-1".to_owned(), |v| v.to_string()),
            about: "length of the listen queue; 0 or less: our own choice",
            verdict: fine,
        }),
    ),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: net::Census.
    // Negative numbers count as 0, which means no bound.
    file(
        Theme::Network,
        "maxClientCnxns",
        any_int(),
        "60",
        optional!(network.max_client_cnxns, 0, 1),
    )
    .about("connections from one address; 0 or less: no limit"),
    // ZooKeeper: ServerCnxnFactory. Here: net::Census.
    // ZooKeeper: initMaxCnxns takes 0 for a negative number.
    prop(Theme::Network, "maxCnxns", prop_int_or(0, 0), "0", optional!(network.max_cnxns, 0, 1))
        .about("connections in all; 0: no limit"),
    // ZooKeeper: NIOServerCnxn. Here: net::serve.
    prop(
        Theme::Network,
        "netty.server.outstandingHandshake.limit",
        any_int(),
        "-1",
        optional!(network.handshakes_outstanding_max, -1, 1),
    )
    .about("connections whose TLS handshake is not over, on ports with TLS; 0 or less: no limit"),
    prop(
        Theme::Network,
        "clientTcpKeepAlive",
        Kind::Bool,
        "false",
        plain!(Bool, network.client_tcp_keep_alive),
    )
    .about("TCP keep-alive on client connections"),
    // ZooKeeper: NIOServerCnxnFactory. Here: net::NetOptions. Counted from accepting the connection until its first
    // frame is complete.
    prop(
        Theme::Network,
        "nio.sessionlessCnxnTimeout",
        prop_int(1),
        "10000",
        number!(network.sessionless_cnxn_timeout_ms),
    )
    .about("close a connection that opens no session")
    .unit("ms"),
    // ZooKeeper: BinaryInputArchive.maxBuffer, a property without the prefix. Stored by config::finish, with its
    // ceiling. It bounds what clients send. Replies may be longer, and a client needs a bound of its own for these.
    bare(
        Theme::Network,
        "jute.maxbuffer",
        prop_int(1),
        "1048575",
        together!(|c| c.network.jute_max_buffer.to_string()),
    )
    .about("largest frame that a client may send; a larger value counts as 536870912")
    .verdict(max_buffer)
    .unit("bytes"),
    // ZooKeeper: BinaryInputArchive, the sum of both being the longest record that it reads.
    prop(
        Theme::Network,
        "jute.maxbuffer.extrasize",
        prop_int_or(1024, 1024),
        "1048575",
        together!(|c| c.network.jute_max_buffer_extra.to_string()),
    )
    .about(
        "by how much a record in a file may exceed jute.maxbuffer; jute.maxbuffer if not set; a \
         larger value counts as 536870912",
    )
    .unit("bytes"),
    // Sessions.
    // ZooKeeper: QuorumPeerConfig.parseProperties. The three times are stored together, in config::finish.
    file(
        Theme::Sessions,
        "tickTime",
        int(1),
        "3000",
        together!(|c| c.sessions.tick_time_ms.to_string()),
    )
    .about("unit of all session times")
    .unit("ms"),
    // ZooKeeper: QuorumPeerConfig.parseProperties, ZooKeeperServer.setMinSessionTimeout.
    // An int on the wire, so the upper end is that of an int.
    file(
        Theme::Sessions,
        "minSessionTimeout",
        int(-1),
        "-1",
        together!(|c| c.sessions.min_session_timeout_ms.to_string()),
    )
    .about("shortest session timeout; -1: 2 ticks")
    .unit("ms"),
    // ZooKeeper: QuorumPeerConfig.parseProperties, ZooKeeperServer.setMaxSessionTimeout.
    file(
        Theme::Sessions,
        "maxSessionTimeout",
        int(-1),
        "-1",
        together!(|c| c.sessions.max_session_timeout_ms.to_string()),
    )
    .about("longest session timeout; -1: 20 ticks")
    .unit("ms"),
    // ZooKeeper: QuorumPeer, FourLetterCommands. Here: ReplicaOptions and admin::Desk.
    bare(
        Theme::Sessions,
        "readonlymode.enabled",
        Kind::Bool,
        "false",
        plain!(Bool, sessions.read_only_mode_enabled),
    )
    .about("serve reads while cut off from the ensemble, and put isro on the whitelist"),
    // ZooKeeper: QuorumPeerConfig.parseProperties, UpgradeableSessionTracker. Here: ReplicaOptions.
    file(
        Theme::Sessions,
        "localSessionsEnabled",
        Kind::Bool,
        "false",
        plain!(Bool, sessions.local_sessions_enabled),
    )
    .about("in an ensemble, sessions begin as local ones, known to one server only"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: ReplicaOptions.
    file(
        Theme::Sessions,
        "localSessionsUpgradingEnabled",
        Kind::Bool,
        "false",
        plain!(Bool, sessions.local_sessions_upgrading_enabled),
    )
    .about("a local session becomes a global one when it creates an ephemeral node"),
    // Limits.
    // ZooKeeper: ZooKeeperServer, divided among the voters of an ensemble. Here: server::options::bounds does the same.
    // 0 is allowed: then a connection is read only while it has nothing outstanding.
    prop(
        Theme::Limits,
        "globalOutstandingLimit",
        prop_int(0),
        "1000",
        number!(limits.global_outstanding_limit),
    )
    .about("requests in process above which the server reads no more from clients")
    .unit("requests"),
    // ZooKeeper: RequestThrottler, which holds requests that were read; we do not read them.
    prop(
        Theme::Limits,
        "request_throttle_max_requests",
        prop_int_or(0, 0),
        "0",
        optional!(limits.request_throttle_max_requests, 0, 1),
    )
    .about("like globalOutstandingLimit, and the smaller of the two counts; 0: no such limit")
    .unit("requests"),
    // ZooKeeper: ZooKeeperServer.setLargeRequestMaxBytes. Here: ReplicaOptions.
    // ZooKeeper: setLargeRequestMaxBytes keeps the default for 0 and less, and warns.
    prop(
        Theme::Limits,
        "largeRequestMaxBytes",
        prop_int_or(1, 104_857_600),
        "104857600",
        number!(limits.large_request_max_bytes),
    )
    .about("bytes of all large requests in process")
    .unit("bytes"),
    // ZooKeeper: ZooKeeperServer.setLargeRequestThreshold. Here: ReplicaOptions.
    prop(
        Theme::Limits,
        "largeRequestThreshold",
        prop_int_or(-1, -1),
        "-1",
        Fate::Acted(Acted {
            // ZooKeeper: setLargeRequestThreshold takes 0 for -1.
            set: Set::Int(|c, v| {
                c.limits.large_request_threshold_bytes = (v > 0).then(|| narrow(v))
            }),
            get: |c| {
                c.limits.large_request_threshold_bytes.map_or("-1".to_owned(), |v| v.to_string())
            },
            about: "size from which a request is large; 0 and -1: none is",
            verdict: fine,
        }),
    )
    .unit("bytes"),
    // The next rows are ZooKeeper's BlueThrottle, a bucket of tokens that drops connections at random as it empties.
    // Here: ThrottleOptions.
    prop(
        Theme::Limits,
        "connection_throttle_tokens",
        prop_int(0),
        "0",
        number!(limits.connection_throttle.tokens),
    )
    .about("size of the bucket from which each connecting session takes tokens; 0: no throttle"),
    // ZooKeeper: BlueThrottle.checkLimit fills the bucket by the time that has passed; there is no timer.
    prop(
        Theme::Limits,
        "connection_throttle_fill_time",
        prop_int(1),
        "1",
        number!(limits.connection_throttle.fill_time_ms),
    )
    .about("time between two refills of the bucket")
    .unit("ms"),
    prop(
        Theme::Limits,
        "connection_throttle_fill_count",
        prop_int(0),
        "1",
        number!(limits.connection_throttle.fill_count),
    )
    .about("tokens per refill"),
    prop(
        Theme::Limits,
        "connection_throttle_freeze_time",
        prop_int(-1),
        "-1",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| {
                c.limits.connection_throttle.freeze_time_ms = u32::try_from(v).ok()
            }),
            get: |c| {
                c.limits
                    .connection_throttle
                    .freeze_time_ms
                    .map_or("-1".to_owned(), |v| v.to_string())
            },
            about: "time between two changes of the drop probability; -1: no random \
             drops",
            verdict: fine,
        }),
    )
    .unit("ms"),
    // This one and the next two are shares from 0 to 1.
    prop(
        Theme::Limits,
        "connection_throttle_drop_increase",
        RATIO,
        "0.02",
        plain!(Float, limits.connection_throttle.drop_increase),
    )
    .about("step up of the drop probability"),
    prop(
        Theme::Limits,
        "connection_throttle_drop_decrease",
        RATIO,
        "0.002",
        plain!(Float, limits.connection_throttle.drop_decrease),
    )
    .about("step down of the drop probability"),
    prop(
        Theme::Limits,
        "connection_throttle_decrease_ratio",
        RATIO,
        "0",
        plain!(Float, limits.connection_throttle.decrease_ratio),
    )
    .about("the drop probability falls while at most this share of the bucket is missing"),
    // ZooKeeper: BlueThrottle. The weights count only with this switch.
    prop(
        Theme::Limits,
        "connection_throttle_weight_enabled",
        Kind::Bool,
        "false",
        plain!(Bool, limits.connection_throttle.weight_enabled),
    )
    .about("a connecting session costs its weight instead of one token"),
    // Raised to the weight of a local session in config::finish, as is that of a session that reconnects.
    prop(
        Theme::Limits,
        "connection_throttle_global_session_weight",
        prop_int_or(1, 3),
        "3",
        number!(limits.connection_throttle.global_session_weight),
    )
    .about("tokens for a new session"),
    // ZooKeeper: BlueThrottle takes its default for a weight below 1.
    prop(
        Theme::Limits,
        "connection_throttle_local_session_weight",
        prop_int_or(1, 1),
        "1",
        number!(limits.connection_throttle.local_session_weight),
    )
    .about("smallest allowed value of the other two weights"),
    prop(
        Theme::Limits,
        "connection_throttle_renew_session_weight",
        prop_int_or(1, 2),
        "2",
        number!(limits.connection_throttle.renew_session_weight),
    )
    .about("tokens for a session that reconnects"),
];
