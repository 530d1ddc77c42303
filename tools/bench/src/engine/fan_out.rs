//! One session writes a node; every watcher gets an event, reads the node again and sets its watch again.
//!
//! The value carries the time at which its write was due, so that a watcher knows which write it has read, whichever
//! thread it belongs to and however many writes are under way.

use ringkeeper::jute::Jute;
use ringkeeper::proto::event::WatcherEvent;
use ringkeeper::proto::opcode::OpCode;
use ringkeeper::proto::response::GetDataResponse;

use super::Share;
use super::frames::{self, Node, leaf_path};
use super::io::Io;
use super::schedule::Schedule;
use super::session::{Pending, State};
use super::workload::{Reply, Workload};
use crate::definition::FanOut;

/// The names of the operations in results: the new value at each watcher, the event at each watcher, the new value
/// at the last of all watchers (with one thread only), and the requests.
pub const NAMES: &[&str] = &["notice", "event", "everybody", "write", "read"];
/// The operations that the workload is about.
pub const PRIMARY: &[&str] = &["notice"];
const NOTICE: u16 = 0;
const EVENT: u16 = 1;
const EVERYBODY: u16 = 2;
const WRITE: u16 = 3;
const READ: u16 = 4;

/// Digits at the beginning of the value, which are the due time in ns.
const DUE_DIGITS: usize = 16;

/// The watchers of one thread; the first session of the first thread is the writer's.
pub struct FanOutWorkload {
    path: String,
    value: Vec<u8>,
    read: Vec<u8>,
    has_writer: bool,
    schedule: Schedule,
    watchers: Vec<Watcher>,
    own_ready: usize,
    /// The newest write that a watcher of this thread has read, and how many watchers have.
    newest: u64,
    informed: u32,
    /// The due time of the newest write that was answered; only the thread of the writer knows it.
    written: u64,
    /// The number of all watchers, if all belong to this thread; otherwise no thread knows when the last one has
    /// read.
    everybody: u32,
    loads: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Watcher {
    event_at: u64,
    /// The due time of the newest write that the watcher has read.
    seen: u64,
    is_ready: bool,
}

impl FanOutWorkload {
    /// The workload of one thread; `share` counts the writer too.
    pub fn new(fan_out: &FanOut, root: &str, share: Share) -> FanOutWorkload {
        let path = leaf_path(root, Node { group: 0, leaf: 0 });
        let mut read = Vec::new();
        frames::encode(&mut read, OpCode::GetData, |body| frames::read_body(body, &path, true));
        let bytes = usize::try_from(fan_out.value_bytes).expect("64 bits").max(DUE_DIGITS);
        let has_writer = share.first == 0;
        let count = usize::try_from(share.count).expect("64 bits");
        FanOutWorkload {
            path,
            value: vec![b'0'; bytes],
            read,
            has_writer,
            schedule: Schedule::new(fan_out.writes_per_second),
            watchers: vec![Watcher::default(); count],
            own_ready: 0,
            newest: 0,
            informed: 0,
            written: 0,
            everybody: if share.count == share.total { share.total - 1 } else { u32::MAX },
            loads: false,
        }
    }

    fn is_writer(&self, index: usize) -> bool {
        self.has_writer && index == 0
    }

    fn read(&self, io: &mut Io, index: usize) {
        let now = io.now;
        io.request(index, READ, now, |out| out.extend_from_slice(&self.read));
    }

    fn write(&mut self, io: &mut Io, due: u64) {
        let text = format!("{due:0width$}", width = DUE_DIGITS);
        self.value[..DUE_DIGITS].copy_from_slice(text.as_bytes());
        io.send(0, WRITE, due, OpCode::SetData, |body| {
            frames::set_body(body, &self.path, &self.value);
        });
    }

    fn write_waiting(&mut self, io: &mut Io) {
        while let Some(due) = io.sessions[0].waiting.pop_front() {
            self.write(io, due);
        }
    }

    fn mark_ready(&mut self, index: usize) {
        if !std::mem::replace(&mut self.watchers[index].is_ready, true) {
            self.own_ready += 1;
        }
    }

    /// Watchers that have not read the newest write.
    fn late(&self) -> impl Iterator<Item = &Watcher> {
        let newest = self.newest.max(self.written);
        let watchers = self.watchers.iter().skip(usize::from(self.has_writer));
        watchers.filter(move |watcher| watcher.seen < newest)
    }

    /// Handles the value that a watcher has read.
    fn on_value(&mut self, io: &mut Io, index: usize, body: &[u8]) {
        let value = GetDataResponse::from_bytes(body).ok().and_then(|answer| answer.data);
        let digits = value.and_then(|value| value.get(..DUE_DIGITS));
        let due = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        // The first value comes from the creation of the node, and from no write.
        let Some(due) = due.filter(|&due: &u64| due > self.watchers[index].seen) else { return };
        let watcher = &mut self.watchers[index];
        watcher.seen = due;
        if watcher.event_at >= due {
            io.recorder.succeeded(usize::from(EVENT), due, watcher.event_at);
        }
        io.succeeded(NOTICE, due);
        if due > self.newest {
            (self.newest, self.informed) = (due, 0);
        }
        if due == self.newest {
            self.informed += 1;
            if self.informed == self.everybody {
                io.succeeded(EVERYBODY, due);
            }
        }
    }
}

impl Workload for FanOutWorkload {
    fn sessions(&self) -> usize {
        self.watchers.len()
    }

    fn on_live(&mut self, io: &mut Io, index: usize, _resumed: bool) {
        if !self.is_writer(index) {
            return self.read(io, index);
        }
        self.mark_ready(index);
        if self.loads {
            self.write_waiting(io);
        }
    }

    fn on_reply(&mut self, io: &mut Io, index: usize, request: Pending, reply: Reply<'_>) {
        io.answered(request.operation, request.due, reply.error);
        if request.operation == WRITE && reply.error.is_none() {
            self.written = self.written.max(request.due);
        }
        if request.operation == READ {
            self.mark_ready(index);
            if reply.error.is_none() {
                self.on_value(io, index, reply.body);
            }
        }
    }

    fn on_event(&mut self, io: &mut Io, index: usize, _event: WatcherEvent<'_>) {
        self.watchers[index].event_at = io.now;
        self.read(io, index);
    }

    fn on_lost(&mut self, _io: &mut Io, _index: usize, _lost: &[Pending]) {
        // The read that follows the next connection sets the watch again.
    }

    fn is_ready(&self) -> bool {
        self.own_ready == self.watchers.len()
    }

    fn begin(&mut self, io: &mut Io) {
        self.loads = true;
        if self.has_writer {
            self.schedule.begin(io.now);
        }
    }

    fn next_time(&self) -> u64 {
        self.schedule.next_time()
    }

    fn on_time(&mut self, io: &mut Io) {
        if io.stopped {
            return self.schedule.end();
        }
        let now = io.due_until();
        while let Some((due, _)) = self.schedule.take(now) {
            io.sessions[0].waiting.push_back(due);
        }
        if io.sessions[0].state == State::Live {
            self.write_waiting(io);
        }
    }

    fn awaits(&self, _io: &Io) -> bool {
        self.late().next().is_some()
    }

    fn give_up(&mut self, io: &mut Io) {
        let newest = self.newest.max(self.written);
        for _ in 0..self.late().count() {
            io.failed(NOTICE, "never noticed", newest);
        }
    }
}
