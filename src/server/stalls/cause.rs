//! Why a stall happened, judged by how the thread used the machine meanwhile.
//!
//! ```text
//! the stall = ran (on a processor) + queued (for a processor) + away (neither)
//!             Own, Machine           Preempted                 Stopped, Paged, Machine, Blocked
//! ```
//! The largest of the three decides. The kernel counts the first two for each thread; `away` is the rest.

use super::micros;
use super::span::{Stall, TurnPart};
use crate::runtime::ThreadUse;

/// Why the server stalled: the reason for the largest part of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The server worked.
    Own,
    /// Other threads had its processor.
    Preempted,
    /// Memory had to be read from a disk.
    Paged,
    /// The server waited in the kernel, for a disk or a lock.
    Blocked,
    /// The whole process was stopped.
    Stopped,
    /// The kernel knows of no reason, so the whole machine stood still.
    Machine,
}

/// To read a page from a disk takes less than this, in µs; a longer pause has another cause. The slowest disks,
/// busy with other work, take a tenth of it (guessed).
const PAGE_READ_US_MAX: u64 = 1_000_000;

impl Cause {
    /// The cause of a stall in which the thread `used` so much of the machine.
    pub(super) fn of(stall: &Stall, used: ThreadUse) -> Cause {
        let ran = micros(used.ran).min(stall.us);
        let Some(queued) = used.queued else { return Cause::without_queue(stall, used, ran) };
        let queued = micros(queued).min(stall.us - ran);
        let away = stall.us - ran - queued;
        if ran >= queued && ran >= away {
            Cause::of_running(stall)
        } else if queued >= away {
            Cause::Preempted
        } else {
            Cause::of_being_away(stall, used, away)
        }
    }

    /// The cause of a stall in which the thread ran.
    fn of_running(stall: &Stall) -> Cause {
        // The server does nothing between two looks: the time went to interrupts, which the kernel counts as
        // ours, or to the host of a virtual machine.
        if stall.mostly() == TurnPart::Look { Cause::Machine } else { Cause::Own }
    }

    /// The cause of a stall in which the thread neither ran nor waited for a processor, for `away_us`, in µs.
    fn of_being_away(stall: &Stall, used: ThreadUse, away_us: u64) -> Cause {
        // A signal has stopped the process, and another one has let it continue.
        if used.continued > 0 {
            return Cause::Stopped;
        }
        if away_us <= used.page_reads.saturating_mul(PAGE_READ_US_MAX) {
            return Cause::Paged;
        }
        // The thread never gave its processor up, and yet it did not run.
        if used.waits == 0 {
            return Cause::Machine;
        }
        match stall.mostly() {
            // Here the thread makes no system call that could take time.
            TurnPart::Held | TurnPart::Look => Cause::Stopped,
            TurnPart::Requests
            | TurnPart::Files
            | TurnPart::Timers
            | TurnPart::Core
            | TurnPart::Sends
            | TurnPart::Disk
            | TurnPart::Reload => Cause::Blocked,
        }
    }

    /// The cause if the kernel does not say how long a thread waits for a processor, judged by how often the
    /// thread left its processor.
    fn without_queue(stall: &Stall, used: ThreadUse, ran_us: u64) -> Cause {
        if ran_us * 2 >= stall.us {
            Cause::of_running(stall)
        } else if used.continued + used.page_reads == 0 && used.preemptions > used.waits {
            Cause::Preempted
        } else {
            Cause::of_being_away(stall, used, stall.us - ran_us)
        }
    }

    /// Whether the server was kept from running: it neither worked nor waited for something that it had asked for.
    pub fn is_held_off(self) -> bool {
        match self {
            Cause::Preempted | Cause::Stopped | Cause::Machine => true,
            Cause::Own | Cause::Paged | Cause::Blocked => false,
        }
    }

    /// Whether the server waited in the kernel for something that it had asked for.
    pub fn is_waiting(self) -> bool {
        match self {
            Cause::Paged | Cause::Blocked => true,
            Cause::Own | Cause::Preempted | Cause::Stopped | Cause::Machine => false,
        }
    }

    /// The cause in words, and where to look, for the log.
    pub fn describe(self) -> &'static str {
        match self {
            Cause::Own => "this process was at work: parts and work say what took so long",
            Cause::Preempted => {
                "this process did not get to run: others had its processor. Look at `top`, \
                 /proc/pressure/cpu and the CPU quota of its container"
            }
            Cause::Paged => {
                "this process waited for its memory, which had to be read from a disk. Look at the \
                 swap (`vmstat 1`) and the memory limit of its container"
            }
            Cause::Blocked => {
                "this process waited in the kernel, for a disk or a lock, or was stopped at work (a debugger, a \
                 frozen container). Look at /proc/pressure/io, `iostat -x 1` and the kernel's log"
            }
            Cause::Stopped => {
                "this process was stopped: it neither ran nor waited for a processor or a disk (SIGSTOP, a \
                 debugger, a frozen container or virtual machine). Look for what stops it"
            }
            Cause::Machine => {
                "not this process but the whole machine stood still, or interrupts had its processor: \
                 a virtual machine stands still while its host runs others. Look at `st` in `vmstat 1`"
            }
        }
    }
}
