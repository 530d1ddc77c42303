//! Clients of servers that have no leader: they read states that their server once had, and no request of theirs is
//! ever written.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::Zxid;

use super::chain::Chain;
use super::check::{Known, what};
use super::history::{Outcome, Request};
use super::looks::read;
use super::model::Model;
use super::plan::Plan;

/// Checks every call of a connection to a server without a leader, and returns the number of reads.
///
/// # Errors
/// A write was carried out or was not refused, or a read shows a state that no server ever had.
pub fn check(plan: &Plan, known: &Known<'_>, chain: &Chain) -> Result<usize, String> {
    let Known { history, of_zxid, askers, .. } = *known;
    let written: BTreeSet<usize> = of_zxid.values().copied().collect();
    const REFUSED: i32 = ErrorCode::NotReadOnly.code();
    let mut reads: BTreeMap<Zxid, Vec<usize>> = BTreeMap::new();
    for (place, call) in history.calls.iter().enumerate() {
        let is_readers = history.is_readers(call);
        if is_readers && written.contains(&place) {
            return Err(format!("READER: {} had no leader, and was written", what(call)));
        }
        let Outcome::Replied { zxid, err, .. } = call.outcome else { continue };
        // A local session ends without a leader.
        let is_refused = (call.request.is_write() && call.request != Request::Close)
            || matches!(call.request, Request::Sync { .. });
        if (err == REFUSED) != (is_readers && is_refused) {
            return Err(format!(
                "READER: {} {} a leader, and was answered {err}",
                what(call),
                if is_readers { "had no" } else { "had" }
            ));
        }
        let is_proof = matches!(call.request, Request::Auth { .. });
        if is_readers && !call.request.is_write() && !is_proof {
            reads.entry(zxid).or_default().push(place);
        }
    }
    let mut count = 0;
    for (zxid, places) in reads {
        // ZooKeeper: a server that has just started shows all of its log, whose end may never be committed. So this
        // may be another history than the one that went on.
        let mut model = Model::of(plan);
        for link in chain.history(zxid)? {
            model.apply(&link.txn)?;
        }
        for place in places {
            read(&model, &history.calls[place], &askers[place])?;
            count += 1;
        }
    }
    Ok(count)
}
