//! Why a stall happened, judged by how the thread used the machine meanwhile.

use super::micros;
use super::span::{Stall, TurnPart};
use crate::runtime::ThreadUse;

/// Why the server stood still: what the largest part of its time went to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// It worked.
    Own,
    /// Others had its processor.
    Preempted,
    /// Memory had to be read from a disk.
    Paged,
    /// It waited in the kernel, for a disk or a lock.
    Blocked,
    /// The whole process was stopped.
    Stopped,
    /// Not even the kernel knows of it.
    Machine,
}

/// A page that is read from a disk takes less than this, in us: what takes longer has another cause. The
/// slowest disks, busy with other work, take a tenth (guessed).
const PAGE_READ_US_MAX: u64 = 1_000_000;

impl Cause {
    /// Of a stall in which the thread had `used`.
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

    /// Of a stall in which the thread ran.
    fn of_running(stall: &Stall) -> Cause {
        // There is no work of ours between two looks: interrupts have it on our account, or the
        // machine below.
        if stall.mostly() == TurnPart::Look { Cause::Machine } else { Cause::Own }
    }

    /// Of one in which it neither ran nor was queued, for so long.
    fn of_being_away(stall: &Stall, used: ThreadUse, away_us: u64) -> Cause {
        if used.continued > 0 {
            return Cause::Stopped;
        }
        if away_us <= used.page_reads.saturating_mul(PAGE_READ_US_MAX) {
            return Cause::Paged;
        }
        if used.waits == 0 {
            return Cause::Machine;
        }
        match stall.mostly() {
            // It asked the kernel for nothing then that could take time.
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

    /// Where the kernel does not tell how long a thread is queued, its switches must do.
    fn without_queue(stall: &Stall, used: ThreadUse, ran_us: u64) -> Cause {
        if ran_us * 2 >= stall.us {
            Cause::of_running(stall)
        } else if used.continued + used.page_reads == 0 && used.preemptions > used.waits {
            Cause::Preempted
        } else {
            Cause::of_being_away(stall, used, stall.us - ran_us)
        }
    }

    /// Whether the server was kept from running: it neither worked nor waited for anything that it had
    /// asked for.
    pub fn is_held_off(self) -> bool {
        match self {
            Cause::Preempted | Cause::Stopped | Cause::Machine => true,
            Cause::Own | Cause::Paged | Cause::Blocked => false,
        }
    }

    /// Whether it waited in the kernel.
    pub fn is_waiting(self) -> bool {
        match self {
            Cause::Paged | Cause::Blocked => true,
            Cause::Own | Cause::Preempted | Cause::Stopped | Cause::Machine => false,
        }
    }

    /// For the log.
    pub fn describe(self) -> &'static str {
        match self {
            Cause::Own => "this process was at work: its own work took so long, see parts and work",
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
                 debugger, a frozen container or virtual machine). Look for who stops it"
            }
            Cause::Machine => {
                "not this process but the whole machine stood still, or interrupts had its processor: \
                 a virtual machine waits so for others of its host. Look at `st` in `vmstat 1`"
            }
        }
    }
}
