//! `txnlog dump` and `txnlog check`.

use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Wanted, complain, name_of, open, other_than, txn};
use crate::id::Zxid;
use crate::txnlog::{Entry, FILE_HEADER_BYTES, Reader, Verdict, plan};

/// Prints every transaction of every file, in the order given, and how each file ends.
///
/// # Errors
/// `out` fails.
pub fn dump_logs(files: &[PathBuf], json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let mut whole = true;
    for path in files {
        let printed = walk(path, json, out, &mut |entry, group_txns, out| match json {
            true => print_object(path, entry, out),
            false => print_line(entry, group_txns, out),
        })?;
        let Some((verdict, _)) = printed else {
            whole = false;
            continue;
        };
        whole &= is_whole(&verdict);
        match json {
            true => writeln!(out, "{}", verdict_object(path, &verdict, None))?,
            false => writeln!(out, "== {}: {verdict}", path.display())?,
        }
    }
    Ok(whole)
}

/// Reads every record, and prints for each file where it ends, whether it is whole, and whether it
/// continues the previous one.
///
/// # Errors
/// `out` fails.
pub fn check_logs(files: &[PathBuf], json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let mut whole = true;
    let mut sorted: Vec<&PathBuf> = files.iter().collect();
    sorted.sort_by_key(|path| plan::log_zxid(name_of(path)));
    let mut last: Option<Zxid> = None;
    for path in sorted {
        let mut order = Order { last, ..Order::default() };
        let read = walk(path, json, out, &mut |entry, _, _| {
            order.take(entry);
            Ok(())
        })?;
        let Some((verdict, counts)) = read else {
            whole = false;
            continue;
        };
        let counts = Counts { first: order.first, last: order.last_here, ..counts };
        last = order.last;
        order.faults.extend(refused_for_later(path, &verdict));
        whole &= is_whole(&verdict) && order.faults.is_empty();
        match json {
            true => {
                let mut object = verdict_object(path, &verdict, Some(&counts));
                object["faults"] = json!(order.faults);
                object["whole"] = json!(is_whole(&verdict) && order.faults.is_empty());
                writeln!(out, "{object}")?;
            }
            false => {
                writeln!(out, "{}: {}", path.display(), sentence(&verdict, &counts))?;
                for fault in &order.faults {
                    writeln!(out, "{}: {fault}", path.display())?;
                }
            }
        }
    }
    Ok(whole)
}

/// What was counted in a file.
#[derive(Default)]
pub(super) struct Counts {
    txns: u64,
    groups: u64,
    guarded: bool,
    first: Option<Zxid>,
    last: Option<Zxid>,
    bytes_total: u64,
}

/// The order of zxids, over all files.
#[derive(Default)]
struct Order {
    last: Option<Zxid>,
    first: Option<Zxid>,
    last_here: Option<Zxid>,
    faults: Vec<String>,
}

/// Further faults add no information.
const FAULTS_MAX: usize = 10;

impl Order {
    fn take(&mut self, entry: &Entry) {
        let (zxid, offset) = (entry.txn.zxid(), entry.offset);
        if let Some(last) = self.last {
            let fault = if zxid < last {
                Some(format!("zxid {zxid} at offset {offset} is below {last}: zxids never go back"))
            } else if zxid.epoch() == last.epoch() && zxid != last && last.next() != Some(zxid) {
                Some(format!("zxids between {last} and {zxid} (offset {offset}) are missing"))
            } else {
                None
            };
            self.faults.extend(fault.filter(|_| self.faults.len() < FAULTS_MAX));
        }
        self.first.get_or_insert(zxid);
        (self.last, self.last_here) = (Some(zxid), Some(zxid));
    }
}

pub(super) type Visit<'a> = &'a mut dyn FnMut(&Entry, u64, &mut dyn Write) -> io::Result<()>;

/// Reads a file. `None`: it could not be read, which was printed. `visit` gets the number of
/// transactions in the group of the entry so far.
pub(super) fn walk(
    path: &Path,
    json: bool,
    out: &mut dyn Write,
    visit: Visit<'_>,
) -> io::Result<Option<(Verdict, Counts)>> {
    let Some(mut file) = open(path, json, out)? else { return Ok(None) };
    if let Some(what) = other_than(Wanted::Log, &mut file)? {
        complain(path, json, &what, out)?;
        return Ok(None);
    }
    let mut reader = match Reader::open(file) {
        Ok(reader) => reader,
        Err(error) => {
            complain(path, json, &format!("cannot be read: {error}"), out)?;
            return Ok(None);
        }
    };
    match entries(&mut reader, out, visit)? {
        Ok(counts) => {
            let verdict = reader.verdict().expect("every record was read").clone();
            Ok(Some((verdict, counts)))
        }
        Err(error) => {
            complain(path, json, &format!("cannot be read: {error}"), out)?;
            Ok(None)
        }
    }
}

/// The outer error is that of printing, the inner one that of reading.
fn entries<R: Read + Seek>(
    reader: &mut Reader<R>,
    out: &mut dyn Write,
    visit: Visit<'_>,
) -> io::Result<io::Result<Counts>> {
    let mut counts = Counts {
        guarded: reader.is_guarded(),
        bytes_total: reader.bytes_total(),
        ..Counts::default()
    };
    let mut group_txns = 0;
    loop {
        match reader.next_entry() {
            Err(error) => return Ok(Err(error)),
            Ok(None) => return Ok(Ok(counts)),
            Ok(Some(entry)) => {
                counts.txns += 1;
                group_txns += 1;
                visit(&entry, group_txns, out)?;
                if entry.group.is_some() {
                    counts.groups += 1;
                    group_txns = 0;
                }
            }
        }
    }
}

fn print_line(entry: &Entry, group_txns: u64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", txn::line(&entry.txn))?;
    if let Some(group) = entry.group {
        let (offset, bytes, crc) = (group.offset, group.bytes, group.crc);
        writeln!(
            out,
            "-- group: {group_txns} transactions, {bytes} bytes at offset {offset}, crc {crc:08x}"
        )?;
    }
    Ok(())
}

fn print_object(path: &Path, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let mut object = txn::object(&entry.txn);
    object["file"] = json!(path.display().to_string());
    object["offset"] = json!(entry.offset);
    object["bytes"] = json!(entry.bytes);
    if let Some(group) = entry.group {
        object["group_end"] = json!({
            "offset": group.offset,
            "bytes": group.bytes,
            "crc": format!("{:08x}", group.crc),
        });
    }
    writeln!(out, "{object}")
}

/// What a server does with a tail that only the last log of a folder may have.
// ZooKeeper: FileTxnIterator.goToNextLog ends the start as well, unless the file is the last one.
fn refused_for_later(path: &Path, verdict: &Verdict) -> Option<String> {
    let Verdict::TornTail { passable: false, .. } = verdict else { return None };
    let own = plan::log_zxid(name_of(path))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let later = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| plan::log_zxid(name).is_some_and(|zxid| zxid > own))
        .min_by_key(|name| plan::log_zxid(name))?;
    Some(format!(
        "but {later} follows it in its folder, and no server begins another log after such an end: a \
         server that needs this log refuses to start, as ZooKeeper does; bring the whole file back, or \
         move it away if it came here by mistake"
    ))
}

/// A torn tail is not damage: the next start of a server cuts it off.
pub(super) fn is_whole(verdict: &Verdict) -> bool {
    !matches!(verdict, Verdict::Damaged { .. })
}

fn sentence(verdict: &Verdict, counts: &Counts) -> String {
    let who = match counts.guarded {
        // The file does not show who wrote it.
        false if counts.bytes_total < FILE_HEADER_BYTES as u64 => String::new(),
        true => format!("written by ringkeeper, {} groups, ", counts.groups),
        false => "written by ZooKeeper, ".to_owned(),
    };
    let zxids = match (counts.first, counts.last) {
        (Some(first), Some(last)) => format!("{} transactions, {first} to {last}", counts.txns),
        _ => "no transaction".to_owned(),
    };
    let total = counts.bytes_total;
    let verdict = match verdict {
        Verdict::Clean { end } => format!("whole, {end} of {total} bytes in use"),
        Verdict::TornTail { reason, .. } if counts.txns == 0 => {
            // ZooKeeper: FileTxnIterator.goToNextLog deletes a last log of 0 bytes, and no other.
            let (what, java) = match total {
                0 => ("it is empty".to_owned(), ", as ZooKeeper does"),
                _ => (
                    format!("it has {total} bytes ({reason})"),
                    "; ZooKeeper may not start on it before",
                ),
            };
            format!(
                "{what}, as a crash leaves a log that has just been made: nothing durable is missing, \
                 the server removes the file when it starts if it is the last log of its folder{java}"
            )
        }
        Verdict::TornTail { end, reason, passable } => {
            let java = if *passable { "ZooKeeper would stop there" } else { "ZooKeeper would not" };
            format!(
                "the last write did not finish, at offset {end} of {total} ({reason}): nothing \
                 durable is missing, the server cuts it off when it starts; {java}{}",
                if *passable { " too" } else { " start on it before" }
            )
        }
        Verdict::Damaged { .. } => format!("{verdict}; durable transactions are lost"),
    };
    format!("{who}{zxids}; {verdict}")
}

fn verdict_object(path: &Path, verdict: &Verdict, counts: Option<&Counts>) -> serde_json::Value {
    let file = path.display().to_string();
    let mut object = match verdict {
        Verdict::Clean { end } => json!({ "verdict": "clean", "end": end }),
        Verdict::TornTail { end, reason, passable } => json!({
            "verdict": "torn tail",
            "end": end,
            "reason": reason,
            // It deletes a last log of 0 bytes.
            "zookeeper_starts": *passable || counts.is_some_and(|counts| counts.bytes_total == 0),
        }),
        Verdict::Damaged { offset, zxid, reason } => json!({
            "verdict": "damaged",
            "offset": offset,
            "after_zxid": zxid.map(|zxid| zxid.to_string()),
            "reason": reason,
        }),
    };
    object["file"] = json!(file);
    object["whole"] = json!(is_whole(verdict));
    if let Some(counts) = counts {
        object["transactions"] = json!(counts.txns);
        object["groups"] = json!(counts.groups);
        object["guarded"] = json!(counts.guarded);
        object["first_zxid"] = json!(counts.first.map(|zxid| zxid.to_string()));
        object["last_zxid"] = json!(counts.last.map(|zxid| zxid.to_string()));
        object["bytes"] = json!(counts.bytes_total);
    }
    object
}
