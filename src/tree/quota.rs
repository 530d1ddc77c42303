//! Quotas: which paths have one, and the text of their limits and figures (`Quotas`, `StatsTrack`,
//! `PathTrie`).
//!
//! A quota on `/a` is a node `/zookeeper/quota/a/zookeeper_limits` with its limits, and beside it
//! `zookeeper_stats` with the figures, which each server rewrites by itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::limits;

/// The parent of all quota nodes.
pub const QUOTA_ROOT: &str = "/zookeeper/quota";

/// The name of the node with the limits.
pub const LIMIT_NAME: &str = "zookeeper_limits";

/// The name of the node with the figures.
pub const STAT_NAME: &str = "zookeeper_stats";

/// The node with the limits of a path with a quota.
pub fn limit_path(path: &str) -> String {
    format!("{QUOTA_ROOT}{path}/{LIMIT_NAME}")
}

/// The node with the figures of a path with a quota.
pub fn stat_path(path: &str) -> String {
    format!("{QUOTA_ROOT}{path}/{STAT_NAME}")
}

/// The paths that have a quota, as a tree of names, with the contents of their nodes.
///
/// The nodes are authoritative, and this is their parsed content: a node may be as long as a request,
/// and every create below the path needs its content.
#[derive(Debug, Default)]
pub struct QuotaPaths {
    /// The name of no path: where all begin.
    root: Name,
    /// How many paths have a quota.
    count: usize,
}

/// The contents of the nodes of one quota.
#[derive(Debug, Default)]
pub struct Quota {
    /// `None`: the node is not there.
    pub limits: Option<QuotaNumbers>,
    /// Likewise.
    pub figures: Option<QuotaNumbers>,
}

#[derive(Debug, Default)]
struct Name {
    /// The quota of the path that ends with this name.
    quota: Option<Box<Quota>>,
    /// The names that go on from here. Invariant: each leads to a quota.
    below: HashMap<Box<str>, Name>,
}

/// The names of a path.
// ZooKeeper: PathTrie.split skips names that consist of spaces.
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
        if at.quota.is_none() {
            at.quota = Some(Box::default());
            self.count += 1;
        }
    }

    /// The quota of a path, if it has one.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Quota> {
        let mut at = &mut self.root;
        for name in names(path) {
            at = at.below.get_mut(name)?;
        }
        at.quota.as_deref_mut()
    }

    /// A path has no quota any more.
    pub fn remove(&mut self, path: &str) {
        fn remove<'a>(at: &mut Name, mut rest: impl Iterator<Item = &'a str>) -> bool {
            // The path ends here: its quota goes, if it has one.
            let Some(name) = rest.next() else { return at.quota.take().is_some() };
            // No path with a quota begins like this.
            let Some(child) = at.below.get_mut(name) else { return false };
            let removed = remove(child, rest);
            if child.quota.is_none() && child.below.is_empty() {
                at.below.remove(name);
            }
            removed
        }
        if names(path).count() <= DEPTH_MAX && remove(&mut self.root, names(path)) {
            assert!(self.count > 0, "what is counted in is counted out");
            self.count -= 1;
        }
    }

    /// Whether no path has a quota.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The deepest path with a quota among `path` and its ancestors, and the quota.
    ///
    /// The root's own does not count: ZooKeeper keeps none for it.
    pub fn deepest(&self, path: &str) -> Option<(String, &Quota)> {
        if self.is_empty() {
            return None;
        }
        let mut at = &self.root;
        let mut found = None;
        for (level, name) in names(path).enumerate() {
            let Some(child) = at.below.get(name) else { break };
            at = child;
            if let Some(quota) = &at.quota {
                found = Some((level + 1, &**quota));
            }
        }
        let (depth, quota) = found?;
        Some((names(path).take(depth).fold(String::new(), |above, name| above + "/" + name), quota))
    }

    /// The path of a quota, built from its names.
    pub fn canonical(path: &str) -> String {
        names(path).fold(String::new(), |above, name| above + "/" + name)
    }
}

/// Greatest depth of a path whose quota is kept: far deeper than any real path, and small enough for
/// the stack, because nested names are dropped recursively.
const DEPTH_MAX: usize = 1024;

/// Limits or figures of a quota; -1 is "none".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaNumbers {
    /// Number of nodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
    /// Hard limit of nodes.
    pub count_hard: i64,
    /// Hard limit of bytes.
    pub bytes_hard: i64,
    /// All numbers but the first two, as they are written: each after a `;`.
    others: String,
}

impl Default for QuotaNumbers {
    fn default() -> Self {
        QuotaNumbers { count: -1, bytes: -1, count_hard: -1, bytes_hard: -1, others: String::new() }
    }
}

impl QuotaNumbers {
    /// Reads `count=N,bytes=M=;byteHardLimit=H;countHardLimit=C`, of a long text only what fits into
    /// [`QUOTA_TEXT_BYTES_MAX`](limits::QUOTA_TEXT_BYTES_MAX).
    // ZooKeeper: StatsTrack throws on invalid text, in the request or, worse, at apply. Here a part
    // that is no number is skipped. StatsTrack reads, and writes again at each change, a text of any
    // length.
    pub fn parse(data: Option<&[u8]>) -> QuotaNumbers {
        let is_end = |byte: &u8| matches!(byte, b',' | b';');
        let mut data = data.unwrap_or_default();
        if data.len() > limits::QUOTA_TEXT_BYTES_MAX {
            data = &data[..limits::QUOTA_TEXT_BYTES_MAX];
            // A number that is cut in two may look like another number.
            data = &data[..data.iter().rposition(is_end).unwrap_or(0)];
        }
        assert!(data.len() <= limits::QUOTA_TEXT_BYTES_MAX, "a long text was cut");
        let text = String::from_utf8_lossy(data);
        let mut values = BTreeMap::new();
        for pair in text.split([',', ';']) {
            let mut parts = pair.split('=');
            let (Some(key), Some(value)) = (parts.next(), parts.next()) else { continue };
            let value = if value.is_empty() { Some(-1) } else { value.parse::<i64>().ok() };
            if let Some(value) = value {
                values.insert(key, value);
            }
        }
        let mut numbers = QuotaNumbers::default();
        for (key, value) in values {
            match key {
                "count" => numbers.count = value,
                "bytes" => numbers.bytes = value,
                _ => {
                    numbers.others += &format!(";{key}={value}");
                    match key {
                        "countHardLimit" => numbers.count_hard = value,
                        "byteHardLimit" => numbers.bytes_hard = value,
                        _ => {}
                    }
                }
            }
        }
        numbers
    }

    /// The figures of a subtree.
    pub fn of(count: i64, bytes: i64) -> QuotaNumbers {
        QuotaNumbers { count, bytes, ..QuotaNumbers::default() }
    }

    /// Adds these numbers of nodes and bytes.
    pub fn add(&mut self, count: i64, bytes: i64) {
        self.count = self.count.wrapping_add(count);
        self.bytes = self.bytes.wrapping_add(bytes);
    }

    /// The limit that the figures `now` exceed after these additions; a hard limit rather than a soft
    /// one.
    // ZooKeeper: ZooKeeperServer.checkQuota; a soft limit only counts where there is no hard one,
    // and only causes a line in the log.
    pub fn excess(
        &self,
        now: &QuotaNumbers,
        bytes_delta: i64,
        count_delta: i64,
    ) -> Option<QuotaExcess> {
        let excess = |figure: &'static str, hard: i64, soft: i64, now: i64, delta: i64| {
            let is_hard = hard > -1;
            let limit = if is_hard { hard } else { soft };
            let reached = now.saturating_add(delta);
            let is_excess = delta != 0 && limit > -1 && reached > limit;
            is_excess.then_some(QuotaExcess { figure, reached, limit, is_hard })
        };
        let count = excess("count", self.count_hard, self.count, now.count, count_delta);
        let bytes = excess("bytes", self.bytes_hard, self.bytes, now.bytes, bytes_delta);
        match (count, bytes) {
            (Some(count), Some(bytes)) if bytes.is_hard && !count.is_hard => Some(bytes),
            (count, bytes) => count.or(bytes),
        }
    }
}

/// A limit, and the figure that exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExcess {
    /// `count` or `bytes`.
    pub figure: &'static str,
    /// The value that the figure would have.
    pub reached: i64,
    /// The largest value that it should have.
    pub limit: i64,
    /// Whether the limit forbids it; a soft one only asks for a line in the log.
    pub is_hard: bool,
}

impl fmt::Display for QuotaNumbers {
    /// `count` and `bytes` first; then a `=` at which older servers stop reading, and the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={},bytes={}", self.count, self.bytes)?;
        if self.others.is_empty() { Ok(()) } else { write!(f, "={}", self.others) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_quota_counts() {
        let mut paths = QuotaPaths::default();
        let deepest = |paths: &QuotaPaths, path| paths.deepest(path).map(|(path, _)| path);
        assert_eq!(deepest(&paths, "/a/b/c"), None);
        paths.add("/a");
        paths.add("/a/b/c");
        assert_eq!(deepest(&paths, "/a/b/c/d").as_deref(), Some("/a/b/c"));
        assert_eq!(deepest(&paths, "/a/b").as_deref(), Some("/a"));
        assert_eq!(deepest(&paths, "/ab"), None);
        paths.remove("/a");
        assert_eq!(deepest(&paths, "/a/b"), None);
        assert_eq!(deepest(&paths, "/a/b/c").as_deref(), Some("/a/b/c"));
        paths.remove("/a/b/c");
        assert_eq!(paths.count, 0);
        assert!(paths.root.below.is_empty());
    }

    #[test]
    fn a_quota_of_the_root_is_none() {
        let mut paths = QuotaPaths::default();
        paths.add("");
        assert!(paths.deepest("/a").is_none());
        assert!(paths.deepest("/").is_none());
    }

    #[test]
    fn the_text_is_zookeepers() {
        assert_eq!(QuotaNumbers::of(3, 10).to_string(), "count=3,bytes=10");
        let text = "count=2,bytes=-1=;byteHardLimit=5;countHardLimit=-1";
        let numbers = QuotaNumbers::parse(Some(text.as_bytes()));
        assert_eq!(numbers.count, 2);
        assert_eq!(numbers.bytes, -1);
        assert_eq!(numbers.bytes_hard, 5);
        assert_eq!(numbers.to_string(), text);
        assert_eq!(QuotaNumbers::parse(None).to_string(), "count=-1,bytes=-1");
        assert_eq!(QuotaNumbers::parse(Some(b"x")).to_string(), "count=-1,bytes=-1");
    }

    #[test]
    fn of_a_long_text_the_beginning_is_read_up_to_a_whole_number() {
        let mut text = "count=2,bytes=7=".to_owned();
        while text.len() + 20 < limits::QUOTA_TEXT_BYTES_MAX {
            text += &format!(";n{}=1", text.len());
        }
        let kept = QuotaNumbers::parse(Some(text.as_bytes()));
        assert_eq!((kept.count, kept.bytes), (2, 7));
        text += ";countHardLimit=1234567";
        let cut = QuotaNumbers::parse(Some(text.as_bytes()));
        assert_eq!(cut, kept, "1234567 is not 1");
        assert!(cut.to_string().len() <= limits::QUOTA_TEXT_BYTES_MAX);
        let junk = vec![b'x'; 1 << 20];
        assert_eq!(QuotaNumbers::parse(Some(&junk)), QuotaNumbers::default());
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
