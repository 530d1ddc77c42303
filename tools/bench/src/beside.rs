//! The neighbours of servers on their processors: threads that compute without end, or a control group that bounds
//! the servers' share of a processor, as a container with `cpu.max` does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use serde::{Deserialize, Serialize};

/// Where control groups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";
/// The usual period of a quota.
const PERIOD_US: u64 = 100_000;
/// The most busy loops; a definition that wants more is mistaken.
pub const BUSY_LOOPS_MAX: u32 = 256;

/// The neighbours that a workload asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Beside {
    /// Threads that compute without end.
    pub busy_loops: u32,
    /// The share of one processor that all servers together may have, in percent.
    pub cpu_quota_percent: Option<u32>,
}

/// The neighbours, which stay as long as the value lives.
#[derive(Debug)]
pub struct Neighbours {
    _loops: Option<Loops>,
    _quota: Option<Quota>,
}

#[derive(Debug)]
struct Loops {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Quota {
    group: PathBuf,
    parent: PathBuf,
}

impl Beside {
    /// Whether the workload asks for no neighbours.
    pub fn is_nothing(&self) -> bool {
        *self == Beside::default()
    }

    /// Checks the definition.
    ///
    /// # Errors
    /// The definition asks for more than any machine has, or for nothing.
    pub fn check(&self) -> Result<(), String> {
        if self.busy_loops > BUSY_LOOPS_MAX {
            return Err(format!("beside.busy_loops is at most {BUSY_LOOPS_MAX}"));
        }
        if self.cpu_quota_percent.is_some_and(|percent| !(1..=10_000).contains(&percent)) {
            return Err("beside.cpu_quota_percent is 1 to 10000; 50 is half a processor".into());
        }
        Ok(())
    }

    /// Starts the loops, and puts the servers into a control group with the quota.
    ///
    /// # Errors
    /// The machine refuses the threads or the group; the text says why.
    pub fn begin(&self, servers: &[u32]) -> Result<Neighbours, String> {
        let quota =
            self.cpu_quota_percent.map(|percent| Quota::begin(percent, servers)).transpose()?;
        let loops = (self.busy_loops > 0).then(|| Loops::begin(self.busy_loops)).transpose()?;
        Ok(Neighbours { _loops: loops, _quota: quota })
    }
}

impl Loops {
    fn begin(count: u32) -> Result<Loops, String> {
        let mut loops = Loops { stop: Arc::default(), threads: Vec::new() };
        for number in 0..count {
            let stop = loops.stop.clone();
            let body = move || {
                let mut sum = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(1));
                }
            };
            let thread = thread::Builder::new().name(format!("busy-loop-{number}")).spawn(body);
            loops.threads.push(thread.map_err(|error| format!("a busy loop: {error}"))?);
        }
        Ok(loops)
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A busy loop cannot panic.
            let _ = thread.join();
        }
    }
}

impl Quota {
    fn begin(percent: u32, servers: &[u32]) -> Result<Quota, String> {
        let parent = parent()?;
        let group = parent.join(format!("ringkeeper-bench-{}", std::process::id()));
        let explain = |error: std::io::Error| {
            format!(
                "a quota needs a control group, which root may make: {}: {error}",
                group.display()
            )
        };
        fs::create_dir(&group).map_err(explain)?;
        let quota = Quota { group: group.clone(), parent };
        let quota_us = u64::from(percent) * PERIOD_US / 100;
        let put = |name: &str, text: String| {
            let file = group.join(name);
            fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
        };
        if group.join("cpu.max").exists() {
            put("cpu.max", format!("{quota_us} {PERIOD_US}"))?;
        } else {
            put("cpu.cfs_period_us", PERIOD_US.to_string())?;
            put("cpu.cfs_quota_us", quota_us.to_string())?;
        }
        for pid in servers {
            put("cgroup.procs", pid.to_string())?;
        }
        Ok(quota)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Processes that are still in the group go on without a quota. A group that cannot be removed is at least
        // empty.
        let members = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines() {
            let _ = fs::write(self.parent.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.group);
    }
}

/// The parent of a new group: in the old hierarchy for processors, or in the unified one.
fn parent() -> Result<PathBuf, String> {
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        if controllers.split(',').any(|name| name == "cpu") {
            let below = Path::new(MOUNTED).join(controllers).join(path.trim_start_matches('/'));
            if below.join("cpu.cfs_quota_us").exists() {
                return Ok(below);
            }
            let root = Path::new(MOUNTED).join(controllers);
            if root.is_dir() {
                return Ok(root);
            }
        }
    }
    let root = PathBuf::from(MOUNTED);
    let shared = fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
    if shared.split_whitespace().any(|name| name == "cpu") {
        return Ok(root);
    }
    Err(format!("no control group below {MOUNTED} here shares out processors"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_quota_holds_its_servers_as_long_as_it_lives() {
        let mut server = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = server.id().to_string();
        match Quota::begin(50, &[server.id()]) {
            Ok(quota) => {
                let read = |name: &str| fs::read_to_string(quota.group.join(name)).unwrap();
                assert_eq!(read("cgroup.procs").trim(), pid);
                let limit = ["cpu.max", "cpu.cfs_quota_us"]
                    .into_iter()
                    .find(|name| quota.group.join(name).exists());
                assert!(read(limit.unwrap()).starts_with("50000"));
                let (group, parent) = (quota.group.clone(), quota.parent.clone());
                drop(quota);
                assert!(!group.exists());
                let members = fs::read_to_string(parent.join("cgroup.procs")).unwrap();
                assert!(members.lines().any(|member| member == pid));
            }
            // Not every user may make a group, and not every machine has control groups.
            Err(why) => assert!(why.contains("control group"), "{why}"),
        }
        server.kill().unwrap();
        server.wait().unwrap();
    }

    #[test]
    fn loops_end_with_their_owner() {
        let beside = Beside { busy_loops: 2, cpu_quota_percent: None };
        let neighbours = beside.begin(&[]).unwrap();
        drop(neighbours);
        assert_eq!(beside.check(), Ok(()));
        assert!(Beside { cpu_quota_percent: Some(0), ..beside }.check().is_err());
        assert!(!beside.is_nothing());
        assert!(Beside::default().is_nothing());
    }
}
