//! A learner's requests to its leader on behalf of clients (`Learner.request`, `validateSession`, `ping`).

use super::*;
use crate::id::SessionId;
use crate::proto::OpCode;
use crate::session::Tenure;
use crate::zab::leader::Upstream;
use crate::zab::{ForwardedRequest, PassedRequest, SessionScope};

impl Learner {
    /// Passes a request of this server's client on.
    pub fn forward(&mut self, request: &PassedRequest<'_>) {
        if request.op == OpCode::Sync.number()
            && self.is_up_to_date().is_some()
            && let Some(observers) = &mut self.lasting.observers
        {
            observers.own_sync();
        }
        self.pass_on(*request);
    }

    /// Passes the requests of this follower's observers on.
    pub fn relay_asked(&mut self) {
        // Only a follower with `observerMasterPort` has observers.
        let Some(mut observers) = self.lasting.observers.take() else { return };
        assert!(self.target.kind == LearnerKind::Follower, "an observer is nobody's master");
        let mut asked = Vec::new();
        observers.take(self.lasting.ready.last(), &mut asked);
        self.lasting.observers = Some(observers);
        asked.iter().for_each(|asked| self.relay(asked));
    }

    fn relay(&mut self, asked: &Upstream) {
        match asked {
            Upstream::Request(request) => {
                let ForwardedRequest { session, scope, cxid, op, ref body, ref identities, .. } =
                    *request;
                self.pass_on(PassedRequest { session, scope, cxid, op, body, identities });
            }
            Upstream::Revalidate(session, timeout_ms) => {
                self.ask_about(*session, *timeout_ms, None);
            }
            Upstream::Fence(session) => {
                self.ask(&Saying::Fence(*session));
            }
        }
    }

    fn pass_on(&mut self, mut request: PassedRequest<'_>) {
        if !self.knows_marks {
            request.scope = SessionScope::Unsaid;
        }
        self.ask(&Saying::Request(&request));
    }

    /// Asks whether a session is alive. `kept`: asks also whether the session has no later connection, which only a
    /// leader can answer that keeps tenures.
    pub fn revalidate(&mut self, session: SessionId, timeout_ms: i32, kept: Option<Tenure>) {
        assert!(
            kept.is_none() || self.is_below_a_ringkeeper(),
            "any other leader lets the session move"
        );
        if self.is_up_to_date().is_some()
            && let Some(observers) = &mut self.lasting.observers
        {
            observers.own_revalidation(session);
        }
        self.ask_about(session, timeout_ms, kept);
    }

    fn ask_about(&mut self, session: SessionId, timeout_ms: i32, kept: Option<Tenure>) {
        self.ask(&Saying::Revalidate { session, timeout_ms, kept });
    }

    /// Answers a PING with the sessions that were heard. The data is never null, because the leader reads it.
    pub fn answer_ping(&mut self, zxid: Zxid, touched: impl Iterator<Item = (SessionId, i32)>) {
        let sessions = touched.collect();
        self.ask(&Saying::Touched { zxid, sessions });
    }

    /// Sends a request, if this learner is up to date. Before, the leader expects other packets.
    fn ask(&mut self, saying: &Saying<'_>) {
        if self.is_up_to_date().is_some() {
            assert!(!saying.vouches(), "a request waits for no disk");
            self.say(saying);
        }
    }
}
