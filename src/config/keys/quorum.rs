//! Rows of the keys about the ensemble: members, times of elections and of learners, the
//! synchronisation of learners.
//!
//! Most of them become `PeerOptions` and `EnsembleOptions` in `server::options::ensemble`. A standalone server
//! accepts all of them and acts on few, because the same file may be used on both.
//!
//! ```text
//! initLimit × tickTime                       to connect to a leader and be synchronised
//! connectToLearnerMasterLimit × tickTime     to reach the leader; 0: initLimit
//! syncLimit × tickTime                       silence of a learner; a new election connection without an id
//! cnxTimeout                                 one attempt to reach an election port
//! leaderConnectDelayDuringRetryMs            between two attempts to reach the leader
//! fastleader.min/maxNotificationInterval     until a vote is repeated, doubling
//! leader.maxTimeToWaitForEpoch               a leader without a quorum, while a voter still looks for one
//! observer.reconnectDelayMs, .election.DelayMs   an observer without a leader
//! ```
//! All of them but the ticks are in ms.

use std::path::PathBuf;

use super::super::server_line::PeerType;
use super::super::value::{Below, Form, Kind};
use super::{Acted, Fate, Key, Set, Theme, Unreadable, fine, int, prop_int, prop_long};

use super::row::*;

/// A row of a key of the file.
const fn quorum(name: &'static str, kind: Kind, default: &'static str, fate: Fate) -> Key {
    file(Theme::Quorum, name, kind, default, fate)
}

/// A row of a system property.
const fn property(name: &'static str, kind: Kind, default: &'static str, fate: Fate) -> Key {
    prop(Theme::Quorum, name, kind, default, fate)
}

/// A path that may be missing.
macro_rules! path {
    ($($field:ident).+) => {
        Fate::Acted(Acted {
            set: Set::Text(|config, value| config.$($field).+ = Some(PathBuf::from(value))),
            get: |config| {
                config.$($field).+.as_ref().map(|p| p.display().to_string()).unwrap_or_default()
            },
            about: "",
            verdict: fine,
        })
    };
}

pub(super) static KEYS: &[Key] = &[
    // ZooKeeper: QuorumPeerConfig.parseDynamicConfig, QuorumServer. The lines of a family are read by
    // config::members.
    // The number behind the dot is the server's id. The row's kind only says whether the line can be read.
    quorum("server.*", Kind::Server, "", together!(|c| c.quorum.servers.len().to_string())).about(
        "a member of the ensemble; a single participant runs standalone, unless \
         standaloneEnabled is false",
    ),
    // ZooKeeper: QuorumHierarchical.parse.
    quorum("group.*", Kind::Group, "", together!(|c| c.quorum.groups.len().to_string()))
        .about("a group of a hierarchical quorum"),
    // ZooKeeper: QuorumHierarchical.parse.
    // 0 is allowed: such a server votes without weight, and never leads (FastLeaderElection.totalOrderPredicate).
    quorum(
        "weight.*",
        Kind::Int { min: 0, max: i64::MAX, form: Form::Decimal, below: Below::Refuse },
        "",
        together!(|c| c.quorum.weights.len().to_string()),
    )
    .about("a server's weight in its group; 1 if not set"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: config::members and PeerOptions.
    // With false, one participant is an ensemble of one, which can grow by reconfiguration.
    quorum("standaloneEnabled", Kind::Bool, "true", plain!(Bool, quorum.standalone_enabled))
        .about("a single participant runs standalone"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: PeerOptions, PrepOptions and config::dynamic.
    quorum("reconfigEnabled", Kind::Bool, "false", plain!(Bool, quorum.reconfig_enabled)).about(
        "reconfig may change the ensemble, whose members the server then writes to separate \
         files; a standalone server refuses reconfig either way",
    ),
    // ZooKeeper: QuorumPeerConfig.parse. Here: config::members reads it, config::dynamic writes it.
    // Once a reconfiguration has been carried out, the server itself writes this key (config::dynamic).
    quorum(
        "dynamicConfigFile",
        Kind::Path,
        "",
        together!(|c| c
            .quorum
            .dynamic_config_file
            .as_ref()
            .map(|p| p.display().to_string())
            .unwrap_or_default()),
    )
    .about("file that lists the members; its name ends in their version"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. The next rows go to PeerOptions (server::options::ensemble).
    quorum("initLimit", int(0), "0", number!(quorum.init_limit))
        .about(
            "how long a learner may take to connect and to be synchronised; required in an \
                ensemble",
        )
        .unit("ticks"),
    // 0 means "not set" for both limits: config::members refuses it for a member.
    quorum("syncLimit", int(0), "0", number!(quorum.sync_limit))
        .about("how long a learner may be silent; required in an ensemble")
        .unit("ticks"),
    // ZooKeeper: QuorumPeerConfig.parseProperties, Learner.connectToLeader.
    quorum(
        "connectToLearnerMasterLimit",
        int(0),
        "0",
        number!(quorum.connect_to_learner_master_limit),
    )
    .about("how long a learner tries to reach its leader; 0: initLimit")
    .unit("ticks"),
    // ZooKeeper: QuorumPeerConfig.parseProperties accepts only 3. The value has no field here: only the setting
    // itself is kept, to be shown.
    quorum(
        "electionAlg",
        Kind::Int { min: 3, max: 3, form: Form::Decimal, below: Below::Refuse },
        "3",
        together!(|c| c
            .settings()
            .find(|(key, _)| *key == "electionAlg")
            .map_or("", |_| "3")
            .to_owned()),
    )
    .about("the election algorithm; there is only one, as in ZooKeeper"),
    // ZooKeeper: QuorumPeerConfig.parseProperties. Here: PeerOptions.
    quorum("quorumListenOnAllIPs", Kind::Bool, "false", plain!(Bool, quorum.listen_on_all_ips))
        .about("listen at every address on the ports between servers"),
    // ZooKeeper: QuorumPeerConfig.parseProperties, setupPeerType. Here: config::members sets it to what the list of
    // members says.
    quorum(
        "peerType",
        Kind::Choice(&["participant", "observer"]),
        "participant",
        Fate::Acted(Acted {
            set: Set::Text(|c, v| {
                let observer = v.eq_ignore_ascii_case("observer");
                c.quorum.peer_type =
                    Some(if observer { PeerType::Observer } else { PeerType::Participant });
            }),
            get: |c| c.quorum.peer_type.unwrap_or_default().to_string(),
            about: "this server's role; where the list of servers says something else, the list \
                    counts",
            verdict: fine,
        }),
    ),
    // ZooKeeper: QuorumPeerConfig.parseProperties, and ObserverZooKeeperServer. Here: ReplicaOptions.
    quorum("syncEnabled", Kind::Bool, "true", plain!(Bool, quorum.sync_enabled))
        .about("an observer keeps a transaction log and takes snapshots"),
    // ZooKeeper: QuorumPeer looks at this property first. A field of its own keeps "not set" apart from false.
    property(
        "observer.syncEnabled",
        Kind::Bool,
        "",
        Fate::Acted(Acted {
            set: Set::Bool(|c, v| c.quorum.observer_sync_enabled = Some(v)),
            get: |c| c.quorum.observer_sync_enabled.map(|v| v.to_string()).unwrap_or_default(),
            about: "the same as syncEnabled, which it overrides",
            verdict: fine,
        }),
    ),
    // ZooKeeper: QuorumPeerConfig.parseProperties, ObserverMaster. Here: PeerOptions.
    // ZooKeeper: a number of 0 or less counts as not set.
    quorum(
        "observerMasterPort",
        Kind::Int { min: i32::MIN as i64, max: 65_535, form: Form::Decimal, below: Below::Refuse },
        "0",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| {
                c.quorum.observer_master_port = u16::try_from(v).ok().filter(|&port| port > 0);
            }),
            get: |c| c.quorum.observer_master_port.unwrap_or(0).to_string(),
            about: "port on which observers may learn from this server while it is a follower; 0 \
             or less: none",
            verdict: fine,
        }),
    ),
    // ZooKeeper: QuorumPeerConfig.parseProperties, QuorumOracleMaj. Here: EnsembleOptions.
    quorum("oraclePath", Kind::Text, "", path!(quorum.oracle_path))
        .about("file into which an outside witness writes 1 to let one of two servers continue \
         alone"),
    // With false, a line with several addresses is an error, here and in ZooKeeper.
    property(
        "multiAddress.enabled",
        Kind::Bool,
        "false",
        plain!(Bool, quorum.multi_address_enabled),
    )
    .about("a server may have several addresses; 3.5 and older do not understand it")
    // ZooKeeper: QuorumPeerConfig reads this property itself where it stands in the file.
    .unreadable(Unreadable::Refused),
    // ZooKeeper: QuorumCnxManager.
    property("cnxTimeout", int(0), "5000", number!(quorum.cnx_timeout_ms))
        .about("how long connecting to an election port may take")
        .unit("ms"),
    // ZooKeeper: QuorumPeer, for the sockets of QuorumCnxManager.
    property(
        "quorumCnxnTimeoutMs",
        prop_int(-1),
        "-1",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| {
                c.quorum.quorum_cnxn_timeout_ms = u32::try_from(v).ok().filter(|&ms| ms > 0);
            }),
            get: |c| c.quorum.quorum_cnxn_timeout_ms.map_or("-1".to_owned(), |v| v.to_string()),
            about: "how long a new connection on the election port may take to send its id; 0 and \
                    -1: syncLimit",
            verdict: fine,
        }),
    )
    .unit("ms"),
    // ZooKeeper: QuorumCnxManager.Listener. Here: net::links::LinkOptions, for the quorum port as well.
    // ZooKeeper: the loop ends after that many attempts at each address.
    property(
        "electionPortBindRetry",
        prop_int(0),
        "3",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| {
                c.quorum.election_port_bind_retry = u32::try_from(v).ok().filter(|&n| n > 0);
            }),
            get: |c| c.quorum.election_port_bind_retry.unwrap_or(0).to_string(),
            about: "attempts to listen on the ports between servers; 0: until it works",
            verdict: fine,
        }),
    ),
    // ZooKeeper: FastLeaderElection reads these two.
    property(
        "fastleader.minNotificationInterval",
        prop_int(1),
        "200",
        number!(quorum.min_notification_interval_ms),
    )
    .about("shortest time until a vote is repeated")
    .unit("ms"),
    // The time between two votes doubles up to this. config::members refuses a maximum below the minimum.
    property(
        "fastleader.maxNotificationInterval",
        prop_int(1),
        "60000",
        number!(quorum.max_notification_interval_ms),
    )
    .about("longest time until a vote is repeated")
    .unit("ms"),
    // ZooKeeper: Leader.
    // ZooKeeper: -1 switches reportLookingSid off, and the leader waits for initLimit. Here it means two ticks.
    property(
        "leader.maxTimeToWaitForEpoch",
        prop_int(-1),
        "-1",
        Fate::Acted(Acted {
            set: Set::Int(|c, v| c.quorum.max_time_to_wait_for_epoch_ms = u32::try_from(v).ok()),
            get: |c| {
                c.quorum.max_time_to_wait_for_epoch_ms.map_or("-1".to_owned(), |v| v.to_string())
            },
            about: "how long a leader waits for a quorum to follow it while a voter still looks for a leader; -1: two ticks; \
                    initLimit at most",
            verdict: fine,
        }),
    )
    .unit("ms"),
    // ZooKeeper: Learner.
    property(
        "leaderConnectDelayDuringRetryMs",
        prop_int(0),
        "100",
        number!(quorum.leader_connect_delay_ms),
    )
    .about("time between two attempts to reach the leader")
    .unit("ms"),
    // ZooKeeper: Leader compares with the word "no". Here: ReplicaOptions.
    property("leaderServes", Kind::YesNo, "yes", yes_no!(quorum.leader_serves))
        .about("a leader serves clients"),
    // ZooKeeper: LearnerMaster reads these two, for LearnerSyncThrottler.
    property(
        "leader.maxConcurrentSnapSyncs",
        prop_int(1),
        "10",
        number!(quorum.max_concurrent_snap_syncs),
    )
    .about("observers that may get the whole tree at the same time"),
    property(
        "leader.maxConcurrentDiffSyncs",
        prop_int(1),
        "100",
        number!(quorum.max_concurrent_diff_syncs),
    )
    .about("observers that may get a DIFF at the same time"),
    // ZooKeeper: Observer reads these two.
    property(
        "observer.reconnectDelayMs",
        prop_long(0),
        "0",
        number!(quorum.observer_reconnect_delay_ms),
    )
    .about("time that an observer waits before it looks for a leader again")
    .unit("ms"),
    property(
        "observer.election.DelayMs",
        prop_long(0),
        "200",
        number!(quorum.observer_election_delay_ms),
    )
    .about("longest time that an observer waits before it asks the other servers for the leader")
    .unit("ms"),
    // ZooKeeper: ObserverMaster.
    property(
        "observerMaster.sizeLimit",
        prop_int(0),
        "33554432",
        number!(quorum.observer_master_size_limit),
    )
    .about("proposals that a follower keeps for its observers")
    .unit("bytes"),
    // ZooKeeper: QuorumCnxManager. Here: net::links::LinkOptions, for the quorum port as well.
    property("tcpKeepAlive", Kind::Bool, "false", plain!(Bool, quorum.tcp_keep_alive))
        .about("TCP keep-alive on connections between servers"),
    // ZooKeeper: ZKDatabase. Here: EnsembleOptions; its sign goes to PeerOptions.
    // ZooKeeper: above 1 it takes its default, below 0 it never reads the log for a learner.
    property(
        "snapshotSizeFactor",
        Kind::Float { min: -1e9, max: 1.0 },
        "0.33",
        plain!(Float, quorum.snapshot_size_factor),
    )
    .about(
        "share of a snapshot's size up to which a learner gets transactions of the log instead of \
         the whole tree; below 0: never from the log",
    ),
    // ZooKeeper: LearnerHandler.
    property("forceSnapshotSync", Kind::Bool, "false", plain!(Bool, quorum.force_snapshot_sync))
        .about("every learner gets the whole tree"),
    // ZooKeeper: Leader.
    // ZooKeeper: Leader.lead puts it into the low half of the zxid when it begins to serve.
    property(
        "testingonly.initialZxid",
        Kind::Int { min: 0, max: u32::MAX as i64, form: Form::Decimal, below: Below::Refuse },
        "0",
        number!(quorum.initial_zxid),
    )
    .about("counter of the first zxid of an epoch, to test what happens at its end"),
    // ZooKeeper: ZKDatabase, which takes 500 for anything less. Here: PeerOptions and RecoveryOptions.
    // ZooKeeper: Integer.parseInt, so no base prefix.
    property(
        "commitLogCount",
        Kind::Int { min: 500, max: i32::MAX as i64, form: Form::Decimal, below: Below::Take(500) },
        "500",
        number!(quorum.commit_log_count),
    )
    .about("committed transactions kept in memory for learners; fewer if they are long, 128 MiB \
     at most")
    .unit("transactions"),
];
