//! The file of the audit log: when it is long enough, it is put aside and a new one begun, as logback's
//! `FixedWindowRollingPolicy` does: `audit.log.1` is the newest of the files put aside, and the oldest is deleted.
//!
//! The rule that is easy to break: an attempt that fails is made again with every write, so it must cost none of the
//! files put aside.

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
    /// Length at which it is put aside. `None`: never, because it is a device or a pipe.
    bytes_max: Option<u64>,
    /// How many files that were put aside are kept.
    kept: u32,
    /// The file could not be put aside, which was logged: it grows until that works.
    cannot_roll: bool,
}

impl RollingFile {
    /// Opens the file at its end, or creates it with the permission bits `mode`. When it would have more than
    /// `bytes_max` bytes, it is put aside; `kept` of those files are kept.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, mode: u32, bytes_max: u64, kept: u32) -> io::Result<RollingFile> {
        let mut file = open(path, mode)?;
        let metadata = file.metadata()?;
        let bytes_max = metadata.is_file().then_some(bytes_max);
        let mut bytes = metadata.len();
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

    /// Puts the file aside, unless somebody has taken it away. The older ones move as far as the first free number: if
    /// an earlier attempt has moved them and then failed, they stay where they are.
    fn put_aside(&self) -> io::Result<()> {
        if is_free(&self.path) {
            return Ok(());
        }
        let free = (1..self.kept).find(|&number| is_free(&self.aside(number)));
        for number in (1..free.unwrap_or(self.kept)).rev() {
            fs::rename(self.aside(number), self.aside(number + 1))?;
        }
        fs::rename(&self.path, self.aside(1))
    }

    /// Puts the file aside and begins a new one. Where the file cannot be put aside, it goes on.
    ///
    /// # Errors
    /// The file is put aside or taken away, and no new one can be opened.
    fn roll(&mut self) -> io::Result<()> {
        match self.put_aside() {
            Ok(()) => self.cannot_roll = false,
            Err(error) if !std::mem::replace(&mut self.cannot_roll, true) => tracing::error!(
                file = %self.path.display(), %error,
                "the audit log cannot be put aside, and grows beyond ringkeeper.audit.fileBytesMax: the server needs \
                 permission to rename files in its folder"
            ),
            Err(_) => {}
        }
        if is_free(&self.path) {
            self.file = open(&self.path, self.mode).map_err(|error| {
                let path = self.path.display();
                io::Error::new(error.kind(), format!("{path} cannot be opened: {error}"))
            })?;
            self.bytes = 0;
        }
        Ok(())
    }
}

/// Whether nothing has this name.
fn is_free(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Opens a file at its end.
fn open(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(mode).open(path)
}

impl Write for RollingFile {
    /// Writes whole lines: a file is put aside only between two calls.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let is_long = |bytes_max| self.bytes + lines.len() as u64 > bytes_max;
        if self.bytes > 0 && self.bytes_max.is_some_and(is_long) {
            self.roll()?;
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

    /// The names in a folder, and what stands in them.
    fn contents(folder: &Path) -> Vec<(String, String)> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        let text = |name: &String| fs::read_to_string(folder.join(name)).unwrap();
        names.iter().map(|name| (name.clone(), text(name))).collect()
    }

    fn pairs(contents: &[(String, String)]) -> Vec<(&str, &str)> {
        contents.iter().map(|(name, text)| (&**name, &**text)).collect()
    }

    /// A folder with a full file and two that were put aside, of which three are kept.
    fn rolled() -> (tempfile::TempDir, RollingFile) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("log");
        fs::create_dir(&inner).unwrap();
        let mut file = RollingFile::open(&inner.join("audit.log"), 0o600, 10, 3).unwrap();
        for line in ["one 56789\n", "two 56789\n", "three 789\n"] {
            write(&mut file, line);
        }
        let aside = [("audit.log.1", "two 56789\n"), ("audit.log.2", "one 56789\n")];
        assert_eq!(pairs(&contents(&inner))[1..], aside);
        (folder, file)
    }

    #[test]
    fn a_file_that_was_taken_away_is_begun_anew_and_none_of_those_put_aside_is_lost() {
        let (folder, mut file) = rolled();
        let inner = folder.path().join("log");
        fs::rename(inner.join("audit.log"), folder.path().join("elsewhere")).unwrap();
        for line in ["four 6789\n", "five 6789\n"] {
            write(&mut file, line);
        }
        assert_eq!(
            pairs(&contents(&inner)),
            [
                ("audit.log", "five 6789\n"),
                ("audit.log.1", "four 6789\n"),
                ("audit.log.2", "two 56789\n"),
                ("audit.log.3", "one 56789\n"),
            ]
        );
    }

    #[test]
    fn where_no_file_can_be_begun_nothing_is_written_or_lost_until_that_works() {
        let (folder, mut file) = rolled();
        let (inner, away) = (folder.path().join("log"), folder.path().join("away"));
        // As after a turn in which the file was put aside and no new one could be opened.
        fs::rename(&inner, &away).unwrap();
        for (old, new) in [(2, 3), (1, 2)] {
            let name = |number| away.join(format!("audit.log.{number}"));
            fs::rename(name(old), name(new)).unwrap();
        }
        fs::rename(away.join("audit.log"), away.join("audit.log.1")).unwrap();
        for _ in 0..5 {
            let error = file.write_all(b"lost 6789\n").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("audit.log"), "{error}");
        }
        fs::rename(&away, &inner).unwrap();
        write(&mut file, "four 6789\n");
        assert_eq!(
            pairs(&contents(&inner)),
            [
                ("audit.log", "four 6789\n"),
                ("audit.log.1", "three 789\n"),
                ("audit.log.2", "two 56789\n"),
                ("audit.log.3", "one 56789\n"),
            ]
        );
    }

    #[test]
    fn files_move_only_as_far_as_the_first_number_that_is_free() {
        let (folder, mut file) = rolled();
        let inner = folder.path().join("log");
        // As after a turn in which these moved and the file itself could not, because it is append-only.
        for (old, new) in [(2, 3), (1, 2)] {
            let name = |number| inner.join(format!("audit.log.{number}"));
            fs::rename(name(old), name(new)).unwrap();
        }
        write(&mut file, "four 6789\n");
        assert_eq!(
            pairs(&contents(&inner)),
            [
                ("audit.log", "four 6789\n"),
                ("audit.log.1", "three 789\n"),
                ("audit.log.2", "two 56789\n"),
                ("audit.log.3", "one 56789\n"),
            ]
        );
    }

    #[test]
    fn what_is_not_a_file_is_not_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let mut file = RollingFile::open(&path, 0o600, 10, 1).unwrap();
        for line in ["one 56789\n", "two 56789\n"] {
            write(&mut file, line);
        }
        assert_eq!(pairs(&contents(folder.path())), [("audit.log", "")]);
    }
}
