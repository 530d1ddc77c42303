//! A disk of its own for a server, small enough to be filled: an ext4 file system in a file, which
//! only root can mount.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use ringkeeper_testkit::Watchdog;
use tempfile::TempDir;

const BLOCK_BYTES: usize = 1024 * 1024;
/// How often to try, because the kernel closes the files of a killed server a moment later.
const UNMOUNT_ATTEMPTS: u32 = 50;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(100);

/// The shell commands that run if this process dies: `"$1"` is the mount point, `"$2"` the folder of all files. The
/// server that uses the disk is being killed meanwhile.
const UNMOUNT_AND_REMOVE: &str = r#"
    attempts=50
    until umount "$1" || [ $attempts = 0 ]; do
        attempts=$((attempts - 1))
        sleep 0.1
    done
    mountpoint -q "$1" || rm -rf -- "$2""#;

/// A mounted file system. Unmounted and removed when dropped, or when this process dies.
#[derive(Debug)]
pub struct SmallDisk {
    place: TempDir,
    _watchdog: Watchdog,
}

impl SmallDisk {
    /// Makes a disk below `folder`.
    ///
    /// # Errors
    /// This process may not mount, or `mkfs.ext4` is missing.
    pub fn mount(folder: &Path, mib: u32) -> Result<SmallDisk, String> {
        let explain = |error: io::Error| format!("{}: {error}", folder.display());
        let place = tempfile::Builder::new()
            .prefix("ringkeeper-bench-disk-")
            .tempdir_in(folder)
            .map_err(explain)?;
        let image = place.path().join("image");
        let mount = place.path().join("disk");
        fs::create_dir(&mount).map_err(explain)?;
        File::create(&image)
            .and_then(|file| file.set_len(u64::from(mib) << 20))
            .map_err(explain)?;
        run("mkfs.ext4", &["-q", "-F"], &[&image])?;
        run("mount", &["-o", "loop"], &[&image, &mount])?;
        let watchdog = Watchdog::new(UNMOUNT_AND_REMOVE, [mount.as_path(), place.path()]);
        Ok(SmallDisk { place, _watchdog: watchdog })
    }

    /// The mount point.
    pub fn folder(&self) -> PathBuf {
        self.place.path().join("disk")
    }

    /// Fills the disk.
    ///
    /// # Errors
    /// Anything but a full disk.
    pub fn fill(&self) -> io::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        let mut bytes = BLOCK_BYTES;
        // The pieces become smaller and smaller, because a server may need only one block.
        while bytes >= 512 {
            match ballast.write_all(&vec![1; bytes]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => bytes /= 2,
                Err(error) => return Err(error),
            }
        }
        ballast.sync_data()
    }

    /// Gives back the room.
    ///
    /// # Errors
    /// The disk was not filled.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.folder().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        for _ in 0..UNMOUNT_ATTEMPTS {
            if run("umount", &[], &[&self.folder()]).is_ok() {
                return;
            }
            thread::sleep(UNMOUNT_PAUSE);
        }
        eprintln!("{}: still in use, and therefore still mounted", self.folder().display());
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(program)
        .args(options)
        .args(paths)
        .output()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{program}` failed (a disk of its own takes root): {}", why.trim()))
}
