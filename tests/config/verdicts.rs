//! What ZooKeeper makes of the same files and of their syntax, from recordings.

use super::*;

/// Lines added to a minimal file; whether `QuorumPeerConfig` of ZooKeeper 3.9.4 makes a standalone server of them
/// (recorded); whether Ringkeeper does; and why, if the two differ.
const VERDICTS: &[(&str, bool, bool, &str)] = &[
    ("", true, true, ""),
    ("server.1=a:1:2\nserver.2=b:1:2:observer", false, false, ""),
    ("server.2=b:1:2:observer", false, false, ""),
    ("standaloneEnabled=false", false, false, ""),
    ("server.1=a:1:2\nstandaloneEnabled=false", false, false, ""),
    ("server.principal=x", false, false, ""),
    ("clientPortAddress=", true, true, ""),
    ("tickTime=0", false, false, ""),
    ("tickTime=-5", false, false, ""),
    ("minSessionTimeout=60001", false, false, ""),
    ("minSessionTimeout=-7", true, false, "a negative time is surely a slip"),
    ("autopurge.purgeInterval=1h", false, true, "3.10 has units"),
    ("clientPort=0", true, true, ""),
    ("clientPort=65536", false, false, ""),
    ("weight.1=3\ngroup.1=1:2", false, false, ""),
    ("groupies=1", false, true, "an unknown key is ignored with a line"),
    ("weighty=1", false, true, "an unknown key is ignored with a line"),
    ("version=zz", false, true, "an unknown key is ignored with a line"),
    ("server.1=a:1:2;3;4", false, false, ""),
    ("server.1=a:1:2;", true, true, ""),
    ("server.1=[::1]:1:2;[::1]:3", true, true, ""),
    ("server.1=a:1", false, false, ""),
    ("server.-1=a:1:2", true, false, "a negative id is surely a slip"),
    ("server.1=a:1:2:foo", false, false, ""),
    ("server.1=a:1:70000", false, false, ""),
    ("server.1=a: 1:2", false, false, ""),
    ("server.1=a:1:1", false, false, ""),
    ("server.1=a:1:2|b:1:2", false, true, "a standalone server opens none of them"),
    ("maxClientCnxns=-1", true, true, ""),
    ("=5", true, true, ""),
    ("server=1", true, true, ""),
    ("serverfoo=1", true, true, ""),
    ("metricsProvider.className=Nope", false, true, "no class is loaded here"),
    ("secureClientPortAddress=1.2.3.4", false, false, ""),
    ("electionAlg=2", false, false, ""),
    ("quorum.auth.serverRequireSasl=true", false, false, ""),
    (
        "tickTime=200000000",
        false,
        true,
        "20 ticks overflow an int there; here the int's end is taken",
    ),
    ("clientPortListenBacklog=-5", true, true, ""),
    ("multiAddress.reachabilityCheckTimeoutMs=0", true, true, ""),
    ("peerType=Observer", true, true, ""),
    ("dataDir=", false, false, ""),
    ("localSessionsEnabled=yes", false, false, ""),
    ("maxClientCnxns=0x10", false, false, ""),
    ("maxCnxns=0x10", true, true, ""),
    ("snapCount=x", true, false, "ZooKeeper takes the default without a word"),
    ("digest.enabled=yes", true, false, "ZooKeeper takes it for false without a word"),
];

#[test]
fn verdicts_are_zookeeper_s_except_where_a_reason_says_why_not() {
    for &(lines, theirs, ours, reason) in VERDICTS {
        let examination = cfg(lines);
        assert_eq!(examination.errors.is_empty(), ours, "{lines}: {:#?}", examination.errors);
        assert_eq!(theirs == ours, reason.is_empty(), "{lines}");
    }
}

// Syntax.

#[test]
fn properties_are_read_as_a_real_jvm_read_them() {
    // Recorded from java.util.Properties of OpenJDK 17 on seeded random input.
    let mut failures = 0;
    for line in include_str!("java_properties.jsonl").lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let input: Vec<u8> = record["input"]
            .as_str()
            .unwrap()
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        let mut pairs = serde_json::Map::new();
        let mut malformed = false;
        for item in properties::read(&input) {
            match item {
                Item::Pair { key, value, .. } => {
                    pairs.insert(key, value.into());
                }
                Item::Malformed { .. } => malformed = true,
                Item::Comment { .. } => {}
            }
        }
        let ours = if malformed { serde_json::Value::Null } else { pairs.into() };
        if ours != record["pairs"] {
            failures += 1;
            eprintln!("{line}\n  ours: {ours}");
        }
    }
    assert_eq!(failures, 0);
}
