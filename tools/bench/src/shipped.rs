//! The definitions of `benches/definitions`, built into the program, so that it runs from any folder.
//!
//! A folder on the command line takes their place. A new file in `benches/definitions` needs a line here; a test
//! compares the two.

use crate::definition::Definition;

macro_rules! texts {
    ($($name:literal,)*) => {
        &[$((
            $name,
            include_str!(concat!("../../../benches/definitions/", $name, ".toml")),
        ),)*]
    };
}

/// Name and text of each, by name.
const SHIPPED: &[(&str, &str)] = texts![
    "beside-busy-loops-reads",
    "beside-busy-loops-writes",
    "connect-storm",
    "cpu-quota-reads",
    "cpu-quota-writes",
    "creates-100x16",
    "discovery",
    "discovery-expiry",
    "ephemeral-churn",
    "everything",
    "failures",
    "fan-out",
    "full-disk",
    "keeper-bench",
    "ladder-children",
    "ladder-children-list",
    "ladder-depth",
    "ladder-multi",
    "ladder-rate",
    "ladder-servers",
    "ladder-servers-reads",
    "ladder-sessions",
    "ladder-sessions-reads",
    "ladder-values",
    "ladder-watchers",
    "ladder-watches",
    "ladder-znodes",
    "lock-contended",
    "lock-free",
    "mixed-99x4",
    "one-hot",
    "open-2000",
    "read-ratio",
    "reads-1000x1",
    "reads-100x1",
    "reads-100x16",
    "reads-1x1",
    "reads-99x16",
    "reads-watched",
    "writes-100x1",
    "writes-100x16",
    "writes-1x1",
    "writes-99x1",
    "writes-99x16",
    "writes-beside-snapshots",
    "zipfian-90",
];

/// All definitions, by name.
///
/// # Errors
/// A definition is malformed, which a test rules out.
pub fn all() -> Result<Vec<Definition>, String> {
    SHIPPED.iter().map(|(name, text)| Definition::parse(name, text)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn everything_in_the_folder_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/definitions");
        let names = |definitions: Vec<Definition>| -> Vec<String> {
            let mut names: Vec<String> =
                definitions.into_iter().map(|definition| definition.name).collect();
            // The names are sorted without their ending, which would change the order.
            names.sort();
            names
        };
        let there = names(Definition::read_folder(Path::new(folder)).unwrap());
        assert_eq!(names(all().unwrap()), there);
    }
}
