//! Which texts are paths (`PathUtils`), and their parts.
//!
//! create, setData, setACL and check need a valid path. A delete and the reads do not: except for the empty path,
//! which names the root, a malformed path names no node, and the request fails with "no node".

/// The root.
pub const ROOT: &str = "/";

/// Whether a path is well formed: it is absolute, has no trailing slash, no component that is empty, `.` or `..`, and
/// no character that ZooKeeper refuses.
pub fn is_valid(path: &str) -> bool {
    // A relative path is none.
    let Some(rest) = path.strip_prefix('/') else { return false };
    rest.is_empty() || (rest.split('/').all(is_valid_name) && rest.chars().all(is_allowed))
}

/// Whether a component is neither empty (`//`, a trailing slash) nor relative.
fn is_valid_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
}

// ZooKeeper: PathUtils checks each UTF-16 unit, and so refuses every character beyond the first plane as a surrogate.
fn is_allowed(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..
    )
}

/// The parent's path; [`ROOT`] for the root's children. `None` if the path has no slash, or a NUL, which ZooKeeper
/// finds before it looks for the parent.
pub fn parent(path: &str) -> Option<&str> {
    let slash = path.rfind('/')?;
    if path.as_bytes().contains(&0) {
        return None;
    }
    // ZooKeeper's table has the root twice, as "" and as "/". Here the root has one name.
    Some(if slash == 0 { ROOT } else { &path[..slash] })
}

/// The name under which a node is found: as in ZooKeeper, "" is another name of the root.
#[inline]
pub fn lookup_name(path: &str) -> &str {
    if path.is_empty() { ROOT } else { path }
}

/// Whether a node can never be deleted (`ZKDatabase.isSpecialPath`).
pub fn is_special(path: &str) -> bool {
    // The nodes that every tree has from the start: without them there is no place for quotas and for the
    // configuration.
    matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_valid_exactly_as_in_zookeeper() {
        for good in ["/", "/a", "/a/b", "/a..b", "/...", "/.a", "/\u{d7ff}", "/\u{f900}", "/\u{a0}"]
        {
            assert!(is_valid(good), "{good:?}");
        }
        let bad = [
            "",
            "a",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/\0",
            "/\u{1}",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{fffd}",
            "/\u{1f600}",
        ];
        for bad in bad {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_parent_of_a_first_level_node_is_the_root() {
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/"), Some("/"));
        assert_eq!(parent("/a/"), Some("/a"));
        assert_eq!(parent("a"), None);
        assert_eq!(parent("/a\0/b"), None);
    }
}
