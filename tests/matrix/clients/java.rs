//! Java's clients: the command line of 3.9.4 and 3.8.0, and Debian's script around the latter.

use std::process::Command;

use ringkeeper_testkit::Environment;

use crate::cells::Visit;
use crate::ground::run;

const MACHINE: [&str; 3] = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Makes the node with the client of 3.9.4.
pub fn visit_3_9(visit: &Visit<'_>) -> String {
    run(&java(visit, &Environment::found().class_path_3_9()), &words(visit))
}

/// Makes the node with the client of 3.8.0.
pub fn visit_3_8(visit: &Visit<'_>) -> String {
    run(&java(visit, &Environment::found().class_path_3_8_with_netty()), &words(visit))
}

/// Makes the node with Debian's `zkCli.sh`.
pub fn visit_zkcli(visit: &Visit<'_>) -> String {
    let environment = Environment::found();
    let mut command = Command::new(environment.zkcli());
    // Its own class path lacks parts of netty; of two class paths Java takes the last one.
    let mut flags = vec!["-cp".to_owned(), environment.class_path_3_8_with_netty()];
    flags.extend(flags_of(visit));
    command.env("CLIENT_JVMFLAGS", flags.join(" ")).args(["-server", &visit.address()]);
    run(&command, &words(visit))
}

/// `ZooKeeperMain` of a class path.
fn java(visit: &Visit<'_>, class_path: &str) -> Command {
    let mut command = Command::new("java");
    command.args(flags_of(visit)).args(["-cp", class_path]);
    command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &visit.address()]);
    command
}

/// The commands that make the node.
fn words(visit: &Visit<'_>) -> Vec<u8> {
    let Visit { path, data, .. } = visit;
    let acl = if visit.way.is_private() { "auth::cdrwa" } else { "world:anyone:cdrwa" };
    format!("create {path} {data} {acl}\nget {path}\nquit\n").into_bytes()
}

fn flags_of(visit: &Visit<'_>) -> Vec<String> {
    let mut flags: Vec<String> = MACHINE.map(str::to_owned).to_vec();
    if visit.way.tls {
        let authority = visit.place.certificate("authority");
        flags.push("-Dzookeeper.client.secure=true".to_owned());
        let socket = "org.apache.zookeeper.ClientCnxnSocketNetty";
        flags.push(format!("-Dzookeeper.clientCnxnSocket={socket}"));
        flags.push(format!("-Dzookeeper.ssl.trustStore.location={authority}"));
    }
    if let Some(who) = visit.way.certificate {
        let file = visit.place.certificate(who);
        flags.push(format!("-Dzookeeper.ssl.keyStore.location={file}"));
    }
    if let Some((user, password)) = visit.way.login {
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
        let section =
            format!("Client {{ {module} required username=\"{user}\" password=\"{password}\"; }};");
        let file = visit.place.file(&format!("{user}-{password}.conf"), &section);
        flags.push(format!("-Djava.security.auth.login.config={}", file.display()));
        // Under it the client of 3.9 knows no MD5.
        flags.push("-Dzookeeper.fips-mode=false".to_owned());
    }
    flags
}
