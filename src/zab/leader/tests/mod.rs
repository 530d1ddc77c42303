//! Scripted learners against a leader. The whole conversations are in `tests/golden/zab`.

mod backlog;
mod flow;
mod observers;
mod script;
mod words;

use crate::id::Epoch;
use crate::zab::tests::conversations;
use script::Script;

/// As in the next test, but the file becomes durable before the epoch is decided: the leader does not take back its
/// promise.
#[test]
fn a_leader_begins_an_epoch_after_all_that_it_has_accepted() {
    let mut script = Script::new("1 of 1,2,3 epochs=2,1 recent=1:1,1:2");
    script.event("connect 2");
    script.leader.lasting_mut().epochs.accepted = Epoch(7);
    script.event("2 -> FOLLOWERINFO 4:0");
    let epochs = script.leader.lasting().epochs;
    assert_eq!((epochs.accepted, epochs.current), (Epoch(8), Epoch(1)));
}

/// A promise to another leader that becomes durable late:
///
/// 1. Another leader asks this server to accept epoch 7. The file is on its way when that leader is lost.
/// 2. This server leads in epoch 5. The file becomes durable, so the server has accepted epoch 7.
/// 3. A quorum accepts epoch 5. Were currentEpoch 7 now, this server would claim a history that it does not have.
#[test]
fn a_leader_claims_the_history_of_its_own_epoch_although_it_has_accepted_a_later_one() {
    let mut script = Script::new("1 of 1,2,3 epochs=2,1 recent=1:1,1:2");
    for line in ["connect 2", "2 -> FOLLOWERINFO 4:0", "durable"] {
        script.event(line);
    }
    script.leader.lasting_mut().epochs.accepted = Epoch(7);
    script.event("2 -> ACKEPOCH 1:2 1");
    let epochs = script.leader.lasting().epochs;
    assert_eq!((epochs.accepted, epochs.current), (Epoch(7), Epoch(5)));
}

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
