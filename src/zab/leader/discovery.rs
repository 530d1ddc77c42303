//! Discovery: the learners say which epochs they have accepted, and the leader decides on a later one
//! (`Leader.lead`, `getEpochToPropose`).

use std::collections::BTreeSet;
use std::rc::Rc;

use tracing::{info, warn};

use super::Leader;
use super::claims::is_far;
use super::handler::{Handler, HandlerStage};
use super::phase::{LeaderPhase, init_end};
use crate::id::{Epoch, ServerId, Zxid};
use crate::link::LinkId;
use crate::proto::quorum::packet;
use crate::zab::kept_out::{self, info_unless};
use crate::zab::packets::{Packet, PacketError, put_leader_info};
use crate::zab::{ConfigChange, EpochAck};

/// The reason for which a learner is sent away.
pub(super) type Refusal = String;

impl Leader {
    /// Whether these servers include a quorum of each configuration: of the active one, and of the next one.
    ///
    /// An epoch needs both quorums, too. The old leader may have committed the change, and needs only the quorum of
    /// the next configuration since. If the promises of the active configuration's voters were enough, the voters of
    /// the next one could meanwhile follow the old leader and acknowledge a write, which is then committed; later they
    /// would come here and be made to forget it.
    // ZooKeeper: Leader.getEpochToPropose and waitForEpochAck ask the active configuration alone.
    pub(super) fn has_quorums(&self, servers: &BTreeSet<ServerId>) -> bool {
        let oracle = self.oracle();
        self.quorums.iter().all(|config| config.has_quorum_with(servers, oracle))
    }

    /// The learner of a link, if it votes in one of the configurations and its packets count as a voter's.
    pub(super) fn voucher(&self, link: LinkId) -> Option<ServerId> {
        let server = self.vouches(self.learners.handlers.get(&link)?)?;
        self.quorums.iter().any(|config| config.is_voter(server)).then_some(server)
    }

    /// The learner's id, if its packets on the way to the first proposal count as a voter's.
    ///
    /// The next configuration may need an observer of the active one. That observer does not know that it will vote,
    /// because only the active configuration is known to all servers; without it, the change would never be committed.
    /// Its ACKEPOCH and its ACK of NEWLEADER mean what a follower's mean: it has accepted the epoch, and it has the
    /// history. It does not acknowledge later proposals.
    // ZooKeeper: Leader.waitForNewLeaderAck asks only who votes (ReconfigRecoveryTest,
    // testCurrentObserverIsParticipantInNewConfig).
    pub(super) fn vouches(&self, handler: &Handler) -> Option<ServerId> {
        let may_vote_next = handler.is_observer
            && handler.is_known()
            && !handler.is_guest
            && !self.lasting.config.is_voter(handler.server);
        (handler.counts() || may_vote_next).then_some(handler.server)
    }

    // ---- FOLLOWERINFO, OBSERVERINFO → LEADERINFO

    pub(super) fn on_info(&mut self, link: LinkId, packet: &Packet) -> Result<(), Refusal> {
        let stage = self.learners.handlers[&link].stage;
        assert_eq!(stage, HandlerStage::Info, "it is the first packet");
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
        if !is_old && self.is_too_far(server, accepted) {
            self.refuse_far_epoch(link, server, accepted);
            return Ok(());
        }
        let handler = self.learners.handlers.get_mut(&link).expect("its packet was just read");
        handler.server = server;
        handler.is_observer = is_observer;
        handler.is_old = is_old;
        handler.info_zxid = packet.zxid;
        handler.reader.set_data_bytes_max(self.lasting.options.packet_bytes_max);
        handler.enter(HandlerStage::Epoch);
        assert!(handler.is_known(), "it has said who it is");
        assert!(handler.server != self.lasting.options.me, "no learner has this server's id");
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
        // Old servers send a zxid there, not an epoch.
        let said = if is_old { self.lasting.epochs.accepted } else { accepted };
        if let LeaderPhase::Discovery { claims, .. } = &mut self.phase {
            match voter {
                Some(voter) => claims.voter(voter, said),
                None if is_member => claims.other(said),
                // A stranger can claim any epoch.
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

    /// Whether elections cannot explain the epoch that this server claims.
    fn is_too_far(&self, server: ServerId, accepted: Epoch) -> bool {
        let is_far = match (&self.phase, self.epoch) {
            // A quorum of voters may claim such an epoch.
            (LeaderPhase::Discovery { claims, .. }, _) => {
                claims.is_far(accepted) && !self.is_voter_anywhere(server)
            }
            (_, Some(epoch)) => is_far(accepted, epoch),
            (_, None) => false,
        };
        is_far || accepted >= Epoch::LAST
    }

    fn is_voter_anywhere(&self, server: ServerId) -> bool {
        self.quorums.iter().any(|config| config.is_voter(server))
    }

    /// Whether the epoch is decided, and durable here.
    fn says_epoch(&self) -> bool {
        !matches!(self.phase, LeaderPhase::Discovery { .. } | LeaderPhase::Accepting { .. })
    }

    pub(super) fn maybe_decide_epoch(&mut self) {
        // The epoch was decided before.
        let LeaderPhase::Discovery { claims, .. } = &self.phase else { return };
        assert!(self.epoch.is_none(), "an epoch is decided once");
        let me = self.lasting.options.me;
        let epoch = claims.epoch(
            |servers| servers.contains(&me) && self.has_quorums(servers),
            |servers| self.quorums.iter().all(|config| config.has_quorum(servers)),
        );
        // Too few servers have come.
        let Some(epoch) = epoch else { return };
        // A later epoch of an earlier role may have become durable since the claims began.
        let epoch = epoch.max(Epoch(self.lasting.epochs.accepted.0 + 1));
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
        // ZooKeeper: Leader.lead gives the first configuration the version of its epoch, so that it is later than any
        // configuration that a joining server knows. A quorum accepts it with NEWLEADER.
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

    pub(super) fn want_epochs(&mut self) -> u64 {
        assert!(self.out.epochs.is_none(), "one promise at a time waits for the disk");
        let token = self.numbers.next();
        self.out.epochs = Some((self.lasting.epochs, token));
        token
    }

    fn send_leader_info(&mut self, link: LinkId) {
        assert!(self.says_epoch(), "an epoch is told when it is durable");
        let epoch = self.epoch.expect("it was decided");
        let handler = self.learners.handlers.get_mut(&link).expect("it waits for this");
        assert_eq!(handler.stage, HandlerStage::Epoch, "it waits for this");
        if handler.is_old {
            // An old server knows no epochs; its last zxid tells which one it has followed.
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
        handler.enter(HandlerStage::AckEpoch);
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
            // The token of a part of this server that is not the leader, or of an earlier role.
            LeaderPhase::Discovery { .. }
            | LeaderPhase::Accepting { .. }
            | LeaderPhase::EpochAcks { .. }
            | LeaderPhase::Synchronization { .. }
            | LeaderPhase::Broadcast => {}
        }
    }

    pub(super) fn links_at(&self, at: impl Fn(HandlerStage) -> bool) -> Vec<LinkId> {
        let handlers = self.learners.handlers.values();
        handlers.filter(|handler| at(handler.stage)).map(|handler| handler.link).collect()
    }
}

pub(super) fn text(error: PacketError) -> Refusal {
    error.to_string()
}
