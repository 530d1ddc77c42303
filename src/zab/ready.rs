//! What a peer wants done, in the order of durability.

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

/// What a peer wants done. The caller owns it, so that its vectors are used again and again.
///
/// ```text
/// truncate → restore → append → epochs → send_after_sync     each durable before the next
/// send, log_reads                                            wait for nothing
/// commit → standing → config → inbound                       in this order, and after the truncate
///                                                            and restore of this `Ready` in memory
/// ```
/// Of two of them, the later's `truncate` and `restore` come after everything of the earlier; its
/// `append` comes after the earlier's `truncate`, `restore` and `append`, and its `epochs` and
/// `send_after_sync` after everything of the earlier. A `LinkOp` for a link that is gone is nothing to
/// do. ZooKeeper keeps this order
/// by hand, and lost data where it did not (ZOOKEEPER-3911, 4646, 4643, 4785).
#[derive(Debug, Default)]
pub struct Ready {
    /// May be carried out now, before what follows.
    pub send: Vec<LinkOp>,
    /// Nothing after this zxid may stay in the log, in a snapshot or in the database (TRUNC).
    pub truncate: Option<Zxid>,
    /// The database becomes the one received with [`Inbound::Snapshot`], which is written to the
    /// disk as the snapshot of this zxid (SNAP).
    pub restore: Option<Zxid>,
    /// To be appended to the transaction log; [`Peer::handle_synced`](crate::peer::Peer::handle_synced)
    /// says when it is durable.
    pub append: Vec<Txn>,
    /// To be written to the two files.
    pub epochs: Option<Epochs>,
    /// To be sent when all of the above is durable: their truth depends on it.
    pub send_after_sync: Vec<Vouch>,
    /// The same for the peer itself:
    /// [`Peer::handle_durable`](crate::peer::Peer::handle_durable) is called with it.
    pub durable: Option<u64>,
    /// To be applied to the database, in zxid order. On a leader and on a learner alike.
    pub commit: Vec<Txn>,
    /// What the server now is, if that changed; several in their order.
    pub standing: Vec<Standing>,
    /// A configuration that was proposed or has become active; several in their order.
    pub config: Vec<ConfigChange>,
    /// For the replica, in the order of arrival.
    pub inbound: Vec<Inbound>,
    /// Transactions wanted from the log's files, for a learner that is far behind.
    pub log_reads: Vec<LogRead>,
}

impl Ready {
    /// Whether the log is to be cut, or the database replaced.
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

/// What a server is in its ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has no leader: it serves nobody, or only readers.
    Looking,
    /// It leads, and a quorum has its history: it serves. Everything it has logged was committed
    /// before; the next zxid is `epoch`'s first.
    Leading {
        /// Its epoch.
        epoch: Epoch,
    },
    /// It follows and is up to date: it serves.
    Following {
        /// Whom.
        leader: ServerId,
        /// The leader's epoch.
        epoch: Epoch,
    },
    /// It observes and is up to date: it serves.
    Observing {
        /// Whom; for an observer of an observer master still the leader, if known.
        leader: ServerId,
        /// The leader's epoch.
        epoch: Epoch,
    },
}

/// News about the configuration, to be kept in files.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// It was proposed (`zoo.cfg.dynamic.next`).
    Proposed(Rc<Config>),
    /// It is active (`zoo.cfg.dynamic.VERSION`, and the static file names it).
    Active(Rc<Config>),
}

/// What other servers want from the replica, or answer it.
#[derive(Clone, Debug)]
pub enum Inbound {
    /// On the leader: a learner passes a client's request on.
    Request(ForwardedRequest),
    /// On the leader: a learner wants to hear when all that it has passed on before is proposed or refused. To be
    /// answered with [`Peer::answer_fence`](crate::peer::Peer::answer_fence).
    Fence {
        /// Whom to answer.
        link: LinkId,
    },
    /// On the leader: a learner has heard of a session.
    Touch {
        /// Which.
        session: SessionId,
        /// With this timeout in ms.
        timeout_ms: i32,
    },
    /// On the leader: a client has taken its session up again at a learner. To be answered with
    /// [`Peer::answer_revalidate`](crate::peer::Peer::answer_revalidate).
    Revalidate {
        /// Whom to answer.
        link: LinkId,
        /// The learner, which owns the session from now on.
        server: ServerId,
        /// Which.
        session: SessionId,
        /// Its timeout in ms.
        timeout_ms: i32,
        /// The connection is not new: the learner owns the session since then, or no more.
        kept: Option<Tenure>,
    },
    /// On the leader: a quorum still follows it, as was asked with
    /// [`Peer::confirm_lead`](crate::peer::Peer::confirm_lead).
    StillLeads {
        /// This question is answered, and each before it.
        number: u64,
    },
    /// On a learner: the answer to the oldest question about this session.
    Revalidated {
        /// Which.
        session: SessionId,
        /// Whether it is alive, and this server's.
        valid: bool,
        /// Since when it is this server's, if the leader keeps tenures.
        tenure: Option<Tenure>,
    },
    /// On a follower: a client takes its session up at an observer that learns from it, and has left any
    /// connection that it had here.
    TakenUpAtObserver {
        /// Which.
        session: SessionId,
    },
    /// On a learner: the oldest sync that was passed on is done.
    SyncDone,
    /// On an observer: the follower from which it learns has not passed on what this server asked for, because the
    /// session is at that follower or at another observer of it.
    LeftOut {
        /// Which.
        session: SessionId,
    },
    /// On a learner: the leader asks for the sessions heard of since its last question. To be
    /// answered with [`Peer::answer_ping`](crate::peer::Peer::answer_ping).
    Ping {
        /// To be given back.
        zxid: Zxid,
    },
    /// On a learner: the leader's tree begins, and replaces ours. Pieces follow.
    SnapshotBegins {
        /// The last transaction in it.
        zxid: Zxid,
        /// Its digest, if it holds nothing later.
        digest: Option<i64>,
    },
    /// A piece of it, of any length. When the tree is whole,
    /// [`Peer::snapshot_received`](crate::peer::Peer::snapshot_received) is called with what follows it.
    Snapshot {
        /// The bytes.
        bytes: Bytes,
    },
    /// The rest of the tree will not come.
    SnapshotAborted,
}

/// What a learner says of the session for which it passes a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionScope {
    /// Nothing, as the learners of Apache ZooKeeper.
    Unsaid,
    /// It lives on that learner alone.
    Local,
    /// The leader knows it, as long as it lives.
    Global,
}

/// A client's request as a learner passes it on.
#[derive(Clone, Copy, Debug)]
pub struct PassedRequest<'a> {
    /// The client's session; for createSession the one to be created.
    pub session: SessionId,
    /// What is known of it.
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
    /// The learner: it owns the session.
    pub server: ServerId,
    /// The client's session; for createSession the one to be created.
    pub session: SessionId,
    /// What the learner says of the session.
    pub scope: SessionScope,
    /// The client's xid.
    pub cxid: i32,
    /// Number of the operation, not checked.
    pub op: i32,
    /// The request behind its header, not checked.
    pub body: Bytes,
    /// The identities of the client's connection.
    pub identities: Vec<Identity>,
}

/// A wish to read the log's files: all transactions after one zxid up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// Names the wish; its result goes to
    /// [`Peer::handle_log_read`](crate::peer::Peer::handle_log_read).
    pub id: u64,
    /// The transaction with this zxid comes first if it is there, so that the reader sees that its
    /// history is ours; otherwise the one before it and those after it.
    pub from: Zxid,
    /// The last one wanted.
    pub to: Zxid,
}
