//! The connection that prepares: makes the tree of a run, and removes it again.
//!
//! Blocking, with many requests in one write and several operations in each, so that a million nodes
//! take seconds.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::jute::{Jute, begin_frame, end_frame};
use ringkeeper::proto::connect::{ConnectRequest, ConnectResponse};
use ringkeeper::proto::opcode::{CreateMode, OpCode};
use ringkeeper::proto::response::{GetChildrenResponse, MultiHeader, ReplyHeader, xid};

use super::frames::{self, Node, XID_AT};
use super::workload::error_name;

/// A server that answers nothing for so long while a tree is made is taken for dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a server may take until it accepts a session.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Operations of one multi; and bytes, far below `jute.maxbuffer`.
const MULTI_PARTS_MAX: usize = 100;
const MULTI_BYTES_MAX: usize = 256 * 1024;
/// Multis in one write. Their answers fit into a socket's buffer, so that neither side waits for
/// the other.
const MULTIS_AT_ONCE: usize = 8;

/// A session of its own, which must live as long as the tree is being made.
pub struct Control {
    stream: TcpStream,
    server: SocketAddr,
    xid: i32,
}

/// One operation of a multi.
enum Part {
    Create(String),
    Delete(String),
}

impl Control {
    /// Opens a session with one of the servers.
    ///
    /// # Errors
    /// None accepts one, which is tried for 20 seconds.
    pub fn connect(servers: &[SocketAddr]) -> Result<Control, (SocketAddr, String)> {
        let begun = Instant::now();
        for &server in servers.iter().cycle() {
            match Control::connect_to(server) {
                Ok(control) => return Ok(control),
                Err(why) if begun.elapsed() > CONNECT_PATIENCE => return Err((server, why)),
                Err(_) => std::thread::sleep(CONNECT_PAUSE),
            }
        }
        unreachable!("a run has at least one server, and a cycle does not end")
    }

    fn connect_to(server: SocketAddr) -> Result<Control, String> {
        let stream = TcpStream::connect(server).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(SILENCE)).map_err(|error| error.to_string())?;
        let mut control = Control { stream, server, xid: 0 };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: i32::try_from(SILENCE.as_millis()).expect("a minute"),
            session_id: SessionId::NONE,
            password: Some(&[0; 16]),
            read_only: Some(false),
        };
        let mut frame = Vec::new();
        let start = begin_frame(&mut frame);
        request.encode(&mut frame);
        end_frame(&mut frame, start);
        control.send(&frame)?;
        let answer = control.receive()?;
        let response = ConnectResponse::from_bytes(&answer).map_err(|error| error.to_string())?;
        if response.session_id == SessionId::NONE {
            return Err("no session was granted".to_owned());
        }
        Ok(control)
    }

    /// The server it is connected to.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    /// Makes the root of a run, at a path that is free.
    ///
    /// # Errors
    /// The server refuses.
    pub fn make_root(&mut self, random: &mut fastrand::Rng) -> Result<String, String> {
        loop {
            let root = format!("/bench-{:05x}", random.u32(0..1 << 20));
            let body = |body: &mut Vec<u8>| {
                frames::create_body(body, &root, b"", CreateMode::Persistent);
            };
            match self.call(OpCode::Create, body)?.0 {
                0 => return Ok(root),
                code if code == ErrorCode::NodeExists.code() => {}
                code => return Err(format!("create {root}: {}", error_name(code))),
            }
        }
    }

    /// Makes groups.
    ///
    /// # Errors
    /// The server refuses.
    pub fn make_groups(
        &mut self,
        root: &str,
        groups: impl IntoIterator<Item = u32>,
    ) -> Result<(), String> {
        let paths = groups.into_iter().map(|group| Part::Create(frames::group_path(root, group)));
        self.all(paths, b"", &mut |_| {})
    }

    /// Makes leaves, and tells how many of them are there.
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
        let paths = nodes.into_iter().map(|node| Part::Create(frames::leaf_path(root, node)));
        self.all(paths, value, done)
    }

    /// Removes a run's tree, and tells how many nodes of it are gone.
    ///
    /// # Errors
    /// The server refuses, or somebody else made nodes deeper in it.
    pub fn remove(&mut self, root: &str, done: &mut dyn FnMut(usize)) -> Result<(), String> {
        let mut gone = 0;
        for group in self.children(root)? {
            let group = format!("{root}/{group}");
            let leaves = self.children(&group)?;
            let parts = leaves.iter().map(|leaf| Part::Delete(format!("{group}/{leaf}")));
            self.all(parts, b"", &mut |count| done(gone + count))?;
            gone += leaves.len();
            self.delete(&group)?;
        }
        self.delete(root)
    }

    fn delete(&mut self, path: &str) -> Result<(), String> {
        let (code, _) = self.call(OpCode::Delete, |body| frames::delete_body(body, path))?;
        // Gone already, if somebody else removed it or it was ephemeral.
        let gone = [0, ErrorCode::NoNode.code()].contains(&code);
        if gone { Ok(()) } else { Err(format!("delete {path}: {}", error_name(code))) }
    }

    fn children(&mut self, path: &str) -> Result<Vec<String>, String> {
        let (code, body) =
            self.call(OpCode::GetChildren, |body| frames::read_body(body, path, false))?;
        if code == ErrorCode::NoNode.code() {
            return Ok(Vec::new());
        }
        if code != 0 {
            return Err(format!("getChildren {path}: {}", error_name(code)));
        }
        let response = GetChildrenResponse::from_bytes(&body).map_err(|error| error.to_string())?;
        Ok(response.children.iter().flatten().map(str::to_owned).collect())
    }

    /// Ends the session.
    pub fn close(mut self) {
        // The server ends it by itself otherwise.
        let _ = self.call(OpCode::CloseSession, |_| {});
    }

    /// Carries out all parts, many at once; one that fails because it is already so is no failure.
    fn all(
        &mut self,
        parts: impl Iterator<Item = Part>,
        value: &[u8],
        done: &mut dyn FnMut(usize),
    ) -> Result<(), String> {
        let each = (MULTI_BYTES_MAX / (value.len() + 100)).clamp(1, MULTI_PARTS_MAX);
        let mut parts = parts.peekable();
        let mut count = 0;
        while parts.peek().is_some() {
            let mut out = Vec::new();
            let mut batches = Vec::new();
            while batches.len() < MULTIS_AT_ONCE && out.len() < MULTI_BYTES_MAX {
                let batch: Vec<Part> = parts.by_ref().take(each).collect();
                if batch.is_empty() {
                    break;
                }
                count += batch.len();
                self.append_multi(&mut out, &batch, value);
                batches.push(batch);
            }
            self.send(&out)?;
            for batch in &batches {
                let answer = self.receive()?;
                if let Some(code) = multi_error(&answer)? {
                    let path = match &batch[0] {
                        Part::Create(path) | Part::Delete(path) => path,
                    };
                    let which = format!("{} nodes from {path} on", batch.len());
                    return Err(format!("{which}: {}", error_name(code)));
                }
            }
            done(count);
        }
        Ok(())
    }

    fn append_multi(&mut self, out: &mut Vec<u8>, parts: &[Part], value: &[u8]) {
        let start = out.len();
        frames::encode(out, OpCode::Multi, |body| {
            for part in parts {
                let op = match part {
                    Part::Create(_) => OpCode::Create,
                    Part::Delete(_) => OpCode::Delete,
                };
                MultiHeader { op: op.number(), done: false, err: -1 }.encode(body);
                match part {
                    Part::Create(path) => {
                        frames::create_body(body, path, value, CreateMode::Persistent);
                    }
                    Part::Delete(path) => frames::delete_body(body, path),
                }
            }
            MultiHeader::END.encode(body);
        });
        self.number(&mut out[start..]);
    }

    /// One request and its answer: the error code, and what follows the header.
    fn call(
        &mut self,
        op: OpCode,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(i32, Vec<u8>), String> {
        let mut frame = Vec::new();
        frames::encode(&mut frame, op, fill);
        self.number(&mut frame);
        self.send(&frame)?;
        let answer = self.receive()?;
        let header = ReplyHeader::from_bytes(&answer).map_err(|error| error.to_string())?;
        Ok((header.err, answer[frames::REPLY_HEADER_BYTES..].to_vec()))
    }

    fn number(&mut self, frame: &mut [u8]) {
        self.xid = self.xid.wrapping_add(1) & i32::MAX;
        frame[XID_AT..][..4].copy_from_slice(&self.xid.to_be_bytes());
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).map_err(|error| error.to_string())
    }

    /// The next answer that is no event.
    fn receive(&mut self) -> Result<Vec<u8>, String> {
        loop {
            let mut length = [0; 4];
            self.stream.read_exact(&mut length).map_err(|error| error.to_string())?;
            let length = usize::try_from(i32::from_be_bytes(length))
                .map_err(|_| "a frame of negative length".to_owned())?;
            let mut frame = vec![0; length];
            self.stream.read_exact(&mut frame).map_err(|error| error.to_string())?;
            if frame.first_chunk() != Some(&xid::NOTIFICATION.to_be_bytes()) {
                return Ok(frame);
            }
        }
    }
}

/// The error of a multi: its header's, or that of the first part that says more than that another
/// one failed.
fn multi_error(answer: &[u8]) -> Result<Option<i32>, String> {
    let header = ReplyHeader::from_bytes(answer).map_err(|error| error.to_string())?;
    if header.err != 0 {
        return Ok(Some(header.err));
    }
    let body = &answer[frames::REPLY_HEADER_BYTES..];
    let first = MultiHeader::from_bytes(body).map_err(|error| error.to_string())?;
    if first.op != OpCode::Error.number() || first.done {
        return Ok(None);
    }
    // All parts are errors then: a header of 9 bytes and the code again, each.
    const PART_BYTES: usize = 9 + 4;
    let codes = body.chunks_exact(PART_BYTES).filter_map(|part| MultiHeader::from_bytes(part).ok());
    let telling = codes
        .map(|part| part.err)
        .find(|&code| code != 0 && code != ErrorCode::RuntimeInconsistency.code());
    Ok(Some(telling.unwrap_or(first.err)))
}
