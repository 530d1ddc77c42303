//! One client connection: its task, its unsent bytes, its end.
//!
//! The task reads into memory shared by all connections of the core and hands whole frames on
//! from there, so that only a frame cut in two is ever copied. Bytes to the client are written at
//! once by whoever delivers them; only what the socket does not take is kept, and the task writes
//! it when there is room.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;

use super::frame::{LENGTH_BYTES, Tail, split};
use super::{Connections, Core};
use crate::admin::word::FourLetterWord;
use crate::id::ConnectionId;

/// Reads in a row before the other connections get their turn.
const READS_PER_TURN: usize = 4;

/// A receive buffer larger than this is freed as soon as it is empty.
const PARTIAL_BYTES_KEPT: usize = 4096;

/// How long to wait, after the last byte to a client, for it to close its side: closing with
/// unread input would reset the connection and might cost the client our last bytes.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub(super) id: ConnectionId,
    remote: SocketAddr,
    stream: RefCell<TcpStream>,
    unsent: RefCell<Unsent>,
    /// Wakes the connection's task.
    waker: RefCell<Waker>,
    /// The start of a frame whose rest has not arrived.
    partial: RefCell<Vec<u8>>,
    /// Requests handed on and not yet answered.
    pub(super) outstanding: Cell<u32>,
    /// Bytes of those requests.
    pub(super) outstanding_bytes: Cell<u64>,
    /// Whether a whole frame has arrived.
    pub(super) greeted: Cell<bool>,
    end: RefCell<Option<End>>,
}

#[derive(Default)]
struct Unsent {
    buffers: VecDeque<Vec<u8>>,
    /// Bytes of the first buffer that are out already.
    front_sent: usize,
    bytes: usize,
}

/// Why a connection ends.
#[derive(Clone, PartialEq, Eq, Debug)]
enum End {
    /// The core has said all it had to say.
    ByCore,
    /// The client closed it.
    ByClient,
    /// Something is wrong with it.
    Failed(String),
}

impl Connection {
    pub(super) fn new(id: ConnectionId, remote: SocketAddr, stream: TcpStream) -> Connection {
        Connection {
            id,
            remote,
            stream: RefCell::new(stream),
            unsent: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            partial: RefCell::default(),
            outstanding: Cell::new(0),
            outstanding_bytes: Cell::new(0),
            greeted: Cell::new(false),
            end: RefCell::new(None),
        }
    }

    /// Has its task look at it again.
    pub(super) fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }

    /// Closes it for a reason worth a line in the log.
    pub(super) fn fail(&self, reason: String) {
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(End::Failed(reason));
        }
        drop(end);
        self.wake();
    }

    /// Closes it when everything given to [`Connection::send`] is out.
    pub(super) fn close_after_output(&self) {
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(End::ByCore);
        }
        drop(end);
        self.wake();
    }

    /// Writes what the socket takes now and keeps the rest. Gives the buffer back when empty.
    pub(super) fn send(&self, bytes: Vec<u8>, unsent_max: usize) -> Option<Vec<u8>> {
        if bytes.is_empty() {
            return Some(bytes);
        }
        let mut unsent = self.unsent.borrow_mut();
        if unsent.bytes > unsent_max {
            let reason = format!("{} bytes wait to be read by the client", unsent.bytes);
            drop(unsent);
            self.fail(reason);
            return Some(bytes);
        }
        unsent.bytes += bytes.len();
        unsent.buffers.push_back(bytes);
        if unsent.buffers.len() > 1 {
            // The socket is full, and the task waits for room.
            return None;
        }
        // The task's own waker: if the socket is full, the task goes on when there is room.
        let waker = self.waker.borrow();
        let (result, spare) = self.flush(&mut unsent, &mut Context::from_waker(&waker));
        drop((unsent, waker));
        if let Poll::Ready(Err(error)) = result {
            self.fail(error.to_string());
        }
        spare
    }

    /// Writes what the socket takes. Ready when nothing is left, or nothing can be written at all.
    fn flush(
        &self,
        unsent: &mut Unsent,
        cx: &mut Context<'_>,
    ) -> (Poll<io::Result<()>>, Option<Vec<u8>>) {
        let mut spare = None;
        let mut stream = self.stream.borrow_mut();
        while let Some(front) = unsent.buffers.front() {
            match Pin::new(&mut *stream).poll_write(cx, &front[unsent.front_sent..]) {
                Poll::Ready(Ok(wrote)) => {
                    unsent.front_sent += wrote;
                    unsent.bytes -= wrote;
                    if unsent.front_sent == front.len() {
                        unsent.front_sent = 0;
                        spare = unsent.buffers.pop_front();
                    }
                }
                Poll::Ready(Err(error)) => return (Poll::Ready(Err(error)), spare),
                Poll::Pending => return (Poll::Pending, spare),
            }
        }
        (Poll::Ready(Ok(())), spare)
    }

    fn poll(&self, table: &Connections, core: &dyn Core, cx: &mut Context<'_>) -> Poll<End> {
        self.waker.borrow_mut().clone_from(cx.waker());
        let mut unsent = self.unsent.borrow_mut();
        let drained = match self.flush(&mut unsent, cx).0 {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error.to_string())),
            Poll::Pending => false,
        };
        let unsent_bytes = unsent.bytes;
        drop(unsent);
        match &*self.end.borrow() {
            None => {}
            Some(End::ByCore) if !drained => return Poll::Pending,
            Some(end) => return Poll::Ready(end.clone()),
        }
        if unsent_bytes > table.shared.options.unsent_bytes_before_pause {
            return Poll::Pending;
        }
        for _ in 0..READS_PER_TURN {
            if self.outstanding.get() > 0 && table.is_throttled() {
                table.shared.throttled.borrow_mut().push(cx.waker().clone());
                return Poll::Pending;
            }
            let mut scratch = table.shared.scratch.borrow_mut();
            let read = {
                let mut stream = self.stream.borrow_mut();
                Pin::new(&mut *stream).poll_read(cx, &mut scratch)
            };
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(End::ByClient),
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error.to_string())),
                Poll::Ready(Ok(bytes)) => {
                    if let Err(reason) = self.received(table, core, &scratch[..bytes]) {
                        return Poll::Ready(End::Failed(reason));
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn received(&self, table: &Connections, core: &dyn Core, bytes: &[u8]) -> Result<(), String> {
        let mut partial = self.partial.borrow_mut();
        if partial.is_empty() {
            let used = self.hand_on(table, core, bytes)?;
            partial.extend_from_slice(&bytes[used..]);
        } else {
            partial.extend_from_slice(bytes);
            let used = self.hand_on(table, core, &partial)?;
            partial.drain(..used);
        }
        if partial.is_empty() && partial.capacity() > PARTIAL_BYTES_KEPT {
            *partial = Vec::new();
        } else if let Tail::Partial(needed) = split(&partial, u32::MAX).tail
            && partial.capacity() > PARTIAL_BYTES_KEPT
        {
            // A big frame is under way and was begun in earnest: one allocation for the rest.
            let missing = needed - partial.len();
            partial.reserve_exact(missing);
        }
        Ok(())
    }

    /// Hands whole frames on; returns how many bytes are dealt with.
    fn hand_on(&self, table: &Connections, core: &dyn Core, bytes: &[u8]) -> Result<usize, String> {
        if !self.greeted.get()
            && let Some(first) = bytes.first_chunk::<4>()
            && let Some(word) = FourLetterWord::parse(*first)
        {
            return Ok(self.word(core, word, bytes));
        }
        let found = split(bytes, table.shared.options.frame_bytes_max);
        if found.frames > 0 {
            self.greeted.set(true);
            table.count(self, found.frames, found.whole_bytes as u64);
            core.frames(self.id, &bytes[..found.whole_bytes]);
        }
        match found.tail {
            Tail::Bad(length) => Err(format!(
                "a frame of {length} bytes was announced; 0 to {} are allowed (jute.maxbuffer)",
                table.shared.options.frame_bytes_max
            )),
            Tail::Unknown | Tail::Partial(_) => Ok(found.whole_bytes),
        }
    }

    fn word(&self, core: &dyn Core, word: FourLetterWord, bytes: &[u8]) -> usize {
        let needed = LENGTH_BYTES + word.argument_bytes();
        if bytes.len() >= needed {
            self.greeted.set(true);
            core.word(self.id, self.remote, word, bytes[LENGTH_BYTES..].first_chunk().copied());
            // What follows a word means nothing.
            return bytes.len();
        }
        0
    }
}

/// Runs a connection to its end.
pub(super) async fn run(connection: Rc<Connection>, table: Connections, core: Rc<dyn Core>) {
    core.open(connection.id, connection.remote);
    let end = poll_fn(|cx| connection.poll(&table, &*core, cx)).await;
    let (id, remote) = (connection.id, connection.remote);
    match &end {
        End::ByCore => tracing::debug!(%remote, conn = %id, "connection closed"),
        End::ByClient => tracing::debug!(%remote, conn = %id, "connection closed by the client"),
        End::Failed(reason) => {
            table.warn(format_args!("connection from {remote} closed: {reason}"));
        }
    }
    table.remove(&connection);
    table.shared.census.leave(remote.ip());
    core.close(id);
    if end == End::ByCore {
        linger(&connection).await;
    }
}

/// Says that nothing more will come, and lets the client read the last bytes before the socket is
/// closed.
async fn linger(connection: &Connection) {
    let closed = poll_fn(|cx| Pin::new(&mut *connection.stream.borrow_mut()).poll_close(cx)).await;
    if closed.is_err() {
        return;
    }
    let drain = poll_fn(|cx| {
        let mut rest = [0; 512];
        for _ in 0..READS_PER_TURN {
            let read = Pin::new(&mut *connection.stream.borrow_mut()).poll_read(cx, &mut rest);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let patience = async {
        glommio::timer::sleep(LINGER).await;
    };
    futures_lite::future::or(drain, patience).await;
}
