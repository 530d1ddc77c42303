//! Rows of the keys that change what the server does.

use std::collections::BTreeSet;

use super::super::quorum::PeerAddressCheck;
use super::super::settings::{DigestAlgorithm, FilesReadableBy, LogFormat, LogLevel, Whitelist};
use super::super::value::{Below, Form, Kind, interval_ms};
use super::{
    Acted, Fate, Key, Place, RATIO, Set, Theme, any_int, fine, int, port, prop_int, prop_int_or,
    prop_long,
};

use super::row::*;

pub(super) static KEYS: &[Key] = &[
    // Storage.
    file(
        Theme::Storage,
        "dataDir",
        Kind::Path,
        "",
        together!(|c| c.storage.data_dir.display().to_string()),
    )
    .about("folder of the snapshots and of myid; required in a file"),
    file(
        Theme::Storage,
        "dataLogDir",
        Kind::Path,
        "",
        together!(|c| c.storage.data_log_dir.display().to_string()),
    )
    .about("folder of the transaction log; dataDir if not set"),
    prop(
        Theme::Storage,
        "datadir.autocreate",
        Kind::Bool,
        "true",
        plain!(Bool, storage.datadir_autocreate),
    )
    .about("create missing folders"),
    prop(Theme::Storage, "db.autocreate", Kind::Bool, "true", plain!(Bool, storage.db_autocreate))
        .about(
            "begin a new database in an empty folder; if false, only if a file named initialize \
             is there",
        ),
    prop(Theme::Storage, "snapCount", prop_int_or(2, 2), "100000", number!(storage.snap_count))
        .about(
            "take a snapshot after half as many transactions plus a random share of the other half",
        )
        .unit("transactions"),
    prop(
        Theme::Storage,
        "snapSizeLimitInKb",
        prop_long(i64::MIN / 1024),
        "4194304",
        optional!(storage.snap_size_limit_bytes, 0, 1024),
    )
    .about(
        "take a snapshot after half as many bytes of log plus a random share of the other half; 0 \
         or less: no such limit",
    )
    .unit("KiB"),
    prop(
        Theme::Storage,
        "txnLogSizeLimitInKb",
        prop_long(i64::MIN / 1024),
        "-1",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| {
                c.storage.txn_log_size_limit_bytes =
                    (v > 0).then(|| narrow(v.saturating_mul(1024)));
            }),
            get: |c| {
                c.storage
                    .txn_log_size_limit_bytes
                    .map_or("-1".to_owned(), |v| (v / 1024).to_string())
            },
            about: "close a log file of this size; 0 or less: no such limit",
            verdict: fine,
        }),
    )
    .unit("KiB"),
    prop(
        Theme::Storage,
        "preAllocSize",
        Kind::Int { min: 0, max: i64::MAX / 1024, form: Form::Decimal, below: Below::Take(0) },
        "65536",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| c.storage.pre_alloc_bytes = narrow(v.saturating_mul(1024))),
            get: |c| (c.storage.pre_alloc_bytes / 1024).to_string(),
            about: "largest size of a log file, which is prepared ahead of the writes; when it \
             is full, a new file begins. In ZooKeeper one file grows in steps of this \
             size; ZooKeeper also reads many small files",
            verdict: fine,
        }),
    )
    .unit("KiB"),
    prop(Theme::Storage, "forceSync", Kind::YesNo, "yes", yes_no!(storage.force_sync))
        .about("make a write durable before it is acknowledged")
        .verdict(force_sync),
    Key::new(
        Theme::Storage,
        Place::PropertyOrBare,
        "fsync.warningthresholdms",
        prop_long(0),
        number!(storage.fsync_warning_threshold_ms),
    )
    .about("warn of log writes slower than this")
    .default("1000")
    .unit("ms"),
    prop(
        Theme::Storage,
        "snapshot.trust.empty",
        Kind::Bool,
        "false",
        plain!(Bool, storage.snapshot_trust_empty),
    )
    .about(
        "accept a folder with logs and no snapshot; meant for the first start on a folder of a \
         ZooKeeper older than 3.5",
    )
    .verdict(trust_empty),
    prop(
        Theme::Storage,
        "digest.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, storage.digest_enabled),
    )
    .about("keep, log and check digests of the tree"),
    prop(
        Theme::Storage,
        "serializeLastProcessedZxid.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, storage.serialize_last_processed_zxid),
    )
    .about("end a snapshot with the last processed zxid, as 3.9 does"),
    prop(
        Theme::Storage,
        "closeSessionTxn.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, storage.close_session_txn),
    )
    .about(
        "list the deleted paths in closeSession transactions, as 3.6 and \
             later do",
    ),
    file(
        Theme::Storage,
        "autopurge.snapRetainCount",
        Kind::Int { min: 3, max: i32::MAX as i64, form: Form::Decimal, below: Below::Take(3) },
        "3",
        number!(storage.snap_retain_count),
    )
    .about("snapshots that a purge keeps, with the logs they need")
    .unit("snapshots"),
    file(
        Theme::Storage,
        "autopurge.purgeInterval",
        Kind::Interval,
        "0",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| c.storage.purge_interval_ms = interval_ms(v).flatten()),
            get: |c| match c.storage.purge_interval_ms {
                None => "0".to_owned(),
                Some(ms) if ms % 3_600_000 == 0 => (ms / 3_600_000).to_string(),
                Some(ms) if ms % 1000 == 0 => format!("{}s", ms / 1000),
                Some(ms) => format!("{ms}ms"),
            },
            about: "time between two purges; 0 or less: never",
            verdict: fine,
        }),
    ),
    // Network.
    file(
        Theme::Network,
        "clientPort",
        port(),
        "",
        together!(|c| c.network.client.port.to_string()),
    )
    .about("port for clients; 0 lets the system choose"),
    file(
        Theme::Network,
        "clientPortAddress",
        Kind::Text,
        "",
        together!(|c| c.network.client.host.to_string()),
    )
    .about("interface for clients; every address if not set"),
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
    file(
        Theme::Network,
        "maxClientCnxns",
        any_int(),
        "60",
        optional!(network.max_client_cnxns, 0, 1),
    )
    .about("connections from one address; 0 or less: no limit"),
    prop(Theme::Network, "maxCnxns", prop_int_or(0, 0), "0", optional!(network.max_cnxns, 0, 1))
        .about("connections in all; 0: no limit"),
    prop(
        Theme::Network,
        "clientTcpKeepAlive",
        Kind::Bool,
        "false",
        plain!(Bool, network.client_tcp_keep_alive),
    )
    .about("TCP keep-alive on client connections"),
    prop(
        Theme::Network,
        "nio.sessionlessCnxnTimeout",
        prop_int(1),
        "10000",
        number!(network.sessionless_cnxn_timeout_ms),
    )
    .about("close a connection that opens no session")
    .unit("ms"),
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
    file(
        Theme::Sessions,
        "tickTime",
        int(1),
        "3000",
        together!(|c| c.sessions.tick_time_ms.to_string()),
    )
    .about("unit of all session times")
    .unit("ms"),
    file(
        Theme::Sessions,
        "minSessionTimeout",
        int(-1),
        "-1",
        together!(|c| c.sessions.min_session_timeout_ms.to_string()),
    )
    .about("shortest session timeout; -1: 2 ticks")
    .unit("ms"),
    file(
        Theme::Sessions,
        "maxSessionTimeout",
        int(-1),
        "-1",
        together!(|c| c.sessions.max_session_timeout_ms.to_string()),
    )
    .about("longest session timeout; -1: 20 ticks")
    .unit("ms"),
    bare(
        Theme::Sessions,
        "readonlymode.enabled",
        Kind::Bool,
        "false",
        plain!(Bool, sessions.read_only_mode_enabled),
    )
    .about("serve reads while cut off from the ensemble, and put isro on the whitelist"),
    file(
        Theme::Sessions,
        "localSessionsEnabled",
        Kind::Bool,
        "false",
        plain!(Bool, sessions.local_sessions_enabled),
    )
    .about("in an ensemble, sessions begin as local ones, known to one server only"),
    file(
        Theme::Sessions,
        "localSessionsUpgradingEnabled",
        Kind::Bool,
        "false",
        plain!(Bool, sessions.local_sessions_upgrading_enabled),
    )
    .about("a local session becomes a global one when it creates an ephemeral node"),
    // Limits.
    prop(
        Theme::Limits,
        "globalOutstandingLimit",
        prop_int(0),
        "1000",
        number!(limits.global_outstanding_limit),
    )
    .about("requests in process above which the server reads no more from clients")
    .unit("requests"),
    prop(
        Theme::Limits,
        "request_throttle_max_requests",
        prop_int_or(0, 0),
        "0",
        optional!(limits.request_throttle_max_requests, 0, 1),
    )
    .about("like globalOutstandingLimit, and the smaller of the two counts; 0: no such limit")
    .unit("requests"),
    prop(
        Theme::Limits,
        "largeRequestMaxBytes",
        prop_int_or(1, 104_857_600),
        "104857600",
        number!(limits.large_request_max_bytes),
    )
    .about("bytes of all large requests in process")
    .unit("bytes"),
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
    prop(
        Theme::Limits,
        "connection_throttle_tokens",
        prop_int(0),
        "0",
        number!(limits.connection_throttle.tokens),
    )
    .about("size of the bucket from which each connecting session takes tokens; 0: no throttle"),
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
    prop(
        Theme::Limits,
        "connection_throttle_weight_enabled",
        Kind::Bool,
        "false",
        plain!(Bool, limits.connection_throttle.weight_enabled),
    )
    .about("a connecting session costs its weight instead of one token"),
    prop(
        Theme::Limits,
        "connection_throttle_global_session_weight",
        prop_int_or(1, 3),
        "3",
        number!(limits.connection_throttle.global_session_weight),
    )
    .about("tokens for a new session"),
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
    // Security.
    prop(Theme::Security, "skipACL", Kind::YesNo, "no", yes_no!(security.skip_acl))
        .about("ignore ACLs")
        .verdict(skip_acl),
    prop(
        Theme::Security,
        "DigestAuthenticationProvider.enabled",
        Kind::Bool,
        "true",
        plain!(Bool, security.digest_enabled),
    )
    .about("allow the scheme digest"),
    prop(
        Theme::Security,
        "DigestAuthenticationProvider.digestAlg",
        Kind::Choice(DIGEST_NAMES),
        "SHA1",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                c.security.digest_algorithm = DigestAlgorithm::from_name(v).unwrap_or_default();
            }),
            get: |c| c.security.digest_algorithm.name().to_owned(),
            about: "hash of the scheme digest",
            verdict: fine,
        }),
    ),
    prop(
        Theme::Security,
        "DigestAuthenticationProvider.superDigest",
        Kind::Text,
        "",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| c.security.super_digest = (!v.is_empty()).then(|| v.to_owned())),
            get: |c| c.security.super_digest.clone().unwrap_or_default(),
            about: "digest id of the super user, super:hash",
            verdict: fine,
        }),
    )
    .secret(),
    prop(
        Theme::Security,
        "ensembleAuthName",
        Kind::List,
        "",
        Fate::Acted(Acted {
            set: Set::List(|c, v| {
                c.security.ensemble_auth_names = Some(v.iter().cloned().collect::<BTreeSet<_>>());
            }),
            get: |c| {
                let names = c.security.ensemble_auth_names.iter().flatten();
                names.cloned().collect::<Vec<_>>().join(",")
            },
            about: "names by which clients may call this ensemble, with authProvider.N \
             = …EnsembleAuthenticationProvider",
            verdict: fine,
        }),
    ),
    prop(
        Theme::Security,
        "enableEagerACLCheck",
        Kind::Bool,
        "false",
        plain!(Bool, security.eager_acl_check),
    )
    .about(
        "a member of an ensemble refuses a write without permission before the write gets a \
         zxid; a standalone server does not, as in ZooKeeper",
    ),
    // Nodes.
    prop(
        Theme::Nodes,
        "extendedTypesEnabled",
        Kind::Bool,
        "false",
        plain!(Bool, nodes.extended_types_enabled),
    )
    .about("TTL nodes"),
    prop(
        Theme::Nodes,
        "emulate353TTLNodes",
        Kind::Bool,
        "false",
        plain!(Bool, nodes.emulate_353_ttl_nodes),
    )
    .about("recognise TTL nodes of 3.5.3"),
    prop(Theme::Nodes, "enforceQuota", Kind::Bool, "false", plain!(Bool, nodes.enforce_quota))
        .about("enforce hard quotas"),
    bare(
        Theme::Nodes,
        "znode.container.checkIntervalMs",
        prop_int(1),
        "60000",
        number!(nodes.container_check_interval_ms),
    )
    .about("time between two searches for empty containers and expired TTL nodes")
    .unit("ms"),
    bare(
        Theme::Nodes,
        "znode.container.maxPerMinute",
        prop_int(1),
        "10000",
        number!(nodes.container_max_per_minute),
    )
    .about("largest number of such nodes deleted per minute"),
    bare(
        Theme::Nodes,
        "znode.container.maxNeverUsedIntervalMs",
        prop_long(0),
        "0",
        optional!(nodes.container_max_never_used_interval_ms, 0, 1),
    )
    .about("delete a container that never had a child; 0: never")
    .unit("ms"),
    // Admin.
    prop(
        Theme::Admin,
        "4lw.commands.whitelist",
        Kind::List,
        "srvr",
        Fate::Acted(Acted {
            set: Set::List(set_whitelist),
            get: |c| match &c.admin.four_letter_words {
                Whitelist::All => "*".to_owned(),
                Whitelist::Only(words) => words.iter().cloned().collect::<Vec<_>>().join(","),
            },
            about: "four-letter words that are answered; srvr always is, * means all",
            verdict: whitelist,
        }),
    ),
    // Our own.
    own("ringkeeper.cores", Kind::IntOrAuto { min: 1, max: 1024 }, "auto", auto!(own.cores))
        .about("number of executors, which are threads that handle connections, the data, or both"),
    own("ringkeeper.pin", Kind::Bool, "true", plain!(Bool, own.pin))
        .about("bind each executor to a core, if there are several executors and a core for each"),
    own(
        "ringkeeper.spinMicros",
        Kind::IntOrAuto { min: 0, max: 10_000 },
        "auto",
        auto!(own.spin_micros),
    )
    .about(
        "how long a thread polls for the end of a log write before it sleeps; for other servers \
         at most 100 µs of that, for other executors 50 µs",
    )
    .unit("µs"),
    own(
        "ringkeeper.stallMillis",
        Kind::Int { min: 0, max: 60_000, form: Form::Decimal, below: Below::Refuse },
        "5",
        number!(own.stall_millis),
    )
    .about("count and log each time that no client was served for this long; 0: never")
    .unit("ms"),
    own(
        "ringkeeper.snapshotSharePercent",
        Kind::Int { min: 0, max: 1000, form: Form::Decimal, below: Below::Refuse },
        "50",
        number!(own.snapshot_share_percent),
    )
    .about(
        "a snapshot due by snapCount waits until the log has this share of the last \
             snapshot's bytes, if that had 16 MiB or more; 0: it never waits, as in ZooKeeper",
    )
    .unit("%"),
    own(
        "ringkeeper.outputBytesPerConnectionMax",
        bytes(65_536),
        "4194304",
        number!(own.output_bytes_per_connection_max),
    )
    .about(
        "output buffered for one connection above which its next requests wait \
             until its client has read",
    )
    .unit("bytes"),
    own(
        "ringkeeper.requestBytesInFlightMax",
        bytes(1_048_576),
        "268435456",
        together!(|c| c.own.request_bytes_in_flight_max.to_string()),
    )
    .about(
        "bytes of unanswered requests above which the server reads no more from clients; at \
         least jute.maxbuffer",
    )
    .unit("bytes"),
    own(
        "ringkeeper.multiReadReplyBytesMax",
        bytes(1_048_576),
        "67108864",
        number!(own.multi_read_reply_bytes_max),
    )
    .about("largest reply to one multiRead; a larger one is refused with BADARGUMENTS")
    .unit("bytes"),
    own(
        "ringkeeper.aclEntriesMax",
        Kind::Int { min: 1, max: 1_000_000, form: Form::Decimal, below: Below::Refuse },
        "1024",
        number!(own.acl_entries_max),
    )
    .about("entries of an ACL that a client gives; a longer one is refused with INVALIDACL"),
    own(
        "ringkeeper.multiOperationsMax",
        int(100),
        "10000",
        number!(own.multi_operations_max),
    )
    .about(
        "largest number of operations in a multi, which is executed in one piece while all \
         clients wait; a longer one is refused with BADARGUMENTS",
    ),
    own(
        "ringkeeper.ephemeralsPerSessionMax",
        int(100),
        "20000",
        number!(own.ephemerals_per_session_max),
    )
    .about(
        "largest number of ephemeral nodes of a session, which are deleted in one piece while \
         all clients wait; a further create is refused with QUOTAEXCEEDED",
    ),
    own(
        "ringkeeper.connectionMemoryMax",
        Kind::IntOrAuto { min: 16 << 20, max: 1 << 40 },
        "auto",
        auto!(own.connection_memory_max),
    )
    .about(
        "unread replies and events, unanswered requests and unfinished frames of all connections \
             together; above three quarters of it the server closes the connections that have \
             held most for longest; auto: a \
             quarter of the memory that the process may use, at least 67108864 and 4 × jute.maxbuffer",
    )
    .unit("bytes"),
    own(
        "ringkeeper.watchMemoryMax",
        Kind::IntOrAuto { min: 1 << 20, max: 1 << 40 },
        "auto",
        auto!(own.watch_memory_max),
    )
    .about(
        "all watches together, with their paths; one connection may have a quarter of it; a watch beyond that is \
             refused with QUOTAEXCEEDED; auto: an eighth of the memory that the process may use, at least 67108864",
    )
    .unit("bytes"),
    own(
        "ringkeeper.watchesPerConnectionMax",
        prop_int(1),
        "1000000",
        number!(own.watches_per_connection_max),
    )
    .about("watches of one connection; a further one is refused with QUOTAEXCEEDED"),
    own("ringkeeper.allowLogGaps", Kind::Bool, "false", plain!(Bool, own.allow_log_gaps))
        .about(
            "start although transactions are missing in the middle of the log; meant for one \
             start, after a file was lost",
        )
        .verdict(log_gaps),
    own(
        "ringkeeper.peerAddressCheck",
        Kind::Choice(&["members", "strict", "off"]),
        "members",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                let check = PeerAddressCheck::ALL.into_iter();
                let mut check = check.filter(|check| check.name().eq_ignore_ascii_case(v));
                c.quorum.peer_address_check = check.next().unwrap_or(PeerAddressCheck::Members);
            }),
            get: |c| c.quorum.peer_address_check.name().to_owned(),
            about: "which servers may connect to the ports between servers; members: a server \
             that names the id of a member must come from an address to which a host of \
             that server.N line resolves; strict: other servers may not connect either; \
             off: addresses are not checked, as in ZooKeeper, for networks that translate \
             them",
            verdict: fine,
        }),
    ),
    own(
        "ringkeeper.filesReadableBy",
        Kind::Choice(&["owner", "group", "umask"]),
        "owner",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                let readers = READERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(v));
                let readers = readers.map_or(FilesReadableBy::Owner, |&(_, readers)| readers);
                c.own.files_readable_by = readers;
            }),
            get: |c| {
                let readers = c.own.files_readable_by;
                READERS.iter().find(|&&(_, it)| it == readers).map_or("owner", |&(name, _)| name).to_owned()
            },
            about: "which users may read the files that the server creates in its data folders; \
             owner: the user that runs it; group: also its group; umask: as the umask of \
             the process allows, as in ZooKeeper",
            verdict: fine,
        }),
    ),
    own(
        "ringkeeper.logFormat",
        Kind::Choice(&["text", "json"]),
        "text",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                let json = v.eq_ignore_ascii_case("json");
                c.own.log_format = if json { LogFormat::Json } else { LogFormat::Text };
            }),
            get: |c| {
                match c.own.log_format {
                    LogFormat::Text => "text",
                    LogFormat::Json => "json",
                }
                .to_owned()
            },
            about: "form of the log lines",
            verdict: fine,
        }),
    ),
    own(
        "ringkeeper.logLevel",
        Kind::Choice(&["off", "error", "warn", "info", "debug", "trace"]),
        "info",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                let level = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(v));
                c.own.log_level = level.map_or(LogLevel::Info, |&(_, level)| level);
            }),
            get: |c| {
                let name = LEVELS.iter().find(|&&(_, level)| level == c.own.log_level);
                name.map_or("info", |&(name, _)| name).to_owned()
            },
            about: "lowest level that is logged",
            verdict: fine,
        }),
    ),
];

const READERS: [(&str, FilesReadableBy); 3] = [
    ("owner", FilesReadableBy::Owner),
    ("group", FilesReadableBy::Group),
    ("umask", FilesReadableBy::Umask),
];

const LEVELS: [(&str, LogLevel); 6] = [
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
