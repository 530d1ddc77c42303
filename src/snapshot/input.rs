//! A stream of bytes with the checksum of the bytes taken from it.

use std::io::{self, Read};

use simd_adler32::Adler32;

const BUFFER_BYTES: usize = 64 << 10;

/// Reads ahead, so that small fields cost no call, and updates the checksum in large pieces.
///
/// Positions in `buf`:
/// ```text
/// 0 ───────────┬─────────────────┬──────────────────┬───────────────┬
///  in `adler`  │ taken, not yet  │ read from the    │ not in use    │
///              │ in `adler`      │ source           │               │
///            hashed            taken              filled         buf.len()
/// ```
/// Invariant: `hashed ≤ taken ≤ filled ≤ buf.len()`.
pub(super) struct Input<R> {
    /// Where bytes come from.
    source: R,
    /// Bytes read ahead.
    buf: Box<[u8]>,
    /// The end of what is in the checksum.
    hashed: usize,
    /// The end of what was taken.
    taken: usize,
    /// The end of what was read.
    filled: usize,
    /// The checksum of everything before `hashed`, in this and all earlier buffers.
    adler: Adler32,
    /// Where `buf` begins in the stream.
    buf_offset: u64,
}

impl<R: Read> Input<R> {
    pub fn new(source: R) -> Input<R> {
        Input {
            source,
            buf: vec![0; BUFFER_BYTES].into(),
            hashed: 0,
            taken: 0,
            filled: 0,
            adler: Adler32::new(),
            buf_offset: 0,
        }
    }

    /// Takes `bytes` into `out`, which is emptied first. Memory grows only with the bytes that
    /// really exist.
    pub fn take(&mut self, bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        self.append(bytes, out)
    }

    /// The same, appended to `out`.
    pub fn append(&mut self, mut bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
        while bytes > 0 {
            if self.taken == self.filled && !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = bytes.min(self.filled - self.taken);
            out.extend_from_slice(&self.buf[self.taken..self.taken + now]);
            self.taken += now;
            bytes -= now;
        }
        Ok(())
    }

    /// Takes enough bytes to fill an array.
    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        let mut done = 0;
        while done < N {
            if self.taken == self.filled && !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = (N - done).min(self.filled - self.taken);
            array[done..done + now].copy_from_slice(&self.buf[self.taken..self.taken + now]);
            self.taken += now;
            done += now;
        }
        Ok(array)
    }

    pub fn i32(&mut self) -> io::Result<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> io::Result<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Whether the stream has ended.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.taken == self.filled && !self.fill()?)
    }

    /// Adler-32 of everything taken.
    pub fn adler(&mut self) -> u32 {
        assert!(self.hashed <= self.taken, "bytes are in the checksum once");
        assert!(self.taken <= self.filled, "what is taken was read");
        self.adler.write(&self.buf[self.hashed..self.taken]);
        self.hashed = self.taken;
        self.adler.finish()
    }

    /// How many bytes were taken.
    pub fn offset(&self) -> u64 {
        self.buf_offset + self.taken as u64
    }

    /// Reads more, after everything read was taken. False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        assert_eq!(self.taken, self.filled, "nothing read is dropped");
        self.adler();
        self.buf_offset += self.filled as u64;
        (self.hashed, self.taken, self.filled) = (0, 0, 0);
        loop {
            match self.source.read(&mut self.buf) {
                Ok(bytes) => {
                    assert!(bytes <= self.buf.len(), "a source reads into the buffer");
                    self.filled = bytes;
                    return Ok(bytes > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_what_was_taken() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[1]).collect();
        let mut input = Input::new(&bytes[..]);
        let mut out = Vec::new();
        input.take(100_003, &mut out).unwrap();
        assert_eq!(out, bytes[..100_003]);
        assert_eq!(input.adler(), simd_adler32::adler32(&&bytes[..100_003]));
        let next: [u8; 40_000] = input.array().unwrap();
        assert_eq!(next[..], bytes[100_003..140_003]);
        assert_eq!((input.offset(), input.is_at_end().unwrap()), (140_003, false));
        input.take(59_997, &mut out).unwrap();
        assert!(input.is_at_end().unwrap());
        assert_eq!(input.adler(), simd_adler32::adler32(&&bytes[..]));
        assert!(input.take(1, &mut out).is_err());
    }
}
