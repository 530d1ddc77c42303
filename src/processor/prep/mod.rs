//! From a request to a transaction (`PrepRequestProcessor`).
//!
//! Every write becomes a transaction. A write that fails becomes an error transaction, which uses up its zxid, so that
//! all servers agree on the failure. The checks, their order and their errors are ZooKeeper's. The rule that is easy to
//! break: a request that fails leaves no change record behind, and the records of one that succeeds say exactly what
//! its transaction will do to the tree.
//!
//! Where requests come from: a client of this server (`replica::requests`), a client of a learner
//! (`replica::learners`), or the server itself, for sessions that end (`replica::expiry`) and for containers
//! (`replica::reap`). Only a standalone server or a leader prepares. Where transactions go: to the log, and at a
//! leader to the followers. Preparation never changes the tree and never fails as a whole: there is a transaction for
//! every request.
//!
//! ```text
//! begin      takes the zxid, and notes the digest to which a failure returns
//! plan_x     checks the request, and records its changes   ─▶ Planned, or an error code
//! finish     encodes the transaction                       ─▶ Txn
//!            on an error: takes back what plan_x recorded  ─▶ Txn with OpCode::Error
//! ```

// One file per group of operations, each with the `plan_x` methods of `Prep` that check them.
mod create;
mod multi;
mod ops;
mod options;
mod planned;
mod reconfig;
mod session;

use std::cell::Cell;

use super::outstanding::{ChangeRecord, Outstanding};
use crate::acl::{AclList, FixUpError, fix_up};
use crate::database::{Database, NodeKind, NodeRef, ReapRules};
use crate::error::ErrorCode;
use crate::id::{SessionId, Zxid};
use crate::planted::{self, PlantedBug};
use crate::proto::request::RequestBody;
use crate::proto::txn::{DIGEST_VERSION, Txn, TxnBody, TxnDigest, TxnHeader};
use crate::proto::{AclEntry, AclVector, OpCode};
use crate::quorum::Config;
use crate::time::WallMs;
use crate::tree::QuotaExcess;

use planned::Planned;

pub use options::{Beyond, PrepOptions, Requester};
pub use reconfig::ReconfigFacts;

/// Makes transactions out of writes.
/// ```text
/// zxids  ───────────────────┬────────────────────────────┬────────────→
///            the tree shows │ `outstanding` predicts     │ to come
///              them         │ what they will do          │
///                 database.last_processed()            last
/// ```
/// Invariant: each change in `outstanding` is of a zxid up to `last`.
///
/// The caller tells it what becomes of its transactions: [`Prep::on_logged`] and [`Prep::on_applied`], or
/// [`Prep::take_back`] if the log has no room.
pub struct Prep {
    /// How requests are prepared.
    options: PrepOptions,
    /// What the transactions up to `last` will have changed when they are applied.
    outstanding: Outstanding,
    /// The zxid of the newest transaction. Invariant: it grows, unless [`Prep::take_back`] lowers it.
    last: Zxid,
    /// The tree's digest when everything outstanding is applied, as the next transaction carries it.
    digest: i64,
    /// The same before the present request: what a request that fails goes back to.
    digest_before: i64,
    /// All permissions for `world:anyone`: nearly every create has this list, which needs no check.
    open: AclList,
    /// The last quota that a request exceeded, until [`Prep::take_quota_excess`].
    quota_excess: Cell<Option<(String, QuotaExcess)>>,
    /// The last bound that a request exceeded, until [`Prep::take_beyond`].
    beyond: Cell<Option<Beyond>>,
    /// The configuration that the newest transaction sets, until [`Prep::take_config`].
    config: Option<Config>,
}

/// The zxid and the time of the transaction in preparation.
#[derive(Clone, Copy)]
struct Stamp {
    /// Its zxid.
    zxid: Zxid,
    /// Ms since the Unix epoch, by the clock of this server.
    time: i64,
}

impl Prep {
    /// Prepares transactions that follow those in `database`.
    pub fn new(options: PrepOptions, database: &Database) -> Prep {
        Prep {
            options,
            outstanding: Outstanding::default(),
            last: database.last_processed(),
            digest: database.digest(),
            digest_before: database.digest(),
            open: AclList::open(),
            quota_excess: Cell::new(None),
            beyond: Cell::new(None),
            config: None,
        }
    }

    /// Makes the transaction of a client's request, dated `now`. `zxid` is the next in order. The transaction is an
    /// error transaction if a check fails, or if it would be longer than [`PrepOptions::txn_bytes_max`].
    ///
    /// The request must be a write. A reconfig is refused, because a standalone server has no ensemble; a leader
    /// calls [`Prep::prepare_reconfig`].
    ///
    /// # Panics
    /// If the body is that of a read, or `zxid` is not above all earlier ones.
    // ZooKeeper: PrepRequestProcessor.pRequest2Txn.
    pub fn prepare(
        &mut self,
        database: &Database,
        now: WallMs,
        zxid: Zxid,
        requester: &Requester<'_>,
        op: OpCode,
        body: &RequestBody<'_>,
    ) -> Txn {
        self.begin(database, zxid);
        let stamp = Stamp { zxid, time: now.0 };
        let planned = match body {
            RequestBody::Create(request) => self.plan_create(
                database,
                stamp,
                requester,
                &create::Wanted::from_create(op, request),
            ),
            RequestBody::CreateTtl(request) => {
                self.plan_create(database, stamp, requester, &create::Wanted::from_ttl(request))
            }
            // Of the requests with a path and a version, only delete comes alone: check exists only in a multi.
            RequestBody::PathVersion(request) => {
                self.plan_delete(database, stamp, requester, request)
            }
            RequestBody::SetData(request) => {
                self.plan_set_data(database, stamp, requester, request)
            }
            RequestBody::SetAcl(request) => self.plan_set_acl(database, stamp, requester, request),
            RequestBody::Multi(parts) => {
                return self.prepare_multi(database, stamp, requester, parts);
            }
            RequestBody::Reconfig(_) => Err(self.refuse_reconfig(requester)),
            RequestBody::PathWatch(_)
            | RequestBody::Path(_)
            | RequestBody::PathKind(_)
            | RequestBody::Auth(_)
            | RequestBody::Sasl(_)
            | RequestBody::SetWatches(_)
            | RequestBody::Empty => unreachable!("{op:?} changes nothing"),
        };
        self.finish(stamp, requester, planned)
    }

    /// Makes the transaction that removes an empty container or an expired TTL node, for the server itself: session
    /// 0, xid 0, and no permission is asked. The node is checked again, because it may have changed since the search
    /// found it.
    // ZooKeeper: ContainerManager submits a deleteContainer request.
    pub fn prepare_reap(
        &mut self,
        database: &Database,
        now: WallMs,
        zxid: Zxid,
        rules: ReapRules,
        path: &str,
    ) -> Txn {
        self.begin(database, zxid);
        let stamp = Stamp { zxid, time: now.0 };
        let planned = self.plan_reap(database, stamp, rules, path);
        let server = Requester {
            session: SessionId::NONE,
            cxid: 0,
            identities: &[],
            allowed: Ok(()),
            allowed_ephemerals: Ok(()),
        };
        self.finish(stamp, &server, planned)
    }

    /// Makes the transaction of a write that failed before it was checked: one that this server refuses by a bound of
    /// its own, or whose session may not write. It uses up the zxid like every other.
    pub fn prepare_error(
        &mut self,
        database: &Database,
        now: WallMs,
        zxid: Zxid,
        requester: &Requester<'_>,
        error: ErrorCode,
    ) -> Txn {
        self.begin(database, zxid);
        self.error_txn(Stamp { zxid, time: now.0 }, requester, error)
    }

    /// All transactions up to `zxid` are applied to the tree, which answers for them from now on.
    pub fn on_applied(&mut self, zxid: Zxid) {
        self.outstanding.forget(zxid);
    }

    /// The log has accepted all transactions up to `zxid`: from now on [`Prep::take_back`] cannot undo them.
    pub fn on_logged(&mut self, zxid: Zxid) {
        self.outstanding.settle(zxid);
    }

    /// Takes back all transactions after `zxid`, for which the log has no room. `digest` is that of the tree after
    /// the transaction `zxid`.
    pub fn take_back(&mut self, zxid: Zxid, digest: i64) {
        assert!(zxid <= self.last, "only what was prepared is taken back: {zxid}");
        self.outstanding.roll_back_after(zxid);
        self.last = zxid;
        self.digest = digest;
    }

    /// The tree's digest when everything outstanding is applied.
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// The last quota that a request since the last call exceeded, and its path. The caller logs it: a soft limit has
    /// no other effect.
    pub fn take_quota_excess(&self) -> Option<(String, QuotaExcess)> {
        self.quota_excess.take()
    }

    /// The last bound for which a request since the last call was refused. The caller logs it: ZooKeeper has no such
    /// bound, and therefore no error code that names it.
    pub fn take_beyond(&self) -> Option<Beyond> {
        self.beyond.take()
    }

    /// The configuration that the newest transaction sets, if it is a reconfiguration.
    pub fn take_config(&mut self) -> Option<Config> {
        self.config.take()
    }

    /// The zxid of the newest transaction.
    pub fn last(&self) -> Zxid {
        self.last
    }

    /// How many changes of nodes are proposed and not yet applied.
    pub fn outstanding_changes(&self) -> usize {
        self.outstanding.len()
    }

    /// Whether this bug is planted; never in a released server.
    fn is_planted(&self, bug: PlantedBug) -> bool {
        planted::is(self.options.planted, bug)
    }

    /// Takes the zxid for the request that is prepared next.
    ///
    /// With nothing outstanding, the tree's own digest is the one to go on from.
    fn begin(&mut self, database: &Database, zxid: Zxid) {
        assert!(zxid > self.last, "zxids rise: {zxid} after {}", self.last);
        assert!(zxid > database.last_processed(), "a transaction is prepared before it is applied");
        self.last = zxid;
        if self.outstanding.is_empty() {
            self.digest = database.digest();
        }
        self.digest_before = self.digest;
    }

    /// Encodes the transaction of a request that was planned. One that is too long becomes an error transaction: the
    /// log could not be read back past it (ZOOKEEPER-4306).
    fn finish(
        &mut self,
        stamp: Stamp,
        requester: &Requester<'_>,
        planned: Result<Planned<'_>, ErrorCode>,
    ) -> Txn {
        assert!(stamp.zxid == self.last, "one transaction is in preparation");
        match planned {
            Ok(planned) => {
                let header = header(stamp, requester, planned.op);
                // The longest allowed transaction must pass; this planted bug refuses it.
                let less = usize::from(self.is_planted(PlantedBug::FullTxnRefused));
                let bytes_max = self.options.txn_bytes_max - less;
                let digest = self.txn_digest();
                if let Ok(txn) = Txn::new_within(header, &planned.body(), digest, bytes_max) {
                    assert!(txn.bytes().len() <= bytes_max, "a log takes every transaction");
                    return txn;
                }
                if !self.is_planted(PlantedBug::LongTxnNotTakenBack) {
                    self.roll_back(stamp);
                }
                self.error_txn(stamp, requester, ErrorCode::MarshallingError)
            }
            Err(error) => self.error_txn(stamp, requester, error),
        }
    }

    /// Takes back the records of the present request.
    fn roll_back(&mut self, stamp: Stamp) {
        assert!(stamp.zxid == self.last, "only the request in preparation is rolled back");
        self.outstanding.roll_back_after(Zxid(stamp.zxid.0 - 1));
        self.digest = self.digest_before;
    }

    /// The error transaction: header, then `int err`. The records of the request must be gone by now.
    fn error_txn(&mut self, stamp: Stamp, requester: &Requester<'_>, error: ErrorCode) -> Txn {
        assert!(stamp.zxid == self.last, "one transaction is in preparation");
        assert!(error.code() != 0, "an error has a number");
        assert!(
            self.digest == self.digest_before || self.is_planted(PlantedBug::LongTxnNotTakenBack),
            "a request that fails leaves no change behind"
        );
        let body = TxnBody::Error { err: error.code() };
        // ZooKeeper: the transaction of a request that failed has no digest.
        Txn::new(header(stamp, requester, OpCode::Error), &body, None)
    }

    /// The digest that the transaction predicts for the tree after it; `None` if digests are switched off.
    fn txn_digest(&self) -> Option<TxnDigest> {
        self.options
            .digest
            .then_some(TxnDigest { version: DIGEST_VERSION, tree_digest: self.digest })
    }

    /// The node as it will be when everything outstanding is applied, as a copy to change: it becomes a record only
    /// if [`Prep::change`] gets it.
    ///
    /// # Errors
    /// `NoNode` if there will be no such node.
    // ZooKeeper: PrepRequestProcessor.getRecordForPath, with outstandingChangesForPath.
    fn record(&self, database: &Database, path: &str) -> Result<ChangeRecord, ErrorCode> {
        if let Some(record) = self.outstanding.get(path) {
            assert!(record.zxid <= self.last, "no record is of a transaction to come");
            return if record.exists { Ok(record.clone()) } else { Err(ErrorCode::NoNode) };
        }
        let node = self.stored(database, path).ok_or(ErrorCode::NoNode)?;
        Ok(ChangeRecord {
            zxid: Zxid::NONE,
            exists: true,
            stat: node.stat_persisted(),
            children: u32::try_from(node.num_children()).unwrap_or(u32::MAX),
            acl: node.acl_list().clone(),
            data_bytes: node.data().map_or(0, <[u8]>::len),
            digest_seed: node.digest_seed(),
            digest: if self.options.digest { node.digest() } else { 0 },
        })
    }

    /// Whether there will be such a node, without a copy of it.
    fn exists(&self, database: &Database, path: &str) -> bool {
        match self.outstanding.get(path) {
            Some(record) => record.exists,
            None => self.stored(database, path).is_some(),
        }
    }

    /// The node in the tree at a path without a record, unless its session is about to end and deletes it.
    #[inline]
    fn stored<'a>(&self, database: &'a Database, path: &str) -> Option<NodeRef<'a>> {
        let node = database.node(path)?;
        let goes = self.outstanding.has_endings()
            && matches!(node.kind(), NodeKind::Ephemeral(owner) if self.outstanding.ends(owner));
        (!goes).then_some(node)
    }

    /// Records the effect of the operation on one node. `record.digest` is still the digest before it.
    fn change(&mut self, path: &str, mut record: ChangeRecord, stamp: Stamp, owner: SessionId) {
        assert!(stamp.zxid == self.last, "changes are of the transaction in preparation");
        assert!(record.zxid <= stamp.zxid, "a change follows the one that it replaces");
        let before = record.digest;
        record.zxid = stamp.zxid;
        if self.options.digest {
            record.digest = if record.exists {
                Database::digest_of(path, record.digest_seed, &record.stat)
            } else {
                0
            };
            self.digest = self.digest.wrapping_add(record.digest.wrapping_sub(before));
        }
        self.outstanding.put(path, record, owner);
    }

    /// Whether the requester has one of the `wanted` permissions.
    ///
    /// # Errors
    /// `NoAuth`, unless the list permits it or no permission is checked (`skipACL`).
    // ZooKeeper: ZooKeeperServer.checkACL.
    fn check_acl(
        &self,
        acl: &AclList,
        wanted: i32,
        requester: &Requester<'_>,
    ) -> Result<(), ErrorCode> {
        let Requester { identities, .. } = *requester;
        if self.options.skip_acl || acl.permits(wanted, identities, &self.options.schemes) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }

    /// The ACL as it is stored (`fixupACL`): without repeated entries, with `auth` replaced by the requester's
    /// identities. A list that the tree already has is shared with it.
    ///
    /// # Errors
    /// `InvalidAcl`, also for a list with too many entries, which [`Prep::take_beyond`] reports. `MarshallingError` for
    /// a null field, and for a list that is longer than a transaction may be.
    fn fix_up(
        &self,
        database: &Database,
        acl: AclVector<'_>,
        requester: &Requester<'_>,
    ) -> Result<AclList, ErrorCode> {
        // Nearly all nodes have this list, whose entries need no check.
        let open = self.open.vector();
        if acl == open {
            return Ok(self.open.clone());
        }
        let fixed =
            fix_up(acl, requester.identities, &self.options.acl_bounds()).map_err(|error| {
                if error == FixUpError::TooMany {
                    self.beyond.set(Some(Beyond::AclEntries));
                }
                error.code()
            })?;
        let fixed = fixed.as_vector::<AclEntry<'_>>();
        assert!(fixed.len() <= self.options.acl_entries_max, "a list is no longer than it may be");
        Ok(database.known_acl(fixed).cloned().unwrap_or_else(|| AclList::new(fixed)))
    }
}

/// The 32 bytes before the body. The time is the clock of the server that prepares, and every server stores it in the
/// node: none looks at its own clock when it applies.
fn header(stamp: Stamp, requester: &Requester<'_>, op: OpCode) -> TxnHeader {
    TxnHeader {
        client_id: requester.session,
        cxid: requester.cxid,
        zxid: stamp.zxid,
        time: stamp.time,
        op,
    }
}
