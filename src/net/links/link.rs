//! One link: its task, its unsent bytes, its end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_lite::io::{AsyncRead, AsyncWrite};
use socket2::SockRef;

use super::{Links, Shared};
use crate::peer::link::LinkId;
use crate::runtime::adopt_stream;

/// Reads in a row before others get their turn.
const READS_PER_TURN: usize = 4;

/// Pieces that are shorter are copied together: copying them costs less than telling the kernel
/// where each of them is.
const COPIED_BYTES_MAX: usize = 2048;

/// Bytes of pieces copied together.
const BUFFER_BYTES: usize = 64 << 10;

/// Pieces given to the kernel at once.
const PIECES_AT_ONCE: usize = 16;

/// How long a link that was closed here may take for its last bytes, and then for the other side to
/// close: closing with unread input would reset the connection, and lose them.
const LINGER: Duration = Duration::from_secs(1);

pub(super) struct Link {
    id: LinkId,
    /// For reading, and to hear when there is room to write.
    stream: RefCell<glommio::net::TcpStream>,
    /// The same socket, for writing several pieces at once.
    socket: TcpStream,
    unsent: RefCell<Unsent>,
    waker: RefCell<Waker>,
    end: RefCell<Option<End>>,
    paused: Cell<bool>,
}

#[derive(Default)]
struct Unsent {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are out already.
    front_sent: usize,
    /// Whether the end of the turn writes it.
    dirty: bool,
    /// Whether the socket is full, and the task waits for room.
    full: bool,
}

enum Piece {
    /// Short ones, copied together.
    Copied(Vec<u8>),
    /// A long one, shared with whoever else gets it.
    Shared(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Copied(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

enum End {
    /// Its owner has said all there was to say.
    ByCore,
    /// The other side, or the network.
    Failed(String),
}

impl Link {
    pub fn new(id: LinkId, socket: TcpStream) -> io::Result<Link> {
        let stream = adopt_stream(socket.try_clone()?);
        Ok(Link {
            id,
            stream: RefCell::new(stream),
            socket,
            unsent: RefCell::default(),
            waker: RefCell::new(Waker::noop().clone()),
            end: RefCell::new(None),
            paused: Cell::new(false),
        })
    }

    pub fn wake(&self) {
        self.paused.set(false);
        self.waker.borrow().wake_by_ref();
    }

    /// Keeps bytes for the end of the turn. Whether it is the first time in this turn.
    pub fn push(&self, bytes: Bytes, shared: &Shared) -> bool {
        let mut unsent = self.unsent.borrow_mut();
        if bytes.is_empty() {
            return false;
        }
        if bytes.len() > COPIED_BYTES_MAX {
            unsent.pieces.push_back(Piece::Shared(bytes));
        } else {
            match unsent.pieces.back_mut() {
                Some(Piece::Copied(last)) if last.len() + bytes.len() <= BUFFER_BYTES => {
                    last.extend_from_slice(&bytes);
                }
                _ => {
                    let mut buffer = shared.spare.borrow_mut().pop().unwrap_or_default();
                    buffer.extend_from_slice(&bytes);
                    unsent.pieces.push_back(Piece::Copied(buffer));
                }
            }
        }
        !std::mem::replace(&mut unsent.dirty, true)
    }

    /// Writes what the socket takes now.
    pub fn flush(&self, shared: &Shared) {
        self.unsent.borrow_mut().dirty = false;
        if self.unsent.borrow().full {
            return;
        }
        let waker = self.waker.borrow().clone();
        if let Poll::Ready(Err(error)) = self.write(shared, &mut Context::from_waker(&waker)) {
            self.fail(error.to_string());
        }
    }

    fn fail(&self, reason: String) {
        let mut end = self.end.borrow_mut();
        if end.is_none() {
            *end = Some(End::Failed(reason));
        }
        drop(end);
        self.wake();
    }

    /// Closes it when everything is out, or after a while.
    pub fn close_after_output(&self) {
        // Whatever else was wrong with it: nobody wants to know any more.
        *self.end.borrow_mut() = Some(End::ByCore);
        self.wake();
    }

    /// Ready when nothing is left, or nothing can be written at all.
    fn write(&self, shared: &Shared, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut unsent = self.unsent.borrow_mut();
        let mut sent = 0;
        let result = loop {
            if unsent.pieces.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match self.write_once(&unsent) {
                Ok(bytes) => {
                    sent += bytes as u64;
                    unsent.remove(bytes, shared);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let front = unsent.pieces.front().expect("there is one").bytes();
                    let front = &front[unsent.front_sent..];
                    // Tries once more, and has the task woken when there is room.
                    match Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, front) {
                        Poll::Pending => break Poll::Pending,
                        Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                        Poll::Ready(Ok(bytes)) => {
                            sent += bytes as u64;
                            unsent.remove(bytes, shared);
                        }
                    }
                }
                Err(error) => break Poll::Ready(Err(error)),
            }
        };
        unsent.full = result.is_pending();
        drop(unsent);
        shared.sent(self.id, sent);
        result
    }

    fn write_once(&self, unsent: &Unsent) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_AT_ONCE];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&unsent.pieces) {
            let skipped = if count == 0 { unsent.front_sent } else { 0 };
            *slice = IoSlice::new(&piece.bytes()[skipped..]);
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        SockRef::from(&self.socket).send_vectored_with_flags(&slices[..count], flags)
    }

    fn poll(&self, links: &Links, cx: &mut Context<'_>) -> Poll<Option<String>> {
        self.waker.borrow_mut().clone_from(cx.waker());
        let drained = match self.write(&links.shared, cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => return Poll::Ready(Some(error.to_string())),
            Poll::Pending => false,
        };
        match &*self.end.borrow() {
            None => {}
            Some(End::ByCore) if !drained => return Poll::Pending,
            Some(End::ByCore) => return Poll::Ready(None),
            Some(End::Failed(reason)) => return Poll::Ready(Some(reason.clone())),
        }
        let Some(core) = links.core() else { return Poll::Ready(None) };
        for _ in 0..READS_PER_TURN {
            if core.is_behind() {
                if !self.paused.replace(true)
                    && let Some(super::Slot::Open(this)) =
                        links.shared.links.borrow().get(&self.id).map(super::Slot::share)
                {
                    links.shared.paused.borrow_mut().push(this);
                }
                return Poll::Pending;
            }
            let mut scratch = links.shared.scratch.borrow_mut();
            let read = Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut scratch);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => {
                    return Poll::Ready(Some("closed by the other side".to_owned()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(error.to_string())),
                Poll::Ready(Ok(bytes)) => core.link_received(self.id, &scratch[..bytes]),
            }
            if self.end.borrow().is_some() {
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Unsent {
    /// So many bytes are out.
    fn remove(&mut self, mut bytes: usize, shared: &Shared) {
        while bytes > 0 {
            let front = self.pieces.front().expect("no more is sent than there was");
            let left = front.bytes().len() - self.front_sent;
            if bytes < left {
                self.front_sent += bytes;
                return;
            }
            bytes -= left;
            self.front_sent = 0;
            match self.pieces.pop_front() {
                Some(Piece::Copied(buffer)) => shared.recycle(buffer),
                Some(Piece::Shared(_)) | None => {}
            }
        }
    }
}

/// Runs a link to its end.
pub(super) async fn run(link: &Rc<Link>, links: &Links) {
    let end = poll_fn(|cx| {
        let end = link.poll(links, cx);
        if end.is_pending() && matches!(&*link.end.borrow(), Some(End::ByCore)) {
            // Its last bytes are written with a bound in time, below.
            return Poll::Ready(None);
        }
        end
    })
    .await;
    match end {
        Some(reason) if matches!(&*link.end.borrow(), Some(End::ByCore)) => {
            tracing::debug!(link = ?link.id, reason, "a link that was being closed failed");
        }
        Some(reason) => return links.ended(link.id, reason),
        None => {
            let patience = async {
                glommio::timer::sleep(LINGER).await;
            };
            futures_lite::future::or(say_farewell(link, links), patience).await;
        }
    }
    // Nobody was there to close it if the server has gone.
    links.shared.ending.set(links.shared.ending.get().saturating_sub(1));
}

/// Writes the last bytes, says that nothing more will come, and lets the other side read them.
async fn say_farewell(link: &Link, links: &Links) {
    let written = poll_fn(|cx| link.write(&links.shared, cx)).await;
    if written.is_err() || link.socket.shutdown(std::net::Shutdown::Write).is_err() {
        return;
    }
    poll_fn(|cx| {
        let mut rest = [0; 4096];
        for _ in 0..READS_PER_TURN {
            match Pin::new(&mut *link.stream.borrow_mut()).poll_read(cx, &mut rest) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
