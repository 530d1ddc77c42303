//! Requests that may have ended the leader to which they were passed on, and are not passed on again.
//!
//! ```text
//! 1. A request reaches the leader, which ends or hangs while it makes the transaction.
//! 2. Its learners find another leader, and pass on the requests that were not answered.
//! 3. That leader ends as well, and with it the quorum, because of one request of one client.
//! ```
//! A request that a leader was seen to propose did not end it in step 1. Any other request whose content a client has
//! chosen may have, so its connection is closed, as ZooKeeper closes all. A request that was proposed and
//! is not in the next leader's history is passed on once more, and not a third time.

use hashbrown::HashMap;

use super::connection::{Connection, Forwarded, Waiting};
use super::ensemble::Ensemble;
use crate::id::{SessionId, Zxid};
use crate::proto::OpCode;

/// The last counter that a leader gives to a transaction.
const COUNTER_LAST: u32 = u32::MAX - 1;

/// The transactions that the lost leader was seen to propose.
pub(super) enum Proposed {
    /// The leader proposed the last zxid of its epoch, and ended because it had no more: no request is suspect.
    Everything,
    /// By session and xid, the newest transaction that is neither committed nor given up.
    Pending(HashMap<(SessionId, i32), Zxid>),
}

impl Proposed {
    /// Whether the leader proposed this request of the connection.
    fn has(&self, connection: &Connection, request: &Forwarded) -> bool {
        // Of a leader that has used up its zxids no request is suspect.
        let Proposed::Pending(pending) = self else { return true };
        let since = connection.tenure.map_or(Zxid::NONE, |tenure| tenure.since);
        // A request of an earlier connection of the session may have the same xid.
        pending.get(&(connection.session, request.xid)).is_some_and(|zxid| *zxid > since)
    }
}

impl Ensemble {
    /// The transactions that the lost leader was seen to propose.
    pub(super) fn proposed_by_lost_leader(&self) -> Proposed {
        if self.peer.accepted().counter() >= COUNTER_LAST {
            return Proposed::Everything;
        }
        let pending = self.peer.pending().map(|txn| {
            let header = txn.header();
            ((header.client_id, header.cxid), header.zxid)
        });
        Proposed::Pending(pending.collect())
    }
}

impl Connection {
    /// The leader to which these requests were passed on is lost: marks those that may be the reason.
    pub(super) fn suspect(&mut self, proposed: &Proposed) {
        let mut queue = std::mem::take(&mut self.queue);
        for step in queue.iter_mut() {
            if let Waiting::Forwarded(request) = step
                && request.sync.is_none()
                && !request.silent
                && request.op != OpCode::CreateSession
            {
                request.suspect = request.again || !proposed.has(self, request);
            }
        }
        self.queue = queue;
    }

    /// Whether the connection waits for the answer to a request that is not passed on any more.
    pub(super) fn has_suspects(&self) -> bool {
        self.queue.iter().any(|step| matches!(step, Waiting::Forwarded(request) if request.suspect))
    }

    /// The request at the end of the connection's queue was passed on for the second time.
    pub(super) fn note_again(&mut self) {
        if let Some(Waiting::Forwarded(request)) = self.queue.iter_mut().next_back() {
            request.again = true;
        }
    }
}
