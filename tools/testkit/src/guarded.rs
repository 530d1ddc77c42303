//! A child process that does not outlive this one, in whatever way this one ends.

use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running child. Killed when dropped, and when this process dies.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    /// A shell that kills the child when our end of its standard input closes, that is, when this
    /// process dies in whatever way. (PR_SET_PDEATHSIG would fire when the *thread* that started
    /// the child ends.)
    watchdog: Child,
    waited: bool,
}

impl Guarded {
    /// Starts the command.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        Ok(Self::watch(command.spawn()?))
    }

    /// Guards a child that runs already.
    pub(crate) fn watch(child: Child) -> Self {
        let watchdog = Command::new("sh")
            .args([
                "-c",
                r#"while read -r line; do :; done; kill -9 "$1""#,
                "watchdog",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Guarded { child, watchdog, waited: false }
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill(&mut self) {
        if self.waited {
            return;
        }
        // The watchdog first: it must not find another process under the child's id.
        self.stop_watchdog();
        self.child.kill().expect("SIGKILL to a child that has not been waited for");
        self.child.wait().expect("waiting for a child");
        self.waited = true;
    }

    /// Waits until the process ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        if !self.waited {
            self.stop_watchdog();
            self.waited = true;
        }
        self.child.wait().expect("waiting for a child")
    }

    /// True while the process exists. One that has ended stays a zombie until it is waited for or killed, so that its id
    /// cannot be given to another process while the watchdog knows it.
    pub fn is_running(&self) -> bool {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| &rest[..1]);
        !self.waited && state != "Z" && state != "X"
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn stop_watchdog(&mut self) {
        self.watchdog.kill().expect("SIGKILL to a child that has not been waited for");
        self.watchdog.wait().expect("waiting for a child");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
