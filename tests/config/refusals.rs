//! Each error names the remedy: it says what the file contains, what ZooKeeper makes of it, and what to write instead.

use super::*;

#[test]
fn what_zookeeper_silently_replaces_is_an_error_that_says_with_what() {
    for (line, theirs) in [
        ("skipACL = true", "its default, no, instead: remove the line"),
        ("skipACL = YES", "its default, no, instead: remove the line"),
        ("forceSync=false", "its default, yes, instead: remove the line"),
        ("leaderServes=0", "its default, yes, instead: remove the line"),
        ("snapCount=100k", "its default, 100000, instead: remove the line"),
        ("snapCount=5000000000", "its default, 100000, instead: remove the line"),
        ("maxCnxns=ten", "its default, 0, instead: remove the line"),
        ("snapshot.trust.empty=yes", "it for false, which is the default: remove the line"),
        ("digest.enabled=yes", "it for false: write false to keep that"),
        ("admin.enableServer=no", "its default, true, instead: remove the line"),
        ("admin.portUnification=yes", "it for false, which is the default: remove the line"),
        ("ringkeeper.jute.maxbuffer=4M", "its default, 1048575, instead"),
    ] {
        let error = error(cfg(line));
        let expected = format!("; ZooKeeper silently takes {theirs}");
        assert!(error.text.contains(&expected), "{line}: {error}");
    }
    // Keys that ZooKeeper refuses too, and keys that it does not know.
    for line in [
        "tickTime=2s",
        "localSessionsEnabled=yes",
        "multiAddress.enabled=1",
        "multiAddress.reachabilityCheckEnabled=yes",
        "ringkeeper.pin=yes",
    ] {
        let error = error(cfg(line));
        assert!(!error.text.contains("silently"), "{line}: {error}");
    }
    // ZooKeeper accepts these values as they are; Ringkeeper does not.
    let negative = error(cfg("globalOutstandingLimit=-1"));
    assert!(!negative.text.contains("silently"), "{negative}");
    let toml = "dataDir='/d'\nclientPort=1\nskipACL=1";
    assert!(!error(file_with("a.toml", toml, &[], &[])).text.contains("silently"));
}

#[test]
fn a_comment_behind_a_value_is_told_from_a_value() {
    for (line, value) in [
        ("tickTime=3000 # three seconds", "3000"),
        ("snapCount=10\t#ten", "10"),
        ("autopurge.purgeInterval=24 # a day", "24"),
        ("forceSync=yes   # of course", "yes"),
        ("peerType=observer # or not", "observer"),
    ] {
        let error = error(cfg(line));
        let expected = format!("put the comment on a line of its own, and leave {value} here");
        assert!(error.text.contains(&expected), "{line}: {error}");
    }
    let server = error(cfg("server.1=a:1:2 # the first\n"));
    assert!(server.text.contains("leave a:1:2 here"), "{server}");
    assert!(!error(cfg("tickTime=x # y")).text.contains("comment"));
    for (line, value) in [
        ("dataLogDir=/log # fast disk", "/log"),
        ("4lw.commands.whitelist=srvr,ruok # two", "srvr,ruok"),
        ("ensembleAuthName=a # b", "a"),
    ] {
        let said = notes(&good(cfg(line)));
        let expected = format!("put it on a line of its own and leave {value} here");
        assert!(said.iter().any(|note| note.contains(&expected)), "{line}: {said:?}");
    }
    assert_eq!(notes(&good(cfg("dataLogDir=/log#1"))), Vec::<String>::new());
    let secret = "DigestAuthenticationProvider.superDigest=super:x #geheim";
    assert!(notes(&good(cfg(secret))).iter().all(|note| !note.contains("super:x")));
}

#[test]
fn a_file_in_utf_16_and_a_byte_order_mark_are_named() {
    let text = "dataDir=/d\nclientPort=2181\n";
    let units = |order: fn(u16) -> [u8; 2], mark: bool| -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(text.encode_utf16()).flat_map(order).collect()
    };
    for bytes in [
        units(u16::to_le_bytes, true),
        units(u16::to_be_bytes, true),
        units(u16::to_le_bytes, false),
        units(u16::to_be_bytes, false),
    ] {
        for name in ["zoo.cfg", "zoo.toml"] {
            let errors = parse(&bytes, name).unwrap_err();
            let first = errors.iter().map(ToString::to_string).find(|e| e.contains("UTF-16"));
            let first = first.unwrap_or_else(|| panic!("{errors:?}"));
            assert!(first.contains("iconv -f UTF-16 -t UTF-8"), "{first}");
        }
        let mut read = |path: &Path| match path.to_str() {
            Some("/dyn") => Ok(Some(bytes.clone())),
            Some("/d/myid") => {
                Ok(Some("\u{feff}1\n".encode_utf16().flat_map(u16::to_le_bytes).collect()))
            }
            _ => Ok(None),
        };
        let lines = format!("{LEAST}dynamicConfigFile=/dyn\n");
        let file = SourceFile { name: "zoo.cfg", bytes: lines.as_bytes(), format: Format::ZooCfg };
        let examination =
            examine(Sources { file: Some(file), flags: &[], properties: &[] }, Some(&mut read));
        let errors: Vec<String> = examination.errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].starts_with("/d/myid:1: ") && errors[0].contains("UTF-16"), "{errors:?}");
        assert!(errors[1].starts_with("/dyn: it is UTF-16"), "{errors:?}");
    }
    // A byte order mark would lose a setting in the first line, but not a comment.
    let lost = error(file_with("zoo.cfg", &format!("\u{feff}tickTime=1\n{LEAST}"), &[], &[]));
    assert!(lost.to_string().starts_with("zoo.cfg:1: there is a byte order mark before tickTime"));
    good(file_with("zoo.cfg", &format!("\u{feff}# ours\n{LEAST}"), &[], &[]));
}

#[test]
fn a_wrong_myid_is_quoted() {
    for (content, expected) in [
        ("1 \n", "it is \"1 \"; blanks are not allowed: `echo 1 > myid`"),
        ("\t12\n", "`echo 12 > myid`"),
        ("\u{feff}1\n", "there is a byte order mark before it"),
        ("", "it is \"\"; the file is empty"),
        ("zk1\n", "it is \"zk1\""),
        ("\n1\n", "it is \"\""),
        ("server.1", "it is \"server.1\""),
    ] {
        let error = error(cfg_with("", &[], &[("/d/myid", content)]));
        assert!(error.text.contains(expected), "{content:?}: {error}");
    }
}

#[test]
fn a_class_of_somebody_s_own_is_warned_of_and_its_scheme_stays_closed() {
    let config = good(cfg("authProvider.1=org.apache.zookeeper.test.InvalidAuthProvider\n"));
    assert!(!config.security.ensemble_auth_enabled);
    let said = config.notes().iter().find(|note| note.key == "authProvider.1").unwrap();
    assert_eq!(said.level, Level::Warn);
    assert!(said.text.contains("NO CLASS CAN BE LOADED HERE"), "{said}");
    // Clients that must authenticate with this scheme could not connect.
    let held = "enforce.auth.enabled=true\nenforce.auth.schemes=digest,mine\n";
    let held = error(cfg(held));
    assert!(held.text.contains("mine is not built"), "{held}");
}

#[test]
fn a_small_jute_maxbuffer_is_warned_of() {
    let with = |bytes: &str| {
        let word = format!("-Djute.maxbuffer={bytes}");
        cfg_with("", &[("SERVER_JVMFLAGS", &word)], &[])
    };
    let small = good(with("100"));
    assert_eq!((small.network.jute_max_buffer, small.network.jute_max_buffer_extra), (100, 1024));
    assert!(notes(&small)[0].contains("below 45 no client can connect"), "{:?}", notes(&small));
    assert_eq!(notes(&good(with("128"))), Vec::<String>::new());
    assert_eq!(error(with("0")).problem, Problem::Value);
}

#[test]
fn an_interface_behind_an_address_counts_where_it_says_something() {
    let host =
        |text: &str| good(cfg(&format!("clientPortAddress={text}"))).network.client.unwrap().host;
    let zoned = |address: std::net::Ipv6Addr, zone: &str| ListenHost::Zoned {
        address,
        zone: zone.to_owned(),
    };
    let loopback = std::net::Ipv6Addr::LOCALHOST;
    for (text, zone) in [("0:0:0:0:0:0:0:1%lo", "lo"), ("::1%nosuch", "nosuch"), ("[::1%1]", "1")] {
        // The code that listens finds out whether the interface exists.
        assert_eq!(host(text), zoned(loopback, zone), "{text}");
    }
    assert_eq!(host("::%lo"), zoned(std::net::Ipv6Addr::UNSPECIFIED, "lo"));
    assert_eq!(host("::1"), ListenHost::Ip(loopback.into()));
    assert_eq!(host("fe80::1%eth0"), ListenHost::Name("fe80::1%eth0".into()));
    assert_eq!(host("a%b"), ListenHost::Name("a%b".into()));
}

#[test]
fn a_key_that_stands_where_it_does_not_count_gets_advice() {
    let said =
        |lines: &str, flags: &[(&str, &str)]| notes(&good(cfg_with(lines, flags, &[]))).concat();
    let flag = said("", &[("JVMFLAGS", "-Dzookeeper.sslQuorum=true")]);
    assert!(flag.contains("has no effect"), "{flag}");
    let line = said("jute.maxbuffer=77\n", &[]);
    assert!(line.contains("write -Djute.maxbuffer=… in SERVER_JVMFLAGS"), "{line}");
}

/// A server that ignored such a word would serve clients that have not logged in.
#[test]
fn a_demand_to_log_in_that_stands_where_only_zookeepers_scripts_read_it_is_refused() {
    let beside =
        |text: &str| file_with("/etc/zk/zoo.cfg", LEAST, &[], &[("/etc/zk/java.env", text)]).errors;
    for word in [
        "-Djava.security.auth.login.config=/etc/zk/jaas.conf",
        "-Dzookeeper.sessionRequireClientSASLAuth=true",
        "-Dzookeeper.enforce.auth.enabled=true",
    ] {
        let errors = beside(&format!("\nSERVER_JVMFLAGS=\"{word} $SERVER_JVMFLAGS\"\n"));
        let [error] = &errors[..] else { panic!("{errors:?}") };
        let said = error.to_string();
        assert!(said.starts_with("/etc/zk/java.env:2: ") && said.contains("write "), "{said}");
        assert_eq!(beside(&format!("CLIENT_JVMFLAGS={word}")).len(), 0, "{word}");
    }
    assert_eq!(beside("X=-Dzookeeper.sessionRequireClientSASLAuth=false").len(), 0);
}

#[test]
fn flags_in_files_of_zookeepers_scripts_are_said_to_have_no_effect() {
    let beside = |name: &str, text: &str, lines: &str| {
        let path = format!("/etc/zk/{name}");
        let text_of_cfg = format!("{LEAST}{lines}");
        notes(&good(file_with("/etc/zk/zoo.cfg", &text_of_cfg, &[], &[(&path, text)])))
    };
    let java_env = "# JVMFLAGS=-Dzookeeper.snapCount=1\n\
         export JVMFLAGS=\"-Xmx1g -Dzookeeper.snapCount=77 $JVMFLAGS\"\n\
         SERVER_JVMFLAGS='-Djute.maxbuffer=4194304 -Dzookeeper.root.logger=INFO'\n\
         CLIENT_JVMFLAGS=-Djava.security.auth.login.config=$HOME/jaas.conf\n\
         Y=-Dzookeeper.DigestAuthenticationProvider.superDigest=super:geheim\n";
    let said = beside("java.env", java_env, "");
    assert_eq!(said.len(), 4, "{said:#?}");
    for (note, parts) in said.iter().zip([
        [
            "java.env:2: -Dzookeeper.snapCount: has no effect",
            "write snapCount=77 into /etc/zk/zoo.cfg",
        ],
        ["java.env:3: -Djute.maxbuffer: ", "write ringkeeper.jute.maxbuffer=4194304 into"],
        ["java.env:4: -Djava.security", "write ringkeeper.java.security.auth.login.config="],
        ["java.env:5: ", "write DigestAuthenticationProvider.superDigest=… into"],
    ]) {
        for part in parts {
            assert!(note.contains(part), "no {part:?} in {note}");
        }
        assert!(!note.contains("geheim"), "{note}");
    }
    // A key that repeats the value in force needs no note.
    assert_eq!(beside("zookeeper-env.sh", "X=-Dzookeeper.snapCount=77", "snapCount=77\n").len(), 0);
    assert_eq!(beside("zookeeper-env.sh", "X=-Dzookeeper.snapCount=77", "snapCount=78\n").len(), 1);
    assert_eq!(beside("zoo.env", java_env, "").len(), 0);
    // A large file takes little time, and its errors are few.
    let large = "-Dzookeeper.snapCount=7\n".repeat(10_000);
    assert!(beside("java.env", &large, "")[0].contains("more than 65536 bytes"));
    let many = beside("java.env", &large[..60_000], "");
    assert_eq!(many.len(), 21, "{}", many.len());
    assert!(many.iter().any(|note| note.contains("further -D words")), "{many:#?}");
}

#[test]
fn https_of_the_http_servers_is_refused_and_a_path_of_commands_must_be_one() {
    for line in
        ["admin.forceHttps=true", "admin.portUnification=true", "metricsProvider.httpsPort=7443"]
    {
        let error = error(cfg(line));
        assert!(error.text.contains("not built yet"), "{error}");
        assert!(error.text.contains("a proxy with TLS"), "{error}");
    }
    good(cfg("admin.forceHttps=false\nmetricsProvider.httpsPort=-1"));
    for path in ["commands", "/", "/commands/", "/a b", "/a?b", "/{name}", "/*all"] {
        let error = error(cfg(&format!("admin.commandURL={path}")));
        assert!(error.to_string().contains("admin.commandURL"), "{error}");
    }
    assert_eq!(good(cfg("admin.commandURL=/zk/commands")).web.command_url, "/zk/commands");
}
