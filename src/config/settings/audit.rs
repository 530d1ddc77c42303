//! The audit log: what clients changed, and where that is written.

use std::path::PathBuf;

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Whether there is one. Default: false. Key `audit.enable`.
    pub is_enabled: bool,
    /// The file that gets its lines; `None`: standard output. Default: none. Key `ringkeeper.audit.file`.
    pub file: Option<PathBuf>,
    /// Size at which the file is put aside and a new one begun. Bytes. Default: 10 MiB. Key
    /// `ringkeeper.audit.fileBytesMax`.
    pub file_bytes_max: u64,
    /// How many files that were put aside are kept. Default: 10. Key `ringkeeper.audit.filesKept`.
    pub files_kept: u32,
}

impl Default for Audit {
    fn default() -> Self {
        // As in the logback.xml of ZooKeeper, where the file is commented out.
        Self { is_enabled: false, file: None, file_bytes_max: 10 << 20, files_kept: 10 }
    }
}
