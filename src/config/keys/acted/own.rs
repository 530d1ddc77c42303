//! Rows of the keys that only Ringkeeper has.
//!
//! A bound here is one that ZooKeeper does not have, with a default that no usual client reaches; `limits` has the
//! reasons for the numbers. docs/configuration.md explains the others.
//!
//! ```text
//! beyond the bound of                        a client sees
//! aclEntriesMax                              INVALIDACL
//! multiOperationsMax                         BADARGUMENTS
//! multiReadReplyBytesMax                     BADARGUMENTS
//! ephemeralsPerSessionMax                    QUOTAEXCEEDED
//! watchesPerConnectionMax, watchMemoryMax    QUOTAEXCEEDED
//! connectionMemoryMax                        the end of its connection, if it holds most
//! outputBytesPerConnectionMax                nothing: its next requests wait until it has read
//! requestBytesInFlightMax                    nothing: it is not read until others have their answers
//! ```

use super::super::row::*;
use super::super::{Acted, Fate, Key, Set, fine, int, prop_int};
use crate::config::quorum::PeerAddressCheck;
use crate::config::settings::{FilesReadableBy, LogFormat, LogLevel};
use crate::config::value::{Below, Form, Kind};

pub(in crate::config::keys) static KEYS: &[Key] = &[
    // Here: server::wiring, which decides between one executor for everything and executors for connections.
    own("ringkeeper.cores", Kind::IntOrAuto { min: 1, max: 1024 }, "auto", auto!(own.cores))
        .about("number of executors, which are threads that handle connections, the data, or both"),
    // Here: server::wiring.
    own("ringkeeper.pin", Kind::Bool, "true", plain!(Bool, own.pin))
        .about("bind each executor to a core, if there are several executors and a core for each"),
    // Here: server::wiring. To poll costs time of a processor and saves a wake-up.
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
    // Here: server::stalls.
    // A limit on what is logged, not on what may happen: nothing is interrupted.
    own(
        "ringkeeper.stallMillis",
        Kind::Int { min: 0, max: 60_000, form: Form::Decimal, below: Below::Refuse },
        "5",
        number!(own.stall_millis),
    )
    .about("count and log each time that no client was served for this long; 0: never")
    .unit("ms"),
    // Here: txnlog::WriterOptions. Without it a large tree that changes little is written again and again.
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
    // Here: net::NetOptions and ReplicaOptions.
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
    // Here: net::NetOptions. Its default grows with jute.maxbuffer, so config::finish stores it.
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
    // Here: processor::read::Reader. A multiRead of some hundred bytes may name nodes of any size.
    own(
        "ringkeeper.multiReadReplyBytesMax",
        bytes(1_048_576),
        "67108864",
        number!(own.multi_read_reply_bytes_max),
    )
    .about("largest reply to one multiRead; a larger one is refused with BADARGUMENTS")
    .unit("bytes"),
    // Here: processor::PrepOptions.
    own(
        "ringkeeper.aclEntriesMax",
        Kind::Int { min: 1, max: 1_000_000, form: Form::Decimal, below: Below::Refuse },
        "1024",
        number!(own.acl_entries_max),
    )
    .about("entries of an ACL that a client gives; a longer one is refused with INVALIDACL"),
    // Here: replica::requests, before anything is prepared.
    // A plan for a multi holds all its changes until the end, and no other request is served meanwhile.
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
    // Here: processor::PrepOptions.
    // The same for the end of a session.
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
    // Here: net::Budget. `auto` is decided in server::options::bounds, which knows the memory of the process.
    // config::finish refuses a bound below four of the longest frames: it would close connections that do nothing
    // wrong.
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
    // Here: watch::WatchBounds, and `auto` likewise.
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
    // Here: watch::WatchBounds.
    own(
        "ringkeeper.watchesPerConnectionMax",
        prop_int(1),
        "1000000",
        number!(own.watches_per_connection_max),
    )
    .about("watches of one connection; a further one is refused with QUOTAEXCEEDED"),
    // Here: RecoveryOptions.
    own("ringkeeper.allowLogGaps", Kind::Bool, "false", plain!(Bool, own.allow_log_gaps))
        .about(
            "start although transactions are missing in the middle of the log; meant for one \
             start, after a file was lost",
        )
        .verdict(log_gaps),
    // Here: net::links, whose enum of the same name has the same three values.
    // "members" is the default here, while a set of links that is made without options checks nothing.
    own(
        "ringkeeper.peerAddressCheck",
        Kind::Choice(&["members", "strict", "off"]),
        "members",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                // The kind of the row has accepted the word in either case, so one of them matches.
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
    // Here: server::start, which sets the umask of the process or leaves it.
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
    // Here: server::start.
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
    // Here: server::start.
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

/// The words of `ringkeeper.filesReadableBy`.
const READERS: [(&str, FilesReadableBy); 3] = [
    ("owner", FilesReadableBy::Owner),
    ("group", FilesReadableBy::Group),
    ("umask", FilesReadableBy::Umask),
];

/// The words of `ringkeeper.logLevel`.
const LEVELS: [(&str, LogLevel); 6] = [
    ("off", LogLevel::Off),
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
