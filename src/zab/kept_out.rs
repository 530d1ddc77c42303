//! What an operator reads where a server is kept out because its data is not the ensemble's: on that
//! server and on its leader.

use super::Mark;
use crate::id::{Epoch, ServerId};

/// What can be done about it.
const WAY_OUT: &str = "A quorum may have lost its data and begun anew, or a folder may have been \
    copied or restored from a backup. Nothing was changed. If the ensemble's data is the right one: \
    stop this server, move its version-2 folders (in dataDir and dataLogDir) aside, start it, and it \
    gets everything from the leader. If this server's data is the right one: stop the others and \
    move theirs aside";

/// The same as the leader says it, of another server.
const WAY_OUT_THERE: &str = "A quorum may have lost its data and begun anew, or a folder may have \
    been copied or restored from a backup. Nothing was changed. If the data here is the right one: \
    stop that server, move its version-2 folders (in dataDir and dataLogDir) aside, start it, and it \
    gets everything from here. If that server's data is the right one: stop the others and move \
    theirs aside";

/// On the leader: a learner has something else at one zxid.
pub fn leader_of_other_history(learners: Mark, leaders: Mark) -> String {
    format!(
        "its data is of another history: at zxid {} it has {learners}, and this leader {leaders}. \
         {WAY_OUT_THERE}",
        leaders.zxid
    )
}

/// On the learner: its leader has something else at one zxid.
pub fn learner_of_other_history(learners: Option<Mark>, leaders: Mark) -> String {
    let learners = learners.map_or("something else".to_owned(), |mark| mark.to_string());
    format!(
        "this server's data is of another history than its leader's: at zxid {} it has {learners}, \
         and the leader {leaders}. {WAY_OUT}",
        leaders.zxid
    )
}

/// On the leader: a learner has accepted a later epoch.
pub fn leader_of_later_epoch(accepted: Epoch, epoch: Epoch) -> String {
    format!(
        "has accepted epoch {accepted}, later than {epoch}, this leader's: it cannot be counted. A \
         Ringkeeper whose data belongs here follows all the same, without a vote until a later epoch \
         begins; Apache ZooKeeper stays out until then. If it goes on trying, its data is of another \
         history. {WAY_OUT_THERE}"
    )
}

/// On the learner: it has followed a later epoch.
pub fn learner_of_later_epoch(leader: ServerId, epoch: Epoch, followed: Epoch) -> String {
    format!(
        "server {leader} leads epoch {epoch}, and this server has followed epoch {followed}. If \
         another leader is being elected, this passes. If it goes on, this server's data is of \
         another history than the ensemble's. {WAY_OUT}"
    )
}

/// On the learner: it has accepted a later epoch, and its leader is Apache ZooKeeper.
pub fn learner_of_later_promise(leader: ServerId, epoch: Epoch, accepted: Epoch) -> String {
    format!(
        "server {leader} leads epoch {epoch}, and this server has accepted epoch {accepted}: it may \
         follow no earlier one. It comes in when the next leader is elected (restart the leader to \
         have one). If it is not taken in then, its data is of another history than the ensemble's. \
         {WAY_OUT}"
    )
}
