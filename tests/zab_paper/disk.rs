//! The transactions of a process: in its database, and on its disk.

use ringkeeper::id::{Epoch, SessionId, Zxid};
use ringkeeper::proto::OpCode;
use ringkeeper::proto::txn::{Txn, TxnBody, TxnHeader};
use ringkeeper::zab::Epochs;

/// A transaction of the paper: a value and its zxid.
pub type Change = (Zxid, i32);

/// A transaction on the wire and in the log.
pub fn txn((zxid, value): Change) -> Txn {
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::Error };
    Txn::new(header, &TxnBody::Error { err: value }, None)
}

pub fn change(txn: &Txn) -> Change {
    let TxnBody::Error { err } = txn.body() else { panic!("nobody has broadcast {txn:?}") };
    (txn.zxid(), err)
}

/// All changes up to a zxid.
#[derive(Clone, Debug, Default)]
pub struct Database {
    pub changes: Vec<Change>,
    pub last: Zxid,
}

impl Database {
    pub fn apply(&mut self, txn: &Txn) {
        assert!(txn.zxid() > self.last, "{} is applied after {}", txn.zxid(), self.last);
        self.changes.push(change(txn));
        self.last = txn.zxid();
    }

    /// The bytes of the whole tree on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = u32::try_from(self.changes.len()).unwrap();
        let mut out = count.to_be_bytes().to_vec();
        for (zxid, value) in &self.changes {
            out.extend_from_slice(&zxid.0.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        }
        out
    }

    /// The length of the tree at the beginning of `bytes`, if all of it is there.
    pub fn length(bytes: &[u8]) -> Option<usize> {
        let count = u32::from_be_bytes(bytes.get(..4)?.try_into().unwrap());
        let length = 4 + 12 * usize::try_from(count).unwrap();
        (bytes.len() >= length).then_some(length)
    }

    pub fn parse(bytes: &[u8], last: Zxid) -> Database {
        let changes = bytes[4..].chunks(12).map(|item| {
            let zxid = Zxid(i64::from_be_bytes(item[..8].try_into().unwrap()));
            (zxid, i32::from_be_bytes(item[8..].try_into().unwrap()))
        });
        Database { changes: changes.collect(), last }
    }
}

/// What survives a crash.
#[derive(Debug, Default)]
pub struct Disk {
    pub snapshot: Database,
    pub log: Vec<Txn>,
    pub epochs: Option<Epochs>,
}

impl Disk {
    pub fn recover(&self) -> Database {
        let mut database = self.snapshot.clone();
        self.log.iter().for_each(|txn| database.apply(txn));
        database
    }

    pub fn epochs(&self) -> Epochs {
        self.epochs.unwrap_or(Epochs::new(Epoch::ZERO, Epoch::ZERO))
    }
}
