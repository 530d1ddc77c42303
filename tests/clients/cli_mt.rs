//! The C client library, through its command line `cli_mt`.

use std::process::Command;

use ringkeeper_testkit::{Environment, Server};

use crate::harness::{self, Conversation};

fn begin(server: &Server) -> Conversation {
    let mut command = Command::new(Environment::found().cli_mt());
    command.arg(server.address());
    let mut cli = Conversation::begin(command);
    cli.expect("Got a new session id: 0x1");
    cli
}

#[test]
fn the_c_client_creates_reads_writes_lists_and_deletes() {
    let server = harness::server();
    let mut cli = begin(&server);
    cli.say("create /c", &["[/c]: rc = 0", "name = /c\n"]);
    cli.say("create /c", &["[/c]: rc = -110"]);
    cli.say(
        "set /c hello",
        &["/c: rc = 0", "mzxid=4\n", "version=1\taversion=0", "ephemeralOwner = 0"],
    );
    cli.say("get /c", &["/c: rc = 0", "value_len = 5", "hello", "czxid=2\n", "version=1"]);
    cli.say("aget /c", &["/c: rc = 0", "value_len = 5", "hello"]);
    cli.say(
        "create2 +e /c/ephemeral",
        &["rc = 0", "name = /c/ephemeral", "czxid=5\n", "ephemeralOwner = 1"],
    );
    cli.say("create /c/ephemeral/child", &["rc = -108"]);
    cli.say("create +s /c/s-", &["rc = 0", "name = /c/s-0000000001\n"]);
    cli.say("create +es /c/es-", &["rc = 0", "name = /c/es-0000000002\n"]);
    cli.say("create +c /c/container", &["rc = 0", "name = /c/container\n"]);
    cli.say("create +t=3600000 /c/ttl", &["rc = 0", "name = /c/ttl\n"]);
    cli.say("ls /c", &["/c: rc = 0"]);
    for child in ["ephemeral", "s-0000000001", "es-0000000002", "container", "ttl"] {
        assert!(cli.output().contains(&format!("\t{child}\n")), "{child} in:\n{}", cli.output());
    }
    cli.say("ls2 /c", &["/c: rc = 0", "czxid=2\n", "version=1"]);
    cli.say("get /none", &["/none: rc = -101"]);
    cli.say("exists /none", &["Error -101 for /none"]);
    cli.say("delete /c", &["/c: rc = -111"]);
    cli.say("delete /c/ephemeral", &["rc = 0"]);
    cli.say("exists /c/ephemeral", &["Error -101 for /c/ephemeral"]);
    cli.say("get /zookeeper/config", &["/zookeeper/config: rc = 0"]);
    cli.say("quit", &["Quitting"]);
    assert!(cli.end().success());
}

#[test]
fn the_c_client_sees_watches_fire_in_order_and_its_ephemeral_nodes_go() {
    let server = harness::server();
    let mut cli = begin(&server);
    let mut other = begin(&server);
    cli.say("wexists /node", &["Error -101 for /node"]);
    other.say("create +e /node", &["[/node]: rc = 0"]);
    cli.expect("Watcher CREATED_EVENT state = CONNECTED_STATE for path /node");
    // `get` and `ls` set watches.
    cli.say("get /node", &["/node: rc = 0"]);
    other.say("set /node x", &["/node: rc = 0"]);
    cli.expect("Watcher CHANGED_EVENT state = CONNECTED_STATE for path /node");
    cli.say("ls /", &["/: rc = 0"]);
    cli.say("get /node", &["/node: rc = 0", "x"]);
    other.say("quit", &["Quitting"]);
    cli.expect("Watcher DELETED_EVENT state = CONNECTED_STATE for path /node");
    cli.expect("Watcher CHILD_EVENT state = CONNECTED_STATE for path /");
    cli.say("quit", &["Quitting"]);
}

#[test]
fn the_c_client_survives_a_restart_of_the_server_with_session_and_nodes() {
    let mut server = harness::server();
    let mut cli = begin(&server);
    cli.say("create +e /mine", &["[/mine]: rc = 0"]);
    cli.say("wexists /coming", &["Error -101 for /coming"]);
    server.kill();
    cli.expect("state = CONNECTING_STATE");
    server.restart();
    cli.expect("Watcher SESSION_EVENT state = CONNECTED_STATE");
    cli.say("get /mine", &["/mine: rc = 0", "ephemeralOwner = 1"]);
    cli.say("create /coming", &["Watcher CREATED_EVENT state = CONNECTED_STATE for path /coming"]);
    cli.say("quit", &["Quitting"]);
}

#[test]
fn the_c_client_is_let_in_by_password_and_told_of_an_unknown_scheme() {
    let server = harness::server();
    // cli_mt cannot write access control lists; ZooKeeper's own command line can.
    let mut writer = Command::new(Environment::found().zkcli());
    let acl = "digest:alice:aYXlLOpEooaV1cRAvUL1fp9Qt7E=:cdrwa";
    writer.args(["-server", &server.address(), "create", "/private", "secret", acl]);
    harness::run(writer, "");
    let mut cli = begin(&server);
    cli.say("get /private", &["/private: rc = -102"]);
    cli.say("addauth digest alice:guess", &[]);
    cli.say("get /private", &["/private: rc = -102"]);
    cli.say("addauth digest alice:secret", &[]);
    cli.say("get /private", &["/private: rc = 0", "secret"]);
    cli.say("addauth nonsense x", &["Watcher SESSION_EVENT state = AUTH_FAILED_STATE"]);
}
