//! The learner's side of ZAB: a follower or an observer of one leader (`Learner`, `Follower`,
//! `Observer`).
//!
//! ```text
//! connect → FOLLOWERINFO → LEADERINFO → ACKEPOCH → DIFF, TRUNC or SNAP → history → NEWLEADER → ACK
//!         → UPTODATE → ACK → broadcast, until the leader is left
//! ```
//! Whatever vouches for something on the disk leaves behind it: the accepted epoch before ACKEPOCH,
//! the history and then the current epoch before the ACK of NEWLEADER, each proposal before its ACK.
//! Nothing but that ACK may reach the leader between ACKEPOCH and UPTODATE, for it takes the first
//! packet for it.
//!
//! A learner belongs to one attempt with one leader. When [`Learner::failure`] says why it ended,
//! it is thrown away, and what it got stays in the [`Journal`](super::Journal).

mod broadcast;
mod connect;
mod discovery;
mod history;
mod requests;
mod saying;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::packets::{self, Packet, PacketError, PacketReader};
use super::{Origin, kept_out};
use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::{LEARNER_OUTPUT_BYTES_MAX, LOG_RECORD_BYTES_MAX};
use crate::link::{Endpoint, LinkEvent, LinkId, LinkOp, Port};
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::time::MonoUs;
use crate::zab::{Inbound, Lasting, PeerPhase, Standing};
use saying::Saying;

/// Whom to learn from, and as what.
#[derive(Clone, Debug)]
pub struct LearnerTarget {
    /// Who leads.
    pub leader: ServerId,
    /// Who is connected to: the leader, or a follower that serves observers.
    pub master: ServerId,
    /// Where that is.
    pub to: Vec<Endpoint>,
    /// Which of its ports these are.
    pub port: Port,
    /// Whether this server follows or observes.
    pub kind: LearnerKind,
    /// The epoch in the votes by which it was elected: the last that it has led or followed.
    pub voted: Epoch,
}

/// A learner that votes, or one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnerKind {
    /// Gets proposals, acknowledges them and waits for their commit.
    Follower,
    /// Gets what is committed.
    Observer,
}

/// How a learner got its leader's history (`QuorumPeer.SyncMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// What it lacked.
    Diff,
    /// Less than it had, and then what it lacked.
    Trunc,
    /// The whole tree.
    Snap,
}

/// Why the leader was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// In words for an operator.
    pub reason: String,
    /// Who is to be followed next, without an election: a reconfiguration said so.
    pub next: Option<ServerId>,
    /// This server is kept out for its data, and will be the next time, too.
    pub kept_out: Option<kept_out::Reason>,
}

impl Left {
    fn new(reason: String) -> Left {
        Left { reason, next: None, kept_out: None }
    }

    fn kept_out(why: kept_out::Reason, reason: String) -> Left {
        Left { reason, next: None, kept_out: Some(why) }
    }
}

impl From<PacketError> for Left {
    fn from(error: PacketError) -> Left {
        Left::new(format!("it sent {error}"))
    }
}

/// How far a learner has come. Each stage waits for what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LearnerStage {
    /// For a connection: the how manieth attempt, when the next one begins if none is under way,
    /// and when it is given up.
    Connection { tries: u32, retry_at: Option<MonoUs>, give_up: MonoUs },
    /// For LEADERINFO.
    LeaderInfo,
    /// For DIFF, TRUNC or SNAP.
    Choice,
    /// For the rest of the tree.
    Snapshot { zxid: Zxid },
    /// For the rest of the history, and NEWLEADER.
    NewLeader,
    /// For UPTODATE.
    UpToDate,
    /// For whatever happens.
    Broadcast,
}

/// One attempt to learn from one leader.
#[derive(Debug)]
pub struct Learner {
    /// What this server keeps through all its roles.
    lasting: Box<Lasting>,
    target: LearnerTarget,
    /// The connection to the leader, also while it is being made.
    ///
    /// Invariant: set in every stage behind [`LearnerStage::Connection`] until the connection ends.
    link: Option<LinkId>,
    stage: LearnerStage,
    /// The leader's epoch, from LEADERINFO on.
    ///
    /// Invariant: at most `lasting.epochs.accepted`.
    epoch: Epoch,
    /// Whoever it learns from is another Ringkeeper: it compares histories, keeps tenures (it does not
    /// let a session move to a connection that is only kept), and reads what is said of sessions.
    knows_marks: bool,
    /// Where the leader's history began, if it says so.
    origin: Option<Origin>,
    /// How the leader sends its history.
    ///
    /// Invariant: set from the choice on.
    sync_mode: Option<SyncMode>,
    /// When something was last heard of the leader.
    heard: MonoUs,
    input: PacketReader,
    /// Pieces of the tree that were not handed on yet.
    ///
    /// Invariant: empty in every stage but [`LearnerStage::Snapshot`].
    tree: BytesMut,
    /// Proposals up to here are in the tree that was received.
    in_tree: Zxid,
    /// Packets that vouch for what is wanted of the disk in this event.
    ///
    /// Invariant: empty between two events.
    vouched: Vec<u8>,
    /// An observer's proposals of the history whose COMMIT has not come.
    ///
    /// Invariant: their zxids rise, above `lasting.journal.accepted()`; empty from UPTODATE on.
    uncommitted: VecDeque<Txn>,
    /// The memory that they take.
    uncommitted_bytes: u64,
    /// The configuration of NEWLEADER, active with UPTODATE.
    ///
    /// Invariant: set only between the two.
    new_config: Option<Rc<Config>>,
    /// Bytes for the leader that the network still has.
    unsent_bytes: u64,
    failure: Option<Left>,
}

impl Learner {
    /// Begins to connect. What outlives the role is the learner's while it learns.
    pub fn new(target: LearnerTarget, now: MonoUs, lasting: Box<Lasting>) -> Learner {
        let mut learner = Learner {
            stage: connect::first(now, &lasting.options),
            lasting,
            target,
            link: None,
            epoch: Epoch(0),
            knows_marks: false,
            origin: None,
            sync_mode: None,
            heard: now,
            input: PacketReader::new(LOG_RECORD_BYTES_MAX as usize),
            tree: BytesMut::new(),
            in_tree: Zxid(i64::MIN),
            vouched: Vec::new(),
            uncommitted: VecDeque::new(),
            uncommitted_bytes: 0,
            new_config: None,
            unsent_bytes: 0,
            failure: None,
        };
        learner.connect(now);
        learner
    }

    /// The role is over: what outlives it.
    pub fn into_lasting(self) -> Box<Lasting> {
        assert!(self.failure.is_some(), "a leader is left for a reason");
        self.lasting
    }

    /// What outlives the role.
    pub fn lasting(&self) -> &Lasting {
        &self.lasting
    }

    /// What outlives the role.
    pub fn lasting_mut(&mut self) -> &mut Lasting {
        &mut self.lasting
    }

    /// Something happened on the link to the leader.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        // The leader is left, or it is a link of an earlier attempt.
        if self.failure.is_some() || self.link != Some(event.link()) {
            return;
        }
        match event {
            LinkEvent::Accepted { .. } | LinkEvent::Identified { .. } => {}
            LinkEvent::Connected { .. } => self.on_connected(now),
            LinkEvent::Received { bytes, .. } => {
                self.heard = now;
                self.on_bytes(bytes);
                self.flush_vouched();
            }
            LinkEvent::Sent { bytes, .. } => {
                self.unsent_bytes = self.unsent_bytes.saturating_sub(bytes);
            }
            LinkEvent::Closed { reason, .. } => self.on_closed(now, reason),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        if self.failure.is_some() || self.next_timeout().is_none_or(|at| now < at) {
            return;
        }
        if let LearnerStage::Connection { .. } = self.stage {
            self.on_connection_timeout(now);
        } else {
            let ms = self.silence_ms_max();
            self.leave(format!("nothing was heard of it for {ms} ms"));
        }
    }

    /// When [`Learner::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        match self.stage {
            _ if self.failure.is_some() => None,
            LearnerStage::Connection { retry_at, give_up, .. } => Some(retry_at.unwrap_or(give_up)),
            _ => Some(self.heard.plus_ms(self.silence_ms_max())),
        }
    }

    /// Puts into the last `Ready` what was collected over a turn. To be called when no other is
    /// taken before that one.
    pub fn flush(&mut self) {
        if !self.tree.is_empty() && self.failure.is_none() {
            let bytes = self.tree.split().freeze();
            self.lasting.ready.inbound(Inbound::Snapshot { bytes });
        }
    }

    /// The leader is left, for a reason that arose elsewhere.
    pub fn abandon(&mut self, reason: String) {
        self.leave(reason);
    }

    /// Why the leader was left.
    pub fn failure(&self) -> Option<&Left> {
        self.failure.as_ref()
    }

    /// From whom and as what.
    pub fn target(&self) -> &LearnerTarget {
        &self.target
    }

    /// The leader's epoch when the leader said that this server is up to date.
    pub fn is_up_to_date(&self) -> Option<Epoch> {
        (self.stage == LearnerStage::Broadcast && self.failure.is_none()).then_some(self.epoch)
    }

    /// Whether what this server says goes to a leader that is a Ringkeeper, and not by way of a follower, which passes
    /// on requests alone. Such a leader can be asked to keep a session, and tells answers to
    /// [fences](packets::put_fence) from those to syncs.
    pub fn is_below_a_ringkeeper(&self) -> bool {
        self.knows_marks && self.target.master == self.target.leader
    }

    /// What the replica was told that this server is, even if the leader was left since.
    pub fn standing(&self) -> Option<Standing> {
        let (leader, epoch) = (self.target.leader, self.epoch);
        (self.stage == LearnerStage::Broadcast).then_some(match self.target.kind {
            LearnerKind::Follower => Standing::Following { leader, epoch },
            LearnerKind::Observer => Standing::Observing { leader, epoch },
        })
    }

    /// Whether it is still learning the epoch, or getting the history.
    pub fn phase(&self) -> PeerPhase {
        match self.stage {
            LearnerStage::Connection { .. } | LearnerStage::LeaderInfo | LearnerStage::Choice => {
                PeerPhase::Discovery
            }
            LearnerStage::Snapshot { .. } | LearnerStage::NewLeader | LearnerStage::UpToDate => {
                PeerPhase::Synchronization
            }
            LearnerStage::Broadcast => PeerPhase::Broadcast,
        }
    }

    /// Whether the leader was not reached yet.
    pub fn is_connecting(&self) -> bool {
        matches!(self.stage, LearnerStage::Connection { .. })
    }

    /// How it got its leader's history.
    pub fn sync_mode(&self) -> Option<SyncMode> {
        self.sync_mode
    }

    // ---- bytes to packets

    fn on_bytes(&mut self, bytes: &[u8]) {
        if let LearnerStage::Snapshot { .. } = self.stage {
            self.tree.extend_from_slice(bytes);
            return;
        }
        self.input.push(bytes);
        while self.failure.is_none() {
            if let LearnerStage::Snapshot { .. } = self.stage {
                self.tree.extend_from_slice(&self.input.take_rest());
                return;
            }
            match self.input.next() {
                Ok(Some(packet)) => self.on_packet(&packet),
                Ok(None) => return,
                Err(error) => self.leave(format!("it sent {error}")),
            }
        }
    }

    fn on_packet(&mut self, packet: &Packet) {
        let result = match self.stage {
            LearnerStage::Connection { .. } | LearnerStage::Snapshot { .. } => Ok(()),
            LearnerStage::LeaderInfo => self.on_leader_info(packet),
            LearnerStage::Choice => self.on_choice(packet),
            LearnerStage::NewLeader | LearnerStage::UpToDate => self.on_history(packet),
            LearnerStage::Broadcast => self.on_broadcast(packet),
        };
        if let Err(left) = result {
            self.leave_for(left);
        }
    }

    // ---- the end

    fn leave(&mut self, reason: String) {
        self.leave_for(Left::new(reason));
    }

    fn leave_for(&mut self, left: Left) {
        if self.failure.is_some() {
            return;
        }
        self.flush_vouched();
        if self.failure.is_some() {
            return;
        }
        if let LearnerStage::Snapshot { .. } = self.stage {
            self.tree.clear();
            self.lasting.ready.inbound(Inbound::SnapshotAborted);
        }
        if let Some(link) = self.link {
            self.lasting.ready.send(LinkOp::Close { link });
        }
        assert!(!left.reason.is_empty(), "an operator is told why");
        self.failure = Some(left);
    }

    /// How long the leader may be silent.
    fn silence_ms_max(&self) -> u64 {
        let options = &self.lasting.options;
        let ticks = match self.stage {
            LearnerStage::Broadcast => options.sync_limit,
            // ZooKeeper: Learner gives it only syncLimit ticks between its ACK of NEWLEADER and
            // UPTODATE. But then the leader waits for a quorum, for which it has initLimit.
            _ => options.init_limit.max(options.sync_limit),
        };
        options.tick_ms.saturating_mul(ticks)
    }
}

/// ZooKeeper's name of a packet's type (`LearnerHandler.packetToString`).
fn name(packet_type: i32) -> &'static str {
    match packet_type {
        packet::REQUEST => "REQUEST",
        packet::PROPOSAL => "PROPOSAL",
        packet::ACK => "ACK",
        packet::COMMIT => "COMMIT",
        packet::PING => "PING",
        packet::REVALIDATE => "REVALIDATE",
        packet::SYNC => "SYNC",
        packet::INFORM => "INFORM",
        packet::COMMITANDACTIVATE => "COMMITANDACTIVATE",
        packet::NEWLEADER => "NEWLEADER",
        packet::FOLLOWERINFO => "FOLLOWERINFO",
        packet::UPTODATE => "UPTODATE",
        packet::DIFF => "DIFF",
        packet::TRUNC => "TRUNC",
        packet::SNAP => "SNAP",
        packet::OBSERVERINFO => "OBSERVERINFO",
        packet::LEADERINFO => "LEADERINFO",
        packet::ACKEPOCH => "ACKEPOCH",
        packet::INFORMANDACTIVATE => "INFORMANDACTIVATE",
        _ => "an unknown packet",
    }
}
