//! Random configuration files: no file makes the parser panic.

use proptest::prelude::*;

use super::*;

/// Fragments of lines that are nearly valid.
fn fragment() -> impl Strategy<Value = String> {
    let names: Vec<String> = keys::all().map(name_in_cfg).collect();
    prop_oneof![
        proptest::sample::select(names),
        proptest::sample::select(vec![
            "=",
            ":",
            " ",
            "\n",
            "\\",
            "\\\n",
            "#",
            "[",
            "]",
            "\"",
            "'",
            "-1",
            "0x",
            "9",
            "true",
            "yes",
            "auto",
            "a:1:2",
            ";",
            "|",
            "{",
            "}",
            ",",
            ".",
            "\\u00",
            "é",
            "\u{1}",
            "'''",
            "-D",
            "zookeeper.",
            "ringkeeper.",
            "server.",
            "99999999999999999999",
            "1e400",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in ["zoo.cfg", "a.toml"] {
            if let Ok(config) = parse(&bytes, name) {
                prop_assert!(!config.storage.data_dir.as_os_str().is_empty());
            }
        }
    }

    #[test]
    fn lines_that_nearly_mean_something_are_read_without_a_panic(
        parts in proptest::collection::vec(fragment(), 0..40),
    ) {
        let text = parts.concat();
        for name in ["zoo.cfg", "a.toml"] {
            let format = Format::of_name(name);
            let flags = [("JVMFLAGS", text.as_str())];
            let examination = file_with(name, &text, &flags, &[("a", &text), ("/d/myid", &text)]);
            for error in &examination.errors {
                prop_assert!(!error.to_string().contains('\n'));
            }
            for to in [Format::ZooCfg, Format::Toml] {
                let Ok(converted) = convert::convert(text.as_bytes(), name, format, to) else {
                    continue;
                };
                let name = if to == Format::Toml { "b.toml" } else { "b.cfg" };
                let after = file_with(name, &converted.text, &flags, &[("a", &text), ("/d/myid", &text)]);
                prop_assert_eq!(
                    settings(&examination.config), settings(&after.config),
                    "{}\n{}", text, converted.text
                );
            }
        }
    }
}
