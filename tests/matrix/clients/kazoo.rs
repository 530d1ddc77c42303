//! kazoo: `kazoo_cell.py`.

use std::process::Command;

use ringkeeper_testkit::Environment;

use crate::cells::Visit;
use crate::ground::run;

/// Makes the node.
pub fn visit(visit: &Visit<'_>) -> String {
    // The Python of kazoo's own suite has what its SASL needs.
    let mut command = Command::new(Environment::found().kazoo_suite().join("bin/python"));
    command.arg("-u").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix/kazoo_cell.py"));
    command.args([&visit.address(), &visit.path, &visit.data]);
    command.arg(if visit.way.tls { visit.place.certificate("authority") } else { String::new() });
    command.arg(visit.way.certificate.map_or(String::new(), |who| visit.place.certificate(who)));
    let login = visit.way.login;
    command.arg(login.map_or(String::new(), |(user, password)| format!("{user}:{password}")));
    run(&command, b"")
}
