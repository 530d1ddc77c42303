//! `ringkeeper-bench core`: what ringkeeper's core does on one processor core when nothing is around it.

use std::time::Duration;

use crate::cli::judgement::{Judgement, conclude};
use crate::cli::places::Results;
use crate::header;
use crate::in_process::{Core, KINDS, Kind, per_second};
use crate::result::{CoreRow, Line};

/// Measures the replica of ringkeeper as it is built into this program: requests in, answers out, by
/// the processor time of one thread. No sockets, no disk, no load generator beside it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How often each kind of request has its turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds for each kind of request in each round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Only this kind of request, such as `getData`; may be given more than once. A goal that needs another is
    /// not judged.
    #[arg(long, value_name = "KIND")]
    only: Vec<String>,
    #[command(flatten)]
    results: Results,
    #[command(flatten)]
    judgement: Judgement,
}

/// Measures.
///
/// # Errors
/// A file cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { rounds, seconds, only, results, judgement } = arguments;
    let kinds = chosen(only)?;
    let goals = judgement.goals()?;
    let time =
        Duration::try_from_secs_f64(*seconds).map_err(|error| format!("--seconds: {error}"))?;
    let mut output = results.output()?;
    let header = header::collect(std::path::Path::new("."), *seconds, *rounds);
    output.line(&Line::Run(header))?;
    let mut lines = Vec::new();
    for round in 1..=*rounds {
        let mut core = Core::new();
        println!("round {round}");
        for kind in &kinds {
            let per_second = per_second(&mut core, kind, time);
            println!("  {:<24} {per_second:>12.0}/s", kind.name);
            let line = Line::Core(CoreRow { round, request: kind.name.to_owned(), per_second });
            output.line(&line)?;
            lines.push(line);
        }
    }
    conclude(&goals, &lines, &mut output)
}

/// The kinds of these names; all of them if there are none.
fn chosen(names: &[String]) -> Result<Vec<Kind>, String> {
    let all = || KINDS.iter().map(|kind| kind.name);
    if let Some(name) = names.iter().find(|name| all().all(|known| known != *name)) {
        let known: Vec<_> = all().collect();
        return Err(format!("--only: there is no \"{name}\"; there are: {}", known.join(", ")));
    }
    let is_chosen = |kind: &&Kind| names.is_empty() || names.iter().any(|name| name == kind.name);
    Ok(KINDS.iter().filter(is_chosen).copied().collect())
}
