//! Agreement: which transactions are accepted, durable and committed, in which order.
//!
//! A peer decides and never acts. Its effects are in a [`Ready`], whose fields are in the order of durability. A
//! standalone server is the smallest ensemble: its own disk is the quorum, so that a transaction is committed as soon
//! as it is durable. A member of an ensemble ([`Member`]) elects a leader with the others, and leads or learns.
//!
//! ```text
//! synced ≤ submitted ≤ accepted        committed ≤ accepted
//! ```
//! The replica owns the one [`Peer`] of the process. It calls it with each event that concerns the agreement, and
//! after the events of a turn takes and carries out what the peer wants done. [`Peer`] only selects the kind of peer:
//! the decisions are in `standalone`, in `member`, and in the modules `election` and `zab` that a member uses.

mod dispatch;
mod gate;
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
    /// A standalone server.
    Standalone(Standalone),
    /// A member of an ensemble.
    Member(Box<Member>),
    /// A peer whose decisions come from a test.
    #[cfg(test)]
    Scripted(Box<Scripted>),
}

/// The state on a member's disk, with which it begins. `recovery` has read it.
#[derive(Debug)]
pub struct History {
    /// The last transaction in log and database; -1: the member must not vote before a leader has sent it the data.
    pub last: Zxid,
    /// The last transactions, oldest first, up to `last` and without a gap.
    pub recent: VecDeque<Txn>,
    /// What the epoch files hold.
    pub epochs: Epochs,
    /// The digest of the tree at `last`; `None` if it is not sure.
    pub digest: Option<i64>,
}

impl Peer {
    /// A standalone server, whose log and snapshot reach to `last`.
    pub fn standalone(last: Zxid) -> Peer {
        Peer::Standalone(Standalone::new(last))
    }

    /// A member of the ensemble `config`, which looks for a leader from `now` on. `seed` is any number that differs
    /// from run to run: delays and the name of a new history follow from it.
    pub fn member(
        options: PeerOptions,
        config: Config,
        history: History,
        now: MonoUs,
        seed: u64,
    ) -> Peer {
        Peer::Member(Box::new(Member::new(options, config, history, now, seed)))
    }

    /// The member; `None` for a standalone server.
    pub fn as_member(&self) -> Option<&Member> {
        match self {
            Peer::Standalone(_) => None,
            Peer::Member(member) => Some(member),
            #[cfg(test)]
            Peer::Scripted(_) => None,
        }
    }

    /// The member, for an event that a standalone server never has.
    ///
    /// # Panics
    /// If the server is standalone.
    pub fn member_mut(&mut self) -> &mut Member {
        match self {
            Peer::Standalone(_) => panic!("a server on its own has no ensemble"),
            Peer::Member(member) => member,
            #[cfg(test)]
            Peer::Scripted(_) => panic!("a scripted peer is no member"),
        }
    }

    /// The zxid of the transaction after `last`. `None`: no more may be proposed in this epoch, or this server does not
    /// lead.
    pub fn zxid_after(&self, last: Zxid) -> Option<Zxid> {
        match self {
            Peer::Standalone(standalone) => standalone.zxid_after(last),
            Peer::Member(member) => member.zxid_after(last),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.zxid_after(last),
        }
    }

    /// Proposes the next transaction, whose zxid must be the one that [`Peer::zxid_after`] gave.
    ///
    /// # Panics
    /// On a member that does not lead, and if the zxids do not rise.
    pub fn propose(&mut self, txn: Txn) {
        match self {
            Peer::Standalone(standalone) => standalone.propose(txn),
            Peer::Member(member) => member.propose(txn),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.proposed.push(txn),
        }
    }

    /// Takes the proposals after `zxid` back, for which the log has no room. Only for transactions that were not
    /// written, and that no other server has seen.
    ///
    /// # Panics
    /// On a member, whose proposals others have seen.
    pub fn take_back(&mut self, zxid: Zxid) {
        match self {
            Peer::Standalone(standalone) => standalone.take_back(zxid),
            // A member whose log lacks room leaves its role instead (`Member::leave`).
            Peer::Member(_) => panic!("other servers have seen what would be taken back"),
            #[cfg(test)]
            Peer::Scripted(_) => panic!("other servers have seen what would be taken back"),
        }
    }

    /// Everything up to `zxid` is durable in this server's log. A standalone server commits it with the next
    /// [`Peer::take_ready`].
    pub fn handle_synced(&mut self, zxid: Zxid) {
        match self {
            Peer::Standalone(standalone) => standalone.handle_synced(zxid),
            Peer::Member(member) => member.handle_synced(zxid),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.tell(format!("synced {zxid}")),
        }
    }

    /// Puts the next effects into `ready`, which must be empty. Returns whether there are more, which may be taken
    /// only when the order of these is certain.
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

    /// The next time at which [`Member::handle_timeout`] has something to do; `None`: not before another event.
    pub fn next_timeout(&self) -> Option<MonoUs> {
        match self {
            Peer::Standalone(_) => None,
            Peer::Member(member) => member.next_timeout(),
            #[cfg(test)]
            Peer::Scripted(_) => None,
        }
    }

    /// The newest transaction that this server has proposed, or got from its leader.
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

    /// Whether this server learns from a follower, which passes its requests on.
    pub fn is_below_a_follower(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.is_below_a_follower(),
            #[cfg(test)]
            Peer::Scripted(_) => false,
        }
    }

    /// Whether this server votes neither in the active configuration nor in the proposed one, so that no leader counts
    /// on its log.
    pub fn only_observes(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.only_observes(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.only_observes,
        }
    }

    /// Whether a leader has kept this server out because its data is of another history, and no leader has taken it in
    /// since.
    pub fn is_of_other_history(&self) -> bool {
        match self {
            Peer::Standalone(_) => false,
            Peer::Member(member) => member.is_of_other_history(),
            #[cfg(test)]
            Peer::Scripted(scripted) => scripted.is_of_other_history,
        }
    }

    /// ZooKeeper's word for the role, in `mntr` and `stat` (`ServerStats.Provider.getState`).
    pub fn mode(&self) -> &'static str {
        match self {
            Peer::Standalone(_) => "standalone",
            Peer::Member(member) => member.mode(),
            #[cfg(test)]
            Peer::Scripted(_) => "scripted",
        }
    }
}
