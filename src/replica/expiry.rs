//! Sessions whose clients were silent for their timeout: the server ends them, some in each turn.

use super::Replica;
use super::cost::Weight;
use super::pipeline::Pipeline;
use super::sessions::Sessions;
use crate::id::SessionId;
use crate::time::Now;

/// Most sessions that expire in one turn. Each costs 6 µs here and as much again when its end is applied, so this is
/// two milliseconds: when ten thousand clients vanish, the others are served meanwhile.
pub(super) const SESSIONS_EXPIRED_AT_ONCE_MAX: usize = 200;

impl Sessions {
    /// Whether the ends that were proposed last are all applied, or no longer in flight. Until then no other ends are
    /// proposed, because they would all be applied in one piece.
    pub(super) fn may_expire(&self, pipeline: &Pipeline) -> bool {
        pipeline.in_flight.front().is_none_or(|request| request.zxid > self.expired_up_to)
    }
}

impl Replica {
    /// Closes sessions whose clients were silent for the whole timeout: as many as take a millisecond or two. The
    /// others follow when these are gone.
    pub(super) fn expire_sessions(&mut self, now: Now) {
        if self.service.shutting_down {
            return;
        }
        self.expire_local_sessions(now);
        if !self.service.ensemble.proposes()
            || !self.service.sessions.may_expire(&self.service.pipeline)
        {
            return;
        }
        let mut expired = std::mem::take(&mut self.service.sessions.expired);
        assert!(expired.is_empty(), "sessions that expired before are closed");
        for _ in 0..SESSIONS_EXPIRED_AT_ONCE_MAX {
            // A session may own many nodes, so its end counts as heavy.
            if !self.service.may_write(Weight::Heavy) || !self.service.work.may_end_a_session() {
                break;
            }
            self.service.sessions.tracker.expire(now.mono, 1, &mut expired);
            if expired.is_empty() {
                // The tracker checks a bounded number of sessions at a time, and those were all alive.
                if self.service.sessions.tracker.next_expiry().is_none_or(|at| at > now.mono) {
                    break;
                }
                continue;
            }
            self.end_expired(now, &mut expired);
            if !self.service.may_write(Weight::Heavy) {
                self.service.work.on_long_end();
            }
        }
        self.service.sessions.expired = expired;
        self.answer_questions(now);
    }

    /// Proposes the ends of sessions that have expired.
    fn end_expired(&mut self, now: Now, expired: &mut Vec<SessionId>) {
        for session in expired.drain(..) {
            if let Some(unsaid) = self.service.lines.allow(self.service.now.mono) {
                tracing::info!(%session, unsaid, "expiring a session");
            }
            if self.service.propose_close_session(now, session, None, 0, 0) {
                self.service.stats.sessions_expired += 1;
                let last = self.service.pipeline.in_flight.back().map(|request| request.zxid);
                self.service.sessions.expired_up_to =
                    last.unwrap_or(self.service.sessions.expired_up_to);
            } else {
                // The disk has no room for the session's end, so the session lives on for another timeout.
                self.revive_session(now, session);
            }
        }
    }

    /// The end of a session could not be logged: the session lives on, unless a request of its connection was dropped.
    /// Such a connection is closed, because its client would miss an answer.
    pub(super) fn revive_session(&mut self, now: Now, session: SessionId) {
        self.service.sessions.tracker.revive(session, now.mono);
        if let Some(&slot) = self.service.clients.by_session.get(&session)
            && self.connections.get(slot).is_some_and(|connection| connection.dropped)
        {
            self.close(slot);
        }
        self.service.ensemble.questions.on_decided();
    }
}
