//! A file that is written once, from front to back, bypassing the page cache where possible.
//!
//! A large snapshot is read again only when the server starts. Through the page cache it would need fresh
//! pages for all of its content, which the processor fills, and the kernel would write them back at any
//! time, possibly before the log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::io::{AlignedBuf, BUFFER_ALIGNMENT};

/// Bytes that are written at once. A guess: large enough that the call does not matter, small enough that a
/// log write waits only briefly behind one of them in the device's queue.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes between two syncs of a file that goes through the page cache: one sync then writes little, so that
/// a log write behind it in the device's queue waits only briefly.
const BYTES_PER_SYNC: u64 = 4 << 20;

/// The file; see the module's comment.
#[derive(Debug)]
pub struct BulkFile {
    file: File,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Writes whole chunks at multiples of their length; the rest waits here.
    Direct { chunk: AlignedBuf, filled: usize, written: u64 },
    /// The file system has no O_DIRECT.
    Cached { unsynced: u64 },
}

/// Whether the file system accepted O_DIRECT when the file was opened, but not in the operation that failed
/// with `error`: the file then uses the page cache from now on, and the operation may be retried.
pub(super) fn refuses_direct(file: &File, error: &io::Error) -> bool {
    if error.kind() != io::ErrorKind::InvalidInput {
        return false;
    }
    let flags = fcntl_getfl(file);
    flags.is_ok_and(|flags| {
        flags.contains(OFlags::DIRECT) && fcntl_setfl(file, flags - OFlags::DIRECT).is_ok()
    })
}

/// Writes all of `bytes` at `offset`, bypassing the page cache if the file system allows it.
fn write_direct(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    match file.write_all_at(bytes, offset) {
        Err(error) if refuses_direct(file, &error) => file.write_all_at(bytes, offset),
        result => result,
    }
}

impl BulkFile {
    /// Creates or empties a file.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn create(path: &Path) -> io::Result<BulkFile> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        match options.clone().custom_flags(libc::O_DIRECT).open(path) {
            Ok(file) => {
                let chunk = AlignedBuf::zeroed(CHUNK_BYTES);
                Ok(BulkFile { file, way: Way::Direct { chunk, filled: 0, written: 0 } })
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                let file = options.open(path)?;
                Ok(BulkFile { file, way: Way::Cached { unsynced: 0 } })
            }
            Err(error) => Err(error),
        }
    }

    /// Appends bytes, or keeps some of them until there are more.
    ///
    /// # Errors
    /// Those of `write(2)`; the file is unusable then.
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        match &mut self.way {
            Way::Direct { chunk, filled, written } => {
                while !bytes.is_empty() {
                    let part = bytes.len().min(CHUNK_BYTES - *filled);
                    chunk[*filled..*filled + part].copy_from_slice(&bytes[..part]);
                    *filled += part;
                    bytes = &bytes[part..];
                    if *filled == CHUNK_BYTES {
                        write_direct(&self.file, &chunk[..CHUNK_BYTES], *written)?;
                        *written += CHUNK_BYTES as u64;
                        *filled = 0;
                    }
                }
            }
            Way::Cached { unsynced } => {
                self.file.write_all(bytes)?;
                *unsynced += bytes.len() as u64;
                if *unsynced >= BYTES_PER_SYNC {
                    *unsynced = 0;
                    self.file.sync_data()?;
                }
            }
        }
        Ok(())
    }

    /// Writes the remaining bytes, and makes everything durable.
    ///
    /// # Errors
    /// Those of `write(2)` and `fsync(2)`.
    pub fn finish(mut self) -> io::Result<()> {
        if let Way::Direct { chunk, filled, written } = &mut self.way
            && *filled > 0
        {
            let blocks = filled.next_multiple_of(BUFFER_ALIGNMENT);
            chunk[*filled..blocks].fill(0);
            write_direct(&self.file, &chunk[..blocks], *written)?;
            self.file.set_len(*written + *filled as u64)?;
        }
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_refuses_direct_writes_goes_through_the_page_cache() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut options = OpenOptions::new();
        options.write(true).create(true).custom_flags(libc::O_DIRECT);
        let file = options.open(&path).expect("tests have a file system with O_DIRECT");
        // No disk accepts half a block.
        write_direct(&file, &[1; 100], 0).expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), [1; 100]);
        let refused = io::Error::from(io::ErrorKind::InvalidInput);
        assert!(!refuses_direct(&file, &refused), "once");
    }

    #[test]
    fn every_length_arrives_whole_both_ways() {
        let folder = tempfile::tempdir().expect("a folder");
        let all: Vec<u8> =
            (0..3 * CHUNK_BYTES).map(|at| u8::try_from(at % 251).expect("below 251")).collect();
        let block = BUFFER_ALIGNMENT;
        let lengths = [0, 1, block - 1, block, block + 1, CHUNK_BYTES - 1, CHUNK_BYTES];
        for bytes in lengths.into_iter().chain([CHUNK_BYTES + 1, 2 * CHUNK_BYTES + block + 7]) {
            for piece in [bytes.max(1), 1000, block] {
                for cached in [false, true] {
                    let path = folder.path().join("file");
                    let mut file = BulkFile::create(&path).expect("created");
                    if cached {
                        let file_again = File::create(&path).expect("created");
                        file = BulkFile { file: file_again, way: Way::Cached { unsynced: 0 } };
                    }
                    all[..bytes].chunks(piece).for_each(|piece| {
                        file.write(piece).expect("written");
                    });
                    file.finish().expect("finished");
                    let found = std::fs::read(&path).expect("read");
                    assert!(found == all[..bytes], "{bytes} bytes in pieces of {piece}");
                }
            }
        }
    }
}
