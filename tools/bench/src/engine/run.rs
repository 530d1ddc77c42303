//! One run from the tree to the result: runs the threads, and merges their records.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Instant;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::churn::{self, ChurnWorkload};
use super::discovery::{self, DiscoveryWorkload};
use super::fan_out::{self, FanOutWorkload};
use super::io::Clock;
use super::lock::{self, LockWorkload};
use super::mix::{self, MixWorkload};
use super::recorder::{OpRecord, RawSlice, Recorded, Recorder};
use super::storm::{self, StormWorkload};
use super::tree::{self, Tree};
use super::worker::{Report, Shared, Worker};
use super::workload::Workload;
use super::{Phase, Progress, Share, Target};
use crate::definition::{Definition, Placement, Work};
use crate::result::{Measured, OpResult, Slice, float, micros};

/// Files that the process needs beside the sockets.
const OTHER_FILES: u64 = 64;
const NS_PER_SECOND: f64 = 1e9;

/// Runs a definition without a ladder.
pub fn run(
    target: &Target,
    definition: &Definition,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Measured, String> {
    if target.servers.is_empty() {
        return Err("no server to load was given".to_owned());
    }
    allow_files(u64::from(definition.work.sessions()))?;
    let tell = |done| Progress { phase: Phase::Preparing, done, slice: None, per_second: 0.0 };
    progress(&tell(0.0));
    let tree = Tree::of(&definition.work);
    let root = tree.make(&target.servers, &mut |done| progress(&tell(done)))?;
    let measured = measure(target, definition, &root, progress);
    if target.clean_up {
        let phase = Phase::CleaningUp;
        progress(&Progress { phase, done: 0.0, slice: None, per_second: 0.0 });
        let removed = tree::remove(&target.servers, &root);
        // The reason why the run failed says more than the reason why its nodes could not be removed.
        let measured = measured?;
        removed?;
        return Ok(measured);
    }
    measured
}

fn measure(
    target: &Target,
    definition: &Definition,
    root: &str,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Measured, String> {
    let run = |names, primary, unit| Run { target, definition, names, primary, unit };
    match &definition.work {
        Work::Mix(mix) => {
            // The requests that set watches are no part of the load.
            let primary = &mix::NAMES[..mix::NAMES.len() - 1];
            run(mix::NAMES, primary, 1).go(mix.sessions, mix.placement, progress, |share, seed| {
                MixWorkload::new(mix, root, share, seed)
            })
        }
        Work::Lock(lock) => run(lock::NAMES, lock::PRIMARY, 1).go(
            lock.sessions,
            lock.placement,
            progress,
            |share, _| LockWorkload::new(lock, root, share),
        ),
        Work::Discovery(discovery) => {
            let unit = discovery.instances + discovery.clients;
            run(discovery::NAMES, discovery::PRIMARY, unit).go(
                discovery.services,
                discovery.placement,
                progress,
                |share, _| DiscoveryWorkload::new(discovery, root, share),
            )
        }
        Work::FanOut(fan_out) => run(fan_out::NAMES, fan_out::PRIMARY, 1).go(
            fan_out.watchers + 1,
            fan_out.placement,
            progress,
            |share, _| FanOutWorkload::new(fan_out, root, share),
        ),
        Work::ConnectStorm(storm) => run(storm::NAMES, storm::PRIMARY, 1).go(
            storm.sessions,
            storm.placement,
            progress,
            |share, _| StormWorkload::new(share),
        ),
        Work::Churn(churn) => run(churn::NAMES, churn::PRIMARY, 1).go(
            churn.sessions,
            churn.placement,
            progress,
            |share, _| ChurnWorkload::new(churn, root, share),
        ),
    }
}

/// The parts of a run.
struct Run<'a> {
    target: &'a Target,
    definition: &'a Definition,
    /// Names of the workload's operations.
    names: &'static [&'static str],
    /// The operations that the workload is about.
    primary: &'a [&'static str],
    /// Sessions of each of the things that are divided among the threads.
    unit: u32,
}

impl Run<'_> {
    /// Divides `count` things among the threads and runs them all.
    fn go<W: Workload + Send>(
        &self,
        count: u32,
        placement: Placement,
        progress: &mut dyn FnMut(&Progress),
        make: impl Fn(Share, u64) -> W,
    ) -> Result<Measured, String> {
        let (slices, shared) = self.times();
        let threads = u32::try_from(self.target.threads).unwrap_or(u32::MAX).clamp(1, count);
        let (reports, reported) = mpsc::channel();
        let mut workers = Vec::new();
        for thread in 0..threads {
            let share = Share::of(count, thread, threads);
            let first = share.first * self.unit;
            let seats = (first..first + share.count * self.unit)
                .map(|session| seat(session, placement, &self.target.servers))
                .collect();
            let recorder = Recorder::new(self.names, self.primary, reports.clone());
            let workload = make(share, u64::from(thread) + 1);
            let reports: Sender<Report> = reports.clone();
            workers.push(Worker::new(workload, recorder, seats, shared.clone(), reports)?);
        }
        drop(reports);
        let (timeline, recorders) = thread::scope(|scope| {
            let running: Vec<_> =
                workers.into_iter().map(|worker| scope.spawn(|| worker.run())).collect();
            let timeline = self.follow(&reported, &shared, slices, running.len(), progress);
            let ended = running.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            (timeline, ended.collect::<Result<Vec<_>, _>>())
        });
        Ok(self.put_together(recorders?, timeline, shared.times.1))
    }

    /// The number of measured slices, and the state that the threads share.
    fn times(&self) -> (u32, Shared) {
        let slice = u64::from(self.definition.slice_ms) * 1_000_000;
        let slices = |seconds: f64| {
            let count = (seconds * 1000.0 / f64::from(self.definition.slice_ms)).ceil();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            let count = count as u32;
            count
        };
        let measured = slices(self.definition.seconds).max(1);
        let warm_up = u64::from(slices(self.definition.warm_up_s)) * slice;
        let shared = Shared {
            clock: Clock(Instant::now()),
            servers: self.target.for_sessions().into(),
            tls: self.target.tls.as_ref().map(|tls| tls.client.clone()),
            sessions: self.definition.work.sessions(),
            sessions_taken: Arc::new(AtomicU64::new(0)),
            load_from: Arc::new(AtomicU64::new(0)),
            times: (warm_up, u64::from(measured) * slice, slice),
        };
        (measured, shared)
    }

    /// Starts the load when all threads are ready, and merges their slices as they come.
    fn follow(
        &self,
        reported: &Receiver<Report>,
        shared: &Shared,
        slices: u32,
        threads: usize,
        progress: &mut dyn FnMut(&Progress),
    ) -> Vec<Slice> {
        let (mut ready, mut begun) = (0, 0);
        let mut timeline = Vec::new();
        let mut partial: BTreeMap<i64, (usize, RawSlice)> = BTreeMap::new();
        // The loop ends when no thread is left that could report.
        for report in reported {
            let own = match report {
                Report::Ready => {
                    ready += 1;
                    if ready == threads {
                        shared.load_from.store(shared.clock.now().max(1), Ordering::Release);
                    }
                    continue;
                }
                Report::Begun => {
                    begun += 1;
                    if begun == 1 {
                        let phase = Phase::Measuring;
                        progress(&Progress { phase, done: 0.0, slice: None, per_second: 0.0 });
                    }
                    continue;
                }
                Report::Slice(slice) => slice,
            };
            let number = own.number;
            let seen = match partial.get_mut(&number) {
                None => {
                    partial.insert(number, (1, own));
                    1
                }
                Some((seen, all)) => {
                    all.latencies.add(&own.latencies).expect("histograms of the same bounds");
                    all.errors += own.errors;
                    *seen += 1;
                    *seen
                }
            };
            if seen < threads {
                continue;
            }
            let (_, whole) = partial.remove(&number).expect("just put there");
            let slice = self.slice(&whole);
            let seconds = f64::from(self.definition.slice_ms) / 1000.0;
            let phase = if number < 0 { Phase::WarmingUp } else { Phase::Measuring };
            let done = match i32::try_from(number) {
                Ok(number) if number >= 0 => f64::from(number + 1) / f64::from(slices),
                _ => 0.0,
            };
            let per_second = float(slice.operations) / seconds;
            progress(&Progress { phase, done, slice: Some(slice), per_second });
            if number >= 0 {
                timeline.push(slice);
            }
        }
        timeline
    }

    fn slice(&self, raw: &RawSlice) -> Slice {
        let number = i32::try_from(raw.number).map_or(f64::MAX, f64::from);
        Slice {
            at_s: number * f64::from(self.definition.slice_ms) / 1000.0,
            operations: raw.latencies.len(),
            errors: raw.errors,
            p50_us: micros(raw.latencies.value_at_quantile(0.5)),
            p99_us: micros(raw.latencies.value_at_quantile(0.99)),
            max_us: micros(raw.latencies.max()),
        }
    }

    fn put_together(
        &self,
        recorders: Vec<Recorded>,
        timeline: Vec<Slice>,
        measured_ns: u64,
    ) -> Measured {
        let seconds = float(measured_ns) / NS_PER_SECOND;
        let threads = float(u64::try_from(recorders.len()).expect("64 bits"));
        let busy: u64 = recorders.iter().map(|recorder| recorder.busy_ns).sum();
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        let (mut sessions_lost, mut unsent) = (0, 0);
        let mut records = recorders.into_iter().map(|recorder| {
            for (name, count) in &recorder.errors {
                *errors.entry((*name).to_owned()).or_default() += count;
            }
            sessions_lost += recorder.sessions_lost;
            unsent += recorder.unsent;
            recorder.operations
        });
        let mut operations = records.next().expect("at least one thread");
        for others in records {
            for (all, own) in operations.iter_mut().zip(others) {
                all.latencies.add(&own.latencies).expect("histograms of the same bounds");
                all.in_window += own.in_window;
                all.errors += own.errors;
            }
        }
        let mut whole = OpRecord::default();
        let mut by_name = BTreeMap::new();
        for (name, record) in self.names.iter().zip(&operations) {
            if record.latencies.is_empty() && record.errors == 0 {
                continue;
            }
            by_name.insert((*name).to_owned(), op_result(record, seconds));
            if self.primary.contains(name) {
                whole.latencies.add(&record.latencies).expect("histograms of the same bounds");
                whole.in_window += record.in_window;
                whole.errors += record.errors;
            }
        }
        whole.errors += unsent;
        Measured {
            seconds,
            all: op_result(&whole, seconds),
            operations: by_name,
            errors,
            sessions_lost,
            timeline,
            generator_busy: float(busy) / float(measured_ns) / threads,
        }
    }
}

/// The server that a session connects to first.
fn seat(session: u32, placement: Placement, servers: &[SocketAddr]) -> usize {
    let session = usize::try_from(session).expect("64 bits");
    match placement {
        Placement::Leader => 0,
        Placement::Follower if servers.len() > 1 => 1 + session % (servers.len() - 1),
        Placement::Spread | Placement::Follower => session % servers.len(),
    }
}

/// Raises the limit of open files to what `sessions` sessions need.
pub fn allow_files(sessions: u64) -> Result<(), String> {
    let needed = sessions + OTHER_FILES;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let allowed = limit.maximum;
    // Only root may go above the hard limit.
    limit.maximum = limit.maximum.map(|maximum| maximum.max(needed));
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|error| {
        format!(
            "{sessions} sessions need {needed} open files, and this process may have {}: {error}; \
             raise the limit with `ulimit -Hn {needed}` as root",
            allowed.unwrap_or_default()
        )
    })
}

fn op_result(record: &OpRecord, seconds: f64) -> OpResult {
    OpResult::of(&record.latencies, record.errors, record.in_window, seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_sit_where_their_placement_says() {
        let servers: Vec<SocketAddr> =
            (1..=3).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let seats = |placement| -> Vec<usize> {
            (0..5).map(|session| seat(session, placement, &servers)).collect()
        };
        assert_eq!(seats(Placement::Leader), [0, 0, 0, 0, 0]);
        assert_eq!(seats(Placement::Spread), [0, 1, 2, 0, 1]);
        assert_eq!(seats(Placement::Follower), [1, 2, 1, 2, 1]);
        assert_eq!(seat(7, Placement::Follower, &servers[..1]), 0);
    }
}
