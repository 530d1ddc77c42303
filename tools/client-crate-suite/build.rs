//! Finds the test suite in the source of the zookeeper-client crate that cargo has downloaded.

use std::env;
use std::process::Command;

fn main() {
    let cargo = env::var("CARGO").expect("cargo sets it");
    let platform = env::var("TARGET").expect("cargo sets it");
    // Cargo has downloaded what this platform needs. Without the filter it would look for the crates of all the others,
    // which a fresh machine does not have.
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &platform])
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("JSON");
    let end = text.find("zookeeper-client-0.11.2/Cargo.toml").expect("the crate is a dependency");
    let folder = text[..end].rfind('"').map(|quote| &text[quote + 1..end]).expect("a path");
    println!("cargo:rustc-env=SUITE={folder}zookeeper-client-0.11.2/tests/zookeeper.rs");
    println!("cargo:rerun-if-changed=build.rs");
}
