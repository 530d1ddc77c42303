//! setWatches: a client that lost its connection sets its watches again, and gets the events that it missed.
//!
//! ```text
//! request   long relativeZxid | ( int count | paths )*: data, exist, child, and for setWatches2 persistent,
//!           persistentRecursive
//! events    one frame for each watch that would have fired after relativeZxid, in the order of the request
//! ```
//! relativeZxid is the last zxid that the client has seen. The catch-up rules are `DataTree.setWatches`: a node in
//! `data` or `child` that is missing was deleted; an mzxid (data) or pzxid (child) above relativeZxid was a change; a
//! node in `exist` that is there was created. A watch that fired is not set again.

use super::Reader;
use crate::database::Database;
use crate::error::ErrorCode;
use crate::id::Zxid;
use crate::jute::Vector;
use crate::proto::OpCode;
use crate::proto::event::{EventType, encode_event_frame};
use crate::proto::request::SetWatchesRequest;
use crate::watch::{WatchKind, WatchMode};

/// A part of the paths of a `setWatches`, which may have as many paths as fit into a frame. The paths are counted
/// through all lists of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// How many paths were handled before.
    pub done: usize,
    /// How many more may be handled now.
    pub at_most: usize,
    /// The part ends with the event with which its events reach this many bytes.
    pub event_bytes_max: usize,
}

impl Part {
    /// All paths after the first `done`.
    pub const fn rest(done: usize) -> Part {
        Part { done, at_most: usize::MAX, event_bytes_max: usize::MAX }
    }
}

/// How much was done in a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartDone {
    /// Paths that were handled; with an error, those before it.
    pub paths: usize,
    /// Events that were appended.
    pub events: u64,
}

/// Sets some of the watches of a client that lost its connection, and appends an event frame for each watch that would
/// have fired meanwhile. Returns how much was done, and whether no path is left after this part.
///
/// # Errors
/// A path or a vector is null, and ZooKeeper needs one. Watches that were set before it stay set.
pub fn set_watches(
    database: &mut Database,
    reader: &Reader<'_>,
    op: OpCode,
    request: &SetWatchesRequest<'_>,
    part: Part,
    out: &mut Vec<u8>,
) -> (PartDone, Result<bool, ErrorCode>) {
    let bytes_before = out.len();
    let mut did = PartDone::default();
    let result = try_set_watches(database, reader, op, request, part, out, &mut did);
    assert!(did.paths <= part.at_most, "a part has a bound");
    assert!(did.events <= did.paths as u64, "a path has at most one event");
    assert!((out.len() > bytes_before) == (did.events > 0), "events are appended, nothing else");
    (did, result)
}

/// The list of a `setWatches` that contains a path.
#[derive(Clone, Copy)]
enum Again {
    /// Watches on data, of nodes that the client has read.
    Data,
    /// Watches on nodes that were missing.
    Exist,
    /// Watches on children.
    Child,
    /// Watches of a mode that fires more than once.
    Mode(WatchMode),
}

/// [`set_watches()`], which checks what this returns. It walks all lists from their beginning and skips the paths
/// that earlier parts have handled, because nothing keeps a position in the request between two parts.
///
/// # Errors
/// As of [`set_watches()`].
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
    // setWatches has only the first three lists; the others are null in its request, which would be an error.
    let count = if op == OpCode::SetWatches2 { 5 } else { 3 };
    let mut done = part.done;
    for (list, again) in lists.into_iter().take(count) {
        for path in paths(list)? {
            let path = path?;
            // An earlier part has handled this path.
            if done > 0 {
                done -= 1;
                continue;
            }
            if did.paths >= part.at_most || out.len() - from >= part.event_bytes_max {
                return Ok(false);
            }
            // ZooKeeper: a client gets an event only with permission to read the node. The events that are made here
            // have no ACL, and every client gets them.
            if let Some(event) = set_again(database, reader, request.relative_zxid, again, path)? {
                encode_event_frame(event, path, Zxid::NONE, out);
                did.events += 1;
            }
            did.paths += 1;
        }
    }
    Ok(true)
}

/// Sets one watch again, or returns the event that its client has missed.
fn set_again(
    database: &mut Database,
    reader: &Reader<'_>,
    since: Zxid,
    again: Again,
    path: &str,
) -> Result<Option<EventType>, ErrorCode> {
    let stat = match again {
        // Such a watch fires for future changes, whatever the tree contains now.
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

/// The paths of a list.
///
/// # Errors
/// `MarshallingError` if the list or one of its paths is null.
fn paths<'a>(
    list: Vector<'a, Option<&'a str>>,
) -> Result<impl Iterator<Item = Result<&'a str, ErrorCode>>, ErrorCode> {
    if list.is_null() {
        return Err(ErrorCode::MarshallingError);
    }
    Ok(list.iter().map(|path| path.ok_or(ErrorCode::MarshallingError)))
}
