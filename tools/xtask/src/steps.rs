//! Lists of checks, and how a list runs: every step runs even if one before it fails, and a table of
//! results comes last, also when the run is cut off.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{deny, setup};

/// One check.
pub struct Step {
    pub name: &'static str,
    pub what: What,
    /// Set for the step's processes.
    pub environment: &'static [(&'static str, &'static str)],
    pub beside: Beside,
}

/// What a step runs.
pub enum What {
    /// Arguments of cargo.
    Cargo(&'static [&'static str]),
    /// The installation of what the tests need, in this process.
    Setup,
    /// What is known of the dependencies.
    Deny,
}

/// What else the machine does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// As many threads as this that never stop computing, while the step itself runs at low
    /// priority.
    BusyLoops(u32),
}

/// The niceness of a step beside busy loops: it gets about a third of what a busy loop gets.
const LOW_PRIORITY: &str = "5";

/// How often a running step is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long the processes of a step that is cut off may take to end before they are killed.
const END_PATIENCE: Duration = Duration::from_secs(5);

impl Step {
    /// A step that runs cargo with these arguments, alone on the machine.
    pub const fn cargo(name: &'static str, arguments: &'static [&'static str]) -> Step {
        Step { name, what: What::Cargo(arguments), environment: &[], beside: Beside::Nothing }
    }

    /// The step with these variables set.
    pub const fn with(self, environment: &'static [(&'static str, &'static str)]) -> Step {
        Step { environment, ..self }
    }

    /// The step at low priority beside busy loops.
    pub const fn beside_busy_loops(self, count: u32) -> Step {
        Step { beside: Beside::BusyLoops(count), ..self }
    }
}

/// Prints the steps and what they run.
pub fn list(steps: &[Step]) {
    for step in steps {
        println!("{:<12} {}", step.name, step.describe());
    }
}

/// Runs the named steps, or all of them if none is named, for `limit` at most.
///
/// # Errors
/// A step failed or did not run, or a name is unknown; the text says which.
pub fn run(steps: &[Step], names: &[String], limit: Duration) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| steps.iter().all(|step| step.name != **name)) {
        return Err(format!("no step is called {unknown:?}; --list names them"));
    }
    let cut_off = watch_signals().map_err(|error| format!("cannot watch signals: {error}"))?;
    let deadline = Instant::now() + limit;

    let mut results: Vec<(&Step, Duration, Outcome)> = Vec::new();
    for step in
        steps.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name))
    {
        let begun = Instant::now();
        let outcome = if results.iter().any(|(.., outcome)| outcome.ends_the_run()) {
            Outcome::NotRun
        } else {
            println!("\n==> {}: {}", step.name, step.describe());
            step.run(&cut_off, deadline)
        };
        if outcome != Outcome::NotRun {
            println!(
                "==> {}: {} after {:.0} s",
                step.name,
                outcome.describe(),
                begun.elapsed().as_secs_f64()
            );
        }
        results.push((step, begun.elapsed(), outcome));
    }

    println!("\n{:<12} {:>9}  result", "step", "seconds");
    for (step, took, outcome) in &results {
        println!("{:<12} {:>9.1}  {}", step.name, took.as_secs_f64(), outcome.describe());
    }
    let total: Duration = results.iter().map(|(_, took, _)| *took).sum();
    println!("{:<12} {:>9.1}", "together", total.as_secs_f64());
    let failed: Vec<&str> = results
        .iter()
        .filter(|(.., outcome)| *outcome != Outcome::Passed)
        .map(|(step, ..)| step.name)
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("\nnot passed: {}", failed.join(", "))) }
}

/// What became of a step.
#[derive(Clone, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    /// A signal told this process to end.
    CutOff,
    /// The whole list ran longer than it may.
    TooLong,
    /// An earlier step ended the run.
    NotRun,
}

impl Outcome {
    fn describe(&self) -> String {
        match self {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed(why) => format!("FAILED ({why})"),
            Outcome::CutOff => "CUT OFF by a signal".to_owned(),
            Outcome::TooLong => "CUT OFF: the run takes longer than it may".to_owned(),
            Outcome::NotRun => "did not run".to_owned(),
        }
    }

    fn ends_the_run(&self) -> bool {
        matches!(self, Outcome::CutOff | Outcome::TooLong)
    }
}

/// A flag that is set once SIGINT, SIGTERM or SIGHUP arrives.
fn watch_signals() -> std::io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

impl Step {
    fn run(&self, cut_off: &AtomicBool, deadline: Instant) -> Outcome {
        match self.what {
            What::Setup => done(setup::run()),
            What::Deny => done(deny::check()),
            What::Cargo(arguments) => {
                let _load = Load::start(self.beside);
                self.run_cargo(arguments, cut_off, deadline)
            }
        }
    }

    fn run_cargo(&self, arguments: &[&str], cut_off: &AtomicBool, deadline: Instant) -> Outcome {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = match self.beside {
            Beside::Nothing => Command::new(cargo),
            Beside::BusyLoops(_) => {
                let mut command = Command::new("nice");
                command.args(["-n", LOW_PRIORITY]).arg(cargo);
                command
            }
        };
        command
            .args(arguments)
            .envs(self.environment.iter().copied())
            .current_dir(workspace_root())
            .stdin(Stdio::null())
            // A group of its own, so that what is cut off ends with all of its processes.
            .process_group(0);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Outcome::Failed(format!("cannot run cargo: {error}")),
        };
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return judge(status),
                Ok(None) => {}
                Err(error) => return Outcome::Failed(format!("cannot wait for cargo: {error}")),
            }
            let outcome = if cut_off.load(Ordering::Relaxed) {
                Outcome::CutOff
            } else if Instant::now() >= deadline {
                Outcome::TooLong
            } else {
                thread::sleep(POLL_INTERVAL);
                continue;
            };
            end(&mut child);
            return outcome;
        }
    }

    fn describe(&self) -> String {
        match self.what {
            What::Setup => "cargo xtask setup".to_owned(),
            What::Deny => "cargo xtask deny".to_owned(),
            What::Cargo(arguments) => {
                let mut words: Vec<String> = self
                    .environment
                    .iter()
                    .map(|(name, value)| format!("{name}='{value}'"))
                    .collect();
                if let Beside::BusyLoops(count) = self.beside {
                    words.insert(0, format!("(beside {count} busy loops) nice -n {LOW_PRIORITY}"));
                }
                words.push("cargo".to_owned());
                words.extend(
                    arguments.iter().map(|word| {
                        if *word == "*" { "'*'".to_owned() } else { (*word).to_owned() }
                    }),
                );
                words.join(" ")
            }
        }
    }
}

fn done(result: Result<(), String>) -> Outcome {
    result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
}

fn judge(status: ExitStatus) -> Outcome {
    if status.success() { Outcome::Passed } else { Outcome::Failed(status.to_string()) }
}

/// Ends a step's processes: asks first, then kills.
fn end(child: &mut std::process::Child) {
    let group = Pid::from_child(child);
    // The group may be gone already.
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < END_PATIENCE {
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// Threads that compute until this value is dropped.
struct Load(Arc<AtomicBool>);

impl Load {
    fn start(beside: Beside) -> Load {
        let over = Arc::new(AtomicBool::new(false));
        let count = match beside {
            Beside::Nothing => 0,
            Beside::BusyLoops(count) => count,
        };
        for _ in 0..count {
            let over = over.clone();
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::black_box(0);
                }
            });
        }
        Load(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this package lies in tools/xtask")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_does_not_keep_the_next_one_from_running() {
        const STEPS: &[Step] =
            &[Step::cargo("bad", &["no-such-subcommand"]), Step::cargo("good", &["--version"])];
        let outcome = run(STEPS, &[], Duration::from_secs(60));
        assert_eq!(outcome, Err("\nnot passed: bad".to_owned()));
    }

    #[test]
    fn a_run_that_takes_too_long_ends_and_names_what_did_not_run() {
        const STEPS: &[Step] =
            &[Step::cargo("long", &["--version"]), Step::cargo("next", &["--version"])];
        let outcome = run(STEPS, &[], Duration::ZERO);
        assert!(outcome.is_err_and(|why| why.contains("next")));
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let steps = [Step::cargo("fmt", &["--version"])];
        let outcome = run(&steps, &["fmd".to_owned()], Duration::from_secs(1));
        assert_eq!(outcome, Err("no step is called \"fmd\"; --list names them".to_owned()));
    }
}
