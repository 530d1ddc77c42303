//! The C client library, through its command line `cli_mt`.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::Environment;
use tempfile::NamedTempFile;

use crate::cells::Visit;

const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Makes the node; `cli_mt` creates it empty. What it has asked for and what has no answer yet when it is told to quit,
/// it gives up, so that the test waits for the data.
pub fn visit(visit: &Visit<'_>) -> String {
    let Visit { path, data, .. } = visit;
    let file = NamedTempFile::new().unwrap();
    let handle = || File::options().append(true).open(file.path()).unwrap();
    let said = || fs::read_to_string(file.path()).unwrap();
    let mut command = Command::new(Environment::found().cli_mt());
    command.arg(visit.address()).stdin(Stdio::piped()).stdout(handle()).stderr(handle());
    let mut client = command.spawn().unwrap();
    let mut stdin = client.stdin.take().unwrap();
    write!(stdin, "create {path}\nset {path} {data}\nget {path}\n").unwrap();
    let begun = Instant::now();
    // The data without the command that wrote it, which it does not repeat.
    while !said().contains(data) && begun.elapsed() < ANSWER_LIMIT {
        thread::sleep(Duration::from_millis(10));
    }
    // It ends at the end of its input as well.
    let _ = stdin.write_all(b"quit\n");
    drop(stdin);
    client.wait().unwrap();
    said()
}
