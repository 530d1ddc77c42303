//! Whether watch events came when they had to: before anything that shows what they tell of.

use std::collections::BTreeMap;

use super::history::{Answer, Frame, History, Outcome, Request, Seen, Watched};
use super::model::{Model, has_failed};
use crate::id::{SessionId, Zxid};
use crate::proto::event::EventType;
use crate::proto::txn::{Txn, TxnBody};

/// When nodes changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// By path: the zxids at which it was created, set or deleted; and whether it is there then.
    data: BTreeMap<String, Vec<(Zxid, bool)>>,
    /// By path: the zxids at which a child came or went, or it went itself.
    children: BTreeMap<String, Vec<Zxid>>,
}

impl Changes {
    /// Notes what a transaction is about to do to the model.
    pub fn note(&mut self, txn: &Txn, model: &Model) {
        self.body(&txn.body(), txn.header().client_id, txn.zxid(), model);
    }

    fn body(&mut self, body: &TxnBody<'_>, session: SessionId, zxid: Zxid, model: &Model) {
        match body {
            TxnBody::Create(create) => self.existence(create.path.unwrap_or_default(), zxid, true),
            TxnBody::Delete(delete) => self.existence(delete.path.unwrap_or_default(), zxid, false),
            TxnBody::SetData(set) => {
                let path = set.path.unwrap_or_default().to_owned();
                self.data.entry(path).or_default().push((zxid, true));
            }
            TxnBody::CloseSession { .. } => {
                for (path, node) in &model.nodes {
                    if node.stat.ephemeral_owner == session.0 && session.0 != 0 {
                        self.existence(path, zxid, false);
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
        let parent = match path.rfind('/') {
            None | Some(0) => "/",
            Some(at) => &path[..at],
        };
        self.children.entry(parent.to_owned()).or_default().push(zxid);
        if !there {
            self.children.entry(path.to_owned()).or_default().push(zxid);
        }
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
        }
    }

    fn is_there_at(&self, path: &str, zxid: Zxid) -> bool {
        let Some(changes) = self.data.get(path) else { return false };
        changes.iter().rev().find(|(at, _)| *at <= zxid).is_some_and(|(_, there)| *there)
    }

    /// Whether what an event tells of happened at this zxid.
    fn has_happened(&self, event: EventType, path: &str, zxid: Zxid) -> bool {
        let was = |there: bool| {
            let changes = self.data.get(path);
            changes.is_some_and(|changes| changes.contains(&(zxid, there)))
        };
        match event {
            EventType::NodeCreated | EventType::NodeDataChanged => was(true),
            EventType::NodeDeleted => was(false),
            EventType::NodeChildrenChanged => {
                self.children.get(path).is_some_and(|changes| changes.contains(&zxid))
            }
        }
    }

    /// The event that a watch meets which is set again as of `relative` on a state of this zxid.
    fn missed(&self, path: &str, kind: Watched, relative: Zxid, zxid: Zxid) -> Option<EventType> {
        let is_there = self.is_there_at(path, zxid);
        let changed = || self.first_after(path, kind, relative).is_some_and(|at| at <= zxid);
        match kind {
            Watched::Missing => is_there.then_some(EventType::NodeCreated),
            // The nodes that every tree begins with do not go.
            Watched::Data | Watched::Children if !is_there && self.data.contains_key(path) => {
                changed().then_some(EventType::NodeDeleted)
            }
            Watched::Data => changed().then_some(EventType::NodeDataChanged),
            Watched::Children => changed().then_some(EventType::NodeChildrenChanged),
        }
    }
}

/// Watches of one connection: since which zxid each waits.
type Armed = BTreeMap<(String, Watched), Zxid>;

/// Events that tell what was missed while nobody was connected; each is counted once.
type Told = (String, EventType);

/// Looks at every frame of every connection. Returns the number of events.
///
/// # Errors
/// An event that nobody waits for, or one that came too late or not at all; or a session that was
/// led back in time.
pub fn check(history: &History, changes: &Changes) -> Result<usize, String> {
    let mut events = 0;
    let mut newest: BTreeMap<SessionId, Zxid> = BTreeMap::new();
    let mut connections: BTreeMap<(usize, u64), (Armed, Vec<Told>)> = BTreeMap::new();
    for frame in &history.frames {
        let who = || {
            format!(
                "client {} in session {} on its connection {}",
                frame.client, frame.session, frame.connection
            )
        };
        let seen = newest.entry(frame.session).or_insert(Zxid::ZERO);
        let (armed, told) = connections.entry((frame.client, frame.connection)).or_default();
        match &frame.seen {
            Seen::Connected => (),
            Seen::Event { event, path } => {
                events += 1;
                if frame.zxid != Zxid::NONE && frame.zxid < *seen {
                    return Err(format!(
                        "{} was told {event:?} of {path} at {} when it had seen {seen}",
                        who(),
                        frame.zxid
                    ));
                }
                if frame.zxid != Zxid::NONE && !changes.has_happened(*event, path, frame.zxid) {
                    return Err(format!(
                        "{} was told {event:?} of {path} at {}, where no such thing happened",
                        who(),
                        frame.zxid
                    ));
                }
                if frame.zxid == Zxid::NONE {
                    told.push((path.clone(), *event));
                }
                let waited = disarm(armed, *event, path);
                if !waited && frame.zxid != Zxid::NONE {
                    return Err(format!(
                        "{} was told {event:?} of {path} at {} without a watch",
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
                for ((path, kind), since) in armed.iter() {
                    if let Some(at) = changes.first_after(path, *kind, *since)
                        && at <= frame.zxid
                    {
                        return Err(format!(
                            "{} watches {path} ({kind:?}) since {since}; it changed at {at}, and an \
                             answer from {} came before the event: {:?}",
                            who(),
                            frame.zxid,
                            frame.seen
                        ));
                    }
                }
                if let Seen::Reply(place) = frame.seen {
                    arm(history, changes, place, frame, armed, told)?;
                }
            }
        }
    }
    Ok(events)
}

/// Takes the watches away that an event uses up. False: there was none.
fn disarm(armed: &mut Armed, event: EventType, path: &str) -> bool {
    let kinds: &[Watched] = match event {
        EventType::NodeCreated | EventType::NodeDataChanged => &[Watched::Data, Watched::Missing],
        EventType::NodeDeleted => &[Watched::Data, Watched::Missing, Watched::Children],
        EventType::NodeChildrenChanged => &[Watched::Children],
    };
    let mut any = false;
    for kind in kinds {
        any |= armed.remove(&(path.to_owned(), *kind)).is_some();
    }
    any
}

/// Notes the watches that a reply confirms.
fn arm(
    history: &History,
    changes: &Changes,
    place: usize,
    frame: &Frame,
    armed: &mut Armed,
    told: &mut Vec<Told>,
) -> Result<(), String> {
    let call = &history.calls[place];
    let Outcome::Replied { zxid, err, answer, .. } = &call.outcome else { return Ok(()) };
    let mut put = |path: &str, kind| {
        armed.entry((path.to_owned(), kind)).or_insert(*zxid);
    };
    match (&call.request, answer) {
        (Request::Get { path, watch: true }, Answer::Data(..))
        | (Request::Exists { path, watch: true }, Answer::Stat(_)) => put(path, Watched::Data),
        (Request::Exists { path, watch: true }, _)
            if *err == crate::error::ErrorCode::NoNode.code() =>
        {
            put(path, Watched::Missing);
        }
        (Request::Children { path, watch: true }, Answer::Children(..)) => {
            put(path, Watched::Children);
        }
        (Request::SetWatches { relative, watches }, _) if *err == 0 => {
            for (path, kind) in watches {
                let Some(event) = changes.missed(path, *kind, *relative, *zxid) else {
                    put(path, *kind);
                    continue;
                };
                let Some(at) = told.iter().position(|(at, told)| at == path && *told == event)
                else {
                    return Err(format!(
                        "client {} set its watches again as of {relative}, and was not told by \
                         {zxid} of {event:?} at {path} ({kind:?})",
                        frame.client
                    ));
                };
                told.swap_remove(at);
            }
            if let Some((path, event)) = told.first() {
                return Err(format!(
                    "client {} set its watches again as of {relative}, and was told {event:?} of \
                     {path} once too often",
                    frame.client
                ));
            }
        }
        _ => (),
    }
    Ok(())
}
