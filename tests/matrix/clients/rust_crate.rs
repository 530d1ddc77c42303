//! The `zookeeper-client` crate: the program in `tools/client-crate-test`.

use std::env;
use std::process::Command;
use std::sync::Once;

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

/// The program, through cargo. Cargo builds it first, unless the whole workspace is tested: that takes longer than a
/// client may take.
pub fn program() -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let built = cargo("build").status().unwrap();
        assert!(built.success(), "client-crate-test does not build: {built}");
    });
    let mut command = cargo("run");
    command.arg("--");
    command
}

fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([subcommand, "--quiet", "--package", "client-crate-test"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}
