//! One program's turn: the program starts on fresh folders, is warmed up, and runs one workload after the other. Each
//! row says what the workload cost the servers.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::definition::{Definition, Load, Mix, Operations, Work};
use crate::engine::{self, Phase, Progress};
use crate::header;
use crate::peers::{Launch, Running};
use crate::resources::Meter;
use crate::result::Row;

/// The load that warms up compilers and caches: enough of each kind of request, on all sessions.
const WARM_UP_SESSIONS: u32 = 100;
const WARM_UP_DEPTH: u32 = 16;

/// A workload of a turn.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The definition of the workload.
    pub definition: &'a Definition,
    /// The value of the ladder's parameter, if the workload is a ladder.
    pub step: Option<u64>,
}

/// A program that has its turn.
#[derive(Debug)]
pub struct Turn<'a> {
    launch: &'a Launch,
    servers: usize,
    round: u32,
    /// The threads of the load generator.
    threads: usize,
    running: Running,
}

/// Is called with the progress of a row.
pub type Watcher<'a> = &'a mut dyn FnMut(&Progress);

impl<'a> Turn<'a> {
    /// Starts the program and warms it up.
    ///
    /// # Errors
    /// The program does not start, or its warm-up cannot be prepared.
    pub fn begin(
        launch: &'a Launch,
        servers: usize,
        round: u32,
        threads: usize,
        warm_up: Duration,
        folder: &Path,
    ) -> Result<Self, String> {
        let running = launch.start(servers, folder)?;
        let mut turn = Turn { launch, servers, round, threads, running };
        turn.warm_up(warm_up)?;
        Ok(turn)
    }

    /// Runs one workload.
    ///
    /// # Errors
    /// The workload cannot be prepared, or a server died of it.
    /// It cannot be prepared, or the servers died of it.
    pub fn run(&mut self, job: &Job<'_>, watcher: Watcher<'_>) -> Result<Row, String> {
        let mut target = self.launch.target(&mut self.running)?;
        target.threads = self.threads;
        let pids = self.running.pids();
        let folder = self.running.folder();
        let mut meter: Option<Meter> = None;
        let mut resources = None;
        let mut watch = |progress: &Progress| {
            if progress.phase == Phase::Measuring {
                let meter = meter.get_or_insert_with(|| Meter::begin(&pids, folder));
                if progress.done >= 1.0 && resources.is_none() {
                    resources = meter.end();
                }
            }
            watcher(progress);
        };
        let neighbours = job.definition.beside.begin(&pids)?;
        let measured = engine::run(&target, job.definition, job.step, &mut watch);
        drop(neighbours);
        let measured = measured?;
        let Definition { name, title, step: steps, .. } = job.definition;
        let step =
            steps.as_ref().zip(job.step).map(|(steps, value)| (steps.parameter.clone(), value));
        Ok(Row {
            workload: name.clone(),
            title: title.clone(),
            program: self.launch.name.clone(),
            commit: self.launch.commit.clone(),
            servers: self.servers,
            round: self.round,
            step,
            measured,
            resources,
            load_average: header::load_average(),
        })
    }

    fn warm_up(&mut self, time: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let target = self.launch.target(&mut self.running)?;
        for operations in [
            Operations { set: 1, ..Operations::default() },
            Operations { create: 1, ..Operations::default() },
            Operations { get: 1, ..Operations::default() },
        ] {
            let mix = Mix::new(WARM_UP_SESSIONS, Load::Closed { depth: WARM_UP_DEPTH }, operations);
            let mut definition = Definition::of("warm-up", Work::Mix(mix));
            (definition.warm_up_s, definition.seconds) = (0.0, time.as_secs_f64() / 3.0);
            engine::run(&target, &definition, None, &mut |_| {})
                .map_err(|why| format!("warm-up of {}: {why}", self.launch.name))?;
            if begun.elapsed() >= time {
                break;
            }
        }
        Ok(())
    }
}
