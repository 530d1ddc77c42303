//! Bugs put in on purpose, to show that the simulation finds such bugs.
//!
//! Each place that has one asks [`is`], which is `false` at compile time unless the package is built
//! with the feature `planted-bugs`: a server that serves anybody has none of them.

/// A bug that can be switched on in a build with the feature `planted-bugs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PlantedBug {
    /// A transaction counts as durable when its write was submitted.
    AckBeforeSync,
    /// The epoch files are not read at a restart: promises made before are forgotten.
    VoteForgottenOnRestart,
    /// What stands behind a torn record of the log is taken for good.
    TornTailAccepted,
    /// A learner that is told to truncate its log goes on without doing it.
    TruncSkipped,
    /// Watch events are written behind the replies of the same turn.
    WatchAfterData,
    /// A learner applies two committed transactions in the wrong order.
    CommitOutOfOrder,
    /// A follower does not tell the leader which of its sessions it has heard of.
    TouchesNotPassedOn,
    /// While a reconfiguration is proposed, a quorum of the proposed configuration alone commits.
    OldQuorumIgnored,
    /// A learner acknowledges a tree that it received and never writes the tree to its disk.
    SnapNotWritten,
    /// What a parked client had under way is sent to the same leader once more.
    ParkedSentTwice,
    /// A purge removes logs that the newest snapshot needs.
    PurgeTooMuch,
    /// A client is told that its session has expired before the end is committed.
    ExpiredTooSoon,
    /// A multiRead asks for nobody's permission.
    MultiReadUnchecked,
    /// The parts of a multiRead behind one that failed fail as those of a multi do.
    MultiReadStops,
    /// A frame may be longer than its bound by its length prefix.
    LongFrameTaken,
    /// A frame that is exactly as long as its bound is refused.
    FullFrameRefused,
    /// A write that is refused because its transaction is too long leaves its changes behind.
    LongTxnNotTakenBack,
    /// A write that is refused early is answered with the xid of the reply before.
    RefusedUnderLastXid,
    /// Only a leader looks early at the permissions of its clients' writes.
    EagerCheckAtLeaderOnly,
    /// A write that is refused early gets a zxid all the same.
    EagerRefusalLogged,
    /// Quotas go on counting ephemeral nodes that are gone.
    QuotaKeepsEphemerals,
    /// Quotas count all bytes of new data, and not only how many more there are.
    QuotaAddsWholeData,
    /// New data are not compared with hard limits.
    QuotaNotAskedBySetData,
    /// Connections of readers go on when there is a leader again.
    ReadersKept,
    /// A server without a leader answers a sync.
    ReaderSynced,
    /// A container that had only one child is never removed.
    ContainerOfOneChildKept,
    /// A node with a time to live whose data were set is never removed.
    SetTtlNodeKept,
    /// The end of a session leaves those of its ephemeral nodes that were under way.
    CloseForgetsNewest,
    /// A transaction that is exactly as long as its bound is refused.
    FullTxnRefused,
    /// The early look wants the permission to set the ACL, whatever the write is.
    EagerAsksTooMuch,
    /// A server that starts leaves the node out that has the quota when it counts.
    QuotaRecountLeavesTop,
    /// A server without a leader asks for nobody's permission to read.
    ReadersUnchecked,
    /// A new leader gives the sessions that it finds no end until their clients are heard of.
    OldSessionsNotTimed,
    /// Writes are looked at early though `enableEagerACLCheck` is off.
    EagerCheckAlways,
    /// What recovery reads is not made durable.
    ReadNotSynced,
    /// What a client has left behind counts as under way after the leader has carried it out.
    OrphanKept,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [PlantedBug; 36] = [
        PlantedBug::AckBeforeSync,
        PlantedBug::VoteForgottenOnRestart,
        PlantedBug::TornTailAccepted,
        PlantedBug::TruncSkipped,
        PlantedBug::WatchAfterData,
        PlantedBug::CommitOutOfOrder,
        PlantedBug::TouchesNotPassedOn,
        PlantedBug::OldQuorumIgnored,
        PlantedBug::SnapNotWritten,
        PlantedBug::ParkedSentTwice,
        PlantedBug::PurgeTooMuch,
        PlantedBug::ExpiredTooSoon,
        PlantedBug::MultiReadUnchecked,
        PlantedBug::MultiReadStops,
        PlantedBug::LongFrameTaken,
        PlantedBug::FullFrameRefused,
        PlantedBug::LongTxnNotTakenBack,
        PlantedBug::RefusedUnderLastXid,
        PlantedBug::EagerCheckAtLeaderOnly,
        PlantedBug::EagerRefusalLogged,
        PlantedBug::QuotaKeepsEphemerals,
        PlantedBug::QuotaAddsWholeData,
        PlantedBug::QuotaNotAskedBySetData,
        PlantedBug::ReadersKept,
        PlantedBug::ReaderSynced,
        PlantedBug::ContainerOfOneChildKept,
        PlantedBug::SetTtlNodeKept,
        PlantedBug::CloseForgetsNewest,
        PlantedBug::FullTxnRefused,
        PlantedBug::EagerAsksTooMuch,
        PlantedBug::QuotaRecountLeavesTop,
        PlantedBug::ReadersUnchecked,
        PlantedBug::OldSessionsNotTimed,
        PlantedBug::EagerCheckAlways,
        PlantedBug::ReadNotSynced,
        PlantedBug::OrphanKept,
    ];
}

/// Whether `bug` is the one that is switched on. Without the feature: never, known to the compiler.
#[inline]
pub const fn is(planted: Option<PlantedBug>, bug: PlantedBug) -> bool {
    match planted {
        Some(planted) => cfg!(feature = "planted-bugs") && planted as u8 == bug as u8,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_is_there_only_if_it_was_chosen_in_a_build_that_has_them() {
        let built_in = cfg!(feature = "planted-bugs");
        for bug in PlantedBug::ALL {
            assert!(!is(None, bug));
            assert_eq!(is(Some(bug), bug), built_in);
        }
        assert!(!is(Some(PlantedBug::TruncSkipped), PlantedBug::AckBeforeSync));
    }
}
