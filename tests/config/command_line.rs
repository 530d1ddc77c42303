//! The commands `ringkeeper config …`, and the syntax of the whole command line.

use clap::{CommandFactory as _, Parser as _};
use ringkeeper::cli::{
    self, Cli, Command, ConfigCommand, EXIT_FAILURE, EXIT_OK, EXIT_USAGE, PropertyArgs,
    SnapshotCommand, TxnlogCommand,
};

use ringkeeper::config::report::Here;

use super::*;

/// Runs `ringkeeper config …`; returns the exit code, standard output and standard error.
fn config(arguments: &[&str]) -> (u8, String, String) {
    config_with(arguments, |_| None)
}

fn config_with(
    arguments: &[&str],
    variable: impl Fn(&str) -> Option<String>,
) -> (u8, String, String) {
    let words = ["ringkeeper", "config"].into_iter().chain(arguments.iter().copied());
    let Command::Config(command) = Cli::try_parse_from(words).expect("a command").command else {
        panic!("no config command");
    };
    let (mut out, mut complaints) = (Vec::new(), Vec::new());
    let code = cli::run_config(&command, variable, |_| Here::default(), &mut out, &mut complaints)
        .expect("memory takes every byte");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (code, text(out), text(complaints))
}

/// The checks of the file alone, without those of this machine.
fn of_file(path: &Path) -> Config {
    parse(&std::fs::read(path).expect("the file"), text(path)).expect("a configuration")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

#[test]
fn the_commands_are_those_of_the_readme() {
    Cli::command().debug_assert();
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
    assert!(
        matches!(parse("ringkeeper server"), Ok(Command::Server(args)) if args.config.is_none())
    );
    assert!(
        matches!(parse("ringkeeper server a.toml"), Ok(Command::Server(args)) if args.config.is_some())
    );
    assert!(matches!(parse("ringkeeper version"), Ok(Command::Version)));
    assert!(matches!(
        parse("ringkeeper txnlog dump a b --json"),
        Ok(Command::Txnlog(TxnlogCommand::Dump(args))) if args.files.len() == 2 && args.json
    ));
    assert!(matches!(
        parse("ringkeeper txnlog check a"),
        Ok(Command::Txnlog(TxnlogCommand::Check(args))) if !args.json
    ));
    assert!(matches!(
        parse("ringkeeper snapshot summary a --json"),
        Ok(Command::Snapshot(SnapshotCommand::Summary(args))) if args.json
    ));
    assert!(matches!(
        parse("ringkeeper snapshot dump a"),
        Ok(Command::Snapshot(SnapshotCommand::Dump(_)))
    ));
    assert!(matches!(
        parse("ringkeeper snapshot check a"),
        Ok(Command::Snapshot(SnapshotCommand::Check(_)))
    ));
    assert!(matches!(
        parse("ringkeeper config keys --json"),
        Ok(Command::Config(ConfigCommand::Keys(args))) if args.json
    ));
    for wrong in
        ["ringkeeper", "ringkeeper serve", "ringkeeper txnlog dump", "ringkeeper server a b"]
    {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong}");
    }
    for fine in ["ringkeeper --help", "ringkeeper --version", "ringkeeper server --help"] {
        assert_eq!(parse(fine).unwrap_err().exit_code(), 0, "{fine}");
    }
    let help = Cli::command().render_long_help().to_string();
    for word in ["server", "version", "config", "txnlog", "snapshot", "Exit codes"] {
        assert!(help.contains(word), "{help}");
    }
    assert!(cli::version_line().starts_with("ringkeeper 0."));
}

#[test]
fn check_says_what_is_acted_on_passed_over_and_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    std::fs::write(
        &path,
        format!(
            "{LEAST}leader.closeSocketAsync=true\nDigestAuthenticationProvider.superDigest=geheim\n"
        ),
    )
    .unwrap();
    let (code, out, complaints) = config_with(&["check", text(&path)], |name| {
        (name == "JVMFLAGS").then(|| "-Dzookeeper.snapCount=9".to_owned())
    });
    assert_eq!((code, complaints.as_str()), (EXIT_OK, ""), "{out}");
    let name = path.display().to_string();
    for line in [
        "acted on:".to_owned(),
        format!("  {name}:1: dataDir = /d"),
        "  JVMFLAGS: snapCount = 9".to_owned(),
        format!("  {name}:4: DigestAuthenticationProvider.superDigest = (hidden)"),
        "ignored or worth knowing:".to_owned(),
        "  data folder /d".to_owned(),
        "  session timeouts from 6000 to 60000 ms".to_owned(),
        format!("{name}: a server would start"),
    ] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    assert!(!out.contains("geheim"));
    std::fs::write(&path, "tickTime=x\nssl.ocsp=true\nskipACL=yes\n").unwrap();
    let (code, out, _) = config(&["check", text(&path)]);
    assert_eq!(code, EXIT_USAGE);
    for line in [
        format!("  {name}:1: tickTime = x: allowed: a whole number from 1 to 2147483647 (ms)"),
        format!("  {name}:3: skipACL = yes"),
        format!("{name}: 4 errors, a server would not start"),
    ] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    assert!(!out.contains("ssl.ocsp = true\n"), "what is refused is not acted on: {out}");
    let (code, out, _) = config(&["check", "/nonexistent/zoo.cfg"]);
    assert_eq!(code, EXIT_USAGE);
    assert!(out.contains("/nonexistent/zoo.cfg: cannot be read"), "{out}");
}

#[test]
fn properties_of_the_command_line_count_behind_those_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    std::fs::write(&path, format!("{LEAST}globalOutstandingLimit=5\n")).unwrap();
    let variables = |name: &str| {
        (name == "JVMFLAGS").then(|| "-Dzookeeper.snapCount=9 -Djute.maxbuffer=2000".to_owned())
    };
    let words = [
        "-Dzookeeper.snapCount=7",
        "-Dringkeeper.allowLogGaps=true",
        "-Dzookeeper.globalOutstandingLimit=6",
        "-Dzookeeper.snapCuont=7",
        "-Da.b=c d",
    ];
    let (code, out, complaints) =
        config_with(&[&["check"][..], &words, &[text(&path)]].concat(), variables);
    assert_eq!((code, complaints.as_str()), (EXIT_OK, ""), "{out}");
    for line in [
        "the command line: snapCount = 7",
        "JVMFLAGS: jute.maxbuffer = 2000",
        "the command line: ringkeeper.allowLogGaps = true",
        ":3: globalOutstandingLimit: the file overrides -D in the command line",
        "the command line: -Dzookeeper.snapCuont: unknown key, ignored; did you mean snapCount?",
        "the command line: words for a JVM have no meaning here: -Da.b",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    let parse = |words: &[&str]| Cli::try_parse_from(words).map(|cli| cli.command);
    let Ok(Command::Server(server)) =
        parse(&["ringkeeper", "server", "-Dzookeeper.snapCount=8", text(&path)])
    else {
        panic!("a server");
    };
    let loaded = cli::load(server.config.as_deref(), &server.properties, variables).unwrap();
    assert_eq!(loaded.storage.snap_count, 8);
    // A file name after a -D without a value is no property, and the server must not start without its file.
    for wrong in [&["-D", text(&path)][..], &["-Dname", text(&path)], &["-D=x"]] {
        let error = parse(&[&["ringkeeper", "server"], wrong].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{wrong:?}");
        assert!(error.to_string().contains("-DNAME=VALUE"), "{error}");
    }
}

#[test]
fn check_reads_the_files_that_the_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    std::fs::write(inside("myid"), "3\n").unwrap();
    std::fs::write(inside("dyn.5"), "server.3=localhost:1:2;127.0.0.1:2299\n").unwrap();
    let path = inside("zoo.cfg");
    let lines = format!(
        "dataDir={}\ndynamicConfigFile={}\n",
        folder.path().display(),
        inside("dyn.5").display()
    );
    std::fs::write(&path, lines).unwrap();
    let (code, out, _) = config(&["check", text(&path)]);
    assert_eq!(code, EXIT_OK, "{out}");
    assert!(out.contains("clients at 127.0.0.1:2299"), "{out}");
    let loaded = cli::load(Some(&path), &PropertyArgs::default(), |_| None).unwrap();
    assert_eq!(loaded.quorum.my_id, Some(3));
    let embedded = cli::load(None, &PropertyArgs::default(), |_| None).unwrap();
    assert_eq!(embedded.network.client.unwrap().port, 2181);
}

#[test]
fn convert_writes_a_new_file_and_overwrites_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (cfg, toml) = (folder.path().join("zoo.cfg"), folder.path().join("zoo.toml"));
    std::fs::write(&cfg, include_str!("standalone.cfg")).unwrap();
    let (code, out, complaints) = config(&["convert", text(&cfg), text(&toml)]);
    assert_eq!((code, out.as_str()), (EXIT_OK, ""), "{complaints}");
    assert!(complaints.contains("jute.maxbuffer: carried over as a comment"), "{complaints}");
    let before = of_file(&cfg);
    let after = of_file(&toml);
    assert_eq!(settings(&before), settings(&after));
    let (code, _, complaints) = config(&["convert", text(&cfg), text(&toml)]);
    assert_eq!(code, EXIT_FAILURE);
    assert!(complaints.contains("--force"), "{complaints}");
    let (code, _, complaints) = config(&["convert", text(&toml), text(&cfg), "--force"]);
    assert_eq!((code, complaints.as_str()), (EXIT_OK, ""));
    assert_eq!(settings(&before), settings(&of_file(&cfg)));
    // --force does not overwrite the file that an interrupted conversion has left.
    let leftover = folder.path().join("zoo.cfg.tmp");
    std::fs::write(&leftover, "half").unwrap();
    let (code, _, complaints) = config(&["convert", text(&toml), text(&cfg), "--force"]);
    assert_eq!(code, EXIT_FAILURE);
    assert!(complaints.contains("zoo.cfg.tmp already exists"), "{complaints}");
    assert!(complaints.contains("remove it") && !complaints.contains("--force"), "{complaints}");
    std::fs::remove_file(&leftover).unwrap();
    let (code, out, _) = config(&["convert", text(&toml), "-"]);
    assert_eq!(code, EXIT_OK);
    assert!(out.contains("\ntickTime=2000\n"), "{out}");
    let (_, out, _) = config(&["convert", text(&toml), "-", "--to", "toml"]);
    assert!(out.contains("\ntickTime = 2000\n"), "{out}");
    std::fs::write(&cfg, "tickTime=x\n").unwrap();
    let (code, out, complaints) = config(&["convert", text(&cfg), "-"]);
    assert_eq!((code, out.as_str()), (EXIT_USAGE, ""));
    assert!(complaints.contains(":1: tickTime"), "{complaints}");
    let nowhere = folder.path().join("nowhere/x.cfg");
    let (code, _, _) = config(&["convert", text(&toml), text(&nowhere)]);
    assert_eq!(code, EXIT_FAILURE);
}

#[test]
fn keys_lists_every_key_as_text_and_as_json() {
    let (code, plain, _) = config(&["keys"]);
    assert_eq!(code, EXIT_OK);
    let (_, json, _) = config(&["keys", "--json"]);
    let json: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(json.len(), keys::all().count());
    for key in keys::all() {
        assert!(plain.lines().any(|l| l == format!("  {}", key.name)), "{}", key.name);
        let row = json.iter().find(|row| row["key"] == key.name).unwrap();
        assert!(!row["about"].as_str().unwrap().is_empty());
    }
}

#[test]
fn the_documentation_has_the_table_of_this_version() {
    let (_, table, _) = config(&["keys", "--markdown"]);
    let document = include_str!("../../docs/configuration.md");
    assert!(
        document.contains(&table),
        "docs/configuration.md: replace its tables by the output of \
         `ringkeeper config keys --markdown`"
    );
}

#[test]
fn convert_names_line_key_and_value_of_what_it_cannot_carry_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("zoo.cfg");
    let convert = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        config(&["convert", text(&path), "-"])
    };
    let (code, out, said) = convert(
        b"clientPort=abc\ntickTime=1000 # fast\nsnapCount=100k\nserver.1=a:b:c\n\
          DigestAuthenticationProvider.enabled=geheim\n",
    );
    assert_eq!((code, out.as_str()), (EXIT_USAGE, ""));
    let name = path.display();
    for line in [
        format!("{name}:1: clientPort = abc: allowed: a whole number from 0 to 65535"),
        format!(
            "{name}:2: tickTime = 1000 # fast: allowed: a whole number from 1 to 2147483647 (ms); \
                 a # begins a comment only where a line begins"
        ),
        format!("{name}:3: snapCount = 100k: allowed: "),
        format!("{name}:4: server.1 = a:b:c: the port \"b\" is not a number"),
    ] {
        assert!(said.lines().any(|l| l.starts_with(&line)), "{line}\n{said}");
    }
    // The error names the line of a duplicate key.
    let (code, _, said) = convert(b"clientPort=1\nclientPort=2\n");
    assert_eq!(code, EXIT_OK);
    assert!(said.contains(&format!("{name}:1: clientPort: set again further down")), "{said}");
    // A file that is longer than a configuration may be is an error; it is not cut silently.
    let (code, out, said) = convert(&vec![b'a'; 2 << 20]);
    assert_eq!((code, out.as_str()), (EXIT_USAGE, ""));
    assert!(said.contains("larger than 1048576 bytes"), "{said}");
}
