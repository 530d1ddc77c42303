//! The length of a thread's time slice.
//!
//! A waking thread preempts a computing one only if the scheduler owes it time, and if its next slice
//! ends sooner. So a thread that runs for some microseconds and then sleeps asks for short slices:
//! since Linux 6.12 it then preempts a busy neighbour with ordinary slices at once, instead of
//! waiting for the end of the neighbour's slice, which the kernel notices only at a tick of the
//! clock. The thread gets no larger share of the processor, but gets it sooner.

use std::io;
use std::mem;

/// The shortest slice that the kernel grants. Enough for all work between two waits.
const SLICE_NS: u64 = 100_000;

/// `struct sched_attr` of `sched_setattr(2)`, with the fields that every kernel knows.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const ATTRIBUTES_BYTES: u32 = 48;
const _: () = assert!(mem::size_of::<Attributes>() == ATTRIBUTES_BYTES as usize);

/// The kind of slices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slices {
    /// Short ones, to preempt busy neighbours on waking.
    Short,
    /// The default: beside threads that sleep by themselves, fewer context switches are better.
    Ordinary,
}

/// Asks for such slices for the current thread; threads that it starts inherit them. Kernels before
/// 6.12 ignore the request, and a thread with another scheduling policy keeps that.
pub fn set_slices(slices: Slices) {
    let slice_ns = match slices {
        Slices::Short => SLICE_NS,
        Slices::Ordinary => 0,
    };
    // If the kernel refuses, everything works as before.
    if let Err(error) = set_slice(slice_ns) {
        tracing::debug!("the scheduler grants no {slices:?} slices: {error}");
    }
}

fn set_slice(slice_ns: u64) -> io::Result<()> {
    let mut attributes = read()?;
    if attributes.policy != libc::SCHED_OTHER.unsigned_abs() {
        return Ok(());
    }
    attributes.size = ATTRIBUTES_BYTES;
    attributes.runtime = slice_ns;
    // SAFETY: the kernel reads `size` bytes of the structure, which lives through the call; 0 is the
    // current thread.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn read() -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes at most the size that it is given into the structure, which lives
    // through the call; 0 is the current thread.
    let read = unsafe {
        libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, ATTRIBUTES_BYTES, 0)
    };
    if read == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_asks_for_short_slices_keeps_its_policy_and_its_nice_value() {
        let asked = std::thread::spawn(|| {
            let before = read().unwrap();
            set_slices(Slices::Short);
            let short = read().unwrap();
            set_slices(Slices::Ordinary);
            (before, short, read().unwrap())
        });
        let (before, after, ordinary) = asked.join().unwrap();
        assert_eq!(before.runtime, ordinary.runtime);
        assert_eq!((before.policy, before.nice), (after.policy, after.nice));
        // 0: a kernel without configurable slices.
        assert!([0, SLICE_NS].contains(&after.runtime), "{} ns", after.runtime);
    }
}
