//! What no server can beat here: one durable write, one round trip.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::fs::OFlags;

const BLOCK_BYTES: usize = 4096;
const FILE_BLOCKS: u64 = 4096;
const MEASURED: Duration = Duration::from_secs(2);
/// A small request's frame, and its answer's.
const MESSAGE_BYTES: usize = 40;

#[repr(align(4096))]
struct Block([u8; BLOCK_BYTES]);

/// Both, in µs.
#[derive(Debug, Clone, Copy)]
pub struct Floor {
    /// Median of a 4 KiB write into a zero-written file, `O_DIRECT | O_DSYNC`.
    pub write_us: f64,
    /// Whether the file system refused `O_DIRECT`.
    pub buffered: bool,
    /// Median of a message there and back between two threads over loopback.
    pub round_trip_us: f64,
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.buffered { "dsync, no O_DIRECT here" } else { "O_DIRECT, dsync" };
        write!(
            f,
            "floor: 4 KiB write ({how}) p50 {:.0} µs; loopback round trip of a null server p50 {:.0} µs",
            self.write_us, self.round_trip_us
        )
    }
}

/// Measures both; the file lies in `folder` for that time.
///
/// # Errors
/// The folder cannot be written, or loopback does not work.
pub fn measure(folder: &Path) -> Result<Floor, String> {
    let path = folder.join(format!("ringkeeper-load-floor-{}", std::process::id()));
    let outcome = write_latency(&path);
    // The file may not be there if creating it failed.
    let _ = fs::remove_file(&path);
    let (write_us, buffered) = outcome.map_err(|error| format!("{}: {error}", path.display()))?;
    let round_trip_us = round_trip().map_err(|error| format!("loopback: {error}"))?;
    Ok(Floor { write_us, buffered, round_trip_us })
}

fn write_latency(path: &Path) -> io::Result<(f64, bool)> {
    let zeroes = Block([0; BLOCK_BYTES]);
    let mut file = File::create(path)?;
    for _ in 0..FILE_BLOCKS {
        file.write_all(&zeroes.0)?;
    }
    file.sync_all()?;
    let open = |flags: OFlags| {
        let flags = i32::try_from(flags.bits()).expect("flags of open are an int");
        OpenOptions::new().write(true).custom_flags(flags).open(path)
    };
    let (file, buffered) = match open(OFlags::DIRECT | OFlags::DSYNC) {
        Ok(file) => (file, false),
        Err(_) => (open(OFlags::DSYNC)?, true),
    };
    let block = Block([7; BLOCK_BYTES]);
    let mut latencies = histogram();
    let end = Instant::now() + MEASURED;
    for number in 0.. {
        let begun = Instant::now();
        if begun > end {
            break;
        }
        file.write_all_at(&block.0, (number % FILE_BLOCKS) * 4096)?;
        record(&mut latencies, begun);
    }
    Ok((median_us(&latencies), buffered))
}

fn round_trip() -> io::Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = [0; MESSAGE_BYTES];
        while stream.read_exact(&mut message).is_ok() {
            stream.write_all(&message)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut message = [1; MESSAGE_BYTES];
    let mut latencies = histogram();
    let end = Instant::now() + MEASURED;
    loop {
        let begun = Instant::now();
        if begun > end {
            break;
        }
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        record(&mut latencies, begun);
    }
    drop(stream);
    server.join().expect("the null server does not panic")?;
    Ok(median_us(&latencies))
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("three digits are allowed")
}

fn record(latencies: &mut Histogram<u64>, begun: Instant) {
    let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    latencies.saturating_record(nanos);
}

fn median_us(latencies: &Histogram<u64>) -> f64 {
    u32::try_from(latencies.value_at_quantile(0.5)).map_or(f64::MAX, f64::from) / 1000.0
}
