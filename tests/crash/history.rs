//! The requests and acknowledgements of a worker, and whether they explain the state after a crash.
//!
//! A server executes the requests of a session in the order in which they were sent. So the state after a crash must be
//! the state after some prefix of the requests, and that prefix includes all acknowledged ones. A multi is one entry,
//! so half a multi is no prefix.

use std::collections::{BTreeMap, BTreeSet};

/// Nodes by key, with their data. The key is the path; for sequential nodes it is the data, because the name is unknown
/// if the creation was not acknowledged.
pub type State = BTreeMap<String, String>;

/// A change of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The node exists with this data.
    Put(String, String),
    /// The node does not exist.
    Remove(String),
}

/// One request: all its changes; none for a multi that must fail.
pub type Entry = Vec<Effect>;

/// The requests of one session in one round.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The requests in the order in which they were sent.
    pub entries: Vec<Entry>,
    /// How many of them, from the first on, were acknowledged.
    pub acknowledged: usize,
}

impl History {
    /// The length of the prefix of requests that leads to the observed state.
    ///
    /// # Errors
    /// There is none: an acknowledged write is missing, or the state has a change that was not requested.
    pub fn prefix(&self, before: &State, observed: &State) -> Result<usize, String> {
        assert!(self.acknowledged <= self.entries.len(), "more answers than requests");
        let mut state = before.clone();
        for entry in &self.entries[..self.acknowledged] {
            apply(&mut state, entry);
        }
        let acknowledged = state.clone();
        for length in self.acknowledged..=self.entries.len() {
            if state == *observed {
                return Ok(length);
            }
            if let Some(entry) = self.entries.get(length) {
                apply(&mut state, entry);
            }
        }
        Err(format!(
            "no prefix of the {} requests ({} acknowledged) leads to what is there.\n\
             against the acknowledged state: {}\nrequests that were not acknowledged: {:?}",
            self.entries.len(),
            self.acknowledged,
            difference(&acknowledged, observed),
            &self.entries[self.acknowledged..]
        ))
    }
}

/// Carries out one request.
pub fn apply(state: &mut State, entry: &[Effect]) {
    for effect in entry {
        match effect {
            Effect::Put(key, data) => state.insert(key.clone(), data.clone()),
            Effect::Remove(key) => state.remove(key),
        };
    }
}

fn difference(expected: &State, observed: &State) -> String {
    let mut lines = Vec::new();
    for (key, data) in expected {
        match observed.get(key) {
            None => lines.push(format!("{key} is missing")),
            Some(other) if other != data => {
                lines.push(format!("{key} holds {other:.40} instead of {data:.40}"));
            }
            Some(_) => {}
        }
    }
    let extra = observed.keys().filter(|key| !expected.contains_key(*key));
    lines.extend(extra.map(|key| format!("{key} should not be there")));
    lines.join("; ")
}

/// All names that sequential nodes have had.
#[derive(Debug, Default)]
pub struct Names {
    ever: BTreeSet<String>,
}

impl Names {
    /// Notes that a server has given this name to a new node.
    ///
    /// # Errors
    /// An earlier node had the name.
    pub fn given(&mut self, name: &str) -> Result<(), String> {
        if self.ever.insert(name.to_owned()) {
            Ok(())
        } else {
            Err(format!("the sequential name {name} was given twice"))
        }
    }

    /// Notes that a node with this name exists, whether or not its creation was acknowledged.
    pub fn seen(&mut self, name: &str) {
        self.ever.insert(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, data: &str) -> Effect {
        Effect::Put(key.to_owned(), data.to_owned())
    }

    fn remove(key: &str) -> Effect {
        Effect::Remove(key.to_owned())
    }

    fn state(pairs: &[(&str, &str)]) -> State {
        pairs.iter().map(|(key, data)| ((*key).to_owned(), (*data).to_owned())).collect()
    }

    /// Three requests were acknowledged, a multi and a change after it were not.
    fn history() -> History {
        History {
            entries: vec![
                vec![put("/a", "1")],
                vec![put("/b", "1"), put("/c", "1")],
                vec![remove("/a")],
                vec![put("/b", "2"), remove("/c")],
                vec![put("/d", "1")],
            ],
            acknowledged: 3,
        }
    }

    #[test]
    fn every_prefix_that_holds_what_was_acknowledged_is_accepted() {
        let before = state(&[("/old", "0")]);
        let good = [
            (3, state(&[("/old", "0"), ("/b", "1"), ("/c", "1")])),
            (4, state(&[("/old", "0"), ("/b", "2")])),
            (5, state(&[("/old", "0"), ("/b", "2"), ("/d", "1")])),
        ];
        for (length, observed) in good {
            assert_eq!(history().prefix(&before, &observed), Ok(length));
        }
    }

    #[test]
    fn a_doctored_history_is_noticed() {
        let before = state(&[("/old", "0")]);
        let doctored = [
            ("an acknowledged create is lost", state(&[("/old", "0"), ("/c", "1")])),
            (
                "an acknowledged delete is undone",
                state(&[("/old", "0"), ("/a", "1"), ("/b", "1"), ("/c", "1")]),
            ),
            ("half of a multi is there", state(&[("/old", "0"), ("/b", "2"), ("/c", "1")])),
            (
                "a later request without an earlier one",
                state(&[("/old", "0"), ("/b", "1"), ("/c", "1"), ("/d", "1")]),
            ),
            ("something from before the round is lost", state(&[("/b", "1"), ("/c", "1")])),
            ("data that nobody wrote", state(&[("/old", "0"), ("/b", "1"), ("/c", "7")])),
            ("everything is lost", State::new()),
        ];
        for (what, observed) in doctored {
            assert!(history().prefix(&before, &observed).is_err(), "not noticed: {what}");
        }
    }

    #[test]
    fn a_name_that_is_given_twice_is_noticed() {
        let mut names = Names::default();
        names.given("/s/0000000000").unwrap();
        names.seen("/s/0000000001");
        assert!(names.given("/s/0000000000").is_err());
        assert!(names.given("/s/0000000001").is_err());
        names.given("/s/0000000002").unwrap();
    }
}
