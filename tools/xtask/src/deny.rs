//! What is known of the crates that we build with: licences, sources, advisories. `cargo deny` judges by
//! `.cargo/deny.toml`, and reaches no network: the advisories lie in `advisories/`, those of the RustSec database
//! about crates of our lock files. A crate that came after they were taken is noticed, not passed over.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringkeeper_testkit::Environment;

use crate::steps::workspace_root;

const VERSION: &str = "0.20.2";
const MANIFESTS: [&str; 3] =
    ["Cargo.toml", "fuzz/Cargo.toml", "tools/client-crate-suite/Cargo.toml"];
/// Where `.cargo/deny.toml` has the database (`db-path`), and what cargo-deny calls the checkout of
/// `https://github.com/rustsec/advisory-db` there.
const DATABASE: &str = "target/advisories/advisory-db-3157b0e258782691";
/// Our part of it, and the crates about which it holds all that was known.
const ADVISORIES: &str = "tools/xtask/advisories";
const NAMES: &str = "names.txt";

/// Installs cargo-deny if it is missing, and runs it.
///
/// # Errors
/// What is missing, or that it found something; it prints what.
pub fn check() -> Result<(), String> {
    let known = read(&workspace_root().join(ADVISORIES).join(NAMES))?;
    let known: BTreeSet<&str> = known.lines().filter(|line| !line.starts_with('#')).collect();
    let crates = crates()?;
    let new: Vec<&str> =
        crates.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if !new.is_empty() {
        return Err(format!(
            "{ADVISORIES} was made without these crates: {}. Clone \
             https://github.com/rustsec/advisory-db and run: cargo xtask advisories <clone>",
            new.join(", ")
        ));
    }
    make_database()?;
    let program = program()?;
    for manifest in MANIFESTS {
        // What other systems need is looked at as well.
        run(Command::new("cargo").args(["fetch", "--locked", "--manifest-path", manifest]))?;
        let arguments = ["--offline", "--config", ".cargo/deny.toml", "--manifest-path", manifest];
        run(Command::new(&program).args(arguments).arg("check"))?;
    }
    Ok(())
}

/// Takes over what a clone of the RustSec database says of our crates.
///
/// # Errors
/// What could not be read or written.
pub fn take_over(clone: &Path) -> Result<(), String> {
    let to = workspace_root().join(ADVISORIES);
    let _ = fs::remove_dir_all(to.join("crates"));
    let crates = crates()?;
    let mut taken = 0;
    for name in &crates {
        let from = clone.join("crates").join(name);
        if from.is_dir() {
            taken += copy_tree(&from, &to.join("crates").join(name))?;
        }
    }
    let log = ["log", "-1", "--date=short", "--format=%H of %cd"];
    let log = Command::new("git").arg("-C").arg(clone).args(log).output().map_err(text)?;
    let commit = String::from_utf8_lossy(&log.stdout);
    let commit = commit.trim();
    let names: Vec<&str> = crates.iter().map(String::as_str).collect();
    let list = format!(
        "# All that https://github.com/rustsec/advisory-db said of these crates in its commit\n# {commit}.\n{}\n",
        names.join("\n")
    );
    fs::write(to.join(NAMES), list).map_err(text)?;
    println!("{taken} advisories about {} crates, from {commit}", crates.len());
    Ok(())
}

/// The names of all crates that a lock file mentions.
fn crates() -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for manifest in MANIFESTS {
        let lock = read(&workspace_root().join(manifest).with_file_name("Cargo.lock"))?;
        let names_in = lock.lines().filter_map(|line| line.strip_prefix("name = \""));
        names.extend(names_in.map(|name| name.trim_end_matches('"').to_owned()));
    }
    Ok(names)
}

/// The database as cargo-deny wants it: a git repository that was fetched from another one.
fn make_database() -> Result<(), String> {
    let clone = workspace_root().join(DATABASE);
    let origin = clone.with_file_name("origin");
    let _ = fs::remove_dir_all(clone.with_file_name(""));
    copy_tree(&workspace_root().join(ADVISORIES), &origin)?;
    let git = |at: &Path, arguments: &[&str]| {
        let who = ["-c", "user.name=ringkeeper", "-c", "user.email=ringkeeper@localhost"];
        run(Command::new("git").arg("-C").arg(at).args(who).args(arguments))
    };
    git(&origin, &["init", "--quiet"])?;
    git(&origin, &["add", "--all", "--force"])?;
    git(&origin, &["commit", "--quiet", "--message", "advisories"])?;
    let clone_words = ["clone", "--quiet", "origin"];
    let name = clone.file_name().and_then(|name| name.to_str()).expect("the constant has a name");
    git(&clone.with_file_name(""), &[&clone_words[..], &[name]].concat())?;
    git(&clone, &["fetch", "--quiet"])
}

/// Where cargo-deny is.
fn program() -> Result<PathBuf, String> {
    let tools = Environment::place().folder().join(format!("cargo-deny-{VERSION}"));
    let program = tools.join("bin/cargo-deny");
    let is_there = |program: &Path| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION))
    };
    let in_path = PathBuf::from("cargo-deny");
    if is_there(&in_path) {
        return Ok(in_path);
    }
    if !is_there(&program) {
        println!("building cargo-deny {VERSION}, once; it takes some minutes");
        let install = ["install", "--locked", "cargo-deny", "--version", VERSION, "--root"];
        run(Command::new("cargo").args(install).arg(&tools))?;
    }
    Ok(program)
}

/// Copies files and folders; how many files.
fn copy_tree(from: &Path, to: &Path) -> Result<u32, String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let mut files = 0;
    for entry in fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))? {
        let entry = entry.map_err(text)?;
        let to = to.join(entry.file_name());
        if entry.file_type().map_err(text)?.is_dir() {
            files += copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to).map_err(text)?;
            files += 1;
        }
    }
    Ok(files)
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.current_dir(workspace_root()).status();
    let status = status
        .map_err(|error| format!("cannot run {}: {error}", command.get_program().display()))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{} ends with {status}", command.get_program().display()))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
