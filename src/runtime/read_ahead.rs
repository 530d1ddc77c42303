//! Reads a file from front to back; the next pieces are read while the last one is processed.
//!
//! A starting server reads a snapshot and a log only once. Reading without the page cache needs no fresh
//! pages, and with a thread that reads ahead there is no waiting: checksums, decoding and the tree use
//! the processor meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Reading;
use super::bulk_file::refuses_direct;
use crate::io::{AlignedBuf, BUFFER_ALIGNMENT};

/// Bytes per read; pieces begin at multiples of this.
const PIECE_BYTES: usize = 1 << 20;

const _: () = assert!(PIECE_BYTES.is_multiple_of(BUFFER_ALIGNMENT));

/// Largest number of pieces that were read and not yet taken.
const PIECES_AHEAD: usize = 2;

/// The reader; see the module's comment.
pub struct ReadAhead {
    file: Arc<File>,
    /// The offset of the next byte.
    at: u64,
    piece: Piece,
    /// Reads the pieces after `piece`; started when a piece is needed that directly follows the previous
    /// one.
    ahead: Option<Ahead>,
    /// Notified of each piece.
    reading: Reading,
}

/// Bytes of the file.
struct Piece {
    start: u64,
    bytes: usize,
    buf: AlignedBuf,
}

struct Ahead {
    /// The pieces in order; none after the end of the file or an error.
    pieces: Receiver<io::Result<Piece>>,
    /// Reusable buffers.
    spare: SyncSender<AlignedBuf>,
}

impl ReadAhead {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn open(path: &Path, reading: &Reading) -> io::Result<ReadAhead> {
        let mut options = OpenOptions::new();
        options.read(true);
        let file = match options.clone().custom_flags(libc::O_DIRECT).open(path) {
            // The file system has no O_DIRECT.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => options.open(path)?,
            opened => opened?,
        };
        // A caller that only asks for the length needs no buffer.
        let piece = Piece { start: 0, bytes: 0, buf: AlignedBuf::zeroed(0) };
        let (file, reading) = (Arc::new(file), reading.clone());
        Ok(ReadAhead { file, at: 0, piece, ahead: None, reading })
    }

    /// Gets the piece with the next byte; empty at the end of the file.
    fn turn(&mut self) -> io::Result<()> {
        let start = self.at - self.at % PIECE_BYTES as u64;
        let follows =
            self.piece.bytes == PIECE_BYTES && start == self.piece.start + PIECE_BYTES as u64;
        if !follows {
            self.ahead = None;
            return self.piece.read(&self.file, start, &self.reading);
        }
        if self.ahead.is_none() {
            self.ahead = Some(Ahead::begin(self.file.clone(), start, self.reading.clone())?);
        }
        let ahead = self.ahead.as_ref().expect("begun just now if it was not there");
        match ahead.pieces.recv().expect("pieces come up to the end or an error") {
            Ok(next) => {
                let last = std::mem::replace(&mut self.piece, next);
                // A thread that has reached the end needs no buffers.
                let _ = ahead.spare.try_send(last.buf);
                Ok(())
            }
            Err(error) => {
                self.ahead = None;
                Err(error)
            }
        }
    }
}

impl Piece {
    fn read(&mut self, file: &File, start: u64, reading: &Reading) -> io::Result<()> {
        (self.start, self.bytes) = (start, 0);
        if self.buf.len() < PIECE_BYTES {
            self.buf = AlignedBuf::zeroed(PIECE_BYTES);
        }
        while self.bytes < PIECE_BYTES {
            let at = start + self.bytes as u64;
            match file.read_at(&mut self.buf[self.bytes..PIECE_BYTES], at) {
                Ok(0) => break,
                Ok(bytes) => {
                    self.bytes += bytes;
                    reading.moved();
                    // After a partial block comes the end of the file: a direct read cannot begin there.
                    if !self.bytes.is_multiple_of(BUFFER_ALIGNMENT) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if refuses_direct(file, &error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Ahead {
    /// Reads pieces from `start` on, until the end, an error, or until the receiver is gone.
    fn begin(file: Arc<File>, mut start: u64, reading: Reading) -> io::Result<Ahead> {
        let (give, pieces) = sync_channel(PIECES_AHEAD);
        let (spare, spares) = sync_channel(PIECES_AHEAD + 2);
        let read = move || {
            loop {
                let buf = spares.try_recv().unwrap_or_else(|_| AlignedBuf::zeroed(PIECE_BYTES));
                let mut piece = Piece { start, bytes: 0, buf };
                let read = piece.read(&file, start, &reading).map(|()| piece);
                let ends = read.as_ref().map_or(true, |piece| piece.bytes < PIECE_BYTES);
                if give.send(read).is_err() || ends {
                    return;
                }
                start += PIECE_BYTES as u64;
            }
        };
        std::thread::Builder::new().name("rk-read-ahead".into()).spawn(read)?;
        Ok(Ahead { pieces, spare })
    }
}

impl Read for ReadAhead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let holds = |piece: &Piece, at| at >= piece.start && at - piece.start < piece.bytes as u64;
        if !holds(&self.piece, self.at) {
            self.turn()?;
            if !holds(&self.piece, self.at) {
                return Ok(0);
            }
        }
        let from = usize::try_from(self.at - self.piece.start).expect("within a piece");
        let bytes = out.len().min(self.piece.bytes - from);
        out[..bytes].copy_from_slice(&self.piece.buf[from..from + bytes]);
        self.at += bytes as u64;
        Ok(bytes)
    }
}

impl Seek for ReadAhead {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.file.metadata()?.len(), by),
        };
        let at = from.checked_add_signed(by);
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| u8::try_from(at / 7 % 251).expect("below 251")).collect()
    }

    fn file(content: &[u8]) -> (tempfile::TempDir, ReadAhead) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, content).expect("written");
        let file = ReadAhead::open(&path, &Reading::of_nothing()).expect("opened");
        (folder, file)
    }

    #[test]
    fn files_of_every_length_are_read_whole() {
        let (piece, block) = (PIECE_BYTES, BUFFER_ALIGNMENT);
        for bytes in [0, 1, block, piece - 1, piece, piece + 1, 2 * piece, 5 * piece + block + 3] {
            let content = content(bytes);
            let (_folder, mut file) = file(&content);
            let mut read = Vec::new();
            file.read_to_end(&mut read).expect("read");
            assert!(read == content, "{bytes} bytes");
            assert_eq!(file.read(&mut [0; 8]).expect("read"), 0, "the end stays the end");
        }
    }

    #[test]
    fn what_is_read_after_a_seek_is_what_stands_there() {
        let content = content(6 * PIECE_BYTES + 100);
        let (_folder, mut file) = file(&content);
        let mut read = vec![0; PIECE_BYTES + 10];
        // Forward while pieces are being read ahead, backward, and beyond the end.
        for at in [0, 3 * PIECE_BYTES - 5, 17, 4 * PIECE_BYTES + 1, PIECE_BYTES, 5 * PIECE_BYTES] {
            file.seek(SeekFrom::Start(at as u64)).expect("a place");
            file.read_exact(&mut read).expect("read");
            assert!(read == content[at..at + read.len()], "at {at}");
        }
        file.seek(SeekFrom::End(-8)).expect("a place");
        let mut last = Vec::new();
        file.read_to_end(&mut last).expect("read");
        assert_eq!(last, content[content.len() - 8..]);
        file.seek(SeekFrom::End(10)).expect("a place");
        assert_eq!(file.read(&mut read).expect("read"), 0);
        assert!(file.seek(SeekFrom::Current(-1 << 40)).is_err());
    }
}
