//! Rules about what is used: public items that no other code names, and metrics that no code sets.

use std::collections::HashMap;

use super::lexer::{Parts, find_words, is_word, without_tests};
use super::{Source, Violation};

/// Violations: items that are public, outside their package or only among its modules, and whose names stand nowhere
/// else in code.
pub fn unused(sources: &[Source]) -> Vec<Violation> {
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

/// The structs that hold the counters of metrics.
const COUNTED: &[&str] = &["stats", "gauges", "counts"];
/// The texts of a counter's initial value.
const ZEROES: &[&str] = &["0", "[0", "histogram()", "Latency::default()"];

/// Counters that a metric reads and that nothing in the server ever sets, so that `mntr` would always show a zero.
pub fn metrics_without_source(sources: &[Source]) -> Vec<Violation> {
    let is_metrics = |source: &&Source| source.path.starts_with("src/metrics/");
    let code = |source: &Source| without_tests(&Parts::of(&source.text).code);
    let others: Vec<String> =
        sources.iter().filter(|other| !is_metrics(other) && !other.is_test()).map(code).collect();
    let mut violations = Vec::new();
    for source in sources.iter().filter(is_metrics) {
        let code = code(source);
        for owner in COUNTED {
            for at in find_words(&code, owner) {
                let Some(rest) = code[at + owner.len()..].strip_prefix('.') else { continue };
                let name: String = rest.chars().take_while(|letter| is_word(*letter)).collect();
                let is_field = !rest[name.len()..].starts_with('(');
                if is_field && !others.iter().any(|other| sets(other, &name)) {
                    violations.push(source.violation(at, format!("nobody sets `{owner}.{name}`")));
                }
            }
        }
    }
    violations
}

/// Whether code gives a field a value: counts in it, assigns to it, or fills it in a struct with more than a zero.
fn sets(code: &str, field: &str) -> bool {
    find_words(code, field).any(|at| {
        let before = code[..at].trim_end();
        let mut after = code[at + field.len()..].trim_start();
        if let Some(index) = after.strip_prefix('[') {
            after = index.split_once(']').map_or("", |(_, rest)| rest).trim_start();
        }
        let assigns = after.starts_with("+=") || after.starts_with("= ");
        let records =
            [".record(", ".saturating_record(", ".add("].iter().any(|it| after.starts_with(it));
        let value = after.strip_prefix(':').filter(|_| !before.ends_with("pub"));
        let value = value.map(str::trim_start).filter(|value| !value.starts_with(':'));
        let fills = value.is_some_and(|value| !ZEROES.iter().any(|zero| value.starts_with(zero)));
        let is_short = after.starts_with(',') && before.ends_with(['{', ',']);
        assigns || records || fills || is_short
    })
}

mod planted {
    use super::super::{lines, source};
    use super::*;

    #[test]
    fn what_nobody_uses_is_seen() {
        let text = "//! X.\npub fn a() { B }\npub(crate) const B: u8 = 1;\npub const fn c() {}\npub struct D;\n";
        let other = "//! Y.\n/// c\nfn e() { a(); \"D\" }\n";
        let found = unused(&[source("src/x/mod.rs", text), source("src/y/mod.rs", other)]);
        assert_eq!(lines(&found), [4, 5]);
    }

    #[test]
    fn a_metric_that_nobody_sets_is_seen() {
        let names = "//! X.\nfn f() {\n    stats.sent;\n    stats.lost;\n    stats.took.average();\n    gauges.open;\n}\n";
        let other = "//! Y.\npub struct Stats {\n    pub sent: u64,\n    pub lost: u64,\n}\n\
            fn new() -> Stats {\n    Stats { sent: 0, lost: 0 }\n}\n\
            fn g() {\n    self.stats.sent += 1;\n    stats.took.record(1);\n    Gauges { open, all: 1 };\n}\n";
        let names = source("src/metrics/names.rs", names);
        let found = metrics_without_source(&[names, source("src/replica/stats.rs", other)]);
        assert_eq!(lines(&found), [4], "{found:?}");
        assert_eq!(found[0].what, "nobody sets `stats.lost`");
    }
}
