//! Files that the writer made, cut and damaged in every place.

use super::*;
use crate::random::Random;

#[test]
fn a_log_reads_as_it_was_written() {
    for block in [512, 4096] {
        let groups = sample_groups();
        let (file, ends) = log_of(&groups, block);
        let (entries, verdict) = read(&file);
        assert_eq!(txns(&entries), groups.concat());
        let end = *ends.last().unwrap();
        assert_eq!(end % block, 0);
        assert_eq!(verdict, Verdict::Clean { end: end as u64 });
        let group_ends: Vec<usize> = entries
            .iter()
            .filter_map(|entry| entry.group)
            .map(|group| (group.offset + u64::from(group.bytes)) as usize)
            .collect();
        assert_eq!(group_ends, ends);
    }
}

#[test]
fn a_log_cut_anywhere_in_its_last_two_groups_is_a_torn_tail() {
    for block in [512, 4096] {
        let groups = sample_groups();
        let all = groups.concat();
        let (file, ends) = log_of(&groups, block);
        let start = ends[ends.len() - 3];
        for cut in start..=*ends.last().unwrap() {
            let whole_groups = ends.iter().filter(|end| **end <= cut).count();
            let durable: usize = groups[..whole_groups].iter().map(Vec::len).sum();
            let (entries, verdict) = read(&file[..cut]);
            assert!(entries.len() >= durable, "cut at {cut}: a group was lost");
            assert_eq!(txns(&entries), all[..entries.len()], "cut at {cut}");
            let last = entries.last().unwrap();
            let records_end = last.offset + last.bytes;
            match verdict {
                Verdict::Clean { end } => {
                    assert_eq!(end, records_end, "cut at {cut}");
                    // The first bytes of a checksum are zeroes.
                    assert!(file[end as usize..cut].iter().all(|byte| *byte == 0), "cut at {cut}");
                }
                Verdict::TornTail { end, .. } => {
                    assert!(end == records_end && end < cut as u64, "cut at {cut}");
                    // After recovery the file reads clean, for Java as well.
                    let (again, verdict) = read(&file[..end as usize]);
                    assert_eq!(again.len(), entries.len());
                    assert_eq!(verdict, Verdict::Clean { end });
                }
                Verdict::Damaged { .. } => panic!("cut at {cut}: {verdict}"),
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_the_last_two_groups_is_damage_and_never_a_shorter_log() {
    for block in [512, 4096] {
        let groups = sample_groups();
        let all = groups.concat();
        let (file, ends) = log_of(&groups, block);
        let start = ends[ends.len() - 3];
        for (at, mask) in
            (start..*ends.last().unwrap()).flat_map(|at| [(at, 0xff), (at, 1), (at, 0x80)])
        {
            let mut flipped = file.clone();
            flipped[at] ^= mask;
            let (entries, verdict) = read(&flipped);
            assert_eq!(txns(&entries), all[..entries.len()], "byte {at} ^ {mask:x}");
            let Verdict::Damaged { offset, zxid, reason } = verdict else {
                panic!("byte {at} ^ {mask:x} of {ends:?}: {verdict}");
            };
            assert!(offset <= at as u64, "byte {at}");
            assert_eq!(zxid, entries.last().map(|entry| entry.txn.zxid()));
            let follows = reason.contains("a whole group follows at offset");
            assert_eq!(follows, at < ends[ends.len() - 2], "byte {at}: {reason}");
        }
    }
}

#[test]
fn a_last_group_with_any_sectors_missing_is_a_torn_tail() {
    let groups = sample_groups();
    let all = groups.concat();
    let durable = all.len() - groups.last().unwrap().len();
    for block in [512, 4096] {
        let (file, ends) = log_of(&groups, block);
        let (start, end) = (ends[ends.len() - 2], ends[ends.len() - 1]);
        let sectors = (end - start) / 512;
        assert!((4..12).contains(&sectors), "{sectors} sectors");
        for missing in 1..1u32 << sectors {
            let mut torn = file.clone();
            for sector in (0..sectors).filter(|sector| missing & (1 << sector) != 0) {
                torn[start + sector * 512..start + (sector + 1) * 512].fill(0);
            }
            let (entries, verdict) = read(&torn);
            assert!(entries.len() >= durable, "{missing:b}");
            assert_eq!(txns(&entries), all[..entries.len()], "{missing:b}");
            match verdict {
                // The missing sectors are all that the group has, or held only zeroes anyway.
                Verdict::Clean { end: at } => {
                    assert!(torn == file || at == start as u64, "{missing:b}");
                }
                Verdict::TornTail { end: at, .. } => assert!(at >= start as u64, "{missing:b}"),
                Verdict::Damaged { .. } => panic!("{missing:b}: {verdict}"),
            }
        }
    }
}

#[test]
fn a_torn_first_group_is_told_from_a_file_of_java() {
    let groups = vec![vec![create(1, &[3; 700]), create(2, &[4; 900]), create(3, b"")]];
    for block in [512, 4096] {
        let (file, ends) = log_of(&groups, block);
        let header = file_header();
        let sectors = ends[0] / 512;
        assert!(sectors >= 4);
        for missing in 1..1u32 << sectors {
            let mut torn = file.clone();
            for sector in (0..sectors).filter(|sector| missing & (1 << sector) != 0) {
                torn[sector * 512..(sector + 1) * 512].fill(0);
            }
            // The header is on the disk since the segment was prepared.
            torn[..16].copy_from_slice(&header);
            let (entries, verdict) = read(&torn);
            assert_eq!(txns(&entries), groups[0][..entries.len()], "{missing:b}");
            assert!(!matches!(verdict, Verdict::Damaged { .. }), "{missing:b}: {verdict}");
        }
    }
}

#[test]
fn a_group_missing_between_two_is_damage() {
    let groups = sample_groups();
    let (mut file, ends) = log_of(&groups, 512);
    file[ends[2]..ends[3]].fill(0);
    let (entries, verdict) = read(&file);
    assert_eq!(entries.len(), 5);
    let Verdict::Damaged { offset, zxid, reason } = verdict else { panic!("{verdict}") };
    assert_eq!((offset, zxid), (ends[2] as u64, Some(Zxid(5))));
    assert!(reason.contains(&format!("a whole group follows at offset {}", ends[3])), "{reason}");
}

#[test]
fn a_group_from_elsewhere_does_not_fit_the_chain() {
    let (file, ends) = log_of(&sample_groups(), 512);
    let mut other_groups = sample_groups();
    other_groups[1][0] = create(2, &[8; 900]);
    let (other, _) = log_of(&other_groups, 512);
    let mut mixed = file[..ends[1]].to_vec();
    mixed.extend_from_slice(&other[ends[1]..]);
    let (entries, verdict) = read(&mixed);
    assert_eq!(entries.len(), 4);
    assert!(matches!(verdict, Verdict::Damaged { zxid: Some(Zxid(4)), .. }), "{verdict}");
}

#[test]
fn a_close_session_without_paths_is_never_padded() {
    let body = TxnBody::CloseSession { paths: None };
    let digest = Some(TxnDigest { version: 2, tree_digest: 7_367_702_061 });
    for digest in [None, digest] {
        let close = Txn::new(header(1, OpCode::CloseSession), &body, digest);
        let (file, _) = log_of(&[vec![close.clone()]], 512);
        let (entries, verdict) = read(&file);
        assert!(matches!(verdict, Verdict::Clean { .. }), "{verdict}");
        assert_eq!(entries[0].txn, close);
        assert_eq!(entries[1].txn.header().op, OpCode::Error);
        assert_eq!((entries[1].txn.zxid(), entries.len()), (Zxid(1), 2));
    }
    let body = TxnBody::CloseSession { paths: Some(Paths::EMPTY) };
    let close = Txn::new(header(1, OpCode::CloseSession), &body, None);
    let (file, _) = log_of(&[vec![close.clone()]], 512);
    assert_eq!(txns(&read(&file).0), [close]);
}

#[test]
fn no_garbage_makes_a_reader_stumble_or_invent() {
    let groups = sample_groups();
    let all = groups.concat();
    let (file, ends) = log_of(&groups, 512);
    let used = *ends.last().unwrap();
    let mut plain = file[..used].to_vec();
    // The same bytes stand in a file of ZooKeeper, whose header says that it has no guards.
    plain[8..16].fill(0);
    let mut numbers = Random::new(0x1234_5678_9abc_def1);
    let mut random = |end: usize| numbers.index(end);
    for _ in 0..3000 {
        let mut garbled = if random(2) == 0 { file[..used].to_vec() } else { plain.clone() };
        for _ in 0..=random(3) {
            let (from, bytes) = (random(used), 1 + random(300));
            let to = (from + bytes).min(used);
            match random(4) {
                0 => garbled[from..to].fill(0),
                1 => garbled[from..to].fill(0xff),
                2 => garbled[from..to].iter_mut().for_each(|byte| *byte = random(256) as u8),
                _ => garbled[from] ^= 1 << random(8),
            }
        }
        garbled.truncate(used - [0, random(used)][random(2)]);
        let (entries, _) = read(&garbled);
        assert_eq!(txns(&entries), all[..entries.len()]);
    }
}
