//! The permissions of the files that a server creates: which users may read them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Config, Server};

use crate::harness::program;

/// Everything below a folder, with its mode.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(modes(&path));
        }
        found.push((path, metadata.permissions().mode() & 0o777));
    }
    found
}

#[test]
fn nobody_reads_what_a_server_makes_but_who_the_configuration_says() {
    // The most that each setting allows, and the mode of a log. The umask of a test is 022 on most machines.
    for (readers, log, most) in
        [("owner", 0o600, 0o700), ("group", 0o640, 0o750), ("umask", 0o644, 0o755)]
    {
        let config = Config::new().line(&format!("ringkeeper.filesReadableBy={readers}"));
        let mut server = Server::prepare(program(), config);
        server.spawn();
        server.wait_serving().unwrap();
        let mut session = Session::open(server.socket_addr(), 30_000).unwrap();
        session.create("/a", Some(b"x"), OPEN_ACL, 0).unwrap();
        let modes = modes(server.data_dir());
        let of = |name: &str| {
            let found = modes.iter().find(|(path, _)| path.ends_with(name));
            found.unwrap_or_else(|| panic!("{name} in {modes:?}")).1
        };
        let umask = std::process::Command::new("sh").args(["-c", "umask"]).output().unwrap();
        if readers != "umask" || umask.stdout.starts_with(b"0022") {
            assert_eq!(
                (of("version-2/log.1"), of("version-2/snapshot.0")),
                (log, log),
                "{readers}"
            );
            assert_eq!(of("version-2"), most, "{readers}");
        }
        assert_eq!(of(".ringkeeper.lock"), 0o600, "whoever may open it may hold it");
        let made = modes.iter().filter(|(path, _)| path.ends_with("myid").eq(&false));
        for (path, mode) in made {
            assert_eq!(mode & !most, 0, "{readers}: {} has {mode:o}", path.display());
        }
    }
}
