//! The questions about sessions, which the leader answers in order.

use super::*;

/// A question about a session that the leader has still to answer.
#[derive(Debug)]
pub(super) struct Revalidation {
    /// The observer that asks, and the session's timeout in ms; `None`: this server itself asks.
    pub(super) observer: Option<(LinkId, ServerId, i32)>,
    /// The session.
    pub(super) session: SessionId,
}

impl ObserverMaster {
    /// This server asks the leader about a session itself.
    pub fn own_revalidation(&mut self, session: SessionId) {
        self.revalidations.push_back(Revalidation { observer: None, session });
    }

    /// The leader has said whether a session is alive, and since when the asking server owns it. True: this server
    /// itself had asked.
    ///
    /// The leader answers in order:
    ///
    /// 1. This server asks whether its connection keeps session S; then an observer asks whether S is alive.
    /// 2. S is alive, but belongs to a later connection: the leader answers no, and then yes.
    /// 3. If the observer took the first answer for its own, it would tell its client that S has expired, and the
    ///    connection here would go on.
    // ZooKeeper: ObserverMaster.revalidateLearnerSession does not take its own server's questions into account.
    pub fn revalidated(&mut self, session: SessionId, valid: bool, tenure: Option<Tenure>) -> bool {
        let Some(asked) = self.revalidations.pop_front_if(|asked| asked.session == session) else {
            warn!(%session, "the leader answers a question that is not the oldest one");
            return true;
        };
        if valid {
            self.holders.insert(session, asked.observer.map(|(_, server, _)| server));
        }
        // It is this server's own.
        let Some((link, _, timeout_ms)) = asked.observer else { return true };
        assert!(self.questions_of_all > 0, "it was counted as it came");
        self.questions_of_all -= 1;
        let of_link = self.questions.get_mut(&link).expect("it was counted as it came");
        assert!(*of_link > 0, "an observer without open questions has no entry");
        *of_link -= 1;
        if *of_link == 0 {
            self.questions.remove(&link);
        }
        self.learners.put(link, |out| put_revalidated(out, session, valid, tenure));
        if valid {
            self.inbound.push(Inbound::Touch { session, timeout_ms });
        }
        self.go_on();
        false
    }
}
