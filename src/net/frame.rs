//! Framing: `int len`, big-endian and signed, then that many bytes (`NIOServerCnxn.readLength`).
//!
//! Pure functions over bytes: no socket, no state, no allocation.

/// Bytes of the length in front of each frame.
pub const LENGTH_BYTES: usize = 4;

/// The frames at the front of a receive buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split {
    /// Bytes of whole frames, lengths included.
    pub whole_bytes: usize,
    /// The number of whole frames.
    pub frames: u32,
    /// The bytes after them.
    pub tail: Tail,
}

/// The bytes after the whole frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// No bytes, or fewer than four.
    Unknown,
    /// The start of a frame that will have this many bytes, its length included.
    Partial(usize),
    /// An invalid length: negative, or above the bound.
    Bad(i32),
}

/// Finds the whole frames at the front of `bytes`, none longer than `frame_bytes_max`.
pub fn split(bytes: &[u8], frame_bytes_max: u32) -> Split {
    let mut whole_bytes = 0;
    let mut frames = 0;
    let tail = loop {
        let rest = &bytes[whole_bytes..];
        let Some(head) = rest.first_chunk::<LENGTH_BYTES>() else { break Tail::Unknown };
        let length = i32::from_be_bytes(*head);
        let needed = match u32::try_from(length) {
            Ok(length) if length <= frame_bytes_max => length as usize + LENGTH_BYTES,
            _ => break Tail::Bad(length),
        };
        if rest.len() < needed {
            break Tail::Partial(needed);
        }
        whole_bytes += needed;
        frames += 1;
    };
    Split { whole_bytes, frames, tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: usize) -> Vec<u8> {
        let mut frame = i32::try_from(bytes).unwrap().to_be_bytes().to_vec();
        frame.resize(bytes + LENGTH_BYTES, 7);
        frame
    }

    #[test]
    fn whole_frames_are_found_however_the_bytes_arrive() {
        let stream: Vec<u8> = [frame(0), frame(5), frame(100), frame(1)].concat();
        for cut in 0..=stream.len() {
            let found = split(&stream[..cut], 100);
            let ends = [4, 13, 117, 122];
            let expected = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(found.frames as usize, expected, "cut at {cut}");
            assert_eq!(found.whole_bytes, if expected == 0 { 0 } else { ends[expected - 1] });
            let rest = cut - found.whole_bytes;
            let whole = ends.get(expected).map(|end| end - found.whole_bytes);
            let tail = if rest < 4 { Tail::Unknown } else { Tail::Partial(whole.unwrap()) };
            assert_eq!(found.tail, tail, "cut at {cut}");
        }
    }

    #[test]
    fn a_negative_or_too_large_length_is_bad_but_frames_before_it_count() {
        for length in [-1, i32::MIN, 101, i32::MAX] {
            let mut stream = frame(3);
            stream.extend(length.to_be_bytes());
            let expected = Split { whole_bytes: 7, frames: 1, tail: Tail::Bad(length) };
            assert_eq!(split(&stream, 100), expected);
        }
        assert_eq!(split(&frame(100), 100).frames, 1);
    }
}
