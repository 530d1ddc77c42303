//! A leader: finds out the epoch, brings learners up to date, broadcasts (`Leader`).
//!
//! It decides and never acts: links, disk and database are words that come and go. The rule that
//! is easiest to break: a learner sees every transaction once, from its history and from what is
//! broadcast meanwhile.

use std::rc::Rc;

use bytes::Bytes;

use super::{CommittedLog, Epochs, Numbers};
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::peer::link::{LinkEvent, LinkId};
use crate::peer::{PeerOptions, Ready};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::time::MonoUs;

/// What a leader begins with.
#[derive(Debug)]
pub struct LeaderStart {
    /// How it behaves.
    pub options: Rc<PeerOptions>,
    /// The active configuration.
    pub config: Rc<Config>,
    /// The last one proposed; the active one if none is on its way.
    pub last_seen: Rc<Config>,
    /// The epoch files.
    pub epochs: Epochs,
    /// The last transaction in its log; all of it is handed out for commit.
    pub last: Zxid,
    /// The last transactions, up to `last`.
    pub recent: CommittedLog,
    /// Shared by all leaders and learners of this process.
    pub numbers: Numbers,
}

/// What is left of a leader.
#[derive(Debug)]
pub struct LeaderRemains {
    /// The last committed transactions.
    pub recent: CommittedLog,
    /// Proposed and not committed: they stay in the log.
    pub pending: Vec<Txn>,
    /// The epoch files as they were last wanted.
    pub epochs: Epochs,
    /// The active configuration.
    pub config: Rc<Config>,
    /// The last one proposed.
    pub last_seen: Rc<Config>,
}

/// A leader, from its election until it steps down.
#[derive(Debug)]
pub struct Leader {
    start: LeaderStart,
}

#[expect(unused_variables, clippy::needless_pass_by_value, reason = "being built")]
impl Leader {
    /// A leader that was just elected.
    pub fn new(start: LeaderStart, now: MonoUs) -> Leader {
        Leader { start }
    }

    // ---- events

    /// Something happened on a learner's link: also those accepted before the election, which come
    /// again as `Accepted` and, if bytes came, `Received`.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        unreachable!("not built yet")
    }

    /// Whether this link is a learner's.
    pub fn owns(&self, link: LinkId) -> bool {
        unreachable!("not built yet")
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        unreachable!("not built yet")
    }

    /// When [`Leader::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        unreachable!("not built yet")
    }

    /// Everything appended up to `zxid` is durable: the leader's own acknowledgement.
    pub fn handle_synced(&mut self, now: MonoUs, zxid: Zxid) {
        unreachable!("not built yet")
    }

    /// What was asked for with `Ready.durable` is; a token of somebody else is ignored.
    pub fn handle_durable(&mut self, now: MonoUs, token: u64) {
        unreachable!("not built yet")
    }

    /// The answer to a `LogRead`; one of somebody else's is ignored.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        unreachable!("not built yet")
    }

    /// What the outside witness says.
    pub fn set_oracle(&mut self, now: MonoUs, says_yes: bool) {
        unreachable!("not built yet")
    }

    /// A voter looks for a leader, as its notification says: it may have changed its mind
    /// (`Leader.reportLookingSid`).
    pub fn handle_looking(&mut self, now: MonoUs, server: ServerId) {
        unreachable!("not built yet")
    }

    /// Appends what is to be done: `send`, `append`, `epochs` with `durable`, `commit`, `standing`,
    /// `config`, `inbound`, `log_reads`. Never `truncate` or `restore`, and one `Ready` is always
    /// enough.
    pub fn take_ready(&mut self, ready: &mut Ready) {
        unreachable!("not built yet")
    }

    /// Why it must step down. To be asked after `take_ready`, in which it took its leave.
    pub fn failure(&self) -> Option<&str> {
        unreachable!("not built yet")
    }

    /// Takes leave of all learners, for the reason that whoever leads this server has: their links
    /// are closed with the next `take_ready`.
    pub fn resign(&mut self, reason: &str) {
        unreachable!("not built yet")
    }

    /// What is left when it has stepped down.
    pub fn into_remains(self) -> LeaderRemains {
        unreachable!("not built yet")
    }

    // ---- the replica's part, once it leads

    /// The zxid that a transaction gets after `last`; `None`: no more in this epoch.
    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        unreachable!("not built yet")
    }

    /// Proposes a transaction, the next in order.
    pub fn propose(&mut self, now: MonoUs, txn: Txn) {
        unreachable!("not built yet")
    }

    /// Proposes a reconfiguration and what it makes of the ensemble.
    pub fn propose_reconfig(&mut self, now: MonoUs, txn: Txn, config: Config) {
        unreachable!("not built yet")
    }

    /// Answers a learner's sync when what is proposed so far is committed.
    pub fn answer_sync(&mut self, link: LinkId) {
        unreachable!("not built yet")
    }

    /// Answers a learner's question about a session.
    pub fn answer_revalidate(&mut self, link: LinkId, session: SessionId, valid: bool) {
        unreachable!("not built yet")
    }

    /// Whether a quorum of that configuration is connected and synchronised.
    pub fn is_quorum_synced(&self, config: &Config) -> bool {
        unreachable!("not built yet")
    }

    /// Whether a reconfiguration is proposed and not committed.
    pub fn is_reconfiguring(&self) -> bool {
        unreachable!("not built yet")
    }

    // ---- the whole tree

    /// Whether a learner waits for the whole tree, and none is on its way.
    pub fn wants_snapshot(&self) -> bool {
        unreachable!("not built yet")
    }

    /// The database is held as of `zxid`, the last transaction handed out for commit (or the first
    /// zxid of this epoch, before the first transaction in it).
    pub fn snapshot_begins(&mut self, now: MonoUs, zxid: Zxid) {
        unreachable!("not built yet")
    }

    /// Whether those who get the tree have room for more of it.
    pub fn wants_snapshot_piece(&self) -> bool {
        unreachable!("not built yet")
    }

    /// Whether anybody still gets the tree.
    pub fn sends_snapshot(&self) -> bool {
        unreachable!("not built yet")
    }

    /// The next piece of the tree.
    pub fn snapshot_piece(&mut self, bytes: Bytes) {
        unreachable!("not built yet")
    }

    /// The tree is whole, the signature behind it included.
    pub fn snapshot_ends(&mut self, now: MonoUs) {
        unreachable!("not built yet")
    }

    // ---- facts

    /// Its epoch, once it is known.
    pub fn epoch(&self) -> Option<Epoch> {
        unreachable!("not built yet")
    }

    /// Whether a quorum has its history: it serves.
    pub fn is_active(&self) -> bool {
        unreachable!("not built yet")
    }

    /// Who leads next, after a reconfiguration that took the lead from this server.
    pub fn designated(&self) -> Option<ServerId> {
        unreachable!("not built yet")
    }

    /// The newest transaction proposed.
    pub fn accepted(&self) -> Zxid {
        unreachable!("not built yet")
    }

    /// The newest transaction handed out for commit.
    pub fn committed(&self) -> Zxid {
        unreachable!("not built yet")
    }

    /// The epoch files as they were last wanted.
    pub fn epochs(&self) -> Epochs {
        self.start.epochs
    }

    /// The active configuration.
    pub fn config(&self) -> &Rc<Config> {
        &self.start.config
    }

    /// The last one proposed; the active one if none is on its way.
    pub fn last_seen_config(&self) -> &Rc<Config> {
        &self.start.last_seen
    }
}
