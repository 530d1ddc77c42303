//! Fetching the nodes that the next requests of a client are about, several at a time.
//!
//! A search is a handful of loads of which each waits for the one before it, in a large tree for the memory. One
//! request after the other, these waits add up: what is done for a request between two searches is more than a
//! processor looks ahead. The searches of several requests in a row, with nothing else between them, wait together.
//! What is found is forgotten; the request searches again, in the processor's caches.

use super::requests::split_frame;
use crate::database::Database;
use crate::jute::{Decoder, Jute};
use crate::proto::OpCode;
use crate::proto::request::RequestHeader;

/// Requests whose nodes are fetched together: about as many searches as a processor has under way at once.
pub(super) const WARMED_TOGETHER: usize = 8;

/// Fetches the nodes of the first requests in `frames`.
pub(super) fn warm(database: &Database, mut frames: &[u8]) {
    for at in 0..WARMED_TOGETHER {
        let Some(frame) = split_frame(&mut frames) else { return };
        if at == 0 && frames.is_empty() {
            // A request alone has nobody to wait with.
            return;
        }
        let mut input = Decoder::new(frame);
        // What is not right with a request is said when its turn comes.
        if let Ok(RequestHeader { op, .. }) = RequestHeader::decode(&mut input)
            && OpCode::from_i32(op).is_some_and(is_about_a_node)
            && let Ok(Some(path)) = <Option<&[u8]>>::decode(&mut input)
        {
            database.warm(path);
        }
    }
}

/// Whether a request begins with the path of a node that is there, as a rule.
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
