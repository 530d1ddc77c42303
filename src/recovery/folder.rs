//! The trait [`Folder`], through which recovery reaches a data folder, and [`MemoryFolder`], a folder in memory.
//!
//! `runtime::FileFolder` implements the trait with files, and the simulation with its own disk. The trait judges no
//! content: it lists, reads, and changes files, and its callers know what the files mean.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek};

use crate::io::Place;
use crate::txnlog::{Entry, Reader, Verdict};

/// A file that is open for reading.
pub trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// The records of a log, in order, as a [`Reader`] returns them.
pub trait LogEntries {
    /// The next record; `None` after the last one: then there is a verdict.
    ///
    /// # Errors
    /// The file cannot be read.
    fn next_entry(&mut self) -> io::Result<Option<Entry>>;

    /// The judgement on the file, after the last record.
    fn verdict(&self) -> Option<&Verdict>;

    /// The offset that reading has reached.
    fn offset(&self) -> u64;

    /// The size of the file.
    fn bytes_total(&self) -> u64;
}

impl<R: Read + Seek> LogEntries for Reader<R> {
    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        Reader::next_entry(self)
    }

    fn verdict(&self) -> Option<&Verdict> {
        Reader::verdict(self)
    }

    fn offset(&self) -> u64 {
        Reader::offset(self)
    }

    fn bytes_total(&self) -> u64 {
        Reader::bytes_total(self)
    }
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileInfo {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The folders of a server, for recovery and, later, for purges and for learners that need old logs. Each call waits
/// for the disk; each change is durable when its call returns.
pub trait Folder {
    /// The regular files of a folder, in any order; none if the folder does not exist.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// The system's; `NotFound` if the file does not exist.
    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>>;

    /// Opens a log to read all of its records.
    ///
    /// # Errors
    /// The system's; `NotFound` if the file does not exist.
    fn open_log(&self, name: &str) -> io::Result<Box<dyn LogEntries + '_>> {
        Ok(Box::new(Reader::open(self.open(Place::Logs, name)?)?))
    }

    /// Makes a file shorter, and syncs it.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()>;

    /// Removes a file, and syncs the folder. A missing file is not an error.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, place: Place, name: &str) -> io::Result<()>;

    /// Replaces or creates a file: writes the content beside it, syncs it, renames it, and syncs the folder.
    ///
    /// # Errors
    /// The system's.
    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()>;

    /// Makes the content of a file durable: what a killed server has written can be read, and a power cut may still
    /// lose it.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self, place: Place, name: &str) -> io::Result<()>;

    /// Makes the names in a folder durable: a file that a killed server has renamed is found under its new name, and
    /// may have the old one again after a power cut. A missing folder is not an error.
    ///
    /// # Errors
    /// The system's.
    fn sync_names(&self, place: Place) -> io::Result<()>;

    /// Whether the file `initialize` exists in `dataLogDir` (which is `dataDir` unless configured), above `version-2`.
    ///
    /// # Errors
    /// The system's.
    fn has_initialize(&self) -> io::Result<bool>;

    /// Removes the file `initialize`, and syncs its folder. A missing file is not an error.
    ///
    /// # Errors
    /// The system's.
    fn remove_initialize(&self) -> io::Result<()>;

    /// Whether snapshots and logs have different folders.
    fn logs_apart(&self) -> bool;

    /// The whole path of a file, for messages.
    fn describe(&self, place: Place, name: &str) -> String;
}

/// Folders in memory, for tests and for the simulated disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryFolder {
    /// Files by their [`MemoryFolder::key`].
    pub files: RefCell<BTreeMap<(u8, String), Vec<u8>>>,
    /// Whether logs have a folder of their own.
    pub apart: bool,
}

impl MemoryFolder {
    /// Folders without files; snapshots and logs share one.
    pub fn new() -> MemoryFolder {
        MemoryFolder::default()
    }

    /// Creates or replaces a file.
    pub fn put(&self, place: Place, name: &str, content: Vec<u8>) {
        self.files.borrow_mut().insert(self.key(place, name), content);
    }

    /// A file's content.
    pub fn get(&self, place: Place, name: &str) -> Option<Vec<u8>> {
        self.files.borrow().get(&self.key(place, name)).cloned()
    }

    /// The number of a file's folder, and its name. With logs and snapshots in one folder, all are in `Snapshots`.
    pub fn key(&self, place: Place, name: &str) -> (u8, String) {
        let number = match place {
            Place::DataDir => 0,
            Place::Logs if self.apart => 2,
            Place::Snapshots | Place::Logs => 1,
        };
        (number, name.to_owned())
    }
}

impl Folder for MemoryFolder {
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>> {
        let (number, _) = self.key(place, "");
        let files = self.files.borrow();
        let here = files.iter().filter(|((at, _), _)| *at == number);
        Ok(here
            .map(|((_, name), content)| FileInfo {
                name: name.clone(),
                bytes: content.len() as u64,
            })
            .collect())
    }

    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>> {
        match self.get(place, name) {
            Some(content) => Ok(Box::new(Cursor::new(content))),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()> {
        let mut files = self.files.borrow_mut();
        let file = files.get_mut(&self.key(place, name)).ok_or(io::ErrorKind::NotFound)?;
        file.truncate(usize::try_from(bytes).map_err(io::Error::other)?);
        Ok(())
    }

    fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        self.files.borrow_mut().remove(&self.key(place, name));
        Ok(())
    }

    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.put(place, name, content.to_vec());
        Ok(())
    }

    fn sync(&self, _: Place, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self, _: Place) -> io::Result<()> {
        Ok(())
    }

    fn has_initialize(&self) -> io::Result<bool> {
        Ok(self.get(Place::DataDir, "initialize").is_some())
    }

    fn remove_initialize(&self) -> io::Result<()> {
        self.remove(Place::DataDir, "initialize")
    }

    fn logs_apart(&self) -> bool {
        self.apart
    }

    fn describe(&self, place: Place, name: &str) -> String {
        format!("{place:?}/{name}")
    }
}
