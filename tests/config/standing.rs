//! Standalone server or member of an ensemble: every combination of the settings that decide it.

use super::*;

/// The source of the list of members.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Members {
    /// No line at all.
    Unsaid,
    /// Lines in the file itself, with this many participants and observers.
    InFile(usize, usize),
    /// Lines in the dynamic file, which also has a comment.
    Dynamic(usize, usize),
    /// An empty dynamic file.
    DynamicEmpty,
    /// The file names a dynamic file that does not exist.
    DynamicMissing,
}

#[derive(Debug, PartialEq)]
enum Standing {
    Alone,
    Member,
    Refused,
}

/// What `QuorumPeerConfig.parseDynamicConfig` and `isDistributed` of ZooKeeper 3.9 do, according to their source.
fn theirs(members: Members, standalone_enabled: bool) -> Standing {
    let (participants, observers) = match members {
        Members::Unsaid | Members::DynamicEmpty => (0, 0),
        Members::InFile(participants, observers) | Members::Dynamic(participants, observers) => {
            (participants, observers)
        }
        Members::DynamicMissing => return Standing::Refused,
    };
    match (participants, observers) {
        (0, _) if !standalone_enabled => Standing::Refused,
        (0, 1..) => Standing::Refused,
        (1, 1..) if standalone_enabled => Standing::Refused,
        (0 | 1, 0) if standalone_enabled => Standing::Alone,
        _ => Standing::Member,
    }
}

/// The cases that Ringkeeper refuses and that ZooKeeper takes for a standalone server: a part of the configuration
/// or the folder says that the server is a member, and nothing lists the other members.
fn ours(members: Members, standalone_enabled: bool, epochs: bool) -> Standing {
    match theirs(members, standalone_enabled) {
        Standing::Alone if members == Members::DynamicEmpty => Standing::Refused,
        Standing::Alone if members == Members::Unsaid && epochs => Standing::Refused,
        standing => standing,
    }
}

#[test]
fn alone_is_only_who_nothing_calls_a_member() {
    let mut kinds = vec![Members::Unsaid, Members::DynamicEmpty, Members::DynamicMissing];
    for (participants, observers) in [(0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 2)] {
        kinds.push(Members::InFile(participants, observers));
        kinds.push(Members::Dynamic(participants, observers));
    }
    let mut combinations = 0;
    for members in kinds {
        for standalone_enabled in [None, Some(true), Some(false)] {
            for client_port in [true, false] {
                for my_id in [true, false] {
                    for epochs in [&[][..], &["acceptedEpoch"], &["currentEpoch"]] {
                        check(members, standalone_enabled, client_port, my_id, epochs);
                        combinations += 1;
                    }
                }
            }
        }
    }
    assert_eq!(combinations, 17 * 3 * 2 * 2 * 3);
}

fn check(
    members: Members,
    standalone_enabled: Option<bool>,
    client_port: bool,
    my_id: bool,
    epochs: &[&str],
) {
    let what = format!("{members:?} {standalone_enabled:?} {client_port} {my_id} {epochs:?}");
    let lines = |participants: usize, observers: usize| -> String {
        (1..=participants + observers)
            .map(|n| {
                let role = if n > participants { ":observer" } else { "" };
                format!("server.{n}=h{n}:1:2{role};{}\n", 2180 + n)
            })
            .collect()
    };
    let mut text = "dataDir=/d\ninitLimit=10\nsyncLimit=5\n".to_owned();
    if client_port {
        text += "clientPort=2181\n";
    }
    if let Some(enabled) = standalone_enabled {
        text += &format!("standaloneEnabled={enabled}\n");
    }
    let dynamic = match members {
        Members::Unsaid => None,
        Members::InFile(participants, observers) => {
            text += &lines(participants, observers);
            None
        }
        Members::Dynamic(participants, observers) => {
            Some(Some(format!("# members\n{}", lines(participants, observers))))
        }
        Members::DynamicEmpty => Some(Some("# nobody\n".to_owned())),
        Members::DynamicMissing => Some(None),
    };
    if dynamic.is_some() {
        text += "dynamicConfigFile=/dyn.1\n";
    }
    let mut files: Vec<(String, String)> = Vec::new();
    files.extend(dynamic.flatten().map(|content| ("/dyn.1".to_owned(), content)));
    if my_id {
        files.push(("/d/myid".to_owned(), "1\n".to_owned()));
    }
    files.extend(epochs.iter().map(|name| (format!("/d/version-2/{name}"), "5".to_owned())));
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let examination = file_with("zoo.cfg", &text, &[], &files);
    let mut expected = ours(members, standalone_enabled.unwrap_or(true), !epochs.is_empty());
    // A member must know its id, and clients must be able to connect.
    let own_line = my_id && matches!(members, Members::InFile(..) | Members::Dynamic(..));
    if expected == Standing::Member && !my_id
        || expected == Standing::Alone && !client_port && !own_line
    {
        expected = Standing::Refused;
    }
    let found = match examination.into_result() {
        Err(_) => Standing::Refused,
        Ok(config) if config.quorum.is_distributed() => Standing::Member,
        Ok(config) => {
            assert!(
                config.network.client.is_some_and(|at| at.port != 0),
                "{what}: on a random port"
            );
            Standing::Alone
        }
    };
    assert_eq!(found, expected, "{what}");
}

#[test]
fn who_is_refused_to_stand_alone_learns_what_to_do() {
    let text = "dynamicConfigFile=/dyn\nstandaloneEnabled=false\n";
    for dynamic in ["", "# nothing here\n\n", "\n"] {
        let refused = error(cfg_with(text, &[], &[("/dyn", dynamic)]));
        assert!(refused.to_string().starts_with("/dyn: there is no server.N in it"), "{refused}");
        assert!(refused.text.contains("remove dynamicConfigFile"), "{refused}");
    }
    let epochs = error(cfg_with("", &[], &[("/d/version-2/currentEpoch", "4")]));
    assert!(epochs.to_string().starts_with("/d/version-2/currentEpoch: only members"), "{epochs}");
    assert!(epochs.text.contains("server.1=localhost:2888:3888"), "{epochs}");
    let said = cfg_with("server.1=h:1:2\n", &[], &[("/d/version-2/acceptedEpoch", "4")]);
    let said = notes(&good(said));
    assert!(said.iter().any(|note| note.contains("diverge from now on")), "{said:?}");
    // If the system denies access, the file may exist or not.
    let denied = |denied: &'static str, lines: &str| {
        let text = format!("{LEAST}{lines}");
        let bytes = text.as_bytes();
        let file = SourceFile { name: "zoo.cfg", bytes, format: Format::ZooCfg };
        let mut read = |path: &Path| match path.starts_with(denied) {
            true => Err("Permission denied (for the user with uid 7)".to_owned()),
            false => Ok(None),
        };
        examine(Sources { file: Some(file), ..Sources::default() }, Some(&mut read))
    };
    let folder = error(denied("/d", ""));
    let says = "/d/myid: cannot be read: Permission denied (for the user with uid 7)";
    assert!(folder.to_string().starts_with(says), "{folder}");
    let inner = error(denied("/d/version-2", ""));
    let says =
        "/d/version-2/currentEpoch: cannot be read, so it is not known whether this server is";
    assert!(inner.to_string().starts_with(says), "{inner}");
    let only = notes(&good(denied("/d/version-2", "server.1=h:1:2\n")));
    assert!(only.iter().any(|note| note.contains("currentEpoch cannot be read: Perm")), "{only:?}");
    // The same rules hold for the embedded default.
    let mut read = |path: &Path| {
        let epoch = path.ends_with("version-2/acceptedEpoch");
        Ok(epoch.then(|| b"1".to_vec()))
    };
    assert_eq!(examine(Sources::default(), Some(&mut read)).errors.len(), 1);
}

#[test]
fn a_tilde_is_said_to_be_a_name_like_others() {
    for (name, text) in [
        ("zoo.cfg", "dataDir=~/zk\nclientPort=1\n"),
        ("zoo.toml", "dataDir = \"~/zk\"\nclientPort = 1\n"),
        ("zoo.cfg", "dataDir=/d\ndataLogDir=~me/zk\nclientPort=1\n"),
        ("zoo.cfg", "dataDir=/d\noraclePath=~/oracle\nclientPort=1\n"),
    ] {
        let said = notes(&good(file_with(name, text, &[], &[])));
        let is_said = said.iter().any(|note| note.contains("~ is not expanded"));
        assert!(is_said, "{text}: {said:?}");
    }
    let fine = notes(&good(file_with("zoo.cfg", "dataDir=/d/~x\nclientPort=1\n", &[], &[])));
    assert!(!fine.iter().any(|note| note.contains("expanded")), "{fine:?}");
}

#[test]
fn a_line_that_cannot_be_read_is_the_only_error_about_the_members() {
    let epoch = [("/d/version-2/currentEpoch", "4"), ("/d/myid", "1")];
    for lines in [
        "server.1=a:2888\n",
        "server.1=a:2888\nserver.2=b:2888\n",
        "standaloneEnabled=false\nserver.1=a:2888\n",
        "server.1=a:2888\nserver.2=b:1:2:observer\n",
        "server.1=a:2888\nserver.2=b:1:2\nserver.3=c:1:2\n",
    ] {
        let examined = cfg_with(&format!("initLimit=5\nsyncLimit=2\n{lines}"), &[], &epoch);
        let said = notes(&examined.config);
        assert!(!said.iter().any(|note| note.contains("server")), "{lines}: {said:?}");
        for error in &examined.errors {
            assert!(error.text.contains("host:quorumPort:electionPort"), "{lines}: {error}");
            assert!(error.key.starts_with("server."), "{lines}: {error}");
        }
        assert_eq!(examined.errors.len(), lines.matches("2888\n").count(), "{lines}");
    }
    // All other errors are still reported at the same time.
    let both = cfg_with("server.1=a:2888\nserver.2=b:1:2\nserver.3=c:1:2\n", &[], &epoch);
    let keys: Vec<&str> = both.errors.iter().map(|error| error.key.as_str()).collect();
    assert!(keys.contains(&"initLimit") && keys.contains(&"syncLimit"), "{keys:?}");
}
