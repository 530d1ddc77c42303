//! A member of an ensemble: LOOKING, LEADING, FOLLOWING or OBSERVING (`QuorumPeer`).

use super::*;

/// What an election, a leader and a learner have in common, and which of them this server is now.
#[derive(Debug)]
pub struct Member {
    options: PeerOptions,
    config: Rc<Config>,
    history: History,
}

#[expect(clippy::needless_pass_by_value, unused_variables, missing_docs, reason = "being built")]
impl Member {
    pub fn new(
        options: PeerOptions,
        config: Config,
        history: History,
        now: MonoUs,
        seed: u64,
    ) -> Member {
        Member { options, config: Rc::new(config), history }
    }

    // ---- events, from the replica

    /// Something happened on a link.
    pub fn handle_link(&mut self, now: MonoUs, event: LinkEvent<'_>) {
        unreachable!("not built yet")
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: MonoUs) {
        unreachable!("not built yet")
    }

    pub fn next_timeout(&self) -> Option<MonoUs> {
        unreachable!("not built yet")
    }

    /// Everything appended up to `zxid` is durable. Never goes back but after a truncate.
    pub fn handle_synced(&mut self, zxid: Zxid) {
        unreachable!("not built yet")
    }

    /// Everything of the `Ready` with this `durable`, and of those before it, is durable.
    pub fn handle_durable(&mut self, now: MonoUs, token: u64) {
        unreachable!("not built yet")
    }

    /// The transactions asked for with [`LogRead`], in order; `None`: not there, too many bytes, or
    /// they cannot be read: the learner gets the whole tree.
    pub fn handle_log_read(&mut self, now: MonoUs, id: u64, txns: Option<Vec<Txn>>) {
        unreachable!("not built yet")
    }

    /// What the outside witness says (`oraclePath`); asked for by the edge each tick.
    pub fn set_oracle(&mut self, now: MonoUs, says_yes: bool) {
        unreachable!("not built yet")
    }

    /// Leaves the leader, or the lead: what must be written cannot be. Elections go on; it should not
    /// be the one to be elected again at once.
    pub fn leave(&mut self, now: MonoUs, reason: &str) {
        unreachable!("not built yet")
    }

    pub fn take_ready(&mut self, ready: &mut Ready) -> bool {
        unreachable!("not built yet")
    }

    // ---- the leader's part

    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        unreachable!("not built yet")
    }

    pub fn propose(&mut self, txn: Txn) {
        unreachable!("not built yet")
    }

    /// Proposes a reconfiguration: `txn` is its transaction, `config` what it makes of the ensemble
    /// (its version is the transaction's zxid).
    pub fn propose_reconfig(&mut self, txn: Txn, config: Config) {
        unreachable!("not built yet")
    }

    /// Whether a quorum of that configuration is connected and synchronised
    /// (`Leader.isQuorumSynced`).
    pub fn is_quorum_synced(&self, config: &Config) -> bool {
        unreachable!("not built yet")
    }

    /// Whether a reconfiguration is proposed and not yet committed.
    pub fn is_reconfiguring(&self) -> bool {
        unreachable!("not built yet")
    }

    /// A learner's sync: answered when what is proposed so far is committed.
    pub fn answer_sync(&mut self, link: LinkId) {
        unreachable!("not built yet")
    }

    pub fn answer_revalidate(&mut self, link: LinkId, session: SessionId, valid: bool) {
        unreachable!("not built yet")
    }

    // ---- the whole tree, to learners: the replica serialises it

    /// Whether a learner waits for the whole tree. The replica, if the database is not held by
    /// another snapshot, then holds it and calls `snapshot_begins` at once, before any other event.
    pub fn wants_snapshot(&self) -> bool {
        unreachable!("not built yet")
    }

    /// The database is held as of `zxid`, the last transaction handed out for commit. All learners
    /// that wait take part. Then come `snapshot_piece` and at last `snapshot_ends`.
    pub fn snapshot_begins(&mut self, zxid: Zxid) {
        unreachable!("not built yet")
    }

    /// Whether those who get the tree have room for more of it.
    pub fn wants_snapshot_piece(&self) -> bool {
        unreachable!("not built yet")
    }

    /// Whether anybody still gets the tree; if not, it is given up.
    pub fn sends_snapshot(&self) -> bool {
        unreachable!("not built yet")
    }

    pub fn snapshot_piece(&mut self, bytes: Bytes) {
        unreachable!("not built yet")
    }

    /// The tree is whole, the signature behind it included.
    pub fn snapshot_ends(&mut self) {
        unreachable!("not built yet")
    }

    // ---- the learner's part

    /// Passes a client's request on to the leader (REQUEST).
    pub fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        op: OpCode,
        body: &[u8],
        identities: &[Identity],
    ) {
        unreachable!("not built yet")
    }

    /// Asks the leader whether a session is alive, and that this server owns it (REVALIDATE).
    pub fn revalidate(&mut self, session: SessionId, timeout_ms: i32) {
        unreachable!("not built yet")
    }

    pub fn answer_ping(&mut self, zxid: Zxid, touched: impl Iterator<Item = (SessionId, i32)>) {
        unreachable!("not built yet")
    }

    /// The tree is whole; `rest` is what came behind it.
    pub fn snapshot_received(&mut self, now: MonoUs, rest: &[u8]) {
        unreachable!("not built yet")
    }

    /// The tree cannot be read: the leader is left.
    pub fn snapshot_refused(&mut self, now: MonoUs, reason: &str) {
        unreachable!("not built yet")
    }

    // ---- facts

    pub fn accepted(&self) -> Zxid {
        unreachable!("not built yet")
    }

    pub fn committed(&self) -> Zxid {
        unreachable!("not built yet")
    }

    /// `leader`, `follower`, `observer`; `leaderelection` while looking.
    pub fn mode(&self) -> &'static str {
        unreachable!("not built yet")
    }

    /// The active configuration.
    pub fn config(&self) -> &Rc<Config> {
        &self.config
    }

    /// The last configuration that was proposed or seen; the active one if none is on its way.
    pub fn last_seen_config(&self) -> &Rc<Config> {
        unreachable!("not built yet")
    }

    pub fn me(&self) -> ServerId {
        self.options.me
    }
}
