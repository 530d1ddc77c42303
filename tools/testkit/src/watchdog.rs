//! Runs a script when this process has ended in any way: by a panic that aborts, by Ctrl-C, by `kill -9`. A
//! destructor would not suffice, because none of these ways runs destructors.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

/// Ignores Ctrl-C, which reaches every process of the terminal, because the shell still has to run its script.
const WAIT_FOR_END: &str = "trap '' INT TERM HUP QUIT; while read -r line; do :; done; ";

/// A shell that runs a script once this process's end of its standard input is closed; the kernel closes it when
/// this process dies. Dropping the watchdog ends the shell without running the script. (PR_SET_PDEATHSIG would fire
/// when the *thread* that started a child ends.)
#[derive(Debug)]
pub struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// The script finds the arguments as `"$1"`, `"$2"` and so on.
    ///
    /// # Panics
    /// If there is no `sh`.
    pub fn new<S: AsRef<OsStr>>(script: &str, arguments: impl IntoIterator<Item = S>) -> Watchdog {
        let shell = Command::new("sh")
            .args(["-c", &format!("{WAIT_FOR_END}{script}"), "watchdog"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Watchdog { shell }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shell.kill().expect("SIGKILL to a child that has not been waited for");
        self.shell.wait().expect("waiting for a child");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    /// Whether a process ignores SIGINT, by the mask in its status.
    fn ignores_interrupts(pid: u32) -> bool {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0
    }

    #[test]
    fn it_survives_an_interrupt_and_acts_when_its_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        let mut watchdog = Watchdog::new(r#"rmdir "$1""#, [&place]);
        while !ignores_interrupts(watchdog.shell.id()) {
            thread::sleep(Duration::from_millis(1));
        }
        let pid = Pid::from_raw(i32::try_from(watchdog.shell.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        // The kernel does this when a process ends.
        drop(watchdog.shell.stdin.take());
        assert!(watchdog.shell.wait().unwrap().success());
        assert!(!place.exists());
    }

    #[test]
    fn it_does_nothing_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        let watchdog = Watchdog::new(r#"rmdir "$1""#, [&place]);
        while !ignores_interrupts(watchdog.shell.id()) {
            thread::sleep(Duration::from_millis(1));
        }
        drop(watchdog);
        assert!(place.exists());
    }
}
