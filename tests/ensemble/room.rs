//! A member whose disk is too full for the snapshot of its leader, until the test makes room.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_rawclient::{OPEN_ACL, Session};
use ringkeeper_testkit::{Ensemble, PeerType};

use crate::ground::{LIMIT, LONG_MS, config, ours, turn};
use crate::same;

/// A file system mounted in place of a folder, with the files of the folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn over(folder: &Path, mib: u32) -> SmallDisk {
        let files: Vec<_> = fs::read_dir(folder)
            .expect("the folder of a server")
            .map(|entry| entry.expect("the folder of a server").path())
            .collect();
        let files: Vec<_> =
            files.iter().map(|file| (file, fs::read(file).expect("its file"))).collect();
        let size = format!("size={mib}m");
        let words = ["-t", "tmpfs", "-o", &size, "ringkeeper-test"];
        let status = Command::new("mount").args(words).arg(folder).status().expect("mount(8)");
        assert!(status.success(), "mounting takes root");
        let disk = SmallDisk(folder.to_owned());
        files.iter().for_each(|(file, content)| fs::write(file, content).expect("room"));
        disk
    }

    /// Fills the disk until `mib` MiB are free; 0 removes the file that fills it.
    fn leave(&self, mib: u64) {
        let filler = self.0.join("filler");
        fs::write(&filler, b"").expect("an empty file");
        if mib == 0 {
            return fs::remove_file(filler).expect("our file");
        }
        let found = rustix::fs::statvfs(&self.0).expect("our file system");
        let bytes = found.f_bavail * found.f_frsize - (mib << 20);
        fs::write(filler, vec![7; usize::try_from(bytes).expect("some MiB")]).expect("room");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_member_without_room_for_its_leaders_tree_begins_anew_until_there_is_some() {
    let _turn = turn();
    let members = [1, 2, 3].map(|_| (ours(), PeerType::Participant));
    let config = config().line("preAllocSize=1024").flag("-Dzookeeper.forceSnapshotSync=true");
    let mut ensemble = Ensemble::prepare(&members, config);
    let disk = SmallDisk::over(ensemble.server(1).data_dir(), 40);
    ensemble.start_all();
    ensemble.kill(1);
    let leader = ensemble.wait_leader_among(&[2, 3], LIMIT);
    let mut session = Session::open(ensemble.address(leader), LONG_MS).unwrap();
    for number in 0..12 {
        session.create(&format!("/n{number}"), Some(&[b'x'; 1_000_000]), OPEN_ACL, 0).unwrap();
    }
    disk.leave(6);
    ensemble.spawn(1);
    let pid = ensemble.server(1).pid();
    let begun = Instant::now();
    let starts = |ensemble: &Ensemble| {
        let log = fs::read_to_string(ensemble.server(1).log_file()).unwrap();
        log.matches("this server starts again").count()
    };
    while starts(&ensemble) < 2 {
        assert!(ensemble.server_mut(1).is_running(), "{}", ensemble.server(1).log_tail(40));
        assert!(begun.elapsed() < LIMIT, "{}", ensemble.server(1).log_tail(40));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(fs::read_to_string(ensemble.server(1).log_file()).unwrap().contains("No space left"));
    disk.leave(0);
    ensemble.wait_serving(1);
    assert_eq!(ensemble.server(1).pid(), pid);
    assert_eq!(ensemble.leader(), leader, "nobody else was disturbed");
    same::trees(&mut ensemble, "with room");
    // It also ends like any other server.
    let (status, _) = ensemble.server_mut(1).terminate(LIMIT);
    assert!(status.success(), "{status}");
}
