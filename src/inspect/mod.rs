//! The commands that look into files: `txnlog dump|check`, `snapshot dump|check|summary`.
//!
//! They read what Apache ZooKeeper wrote as well as our own, and change nothing. Each prints lines
//! for people or JSON objects, one per line, and answers whether every file is whole; a file that
//! cannot be opened is not. Only a failure to print is an error.

mod snapshot;
mod text;
mod txn;
mod txnlog;

pub use snapshot::{check_snapshot, dump_snapshot, summarize_snapshot};
pub use txnlog::{check_logs, dump_logs};

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use serde_json::json;

/// Opens a file, or says why not.
fn open(path: &Path, json: bool, out: &mut dyn Write) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::with_capacity(256 << 10, file))),
        Err(error) => {
            complain(path, json, &format!("cannot be opened: {error}"), out)?;
            Ok(None)
        }
    }
}

/// Prints what is wrong with a file.
fn complain(path: &Path, json: bool, what: &str, out: &mut dyn Write) -> io::Result<()> {
    let file = path.display().to_string();
    match json {
        true => writeln!(out, "{}", json!({ "file": file, "whole": false, "error": what })),
        false => writeln!(out, "{file}: {what}"),
    }
}

/// The last part of a path, which says what the file is.
fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
