//! Names that a process gave to files before it was killed, without syncing the folder.
//!
//! The next process finds the files under these names. If the power goes before a process syncs the folder, the
//! files have their old names again, and a replaced file has its old content.

use super::disk::Key;

/// One such name.
#[derive(Debug)]
pub(super) enum Named {
    /// A file has another name now.
    Renamed { from: Key, to: Key },
    /// A file has taken the place of another, or of none.
    Replaced { key: Key, old: Option<Vec<u8>> },
}

impl Named {
    /// The number of the folder.
    fn folder(&self) -> u8 {
        match self {
            Named::Renamed { to: (folder, _), .. } | Named::Replaced { key: (folder, _), .. } => {
                *folder
            }
        }
    }
}

/// All such names of a disk, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Named>);

impl Names {
    /// Notes a name that was given without a sync.
    pub fn give(&mut self, named: Named) {
        self.0.push(named);
    }

    /// Forgets the names of a folder that was synced.
    pub fn sync(&mut self, folder: u8) {
        self.0.retain(|named| named.folder() != folder);
    }

    /// Takes back the names when the power goes, except the oldest `kept`, which the system has written by itself;
    /// the newest comes first.
    pub fn lose(&mut self, kept: usize) -> impl Iterator<Item = Named> + use<> {
        let lost = self.0.split_off(kept.min(self.0.len()));
        self.0.clear();
        lost.into_iter().rev()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use ringkeeper::id::{SessionId, Zxid};
    use ringkeeper::io::{Op, Place};
    use ringkeeper::proto::txn::{CreateTxn, Txn, TxnBody, TxnHeader};
    use ringkeeper::proto::{AclVector, OpCode};
    use ringkeeper::recovery::{Folder, RecoveryOptions, recover};
    use ringkeeper::txnlog::{Append, Writer, WriterOptions};

    use super::super::disk::{Disk, Speed};
    use super::super::rng::Rng;

    fn create(zxid: Zxid) -> Txn {
        let body = TxnBody::Create(CreateTxn {
            path: Some("/node"),
            data: Some(b"x"),
            acl: AclVector::EMPTY,
            ephemeral: false,
            parent_cversion: 1,
        });
        let header =
            TxnHeader { client_id: SessionId(1), cxid: 1, zxid, time: 1, op: OpCode::Create };
        Txn::new(header, &body, None)
    }

    fn recovered(disk: &Disk) -> Zxid {
        recover(disk, &RecoveryOptions::default(), &mut |_| ()).unwrap().zxid
    }

    /// What once went wrong:
    ///
    /// 1. A server is killed after it renamed its log and before it synced the folder.
    /// 2. The next process reads the log, and vouches for its transactions.
    /// 3. The power goes. The log has the name of an unused segment again, and the next start removes it.
    #[test]
    fn what_was_read_is_there_after_the_power_was_lost() {
        let mut vouched_for = 0;
        for seed in 0..100 {
            let speed = Speed { log_write: 100, other: 100, slowed: 1 };
            let mut disk = Disk::new(Rng::new(seed), speed, seed % 2 == 0);
            recovered(&disk);
            let options = WriterOptions {
                block_bytes: 512,
                segment_bytes: 64 << 10,
                group_bytes_max: 16 << 10,
                txn_bytes_max: 8 << 10,
                ..WriterOptions::default()
            };
            let mut writer = Writer::new(options, Zxid(0), 0);
            let mut ops = Vec::new();
            writer.poll(&mut ops);
            while let Some(op) = ops.pop() {
                let (number, _) = disk.begin(0, op);
                let _ = writer.handle_completion(disk.end(number));
                writer.poll(&mut ops);
            }
            assert_eq!(writer.append(&create(Zxid(1))), Append::Accepted);
            writer.poll(&mut ops);
            assert!(ops.iter().any(|op| matches!(op, Op::SegmentName { .. })), "{ops:?}");
            for op in ops {
                disk.begin(0, op);
            }
            disk.crash(false);
            let before = recovered(&disk);
            vouched_for += before.0;
            disk.crash(true);
            assert!(recovered(&disk) >= before, "seed {seed}: {:?}", disk.list(Place::Logs));
        }
        assert!(vouched_for > 10, "{vouched_for}");
    }

    /// A promise that a process has read counts too.
    #[test]
    fn an_epoch_that_was_read_is_there_after_the_power_was_lost() {
        let options = RecoveryOptions { ensemble: true, ..RecoveryOptions::default() };
        let accepted =
            |disk: &Disk| recover(disk, &options, &mut |_| ()).unwrap().epochs.unwrap().accepted;
        for seed in 0..50 {
            let speed = Speed { log_write: 100, other: 100, slowed: 1 };
            let mut disk = Disk::new(Rng::new(seed), speed, seed % 2 == 0);
            accepted(&disk);
            let name = "acceptedEpoch".to_owned();
            let token = ringkeeper::io::Token::new(ringkeeper::io::Owner::TxnLog, 1);
            let content = b"7".to_vec();
            disk.begin(0, Op::FileReplace { token, place: Place::Snapshots, name, content });
            disk.crash(false);
            let before = accepted(&disk);
            disk.crash(true);
            assert_eq!(accepted(&disk), before, "seed {seed}");
        }
    }
}
