//! Segments, snapshots and small files, on a real file system.

use std::time::{Duration, Instant};

use super::*;
use crate::io::{Done, IoFailureKind, Owner, Token, segment_temporary};

struct Rig {
    worker: DiskWorker,
    folder: tempfile::TempDir,
    number: u64,
}

impl Rig {
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let folders = Folders {
            data: folder.path().into(),
            snapshots: folder.path().into(),
            logs: folder.path().into(),
        };
        let worker = DiskWorker::start(folders, Doorbell::new().unwrap(), true).unwrap();
        Rig { worker, folder, number: 0 }
    }

    fn perform(&mut self, op: impl FnOnce(Token) -> Op) -> WorkDone {
        let token = Token::new(Owner::TxnLog, self.number);
        self.number += 1;
        self.worker.submit(op(token));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(done) = self.worker.done() {
                assert_eq!(done.completion.token, token);
                return done;
            }
            assert!(Instant::now() < deadline, "no completion");
            std::thread::yield_now();
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_segment_is_prepared_named_and_cut_at_what_was_used() {
    let mut rig = Rig::new();
    let segment = SegmentId(3);
    let bytes = 1 << 20;
    let done = rig.perform(|token| Op::SegmentPrepare {
        token,
        segment,
        bytes,
        header: *b"0123456789abcdef",
    });
    assert!(done.completion.result.is_ok());
    assert!(done.opened.is_some_and(|opened| opened.segment == segment));
    assert_eq!(rig.names(), [segment_temporary(segment)]);
    let done = rig.perform(|token| Op::SegmentName { token, segment, name: "log.1".into() });
    assert!(done.completion.result.is_ok());
    let content = std::fs::read(rig.folder.path().join("log.1")).unwrap();
    assert_eq!(content.len(), 1 << 20);
    assert_eq!(&content[..16], b"0123456789abcdef");
    assert!(content[16..].iter().all(|byte| *byte == 0));
    let done = rig.perform(|token| Op::SegmentClose { token, segment, bytes_used: 8192 });
    assert!(done.completion.result.is_ok());
    assert_eq!(std::fs::metadata(rig.folder.path().join("log.1")).unwrap().len(), 8192);
}

#[test]
fn a_segment_never_named_is_removed_and_a_taken_name_is_refused() {
    let mut rig = Rig::new();
    std::fs::write(rig.folder.path().join("log.1"), b"old").unwrap();
    let segment = SegmentId(1);
    let header = [0; 16];
    rig.perform(|token| Op::SegmentPrepare { token, segment, bytes: 4096, header });
    let done = rig.perform(|token| Op::SegmentName { token, segment, name: "log.1".into() });
    assert!(done.completion.result.is_err());
    rig.perform(|token| Op::SegmentClose { token, segment, bytes_used: 0 });
    assert_eq!(rig.names(), ["log.1"]);
}

#[test]
fn a_snapshot_appears_under_its_name_only_when_it_is_whole() {
    let mut rig = Rig::new();
    rig.perform(|token| Op::SnapshotCreate { token, temporary: "snapshot.tmp".into() });
    for _ in 0..3 {
        let done = rig.perform(|token| Op::SnapshotWrite { token, bytes: b"abc".to_vec() });
        let Ok(Done::Bytes(back)) = done.completion.result else { panic!("no buffer back") };
        assert!(back.is_empty());
    }
    assert_eq!(rig.names(), ["snapshot.tmp"]);
    rig.perform(|token| Op::SnapshotCommit { token, name: "snapshot.7".into() });
    assert_eq!(rig.names(), ["snapshot.7"]);
    assert_eq!(std::fs::read(rig.folder.path().join("snapshot.7")).unwrap(), b"abcabcabc");
    rig.perform(|token| Op::SnapshotCreate { token, temporary: "snapshot.tmp".into() });
    rig.perform(|token| Op::SnapshotAbandon { token });
    assert_eq!(rig.names(), ["snapshot.7"]);
}

#[test]
fn small_files_are_replaced_and_removing_what_is_gone_is_no_failure() {
    let mut rig = Rig::new();
    let place = Place::Snapshots;
    for content in ["1", "2"] {
        let content = content.as_bytes().to_vec();
        let name = "currentEpoch".to_owned();
        let done = rig.perform(|token| Op::FileReplace { token, place, name, content });
        assert!(done.completion.result.is_ok());
    }
    assert_eq!(std::fs::read(rig.folder.path().join("currentEpoch")).unwrap(), b"2");
    let names = vec!["currentEpoch".to_owned(), "never".to_owned()];
    let done = rig.perform(|token| Op::Remove { token, place, names });
    assert!(done.completion.result.is_ok());
    assert_eq!(rig.names(), Vec::<String>::new());
}

#[test]
fn a_failed_operation_names_the_file() {
    let mut rig = Rig::new();
    let name = "no/such/folder".to_owned();
    let done = rig.perform(|token| Op::SnapshotCreate { token, temporary: name });
    let failure = done.completion.result.unwrap_err();
    assert_eq!(failure.kind, IoFailureKind::Other);
    assert!(failure.text.contains("no/such/folder"), "{failure}");
    rig.worker.finish();
}
