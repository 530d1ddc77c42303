//! Every key of the table of keys: its effect, its range, and both formats.

use super::*;

/// The keys of the reference list of ZooKeeper 3.9, families with `*`.
const REFERENCE: &str = include_str!("reference_keys.txt");

#[test]
fn every_key_of_the_reference_has_a_row() {
    let mut missing = Vec::new();
    let mut count = 0;
    for line in REFERENCE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        count += 1;
        if keys::find(&line.replace('*', "1")).is_none() {
            missing.push(line);
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 200, "{count}");
}

#[test]
fn every_key_is_acted_on_passed_over_with_a_line_or_refused() {
    for key in keys::all() {
        let mut line = properties_line(&name_in_cfg(key), &sample(key));
        // These keys need others.
        const SECURE: &str = "ssl.keyStore.location=/k.pem\nssl.trustStore.location=/t.pem\n";
        line.push_str(match key.name {
            "secureClientPort" | "client.portUnification" => SECURE,
            "secureClientPortAddress" => {
                "secureClientPort=2281\nssl.keyStore.location=/k.pem\nssl.clientAuth=none\n"
            }
            name if name.starts_with("ssl.keyStore.p") => "ssl.keyStore.location=/k.pem\n",
            name if name.starts_with("ssl.trustStore.p") => "ssl.trustStore.location=/k.pem\n",
            name if name.starts_with("ssl.quorum.keyStore.p") => {
                "ssl.quorum.keyStore.location=/k.pem\n"
            }
            name if name.starts_with("ssl.quorum.trustStore.p") => {
                "ssl.quorum.trustStore.location=/k.pem\n"
            }
            "ssl.keyStore.type" => "ssl.keyStore.location=/k\n",
            "ssl.trustStore.type" => "ssl.trustStore.location=/k\n",
            "ssl.quorum.keyStore.type" => "ssl.quorum.keyStore.location=/k\n",
            "ssl.quorum.trustStore.type" => "ssl.quorum.trustStore.location=/k\n",
            "enforce.auth.enabled" => "enforce.auth.schemes=digest\n",
            "enforce.auth.schemes" => "enforce.auth.enabled=true\n",
            _ => "",
        });
        // In a file, server.principal looks like a member, as it does to ZooKeeper.
        if key.name.starts_with("server.") && !key.is_family() {
            continue;
        }
        let examination = cfg(&line);
        let written = name_in_cfg(key);
        let said = examination.config.notes().iter().filter(|n| n.key == written).count();
        match key.fate {
            // These keys contradict a file in which they stand alone.
            Fate::Acted(_)
                if [
                    "dynamicConfigFile",
                    "standaloneEnabled",
                    "group.*",
                    "java.security.auth.login.config",
                    "sessionRequireClientSASLAuth",
                    "quorum.auth.enableSasl",
                    "quorum.auth.serverRequireSasl",
                    "quorum.auth.learnerRequireSasl",
                ]
                .contains(&key.name) =>
            {
                assert_eq!(examination.errors.len(), 1, "{line}");
            }
            // There is one class, and another one is warned of.
            Fate::Acted(_) if key.name == "audit.impl.class" => {
                assert_eq!((examination.errors.len(), said), (0, 1), "{line}");
            }
            Fate::Acted(acted) => {
                assert!(examination.errors.is_empty(), "{line}: {:#?}", examination.errors);
                assert!(!acted.about.is_empty(), "{}", key.name);
                let now = (acted.get)(&examination.config);
                let before = (acted.get)(&cfg("").config);
                assert_ne!(now, before, "{line} changed nothing");
            }
            Fate::Meaningless(why) | Fate::Unbuilt(why) => {
                assert!(examination.errors.is_empty(), "{line}: {:#?}", examination.errors);
                assert_eq!(said, 1, "{line}: {:#?}", notes(&examination.config));
                assert!(!why.is_empty());
                assert_eq!(settings(&examination.config), settings(&cfg("").config), "{line}");
            }
            Fate::Refused { why, .. } => {
                assert_eq!(examination.errors.len(), 1, "{line}");
                assert!(!why.is_empty());
            }
        }
    }
}

#[test]
fn every_range_is_an_error_beyond_both_ends() {
    for key in keys::all() {
        let wrong: Vec<String> = match key.kind {
            Kind::Int { min: i64::MIN, .. } => vec!["x".into(), "".into()],
            Kind::Int { min, max, below, .. } => {
                let beyond = i128::from(max) + 1;
                let below = (below == Below::Refuse).then(|| (i128::from(min) - 1).to_string());
                below.into_iter().chain([beyond.to_string(), "x".into(), "".into()]).collect()
            }
            Kind::IntOrAuto { min, max } => {
                vec![(min - 1).to_string(), (max + 1).to_string(), "AUTO".into()]
            }
            Kind::Float { min, max } => {
                vec![(min - 0.5).to_string(), (max + 0.5).to_string(), "x".into(), "NaN".into()]
            }
            Kind::Bool => vec!["yes".into(), "1".into(), "".into()],
            Kind::YesNo => vec!["true".into(), "Yes".into(), "".into()],
            Kind::Choice(_) => vec!["nonsense".into()],
            Kind::Path => vec!["".into()],
            Kind::Interval => vec!["".into(), "1w".into(), "h".into()],
            Kind::Server | Kind::Group => vec!["".into(), "x".into()],
            Kind::Text | Kind::List => continue,
        };
        for value in wrong {
            let name = name_in_cfg(key);
            let text = properties_line(&name, &value);
            let errors = cfg(&text).errors;
            let found = errors.iter().find(|e| e.key == name && e.problem == Problem::Value);
            let found = found.unwrap_or_else(|| panic!("{text}: {errors:#?}"));
            assert!(found.text.contains("allowed"), "{found}");
            assert_eq!(found.value.is_none(), key.secret);
        }
    }
}

#[test]
fn every_key_survives_the_way_to_toml_and_back() {
    // One file with every key, including refused keys and families. server.principal and server.realm stay out, because
    // they would look like members.
    let mut text = String::from("# first comment\n");
    for key in keys::all().filter(|k| k.is_family() || !k.name.starts_with("server.")) {
        text.push_str(&properties_line(&name_in_cfg(key), &sample(key)));
    }
    text.push_str("unknown.key=some value\n# last comment\n");
    let to_toml = convert::convert(text.as_bytes(), "a.cfg", Format::ZooCfg, Format::Toml).unwrap();
    assert!(to_toml.notes.is_empty(), "{:#?}", to_toml.notes);
    let back = convert::convert(to_toml.text.as_bytes(), "a.toml", Format::Toml, Format::ZooCfg)
        .unwrap_or_else(|errors| panic!("{errors:#?}\n{}", to_toml.text));
    let pairs = |text: &str| -> BTreeMap<String, String> {
        let items = properties::read(text.as_bytes()).into_iter();
        items
            .filter_map(|item| match item {
                Item::Pair { key, value, .. } => Some((key, value)),
                Item::Comment { .. } | Item::Malformed { .. } => None,
            })
            .collect()
    };
    assert_eq!(pairs(&text), pairs(&back.text));
    for comment in ["# first comment\n", "# last comment\n"] {
        assert!(to_toml.text.contains(comment), "{}", to_toml.text);
        assert!(back.text.contains(comment), "{}", back.text);
    }
    let again = convert::convert(back.text.as_bytes(), "a.cfg", Format::ZooCfg, Format::ZooCfg);
    assert_eq!(again.unwrap().text, back.text, "own comments do not pile up");
    // Both formats have the same meaning.
    let cfg = file_with("a.cfg", &text, &[], &[]);
    let toml = file_with("a.toml", &to_toml.text, &[], &[]);
    assert_eq!(settings(&cfg.config), settings(&toml.config));
    assert_eq!(cfg.errors.len(), toml.errors.len());
}

#[test]
fn conversion_keeps_what_a_key_means_not_only_how_it_is_written() {
    let text = "jute.maxbuffer=5000\ndataDir=/a\ndataDir=/b\nringkeeper=1\nclientPort=+7\n\
                forceSync=no\nsnapCount=0x10\nautopurge.purgeInterval=+07\nringkeeper.pin=false\n";
    let converted =
        convert::convert(text.as_bytes(), "a.cfg", Format::ZooCfg, Format::Toml).unwrap();
    let shown: Vec<_> = converted.notes.iter().map(|n| n.key.as_str()).collect();
    assert_eq!(shown, vec!["jute.maxbuffer", "ringkeeper", "dataDir"]);
    for line in [
        "# jute.maxbuffer=5000",
        "# dataDir=/a",
        "dataDir = \"/b\"",
        "clientPort = 7",
        "forceSync = false",
        "snapCount = 16",
        "\"autopurge.purgeInterval\" = 7",
        "[ringkeeper]",
        "pin = false",
    ] {
        assert!(converted.text.lines().any(|l| l == line), "{line}\n{}", converted.text);
    }
    let before = good(file_with("a.cfg", text, &[], &[]));
    let after = good(file_with("a.toml", &converted.text, &[], &[]));
    assert_eq!(settings(&before), settings(&after));
    let errors =
        convert::convert(b"tickTime=x\nsnapCount=y", "a.cfg", Format::ZooCfg, Format::Toml)
            .unwrap_err();
    assert_eq!(errors.len(), 2);
}
