//! Names of log and snapshot files, and decisions that need only a list of names (`Util`, `FileTxnLog`,
//! `PurgeTxnLog`). Pure functions: the edge lists the folders.

use crate::id::Zxid;

/// The log whose first transaction is `zxid` (`Util.makeLogName`).
pub fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// The snapshot of the state at `zxid` (`Util.makeSnapshotName`).
pub fn snapshot_name(zxid: Zxid) -> String {
    format!("snapshot.{:x}", zxid.0)
}

/// The zxid in the name of a log. `None`: not the name of one.
pub fn log_zxid(name: &str) -> Option<Zxid> {
    zxid_of(name.strip_prefix(LOG_PREFIX)?)
}

/// The zxid in the name of a snapshot, compressed or not. `None`: not the name of one.
pub fn snapshot_zxid(name: &str) -> Option<Zxid> {
    zxid_of(snapshot_digits(name)?)
}

/// Whether this is the snapshot that a member of an ensemble writes when it has no data (zxid -1).
///
/// ZooKeeper: Long.parseLong refuses the number, so Util.getZxidFromName returns -1 for it, and FileTxnSnapLog
/// does not take it for a snapshot.
pub fn is_of_no_data(name: &str) -> bool {
    snapshot_digits(name).is_some_and(|digits| digits == format!("{:x}", Zxid::NONE.0))
}

/// The text between the prefix and the suffix of a snapshot's name.
fn snapshot_digits(name: &str) -> Option<&str> {
    let rest = name.strip_prefix(SNAPSHOT_PREFIX)?;
    let compressed = SNAPSHOT_SUFFIXES.iter().find_map(|suffix| rest.strip_suffix(suffix));
    Some(compressed.unwrap_or(rest))
}

/// Whether a server gives a log or a snapshot this name.
pub fn is_ours(name: &str) -> bool {
    log_zxid(name).is_some() || snapshot_zxid(name).is_some()
}

/// Whether the name looks like that of a log or a snapshot, although no server ever gives such a name: a copy
/// such as `log.1.bak`. Ringkeeper leaves it alone; ZooKeeper may not.
pub fn is_foreign(name: &str) -> bool {
    let looks_so = name.starts_with(LOG_PREFIX) || name.starts_with(SNAPSHOT_PREFIX);
    looks_so && !is_ours(name) && !is_of_no_data(name)
}

const LOG_PREFIX: &str = "log.";
const SNAPSHOT_PREFIX: &str = "snapshot.";
/// The suffixes of compressed snapshots' names (`SnapStream.StreamMode.getFileExtension`).
const SNAPSHOT_SUFFIXES: [&str; 2] = [".gz", ".snappy"];

/// Accepts only numbers as a server writes them with `Long.toHexString`: lower case, without a sign or leading
/// zeroes.
///
/// ZooKeeper: Util.getZxidFromName takes the text between the first two dots, also in upper case and with
/// leading zeroes, so that it replays `log.1.bak` and `log.01` beside `log.1`. Java's parser stops at the
/// largest positive long, and so does this one.
fn zxid_of(digits: &str) -> Option<Zxid> {
    let written = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !digits.bytes().all(written) || (digits.starts_with('0') && digits != "0") {
        return None;
    }
    i64::from_str_radix(digits, 16).ok().map(Zxid)
}

/// The logs, oldest first, with their zxids.
pub fn logs<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(Zxid, &'a str)> {
    let mut logs: Vec<_> =
        names.into_iter().filter_map(|name| Some((log_zxid(name)?, name))).collect();
    logs.sort_unstable();
    logs
}

/// The snapshots, newest first, with their zxids.
pub fn snapshots<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(Zxid, &'a str)> {
    let mut snapshots: Vec<_> =
        names.into_iter().filter_map(|name| Some((snapshot_zxid(name)?, name))).collect();
    snapshots.sort_unstable_by(|a, b| b.cmp(a));
    snapshots
}

/// From a list made by [`logs`]: those that may hold transactions after the state at `zxid`.
///
/// That is the last one that begins at or before it, and all after that one
/// (`FileTxnLog.getLogFiles`).
pub fn logs_from<'a, 'n>(logs: &'a [(Zxid, &'n str)], zxid: Zxid) -> &'a [(Zxid, &'n str)] {
    assert!(logs.first() <= logs.last(), "the list is sorted");
    let after = logs.partition_point(|(first, _)| *first <= zxid);
    &logs[after.saturating_sub(1)..]
}

/// Fewest snapshots that may be kept (`autopurge.snapRetainCount`).
pub const SNAPSHOTS_KEPT_MIN: usize = 3;

/// What a purge removes (`PurgeTxnLog`).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Purge {
    /// Names in the snapshot folder.
    pub snapshots: Vec<String>,
    /// Names in the log folder.
    pub logs: Vec<String>,
}

/// The files to remove if the newest `kept` snapshots, and every log that one of them needs, are kept.
///
/// `snapshots` are those known to be [finished](crate::snapshot::look): one that was never
/// finished must not count as kept. `kept` below 3 is 3.
pub fn purge<'a>(
    snapshots_plausible: impl IntoIterator<Item = &'a str>,
    snapshots_all: impl IntoIterator<Item = &'a str>,
    logs_all: impl IntoIterator<Item = &'a str>,
    kept: usize,
) -> Purge {
    let plausible = snapshots(snapshots_plausible);
    let kept = kept.max(SNAPSHOTS_KEPT_MIN).min(plausible.len());
    let Some((oldest_kept, _)) = kept.checked_sub(1).map(|last| plausible[last]) else {
        return Purge::default();
    };
    let logs = logs(logs_all);
    let needed = logs_from(&logs, oldest_kept);
    assert!(kept <= plausible.len());
    assert!(kept == plausible.len() || kept >= SNAPSHOTS_KEPT_MIN, "enough snapshots stay");
    assert!(needed.len() <= logs.len());
    let unneeded = &logs[..logs.len() - needed.len()];
    let is_old = |name: &&str| {
        is_of_no_data(name) || snapshot_zxid(name).is_some_and(|zxid| zxid < oldest_kept)
    };
    let mut old: Vec<String> =
        snapshots_all.into_iter().filter(is_old).map(str::to_owned).collect();
    old.sort_unstable_by_key(|name| std::cmp::Reverse(snapshot_zxid(name)));
    Purge {
        snapshots: old,
        logs: unneeded
            .iter()
            .filter(|(zxid, _)| *zxid < oldest_kept)
            .map(|(_, name)| (*name).to_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_server_writes_are_read() {
        assert_eq!(log_zxid("log.100000001"), Some(Zxid(0x1_0000_0001)));
        assert_eq!(log_zxid("log.0"), Some(Zxid(0)));
        assert_eq!(log_zxid("log.7fffffffffffffff"), Some(Zxid(i64::MAX)));
        assert_eq!(snapshot_zxid("snapshot.ab"), Some(Zxid(0xab)));
        assert_eq!(snapshot_zxid("snapshot.ab.gz"), Some(Zxid(0xab)));
        assert_eq!(snapshot_zxid("snapshot.ab.snappy"), Some(Zxid(0xab)));
        for zxid in [0, 1, 0xab, 0xf_0000_0010, i64::MAX].map(Zxid) {
            assert_eq!(log_zxid(&log_name(zxid)), Some(zxid));
            assert_eq!(snapshot_zxid(&snapshot_name(zxid)), Some(zxid));
        }
        let neither = ["log", "logs.1", "x.log.1", "snapshot", "currentEpoch", "Log.1"];
        for other in neither {
            assert_eq!((log_zxid(other), snapshot_zxid(other)), (None, None), "{other}");
            assert!(!is_foreign(other), "{other}");
        }
        let foreign = [
            "log.",
            "log.x",
            "log.-1",
            "log.+1",
            "log.01",
            "log.00",
            "log.aB",
            "log.1.bak",
            "log.1.gz",
            "log.1.",
            "log.1~",
            "log.0x1",
            "log.8000000000000000",
            "log.10000000000000001",
            "log. 1",
            "snapshot.",
            "snapshot.aB.gz",
            "snapshot.1.GZ",
            "snapshot.1.bak",
            "snapshot.1.gz.bak",
            "snapshot.1.gz.gz",
            "snapshot.01",
            "snapshot..gz",
            "snapshot.tmp",
            "snapshot.1.tar.gz",
        ];
        for other in foreign {
            assert_eq!((log_zxid(other), snapshot_zxid(other)), (None, None), "{other}");
            assert!(is_foreign(other), "{other}");
        }
        assert!(!is_foreign("log.1") && !is_foreign("snapshot.1.snappy"));
    }

    #[test]
    fn replay_begins_in_the_log_that_holds_the_snapshots_zxid() {
        let logs = logs(["log.9", "log.1", "snapshot.1", "log.5", "log.a"]);
        let from = |zxid| logs_from(&logs, Zxid(zxid)).iter().map(|(_, name)| *name).collect();
        let all: Vec<&str> = from(0);
        assert_eq!(all, ["log.1", "log.5", "log.9", "log.a"]);
        assert_eq!(from(1), all);
        assert_eq!(from(4), all);
        assert_eq!(from(5), all[1..]);
        assert_eq!(from(8), all[1..]);
        assert_eq!(from(0x99), all[3..]);
    }

    #[test]
    fn a_purge_keeps_the_newest_snapshots_and_the_logs_they_need() {
        let snapshots = ["snapshot.0", "snapshot.5", "snapshot.9.gz", "snapshot.c", "snapshot.10"];
        let logs = ["log.1", "log.6", "log.8", "log.a", "log.d"];
        let unfinished = ["snapshot.0", "snapshot.5", "snapshot.9.gz", "snapshot.c"];
        let plan = purge(snapshots, snapshots, logs, 3);
        assert_eq!(plan.snapshots, ["snapshot.5", "snapshot.0"]);
        assert_eq!(plan.logs, ["log.1", "log.6"], "log.8 may hold 9 and more");
        let plan = purge(unfinished, snapshots, logs, 1);
        assert_eq!(
            plan.snapshots,
            ["snapshot.0"],
            "three are kept, the unfinished one not counted"
        );
        assert_eq!(plan.logs, [""; 0], "log.1 may hold what follows 5");
        assert_eq!(purge([], snapshots, logs, 3), Purge::default());
    }
}
