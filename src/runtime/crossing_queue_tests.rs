//! The bounds of a crossing queue, and when the queue rings its bell. The tests do not stand in the file of the
//! queue, because `tests/crossing_queue.rs` compiles that file with another bell.

use super::Doorbell;
use super::crossing_queue::crossing_queue;

fn bells() -> (Doorbell, Doorbell) {
    (Doorbell::new().unwrap(), Doorbell::new().unwrap())
}

#[test]
fn a_queue_is_bounded_in_messages_and_in_bytes() {
    let (writer, reader) = bells();
    let (mut sender, mut receiver) = crossing_queue(3, 100, writer, reader);
    for number in 0..3 {
        sender.push(number, 10).unwrap();
    }
    assert_eq!(sender.push(3, 10), Err(3));
    assert_eq!(receiver.pop(), Some(0));
    sender.push(3, 500).unwrap();
    assert_eq!((receiver.pop(), receiver.pop()), (Some(1), Some(2)));
    assert_eq!(sender.push(4, 1), Err(4));
    assert_eq!(receiver.pop(), Some(3));
    assert!(receiver.is_empty());
    sender.push(4, 1).unwrap();
    assert_eq!((receiver.pop(), receiver.pop()), (Some(4), None));
}

/// Reads the counter of a bell that was rung.
fn rings(bell: &Doorbell) -> u64 {
    let mut count = [0; 8];
    bell.ring();
    rustix::io::read(bell.as_fd(), &mut count).unwrap();
    u64::from_ne_bytes(count) - 1
}

#[test]
fn only_a_thread_that_sleeps_is_rung_for() {
    let (writer, reader) = bells();
    let (mut sender, mut receiver) = crossing_queue(2, 100, writer.clone(), reader.clone());
    sender.push(1, 1).unwrap();
    assert_eq!(rings(&reader), 0);
    reader.lie_down();
    sender.push(2, 1).unwrap();
    assert_eq!(rings(&reader), 1);
    // A sleeping writer that needs no room is not woken.
    writer.lie_down();
    receiver.pop().unwrap();
    assert_eq!(rings(&writer), 0);
    writer.get_up();
    sender.push(3, 1).unwrap();
    assert_eq!(sender.push(4, 1), Err(4));
    writer.lie_down();
    receiver.pop().unwrap();
    receiver.pop().unwrap();
    assert_eq!(rings(&writer), 1);
}

#[test]
fn a_writer_that_waits_for_room_is_rung_by_the_message_that_makes_it_and_no_earlier() {
    let (writer, reader) = bells();
    let (mut sender, mut receiver) = crossing_queue(10, 100, writer.clone(), reader);
    sender.push(1, 10).unwrap();
    sender.push(2, 500).unwrap();
    assert_eq!(sender.push(3, 1), Err(3));
    // The writer is still awake, and there is no room yet.
    assert_eq!(receiver.pop(), Some(1));
    assert!(!sender.has_room());
    writer.lie_down();
    assert_eq!(rings(&writer), 0);
    assert_eq!(receiver.pop(), Some(2));
    assert_eq!(rings(&writer), 1);
}

#[test]
fn the_end_of_a_full_queue_is_heard_of_behind_everything() {
    let (writer, reader) = bells();
    let (mut sender, mut receiver) = crossing_queue(1, 100, writer, reader.clone());
    sender.push(1, 1).unwrap();
    assert_eq!(sender.push(2, 1), Err(2));
    reader.lie_down();
    sender.close();
    assert_eq!(rings(&reader), 1);
    assert!(!receiver.is_over());
    assert_eq!(receiver.pop(), Some(1));
    assert!(receiver.is_over());
}
