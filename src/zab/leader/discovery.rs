//! From the election to the first proposal: the epoch, and a quorum with this leader's history
//! (`Leader.lead`, `getEpochToPropose`, `waitForEpochAck`, `waitForNewLeaderAck`, `startZkServer`).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::rc::Rc;

use bytes::{BufMut, BytesMut};
use tracing::{debug, error, info, warn};

use super::claims::{Claims, is_far};
use super::handler::{Handler, HandlerStage};
use super::learners::{Tail, TailFor};
use super::{Leader, history};
use crate::id::{Epoch, ServerId, Zxid};
use crate::link::LinkId;
use crate::proto::quorum::packet;
use crate::quorum::PeerOptions;
use crate::quorum::{AckTracker, Config};
use crate::time::MonoUs;
use crate::zab::kept_out::{self, info_unless};
use crate::zab::packets::{Packet, PacketError, put_bare, put_data, put_leader_info, put_txn};
use crate::zab::{ConfigChange, Standing};
use crate::zab::{EpochAck, Epochs};

/// Where a leader is on its way to serving. Each phase waits for what its name says.
#[derive(Debug)]
pub(super) enum LeaderPhase {
    /// A quorum to say which epochs it has accepted, under the active configuration and the one that is to
    /// follow it, as in every phase.
    Discovery {
        /// What they have said.
        claims: Claims,
        /// How long.
        until: MonoUs,
    },
    /// `acceptedEpoch` to be durable.
    Accepting {
        /// With this number.
        token: u64,
    },
    /// A quorum to accept the epoch.
    EpochAcks {
        /// Who has.
        electing: BTreeSet<ServerId>,
        /// How long.
        until: MonoUs,
    },
    /// A quorum to have the history, this leader included.
    Synchronization {
        /// Who has.
        acks: AckTracker,
        /// `currentEpoch` is durable with this number, and all of the history with it.
        token: u64,
        /// How long.
        until: MonoUs,
    },
    /// Nothing: it leads.
    Broadcast,
}

impl LeaderPhase {
    pub(super) fn discovery(
        options: &PeerOptions,
        config: &Config,
        epochs: Epochs,
        now: MonoUs,
    ) -> LeaderPhase {
        let me = Some(options.me).filter(|me| config.is_voter(*me));
        let claims = Claims::new(epochs.accepted, me);
        LeaderPhase::Discovery { claims, until: init_end(options, now) }
    }

    pub(super) fn is_broadcast(&self) -> bool {
        matches!(self, LeaderPhase::Broadcast)
    }

    /// Until when it may last, and what an operator is told then.
    pub(super) fn limit(&self) -> Option<(MonoUs, String)> {
        match self {
            LeaderPhase::Discovery { claims, until } => {
                let came = list(&claims.counted());
                let mut state = format!("only the servers {came} have come to it");
                for (server, accepted) in claims.doubted() {
                    let _ = write!(state, ", and server {server} says epoch {accepted}");
                }
                Some((*until, state))
            }
            LeaderPhase::EpochAcks { electing, until } => Some((
                *until,
                format!("only the servers {} have accepted its epoch", list(electing)),
            )),
            LeaderPhase::Synchronization { acks, until, .. } => {
                Some((*until, format!("only the servers {} have its history", list(acks.acks()))))
            }
            // Our own disk.
            LeaderPhase::Accepting { .. } | LeaderPhase::Broadcast => None,
        }
    }
}

fn init_end(options: &PeerOptions, now: MonoUs) -> MonoUs {
    now.plus_ms(options.init_limit.saturating_mul(options.tick_ms))
}

fn list(servers: &BTreeSet<ServerId>) -> String {
    let servers: Vec<String> = servers.iter().map(ServerId::to_string).collect();
    if servers.is_empty() { "(none)".to_owned() } else { servers.join(", ") }
}

/// Why a learner is sent away.
pub(super) type Refusal = String;

/// How many ticks a leader waits for the epochs of a quorum before it doubts that it is the leader of voters who look
/// for one, where the configuration does not say.
const DOUBT_TICKS: u64 = 2;

impl Leader {
    /// Whether a quorum of each configuration is among these: of the active one, and of the one that is to
    /// follow it.
    ///
    /// Epochs too are agreed on by both. The old leader may have carried the change out, and its quorum is the
    /// new one's since: were the promises of the old one's voters enough, those of the new one could follow
    /// that leader meanwhile, acknowledge a write that commits, come later, and be made to forget it.
    // ZooKeeper: Leader.getEpochToPropose and waitForEpochAck ask the active configuration alone.
    fn has_quorums(&self, servers: &BTreeSet<ServerId>) -> bool {
        let oracle = self.oracle();
        self.quorums.iter().all(|config| config.has_quorum_with(servers, oracle))
    }

    /// The learner behind a link, if it votes in one of the configurations and its word counts.
    fn voucher(&self, link: LinkId) -> Option<ServerId> {
        let server = self.vouches(self.learners.handlers.get(&link)?)?;
        self.quorums.iter().any(|config| config.is_voter(server)).then_some(server)
    }

    /// Whether what the learner says on the way to the first proposal counts as the word of a voter.
    ///
    /// An observer of the active configuration is one of those that the next one may need: it does
    /// not know that it will vote, for only what is active is known to all, and without its word the
    /// change would never be carried out. Its ACKs say what a follower's do: it has accepted the epoch,
    /// it has the history. What is proposed later it does not acknowledge.
    // ZooKeeper: Leader.waitForNewLeaderAck asks only who votes (ReconfigRecoveryTest,
    // testCurrentObserverIsParticipantInNewConfig).
    fn vouches(&self, handler: &Handler) -> Option<ServerId> {
        let may_vote_next = handler.is_observer
            && handler.is_known()
            && !handler.is_guest
            && !self.lasting.config.is_voter(handler.server);
        (handler.counts() || may_vote_next).then_some(handler.server)
    }

    // ---- FOLLOWERINFO, OBSERVERINFO → LEADERINFO

    pub(super) fn on_info(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        let is_observer = match packet.kind {
            packet::FOLLOWERINFO => false,
            packet::OBSERVERINFO => true,
            kind => return Err(format!("its first packet has the type {kind}, not FOLLOWERINFO")),
        };
        let info = packet.learner_info().map_err(text)?;
        let server = info.map_or_else(
            || {
                self.nameless -= 1;
                ServerId(self.nameless)
            },
            |info| info.server_id,
        );
        if server == self.lasting.options.me {
            return Err(format!("it says that it is server {server}, which is this one"));
        }
        let is_member = self.quorums.iter().any(|config| config.members.contains_key(&server));
        if !self.learners.check_name(self.now, link, server, is_member) {
            return Ok(());
        }
        if let Some(theirs) = info.and_then(|info| info.config_version)
            && self.lasting.config.is_behind(theirs)
        {
            let ours = self.lasting.config.version;
            return Err(format!("it has a later configuration: {theirs:x}, here {ours:x}"));
        }
        let accepted = packet.zxid.epoch();
        let is_old = info.and_then(|info| info.protocol_version).is_none_or(|v| v < 0x10000);
        let is_far = !is_old
            && match (&self.phase, self.epoch) {
                // A quorum of voters may say so.
                (LeaderPhase::Discovery { claims, .. }, _) => {
                    claims.is_far(accepted) && !self.is_voter_anywhere(server)
                }
                (_, Some(epoch)) => is_far(accepted, epoch),
                (_, None) => false,
            };
        if is_far || (accepted >= Epoch::LAST && !is_old) {
            self.refuse_far_epoch(link, server, accepted);
            return Ok(());
        }
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.server = server;
        handler.is_observer = is_observer;
        handler.is_old = is_old;
        handler.info_zxid = packet.zxid;
        handler.reader.set_data_bytes_max(self.lasting.options.packet_bytes_max);
        handler.stage = HandlerStage::Epoch;
        let is_quiet = self.learners.kept_out.holds(server);
        info_unless!(is_quiet, "{} has come", handler.name());
        if !self.lasting.config.members.contains_key(&server) {
            // ZooKeeper: LearnerHandler says so at the level of INFO.
            warn!(
                "{} is not in the configuration {:x}, and gets all data: if it is no observer of yours, keep it from \
                 the quorum port of this server",
                handler.name(),
                self.lasting.config.version
            );
        }
        self.maybe_take_as_guest(link);
        let voter = self.voucher(link).filter(|server| self.is_voter_anywhere(*server));
        // Old servers say a zxid there, and no epoch.
        let said = if is_old { self.lasting.epochs.accepted } else { accepted };
        if let LeaderPhase::Discovery { claims, .. } = &mut self.phase {
            match voter {
                Some(voter) => claims.voter(voter, said),
                None if is_member => claims.other(said),
                // Anybody can say anything.
                None => {}
            }
        }
        self.maybe_decide_epoch();
        self.maybe_give_way();
        if self.says_epoch() {
            self.send_leader_info(link);
        }
        Ok(())
    }

    fn is_voter_anywhere(&self, server: ServerId) -> bool {
        self.quorums.iter().any(|config| config.is_voter(server))
    }

    /// A learner that has accepted a later epoch than this leader's follows without being counted.
    fn maybe_take_as_guest(&mut self, link: LinkId) {
        let Some(ours) = self.epoch else { return };
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        let accepted = handler.info_zxid.epoch();
        if accepted <= ours || handler.is_old {
            return;
        }
        let reason = kept_out::Reason::LaterEpoch(accepted);
        if self.learners.kept_out.is_due(self.now, handler.server, reason) {
            warn!("{} {}", handler.name(), kept_out::leader_of_later_epoch(accepted, ours));
        }
        handler.is_guest = true;
    }

    /// Sends away who has accepted an epoch that nobody can come to by elections.
    fn refuse_far_epoch(&mut self, link: LinkId, server: ServerId, accepted: Epoch) {
        let ours = self.epoch.unwrap_or(self.lasting.epochs.accepted);
        let text = kept_out::leader_of_far_epoch(server, accepted, ours);
        self.learners.keep_out(self.now, link, server, kept_out::Reason::FarEpoch, &text);
    }

    /// Steps down before it leads if it lacks a quorum that it could have in a later epoch.
    ///
    /// 1. Server 3 accepts epoch 7 from a leader that then gets no further.
    /// 2. Servers 1 and 2 agree on epoch 6, and 2 fails before it has the history.
    /// 3. Server 3 comes. Its word cannot count in epoch 6, and would in epoch 8.
    ///
    /// A leader that has its quorum keeps the lead, whoever comes: one server with an epoch from
    /// elsewhere must not take an ensemble's leader from it, nor be elected for that epoch.
    // ZooKeeper: Leader waits for initLimit in that case, and then looks for a quorum again.
    pub(super) fn maybe_give_way(&mut self) {
        if matches!(self.phase, LeaderPhase::Discovery { .. } | LeaderPhase::Broadcast) {
            return;
        }
        let handlers = || self.learners.handlers.values();
        let Some(guest) = handlers().find(|handler| handler.is_guest) else { return };
        let guest = guest.server;
        let has_quorum = |counts: &dyn Fn(&Handler) -> bool| {
            let present = handlers().filter(|handler| counts(handler));
            self.has_quorums(
                &present.map(|handler| handler.server).chain([self.lasting.options.me]).collect(),
            )
        };
        let vouches = |handler: &Handler| self.vouches(handler).is_some();
        if !has_quorum(&vouches) && has_quorum(&|handler| vouches(handler) || handler.is_guest) {
            self.fail(format!(
                "server {guest} is needed for a quorum and has accepted a later epoch than \
                 {}: an even later one must begin",
                self.lasting.epochs.accepted
            ));
        }
    }

    /// Whether the epoch is known, and durable here.
    fn says_epoch(&self) -> bool {
        !matches!(self.phase, LeaderPhase::Discovery { .. } | LeaderPhase::Accepting { .. })
    }

    pub(super) fn maybe_decide_epoch(&mut self) {
        let LeaderPhase::Discovery { claims, .. } = &self.phase else { return };
        let me = self.lasting.options.me;
        let epoch = claims.epoch(
            |servers| servers.contains(&me) && self.has_quorums(servers),
            |servers| self.quorums.iter().all(|config| config.has_quorum(servers)),
        );
        let Some(epoch) = epoch else { return };
        if epoch > Epoch::LAST {
            self.fail(kept_out::no_epoch_left(self.lasting.epochs.accepted));
            return;
        }
        info!("the epoch is {epoch}");
        self.epoch = Some(epoch);
        self.lasting.epochs.accepted = epoch;
        if self.summary.1 == Zxid::ZERO && self.lasting.epochs.origin.is_none() {
            self.lasting.epochs.origin = Some(self.new_origin);
        }
        let token = self.want_epochs();
        self.phase = LeaderPhase::Accepting { token };
        for link in self.links_at(|stage| stage == HandlerStage::Epoch) {
            let handler = &self.learners.handlers[&link];
            let (server, accepted) = (handler.server, handler.info_zxid.epoch());
            if !handler.is_old && is_far(accepted, epoch) {
                self.refuse_far_epoch(link, server, accepted);
            } else {
                self.maybe_take_as_guest(link);
            }
        }
        // ZooKeeper: Leader.lead gives the first configuration the version of its epoch, so that it
        // is later than whatever a server that joins was told. It is agreed on with NEWLEADER.
        if self.lasting.options.reconfig
            && self.lasting.config.version == 0
            && self.lasting.last_seen.version == 0
        {
            let mut config = (*self.lasting.config).clone();
            config.version = Zxid::new(epoch, 0).0;
            self.lasting.last_seen = Rc::new(config);
            self.out.config.push(ConfigChange::Proposed(self.lasting.last_seen.clone()));
            self.set_quorums();
        }
    }

    fn want_epochs(&mut self) -> u64 {
        let token = self.numbers.next();
        self.out.epochs = Some((self.lasting.epochs, token));
        token
    }

    fn send_leader_info(&mut self, link: LinkId) {
        let epoch = self.epoch.expect("it was decided");
        let handler = self.learners.handlers.get_mut(&link).expect("it waits for this");
        if handler.is_old {
            // It knows no epochs: its last zxid says what it followed.
            let zxid = handler.info_zxid;
            let ack = match zxid {
                Zxid(0..) => EpochAck::Counts(zxid.epoch()),
                _ => EpochAck::DoesNotCount,
            };
            if let Err(reason) = self.on_epoch_accepted(link, ack, zxid) {
                self.learners.refuse(link, &reason);
            }
            return;
        }
        handler.stage = HandlerStage::AckEpoch;
        handler.heard_at = self.now;
        let origin = self.lasting.epochs.origin;
        self.learners.put(link, |out| put_leader_info(out, epoch, origin));
    }

    pub(super) fn on_durable(&mut self, durable: u64) {
        match &mut self.phase {
            LeaderPhase::Accepting { token } if *token == durable => {
                let electing = Some(self.lasting.options.me)
                    .filter(|me| self.lasting.config.is_voter(*me) && self.summary.1 != Zxid::NONE);
                self.phase = LeaderPhase::EpochAcks {
                    electing: electing.into_iter().collect(),
                    until: init_end(&self.lasting.options, self.now),
                };
                for link in self.links_at(|stage| stage == HandlerStage::Epoch) {
                    self.send_leader_info(link);
                    self.advance(link);
                }
                self.maybe_finish_epoch();
            }
            LeaderPhase::Synchronization { acks, token, .. } if *token == durable => {
                acks.add(self.lasting.options.me);
                self.maybe_activate();
            }
            _ => {}
        }
    }

    fn links_at(&self, at: impl Fn(HandlerStage) -> bool) -> Vec<LinkId> {
        let handlers = self.learners.handlers.values();
        handlers.filter(|handler| at(handler.stage)).map(|handler| handler.link).collect()
    }

    // ---- ACKEPOCH

    pub(super) fn on_ack_epoch(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        if packet.kind != packet::ACKEPOCH {
            return Err(format!("ACKEPOCH was due, and a packet of type {} came", packet.kind));
        }
        let ack = packet.epoch_ack().map_err(text)?;
        let epoch = self.epoch.expect("it was decided");
        let history = history(
            &self.lasting.options,
            self.lasting.journal.recent(),
            self.committed,
            self.lasting.epochs.origin,
        );
        if self.learners.compare_history(self.now, link, epoch, packet, &history)? {
            self.on_epoch_accepted(link, ack, packet.zxid)?;
        }
        Ok(())
    }

    fn on_epoch_accepted(
        &mut self,
        link: LinkId,
        ack: EpochAck,
        last: Zxid,
    ) -> Result<(), Refusal> {
        let voter = self.voucher(link);
        let may_be_cut = self.may_be_cut(link);
        if let LeaderPhase::EpochAcks { electing, .. } = &mut self.phase
            && let EpochAck::Counts(current) = ack
        {
            let (epoch, end) = self.summary;
            if (current, last) > (epoch, end) && !may_be_cut {
                return Err(format!(
                    "it is ahead of this leader: it followed epoch {current} up to {last}, and \
                     this server epoch {epoch} up to {end}"
                ));
            }
            if last != Zxid::NONE {
                electing.extend(voter);
            }
        }
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.stage = HandlerStage::EpochQuorum { last };
        if matches!(self.phase, LeaderPhase::EpochAcks { .. }) {
            self.maybe_finish_epoch();
        } else {
            self.begin_sync(link, last);
        }
        Ok(())
    }

    /// Whether what the learner has beyond this leader's end was never committed, although the election is not
    /// over yet for those whom the proposed configuration needs.
    ///
    /// ```text
    /// 1. 3 and 4 vote; it is proposed that 1, 2 and 3 do. 1 and 2 log that, the leader 3 and 4 do not, and
    ///    all stop. The configuration is in the files of 3.
    /// 2. 3 leads, for 4 votes for it. Without 1 or 2 it does not come to lead; they are ahead of it, and
    ///    have no vote.
    /// ```
    /// Nobody can have committed the change, for a quorum of those who vote has an end before it; nor what
    /// came behind it.
    // ZooKeeper: Leader.waitForEpochAck refuses them for ever.
    fn may_be_cut(&self, link: LinkId) -> bool {
        let LeaderPhase::EpochAcks { electing, .. } = &self.phase else { return false };
        let Some(handler) = self.learners.handlers.get(&link) else { return false };
        Zxid(self.lasting.last_seen.version) > self.summary.1
            && !self.lasting.config.is_voter(handler.server)
            && electing.contains(&self.lasting.options.me)
            && self.lasting.config.has_quorum_with(electing, self.oracle())
    }

    pub(super) fn maybe_finish_epoch(&mut self) {
        let LeaderPhase::EpochAcks { electing, .. } = &self.phase else { return };
        if !electing.contains(&self.lasting.options.me) || !self.has_quorums(electing) {
            return;
        }
        self.lasting.epochs.current = self.lasting.epochs.accepted;
        let token = self.want_epochs();
        self.phase = LeaderPhase::Synchronization {
            acks: AckTracker::of_both(&self.lasting.config, &self.lasting.last_seen),
            token,
            until: init_end(&self.lasting.options, self.now),
        };
        let waiting: Vec<(LinkId, Zxid)> = self
            .learners
            .handlers
            .values()
            .filter_map(|handler| match handler.stage {
                HandlerStage::EpochQuorum { last } => Some((handler.link, last)),
                _ => None,
            })
            .collect();
        for (link, last) in waiting {
            self.begin_sync(link, last);
            self.advance(link);
        }
    }

    // ---- DIFF, TRUNC, SNAP, NEWLEADER → ACK

    fn begin_sync(&mut self, link: LinkId, last: Zxid) {
        if !self.learners.take_over(self.now, link) {
            return;
        }
        let handler = self.learners.handlers.get(&link);
        if let Some(server) = handler.filter(|it| !it.is_observer).map(|it| it.server) {
            let vouched = self.acks.begin(server, link);
            if last < vouched {
                self.acknowledged_lost += 1;
                error!("{}", kept_out::leader_of_forgetful_disk(server, vouched, last));
            }
        }
        let end = self.lasting.journal.recent().last();
        if let Some(handler) = self.learners.handlers.get_mut(&link) {
            handler.heard_at = self.now;
            handler.history_end = end;
        }
        let tail = self.tail();
        let history = history(
            &self.lasting.options,
            self.lasting.journal.recent(),
            self.committed,
            self.lasting.epochs.origin,
        );
        self.learners.begin_sync(link, last, &history, &tail);
    }

    /// What follows a learner's history now.
    pub(super) fn tail(&self) -> LeaderTail {
        let mut outstanding = BytesMut::new();
        for txn in self.lasting.journal.pending() {
            put_txn(&mut outstanding, packet::PROPOSAL, txn);
        }
        // What was proposed and not yet committed becomes active with this epoch, and later ones with
        // their own commit: a learner takes what stands here for active.
        let is_leading = matches!(self.phase, LeaderPhase::Broadcast);
        let config = if is_leading { &self.lasting.config } else { &self.lasting.last_seen };
        LeaderTail {
            outstanding,
            new_leader: Zxid::new(self.epoch.expect("it was decided"), 0),
            config: config.to_text(),
            is_beside_proposed: is_leading && self.is_reconfiguring(),
        }
    }

    pub(super) fn on_new_leader_ack(
        &mut self,
        link: LinkId,
        packet: &Packet,
    ) -> Result<(), Refusal> {
        if packet.kind != packet::ACK {
            return Err(format!("ACK was due, and a packet of type {} came", packet.kind));
        }
        let counts = self.voucher(link);
        let new_leader = Zxid::new(self.epoch.expect("it was decided"), 0);
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.stage = HandlerStage::Activation;
        handler.sync_kind = None;
        debug!("{} has the history", handler.name());
        if packet.zxid == new_leader && handler.history_end.counter() != 0 {
            self.acks.vouch(handler.server, link, handler.history_end);
        }
        if let LeaderPhase::Synchronization { acks, .. } = &mut self.phase {
            if packet.zxid == new_leader {
                if let Some(server) = counts {
                    acks.add(server);
                }
            } else {
                warn!("{} acknowledged {}, not {new_leader}", handler.name(), packet.zxid);
            }
            self.maybe_activate();
        } else {
            self.send_up_to_date(link);
        }
        Ok(())
    }

    pub(super) fn maybe_activate(&mut self) {
        let LeaderPhase::Synchronization { acks, .. } = &self.phase else { return };
        // ZooKeeper: the leader's own acknowledgement waits for its epoch file alone; ours stands
        // behind everything that it has appended before.
        if !acks.has_all_quorums_with(self.oracle()) || !self.has_own_history() {
            return;
        }
        let epoch = self.epoch.expect("it was decided");
        info!("servers {} have the history: leading epoch {epoch}", list(acks.acks()));
        let acked = acks.acks().clone();
        self.phase = LeaderPhase::Broadcast;
        self.proposed = Zxid::new(epoch, 0);
        self.committed = self.proposed;
        self.tick = 0;
        let mut serves = true;
        if self.lasting.options.reconfig {
            let config = self.lasting.last_seen.clone();
            let leader = self.designate(&config, |server| acked.contains(&server), self.proposed);
            self.activate_config(config, leader);
            serves = leader == self.lasting.options.me;
        }
        if serves {
            self.out.standing.push(Standing::Leading { epoch });
        }
        for link in self.links_at(|stage| stage == HandlerStage::Activation) {
            self.send_up_to_date(link);
            self.advance(link);
        }
    }

    /// Whether this server's own history is durable, and its epoch with it.
    fn has_own_history(&self) -> bool {
        match &self.phase {
            LeaderPhase::Synchronization { acks, .. } => {
                acks.acks().contains(&self.lasting.options.me)
            }
            _ => false,
        }
    }

    fn send_up_to_date(&mut self, link: LinkId) {
        self.learners.put(link, |out| put_bare(out, packet::UPTODATE, Zxid::NONE));
        let handler = self.learners.handlers.get_mut(&link).expect("it waits for this");
        handler.stage = HandlerStage::Broadcast;
        handler.heard_at = self.now;
        info!("{} is up to date", handler.name());
        self.learners.kept_out.forget(handler.server);
    }

    // ---- doubts

    /// A voter looks for a leader, as its notification says: it may have changed its mind
    /// (`Leader.reportLookingSid`), or cannot follow whom it has helped to elect:
    ///
    /// ```text
    /// 1. server 3 knows of a proposed configuration of 1 and 2, and follows nobody whom not both vote for
    /// 2. with its vote 1 is elected, and waits; then 2, which has more, looks, and is elected with it, and waits
    /// 3. 1 has waited for initLimit and looks, while 2 waits; and so on
    /// ```
    // ZooKeeper: waits for initLimit in such a case, unless leader.maxTimeToWaitForEpoch is set.
    pub fn handle_looking(&mut self, now: MonoUs, server: ServerId) {
        self.now = now;
        let LeaderPhase::Discovery { .. } = &self.phase else { return };
        let limit_ms = self
            .lasting
            .options
            .wait_for_epoch_ms
            .unwrap_or(DOUBT_TICKS * self.lasting.options.tick_ms);
        let is_voter = self.quorums.iter().any(|config| config.is_voter(server));
        if is_voter && now.since_us(self.since) / 1000 > limit_ms {
            self.fail(format!("server {server} has changed its mind and looks for a leader"));
        }
    }
}

/// What follows the history that a leader sends.
#[derive(Debug)]
pub(super) struct LeaderTail {
    outstanding: BytesMut,
    new_leader: Zxid,
    config: String,
    /// It is active, and another one is proposed.
    is_beside_proposed: bool,
}

impl Tail for LeaderTail {
    fn write(&self, of: TailFor, out: &mut BytesMut) {
        if !of.is_observer {
            out.put_slice(&self.outstanding);
        }
        if of.is_old {
            put_bare(out, packet::NEWLEADER, self.new_leader);
        } else {
            put_data(out, packet::NEWLEADER, self.new_leader, self.config.as_bytes());
        }
    }

    /// ZooKeeper's followers forget what is proposed if NEWLEADER says what is active, and take what it
    /// says for active if that is what is proposed: whatever it says, the one that such a follower helped
    /// to commit, or that nobody has committed, may be left to others. It comes again in a second; if it
    /// is needed for the quorum, this leader steps down, and what is proposed becomes active with the
    /// next one's epoch.
    // ZooKeeper: LearnerHandler sends the last one proposed.
    fn refusal(&self, of: TailFor) -> Option<&'static str> {
        let knows_one = !of.knows_marks && !of.is_observer && !of.is_old;
        (knows_one && self.is_beside_proposed)
            .then_some("a reconfiguration is under way, it gets the history when that is done")
    }
}

pub(super) fn text(error: PacketError) -> Refusal {
    error.to_string()
}
