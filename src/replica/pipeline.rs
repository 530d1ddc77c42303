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
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub zxid: Zxid,
    /// The tree's digest before it, in case that it is taken back.
    pub digest_before: i64,
    /// What was asked for; the transaction itself may be an error.
    pub op: OpCode,
    /// The connection that waits for the reply. `None`: the server itself asked, or a learner.
    pub slot: Option<Slot>,
    pub session: SessionId,
    pub xid: i32,
    pub arrived: MonoUs,
    /// Bytes of the request if it counts as large.
    pub large: u32,
}

/// Whether writes are refused for want of room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskFull {
    No,
    /// The next attempt to get room.
    RetryAt(MonoUs),
}

/// See the module's words.
pub(super) struct Pipeline {
    pub options: Rc<ReplicaOptions>,
    /// Turns requests into transactions, and knows the tree as it will be once they are applied.
    pub prep: Prep,
    /// Transactions proposed here and not applied, and to whom each is answered.
    ///
    /// Invariant: their zxids rise; the first is the next transaction that this server applies. Empty on a learner.
    pub in_flight: VecDeque<InFlight>,
    /// What the peer wants done to the disk, in its order: transactions for the log, and the steps beside them.
    pub steps: Steps,
    pub txnlog: txnlog::Writer,
    pub snapshots: Snapshots,
    /// The newest snapshot on the disk. A truncation to before it has to read the database anew.
    pub newest_snapshot: Zxid,
    /// The files are to be cut, for the next output.
    pub reload: Option<Reload>,
    /// Operations of the disk, for the next output.
    pub ops: Vec<io::Op>,

    /// Whether the last small file found room.
    pub room: Room,
    pub disk_full: DiskFull,
    /// Since when the disk has no room.
    pub full_since: Option<MonoUs>,
    /// When a segment is to be prepared for which there was no room, though none may be needed yet.
    pub prepare_again_at: Option<MonoUs>,
    /// When the log last said that there is no room for it.
    pub no_room_said_at: Option<MonoUs>,

    /// Why the process must stop, until the edge has taken it.
    ///
    /// Invariant: `stopped` is set since it was set.
    pub fatal: Option<Fatal>,
    /// Nothing more is given to the disk, and so nothing is committed.
    pub stopped: bool,

    /// When the write of the log that is under way was submitted.
    pub group_started: MonoUs,
    /// How long the thread was to run and did not, in µs, since it began.
    pub held_us: u64,
    /// What [`Pipeline::held_us`] was when that write was submitted.
    ///
    /// Invariant: at most `held_us`.
    pub group_held_us: u64,
}

impl Pipeline {
    /// Over a log and a database that both end at `database`'s last transaction. `snapshot`: the newest one on the
    /// disk. `alone`: the server is in no ensemble.
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
