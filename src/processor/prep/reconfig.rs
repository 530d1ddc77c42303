//! reconfig: from the members that a client requests to the transaction that sets them.
//!
//! The transaction sets the data of `/zookeeper/config`, whose version stays -1. The peer carries the change out. The
//! checks come in ZooKeeper's order, with the permission last.
//!
//! Before this module: `replica::requests` collects [`ReconfigFacts`] from the peer. After it: the caller takes the
//! configuration with [`Prep::take_config`], and the leader proposes the transaction, which needs a quorum of the old
//! and of the new members, and ends in COMMITANDACTIVATE.

use std::fmt;
use std::rc::Rc;

use super::{Planned, Prep, Requester, Stamp};
use crate::database::Database;
use crate::error::ErrorCode;
use crate::id::{ServerId, SessionId, Zxid};
use crate::proto::OpCode;
use crate::proto::data::perms;
use crate::proto::request::ReconfigRequest;
use crate::proto::txn::Txn;
use crate::quorum::{Config, Member, ReconfigError, Reconfiguration};
use crate::time::WallMs;

/// The node whose data are the configuration.
pub const CONFIG_PATH: &str = "/zookeeper/config";

/// The version of the configuration that a client expects if it accepts any.
const ANY_CONFIG: i64 = -1;

/// Facts about the ensemble, from the leader's peer.
pub struct ReconfigFacts<'a> {
    /// The active configuration.
    pub active: &'a Rc<Config>,
    /// The newest one, proposed or active.
    pub last_seen: &'a Rc<Config>,
    /// Whether a reconfiguration must leave two participants (`standaloneEnabled`).
    pub standalone_enabled: bool,
    /// Whether a server may have several addresses (`multiAddress.enabled`).
    pub multi_address: bool,
    /// Whether a quorum of a configuration is connected and has the leader's history.
    pub is_quorum_synced: &'a dyn Fn(&Config) -> bool,
}

impl fmt::Debug for ReconfigFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { active, last_seen, standalone_enabled, multi_address, is_quorum_synced: _ } =
            self;
        f.debug_struct("ReconfigFacts")
            .field("active", active)
            .field("last_seen", last_seen)
            .field("standalone_enabled", standalone_enabled)
            .field("multi_address", multi_address)
            .finish_non_exhaustive()
    }
}

impl Prep {
    /// Makes the transaction of a reconfiguration on the leader of an ensemble (`PrepRequestProcessor.pRequest2Txn`,
    /// case reconfig). Its body is a `SetDataTxn` of `/zookeeper/config` with the text of the configuration, whose last
    /// line is its version in hexadecimal.
    pub fn prepare_reconfig(
        &mut self,
        database: &Database,
        now: WallMs,
        zxid: Zxid,
        requester: &Requester<'_>,
        request: &ReconfigRequest<'_>,
        facts: &ReconfigFacts<'_>,
    ) -> Txn {
        self.begin(database, zxid);
        let stamp = Stamp { zxid, time: now.0 };
        match self.plan_reconfig(database, stamp, requester, request, facts) {
            Ok((text, config)) => {
                let mut planned = Planned::new(OpCode::Reconfig, CONFIG_PATH);
                planned.data = Some(text.as_bytes());
                planned.version = -1;
                let txn = self.finish(stamp, requester, Ok(planned));
                // A reconfiguration that is too long for the log became an error.
                self.config = (txn.header().op == OpCode::Reconfig).then_some(config);
                txn
            }
            Err(error) => self.finish(stamp, requester, Err(error)),
        }
    }

    /// Checks a reconfiguration, and records the change of [`CONFIG_PATH`]. Returns the text that the node gets, and
    /// the configuration that it describes.
    ///
    /// # Errors
    /// In this order: `ReconfigDisabled`; what the session may not; `ReconfigInProgress` while an earlier one is not
    /// active; `BadVersion` if the client expects another configuration; `BadArguments` or `MarshallingError` for
    /// members that make no configuration; `NewConfigNoQuorum`; `NoNode`; `NoAuth`.
    fn plan_reconfig(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        request: &ReconfigRequest<'_>,
        facts: &ReconfigFacts<'_>,
    ) -> Result<(String, Config), ErrorCode> {
        if !self.options.reconfig {
            return Err(ErrorCode::ReconfigDisabled);
        }
        requester.allowed?;
        let last_seen = facts.last_seen;
        if last_seen.version != facts.active.version {
            return Err(ErrorCode::ReconfigInProgress);
        }
        if request.cur_config_id != ANY_CONFIG && request.cur_config_id != last_seen.version {
            return Err(ErrorCode::BadVersion);
        }
        let change = Reconfiguration {
            joining: request.joining_servers,
            leaving: request.leaving_servers,
            new_members: request.new_members,
        };
        // The version of a configuration is the zxid of its transaction, which is why the text is made here.
        let config = last_seen
            .reconfigured(change, stamp.zxid.0, facts.standalone_enabled)
            .map_err(|error| {
                tracing::warn!(zxid = %stamp.zxid, %error, "reconfiguration refused");
                match error {
                    ReconfigError::BadArguments(_) => ErrorCode::BadArguments,
                    ReconfigError::Marshalling(_) => ErrorCode::MarshallingError,
                }
            })?;
        // ZooKeeper: QuorumServer.initializeWithAddressString refuses the line of a server with several addresses. It
        // does not check members that the request leaves as they are.
        let asked_for = |(id, member): &(&ServerId, &Member)| {
            let known = last_seen.members.get(id).map(Member::to_string);
            request.new_members.is_some() || known != Some(member.to_string())
        };
        // All members of a full list, otherwise only those that the request adds or changes.
        let mut asked = config.members.iter().filter(asked_for);
        if let Some((id, _)) = asked.find(|(_, member)| member.addresses.len() > 1)
            && !facts.multi_address
        {
            tracing::warn!(
                zxid = %stamp.zxid, server = id.0,
                "reconfiguration refused: several addresses for one server need \
                 multiAddress.enabled=true on every server"
            );
            return Err(ErrorCode::BadArguments);
        }
        // Without such a quorum the transaction might never be committed, and every write behind it would wait.
        if !(facts.is_quorum_synced)(&config) {
            tracing::warn!(
                zxid = %stamp.zxid,
                "reconfiguration refused: no quorum of the new members is connected and up to date"
            );
            return Err(ErrorCode::NewConfigNoQuorum);
        }
        assert!(config.version == stamp.zxid.0, "a configuration has the zxid that sets it");
        let mut node = self.record(database, CONFIG_PATH)?;
        self.check_acl(&node.acl, perms::WRITE, requester)?;
        let text = config.to_text();
        node.stat.version = -1;
        node.stat.mtime = stamp.time;
        node.stat.mzxid = stamp.zxid;
        node.data_bytes = text.len();
        node.digest_seed = self.digest_seed(CONFIG_PATH, Some(text.as_bytes()));
        self.change(CONFIG_PATH, node, stamp, SessionId::NONE);
        Ok((text, config))
    }
}

#[cfg(test)]
mod tests;
