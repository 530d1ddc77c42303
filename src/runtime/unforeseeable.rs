//! Bytes that nobody can foresee, for the core's secrets: the core itself draws nothing.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// 32 bytes of the operating system's generator. Early in the life of a machine it waits until the generator is
/// seeded.
pub fn unforeseeable_bytes() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    // The kernel hands out this few at once, unless a signal comes while it waits for the seed.
    let drawn = rustix::io::retry_on_intr(|| getrandom(&mut bytes, GetRandomFlags::empty()))?;
    if drawn < bytes.len() {
        return Err(io::Error::other("the generator gives too few bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_equal() {
        assert_ne!(unforeseeable_bytes().unwrap(), unforeseeable_bytes().unwrap());
    }
}
