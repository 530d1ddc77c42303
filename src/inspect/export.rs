//! `txnlog export`: logs as plain as ZooKeeper writes them.
//!
//! Our own records have padding and guards behind the transaction, where no reader looks that goes by
//! the record's length, as all of ZooKeeper's do. A program that goes by the size of what it has
//! decoded stops at the first of them: this is for such programs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::txnlog::{is_whole, walk};
use super::{complain, name_of};
use crate::id::Zxid;
use crate::proto::OpCode;
use crate::txnlog::{Entry, Verdict, plain_header, plan, put_plain_record};

/// The end of a name while the file is being written.
const UNFINISHED: &str = ".unfinished";

/// Writes each file into the folder `to`, under its own name, without padding and guards. A file that
/// is there already is never written over, and a damaged one is not exported. Whether all were.
///
/// # Errors
/// `out` fails.
pub fn export_logs(
    files: &[PathBuf],
    to: &Path,
    json: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    if let Err(error) = fs::create_dir_all(to) {
        complain(to, json, &format!("cannot be made: {error}"), out)?;
        return Ok(false);
    }
    let mut all = true;
    for path in files {
        all &= export(path, to, json, out)?;
    }
    Ok(all)
}

fn export(path: &Path, to: &Path, json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let name = name_of(path);
    if plan::log_zxid(name).is_none() {
        let text = "the name is not that of a log (log.HEX), so no server would read the copy";
        complain(path, json, text, out)?;
        return Ok(false);
    }
    let (target, unfinished) = (to.join(name), to.join(format!("{name}{UNFINISHED}")));
    if target.exists() {
        complain(&target, json, "is there already, and is not written over", out)?;
        return Ok(false);
    }
    let mut copy = match Copy::begin(&unfinished) {
        Ok(copy) => copy,
        Err(error) => {
            complain(&unfinished, json, &format!("cannot be written: {error}"), out)?;
            return Ok(false);
        }
    };
    let read = walk(path, json, out, &mut |entry, _, _| {
        copy.take(entry);
        Ok(())
    })?;
    let done = match read {
        Some((verdict, _)) if is_whole(&verdict) => copy.finish(&unfinished, &target, verdict),
        Some((verdict, _)) => Err(format!("{verdict}; it is not exported")),
        // What is wrong was said.
        None => {
            let _ = fs::remove_file(&unfinished);
            return Ok(false);
        }
    };
    match done {
        Ok(written) => {
            written.say(path, &target, json, out)?;
            Ok(true)
        }
        Err(reason) => {
            // Left behind it would be no log, by its name.
            let _ = fs::remove_file(&unfinished);
            complain(path, json, &reason, out)?;
            Ok(false)
        }
    }
}

/// A file that is being written.
struct Copy {
    file: BufWriter<File>,
    record: Vec<u8>,
    last: Option<Zxid>,
    txns: u64,
    failed: Option<io::Error>,
}

/// What was written.
struct Written {
    txns: u64,
    verdict: Verdict,
}

impl Copy {
    fn begin(path: &Path) -> io::Result<Copy> {
        let mut file = BufWriter::with_capacity(256 << 10, File::create(path)?);
        file.write_all(&plain_header())?;
        Ok(Copy { file, record: Vec::new(), last: None, txns: 0, failed: None })
    }

    fn take(&mut self, entry: &Entry) {
        let txn = &entry.txn;
        // A closeSession without paths cannot be padded: an error of the same zxid, which changes
        // nothing, ends the group in its place.
        let fills = self.last == Some(txn.zxid()) && txn.header().op == OpCode::Error;
        self.last = Some(txn.zxid());
        if fills || self.failed.is_some() {
            return;
        }
        self.record.clear();
        put_plain_record(&mut self.record, txn);
        self.failed = self.file.write_all(&self.record).err();
        self.txns += 1;
    }

    /// Durable under its name, or not there.
    fn finish(self, from: &Path, to: &Path, verdict: Verdict) -> Result<Written, String> {
        let Copy { file, txns, failed, .. } = self;
        let written = failed.map_or(Ok(()), Err).and_then(|()| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            // A name that somebody took meanwhile is left to them.
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        });
        match written {
            Ok(()) => Ok(Written { txns, verdict }),
            Err(error) => Err(format!("{} cannot be written: {error}", to.display())),
        }
    }
}

impl Written {
    fn say(&self, from: &Path, to: &Path, json: bool, out: &mut dyn Write) -> io::Result<()> {
        let Written { txns, verdict } = self;
        let torn = match verdict {
            Verdict::TornTail { end, reason, .. } => Some(format!(
                "the last write did not finish, at offset {end} ({reason}), and is left out: nothing \
                 durable is missing"
            )),
            Verdict::Clean { .. } | Verdict::Damaged { .. } => None,
        };
        match json {
            true => writeln!(
                out,
                "{}",
                json!({
                    "file": from.display().to_string(),
                    "to": to.display().to_string(),
                    "transactions": txns,
                    "whole": true,
                    "note": torn,
                })
            ),
            false => {
                let note = torn.map_or(String::new(), |torn| format!("; {torn}"));
                writeln!(out, "{}: {txns} transactions to {}{note}", from.display(), to.display())
            }
        }
    }
}
