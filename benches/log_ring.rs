//! What one durable write costs, for each way of waiting for it: the figures behind the choice in `server::turns`.
//! Run with `cargo bench --bench log_ring -- [FOLDER]`; the folder decides the disk.

#![allow(clippy::unwrap_used, reason = "a benchmark fails as a test does")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use ringkeeper::io::{AlignedBuf, Done, Owner, SegmentId, Token};
use ringkeeper::runtime::{Doorbell, LogRing};

const WRITES: u64 = 2000;
const ROUNDS: u32 = 3;
const FILE_BYTES: u64 = 16 << 20;
const SEGMENT: SegmentId = SegmentId(1);

/// How the writer learns that its write is durable.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// Looks at the completion queue until the completion is there.
    Look,
    /// Looks again and again, and gives the processor away after each look.
    LookAndYield,
    /// Sleeps until the ring rings its bell.
    Sleep,
}

fn main() {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let folder = folder.unwrap_or_else(|| ".".to_owned());
    let path = Path::new(&folder).join("log-ring-bench");
    zeroed_file(&path);
    println!("{:<8} {:<14} {:>8} {:>8} {:>8}  µs", "bytes", "waiting by", "p50", "p99", "max");
    for _ in 0..ROUNDS {
        for bytes in [512, 4096] {
            for wait in [Wait::Look, Wait::LookAndYield, Wait::Sleep] {
                report(bytes, &format!("{wait:?}"), through_ring(&path, bytes, wait));
            }
            report(bytes, "pwritev2", blocking(&path, bytes));
        }
    }
    std::fs::remove_file(&path).unwrap();
}

/// Makes a file whose blocks are allocated and written, like those of a prepared segment.
fn zeroed_file(path: &Path) {
    let file = File::create(path).unwrap();
    let zeroes = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(zeroes.len()) {
        file.write_all_at(&zeroes, at).unwrap();
    }
    file.sync_all().unwrap();
}

fn direct(path: &Path) -> File {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    OpenOptions::new().write(true).custom_flags(direct).open(path).unwrap()
}

fn through_ring(path: &Path, bytes: u32, wait: Wait) -> Vec<Duration> {
    let bell = Doorbell::new().unwrap();
    let (mut ring, lacks) = LogRing::new(bell.clone(), &[]).unwrap();
    assert_eq!(lacks, Vec::<String>::new());
    ring.open_segment(SEGMENT, direct(path).into(), "bench".to_owned());
    let mut buf = Some(AlignedBuf::zeroed_in_slot(4096, 0));
    let mut completions = Vec::new();
    (0..WRITES)
        .map(|number| {
            let mut full = buf.take().unwrap();
            full.fill(u8::try_from(number % 251 + 1).unwrap());
            let offset = number * u64::from(bytes) % FILE_BYTES;
            let start = Instant::now();
            ring.write(Token::new(Owner::TxnLog, number), SEGMENT, offset, full, bytes, true)
                .unwrap();
            loop {
                ring.reap(&mut completions);
                if let Some(completion) = completions.pop() {
                    let took = start.elapsed();
                    let Ok(Done::Buffer(back)) = completion.result else {
                        panic!("{completion:?}")
                    };
                    buf = Some(back);
                    return took;
                }
                match wait {
                    Wait::Look => std::hint::spin_loop(),
                    Wait::LookAndYield => std::thread::yield_now(),
                    Wait::Sleep => {
                        if ring.ring_when_done() {
                            rustix::io::read(bell.as_fd(), &mut [0; 8]).unwrap();
                        }
                        ring.ring_no_more();
                    }
                }
            }
        })
        .collect()
}

fn blocking(path: &Path, bytes: u32) -> Vec<Duration> {
    let file = direct(path);
    let mut buf = AlignedBuf::zeroed(4096);
    (0..WRITES)
        .map(|number| {
            buf.fill(u8::try_from(number % 251 + 1).unwrap());
            let part = std::io::IoSlice::new(&buf[..bytes as usize]);
            let offset = number * u64::from(bytes) % FILE_BYTES;
            let start = Instant::now();
            let flags = rustix::io::ReadWriteFlags::DSYNC;
            rustix::io::pwritev2(file.as_fd(), &[part], offset, flags).unwrap();
            start.elapsed()
        })
        .collect()
}

fn report(bytes: u32, waiting: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let micros = |at: usize| took[at.min(took.len() - 1)].as_secs_f64() * 1e6;
    println!(
        "{bytes:<8} {waiting:<14} {:>8.1} {:>8.1} {:>8.1}",
        micros(took.len() / 2),
        micros(took.len() * 99 / 100),
        micros(took.len() - 1)
    );
}
