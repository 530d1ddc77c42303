//! A write on its way through this server: proposed, logged, synced, committed, applied.
//!
//! ```text
//!   requests ─→ Prep ─→ peer ─┬─→ backlog ─→ transaction log ─→ disk ─┐ synced
//!               │ in_flight   │                                      ↓
//!               │             └─→ learners ─→ their ACKs ─────────→ peer ─→ commit ─→ database ─→ reply
//!               ↓
//!   logged < backlog ≤ its end ≤ proposed
//!   applied < in_flight ≤ proposed          where this server proposes
//! ```
//! `positions` relates the positions themselves: proposed, logged, synced, committed, applied.
//! A learner's writes take the same way, without [`Prep`] and without an entry in `in_flight`. A transaction is
//! applied when a quorum has it, so it may be applied here before it is synced here.
//!
//! [`Pipeline`] knows transactions and the disk. It knows no connection and no other server.

use std::collections::VecDeque;
use std::rc::Rc;

use super::ReplicaOptions;
use super::audit::Asked;
use super::connection::Slot;
use super::disk::Snapshots;
use super::output::{Fatal, Reload};
use super::positions::Positions;
use super::room::Room;
use super::steps::Steps;
use crate::database::Database;
use crate::id::{SessionId, Zxid};
use crate::io;
use crate::processor::Prep;
use crate::proto::OpCode;
use crate::time::{MonoUs, Now};
use crate::txnlog;

/// A transaction that this server has proposed and not applied.
#[derive(Debug)]
pub(super) struct InFlight {
    /// The transaction's zxid.
    pub zxid: Zxid,
    /// The tree's digest before the transaction, in case the transaction is taken back.
    pub digest_before: i64,
    /// The operation that was asked for; the transaction itself may be an error.
    pub op: OpCode,
    /// The connection that waits for the reply. `None`: the server itself asked, or a learner.
    pub slot: Option<Slot>,
    /// The session that asked, or that begins or ends.
    pub session: SessionId,
    /// The client's xid; 0 if the server itself asked.
    pub xid: i32,
    /// When the request arrived.
    pub arrived: MonoUs,
    /// Bytes of the request if it counts as large, otherwise 0.
    ///
    /// Invariant: claimed from `Clients::large_bytes` until the transaction is applied or given up.
    pub large: u32,
    /// What the audit log is told once the outcome is certain.
    pub audit: Option<Box<Asked>>,
}

/// Whether writes are refused because the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskFull {
    /// The disk has room, as far as this server knows.
    No,
    /// The disk is full; when the log tries next to get room.
    RetryAt(MonoUs),
}

/// The way of a write. The module's header draws it.
pub(super) struct Pipeline {
    pub options: Rc<ReplicaOptions>,
    /// Turns requests into transactions, and knows the tree as it will be once they are applied.
    pub prep: Prep,
    /// Transactions that were proposed here and are not applied, each with the client that gets the reply.
    ///
    /// Invariant: their zxids rise; the first is the next transaction that this server applies. Empty on a learner.
    pub in_flight: VecDeque<InFlight>,
    /// What the peer wants done to the disk, in its order: transactions for the log, and the steps beside them.
    pub steps: Steps,
    /// Writes transactions to the log, and says how far the log is durable.
    pub txnlog: txnlog::Writer,
    /// Whether a snapshot is due, and the one that is being written.
    pub snapshots: Snapshots,
    /// The newest snapshot on the disk. A tree that is written with a lower zxid counts only once the files are cut.
    pub newest_snapshot: Zxid,
    /// How the edge is to cut the files, for the next output.
    pub reload: Option<Reload>,
    /// Operations of the disk, for the next output.
    pub ops: Vec<io::Op>,

    /// Whether the disk has room for small files.
    pub room: Room,
    /// Whether the log has room.
    pub disk_full: DiskFull,
    /// Since when the log has had no room; a leader that gives up its lead for that starts to count again.
    pub full_since: Option<MonoUs>,
    /// When to prepare a segment for which there was no room, although the log may not need it yet.
    pub prepare_again_at: Option<MonoUs>,
    /// When this server last logged that a segment found no room.
    pub no_room_said_at: Option<MonoUs>,

    /// Why the process must stop, until the edge has taken it.
    ///
    /// Invariant: if it is set, so is `stopped`.
    pub fatal: Option<Fatal>,
    /// The process must stop: the disk is given nothing more, and so nothing more is committed.
    pub stopped: bool,

    /// When the write of the log that is under way was submitted.
    pub group_started: MonoUs,
    /// How long the thread could have run and did not, in µs, since the thread began.
    pub held_us: u64,
    /// What [`Pipeline::held_us`] was when that write was submitted.
    ///
    /// Invariant: at most `held_us`.
    pub group_held_us: u64,
}

impl Pipeline {
    /// A pipeline over a log and a database that both end at `database`'s last transaction. `snapshot`: the newest one
    /// on the disk. `alone`: the server is in no ensemble.
    pub fn new(
        options: &Rc<ReplicaOptions>,
        database: &Database,
        snapshot: Option<Zxid>,
        alone: bool,
        now: Now,
        seed: u64,
    ) -> Pipeline {
        let last = database.last_processed();
        let mut steps = Steps::default();
        steps.start(last);
        Pipeline {
            options: Rc::clone(options),
            prep: Prep::new(options.prep(), database),
            in_flight: VecDeque::new(),
            steps,
            txnlog: txnlog::Writer::new(options.txnlog.clone(), last, seed),
            snapshots: Snapshots::new(options.snapshot.clone(), snapshot.is_none(), alone, seed),
            newest_snapshot: snapshot.unwrap_or(Zxid::ZERO),
            reload: None,
            ops: Vec::new(),
            room: Room::There,
            disk_full: DiskFull::No,
            full_since: None,
            prepare_again_at: None,
            no_room_said_at: None,
            fatal: None,
            stopped: false,
            group_started: now.mono,
            held_us: 0,
            group_held_us: 0,
        }
    }

    /// Whether writes are refused because the disk is full.
    pub fn is_disk_full(&self) -> bool {
        self.disk_full != DiskFull::No
    }

    /// Checks at the end of a turn what stands between two positions. `proposes`: this server makes transactions.
    ///
    /// # Panics
    /// If a transaction is missing, or is twice: a client would never get its reply, or get another's.
    pub fn assert_order(&self, positions: &Positions, proposes: bool) {
        let Positions { logged, applied, has_cut, .. } = *positions;
        if !has_cut {
            let end = self.steps.backlog.end();
            assert!(logged <= end, "the log ends at {logged}, and nothing is to be behind {end}");
            assert!(self.steps.backlog.len() > 0 || logged == end, "what lies between waits");
        }
        let (first, last) = (self.in_flight.front(), self.in_flight.back());
        if let (Some(first), Some(last)) = (first, last) {
            let proposed = self.prep.last();
            assert!(proposes, "a learner proposes nothing, and {} is in flight", first.zxid);
            assert!(applied < first.zxid, "{} is applied, and {applied} after it", first.zxid);
            assert!(last.zxid <= proposed, "{} is in flight beyond {proposed}", last.zxid);
        }
    }
}
