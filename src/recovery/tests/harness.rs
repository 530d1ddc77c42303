//! A server that writes a folder, and a folder that loses its power.

use std::cell::Cell;
use std::io;

use super::recover_default;
use crate::database::{Database, DatabaseOptions};
use crate::id::Zxid;
use crate::io::Place;
use crate::proto::txn::Txn;
use crate::recovery::snapshots::save_empty;
use crate::recovery::{FileInfo, Folder, MemoryFolder, ReadSeek};
use crate::txnlog::tests::{Disk, create};
use crate::txnlog::{Append, Writer, WriterOptions, plan};

fn options() -> WriterOptions {
    WriterOptions {
        block_bytes: 512,
        segment_bytes: 64 << 10,
        group_bytes_max: 16 << 10,
        txn_bytes_max: 8 << 10,
        ..WriterOptions::default()
    }
}

/// A server's files while it writes them.
pub struct Server {
    pub folder: MemoryFolder,
    pub disk: Disk,
    writer: Writer,
    database: Database,
    /// Every transaction in the log, in order.
    pub logged: Vec<Txn>,
}

impl Server {
    pub fn new() -> Server {
        let folder = MemoryFolder::new();
        let recovered = recover_default(&folder).unwrap();
        let mut disk = Disk::default();
        let mut writer = Writer::new(options(), Zxid(0), 0);
        disk.run(&mut writer);
        Server { folder, disk, writer, database: recovered.database, logged: Vec::new() }
    }

    /// Logs a group.
    pub fn log(&mut self, zxids: &[i64]) {
        for zxid in zxids {
            let txn = create(*zxid, &vec![7; usize::try_from(zxid % 700).unwrap()]);
            assert_eq!(self.writer.append(&txn), Append::Accepted);
            self.database.apply_in_replay(&txn);
            self.logged.push(txn);
        }
        self.disk.run(&mut self.writer);
    }

    pub fn snapshot(&mut self) {
        self.writer.roll(0);
        let content = snapshot_of(&mut self.database);
        let name = plan::snapshot_name(self.database.last_processed());
        self.folder.put(Place::Snapshots, &name, content);
    }

    /// Receives the whole tree from a leader, at a zxid after the end of the log.
    pub fn restore(&mut self, zxid: i64) {
        self.close();
        self.database = Database::new(DatabaseOptions::default());
        for zxid in 1..=zxid & 0xff {
            self.database.apply_in_replay(&create(zxid, b""));
        }
        self.database.set_last_processed(Zxid(zxid));
        self.snapshot();
        self.writer.reopen(Zxid(zxid), 0);
        self.disk.run(&mut self.writer);
    }

    fn close(&mut self) {
        self.writer.close();
        self.disk.run(&mut self.writer);
        assert!(self.writer.is_closed());
    }

    /// Stops the server, and returns its folder and every transaction that it logged.
    pub fn stop(mut self) -> (MemoryFolder, Vec<Txn>) {
        self.close();
        for (name, content) in std::mem::take(&mut self.disk.files) {
            self.folder.put(Place::Logs, &name, content);
        }
        (self.folder, self.logged)
    }
}

fn snapshot_of(database: &mut Database) -> Vec<u8> {
    let folder = MemoryFolder::new();
    save_empty(&folder, database).unwrap();
    folder.get(Place::Snapshots, "snapshot.0").unwrap()
}

/// A folder that loses its power before one of the changes.
pub struct Crashing<'a> {
    folder: &'a MemoryFolder,
    changes_left: Cell<usize>,
}

impl Crashing<'_> {
    /// A folder that allows `changes` changes, and then fails.
    pub fn after(changes: usize, folder: &MemoryFolder) -> Crashing<'_> {
        Crashing { folder, changes_left: Cell::new(changes) }
    }

    fn change(&self) -> io::Result<()> {
        let left = self.changes_left.get();
        self.changes_left.set(left.saturating_sub(1));
        if left == 0 { Err(io::Error::other("the power went")) } else { Ok(()) }
    }
}

impl Folder for Crashing<'_> {
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>> {
        self.folder.list(place)
    }
    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>> {
        self.folder.open(place, name)
    }
    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()> {
        self.change()?;
        self.folder.truncate(place, name, bytes)
    }
    fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        self.change()?;
        self.folder.remove(place, name)
    }
    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.change()?;
        self.folder.replace(place, name, content)
    }
    fn sync(&self, place: Place, name: &str) -> io::Result<()> {
        self.folder.sync(place, name)
    }
    fn sync_names(&self, place: Place) -> io::Result<()> {
        self.folder.sync_names(place)
    }
    fn has_initialize(&self) -> io::Result<bool> {
        self.folder.has_initialize()
    }
    fn remove_initialize(&self) -> io::Result<()> {
        self.change()?;
        self.folder.remove_initialize()
    }
    fn logs_apart(&self) -> bool {
        self.folder.logs_apart()
    }
    fn describe(&self, place: Place, name: &str) -> String {
        self.folder.describe(place, name)
    }
}
