//! A leader that says anything: the learner leaves it or goes on, and never panics.

use super::*;
use crate::limits::{EPOCH_LEAD_MAX, EPOCH_VOTED_LEAD_MAX, PENDING_BYTES_MAX};
use crate::random::Random;
use crate::zab::Numbers;
use crate::zab::leader::ObserverMaster;

/// How many conversations there are. Each has a seed of its own.
const CONVERSATIONS: u64 = 20_000;
/// How many packets a conversation has.
const PACKETS: u64 = 24;

/// Arbitrary packets.
struct Packets(Random);

impl Packets {
    fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        *self.0.choose(from).unwrap()
    }

    fn zxid(&mut self) -> Zxid {
        match self.below(8) {
            0 => Zxid(self.of(&[-1, 0, i64::MIN, i64::MAX, i64::MAX - 1, 1 << 32, -1 << 32])),
            1 => z(i64::from(i32::MAX), u32::MAX),
            _ => {
                let (epoch, counter) = (self.of(&[0, 1, 2, 2, 2, 3]), self.below(6));
                z(epoch, u32::try_from(counter).unwrap())
            }
        }
    }

    fn text(&mut self) -> String {
        let version = self.of(&[0, 1, 1 << 32, (2 << 32) + 3, i64::MAX]);
        match self.below(4) {
            0 => "x".to_owned(),
            1 => format!("server.7=a:1:2\nversion={version:x}"),
            _ => format!("{THREE}version={version:x}"),
        }
    }

    fn packet(&mut self, out: &mut Vec<u8>) {
        let at = self.zxid();
        match self.below(14) {
            0 => put_leader_info(out, Epoch(self.of(&[0, 1, 2, 3, -1, 1 << 20])), None),
            1 => put_bare(out, packet::DIFF, at),
            2 => put_bare(out, packet::TRUNC, at),
            3 => put_bare(out, packet::SNAP, at),
            4 | 5 => put_txn(out, packet::PROPOSAL, &txn(at)),
            6 => put_bare(out, packet::COMMIT, at),
            7 => put_txn(out, packet::INFORM, &txn(at)),
            8 => put_data(out, packet::NEWLEADER, at, self.text().as_bytes()),
            9 => put_bare(out, packet::UPTODATE, at),
            10 => {
                let text = self.text();
                put_txn(out, packet::PROPOSAL, &reconfig(at, &text));
            }
            11 => {
                let text = self.text();
                put_inform_and_activate(
                    out,
                    &reconfig(at, &text),
                    ServerId(self.of(&[1, 3, 9, -1])),
                );
            }
            12 => packets::put_commit_and_activate(out, at, ServerId(self.of(&[1, 3, 9, -1]))),
            _ => {
                let kind = self.of(&[
                    packet::PING,
                    packet::SYNC,
                    packet::REVALIDATE,
                    packet::ACK,
                    packet::REQUEST,
                ]);
                let data = [0; 30];
                let length = usize::try_from(self.below(30)).unwrap();
                put_data(out, kind, at, &data[..length]);
            }
        }
    }

    /// Writes what an honest leader would say at this point.
    fn honest(&mut self, step: u64, out: &mut Vec<u8>) {
        match step {
            0 => put_leader_info(out, Epoch(2), None),
            1 => put_bare(out, packet::DIFF, z(1, 2)),
            2 => put_data(out, packet::NEWLEADER, z(2, 0), format!("{THREE}version=0").as_bytes()),
            3 => put_bare(out, packet::UPTODATE, Zxid::NONE),
            step if step % 2 == 0 => {
                put_txn(out, packet::PROPOSAL, &txn(z(2, u32::try_from(step / 2 - 1).unwrap())));
            }
            step => put_bare(out, packet::COMMIT, z(2, u32::try_from(step / 2 - 1).unwrap())),
        }
    }
}

#[test]
fn no_leader_makes_a_learner_fall() {
    let (mut left, mut followed) = (0u64, 0u64);
    for seed in 0..CONVERSATIONS {
        let mut random = Packets(Random::new(seed));
        let kind = random.of(&[LearnerKind::Follower, LearnerKind::Observer]);
        let log = [z(1, 1), z(1, 2)];
        let mut it = Conversation::connected(kind, 1, 1, &log);
        // This many honest packets come first.
        let honest = random.below(PACKETS);
        for step in 0..PACKETS {
            let mut bytes = Vec::new();
            match step < honest {
                true => random.honest(step, &mut bytes),
                false => random.packet(&mut bytes),
            }
            it.bytes(&bytes);
            if let Some(epoch) = it.learner.is_up_to_date()
                && it.learner.lasting.observers.is_none()
            {
                followed += 1;
                let (epoch, answers_fences) = (epoch, it.learner.is_below_a_ringkeeper());
                let (options, committed) =
                    (it.learner.lasting.options.clone(), it.learner.lasting.journal.committed());
                let master = ObserverMaster::new(
                    options,
                    Numbers::default(),
                    (epoch, answers_fences),
                    committed,
                    it.now,
                );
                it.learner.lasting.observers = Some(Box::new(master));
            }
            it.learner.flush();
            let mut ready = Ready::default();
            while !it.learner.lasting.ready.is_empty() {
                it.learner.lasting.ready.take(&mut ready);
                ready = Ready::default();
            }
            if it.learner.failure().is_some() {
                left += 1;
                break;
            }
            assert!(
                it.learner.lasting.epochs.accepted <= Epoch(20_000),
                "seed {seed}: {:?}",
                it.learner.lasting.epochs
            );
        }
    }
    assert!(left > CONVERSATIONS / 2 && followed > CONVERSATIONS / 4, "{left} {followed}");
}

/// The last epoch that there can be:
///
/// 1. A stranger that speaks for a member is elected, with votes for the last epoch but one.
/// 2. Its LEADERINFO names the last epoch.
/// 3. If a learner wrote that epoch down, no server could ever lead again.
#[test]
fn a_vote_does_not_explain_an_epoch_that_no_ensemble_comes_to() {
    let last = i64::from(i32::MAX);
    let most = 1 + EPOCH_VOTED_LEAD_MAX + EPOCH_LEAD_MAX;
    for (epoch, is_refused) in [(most, false), (most + 1, true), (last, true)] {
        let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
        it.learner.target.voted = Epoch(epoch - 1);
        let told = it.says(|out| put_leader_info(out, Epoch(epoch), None));
        assert_eq!(told.contains("failed elections do not explain that"), is_refused, "{told}");
        assert_eq!(it.learner.lasting.epochs.accepted, Epoch(if is_refused { 1 } else { epoch }));
    }
    // A server without data joins an ensemble of any age.
    let mut it = Conversation::connected(LearnerKind::Follower, 0, 0, &[Zxid::NONE]);
    it.learner.target.voted = Epoch(2 * EPOCH_VOTED_LEAD_MAX);
    it.says(|out| put_leader_info(out, Epoch(2 * EPOCH_VOTED_LEAD_MAX + 1), None));
    assert_eq!(it.learner.lasting.epochs.accepted, Epoch(2 * EPOCH_VOTED_LEAD_MAX + 1));
}

/// The zxid of such a tree would be later than any that the next leader gives.
#[test]
fn a_tree_of_a_later_epoch_than_its_leaders_is_not_taken() {
    for (zxid, is_refused) in [(z(2, 0), false), (z(3, 0), true), (Zxid(i64::MAX), true)] {
        let mut it = Conversation::connected(LearnerKind::Follower, 1, 1, &[z(1, 1)]);
        it.says(|out| put_leader_info(out, Epoch(2), None));
        let told = it.says(|out| put_bare(out, packet::SNAP, zxid));
        assert_eq!(told.contains("SnapshotBegins"), !is_refused, "{told}");
        assert_eq!(told.contains("left: it offers its tree as of"), is_refused, "{told}");
    }
}

/// A transaction so large that a few of them fill the memory.
fn large(zxid: Zxid) -> Txn {
    let header = TxnHeader { client_id: SessionId(1), cxid: 0, zxid, time: 0, op: OpCode::SetData };
    let data = vec![0; usize::try_from(PENDING_BYTES_MAX / 4).unwrap()];
    let body = TxnBody::SetData(SetDataTxn { path: Some("/a"), data: Some(&data), version: 1 });
    Txn::new(header, &body, None)
}

#[test]
fn a_leader_that_commits_nothing_is_left_before_the_memory_is_full() {
    for kind in [LearnerKind::Follower, LearnerKind::Observer] {
        for commits in [false, true] {
            let mut it = Conversation::connected(kind, 1, 1, &[]);
            it.says(|out| put_leader_info(out, Epoch(2), None));
            it.says(|out| put_bare(out, packet::DIFF, Zxid::ZERO));
            let taken = (1..=5).take_while(|counter| {
                let told = it.says(|out| {
                    put_txn(out, packet::PROPOSAL, &large(z(2, *counter)));
                    if commits {
                        put_bare(out, packet::COMMIT, z(2, *counter));
                    }
                });
                !told.contains("left: it has proposed")
            });
            let expected = if commits { 5 } else { 3 };
            assert_eq!(taken.count(), expected, "{kind:?}, {commits}");
        }
    }
}
