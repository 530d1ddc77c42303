//! The rules of the source tree that no compiler knows: layers, what the core never touches,
//! headers, leftovers, length. Each rule is a function from files to violations, and is itself
//! tested on planted ones.
//!
//! It reads Rust as a lexer does (comments, strings, code), not as a compiler: good enough for
//! rules about names, and no dependency.

#[path = "tidy/lexer.rs"]
mod lexer;

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use lexer::{Parts, find_words, is_word, without_tests};

/// Which layer each module of `src` belongs to. A module imports from its own layer and from those
/// with a lower number. `ARCHITECTURE.md` says what the layers are.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["id", "limits", "error", "planted", "time"]),
    (1, &["jute", "proto"]),
    (2, &["acl", "session", "watch", "tree", "database"]),
    (3, AGREEMENT),
    (4, &["io", "txnlog", "snapshot", "recovery"]),
    (5, &["processor", "replica"]),
    (6, &["runtime", "net", "config", "metrics", "admin", "inspect"]),
    (7, &["server", "cli"]),
];

/// In this order: each imports from those before it alone.
const AGREEMENT: &[&str] = &["link", "quorum", "zab", "election", "peer"];

/// Layers up to this one decide and never act.
const CORE_LAYER_MAX: u8 = 5;

/// Where the simulation is, which decides by its seed alone; what runs it, and may look at clocks.
const SIMULATION: &str = "tools/sim/src/";
const RUNS_SIMULATION: &str = "tools/sim/src/main.rs";

/// What has an effect, or an outcome that a seed does not fix.
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

/// What vouches for the disk is made and let go in one place each, but for tests.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("as_the_disk_says", &["src/zab/vouch.rs", "src/replica/steps.rs"]),
    ("put_ack_epoch", &["src/zab/packets.rs", "src/zab/learner/saying.rs"]),
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

/// In code, anywhere in the repository.
const LEFTOVERS_IN_CODE: &[&str] =
    &["#[ignore", "#[should_panic", "todo!", "unimplemented!", "dbg!"];
/// In comments, anywhere in the repository.
const LEFTOVERS_IN_COMMENTS: &[&str] = &["FIXME", "XXX", "TODO"];

/// Beginnings of paths that exist on somebody's machine only.
const PLACES: &[&str] = &["/work/", "/root/", "/home/", "/Users/"];

/// How many asserts a module has at least in a thousand lines of code, without comments and tests. Agreement and state check
/// themselves where they run: these numbers only rise.
const ASSERTS: &[(&str, usize)] = &[
    ("database", 2),
    ("election", 1),
    ("peer", 2),
    ("processor", 14),
    ("replica", 15),
    ("snapshot", 2),
    ("tree", 6),
    ("txnlog", 9),
    ("watch", 3),
    ("zab", 7),
    ("zab/learner", 20),
];

const FILE_LINES_MAX: usize = 900;
const MAIN_LINES_MAX: usize = 100;

#[test]
fn every_source_file_says_first_what_it_is() {
    none(sources().iter().flat_map(header).collect());
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
    let sources = of_kind(&["rs"], &["src", "tests", "benches", "tools", "fuzz"]);
    none(sources.iter().flat_map(leftovers).collect());
}

#[test]
fn a_file_is_one_idea_and_therefore_short() {
    let sources = of_kind(&["rs", "java", "py"], &["src", "tests", "benches", "tools", "fuzz"]);
    none(sources.iter().flat_map(length).collect());
}

#[test]
fn modules_check_themselves_as_much_as_they_did() {
    none(asserts(&sources(), ASSERTS));
}

#[test]
fn what_is_public_is_used_somewhere() {
    none(unused(&of_kind(&["rs"], &["src", "tools", "tests", "benches", "fuzz"])));
}

#[test]
fn no_file_names_the_machine_it_was_built_on() {
    let mut files = of_kind(&[], &["src", "tests", "benches", "tools", "docs", ".ci", ".cargo"]);
    files.extend(of_kind(&["rs", "toml"], &["fuzz"]));
    files.extend(of_kind(&["md", "toml"], &[]));
    // This file has to name what it forbids.
    files.retain(|file| file.path != "tests/tidy.rs");
    none(files.iter().flat_map(places).collect());
}

/// Where a rule is broken.
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

    /// True for a file that is compiled into tests only.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// True for what a seed fixes: the simulation, but for the program that runs it.
    fn is_simulation(&self) -> bool {
        self.path.starts_with(SIMULATION) && self.path != RUNS_SIMULATION
    }

    fn violation(&self, at: usize, what: impl Into<String>) -> Violation {
        let line = self.text[..at].matches('\n').count() + 1;
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

// ---- rules

fn header(source: &Source) -> Option<Violation> {
    let begins = source.text.starts_with("//! ");
    (!begins).then(|| source.violation(0, "does not begin with a `//!` that says what it is"))
}

fn layering(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| !source.module().is_empty()) {
        let Some(own) = layer(source.module()) else {
            let what = format!("module `{}` has no layer: add it to LAYERS", source.module());
            violations.push(source.violation(0, what));
            continue;
        };
        if source.is_test() {
            continue;
        }
        for (at, name) in imports(source) {
            match layer(&name) {
                Some(other) if other > own => violations.push(source.violation(
                    at,
                    format!(
                        "`{}` (layer {own}) imports from `{name}` (layer {other})",
                        source.module()
                    ),
                )),
                Some(other) if other == own && is_out_of_order(source.module(), &name) => {
                    let what = format!(
                        "`{}` imports from `{name}`, which stands above it",
                        source.module()
                    );
                    violations.push(source.violation(at, what));
                }
                // Another name is a macro or an item of the crate's root, or does not compile.
                Some(_) | None => {}
            }
        }
    }
    violations
}

/// Whether an ordered layer has `imported` behind `module`.
fn is_out_of_order(module: &str, imported: &str) -> bool {
    let place = |name: &str| AGREEMENT.iter().position(|it| *it == name);
    place(module).zip(place(imported)).is_some_and(|(own, other)| other > own)
}

fn effects_in_core(source: &Source) -> Vec<Violation> {
    let in_core = layer(source.module()).is_some_and(|layer| layer <= CORE_LAYER_MAX);
    if in_core { effects(source, "the core") } else { Vec::new() }
}

fn effects_in_simulation(source: &Source) -> Vec<Violation> {
    if source.is_simulation() { effects(source, "the simulation") } else { Vec::new() }
}

fn effects(source: &Source, who: &str) -> Vec<Violation> {
    if source.is_test() {
        return Vec::new();
    }
    let code = without_tests(&Parts::of(&source.text).code);
    let found =
        NEVER_IN_CORE.iter().flat_map(|word| find_words(&code, word).map(move |at| (at, word)));
    found.map(|(at, word)| source.violation(at, format!("{who} names `{word}`"))).collect()
}

/// The crate's root turns the lints on, module by module, because the edge must not have them; that of the
/// simulation for all of it. Not for unit tests, which may read golden files.
fn lints_of_core(source: &Source) -> Vec<Violation> {
    const LINTS: &str =
        "#[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]";
    if source.path == "tools/sim/src/lib.rs" {
        let lints = LINTS.replacen('#', "#!", 1);
        let has_them = source.text.lines().any(|line| line == lints);
        return Vec::from_iter((!has_them).then(|| source.violation(0, format!("lacks {lints}"))));
    }
    if source.path != "src/lib.rs" {
        return Vec::new();
    }
    let mut violations = Vec::new();
    let mut before = "";
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let name = line.trim().strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';'));
        let in_core = name.and_then(layer).is_some_and(|layer| layer <= CORE_LAYER_MAX);
        if in_core && before.trim() != LINTS {
            violations
                .push(source.violation(at, format!("belongs to the core; write {LINTS} above")));
        }
        before = line;
        at += line.len();
    }
    violations
}

fn confined(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") && !source.path.starts_with(SIMULATION) {
        return Vec::new();
    }
    let code = Parts::of(&source.text).code;
    let mut violations = Vec::new();
    for (word, allowed) in [("glommio", MAY_NAME_GLOMMIO), ("unsafe", MAY_BE_UNSAFE)] {
        if !allowed.contains(&source.module()) {
            let what = format!("only {} may name `{word}`", allowed.join(", "));
            violations.extend(find_words(&code, word).map(|at| source.violation(at, what.clone())));
        }
    }
    if !source.is_test() {
        for (word, files) in ONLY_IN.iter().filter(|(_, files)| !files.contains(&&*source.path)) {
            let what = format!("only {} may name `{word}`", files.join(", "));
            violations.extend(find_words(&code, word).map(|at| source.violation(at, what.clone())));
        }
    }
    violations
}

/// Items that are public, whether outside their package or only among its modules, and whose names stand nowhere
/// else in code.
fn unused(sources: &[Source]) -> Vec<Violation> {
    const BETWEEN: &[&str] = &["crate", "super", "in", "async", "unsafe"];
    const ITEMS: &[&str] = &["fn", "struct", "enum", "const", "static", "type", "trait"];
    let codes: Vec<String> = sources.iter().map(|source| Parts::of(&source.text).code).collect();
    let words: Vec<Vec<(usize, &str)>> = codes.iter().map(|code| words(code)).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (_, word) in words.iter().flatten() {
        *counts.entry(word).or_default() += 1;
    }
    let mut violations = Vec::new();
    for (source, words) in sources.iter().zip(&words) {
        for (place, _) in words.iter().enumerate().filter(|(_, (_, word))| *word == "pub") {
            let mut rest = words[place + 1..].iter().skip_while(|(_, word)| BETWEEN.contains(word));
            let (Some((_, item)), Some(mut name)) = (rest.next(), rest.next()) else { continue };
            if let ("const", (_, "fn"), Some(next)) = (*item, *name, rest.next()) {
                name = next;
            }
            if ITEMS.contains(item) && counts[name.1] == 1 {
                violations.push(source.violation(name.0, format!("nobody uses `{}`", name.1)));
            }
        }
    }
    violations
}

/// The names and keywords of code, each with its place.
fn words(code: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, letter) in code.char_indices().chain([(code.len(), ' ')]) {
        match (start, letter.is_alphanumeric() || letter == '_') {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                words.push((from, &code[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn leftovers(source: &Source) -> Vec<Violation> {
    let parts = Parts::of(&source.text);
    let in_code = LEFTOVERS_IN_CODE
        .iter()
        .flat_map(|word| find_words(&parts.code, word).map(move |at| (at, word)));
    let in_comments = LEFTOVERS_IN_COMMENTS
        .iter()
        .flat_map(|word| find_words(&parts.comments, word).map(move |at| (at, word)));
    in_code
        .chain(in_comments)
        .map(|(at, word)| source.violation(at, format!("`{word}` is left over")))
        .collect()
}

fn length(source: &Source) -> Option<Violation> {
    let lines = source.text.lines().count();
    let max = if source.path == "src/main.rs" { MAIN_LINES_MAX } else { FILE_LINES_MAX };
    (lines > max).then(|| source.violation(0, format!("{lines} lines; at most {max}")))
}

fn asserts(sources: &[Source], at_least: &[(&str, usize)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (module, least) in at_least {
        let folder = format!("src/{module}/");
        let of_module =
            |source: &&Source| source.path.starts_with(&folder) && !source.path.contains("/tests");
        let (mut lines, mut count) = (0, 0);
        let mut first = None;
        for source in sources.iter().filter(of_module) {
            let code = without_tests(&Parts::of(&source.text).code);
            lines += code.lines().filter(|line| !line.trim().is_empty()).count();
            let words = ["assert!", "assert_eq!", "assert_ne!"];
            count += words.iter().map(|word| find_words(&code, word).count()).sum::<usize>();
            first = first.or(Some(source));
        }
        let Some(first) = first else {
            panic!("`{module}` is no module");
        };
        if count * 1000 < least * lines {
            let what = format!(
                "`{module}` has {count} asserts in {lines} lines, fewer than {least} in 1000"
            );
            violations.push(first.violation(0, what));
        }
    }
    violations
}

fn places(source: &Source) -> Vec<Violation> {
    let named = PLACES.iter().flat_map(|place| source.text.match_indices(place));
    named
        .map(|(at, place)| source.violation(at, format!("names a place on one machine, {place}")))
        .collect()
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

/// Every module at the crate's root that the code of this file (tests aside) names through
/// `crate::` or enough `super::`, with where.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = without_tests(&Parts::of(&source.text).code);
    let mut imports = Vec::new();
    for at in find_words(&code, "crate::") {
        heads(&code, at + "crate::".len(), &mut imports);
    }
    for at in find_words(&code, "super::") {
        // The first of a chain stands for all of it.
        if code[..at].ends_with("super::") {
            continue;
        }
        let mut end = at;
        let mut steps = 0;
        while code[end..].starts_with("super::") {
            end += "super::".len();
            steps += 1;
        }
        if steps == source.depth() {
            heads(&code, end, &mut imports);
        }
    }
    imports
}

/// The first names of a path or of each path in braces, from `at` on.
fn heads(code: &str, at: usize, found: &mut Vec<(usize, String)>) {
    let rest = &code[at..];
    if !rest.trim_start().starts_with('{') {
        let name: String = rest.chars().take_while(|letter| is_word(*letter)).collect();
        found.push((at, name));
        return;
    }
    let mut depth = 0;
    let mut expecting = false;
    for (offset, letter) in rest.char_indices() {
        match letter {
            '{' => {
                depth += 1;
                expecting = depth == 1;
            }
            '}' if depth == 1 => return,
            '}' => depth -= 1,
            ',' => expecting = depth == 1,
            letter if expecting && is_word(letter) => {
                heads(code, at + offset, found);
                expecting = false;
            }
            _ => {}
        }
    }
}

// ---- reading the repository

/// The server, and the simulation of many.
fn sources() -> Vec<Source> {
    of_kind(&["rs"], &["src", "tools/sim/src"])
}

/// Files with these extensions (all if none is given) in these folders of the repository; in its
/// root itself if no folder is given.
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
            // What is not text (golden data folders) has no rules.
            found.push(Source { path, text });
        }
    }
}

fn none(violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

// ---- the rules on planted violations

mod planted {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn lines(violations: &[Violation]) -> Vec<usize> {
        violations.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn a_module_that_checks_itself_less_than_before_is_seen() {
        let code = "//! X.\nfn f() {\n    assert!(true);\n}\n";
        let tests =
            "#[cfg(test)]\nmod tests {\n    fn g() {\n        assert_eq!(1, 1);\n    }\n}\n";
        let sources = [source("src/zab/acks.rs", &format!("{code}{tests}"))];
        assert_eq!(asserts(&sources, &[("zab", 333)]), []);
        let found = asserts(&sources, &[("zab", 334)]);
        assert_eq!(found[0].what, "`zab` has 1 asserts in 3 lines, fewer than 334 in 1000");
    }

    #[test]
    fn a_missing_header_is_seen() {
        assert!(header(&source("src/id.rs", "//! Words.\nfn f() {}\n")).is_none());
        assert!(header(&source("src/id.rs", "use std::fmt;\n//! Late.\n")).is_some());
        assert!(header(&source("src/id.rs", "")).is_some());
    }

    #[test]
    fn an_import_from_a_higher_layer_is_seen_in_every_form() {
        let text = "//! X.\n\
            use crate::id::Zxid;\n\
            use crate::replica::Replica;\n\
            use crate::{error::Code, net::{listener, client}, jute};\n\
            fn f() { crate::server::run() }\n\
            // crate::server in a comment\n\
            const S: &str = \"crate::server\";\n\
            use super::cli;\n\
            use super::super::cli;\n\
            #[cfg(test)]\n\
            mod tests { use crate::server::run; }\n";
        let found = layering(&[source("src/tree/node.rs", text)]);
        assert_eq!(lines(&found), [3, 4, 5, 9], "{found:?}");
        assert_eq!(found[0].what, "`tree` (layer 2) imports from `replica` (layer 5)");
        assert_eq!(lines(&layering(&[source("src/tree.rs", "//! X.\nuse super::cli;\n")])), [2]);
        assert_eq!(
            layering(&[source("src/replica/mod.rs", "//! X.\nuse crate::zab::Ready;\n")]),
            []
        );
        assert_eq!(
            layering(&[source("src/tree/tests.rs", "//! X.\nuse crate::server::run;\n")]),
            []
        );
        let text = "//! X.\nuse crate::quorum::Config;\nuse crate::peer::Member;\n";
        let found = layering(&[source("src/zab/mod.rs", text)]);
        assert_eq!(found[0].what, "`zab` imports from `peer`, which stands above it");
        assert_eq!(lines(&found), [3]);
    }

    #[test]
    fn a_module_without_a_layer_is_seen() {
        let found =
            layering(&[source("src/util.rs", "//! X.\n"), source("src/lib.rs", "//! X.\n")]);
        assert_eq!(lines(&found), [1]);
    }

    #[test]
    fn an_effect_in_the_core_is_seen_outside_its_tests_only() {
        let text = "//! May say std::fs and Instant.\n\
            use std::net::SocketAddr;\n\
            use std::time::{Duration, Instant};\n\
            fn f() { std::thread::yield_now(); let operand = 'r'; }\n\
            fn g<'a>(brand: &'a str) { println!(\"{}\", \"tokio\") }\n\
            #[cfg(test)]\n\
            mod tests {\n\
                use std::fs;\n\
            }\n\
            use glommio::Task;\n";
        let found = effects_in_core(&source("src/processor/prep.rs", text));
        let mut found = lines(&found);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 5, 10]);
        assert_eq!(effects_in_core(&source("src/runtime/clock.rs", text)), []);
    }

    #[test]
    fn an_effect_in_the_simulation_is_seen_but_not_in_what_runs_it() {
        let text = "//! X.\n\
            use std::time::Instant;\n\
            use fastrand::Rng;\n\
            use ringkeeper::time::Now;\n";
        let found = effects_in_simulation(&source("tools/sim/src/clock.rs", text));
        let mut found = lines(&found);
        found.sort_unstable();
        assert_eq!(found, [2, 3]);
        assert_eq!(effects_in_simulation(&source("tools/sim/src/main.rs", text)), []);
        assert_eq!(effects_in_simulation(&source("tools/sim/tests/seeds.rs", text)), []);
    }

    #[test]
    fn a_module_of_the_core_without_its_lints_is_seen() {
        let text = "//! X.\n\
            #[cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]\n\
            pub mod tree;\n\
            pub mod replica;\n\
            pub mod net;\n";
        assert_eq!(lines(&lints_of_core(&source("src/lib.rs", text))), [4]);
        assert_eq!(lines(&lints_of_core(&source("tools/sim/src/lib.rs", text))), [1]);
    }

    #[test]
    fn the_executor_and_unsafe_code_are_seen_where_they_do_not_belong() {
        let text = "//! X.\nuse glommio::Task;\nfn f() { unsafe { g() } }\n";
        assert_eq!(lines(&confined(&source("src/config/mod.rs", text))), [2, 3]);
        assert_eq!(lines(&confined(&source("src/server/mod.rs", text))), [3]);
        assert_eq!(lines(&confined(&source("src/runtime/mod.rs", text))), [2]);
        assert_eq!(lines(&confined(&source("tools/sim/src/run.rs", text))), [2, 3]);
        assert_eq!(confined(&source("tools/bench/src/run.rs", text)), []);
    }

    #[test]
    fn an_acknowledgement_is_seen_where_nobody_waits_for_the_disk() {
        let text =
            "//! X.\nfn f() { g(&Durable::as_the_disk_says()) }\nfn g() { put_ack_epoch() }\n";
        assert_eq!(lines(&confined(&source("src/zab/learner/history.rs", text))), [2, 3]);
        assert_eq!(lines(&confined(&source("src/replica/steps.rs", text))), [3]);
        assert_eq!(lines(&confined(&source("src/replica/tests/steps.rs", text))), []);
    }

    #[test]
    fn what_nobody_uses_is_seen() {
        let text = "//! X.\npub fn a() { B }\npub(crate) const B: u8 = 1;\npub const fn c() {}\npub struct D;\n";
        let other = "//! Y.\n/// c\nfn e() { a(); \"D\" }\n";
        let found = unused(&[source("src/x/mod.rs", text), source("src/y/mod.rs", other)]);
        assert_eq!(lines(&found), [4, 5]);
    }

    #[test]
    fn what_is_left_over_is_seen_in_code_and_in_comments() {
        let text = "//! Says todo! and #[ignore] in words.\n\
            #[ignore = \"slow\"]\n\
            fn f() { todo!() }\n\
            // FIXME: later\n\
            fn g() { let s = r#\"dbg!(\"x\") // TODO\"#; dbg!(s); }\n\
            /* /* nested */ XXX */\n";
        let mut found = lines(&leftovers(&source("tests/x.rs", text)));
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_long_file_is_seen() {
        assert!(length(&source("src/id.rs", &"x\n".repeat(FILE_LINES_MAX))).is_none());
        assert!(length(&source("src/id.rs", &"x\n".repeat(FILE_LINES_MAX + 1))).is_some());
        assert!(length(&source("src/main.rs", &"x\n".repeat(MAIN_LINES_MAX + 1))).is_some());
    }

    #[test]
    fn a_place_on_one_machine_is_seen() {
        let found = places(&source("README.md", "see ../docs\nsee /home/ann/docs\n"));
        assert_eq!(lines(&found), [2]);
    }
}
