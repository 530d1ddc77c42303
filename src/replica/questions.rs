//! Questions whether a session is alive, from connections here and at learners, and when they have to wait.
//!
//! A client hears that its session is over only once the session's end is committed. Until then it may still live on:
//!
//! ```text
//! 1. The leader proposes the end of session S, whose time has come.
//! 2. S's client reopens S, and would be told that S has expired.
//! 3. The leader is lost before a quorum has the proposal; the next leader's history lacks it.
//! 4. S lives on with its ephemeral nodes, and its client, which has begun another session, waits
//!    for them to go: for a lock, say, that it holds itself.
//! ```
//!
//! So the question waits until the end is applied, or until the end is taken back because the disk
//! is full; then it is asked again. It also waits while requests of its session wait for room on the
//! disk. A session that a leader does not know may have begun under a later leader of which this one has not heard. So
//! this leader asks a quorum whether it still leads. If it does not, the client's connection ends without an answer,
//! and the client tries another server.
//!
//! Meanwhile the client may give up the connection that waits, and continue elsewhere:
//!
//! ```text
//! 1. S's client reopens S at server 1, whose question waits, perhaps behind one about another session.
//! 2. The client gives up server 1 and reopens S at server 2, whose question is answered at once.
//! 3. The question of step 1 can be answered.
//! ```
//! If S were given to server 1 now, the connection that lives would be closed. So a connection gets the number of a
//! turn when it asks, and the later of two turns has the session ([`Claim::New`]).
// ZooKeeper: SessionTrackerImpl.touchSession says at once that the session is not valid.

use std::collections::{BTreeMap, VecDeque};

use super::Replica;
use super::connection::Slot;
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::service::Service;
use super::sessions::Sessions;
use crate::id::{ServerId, SessionId};
use crate::limits;
use crate::link::LinkId;
use crate::planted::{self, PlantedBug};
use crate::session::Tenure;
use crate::time::Now;

/// Who asks about a session.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// A connection of this server.
    Here(Slot),
    /// A connection of a learner.
    Learner { link: LinkId, server: ServerId },
}

/// How a connection claims its session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// The connection is new, and asked in this turn.
    New { turn: u64 },
    /// The connection was there before this leader led, and has had the session since the tenure.
    Kept(Tenure),
}

/// The question whether a session is alive and belongs to a connection.
#[derive(Clone, Copy, Debug)]
struct Question {
    /// Who gets the answer.
    asker: Asker,
    session: SessionId,
    /// The timeout that the connection has negotiated.
    timeout_ms: i32,
    claim: Claim,
    /// The number under which a quorum is asked whether this server still leads: the session is unknown here, and is
    /// over only if it does. `None`: there is no such doubt.
    of_reign: Option<u64>,
    /// The number of the next deferred request when the learner asked: requests with this number or a higher one came
    /// later.
    deferred_before: u64,
}

/// Questions that wait, and when to look at them again.
#[derive(Default)]
pub(super) struct Questions {
    /// Questions of connections here, in the order in which they were asked.
    ///
    /// Invariant: at most one for each connection.
    here: VecDeque<Question>,
    /// The questions of each learner, in the order in which they were asked, which is the order of their answers: only
    /// the first of each learner may be answered.
    ///
    /// Invariant: no learner has an empty list.
    of_learners: BTreeMap<LinkId, VecDeque<Question>>,
    /// Something was decided since the questions were looked at: a session's end was applied or taken back, requests
    /// that had waited for room were proposed, or a quorum has answered. Or one turn could not answer all of them.
    is_due: bool,
    /// The last question about the lead to which a quorum said yes.
    still_led: u64,
}

impl Questions {
    /// Something was decided for which questions may wait: the end of a session was applied or taken back, or requests
    /// that had waited were proposed.
    pub fn on_decided(&mut self) {
        self.is_due = !self.here.is_empty() || !self.of_learners.is_empty();
    }

    /// Whether there are questions to look at again.
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    fn keep(&mut self, question: Question) {
        match question.asker {
            Asker::Here(_) => self.here.push_back(question),
            Asker::Learner { link, .. } => {
                self.of_learners.entry(link).or_default().push_back(question);
            }
        }
    }

    /// How many questions of the same learner wait; none, for a connection here.
    fn of_learner(&self, asker: Asker) -> usize {
        match asker {
            Asker::Here(_) => 0,
            Asker::Learner { link, .. } => self.of_learners.get(&link).map_or(0, VecDeque::len),
        }
    }

    /// How many questions wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.here.len() + self.of_learners.values().map(VecDeque::len).sum::<usize>()
    }

    /// A learner's link is over: nobody waits for the answers any more.
    pub fn forget(&mut self, link: LinkId) {
        self.of_learners.remove(&link);
    }

    /// This server no longer decides about sessions.
    pub fn clear(&mut self) {
        self.here.clear();
        self.of_learners.clear();
        self.is_due = false;
        self.still_led = 0;
    }

    /// A quorum follows this leader: the answer to the question `number` about the lead.
    pub fn on_still_leads(&mut self, number: u64) {
        self.still_led = number;
        self.on_decided();
    }
}

impl Ensemble {
    /// The claim of a connection that asks now: `kept`, if it has had its session since before this leader led.
    pub(super) fn claim(&mut self, kept: Option<Tenure>) -> Claim {
        kept.map_or_else(
            || {
                self.turns += 1;
                Claim::New { turn: self.turns }
            },
            Claim::Kept,
        )
    }

    /// Most questions of a server that may wait. Anybody may connect as an observer, so a server that is not a member
    /// may have fewer.
    pub(super) fn questions_max(&self, server: ServerId) -> usize {
        let is_member =
            self.peer.as_member().is_some_and(|it| it.config().members.contains_key(&server));
        match is_member {
            true => limits::LEARNER_QUESTIONS_MAX,
            false => limits::STRANGER_QUESTIONS_MAX,
        }
    }

    /// Whether a learner's connection would get a tenure that is older than transactions which its session asked for
    /// earlier, because those requests still wait for room on the disk:
    ///
    /// ```text
    /// 1. The disk of this leader is full. A client at server 1 has asked for a write, with xid 2.
    /// 2. It reconnects to server 1, counts from the beginning, and asks for another write with xid 2.
    /// 3. There is room. Server 1 takes the outcome of the first write for that of the second.
    /// ```
    /// Requests that come later, or at another server, do not count: a client that keeps asking elsewhere would keep
    /// the answer, and all behind it, waiting for as long as it likes.
    fn is_ahead_of_its_requests(&self, question: &Question) -> bool {
        // Connections here are told apart without xids, and a connection that was kept has its tenure already.
        let Asker::Learner { server, .. } = question.asker else { return false };
        let (session, before) = (question.session, question.deferred_before);
        matches!(question.claim, Claim::New { .. }) && self.deferred.has_of(session, server, before)
    }
}

impl Sessions {
    /// Whether the client of a connection that asked has taken up its session on a later one. The later connection
    /// lives, and would be closed if the session were given to this one.
    pub(super) fn has_gone_on(
        &self,
        session: SessionId,
        claim: Claim,
        owns: Option<Tenure>,
    ) -> bool {
        matches!(claim, Claim::New { .. })
            && owns.is_some_and(|tenure| !self.tracker.is_owned_since(session, tenure))
    }

    /// Whether the end of a session is proposed and neither applied nor taken back.
    pub(super) fn is_end_undecided(&self, session: SessionId) -> bool {
        self.tracker.is_closing(session)
            && !planted::is(self.options.planted, PlantedBug::ExpiredTooSoon)
    }
}

impl Sessions {
    /// Asks a quorum whether this server still leads, if its answer is needed before a client may hear that its session
    /// is over. Returns the number of that question.
    pub(super) fn doubt(
        &mut self,
        session: SessionId,
        claim: Claim,
        ensemble: &mut Ensemble,
    ) -> Option<u64> {
        // A connection that was kept is closed without an answer.
        let is_new = matches!(claim, Claim::New { .. });
        let doubts = is_new && !self.tracker.contains(session);
        doubts.then(|| ensemble.peer.confirm_lead()).flatten()
    }

    /// Keeps a question that has to wait, or drops a learner that has asked too many. False: it can be answered now.
    fn keep_question(&mut self, question: Question, ensemble: &mut Ensemble) -> bool {
        // ZooKeeper: ObserverMaster.revalidateLearnerSession takes the answers that it passes on in
        // the order of its questions, whichever sessions they are about.
        let before = ensemble.questions.of_learner(question.asker);
        if before == 0 && !self.has_to_wait(&question, ensemble) {
            return false;
        }
        match question.asker {
            Asker::Learner { link, server } if before >= ensemble.questions_max(server) => {
                ensemble.questions.forget(link);
                ensemble.peer.refuse_questions(link);
            }
            // A connection here asks one question at most.
            Asker::Here(_) | Asker::Learner { .. } => ensemble.questions.keep(question),
        }
        true
    }

    /// Whether a question cannot be answered yet.
    fn has_to_wait(&self, question: &Question, ensemble: &Ensemble) -> bool {
        let is_doubted =
            question.of_reign.is_some_and(|number| number > ensemble.questions.still_led);
        is_doubted
            || self.is_end_undecided(question.session)
            || ensemble.is_ahead_of_its_requests(question)
    }
}

impl Service {
    /// Answers a question: since when the connection at the server `owner` has the session. `None`: the session is
    /// over, or another connection has it.
    fn decide(
        &mut self,
        now: Now,
        session: SessionId,
        owner: ServerId,
        timeout_ms: i32,
        claim: Claim,
    ) -> Option<Tenure> {
        let Service { sessions, pipeline, ensemble, .. } = self;
        assert!(ensemble.proposes(), "a session is decided about where transactions are made");
        match claim {
            // The server has kept the connection while there was no leader.
            Claim::Kept(tenure) => {
                let keeps = pipeline.may_have_been_given(tenure, ensemble)
                    && sessions.tracker.keep_owner(session, owner, tenure)
                    && sessions.tracker.touch_with(session, timeout_ms, now.mono);
                keeps.then_some(tenure)
            }
            Claim::New { turn } => {
                sessions.give_session(now, session, owner, timeout_ms, turn, pipeline)
            }
        }
    }

    /// A connection here asks about its session, which this server decides about. Returns since when the session is the
    /// connection's, if it is. `None`: the connection has to wait for the answer.
    pub(super) fn ask_here(
        &mut self,
        now: Now,
        slot: Slot,
        session: SessionId,
        timeout_ms: i32,
        kept: Option<Tenure>,
    ) -> Option<Option<Tenure>> {
        assert!(session != SessionId::NONE, "a connection asks about a session");
        let claim = self.ensemble.claim(kept);
        let of_reign = self.sessions.doubt(session, claim, &mut self.ensemble);
        let asker = Asker::Here(slot);
        let deferred_before = 0;
        let question = Question { asker, session, timeout_ms, claim, of_reign, deferred_before };
        if self.sessions.keep_question(question, &mut self.ensemble) {
            return None;
        }
        let me = self.ensemble.me;
        Some(self.decide(now, session, me, timeout_ms, claim))
    }
}

impl Replica {
    /// A learner asks about the session of one of its connections.
    pub(super) fn on_revalidate(
        &mut self,
        now: Now,
        (link, server): (LinkId, ServerId),
        session: SessionId,
        timeout_ms: i32,
        kept: Option<Tenure>,
    ) {
        if self.service.ensemble.role != ReplicaRole::Leading {
            let server = server.0;
            tracing::debug!(server, %session, "a learner asks about a session, and this server does not lead");
            return;
        }
        let asker = Asker::Learner { link, server };
        let claim = self.service.ensemble.claim(kept);
        let of_reign = self.service.sessions.doubt(session, claim, &mut self.service.ensemble);
        let deferred_before = self.service.ensemble.deferred.next_number();
        let question = Question { asker, session, timeout_ms, claim, of_reign, deferred_before };
        if !self.service.sessions.keep_question(question, &mut self.service.ensemble) {
            let owns = self.on_learner_asks(now, server, session, timeout_ms, claim);
            self.service.ensemble.peer.answer_revalidate(link, session, owns);
        }
    }

    /// Answers the questions that need not wait any more, if something was decided since they were looked at.
    pub(super) fn answer_questions(&mut self, now: Now) {
        if !std::mem::take(&mut self.service.ensemble.questions.is_due) {
            return;
        }
        for question in std::mem::take(&mut self.service.ensemble.questions.here) {
            match self.service.sessions.has_to_wait(&question, &self.service.ensemble) {
                true => self.service.ensemble.questions.keep(question),
                false => self.answer_question(now, question),
            }
        }
        let links: Vec<LinkId> =
            self.service.ensemble.questions.of_learners.keys().copied().collect();
        let mut left = limits::QUESTIONS_PER_TURN;
        // One question of each link in turn.
        loop {
            let before = left;
            for link in &links {
                if left == 0 {
                    self.service.ensemble.questions.on_decided();
                    return;
                }
                left -= usize::from(self.answer_first_of(now, *link));
            }
            if left == before {
                return;
            }
        }
    }

    /// Answers the oldest question of a learner, unless it has to wait. True: it did.
    fn answer_first_of(&mut self, now: Now, link: LinkId) -> bool {
        let of_link = self.service.ensemble.questions.of_learners.get(&link);
        assert!(of_link.is_none_or(|it| !it.is_empty()), "a learner is listed while it waits");
        let first = of_link.and_then(VecDeque::front).copied();
        // The learner has no more questions, or its oldest one has to wait.
        let Some(question) =
            first.filter(|first| !self.service.sessions.has_to_wait(first, &self.service.ensemble))
        else {
            return false;
        };
        let questions = &mut self.service.ensemble.questions;
        let of_link = questions.of_learners.get_mut(&link).expect("its oldest was just read");
        of_link.pop_front();
        if of_link.is_empty() {
            questions.of_learners.remove(&link);
        }
        self.answer_question(now, question);
        true
    }

    /// Answers a question that need not wait any more.
    fn answer_question(&mut self, now: Now, question: Question) {
        let Question { asker, session, timeout_ms, claim, .. } = question;
        match asker {
            Asker::Here(slot) => {
                // The client has closed its socket, and needs no answer.
                let Some(connection) = self.connections.get_mut(slot) else { return };
                if connection.is_open() {
                    assert_eq!(connection.session, session, "a connection keeps its session");
                    let me = self.service.ensemble.me;
                    let owns = self.service.decide(now, session, me, timeout_ms, claim);
                    if self.service.sessions.has_gone_on(session, claim, owns) {
                        self.service.on_session_moved(slot, connection);
                    } else {
                        let valid = owns.is_some();
                        self.on_session_confirmed(now, slot, valid, owns);
                    }
                }
            }
            Asker::Learner { link, server } => {
                let owns = self.on_learner_asks(now, server, session, timeout_ms, claim);
                self.service.ensemble.peer.answer_revalidate(link, session, owns);
            }
        }
    }

    /// Answers the question of a learner: since when its connection owns the session, if it does. A connection here
    /// that owned the session before is closed.
    // ZooKeeper: Leader.revalidateSession knows only new connections, none that were kept.
    fn on_learner_asks(
        &mut self,
        now: Now,
        server: ServerId,
        session: SessionId,
        timeout_ms: i32,
        claim: Claim,
    ) -> Option<Tenure> {
        let owns = self.service.decide(now, session, server, timeout_ms, claim);
        if let Some(theirs) = owns
            && let Some(&slot) = self.service.clients.by_session.get(&session)
            && let Some(connection) = self.connections.get_mut(slot)
            && connection.tenure.is_none_or(|ours| ours < theirs)
        {
            assert_eq!(connection.session, session, "a session's connection has that session");
            self.service.on_session_moved(slot, connection);
        }
        owns
    }
}
