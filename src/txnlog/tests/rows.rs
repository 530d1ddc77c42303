//! The rows of the table in `reader::judge`, each by its number.

use super::*;

/// The log of the sample groups, up to the end of the last one, and the offset at which each group ends.
fn sample_log() -> (Vec<u8>, Vec<usize>) {
    let (mut file, ends) = log_of(&sample_groups(), 512);
    file.truncate(ends[4]);
    (file, ends)
}

/// The offset at which each record of the last group begins.
fn records_of_last_group(file: &[u8], ends: &[usize]) -> Vec<usize> {
    let offsets = read(file).0.into_iter().map(|entry| entry.offset as usize);
    offsets.filter(|offset| *offset >= ends[3]).collect()
}

fn assert_whole(file: &[u8], at: usize) {
    assert_eq!(read(file).1, Verdict::Clean { end: at as u64 });
}

fn assert_torn(file: &[u8], at: usize, why: &str) {
    let (_, verdict) = read(file);
    let Verdict::TornTail { end, reason, .. } = verdict else { panic!("{verdict}") };
    assert!(end == at as u64 && reason.contains(why), "{end}: {reason}");
}

fn assert_damaged(file: &[u8], at: usize, why: &str) {
    let (_, verdict) = read(file);
    let Verdict::Damaged { offset, reason, .. } = verdict else { panic!("{verdict}") };
    assert!(offset == at as u64 && reason.contains(why), "{offset}: {reason}");
}

/// A file of ZooKeeper with two transactions, and where the second record begins and ends.
fn plain_log() -> (Vec<u8>, usize, usize) {
    let mut file = plain_header().to_vec();
    put_plain_record(&mut file, &create(1, b"one"));
    let second = file.len();
    put_plain_record(&mut file, &create(2, b"two"));
    let end = file.len();
    (file, second, end)
}

#[test]
fn row_1_before_a_whole_group_everything_was_durable() {
    let (mut file, ends) = sample_log();
    file[ends[2] + 100] ^= 1;
    assert_damaged(&file, ends[2], &format!("a whole group follows at offset {}", ends[3]));
}

#[test]
fn row_2_a_group_with_missing_sectors_was_never_durable() {
    let (mut file, ends) = sample_log();
    let second = records_of_last_group(&file, &ends)[1];
    file[ends[3] + 512..ends[3] + 1024].fill(0);
    assert_torn(&file, second, "1 sectors of its group were not written");
}

#[test]
fn row_3_a_group_that_was_written_completely_was_durable() {
    const WHY: &str = "its group was written whole and changed later";
    let (mut file, ends) = sample_log();
    let second = records_of_last_group(&file, &ends)[1];
    let mut other_groups = sample_groups();
    other_groups[3][0] = create(6, &[8; 300]);
    let (other, _) = log_of(&other_groups, 512);
    let of_other = [&file[..ends[3]], &other[ends[3]..ends[4]]].concat();
    let (_, verdict) = read(&of_other);
    assert!(verdict.to_string().contains("does not follow"), "{verdict}");
    assert!(verdict.to_string().contains(WHY), "{verdict}");
    file[second + 100] ^= 1;
    assert_damaged(&file, second, WHY);
}

#[test]
fn row_4_where_a_group_would_begin_and_the_rest_is_zero_the_file_ends() {
    let (mut file, ends) = sample_log();
    assert_whole(&file, ends[4]);
    let second = records_of_last_group(&file, &ends)[1];
    assert_whole(&file[..second], second);
    file[ends[3]..].fill(0);
    assert_whole(&file, ends[3]);
}

#[test]
fn row_5_behind_records_of_a_group_zeroes_are_its_missing_end() {
    let (mut file, ends) = sample_log();
    let second = records_of_last_group(&file, &ends)[1];
    file[second..].fill(0);
    assert_torn(&file, second, "the end of the last group was not written");
}

#[test]
fn row_6_a_guard_with_one_wrong_field_was_written() {
    let (mut file, ends) = sample_log();
    let last = *records_of_last_group(&file, &ends).last().unwrap();
    // The first byte of its magic number.
    file[ends[4] - 33] ^= 1;
    assert_damaged(&file, last, "the group was written whole, its guard is wrong");
}

#[test]
fn row_7_no_missing_sector_makes_a_length_too_large() {
    let (mut file, ends) = sample_log();
    file[ends[4] - 33..ends[4] - 1].fill(0xff);
    file[ends[3] + 8..ends[3] + 12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert_damaged(&file, ends[3], "no such record is ever written");
}

#[test]
fn row_8_a_wrong_record_without_missing_sectors_was_written() {
    let (mut file, ends) = sample_log();
    let last = *records_of_last_group(&file, &ends).last().unwrap();
    file[ends[4] - 33..ends[4] - 1].fill(0xff);
    assert_damaged(&file, last, "all of its sectors were written");
}

#[test]
fn row_9_a_group_without_its_end_was_never_durable() {
    const WHY: &str = "its group was not written to the end";
    let (mut file, ends) = sample_log();
    let records = records_of_last_group(&file, &ends);
    let mut torn = file.clone();
    torn[ends[3] + 512..].fill(0);
    assert_torn(&torn, records[1], WHY);
    // The row cannot tell this case from damage: the guard is gone, and the length of the last record is wrong.
    let last = *records.last().unwrap();
    file[ends[4] - 33..ends[4] - 1].fill(0xff);
    file[last + 8..last + 12].copy_from_slice(&60_000u32.to_be_bytes());
    assert_torn(&file, last, WHY);
}

#[test]
fn row_10_zeroes_end_a_file_of_zookeeper() {
    let (mut file, _, end) = plain_log();
    assert_whole(&file, end);
    file.extend_from_slice(&[0; 5000]);
    assert_whole(&file, end);
}

#[test]
fn row_11_what_follows_a_length_of_zero_was_never_durable() {
    let (mut file, _, end) = plain_log();
    file.extend_from_slice(&[0; 100]);
    file.push(7);
    assert_torn(&file, end, "other bytes after it, which were never durable");
}

#[test]
fn row_12_a_file_of_zookeeper_ends_inside_a_record_or_where_an_end_mark_is_missing() {
    let (mut file, second, end) = plain_log();
    assert_torn(&file[..end - 1], second, "the file ends inside a record");
    file[end - 1] = 0;
    assert_torn(&file, second, "a record without its end mark");
}

#[test]
fn row_13_a_wrong_checksum_in_a_file_of_zookeeper_is_damage() {
    let (mut file, second, _) = plain_log();
    file[second + 20] ^= 1;
    assert_damaged(&file, second, "it may have been durable");
}

#[test]
fn row_14_a_record_that_nobody_writes_is_damage_in_a_file_of_zookeeper() {
    const WHY: &str = "no such record is ever written";
    let (mut file, second, _) = plain_log();
    file[second + 8..second + 12].copy_from_slice(&(-1i32).to_be_bytes());
    assert_damaged(&file, second, WHY);
    // The checksum is right, but the bytes are no transaction.
    let entry = [7u8; 3];
    file.truncate(second);
    file.extend_from_slice(&u64::from(simd_adler32::adler32(&&entry[..])).to_be_bytes());
    file.extend_from_slice(&3i32.to_be_bytes());
    file.extend_from_slice(&entry);
    file.push(b'B');
    assert_damaged(&file, second, WHY);
}
