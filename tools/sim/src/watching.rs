//! The watches of each connection, as simple as possible, and the events that it must get: one for each change that
//! it watches, in the order of the changes, before anything that shows the change, and no other event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringkeeper::error::ErrorCode;
use ringkeeper::id::Zxid;
use ringkeeper::proto::data::perms;
use ringkeeper::proto::event::EventType;

use super::acl::{Who, name_of};
use super::check::what;
use super::history::{Answer, Call, Frame, History, Outcome, Request, Seen, Watched};
use super::watches::{Change, Changes};

/// The kinds of watches that a request means by this number.
pub fn kinds_of(number: i32) -> &'static [Watched] {
    use Watched::{Children, Data, Missing, Persistent, Recursive};
    match number {
        1 => &[Children],
        2 => &[Data, Missing],
        3 => &[Data, Missing, Children, Persistent, Recursive],
        4 => &[Persistent],
        5 => &[Recursive],
        _ => &[],
    }
}

/// The watches of a connection.
#[derive(Clone, Debug, Default)]
struct Watches(BTreeSet<(String, Watched)>);

impl Watches {
    fn has(&self, path: &str, kind: Watched) -> bool {
        self.0.contains(&(path.to_owned(), kind))
    }

    /// Whether a watch waits for an event. The event uses up the watches that are for one event only.
    fn wait_for(&mut self, event: EventType, path: &str) -> bool {
        let once: &[Watched] = match event {
            EventType::NodeCreated | EventType::NodeDataChanged => {
                &[Watched::Data, Watched::Missing]
            }
            EventType::NodeDeleted => &[Watched::Data, Watched::Missing, Watched::Children],
            EventType::NodeChildrenChanged => &[Watched::Children],
        };
        let mut waited = self.has(path, Watched::Persistent);
        for kind in once {
            waited |= self.0.remove(&(path.to_owned(), *kind));
        }
        if event == EventType::NodeChildrenChanged {
            return waited;
        }
        let mut above = path;
        loop {
            waited |= self.has(above, Watched::Recursive);
            if above == "/" {
                return waited;
            }
            above = super::model::parent(above);
        }
    }

    /// Removes watches, or only looks for them. Returns whether there were any.
    fn look_for(&mut self, path: &str, number: i32, remove: bool) -> bool {
        let mut any = false;
        for kind in kinds_of(number) {
            any |= self.has(path, *kind);
            if remove {
                self.0.remove(&(path.to_owned(), *kind));
            }
        }
        any
    }

    /// The events of a change that a client must get. Meanwhile the client had at least the first identities and at
    /// most the second; where these differ, `told`, the events that came, decides.
    // ZooKeeper: a client that may not read the node gets no event, and its watch is used up all the same.
    fn events_of(
        &mut self,
        change: &Change,
        (least, most): (&Who, &Who),
        told: &[(EventType, String)],
    ) -> Vec<(EventType, String)> {
        let mut events = Vec::new();
        for (place, event) in change.events.iter().enumerate() {
            if !self.wait_for(event.0, &event.1) {
                continue;
            }
            let is_told = change.guarded.get(&place).is_none_or(|list| {
                let may = |who: &Who| who.may(list, perms::READ);
                may(least) || (may(most) && told.contains(event))
            });
            if is_told {
                events.push(event.clone());
            }
        }
        events
    }
}

/// A connection as far as its frames are checked.
#[derive(Debug, Default)]
struct Connection {
    watches: Watches,
    /// How many changes are checked.
    settled: usize,
    /// The client's identities when it last saw a state, and its identities now.
    was: Who,
    is: Who,
    /// Events that came and are not compared yet.
    received: VecDeque<(Zxid, EventType, String)>,
}

impl Connection {
    /// The events that came for one zxid.
    fn take_received(&mut self, zxid: Zxid) -> Vec<(EventType, String)> {
        let count = self.received.iter().take_while(|(at, ..)| *at == zxid).count();
        self.received.drain(..count).map(|(_, event, path)| (event, path)).collect()
    }

    /// Checks that the client has got all events of changes up to `zxid`.
    fn settle(&mut self, changes: &[Change], zxid: Zxid) -> Result<(), String> {
        while let Some(change) = changes.get(self.settled).filter(|change| change.zxid <= zxid) {
            self.settled += 1;
            let mut told = self.take_received(change.zxid);
            let mut expected = self.watches.events_of(change, (&self.was, &self.is), &told);
            if change.in_any_order {
                expected.sort_unstable();
                told.sort_unstable();
            }
            if expected != told {
                return Err(format!(
                    "was to be told {expected:?} of {} before it was answered from {zxid}, and was \
                     told {told:?}",
                    change.zxid
                ));
            }
        }
        match self.received.front() {
            Some((at, event, path)) if *at <= zxid => Err(format!(
                "was told {event:?} of {path} at {at} out of turn or once too often, before it was \
                 answered from {zxid}"
            )),
            _ => Ok(()),
        }
    }

    /// Checks the last events of a connection, behind which no reply follows: they must be the next ones.
    fn end(&mut self, changes: &[Change]) -> Result<(), String> {
        while let Some((at, event, path)) = self.received.front() {
            let Some(change) = changes.get(self.settled) else {
                return Err(format!("was told {event:?} of {path} at {at}, which never happened"));
            };
            self.settled += 1;
            let mut told = self.take_received(change.zxid);
            let mut expected = self.watches.events_of(change, (&self.was, &self.is), &told);
            let is_cut_short = self.received.is_empty() && told.len() < expected.len();
            if change.in_any_order {
                told.sort_unstable();
                expected.sort_unstable();
            }
            let fits = match (change.in_any_order, is_cut_short) {
                (_, false) => told == expected,
                (false, true) => told == expected[..told.len()],
                (true, true) => {
                    let mut rest = expected.iter();
                    told.iter().all(|one| rest.any(|other| other == one))
                }
            };
            if !fits {
                return Err(format!(
                    "was to be told {expected:?} of {}, and was told {told:?}",
                    change.zxid
                ));
            }
        }
        Ok(())
    }

    /// Handles the effect of a reply on watches.
    fn replied(&mut self, call: &Call) -> Result<(), String> {
        let Outcome::Replied { err, answer, .. } = &call.outcome else { return Ok(()) };
        let mut put = |path: &str, kind| _ = self.watches.0.insert((path.to_owned(), kind));
        if let Request::Auth { secret: Some(secret), .. } = &call.request
            && *err == 0
        {
            self.is.digests.push(name_of(secret));
        }
        let is_missing = *err == ErrorCode::NoNode.code();
        match (&call.request, answer) {
            (Request::Get { path, watch: true }, Answer::Data(..))
            | (Request::Exists { path, watch: true }, Answer::Stat(_)) => put(path, Watched::Data),
            (Request::Exists { path, watch: true }, _) if is_missing => put(path, Watched::Missing),
            (Request::Children { path, watch: true }, Answer::Children(..)) => {
                put(path, Watched::Children);
            }
            (Request::AddWatch { path, recursive }, _) if *err == 0 => {
                put(path, if *recursive { Watched::Recursive } else { Watched::Persistent });
            }
            (Request::Watches { path, kind, remove }, _) => {
                let there = self.watches.look_for(path, *kind, *remove);
                let expected = if there { 0 } else { ErrorCode::NoWatcher.code() };
                let is_told = *err == 0 || *err == ErrorCode::NoWatcher.code();
                if is_told && *err != expected {
                    return Err(format!(
                        "asked {} and was answered {err} instead of {expected}",
                        what(call)
                    ));
                }
            }
            _ => (),
        }
        Ok(())
    }
}

/// Checks every frame of every connection. `again` has the watches that each setWatches set and that the missed
/// changes did not use up.
///
/// # Errors
/// A client got an event for which no watch waited, or one came twice, too late, out of order or not at all, or a
/// question about watches got a wrong answer.
pub fn check(
    history: &History,
    changes: &Changes,
    again: &BTreeMap<usize, Vec<(String, Watched)>>,
) -> Result<(), String> {
    let changes = changes.all();
    let mut connections: BTreeMap<(usize, u64), Connection> = BTreeMap::new();
    let who = |client: usize, number: u64, what: &str| {
        format!("WATCH: client {client} on its connection {number} {what}")
    };
    for Frame { client, connection: number, zxid, seen, .. } in &history.frames {
        let connection = connections.entry((*client, *number)).or_default();
        match seen {
            Seen::Connected => (),
            // The server made this event up for a missed change.
            Seen::Event { .. } if *zxid == Zxid::NONE => (),
            Seen::Event { event, path } => {
                connection.received.push_back((*zxid, *event, path.clone()));
            }
            Seen::Pong | Seen::Reply(_) => {
                let settled = connection.settle(changes, *zxid);
                settled.map_err(|what| who(*client, *number, &what))?;
                if zxid.0 > 0 {
                    connection.was = connection.is.clone();
                }
                let Seen::Reply(place) = seen else { continue };
                let replied = connection.replied(&history.calls[*place]);
                replied.map_err(|what| who(*client, *number, &what))?;
                connection.watches.0.extend(again.get(place).into_iter().flatten().cloned());
            }
        }
    }
    for ((client, number), mut connection) in connections {
        connection.end(changes).map_err(|what| who(client, number, &what))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ringkeeper::id::SessionId;

    use super::*;

    fn at(counter: i64) -> Zxid {
        Zxid((1 << 32) | counter)
    }

    fn change(counter: i64, events: &[(EventType, &str)]) -> Change {
        let events = events.iter().map(|(event, path)| (*event, (*path).to_owned())).collect();
        Change { zxid: at(counter), events, in_any_order: false, guarded: BTreeMap::new() }
    }

    fn reply(history: &mut History, counter: i64, request: Request, err: i32) {
        let zxid = at(counter);
        let outcome = Outcome::Replied { at: 1, zxid, err, answer: Answer::Nothing };
        let (client, session, connection) = (0, SessionId(7), 1);
        let xid = 1;
        let call = Call { client, session, connection, xid, request, invoked: 0, outcome };
        let seen = Seen::Reply(history.calls.len());
        history.frames.push(Frame { client, connection, session, zxid, seen });
        history.calls.push(call);
    }

    fn event(history: &mut History, counter: i64, event: EventType, path: &str) {
        let seen = Seen::Event { event, path: path.to_owned() };
        let (client, session, connection, zxid) = (0, SessionId(7), 1, at(counter));
        history.frames.push(Frame { client, connection, session, zxid, seen });
    }

    fn watch() -> Request {
        Request::AddWatch { path: "/a".to_owned(), recursive: true }
    }

    fn changes() -> Changes {
        let created = (EventType::NodeCreated, "/a/b");
        let below = (EventType::NodeChildrenChanged, "/a");
        let set = (EventType::NodeDataChanged, "/a/b");
        Changes::of(vec![change(2, &[created, below]), change(3, &[set]), change(4, &[set])])
    }

    #[test]
    fn an_event_that_comes_twice_or_not_at_all_is_found() {
        let sync = || Request::Sync { path: "/a".to_owned() };
        let changes = changes();
        for (told, fine) in [(&[2, 3][..], true), (&[2][..], false), (&[2, 3, 3][..], false)] {
            let mut history = History::default();
            reply(&mut history, 1, watch(), 0);
            for counter in told {
                let kind =
                    if *counter == 2 { EventType::NodeCreated } else { EventType::NodeDataChanged };
                event(&mut history, *counter, kind, "/a/b");
            }
            reply(&mut history, 3, sync(), 0);
            let found = check(&history, &changes, &BTreeMap::new());
            assert_eq!(found.is_ok(), fine, "{told:?}: {found:?}");
        }
    }

    #[test]
    fn an_event_behind_the_end_of_its_watch_is_found() {
        let mut history = History::default();
        reply(&mut history, 2, watch(), 0);
        event(&mut history, 3, EventType::NodeDataChanged, "/a/b");
        let path = "/a".to_owned();
        reply(&mut history, 3, Request::Watches { path, kind: 5, remove: true }, 0);
        assert_eq!(check(&history, &changes(), &BTreeMap::new()), Ok(()));
        event(&mut history, 4, EventType::NodeDataChanged, "/a/b");
        assert!(check(&history, &changes(), &BTreeMap::new()).is_err());
    }

    /// A session ended whose nodes have no known order, and nothing came behind the events.
    #[test]
    fn wrong_events_at_the_end_of_a_connection_are_found() {
        let gone = |path| (EventType::NodeDeleted, path);
        let mut end = change(2, &[gone("/a/b"), gone("/a/c")]);
        end.in_any_order = true;
        let changes = Changes::of(vec![end]);
        let cases: [(&[&str], bool); 5] = [
            (&["/a/b", "/a/c"], true),
            (&["/a/c", "/a/b"], true),
            (&["/a/c"], true),
            (&["/a/c", "/a/c"], false),
            (&["/a/b", "/a/d"], false),
        ];
        for (told, fine) in cases {
            let mut history = History::default();
            reply(&mut history, 1, watch(), 0);
            for path in told {
                event(&mut history, 2, EventType::NodeDeleted, path);
            }
            let found = check(&history, &changes, &BTreeMap::new());
            assert_eq!(found.is_ok(), fine, "{told:?}: {found:?}");
        }
    }

    #[test]
    fn a_wrong_answer_about_a_watch_is_found() {
        let mut history = History::default();
        let path = "/a".to_owned();
        let ask = Request::Watches { path, kind: 3, remove: false };
        reply(&mut history, 2, ask, 0);
        assert!(check(&history, &changes(), &BTreeMap::new()).is_err());
    }
}
