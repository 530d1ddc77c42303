//! Reads of a disk that fail now and then: a file cannot be opened, or cannot be read to its end.

use std::cell::{Cell, RefCell};
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use super::rng::Rng;

/// Decides which reads fail.
#[derive(Debug, Default)]
pub struct Reads {
    chance: RefCell<Option<(Rng, u64)>>,
    failed: Cell<bool>,
}

impl Reads {
    /// From now on, `per_mille` files in a thousand cannot be read.
    pub fn fail(&self, rng: Rng, per_mille: u64) {
        *self.chance.borrow_mut() = Some((rng, per_mille));
    }

    /// From now on, all files can be read.
    pub fn heal(&self) {
        *self.chance.borrow_mut() = None;
    }

    /// Whether a read failed since the last question.
    pub fn take_failed(&self) -> bool {
        self.failed.take()
    }

    /// Opens an existing file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(&self, content: Vec<u8>) -> io::Result<Content> {
        let mut readable = u64::MAX;
        if let Some((rng, per_mille)) = &mut *self.chance.borrow_mut()
            && rng.per_mille(*per_mille)
        {
            self.failed.set(true);
            if rng.one_in(2) {
                return Err(broken());
            }
            readable = rng.below(content.len() as u64 + 1);
        }
        Ok(Content { bytes: Cursor::new(content), readable })
    }
}

fn broken() -> io::Error {
    io::Error::other("input/output error of the simulated disk")
}

/// A file that is read.
#[derive(Debug)]
pub struct Content {
    bytes: Cursor<Vec<u8>>,
    /// The number of bytes that the disk can read.
    readable: u64,
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.readable.saturating_sub(self.bytes.position());
        let length = self.bytes.get_ref().len() as u64;
        if left == 0 && self.bytes.position() < length {
            return Err(broken());
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        self.bytes.read(&mut buf[..most])
    }
}

impl Seek for Content {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_where_the_disk_is_broken() {
        let reads = Reads::default();
        reads.fail(Rng::new(1), 1000);
        let (mut refused, mut cut) = (0, 0);
        for _ in 0..100 {
            let Ok(mut content) = reads.open(vec![7; 50]) else {
                refused += 1;
                continue;
            };
            let mut found = Vec::new();
            cut += usize::from(content.read_to_end(&mut found).is_err());
            assert!(found.len() <= 50);
        }
        assert!(refused > 20 && cut > 20, "{refused} {cut}");
        assert!(reads.take_failed() && !reads.take_failed());
        reads.heal();
        let mut found = Vec::new();
        reads.open(vec![7; 50]).unwrap().read_to_end(&mut found).unwrap();
        assert_eq!(found.len(), 50);
    }
}
