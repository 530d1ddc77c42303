//! The format of lines, the bounds on their number, and the queue.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::id::{Epoch, ServerId};
use crate::limits;

/// The lines that `events` writes in this format.
fn lines_of(format: LogFormat, events: impl FnOnce()) -> String {
    let (queue, receiver) = Queue::new(10_000);
    let speaker = Arc::new(Speaker::default());
    speaker.set_server(ServerId(3));
    speaker.set_role(LoggedState::Leading, Epoch(7));
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Lines::new(format, speaker))
        .with_writer(queue.clone());
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, events);
    let mut written = Vec::new();
    let waiting = Arc::clone(&queue.waiting);
    drop(queue);
    write_lines(&receiver, &waiting, &mut written);
    assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
    String::from_utf8(written).unwrap()
}

#[test]
fn a_text_line_says_who_speaks_and_quotes_what_needs_it() {
    let line = lines_of(LogFormat::Text, || {
        tracing::warn!(target: "ringkeeper::net", peer = "10.0.0.1:5", reason = "too long", n = 4, "closed");
    });
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.len() >= 20, "{time}");
    assert_eq!(
        rest,
        "WARN  [server=3 role=leading epoch=7] net: closed peer=10.0.0.1:5 reason=\"too long\" n=4\n"
    );
}

#[test]
fn nobody_can_smuggle_a_line_into_the_log() {
    let line = lines_of(LogFormat::Text, || {
        tracing::info!(path = "/a\n2026 ERROR forged", "seen \u{1b}[31m {}", "x\ny");
    });
    assert_eq!(line.lines().count(), 1);
    assert!(!line.contains('\u{1b}'), "{line:?}");
}

#[test]
fn no_letter_from_outside_turns_a_line_around_or_ends_it_for_another_reader() {
    for letter in "\u{85}\u{9b}\u{61c}\u{200f}\u{2028}\u{202e}\u{2067}\u{2069}".chars() {
        let text = format!("a{letter}b");
        let line = lines_of(LogFormat::Text, || {
            tracing::info!(user = text, "refused {text}");
        });
        assert!(!line.contains(letter), "{line:?}");
    }
}

#[test]
fn a_json_line_is_one_flat_object() {
    let line = lines_of(LogFormat::Json, || {
        tracing::info!(bytes = 12, ok = true, path = "/a\"b", "read");
    });
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["bytes"], 12);
    assert_eq!(object["ok"], true);
    assert_eq!(object["path"], "/a\"b");
    assert_eq!(object["message"], "read");
    assert_eq!(object["server"], 3);
    assert_eq!(object["role"], "leading");
    assert_eq!(object["level"], "INFO");
}

#[test]
fn a_full_queue_drops_lines_and_says_how_many() {
    let (queue, receiver) = Queue::new(2);
    for line in [b"1\n", b"2\n", b"3\n", b"4\n"] {
        queue.make_writer().write_all(line).unwrap();
    }
    let waiting = Arc::clone(&queue.waiting);
    drop(queue);
    let mut written = Vec::new();
    write_lines(&receiver, &waiting, &mut written);
    let written = String::from_utf8(written).unwrap();
    assert_eq!(written, "1\nWARN log: standard error is slow lines_lost=2\n2\n");
}

#[test]
fn lines_that_wait_are_bounded_in_bytes() {
    let (queue, receiver) = Queue::new(100_000);
    let line = vec![b'x'; 16 << 10];
    for _ in 0..1000 {
        queue.make_writer().write_all(&line).unwrap();
    }
    let waiting = Arc::clone(&queue.waiting);
    let bytes = waiting.bytes.load(Ordering::Relaxed);
    assert!((4 << 20..(4 << 20) + line.len()).contains(&bytes), "{bytes}");
    let lost = usize::try_from(waiting.lost.load(Ordering::Relaxed)).unwrap();
    assert_eq!(lost, 1000 - bytes / line.len());
    drop(queue);
    write_lines(&receiver, &waiting, &mut Vec::new());
    assert_eq!(waiting.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn no_value_makes_a_line_long_and_none_is_cut_within_a_character() {
    let long = "é".repeat(500_000);
    for format in [LogFormat::Text, LogFormat::Json] {
        let line = lines_of(format, || {
            tracing::warn!(path = long, other = ?[&long; 3], reason = long, "said of {long}");
        });
        assert!(line.len() < 2 * 4096 + 2 * 256 + 300, "{}", line.len());
        assert!(line.contains(&format!("{}…", "é".repeat(128))), "{line}");
        assert!(line.contains(&format!("{}…", "é".repeat(2048 - 4))), "{line}");
    }
}

#[test]
fn a_kind_of_line_that_comes_without_end_is_left_out_and_counted() {
    let flood = 100_000;
    let text = lines_of(LogFormat::Text, || {
        for n in 0..=flood {
            if n == flood {
                tracing::info!("another kind");
                std::thread::sleep(Duration::from_millis(200));
            }
            tracing::info!(n, "the same again");
        }
    });
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("the same again")).collect();
    assert!(text.contains("another kind"), "of other kinds nothing is left out");
    let said = lines.len() as u64;
    assert!(said >= limits::LOG_LINES_OF_A_KIND_BURST && said < flood / 10, "{said}");
    let unsaid = |line: &&str| -> Option<u64> { line.split_once("left_out=")?.1.parse().ok() };
    assert_eq!(said + lines.iter().filter_map(unsaid).sum::<u64>(), flood + 1);
}

#[test]
fn a_flush_waits_for_what_was_said_before() {
    let (queue, receiver) = Queue::new(10);
    let waiting = Arc::clone(&queue.waiting);
    let written = Arc::new(Mutex::new(Vec::new()));
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut out = Shared(Arc::clone(&written));
    let thread = std::thread::spawn(move || write_lines(&receiver, &waiting, &mut out));
    queue.make_writer().write_all(b"last words\n").unwrap();
    queue.flush();
    assert_eq!(*written.lock().unwrap(), b"last words\n");
    drop(queue);
    thread.join().unwrap();
}

#[test]
fn wrong_levels_are_named() {
    let options = LogOptions { filter: "info,net=loud".to_owned(), ..LogOptions::default() };
    let error = start(&options).unwrap_err().to_string();
    assert!(error.contains("net=loud") && error.contains("allowed"), "{error}");
}
