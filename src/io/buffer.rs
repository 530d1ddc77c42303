//! Memory that a disk can read without an intermediate copy (O_DIRECT, registered buffers).

use std::fmt;
use std::ops::{Deref, DerefMut};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Alignment of a buffer's start and of its capacity: the largest logical block of disks in use.
pub const BUFFER_ALIGNMENT: usize = 4096;

#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(4096))]
struct Block([u8; BUFFER_ALIGNMENT]);

const _: () = assert!(size_of::<Block>() == BUFFER_ALIGNMENT);
const _: () = assert!(align_of::<Block>() == BUFFER_ALIGNMENT);

/// A fixed number of bytes whose address is a multiple of 4096 and does not change when the value
/// is moved: a ring may register it.
///
/// Reads as a slice of its whole capacity.
pub struct AlignedBuf {
    /// The bytes. Invariant: at least one block.
    blocks: Box<[Block]>,
    /// The number under which a ring may register the buffer; `None` for a buffer that is used once.
    slot: Option<u16>,
}

impl AlignedBuf {
    /// At least `bytes` bytes, all zero.
    pub fn zeroed(bytes: usize) -> AlignedBuf {
        let blocks = bytes.div_ceil(BUFFER_ALIGNMENT).max(1);
        AlignedBuf { blocks: vec![Block([0; BUFFER_ALIGNMENT]); blocks].into(), slot: None }
    }

    /// The same, with a slot number: a candidate for registration, which will be used again and
    /// again.
    pub fn zeroed_in_slot(bytes: usize, slot: u16) -> AlignedBuf {
        AlignedBuf { slot: Some(slot), ..AlignedBuf::zeroed(bytes) }
    }

    /// The number given by [`AlignedBuf::zeroed_in_slot`]. `None`: a buffer for one use.
    pub fn slot(&self) -> Option<u16> {
        self.slot
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.blocks.as_bytes()
    }
}

impl DerefMut for AlignedBuf {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.blocks.as_mut_bytes()
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} bytes, slot {:?})", self.len(), self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_stays_where_it_is() {
        let mut buf = AlignedBuf::zeroed_in_slot(5000, 1);
        assert_eq!(buf.len(), 8192);
        let address = buf.as_ptr();
        assert_eq!(address.addr() % BUFFER_ALIGNMENT, 0);
        buf[8191] = 7;
        let moved = Box::new(buf);
        assert_eq!(moved.as_ptr(), address);
        assert_eq!((moved[0], moved[8191], moved.slot()), (0, 7, Some(1)));
    }
}
