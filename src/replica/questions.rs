//! Questions about sessions that are being closed, of connections here and at learners.
//!
//! That a session is over is told only once its end is committed. Until then it may still live on:
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
//! disk. A session that a leader does not know may have been begun by a
//! later leader that it has not heard of: so a quorum is asked whether this one still leads. If it
//! does not, the client's connection ends without an answer, and the client tries another server.
//!
//! Meanwhile the client may give the connection that waits up, and go on elsewhere:
//!
//! ```text
//! 1. S's client reopens S at server 1, whose question waits, perhaps behind one about another session.
//! 2. The client gives server 1 up and reopens S at server 2, whose question is answered at once.
//! 3. The question of step 1 can be answered.
//! ```
//! Were S given to server 1 now, the connection that lives would be closed. So a connection takes its
//! turn when it asks, and of two turns the later one has the session ([`Claim::New`]).
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

/// What a connection wants of a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// It is a new connection, and asked in this turn.
    New { turn: u64 },
    /// It was there before this leader, and has had the session since.
    Kept(Tenure),
}

/// Whether a session is alive, and belongs to a connection.
#[derive(Clone, Copy, Debug)]
struct Question {
    asker: Asker,
    session: SessionId,
    timeout_ms: i32,
    claim: Claim,
    /// The session is unknown here. It is over if this server still leads: so a quorum is asked.
    of_reign: Option<u64>,
    /// What the session has asked for at the same server since then came later.
    deferred_before: u64,
}

/// Questions that wait for the end of their session.
#[derive(Default)]
pub(super) struct Questions {
    /// Of connections here, in the order in which they were asked.
    here: VecDeque<Question>,
    /// Of each learner, in the same order, in which they are answered: only the first of each is looked at. None is
    /// empty.
    of_learners: BTreeMap<LinkId, VecDeque<Question>>,
    /// Some session's end was applied or taken back since the questions were looked at, or requests were
    /// proposed that had waited for room, or a quorum was heard of.
    is_due: bool,
    /// The last question about the lead that was answered.
    still_led: u64,
}

impl Questions {
    /// The end of a session was applied, or taken back; or requests that had waited were proposed.
    pub fn on_decided(&mut self) {
        self.is_due = !self.here.is_empty() || !self.of_learners.is_empty();
    }

    /// Whether more can be answered than one turn answers.
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

    fn of_learner(&self, asker: Asker) -> usize {
        match asker {
            Asker::Here(_) => 0,
            Asker::Learner { link, .. } => self.of_learners.get(&link).map_or(0, VecDeque::len),
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.here.len() + self.of_learners.values().map(VecDeque::len).sum::<usize>()
    }

    /// A learner's link is over: nobody waits for its answers.
    pub fn forget(&mut self, link: LinkId) {
        self.of_learners.remove(&link);
    }

    /// This server decides about sessions no more.
    pub fn clear(&mut self) {
        self.here.clear();
        self.of_learners.clear();
        self.is_due = false;
        self.still_led = 0;
    }

    /// A quorum still follows this leader.
    pub fn on_still_leads(&mut self, number: u64) {
        self.still_led = number;
        self.on_decided();
    }
}

impl Ensemble {
    pub(super) fn claim(&mut self, kept: Option<Tenure>) -> Claim {
        kept.map_or_else(
            || {
                self.turns += 1;
                Claim::New { turn: self.turns }
            },
            Claim::Kept,
        )
    }

    /// Anybody may come as an observer: those that are no members may keep fewer waiting.
    pub(super) fn questions_max(&self, server: ServerId) -> usize {
        let is_member =
            self.peer.as_member().is_some_and(|it| it.config().members.contains_key(&server));
        match is_member {
            true => limits::LEARNER_QUESTIONS_MAX,
            false => limits::STRANGER_QUESTIONS_MAX,
        }
    }

    /// Whether a learner's connection would get a tenure that its session's earlier requests come behind,
    /// because they wait for room on the disk:
    ///
    /// ```text
    /// 1. The disk of this leader is full. A client at server 1 has asked for a write, with xid 2.
    /// 2. It reconnects to server 1, counts from the beginning, and asks for another write with xid 2.
    /// 3. There is room. Server 1 takes what became of the first write for the second one's.
    /// ```
    /// What comes later, or at another server, is no part of that: a client that goes on asking elsewhere would keep the
    /// answer, and all behind it, waiting for as long as it likes.
    fn is_ahead_of_its_requests(&self, question: &Question) -> bool {
        // Connections here have numbers of their own, and the tenure of one that is kept is there.
        let Asker::Learner { server, .. } = question.asker else { return false };
        let (session, before) = (question.session, question.deferred_before);
        matches!(question.claim, Claim::New { .. }) && self.deferred.has_of(session, server, before)
    }
}

impl Sessions {
    /// Whether the client of a connection that asked has taken its session up on a later one: that one
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

    pub(super) fn is_end_undecided(&self, session: SessionId) -> bool {
        self.tracker.is_closing(session)
            && !planted::is(self.options.planted, PlantedBug::ExpiredTooSoon)
    }
}

impl Sessions {
    /// The question about the lead that has to be answered before a session is said to be over.
    pub(super) fn doubt(
        &mut self,
        session: SessionId,
        claim: Claim,
        ensemble: &mut Ensemble,
    ) -> Option<u64> {
        // A connection that was kept is closed without a word.
        let is_new = matches!(claim, Claim::New { .. });
        let doubts = is_new && !self.tracker.contains(session);
        doubts.then(|| ensemble.peer.confirm_lead()).flatten()
    }

    /// Whether a question has to wait, or is one too many.
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
            // Of a connection here there is one at most.
            _ => ensemble.questions.keep(question),
        }
        true
    }

    fn has_to_wait(&self, question: &Question, ensemble: &Ensemble) -> bool {
        let is_doubted =
            question.of_reign.is_some_and(|number| number > ensemble.questions.still_led);
        is_doubted
            || self.is_end_undecided(question.session)
            || ensemble.is_ahead_of_its_requests(question)
    }
}

impl Service {
    /// Whether a connection at the server `owner` has a session: since when, or `None`. The session may be over, or
    /// another connection may have it.
    fn decide(
        &mut self,
        now: Now,
        session: SessionId,
        owner: ServerId,
        timeout_ms: i32,
        claim: Claim,
    ) -> Option<Tenure> {
        let Service { sessions, pipeline, ensemble, .. } = self;
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

    /// A connection of this server asks, which decides about sessions: since when the session is the
    /// connection's, if it is. `None`: the connection has to wait for the answer.
    pub(super) fn ask_here(
        &mut self,
        now: Now,
        slot: Slot,
        session: SessionId,
        timeout_ms: i32,
        kept: Option<Tenure>,
    ) -> Option<Option<Tenure>> {
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
    /// A learner asks.
    pub(super) fn on_revalidate(
        &mut self,
        now: Now,
        (link, server): (LinkId, ServerId),
        session: SessionId,
        timeout_ms: i32,
        kept: Option<Tenure>,
    ) {
        if self.service.ensemble.role != ReplicaRole::Leading {
            tracing::debug!(server = server.0, %session, "a question about a session for a leader that is none");
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

    /// Asks again what waited for ends that are decided by now.
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
        // One of each link in turn.
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

    /// Answers the question of a learner that is next, if it need not wait any more; whether there was one.
    fn answer_first_of(&mut self, now: Now, link: LinkId) -> bool {
        let of_link = self.service.ensemble.questions.of_learners.get(&link);
        let first = of_link.and_then(VecDeque::front).copied();
        let Some(question) =
            first.filter(|first| !self.service.sessions.has_to_wait(first, &self.service.ensemble))
        else {
            return false;
        };
        let questions = &mut self.service.ensemble.questions;
        let of_link = questions.of_learners.get_mut(&link).expect("its first was just looked at");
        of_link.pop_front();
        if of_link.is_empty() {
            questions.of_learners.remove(&link);
        }
        self.answer_question(now, question);
        true
    }

    fn answer_question(&mut self, now: Now, question: Question) {
        let Question { asker, session, timeout_ms, claim, .. } = question;
        match asker {
            Asker::Here(slot) => {
                let Some(connection) = self.connections.get_mut(slot) else { return };
                if connection.is_open() {
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

    /// A learner has a connection of a session, a new one or, `kept`, one from before this leader led:
    /// since when it owns the session, if it does.
    // ZooKeeper: Leader.revalidateSession knows only the first.
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
            self.service.on_session_moved(slot, connection);
        }
        owns
    }
}
