//! What the tree will look like once everything proposed is applied (`ChangeRecord`,
//! `outstandingChanges`).
//!
//! Requests are checked against these records first and against the tree where there is none. Only
//! the newest record of a path is kept: it holds the effect of all before it. A record goes when
//! its own transaction is applied, because the tree then shows it.

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
    /// Whether the node is there. Of a node that is not, nothing else counts.
    pub exists: bool,
    /// Its Stat.
    pub stat: StatPersisted,
    /// Number of its children.
    pub children: u32,
    /// Its ACL.
    pub acl: AclList,
    /// Bytes of its data.
    pub data_bytes: usize,
    /// CRC of path and data, from which the digest is continued over the Stat.
    pub digest_seed: u32,
    /// Its part of the tree's digest.
    pub digest: i64,
}

struct Change {
    zxid: Zxid,
    path: Rc<str>,
    /// The session one of whose ephemeral nodes appears or disappears.
    owner: SessionId,
}

/// The end of a session that is proposed.
struct Ending {
    zxid: Zxid,
    session: SessionId,
    /// Nodes that it takes along and that have no record.
    nodes: usize,
}

/// The records, and how to take the last request's back.
#[derive(Default)]
pub struct Outstanding {
    /// Everything up to this was applied.
    forgotten: Zxid,
    by_path: HashMap<Rc<str>, ChangeRecord>,
    /// One entry per change, in order of zxids: what to forget when.
    queue: VecDeque<Change>,
    /// Paths of `queue` whose entries have this owner, in the same order.
    by_owner: HashMap<SessionId, VecDeque<Rc<str>>>,
    /// Sessions whose nodes go, those that have no record, in order of zxids: a session may own twenty
    /// thousand, and a record for each would take longer to make and to forget than the nodes to remove.
    endings: VecDeque<Ending>,
    /// Nodes of all `endings`.
    ending_nodes: usize,
    /// What changes replaced whose transaction is not yet sure to be logged; a suffix of `queue`.
    undo: VecDeque<(Zxid, Rc<str>, Option<ChangeRecord>)>,
}

impl Outstanding {
    /// The newest record of a path.
    #[inline]
    pub fn get(&self, path: &str) -> Option<&ChangeRecord> {
        self.by_path.get(path)
    }

    /// A change that is going to be proposed. `owner`: the session whose ephemeral node it makes
    /// or removes.
    pub fn put(&mut self, path: &str, record: ChangeRecord, owner: SessionId) {
        let zxid = record.zxid;
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
        self.undo.push_back((zxid, Rc::clone(&path), before));
        self.queue.push_back(Change { zxid, path, owner });
    }

    /// A session is going to end, and so many ephemeral nodes that are in the tree and have no record go
    /// with it.
    pub fn put_ending(&mut self, zxid: Zxid, session: SessionId, nodes: usize) {
        self.ending_nodes += nodes;
        self.endings.push_back(Ending { zxid, session, nodes });
    }

    /// Whether an ephemeral node of this session that is in the tree and has no record is going to be gone.
    #[inline]
    pub fn ends(&self, session: SessionId) -> bool {
        self.endings.iter().any(|ending| ending.session == session)
    }

    /// Whether a session ends at all: without looking who.
    #[inline]
    pub fn has_endings(&self) -> bool {
        !self.endings.is_empty()
    }

    /// The log has accepted everything up to `zxid`: that can no longer be taken back.
    pub fn settle(&mut self, zxid: Zxid) {
        while self.undo.front().is_some_and(|(changed, ..)| *changed <= zxid) {
            self.undo.pop_front();
        }
    }

    /// Takes back everything after `zxid`. Nothing of it was settled.
    pub fn roll_back_after(&mut self, zxid: Zxid) {
        while let Some(ending) = self.endings.pop_back_if(|ending| ending.zxid > zxid) {
            self.ending_nodes -= ending.nodes;
        }
        while self.undo.back().is_some_and(|(changed, ..)| *changed > zxid) {
            let (_, path, before) = self.undo.pop_back().expect("there is a back");
            let change = self.queue.pop_back().expect("every change that can be undone is queued");
            assert!(change.path == path, "changes are undone in reverse order");
            if change.owner != SessionId::NONE {
                let paths = self.by_owner.get_mut(&change.owner).expect("the owner has this entry");
                paths.pop_back();
                if paths.is_empty() {
                    self.by_owner.remove(&change.owner);
                }
            }
            // What was replaced may have been applied meanwhile: then the tree shows it.
            match before.filter(|record| record.zxid > self.forgotten) {
                Some(record) => self.by_path.insert(path, record),
                None => self.by_path.remove(&path),
            };
        }
    }

    /// The tree shows everything up to `zxid` now.
    pub fn forget(&mut self, zxid: Zxid) {
        self.forgotten = zxid;
        self.settle(zxid);
        while let Some(ending) = self.endings.pop_front_if(|ending| ending.zxid <= zxid) {
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
                paths.pop_front();
                if paths.is_empty() {
                    self.by_owner.remove(&change.owner);
                }
            }
            if self.by_path.get(&change.path).is_some_and(|record| record.zxid <= zxid) {
                self.by_path.remove(&change.path);
            }
        }
    }

    /// Paths of ephemeral nodes of `session` that outstanding changes make or remove; a path may
    /// come more than once.
    pub fn touched_by(&self, session: SessionId) -> impl Iterator<Item = &Rc<str>> {
        self.by_owner.get(&session).into_iter().flatten()
    }

    /// How many there are of these.
    pub fn touched_count(&self, session: SessionId) -> usize {
        self.by_owner.get(&session).map_or(0, VecDeque::len)
    }

    /// Whether the tree is as everybody was told.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.endings.is_empty()
    }

    /// Changes not yet applied.
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
