//! Runs the committed corpus of each fuzz target once, without a fuzzer and with the ordinary compiler.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use targets::meter::Counting;
use targets::seeds::{self, Seeds};

// Some targets measure the memory of what they run.
#[global_allocator]
static COUNTING: Counting = Counting;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Compares the hand-made seeds with the committed files, then runs every file of the corpus.
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
fn the_corpus_of_quorum_port_passes() {
    run("quorum_port", seeds::quorum_port(), targets::quorum_port::run);
}

#[test]
fn the_corpus_of_tls_dialled_passes() {
    run("tls_dialled", targets::tls_dialled::seeds(), targets::tls_dialled::run);
}

#[test]
fn the_corpus_of_tls_records_passes() {
    run("tls_records", targets::tls_records::seeds(), targets::tls_records::run);
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
fn the_corpus_of_quorum_login_passes() {
    run("quorum_login", targets::quorum_login::seeds(), targets::quorum_login::run);
}

#[test]
fn the_corpus_of_sasl_passes() {
    run("sasl", targets::sasl::seeds(), targets::sasl::run);
}

#[test]
fn the_corpus_of_client_passes() {
    run("client", seeds::client(), targets::client::run);
}

#[test]
fn the_corpus_of_amplification_passes() {
    run("amplification", seeds::amplification(), targets::amplification::run);
}

#[test]
fn the_corpus_of_impossible_passes() {
    run("impossible", seeds::impossible(), targets::impossible::run);
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

#[test]
fn the_corpus_of_stores_passes() {
    run("stores", targets::stores::seeds(), targets::stores::run);
}

/// Runs one given input, or a folder of inputs:
/// `FUZZ_TARGET=client FUZZ_INPUT=crash-… cargo test --test fuzz_corpus`.
#[test]
fn an_input_named_in_the_environment_passes() {
    let (Ok(target), Ok(file)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_INPUT")) else {
        return;
    };
    if Path::new(&file).is_dir() {
        for entry in fs::read_dir(&file).unwrap() {
            let file = entry.unwrap().path();
            println!("{}", file.display());
            run_one(&target, &fs::read(file).unwrap());
        }
        return;
    }
    run_one(&target, &fs::read(file).unwrap());
}

/// Runs random bytes, on a machine without a fuzzing engine: `FUZZ_TARGET=client FUZZ_RANDOM=100000 cargo test
/// --test fuzz_corpus random`. A failure names the file to which it has written the input.
#[test]
fn random_inputs_pass_as_many_as_the_environment_says() {
    let (Ok(target), Ok(count)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_RANDOM"))
    else {
        return;
    };
    let count: u64 = count.parse().unwrap();
    let seed: u64 = std::env::var("FUZZ_SEED").map_or(1, |seed| seed.parse().unwrap());
    let file =
        std::env::temp_dir().join(format!("ringkeeper-fuzz-{target}-{}", std::process::id()));
    println!("what fails lies in {}", file.display());
    // splitmix64
    let mut state = seed;
    let mut random = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for _ in 0..count {
        let length = usize::try_from(random() % 1500).unwrap();
        let bytes: Vec<u8> = (0..length).map(|_| random().to_be_bytes()[0]).collect();
        fs::write(&file, &bytes).unwrap();
        run_one(&target, &bytes);
    }
    fs::remove_file(file).unwrap();
}

fn run_one(target: &str, bytes: &[u8]) {
    match target {
        "amplification" => targets::amplification::run(bytes),
        "client" => targets::client::run(bytes),
        "config" => targets::config::run(bytes),
        "election" => targets::election::run(bytes),
        "impossible" => targets::impossible::run(bytes),
        "quorum_login" => targets::quorum_login::run(bytes),
        "quorum_packet" => targets::quorum_packet::run(bytes),
        "quorum_port" => targets::quorum_port::run(bytes),
        "sasl" => targets::sasl::run(bytes),
        "snapshot_load" => targets::snapshot_load::run(bytes),
        "snapshot_stream" => targets::snapshot_stream::run(bytes),
        "stores" => targets::stores::run(bytes),
        "tls_dialled" => targets::tls_dialled::run(bytes),
        "tls_records" => targets::tls_records::run(bytes),
        "tree_model" => targets::tree_model::run(bytes),
        "txnlog_replay" => targets::txnlog_replay::run(bytes),
        other => panic!("no target {other}"),
    }
}
