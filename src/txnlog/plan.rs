//! Names of log and snapshot files, and what follows from a list of them (`Util`, `FileTxnLog`,
//! `PurgeTxnLog`). Pure functions: the edge lists the folders.

use crate::id::Zxid;

/// The log whose first transaction is `zxid` (`Util.makeLogName`).
pub fn log_name(zxid: Zxid) -> String {
    format!("log.{:x}", zxid.0)
}

/// The zxid in the name of a log.
pub fn log_zxid(name: &str) -> Option<Zxid> {
    zxid_after(name.strip_prefix("log.")?)
}

/// Zxid from the hexadecimal digits behind a prefix. `None`: not a name that ZooKeeper makes.
pub(crate) fn zxid_after(digits: &str) -> Option<Zxid> {
    // ZooKeeper: Long.parseLong(digits, 16), which also takes a sign and upper case.
    i64::from_str_radix(digits, 16).ok().map(Zxid)
}
