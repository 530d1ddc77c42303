//! Sessions that come, make ephemeral nodes, and go; each begins anew at once.

use ringkeeper::proto::opcode::{CreateMode, OpCode};

use super::Share;
use super::frames::{self, Node, Template};
use super::io::Io;
use super::session::Pending;
use super::workload::{Reply, Workload};
use crate::definition::Churn;

/// The names of the operations in results. A life is a whole session, from the connection to the answer to
/// closeSession.
pub const NAMES: &[&str] = &["life", "connect", "create", "close"];
/// The operations that the workload is about.
pub const PRIMARY: &[&str] = &["life"];
const LIFE: u16 = 0;
const CONNECT: u16 = 1;
const CREATE: u16 = 2;
const CLOSE: u16 = 3;

/// The sessions of one thread.
pub struct ChurnWorkload {
    create: Template,
    share: Share,
    ephemerals: u32,
    lives: Vec<Life>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Life {
    begun_at: u64,
    /// Nodes whose create was answered.
    created: u32,
}

impl ChurnWorkload {
    /// The workload of one thread.
    pub fn new(churn: &Churn, root: &str, share: Share) -> ChurnWorkload {
        let value = vec![b'v'; usize::try_from(churn.value_bytes).expect("64 bits")];
        let create = Template::new(root, OpCode::Create, |body, path| {
            frames::create_body(body, path, &value, CreateMode::Ephemeral);
        });
        let count = usize::try_from(share.count).expect("64 bits");
        let lives = vec![Life::default(); count];
        ChurnWorkload { create, share, ephemerals: churn.ephemerals, lives }
    }

    fn begin_life(&mut self, io: &mut Io, index: usize) {
        self.lives[index] = Life { begun_at: io.now, created: 0 };
        io.open(index);
    }

    fn create_all(&mut self, io: &mut Io, index: usize) {
        self.lives[index].created = 0;
        let group = self.share.first + u32::try_from(index).expect("counted in 32 bits");
        let now = io.now;
        for leaf in 0..self.ephemerals {
            let node = Node { group, leaf };
            io.request(index, CREATE, now, |out| self.create.append(out, || node));
        }
    }
}

impl Workload for ChurnWorkload {
    fn sessions(&self) -> usize {
        self.lives.len()
    }

    /// No session opens before the load begins.
    fn start(&mut self, _io: &mut Io) {}

    fn on_live(&mut self, io: &mut Io, index: usize, resumed: bool) {
        if !resumed {
            let due = io.sessions[index].open_due;
            io.succeeded(CONNECT, due);
        }
        if !io.stopped {
            self.create_all(io, index);
        }
    }

    fn on_reply(&mut self, io: &mut Io, index: usize, request: Pending, reply: Reply<'_>) {
        io.answered(CREATE, request.due, reply.error);
        let life = &mut self.lives[index];
        life.created += 1;
        if life.created == self.ephemerals && !io.stopped {
            io.close(index);
        }
    }

    fn on_lost(&mut self, _io: &mut Io, _index: usize, _lost: &[Pending]) {
        // The session goes on when it is connected again; creates of existing nodes end in NodeExists.
    }

    fn on_closed(&mut self, io: &mut Io, index: usize, due: u64) {
        io.succeeded(CLOSE, due);
        io.succeeded(LIFE, self.lives[index].begun_at);
        if !io.stopped {
            self.begin_life(io, index);
        }
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn begin(&mut self, io: &mut Io) {
        (0..self.lives.len()).for_each(|index| self.begin_life(io, index));
    }
}
