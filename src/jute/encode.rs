//! Writing jute: helpers that are not a type's own encoding.

/// A length as its jute form.
///
/// Panics over 2 GiB: every value is bounded far below by `jute.maxbuffer`.
#[inline]
pub(super) fn length(length: usize) -> i32 {
    i32::try_from(length).expect("values are bounded far below 2 GiB")
}

/// Begins a frame: leaves room for its length. Give the result to [`end_frame`].
#[inline]
pub fn begin_frame(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    start
}

/// Ends the frame that began at `start`: writes its length, which does not count itself.
#[inline]
pub fn end_frame(out: &mut [u8], start: usize) {
    let bytes = length(out.len() - start - 4).to_be_bytes();
    out[start..start + 4].copy_from_slice(&bytes);
}
