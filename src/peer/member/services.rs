//! The replica's calls to the leader or the learner that this server is.
//!
//! Questions have an answer in every role. An order to a role that has ended meanwhile does nothing: the replica
//! learns of the new standing with the next `Ready`, and nobody waits for the effect any more. Only a proposal of a
//! server that does not lead is a bug, and panics.

use super::{Member, MemberRole};
use crate::id::{SessionId, Zxid};
use crate::link::LinkId;
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::session::Tenure;
use crate::time::MonoUs;
use crate::zab::{Leader, PassedRequest};
use bytes::Bytes;

impl Member {
    // ---- the leader's part

    /// The zxid of the transaction after `last`; `None`: no more can be proposed in this epoch, or this server does
    /// not lead.
    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        self.leader()?.zxid_after(last)
    }

    /// Proposes the next transaction.
    ///
    /// # Panics
    /// If this server does not lead.
    pub fn propose(&mut self, txn: Txn) {
        self.leader_mut().propose(txn);
    }

    /// Proposes a reconfiguration. `config` is the new configuration, whose version is the zxid of `txn`.
    ///
    /// # Panics
    /// If this server does not lead.
    pub fn propose_reconfig(&mut self, txn: Txn, config: Config) {
        self.leader_mut().propose_reconfig(txn, config);
    }

    /// Whether a quorum of that configuration is connected and synchronised (`Leader.isQuorumSynced`).
    pub fn is_quorum_synced(&self, config: &Config) -> bool {
        self.leader().is_some_and(|leader| leader.is_quorum_synced(config))
    }

    /// Whether a reconfiguration is proposed and not yet committed.
    pub fn is_reconfiguring(&self) -> bool {
        self.leader().is_some_and(Leader::is_reconfiguring)
    }

    /// Answers a learner's sync as soon as everything proposed so far is committed.
    pub fn answer_sync(&mut self, link: LinkId) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.answer_sync(link);
        }
    }

    /// Answers a learner's fence: everything that it has passed on before is proposed or refused.
    pub fn answer_fence(&mut self, link: LinkId) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.answer_fence(link);
        }
    }

    /// Answers a learner's question about a session. `owns`: since when the learner owns it, if it does.
    pub fn answer_revalidate(&mut self, link: LinkId, session: SessionId, owns: Option<Tenure>) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.answer_revalidate(link, session, owns);
        }
    }

    /// Asks a quorum whether this server still leads. Returns the question's number; `Inbound::StillLeads` is the
    /// answer, which never comes if this server does not lead any more.
    pub fn confirm_lead(&mut self) -> u64 {
        match &mut self.role {
            MemberRole::Leading(leader) => leader.confirm_lead(),
            _ => u64::MAX,
        }
    }

    /// Sends a learner away that asks about more sessions than may wait.
    pub fn refuse_questions(&mut self, link: LinkId) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.refuse_questions(link);
        }
    }

    // ---- the whole tree for learners, which the replica serialises

    /// Whether a learner waits for the whole tree. If so, and if no other snapshot holds the database, the replica
    /// holds it and calls `snapshot_begins` at once, before any other event.
    pub fn wants_snapshot(&self) -> bool {
        // A follower may have observers that want the tree, as a leader has learners.
        let observers = self.role.lasting().observers.as_ref();
        self.leader().is_some_and(Leader::wants_snapshot)
            || observers.is_some_and(|it| it.wants_snapshot())
    }

    /// The database is held as of `zxid`, the last transaction handed out for commit, and has this
    /// digest if it is sure. All learners that wait take part. Then come `snapshot_piece` and at last `snapshot_ends`.
    pub fn snapshot_begins(&mut self, zxid: Zxid, digest: Option<i64>) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.snapshot_begins(zxid, digest);
        } else if let Some((observers, view)) = self.role.lasting_mut().observers() {
            observers.snapshot_begins(zxid, digest, view);
        }
    }

    /// Whether the learners that get the tree have room for more of it.
    pub fn wants_snapshot_piece(&self) -> bool {
        let observers = self.role.lasting().observers.as_ref();
        self.leader().is_some_and(Leader::wants_snapshot_piece)
            || observers.is_some_and(|it| it.wants_snapshot_piece())
    }

    /// Whether any learner still gets the tree; if not, the tree is given up.
    pub fn sends_snapshot(&self) -> bool {
        let observers = self.role.lasting().observers.as_ref();
        self.leader().is_some_and(Leader::sends_snapshot)
            || observers.is_some_and(|it| it.sends_snapshot())
    }

    /// The next piece of the tree.
    pub fn snapshot_piece(&mut self, bytes: Bytes) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.snapshot_piece(&bytes);
        } else if let Some(observers) = &mut self.role.lasting_mut().observers {
            observers.snapshot_piece(&bytes);
        }
    }

    /// The tree is complete, the signature behind it included.
    pub fn snapshot_ends(&mut self) {
        if let MemberRole::Leading(leader) = &mut self.role {
            leader.snapshot_ends();
        } else if let Some(observers) = &mut self.role.lasting_mut().observers {
            observers.snapshot_ends();
        }
        self.settle();
    }

    // ---- the learner's part

    /// Passes a client's request on to the leader (REQUEST).
    pub fn forward(&mut self, request: &PassedRequest<'_>) {
        if let MemberRole::Learning(learner) = &mut self.role {
            // The earlier requests of observers go before it, and so do their answers.
            learner.relay_asked();
            learner.forward(request);
        }
        self.settle();
    }

    /// Transactions that are accepted and not known to be committed, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &Txn> {
        self.role.lasting().journal.pending().iter()
    }

    /// Asks the leader whether a session is alive, and claims it for this server (REVALIDATE). `kept`: claims that
    /// this server still owns it, with a connection that is not new; only if the leader [keeps
    /// tenures](Member::keeps_tenures).
    pub fn revalidate(&mut self, session: SessionId, timeout_ms: i32, kept: Option<Tenure>) {
        if let MemberRole::Learning(learner) = &mut self.role {
            learner.relay_asked();
            learner.revalidate(session, timeout_ms, kept);
        }
        self.settle();
    }

    /// Whether it learns from a follower, which passes its requests on.
    pub fn is_below_a_follower(&self) -> bool {
        match &self.role {
            MemberRole::Learning(learner) => learner.target().master != learner.target().leader,
            MemberRole::Looking(_) | MemberRole::Waiting { .. } | MemberRole::Leading(_) => false,
        }
    }

    /// Whether the leader distinguishes connections that are kept from new ones.
    pub fn keeps_tenures(&self) -> bool {
        match &self.role {
            MemberRole::Learning(learner) => learner.is_below_a_ringkeeper(),
            MemberRole::Leading(_) => true,
            MemberRole::Looking(_) | MemberRole::Waiting { .. } => false,
        }
    }

    /// Answers [`Inbound::Ping`](crate::zab::Inbound::Ping) with the sessions that were heard and their timeouts in ms.
    pub fn answer_ping(&mut self, zxid: Zxid, touched: impl Iterator<Item = (SessionId, i32)>) {
        if let MemberRole::Learning(learner) = &mut self.role {
            learner.answer_ping(zxid, touched);
        }
        self.settle();
    }

    /// The tree is whole, and has this digest if it is sure. `rest` are the bytes after it.
    pub fn snapshot_received(&mut self, now: MonoUs, digest: Option<i64>, rest: &[u8]) {
        self.now = now;
        if let MemberRole::Learning(learner) = &mut self.role {
            learner.snapshot_received(digest, rest);
        }
        self.settle();
    }

    /// The tree cannot be read, so this server leaves its leader.
    pub fn snapshot_refused(&mut self, now: MonoUs, reason: &str) {
        self.now = now;
        if let MemberRole::Learning(learner) = &mut self.role {
            learner.snapshot_refused(reason);
        }
        self.settle();
    }
}
