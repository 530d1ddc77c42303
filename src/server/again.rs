//! Starts the server again in the same process, if it lacks something that becomes available by itself.
//!
//! There are two such cases. The disk is full, and room is made later: a member that could not write the tree of
//! its leader then starts again from the data on its disk. Or too little memory may be locked, because the kernel
//! releases the locked memory of closed rings a moment late: a server that starts right after another one has ended
//! finds too little of it.
//!
//! ```text
//! process: start → … → lacks something → execve(2) of the same program, with a note in the environment
//!                                          └─→ start: waits, and logs what for; a signal ends it → …
//! ```
//! Nothing of the earlier run survives: execve(2) ends its threads and closes its files.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::limits;
use crate::runtime::{RingError, StopFlag, free_bytes, ignore_hangups_as_before};

/// The variable of the environment that holds the note: what the earlier run lacked (`room` or `memory`), a space,
/// and how often in a row, in decimal digits.
const VARIABLE: &str = "RINGKEEPER_STARTED_AGAIN";

/// The time between two checks of a waiting server for signals and for room.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A lack that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Room on a disk. The number of starts for it has no bound.
    Room,
    /// Memory that may be locked. The server tries again for some seconds.
    LockedMemory,
}

/// Why a server does not run: what every step of the start and every executor reports to the main thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A sentence for the operator.
    pub reason: String,
    /// What the server lacks, if that may become available by itself; `None`: only an operator can help.
    pub lack: Option<Lack>,
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure { reason, lack: None }
    }
}

impl Failure {
    /// The failure to make a ring. `what` names the ring.
    pub fn of_ring(what: &str, error: &RingError) -> Failure {
        // The kernel may release the memory of other rings a moment later.
        let lack = error.lacks_memory().then_some(Lack::LockedMemory);
        Failure { reason: format!("{what}: {error}"), lack }
    }

    /// The failure to make an executor, in the words of the system. `what` names the executor.
    pub fn of_executor(what: &str, error: &io::Error) -> Failure {
        let no_memory = error.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error());
        let lack = no_memory.then_some(Lack::LockedMemory);
        Failure { reason: format!("{what}: {error}"), lack }
    }
}

/// What the earlier run of this process lacked, and how often in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// What it lacked.
    lack: Lack,
    /// The number of runs in a row that have lacked this.
    ///
    /// Invariant: positive in a note of ours.
    times: u32,
}

impl Earlier {
    /// Reads the note of the earlier run, if there was one. A note that nobody of ours wrote counts as none.
    pub fn read() -> Option<Earlier> {
        Earlier::parse(&env::var(VARIABLE).ok()?)
    }

    /// The note in this text.
    fn parse(note: &str) -> Option<Earlier> {
        let (lack, times) = note.split_once(' ')?;
        let lack = match lack {
            "room" => Lack::Room,
            "memory" => Lack::LockedMemory,
            _ => return None,
        };
        Some(Earlier { lack, times: times.parse().ok()? })
    }

    /// The text of the note.
    fn note(self) -> String {
        let lack = match self.lack {
            Lack::Room => "room",
            Lack::LockedMemory => "memory",
        };
        format!("{lack} {}", self.times)
    }

    /// The note for the next run; `None`: the server has tried often enough.
    fn next(before: Option<Earlier>, lack: Lack) -> Option<Earlier> {
        let times = before.filter(|before| before.lack == lack).map_or(0, |before| before.times);
        let times = times.saturating_add(1);
        let goes_on = lack == Lack::Room || times <= limits::STARTS_FOR_LOCKED_MEMORY_MAX;
        goes_on.then_some(Earlier { lack, times })
    }

    /// How long the next start waits at most: twice as long each time, within the bounds in `limits`.
    fn pause(self) -> Duration {
        let (first, longest) = match self.lack {
            Lack::Room => (limits::ROOM_PAUSE_MS_MIN, limits::ROOM_PAUSE_MS_MAX),
            Lack::LockedMemory => (limits::MEMORY_PAUSE_MS_MIN, limits::MEMORY_PAUSE_MS_MAX),
        };
        let doubled = first.saturating_mul(1 << self.times.saturating_sub(1).min(20));
        Duration::from_millis(doubled.min(longest))
    }

    /// Waits until what was lacking may be available: for the pause, or until one of `folders` has noticeably more
    /// room than now. Returns false if a signal tells the server to stop.
    pub fn wait(self, stop: &StopFlag, folders: &[&Path]) -> bool {
        let pause = self.pause();
        match self.lack {
            Lack::Room => tracing::warn!(
                "no room on the disk: this server starts again when {} has more of it than now, or in {} s; \
                 a signal ends it",
                folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect::<Vec<_>>()
                    .join(" or "),
                pause.as_secs_f64(),
            ),
            Lack::LockedMemory if self.times == 1 => tracing::info!(
                "too little memory may be locked, perhaps because the rings of an ended server still hold some: \
                 trying again for some seconds"
            ),
            Lack::LockedMemory => {}
        }
        let free = || folders.iter().map(|folder| free_bytes(folder)).collect::<Vec<u64>>();
        let (begun, before) = (Instant::now(), free());
        let has_more = || {
            let enough = |(now, before): (&u64, &u64)| *now >= before + limits::ROOM_NOTICED_BYTES;
            self.lack == Lack::Room && free().iter().zip(&before).any(enough)
        };
        while begun.elapsed() < pause && !has_more() {
            // Looked at often, so that a signal ends a waiting server at once.
            if stop.is_set() {
                return false;
            }
            thread::sleep(LOOK_EVERY);
        }
        true
    }
}

/// Starts the program again in the place of this one (execve(2)), with the same arguments, if what it lacks may
/// become available. Does not return then. `None`: it has tried often enough; an error: the system refuses to start
/// the program.
pub fn start_again(before: Option<Earlier>, lack: Lack) -> Option<io::Error> {
    let next = Earlier::next(before, lack)?;
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    // The file of the running program, also if an upgrade has replaced or removed its path meanwhile.
    let mut program = Command::new("/proc/self/exe");
    program.arg0(name).args(arguments).env(VARIABLE, next.note());
    ignore_hangups_as_before();
    Some(program.exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written() {
        for (lack, times) in [(Lack::Room, 1), (Lack::LockedMemory, u32::MAX)] {
            let note = Earlier { lack, times };
            assert_eq!(Earlier::parse(&note.note()), Some(note));
        }
        for odd in ["", "room", "room x", "time 1", "room -1", "room 99999999999"] {
            assert_eq!(Earlier::parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn room_is_waited_for_without_end_and_memory_for_some_seconds() {
        let mut waits = [Duration::ZERO, Duration::ZERO];
        for (lack, waited) in [Lack::Room, Lack::LockedMemory].into_iter().zip(&mut waits) {
            let mut note = Earlier::next(None, lack);
            for _ in 0..100 {
                let Some(now) = note else { break };
                *waited += now.pause();
                note = Earlier::next(note, lack);
            }
            assert_eq!(note.is_some(), lack == Lack::Room);
        }
        assert!(waits[0] > Duration::from_secs(3600), "{waits:?}");
        assert!((3..20).contains(&waits[1].as_secs()), "{waits:?}");
        let room = Earlier { lack: Lack::Room, times: 7 };
        let memory = Earlier::next(Some(room), Lack::LockedMemory);
        assert_eq!(memory, Some(Earlier { lack: Lack::LockedMemory, times: 1 }), "another lack");
    }
}
