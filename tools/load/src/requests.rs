//! The requests of one session: frames made once and changed in place.

use clap::ValueEnum;
use ringkeeper::jute::Jute;
use ringkeeper::proto::data::{AclEntry, Id, perms};
use ringkeeper::proto::opcode::{CreateMode, OpCode};
use ringkeeper::proto::request::RequestHeader;

const XID_AT: usize = 4;
/// A header and the length of a path come before the path.
const PATH_AT: usize = 4 + 8 + 4;
const DIGITS: usize = 10;
const READS_PER_WRITE: u32 = 9;

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Work {
    /// setData of the session's own node.
    Set,
    /// create of ever new nodes below the session's own.
    Create,
    /// getData of the session's own node.
    Get,
    /// Nine getData to one setData.
    Mix,
}

/// Makes the requests of one session.
#[derive(Debug)]
pub struct Requests {
    set: Vec<u8>,
    get: Vec<u8>,
    create: Vec<u8>,
    create_digits_at: usize,
    work: Work,
    count: u32,
}

impl Requests {
    /// For the session that owns this node.
    pub fn new(node: &str, work: Work, value: &[u8]) -> Self {
        let create_path = format!("{node}/{:0width$}", 0, width = DIGITS);
        let set = frame(OpCode::SetData, |body| {
            Some(node).encode(body);
            Some(value).encode(body);
            (-1i32).encode(body);
        });
        let get = frame(OpCode::GetData, |body| {
            Some(node).encode(body);
            false.encode(body);
        });
        let create_digits_at = PATH_AT + create_path.len() - DIGITS;
        let create = create_frame(&create_path, value);
        Requests { set, get, create, create_digits_at, work, count: 0 }
    }

    /// Appends the next request.
    pub fn append(&mut self, out: &mut Vec<u8>) {
        self.count = self.count.wrapping_add(1);
        let read = match self.work {
            Work::Get => true,
            Work::Mix => !self.count.is_multiple_of(READS_PER_WRITE + 1),
            Work::Set | Work::Create => false,
        };
        let frame = if read {
            &mut self.get
        } else if self.work == Work::Create {
            let mut rest = self.count;
            for digit in self.create[self.create_digits_at..][..DIGITS].iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
                rest /= 10;
            }
            &mut self.create
        } else {
            &mut self.set
        };
        let xid = self.count & 0x7fff_ffff;
        frame[XID_AT..XID_AT + 4].copy_from_slice(&xid.to_be_bytes());
        out.extend_from_slice(frame);
    }
}

/// A create request for a node that everybody may do everything with.
pub fn create_frame(path: &str, value: &[u8]) -> Vec<u8> {
    frame(OpCode::Create, |body| {
        Some(path).encode(body);
        Some(value).encode(body);
        1i32.encode(body);
        let id = Id { scheme: Some("world"), id: Some("anyone") };
        AclEntry { perms: perms::ALL, id }.encode(body);
        CreateMode::Persistent.flag().encode(body);
    })
}

fn frame(op: OpCode, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = vec![0; 4];
    RequestHeader { xid: 0, op: op.number() }.encode(&mut frame);
    fill(&mut frame);
    let length = i32::try_from(frame.len() - 4).expect("a frame below 2 GiB");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}
