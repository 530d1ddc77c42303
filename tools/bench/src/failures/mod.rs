//! What clients see while servers fail and come back: load with a fine timeline on one side, a
//! script of events on the other, one clock for both.
//!
//! The load is best an open loop: requests are due whether or not a server answers. An interruption then shows as
//! clients feel it, as the latency of all requests that were due meanwhile, and not as silence.

mod full_disk;
mod members;
mod snapshots;
mod takeover;

pub use full_disk::full_disk;
pub use members::members;
pub use snapshots::{Snapshots, snapshots};
pub use takeover::takeover;

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::definition::Definition;
use crate::engine::{self, Phase, Target};
use crate::peers::Launch;
use crate::result::{FailureTimeline, Measured};
use crate::turn::Watcher;

/// A running script, which waits for moments of the timeline and notes what it does.
#[derive(Debug)]
pub struct Stage {
    begun: Instant,
    events: Vec<(f64, String)>,
}

/// A timeline's circumstances.
#[derive(Debug)]
pub struct Scene<'a> {
    /// What the script does to the servers, in words.
    pub title: &'a str,
    /// The program.
    pub launch: &'a Launch,
    /// Servers of the ensemble.
    pub servers: usize,
}

impl Stage {
    /// Sleeps until this second of the timeline; not at all if that is over.
    pub fn wait_until(&self, at_s: f64) {
        let at = self.begun + Duration::from_secs_f64(at_s);
        thread::sleep(at.saturating_duration_since(Instant::now()));
    }

    /// Notes what happens now.
    pub fn event(&mut self, what: impl Into<String>) {
        self.event_at(Instant::now(), what);
    }

    /// Notes what happened at `at`.
    pub fn event_at(&mut self, at: Instant, what: impl Into<String>) {
        self.events.push((at.saturating_duration_since(self.begun).as_secs_f64(), what.into()));
    }

    /// The present time in seconds of the timeline.
    pub fn now_s(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }
}

impl Scene<'_> {
    /// Runs the load and, beside it, the script from the moment when measuring begins.
    ///
    /// # Errors
    /// The load cannot even be prepared.
    pub fn play(
        &self,
        target: &Target,
        definition: &Definition,
        watcher: Watcher<'_>,
        script: impl FnOnce(&mut Stage) + Send,
    ) -> Result<(FailureTimeline, Measured), String> {
        let (begin, begun) = mpsc::channel();
        let (measured, events) = thread::scope(|scope| {
            let acting = scope.spawn(move || act(&begun, script));
            let mut begin = Some(begin);
            let measured = engine::run(target, definition, None, &mut |progress| {
                if progress.phase == Phase::Measuring
                    && let Some(begin) = begin.take()
                {
                    // The send succeeds, because the script waits for this message.
                    let _ = begin.send(Instant::now());
                }
                watcher(progress);
            });
            // If the load never begins, the script ends before it does anything.
            drop(begin);
            let events = acting.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (measured, events)
        });
        let measured = measured.map_err(|error| format!("{}: {error}", self.launch.name))?;
        let timeline = FailureTimeline {
            title: self.title.to_owned(),
            program: self.launch.name.clone(),
            servers: self.servers,
            slices: measured.timeline.clone(),
            events: events.into_iter().filter(|(at, _)| *at <= measured.seconds).collect(),
            errors: measured.errors.clone(),
            sessions_lost: measured.sessions_lost,
        };
        Ok((timeline, measured))
    }
}

fn act(begun: &Receiver<Instant>, script: impl FnOnce(&mut Stage)) -> Vec<(f64, String)> {
    let Ok(begun) = begun.recv() else { return Vec::new() };
    let mut stage = Stage { begun, events: Vec::new() };
    script(&mut stage);
    stage.events
}

#[cfg(test)]
mod tests {
    use std::env;

    use crate::definition::{Load, Mix, Operations, Work};
    use crate::null_server::{self, NullServer};
    use crate::peers::Peer;

    use super::*;

    fn load(seconds: f64) -> Definition {
        let operations = Operations { get: 1, ..Operations::default() };
        let mut load = null_server::workload("events", 2, 1, operations.clone());
        load.work = Work::Mix(Mix::new(2, Load::Open { per_second: 200.0 }, operations));
        load.warm_up_s = 0.1;
        load.seconds = seconds;
        load.slice_ms = 100;
        load
    }

    #[test]
    fn events_stand_in_the_time_of_the_slices() {
        let binary = env::current_exe().unwrap();
        let launch = Launch::find(Peer::Ringkeeper, &binary, "").unwrap();
        let server = NullServer::start().unwrap();
        let mut target = Target::new(vec![server.address()]);
        target.clean_up = false;
        let scene = Scene { title: "nothing happens", launch: &launch, servers: 1 };
        let script = |stage: &mut Stage| {
            stage.event("begins");
            stage.wait_until(0.2);
            stage.event("later");
            stage.wait_until(0.1);
            stage.event("at once");
            stage.wait_until(0.7);
            stage.event("too late");
        };
        let (timeline, measured) = scene.play(&target, &load(0.5), &mut |_| {}, script).unwrap();
        let names: Vec<&str> = timeline.events.iter().map(|(_, name)| &name[..]).collect();
        assert_eq!(names, ["begins", "later", "at once"]);
        assert!(timeline.events[1].0 >= 0.2, "{:?}", timeline.events);
        assert_eq!(timeline.slices.len(), 5);
        assert_eq!(timeline.slices, measured.timeline);
    }

    #[test]
    fn nothing_is_done_to_servers_that_were_never_loaded() {
        let binary = env::current_exe().unwrap();
        let launch = Launch::find(Peer::Ringkeeper, &binary, "").unwrap();
        let nobody = NullServer::start().unwrap().address();
        let scene = Scene { title: "nobody is there", launch: &launch, servers: 1 };
        let mut done = false;
        let target = Target::new(vec![nobody]);
        let played = scene.play(&target, &load(0.1), &mut |_| {}, |_| done = true);
        assert!(played.is_err() && !done);
    }
}
