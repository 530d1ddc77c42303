//! Broadcast: proposals, acknowledgements, commits, and the requests of learners
//! (`Leader.propose`, `processAck`, `tryToCommit`, `processSync`; the loop of `LearnerHandler`).

use std::rc::Rc;

use tracing::{debug, info, warn};

use super::Leader;
use super::discovery::{Refusal, text};
use super::handler::HandlerStage;
use crate::id::{ServerId, SessionId, Zxid};
use crate::limits::LEARNER_SYNCS_MAX;
use crate::link::LinkId;
use crate::proto::OpCode;
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::quorum::{Config, Oracle};
use crate::session::Tenure;
use crate::time::MonoUs;
use crate::zab::packets::{
    Packet, put_bare, put_commit_and_activate, put_fence_answer, put_inform_and_activate,
    put_revalidated, put_txn,
};
use crate::zab::{ConfigChange, ForwardedRequest, Inbound};

/// A transaction that is proposed and not committed.
#[derive(Debug)]
pub(super) struct Proposal {
    /// Invariant: the pending transactions of the journal have these zxids, in this order.
    pub(super) zxid: Zxid,
    /// The configurations of which a quorum each must log it.
    pub(super) quorums: Rc<Vec<Rc<Config>>>,
    /// The configuration that it makes active, if it is a reconfiguration.
    ///
    /// Invariant: its version is `zxid`.
    pub(super) reconfig: Option<Rc<Config>>,
    /// The time of the proposal, for operators.
    pub(super) since: MonoUs,
}

/// A sync that waits for a commit.
#[derive(Debug)]
pub(super) struct PendingSync {
    /// The learner that gets the answer.
    link: LinkId,
    /// The commit after which the answer leaves.
    after: Zxid,
}

impl Leader {
    // ---- packets of learners

    /// Handles the packets of a learner that may be handled now.
    pub(super) fn advance(&mut self, link: LinkId) {
        while self.failure.is_none()
            && let Some((stage, packet)) = self.learners.next_packet(link)
        {
            let done = match stage {
                HandlerStage::Info => self.on_info(link, &packet),
                HandlerStage::AckEpoch => self.on_ack_epoch(link, &packet),
                HandlerStage::NewLeaderAck => self.on_new_leader_ack(link, &packet),
                HandlerStage::Broadcast => self.on_packet(link, &packet),
                HandlerStage::Epoch
                | HandlerStage::EpochQuorum { .. }
                | HandlerStage::LogRead { .. }
                | HandlerStage::Snapshot
                | HandlerStage::SnapshotEnd
                | HandlerStage::Activation => unreachable!("this stage does not listen"),
            };
            if let Err(reason) = done {
                self.learners.refuse(link, &reason);
            }
        }
        self.maybe_leave();
    }

    fn on_packet(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        assert!(self.is_active(), "a learner is up to date only under a leader that serves");
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        assert_eq!(
            handler.stage,
            HandlerStage::Broadcast,
            "only a learner that is up to date sends this"
        );
        handler.tick_deadline = self.tick + self.lasting.options.sync_limit;
        let server = handler.server;
        match packet.kind {
            packet::ACK => {
                handler.ack_clock.handle_ack(packet.zxid);
                self.on_ack(link, packet.zxid);
            }
            packet::PING => {
                for (session, timeout_ms) in packet.touched().map_err(text)? {
                    self.out.inbound.push(Inbound::Touch { session, timeout_ms });
                }
                handler.pings.on_answered();
                self.check_reign();
            }
            packet::REVALIDATE => {
                let (session, timeout_ms) = packet.session_and_timeout().map_err(text)?;
                let kept = packet.tenure(false);
                let question = Inbound::Revalidate { link, server, session, timeout_ms, kept };
                self.out.inbound.push(question);
            }
            packet::REQUEST => {
                let (session, cxid, op, body) = packet.request().map_err(text)?;
                handler.requests += 1;
                if packet.is_fence() && op == OpCode::Sync.number() {
                    self.out.inbound.push(Inbound::Fence { link });
                    return Ok(());
                }
                self.out.inbound.push(Inbound::Request(ForwardedRequest {
                    link,
                    server,
                    session,
                    scope: packet.session_scope(),
                    cxid,
                    op,
                    body,
                    identities: packet.authinfo.clone(),
                }));
            }
            kind => warn!("{} sent a packet of type {kind}: ignored", handler.name()),
        }
        Ok(())
    }

    /// A follower has logged everything up to `zxid`.
    fn on_ack(&mut self, link: LinkId, zxid: Zxid) {
        if self.ignore_ack(link, zxid) {
            return;
        }
        assert!(zxid.counter() > 0, "{zxid} is the zxid of a transaction");
        assert!(
            zxid <= self.proposed,
            "{zxid} was proposed, as everything up to {}",
            self.proposed
        );
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        assert!(handler.counts(), "{} is asked what it has", handler.name());
        let server = handler.server;
        handler.acked = zxid.max(handler.acked);
        self.acks.vouch(server, link, zxid);
        if zxid > self.committed {
            self.acks.record(server, link, zxid);
            assert!(self.acks.of(server) <= self.proposed, "no log has more than was proposed");
        }
    }

    /// Whether an acknowledgement counts for nothing.
    fn ignore_ack(&self, link: LinkId, zxid: Zxid) -> bool {
        let handler = &self.learners.handlers[&link];
        // An observer acknowledges UPTODATE, and a guest every proposal; the acknowledgements of neither count.
        if !handler.counts() {
            return true;
        }
        // The first zxid of the epoch acknowledges UPTODATE, and no transaction.
        if zxid.counter() == 0 {
            return true;
        }
        if zxid > self.proposed {
            let server = handler.server;
            warn!("server {server} acknowledges {zxid}, which was never proposed: ignored");
            return true;
        }
        false
    }

    /// Whether the voter at the other end has still to acknowledge the oldest proposal.
    pub fn awaits_ack_over(&self, link: LinkId) -> bool {
        let Some(oldest) = self.proposals.front() else { return false };
        let handler = self.learners.handlers.get(&link).filter(|handler| handler.counts());
        handler.is_some_and(|handler| self.acks.of(handler.server) < oldest.zxid)
    }

    // ---- the replica's part, once it leads

    /// The zxid of the transaction after `last`. `None`: no more can be proposed in this epoch.
    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        if !self.is_active() || self.failure.is_some() || self.handover.is_some() {
            return None;
        }
        let first = Zxid::new(self.epoch?, 0);
        assert!(last >= first, "{last} is before this epoch, which begins with {first}");
        let before =
            if last == first { self.lasting.options.initial_counter } else { last.counter() };
        // ZooKeeper: Leader.propose never uses the last counter, and begins a new epoch instead.
        let counter = before.checked_add(1).filter(|counter| *counter != u32::MAX)?;
        Some(Zxid::new(self.epoch?, counter))
    }

    /// Proposes a transaction, the next in order.
    pub fn propose(&mut self, txn: Txn) {
        self.on_proposal(txn, None);
    }

    /// Proposes a reconfiguration, which makes `config` active.
    pub fn propose_reconfig(&mut self, txn: Txn, config: Config) {
        assert_eq!(config.version, txn.zxid().0, "a configuration has its transaction's zxid");
        assert!(!self.is_reconfiguring(), "one reconfiguration at a time");
        self.lasting.last_seen = Rc::new(config);
        self.out.config.push(ConfigChange::Proposed(self.lasting.last_seen.clone()));
        self.set_quorums();
        let config = self.lasting.last_seen.clone();
        self.on_proposal(txn, Some(config));
    }

    fn on_proposal(&mut self, txn: Txn, reconfig: Option<Rc<Config>>) {
        let zxid = txn.zxid();
        assert!(zxid.counter() > 0, "{zxid} is the zxid of no transaction");
        assert_eq!(Some(zxid.epoch()), self.epoch, "a leader proposes in its own epoch");
        assert!(self.is_active(), "only an active leader proposes");
        assert!(self.handover.is_none(), "a leader that gives the lead away proposes nothing");
        assert!(zxid > self.proposed, "zxids rise: {zxid} after {}", self.proposed);
        self.proposed = zxid;
        self.sizes.add(txn.bytes().len());
        self.learners.broadcast(|out| put_txn(out, packet::PROPOSAL, &txn));
        self.lasting.journal.accept(txn.clone());
        self.out.append.push(txn);
        let quorums = self.quorums.clone();
        self.proposals.push_back(Proposal { zxid, quorums, reconfig, since: self.now });
        let journal = &self.lasting.journal;
        assert_eq!(journal.accepted(), zxid, "what is proposed is the end of the log");
        assert_eq!(journal.pending().len(), self.proposals.len(), "proposals are what is pending");
    }

    /// Answers a learner's sync as soon as everything proposed so far is committed.
    pub fn answer_sync(&mut self, link: LinkId) {
        if self.proposals.is_empty() {
            self.send_sync(link);
            return;
        }
        // A learner that has gone waits for no answer.
        let Some(handler) = self.learners.handlers.get_mut(&link) else { return };
        handler.syncs_pending += 1;
        if handler.syncs_pending > LEARNER_SYNCS_MAX {
            self.learners.refuse(link, "too many of its syncs wait for a commit");
            return;
        }
        let is_in_order = self.syncs.back().is_none_or(|last| last.after <= self.proposed);
        assert!(is_in_order, "syncs wait for commits in order");
        self.syncs.push_back(PendingSync { link, after: self.proposed });
    }

    fn send_sync(&mut self, link: LinkId) {
        self.learners.put(link, |out| put_bare(out, packet::SYNC, Zxid::ZERO));
    }

    /// Answers a learner's fence.
    pub fn answer_fence(&mut self, link: LinkId) {
        self.learners.put(link, put_fence_answer);
    }

    /// Answers a learner's question about a session. `owns`: since when the learner owns it, if it does.
    pub fn answer_revalidate(&mut self, link: LinkId, session: SessionId, owns: Option<Tenure>) {
        self.learners.put(link, |out| put_revalidated(out, session, owns.is_some(), owns));
    }

    /// Sends a learner away that asks about more sessions than may wait.
    pub fn refuse_questions(&mut self, link: LinkId) {
        self.learners.refuse(link, "too many questions about sessions wait for a commit");
    }

    /// Whether a quorum of that configuration is connected and synchronised
    /// (`Leader.isQuorumSynced`).
    pub fn is_quorum_synced(&self, config: &Config) -> bool {
        let synced = |server: ServerId| {
            server == self.lasting.options.me
                || self.learners.of_server(server).any(|handler| {
                    handler.counts()
                        && handler.is_forwarding_follower()
                        && handler.is_in_sync(self.tick)
                })
        };
        config.has_quorum_of(synced)
    }

    /// Whether a reconfiguration is proposed and not committed.
    pub fn is_reconfiguring(&self) -> bool {
        // ZooKeeper: without dynamic configurations the first one keeps its version.
        self.lasting.options.reconfig
            && self.lasting.last_seen.version > self.lasting.config.version
    }

    // ---- commit

    /// The outside witness's part in a quorum of two servers; `None`: there is no witness.
    pub(super) fn oracle(&self) -> Option<Oracle> {
        let mut handlers = self.learners.handlers.values();
        let mut is_alone = || !handlers.any(|it| it.counts() && it.is_forwarding_follower());
        self.lasting
            .options
            .has_oracle
            .then(|| Oracle { needed: is_alone(), says_yes: self.oracle_says_yes })
    }

    /// Commits, in order, the proposals that a quorum has logged.
    pub(super) fn maybe_commit(&mut self) {
        while self.failure.is_none()
            && self.handover.is_none()
            && let Some(first) = self.proposals.front()
        {
            let quorums = first.quorums.clone();
            let end = self.acks.quorum(&quorums, self.oracle());
            if end < first.zxid {
                return;
            }
            while self.handover.is_none()
                && self
                    .proposals
                    .front()
                    .is_some_and(|first| first.zxid <= end && Rc::ptr_eq(&first.quorums, &quorums))
            {
                let proposal = self.proposals.pop_front().expect("there is a front");
                self.commit(proposal);
            }
        }
    }

    fn commit(&mut self, proposal: Proposal) {
        let Proposal { zxid, reconfig, .. } = proposal;
        assert!(
            zxid <= self.proposed,
            "{zxid} was proposed, as everything up to {}",
            self.proposed
        );
        assert!(zxid > self.committed, "commits are in order: {zxid} after {}", self.committed);
        let txn = self.lasting.journal.commit(zxid).expect("proposals are what is pending");
        assert_eq!(txn.zxid(), zxid, "the oldest transaction is the one that is committed");
        assert_eq!(self.lasting.journal.committed(), zxid, "log and leader commit the same");
        self.committed = zxid;
        match reconfig {
            None => {
                self.learners.broadcast(|out| put_bare(out, packet::COMMIT, zxid));
                self.learners.inform(|out| put_txn(out, packet::INFORM, &txn));
            }
            Some(config) => {
                assert_eq!(config.version, zxid.0, "it came with this transaction");
                let leader = self.designate(&config, |server| self.acks.of(server) >= zxid, zxid);
                info!("configuration {:x} is active, and server {leader} leads", config.version);
                self.learners.broadcast(|out| put_commit_and_activate(out, zxid, leader));
                self.learners.inform(|out| put_inform_and_activate(out, &txn, leader));
                self.activate_config(config, leader);
            }
        }
        self.out.commit.push(txn);
        while self.syncs.front().is_some_and(|sync| sync.after <= zxid) {
            let PendingSync { link, .. } = self.syncs.pop_front().expect("there is a front");
            if let Some(handler) = self.learners.handlers.get_mut(&link) {
                assert!(handler.syncs_pending > 0, "a sync that waits was counted");
                handler.syncs_pending -= 1;
                self.send_sync(link);
            }
        }
        if self.proposals.is_empty() && self.handover.is_none() && self.zxid_after(zxid).is_none() {
            self.fail(format!("roll-over: no zxid is left after {zxid}, a new epoch must begin"));
        }
    }

    /// The server that leads under `config`: this server, if it votes there at the same address; otherwise the voter
    /// that has logged most (`Leader.getDesignatedLeader`).
    pub(super) fn designate(
        &self,
        config: &Config,
        has_acked: impl Fn(ServerId) -> bool,
        zxid: Zxid,
    ) -> ServerId {
        let me = self.lasting.options.me;
        let address = |config: &Config| config.members.get(&me).map(|m| m.quorum_endpoints());
        if config.is_voter(me) && address(config) == address(&self.lasting.config) {
            return me;
        }
        let candidates = config.voters().filter(|server| *server != me && has_acked(*server));
        let best = candidates
            .max_by_key(|server| (self.acks.of(*server).max(zxid), std::cmp::Reverse(*server)));
        // No other voter can lead: this server is the only one, and has moved.
        let leader = best.unwrap_or(me);
        assert!(leader == me || config.is_voter(leader), "only a voter leads");
        leader
    }

    pub(super) fn activate_config(&mut self, config: Rc<Config>, leader: ServerId) {
        if config.version > self.lasting.config.version {
            self.lasting.config = config;
            self.lasting.update_role();
            if self.lasting.last_seen.version < self.lasting.config.version {
                self.lasting.last_seen = self.lasting.config.clone();
            }
            self.out.config.push(ConfigChange::Active(self.lasting.config.clone()));
            self.set_quorums();
            self.ask_new_quorums();
        }
        if leader != self.lasting.options.me {
            assert!(self.handover.is_none(), "a leader gives the lead away once");
            debug!("server {leader} leads from now on");
            // Followers leave by themselves when they hear of it. If this server closed first, they might not hear of
            // it.
            let limit_ms =
                self.lasting.options.sync_limit.saturating_mul(self.lasting.options.tick_ms);
            self.handover = Some((leader, self.now.plus_ms(limit_ms)));
        }
    }

    /// Proposals that wait for a quorum of a configuration that is over wait for the present ones instead.
    ///
    /// The servers that voted only in the former configuration leave when they hear of the change, and proposals behind
    /// the change would wait for them for ever. No proposal is lost: a quorum of both configurations has logged the
    /// change, so every later leader has it, and needs the votes of both.
    // ZooKeeper: Leader.Proposal keeps the verifiers with which it was proposed.
    fn ask_new_quorums(&mut self) {
        let active = self.lasting.config.version;
        for proposal in &mut self.proposals {
            if Rc::ptr_eq(&proposal.quorums, &self.quorums) {
                continue;
            }
            let is_over = |config: &Rc<Config>| config.version < active;
            proposal.quorums = match proposal.quorums.iter().any(is_over) {
                true => self.quorums.clone(),
                false => continue,
            };
        }
    }

    /// Steps down after the lead was given away, once all followers have heard of it and gone.
    pub(super) fn maybe_leave(&mut self) {
        // The lead was not given away.
        let Some((leader, until)) = self.handover else { return };
        assert!(leader != self.lasting.options.me, "the lead goes to another server");
        let mut handlers = self.learners.handlers.values();
        let is_alone = !handlers.any(super::handler::Handler::is_forwarding_follower);
        if is_alone || self.now >= until {
            self.fail(format!("server {leader} leads after the reconfiguration"));
        }
    }
}
