//! `snapshot dump`, `snapshot check` and `snapshot summary`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use serde_json::json;

use super::{Wanted, complain, name_of, open, other_than, text, txn};
use crate::acl::AclId;
use crate::database::{DatabaseOptions, LoadError};
use crate::id::{SessionId, Zxid};
use crate::proto::data::{AclVector, StatPersisted};
use crate::recovery::{DAMAGED_BEGINNING, look_at};
use crate::snapshot::{Compression, Digest, Look, Parts, SnapshotError, Trailers, load, read};
use crate::txnlog::plan;

/// Prints every session, ACL and node, and the parts after them.
///
/// # Errors
/// `out` fails.
pub fn dump_snapshot(path: &Path, json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let mut dump = Dump { json, out, failure: None };
    let trailers = {
        let Some(mut file) = open_snapshot(path, json, dump.out)? else { return Ok(false) };
        read(&mut file, Compression::of_name(name_of(path)), &mut dump)
    };
    let Dump { out, failure, .. } = dump;
    if let Some(failure) = failure {
        return Err(failure);
    }
    match trailers {
        Ok(trailers) => {
            print_trailers(&trailers, json, out)?;
            Ok(true)
        }
        Err(error) => {
            complain(path, json, &error.to_string(), out)?;
            Ok(false)
        }
    }
}

/// Reads everything, builds the tree, and compares its digest with the one in the file.
///
/// # Errors
/// `out` fails.
pub fn check_snapshot(path: &Path, json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let name = name_of(path);
    let compression = Compression::of_name(name);
    let Some(mut file) = open_snapshot(path, json, out)? else { return Ok(false) };
    match look_at(&mut file, compression) {
        Ok(Look::Finished) => (),
        Ok(Look::Unfinished) => {
            complain(path, json, &unfinished(path, name), out)?;
            return Ok(false);
        }
        Ok(Look::Damaged) => {
            complain(path, json, DAMAGED_BEGINNING, out)?;
            return Ok(false);
        }
        Err(error) => {
            complain(path, json, &format!("cannot be read: {error}"), out)?;
            return Ok(false);
        }
    }
    let found = match examine(&mut file, compression, plan::snapshot_zxid(name)) {
        Ok(found) => found,
        Err(error) => {
            complain(path, json, &error.to_string(), out)?;
            return Ok(false);
        }
    };
    let whole = found.digest != DigestFound::Wrong;
    let file = path.display().to_string();
    let Trailers { nodes, bytes, digest, last_zxid } = found.trailers;
    let digest = said(digest);
    match json {
        true => writeln!(
            out,
            "{}",
            json!({
                "file": file,
                "whole": whole,
                "zxid": found.zxid.to_string(),
                "nodes": nodes,
                "sessions": found.sessions,
                "acls": found.acls,
                "bytes": bytes,
                "tree_digest": found.tree_digest.to_string(),
                "stored_digest": digest.map(|digest| digest.digest.to_string()),
                "stored_digest_zxid": digest.map(|digest| digest.zxid.to_string()),
                "last_zxid": last_zxid.map(|zxid| zxid.to_string()),
                "digest": found.digest.word(),
            })
        )?,
        false => writeln!(
            out,
            "{file}: {}, {} sessions, {} ACLs, {bytes} bytes, zxid {}; every checksum is right; {}",
            text::nodes(nodes),
            found.sessions,
            found.acls,
            found.zxid,
            found.digest.sentence(&found.trailers, found.tree_digest)
        )?,
    }
    Ok(whole)
}

/// What a server does with an unfinished snapshot.
fn unfinished(path: &Path, name: &str) -> String {
    let what = match std::fs::metadata(path).map(|found| found.len()) {
        Ok(0) => "it is empty, so it was never finished, or it was truncated",
        _ => "it was never finished: its end is missing",
    };
    match plan::snapshot_zxid(name) {
        Some(zxid) => format!(
            "{what}. The server ignores it when it starts, and begins with the previous snapshot \
             and the log; if the log then does not reach {zxid}, or there is no other snapshot and \
             the log has transactions, it refuses to start"
        ),
        None => what.to_owned(),
    }
}

/// Prints how many nodes and bytes there are below each child of the root.
///
/// # Errors
/// `out` fails.
pub fn summarize_snapshot(path: &Path, json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let Some(mut file) = open_snapshot(path, json, out)? else { return Ok(false) };
    let mut summary = Summary::default();
    let trailers = match read(&mut file, Compression::of_name(name_of(path)), &mut summary) {
        Ok(trailers) => trailers,
        Err(error) => {
            complain(path, json, &error.to_string(), out)?;
            return Ok(false);
        }
    };
    let mut rows: Vec<_> = summary.parts.iter().collect();
    rows.sort_by_key(|(name, part)| (std::cmp::Reverse(part.data_bytes), *name));
    if json {
        for (name, part) in rows {
            writeln!(
                out,
                "{}",
                json!({
                    "path": name,
                    "nodes": part.nodes,
                    "data_bytes": part.data_bytes,
                    "path_bytes": part.path_bytes,
                    "ephemerals": part.ephemerals,
                })
            )?;
        }
        return Ok(true);
    }
    let (nodes, sessions, acls) = (trailers.nodes, summary.sessions, summary.acls);
    let (nodes, bytes) = (text::nodes(nodes), trailers.bytes);
    writeln!(out, "{nodes}, {sessions} sessions, {acls} ACLs, {bytes} bytes")?;
    writeln!(out, "{:>12} {:>14} {:>12}  below", "nodes", "data bytes", "ephemerals")?;
    for (name, part) in rows.iter().take(SUMMARY_ROWS_MAX) {
        let (nodes, bytes, ephemerals) = (part.nodes, part.data_bytes, part.ephemerals);
        writeln!(out, "{nodes:>12} {bytes:>14} {ephemerals:>12}  {}", text::path(Some(name)))?;
    }
    if let Some(more) = rows.len().checked_sub(SUMMARY_ROWS_MAX).filter(|more| *more > 0) {
        writeln!(out, "and {more} smaller ones")?;
    }
    Ok(true)
}

/// Opens a snapshot file, or prints what else it is.
fn open_snapshot(
    path: &Path,
    json: bool,
    out: &mut dyn Write,
) -> io::Result<Option<BufReader<File>>> {
    let Some(mut file) = open(path, json, out)? else { return Ok(None) };
    match other_than(Wanted::Snapshot(Compression::of_name(name_of(path))), &mut file)? {
        Some(what) => {
            complain(path, json, &what, out)?;
            Ok(None)
        }
        None => Ok(Some(file)),
    }
}

/// Rows that are printed for people; JSON has all of them.
const SUMMARY_ROWS_MAX: usize = 50;

/// How the digest in a file compares with its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DigestFound {
    /// There is no digest.
    None,
    /// It equals the tree's.
    Right,
    /// It differs from the tree's, and should not.
    Wrong,
    /// It will equal the tree's when the log is replayed up to its zxid: the snapshot is fuzzy.
    Later,
    /// It is of another version of the algorithm, or of an epoch that ended.
    Other,
}

impl DigestFound {
    fn word(self) -> &'static str {
        match self {
            DigestFound::None => "none",
            DigestFound::Right => "right",
            DigestFound::Wrong => "wrong",
            DigestFound::Later => "later",
            DigestFound::Other => "not comparable",
        }
    }

    fn sentence(self, trailers: &Trailers, tree: i64) -> String {
        let Some(digest) = trailers.digest.filter(|_| self != DigestFound::None) else {
            return "it has no digest".to_owned();
        };
        let (zxid, value) = (digest.zxid, digest.digest);
        match self {
            DigestFound::Right => format!("its digest {value} is that of the tree"),
            DigestFound::Wrong => format!(
                "but its digest {value} is not that of the tree, {tree}: the state was already \
                 wrong when it was written"
            ),
            DigestFound::Later => format!(
                "it is fuzzy: its digest {value} is that of the tree once the log is replayed up \
                 to {zxid}"
            ),
            DigestFound::None | DigestFound::Other => format!(
                "its digest {value} of version {} and zxid {zxid} cannot be compared",
                digest.version
            ),
        }
    }
}

/// A meaningful digest.
// ZooKeeper: DataTree.serializeZxidDigest writes zxid 0 where there is none.
fn said(digest: Option<Digest>) -> Option<Digest> {
    digest.filter(|digest| digest.zxid != Zxid::ZERO)
}

struct Found {
    zxid: Zxid,
    sessions: usize,
    acls: usize,
    tree_digest: i64,
    digest: DigestFound,
    trailers: Trailers,
}

fn examine(
    file: &mut dyn io::Read,
    compression: Compression,
    zxid: Option<Zxid>,
) -> Result<Found, SnapshotError> {
    // The zxid of a renamed file is unknown: then no digest counts as that of a later one.
    let named = zxid.unwrap_or(Zxid::ZERO);
    let options = DatabaseOptions::default();
    let loaded = load(file, compression, named, options, &mut |_, _| ())?;
    let (database, trailers) = (loaded.database, loaded.trailers);
    let zxid = zxid.or(trailers.last_zxid).unwrap_or(Zxid::ZERO);
    let digest = match said(trailers.digest) {
        None => DigestFound::None,
        Some(digest) if digest.version != crate::proto::txn::DIGEST_VERSION => DigestFound::Other,
        Some(digest) if digest.zxid < zxid => DigestFound::Other,
        Some(digest) if digest.digest == database.digest() => DigestFound::Right,
        Some(digest) if digest.zxid > zxid => DigestFound::Later,
        Some(_) => DigestFound::Wrong,
    };
    Ok(Found {
        zxid,
        sessions: database.sessions_count(),
        acls: database.acl_count(),
        tree_digest: database.digest(),
        digest,
        trailers,
    })
}

struct Dump<'a> {
    json: bool,
    out: &'a mut dyn Write,
    /// The first failure to print; nothing is printed after it.
    failure: Option<io::Error>,
}

impl Dump<'_> {
    fn print(&mut self, line: impl std::fmt::Display) {
        if self.failure.is_none() {
            self.failure = writeln!(self.out, "{line}").err();
        }
    }
}

impl Parts for Dump<'_> {
    fn session(&mut self, id: SessionId, timeout_ms: i32) {
        match self.json {
            true => self.print(json!({ "session": id.to_string(), "timeout_ms": timeout_ms })),
            false => self.print(format_args!("session {id} timeout {timeout_ms} ms")),
        }
    }

    fn acl(&mut self, key: AclId, acl: AclVector<'_>) {
        match self.json {
            true => self.print(json!({ "acl": key.0, "entries": txn::acl_object(acl) })),
            false => self.print(format_args!("acl {} {}", key.0, txn::acl(acl))),
        }
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        let path = if path.is_empty() { "/" } else { path };
        let StatPersisted {
            czxid,
            mzxid,
            ctime,
            mtime,
            version,
            cversion,
            aversion,
            ephemeral_owner,
            pzxid,
        } = stat;
        match self.json {
            true => self.print(json!({
                "path": path,
                "data": txn::data(data),
                "acl": acl.0,
                "czxid": czxid.to_string(),
                "mzxid": mzxid.to_string(),
                "pzxid": pzxid.to_string(),
                "ctime_ms": ctime,
                "mtime_ms": mtime,
                "version": version,
                "cversion": cversion,
                "aversion": aversion,
                "ephemeral_owner": SessionId(ephemeral_owner).to_string(),
            })),
            false => self.print(format_args!(
                "{} data {} acl {} czxid {czxid} mzxid {mzxid} pzxid {pzxid} ctime {} mtime {} \
                 version {version} cversion {cversion} aversion {aversion} owner {}",
                text::path(Some(path)),
                text::data(data),
                acl.0,
                text::time(ctime),
                text::time(mtime),
                SessionId(ephemeral_owner)
            )),
        }
        Ok(())
    }

    fn progress(&mut self, _bytes: u64, _nodes: u64) {}
}

fn print_trailers(trailers: &Trailers, json: bool, out: &mut dyn Write) -> io::Result<()> {
    let Trailers { digest, last_zxid, nodes, bytes } = trailers;
    let digest = said(*digest);
    if json {
        let digest = digest.map(|digest| {
            json!({
                "zxid": digest.zxid.to_string(),
                "version": digest.version,
                "value": digest.digest.to_string(),
            })
        });
        let last_zxid = last_zxid.map(|zxid| zxid.to_string());
        let object = json!({
            "nodes": nodes, "bytes": bytes, "digest": digest, "last_zxid": last_zxid
        });
        return writeln!(out, "{object}");
    }
    if let Some(digest) = digest {
        let (zxid, version, value) = (digest.zxid, digest.version, digest.digest);
        writeln!(out, "== digest {value} of zxid {zxid}, version {version}")?;
    } else {
        writeln!(out, "== no digest")?;
    }
    if let Some(zxid) = last_zxid {
        writeln!(out, "== last zxid {zxid}")?;
    }
    writeln!(out, "== {}, {bytes} bytes, every checksum is right", text::nodes(*nodes))
}

/// The figures of one child of the root and the nodes below it.
#[derive(Default)]
struct Part {
    nodes: u64,
    data_bytes: u64,
    path_bytes: u64,
    ephemerals: u64,
}

#[derive(Default)]
struct Summary {
    sessions: u64,
    acls: u64,
    parts: BTreeMap<String, Part>,
}

impl Parts for Summary {
    fn session(&mut self, _id: SessionId, _timeout_ms: i32) {
        self.sessions += 1;
    }

    fn acl(&mut self, _key: AclId, _acl: AclVector<'_>) {
        self.acls += 1;
    }

    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        _acl: AclId,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        let below = match path.get(1..).and_then(|rest| rest.find('/')) {
            Some(end) => &path[..=end],
            None if path.is_empty() => "/",
            None => path,
        };
        if !self.parts.contains_key(below) {
            self.parts.insert(below.to_owned(), Part::default());
        }
        let part = self.parts.get_mut(below).expect("it was just put there");
        part.nodes += 1;
        part.path_bytes += path.len() as u64;
        part.data_bytes += data.map_or(0, <[u8]>::len) as u64;
        part.ephemerals += u64::from(stat.ephemeral_owner > 0);
        Ok(())
    }

    fn progress(&mut self, _bytes: u64, _nodes: u64) {}
}
