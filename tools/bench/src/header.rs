//! The circumstances of a measurement: machine, disk, commit, command.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::SystemTime;

use crate::result::RunHeader;

const UNKNOWN: &str = "unknown";

/// Looks at this machine, at the file system of `folder`, and at the working tree around the current folder. Facts
/// that this process cannot find out are `unknown` or 0.
pub fn collect(folder: &Path, seconds_per_row: f64, rounds: u32) -> RunHeader {
    let (file_system, device) = mount_of(folder);
    RunHeader {
        command: command_line(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        commit: commit("HEAD").unwrap_or_else(|| UNKNOWN.to_owned()),
        dirty: is_dirty(),
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| UNKNOWN.to_owned()),
        cores: thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024),
        kernel: kernel(),
        file_system,
        device,
        seconds_per_row,
        rounds,
        loadavg_before: load_average(),
    }
}

/// The load average over one minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// A warning that other programs load the machine; `None` on a quiet one.
pub fn machine_is_busy() -> Option<String> {
    let (load, cores) = (load_average(), thread::available_parallelism().map_or(1, usize::from));
    let busy = load > f64::from(u32::try_from(cores).unwrap_or(u32::MAX)) / 2.0;
    busy.then(|| {
        format!(
            "But this machine is busy with other work (load average {load:.1} on {cores} cores), which is in \
             these figures: measure again when it is quiet."
        )
    })
}

/// The abbreviated id of a commit of the repository around the current folder.
pub fn commit(revision: &str) -> Option<String> {
    git(&["rev-parse", "--short=10", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
}

/// Whether files that git knows were changed since the last commit.
pub fn is_dirty() -> bool {
    git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty())
}

/// The output of a git command, without the white space around it; `None` if it fails.
pub fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The command line of this process, with the program's name instead of its path, so that it can be repeated on
/// other machines.
fn command_line() -> String {
    let words = env::args().skip(1).map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    std::iter::once("ringkeeper-bench".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn kernel() -> String {
    let name = rustix::system::uname();
    format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy())
}

/// The first `key : value` of a file in /proc.
fn field(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// Type and source of the file system that a folder lies on.
fn mount_of(folder: &Path) -> (String, String) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let Ok(metadata) = fs::metadata(folder) else {
        return (UNKNOWN.to_owned(), UNKNOWN.to_owned());
    };
    let (major, minor) = (rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
    let number = format!("{major}:{minor}");
    mounts
        .lines()
        .find_map(|line| {
            // `36 35 98:0 /root /mnt options fields - ext4 /dev/vda1 options`, see proc(5).
            let (place, source) = line.split_once(" - ")?;
            let mut source = source.split(' ');
            let (kind, device) = (source.next()?, source.next()?);
            let device = device.strip_prefix("/dev/").unwrap_or(device);
            (place.split(' ').nth(2)? == number).then(|| (kind.to_owned(), device.to_owned()))
        })
        .unwrap_or_else(|| (UNKNOWN.to_owned(), UNKNOWN.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let header = collect(Path::new("."), 2.5, 3);
        assert!(header.kernel.starts_with("Linux "), "{}", header.kernel);
        assert!(header.cores > 0);
        assert!(header.memory_bytes > 1 << 20);
        assert_ne!(header.file_system, UNKNOWN);
        assert!(header.date.ends_with('Z'), "{}", header.date);
        assert!(header.command.starts_with("ringkeeper-bench"), "{}", header.command);
    }
}
