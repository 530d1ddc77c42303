//! The encoding of a state that files and streams share (`SerializeUtils.serializeSnapshot`):
//! sessions, ACLs, nodes, the path that ends them.

use crate::database::{Database, SnapshotHead};
use crate::jute::Jute;

/// Nodes taken between two checks of the size of the slice.
const STEP_NODES: usize = 16;

/// Encodes the part before the nodes.
pub(super) fn head(head: &SnapshotHead, out: &mut Vec<u8>) {
    count(head.sessions.len()).encode(out);
    for (id, timeout_ms) in &head.sessions {
        id.0.encode(out);
        timeout_ms.encode(out);
    }
    count(head.acls.len()).encode(out);
    for (key, acl) in &head.acls {
        key.0.encode(out);
        out.extend_from_slice(acl.encoded());
    }
}

/// Encodes up to `nodes_max` nodes, or until `out` has `bytes`. Returns whether more nodes are
/// left.
pub(super) fn slice(
    database: &mut Database,
    nodes_max: usize,
    bytes: usize,
    out: &mut Vec<u8>,
) -> bool {
    let mut nodes_left = nodes_max.max(1);
    loop {
        let step = nodes_left.min(STEP_NODES);
        let more = database.snapshot_next(step, &mut |node| {
            Some(node.path).encode(out);
            node.data.encode(out);
            node.acl.0.encode(out);
            node.stat.encode(out);
        });
        assert!(step > 0, "each step takes a node");
        nodes_left -= step;
        if !more {
            return false;
        }
        if nodes_left == 0 || out.len() >= bytes {
            return true;
        }
    }
}

/// Encodes the end of the nodes.
pub(super) fn end(out: &mut Vec<u8>) {
    Some("/").encode(out);
}

fn count(count: usize) -> i32 {
    i32::try_from(count).expect("sessions and ACLs are far fewer than 2^31")
}
