//! The replica as a member of an ensemble: what comes from other servers and what the peer makes of
//! it, carried out in the order of durability.

use super::{Replica, ReplicaOptions};
use crate::peer::PeerOptions;
use crate::peer::link::LinkEvent;
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::recovery::Recovered;
use crate::time::Now;

#[expect(clippy::needless_pass_by_value, unused_variables, reason = "being built")]
impl Replica {
    /// A replica that is a member of the ensemble `config`, over what recovery found. `seed` is any
    /// number that differs from run to run.
    pub fn member(
        options: ReplicaOptions,
        peer: PeerOptions,
        config: Config,
        recovered: Recovered,
        now: Now,
        seed: u64,
    ) -> Replica {
        unreachable!("not built yet")
    }

    /// Something happened on a link to another server.
    pub fn handle_link(&mut self, now: Now, event: LinkEvent<'_>) {
        unreachable!("not built yet")
    }

    /// A [`Reload`](super::Reload) is done: the database read anew, if it was asked for; or why the
    /// server must stop.
    pub fn handle_reloaded(&mut self, now: Now, result: Result<Option<Recovered>, String>) {
        unreachable!("not built yet")
    }

    /// The transactions of a [`LogRead`](crate::peer::LogRead), in order; `None`: not there, more
    /// than may be read, or they cannot be read.
    pub fn handle_log_read(&mut self, now: Now, id: u64, txns: Option<Vec<Txn>>) {
        unreachable!("not built yet")
    }

    /// What the outside witness says (`oraclePath`): told by the edge each tick.
    pub fn set_oracle(&mut self, now: Now, says_yes: bool) {
        unreachable!("not built yet")
    }
}
