//! `ringkeeper-bench run`: workloads on servers that are already there.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use crate::cli::places::Places;
use crate::definition::Definition;
use crate::engine::{self, Target};
use crate::header;
use crate::progress::{Narrator, summary};
use crate::result::{Line, Measured, Row};

/// Above this share of busy time, the threads of the generator may limit the figures.
const BUSY: f64 = 0.9;

/// What to run, and against whom.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Names of definitions, or files of your own; `ringkeeper-bench list` shows the names.
    #[arg(required = true, value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Client addresses of one server or of an ensemble, the leader's first.
    #[arg(long, required = true, value_name = "HOST:PORT,…", value_delimiter = ',', value_parser = resolve)]
    server: Vec<SocketAddr>,
    /// Only these steps of a ladder; all of them otherwise.
    #[arg(long, value_name = "VALUE,…", value_delimiter = ',')]
    step: Vec<u64>,
    /// How long to measure, instead of what the definitions say.
    #[arg(long)]
    seconds: Option<f64>,
    /// How long to run before that, instead of what the definitions say.
    #[arg(long)]
    warm_up_seconds: Option<f64>,
    /// Threads of the generator, over which the sessions are divided.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Leave the nodes that were made, below /bench-…, where they are.
    #[arg(long)]
    keep: bool,
    /// What the results call the program.
    #[arg(long, default_value = "the server")]
    program: String,
    #[command(flatten)]
    places: Places,
}

/// Runs each workload and each step of a ladder, and prints the measurements.
///
/// # Errors
/// A definition cannot be used, or a workload could not be prepared.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let definitions = arguments
        .workloads
        .iter()
        .map(|name| read(&arguments.places, name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut target = Target::new(arguments.server.clone());
    target.threads = arguments.threads;
    target.clean_up = !arguments.keep;
    let mut output = arguments.places.results.output()?;
    let here = Path::new(".");
    output.keep(Line::Run(header::collect(here, arguments.seconds.unwrap_or(0.0), 1)))?;
    let mut narrator = Narrator::default();
    for mut definition in definitions {
        definition.seconds = arguments.seconds.unwrap_or(definition.seconds);
        definition.warm_up_s = arguments.warm_up_seconds.unwrap_or(definition.warm_up_s);
        println!("{}: {}", definition.name, definition.title);
        for step in steps(&definition, &arguments.step)? {
            let at = match (&definition.step, step) {
                (Some(steps), Some(value)) => format!("  {} = {value}", steps.parameter),
                _ => String::new(),
            };
            if definition.beside.cpu_quota_percent.is_some() {
                return Err(format!(
                    "{}: only who starts the servers can give them a quota: `compare` does",
                    definition.name
                ));
            }
            let neighbours = definition.beside.begin(&[])?;
            let what = format!("{}{at}", definition.name);
            let measured = engine::run(&target, &definition, step, &mut |progress| {
                narrator.show(&what, progress);
            });
            narrator.end();
            drop(neighbours);
            let measured = measured?;
            print(&at, &measured);
            let step = definition.step.as_ref().zip(step);
            output.keep(Line::Row(Row {
                workload: definition.name.clone(),
                title: definition.title.clone(),
                program: arguments.program.clone(),
                commit: None,
                servers: target.servers.len(),
                round: 1,
                step: step.map(|(steps, value)| (steps.parameter.clone(), value)),
                measured,
                resources: None,
                load_average: header::load_average(),
            }))?;
        }
    }
    Ok(())
}

fn print(at: &str, measured: &Measured) {
    println!("  {:<22}{}", at.trim(), summary(&measured.all));
    if measured.operations.len() > 1 {
        for (name, result) in &measured.operations {
            println!("    {name:<20}{}", summary(result));
        }
    }
    for (name, count) in &measured.errors {
        println!("    {name}: {count}");
    }
    if measured.sessions_lost > 0 {
        println!("    sessions lost: {}", measured.sessions_lost);
    }
    if measured.generator_busy > BUSY {
        println!(
            "    the generator was busy for {:.0} % of the time: these may be its own limits; see \
             --threads",
            measured.generator_busy * 100.0
        );
    }
}

/// The steps to run: of the ladder's steps, those that were asked for; one run without a value if the definition is
/// no ladder.
fn steps(definition: &Definition, wanted: &[u64]) -> Result<Vec<Option<u64>>, String> {
    let Some(steps) = &definition.step else { return Ok(vec![None]) };
    if steps.parameter == "servers" {
        // The servers are there already.
        return Ok(vec![None]);
    }
    let mut values = steps.values.clone();
    values.retain(|value| wanted.is_empty() || wanted.contains(value));
    if values.is_empty() {
        return Err(format!("{}: --step must be among {:?}", definition.name, steps.values));
    }
    Ok(values.into_iter().map(Some).collect())
}

/// Reads a definition, by the name of a workload or of a file.
fn read(places: &Places, name: &str) -> Result<Definition, String> {
    let is_file = Path::new(name).extension().is_some_and(|extension| extension == "toml");
    if is_file { Definition::read(Path::new(name)) } else { places.definition(name) }
}

fn resolve(name: &str) -> Result<SocketAddr, String> {
    let mut found =
        name.to_socket_addrs().map_err(|error| format!("{error}; it is given as HOST:PORT"))?;
    found.next().ok_or_else(|| "the name has no address".to_owned())
}
