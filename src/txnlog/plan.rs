//! Names of log and snapshot files, and what follows from a list of them (`Util`, `FileTxnLog`,
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
    zxid_in_name(name, "log")
}

/// The zxid in the name of a snapshot, compressed or not. `None`: not the name of one.
pub fn snapshot_zxid(name: &str) -> Option<Zxid> {
    zxid_in_name(name, "snapshot")
}

/// ZooKeeper: Util.getZxidFromName looks at the first two parts between dots, and takes what
/// Long.parseLong takes, a sign and upper case included. Its -1 for "none" is no zxid here either.
fn zxid_in_name(name: &str, prefix: &str) -> Option<Zxid> {
    let digits = name.strip_prefix(prefix)?.strip_prefix('.')?.split('.').next()?;
    i64::from_str_radix(digits, 16).ok().filter(|zxid| *zxid >= 0).map(Zxid)
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

/// From a list made by [`logs`]: those that may hold transactions behind the state at `zxid`.
///
/// That is the last one that begins at or before it, and all after that one
/// (`FileTxnLog.getLogFiles`).
pub fn logs_from<'a, 'n>(logs: &'a [(Zxid, &'n str)], zxid: Zxid) -> &'a [(Zxid, &'n str)] {
    let after = logs.partition_point(|(first, _)| *first <= zxid);
    let first = after.checked_sub(1).map_or(0, |last| {
        // Two names of one zxid, such as log.1 and log.01, belong together.
        logs.partition_point(|(first, _)| *first < logs[last].0)
    });
    &logs[first..]
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

/// What may go when the newest `kept` snapshots, and every log that one of them needs, stay.
///
/// `snapshots` are those known to be [plausible](crate::snapshot::is_plausible): one that was never
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
    let unneeded = &logs[..logs.len() - needed.len()];
    Purge {
        snapshots: snapshots(snapshots_all)
            .into_iter()
            .filter(|(zxid, _)| *zxid < oldest_kept)
            .map(|(_, name)| name.to_owned())
            .collect(),
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
    fn names_are_read_as_zookeeper_reads_them() {
        assert_eq!(log_zxid("log.100000001"), Some(Zxid(0x1_0000_0001)));
        assert_eq!(log_zxid(&log_name(Zxid(0xab))), Some(Zxid(0xab)));
        assert_eq!(snapshot_zxid("snapshot.aB.gz"), Some(Zxid(0xab)));
        assert_eq!(snapshot_zxid(&snapshot_name(Zxid(7))), Some(Zxid(7)));
        for other in ["log", "log.", "log.x", "logs.1", "snapshot.1", "log.-1", "x.log.1"] {
            assert_eq!(log_zxid(other), None, "{other}");
        }
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
