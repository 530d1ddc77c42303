//! A child process that does not outlive this one, however this one ends.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

use crate::watchdog::Watchdog;

/// `"$1"` is the process, `"$2"` the folder, which may be empty. A process that is being killed may still make a file
/// while its folder is being emptied.
const KILL_AND_REMOVE: &str = r#"
    kill -9 "$1"
    [ -n "$2" ] || exit
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf -- "$2"
        sleep 0.1
        [ -e "$2" ] || exit
    done"#;

/// A running child. Killed when dropped, and when this process dies; in the latter case its folder goes with it.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    /// Kept until this process has waited for the child: after that, the id may belong to another process.
    watchdog: Option<Watchdog>,
}

impl Guarded {
    /// Starts the command. If this process dies before the child has ended, `folder` is removed.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn spawn(command: &mut Command, folder: Option<&Path>) -> io::Result<Self> {
        Ok(Self::watch(command.spawn()?, folder))
    }

    /// Guards a child that runs already.
    pub(crate) fn watch(child: Child, folder: Option<&Path>) -> Self {
        let pid = child.id().to_string();
        let arguments = [OsStr::new(&pid), folder.map_or(OsStr::new(""), Path::as_os_str)];
        let watchdog = Some(Watchdog::new(KILL_AND_REMOVE, arguments));
        Guarded { child, watchdog }
    }

    /// kill -9, and waits until the process is gone.
    pub fn kill(&mut self) {
        // The watchdog ends first: it must not find another process under the child's id.
        if self.watchdog.take().is_some() {
            self.child.kill().expect("SIGKILL to a child that has not been waited for");
            self.child.wait().expect("waiting for a child");
        }
    }

    /// Waits until the process ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.watchdog = None;
        self.child.wait().expect("waiting for a child")
    }

    /// True while the process runs. A process that has ended stays a zombie until this waits for it, so that no
    /// other process gets its id while the watchdog knows the id.
    pub fn is_running(&self) -> bool {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let state = stat.rsplit_once(") ").map_or("Z", |(_, rest)| &rest[..1]);
        self.watchdog.is_some() && state != "Z" && state != "X"
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
