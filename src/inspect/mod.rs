//! The commands that inspect files: `txnlog dump|check|export`, `snapshot dump|check|summary`.
//!
//! They read files of Apache ZooKeeper as well as our own, and change none of them. Each prints lines
//! for people or JSON objects, one per line, and returns whether every file is whole; a file that cannot
//! be opened is not. Only a failure to print is an error.

mod export;
mod snapshot;
mod text;
mod txn;
mod txnlog;

pub use export::export_logs;
pub use snapshot::{check_snapshot, dump_snapshot, summarize_snapshot};
pub use txnlog::{check_logs, dump_logs};

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _, Write};
use std::path::Path;

use serde_json::json;

use crate::snapshot::Compression;

/// Opens a file, or prints why it cannot.
fn open(path: &Path, json: bool, out: &mut dyn Write) -> io::Result<Option<BufReader<File>>> {
    // Checked before opening: opening a pipe without a writer waits for ever.
    let regular = path.metadata().and_then(|found| match found.is_file() || found.is_dir() {
        true => File::open(path),
        false => Err(io::Error::other("it is not a regular file")),
    });
    match regular {
        Ok(file) => Ok(Some(BufReader::with_capacity(256 << 10, file))),
        Err(error) => {
            complain(path, json, &format!("cannot be opened: {error}"), out)?;
            Ok(None)
        }
    }
}

/// The kind of file that a command expects.
#[derive(Clone, Copy)]
enum Wanted {
    Log,
    Snapshot(Compression),
}

impl Wanted {
    fn name(self) -> &'static str {
        match self {
            Wanted::Log => "transaction log",
            Wanted::Snapshot(_) => "snapshot",
        }
    }

    /// The first bytes of such a file.
    fn magic(self) -> &'static [u8] {
        match self {
            Wanted::Log => b"ZKLG",
            Wanted::Snapshot(Compression::None) => b"ZKSN",
            Wanted::Snapshot(Compression::Gzip) => &[0x1f, 0x8b],
            Wanted::Snapshot(Compression::Snappy) => b"\x82SNAPPY\0",
        }
    }
}

/// What a file is, if it is certainly not of the wanted kind, because it begins with other bytes. A
/// truncated file, or one that was prepared and not written, may be of that kind.
fn other_than(wanted: Wanted, file: &mut BufReader<File>) -> io::Result<Option<String>> {
    const SHOWN_BYTES: usize = 16;
    let mut begin = Vec::new();
    // A folder can be opened, but not read: the reader of the content reports that.
    if file.by_ref().take(SHOWN_BYTES as u64).read_to_end(&mut begin).is_err() {
        return Ok(None);
    }
    file.rewind()?;
    let common = begin.len().min(wanted.magic().len());
    if begin[..common] == wanted.magic()[..common] || begin.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let is = match &begin[..] {
        [b'Z', b'K', b'L', b'G', ..] => {
            "it is a transaction log, for `ringkeeper txnlog`".to_owned()
        }
        [b'Z', b'K', b'S', b'N', ..] => {
            "it is an uncompressed snapshot, for `ringkeeper snapshot`, under a name that does not \
             end in .gz or .snappy"
                .to_owned()
        }
        [0x1f, 0x8b, ..] => {
            "it is compressed by gzip; a compressed snapshot has a name that ends in .gz".to_owned()
        }
        _ => format!("or its first bytes are damaged: it begins with \"{}\"", printable(&begin)),
    };
    let name = wanted.name();
    Ok(Some(format!("not a {name}: its magic number is wrong; {is}")))
}

/// Bytes as text, as far as possible.
fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Prints what is wrong with a file.
fn complain(path: &Path, json: bool, what: &str, out: &mut dyn Write) -> io::Result<()> {
    let file = path.display().to_string();
    match json {
        true => writeln!(out, "{}", json!({ "file": file, "whole": false, "error": what })),
        false => writeln!(out, "{file}: {what}"),
    }
}

/// The last part of a path: the file's name.
fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
