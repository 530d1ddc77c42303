//! setWatches: the watches of a client that lost its connection, and the events that it missed.

use super::Reader;
use crate::database::Database;
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::jute::Vector;
use crate::proto::OpCode;
use crate::proto::event::{EventType, encode_event_frame};
use crate::proto::request::SetWatchesRequest;
use crate::watch::{WatchKind, WatchMode};

/// A part of the paths of a `setWatches`, which may have as many as fit into a frame: they are counted through all of
/// its lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// So many were carried out before.
    pub done: usize,
    /// So many more may be now.
    pub at_most: usize,
    /// The part ends behind an event with which its events have so many bytes.
    pub event_bytes_max: usize,
}

impl Part {
    /// All that is left behind so many.
    pub const fn rest(done: usize) -> Part {
        Part { done, at_most: usize::MAX, event_bytes_max: usize::MAX }
    }
}

/// What a part has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartDone {
    /// Paths that were carried out, those before an error.
    pub paths: usize,
    /// Events that were appended.
    pub events: u64,
}

/// Sets some of the watches of a client that lost its connection, and appends an event frame for each
/// that would have fired meanwhile. Returns what it did, and whether nothing is left behind this part.
///
/// # Errors
/// A null path or vector where ZooKeeper needs one: watches set until then stay set.
pub fn set_watches(
    database: &mut Database,
    reader: &Reader<'_>,
    op: OpCode,
    request: &SetWatchesRequest<'_>,
    part: Part,
    out: &mut Vec<u8>,
) -> (PartDone, Result<bool, ErrorCode>) {
    let mut did = PartDone::default();
    let result = try_set_watches(database, reader, op, request, part, out, &mut did);
    (did, result)
}

/// Which list of a `setWatches` a path stands in.
#[derive(Clone, Copy)]
enum Again {
    Data,
    Exist,
    Child,
    Mode(WatchMode),
}

fn try_set_watches(
    database: &mut Database,
    reader: &Reader<'_>,
    op: OpCode,
    request: &SetWatchesRequest<'_>,
    part: Part,
    out: &mut Vec<u8>,
    did: &mut PartDone,
) -> Result<bool, ErrorCode> {
    let from = out.len();
    let lists = [
        (request.data, Again::Data),
        (request.exist, Again::Exist),
        (request.child, Again::Child),
        (request.persistent, Again::Mode(WatchMode::Persistent)),
        (request.persistent_recursive, Again::Mode(WatchMode::PersistentRecursive)),
    ];
    let count = if op == OpCode::SetWatches2 { 5 } else { 3 };
    let mut done = part.done;
    for (list, again) in lists.into_iter().take(count) {
        for path in paths(list)? {
            let path = path?;
            if done > 0 {
                done -= 1;
                continue;
            }
            if did.paths >= part.at_most || out.len() - from >= part.event_bytes_max {
                return Ok(false);
            }
            // ZooKeeper: an event goes out only to who may read the node; the events made up here come
            // without an ACL and go to everybody.
            if let Some(event) = set_again(database, reader, request.relative_zxid, again, path)? {
                encode_event_frame(event, path, Zxid::NONE, out);
                did.events += 1;
            }
            did.paths += 1;
        }
    }
    Ok(true)
}

/// Sets one watch again, or says which event its client has missed.
fn set_again(
    database: &mut Database,
    reader: &Reader<'_>,
    since: Zxid,
    again: Again,
    path: &str,
) -> Result<Option<EventType>, ErrorCode> {
    let stat = match again {
        // It fires for what is to come, whatever is there now.
        Again::Mode(_) => None,
        Again::Data | Again::Exist | Again::Child => {
            database.node(path).map(|node| node.stat_persisted())
        }
    };
    let kind = match (again, stat) {
        (Again::Data | Again::Child, None) => return Ok(Some(EventType::NodeDeleted)),
        (Again::Data, Some(stat)) if stat.mzxid > since => {
            return Ok(Some(EventType::NodeDataChanged));
        }
        (Again::Child, Some(stat)) if stat.pzxid > since => {
            return Ok(Some(EventType::NodeChildrenChanged));
        }
        (Again::Exist, Some(_)) => return Ok(Some(EventType::NodeCreated)),
        (Again::Data, Some(_)) | (Again::Exist, None) => WatchKind::Data,
        (Again::Child, Some(_)) => WatchKind::Child,
        (Again::Mode(mode), _) => {
            database.watches_mut().add_mode(path, reader.conn, mode)?;
            return Ok(None);
        }
    };
    database.watches_mut().add(path, reader.conn, kind)?;
    Ok(None)
}

/// The paths of a list that may not be null, nor any of its items.
fn paths<'a>(
    list: Vector<'a, Option<&'a str>>,
) -> Result<impl Iterator<Item = Result<&'a str, ErrorCode>>, ErrorCode> {
    if list.is_null() {
        return Err(ErrorCode::MarshallingError);
    }
    Ok(list.iter().map(|path| path.ok_or(ErrorCode::MarshallingError)))
}
