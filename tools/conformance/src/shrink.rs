//! Shortens a plan on which the servers differ: takes out chunks of steps while a difference stays, each attempt on
//! fresh servers.

use ringkeeper_testkit::Program;

use crate::pair::{Difference, Verdict, run_plan};
use crate::plan::Plan;

/// Removes steps as long as the servers still differ in some way; at most `attempts_max` runs.
pub fn shrink(
    plan: &Plan,
    found: Difference,
    programs: &[Program; 2],
    attempts_max: usize,
) -> Difference {
    let mut kept: Vec<usize> = plan.steps.iter().map(|(number, _)| *number).collect();
    if let Some(step) = found.step {
        kept.retain(|number| *number <= step);
    }
    let mut best = found;
    let mut chunk = kept.len() / 2;
    let mut attempts = 0;
    while chunk > 0 && attempts < attempts_max {
        let mut start = 0;
        while start < kept.len() && attempts < attempts_max {
            let end = (start + chunk).min(kept.len());
            let without: Vec<usize> = kept[..start].iter().chain(&kept[end..]).copied().collect();
            attempts += 1;
            match run_plan(&plan.keeping(&without), programs) {
                Verdict::Different(difference) => {
                    kept = without;
                    if let Some(step) = difference.step {
                        kept.retain(|number| *number <= step);
                    }
                    best = *difference;
                    eprintln!("{} steps after {attempts} attempts", kept.len());
                }
                Verdict::Same { .. } => start = end,
            }
        }
        chunk /= 2;
    }
    best.command = plan.keeping(&kept).command();
    best
}
