//! The `zookeeper-client` crate: the program in `tools/client-crate-test`.

use std::env;
use std::process::Command;

use crate::cells::Visit;
use crate::ground::run;

/// Makes the node.
pub fn visit(visit: &Visit<'_>) -> String {
    let mut command = program();
    command.arg(visit.address()).args([&visit.path, &visit.data]);
    if visit.way.tls {
        command.args(["--authority", &visit.place.certificate("authority")]);
    }
    if let Some(who) = visit.way.certificate {
        command.args(["--identity", &visit.place.certificate(who)]);
    }
    if let Some((user, password)) = visit.way.login {
        command.args(["--login", &format!("{user}:{password}")]);
    }
    if visit.way.is_private() {
        command.arg("--private");
    }
    run(&command, b"")
}

/// The program, through cargo, which has already built it if the whole workspace is tested.
pub fn program() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "client-crate-test", "--"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}
