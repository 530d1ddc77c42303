//! Containers and nodes with a time to live: a leader removes those whose time has come after a while.

use ringkeeper::time::WallMs;

use super::chain::Chain;
use super::model::{Kind, Model};
use super::plan::{MS, Plan, SECOND};

/// How long the search for such nodes and their removal may take, in µs, when nothing goes wrong.
fn patience(plan: &Plan) -> u64 {
    let search = plan.wild.wider.reap_interval_ms * MS;
    // A disk that stays slow needs half a second and more for each write. If an epoch ends, the new leader waits for
    // the whole interval again.
    let patience = 2 * search + 4 * SECOND;
    if plan.short_epochs { 2 * patience } else { patience }
}

/// Looks for nodes that should be gone. No fault has happened since the true time `quiet_since`; the present time is
/// `now`, and the date of the servers is `wall`.
///
/// # Errors
/// Such a node exists.
pub fn check(
    model: &Model,
    chain: &Chain,
    plan: &Plan,
    (quiet_since, now): (u64, u64),
    wall: WallMs,
) -> Result<(), String> {
    let patience = patience(plan);
    let patience_ms = i64::try_from(patience / MS).expect("some seconds");
    if now < quiet_since + patience {
        return Ok(());
    }
    for (path, node) in &model.nodes {
        if !node.children.is_empty() {
            continue;
        }
        let old_enough = |limit_ms: i64| wall.0 - node.stat.mtime > limit_ms + patience_ms;
        let is_due = match node.kind {
            Kind::Plain => false,
            Kind::Container => {
                node.stat.cversion > 0 || model.never_used_ms.is_some_and(old_enough)
            }
            Kind::Ttl(ttl_ms) => old_enough(ttl_ms),
        };
        // The time at which its last child went.
        let changed = chain.get(node.stat.pzxid).map_or(0, |link| link.at);
        if is_due && changed + patience < now {
            return Err(format!(
                "{path} should be gone: it is {} ms old and had its last child at {changed} µs, {:?} \
                 {:?}",
                wall.0 - node.stat.mtime,
                node.kind,
                node.stat
            ));
        }
    }
    Ok(())
}
