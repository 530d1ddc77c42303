//! The costs of servers during a measurement: processor time, memory, and writes to the disk.
//!
//! Processor time, memory and written bytes belong to the server processes alone. The writes to the device are
//! counted at the device, including the journal of the file system, because those wear the device and delay a write.
//! So they include the writes of other programs. Measure on a machine that does nothing else.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::result::Resources;

/// The unit of times in `/proc/PID/stat`, on every Linux of the last twenty years (`getconf CLK_TCK`).
const TICKS_PER_SECOND: u32 = 100;
/// `/sys/block/*/stat` counts in sectors of this size, whatever the device's own.
const SECTOR_BYTES: u64 = 512;
/// The text that resets the peak of memory, for `/proc/PID/clear_refs`.
const RESET_PEAK: &str = "5";

/// The counters at the moment when measuring began.
#[derive(Debug)]
pub struct Meter {
    pids: Vec<u32>,
    cpu_ticks: u64,
    server_bytes: u64,
    device: Option<Device>,
    written: Written,
}

/// A block device, by the folder of its counters.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name in `/dev`.
    pub name: String,
    stat: PathBuf,
}

#[derive(Debug, Clone, Copy, Default)]
struct Written {
    writes: u64,
    bytes: u64,
}

impl Meter {
    /// Begins to count: the processes of the servers, and the device of the folder that they write to.
    pub fn begin(pids: &[u32], folder: &Path) -> Meter {
        for pid in pids {
            // If the kernel refuses, the peak is that of the whole life of the process.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), RESET_PEAK);
        }
        let device = Device::of(folder);
        let written = device.as_ref().map(Device::written).unwrap_or_default();
        Meter {
            pids: pids.to_vec(),
            cpu_ticks: cpu_ticks(pids),
            server_bytes: server_bytes(pids),
            device,
            written,
        }
    }

    /// The costs since the beginning. `None` if a process has ended, because its counters are gone.
    pub fn end(&self) -> Option<Resources> {
        let mut memory_peak_bytes = 0;
        for pid in &self.pids {
            memory_peak_bytes += memory(*pid, "VmHWM").ok()?;
        }
        let ticks = cpu_ticks(&self.pids).checked_sub(self.cpu_ticks)?;
        let written = self.device.as_ref().map(Device::written).unwrap_or_default();
        Some(Resources {
            cpu_seconds: f64::from(u32::try_from(ticks).unwrap_or(u32::MAX))
                / f64::from(TICKS_PER_SECOND),
            memory_peak_bytes,
            server_bytes_written: server_bytes(&self.pids).saturating_sub(self.server_bytes),
            device_bytes_written: written.bytes.saturating_sub(self.written.bytes),
            device_writes: written.writes.saturating_sub(self.written.writes),
        })
    }
}

impl Device {
    /// The device of the folder's file system; `None` for a file system without a device of its own, such as tmpfs
    /// or an overlay.
    pub fn of(folder: &Path) -> Option<Device> {
        let number = fs::metadata(folder).ok()?.dev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let place = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        let name = place.file_name()?.to_string_lossy().into_owned();
        Some(Device { name, stat: place.join("stat") })
    }

    fn written(&self) -> Written {
        let text = fs::read_to_string(&self.stat).unwrap_or_default();
        // The kernel's Documentation/block/stat.rst: the fifth column counts writes, the seventh
        // sectors written.
        let column = |at: usize| text.split_whitespace().nth(at).and_then(|word| word.parse().ok());
        Written {
            writes: column(4).unwrap_or(0),
            bytes: column(6).unwrap_or(0_u64).saturating_mul(SECTOR_BYTES),
        }
    }
}

/// A line of `/proc/PID/status` in bytes: `VmRSS` is the resident memory, `VmHWM` its peak.
///
/// # Errors
/// There is no such process, or no such line.
pub fn memory(pid: u32, line: &str) -> io::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path)?;
    let value = text
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    value.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("{path}: no line {line}")))
}

/// The sum of utime and stime of all threads, including those that have ended.
fn cpu_ticks(pids: &[u32]) -> u64 {
    let of = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in parentheses, may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ').skip(11);
        let (user, system) = (fields.next()?, fields.next()?);
        Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
    };
    pids.iter().filter_map(of).sum()
}

/// Bytes that the processes caused to be sent to storage, see proc(5); 0 if this process may not read that.
fn server_bytes(pids: &[u32]) -> u64 {
    let of = |pid: &u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix("write_bytes:"))?;
        value.trim().parse().ok()
    };
    pids.iter().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn work_and_memory_of_a_process_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let meter = Meter::begin(&[process::id()], folder.path());
        let block = vec![1_u8; 64 << 20];
        let before = cpu_ticks(&[process::id()]);
        let mut sum = 0_u64;
        while cpu_ticks(&[process::id()]) < before + 2 {
            sum = block.iter().fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
        }
        assert!(sum > 0);
        let cost = meter.end().expect("this process lives");
        assert!(cost.cpu_seconds >= 0.02, "{}", cost.cpu_seconds);
        assert!(cost.memory_peak_bytes > 64 << 20, "{}", cost.memory_peak_bytes);
    }

    #[test]
    fn a_process_that_is_gone_has_no_figures() {
        let mut child = process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(Meter::begin(&[pid], Path::new(".")).end().is_none());
        assert!(memory(pid, "VmRSS").is_err());
    }

    #[test]
    fn what_is_forced_to_the_device_is_counted_there() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let Some(device) = Device::of(folder.path()) else {
            eprintln!("NOT CHECKED: this file system has no device of its own");
            return;
        };
        let before = device.written();
        let own_before = server_bytes(&[process::id()]);
        let file = fs::File::create(folder.path().join("file")).unwrap();
        io::Write::write_all(&mut &file, &vec![7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        let after = device.written();
        assert!(after.bytes >= before.bytes + (1 << 20), "{before:?} {after:?}");
        assert!(after.writes > before.writes, "{before:?} {after:?}");
        let own = server_bytes(&[process::id()]) - own_before;
        assert!(own >= 1 << 20, "{own}");
    }
}
