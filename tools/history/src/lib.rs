//! Records the requests of clients to an ensemble and the answers, in the order of time, and checks whether a single
//! server that does one thing after the other could have given these answers.
//!
//! The objects are registers with a version, as a znode's data is: the answer to a write has the version that the
//! write made and its zxid, and a server may refuse a conditional write. Linearizability is a property of each
//! object alone (Herlihy and Wing, 1990), so stateright's tester searches each register for itself. Besides, the
//! zxids of all registers form one order, which must agree with time.
//!
//! The rule that is easy to break: the caller must report a request without an answer as [`Call::unknown`], and
//! never leave it out. The request may have taken effect at any time since, or not at all.

mod register;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

use crate::register::Register;
pub use crate::register::{Answer, Operation};

/// One register: a znode of the test.
pub type Key = u32;

#[derive(Debug, Clone)]
enum Moment {
    Invoked { key: Key, operation: Operation },
    Returned { answer: Answer, zxid: i64 },
}

#[derive(Debug, Clone)]
struct Entry {
    call: usize,
    at: Instant,
    moment: Moment,
}

/// Records what all clients of a test do. The order of its entries is the order in time.
#[derive(Debug, Default)]
pub struct Recorder {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    calls: usize,
    list: Vec<Entry>,
}

/// One request under way.
#[derive(Debug)]
#[must_use = "a request ends with an answer, or unknown"]
pub struct Call<'a> {
    recorder: &'a Recorder,
    number: usize,
}

/// The figures of a checked history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Requests with an answer.
    pub answered: usize,
    /// Requests without an answer.
    pub unknown: usize,
    /// Registers.
    pub registers: usize,
    /// The longest time in which no client's write was acknowledged.
    pub longest_gap: Duration,
}

impl Recorder {
    /// An empty history.
    pub fn new() -> Self {
        Recorder::default()
    }

    /// Notes that a client is about to send a request: to be called before it sends.
    pub fn invoke(&self, key: Key, operation: Operation) -> Call<'_> {
        let mut entries = self.entries();
        let number = entries.calls;
        entries.calls += 1;
        let moment = Moment::Invoked { key, operation };
        entries.list.push(Entry { call: number, at: Instant::now(), moment });
        Call { recorder: self, number }
    }

    /// The times at which writes were acknowledged, in order.
    pub fn acknowledgements(&self) -> Vec<Instant> {
        let entries = self.entries();
        let writes = entries.list.iter().filter(|entry| {
            matches!(entry.moment, Moment::Returned { answer: Answer::Written { .. }, .. })
        });
        writes.map(|entry| entry.at).collect()
    }

    /// The time from `moment` to the first acknowledgement of a write that a client sent after `moment`.
    pub fn first_acknowledged_after(&self, moment: Instant) -> Option<Duration> {
        let entries = self.entries();
        let sent: Vec<usize> = entries
            .list
            .iter()
            .filter(|entry| entry.at >= moment && matches!(entry.moment, Moment::Invoked { .. }))
            .map(|entry| entry.call)
            .collect();
        let answers = entries.list.iter().find(|entry| {
            matches!(entry.moment, Moment::Returned { answer: Answer::Written { .. }, .. })
                && sent.binary_search(&entry.call).is_ok()
        });
        answers.map(|entry| entry.at - moment)
    }

    /// Checks everything so far.
    ///
    /// # Errors
    /// What no single server could have answered, in words.
    pub fn check(&self) -> Result<Summary, String> {
        let entries = self.entries();
        let mut of_call: BTreeMap<usize, (Key, Operation)> = BTreeMap::new();
        let mut registers: BTreeMap<Key, Vec<&Entry>> = BTreeMap::new();
        for entry in &entries.list {
            if let Moment::Invoked { key, operation } = &entry.moment {
                of_call.insert(entry.call, (*key, *operation));
            }
            registers.entry(of_call[&entry.call].0).or_default().push(entry);
        }
        for (key, entries) in &registers {
            linearizable(entries).map_err(|why| format!("register {key}: {why}"))?;
        }
        let registers = registers.len();
        zxids_agree_with_time(&entries.list)?;
        let answered =
            entries.list.iter().filter(|entry| matches!(entry.moment, Moment::Returned { .. }));
        let answered = answered.count();
        drop(entries);
        Ok(Summary {
            answered,
            unknown: of_call.len() - answered,
            registers,
            longest_gap: longest_gap(&self.acknowledgements()),
        })
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().expect("no thread panics with the history in hand")
    }
}

impl Call<'_> {
    /// Notes the answer and the zxid of its header.
    pub fn returned(self, answer: Answer, zxid: i64) {
        let mut entries = self.recorder.entries();
        let moment = Moment::Returned { answer, zxid };
        entries.list.push(Entry { call: self.number, at: Instant::now(), moment });
    }

    /// Notes that no answer will come: the outcome stays unknown for ever.
    pub fn unknown(self) {}
}

/// The longest time between two neighbouring moments.
pub fn longest_gap(moments: &[Instant]) -> Duration {
    moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Checks one register. The tester sees each call as a thread of its own, because the real threads say nothing that
/// time does not say. To keep the search small, a call takes the thread of a call that ended before it began. Calls
/// without an answer have the last threads, because the tester tries threads in order and can put such a call
/// anywhere.
fn linearizable(entries: &[&Entry]) -> Result<(), String> {
    versions_agree_with_time(entries)?;
    let answered: BTreeSet<usize> = entries
        .iter()
        .filter(|entry| matches!(entry.moment, Moment::Returned { .. }))
        .map(|entry| entry.call)
        .collect();
    let mut tester = LinearizabilityTester::new(Register::default());
    let mut names: BTreeMap<usize, usize> = BTreeMap::new();
    let mut free: Vec<usize> = Vec::new();
    let mut made = 0;
    for entry in entries {
        match &entry.moment {
            Moment::Invoked { operation, .. } => {
                let name = if answered.contains(&entry.call) {
                    free.pop().unwrap_or_else(|| {
                        made += 1;
                        made
                    })
                } else {
                    usize::MAX - entry.call
                };
                names.insert(entry.call, name);
                tester.on_invoke(name, *operation).expect("a free name has nothing in flight");
            }
            Moment::Returned { answer, .. } => {
                let name = names[&entry.call];
                free.push(name);
                tester.on_return(name, *answer).expect("this name has this call in flight");
            }
        }
    }
    if tester.is_consistent() {
        return Ok(());
    }
    Err(told("no order of these explains the answers", entries))
}

/// Finds in linear time what the versions alone show to be wrong. The search above practically does not end for a
/// wrong history with many calls without an answer, so this check must find most wrong histories.
fn versions_agree_with_time(entries: &[&Entry]) -> Result<(), String> {
    let mut operations: BTreeMap<usize, Operation> = BTreeMap::new();
    let mut floors: BTreeMap<usize, i32> = BTreeMap::new();
    let mut written: BTreeMap<i32, u64> = BTreeMap::from([(0, 0)]);
    let mut newest = 0;
    for entry in entries {
        match &entry.moment {
            Moment::Invoked { operation, .. } => {
                operations.insert(entry.call, *operation);
                floors.insert(entry.call, newest);
            }
            Moment::Returned { answer, .. } => {
                let floor = floors[&entry.call];
                let version = match (answer, operations[&entry.call]) {
                    (Answer::BadVersion, _) => continue,
                    (Answer::Seen { version, .. }, _) if *version >= floor => *version,
                    (
                        Answer::Written { version },
                        Operation::Set { value } | Operation::SetAt { value, .. },
                    ) if *version > floor && written.insert(*version, value).is_none() => *version,
                    _ => {
                        let why =
                            format!("call {}: version {floor} had been acknowledged", entry.call);
                        return Err(told(&why, entries));
                    }
                };
                newest = newest.max(version);
            }
        }
    }
    for entry in entries {
        if let Moment::Returned { answer: Answer::Seen { version, value }, .. } = &entry.moment
            && written.get(version).is_some_and(|other| other != value)
        {
            let why = format!("call {} saw another value than was written", entry.call);
            return Err(told(&why, entries));
        }
    }
    Ok(())
}

fn told(why: &str, entries: &[&Entry]) -> String {
    let mut text = format!("{why}:\n");
    for entry in entries {
        text +=
            &format!("  {:?} call {}: {:?}\n", entry.at - entries[0].at, entry.call, entry.moment);
    }
    text
}

/// Checks that a write acknowledged before another one was sent has the smaller zxid, whatever their registers, and
/// that no two writes have the same zxid.
fn zxids_agree_with_time(entries: &[Entry]) -> Result<(), String> {
    let mut newest = i64::MIN;
    let mut floor: BTreeMap<usize, i64> = BTreeMap::new();
    let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
    for entry in entries {
        match &entry.moment {
            Moment::Invoked { .. } => {
                floor.insert(entry.call, newest);
            }
            Moment::Returned { answer: Answer::Written { .. }, zxid } => {
                if *zxid <= floor[&entry.call] {
                    return Err(format!(
                        "call {} got zxid 0x{zxid:x} although 0x{:x} was acknowledged before it was sent",
                        entry.call, floor[&entry.call]
                    ));
                }
                if let Some(other) = seen.insert(*zxid, entry.call) {
                    return Err(format!(
                        "calls {other} and {} both got zxid 0x{zxid:x}",
                        entry.call
                    ));
                }
                newest = newest.max(*zxid);
            }
            Moment::Returned { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(recorder: &Recorder, key: Key, value: u64, version: i32, zxid: i64) {
        let call = recorder.invoke(key, Operation::Set { value });
        call.returned(Answer::Written { version }, zxid);
    }

    fn read(recorder: &Recorder, key: Key, value: u64, version: i32) {
        recorder.invoke(key, Operation::Read).returned(Answer::Seen { version, value }, 0);
    }

    #[test]
    fn one_after_the_other_is_a_good_history() {
        let recorder = Recorder::new();
        write(&recorder, 1, 10, 1, 0x101);
        write(&recorder, 2, 11, 1, 0x102);
        let refused = recorder.invoke(1, Operation::SetAt { version: 0, value: 12 });
        refused.returned(Answer::BadVersion, 0);
        write(&recorder, 1, 13, 2, 0x104);
        read(&recorder, 1, 13, 2);
        let summary = recorder.check().expect("a good history");
        assert_eq!((summary.answered, summary.unknown, summary.registers), (5, 0, 2));
    }

    #[test]
    fn a_write_without_an_answer_may_be_there_or_not_and_late() {
        for there in [false, true] {
            let recorder = Recorder::new();
            write(&recorder, 1, 10, 1, 0x101);
            recorder.invoke(1, Operation::Set { value: 11 }).unknown();
            write(&recorder, 1, 12, 2, 0x102);
            if there {
                read(&recorder, 1, 11, 3);
            } else {
                read(&recorder, 1, 12, 2);
            }
            assert_eq!(recorder.check().expect("both can be").unknown, 1);
        }
    }

    #[test]
    fn a_doctored_history_is_noticed() {
        type Doctor = fn(&Recorder);
        let doctored: [(&str, Doctor); 5] = [
            ("an acknowledged write is lost", |recorder| {
                write(recorder, 1, 10, 1, 0x101);
                write(recorder, 1, 11, 2, 0x102);
                read(recorder, 1, 10, 1);
            }),
            ("two servers each made version 2", |recorder| {
                write(recorder, 1, 10, 1, 0x101);
                let one = recorder.invoke(1, Operation::Set { value: 11 });
                let two = recorder.invoke(1, Operation::Set { value: 12 });
                one.returned(Answer::Written { version: 2 }, 0x102);
                two.returned(Answer::Written { version: 2 }, 0x200_0000_0001);
            }),
            ("a value that nobody wrote", |recorder| {
                write(recorder, 1, 10, 1, 0x101);
                read(recorder, 1, 7, 1);
            }),
            ("a conditional write that overlooked another", |recorder| {
                write(recorder, 1, 10, 1, 0x101);
                write(recorder, 1, 11, 2, 0x102);
                let call = recorder.invoke(1, Operation::SetAt { version: 1, value: 12 });
                call.returned(Answer::Written { version: 2 }, 0x103);
            }),
            ("zxids against time", |recorder| {
                write(recorder, 1, 10, 1, 0x102);
                write(recorder, 2, 11, 1, 0x101);
            }),
        ];
        for (what, make) in doctored {
            let recorder = Recorder::new();
            make(&recorder);
            assert!(recorder.check().is_err(), "not noticed: {what}");
        }
    }

    #[test]
    fn a_long_history_with_many_unknown_writes_is_searched_in_time() {
        let recorder = Recorder::new();
        for at in 0..300 {
            if at % 30 == 7 {
                recorder.invoke(1, Operation::Set { value: 1000 + at }).unknown();
            }
            let version = i32::try_from(at).expect("small") + 1;
            write(&recorder, 1, at, version, i64::from(version));
        }
        assert_eq!(recorder.check().expect("a good history").unknown, 10);
    }
}
