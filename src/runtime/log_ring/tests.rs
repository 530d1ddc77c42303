//! Writes through the ring and through its thread, doorbells, failures.

use super::*;
use crate::io::Owner;
use std::os::unix::fs::FileExt;

fn write_and_wait(
    ring: &mut LogRing,
    number: u64,
    offset: u64,
    buf: AlignedBuf,
    bytes: u32,
) -> Completion {
    let token = Token::new(Owner::TxnLog, number);
    ring.write(token, SegmentId(1), offset, buf, bytes, true).unwrap();
    let mut out = Vec::new();
    while out.is_empty() {
        ring.reap(&mut out);
    }
    assert_eq!(ring.in_flight(), 0);
    let completion = out.pop().unwrap();
    assert_eq!(completion.token, token);
    completion
}

#[test]
fn groups_are_written_where_they_belong_from_registered_and_plain_buffers() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(folder.path().join("log")).unwrap();
    file.set_len(1 << 16).unwrap();
    let (mut ring, lacks) = LogRing::new(Doorbell::new().unwrap(), &[]).unwrap();
    assert_eq!(lacks, Vec::<String>::new());
    ring.open_segment(SegmentId(1), file.try_clone().unwrap().into(), "log".into());
    for (number, slot) in [(1u64, Some(0)), (2, Some(1)), (3, None), (4, Some(0))] {
        let mut buf = match slot {
            Some(slot) => AlignedBuf::zeroed_in_slot(8192, slot),
            None => AlignedBuf::zeroed(8192),
        };
        buf.fill(u8::try_from(number).unwrap());
        let completion = write_and_wait(&mut ring, number, number * 8192, buf, 8192);
        let Ok(Done::Buffer(_)) = completion.result else { panic!("{completion:?}") };
    }
    let mut read = vec![0; 8192];
    for number in 1..=4u8 {
        file.read_exact_at(&mut read, u64::from(number) * 8192).unwrap();
        assert!(read.iter().all(|byte| *byte == number));
    }
    ring.close_segment(SegmentId(1));
}

#[test]
fn a_thread_writes_the_same_and_rings_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(folder.path().join("log")).unwrap();
    let bell = Doorbell::new().unwrap();
    let (mut ring, _) = LogRing::new(bell.clone(), &[]).unwrap();
    ring.open_segment(SegmentId(1), file.try_clone().unwrap().into(), "log".into());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    ring.open_segment(SegmentId(2), full.into(), "log.17".into());
    ring.write_by_thread(true);
    let mut eight = [0; 8];
    for number in 1..=3u8 {
        let mut buf = AlignedBuf::zeroed_in_slot(8192, 0);
        buf.fill(number);
        let token = Token::new(Owner::TxnLog, number.into());
        ring.write(token, SegmentId(1), u64::from(number) * 4096, buf, 4096, true).unwrap();
        assert_eq!((ring.in_flight(), ring.is_writing_to(SegmentId(1))), (1, true));
        rustix::io::read(bell.as_fd(), &mut eight).unwrap();
        let mut out = Vec::new();
        ring.reap(&mut out);
        assert!(matches!(out[..], [Completion { result: Ok(Done::Buffer(_)), .. }]));
        assert_eq!((ring.in_flight(), ring.is_writing_to(SegmentId(1))), (0, false));
    }
    let mut read = vec![0; 4096];
    for number in 1..=3u8 {
        file.read_exact_at(&mut read, u64::from(number) * 4096).unwrap();
        assert!(read.iter().all(|byte| *byte == number));
    }
    let token = Token::new(Owner::TxnLog, 9);
    // The write asks for no durability, which /dev/full does not offer.
    ring.write(token, SegmentId(2), 0, AlignedBuf::zeroed(4096), 4096, false).unwrap();
    rustix::io::read(bell.as_fd(), &mut eight).unwrap();
    let mut out = Vec::new();
    ring.reap(&mut out);
    let failure = out.pop().unwrap().result.unwrap_err();
    assert_eq!(failure.kind, crate::io::IoFailureKind::Full);
    assert!(failure.text.contains("log.17"), "{}", failure.text);
    ring.write_by_thread(false);
    ring.close_segment(SegmentId(1));
}

#[test]
fn a_ring_that_is_dropped_waits_for_its_thread() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(folder.path().join("log")).unwrap();
    let (mut ring, _) = LogRing::new(Doorbell::new().unwrap(), &[]).unwrap();
    ring.open_segment(SegmentId(1), file.try_clone().unwrap().into(), "log".into());
    ring.write_by_thread(true);
    for number in 0..8 {
        let token = Token::new(Owner::TxnLog, number);
        let mut buf = AlignedBuf::zeroed(4096);
        buf.fill(7);
        ring.write(token, SegmentId(1), number * 4096, buf, 4096, true).unwrap();
    }
    drop(ring);
    let mut read = vec![0; 8 * 4096];
    file.read_exact_at(&mut read, 0).unwrap();
    assert!(read.iter().all(|byte| *byte == 7));
}

#[test]
fn a_parked_owner_is_rung_and_one_who_looks_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(folder.path().join("log")).unwrap();
    let bell = Doorbell::new().unwrap();
    let (mut ring, _) = LogRing::new(bell.clone(), &[]).unwrap();
    ring.open_segment(SegmentId(1), file.into(), "log".into());
    let counter = |bell: &Doorbell| {
        let mut polled =
            [rustix::event::PollFd::from_borrowed_fd(bell.as_fd(), rustix::event::PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut polled, Some(&now)).unwrap()
    };
    let _ = write_and_wait(&mut ring, 1, 0, AlignedBuf::zeroed(4096), 4096);
    assert_eq!(counter(&bell), 0);
    let token = Token::new(Owner::TxnLog, 2);
    ring.write(token, SegmentId(1), 0, AlignedBuf::zeroed(4096), 4096, true).unwrap();
    if ring.ring_when_done() {
        let mut eight = [0; 8];
        rustix::io::read(bell.as_fd(), &mut eight).unwrap();
    }
    let mut out = Vec::new();
    ring.reap(&mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_lock_lasts_as_long_as_the_ring() {
    use rustix::fs::{FlockOperation, flock};
    use std::os::fd::AsFd;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = std::fs::File::create(&path).unwrap();
    flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
    let (ring, _) = LogRing::new(Doorbell::new().unwrap(), &[held.as_fd()]).unwrap();
    drop(held);
    let other = std::fs::File::open(&path).unwrap();
    assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
    drop(ring);
    // The kernel tears down a ring some time after its descriptor is closed, so the test waits for the lock.
    flock(&other, FlockOperation::LockExclusive).unwrap();
}

#[test]
fn a_failed_write_names_the_file_and_the_reason() {
    let (mut ring, _) = LogRing::new(Doorbell::new().unwrap(), &[]).unwrap();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    ring.open_segment(SegmentId(1), full.into(), "log.17".into());
    let completion = write_and_wait(&mut ring, 1, 0, AlignedBuf::zeroed(4096), 4096);
    let failure = completion.result.unwrap_err();
    assert_eq!(failure.kind, crate::io::IoFailureKind::Full);
    assert!(failure.text.contains("log.17"), "{}", failure.text);
}

/// The kernel has taken a part of a write, and does not take the rest. The entry of the rest stays in
/// the queue, goes to the kernel with the next submission, and its memory must still be valid then.
#[test]
fn a_write_that_the_kernel_has_not_taken_keeps_its_buffer() {
    const BYTES: usize = 128 * 1024;
    let bell = Doorbell::new().unwrap();
    let (mut ring, _) = LogRing::new(bell.clone(), &[]).unwrap();
    // A pipe accepts only as much as it holds at once.
    let (reading, writing) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    ring.open_segment(SegmentId(1), writing, "log.1".into());
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(folder.path().join("log")).unwrap();
    ring.open_segment(SegmentId(2), file.into(), "log.2".into());

    let mut buf = AlignedBuf::zeroed(BYTES);
    buf.fill(7);
    let token = Token::new(Owner::TxnLog, 1);
    let bytes = u32::try_from(BYTES).unwrap();
    ring.write(token, SegmentId(1), 0, buf, bytes, false).unwrap();
    let broken = Broken::new(&ring);
    let mut out = Vec::new();
    while out.is_empty() {
        ring.reap(&mut out);
    }
    let failure = out.pop().unwrap().result.unwrap_err();
    assert!(failure.text.contains("log.1"), "{}", failure.text);
    // A second write, of which the kernel takes nothing.
    let token = Token::new(Owner::TxnLog, 2);
    ring.write(token, SegmentId(2), 0, AlignedBuf::zeroed(4096), 4096, true).unwrap_err();
    drop(broken);
    assert_eq!(ring.in_flight(), 2, "both buffers are here");
    assert!(ring.is_writing_to(SegmentId(1)));

    let mut read = vec![0; BYTES];
    let half = rustix::io::read(&reading, &mut read).unwrap();
    assert!(half < BYTES);
    let token = Token::new(Owner::TxnLog, 3);
    ring.write(token, SegmentId(2), 4096, AlignedBuf::zeroed(4096), 4096, true).unwrap();
    while ring.in_flight() > 0 {
        ring.reap(&mut out);
    }
    assert_eq!(out.len(), 1, "what has failed is told once");
    assert_eq!(out[0].token, token);
    let rest = rustix::io::read(&reading, &mut read[half..]).unwrap();
    assert_eq!(half + rest, BYTES);
    assert!(read.iter().all(|byte| *byte == 7), "the write's own memory was written");
}

/// Makes the submissions of a ring fail until the value is dropped.
struct Broken {
    ring: i32,
    kept: OwnedFd,
}

impl Broken {
    fn new(ring: &LogRing) -> Broken {
        use std::os::fd::AsFd;
        // SAFETY: the ring is open, and outlives the borrow.
        let held = unsafe { BorrowedFd::borrow_raw(ring.ring.as_raw_fd()) };
        let kept = held.try_clone_to_owned().unwrap();
        let broken = Broken { ring: ring.ring.as_raw_fd(), kept };
        broken.put(std::fs::File::open("/dev/null").unwrap().as_fd());
        broken
    }

    fn put(&self, fd: BorrowedFd<'_>) {
        // SAFETY: the number stays an open descriptor, which the ring owns and closes once.
        let put = unsafe { libc::dup2(fd.as_raw_fd(), self.ring) };
        assert_eq!(put, self.ring);
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.put(std::os::fd::AsFd::as_fd(&self.kept));
    }
}
