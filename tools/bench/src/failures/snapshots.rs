//! Writes beside snapshots, and the same writes without snapshots.
//!
//! One server with as many znodes as asked for. First it is loaded while no snapshot is due, then started again with
//! so small a `snapCount` that one snapshot follows the other, and loaded in the same way; each snapshot also begins
//! another file of the log. The files in the data folder show the beginning and the end of each snapshot, for every
//! program of ZooKeeper's kind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Scene, Stage};
use crate::definition::Definition;
use crate::engine;
use crate::header;
use crate::peers::{Launch, Peer};
use crate::result::{FailureTimeline, Measured, Row};
use crate::turn::Watcher;

/// The name of the row without snapshots, in results and goals.
pub const WITHOUT: &str = "writes-without-snapshots";
/// The name of the row beside snapshots.
pub const BESIDE: &str = "writes-beside-snapshots";

/// A line that allows no snapshot within any run.
const NEVER: &str = "snapCount=2000000000";
/// A flag that turns off the snapshots for which the size of the log asks.
const NEVER_BY_SIZE: &str = "-Dzookeeper.snapSizeLimitInKb=2000000000";
/// Ringkeeper waits with a snapshot until the log is worth it; this line turns that off.
const AT_ONCE: &str = "ringkeeper.snapshotSharePercent=0";
/// Znodes under each parent.
const CHILDREN: u32 = 1000;
const VALUE_BYTES: u32 = 100;
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The event of a snapshot's end.
const WHOLE: &str = "snapshot is whole";
/// The beginning of the names of whole snapshots.
const FINAL_PREFIX: &str = "snapshot.";
/// A file that has not grown for this long is whole.
const STILL_FOR: Duration = Duration::from_millis(400);

/// The measurements.
#[derive(Debug)]
pub struct Snapshots {
    /// The load beside snapshots.
    pub timeline: FailureTimeline,
    /// Without snapshots, and beside them.
    pub rows: [Row; 2],
}

/// Loads one server without and with snapshots of a tree of `znodes` znodes.
///
/// # Errors
/// It does not start, or the load cannot be prepared.
pub fn snapshots(
    launch: &Launch,
    znodes: u32,
    txns_between: u32,
    load: &Definition,
    folder: &Path,
    watcher: Watcher<'_>,
) -> Result<Snapshots, String> {
    let quiet = launch.clone().line(NEVER).flag(NEVER_BY_SIZE);
    let mut running = quiet.start(1, folder)?;
    let mut target = running.target()?;
    engine::populate(&target, znodes, CHILDREN, VALUE_BYTES)
        .map_err(|error| format!("{}: {error}", launch.name))?;
    target.clean_up = false;
    let title = format!("snapshots of {znodes} znodes are taken");
    let scene = Scene { title: &title, launch, servers: 1 };
    let (_, without) = scene.play(&target, load, watcher, |_| {})?;

    let mut busy = launch.clone().line(format!("snapCount={txns_between}"));
    if launch.peer == Peer::Ringkeeper {
        busy = busy.line(AT_ONCE);
    }
    let server = running.server()?;
    let config = busy.config().data_dir(server.data_dir());
    server.restart_with(config);
    let data = server.data_dir().join("version-2");
    let (taken, beside) =
        scene.play(&target, load, watcher, |stage| watch(&data, load.seconds, stage))?;
    let taken = with_snapshots(launch, taken)?;

    let row = |workload: &str, measured: Measured| Row {
        workload: workload.to_owned(),
        title: format!("{}, {znodes} znodes", workload.replace('-', " ")),
        program: launch.name.clone(),
        commit: launch.commit.clone(),
        servers: 1,
        round: 1,
        step: None,
        measured,
        resources: None,
        load_average: header::load_average(),
    };
    Ok(Snapshots { timeline: taken, rows: [row(WITHOUT, without), row(BESIDE, beside)] })
}

/// Plays the load beside snapshots; an error if no snapshot was taken.
fn with_snapshots(
    launch: &Launch,
    mut timeline: FailureTimeline,
) -> Result<FailureTimeline, String> {
    timeline.events.sort_by(|a, b| a.0.total_cmp(&b.0));
    if timeline.events.iter().any(|(_, event)| event == WHOLE) {
        Ok(timeline)
    } else {
        Err(format!("{}: no snapshot was taken: there is nothing to compare", launch.name))
    }
}

/// Notes when snapshots begin and end, until the load is over.
fn watch(folder: &Path, seconds: f64, stage: &mut Stage) {
    let mut watch = Watch::begin(Instant::now(), list(folder));
    while stage.now_s() < seconds {
        thread::sleep(POLL_INTERVAL);
        for (at, what) in watch.look(Instant::now(), list(folder)) {
            stage.event_at(at, what);
        }
    }
}

/// Follows the files of a data folder. A program writes a snapshot under its final name, or under another name that
/// it changes at the end.
struct Watch {
    known: BTreeMap<String, Seen>,
    is_writing: bool,
}

/// A snapshot's file.
struct Seen {
    bytes: u64,
    grew: Instant,
    is_over: bool,
}

impl Watch {
    /// Begins to watch. Files that exist already make no events.
    fn begin(now: Instant, files: BTreeMap<String, u64>) -> Watch {
        let seen = |(name, bytes)| (name, Seen { bytes, grew: now, is_over: true });
        Watch { known: files.into_iter().map(seen).collect(), is_writing: false }
    }

    /// The events since the last look, each with its time, according to the files that are in the folder now.
    fn look(&mut self, now: Instant, files: BTreeMap<String, u64>) -> Vec<(Instant, &'static str)> {
        let mut events = Vec::new();
        self.known.retain(|name, _| files.contains_key(name));
        for (name, bytes) in files {
            let seen = Seen { bytes, grew: now, is_over: false };
            match self.known.get_mut(&name) {
                None => {
                    if !self.is_writing {
                        events.push((now, "snapshot begins"));
                        self.is_writing = true;
                    }
                    self.known.insert(name, seen);
                }
                Some(known) if known.bytes != bytes => *known = seen,
                Some(_) => {}
            }
        }
        for (name, seen) in &mut self.known {
            let is_still = now - seen.grew >= STILL_FOR;
            if name.starts_with(FINAL_PREFIX) && !seen.is_over && is_still {
                seen.is_over = true;
                if self.is_writing {
                    events.push((seen.grew, WHOLE));
                    self.is_writing = false;
                }
            }
        }
        events
    }
}

/// Files that are, or are to become, snapshots.
fn list(folder: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        // The program may rename or remove the file at this moment.
        let bytes = entry.metadata().ok()?.len();
        name.contains("snapshot").then_some((name, bytes))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, u64)]) -> BTreeMap<String, u64> {
        files.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
    }

    #[test]
    fn a_snapshot_that_grows_under_its_name_ends_when_it_stops_growing() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut watch = Watch::begin(at(0), folder(&[("snapshot.1", 50)]));
        assert_eq!(watch.look(at(1000), folder(&[("snapshot.1", 50)])), []);
        let files = folder(&[("snapshot.1", 50), ("snapshot.2", 10)]);
        assert_eq!(watch.look(at(1100), files), [(at(1100), "snapshot begins")]);
        let files = folder(&[("snapshot.1", 50), ("snapshot.2", 20)]);
        assert_eq!(watch.look(at(1400), files.clone()), []);
        assert_eq!(watch.look(at(1700), files.clone()), []);
        assert_eq!(watch.look(at(1800), files.clone()), [(at(1400), "snapshot is whole")]);
        assert_eq!(watch.look(at(3000), files), []);
    }

    #[test]
    fn a_snapshot_that_is_renamed_begins_with_its_first_name() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut watch = Watch::begin(at(0), folder(&[]));
        let events = watch.look(at(100), folder(&[("new-snapshot", 10)]));
        assert_eq!(events, [(at(100), "snapshot begins")]);
        assert_eq!(watch.look(at(900), folder(&[("new-snapshot", 10)])), []);
        assert_eq!(watch.look(at(1000), folder(&[("snapshot.5", 30)])), []);
        let events = watch.look(at(1500), folder(&[("snapshot.5", 30)]));
        assert_eq!(events, [(at(1000), "snapshot is whole")]);
    }
}
