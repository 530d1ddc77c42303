//! Opens files that the configuration names, and nothing else than files.
//!
//! A name may stand for a pipe without a writer, whose `open` waits for ever, or for a device that never ends. A thread
//! that reads such a file again and again would stand still, and with it what depends on it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file for reading, through symbolic links. It does not wait for a pipe or a device.
///
/// # Errors
/// The system's; `InvalidInput` with a clause if it is something else than a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("a flag of open");
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.is_file() {
        let text = "it is no regular file, but a folder, a pipe, a socket or a device";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // The flag stays on; it means nothing for a regular file.
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_is_opened_through_links_and_nothing_else_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        symlink(at("file"), at("link")).unwrap();
        let mut text = String::new();
        open_regular(&at("link")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let missing = open_regular(&at("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);

        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
        let (pipe, folder) = (at("pipe"), folder.path().to_owned());
        let (said, hear) = mpsc::channel();
        std::thread::spawn(move || {
            for other in [pipe.as_path(), folder.as_path(), Path::new("/dev/zero")] {
                said.send(open_regular(other).unwrap_err().kind()).unwrap();
            }
        });
        for _ in 0..3 {
            let kind = hear.recv_timeout(Duration::from_secs(20)).expect("it does not wait");
            assert_eq!(kind, io::ErrorKind::InvalidInput);
        }
    }
}
