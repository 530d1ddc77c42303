//! The disk as a folder for recovery and for purges. It behaves like any folder in memory, but the disk may refuse
//! changes, reads may fail, and synced files are safe from a loss of power.

use std::io;

use ringkeeper::io::Place;
use ringkeeper::recovery::{FileInfo, Folder, ReadSeek};

use super::{Disk, index};

impl Folder for Disk {
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>> {
        self.folder.list(place)
    }

    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>> {
        match self.get(place, name) {
            Some(content) => Ok(Box::new(self.reads.open(content)?)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()> {
        self.may_change()?;
        let mut files = self.folder.files.borrow_mut();
        let file = files.get_mut(&self.key(place, name)).ok_or(io::ErrorKind::NotFound)?;
        file.truncate(index(bytes));
        self.forget_unsynced(place, name);
        let mut groups = self.last_groups.borrow_mut();
        if groups.get(name).is_some_and(|group| *group >= bytes) {
            // The offset of the group before is not known, so no bit of this log will be flipped.
            groups.remove(name);
        }
        Ok(())
    }

    fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        self.may_change()?;
        self.folder.files.borrow_mut().remove(&self.key(place, name));
        self.forget_unsynced(place, name);
        self.last_groups.borrow_mut().remove(name);
        self.sync_names(place)
    }

    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.may_change()?;
        if self.trouble.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.put(place, name, content);
        self.sync_names(place)
    }

    fn sync(&self, place: Place, name: &str) -> io::Result<()> {
        self.forget_unsynced(place, name);
        Ok(())
    }

    fn sync_names(&self, place: Place) -> io::Result<()> {
        let (folder, _) = self.key(place, "");
        self.names.borrow_mut().sync(folder);
        Ok(())
    }

    fn has_initialize(&self) -> io::Result<bool> {
        self.folder.has_initialize()
    }

    fn remove_initialize(&self) -> io::Result<()> {
        self.remove(Place::DataDir, "initialize")
    }

    fn logs_apart(&self) -> bool {
        self.folder.logs_apart()
    }

    fn describe(&self, place: Place, name: &str) -> String {
        self.folder.describe(place, name)
    }
}

impl Disk {
    /// Forgets what a loss of power could take back of a file, which is now durable or gone.
    fn forget_unsynced(&self, place: Place, name: &str) {
        let key = self.key(place, name);
        self.unsynced.borrow_mut().retain(|sector| sector.key != key);
    }

    fn may_change(&self) -> io::Result<()> {
        match self.changes_left.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power went during recovery")),
            Some(left) => {
                self.changes_left.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
