//! The audit log of whole servers: the same script against Ringkeeper and Apache ZooKeeper 3.9.4 gives the same lines,
//! field by field, but for the differences that `docs/audit.md` names.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper::proto::OpCode;
use ringkeeper_rawclient::{Body, OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Ensemble, Program, Server};

/// How long a line may take that a server writes after its answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The hash of an id that the script puts into an ACL.
const HASH: &str = "cCbx47ty3SYArWpZ2JsxPGhQdHk=";

const EPHEMERAL: &str = "ephemeralZNodeDeletionOnSessionCloseOrExpire";

type Fields = Vec<(String, String)>;

fn ringkeeper() -> Program {
    Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into())
}

fn audited() -> Config {
    Config::new().line("audit.enable=true").line("extendedTypesEnabled=true")
}

/// The fields of the audit lines in a file.
fn lines_of(file: &Path) -> Vec<Fields> {
    let text = fs::read_to_string(file).unwrap();
    let told = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Slf4jAuditLogger")?;
        // Ours, as in ZooKeeper's logback.xml; and log4j's form for a server without a configuration of its log.
        rest.strip_prefix(": ").or_else(|| rest.strip_prefix(" - "))
    });
    let fields = |line: &str| -> Fields {
        let fields = line.split('\t').map(|field| field.split_once('=').expect(line));
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    told.map(fields).collect()
}

fn get<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
}

/// Waits until a server has told that the node is gone with its session.
fn await_end_of(server: &Server, path: &str) {
    let begun = Instant::now();
    let is_told = |fields: &Fields| {
        get(fields, "operation") == Some(EPHEMERAL) && get(fields, "znode") == Some(path)
    };
    while !lines_of(&server.log_file()).iter().any(is_told) {
        assert!(begun.elapsed() < PATIENCE, "no line for {path}:\n{}", server.log_tail(30));
        thread::sleep(Duration::from_millis(20));
    }
}

fn reconfig(joining: Option<&str>) -> Body {
    let joining = joining.map(str::as_bytes);
    Body::new().buffer(joining).buffer(None).buffer(None).long(-1)
}

/// One client after another does everything that is audited, below `/NAME`; returns the path of an ephemeral node that
/// went with its session.
fn play(server: &Server, name: &str) -> String {
    play_with(server, name, false)
}

/// The same; `malformed`: with a request that cannot be decoded, after which a member of ZooKeeper closes the connection.
fn play_with(server: &Server, name: &str, malformed: bool) -> String {
    let mut session = Session::open(server.socket_addr(), 10_000).unwrap();
    let at = |below: &str| format!("/{name}{below}");
    let (root, ephemeral) = (at(""), at("/e"));
    let create = |below: &str, flags| Body::create(&at(below), Some(b"secret"), OPEN_ACL, flags);
    let ttl = |below: &str, flags| Body::create_ttl(&at(below), None, OPEN_ACL, flags, 100_000);
    let set = |below: &str, version| Body::set_data(&at(below), Some(b"secret"), version);
    let delete = |below: &str| Body::path_version(&at(below), -1);
    let acl: &[(i32, &str, &str)] =
        &[(31, "world", "anyone"), (1, "digest", &format!("bob:{HASH}")), (2, "ip", "10.0.0.0/8")];
    let parts = Body::new()
        .multi_op(OpCode::Create.number(), &create("/m", 0))
        .multi_op(OpCode::Create2.number(), &create("/m/s-", 2))
        .multi_op(OpCode::CreateTtl.number(), &ttl("/m/t", 5))
        .multi_op(OpCode::SetData.number(), &set("/m", -1))
        .multi_op(OpCode::Create.number(), &create("/gone", 1))
        .multi_op(OpCode::Delete.number(), &delete("/gone"))
        .multi_op(OpCode::Check.number(), &delete("/m"))
        .multi_end();
    let failing = Body::new()
        .multi_op(OpCode::Create.number(), &create("/never", 0))
        .multi_op(OpCode::Delete.number(), &delete("/missing"))
        .multi_end();
    let steps = vec![
        (OpCode::Create, create("", 0), true),
        (OpCode::Create, create("", 1), false),
        (OpCode::Create2, create("/e", 1), true),
        (OpCode::Create, create("/s-", 2), true),
        (OpCode::CreateContainer, create("/c", 4), true),
        (OpCode::CreateTtl, ttl("/t", 5), true),
        (OpCode::CreateTtl, ttl("/missing/t", 6), false),
        (OpCode::SetData, set("", -1), true),
        (OpCode::SetData, set("", 7), false),
        (OpCode::SetAcl, Body::set_acl(&root, acl, -1), true),
        (OpCode::SetAcl, Body::set_acl(&at("/missing"), acl, -1), false),
        (OpCode::Delete, delete("/c"), true),
        (OpCode::Delete, delete("/c"), false),
        (OpCode::Multi, parts, true),
        // Its reply says what each part met.
        (OpCode::Multi, failing, true),
        (OpCode::Reconfig, reconfig(Some("server.9=127.0.0.1:1:2:observer;3")), false),
        (OpCode::Exists, Body::path_watch(&root, false), true),
        (OpCode::Auth, Body::auth("digest", b"bob:secret"), true),
        (OpCode::Create, create("/by-bob", 0), true),
        (OpCode::Create, create("/by-bob", 0), false),
    ];
    let last = malformed.then(|| (OpCode::Create, Body::new().int(5), false));
    for (step, (op, body, works)) in steps.into_iter().chain(last).enumerate() {
        let done = session.call(op, &body);
        assert_eq!(done.is_ok(), works, "step {step}, {}: {done:?}", op.name());
    }
    session.close().unwrap();
    ephemeral
}

/// Lines in the form in which two servers are compared: sessions are numbered in the order in which they appear, the
/// names of a user are sorted (ZooKeeper keeps them in a hash set), and the user of this machine is `server`.
fn compared(lines: Vec<Fields>) -> Vec<Fields> {
    let mut sessions: HashMap<String, usize> = HashMap::new();
    let is_of_server =
        |fields: &Fields| get(fields, "ip").is_none() && get(fields, "user").is_some();
    let mut compared = Vec::new();
    for mut fields in lines {
        let of_server = is_of_server(&fields);
        for (name, value) in &mut fields {
            match &**name {
                "session" => {
                    let next = sessions.len();
                    *value = sessions.entry(value.clone()).or_insert(next).to_string();
                }
                "user" if of_server => *value = "server".to_owned(),
                "user" => {
                    let mut names: Vec<&str> = value.split(',').collect();
                    names.sort_unstable();
                    *value = names.join(",");
                }
                // The first named difference: we do not show hashes of passwords.
                "acl" => *value = value.replace(HASH, "x"),
                _ => {}
            }
        }
        compared.push(fields);
    }
    compared
}

/// Compares the lines of two servers.
fn assert_same(ours: &Server, theirs: &Server) {
    let read = |server: &Server| compared(lines_of(&server.log_file()));
    let (ours, theirs) = (read(ours), read(theirs));
    for (place, (mine, yours)) in ours.iter().zip(&theirs).enumerate() {
        let mut mine = mine.clone();
        // The second named difference: ZooKeeper does not know the kind of a sequential or TTL node in a multi.
        let path = get(&mine, "znode").unwrap_or_default();
        if path.contains("/m/") && get(yours, "znode_type").is_none() {
            assert!(get(&mine, "znode_type").is_some(), "{mine:?}");
            mine.retain(|(name, _)| name != "znode_type");
        }
        let mut yours = yours.clone();
        // The third: ZooKeeper takes a create that cannot be decoded for one of a persistent node.
        if get(&yours, "operation") == Some("create") && get(&yours, "znode").is_none() {
            yours.retain(|(name, _)| name != "znode_type");
        }
        assert_eq!(mine, yours, "line {place}");
    }
    assert_eq!(ours.len(), theirs.len(), "{ours:#?}\n{theirs:#?}");
}

#[test]
fn one_server_tells_what_zookeeper_tells_with_one_executor_and_with_session_cores() {
    let theirs = Server::zookeeper_3_9(audited());
    await_end_of(&theirs, &play_with(&theirs, "a", true));
    for cores in ["ringkeeper.cores=1", "ringkeeper.cores=3"] {
        // At the lowest level, because nothing secret may be in the log of the server either.
        let config = audited().line(cores).line("ringkeeper.logLevel=trace");
        let mut ours = Server::start(ringkeeper(), config);
        await_end_of(&ours, &play_with(&ours, "a", true));
        assert_same(&ours, &theirs);
        assert!(ours.four_letter("mntr").contains("zk_audit_dropped\t0\n"));
        let text = fs::read_to_string(ours.log_file()).unwrap();
        let tells = |line: &&str| line.contains("secret") || line.contains(HASH);
        assert_eq!(text.lines().find(tells), None, "data, passwords and hashes are told nowhere");
        ours.terminate(PATIENCE);
        let last = lines_of(&ours.log_file()).pop().unwrap();
        assert_eq!(get(&last, "operation"), Some("serverStop"));
        assert_eq!(get(&last, "result"), Some("invoked"));
    }
}

/// An ensemble of three after the script, at the leader first.
fn played(program: &Program) -> (Ensemble, Vec<usize>) {
    let mut ensemble = Ensemble::start(&vec![program.clone(); 3], audited());
    let leader = ensemble.leader();
    let order: Vec<usize> = [leader].into_iter().chain(ensemble.followers()).collect();
    for (place, id) in order.iter().enumerate() {
        let path = play(ensemble.server(*id), &format!("a{place}"));
        for id in ensemble.ids() {
            await_end_of(ensemble.server(id), &path);
        }
    }
    (ensemble, order)
}

#[test]
fn each_member_tells_of_its_own_clients_and_of_every_session_that_ends() {
    let (theirs, their_order) = played(&Program::ZooKeeper39);
    let (ours, our_order) = played(&ringkeeper());
    for (our, their) in our_order.into_iter().zip(their_order) {
        assert_same(ours.server(our), theirs.server(their));
    }
}

// ZooKeeper: a reconfig that a follower has passed on was seen to be told as a failure.
#[test]
fn a_reconfig_that_a_follower_passes_on_is_told_as_what_it_was() {
    let config = audited().line("reconfigEnabled=true").line("skipACL=yes");
    let mut ensemble = Ensemble::start(&vec![ringkeeper(); 3], config);
    ensemble.leader();
    let follower = ensemble.followers()[0];
    let server = ensemble.server(follower);
    let mut session = Session::open(server.socket_addr(), 10_000).unwrap();
    let joining = reconfig(Some("server.9=127.0.0.1:1:2:observer;127.0.0.1:3"));
    session.call(OpCode::Reconfig, &joining).unwrap();
    let begun = Instant::now();
    let told = loop {
        let lines = lines_of(&server.log_file());
        let told = lines.into_iter().find(|line| get(line, "operation") == Some("reconfig"));
        match told {
            Some(told) => break told,
            None => assert!(begun.elapsed() < PATIENCE, "{}", server.log_tail(20)),
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(get(&told, "znode"), Some("/zookeeper/config"));
    assert_eq!(get(&told, "result"), Some("success"));
}

#[test]
fn the_log_has_a_file_of_its_own_in_which_no_client_forges_a_line() {
    let config = audited().line("ringkeeper.audit.file=audit.log");
    let mut server = Server::start(ringkeeper(), config);
    let mut session = Session::open(server.socket_addr(), 10_000).unwrap();
    let forged =
        "/a\n2026-01-01 00:00:00,000 INFO audit.Slf4jAuditLogger: user=root\tresult=success";
    let refused = session.call(OpCode::Create, &Body::create(forged, None, OPEN_ACL, 0));
    assert!(refused.is_err(), "{refused:?}");
    session.create("/b", Some(b"secret"), OPEN_ACL, 0).unwrap();
    server.terminate(PATIENCE);
    let file = server.folder().join("audit.log");
    let lines = lines_of(&file);
    let told: Vec<_> = lines
        .iter()
        .map(|line| (get(line, "operation").unwrap(), get(line, "result").unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("serverStart", "success"),
            ("create", "failure"),
            ("create", "success"),
            ("serverStop", "invoked"),
        ]
    );
    let escaped = forged.replace('\n', "\\n").replace('\t', "\\t");
    assert_eq!(get(&lines[1], "znode"), Some(&*escaped));
    assert!(lines_of(&server.log_file()).is_empty());
}

#[test]
fn a_server_without_its_audit_log_does_not_start() {
    let config = audited().line("ringkeeper.audit.file=missing/audit.log");
    let mut server = Server::prepare(ringkeeper(), config);
    let (status, log) = server.run_to_exit(PATIENCE);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("ringkeeper.audit.file = missing/audit.log: cannot be opened"), "{log}");
}
