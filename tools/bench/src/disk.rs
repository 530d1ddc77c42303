//! What durable writes cost on a disk, written as the server's log writes them.
//!
//! The log is a file whose blocks were written before, so that a write changes no metadata; it is written past the
//! page cache in whole blocks, and each write is durable when it returns (`O_DIRECT` and `RWF_DSYNC`). A lone
//! transaction is one block. Transactions that come meanwhile share the next write. For comparison, the measurement
//! also writes as Apache ZooKeeper does: through the page cache, then `fdatasync`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ringkeeper::io::AlignedBuf;
use rustix::fs::OFlags;
use rustix::io::{ReadWriteFlags, pwritev2};

use crate::result::{Percentiles, float};

/// Bytes of the write of one transaction alone.
const BLOCK_BYTES: usize = 4096;
/// Bytes of a group under load, and of the largest group.
const GROUP_BYTES: usize = 64 * 1024;
const LARGEST_GROUP_BYTES: usize = 1 << 20;
/// Bytes of the file, as long as a segment of the log.
const FILE_BYTES: u64 = 64 << 20;
/// About the bytes that a setData of 100 bytes takes in the log.
const TXN_BYTES: usize = 200;

/// If the 99th percentile of lone writes is above this, clients wait for the disk more than for anything else.
const GOOD_US: f64 = 1000.0;
/// If it is above this, elections and heartbeats of an ensemble begin to suffer under load.
const BEARABLE_US: f64 = 10_000.0;
/// A disk that stalls for this long makes followers look dead: half of the usual limit of 10 s.
const STALL_US: f64 = 5_000_000.0;
/// Longer writes count as this long.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// No device is faster than this; a write that ends sooner went to memory.
const MEMORY_US: f64 = 3.0;

/// The measurements of a disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Whether the file system refused `O_DIRECT`; the writes then went through the page cache.
    pub buffered: bool,
    /// One block at a time.
    pub lone: Percentiles,
    /// Groups of 64 KiB at a time.
    pub group: Percentiles,
    /// Groups of 1 MiB at a time.
    pub largest_group: Percentiles,
    /// One block at a time through the page cache, then `fdatasync`.
    pub through_cache: Percentiles,
}

/// How a write becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Dsync,
    Fdatasync,
}

/// A prepared file without a name, which disappears however this process ends.
struct Prepared {
    direct: File,
    cached: File,
    buffered: bool,
}

impl Prepared {
    fn new(folder: &Path) -> io::Result<Prepared> {
        let path = folder.join(format!("ringkeeper-bench-disk-{}", std::process::id()));
        let cached = File::create(&path)?;
        let direct = i32::try_from(OFlags::DIRECT.bits()).expect("flags of open are an int");
        let direct = OpenOptions::new().write(true).custom_flags(direct).open(&path);
        fs::remove_file(&path)?;
        let zeroes = AlignedBuf::zeroed(LARGEST_GROUP_BYTES);
        for at in (0..FILE_BYTES).step_by(LARGEST_GROUP_BYTES) {
            cached.write_all_at(&zeroes, at)?;
        }
        cached.sync_all()?;
        let buffered = direct.is_err();
        let direct = direct.or_else(|_| cached.try_clone())?;
        Ok(Prepared { direct, cached, buffered })
    }

    fn measure(&self, bytes: usize, way: Way, time: Duration) -> io::Result<Percentiles> {
        let mut block = AlignedBuf::zeroed(bytes);
        let mut latencies: Histogram<u64> =
            Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("these bounds are allowed");
        let step = u64::try_from(bytes).expect("64 bits");
        let end = Instant::now() + time;
        let mut at = 0;
        let mut turn = 0u8;
        loop {
            turn = turn.wrapping_add(1);
            // The content differs each time, because some devices skip writes that change nothing.
            block.fill(turn);
            let begun = Instant::now();
            if begun >= end {
                return Ok(Percentiles::of(&latencies));
            }
            let written = match way {
                Way::Dsync => {
                    let parts = [IoSlice::new(&block)];
                    pwritev2(self.direct.as_fd(), &parts, at, ReadWriteFlags::DSYNC)?
                }
                Way::Fdatasync => {
                    self.cached.write_all_at(&block, at)?;
                    self.cached.sync_data()?;
                    bytes
                }
            };
            if written != bytes {
                return Err(io::Error::other("the file system wrote a part of a block"));
            }
            let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latencies.saturating_record(nanos.max(1));
            at = (at + step) % FILE_BYTES;
        }
    }
}

/// Measures a disk for `seconds` altogether; a file of 64 MiB lies in `folder` meanwhile.
///
/// # Errors
/// The folder cannot be written; the message names it.
pub fn measure(folder: &Path, seconds: f64) -> Result<Disk, String> {
    let explain = |error: io::Error| format!("{}: {error}", folder.display());
    let quarter = duration(seconds / 4.0)?;
    let prepared = Prepared::new(folder).map_err(explain)?;
    let run = |bytes, way| prepared.measure(bytes, way, quarter).map_err(explain);
    Ok(Disk {
        buffered: prepared.buffered,
        lone: run(BLOCK_BYTES, Way::Dsync)?,
        group: run(GROUP_BYTES, Way::Dsync)?,
        largest_group: run(LARGEST_GROUP_BYTES, Way::Dsync)?,
        through_cache: run(BLOCK_BYTES, Way::Fdatasync)?,
    })
}

/// Measures lone writes alone; no durable write of a server can be faster.
///
/// # Errors
/// The folder cannot be written; the message names it.
pub fn lone_writes(folder: &Path, seconds: f64) -> Result<Percentiles, String> {
    let time = duration(seconds)?;
    let measured =
        Prepared::new(folder).and_then(|file| file.measure(BLOCK_BYTES, Way::Dsync, time));
    measured.map_err(|error| format!("{}: {error}", folder.display()))
}

fn duration(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} seconds: {error}"))
}

impl Disk {
    /// Writes of 100-byte values that the disk carries in a second, if enough of them wait at any time to fill
    /// groups of 64 KiB.
    pub fn writes_per_second(&self) -> f64 {
        let txns = float(u64::try_from(GROUP_BYTES / TXN_BYTES).expect("few"));
        txns * 1e6 / self.group.p50_us
    }

    /// What an ensemble can expect, in sentences.
    pub fn verdict(&self) -> String {
        let lone = &self.lone;
        if lone.p50_us < MEMORY_US {
            return "This is memory, not a disk: it answers before any device could, and what a \
                    server writes here is gone when the power fails. Measure the folder that \
                    `dataLogDir` will name."
                .to_owned();
        }
        let expectation = format!(
            "A lone write waits {:.0} µs here ({:.0} in the worst of a hundred), so one client \
             alone gets at most {} writes per second, before the network; many clients together \
             share writes to the disk, which carries about {} writes of 100 bytes per second.",
            lone.p50_us,
            lone.p99_us,
            rounded(1e6 / lone.p50_us),
            rounded(self.writes_per_second()),
        );
        let judgement = if self.worst_us() > STALL_US {
            "But it stalled for seconds while it was measured: members of an ensemble would take \
             each other for dead. Look for a failing device, or for others that use it."
        } else if lone.p99_us <= GOOD_US {
            "That is a good disk for an ensemble."
        } else if lone.p99_us <= BEARABLE_US {
            "That is good enough for configuration and locks at a moderate rate; clients will \
             wait for the disk more than for anything else."
        } else {
            "That is too slow: an ensemble under load will wait tens of milliseconds for each \
             write, and time-outs will follow. Give the log a device of its own, with flash."
        };
        format!("{expectation} {judgement}")
    }

    fn worst_us(&self) -> f64 {
        let of_each = [&self.lone, &self.group, &self.largest_group, &self.through_cache];
        of_each.into_iter().map(|one| one.max_us).fold(0.0, f64::max)
    }
}

/// Rounds to two digits, because the estimate is not more exact.
fn rounded(number: f64) -> String {
    let digits = number.max(1.0).log10().floor() - 1.0;
    let unit = 10f64.powf(digits.max(0.0));
    let rounded = (number / unit).round() * unit;
    if rounded < 1e6 { format!("{rounded:.0}") } else { format!("{:.1} million", rounded / 1e6) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(p50_us: f64, p99_us: f64, max_us: f64) -> Disk {
        let lone = Percentiles { p50_us, p99_us, max_us, ..Percentiles::default() };
        Disk { buffered: false, lone, group: lone, largest_group: lone, through_cache: lone }
    }

    #[test]
    fn a_verdict_goes_by_the_tail_and_by_stalls() {
        assert!(disk(70.0, 150.0, 900.0).verdict().ends_with("a good disk for an ensemble."));
        assert!(disk(70.0, 4000.0, 9000.0).verdict().contains("good enough"));
        assert!(disk(4000.0, 20_000.0, 90_000.0).verdict().contains("too slow"));
        assert!(disk(70.0, 150.0, 6e6).verdict().contains("stalled"));
        assert!(disk(0.8, 2.0, 90.0).verdict().contains("memory, not a disk"));
    }

    #[test]
    fn a_folder_is_measured_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let disk = measure(folder.path(), 0.2).unwrap();
        for part in [disk.lone, disk.group, disk.largest_group, disk.through_cache] {
            assert!(part.p50_us > 0.0 && part.p50_us <= part.max_us, "{disk:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let why = measure(Path::new("no/such/folder"), 0.1).unwrap_err();
        assert!(why.starts_with("no/such/folder: "), "{why}");
    }

    #[test]
    fn a_rough_number_has_two_digits() {
        assert_eq!(rounded(13_579.0), "14000");
        assert_eq!(rounded(3_456_789.0), "3.5 million");
        assert_eq!(rounded(7.0), "7");
    }
}
