//! Scripted learners against a leader: whole conversations in `tests/golden/zab`, written anew with
//! `UPDATE_GOLDEN=1`, which only those should do who can explain the difference.

mod backlog;
mod flow;
mod observers;
mod script;

use std::path::Path;

use script::Script;

fn golden(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zab");
    let path = folder.join(format!("{name}.txt"));
    let expected = std::fs::read_to_string(&path).unwrap();
    let got = Script::run(&expected);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, got).unwrap();
    } else {
        assert_eq!(got, expected, "{}", path.display());
    }
}

macro_rules! conversations {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            golden(stringify!($name));
        }
    )* };
}

conversations! {
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
