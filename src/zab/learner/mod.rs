//! The learner's side of ZAB: a follower or an observer of one leader (`Learner`, `Follower`,
//! `Observer`).
//!
//! ```text
//! connect → FOLLOWERINFO → LEADERINFO → ACKEPOCH → DIFF, TRUNC or SNAP → history → NEWLEADER → ACK
//!         → UPTODATE → ACK → broadcast, until the leader is left
//! ```
//! A packet that vouches for the disk leaves only when the disk has what the packet says: the accepted epoch before
//! ACKEPOCH, the history and then the current epoch before the ACK of NEWLEADER, each proposal before its ACK. No
//! packet but that ACK may reach the leader between ACKEPOCH and UPTODATE, because the leader takes the first packet
//! for it.
//!
//! A learner belongs to one attempt with one leader. When [`Learner::failure`] says why the attempt ended, the learner
//! is thrown away; the transactions that it got stay in the [`Journal`](super::Journal).

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

/// The server to learn from, and the role in which to learn.
#[derive(Clone, Debug)]
pub struct LearnerTarget {
    /// The leader.
    pub leader: ServerId,
    /// The server to connect to: the leader, or a follower that serves observers.
    pub master: ServerId,
    /// The addresses of that server.
    pub to: Vec<Endpoint>,
    /// The kind of port at these addresses.
    pub port: Port,
    /// Whether this server follows or observes.
    pub kind: LearnerKind,
    /// The epoch in the votes for the leader: the last epoch that it has led or followed.
    pub voted: Epoch,
}

/// The kinds of learners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnerKind {
    /// It gets proposals, acknowledges them and waits for their commit.
    Follower,
    /// It is informed of commits.
    Observer,
}

/// The way in which a learner got its leader's history (`QuorumPeer.SyncMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// The missing end.
    Diff,
    /// A cut, and then the missing end.
    Trunc,
    /// The whole tree.
    Snap,
}

/// The reason why the leader was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// In words for an operator.
    pub reason: String,
    /// The next leader, if a reconfiguration has named one: it is followed without an election.
    pub next: Option<ServerId>,
    /// Set if this server is kept out for its data, and will be again.
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

/// The progress of a learner. Each stage is named after what the learner waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LearnerStage {
    /// The connection to the leader: the number of attempts so far, the time of the next attempt if none is under way,
    /// and the time at which the learner gives up.
    Connection { tries: u32, retry_at: Option<MonoUs>, give_up: MonoUs },
    /// LEADERINFO.
    LeaderInfo,
    /// DIFF, TRUNC or SNAP: the leader's choice.
    Choice,
    /// The rest of a tree as of this zxid.
    Snapshot { zxid: Zxid },
    /// The rest of the history, and NEWLEADER.
    NewLeader,
    /// UPTODATE.
    UpToDate,
    /// Nothing: the learner is up to date.
    Broadcast,
}

/// One attempt to learn from one leader.
///
/// ```text
///  the learner's history │ from the leader
///  ──────────────────────┼────────────────────┬──────────────────────┬──────────────────────
///                        │ in the tree (SNAP) │ committed            │ pending, `uncommitted`
///                             `in_tree` ──────┘ journal.committed() ─┘ journal.accepted()  ─┘
/// ```
/// Invariant: `in_tree ≤ journal.committed() ≤ journal.accepted()` after the tree is whole; of what the leader sends,
/// the learner passes over everything up to `in_tree`.
#[derive(Debug)]
pub struct Learner {
    /// The state that outlives the role: the log, the epochs, the configurations, the effects.
    lasting: Box<Lasting>,
    /// The leader, and the role of this server.
    target: LearnerTarget,
    /// The connection to the leader, also while it is being established.
    ///
    /// Invariant: set in every stage behind [`LearnerStage::Connection`] until the connection ends.
    link: Option<LinkId>,
    /// The progress of this attempt.
    stage: LearnerStage,
    /// The leader's epoch, from LEADERINFO on; 0 before.
    ///
    /// Invariant: at most `lasting.epochs.accepted`.
    epoch: Epoch,
    /// Whether the other side is a Ringkeeper: it compares histories, keeps tenures (it does not let a session move to
    /// a connection that is only kept), and reads which servers know a session.
    knows_marks: bool,
    /// The origin of the leader's history, if the leader has sent one.
    origin: Option<Origin>,
    /// The way in which the leader sends its history.
    ///
    /// Invariant: set from the choice on.
    sync_mode: Option<SyncMode>,
    /// When the leader was last heard. A silent leader is left.
    heard: MonoUs,
    /// The bytes that came and were not handled yet.
    input: PacketReader,
    /// The pieces of the tree that were not handed on yet.
    ///
    /// Invariant: empty in every stage but [`LearnerStage::Snapshot`].
    tree: BytesMut,
    /// The zxid of the tree that was received. Later packets of transactions up to here repeat what is in the tree.
    in_tree: Zxid,
    /// The packets that vouch for effects of the present event.
    ///
    /// Invariant: empty between two events.
    vouched: Vec<u8>,
    /// An observer's proposals of the history whose COMMIT has not come. They go to the log only with their commit.
    ///
    /// Invariant: their zxids rise, above `lasting.journal.accepted()`; empty from UPTODATE on.
    uncommitted: VecDeque<Txn>,
    /// The memory that `uncommitted` takes, in bytes. A leader that lets it grow without bound is left.
    uncommitted_bytes: u64,
    /// The configuration of NEWLEADER, active with UPTODATE.
    ///
    /// Invariant: set only between the two.
    new_config: Option<Rc<Config>>,
    /// The number of bytes for the leader that the network still has. A leader that does not read is left.
    unsent_bytes: u64,
    /// The reason why the leader was left.
    ///
    /// Invariant: once set, it stays, and this learner does nothing more.
    failure: Option<Left>,
}

impl Learner {
    /// Begins to connect. The learner owns the state that outlives the role while it learns.
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

    /// The state that outlives the role, once the leader was left.
    pub fn into_lasting(self) -> Box<Lasting> {
        assert!(self.failure.is_some(), "a leader is left for a reason");
        self.lasting
    }

    /// The state that outlives the role.
    pub fn lasting(&self) -> &Lasting {
        &self.lasting
    }

    /// The state that outlives the role.
    pub fn lasting_mut(&mut self) -> &mut Lasting {
        &mut self.lasting
    }

    /// Handles an event on a link to a leader.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        // The leader was left, or the link belongs to an earlier attempt.
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

    /// Moves the pieces of the tree that came in this turn to the last `Ready`. Only if no other `Ready` is taken
    /// before that one.
    pub fn flush(&mut self) {
        if !self.tree.is_empty() && self.failure.is_none() {
            let bytes = self.tree.split().freeze();
            self.lasting.ready.inbound(Inbound::Snapshot { bytes });
        }
    }

    /// Leaves the leader for a reason that does not come from it.
    pub fn abandon(&mut self, reason: String) {
        self.leave(reason);
    }

    /// The reason why the leader was left.
    pub fn failure(&self) -> Option<&Left> {
        self.failure.as_ref()
    }

    /// Whether this is the learner's link.
    #[cfg(test)]
    pub(crate) fn owns(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    /// The leader, and the role of this server.
    pub fn target(&self) -> &LearnerTarget {
        &self.target
    }

    /// The leader's epoch, if the leader has said that this server is up to date.
    pub fn is_up_to_date(&self) -> Option<Epoch> {
        (self.stage == LearnerStage::Broadcast && self.failure.is_none()).then_some(self.epoch)
    }

    /// Whether this server's packets go straight to a leader that is a Ringkeeper, and not to a follower, which passes
    /// only requests on. Such a leader can be asked to keep a session, and its answers to [fences](packets::put_fence)
    /// differ from those to syncs.
    pub fn is_below_a_ringkeeper(&self) -> bool {
        self.knows_marks && self.target.master == self.target.leader
    }

    /// The standing that the replica was told, even if the leader was left since.
    pub fn standing(&self) -> Option<Standing> {
        let (leader, epoch) = (self.target.leader, self.epoch);
        (self.stage == LearnerStage::Broadcast).then_some(match self.target.kind {
            LearnerKind::Follower => Standing::Following { leader, epoch },
            LearnerKind::Observer => Standing::Observing { leader, epoch },
        })
    }

    /// The progress, for operators.
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

    /// Whether the leader has still to be reached.
    pub fn is_connecting(&self) -> bool {
        matches!(self.stage, LearnerStage::Connection { .. })
    }

    /// The way in which this server got its leader's history.
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

    /// How long the leader may be silent, in ms.
    fn silence_ms_max(&self) -> u64 {
        let options = &self.lasting.options;
        let ticks = match self.stage {
            LearnerStage::Broadcast => options.sync_limit,
            // ZooKeeper: Learner gives the leader only syncLimit ticks between its ACK of NEWLEADER and UPTODATE. But
            // the leader waits for a quorum then, for which it has initLimit.
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
