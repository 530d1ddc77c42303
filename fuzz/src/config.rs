//! Configuration files and flags.

use std::path::Path;

use ringkeeper::config::convert::convert;
use ringkeeper::config::{Config, Format, SourceFile, Sources, examine, parse};

/// The first byte chooses the form of the file. Then come, separated by zero bytes, the file, the `-D` words, and
/// the content of the files that it names.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let (name, form, other_name, other) = if choice % 2 == 0 {
        ("zoo.cfg", Format::ZooCfg, "zoo.toml", Format::Toml)
    } else {
        ("zoo.toml", Format::Toml, "zoo.cfg", Format::ZooCfg)
    };
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let flags = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let named = parts.next().unwrap_or_default();

    let flags = [("SERVER_JVMFLAGS", flags.as_ref())];
    let file_source = SourceFile { name, bytes: file, format: form };
    let mut read_file = |_: &Path| Ok(Some(named.to_vec()));
    let examined = examine(
        Sources { file: Some(file_source), flags: &flags, properties: &[] },
        Some(&mut read_file),
    );
    for error in &examined.errors {
        assert!(!error.to_string().is_empty());
    }

    // A valid configuration stays the same through conversion to the other form, and back.
    let Ok(config) = parse(file, name) else { return };
    let Ok(there) = convert(file, name, form, other) else {
        panic!("a valid configuration cannot be converted");
    };
    match parse(there.text.as_bytes(), other_name) {
        Ok(converted) => same(&config, &converted),
        Err(errors) => panic!("the conversion is refused: {errors:?}\n{}", there.text),
    }
    let back = convert(there.text.as_bytes(), other_name, other, form)
        .unwrap_or_else(|errors| panic!("no way back: {errors:?}\n{}", there.text));
    match parse(back.text.as_bytes(), name) {
        Ok(returned) => same(&config, &returned),
        Err(errors) => panic!("the way back is refused: {errors:?}\n{}", back.text),
    }
}

/// Checks that every typed value is equal; the place of a value in the text may differ.
fn same(one: &Config, other: &Config) {
    assert_eq!(one.storage, other.storage);
    assert_eq!(one.network, other.network);
    assert_eq!(one.sessions, other.sessions);
    assert_eq!(one.limits, other.limits);
    assert_eq!(one.security, other.security);
    assert_eq!(one.nodes, other.nodes);
    assert_eq!(one.admin, other.admin);
    assert_eq!(one.quorum, other.quorum);
    assert_eq!(one.own, other.own);
}
