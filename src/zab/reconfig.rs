//! Reconfigurations as transactions: the new content of `/zookeeper/config`.

use crate::proto::OpCode;
use crate::proto::txn::{Txn, TxnBody};
use crate::quorum::{Config, ConfigError};

/// The configuration that a transaction makes active, if it is a reconfiguration.
///
/// # Errors
/// It is a reconfiguration, and its text is not a configuration.
pub fn config_of(txn: &Txn) -> Result<Option<Config>, ConfigError> {
    if txn.header().op != OpCode::Reconfig {
        return Ok(None);
    }
    let TxnBody::SetData(body) = txn.body() else { return Ok(None) };
    Config::from_bytes(body.data.unwrap_or_default()).map(Some)
}
