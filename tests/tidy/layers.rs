//! Rules about the names that a file may use: layers, names that the core never uses, and names that only certain
//! files may use.

use super::lexer::{Parts, find_words, is_word, without_tests};
use super::{
    ACTS_BELOW_THE_EDGE, AGREEMENT, CORE_LAYER_MAX, LAYERS, MAY_BE_UNSAFE, MAY_NAME_GLOMMIO,
    NEVER_IN_CORE, ONLY_IN, SIMULATION, Source, Violation,
};

pub fn layering(sources: &[Source]) -> Vec<Violation> {
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

/// Whether `imported` stands behind `module` in the order of layer 3.
fn is_out_of_order(module: &str, imported: &str) -> bool {
    let place = |name: &str| AGREEMENT.iter().position(|it| *it == name);
    place(module).zip(place(imported)).is_some_and(|(own, other)| other > own)
}

/// Whether a file belongs to the core, which decides and never acts.
pub fn is_core(source: &Source) -> bool {
    is_core_module(source.module())
}

fn is_core_module(module: &str) -> bool {
    module != ACTS_BELOW_THE_EDGE && layer(module).is_some_and(|layer| layer <= CORE_LAYER_MAX)
}

pub fn effects_in_core(source: &Source) -> Vec<Violation> {
    if is_core(source) { effects(source, "the core") } else { Vec::new() }
}

pub fn effects_in_simulation(source: &Source) -> Vec<Violation> {
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

/// The root of the crate must turn on the lints of the core, module by module, because the edge must not have them.
/// The root of the simulation turns them on for the whole crate. Unit tests, which may read golden files, are
/// exempt.
pub fn lints_of_core(source: &Source) -> Vec<Violation> {
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
        if name.is_some_and(is_core_module) && before.trim() != LINTS {
            violations
                .push(source.violation(at, format!("belongs to the core; write {LINTS} above")));
        }
        before = line;
        at += line.len();
    }
    violations
}

pub fn confined(source: &Source) -> Vec<Violation> {
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

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

/// Every module at the root of the crate that the code of this file, except its tests, names through `crate::` or
/// enough `super::`; each with its place.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code = without_tests(&Parts::of(&source.text).code);
    let mut imports = Vec::new();
    for at in find_words(&code, "crate::") {
        heads(&code, at + "crate::".len(), &mut imports);
    }
    for at in find_words(&code, "super::") {
        // The first `super::` of a chain stands for the whole chain.
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

mod planted {
    use super::super::{lines, source};
    use super::*;

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
}
