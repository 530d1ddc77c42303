//! What a change of a server's role means for its clients.
//!
//! ZooKeeper closes every connection when the leader is lost. Ringkeeper *parks* a connection: its
//! requests wait, bounded in time and bytes, until there is a leader whose history continues
//! what the client has seen. A request that was passed on to the lost leader is passed on
//! again, if it is not in the new leader's history: then it can never be committed any more, because
//! a quorum has promised not to follow the old epoch. A request that may be what ended the leader is not passed on
//! again (`suspects`).
//!
//! ```text
//! 1. The request is on its way to the leader of epoch 5, whose connection breaks.
//! 2. A leader of epoch 6 has a quorum; this server has its whole history.
//! 3. If the request is in that history, it was applied, and its client answered, on the way.
//!    If not, nobody will ever commit it in epoch 5, so it may be passed on in epoch 6.
//! With the same leader in the same epoch step 3 does not hold: the request may still lie in a
//! buffer there. Then the connection is closed, and its client does not know, as with ZooKeeper.
//! ```
//!
//! Meanwhile the client may have given this server up. Then nothing that it sent here may be carried
//! out after what it sends elsewhere (ZOOKEEPER-417), and its session must stay where it is:
//!
//! ```text
//! 1. The leader's connection to server 1 breaks; a write of session S waits there.
//! 2. S's client reopens S at server 2, and writes.
//! 3. Server 1 has a leader again.
//! If it is the same leader, it knows since step 2 that S is server 2's. Server 1 does not ask it, because its answer
//!    to a new connection would let S move: the write is passed on, and refused with SESSIONMOVED.
//! If it is another leader, it knows no owners. If the write of step 2 was committed, it was applied here
//!    before step 3, and ended the connection (`Replica::on_foreign_txn`). If not, both servers ask
//!    to keep S, and the greater tenure, server 2's, keeps it, whichever server asks first.
//! ```
//! If S only reads in step 2, that leaves no trace, and the write of step 1 may be carried out after the read when the
//! leader is lost at that moment. The same happens with ZooKeeper, where the lost leader's write may be found in
//! the history of the next one. If the leader or the connection has no tenures, nobody can know who has S; then
//! the connection is closed, as ZooKeeper closes all.

use super::Replica;
use super::connection::{Connection, Slot, State, Waiting};
use super::early::Early;
use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::owed::Expected;
use super::reap::Reaping;
use super::service::Service;
use crate::id::{Epoch, SessionId, Zxid};
use crate::planted::{self, PlantedBug};
use crate::processor::Prep;
use crate::session::{Tenure, Tracker};
use crate::time::{MonoUs, Now};
use crate::zab::Standing;

/// How long a server waits for a leader before it serves readers without one; a tick, if that is longer.
// ZooKeeper: QuorumPeer.run.
const READ_ONLY_AFTER_MS: u64 = 2000;

/// Ticks for which a connection waits for a leader. A guess: an election among servers that are up
/// takes far less, and a client gives up a server after two thirds of its timeout, which by default
/// is no shorter than this.
const PARKED_TICKS: u64 = 2;

impl Ensemble {
    /// When the first parked connection has waited long enough, or readers may be served.
    pub(super) fn next_standing_timeout(&self) -> Option<MonoUs> {
        let parked = self.parked.iter().map(|(until, _)| *until).min();
        let read_only = match (self.read_only, self.may_serve_readers()) {
            (false, true) => Some(self.read_only_at()),
            (true, false) => Some(self.looking_since),
            (false, false) | (true, true) => None,
        };
        parked.into_iter().chain(read_only).min()
    }

    /// Whether this server may serve clients that only read, once there was no leader for long enough.
    // ZooKeeper: ReadOnlyZooKeeperServer serves whatever tree it has. But the data of another history are not
    // old: they never were. And clients that have seen them would refuse the ensemble's answers afterwards, whose
    // zxids may be lower.
    pub(super) fn may_serve_readers(&self) -> bool {
        self.options.read_only_mode
            && self.role == ReplicaRole::Looking
            && !self.peer.is_of_other_history()
    }

    /// When this server begins to serve clients that only read, if there is no leader until then.
    pub(super) fn read_only_at(&self) -> MonoUs {
        let wait_ms = READ_ONLY_AFTER_MS.max(self.options.tick_ms.into());
        self.looking_since.plus_ms(wait_ms)
    }
}

/// What happens to a parked connection, now that there is a leader.
enum Next {
    /// The connection is closed.
    Closed,
    /// The connection continues.
    GoesOn,
    /// The leader is asked whether the session still belongs to the connection, as it has since this tenure.
    Asks(Tenure),
}

impl Service {
    /// Decides whether a parked connection continues, now that there is a leader.
    fn next_for_parked(&mut self, now: Now, slot: Slot, connection: &mut Connection) -> Next {
        assert!(connection.parked.is_some(), "the caller has found the connection parked");
        // A request of an earlier connection of the session was in the history that is applied, or will never be
        // applied. Until now it could arrive, with the same xid as a request of this connection.
        let passed_on = &mut self.ensemble.passed_on;
        connection.queue.retain(|step| match step {
            Waiting::Forwarded(request) if request.silent => {
                passed_on.remove(request);
                false
            }
            _ => true,
        });
        let same_leader = self.ensemble.epoch <= connection.epoch;
        let asks_twice = planted::is(self.options.planted, PlantedBug::ParkedSentTwice);
        if same_leader && connection.awaits_writes() && !asks_twice {
            return self.close_parked(slot, connection);
        }
        if connection.has_suspects() && !asks_twice {
            if let Some(unsaid) = self.lines.allow(now.mono) {
                tracing::warn!(
                    conn = slot.id.0, remote = %connection.remote, session = %connection.session, unsaid,
                    "the leader was lost before it was seen to propose a request of this connection: the \
                     request is not passed on to the next one"
                );
            }
            return self.close_parked(slot, connection);
        }
        // No other server can have a local session, or one whose id its client does not know yet.
        if connection.local || connection.state == State::Connecting {
            return Next::GoesOn;
        }
        match connection.tenure {
            Some(_) if !self.ensemble.peer.keeps_tenures() => self.close_parked(slot, connection),
            Some(_) if same_leader => Next::GoesOn,
            Some(tenure) => Next::Asks(tenure),
            // ZooKeeper: its leaders take this server for another learner than the one that owned the session.
            None => self.close_parked(slot, connection),
        }
    }

    fn close_parked(&mut self, slot: Slot, connection: &mut Connection) -> Next {
        self.close_connection(slot, connection);
        Next::Closed
    }

    /// Handles the steps of a connection's queue as if they had just arrived. Returns the frames behind them, which
    /// were not looked at before the connection was parked; none, if the connection is closed meanwhile.
    fn take_up_queue(&mut self, now: Now, slot: Slot, connection: &mut Connection) -> Early {
        assert!(connection.parked.is_none(), "a parked connection waits for a leader");
        connection.state = State::Ready;
        let mut queue = std::mem::take(&mut connection.queue);
        let early = std::mem::take(&mut connection.early);
        connection.held_bytes = 0;
        connection.waits_to_be_read = false;
        connection.owed.expected = Expected::default();
        let session = connection.session;
        if connection.local && self.sessions.local.is_closing(session) {
            // Requests before the session's end would be dropped now, as those behind it are: so the end is forgotten
            // until its own turn comes.
            let local = &mut self.sessions.local;
            let timeout_ms = local.timeout_ms(session).unwrap_or(self.sessions.timeouts.max_ms);
            local.remove(session);
            local.add(session, timeout_ms, now.mono);
        }
        while connection.is_open()
            && let Some(step) = queue.pop_front()
        {
            // The epoch of this leader may be over already. A request that cannot be proposed in it waits for the next
            // leader, and the steps behind it wait as well.
            if let Waiting::Forwarded(request) = &step
                && self.waits_for_next_leader(request.op)
            {
                self.park(now, slot, connection);
            }
            if connection.parked.is_some() {
                self.keep_waiting(connection, step);
                continue;
            }
            let held = usize::from(step.is_held());
            assert!(held <= self.clients.requests_held, "a step that leaves a queue was counted");
            self.clients.requests_held -= held;
            match step {
                Waiting::Write => {
                    unreachable!("connections with proposals of a lost lead are closed")
                }
                Waiting::Request { frame, identities, .. } => {
                    let later = connection.identities.split_off(identities);
                    self.on_request(now, slot, connection, &frame);
                    connection.identities.extend(later);
                }
                Waiting::Forwarded(mut request) => {
                    // The audit log is told of what comes of it now.
                    request.audit = None;
                    self.ensemble.passed_on.remove(&request);
                    self.clients.release_large(request.large);
                    let later = connection.identities.split_off(request.identities);
                    self.on_request(now, slot, connection, &request.frame);
                    connection.note_again();
                    connection.identities.extend(later);
                }
                Waiting::Answer { answer, .. } => {
                    if answer.ends && connection.local {
                        self.sessions.local.set_closing(session);
                    }
                    self.answer_in_turn(now, slot, connection, answer, Zxid::ZERO);
                }
            }
        }
        if connection.is_open() {
            return early;
        }
        self.clients.release_steps(queue, &mut self.ensemble);
        Early::default()
    }

    /// Lets a connection wait until there is a leader.
    pub(super) fn park(&mut self, now: Now, slot: Slot, connection: &mut Connection) {
        if connection.parked.is_some() || !connection.is_open() {
            return;
        }
        assert!(connection.session != SessionId::NONE, "only a connection with a session waits");
        if connection.input_over {
            // As far as anybody knows, the client is gone, and may be at another server when there is a leader.
            return self.close_connection(slot, connection);
        }
        let timeout_ms = u64::try_from(connection.timeout_ms).unwrap_or(0);
        let wait_ms = (u64::from(self.options.tick_ms) * PARKED_TICKS).min(timeout_ms);
        let until = now.mono.plus_ms(wait_ms);
        connection.parked = Some(until);
        connection.floor = Zxid::ZERO;
        self.ensemble.parked.push((until, slot));
    }

    /// Puts a step back into the queue of a connection that is parked once more.
    fn keep_waiting(&self, connection: &mut Connection, step: Waiting) {
        match &step {
            Waiting::Request { frame, expected, .. } => {
                connection.held_bytes += frame.len();
                connection.owed.expected.add(*expected);
            }
            Waiting::Forwarded(request) => connection.held_bytes += request.frame.len(),
            Waiting::Write | Waiting::Answer { .. } => {}
        }
        connection.queue.push_back(step);
    }
}

impl Replica {
    /// The role of this server has changed.
    pub(super) fn on_standing(&mut self, now: Now, standing: Standing) {
        let is_alone = self.service.ensemble.role == ReplicaRole::Alone;
        assert!(!is_alone, "a server on its own keeps its role");
        match standing {
            Standing::Looking => self.become_looking(now),
            Standing::Leading { epoch } => self.become_leading(now, epoch),
            Standing::Following { leader, epoch } => {
                // The tree that the leader sent may have been ahead of the transactions behind it. All of those were
                // applied before the leader said that this server is up to date.
                self.service.database.set_tolerant(false);
                tracing::debug!(
                    leader = leader.0,
                    epoch = epoch.0,
                    "following: clients are served"
                );
                self.become_learning(now, epoch);
            }
            Standing::Observing { leader, epoch } => {
                tracing::debug!(
                    leader = leader.0,
                    epoch = epoch.0,
                    "observing: clients are served"
                );
                self.become_learning(now, epoch);
            }
        }
    }

    /// There is no leader: what depends on it is given up, and clients wait.
    fn become_looking(&mut self, now: Now) {
        if self.service.ensemble.role != ReplicaRole::Looking {
            tracing::debug!("no leader: clients wait");
            self.service.ensemble.looking_since = now.mono;
        }
        self.service.ensemble.role = ReplicaRole::Looking;
        // Nobody knows yet whether the proposals of this server will be committed.
        for request in std::mem::take(&mut self.service.pipeline.in_flight) {
            self.service.clients.release_large(request.large);
            self.service.audit.on_lost(request.audit.is_some().into());
            if let Some(slot) = request.slot {
                self.close(slot);
            }
        }
        self.service.clients.barriers.clear();
        // Changes that were only proposed may never come about.
        self.service.pipeline.prep = Prep::new(self.service.options.prep(), &self.service.database);
        self.service.work.on_taken_back(Zxid::ZERO);
        self.service.sessions.tracker = Tracker::new(self.service.options.tick_ms);
        let ensemble = &mut self.service.ensemble;
        ensemble.touched.clear();
        ensemble.revalidating.clear();
        ensemble.questions.clear();
        ensemble.syncs.clear();
        ensemble.passed_on.clear_orphans();
        ensemble.deferred.clear();
        self.service.sessions.upgrading.clear();
        let proposed = self.service.ensemble.proposed_by_lost_leader();
        for slot in self.connections.slots() {
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            if connection.parked.is_none() {
                connection.suspect(&proposed);
            }
            match connection.state {
                State::New | State::Closed => {}
                // The question was lost with the leader. If it were asked again, it might take the session from a
                // connection that the client has made meanwhile.
                State::Reopening => self.service.close_connection(slot, connection),
                // A request was dropped because its session was to end, and that end may be lost with the leader.
                _ if connection.dropped => self.service.close_connection(slot, connection),
                State::Connecting | State::Ready | State::Ending => {
                    self.service.park(now, slot, connection);
                }
            }
        }
    }

    /// This server leads from now on.
    fn become_leading(&mut self, now: Now, epoch: Epoch) {
        tracing::debug!(epoch = epoch.0, "leading: clients are served");
        assert!(
            self.service.pipeline.in_flight.is_empty(),
            "a server proposes nothing before it leads"
        );
        self.service.database.set_last_processed(Zxid::new(epoch, 0));
        self.service.pipeline.prep = Prep::new(self.service.options.prep(), &self.service.database);
        self.service.work.on_taken_back(Zxid::ZERO);
        // ZooKeeper: every session has its whole timeout from the moment that there is a leader.
        self.service.sessions.tracker = Tracker::new(self.service.options.tick_ms);
        let is_timed = !planted::is(self.service.options.planted, PlantedBug::OldSessionsNotTimed);
        for (session, timeout_ms) in self.service.database.sessions() {
            let timeout_ms = if is_timed { timeout_ms } else { i32::MAX };
            self.service.sessions.tracker.add(session, timeout_ms, now.mono);
        }
        self.service.reaping = Reaping::new(&self.service.options, now.mono);
        self.service.pipeline.full_since = self.service.pipeline.is_disk_full().then_some(now.mono);
        self.begin_to_serve(now, ReplicaRole::Leading, epoch);
    }

    /// This server follows or observes a leader from now on.
    fn become_learning(&mut self, now: Now, epoch: Epoch) {
        self.begin_to_serve(now, ReplicaRole::Learning, epoch);
    }

    /// There is a leader: readers that were served without one are closed, and parked connections continue.
    fn begin_to_serve(&mut self, now: Now, role: ReplicaRole, epoch: Epoch) {
        self.service.ensemble.epoch = epoch;
        self.service.ensemble.role = role;
        if std::mem::take(&mut self.service.ensemble.read_only)
            && !planted::is(self.service.options.planted, PlantedBug::ReadersKept)
        {
            self.close_readers();
        }
        let parked = std::mem::take(&mut self.service.ensemble.parked);
        for (until, slot) in parked {
            // The connection is gone, or it has been parked again: then a later entry is its own.
            let Some(connection) = self.connections.get_mut(slot) else { continue };
            if connection.parked != Some(until) {
                continue;
            }
            if self.service.ensemble.serves() {
                self.go_on(now, slot, until);
            } else {
                self.service.close_connection(slot, connection);
            }
        }
    }

    /// Begins or ends to serve readers without a leader, and closes connections that were parked for too long.
    pub(super) fn on_standing_timeout(&mut self, now: Now) {
        let is_looking = self.service.ensemble.role == ReplicaRole::Looking;
        assert!(
            is_looking || !self.service.ensemble.read_only,
            "a leader ends the time of readers"
        );
        match (self.service.ensemble.read_only, self.service.ensemble.may_serve_readers()) {
            (false, true) if now.mono >= self.service.ensemble.read_only_at() => {
                tracing::warn!("still no leader: clients that only read are served");
                self.service.ensemble.read_only = true;
                self.service.sessions.first_reader = self.service.sessions.ids.next();
            }
            (true, false) => {
                tracing::warn!(
                    "clients that only read are no longer served: a leader says that the data here is of \
                     another history"
                );
                self.service.ensemble.read_only = false;
                self.close_readers();
            }
            (false, false | true) | (true, true) => {}
        }
        let due = |(until, _): &(MonoUs, Slot)| *until <= now.mono;
        if !self.service.ensemble.parked.iter().any(due) {
            return;
        }
        let (due, rest) =
            std::mem::take(&mut self.service.ensemble.parked).into_iter().partition(due);
        self.service.ensemble.parked = rest;
        let due: Vec<(MonoUs, Slot)> = due;
        for (until, slot) in due {
            if self.connections.get(slot).is_some_and(|found| found.parked == Some(until)) {
                self.close(slot);
            }
        }
    }

    /// Lets a parked connection continue, asks for its session, or closes it, now that there is a leader.
    fn go_on(&mut self, now: Now, slot: Slot, until: MonoUs) {
        let Some((connection, service)) = self.one(slot) else { return };
        match service.next_for_parked(now, slot, connection) {
            Next::Closed => {}
            Next::GoesOn => self.unpark(now, slot),
            Next::Asks(tenure) => {
                // The connection stays parked until the leader has answered.
                service.ensemble.parked.push((until, slot));
                self.confirm_session(now, slot, Some(tenure));
            }
        }
    }

    /// A parked connection continues: its requests are handled as if they had just arrived.
    pub(super) fn unpark(&mut self, now: Now, slot: Slot) {
        let Some((connection, service)) = self.one(slot) else { return };
        connection.parked = None;
        connection.epoch = service.ensemble.epoch;
        if connection.state == State::Connecting {
            let queue = std::mem::take(&mut connection.queue);
            service.clients.release_steps(queue, &mut service.ensemble);
            if service.propose_create_session(now, slot, connection) {
                self.on_session_created(now, slot);
            }
            return;
        }
        let early = service.take_up_queue(now, slot, connection);
        self.on_frames(now, slot, &early);
    }

    /// Closes all connections that have asked for a session, because their tree has been replaced.
    pub(super) fn close_all_clients(&mut self) {
        for slot in self.connections.slots() {
            if self.connections.get(slot).is_some_and(|found| found.state != State::New) {
                self.close(slot);
            }
        }
        self.service.ensemble.parked.clear();
    }

    /// Closes the connections of clients that were served without a leader, and the sessions that were made for them.
    // ZooKeeper: ReadOnlyZooKeeperServer.shutdownComponents closes all its connections, and its sessions
    // go with its LearnerSessionTracker: a client that comes back with one of them hears that it has expired.
    fn close_readers(&mut self) {
        for slot in self.connections.slots() {
            let reader = self
                .connections
                .get(slot)
                .is_some_and(|found| found.state == State::Ready && found.parked.is_none());
            if reader {
                self.close(slot);
            }
        }
        let first = self.service.sessions.first_reader;
        for session in self.service.sessions.local.by_expiry().into_values().flatten() {
            // The ids that a server gives rise until it stops.
            if session >= first {
                self.end_local_session(session);
            }
        }
    }
}
