//! The bounds on the number of connections, per address and in total.
//!
//! Shared by all session cores, and accessed only when a connection begins or ends: so a mutex is cheap enough. It
//! counts; the listener refuses, and closes what it refuses without a word, as ZooKeeper does
//! (`NIOServerCnxnFactory.AcceptThread`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::LINGERING_MAX;

/// The bounds and the counts.
#[derive(Clone, Debug)]
pub struct Census {
    /// `maxClientCnxns`; 0: no bound.
    per_address_max: u32,
    /// `maxCnxns`; 0: no bound.
    total_max: u32,
    /// Descriptors for clients, those of lingering connections included.
    descriptors_max: u32,
    /// The same for all clones.
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Connections that are open.
    total: u32,
    /// Connections that have ended and whose descriptors are still open.
    lingering: u32,
    /// How many of them come from an address. Invariant: no count is 0.
    by_address: HashMap<IpAddr, u32>,
    /// Connections that were refused.
    refused: u64,
}

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// `maxClientCnxns`.
    #[error("too many connections from this address (maxClientCnxns={0})")]
    PerAddress(u32),
    /// `maxCnxns`.
    #[error("too many connections (maxCnxns={0})")]
    Total(u32),
    /// The limit on open files, less what the server needs itself.
    #[error(
        "too many connections for the limit on open files ({0} are left for clients; `ulimit -n`)"
    )]
    Descriptors(u32),
}

impl Census {
    /// A bound of 0 means no bound, as in ZooKeeper. `descriptors_max` leaves some descriptors for the
    /// server itself: without a free one, a disk operation fails and the server has to stop.
    pub fn new(per_address_max: u32, total_max: u32, descriptors_max: u32) -> Census {
        Census { per_address_max, total_max, descriptors_max, counts: Arc::default() }
    }

    /// Counts a connection, or returns why it is refused. After `Ok` the caller must call [`Census::leave`].
    ///
    /// # Errors
    /// The bound that it would exceed.
    pub fn enter(&self, address: IpAddr) -> Result<(), Refusal> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let entered = self.try_enter(&mut counts, address);
        counts.refused += u64::from(entered.is_err());
        entered
    }

    /// [`Census::enter`] without the count of refusals.
    fn try_enter(&self, counts: &mut Counts, address: IpAddr) -> Result<(), Refusal> {
        if self.total_max > 0 && counts.total >= self.total_max {
            return Err(Refusal::Total(self.total_max));
        }
        if counts.total + counts.lingering >= self.descriptors_max {
            return Err(Refusal::Descriptors(self.descriptors_max));
        }
        let of_address = counts.by_address.entry(address).or_insert(0);
        if self.per_address_max > 0 && *of_address >= self.per_address_max {
            return Err(Refusal::PerAddress(self.per_address_max));
        }
        *of_address += 1;
        counts.total += 1;
        Ok(())
    }

    /// Uncounts a connection.
    ///
    /// # Panics
    /// If no connection from this address is counted.
    pub fn leave(&self, address: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.by_address.get_mut(&address).expect("it was counted in");
        *of_address -= 1;
        if *of_address == 0 {
            counts.by_address.remove(&address);
        }
        counts.total -= 1;
    }

    /// Whether a connection that has ended may keep its descriptor for a while. After true the caller must
    /// call [`Census::end_linger`].
    ///
    /// Without a count, clients that send a four-letter word a thousand times a second and close nothing
    /// would use up all descriptors, and the server would stop because it cannot open its next log.
    /// Without a bound, they would keep all other clients out.
    pub fn linger(&self) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let may = counts.lingering < LINGERING_MAX.min(self.descriptors_max / 4);
        counts.lingering += u32::from(may);
        may
    }

    /// A lingering connection has closed its descriptor.
    pub fn end_linger(&self) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).lingering -= 1;
    }

    /// Connections that were refused so far (`AcceptThread.doAccept` counts these as rejected).
    pub fn refused(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).refused
    }

    /// Connections now.
    pub fn total(&self) -> u32 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_connections_that_have_ended_count_and_are_bounded() {
        let census = Census::new(0, 0, 8);
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..2 {
            census.enter(address).unwrap();
            census.leave(address);
            assert!(census.linger());
        }
        assert!(!census.linger(), "a quarter");
        for _ in 0..6 {
            census.enter(address).unwrap();
        }
        assert_eq!(census.enter(address), Err(Refusal::Descriptors(8)));
        census.end_linger();
        assert_eq!(census.enter(address), Ok(()));
        assert_eq!(census.total(), 7);
        let large = Census::new(0, 0, u32::MAX);
        assert_eq!((0..).take_while(|_| large.linger()).count(), LINGERING_MAX as usize);
    }

    #[test]
    fn both_bounds_hold_and_those_who_left_make_room() {
        let census = Census::new(2, 3, 100);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert_eq!([census.enter(a), census.enter(a)], [Ok(()), Ok(())]);
        assert_eq!(census.enter(a), Err(Refusal::PerAddress(2)));
        assert_eq!(census.enter(b), Ok(()));
        assert_eq!(census.enter(b), Err(Refusal::Total(3)));
        census.leave(a);
        assert_eq!(census.enter(b), Ok(()));
        assert_eq!(census.total(), 3);
    }

    #[test]
    fn the_servers_own_descriptors_are_kept_back() {
        let census = Census::new(0, 0, 1);
        assert_eq!(census.enter(IpAddr::from([10, 0, 0, 1])), Ok(()));
        let refused = census.enter(IpAddr::from([10, 0, 0, 2]));
        assert_eq!((refused, census.refused()), (Err(Refusal::Descriptors(1)), 1));
    }

    #[test]
    fn zero_bounds_nothing() {
        let census = Census::new(0, 0, 1000);
        for _ in 0..100 {
            census.enter(IpAddr::from([127, 0, 0, 1])).unwrap();
        }
    }
}
