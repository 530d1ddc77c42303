//! Reads any range of a file with few reads, without holding all of it in memory.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes per read.
const READ_BYTES: usize = 256 << 10;

/// A file of known size and the part of it that was read last.
///
/// Invariant: `start ≤ start + data.len() ≤ bytes_total`.
pub(super) struct Window<R> {
    /// The file.
    source: R,
    /// Its size when it was opened. It does not grow while it is read, and if it shrinks, reading fails.
    bytes_total: u64,
    /// The offset of `data` in the file.
    start: u64,
    /// The part that is in memory.
    data: Vec<u8>,
}

impl<R: Read + Seek> Window<R> {
    /// Reads only the size.
    pub fn new(mut source: R) -> io::Result<Window<R>> {
        let bytes_total = source.seek(SeekFrom::End(0))?;
        Ok(Window { source, bytes_total, start: 0, data: Vec::new() })
    }

    /// The bytes from `from` up to `to`, fewer if the file ends before.
    ///
    /// Memory grows only with the part of the range that lies within the file.
    pub fn get(&mut self, from: u64, to: u64) -> io::Result<&[u8]> {
        assert!(from <= to);
        let to = to.min(self.bytes_total);
        let from = from.min(to);
        if from < self.start || from > self.start + self.data.len() as u64 {
            self.start = from;
            self.data.clear();
        }
        if to > self.start + self.data.len() as u64 {
            let passed = offset_in(self.start, from);
            self.data.drain(..passed);
            self.start = from;
            let wanted = offset_in(from, to).next_multiple_of(READ_BYTES);
            self.fill(wanted)?;
        }
        if to > self.start + self.data.len() as u64 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        assert!(self.start <= from, "the window begins at or before what is asked for");
        Ok(&self.data[offset_in(self.start, from)..offset_in(self.start, to)])
    }

    /// Size of the file.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Reads until `data` has `wanted` bytes or the file ends.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        assert!(wanted >= self.data.len(), "what is there is part of what is wanted");
        let missing = (wanted - self.data.len()) as u64;
        self.source.seek(SeekFrom::Start(self.start + self.data.len() as u64))?;
        self.source.by_ref().take(missing).read_to_end(&mut self.data)?;
        Ok(())
    }
}

fn offset_in(start: u64, offset: u64) -> usize {
    usize::try_from(offset - start).expect("a window is as small as the memory that holds it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_reads_as_the_file() {
        let file: Vec<u8> = (0..700_000u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
        let end = file.len() as u64;
        let mut window = Window::new(io::Cursor::new(&file)).unwrap();
        let ranges = [(0, 10), (5, 300_000), (299_990, 300_010), (600_000, end + 9), (0, end)];
        for (from, to) in ranges {
            let wanted = &file[offset_in(0, from)..offset_in(0, to.min(end))];
            assert_eq!(window.get(from, to).unwrap(), wanted, "{from}..{to}");
        }
        assert_eq!(window.get(end + 5, end + 6).unwrap(), b"");
    }
}
