//! multi: several operations under one zxid, or none.

use super::{Planned, Prep, Requester, Stamp, create, header};
use crate::database::Database;
use crate::error::ErrorCode;
use crate::jute::{Jute, VectorBuf};
use crate::proto::request::MultiOp;
use crate::proto::txn::{SubTxn, Txn, TxnBody};
use crate::proto::{CreateMode, OpCode};

impl Prep {
    /// A multi that fails is no error transaction: it keeps the operations before the one that
    /// failed, then has an error for that one and for each behind it.
    pub(super) fn prepare_multi(
        &mut self,
        database: &Database,
        stamp: Stamp,
        requester: &Requester<'_>,
        parts: &[MultiOp<'_>],
    ) -> Txn {
        // ZooKeeper: getPendingChanges looks at every path before anything else happens.
        if parts.iter().any(|part| part.path().is_none()) {
            return self.error_txn(stamp, requester, ErrorCode::MarshallingError);
        }
        let mut planned: VectorBuf<SubTxn<'static>> = VectorBuf::default();
        let mut failed = false;
        let mut body = Vec::new();
        for part in parts {
            body.clear();
            let op = if failed {
                error_body(ErrorCode::RuntimeInconsistency, &mut body)
            } else {
                match self.plan_part(database, stamp, requester, part) {
                    Ok(planned) => {
                        planned.body().encode(&mut body);
                        planned.op
                    }
                    // ZooKeeper: what is not a KeeperException fails the request as a whole.
                    Err(ErrorCode::MarshallingError) => {
                        self.roll_back(stamp);
                        return self.error_txn(stamp, requester, ErrorCode::MarshallingError);
                    }
                    Err(error) => {
                        failed = true;
                        self.roll_back(stamp);
                        error_body(error, &mut body)
                    }
                }
            };
            planned.push(&SubTxn { op: op.number(), body: Some(&body) });
        }
        let body = TxnBody::Multi(planned.as_vector());
        let txn = Txn::new(header(stamp, requester, OpCode::Multi), &body, self.txn_digest());
        if txn.bytes().len() <= self.options.txn_bytes_max {
            return txn;
        }
        self.roll_back(stamp);
        self.error_txn(stamp, requester, ErrorCode::MarshallingError)
    }

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
                // ZooKeeper makes the operation anew out of its flags (`Op.create`).
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

fn error_body(error: ErrorCode, body: &mut Vec<u8>) -> OpCode {
    error.code().encode(body);
    OpCode::Error
}
