//! Information of the operating system about this process and its machine.
//!
//! Each function makes a few system calls: they are for answers to operators, not for the path of a
//! request.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit, getuid};
use rustix::system::uname;

/// File descriptors of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileDescriptors {
    /// Open now; `None` if `/proc` cannot be read.
    pub open: Option<u64>,
    /// The soft limit; `None` without one.
    pub max: Option<u64>,
}

impl FileDescriptors {
    /// Reads the numbers.
    pub fn read() -> FileDescriptors {
        const FOLDER: &str = "/proc/self/fd";
        // Since Linux 6.2 the number is the folder's size (proc(5)); before, the size is 0, and they
        // are counted, a microsecond each. One of the counted descriptors is that of the folder itself.
        let size = fs::metadata(FOLDER).ok().map(|folder| folder.len()).filter(|size| *size > 0);
        let counted = || {
            let entries = fs::read_dir(FOLDER).ok()?;
            Some((entries.count() as u64).saturating_sub(1))
        };
        let open = size.or_else(counted);
        FileDescriptors { open, max: getrlimit(Resource::Nofile).current }
    }
}

/// Bytes of all files in a folder and those below it (`ZooKeeperServer.getDirSize`); files that
/// disappear or cannot be read do not count. Symbolic links are not followed.
pub fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The machine of a server; it does not change while the server runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The host's name.
    pub host_name: String,
    /// `Linux`.
    pub os_name: String,
    /// The processor, by Java's name for it: `amd64`, `aarch64`.
    pub os_arch: String,
    /// Release of the kernel.
    pub os_version: String,
    /// The user of the process; the number if it has no name.
    pub user_name: String,
    /// That user's home, if known.
    pub user_home: Option<PathBuf>,
    /// The folder in which the process was started, if it still exists.
    pub user_dir: Option<PathBuf>,
}

impl Machine {
    /// Asks the system.
    pub fn read() -> Machine {
        let names = uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let arch = match text(names.machine()) {
            machine if machine == "x86_64" => "amd64".to_owned(),
            machine => machine,
        };
        let uid = getuid().as_raw();
        let (user_name, user_home) =
            user(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)
                .unwrap_or_else(|| (uid.to_string(), None));
        Machine {
            host_name: text(names.nodename()),
            os_name: text(names.sysname()),
            os_arch: arch,
            os_version: text(names.release()),
            user_name,
            user_home: std::env::var_os("HOME").map(PathBuf::from).or(user_home),
            user_dir: std::env::current_dir().ok(),
        }
    }
}

/// Name and home of a user, from the text of `/etc/passwd`.
fn user(passwd: &str, uid: u32) -> Option<(String, Option<PathBuf>)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found = fields.nth(1)?.parse() == Ok(uid);
        let home = fields.nth(2).map(PathBuf::from);
        found.then(|| (name.to_owned(), home))
    })
}

/// The machine's memory in MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Available without swapping.
    pub available_mib: u64,
    /// The total.
    pub total_mib: u64,
}

impl Memory {
    /// Asks the system; zeroes if it does not answer.
    pub fn read() -> Memory {
        Memory::parse(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
    }

    fn parse(meminfo: &str) -> Memory {
        let mib = |key: &str| {
            meminfo
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
                .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
                .map_or(0, |kib| kib / 1024)
        };
        Memory { available_mib: mib("MemAvailable"), total_mib: mib("MemTotal") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_counted() {
        let before = FileDescriptors::read();
        let files: Vec<_> = (0..20).map(|_| fs::File::open("/proc/self/stat").unwrap()).collect();
        let after = FileDescriptors::read();
        // Other tests of the process open and close files meanwhile, but few.
        assert!(after.open.unwrap() + 10 >= before.open.unwrap() + files.len() as u64);
        assert!(after.max.is_none_or(|max| max >= after.open.unwrap()));
    }

    #[test]
    fn folders_are_summed_with_those_below_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("a"), [0; 10]).unwrap();
        fs::write(folder.path().join("below/b"), [0; 7]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("loop")).unwrap();
        let link = fs::symlink_metadata(folder.path().join("loop")).unwrap().len();
        assert_eq!(folder_bytes(folder.path()), 17 + link);
        assert_eq!(folder_bytes(&folder.path().join("nowhere")), 0);
    }

    #[test]
    fn the_machine_is_linux() {
        let machine = Machine::read();
        assert_eq!(machine.os_name, "Linux");
        assert!(!machine.host_name.is_empty() && !machine.user_name.is_empty());
        assert!(Memory::read().total_mib > 0);
    }

    #[test]
    fn users_are_found_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nzk:x:107:7::/var/lib/zk:/bin/false\nbad\n";
        assert_eq!(user(passwd, 107), Some(("zk".into(), Some("/var/lib/zk".into()))));
        assert_eq!(user(passwd, 7), None);
    }

    #[test]
    fn memory_is_read_in_mib() {
        let text = "MemTotal:        2097152 kB\nMemFree: 5 kB\nMemAvailable:    1048576 kB\n";
        assert_eq!(Memory::parse(text), Memory { available_mib: 1024, total_mib: 2048 });
        assert_eq!(Memory::parse("nonsense"), Memory::default());
    }
}
