//! The log's texts about a server that is kept out because its data is not the ensemble's, on that server and on its
//! leader; and how often they are logged. Such a server tries again each second, because it cannot know when that ends:
//! logged each time, the same lines would bury all others.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::Mark;
use crate::id::{Epoch, ServerId, Zxid};
use crate::limits::{KEPT_OUT_SAID_MAX, KEPT_OUT_SILENCE_MS};
use crate::link::Port;
use crate::time::MonoUs;

/// The reason why a server is kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has another transaction, or another tree, at one zxid.
    OtherHistory,
    /// It has accepted this epoch, which is later than the leader's.
    LaterEpoch(Epoch),
    /// It has accepted an epoch that failed elections cannot explain.
    FarEpoch,
    /// It comes from an address that is not one of the server whose id it gives.
    Forged,
    /// Another connection with the same id is alive.
    NameTaken,
    /// It takes one port for the other.
    PortsExchanged,
}

/// The last reason that was logged for each server, and when.
///
/// Invariant: at most [`KEPT_OUT_SAID_MAX`] servers.
#[derive(Debug, Default)]
pub struct Said(BTreeMap<ServerId, (Reason, MonoUs)>);

impl Said {
    /// Whether the reason is to be logged now: it is new, or was not logged for some time.
    pub fn is_due(&mut self, now: MonoUs, server: ServerId, reason: Reason) -> bool {
        let is_recent = |(of, at): (Reason, MonoUs)| {
            of == reason && now.since_us(at) / 1000 < KEPT_OUT_SILENCE_MS
        };
        if self.0.get(&server).copied().is_some_and(is_recent) {
            return false;
        }
        if self.0.len() >= KEPT_OUT_SAID_MAX && !self.0.contains_key(&server) {
            let oldest = self.0.iter().min_by_key(|(_, (_, at))| *at).map(|(server, _)| *server);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(server, (reason, now));
        assert!(self.0.len() <= KEPT_OUT_SAID_MAX, "strangers do not fill the memory");
        true
    }

    /// Whether a reason was logged, and the server is still kept out. Its further attempts are not worth a line,
    /// either.
    pub fn holds(&self, server: ServerId) -> bool {
        self.0.contains_key(&server)
    }

    /// The server is not kept out any more.
    pub fn forget(&mut self, server: ServerId) {
        self.0.remove(&server);
    }
}

/// Logs a line for operators, or, if `quiet`, only at the debug level.
macro_rules! info_unless {
    ($quiet:expr, $($line:tt)*) => {
        if $quiet { tracing::debug!($($line)*) } else { tracing::info!($($line)*) }
    };
}
pub(crate) use info_unless;

/// The ways out, on the server that is kept out.
///
/// The epoch files have to go as well, because those of another history would keep the server out again. A folder
/// without them is a new server's, which has a vote although it may have forgotten what it acknowledged, unless
/// db.autocreate=false says that a folder without data is not to be trusted. So the right data is copied to the
/// others: if they started empty, with votes, they could elect one of themselves.
const WAY_OUT: &str = "A quorum may have lost its data and begun anew, or a folder may have been \
    copied or restored from a backup. Nothing was changed. If the ensemble's data is the right one: \
    stop this server and, while the others have a quorum, move its version-2 folders (in dataDir and \
    dataLogDir) aside and start it with db.autocreate=false: it gets everything from the leader, and does \
    not vote before. If this server's data is the right one: stop all servers, move the version-2 folders of \
    the others aside, put copies of this server's in their places, and start all";

/// The ways out, on the leader.
const WAY_OUT_THERE: &str = "A quorum may have lost its data and begun anew, or a folder may have \
    been copied or restored from a backup. Nothing was changed. If the data here is the right one: \
    stop that server and, while the others have a quorum, move its version-2 folders (in dataDir and \
    dataLogDir) aside and start it with db.autocreate=false: it gets everything from here, and does not vote \
    before. If that server's data is the right one: stop all servers, move the version-2 folders of the others \
    aside, put copies of that server's in their places, and start all";

/// On a server of which another one takes one port for the other. `said` is the id that the other one gives.
pub fn ports_exchanged(me: ServerId, said: ServerId, remote: SocketAddr, here: Port) -> String {
    let (here, spoken) = match here {
        Port::Quorum | Port::ObserverMaster => ("quorum port", "an election"),
        Port::Election => ("election port", "a learner"),
    };
    format!(
        "this is the {here}, and what has connected from {remote} begins as {spoken} does: it says that it is \
         server {said}. In the configuration of server {said}, or in this server's own, the two ports of the \
         line server.{me} are the other way round (server.{me}=HOST:QUORUM-PORT:ELECTION-PORT): compare them"
    )
}

/// Two connections give the same id. `living` is the address of the older one, which is alive.
pub fn name_taken(id: ServerId, living: SocketAddr, claim: SocketAddr) -> String {
    format!(
        "server {id} is connected already, from {living}; another server has connected from {claim} and says \
         that it is server {id} as well. If this goes on, two servers have the same myid: look at the file myid \
         in the dataDir of both"
    )
}

/// On the leader: a learner has another transaction, or another tree, at one zxid.
pub fn leader_of_other_history(learners: Mark, leaders: Mark) -> String {
    format!(
        "its data is of another history: at zxid {} it has {learners}, and this leader {leaders}. \
         {WAY_OUT_THERE}",
        leaders.zxid
    )
}

/// On the learner: its leader has another transaction, or another tree, at one zxid.
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

/// On the leader: a learner claims an epoch that elections cannot explain.
pub fn leader_of_far_epoch(server: ServerId, accepted: Epoch, ours: Epoch) -> String {
    format!(
        "it says that server {server} has accepted epoch {accepted}, and this leader knows of {ours}: \
         failed elections do not explain that, and no other server says the same. Nothing was changed. If that \
         is what acceptedEpoch in that server's version-2 folder (in dataDir) says: stop that server, write \
         what currentEpoch of the leader says into its acceptedEpoch, and start it. If it says \
         something else, a stranger reaches the quorum port of this server: let a firewall keep him out"
    )
}

/// On the learner: its leader claims such an epoch.
pub fn learner_of_far_epoch(leader: ServerId, epoch: Epoch, known: Epoch) -> String {
    format!(
        "server {leader} says that it leads epoch {epoch}, and this server knows of {known} and of no vote \
         for a later one that it could believe: failed elections do not explain that. Nothing was changed. {FAR_EPOCH_WAY_OUT}"
    )
}

/// On a server that cannot lead.
pub fn no_epoch_left(accepted: Epoch) -> String {
    format!(
        "this server has accepted epoch {accepted}, and no epoch is left after that one: it cannot lead. \
         {FAR_EPOCH_WAY_OUT}"
    )
}

/// The ways out if the files of a server have too late an epoch.
///
/// While all servers are stopped, there is no leader that a promise could concern. No transaction is of a later epoch
/// than the largest currentEpoch, because its leader has written that before.
const FAR_EPOCH_WAY_OUT: &str = "A stranger may have said such an epoch to an older release, or the file was \
    damaged. While the others have a leader: stop the server whose acceptedEpoch (in version-2 of dataDir) \
    says that epoch, write what currentEpoch of the leader says into it, and start that server. If no \
    leader can be elected: stop all servers, write into acceptedEpoch of each the largest number in \
    currentEpoch of any of them, and start all";

/// On the leader: a follower has come back with less than it had reported as durable.
pub fn leader_of_forgetful_disk(server: ServerId, vouched: Zxid, last: Zxid) -> String {
    let has = match last {
        Zxid(..=0) => "nothing".to_owned(),
        last => format!("{last} as its last transaction"),
    };
    format!(
        "server {server} had acknowledged everything up to {vouched} and came back with {has}. It gets \
         the rest from here, and nothing is lost as long as a quorum has it. If nobody has moved or \
         restored its folder meanwhile, its disk loses writes that it has reported as durable, and \
         what that server acknowledges is worth nothing: check the disk's write cache, the \
         controller's battery and the host's cache mode (QEMU: cache=unsafe), and take the server \
         out of the ensemble until that is mended"
    )
}

/// On the learner: it has followed a later epoch than its leader's.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_in_a_time() {
        let mut said = Said::default();
        let (one, other) = (ServerId(1), ServerId(2));
        let at = |seconds: u64| MonoUs(seconds * 1_000_000);
        assert!(!said.holds(one));
        assert!(said.is_due(at(0), one, Reason::OtherHistory));
        for second in 1..60 {
            assert!(!said.is_due(at(second), one, Reason::OtherHistory));
        }
        assert!(said.is_due(at(1), other, Reason::OtherHistory));
        assert!(said.is_due(at(60), one, Reason::OtherHistory));
        assert!(!said.is_due(at(61), one, Reason::OtherHistory));
        // Something else is news.
        assert!(said.is_due(at(62), one, Reason::LaterEpoch(Epoch(3))));
        assert!(said.is_due(at(63), one, Reason::LaterEpoch(Epoch(4))));
        assert!(said.holds(one));
        said.forget(one);
        assert!(!said.holds(one));
        assert!(said.is_due(at(64), one, Reason::LaterEpoch(Epoch(4))));
    }

    #[test]
    fn whoever_compares_configurations_is_told_which_line_and_which_servers() {
        let at = |port: u16| SocketAddr::from(([10, 0, 0, 3], port));
        let (me, said) = (ServerId(3), ServerId(1));
        let exchanged = ports_exchanged(me, said, at(40_000), Port::Quorum);
        for part in ["quorum port", "server 1", "server.3=", "10.0.0.3:40000"] {
            assert!(exchanged.contains(part), "{part}: {exchanged}");
        }
        let taken = name_taken(said, at(1), at(2));
        for part in ["server 1", "10.0.0.3:1", "10.0.0.3:2", "same myid"] {
            assert!(taken.contains(part), "{part}: {taken}");
        }
    }

    #[test]
    fn strangers_do_not_fill_the_memory() {
        let mut said = Said::default();
        for id in 0..2 * i64::try_from(KEPT_OUT_SAID_MAX).unwrap() {
            let now = MonoUs(id.unsigned_abs());
            assert!(said.is_due(now, ServerId(-id), Reason::OtherHistory));
        }
        assert_eq!(said.0.len(), KEPT_OUT_SAID_MAX);
    }
}
