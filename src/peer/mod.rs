//! Agreement: which transactions are accepted, durable and committed, in which order.
//!
//! A peer decides and never acts. What it wants done stands in a [`Ready`], whose fields are the
//! order of durability. A server on its own is the smallest ensemble: its own disk is the
//! quorum, so that a transaction is committed as soon as it is durable. A member of an ensemble
//! ([`Member`]) elects a leader with the others, and leads or learns.
//!
//! ```text
//! synced ≤ submitted ≤ accepted        committed ≤ accepted
//! ```

mod dispatch;
mod member;
#[cfg(test)]
mod scripted;
mod standalone;

pub use member::Member;
#[cfg(test)]
pub use scripted::Scripted;
pub use standalone::Standalone;

use std::collections::VecDeque;

use crate::id::Zxid;
use crate::proto::txn::Txn;
use crate::quorum::{Config, PeerOptions};
use crate::time::MonoUs;
use crate::zab::{Epochs, Ready};

/// A server's part in the agreement.
#[derive(Debug)]
pub enum Peer {
    /// A server on its own.
    Standalone(Standalone),
    /// A member of an ensemble.
    Member(Box<Member>),
    /// One that decides what a test says.
    #[cfg(test)]
    Scripted(Box<Scripted>),
}

/// What a member begins with, from its disk.
#[derive(Debug)]
pub struct History {
    /// The last transaction in log and database; -1: it must not vote before it is synchronised.
    pub last: Zxid,
    /// The last transactions, oldest first, up to `last` and without a gap.
    pub recent: VecDeque<Txn>,
    /// The epoch files.
    pub epochs: Epochs,
    /// The digest of the tree at `last`, if it is sure.
    pub digest: Option<i64>,
}

impl Peer {
    /// A server on its own, whose log and snapshot reach to `last`.
    pub fn standalone(last: Zxid) -> Peer {
        Peer::Standalone(Standalone::new(last))
    }

    /// A member of the ensemble `config`. `seed` is any number that differs from run to run.
    pub fn member(
        options: PeerOptions,
        config: Config,
        history: History,
        now: MonoUs,
        seed: u64,
    ) -> Peer {
        Peer::Member(Box::new(Member::new(options, config, history, now, seed)))
    }

    /// The member; `None` for a server on its own.
    pub fn as_member(&self) -> Option<&Member> {
        match self {
            Peer::Standalone(_) => None,
            Peer::Member(member) => Some(member),
            #[cfg(test)]
            Peer::Scripted(_) => None,
        }
    }

    /// The member, to tell it something that a server on its own never hears.
    ///
    /// # Panics
    /// If it is on its own.
    pub fn member_mut(&mut self) -> &mut Member {
        match self {
            Peer::Standalone(_) => panic!("a server on its own has no ensemble"),
            Peer::Member(member) => member,
            #[cfg(test)]
            Peer::Scripted(_) => panic!("a scripted peer is no member"),
        }
    }

    /// The zxid that a transaction gets after `last`. `None`: no more may be proposed in this
    /// epoch, or this server is no leader.
    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        match self {
            Peer::Standalone(standalone) => standalone.zxid_after(last),
            Peer::Member(member) => member.zxid_after(last),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.zxid_after(last),
        }
    }

    /// Proposes a transaction, the next in order.
    pub fn propose(&mut self, txn: Txn) {
        match self {
            Peer::Standalone(standalone) => standalone.propose(txn),
            Peer::Member(member) => member.propose(txn),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.proposed.push(txn),
        }
    }

    /// The log has no room for what comes after `zxid`: it is as if it had not been proposed.
    /// Only for transactions that were not written, and only where no other server saw them.
    ///
    /// # Panics
    /// On a member: others have seen what it proposed.
    pub fn take_back(&mut self, zxid: Zxid) {
        match self {
            Peer::Standalone(standalone) => standalone.take_back(zxid),
            Peer::Member(_) => panic!("other servers have seen what would be taken back"),
            #[cfg(test)]
            Peer::Scripted(_) => panic!("other servers have seen what would be taken back"),
        }
    }

    /// Everything up to `zxid` is durable in this server's log.
    pub fn handle_synced(&mut self, zxid: Zxid) {
        match self {
            Peer::Standalone(standalone) => standalone.handle_synced(zxid),
            Peer::Member(member) => member.handle_synced(zxid),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.tell(format!("synced {zxid}")),
        }
    }

    /// Appends what is to be done to `ready`. True: there is more, which may only be taken when
    /// this was put in order.
    pub fn take_ready(&mut self, ready: &mut Ready) -> bool {
        match self {
            Peer::Standalone(standalone) => {
                standalone.take_ready(ready);
                false
            }
            Peer::Member(member) => member.take_ready(ready),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.take_ready(ready),
        }
    }

    /// When [`Member::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        match self {
            Peer::Standalone(_) => None,
            Peer::Member(member) => member.next_timeout(),
            #[cfg(test)]
            Peer::Scripted(_) => None,
        }
    }

    /// The newest transaction proposed, here or by the leader.
    pub fn accepted(&self) -> Zxid {
        match self {
            Peer::Standalone(standalone) => standalone.accepted(),
            Peer::Member(member) => member.accepted(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.accepted,
        }
    }

    /// The newest transaction handed out for commit.
    pub fn committed(&self) -> Zxid {
        match self {
            Peer::Standalone(standalone) => standalone.committed(),
            Peer::Member(member) => member.committed(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.committed,
        }
    }

    /// Whether it learns from a follower, which passes its requests on.
    pub fn is_below_a_follower(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.is_below_a_follower(),
            #[cfg(test)]
            Peer::Scripted(_) => false,
        }
    }

    /// Whether it takes part without a vote, and without one in what is proposed, so that nobody counts
    /// on what it has logged.
    pub fn only_observes(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.only_observes(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.only_observes,
        }
    }

    /// Whether a leader has kept it out because its data is of another history, and nobody has taken it
    /// in since.
    pub fn is_of_other_history(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.is_of_other_history(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.is_of_other_history,
        }
    }

    /// ZooKeeper's word for the role (`mntr`, `stat`).
    pub fn mode(&self) -> &'static str {
        match self {
            Peer::Standalone(_) => "standalone",
            Peer::Member(member) => member.mode(),
            #[cfg(test)]
            Peer::Scripted(_) => "scripted",
        }
    }
}
