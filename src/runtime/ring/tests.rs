//! Rings of their own: restrictions, a full queue, user data.

use io_uring::opcode;

use super::*;
use crate::runtime::Doorbell;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Number(u64);

impl UserData for Number {
    fn to_word(self) -> u64 {
        self.0
    }

    fn from_word(word: u64) -> Number {
        Number(word)
    }
}

fn ring_with(operations: &'static [Operation]) -> Ring<Number> {
    let options = RingOptions {
        entries: 4,
        completions: None,
        defers_completions: false,
        operations,
        changes_tables: false,
    };
    NewRing::set_up(&options).unwrap().start().unwrap()
}

#[test]
fn an_operation_that_a_ring_did_not_name_is_refused() {
    let mut ring = ring_with(&[Operation::Poll]);
    let bell = Doorbell::new().unwrap();
    bell.ring();
    let readable = u32::try_from(libc::POLLIN).unwrap();
    ring.poll_once(bell.as_fd().as_raw_fd(), readable, Number(1));
    // SAFETY: it refers to no memory.
    unsafe { ring.push(opcode::Nop::new().build(), Number(2)) };
    assert_eq!(ring.submit().unwrap(), Submitted::All);
    let mut results = Vec::new();
    while results.len() < 2 {
        ring.wait(None).unwrap();
        results.extend(ring.completed().map(|completed| (completed.data, completed.result())));
    }
    for (data, result) in results {
        match data {
            Number(1) => assert_eq!(result.unwrap() & readable, readable),
            _ => assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EACCES)),
        }
    }
}

#[test]
fn a_ring_that_changes_no_tables_has_no_right_to() {
    let ring = ring_with(&[Operation::Write]);
    assert_eq!(ring.update_file(0, -1).unwrap_err().raw_os_error(), Some(libc::EACCES));
}

#[test]
fn entries_beyond_the_submission_queue_wait_and_complete_in_any_case() {
    let mut ring = ring_with(&[Operation::Poll, Operation::Cancel]);
    let bell = Doorbell::new().unwrap();
    let readable = u32::try_from(libc::POLLIN).unwrap();
    for number in 0..6 {
        ring.poll_once(bell.as_fd().as_raw_fd(), readable, Number(number));
    }
    assert!(ring.has_work());
    assert_eq!(ring.submit().unwrap(), Submitted::All);
    assert!(!ring.has_work());
    bell.ring();
    let mut numbers = Vec::new();
    while numbers.len() < 6 {
        ring.wait(None).unwrap();
        numbers.extend(ring.completed().map(|completed| completed.data.0));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_wait_ends_with_its_patience() {
    let mut ring = ring_with(&[Operation::Poll]);
    ring.wait(Some(Duration::from_millis(1))).unwrap();
    assert!(ring.next_completed().is_none());
}

#[test]
fn a_failure_says_what_to_do() {
    let error = |code| RingError::Setup(io::Error::from_raw_os_error(code));
    assert!(error(libc::ENOMEM).lacks_memory());
    for (code, advice) in [
        (libc::ENOMEM, "LimitMEMLOCK="),
        (libc::EMFILE, "LimitNOFILE="),
        (libc::EPERM, "ringkeeper config check"),
        (libc::EINVAL, "Linux 5.13"),
        (libc::EIO, "kernel's log"),
    ] {
        let text = error(code).to_string();
        assert!(text.contains(advice), "{text}");
    }
    let text = RingError::Lacks(Operation::Poll).to_string();
    assert!(text.contains("IORING_OP_POLL_ADD"), "{text}");
}
