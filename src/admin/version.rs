//! The version that the server reports.

/// The release of ZooKeeper whose behaviour is reproduced: clients and tools choose features by it.
const ZOOKEEPER_VERSION: &str = "3.9.4";

/// The full version: ZooKeeper's number first, because tools read digits and dots from the start
/// (kazoo's `server_version`, the usual monitoring agents), ours where ZooKeeper has the hash of
/// its commit.
///
/// A build that needs a distinct version sets `RINGKEEPER_BUILD_DATE` while it compiles.
pub fn full_version() -> String {
    let built = option_env!("RINGKEEPER_BUILD_DATE").unwrap_or("unknown date");
    format!("{ZOOKEEPER_VERSION}-ringkeeper-{}, built on {built}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_find_three_numbers_at_the_start_and_a_date_after_a_comma() {
        let version = full_version();
        let digits: String =
            version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        assert_eq!(digits, "3.9.4");
        assert!(version.contains("-ringkeeper-"));
        assert_eq!(version.matches(", built on ").count(), 1);
    }
}
