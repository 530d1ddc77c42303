//! The memory that the kernel has registered for the log's writes.

use std::io;

use super::WriteIndex;
use crate::io::AlignedBuf;
use crate::runtime::ring::{NewRing, Ring};

/// Buffers that may be registered: further slots are written unregistered.
const BUFFERS_REGISTERED_MAX: u16 = 8;

/// Address and length of the registered memory, by slot. `None` instead of the whole table: the kernel refused.
pub(super) struct Buffers {
    registered: Option<[Option<(usize, usize)>; BUFFERS_REGISTERED_MAX as usize]>,
}

impl Buffers {
    /// Registers an empty table.
    pub fn register(ring: &NewRing<WriteIndex>) -> io::Result<Buffers> {
        ring.register_buffers(BUFFERS_REGISTERED_MAX.into())?;
        Ok(Buffers { registered: Some([None; BUFFERS_REGISTERED_MAX as usize]) })
    }

    /// No table.
    pub fn unregistered() -> Buffers {
        Buffers { registered: None }
    }

    /// Registers a buffer that has a slot and is not there yet.
    pub fn maybe_register(&mut self, ring: &Ring<WriteIndex>, buf: &AlignedBuf) {
        let Some(slot) = buf.slot() else { return };
        let Some(table) = self.registered.as_mut() else { return };
        let memory = (buf.as_ptr().addr(), buf.len());
        let Some(held) = table.get_mut(usize::from(slot)) else { return };
        if *held == Some(memory) {
            return;
        }
        // SAFETY: the memory is alive now. The kernel only reads from it, for writes submitted while the buffer is in
        // our hands.
        match unsafe { ring.update_buffer(slot, buf.as_ptr(), buf.len()) } {
            Ok(()) => *held = Some(memory),
            Err(error) => {
                tracing::warn!(
                    "log buffers are written unregistered from now on ({error}): a larger \
                     RLIMIT_MEMLOCK makes log writes a little faster"
                );
                self.registered = None;
            }
        }
    }

    /// The slot of a buffer, if it is registered.
    pub fn slot_of(&self, buf: &AlignedBuf) -> Option<u16> {
        let slot = buf.slot()?;
        let held = self.registered.as_ref()?.get(usize::from(slot))?.as_ref()?;
        (*held == (buf.as_ptr().addr(), buf.len())).then_some(slot)
    }
}
