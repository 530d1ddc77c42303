//! Programs side by side: each has its turn on fresh folders of the same disk, round by round.
//!
//! A machine's speed drifts from minute to minute, so a figure alone says little. Each round gives every program one
//! turn and measures the floor beside them; the ratio of two turns of one round counts. Odd and even rounds go
//! through the programs in opposite directions, because a program that always came second would always meet a
//! warmer, fuller disk.

use std::path::PathBuf;
use std::time::Duration;

use crate::definition::Definition;
use crate::null_server;
use crate::output::Output;
use crate::peers::Launch;
use crate::progress::Narrator;
use crate::result::Line;
use crate::turn::{Job, Turn};

/// The parameter of ladders that means the size of the ensemble.
const SERVERS: &str = "servers";
const FLOOR_SECONDS: f64 = 2.0;

/// What is compared, and how.
#[derive(Debug)]
pub struct Plan {
    /// The programs.
    pub launches: Vec<Launch>,
    /// The workloads, each with the sizes of ensembles to run it on.
    pub workloads: Vec<(Definition, Vec<usize>)>,
    /// How often each program has its turn.
    pub rounds: u32,
    /// Threads of the generator, over which the sessions are divided.
    pub threads: usize,
    /// Load on each program before its first workload.
    pub warm_up: Duration,
    /// Where the servers have their folders.
    pub folder: PathBuf,
}

/// Compares, and keeps each line in `output` when it is known.
///
/// A workload that fails is reported and left out; the others go on. So is a program that does not start, if it started
/// before.
///
/// # Errors
/// A program does not start at all, the results cannot be written, or the floor cannot be measured.
pub fn run(plan: &Plan, output: &mut Output, narrator: &mut Narrator) -> Result<(), String> {
    let mut comparison = Comparison { plan, output, narrator };
    let mut sizes: Vec<usize> =
        plan.workloads.iter().flat_map(|(_, servers)| servers.iter().copied()).collect();
    sizes.sort_unstable();
    sizes.dedup();
    for round in 1..=plan.rounds {
        let floor = null_server::floor(&plan.folder, FLOOR_SECONDS, round)
            .map_err(|error| format!("the floor: {error}"))?;
        comparison.keep(Line::Floor(floor))?;
        for servers in &sizes {
            let mut launches: Vec<&Launch> = plan.launches.iter().collect();
            if round % 2 == 0 {
                launches.reverse();
            }
            for launch in launches {
                comparison.turn(launch, *servers, round)?;
            }
        }
    }
    Ok(())
}

struct Comparison<'a> {
    plan: &'a Plan,
    output: &'a mut Output,
    narrator: &'a mut Narrator,
}

impl Comparison<'_> {
    /// One program's turn at all workloads.
    fn turn(&mut self, launch: &Launch, servers: usize, round: u32) -> Result<(), String> {
        let mut turn: Option<Turn<'_>> = None;
        let mut before: Option<&Definition> = None;
        for job in self.plan.jobs(servers) {
            let title = &job.definition.title;
            if before.is_some_and(|before| want_other_servers(before, job.definition)) {
                turn = None;
            }
            before = Some(job.definition);
            let mut begun = match turn.take() {
                Some(turn) => turn,
                None => {
                    let size = if servers == 1 { String::new() } else { format!(" × {servers}") };
                    let commit = launch.commit.as_ref().map(|commit| format!(" {commit}"));
                    let who = format!("{}{}{size}", launch.name, commit.unwrap_or_default());
                    self.narrator.say(&format!("round {round}: {who}"));
                    let Plan { threads, warm_up, folder, .. } = self.plan;
                    match Turn::begin(launch, servers, round, *threads, *warm_up, folder) {
                        Ok(turn) => turn,
                        Err(why) if self.has_run(launch) => {
                            self.narrator.miss(title, &launch.name, &why);
                            continue;
                        }
                        Err(why) => return Err(why),
                    }
                }
            };
            match begun.run(&job, &mut |progress| self.narrator.show(title, progress)) {
                Ok(mut row) => {
                    if is_servers_ladder(job.definition) {
                        row.step = Some((SERVERS.to_owned(), as_u64(servers)));
                    }
                    self.keep(Line::Row(row))?;
                    turn = Some(begun);
                }
                // The next workload gets fresh servers, because these may still be busy with the failed one.
                Err(why) => self.narrator.miss(title, &launch.name, &why),
            }
        }
        Ok(())
    }

    /// Whether the program has a row of results. Then no mistake on the command line keeps it from starting.
    fn has_run(&self, launch: &Launch) -> bool {
        self.output.lines().iter().any(|line| {
            matches!(line, Line::Row(row) if row.program == launch.name && row.commit == launch.commit)
        })
    }

    fn keep(&mut self, line: Line) -> Result<(), String> {
        self.narrator.tell(&line);
        self.output.keep(line)
    }
}

impl Plan {
    /// The workloads and steps that run on ensembles of this size.
    fn jobs(&self, servers: usize) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        for (definition, sizes) in &self.workloads {
            if !sizes.contains(&servers) {
                continue;
            }
            match &definition.step {
                Some(steps) if !is_servers_ladder(definition) => {
                    jobs.extend(
                        steps.values.iter().map(|step| Job { definition, step: Some(*step) }),
                    );
                }
                Some(_) | None => jobs.push(Job { definition, step: None }),
            }
        }
        jobs
    }
}

/// Whether a workload must not get the servers that another one leaves.
fn want_other_servers(before: &Definition, next: &Definition) -> bool {
    before.name != next.name && (before.fresh || next.fresh)
}

/// The sizes of ensembles that a workload is to run on: those that it names, or the steps of a ladder over sizes. If
/// `wanted` is not empty, only the sizes in it.
pub fn sizes(definition: &Definition, wanted: &[usize]) -> Vec<usize> {
    let named: Vec<usize> = match &definition.step {
        Some(steps) if is_servers_ladder(definition) => {
            steps.values.iter().filter_map(|value| usize::try_from(*value).ok()).collect()
        }
        Some(_) | None => definition.servers.clone(),
    };
    named.into_iter().filter(|size| wanted.is_empty() || wanted.contains(size)).collect()
}

fn is_servers_ladder(definition: &Definition) -> bool {
    definition.step.as_ref().is_some_and(|steps| steps.parameter == SERVERS)
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).expect("a usize is at most 64 bits")
}

#[cfg(test)]
mod tests {
    use crate::definition::Operations;
    use crate::null_server;

    use super::*;

    #[test]
    fn only_another_workload_wants_other_servers_and_only_beside_a_fresh_one() {
        let definition = |name: &str, fresh| {
            let operations = Operations { get: 1, ..Operations::default() };
            let workload = null_server::workload(name, 1, 1, operations);
            Definition { name: name.to_owned(), fresh, ..workload }
        };
        let plain = |name| definition(name, false);
        let fresh = |name| definition(name, true);
        assert!(!want_other_servers(&plain("a"), &plain("b")));
        assert!(!want_other_servers(&fresh("a"), &fresh("a")), "steps of one ladder");
        assert!(want_other_servers(&fresh("a"), &plain("b")));
        assert!(want_other_servers(&plain("a"), &fresh("b")));
    }
}
