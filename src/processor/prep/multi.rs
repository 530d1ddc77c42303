//! multi: one transaction with several operations, of which either all are applied or none.
//!
//! All operations share one zxid, and each is checked against the changes of those before it. The body of the
//! transaction (`MultiTxn`, `Txn`):
//! ```text
//! int count | ( int op | int len | body of the operation: len bytes )*
//! ```

use super::{Planned, Prep, Requester, Stamp, create, header};
use crate::database::Database;
use crate::error::ErrorCode;
use crate::jute::{Bounded, Jute, Overrun, VectorBuf};
use crate::proto::request::MultiOp;
use crate::proto::txn::{SubTxn, Txn, TxnBody};
use crate::proto::{CreateMode, OpCode};

impl Prep {
    /// Makes the transaction of a multi.
    ///
    /// A multi that fails is not an error transaction: it contains the operations before the one that failed, then an
    /// error for that one, and `RuntimeInconsistency` for each after it. `Database::apply` changes nothing if one
    /// part is an error.
    ///
    /// It becomes an error transaction as a whole if ZooKeeper cannot decode one of its parts, or if it is too long.
    pub(super) fn prepare_multi(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        parts: &[MultiOp<'_>],
    ) -> Txn {
        // ZooKeeper: getPendingChanges reads every path before the first operation is checked.
        if parts.iter().any(|part| part.path().is_none()) {
            return self.error_txn(stamp, requester, ErrorCode::MarshallingError);
        }
        let bytes_max = self.options.txn_bytes_max;
        let mut planned: VectorBuf<SubTxn<'static>> = VectorBuf::default();
        let mut failed = false;
        let mut body = Vec::new();
        for part in parts {
            // One buffer serves all parts: there may be thousands.
            body.clear();
            let mut fits = true;
            // After a failure the rest is not even checked: its result would depend on changes that will not happen.
            let op = if failed {
                error_body(ErrorCode::RuntimeInconsistency, &mut body)
            } else {
                match self.plan_part(database, stamp, requester, part) {
                    Ok(planned) => {
                        let mut sink = Bounded::new(&mut body, bytes_max);
                        planned.body().encode(&mut sink);
                        fits = sink.finish().is_ok();
                        planned.op
                    }
                    // ZooKeeper: any exception but a KeeperException fails the whole request.
                    Err(ErrorCode::MarshallingError) => return self.refuse_whole(stamp, requester),
                    Err(error) => {
                        failed = true;
                        self.roll_back(stamp);
                        error_body(error, &mut body)
                    }
                }
            };
            planned.push(&SubTxn { op: op.number(), body: Some(&body) });
            // An operation may become a thousand times as long in a transaction as it was in the request. So the check
            // comes after each, and not only at the end.
            if !fits || planned.bytes() > bytes_max {
                return self.refuse_whole(stamp, requester);
            }
        }
        assert!(planned.len() == parts.len(), "each operation has its part");
        assert!(!failed || self.digest == self.digest_before, "a multi that fails changes nothing");
        let body = TxnBody::Multi(planned.as_vector());
        let header = header(stamp, requester, OpCode::Multi);
        match Txn::new_within(header, &body, self.txn_digest(), bytes_max) {
            Ok(txn) => txn,
            Err(Overrun) => self.refuse_whole(stamp, requester),
        }
    }

    /// Takes back the records of all operations so far, and refuses the request with `MarshallingError`.
    fn refuse_whole(&mut self, stamp: Stamp, requester: &Requester<'_>) -> Txn {
        self.roll_back(stamp);
        self.error_txn(stamp, requester, ErrorCode::MarshallingError)
    }

    /// Checks one operation. ZooKeeper decodes the creates of a multi into new objects, by their flags (`Op.create`):
    /// that changes the kind of some of them, and refuses others.
    ///
    /// # Errors
    /// The code of the operation's first check that fails; `MarshallingError` for one that ZooKeeper cannot decode.
    fn plan_part<'a>(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        part: &MultiOp<'a>,
    ) -> Result<Planned<'a>, ErrorCode> {
        match part {
            MultiOp::Create(op, request) => {
                let mut wanted = create::Wanted::from_create(*op, request);
                // ZooKeeper makes a new operation from the flags (`Op.create`).
                match CreateMode::from_flag(request.flags) {
                    None => return Err(ErrorCode::MarshallingError),
                    Some(mode) if mode.is_ttl() => return Err(ErrorCode::MarshallingError),
                    Some(CreateMode::Container) => wanted.op = OpCode::CreateContainer,
                    Some(_) => (),
                }
                self.plan_create(database, stamp, requester, &wanted)
            }
            MultiOp::CreateTtl(request) => {
                let mut wanted = create::Wanted::from_ttl(request);
                match CreateMode::from_flag(request.flags) {
                    Some(mode) if mode.is_ttl() => (),
                    // ZooKeeper: Op.create makes another kind of create of it, and the time to live is lost.
                    mode => {
                        wanted.op = match mode {
                            Some(CreateMode::Container) => OpCode::CreateContainer,
                            _ => OpCode::Create,
                        };
                        wanted.ttl = create::NO_TTL;
                    }
                }
                self.plan_create(database, stamp, requester, &wanted)
            }
            MultiOp::Delete(request) => self.plan_delete(database, stamp, requester, request),
            MultiOp::SetData(request) => self.plan_set_data(database, stamp, requester, request),
            MultiOp::Check(request) => self.plan_check(database, requester, request),
            MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(ErrorCode::MarshallingError),
        }
    }
}

/// Writes the body of an error in a multi (`ErrorTxn`): `int err`.
fn error_body(error: ErrorCode, body: &mut Vec<u8>) -> OpCode {
    error.code().encode(body);
    OpCode::Error
}
