//! The effects that a peer decides on, in the order in which they must become durable.

use std::rc::Rc;

use bytes::Bytes;

use super::Epochs;
use super::vouch::Vouch;
use crate::acl::Identity;
use crate::id::{Epoch, ServerId, SessionId, Zxid};
use crate::link::{LinkId, LinkOp};
use crate::proto::txn::Txn;
use crate::quorum::Config;
use crate::session::Tenure;

/// The effects of one or more events. The caller owns it, so that its vectors are used again and again.
///
/// ```text
/// truncate → restore → append → epochs → send_after_sync     each durable before the next
/// send, log_reads                                            wait for nothing
/// commit → standing → config → inbound                       in this order, and after the truncate
///                                                            and restore of this `Ready` in memory
/// ```
/// Of two `Ready`s, `truncate` and `restore` of the later one come after everything of the earlier one; its `append`
/// comes after `truncate`, `restore` and `append` of the earlier one, and its `epochs` and `send_after_sync` after
/// everything of the earlier one. A `LinkOp` for a link that is gone has no effect. ZooKeeper keeps this order by
/// hand, and has lost data where it did not (ZOOKEEPER-3911, 4646, 4643, 4785).
#[derive(Debug, Default)]
pub struct Ready {
    /// Operations that wait for nothing.
    pub send: Vec<LinkOp>,
    /// The log, the snapshots and the database must hold nothing after this zxid (TRUNC).
    pub truncate: Option<Zxid>,
    /// The database received with [`Inbound::Snapshot`] replaces the present one, and is written to the disk as the
    /// snapshot of this zxid (SNAP).
    pub restore: Option<Zxid>,
    /// Transactions to be appended to the log. [`Peer::handle_synced`](crate::peer::Peer::handle_synced) says when they
    /// are durable.
    pub append: Vec<Txn>,
    /// Epochs to be written to their files.
    pub epochs: Option<Epochs>,
    /// Packets to be sent when all of the above is durable, because they say that it is.
    pub send_after_sync: Vec<Vouch>,
    /// A token with which [`Peer::handle_durable`](crate::peer::Peer::handle_durable) is to be called when all of the
    /// above is durable.
    pub durable: Option<u64>,
    /// Transactions to be applied to the database, in the order of their zxids, on a leader and on a learner alike.
    pub commit: Vec<Txn>,
    /// Changes of the server's standing, in order.
    pub standing: Vec<Standing>,
    /// Configurations that were proposed or have become active, in order.
    pub config: Vec<ConfigChange>,
    /// Words of other servers for the replica, in the order of their arrival.
    pub inbound: Vec<Inbound>,
    /// Transactions to be read from the log's files, for learners that are far behind.
    pub log_reads: Vec<LogRead>,
}

impl Ready {
    /// Whether the log is to be cut, or the database to be replaced.
    pub fn cuts(&self) -> bool {
        self.truncate.is_some() || self.restore.is_some()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.send.is_empty()
            && self.truncate.is_none()
            && self.restore.is_none()
            && self.append.is_empty()
            && self.epochs.is_none()
            && self.send_after_sync.is_empty()
            && self.durable.is_none()
            && self.commit.is_empty()
            && self.standing.is_empty()
            && self.config.is_empty()
            && self.inbound.is_empty()
            && self.log_reads.is_empty()
    }
}

/// A server's standing in its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no leader, and serves no client, or only reads.
    Looking,
    /// It leads, a quorum has its history, and it serves clients. Everything in its log was committed before; the next
    /// transaction is the first of `epoch`.
    Leading {
        /// Its epoch.
        epoch: Epoch,
    },
    /// It follows, is up to date, and serves clients.
    Following {
        /// The leader.
        leader: ServerId,
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// It observes, is up to date, and serves clients.
    Observing {
        /// The leader, also if this server learns from an observer master.
        leader: ServerId,
        /// The leader's epoch.
        epoch: Epoch,
    },
}

/// A change of the configuration, to be kept in files.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// It was proposed (`zoo.cfg.dynamic.next`).
    Proposed(Rc<Config>),
    /// It is active (`zoo.cfg.dynamic.VERSION`, and the static file names it).
    Active(Rc<Config>),
}

/// A request or an answer of another server for the replica.
#[derive(Clone, Debug)]
pub enum Inbound {
    /// On the leader: a learner passes a client's request on.
    Request(ForwardedRequest),
    /// On the leader: a learner asks to be told when everything that it has passed on before is proposed or refused.
    /// To be answered with [`Peer::answer_fence`](crate::peer::Peer::answer_fence).
    Fence {
        /// The learner's link.
        link: LinkId,
    },
    /// On the leader: a learner has heard a session.
    Touch {
        /// The session.
        session: SessionId,
        /// Its timeout in ms.
        timeout_ms: i32,
    },
    /// On the leader: a client has resumed its session at a learner. To be answered with
    /// [`Peer::answer_revalidate`](crate::peer::Peer::answer_revalidate).
    Revalidate {
        /// The learner's link.
        link: LinkId,
        /// The learner, which owns the session from now on.
        server: ServerId,
        /// The session.
        session: SessionId,
        /// Its timeout in ms.
        timeout_ms: i32,
        /// Set if the connection is not new: the learner has owned the session since then, or does not own it any more.
        kept: Option<Tenure>,
    },
    /// On the leader: a quorum still follows it, in answer to
    /// [`Peer::confirm_lead`](crate::peer::Peer::confirm_lead).
    StillLeads {
        /// The number of the question; each earlier question is answered, too.
        number: u64,
    },
    /// On a learner: the answer to the oldest question about this session.
    Revalidated {
        /// The session.
        session: SessionId,
        /// Whether it is alive, and this server owns it.
        valid: bool,
        /// Since when this server owns it, if the leader keeps tenures.
        tenure: Option<Tenure>,
    },
    /// On a follower: a client resumes its session at an observer that learns from this server, and has left any
    /// connection that it had here.
    TakenUpAtObserver {
        /// The session.
        session: SessionId,
    },
    /// On a learner: the leader has answered the oldest sync that was passed on.
    SyncDone,
    /// On an observer: the follower from which it learns has not passed a request on, because the session is now at
    /// that follower or at another of its observers.
    LeftOut {
        /// The session.
        session: SessionId,
    },
    /// On a learner: the leader asks for the sessions that were heard since its last question. To be
    /// answered with [`Peer::answer_ping`](crate::peer::Peer::answer_ping).
    Ping {
        /// The zxid of the question, which the answer repeats.
        zxid: Zxid,
    },
    /// On a learner: the leader's tree begins, which will replace this server's. Pieces follow.
    SnapshotBegins {
        /// The last transaction in it.
        zxid: Zxid,
        /// The digest of the tree, if the tree holds no later transaction.
        digest: Option<i64>,
    },
    /// A piece of the tree, of any length. When the tree is whole,
    /// [`Peer::snapshot_received`](crate::peer::Peer::snapshot_received) is called with the bytes that follow it.
    Snapshot {
        /// The bytes.
        bytes: Bytes,
    },
    /// The rest of the tree will not come.
    SnapshotAborted,
}

/// A learner's knowledge of the session for which it passes a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionScope {
    /// The learner says nothing, as the learners of Apache ZooKeeper.
    Unsaid,
    /// Only that learner knows the session.
    Local,
    /// The leader knows the session as long as it lives.
    Global,
}

/// A client's request as a learner passes it on.
#[derive(Clone, Copy, Debug)]
pub struct PassedRequest<'a> {
    /// The client's session; for createSession the session to be created.
    pub session: SessionId,
    /// Which servers know the session.
    pub scope: SessionScope,
    /// The client's xid.
    pub cxid: i32,
    /// Number of the operation.
    pub op: i32,
    /// The request behind its header.
    pub body: &'a [u8],
    /// The identities of the client's connection.
    pub identities: &'a [Identity],
}

/// A client's request on its way from a learner to the leader.
#[derive(Clone, Debug)]
pub struct ForwardedRequest {
    /// The link of the learner; for [`Peer::answer_sync`](crate::peer::Peer::answer_sync).
    pub link: LinkId,
    /// The learner, which owns the session.
    pub server: ServerId,
    /// The client's session; for createSession the session to be created.
    pub session: SessionId,
    /// Which servers know the session, as the learner says.
    pub scope: SessionScope,
    /// The client's xid.
    pub cxid: i32,
    /// Number of the operation; unchecked.
    pub op: i32,
    /// The request behind its header; unchecked.
    pub body: Bytes,
    /// The identities of the client's connection.
    pub identities: Vec<Identity>,
}

/// A request to read the log's files: all transactions after one zxid up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// The id with which [`Peer::handle_log_read`](crate::peer::Peer::handle_log_read) gets the result.
    pub id: u64,
    /// The result begins with the transaction of this zxid, which shows that the learner's history is this server's. If
    /// there is none, the result begins with the transaction before it.
    pub from: Zxid,
    /// The last transaction of the result.
    pub to: Zxid,
}
