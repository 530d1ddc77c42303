//! How much memory this process may use, according to its control groups, its limits and the machine.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

/// The bound and its source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryOfProcess {
    /// Bytes.
    pub bytes: u64,
    /// The source of the bound, in words.
    pub source: &'static str,
}

/// Asks the system; `None` if it does not answer.
pub fn memory_of_process() -> Option<MemoryOfProcess> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let address_space = getrlimit(Resource::As).current;
    let found = [
        machine(&meminfo).map(|bytes| (bytes, "MemTotal of this machine")),
        group(&groups, Path::new("/sys/fs/cgroup"))
            .map(|bytes| (bytes, "memory.max of its control group")),
        address_space.map(|bytes| (bytes, "RLIMIT_AS")),
    ];
    let least = found.into_iter().flatten().min_by_key(|(bytes, _)| *bytes);
    least.map(|(bytes, source)| MemoryOfProcess { bytes, source })
}

fn machine(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The least bound of the process's control groups, from the text of `/proc/self/cgroup`: of its own
/// group and its ancestors, in either version of the interface. A missing bound is `max`, or in the old
/// version a number above any machine's memory.
fn group(groups: &str, root: &Path) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            many if many.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // A container may see its own group as the root, whatever its path is called outside.
        let path = folder.join(path.trim_start_matches('/'));
        for group in path.ancestors().take_while(|group| group.starts_with(&folder)) {
            let bound = fs::read_to_string(group.join(file)).ok();
            let bound = bound.and_then(|text| text.trim().parse::<u64>().ok());
            least = [least, bound].into_iter().flatten().min();
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_bound_of_all_groups_counts_in_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let groups = "0::/a/b\n";
        assert_eq!(group(groups, root.path()), None);
        write("a/b/memory.max", "max\n");
        assert_eq!(group(groups, root.path()), None);
        write("a/memory.max", "2000\n");
        write("memory.max", "3000\n");
        assert_eq!(group(groups, root.path()), Some(2000));
        // The path is the one outside the container, which sees only its own group.
        assert_eq!(group("0::/docker/4711\n", root.path()), Some(3000));
        write("memory/x/memory.limit_in_bytes", "900\n");
        assert_eq!(group("4:cpu,memory:/x\n1:name=systemd:/a\n", root.path()), Some(900));
        assert_eq!(group("", root.path()), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory_of_process().unwrap().bytes > 1 << 20);
        assert_eq!(machine("MemTotal:        2097152 kB\nMemFree: 5 kB\n"), Some(2 << 30));
    }
}
