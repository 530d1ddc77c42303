//! Configuration files as operators write them: whole files, every error, every range, and each key in both formats.

use std::collections::BTreeMap;
use std::path::Path;

use ringkeeper::config::keys::{self, Fate, Key, Place};
use ringkeeper::config::properties::{self, Item};
use ringkeeper::config::value::{Below, Kind};
use ringkeeper::config::{
    Config, ConfigError, Examination, Format, Level, Listen, ListenHost, LogFormat, Problem,
    SourceFile, Sources, Whitelist, convert, examine, parse,
};

#[path = "config/command_line.rs"]
mod command_line;
#[path = "config/ensembles.rs"]
mod ensembles;
#[path = "config/every_key.rs"]
mod every_key;
#[path = "config/logins_between.rs"]
mod logins_between;
#[path = "config/random.rs"]
mod random;
#[path = "config/refusals.rs"]
mod refusals;
#[path = "config/sasl.rs"]
mod sasl;
#[path = "config/standing.rs"]
mod standing;
#[path = "config/tls.rs"]
mod tls;
#[path = "config/verdicts.rs"]
mod verdicts;

/// A minimal valid configuration, to which a test adds its line.
const LEAST: &str = "dataDir=/d\nclientPort=2181\n";

fn cfg(lines: &str) -> Examination {
    cfg_with(lines, &[], &[])
}

/// Examines a `zoo.cfg` with `-D` words and with the files that it names.
fn cfg_with(lines: &str, flags: &[(&str, &str)], files: &[(&str, &str)]) -> Examination {
    let text = format!("{LEAST}{lines}");
    file_with("zoo.cfg", &text, flags, files)
}

fn file_with(
    name: &str,
    text: &str,
    flags: &[(&str, &str)],
    files: &[(&str, &str)],
) -> Examination {
    let file = SourceFile { name, bytes: text.as_bytes(), format: Format::of_name(name) };
    let mut read = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new(name) == path);
        Ok(found.map(|(_, text)| text.as_bytes().to_vec()))
    };
    examine(Sources { file: Some(file), flags, properties: &[] }, Some(&mut read))
}

fn good(examination: Examination) -> Config {
    examination.into_result().unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// The only error of an examination.
fn error(examination: Examination) -> ConfigError {
    let mut errors = examination.into_result().expect_err("an error");
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

fn notes(config: &Config) -> Vec<String> {
    config.notes().iter().map(ToString::to_string).collect()
}

/// All settings, without the notes about them.
fn settings(config: &Config) -> impl PartialEq + std::fmt::Debug + use<> {
    let c = config.clone();
    (c.storage, c.network, c.sessions, c.limits, c.security, c.nodes, c.admin, c.quorum, c.own)
}

/// A value that a key allows and that is not its default, as a `zoo.cfg` writes it.
fn sample(key: &Key) -> String {
    match key.kind {
        Kind::Bool if key.default == "true" => "false".into(),
        Kind::Bool => "true".into(),
        Kind::YesNo if key.default == "yes" => "no".into(),
        Kind::YesNo => "yes".into(),
        Kind::Int { max: 3, .. } => "3".into(),
        Kind::Int { .. } if key.name == "ringkeeper.requestBytesInFlightMax" => "9999999".into(),
        Kind::Int { .. } if key.name == "minSessionTimeout" => "4001".into(),
        Kind::Int { .. } if key.name == "maxSessionTimeout" => "70001".into(),
        Kind::Int { min, max, .. } => (min.max(1001) + 7).min(max).to_string(),
        Kind::IntOrAuto { min, .. } => min.max(4).to_string(),
        Kind::Float { .. } => "0.25".into(),
        Kind::Text if key.name == "authProvider.*" => {
            "org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider".into()
        }
        Kind::Text if key.name.ends_with("Store.location") => "/some/päth.pem".into(),
        Kind::Text if key.name.ends_with("Store.type") => "PKCS12".into(),
        Kind::Text if key.name.ends_with(".protocol") => "TLSv1.2".into(),
        Kind::Text if key.name == "security.auth_to_local" => "RULE:[1:$1](a=b) DEFAULT".into(),
        Kind::Text if key.name == "admin.commandURL" => "/other".into(),
        Kind::Text if key.name == "metricsProvider.className" => {
            "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider".into()
        }
        Kind::Text => "some text, = with : ünusual #parts".into(),
        Kind::Path => "/some/päth".into(),
        Kind::Choice(words) => words[words.len() - 1].into(),
        Kind::List if key.name == "enforce.auth.schemes" => "digest,ip".into(),
        Kind::List if key.name.ends_with("enabledProtocols") => "TLSv1.2".into(),
        Kind::List if key.name.ends_with("ciphersuites") => "TLS_AES_128_GCM_SHA256".into(),
        Kind::List => "srvr,stat".into(),
        Kind::Interval => "36".into(),
        Kind::Server => "zk1:2888:3888:participant;127.0.0.1:2181".into(),
        Kind::Group => "1".into(),
    }
}

/// A key's name as a `zoo.cfg` writes it; a family has a member 1.
fn name_in_cfg(key: &Key) -> String {
    match key.place {
        Place::Bare => format!("ringkeeper.{}", key.name),
        _ => key.name.replace('*', "1"),
    }
}

fn properties_line(key: &str, value: &str) -> String {
    let mut line = String::new();
    properties::write_pair(&mut line, key, value);
    line
}

// Whole files.

#[test]
fn the_usual_file_is_read_with_all_its_lines() {
    let text = include_str!("config/standalone.cfg");
    let config = good(file_with("zoo.cfg", text, &[], &[]));
    assert_eq!(config.sessions.tick_time_ms, 2000);
    assert_eq!(config.sessions.min_session_timeout_ms, 4000);
    assert_eq!(config.sessions.max_session_timeout_ms, 40_000);
    assert_eq!(config.storage.data_dir, Path::new("/var/lib/zookeeper"));
    assert_eq!(config.storage.data_log_dir, Path::new("/var/lib/zookeeper-log"));
    assert_eq!(
        config.network.client.clone().unwrap(),
        Listen { host: ListenHost::Any, port: 2181 }
    );
    assert_eq!(config.network.max_client_cnxns, None);
    assert_eq!(config.network.jute_max_buffer, 0xf_ffff, "no effect in a zoo.cfg");
    assert_eq!(config.storage.snap_retain_count, 5);
    assert_eq!(config.storage.purge_interval_ms, Some(86_400_000));
    assert_eq!(config.storage.snap_count, 4096);
    assert!(!config.web.is_enabled && config.web.has_prometheus);
    assert_eq!((&config.web.host[..], config.web.metrics_port), ("0.0.0.0", 7000));
    assert!(config.nodes.extended_types_enabled);
    for word in ["stat", "ruok", "conf", "isro", "srvr"] {
        assert!(config.admin.four_letter_words.allows(word), "{word}");
    }
    assert!(!config.admin.four_letter_words.allows("dump"));
    assert_eq!(config.origin_of("tickTime").to_string(), "zoo.cfg:2");
    assert_eq!(config.origin_of("4lw.commands.whitelist").to_string(), "zoo.cfg:11");
    assert_eq!(config.origin_of("forceSync").to_string(), "default");
    let notes = notes(&config);
    for expected in [
        "zoo.cfg:19: jute.maxbuffer: has no effect in a zoo.cfg",
        "zoo.cfg:20: maxClientConns: unknown key, ignored; did you mean maxClientCnxns?",
    ] {
        assert!(notes.iter().any(|n| n.starts_with(expected)), "{expected}\n{notes:#?}");
    }
}

#[test]
fn toml_says_the_same() {
    let text = include_str!("config/standalone.toml");
    let toml = good(file_with("s.toml", text, &[], &[]));
    assert_eq!(toml.network.jute_max_buffer, 4_194_304);
    assert_eq!(toml.network.jute_max_buffer_extra, 4_194_304);
    assert_eq!(toml.own.cores, Some(2));
    assert_eq!(toml.own.log_format, LogFormat::Json);
    assert_eq!(toml.origin_of("autopurge.purgeInterval").to_string(), "s.toml:16");
    let cfg = good(file_with(
        "zoo.cfg",
        &format!(
            "{}\nringkeeper.jute.maxbuffer=4194304\nringkeeper.cores=2\nringkeeper.logFormat=json",
            include_str!("config/standalone.cfg")
        ),
        &[],
        &[],
    ));
    assert_eq!(settings(&toml), settings(&cfg));
}

#[test]
fn one_server_line_stands_alone_on_the_port_of_the_line() {
    let text = include_str!("config/container.cfg");
    let config = good(file_with("zoo.cfg", text, &[], &[("/data/myid", "1\n")]));
    assert_eq!(
        config.network.client.clone().unwrap(),
        Listen { host: ListenHost::Any, port: 2181 }
    );
    assert_eq!(config.quorum.my_id, Some(1));
    assert!(notes(&config).iter().any(|n| n.contains("runs standalone")));
    // ZooKeeper would not listen at all without myid.
    let error = error(file_with("zoo.cfg", text, &[], &[]));
    assert_eq!(error.problem, Problem::Missing);
    assert!(error.text.contains("/data/myid"), "{error}");
}

#[test]
fn one_server_in_a_dynamic_file_stands_alone_too() {
    let text = "dataDir=/d\ndynamicConfigFile=/d/dyn.1f\n";
    let dynamic = "server.7=127.0.0.1:1:2:participant;[::1]:2281\n";
    let files = [("/d/dyn.1f", dynamic), ("/d/myid", "7")];
    let config = good(file_with("zoo.cfg", text, &[], &files));
    assert_eq!(config.network.client.clone().unwrap().to_string(), "[::1]:2281");
    assert_eq!(config.quorum.version, 0x1f);
    assert_eq!(config.origin_of("server.7").to_string(), "/d/dyn.1f:1");
    for (line, expected) in [
        ("version=1", "must not be in a dynamic file"),
        ("tickTime=1", "allowed in a dynamic file"),
        ("server.8=x", "allowed: host"),
        ("server.x=a:1:2", "allowed: server.N"),
    ] {
        let dynamic = format!("{dynamic}{line}\n");
        let files = [("/d/dyn.1f", dynamic.as_str()), ("/d/myid", "7")];
        let error = error(file_with("zoo.cfg", text, &[], &files));
        assert!(error.to_string().starts_with("/d/dyn.1f:2: "), "{error}");
        assert!(error.text.contains(expected), "{error}");
    }
    let error = error(file_with("zoo.cfg", &format!("{text}clientPort=1"), &[], &[]));
    assert!(error.text.contains("there is no such file"), "{error}");
}

#[test]
fn the_embedded_default_needs_no_file() {
    let config = examine(Sources::default(), None).into_result().unwrap();
    assert_eq!(settings(&config), settings(&Config::default()));
    assert_eq!(config.network.client.clone().unwrap().to_string(), "127.0.0.1:2181");
    assert_eq!(config.storage.data_dir, Path::new("./ringkeeper-data"));
    let flags = [("SERVER_JVMFLAGS", "-Dzookeeper.snapCount=10 -Dringkeeper.cores=1")];
    let config = examine(Sources { file: None, flags: &flags, properties: &[] }, None)
        .into_result()
        .unwrap();
    assert_eq!(config.storage.snap_count, 10);
    assert_eq!(config.own.cores, Some(1));
    assert_eq!(config.network.client.clone().unwrap().to_string(), "127.0.0.1:2181");
}

// Where a key may stand, and which value wins.

#[test]
fn the_file_wins_over_flags_and_later_flags_over_earlier_ones() {
    let flags = [
        (
            "SERVER_JVMFLAGS",
            "-Dzookeeper.snapCount=10 -Dzookeeper.maxCnxns=5 -Djute.maxbuffer=2000",
        ),
        ("JVMFLAGS", "-Dzookeeper.maxCnxns=6 -Dznode.container.maxPerMinute=7"),
    ];
    let config = good(cfg_with("snapCount=20\n", &flags, &[]));
    assert_eq!(config.storage.snap_count, 20);
    assert_eq!(config.network.max_cnxns, Some(6));
    assert_eq!(config.network.jute_max_buffer, 2000);
    assert_eq!(config.network.jute_max_buffer_extra, 2000);
    assert_eq!(config.nodes.container_max_per_minute, 7);
    assert_eq!(config.origin_of("maxCnxns").to_string(), "JVMFLAGS");
    assert_eq!(config.origin_of("snapCount").to_string(), "zoo.cfg:3");
    assert!(notes(&config).iter().any(|n| n.contains("the file overrides -D in SERVER_JVMFLAGS")));
}

#[test]
fn a_flag_that_zookeeper_would_not_read_has_no_effect_and_says_so() {
    for (word, expected) in [
        ("-DsnapCount=7", "read as -Dzookeeper.snapCount"),
        ("-Dzookeeper.tickTime=7", "read only from the file"),
        ("-DtickTime=7", "read only from the file"),
        ("-Dzookeeper.jute.maxbuffer=7", "read as -Djute.maxbuffer"),
        ("-Dzookeeper.snapCuont=7", "did you mean snapCount?"),
        ("-Dringkeeper.core=7", "did you mean ringkeeper.cores?"),
        ("-Xmx512m", "words for a JVM have no meaning here: -Xmx512m"),
        ("-Dcom.sun.management.jmxremote", "-Dcom.sun.management.jmxremote"),
    ] {
        let config = good(cfg_with("", &[("JVMFLAGS", word)], &[]));
        assert_eq!(settings(&config), settings(&good(cfg(""))), "{word}");
        let notes = notes(&config);
        assert!(notes.len() == 1 && notes[0].contains(expected), "{word}: {notes:?}");
    }
    let both = good(cfg_with("", &[("JVMFLAGS", "-Dfsync.warningthresholdms=7")], &[]));
    assert_eq!(both.storage.fsync_warning_threshold_ms, 7);
    let prefixed =
        good(cfg_with("", &[("JVMFLAGS", "-Dzookeeper.fsync.warningthresholdms=8")], &[]));
    assert_eq!(prefixed.storage.fsync_warning_threshold_ms, 8);
}

#[test]
fn a_wrong_flag_names_its_variable() {
    let error = error(cfg_with("", &[("JVMFLAGS", "-Dzookeeper.snapCount=many")], &[]));
    assert_eq!(
        error.to_string(),
        "JVMFLAGS: -Dzookeeper.snapCount = many: allowed: a whole number from 2 to 2147483647 \
         (a smaller one counts as 2) (transactions); ZooKeeper silently takes its default, 100000, instead: \
         remove the line to keep that"
    );
    // A value that the file overrides is not checked.
    good(cfg_with("snapCount=3", &[("JVMFLAGS", "-Dzookeeper.snapCount=many")], &[]));
}

#[test]
fn the_last_of_two_equal_keys_wins_in_a_zoo_cfg_and_is_an_error_in_toml() {
    let config = good(cfg("tickTime=1000\ntickTime=5000\n"));
    assert_eq!(config.sessions.tick_time_ms, 5000);
    let expected = "zoo.cfg:4: tickTime: replaces the value of zoo.cfg:3, as in Java";
    assert_eq!(notes(&config), vec![expected]);
    let text = "dataDir = '/d'\nclientPort = 1\nautopurge.purgeInterval = 1\n\
                \"autopurge.purgeInterval\" = 2";
    let error = error(file_with("a.toml", text, &[], &[]));
    assert!(error.text.starts_with("set twice"), "{error}");
}

#[test]
fn unknown_keys_are_passed_over_with_file_and_line() {
    let config = good(cfg("what.is.this=1\nzookeeper.snapCount=5\nringkeeper.unknown=1\n"));
    assert_eq!(config.storage.snap_count, 100_000, "the prefix is not for files");
    assert!(config.notes().iter().all(|n| n.level == Level::Warn));
    assert_eq!(
        notes(&config),
        vec![
            "zoo.cfg:3: what.is.this: unknown key, ignored",
            "zoo.cfg:4: zookeeper.snapCount: unknown key, ignored; did you mean snapCount?",
            "zoo.cfg:5: ringkeeper.unknown: unknown key, ignored",
        ]
    );
}

#[test]
fn bytes_beyond_ascii_are_read_as_java_reads_them_with_a_warning() {
    let config = good(cfg("ensembleAuthName=caf\u{e9}\n"));
    let names = config.security.ensemble_auth_names.clone().unwrap();
    assert!(names.contains("caf\u{c3}\u{a9}"), "{names:?}");
    assert!(notes(&config).iter().any(|n| n.contains("ISO-8859-1")));
}

// Errors.

#[test]
fn all_errors_are_reported_at_once_with_line_key_value_and_what_is_allowed() {
    let text = "tickTime=abc\nclientPort=70000\nsnapCount=1.5\nskipACL=maybe\na=\\u12\n\
                ssl.ocsp=true\nminSessionTimeout=5\nmaxSessionTimeout=4\n";
    let errors = file_with("zoo.cfg", text, &[], &[]).into_result().unwrap_err();
    let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        vec![
            "zoo.cfg: dataDir: not set, but required",
            "zoo.cfg:1: tickTime = abc: allowed: a whole number from 1 to 2147483647 (ms)",
            "zoo.cfg:2: clientPort = 70000: allowed: a whole number from 0 to 65535",
            "zoo.cfg:3: snapCount = 1.5: allowed: a whole number from 2 to 2147483647 \
             (a smaller one counts as 2) (transactions); ZooKeeper silently takes its default, 100000, \
             instead: remove the line to keep that",
            "zoo.cfg:4: skipACL = maybe: allowed: yes or no; ZooKeeper silently takes its default, \
             no, instead: remove the line to keep that",
            "zoo.cfg:5: \\u must be followed by four hexadecimal digits",
            "zoo.cfg:6: ssl.ocsp = true: Java asks about each certificate at the address that it names, while a \
             connection waits; that is not built yet, and without it revoked certificates would pass. Set it to \
             false, and name a file with lists of revoked certificates (ringkeeper.ssl.crl.location, \
             ringkeeper.ssl.quorum.crl.location)",
            "zoo.cfg:7: minSessionTimeout: minSessionTimeout (5 ms) must not be larger than \
             maxSessionTimeout (4 ms)",
        ]
    );
}

#[test]
fn a_secret_is_never_shown() {
    let line = "DigestAuthenticationProvider.superDigest=super:geheim\n";
    let config = good(cfg(line));
    assert_eq!(config.security.super_digest.as_deref(), Some("super:geheim"));
    let shown: Vec<_> = config.settings().map(|(_, s)| s.text.clone()).collect();
    assert!(!shown.iter().any(|text| text.contains("geheim")), "{shown:?}");
    let toml = "dataDir='/d'\nclientPort=1\n[DigestAuthenticationProvider]\nsuperDigest=4242";
    let error = error(file_with("a.toml", toml, &[], &[]));
    assert_eq!(error.value, None);
    assert!(!error.to_string().contains("4242"), "{error}");
}

#[test]
fn what_would_weaken_security_is_refused_unless_it_is_switched_off() {
    let refused: Vec<&Key> =
        keys::all().filter(|key| matches!(key.fate, Fate::Refused { .. })).collect();
    let names: Vec<_> = refused.iter().map(|key| key.name).collect();
    for expected in ["ssl.ocsp", "ssl.quorum.ocsp"] {
        assert!(names.contains(&expected), "{expected}");
    }
    for key in refused {
        let name = name_in_cfg(key);
        let error = error(cfg(&properties_line(&name, &sample(key))));
        assert_eq!(error.problem, Problem::Refused, "{error}");
        assert!(error.to_string().starts_with(&format!("zoo.cfg:3: {name} = ")), "{error}");
        let reasons = ["not built yet", "no class can be loaded"];
        assert!(reasons.iter().any(|reason| error.text.contains(reason)), "{error}");
        if key.kind == Kind::Bool {
            assert_eq!(notes(&good(cfg(&format!("{}=false\n", key.name)))), Vec::<String>::new());
        }
        if matches!(key.place, Place::Property | Place::Bare) {
            let prefix = if key.place == Place::Bare { "" } else { "zookeeper." };
            let value = sample(key);
            let word = format!("-D{prefix}{}={value}", key.name);
            let errors = cfg_with("", &[("JVMFLAGS", &word)], &[]).errors;
            assert_eq!(errors.len(), 1, "{word}");
        }
    }
}

#[test]
fn the_client_address_of_file_and_server_line_must_agree() {
    let try_it = |file: &str, line: &str| {
        let text = format!("dataDir=/d\n{file}\nserver.1=h:1:2;{line}\n");
        file_with("zoo.cfg", &text, &[], &[("/d/myid", "1")])
    };
    let shown = |e: Examination| good(e).network.client.unwrap().to_string();
    assert_eq!(shown(try_it("clientPort=5", "5")), "[::]:5");
    assert_eq!(shown(try_it("clientPort=5", "127.0.0.1:5")), "127.0.0.1:5");
    assert_eq!(shown(try_it("clientPort=5\nclientPortAddress=::1", "[::1]:5")), "[::1]:5");
    assert_eq!(shown(try_it("clientPort=5\nclientPortAddress=name", "127.0.0.1:5")), "127.0.0.1:5");
    for (file, line) in [
        ("clientPort=5", "6"),
        ("clientPort=5\nclientPortAddress=127.0.0.1", "5"),
        ("clientPort=5\nclientPortAddress=127.0.0.1", "127.0.0.2:5"),
    ] {
        let error = error(try_it(file, line));
        assert_eq!(error.problem, Problem::Conflict, "{error}");
    }
    assert_eq!(
        good(cfg("clientPortAddress=\n")).network.client.unwrap().to_string(),
        "127.0.0.1:2181"
    );
    let alone = error(file_with("zoo.cfg", "dataDir=/d\nclientPortAddress=::1", &[], &[]));
    assert!(alone.text.contains("clientPort is not"), "{alone}");
    let none = error(file_with("zoo.cfg", "dataDir=/d\n", &[], &[]));
    assert_eq!(none.to_string(), "zoo.cfg: clientPort: not set: no client could connect");
}

#[test]
fn myid_must_be_a_number() {
    for wrong in ["", "x", "1 ", " 1", "-2", "\n1"] {
        let error = error(cfg_with("", &[], &[("/d/myid", wrong)]));
        assert!(error.to_string().starts_with("/d/myid:1: the first line"), "{wrong:?}: {error}");
    }
    assert_eq!(good(cfg_with("", &[], &[("/d/myid", "-1\n")])).quorum.my_id, None);
    assert_eq!(good(cfg_with("", &[], &[("/d/myid", "12\r\n")])).quorum.my_id, Some(12));
}

#[test]
fn session_times_follow_the_tick() {
    let times = |lines: &str| {
        let sessions = good(cfg(lines)).sessions;
        (sessions.tick_time_ms, sessions.min_session_timeout_ms, sessions.max_session_timeout_ms)
    };
    assert_eq!(times(""), (3000, 6000, 60_000));
    assert_eq!(times("tickTime=500\n"), (500, 1000, 10_000));
    assert_eq!(
        times("tickTime=500\nminSessionTimeout=-1\nmaxSessionTimeout=7\nminSessionTimeout=0\n"),
        (500, 0, 7)
    );
    let most = u32::try_from(i32::MAX).unwrap();
    assert_eq!(times("tickTime=2147483647\n"), (most, most, most));
    assert_eq!(error(cfg("minSessionTimeout=60001\n")).problem, Problem::Conflict);
}

#[test]
fn values_that_zookeeper_corrects_are_corrected_alike() {
    let config =
        good(cfg("snapCount=1\nautopurge.snapRetainCount=1\ncommitLogCount=3\nmaxCnxns=-4\n\
         largeRequestMaxBytes=0\nlargeRequestThreshold=-9\njute.maxbuffer.extrasize=5\n\
         preAllocSize=-1\nconnection_throttle_local_session_weight=5\n"));
    assert_eq!(config.storage.snap_count, 2);
    assert_eq!(config.storage.snap_retain_count, 3);
    assert_eq!(config.storage.pre_alloc_bytes, 0);
    assert_eq!(config.network.max_cnxns, None);
    assert_eq!(config.limits.large_request_max_bytes, 104_857_600);
    assert_eq!(config.limits.large_request_threshold_bytes, None);
    assert_eq!(config.network.jute_max_buffer_extra, 1024);
    let throttle = &config.limits.connection_throttle;
    assert_eq!((throttle.global_session_weight, throttle.renew_session_weight), (5, 5));
    let corrected = config.notes().iter().filter(|n| n.text.contains("is used instead of"));
    assert_eq!(corrected.count(), 10, "{:#?}", notes(&config));
}

#[test]
fn the_whitelist_is_zookeeper_s() {
    let words = |lines: &str| good(cfg(lines)).admin.four_letter_words;
    assert!(words("").allows("srvr") && !words("").allows("isro"));
    assert!(words("ringkeeper.readonlymode.enabled=true\n").allows("isro"));
    assert_eq!(words("4lw.commands.whitelist=stat,*\n"), Whitelist::All);
    let one = words("4lw.commands.whitelist= mntr ,,\n");
    assert!(one.allows("mntr") && one.allows("srvr") && !one.allows("stat") && !one.allows(""));
    let odd = good(cfg("4lw.commands.whitelist=mntr,stats\n"));
    assert!(
        notes(&odd)[0].contains("no four-letter word of ZooKeeper's: \"stats\"; there are conf")
    );
}

#[test]
fn weights_multiply_the_bucket_when_they_count() {
    let lines = "connection_throttle_tokens=10\nconnection_throttle_fill_count=2\n";
    assert_eq!(good(cfg(lines)).limits.connection_throttle.bucket(), (10, 2));
    let weighed = format!("{lines}connection_throttle_weight_enabled=true\n");
    assert_eq!(good(cfg(&weighed)).limits.connection_throttle.bucket(), (30, 6));
}

#[test]
fn own_bounds_leave_room_for_the_largest_request() {
    let flags = [("JVMFLAGS", "-Djute.maxbuffer=500000000")];
    assert_eq!(good(cfg_with("", &flags, &[])).own.request_bytes_in_flight_max, 1_000_000_000);
    let error = error(cfg_with("ringkeeper.requestBytesInFlightMax=2000000\n", &flags, &[]));
    assert!(error.text.contains("at least jute.maxbuffer, which is 500000000"), "{error}");
    let error = self::error(cfg_with("ringkeeper.connectionMemoryMax=20000000\n", &flags, &[]));
    assert!(error.text.contains("at least 4 × jute.maxbuffer, which is 2000000000"), "{error}");
}

#[test]
fn no_frame_is_so_long_that_its_transaction_could_not_be_read_back() {
    let flags = [("JVMFLAGS", "-Djute.maxbuffer=2147483647 -Djute.maxbuffer.extrasize=2147483647")];
    let network = good(cfg_with("", &flags, &[])).network;
    let longest = ringkeeper::limits::FRAME_BYTES_CEILING;
    assert_eq!((network.jute_max_buffer, network.jute_max_buffer_extra), (longest, longest));
}

#[test]
fn a_file_that_is_no_configuration_is_refused_by_its_size() {
    let bytes = vec![b'#'; ringkeeper::config::FILE_BYTES_MAX + 1];
    let errors = parse(&bytes, "zoo.cfg").unwrap_err();
    assert!(errors[0].text.contains("larger than"), "{errors:?}");
}
