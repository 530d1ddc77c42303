//! The committed corpus of each fuzz target, run once on the compiler of every day.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use targets::seeds::{self, Seeds};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Holds the hand-made seeds against the committed files, then runs every file of the corpus.
fn run(target: &str, seeds: Seeds, body: fn(&[u8])) {
    let folder = folder(target);
    let update = std::env::var_os("UPDATE_SEEDS").is_some();
    if update {
        fs::create_dir_all(&folder).expect("a folder for the corpus");
    }
    for (name, bytes) in seeds {
        let file = folder.join(name);
        if update {
            fs::write(&file, &bytes).expect("a file of the corpus");
        }
        let committed = fs::read(&file).unwrap_or_default();
        assert!(committed == bytes, "{} is not what the seed says", file.display());
    }
    let entries = fs::read_dir(&folder).expect("the corpus is committed");
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    files.sort();
    for file in &files {
        println!("{}", file.display()); // the last line printed names what failed
        body(&fs::read(file).expect("a file of the corpus"));
    }
}

#[test]
fn the_corpus_of_quorum_packet_passes() {
    run("quorum_packet", seeds::quorum_packet(), targets::quorum_packet::run);
}

#[test]
fn the_corpus_of_election_passes() {
    run("election", seeds::election(), targets::election::run);
}

#[test]
fn the_corpus_of_txnlog_replay_passes() {
    run("txnlog_replay", seeds::txnlog_replay(), targets::txnlog_replay::run);
}

#[test]
fn the_corpus_of_config_passes() {
    run("config", seeds::config(), targets::config::run);
}

#[test]
fn the_corpus_of_client_passes() {
    run("client", seeds::client(), targets::client::run);
}

#[test]
fn the_corpus_of_tree_model_passes() {
    run("tree_model", seeds::tree_model(), targets::tree_model::run);
}

#[test]
fn the_corpus_of_snapshot_load_passes() {
    run("snapshot_load", seeds::snapshot_load(), targets::snapshot_load::run);
}

#[test]
fn the_corpus_of_snapshot_stream_passes() {
    run("snapshot_stream", seeds::snapshot_stream(), targets::snapshot_stream::run);
}

/// Runs one input of one's own: `FUZZ_TARGET=client FUZZ_INPUT=crash-… cargo test --test fuzz_corpus`.
#[test]
fn an_input_named_in_the_environment_passes() {
    let (Ok(target), Ok(file)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_INPUT")) else {
        return;
    };
    let bytes = fs::read(file).unwrap();
    match target.as_str() {
        "client" => targets::client::run(&bytes),
        "config" => targets::config::run(&bytes),
        "election" => targets::election::run(&bytes),
        "quorum_packet" => targets::quorum_packet::run(&bytes),
        "snapshot_load" => targets::snapshot_load::run(&bytes),
        "snapshot_stream" => targets::snapshot_stream::run(&bytes),
        "tree_model" => targets::tree_model::run(&bytes),
        "txnlog_replay" => targets::txnlog_replay::run(&bytes),
        other => panic!("no target {other}"),
    }
}
