//! The file of the audit log: when it is long enough, it is put aside and a new one begun, as logback's
//! `FixedWindowRollingPolicy` does: `audit.log.1` is the newest of the files put aside, and the oldest is deleted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that is put aside when it is long enough.
#[derive(Debug)]
pub(super) struct RollingFile {
    path: PathBuf,
    /// Permission bits of a new file.
    mode: u32,
    file: File,
    bytes: u64,
    bytes_max: u64,
    /// How many files that were put aside are kept.
    kept: u32,
    /// The file could not be put aside, which was logged: it grows until that works.
    cannot_roll: bool,
}

impl RollingFile {
    /// Opens the file at its end, or creates it with the permission bits `mode`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, mode: u32, bytes_max: u64, kept: u32) -> io::Result<RollingFile> {
        let mut file = open(path, mode)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            // A process that ended in the middle of a line must not join it with the next one.
            let mut last = [0];
            file.seek(SeekFrom::Start(bytes - 1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        let path = path.to_owned();
        Ok(RollingFile { path, mode, file, bytes, bytes_max, kept, cannot_roll: false })
    }

    /// The name of the file that was put aside so many files ago.
    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Puts the file aside and begins a new one.
    fn roll(&mut self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, self.aside(1))?;
        self.file = open(&self.path, self.mode)?;
        self.bytes = 0;
        Ok(())
    }
}

/// Opens a file at its end.
fn open(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(mode).open(path)
}

impl Write for RollingFile {
    /// Writes whole lines: a file is put aside only between two calls.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > self.bytes_max {
            match self.roll() {
                Ok(()) => self.cannot_roll = false,
                Err(error) if !std::mem::replace(&mut self.cannot_roll, true) => tracing::error!(
                    file = %self.path.display(), %error,
                    "the audit log cannot be put aside, and grows beyond ringkeeper.audit.fileBytesMax: the server needs \
                     permission to rename files in its folder"
                ),
                Err(_) => {}
            }
        }
        self.file.write_all(lines)?;
        self.bytes += lines.len() as u64;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(file: &mut RollingFile, line: &str) {
        file.write_all(line.as_bytes()).unwrap();
    }

    #[test]
    fn a_long_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = RollingFile::open(&path, 0o600, 10, 2).unwrap();
        for line in ["one 5\n", "two 5\n", "three\n", "four5\n"] {
            write(&mut file, line);
        }
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).ok();
        assert_eq!(text("audit.log").as_deref(), Some("four5\n"));
        assert_eq!(text("audit.log.1").as_deref(), Some("three\n"));
        assert_eq!(text("audit.log.2").as_deref(), Some("two 5\n"));
        assert_eq!(text("audit.log.3"), None);
        // What is longer than a file has one for itself.
        write(&mut file, "a line of its own\n");
        assert_eq!(text("audit.log").as_deref(), Some("a line of its own\n"));
    }

    #[test]
    fn a_start_continues_the_file_on_a_line_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        fs::write(&path, "torn").unwrap();
        let mut file = RollingFile::open(&path, 0o600, 10, 1).unwrap();
        write(&mut file, "new\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "torn\nnew\n");
        write(&mut file, "more\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "more\n");
        assert!(RollingFile::open(&folder.path().join("no/audit.log"), 0o600, 10, 1).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_is_written_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = RollingFile::open(&path, 0o600, 10, 1).unwrap();
        write(&mut file, "one 56789\n");
        fs::create_dir_all(folder.path().join("audit.log.1/full")).unwrap();
        write(&mut file, "two\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one 56789\ntwo\n");
        fs::remove_dir_all(folder.path().join("audit.log.1")).unwrap();
        write(&mut file, "three\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }
}
