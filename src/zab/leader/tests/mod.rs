//! Scripted learners against a leader. The whole conversations are in `tests/golden/zab`.

mod backlog;
mod flow;
mod observers;
mod script;
mod words;

use crate::zab::tests::conversations;
use script::Script;

conversations! { "leader_", Script::run:
    leader_discovery
    leader_old_protocol
    leader_refuses
    leader_later_epoch
    leader_forged_epochs
    leader_far_epochs
    leader_no_epoch_left
    leader_other_history
    leader_origin
    leader_reconfig_observer
    leader_reconfig_promises
    leader_alone
    leader_sync_diff
    leader_sync_trunc
    leader_sync_snap
    leader_sync_files
    leader_sync_throttle
    leader_broadcast
    leader_join_in_flight
    leader_requests
    leader_again
    leader_still_leads
    leader_first_config
    leader_reconfig
    leader_reconfig_handover
    leader_reconfig_finished
    leader_reconfig_joiner
    leader_reconfig_in_flight
    leader_quorum_lost
    leader_too_late
    leader_learner_hangs
    leader_roll_over
    leader_oracle
    leader_oracle_from_start
    leader_forgetful_disk
    leader_hostile
}
