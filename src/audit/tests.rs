//! The queue and its writer: what hangs, what fails, and the start and the end of the server.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::limits::{AUDIT_TURN_BYTES, AUDIT_WAITING_BYTES_MAX};

/// Takes what is written, and does to it what a test says.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<(String, Option<io::ErrorKind>)>>);

impl Shelf {
    fn text(&self) -> String {
        self.0.lock().unwrap().0.clone()
    }

    fn fail_with(&self, kind: Option<io::ErrorKind>) {
        self.0.lock().unwrap().1 = kind;
    }

    /// The fields behind the time and the level of each line.
    fn told(&self) -> Vec<String> {
        let text = self.text();
        text.lines().map(|line| line.split(": ").nth(1).unwrap_or_default().to_owned()).collect()
    }
}

impl Write for Shelf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut shelf = self.0.lock().unwrap();
        if let Some(kind) = shelf.1 {
            // Half of it is out when it fails.
            shelf.0.push_str(std::str::from_utf8(&bytes[..bytes.len() / 2]).unwrap());
            return Err(kind.into());
        }
        shelf.0.push_str(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes nothing until it is told to.
struct Hanging {
    go_on: Receiver<()>,
    hangs: Sender<()>,
}

impl Write for Hanging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.hangs.send(());
        let _ = self.go_on.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn records(count: usize) -> AuditRecords {
    let record =
        AuditRecord::of_server(WallMs(0), AuditOperation::ServerStart, AuditResult::Success);
    AuditRecords { records: vec![record; count], bytes: 100 * count, dropped: 0 }
}

#[test]
fn whoever_puts_records_never_waits_for_a_writer_that_hangs_and_what_is_lost_is_counted() {
    let ((go, go_on), (hangs, hung)) = (channel(), channel());
    let log = AuditLog::over(Box::new(Hanging { go_on, hangs }), "zk".to_owned()).unwrap();
    log.put(&mut records(1));
    hung.recv().unwrap();
    // This waits for nothing, or the test would not end.
    let fits = AUDIT_WAITING_BYTES_MAX.div_ceil(300 + AUDIT_TURN_BYTES);
    for _ in 0..fits + 10 {
        log.put(&mut records(3));
    }
    let lost = log.dropped();
    assert!((27..=33).contains(&lost), "{lost}");
    drop(go);
    log.flush();
    log.put(&mut records(1));
    assert_eq!(log.dropped(), lost, "there is room again");
    log.put(&mut AuditRecords { dropped: 5, ..AuditRecords::default() });
    assert_eq!(log.dropped(), lost + 5, "those that a turn had too many count as well");
}

#[test]
fn small_turns_wait_for_seconds_of_a_disk_that_stalls() {
    let ((go, go_on), (hangs, hung)) = (channel(), channel());
    let log = AuditLog::over(Box::new(Hanging { go_on, hangs }), "zk".to_owned()).unwrap();
    log.put(&mut records(1));
    hung.recv().unwrap();
    (0..65_536).for_each(|_| log.put(&mut records(1)));
    assert_eq!(log.dropped(), 0);
    drop(go);
}

#[test]
fn bytes_that_wait_have_a_bound() {
    let ((go, go_on), (hangs, hung)) = (channel(), channel());
    let log = AuditLog::over(Box::new(Hanging { go_on, hangs }), "zk".to_owned()).unwrap();
    log.put(&mut AuditRecords { bytes: AUDIT_WAITING_BYTES_MAX, ..records(1) });
    hung.recv().unwrap();
    log.put(&mut records(2));
    assert_eq!(log.dropped(), 2);
    drop(go);
}

#[test]
fn what_cannot_be_written_is_counted_and_what_follows_begins_a_line() {
    let shelf = Shelf::default();
    let log = AuditLog::over(Box::new(shelf.clone()), "zk".to_owned()).unwrap();
    shelf.fail_with(Some(io::ErrorKind::StorageFull));
    log.put(&mut records(3));
    log.flush();
    assert_eq!(log.dropped(), 3);
    let torn = shelf.text();
    assert!(!torn.is_empty() && !torn.ends_with('\n'), "{torn}");
    shelf.fail_with(None);
    log.put(&mut records(1));
    log.flush();
    let last = shelf.text().lines().last().unwrap().to_owned();
    assert!(last.starts_with("1970-01-01 00:00:00,000 INFO"), "{last}");
    assert_eq!(log.dropped(), 3);
}

#[test]
fn the_start_and_the_end_of_a_server_are_told_once() {
    let told = |does: &dyn Fn(&AuditLog)| {
        let shelf = Shelf::default();
        let log = AuditLog::over(Box::new(shelf.clone()), "zk".to_owned()).unwrap();
        does(&log);
        log.flush();
        shelf.told()
    };
    let start = "user=zk\toperation=serverStart\tresult=success".to_owned();
    let stop = "user=zk\toperation=serverStop\tresult=invoked".to_owned();
    let served = told(&|log| {
        log.server_started();
        log.server_stops();
        log.server_failed();
        log.server_stops();
    });
    assert_eq!(served, [start, stop]);
    let failed = told(&|log| {
        log.server_stops();
        log.server_failed();
        log.server_stops();
    });
    assert_eq!(failed, ["user=zk\toperation=serverStart\tresult=failure"]);
}

#[test]
fn a_file_that_cannot_be_opened_is_named_before_and_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let options = |file: PathBuf| AuditOptions {
        file: Some(file),
        file_mode: 0o600,
        file_bytes_max: 1 << 20,
        files_kept: 1,
        server_user: "zk".to_owned(),
    };
    let missing = folder.path().join("no/audit.log");
    let error = AuditLog::start(options(missing.clone())).unwrap_err().to_string();
    assert!(error.contains("ringkeeper.audit.file") && error.contains("no/audit.log"), "{error}");
    assert!(obstacle(&missing).unwrap().contains("does not exist"));
    assert!(obstacle(folder.path()).unwrap().contains("is a folder"));
    let file = folder.path().join("audit.log");
    assert_eq!(obstacle(&file), None);
    let log = AuditLog::start(options(file.clone())).unwrap();
    log.server_started();
    log.flush();
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("result=success\n"));
}
