//! The rules of the source tree that no compiler knows: layers, names that the core never uses, unused items,
//! headers, leftovers, and lengths. Each rule is a function from files to violations, which its file under
//! `tests/tidy` tests on planted violations. The exceptions to the rules stand here.
//!
//! The rules read Rust as a lexer does (comments, strings, code), and not as a compiler. That suffices for rules
//! about names, and needs no dependency.

#[path = "tidy/form.rs"]
mod form;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/lexer.rs"]
mod lexer;
#[path = "tidy/order.rs"]
mod order;
#[path = "tidy/usage.rs"]
mod usage;

use std::env;
use std::fmt;
use std::fs;
use std::path::Path;

use form::{asserts, header, ignored, leftovers, length, places, shrunk};
use layers::{confined, effects_in_core, effects_in_simulation, layering, lints_of_core};
use order::random_order;
use usage::{metrics_without_source, unused};

/// The layer of each module of `src`. A module imports from its own layer and from those with a lower number.
/// `ARCHITECTURE.md` says what the layers are.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["id", "limits", "error", "planted", "random", "time", "log"]),
    (1, &["jute", "proto"]),
    (2, &["acl", "sasl", "session", "watch", "tree", "database"]),
    (3, AGREEMENT),
    (4, &["io", "txnlog", "snapshot", "recovery"]),
    (5, &["processor", "replica"]),
    (
        6,
        &[
            "runtime", "net", "config", "metrics", "admin", "audit", "inspect", "logins", "tls",
            "web",
        ],
    ),
    (7, &["server", "cli"]),
];

/// Every folder with sources.
const EVERYWHERE: &[&str] = &["src", "tests", "benches", "tools", "fuzz"];

/// The modules of layer 3 in their order: each imports only from those before it.
const AGREEMENT: &[&str] = &["link", "quorum", "zab", "election", "peer"];

/// Layers up to this one decide and never act, except for the log, on which no decision depends.
const CORE_LAYER_MAX: u8 = 5;
const ACTS_BELOW_THE_EDGE: &str = "log";

/// The folder of the simulation, in which only the seed decides; and the file of the program that runs it, which may
/// read clocks.
const SIMULATION: &str = "tools/sim/src/";
const RUNS_SIMULATION: &str = "tools/sim/src/main.rs";

/// Names of items that have an effect, or an outcome that a seed does not fix.
const NEVER_IN_CORE: &[&str] = &[
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::os",
    "Instant",
    "SystemTime",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "stdin",
    "stdout",
    "stderr",
    "println!",
    "eprintln!",
    "glommio",
    "tokio",
    "rand",
    "fastrand",
    "getrandom",
    "io_uring",
    "rustix",
    "libc",
    "socket2",
    "signal_hook",
];

const MAY_NAME_GLOMMIO: &[&str] = &["server"];
const MAY_BE_UNSAFE: &[&str] = &["runtime"];

/// Names that, outside of tests, only these files may use: they make the things that vouch for the disk, and let
/// them go.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("as_the_disk_says", &["src/zab/vouch.rs", "src/replica/steps.rs"]),
    ("put_ack_epoch", &["src/zab/packets/put.rs", "src/zab/learner/saying.rs"]),
    (
        "send_after_sync",
        &[
            "src/zab/ready.rs",
            "src/zab/queue.rs",
            "src/replica/steps.rs",
            "src/zab/learner/saying.rs",
        ],
    ),
];

/// Maps of the core that code walks through in their random order: file, name, and why nothing depends on the order.
const MAY_GO_THROUGH: &[(&str, &str, &str)] = &[
    ("src/replica/passed_on.rs", "orphans", "`clear_orphans` counts them"),
    (
        "src/session/tracker.rs",
        "sessions",
        "`by_expiry` puts them into a sorted map of sorted lists",
    ),
    (
        "src/zab/leader/under_way.rs",
        "0",
        "a fence's amounts are taken off, each from its own link's",
    ),
];

/// Texts that may stand in no code of the repository.
const LEFTOVERS_IN_CODE: &[&str] =
    &["#[ignore", "#[should_panic", "todo!", "unimplemented!", "dbg!"];
/// Words that may stand in no comment of the repository.
const LEFTOVERS_IN_COMMENTS: &[&str] = &["FIXME", "XXX", "TODO"];

/// Beginnings of paths that exist only on somebody's machine.
const PLACES: &[&str] = &["/work/", "/root/", "/home/", "/Users/"];

/// The least number of asserts of a module in a thousand lines of code, without comments and tests. Agreement and
/// state check themselves where they run: these numbers only rise.
const ASSERTS: &[(&str, usize)] = &[
    ("database", 31),
    ("election", 30),
    ("peer", 28),
    ("processor", 28),
    ("quorum", 25),
    ("replica", 22),
    ("session", 26),
    ("snapshot", 28),
    ("tree", 32),
    ("txnlog", 46),
    ("watch", 39),
    ("zab", 35),
    ("zab/leader", 37),
    ("zab/learner", 37),
];

/// The modules in which a reason must stand beside every event that code ignores.
const SAYS_WHY_IT_IGNORES: &[&str] = &["zab", "election", "peer", "quorum", "link"];

/// The most lines of a file that is not in [`LONG_FILES`].
const FILE_LINES_MAX: usize = 600;
/// The longer files, each with the number of lines that it may have. The list only shrinks:
/// `RINGKEEPER_RECORD_LONG_FILES=1 cargo test --test tidy` lowers its numbers and removes what is no longer long.
const LONG_FILES: &str = "tests/tidy/long_files.txt";
const MAIN_LINES_MAX: usize = 100;

#[test]
fn every_source_file_says_first_what_it_is() {
    let sources = of_kind(&["rs"], EVERYWHERE);
    none(sources.iter().flat_map(header).collect());
}

#[test]
fn a_module_imports_only_from_its_own_and_lower_layers() {
    none(layering(&sources()));
}

#[test]
fn the_core_reads_no_clock_no_random_source_no_file_and_no_socket() {
    none(sources().iter().flat_map(effects_in_core).collect());
}

#[test]
fn the_simulation_depends_on_its_seed_alone() {
    none(sources().iter().flat_map(effects_in_simulation).collect());
}

#[test]
fn clippy_watches_every_module_of_the_core_and_the_simulation() {
    none(sources().iter().flat_map(lints_of_core).collect());
}

#[test]
fn only_the_edge_names_its_executor_and_only_the_runtime_is_unsafe() {
    none(sources().iter().flat_map(confined).collect());
}

#[test]
fn nothing_is_left_over_from_work_in_progress() {
    none(of_kind(&["rs"], EVERYWHERE).iter().flat_map(leftovers).collect());
}

#[test]
fn a_file_is_one_idea_and_therefore_short() {
    let sources = of_kind(&["rs", "java", "py"], EVERYWHERE);
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(LONG_FILES);
    let mut list = fs::read_to_string(&place).expect("the list of long files");
    if env::var_os("RINGKEEPER_RECORD_LONG_FILES").is_some() {
        list = shrunk(&sources, &list);
        fs::write(&place, &list).expect("the list of long files can be written");
    }
    none(length(&sources, &list));
}

#[test]
fn modules_check_themselves_as_much_as_they_did() {
    none(asserts(&sources(), ASSERTS));
}

#[test]
fn what_agreement_ignores_it_ignores_for_a_reason() {
    none(sources().iter().flat_map(ignored).collect());
}

#[test]
fn what_is_public_is_used_somewhere() {
    let mut files = of_kind(&["rs"], EVERYWHERE);
    // Its user is the test suite of another crate.
    files.retain(|file| file.path != "tools/client-crate-suite/src/lib.rs");
    none(unused(&files));
}

#[test]
fn every_metric_is_set_somewhere() {
    none(metrics_without_source(&sources()));
}

#[test]
fn the_core_goes_through_no_map_in_random_order() {
    none(random_order(&sources()));
}

#[test]
fn no_file_names_the_machine_it_was_built_on() {
    let mut files = of_kind(&[], &["src", "tests", "benches", "tools", "docs", ".ci", ".cargo"]);
    files.extend(of_kind(&["rs", "toml"], &["fuzz"]));
    files.extend(of_kind(&["md", "toml"], &[]));
    // These files have to name what they forbid.
    files.retain(|file| !file.path.starts_with("tests/tidy"));
    none(files.iter().flat_map(places).collect());
}

/// A place where a file breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A file of the repository; `path` is relative to its root, with `/`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module directly under `src` that this file belongs to, or "" for `lib.rs`, `main.rs` and
    /// files elsewhere.
    fn module(&self) -> &str {
        let Some(below) = self.path.strip_prefix("src/") else { return "" };
        match below.split_once('/') {
            Some((folder, _)) => folder,
            None => below
                .strip_suffix(".rs")
                .filter(|name| !["lib", "main"].contains(name))
                .unwrap_or(""),
        }
    }

    /// How many modules deep this file is: 1 for `src/a.rs` and `src/a/mod.rs`, 2 for `src/a/b.rs`.
    fn depth(&self) -> usize {
        let parts = self.path.matches('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }

    /// Whether the file is compiled into tests only.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Whether the file belongs to the simulation, which a seed fixes, and not to the program that runs it.
    fn is_simulation(&self) -> bool {
        self.path.starts_with(SIMULATION) && self.path != RUNS_SIMULATION
    }

    fn violation(&self, at: usize, what: impl Into<String>) -> Violation {
        let line = self.text[..at].matches('\n').count() + 1;
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

// ---- reading the repository

/// The source files of the server and of the simulation.
fn sources() -> Vec<Source> {
    of_kind(&["rs"], &["src", "tools/sim/src"])
}

/// The files of these folders of the repository with these extensions. Without extensions, all files; without
/// folders, those in the root of the repository itself.
fn of_kind(extensions: &[&str], folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    if folders.is_empty() {
        read(root, "", false, &mut found);
    }
    for folder in folders {
        read(root, folder, true, &mut found);
    }
    found.retain(|file| {
        let extension = Path::new(&file.path).extension().and_then(|extension| extension.to_str());
        extensions.is_empty() || extension.is_some_and(|extension| extensions.contains(&extension))
    });
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn read(root: &Path, folder: &str, deep: bool, found: &mut Vec<Source>) {
    const NOT_OURS: &[&str] = &["target", "artifacts", "coverage", "corpus", "__pycache__"];
    let Ok(entries) = fs::read_dir(root.join(folder)) else { return };
    for entry in entries {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().into_string().expect("a file name in UTF-8");
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        if entry.path().is_dir() {
            if deep && !NOT_OURS.contains(&&name[..]) {
                read(root, &path, deep, found);
            }
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            // Files that are not text (golden data folders) have no rules.
            found.push(Source { path, text });
        }
    }
}

fn none(violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

// ---- for planted violations

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn lines(violations: &[Violation]) -> Vec<usize> {
    violations.iter().map(|violation| violation.line).collect()
}
