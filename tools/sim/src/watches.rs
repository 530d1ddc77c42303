//! The changes for which watches exist, with their zxids, and the events that tell a client what it has missed when
//! it sets its watches again. The module `watching` checks live events.

use std::collections::{BTreeMap, BTreeSet};

use ringkeeper::id::{SessionId, Zxid};
use ringkeeper::proto::AclVector;
use ringkeeper::proto::data::perms;
use ringkeeper::proto::event::EventType;
use ringkeeper::proto::txn::{Txn, TxnBody};

use super::acl::{List, Who, from_wire};
use super::history::{Frame, History, Outcome, Request, Seen, Watched};
use super::model::{Model, has_failed, parent};

/// What a transaction changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its zxid.
    pub zxid: Zxid,
    /// The events that it makes, in order.
    pub events: Vec<(EventType, String)>,
    /// Whether their order is unknown, because a session ended whose nodes the transaction does not name.
    pub in_any_order: bool,
    /// The ACLs that decide which clients get those events, by the index of the event; an event without one is for
    /// every client.
    pub guarded: BTreeMap<usize, List>,
}

/// The changes of all nodes.
#[derive(Debug, Default)]
pub struct Changes {
    /// By path: the zxids at which the node was created, set or deleted, and whether it exists then.
    data: BTreeMap<String, Vec<(Zxid, bool)>>,
    /// By path: the zxids at which a child, or the node itself, was created or deleted.
    children: BTreeMap<String, Vec<Zxid>>,
    /// All changes, in order.
    all: Vec<Change>,
    /// ACLs of nodes that not everybody may read.
    lists: BTreeMap<String, List>,
}

impl Changes {
    /// Every transaction that changed something, in order.
    pub fn all(&self) -> &[Change] {
        &self.all
    }

    /// Changes without knowledge of single nodes.
    #[cfg(test)]
    pub fn of(all: Vec<Change>) -> Changes {
        Changes { all, ..Changes::default() }
    }

    /// Notes what a transaction is about to do to the model.
    pub fn note(&mut self, txn: &Txn, model: &Model) {
        self.body(&txn.body(), txn.header().client_id, txn.zxid(), model);
    }

    fn body(&mut self, body: &TxnBody<'_>, session: SessionId, zxid: Zxid, model: &Model) {
        match body {
            TxnBody::Create(create) => {
                let path = create.path.unwrap_or_default();
                self.note_list(path, create.acl, model);
                self.existence(path, zxid, true);
            }
            TxnBody::SetAcl(set) => {
                self.note_list(set.path.unwrap_or_default(), set.acl, model);
            }
            TxnBody::CreateContainer(create) => {
                self.existence(create.path.unwrap_or_default(), zxid, true);
            }
            TxnBody::CreateTtl(create) => {
                self.existence(create.path.unwrap_or_default(), zxid, true);
            }
            TxnBody::Delete(delete) => self.existence(delete.path.unwrap_or_default(), zxid, false),
            TxnBody::SetData(set) => {
                let path = set.path.unwrap_or_default().to_owned();
                self.event(zxid, EventType::NodeDataChanged, &path);
                self.data.entry(path).or_default().push((zxid, true));
            }
            // The model checks that these are the nodes of the session.
            TxnBody::CloseSession { paths: Some(paths) } => {
                for path in paths.iter() {
                    self.existence(path.unwrap_or_default(), zxid, false);
                }
            }
            TxnBody::CloseSession { paths: None } => {
                for (path, node) in &model.nodes {
                    if node.stat.ephemeral_owner == session.0 && session.0 != 0 {
                        self.existence(path, zxid, false);
                        self.all.last_mut().expect("just noted").in_any_order = true;
                    }
                }
            }
            TxnBody::Multi(parts) if has_failed(*parts) => (),
            TxnBody::Multi(parts) => {
                for (_, part) in TxnBody::parts(*parts) {
                    self.body(&part, session, zxid, model);
                }
            }
            _ => (),
        }
    }

    fn existence(&mut self, path: &str, zxid: Zxid, there: bool) {
        self.data.entry(path.to_owned()).or_default().push((zxid, there));
        let parent = parent(path);
        let kind = if there { EventType::NodeCreated } else { EventType::NodeDeleted };
        self.event(zxid, kind, path);
        self.event(zxid, EventType::NodeChildrenChanged, parent);
        self.children.entry(parent.to_owned()).or_default().push(zxid);
        // A client that may not read a deleted node was not told of its end. It may have a watch on the children of
        // the next node at this path, whose pzxid begins with its own zxid.
        self.children.entry(path.to_owned()).or_default().push(zxid);
        if !there {
            self.lists.remove(path);
        }
    }

    /// Notes the ACL of a node that not everybody may read.
    fn note_list(&mut self, path: &str, acl: AclVector<'_>, model: &Model) {
        let list = from_wire(acl);
        let nobody = Who { unchecked: model.unchecked, ..Who::default() };
        if nobody.may(&list, perms::READ) {
            self.lists.remove(path);
        } else {
            self.lists.insert(path.to_owned(), list);
        }
    }

    fn event(&mut self, zxid: Zxid, event: EventType, path: &str) {
        if self.all.last().is_none_or(|last| last.zxid != zxid) {
            self.all.push(Change {
                zxid,
                events: Vec::new(),
                in_any_order: false,
                guarded: BTreeMap::new(),
            });
        }
        let last = self.all.last_mut().expect("there is one");
        if let Some(list) = self.lists.get(path) {
            last.guarded.insert(last.events.len(), list.clone());
        }
        last.events.push((event, path.to_owned()));
    }

    /// The first change after `after` that a watch of this kind is for.
    fn first_after(&self, path: &str, kind: Watched, after: Zxid) -> Option<Zxid> {
        match kind {
            Watched::Data | Watched::Missing => {
                let changes = self.data.get(path)?;
                changes.iter().map(|(zxid, _)| *zxid).find(|zxid| *zxid > after)
            }
            Watched::Children => {
                self.children.get(path)?.iter().copied().find(|zxid| *zxid > after)
            }
            // A server tells such watches nothing of what was missed.
            Watched::Persistent | Watched::Recursive => None,
        }
    }

    fn is_there_at(&self, path: &str, zxid: Zxid) -> bool {
        let Some(changes) = self.data.get(path) else { return false };
        changes.iter().rev().find(|(at, _)| *at <= zxid).is_some_and(|(_, there)| *there)
    }

    /// The event that a watch gets when a client sets it again as of `relative`, on a state of this zxid.
    fn missed(&self, path: &str, kind: Watched, relative: Zxid, zxid: Zxid) -> Option<EventType> {
        let is_there = self.is_there_at(path, zxid);
        let changed = || self.first_after(path, kind, relative).is_some_and(|at| at <= zxid);
        match kind {
            Watched::Persistent | Watched::Recursive => None,
            Watched::Missing => is_there.then_some(EventType::NodeCreated),
            // The nodes that every tree begins with do not go. The end of the node may be older than what the client
            // had seen: a client that may not read a node is not told of its end, and believes that its watch still
            // waits. `watching` checks that all others were told.
            Watched::Data | Watched::Children if !is_there && self.data.contains_key(path) => {
                Some(EventType::NodeDeleted)
            }
            Watched::Data => changed().then_some(EventType::NodeDataChanged),
            Watched::Children => changed().then_some(EventType::NodeChildrenChanged),
        }
    }
}

/// An event that tells what a client missed while it was not connected; each counts once.
type Told = (String, EventType);

/// The watches that each setWatches has left, by the index of the call.
pub type Again = BTreeMap<usize, Vec<(String, Watched)>>;

/// Checks every frame of every connection. Returns the number of events, and the watches that were set again and
/// stay.
///
/// # Errors
/// A client was told too much or too little of what it had missed, or was led back in time.
pub fn check(history: &History, changes: &Changes) -> Result<(usize, Again), String> {
    let mut events = 0;
    let mut again = Again::new();
    let mut newest: BTreeMap<SessionId, Zxid> = BTreeMap::new();
    let mut connections: BTreeMap<(usize, u64), Vec<Told>> = BTreeMap::new();
    for frame in &history.frames {
        let who = || {
            format!(
                "client {} in session {} on its connection {}",
                frame.client, frame.session, frame.connection
            )
        };
        let seen = newest.entry(frame.session).or_insert(Zxid::ZERO);
        let told = connections.entry((frame.client, frame.connection)).or_default();
        match &frame.seen {
            Seen::Connected => (),
            Seen::Event { event, path } => {
                events += 1;
                if frame.zxid == Zxid::NONE {
                    told.push((path.clone(), *event));
                } else if frame.zxid < *seen {
                    return Err(format!(
                        "{} was told {event:?} of {path} at {} when it had seen {seen}",
                        who(),
                        frame.zxid
                    ));
                }
            }
            Seen::Pong | Seen::Reply(_) => {
                if frame.zxid < *seen && frame.zxid.0 > 0 {
                    return Err(format!(
                        "{} had seen {seen}, and was answered from {}: {:?}",
                        who(),
                        frame.zxid,
                        frame.seen
                    ));
                }
                *seen = frame.zxid.max(*seen);
                if let Seen::Reply(place) = frame.seen
                    && let Some(left) = set_again(history, changes, place, frame, told)?
                {
                    again.insert(place, left);
                }
            }
        }
    }
    let under_way: BTreeSet<(usize, u64)> = history
        .calls
        .iter()
        .filter(|call| matches!(call.request, Request::SetWatches { .. }))
        .filter(|call| call.outcome == Outcome::Unknown)
        .map(|call| (call.client, call.connection))
        .collect();
    let is_wrong =
        |(key, told): &(&(usize, u64), &Vec<Told>)| !told.is_empty() && !under_way.contains(*key);
    if let Some(((client, number), told)) = connections.iter().find(is_wrong) {
        return Err(format!(
            "client {client} was told {told:?} on its connection {number} as if it had missed it, and \
             it waits there for no answer to watches that it sets again"
        ));
    }
    Ok((events, again))
}

/// The watches that a setWatches has left, if the reply belongs to one.
fn set_again(
    history: &History,
    changes: &Changes,
    place: usize,
    frame: &Frame,
    told: &mut Vec<Told>,
) -> Result<Option<Vec<(String, Watched)>>, String> {
    let call = &history.calls[place];
    let (Request::SetWatches { relative, watches }, Outcome::Replied { zxid, err: 0, .. }) =
        (&call.request, &call.outcome)
    else {
        return Ok(None);
    };
    let mut left = Vec::new();
    for (path, kind) in watches {
        let Some(event) = changes.missed(path, *kind, *relative, *zxid) else {
            left.push((path.clone(), *kind));
            continue;
        };
        let Some(at) = told.iter().position(|(at, told)| at == path && *told == event) else {
            return Err(format!(
                "client {} set its watches again as of {relative}, and was not told by {zxid} of \
                 {event:?} at {path} ({kind:?})",
                frame.client
            ));
        };
        told.swap_remove(at);
    }
    if let Some((path, event)) = told.first() {
        return Err(format!(
            "client {} set its watches again as of {relative}, and was told {event:?} of {path} once \
             too often",
            frame.client
        ));
    }
    Ok(Some(left))
}
