//! An ensemble of three Ringkeeper servers and one of three Apache ZooKeeper 3.9.4 servers get the same random
//! operations, each client on another member, and must give the same answers.

use std::env;
use std::time::Instant;

use ringkeeper_conformance::{PROFILES, Plan, Verdict, run_plan_on_ensembles};
use ringkeeper_testkit::Program;

use crate::ground::{everything, ours, turn};

const STEPS: usize = 1_200;
const STEPS_OF_ALL: usize = 6_000;
/// The profiles of operations in a bounded run.
const CHOSEN: &[&str] = &["plain", "extended"];

/// With this profile, followers of Apache ZooKeeper stall (they never answer a sync), with or without Ringkeeper
/// servers.
const NOT_COMPARABLE: &str = "local-sessions";

#[test]
fn ensembles_answer_alike() {
    let _turn = turn();
    let first = env::var("RINGKEEPER_CONFORMANCE_SEED")
        .map_or(20_262, |seed| seed.parse().expect("RINGKEEPER_CONFORMANCE_SEED is a number"));
    for (place, profile) in (0_u64..).zip(PROFILES) {
        let comparable = !profile.by_name_only && profile.name != NOT_COMPARABLE;
        let wanted = comparable && (everything() || CHOSEN.contains(&profile.name));
        if !wanted {
            continue;
        }
        let begun = Instant::now();
        let steps = if everything() { STEPS_OF_ALL } else { STEPS };
        let plan = Plan::random_for_ensembles(profile, first + place, steps);
        match run_plan_on_ensembles(&plan, &[Program::ZooKeeper39, ours()]) {
            Verdict::Same { operations, nodes } => println!(
                "{}: {operations} operations, {nodes} nodes at the end, {:.1?}",
                profile.name,
                begun.elapsed()
            ),
            Verdict::Different(difference) => panic!("{}: {difference}", profile.name),
        }
    }
}
