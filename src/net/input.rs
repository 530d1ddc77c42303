//! Reading from a socket, for connections and links alike: what one read brings, and the input that is discarded after
//! the last bytes to the other side.
//!
//! The rule that is easy to break: the reactor reports input once. An owner that stops reading although more may be
//! there asks to be called again, or waits for ever.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::runtime::Readiness;

/// Reads in a row from one socket before the others get their turn.
pub(super) const READS_PER_TURN: usize = 4;

/// How long to wait, after the last bytes to the other side, for it to close: closing with unread input would reset the
/// connection, and the other side might lose those bytes.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Bytes discarded by one read.
const DISCARDED_BYTES: usize = 4096;

/// The result of one read.
#[derive(Debug)]
pub(super) enum Input {
    /// Bytes have arrived.
    Bytes {
        /// How many.
        bytes: usize,
        /// Whether there may be more, of which no further event will tell.
        is_more: bool,
    },
    /// Nothing at the moment; later input causes an event.
    Nothing,
    /// The other side sends nothing more.
    End,
    /// The connection has failed.
    Failed(io::Error),
}

/// Reads what has arrived, as much as fits.
pub(super) fn read(socket: impl AsFd, into: &mut [u8], what: Readiness) -> Input {
    loop {
        return match recv(&socket, &mut *into, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Input::End,
            // Later input causes a new event; the end of the stream was reported with these bytes.
            Ok((bytes, _)) => Input::Bytes { bytes, is_more: bytes == into.len() || what.hung_up },
            Err(Errno::AGAIN) => Input::Nothing,
            Err(Errno::INTR) => continue,
            Err(error) => Input::Failed(error.into()),
        };
    }
}

/// What is left to do for a socket whose input is discarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Farewell {
    /// The other side has closed, or the connection has failed: the socket can be closed.
    Over,
    /// The other side is yet to close; an event will tell.
    Waits,
    /// There may be more input, of which no further event will tell.
    HasMore,
}

/// Reads and discards input, after everything was sent.
pub(super) fn discard(socket: impl AsFd) -> Farewell {
    let mut rest = [0; DISCARDED_BYTES];
    for _ in 0..READS_PER_TURN {
        match read(&socket, &mut rest, Readiness::default()) {
            Input::Bytes { .. } => {}
            Input::Nothing => return Farewell::Waits,
            Input::End | Input::Failed(_) => return Farewell::Over,
        }
    }
    Farewell::HasMore
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    fn pair() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    }

    #[test]
    fn a_read_says_whether_there_may_be_more() {
        let (own, other) = pair();
        let mut buffer = [0; 4];
        let calm = Readiness::default();
        assert!(matches!(read(&own, &mut buffer, calm), Input::Nothing));
        send(&other, b"12345", SendFlags::empty()).unwrap();
        let first = read(&own, &mut buffer, calm);
        assert!(matches!(first, Input::Bytes { bytes: 4, is_more: true }), "{first:?}");
        let second = read(&own, &mut buffer, calm);
        assert!(matches!(second, Input::Bytes { bytes: 1, is_more: false }), "{second:?}");
        send(&other, b"6", SendFlags::empty()).unwrap();
        drop(other);
        let last = read(&own, &mut buffer, Readiness { hung_up: true, ..calm });
        assert!(matches!(last, Input::Bytes { bytes: 1, is_more: true }), "{last:?}");
        assert!(matches!(read(&own, &mut buffer, calm), Input::End));
    }

    #[test]
    fn input_is_discarded_a_few_reads_at_a_time_until_the_other_side_closes() {
        let (own, other) = pair();
        assert_eq!(discard(&own), Farewell::Waits);
        send(&other, &[7; READS_PER_TURN * DISCARDED_BYTES + 1], SendFlags::empty()).unwrap();
        assert_eq!(discard(&own), Farewell::HasMore);
        assert_eq!(discard(&own), Farewell::Waits);
        drop(other);
        assert_eq!(discard(&own), Farewell::Over);
    }
}
