//! Every key of the configuration reaches the part that acts on it, and the parts share the bounds of the process.

use std::path::Path;

use super::*;
use crate::config::keys::{self, Fate};
use crate::net::Budget;
use crate::runtime::MemoryOfProcess;

/// The line of a key, and further lines without which the key has no effect. Each must change the options of some
/// part.
const TOLD: &[(&str, &str)] = &[
    ("db.autocreate=false", ""),
    ("ringkeeper.watchMemoryMax=7777777", ""),
    ("ringkeeper.watchesPerConnectionMax=77", ""),
    ("reconfigEnabled=true", ""),
    ("X509AuthenticationProvider.superUser=CN=root", ""),
    ("snapCount=77", ""),
    ("snapSizeLimitInKb=77", ""),
    ("txnLogSizeLimitInKb=77", ""),
    ("preAllocSize=77", ""),
    ("forceSync=no", ""),
    ("fsync.warningthresholdms=77", ""),
    ("snapshot.trust.empty=true", ""),
    ("digest.enabled=false", ""),
    ("serializeLastProcessedZxid.enabled=false", ""),
    ("closeSessionTxn.enabled=false", ""),
    ("maxClientCnxns=77", ""),
    ("maxCnxns=77", ""),
    ("nio.sessionlessCnxnTimeout=77", ""),
    ("ringkeeper.jute.maxbuffer=7777", ""),
    ("jute.maxbuffer.extrasize=7777", ""),
    ("tickTime=777", ""),
    ("minSessionTimeout=777", ""),
    ("maxSessionTimeout=77777", ""),
    ("globalOutstandingLimit=77", ""),
    ("request_throttle_max_requests=77", ""),
    ("largeRequestMaxBytes=7777", ""),
    ("largeRequestThreshold=777", ""),
    ("connection_throttle_tokens=77", ""),
    ("connection_throttle_fill_time=77", ""),
    ("connection_throttle_fill_count=77", ""),
    ("connection_throttle_freeze_time=77", ""),
    ("connection_throttle_drop_increase=0.5", ""),
    ("connection_throttle_drop_decrease=0.5", ""),
    ("connection_throttle_decrease_ratio=0.5", ""),
    ("connection_throttle_weight_enabled=true", ""),
    ("connection_throttle_global_session_weight=77", WEIGHED),
    ("connection_throttle_local_session_weight=77", WEIGHED),
    ("connection_throttle_renew_session_weight=77", WEIGHED),
    ("skipACL=yes", ""),
    ("DigestAuthenticationProvider.enabled=false", ""),
    ("DigestAuthenticationProvider.digestAlg=SHA-256", ""),
    ("DigestAuthenticationProvider.superDigest=super:x", ""),
    ("enforce.auth.enabled=true", "enforce.auth.schemes=digest"),
    ("enforce.auth.schemes=ip", "enforce.auth.enabled=true\nenforce.auth.schemes=digest"),
    ("authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider", ""),
    (
        "ensembleAuthName=ours",
        "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider",
    ),
    ("ringkeeper.java.security.auth.login.config=/jaas.conf", ""),
    ("sasl.serverconfig=Other", LOGIN),
    ("sessionRequireClientSASLAuth=true", LOGIN),
    ("superUser=bob", LOGIN),
    ("superUser.1=bob", LOGIN),
    ("allowSaslFailedClients=true", LOGIN),
    ("letAnySaslUserDoX=x", ""),
    ("kerberos.removeHostFromPrincipal=true", LOGIN),
    ("kerberos.removeRealmFromPrincipal=true", LOGIN),
    ("security.auth_to_local=RULE:[1:$1]", LOGIN),
    ("quorum.auth.enableSasl=true", LOGIN),
    ("quorum.auth.learnerRequireSasl=true", LOGINS_BETWEEN),
    ("quorum.auth.serverRequireSasl=true", MUTUAL),
    ("quorum.auth.learner.saslLoginContext=OtherLearner", MUTUAL),
    ("quorum.auth.server.saslLoginContext=Other", MUTUAL),
    ("extendedTypesEnabled=true", ""),
    ("emulate353TTLNodes=true", ""),
    ("enforceQuota=true", ""),
    ("audit.enable=true", ""),
    ("ringkeeper.audit.file=/a", "audit.enable=true"),
    ("ringkeeper.audit.fileBytesMax=7777777", "audit.enable=true"),
    ("ringkeeper.audit.filesKept=77", "audit.enable=true"),
    ("ringkeeper.znode.container.checkIntervalMs=77", ""),
    ("ringkeeper.znode.container.maxPerMinute=77", ""),
    ("ringkeeper.znode.container.maxNeverUsedIntervalMs=77", ""),
    ("ringkeeper.snapshotSharePercent=77", ""),
    ("ringkeeper.outputBytesPerConnectionMax=77777", ""),
    ("ringkeeper.requestBytesInFlightMax=7777777", ""),
    ("ringkeeper.multiReadReplyBytesMax=7777777", ""),
    ("ringkeeper.aclEntriesMax=77", ""),
    ("ringkeeper.multiOperationsMax=7777", ""),
    ("ringkeeper.ephemeralsPerSessionMax=7777", ""),
    ("ringkeeper.allowLogGaps=true", ""),
    ("localSessionsEnabled=true", ""),
    ("localSessionsUpgradingEnabled=true", ""),
    ("ringkeeper.readonlymode.enabled=true", ""),
    ("enableEagerACLCheck=true", ""),
    ("server.4=d:1:2", ENSEMBLE),
    ("group.1=1:2:3", ENSEMBLE),
    (
        "weight.1=2",
        "group.1=1:2:3\nserver.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n\
                    initLimit=5\nsyncLimit=2",
    ),
    ("standaloneEnabled=false", ENSEMBLE),
    ("initLimit=77", ENSEMBLE),
    ("syncLimit=77", ENSEMBLE),
    ("connectToLearnerMasterLimit=77", ENSEMBLE),
    ("quorumListenOnAllIPs=true", ENSEMBLE),
    ("peerType=observer", ENSEMBLE),
    ("syncEnabled=false", ENSEMBLE),
    ("observer.syncEnabled=false", ENSEMBLE),
    ("observerMasterPort=77", ENSEMBLE),
    ("oraclePath=/o", ENSEMBLE),
    ("multiAddress.enabled=true", ENSEMBLE),
    ("cnxTimeout=77", ENSEMBLE),
    ("quorumCnxnTimeoutMs=77", ENSEMBLE),
    ("electionPortBindRetry=77", ENSEMBLE),
    ("ringkeeper.peerAddressCheck=strict", ENSEMBLE),
    ("fastleader.minNotificationInterval=77", ENSEMBLE),
    ("fastleader.maxNotificationInterval=777", ENSEMBLE),
    ("leader.maxTimeToWaitForEpoch=77", ENSEMBLE),
    ("leaderConnectDelayDuringRetryMs=77", ENSEMBLE),
    ("leaderServes=no", ENSEMBLE),
    ("leader.maxConcurrentSnapSyncs=77", ENSEMBLE),
    ("leader.maxConcurrentDiffSyncs=77", ENSEMBLE),
    ("observer.reconnectDelayMs=77", ENSEMBLE),
    ("observer.election.DelayMs=77", ENSEMBLE),
    ("observerMaster.sizeLimit=77", ENSEMBLE),
    ("tcpKeepAlive=true", ENSEMBLE),
    ("snapshotSizeFactor=-1", ENSEMBLE),
    ("forceSnapshotSync=true", ENSEMBLE),
    ("testingonly.initialZxid=77", ENSEMBLE),
    ("commitLogCount=777", ENSEMBLE),
];

const ENSEMBLE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n\
                        initLimit=5\nsyncLimit=2";

const WEIGHED: &str = "connection_throttle_tokens=5\nconnection_throttle_weight_enabled=true";

const LOGINS_BETWEEN: &str = "ringkeeper.java.security.auth.login.config=/jaas.conf\n\
     authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nquorum.auth.enableSasl=true";

const MUTUAL: &str = "ringkeeper.java.security.auth.login.config=/jaas.conf\n\
     authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\nquorum.auth.enableSasl=true\n\
     quorum.auth.learnerRequireSasl=true";

const LOGIN: &str = "ringkeeper.java.security.auth.login.config=/jaas.conf\n\
                     authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";

/// The file `/jaas.conf`.
const JAAS: &[u8] =
    b"Server { org.apache.zookeeper.server.auth.DigestLoginModule required user_bob=\"b\"; };
    Other { org.apache.zookeeper.server.auth.DigestLoginModule required user_al=\"a\"; };
    QuorumServer { org.apache.zookeeper.server.auth.DigestLoginModule required user_s=\"s\"; };
    QuorumLearner { org.apache.zookeeper.server.auth.DigestLoginModule required username=s password=s; };
    OtherLearner { org.apache.zookeeper.server.auth.DigestLoginModule required username=t password=s; };";

/// Keys that the start of the process takes from the configuration itself, or that decide between a standalone
/// server and an ensemble.
const TAKEN_BY_THE_START: &[&str] = &[
    "dataDir",
    "dataLogDir",
    "datadir.autocreate",
    "autopurge.snapRetainCount",
    "autopurge.purgeInterval",
    "clientPort",
    "clientPortAddress",
    "clientPortListenBacklog",
    "clientTcpKeepAlive",
    "secureClientPort",
    "secureClientPortAddress",
    "client.portUnification",
    "client.certReload",
    "portUnification",
    "sslQuorum",
    "sslQuorumReloadCertFiles",
    "netty.server.outstandingHandshake.limit",
    "4lw.commands.whitelist",
    "admin.enableServer",
    "admin.serverAddress",
    "admin.serverPort",
    "admin.idleTimeout",
    "admin.commandURL",
    "metricsProvider.className",
    "metricsProvider.httpHost",
    "metricsProvider.httpPort",
    "audit.impl.class",
    "electionAlg",
    "dynamicConfigFile",
    "ringkeeper.cores",
    "ringkeeper.pin",
    "ringkeeper.spinMicros",
    "ringkeeper.stallMillis",
    "ringkeeper.connectionMemoryMax",
    "ringkeeper.filesReadableBy",
    "ringkeeper.logFormat",
    "ringkeeper.logLevel",
    // They refuse a start, and change none.
    "fips-mode",
    "requireKerberosConfig",
    // Only a section for Kerberos shows it, which a program without Kerberos refuses.
    "quorum.auth.kerberos.servicePrincipal",
    // No debug text shows what it changes.
    "SASLAuthenticationProvider.superPassword",
];

fn unbounded() -> Budget {
    Budget::new(u64::MAX, 1)
}

/// The options of all parts, as debug text.
fn told(lines: &str) -> String {
    let text = format!("dataDir=/d\nclientPort=1\n{lines}\n");
    let format = config::Format::ZooCfg;
    let file = config::SourceFile { name: "zoo.cfg", bytes: text.as_bytes(), format };
    let sources = config::Sources { file: Some(file), flags: &[], properties: &[] };
    let mut jaas = |path: &Path| Ok((path == Path::new("/jaas.conf")).then(|| JAAS.to_vec()));
    // A member of an ensemble would look for its id.
    let read_file = lines.contains("/jaas.conf").then_some(&mut jaas as config::ReadFile<'_>);
    let config = config::examine(sources, read_file).into_result().expect(lines);
    let device = LogDevice { direct: true, block_bytes: 512 };
    let replica = replica(&config, device).expect("built in");
    let (net, census) = (net(&config, 1, &unbounded()), census(&config, 1000));
    let (peer, ensemble) = (peer(&config, ServerId(1)), config.quorum.ensemble());
    let logins = logins(&config).expect("the sections are there");
    let between = between_servers(&config);
    let (recovery, audit) = (recovery(&config, 1), audit(&config));
    format!(
        "{replica:?}{net:?}{census:?}{recovery:?}{peer:?}{ensemble:?}{between:?}{audit:?}{logins:?}"
    )
}

#[test]
fn every_key_that_is_acted_on_reaches_a_part() {
    for (line, context) in TOLD {
        assert_ne!(told(&format!("{context}\n{line}")), told(context), "{line}");
    }
}

#[test]
fn no_key_that_is_acted_on_is_forgotten_here() {
    for key in keys::all().filter(|key| matches!(key.fate, Fate::Acted(_))) {
        let named = |line: &str| {
            let written = line.split('=').next().expect("a line");
            let bare = written.strip_prefix(keys::OWN_PREFIX).unwrap_or(written);
            [written, bare]
                .into_iter()
                .any(|name| keys::find(name).is_some_and(|k| k.name == key.name))
        };
        let told = TOLD.iter().any(|(line, _)| named(line));
        // The stores and the rules of TLS reach rustls, and no options.
        let bare = key.name.strip_prefix(keys::OWN_PREFIX).unwrap_or(key.name);
        let is_taken = TAKEN_BY_THE_START.contains(&key.name) || bare.starts_with("ssl.");
        assert!(told != is_taken, "{}", key.name);
    }
}

#[test]
fn limits_are_shared_by_the_cores_and_the_smaller_one_counts() {
    let config = |lines: &str| {
        let text = format!("dataDir=/d\nclientPort=1\n{lines}");
        config::parse(text.as_bytes(), "zoo.cfg").expect("a configuration")
    };
    let max = |lines, cores| net(&config(lines), cores, &unbounded()).requests_outstanding_max;
    assert_eq!(max("", 4), 250);
    assert_eq!(max("request_throttle_max_requests=80\n", 4), 20);
    assert_eq!(max("request_throttle_max_requests=8000\n", 1), 1000);
    assert_eq!(max("globalOutstandingLimit=1\n", 4), 1);
    assert_eq!(max(&format!("{ENSEMBLE}\n"), 1), 1000, "it is not known to vote");
    let mut voter = config(ENSEMBLE);
    voter.quorum.my_id = Some(3);
    assert_eq!(net(&voter, 1, &unbounded()).requests_outstanding_max, 500);
    voter.quorum.my_id = Some(4);
    assert_eq!(net(&voter, 1, &unbounded()).requests_outstanding_max, 1000);
    let snapshot = |lines| {
        let device = LogDevice { direct: true, block_bytes: 512 };
        let options = replica(&config(lines), device).expect("built in").snapshot;
        (options.digest, options.last_zxid)
    };
    assert_eq!(snapshot(""), (true, true));
    assert_eq!(snapshot("digest.enabled=false\n"), (false, true));
    assert_eq!(snapshot("serializeLastProcessedZxid.enabled=false\n"), (true, false));
}

#[test]
fn connections_may_hold_a_quarter_of_the_memory_and_not_too_little() {
    let budget = |lines: &str, mib: Option<u64>| {
        let text = format!("dataDir=/d\nclientPort=1\n{lines}");
        let config = config::parse(text.as_bytes(), "zoo.cfg").expect("a configuration");
        let source = "memory.max of its control group";
        let memory = mib.map(|mib| MemoryOfProcess { bytes: mib << 20, source });
        let (budget, said) = budget(&config, memory, 1);
        (budget.bytes_max() >> 20, said)
    };
    let (mib, said) = budget("", Some(8192));
    assert_eq!(mib, 2048);
    assert!(said.contains("2048 MiB"), "{said}");
    assert!(
        said.contains("(a quarter of the 8192 MiB of memory.max of its control group)"),
        "{said}"
    );
    assert_eq!(budget("", Some(100)).0, 64);
    assert_eq!(budget("", None).0, 64);
    assert_eq!(budget("ringkeeper.jute.maxbuffer=104857600\n", Some(100)).0, 400);
    assert_eq!(budget("ringkeeper.connectionMemoryMax=20971520\n", Some(8192)).0, 20);
}

#[test]
fn the_largest_reply_fits_a_connection() {
    for bytes in ["1048576", "67108864", "1099511627776"] {
        let line = format!("dataDir=/d\nclientPort=1\nringkeeper.multiReadReplyBytesMax={bytes}");
        let config = config::parse(line.as_bytes(), "zoo.cfg").expect("a configuration");
        assert!(unsent_bytes_max(&config) > clamp(config.own.multi_read_reply_bytes_max));
    }
}
