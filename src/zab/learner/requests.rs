//! What a learner asks of its leader for its clients (`Learner.request`, `validateSession`,
//! `ping`).

use super::*;
use crate::id::SessionId;
use crate::proto::OpCode;
use crate::session::Tenure;
use crate::zab::leader::Upstream;
use crate::zab::{ForwardedRequest, PassedRequest, SessionScope};

impl Learner {
    /// Passes a client's request on.
    pub fn forward(&mut self, request: &PassedRequest<'_>, lasting: &mut Lasting) {
        if request.op == OpCode::Sync.number()
            && self.is_up_to_date().is_some()
            && let Some(observers) = &mut lasting.observers
        {
            observers.own_sync();
        }
        self.pass_on(*request, lasting);
    }

    /// Passes on what observers of this follower have asked for.
    pub fn relay_asked(&mut self, lasting: &mut Lasting) {
        let Some(mut observers) = lasting.observers.take() else { return };
        let mut asked = Vec::new();
        observers.take(lasting.ready.last(), &mut asked);
        lasting.observers = Some(observers);
        asked.iter().for_each(|asked| self.relay(asked, lasting));
    }

    fn relay(&mut self, asked: &Upstream, lasting: &mut Lasting) {
        match asked {
            Upstream::Request(request) => {
                let ForwardedRequest { session, scope, cxid, op, ref body, ref identities, .. } =
                    *request;
                self.pass_on(PassedRequest { session, scope, cxid, op, body, identities }, lasting);
            }
            Upstream::Revalidate(session, timeout_ms) => {
                self.ask_about(*session, *timeout_ms, None, lasting);
            }
            Upstream::Fence(session) => {
                self.ask(&Saying::Fence(*session), lasting);
            }
        }
    }

    fn pass_on(&mut self, mut request: PassedRequest<'_>, lasting: &mut Lasting) {
        if !self.knows_marks {
            request.scope = SessionScope::Unsaid;
        }
        self.ask(&Saying::Request(&request), lasting);
    }

    /// Asks whether a session is alive. `kept`: and whether no later connection of it is known, as a
    /// leader can say that keeps tenures.
    pub fn revalidate(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        kept: Option<Tenure>,
        lasting: &mut Lasting,
    ) {
        assert!(
            kept.is_none() || self.is_below_a_ringkeeper(),
            "any other leader lets the session move"
        );
        if self.is_up_to_date().is_some()
            && let Some(observers) = &mut lasting.observers
        {
            observers.own_revalidation(session);
        }
        self.ask_about(session, timeout_ms, kept, lasting);
    }

    fn ask_about(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        kept: Option<Tenure>,
        lasting: &mut Lasting,
    ) {
        self.ask(&Saying::Revalidate { session, timeout_ms, kept }, lasting);
    }

    /// Answers a PING with the sessions heard of. Its data is never null: the leader reads it.
    pub fn answer_ping(
        &mut self,
        zxid: Zxid,
        touched: impl Iterator<Item = (SessionId, i32)>,
        lasting: &mut Lasting,
    ) {
        let sessions = touched.collect();
        self.ask(&Saying::Touched { zxid, sessions }, lasting);
    }

    /// Only a learner that is up to date asks: before, the leader expects other things.
    fn ask(&mut self, saying: &Saying<'_>, lasting: &mut Lasting) {
        if self.is_up_to_date().is_some() {
            self.say(saying, lasting);
        }
    }
}
