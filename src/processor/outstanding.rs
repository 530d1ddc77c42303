//! The tree as it will be when all proposed transactions are applied (`ChangeRecord`, `outstandingChanges`).
//!
//! A request is checked against the record of a node, or against the tree if the node has none. A path has only its
//! newest record, which contains the effects of all earlier ones. When the transaction of a record is applied, the
//! record is dropped, because the tree then shows its effect.

use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;

use crate::acl::AclList;
use crate::id::{SessionId, Zxid};
use crate::proto::StatPersisted;

/// A node as the newest proposed transaction leaves it.
#[derive(Clone, Debug)]
pub struct ChangeRecord {
    /// That transaction.
    pub zxid: Zxid,
    /// Whether the transaction leaves a node there. If not, the other fields mean nothing.
    pub exists: bool,
    /// The node's Stat.
    pub stat: StatPersisted,
    /// Number of its children.
    pub children: u32,
    /// Its ACL.
    pub acl: AclList,
    /// Bytes of its data.
    pub data_bytes: usize,
    /// CRC of path and data: the digest continues it over the Stat.
    pub digest_seed: u32,
    /// The node's part of the tree's digest; 0 if it does not exist.
    pub digest: i64,
}

/// One change of one node.
/// Together with its [`ChangeRecord`], and with what `undo` keeps, it lets the change be forgotten or undone without
/// a search.
struct Change {
    /// The transaction that makes it.
    zxid: Zxid,
    /// The node.
    path: Rc<str>,
    /// The session whose ephemeral node the change makes or removes; none if it does neither.
    owner: SessionId,
}

/// The end of a session that is proposed.
struct Ending {
    /// The transaction that ends it.
    zxid: Zxid,
    /// The session.
    session: SessionId,
    /// How many of its nodes are deleted without a record. Invariant: at least one.
    nodes: usize,
}

/// The records, and what it takes to undo them.
/// ```text
/// zxids  ─────────────────┬────────────────────┬───────────────────┬───→
///            applied      │  logged: certain   │ may be taken back │
///                     forgotten             settled              newest
///                         └──────── queue ─────────────────────────┘
///                                              └────── undo ───────┘
/// ```
/// Invariant: `queue`, `endings` and `undo` are in order of zxids, and `undo` is the end of `queue`.
#[derive(Default)]
pub struct Outstanding {
    /// The last transaction that was applied. Invariant: it only grows, and no record is of it or older.
    forgotten: Zxid,
    /// The newest record of each path that has one.
    by_path: HashMap<Rc<str>, ChangeRecord>,
    /// All changes, to forget each with its transaction.
    queue: VecDeque<Change>,
    /// The paths in `queue` that have an owner, by owner, in the same order. Invariant: no list is empty.
    by_owner: HashMap<SessionId, VecDeque<Rc<str>>>,
    /// Sessions whose nodes are deleted, as far as these have no record. A session may own twenty thousand nodes, and
    /// a record for each would take longer to make and to forget than the node takes to remove.
    endings: VecDeque<Ending>,
    /// The nodes of all `endings`.
    ending_nodes: usize,
    /// What each change replaced whose transaction the log may still refuse.
    undo: VecDeque<(Zxid, Rc<str>, Option<ChangeRecord>)>,
}

impl Outstanding {
    /// The newest record of a path.
    #[inline]
    pub fn get(&self, path: &str) -> Option<&ChangeRecord> {
        self.by_path.get(path)
    }

    /// Adds a change that is about to be proposed. `owner` is the session whose ephemeral node it makes or removes.
    pub fn put(&mut self, path: &str, record: ChangeRecord, owner: SessionId) {
        let zxid = record.zxid;
        assert!(zxid > self.forgotten, "a change is of a transaction to come: {zxid}");
        assert!(self.queue.back().is_none_or(|last| last.zxid <= zxid), "changes come in order");
        // The path is kept once, however many changes, owners and undo entries name it.
        let (path, before) = match self.by_path.get_key_value(path) {
            Some((path, _)) => {
                let path = Rc::clone(path);
                let before = self.by_path.insert(Rc::clone(&path), record);
                (path, before)
            }
            None => {
                let path: Rc<str> = path.into();
                self.by_path.insert(Rc::clone(&path), record);
                (path, None)
            }
        };
        if owner != SessionId::NONE {
            self.by_owner.entry(owner).or_default().push_back(Rc::clone(&path));
        }
        // Every change can be undone until `settle` or `forget` says otherwise: the request itself may still fail.
        self.undo.push_back((zxid, Rc::clone(&path), before));
        self.queue.push_back(Change { zxid, path, owner });
        assert!(self.undo.len() <= self.queue.len(), "what can be undone is to come");
    }

    /// Adds the end of a session, which deletes this many ephemeral nodes that are in the tree and have no record.
    pub fn put_ending(&mut self, zxid: Zxid, session: SessionId, nodes: usize) {
        assert!(nodes > 0, "an end without nodes needs no entry");
        assert!(self.endings.back().is_none_or(|last| last.zxid <= zxid), "sessions end in order");
        self.ending_nodes += nodes;
        self.endings.push_back(Ending { zxid, session, nodes });
    }

    /// Whether the session is about to end: then its nodes in the tree that have no record are about to be deleted.
    #[inline]
    pub fn ends(&self, session: SessionId) -> bool {
        self.endings.iter().any(|ending| ending.session == session)
    }

    /// Whether any session is about to end.
    #[inline]
    pub fn has_endings(&self) -> bool {
        !self.endings.is_empty()
    }

    /// The log has accepted all transactions up to `zxid`, which can therefore no longer be taken back.
    pub fn settle(&mut self, zxid: Zxid) {
        while self.undo.front().is_some_and(|(changed, ..)| *changed <= zxid) {
            self.undo.pop_front();
        }
    }

    /// Takes back all changes after `zxid`. None of them was settled.
    pub fn roll_back_after(&mut self, zxid: Zxid) {
        while let Some(ending) = self.endings.pop_back_if(|ending| ending.zxid > zxid) {
            assert!(ending.nodes <= self.ending_nodes, "what is counted in is counted out");
            self.ending_nodes -= ending.nodes;
        }
        while self.undo.back().is_some_and(|(changed, ..)| *changed > zxid) {
            let (changed, path, before) = self.undo.pop_back().expect("there is a back");
            let change = self.queue.pop_back().expect("every change that can be undone is queued");
            assert!(change.path == path, "changes are undone in reverse order");
            assert!(change.zxid == changed, "changes are undone in reverse order");
            if change.owner != SessionId::NONE {
                let paths = self.by_owner.get_mut(&change.owner).expect("the owner has this entry");
                assert!(paths.back() == Some(&path), "an owner's changes are in the same order");
                paths.pop_back();
                if paths.is_empty() {
                    self.by_owner.remove(&change.owner);
                }
            }
            // The transaction of the earlier record may be applied by now: then the tree shows its effect.
            match before.filter(|record| record.zxid > self.forgotten) {
                Some(record) => self.by_path.insert(path, record),
                None => self.by_path.remove(&path),
            };
        }
    }

    /// All transactions up to `zxid` are applied: the tree shows their effects, and the records are dropped.
    pub fn forget(&mut self, zxid: Zxid) {
        assert!(zxid >= self.forgotten, "transactions are applied in order: {zxid}");
        self.forgotten = zxid;
        self.settle(zxid);
        while let Some(ending) = self.endings.pop_front_if(|ending| ending.zxid <= zxid) {
            assert!(ending.nodes <= self.ending_nodes, "what is counted in is counted out");
            self.ending_nodes -= ending.nodes;
        }
        while let Some(change) = self.queue.front() {
            if change.zxid > zxid {
                return;
            }
            let change = self.queue.pop_front().expect("there is a front");
            if change.owner != SessionId::NONE
                && let Some(paths) = self.by_owner.get_mut(&change.owner)
            {
                assert!(paths.front() == Some(&change.path), "an owner's changes are in order");
                paths.pop_front();
                if paths.is_empty() {
                    self.by_owner.remove(&change.owner);
                }
            }
            if self.by_path.get(&change.path).is_some_and(|record| record.zxid <= zxid) {
                self.by_path.remove(&change.path);
            }
        }
        assert!(self.by_path.is_empty(), "a record has an entry in the queue");
        assert!(self.by_owner.is_empty(), "an owner has an entry in the queue");
    }

    /// Paths of the ephemeral nodes of `session` that outstanding changes make or remove. A path may occur several
    /// times.
    pub fn touched_by(&self, session: SessionId) -> impl Iterator<Item = &Rc<str>> {
        self.by_owner.get(&session).into_iter().flatten()
    }

    /// How many paths [`Outstanding::touched_by`] returns.
    pub fn touched_count(&self, session: SessionId) -> usize {
        self.by_owner.get(&session).map_or(0, VecDeque::len)
    }

    /// Whether all proposed transactions are applied.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.endings.is_empty()
    }

    /// How many changes of nodes are not yet applied.
    pub fn len(&self) -> usize {
        self.queue.len() + self.ending_nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(zxid: i64) -> ChangeRecord {
        ChangeRecord {
            zxid: Zxid(zxid),
            exists: true,
            stat: StatPersisted::default(),
            children: 0,
            acl: AclList::open(),
            data_bytes: 0,
            digest_seed: 0,
            digest: 0,
        }
    }

    fn zxid_of(outstanding: &Outstanding, path: &str) -> Option<i64> {
        outstanding.get(path).map(|record| record.zxid.0)
    }

    #[test]
    fn a_newer_change_of_a_path_survives_the_older_ones_commit() {
        let mut outstanding = Outstanding::default();
        outstanding.put("/a", record(1), SessionId::NONE);
        outstanding.put("/a", record(2), SessionId::NONE);
        outstanding.forget(Zxid(1));
        assert_eq!(zxid_of(&outstanding, "/a"), Some(2));
        outstanding.forget(Zxid(2));
        assert!(outstanding.is_empty() && zxid_of(&outstanding, "/a").is_none());
    }

    #[test]
    fn a_failed_request_leaves_no_trace() {
        let mut outstanding = Outstanding::default();
        outstanding.put("/a", record(1), SessionId(7));
        outstanding.put("/a", record(2), SessionId(7));
        outstanding.put("/b", record(2), SessionId(8));
        outstanding.put("/a", record(2), SessionId::NONE);
        outstanding.roll_back_after(Zxid(1));
        assert_eq!(zxid_of(&outstanding, "/a"), Some(1));
        assert_eq!(zxid_of(&outstanding, "/b"), None);
        assert_eq!(outstanding.touched_by(SessionId(7)).count(), 1);
        assert_eq!(outstanding.touched_by(SessionId(8)).count(), 0);
        assert_eq!(outstanding.len(), 1);
    }

    #[test]
    fn what_is_taken_back_does_not_bring_back_what_the_tree_shows() {
        let mut outstanding = Outstanding::default();
        outstanding.put("/a", record(1), SessionId::NONE);
        outstanding.put("/a", record(2), SessionId::NONE);
        outstanding.forget(Zxid(1));
        outstanding.roll_back_after(Zxid(1));
        assert!(outstanding.is_empty() && outstanding.get("/a").is_none());
    }

    #[test]
    fn a_session_ends_until_its_end_is_applied_or_taken_back() {
        let mut outstanding = Outstanding::default();
        outstanding.put_ending(Zxid(1), SessionId(7), 100);
        outstanding.put_ending(Zxid(2), SessionId(8), 10);
        outstanding.put("/a", record(3), SessionId::NONE);
        assert_eq!(outstanding.len(), 111);
        outstanding.forget(Zxid(1));
        assert!(!outstanding.ends(SessionId(7)) && outstanding.ends(SessionId(8)));
        outstanding.roll_back_after(Zxid(2));
        assert!(outstanding.ends(SessionId(8)) && outstanding.len() == 10);
        outstanding.roll_back_after(Zxid(1));
        assert!(!outstanding.has_endings() && outstanding.is_empty());
        assert_eq!(outstanding.len(), 0);
    }
}
