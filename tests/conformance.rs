//! Ringkeeper and Apache ZooKeeper 3.9.4 get the same random operations, and must give the same answers.
//!
//! Together these tests send more than 100,000 operations to each server. `cargo run -p ringkeeper-conformance --
//! --help` says how to run longer, with other seeds, and how to repeat a failure.
//!
//! `RINGKEEPER_TEST_PEER=java` compares ZooKeeper with a second ZooKeeper, which shows the differences that the
//! comparison itself causes. `RINGKEEPER_CONFORMANCE_SEED` chooses another seed.

use std::env;

use ringkeeper_conformance::{PROFILES, Plan, Profile, Verdict, run_plan, timers};
use ringkeeper_testkit::Program;

const STEPS: usize = 9_000;
/// The least number of requests in [`STEPS`]; a pipeline counts each of its requests. Nine profiles make more than
/// 100,000.
const OPERATIONS_MIN: usize = 12_600;
/// The quota profile has no pipelines, so it takes more steps.
const STEPS_WITHOUT_PIPELINES: usize = 12_700;

#[test]
fn plain_options() {
    random("plain", STEPS);
}

#[test]
fn extended_types() {
    random("extended", STEPS);
}

#[test]
fn no_acl_checks() {
    random("skip-acl", STEPS);
}

#[test]
fn hard_quotas() {
    random("quota", STEPS_WITHOUT_PIPELINES);
}

#[test]
fn local_sessions() {
    random("local-sessions", STEPS);
}

#[test]
fn sha_256_digests() {
    random("sha-256", STEPS);
}

#[test]
fn small_frames() {
    random("small-frames", STEPS);
}

#[test]
fn enforced_authentication() {
    random("enforce-auth", STEPS);
}

#[test]
fn no_data_tree_digests() {
    random("no-digest", STEPS);
}

#[test]
fn expiry_containers_and_ttl() {
    check(&timers());
}

fn random(profile: &str, steps: usize) {
    let first = env::var("RINGKEEPER_CONFORMANCE_SEED")
        .map_or(20_261, |seed| seed.parse().expect("RINGKEEPER_CONFORMANCE_SEED is a number"));
    // Each test has another plan.
    let place = PROFILES.iter().position(|other| other.name == profile);
    let seed: u64 = first + u64::try_from(place.expect("a profile of this name")).expect("64 bits");
    let profile = Profile::named(profile).expect("a profile of this name");
    let operations = check(&Plan::random(profile, seed, steps));
    assert!(operations >= OPERATIONS_MIN, "only {operations} operations");
}

fn check(plan: &Plan) -> usize {
    let peer = match env::var("RINGKEEPER_TEST_PEER").as_deref() {
        Ok("java") => Program::ZooKeeper39,
        Ok(binary) => Program::Ringkeeper(binary.into()),
        Err(_) => Program::Ringkeeper(env!("CARGO_BIN_EXE_ringkeeper").into()),
    };
    match run_plan(plan, &[Program::ZooKeeper39, peer]) {
        Verdict::Same { operations, nodes } => {
            println!("{operations} operations, {nodes} nodes at the end");
            operations
        }
        Verdict::Different(difference) => panic!("{difference}"),
    }
}
