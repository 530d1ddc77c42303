//! `txnlog export`: logs without padding, as ZooKeeper writes them.
//!
//! Our own records have padding and guards after the transaction. Readers that use the record's length,
//! as all of ZooKeeper's do, skip them. A program that uses the size of what it has decoded stops at the
//! first padded record: this command is for such programs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;

use super::txnlog::{is_whole, walk};
use super::{complain, name_of};
use crate::id::Zxid;
use crate::proto::OpCode;
use crate::txnlog::{Entry, Verdict, plain_header, plan, put_plain_record};

/// The end of a name while the file is being written.
const UNFINISHED: &str = ".unfinished";

/// Writes each file into the folder `to`, under its own name, without padding and guards. It never
/// overwrites an existing file, and does not export a damaged one. Returns whether all files were
/// exported.
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
    let in_the_way = match target.try_exists() {
        Ok(false) => None,
        Ok(true) => Some("already exists, and is not overwritten".to_owned()),
        Err(error) => Some(format!("cannot be checked, so it is not written: {error}")),
    };
    if let Some(text) = in_the_way {
        complain(&target, json, &text, out)?;
        return Ok(false);
    }
    let mode = fs::metadata(path).map_or(0o600, |found| found.permissions().mode());
    let mut copy = match Copy::begin(&unfinished, mode) {
        Ok(copy) => copy,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = "already exists: another export may be writing it. If none is running, an \
                interrupted one has left it: remove it";
            complain(&unfinished, json, text, out)?;
            return Ok(false);
        }
        Err(error) => {
            complain(&unfinished, json, &format!("cannot be written: {error}"), out)?;
            return Ok(false);
        }
    };
    let read = walk(path, json, out, &mut |entry, _, _| {
        copy.take(entry);
        Ok(())
    });
    let done = match read {
        Ok(Some((verdict, _))) if is_whole(&verdict) => copy.finish(&unfinished, &target, verdict),
        Ok(Some((verdict, _))) => Err(format!("{verdict}; it is not exported")),
        // The failure was printed, or printing has failed.
        Ok(None) | Err(_) => {
            let _ = fs::remove_file(&unfinished);
            return read.map(|_| false);
        }
    };
    match done {
        Ok(written) => {
            written.say(path, &target, json, out)?;
            Ok(true)
        }
        Err(reason) => {
            // If the file remains, its name is not that of a log.
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
    /// Remarks about a file that is whole.
    remarks: Vec<String>,
}

impl Copy {
    /// Never opens an existing file or link: it may belong to another program.
    fn begin(path: &Path, mode: u32) -> io::Result<Copy> {
        // The copy must not be readable for users who may not read the log.
        let file = File::options().write(true).create_new(true).mode(mode & 0o666).open(path)?;
        let mut file = BufWriter::with_capacity(256 << 10, file);
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

    /// Publishes the whole file under its name, or removes it.
    fn finish(self, from: &Path, to: &Path, verdict: Verdict) -> Result<Written, String> {
        let Copy { file, txns, failed, .. } = self;
        let written = failed.map_or(Ok(()), Err).and_then(|()| {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            publish(from, to, &WAYS)
        });
        match written {
            Ok(()) => Ok(Written { txns, verdict, remarks: remarks(from, to) }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(format!("{} already exists, and is not overwritten", to.display()))
            }
            Err(error) => Err(format!("{} cannot be written: {error}", to.display())),
        }
    }
}

/// A way to rename a file to an unused name, or to fail without touching an existing file.
type Way = fn(&Path, &Path) -> io::Result<()>;

/// No way works on every file system: network and FUSE mounts may not support flags of a rename, FAT has
/// no hard links.
const WAYS: [Way; 3] = [rename_without_replacing, link_and_remove, take_and_replace];

/// Gives the file the name `to` by the first way that works here. If another program took the name
/// meanwhile, its file stays.
fn publish(from: &Path, to: &Path, ways: &[Way]) -> io::Result<()> {
    let mut failed = Err(io::ErrorKind::Unsupported.into());
    for way in ways {
        failed = way(from, to);
        match &failed {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => break,
            Err(_) => {}
        }
    }
    failed
}

fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

fn link_and_remove(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    // The file has its name now, so this is not a failure.
    let _ = fs::remove_file(from);
    Ok(())
}

/// Takes the name with an empty file of our own, and replaces that.
fn take_and_replace(from: &Path, to: &Path) -> io::Result<()> {
    drop(File::create_new(to)?);
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// Remarks about a file that has got its name.
fn remarks(from: &Path, to: &Path) -> Vec<String> {
    let mut remarks = Vec::new();
    if fs::symlink_metadata(from).is_ok() {
        remarks.push(format!("{} cannot be removed; it is no longer needed", from.display()));
    }
    // A power cut may remove a name that is not yet in the folder on the disk.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        remarks.push(format!(
            "{} cannot be synced ({error}): until the system has written it, a power cut may take \
             the file",
            folder.display()
        ));
    }
    remarks
}

impl Written {
    fn say(&self, from: &Path, to: &Path, json: bool, out: &mut dyn Write) -> io::Result<()> {
        let Written { txns, verdict, remarks } = self;
        let torn = match verdict {
            Verdict::TornTail { end, reason, .. } => Some(format!(
                "the last write did not finish, at offset {end} ({reason}), and is left out: nothing \
                 durable is missing"
            )),
            Verdict::Clean { .. } | Verdict::Damaged { .. } => None,
        };
        let notes: Vec<String> = torn.into_iter().chain(remarks.iter().cloned()).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        match json {
            true => writeln!(
                out,
                "{}",
                json!({
                    "file": from.display().to_string(),
                    "to": to.display().to_string(),
                    "transactions": txns,
                    "whole": true,
                    "note": note,
                })
            ),
            false => {
                let note = note.map_or(String::new(), |note| format!("; {note}"));
                writeln!(out, "{}: {txns} transactions to {}{note}", from.display(), to.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_its_name_in_every_way_and_takes_nobodys() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("log.1.unfinished"), folder.path().join("log.1"));
        let unknown: Way = |_, _| Err(io::ErrorKind::InvalidInput.into());
        for way in WAYS {
            fs::write(&from, "ours").unwrap();
            publish(&from, &to, &[unknown, way, unknown]).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"ours");
            assert!(!from.exists());
            assert_eq!(remarks(&from, &to), Vec::<String>::new());

            fs::write(&from, "ours").unwrap();
            fs::write(&to, "theirs").unwrap();
            let error = publish(&from, &to, &[way, unknown]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&to).unwrap(), b"theirs");
            assert!(from.exists());
            fs::remove_file(&to).unwrap();
        }
        let error = publish(&from, &to, &[unknown]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        // A rename that fails leaves no empty file under the name of a log.
        take_and_replace(&folder.path().join("nothing"), &to).unwrap_err();
        assert!(!to.exists());
        fs::write(&to, "whole").unwrap();
        assert!(
            remarks(&from, &to)[0]
                .ends_with("log.1.unfinished cannot be removed; it is no longer needed")
        );
    }
}
