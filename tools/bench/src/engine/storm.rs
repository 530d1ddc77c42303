//! All clients connect at once, and when each has its session, all leave; this repeats without a pause.

use super::Share;
use super::io::Io;
use super::session::{Pending, Session, State};
use super::workload::{Reply, Workload};

/// The names of the operations in results.
pub const NAMES: &[&str] = &["connect", "close"];
/// The operations that the workload is about.
pub const PRIMARY: &[&str] = &["connect"];
const CONNECT: u16 = 0;
const CLOSE: u16 = 1;

/// The clients of one thread.
pub struct StormWorkload {
    count: usize,
    open: usize,
    /// The time at which each client began to connect, until it has its session.
    connects: Vec<Option<u64>>,
    loads: bool,
}

impl StormWorkload {
    /// The clients of one thread.
    pub fn new(share: Share) -> StormWorkload {
        let count = usize::try_from(share.count).expect("64 bits");
        StormWorkload { count, open: 0, connects: vec![None; count], loads: false }
    }

    fn open_all(&mut self, io: &mut Io) {
        io.opening_max = usize::MAX;
        for index in 0..self.count {
            self.connects[index] = Some(io.now);
            io.open(index);
        }
    }
}

impl Workload for StormWorkload {
    fn sessions(&self) -> usize {
        self.count
    }

    /// No client connects before the load begins.
    fn start(&mut self, _io: &mut Io) {}

    fn on_live(&mut self, io: &mut Io, index: usize, _resumed: bool) {
        if let Some(due) = self.connects[index].take() {
            io.succeeded(CONNECT, due);
        }
        self.open += 1;
        if self.open == self.count && !io.stopped {
            (0..self.count).for_each(|index| io.close(index));
        }
    }

    fn on_reply(&mut self, _io: &mut Io, _index: usize, _request: Pending, _reply: Reply<'_>) {}

    fn on_lost(&mut self, _io: &mut Io, _index: usize, _lost: &[Pending]) {
        // The client connects again, which is no part of the storm.
        self.open -= 1;
    }

    fn on_closed(&mut self, io: &mut Io, _index: usize, due: u64) {
        io.succeeded(CLOSE, due);
        self.open -= 1;
        if self.open == 0 && self.loads && !io.stopped {
            self.open_all(io);
        }
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn begin(&mut self, io: &mut Io) {
        self.loads = true;
        self.open_all(io);
    }

    fn awaits(&self, io: &Io) -> bool {
        let under_way = |(due, session): (&Option<u64>, &Session)| {
            due.is_some() && session.state != State::Idle
        };
        self.connects.iter().zip(&io.sessions).any(under_way)
    }

    fn give_up(&mut self, io: &mut Io) {
        for due in self.connects.iter_mut().filter_map(Option::take) {
            io.failed(CONNECT, "no session", due);
        }
    }
}
