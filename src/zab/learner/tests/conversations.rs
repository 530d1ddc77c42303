//! Whole conversations of a learner with its leader, in `tests/golden/zab`.

use super::script::Script;
use crate::zab::tests::conversations;

conversations! { "learner_", Script::run:
    learner_discovery
    learner_same_epoch
    learner_earlier_epoch
    learner_far_epoch
    learner_no_data
    learner_zookeeper_leads
    learner_other_history
    learner_diff_empty
    learner_diff
    learner_diff_in_flight
    learner_trunc
    learner_trunc_refused
    learner_trunc_asks_again
    learner_snap
    learner_snap_refused
    learner_new_leader_waits
    learner_new_leader_refused
    learner_new_leader_config
    learner_early_questions
    learner_broadcast
    learner_commit_out_of_order
    learner_proposal_out_of_order
    learner_observer
    learner_observer_of_follower
    learner_inform_and_activate
    learner_commit_and_activate
    learner_ping
    learner_revalidate
    learner_requests
    learner_leader_lost
    learner_timeouts
    learner_connection_refused
    learner_torn_packets
    learner_hostile
    learner_late_packets
    learner_pending_committed
    learner_pending_cut_off
    learner_power_fails
}
