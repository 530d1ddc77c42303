//! Planted bugs, which show that the simulation finds such bugs.
//!
//! Each place with a planted bug calls [`is`], which is `false` at compile time unless the package
//! is built with the feature `planted-bugs`: a released server has none of them.

/// A bug that can be switched on in a build with the feature `planted-bugs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PlantedBug {
    /// A transaction counts as durable when its write was submitted.
    AckBeforeSync,
    /// The epoch files are not read at a restart: promises made before are forgotten.
    VoteForgottenOnRestart,
    /// Records after a torn record of the log are accepted.
    TornTailAccepted,
    /// A learner that is told to truncate its log continues without doing it.
    TruncSkipped,
    /// Watch events are written after the replies of the same turn.
    WatchAfterData,
    /// A learner applies two committed transactions in the wrong order.
    CommitOutOfOrder,
    /// A follower does not report its active sessions to the leader.
    TouchesNotPassedOn,
    /// While a reconfiguration is proposed, a quorum of only the proposed configuration commits.
    OldQuorumIgnored,
    /// A learner acknowledges a tree that it received and never writes the tree to its disk.
    SnapNotWritten,
    /// The requests of a parked client are sent to the same leader once more.
    ParkedSentTwice,
    /// A purge removes logs that the newest snapshot needs.
    PurgeTooMuch,
    /// A client learns that its session has expired before the end is committed.
    ExpiredTooSoon,
    /// A multiRead checks no permission.
    MultiReadUnchecked,
    /// The parts of a multiRead after one that failed also fail, as those of a multi do.
    MultiReadStops,
    /// A frame may be longer than its bound by the length of its prefix.
    LongFrameTaken,
    /// A frame that is exactly as long as its bound is refused.
    FullFrameRefused,
    /// The changes of a write that is refused because its transaction is too long remain.
    LongTxnNotTakenBack,
    /// A write that is refused early is answered with the xid of the previous reply.
    RefusedUnderLastXid,
    /// Only a leader checks the permissions of its clients' writes early.
    EagerCheckAtLeaderOnly,
    /// A write that is refused early still gets a zxid.
    EagerRefusalLogged,
    /// Quotas keep counting deleted ephemeral nodes.
    QuotaKeepsEphemerals,
    /// Quotas count all bytes of new data, not only the increase.
    QuotaAddsWholeData,
    /// New data are not compared with hard limits.
    QuotaNotAskedBySetData,
    /// Connections of read-only clients stay open when there is a leader again.
    ReadersKept,
    /// A server without a leader answers a sync.
    ReaderSynced,
    /// A container that had only one child is never removed.
    ContainerOfOneChildKept,
    /// A node with a time to live whose data were set is never removed.
    SetTtlNodeKept,
    /// The end of a session does not delete those of its ephemeral nodes that were only proposed.
    CloseForgetsNewest,
    /// A transaction that is exactly as long as its bound is refused.
    FullTxnRefused,
    /// The early check demands the permission to set the ACL, whatever the write is.
    EagerAsksTooMuch,
    /// A starting server does not count the node that has the quota.
    QuotaRecountLeavesTop,
    /// A server without a leader checks no permission to read.
    ReadersUnchecked,
    /// A new leader does not time the sessions that it finds until their clients send something.
    OldSessionsNotTimed,
    /// Writes are checked early although `enableEagerACLCheck` is off.
    EagerCheckAlways,
    /// Recovery does not make the data that it reads durable.
    ReadNotSynced,
    /// Abandoned requests of a client count as in progress after the leader has executed them.
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

/// Whether `bug` is switched on. Without the feature this is always false at compile time.
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
