//! Requests that change nothing. Their answers come from the tree, the watches and the connection
//! (`FinalRequestProcessor`).
//!
//! This module writes the answer straight into the connection's buffer. An operation that fails may have written a
//! part of its answer; [`answer`] says what the caller does with it. Setting the watch is an operation's last step:
//! so nobody watches a node without permission, or, except by exists, a node that is missing.
//!
//! A read is answered from this server's own tree, and asks no other server: it may be behind the leader, but never
//! behind what the same session has written or seen. That it waits for earlier writes of its session is the work of
//! `replica::queue`, before this module. The header of the reply, and its zxid, are written by `replica::replies`.

mod set_watches;

use crate::acl::{AclList, Identity, Schemes};
use crate::database::{Database, NodeRef};
use crate::error::ErrorCode;
use crate::id::{ConnectionId, SessionId};
use crate::jute::{Bounded, Decoder, Jute};
use crate::limits;
use crate::planted::{self, PlantedBug};
use crate::proto::data::perms;
use crate::proto::request::{MultiOp, PathKind, PathRequest, PathWatch, RequestBody};
use crate::proto::response::{ClientInfo, MultiHeader};
use crate::proto::{AclEntry, Id, OpCode};
use crate::watch::{WatchKind, WatchMode, WatcherType, WatchesFull};

pub use set_watches::{Part, PartDone, set_watches};

/// The client that reads.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// Its connection, to which watches belong.
    pub conn: ConnectionId,
    /// Its session, whose ephemeral nodes getEphemerals lists.
    pub session: SessionId,
    /// Its identities.
    pub identities: &'a [Identity],
    /// Whether no permission is checked.
    pub skip_acl: bool,
    /// The schemes of identities that exist.
    pub schemes: &'a Schemes,
    /// Longest body of a reply, in bytes: a frame's length has 31 bits, and a node may have any number of children with
    /// long names.
    pub reply_bytes_max: usize,
    /// Longest reply to one multiRead: a small request can name any number of large nodes.
    pub multi_read_bytes_max: usize,
    /// A planted bug.
    pub planted: Option<PlantedBug>,
}

impl Reader<'_> {
    /// # Errors
    /// `NoAuth` if the client has none of the `wanted` permissions on the node.
    fn check(&self, node: &NodeRef<'_>, wanted: i32) -> Result<(), ErrorCode> {
        if may(node.acl_list(), wanted, self.identities, self.schemes, self.skip_acl) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }
}

/// Whether an ACL gives one of these identities one of the wanted permissions (`ZooKeeperServer.checkACL`).
#[inline]
pub fn may(
    acl: &AclList,
    wanted: i32,
    identities: &[Identity],
    schemes: &Schemes,
    skip_acl: bool,
) -> bool {
    skip_acl || acl.permits(wanted, identities, schemes)
}

/// Whether this module answers `op`. Sync is among them: where it reaches [`answer`], what it waits for has happened.
#[inline]
pub const fn is_read(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::AddWatch
            | OpCode::WhoAmI
    )
}

/// Executes `op` and appends the body of its reply.
///
/// ```text
/// exists                Stat, 68 bytes
/// getData               data: int len (-1 for null), bytes | Stat
/// getChildren           int count | ( name: int len, bytes )*
/// getChildren2          the same | Stat
/// getACL                int count | ( int perms | scheme | id )* | Stat
/// getAllChildrenNumber  int
/// getEphemerals         int count | ( path )*
/// sync                  path, as the client sent it
/// addWatch              int 0
/// whoAmI                int count | ( scheme | user )*
/// multiRead             ( MultiHeader, 9 bytes | result )* MultiHeader(-1, true, -1)
/// ping, checkWatches, removeWatches   nothing
/// ```
///
/// [`set_watches()`] executes setWatches, whose events precede its reply.
///
/// # Errors
/// The code for the reply's header. The caller must cut off the bytes that were appended, with one exception: a
/// multiRead that fails with `MarshallingError` shows the results so far, as in ZooKeeper.
///
/// # Panics
/// If [`is_read`] says no to `op`, or it is setWatches or setWatches2.
pub fn answer(
    database: &mut Database,
    reader: &Reader<'_>,
    op: OpCode,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    assert!(is_read(op), "{op:?} changes the tree");
    let bytes_before = out.len();
    let bytes_max = match op {
        // The bound is on the results; the header that ends them comes on top.
        OpCode::MultiRead => reader
            .reply_bytes_max
            .min(reader.multi_read_bytes_max.saturating_add(MultiHeader::BYTES)),
        _ => reader.reply_bytes_max,
    };
    let mut bounded = Bounded::new(out, bytes_max);
    answer_within(database, reader, op, body, &mut bounded)?;
    // ZooKeeper: a reply that no array can hold causes an OutOfMemoryError, which ends the server.
    bounded.finish().map_err(|_| ErrorCode::MarshallingError)?;
    assert!(out.len() >= bytes_before, "an answer is appended");
    assert!(out.len() - bytes_before <= bytes_max, "an answer keeps to its bound");
    Ok(())
}

/// [`answer`] without its bounds: `out` says when it is over, and takes no more bytes then.
fn answer_within(
    database: &mut Database,
    reader: &Reader<'_>,
    op: OpCode,
    body: &[u8],
    out: &mut Bounded<'_>,
) -> Result<(), ErrorCode> {
    let input = &mut Decoder::new(body);
    match op {
        OpCode::Exists => exists(database, reader, &decode(input)?, out),
        OpCode::GetData => get_data(database, reader, &decode(input)?, out),
        OpCode::GetChildren => get_children(database, reader, &decode(input)?, false, out),
        OpCode::GetChildren2 => get_children(database, reader, &decode(input)?, true, out),
        OpCode::GetAcl => get_acl(database, reader, &decode(input)?, out),
        OpCode::GetAllChildrenNumber => {
            let PathRequest { path } = decode(input)?;
            let node = existing(database, path)?;
            reader.check(&node, perms::READ)?;
            // ZooKeeper: DataTree's map has the root twice, as "" and as "/", and the second counts as a node below "".
            let count = node.descendants_count() + usize::from(path == Some(""));
            i32::try_from(count).unwrap_or(i32::MAX).encode(out);
            Ok(())
        }
        OpCode::GetEphemerals => {
            let PathRequest { path } = decode(input)?;
            get_ephemerals(database, reader, path, out);
            Ok(())
        }
        // ZooKeeper: the path is neither checked nor used, only returned.
        OpCode::Sync => {
            let request: PathRequest<'_> = decode(input)?;
            request.encode(out);
            Ok(())
        }
        OpCode::Ping => Ok(()),
        OpCode::CheckWatches => {
            let (path, wanted) = watcher_request(decode(input)?)?;
            if database.watches().contains(path, reader.conn, wanted) {
                Ok(())
            } else {
                Err(ErrorCode::NoWatcher)
            }
        }
        OpCode::RemoveWatches => {
            let (path, wanted) = watcher_request(decode(input)?)?;
            if database.watches_mut().remove(path, reader.conn, wanted) {
                Ok(())
            } else {
                Err(ErrorCode::NoWatcher)
            }
        }
        OpCode::AddWatch => {
            let PathKind { path, kind } = decode(input)?;
            let path = path.ok_or(ErrorCode::MarshallingError)?;
            let mode = match kind {
                0 => WatchMode::Persistent,
                1 => WatchMode::PersistentRecursive,
                _ => return Err(ErrorCode::MarshallingError),
            };
            database.watches_mut().add_mode(path, reader.conn, mode)?;
            // ZooKeeper: the body is an ErrorResponse with the number 0.
            0i32.encode(out);
            Ok(())
        }
        OpCode::WhoAmI => {
            who_am_i(reader, out);
            Ok(())
        }
        OpCode::MultiRead => {
            let Ok(Some(RequestBody::Multi(parts))) = RequestBody::decode(op, body) else {
                return Err(ErrorCode::MarshallingError);
            };
            multi_read(database, reader, &parts, out)
        }
        _ => unreachable!("{op:?} is not answered from the tree"),
    }
}

// ZooKeeper: has no bound on watches. Its clients know this code as that of a quota, which tells them to have fewer.
impl From<WatchesFull> for ErrorCode {
    fn from(_: WatchesFull) -> Self {
        ErrorCode::QuotaExceeded
    }
}

/// # Errors
/// `MarshallingError` if the body is not such a record. Bytes after the record are ignored, as in ZooKeeper.
fn decode<'a, T: Jute<'a>>(input: &mut Decoder<'a>) -> Result<T, ErrorCode> {
    T::decode(input).map_err(|_| ErrorCode::MarshallingError)
}

/// The node at a path.
///
/// # Errors
/// `NoNode` if there is none, `MarshallingError` without a path.
// ZooKeeper: a null path causes a NullPointerException, and the client gets a marshalling error.
fn existing<'d>(database: &'d Database, path: Option<&str>) -> Result<NodeRef<'d>, ErrorCode> {
    database.node(path.ok_or(ErrorCode::MarshallingError)?).ok_or(ErrorCode::NoNode)
}

/// exists: the Stat of a node. It needs READ if the node exists (ZOOKEEPER-2590). It sets a watch also if there is no
/// node, which then fires when the node is created.
fn exists(
    database: &mut Database,
    reader: &Reader<'_>,
    request: &PathWatch<'_>,
    out: &mut Bounded<'_>,
) -> Result<(), ErrorCode> {
    let path = request.path.ok_or(ErrorCode::MarshallingError)?;
    if path.as_bytes().contains(&0) {
        return Err(ErrorCode::BadArguments);
    }
    // The watch is set in both cases, and the Stat is written before: a watch that finds no room leaves an answer
    // that the caller cuts off.
    let found = match database.node(path) {
        Some(node) => {
            reader.check(&node, perms::READ)?;
            node.stat().encode(out);
            Ok(())
        }
        None => Err(ErrorCode::NoNode),
    };
    if request.watch {
        database.watches_mut().add(path, reader.conn, WatchKind::Data)?;
    }
    found
}

/// getData: data and Stat, with READ.
fn get_data(
    database: &mut Database,
    reader: &Reader<'_>,
    request: &PathWatch<'_>,
    out: &mut Bounded<'_>,
) -> Result<(), ErrorCode> {
    let node = existing(database, request.path)?;
    reader.check(&node, perms::READ)?;
    node.data().encode(out);
    node.stat().encode(out);
    if request.watch {
        let path = request.path.expect("existing refused a null path");
        database.watches_mut().add(path, reader.conn, WatchKind::Data)?;
    }
    Ok(())
}

/// getChildren, and getChildren2 if `with_stat`: the names, without their paths, in the order of the tree, which
/// clients must not rely on. The Stat is that of the parent.
fn get_children(
    database: &mut Database,
    reader: &Reader<'_>,
    request: &PathWatch<'_>,
    with_stat: bool,
    out: &mut Bounded<'_>,
) -> Result<(), ErrorCode> {
    let node = existing(database, request.path)?;
    reader.check(&node, perms::READ)?;
    // The count is written before the names are walked, and the assert below compares the two.
    let count = i32::try_from(node.num_children()).map_err(|_| ErrorCode::MarshallingError)?;
    count.encode(out);
    let mut names = 0;
    for name in node.children() {
        Some(name).encode(out);
        names += 1;
        if out.is_over() {
            return Err(ErrorCode::MarshallingError);
        }
    }
    assert!(names == count, "a list has as many names as it says: {names}, not {count}");
    if with_stat {
        node.stat().encode(out);
    }
    if request.watch {
        let path = request.path.expect("existing refused a null path");
        database.watches_mut().add(path, reader.conn, WatchKind::Child)?;
    }
    Ok(())
}

/// getACL: the list and the Stat, with READ or ADMIN. Without ADMIN, the hash in each `digest` name is replaced by `x`.
fn get_acl(
    database: &Database,
    reader: &Reader<'_>,
    request: &PathRequest<'_>,
    out: &mut Bounded<'_>,
) -> Result<(), ErrorCode> {
    let node = existing(database, request.path)?;
    reader.check(&node, perms::READ | perms::ADMIN)?;
    let acl = node.acl();
    if reader.check(&node, perms::ADMIN).is_ok() {
        acl.encode(out);
    } else {
        // A client that cannot change the list does not see the hashes of passwords in it.
        i32::try_from(acl.len()).map_err(|_| ErrorCode::MarshallingError)?.encode(out);
        for entry in acl.iter() {
            // ZooKeeper: FinalRequestProcessor replaces `:.*` by `:x`; a name without a colon stays as it is.
            match entry.id {
                Id { scheme: Some("digest"), id: Some(id) } if id.contains(':') => {
                    let user = id.split_once(':').map_or(id, |(user, _)| user);
                    // Cut at the first colon: the user is shown, the rest is not.
                    let masked = format!("{user}:x");
                    let id = Id { scheme: Some("digest"), id: Some(&masked) };
                    AclEntry { perms: entry.perms, id }.encode(out);
                }
                _ => entry.encode(out),
            }
        }
    }
    node.stat().encode(out);
    Ok(())
}

/// getEphemerals: the paths of the client's own ephemeral nodes that begin with a prefix.
// ZooKeeper: the prefix consists of characters, not of path components, and needs no permission.
fn get_ephemerals(
    database: &Database,
    reader: &Reader<'_>,
    prefix: Option<&str>,
    out: &mut Bounded<'_>,
) {
    let prefix = prefix.unwrap_or_default();
    let all = matches!(prefix.trim(), "" | "/");
    // The count is known only after the walk: a zero keeps its place.
    let count_at = out.len();
    0i32.encode(out);
    let mut count = 0i32;
    for path in database.ephemerals(reader.session) {
        if all || path.starts_with(prefix) {
            Some(path).encode(out);
            count += 1;
        }
        if out.is_over() {
            return;
        }
    }
    out.set_i32(count_at, count);
}

/// Path and type of a checkWatches or removeWatches.
///
/// # Errors
/// `MarshallingError` for a type that is no `WatcherType`, `NoWatcher` without a path.
fn watcher_request(request: PathKind<'_>) -> Result<(&str, WatcherType), ErrorCode> {
    let wanted = WatcherType::from_i32(request.kind).ok_or(ErrorCode::MarshallingError)?;
    // ZooKeeper: no watch has a null path.
    Ok((request.path.ok_or(ErrorCode::NoWatcher)?, wanted))
}

/// whoAmI: scheme and user of each identity of the connection, without the hashes of passwords (`ClientInfo`).
fn who_am_i(reader: &Reader<'_>, out: &mut Bounded<'_>) {
    let count = i32::try_from(reader.identities.len()).expect("a connection has few identities");
    count.encode(out);
    for identity in reader.identities {
        // ZooKeeper: AuthUtil.getUser knows a user by its provider alone.
        let user = match &*identity.scheme {
            "sasl" if !reader.schemes.sasl => "",
            _ => identity.user_name(),
        };
        ClientInfo { auth_scheme: Some(&identity.scheme), user: Some(user) }.encode(out);
    }
}

/// multiRead: getData and getChildren of several nodes, each with a result or an error of its own, while the reply's
/// header says 0.
///
/// # Errors
/// `BadArguments` if it asks for more names than [`limits::MULTI_READ_NAMES_MAX`], or if the reply is longer than its
/// bound: both are ours. `MarshallingError` for a part without a path or of another kind; the results so far are then
/// in `out`, with the header that ends them.
fn multi_read(
    database: &mut Database,
    reader: &Reader<'_>,
    parts: &[MultiOp<'_>],
    out: &mut Bounded<'_>,
) -> Result<(), ErrorCode> {
    // For the planted bug that asks no permission; otherwise a copy like the original.
    let mut unchecked = *reader;
    unchecked.skip_acl |= planted::is(reader.planted, PlantedBug::MultiReadUnchecked);
    let reader = &unchecked;
    let mut has_failed = false;
    let mut names = 0;
    for part in parts {
        // Counted before any name is written: the walk over the names is what takes time.
        if let MultiOp::GetChildren(request) = part {
            let node = request.path.and_then(|path| database.node(path));
            names += node.map_or(0, |node| node.num_children());
            if names > limits::MULTI_READ_NAMES_MAX {
                return Err(ErrorCode::BadArguments);
            }
        }
        // A part that fails leaves nothing but its error.
        let start = out.len();
        MultiHeader { op: part.op().number(), done: false, err: 0 }.encode(out);
        assert!(out.is_over() || out.len() > start, "a result begins with its header");
        // ZooKeeper: the decoder of the parts drops their watch flags.
        let result = match part {
            _ if has_failed && planted::is(reader.planted, PlantedBug::MultiReadStops) => {
                Err(ErrorCode::RuntimeInconsistency)
            }
            MultiOp::GetData(request) => {
                get_data(database, reader, &PathWatch { watch: false, ..*request }, out)
            }
            MultiOp::GetChildren(request) => {
                get_children(database, reader, &PathWatch { watch: false, ..*request }, false, out)
            }
            MultiOp::Create(..)
            | MultiOp::CreateTtl(_)
            | MultiOp::Delete(_)
            | MultiOp::SetData(_)
            | MultiOp::Check(_) => Err(ErrorCode::MarshallingError),
        };
        if out.is_over() {
            return Err(ErrorCode::BadArguments);
        }
        match result {
            Ok(()) => {}
            // ZooKeeper: any exception but a KeeperException fails the whole request, and the results so far follow
            // the error.
            Err(ErrorCode::MarshallingError) => {
                out.truncate(start);
                MultiHeader::END.encode(out);
                return Err(ErrorCode::MarshallingError);
            }
            Err(error) => {
                has_failed = true;
                out.truncate(start);
                MultiHeader::error(error).encode(out);
                error.code().encode(out);
            }
        }
        if out.is_over() {
            return Err(ErrorCode::BadArguments);
        }
    }
    MultiHeader::END.encode(out);
    if out.is_over() { Err(ErrorCode::BadArguments) } else { Ok(()) }
}
