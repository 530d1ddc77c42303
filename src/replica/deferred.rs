//! Requests of learners that wait in a leader whose disk has no room: in their order, and how many each
//! session has among them.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::id::SessionId;
use crate::limits;
use crate::peer::ForwardedRequest;

#[derive(Default)]
pub(super) struct Deferred {
    requests: VecDeque<ForwardedRequest>,
    bytes: usize,
    of_sessions: HashMap<SessionId, usize>,
}

impl Deferred {
    pub fn push(&mut self, request: ForwardedRequest) {
        self.bytes += request.body.len();
        *self.of_sessions.entry(request.session).or_default() += 1;
        self.requests.push_back(request);
    }

    pub fn pop(&mut self) -> Option<ForwardedRequest> {
        let request = self.requests.pop_front()?;
        self.bytes -= request.body.len();
        let left = self.of_sessions.get_mut(&request.session).expect("it was counted");
        *left -= 1;
        if *left == 0 {
            self.of_sessions.remove(&request.session);
        }
        Some(request)
    }

    pub fn clear(&mut self) {
        *self = Deferred::default();
    }

    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Whether it is more than a leader keeps.
    pub fn is_too_much(&self) -> bool {
        self.requests.len() > limits::DEFERRED_REQUESTS_MAX
            || self.bytes > limits::DEFERRED_BYTES_MAX
    }

    /// Whether something waits that this session asked for.
    pub fn has_of(&self, session: SessionId) -> bool {
        self.of_sessions.contains_key(&session)
    }
}
