//! Quotas: which paths have one, and the text of their limits and figures (`Quotas`, `StatsTrack`,
//! `PathTrie`).
//!
//! A quota on `/a` is a node `/zookeeper/quota/a/zookeeper_limits` with its limits, and beside it
//! `zookeeper_stats` with the figures, which each server rewrites by itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Below it lie the quotas.
pub const QUOTA_ROOT: &str = "/zookeeper/quota";

/// The name of the node with the limits.
pub const LIMIT_NAME: &str = "zookeeper_limits";

/// The name of the node with the figures.
pub const STAT_NAME: &str = "zookeeper_stats";

/// Where the limits of a path with a quota stand.
pub fn limit_path(path: &str) -> String {
    format!("{QUOTA_ROOT}{path}/{LIMIT_NAME}")
}

/// Where the figures of a path with a quota stand.
pub fn stat_path(path: &str) -> String {
    format!("{QUOTA_ROOT}{path}/{STAT_NAME}")
}

/// The paths that have a quota, as a tree of names.
#[derive(Debug, Default)]
pub struct QuotaPaths {
    root: Name,
    count: usize,
}

#[derive(Debug, Default)]
struct Name {
    has_quota: bool,
    below: HashMap<Box<str>, Name>,
}

/// The names of a path.
// ZooKeeper: PathTrie.split passes over names of nothing but spaces.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.trim_matches(|c| c <= ' ').is_empty())
}

impl QuotaPaths {
    /// A path has a quota now.
    pub fn add(&mut self, path: &str) {
        if names(path).count() > DEPTH_MAX {
            return;
        }
        let mut at = &mut self.root;
        for name in names(path) {
            if !at.below.contains_key(name) {
                at.below.insert(name.into(), Name::default());
            }
            at = at.below.get_mut(name).expect("it was just put there");
        }
        if !at.has_quota {
            at.has_quota = true;
            self.count += 1;
        }
    }

    /// A path has no quota any more.
    pub fn remove(&mut self, path: &str) {
        fn remove<'a>(at: &mut Name, mut rest: impl Iterator<Item = &'a str>) -> bool {
            let Some(name) = rest.next() else { return std::mem::take(&mut at.has_quota) };
            let Some(child) = at.below.get_mut(name) else { return false };
            let removed = remove(child, rest);
            if !child.has_quota && child.below.is_empty() {
                at.below.remove(name);
            }
            removed
        }
        if names(path).count() <= DEPTH_MAX && remove(&mut self.root, names(path)) {
            self.count -= 1;
        }
    }

    /// Whether no path has a quota.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The deepest path with a quota among `path` and those above it.
    ///
    /// The root's own does not count: ZooKeeper keeps none for it.
    pub fn deepest(&self, path: &str) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let mut at = &self.root;
        let mut depth = 0;
        for (level, name) in names(path).enumerate() {
            let Some(child) = at.below.get(name) else { break };
            at = child;
            if at.has_quota {
                depth = level + 1;
            }
        }
        if depth == 0 {
            return None;
        }
        let mut found = String::with_capacity(path.len());
        for name in names(path).take(depth) {
            found.push('/');
            found.push_str(name);
        }
        Some(found)
    }
}

/// Deepest path whose quota is kept: far deeper than any real one, and far from the stack's end,
/// because names lie in one another and are dropped so.
const DEPTH_MAX: usize = 1024;

/// Limits or figures of a quota; -1 is "none".
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct QuotaNumbers {
    values: BTreeMap<String, i64>,
}

impl QuotaNumbers {
    /// Number of nodes.
    pub const COUNT: &'static str = "count";
    /// Bytes of data.
    pub const BYTES: &'static str = "bytes";
    /// Hard limit of nodes.
    pub const COUNT_HARD: &'static str = "countHardLimit";
    /// Hard limit of bytes.
    pub const BYTES_HARD: &'static str = "byteHardLimit";

    /// Reads `count=N,bytes=M=;byteHardLimit=H;countHardLimit=C`.
    // ZooKeeper: StatsTrack throws on text that is none, in the request or, worse, at apply. Here
    // a part that is no number is passed over.
    pub fn parse(data: Option<&[u8]>) -> QuotaNumbers {
        let text = String::from_utf8_lossy(data.unwrap_or_default());
        let mut values = BTreeMap::new();
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            let value = if value.is_empty() { Some(-1) } else { value.parse().ok() };
            if let Some(value) = value {
                values.insert(key.to_owned(), value);
            }
        }
        QuotaNumbers { values }
    }

    /// The figures of a subtree.
    pub fn of(count: i64, bytes: i64) -> QuotaNumbers {
        let mut numbers = QuotaNumbers::default();
        numbers.set(Self::COUNT, count);
        numbers.set(Self::BYTES, bytes);
        numbers
    }

    /// A number; -1 if it is not there.
    pub fn get(&self, key: &str) -> i64 {
        self.values.get(key).copied().unwrap_or(-1)
    }

    /// Sets a number.
    pub fn set(&mut self, key: &str, value: i64) {
        self.values.insert(key.to_owned(), value);
    }

    /// The limit that more by these differences is beyond, with the figures of `now`; a hard one
    /// rather than a soft one.
    // ZooKeeper: ZooKeeperServer.checkQuota; a soft limit only counts where there is no hard one,
    // and only makes a line in the log.
    pub fn excess(
        &self,
        now: &QuotaNumbers,
        bytes_delta: i64,
        count_delta: i64,
    ) -> Option<QuotaExcess> {
        let excess = |hard: &str, figure: &'static str, delta: i64| {
            let is_hard = self.get(hard) > -1;
            let limit = self.get(if is_hard { hard } else { figure });
            let reached = now.get(figure).saturating_add(delta);
            (delta != 0 && limit > -1 && reached > limit).then_some(QuotaExcess {
                figure,
                reached,
                limit,
                is_hard,
            })
        };
        let count = excess(Self::COUNT_HARD, Self::COUNT, count_delta);
        let bytes = excess(Self::BYTES_HARD, Self::BYTES, bytes_delta);
        match (count, bytes) {
            (Some(count), Some(bytes)) if bytes.is_hard && !count.is_hard => Some(bytes),
            (count, bytes) => count.or(bytes),
        }
    }
}

/// A limit, and what goes beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExcess {
    /// `count` or `bytes`.
    pub figure: &'static str,
    /// What the figure would be.
    pub reached: i64,
    /// What it should not be beyond.
    pub limit: i64,
    /// Whether the limit forbids it; a soft one only asks for a line in the log.
    pub is_hard: bool,
}

impl fmt::Display for QuotaNumbers {
    /// `count` and `bytes` first; then a `=` at which older servers stop reading, and the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.get(Self::COUNT), self.get(Self::BYTES))?;
        let more = |key: &&String| *key != Self::COUNT && *key != Self::BYTES;
        if self.values.keys().any(|key| more(&key)) {
            f.write_str("=")?;
        }
        for (key, value) in self.values.iter().filter(|(key, _)| more(key)) {
            write!(f, ";{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_quota_counts() {
        let mut paths = QuotaPaths::default();
        assert_eq!(paths.deepest("/a/b/c"), None);
        paths.add("/a");
        paths.add("/a/b/c");
        assert_eq!(paths.deepest("/a/b/c/d").as_deref(), Some("/a/b/c"));
        assert_eq!(paths.deepest("/a/b").as_deref(), Some("/a"));
        assert_eq!(paths.deepest("/ab"), None);
        paths.remove("/a");
        assert_eq!(paths.deepest("/a/b"), None);
        assert_eq!(paths.deepest("/a/b/c").as_deref(), Some("/a/b/c"));
        paths.remove("/a/b/c");
        assert_eq!(paths.count, 0);
        assert!(paths.root.below.is_empty());
    }

    #[test]
    fn a_quota_of_the_root_is_none() {
        let mut paths = QuotaPaths::default();
        paths.add("");
        assert_eq!(paths.deepest("/a"), None);
        assert_eq!(paths.deepest("/"), None);
    }

    #[test]
    fn the_text_is_zookeepers() {
        assert_eq!(QuotaNumbers::of(3, 10).to_string(), "count=3,bytes=10");
        let text = "count=2,bytes=-1=;byteHardLimit=5;countHardLimit=-1";
        let numbers = QuotaNumbers::parse(Some(text.as_bytes()));
        assert_eq!(numbers.get(QuotaNumbers::COUNT), 2);
        assert_eq!(numbers.get(QuotaNumbers::BYTES), -1);
        assert_eq!(numbers.get(QuotaNumbers::BYTES_HARD), 5);
        assert_eq!(numbers.to_string(), text);
        assert_eq!(QuotaNumbers::parse(None).to_string(), "count=-1,bytes=-1");
        assert_eq!(QuotaNumbers::parse(Some(b"x")).to_string(), "count=-1,bytes=-1");
    }

    #[test]
    fn only_hard_limits_forbid() {
        let now = QuotaNumbers::of(2, 10);
        let soft = QuotaNumbers::parse(Some(b"count=2,bytes=10"));
        let excess = |limits: &QuotaNumbers, now: &QuotaNumbers, bytes, count| {
            limits.excess(now, bytes, count).map(|excess| (excess.figure, excess.is_hard))
        };
        assert_eq!(excess(&soft, &now, 100, 1), Some(("count", false)));
        assert_eq!(excess(&soft, &now, 100, 0), Some(("bytes", false)));
        let hard =
            QuotaNumbers::parse(Some(b"count=-1,bytes=-1=;byteHardLimit=12;countHardLimit=3"));
        assert_eq!(excess(&hard, &now, 2, 1), None);
        assert_eq!(excess(&hard, &now, 3, 1), Some(("bytes", true)));
        assert_eq!(excess(&hard, &QuotaNumbers::of(3, 0), 0, 1), Some(("count", true)));
        assert_eq!(excess(&hard, &QuotaNumbers::of(9, 99), 0, 0), None, "no change, no check");
        let mixed = QuotaNumbers::parse(Some(b"count=1,bytes=-1=;byteHardLimit=12"));
        assert_eq!(excess(&mixed, &now, 9, 1), Some(("bytes", true)), "what forbids comes first");
    }
}
