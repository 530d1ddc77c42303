//! Rules about the form of a file: header, length, leftovers, asserts, names of places.

use super::lexer::{Parts, find_words, without_tests};
use super::{
    FILE_LINES_MAX, LEFTOVERS_IN_CODE, LEFTOVERS_IN_COMMENTS, LONG_FILES, MAIN_LINES_MAX, PLACES,
    SAYS_WHY_IT_IGNORES, Source, Violation,
};

pub fn header(source: &Source) -> Option<Violation> {
    let begins = source.text.starts_with("//! ");
    (!begins).then(|| source.violation(0, "does not begin with a `//!` that says what it is"))
}

pub fn leftovers(source: &Source) -> Vec<Violation> {
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

/// Files that are longer than they may be, and names on the list of long files that need not be there.
pub fn length(sources: &[Source], list: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let max = match entries(list).find(|(_, path)| *path == source.path) {
            Some((ceiling, _)) => ceiling,
            None if source.path == "src/main.rs" => MAIN_LINES_MAX,
            None => FILE_LINES_MAX,
        };
        if lines > max {
            violations.push(source.violation(0, format!("{lines} lines; at most {max}")));
        }
    }
    for (line, (_, path)) in entries(list).enumerate() {
        if !is_long(sources, path) {
            let what = format!("`{path}` is not long any more; see LONG_FILES");
            violations.push(Violation { path: LONG_FILES.to_owned(), line: line + 1, what });
        }
    }
    violations
}

/// The list of long files without those that are not long any more, and with no number above the present one.
pub fn shrunk(sources: &[Source], list: &str) -> String {
    let long = entries(list).filter(|(_, path)| is_long(sources, path));
    let lowered = long.map(|(ceiling, path)| {
        let source = sources.iter().find(|source| source.path == path);
        let lines = source.map_or(0, |source| source.text.lines().count());
        format!("{} {path}\n", ceiling.min(lines))
    });
    lowered.collect()
}

/// The entries of the list: a number of lines, and a path.
fn entries(list: &str) -> impl Iterator<Item = (usize, &str)> {
    list.lines().map(|line| {
        let (lines, path) = line.split_once(' ').expect("a number and a path");
        (lines.parse().expect("a number of lines"), path)
    })
}

fn is_long(sources: &[Source], path: &str) -> bool {
    let source = sources.iter().find(|source| source.path == path);
    source.is_some_and(|source| source.text.lines().count() > FILE_LINES_MAX)
}

pub fn asserts(sources: &[Source], at_least: &[(&str, usize)]) -> Vec<Violation> {
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

pub fn places(source: &Source) -> Vec<Violation> {
    let named = PLACES.iter().flat_map(|place| source.text.match_indices(place));
    named
        .map(|(at, place)| source.violation(at, format!("names a place on one machine, {place}")))
        .collect()
}

/// Violations: every `let … else` that only returns, without a comment in front of it, and without a comment or a
/// text in it.
pub fn ignored(source: &Source) -> Vec<Violation> {
    if !SAYS_WHY_IT_IGNORES.contains(&source.module()) || source.is_test() {
        return Vec::new();
    }
    let code = without_tests(&Parts::of(&source.text).code);
    let mut violations = Vec::new();
    for at in find_words(&code, "else") {
        let Some(block) = code[at..].strip_prefix("else {") else { continue };
        let Some(length) = block.find('}') else { continue };
        let is_return = matches!(block[..length].trim(), "return" | "return;");
        let Some(begins) = code[..at].rfind("let ") else { continue };
        // Otherwise it is the `else` of an `if` behind that binding.
        let is_binding = !code[begins..at].contains(';');
        if !is_return || !is_binding {
            continue;
        }
        let line_begins = source.text[..begins].rfind('\n').map_or(0, |end| end + 1);
        let above = source.text[..line_begins].lines().next_back();
        let has_comment = above.is_some_and(|line| line.trim().starts_with("//"));
        let within = at + "else {".len();
        let is_said = source.text[within..within + length].contains("//");
        if !has_comment && !is_said {
            violations.push(source.violation(begins, "returns without a reason beside it"));
        }
    }
    violations
}

mod planted {
    use super::super::{lines, source};
    use super::*;

    #[test]
    fn an_event_that_is_ignored_without_a_reason_is_seen() {
        let text = "//! X.\n\
            fn f() {\n\
                let Some(a) = g() else { return };\n\
                // It has gone.\n\
                let Some(b) = g() else { return };\n\
                let Some(C { d, .. }) = g() else {\n\
                    // It has gone.\n\
                    return;\n\
                };\n\
                let Some(C { e, .. }) = g() else {\n\
                    return;\n\
                };\n\
                if h() { i() } else { return }\n\
                let Some(j) = g() else { return false };\n\
            }\n";
        assert_eq!(lines(&ignored(&source("src/zab/acks.rs", text))), [3, 10]);
        assert_eq!(ignored(&source("src/replica/acks.rs", text)), []);
        assert_eq!(ignored(&source("src/zab/tests/acks.rs", text)), []);
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
    fn a_long_file_is_seen_and_so_is_one_that_is_not_long_any_more() {
        let long = |path: &str, more: usize| source(path, &"x\n".repeat(FILE_LINES_MAX + more));
        let sources = [
            long("src/a.rs", 0),
            long("src/b.rs", 1),
            long("src/c.rs", 50),
            source("src/main.rs", &"x\n".repeat(MAIN_LINES_MAX + 1)),
        ];
        let list = format!("{} src/c.rs\n700 src/a.rs\n700 src/gone.rs\n", FILE_LINES_MAX + 49);
        let found = length(&sources, &list);
        let places: Vec<_> = found.iter().map(|it| (&it.path[..], it.line)).collect();
        let files = ["src/b.rs", "src/c.rs", "src/main.rs"].map(|path| (path, 1));
        assert_eq!(places, [&files[..], &[(LONG_FILES, 2), (LONG_FILES, 3)]].concat());
        let list = format!("{} src/c.rs\n700 src/a.rs\n", FILE_LINES_MAX + 90);
        assert_eq!(shrunk(&sources, &list), format!("{} src/c.rs\n", FILE_LINES_MAX + 50));
    }

    #[test]
    fn a_place_on_one_machine_is_seen() {
        let found = places(&source("README.md", "see ../docs\nsee /home/ann/docs\n"));
        assert_eq!(lines(&found), [2]);
    }
}
