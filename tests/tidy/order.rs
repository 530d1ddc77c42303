//! The rule that the core never goes through a map in its random order: equal inputs give equal outputs, in a test, in
//! the simulation, and on every member.

use std::collections::BTreeSet;

use super::layers::is_core;
use super::lexer::{Parts, find_words, is_word, without_tests};
use super::{MAY_GO_THROUGH, Source, Violation};

const MAPS: &[&str] = &["HashMap", "HashSet"];
/// Calls that go through a whole map.
const WALKS: &[&str] = &[
    ".iter(",
    ".iter_mut(",
    ".keys(",
    ".values(",
    ".values_mut(",
    ".into_iter(",
    ".into_keys(",
    ".into_values(",
    ".drain(",
    ".retain(",
    ".extract_if(",
];

/// Violations: the places where code of the core walks through a map whose order is random. The rule knows maps by
/// their names.
pub fn random_order(sources: &[Source]) -> Vec<Violation> {
    let core: Vec<(&Source, String)> = sources
        .iter()
        .filter(|source| is_core(source) && !source.is_test())
        .map(|source| (source, without_tests(&Parts::of(&source.text).code)))
        .collect();
    let mut violations = Vec::new();
    for (source, code) in &core {
        // Code in another file of the module may walk through a public field.
        let shared = core.iter().filter(|(other, _)| other.module() == source.module());
        let mut names: BTreeSet<&str> = shared
            .flat_map(|(_, code)| maps(code))
            .filter(|map| map.is_public)
            .map(|map| map.name)
            .collect();
        names.extend(maps(code).map(|map| map.name));
        for name in names {
            let may =
                MAY_GO_THROUGH.iter().any(|(path, map, _)| (*path, *map) == (&source.path, name));
            let walks = find_words(code, name).filter(|&at| !may && is_walk(code, at, name));
            let what = format!("goes through the map `{name}` in random order");
            violations.extend(walks.map(|at| source.violation(at, what.clone())));
        }
    }
    violations
}

/// A variable or a field that holds a map; `0` is the field of a tuple.
struct Map<'a> {
    name: &'a str,
    is_public: bool,
}

fn maps(code: &str) -> impl Iterator<Item = Map<'_>> {
    let found = MAPS.iter().flat_map(|map| find_words(code, map));
    found.filter_map(|at| {
        // The path and the reference before the name, as in `hashbrown::HashMap` or `&mut HashMap`.
        let path = |letter: char| is_word(letter) || letter == ':';
        let before = code[..at].trim_end_matches(path);
        // A colon that ends a name is not part of the path.
        let before =
            if code[before.len()..at].starts_with(':') { &code[..=before.len()] } else { before };
        let before = before.trim_end().trim_end_matches("&mut").trim_end_matches('&').trim_end();
        if before.ends_with('(') {
            return code[at..]
                .starts_with("HashMap<")
                .then_some(Map { name: "0", is_public: false });
        }
        let before = before.strip_suffix([':', '='])?.trim_end();
        let start =
            before.len() - before.chars().rev().take_while(|letter| is_word(*letter)).count();
        let is_public = before[..start].trim_end().ends_with("pub");
        (start < before.len()).then_some(Map { name: &before[start..], is_public })
    })
}

/// Whether code walks through the map that is named here, by a method or by a `for`.
fn is_walk(code: &str, at: usize, name: &str) -> bool {
    let after = code[at + name.len()..].trim_start();
    if WALKS.iter().any(|walk| after.starts_with(walk)) {
        return true;
    }
    let owner = code[..at].trim_end_matches(|letter| is_word(letter) || letter == '.');
    let owner = owner.trim_end_matches("&mut ").trim_end_matches('&');
    after.starts_with('{') && owner.ends_with(" in ")
}

mod planted {
    use super::super::{lines, source};
    use super::*;

    #[test]
    fn a_walk_through_a_map_in_random_order_is_seen() {
        let text = "//! X.\n\
            struct A { pub open: HashMap<u32, u32>, list: BTreeMap<u32, u32>, by: Box<[HashMap<u8, u8>]> }\n\
            struct B(HashMap<u32, u32>);\n\
            fn f(&self) { self.open\n.keys().max(); self.list.keys(); self.open.get(1); self.by.iter() }\n\
            fn g(b: &B) { for (k, v) in &b.0 {} }\n\
            fn h() { let mut seen = hashbrown::HashSet::new(); seen.insert(1); seen.drain(); }\n\
            fn i(m: &mut hashbrown::HashMap<u8, u8>) { m.retain(f); }\n";
        let other = "//! Y.\nfn f(a: &A) { for x in &mut a.open { g(x) } a.seen.drain(); }\n";
        let found = random_order(&[source("src/zab/a.rs", text), source("src/zab/b.rs", other)]);
        let mut places: Vec<_> = found.iter().map(|it| (&it.path[..], it.line)).collect();
        places.sort_unstable();
        let of_a = [4, 6, 7, 8].map(|line| ("src/zab/a.rs", line));
        assert_eq!(places, [&of_a[..], &[("src/zab/b.rs", 2)]].concat(), "{found:?}");
        assert_eq!(lines(&random_order(&[source("src/net/a.rs", text)])), []);
    }
}
