//! kazoo, the Python client: its recipes in `kazoo_recipes.py`.

use std::process::Command;

use ringkeeper_testkit::{Config, Environment};

use crate::harness;

#[test]
fn kazoos_recipes_all_pass_on_one_core() {
    run_recipes(harness::ON_ONE_CORE);
}

#[test]
fn kazoos_recipes_all_pass_on_several_cores() {
    run_recipes(harness::ON_SEVERAL_CORES);
}

fn run_recipes(wiring: &str) {
    let server = harness::server_with(Config::new().line(wiring));
    let mut command = Command::new(Environment::found().python());
    command.arg("-u").arg(harness::sources().join("kazoo_recipes.py")).arg(server.address());
    let output = harness::run(command, "");
    println!("{output}");
    assert!(
        output.lines().filter(|line| line.starts_with("ok ")).count() >= 25,
        "recipes that ran:\n{output}"
    );
}
