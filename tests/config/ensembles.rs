//! Configurations of ensembles: which files describe one, which settings its members get, and the files in which a
//! reconfiguration is saved.

use ringkeeper::config::PeerType;
use ringkeeper::config::dynamic::{self, Keeper};
use ringkeeper::id::ServerId;
use ringkeeper::quorum;
use ringkeeper::zab::ConfigChange;

use super::*;

const THREE: &str = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ninitLimit=10\nsyncLimit=5\n";

/// Examines the configuration of member 1 of an ensemble.
fn member(lines: &str) -> Examination {
    cfg_with(lines, &[], &[("/d/myid", "1\n")])
}

#[test]
fn a_real_member_starts_with_its_dynamic_file() {
    let text = include_str!("member.cfg");
    let dynamic = include_str!("zoo.cfg.dynamic.400000003");
    let name = "/var/lib/zookeeper.cfg.dynamic.500000003";
    let files = [(name, dynamic), ("/var/lib/zookeeper/myid", "3")];
    let config = good(file_with("zoo.cfg", text, &[], &files));
    let quorum = &config.quorum;
    assert_eq!(quorum.version, 0x5_0000_0003);
    assert_eq!(quorum.servers.keys().copied().collect::<Vec<_>>(), vec![1, 3, 4]);
    assert_eq!(config.admin.four_letter_words, Whitelist::All);
    assert!(quorum.is_distributed() && quorum.me() == Some(ServerId(3)));
    assert_eq!((quorum.init_limit, quorum.sync_limit), (10, 5));
    let ensemble = quorum.ensemble();
    assert_eq!(ensemble.version, 0x5_0000_0003);
    assert_eq!(ensemble.voters().collect::<Vec<_>>(), [ServerId(1), ServerId(3)]);
    let said = notes(&config);
    assert!(said.iter().any(|n| n.contains("no server failure will be tolerated")), "{said:#?}");
    let parsed = parse(text.as_bytes(), "zoo.cfg").unwrap();
    assert_eq!(parsed.quorum.dynamic_config_file.as_deref(), Some(Path::new(name)));
    assert_eq!(parsed.storage.pre_alloc_bytes, 65_536);
}

#[test]
fn three_servers_are_an_ensemble_in_both_forms() {
    let cfg = good(member(THREE));
    assert!(cfg.quorum.is_distributed());
    assert_eq!(notes(&cfg), Vec::<String>::new());
    let toml = "dataDir = \"/d\"\nclientPort = 2181\ninitLimit = 10\nsyncLimit = 5\n\
                [server]\n1 = \"a:1:2\"\n2 = \"b:1:2\"\n3 = \"c:1:2\"\n";
    let toml = good(file_with("zoo.toml", toml, &[], &[("/d/myid", "1")]));
    assert_eq!(settings(&cfg), settings(&toml));
}

#[test]
fn what_makes_no_ensemble_is_an_error_that_says_why() {
    let one = "server.1=a:1:2\n";
    let two = "server.1=a:1:2\nserver.2=b:1:2\n";
    let limits = "initLimit=10\nsyncLimit=5\n";
    let observer = "server.2=b:1:2:observer\n";
    for (lines, problem, text) in [
        (format!("{two}syncLimit=5\n"), Problem::Missing, "initLimit is not set"),
        (format!("{two}initLimit=5\n"), Problem::Missing, "syncLimit is not set"),
        (format!("{two}initLimit=5\nsyncLimit=0\n"), Problem::Missing, "syncLimit is not set"),
        (format!("{one}{observer}"), Problem::Conflict, "observers need"),
        (observer.to_owned(), Problem::Conflict, "observers need"),
        ("standaloneEnabled=false\n".to_owned(), Problem::Conflict, "at least one server.N"),
        ("server.principal=x:1:2\n".to_owned(), Problem::Value, "allowed: server.N"),
        ("server.9223372036854775808=x:1:2\n".to_owned(), Problem::Value, "allowed: server.N"),
        ("server.1=a:1\n".to_owned(), Problem::Value, "allowed: host"),
        ("group.1=1:x\n".to_owned(), Problem::Value, "allowed: server ids"),
        (format!("{one}group.1=1:2\n"), Problem::Conflict, "there is no server.2"),
        (format!("{one}group.1=1:1\n"), Problem::Conflict, "more than one group"),
        (
            format!("{one}weight.1=2\n"),
            Problem::Conflict,
            "weight.1 has a meaning only within groups",
        ),
        (format!("{one}weight.1=1\n"), Problem::Conflict, "in no group"),
        (
            format!("{THREE}server.4=d:1:2:observer\ngroup.1=1:2:3:4\n"),
            Problem::Conflict,
            "does not vote and weighs nothing",
        ),
        ("weight.1=heavy\n".to_owned(), Problem::Value, "allowed: a whole number"),
        (
            format!("{limits}server.1=a:1:2|b:1:2\nserver.2=c:1:2\n"),
            Problem::Conflict,
            "multiAddress.enabled",
        ),
        (
            format!("{THREE}fastleader.minNotificationInterval=70000\n"),
            Problem::Conflict,
            "must not be larger",
        ),
    ] {
        let error = error(member(&lines));
        assert_eq!(error.problem, problem, "{lines}: {error}");
        assert!(error.text.contains(text), "{lines}: {error}");
    }
    let text = "dynamicConfigFile=/dyn\nserver.1=a:1:2\n";
    let error = error(cfg_with(text, &[], &[("/dyn", "")]));
    assert!(error.text.contains("must be in the dynamic file"), "{error}");
}

#[test]
fn a_member_must_know_its_number_and_stand_in_the_list() {
    let missing = error(cfg(THREE));
    assert_eq!(missing.problem, Problem::Missing);
    assert!(missing.to_string().starts_with("/d/myid: myid file is missing"), "{missing}");
    let stranger = error(cfg_with(THREE, &[], &[("/d/myid", "7")]));
    assert!(stranger.text.contains("My id 7 not in the peer list"), "{stranger}");
    assert!(stranger.text.contains("servers 1, 2, 3"), "{stranger}");
    for wrong in ["", "one", "-2", "99999999999999999999"] {
        let wrong = error(cfg_with(THREE, &[], &[("/d/myid", wrong)]));
        assert!(wrong.text.contains("this server's number and nothing else"), "{wrong}");
    }
    let large = THREE.replace("server.3", "server.256");
    let large = good(cfg_with(&large, &[], &[("/d/myid", "256")]));
    assert!(notes(&large)[0].contains("numbers above 255"), "{:?}", notes(&large));
}

#[test]
fn one_participant_is_an_ensemble_where_standing_alone_is_switched_off() {
    let lines = "server.1=a:1:2\nstandaloneEnabled=false\ninitLimit=5\nsyncLimit=2\n";
    let config = good(member(lines));
    assert!(config.quorum.is_distributed());
    let with_observer = good(member(&format!("{lines}server.2=b:1:2:observer\n")));
    assert!(with_observer.quorum.is_distributed());
    assert!(!good(member("server.1=a:1:2\n")).quorum.is_distributed());
}

#[test]
fn an_operator_is_warned_of_two_and_of_even_numbers_of_voters() {
    let lines = |count: u32| {
        let servers: String = (1..=count).map(|n| format!("server.{n}=h{n}:1:2\n")).collect();
        format!("{servers}initLimit=5\nsyncLimit=2\n")
    };
    let said = |count| notes(&good(member(&lines(count))));
    assert!(said(2)[0].contains("no server failure will be tolerated"), "{:?}", said(2));
    assert!(said(4)[0].contains("odd number"), "{:?}", said(4));
    assert!(said(3).is_empty() && said(5).is_empty());
}

#[test]
fn the_list_of_servers_decides_the_role() {
    let lines = THREE.replace("c:1:2", "c:1:2:observer");
    let role = |id: &str, more: &str| {
        let config = good(cfg_with(&format!("{lines}{more}"), &[], &[("/d/myid", id)]));
        let warned = notes(&config).iter().any(|n| n.contains("the list counts"));
        (config.quorum.peer_type.unwrap(), warned)
    };
    assert_eq!(role("3", ""), (PeerType::Observer, false));
    assert_eq!(role("3", "peerType=observer\n"), (PeerType::Observer, false));
    assert_eq!(role("3", "peerType=participant\n"), (PeerType::Observer, true));
    assert_eq!(role("1", "peerType=observer\n"), (PeerType::Participant, true));
}

#[test]
fn several_addresses_are_allowed_where_that_is_switched_on() {
    let lines = THREE.replace("a:1:2", "a:1:2|a2:3:4");
    let config = good(member(&format!("{lines}multiAddress.enabled=true\n")));
    assert_eq!(config.quorum.servers[&1].addresses.len(), 2);
}

#[test]
fn a_configuration_that_was_proposed_is_read_and_a_broken_one_passed_over() {
    let dynamic = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n";
    let next = "server.1=a:1:2:participant\nserver.4=d:1:2:observer;2181\nversion=10000000f\n";
    let lines =
        "dynamicConfigFile=/dyn.100000000\nreconfigEnabled=true\ninitLimit=5\nsyncLimit=2\n";
    let read = |lines: &str, next: &str| {
        let files = [("/d/myid", "1"), ("/dyn.100000000", dynamic), ("zoo.cfg.dynamic.next", next)];
        good(cfg_with(lines, &[], &files))
    };
    let seen = read(lines, next).quorum.last_seen.unwrap();
    assert_eq!(seen.version, 0x1_0000_000f);
    assert_eq!(seen.members.len(), 2);
    assert!(read(&lines.replace("true", "false"), next).quorum.last_seen.is_none());
    for broken in ["server.1=a", "nonsense=1", "version=zz", "\u{0}"] {
        let config = read(lines, broken);
        assert!(config.quorum.last_seen.is_none());
        let said = notes(&config);
        assert!(said.iter().any(|n| n.starts_with("zoo.cfg.dynamic.next: ignored")), "{said:?}");
    }
}

// The files of the configuration.

fn config(text: &str) -> quorum::Config {
    quorum::Config::parse(text).expect("a configuration")
}

const GOLDEN_STATIC: &str = "\
dataDir=/var/lib/zookeeper\n4lw.commands.whitelist=*\nclientPort=24181\ninitLimit=10\n\
tickTime=2000\nsyncLimit=5\npreAllocSize=64\nreconfigEnabled=true\nclientPortAddress=127.0.0.1\n";

#[test]
fn the_dynamic_file_is_zookeeper_s() {
    // As ZooKeeper writes it: no version, no end of the last line, sorted as texts.
    let golden = include_str!("zoo.cfg.dynamic.400000003");
    let text = format!("{}\nversion=400000003", golden.trim_end());
    assert_eq!(dynamic::dynamic_text(&config(&text)), golden.trim_end());
    assert_eq!(dynamic::next_text(&config(&text)), text);
    let ten = config("server.2=a:1:2:participant\nserver.10=b:1:2:observer;0.0.0.0:5\nversion=a");
    assert_eq!(
        dynamic::next_text(&ten),
        "server.10=b:1:2:observer;0.0.0.0:5\nserver.2=a:1:2:participant\nversion=a"
    );
}

#[test]
fn the_static_file_keeps_its_lines_but_for_the_members() {
    let servers = "server.1=a:1:2\ngroup.1=1\nweight.1 : 3\npeerType observer\n\
                   dynamicConfigFile=/old\n";
    let text = |bytes: String, drop_client| {
        let name = "zoo.cfg";
        let out = dynamic::static_text(bytes.as_bytes(), name, "/c/zoo.cfg.dynamic.5", drop_client);
        String::from_utf8(out.unwrap()).unwrap()
    };
    let named = "dynamicConfigFile=/c/zoo.cfg.dynamic.5\n";
    assert_eq!(text(format!("{servers}{GOLDEN_STATIC}"), false), format!("{GOLDEN_STATIC}{named}"));
    let without_client: String = GOLDEN_STATIC
        .lines()
        .filter(|line| !line.starts_with("clientPort"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(text(format!("{GOLDEN_STATIC}{servers}"), true), format!("{without_client}{named}"));
    // Comments, blank lines and joined lines stay; a removed key takes all of its joined lines along.
    let odd = "# why\n\ntickTime=\\\n  2000\nserver.1=\\\n   a:1:\\\n  2\n! end\nclientPortListenBacklog=7";
    assert_eq!(
        text(odd.to_owned(), true),
        format!("# why\n\ntickTime=\\\n  2000\n! end\nclientPortListenBacklog=7\n{named}")
    );
}

#[test]
fn a_static_toml_file_keeps_what_it_says() {
    let toml = "# ours\ndataDir = \"/d\"\nclientPort = 2181\ninitLimit = 10\n\n[server]\n\
                1 = \"a:1:2\"\n# the second\n2 = \"b:1:2\"\n\n[ringkeeper]\ncores = 2\n";
    let out = dynamic::static_text(toml.as_bytes(), "zoo.toml", "/c/dyn.5", true).unwrap();
    let out = String::from_utf8(out).unwrap();
    for line in ["# ours", "dataDir = \"/d\"", "initLimit = 10", "[ringkeeper]", "cores = 2"] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    assert!(out.contains("dynamicConfigFile = \"/c/dyn.5\"\n"), "{out}");
    assert!(!out.contains("clientPort") && !out.contains("a:1:2"), "{out}");
    let examination = file_with("zoo.toml", &out, &[], &[("/c/dyn.5", "server.1=a:1:2;2181\n")]);
    assert_eq!(examination.config.quorum.version, 5);
    let broken = dynamic::static_text(b"a = ", "zoo.toml", "/c/dyn.5", true);
    assert!(broken.unwrap_err().starts_with("zoo.toml:1"));
}

/// A member's folder with its static file.
struct Folder {
    folder: tempfile::TempDir,
    config: Config,
}

impl Folder {
    fn new(more: &str) -> Folder {
        let folder = tempfile::tempdir().expect("a folder for tests");
        let data = folder.path().display();
        std::fs::write(folder.path().join("myid"), "1").expect("a folder for tests");
        let text = format!("# ours\ndataDir={data}\nclientPort=2181\n{THREE}{more}");
        std::fs::write(folder.path().join("zoo.cfg"), text).expect("a folder for tests");
        let path = folder.path().join("zoo.cfg");
        let config =
            ringkeeper::cli::load(Some(&path), &ringkeeper::cli::PropertyArgs::default(), |_| None)
                .expect("a folder for tests");
        Folder { folder, config }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(&self.config, Some(&self.folder.path().join("zoo.cfg")))
    }

    fn text(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join(name)).ok()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder for tests");
        let mut names: Vec<String> = entries
            .map(|e| {
                e.expect("a folder for tests")
                    .file_name()
                    .into_string()
                    .expect("a folder for tests")
            })
            .collect();
        names.sort();
        names
    }
}

fn proposed(text: &str) -> ConfigChange {
    ConfigChange::Proposed(std::rc::Rc::new(config(text)))
}

fn active(text: &str) -> ConfigChange {
    ConfigChange::Active(std::rc::Rc::new(config(text)))
}

const FIRST: &str = "server.1=a:1:2:participant\nserver.2=b:1:2:participant\n\
                     server.3=c:1:2:participant\nversion=100000000";
const SECOND: &str = "server.1=a:1:2:participant;0.0.0.0:2281\nserver.2=b:1:2:participant\n\
                      server.4=d:1:2:observer\nversion=100000007";

#[test]
fn a_reconfiguration_leaves_the_files_that_zookeeper_leaves() {
    let folder = Folder::new("reconfigEnabled=true\n");
    let original = folder.text("zoo.cfg").unwrap();
    let mut keeper = folder.keeper();
    keeper.back_up();
    assert_eq!(folder.text("zoo.cfg.bak").as_deref(), Some(&*original));
    keeper.keep(&active(FIRST));
    let data = folder.folder.path().canonicalize().unwrap();
    let rewritten = |version: &str, client: &str| {
        format!(
            "# ours\ndataDir={}\n{client}initLimit=10\nsyncLimit=5\nreconfigEnabled=true\n\
             dynamicConfigFile={}/zoo.cfg.dynamic.{version}\n",
            folder.folder.path().display(),
            data.display()
        )
    };
    assert_eq!(folder.text("zoo.cfg"), Some(rewritten("100000000", "clientPort=2181\n")));
    assert_eq!(
        folder.text("zoo.cfg.dynamic.100000000").as_deref(),
        Some(FIRST.strip_suffix("\nversion=100000000").unwrap())
    );
    keeper.keep(&proposed(SECOND));
    assert_eq!(folder.text("zoo.cfg.dynamic.next").as_deref(), Some(SECOND));
    let rest = ["myid", "zoo.cfg", "zoo.cfg.bak", "zoo.cfg.dynamic.100000000"];
    assert_eq!(folder.names(), [&rest[..], &["zoo.cfg.dynamic.next"]].concat());
    keeper.keep(&active(SECOND));
    // The client port of this server is in the dynamic file now, and no longer in the static one.
    assert_eq!(folder.text("zoo.cfg"), Some(rewritten("100000007", "")));
    assert_eq!(folder.names(), [&rest[..], &["zoo.cfg.dynamic.100000007"]].concat());
    // A known or an older configuration changes nothing.
    std::fs::remove_file(folder.folder.path().join("zoo.cfg.dynamic.100000007")).unwrap();
    keeper.keep(&active(SECOND));
    keeper.keep(&active(FIRST));
    keeper.keep(&proposed(SECOND));
    assert_eq!(folder.names(), rest);
    // The next start reads all of it.
    std::fs::write(
        folder.folder.path().join("zoo.cfg.dynamic.100000007"),
        dynamic::dynamic_text(&config(SECOND)),
    )
    .unwrap();
    let again = ringkeeper::cli::load(
        Some(&folder.folder.path().join("zoo.cfg")),
        &ringkeeper::cli::PropertyArgs::default(),
        |_| None,
    );
    let again = again.unwrap();
    assert_eq!(again.quorum.ensemble(), config(SECOND));
    assert_eq!(again.network.client.unwrap().port, 2281);
}

#[test]
fn without_reconfig_no_file_is_touched() {
    let folder = Folder::new("");
    let mut keeper = folder.keeper();
    let before = (folder.names(), folder.text("zoo.cfg"));
    keeper.back_up();
    keeper.keep(&proposed(SECOND));
    keeper.keep(&active(SECOND));
    assert_eq!((folder.names(), folder.text("zoo.cfg")), before);
}

#[test]
fn a_proposal_that_another_one_replaced_is_kept_until_that_is_active() {
    let folder = Folder::new("reconfigEnabled=true\n");
    let mut keeper = folder.keeper();
    keeper.keep(&active(FIRST));
    keeper.keep(&proposed(&SECOND.replace("version=100000007", "version=200000001")));
    keeper.keep(&active(SECOND));
    let next = folder.text("zoo.cfg.dynamic.next").unwrap();
    assert!(next.ends_with("version=200000001"), "{next}");
}

#[test]
fn files_that_cannot_be_written_stop_nobody() {
    let folder = Folder::new("reconfigEnabled=true\n");
    let mut keeper = folder.keeper();
    let zoo_cfg = folder.text("zoo.cfg");
    // A folder has the name of the file, so renaming fails, even for root.
    std::fs::create_dir(folder.folder.path().join("zoo.cfg.dynamic.100000000")).unwrap();
    std::fs::create_dir(folder.folder.path().join("zoo.cfg.dynamic.next")).unwrap();
    keeper.keep(&active(FIRST));
    keeper.keep(&proposed(SECOND));
    assert_eq!(folder.text("zoo.cfg"), zoo_cfg, "it must not name what is not there");
    assert!(folder.names().iter().all(|name| !name.ends_with(".tmp")), "{:?}", folder.names());
}

/// The files of server 1 as Apache ZooKeeper 3.9.4 left them after its first start and after two reconfigurations: an
/// observer joined, then server 1 got a client address.
#[test]
fn the_files_are_those_that_zookeeper_left_at_the_same_reconfigurations() {
    const BEFORE: &str = include_str!("../golden/reconfig-3.9.4/zoo.cfg.before");
    const CHANGES: [(&str, Option<&str>, &str); 3] = [
        ("100000000", None, include_str!("../golden/reconfig-3.9.4/zoo.cfg.dynamic.100000000")),
        (
            "100000009",
            Some(include_str!("../golden/reconfig-3.9.4/zoo.cfg.100000009")),
            include_str!("../golden/reconfig-3.9.4/zoo.cfg.dynamic.100000009"),
        ),
        (
            "10000000a",
            Some(include_str!("../golden/reconfig-3.9.4/zoo.cfg.10000000a")),
            include_str!("../golden/reconfig-3.9.4/zoo.cfg.dynamic.10000000a"),
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let here = |text: &str| text.replace("FOLDER", path.to_str().unwrap());
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    std::fs::create_dir(path.join("data")).unwrap();
    std::fs::write(path.join("data/myid"), "1").unwrap();
    std::fs::write(path.join("zoo.cfg"), here(BEFORE)).unwrap();
    let config = ringkeeper::cli::load(
        Some(&path.join("zoo.cfg")),
        &ringkeeper::cli::PropertyArgs::default(),
        |_| None,
    )
    .unwrap();
    let mut keeper = Keeper::new(&config, Some(&path.join("zoo.cfg")));
    keeper.back_up();
    for (version, theirs, dynamic) in CHANGES {
        let text = format!("{dynamic}\nversion={version}");
        keeper.keep(&proposed(&text));
        keeper.keep(&active(&text));
        assert_eq!(read(&format!("zoo.cfg.dynamic.{version}")), dynamic);
        let Some(theirs) = theirs else { continue };
        let pairs = |text: &str| -> Vec<String> {
            // ZooKeeper drops the backlog together with the port, although it is no part of the address.
            let stays = |line: &&str| !line.starts_with('#') && !line.contains("Backlog");
            let mut lines: Vec<String> = text.lines().filter(stays).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(pairs(&read("zoo.cfg")), pairs(&here(theirs)), "{version}");
    }
    assert_eq!(read("zoo.cfg.bak"), here(BEFORE));
    assert!(!path.join("zoo.cfg.dynamic.next").exists());
    assert!(read("zoo.cfg").contains("# a comment\n"), "comments stay");
}

#[test]
fn addresses_that_two_servers_share_are_warned_of_with_both_keys() {
    let said = |lines: &str| notes(&good(member(&format!("initLimit=10\nsyncLimit=5\n{lines}"))));
    let one = said("server.1=a:1:2\nserver.2=B:3:4\nserver.3=b:3:4\n");
    assert_eq!(one.len(), 1, "{one:#?}");
    for part in [
        "zoo.cfg:7: server.3: its quorum port b:3 is the quorum port of server.2, and its election port \
         b:4 is the election port of server.2 (zoo.cfg:6)",
        "Correct server.3 or server.2",
        "2 of the 3 participants can run and 2 are needed, so the first failure of a server stops",
    ] {
        assert!(one[0].contains(part), "no {part:?} in {one:#?}");
    }
    let of = |hosts: &str| {
        let line = |(id, host): (usize, char)| format!("server.{}={host}:1:2\n", id + 1);
        said(&hosts.chars().enumerate().map(line).collect::<String>()).join("\n")
    };
    assert!(
        of("abbb").contains("2 of the 4 participants can run and 3 are needed, so there is never")
    );
    let spare = "so the ensemble survives the failure of 1 of them, and not of 2";
    assert!(of("abbcd").contains(spare), "{}", of("abbcd"));
    // The same host with exchanged ports.
    let swapped = said("server.1=a:1:2\nserver.2=a:2:1\nserver.3=c:5:6\n");
    assert_eq!(swapped.len(), 1, "{swapped:#?}");
    assert!(swapped[0].contains("server.2: its quorum port a:2 is the election port of server.1"));
    // Another host, where exchanged ports may be intended.
    let swapped = said("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:2:1\n");
    assert_eq!(swapped.len(), 1, "{swapped:#?}");
    assert!(swapped[0].contains("server.3: its quorum port is the election port of server.1"));
    let clients = said("server.1=a:1:2\nserver.2=b:1:2;5\nserver.3=b:5:6\n");
    assert!(clients[0].contains("server.3: its quorum port b:5 is the client port of server.2"));
    let of_another = said("server.1=a:1:2\nserver.2=b:1:2;2\nserver.3=c:5:6\n");
    assert!(of_another[0].contains("server.2: its client port b:2 is its election port too"));
    // Each server may write the wildcard for itself; different ports and hosts are allowed.
    let fine = "server.1=0.0.0.0:1:2;2181\nserver.2=a:1:2;2181\nserver.3=a:3:4;2182\n";
    assert_eq!(said(fine), Vec::<String>::new());
}

#[test]
fn a_server_whose_own_ports_collide_is_refused() {
    let limits = "initLimit=10\nsyncLimit=5\n";
    let others = "server.2=b:1:2\nserver.3=c:1:2\n";
    for (line, part) in [
        ("server.1=a:2181:2\n", "its client port a:2181 is its quorum port too"),
        ("server.1=a:1:2181;2181\n", "its client port a:2181 is its election port too"),
        ("server.1=a:7:7\n", "must be different"),
    ] {
        let refused = member(&format!("{limits}{line}{others}")).into_result();
        let errors = refused.expect_err(line);
        let said = errors.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains("server.1") && said.contains(part), "{line}: {said}");
    }
}

#[test]
fn two_addresses_of_a_server_may_have_a_host_or_a_port_in_common() {
    let limits = "multiAddress.enabled=true\ninitLimit=10\nsyncLimit=5\n";
    let others = "server.2=b:1:2\nserver.3=c:1:2\n";
    for lines in [
        "server.1=a:2888:3888|a:2889:3889;2181\n",
        "server.1=a:2888:3888|a:2889:3889\nclientPort=2181\n",
        "server.1=a:2888:3888|A:2889:3889|d:2888:3888;a:2181\n",
        "server.1=a:2888:3888|a:2888:3889;2181\n",
        "server.1=a:2888:3888|a:2889:3888;2181\n",
    ] {
        let said = notes(&good(member(&format!("{limits}{lines}{others}"))));
        assert!(!said.iter().any(|note| note.contains("too")), "{lines}: {said:?}");
    }
    let line = "server.1=a:2888:3888|a:3888:2889;2181\n";
    let refused = error(member(&format!("{limits}{line}{others}")));
    assert!(refused.text.contains("its election port a:3888 is its quorum port too"), "{refused}");
}
