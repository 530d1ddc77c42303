//! The stream format of snappy-java (`SnappyOutputStream`), which `.snappy` snapshots have. It is
//! not the framing format of the snappy project.
//!
//! ```text
//! header   0x82 "SNAPPY" 0x00 | int version 1 | int least compatible version 1
//! block    int length | that many bytes: one raw snappy block        until the end
//! ```
//! Streams may follow each other, each with its header.

use std::io::{self, Read};

/// The first bytes of a stream.
pub(super) const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_BYTES: usize = 16;
/// The version of the format that this reader knows.
const VERSION: u32 = 1;

/// Longest accepted block, compressed and decompressed. The writer makes blocks of 32 KiB.
const BLOCK_BYTES_MAX: usize = 32 << 20;

/// Decompresses a stream.
pub(super) struct SnappyReader<R> {
    /// The compressed stream.
    source: R,
    /// The last block as it was read; its memory is used again.
    compressed: Vec<u8>,
    /// The last block, decompressed.
    block: Vec<u8>,
    /// How much of `block` was given out. Invariant: `taken ≤ block.len()`.
    taken: usize,
    /// Whether the first header was read.
    started: bool,
}

impl<R: Read> SnappyReader<R> {
    pub fn new(source: R) -> SnappyReader<R> {
        SnappyReader { source, compressed: vec![], block: vec![], taken: 0, started: false }
    }

    /// Reads the next block; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        assert_eq!(self.taken, self.block.len(), "a block is given out before the next is read");
        self.block.clear();
        self.taken = 0;
        if !self.started {
            self.header(None)?;
            self.started = true;
        }
        loop {
            // The stream may end between two blocks.
            let Some(word) = self.word()? else { return Ok(false) };
            if word == MAGIC[..4] {
                self.header(Some(word))?;
                continue;
            }
            let bytes = u32::from_be_bytes(word) as usize;
            if bytes > BLOCK_BYTES_MAX {
                return Err(malformed("a block longer than any writer makes"));
            }
            self.compressed.clear();
            let read = self.source.by_ref().take(bytes as u64).read_to_end(&mut self.compressed)?;
            if read < bytes {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let after = snap::raw::decompress_len(&self.compressed).map_err(io::Error::from)?;
            if after > BLOCK_BYTES_MAX {
                return Err(malformed("a block longer than any writer makes"));
            }
            self.block.resize(after, 0);
            let decoder = &mut snap::raw::Decoder::new();
            decoder.decompress(&self.compressed, &mut self.block).map_err(io::Error::from)?;
            self.taken = 0;
            if after > 0 {
                return Ok(true);
            }
        }
    }

    /// Reads a header, whose first word may have been read already.
    fn header(&mut self, first: Option<[u8; 4]>) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES];
        let known = first.map_or(0, |word| {
            header[..4].copy_from_slice(&word);
            4
        });
        self.source.read_exact(&mut header[known..])?;
        if header[..8] != MAGIC {
            return Err(malformed("no header of snappy-java"));
        }
        if header[12..] != VERSION.to_be_bytes() {
            return Err(malformed("a newer version of snappy-java's format"));
        }
        Ok(())
    }

    /// Four bytes, or `None` if the stream ends before them.
    fn word(&mut self) -> io::Result<Option<[u8; 4]>> {
        let mut word = Vec::with_capacity(4);
        self.source.by_ref().take(4).read_to_end(&mut word)?;
        match word[..] {
            [a, b, c, d] => Ok(Some([a, b, c, d])),
            [] => Ok(None),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len() && !self.next_block()? {
            return Ok(0);
        }
        assert!(self.taken <= self.block.len());
        let bytes = out.len().min(self.block.len() - self.taken);
        out[..bytes].copy_from_slice(&self.block[self.taken..self.taken + bytes]);
        self.taken += bytes;
        Ok(bytes)
    }
}

/// The output of snappy-java for these bytes.
#[cfg(test)]
pub(crate) fn compress(bytes: &[u8], block_bytes: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1]);
    for block in bytes.chunks(block_bytes) {
        let packed = snap::raw::Encoder::new().compress_vec(block).unwrap();
        out.extend_from_slice(&u32::try_from(packed.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        SnappyReader::new(stream).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn streams_one_behind_the_other_read_as_one() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n / 7).to_le_bytes()[0]).collect();
        let mut stream = compress(&bytes[..60_000], 32 << 10);
        stream.extend(compress(&bytes[60_000..], 1000));
        assert_eq!(read(&stream).unwrap(), bytes);
    }

    #[test]
    fn a_stream_cut_or_changed_is_an_error_and_no_allocation() {
        let stream = compress(&[7; 5000], 1000);
        assert!(read(&stream[..stream.len() - 1]).is_err());
        assert!(read(&stream[..18]).is_err());
        let mut huge = stream.clone();
        huge[16..20].copy_from_slice(&[0x7f, 255, 255, 255]);
        assert!(read(&huge).is_err());
        huge[0] = 0;
        assert!(read(&huge).is_err());
    }
}
