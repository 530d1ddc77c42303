//! The commands that read files, on ZooKeeper's files and on damaged ones.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/datadir-3.10-HEAD/version-2")
        .join(name)
}

fn logs() -> Vec<PathBuf> {
    ["log.100000001", "log.400000001", "log.500000001"].map(golden).to_vec()
}

/// Runs a command, and gives its output and its result.
fn run(command: impl FnOnce(&mut dyn Write) -> io::Result<bool>) -> (String, bool) {
    let mut out = Vec::new();
    let whole = command(&mut out).unwrap();
    let folder = golden("");
    let text = String::from_utf8(out).unwrap();
    (text.replace(folder.to_str().unwrap(), ""), whole)
}

fn damaged(folder: &tempfile::TempDir, name: &str, change: impl Fn(&mut Vec<u8>)) -> PathBuf {
    let mut content = std::fs::read(golden(name)).unwrap();
    change(&mut content);
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn a_pipe_is_no_file_to_look_into() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("log.1");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let mut out = Vec::new();
    check_logs(std::slice::from_ref(&pipe), false, &mut out).unwrap();
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("cannot be opened: it is not a regular file"), "{said}");
}

#[test]
fn a_dump_of_logs_has_one_line_per_transaction() {
    let (text, whole) = run(|out| dump_logs(&logs(), false, out));
    assert!(whole);
    let expected = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/txnlog_dump.txt"),
    )
    .unwrap();
    assert_eq!(text, expected);
}

#[test]
fn json_lines_hold_the_same_transactions() {
    let (text, _) = run(|out| dump_logs(&logs(), false, out));
    let (json, whole) = run(|out| dump_logs(&logs(), true, out));
    assert!(whole);
    let objects: Vec<Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), text.lines().count());
    for (object, line) in objects.iter().zip(text.lines()) {
        if let Some(zxid) = object["zxid"].as_str() {
            assert!(line.starts_with(zxid), "{line}");
            assert!(line.contains(object["type"].as_str().unwrap()), "{line}");
        } else {
            assert!(object["verdict"] == "clean" && line.starts_with("=="), "{line}");
        }
    }
}

#[test]
fn a_check_of_whole_logs_says_so() {
    let mut reversed = logs();
    reversed.reverse();
    let (text, whole) = run(|out| check_logs(&reversed, false, out));
    assert!(whole, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("log.100000001: written by ZooKeeper, "), "{text}");
    assert!(lines.iter().all(|line| line.contains("; whole, ")), "{text}");
    let (json, _) = run(|out| check_logs(&logs(), true, out));
    assert!(json.lines().all(|line| line.contains(r#""verdict":"clean""#)), "{json}");
}

#[test]
fn a_check_of_a_damaged_log_says_where_and_answers_no() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(&folder, "log.400000001", |content| content[40] ^= 1);
    let (text, whole) = run(|out| check_logs(&[path], false, out));
    assert!(!whole);
    assert!(text.contains("damaged at offset 16: a record whose Adler-32 is wrong"), "{text}");
    let (text, whole) = run(|out| check_logs(&[golden("log.nothing")], false, out));
    assert!(!whole && text.starts_with("log.nothing: cannot be opened: "), "{text}");
    let (text, whole) = run(|out| check_logs(&[golden("snapshot.0")], true, out));
    assert!(!whole && text.contains("magic number"), "{text}");
}

#[test]
fn a_file_of_another_kind_is_no_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let text = write("log.1", b"dear reader, this is a text and no log\n");
    let (said, whole) = run(|out| check_logs(std::slice::from_ref(&text), false, out));
    assert!(!whole && said.contains("not a transaction log: its magic number"), "{said}");
    assert!(said.contains("it begins with \"dear reader, thi\""), "{said}");
    let (said, whole) = run(|out| dump_logs(&[text], true, out));
    assert!(!whole && said.contains("not a transaction log"), "{said}");
    let (said, whole) = run(|out| check_logs(&[golden("snapshot.0")], false, out));
    assert!(!whole && said.contains("it is an uncompressed snapshot"), "{said}");
    for command in [check_snapshot, dump_snapshot, summarize_snapshot] {
        let (said, whole) = run(|out| command(&golden("log.100000001"), false, out));
        assert!(!whole && said.contains("for `ringkeeper txnlog`"), "{said}");
    }
    let gz = write("snapshot.5.gz", &std::fs::read(golden("snapshot.0")).unwrap());
    let (said, whole) = run(|out| check_snapshot(&gz, false, out));
    assert!(!whole && said.contains("under a name that does not end in"), "{said}");
    // The remains of a crash are no other kind of file: an empty file, a part of a header, and zeroes.
    for content in [&b""[..], b"ZK", &[0; 4096]] {
        let path = write("log.9", content);
        let (said, _) = run(|out| check_logs(&[path], false, out));
        assert!(!said.contains("not a transaction log"), "{content:?}: {said}");
    }
}

#[test]
fn a_check_of_logs_notices_what_is_missing_between_two() {
    let folder = tempfile::tempdir().unwrap();
    let one = damaged(&folder, "log.500000001", |content| {
        // The second record moves over the first one.
        let first = 16 + 13 + u32::from_be_bytes(content[24..28].try_into().unwrap()) as usize;
        content.drain(16..first);
    });
    let (text, whole) = run(|out| check_logs(&[one.clone(), one], false, out));
    assert!(!whole && text.contains("zxids never go back"), "{text}");
}

#[test]
fn a_check_of_a_snapshot_compares_its_digest() {
    let (text, whole) = run(|out| check_snapshot(&golden("snapshot.400000003"), false, out));
    assert!(whole && text.contains("its digest 7749185122 is that of the tree"), "{text}");
    let (text, whole) = run(|out| check_snapshot(&golden("snapshot.0"), true, out));
    assert!(whole && text.contains(r#""digest":"none""#), "{text}");
    // Zxid 0 in the file means that there is no digest.
    assert!(text.contains(r#""stored_digest":null"#), "{text}");
    let (text, _) = run(|out| check_snapshot(&golden("snapshot.0"), false, out));
    assert!(text.contains(" nodes (srvr, which counts the root twice, says 5)"), "{text}");
    let (text, _) = run(|out| dump_snapshot(&golden("snapshot.0"), false, out));
    assert!(text.contains("\n== no digest\n") && !text.contains("== digest"), "{text}");
    let (text, _) = run(|out| dump_snapshot(&golden("snapshot.0"), true, out));
    assert!(text.contains(r#""digest":null"#), "{text}");
}

#[test]
fn a_check_of_a_damaged_snapshot_answers_no() {
    let folder = tempfile::tempdir().unwrap();
    let flipped = damaged(&folder, "snapshot.400000003", |content| content[200] ^= 1);
    let (text, whole) = run(|out| check_snapshot(&flipped, false, out));
    assert!(!whole, "{text}");
    let short = damaged(&folder, "snapshot.100000002", |content| content.truncate(300));
    let (text, whole) = run(|out| check_snapshot(&short, false, out));
    assert!(!whole && text.contains("never finished"), "{text}");
    let (text, whole) = run(|out| summarize_snapshot(&short, false, out));
    assert!(!whole && text.contains("it ends too early"), "{text}");
}

#[test]
fn a_dump_of_a_snapshot_shows_every_part() {
    let (text, whole) = run(|out| dump_snapshot(&golden("snapshot.400000003"), false, out));
    assert!(whole);
    let expected = std::fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/snapshot_dump.txt"),
    )
    .unwrap();
    assert_eq!(text, expected);
    let (json, _) = run(|out| dump_snapshot(&golden("snapshot.400000003"), true, out));
    let count = |key: &str| {
        let objects = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.filter(|object| object.get(key).is_some()).count()
    };
    assert_eq!(count("path"), text.lines().filter(|line| line.starts_with('/')).count());
    assert_eq!(count("session"), text.lines().filter(|line| line.starts_with("session")).count());
}

#[test]
fn a_summary_counts_below_each_child_of_the_root() {
    let (text, whole) = run(|out| summarize_snapshot(&golden("snapshot.400000003"), false, out));
    assert!(whole);
    let mut nodes = 0;
    for line in text.lines().skip(2) {
        nodes += line.split_whitespace().next().unwrap().parse::<u64>().unwrap();
    }
    let total: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    assert_eq!(nodes, total, "{text}");
    assert!(text.lines().any(|line| line.ends_with("  /zookeeper")), "{text}");
}

#[test]
fn an_export_of_zookeepers_logs_is_what_zookeeper_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("plain");
    let (text, whole) = run(|out| export_logs(&logs(), &to, false, out));
    assert!(whole && text.lines().count() == 3, "{text}");
    for log in logs() {
        let (was, is) =
            (std::fs::read(&log).unwrap(), std::fs::read(to.join(name_of(&log))).unwrap());
        let (used, rest) = was.split_at(is.len());
        assert!(used == is && rest.iter().all(|byte| *byte == 0), "{}", log.display());
    }
    let (text, whole) = run(|out| export_logs(&logs()[..1], &to, false, out));
    assert!(!whole && text.contains("already exists, and is not overwritten"), "{text}");
}

#[test]
fn whoever_may_not_read_a_log_may_not_read_its_export() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("log.500000001", 0o600), ("log.400000001", 0o640)] {
        let (log, to) = (folder.path().join(name), folder.path().join("plain"));
        std::fs::copy(golden(name), &log).unwrap();
        std::fs::set_permissions(&log, Permissions::from_mode(mode)).unwrap();
        let (text, whole) = run(|out| export_logs(std::slice::from_ref(&log), &to, false, out));
        assert!(whole, "{text}");
        let found = to.join(name).metadata().unwrap().permissions().mode();
        assert_eq!(found & 0o777 & !mode, 0, "{name}: {found:o}");
    }
}

#[test]
fn what_is_damaged_or_no_log_is_not_exported() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("plain");
    let path = damaged(&folder, "log.400000001", |content| content[40] ^= 1);
    let copy = folder.path().join("log.1.bak");
    std::fs::copy(golden("log.500000001"), &copy).unwrap();
    for path in [path, copy, golden("log.nothing"), golden("log.77"), golden("snapshot.0")] {
        let (text, whole) = run(|out| export_logs(std::slice::from_ref(&path), &to, false, out));
        assert!(!whole && text.lines().count() == 1, "{}: {text}", path.display());
        assert_eq!(std::fs::read_dir(&to).unwrap().count(), 0, "{}", path.display());
    }
}

#[test]
fn an_export_touches_nothing_that_another_one_is_writing() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join("log.100000001.unfinished");
    let elsewhere = folder.path().join("elsewhere");
    let export = || run(|out| export_logs(&logs()[..1], folder.path(), false, out));
    for is_link in [false, true] {
        std::fs::write(&elsewhere, "theirs").unwrap();
        match is_link {
            true => std::os::unix::fs::symlink(&elsewhere, &unfinished).unwrap(),
            false => std::fs::write(&unfinished, "theirs").unwrap(),
        }
        let (text, whole) = export();
        assert!(!whole && text.contains("log.100000001.unfinished: already exists"), "{text}");
        assert!(text.contains("If none is running") && text.contains("remove it"), "{text}");
        assert_eq!(std::fs::read(&unfinished).unwrap(), b"theirs");
        assert!(!folder.path().join("log.100000001").exists());
        std::fs::remove_file(&unfinished).unwrap();
    }
    let (text, whole) = export();
    assert!(whole, "{text}");
    assert!(!unfinished.exists());
}

#[test]
fn an_export_that_nobody_hears_of_leaves_no_part_behind() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    export_logs(&[golden("log.77")], folder.path(), false, &mut Gone).unwrap_err();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_export_of_a_torn_log_says_what_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("plain");
    let path = damaged(&folder, "log.400000001", |content| content.truncate(60));
    let (text, whole) = run(|out| export_logs(&[path], &to, true, out));
    let object: Value = serde_json::from_str(&text).unwrap();
    assert!(whole && object["note"].as_str().unwrap().contains("is left out"), "{text}");
    assert_eq!(object["transactions"], 0);
}

#[test]
fn a_check_of_a_log_without_a_record_says_what_a_server_does_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.9");
    for (content, parts) in [
        (&b""[..], ["it is empty", "removes the file when it starts", "as ZooKeeper does"]),
        (b"ZKLG", ["it has 4 bytes", "removes the file", "ZooKeeper may not start on it before"]),
    ] {
        std::fs::write(&path, content).unwrap();
        let (said, _) = run(|out| check_logs(std::slice::from_ref(&path), true, out));
        let object: Value = serde_json::from_str(said.trim()).unwrap();
        assert_eq!(object["zookeeper_starts"], content.is_empty(), "{said}");
        let (said, whole) = run(|out| check_logs(std::slice::from_ref(&path), false, out));
        assert!(whole && !said.contains("written by"), "{said}");
        for part in parts {
            assert!(said.contains(part), "no {part:?} in {said}");
        }
    }
    // If the empty log is not the last one of its folder, recovery refuses it, and so does the check.
    std::fs::write(folder.path().join("log.a.bak"), b"").unwrap();
    assert!(run(|out| check_logs(std::slice::from_ref(&path), false, out)).1);
    std::fs::write(folder.path().join("log.a"), b"").unwrap();
    for json in [false, true] {
        let (said, whole) = run(|out| check_logs(std::slice::from_ref(&path), json, out));
        assert!(!whole && said.contains("but log.a follows it"), "{said}");
    }
}

#[test]
fn a_check_of_a_snapshot_without_an_end_says_what_a_server_does_with_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content, part) in [
        ("snapshot.5", &b""[..], "it is empty"),
        ("snapshot.5.gz", b"", "it is empty"),
        ("snapshot.5", b"ZKSN", "its end is missing"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let (said, whole) = run(|out| check_snapshot(&path, false, out));
        assert!(!whole && said.contains(part), "{said}");
        assert!(said.contains("The server ignores it when it starts"), "{said}");
        assert!(said.contains("does not reach 0x5"), "{said}");
    }
}
