//! The choice of how a learner gets the leader's history: the missing end, a cut and then the missing end, or the whole
//! tree (`LearnerHandler.syncFollower`, `queueCommittedProposals`).
//!
//! The choice is a function of both histories, without side effects. The rule that is easy to break: a learner keeps
//! everything up to the end of its history, or up to the cut, and serves it.
//!
//! 1. The folders of a quorum are emptied. The new history is in the epoch of the old one, and ends earlier.
//! 2. Server 3 connects with the old history. No transaction that both servers know has the same zxid.
//! 3. If server 3 were cut to the end of the new history, it would serve a tree of the old one.
//!
//! So a learner gets DIFF or TRUNC only if a mark proves that both histories are the same at that very zxid.

use std::collections::VecDeque;

use crate::id::Zxid;
use crate::proto::quorum::packet;
use crate::proto::txn::Txn;
use crate::zab::{CommittedLog, Mark, Marks, Origin};

/// The leader's side of the choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct History<'a> {
    /// The last committed transactions.
    pub(super) log: &'a CommittedLog,
    /// The last zxid of the database: that of the log, or the first zxid of this epoch.
    pub(super) committed: Zxid,
    /// The origin of the history, if it is known.
    pub(super) origin: Option<Origin>,
    /// Whether the log's files may be read.
    pub(super) has_files: bool,
    /// Whether every learner gets the whole tree.
    pub(super) force_snapshot: bool,
}

/// The choice.
#[derive(Debug)]
pub(super) enum Plan {
    /// DIFF or TRUNC, and committed transactions.
    Stream(Stream),
    /// The transactions of the log's files, if they reach back far enough.
    ReadLog,
    /// The whole tree.
    Snapshot,
}

/// DIFF or TRUNC, and the transactions that follow.
#[derive(Debug)]
pub(super) struct Stream {
    /// DIFF or TRUNC.
    pub(super) kind: i32,
    /// The end of the history that follows (DIFF), or the zxid at which the learner's log is cut (TRUNC).
    pub(super) zxid: Zxid,
    /// The transactions that the learner lacks after that.
    pub(super) history: VecDeque<Txn>,
}

impl History<'_> {
    /// The mark of this history at this zxid, as far as it is known.
    pub(super) fn mark(&self, zxid: Zxid) -> Option<Mark> {
        let known = if zxid <= self.committed { self.log.mark(zxid) } else { None };
        match self.origin.filter(|_| zxid == Zxid::ZERO) {
            Some(origin) => {
                Some(Mark { digest: known.and_then(|known| known.digest), ..origin.mark() })
            }
            None => known,
        }
    }

    /// Chooses for a learner whose history ends at `peer` and has these marks.
    pub(super) fn choose(&self, peer: Zxid, marks: Option<&Marks>) -> Plan {
        let last = self.log.last();
        // A learner with a negative zxid does not know what it has.
        if self.force_snapshot || peer.0 < 0 {
            return Plan::Snapshot;
        }
        let stream = |at: Zxid, stream: Stream| match is_common(marks, at, self.mark(at)) {
            true => Plan::Stream(stream),
            false => Plan::Snapshot,
        };
        if peer == self.committed {
            return stream(peer, Stream::diff(peer, VecDeque::new()));
        }
        if peer > last && peer.counter() != 0 {
            // The learner may have led, and proposed transactions that no other server has. It cuts its log after the
            // record with the zxid of TRUNC, but no record has the first zxid of an epoch.
            return if last.counter() == 0 {
                Plan::Snapshot
            } else {
                let history = VecDeque::new();
                stream(last, Stream { kind: packet::TRUNC, zxid: last, history })
            };
        }
        // ZooKeeper: LearnerHandler reads the files for a learner that ends just before the transactions in memory.
        // Here they are read only if they can show whether the histories are the same there.
        let has_mark = marks.is_some_and(|marks| marks.at(peer).is_some());
        let files_tell = has_mark && self.has_files && self.log.mark(peer).is_none();
        if peer == self.log.before() && !files_tell {
            return stream(peer, Stream::diff(last, self.log.iter().cloned().collect()));
        }
        match self.log.first() {
            Some(first) if first <= peer && peer <= last => {
                let history = self.log.iter().cloned().collect();
                walk(history, peer, last, marks).map_or(Plan::Snapshot, Plan::Stream)
            }
            _ if peer < self.log.first().unwrap_or(last) && self.has_files => Plan::ReadLog,
            _ => Plan::Snapshot,
        }
    }
}

/// Whether a learner with these marks has this leader's history at `zxid`, where this leader's mark is `ours`.
// ZooKeeper: LearnerHandler compares only zxids. A learner without marks is treated in the same way here.
fn is_common(marks: Option<&Marks>, zxid: Zxid, ours: Option<Mark>) -> bool {
    let Some(marks) = marks else { return true };
    // No history has a transaction there.
    zxid == Zxid::ZERO || marks.at(zxid).zip(ours).is_some_and(|(its, ours)| its.agrees(&ours))
}

impl Stream {
    fn diff(last: Zxid, history: VecDeque<Txn>) -> Stream {
        Stream { kind: packet::DIFF, zxid: last, history }
    }
}

/// Chooses with the transactions of the log's files, and those that memory held when the files were asked for. `None`:
/// the learner needs the whole tree, because there is a gap, or because the histories may differ.
pub(super) fn choose_from_files(
    files: Vec<Txn>,
    memory: &CommittedLog,
    peer: Zxid,
    marks: Option<&Marks>,
) -> Option<Stream> {
    if files.first()?.zxid() > peer {
        return None;
    }
    let mut history: VecDeque<Txn> = VecDeque::with_capacity(files.len() + memory.len());
    for txn in files {
        if history.back().is_none_or(|last| last.zxid() < txn.zxid()) {
            history.push_back(txn);
        }
    }
    let end = history.back().expect("there is a first one").zxid();
    if end < memory.before() {
        return None;
    }
    history.extend(memory.after(end).cloned());
    walk(history, peer, memory.last(), marks)
}

/// Chooses for a learner whose end is not before the first transaction of this history.
fn walk(
    mut history: VecDeque<Txn>,
    peer: Zxid,
    last: Zxid,
    marks: Option<&Marks>,
) -> Option<Stream> {
    let place = history.partition_point(|txn| txn.zxid() <= peer);
    let ours = place.checked_sub(1).map(|at| Mark::of(&history[at]));
    let before = ours.map(|mark| mark.zxid);
    let next = history.get(place).map(Txn::zxid);
    history.drain(..place);
    if before == Some(peer) || peer.counter() == 0 {
        // A learner that ends with the first zxid of an epoch has everything before that epoch.
        let ours = ours.map(|mark| match mark.zxid == peer {
            true => mark,
            false => Mark { zxid: peer, txn: None, ..mark },
        });
        let goes_on = is_common(marks, peer, ours) && !has_gap(Some(peer), &history);
        return goes_on.then(|| Stream::diff(last, history));
    }
    // The learner's last transaction is not in this history.
    let (before, next) = (before?, next?);
    // No cut crosses the end of an epoch: the learner may lack the transaction to which it would be cut back.
    if next.epoch() != peer.epoch() || before.counter() == 0 || has_gap(None, &history) {
        return None;
    }
    let is_common = is_common(marks, before, ours);
    is_common.then(|| Stream { kind: packet::TRUNC, zxid: before, history })
}

/// Whether a zxid is left out within an epoch. A whole history leaves none out.
fn has_gap(from: Option<Zxid>, history: &VecDeque<Txn>) -> bool {
    let zxids = from.into_iter().chain(history.iter().map(Txn::zxid));
    zxids
        .clone()
        .zip(zxids.skip(1))
        .any(|(one, next)| one.epoch() == next.epoch() && one.next() != Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, SessionId};
    use crate::proto::OpCode;
    use crate::proto::txn::{TxnBody, TxnHeader};

    fn txn(zxid: Zxid) -> Txn {
        let (client_id, op) = (SessionId(0), OpCode::Error);
        let header = TxnHeader { client_id, cxid: 0, zxid, time: 0, op };
        Txn::new(header, &TxnBody::Error { err: 0 }, None)
    }

    fn at(epoch: i64, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    fn log(zxids: &[Zxid]) -> CommittedLog {
        let last = *zxids.last().unwrap();
        CommittedLog::new(last, zxids.iter().copied().map(txn).collect(), 500)
    }

    /// `DIFF 2:3: 2:2 2:3`
    fn text(stream: &Stream) -> String {
        let kind = if stream.kind == packet::DIFF { "DIFF" } else { "TRUNC" };
        let history = stream.history.iter().map(Txn::zxid).chain([stream.zxid]);
        let mut zxids: Vec<String> =
            history.map(|z| format!("{}:{}", z.epoch(), z.counter())).collect();
        let op = zxids.pop().unwrap();
        format!("{kind} {op}: {}", zxids.join(" ")).trim_end().to_owned()
    }

    fn choice(log: &CommittedLog, committed: Zxid, peer: Zxid) -> String {
        let history =
            History { log, committed, origin: None, has_files: true, force_snapshot: false };
        match history.choose(peer, None) {
            Plan::Stream(stream) => text(&stream),
            Plan::ReadLog => "files".to_owned(),
            Plan::Snapshot => "SNAP".to_owned(),
        }
    }

    fn from_files(files: &[Zxid], memory: &CommittedLog, peer: Zxid) -> String {
        let files = files.iter().copied().map(txn).collect();
        choose_from_files(files, memory, peer, None)
            .map_or("SNAP".to_owned(), |stream| text(&stream))
    }

    // The cases are those of ZooKeeper's LearnerHandlerTest, with zxids that an ensemble can have.

    #[test]
    fn with_nothing_in_memory_only_the_end_is_known() {
        let empty = CommittedLog::new(at(1, 5), VecDeque::new(), 500);
        assert_eq!(choice(&empty, at(1, 5), at(1, 7)), "TRUNC 1:5:");
        assert_eq!(choice(&empty, at(1, 5), at(1, 5)), "DIFF 1:5:");
        assert_eq!(choice(&empty, at(1, 5), at(0, 0)), "files");
        let history = History {
            log: &empty,
            committed: at(1, 5),
            origin: None,
            has_files: false,
            force_snapshot: false,
        };
        assert!(matches!(history.choose(at(0, 0), None), Plan::Snapshot));
    }

    #[test]
    fn one_within_memory_gets_what_it_lacks() {
        let log = log(&[at(1, 2), at(1, 3), at(1, 4), at(1, 5)]);
        assert_eq!(choice(&log, at(1, 5), at(1, 3)), "DIFF 1:5: 1:4 1:5");
        assert_eq!(choice(&log, at(1, 5), at(1, 2)), "DIFF 1:5: 1:3 1:4 1:5");
        assert_eq!(choice(&log, at(1, 5), at(1, 5)), "DIFF 1:5:");
        // The one before the first needs no files.
        assert_eq!(choice(&log, at(1, 5), at(1, 1)), "DIFF 1:5: 1:2 1:3 1:4 1:5");
        assert_eq!(choice(&log, at(1, 5), at(1, 9)), "TRUNC 1:5:");
        assert_eq!(choice(&log, at(1, 5), at(0, 9)), "files");
    }

    #[test]
    fn what_nobody_else_has_is_cut_off_within_its_epoch_only() {
        // The learner has 1:4, proposed by the leader of epoch 1 before it failed; our history goes
        // on with epoch 2, whose leader did not have it.
        let log = log(&[at(1, 2), at(1, 3), at(2, 1)]);
        assert_eq!(choice(&log, at(2, 1), at(1, 4)), "SNAP");
        assert_eq!(choice(&log, at(2, 1), at(1, 3)), "DIFF 2:1: 2:1");
        // Where zxids were left out within the epoch, one between them is.
        let files = [at(1, 2), at(1, 3), at(1, 5)];
        assert_eq!(from_files(&files, &self::log(&[at(1, 5)]), at(1, 4)), "TRUNC 1:3: 1:5");
        // One that lacks nothing of ours and has more is cut back to our end, as ZooKeeper does.
        assert_eq!(choice(&log, at(2, 1), at(3, 1)), "TRUNC 2:1:");
    }

    #[test]
    fn the_first_zxid_of_an_epoch_is_everything_before_it() {
        let log = log(&[at(1, 1), at(1, 2)]);
        assert_eq!(choice(&log, at(2, 0), at(1, 0)), "DIFF 1:2: 1:1 1:2");
        assert_eq!(choice(&log, at(2, 0), at(2, 0)), "DIFF 2:0:");
        assert_eq!(choice(&log, at(2, 0), at(1, 2)), "DIFF 1:2:");
        assert_eq!(choice(&log, at(2, 0), at(0, 0)), "files");
        // ZooKeeper: LearnerHandler has no case for this one.
        assert_eq!(choice(&log, at(5, 0), at(4, 0)), "SNAP");
        let later = self::log(&[at(1, 1), at(1, 2), at(3, 1)]);
        assert_eq!(choice(&later, at(3, 1), at(2, 0)), "DIFF 3:1: 3:1");
    }

    #[test]
    fn nobody_is_cut_to_a_zxid_that_no_transaction_has() {
        let empty = CommittedLog::new(at(2, 0), VecDeque::new(), 500);
        assert_eq!(choice(&empty, at(2, 0), at(2, 4)), "SNAP");
    }

    #[test]
    fn files_continue_into_memory() {
        let memory = log(&[at(1, 6), at(1, 7), at(1, 8)]);
        let files: Vec<Zxid> = (2..=7).map(|counter| at(1, counter)).collect();
        assert_eq!(from_files(&files, &memory, at(1, 4)), "DIFF 1:8: 1:5 1:6 1:7 1:8");
        assert_eq!(from_files(&files, &memory, at(1, 2)), "DIFF 1:8: 1:3 1:4 1:5 1:6 1:7 1:8");
        // They do not reach back to the learner.
        assert_eq!(from_files(&files, &memory, at(1, 1)), "SNAP");
        assert_eq!(from_files(&[], &memory, at(1, 1)), "SNAP");
    }

    #[test]
    fn a_gap_anywhere_takes_the_whole_tree() {
        let memory = log(&[at(1, 7), at(1, 8)]);
        assert_eq!(from_files(&[at(1, 2), at(1, 3), at(1, 4)], &memory, at(1, 3)), "SNAP");
        let torn = [at(1, 2), at(1, 3), at(1, 5), at(1, 6), at(1, 7)];
        assert_eq!(from_files(&torn, &memory, at(1, 3)), "SNAP");
        assert_eq!(from_files(&torn, &memory, at(1, 5)), "DIFF 1:8: 1:6 1:7 1:8");
        let twice = [at(1, 5), at(1, 6), at(1, 5), at(1, 6), at(1, 7)];
        assert_eq!(from_files(&twice, &memory, at(1, 5)), "DIFF 1:8: 1:6 1:7 1:8");
    }

    #[test]
    fn a_cut_never_crosses_the_end_of_an_epoch() {
        let memory = log(&[at(4, 1)]);
        let files = [at(1, 1), at(2, 1), at(2, 2), at(4, 1)];
        assert_eq!(from_files(&files, &memory, at(3, 1)), "SNAP");
        assert_eq!(from_files(&files, &memory, at(2, 2)), "DIFF 4:1: 4:1");
    }

    #[test]
    fn the_operator_may_force_the_whole_tree() {
        let log = log(&[at(1, 1)]);
        let history = History {
            log: &log,
            committed: at(1, 1),
            origin: None,
            has_files: true,
            force_snapshot: true,
        };
        assert!(matches!(history.choose(at(1, 1), None), Plan::Snapshot));
    }
}
