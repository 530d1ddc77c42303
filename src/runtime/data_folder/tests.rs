//! Data folders that a server makes, locks, refuses and probes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{FlockOperation, flock};

use super::lock::LOCK_FILE;
use super::*;

#[test]
fn folders_are_made_once_and_held_by_one_server() {
    let base = tempfile::tempdir().unwrap();
    let data = base.path().join("a/b");
    let Err(FolderError::Missing { .. }) = DataFolder::open(&data, &data, false) else {
        panic!("created what it may not")
    };
    let logs = base.path().join("logs");
    let first = DataFolder::open(&data, &logs, true).unwrap();
    assert!(data.join("version-2").is_dir() && logs.join("version-2").is_dir());
    // A lock of the same process on another file description is as foreign as that of another process,
    // except for its process id.
    let open = |data: &Path, logs: &Path| {
        DataFolder::open_within(Duration::from_millis(50), data, logs, true).unwrap_err()
    };
    assert!(matches!(open(&data, &data), FolderError::Locked { pid: None, .. }));
    let refused = open(&base.path().join("other"), &logs);
    assert!(matches!(refused, FolderError::Locked { .. }));
    drop(first);
    DataFolder::open(&data, &logs, false).unwrap();
}

/// The process named in the file does not hold the lock: in a new container this server has the process id
/// that the killed one had in the old container, or another program has it, or the killed server's parent
/// has not waited for it yet.
#[test]
fn a_lock_whose_holder_is_no_more_is_waited_for() {
    let other = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let (mut alive, mut dead) = (other(), other());
    dead.kill().unwrap();
    for pid in [std::process::id(), alive.id(), dead.id()] {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join(LOCK_FILE);
        std::fs::write(&path, format!("{pid}\n")).unwrap();
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        let ring = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(held);
        });
        let opened = DataFolder::open(base.path(), base.path(), true);
        ring.join().unwrap();
        assert!(opened.is_ok(), "{pid}: {}", opened.unwrap_err());
    }
    alive.kill().unwrap();
    alive.wait().unwrap();
    dead.wait().unwrap();
}

#[test]
fn the_lock_is_for_the_server_alone_and_follows_no_link() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join(LOCK_FILE);
    let (elsewhere, text) = (base.path().join("elsewhere"), "somebody's");
    let open = || DataFolder::open(base.path(), base.path(), true);
    // A check reports the same as a start.
    let refused = || {
        let refused = open().unwrap_err().to_string();
        assert_eq!(check_folder(base.path(), true).unwrap_err().to_string(), refused);
        refused
    };
    let mode = || std::fs::metadata(&path).unwrap().mode() & 0o777;
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    drop(open().unwrap());
    assert_eq!(mode(), 0o600, "of an earlier version");
    std::fs::remove_file(&path).unwrap();
    drop(open().unwrap());
    assert_eq!(mode(), 0o600, "made anew");
    std::fs::write(&elsewhere, text).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(refused().contains(".ringkeeper.lock is a link"));
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(&elsewhere, &path).unwrap();
    assert!(refused().contains(".ringkeeper.lock is one of the names of a file"));
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(refused().contains(".ringkeeper.lock is no file"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(refused().contains(".ringkeeper.lock is no file"));
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), text);
}

#[test]
fn folders_that_let_in_more_than_they_should_are_told() {
    let base = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(base.path(), base.path(), true).unwrap();
    let inner = base.path().join(VERSION_FOLDER);
    for (mode, denied, told) in
        [(0o755, 0o077, true), (0o750, 0o077, true), (0o750, 0o027, false), (0o755, 0, false)]
    {
        std::fs::set_permissions(&inner, Permissions::from_mode(mode)).unwrap();
        let open = folder.open_to_more_than(denied);
        assert_eq!(open, if told { vec![(inner.as_path(), mode)] } else { vec![] });
    }
}

#[test]
fn a_file_in_the_place_of_a_folder_is_named() {
    let base = tempfile::tempdir().unwrap();
    let file = base.path().join("file");
    std::fs::write(&file, "").unwrap();
    let inner = base.path().join("data/version-2");
    std::fs::create_dir(inner.parent().unwrap()).unwrap();
    std::fs::write(&inner, "").unwrap();
    for (folder, named) in [
        (file.clone(), &file),
        (file.join("below"), &file),
        (inner.parent().unwrap().to_owned(), &inner),
    ] {
        let error = DataFolder::open(&folder, &folder, true).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} is a file", named.display())), "{error}");
    }
    let link = base.path().join("link");
    std::os::unix::fs::symlink("/no/such/disk", &link).unwrap();
    let error = check_folder(&link, true).unwrap_err().to_string();
    let expected = format!("{} is a link to /no/such/disk, which", link.display());
    assert!(error.starts_with(&expected), "{error}");
    check_folder(&base.path().join("new"), true).unwrap();
    check_folder(Path::new("new-folder-of-a-test"), true).unwrap();
    assert!(check_folder(&base.path().join("new"), false).is_err());
    assert!(!base.path().join("new").exists());
}

#[test]
fn every_folder_that_was_missing_is_made() {
    let base = tempfile::tempdir().unwrap();
    create_durably(&base.path().join("a/b/c/version-2")).unwrap();
    assert!(base.path().join("a/b/c/version-2").is_dir());
    // A file in place of a folder is an error, and no reason to go on with a folder that is not durable.
    std::fs::write(base.path().join("file"), b"").unwrap();
    create_durably(&base.path().join("file/version-2")).unwrap_err();
}

#[test]
fn the_device_of_the_log_is_probed_and_tmpfs_is_written_through_the_page_cache() {
    let base = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(base.path(), base.path(), true).unwrap();
    let device = folder.probe_log_device().unwrap();
    assert!((512..=4096).contains(&device.block_bytes));
    assert_eq!(std::fs::read_dir(&folder.folders.logs).unwrap().count(), 0);
}
