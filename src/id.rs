//! Newtypes for the numbers that must never be mixed up.
//!
//! All of them are signed 64-bit on the wire and on disk, as in ZooKeeper; order is signed order.

use std::fmt;

/// Transaction id: the epoch in the high 32 bits, a counter within the epoch in the low 32.
///
/// Zxids order all state changes of an ensemble. `-1` is ZooKeeper's "none" on the wire.
/// Imitates `ZxidUtils`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// The state before any transaction.
    pub const ZERO: Zxid = Zxid(0);
    /// ZooKeeper's "no zxid", as in events from `setWatches` and errors before the pipeline.
    pub const NONE: Zxid = Zxid(-1);

    /// The zxid with the given halves.
    pub const fn new(epoch: Epoch, counter: u32) -> Self {
        Zxid((epoch.0 << 32) | counter as i64)
    }

    /// The high half, with its sign (`ZxidUtils.getEpochFromZxid` shifts arithmetically).
    pub const fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// The low half.
    pub const fn counter(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// The zxid that follows in the same epoch; `None` when the counter is used up.
    pub const fn next(self) -> Option<Zxid> {
        if self.counter() == u32::MAX { None } else { Some(Zxid(self.0 + 1)) }
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zxid(0x{:x})", self.0)
    }
}

/// The epoch of one leader: the high half of its zxids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Epoch(pub i64);

impl Epoch {
    /// Before any leader.
    pub const ZERO: Epoch = Epoch(0);
    /// The last possible epoch: a zxid has 32 bits for it, including the sign.
    pub const LAST: Epoch = Epoch(i32::MAX as i64);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A server of the ensemble: the content of `myid`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ServerId(pub i64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A client session. The high byte is the id of the server that created it.
///
/// 0 means "no session": in a connect request, a request for a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl SessionId {
    /// No session.
    pub const NONE: SessionId = SessionId(0);
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(0x{:x})", self.0)
    }
}

/// One accepted client connection, unique while the process lives and never reused.
///
/// Watches belong to a connection, not to a session: they are gone when it closes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_is_an_epoch_and_a_counter() {
        let zxid = Zxid(0x4_0000_0003);
        assert_eq!(zxid.epoch(), Epoch(4));
        assert_eq!(zxid.counter(), 3);
        assert_eq!(Zxid::new(Epoch(4), 3), zxid);
        assert_eq!(zxid.to_string(), "0x400000003");
    }

    #[test]
    fn the_counter_never_runs_into_the_epoch() {
        assert_eq!(Zxid(0x1_ffff_fffe).next(), Some(Zxid(0x1_ffff_ffff)));
        assert_eq!(Zxid(0x1_ffff_ffff).next(), None);
    }
}
