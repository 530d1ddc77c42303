//! From an applied transaction to the body of its reply (`FinalRequestProcessor`).
//!
//! The last station of a write. `replica::replies` writes the length of the frame and the header of the reply (xid,
//! zxid, err), calls [`reply`] for the body, and puts the error, if there is one, into the header. This module never
//! looks at the tree: the Stat in [`Applied`] is the node's at the moment when the transaction was applied, and
//! everything else is read from the transaction itself. So the body is the same however many later transactions are
//! applied before it is written.

use crate::database::Applied;
use crate::error::ErrorCode;
use crate::jute::{Jute, Sink};
use crate::proto::OpCode;
use crate::proto::response::{GetDataResponse, MultiHeader};
use crate::proto::txn::{Txn, TxnBody};

/// Appends the body of the reply, or nothing if the transaction is an error.
///
/// ```text
/// create                               path: int len, bytes
/// create2, createContainer, createTTL  path | Stat, 68 bytes
/// setData, setACL                      Stat
/// reconfig                             data of /zookeeper/config: int len, bytes | Stat
/// multi                                ( MultiHeader, 9 bytes | result )* MultiHeader(-1, true, -1)
/// delete, createSession, closeSession  nothing
/// ```
///
/// # Errors
/// The number of the error that the transaction carries, for the reply's header. This server may not know it, because
/// a newer leader may have chosen it.
///
/// # Panics
/// If `applied` is not the result of `txn`.
pub fn reply(txn: &Txn, applied: &Applied, out: &mut impl Sink) -> Result<(), i32> {
    let zxid = txn.zxid();
    match applied {
        Applied::Error(error) => return Err(*error),
        Applied::Multi(results) => multi(txn, results, out),
        Applied::Create { stat } => {
            assert!(stat.czxid == zxid, "a reply is to the create that made the node");
            // The path comes from the transaction, not from the request: a sequential node has its number only there.
            path_of(&txn.body()).encode(out);
            if txn.header().op != OpCode::Create {
                stat.encode(out);
            }
        }
        // ZooKeeper answers with the active configuration, which at this point is that of the transaction.
        Applied::SetData { stat } if txn.header().op == OpCode::Reconfig => {
            assert!(stat.mzxid == zxid, "a reply is to the transaction that set the data");
            let data = match txn.body() {
                TxnBody::SetData(body) => body.data,
                _ => unreachable!("a reconfiguration sets the data of a node"),
            };
            GetDataResponse { data, stat: *stat }.encode(out);
        }
        Applied::SetData { stat } | Applied::SetAcl { stat } => stat.encode(out),
        Applied::Delete | Applied::Check | Applied::CreateSession | Applied::CloseSession => {}
    }
    Ok(())
}

/// Whether the session belongs to another server. Then the server sends no reply, and ends the connection.
// ZooKeeper: FinalRequestProcessor also looks into the results of a multi.
pub fn is_session_moved(applied: &Applied) -> bool {
    match applied {
        Applied::Error(error) => *error == ErrorCode::SessionMoved.code(),
        Applied::Multi(parts) => parts.iter().any(is_session_moved),
        _ => false,
    }
}

/// The results of a multi. The reply's header says 0, whether the multi has failed or not: a client finds the failure
/// in the results.
///
/// Each result is a MultiHeader (`int op | bool done | int err`) and what the operation alone would return; a failed
/// one is a MultiHeader with op -1 and the error, and the error once more as an int (`MultiResponse`,
/// `ErrorResponse`).
fn multi(txn: &Txn, results: &[Applied], out: &mut impl Sink) {
    let TxnBody::Multi(parts) = txn.body() else {
        unreachable!("only a multi has several results")
    };
    assert!(results.len() == parts.len(), "each part of a multi has a result");
    for ((op, body), applied) in TxnBody::parts(parts).zip(results) {
        // In a multi that failed, every part is an error: 0 for those before the failing one, which could have been
        // done.
        if let Applied::Error(error) = applied {
            MultiHeader { op: OpCode::Error.number(), done: false, err: *error }.encode(out);
            error.encode(out);
            continue;
        }
        // ZooKeeper: every create that returns a Stat is a create2 in the results.
        let op = match op {
            OpCode::CreateContainer | OpCode::CreateTtl => OpCode::Create2,
            op => op,
        };
        MultiHeader { op: op.number(), done: false, err: 0 }.encode(out);
        match applied {
            Applied::Create { stat } => {
                assert!(stat.czxid == txn.zxid(), "a result is of the create that made the node");
                path_of(&body).encode(out);
                if op != OpCode::Create {
                    stat.encode(out);
                }
            }
            Applied::SetData { stat } | Applied::SetAcl { stat } => stat.encode(out),
            Applied::Delete | Applied::Check => {}
            Applied::CreateSession
            | Applied::CloseSession
            | Applied::Multi(_)
            | Applied::Error(_) => unreachable!("a multi has no such part"),
        }
    }
    // `done` in this last header is all that tells a client where the results end: no count precedes them.
    MultiHeader::END.encode(out);
}

/// The path of the node that a create has made, in any of the three layouts of a create.
///
/// # Panics
/// If the transaction made no node.
fn path_of<'a>(body: &TxnBody<'a>) -> Option<&'a str> {
    match body {
        TxnBody::Create(body) => body.path,
        TxnBody::CreateContainer(body) => body.path,
        TxnBody::CreateTtl(body) => body.path,
        TxnBody::Delete(_)
        | TxnBody::SetData(_)
        | TxnBody::SetAcl(_)
        | TxnBody::Check(_)
        | TxnBody::CreateSession { .. }
        | TxnBody::CloseSession { .. }
        | TxnBody::Error { .. }
        | TxnBody::Multi(_) => unreachable!("it created no node"),
    }
}

/// ZooKeeper's short name of an operation, which `cons` prints as `lop` (`FinalRequestProcessor`, its `lastOp`). "NA"
/// stands for what is never a client's request, or is answered elsewhere.
pub const fn short_name(op: OpCode) -> &'static str {
    match op {
        OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
        OpCode::Delete | OpCode::DeleteContainer => "DELE",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::Sync => "SYNC",
        OpCode::Ping => "PING",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::Reconfig => "RECO",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::MultiRead => "MLTR",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::AddWatch => "ADDW",
        OpCode::GetEphemerals => "GETE",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::WhoAmI => "HOMI",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
        OpCode::Notification | OpCode::Auth | OpCode::Sasl | OpCode::Error => "NA",
    }
}
