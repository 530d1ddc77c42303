//! The commands of the AdminServer: their names, and who answers them (`Commands`).

use crate::admin::report::Inquiry;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The replica answers it.
    Asks(Inquiry),
    /// `dirs`: the sizes of the folders.
    Dirs,
    /// `environment`
    Environment,
    /// `get_trace_mask`
    GetTraceMask,
    /// `set_trace_mask`
    SetTraceMask,
    /// `initial_configuration`
    InitialConfiguration,
    /// `last_snapshot`
    LastSnapshot,
    /// `system_properties`
    SystemProperties,
    /// A command of ZooKeeper that is not built: what to do instead.
    Unbuilt(&'static str),
}

/// Every command: its name in the answer and in the list, its other names, and what it is.
pub static COMMANDS: &[(&str, &[&str], Command)] = &[
    ("configuration", &["conf", "config"], Command::Asks(Inquiry::Configuration)),
    ("connection_stat_reset", &["crst"], Command::Asks(Inquiry::ResetConnections)),
    ("connections", &["cons"], Command::Asks(Inquiry::Connections)),
    ("dirs", &[], Command::Dirs),
    ("dump", &[], Command::Asks(Inquiry::Dump)),
    ("environment", &["env", "envi"], Command::Environment),
    ("get_trace_mask", &["gtmk"], Command::GetTraceMask),
    ("hash", &[], Command::Asks(Inquiry::Digests)),
    ("initial_configuration", &["icfg"], Command::InitialConfiguration),
    ("is_read_only", &["isro"], Command::Asks(Inquiry::IsReadOnly)),
    ("last_snapshot", &["lsnp"], Command::LastSnapshot),
    ("leader", &["lead"], Command::Asks(Inquiry::Leader)),
    ("monitor", &["mntr"], Command::Asks(Inquiry::Monitor)),
    ("observer_connection_stat_reset", &["orst"], Command::Asks(Inquiry::ResetObservers)),
    ("observers", &["obsr"], Command::Asks(Inquiry::Observers)),
    (
        "restore",
        &["rest"],
        Command::Unbuilt(
            "stop the server and put the snapshot into its folder, see docs/backup.md",
        ),
    ),
    ("ruok", &[], Command::Asks(Inquiry::Ruok)),
    ("server_stats", &["srvr"], Command::Asks(Inquiry::ServerStats)),
    ("set_trace_mask", &["stmk"], Command::SetTraceMask),
    (
        "shed_connections",
        &["shed"],
        Command::Unbuilt("restart the server, and its clients connect to the others"),
    ),
    (
        "snapshot",
        &["snap"],
        Command::Unbuilt("copy the newest snapshot of the data folder, see docs/backup.md"),
    ),
    ("stat_reset", &["srst"], Command::Asks(Inquiry::ResetStats)),
    ("stats", &["stat"], Command::Asks(Inquiry::Stats)),
    ("system_properties", &["sysp"], Command::SystemProperties),
    ("voting_view", &[], Command::Asks(Inquiry::VotingView)),
    ("watch_summary", &["wchs"], Command::Asks(Inquiry::WatchSummary)),
    ("watches", &["wchc"], Command::Asks(Inquiry::Watches)),
    ("watches_by_path", &["wchp"], Command::Asks(Inquiry::WatchesByPath)),
    ("zabstate", &[], Command::Asks(Inquiry::ZabState)),
];

/// The command with this name or alias, and its name.
pub fn find(word: &str) -> Option<(&'static str, Command)> {
    let is_it =
        |(name, others, _): &&(&str, &[&str], Command)| *name == word || others.contains(&word);
    COMMANDS.iter().find(is_it).map(|(name, _, command)| (*name, *command))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_command() {
        let mut seen = BTreeSet::new();
        for (name, others, command) in COMMANDS {
            for word in std::iter::once(name).chain(*others) {
                assert!(seen.insert(*word), "{word} twice");
                assert_eq!(find(word), Some((*name, *command)));
            }
        }
        assert_eq!(find("nosuch"), None);
    }
}
