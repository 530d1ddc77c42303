//! The features of the file system of the transaction log.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::io::BUFFER_ALIGNMENT;

/// The features of the transaction log's file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogDevice {
    /// Whether files can be opened with O_DIRECT, with an alignment that our buffers have.
    pub direct: bool,
    /// Multiple that offsets and lengths of writes must have: 512 to 4096.
    pub block_bytes: usize,
}

/// Finds them out with a file of this name.
pub(super) fn probe(path: &Path) -> io::Result<LogDevice> {
    let buffered = LogDevice { direct: false, block_bytes: BUFFER_ALIGNMENT };
    let open = |flags| {
        let flags = flags | libc::O_NOFOLLOW;
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)
    };
    let file = match open(libc::O_DIRECT) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            open(0)?;
            return Ok(buffered);
        }
        Err(error) => return Err(error),
    };
    // A file system may accept the flag and refuse the write, as some network file systems do.
    let block = crate::io::AlignedBuf::zeroed(BUFFER_ALIGNMENT);
    if std::os::unix::fs::FileExt::write_all_at(&file, &block, 0).is_err() {
        return Ok(buffered);
    }
    let block_bytes = match statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN) {
        Ok(found) if found.stx_dio_offset_align > 0 => found.stx_dio_offset_align as usize,
        // Kernels before 6.1 do not report it; 4096 suits every disk.
        _ => BUFFER_ALIGNMENT,
    };
    match block_bytes {
        512..=BUFFER_ALIGNMENT if block_bytes.is_power_of_two() => {
            Ok(LogDevice { direct: true, block_bytes })
        }
        _ => Ok(buffered),
    }
}
