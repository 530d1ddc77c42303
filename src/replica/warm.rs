//! Loads the nodes of a client's next requests into the processor's caches, several at a time.
//!
//! A search is a handful of loads, each of which waits for the one before it; in a large tree that is a wait for the
//! memory. If requests are handled one after the other, these waits add up: the work for a request between two searches
//! is more than a processor looks ahead. If the searches of several requests follow each other with nothing in between,
//! they wait together. Their results are dropped; each request searches again, in the processor's caches.

use super::requests::split_frame;
use crate::database::Database;
use crate::jute::{Decoder, Jute};
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;

/// How many requests' nodes are loaded together: about as many searches as a processor has under way at once.
pub(super) const WARMED_TOGETHER: usize = 8;

/// Loads the nodes of the first requests in `frames`.
pub(super) fn warm(database: &Database, mut frames: &[u8]) {
    for at in 0..WARMED_TOGETHER {
        // These were all the frames.
        let Some(frame) = split_frame(&mut frames) else { return };
        if at == 0 && frames.is_empty() {
            // A single search gains nothing.
            return;
        }
        let mut input = Decoder::new(frame);
        // A malformed request is refused when its turn comes.
        if let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input)
            && OpCode::from_i32(op).is_some_and(is_about_a_node)
            && let Ok(Some(path)) = <Option<&[u8]>>::decode(&mut input)
        {
            database.warm(path);
        }
    }
}

/// Whether a request begins with a path, at which there is a node as a rule.
const fn is_about_a_node(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Delete
    )
}
