//! The check that no session expires while its client may still be heard of.

use ringkeeper::id::Zxid;
use ringkeeper::proto::OpCode;

use super::plan::MS;
use super::world::{Phase, World};

impl World {
    /// Checks that no session expires before its timeout has passed since a server last heard of it. What one of
    /// several servers has heard may be lost with that server. The check therefore runs only when nothing goes
    /// wrong, and not at once for the sessions of a server that stayed broken: the leader drops a server that was
    /// slow to log, with what that one has heard since its last answer to a ping.
    pub(super) fn check_expiries(&mut self, fresh: &[Zxid]) {
        if !self.plan.is_standalone() && self.phase != Phase::Quiet {
            return;
        }
        let ticks = if self.plan.wild.stay_broken { self.plan.sync_limit + 2 } else { 0 };
        let good_since = self.phase_since + ticks * u64::from(self.plan.tick_ms) * MS;
        for zxid in fresh {
            let Some(link) = self.chain.get(*zxid) else { continue };
            let header = link.txn.header();
            if header.op != OpCode::CloseSession || header.cxid > 0 {
                continue;
            }
            let Some(lease) = self.history.leases.get(&header.client_id) else { continue };
            if !self.plan.is_standalone() && lease.heard < good_since {
                // The server that heard of the session may be gone.
                continue;
            }
            let timeout = u64::try_from(lease.timeout_ms).unwrap_or(0) * MS;
            // Clocks may run a few hundredths too fast.
            let earliest = lease.heard + timeout - timeout / 20;
            if self.now < earliest {
                let (session, heard, now) = (header.client_id, lease.heard, self.now);
                return self.fail(format!(
                    "session {session} expired at {now} µs, though it was heard of at {heard} µs \
                     and has {timeout} µs"
                ));
            }
        }
    }
}
