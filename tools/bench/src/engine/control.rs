//! The connection that prepares: makes the tree of a run, and removes it again.
//!
//! The connection blocks. It sends many requests in one write, with several operations in each, so that a million
//! nodes take seconds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::Jute;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::response::{GetChildrenResponse, MultiHeader};
use ringkeeper_rawclient::{Body, Connection, OPEN_ACL, Reply, Session, SessionError};

use super::frames::{self, Node};
use super::workload::error_name;

/// A server that does not answer for this long, while the tree is made, is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);
const SILENCE_MS: i32 = 60_000;
/// How long a server may take until it accepts a session.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// The most operations of one multi, and the most bytes, far below `jute.maxbuffer`.
const MULTI_PARTS_MAX: usize = 100;
const MULTI_BYTES_MAX: usize = 256 * 1024;
/// Multis in one write. Their answers fit into a socket's buffer, so that neither side waits for
/// the other.
const MULTIS_AT_ONCE: usize = 8;

/// A session of its own, which must live while the tree is made.
pub struct Control {
    session: Session,
}

impl Control {
    /// Opens a session with one of the servers, and says which.
    ///
    /// # Errors
    /// None accepts one, which is tried for 20 seconds.
    pub fn connect(servers: &[SocketAddr]) -> Result<(Control, SocketAddr), String> {
        let begun = Instant::now();
        for &server in servers.iter().cycle() {
            let opened = Connection::open_within(server, SILENCE).and_then(|connection| {
                Session::greet(connection, SILENCE_MS, SessionId::NONE, [0; 16], Zxid::ZERO, false)
            });
            match opened {
                Ok(session) => return Ok((Control { session }, server)),
                Err(error) if begun.elapsed() > CONNECT_PATIENCE => {
                    return Err(format!("{server}: {error}"));
                }
                Err(_) => std::thread::sleep(CONNECT_PAUSE),
            }
        }
        unreachable!("a run has at least one server, and a cycle does not end")
    }

    /// Makes the root of a run, at a path that is free.
    ///
    /// # Errors
    /// The server refuses.
    pub fn make_root(&mut self) -> Result<String, String> {
        loop {
            let root = format!("/bench-{:05x}", fastrand::u32(0..1 << 20));
            let create = Body::create(&root, Some(b""), OPEN_ACL, 0);
            match self.session.call(OpCode::Create, &create) {
                Ok(_) => return Ok(root),
                Err(error) if error.is(ErrorCode::NodeExists) => {}
                Err(error) => return Err(format!("create {root}: {}", in_words(&error))),
            }
        }
    }

    /// Creates groups, the parents of leaves.
    ///
    /// # Errors
    /// The server refuses.
    pub fn make_groups(
        &mut self,
        root: &str,
        groups: impl IntoIterator<Item = u32>,
    ) -> Result<(), String> {
        let paths = groups.into_iter().map(|group| frames::group_path(root, group));
        let create = |path: &str| Body::create(path, Some(b""), OPEN_ACL, 0);
        self.all(OpCode::Create, paths, create, &mut |_| {})
    }

    /// Creates leaves, and reports how many of them exist.
    ///
    /// # Errors
    /// The server refuses.
    pub fn make_leaves(
        &mut self,
        root: &str,
        nodes: impl IntoIterator<Item = Node>,
        value: &[u8],
        done: &mut dyn FnMut(usize),
    ) -> Result<(), String> {
        let paths = nodes.into_iter().map(|node| frames::leaf_path(root, node));
        let create = |path: &str| Body::create(path, Some(value), OPEN_ACL, 0);
        self.all(OpCode::Create, paths, create, done)
    }

    /// Removes a run's tree.
    ///
    /// # Errors
    /// The server refuses, or somebody else made nodes deeper in it.
    pub fn remove(&mut self, root: &str) -> Result<(), String> {
        for group in self.children(root)? {
            let group = format!("{root}/{group}");
            let leaves = self.children(&group)?;
            let paths = leaves.iter().map(|leaf| format!("{group}/{leaf}"));
            let delete = |path: &str| Body::path_version(path, -1);
            self.all(OpCode::Delete, paths, delete, &mut |_| {})?;
            self.delete(&group)?;
        }
        self.delete(root)
    }

    /// Ends the session.
    pub fn close(self) {
        // If this fails, the server ends the session by itself.
        let _ = self.session.close();
    }

    fn delete(&mut self, path: &str) -> Result<(), String> {
        match self.session.delete(path, -1) {
            Ok(()) => Ok(()),
            // The node may be gone already, because somebody else removed it or it was ephemeral.
            Err(error) if error.is(ErrorCode::NoNode) => Ok(()),
            Err(error) => Err(format!("delete {path}: {}", in_words(&error))),
        }
    }

    fn children(&mut self, path: &str) -> Result<Vec<String>, String> {
        let reply = match self.session.call(OpCode::GetChildren, &Body::path_watch(path, false)) {
            Ok(reply) => reply,
            Err(error) if error.is(ErrorCode::NoNode) => return Ok(Vec::new()),
            Err(error) => return Err(format!("getChildren {path}: {}", in_words(&error))),
        };
        let list = GetChildrenResponse::from_bytes(&reply.body)
            .map_err(|error| format!("getChildren {path}: {error}"))?;
        Ok(list.children.iter().flatten().map(str::to_owned).collect())
    }

    /// Does the same with all these nodes, many at once, and reports how many are done.
    fn all(
        &mut self,
        op: OpCode,
        paths: impl Iterator<Item = String>,
        body: impl Fn(&str) -> Body,
        done: &mut dyn FnMut(usize),
    ) -> Result<(), String> {
        let each = (MULTI_BYTES_MAX / (body("").bytes().len() + 100)).clamp(1, MULTI_PARTS_MAX);
        let mut paths = paths.peekable();
        let mut count = 0;
        while paths.peek().is_some() {
            let (mut out, mut firsts) = (Vec::new(), Vec::new());
            while firsts.len() < MULTIS_AT_ONCE
                && out.len() < MULTI_BYTES_MAX
                && let Some(first) = paths.peek().cloned()
            {
                let mut multi = Body::new();
                for path in paths.by_ref().take(each) {
                    multi = multi.multi_op(op.number(), &body(&path));
                    count += 1;
                }
                self.session.queue(OpCode::Multi, &multi.multi_end(), &mut out);
                firsts.push(first);
            }
            self.session.connection().send_raw(&out).map_err(|error| error.to_string())?;
            for first in firsts {
                let reply = self.session.receive().map_err(|error| in_words(&error))?;
                if let Some(code) = multi_error(&reply) {
                    return Err(format!("nodes from {first} on: {}", error_name(code)));
                }
            }
            done(count);
        }
        Ok(())
    }
}

fn in_words(error: &SessionError) -> String {
    match error {
        SessionError::Refused(code) => error_name(*code).to_owned(),
        SessionError::Closed => "the server closed the connection".to_owned(),
        SessionError::Silence => format!("no answer for {} s", SILENCE.as_secs()),
    }
}

/// The error of a multi: that of the header, or that of the first part that failed by itself.
fn multi_error(reply: &Reply) -> Option<i32> {
    // If one part fails, every part is an error: a header of 9 bytes and the code again.
    const PART_BYTES: usize = 9 + 4;
    if reply.header.err != 0 {
        return Some(reply.header.err);
    }
    let parts = reply.body.chunks_exact(PART_BYTES);
    let mut parts = parts.filter_map(|part| MultiHeader::from_bytes(part).ok());
    let first = parts.next().filter(|part| part.op == OpCode::Error.number() && !part.done)?;
    let telling = std::iter::once(&first).map(|part| part.err).chain(parts.map(|part| part.err));
    let mut telling =
        telling.filter(|&code| code != 0 && code != ErrorCode::RuntimeInconsistency.code());
    Some(telling.next().unwrap_or(first.err))
}
