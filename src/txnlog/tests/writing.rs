//! The operations that the writer asks of the disk, and when it asks.

use super::*;

#[test]
fn one_group_is_in_flight_and_the_next_is_what_arrived_meanwhile() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    assert_eq!(writer.append(&create(1, b"")), Append::Accepted);
    let mut ops = Vec::new();
    writer.poll(&mut ops);
    let first: Vec<Op> = std::mem::take(&mut ops);
    // The writer asks for the segment's name, the write, and the preparation of the next segment.
    assert_eq!(first.len(), 3, "{first:?}");
    for zxid in 2..10 {
        assert_eq!(writer.append(&create(zxid, b"")), Append::Accepted);
        writer.poll(&mut ops);
        assert!(ops.is_empty(), "one group at a time: {ops:?}");
    }
    assert_eq!(writer.txns_pending(), 9);
    let mut synced = Vec::new();
    for op in first {
        if let Progress::Synced(group) = writer.handle_completion(disk.perform(op)) {
            synced.push(group);
        }
    }
    synced.append(&mut disk.run(&mut writer));
    let counts: Vec<(Zxid, u32)> = synced.iter().map(|group| (group.zxid, group.txns)).collect();
    assert_eq!(counts, [(Zxid(1), 1), (Zxid(9), 8)]);
    assert!(writer.is_idle());
    assert_eq!(writer.synced(), Zxid(9));
}

#[test]
fn a_segment_counts_as_written_only_with_its_name() {
    for name_last in [false, true] {
        let mut disk = Disk::default();
        let mut writer = ready_writer(options(512), &mut disk);
        assert_eq!(writer.append(&create(1, b"")), Append::Accepted);
        let mut ops = Vec::new();
        writer.poll(&mut ops);
        ops.retain(|op| matches!(op, Op::LogWrite { .. } | Op::SegmentName { .. }));
        if name_last {
            ops.reverse();
        }
        let second = ops.pop().unwrap();
        let first = disk.perform(ops.pop().unwrap());
        assert!(matches!(writer.handle_completion(first), Progress::None));
        assert_eq!(writer.synced(), Zxid::ZERO);
        let second = disk.perform(second);
        assert!(matches!(writer.handle_completion(second), Progress::Synced(_)));
    }
}

#[test]
fn files_change_when_they_are_full_or_rolled_and_hold_everything() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(4096), &mut disk);
    let mut written = Vec::new();
    for zxid in 1..=60 {
        let txn = create(zxid, &vec![1; 100 * zxid as usize]);
        assert_eq!(writer.append(&txn), Append::Accepted);
        written.push(txn);
        if zxid == 7 {
            writer.roll(0);
        }
        disk.run(&mut writer);
    }
    writer.close();
    disk.run(&mut writer);
    assert!(writer.is_closed());
    assert!(disk.prepared.is_empty(), "the segment prepared in vain is gone");
    assert!(disk.files.len() > 3);
    assert!(disk.files.contains_key("log.7"));
    let mut zxids: Vec<Zxid> =
        disk.files.keys().map(|name| plan::log_zxid(name).unwrap()).collect();
    zxids.sort_unstable();
    let mut found = Vec::new();
    for zxid in zxids {
        let (entries, verdict) = read(&disk.files[&plan::log_name(zxid)]);
        assert!(matches!(verdict, Verdict::Clean { .. }), "{verdict}");
        assert_eq!(entries[0].txn.zxid(), zxid);
        found.extend(txns(&entries));
    }
    assert_eq!(found, written);
}

#[test]
fn a_full_disk_refuses_before_anything_is_written_and_recovers() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    disk.full = true;
    let mut zxid = 1;
    loop {
        let txn = create(zxid, &[1; 4000]);
        match writer.append(&txn) {
            Append::Accepted => zxid += 1,
            Append::NoSpace => break,
            other => panic!("{other:?}"),
        }
        disk.run(&mut writer);
    }
    assert!(zxid > 10, "the current segment was filled first");
    assert!(writer.is_idle() && writer.is_out_of_space());
    assert_eq!(writer.synced(), Zxid(zxid - 1), "everything accepted is durable");
    writer.retry_prepare();
    disk.run(&mut writer);
    assert_eq!(writer.append(&create(zxid, &[1; 4000])), Append::NoSpace);
    disk.full = false;
    writer.retry_prepare();
    disk.run(&mut writer);
    assert_eq!(writer.append(&create(zxid, &[1; 4000])), Append::Accepted);
    disk.run(&mut writer);
    assert_eq!(writer.synced(), Zxid(zxid));
}

#[test]
fn a_failed_write_is_the_end() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    assert_eq!(writer.append(&create(1, b"")), Append::Accepted);
    let mut ops = Vec::new();
    writer.poll(&mut ops);
    let write = ops.iter().find(|op| matches!(op, Op::LogWrite { .. })).unwrap().token();
    // Even lack of room is fatal, because the write went to existing blocks.
    let failure = IoFailure { kind: IoFailureKind::Full, text: "log.1: no space".to_owned() };
    let progress =
        writer.handle_completion(Completion { token: write, result: Err(failure.clone()) });
    assert!(matches!(progress, Progress::Failed(told) if told == failure));
    ops.clear();
    writer.poll(&mut ops);
    assert!(ops.is_empty(), "nothing is tried again");
}

#[test]
fn a_transaction_longer_than_a_buffer_gets_its_own() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    let long = create(1, &[5; 30_000]);
    assert_eq!(writer.append(&long), Append::Accepted);
    assert_eq!(writer.append(&create(2, &[5; 5000])), Append::Full);
    disk.run(&mut writer);
    let mut last = 1;
    for _ in 0..3 {
        last += 1;
        assert_eq!(writer.append(&create(last, &[5; 5000])), Append::Accepted);
        disk.run(&mut writer);
    }
    assert_eq!(writer.append(&create(last + 1, &[5; 40_000])), Append::TooLarge);
    assert_eq!(writer.buffers().count(), 2);
    assert_eq!(writer.synced(), Zxid(last));
}

#[test]
fn a_snapshot_is_due_between_half_and_all_of_snap_count() {
    for (random, due_at) in [(0, 51), (49, 100), (50, 51)] {
        let mut disk = Disk::default();
        let options = WriterOptions { snap_count: 100, ..options(512) };
        let mut writer = Writer::new(options, Zxid::ZERO, random);
        disk.run(&mut writer);
        let mut zxid = 0;
        while !writer.snapshot_due() {
            zxid += 1;
            assert_eq!(writer.append(&create(zxid, b"")), Append::Accepted);
            disk.run(&mut writer);
        }
        assert_eq!(zxid, due_at);
        writer.roll(0);
        assert!(!writer.snapshot_due());
    }
}

#[test]
fn a_segment_is_as_large_as_what_lies_between_two_snapshots() {
    const MIB: u64 = 1 << 20;
    let mut disk = Disk::default();
    let options = WriterOptions {
        segment_bytes: 8 * MIB,
        segment_bytes_min: 2 * MIB,
        txn_bytes_max: 1 << 20,
        ..options(512)
    };
    let mut writer = ready_writer(options, &mut disk);
    let mut zxid = 0;
    let mut log = |writer: &mut Writer, disk: &mut Disk, bytes: u64| {
        let before = disk.sizes.len();
        for _ in 0..bytes / (256 << 10) {
            zxid += 1;
            assert_eq!(writer.append(&create(zxid, &[7; 256 << 10])), Append::Accepted);
            disk.run(writer);
        }
        disk.sizes[before..].to_vec()
    };
    assert_eq!(disk.sizes, [2 * MIB], "nothing is known yet");
    // While the log grows, each segment is at least as large as the one before.
    let grown = log(&mut writer, &mut disk, 12 * MIB);
    assert!(grown.is_sorted() && grown.iter().all(|bytes| bytes % MIB == 0), "{grown:?}");
    assert_eq!((grown[0], grown.last()), (2 * MIB, Some(&(8 * MIB))));
    // One segment exists already. The segments after the next snapshots have the size of the log between two
    // snapshots, and some more.
    writer.roll(0);
    log(&mut writer, &mut disk, 3 * MIB);
    writer.roll(0);
    assert_eq!(log(&mut writer, &mut disk, 3 * MIB), [4 * MIB]);
    writer.roll(0);
    assert_eq!(log(&mut writer, &mut disk, MIB), [4 * MIB]);
    writer.roll(0);
    assert_eq!(log(&mut writer, &mut disk, MIB), [2 * MIB]);
}

#[test]
fn room_is_short_when_half_of_a_segment_is_used_and_the_next_is_not_there() {
    let mut disk = Disk::default();
    let mut writer = Writer::new(options(512), Zxid::ZERO, 0);
    let mut ops = Vec::new();
    writer.poll(&mut ops);
    assert!(writer.is_short_of_room(), "there is none at all");
    let _ = writer.handle_completion(disk.perform(ops.pop().expect("one preparation")));
    let mut preparing = None;
    let mut used = 0;
    for zxid in 1..=30 {
        assert_eq!(writer.append(&create(zxid, &[1; 1500])), Append::Accepted);
        let mut ops = Vec::new();
        writer.poll(&mut ops);
        for op in ops {
            match op {
                Op::SegmentPrepare { .. } => preparing = Some(op),
                op => drop(writer.handle_completion(disk.perform(op))),
            }
        }
        used = writer.current_bytes();
        assert_eq!(writer.is_short_of_room(), used > 32 << 10, "{used} of 64 KiB");
    }
    assert!(used > 32 << 10);
    let _ = writer.handle_completion(disk.perform(preparing.expect("one ahead")));
    assert!(!writer.is_short_of_room());
}

#[test]
fn a_snapshot_waits_until_the_log_is_worth_half_of_the_last_one() {
    let mut disk = Disk::default();
    let snap_count = 2;
    let options = WriterOptions { snap_count, snapshot_bytes_cheap: 1000, ..options(512) };
    let mut writer = Writer::new(options, Zxid::ZERO, 0);
    disk.run(&mut writer);
    writer.note_snapshot_bytes(10_000);
    let (mut zxid, mut logged) = (0, 0);
    while !writer.snapshot_due() {
        zxid += 1;
        let txn = create(zxid, &[1; 300]);
        logged += txn.bytes().len();
        assert_eq!(writer.append(&txn), Append::Accepted);
        disk.run(&mut writer);
    }
    assert!((5000..5400).contains(&logged), "{logged} bytes after {zxid} transactions");
    // The next snapshot begins: its size is not known yet, so the size of the last one counts.
    writer.roll(0);
    for more in 1..=3 {
        assert_eq!(writer.append(&create(zxid + more, b"")), Append::Accepted);
        disk.run(&mut writer);
    }
    assert!(!writer.snapshot_due());
    // After a very small snapshot, the next one is due at once.
    writer.note_snapshot_bytes(999);
    assert!(writer.snapshot_due());
}

#[test]
fn a_zxid_that_comes_twice_never_gives_two_files_one_name() {
    let mut disk = Disk::default();
    let mut writer = ready_writer(options(512), &mut disk);
    let body = TxnBody::Error { err: -8 };
    let again = |zxid| Txn::new(header(zxid, OpCode::Error), &body, None);
    assert_eq!(writer.append(&create(5, b"")), Append::Accepted);
    disk.run(&mut writer);
    writer.roll(0);
    assert_eq!(writer.append(&again(5)), Append::Accepted);
    disk.run(&mut writer);
    assert_eq!(disk.files.len(), 1, "nothing but the old zxid: the old file");
    assert_eq!(writer.append(&again(5)), Append::Accepted);
    assert_eq!(writer.append(&create(6, b"")), Append::Accepted);
    disk.run(&mut writer);
    let names: Vec<&String> = disk.files.keys().collect();
    assert_eq!(names, ["log.5", "log.6"]);
}

#[test]
fn a_closed_log_opens_again_behind_any_zxid_with_the_same_buffers() {
    let mut disk = Disk::default();
    let mut writer = Writer::new(options(512), Zxid(0), 0);
    let mut slots: Vec<_> = writer.buffers().map(crate::io::AlignedBuf::slot).collect();
    let mut addresses: Vec<_> = writer.buffers().map(|buf| buf.as_ptr()).collect();
    disk.run(&mut writer);
    for (first, last) in [(1, 0x500), (0x1_0000_0021, 0x1_0000_0030), (7, 9)] {
        for zxid in [first, first + 1] {
            // The second transaction is longer than a buffer.
            let data = vec![1; if zxid == first { 10 } else { 20 << 10 }];
            while writer.append(&create(zxid, &data)) != Append::Accepted {
                disk.run(&mut writer);
            }
        }
        writer.close();
        assert!(!writer.is_closed());
        disk.run(&mut writer);
        assert!(writer.is_closed());
        assert!(disk.prepared.is_empty(), "the segment that was prepared is removed");
        // Transactions that were cut off may come again, so the test removes the file that a cut would remove.
        disk.files.remove("log.7");
        writer.reopen(Zxid(last), 0);
        assert_eq!((writer.appended(), writer.synced()), (Zxid(last), Zxid(last)));
        let mut slots_now: Vec<_> = writer.buffers().map(crate::io::AlignedBuf::slot).collect();
        let mut addresses_now: Vec<_> = writer.buffers().map(|buf| buf.as_ptr()).collect();
        slots_now.sort_unstable();
        slots.sort_unstable();
        addresses_now.sort_unstable();
        addresses.sort_unstable();
        assert_eq!((&slots_now, &addresses_now), (&slots, &addresses));
        disk.run(&mut writer);
        if last == 0x1_0000_0030 {
            // After a cut the next transactions continue after a lower zxid.
            writer.close();
            disk.run(&mut writer);
            writer.reopen(Zxid(6), 0);
            disk.run(&mut writer);
        }
    }
    assert_eq!(disk.files.len(), 2, "{:?}", disk.files.keys());
}
