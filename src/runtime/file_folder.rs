//! The data folder for recovery, on the real file system.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use super::read_ahead::ReadAhead;
use super::{Folders, Reading, log_ahead, replace, sync_folder};
use crate::io::{Place, is_segment_temporary};
use crate::recovery::{FileInfo, Folder, LogEntries, ReadSeek};
use crate::snapshot::SNAPSHOT_TEMPORARY;
use crate::txnlog::{Reader, plan};
use crate::zab::Epochs;

/// Uses plain `std::fs`, because recovery runs before everything else.
#[derive(Clone, Debug)]
pub struct FileFolder {
    folders: Folders,
    reading: Reading,
}

/// The file that an operator may put above `version-2` for a new member of an ensemble.
const INITIALIZE_FILE: &str = "initialize";

impl FileFolder {
    /// The folders of a server.
    pub fn new(folders: &Folders) -> FileFolder {
        FileFolder { folders: folders.clone(), reading: Reading::of_nothing() }
    }

    /// The same, reporting the progress of reading.
    pub fn told(folders: &Folders, reading: &Reading) -> FileFolder {
        FileFolder { folders: folders.clone(), reading: reading.clone() }
    }

    fn file(&self, place: Place, name: &str) -> PathBuf {
        self.folders.path(place).join(name)
    }

    fn read_ahead(&self, path: &Path) -> io::Result<ReadAhead> {
        self.reading.begin(path.display().to_string());
        ReadAhead::open(path, &self.reading)
    }

    fn above(&self) -> &Path {
        self.folders.logs.parent().expect("version-2 is in a folder")
    }
}

impl Folder for FileFolder {
    fn list(&self, place: Place) -> io::Result<Vec<FileInfo>> {
        self.reading.begin(format!("the list of {}", self.folders.path(place).display()));
        let entries = match std::fs::read_dir(self.folders.path(place)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            self.reading.moved();
            // A name that is not UTF-8 is not one of ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Links are followed: snapshots may be stored elsewhere.
            match std::fs::metadata(entry.path()) {
                Ok(meta) if meta.is_file() => files.push(FileInfo { name, bytes: meta.len() }),
                Ok(meta) if is_servers(&name) => {
                    return Err(in_the_way(&entry.path(), meta.is_dir()));
                }
                Ok(_) => {}
                // A purge, or the owner of a foreign file, may have removed it meanwhile.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && !entry.path().is_symlink() => {}
                // Errors about foreign files do not matter.
                Err(_) if !plan::is_ours(&name) => {}
                Err(error) => return Err(unreachable_file(&entry.path(), &error)),
            }
        }
        Ok(files)
    }

    fn open(&self, place: Place, name: &str) -> io::Result<Box<dyn ReadSeek + '_>> {
        Ok(Box::new(self.read_ahead(&self.file(place, name))?))
    }

    fn open_log(&self, name: &str) -> io::Result<Box<dyn LogEntries + '_>> {
        log_ahead::ahead(Reader::open(self.read_ahead(&self.file(Place::Logs, name))?)?)
    }

    fn truncate(&self, place: Place, name: &str, bytes: u64) -> io::Result<()> {
        let path = self.file(place, name);
        self.reading.begin(format!("{} to be cut", path.display()));
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes)?;
        file.sync_all()
    }

    fn remove(&self, place: Place, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.file(place, name)) {
            Ok(()) => sync_folder(self.folders.path(place)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn replace(&self, place: Place, name: &str, content: &[u8]) -> io::Result<()> {
        self.reading.begin(format!("{} to be written", self.file(place, name).display()));
        replace(self.folders.path(place), name, content).map_err(io::Error::other)
    }

    fn sync(&self, place: Place, name: &str) -> io::Result<()> {
        let path = self.file(place, name);
        self.reading.begin(format!("{} to be on the disk", path.display()));
        std::fs::File::open(path)?.sync_data()
    }

    fn sync_names(&self, place: Place) -> io::Result<()> {
        let folder = self.folders.path(place);
        self.reading.begin(format!("the names in {} to be on the disk", folder.display()));
        match sync_folder(folder) {
            // A missing folder has no names.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn has_initialize(&self) -> io::Result<bool> {
        self.above().join(INITIALIZE_FILE).try_exists()
    }

    fn remove_initialize(&self) -> io::Result<()> {
        let above = self.above();
        match std::fs::remove_file(above.join(INITIALIZE_FILE)) {
            Ok(()) => sync_folder(above),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn logs_apart(&self) -> bool {
        self.folders.logs != self.folders.snapshots
    }

    fn describe(&self, place: Place, name: &str) -> String {
        self.file(place, name).display().to_string()
    }
}

/// Whether the server may give a file of its own this name.
pub(super) fn is_servers(name: &str) -> bool {
    let whole = name.strip_suffix(".tmp").unwrap_or(name);
    plan::is_ours(whole)
        || [Epochs::CURRENT_FILE, Epochs::ACCEPTED_FILE, Epochs::ORIGIN_FILE, SNAPSHOT_TEMPORARY]
            .contains(&whole)
        || is_segment_temporary(name)
}

/// The error, at the start, for an obstacle that would stop the server later when it writes the file: a
/// log gets its name with its first transaction.
fn in_the_way(path: &Path, is_folder: bool) -> io::Error {
    let (what, kind) = match is_folder {
        true => ("a folder", io::ErrorKind::IsADirectory),
        false => ("no regular file", io::ErrorKind::AlreadyExists),
    };
    let text = format!("{} is {what}, and the server has a file of that name", path.display());
    io::Error::new(kind, text)
}

/// Names the file, and the target of the link: the listed folder itself is not the problem.
fn unreachable_file(path: &Path, error: &io::Error) -> io::Error {
    let file = path.display();
    let text = match std::fs::read_link(path) {
        Ok(target) => format!(
            "{file} is a link to {}, which cannot be read: {error}. Bring that file back, or remove \
             the link if the server is to start without it",
            target.display()
        ),
        Err(_) => format!("{file}: {error}"),
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn files_are_listed_read_cut_replaced_and_removed() {
        let base = tempfile::tempdir().unwrap();
        let logs = base.path().join("logs/version-2");
        let folders =
            Folders { data: base.path().into(), snapshots: base.path().join("version-2"), logs };
        let folder = FileFolder::new(&folders);
        assert!(folder.logs_apart());
        assert_eq!(folder.list(Place::Logs).unwrap(), []);
        folder.sync_names(Place::Logs).unwrap();
        std::fs::create_dir_all(folders.logs.join("a-folder")).unwrap();
        folder.replace(Place::Logs, "log.1", b"0123456789").unwrap();
        folder.truncate(Place::Logs, "log.1", 4).unwrap();
        let listed = folder.list(Place::Logs).unwrap();
        assert_eq!(listed, [FileInfo { name: "log.1".into(), bytes: 4 }]);
        folder.sync(Place::Logs, "log.1").unwrap();
        folder.sync_names(Place::Logs).unwrap();
        let mut text = String::new();
        folder.open(Place::Logs, "log.1").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123");
        folder.remove(Place::Logs, "log.1").unwrap();
        folder.remove(Place::Logs, "log.1").unwrap();
        let missing = folder.open(Place::Logs, "log.1").err().unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        folder.sync(Place::Logs, "log.2").unwrap_err();
        assert!(!folder.has_initialize().unwrap());
        folder.remove_initialize().unwrap();
        std::fs::write(base.path().join("logs/initialize"), b"").unwrap();
        assert!(folder.has_initialize().unwrap());
        folder.remove_initialize().unwrap();
        assert!(!folder.has_initialize().unwrap());
        assert!(folder.describe(Place::Logs, "log.1").ends_with("logs/version-2/log.1"));
    }

    /// One folder for everything, below a temporary one.
    fn one_folder() -> (tempfile::TempDir, PathBuf, FileFolder) {
        let base = tempfile::tempdir().unwrap();
        let here = base.path().join("version-2");
        std::fs::create_dir(&here).unwrap();
        let folders =
            Folders { data: base.path().into(), snapshots: here.clone(), logs: here.clone() };
        let folder = FileFolder::new(&folders);
        (base, here, folder)
    }

    #[test]
    fn what_has_the_name_of_a_servers_file_and_is_none_is_named() {
        let (_base, here, folder) = one_folder();
        for name in ["log.1.bak", "log.FF", "snapshots", "currentEpoch.old"] {
            std::fs::create_dir(here.join(name)).unwrap();
        }
        assert_eq!(folder.list(Place::Logs).unwrap(), []);
        for name in [
            "log.1",
            "snapshot.0",
            "snapshot.0.tmp",
            "snapshot.5.gz",
            "currentEpoch",
            "acceptedEpoch.tmp",
            "prepared-segment-1",
            "unfinished-snapshot",
        ] {
            std::fs::create_dir(here.join(name)).unwrap();
            let error = folder.list(Place::Logs).unwrap_err().to_string();
            assert!(error.contains(&format!("/{name} is a folder, and the server has")), "{error}");
            std::fs::remove_dir(here.join(name)).unwrap();
        }
    }

    #[test]
    fn a_link_to_nothing_names_itself_if_it_is_ours_and_is_passed_over_otherwise() {
        let (base, here, folder) = one_folder();
        std::fs::write(base.path().join("elsewhere"), b"12345").unwrap();
        std::os::unix::fs::symlink("../elsewhere", here.join("snapshot.5")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", here.join("snapshot.9.bak")).unwrap();
        let listed = folder.list(Place::Snapshots).unwrap();
        assert_eq!(listed, [FileInfo { name: "snapshot.5".into(), bytes: 5 }]);
        std::os::unix::fs::symlink("/nowhere/at/all", here.join("snapshot.9")).unwrap();
        let error = folder.list(Place::Snapshots).unwrap_err().to_string();
        assert!(error.contains("snapshot.9 is a link to /nowhere/at/all"), "{error}");
    }
}
