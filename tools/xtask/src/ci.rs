//! The checks that every change passes, as a table of steps. All of them run even if one fails; the
//! end is a table of results.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::setup;

struct Step {
    name: &'static str,
    what: What,
    /// Set for the step's processes.
    environment: &'static [(&'static str, &'static str)],
}

enum What {
    /// Arguments of cargo.
    Cargo(&'static [&'static str]),
    /// Run here.
    Setup,
}

/// Quick checks first. To add a step, add a row.
const STEPS: &[Step] = &[
    Step { name: "fmt", what: What::Cargo(&["fmt", "--all", "--check"]), environment: &[] },
    Step { name: "tidy", what: What::Cargo(&["test", "--test", "tidy"]), environment: &[] },
    Step {
        name: "clippy",
        what: What::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        environment: &[],
    },
    Step {
        name: "unit",
        what: What::Cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]),
        environment: &[],
    },
    Step { name: "setup", what: What::Setup, environment: &[] },
    // Every file of every `tests` folder: whole processes, real clients, comparison with ZooKeeper,
    // crashes.
    Step {
        name: "integration",
        what: What::Cargo(&["test", "--workspace", "--no-fail-fast", "--test", "*"]),
        environment: &[],
    },
    // Optimised, because it takes up to a thousand runs to find a bug.
    Step {
        name: "planted",
        what: What::Cargo(&[
            "test",
            "--profile",
            "sim",
            "-p",
            "ringkeeper-sim",
            "--features",
            "planted-bugs",
            "--test",
            "planted",
        ]),
        environment: &[],
    },
    Step {
        name: "doctest",
        what: What::Cargo(&["test", "--workspace", "--no-fail-fast", "--doc"]),
        environment: &[],
    },
    Step {
        name: "doc",
        what: What::Cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]),
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
    },
];

/// Prints the steps and what they run.
pub fn list() {
    for step in STEPS {
        println!("{:<12} {}", step.name, step.describe());
    }
}

/// Runs the named steps, or all of them if none is named.
///
/// # Errors
/// Which steps failed, or that a name is unknown.
pub fn run(names: &[String]) -> Result<(), String> {
    if let Some(unknown) = names.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        return Err(format!("no step is called {unknown:?}; `cargo xtask ci --list` names them"));
    }
    let chosen =
        STEPS.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name));

    let mut results: Vec<(&Step, Duration, Result<(), String>)> = Vec::new();
    for step in chosen {
        println!("\n==> {}: {}", step.name, step.describe());
        let begun = Instant::now();
        let result = step.run();
        if let Err(why) = &result {
            println!("==> {}: {why}", step.name);
        }
        results.push((step, begun.elapsed(), result));
    }

    println!("\n{:<12} {:>9}  result", "step", "seconds");
    for (step, took, result) in &results {
        println!(
            "{:<12} {:>9.1}  {}",
            step.name,
            took.as_secs_f64(),
            result.as_ref().map_or_else(|why| &why[..], |()| "ok")
        );
    }
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, _, result)| result.is_err())
        .map(|(step, ..)| step.name)
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("\nfailed: {}", failed.join(", "))) }
}

impl Step {
    fn run(&self) -> Result<(), String> {
        match self.what {
            What::Setup => setup::run(),
            What::Cargo(arguments) => {
                let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
                let status = Command::new(cargo)
                    .args(arguments)
                    .envs(self.environment.iter().copied())
                    .current_dir(workspace_root())
                    .stdin(Stdio::null())
                    .status()
                    .map_err(|error| format!("cannot run cargo: {error}"))?;
                if status.success() { Ok(()) } else { Err(format!("FAILED ({status})")) }
            }
        }
    }

    fn describe(&self) -> String {
        match self.what {
            What::Setup => "cargo xtask setup".to_owned(),
            What::Cargo(arguments) => {
                let mut words: Vec<String> = self
                    .environment
                    .iter()
                    .map(|(name, value)| format!("{name}='{value}'"))
                    .collect();
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

fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this package lies in tools/xtask")
}
